"""PySKL's pickle."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skelpipe.clips.bodies import BODIES
from skelpipe.errors import BadInput, shortened
from skelpipe.exchange.arrays.base import JOINTS, UNKNOWN, Format, Part, check_shape, stems
from skelpipe.exchange.arrays.columns import plain_name
from skelpipe.exchange.arrays.divisions import divided_by_lists, divided_by_name
from skelpipe.exchange.arrays.file_names import TRAIN, part_of
from skelpipe.exchange.arrays.given import PICKLES, check_files
from skelpipe.exchange.arrays.labels import Whole, class_numbers, kind_of, read_names
from skelpipe.exchange.arrays.source import Source
from skelpipe.recordings.datasets import Dropped
from skelpipe.recordings.datasets.recording import NO_BODY
from skelpipe.recordings.pickles import plain, read_pickle, write_pickle

NOT_THERE = "no annotation"
KEYS = ("frame_dir", "label", "keypoint")
THIS_FORMAT = "give a pickle with the keys 'split' and 'annotations', or a list of annotations"

SPREAD_ERROR = 0.005  # metres: both write float16
PAIRS = 200  # clips of two bodies, all with the larger spread first


def read_pyskl(files: Sequence[Path]) -> list[Part]:
    """Pickles with `split` and `annotations`, or bare lists of annotations as older ones are.

    What is None in the place of an annotation, as PySKL's tools/data/ntu_preproc.py leaves it for a recording without
    bodies, or has no keypoints, is left out.
    """
    check_files(files, PICKLES)
    return [annotations_in(path, read_pickle(path)) for path in files]


def has_annotations(content: Any) -> bool:
    """Whether what a pickle holds is a list of annotations, bare or beside a split."""
    annotations = content.get("annotations") if isinstance(content, dict) else content
    return isinstance(annotations, list) and all(each is None or isinstance(each, dict) for each in annotations)


def annotations_in(path: Path, content: Any) -> Part:
    """The clips of what a pickle holds.

    Raises:
        BadInput: it holds something else than annotations of 25 joints in space.
    """
    annotations: Any = content.get("annotations") if isinstance(content, dict) else content
    if not has_annotations(content):
        raise BadInput(path, f"holds {kind_of(content)} and has no list of annotations", THIS_FORMAT)
    for place, each in enumerate(annotations):
        if each is not None and (missing := [key for key in KEYS if key not in each]):
            what = f"has annotations without {', '.join(missing)}: number {place} is {kind_of(each)}"
            raise BadInput(path, what, THIS_FORMAT)
    there = [each for each in annotations if each is not None]
    called = read_names(path, [each["frame_dir"] for each in there])
    both = [(name, each) for name, each in zip(called, there, strict=True) if _seen(path, name, each)]
    names, kept = [name for name, _ in both], [each for _, each in both]
    labels = class_numbers(path, [each["label"] for each in kept], names)
    plain_names = [plain_name(name) for name in names]
    lists = _lists(path, content)
    listed = divided_by_lists(lists, plain_names) or divided_by_name(path, len(names))

    def blocks(step: int) -> Iterator[Any]:
        for start in range(0, len(kept), step):
            points = (plain(each["keypoint"]) for each in kept[start : start + step])
            yield [np.ascontiguousarray(each, np.float32).transpose(1, 0, 2, 3) for each in points]

    def some(rows: Whole) -> Iterator[Any]:
        for n in rows.tolist():
            yield [np.asarray(plain(kept[n]["keypoint"]), np.float32).transpose(1, 0, 2, 3)]

    empty = {plain_name(name) for name in called} - set(plain_names)
    missing_at = [place for place, each in enumerate(annotations) if each is None]
    return Part(
        path,
        labels,
        names,
        False,
        blocks,
        some,
        0,
        divisions=listed,
        left_out=_left_out(path, plain_names, empty, missing_at, lists),
        bodies=_told_bodies(kept),
        told=(*_other_lengths(path, names, kept), *_in_both(path, lists)),
    )


def _seen(path: Path, name: str, annotation: dict[str, Any]) -> bool:
    """Whether an annotation has keypoints; BadInput if they are not those of 25 joints in three dimensions."""
    points = plain(annotation["keypoint"])
    if points is None:
        return False
    if not isinstance(points, np.ndarray):
        raise BadInput(
            path, f"{shortened(name, 60)!r} has a keypoint that is no array but {kind_of(points)}", THIS_FORMAT
        )
    if points.size:
        check_shape(path, points.dtype, points.shape, (None, None, JOINTS, 3))
        if points.shape[1] != (total := _total(annotation)) == points.shape[0]:
            shape = " x ".join(map(str, points.shape))
            what = f"{shortened(name, 60)!r} has a keypoint of {shape} and {total:,} frames: bodies and frames changed"
            raise BadInput(path, f"{what} places", "transpose every keypoint to bodies x frames x joints x 3")
    return bool(points.size)


def _total(annotation: dict[str, Any]) -> int | None:
    """How many frames an annotation says that it has; None if it does not."""
    said = plain(annotation.get("total_frames"))
    return int(said) if isinstance(said, (int, np.integer)) and not isinstance(said, bool) else None


def _other_lengths(path: Path, names: Sequence[str], annotations: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A sentence if keypoints have other lengths than `total_frames` says."""
    odd = []
    for name, each in zip(names, annotations, strict=True):
        frames, total = len(plain(each["keypoint"])[0]), _total(each)
        if total not in (None, frames):
            odd.append(f"{shortened(name, 60)}, {total:,} for {frames:,}")
    if odd:
        what = f"total_frames contradicts the keypoint of {len(odd):,} clips (the first {odd[0]} frames)"
        yield f"{path}: {what}; all frames of the keypoint are taken"


