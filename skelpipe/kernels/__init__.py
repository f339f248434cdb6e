"""Compiled functions: Numba's `njit`, whose cached ones load sooner.

Before Numba takes a compiled function from its cache it makes its compiler ready, with linear algebra, dictionaries and
all else that it can compile; with few files to read, that is a third of a command. Kernels are taken without, and the
compiler is made ready where one has to be compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba.core.caching import FunctionCache
from numba.core.runtime import rtsys

TRIED = ((0, 61), (0, 68))  # the first and the last Numba of which this is known to hold; others load as they do


class KernelCache(FunctionCache):  # type: ignore[misc]
    """What was compiled of one function, for a process whose compiler is not ready yet."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The function compiled for arguments of these types; None if there is none yet."""
        rtsys.initialize(target_context)  # memory of arrays, which compiled functions may allocate
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


def njit(*, cache: bool, **options: Any) -> Callable[[Any], Any]:
    """Numba's `njit` with the same options.

    Tried in cached kernels are arithmetic, `math`, arrays with their linear algebra, sorting and random numbers, lists,
    dictionaries, sets and errors.
    """
    first, last = TRIED
    ours = cache and first <= numba.version_info.short <= last and not numba.config.DISABLE_JIT

    def compiled(function: Any) -> Any:
        made = numba.njit(cache=cache and not ours, **options)(function)
        if ours:
            made._cache = KernelCache(function)
        return made

    return compiled
