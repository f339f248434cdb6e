"""Every file below the raw folder is read, is a split list, or is counted with its reason."""

import os
import re
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner
from rawtext import files, ntu_clip, pku_text, pku_values

from skelpipe.cli import main
from skelpipe.errors import BadInput
from skelpipe.pipeline.plan import list_raw
from skelpipe.recordings.datasets import DATASETS
from skelpipe.recordings.datasets.unread import how_to_unpack, is_partial
from skelpipe.recordings.ingest import ingest, raw_files
from skelpipe.recordings.parts import Part, join
from skelpipe.recordings.store import open_group, read_array

CLIP, NAME = ntu_clip(0, frames=2), "S001C001P001R001A001"
PKU = {"s/0294-L.txt": pku_text(pku_values(1, 9)), "l/0294-L.txt": "3,1,4,1\n"}


def write(root, **contents):
    for name, text in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def command(*words):
    done = CliRunner().invoke(main, [*map(str, words)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def reasons(found):
    return {(entry.name, entry.reason): entry.count for entry in found.dropped}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.7z", "7z x a.7z"), ("a.7z.001", "7z x a.7z.001"), ("a.7z.014", "7z x a.7z.001"), ("a.rar", "7z x a.rar"),
        ("A.TAR.GZ", "tar xf A.TAR.GZ"),
        ("a.tgz", "tar xf a.tgz"), ("a.tar.bz2", "tar xf a.tar.bz2"), ("a.txz", "tar xf a.txz"),
        ("a.tar", "tar xf a.tar"),
        ("a.skeleton.gz", "gunzip a.skeleton.gz"), ("a.z02", "zip -s 0 a.zip --out whole.zip"),
        ("a b.7z", "7z x 'a b.7z'"),
        ("x.r07", "7z x x.rar"), ("a.zip", ""), ("a.skeleton", ""), ("7z", ""), ("a.txt", ""),
    ],
)  # fmt: skip
def test_what_unpacks_an_archive(name, said):
    assert how_to_unpack(name) == said


@pytest.mark.parametrize("folder", ["new data", f"{'a' * 120}/{'b' * 120}", "x is an archive that is not read"])
def test_what_is_advised_does_not_go_by_how_paths_are_shown(tmp_path, folder):
    packed = write(tmp_path / "packed", **{f"{folder}/nturgbd.7z": "7z"})
    command_line = f"7z x '{folder}/nturgbd.7z'" if " " in folder else f"7z x {folder}/nturgbd.7z"
    assert command_line in command("ingest", "ntu60", packed, tmp_path / "store")[1]
    others = write(tmp_path / "others", **{f"{folder}/000{n}-L.txt": "1,2,3,4" for n in (2, 3)})
    said = command("ingest", "ntu60", others, tmp_path / "store")[1]
    assert f"files such as {folder}/0002"[:150] in said
    assert "give them to 'skelpipe ingest pku1'" in said


def test_unfinished_downloads_by_their_names():
    for name in (
        "a.zip.crdownload",
        "a.zip.part",
        "Ab1cd.zip.PART",
        "a.tmp",
        "a.partial",
        "a.zip.download/a.zip",
        "a.7z.aria2",
    ):
        assert is_partial(name), name
    for name in ("a.part1.rar", "part/a.zip", "a.parts", "a.zip", "downloads/a.skeleton", "tmp/x.skeleton"):
        assert not is_partial(name), name


