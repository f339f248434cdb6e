"""Pose files of every format, written by hand or by the format's own library: what is in them, and what is refused."""

from __future__ import annotations

import json
import pickle
import struct
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

from skelpipe.errors import BadInput
from skelpipe.layouts import find_layout
from skelpipe.recordings.datasets.files import File
from skelpipe.recordings.poses.base import SORTED, Opened
from skelpipe.recordings.poses.fitting import LEFT_OUT, NO_NUMBERS, ODD_SCORES, fitted
from skelpipe.recordings.poses.formats import POSE_FORMATS, format_of
from skelpipe.recordings.poses.formats.mat5 import read_mat5
from skelpipe.recordings.poses.formats.table import COMMAS
from skelpipe.recordings.poses.stated import Stated

F, V = 5, 17
COCO, SCORED, SPACE = (find_layout(name) for name in ("coco17", "coco17+confidence", "h36m17"))
FRAME, JOINT = np.meshgrid(np.arange(F), np.arange(V), indexing="ij")
# Joint v of frame f lies at (100 f + v + 1, 200 + 10 f + v), 3 - v / 10 deep, and is seen with (v + 1) / 20.
FLAT = np.stack([100.0 * FRAME + JOINT + 1, 200.0 + 10 * FRAME + JOINT], axis=-1)
DEEP = np.concatenate([FLAT, 3 - JOINT[..., None] / 10], axis=-1)
SCORES = (JOINT + 1) / 20
WITH_SCORES = np.concatenate([FLAT, SCORES[..., None]], axis=-1)
NAMES = [name.replace(" ", "_") for name in COCO.joints]


def read(path: Path, layout=COCO):
    """The clips of a file, by the format that its content shows."""
    opened = Opened(File(path.name, str(path), size=path.stat().st_size))
    kind = format_of(opened)
    assert kind is not None, "no format"
    return kind, POSE_FORMATS[kind].read(opened, layout)


def one(path: Path, layout=COCO):
    """The joints (F, V, C) of a file of one clip with one body, and the clip."""
    kind, (clip,) = read(path, layout)
    made = fitted(clip, layout, Stated(), path.name)
    assert made.joints.dtype == np.float32
    assert made.row_frame.tolist() == sorted(made.row_frame.tolist())
    return kind, made.joints, clip, made


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def wide(columns, values) -> str:
    return pd.DataFrame(values, columns=columns).to_csv(index=False)


def long(*, score=True, person=None, names=NAMES):
    rows = []
    for f in range(F):
        for v in range(V):
            row = {"frame": f, "joint": names[v], "x": FLAT[f, v, 0], "y": FLAT[f, v, 1]}
            row |= {"score": SCORES[f, v]} if score else {}
            rows.append(row | ({"person": person} if person is not None else {}))
    return pd.DataFrame(rows)


def npz(path, **arrays):
    np.savez(path, **arrays)


def pickled(path, value):
    path.write_bytes(pickle.dumps(value))


def hdf5(path, value):
    with h5py.File(path, "w") as file:
        file["poses"] = value


def named_joints(f: int) -> dict[str, list[float]]:
    return {name: FLAT[f, v].tolist() for v, name in enumerate(NAMES)}


