"""Parses the text of a skeleton file of PKU-MMD."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput
from skelpipe.kernels import compiled
from skelpipe.recordings.text.numbers import (
    FINE,
    JOINTS,
    LF,
    NOT_NUMBER,
    ODD_COLUMNS,
    ODD_ROWS,
    TOO_FEW,
    TOO_MANY,
    Array,
    as_array,
    finish_odd,
    plain,
    read_number,
    skip_blanks,
    skip_line,
)
from skelpipe.recordings.text.scan import REACH, address_of, byte_at

PKU_NUMBERS = 2 * JOINTS * 3


def parse_pku(data: bytes, where: str = "file") -> npt.NDArray[np.float32]:
    """Parse a PKU-MMD sequence, one line of 150 numbers (body, joint, xyz) per frame, to (frames, 150) float32 metres.

    Raises:
        BadInput: empty, not numbers, or a line with more or fewer of them; names the line.
    """
    buffer = as_array(data)
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
    finish_odd(values, odd[:odds], data, where)
    return values


# Axes: values (frame, 150), the 150 being body-major, then joint, then xyz.
@compiled(error_model="numpy")
def _pku(data: Array, size: int, values: Array, odd: Array) -> tuple[int, int, int, int, int]:
    """Returns (problem, line, numbers found in it, frames, tokens left to Python)."""
    frame, odds, text = 0, 0, address_of(data)
    p, line = skip_line(text, 0, size, 1)
    while p < size:
        found = 0
        while p < size and byte_at(text, p) != LF:
            begin, problem, exact = p, FINE, 1
            if p + REACH <= size:
                value, p = plain(text, p)
            if p == begin:
                value, p, problem, exact = read_number(text, p, size)
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
            p = skip_blanks(text, p, size)
        if found != PKU_NUMBERS:
            return (TOO_FEW if found < PKU_NUMBERS else TOO_MANY), line, found, 0, 0
        frame += 1
        p, line = skip_line(text, p, size, line)
    return FINE, line, 0, frame, odds
