"""Poses of videos: who is who, by a detector of blobs; the files, read again as recordings; and MediaPipe itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from drawn import BLUE, BLUE_SHIRT, GREEN, RED, RED_SHIRT, SIZE, Blobs, blobs, figure, lit, room

from skelpipe.cli import main
from skelpipe.errors import BadInput
from skelpipe.layouts import find_layout
from skelpipe.layouts.mediapipe33 import MEDIAPIPE33
from skelpipe.predict import poses, video
from skelpipe.predict.poses import write_poses
from skelpipe.predict.tracking import are_one, box_of, follow, painted
from skelpipe.predict.video import LAYOUT_OF, bodies_of, open_video, seen_in
from skelpipe.recordings.store import open_group, read_array

GONE = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    monkeypatch.setattr(Blobs, "made", [])


def ids(pictures, people=2, look=5, lost=4):
    """By frame, {id: where the middle of the body is, across}."""
    told = follow(pictures, Blobs, people=people, look=look, lost=lost)
    return [{body.id: float(np.mean(body.image[:2, 0])) for body in seen.bodies} for seen in told]


# Who is who
def test_two_people_keep_their_ids_while_they_move_and_are_the_first_frame_s_already():
    found = ids([blobs((RED, 40 + t, 60, 80), (GREEN, 120 - t, 60, 60)) for t in range(20)])
    assert [sorted(each) for each in found] == [[0, 1]] * 20
    assert np.allclose([each[0] for each in found], 39.5 + np.arange(20), atol=1)
    assert np.allclose([each[1] for each in found], 119.5 - np.arange(20), atol=1)
    assert len(Blobs.made) == 2
    assert all(each.closed for each in Blobs.made)


def test_one_person_is_plain_and_gets_the_pictures_themselves(monkeypatch):
    monkeypatch.setattr(Blobs, "keep", True)
    pictures = [blobs((RED, 40, 60, 80), (GREEN, 120, 60, 60)) for _ in range(3)]
    assert [sorted(each) for each in ids(pictures, people=1)] == [[0]] * 3
    (only,) = Blobs.made
    assert all(shown is picture for shown, picture in zip(only.shown, pictures, strict=True))


def test_somebody_new_is_looked_for_now_and_then():
    alone, both = blobs((RED, 40, 60, 80)), blobs((RED, 40, 60, 80), (GREEN, 120, 60, 60))
    found = ids([alone] * 2 + [both] * 6, look=4)
    assert [sorted(each) for each in found] == [[0]] * 4 + [[0, 1]] * 4


def test_who_comes_back_soon_is_the_same_and_who_stays_away_is_not():
    both, red = blobs((RED, 40, 60, 80), (GREEN, 120, 60, 60)), blobs((RED, 40, 60, 80))
    found = ids([both, *[red] * 4, both, both, *[red] * 5, *[both] * 5], look=1, lost=4)
    assert [sorted(each) for each in found] == [
        [0, 1], *[[0]] * 4, [0, 1], [0, 1], *[[0]] * 5, *[[0, 2]] * 5,
    ]  # fmt: skip


def test_no_id_goes_from_one_person_to_another():
    """GREEN is nearest when RED has left; a box that is at once elsewhere is another person."""
    found = ids([blobs((RED, 30, 60, 80))] * 3 + [blobs((GREEN, 130, 60, 60))] * 3, people=1)
    assert [sorted(each) for each in found] == [[0]] * 3 + [[1]] * 3
    found = ids([blobs((RED, 80, 60, 24))] * 3 + [blobs((GREEN, 80, 60, 100))] * 3, people=1)
    assert [sorted(each) for each in found] == [[0]] * 3 + [[1]] * 3  # and so is one of another size


def test_a_picture_that_shows_nobody_is_a_frame():
    assert ids([GONE, blobs((BLUE, 80, 60, 80)), GONE], look=1) == [{}, {0: pytest.approx(79.5, abs=1)}, {}]


class Stubborn(Blobs):
    """Sees RED, whatever is painted over; but the second to be made sees GREEN for its first three pictures."""

    def find(self, picture):
        self.calls = getattr(self, "calls", 0) + 1
        green = len(Blobs.made) > 1 and self is Blobs.made[1] and self.calls <= 3
        return super().find(blobs((GREEN, 70, 60, 80)) if green else blobs((RED, 50, 60, 80)))


def test_of_two_on_the_same_person_the_younger_ends():
    told = list(follow([GONE] * 6, Stubborn, people=2, look=2, lost=5))
    assert [[body.id for body in seen.bodies] for seen in told] == [[0, 1]] * 3 + [[0]] * 3


def test_two_are_one_by_their_joints_whichever_side_is_left():
    one = Blobs().find(blobs((RED, 50, 60, 80)))
    turned = one._replace(image=one.image[list(MEDIAPIPE33.mirror)])
    beside = one._replace(image=one.image + np.float32([30, 0]))
    assert [are_one(one, each) for each in (one, turned, beside)] == [True, True, False]


def test_others_are_painted_over_but_not_in_ones_own_box():
    picture = blobs((RED, 50, 60, 80), (GREEN, 60, 60, 80))
    own, other = np.array([30.0, 10, 55, 110]), np.array([45.0, 10, 75, 110])
    made = painted(picture, [other], own)
    assert (made[10:110, 30:55] == picture[10:110, 30:55]).all()
    assert len(np.unique(made[10:110, 55:75].reshape(-1, 3), axis=0)) == 1
    assert (made[:, 75:] == picture[:, 75:]).all()
    assert painted(picture, []) is picture
    beyond = painted(picture, [np.array([-40.0, -40, 10, 500]), np.array([400.0, 0, 500, 10])])
    assert (beyond[:, 10:] == picture[:, 10:]).all()


def test_the_box_has_a_margin_and_room_for_the_top_of_the_head():
    image = np.zeros((33, 2), np.float32)
    image[1] = (50, 100)
    assert box_of(image).tolist() == [-10, -25, 60, 110]


def test_frames_are_read_one_at_a_time_and_forgotten():
    alive: list[weakref.ref] = []

    def pictures():
        for t in range(50):
            picture = blobs((RED, 40 + t, 60, 80), (GREEN, 120, 60, 60))
            alive.append(weakref.ref(picture))
            yield picture
            del picture

    for seen in follow(pictures(), Blobs, people=2, look=5, lost=5):
        assert len(alive) == seen.frame + 1
        assert sum(each() is not None for each in alive) <= 2


# Files
class Capture:
    """OpenCV's, of a file that NumPy wrote, blue first."""

    def __init__(self, path, api):
        self.frames = np.load(path)[..., ::-1] if open(path, "rb").read(6) == b"\x93NUMPY" else None  # noqa: SIM115
        self.at, self.announced = 0, None if self.frames is None else len(self.frames) + (len(self.frames) == 13)

    def isOpened(self):
        return self.frames is not None

    def get(self, what):
        return {"fps": 29.97, "count": self.announced}[what]

    def grab(self):
        self.at += 1
        return self.at <= len(self.frames)

    def read(self):
        return (True, self.frames[self.at - 1]) if self.grab() else (False, None)

    def release(self):
        pass