PEOPLE = [
    {"keypoints": FLAT[f].tolist(), "keypoint_scores": SCORES[f].tolist(), "bbox": [[0, 0, 9, 9]]} for f in range(F)
]
FLAT_COCO = [np.concatenate([FLAT[f], SCORES[f, :, None]], axis=1).ravel().tolist() for f in range(F)]
XY = [f"{name}_{axis}" for name in NAMES for axis in "xy"]
# name -> (writer, format, whether the file has scores)
FILES = {
    "a.npy": (lambda p: np.save(p, FLAT), "npy", False),
    "bodies.npy": (lambda p: np.save(p, FLAT[:, None]), "npy", False),
    "flat.npy": (lambda p: np.save(p, FLAT.reshape(F, -1)), "npy", False),
    "scored.npy": (lambda p: np.save(p, WITH_SCORES.astype(np.float32)), "npy", True),
    "fortran.npy": (lambda p: np.save(p, np.asfortranarray(FLAT)), "npy", False),
    "big_endian.npy": (lambda p: np.save(p, FLAT.astype(">f4")), "npy", False),
    "integers.npy": (lambda p: np.save(p, FLAT.astype(np.int16)), "npy", False),
    "coordinates_first.npy": (lambda p: np.save(p, FLAT.transpose(2, 0, 1)), "npy", False),
    "stgcn.npy": (lambda p: np.save(p, FLAT.transpose(2, 0, 1)[..., None]), "npy", False),
    "objects.npy": (lambda p: np.save(p, np.array({"keypoints": FLAT, "label": 3}, dtype=object)), "npy", False),
    "one.npz": (lambda p: npz(p, whatever=FLAT), "npz", False),
    "keys.npz": (lambda p: npz(p, keypoints=FLAT, scores=SCORES, label=3, fps=25), "npz", True),
    "no_suffix_at_all": (lambda p: (npz(p.with_suffix(".npz"), poses=FLAT), p.with_suffix(".npz").rename(p)), "npz", False),
    "compressed.npz": (lambda p: np.savez_compressed(p, joints=FLAT, confidence=SCORES[..., None]), "npz", True),
    "wide.csv": (lambda p: p.write_text(wide(["frame", *XY], np.c_[np.arange(F), FLAT.reshape(F, -1)])), "table", False),
    "x0.csv": (lambda p: p.write_text(wide([f"{a}{v}" for v in range(V) for a in "xy"], FLAT.reshape(F, -1))), "table", False),
    "0_x.csv": (lambda p: p.write_text(wide([f"{v}_{a}" for v in range(V) for a in "xyc"], WITH_SCORES.reshape(F, -1))), "table", True),
    "x_1.csv": (lambda p: p.write_text(wide([f"{a}_{v + 1}" for a in "xy" for v in range(V)], FLAT.transpose(0, 2, 1).reshape(F, -1))), "table", False),
    "Camel.csv": (lambda p: p.write_text(wide(["Frame", *[f"{n.title().replace('_', '')}.{a}" for n in NAMES for a in "XY"]], np.c_[np.arange(F), FLAT.reshape(F, -1)])), "table", False),
    "nameless.csv": (lambda p: p.write_text(wide(["frame", *[f"column {n}" for n in range(2 * V)]], np.c_[np.arange(F), FLAT.reshape(F, -1)])), "table", False),
    "semicolons.csv": (lambda p: p.write_text(long().to_csv(index=False, sep=";")), "table", True),
    "tabs.tsv": (lambda p: p.write_text(long(score=False).to_csv(index=False, sep="\t")), "table", False),
    "by_number.csv": (lambda p: p.write_text(long(names=range(V)).to_csv(index=False)), "table", True),
    "from_one.csv": (lambda p: p.write_text(long(names=range(1, V + 1)).to_csv(index=False)), "table", True),
    "shuffled.csv": (lambda p: p.write_text(long().sample(frac=1, random_state=1).to_csv(index=False)), "table", True),
    "no_header.csv": (lambda p: np.savetxt(p, FLAT.reshape(F, -1), delimiter=","), "text", False),
    "long.parquet": (lambda p: long(person="anna").to_parquet(p), "parquet", True),
    "wide.parquet": (lambda p: pd.DataFrame(FLAT.reshape(F, -1), columns=XY).to_parquet(p), "parquet", False),
    "nested.parquet": (lambda p: pd.DataFrame({"frame": range(F), "keypoints": FLAT.tolist(), "scores": SCORES.tolist()}).to_parquet(p), "parquet", True),
    "frames.json": (lambda p: p.write_text(json.dumps(FLAT.tolist())), "json", False),
    "ucla.json": (lambda p: p.write_text(json.dumps({"file_name": "x", "skeletons": FLAT.tolist(), "label": 3})), "json", False),
    "dicts.json": (lambda p: p.write_text(json.dumps([{"frame": f, "keypoints": FLAT[f].tolist()} for f in range(F)])), "json", False),
    "rtmo.json": (lambda p: p.write_text(json.dumps([[{"keypoints": FLAT[f].tolist(), "scores": SCORES[f].tolist()}] for f in range(F)])), "json", True),
    "mmpose.json": (lambda p: p.write_text(json.dumps({"meta_info": {}, "instance_info": [{"frame_id": f + 1, "instances": [PEOPLE[f]]} for f in range(F)]})), "json", True),
    "inferencer.json": (lambda p: p.write_text(json.dumps([{"frame_id": f, "instances": [PEOPLE[f]]} for f in range(F)])), "json", True),
    "bare.json": (lambda p: p.write_text(json.dumps(PEOPLE)), "json", True),
    "coco_results.json": (lambda p: p.write_text(json.dumps([{"image_id": f, "category_id": 1, "keypoints": FLAT_COCO[f], "score": 0.9} for f in range(F)])), "json", True),
    "alphapose.json": (lambda p: p.write_text(json.dumps([{"image_id": f"{f}.jpg", "keypoints": FLAT_COCO[f], "score": 2.9, "idx": 1} for f in range(F)])), "json", True),
    "coco_dataset.json": (lambda p: p.write_text(json.dumps({"images": [{"id": 70 + f, "frame_id": f} for f in range(F)], "annotations": [{"image_id": 70 + f, "id": f, "keypoints": FLAT_COCO[f]} for f in range(F)]})), "json", True),
    "kinetics.json": (lambda p: p.write_text(json.dumps({"data": [{"frame_index": f + 1, "skeleton": [{"pose": FLAT[f].ravel().tolist(), "score": SCORES[f].tolist()}]} for f in range(F)], "label": "tying tie", "label_index": 5})), "json", True),
    "named.json": (lambda p: p.write_text(json.dumps([{n: FLAT[f, v].tolist() for v, n in enumerate(NAMES)} and {"keypoints": {n: FLAT[f, v].tolist() for v, n in enumerate(NAMES)}} for f in range(F)])), "json", False),
    "by_name.json": (lambda p: p.write_text(json.dumps([named_joints(f) for f in range(F)])), "json", False),
    "by_name_xy.json": (lambda p: p.write_text(json.dumps([{"frame": f, **{n: {"x": x, "y": y, "score": s} for (n, (x, y)), s in zip(named_joints(f).items(), SCORES[f], strict=True)}} for f in range(F)])), "json", True),
    "by_name_person.json": (lambda p: p.write_text(json.dumps([{"people": [{"track_id": 4, **named_joints(f)}]} for f in range(F)])), "json", False),
    "positions.json": (lambda p: p.write_text(json.dumps([[{"name": n.replace("_", " ").title(), "position": xy} for n, xy in named_joints(f).items()] for f in range(F)])), "json", False),
    "positions_xy.json": (lambda p: p.write_text(json.dumps([[{"part": n, "position": {"x": x, "y": y}, "score": s} for (n, (x, y)), s in zip(named_joints(f).items(), SCORES[f], strict=True)] for f in range(F)])), "json", True),
    "records.json": (lambda p: pd.DataFrame(np.c_[np.arange(F), FLAT.reshape(F, -1)], columns=["frame", *XY]).to_json(p, orient="records"), "json", False),
    "long_records.json": (lambda p: long().to_json(p, orient="records"), "json", True),
    "by_column.json": (lambda p: pd.DataFrame(FLAT.reshape(F, -1), columns=XY).to_json(p), "json", False),
    "column_lists.json": (lambda p: p.write_text(json.dumps(pd.DataFrame(FLAT.reshape(F, -1), columns=XY).to_dict("list"))), "json", False),
    "split.json": (lambda p: pd.DataFrame(FLAT.reshape(F, -1), columns=XY).to_json(p, orient="split"), "json", False),
    "index.json": (lambda p: pd.DataFrame(FLAT.reshape(F, -1), columns=XY).to_json(p, orient="index"), "json", False),
    "schema.json": (lambda p: pd.DataFrame(FLAT.reshape(F, -1), columns=XY).to_json(p, orient="table"), "json", False),
    "names_by_frame.json": (lambda p: p.write_text(json.dumps({str(f): named_joints(f) for f in range(F)})), "json", False),
    "by_joint.json": (lambda p: p.write_text(json.dumps({n: FLAT[:, v].tolist() for v, n in enumerate(NAMES)})), "json", False),
    "by_joint_xy.json": (lambda p: p.write_text(json.dumps({n: {"x": FLAT[:, v, 0].tolist(), "y": FLAT[:, v, 1].tolist()} for v, n in enumerate(NAMES)})), "json", False),
    "record_lines.jsonl": (lambda p: long().to_json(p, orient="records", lines=True), "json", True),
    "tfjs.json": (lambda p: p.write_text(json.dumps([[{"keypoints": [{"x": FLAT[f, v, 0], "y": FLAT[f, v, 1], "score": SCORES[f, v], "name": NAMES[v]} for v in range(V)]}] for f in range(F)])), "json", True),
    "by_frame.json": (lambda p: p.write_text(json.dumps({str(f): [PEOPLE[f]] for f in range(F)})), "json", True),
    "lines.jsonl": (lambda p: p.write_text("".join(json.dumps({"frame": f, **PEOPLE[f]}) + "\n" for f in range(F))), "json", True),
    "rtmlib.json": (lambda p: p.write_text(json.dumps([{"keypoints": FLAT[f, None].tolist(), "scores": SCORES[f, None].tolist()} for f in range(F)])), "json", True),
    "ultralytics.json": (lambda p: p.write_text(json.dumps([[{"name": "person", "confidence": 0.9, "track_id": 1, "keypoints": {"x": FLAT[f, :, 0].tolist(), "y": FLAT[f, :, 1].tolist(), "visible": SCORES[f].tolist()}}] for f in range(F)])), "json", True),
    "alphapose_old.json": (lambda p: p.write_text(json.dumps({f"{f}.jpg": {"version": "AlphaPose", "bodies": [{"joints": FLAT_COCO[f]}]} for f in range(F)})), "json", True),
    "camelCase.json": (lambda p: p.write_text(json.dumps({"frames": [{"frameIndex": f, "people": [{"trackId": 3, "keypoints": FLAT[f].tolist(), "keypointScores": SCORES[f].tolist()}]} for f in range(F)]})), "json", True),
    "deeplabcut.csv": (lambda p: p.write_text("scorer" + ",net" * 3 * V + "\nbodyparts," + ",".join(n for n in NAMES for _ in range(3)) + "\ncoords" + ",x,y,likelihood" * V + "\n" + pd.DataFrame(WITH_SCORES.reshape(F, -1)).to_csv(header=False)), "table", True),
    "indexed.csv": (lambda p: pd.DataFrame(FLAT.reshape(F, -1), columns=[f"c{n}" for n in range(2 * V)]).to_csv(p), "table", False),
    "images.csv": (lambda p: p.write_text(long().assign(frame=lambda t: [f"frame_{f:05}.jpg" for f in t.frame]).to_csv(index=False)), "table", True),
    "european.csv": (lambda p: p.write_text(long().to_csv(index=False, sep=";", decimal=",")), "table", True),
    "european.tsv": (lambda p: p.write_text(pd.DataFrame(FLAT.reshape(F, -1) , columns=XY).map("{:.1f}".format).map(lambda t: t.replace(".", ",")).to_csv(index=False, sep="\t")), "table", False),
    "european.txt": (lambda p: p.write_text("".join(";".join(f"{x:.1f}".replace(".", ",") for x in row) + "\n" for row in FLAT.reshape(F, -1))), "text", False),
    "utf16.csv": (lambda p: p.write_text(long().to_csv(index=False, sep="\t"), encoding="utf-16"), "table", True),
    "utf16.json": (lambda p: p.write_text(json.dumps(FLAT.tolist()), encoding="utf-16"), "json", False),
    "seconds.csv": (lambda p: p.write_text(long().assign(frame=lambda t: t.frame / 30).rename(columns={"frame": "time"}).to_csv(index=False)), "table", True),
    "commented.txt": (lambda p: np.savetxt(p, FLAT.reshape(F, -1), header="x y x y"), "text", False),
    "matlab.mat": (lambda p: savemat(p, {"d_skel": FLAT.transpose(1, 2, 0)}), "matlab", False),
    "struct.mat": (lambda p: savemat(p, {"data": {"skel": FLAT, "label": 3}}), "matlab", False),
    "compressed.mat": (lambda p: savemat(p, {"x": FLAT.transpose(1, 2, 0)}, do_compression=True), "matlab", False),
    "array.h5": (lambda p: hdf5(p, FLAT), "matlab", False),
    "array.pkl": (lambda p: pickled(p, FLAT), "pickle", False),
    "list.pkl": (lambda p: pickled(p, list(FLAT)), "pickle", False),
    "python2.pkl": (lambda p: p.write_bytes(pickle.dumps({"pose": FLAT, "label": 3}, protocol=2)), "pickle", False),
    "pyskl.pkl": (lambda p: pickled(p, {"split": {"train": ["c"]}, "annotations": [{"frame_dir": "c", "label": 3, "total_frames": F, "keypoint": FLAT[None].astype(np.float16), "keypoint_score": SCORES[None].astype(np.float16)}]}), "pickle", True),
    "joints.txt": (lambda p: np.savetxt(p, WITH_SCORES.reshape(-1, 3), fmt="%.6f"), "text", True),
    "lines.txt": (lambda p: np.savetxt(p, np.c_[np.arange(F), FLAT.reshape(F, -1)], fmt="%.3f"), "text", False),
}  # fmt: skip
HALF = ("pyskl.pkl",)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_each_form_has_the_joints_that_were_written(name, tmp_path):
    make, kind, scored = FILES[name]
    path = tmp_path / name
    make(path)
    found, joints, clip, made = one(path)
    assert found == kind
    assert clip.frames == F
    np.testing.assert_allclose(joints, FLAT.astype(np.float16 if name in HALF else np.float32), rtol=1e-6)
    assert (LEFT_OUT.format(layout="coco17", with_it="coco17+confidence") in made.told) == scored
    assert (COMMAS in made.told) == (kind == "table" and name.startswith("european"))
    assert (SORTED in made.told) == (name == "shuffled.csv")
    if scored:
        _, joints, _, made = one(path, SCORED)
        np.testing.assert_allclose(joints[..., 2], SCORES, rtol=1e-3 if name in HALF else 1e-6)
        assert [said for said in made.told if said not in (SORTED, COMMAS)] == []


