"""The protocols that train the encoder further, with labels: finetune, semi (few labels) and transfer (other data)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, NonNegativeInt, PositiveInt, field_validator
from torch import Tensor, nn

from skelpipe.clips.balance import Balance
from skelpipe.clips.batches import Batch, Batches
from skelpipe.clips.gather import Source
from skelpipe.clips.loading import load_bodies, own_frames
from skelpipe.clips.views import build_view
from skelpipe.errors import BadInput
from skelpipe.evaluation.features import Features, Run, evaluated_clips, score_clips
from skelpipe.evaluation.linear import TEST_EVERY, Ticks, best_epoch, collapse_loss, validation_part
from skelpipe.evaluation.protocol import Outcome, Setup
from skelpipe.evaluation.scores import topk_accuracy
from skelpipe.evaluation.unseen import by_second
from skelpipe.layouts.base import Layout
from skelpipe.methods.network import Network
from skelpipe.methods.supervised import cross_entropy
from skelpipe.recordings.datasets import Split
from skelpipe.recordings.native import Native
from skelpipe.recordings.store import Clips
from skelpipe.training.device import set_determinism
from skelpipe.training.model import Head, Kept
from skelpipe.training.optim import build_optimizer
from skelpipe.training.optim.optimizers import SGDOptions
from skelpipe.training.recipe import FittingView
from skelpipe.training.step import Graphs

ALIKE = "all epochs"  # of a training: its loss looks at none


class Training(SGDOptions):
    """How an encoder and a classifier are trained; each protocol has its own defaults.

    Attributes:
        epochs: the last one counts.
        batch_size: where there are fewer clips than that, all of them are one batch.
        warm_up: so many first epochs have a rate that grows linearly to the full one.
        clip: the largest norm that all gradients have together; 0 leaves them as they are.
        mode: in "eval" dropout is off, and batch norm uses and keeps its running statistics, while all parameters
            train, as in AimCLR's public code.
        view: augmentations of the training clips, as in a recipe.
        balance: "sampling" draws each class equally often; "weights" weighs the loss by inverse class frequency.
    """

    LATER = (*SGDOptions.LATER, "balance")

    epochs: PositiveInt = 80
    batch_size: PositiveInt = 128
    warm_up: NonNegativeInt = 0
    clip: float = Field(0.0, ge=0)
    mode: Literal["train", "eval"] = "train"
    view: FittingView = Field(default_factory=list)
    balance: Balance = "none"

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 1."""
        return super().rate(epoch) * min(1.0, epoch / max(1, self.warm_up))


class OnAll(Training):
    """A training on all labels.

    Attributes:
        calibrate: train a second time without a tenth of the clips, of whole persons or videos, for the temperature and
            the distances of the model; takes as long again.
    """

    LATER = (*Training.LATER, "calibrate")

    calibrate: bool = False


class FinetuneOptions(OnAll):
    """The settings of ActCLR's public code (Lin et al., CVPR 2023)."""

    nesterov: bool = True
    steps: tuple[NonNegativeInt, ...] = (10, 50)


class TransferOptions(OnAll):
    """The settings of CMD (Mao et al., ECCV 2022)."""

    lr: float = Field(0.01, gt=0)
    batch_size: PositiveInt = 64
    steps: tuple[NonNegativeInt, ...] = (50, 70)


class SemiOptions(Training):
    """The settings of SkeleMixCLR's public code (Chen et al., 2022).

    Attributes:
        fractions: of the training clips that carry labels; each is a protocol of its own in `metrics.json`.
        draws: how often such clips are drawn and trained on.
    """

    epochs: PositiveInt = 150
    steps: tuple[NonNegativeInt, ...] = (80,)
    clip: float = Field(5.0, ge=0)
    fractions: tuple[float, ...] = Field((0.01, 0.1), min_length=1)
    draws: PositiveInt = 5

    @field_validator("fractions")
    @classmethod
    def _are_fractions(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < p <= 1 for p in value):
            raise ValueError("a fraction is above 0 and at most 1")
        if len({semi_name(p) for p in value}) < len(value):
            raise ValueError("names a fraction twice")
        return value


