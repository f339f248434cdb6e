"""Predictions on whatever is given: clips, stores, raw recordings; whole, person by person or in windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.outputs.digests import read_kind
from skelpipe.predict.find import KINDS
from skelpipe.predict.inputs import Asked, ingested, labels_of, open_store, reading_of
from skelpipe.predict.live import Live, is_live, open_live, pieces_of, videos_in
from skelpipe.predict.pieces import Piece, by_person
from skelpipe.predict.predictor import Predictor, Scored
from skelpipe.recordings.datasets.recording import RATE
from skelpipe.recordings.divisions import divide
from skelpipe.recordings.poses.classes import classes_of
from skelpipe.recordings.store import CLIPS_PER_CHUNK, Clips

AT_ONCE = CLIPS_PER_CHUNK  # pieces that are prepared and scored together
LIVE = "live"  # a kind of input: what is read frame by frame


@dataclass(frozen=True)
class Prediction:
    """What is said of one piece.

    Attributes:
        clip: the recording's name.
        start, stop: its frames in the recording; None of clips that were prepared before.
        person: whose frames they are; None: of all people.
        label: its class by name, where it is known.
        probability: (K,) float64, of the classes; None where nobody is to be seen.
        fps: frames per second of the recording, where they are known.
        refused: whether it is rather none of the classes; None: that was not asked for.
        unseen: which share of its joints was not seen, in frames without anybody all of them.
    """

    clip: str
    start: int | None
    stop: int | None
    person: int | None
    label: str | None
    probability: npt.NDArray[np.float64] | None
    fps: float | None = None
    refused: bool | None = None
    unseen: float = 0.0

    def top(self, count: int) -> list[int]:
        """The places of the classes that are the most probable, the first ones first."""
        assert self.probability is not None
        return [int(n) for n in np.argsort(-self.probability, kind="stable")[:count]]


Progress = Callable[..., None]


def predict(
    predictor: Predictor, inputs: Sequence[str | Path], asked: Asked, progress: Progress | None = None
) -> Iterator[list[Prediction]]:
    """Predictions on all inputs, some at a time, in their order.

    Args:
        inputs: folders of clips or stores of ours; raw recordings: a file, a folder, an archive, or a YAML that
            describes them; videos; or - for frames that are piped in.
        progress: called with (recordings or clips done, all of this input).

    Raises:
        BadInput: an input cannot be read, or does not fit the models.
    """
    # All of them, before hours are spent on the first.
    paths = [path for each in inputs for path in videos_in(Path(each))]
    kinds = [_kind_of(path, asked) for path in paths]
    for path, kind in zip(paths, kinds, strict=True):
        yield from _of_input(predictor, path, kind, asked, progress)


def _kind_of(path: Path, asked: Asked) -> str | None:
    """Of what kind an input is, as `read_kind` has it, or LIVE; raises BadInput if it is of none that can be read."""
    live = is_live(path, asked)
    if not live and not path.exists():
        raise BadInput(path, "does not exist", "name recordings, a store or clips")
    kind = LIVE if live else read_kind(path)
    if kind in KINDS:
        raise BadInput(path, "is a model, behind what is to be predicted", "name models first, then inputs")
    if kind not in (None, LIVE, "raw", "store", "clips"):
        raise BadInput(path, f"is a folder of kind {kind!r}", "give recordings, a store or clips")
    if live and asked.split is not None:
        what = f"chooses recordings by what is known of them, and {path} is read frame by frame"
        raise BadInput(f"--split {asked.split}", what, "leave it out")
    return kind


def _of_input(
    predictor: Predictor, path: Path, kind: str | None, asked: Asked, progress: Progress | None
) -> Iterator[list[Prediction]]:
    if kind == "clips":
        yield from of_clips(predictor, path, asked, progress)
    elif kind == "store":
        yield from of_store(predictor, path, asked, progress)
    elif kind == LIVE:
        with open_live(path, predictor.models[0], asked) as opened:
            yield from of_frames(predictor, opened, asked, progress)
    else:
        with ExitStack() as stack:
            windowed, first = asked.windows is not None, predictor.models[0]
            store = ingested(path, first, asked.said, windowed, stack, progress)
            yield from of_store(predictor, store, asked, progress, reading_of(first).get(RATE))


def of_store(
    predictor: Predictor, path: Path, asked: Asked, progress: Progress | None = None, usual: float | None = None
) -> Iterator[list[Prediction]]:
    """What the models say of the recordings of a store; `usual` frames per second where it states none."""
    opened = open_store(path, asked.split)
    if opened.fps is None and usual is not None:
        predictor.tell(
            f"seconds are of {usual:g} frames each, as in what the model has learnt from; --fps says otherwise"
        )
    opened = replace(opened, fps=opened.fps or usual, labels=classes_meant(opened.labels, predictor))
    names, made = set[str](), 0
    for some in _some(_split_up(opened.pieces(asked.windows), asked), AT_ONCE):
        yield of_pieces(predictor, some, opened.layout, made, opened.relative, opened.fps)
        made += len(some)
        names.update(piece.name for piece in some)
        if progress is not None:
            progress(len(names), opened.count)


def classes_meant(labels: Sequence[str | None], predictor: Predictor) -> list[str | None]:
    """Labels that are numbers as the classes of the models, where these have names and all are told; else as they are.

    Numbers are counted as `skelpipe ingest` counts them along the names of classes, which is told.
    """
    facts = predictor.models[0].facts
    given = sorted({each for each in labels if each is not None})
    whole = facts.numbers == tuple(range(len(facts.classes)))
    if not given or not whole:
        return list(labels)
    try:
        found = classes_of(given, facts.classes)
    except BadInput:
        return list(labels)
    predictor.tell(*found.told)
    return [None if each is None else facts.classes[found.number[each]] for each in labels]


def of_frames(
    predictor: Predictor, live: Live, asked: Asked, progress: Progress | None = None
) -> Iterator[list[Prediction]]:
    """What the models say of a recording whose frames come one after the other.

    Of one that is followed, what is said of a window is given as soon as it is whole. How frames were understood, and
    that the recording has ended within one, is told by the predictor.

    Raises:
        BadInput: a frame is damaged; what is said of windows before it was given.
    """
    pieces = _split_up(pieces_of(live, asked.windows, predictor.tell, progress), asked)
    made = 0
    for some in _some(pieces, 1 if live.follows else AT_ONCE):
        predictor.tell(*live.told())
        yield of_pieces(predictor, some, live.layout, made, live.relative, live.fps)
        made += len(some)
    predictor.tell(*live.told())


def _split_up(pieces: Iterable[Piece], asked: Asked) -> Iterator[Piece]:
    for piece in pieces:
        yield from by_person(piece) if asked.each_person else [piece]


def _some(pieces: Iterable[Piece], count: int) -> Iterator[list[Piece]]:
    pieces = iter(pieces)
    while some := list(islice(pieces, count)):
        yield some


def of_pieces(
    predictor: Predictor,
    pieces: Sequence[Piece],
    layout: Layout,
    first: int = 0,
    relative: bool = False,
    fps: float | None = None,
) -> list[Prediction]:
    """What the models say of pieces of one layout, the first of which is piece number `first` of its input."""
    found = predictor.score(pieces, layout, range(first, first + len(pieces)), relative)
    return [
        Prediction(p.name, p.start, p.start + p.frames, p.person, p.label, probability, fps, refused, p.unseen)
        for p, (probability, refused) in zip(pieces, _each(found), strict=True)
    ]


def _each(found: Scored) -> Iterator[tuple[npt.NDArray[np.float64] | None, bool | None]]:
    """The probabilities of each piece, None where nobody is seen, and whether it is refused."""
    for n, there in enumerate(found.seen.tolist()):
        yield (found.probability[n] if there else None), (None if found.refused is None else bool(found.refused[n]))


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
            Prediction(str(names[n]), None, None, None, labels[n], probability, None, refused)
            for n, (probability, refused) in zip(some.tolist(), _each(found), strict=True)
        ]
        if progress is not None:
            progress(min(start + block, len(rows)), len(rows))
