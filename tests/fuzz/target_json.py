"""Clips of NW-UCLA, held against a plain twin."""

from __future__ import annotations

import json

import numpy as np
from engine import Target
from target_names import held

from skelpipe.errors import BadInput
from skelpipe.recordings.datasets import DATASETS, Dropped
from skelpipe.recordings.datasets.base import Source

NAME = "a01_s01_e00_v01"
WORDS = [
    b"[", b"]", b"{", b"}", b",", b":", b'"', b"null", b"true", b"NaN", b"-Infinity", b"1e400", b"1e39", b"3.5e38", b"-0.0", b"0", b"1",
    b"9223372036854775808", b"-9223372036854775809", b"9" * 400, b"9" * 5000, b"[" * 3000, b"[]", b"[0,0,0]", b'"1.5"', b'"\\ud800"',
    b'"label": 2', b'"label": null', b'"label": 1.0', b'"file_name": "a02_s01_e00_v01"', b'"skeletons"', b'"skeletons": []',
    b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"\n", b" ", b"\xff",
]  # fmt: skip


def check_ucla(data: bytes, thorough: bool) -> str:
    """A clip of finite numbers, the twin's, with a row for every frame that is not of zeros; or it is left out, with a word."""
    file = held(f"{NAME}.json", data)
    try:
        (clip,) = DATASETS["nw-ucla"].read(Source(NAME, (file,)))
    except BadInput as error:
        assert error.where == file.shown, error
        assert len(str(error)) < 400
        if thorough:
            assert twin(data) in (None, "odd"), f"refused ({error}), and the twin reads it"
        return f"refused: {error.what[:30]}"
    if isinstance(clip, Dropped):
        return f"refused: {clip.reason}"
    assert np.isfinite(clip.joints).all()
    assert clip.joints.shape == (len(clip.row_frame), 20, 3)
    assert clip.joints.any(axis=(1, 2)).all()
    if thorough and (frames := twin(data)) != "odd":
        assert frames is not None, "read, and the twin refuses it"
        assert clip.frames == len(frames)
        shown = [number for number, frame in enumerate(frames) if any(value != 0 for joint in frame for value in joint)]
        assert clip.row_frame.tolist() == shown
        assert clip.joints.tobytes() == np.array([frames[number] for number in shown], np.float32).tobytes()
    return f"read: {min(clip.frames, 4)}"


def twin(data: bytes) -> list[list[list[np.float32]]] | str | None:
    """The frames; None if it is no such file, "odd" if it has whole numbers of more than 64 bits."""
    try:
        frames = json.loads(data)["skeletons"]
    except (ValueError, RecursionError, TypeError, KeyError):
        return None
    if not isinstance(frames, list) or not all(isinstance(frame, list) and len(frame) == 20 for frame in frames):
        return None
    joints = [joint for frame in frames for joint in frame]
    if not all(isinstance(joint, list) and len(joint) == 3 for joint in joints):
        return None
    values = [value for joint in joints for value in joint]
    if not all(type(value) in (int, float) for value in values):
        return None
    if any(type(value) is int and not -(2**63) <= value < 2**63 for value in values):
        return "odd"
    with np.errstate(over="ignore"):
        read = [[[np.float32(value) for value in joint] for joint in frame] for frame in frames]
    return read if all(np.isfinite(value) for frame in read for joint in frame for value in joint) else None


# An empty dict is 72 bytes for 3 of text, a dict of one key 250 for 8.
TARGETS = {"ucla": Target(check_ucla, WORDS, 60)}
