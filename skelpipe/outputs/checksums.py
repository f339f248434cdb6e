"""What an output's files were when it was made: the list of their sha256, and what is not as it says.

Whoever reads a file of an output asks `check_files` first whether it still is as it was made.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from skelpipe.errors import BadInput, shortened
from skelpipe.outputs.ancestry import DONE, PROVENANCE
from skelpipe.outputs.files import as_json, sha256

FILES = "files.sha256"
REMAKE = "make it anew"


def is_output(path: Path) -> bool:
    """Whether `path` is a folder that one of our stages made (whole or not)."""
    return (path / PROVENANCE).is_file() or (path / DONE).is_file()


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
        whole = Path(folder / FILES).is_file() and (folder / FILES).read_bytes() == as_list(take_sums(folder))
        yield (folder / DONE, "was changed") if whole else (Path(error.where), error.what)
        return
    if not sums:
        yield folder / DONE, "has no list of files, as outputs of older versions: their bytes cannot be checked"
        return
    if as_json(done) != raw or digest_of(sums, done.get("content")) != done.get("digest"):
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
    if not isinstance(made, dict) or as_json(signed(made)) != raw:
        yield folder / PROVENANCE, "was changed"
    elif made.get("kind") != kind:
        yield folder / DONE, f"says that the output is of kind {kind!r}, and {PROVENANCE} {made.get('kind')!r}"


def _changed(path: Path, told: str) -> str | None:
    """What is wrong with a file that had that sha256."""
    try:
        same = sha256(path) == told
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if same else "is damaged: its bytes are not those that were written"


def take_sums(folder: Path) -> dict[str, str]:
    """The sha256 of each file, in order of path; flushes each on the way. Outputs inside an output are not its own."""
    sums = {}
    for top, below, names in os.walk(folder):
        below[:] = [each for each in below if not is_output(Path(top, each))]
        for path in (Path(top, name) for name in names):
            name = path.relative_to(folder).as_posix()
            if name in (PROVENANCE, DONE, FILES):
                continue
            sums[name] = sha256(path, flush=True)
    return {name: sums[name] for name in sorted(sums, key=lambda name: Path(name))}


def as_list(sums: Mapping[str, str]) -> bytes:
    """The list as `sha256sum --check` reads it."""
    return "".join(f"{each}  {name}\n" for name, each in sums.items()).encode()


def digest_of(sums: Mapping[str, str], content: Sequence[str] | None) -> str:
    """sha256 over the paths and sha256 of the files, of all or of those that are told."""
    names = sums if content is None else content
    return hashlib.sha256("".join(f"{name}\0{sums.get(name)}\n" for name in names).encode()).hexdigest()


def signed(made: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object with a sha256 of the rest of it."""
    rest = {key: value for key, value in made.items() if key != "sha256"}
    return {**rest, "sha256": hashlib.sha256(as_json(rest)).hexdigest()}
