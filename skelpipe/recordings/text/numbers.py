"""Numba parsers over the bytes of the publishers' text files.

Numbers come out as `np.float32(float(token))` gives them, to the bit. Real files print 6 or 7 significant digits: the
digits then fit a double exactly, and so does the power of ten, so that one multiplication or division is the correctly
rounded double. The rare token for which that does not hold is left to Python's own `float`.

Every read is bounds-checked by hand, and arrays are sized from the length of the file, never from a number in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput
from skelpipe.kernels import compiled, inlined
from skelpipe.recordings.text.scan import REACH, RUN, byte_at, digits_in, first_of, marks_in, newline_in, word_at

Array = npt.NDArray[Any]

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
ONE = np.uint64(1)
OUTER_PAIRS, TO_OUTER = np.uint64(0x000000FF000000FF), np.uint64(100 + (10**6 << 32))
TO_INNER = np.uint64(1 + (10**4 << 32))

# Tokens left to Python: their place in the array, start and end in the file, and line.
ODD_COLUMNS, ODD_ROWS = 4, 64


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
def is_blank(byte: int) -> bool:
    """Whether it separates words, and no lines."""
    return byte in (BLANK, TAB, CR)


@inlined
def skip_line(text: int, p: int, size: int, line: int) -> tuple[int, int]:
    """Go to the next character that is not blank, over line ends; counts the lines."""
    while p < size:
        byte = byte_at(text, p)
        if byte == LF:
            line += 1
        elif not is_blank(byte):
            break
        p += 1
    return p, line


@inlined
def skip_blanks(text: int, p: int, size: int) -> int:
    """Go to the next character of this line that is not blank, or to the line's end."""
    while p < size and is_blank(byte_at(text, p)):
        p += 1
    return p


@inlined
def line_end(text: int, p: int, size: int) -> int:
    """The place of the next newline at or after p, or `size`."""
    while p + REACH <= size:
        before = newline_in(text, p)
        p += before
        if before < RUN:
            return p
    while p < size and byte_at(text, p) != LF:
        p += 1
    return p


@compiled(error_model="numpy")
def count_fields(text: int, p: int, end: int) -> int:
    """How many words there are from p to end."""
    fields = 0
    p = skip_blanks(text, p, end)
    while p < end:
        fields += 1
        while p < end and not is_blank(byte_at(text, p)):
            p += 1
        p = skip_blanks(text, p, end)
    return fields


@compiled(error_model="numpy")
def read_integer(text: int, p: int, size: int) -> tuple[int, int, int]:
    """A 64-bit integer at p, ended by a blank or a line end: (its value, the place after it, what is wrong)."""
    value = 0
    negative = byte_at(text, p) == MINUS
    if negative or byte_at(text, p) == PLUS:
        p += 1
    start = p
    problem = FINE
    while p < size and ZERO <= byte_at(text, p) <= NINE:
        digit: Any = byte_at(text, p) - ZERO
        if value > (LARGEST - digit) // 10:
            problem = TOO_LARGE
            value = 0
        value = value * 10 + digit
        p += 1
    ended = p == size or is_blank(byte_at(text, p)) or byte_at(text, p) == LF
    if p == start or not ended:
        problem = NOT_INTEGER
    return (-value if negative else value), p, problem


@compiled(error_model="numpy")
def read_count(text: int, p: int, size: int) -> tuple[int, int, int]:
    """A line that holds one integer, at least 0: (its value, the place after it, what is wrong)."""
    if p >= size:
        return 0, p, ENDS
    value, p, problem = read_integer(text, p, size)
    p = skip_blanks(text, p, size)
    if problem == FINE and p < size and byte_at(text, p) != LF:
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
def _decimal(text: int, point: int, count: int) -> float:
    """The number of one digit before the point and `count` behind it, 1 to `EXACT_DIGITS` - 1, without its sign."""
    first = min(count, 8)
    mantissa: Any = (byte_at(text, point - 1) - ZERO) * TENS[first] + _eight(word_at(text, point + 1), first)
    if count > 8:
        mantissa = mantissa * TENS[count - 8] + _eight(word_at(text, point + 9), count - 8)
    value: float = float(mantissa) / POWERS[count]
    return value


