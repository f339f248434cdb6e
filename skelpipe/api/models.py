"""Trained encoders and classifiers, called with arrays."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from skelpipe.api.arrays import as_batch, numbers_of
from skelpipe.api.folders import Clips, PathLike, Recording, Store
from skelpipe.api.given import Some, as_given, blocks_of, in_blocks, is_recorded, joined, opened, rows_of
from skelpipe.api.names import get_layout
from skelpipe.api.shown import Shown, as_text, best_table, counted, occurring
from skelpipe.clips.loading import load_bodies, own_frames
from skelpipe.errors import BadInput
from skelpipe.evaluation.features import as_evaluated, read_run, some_at_a_time
from skelpipe.evaluation.models import encoder_of_run
from skelpipe.exchange.onnx.session import FEATURES, SCORES, Session
from skelpipe.layouts.base import Layout
from skelpipe.outputs.digests import read_kind
from skelpipe.predict.find import ONNX, find_models
from skelpipe.predict.predictor import Predictor, Scored
from skelpipe.recordings.native import Native
from skelpipe.training.classifier import has_classifier
from skelpipe.training.model import Model as Kept

if TYPE_CHECKING:
    import pandas as pd

Arrays = npt.NDArray[Any] | Tensor
Given = Arrays | Recording | Sequence[Arrays | Recording] | Clips | Store | PathLike


@dataclass(frozen=True, repr=False)
class Predictions:
    """What a model says of some clips.

    Attributes:
        classes: what was told apart, in order.
        probability: (N, K) float64, rows that sum to 1; NumPy or torch, as the input was.
        seen: (N,) bool, whether anybody is to be seen; where nobody is, the probabilities say nothing.
        refused: (N,) bool, whether it is rather none of the classes; None: that was not asked for.

    Example:
        >>> model = sk.load("evaluation", protocol="linear")
        >>> found = model.predict(np.random.default_rng(0).normal(size=(40, 25, 3)))
        >>> found.names[0] == model.classes[found.label[0]]
        True
        >>> [*found.table.columns][:3]
        ['class', 'probability', 'seen']
    """

    classes: tuple[str, ...]
    probability: Any
    seen: Any
    refused: Any = None

    def __len__(self) -> int:
        return len(self.probability)

    @property
    def label(self) -> Any:
        """(N,) int64, the place of the most probable class in `classes`."""
        return self.probability.argmax(1)

    @property
    def names(self) -> list[str]:
        """The most probable class of each clip."""
        return [self.classes[int(n)] for n in self.label]

    @property
    def table(self) -> pd.DataFrame:
        """A row for each clip: class, probability, seen, and a column for each class's probability."""
        import pandas as pd

        values = numbers_of(self.probability)
        found = pd.DataFrame(values, columns=[f"p {name}" for name in self.classes])
        found.insert(0, "seen", numbers_of(self.seen))
        found.insert(0, "probability", values.max(axis=1, initial=0.0))
        found.insert(0, "class", self.names)
        return found

    def __repr__(self) -> str:
        return as_text("Predictions", occurring(self))

    def _repr_html_(self) -> str:
        return best_table(self)


