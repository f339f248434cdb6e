import struct
import zipfile

import numpy as np
import pytest
from rawtext import BODY, files, ntu_clip, ntu_text, read_ntu, real_data

from skelpipe.errors import BadInput
from skelpipe.recordings.datasets import DATASETS, Dropped
from skelpipe.recordings.datasets.files import list_files
from skelpipe.recordings.datasets.ntu import clip_name, parse_name
from skelpipe.recordings.text.ntu import parse_ntu

POSE = [["0.1", "-0.2", "3.785547"]] * 25
ONE = [(BODY, POSE)]


def same_as_plain(text, parsed):
    frames, joints, row_frame, row_body = read_ntu(text)
    assert parsed.frames == frames
    assert parsed.joints.dtype == np.float32
    assert parsed.joints.tobytes() == joints.tobytes()
    assert parsed.row_frame.tolist() == row_frame
    assert parsed.row_body.tolist() == row_body


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("final", [True, False])
@pytest.mark.parametrize("lead", ["", "  \t"])
def test_layouts(end, final, lead):
    text = ntu_text([ONE, [], [*ONE, (-5, POSE), (2**63 - 1, POSE)]], end, final, lead)
    parsed = parse_ntu(text.encode())
    same_as_plain(text, parsed)
    assert parsed.row_frame.tolist() == [0, 2, 2, 2]
    assert parsed.row_body.tolist() == [int(BODY), int(BODY), -5, 2**63 - 1]


@pytest.mark.parametrize(
    "token",
    ["0", "-0", "+1.5", ".5", "5.", "-9.276937E-05", "1e+2", "123456789012345", "0.1234567890123456789", "1e-30",
     "3.4028234e38", "1e-400", "16777217.000000000000000001", "0.000000000000000000000000000001", "1" + "0" * 30,
     "16777217", "1.00000005960464477539062500001"],
)  # fmt: skip
def test_tokens(token):
    pose = [[token, "1", "2"], *POSE[1:]]
    joints = parse_ntu(ntu_text([[(1, pose)]]).encode()).joints
    assert joints[0, 0, 0].tobytes() == np.float32(float(token)).tobytes()


def test_many_odd_tokens():
    """More tokens for Python than the first buffer for them holds."""
    pose = [["0.12345678901234567890"] * 3] * 25
    joints = parse_ntu(ntu_text([[(1, pose)]] * 3).encode()).joints
    assert (joints == np.float32(0.12345678901234567890)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: "", "line 1: the file is truncated"),
        (lambda t: "hello\nworld\n", "line 1: the number of frames should be here"),
        (lambda t: t.replace("2", "-2", 1), "line 1: the number of frames is negative"),
        (lambda t: t.replace("2", "3", 1), r"line 58: the file is truncated: it ends in frame 3 of 3"),
        (lambda t: t.replace("2", "1", 1), r"line 30: there is more text after the last of 1 frames"),
        (lambda t: t.replace("2", "1" + "0" * 20, 1), "line 1: the number of frames is too large"),
        (lambda t: t.replace("2", "1000000000", 1), "truncated"),
        (
            lambda t: t.replace("\n1\n", "\n1000000000\n", 1),
            "line 30: a body id should be|line 31: the number of joints",
        ),
        (lambda t: t.replace("\n25\n", "\n24\n", 1), "line 4: a body has 24 joints, not 25, in frame 1 of 2"),
        (lambda t: t.replace(BODY, "99999999999999999999", 1), "line 3: a body id is too large for 64 bits"),
        (lambda t: t.replace(BODY, str(2**63), 1), "line 3: a body id is too large for 64 bits"),
        (lambda t: t.replace(BODY, "7.2e16", 1), "line 3: a body"),
        (lambda t: t.replace("\n0.1 ", "\nnan ", 1), "line 5: a joint has a coordinate that is not a number"),
        (lambda t: t.replace("\n0.1 ", "\n-inf ", 1), "line 5: a joint has a coordinate that is not a number"),
        (lambda t: t.replace("\n0.1 ", "\n1e39 ", 1), "line 5: 1e39 is no length"),
        (lambda t: t.replace("\n0.1 ", "\n1e ", 1), "line 5"),
        (lambda t: t.replace("\n0.1 ", "\n. ", 1), "line 5: a joint has a coordinate that is not a number"),
        (lambda t: t.replace("\n0.1 ", "\n- ", 1), "line 5: a joint has a coordinate that is not a number"),
        (lambda t: t.replace("\n0.1 ", "\ne5 ", 1), "line 5: a joint has a coordinate that is not a number"),
        (lambda t: t.replace("\n0.1 ", "\n1_0 ", 1), "line 5"),
        (lambda t: t.replace("\n0.1 ", "\n0x1 ", 1), "line 5"),
        (lambda t: t.replace("-0.2 3.785547 ", "-0.2\n3.785547 ", 1), "line 5: a joint has fewer than 3"),
        (lambda t: t + "0\n", "line 58: there is more text"),
        (lambda t: t[:-3], "line 57: the file is truncated"),
        (lambda t: t[: t.rindex("3.785547") + 3], "line 57: the file is truncated"),
    ],
)
def test_faults_name_their_line(change, message):
    text = change(ntu_text([ONE, ONE]))
    with pytest.raises(BadInput, match=message) as caught:
        parse_ntu(text.encode(), "here")
    assert caught.value.where.startswith("here, line ")


