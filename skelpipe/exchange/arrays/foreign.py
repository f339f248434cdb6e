"""What files are by their content: the formats that are imported, and kin that is not."""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skelpipe.errors import BadInput, shortened
from skelpipe.recordings.pickles import reading

Facts = list[tuple[str, object]]  # what `inspect` says of a file: what is told, and the answer
# By how many joints there are: whose skeletons those are as a rule.
SKELETONS = {
    17: "17 joints, as 2D poses of COCO have (PySKL's *_hrnet.pkl), which are not imported",
    18: "18 joints, as OpenPose's 2D poses of Kinetics-Skeleton have, which are not imported",
    20: "20 joints, as Kinect v1 and NW-UCLA have, which are not imported",
}


def skeleton_of(shape: Sequence[int]) -> str | None:
    """Whose skeletons an array of that shape seems to hold, if they are none of ours.

    Args:
        shape: (clips, channels, frames, joints, bodies), (bodies, frames, joints, channels) or (clips, frames, values).
    """
    if len(shape) == 3:
        bodies = {75: "one body", 300: "four bodies"}.get(shape[2])
        return None if bodies is None else f"{shape[2]} numbers a frame, {bodies} of 25 joints and not two"
    if len(shape) not in (4, 5):
        return None
    joints, channels = (shape[2], shape[3]) if len(shape) == 4 else (shape[3], shape[1])
    if joints in SKELETONS:
        return SKELETONS[joints]
    if joints == 25 and channels == 2:
        return "two dimensions, which are not imported"
    if joints == 25 and len(shape) == 5 and channels != 3:
        return f"{channels} channels, as several streams in one array have, where positions have 3"
    if joints == 25 and len(shape) == 5 and shape[4] != 2:
        return f"room for {'one body' if shape[4] == 1 else f'{shape[4]} bodies'}, not for two"
    return None


KEYS_NPZ = ("x_train", "y_train", "x_test", "y_test")
KEYS_H5 = ("x", "y", "test_x", "test_y")


def without_keys(where: Path, wanted: Sequence[str], found: Sequence[str]) -> None:
    """Raise BadInput unless a file has all the arrays of its format; says which are missing and which are there."""
    missing = [key for key in wanted if key not in found]
    if missing:
        there = shortened(", ".join(found), 100) if found else "nothing"
        what = f"has no {' and no '.join(missing)}; it holds {there}"
        raise BadInput(where, what, f"this format has {', '.join(wanted)}: check the format's name")


# By the first bytes ------------------------------------------------------------------------------------------------
HEAD = 1 << 16  # bytes that are read to tell what a file is
NPY, ZIP, HDF5, SEVEN, GZIP = b"\x93NUMPY", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"7z\xbc\xaf\x27\x1c", b"\x1f\x8b"
PKU_SEQUENCE, PKU_LABELS = "a PKU-MMD sequence: 150 numbers a line", "a PKU-MMD label file: class, start, end a line"
NTU_FILE, UCLA_FILE = "an NTU .skeleton file", "a JSON file as NW-UCLA has them"
JSON = (
    (
        {"frame_index", "skeleton"},
        "a JSON file as Kinetics-Skeleton (OpenPose, 18 joints) has them, which is not imported",
    ),
    ({"skeletons"}, UCLA_FILE),
)
PACKED = {SEVEN: "7z", GZIP: "gzip", b"\xfd7zXZ": "xz", b"BZh": "bzip2", b"Rar!": "RAR"}


def what_is(path: Path) -> str:
    """What a file seems to be, in a few words; reads its head, and nothing that could run code.

    Raises:
        BadInput: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise BadInput(path, f"cannot be read ({error.strerror})", "correct the path or its permissions") from None
    if head.startswith(NPY):
        return _array(path)
    if head.startswith(ZIP):
        return _archive(path)
    for start, name in PACKED.items():
        if head.startswith(start):
            return f"a packed file ({name}), which has to be unpacked first"
    if head.startswith(HDF5):
        return f"an HDF5 file of {_listed(_members(path))}"
    if head[:1] == b"\x80":
        return "a pickle"
    return _text(head)


def npy_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether the first axis varies fastest, and dtype of an .npy; the file then stands at the first value."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    found: tuple[tuple[int, ...], bool, np.dtype[Any]] = read(file)
    return found


def _array(path: Path) -> str:
    try:
        with reading(path), open(path, "rb") as file:
            shape, _, dtype = npy_header(file)
    except BadInput:
        return "a damaged NumPy array"
    return f"a NumPy array of {' x '.join(map(str, shape)) or 'no axes'} {dtype}"


def _archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return "a damaged or unfinished zip archive"
    if names and all(name.endswith(".npy") for name in names):
        return f"an .npz of {_listed([name.removesuffix('.npy') for name in names])}"
    if any(name.endswith("data.pkl") for name in names):
        return "a PyTorch checkpoint"
    return f"a zip archive of {len(names):,} files{f', such as {shortened(names[0], 60)}' if names else ''}"


def _members(path: Path) -> list[str]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return list(file)
    except (OSError, ValueError, RuntimeError):
        return []


def _listed(names: Sequence[str]) -> str:
    return shortened(", ".join(names), 100) if names else "nothing that can be read"


def _text(head: bytes) -> str:
    """What text seems to be by its first lines."""
    if not head:
        return "an empty file"
    if _old_pickle(head):
        return "a pickle of protocol 0 or 1"
    text = head.decode("utf-8-sig", "replace")
    if text.count("\ufffd") > 4 or "\0" in text:
        return "a file of no format that skelpipe knows"
    if text.lstrip()[:1] in ("{", "["):
        return _json(text)
    lines = [line for line in text.splitlines()[:40] if line.strip()]
    if len(head) == HEAD:
        lines = lines[:-1]
    rows = [[word for word in re.split(r"[\s,;]+", line) if word] for line in lines]
    return _rows(rows) if rows and all(_numbers(row) for row in rows) else "a text file"


def _old_pickle(head: bytes) -> bool:
    """Whether it begins as pickles do that have no number of their protocol in front; nothing of it is run."""
    if head[:1] not in b"(]}lc":
        return False
    try:
        return len([None for _, _ in zip(pickletools.genops(io.BytesIO(head)), range(6), strict=False)]) == 6
    except ValueError:
        return False


def _numbers(row: Sequence[str]) -> bool:
    try:
        return bool([float(word) for word in row])
    except ValueError:
        return False


def _rows(rows: Sequence[Sequence[str]]) -> str:
    widths = {len(row) for row in rows}
    if widths == {150}:
        return PKU_SEQUENCE
    if len(rows[0]) == 1 and len(rows) > 4 and [len(row) for row in rows[2:5]] == [10, 1, 12]:
        return f"{NTU_FILE} of {rows[0][0]} frames"
    if widths <= {3, 4}:
        return PKU_LABELS
    return f"text of {' or '.join(str(width) for width in sorted(widths)[:4])} numbers a line"


def _json(text: str) -> str:
    keys = set(re.findall(r'"([A-Za-z_]{1,40})"\s*:', text))
    for wanted, name in JSON:
        if wanted <= keys:
            return name
    return "a JSON file" + (f" of {_listed(sorted(keys))}" if keys else "")
