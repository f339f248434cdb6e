import zipfile

import numpy as np
import pytest
from rawtext import pku_text, pku_values, real_data

from skelpipe.errors import BadInput
from skelpipe.recordings.datasets import DATASETS, Dropped
from skelpipe.recordings.text.pku import parse_pku

PKU1, PKU2 = DATASETS["pku1"], DATASETS["pku2"]
VALUES = pku_values(1, 12, second=range(4, 9))


def write(root, layout):
    for name, text in layout.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, newline="")
    return root


def part1(root, labels="3,2,5,1\n51,5,12,2\n", sequence=None):
    return write(
        root,
        {
            "PKU_Skeleton_Renew/0291-L.txt": sequence or pku_text(VALUES),
            "Train_Label_PKU_final/0291-L.txt": labels,
        },
    )


def clips_of(dataset, root, **options):
    return [clip for source in dataset.find(root, **options).sources for clip in dataset.read(source, **options)]


def plain_clip(values, start, end):
    """Rows of the bodies that are there, frame by frame."""
    joints, frames, bodies = [], [], []
    for number, row in enumerate(values[start - 1 : end].astype(np.float32)):
        for body in range(2):
            half = row[75 * body : 75 * (body + 1)]
            if half.any():
                joints.append(half.reshape(25, 3))
                frames.append(number)
                bodies.append(body)
    return np.array(joints), frames, bodies


def test_clips_are_cut_inclusively(tmp_path):
    first, second = clips_of(PKU1, part1(tmp_path))
    assert first.name == "F291V001C003L001"
    assert first.ids == {"label": 2, "video": "0291-L", "view": 1, "start": 2, "end": 5}
    assert first.frames == 4
    assert second.name == "F291V001C051L002"
    assert second.ids["label"] == 50
    assert second.frames == 8
    for clip in (first, second):
        joints, frames, bodies = plain_clip(VALUES, clip.ids["start"], clip.ids["end"])
        assert np.array_equal(clip.joints, joints)
        assert clip.row_frame.tolist() == frames
        assert clip.row_body.tolist() == bodies
    assert first.row_body.tolist() == [0, 0, 0, 0, 1]


def test_names_of_part_two(tmp_path):
    write(tmp_path, {"skeleton/A10N08-R.txt": pku_text(VALUES), "label/A10N08-R.txt": "7, 1, 3, 2"})
    (clip,) = clips_of(PKU2, tmp_path)
    assert clip.name == "A010N008V003C007L001"
    assert clip.ids["video"] == "A10N08-R"
    assert clip.ids["view"] == 3


def test_ends_are_clamped(tmp_path):
    clips = clips_of(PKU1, part1(tmp_path, "1,0,3,1\n1,10,99,1\n\n1,1,1,1\n"))
    assert [c.frames for c in clips] == [3, 3, 1]
    assert [(c.ids["start"], c.ids["end"]) for c in clips] == [(0, 3), (10, 99), (1, 1)]
    assert [c.name[-4:] for c in clips] == ["L001", "L002", "L004"]
    assert np.array_equal(clips[0].joints, plain_clip(VALUES, 1, 3)[0])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x,1,2,1", "line 1: 'x,1,2,1' should be class,start,end,confidence, and 'x' is no number"),
        ("1,2", "line 1: '1,2' should be class,start,end,confidence, and has too few numbers"),
        ("1,1.5,4,1", "'1,1.5,4,1' should be class,start,end,confidence, and 1.5 is no whole number"),
        ("1,,4,1", "and '' is no number"),
        ("1,0 71,0 96,0", "and '0 71' is no number"),
        ("1,1_0,12,1", "and '1_0' is no number"),
        ("52,1,2,1", "class 52 is not in 1 to 51"),
        ("-1,1,2,1", "class -1 is not in 1 to 51"),
        ("1,-4,1,1", "the clip starts at frame -4, before the sequence; correct the line"),
        ("1,13,20,1", "frames 13 to 20 are not in the 12 frames"),
        ("1,5,4,1", "frames 5 to 4"),
        ("1,1,99999999999,1", "frames 1 to 99999999999"),
    ],
)
def test_bad_labels_cost_their_clip_only(tmp_path, row, message):
    bad, good = clips_of(PKU1, part1(tmp_path, row + "\n2,1,4,1\n"))
    assert isinstance(bad, Dropped)
    assert bad.reason == "bad label"
    assert message in bad.detail
    assert "Train_Label_PKU_final/0291-L.txt, line 1" in bad.detail
    assert good.frames == 4


