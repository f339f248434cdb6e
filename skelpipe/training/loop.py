"""The loop: from a run's last checkpoint, or from the start, to its last epoch."""

from __future__ import annotations

import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from skelpipe import ranks
from skelpipe.clips.batches import Batch, Batches
from skelpipe.methods import METHODS
from skelpipe.methods.base import Method
from skelpipe.methods.network import Network
from skelpipe.methods.synced import pool_norms, sync_norms
from skelpipe.outputs.ancestry import DONE
from skelpipe.outputs.checksums import check_files
from skelpipe.outputs.digests import check_unchanged
from skelpipe.outputs.folders import seal
from skelpipe.recordings.datasets import find_split
from skelpipe.recordings.store import Clips
from skelpipe.training.announce import tell_arithmetic
from skelpipe.training.checkpoint import Event, Position, kept_weights, load_checkpoint, save_checkpoint, save_weights
from skelpipe.training.device import set_determinism
from skelpipe.training.folder import CHECKPOINT, RECIPE, SETTINGS, WEIGHTS, begin_session, end_session
from skelpipe.training.log import COLLAPSE_REMEDY, Log, last_entry
from skelpipe.training.optim import build_sgd
from skelpipe.training.recipe import Recipe

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 30.0  # at most this much work is lost to a kill, plus the epoch it fell in


@dataclass(frozen=True)
class Result:
    """What became of a pretraining: "finished", "stopped" (by Ctrl-C or SIGTERM; resumable) or "already finished"."""

    state: str
    epoch: int
    epochs: int
    last: dict[str, Any] | None
    warnings: tuple[str, ...]


def train_method(
    recipe: Recipe,
    source: Clips,
    rows: npt.NDArray[np.int64],
    run: Path,
    settings: dict[str, Any],
    place: torch.device,
    threads: int | None,
    progress: Callable[[Event], None] | None,
) -> Result:
    """Train from the run's last checkpoint, or from the start, to its last epoch."""
    set_determinism(settings["seed"])
    method = recipe.build_method(source.layout, find_split(settings["split"]).classes).to(place)
    for module in method.modules():
        if isinstance(module, Network):
            module.bfloat16_encoder = settings["precision"] == "bf16"
    sgd = build_sgd(recipe.optimizer, method)
    at = go_on(run, recipe, method, sgd, place)
    start_ranks(method, recipe, at, settings["seed"])
    training = Training(recipe, source.path, run, settings, place, method, sgd, at)
    if at.epoch > recipe.epochs:
        return training.finish(fresh=not (run / DONE).exists())
    batches = load_batches(recipe, source, rows, settings, place, threads)
    if ranks.mine() == 0:
        training.record = Log(run, at)
        begin_session(run, at, place, threads)
    training.train(batches, progress)
    return training.end()


def go_on(
    run: Path, recipe: Recipe, method: torch.nn.Module, sgd: torch.optim.Optimizer, place: torch.device
) -> Position:
    """Where the run's checkpoint stands, with all that it holds put back; or the start."""
    if not (run / CHECKPOINT).exists():
        log.info("%s: starts at the first epoch, as there is no checkpoint", run)
        return Position()
    at = load_checkpoint(run / CHECKPOINT, method, sgd, place)
    where = f"epoch {at.epoch}, after {at.step} of its steps" if at.epoch <= recipe.epochs else "its end"
    log.info("%s: goes on at %s, where its checkpoint stands", run, where)
    return at


def load_batches(
    recipe: Recipe,
    source: Clips,
    rows: npt.NDArray[np.int64],
    settings: dict[str, Any],
    place: torch.device,
    threads: int | None,
) -> Batches:
    """The training clips in memory, and the recipe's views of them."""
    data = source.load(rows, "float16" if settings["half_storage"] else "float32")[..., : recipe.bodies]
    check_unchanged({"clips": source.path}, {"clips": settings["clips_digest"]})
    synced = recipe.batch_norm == "synced" and ranks.count() > 1
    tell_arithmetic(place, settings["precision"], settings["half_storage"], synced, data.nbytes)
    return Batches(
        np.ascontiguousarray(data),
        rows,
        source.labels[rows],
        {name: recipe.view(name) for name in METHODS[recipe.method.name].VIEWS},
        recipe.streams or settings["stream"],
        source.layout,
        recipe.batch_size,
        settings["seed"],
        place,
        threads,
        ranks.mine(),
        ranks.count(),
    )