@dataclass(frozen=True)
class Material:
    """What is trained, and the clips in memory.

    Attributes:
        encoder: the run's; it is only copied.
        train: the training clips as they are stored, (n, C, T, V, M) float32, or of their own lengths.
        valid: (n,) how many frames of each of them are its own; None where all are.
        row: (n,) where they stand in the clips folder.
        label, test_label: (n,) classes.
        view: how clips are evaluated; so those are trained on for which the options say nothing else.
        test: the test clips in that view and the stream, (n, C, T', V, M) float32.
        test_lengths: (n,) as `valid`, of those.
    """

    encoder: nn.Module
    stream: str
    layout: Layout
    train: Source
    valid: npt.NDArray[np.int64] | None
    row: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]
    view: Any
    test: npt.NDArray[np.float32]
    test_lengths: Tensor | None
    test_label: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Trained:
    """What came of one training.

    Attributes:
        network: the trained encoder with its classifier as projector, in eval mode.
        scores: of the test clips, (n, classes).
        loss, top1: means over the last epoch's batches, while they were trained on.
        on_test: epoch -> top-1 on the test clips, if that was asked for.
    """

    network: Network
    scores: npt.NDArray[np.float32]
    loss: float
    top1: float
    on_test: dict[int, float]


def finetune(features: Features, setup: Setup) -> Outcome:
    """Train the pretrained encoder and a fresh linear classifier on all training clips, and score the test clips.

    Cross-entropy by SGD; the weights of the last epoch count.
    """
    return train_on_all("finetune", setup.options.get("finetune") or FinetuneOptions(), features, setup)


def transfer(features: Features, setup: Setup) -> Outcome:
    """`finetune` on another data set than the encoder was pretrained on."""
    return train_on_all("transfer", setup.options.get("transfer") or TransferOptions(), features, setup)


def semi(features: Features, setup: Setup) -> dict[str, Outcome]:
    """`finetune` with the labels of few training clips, drawn in each class, several times over.

    Each fraction is an outcome of its own; its scores are (draws, n, classes).
    """
    options: Any = setup.options.get("semi") or SemiOptions()
    material = load(features, setup)
    tick = Ticks(setup, options.epochs * options.draws * len(options.fractions))
    seeds = [int(np.random.SeedSequence((setup.seed, draw)).generate_state(1)[0]) for draw in range(options.draws)]
    found = {}
    for fraction in options.fractions:
        chosen = [draw_clips(material.label, fraction, setup.seed, draw) for draw in range(options.draws)]
        trained = [
            train("semi", material, rows, options, setup, seed, tick) for rows, seed in zip(chosen, seeds, strict=True)
        ]
        figures = {"fraction": fraction, "labelled": len(chosen[0]), "seed": setup.seed, **told(trained, options)}
        scores = np.stack([one.scores for one in trained])
        found[semi_name(fraction)] = Outcome(scores, figures, judged("semi", trained, material.label))
    return found


def semi_name(fraction: float) -> str:
    """What a fraction's outcome is called: 0.01 -> semi1."""
    return f"semi{100 * fraction:g}"


def draw_clips(label: npt.NDArray[np.int64], fraction: float, seed: int, draw: int) -> npt.NDArray[np.int64]:
    """Rows of `label` (n,) that carry labels: round(fraction · n_c) clips of each class c, at least one, in order.

    They follow from (seed, draw); of one draw a smaller fraction's clips are among those of a larger one.
    """
    mixed = mixed_by_class(label, seed, draw)
    return np.sort(np.concatenate([rows[: max(1, round(fraction * len(rows)))] for rows in mixed]))


