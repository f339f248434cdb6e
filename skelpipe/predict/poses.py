"""The poses of a video as a file that `skelpipe ingest poses` reads, with people, empty frames and the rate."""

from __future__ import annotations

import json
import os
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput
from skelpipe.layouts import find_layout
from skelpipe.layouts.base import Layout
from skelpipe.outputs.ancestry import BESIDE
from skelpipe.outputs.files import sha256, write_json
from skelpipe.outputs.folders import locked
from skelpipe.outputs.one_file import check_file
from skelpipe.outputs.provenance import provenance
from skelpipe.outputs.refusals import refusals
from skelpipe.predict.tracking import Detector
from skelpipe.predict.video import LAYOUT_OF, PEOPLE, WORLD, Video, bodies_of, open_video, seen_in

BLOCK = 1024  # rows, or frames, that are in memory at a time
DIGITS = {3: 4, 2: 1}  # of metres, and of pixels, in JSON; of a confidence 3
MUCH_LESS = 0.9  # of the frames that a video announces: then the rest is damaged, or not there
ARRAYS = {"keypoints": "points", "keypoint_scores": "scores", "row_frame": "frame", "row_body": "body"}

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        layout: name of the layout of the poses.
        frames: that were looked at.
        seen: of them, those with anybody.
        people: how many ids were given.
        rows: bodies in frames.
        fps: frames per second of the poses.
        seconds: that it took.
        short: how many frames the video announces, if it ends long before.
    """

    layout: str
    frames: int
    seen: int
    people: int
    rows: int
    fps: float
    seconds: float
    short: int | None


def write_poses(
    video: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    people: int = PEOPLE,
    points: str = WORLD,
    every: int = 1,
    force: bool = False,
    progress: Progress | None = None,
    make: Callable[[], Detector] | None = None,
) -> Written:
    """Write the poses of the people in a video as .npz or .json, whole or not at all; its provenance lies beside it.

    Rows wait in a file without a name beside `out`, so that memory stays flat.

    Args:
        video: the path of a video.
        out: .npz holds of R bodies in frames `keypoints` (R, V, C), `keypoint_scores` (R, V), `row_frame` and
            `row_body`, the id, (R,), and `frames` and `fps`; .json holds `fps`, `layout`, `image`, the size of the
            picture, and `frames`, each with its people and their `id`, `keypoints` and `keypoint_scores`.
        people: the most at a time.
        points: "world" or "image", as `video.bodies_of` has them.
        every: only every n-th frame is looked at.
        force: replace what is there.
        progress: called with (done, in all) frames.
        make: as of `video.seen_in`.

    Raises:
        BadInput: the suffix is unknown; `out` exists and `force` is not set, or cannot be written; the video cannot be
            read, or shows nobody; or MediaPipe is not installed.
    """
    out, started = Path(out), time.time()
    write = WRITERS.get(out.suffix)
    if write is None:
        raise BadInput(out, f"has the ending {out.suffix or 'of no format'!r}", f"use one of {', '.join(WRITERS)}")
    check_file(out, force)
    with open_video(video, every) as opened, locked(out), refusals(out), tempfile.TemporaryFile(dir=out.parent) as file:
        rows, begun = _Rows(file, find_layout(LAYOUT_OF[points])), time.perf_counter()
        for seen in seen_in(opened, people, make):
            rows.add(seen.frame, *bodies_of(seen, points))
            if progress is not None:
                progress(opened.given, max(opened.frames or 0, opened.given))
        seconds = time.perf_counter() - begun
        if not rows.count:
            what = f"nobody was found in its {opened.given:,} frames"
            remedy = "people have to be seen from head to hips, and not too small: cut the picture to them"
            raise BadInput(video, what, remedy)
        digest = _put(out, lambda scratch: write(scratch, rows, opened))
        settings = {"people": people, "points": points, "every": every, "layout": rows.layout.name}
        told = {"output": os.path.abspath(out), "digest": digest}
        write_json(Path(f"{out}{BESIDE}"), provenance("poses", {"video": video}, settings, started, told))
    short = opened.frames if opened.frames and opened.given < MUCH_LESS * opened.frames else None
    counts = (opened.given, rows.seen, rows.people, rows.count)
    return Written(rows.layout.name, *counts, opened.fps, seconds, short)


def _put(out: Path, write: Callable[[Path], None]) -> str:
    """Write a file beside `out`, and put it in its place when it is whole; returns its sha256."""
    scratch = out.with_name(f".{out.name}.partial")
    try:
        write(scratch)
        digest = sha256(scratch, flush=True)
        scratch.replace(out)
    finally:
        scratch.unlink(missing_ok=True)
    return digest


class _Rows:
    """Bodies in frames, kept in a file: `frame`, `body`, `points` (V, D) and `scores` (V,) of each."""

    def __init__(self, file: IO[bytes], layout: Layout) -> None:
        joints = len(layout.joints)
        self.file, self.layout = file, layout
        self.kind = np.dtype(
            [("frame", "<i4"), ("body", "<i4"), ("points", "<f4", (joints, layout.coordinates)),
             ("scores", "<f4", (joints,))]
        )  # fmt: skip
        self.count = self.seen = self.people = 0

    def add(self, frame: int, ids: npt.NDArray[np.int64], x: npt.NDArray[np.float32]) -> None:
        """Take the bodies of a frame: ids (B,) and rows (B, V, C) with the confidence behind."""
        made = np.empty(len(ids), self.kind)
        made["frame"], made["body"], made["points"], made["scores"] = frame, ids, x[..., :-1], x[..., -1]
        self.file.write(made.tobytes())
        self.count += len(ids)
        self.seen += bool(len(ids))
        self.people = max(self.people, *(int(each) + 1 for each in ids), 0)

    def blocks(self, frames: int) -> Iterator[tuple[int, int, npt.NDArray[Any]]]:
        """(first, end, rows) of all frames, `BLOCK` of them at a time."""
        self.file.seek(0)
        left = np.empty(0, self.kind)
        for first in range(0, frames, BLOCK):
            end = min(first + BLOCK, frames)
            while not len(left) or left["frame"][-1] < end:
                more = np.frombuffer(self.file.read(BLOCK * self.kind.itemsize), self.kind)
                if not len(more):
                    break
                left = np.concatenate([left, more])
            cut = int(np.searchsorted(left["frame"], end))
            yield first, end, left[:cut]
            left = left[cut:]


def _write_npz(path: Path, rows: _Rows, video: Video) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, column in ARRAYS.items():
            kind = rows.kind[column]
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                header = {"descr": kind.base.str, "fortran_order": False, "shape": (rows.count, *kind.shape)}
                np.lib.format.write_array_header_1_0(member, header)
                for _, _, some in rows.blocks(video.given):
                    member.write(np.ascontiguousarray(some[column]).tobytes())
        for name, value in (("frames", video.given), ("fps", video.fps)):
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, np.array(value))


def _write_json(path: Path, rows: _Rows, video: Video) -> None:
    digits, separator = DIGITS[rows.layout.coordinates], ""
    with open(path, "w", encoding="utf-8") as file:
        head = {"fps": video.fps, "layout": rows.layout.name, "image": list(video.size)}
        file.write(json.dumps(head)[:-1] + ', "frames": [')
        for first, end, some in rows.blocks(video.given):
            for frame in range(first, end):
                people = [
                    {
                        "id": int(row["body"]),
                        "keypoints": row["points"].astype(np.float64).round(digits).tolist(),
                        "keypoint_scores": row["scores"].astype(np.float64).round(3).tolist(),
                    }
                    for row in some[some["frame"] == frame]
                ]
                file.write(separator + "\n" + json.dumps({"frame": frame, "people": people}))
                separator = ","
        file.write("\n]}\n")


WRITERS: dict[str, Callable[[Path, _Rows, Video], None]] = {
    ".npz": _write_npz, ".json": _write_json,
}  # fmt: skip
