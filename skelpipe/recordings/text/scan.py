"""Looks at bytes of text, one or many at once, for the kernels of `skelpipe.recordings.text`.

Each becomes a few (vector) instructions. None checks bounds: what it looks at must lie within the text, `REACH` bytes
from p on where nothing else is said. Processors that are not little-endian would order the bytes otherwise; for them
`REACH` is beyond any text.

A text is the address of its first byte: Numba counts the references to every array that is given to a function, inlined
or not, which takes longer than most of these looks. Whoever holds the address holds the array, too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

RUN, DIGITS, WORD = 64, 16, 8  # bytes that one look covers
REACH = RUN if sys.byteorder == "little" else 1 << 62

_LF, _CR, _BLANK, _MINUS, _POINT, _ZERO, _NINE = b"\n\r -.09"
_INT64 = ir.IntType(64)


@intrinsic  # type: ignore[untyped-decorator]
def address_of(typing: Any, data: Any) -> Any:
    """Where an array of bytes begins."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, values[0])
        return builder.ptrtoint(array.data, _INT64)

    return types.int64(data), code


def _look(result: Any, found: Callable[[Any, Any], Any], count: int) -> Any:
    """How a look at `count` bytes from p on of a text is compiled: `found` makes its result of them."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = ir.VectorType(ir.IntType(8), count)
        place = builder.inttoptr(builder.add(*values), kind.as_pointer())
        seen = found(builder, builder.load(place, align=1))
        return context.make_tuple(builder, signature.return_type, seen) if isinstance(seen, list) else seen

    return result(types.int64, types.int64), code


@intrinsic  # type: ignore[untyped-decorator]
def byte_at(typing: Any, text: Any, p: Any) -> Any:
    """The byte at p."""
    return _look(types.int64, lambda builder, seen: builder.zext(builder.bitcast(seen, ir.IntType(8)), _INT64), 1)


@intrinsic  # type: ignore[untyped-decorator]
def word_at(typing: Any, text: Any, p: Any) -> Any:
    """The 8 bytes from p on as a number, the first byte the lowest."""
    return _look(types.uint64, lambda builder, seen: builder.bitcast(seen, _INT64), WORD)


@intrinsic  # type: ignore[untyped-decorator]
def newline_in(typing: Any, text: Any, p: Any) -> Any:
    """How many of the 64 bytes from p on come before the first newline; 64 without one."""
    return _look(types.int64, lambda builder, seen: _first(builder, _are(builder, seen, _LF), RUN), RUN)


@intrinsic  # type: ignore[untyped-decorator]
def digits_in(typing: Any, text: Any, p: Any) -> Any:
    """How many of the 16 bytes from p on come before the first that is no digit; 16 without one."""
    return _look(
        types.int64, lambda builder, seen: _first(builder, builder.not_(_digits(builder, seen)), DIGITS), DIGITS
    )


@intrinsic  # type: ignore[untyped-decorator]
def marks_in(typing: Any, text: Any, p: Any) -> Any:
    """Which of the 64 bytes from p on, the first the lowest bit, are LF, an end (blank, CR, LF), "-", ".", a digit."""

    def found(builder: Any, seen: Any) -> list[Any]:
        newlines = _are(builder, seen, _LF)
        ends = builder.or_(builder.or_(_are(builder, seen, _BLANK), _are(builder, seen, _CR)), newlines)
        marks = [newlines, ends, _are(builder, seen, _MINUS), _are(builder, seen, _POINT), _digits(builder, seen)]
        return [builder.bitcast(each, _INT64) for each in marks]

    return _look(types.UniTuple(types.uint64, 5), found, RUN)


@intrinsic  # type: ignore[untyped-decorator]
def first_of(typing: Any, bits: Any) -> Any:
    """The place of the lowest bit that is set; 64 if none is."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.cttz(values[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), code


def _are(builder: Any, seen: Any, byte: int) -> Any:
    return builder.icmp_unsigned("==", seen, _all(byte, seen.type.count))


def _digits(builder: Any, seen: Any) -> Any:
    count = seen.type.count
    above = builder.sub(seen, _all(_ZERO, count))  # what comes before "0" wraps around to above 9
    return builder.icmp_unsigned("<=", above, _all(_NINE - _ZERO, count))


def _all(byte: int, count: int) -> Any:
    return ir.Constant(ir.VectorType(ir.IntType(8), count), [byte] * count)


def _first(builder: Any, found: Any, count: int) -> Any:
    """The place of the first true one; `count` if none is."""
    bits = builder.bitcast(found, ir.IntType(count))
    place = builder.cttz(bits, ir.Constant(ir.IntType(1), 0))  # of no bits: how many there could be
    return place if count == 64 else builder.zext(place, _INT64)
