"""Arrays that other projects prepared, read as clips; and our recordings, written as those projects read them.

format      files                             one clip              ids      what is in it
aimclr-npy  *_position.npy + *_label.pkl      (3, T=50, 25, 2)      by name  prepared as `prepare` does it
agcn-npy    *_data_joint.npy + *_label.pkl    (3, T=300, 25, 2)     by name  recorded frames, filled up (also ST-GCN's)
ctrgcn-npz  one .npz: x_train, y_train, ...   (T=300, 2*25*3)       none     recorded frames, zeros after the last
pyskl-pkl   one .pkl: split, annotations      (M, frames, 25, 3)    by name  recorded frames
sgn-h5      one .h5: x, y, valid_x, ...       (T=300, 2*25*3)       none     recorded frames, zeros after the last

Where clips have names, the columns are parsed from them and every split can be computed. Where they have none, the
column `train_<split>` keeps the one division that the file knows, and ids are 0. Files are read in blocks, pyskl-pkl
alone as a whole; pickles are read without the power to run anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from skelpipe.errors import BadInput, suggest
from skelpipe.exchange.arrays.base import Part
from skelpipe.exchange.arrays.ctrgcn import read_npz
from skelpipe.exchange.arrays.named import read_named
from skelpipe.exchange.arrays.pyskl import read_pyskl
from skelpipe.exchange.arrays.sgn import read_h5


@dataclass(frozen=True)
class Format:
    """A convention: how its files are read, whether clips have names there, and what is exported to it."""

    read: Callable[[Sequence[Path]], list[Part]]
    named: bool = False
    prepared: bool = False  # clips of final length, exported from clips; the others from a store


FORMATS: dict[str, Format] = {
    "aimclr-npy": Format(lambda files: read_named(files, False), named=True, prepared=True),
    "agcn-npy": Format(lambda files: read_named(files, True), named=True),
    "ctrgcn-npz": Format(read_npz),
    "pyskl-pkl": Format(read_pyskl, named=True),
    "sgn-h5": Format(read_h5),
}


def find_format(name: str) -> Format:
    """The convention of that name; BadInput names the nearest one."""
    if name in FORMATS:
        return FORMATS[name]
    raise BadInput(f"format {name!r}", "is unknown", suggest(name, FORMATS))
