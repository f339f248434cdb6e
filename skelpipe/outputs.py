"""Output folders that exist whole or not at all, and that say how they were made.

Every stage writes a folder. Beside the stage's own files it holds

- `files.sha256`: the sha256 of each of its files, in the form that `sha256sum --check` reads;
- `provenance.json`: command, versions, time, seed, settings, the digests of the inputs, how those were made in turn,
  and a sha256 of all that;
- `done.json`: written last; the kind of output, a digest over its content, and the sha256 of `files.sha256`. Without it
  the output is not whole.

Whoever reads a file of an output asks `check_files` first whether it still is as it was made.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import platform
import re
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from skelpipe import __version__
from skelpipe.errors import BadInput, shortened
from skelpipe.history import BESIDE, gather, go_on, read_json, read_made
from skelpipe.history import DONE as DONE
from skelpipe.history import PROVENANCE as PROVENANCE

FILES = "files.sha256"
REMAKE = "make it anew"
REFUSED = {
    errno.ENOSPC: "free some space or choose another path",
    errno.EDQUOT: "free some space or choose another path",
    errno.EROFS: "choose a path you may write to",
    errno.EACCES: "choose a path you may write to",
    errno.EPERM: "choose a path you may write to",
    errno.ENOTDIR: "choose a path whose parent is a folder",
    errno.EFBIG: "its file system, or a limit of this account, takes no larger files: choose another path",
    errno.EIO: "check that disk, or choose another path",
    errno.ESTALE: "its file system is gone: mount it again, or choose another path",
}
GO_ON = "run the same command again"
LIBRARIES = ("numpy", "numba", "torch", "zarr", "sklearn", "h5py", "pandas", "matplotlib", "isal")
log = logging.getLogger(__name__)
# How a file system says that it has no locks, as some network file systems do.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
BUSY = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK)
EXCHANGE, HERE = 2, -100  # RENAME_EXCHANGE of <linux/fs.h>, AT_FDCWD of <fcntl.h>


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
        finally:
            with undisturbed():
                _remove(scratch)


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
            _remove(left)
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


@contextmanager
def undisturbed() -> Iterator[None]:
    """Hold back Ctrl-C and SIGTERM until the block has ended, so that what cleans up is not left half-way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, frame: came.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        if came:
            signal.raise_signal(came[0])


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


def lock(path: Path) -> int | None:
    """Take the lock that is the file `path`; the kernel releases it when its descriptor is closed, or its holder dies.

    Returns:
        The open descriptor, or None where the file system has no locks, after a warning.

    Raises:
        BlockingIOError: another process holds it.
        OSError: the file cannot be made.
    """
    import fcntl

    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A holder removes the file before it lets go, and then a lock on it would keep nobody out.
            if os.fstat(descriptor).st_nlink:
                return descriptor
            os.close(descriptor)
        except OSError as error:
            os.close(descriptor)
            if error.errno in BUSY:
                raise BlockingIOError(*error.args) from None
            if error.errno not in NO_LOCKS:
                raise
            told = "%s: its file system has no locks (%s); take care that nothing else writes there meanwhile"
            log.warning(told, path.parent, error.strerror)
            return None


@contextmanager
def refusals(target: Path) -> Iterator[None]:
    """Turn what the file system refuses while `target` is written into BadInput.

    Raises:
        BadInput: the disk is full, read-only or gone, or the folder of `target` is.
    """
    try:
        yield
    except OSError as error:
        number = refused(error)
        where = Path(os.path.abspath(os.fsdecode(error.filename))) if _is_path(error.filename) else target
        ours = (target, *(target.with_name(f".{target.name}.{end}") for end in ("partial", "old", "lock")))
        mine = number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or any(map(where.is_relative_to, ours))
        if mine and number in (errno.ENOENT, errno.ESTALE):
            what = "was lost: it, or the folder that held it, was deleted while it was written"
            remedy = f"choose a path that lasts (scratch disks are cleaned from time to time), and {GO_ON}"
            raise BadInput(target, what, remedy) from None
        if number not in REFUSED:
            raise
        if mine:
            raise unwritable(target, error) from None
        raise BadInput(where, f"cannot be used ({os.strerror(number)})", REFUSED[number]) from None


def _is_path(name: object) -> bool:
    return isinstance(name, str | bytes | os.PathLike) and bool(name)


