"""A run's frozen encoder, and the features it gives."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from skelpipe import settings as checking
from skelpipe.clips.gather import Source
from skelpipe.clips.loading import load_bodies, own_frames
from skelpipe.clips.streams import apply_stream
from skelpipe.clips.views import View, build_view, render_view
from skelpipe.errors import BadInput, refusing
from skelpipe.evaluation.fit import check_fit
from skelpipe.layouts.base import Layout
from skelpipe.methods.network import Network
from skelpipe.outputs.ancestry import DONE, PROVENANCE, read_json
from skelpipe.outputs.checksums import check_files
from skelpipe.outputs.digests import require
from skelpipe.recordings.datasets import Split, find_split, fitting_splits, serves, split_of
from skelpipe.recordings.datasets.own import UNLABELLED
from skelpipe.recordings.datasets.splits import LISTED_SPLIT
from skelpipe.recordings.divisions import divide, tell_list
from skelpipe.recordings.native import Native
from skelpipe.recordings.store import CLIPS_PER_CHUNK, Clips
from skelpipe.training.checkpoint import kept_weights, weights_epoch
from skelpipe.training.device import choose_device
from skelpipe.training.folder import LOG, RECIPE, SETTINGS, WEIGHTS
from skelpipe.training.log import collapsed_at
from skelpipe.training.recipe import Evaluation, Recipe
from skelpipe.training.trained_on import TRAINED_ON

Progress = Callable[[int, int], None]
log = logging.getLogger(__name__)
SCORED_AT_ONCE = 128  # clips
EVALUATED = 0  # the epoch from which an evaluated view draws; training counts from 1


@dataclass(frozen=True)
class Run:
    """A finished pretraining.

    Attributes:
        settings: what `settings.json` holds.
        network: the frozen network on the device, in eval mode; in a run of several streams, that of `stream`.
        stream: what the network is called, and what it is fed unless the recipe's streams have names of their own.
        epoch: how many epochs its weights have seen.
        collapsed: whether the log said so at that epoch.
        cautions: what all its figures on the clips that it was loaded for have to say of their preparation.
    """

    path: Path
    settings: dict[str, Any]
    recipe: Recipe
    network: Network
    device: torch.device
    stream: str
    epoch: int
    collapsed: bool = False
    cautions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Features:
    """Frozen features of a split's clips.

    Attributes:
        name: (N,) clip names.
        label: (N,) classes.
        train: (N,) bool, in the training part of the split (else in the test part); int8 of `embed_all`.
        group: (N,) the person or video a clip belongs to; whole groups are held out for validation.
        feature: (N, D) float32.
        row: (N,) where the clips stand in the clips folder.
    """

    name: npt.NDArray[np.str_]
    label: npt.NDArray[np.int64]
    train: npt.NDArray[Any]
    group: npt.NDArray[Any]
    feature: npt.NDArray[np.float32]
    row: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


def read_stated(run: str | Path) -> Evaluation:
    """How the recipe of a run wants it to be measured; of what is no run, nothing."""
    path = Path(run) / RECIPE
    return checking.check(Recipe, checking.load_yaml(path), path).evaluate if path.is_file() else Evaluation()


def load_run(
    path: str | Path,
    clips: Clips,
    device: str = "auto",
    *,
    stream: str | None = None,
    epoch: int | None = None,
    other_clips: bool = False,
) -> Run:
    """Open a finished RUN and build its query network for the clips' layout.

    Args:
        stream: which network of a run of several streams; else what the run was trained on.
        epoch: one whose weights the recipe's `keep_every` has kept; by default the last. A run that is still trained,
            or was stopped, can be opened at one too.
        other_clips: let clips pass that were prepared otherwise than those that it was trained on.

    Raises:
        BadInput: RUN is not whole, its weights are damaged, it has no such stream or epoch, or the clips have another
            layout or preparation.
    """
    path, settings, recipe = read_run(path, epoch)
    doubts = check_fit(recipe, settings, clips, other_clips)
    return open_run(path, settings, recipe, clips.layout, device, stream, epoch, tuple(doubts))


def read_run(path: str | Path, epoch: int | None = None) -> tuple[Path, dict[str, Any], Recipe]:
    """The folder, settings and recipe of a run that is finished, or has kept an epoch's weights; see `load_run`."""
    path = Path(path)
    if epoch is None or not going_on_with(path):
        path = require(
            path, "run", "finish it with 'skelpipe pretrain', or choose an epoch that it has kept by --epoch"
        )
    check_files(path, lambda name: name in (SETTINGS, RECIPE, LOG, TRAINED_ON), "train this run again")
    try:
        settings = json.loads((path / SETTINGS).read_text())
    except (OSError, ValueError) as error:
        raise BadInput(path / SETTINGS, f"cannot be read ({error})", "train this run again") from None
    return path, settings, checking.check(Recipe, checking.load_yaml(path / RECIPE), path / RECIPE)


