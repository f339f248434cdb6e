"""Label files in the forms that tools and people give them: each is read as the publisher's, or its line is shown."""

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from rawtext import pku_text, pku_values, real_data

from skelpipe.errors import BadInput
from skelpipe.recordings.datasets import DATASETS, Dropped, split_masks
from skelpipe.recordings.datasets.pku_labels import decoded, is_label, rows
from skelpipe.recordings.ingest import ingest

PKU1 = DATASETS["pku1"]
PLAIN = "34,2,7,2\n1,8,12,1\n"
WANTED = [("F294V001C034L001", 33, 2, 7), ("F294V001C001L002", 0, 8, 12)]


def read(root: Path, labels: bytes | str, folder: str = "label", sequence: str | bytes | None = None) -> list:
    for name, text in (
        (f"{folder}/0294-L.txt", labels),
        ("skeleton/0294-L.txt", sequence or pku_text(pku_values(3, 12))),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    found = PKU1.find(root)
    assert found.dropped == []
    (source,) = found.sources
    return PKU1.read(source)


def told(clips):
    return [(clip.name, clip.ids["label"], clip.ids["start"], clip.ids["end"]) for clip in clips]


SAVED = np.array([[34, 2, 7, 2], [1, 8, 12, 1]])


@pytest.mark.parametrize(
    "text",
    [
        PLAIN, PLAIN[:-1], *(PLAIN.replace(",", mark) for mark in (" ", "\t", ";", "; ", " , ", "    ", "\u00a0")),
        *(PLAIN.replace("\n", end) for end in (",\n", ", ;\n", "\r\n", "\r", " \n")),
        *(PLAIN.replace(",", " ").replace("\n", end) for end in (" \n", ",\n")),
        "34.0,2.0,7.0,2.0\n1.,8.,12.,1.\n", "+34,2e0,0.7e1,2\n1,8,1.2e+01,0.85\n", "34,2,7\n1,8,12\n",
        "34,0;2,0;7,0;2,0\n1,0;8,0;12,0;1,0\n", "34,2,7,2,0,0.5\n1 8 12 1\n", "  34,2,7,2\n\t1,8,12,1",
        "\ufeff" + PLAIN, PLAIN.encode("utf-16"), PLAIN.encode("utf-16-le"), PLAIN.encode("utf-16-be"),
        "".join(" ".join(f"{v:.18e}" for v in row) + "\n" for row in SAVED),
    ],
)  # fmt: skip
@pytest.mark.parametrize("folder", ["label", "Label", "a"])
def test_forms_of_one_label_file(tmp_path, text, folder):
    """In whatever folder: `Label` and `a` stand before `skeleton` in the order of paths."""
    assert told(read(tmp_path, text, folder)) == WANTED


@pytest.mark.parametrize(
    ("heading", "order"),
    [
        ("class,start,end,confidence", (0, 1, 2, 3)), ("# label start end conf", (0, 1, 2, 3)),
        ("Start Frame;End Frame;Action ID", (1, 2, 0)), ("conf,class_id,start_frame,end_frame", (3, 0, 1, 2)),
    ],
)  # fmt: skip
def test_a_heading_tells_the_order(tmp_path, heading, order):
    mark = ";" if ";" in heading else "," if "," in heading else " "
    text = "\n".join([heading, *(mark.join(str(row[n]) for n in order) for row in SAVED.tolist())])
    assert told(read(tmp_path, text)) == [(f"{name[:-1]}{n}", *rest) for n, (name, *rest) in enumerate(WANTED, 2)]


@pytest.mark.parametrize("text", ["6,2,4,1\n10,5,7,2\n0,8,12,1\n", "start end action\n2 4 6\n8 12 0\n"])
@pytest.mark.parametrize("video", ["0294-L", "0295-L"])
def test_labels_that_count_from_0_are_refused_as_a_whole(tmp_path, text, video):
    """Also when the file of class 0 has no sequence: those that have one are of the same making."""
    read(tmp_path, "6,2,4,1\n")
    (tmp_path / f"label/{video}.txt").write_text(text)
    where = re.escape(f"label/{video}.txt, line 3: '{text.splitlines()[2]}': class 0: these labels seem to count from")
    with pytest.raises(BadInput, match=f"{where} 0; add 1 to the classes .* or remove the line"):
        ingest("pku1", tmp_path, tmp_path / "store", workers=0)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("first", ["labels of this video", "class,begin", "34;2;x;1"])
def test_other_words_are_shown(tmp_path, first):
    bad, *good = read(tmp_path, f"{first}\n{PLAIN}")
    assert isinstance(bad, Dropped)
    assert f"label/0294-L.txt, line 1: '{first}' should be class,start,end,confidence" in bad.detail
    assert [clip.ids["label"] for clip in good] == [33, 0]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("9007199254740993,1,2", (9007199254740993, 1, 2)),
        ("-0.0,-4.0,1e1", (0, -4, 10)),
        ("5,1," + "0" * 17 + "9", (5, 1, 9)),
    ],
)
def test_whole_numbers_are_exact(line, values):
    (row,) = rows(line)
    assert (row.values, row.wrong) == (values, "")