def mixed_by_class(label: npt.NDArray[np.int64], seed: int, draw: int) -> list[npt.NDArray[np.int64]]:
    """The rows of each class of `label` (n,) that occurs, in the order in which they are drawn by (seed, draw)."""
    generator = np.random.default_rng((seed, draw))
    return [generator.permutation(np.flatnonzero(label == c)) for c in np.unique(label)]


def check_transfer(run: Run, clips: Clips, split: Split) -> None:
    """Raise BadInput unless the run was pretrained on another data set than that of the clips."""
    if run.settings["dataset"] == clips.dataset:
        what = f"{run.path} was pretrained on {clips.dataset} too"
        raise BadInput("--protocol transfer", what, "use --protocol finetune, or clips of another data set")


def train_on_all(protocol: str, options: Any, features: Features, setup: Setup) -> Outcome:
    """One training on all labels, under the name of that protocol."""
    material = load(features, setup)
    tick = Ticks(setup, options.epochs * (2 if options.calibrate else 1))
    trained = train(protocol, material, slice(None), options, setup, setup.seed, tick)
    kept = Kept(Head.of(trained.network.projector), trained.network)
    outcome = Outcome(trained.scores, told([trained], options), judged(protocol, [trained], material.label), kept)
    if not options.calibrate:
        return outcome
    held = validation_part(features, setup.seed)
    fit = np.flatnonzero(~held)
    second = train(protocol, material, fit, options, replace(setup, best_on_test=False), setup.seed, tick)
    return by_second(outcome, second.network, held, features, setup)


def load(features: Features, setup: Setup) -> Material:
    """Read the split's clips into memory, once for all trainings."""
    run, clips = setup.run, setup.clips
    assert run is not None
    assert clips is not None
    row, test_row = features.row[features.train], features.row[~features.train]
    train = load_bodies(clips, row, run.recipe.bodies)
    test, lengths = evaluated_clips(run, clips, test_row, own_frames(clips, test_row), setup.threads)
    label, test_label = features.label[features.train], features.label[~features.train]
    valid = own_frames(clips, row)
    view, stream = run.recipe.evaluate.view, run.recipe.rendered(run.stream)
    return Material(
        run.network.encoder, stream, clips.layout, train, valid, row, label, view, test, lengths, test_label
    )


def train(
    protocol: str,
    material: Material,
    chosen: npt.NDArray[np.int64] | slice,
    options: Training,
    setup: Setup,
    seed: int,
    tick: Callable[[], None],
) -> Trained:
    """Train a copy of the run's encoder with a fresh classifier on the training clips `chosen`.

    Everything random follows from `seed`. With `best_on_test` the test clips are scored every five epochs.

    Raises:
        BadInput: the loss is no longer finite.
    """
    set_determinism(seed)
    network = fresh(material.encoder, setup, seed)
    batches = make_batches(material, chosen, options, setup, seed)
    sgd = build_optimizer(options, network)
    on_test: dict[int, float] = {}
    for epoch in range(1, options.epochs + 1):
        for group in sgd.param_groups:
            group["lr"] = options.rate(epoch)
        network.train(options.mode == "train")
        loss, top1 = train_epoch(network, sgd, batches, epoch, options.clip, setup.graphs)
        if not np.isfinite(loss):
            remedy = f"lower the rate, for example --set {protocol}.lr={options.lr / 10:g}"
            raise BadInput(f"--protocol {protocol}", f"the loss of epoch {epoch} is {loss}", remedy)
        if setup.best_on_test and (epoch % TEST_EVERY == 0 or epoch == options.epochs):
            on_test[epoch] = topk_accuracy(score(network, material, setup), material.test_label, 1)
        tick()
    return Trained(network, score(network, material, setup), loss, top1, on_test)


