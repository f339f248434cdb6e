"""What clips are asked for: arrays made by hand, each of another convention than ours, and those that cannot tell."""

from __future__ import annotations

import json

import numpy as np
import pytest
from people import bending, lying, padded, person

from skelpipe.layouts.coco17 import COCO17
from skelpipe.layouts.h36m17 import H36M17
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.recordings import conventions
from skelpipe.recordings.conventions import Conversion
from skelpipe.recordings.conventions.conversion import own_frames, without_copies, without_points

# What a point (x, y, z) of ours is where another axis is up: rotations, worked out by hand.
ROTATED = {
    "x": lambda x, y, z: (y, -x, z),
    "-x": lambda x, y, z: (-y, x, z),
    "y": lambda x, y, z: (x, y, z),
    "-y": lambda x, y, z: (-x, -y, z),
    "z": lambda x, y, z: (x, -z, y),
    "-z": lambda x, y, z: (x, z, -y),
}


def ask(clips, layout=KINECT_V2):
    return conventions.ask([np.concatenate(clips)], layout)


def people(count=6, frames=40):
    """Clips (1, frames, 2, 25, 3) of different lengths, every third with two people."""
    return [
        padded([person(n, frames - 3 - n), *([person(90 + n, 20, (-0.8, 0, 3.2))] if n % 3 == 0 else [])], frames)
        for n in range(count)
    ]


def only(change, clips=None):
    """The clips with the rows of people changed: (rows, 25, 3) -> the same."""
    made = []
    for clip in people() if clips is None else clips:
        clip = clip.copy()
        shown = clip.any(axis=(3, 4))
        clip[shown] = change(clip[shown])
        made.append(clip)
    return made


def test_recordings_of_a_kinect():
    found = ask(people())
    assert (found.clips, found.told, found.content, found.up, found.mirrored) == (6, 6, "positions", "y", False)
    assert (found.origin, found.point, found.unit, found.turned) == ("sensor", None, "m", "no")
    assert (found.absent, found.copies, found.after) == ("zeros", 0, "zeros")
    assert not Conversion.of(found)
    assert Conversion.of(found).said == []
    assert conventions.doubts(found) == []
    json.dumps(found.as_json())
    told = dict(conventions.lines(found, KINECT_V2))
    assert (told["content"], told["made as"], told["unit"].split(" ")[0]) == ("positions", "recorded", "m")


# Axes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("up", ROTATED)
def test_the_axis_that_is_up_and_the_way_back(up):
    clips = only(lambda rows: np.stack(ROTATED[up](*np.moveaxis(rows, -1, 0)), -1))
    found = ask(clips)
    assert (found.up, found.mirrored, found.agree) == (up, False, 1.0)
    for clip, ours in zip(clips, people(), strict=True):
        np.testing.assert_array_equal(Conversion.of(found).apply(clip), ours)
    # What a store notes is enough for it.
    assert Conversion.of(json.loads(json.dumps(found.as_json()))) == Conversion.of(found)


@pytest.mark.parametrize("up", ROTATED)
def test_mirrored_bodies_and_the_way_back(up):
    clips = only(lambda rows: np.stack(ROTATED[up](*np.moveaxis(rows * (-1, 1, 1), -1, 0)), -1))
    found = ask(clips)
    assert (found.up, found.mirrored) == (up, True)
    np.testing.assert_array_equal(Conversion.of(found).apply(clips[1]), people()[1])


def test_a_picture_has_y_down_without_a_rotation():
    """Only y is negated, as in the coordinates of a picture: that mirrors."""
    clips = only(lambda rows: rows * np.float32([1, -1, 1]))
    found = ask(clips)
    assert (found.up, found.mirrored) == ("-y", True)
    back = Conversion.of(found).apply(clips[0])
    np.testing.assert_array_equal(back, people()[0])
    assert Conversion.of(found).said == ["-y up to y up (x, -y, z)", "mirrored back"]


@pytest.mark.parametrize(
    ("clips", "up"),
    [
        ([person(n) for n in range(8)] + [lying(n, 0) for n in range(2)] + [lying(9, 2)], "y"),
        ([bending(n) for n in range(5)], "y"),
        ([lying(n, 2 * (n % 2)) for n in range(6)], None),  # each lies as it likes
        ([person(n) for n in range(3)] + [lying(n, 0) for n in range(3)], None),
        ([lying(0, 0)], None),  # one clip cannot tell a wall from the floor
        ([person(0)], "y"),
        ([person(0), lying(1, 0)], None),
    ],
)
def test_who_lies_or_bends_does_not_say_what_is_up(clips, up):
    found = ask([padded([clip], 30) for clip in clips])
    assert found.up == up
    assert not Conversion.of(found)
    assert bool(conventions.doubts(found)) == (up is None)
    assert up is not None or dict(conventions.lines(found, KINECT_V2))["up"] == "cannot be told"


