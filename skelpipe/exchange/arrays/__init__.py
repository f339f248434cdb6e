"""Arrays that other projects prepared, read as clips; and our recordings, written as those projects read them.

format      files                             one clip              ids      what is in it
aimclr-npy  *_position.npy + *_label.pkl      (3, T=50, 25, 2)      by name  prepared as `prepare` does it
agcn-npy    *_data_joint.npy + *_label.pkl    (3, T=300, 25, 2)     by name  recorded frames, filled up (also ST-GCN's)
ctrgcn-npz  one .npz: x_train, y_train, ...   (T=300, 2*25*3)       none     recorded frames, zeros after the last
pyskl-pkl   one .pkl: split, annotations      (M, frames, 25, 3)    by name  recorded frames
sgn-h5      one .h5: x, y, valid_x, ...       (T=300, 2*25*3)       none     recorded frames, zeros after the last

What files of one format differ in (2s-AGCN's have z up and repeat each clip to its end, ST-GCN's neither; CTR-GCN's of
NTU-120 copy a single body) is asked of the clips (`asking`), converted and noted.

Where clips have names, the columns are parsed from them and every split can be computed. Where they have none, the
column `train_<split>` keeps the one division that the file knows, and ids are 0. Files are read in blocks, pyskl-pkl
alone as a whole; pickles are read without the power to run anything.

To add one: a file here with its reader, its writer and its `Format`, and a line in FORMATS.
"""

from __future__ import annotations

from skelpipe.errors import BadInput, suggest
from skelpipe.exchange.arrays.base import Format
from skelpipe.exchange.arrays.ctrgcn import CTRGCN
from skelpipe.exchange.arrays.named import AGCN, AIMCLR
from skelpipe.exchange.arrays.pyskl import PYSKL
from skelpipe.exchange.arrays.sgn import SGN

FORMATS: dict[str, Format] = {
    "aimclr-npy": AIMCLR,
    "agcn-npy": AGCN,
    "ctrgcn-npz": CTRGCN,
    "pyskl-pkl": PYSKL,
    "sgn-h5": SGN,
}


def find_format(name: str) -> Format:
    """The convention of that name; BadInput names the nearest one."""
    if name in FORMATS:
        return FORMATS[name]
    raise BadInput(f"format {name!r}", "is unknown", suggest(name, FORMATS))