def open_run(
    path: Path,
    settings: dict[str, Any],
    recipe: Recipe,
    layout: Layout,
    device: str = "auto",
    stream: str | None = None,
    epoch: int | None = None,
    doubts: tuple[str, ...] = (),
) -> Run:
    """Build the query network of a run for a layout; see `load_run`."""
    stream = find_stream(path, recipe, settings, stream)
    weights, epoch = find_weights(path, settings, epoch)
    check_files(path, weights.name, "train this run again")
    evaluated: Any = recipe.build_method(layout, split_of(settings).classes).evaluated
    with refusing(weights, "cannot be loaded", "train this run again"):
        from safetensors.torch import load_file

        evaluated.load_state_dict(load_file(weights))
    log.info("run %s: recipe %s, %s", path, recipe.name, f"pretrained on {settings['split']}, seed {settings['seed']}")
    log.info("weights %s, of epoch %d; stream %s", weights.name, epoch, stream)
    network = evaluated[stream] if recipe.streams else evaluated
    place = choose_device(device)
    network = network.to(place).eval().requires_grad_(False)
    return Run(path, settings, recipe, network, place, stream, epoch, collapsed_at(path, epoch), doubts)


def going_on_with(path: Path) -> bool:
    """Whether this is a run that is not at its end."""
    return read_json(path / PROVENANCE).get("kind") == "run" and not (path / DONE).exists()


def find_stream(path: Path, recipe: Recipe, settings: Mapping[str, Any], stream: str | None) -> str:
    """The stream that is asked for, or the only one that there is."""
    known = recipe.streams or (str(settings["stream"]),)
    if stream is None and len(known) > 1:
        raise BadInput(path, f"holds {', '.join(known)}", "choose one by --stream")
    if stream is not None and stream not in known:
        raise BadInput(f"--stream {stream}", f"{path} was trained on {', '.join(known)}", "choose another run")
    return stream or known[0]


def find_weights(path: Path, settings: Mapping[str, Any], epoch: int | None) -> tuple[Path, int]:
    """The weights of an epoch, and that epoch."""
    last, ended = weights_epoch(path / WEIGHTS) or int(settings["epochs"]), (path / DONE).exists()
    if epoch in (None, last) and ended:
        return path / WEIGHTS, last
    kept = sorted(int(file.stem.removeprefix("weights-")) for file in path.glob("weights-*.safetensors"))
    if epoch not in kept:
        there = ", ".join(map(str, dict.fromkeys((*kept, last) if ended else kept)))
        what = f"has no weights of it, but of {there}" if there else "has kept no weights so far"
        if ended:
            raise BadInput(f"--epoch {epoch}", f"{path} {what}", "set keep_every in the recipe, and train it again")
        remedy = "choose one of these" if there else "finish it with 'skelpipe pretrain'"
        raise BadInput(f"--epoch {epoch}", f"{path} is not at its end; it {what}", remedy)
    return path / kept_weights(epoch), epoch


def choose_split(run: Run, clips: Clips, split: str | None) -> Split:
    """The split that is asked for, or the run's own if these clips can serve it."""
    if split is not None:
        found, how = find_split(split, clips.about), "as asked"
    else:
        own, how = str(run.settings["split"]), "that of the run"
        if LISTED_SPLIT not in run.settings and not serves(own, clips.about, clips.columns):
            fitting = ", ".join(fitting_splits(clips.about, clips.columns)) or "state one, such as subject:1-20"
            what = f"holds clips of {clips.dataset}, which the run's own split {own} does not divide"
            raise BadInput(clips.path, what, f"choose one by --split: {fitting}")
        found = find_split(own, clips.about, run.settings.get(LISTED_SPLIT))
    tell_list(found, clips)
    log.info("split %s (%s): %s", found.name, how, found.title)
    return found


def embed(
    run: Run, clips: Clips, split: Split, progress: Progress | None = None, only: Sequence[int] | None = None
) -> Features:
    """Features of all clips in a split: eval mode, the view that the recipe evaluates, the run's stream.

    Args:
        only: the labels of the classes whose clips are meant; None: all.
    """
    train, test = divide(split, clips)
    labelled = clips.labels != UNLABELLED
    train, test = train & labelled, test & labelled
    if only is not None:
        train, test = (mask & np.isin(clips.labels, only) for mask in (train, test))
    rows = np.flatnonzero(train | test)
    left = len(train) - len(rows)
    log.info("clips to embed: %d to train on and %d to test; %d are in neither part", train.sum(), test.sum(), left)
    return _features(run, clips, rows, train, progress)


def embed_all(run: Run, clips: Clips, split: Split | None, progress: Progress | None = None) -> Features:
    """Features of all clips, in a split or not; their `train` is 1, 0 to test, and -1 in neither part: int8."""
    part = np.full(len(clips), -1, np.int8)
    if split is not None:
        train, test = divide(split, clips)
        part[train], part[test] = 1, 0
    rows = np.arange(len(clips))
    log.info("clips to embed: all %d, %d of them in neither part of a split", len(rows), (part < 0).sum())
    return _features(run, clips, rows, part, progress)


def _features(
    run: Run, clips: Clips, rows: npt.NDArray[np.int64], part: npt.NDArray[Any], progress: Progress | None
) -> Features:
    """Those of the clips `rows`; `part` says of each clip of the folder on which side it is."""
    group = clips.columns[clips.about.group]
    feature = encode(run, clips, rows, progress)
    return Features(clips.columns["name"][rows], clips.labels[rows], part[rows], group[rows], feature, rows)