@pytest.mark.parametrize(
    "name", ["keys.npz", "ucla.json", "python2.pkl", "pyskl.pkl", "objects.npy", "struct.mat", "kinetics.json"]
)
def test_the_label_of_a_file_is_read(name, tmp_path):
    FILES[name][0](tmp_path / name)
    (clip,) = read(tmp_path / name)[1]
    assert clip.label == ("tying tie" if name == "kinetics.json" else 3)


def test_the_order_of_axes_is_told_by_their_sizes(tmp_path):
    x = np.random.default_rng(0).uniform(1, 9, (30, 2, 17, 3))
    for order in ((0, 1, 2, 3), (1, 0, 2, 3), (3, 0, 2, 1), (0, 2, 3, 1)):
        np.save(tmp_path / "a.npy", x.transpose(order))
        _, (clip,) = read(tmp_path / "a.npy", SPACE)
        np.testing.assert_array_equal(clip.points, x.reshape(60, 17, 3))
        assert (clip.told == ()) == (order == (0, 1, 2, 3))


def test_joints_in_space_are_read_with_and_without_a_score(tmp_path):
    np.save(tmp_path / "a.npy", DEEP)
    np.testing.assert_array_equal(one(tmp_path / "a.npy", SPACE)[1], DEEP.astype(np.float32))
    np.save(tmp_path / "b.npy", np.concatenate([DEEP, SCORES[..., None]], axis=-1))
    _, joints, _, made = one(tmp_path / "b.npy", SPACE)
    np.testing.assert_array_equal(joints, DEEP.astype(np.float32))
    assert made.told == ("confidences were left out, as layout h36m17 has none; h36m17+confidence keeps them",)
    rows = "frame,joint,x,y,z\n" + "".join(f"{f},{SPACE.joints[v]},{f},{v},1.5\n" for f in range(2) for v in range(V))
    joints = one(write(tmp_path / "c.csv", rows), SPACE)[1]
    assert joints[1, 3].tolist() == [1, 3, 1.5]


