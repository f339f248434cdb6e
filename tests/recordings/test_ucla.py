"""NW-UCLA: a clip written by hand, what is left out, the split, the commands, and the genuine files where they are."""

import json
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner
from rawtext import real_data

from skelpipe.cli import main
from skelpipe.clips.prepare import prepare
from skelpipe.errors import BadInput
from skelpipe.recordings.datasets import DATASETS, Dropped, divided, find_dataset, fitting_splits, split_masks
from skelpipe.recordings.datasets.ucla import ACTIONS, clip_name, parse_name
from skelpipe.recordings.ingest import ingest
from skelpipe.recordings.parts import Part, join
from skelpipe.recordings.store import Clips, open_group, read_array
from skelpipe.recordings.synthetic import write_raw
from skelpipe.recordings.text.ucla import parse_ucla
from skelpipe.recordings.verify import verify

UCLA = DATASETS["nw-ucla"]


def frame(number):
    """Twenty joints of which joint v is at (number, v / 10, 2.5)."""
    return [[float(number), v / 10, 2.5] for v in range(20)]


def clip(name="a01_s02_e03_v01", frames=2, label=1, **changes):
    told = {"file_name": name, "skeletons": [frame(n + 1) for n in range(frames)], "label": label, **changes}
    return json.dumps({key: value for key, value in told.items() if value is not None})


def write(root, **contents):
    root.mkdir(parents=True, exist_ok=True)
    for name, text in contents.items():
        (root / f"{name}.json").write_text(text)
    return root


def read(root):
    found = UCLA.find(root)
    return [clip for source in found.sources for clip in UCLA.read(source)], found.dropped


