"""Encoders by torch's own operations alone, with no branch on their data: what a graph that others run is made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_plain = [False]


def plain() -> bool:
    """Whether encoders are to keep to torch's own operations."""
    return _plain[0]


def traced() -> bool:
    """Whether a graph is being made, for others or by `torch.compile`: it can hold no kernel of our own."""
    return plain() or torch.compiler.is_compiling()


@contextmanager
def plainly() -> Iterator[None]:
    """Inside, they do, in all threads; the results differ by rounding alone."""
    before, _plain[0] = _plain[0], True
    try:
        yield
    finally:
        _plain[0] = before