def train_epoch(
    network: Network,
    sgd: torch.optim.Optimizer,
    batches: Batches,
    epoch: int,
    clip: float,
    graphs: Graphs | None = None,
) -> tuple[float, float]:
    """One pass over the batches; returns the mean loss and accuracy."""
    total = torch.zeros(2, dtype=torch.float64, device=batches.device)
    for batch in batches.epoch(epoch):
        sgd.zero_grad(set_to_none=True)
        if graphs is None:
            found = classified(network, batch, epoch)
        else:
            found = graphs.take(classified, network, batch, epoch, ALIKE)
        if clip:
            nn.utils.clip_grad_norm_(network.parameters(), clip)
        sgd.step()
        total += torch.stack([found["loss"].double(), found["top1"]])
    loss_mean, top1 = (total / batches.steps).tolist()
    return loss_mean, top1


def classified(network: Network, batch: Batch, epoch: int) -> dict[str, Tensor]:
    """The loss of a batch, and the share of it that is recognised; the parameters get their gradients."""
    scores = network.scores(batch.views["clip"], batch.lengths.get("clip"))
    loss = cross_entropy(scores, batch.labels, batch.weights)
    loss.backward()  # type: ignore[no-untyped-call]
    return {"loss": loss.detach(), "top1": (scores.argmax(1) == batch.labels).double().mean()}


def fresh(pretrained: nn.Module, setup: Setup, seed: int) -> Network:
    """A copy of the encoder, all of it to be trained, with a new classifier: weights N(0, 0.02²), biases 0."""
    encoder: Any = copy.deepcopy(pretrained).requires_grad_(True)
    classifier = nn.Linear(encoder.features, setup.classes)
    nn.init.normal_(classifier.weight, 0.0, 0.02, generator=torch.Generator().manual_seed(seed))
    nn.init.zeros_(classifier.bias)
    return Network(encoder, classifier).to(setup.device)


def make_batches(
    material: Material, chosen: npt.NDArray[np.int64] | slice, options: Training, setup: Setup, seed: int
) -> Batches:
    """The training clips `chosen`, shuffled and augmented; the last, smaller batch of an epoch is left out."""
    row, label = material.row[chosen], material.label[chosen]
    clips = material.train
    return Batches(
        clips.taken(np.arange(len(clips))[chosen]) if isinstance(clips, Native) else clips[chosen],
        row,
        label,
        {"clip": build_view(options.view or material.view)},
        material.stream,
        material.layout,
        min(options.batch_size, len(row)),
        seed,
        setup.device,
        setup.threads,
        valid=None if material.valid is None else material.valid[chosen],
        told={"clip": "the protocol's view" if options.view else "evaluate.view"},
        balance=options.balance,
    )


def score(network: Network, material: Material, setup: Setup) -> npt.NDArray[np.float32]:
    """Scores of the test clips in eval mode: (n, classes) float32; leaves the network in that mode."""
    network.eval()
    return score_clips(network, material.test, material.test_lengths, setup.device)


def told(trained: list[Trained], options: Training) -> dict[str, Any]:
    """The figures of one or several like trainings; of several, means."""
    figures: dict[str, Any] = {
        "train_loss": float(np.mean([one.loss for one in trained])),
        "train_top1": float(np.mean([one.top1 for one in trained])),
        "epochs": options.epochs,
        "lr": options.lr,
        "mode": options.mode,
        "settings": options.model_dump(mode="json"),
    }
    if trained[0].on_test:
        epochs = trained[0].on_test
        figures["best_on_test"] = best_epoch(
            {epoch: float(np.mean([one.on_test[epoch] for one in trained])) for epoch in epochs}
        )
    return figures


def judged(protocol: str, trained: list[Trained], label: npt.NDArray[np.int64]) -> list[str]:
    """A warning if a training has not left the loss of guessing on its own clips, whose classes are `label`."""
    limit = collapse_loss(torch.from_numpy(label))
    loss, top1 = max((one.loss, one.top1) for one in trained)
    if loss < limit:
        return []
    return [
        f"it has not learnt its own training clips: in the last epoch it knew {top1:.1%} of them (loss {loss:.2f}); "
        f"try another rate or mode (--set {protocol}.lr=… or --set {protocol}.mode=train)"
    ]