def called(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


# ------------------------------------------------------------------------------------------------------------- by hand


def test_a_clip_is_read_as_it_is_written(tmp_path):
    text = clip("a11_s07_e10_v03", label=9)
    (found,), dropped = read(write(tmp_path, a11_s07_e10_v03=text))
    assert (found.name, found.frames, dropped) == ("a11_s07_e10_v03", 2, [])
    assert found.ids == {"label": 8, "subject": 7, "episode": 10, "camera": 3}
    assert UCLA.class_names[8] == "throw"
    assert (found.joints.shape, found.joints.dtype) == ((2, 20, 3), np.float32)
    assert found.joints[1, 7].tolist() == [2.0, np.float32(0.7), 2.5]
    assert (found.row_frame.tolist(), found.row_body.tolist()) == ([0, 1], [0, 0])


def test_a_frame_of_zeros_shows_nobody_and_single_joints_at_the_origin_stay(tmp_path):
    frames = [frame(1), [[0, 0, 0]] * 20, [[0, -0.0, 0]] * 19 + [[0.5, 0, 0]]]
    (found,), _ = read(write(tmp_path, a01_s02_e03_v01=clip(skeletons=frames)))
    assert (found.frames, found.row_frame.tolist()) == (3, [0, 2])
    assert found.joints[1, 19].tolist() == [0.5, 0, 0]
    assert not found.joints[1, :19].any()


def test_the_actions_in_names_are_the_labels_of_the_files_in_order():
    names = [clip_name(action, 1, 0, 1) for action in (1, 2, 3, 4, 5, 6, 8, 9, 11, 12)]
    assert [parse_name(name)["label"] for name in names] == list(range(10))
    assert UCLA.class_names == (
        "pick up with one hand", "pick up with two hands", "drop trash", "walk around", "sit down", "stand up",
        "donning", "doffing", "throw", "carry",
    )  # fmt: skip
    for name in ("a07_s01_e01_v01", "a10_s01_e01_v01", "a13_s01_e01_v01", "a00_s01_e01_v01", "a01_s00_e01_v01",
                 "a01_s01_e01_v00", "a1_s1_e1_v1", "a01_s01_e01_v01_", "x"):  # fmt: skip
        assert parse_name(name) is None, name


def test_names_may_be_in_capitals_or_have_what_a_browser_adds(tmp_path):
    (tmp_path / "A01_S01_E00_V01.JSON").write_text(clip("a01_s01_e00_v01"))
    (tmp_path / "a01_s01_e00_v02.json.txt").write_text("\ufeff" + clip("a01_s01_e00_v02"))
    (tmp_path / "a01_s01_e00_v03.json").write_text(clip(None, label=None))
    found, dropped = read(tmp_path)
    assert [each.name for each in found] == ["a01_s01_e00_v01", "a01_s01_e00_v02", "a01_s01_e00_v03"]
    assert dropped == []


def test_folders_archives_and_what_else_lies_there(tmp_path):
    write(tmp_path / "all_sqe", a01_s01_e00_v01=clip("a01_s01_e00_v01"), notes="{}")
    (tmp_path / "val_label.pkl").write_bytes(b"1")
    with zipfile.ZipFile(tmp_path / "all_sqe.zip", "w") as archive:
        for name in ("a01_s01_e00_v01", "a02_s01_e00_v01"):
            label = int(name[1:3])
            archive.writestr(f"all_sqe/{name}.json", clip(name, label=label))
            archive.writestr(f"__MACOSX/all_sqe/._{name}.json", b"\0")
    found, dropped = read(tmp_path)
    assert [each.name for each in found] == ["a01_s01_e00_v01", "a02_s01_e00_v01"]
    assert [(each.name, each.reason, each.count) for each in dropped] == [
        (".*", "of the system", 2),
        ("a01_s01_e00_v01", "duplicate", 1),
        ("notes", "unknown name", 1),
        ("val_label.pkl", "no recording", 1),
    ]
    assert "action (1-6, 8, 9, 11 or 12)" in dropped[2].detail


@pytest.mark.parametrize(
    ("changes", "reason", "said"),
    [
        ({"label": 2}, "bad label", "has the label 2, and its name says 1, pick up with one hand; correct one of them"),
        ({"label": 0}, "bad label", "has the label 0"),
        (
            {"file_name": "a01_s02_e03_v02"},
            "bad label",
            "says inside that it is a01_s02_e03_v02; give it the right name",
        ),
        ({"skeletons": []}, "no frames", ""),
        ({"skeletons": [[[0, 0, 0]] * 20] * 3}, "no body", "none of its 3 frames has a body"),
    ],
)
def test_what_is_left_out_has_its_reason(tmp_path, changes, reason, said):
    (found,), _ = read(write(tmp_path, a01_s02_e03_v01=clip(**changes)))
    assert isinstance(found, Dropped)
    assert (found.name, found.reason) == ("a01_s02_e03_v01", reason)
    assert said in found.detail


HOLED = [frame(1), frame(2)]
HOLED[1] = [[1.0, float("nan"), 2.0] if v == 3 else joint for v, joint in enumerate(HOLED[1])]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        (clip()[:-9], "is not JSON"),
        ("[1, 2]", "has no skeletons"),
        ('{"label": 1}', "has no skeletons"),
        (clip(label="one"), "has the label 'one', which is no whole number"),
        (clip(label=True), "has the label 'True', which is no whole number"),
        (clip(skeletons=[frame(1), frame(2)[:19]]), "some have more numbers than others"),
        (clip(skeletons=[[[1, 2, 3]] * 25]), r"the shape \(1, 25, 3\), and are not T frames of 20 joints of x, y, z"),
        (clip(skeletons=[[[1, 2]] * 20]), r"the shape \(1, 20, 2\)"),
        (clip(skeletons=frame(1)), r"the shape \(20, 3\)"),
        (clip(skeletons="all"), r"the shape \(\)"),
        (clip(skeletons=[[["1", 2, 3]] * 20]), "has a coordinate that is not a number"),
        (clip(skeletons=[[[None, 2, 3]] * 20]), "has a coordinate that is not a number"),
        (clip(skeletons=HOLED), "not a finite number, in frame 2, head"),
        (clip(skeletons=[[[1e39, 2, 3]] * 20]), "not a finite number, in frame 1, hip centre"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_line(tmp_path, text, said):
    with pytest.raises(BadInput, match=said) as told:
        parse_ucla(text.encode(), "here")
    assert told.value.where == "here"
    assert "\n" not in str(told.value)
    write(tmp_path / "raw", a01_s02_e03_v01=text, a01_s02_e03_v02=clip("a01_s02_e03_v02"))
    made = ingest("nw-ucla", tmp_path / "raw", tmp_path / "store")
    assert (made.clips, made.dropped) == (1, {"unreadable": 1})
    with pytest.raises(BadInput, match="clip a01_s02_e03_v01: unreadable"):
        ingest("nw-ucla", tmp_path / "raw", tmp_path / "strict", strict=True)


def test_a_file_far_too_large_is_not_read(tmp_path):
    path = write(tmp_path, a01_s02_e03_v01=clip()) / "a01_s02_e03_v01.json"
    with path.open("r+b") as file:
        file.truncate(1 << 27)
    (source,) = UCLA.find(tmp_path).sources
    with pytest.raises(BadInput, match="134,217,728 bytes, which no clip of NW-UCLA has"):
        UCLA.read(source)


def test_other_data_sets_files_are_told_apart(tmp_path):
    write(tmp_path / "ucla", a01_s02_e03_v01=clip())
    with pytest.raises(BadInput, match="give them to 'skelpipe ingest nw-ucla'"):
        ingest("ntu60", tmp_path / "ucla", tmp_path / "store")
    (tmp_path / "ntu").mkdir()
    (tmp_path / "ntu" / "S001C001P001R001A001.skeleton").write_text("0")
    with pytest.raises(BadInput, match="give them to 'skelpipe ingest ntu60'"):
        ingest("nw-ucla", tmp_path / "ntu", tmp_path / "store")


# -------------------------------------------------------------------------------------------------------------- splits


def columns_of(names):
    ids = [parse_name(name) for name in names]
    return {"name": np.array(names), **{key: np.array([each[key] for each in ids], np.int32) for key in ids[0]}}


def test_cameras_1_and_2_train_and_camera_3_tests():
    columns = columns_of([clip_name(1, 1, 0, camera) for camera in (1, 2, 3, 4)])
    train, test = split_masks("nw-ucla-xview", "nw-ucla", columns)
    assert (train.tolist(), test.tolist()) == ([True, True, False, False], [False, False, True, False])
    assert fitting_splits("nw-ucla") == ("nw-ucla-xview",)
    assert fitting_splits("nw-ucla", {**columns, "listed_train": train}) == ("nw-ucla-xview", "nw-ucla-listed")


@pytest.mark.parametrize(
    ("split", "train", "test"),
    [
        ("subject:1-5", [1, 1, 0, 0], [0, 0, 1, 1]),
        ("subject:1/10", [1, 0, 0, 0], [0, 0, 0, 1]),
        ("camera:1,3/2", [1, 0, 1, 0], [0, 1, 0, 1]),
        ("episode:0-4", [1, 1, 0, 0], [0, 0, 1, 1]),
        ("nw-ucla:subject:1-5", [1, 1, 0, 0], [0, 0, 1, 1]),
    ],
)
def test_splits_may_be_stated(split, train, test):
    columns = columns_of(["a01_s01_e00_v01", "a01_s05_e04_v02", "a01_s06_e05_v03", "a01_s10_e10_v02"])
    masks = split_masks(split, "nw-ucla", columns)
    assert [mask.astype(int).tolist() for mask in masks] == [train, test]


def test_a_part_without_clips_is_told_with_what_is_there():
    columns = columns_of([clip_name(1, 1, 0, camera) for camera in (1, 2)])
    said = "nw-ucla-xview: has no test clips here: only cameras 1, 2; it tests camera 3: ingest those recordings too"
    with pytest.raises(BadInput, match=said):
        divided("nw-ucla-xview", "nw-ucla", columns, needed=("test",))
    with pytest.raises(BadInput, match="names subject 11, which no clip here has; correct it: NW-UCLA has 1-10"):
        split_masks("subject:11", "nw-ucla", columns)
    with pytest.raises(BadInput, match="is not a split of nw-ucla; its splits are: nw-ucla-xview"):
        split_masks("xview60", "nw-ucla", columns)


# ---------------------------------------------------------------------------------------------- stores, clips, commands


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Synthetic recordings, their store and clips of 20 frames."""
    root = tmp_path_factory.mktemp("ucla")
    write_raw("nw-ucla", root / "raw", actions=2, subjects=2, replications=1, frames=(12, 20))
    ingest("nw-ucla", root / "raw", root / "store")
    prepare(root / "store", root / "clips", frames=20)
    return root


def test_a_clip_of_one_frame_survives(made):
    group, attributes = open_group(made / "store", "store")
    assert (attributes["dataset"], attributes["layout"], attributes["clips"]) == ("nw-ucla", "kinect_v1", 12)
    names, frames = read_array(group, "name").tolist(), read_array(group, "clip_frames")
    assert (frames == 1).tolist() == [name == "a01_s01_e00_v02" for name in names]
    clips = Clips(made / "clips")
    one = clips.group["clips"][names.index("a01_s01_e00_v02")]
    assert one.shape == (3, 20, 20, 2)
    assert (one[:, :, 2, 0] == 0).all(), "centred in the shoulder centre"
    assert np.abs(one[..., 0]).max() > 0.3
    np.testing.assert_array_equal(one, one[:, :1].repeat(20, axis=1))


def test_the_store_equals_its_source_and_its_parts_joined(made, tmp_path):
    assert verify(made / "store", made / "raw").clips == 12
    for number in (1, 2):
        ingest("nw-ucla", made / "raw", tmp_path / f"{number}", part=Part(number, 2))
    join([tmp_path / "1", tmp_path / "2"], tmp_path / "whole")
    for name in ("joints", "row_frame", "clip_offset", "label", "subject", "episode", "camera"):
        ours, theirs = (read_array(open_group(p, "store")[0], name) for p in (made / "store", tmp_path / "whole"))
        assert ours.tobytes() == theirs.tobytes(), name
    write_raw("nw-ucla", tmp_path / "other", actions=2, subjects=2, replications=1, frames=(12, 20), seed=1)
    with pytest.raises(BadInput, match="does not hold what the source holds: a01_s01_e00_v01 differs in"):
        verify(made / "store", tmp_path / "other")


def test_commands_say_what_it_is(made, tmp_path):
    told = called("ingest", "nw-ucla", made / "raw", tmp_path / "store")
    assert told.exit_code == 0
    assert "12 clips of 1,484 published" in told.output
    assert "left out" not in told.output
    assert not told.stderr, "neither the split nor the axes and units are in doubt"
    told = called("inspect", tmp_path / "store").stdout
    for line in (
        "NW-UCLA",
        "12 (the publication has 1,484)",
        "nw-ucla-xview",
        "y (100% of the clips",
        "m (the trunk is",
    ):
        assert line in told
    assert "skelpipe ingest nw-ucla" in called("inspect", made / "raw" / "all_sqe").stdout
    told = called("inspect", made / "raw" / "all_sqe" / "a12_s02_e00_v03.json").stdout
    for line in (
        "a JSON file as NW-UCLA has them",
        "class 10, subject 2, episode 0, camera 3",
        "skelpipe ingest nw-ucla",
    ):
        assert line in told


def test_arrays_of_25_joints_are_refused_in_a_line(made, tmp_path):
    for words in (
        ("export", "pyskl-pkl", made / "store", tmp_path / "out", "--split", "nw-ucla-xview"),
        ("export", "aimclr-npy", made / "clips", tmp_path / "out", "--split", "nw-ucla-xview"),
        ("import", "pyskl-pkl", made / "none.pkl", tmp_path / "out", "--dataset", "nw-ucla"),
    ):
        told = called(*words)
        assert told.exit_code == 2
        assert "has joints in layout 'kinect_v1'; these formats have 'kinect_v2'" in told.stderr
        assert told.stderr.count("\n") == 1


# ------------------------------------------------------------------------------------------------------------- genuine


def test_the_genuine_files(tmp_path):
    raw = real_data("nw_ucla.zip")
    made = ingest("nw-ucla", raw, tmp_path / "store")
    assert (made.clips, made.rows, made.dropped, made.told, made.divided) == (1_484, 58_534, {}, (), ())
    assert made.expected == find_dataset("nw-ucla").clips
    group, _ = open_group(tmp_path / "store", "store")
    columns = {name: read_array(group, name) for name in UCLA.columns}
    train, test = split_masks("nw-ucla-xview", "nw-ucla", columns)
    assert (train.sum(), test.sum()) == (1_020, 464)
    counts = np.bincount(columns["label"]).tolist()
    assert counts == [150, 152, 141, 173, 148, 149, 142, 142, 145, 142]
    assert sorted({int(name[1:3]) for name in columns["name"].tolist()}) == list(ACTIONS)
    assert set(columns["subject"].tolist()) == set(range(1, 11))
    frames, offset = read_array(group, "clip_frames"), read_array(group, "clip_offset")
    assert np.bincount(frames)[1] == 2
    assert columns["name"][frames == 1].tolist() == ["a02_s09_e04_v02", "a02_s09_e04_v03"]
    n = columns["name"].tolist().index("a12_s06_e04_v03")
    first = read_array(group, "joints", slice(int(offset[n]), int(offset[n]) + 1))[0]
    expected = [[0.041007, 0.440938, 2.49818], [0.0418836, 0.487218, 2.48897], [0.0473543, 0.719002, 2.45714],
                [-0.0150505, 0.920842, 2.40653]]  # fmt: skip
    np.testing.assert_array_equal(first[:4], np.array(expected, np.float32))
    assert verify(tmp_path / "store", raw).clips == 1_484