@pytest.mark.parametrize("frames", [1, 2])
def test_every_truncation_is_noticed(frames):
    text = ntu_text([ONE] * frames, final=False).encode()
    for end in range(len(text)):
        with pytest.raises(BadInput):
            parse_ntu(text[:end])
    assert parse_ntu(text).frames == frames


def test_huge_promises_cost_no_memory():
    with pytest.raises(BadInput, match="truncated"):
        parse_ntu(b"9000000000000000000\n9000000000000000000\n")


def test_genuine_files():
    for path in sorted(real_data("ntu").glob("*.skeleton")):
        data = path.read_bytes()
        same_as_plain(data.decode(), parse_ntu(data))


def test_names():
    name = clip_name(1, 2, 3, 2, 13)
    assert name == "S001C002P003R002A013"
    assert parse_name(name) == {"label": 12, "subject": 3, "camera": 2, "setup": 1, "replication": 2}
    assert parse_name("S001C002P003R002A000") is None
    assert parse_name("0002-L") is None


def test_find_in_folders_and_archives(tmp_path):
    files(tmp_path / "deep" / "er", S002C001P001R001A001=ntu_clip(0))
    files(tmp_path, S001C001P001R001A002=ntu_clip(1), s001c001p001r001a003=ntu_clip(2))
    (tmp_path / "notes.txt").write_text("not ours")
    (tmp_path / ".hidden.skeleton").write_text("not ours")
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("nturgb+d_skeletons/S001C001P001R001A001.skeleton", ntu_clip(3))
        archive.writestr("__MACOSX/._S001C001P001R001A001.skeleton", "rubbish")
    (tmp_path / "loop").symlink_to(tmp_path)
    dataset = DATASETS["ntu60"]
    found = dataset.find(tmp_path)
    assert [s.name[-4:] for s in found.sources] == ["A001", "A002", "A003", "A001"]
    assert [(d.name, d.reason) for d in found.dropped] == [
        ("._S001C001P001R001A001.skeleton", "of the system"),
        (".hidden.skeleton", "hidden"),
        ("notes.txt", "no recording"),
    ]  # fmt: skip
    for seed, source in zip((3, 1, 2, 0), found.sources, strict=True):
        (recording,) = dataset.read(source)
        assert np.array_equal(recording.joints, read_ntu(ntu_clip(seed))[1])
    assert [s.name for s in dataset.find(tmp_path / "b.zip").sources] == ["S001C001P001R001A001"]


def test_names_of_files_are_made_harmless(tmp_path):
    (tmp_path / "\x1b[31m\n.skeleton").write_text("")
    (dropped,) = DATASETS["ntu60"].find(tmp_path).dropped
    assert dropped.name == r"\x1b[31m\n"
    assert dropped.detail.isprintable()


def test_what_is_left_out(tmp_path):
    files(
        tmp_path,
        S001C002P005R002A008=ntu_clip(0),  # on the publisher's list
        S018C001P041R001A061=ntu_clip(0),
        S001C001P001R001A001=ntu_clip(0),
        odd=ntu_clip(0),
    )
    files(tmp_path / "again", S001C001P001R001A001=ntu_clip(1))
    found = DATASETS["ntu60"].find(tmp_path)
    assert [s.files[0].shown for s in found.sources] == ["S001C001P001R001A001.skeleton"]
    assert [(d.name, d.reason) for d in found.dropped] == [
        ("S001C001P001R001A001", "duplicate"),
        ("S001C002P005R002A008", "missing skeleton"),
        ("S018C001P041R001A061", "not in ntu60"),
        ("odd", "unknown name"),
    ]
    assert len(DATASETS["ntu60"].find(tmp_path, keep_missing=True).sources) == 2
    assert len(DATASETS["ntu120"].find(tmp_path).sources) == 2


@pytest.mark.parametrize(
    ("text", "reason"), [(ntu_text([[], []]), "no body"), ("0\n", "no frames"), (ntu_text([[], ONE]), None)]
)
def test_nobody_there(tmp_path, text, reason):
    files(tmp_path, S001C001P001R001A001=text)
    dataset = DATASETS["ntu60"]
    (source,) = dataset.find(tmp_path).sources
    (result,) = dataset.read(source)
    assert (result.reason if isinstance(result, Dropped) else None) == reason
    (kept,) = dataset.read(source, keep_missing=True)
    assert isinstance(kept, Dropped) == (reason == "no frames")


