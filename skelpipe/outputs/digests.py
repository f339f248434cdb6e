"""What an output says of itself: whether it is whole, of which kind, and its digest."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from skelpipe.errors import BadInput
from skelpipe.outputs.ancestry import DONE, read_json
from skelpipe.outputs.checksums import is_output
from skelpipe.outputs.refusals import GO_ON


def read_digests(inputs: Mapping[str, str | os.PathLike[str]]) -> dict[str, str | None]:
    """The digest of each input that is an output of ours; None for the others."""
    return {role: read_digest(path) for role, path in inputs.items()}


def check_unchanged(inputs: Mapping[str, str | os.PathLike[str]], before: Mapping[str, str | None]) -> None:
    """Raise BadInput if an input no longer has the digest that it had before it was read.

    What vanishes while it is read may read as zeros, so that nothing else would tell.
    """
    for role, path in inputs.items():
        if before[role] is not None and read_digest(path) != before[role]:
            what = "was replaced" if os.path.exists(path) else "was deleted"  # noqa: PTH110
            raise BadInput(path, f"{what} while it was read", f"make it again if it is gone, and {GO_ON}")


@contextmanager
def unchanged(inputs: Mapping[str, str | os.PathLike[str]], before: Mapping[str, str | None]) -> Iterator[None]:
    """Check at the end of the block that no input was deleted or replaced; where that is so, it is the cause of faults.

    Raises:
        BadInput: as `check_unchanged`.
    """
    try:
        yield
    except BadInput:
        check_unchanged(inputs, before)
        raise
    check_unchanged(inputs, before)


def read_digest(path: str | os.PathLike[str]) -> str | None:
    """The digest that an output of ours carries, or None for anything else."""
    return _read_done(path, "digest")


def read_kind(path: str | os.PathLike[str]) -> str | None:
    """What kind of whole output of ours a folder is, or None for anything else."""
    return _read_done(path, "kind")


def _read_done(path: str | os.PathLike[str], key: str) -> str | None:
    value = read_json(Path(path) / DONE).get(key)
    return value if isinstance(value, str) else None


def require(path: str | os.PathLike[str], kind: str, remedy: str) -> Path:
    """Return `path` if it is a whole output of that kind, else raise BadInput with `remedy`."""
    path = Path(path)
    if not path.exists():
        raise BadInput(path, "does not exist", remedy)
    try:
        found = json.loads((path / DONE).read_text())["kind"]
    except (OSError, ValueError, KeyError, TypeError):
        what = f"is not whole (it has no valid {DONE})" if is_output(path) else f"is not a skelpipe {kind}"
        raise BadInput(path, what, remedy) from None
    if found != kind:
        raise BadInput(path, f"is a folder of kind {found!r}, not {kind!r}", remedy)
    return path
