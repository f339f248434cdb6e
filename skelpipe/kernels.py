"""How kernels are compiled: by Numba, free of the GIL, and kept on the disk until anything changes that is in them.

Numba by itself keeps a kernel for as long as the file that it stands in is the same. But the kernels that it calls and
the constants that it names are compiled into it, too, and may stand in other files: after an upgrade that changed only
those, it would go on computing what it did before. Here they are part of what a kept kernel is found by.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType, FunctionType
from typing import Any, overload

import numpy as np
from numba import njit
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher
from numba.extending import _Intrinsic

Kernel = Callable[..., Any]


@overload
def compiled(function: Kernel, /) -> Kernel: ...
@overload
def compiled(**options: Any) -> Callable[[Kernel], Kernel]: ...
def compiled(function: Any = None, /, **options: Any) -> Any:
    """Numba's `njit` for a kernel: a decorator, with or without options of Numba's."""
    if function is None:
        return partial(compiled, **options)
    kernel = njit(nogil=True, **options)(function)
    kernel._cache = _Kept(function)
    return kernel


def inlined(function: Kernel) -> Kernel:
    """As `compiled`, and put into its callers.

    Numba counts references to arrays that are given to it nevertheless, at some ten nanoseconds each: in an inner loop
    give it numbers.
    """
    return compiled(inline="always")(function)


class _Kept(FunctionCache):  # type: ignore[misc]
    """Numba's cache of one kernel on the disk."""

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return *super()._index_key(sig, codegen), contents(self._py_func)


def contents(function: FunctionType) -> bytes:
    """A digest of all that is compiled for a function: its code, that of what it calls, options, and constants."""
    digest, seen = hashlib.sha256(), set[Any]()
    waiting = [function]
    while waiting:
        found = waiting.pop()
        if found in seen:
            continue
        seen.add(found)
        for code in _codes(found.__code__):
            constants = [_said(each) for each in code.co_consts if not isinstance(each, CodeType)]
            digest.update(repr((code.co_code, constants, code.co_names)).encode())
            for name in code.co_names:
                value = found.__globals__.get(name)
                if isinstance(value, Dispatcher):
                    options = sorted((key, _said(option)) for key, option in value.targetoptions.items())
                    digest.update(repr(options).encode())
                    waiting.append(value.py_func)
                elif isinstance(value, _Intrinsic):
                    waiting.append(value._defn)
                elif isinstance(value, FunctionType):
                    waiting.append(value)
                elif isinstance(value, np.ndarray):
                    digest.update(repr((value.dtype, value.shape, value.tobytes())).encode())
                elif isinstance(value, bool | int | float | str | tuple | np.generic):
                    digest.update(repr(value).encode())
    return digest.digest()


def _said(value: Any) -> str:
    """A constant in words; sets in order, which hangs on the process."""
    return repr(sorted(map(repr, value)) if isinstance(value, set | frozenset) else value)


def _codes(code: CodeType) -> Iterator[CodeType]:
    """A function's code and that of the functions in it."""
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _codes(each)
