"""Frames one after the other: what the readers of whole files give, as soon as it is there, and nothing half."""

from __future__ import annotations

import io
import json
import os
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rawtext import ntu_clip, pku_text, pku_values, real_data
from test_pose_formats import COCO, FILES, FLAT, FLAT_COCO, NAMES, PEOPLE, SCORED, SCORES, XY, F, V, long, wide

from skelpipe.errors import BadInput
from skelpipe.layouts import find_layout
from skelpipe.recordings.datasets.files import File
from skelpipe.recordings.poses.base import APART, TIMES, Opened
from skelpipe.recordings.poses.fitting import NO_NUMBERS, fitted
from skelpipe.recordings.poses.formats import POSE_FORMATS, format_of, read_source
from skelpipe.recordings.poses.live import EndsEarly, frames_of, sources
from skelpipe.recordings.poses.live.places import CLOSER, FAR
from skelpipe.recordings.poses.searching import search
from skelpipe.recordings.poses.stated import SHARES, Stated
from skelpipe.recordings.text.pku import parse_pku

KINECT = find_layout("kinect_v2")
NOTHING = Stated()
MM = Stated(unit="mm", up="z")
NOT_LIVE = (".npz", ".pkl", ".mat", ".h5", ".parquet")
REFUSED = ("objects.npy", "no_suffix_at_all", "shuffled.csv", "utf16.csv", "utf16.json")
TWO = np.stack([FLAT, np.where(np.arange(F)[:, None, None] < 2, FLAT + 1, 0)], axis=1)
BLUE = {"idx": "blue", "keypoints": FLAT[0].tolist()}


def whole(path: Path, layout, stated=NOTHING):
    """The same by the reader of whole files."""
    opened = Opened(File(path.name, str(path), size=path.stat().st_size))
    kind = "json" if path.suffix == ".jsonl" else format_of(opened)
    (clip,) = POSE_FORMATS[kind].read(opened, layout)
    return clip.frames, fitted(clip, layout, stated, path.name)


def rows(frames):
    """(frames, joints, row_frame, row_body) of frames, which are numbered without a gap."""
    frames = list(frames)
    assert [frame.number for frame in frames] == list(range(len(frames)))
    counts = [len(frame.joints) for frame in frames]
    assert [len(frame.body) for frame in frames] == counts
    joints = np.concatenate([frame.joints for frame in frames])
    return len(frames), joints, np.repeat(np.arange(len(frames)), counts), np.concatenate([f.body for f in frames])


def same(found, wanted) -> None:
    frames, joints, row_frame, row_body = rows(found)
    count, made = wanted
    assert frames == count
    assert joints.dtype == np.float32
    np.testing.assert_array_equal(joints, made.joints)
    np.testing.assert_array_equal(row_frame, made.row_frame)
    np.testing.assert_array_equal(row_body, made.row_body)


class Dripping(io.RawIOBase):
    """A stream that gives a few bytes at a time."""

    def __init__(self, data: bytes, sizes=(1,)) -> None:
        self.data, self.sizes, self.place, self.reads = data, sizes, 0, 0

    def read(self, size: int = -1) -> bytes:
        step = self.sizes[self.reads % len(self.sizes)]
        self.reads, self.place = self.reads + 1, self.place + step
        return self.data[self.place - step : self.place]


def of_text(text: str | bytes, layout=COCO, **options):
    return frames_of(io.BytesIO(text.encode() if isinstance(text, str) else text), layout, Stated(), **options)


def until(frames):
    """The frames before an error, and the error."""
    found = []
    with pytest.raises(BadInput) as error:
        while True:
            found.append(next(frames))
    return found, error.value


def lines_of(values) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