def test_rows_of_bodies_with_their_frames_beside_them(tmp_path):
    points = np.random.default_rng(0).uniform(1, 9, (3, 17, 2)).astype(np.float32)
    rows = {"keypoints": points, "row_frame": np.array([4, 1, 4]), "row_body": np.array([7, 3, 3]), "label": "wave"}
    np.savez(tmp_path / "a.npz", **rows, frames=6, fps=12.5, keypoint_scores=points[..., 0] / 9)
    _, (clip,) = read(tmp_path / "a.npz")
    assert (clip.frames, clip.row_frame.tolist(), clip.row_body.tolist()) == (6, [1, 4, 4], [3, 3, 7])
    assert np.array_equal(clip.points, points[[1, 2, 0]])
    assert np.array_equal(clip.scores, points[[1, 2, 0], :, 0] / 9)
    assert (clip.label, clip.columns["fps"]) == ("wave", "12.5")
    np.savez(tmp_path / "b.npz", **rows)  # the last frame is the last that shows anybody
    assert read(tmp_path / "b.npz")[1][0].frames == 5
    for wrong, said in (
        ({"row_frame": np.array([-1, 0, 1])}, "has in row_frame what is no number of a frame"),
        ({"row_body": np.array([3, 3, 3])}, "has frame 4 twice for one body"),
        ({"keypoint_scores": points[:, :9, 0]}, r"keypoint_scores has shape \(3, 9\) beside \(3, 17, 2\)"),
    ):
        np.savez(tmp_path / "c.npz", **{**rows, **wrong})
        with pytest.raises(BadInput, match=said):
            read(tmp_path / "c.npz")


