"""How an output was made: what `provenance.json` says, and the same for outputs that are one file."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from skelpipe import __version__
from skelpipe.outputs.ancestry import BESIDE, gather, read_made
from skelpipe.outputs.digests import read_digest
from skelpipe.outputs.files import file_digest, json_text, write_bytes, write_json

LIBRARIES = (
    "numpy",
    "numba",
    "torch",
    "zarr",
    "sklearn",
    "h5py",
    "pandas",
    "matplotlib",
    "isal",
    "onnx",
    "onnxruntime",
    "cv2",
    "mediapipe",
)


def provenance(
    kind: str,
    inputs: Mapping[str, str | os.PathLike[str]],
    settings: Mapping[str, Any],
    started: float | None = None,
    more: Mapping[str, Any] | None = None,
    digest: Callable[[Path], str | None] = file_digest,
) -> dict[str, Any]:
    """What was run, with which versions and settings, on which inputs, and how those were made in turn.

    Args:
        more: what else is to be told.
        digest: gives the sha256 of an input that is a file.
    """
    now = time.time()
    sources = {role: _source(Path(path), digest) for role, path in inputs.items()}
    loaded = {name: getattr(sys.modules.get(name), "__version__", None) for name in LIBRARIES}
    return {
        "kind": kind,
        "command": command(),
        "folder": os.getcwd(),  # noqa: PTH109
        "skelpipe": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: version for name, version in loaded.items() if version},
        "finished": clock(now),
        "seconds": None if started is None else round(now - started, 3),
        **({"seed": settings["seed"]} if "seed" in settings else {}),
        "settings": dict(settings),
        "inputs": sources,
        **(more or {}),
        "history": gather((each["digest"], read_made(Path(each["path"]), each["digest"])) for each in sources.values()),
    }


def file_provenance(
    kind: str,
    out: Path,
    inputs: Mapping[str, Path],
    settings: Mapping[str, Any],
    more: Mapping[str, Any] | None = None,
) -> str:
    """The provenance of an output that is one file, as text that is kept in it."""
    told = {**(more or {}), "output": os.path.abspath(out)}
    return json_text(provenance(kind, inputs, settings, more=told))


def write_beside(out: Path, data: bytes, kind: str, inputs: Mapping[str, Path], settings: Mapping[str, Any]) -> None:
    """Write a file, and its provenance beside it, since nothing else may be in it."""
    more = {"output": os.path.abspath(out), "digest": hashlib.sha256(data).hexdigest()}
    write_bytes(out, data)
    write_json(Path(f"{out}{BESIDE}"), provenance(kind, inputs, settings, more=more))


def command() -> str:
    """The command line of this process."""
    return shlex.join(["skelpipe", *sys.argv[1:]]) if sys.argv else "skelpipe"


def clock(seconds: float | None = None) -> str:
    """A time of `time.time()`, or now, as it is written in provenance."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(seconds))


def _source(path: Path, digest: Callable[[Path], str | None]) -> dict[str, Any]:
    """What is recorded of an input: of a single file its sha256, and of a folder that is no output of ours its path."""
    if path.is_file():
        return {"path": os.fspath(path), "digest": digest(path), "kind": "file", "bytes": path.stat().st_size}
    return {"path": os.fspath(path), "digest": read_digest(path)}