def jungle(root):
    """A folder with one of everything, and how many files are below it: a zip by its members, .git as one."""
    write(root, **{
        f"{NAME}.skeleton": CLIP, "deep/s001c001p001r001a002.SKELETON": CLIP, "S001C001P001R001A003.skeleton.txt": CLIP,
        "S001C001P001R001A004.txt": CLIP, f"twice/{NAME}.skeleton": CLIP, "my recording.skeleton": CLIP,
        "S001C002P005R002A008.skeleton": CLIP, "S001C001P001R001A061.skeleton": CLIP, "more.7z": b"7z",
        "deep/more.tar.gz": b"",
        "more.zip.crdownload": b"PK", "S001C001P001R001A009.skeleton.part": "1", "notes.pdf": b"",
        "a.avi": b"", "b.avi": b"",
        "deep/c.AVI": b"", "Makefile": b"", "._S001C001P001R001A001.skeleton": b"",
        ".DS_Store": b"", "deep/Thumbs.db": b"",
        ".git/config": b"", ".git/HEAD": b"", ".hidden.skeleton": CLIP, "__MACOSX/x.skeleton": b"",
        "provenance.json": "{}",
    })  # fmt: skip
    (root / "gone.avi").symlink_to(root / "nowhere")
    (root / "S001C001P001R001A010.skeleton").symlink_to(root / "nowhere.skeleton")
    os.mkfifo(root / "pipe")
    with zipfile.ZipFile(root / "x.zip", "w") as archive:
        archive.mkdir("folder")
        for name in (
            "folder/S001C001P001R001A011.skeleton",
            "a.7z",
            "folder/b.avi",
            "__MACOSX/._x.skeleton",
            ".hid",
            "c.part",
            "i.zip",
        ):
            archive.writestr(name, CLIP)
    return 24 + 3 + 7  # of .git one


def test_the_numbers_add_up_to_what_is_there(tmp_path):
    below = jungle(tmp_path / "raw")
    found = DATASETS["ntu60"].find(tmp_path / "raw")
    counts = raw_files(found)
    assert sum(counts.values()) == below
    assert [source.name[-4:] for source in found.sources] == ["A001", "A002", "A003", "A004", "A011"]
    assert counts == {"read": 5, "split_lists": 0, "left_out": below - 5}
    assert reasons(found) == {
        (NAME, "duplicate"): 1, ("my recording", "unknown name"): 1, ("S001C002P005R002A008", "missing skeleton"): 1,
        ("S001C001P001R001A061", "not in ntu60"): 1, ("more.7z", "archive not read"): 1,
        ("more.tar.gz", "archive not read"): 1,
        ("more.zip.crdownload", "unfinished download"): 1,
        ("S001C001P001R001A009.skeleton.part", "unfinished download"): 1,
        ("c.part", "unfinished download"): 1, ("notes.pdf", "no recording"): 1, ("*.avi", "no recording"): 4,
        ("c.AVI", "no recording"): 1, ("*", "no recording"): 2, (".*", "of the system"): 5, (".*", "hidden"): 3,
        ("provenance.json", "of skelpipe"): 1, ("S001C001P001R001A010", "unreadable"): 1,
        ("a", "unreadable"): 1, ("i", "unreadable"): 1,
    }  # fmt: skip


def test_what_was_left_out_is_told_kept_and_shown(tmp_path):
    jungle(tmp_path / "raw")
    code, said = command("ingest", "ntu60", tmp_path / "raw", tmp_path / "s", "--workers", 0)
    assert code == 0
    assert "more.7z is an archive that is not read in place; unpack it by 7z x more.7z" in said
    assert "deep/more.tar.gz is an archive that is not read in place; unpack it by tar xf deep/more.tar.gz" in said
    assert (
        "left out: 2 archive not read, 1 duplicate, 3 hidden, 1 missing skeleton, 8 no recording, 1 not in ntu60, "
        "3 unfinished download, 1 unknown name, 3 unreadable;" in said
    )
    shown = " ".join(command("inspect", tmp_path / "s")[1].split())
    assert "files below the raw folder 34: 5 read, 0 split lists, 29 left out" in shown
    assert "no recording 8 *: 2 files, as Makefile: read are .skeleton files *.avi: 4 files, as a.avi: read" in shown
    assert "of the system 5 .*: 5 files, as .DS_Store" in shown
    code, said = command("ingest", "ntu60", tmp_path / "raw", tmp_path / "t", "--workers", 0, "--strict")
    assert code == 2
    assert said.count("\n") == 1
    assert command("verify", tmp_path / "s", tmp_path / "raw", "--workers", 0)[0] == 0


