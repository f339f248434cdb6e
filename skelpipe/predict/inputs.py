"""What predictions are asked for -> pieces: stores, clips, and raw recordings of any format that `ingest` reads."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from skelpipe.errors import BadInput
from skelpipe.layouts import SUFFIXES, attributes_of, find_layout, layout_of
from skelpipe.layouts.base import Layout
from skelpipe.layouts.table import CONFIDENCE
from skelpipe.predict.pieces import Piece, Windows
from skelpipe.predict.predictor import check_layout
from skelpipe.recordings import store
from skelpipe.recordings.conventions import Conversion
from skelpipe.recordings.conventions.folders import NOTED, is_relative
from skelpipe.recordings.datasets import DATASETS, Dataset, dataset_of
from skelpipe.recordings.datasets.absent import divided
from skelpipe.recordings.datasets.own import UNLABELLED
from skelpipe.recordings.datasets.recording import RATE, READING
from skelpipe.recordings.ingest import Searched, ingest, look_for
from skelpipe.recordings.poses.dataset import own_poses
from skelpipe.recordings.poses.described import read_description
from skelpipe.recordings.poses.fitting import WITHOUT
from skelpipe.recordings.poses.look import fitting_layouts
from skelpipe.recordings.poses.settling import NO_LABEL
from skelpipe.training.model import Model

log = logging.getLogger(__name__)
WINDOWS_AT_ONCE = 64  # of a long recording, whose frames between are read together
FAULTS_TOLD = 10  # of what was left out
LONG = 4096  # frames from which on a recording that is cut into windows is read part by part

Progress = Any


@dataclass(frozen=True)
class Asked:
    """How inputs are looked at.

    Attributes:
        windows: cut recordings into windows; None: whole.
        each_person: one prediction a person.
        split: only the test clips of this split.
        said: how raw recordings are to be read, options of `own_poses`.
        follow: whether files and folders are waited for to grow.
        patience: seconds without anything new after which that ends; None: never.
        people: the most that are looked for at a time in a video.
    """

    windows: Windows | None = None
    each_person: bool = False
    split: str | None = None
    said: Mapping[str, Any] = field(default_factory=dict)
    follow: bool = False
    patience: float | None = None
    people: int = 2


@dataclass(frozen=True)
class Recorded:
    """Recordings in a store, one after the other.

    Attributes:
        path: of the store.
        rows: which of its recordings are meant.
        layout: their joints.
        relative: see `Predictor.score`.
        fps: frames per second, where they are stated.
        labels: of all its recordings, the class by name; None where nobody has told it.
    """

    path: Path
    rows: npt.NDArray[np.int64]
    layout: Layout
    relative: bool
    fps: float | None
    labels: Sequence[str | None]

    @property
    def count(self) -> int:
        """How many recordings there are."""
        return len(self.rows)

    def pieces(self, windows: Windows | None = None) -> Iterator[Piece]:
        """All recordings, or their windows; of a long one never more than some windows are in memory."""
        group, attributes = store.open_group(self.path, "store")
        convert = Conversion.of(attributes.get(NOTED))
        names = store.read_array(group, "name")
        offset = store.read_array(group, "clip_offset").astype(np.int64)
        frames = store.read_array(group, "clip_frames").astype(np.int64)
        joints, row_frame, row_body = (store.Rows(group, name) for name in ("joints", "row_frame", "row_body"))

        def read(n: int, first: int, last: int, start: int, length: int) -> Piece:
            a, z = int(offset[n]) + first, int(offset[n]) + last
            values = convert.apply(np.array(joints.read(a, z), np.float32))
            frame = row_frame.read(a, z).astype(np.int64) - start
            body = row_body.read(a, z).astype(np.int64)
            return Piece(str(names[n]), values, frame, body, length, start, label=self.labels[n])

        for n in self.rows.tolist():
            count, rows = int(frames[n]), int(offset[n + 1] - offset[n])
            if windows is None or count <= max(LONG, windows.length):
                whole = read(n, 0, rows, 0, count)
                yield from [whole] if windows is None else windows.of(whole)
                continue
            every = store.read_array(group, "row_frame", slice(int(offset[n]), int(offset[n + 1])))
            starts = windows.starts(count)
            for some in (starts[i : i + WINDOWS_AT_ONCE] for i in range(0, len(starts), WINDOWS_AT_ONCE)):
                stop = min(some[-1] + windows.length, count)
                first, last = np.searchsorted(every, [some[0], stop]).tolist()
                stretch = read(n, first, last, some[0], stop - some[0])
                for start in some:
                    yield stretch.cut(start - some[0], min(start + windows.length, count) - some[0])


def open_store(path: Path, split: str | None = None) -> Recorded:
    """The recordings of a store.

    Args:
        split: only its test clips.

    Raises:
        BadInput: it cannot be read, or has no such split or no test clips of it.
    """
    group, attributes = store.open_group(path, "store")
    layout, about = layout_of(attributes, path), dataset_of(attributes, str(path))
    columns = {name: store.read_array(group, name) for name in attributes["columns"]}
    rows = np.arange(len(columns["name"]))
    if split is not None:
        rows = np.flatnonzero(divided(split, about, columns, attributes.get("split_files"), ("test",))[1])
    return Recorded(
        path, rows, layout, is_relative(attributes), attributes.get(RATE), labels_of(about, columns["label"])
    )


def labels_of(about: Dataset, labels: npt.NDArray[Any]) -> list[str | None]:
    """The class of each recording by name; None where nobody has told it."""
    names = about.class_names
    return [None if n == UNLABELLED else names[n] if names else str(n) for n in labels.tolist()]


def ingested(
    raw: Path, first: Model, said: Mapping[str, Any], windows: bool, stack: ExitStack, progress: Progress
) -> Path:
    """A store of raw recordings in a temporary folder that goes with `stack`, as `skelpipe ingest` makes it.

    Recordings that are named as those of the data set of the model are read as these, unless windows are cut of them;
    all others as one's own, in the layout that is stated, or the model's, or else the only one that fits.

    Args:
        said: options of `own_poses`.

    Raises:
        BadInput: nothing can be read, or the layout cannot be told.
    """
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="skelpipe-")))
    kind: Dataset | str
    if _is_description(raw):
        (kind, raw), searched = _described(raw, first, said), None
    elif (searched := None if said or windows else _named_as_its_own(raw, first)) is not None:
        kind = DATASETS[str(first.facts.dataset["dataset"])]
    else:
        kind = _own_kind(raw, first, said, folder)
    made = ingest(kind, raw, folder / "store", keep_missing=True, progress=progress, searched=searched)
    # Nobody expects labels here, and a model that does not look at confidences does not miss them.
    passed_over = (NO_LABEL, *(() if first.layout.confidence else (WITHOUT,)))
    told = [line for line in made.told if not any(each in line for each in passed_over)]
    told += [f"left out: {each.name}: {each.reason} ({each.detail})" for each in made.faults[:FAULTS_TOLD]]
    if made.dropped:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in made.dropped.items())
        told.append(f"{raw}: left out in all: {counts}")
    for line in told:
        log.warning("%s", line)
    return folder / "store"


def _is_description(raw: Path) -> bool:
    return raw.is_file() and raw.suffix.lower() in SUFFIXES


def _described(path: Path, first: Model, said: Mapping[str, Any]) -> tuple[Dataset, Path]:
    """The data set that a YAML describes, and where its recordings are."""
    described = read_description(path, **said)
    if described.raw is None:
        raise BadInput(path, "does not say where its recordings are", "add raw: FOLDER, or name the folder instead")
    check_layout(first, described.dataset.skeleton)
    return described.dataset, described.raw


def _named_as_its_own(raw: Path, first: Model) -> Searched | None:
    """What a folder or an archive holds of the data set that a model has learnt from; None if nothing is named so."""
    name = str(first.facts.dataset.get("dataset"))
    if name not in DATASETS or not (raw.is_dir() or raw.suffix.lower() == ".zip"):
        return None
    searched = look_for(DATASETS[name], raw, True)
    return searched if searched[0].sources else None


def _own_kind(raw: Path, first: Model, said: Mapping[str, Any], folder: Path) -> Dataset:
    """As what recordings are read that are not named as those of the model's data set."""
    if "layout" not in said:
        said = {**said, "layout": _layout_for(raw, first.layout, folder)}
    layout = find_layout(said["layout"])
    check_layout(first, layout)
    # What somebody says of one set of recordings says nothing of another layout's, nor of another's frame rate.
    of_it = reading_of(first) if layout.joints == first.layout.joints else {}
    stated = {key: value for key, value in of_it.items() if key not in (*said, RATE)}
    if stated:
        read = ", ".join(f"{key} {'x'.join(map(str, v)) if key == 'image' else v}" for key, v in stated.items())
        log.warning("%s: is read as what the model has learnt from: %s", raw, read)
    return own_poses(**{**stated, **said})


