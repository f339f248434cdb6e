"""Looks at many bytes of text at once, for the kernels of `skelpipe.recordings.text`.

Each becomes a few vector instructions. None checks bounds: `REACH` bytes from p on must lie within the text. Processors
that are not little-endian would order the bytes otherwise; for them `REACH` is beyond any text.
"""

from __future__ import annotations

import sys
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

RUN, DIGITS, WORD = 64, 16, 8  # bytes that one look covers
REACH = RUN if sys.byteorder == "little" else 1 << 62

_LF, _ZERO, _NINE = b"\n09"


@intrinsic  # type: ignore[untyped-decorator]
def newline_in(typing: Any, data: Any, p: Any) -> Any:
    """How many of the 64 bytes from p on come before the first newline; 64 without one."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        text = _bytes(context, builder, signature, values, RUN)
        return _first(builder, builder.icmp_unsigned("==", text, _all(_LF, RUN)), RUN)

    return types.int64(data, types.int64), code


@intrinsic  # type: ignore[untyped-decorator]
def digits_in(typing: Any, data: Any, p: Any) -> Any:
    """How many of the 16 bytes from p on come before the first that is no digit; 16 without one."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        text = _bytes(context, builder, signature, values, DIGITS)
        above = builder.sub(text, _all(_ZERO, DIGITS))  # what comes before "0" wraps around to above 9
        return _first(builder, builder.icmp_unsigned(">", above, _all(_NINE - _ZERO, DIGITS)), DIGITS)

    return types.int64(data, types.int64), code


@intrinsic  # type: ignore[untyped-decorator]
def word_at(typing: Any, data: Any, p: Any) -> Any:
    """The 8 bytes from p on as a number, the first byte the lowest."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.bitcast(_bytes(context, builder, signature, values, WORD), ir.IntType(64))

    return types.uint64(data, types.int64), code


def _bytes(context: Any, builder: Any, signature: Any, values: Any, count: int) -> Any:
    array = context.make_array(signature.args[0])(context, builder, values[0])
    start = builder.bitcast(builder.gep(array.data, [values[1]]), ir.VectorType(ir.IntType(8), count).as_pointer())
    return builder.load(start, align=1)


def _all(byte: int, count: int) -> Any:
    return ir.Constant(ir.VectorType(ir.IntType(8), count), [byte] * count)


def _first(builder: Any, found: Any, count: int) -> Any:
    """The place of the first true one; `count` if none is."""
    bits, word = builder.bitcast(found, ir.IntType(count)), ir.IntType(64)
    place = builder.cttz(bits, ir.Constant(ir.IntType(1), 0))  # of no bits: how many there could be
    return place if count == 64 else builder.zext(place, word)