class Model(Shown):
    """A trained encoder, with a classifier or without, and how its clips are prepared; made by `load`.

    Attributes:
        layout: the joints that it was trained on.

    Example:
        >>> model = sk.load("evaluation", protocol="linear")
        >>> clips = sk.open_clips("clips.zarr")
        >>> model.predict(clips[:4]).probability.shape == (4, len(model.classes))
        True
        >>> recording = np.random.default_rng(0).normal(size=(40, 25, 3))  # (T, V, C), metres, y up
        >>> model.embed(recording).shape == (1, model.features)
        True
    """

    def __init__(
        self, kept: Sequence[Kept], weights: Sequence[float] | None, device: str, tells: bool, **confidence: Any
    ) -> None:
        self._predictor = Predictor(kept, weights, device=device, **confidence)
        self._kept, self._tells = list(kept), tells
        self.layout: Layout = kept[0].layout

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that it tells apart, in order; none of an encoder alone."""
        return self._predictor.classes if self._tells else ()

    @property
    def stream(self) -> str:
        """The stream that the encoder sees; of a fusion all of them, joined by "+"."""
        return "+".join(kept.facts.stream for kept in self._kept)

    @property
    def encoder(self) -> nn.Module:
        """The encoder as a plain module, frozen and in eval mode: stream clips (B, C, T, V, M) -> features (B, H).

        Raises:
            BadInput: there are several, of a fusion, or none in torch, of an ONNX file.
        """
        network = getattr(self._single().classifier, "network", None)
        if network is None:
            raise BadInput(self._kept[0].path, "has no encoder in torch", "load the run or evaluation that it is of")
        encoder: nn.Module = network.encoder
        return encoder

    @property
    def features(self) -> int:
        """H, how many numbers `embed` gives for a clip."""
        kept = self._single()
        if getattr(kept.classifier, "network", None) is None:
            return int(session_of(kept).outputs[FEATURES][1])  # type: ignore[arg-type]
        size: Any = self.encoder.features
        return int(size) * kept.classifier.segments

    @property
    def recipe(self) -> Any:
        """The recipe of its run."""
        return self._kept[0].recipe

    @property
    def facts(self) -> dict[str, Any]:
        """All that it says of itself, in plain values: how its clips are prepared, what it has learnt from, …"""
        return self._kept[0].facts.model_dump(mode="json")

    @property
    def told(self) -> tuple[str, ...]:
        """What is to be told of the inputs so far, such as joints that were mapped."""
        return tuple(self._predictor.told)

    def to(self, device: str | torch.device) -> Model:
        """Move it to a device; returns itself."""
        self._predictor.device = torch.device(device)
        for kept in self._kept:
            kept.classifier.to(device)
        return self

    def embed(self, given: Given, *, layout: str | Layout | None = None, lengths: Any = None, rows: Any = None) -> Any:
        """Features of clips or recordings by the frozen encoder.

        Args:
            given: clips (N, C, T, V, M) as `prepare` makes them, joints and not another stream, which is computed here;
                `Clips`; or a recording (T, V, C) of one person or (T, M, V, C) of several, y up, metres, absent bodies
                zero, which is prepared as the model's own clips were; or a `Recording`; or a list of recordings; or a
                `Store`; or the path of clips, a store, or raw recordings, which are read as `ingest` reads them.
            layout: of recordings in memory, their joints, which are mapped; None: the model's.
            lengths: (N,) of clips, how many frames from the start are their own; None: all are.
            rows: of `Clips` or a `Store`, which; None: all.

        Returns:
            (N, H) float32: NumPy or torch, as the input is.

        Raises:
            BadInput: shapes, joints or preparation do not fit, or there are several encoders.
        """
        given = opened(given)
        return as_given(self._features(given, layout, lengths, rows), given)

    def predict(
        self, given: Given, *, layout: str | Layout | None = None, lengths: Any = None, rows: Any = None
    ) -> Predictions:
        """The classes of clips or recordings, as `skelpipe predict` tells them.

        Args:
            given: see `embed`.
            layout: of recordings in memory, their joints, which are mapped; None: the model's.
            lengths: (N,) of clips, how many frames from the start are their own; None: all are.
            rows: of `Clips` or a `Store`, which; None: all.

        Returns:
            Probabilities (N, K) and what follows from them.

        Raises:
            BadInput: it tells no classes; shapes, joints or preparation do not fit.
        """
        if not self._tells:
            what = "has learnt without labels, and tells no classes"
            raise BadInput(self._kept[0].path, what, "evaluate it by the protocol linear, and load that")
        given = opened(given)
        scored = self._said(given, layout, lengths, rows)
        refused = None if scored.refused is None else as_given(scored.refused, given)
        return Predictions(self.classes, as_given(scored.probability, given), as_given(scored.seen, given), refused)

    def to_onnx(self, file: PathLike, *, encoder_only: bool = False, force: bool = False) -> None:
        """Write it as an ONNX file, held against torch on random clips first, as `skelpipe export-onnx` does.

        Args:
            file: to be made, NAME.onnx.
            encoder_only: features alone, which an encoder without a classifier gives anyway.
            force: replace a file that is there.

        Raises:
            BadInput: onnx or onnxruntime is not installed, the encoder cannot be exported, or `file` is taken.
        """
        from skelpipe.exchange.onnx import export_onnx

        kept = self._single()
        export_onnx(kept, os.fspath(file), encoder_only=encoder_only or not self._tells, force=force)

    def _single(self) -> Kept:
        if len(self._kept) > 1:
            what = f"is a fusion of {counted(len(self._kept), 'model', 'models')}"
            raise BadInput(self._kept[0].path, what, "load one of its evaluations")
        return self._kept[0]

    def _said(self, given: Given, layout: str | Layout | None, lengths: Any, rows: Any) -> Scored:
        """What the classifiers say."""
        if isinstance(given, Clips):
            self._predictor.check_clips(given.opened)
            blocks = in_blocks(rows_of(given, rows))
            return joined([self._predictor.score_clips(given.opened, block) for block in blocks])
        if is_recorded(given):
            said, made = list[Scored](), 0
            for pieces, found, relative in self._blocks(given, layout, rows):
                said.append(self._predictor.score(pieces, found, range(made, made + len(pieces)), relative))
                made += len(pieces)
            return joined(said)
        data, valid = self._clips(given, lengths)
        if len(self._predictor.kinds) > 1:
            raise BadInput("clips", "are of one preparation, and the models need several", "give recordings")
        return self._predictor.score_prepared(data, valid, np.asarray(data.any(axis=(1, 2, 3, 4))))

    @torch.no_grad()
    def _features(self, given: Given, layout: str | Layout | None, lengths: Any, rows: Any) -> npt.NDArray[np.float32]:
        """What the encoder gives."""
        kept = self._single()
        if isinstance(given, Clips):
            self._predictor.check_clips(given.opened)
            source, bodies = given.opened, kept.recipe.bodies
            blocks = in_blocks(rows_of(given, rows))
            parts = [self._of(kept, load_bodies(source, b, bodies), own_frames(source, b), b) for b in blocks]
            return np.concatenate(parts)
        if is_recorded(given):
            parts, made = [], 0
            for some in self._blocks(given, layout, rows):
                data, valid, _ = self._predictor.prepared(*some)
                parts.append(self._of(kept, data, valid, np.arange(made, made + len(data))))
                made += len(data)
            return np.concatenate(parts)
        data, valid = self._clips(given, lengths)
        return self._of(kept, data, valid, np.arange(len(data)))

    def _of(
        self, kept: Kept, data: Any, valid: npt.NDArray[np.int64] | None, drawn: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """The features of clips in memory, whose views are drawn by those numbers."""
        bodies, facts = kept.recipe.bodies, kept.facts
        data = data.bodies_kept(bodies) if isinstance(data, Native) else np.array(data[..., :bodies], np.float32)
        made, own = as_evaluated(kept.recipe, facts.stream, facts.seed, data, drawn, valid, kept.layout)
        parts = [self._encoded(kept, x, n) for x, n in some_at_a_time(made, own, self._predictor.device)]
        found: npt.NDArray[np.float32] = torch.cat(parts).numpy()
        return found

    def _encoded(self, kept: Kept, x: Tensor, lengths: Tensor | None) -> Tensor:
        network = getattr(kept.classifier, "network", None)
        found: Tensor
        if network is None:  # of an ONNX file, which gives them itself
            found = kept.classifier(x, lengths)[1]
        else:
            found = network.segments(x, kept.classifier.segments, lengths)
        return found.float().cpu()

    def _clips(self, given: Any, lengths: Any) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64] | None]:
        """Clips in memory with the bodies that there are, and how many frames are their own."""
        data = as_batch(given, self.layout)
        if not np.isfinite(data).all():
            raise BadInput("clips", "hold what is no number", "put zeros where a joint was not seen")
        frames = self._kept[0].facts.prepared["frames"]
        if isinstance(frames, int) and data.shape[2] != frames:
            what = f"have {data.shape[2]} frames, and the model has learnt from clips of {frames}"
            raise BadInput("clips", what, "prepare them so, or give the recordings, (T, V, C)")
        most = max(kept.recipe.bodies for kept in self._kept)
        if data.shape[4] < most:
            what = f"have room for {data.shape[4]} bodies, and the model sees {most}"
            raise BadInput("clips", what, "add absent bodies as zeros")
        valid = None if lengths is None else np.ascontiguousarray(lengths, np.int64)
        return np.ascontiguousarray(data, np.float32), valid

    def _blocks(self, given: Any, layout: str | Layout | None, rows: Any) -> Iterator[Some]:
        return blocks_of(given, None if layout is None else get_layout(layout), self._kept[0], rows)

    def _told(self) -> dict[str, str]:
        facts = self._kept[0].facts
        return {
            "recipe": str(facts.recipe.get("name")),
            "stream": self.stream,
            "layout": f"{self.layout.name}: V {len(self.layout.joints)}, C {self.layout.channels}",
            "frames": str(facts.prepared["frames"]),
            "classes": f"{len(self.classes)} by {facts.protocol}" if self._tells else "none, an encoder alone",
            "path": os.fspath(self._kept[0].path),
        }


def load(
    path: PathLike,
    *,
    protocol: str | None = None,
    stream: str | None = None,
    epoch: int | None = None,
    device: str = "auto",
    calibrated: bool = False,
    reject: float | None = None,
) -> Model:
    """Open a trained model: a run, an evaluation, a fusion, an ONNX file or a checkpoint of another project.

    Args:
        path: where it lies. A run without labels is an encoder alone; its evaluation has a classifier as well.
        protocol: which, where an evaluation has kept several.
        stream: of a run of several streams, which; of a checkpoint, what it was trained on.
        epoch: of a run, one whose weights it has kept; None: the last.
        device: "auto", "cpu", "cuda", …
        calibrated: divide scores by the temperature that held-out clips have given.
        reject: how large a share of clips of known classes may be refused as none of them.

    Returns:
        A `Model`.

    Raises:
        BadInput: nothing that can be opened is there, it is damaged, or it is not told which of several is meant.

    Example:
        >>> encoder = sk.load("run")  # learnt without labels: embed, and no predict
        >>> encoder.embed(np.zeros((2, 3, 12, 25, 2), "float32")).shape == (2, encoder.features)
        True
    """
    kept, weights, tells = _open(os.fspath(path), protocol, stream, epoch)
    return Model(kept, weights, device, tells, calibrated=calibrated, reject=reject)


def _open(
    path: str, protocol: str | None, stream: str | None, epoch: int | None
) -> tuple[list[Kept], list[float] | None, bool]:
    if path.lower().endswith(ONNX):
        from skelpipe.exchange.onnx import open_onnx

        opened = open_onnx(path, encoder=True)
        return [opened], None, session_of(opened).outputs.get(SCORES) is not None
    if read_kind(path) == "run" and not tells_classes(path, epoch):
        return [encoder_of_run(path, stream, epoch)], None, False
    kept, weights = find_models(path, protocol, stream, epoch)
    return kept, weights, True


def session_of(kept: Kept) -> Session:
    """What runs the graph of an ONNX file."""
    found: Any = kept.classifier
    session: Session = found.session
    return session


def tells_classes(path: PathLike, epoch: int | None) -> bool:
    """Whether a run has a classifier."""
    folder, _, recipe = read_run(Path(path), epoch)
    return recipe.supervised or has_classifier(folder)