def test_the_same_label_twice_gives_one_clip(tmp_path):
    """The confidence does not make it another, the class does; what is bad twice is told twice."""
    text = "3,2,5,1\n3, 2, 5, 2\n4,2,5,1\n3,2,5,1\n3,9,8,1\n3,9,8,1\n"
    kept, twice, other, again, *bad = clips_of(PKU1, part1(tmp_path, text))
    assert (kept.name, other.name) == ("F291V001C003L001", "F291V001C004L003")
    assert [(d.name, d.reason) for d in (twice, again)] == [
        ("F291V001C003L002", "duplicate"), ("F291V001C003L004", "duplicate"),
    ]  # fmt: skip
    assert again.detail.endswith("Train_Label_PKU_final/0291-L.txt, line 4: the same label as line 1")
    assert [d.reason for d in bad] == ["bad label", "bad label"]


@pytest.mark.parametrize(("text", "what"), [("", "is empty"), (" \n\n", "is empty"), ("class,start,end\n", "no row")])
def test_a_label_file_without_rows_is_told(tmp_path, text, what):
    (dropped,) = clips_of(PKU1, part1(tmp_path, text))
    assert (dropped.name, dropped.reason) == ("0291-L", "no labels")
    assert "0291-L.txt: its label file " in dropped.detail
    assert dropped.detail.endswith(what)


def test_bodies(tmp_path):
    """The second body is absent where its numbers sum to exactly 0, the first where all numbers of both are 0."""
    values = pku_values(2, 4, second=[0, 1, 2, 3])
    values[1, :75] = 0
    values[2] = 0
    values[3, 75:] = 0
    values[3, 75:77] = 0.5, -0.5
    (clip,) = clips_of(PKU1, part1(tmp_path, "1,1,4,1", pku_text(values)))
    assert clip.row_frame.tolist() == [0, 0, 1, 1, 3]
    assert clip.row_body.tolist() == [0, 1, 0, 1, 0]
    (empty,) = clips_of(PKU1, part1(tmp_path, "1,3,3,1", pku_text(values)))
    assert empty.reason == "no body"
    (kept,) = clips_of(PKU1, part1(tmp_path, "1,3,3,1", pku_text(values)), keep_missing=True)
    assert kept.frames == 1


@pytest.mark.parametrize(
    "layout",
    [
        {"0291-L.txt": pku_text(VALUES), "other/0291-L.txt": "1,1,2,1"},
        {"0291-L.skeleton": pku_text(VALUES), "0291-L.label": "1,1,2,1"},
        {"labels and skeletons/a/0291_l.txt": pku_text(VALUES), "labels and skeletons/b/291-L.TXT": "1,1,2,1"},
    ],
)
def test_any_layout_and_spelling(tmp_path, layout):
    (clip,) = clips_of(PKU1, write(tmp_path, layout))
    assert clip.name == "F291V001C001L001"


def test_archives(tmp_path):
    plain = part1(tmp_path / "plain")
    for name in ("PKU_Skeleton_Renew", "Train_Label_PKU_final"):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            archive.write(plain / name / "0291-L.txt", f"{name}/0291-L.txt")
    for path in plain.rglob("*.txt"):
        path.unlink()
    assert [c.name for c in clips_of(PKU1, tmp_path)] == ["F291V001C003L001", "F291V001C051L002"]


def test_halves_without_their_other(tmp_path):
    part1(tmp_path)
    write(
        tmp_path,
        {
            "PKU_Skeleton_Renew/0292-M.txt": pku_text(VALUES),
            "Train_Label_PKU_final/0293-R.txt": "1,1,2,1",
            "Train_Label_PKU_final/0294-R.txt": "",
            "skeleton/A10N08-R.txt": pku_text(VALUES),
            "readme.txt": "nothing",
        },
    )
    found = PKU1.find(tmp_path)
    assert [s.name for s in found.sources] == ["0291-L"]
    assert [(d.name, d.reason) for d in found.dropped] == [
        ("0292-M", "no labels"),
        ("0293-R", "no sequence"),
        ("0294-R", "no sequence"),
        ("A10N08-R", "not in pku1"),
        ("readme", "unknown name"),
    ]


