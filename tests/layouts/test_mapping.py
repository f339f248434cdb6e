"""Joints of one layout from those of another, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from skelpipe.errors import BadInput
from skelpipe.layouts import LAYOUTS, find_layout
from skelpipe.layouts.mapping import BETWEEN, NEAR, PLACES, _places, find_mapping, map_joints


def pose(name, frames=1):
    """Joint v lies at (v, 10 v, 100 v) or (v, 10 v): which joints one was made of can be read off."""
    layout = find_layout(name)
    v = np.arange(len(layout.joints), dtype=np.float32)[:, None]
    x = np.broadcast_to(v * [1.0, 10.0, 100.0][: layout.coordinates], (frames, len(v), layout.coordinates))
    return layout, x.astype(np.float32)


@pytest.mark.parametrize(
    ("source", "target", "missing", "made_of", "interpolated", "stand_ins"),
    [
        # The neck is halfway between the shoulders, 5 and 6.
        (
            "coco17", "openpose18", "refuse",
            [0, 5.5, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3],
            ("neck",), (),
        ),
        # The shoulder centre is the "spine shoulder", 20, and not the neck; the spine lies below the "spine mid", 1.
        (
            "kinect_v2", "kinect_v1", "refuse",
            [0, 0.5, 20, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19],
            ("spine",), (),
        ),
        (
            "mediapipe33", "coco17", "refuse",
            [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28],
            (), (),
        ),
        # The thorax is halfway between the shoulders, 16 and 17; for nose and top of the head there is the head, 15.
        (
            "smpl24", "h36m17", "nearest",
            [0, 2, 5, 8, 1, 4, 7, 6, 16.5, 15, 15, 16, 18, 20, 17, 19, 21],
            ("thorax",), ("nose", "head top"),
        ),
        # Hips 23, 24; shoulders 11, 12; ears 7, 8; wrists 15, 16 and fingers 19, 20; heels 29, 30 and toes 31, 32.
        (
            "mediapipe33", "kinect_v1", "refuse",
            [23.5, 20.5, 11.5, 7.5, 11, 13, 15, 17, 12, 14, 16, 18, 23, 25, 27, 30, 24, 26, 28, 31],
            ("hip centre", "spine", "shoulder centre", "head", "left hand", "right hand", "left foot", "right foot"),
            (),
        ),
    ],
)  # fmt: skip
def test_by_hand(source, target, missing, made_of, interpolated, stand_ins):
    (source, x), target = pose(source, frames=3), find_layout(target)
    out, mapping = map_joints(x, source, target, missing)
    made_of = np.array(made_of, np.float32)
    expected = np.stack([made_of, 10 * made_of, 100 * made_of], axis=-1)[:, : target.coordinates]
    if source.coordinates > target.coordinates:
        expected[:, 1] *= -1  # down in a picture
    assert out.shape == (3, len(target.joints), target.channels)
    np.testing.assert_allclose(out, np.broadcast_to(expected, out.shape), rtol=1e-6)
    assert (mapping.interpolated, mapping.stand_ins) == (interpolated, stand_ins)
    np.testing.assert_allclose(mapping.weights.sum(axis=1), 1)


def test_what_cannot_be_had_is_listed():
    smpl24, h36m17, coco17 = (LAYOUTS[name] for name in ("smpl24", "h36m17", "coco17"))
    with pytest.raises(BadInput, match="smpl24 to h36m17: there is nothing to make nose, head top of"):
        find_mapping(smpl24, h36m17)
    with pytest.raises(BadInput, match="coco17 to h36m17: a picture has no depth"):
        find_mapping(coco17, h36m17)
    with pytest.raises(BadInput, match="did you mean 'nearest'"):
        find_mapping(smpl24, h36m17, "nearby")
    with pytest.raises(ValueError, match="coco17 has 17 joints of 2 channels"):
        map_joints(np.zeros((17, 3), np.float32), coco17, coco17)


def test_confidence():
    source, target = find_layout("coco17+confidence"), find_layout("openpose18+confidence")
    x = np.ones((2, 17, 3), np.float32)
    x[0, 5:7, 2] = 0.75, 0.5
    x[1, 6, 2] = 0
    out, _ = map_joints(x, source, target)
    assert out[0, 1].tolist() == [1, 1, 0.5]  # the neck is as sure as the less sure shoulder
    assert out[0, 5, 2] == 0.75
    assert not out[1, [1, 2]].any()  # one shoulder was not found, so neither was the neck
    assert out[1, 5].tolist() == [1, 1, 1]
    assert map_joints(x, source, LAYOUTS["openpose18"])[0].shape == (2, 18, 2)
    plain = np.stack([np.ones((17, 2), np.float32), np.zeros((17, 2), np.float32)])
    plain[0, 3] = 0  # in the origin of a body that is there
    assert map_joints(plain, LAYOUTS["coco17"], target)[0][..., 2].tolist() == [[1] * 18, [0] * 18]


def test_every_layout_to_itself_and_from_the_richest():
    shipped = [LAYOUTS[name] for name in (*PLACES, "coco17")]
    known = {place for layout in shipped for place in _places(layout)}
    for layout in LAYOUTS.values():
        np.testing.assert_array_equal(find_mapping(layout, layout).weights, np.eye(len(layout.joints)))
        for other in LAYOUTS.values():
            if other.coordinates <= layout.coordinates:
                if not {*_places(layout), *_places(other)} <= known:
                    continue  # of an added layout the tables need not tell how each joint is come by
                mapping = find_mapping(layout, other, "nearest")
                # What mirrors the target's joints mirrors those that they are made of.
                mirrored = mapping.weights[np.ix_(other.mirror, layout.mirror)]
                np.testing.assert_array_equal(mirrored, mapping.weights)


def test_the_tables_name_joints_that_there_are():
    places = {name for layout in LAYOUTS.values() for name in layout.joints} | {
        place for own in PLACES.values() for place in own.values()
    }
    named = {end for pairs in BETWEEN.values() for pair in pairs for end in pair.split(" & ")}
    named |= {*BETWEEN, *NEAR, *(near for some in NEAR.values() for near in some)}
    assert named <= places
    for layout, own in PLACES.items():
        assert set(own) <= set(LAYOUTS[layout].joints)
