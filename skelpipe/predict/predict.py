"""Predictions on whatever is given: clips, stores, raw recordings; whole, person by person or in windows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.outputs.digests import read_kind
from skelpipe.predict.inputs import ingested, labels_of, open_store
from skelpipe.predict.pieces import Piece, Rolling, Windows, by_person
from skelpipe.predict.predictor import Predictor
from skelpipe.recordings.divisions import divide
from skelpipe.recordings.store import CLIPS_PER_CHUNK, Clips

log = logging.getLogger(__name__)
AT_ONCE = CLIPS_PER_CHUNK  # pieces that are prepared and scored together


@dataclass(frozen=True)
class Prediction:
    """What is said of one piece.

    Attributes:
        clip: the recording's name.
        start, stop: its frames in the recording; None of clips that were prepared before.
        person: whose frames they are; None: of all people.
        label: its class by name, where it is known.
        probability: (K,) float64, of the classes; None where nobody is to be seen.
    """

    clip: str
    start: int | None
    stop: int | None
    person: int | None
    label: str | None
    probability: npt.NDArray[np.float64] | None

    def top(self, count: int) -> list[int]:
        """The places of the classes that are the most probable, the first ones first."""
        assert self.probability is not None
        return [int(n) for n in np.argsort(-self.probability, kind="stable")[:count]]


@dataclass(frozen=True)
class Asked:
    """How inputs are looked at.

    Attributes:
        windows: cut recordings into windows; None: whole.
        each_person: one prediction a person.
        split: of stores and clips, only the test clips of this split.
        said: how raw recordings are to be read, options of `own_poses`.
    """

    windows: Windows | None = None
    each_person: bool = False
    split: str | None = None
    said: Mapping[str, Any] = field(default_factory=dict)


class FrameLike(Protocol):
    """A frame of a recording that comes frame by frame; see `Rolling.add`."""

    number: int
    joints: npt.NDArray[np.float32]
    body: npt.NDArray[np.int64]


Progress = Callable[..., None]


def predict(
    predictor: Predictor, inputs: Sequence[str | Path], asked: Asked, progress: Progress | None = None
) -> Iterator[list[Prediction]]:
    """Predictions on all inputs, some at a time, in their order.

    Args:
        inputs: folders of clips or stores of ours, or raw recordings: a file, a folder, an archive, or a YAML that
            describes them.
        progress: called with (recordings or clips done, all of this input).

    Raises:
        BadInput: an input cannot be read, or does not fit the models.
    """
    for path in map(Path, inputs):
        yield from _of_input(predictor, path, asked, progress)


def _of_input(predictor: Predictor, path: Path, asked: Asked, progress: Progress | None) -> Iterator[list[Prediction]]:
    if not path.exists():
        raise BadInput(path, "does not exist", "name recordings, a store or clips")
    kind = read_kind(path)
    if kind == "clips":
        yield from of_clips(predictor, path, asked, progress)
        return
    if kind not in (None, "raw", "store"):
        raise BadInput(path, f"is a folder of kind {kind!r}", "give recordings, a store or clips")
    with ExitStack() as stack:
        if kind != "store" and asked.split is not None:
            raise BadInput(f"--split {asked.split}", f"chooses clips of a store, and {path} is none", "leave it out")
        windowed = asked.windows is not None
        store = path if kind == "store" else ingested(path, predictor.models[0], asked.said, windowed, stack, progress)
        opened = open_store(store, asked.split)
        done, made, last = 0, 0, None
        for some in _some(_split_up(opened.pieces(asked.windows), asked), AT_ONCE):
            yield of_pieces(predictor, some, opened.layout, made, opened.relative)
            made += len(some)
            done += sum(a != b for a, b in zip([last, *(p.name for p in some)], (p.name for p in some), strict=False))
            last = some[-1].name
            if progress is not None:
                progress(done, opened.count)


def _split_up(pieces: Iterable[Piece], asked: Asked) -> Iterator[Piece]:
    for piece in pieces:
        yield from by_person(piece) if asked.each_person else [piece]


def _some(pieces: Iterable[Piece], count: int) -> Iterator[list[Piece]]:
    pieces = iter(pieces)
    while some := list(islice(pieces, count)):
        yield some


def of_pieces(
    predictor: Predictor, pieces: Sequence[Piece], layout: Layout, first: int = 0, relative: bool = False
) -> list[Prediction]:
    """What the models say of pieces of one layout, the first of which is piece number `first` of its input."""
    found = predictor.score(pieces, layout, range(first, first + len(pieces)), relative)
    return [
        Prediction(piece.name, piece.start, piece.start + piece.frames, piece.person, piece.label, p if there else None)
        for piece, p, there in zip(pieces, found.probability, found.seen, strict=True)
    ]


def of_clips(
    predictor: Predictor, path: Path, asked: Asked, progress: Progress | None = None
) -> Iterator[list[Prediction]]:
    """What the models say of clips that are prepared already.

    Raises:
        BadInput: they do not fit the models, or were asked for by window or person, which only recordings have.
    """
    for wanted, option in ((asked.windows is not None, "--window"), (asked.each_person, "--each-person")):
        if wanted:
            raise BadInput(option, f"needs whole recordings, and {path} holds prepared clips", "give the store")
    clips = Clips(path)
    predictor.check_clips(clips)
    rows = np.arange(len(clips))
    if asked.split is not None:
        rows = np.flatnonzero(divide(asked.split, clips, ("test",))[1])
    labels, names = labels_of(clips.about, clips.labels), clips.columns["name"]
    block = CLIPS_PER_CHUNK * 8
    for start in range(0, len(rows), block):
        some = rows[start : start + block]
        found = predictor.score_clips(clips, some)
        yield [
            Prediction(str(names[n]), None, None, None, labels[n], p if there else None)
            for n, p, there in zip(some.tolist(), found.probability, found.seen, strict=True)
        ]
        if progress is not None:
            progress(min(start + block, len(rows)), len(rows))


def of_frames(
    predictor: Predictor, name: str, frames: Iterable[FrameLike], layout: Layout, asked: Asked
) -> Iterator[list[Prediction]]:
    """What the models say of windows of frames that come one after the other, as soon as each window is whole."""
    assert asked.windows is not None
    rolling = Rolling(name, asked.windows, len(layout.joints), layout.channels)

    def windows() -> Iterator[Piece]:
        for frame in frames:
            yield from rolling.add(frame.number, frame.joints, frame.body)
        yield from rolling.end()

    made = 0
    for piece in windows():
        some = list(by_person(piece)) if asked.each_person else [piece]
        yield of_pieces(predictor, some, layout, made)
        made += len(some)