def test_parts_and_join_count_alike(tmp_path):
    jungle(tmp_path / "raw")
    ingest("ntu60", tmp_path / "raw", tmp_path / "whole", workers=0)
    for number in (1, 2):
        ingest("ntu60", tmp_path / "raw", tmp_path / f"p{number}", workers=0, part=Part(number, 2))
    join([tmp_path / "p1", tmp_path / "p2"], tmp_path / "joined")
    (one, about), (other, again) = (open_group(tmp_path / name, "store") for name in ("whole", "joined"))
    assert about == again
    assert read_array(one, "dropped/count").tolist() == read_array(other, "dropped/count").tolist()


def test_nothing_was_left_out_where_nothing_was(tmp_path):
    files(tmp_path / "raw", **{NAME: CLIP})
    ingest("ntu60", tmp_path / "raw", tmp_path / "s", workers=0)
    assert "nothing was left out" in command("inspect", tmp_path / "s")[1]


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ({"Skeleton.7z": b"", "Label_PKUMMD.7z": b"", "cross-subject.txt": "train: 0294-L\ntest: 0002-L"},
         "holds no PKU-MMD part I recordings that can be read, and Label_PKUMMD.7z, Skeleton.7z, packed or unfinished; "
         "unpack there what is packed: 7z x Label_PKUMMD.7z; 7z x Skeleton.7z"),
        ({"s/0294-L.txt": PKU["s/0294-L.txt"], "Label_PKUMMD.7z": b""},
         "no clip can be kept (1 archive not read, 1 no labels); unpack there what is packed: 7z x Label_PKUMMD.7z"),
        ({"PKU.zip.crdownload": b""},
         "PKU.zip.crdownload, packed or unfinished; finish the download, or download it again"),
        ({"a.pdf": b"", ".x": b""},
         "holds no PKU-MMD part I recordings; give the folder or the .zip files that hold them"),
        ({"l/0294-L.txt": "3,1,4,1\n"},
         "no clip can be kept (1 no sequence); the first: 0294-L: l/0294-L.txt has no sequence"),
    ],
)  # fmt: skip
def test_an_ingest_of_nothing_names_what_lies_there(tmp_path, contents, said):
    write(tmp_path / "raw", **contents)
    code, output = command("ingest", "pku1", tmp_path / "raw", tmp_path / "s", "--workers", 0)
    assert (code, output.count("\n")) == (2, 1)
    assert said in output


@pytest.mark.parametrize(
    ("name", "said"), [("a.7z", "unpack it by 7z x a.7z"), ("a.tar.gz", "tar xf a.tar.gz"), ("a.txt", "give the")]
)
def test_one_file_that_is_not_read(tmp_path, name, said):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(BadInput, match=re.escape(said)):
        DATASETS["ntu60"].find(tmp_path / name)


def test_the_last_piece_of_a_split_archive_is_no_attack(tmp_path):
    with zipfile.ZipFile(tmp_path / "big.zip", "w") as archive:
        archive.writestr(f"{NAME}.skeleton", CLIP)
    (tmp_path / "big.z01").write_bytes(b"PK")
    with pytest.raises(BadInput, match=r"is the last piece of a split archive; join the pieces by zip -s 0 big.zip"):
        DATASETS["ntu60"].find(tmp_path)
    (tmp_path / "big.z01").unlink()
    data = bytearray((tmp_path / "big.zip").read_bytes())
    place = data.index(b"PK\1\2")
    data[place + 34] = 1  # the member begins on the second disk
    (tmp_path / "big.zip").write_bytes(data)
    with pytest.raises(BadInput, match="is the last piece of a split archive"):
        DATASETS["ntu60"].find(tmp_path)