def test_mediapipe_landmarks_are_read(tmp_path):
    layout = find_layout("mediapipe33+confidence")
    marks = [[{"x": v / 100, "y": f / 10, "z": -0.25, "visibility": 0.5} for v in range(33)] for f in range(3)]
    for name, content in (
        ("a.json", marks),
        ("b.json", [{"frame": f, "pose_landmarks": m} for f, m in enumerate(marks)]),
    ):
        joints = one(write(tmp_path / name, json.dumps(content)), layout)[1]
        np.testing.assert_allclose(joints[2, 7], [0.07, 0.2, -0.25, 0.5], rtol=1e-6)
    rows = "frame,landmark_id,x,y,z,visibility\n" + "".join(
        f"{f},{v},{v / 100},{f / 10},-0.25,0.5\n" for f in range(3) for v in range(33)
    )
    np.testing.assert_allclose(
        one(write(tmp_path / "c.csv", rows), layout)[1][2, 7], [0.07, 0.2, -0.25, 0.5], rtol=1e-6
    )


def test_several_bodies_keep_their_ids_and_their_frames(tmp_path):
    people = [[{"track_id": 7, "keypoints": FLAT[0].tolist()}], [], [{"track_id": 9, "keypoints": FLAT[2].tolist()}, {"track_id": 7, "keypoints": FLAT[1].tolist()}]]  # fmt: skip
    _, (clip,) = read(write(tmp_path / "a.json", json.dumps(people)))
    assert (clip.frames, clip.row_frame.tolist(), clip.row_body.tolist()) == (3, [0, 2, 2], [7, 9, 7])
    table = pd.concat([long(person="anna"), long(person="ben").assign(x=lambda t: t.x + 1000)])
    table.to_csv(tmp_path / "b.csv", index=False)
    made = one(tmp_path / "b.csv")[3]
    assert made.row_body.tolist() == [0, 1] * F
    assert made.joints[3, 4].tolist() == [1105, 214]
    two = np.stack([FLAT, np.where(FRAME[..., None] < 2, FLAT, 0)], axis=1)
    np.save(tmp_path / "c.npy", two)
    assert one(tmp_path / "c.npy")[3].row_body.tolist() == [0, 1, 0, 1, 0, 0, 0]
    pickled(
        tmp_path / "d.pkl", [{"frame_dir": "x", "label": 0, "total_frames": F, "keypoint": two.transpose(1, 0, 2, 3)}]
    )
    assert one(tmp_path / "d.pkl")[3].row_body.tolist() == [0, 1, 0, 1, 0, 0, 0]


