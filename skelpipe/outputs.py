"""Output folders that exist whole or not at all, and that say how they were made.

Every stage writes a folder. Beside the stage's own files it holds

- `provenance.json`: command, versions, time, seed, settings and the digests of the inputs;
- `done.json`: written last; the kind of output and a digest over all its bytes. Without it the output is not whole.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from skelpipe import __version__
from skelpipe.errors import BadInput

PROVENANCE, DONE = "provenance.json", "done.json"
REFUSED = {
    errno.ENOSPC: "free some space or choose another path",
    errno.EDQUOT: "free some space or choose another path",
    errno.EROFS: "choose a path you may write to",
    errno.EACCES: "choose a path you may write to",
    errno.EPERM: "choose a path you may write to",
    errno.ENOTDIR: "choose a path whose parent is a folder",
}


def is_output(path: Path) -> bool:
    """Whether `path` is a folder that one of our stages made (whole or not)."""
    return (path / PROVENANCE).is_file() or (path / DONE).is_file()


def check_target(target: Path, force: bool) -> None:
    """Raise BadInput unless `target` may be written: it is free, an empty folder, or ours and `force` is set."""
    if not target.exists() and not target.is_symlink():
        return
    if target.is_dir() and not any(target.iterdir()):
        return
    if not is_output(target):
        raise BadInput(target, "exists and was not made by skelpipe", "choose another path; --force will not delete it")
    if not force:
        raise BadInput(target, "already exists", "choose another path, or pass --force to replace it")


@contextmanager
def new_folder(
    target: str | os.PathLike[str],
    kind: str,
    *,
    force: bool = False,
    inputs: Mapping[str, str | os.PathLike[str]] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Iterator[Path]:
    """Yield a scratch folder that becomes `target` when the block ends well and vanishes when it does not.

    Args:
        target: the folder to make. It is replaced only if it is ours and `force` is set.
        kind: what the folder holds ("store", "clips", "streams", "evaluation", "fusion", "report", ...).
        inputs: role -> path of what was read; the digest of each of our own outputs among them is recorded.
        settings: everything that decided the content, for provenance.

    Raises:
        BadInput: the target is taken, is being written by another process, or cannot be written.
    """
    target = Path(os.path.abspath(target))
    scratch, old = target.with_name(f".{target.name}.partial"), target.with_name(f".{target.name}.old")
    check_target(target, force)
    with locked(target):
        try:
            if old.exists() and not target.exists():  # a kill between the two renames of `_swap`
                old.rename(target)
            check_target(target, force)
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            started = time.time()
            yield scratch
            seal(scratch, kind, inputs=inputs, settings=settings, started=started)
            _swap(scratch, target, old)
        except OSError as error:
            if error.errno in REFUSED:
                raise unwritable(target, error) from None
            raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Keep other processes from writing `target` meanwhile.

    Raises:
        BadInput: another process is writing it, or its folder cannot be made.
    """
    from filelock import FileLock, Timeout

    made = [folder for folder in target.parents if not folder.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.with_name(f".{target.name}.lock"), blocking=False)
        lock.acquire()
    except Timeout:
        raise BadInput(target, "is being written by another process", "wait for it, or choose another path") from None
    except OSError as error:
        raise unwritable(target, error) from None
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
        for folder in made:  # nearest first; one that holds something stays, and so do those above it
            with suppress(OSError):
                folder.rmdir()


def unwritable(target: Path, error: OSError) -> BadInput:
    """The BadInput for a file system that refuses."""
    remedy = REFUSED.get(error.errno or 0, "choose a path you may write to")
    return BadInput(target, f"cannot be written ({error.strerror})", remedy)


def seal(
    folder: Path,
    kind: str,
    *,
    inputs: Mapping[str, str | os.PathLike[str]] | None = None,
    settings: Mapping[str, Any] | None = None,
    started: float | None = None,
    content: tuple[str, ...] | None = None,
) -> None:
    """Write `provenance.json`, then `done.json`, and flush everything to the disk.

    Args:
        content: file names that make up the digest; None takes every file.
    """
    write_json(folder / PROVENANCE, provenance(kind, inputs or {}, settings or {}, started))
    write_json(folder / DONE, {"kind": kind, "digest": _digest(folder, content)})


def provenance(
    kind: str, inputs: Mapping[str, str | os.PathLike[str]], settings: Mapping[str, Any], started: float | None = None
) -> dict[str, Any]:
    """What was run, with which versions and settings, on which inputs."""
    now = time.time()
    return {
        "kind": kind,
        "command": shlex.join(["skelpipe", *sys.argv[1:]]) if sys.argv else "skelpipe",
        "skelpipe": __version__,
        "python": platform.python_version(),
        "libraries": {m: sys.modules[m].__version__ for m in ("numpy", "numba", "torch", "zarr") if m in sys.modules},
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(now)),
        "seconds": None if started is None else round(now - started, 3),
        "settings": dict(settings),
        "inputs": {role: {"path": os.fspath(p), "digest": read_digest(p)} for role, p in inputs.items()},
    }


def read_digest(path: str | os.PathLike[str]) -> str | None:
    """The digest that an output of ours carries, or None for anything else."""
    return _read_done(path, "digest")


def read_kind(path: str | os.PathLike[str]) -> str | None:
    """What kind of whole output of ours a folder is, or None for anything else."""
    return _read_done(path, "kind")


def _read_done(path: str | os.PathLike[str], key: str) -> str | None:
    try:
        done = json.loads((Path(path) / DONE).read_text())
    except (OSError, ValueError):
        return None
    value = done.get(key) if isinstance(done, dict) else None
    return value if isinstance(value, str) else None


def require(path: str | os.PathLike[str], kind: str, remedy: str) -> Path:
    """Return `path` if it is a whole output of that kind, else raise BadInput with `remedy`."""
    path = Path(path)
    if not path.exists():
        raise BadInput(path, "does not exist", remedy)
    try:
        found = json.loads((path / DONE).read_text())["kind"]
    except (OSError, ValueError, KeyError, TypeError):
        what = "is not whole (it has no valid done.json)" if is_output(path) else f"is not a skelpipe {kind}"
        raise BadInput(path, what, remedy) from None
    if found != kind:
        raise BadInput(path, f"is a folder of kind {found!r}, not {kind!r}", remedy)
    return path


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON so that the file is either old or new, never torn."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one step."""
    scratch = path.with_name(f".{path.name}.partial")
    with open(scratch, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def _digest(folder: Path, content: tuple[str, ...] | None) -> str:
    """sha256 over the names and bytes of the files, in order of name; flushes each file on the way."""
    total = hashlib.sha256()
    files = sorted(p for p in folder.rglob("*") if p.is_file()) if content is None else [folder / c for c in content]
    for path in files:
        name = path.relative_to(folder).as_posix()
        if name in (PROVENANCE, DONE):
            continue
        with open(path, "rb") as file:
            each = hashlib.file_digest(file, "sha256")
            os.fsync(file.fileno())
        total.update(f"{name}\0{each.hexdigest()}\n".encode())
    return total.hexdigest()


def _swap(scratch: Path, target: Path, old: Path) -> None:
    shutil.rmtree(old, ignore_errors=True)
    if target.exists() and any(target.iterdir()):
        target.rename(old)
    scratch.rename(target)  # also replaces an empty folder
    shutil.rmtree(old, ignore_errors=True)
