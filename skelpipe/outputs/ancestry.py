"""What an output carries along of its ancestors, so that its chain can be followed back when they are gone.

`provenance.json` of every output has a map `history`: digest of an ancestor -> its own provenance, without its history.
It is written by `skelpipe.outputs` and followed by `skelpipe.inspect.lineage`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Made = Mapping[str, Any]

PROVENANCE, DONE = "provenance.json", "done.json"
BESIDE = ".provenance.json"  # behind the name of an output that is one file, and cannot hold it
KEPT = (
    "kind", "output", "folder", "command", "skelpipe", "python", "platform", "libraries", "finished", "seconds", "seed",
    "settings", "inputs", "raw", "sessions",
)  # fmt: skip


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def read_made(path: Path, digest: str | None) -> dict[str, Any]:
    """The provenance of an output, or {}: of a folder that in it, of a file that beside it, if it is of this digest."""
    if path.is_dir():
        return read_json(path / PROVENANCE)
    made = read_json(Path(f"{path}{BESIDE}"))
    return made if digest is not None and made.get("digest") == digest else {}


def gather(sources: Iterable[tuple[str | None, Made]]) -> dict[str, Any]:
    """The `history` of what is made of outputs with these (digest, provenance): they, and their own ancestors."""
    found: dict[str, Any] = {}
    for digest, made in sources:
        older = made.get("history")
        found.update(older if isinstance(older, dict) else {})
        if digest is not None and made:
            found[digest] = {key: made[key] for key in KEPT if made.get(key) is not None}
    return dict(sorted(found.items()))


def go_on(made: dict[str, Any], begun: Made) -> dict[str, Any]:
    """The provenance `made` of an output that was `begun` before: what was read then counts too, though it be gone."""
    before = {key: value if isinstance(value := begun.get(key), dict) else {} for key in ("inputs", "history")}
    inputs = dict(before["inputs"])
    for role, source in made["inputs"].items():
        if source["digest"] is not None or role not in inputs:
            inputs[role] = source
    sessions = {"sessions": begun["sessions"]} if begun.get("sessions") else {}
    return {**made, **sessions, "inputs": inputs, "history": {**before["history"], **made["history"]}}