def test_several_clips_of_one_file_have_names_and_labels(tmp_path):
    pickled(tmp_path / "a.pkl", {"pose": [FLAT, FLAT[:3]], "label": ["clap", "wave"]})
    clips = read(tmp_path / "a.pkl")[1]
    assert [(clip.name, clip.label, clip.frames) for clip in clips] == [("0", "clap", 5), ("1", "wave", 3)]
    annotations = [{"frame_dir": f"c{n}", "label": n, "keypoint": FLAT[None], "total_frames": F} for n in (4, 2)]
    pickled(tmp_path / "b.pkl", {"split": {}, "annotations": [*annotations, None]})
    assert [(clip.name, clip.label) for clip in read(tmp_path / "b.pkl")[1]] == [("c4", 4), ("c2", 2)]
    np.savez(tmp_path / "c.npz", first=FLAT, second=FLAT[:2])
    assert [(clip.name, clip.frames) for clip in read(tmp_path / "c.npz")[1]] == [("first", 5), ("second", 2)]
    np.savez(tmp_path / "d.npz", x=np.stack([FLAT, FLAT + 1]), y=[3, 1], names=["p", "q"])
    assert [(clip.name, clip.label) for clip in read(tmp_path / "d.npz")[1]] == [("p", 3), ("q", 1)]
    np.savez(tmp_path / "f.npz", name=["p", "q"], length=[3, 2], joints=FLAT)
    assert [(c.name, c.frames, c.points[0, 0, 0]) for c in read(tmp_path / "f.npz")[1]] == [("p", 3, 1), ("q", 2, 301)]
    both = pd.concat([long().assign(video="v1", label="run"), long().iloc[: 2 * V].assign(video="v2", label="sit")])
    both.to_parquet(tmp_path / "e.parquet")
    assert [(c.name, c.label, c.frames) for c in read(tmp_path / "e.parquet")[1]] == [
        ("v1", "run", 5),
        ("v2", "sit", 2),
    ]


def test_mat_files_hold_what_scipy_has_written_into_them(tmp_path):
    inner = {"label": 3, "name": "wave", "skel": FLAT, "few": np.arange(6, dtype=np.uint8).reshape(2, 3)}
    cell = np.empty(2, dtype=object)
    cell[0], cell[1] = FLAT, FLAT[:2]
    for options in ({}, {"do_compression": True}):
        savemat(
            tmp_path / "a.mat",
            {"s": inner, "c": cell, "i": np.int16([[-3, 4]]), "z": np.zeros((0, 3)), "j": 1j},
            **options,
        )
        found = read_mat5((tmp_path / "a.mat").read_bytes(), "a.mat")
        assert sorted(found) == ["c", "i", "s", "z"]
        np.testing.assert_array_equal(found["s"]["skel"], FLAT)
        np.testing.assert_array_equal(found["s"]["few"], [[0, 1, 2], [3, 4, 5]])
        assert (found["s"]["name"], found["s"]["label"].tolist(), found["i"].tolist()) == ("wave", [[3]], [[-3, 4]])
        np.testing.assert_array_equal(found["c"][1], FLAT[:2])
        assert found["z"].shape == (0, 3)
    cell[0] = np.tile(FLAT, (2, 1, 1))
    savemat(tmp_path / "b.mat", {"clips": cell})
    assert [clip.frames for clip in read(tmp_path / "b.mat")[1]] == [10, 2]


def test_mat_files_of_the_other_byte_order_are_read(tmp_path):
    # By hand: a 2 x 2 double matrix "m" whose values are stored as bytes 1 to 4, column by column.
    def element(kind, raw):
        return struct.pack(">II", kind, len(raw)) + raw + b"\0" * (-len(raw) % 8)

    body = (
        element(6, struct.pack(">II", 6, 0))
        + element(5, struct.pack(">ii", 2, 2))
        + element(1, b"m")
        + element(2, bytes([1, 2, 3, 4]))
    )
    data = b"MATLAB 5.0".ljust(124) + struct.pack(">H", 0x0100) + b"MI" + element(14, body)
    assert read_mat5(data, "x")["m"].tolist() == [[1, 3], [2, 4]]
    for cut in (
        data[:-4],
        data[:140],
        data.replace(b"MI", b"??"),
        data.replace(struct.pack(">ii", 2, 2), struct.pack(">ii", 2, 9)),
    ):
        with pytest.raises(BadInput, match="is damaged"):
            read_mat5(cut, "x")


def test_mappings_in_mappings_name_clips_by_both(tmp_path):
    poses = {"S1": {"Walking": FLAT, "Eating": FLAT[:2]}, "S5": {"Walking": FLAT}}
    np.savez(tmp_path / "a.npz", positions=np.array(poses, dtype=object))
    assert [clip.name for clip in read(tmp_path / "a.npz")[1]] == ["S1/Walking", "S1/Eating", "S5/Walking"]
    rows = [
        {"name": "c1", "label": "q", "keypoints": FLAT.tolist()},
        {"name": "c2", "label": "z", "keypoints": FLAT[:3].tolist()},
    ]
    write(tmp_path / "c.json", json.dumps(rows))
    write(tmp_path / "d.json", json.dumps({"clips": rows}))
    pd.DataFrame(rows).to_parquet(tmp_path / "e.parquet")
    for name in ("c.json", "d.json", "e.parquet"):
        assert [(c.name, c.label, c.frames) for c in read(tmp_path / name)[1]] == [("c1", "q", 5), ("c2", "z", 3)]
    both = [{"keypoints": np.stack([FLAT[0], FLAT[1]]).tolist(), "scores": SCORES[:2].tolist()}]
    (clip,) = read(write(tmp_path / "b.json", json.dumps(both)), SCORED)[1]
    assert (clip.row_frame.tolist(), clip.row_body.tolist()) == ([0, 0], [0, 1])


