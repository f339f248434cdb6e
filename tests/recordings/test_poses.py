"""Recordings of one's own from files to a store: names, labels, columns, units, parts, and what is left out and why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from rawtext import real_data

from skelpipe.errors import BadInput
from skelpipe.layouts import find_layout
from skelpipe.outputs.digests import read_digest
from skelpipe.recordings.datasets import dataset_of, split_masks
from skelpipe.recordings.ingest import ingest
from skelpipe.recordings.parts import Part, join
from skelpipe.recordings.poses.classes import classes_of
from skelpipe.recordings.poses.dataset import own_poses
from skelpipe.recordings.poses.described import read_description
from skelpipe.recordings.poses.look import look_at_poses
from skelpipe.recordings.poses.naming import Naming, suggested
from skelpipe.recordings.store import open_group, read_array
from skelpipe.recordings.verify import verify

V = 17


def clip(seed: int, frames: int = 6, channels: int = 2) -> np.ndarray:
    """A clip (F, V, C) in a picture."""
    return np.random.default_rng(seed).uniform(100, 900, (frames, V, channels)).round(2)


def save(path: Path, seed: int, frames: int = 6) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, clip(seed, frames))


def made(tmp_path: Path, raw: Path, layout: str = "coco17", **options):
    """What ingest says, and the columns of the store, which is held against its source."""
    store = tmp_path / "store.zarr"
    told = ingest(own_poses(layout, **options), raw, store, workers=0, force=True)
    verify(store, raw, workers=0)
    group, about = open_group(store, "store")
    return told, {name: read_array(group, name).tolist() for name in about["columns"]}, about, group


def left_out(group: zarr.Group) -> dict[str, str]:
    return dict(zip(*(read_array(group, f"dropped/{name}").tolist() for name in ("name", "detail")), strict=True))


def test_sub_folders_are_classes_and_names_that_collide_are_paths(tmp_path):
    raw = tmp_path / "raw"
    save(raw / "wave" / "01.npy", 1)
    save(raw / "clap" / "01.npy", 2)
    save(raw / "clap" / "02.npy", 3, frames=1)
    told, columns, about, group = made(tmp_path, raw)
    assert columns == {"name": ["clap/01", "clap/02", "wave/01"], "label": [0, 0, 1]}
    assert dataset_of(about).class_names == ("clap", "wave")
    assert "the classes are 2 sub-folders: clap, wave" in told.told
    np.testing.assert_array_equal(read_array(group, "joints")[:6], clip(2).astype(np.float32))
    assert read_array(group, "clip_frames").tolist() == [6, 1, 6]


def test_an_archive_and_train_and_test_folders(tmp_path):
    save(tmp_path / "a.npy", 1)
    with zipfile.ZipFile(tmp_path / "raw.zip", "w") as archive:
        for name in ("all/train/wave/1.npy", "all/train/clap/2.npy", "all/test/wave/3.npy"):
            archive.write(tmp_path / "a.npy", name)
    _, columns, about, _ = made(tmp_path, tmp_path / "raw.zip")
    assert columns == {"name": ["1", "2", "3"], "label": [1, 0, 1], "part": ["train", "train", "test"]}
    arrays = {name: np.array(values) for name, values in columns.items()}
    train, test = split_masks("part:train/test", dataset_of(about), arrays)
    assert (train.tolist(), test.tolist()) == ([True, True, False], [False, False, True])


def test_one_file_is_a_data_set_too(tmp_path):
    np.savez(tmp_path / "all.npz", x=np.stack([clip(1), clip(2)]), y=np.array(["b", "a"]), names=["p", "q"])
    told, columns, _, _ = made(tmp_path, tmp_path / "all.npz")
    assert (columns, told.clips) == ({"name": ["p", "q"], "label": [1, 0]}, 2)


TABLE = "file;label;subject;mood\n1.npy;jump;3.0;good\nb/2;run;4.0;\n3.npy;;5.0;bad\n"


def test_a_table_gives_labels_and_columns_by_name(tmp_path):
    raw = tmp_path / "raw"
    for n, folder in enumerate("abab", 1):
        save(raw / folder / f"{n}.npy", n)
    (raw / "labels.csv").write_text(TABLE, encoding="utf-16")
    told, columns, about, _ = made(tmp_path, raw, labels=raw / "labels.csv")
    assert columns == {"name": ["1", "2", "3", "4"], "label": [0, 1, -1, -1], "subject": [3, 4, 5, -1],
                       "mood": ["good", "", "bad", ""]}  # fmt: skip
    assert (dataset_of(about).group, dataset_of(about).text) == ("subject", ("name", "mood"))
    assert any("1 of 4 recordings are not in it" in line for line in told.told)
    assert any("1 of 4 recordings have an empty label in it" in line for line in told.told)
    assert about["raw_files"] == {"read": 4, "split_lists": 1, "left_out": 0}
    (raw / "more.csv").write_text(TABLE + "4;-1;4;\n9.npy;run;1;\n")
    told, *_ = made(tmp_path, raw, labels=raw / "more.csv")
    assert any("1 of its 5 names are of no recording: 9.npy" in line for line in told.told)
    assert any("1 of 4 recordings have the label -1 in it" in line for line in told.told)
    assert any("labels.csv looks like a table of labels: give it by --labels" in line for line in told.told)


def test_a_table_may_have_other_folders_and_suffixes_than_the_files(tmp_path):
    raw = tmp_path / "raw"
    for name in ("wave/01", "clap/01", "clap/02"):
        save(raw / f"{name}.npy", 1)
    (tmp_path / "t.csv").write_text("video,label\n/data/wave/01.mp4,w\nraw\\clap\\01.avi,c\n02,d\n")
    _, columns, about, _ = made(tmp_path, raw, labels=tmp_path / "t.csv")
    assert columns == {"name": ["clap/01", "clap/02", "wave/01"], "label": [0, 1, 2]}
    assert dataset_of(about).class_names == ("c", "d", "w")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("clip,label\n1,a\n1,b\n", "names '1' twice, with different values"),
        ("what,label\n1,a\n", "has no column of names; it has what, label"),
        ("name,label\n01,a\n", "'01' may be a/01 or b/01; name recordings by their paths"),
        ("name,label,joints\n1,a,3\n", "has a column called 'joints'"),
        ("name,label\nx/07,a\n", "names no recording that is here: recordings are called a/01, and in it x/07"),
        ("", "is empty"),
        ("name,label\n", "has no rows"),
        ("name,label\n,a\n", "has a row without a name"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_in_a_line(text, why, tmp_path):
    raw = tmp_path / "raw"
    save(raw / "a" / "01.npy", 1)
    save(raw / "b" / "01.npy", 2)
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(BadInput, match=why):
        ingest(own_poses("coco17", labels=tmp_path / "t.csv"), raw, tmp_path / "s", workers=0)
    assert not (tmp_path / "s").exists()


def test_tables_may_be_parquet_and_json(tmp_path):
    save(tmp_path / "raw" / "x1.npy", 1)
    pd.DataFrame({"name": ["x1"], "label": [7], "camera": [2.0]}).to_parquet(tmp_path / "t.parquet")
    _, columns, about, _ = made(tmp_path, tmp_path / "raw", labels=tmp_path / "t.parquet")
    assert (columns, dataset_of(about).class_names) == ({"name": ["x1"], "label": [0], "camera": [2]}, ("7",))
    (tmp_path / "t.json").write_text('{"x1": {"has_skeleton": true, "label": "tie", "label_index": 3}}')
    _, columns, about, _ = made(tmp_path, tmp_path / "raw", labels=tmp_path / "t.json")
    assert (columns["label"], columns["label_index"], dataset_of(about).class_names) == ([0], [3], ("tie",))


def test_a_pattern_tells_columns_and_is_suggested(tmp_path):
    raw = tmp_path / "raw"
    for name in ("a02_s1_t1", "a10_s2_t1", "notes"):
        save(raw / f"{name}.npy", 1)
    told, columns, about, _ = made(tmp_path, raw, names="a{label}_s{subject}_t{}")
    assert columns == {"name": ["a02_s1_t1", "a10_s2_t1", "notes"], "label": [0, 1, -1], "subject": [1, 2, -1]}
    assert dataset_of(about).class_names == ("2", "10")
    assert any("1 names are not of the form a{label}_s{subject}_t{}, the first notes" in line for line in told.told)
    (raw / "notes.npy").unlink()
    told, columns, _, _ = made(tmp_path, raw)
    assert columns["label"] == [-1, -1]
    assert any("of such names by --names 'a{label}_s{subject}_t1'" in line for line in told.told)
    assert (
        suggested(["S001C001P001R001A013", "S002C002P003R002A014"])
        == "S{setup}C{camera}P{subject}R{replication}A{label}"
    )
    assert suggested([*(f"a{n:02}_s1" for n in range(20)), "notes"]) == "a{label}_s1"
    assert suggested(["walk", "run"]) is suggested(["x1", "x2"]) is None
    assert Naming("{label}/s{subject}").columns("wave/s03", "s03") == {"label": "wave", "subject": "03"}
    with pytest.raises(BadInput, match="is the form of no name here, such as a02_s1_t1"):
        ingest(own_poses("coco17", names="S{subject}"), raw, tmp_path / "s", workers=0)
    for pattern, why in (("abc", "no field"), ("{a}{a}", "twice"), ("{1}", "called '1'")):
        with pytest.raises(BadInput, match=why):
            Naming(pattern)


def test_class_names_count_labels_from_0_or_from_1():
    assert classes_of(["b", "a", 3]).names == ("3", "a", "b")
    assert classes_of(["Sit down", "sit_down", "stand"]).told == (
        "classes that differ in how they are spelt only: 'Sit down', 'sit_down'",
    )
    assert classes_of([10, 2, "2"]).number == {10: 1, 2: 0, "2": 0}
    assert classes_of([0, 2], "xyz").number == {0: 0, 2: 2}
    found = classes_of([1, 3], "xyz")
    assert (found.number, found.told) == (
        {1: 0, 3: 2},
        ("labels go from 1 to 3: they count the names of the classes from 1",),
    )
    for labels, number, said in (([1, 2], {1: 0, 2: 1}, "from 1, 1 is 'x'"), ([2], {2: 2}, "from 0, 2 is 'z'")):
        found = classes_of(labels, "xyz")
        assert (found.number, said in found.told[0]) == (number, True)
    assert classes_of([0, 1], "xyz").told == ()
    assert classes_of([4, 8, 9], "xyz").number == {4: 0, 8: 1, 9: 2}
    assert classes_of(["y"], "xyz").number == {"y": 1}
    for labels, why in ((["w"], "class 'w'"), ([5, 1], "labels from 1 to 5, and there are 3 names")):
        with pytest.raises(BadInput, match=why):
            classes_of(labels, "xyz")


def test_class_names_come_from_a_file(tmp_path):
    raw = tmp_path / "raw"
    for n in (1, 2):
        raw.mkdir(exist_ok=True)
        (raw / f"c{n}.json").write_text(json.dumps({"skeletons": clip(n).tolist(), "label": n}))
    (raw / "classes.txt").write_text("sit down\nstand up\n")
    told, columns, about, _ = made(tmp_path, raw, class_names=raw / "classes.txt")
    assert (columns["label"], dataset_of(about).class_names) == ([0, 1], ("sit down", "stand up"))
    assert any("they count the names of the classes from 1" in line for line in told.told)


def test_a_folder_of_openpose_frames_is_one_recording(tmp_path):
    def frame(people):
        joints = [{"person_id": [-1], "pose_keypoints_2d": [n, n, 0.5] * 18} for n in people]
        return json.dumps({"version": 1.3, "people": joints})

    raw = tmp_path / "raw"
    for name, frames in {"jog": {4: [10, 20], 5: [], 6: [11]}, "hop": {0: [30]}}.items():
        (raw / name).mkdir(parents=True)
        for number, people in frames.items():
            (raw / name / f"{name}_{number:012}_keypoints.json").write_text(frame(people))
    _, columns, about, group = made(tmp_path, raw, "openpose18")
    assert columns["name"] == ["hop", "jog"]
    assert read_array(group, "clip_frames").tolist() == [1, 3]
    assert read_array(group, "joints")[:, 0, 0].tolist() == [30, 10, 20, 11]
    assert (read_array(group, "row_frame").tolist(), read_array(group, "row_body").tolist()) == (
        [0, 0, 0, 2],
        [0, 0, 1, 0],
    )
    assert about["raw_files"]["read"] == 4
    (raw / "jog" / "jog_000000000006_keypoints.json").write_text('{"version":1.3,"people":[{"pose')
    _, columns, _, group = made(tmp_path, raw, "openpose18")
    assert columns["name"] == ["hop"]
    assert "jog_000000000006_keypoints.json: is damaged JSON" in left_out(group)["jog"]


def openpose_at(raw: Path, before: str) -> None:
    """Two frames of OpenPose, called by what stands before their numbers."""
    for n in range(2):
        path = raw / f"{before}{n:012}_keypoints.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"people": [{"pose_keypoints_2d": [9, 9, 0.5] * 18}]}))


@pytest.mark.parametrize(
    ("files", "names", "classes"),
    [
        (["squat/v1_", "squat/v 2_", "lunge/v3_"], ["v 2", "v1", "v3"], [1, 1, 0]),
        (["squat/v1_", "lunge/v3_"], ["v1", "v3"], [1, 0]),
        (["squat/a/", "squat/b/", "lunge/c/"], ["a", "b", "c"], [1, 1, 0]),
        (["squat/a/a_", "lunge/c/c_"], ["a", "c"], [1, 0]),
        (["squat/v1/frame_", "lunge/v1/frame_"], ["lunge/v1", "squat/v1"], [0, 1]),
        (["squat/squat_01_", "lunge/lunge_01_"], ["lunge_01", "squat_01"], [0, 1]),
        (["v1/v1_rgb_", "v2/v2_rgb_"], ["v1", "v2"], [-1, -1]),
        (["v1/cam_", "v2/cam_"], ["v1", "v2"], [-1, -1]),
        (["v1_", "v2_"], ["v1", "v2"], [-1, -1]),
        (["all/squat/v1_", "all/lunge/v3_"], ["v1", "v3"], [1, 0]),
        (["squat/v1_", "squat/frame_", "lunge/v3_"], ["frame", "v1", "v3"], [1, 1, 0]),
        ([""], ["raw"], [-1]),
    ],
)
def test_frames_of_a_class_with_one_video_are_called_by_their_files(files, names, classes, tmp_path):
    for name in files:
        openpose_at(tmp_path / "raw", name)
    _, columns, _, _ = made(tmp_path, tmp_path / "raw", "openpose18")
    assert columns == {"name": names, "label": classes}


def test_people_of_one_image_a_file_are_frames_of_one_recording(tmp_path):
    def person(n):
        return {"keypoints": (clip(n)[0]).tolist(), "keypoint_scores": [0.5] * V, "bbox": [[0, 0, 9, 9]]}

    forms = [lambda people: people, lambda people: [people], lambda people: {"meta_info": {}, "instance_info": people}]
    for form in forms:
        raw = tmp_path / f"raw{forms.index(form)}"
        (raw / "vid").mkdir(parents=True)
        for n, people in enumerate([[person(0), person(1)], [], [person(2)]]):
            (raw / "vid" / f"{n:06}.json").write_text(json.dumps(form(people)))
        told, columns, _, group = made(tmp_path, raw)
        assert columns["name"] == ["vid"]
        assert read_array(group, "clip_frames").tolist() == [3]
        assert read_array(group, "row_frame").tolist() == [0, 0, 2]
        assert read_array(group, "row_body").tolist() == [0, 1, 0]
        assert any("3 numbered files hold the people of one frame each" in line for line in told.told)
    raw = tmp_path / "clips"
    raw.mkdir()
    for n in (1, 2):  # a clip each
        (raw / f"c{n}.json").write_text(json.dumps([person(each) for each in range(20)]))
    (raw / "alone3.json").write_text(json.dumps([person(each) for each in range(5)]))
    (raw / "image.json").write_text(json.dumps({"instance_info": [person(1), person(2)]}))
    for n in (4, 5):
        (raw / f"flat{n}.json").write_text(json.dumps({"keypoints": clip(n).reshape(6, -1).tolist(), "label": n}))
    _, columns, _, group = made(tmp_path, raw)
    assert columns["name"] == ["alone3", "c1", "c2", "flat4", "flat5", "image"]
    assert read_array(group, "clip_frames").tolist() == [5, 20, 20, 6, 6, 1]


def test_yolo_texts_are_frames_of_one_recording(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    for n in (1, 2):
        marks = " ".join(f"{v / 100:.4f} {n / 10:.4f} 0.9000" for v in range(V))
        (raw / f"video_{n}.txt").write_text(f"0 0.5 0.5 0.2 0.4 {marks} 0.87 4\n")
    _, columns, _, group = made(tmp_path, raw, "coco17+confidence", unit="normalised", image="200x100")
    assert columns["name"] == ["video"]
    np.testing.assert_allclose(read_array(group, "joints")[1, 5], [10, 20, 0.9], rtol=1e-6)
    assert read_array(group, "row_body").tolist() == [4, 4]


@pytest.mark.parametrize(
    ("unit", "up", "expected"),
    [
        (None, None, [100, 200, 300]),
        ("mm", None, [0.1, 0.2, 0.3]),
        ("inch", None, [2.54, 5.08, 7.62]),
        (None, "z", [100, 300, -200]),
        ("cm", "-y", [-1, -2, 3]),
        ("m", "x", [-200, 100, 300]),
    ],
)
def test_what_is_stated_of_units_and_axes_is_converted(unit, up, expected, tmp_path):
    x = clip(1, channels=3)
    x[0, 0] = 100, 200, 300
    x[1, 1] = 0
    (tmp_path / "raw").mkdir()
    np.save(tmp_path / "raw" / "a.npy", x)
    _, _, about, group = made(tmp_path, tmp_path / "raw", "h36m17", unit=unit, up=up, fps=25)
    joints = read_array(group, "joints")
    np.testing.assert_allclose(joints[0, 0], expected, rtol=1e-6)
    assert (joints[1, 1] == 0).all()
    assert about["fps"] == 25


def test_a_picture_is_pixels_with_y_down(tmp_path):
    save(tmp_path / "raw" / "a.npy", 1)
    joints = read_array(made(tmp_path, tmp_path / "raw", up="y", image=(1000, 1000))[3], "joints")
    np.testing.assert_allclose(joints[..., 1], 1000 - clip(1)[..., 1], rtol=1e-5)
    for options, why in (
        ({"unit": "mm"}, "is no unit of layout coco17"),
        ({"unit": "furlong"}, "is unknown"),
        ({"up": "z"}, "no axis of a picture"),
        ({"unit": "normalised"}, "needs the size of the picture"),
        ({"image": "big"}, "is no size of a picture"),
        ({"fps": -1}, "frames per second"),
        ({"name": "My Data"}, "is no name for a data set"),
    ):
        with pytest.raises(BadInput, match=why):
            own_poses("coco17", **options)
    with pytest.raises(BadInput, match="is of a picture, and layout h36m17 has 3 coordinates"):
        own_poses("h36m17", unit="pixel")


@pytest.mark.parametrize(
    ("scale", "options", "said"),
    [
        (0.001, {}, "as shares of the picture, and are kept so: --unit normalised --image WxH makes pixels"),
        (0.001, {"unit": "pixel"}, "as shares of the picture"),
        (0.001, {"unit": "normalised", "image": "640x480"}, ""),
        (1, {"unit": "normalised", "image": "640x480"}, "stated as normalised, and go far beyond 0 to 1"),
        (1, {"image": "640x480"}, "many joints lie outside of the picture of 640x480 that is stated"),
        (1, {"image": "1000x1000"}, ""),
        (1, {}, ""),
    ],
)
def test_a_picture_that_is_not_as_stated_is_told(scale, options, said, tmp_path):
    (tmp_path / "raw").mkdir()
    np.save(tmp_path / "raw" / "a.npy", clip(1) * scale)
    told, *_ = made(tmp_path, tmp_path / "raw", **options)
    assert look_at_poses(tmp_path / "raw")[1].endswith(" --unit normalised --image WxH") == (scale < 1)
    lines = [line for line in told.told if "picture" in line or "normalised" in line]
    assert len(lines) == (said != "")
    assert all(said in line for line in lines)


def test_units_and_axes_that_are_not_as_stated_are_told(tmp_path):
    from skelpipe.recordings.datasets import DATASETS
    from skelpipe.recordings.synthetic import write_raw

    write_raw("ntu60", tmp_path / "ntu", actions=4, subjects=2, seed=0)
    for options, said in (
        ({"unit": "mm"}, "the unit is stated as mm, and a trunk is then 0.000"),
        ({"unit": "m"}, ""),
        ({"up": "z"}, "z is stated to be up, and people then stand along -z, not y: check --up"),
        ({"up": "y"}, ""),
    ):
        told, *_ = made(tmp_path, tmp_path / "ntu", DATASETS["ntu60"].layout, **options)
        lines = [line for line in told.told if "stated" in line]
        assert len(lines) == (said != "")
        assert all(said in line for line in lines)


def test_verify_names_what_is_gone_and_what_is_new(tmp_path):
    raw = tmp_path / "raw"
    for n in range(12):
        save(raw / f"a{n:02}.npy", n)
    ingest(own_poses("coco17"), raw, tmp_path / "store", workers=0)
    (raw / "a01.npy").rename(raw / "a99.npy")
    with pytest.raises(BadInput, match="source holds: a99 is not in the store; a01 is not in the source; check that"):
        verify(tmp_path / "store", raw, workers=0)


def test_what_is_left_out_stands_in_the_drop_report(tmp_path):
    raw = tmp_path / "raw"
    save(raw / "good.npy", 1)
    np.save(raw / "kinect.npy", np.ones((4, 25, 3)))
    np.save(raw / "nobody.npy", np.full((4, V, 2), np.nan))
    (raw / "empty.json").write_text("")
    (raw / "cut.npz").write_bytes(b"PK\3\4x.npy")
    (raw / "readme.md").write_text("# hello")
    (raw / "notes.txt").write_text("hello there\n")
    (raw / "old.zarr").mkdir()
    (raw / "old.zarr" / "zarr.json").write_text('{"zarr_format": 3}')
    save(raw / "twice.npy", 2)
    (raw / "twice.json").write_text(json.dumps(clip(3).tolist()))
    (raw / "doubled.json").write_text(json.dumps([{"frame": 1, "keypoints": clip(1)[0].tolist()}] * 2))
    _, columns, about, group = made(tmp_path, raw)
    assert columns["name"] == ["good", "twice"]
    found = left_out(group)
    assert (
        "25 joints, and layout coco17 has 17 joints of 2 coordinates; layouts of 25 joints: kinect_v2, openpose25"
        in found["kinect"]
    )
    assert "none of its 4 frames has a body" in found["nobody"]
    assert "empty.json: is empty" in found["empty"]
    assert "damaged" in found["cut"]
    assert found["twice"] == "twice.npy; used twice.json"
    assert "has frame 1 twice for one body" in found["doubled"]
    assert {"readme.md", "notes.txt", "zarr.json"} <= set(found)
    assert sum(about["raw_files"].values()) == 11
    with pytest.raises(BadInput, match="clip cut: unreadable"):
        ingest(own_poses("coco17"), raw, tmp_path / "s", workers=0, strict=True)


def test_inspect_names_what_was_left_out(tmp_path):
    from click.testing import CliRunner

    from skelpipe.cli import main

    raw = tmp_path / "raw"
    save(raw / "good.npy", 1)
    (raw / "readme.txt").write_text("hello there\n")
    for n in range(55):
        (raw / f"bad{n:02}.json").write_text("")
    result = CliRunner().invoke(main, ["ingest", "poses", str(raw), str(tmp_path / "s"), "--layout", "coco17"])
    assert "skelpipe: left out: and 45 more that cannot be used" in result.output
    assert f"left out: 1 no recording, 55 unreadable; 'skelpipe inspect {tmp_path / 's'}'" in result.output
    shown = CliRunner().invoke(main, ["inspect", str(tmp_path / "s")]).output
    assert shown.count(".json: is empty") == 50
    assert "… and 5 more" in shown
    assert shown.count("readme.txt") == 1


def test_what_is_stated_goes_before_what_is_found_and_odd_coordinates_are_told(tmp_path):
    from skelpipe.recordings.datasets import DATASETS
    from skelpipe.recordings.synthetic import write_raw

    write_raw("ntu60", tmp_path / "ntu", actions=2, subjects=2, seed=0)
    names = "S{setup}C{camera}P{subject}R{replication}A{label}"
    for options, said in (({}, False), ({"up": "z"}, False), ({"unit": "mm"}, False)):
        told, columns, about, _ = made(tmp_path, tmp_path / "ntu", DATASETS["ntu60"].layout, names=names, **options)
        assert any("converts" in line for line in told.told) == said
        assert "conventions" not in about
    assert {*columns} == {"name", "label", "subject", "setup", "camera", "replication"}
    for n in range(6):
        (tmp_path / "raw").mkdir(exist_ok=True)
        np.save(tmp_path / "raw" / f"{n}.npy", np.random.default_rng(n).normal(size=(30, V, 3)))
    told, *_ = made(tmp_path, tmp_path / "raw", "h36m17")
    assert any("these look like noise of joints, and are taken for their positions" in line for line in told.told)


def test_a_folder_of_another_layout_says_which_fits(tmp_path):
    save(tmp_path / "raw" / "a.npy", 1)
    with pytest.raises(BadInput, match="no clip can be kept .*layouts of 17 joints: coco17"):
        ingest(own_poses("kinect_v1"), tmp_path / "raw", tmp_path / "s", workers=0)
    with pytest.raises(BadInput, match="holds no poses recordings"):
        (tmp_path / "none").mkdir()
        ingest(own_poses("kinect_v1"), tmp_path / "none", tmp_path / "s", workers=0)


def test_parts_make_the_bytes_of_the_whole(tmp_path):
    raw = tmp_path / "raw"
    for n in range(12):
        save(raw / f"a{n % 3}_s{n % 4}_t{n}.npy", n, frames=3 + n)
    own = own_poses("coco17", names="a{label}_s{subject}_t{trial}", fps=30)
    ingest(own, raw, tmp_path / "whole", workers=0)
    parts = [tmp_path / f"part{n}" for n in (1, 2, 3)]
    for n, part in enumerate(parts, 1):
        ingest(own, raw, part, workers=2 if n == 2 else 0, part=Part(n, 3))
    join(parts, tmp_path / "joined")
    files = {p.relative_to(tmp_path / "whole") for p in (tmp_path / "whole").rglob("*") if p.is_file()}
    same = [p for p in files if p.name not in ("provenance.json", "files.sha256", "done.json")]
    assert same
    assert all((tmp_path / "joined" / p).read_bytes() == (tmp_path / "whole" / p).read_bytes() for p in same)
    np.save(raw / "a0_s0_t0.npy", clip(99, 3))
    with pytest.raises(BadInput, match="a0_s0_t0 differs in joints"):
        verify(tmp_path / "whole", raw, workers=0)


def test_columns_of_the_files_and_of_several_containers(tmp_path):
    (tmp_path / "raw").mkdir()
    for name in ("train", "test"):
        np.savez(tmp_path / "raw" / f"{name}.npz", poses=np.stack([clip(1), clip(2)]), label=[0, 1])
    _, columns, _, _ = made(tmp_path, tmp_path / "raw")
    assert columns["name"] == ["test/0", "test/1", "train/0", "train/1"]
    assert columns["file"] == ["test", "test", "train", "train"]


def test_single_numbers_beside_an_array_are_columns_and_the_rate(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    for n, weight in enumerate((60.5, 71.0)):
        np.savez(raw / f"{n}.npz", keypoints=clip(n), subject=n, weight=weight, fps=25.0, joints=3, place="hall")
    told, columns, about, _ = made(tmp_path, raw)
    assert columns == {"name": ["0", "1"], "label": [-1, -1], "subject": [0, 1], "weight": ["60.5", "71"],
                       "place": ["hall", "hall"]}  # fmt: skip
    assert (about["fps"], "the files state 25 frames per second" in told.told) == (25, True)
    told, columns, about, _ = made(tmp_path, raw, fps=30)
    assert (about["fps"], "fps" in columns) == (30, False)
    assert any("--fps 30 goes before" in line for line in told.told)
    (raw / "3.json").write_text(json.dumps({"fps": 25.0, "view": "left", "frames": clip(3).tolist()}))
    _, columns, about, _ = made(tmp_path, raw)
    assert (about["fps"], columns["view"]) == (25, ["", "", "left"])
    np.savez(raw / "2.npz", keypoints=clip(2), fps=50)
    _, columns, about, _ = made(tmp_path, raw)
    assert (columns["fps"], "fps" in about) == ([25, 25, 50, 25], False)


def test_the_lists_of_a_pyskl_pickle_are_columns(tmp_path):
    import pickle

    annotations = [
        {"frame_dir": f"c{n}", "label": n % 2, "keypoint": clip(n)[None], "total_frames": 6} for n in range(3)
    ]
    split = {"sub_train": ["c0", "c1"], "sub_val": ["c2"], "train": ["c1"], "test": ["c0"], "label": ["c0"]}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"split": split, "annotations": annotations}))
    _, columns, about, _ = made(tmp_path, tmp_path / "a.pkl")
    assert columns == {"name": ["c0", "c1", "c2"], "label": [0, 1, 0], "sub": ["train", "train", "val"],
                       "part": ["test", "train", ""]}  # fmt: skip
    train, test = split_masks("sub:train/val", dataset_of(about), {name: np.array(v) for name, v in columns.items()})
    assert (train.tolist(), test.tolist()) == ([True, True, False], [False, False, True])


def test_an_output_is_no_recordings(tmp_path):
    save(tmp_path / "raw" / "a.npy", 1)
    ingest(own_poses("coco17"), tmp_path / "raw", tmp_path / "raw" / "store", workers=0)
    with pytest.raises(BadInput, match="is an output of skelpipe, no recordings"):
        ingest(own_poses("coco17"), tmp_path / "raw" / "store", tmp_path / "s", workers=0)
    told, *_ = made(tmp_path, tmp_path / "raw")
    assert (told.clips, told.faults) == (1, ())


DESCRIBED = """
name: gym
title: Gym recordings
raw: rec
layout: stick.yaml
labels: labels.csv
class_names: [down, up]
unit: mm
splits:
  people: {subject: {train: [1], test: [2]}}
  folds: subject:1of2
  listed: listed.txt