@pytest.mark.parametrize(
    "word", ["1e999", "9" * 30, "1e16", "2.5", "1e-3", "1.0e", "0x1", "1e5_0", "inf", "nan", "\u0663", "1" + "0" * 60]
)
def test_what_is_no_whole_number_is_shown(word):
    (row,) = rows(f"3,{word},9")
    assert row.wrong
    assert word[:20] in row.text


def test_a_label_file_is_told_by_its_numbers_a_line():
    sequence = pku_text(pku_values(0, 3)).encode()
    assert is_label(sequence[:4096]) is False
    assert is_label(b"\r\n \n" + sequence) is False
    assert is_label((" ".join([f"{1.5:.18e}"] * 150) + "\n").encode()[:4096]) is False
    assert is_label(",".join(["1.5"] * 150).encode()) is False
    assert is_label(decoded(sequence).encode("utf-16")[:4096]) is False
    assert is_label(b"34 2 7 2") is True
    assert is_label(PLAIN.encode("utf-16")) is True
    assert is_label(b"nothing good\n") is True
    assert is_label(b" \n\n") is None
    assert is_label(b"") is None


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_sequence_in_another_encoding(tmp_path, encoding):
    clips = read(tmp_path, PLAIN, sequence=pku_text(pku_values(3, 12)).encode(encoding))
    plain = read(tmp_path, PLAIN)
    assert all(np.array_equal(a.joints, b.joints) for a, b in zip(clips, plain, strict=True))


def test_the_genuine_labels(tmp_path):
    """All 1,076 label files of part I: 21,545 rows, and the published cross-subject counts."""
    path = real_data("pku", "V1_Label.zip")
    found = PKU1.find(path)
    assert (found.sources, {d.reason for d in found.dropped}) == ([], {"no sequence"})
    with zipfile.ZipFile(path) as archive:
        texts = {Path(m).stem: archive.read(m) for m in archive.namelist() if m.endswith(".txt")}
    assert set(texts) == {dropped.name for dropped in found.dropped}
    assert len(texts) == 1076
    frames = np.ones((9000, 150), np.float32)  # the last label ends at 8,542
    clips, bad = [], []
    for video, data in texts.items():
        assert is_label(data[:4096])
        for row in rows(decoded(data)):
            clip = PKU1._clip(video, row, frames, "x", len(frames) + 1, False)
            if isinstance(clip, Dropped):
                bad.append(clip.detail)
                continue
            action, start, end = (int(word) for word in decoded(data).split("\n")[row.line - 1].split(",")[:3])
            assert (clip.ids["label"] + 1, clip.ids["start"], clip.ids["end"]) == (action, start, end)
            clips.append(clip.ids)
    assert len(clips) == 21_545 - 1
    what = "frames 4925 to 4036 are not in the 9000 frames of the sequence; correct the line"
    assert bad == [f"x, line 21: '1,4925,4036,2': {what}"]
    columns = {name: np.array([ids[name] for ids in clips]) for name in ("label", "video", "view")}
    columns["name"] = columns["video"]
    train, test = split_masks("pku1-xsub", "pku1", columns)
    assert (train.sum(), test.sum(), (~(train | test)).sum()) == (18_841 - 1, 2_704, 0)
