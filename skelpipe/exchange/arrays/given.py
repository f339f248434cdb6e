"""Which of the files given are what: one file, or arrays and the labels that belong to each."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

from skelpipe.errors import BadInput, printable
from skelpipe.exchange.arrays.asking import positions_beside
from skelpipe.exchange.arrays.file_names import TRAIN, Said, of_file, of_path, stem_key
from skelpipe.exchange.arrays.foreign import what_is
from skelpipe.outputs.checksums import is_output
from skelpipe.recordings.beginnings import refuse_stand_in

log = logging.getLogger(__name__)
PICKLES = (".pkl", ".pickle")
SHOWN = 8  # names of files in a message
POSITIONS = "bone and motion are made of the joints' positions by every command that asks for a --stream"


def check_files(files: Sequence[Path], suffixes: Sequence[str]) -> None:
    """Raise BadInput for a folder, telling which files in it fit, for what is not there, and for other suffixes."""
    for file in files:
        if file.is_dir():
            _refuse_folder(file, suffixes)
        if not file.exists():
            raise BadInput(file, "does not exist", "correct the path")
        refuse_stand_in(file)
        if file.suffix.lower() not in suffixes:
            wanted = " and ".join(suffixes)
            raise BadInput(file, f"is {what_is(file)}", f"this format is {wanted}: give such, or another format's name")
        if file.stat().st_size == 0:
            raise BadInput(file, "is empty", "fetch or make it anew")


def _refuse_folder(folder: Path, suffixes: Sequence[str]) -> None:
    if is_output(folder):
        raise BadInput(folder, "was made by skelpipe, and arrays of other projects are wanted", "give their files")
    fitting = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in suffixes)
    more = f" and {len(fitting) - SHOWN} more" if len(fitting) > SHOWN else ""
    found = printable(", ".join(fitting[:SHOWN])) + more if fitting else f"no {' or '.join(suffixes)}"
    raise BadInput(folder, f"is a folder, and files are wanted; it holds {found}", "name the files themselves")


def one_file(files: Sequence[Path], suffixes: tuple[str, ...]) -> Path:
    """The only file; BadInput for several, for a folder and for another suffix."""
    check_files(files, suffixes)
    if len(files) != 1:
        raise BadInput("files", f"{len(files)} given", f"this format is one file, {' or '.join(suffixes)}")
    return files[0]


# Arrays and their labels -------------------------------------------------------------------------------------------
def paired(files: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Every array with its label pickle: by their names where these tell it, else in the order given.

    Raises:
        BadInput: an array has no labels or the reverse, or the names say that two do not belong together, or that an
            array holds something else than positions.
    """
    check_files(files, (".npy", *PICKLES))
    arrays = [file for file in files if file.suffix.lower() == ".npy"]
    pickles = [file for file in files if file.suffix.lower() in PICKLES]
    for array in list(arrays):
        if _beside(array, bool(pickles)):
            arrays.remove(array)
    for array in arrays:
        if (content := of_file(array).content) is not None:
            what = f"is {content} by its name, and clips are made of positions"
            raise BadInput(array, what, f"give the array of joints{positions_beside(array)}; {POSITIONS}")
    if not arrays or len(arrays) != len(pickles):
        what = f"{len(arrays)} .npy and {len(pickles)} .pkl of {len(files)} files"
        raise BadInput("files", what, "give every .npy together with its label .pkl")
    pairs = list(zip(arrays, _in_order(arrays, pickles), strict=True))
    for array, pickle in pairs:
        _check_pair(array, pickle)
        log.info("%s has the labels of %s", array, pickle)
    return pairs


def _beside(array: Path, has_pickles: bool) -> bool:
    """Whether an array only accompanies the others: how many frames the clips had, or the labels without names."""
    stem = array.stem.lower()
    if stem.endswith("num_frame"):
        log.info("%s is not needed: where a recording ends is told by the array itself", array)
        return True
    if stem.endswith(("label", "labels")):
        if has_pickles:
            log.info("%s is not needed: the label pickle has names, too", array)
            return True
        raise BadInput(array, "holds labels without names", "give the .pkl of names and labels that was made with it")
    return False


def _in_order(arrays: list[Path], pickles: list[Path]) -> list[Path]:
    """The pickles in the order of the arrays that they belong to."""
    keys: tuple[Callable[[Path], Hashable | None], ...] = (
        lambda path: (path.parent, stem_key(path)),
        stem_key,
        lambda path: of_path(path).part,
    )
    for key in keys:
        wanted, found = [key(array) for array in arrays], {key(pickle): pickle for pickle in pickles}
        if None not in wanted and len(set(wanted)) == len(arrays) == len(found) and set(wanted) == found.keys():
            return [found[each] for each in wanted]
    parts = [Counter(of_path(path).part for path in paths) for paths in (arrays, pickles)]
    if None not in {*parts[0], *parts[1]} and parts[0] != parts[1]:
        arrays_of, labels_of = (" and ".join(_shown(path) for path in paths) for paths in (arrays, pickles))
        raise BadInput(arrays_of, f"cannot have the labels of {labels_of}", "give every array together with its own")
    log.info("the names of the files do not tell which labels belong to which array: they are taken as given")
    return pickles


def _check_pair(array: Path, pickle: Path) -> None:
    left, right = of_path(array), of_path(pickle)
    if None not in (left.part, right.part) and left.part != right.part:
        _refuse_pair(array, pickle, _part(left), _part(right))
    if left.contradicts(right):
        _refuse_pair(array, pickle, " or ".join(left.whose), " or ".join(right.whose))


def _refuse_pair(array: Path, pickle: Path, left: str, right: str) -> None:
    what = f"is for {left} by its name, and {pickle}, which is given for it, for {right}"
    raise BadInput(array, what, "give every array its own labels, or files whose names do not contradict each other")


def _part(said: Said) -> str:
    return "training" if said.part == TRAIN else "testing"


def _shown(path: Path) -> str:
    return printable("/".join(path.parts[-2:]))