def reading_of(model: Model) -> dict[str, Any]:
    """What was stated of the recordings that a model has learnt from, as options of `own_poses`."""
    read = model.facts.read.get(READING) or {}
    said = {key: read[key] for key in ("unit", "up", "image") if key in read}
    return {**said, **({"fps": model.facts.read[RATE]} if RATE in model.facts.read else {})}


def _layout_for(raw: Path, wanted: Layout, folder: Path) -> str:
    """The layout of raw recordings, by name or path: the model's, if they may be of it, or else the one that fits."""
    fit = fitting_layouts(raw, wanted)
    if not fit:
        raise BadInput(raw, "holds no recordings that can be read", "see 'skelpipe inspect' for what is there")
    alike = [each for each in fit[1:] if fit[0] != wanted or each.coordinates == wanted.coordinates]
    others = ", ".join(each.name for each in alike)
    if fit[0] == wanted:
        if others:
            log.warning("%s: joints are taken for the model's %s; %s would fit, too", raw, wanted.name, others)
        if "layout_table" not in attributes_of(wanted):
            return wanted.name
        path = folder / "layout.yaml"
        path.write_text(yaml.safe_dump(wanted.as_table(), allow_unicode=True, sort_keys=False))
        return str(path)
    if others:
        what = f"may be of layout {fit[0].name}, {others}"
        raise BadInput(raw, what, "say which by --layout")
    log.warning("%s: joints are taken for %s, the only layout that fits", raw, fit[0].name)
    # Detectors' confidences are left out only where the model does not look at them.
    return fit[0].name + (CONFIDENCE if wanted.confidence else "")