def test_layouts_without_toes_or_in_a_picture_tell_less():
    table = {"pelvis": 0, "right hip": 16, "right knee": 17, "right ankle": 18, "left hip": 12, "left knee": 13,
             "left ankle": 14, "spine": 1, "thorax": 20, "nose": 3, "head top": 3, "left shoulder": 4, "left elbow": 5,
             "left wrist": 6, "right shoulder": 8, "right elbow": 9, "right wrist": 10}  # fmt: skip
    rows = [table[name] for name in H36M17.joints]
    found = ask([clip[..., rows, :][..., [0, 2, 1]] for clip in people()], H36M17)
    assert (found.up, found.mirrored, found.unit) == ("z", None, "m")
    flat = np.random.default_rng(0).uniform(0, 400, (3, 8, 2, 17, 2)).astype(np.float32)
    found = ask([flat], COCO17)
    assert (found.up, found.unit, found.mirrored) == (None, None, None)
    assert "up" not in dict(conventions.lines(found, COCO17))


# Origin, unit, shoulders --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["own", "first", "start"])
@pytest.mark.parametrize("joint", [0, 1, 20])
def test_the_point_that_is_the_origin(how, joint):
    made = []
    for clip in people():
        shown = clip[0].any(axis=(2, 3))
        source = {"own": clip[0, :, :, joint], "first": clip[0, :, :1, joint], "start": clip[0, :1, :1, joint]}[how]
        out = clip.copy()
        out[0][shown] -= np.broadcast_to(source[:, :, None], clip[0].shape)[shown]
        if how == "first":  # who is alone in a frame stays where they are
            alone = shown[:, 1] & ~shown[:, 0]
            assert not alone.any()
        made.append(out)
    found = ask(made)
    assert (found.origin, found.joints, found.up) == (how, (joint,), "y")
    assert found.point == f"joint {joint} ({KINECT_V2.joints[joint]})"


def test_an_origin_between_joints():
    made = only(lambda rows: rows - rows[:, [12, 16]].mean(axis=1, keepdims=True))
    found = ask(made)
    assert (found.origin, found.point) == ("own", "the middle of right hip and left hip")
    found = ask(only(lambda rows: rows - rows.mean(axis=1, keepdims=True)))
    assert (found.origin, found.point) == ("own", "the middle of all joints")


@pytest.mark.parametrize(("unit", "factor"), [("m", 1), ("cm", 100), ("mm", 1000)])
def test_the_unit_by_the_trunk(unit, factor):
    clips = only(lambda rows: rows * np.float32(factor))
    found = ask(clips)
    assert found.unit == unit
    assert found.trunk == pytest.approx(0.5 * factor, rel=0.15)
    np.testing.assert_allclose(Conversion.of(found).apply(clips[2]), people()[2], rtol=1e-6)


def test_units_that_cannot_be_told_are_left_and_said():
    def by_trunk(rows):
        return rows / np.linalg.norm(rows[:, [4, 8]].mean(axis=1) - rows[:, 0], axis=1)[:, None, None]

    of_range = only(lambda rows: (rows - rows.min()) / (rows.max() - rows.min()))
    of_spine = only(lambda rows: rows / np.linalg.norm(rows[:, 20] - rows[:, 0], axis=1)[:, None, None])
    feet = only(lambda rows: rows * np.float32(3.2808))
    for clips, unit, told in (
        (only(by_trunk), "normalised", "1"),
        (of_range, "normalised", ""),
        (of_spine, "normalised", "0.9"),
        (feet, "other", "1.5"),
    ):
        found = ask(clips)
        assert found.unit == unit
        assert not Conversion.of(found)
        (line,) = conventions.doubts(found)
        assert f"the trunk is {told}" in line


def test_shoulders_that_were_turned():
    def frame(rows):
        line = rows[:, 8] - rows[:, 4]
        angle = np.arctan2(line[:, 2], line[:, 0])
        turns = np.array([[[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]] for a in angle])
        return np.einsum("fij,fvj->fvi", turns, rows - rows[:, 20:21]).astype(np.float32)

    found = ask(only(frame))
    assert (found.turned, found.origin, found.joints) == ("frame", "own", (20,))
    assert dict(conventions.lines(found, KINECT_V2))["made as"].startswith("AimCLR's prepared clips")


# Bodies and frames that are not there -------------------------------------------------------------------------------


def test_copies_of_the_first_body():
    clips = people()
    for clip in clips:
        if not clip[:, :, 1].any():
            clip[:, :, 1] = clip[:, :, 0]
    found = ask(clips)
    assert (found.absent, found.copies) == ("copies", 4)
    left, count = without_copies(np.concatenate(clips))
    assert count == 4
    np.testing.assert_array_equal(left, np.concatenate(people()))
    once = clips[1].copy()
    once[0, 3, 1, 7, 2] += 1e-6
    assert without_copies(once) == (once, 0)


