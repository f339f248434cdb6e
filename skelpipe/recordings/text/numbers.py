"""Numba parsers over the bytes of the publishers' text files.

Numbers come out as `np.float32(float(token))` gives them, to the bit. Real files print 6 or 7 significant digits: the
digits then fit a double exactly, and so does the power of ten, so that one multiplication or division is the correctly
rounded double. The rare token for which that does not hold is left to Python's own `float`.

Every read is bounds-checked by hand, and arrays are sized from the length of the file, never from a number in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from numba import njit

from skelpipe.errors import BadInput
from skelpipe.recordings.text.scan import REACH, RUN, digits_in, newline_in, word_at

Array = npt.NDArray[Any]
Function = TypeVar("Function", bound=Callable[..., Any])

JOINTS = 25

LF, CR, BLANK, TAB, PLUS, MINUS, POINT, ZERO, NINE, UPPER_E, LOWER_E = b"\n\r \t+-.09Ee"

# What can be wrong with a line, and what was expected there.
FINE, ENDS, NOT_INTEGER, TOO_LARGE, NEGATIVE, NOT_NUMBER, TOO_FEW, TOO_MANY, NOT_25, MORE = range(10)

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


def as_array(data: bytes) -> Array:
    return np.frombuffer(data or b"\n", np.uint8)  # it refuses nothing at all


def finish_odd(values: Array, odd: Array, data: bytes, where: str) -> None:
    """Fill in the tokens that the kernel left to Python."""
    flat = values.reshape(-1)
    with np.errstate(over="ignore"):
        for each in odd:  # one by one: a list of them all would outweigh the file
            place, start, end, line = each.tolist()
            flat[place] = float(data[start:end])
            if not np.isfinite(flat[place]):
                what = f"{data[start:end][:40].decode()} is no length in metres"
                raise BadInput(f"{where}, line {line}", what, "download or copy the file again")


@inlined
def skip_line(data: Array, p: int, size: int, line: int) -> tuple[int, int]:
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
def skip_blanks(data: Array, p: int, size: int) -> int:
    """Go to the next character of this line that is not blank, or to the line's end."""
    while p < size and (data[p] == BLANK or data[p] == TAB or data[p] == CR):
        p += 1
    return p


@inlined
def line_end(data: Array, p: int, size: int) -> int:
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
def count_fields(data: Array, p: int, end: int) -> int:
    """How many words there are from p to end."""
    fields = 0
    p = skip_blanks(data, p, end)
    while p < end:
        fields += 1
        while p < end and data[p] != BLANK and data[p] != TAB and data[p] != CR:
            p += 1
        p = skip_blanks(data, p, end)
    return fields


@compiled
def read_integer(data: Array, p: int, size: int) -> tuple[int, int, int]:
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
def read_count(data: Array, p: int, size: int) -> tuple[int, int, int]:
    """A line that holds one integer, at least 0: (its value, the place after it, what is wrong)."""
    if p >= size:
        return 0, p, ENDS
    value, p, problem = read_integer(data, p, size)
    p = skip_blanks(data, p, size)
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
def plain(data: Array, p: int) -> tuple[float, int]:
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
def plain_joint(data: Array, p: int, joint: Array) -> int:
    """Three plain numbers with one blank between them: the place after them; p itself if not. Needs 2 `REACH` bytes."""
    end = p
    for c in range(3):
        begin = end + 1 if c > 0 else p
        joint[c], end = plain(data, begin)
        if end == begin or (c < 2 and data[end] != BLANK):
            return p
    return end


@compiled
def read_number(data: Array, p: int, size: int) -> tuple[float, int, int, int]:
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
