"""Arrays that other projects prepared, read as clips; and our recordings, written as those projects read them.

format      files                             one clip              ids      bodies   what is in it
aimclr-npy  *_position.npy + *_label.pkl      (3, T=50, 25, 2)      by name  first    prepared as `prepare` does it
stgcn-npy   *_data.npy + *_label.pkl          (3, T=300, 25, 2)     by name  first    as recorded, zeros after the end
agcn-npy    *_data_joint.npy + *_label.pkl    (3, T=300, 25, 2)     by name  energy   2s-AGCN's, ISC's and CMD's
            [+ *_num_frame.npy]                                                       pre_normalization (preset isc)
ctrgcn-npz  one .npz: x_train, y_train, ...   (T=300, 2*25*3)       none     denoise  joint 2 of the first body of the
                                                                                      first frame is the origin, zeros
                                                                                      after the end (preset ctr)
pyskl-pkl   one .pkl: split, annotations      (M, frames, 25, 3)    by name  denoise  as recorded
sgn-h5      one .h5: x, y, valid_x, ...       (T=300, 2*25*3)       none     denoise  as ctrgcn-npz

`bodies` is the rule by which each project chooses the two of NTU recordings; of PKU-MMD all take both. AimCLR's and
ST-GCN's gendata make stgcn-npy, which AimCLR's preprocess_ntu.py makes aimclr-npy of. CTR-GCN's NTU-120 script writes a
body that is alone twice. MAMP's files are ctrgcn-npz; those of PKU-MMD are as recorded.
What an older or another file of the format may hold instead is asked of the clips (`asking`), converted and noted.

Where clips have names, the columns are parsed from them and every split can be computed; how the files divide them is
kept beside that as `listed_train`. Where they have none, the column `train_<split>` keeps the one division that the
file knows, and ids are 0. Files are read in blocks, pyskl-pkl alone as a whole; pickles are read without the power to
run anything. What a name, a label, a list or a count contradicts is refused or told: `given`, `file_names`, `labels`,
`columns`, `divisions`. `look` says what files hold without importing them.

To add one: a file here with its reader, its writer and its `Format`, and a line in FORMATS.
"""

from __future__ import annotations

from skelpipe.errors import BadInput, suggest
from skelpipe.exchange.arrays.base import Format
from skelpipe.exchange.arrays.ctrgcn import CTRGCN
from skelpipe.exchange.arrays.named import AGCN, AIMCLR, STGCN
from skelpipe.exchange.arrays.pyskl import PYSKL
from skelpipe.exchange.arrays.sgn import SGN

FORMATS: dict[str, Format] = {
    "aimclr-npy": AIMCLR,
    "stgcn-npy": STGCN,
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
