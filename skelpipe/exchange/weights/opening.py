"""Files of weights from strangers, opened without running anything that they name.

What is neither a tensor nor a plain value is left out: in its place stands a `LeftOut`, which does nothing.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from skelpipe.errors import BadInput, shortage, shortened
from skelpipe.recordings.beginnings import AGAIN, UNFINISHED, cut_off, head_of, refuse_stand_in
from skelpipe.training.torch_files import read_saved

ALONE = "save the model's state_dict() alone"
HARMLESS = {"set", "frozenset", "list", "dict", "tuple", "slice", "range", "int", "float", "bool", "str", "object"}
# Modules whose functions run what they are given, also by their names in Python 2. Nothing of them would be run, but
# such a file is no accident.
RUNNERS = {
    "builtins", "__builtin__", "os", "posix", "nt", "sys", "subprocess", "commands", "shutil", "importlib", "runpy",
    "pty", "io", "_io", "ctypes", "socket", "webbrowser", "multiprocessing", "pickle", "_pickle", "marshal", "operator",
    "_operator", "code",
}  # fmt: skip
MOST_LEFT_OUT = 64  # kinds of objects
# How files begin that are often taken for weights.
BEGINNINGS = (
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!", "is a packed archive", "unpack it, and give the file inside"),
    (rb"\x89HDF\r\n", "is an HDF5 file (of Keras?), not one of torch", "give a checkpoint of torch"),
    (rb"\x93NUMPY", "is an array of NumPy, not a checkpoint", "give a checkpoint of torch"),
)


@dataclass(frozen=True)
class Opened:
    """What a file holds, and the full names of the kinds of objects in it that were left out."""

    value: Any
    left_out: tuple[str, ...] = ()


class LeftOut:
    """An object of a foreign class: neither that class nor its state are looked at.

    Attributes:
        NAMED: the full name of that class.
    """

    NAMED: ClassVar[str] = ""

    def __new__(cls, *args: object, **options: object) -> Any:
        return super().__new__(cls)

    def __init__(self, *args: object, **options: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


class LeftOutMapping(LeftOut):
    """A foreign class of mappings, of which a plain one stays; an ordered one may have attributes as well."""

    def __new__(cls, *args: object, **options: object) -> Any:
        return OrderedDict[Any, Any]()


class LeftOutList(LeftOut):
    """A foreign class of lists, of which a plain one stays."""

    def __new__(cls, *args: object, **options: object) -> Any:
        return []


def open_file(path: Path) -> Opened:
    """Read a file of torch or of safetensors into the CPU's memory.

    Raises:
        BadInput: it cannot be read, is damaged, is something else, or names what could run code.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(64)
    except OSError as error:
        raise BadInput(path, f"cannot be read ({error.strerror or error})", "check the path") from None
    if not start:
        raise BadInput(path, "is empty, so it is damaged", AGAIN)
    refuse_stand_in(path, start)
    for pattern, what, remedy in BEGINNINGS:
        if re.match(pattern, start, re.IGNORECASE):
            raise BadInput(path, what, remedy)
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size:
        return Opened(read_safetensors(path))
    return read_torch(path)


def read_safetensors(path: Path) -> Mapping[str, Any]:
    """The tensors of a safetensors file by name.

    Raises:
        BadInput: it is damaged.
    """
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Any] = load_file(path)
    except Exception as error:  # the library has errors of its own for every kind of damage
        if shortage(error):
            raise
        raise BadInput(path, f"is damaged ({shortened(str(error), 100)})", AGAIN) from None
    return tensors


def read_torch(path: Path) -> Opened:
    """What `torch.save` wrote; foreign classes are told by the refusals of torch's own reader, one after the other.

    Raises:
        BadInput: it is damaged, is something else, or names what could run code.
    """
    stands_in: dict[str, type[LeftOut]] = {}
    while True:  # every refusal that is met adds to what stands in, or tells more of it
        kinds: list[Any] = [
            (type(f"LeftOut{n}", (base,), {"NAMED": name}), name) for n, (name, base) in enumerate(stands_in.items())
        ]
        try:
            with warnings.catch_warnings(), torch.serialization.safe_globals(kinds):
                warnings.simplefilter("ignore")  # about pickles that torch did not write, which fail anyway
                return Opened(read_saved(path), tuple(stands_in))
        except OSError as error:
            if cut_off(path, error):
                raise BadInput(path, UNFINISHED, AGAIN) from None
            raise BadInput(path, f"cannot be read ({error.strerror or error})", "check the path") from None
        except Exception as error:  # torch tells of a damaged file in a dozen ways
            if shortage(error):
                raise
            if not stand_in(str(error), stands_in, path):
                raise refused(str(error), path) from None


def stand_in(refusal: str, stands_in: dict[str, type[LeftOut]], path: Path) -> bool:
    """Note what shall stand in place of the foreign class that torch has refused; whether there is one.

    Raises:
        BadInput: it could run code.
    """
    if found := re.search(r"Unsupported global: GLOBAL (\S+) was not", refusal):
        name = found[1]
        full = f"builtins.{name}" if "." not in name else name  # torch leaves that module out
        if full.partition(".")[0] in RUNNERS and full.rpartition(".")[2] not in HARMLESS:
            what = f"names {shortened(full, 60)}, which would run code"
            raise BadInput(path, what, "nothing was run; get the file from somebody you trust")
        if len(stands_in) >= MOST_LEFT_OUT:
            raise BadInput(path, f"holds more than {MOST_LEFT_OUT} kinds of objects beside tensors", ALONE)
        if full in stands_in:
            return False
        stands_in[full] = LeftOut
        return True
    if found := re.search(r"Can only (SETITEM|append|extend).*\.LeftOut(\d+)'>", refusal):
        name = list(stands_in)[int(found[2])]
        if stands_in[name] is LeftOut:
            stands_in[name] = LeftOutMapping if found[1] == "SETITEM" else LeftOutList
            return True
    return False


def refused(refusal: str, path: Path) -> BadInput:
    """Why torch's reader does not take a file."""
    if found := re.search(r"GLOBAL (\S+) whose module \S+ is blocked", refusal):
        what = f"names {shortened(found[1], 60)}, which would run code"
        return BadInput(path, what, "nothing was run; get the file from somebody you trust")
    if "TorchScript" in refusal:
        return BadInput(path, "is a TorchScript program, not a state dict", "save the model's state_dict() instead")
    if re.search(
        r"Can only|unrecognized function|Unsupported operand|unsupported (global|class)", refusal, re.IGNORECASE
    ):
        what = "holds objects that only its own program can make, beside or in place of tensors"
        return BadInput(path, what, ALONE)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            inside = [name for name in archive.namelist() if not name.endswith("/")]
        if inside and not any(name.endswith("data.pkl") for name in inside):
            some = shortened(", ".join(inside[:3]), 100)
            return BadInput(path, f"is an archive of {some}, not one of torch", "give the checkpoint itself")
    begun = head_of(path).startswith(b"PK\3\4") and not zipfile.is_zipfile(path)
    return BadInput(path, UNFINISHED if begun else "is damaged, or was not saved by torch", AGAIN)
