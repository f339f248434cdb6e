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
    Format,
    Part,
    Source,
    as_floats,
    check_shape,
    one_file,
    read_names,
    stems,
    whole,
)
from skelpipe.exchange.pickles import plain, read_pickle, write_pickle


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

    labels = whole(path, [each["label"] for each in annotations])
    return [Part(path, labels, names, False, blocks, 0)]


def _write_pyskl(to: Path, source: Source, tell: Callable[[int], None]) -> None:
    annotations = []
    for part in source.rows:
        labels = source.labels(part).tolist()
        for name, label, clip in zip(source.names(part), labels, source.recordings(part), strict=True):
            bodies = BODIES if clip[:, 1].any() else 1
            points = np.ascontiguousarray(clip[:, :bodies].transpose(1, 0, 2, 3))
            annotations.append({"frame_dir": name, "label": label, "keypoint": points, "total_frames": len(clip)})
            tell(1)
    key = stems(source.split)[2]
    split = {f"{key}_{part}": source.names(part) for part in source.rows}
    name = f"{source.attributes['dataset']}_3danno.pkl"
    write_pickle(to / name, {"split": split, "annotations": annotations})


PYSKL = Format(read_pyskl, _write_pyskl, named=True)
