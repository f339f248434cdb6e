"""PySKL's pickle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skelpipe.clips.bodies import BODIES
from skelpipe.errors import BadInput, shortened
from skelpipe.exchange.arrays.base import (
    JOINTS,
    STEMS,
    UNKNOWN,
    Format,
    Part,
    Whole,
    as_floats,
    check_shape,
    one_file,
    read_names,
    whole,
)
from skelpipe.exchange.arrays.source import Source
from skelpipe.exchange.pickles import plain, read_pickle, write_pickle

SPREAD_ERROR = 0.005  # metres: both write float16
PAIRS = 200  # clips of two bodies, all with the larger spread first


def read_pyskl(files: Sequence[Path]) -> list[Part]:
    path = one_file(files, (".pkl", ".pickle"))
    content = read_pickle(path)
    annotations = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(annotations, list) or not all(isinstance(each, dict) for each in annotations):
        raise BadInput(path, "has no list of annotations", "give a pickle with the keys 'split' and 'annotations'")
    missing = {key for each in annotations for key in ("frame_dir", "label", "keypoint") if key not in each}
    if missing:
        raise BadInput(path, f"has annotations without {', '.join(sorted(missing))}", "give a file of this format")
    names = read_names(path, [each["frame_dir"] for each in annotations])
    for name, each in zip(names, annotations, strict=True):
        points = plain(each["keypoint"])
        if not isinstance(points, np.ndarray):
            raise BadInput(
                path, f"{shortened(name, 60)!r} has a keypoint that is no array", "give a file of this format"
            )
        check_shape(path, points.dtype, points.shape, (None, None, JOINTS, 3))

    def blocks(step: int) -> Iterator[Any]:
        for start in range(0, len(annotations), step):
            some = [plain(each["keypoint"]) for each in annotations[start : start + step]]
            yield [as_floats(path, points[None], start + i)[0].transpose(1, 0, 2, 3) for i, points in enumerate(some)]

    def some(rows: Whole) -> Iterator[Any]:
        for n in rows.tolist():
            yield [np.asarray(plain(annotations[n]["keypoint"]), np.float32).transpose(1, 0, 2, 3)]

    labels = whole(path, [each["label"] for each in annotations])
    return [Part(path, labels, names, False, blocks, 0, some=some, bodies=_told_bodies(annotations))]


def _told_bodies(annotations: list[dict[str, Any]]) -> str:
    """Whose file it is: PySKL's, of denoised bodies, or MMAction2's, of the liveliest; UNKNOWN where both fit.

    MMAction2 puts the body with the larger spread first (`get_nonzero_std`) and keeps frames without anybody, which
    PySKL takes from both ends.
    """
    pairs = 0
    for each in annotations:
        points = np.asarray(plain(each["keypoint"]), np.float32)
        if not points[:, 0].any() or not points[:, -1].any():
            return "energy"
        shown = [body[body.any(axis=(1, 2))] for body in points if body.any()]
        if len(shown) == 2:
            with np.errstate(invalid="ignore"):  # what is no number is refused when it is read
                first, second = (float(body.std(axis=(0, 1)).sum()) for body in shown)
            if first < second - SPREAD_ERROR:
                return "denoise"
            pairs += 1
    return "energy" if pairs >= PAIRS else UNKNOWN


def _write_pyskl(to: Path, source: Source, tell: Callable[[int], None]) -> None:
    annotations = []
    for part in source.rows:
        labels = source.labels(part).tolist()
        for name, label, clip in zip(source.names(part), labels, source.recordings(part), strict=True):
            bodies = BODIES if clip[:, 1].any() else 1
            points = np.ascontiguousarray(clip[:, :bodies].transpose(1, 0, 2, 3))
            annotations.append({"frame_dir": name, "label": label, "keypoint": points, "total_frames": len(clip)})
            tell(1)
    key = STEMS[source.split][2]
    split = {f"{key}_{part}": source.names(part) for part in source.rows}
    name = f"{source.attributes['dataset']}_3danno.pkl"
    write_pickle(to / name, {"split": split, "annotations": annotations})


PYSKL = Format(read_pyskl, _write_pyskl, "denoise", named=True)
