"""Importing what is large."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Import what is large, as torch is, and look for no garbage in it: all of it stays, and there is much to look at.

    Nor is it looked at later, when the objects of a command's own work are.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():  # once a process, whose own garbage would otherwise be kept with it
            gc.freeze()
        if was_on:
            gc.enable()