@dataclass
class Training:
    """What is trained, where it stands, and what it leaves; `record` is the log of the rank that writes."""

    recipe: Recipe
    clips: Path
    run: Path
    settings: dict[str, Any]
    place: torch.device
    method: Method
    sgd: torch.optim.Optimizer
    at: Position
    record: Log | None = None
    saved: float = field(default_factory=time.monotonic)

    def train(self, batches: Batches, progress: Callable[[Event], None] | None) -> None:
        """The loop over epochs and steps, until the last or until asked to stop."""
        at = self.at
        self.method.train()
        with stop_requested() as stop:
            while at.epoch <= self.recipe.epochs:
                for group in self.sgd.param_groups:
                    group["lr"] = self.recipe.optimizer.rate(at.epoch)
                started, first = time.monotonic(), at.step
                votes = ranks.Votes()
                for batch in batches.epoch(at.epoch, first):
                    at.add(train_step(self.method, self.sgd, batch, at.epoch))
                    if progress is not None or ranks.count() > 1:
                        rate = (at.step - first) * self.recipe.batch_size / max(time.monotonic() - started, 1e-9)
                        event = at.event(self.recipe.epochs, batches.steps, rate)
                        if progress is not None:
                            progress(event)
                    if votes.cast(asked_to_stop(stop)):
                        break
                votes.counted()
                at.seconds += time.monotonic() - started
                at.pool()
                pool_norms(self.method)
                if at.step < batches.steps:  # asked to stop within the epoch
                    break
                self.end_epoch(batches.steps * self.recipe.batch_size)
                ends = ranks.anywhere(asked_to_stop(stop)) or at.epoch > self.recipe.epochs
                if self.record is not None and (time.monotonic() - self.saved > CHECKPOINT_SECONDS or ends):
                    self.save()
                if ends:
                    break

    def end_epoch(self, clips: int) -> None:
        """Log an epoch that trained on so many clips, and keep its weights if the recipe asks for it."""
        recipe, at = self.recipe, self.at
        if self.record is not None:
            guessing = math.log(recipe.method.queue_size + 1) if hasattr(recipe.method, "queue_size") else None
            self.record.write(at, recipe.optimizer.rate(at.epoch), clips, guessing)
        check_finite(self.method, at)
        at.next_epoch()
        if recipe.keep_every and (at.epoch - 1) % recipe.keep_every == 0 and self.record is not None:
            save_weights(self.run / kept_weights(at.epoch - 1), self.method)
            log.info("epoch %d: its weights are kept, by keep_every: %d", at.epoch - 1, recipe.keep_every)

    def save(self) -> None:
        """Write the checkpoint."""
        save_checkpoint(self.run / CHECKPOINT, self.method, self.sgd, self.at, self.place)
        log.debug("checkpoint saved, to go on at epoch %d", self.at.epoch)
        self.saved = time.monotonic()

    def end(self) -> Result:
        """Leave a run that can go on, or one that is finished."""
        at, epochs, record = self.at, self.recipe.epochs, self.record
        if record is None:
            return Result("finished" if at.epoch > epochs else "stopped", at.epoch - 1, epochs, None, ())
        record.close()
        if at.epoch > epochs:
            return self.finish(fresh=True)
        check_finite(self.method, at)
        self.save()
        end_session(self.run, "stopped", at)
        return Result("stopped", at.epoch - 1, epochs, record.last, tuple(record.warnings))

    def finish(self, fresh: bool) -> Result:
        """Write the weights and seal the run, unless that was done before or falls to another rank."""
        run, epochs, last = self.run, self.recipe.epochs, last_entry(self.run)
        if not fresh and (run / WEIGHTS).exists():
            check_files(run, WEIGHTS, f"delete {WEIGHTS}, and the same command writes it again")
        if ranks.mine() == 0 and (fresh or not (run / WEIGHTS).exists()):
            save_weights(run / WEIGHTS, self.method)
            seal(
                run,
                "run",
                inputs={"clips": self.clips},
                settings=self.settings,
                content=(RECIPE, SETTINGS, WEIGHTS),
                more={"output": os.fspath(run)},
                begun=end_session(run, "finished", self.at),
            )
        warnings = (f"epoch {epochs}: {COLLAPSE_REMEDY}",) if last and last.get("collapsed") else ()
        return Result("finished" if fresh else "already finished", epochs, epochs, last, warnings)


def check_finite(method: torch.nn.Module, at: Position) -> None:
    """Raise BadInput rather than let a checkpoint be written that nothing could go on from."""
    if at.sums:
        at.means()
    # One addition a tensor, whose result is not finite if anything in it is not; read from the device once.
    sums = [value.double().sum() for value in method.state_dict().values() if value.is_floating_point()]
    if sums and not bool(torch.isfinite(torch.stack(sums)).all()):
        raise at.diverged("the weights are not all finite")


def start_ranks(method: torch.nn.Module, recipe: Recipe, at: Position, seed: int) -> None:
    """Make sure that all ranks start alike, give each its own dropout masks, and sync batch norm if so chosen."""
    ranks.check_alike(method.state_dict(), at.epoch, at.step)
    ranks.draw_apart(seed, at.epoch, at.step)
    if recipe.batch_norm == "synced" and ranks.count() > 1:
        sync_norms(method)


def train_step(method: Method, optimizer: torch.optim.Optimizer, batch: Batch, epoch: int) -> dict[str, torch.Tensor]:
    """One step on a batch, or on this rank's share of it; returns the loss and what else the log holds."""
    learns = method.learns(epoch)
    with torch.set_grad_enabled(learns):
        loss, log = method(batch, epoch)
    if learns:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        ranks.average([p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None])
        optimizer.step()
        method.after_step(epoch)
    return {"loss": loss.detach(), **log}


def asked_to_stop(stop: threading.Event) -> bool:
    """Whether Ctrl-C or SIGTERM has reached this rank, or what started it is gone."""
    return stop.is_set() or ranks.abandoned()


@contextmanager
def stop_requested() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set once; a second Ctrl-C interrupts at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: object) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