@inlined
def plain(text: int, p: int) -> tuple[float, int]:
    """The number at p if it is one like -0.2181153, and the place after it; p itself if not. Needs `REACH` bytes."""
    negative = int(byte_at(text, p) == MINUS)
    point = p + negative + 1
    count = digits_in(text, point + 1)
    end = point + 1 + count
    last = byte_at(text, end)
    begins = byte_at(text, point) == POINT and ZERO <= byte_at(text, point - 1) <= NINE
    if not begins or not 0 < count < EXACT_DIGITS or last not in (BLANK, LF, CR):
        return 0.0, p
    return _decimal(text, point, count) * (1 - 2 * negative), end


@inlined
def plain_joint(text: int, p: int, size: int, values: Array, at: int) -> int:
    """Three plain numbers, with one blank between them, to values[at:]: the line's end; p itself if they are not.

    Needs 2 `REACH` bytes. All marks of the 64 bytes from p on are bits of a few words, so that the three are found and
    checked together: up to the end of the third, what is no digit has to be just the ends, minuses and points that they
    have.
    """
    newlines, ends, minuses, points, digits = marks_in(text, p)
    later = ends & (ends - ONE)
    third = later & (later - ONE)
    between, until = ends ^ third, third ^ (third - ONE)
    starts = ONE | between << ONE
    negative = minuses & starts
    dots = starts + negative << ONE
    wanted = (ends & until) | negative | dots
    if third == 0 or ~digits & until != wanted or points & until != dots or newlines & between != 0:
        return p
    if (dots >> ONE | dots << ONE) & ~digits != 0:  # nothing before or behind a point
        return p
    begin = 0
    for _ in range(3):
        point, end = first_of(dots), first_of(ends)
        if end - point > EXACT_DIGITS:
            return p
        values[at] = _decimal(text, p + point, end - point - 1) * (1 - 2 * (point - begin - 1))
        begin, dots, ends, at = end + 1, dots & (dots - ONE), ends & (ends - ONE), at + 1
    line: int = p + first_of(newlines) if newlines != 0 else line_end(text, p + RUN, size)
    return line


@compiled(error_model="numpy")
def read_number(text: int, p: int, size: int) -> tuple[float, int, int, int]:
    """A decimal number at p, ended by a blank or a line end: (value, the place after it, what is wrong, exact).

    `exact` is 0 where the value needs a better conversion than one operation on doubles.
    """
    negative = byte_at(text, p) == MINUS
    if negative or byte_at(text, p) == PLUS:
        p += 1
    mantissa: Any = 0
    digits, seen, power = 0, 0, 0
    fraction = False
    while p < size:
        c = byte_at(text, p)
        if ZERO <= c <= NINE:
            seen += 1
            if c != ZERO or digits > 0:
                digits += 1
            if digits <= EXACT_DIGITS:
                mantissa = mantissa * 10 + (c - ZERO)
            if fraction:
                power -= 1
        elif c == POINT and not fraction:
            fraction = True
        else:
            break
        p += 1
    problem = FINE if seen > 0 else NOT_NUMBER
    if p < size and (byte_at(text, p) == LOWER_E or byte_at(text, p) == UPPER_E):
        p += 1
        falling = p < size and byte_at(text, p) == MINUS
        if p < size and (byte_at(text, p) == MINUS or byte_at(text, p) == PLUS):
            p += 1
        if p >= size or not ZERO <= byte_at(text, p) <= NINE:
            problem = NOT_NUMBER
        exponent: Any = 0
        while p < size and ZERO <= byte_at(text, p) <= NINE:
            exponent = min(exponent * 10 + (byte_at(text, p) - ZERO), 1_000_000_000)
            p += 1
        power += -exponent if falling else exponent
    if p < size and not is_blank(byte_at(text, p)) and byte_at(text, p) != LF:
        problem = NOT_NUMBER
    value = float(mantissa)
    exact = digits <= EXACT_DIGITS and -EXACT_POWER <= power <= EXACT_POWER
    if exact and power < 0:
        value /= POWERS[-power]
    elif exact:
        value *= POWERS[power]
    return (-value if negative else value), p, problem, (1 if exact or digits == 0 else 0)