def _in_both(path: Path, lists: dict[str, list[str]]) -> Iterator[str]:
    """A sentence for each division whose lists name clips for both parts; the later list is what counts."""
    sides: dict[str, dict[bool, set[str]]] = {}
    for key, names in lists.items():
        if (part := part_of(key)) is not None:
            sides.setdefault(part[1], {}).setdefault(part[0] == TRAIN, set()).update(names)
    for rest, found in sides.items():
        if twice := sorted(found.get(True, set()) & found.get(False, set())):
            called = f" {shortened(rest, 40)!r}" if rest else ""
            what = f"its split{called} has {len(twice):,} clips in both parts, the first {shortened(twice[0], 60)}"
            yield f"{path}: {what}: remove them from one, or results on them are no test"


def _lists(path: Path, content: Any) -> dict[str, list[str]]:
    """The lists of names in `split`, as plain names."""
    split = content.get("split") if isinstance(content, dict) else None
    if not isinstance(split, dict):
        return {}
    values = {str(key): plain(names) for key, names in split.items()}
    listed = {key: names for key, names in values.items() if isinstance(names, (list, tuple, set, np.ndarray))}
    return {key: [plain_name(name) for name in read_names(path, list(names))] for key, names in listed.items()}


def _left_out(
    path: Path, names: Sequence[str], empty: Collection[str], missing_at: Sequence[int], lists: dict[str, list[str]]
) -> tuple[Dropped, ...]:
    """What is no clip: without keypoints, None, or only named in the lists; by name where one is told."""
    entries = [Dropped(name, NO_BODY, f"{path}: it has no keypoints") for name in sorted(empty)]
    only_listed = sorted({name for each in lists.values() for name in each}.difference(names, empty))
    what = "None in the place of an annotation, as PySKL leaves it for a recording without bodies"
    if len(only_listed) == len(missing_at):
        return (*entries, *(Dropped(name, NO_BODY, f"{path}: {what}") for name in only_listed))
    entries += [Dropped(f"annotation {place}", NO_BODY, f"{path}: {what}") for place in missing_at]
    return (*entries, *(Dropped(name, NOT_THERE, f"{path}: its split names it") for name in only_listed))


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
    key = stems(source.split)[2]
    split = {f"{key}_{part}": source.names(part) for part in source.rows}
    name = f"{source.attributes['dataset']}_3danno.pkl"
    write_pickle(to / name, {"split": split, "annotations": annotations})


PYSKL = Format(read_pyskl, _write_pyskl, "denoise", named=True)