def test_bad_places(tmp_path):
    dataset = DATASETS["ntu60"]
    with pytest.raises(BadInput, match="does not exist"):
        dataset.find(tmp_path / "absent")
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(BadInput, match="neither a folder nor"):
        dataset.find(tmp_path / "file.txt")
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4 and no more")
    with pytest.raises(BadInput, match=r"broken\.zip.*not a readable zip"):
        dataset.find(tmp_path)


NAMED = "S001C001P001R001A001.skeleton"


@pytest.mark.parametrize("place", [".", "a/.", ".\\a", "a\\b", "a..b", "..a/b", "a:b"])
def test_where_a_member_lies_in_its_archive_does_not_matter(tmp_path, place):
    separator = "\\" if "\\" in place else "/"
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{place}{separator}{NAMED}", ntu_clip(0))
    found = DATASETS["ntu60"].find(tmp_path)
    hidden = place == "..a/b"  # as any folder is whose name begins with a point
    assert [s.name for s in found.sources] == ([] if hidden else [NAMED[:-9]])
    assert [d.reason for d in found.dropped] == ["hidden"] * hidden
    for source in found.sources:
        (recording,) = DATASETS["ntu60"].read(source)
        assert np.array_equal(recording.joints, read_ntu(ntu_clip(0))[1])


@pytest.mark.parametrize("place", ["../", "/", "a/../../", "/a/", "..\\", "a\\..\\", "\\", "c:\\a\\", "C:/"])
def test_a_member_that_points_outside_does_not_take_the_place_of_a_genuine_one(tmp_path, place):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(f"{place}{NAMED}", "broken")
        archive.writestr(f"raw/{NAMED}", ntu_clip(0))
    found = DATASETS["ntu60"].find(tmp_path)
    assert [source.files[0].shown for source in found.sources] == [f"a.zip/raw/{NAMED}"]
    (dropped,) = found.dropped
    assert (dropped.name, dropped.reason) == (NAMED[:-9], "unreadable")
    assert "names a place outside its archive" in dropped.detail


def test_encrypted_archive(tmp_path):
    path = tmp_path / "locked.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("S001C001P001R001A001.skeleton", ntu_clip(0))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1  # the flag of encryption in the archive's directory
    path.write_bytes(data)
    with pytest.raises(BadInput, match=r"locked\.zip: is encrypted; unpack it with its password"):
        DATASETS["ntu60"].find(tmp_path)


def test_members_are_what_zipfile_unpacks(tmp_path):
    """Deflated ones take another way: names in UTF-8, streamed (sizes behind the data), with extra fields, empty."""
    path, clip = tmp_path / "a.zip", ntu_clip(0)
    with open(path, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        file.seekable = lambda: False
        for number, folder in enumerate(("a", "é", "日本", "e" * 300, "none"), 1):
            member = zipfile.ZipInfo(f"{folder}/S001C001P001R001A00{number}.skeleton")
            member.compress_type, member.extra = zipfile.ZIP_DEFLATED, b"\x0a\x00\x04\x00" + bytes(4)
            archive.writestr(member, b"" if folder == "none" else clip * number)
    files, _ = list_files(path, lambda name: name.endswith(".skeleton"))
    with zipfile.ZipFile(path) as archive:
        assert [file.read() for file in files] == [archive.read(file.member) for file in files]
    assert [file._packed() is None for file in sorted(files, key=lambda file: file.stem)] == [False] * 4 + [True]


def test_a_member_says_more_of_itself_than_the_directory(tmp_path):
    """As archivers do that keep times there."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(NAMED, ntu_clip(0))
    data, more, name = (tmp_path / "a.zip").read_bytes(), bytes(200), len(NAMED)
    data = bytearray(data[: 30 + name] + more + data[30 + name :])
    data[28:30] = struct.pack("<H", len(more))
    end = data.index(b"PK\5\6") + 16
    data[end : end + 4] = struct.pack("<I", data.index(b"PK\1\2"))
    (tmp_path / "a.zip").write_bytes(data)
    (file,), _ = list_files(tmp_path / "a.zip", lambda name: True)
    assert file._packed() is not None
    assert file.read().decode() == ntu_clip(0)


@pytest.mark.parametrize("at", [200, -400, 14, 31], ids=["data", "end of the data", "checksum", "name"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_member_is_refused(tmp_path, method, at):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("S001C001P001R001A001.skeleton", ntu_clip(0))
    data = bytearray(path.read_bytes())
    place = data.index(b"PK\1\2") + 16 if at == 14 else at
    data[place] ^= 1
    path.write_bytes(data)
    (source,) = DATASETS["ntu60"].find(tmp_path).sources
    with pytest.raises(BadInput, match=r"a\.zip/S001C001P001R001A001\.skeleton: cannot be read"):
        DATASETS["ntu60"].read(source)


def test_damaged_member(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("S001C001P001R001A001.skeleton", ntu_clip(0))
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    (source,) = DATASETS["ntu60"].find(tmp_path).sources
    with pytest.raises(BadInput, match=r"a\.zip/S001C001P001R001A001\.skeleton: cannot be read"):
        DATASETS["ntu60"].read(source)
