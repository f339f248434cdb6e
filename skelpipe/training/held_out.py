"""Training clips that are not trained on: what the method makes of them, and what follows for the rate and the end."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from skelpipe import ranks
from skelpipe.clips.batches import Batch, Batches
from skelpipe.errors import BadInput
from skelpipe.recordings.datasets.held_out import hold_out
from skelpipe.recordings.store import Clips
from skelpipe.training.checkpoint import evaluated_weights
from skelpipe.training.optim import Plateau
from skelpipe.training.recipe import Recipe

Rows = npt.NDArray[np.int64]
log = logging.getLogger(__name__)
RECOGNISED = "train_top1"  # what a method that learns from labels logs
VIEWS_OF = 0  # the epoch whose views held-out clips are seen in, every time: none is trained in it


def split_rows(recipe: Recipe, source: Clips, rows: Rows, seed: int) -> tuple[Rows, Rows]:
    """The rows to train on, and those that are held out, if the recipe's schedule asks for some.

    Raises:
        BadInput: too few are left on one side.
    """
    if recipe.plateau is None:
        return rows, rows[:0]
    singly = recipe.plateau.held_out_by == "clip"
    group = np.arange(len(rows)) if singly else source.columns[source.about.group][rows]
    held = hold_out(group, recipe.plateau.held_out, seed)
    taken = "single clips" if singly else "whole persons or videos"
    if held.sum() < ranks.count():
        raise BadInput("schedule.held_out", f"leaves {held.sum()} of {len(rows)} clips to look at", "choose another")
    left = len(rows) - held.sum()
    if not left or left < recipe.batch_size <= len(rows):
        what = f"takes {held.sum()} of {len(rows)} clips, {taken}, and {left} are less than a batch"
        raise BadInput("schedule.held_out", what, f"hold out less, or lower batch_size ({recipe.batch_size})")
    log.info("held out of training: %d of %d clips, %s", held.sum(), len(rows), taken)
    return rows[~held], rows[held]


def held_parts(held: Rows, batch_size: int) -> list[tuple[Rows, int]]:
    """Held-out rows with the size of their batches: as many full ones as there are, and a smaller one.

    Every batch is a multiple of the number of ranks, so that up to ranks - 1 clips at the end are left out.
    """
    full = len(held) // batch_size * batch_size
    rest = (len(held) - full) // ranks.count() * ranks.count()
    parts = [(held[:full], batch_size), (held[full : full + rest], rest)]
    return [(rows, size) for rows, size in parts if len(rows)]


class Watch:
    """What held-out clips have shown so far, and what follows from it.

    Attributes:
        best, best_epoch: the best figure, and the epoch that had it.
        falls: how often the rate has fallen.
        weights: those of the best epoch, where they are to be kept.
    """

    def __init__(self, options: Plateau, rows: Rows) -> None:
        self.options, self.rows = options, rows
        self.best: float | None = None
        self.best_epoch = self.seen = self.bad = self.cooling = self.falls = 0
        self.weights: dict[str, Tensor] | None = None

    @property
    def share(self) -> float:
        """What is left of the rate."""
        return self.options.gamma**self.falls

    @property
    def stopped(self) -> bool:
        """Whether it was waited long enough for a gain."""
        return self.options.stop_after is not None and self.seen - self.best_epoch >= self.options.stop_after

    def note(self, epoch: int, figure: float, higher_is_better: bool, method: nn.Module) -> None:
        """Take in the figure of an epoch."""
        self.seen = epoch
        if self.cooling:
            self.cooling, self.bad = self.cooling - 1, 0
        if math.isfinite(figure) and self._gain(figure, higher_is_better) > self.options.least:
            self.best, self.best_epoch, self.bad = figure, epoch, 0
            if self.options.keep == "best":
                self.weights = evaluated_weights(method)
        elif not self.cooling:
            self.bad += 1
            if self.bad >= self.options.patience:
                self.falls, self.cooling, self.bad = self.falls + 1, self.options.cooldown, 0
                if self.options.gamma < 1:
                    log.info(
                        "epoch %d: no gain on held-out clips; the rate falls to %.3g of what it was", epoch, self.share
                    )

    def _gain(self, figure: float, higher_is_better: bool) -> float:
        if self.best is None:
            return math.inf
        return figure - self.best if higher_is_better else self.best - figure

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        counts = {name: getattr(self, name) for name in COUNTS}
        return {**counts, "weights": self.weights, "rows": torch.from_numpy(self.rows)}

    def load(self, state: dict[str, Any]) -> None:
        """Put back what `state` gave.

        Raises:
            ValueError: other clips were held out.
        """
        if not np.array_equal(state["rows"].numpy(), self.rows):
            raise ValueError("it held out other clips")
        self.weights = state["weights"]
        for name in COUNTS:
            setattr(self, name, state[name])


COUNTS = ("best", "best_epoch", "seen", "bad", "cooling", "falls")


def measure(method: nn.Module, parts: Sequence[Batches], epoch: int, seed: int) -> dict[str, float]:
    """What the method, in eval mode, would say of held-out clips as its next batches: loss and scalars, averaged.

    The clips are seen in the same views every time. Each batch meets the method as it stands: queues, key networks and
    random numbers are as before afterwards.
    """
    before = {name: value.clone() for name, value in method.state_dict().items()}
    totals: dict[str, Tensor] = {}
    on = next(iter(before.values())).device
    with torch.random.fork_rng([on] if on.type == "cuda" else []), torch.no_grad():
        method.eval()
        for part in parts:
            for batch in part.epoch(VIEWS_OF):
                torch.manual_seed(seed)
                loss, observed = outcome(method, batch, epoch)
                for name, value in {"loss": loss, **observed}.items():
                    totals[name] = totals.get(name, 0) + value.detach().double() * part.batch_size
                method.load_state_dict(before)
        method.train()
    whole = torch.stack(list(totals.values())) / sum(len(part.clips) for part in parts)
    ranks.average([whole])
    return dict(zip(totals, whole.tolist(), strict=True))


def outcome(method: nn.Module, batch: Batch, epoch: int) -> tuple[Tensor, dict[str, Tensor]]:
    """A method's loss on a batch, and what else it observes, without a step."""
    found: tuple[Tensor, dict[str, Tensor]] = method(batch, epoch)
    return found


def judged(figures: dict[str, float]) -> tuple[str, float, bool]:
    """Which of these figures is judged by: its name in the log, itself, and whether higher is better."""
    if RECOGNISED in figures:
        return "held_out_top1", figures[RECOGNISED], True
    return "held_out_loss", figures["loss"], False