def test_frames_are_sorted_counted_from_the_first_and_thinned(tmp_path):
    def clip(numbers):
        frames = [{"frame": n, "keypoints": FLAT[i].tolist()} for i, n in enumerate(numbers)]
        return read(write(tmp_path / "a.json", json.dumps(frames)))[1][0]

    assert (clip([7, 8, 11]).row_frame.tolist(), clip([7, 8, 11]).frames) == ([0, 1, 4], 5)
    found = clip([9, 8, 7])
    assert (found.row_frame.tolist(), found.points[0, 0].tolist()) == ([0, 1, 2], FLAT[2, 0].tolist())
    assert found.told == (SORTED,)
    assert clip([10, 12, 14]).row_frame.tolist() == [0, 1, 2]
    assert clip([0, 33_000_001, 70_000_003]).frames == 3
    with pytest.raises(BadInput, match="has frame 8 twice for one body"):
        clip([7, 8, 8])


def test_what_is_no_number_was_not_seen(tmp_path):
    x = FLAT.copy()
    x[1, 3, 0], x[2], x[4, 0, 1] = np.nan, np.nan, np.inf
    np.save(tmp_path / "a.npy", x)
    made = one(tmp_path / "a.npy")[3]
    assert made.row_frame.tolist() == [0, 1, 3, 4]
    assert made.joints[1, 3].tolist() == made.joints[3, 0].tolist() == [0, 0]
    assert made.told == (NO_NUMBERS,)
    scores = SCORES.copy()
    scores[0, 0] = np.nan
    np.savez(tmp_path / "b.npz", keypoints=x, scores=scores)
    made = one(tmp_path / "b.npz", SCORED)[3]
    assert made.joints[0, 0].tolist() == [1, 200, 0]
    assert made.joints[1, 3].tolist() == [0, 0, 0]
    np.savez(tmp_path / "b.npz", keypoints=FLAT, scores=100 * SCORES)
    assert one(tmp_path / "b.npz", SCORED)[3].told == (ODD_SCORES,)
    by_joint = long(score=False).sort_values(["joint", "frame"]).to_csv(index=False)
    assert one(write(tmp_path / "e.csv", by_joint))[3].told == ()
    gone = json.dumps([[[None, None]] * V, FLAT[1].tolist()])
    assert one(write(tmp_path / "c.json", gone))[3].row_frame.tolist() == [1]
    np.save(tmp_path / "d.npy", np.concatenate([FLAT, 0 * FLAT[..., :1]], axis=-1))
    made = one(tmp_path / "d.npy", SCORED)[3]
    assert (made.joints[..., 2] == 1).all()
    assert made.told == ("there are no confidences: they are 1 where a joint was seen, and 0 where it was not",)


def test_skeleton_text_is_known_under_any_name(tmp_path):
    from skelpipe.recordings.synthetic import write_raw
    from skelpipe.recordings.text.ntu import parse_ntu

    write_raw("ntu60", tmp_path / "ntu", actions=2, subjects=2, seed=0)
    source = min((tmp_path / "ntu").rglob("*.skeleton"))
    (tmp_path / "mine.txt").write_bytes(source.read_bytes())
    kind, (clip,) = read(tmp_path / "mine.txt", find_layout("kinect_v2"))
    expected = parse_ntu(source.read_bytes())
    assert (kind, clip.frames) == ("skeleton", expected.frames)
    np.testing.assert_array_equal(clip.points, expected.joints)
    with pytest.raises(BadInput, match="holds 25 joints, and layout coco17 .* layouts of 25 joints: kinect_v2"):
        read(tmp_path / "mine.txt")


def test_every_format_is_tried():
    tried = {kind for _, kind, _ in FILES.values()}
    assert tried | {"skeleton", "openpose", "yolo", "image"} == set(POSE_FORMATS)