CV2 = SimpleNamespace(VideoCapture=Capture, CAP_FFMPEG=0, CAP_PROP_FPS="fps", CAP_PROP_FRAME_COUNT="count",
                      COLOR_BGR2RGB=0, cvtColor=lambda picture, how: picture[..., ::-1])  # fmt: skip


@pytest.fixture
def faked(monkeypatch):
    monkeypatch.setattr(video, "extra", lambda module, where: CV2)
    monkeypatch.setattr(video, "blazepose", lambda where: Blobs)
    monkeypatch.setattr(video, "LOOK", 0.1)  # every third frame


@pytest.fixture
def clip(tmp_path, faked):
    """12 frames: nobody in the first and the last two; two people from the fourth on, and one before."""
    frames = [GONE, *[blobs((RED, 40 + t, 60, 80)) for t in (1, 2)],
              *[blobs((RED, 40 + t, 60, 80), (GREEN, 120, 60, 60)) for t in range(3, 10)], GONE, GONE]  # fmt: skip
    return save(tmp_path / "clip.avi", frames)


def save(path, frames):
    with open(path, "wb") as file:
        np.save(file, np.array(frames))
    return path


def run(*words):
    return CliRunner().invoke(main, [*map(str, words)])


@pytest.mark.parametrize("suffix", [".npz", ".json"])
@pytest.mark.parametrize("points", ["world", "image"])
def test_what_is_written_is_what_was_seen_and_is_ingested(suffix, points, clip, tmp_path, monkeypatch):
    monkeypatch.setattr(poses, "BLOCK", 5)  # of several
    out, store = tmp_path / "out" / f"one{suffix}", tmp_path / "store"
    done = run("poses", clip, out, "--points", points)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{out}: 2 people in 9 of 12 frames, ")
    layout = find_layout(LAYOUT_OF[points])
    assert f"skelpipe ingest poses {out} STORE --layout {layout.name}\n" in done.stdout
    with open_video(clip) as opened:
        seen = list(seen_in(opened))
    wanted = np.concatenate([bodies_of(each, points)[1] for each in seen])
    assert wanted.shape == (len(wanted), len(layout.joints), layout.channels)
    made = run("ingest", "poses", out.parent, store, "--layout", layout.name, "--workers", 0)
    assert (made.exit_code, "left out" in made.output) == (0, False), made.output
    assert "the files state 29.97 frames per second" in made.stderr
    group, _ = open_group(store, "store")
    read = {name: read_array(group, name) for name in ("clip_frames", "row_frame", "row_body", "joints")}
    assert read["clip_frames"].tolist() == [12]
    assert read["row_frame"].tolist() == [each.frame for each in seen for _ in each.bodies]
    assert read["row_body"].tolist() == [body.id for each in seen for body in each.bodies]
    close = {".npz": 0, ".json": 0.051 if points == "image" else 5.1e-4}[suffix]
    assert np.abs(read["joints"] - wanted).max() <= close
    inspected = run("inspect", out).output
    assert f"--layout {layout.name}" in inspected
    assert {path.name for path in out.parent.iterdir()} == {out.name, f"{out.name}.provenance.json"}
    told = run("inspect", "--provenance", out).output
    assert "clip.avi" in told


