"""Parses the text of a `.skeleton` file of NTU RGB+D."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput
from skelpipe.kernels import compiled
from skelpipe.recordings.text.numbers import (
    ENDS,
    FINE,
    JOINTS,
    LF,
    MORE,
    NEGATIVE,
    NOT_25,
    NOT_INTEGER,
    NOT_NUMBER,
    ODD_COLUMNS,
    ODD_ROWS,
    TOO_FEW,
    TOO_LARGE,
    Array,
    as_array,
    count_fields,
    finish_odd,
    line_end,
    plain_joint,
    read_count,
    read_integer,
    read_number,
    skip_blanks,
    skip_line,
)
from skelpipe.recordings.text.scan import REACH, address_of, byte_at

FRAMES, BODIES, BODY, COUNT, JOINT, REST = range(6)
EXPECTED = ("the number of frames", "the number of bodies", "a body", "the number of joints", "a joint", "nothing")


class NtuText(NamedTuple):
    """What a `.skeleton` file holds: frames, (R, 25, 3) float32 joints, (R,) int32 frame and int64 body id per row."""

    frames: int
    joints: npt.NDArray[np.float32]
    row_frame: npt.NDArray[np.int32]
    row_body: npt.NDArray[np.int64]


def parse_ntu(data: bytes, where: str = "file") -> NtuText:
    """Parse an NTU RGB+D `.skeleton` file: x, y, z (metres) and the body ids; the rest of each line is skipped.

    Args:
        data: the whole file. Line ends LF or CRLF; blank lines and blanks around numbers do not matter.
        where: how messages call the file.

    Raises:
        BadInput: truncated, or not such a file; names the line.
    """
    text, error, _ = _parse(data, where)
    if error is not None:
        raise error
    return text


def parse_frames(data: bytes, frames: int, where: str = "file", line: int = 1, before: int = 0) -> NtuText:
    """Parse some frames out of the middle of a `.skeleton` file.

    Args:
        data: their lines alone.
        frames: how many they are.
        where: how messages call the file.
        line: the number of the first of these lines in the file.
        before: how many frames there are before.

    Raises:
        BadInput: as `parse_ntu`.
    """
    text, error, _ = _parse(b"%d\n" % frames + data, where, lines=line - 2, before=before)
    if error is not None:
        raise error
    return text


def parse_cut(data: bytes, where: str = "file") -> NtuText:
    """Parse a clip of PKU-MMD that was cut into a file as AimCLR does it (tools/pku_part1_skeleton.py).

    That is a `.skeleton` file in which a second body follows the first without lines of its own; one that has them is
    read, too. Where the label passes the end of its sequence, such a file says more frames than it has, which are read.

    Args:
        data: the whole file.
        where: how messages call the file.

    Raises:
        BadInput: it ends inside a frame, has none, or is not such a file; names the line.
    """
    text, error, line = _parse(data, where, short=True)
    if error is not None:
        bare = _parse(data, where, short=True, bare=True)
        if bare[1] is None or bare[2] > line:
            text, error, line = bare
    if error is not None and text.frames and line <= 2:
        what = f"says {text.frames} frames and holds none, as AimCLR's script leaves a clip whose label begins at 0"
        raise BadInput(where, what, "give the sequence and its labels instead")
    if error is not None:
        raise error
    return text


def _parse(
    data: bytes, where: str, short: bool = False, bare: bool = False, lines: int = 0, before: int = 0
) -> tuple[NtuText, BadInput | None, int]:
    """What the file holds, what is wrong with it, and the line where that is.

    Args:
        data: the whole file.
        where: how messages call the file.
        short: the file may end before a frame that is not its first.
        bare: only the first body of a frame has lines of its own.
        lines, before: of the file, the lines and the frames that came before these.
    """
    buffer = as_array(data)
    # A body cannot be said in fewer characters.
    rows = len(data) // (JOINTS * 6 - 1 + (0 if bare else 2 + 3)) + 1
    joints = np.empty((rows, JOINTS, 3), np.float32)
    row_frame, row_body = np.empty(rows, np.int32), np.empty(rows, np.int64)
    odd = np.empty((ODD_ROWS, ODD_COLUMNS), np.int64)
    while True:
        problem, expected, line, frame, found, frames, used, odds = _ntu(
            buffer, len(data), joints, row_frame, row_body, odd, bare
        )
        ended = short and problem == ENDS and expected == BODIES and frame > 0
        if odds <= len(odd) or not (ended or problem == FINE):
            break
        odd = np.empty((odds, ODD_COLUMNS), np.int64)
    error = None
    if ended:
        frames = frame
    elif problem != FINE:
        error = _ntu_error(
            where, int(problem), int(expected), int(line) + lines, int(frame) + before, int(found), int(frames) + before
        )
    joints = joints[:used].copy()  # a view would keep the whole buffer alive
    if error is None:
        odd[:odds, -1] += lines
        finish_odd(joints, odd[:odds], data, where)
    return NtuText(int(frames), joints, row_frame[:used].copy(), row_body[:used].copy()), error, int(line)


def _ntu_error(where: str, problem: int, expected: int, line: int, frame: int, found: int, frames: int) -> BadInput:
    wanted, again = EXPECTED[expected], "download or copy the file again"
    spot = f"in frame {frame + 1} of {frames}"
    if expected == FRAMES:
        again = "check that it is an NTU RGB+D .skeleton file, or download it again"
        spot = "at its start"
    what = {
        ENDS: f"the file is truncated: it ends {spot}, where {wanted} should be",
        NOT_INTEGER: f"{wanted} should be here, a whole number, {spot}",
        TOO_LARGE: f"{wanted if expected != BODY else 'a body id'} is too large for 64 bits, {spot}",
        NEGATIVE: f"{wanted} is negative, {spot}",
        NOT_NUMBER: f"a joint has a coordinate that is not a number, {spot}",
        TOO_FEW: f"a joint has fewer than 3 coordinates, {spot}",
        NOT_25: f"a body has {found} joints, not {JOINTS}, {spot}",
        MORE: f"there is more text after the last of {frames} frames",
    }[problem]
    return BadInput(f"{where}, line {line}", what, again)


# Axes: joints (row, joint V, xyz), one row per body per frame in the order of the file; row_frame and row_body (row,).
# Rows and tokens are told if nothing is wrong, or if the file ends before a frame.
@compiled(error_model="numpy")
def _ntu(
    data: Array, size: int, joints: Array, row_frame: Array, row_body: Array, odd: Array, bare: bool
) -> tuple[int, int, int, int, int, int, int, int]:
    """Returns (problem, what was expected, line, frame, count found, frames, rows, tokens left to Python)."""
    row, odds, width, text, flat = 0, 0, 0, address_of(data), joints.reshape(-1)
    p, line = skip_line(text, 0, size, 1)
    frames, p, problem = read_count(text, p, size)
    if problem != FINE:
        return problem, FRAMES, line, 0, 0, 0, 0, 0
    for frame in range(frames):
        p, line = skip_line(text, p, size, line)
        bodies, p, problem = read_count(text, p, size)
        if problem != FINE:
            return problem, BODIES, line, frame, 0, frames, row, odds
        for body in range(bodies):
            p, line = skip_line(text, p, size, line)
            if p >= size or row >= len(joints):
                return ENDS, BODY, line, frame, 0, frames, 0, 0
            row_frame[row], row_body[row] = frame, body
            if body == 0 or not bare:
                row_body[row], p, problem = read_integer(text, p, size)
                if problem != FINE:
                    return problem, BODY, line, frame, 0, frames, 0, 0
                p, line = skip_line(text, line_end(text, p, size), size, line)
                count, p, problem = read_count(text, p, size)
                if problem != FINE or count != JOINTS:
                    return (problem if problem != FINE else NOT_25), COUNT, line, frame, count, frames, 0, 0
            for v in range(JOINTS):
                p, line = skip_line(text, p, size, line)
                start = p
                if p + 2 * REACH <= size and row < len(joints):
                    p = plain_joint(text, p, size, flat, (row * JOINTS + v) * 3)
                if p == start:
                    for c in range(3):
                        p = skip_blanks(text, p, size)
                        if p >= size:
                            return ENDS, JOINT, line, frame, 0, frames, 0, 0
                        if byte_at(text, p) == LF:
                            return TOO_FEW, JOINT, line, frame, 0, frames, 0, 0
                        begin = p
                        value, p, problem, exact = read_number(text, p, size)
                        if problem != FINE:
                            return (ENDS if p >= size else problem), JOINT, line, frame, 0, frames, 0, 0
                        joints[row, v, c] = value
                        if exact == 0:
                            if odds < len(odd):
                                odd[odds, 0], odd[odds, 1] = (row * JOINTS + v) * 3 + c, begin
                                odd[odds, 2], odd[odds, 3] = p, line
                            odds += 1
                    p = line_end(text, p, size)
                if row == 0 and v == 0:
                    width = count_fields(text, start, p)
                # A file cut inside its very last line is told by that line's missing fields alone.
                if p >= size and count_fields(text, start, size) < width:
                    return ENDS, JOINT, line, frame, 0, frames, 0, 0
            row += 1
    p, line = skip_line(text, p, size, line)
    if p < size:
        return MORE, REST, line, frames, 0, frames, 0, 0
    return FINE, REST, line, 0, 0, frames, row, odds