LISTS = "Training videos: \n0002-L, 0002-M, \nValidataion videos: \n0291-L, 0291-M, \n"
BOTH = {"train": ["0002-L", "0002-M"], "test": ["0291-L", "0291-M"]}


@pytest.mark.parametrize(
    ("name", "split"),
    [("cross-subject.txt", "pku1-xsub"), ("cross_subject.txt", "pku1-xsub"), ("Split/cross-view.txt", "pku1-xview")],
)
def test_split_files(tmp_path, name, split):
    write(part1(tmp_path), {name: LISTS, "cross_subject_v2.txt": "Training videos: \nA01N02-L, \n"})
    found = PKU1.find(tmp_path)
    assert found.split_files == {split: BOTH}
    assert ("cross_subject_v2", "not in pku1") in [(d.name, d.reason) for d in found.dropped]
    assert PKU2.find(tmp_path).split_files == {"pku2-xsub": {"train": ["A01N02-L"], "test": []}}


def test_a_video_in_both_lists_is_refused(tmp_path):
    """It would change sides unseen."""
    write(tmp_path, {"cross-subject.txt": LISTS.replace("0291-M", "0002-M")})
    with pytest.raises(BadInput, match="has 0002-M in both lists"):
        PKU1.find(tmp_path)


def test_labels_do_not_multiply_a_sequence_without_end(tmp_path):
    clips = clips_of(PKU1, part1(tmp_path, "".join(f"{n},1,{len(VALUES)},1\n" for n in range(1, 13))))
    assert [isinstance(clip, Dropped) for clip in clips] == [False] * 10 + [True] * 2
    assert "the clips are 10 times as long as their sequence already" in clips[-1].detail


def test_split_files_that_disagree(tmp_path):
    write(tmp_path, {"a/cross-subject.txt": LISTS, "b/cross_subject.txt": LISTS})
    assert PKU1.find(tmp_path).split_files == {"pku1-xsub": BOTH}
    write(tmp_path, {"b/cross_subject.txt": LISTS.replace("0002-M", "0003-M")})
    with pytest.raises(BadInput, match="disagrees with another list"):
        PKU1.find(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the file is empty"),
        ("1 2 3\n", "line 1: has 3 numbers, not 150"),
        (pku_text(VALUES[:2]) + "7 " * 151, "line 3: has 151 numbers, not 150"),
        (pku_text(VALUES[:2]) + "7 8 nan", "line 3: holds something not a number"),
        (pku_text(VALUES[:2])[:-12], "line 2: has 149 numbers"),
        (" ".join(["1e99"] * 150), "line 1: 1e99 is no length"),
    ],
)
def test_faulty_sequences(text, message):
    with pytest.raises(BadInput, match=message):
        parse_pku(text.encode(), "here")


def test_genuine_sequence(tmp_path):
    path = real_data("pku", "A10N08-L.txt")
    expected = np.array([[float(w) for w in line.split()] for line in path.read_text().splitlines()])
    parsed = parse_pku(path.read_bytes())
    assert parsed.shape == (1040, 150)
    assert parsed.tobytes() == expected.astype(np.float32).tobytes()
    write(tmp_path, {"skeleton/A10N08-L.txt": path.read_text(), "label/A10N08-L.txt": "1,300,320,2\n"})
    (clip,) = clips_of(PKU2, tmp_path)
    joints, frames, bodies = plain_clip(expected, 300, 320)
    assert np.array_equal(clip.joints, joints)
    assert clip.row_frame.tolist() == frames
    assert clip.row_body.tolist() == bodies
    # The second body enters in frame 312 of the sequence and stays.
    assert set(clip.row_frame[clip.row_body == 1].tolist()) == set(range(312 - 299, 21))
