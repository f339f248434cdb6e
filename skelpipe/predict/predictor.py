"""Recordings or clips -> probabilities of classes, by one model or by several together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from skelpipe.clips.gather import Source
from skelpipe.clips.loading import load_bodies, own_frames
from skelpipe.clips.prepare import Maker
from skelpipe.errors import BadInput
from skelpipe.evaluation.features import as_evaluated, some_at_a_time
from skelpipe.evaluation.fuse import stream_weights
from skelpipe.evaluation.models import check_clips
from skelpipe.layouts import attributes_of
from skelpipe.layouts.base import Layout
from skelpipe.layouts.mapping import find_mapping, map_joints
from skelpipe.predict.pieces import Piece, as_ragged
from skelpipe.recordings.native import Native, gather
from skelpipe.recordings.store import Clips, read_array
from skelpipe.training.confidence import combined, need_distance, need_temperature
from skelpipe.training.device import choose_device
from skelpipe.training.model import Model
from skelpipe.training.preparation import preparation_noted

Floats = npt.NDArray[np.float64]
STORE = "give the store itself, which is mapped and prepared"
Said = tuple[Tensor, Tensor]  # scores (n, K) and features (n, D)


@dataclass(frozen=True)
class Scored:
    """What models say of some pieces or clips.

    Attributes:
        probability: (n, K) float64, rows that sum to 1.
        seen: (n,) whether anybody is to be seen; where nobody is, the probabilities say nothing.
        refused: (n,) whether it is rather none of the classes: farther from them than the share that may be refused
            of the known ones, for every model. None: that was not asked for.
    """

    probability: Floats
    seen: npt.NDArray[np.bool_]
    refused: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class _Kind:
    """The models that see clips of one preparation and layout, by their places."""

    layout: Layout
    prepared: dict[str, object]
    models: tuple[int, ...]


class Predictor:
    """Tells the classes of recordings by one model, or by the weighted mean of several models' scores.

    The softmax of (sum of w_i s_i) / (sum of w_i) over the models' scores s_i are the probabilities, or of
    `confidence.combined`.

    Attributes:
        told: what is to be told of the inputs so far, in lines; a dict for its order.

    Args:
        models: of the same classes.
        weights: one a model; by default 1, and of several models those of their streams, as `skelpipe fuse` has them.
        threads: of the kernels that prepare clips; None takes all cores.
        calibrated: divide each model's scores by its temperature.
        reject: how large a share of clips of known classes may be refused as none of them; None refuses nothing.

    Raises:
        BadInput: the models tell different classes, the weights cannot be used, or a model does not know its
            temperature or how far is too far.
    """

    def __init__(
        self,
        models: Sequence[Model],
        weights: Sequence[float] | None = None,
        *,
        device: str = "auto",
        threads: int | None = None,
        calibrated: bool = False,
        reject: float | None = None,
    ) -> None:
        check_alike(models)
        self.temperatures = [need_temperature(model) for model in models] if calibrated else None
        distances = () if reject is None else map(need_distance, models)
        self.limits = [] if reject is None else [(each, each.threshold(reject)) for each in distances]
        self.models, self.weights = list(models), [1.0]
        if len(models) > 1 or weights is not None:
            streams = [model.facts.stream for model in models]
            self.weights = stream_weights(streams, weights, "predict", "model")
        self.device, self.threads, self.told = choose_device(device), threads, dict[str, None]()
        for model in models:
            model.classifier.to(self.device)
        found: dict[str, list[int]] = {}
        for place, model in enumerate(models):
            key = json.dumps([model.facts.prepared, attributes_of(model.layout)], sort_keys=True, default=str)
            found.setdefault(key, []).append(place)
        self.kinds = [_Kind(models[p[0]].layout, models[p[0]].facts.prepared, tuple(p)) for p in found.values()]
        self._makers: dict[tuple[int, bool], Maker] = {}

    def __getstate__(self) -> dict[str, object]:
        """All but what is made again when it is needed, whose kernels cannot be pickled."""
        return {**self.__dict__, "_makers": {}}

    @property
    def classes(self) -> tuple[str, ...]:
        """What probabilities are of, in order."""
        return self.models[0].facts.classes

    def score(self, pieces: Sequence[Piece], layout: Layout, numbers: Sequence[int], relative: bool = False) -> Scored:
        """What the models say of recordings of one layout.

        Args:
            numbers: from which of an evaluated view what is drawn follows, one a piece.
            relative: whether bodies are told from one of their joints, as `conventions.folders.is_relative` says.

        Raises:
            BadInput: a layout cannot be mapped to a model's, or a model's clips cannot be made.
        """
        drawn = np.asarray(numbers, np.int64)
        said: dict[int, Said] = {}
        seen = np.zeros(len(pieces), np.bool_)
        for place, kind in enumerate(self.kinds):
            data, valid, shown = self.prepared(pieces, layout, relative, place)
            seen |= shown
            for number in kind.models:
                said[number] = self._scores(self.models[number], data, drawn, valid)
        return self._fused([said[number] for number in range(len(self.models))], seen)

    def score_clips(self, clips: Clips, rows: npt.NDArray[np.int64]) -> Scored:
        """What the models say of clips that are prepared already, of which `check_clips` has said that they fit."""
        valid, said = own_frames(clips, rows), list[Said]()
        for model in self.models:
            data = load_bodies(clips, rows, model.recipe.bodies)
            said.append(self._scores(model, data, rows, valid))
        return self._fused(said, read_array(clips.group, "length")[rows] > 0)

    def score_prepared(self, data: Source, valid: npt.NDArray[np.int64] | None, seen: npt.NDArray[np.bool_]) -> Scored:
        """The same of clips in memory, (n, C, T, V, M) or of their own lengths; `valid` as of `own_frames`."""
        drawn = np.arange(len(data))
        return self._fused([self._scores(model, data, drawn, valid) for model in self.models], seen)

    def check_clips(self, clips: Clips) -> None:
        """Raise BadInput unless clips have the layout and the preparation that every model needs."""
        for model in self.models:
            check_clips(model, clips, STORE)

    def prepared(
        self, pieces: Sequence[Piece], layout: Layout, relative: bool = False, place: int = 0
    ) -> tuple[Source, npt.NDArray[np.int64] | None, npt.NDArray[np.bool_]]:
        """Clips of the pieces for a kind of model, how many frames are their own, and whether they show anybody."""
        kind = self.kinds[place]
        maker = self._makers.get((place, relative))
        if maker is None:
            how = preparation_noted(kind.prepared, self.models[kind.models[0]].path)
            maker = self._makers[place, relative] = Maker(how, kind.layout, self.threads, relative=relative)
        ragged = as_ragged([self._mapped(piece, layout, kind) for piece in pieces], kind.layout)
        values, length, valid, _ = maker.block(ragged)
        shown = np.asarray(length) > 0
        if maker.how.frames is None:
            offset = np.concatenate([[0], np.cumsum(valid, dtype=np.int64)])
            channels, joints, bodies = maker.chain.tail
            made = gather(lambda rows: values[rows], offset, np.arange(len(pieces)), (channels, joints, bodies), "f4")
            return made, None, shown
        own = np.broadcast_to(np.asarray(valid, np.int64), (len(pieces),))
        whole = not maker.chain.fills or bool((own == maker.how.frames).all())
        return values, None if whole else np.ascontiguousarray(own), shown

    def _mapped(self, piece: Piece, source: Layout, kind: _Kind) -> Piece:
        """The piece in the layout of a kind of model."""
        target = kind.layout
        if source == target:
            return piece
        missing = "refuse"
        check_layout(self.models[kind.models[0]], source)
        try:
            find_mapping(source, target)
        except BadInput:
            missing = "nearest"
        joints, mapping = map_joints(piece.joints, source, target, missing)
        said = f"joints of {source.name} are mapped to {target.name}"
        said += f"; means of others: {', '.join(mapping.interpolated)}" if mapping.interpolated else ""
        said += f"; the nearest stand in for: {', '.join(mapping.stand_ins)}" if mapping.stand_ins else ""
        said += "; each counts as found, confidence 1" if target.confidence and not source.confidence else ""
        if source.joints != target.joints or (target.confidence and not source.confidence):
            self.tell(said)
        if source.coordinates > target.coordinates:
            self.tell("seen from the front; people who turn look otherwise than in a picture")
        return replace(piece, joints=joints)

    def tell(self, *said: str) -> None:
        """Note what is to be told of the inputs, each line once."""
        self.told |= dict.fromkeys(said)

    @torch.no_grad()
    def _scores(
        self, model: Model, data: Source, numbers: npt.NDArray[np.int64], valid: npt.NDArray[np.int64] | None
    ) -> Said:
        """A model's scores (n, K) and features (n, D) of clips, float64 on the CPU."""
        facts, recipe = model.facts, model.recipe
        # Several models look at the same clips, and some views change what they are given.
        kept = data.bodies_kept(recipe.bodies) if isinstance(data, Native) else data[..., : recipe.bodies].copy()
        made, lengths = as_evaluated(recipe, facts.stream, facts.seed, kept, numbers, valid, model.layout, self.threads)
        parts = [model.classifier(x, own) for x, own in some_at_a_time(made, lengths, self.device)]
        scores, features = (torch.cat(each).double().cpu() for each in zip(*parts, strict=True))
        return scores, features

    def _fused(self, said: Sequence[Said], seen: npt.NDArray[np.bool_]) -> Scored:
        """What all models say together."""
        scores = [each for each, _ in said]
        if self.temperatures is None:
            total = sum(w * s for w, s in zip(self.weights, scores, strict=True)) / sum(self.weights)
        else:
            total = combined(scores, self.weights, self.temperatures)
        assert isinstance(total, Tensor)
        refused: npt.NDArray[np.bool_] | None = None
        if self.limits:
            pairs = zip(self.limits, said, strict=True)
            refused = np.logical_and.reduce([(d.of(h) > limit).numpy() for (d, limit), (_, h) in pairs])
        finite = total.isfinite().all(dim=1).numpy()
        if not finite.all():
            self.tell(f"{(~finite).sum():,} gave no finite scores: their coordinates are far too large; see --unit")
        return Scored(total.softmax(dim=1).numpy(), seen & finite, refused)


