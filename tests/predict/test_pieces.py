"""Windows and persons cut from recordings, at once and frame by frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skelpipe.errors import BadInput
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.predict.pieces import Piece, Rolling, Windows, as_ragged, by_person

V, C = 25, 3


def recording(frames, people=((0, None, None),), name="a"):
    """People are (id, first frame, last frame); each joint tells its frame and person."""
    rows = [
        (t, body)
        for t in range(frames)
        for body, first, last in people
        if (first or 0) <= t <= (frames if last is None else last)
    ]
    row_frame = np.array([t for t, _ in rows], np.int64)
    row_body = np.array([b for _, b in rows], np.int64)
    joints = np.zeros((len(rows), V, C), np.float32)
    joints[..., 0], joints[..., 1] = row_frame[:, None], row_body[:, None]
    return Piece(name, joints, row_frame, row_body, frames)


def test_windows_by_hand():
    windows = Windows(10, 4)
    assert windows.starts(22) == [0, 4, 8, 12]
    assert windows.starts(23) == [0, 4, 8, 12, 13]  # the last ends with the recording
    assert windows.starts(10) == [0]
    assert windows.starts(3) == [0]
    assert Windows(10, 30).starts(35) == [0, 25]


def test_a_window_holds_its_frames_and_knows_where_they_were():
    found = list(Windows(4, 3).of(recording(9, [(7, 2, 5)])))
    assert [(w.start, w.frames, w.row_frame.tolist(), w.joints[:, 0, 0].tolist()) for w in found] == [
        (0, 4, [2, 3], [2, 3]),
        (3, 4, [0, 1, 2], [3, 4, 5]),
        (5, 4, [0], [5]),
    ]
    assert all(w.row_body.tolist() == [7] * len(w.joints) for w in found)


@given(frames=st.integers(0, 40), length=st.integers(1, 15), hop=st.integers(1, 20), gap=st.integers(1, 4))
def test_frames_one_by_one_give_the_windows_of_the_whole(frames, length, hop, gap):
    whole = recording(frames, [(0, None, None), (3, 5, 20)])
    windows = Windows(length, hop)
    rolling = Rolling("a", windows, V, C)
    found = []
    for t in range(0, frames, gap):
        mine = whole.row_frame == t
        found += rolling.add(t, whole.joints[mine], whole.row_body[mine])
        held = [number for number, _, _ in rolling.held]
        assert not held or held[-1] - held[0] < length + hop + gap
    found += rolling.end()
    kept = np.isin(whole.row_frame, range(0, frames, gap))
    last = (frames - 1) // gap * gap + 1 if frames else 0  # nobody tells of frames behind the last that came
    thinned = Piece("a", whole.joints[kept], whole.row_frame[kept], whole.row_body[kept], last)
    expected = list(windows.of(thinned)) if frames else []
    assert [(w.start, w.frames) for w in found] == [(w.start, w.frames) for w in expected]
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine.joints, theirs.joints)
        np.testing.assert_array_equal(mine.row_frame, theirs.row_frame)
        np.testing.assert_array_equal(mine.row_body, theirs.row_body)


def test_a_window_is_given_with_its_last_frame():
    whole, rolling = recording(8), Rolling("a", Windows(5, 2), V, C)
    given_at = [len(list(rolling.add(t, whole.joints[t : t + 1], whole.row_body[t : t + 1]))) for t in range(8)]
    assert given_at == [0, 0, 0, 0, 1, 0, 1, 0]


def test_people_are_told_apart_in_the_order_in_which_they_come():
    found = list(by_person(recording(10, [(9, 0, 3), (2, 1, 8), (5, 4, 4)])))
    assert [(p.person, p.start, p.frames) for p in found] == [(9, 0, 4), (2, 1, 8)]  # of one frame nothing moves
    assert all((p.joints[:, 0, 1] == p.person).all() for p in found)
    assert found[1].row_frame.tolist() == list(range(8))


def test_ragged_is_what_stores_are_read_as():
    ragged = as_ragged([recording(3), recording(0), recording(2, [(0, None, None), (1, None, None)])], KINECT_V2)
    assert ragged.clip_offset.tolist() == [0, 3, 3, 7]
    assert ragged.clip_frames.tolist() == [3, 0, 2]
    assert ragged.row_frame.tolist() == [0, 1, 2, 0, 0, 1, 1]


def test_no_frames_are_no_window():
    with pytest.raises(BadInput, match="--hop: 0 is not a number of frames"):
        Windows(5, 0)