def test_every_other_frame_has_half_the_rate(clip, tmp_path):
    done = write_poses(clip, tmp_path / "x.json", every=2)
    assert (done.frames, done.seen, done.fps) == (6, 4, pytest.approx(29.97 / 2))
    written = json.loads((tmp_path / "x.json").read_text())
    assert [each["frame"] for each in written["frames"]] == [0, 1, 2, 3, 4, 5]
    assert (written["fps"], written["image"]) == (done.fps, [*SIZE])
    with open_video(clip, 5) as opened:
        assert (opened.frames, opened.size, len(list(opened)), opened.given) == (3, SIZE, 3, 3)


def test_a_video_that_ends_early_is_told(tmp_path, faked, monkeypatch):
    path = save(tmp_path / "cut.avi", [blobs((RED, 40, 60, 80))] * 13)
    assert write_poses(path, tmp_path / "a.json").short is None  # one frame less than is announced is usual
    monkeypatch.setattr(poses, "MUCH_LESS", 1.0)
    done = run("poses", path, tmp_path / "b.json")
    assert done.stderr == f"skelpipe: {path}: ends after 13 frames, of 14 that it announces: it may be damaged\n"
    assert done.exit_code == 0


def test_mistakes_are_a_line_and_leave_nothing(clip, tmp_path):
    text, empty = tmp_path / "a.mp4", tmp_path / "b.mp4"
    text.write_text("I am no video\n" * 9)
    empty.touch()
    noise = tmp_path / "c.mp4"
    noise.write_bytes(bytes(range(256)))
    dark, none = save(tmp_path / "dark.avi", [GONE] * 3), save(tmp_path / "none.avi", np.zeros((0, 4, 4, 3), np.uint8))
    taken = tmp_path / "taken.json"
    taken.write_text("{}")
    before = sorted(tmp_path.iterdir())
    out = tmp_path / "new" / "x.npz"
    for words, said in (
        ((tmp_path / "no.mp4", out), f"{tmp_path}/no.mp4: cannot be read (No such file or directory); give a video"),
        ((tmp_path, out), f"{tmp_path}: is no file; give a video such as .mp4"),
        ((text, out), f"{text}: is no video that can be read; give a video"),
        ((noise, out), f"{noise}: is no video that can be read; give a video"),
        ((empty, out), f"{empty}: is no video that can be read; give a video"),
        ((none, out), f"{none}: is a video without frames that can be read; give a video"),
        ((dark, out), f"{dark}: nobody was found in its 3 frames; people have to be seen from head to hips"),
        ((clip, tmp_path / "x.csv"), f"{tmp_path}/x.csv: has the ending '.csv'; use one of .npz, .json"),
        ((clip, taken), f"{taken}: already exists; choose another path, or pass --force"),
        ((clip, text / "x.npz"), f"{text}/x.npz: cannot be written"),
    ):
        done = run("poses", *words)
        assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.output
        assert done.stderr.startswith(f"skelpipe: {said}")
    assert sorted(tmp_path.iterdir()) == before
    assert run("poses", clip, taken, "--force").exit_code == 2  # it is somebody else's
    taken.unlink()
    assert [run("poses", clip, taken, *words).exit_code for words in ((), (), ("--force",))] == [0, 2, 0]
    assert json.loads(taken.read_text())["frames"]