REFUSED = {
    "a.npy": (lambda p: np.save(p, np.ones((9, 25, 3))), "holds 9 x 25 x 3: 25 joints, and layout coco17 has 17 joints of 2 coordinates; layouts of 25 joints: kinect_v2"),
    "deep.npy": (lambda p: np.save(p, DEEP), "holds 17 joints with a third number from 1.4 to 3, no confidence but a depth.*layouts of 17 joints: h36m17"),
    "text.npy": (lambda p: np.save(p, np.array([["a"]])), "no array of coordinates"),
    "none.npy": (lambda p: p.write_bytes(b""), "is empty"),
    "cut.npy": (lambda p: (np.save(p, FLAT), p.write_bytes(p.read_bytes()[:500])), "bytes for an array of"),
    "huge.npy": (lambda p: p.write_bytes(_header("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 17, 2)}")), "bytes for an array of"),
    "fields.npy": (lambda p: np.save(p, np.zeros(3, [("x", "f4")])), "holds an array of"),
    "code.npy": (lambda p: p.write_bytes(_header("{'descr': '|O', 'fortran_order': False, 'shape': ()}") + pickle.dumps(_Evil())), "could run code"),
    "code.pkl": (lambda p: pickled(p, _Evil()), "could run code"),
    "cut.npz": (lambda p: (npz(p, keypoints=FLAT), p.write_bytes(p.read_bytes()[:-30])), "damaged"),
    "ctrgcn.npz": (lambda p: npz(p, x_train=np.zeros((2, 300, 150)), y_train=np.zeros((2, 60))), "read it by 'skelpipe import'"),
    "counts.npz": (lambda p: npz(p, keypoints=FLAT, scores=SCORES[:3]), "beside coordinates"),
    "a.json": (lambda p: p.write_text('[[[1, 2], [3'), "damaged JSON"),
    "deep.json": (lambda p: p.write_text("[" * 100_000), "nested too deeply|damaged JSON"),
    "words.json": (lambda p: p.write_text('["a", "b"]'), "in the place of frame 0"),
    "odd.json": (lambda p: p.write_text(json.dumps([[FLAT[0].tolist()], [FLAT[1, :3].tolist()]])), "frame 1 has keypoints unlike the others'"),
    "few.json": (lambda p: p.write_text(json.dumps([{"keypoints": FLAT[0, :12].tolist()}])), "12 joints, and layout coco17"),
    "nothing.json": (lambda p: p.write_text(json.dumps([{"hand": [1, 2], "foot": [3, 4]}])), "has frames of hand, foot, in which there are no joints of layout coco17"),
    "label.json": (lambda p: p.write_text(json.dumps({"skeletons": FLAT.tolist(), "label": [1, 2]})), "its label is"),
    "strings.csv": (lambda p: p.write_text("frame,joint,x,y\n0,nose,a,b\n"), "something else than numbers in column x"),
    "twice.csv": (lambda p: pd.concat([long(), long().iloc[:1]]).to_csv(p, index=False), "has nose twice in frame 0"),
    "lacks.csv": (lambda p: long().query("joint != 'nose'").to_csv(p, index=False), "has no joint called 'nose'"),
    "half.csv": (lambda p: p.write_text("frame," + ",".join(XY[:-1]) + "\n" + ",".join("1" * (2 * V)) + "\n"), "has no y of right_ankle"),
    "labels.csv": (lambda p: p.write_text("frame,joint,x,y,label\n0,nose,1,2,a\n0,left_eye,1,2,b\n"), "2 values of label"),
    "odd.txt": (lambda p: np.savetxt(p, np.ones((18, 2))), "has 18 lines of a joint each, no multiple of 17"),
    "cut.parquet": (lambda p: (long().to_parquet(p), p.write_bytes(p.read_bytes()[:-40])), "damaged"),
    "four.mat": (lambda p: savemat(p, {"a": FLAT.reshape(F, -1)}, format="4"), "is a MAT-file of version 4; save it with -v7"),
    "thousands.csv": (lambda p: p.write_text("frame;joint;x;y\n0;nose;1.234,5;2,5\n"), "something else than numbers in column x; write decimal points"),
    "cut.mat": (lambda p: (savemat(p, {"a": FLAT}), p.write_bytes(p.read_bytes()[:300])), "damaged"),
}  # fmt: skip


class _Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit",))


def _header(text: str) -> bytes:
    text = text.ljust(117) + "\n"
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_one_line_that_says_why(name, tmp_path):
    make, why = REFUSED[name]
    make(tmp_path / name)
    with pytest.raises(BadInput, match=why) as error:
        one(tmp_path / name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [*FILES])
def test_damaged_files_end_in_a_line(name, tmp_path):
    FILES[name][0](tmp_path / name)
    data = (tmp_path / name).read_bytes()
    random = np.random.default_rng(len(data))
    for trial in range(40):
        cut = bytearray(data[: random.integers(0, len(data))] if trial % 2 else data)
        for place in random.integers(0, max(len(cut), 1), 4 if len(cut) else 0):
            cut[place] = random.integers(0, 256)
        path = tmp_path / f"damaged{path_suffix(name)}"
        path.write_bytes(cut)
        opened = Opened(File(path.name, str(path), size=len(cut)))
        said = ""
        with np.errstate(all="ignore"):
            try:
                kind = format_of(opened)
                for clip in POSE_FORMATS[kind].read(opened, COCO) if kind else []:
                    fitted(clip, COCO, Stated(), path.name)
            except BadInput as error:
                said = str(error)
        assert "\n" not in said


def path_suffix(name: str) -> str:
    return Path(name).suffix


def test_a_line_that_is_nearly_one_of_numbers_is_told_at_once(tmp_path):
    begin = time.monotonic()
    for text in (", ".join(["1.5"] * 60) + ", x\n", "1\n1\n72057594037931101 " + "0" * 200 + "x\n"):
        opened = Opened(File("a.txt", str(write(tmp_path / "a.txt", text)), size=len(text)))
        assert format_of(opened) != "text"
    assert time.monotonic() - begin < 5
