"""Own recorders' files of other conventions: the store keeps and notes them, and who reads it gets ours."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from people import lying, person
from rawtext import files, ntu_text

from skelpipe.cli import main
from skelpipe.clips.prepare import prepare
from skelpipe.errors import BadInput
from skelpipe.exchange.arrays.exporting import export_arrays
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.outputs.digests import read_digest
from skelpipe.plots.motion import load_motion
from skelpipe.recordings.conventions.folders import ask_clips, ask_store
from skelpipe.recordings.datasets.ntu import clip_name
from skelpipe.recordings.ingest import ingest
from skelpipe.recordings.parts import Part, join
from skelpipe.recordings.pickles import plain as plain_value
from skelpipe.recordings.pickles import read_pickle
from skelpipe.recordings.store import Clips, open_group, read_array
from skelpipe.recordings.verify import verify

NAMES = [clip_name(1, 1 + n % 3, 1 + n, 1, 1 + n) for n in range(6)]


def write(path, change=lambda rows: rows, people=person):
    """Six clips, every third with two people; coordinates are written with 7 digits."""
    texts = {}
    for n, name in enumerate(NAMES):
        bodies = [people(n), *([person(n + 50, 30, (-0.8, 0.0, 3.2))] if n % 3 == 0 else [])]
        frames = [[(m, np.round(change(body[t]), 7)) for m, body in enumerate(bodies)] for t in range(30)]
        texts[name] = ntu_text(frames)
    return files(path, **texts)


def run(*words):
    result = CliRunner().invoke(main, [str(word) for word in words])
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    root = tmp_path_factory.mktemp("plain")
    code, output = run("ingest", "ntu60", write(root / "raw"), root / "store", "--workers", 0)
    assert (code, "skelpipe:" in output) == (0, False)
    assert "conventions" not in open_group(root / "store", "store")[1]
    prepare(root / "store", root / "clips", frames=10, threads=1)
    return root


CHANGED = {
    "z up": (lambda rows: rows[:, [0, 2, 1]] * (1, -1, 1), "z up to y up (x, z, -y)", {"up": "z"}, 2e-6),
    "mm": (lambda rows: rows * 1000, "mm to m", {"unit": "mm"}, 2e-6),
    "cm, y down": (
        lambda rows: rows * (-100, -100, 100), "-y up to y up (-x, -y, z); cm to m", {"up": "-y", "unit": "cm"}, 2e-6,
    ),
    "mirrored": (lambda rows: rows * (-1, 1, 1), "mirrored back (-x, y, z)", {"mirrored": True}, 2e-6),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGED)
def test_a_store_of_other_axes_or_units_gives_the_same_clips(plain, tmp_path, name):
    change, said, noted, near = CHANGED[name]
    raw = write(tmp_path / "raw", change)
    code, output = run("ingest", "ntu60", raw, tmp_path / "store", "--workers", 0)
    assert (code, said in output) == (0, True)
    _, about = open_group(tmp_path / "store", "store")
    assert {key: about["conventions"][key] for key in noted} == noted
    assert about["units"] == {"mm": "millimetres", "cm": "centimetres"}.get(noted.get("unit"), "metres")
    assert verify(tmp_path / "store", raw, workers=0).clips == 6  # the recorded values are kept
    prepare(tmp_path / "store", tmp_path / "clips", frames=10, threads=1)
    clips = Clips(tmp_path / "clips")
    np.testing.assert_allclose(clips.load(), Clips(plain / "clips").load(), atol=near)
    assert clips.attributes["conventions"]["converted"] == said.split("; ")
    assert ask_clips(clips.group, clips.attributes).up == "y"
    prepare(tmp_path / "store", tmp_path / "raw_clips", preset="raw", frames=40, threads=1)
    prepare(plain / "store", tmp_path / "plain_clips", preset="raw", frames=40, threads=1)
    same = [Clips(tmp_path / name).load() for name in ("raw_clips", "plain_clips")]
    np.testing.assert_allclose(*same, atol=near)
    for at, to in ((plain, "a"), (tmp_path, "b")):
        export_arrays("pyskl-pkl", at / "store", tmp_path / to, split="xsub60")
    exports = [read_pickle(tmp_path / to / "ntu60_3danno.pkl")["annotations"][0]["keypoint"] for to in "ab"]
    np.testing.assert_allclose(*map(plain_value, exports), atol=1e-5)
    moving = [load_motion(at / "store", NAMES[0]).joints for at in (plain, tmp_path)]
    np.testing.assert_allclose(*moving, atol=near)
    shown = run("inspect", tmp_path / "clips")[1]
    assert "conventions, asked of the clips" in shown
    assert "converted" in shown


@pytest.mark.parametrize("joint", [0, 1])
def test_bodies_told_from_a_joint_give_the_same_clips(plain, tmp_path, joint):
    raw = write(tmp_path / "raw", lambda rows: rows - rows[joint])
    code, output = run("ingest", "ntu60", raw, tmp_path / "store", "--workers", 0)
    assert code == 0
    assert f"the origin is joint {joint}" in output
    assert run("prepare", tmp_path / "store", tmp_path / "clips", "--frames", 10) == (
        0, f"{tmp_path / 'clips'}: 6 clips of 10 frames\n",
    )  # fmt: skip
    clips = Clips(tmp_path / "clips")
    np.testing.assert_allclose(clips.load(), Clips(plain / "clips").load(), atol=2e-6)
    assert read_array(clips.group, "length").tolist() == [30] * 6


def test_parts_tell_nothing_and_their_whole_what_one_ingest_tells(tmp_path):
    raw = write(tmp_path / "raw", CHANGED["z up"][0])
    ingest("ntu60", raw, tmp_path / "whole", workers=0)
    parts = [tmp_path / f"part{n}" for n in (1, 2)]
    for n, part in enumerate(parts, 1):
        assert ingest("ntu60", raw, part, workers=0, part=Part(n, 2)).told == ()
    assert "conventions" not in open_group(parts[0], "store part")[1]
    code, output = run("join", *parts, tmp_path / "joined")
    assert (code, "z up to y up" in output) == (0, True)
    assert read_digest(tmp_path / "joined") == read_digest(tmp_path / "whole")


def test_where_most_lie_the_axes_stay_and_it_is_said(tmp_path):
    raw = write(tmp_path / "raw", people=lambda n: lying(n, 2 * (n % 2)))
    code, output = run("ingest", "ntu60", raw, tmp_path / "store", "--workers", 0)
    assert (code, "which axis is up cannot be told" in output) == (0, True)
    group, about = open_group(tmp_path / "store", "store")
    assert "conventions" not in about
    assert ask_store(group, about).up is None
    assert "cannot be told" in run("inspect", tmp_path / "store")[1]


def nobody(path, empty, frames):
    texts = {name: ntu_text([[(1, np.round(person(n)[t], 6))] if n >= empty else frames for t in range(30)])
             for n, name in enumerate(NAMES)}  # fmt: skip
    return files(path, **texts)


@pytest.mark.parametrize("frames", [[], [(1, np.zeros((25, 3)))]], ids=["no body", "all zeros"])
def test_recordings_of_which_most_show_nobody_are_refused(tmp_path, frames):
    code, output = run("ingest", "ntu60", nobody(tmp_path / "raw", 4, frames), tmp_path / "store", "--workers", 0)
    assert code == 2
    assert "4 of 6 clips show nobody" in output
    assert output.count("\n") == 1
    assert not (tmp_path / "store").exists()
    ingest("ntu60", nobody(tmp_path / "half", 3, frames), tmp_path / "half_store", workers=0)
    ingest("ntu60", tmp_path / "raw", tmp_path / "kept", workers=0, keep_missing=True)
    with pytest.raises(BadInput, match="4 of 6 clips show nobody"):
        prepare(tmp_path / "kept", tmp_path / "clips", frames=10, threads=1)
    assert not (tmp_path / "clips").exists()


@pytest.mark.parametrize("frames", [[], [(1, np.zeros((25, 3)))]], ids=["no body", "all zeros"])
def test_parts_of_a_whole_of_which_most_show_nobody_are_refused(tmp_path, frames):
    raw, parts = nobody(tmp_path / "raw", 4, frames), [tmp_path / "one", tmp_path / "two"]
    for number, part in enumerate(parts, 1):
        ingest("ntu60", raw, part, workers=0, part=Part(number, 2))
    with pytest.raises(BadInput, match="4 of 6 clips show nobody"):
        join(parts, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_store_told_from_a_joint_of_every_body_is_moved_as_a_whole(plain, tmp_path):
    """What 2s-AGCN, ISC and P-LSTM make of the first body does not go by where it is in the room."""
    raw = write(tmp_path / "raw", lambda rows: rows - rows[:1])
    assert "the origin is joint 0 (spine base)" in run("ingest", "ntu60", raw, tmp_path / "store", "--workers", 0)[1]
    for preset in ("isc", "body_axes"):
        for at, to in ((plain, "a"), (tmp_path, "b")):
            prepare(at / "store", tmp_path / f"{preset}_{to}", preset=preset, frames=30, threads=1)
        made = [Clips(tmp_path / f"{preset}_{to}").load()[..., 0] for to in "ab"]
        np.testing.assert_allclose(made[1], made[0], atol=1e-5)
    for at, to in ((plain, "a"), (tmp_path, "b")):
        export_arrays("agcn-npy", at / "store", tmp_path / to, split="xsub60")
    made = [np.load(tmp_path / to / "train_data_joint.npy")[..., 0] for to in "ab"]
    np.testing.assert_allclose(made[1], made[0], atol=1e-5)
    prepare(tmp_path / "store", tmp_path / "pc", preset="pc", threads=1)
    assert (read_array(Clips(tmp_path / "pc").group, "length") == 30).all()
    prepare(tmp_path / "store", tmp_path / "kept", preset="raw", frames=30, threads=1)
    assert not Clips(tmp_path / "kept").load()[:, :, :, 0].any()  # the recorded values


def test_recordings_in_several_units_are_refused_by_name(tmp_path):
    raw = write(tmp_path / "raw", people=lambda n: person(n) * (1000 if n % 2 else 1))
    code, output = run("ingest", "ntu60", raw, tmp_path / "store", "--workers", 0)
    told = f"clips are in several units: {NAMES[3]} in mm, {NAMES[0]} in m (3 of 6 differ)"
    assert (code, told in output, output.count("\n")) == (2, True, 1)
    assert not (tmp_path / "store").exists()


def test_recordings_of_both_hands_are_told_by_name_and_left(tmp_path):
    raw = write(tmp_path / "raw", people=lambda n: person(n) * ((-1, 1, 1) if n % 2 else (1, 1, 1)))
    code, output = run("ingest", "ntu60", raw, tmp_path / "store", "--workers", 0)
    told = f"exchanged in 3 of 6 clips, as in {NAMES[3]}, and not in others, as in {NAMES[0]}; they are left"
    assert (code, told in output, "found" in output) == (0, True, False)


def test_recordings_of_bones_are_refused_and_flat_ones_told(tmp_path):
    parent = dict(KINECT_V2.edges)
    bones = write(tmp_path / "bones", lambda rows: rows - rows[[parent.get(v, v) for v in range(25)]])
    code, output = run("ingest", "ntu60", bones, tmp_path / "store", "--workers", 0)
    assert (code, "holds bones of joints, not positions" in output) == (2, True)
    flat = write(tmp_path / "flat", lambda rows: rows * (-1, 1, 0) + (0, 0, 2))
    code, output = run("ingest", "ntu60", flat, tmp_path / "store", "--workers", 0)
    assert (code, "all joints of a frame have nearly the same z in 6 of 6 clips" in output) == (0, True)
    assert "mirrored" not in output


def test_bodies_that_change_places_in_frames_are_told_apart(tmp_path):
    lies, stands = lying(3, 0), person(4)
    frames = [[(7, stands[t])] if t < 4 else [(9, lies[t]), (7, stands[t])] for t in range(20)]
    code, output = run("ingest", "ntu60", files(tmp_path / "raw", **{NAMES[0]: ntu_text(frames)}), tmp_path / "store")
    assert (code, "cannot be told" in output) == (0, False)
    assert ask_store(*open_group(tmp_path / "store", "store")).up == "y"