def refused(error: OSError) -> int:
    """The error's number, also where a library only tells it in words."""
    if error.errno:
        return error.errno
    if told := re.search(r"errno = (\d+)", str(error)):  # HDF5
        return int(told[1])
    return errno.ENOSPC if re.search(r"requested and \d+ written|free space", str(error)) else 0  # NumPy


def unwritable(target: Path, error: OSError) -> BadInput:
    """The BadInput for a file system that refuses."""
    number = refused(error)
    remedy = REFUSED.get(number, "choose a path you may write to")
    return BadInput(target, f"cannot be written ({os.strerror(number) if number else error})", remedy)


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
    sums = _sums(folder)
    listing = _as_list(sums)
    write_bytes(folder / FILES, listing)
    write_json(folder / PROVENANCE, signed(made if begun is None else go_on(made, begun)))
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


def file_digest(path: Path) -> str | None:
    """The sha256 of a file's bytes, or None where it cannot be read."""
    try:
        return _sha256(path)
    except OSError:
        return None


def _sha256(path: Path, flush: bool = False) -> str:
    """The sha256 of a file's bytes; `flush` sees to it that they are on the disk."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if flush:
            os.fsync(file.fileno())
        return digest


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
    lines = (line.partition("  ") for line in listing.decode(errors="replace").splitlines())
    sums = {name: each for each, _, name in lines}
    for name in sums:  # a list from somebody else is not to choose what is read here
        if name.startswith("/") or ".." in name.split("/"):
            raise BadInput(folder / FILES, f"names {shortened(name, 60)}, which is no file of the output", remedy)
    return sums


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
    fits = isinstance(done, dict) and all(isinstance(v, known.get(k, ())) for k, v in done.items())
    if not fits or not all(isinstance(name, str) for name in done.get("content", [])):
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
        same = _sha256(path) == told
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
    """Replace `path` by `data` in one step; nothing is left of it if that fails."""
    scratch = path.with_name(f".{path.name}.partial")
    try:
        with open(scratch, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except BaseException:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)
        raise


def _sums(folder: Path) -> dict[str, str]:
    """The sha256 of each file, in order of path; flushes each on the way. Outputs inside an output are not its own."""
    sums = {}
    for top, below, names in os.walk(folder):
        below[:] = [each for each in below if not is_output(Path(top, each))]
        for path in (Path(top, name) for name in names):
            name = path.relative_to(folder).as_posix()
            if name in (PROVENANCE, DONE, FILES):
                continue
            sums[name] = _sha256(path, flush=True)
    return {name: sums[name] for name in sorted(sums, key=lambda name: Path(name))}


def _as_list(sums: Mapping[str, str]) -> bytes:
    return "".join(f"{each}  {name}\n" for name, each in sums.items()).encode()


def _digest(sums: Mapping[str, str], content: Sequence[str] | None) -> str:
    """sha256 over the paths and sha256 of the files, of all or of those that are told."""
    names = sums if content is None else content
    return hashlib.sha256("".join(f"{name}\0{sums.get(name)}\n" for name in names).encode()).hexdigest()


def _swap(scratch: Path, target: Path, old: Path) -> None:
    """Put `scratch` in the place of `target`; what was there is `scratch` afterwards."""
    if not target.exists() or not any(target.iterdir()):
        scratch.rename(target)  # also replaces an empty folder
        return
    if _exchange(scratch, target):
        return
    _remove(old)
    target.rename(old)
    scratch.rename(target)
    old.rename(scratch)  # so that an `old` is never half removed: it may have to be put back


def _exchange(a: Path, b: Path) -> bool:
    """Let two folders change places in one step, so that no reader finds neither; False where that cannot be done."""
    import ctypes

    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2  # Linux
    except (OSError, AttributeError, TypeError):
        return False
    return bool(rename(HERE, os.fsencode(a), HERE, os.fsencode(b), EXCHANGE) == 0)


def discard(target: Path) -> None:
    """Remove one of our folders so that a kill meanwhile leaves none that is half removed, but scratch.

    Raises:
        BadInput: it is being written by another process, or cannot be removed.
    """
    scratch = target.with_name(f".{target.name}.partial")
    with locked(target), refusals(target):
        target.rename(scratch)
        _remove(scratch)


def _remove(folder: Path) -> None:
    """Remove scratch. A thread that an interrupt left behind may still be writing into it, so it is tried again."""
    for _ in range(5):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)
