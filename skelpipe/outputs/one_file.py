"""Outputs that are one file: the provenance that they carry, and whether another one may take their place."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

from skelpipe.errors import BadInput, shortage
from skelpipe.outputs.ancestry import BESIDE, read_json

MOST_BYTES = 1 << 26  # of provenance inside a file


def check_file(out: Path, force: bool) -> None:
    """Raise BadInput unless a file may be written at `out`: nothing is there, or a file of ours and `force` is set."""
    if out.is_dir():
        raise BadInput(out, "is a folder", "give the path of a file")
    if not os.path.lexists(out):
        return
    if not force:
        raise BadInput(out, "already exists", "choose another path, or pass --force to replace it")
    if not is_ours(out):
        what = "is no output of skelpipe, and --force replaces only these"
        raise BadInput(out, what, "choose another path, or delete it")


def is_ours(path: Path) -> bool:
    """Whether a file has its provenance beside it or inside it."""
    try:
        return Path(f"{path}{BESIDE}").exists() or "skelpipe" in read_inside(path)
    except (BadInput, OSError):
        return False


def read_inside(path: Path) -> dict[str, Any]:
    """The provenance inside a file, by its suffix, or of one that cannot hold it the one beside it; {} if it has none.

    Raises:
        BadInput: it cannot be read.
    """
    reader = INSIDE.get(path.suffix.lower())
    try:
        text = reader(path) if reader else None
        made = json.loads(text) if text is not None else read_json(Path(f"{path}{BESIDE}"))
    except Exception as error:  # five libraries tell of damaged files in as many ways
        if shortage(error):
            raise
        raise BadInput(path, f"its provenance cannot be read ({type(error).__name__})", "make it anew") from None
    return made if isinstance(made, dict) else {}


def _inside_npz(path: Path) -> bytes | None:
    import numpy as np

    with zipfile.ZipFile(path) as archive:
        if "provenance.npy" not in archive.namelist():
            return None
        if archive.getinfo("provenance.npy").file_size > MOST_BYTES:
            raise ValueError("too large")
        with archive.open("provenance.npy") as file:
            return bytes(np.lib.format.read_array(file, allow_pickle=False).item())


def _inside_h5(path: Path) -> bytes | None:
    import h5py

    with h5py.File(path, "r") as file:
        if "provenance" not in file:
            return None
        if not isinstance(file.get("provenance", getlink=True), h5py.HardLink) or file["provenance"].shape != ():
            raise ValueError("not a text of its own")
        return bytes(file["provenance"][()])


def _inside_parquet(path: Path) -> bytes | None:
    import pyarrow.parquet

    with open(path, "rb") as file:
        found: bytes | None = (pyarrow.parquet.read_schema(file).metadata or {}).get(b"skelpipe")
    return found


def _inside_picture(path: Path) -> bytes | str | None:
    from PIL import Image

    with Image.open(path) as picture:
        found: bytes | str | None = picture.info.get("skelpipe", picture.info.get("comment"))
    return found


INSIDE = {
    ".npz": _inside_npz, ".h5": _inside_h5, ".parquet": _inside_parquet, ".png": _inside_picture,
    ".gif": _inside_picture,
}  # fmt: skip