LINES = {
    "arrays": FLAT.tolist(),
    "scored": np.concatenate([FLAT, SCORES[..., None]], axis=2).tolist(),
    "flat": FLAT.reshape(F, -1).tolist(),
    "bodies": TWO.tolist(),
    "transposed": FLAT.transpose(0, 2, 1).tolist(),
    "people": [[person] for person in PEOPLE],
    "none between": [PEOPLE[0], None, [], {"people": []}, PEOPLE[1]],
    "numbers": [{"frame": 7 + f, **PEOPLE[f]} for f in (0, 1, 3, 4)],
    "every fifth": [{"frame": 5 * f, **PEOPLE[f]} for f in range(F)],
    "openpose": [{"version": 1.3, "people": [{"pose_keypoints_2d": FLAT_COCO[f], "person_id": [-1]}]} for f in range(F)],
    "mmpose": [{"frame_id": f + 1, "instances": [PEOPLE[f]]} for f in range(F)],
    "ids": [[BLUE, {**BLUE, "idx": "red"}], [{**BLUE, "idx": "red"}], [BLUE]],
    "coco results": [{"image_id": f, "keypoints": FLAT_COCO[f], "score": 0.9} for f in (0, 0, 1, 2, 2, 2)],
    "alphapose": [{"image_id": f"{f}.jpg", "keypoints": FLAT_COCO[f], "idx": i} for f, i in ((0, 1), (1, 1), (1, 4))],
    "tfjs": [[{"keypoints": [{"x": FLAT[f, v, 0], "y": FLAT[f, v, 1], "name": NAMES[v]} for v in range(V)]}] for f in range(F)],
    "by name": [{"frame": f, "people": [{n: FLAT[f, v].tolist() for v, n in enumerate(NAMES)}]} for f in range(F)],
    "rows of joints": long().to_dict("records"),
    "rows of bodies": pd.DataFrame(np.c_[np.arange(F), FLAT.reshape(F, -1)], columns=["frame", *XY]).to_dict("records"),
}  # fmt: skip


@pytest.mark.parametrize("layout", [COCO, SCORED], ids=["coco17", "scored"])
@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith(NOT_LIVE) and name not in REFUSED])
def test_a_file_gives_what_its_whole_does(name, layout, tmp_path):
    FILES[name][0](tmp_path / name)
    wanted = whole(tmp_path / name, layout)
    frames = frames_of(tmp_path / name, layout, Stated())
    same(frames, wanted)
    assert sorted(frames.told) == sorted(wanted[1].told)


@pytest.mark.parametrize("name", LINES)
def test_json_lines_give_what_their_file_does_however_they_come(name, tmp_path):
    text = lines_of(LINES[name])
    (tmp_path / "a.jsonl").write_text(text)
    for layout in (COCO, SCORED):
        wanted = whole(tmp_path / "a.jsonl", layout)
        same(frames_of(tmp_path / "a.jsonl", layout, Stated()), wanted)
        same(frames_of(Dripping(text.encode()), layout, Stated()), wanted)
        same(of_text(text.rstrip("\n"), layout), wanted)


@pytest.mark.parametrize("name", ["wide.csv", "semicolons.csv", "european.tsv", "images.csv", "seconds.csv",
                                  "deeplabcut.csv", "no_header.csv", "joints.txt", "lines.txt", "commented.txt"])  # fmt: skip
def test_text_gives_the_same_byte_by_byte(name, tmp_path):
    FILES[name][0](tmp_path / name)
    frames = frames_of(Dripping((tmp_path / name).read_bytes()), SCORED, Stated())
    wanted = whole(tmp_path / name, SCORED)
    same(frames, wanted)
    assert sorted(frames.told) == sorted(wanted[1].told)


@given(st.lists(st.integers(1, 4000), min_size=1, max_size=8), st.booleans(), st.integers(0, 40))
@settings(max_examples=30, deadline=None)
def test_pku_lines_in_any_pieces(sizes, crlf, second):
    values = pku_values(1, 12, range(5, 12) if second % 2 else ())
    text = pku_text(values, end="\r\n" if crlf else "\n").encode()
    x = parse_pku(text).reshape(-1, 2, 25, 3)
    there = x.any(axis=(2, 3))
    frames, joints, row_frame, row_body = rows(frames_of(Dripping(text, sizes), KINECT, Stated()))
    assert frames == 12
    np.testing.assert_array_equal(joints, x[there])
    np.testing.assert_array_equal(np.stack([row_frame, row_body]), np.stack(np.nonzero(there)))


