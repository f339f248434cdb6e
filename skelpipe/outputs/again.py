"""Giving back an output that is there, where it would be made again of the same by the same settings."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from skelpipe import __version__
from skelpipe.outputs.ancestry import PROVENANCE, read_json
from skelpipe.outputs.digests import read_digest, read_kind
from skelpipe.outputs.files import file_digest, json_text

Fits = Callable[[Mapping[str, Any]], bool]
_asked: ContextVar[Fits | None] = ContextVar("asked", default=None)


class There(Exception):
    """What was to be made is there."""


class Answer:
    """Whether a block was ended because what it would have made is there."""

    there = False


@contextmanager
def unless_there(fits: Fits = lambda made: True) -> Iterator[Answer]:
    """End the block where it comes to make an output that is there; without, making it is refused or replaces it.

    Args:
        fits: whether its provenance tells of the same in what neither settings nor digests of inputs hold.
    """
    token, answer = _asked.set(fits), Answer()
    try:
        yield answer
    except There:
        answer.there = True
    finally:
        _asked.reset(token)


def end_if_there(
    target: Path, kind: str, inputs: Mapping[str, str | os.PathLike[str]], settings: Mapping[str, Any]
) -> None:
    """Raise There if that is asked for, and `target` was made by this version, of these inputs, by these settings."""
    if (fits := _asked.get()) is None or read_kind(target) != kind:
        return
    made = read_json(target / PROVENANCE)
    same = made.get("skelpipe") == __version__ and made.get("settings") == json.loads(json_text(dict(settings)))
    if not same or set(made.get("inputs", {})) != set(inputs):
        return
    there = Path(made.get("folder", ""))  # where its command ran, from which paths count
    if fits(made) and all(_is_still(made["inputs"][role], there, Path(path)) for role, path in inputs.items()):
        raise There


def _is_still(noted: Mapping[str, Any], there: Path, path: Path) -> bool:
    """Whether an input is what provenance notes of it."""
    if path.is_file():
        return noted.get("bytes") == path.stat().st_size and noted.get("digest") == file_digest(path)
    digest = read_digest(path)
    if digest is None:  # a folder of somebody else's
        return noted.get("digest") is None and os.path.realpath(there / noted.get("path", "")) == os.path.realpath(path)
    return noted.get("digest") == digest
