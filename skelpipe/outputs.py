"""Output folders that exist whole or not at all, and that say how they were made.

Every stage writes a folder. Beside the stage's own files it holds

- `files.sha256`: the sha256 of each of its files, in the form that `sha256sum --check` reads;
- `provenance.json`: command, versions, time, seed, settings, the digests of the inputs, and a sha256 of all that;
- `done.json`: written last; the kind of output, a digest over its content, and the sha256 of `files.sha256`. Without it
  the output is not whole.

Whoever reads a file of an output asks `check_files` first whether it still is as it was made.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from skelpipe import __version__
from skelpipe.errors import BadInput

PROVENANCE, DONE, FILES = "provenance.json", "done.json", "files.sha256"
REMAKE = "make it anew"
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
    sums = _sums(folder)
    listing = _as_list(sums)
    write_bytes(folder / FILES, listing)
    write_json(folder / PROVENANCE, signed(provenance(kind, inputs or {}, settings or {}, started)))
    done: dict[str, Any] = {
        "kind": kind,
        "digest": _digest(sums, content),
        "files": hashlib.sha256(listing).hexdigest(),
    }
    write_json(folder / DONE, done if content is None else {**done, "content": list(content)})


def signed(made: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object with a sha256 of the rest of it."""
    rest = {key: value for key, value in made.items() if key != "sha256"}
    return {**rest, "sha256": hashlib.sha256(_as_json(rest)).hexdigest()}


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
        what = f"is not whole (it has no valid {DONE})" if is_output(path) else f"is not a skelpipe {kind}"
        raise BadInput(path, what, remedy) from None
    if found != kind:
        raise BadInput(path, f"is a folder of kind {found!r}, not {kind!r}", remedy)
    return path


def check_files(folder: Path, wanted: str | Callable[[str], bool], remedy: str = REMAKE) -> None:
    """Raise BadInput if a file of an output is not as it was made; says nothing of an output that is still being made.

    Args:
        wanted: the file's path in the folder, or which of them all to look at.

    Raises:
        BadInput: the file, or the list of files, is missing or was changed.
    """
    for name, each in read_sums(folder, remedy).items():
        if (name == wanted if isinstance(wanted, str) else wanted(name)) and (what := _changed(folder / name, each)):
            raise BadInput(folder / name, what, remedy)


def read_sums(folder: Path, remedy: str = REMAKE) -> dict[str, str]:
    """The sha256 of each file of an output by its path in there; {} for one that is being made or has no such list.

    Raises:
        BadInput: the list is missing or was changed.
    """
    try:
        done = json.loads((folder / DONE).read_bytes())
        told = done.get("files") if isinstance(done, dict) else None
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BadInput(folder / DONE, f"cannot be read ({error})", remedy) from None
    if told is None and not (folder / FILES).exists():
        return {}
    try:
        listing = (folder / FILES).read_bytes()
    except OSError as error:
        raise BadInput(folder / FILES, f"cannot be read ({error.strerror})", remedy) from None
    if hashlib.sha256(listing).hexdigest() != told:
        raise BadInput(folder / FILES, f"is not the list of files that {DONE} tells of", remedy)
    return {name: each for each, _, name in (line.partition("  ") for line in listing.decode().splitlines())}


def find_damage(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield (file, what is wrong with it) for all that is not as it was made in one output, however it was damaged."""
    try:
        raw = (folder / DONE).read_bytes()
        done = json.loads(raw)
    except FileNotFoundError:
        yield folder / DONE, "is missing: the output is being made, or was interrupted or damaged"
        return
    except (OSError, ValueError) as error:
        yield folder / DONE, f"cannot be read ({error})"
        return
    known = {"kind": str, "digest": str, "files": str, "content": list}
    if not isinstance(done, dict) or not all(isinstance(v, known.get(k, ())) for k, v in done.items()):
        yield folder / DONE, "does not hold what belongs in it"
        return
    try:
        sums = read_sums(folder)
    except BadInput as error:
        # Which of the two was changed is told by the files themselves.
        whole = Path(folder / FILES).is_file() and (folder / FILES).read_bytes() == _as_list(_sums(folder))
        yield (folder / DONE, "was changed") if whole else (Path(error.where), error.what)
        return
    if not sums:
        yield folder / DONE, "has no list of files, as outputs of older versions: their bytes cannot be checked"
        return
    if _as_json(done) != raw or _digest(sums, done.get("content")) != done.get("digest"):
        yield folder / DONE, "was changed"
    for name, each in sums.items():
        if what := _changed(folder / name, each):
            yield folder / name, what
    yield from _damaged_provenance(folder, str(done.get("kind")))


def _damaged_provenance(folder: Path, kind: str) -> Iterator[tuple[Path, str]]:
    try:
        raw = (folder / PROVENANCE).read_bytes()
        made = json.loads(raw)
    except (OSError, ValueError) as error:
        yield folder / PROVENANCE, f"cannot be read ({error})"
        return
    if not isinstance(made, dict) or _as_json(signed(made)) != raw:
        yield folder / PROVENANCE, "was changed"
    elif made.get("kind") != kind:
        yield folder / DONE, f"says that the output is of kind {kind!r}, and {PROVENANCE} {made.get('kind')!r}"


def _changed(path: Path, told: str) -> str | None:
    """What is wrong with a file that had that sha256."""
    try:
        with open(path, "rb") as file:
            same = hashlib.file_digest(file, "sha256").hexdigest() == told
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if same else "is damaged: its bytes are not those that were written"


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON so that the file is either old or new, never torn."""
    write_bytes(path, _as_json(value))


def _as_json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one step."""
    scratch = path.with_name(f".{path.name}.partial")
    with open(scratch, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def _sums(folder: Path) -> dict[str, str]:
    """The sha256 of each file, in order of path; flushes each on the way. Outputs inside an output are not its own."""
    sums = {}
    for top, below, names in os.walk(folder):
        below[:] = [each for each in below if not is_output(Path(top, each))]
        for path in (Path(top, name) for name in names):
            name = path.relative_to(folder).as_posix()
            if name in (PROVENANCE, DONE, FILES):
                continue
            with open(path, "rb") as file:
                sums[name] = hashlib.file_digest(file, "sha256").hexdigest()
                os.fsync(file.fileno())
    return {name: sums[name] for name in sorted(sums, key=lambda name: Path(name))}


def _as_list(sums: Mapping[str, str]) -> bytes:
    return "".join(f"{each}  {name}\n" for name, each in sums.items()).encode()


def _digest(sums: Mapping[str, str], content: Sequence[str] | None) -> str:
    """sha256 over the paths and sha256 of the files, of all or of those that are told."""
    names = sums if content is None else content
    return hashlib.sha256("".join(f"{name}\0{sums.get(name)}\n" for name in names).encode()).hexdigest()


def _swap(scratch: Path, target: Path, old: Path) -> None:
    shutil.rmtree(old, ignore_errors=True)
    if target.exists() and any(target.iterdir()):
        target.rename(old)
    scratch.rename(target)  # also replaces an empty folder
    shutil.rmtree(old, ignore_errors=True)