def test_a_browsers_suffixes_of_pku(tmp_path):
    write(
        tmp_path,
        **{"s/0294-L.txt.txt": PKU["s/0294-L.txt"], "l/0294-L.label.txt": PKU["l/0294-L.txt"], "l/readme.txt": ""},
    )
    found = DATASETS["pku1"].find(tmp_path)
    assert [source.name for source in found.sources] == ["0294-L"]
    assert reasons(found) == {("readme", "unknown name"): 1}
    assert sum(raw_files(found).values()) == 3


def test_own_recordings_are_named_and_told_when_no_split_has_them(tmp_path):
    files(tmp_path / "raw", **{"my recording": CLIP, "S099C001P099R001A001": CLIP, "S001C007P001R001A002": CLIP})
    code, said = command("ingest", "ntu60", tmp_path / "raw", tmp_path / "s", "--workers", 0)
    assert code == 0
    assert "xsub60: 1 train, 0 test, 1 in neither part, as S099C001P099R001A001\n" in said
    assert "xview60: 0 train, 0 test, 2 in neither part, as S001C007P001R001A002\n" in said
    shown = " ".join(command("inspect", tmp_path / "s")[1].split())
    assert "my recording.skeleton is not named like S001C002P003R002A013: set-up, camera, person" in shown
    assert "xsub60 1 0 1 xview60 0 0 2" in shown


def test_ids_that_a_publication_does_not_have_are_in_neither_part():
    from skelpipe.recordings.datasets import split_masks

    columns = {
        "name": np.array(list("abcdef")), "label": np.zeros(6, int), "subject": np.array([1, 3, 41, 99, 106, 107]),
        "camera": np.array([1, 2, 3, 4, 7, 0]), "setup": np.array([1, 2, 18, 32, 33, 34]),
    }  # fmt: skip
    told = {}
    for split, dataset in (("xsub60", "ntu60"), ("xview60", "ntu60"), ("xsub120", "ntu120"), ("xset120", "ntu120")):
        train, test = split_masks(split, dataset, columns)
        told[split] = "".join("t" if a else "e" if b else "-" for a, b in zip(train, test, strict=True))
    assert told == {"xsub60": "te----", "xview60": "et----", "xsub120": "teeee-", "xset120": "ettt--"}
    videos = np.array(["0001-L", "0002-M", "0291-R", "0364-L", "0365-M"])
    views = np.array([1, 2, 3, 1, 2])
    train, test = split_masks("pku1-xsub", "pku1", {"name": videos, "video": videos, "view": views})
    assert (train.tolist(), test.tolist()) == ([False, True, False, True, False], [False, False, True, False, False])
    videos = np.array(["A27N01-L", "A26N14-L", "A26N13-L", "A01N07-M"])
    train, test = split_masks("pku2-xsub", "pku2", {"name": videos, "video": videos, "view": views[:4]})
    assert (train.tolist(), test.tolist()) == ([False, False, True, False], [False, False, False, True])


def test_a_folder_whose_name_is_not_utf8(tmp_path):
    raw = tmp_path / os.fsdecode(b"\312\375\276\257")
    files(raw, **{NAME: CLIP})
    code, said = command("ingest", "ntu60", raw, tmp_path / "s", "--workers", 0)
    assert (code, "1 clips of" in said) == (0, True)
    assert command("verify", tmp_path / "s", raw, "--workers", 0)[0] == 0
    code, shown = command("inspect", "--provenance", tmp_path / "s")
    assert (code, r"\udcca" in shown, "unchanged" in shown) == (0, True, True)
    files(raw / os.fsdecode(b"\377"), **{os.fsdecode(b"\303x"): CLIP, "S001C001P001R001A002": CLIP})
    code, said = command("ingest", "ntu60", raw, tmp_path / "u", "--workers", 0)
    assert (code, "2 clips of" in said, "1 unknown name" in said) == (0, True, True)
    assert list_raw(raw) != list_raw(raw / os.fsdecode(b"\377"))
    code, said = command("ingest", "ntu60", raw / "none", tmp_path / "t")
    assert (code, said.count("\n")) == (2, 1)