def check_alike(models: Sequence[Model]) -> None:
    """Raise BadInput unless models tell the same classes."""
    first = models[0]
    for other in models[1:]:
        if other.facts.classes != first.facts.classes:
            what = f"tells {len(other.facts.classes)} classes, other ones than {first.path}"
            if len(other.facts.classes) != len(first.facts.classes):
                what = f"tells {len(other.facts.classes)} classes, and {first.path} {len(first.facts.classes)}"
            raise BadInput(other.path, what, "fuse models of the same classes")


def check_layout(model: Model, layout: Layout) -> None:
    """Raise BadInput unless joints of a layout can be mapped to a model's, as `Predictor.score` does it."""
    if layout == model.layout:
        return
    if layout.coordinates < model.layout.coordinates:
        what = f"has learnt from {model.layout.name}, in space, and {layout.name} lies in a picture, without depth"
        raise BadInput(model.path, what, "give it recordings in space, or another model")
    if layout.coordinates > model.layout.coordinates and not scales(model):
        what = f"has learnt from {model.layout.name}, in pixels of a picture, and {layout.name} is in metres, in space"
        raise BadInput(model.path, what, "give it poses in a picture, as of 'skelpipe poses --points image'")
    try:
        find_mapping(layout, model.layout, "nearest")
    except BadInput as error:
        what = f"has learnt from {model.layout.name}, to which {layout.name} cannot be mapped: {error.what}"
        raise BadInput(model.path, what, f"give it recordings of {model.layout.name}, or another model") from None


def scales(model: Model) -> bool:
    """Whether a model's clips are brought to one size, whatever the unit of recordings."""
    return preparation_noted(model.facts.prepared, model.path).choice("scale") != "none"


def describe(model: Model) -> str:
    """A model in a few words."""
    facts = model.facts
    return (
        f"{facts.recipe.get('name')}, {facts.stream}, {facts.protocol}: {len(facts.classes)} classes, "
        f"layout {model.layout.name}, {facts.prepared['frames']} frames"
    )