@torch.no_grad()
def encode(
    run: Run,
    clips: Clips,
    rows: npt.NDArray[np.int64],
    progress: Progress | None = None,
    view: View | None = None,
    epoch: int = EVALUATED,
) -> npt.NDArray[np.float32]:
    """The encoder's features of the clips `rows`, read and embedded a block at a time: (n, D) float32.

    `view` and `epoch` are as of `evaluated_clips`.
    """
    # Made before anything is embedded: small results between large intermediate ones would split the heap into holes.
    size: int = run.network.encoder.features  # type: ignore[assignment]
    segments = run.recipe.evaluate.segments
    out, done = np.empty((len(rows), size * segments), np.float32), 0
    for some, lengths in evaluated_some(run, clips, rows, None, view, epoch, progress):
        found = run.network.segments(some, segments, lengths).float().cpu().numpy()
        out[done : done + len(found)] = found
        done += len(found)
    return out


def evaluated_some(
    run: Run,
    clips: Clips,
    rows: npt.NDArray[np.int64],
    threads: int | None = None,
    view: View | None = None,
    epoch: int = EVALUATED,
    progress: Progress | None = None,
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Clips and lengths as of `evaluated_clips`, as many as are embedded at once, on the run's device."""
    block, valid = CLIPS_PER_CHUNK * 8, own_frames(clips, rows)
    for start in range(0, len(rows), block):
        now = slice(start, start + block)
        own = None if valid is None else valid[now]
        data, lengths = evaluated_clips(run, clips, rows[now], own, threads, view, epoch)
        for first in range(0, len(data), CLIPS_PER_CHUNK):
            some = slice(first, first + CLIPS_PER_CHUNK)
            part = torch.from_numpy(data[some]).to(run.device)
            yield part, None if lengths is None else lengths[some].to(run.device)
        if progress is not None:
            progress(min(start + block, len(rows)), len(rows))


def evaluated_clips(
    run: Run,
    clips: Clips,
    rows: npt.NDArray[np.int64],
    valid: npt.NDArray[np.int64] | None,
    threads: int | None = None,
    view: View | None = None,
    epoch: int = EVALUATED,
) -> tuple[npt.NDArray[np.float32], Tensor | None]:
    """The clips `rows` as they are embedded: in the view that the recipe evaluates, and the run's stream.

    What a view draws, it draws once for every clip and epoch, from the run's seed.

    Args:
        valid: (n,) how many of their frames are the clips' own, as of `own_frames`.
        view: another view than the recipe's, as it is drawn in `epoch`.

    Returns:
        (n, C, T, V, M), and how many frames of each are its own, (n,), or None where all are.

    Raises:
        BadInput: the view does not fit the clips.
    """
    data, seed = load_bodies(clips, rows, run.recipe.bodies), int(run.settings["seed"])
    return as_evaluated(run.recipe, run.stream, seed, data, rows, valid, clips.layout, threads, view, epoch)


def as_evaluated(
    recipe: Recipe,
    stream: str,
    seed: int,
    data: Source,
    numbers: npt.NDArray[np.int64],
    valid: npt.NDArray[np.int64] | None,
    layout: Layout,
    threads: int | None = None,
    view: View | None = None,
    epoch: int = EVALUATED,
) -> tuple[npt.NDArray[np.float32], Tensor | None]:
    """The same of clips in memory, the bodies that the recipe sees, which may be changed; `numbers` (n,) draw."""
    told = f"recipe {recipe.name}: evaluate.view" if view is None else "the protocol's view"
    view, stream = build_view(recipe.evaluate.view) if view is None else view, recipe.rendered(stream)
    view.check_start(data, told)
    if not view.steps and valid is None and not isinstance(data, Native):
        return apply_stream(data, stream, layout, out=data, threads=threads), None
    here = np.arange(len(numbers))
    made = render_view(data, here, numbers, view, stream, layout, seed, epoch, 0, threads=threads, valid=valid)
    return made.clips, None if made.lengths is None else torch.from_numpy(made.lengths)


@torch.no_grad()
def score_clips(
    network: Network, made: npt.NDArray[np.float32], lengths: Tensor | None, device: torch.device
) -> npt.NDArray[np.float32]:
    """A classifier's scores of clips and lengths as of `evaluated_clips`, some at a time: (n, classes) float32."""
    parts = [network.scores(x, own).float().cpu() for x, own in some_at_a_time(made, lengths, device)]
    scores: npt.NDArray[np.float32] = torch.cat(parts).numpy()
    return scores


def some_at_a_time(
    made: npt.NDArray[np.float32], lengths: Tensor | None, device: torch.device
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Clips and lengths as of `evaluated_clips`, as many as are scored at once, on the device."""
    for start in range(0, max(1, len(made)), SCORED_AT_ONCE):
        some = slice(start, start + SCORED_AT_ONCE)
        own = None if lengths is None else lengths[some].to(device)
        yield torch.from_numpy(made[some]).to(device), own
