"""Raw files for tests, and plain readers to hold the parsers against."""

import ctypes
import mmap
import os
from pathlib import Path

import numpy as np
import pytest

BODY = "72057594037931101"
# Everything of a joint line after x, y, z, and of a body line after the id.
JOINT_REST, BODY_REST = (
    "277.419 191.8218 1036.233 519.1677 -0.2059419 0.05349901 0.9692109 -0.1239193 2",
    "0 1 1 0 0 0 0 -0.1 2",
)


def ntu_text(frames, end="\n", final=True, lead=""):
    """A `.skeleton` file; `frames` is a list of frames, each a list of (body id, 25 triples of tokens)."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for body, joints in bodies:
            lines += [f"{body} {BODY_REST}", "25", *(f"{' '.join(map(str, xyz))} {JOINT_REST}" for xyz in joints)]
    return end.join(lead + line for line in lines) + (end if final else "")


def ntu_clip(seed, frames=4, bodies=1):
    """A random clip as text, numbers with 7 significant digits as the sensor's software prints them."""
    draw = np.random.default_rng(seed).normal(0, 1, (frames, bodies, 25, 3)).astype(np.float32)
    return ntu_text(
        [[(int(BODY) + m, [[f"{v:.7g}" for v in xyz] for xyz in x[m]]) for m in range(bodies)] for x in draw]
    )


def read_ntu(text):
    """A line-by-line reader: (frames, joints (R, 25, 3), row_frame, row_body)."""
    lines = iter([line for line in text.split("\n") if line.strip()])
    frames = int(next(lines))
    joints, row_frame, row_body = [], [], []
    for frame in range(frames):
        for _ in range(int(next(lines))):
            row_body.append(int(next(lines).split()[0]))
            row_frame.append(frame)
            joints.append([[float(word) for word in next(lines).split()[:3]] for _ in range(int(next(lines)))])
    assert next(lines, None) is None
    return frames, np.array(joints, np.float64).astype(np.float32).reshape(-1, 25, 3), row_frame, row_body


def pku_text(values, lead=" ", end="\r\n"):
    """A PKU-MMD sequence from (frames, 150) numbers; like the publisher's, a blank begins each line but the first."""
    return (end + lead).join(" ".join(f"{v:.6f}" for v in row) for row in values) + end


def pku_values(seed, frames, second=()):
    """Random (frames, 150) numbers with 6 decimals; the second body is there in the frames of `second`."""
    values = np.random.default_rng(seed).normal(0, 1, (frames, 150)).round(6)
    values[[f for f in range(frames) if f not in set(second)], 75:] = 0
    return values


def real_data(*parts):
    """Genuine recordings beside the checkout; the test is skipped where there are none."""
    root = Path(os.environ.get("SKELPIPE_REALDATA", Path(__file__).parents[2] / "shared" / "realdata")).joinpath(*parts)
    if not root.exists():
        pytest.skip(f"no genuine recordings at {root}")
    return root


def files(folder, **contents):
    """Write files below a folder; names by keyword get `.skeleton`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in contents.items():
        (folder / f"{name}.skeleton").write_text(text, newline="")
    return folder


class Guarded:
    """Memory whose last byte lies before a page that must not be touched: to read past the end ends the process."""

    def __init__(self, size: int = 1 << 20) -> None:
        self.size = size
        self.memory = mmap.mmap(-1, size + mmap.PAGESIZE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mprotect(ctypes.c_void_p(start + size), ctypes.c_size_t(mmap.PAGESIZE), 0):
            raise OSError(ctypes.get_errno(), "mprotect")
        self.view = np.frombuffer(self.memory, np.uint8, size)

    def array(self, data: bytes) -> np.ndarray:
        data = data or b"\n"
        if len(data) > self.size:
            return np.frombuffer(data, np.uint8)
        place = self.view[self.size - len(data) :]
        place[:] = np.frombuffer(data, np.uint8)
        return place


def write_pku(path: Path) -> Path:
    """Four sequences in four files, labels good and bad, a label without a sequence, and a list of videos."""
    for folder in ("skeleton", "label"):
        (path / folder).mkdir(parents=True)
    for number, length in enumerate((20, 60, 33, 8)):
        text = pku_text(pku_values(number, length, range(2, 6)))
        (path / f"skeleton/{number:04}-{'LMRL'[number]}.txt").write_text(text)
        labels = f"1,1,5,1\nbad\n{number + 2},3,{length},2\n" if number != 1 else "nothing good\n"
        (path / f"label/{number:04}-{'LMRL'[number]}.txt").write_text(labels)
    (path / "label/0009-L.txt").write_text("1,1,5,1\n")
    (path / "cross-subject.txt").write_text("Training videos: \n0000-L, 0001-M, \nValidataion videos: \n0002-R, \n")
    return path