@given(st.lists(st.integers(1, 9000), min_size=1, max_size=8), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_skeleton_text_in_any_pieces(sizes, bodies):
    text = ntu_clip(2, 5, bodies).replace("\n", "\n\n", 3)
    path = Path(os.devnull)
    opened = Opened(File(path.name, str(path)))
    opened.__dict__["data"] = text.encode()
    (clip,) = POSE_FORMATS["skeleton"].read(opened, KINECT)
    same(frames_of(Dripping(text.encode(), sizes), KINECT, MM), (5, fitted(clip, KINECT, MM, "a")))


def test_genuine_recordings_give_what_their_readers_do():
    for folder in ("pku", "ntu"):
        for path in sorted(real_data(folder).iterdir()):
            if path.suffix == ".skeleton" or path.stem == "A10N08-L":
                same(frames_of(path, KINECT, MM), whole(path, KINECT, MM))
    frames = list(frames_of(real_data("pku", "A10N08-L.txt"), KINECT, Stated()))
    assert [len(frame.body) for frame in frames] == [1] * 312 + [2] * 728


@pytest.mark.parametrize(
    ("numbers", "places", "told"),
    [
        ([5, 6, 7, 9], [0, 1, 2, 4], []),
        ([0, 10, 20, 30, 40], [0, 1, 2, 3, 4], [APART.format(10)]),
        ([0, 10, 20], [0, 1, 2], [APART.format(10)]),
        ([3, 9, 10, 11, 12], [0, 6, 7, 8, 9], []),
        ([0, 33, 67, 100, 133, 167], range(6), [TIMES]),
        ([0, 33, 66, 99, 133, 166], range(6), [APART.format(33), TIMES]),
        ([0, 4, 8, 12, 14, 16], [0, 1, 2, 3, 4, 5], [APART.format(4), CLOSER.format(2)]),
        ([0, 1, 2, 10**9], [0, 1, 2, 3], [FAR]),
        ([0, 0.04, 0.08, 1.2], range(4), []),
        ([0, 0.5, 1, 1.5], range(4), []),
    ],
)
def test_numbers_tell_where_frames_lie(numbers, places, told):
    table = "frame," + ",".join(XY) + "\n"
    table += "".join(",".join(map(str, [number, *FLAT[0].ravel()])) + "\n" for number in numbers)
    frames = of_text(table)
    count, _, row_frame, _ = rows(frames)
    assert row_frame.tolist() == list(places)
    assert count == row_frame[-1] + 1
    assert frames.told == told


def test_joints_that_frames_leave_out_are_not_seen(tmp_path):
    table = long(person=3)
    kept = table[(table.frame + table.index) % 7 != 0]
    kept.to_csv(tmp_path / "a.csv", index=False)
    same(frames_of(tmp_path / "a.csv", SCORED, Stated()), whole(tmp_path / "a.csv", SCORED))
    numbered = long(names=range(1, V + 1))
    numbered[(numbered.frame + numbered.joint) % 6 != 2].to_csv(tmp_path / "b.csv", index=False)
    same(frames_of(tmp_path / "b.csv", SCORED, Stated()), whole(tmp_path / "b.csv", SCORED))


def test_confidences_of_nobody_stay_confidences(tmp_path):
    x = np.concatenate([FLAT, SCORES[..., None]], axis=2)
    x[3, :, 2] = 0
    np.savetxt(tmp_path / "a.txt", x.reshape(F, -1))
    np.save(tmp_path / "a.npy", x)
    for name in ("a.txt", "a.npy"):
        same(frames_of(tmp_path / name, SCORED, Stated()), whole(tmp_path / name, SCORED))
    data = (tmp_path / "a.txt").read_bytes()
    same(frames_of(Dripping(data), SCORED, Stated()), whole(tmp_path / "a.txt", SCORED))


def test_what_one_frame_may_have_is_told_when_most_have_it():
    one = np.tile(FLAT.reshape(F, -1), (20, 1))
    one[0] = 0.5
    frames = of_text("\n".join(" ".join(map(str, row)) for row in one))
    list(frames)
    assert frames.told == []
    frames = of_text("\n".join(" ".join(map(str, row)) for row in one / 1000))
    assert frames.told == []
    assert len(list(frames)) == 100
    assert frames.told == [SHARES]


# What follows is read while it is written.


def piped(write, layout, **options):
    """The frames that come out of a pipe into which `write(give)` writes."""
    out, into = os.pipe()

    def run() -> None:
        with open(into, "wb", buffering=0) as file:
            write(lambda text: file.write(text.encode()))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    with open(out, "rb") as file:
        yield from frames_of(file, layout, Stated(), **options)
    thread.join()


SKELETON = ntu_clip(3, F)
PARTS = {
    "numbers": (KINECT, [f"{line}\n" for line in pku_text(pku_values(3, F), lead="", end="\n").splitlines()]),
    "joints": (COCO, ["".join(f"{x} {y}\n" for x, y in frame) for frame in FLAT.tolist()]),
    "json": (COCO, [json.dumps(frame) + "\n" for frame in FLAT.tolist()]),
    "objects": (COCO, [json.dumps({"frame": f, "people": [PEOPLE[f]]}) + "\n" for f in range(F)]),
    "skeleton": (KINECT, ["".join(f"{line}\n" for line in SKELETON.split("\n")[start : start + 28])
                          for start in range(1, 1 + 28 * F, 28)]),
    "table": (COCO, [line + "\n" for line in wide(XY, FLAT.reshape(F, -1)).splitlines()[1:]]),
}  # fmt: skip
HEAD = {"skeleton": "0\n", "table": ",".join(XY) + "\n"}


@pytest.mark.parametrize("name", PARTS)
def test_a_frame_is_given_before_the_next_is_written(name):
    layout, parts = PARTS[name]
    given_ = threading.Semaphore(0)
    written = []

    def write(give) -> None:
        give(HEAD.get(name, ""))
        for n, part in enumerate(parts):
            give(part[:7])
            time.sleep(0.002)
            written.append(n)
            give(part[7:])
            assert given_.acquire(timeout=20)

    for frame in piped(write, layout):
        assert written == list(range(frame.number + 1))
        assert len(frame.joints) == 1
        given_.release()
    assert len(written) == F


def test_the_rows_of_a_frame_are_given_with_the_first_of_the_next():
    table = long(person=1).to_csv(index=False).splitlines(keepends=True)
    given_ = threading.Semaphore(0)
    written = []

    def write(give) -> None:
        give(table[0])
        for n in range(F):
            give(table[1 + V * n])
            assert n == 0 or given_.acquire(timeout=20)
            give("".join(table[2 + V * n : 1 + V * (n + 1)]))
            written.append(n)

    for frame in piped(write, COCO):
        assert len(written) in (frame.number + 1, F)
        given_.release()


@pytest.mark.parametrize("name", PARTS)
def test_a_file_that_grows_is_followed(name, tmp_path):
    layout, parts = PARTS[name]
    text = HEAD.get(name, "") + "".join(parts)
    path = tmp_path / "a.txt"
    path.write_text(text[:10])

    def write() -> None:
        with open(path, "a", buffering=1) as file:
            for start in range(10, len(text), 499):
                time.sleep(0.004)
                file.write(text[start : start + 499])
                file.flush()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    count, joints, _, _ = rows(frames_of(path, layout, Stated(), follow=True, patience=0.5))
    thread.join()
    assert count == F
    path.write_text(text.replace("0", str(F), 1) if name == "skeleton" else text)
    np.testing.assert_array_equal(joints, whole(path, layout)[1].joints)


def test_a_followed_file_whose_end_is_cut_or_that_becomes_shorter(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("".join(PARTS["numbers"][1])[:-1])  # its last number may be cut
    found, error = until(frames_of(path, KINECT, Stated(), follow=True, patience=0.05))
    assert len(found) == F - 1
    assert isinstance(error, EndsEarly)
    assert f"ends within frame {F - 1};" in str(error)
    assert len(list(frames_of(path, KINECT, Stated()))) == F
    frames = frames_of(path, KINECT, Stated(), follow=True, patience=20)
    next(frames)
    path.write_text("")
    assert "shorter" in str(until(frames)[1])


def test_a_skeleton_that_says_how_many_frames_it_has_is_followed_to_them(tmp_path):
    (tmp_path / "a.skeleton").write_text(SKELETON)
    begin = time.monotonic()
    assert len(list(frames_of(tmp_path / "a.skeleton", KINECT, Stated(), follow=True))) == F
    assert time.monotonic() - begin < 20
    found, error = until(of_text(SKELETON.replace(str(F), str(F + 1), 1), KINECT))
    assert len(found) == F
    assert isinstance(error, EndsEarly)
    assert f"ends after {F} of {F + 1} frames" in str(error)
    found, error = until(of_text(SKELETON.replace(str(F), str(F - 1), 1), KINECT))
    assert len(found) == F - 1
    assert "more text" in str(error)


def openpose(f: int) -> str:
    return json.dumps({"version": 1.3, "people": [{"pose_keypoints_2d": FLAT_COCO[f]}] if f != 2 else []})


def of_folder(folder: Path, layout):
    (piece,) = search(folder, []).pieces
    (clip,) = read_source(piece.format, piece.files, piece.numbers, layout, "a")
    return clip.frames, fitted(clip, layout, Stated(), "a")


def test_a_folder_of_frames(tmp_path):
    for f in range(F):
        (tmp_path / f"cam_{f + 9:012}_keypoints.json").write_text(openpose(f))
    (tmp_path / "notes_1.txt").write_text("no frame")
    same(frames_of(tmp_path, SCORED, Stated()), of_folder(tmp_path, SCORED))
    (tmp_path / "other_000000000001_keypoints.json").write_text(openpose(0))
    assert "several recordings" in str(until(frames_of(tmp_path, SCORED, Stated()))[1])
    (tmp_path / "empty").mkdir()
    assert "holds no frames" in str(until(frames_of(tmp_path / "empty", SCORED, Stated()))[1])


def test_a_folder_of_mmpose_and_of_yolo(tmp_path):
    for f in range(F):
        (tmp_path / "m" / f"{f}.json").parent.mkdir(exist_ok=True)
        (tmp_path / "m" / f"{f}.json").write_text(json.dumps([PEOPLE[f]]))
        (tmp_path / "y" / f"v_{f}.txt").parent.mkdir(exist_ok=True)
        box = " ".join(f"{value / 1000:.4f}" for value in FLAT[f].ravel())
        (tmp_path / "y" / f"v_{f}.txt").write_text(f"0 0.5 0.5 0.2 0.2 {box}\n")
    for name in "my":
        same(frames_of(tmp_path / name, COCO, Stated()), of_folder(tmp_path / name, COCO))


def test_a_folder_is_followed_and_a_file_that_is_half_written_is_waited_for(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()

    def write() -> None:
        for f in range(F):
            text = openpose(f)
            with open(folder / f"x_{f}_keypoints.json", "w") as file:
                file.write(text[:50])
                file.flush()
                time.sleep(0.05)
                file.write(text[50:])
            time.sleep(0.02)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    found = list(frames_of(folder, SCORED, Stated(), follow=True, patience=0.6))
    thread.join()
    same(found, of_folder(folder, SCORED))
    (folder / f"x_{F}_keypoints.json").write_text(openpose(0)[:60])
    found, error = until(frames_of(folder, SCORED, Stated(), follow=True, patience=0.1))
    assert len(found) == F
    assert isinstance(error, EndsEarly)
    (folder / f"x_{F + 1}_keypoints.json").write_text(openpose(0))
    found, error = until(frames_of(folder, SCORED, Stated(), follow=True, patience=9))
    assert len(found) == F
    assert "damaged JSON" in str(error)


# What is refused, after all that is whole.

NUMBERS = "".join(PARTS["numbers"][1])
OBJECTS = "".join(PARTS["objects"][1])
LONG = long(person=1).to_csv(index=False)
CUT = {
    "numbers": (NUMBERS[:-200], KINECT, F - 1),
    "joints": ("".join(PARTS["joints"][1])[:-30], COCO, F - 1),
    "json": (OBJECTS[:-9], COCO, F - 1),
    "within a character": (OBJECTS.encode() + b'{"frame": "\xc3', COCO, F),
    "skeleton": (SKELETON[:-300], KINECT, F - 1),
    "within its last line": (SKELETON[:-30], KINECT, F - 1),
    "rows": (LONG[: LONG.rindex("\n", 0, -90)], COCO, F - 1),
    "a row": (LONG[: LONG.rindex(",")], COCO, F - 1),
    "wide rows": (wide(XY, FLAT.reshape(F, -1))[:-20], COCO, F - 1),
}


@pytest.mark.parametrize("name", CUT)
def test_a_source_that_ends_within_a_frame_gives_those_before_and_says_so(name):
    text, layout, whole_ones = CUT[name]
    found, error = until(of_text(text, layout))
    assert len(found) == whole_ones
    assert isinstance(error, EndsEarly)
    assert f"the stream: ends within frame {whole_ones}; " in str(error)


DAMAGED = {
    "a word": (NUMBERS.replace("\n", "\n1 2 fish\n", 2).replace("\n1 2 fish\n", "\n", 1), 2, "line 3: has 3 numbers, and those before it 150: 1 2 fish"),
    "words": (" ".join(["a"] * 150), 0, "line 1: begins with"),
    "no number": (NUMBERS.splitlines()[0] + "\n" + " ".join(["1"] * 149 + ["fish"]) + "\n", 1, "line 2: is no line of numbers: 1 1"),
    "other joints": (" ".join(["1"] * 51) + "\n", 0, "line 1: holds rows of 51 numbers, and layout kinect_v2"),
    "no text": (NUMBERS.encode() + b"\xff\xfe\xfd\n", F, f"line {F + 1}: is no text in UTF-8"),
    "zeros": (NUMBERS.encode() + b"\0" * 100, F, f"line {F + 1}: is no text in UTF-8"),
    "binary": (b"\x89HDF\r\n\x1a\n\0\0", 0, "line 1: is no text in UTF-8"),
    "nothing": ("\n \n", 0, "is empty"),
    "a heading": ("frame,joint,x,y,z\n", 0, "holds no frames"),
    "a picture": ("<svg>\n", 0, "line 1: begins with '<svg>'"),
    "a word in a table": ("frame,joint,x,y,z\n0,a,1,2,3\n1,b,fish,2,3\n2,a,1,2,3\n", 0, "line 2: has no joint called"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_damaged_is_refused_in_one_line(name):
    text, whole_ones, said = DAMAGED[name]
    found, error = until(of_text(text, KINECT))
    assert len(found) == whole_ones
    assert said in str(error)
    assert len(str(error)) < 400
    assert "\n" not in str(error)


JSON_DAMAGED = {
    "a line": (OBJECTS.replace('{"frame": 3', '{"frame: 3', 1), 3, "line 4: is damaged JSON ("),
    "over lines": (json.dumps(FLAT.tolist(), indent=1), 0, "line 1: is JSON over several lines"),
    "number": ("[1, 2]\n5\n", 0, "line 1: holds rows of 2 numbers"),
    "a word": (OBJECTS + '"fish"\n', F, f"line {F + 1}: holds 'fish' in the place of a frame"),
    "deep": ("[" * 100_000 + "\n", 0, "line 1: is nested too deeply"),
    "backwards": (lines_of({"frame": f, **PEOPLE[0]} for f in (4, 5, 3)), 2, "line 3: frame 3 comes after frame 5"),
    "twice": (lines_of({"frame": f, **PEOPLE[0]} for f in (4, 5, 5)), 2, "line 3: frame 5 comes a second time"),
    "one body twice": (lines_of([[BLUE], [BLUE, BLUE]]), 1, "line 2: has one body twice"),
    "a recording": (json.dumps({"frames": [{"frame": f, **PEOPLE[f]} for f in range(F)]}) + "\n", 0, "holds a whole recording"),
    "many": (json.dumps(np.tile(FLAT, (4, 1, 1)).tolist()) + "\n", 0, "line 1: holds 20 poses"),
    "unknown": (lines_of({"frame": f, "fish": [[1, 2]] * 17} for f in range(99)), 0, "has frames of fish"),
    "other joints": (lines_of([PEOPLE[0], {"keypoints": FLAT[0, :9].tolist()}]), 1, "line 2: holds people of 9 joints"),
}  # fmt: skip


@pytest.mark.parametrize("name", JSON_DAMAGED)
def test_damaged_json_is_refused_in_one_line(name):
    text, whole_ones, said = JSON_DAMAGED[name]
    found, error = until(of_text(text))
    assert len(found) == whole_ones
    assert said in str(error)
    assert "\n" not in str(error)


def test_tables_that_are_refused(tmp_path):
    rows_ = wide(["frame", *XY], np.c_[np.arange(F), FLAT.reshape(F, -1)]).splitlines()
    found, error = until(of_text("\n".join([*rows_[:3], rows_[3] + ",9", *rows_[4:]])))
    assert len(found) == 2
    assert f"line 4: has {2 + 2 * V} cells in the place of {1 + 2 * V}" in str(error)
    fish = rows_[3].replace(",", ",fish", 1)
    found, error = until(of_text("\n".join([*rows_[:3], fish, *rows_[4:]])))
    assert len(found) == 2
    assert "line 4: has something else than numbers in column nose_x" in str(error)
    several = pd.concat([long().assign(video="v1"), long().assign(video="v2")]).to_csv(index=False)
    found, error = until(of_text(several))
    assert "begins another clip, v2" in str(error)
    FILES["shuffled.csv"][0](tmp_path / "a.csv")
    assert "comes after frame" in str(until(frames_of(tmp_path / "a.csv", COCO, Stated()))[1])


def test_what_parts_or_joins_the_lines_of_a_table_is_damage():
    lines = wide(["frame", *XY], np.c_[np.arange(F), FLAT.reshape(F, -1)]).splitlines()
    for mark in ("\r", '"'):
        damaged = lines[3].replace(",", f",{mark}", 1)
        found, error = until(of_text("\n".join([*lines[:3], damaged, *lines[4:]])))
        assert len(found) == 2
        assert "line 4: " in str(error)
    found, error = until(of_text(NUMBERS + NUMBERS.replace(" ", "\r", 2), KINECT))
    assert len(found) == F
    assert f"line {F + 1}: " in str(error)
    records = LINES["rows of bodies"]
    *_, last = of_text(lines_of([*records[:2], {"frame": 2}]))
    assert (last.number, len(last.body)) == (2, 0)
    lacking = [{key: value for key, value in each.items() if key != "frame"} for each in records]
    found, error = until(of_text(lines_of([*records[:2], lacking[2]])))
    assert len(found) == 2
    assert "line 3: has rows without a frame number" in str(error)


@pytest.mark.parametrize("line", [", ".join(["1.5"] * 5000) + ", x", "1" * 1_000_000 + "x", "1 ," * 50_000 + "x"])
def test_a_long_line_that_is_none_of_numbers_is_told_at_once(line):
    begin = time.monotonic()
    assert "begins with" in str(until(of_text(line + "\n"))[1])
    assert time.monotonic() - begin < 5


def test_numbers_that_are_none_are_not_seen():
    x = FLAT.reshape(F, -1).copy()
    x[2, 4] = x[3, -1] = np.nan
    frames = of_text("\n".join(" ".join(map(str, row)) for row in x))
    _, joints, _, _ = rows(frames)
    assert frames.told == [NO_NUMBERS]
    assert not joints[2, 2].any()
    assert not joints[3, -1].any()


def test_a_line_that_never_ends_takes_no_memory(monkeypatch):
    monkeypatch.setattr(sources, "LONGEST", 1 << 20)
    begun = Dripping(NUMBERS.encode() + b"1 " * (1 << 22), (1 << 16,))
    found, error = until(frames_of(begun, KINECT, Stated()))
    assert len(found) == F
    assert f"line {F + 1}: has more than 1 MiB without a line end" in str(error)
    assert begun.place < 1 << 21


def test_sources_that_are_not_there_or_do_not_grow(tmp_path):
    assert "does not exist" in str(until(frames_of(tmp_path / "a.txt", COCO, Stated()))[1])
    np.save(tmp_path / "a.npy", FLAT)
    assert "does not grow" in str(until(frames_of(tmp_path / "a.npy", COCO, Stated(), follow=True))[1])
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-1])
    assert "bytes for an array" in str(until(frames_of(tmp_path / "a.npy", COCO, Stated()))[1])
    FILES["objects.npy"][0](tmp_path / "o.npy")
    assert "holds objects" in str(until(frames_of(tmp_path / "o.npy", COCO, Stated()))[1])
    with pytest.raises(BadInput, match="has 3 coordinates"):
        frames_of(tmp_path / "a.npy", KINECT, Stated(unit="pixel"))


def test_a_named_pipe_is_read_until_it_is_closed(tmp_path):
    os.mkfifo(tmp_path / "p")
    thread = threading.Thread(target=lambda: (tmp_path / "p").write_text(NUMBERS), daemon=True)
    thread.start()
    assert len(list(frames_of(tmp_path / "p", KINECT, Stated(), follow=True, patience=0.01))) == F
    thread.join()


@pytest.mark.parametrize("kind", ["numbers", "json", "npy"])
def test_memory_does_not_grow_with_the_recording(kind, tmp_path):
    def peak(times: int) -> int:
        path = tmp_path / f"{times}.{kind}"
        if kind == "npy":
            np.save(path, np.tile(FLAT, (times, 1, 1)).astype(np.float32))
        else:
            text = "".join(PARTS["json"][1]) if kind == "json" else "\n".join(" ".join(map(str, row)) for row in FLAT.reshape(F, -1)) + "\n"  # fmt: skip
            path.write_text(text * times)
        tracemalloc.start()
        count = sum(1 for _ in frames_of(path, COCO, Stated()))
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == F * times
        return used

    few, many = peak(600), peak(2400)
    assert many < 1.3 * few + 100_000