pipeline: {seeds: [0, 1]}
"""
STICK = """
name: stick
joints:
  - {name: pelvis}
  - {name: head, parent: pelvis}
  - {name: left hand, parent: pelvis, mirror: right hand}
  - {name: right hand, parent: pelvis, mirror: left hand}
centre: [pelvis]
shoulders: {right: [right hand], left: [left hand]}
"""


def test_a_yaml_describes_a_data_set(tmp_path):
    texts = {"gym.yaml": DESCRIBED, "stick.yaml": STICK, "listed.txt": "b\n",
             "labels.csv": "name,label,subject\na,up,1\nb,down,2\n"}  # fmt: skip
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "rec").mkdir()
    for n, name in enumerate("ab"):
        np.save(tmp_path / "rec" / f"{name}.npy", np.random.default_rng(n).uniform(100, 900, (8, 4, 3)))
    told = read_description(tmp_path / "gym.yaml")
    assert (told.raw, told.pipeline) == (tmp_path / "rec", {"seeds": [0, 1]})
    ingest(told.dataset, told.raw, tmp_path / "store", workers=0)
    verify(tmp_path / "store", told.raw, workers=0)
    group, about = open_group(tmp_path / "store", "store")
    own = dataset_of(about)
    columns = {name: read_array(group, name) for name in about["columns"]}
    assert (own.name, own.title, own.class_names, columns["label"].tolist()) == (
        "gym",
        "Gym recordings",
        ("down", "up"),
        [1, 0],
    )
    for split, train in (("people", [True, False]), ("folds", [False, True]), ("listed", [False, True])):
        assert split_masks(split, own, columns)[0].tolist() == train
    (tmp_path / "gym.yaml").write_text(DESCRIBED.replace("unit: mm", "units: mm"))
    with pytest.raises(BadInput, match="units"):
        read_description(tmp_path / "gym.yaml")
    (tmp_path / "gym.yaml").write_text(DESCRIBED.replace("subject: {train", "person: {train"))
    with pytest.raises(BadInput, match="person"):
        ingest(read_description(tmp_path / "gym.yaml").dataset, told.raw, tmp_path / "s", workers=0)
    (tmp_path / "gym.yaml").write_text(DESCRIBED.replace("test: [2]", "test: [1, 2]"))
    with pytest.raises(BadInput, match="has subject 1 on both sides; keep it in train or in test"):
        ingest(read_description(tmp_path / "gym.yaml").dataset, told.raw, tmp_path / "s", workers=0)


def test_a_look_says_the_format_the_layouts_and_the_command(tmp_path):
    for name in ("wave/1", "clap/2"):
        save(tmp_path / f"{name}.npy", 1)
    facts, command = look_at_poses(tmp_path)
    found = {name: str(value) for name, value in facts}
    assert found["joints"] == "17, of 2 numbers each"
    assert found["layouts that fit"] == "coco17"
    assert found["frames"] == "6 to 6, median 6 a clip"
    assert command == f"skelpipe ingest poses {tmp_path} STORE --layout coco17"
    assert found["labels"] == "the 2 sub-folders, if they are classes"
    save(tmp_path / "more.npy", 1)
    assert dict(look_at_poses(tmp_path)[0])["labels"] == "the 2 sub-folders, if they are classes"
    for path in tmp_path.rglob("*.npy"):
        np.save(path, np.concatenate([clip(1), clip(2)[..., :1] / 1000], axis=-1))
    assert dict(look_at_poses(tmp_path)[0])["layouts that fit"] == "coco17+confidence, h36m17"
    for path in tmp_path.rglob("*.npy"):
        np.save(path, np.ones((5, 15, 2)))
    facts, command = look_at_poses(tmp_path)
    assert dict(facts)["layouts that fit"] == "none that ships"
    assert command.endswith("--layout FILE.yaml")
    for n, shape in enumerate([(9, 25, 3), (9, 25, 3), (9, 20, 3), (9, 17, 3)]):
        (tmp_path / "mix").mkdir(exist_ok=True)
        np.save(tmp_path / "mix" / f"{n}.npy", np.random.default_rng(n).normal(size=shape))
    said = dict(look_at_poses(tmp_path / "mix")[0])["layouts that fit"]
    assert said.startswith("none of most: ") and "kinect_v2 of 2" in said and "kinect_v1 of 1" in said  # noqa: PT018
    joints = find_layout("coco17").joints
    rows = [
        {"frame": f, "joint": name, "x": f, "y": v, "z": v / 5 + 2} for f in range(4) for v, name in enumerate(joints)
    ]
    (tmp_path / "table.csv").write_text(pd.DataFrame(rows).to_csv(index=False))
    found = dict(look_at_poses(tmp_path / "table.csv")[0])
    assert found["joints"].startswith("holds 17 joints with a third number from 2 to 5.2")
    assert found["layouts that fit"].startswith("coco17 has these joints, of 2 numbers: leave the third out")
    (tmp_path / "x").mkdir()
    assert look_at_poses(tmp_path / "x") is None


def test_all_formats_of_a_layout_of_ones_own_are_told_apart_by_its_joints(tmp_path):
    (tmp_path / "stick.yaml").write_text(STICK)
    layout = find_layout(tmp_path / "stick.yaml")
    assert len(layout.joints) == 4
    save(tmp_path / "raw" / "a.npy", 1)
    np.save(tmp_path / "raw" / "b.npy", np.random.default_rng(0).uniform(1, 2, (30, 4, 3)))
    told, columns, _, _ = made(tmp_path, tmp_path / "raw", str(tmp_path / "stick.yaml"))
    assert columns["name"] == ["b"]
    assert told.dropped == {"unreadable": 1}


def test_genuine_json_of_nw_ucla(tmp_path):
    raw = real_data("nw_ucla.zip")
    names = "a{}_s{subject}_e{episode}_v{camera}"
    told, columns, about, group = made(tmp_path, raw, "kinect_v1", names=names)
    assert (told.clips, told.rows, told.dropped) == (1484, 58534, {})
    assert len(dataset_of(about).class_names) == len({*columns["label"]}) == 10
    train, test = split_masks("camera:1,2/3", dataset_of(about), {name: np.array(v) for name, v in columns.items()})
    assert (train.sum(), test.sum()) == (1020, 464)
    first = columns["name"].index("a01_s01_e00_v01")
    start = read_array(group, "clip_offset")[first]
    assert read_array(group, "joints")[start, 0].tolist() == np.float32([-0.619699, 0.328046, 3.18186]).tolist()


def test_the_table_is_an_input_and_its_place_is_not_in_the_store(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("a", "b"):
        np.save(raw / f"{name}.npy", np.random.default_rng(0).normal(size=(5, 17, 3)).astype(np.float32))
    stores = []
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        table = tmp_path / place / "labels.csv"
        table.write_text("name,label\na,x\nb,y\n")
        stores.append(tmp_path / place / "store.zarr")
        ingest(own_poses("h36m17", labels=table), raw, stores[-1])
    assert read_digest(stores[0]) == read_digest(stores[1])
    noted = json.loads((stores[0] / "provenance.json").read_text())
    assert noted["inputs"]["labels"]["path"] == str(tmp_path / "here" / "labels.csv")
    assert verify(stores[0], raw).clips == 2
    (tmp_path / "here" / "labels.csv").unlink()
    with pytest.raises(BadInput, match="made with the table labels.csv, which is no longer where it was; put it there"):
        verify(stores[0], raw)


def test_columns_stand_in_the_order_of_the_pattern_in_any_process(tmp_path):
    for n in range(3):
        save(tmp_path / "raw" / f"a1_s{n}_t2_v3_k4_e5.npy", n)
    code = (
        "import sys; from skelpipe.recordings.poses.dataset import own_poses; from pathlib import Path;"
        "found = own_poses('coco17', names='a{label}_s{subject}_t{trial}_v{view}_k{kind}_e{end}').find(Path(sys.argv[1]));"
        "print(*found.dataset.columns)"
    )
    for seed in "0123":
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "raw"], env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.split() == ["name", "label", "subject", "trial", "view", "kind", "end"]
