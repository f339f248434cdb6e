"""Numba parsers over the bytes of the publishers' text files.

Numbers come out as `np.float32(float(token))` gives them, to the bit. Real files print 6 or 7 significant digits: the
digits then fit a double exactly, and so does the power of ten, so that one multiplication or division is the correctly
rounded double. The rare token for which that does not hold is left to Python's own `float`.

Every read is bounds-checked by hand, and arrays are sized from the length of the file, never from a number in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import numpy.typing as npt
from numba import njit

from skelpipe.datasets.scan import REACH, RUN, digits_in, newline_in, word_at
from skelpipe.errors import BadInput

Array = npt.NDArray[Any]
Function = TypeVar("Function", bound=Callable[..., Any])

JOINTS = 25
PKU_NUMBERS = 2 * JOINTS * 3

LF, CR, BLANK, TAB, PLUS, MINUS, POINT, ZERO, NINE, UPPER_E, LOWER_E = b"\n\r \t+-.09Ee"

# What can be wrong with a line, and what was expected there.
FINE, ENDS, NOT_INTEGER, TOO_LARGE, NEGATIVE, NOT_NUMBER, TOO_FEW, TOO_MANY, NOT_25, MORE = range(10)
FRAMES, BODIES, BODY, COUNT, JOINT, REST = range(6)
EXPECTED = ("the number of frames", "the number of bodies", "a body", "the number of joints", "a joint", "nothing")

# Powers of ten that a double holds exactly.
POWERS = np.array([10.0**k for k in range(23)])
EXACT_DIGITS, EXACT_POWER = 15, 22
TENS = np.array([10**k for k in range(9)])
LARGEST = np.iinfo(np.int64).max

# Eight digits, the first in the lowest byte, become a number by adding neighbours: to pairs, to fours, to eight.
ZEROS = np.uint64(0x3030303030303030)
OUTER_PAIRS, TO_OUTER = np.uint64(0x000000FF000000FF), np.uint64(100 + (10**6 << 32))
TO_INNER = np.uint64(1 + (10**4 << 32))

# Tokens left to Python: their place in the array, start and end in the file, and line.
ODD_COLUMNS, ODD_ROWS = 4, 64


def compiled(function: Function) -> Function:
    """Numba's `njit`, cached on disk and free of the GIL, with the type of the function kept."""
    return cast(Function, njit(cache=True, nogil=True, error_model="numpy")(function))


def inlined(function: Function) -> Function:
    """As `compiled`, and put into its callers: to count a call's references to arrays would cost more than its work."""
    return cast(Function, njit(cache=True, nogil=True, error_model="numpy", inline="always")(function))


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
    buffer = _as_array(data)
    rows = len(data) // (2 + 3 + JOINTS * 6 - 1) + 1  # a body cannot be said in fewer characters
    joints = np.empty((rows, JOINTS, 3), np.float32)
    row_frame, row_body = np.empty(rows, np.int32), np.empty(rows, np.int64)
    odd = np.empty((ODD_ROWS, ODD_COLUMNS), np.int64)
    while True:
        problem, expected, line, frame, found, frames, used, odds = _ntu(
            buffer, len(data), joints, row_frame, row_body, odd
        )
        if problem != FINE:
            raise _ntu_error(where, int(problem), int(expected), int(line), int(frame), int(found), int(frames))
        if odds <= len(odd):
            break
        odd = np.empty((odds, ODD_COLUMNS), np.int64)
    joints = joints[:used].copy()  # a view would keep the whole buffer alive
    _finish(joints, odd[:odds], data, where)
    return NtuText(int(frames), joints, row_frame[:used].copy(), row_body[:used].copy())