def test_an_interrupt_leaves_nothing_behind_and_closes_the_detectors(clip, tmp_path):
    def stop(done, total):
        if done == 6:
            raise KeyboardInterrupt

    before = sorted(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        write_poses(clip, tmp_path / "deep" / "x.npz", progress=stop)
    assert sorted(tmp_path.iterdir()) == before


def test_without_the_extra_there_is_one_line(tmp_path):
    """In a process of its own, in which there is neither."""
    path = tmp_path / "clip.avi"
    path.write_bytes(bytes(range(256)))
    code = "import sys; sys.modules.update(dict.fromkeys(('cv2', 'mediapipe'))); from skelpipe.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "poses", str(path), str(tmp_path / "x.npz")],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    remedy = 'pip install "skelpipe[video]"'
    assert done.stderr == (
        f"skelpipe: {path}: a video needs OpenCV, which comes with MediaPipe: it is not installed; {remedy}\n"
    )
    assert (done.returncode, done.stdout) == (2, "")
    with pytest.raises(BadInput, match=r"a video needs MediaPipe: it cannot be loaded \(.*numpy"):
        raise_import_error(path)


def raise_import_error(path):
    from skelpipe.predict.blazepose import extra

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("importlib.import_module", lambda name: (_ for _ in ()).throw(ImportError("numpy 2 is there")))
        extra("mediapipe.python.solutions.pose", path)


def test_bodies_are_rows_in_the_order_of_their_ids_or_none():
    (seen,) = follow([blobs((RED, 40, 60, 80), (GREEN, 120, 60, 60))], Blobs, people=2, look=1, lost=1)
    number, x = bodies_of(seen, "image")
    assert (number.tolist(), x.shape) == ([0, 1], (2, 17, 3))
    coco = find_layout("coco17").joints
    for place in ("nose", "left knee", "right ankle"):
        joint, of = coco.index(place), MEDIAPIPE33.joints.index(place)
        assert np.array_equal(x[1, joint, :2], seen.bodies[1].image[of])
    (nobody,) = follow([GONE], Blobs, people=2, look=1, lost=1)
    assert [bodies_of(nobody, points)[1].shape for points in ("world", "image")] == [(0, 33, 4), (0, 17, 3)]


# MediaPipe itself
@pytest.fixture(scope="module")
def waving(tmp_path_factory):
    """Two people wave, of whom the smaller walks out of the picture from frame 10 to 30; and who was where."""
    pytest.importorskip("mediapipe", reason="the extra skelpipe[video] is not installed")
    cv2 = pytest.importorskip("cv2", reason="the extra skelpipe[video] is not installed")
    path = tmp_path_factory.mktemp("video") / "waving.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (640, 400))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no video")
    truth = []
    for t in range(40):
        picture = room(640, 400)
        people = [figure(picture, 170 + t, 330, np.sin(0.4 * t), BLUE_SHIRT)]
        if t < 30:
            people.append(figure(picture, 470 + 10 * max(0, t - 10), 300, -np.sin(0.4 * t), RED_SHIRT))
        truth.append(people)
        writer.write(lit(picture)[..., ::-1])
    writer.release()
    return path, truth