def test_absent_bodies_that_were_moved_with_the_others():
    """The origin is subtracted from the zeros too: all joints of who is not there lie in one point."""
    clips = [clip - clip[:, :1, :1, :1] for clip in people()]
    found = ask(clips)
    assert (found.absent, found.origin, found.joints) == ("points", "start", (0,))
    assert found.after == "zeros"
    left = without_points(np.concatenate(clips))
    np.testing.assert_array_equal(left.any(axis=(3, 4)), np.concatenate(people()).any(axis=(3, 4)))


def filled(how):
    made = []
    for n in range(5):
        body = person(n, 11 + n)
        behind = {
            "zeros": np.zeros((60, 25, 3)),
            "repetition": np.tile(body, (6, 1, 1)),
            "last frame": np.repeat(body[-1:], 60, axis=0),
            "nothing": person(n, 60),
        }[how]
        made.append(padded([np.concatenate([body, behind])[:40]], 40))
    return made


@pytest.mark.parametrize("how", ["zeros", "repetition", "last frame", "nothing"])
def test_what_stands_behind_the_end(how):
    clips = filled(how)
    found = ask(clips)
    assert (found.after, found.up, found.content) == (how, "y", "positions")
    own = [int(own_frames(clip[0], found.after)[0]) for clip in clips]
    assert own == ([11, 12, 13, 14, 15] if how in ("repetition", "last frame") else [40] * 5)


def test_a_file_is_filled_by_zeros_or_by_repetition():
    """Whichever more clips show: a gap may fall on the last frame, and a recording may repeat itself."""
    assert ask([*filled("repetition"), filled("zeros")[0]]).after == "repetition"
    assert ask([*filled("zeros"), filled("repetition")[0]]).after == "zeros"
    late = filled("repetition")[0]
    late[:, :, 1], late[:, :, 0] = late[:, :, 0], 0  # only the second body is there
    assert own_frames(late[0], ask([late]).after)[1] == 11


# Content ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("centred", [False, True])
def test_motion_and_bones_are_no_positions(centred):
    clips = only(lambda rows: rows - rows[:, 20:21]) if centred else people()
    parents = list(KINECT_V2.parents)
    motion = [np.concatenate([clip[:, 1:] - clip[:, :-1], 0 * clip[:, :1]], axis=1) for clip in clips]
    bones = [clip - clip[..., parents, :] for clip in clips]
    assert ask(clips).content == "positions"
    found = ask(motion)
    assert (found.content, found.up, found.unit, found.mirrored) == ("motion", None, None, None)
    found = ask(bones)
    assert (found.content, found.up, found.unit, found.origin, found.joints) == ("bones", None, None, "own", (20,))
    assert ask([np.concatenate([b[:, 1:] - b[:, :-1], 0 * b[:, :1]], axis=1) for b in bones]).content == "motion"
    assert not Conversion.of(found)
    # Motion is told of resized clips too.
    assert ask([clip[:, ::2] for clip in motion]).content == "motion"


def test_what_is_no_body_is_not_taken_for_one():
    line = np.arange(2 * 9 * 2 * 25 * 3, dtype=np.float32).reshape(2, 9, 2, 25, 3) + 1
    found = ask([line])
    assert (found.content, found.up, found.unit) == (None, None, None)
    assert "cannot be told" in conventions.doubts(found)[0]
    assert not Conversion.of(found)


def test_clips_that_show_nobody_or_no_numbers():
    broken = people(1)[0]
    broken[0, 3, 0, 4] = np.nan
    found = ask([np.zeros((2, 5, 2, 25, 3), np.float32)])
    assert (found.clips, found.told, found.content) == (2, 0, None)
    assert "none of 2 clips" in conventions.lines(found, KINECT_V2)[0][1]
    found = ask([broken, people(2)[1]])
    assert (found.clips, found.told, found.up) == (2, 1, "y")
    assert conventions.ask([], KINECT_V2).told == 0


def test_lists_of_clips_of_their_own_lengths_and_a_sample():
    clips = [clip[0, : 20 + n] for n, clip in enumerate(people())]
    found = conventions.ask(([clip] for clip in clips), KINECT_V2)
    assert (found.told, found.after, found.up) == (6, None, "y")
    assert conventions.chosen(3).tolist() == [0, 1, 2]
    assert conventions.chosen(0).tolist() == []
    picked = conventions.chosen(10_000)
    assert (len(picked), picked[0], picked[-1]) == (conventions.SAMPLE, 0, 9999)
    assert set(np.diff(picked)) <= {39, 40}
