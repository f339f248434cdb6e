"""Output folders that exist whole or not at all, and that say how they were made.

Every stage writes a folder. Beside the stage's own files it holds

- `files.sha256`: the sha256 of each of its files, in the form that `sha256sum --check` reads;
- `provenance.json`: command, versions, time, seed, settings, the digests of the inputs, how those were made in turn,
  and a sha256 of all that;
- `done.json`: written last; the kind of output, a digest over its content, and the sha256 of `files.sha256`. Without it
  the output is not whole.

`skelpipe.sums` tells whether an output still is as it was made.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from skelpipe import __version__
from skelpipe.disk import GO_ON, exchange, file_digest, refusals, remove, settle, unwritable, write_bytes, write_json
from skelpipe.errors import BadInput
from skelpipe.history import BESIDE, DONE, PROVENANCE, gather, go_on, read_json, read_made
from skelpipe.locks import lock, undisturbed
from skelpipe.sums import FILES, as_list, digest_of, is_output, signed, take_sums

LIBRARIES = ("numpy", "numba", "torch", "zarr", "sklearn", "h5py", "pandas", "matplotlib", "isal")
log = logging.getLogger(__name__)


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
    more: Mapping[str, Any] | None = None,
    sealed: bool = True,
    lock: bool = True,
) -> Iterator[Path]:
    """Yield a scratch folder that becomes `target` when the block ends well and vanishes when it does not.

    Args:
        target: the folder to make. It is replaced only if it is ours and `force` is set, and then in one step.
        kind: what the folder holds ("store", "clips", "streams", "evaluation", "fusion", "report", ...).
        inputs: role -> path of what was read; the digest of each of our own outputs among them is recorded.
        settings: everything that decided the content, for provenance.
        more: what else provenance tells; it may be filled until the block ends.
        sealed: whether it is whole when the block ends; else something else is to finish it.
        lock: False where the caller has `locked` the target.

    Raises:
        BadInput: the target is taken, is being written by another process, or cannot be written; or an input was
            deleted or replaced meanwhile.
    """
    target = Path(os.path.abspath(target))
    scratch, old = target.with_name(f".{target.name}.partial"), target.with_name(f".{target.name}.old")
    check_target(target, force)
    with locked(target) if lock else nullcontext(), refusals(target):
        try:
            if old.exists() and not target.exists():  # a kill between the renames of `_swap`
                old.rename(target)
            check_target(target, force)
            scratch.mkdir()
            started, digests = time.time(), read_digests(inputs or {})
            log.info("%s: being made (%s)%s", target, kind, ", in place of what is there" if target.exists() else "")
            for role, digest in digests.items():
                log.debug("%s: %s, digest %s", role, (inputs or {})[role], digest or "none: it is no output of ours")
            with _kept(scratch):
                yield scratch
            check_unchanged(inputs or {}, digests)
            told = {**(more or {}), "output": os.fspath(target)}
            if sealed:
                seal(scratch, kind, inputs=inputs, settings=settings, started=started, more=told)
            else:
                write_json(scratch / PROVENANCE, provenance(kind, inputs or {}, settings or {}, started, told))
            with undisturbed():
                _swap(scratch, target, old)
            log.debug("%s: is in its place", target)
        except BaseException:
            with undisturbed():
                settle()
            raise
        finally:
            with undisturbed():
                remove(scratch)


@contextmanager
def _kept(folder: Path) -> Iterator[None]:
    """Raise FileNotFoundError if `folder` was deleted meanwhile, even if a library has then made it again."""
    before = os.open(folder, os.O_RDONLY)  # held open, so that no new folder gets its number
    try:
        yield
        if not os.path.samestat(os.fstat(before), folder.stat()):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(folder))
    finally:
        os.close(before)


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Keep other processes from writing `target` meanwhile.

    Raises:
        BadInput: another process is writing it, or its folder cannot be made.
    """
    made = [folder for folder in target.parents if not folder.exists()]
    path = target.with_name(f".{target.name}.lock")
    taken, lock = False, None
    try:
        with undisturbed():  # what is taken is known to be taken, so that it is given back
            try:
                lock = _lock_beside(path)
                taken = True
            except BlockingIOError:
                remedy = "wait for it, or choose another path"
                raise BadInput(target, "is being written by another process", remedy) from None
            except OSError as error:
                raise unwritable(target, error) from None
        if (left := target.with_name(f".{target.name}.partial")).exists():  # by a kill: nobody writes it now
            log.info("%s: removed what a killed process left", left)
            remove(left)
        yield
    finally:
        with undisturbed():
            if taken:
                with suppress(OSError):
                    path.unlink(missing_ok=True)  # whoever opened it before this sees that it is gone
            if lock is not None:
                os.close(lock)
            for folder in made:  # nearest first; one that holds something stays, and so do those above it
                with suppress(OSError):
                    folder.rmdir()