def parse_pku(data: bytes, where: str = "file") -> npt.NDArray[np.float32]:
    """Parse a PKU-MMD sequence, one line of 150 numbers (body, joint, xyz) per frame, to (frames, 150) float32 metres.

    Raises:
        BadInput: empty, not numbers, or a line with more or fewer of them; names the line.
    """
    buffer = _as_array(data)
    values = np.empty((len(data) // (2 * PKU_NUMBERS) + 1, PKU_NUMBERS), np.float32)
    odd = np.empty((ODD_ROWS, ODD_COLUMNS), np.int64)
    while True:
        problem, line, found, frames, odds = _pku(buffer, len(data), values, odd)
        if problem != FINE:
            what = (
                f"has {found} numbers, not {PKU_NUMBERS}" if problem != NOT_NUMBER else "holds something not a number"
            )
            raise BadInput(
                f"{where}, line {line}", what, "check that it is a PKU-MMD skeleton file, or download it again"
            )
        if odds <= len(odd):
            break
        odd = np.empty((odds, ODD_COLUMNS), np.int64)
    if frames == 0:
        raise BadInput(f"{where}, line 1", "the file is empty", "download it again")
    values = values[:frames].copy()
    _finish(values, odd[:odds], data, where)
    return values


def _as_array(data: bytes) -> Array:
    return np.frombuffer(data or b"\n", np.uint8)  # it refuses nothing at all


def _finish(values: Array, odd: Array, data: bytes, where: str) -> None:
    """Fill in the tokens that the kernel left to Python."""
    flat = values.reshape(-1)
    with np.errstate(over="ignore"):
        for each in odd:  # one by one: a list of them all would outweigh the file
            place, start, end, line = each.tolist()
            flat[place] = float(data[start:end])
            if not np.isfinite(flat[place]):
                what = f"{data[start:end][:40].decode()} is no length in metres"
                raise BadInput(f"{where}, line {line}", what, "download or copy the file again")


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


@inlined
def _skip(data: Array, p: int, size: int, line: int) -> tuple[int, int]:
    """Go to the next character that is not blank, over line ends; counts the lines."""
    while p < size:
        c = data[p]
        if c == LF:
            line += 1
        elif c != BLANK and c != CR and c != TAB:
            break
        p += 1
    return p, line


@inlined
def _skip_blanks(data: Array, p: int, size: int) -> int:
    """Go to the next character of this line that is not blank, or to the line's end."""
    while p < size and (data[p] == BLANK or data[p] == TAB or data[p] == CR):
        p += 1
    return p


@inlined
def _line_end(data: Array, p: int, size: int) -> int:
    """The place of the next newline at or after p, or `size`."""
    while p + REACH <= size:
        before = newline_in(data, p)
        p += before
        if before < RUN:
            return p
    while p < size and data[p] != LF:
        p += 1
    return p


@compiled
def _fields(data: Array, p: int, end: int) -> int:
    """How many words there are from p to end."""
    fields = 0
    p = _skip_blanks(data, p, end)
    while p < end:
        fields += 1
        while p < end and data[p] != BLANK and data[p] != TAB and data[p] != CR:
            p += 1
        p = _skip_blanks(data, p, end)
    return fields


@compiled
def _integer(data: Array, p: int, size: int) -> tuple[int, int, int]:
    """A 64-bit integer at p, ended by a blank or a line end: (its value, the place after it, what is wrong)."""
    value = 0
    negative = data[p] == MINUS
    if negative or data[p] == PLUS:
        p += 1
    start = p
    problem = FINE
    while p < size and ZERO <= data[p] <= NINE:
        digit: Any = np.int64(data[p]) - ZERO  # int() of a byte would be unsigned in Numba
        if value > (LARGEST - digit) // 10:
            problem = TOO_LARGE
            value = 0
        value = value * 10 + digit
        p += 1
    ended = p == size or data[p] == LF or data[p] == CR or data[p] == BLANK or data[p] == TAB
    if p == start or not ended:
        problem = NOT_INTEGER
    return (-value if negative else value), p, problem


@compiled
def _count(data: Array, p: int, size: int) -> tuple[int, int, int]:
    """A line that holds one integer, at least 0: (its value, the place after it, what is wrong)."""
    if p >= size:
        return 0, p, ENDS
    value, p, problem = _integer(data, p, size)
    p = _skip_blanks(data, p, size)
    if problem == FINE and p < size and data[p] != LF:
        problem = NOT_INTEGER
    if problem == FINE and value < 0:
        problem = NEGATIVE
    return value, p, problem


@inlined
def _eight(word: Any, count: int) -> Any:
    """The number that the first 1 to 8 of the digits in a word say."""
    word = (word - ZEROS) << np.uint64(8 * (8 - count))  # zeros in front
    word = word * np.uint64(10) + (word >> np.uint64(8))
    outer, inner = word & OUTER_PAIRS, (word >> np.uint64(16)) & OUTER_PAIRS
    return np.int64((outer * TO_OUTER + inner * TO_INNER) >> np.uint64(32))


@inlined
def _plain(data: Array, p: int) -> tuple[float, int]:
    """The number at p if it is one like -0.2181153, and the place after it; p itself if not. Needs `REACH` bytes."""
    negative = np.int64(data[p] == MINUS)
    whole = p + negative
    count = digits_in(data, whole + 2)
    end = whole + 2 + count
    ended = data[end] == BLANK or data[end] == LF or data[end] == CR
    if data[whole + 1] != POINT or not ZERO <= data[whole] <= NINE or not 0 < count < EXACT_DIGITS or not ended:
        return 0.0, p
    first = min(count, 8)
    mantissa = (np.int64(data[whole]) - ZERO) * TENS[first] + _eight(word_at(data, whole + 2), first)
    if count > 8:
        mantissa = mantissa * TENS[count - 8] + _eight(word_at(data, whole + 10), count - 8)
    return float(mantissa) / POWERS[count] * (1 - 2 * negative), end


@inlined
def _plain_joint(data: Array, p: int, joint: Array) -> int:
    """Three plain numbers with one blank between them: the place after them; p itself if not. Needs 2 `REACH` bytes."""
    end = p
    for c in range(3):
        begin = end + 1 if c > 0 else p
        joint[c], end = _plain(data, begin)
        if end == begin or (c < 2 and data[end] != BLANK):
            return p
    return end


@compiled
def _number(data: Array, p: int, size: int) -> tuple[float, int, int, int]:
    """A decimal number at p, ended by a blank or a line end: (value, the place after it, what is wrong, exact).

    `exact` is 0 where the value needs a better conversion than one operation on doubles.
    """
    negative = data[p] == MINUS
    if negative or data[p] == PLUS:
        p += 1
    mantissa: Any = 0
    digits, seen, power = 0, 0, 0
    fraction = False
    while p < size:
        c = data[p]
        if ZERO <= c <= NINE:
            seen += 1
            if c != ZERO or digits > 0:
                digits += 1
            if digits <= EXACT_DIGITS:
                mantissa = mantissa * 10 + (np.int64(c) - ZERO)
            if fraction:
                power -= 1
        elif c == POINT and not fraction:
            fraction = True
        else:
            break
        p += 1
    problem = FINE if seen > 0 else NOT_NUMBER
    if p < size and (data[p] == LOWER_E or data[p] == UPPER_E):
        p += 1
        falling = p < size and data[p] == MINUS
        if p < size and (data[p] == MINUS or data[p] == PLUS):
            p += 1
        if p >= size or not ZERO <= data[p] <= NINE:
            problem = NOT_NUMBER
        exponent: Any = 0
        while p < size and ZERO <= data[p] <= NINE:
            exponent = min(exponent * 10 + (np.int64(data[p]) - ZERO), 1_000_000_000)
            p += 1
        power += -exponent if falling else exponent
    if p < size and data[p] != BLANK and data[p] != LF and data[p] != CR and data[p] != TAB:
        problem = NOT_NUMBER
    value = float(mantissa)
    exact = digits <= EXACT_DIGITS and -EXACT_POWER <= power <= EXACT_POWER
    if exact and power < 0:
        value /= POWERS[-power]
    elif exact:
        value *= POWERS[power]
    return (-value if negative else value), p, problem, (1 if exact or digits == 0 else 0)


# Axes: joints (row, joint V, xyz), one row per body per frame in the order of the file; row_frame and row_body (row,).
@compiled
def _ntu(
    data: Array, size: int, joints: Array, row_frame: Array, row_body: Array, odd: Array
) -> tuple[int, int, int, int, int, int, int, int]:
    """Returns (problem, what was expected, line, frame, count found, frames, rows, tokens left to Python)."""
    row, odds, width = 0, 0, 0
    p, line = _skip(data, 0, size, 1)
    frames, p, problem = _count(data, p, size)
    if problem != FINE:
        return problem, FRAMES, line, 0, 0, 0, 0, 0
    for frame in range(frames):
        p, line = _skip(data, p, size, line)
        bodies, p, problem = _count(data, p, size)
        if problem != FINE:
            return problem, BODIES, line, frame, 0, frames, 0, 0
        for _ in range(bodies):
            p, line = _skip(data, p, size, line)
            if p >= size or row >= len(joints):
                return ENDS, BODY, line, frame, 0, frames, 0, 0
            row_body[row], p, problem = _integer(data, p, size)
            if problem != FINE:
                return problem, BODY, line, frame, 0, frames, 0, 0
            row_frame[row] = frame
            p, line = _skip(data, _line_end(data, p, size), size, line)
            count, p, problem = _count(data, p, size)
            if problem != FINE:
                return problem, COUNT, line, frame, 0, frames, 0, 0
            if count != JOINTS:
                return NOT_25, COUNT, line, frame, count, frames, 0, 0
            for v in range(JOINTS):
                p, line = _skip(data, p, size, line)
                start = p
                if p + 2 * REACH <= size and row < len(joints):
                    p = _plain_joint(data, p, joints[row, v])
                for c in range(3 if p == start else 0):
                    p = _skip_blanks(data, p, size)
                    if p >= size:
                        return ENDS, JOINT, line, frame, 0, frames, 0, 0
                    if data[p] == LF:
                        return TOO_FEW, JOINT, line, frame, 0, frames, 0, 0
                    begin = p
                    value, p, problem, exact = _number(data, p, size)
                    if problem != FINE:
                        return (ENDS if p >= size else problem), JOINT, line, frame, 0, frames, 0, 0
                    joints[row, v, c] = value
                    if exact == 0:
                        if odds < len(odd):
                            odd[odds, 0], odd[odds, 1] = (row * JOINTS + v) * 3 + c, begin
                            odd[odds, 2], odd[odds, 3] = p, line
                        odds += 1
                p = _line_end(data, p, size)
                if row == 0 and v == 0:
                    width = _fields(data, start, p)
                # A file cut inside its very last line is told by that line's missing fields alone.
                if p >= size and _fields(data, start, size) < width:
                    return ENDS, JOINT, line, frame, 0, frames, 0, 0
            row += 1
    p, line = _skip(data, p, size, line)
    if p < size:
        return MORE, REST, line, frames, 0, frames, 0, 0
    return FINE, REST, line, 0, 0, frames, row, odds


# Axes: values (frame, 150), the 150 being body-major, then joint, then xyz.
@compiled
def _pku(data: Array, size: int, values: Array, odd: Array) -> tuple[int, int, int, int, int]:
    """Returns (problem, line, numbers found in it, frames, tokens left to Python)."""
    frame, odds = 0, 0
    p, line = _skip(data, 0, size, 1)
    while p < size:
        found = 0
        while p < size and data[p] != LF:
            begin, problem, exact = p, FINE, 1
            if p + REACH <= size:
                value, p = _plain(data, p)
            if p == begin:
                value, p, problem, exact = _number(data, p, size)
            if problem != FINE:
                return problem, line, found, 0, 0
            if found < PKU_NUMBERS and frame < len(values):
                values[frame, found] = value
                if exact == 0:
                    if odds < len(odd):
                        odd[odds, 0], odd[odds, 1] = frame * PKU_NUMBERS + found, begin
                        odd[odds, 2], odd[odds, 3] = p, line
                    odds += 1
            found += 1
            p = _skip_blanks(data, p, size)
        if found != PKU_NUMBERS:
            return (TOO_FEW if found < PKU_NUMBERS else TOO_MANY), line, found, 0, 0
        frame += 1
        p, line = _skip(data, p, size, line)
    return FINE, line, 0, frame, odds