def test_mediapipe_finds_drawn_people_where_they_are(waving, capfd):
    path, truth = waving
    with open_video(path) as opened:
        assert (opened.fps, opened.size, opened.frames) == (25, (640, 400), 40)
        told = list(seen_in(opened))
    assert [seen.frame for seen in told] == list(range(40))
    names = {body.id for seen in told for body in seen.bodies}
    assert names == {0, 1}
    for seen, people in zip(told[:11], truth[:11], strict=True):
        found = sorted(seen.bodies, key=lambda body: body.image[0, 0])
        assert len(found) == 2
        for body, person, size in zip(found, people, (330, 300), strict=True):
            for joint, place in person.items():
                away = np.linalg.norm(body.image[MEDIAPIPE33.joints.index(joint)] - place)
                assert away < 0.08 * size, (seen.frame, joint, away / size)
            _stands_and_waves(body)
    assert len({tuple(b.id for b in sorted(seen.bodies, key=lambda b: b.image[0, 0])) for seen in told[:11]}) == 1
    assert all(len(seen.bodies) == 1 for seen in told[32:])
    assert capfd.readouterr().err == ""  # of its C++


def _stands_and_waves(body):
    """In the world y is up, x is as in the picture, and the hips are the origin; z is larger nearer to the camera."""
    at = dict(zip(MEDIAPIPE33.joints, body.world, strict=True))
    assert at["nose"][1] > at["left shoulder"][1] > at["left hip"][1] > at["left knee"][1] > at["left ankle"][1]
    assert at["left wrist"][1] > at["left shoulder"][1] > at["right wrist"][1]
    assert at["left shoulder"][0] > 0 > at["right shoulder"][0]
    assert at["nose"][2] > at["left ear"][2]  # the face is to the camera
    assert 1.2 < at["nose"][1] - at["left ankle"][1] < 2.2
    assert np.abs(at["left hip"] + at["right hip"]).max() < 0.02


def test_mediapipe_from_a_video_to_a_store(waving, tmp_path):
    path, _ = waving
    command = [sys.executable, "-m", "skelpipe", "poses", str(path), str(tmp_path / "waving.npz"), "--every", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(video.__file__).parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 people in 20 of 20 frames" in done.stdout
    store = tmp_path / "store"
    made = run("ingest", "poses", tmp_path / "waving.npz", store, "--layout", "mediapipe33", "--workers", 0)
    assert made.exit_code == 0, made.output
    assert "up" not in made.stderr
    assert run("plot", store, "waving", tmp_path / "waving.png").exit_code == 0


def test_mediapipe_finds_nobody_in_an_empty_room(waving, tmp_path):
    import cv2

    path = tmp_path / "room.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (320, 240))
    for _ in range(5):
        writer.write(lit(room(320, 240))[..., ::-1])
    writer.release()
    done = run("poses", path, tmp_path / "x.npz")
    assert done.stderr.startswith(f"skelpipe: {path}: nobody was found in its 5 frames; people have to be")
    text = tmp_path / "notes.mp4"
    text.write_text("Dear diary\n" * 500)
    with pytest.raises(BadInput, match="is no video that can be read"):
        open_video(text)
    cut = tmp_path / "cut.avi"
    cut.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(BadInput, match=r"is no video that can be read|without frames that can be read"):
        open_video(cut)
