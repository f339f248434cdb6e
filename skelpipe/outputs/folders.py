"""Output folders that exist whole or not at all, and that say how they were made.

Every stage writes a folder. Beside the stage's own files it holds

- `files.sha256`: the sha256 of each of its files, in the form that `sha256sum --check` reads;
- `provenance.json`: command, versions, time, seed, settings, the digests of the inputs, how those were made in turn,
  and a sha256 of all that;
- `done.json`: written last; the kind of output, a digest over its content, and the sha256 of `files.sha256`. Without it
  the output is not whole.

`skelpipe.outputs.checksums` tells whether an output still is as it was made.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from skelpipe.errors import BadInput
from skelpipe.outputs.again import end_if_there
from skelpipe.outputs.ancestry import DONE, PROVENANCE, go_on, read_json
from skelpipe.outputs.beforehand import beforehand
from skelpipe.outputs.checksums import FILES, as_list, digest_of, is_output, signed, take_sums
from skelpipe.outputs.digests import read_digests, unchanged
from skelpipe.outputs.files import exchange, remove, settle, write_bytes, write_json
from skelpipe.outputs.locks import lock, undisturbed
from skelpipe.outputs.provenance import provenance
from skelpipe.outputs.refusals import refusals, unwritable

log = logging.getLogger(__name__)
GROUP = "zarr.json"  # of an output whose folders are arrays: what else lay among them would be taken for a part of it


def check_target(target: Path, force: bool, kind: str | None = None) -> None:
    """Raise BadInput unless `target` may be written.

    It is free, an empty folder, or ours, of the same kind if one is named (or a part of such), and `force` is set.
    """
    if not target.exists() and not target.is_symlink():
        return
    if target.is_dir() and not any(target.iterdir()):
        return
    if not is_output(target):
        raise BadInput(target, "exists and was not made by skelpipe", "choose another path; --force will not delete it")
    if not force:
        raise BadInput(target, "already exists", "choose another path, or pass --force to replace it")
    found = read_json(target / PROVENANCE).get("kind") or read_json(target / DONE).get("kind")
    if kind and found and str(found).split()[0] != kind.split()[0]:
        what = f"is of kind {str(found)!r}, and --force replaces only what is of kind {kind!r}"
        raise BadInput(target, what, "choose another path, or delete it")


def check_apart(target: Path, inputs: Mapping[str, str | os.PathLike[str]]) -> None:
    """Raise BadInput if an output would take the place of what it is made of, or lie amid its arrays."""
    for role, path in inputs.items():
        source = Path(os.path.realpath(path))
        if source.is_relative_to(os.path.realpath(target)):
            what = f"is the {role}, or holds it, that it is to be made of"
            raise BadInput(target, what, "choose another path; --force replaces outputs, not what they are made of")
        if Path(os.path.realpath(target)).is_relative_to(source) and (source / GROUP).exists() and is_output(source):
            raise BadInput(target, f"lies inside the {role} that it is to be made of", "choose a path outside of it")


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
        target: the folder to make. It is replaced only if it is of this kind and `force` is set, and then in one step.
        kind: what the folder holds ("store", "clips", "streams", "evaluation", "fusion", "report", ...).
        inputs: role -> path of what was read; the digest of each of our own outputs among them is recorded.
        settings: everything that decided the content, for provenance.
        more: what else provenance tells; it may be filled until the block ends.
        sealed: whether it is whole when the block ends; else something else is to finish it.
        lock: False where the caller has `locked` the target.

    Raises:
        BadInput: the target is taken, being written by another process, or cannot be written; or an input has changed.
        There: it is there, and `again.unless_there` asks.
    """
    target = Path(os.path.abspath(target))
    scratch, old = target.with_name(f".{target.name}.partial"), target.with_name(f".{target.name}.old")
    check_apart(target, inputs or {})
    end_if_there(target, kind, inputs or {}, settings or {})
    check_target(target, force, kind)
    with locked(target) if lock else nullcontext(), refusals(target):
        try:
            if old.exists() and not target.exists():  # a kill between the renames of `_swap`
                old.rename(target)
            check_target(target, force, kind)
            scratch.mkdir()
            started, digests = time.time(), read_digests(inputs or {})
            log.info("%s: being made (%s)%s", target, kind, ", in place of what is there" if target.exists() else "")
            for role, digest in digests.items():
                log.debug("%s: %s, digest %s", role, (inputs or {})[role], digest or "none: it is no output of ours")
            with beforehand((inputs or {}).values()) as found:
                with _kept(scratch), unchanged(inputs or {}, digests):
                    yield scratch
                told = {**(more or {}), "output": os.fspath(target)}
                made = provenance(kind, inputs or {}, settings or {}, started, told, found.digest)
            if sealed:
                _seal(scratch, kind, made)
            else:
                write_json(scratch / PROVENANCE, made)
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
    _seal(folder, kind, made if begun is None else go_on(made, begun), content)


def _seal(folder: Path, kind: str, made: dict[str, Any], content: tuple[str, ...] | None = None) -> None:
    """The same with the provenance as it is to be written."""
    sums = take_sums(folder)
    listing = as_list(sums)
    write_bytes(folder / FILES, listing)
    write_json(folder / PROVENANCE, signed(made))
    done: dict[str, Any] = {
        "kind": kind,
        "digest": digest_of(sums, content),
        "files": hashlib.sha256(listing).hexdigest(),
    }
    write_json(folder / DONE, done if content is None else {**done, "content": list(content)})


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