def _lock_beside(path: Path) -> int | None:
    """`lock` on a file whose folders are made, and may be removed by a process that has just ended."""
    for attempt in range(10):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return lock(path)
        except FileNotFoundError:
            if attempt == 9:
                raise
    raise AssertionError


def seal(
    folder: Path,
    kind: str,
    *,
    inputs: Mapping[str, str | os.PathLike[str]] | None = None,
    settings: Mapping[str, Any] | None = None,
    started: float | None = None,
    content: tuple[str, ...] | None = None,
    more: Mapping[str, Any] | None = None,
    begun: Mapping[str, Any] | None = None,
) -> None:
    """Write `provenance.json`, then `done.json`, and flush everything to the disk.

    Args:
        content: file names that make up the digest; None takes every file.
        more: what else provenance tells.
        begun: the provenance that it had before it was gone on with.
    """
    made = provenance(kind, inputs or {}, settings or {}, started, more)
    sums = take_sums(folder)
    listing = as_list(sums)
    write_bytes(folder / FILES, listing)
    write_json(folder / PROVENANCE, signed(made if begun is None else go_on(made, begun)))
    done: dict[str, Any] = {
        "kind": kind,
        "digest": digest_of(sums, content),
        "files": hashlib.sha256(listing).hexdigest(),
    }
    write_json(folder / DONE, done if content is None else {**done, "content": list(content)})


def provenance(
    kind: str,
    inputs: Mapping[str, str | os.PathLike[str]],
    settings: Mapping[str, Any],
    started: float | None = None,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What was run, with which versions and settings, on which inputs, and how those were made in turn.

    Args:
        more: what else is to be told.
    """
    now = time.time()
    sources = {role: _source(Path(path)) for role, path in inputs.items()}
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


def file_provenance(kind: str, out: Path, inputs: Mapping[str, Path], settings: Mapping[str, Any]) -> str:
    """The provenance of an output that is one file, as text that is kept in it."""
    return json.dumps(provenance(kind, inputs, settings, more={"output": os.path.abspath(out)}), ensure_ascii=False)


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


def _source(path: Path) -> dict[str, Any]:
    """What is recorded of an input: of a single file its sha256, and of a folder that is no output of ours its path."""
    if path.is_file():
        return {"path": os.fspath(path), "digest": file_digest(path), "kind": "file", "bytes": path.stat().st_size}
    return {"path": os.fspath(path), "digest": read_digest(path)}


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


def _swap(scratch: Path, target: Path, old: Path) -> None:
    """Put `scratch` in the place of `target`; what was there is `scratch` afterwards."""
    if not target.exists() or not any(target.iterdir()):
        scratch.rename(target)  # also replaces an empty folder
        return
    if exchange(scratch, target):
        return
    remove(old)
    target.rename(old)
    scratch.rename(target)
    old.rename(scratch)  # so that an `old` is never half removed: it may have to be put back


def discard(target: Path) -> None:
    """Remove one of our folders so that a kill meanwhile leaves none that is half removed, but scratch.

    Raises:
        BadInput: it is being written by another process, or cannot be removed.
    """
    scratch = target.with_name(f".{target.name}.partial")
    with locked(target), refusals(target):
        target.rename(scratch)
        remove(scratch)
