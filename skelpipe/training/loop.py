"""The loop: from a run's last checkpoint, or from the start, to its last epoch."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from skelpipe import ranks
from skelpipe.clips.batches import Batches
from skelpipe.clips.loading import load_bodies, own_frames
from skelpipe.clips.resident import ResidentBatches
from skelpipe.methods import METHODS
from skelpipe.methods.base import Method
from skelpipe.methods.network import Network
from skelpipe.methods.synced import pool_norms, sync_norms
from skelpipe.outputs.ancestry import DONE
from skelpipe.outputs.checksums import check_files
from skelpipe.outputs.digests import check_unchanged
from skelpipe.outputs.folders import seal
from skelpipe.recordings.datasets import split_of
from skelpipe.recordings.store import Clips
from skelpipe.training.announce import tell_arithmetic
from skelpipe.training.checkpoint import (
    Event,
    Position,
    evaluated_weights,
    kept_weights,
    load_checkpoint,
    save_checkpoint,
    save_weights,
    write_weights,
)
from skelpipe.training.device import set_determinism
from skelpipe.training.folder import CHECKPOINT, RECIPE, SETTINGS, WEIGHTS, begin_session, end_session
from skelpipe.training.held_out import Watch, held_parts, judged, measure
from skelpipe.training.length import Length, length_of
from skelpipe.training.log import COLLAPSE_REMEDY, Log, last_entry
from skelpipe.training.optim import Rates
from skelpipe.training.recipe import Recipe
from skelpipe.training.resident import batches_for, held_by
from skelpipe.training.step import Graphs, compile_rendering, noted, train_step
from skelpipe.training.stopping import asked_to_stop, stop_requested
from skelpipe.training.trained_on import TRAINED_ON, keep_trained_on

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 30.0  # at most this much work is lost to a kill, plus the epoch it fell in


@dataclass(frozen=True)
class Result:
    """What became of a pretraining: "finished", "stopped" (by Ctrl-C or SIGTERM; resumable) or "already finished".

    Attributes:
        iteration, iterations: steps taken and steps in all, where the recipe's length is in steps.
        early: why it ended before that, if it did.
    """

    state: str
    epoch: int
    epochs: int
    last: dict[str, Any] | None
    warnings: tuple[str, ...]
    iteration: int | None = None
    iterations: int | None = None
    early: str | None = None


def train_method(
    recipe: Recipe,
    source: Clips,
    rows: npt.NDArray[np.int64],
    held: npt.NDArray[np.int64],
    run: Path,
    settings: dict[str, Any],
    place: torch.device,
    threads: int | None,
    progress: Callable[[Event], None] | None,
    graphs: Graphs | None = None,
    resident: str = "off",
    loggers: Sequence[str] = (),
) -> Result:
    """Train on `rows` from the run's last checkpoint, or from the start, to its end; `held` are those held out.

    `graphs` take the steps where they are compiled; `resident` is one of `step.CHOICES`; `loggers` take the log.
    """
    set_determinism(settings["seed"])
    method = recipe.build_method(source.layout, split_of(settings).classes).to(place)
    for module in method.modules():
        if isinstance(module, Network):
            module.bfloat16_encoder = settings["precision"] == "bf16"
    optimizer = recipe.build_optimizer(method)
    rates = Rates(recipe.rates, optimizer, length_of(recipe, len(rows)))
    watch = None if recipe.plateau is None else Watch(recipe.plateau, held)
    at = go_on(run, method, optimizer, rates.length, place, watch)
    start_ranks(method, recipe, at, settings["seed"])
    training = Training(recipe, source.path, run, settings, place, method, optimizer, rates, at, watch, graphs)
    if training.over:
        if settings["epochs"] and ranks.mine() == 0 and not ((run / DONE).exists() or (run / TRAINED_ON).exists()):
            keep_trained_on(run, source, [], np.concatenate([rows, held]))  # of a version that did not
        return training.finish(fresh=not (run / DONE).exists())
    load = partial(load_batches, recipe, source, settings=settings, place=place, threads=threads)
    batches = load(rows, compiled=graphs is not None, resident=resident)
    if graphs is not None and isinstance(batches, ResidentBatches):
        compile_rendering(graphs, batches)
    training.resident = isinstance(batches, ResidentBatches)
    training.held = [load(part, batch_size=size) for part, size in held_parts(held, recipe.batch_size)]
    if ranks.mine() == 0:
        looked_at = [(part.clip_ids, part.clips) for part in (batches, *training.held)]
        keep_trained_on(run, source, looked_at, held)  # of which some may be in no batch
        training.record = Log(run, at, recipe.streams, loggers, settings)
        begin_session(run, at, place, threads, settings["epochs"], training.noted)
    try:
        training.train(batches, progress)
    except BaseException:
        if training.record is not None:
            training.record.close("failed")
        raise
    return training.end()


def go_on(
    run: Path,
    method: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    length: Length,
    place: torch.device,
    watch: Watch | None,
) -> Position:
    """Where the run's checkpoint stands, with all that it holds put back; or the start."""
    if not (run / CHECKPOINT).exists():
        log.info("%s: starts at the first epoch, as there is no checkpoint", run)
        return Position(run / CHECKPOINT)
    at = load_checkpoint(run / CHECKPOINT, method, optimizer, place, watch)
    ended = length.taken(at.epoch, at.step) >= length.iterations
    log.info(
        "%s: goes on at %s, where its checkpoint stands",
        run,
        "its end" if ended else f"epoch {at.epoch}, after {at.step} of its steps",
    )
    return at


def load_batches(
    recipe: Recipe,
    source: Clips,
    rows: npt.NDArray[np.int64],
    settings: dict[str, Any],
    place: torch.device,
    threads: int | None,
    batch_size: int | None = None,
    compiled: bool = False,
    resident: str = "off",
) -> Batches:
    """Clips in memory, and the recipe's views of them, in the recipe's batches or others."""
    data = load_bodies(source, rows, recipe.bodies, "float16" if settings["half_storage"] else "float32")
    check_unchanged({"clips": source.path}, {"clips": settings["clips_digest"]})
    synced = recipe.batch_norm == "synced" and ranks.count() > 1
    if batch_size is None:
        tell_arithmetic(place, settings["precision"], settings["half_storage"], synced, held_by(data), compiled)
    views = {name: recipe.view(name) for name in METHODS[recipe.method.name].VIEWS}
    return batches_for(resident, place, data, views.values(), compiled)(
        data,
        rows,
        source.labels[rows],
        views,
        recipe.trained(settings["stream"]),
        source.layout,
        batch_size or recipe.batch_size,
        settings["seed"],
        place,
        threads,
        ranks.mine(),
        ranks.count(),
        valid=own_frames(source, rows),
        replacement=recipe.sampling == "with_replacement" and batch_size is None,
        told={name: f"recipe {recipe.name}: views.{name}" for name in recipe.views},
        balance=recipe.balance if batch_size is None else "none",
        fixed=recipe.sampling == "fixed",
    )


@dataclass
class Training:
    """What is trained, where it stands, and what it leaves.

    Attributes:
        watch: what held-out clips have shown, if there are some; `held` are their batches.
        graphs: what compiles the steps, if they are compiled.
        resident: whether the clips lie on the device.
        record: the log, of the rank that writes.
    """

    recipe: Recipe
    clips: Path
    run: Path
    settings: dict[str, Any]
    place: torch.device
    method: Method
    optimizer: torch.optim.Optimizer
    rates: Rates
    at: Position
    watch: Watch | None = None
    graphs: Graphs | None = None
    resident: bool = False
    held: Sequence[Batches] = ()
    record: Log | None = None
    saved: float = field(default_factory=time.monotonic)

    @property
    def length(self) -> Length:
        return self.rates.length

    @property
    def noted(self) -> dict[str, bool | str]:
        """What is noted of a session beside where it went: how its steps were taken."""
        return {**noted(self.graphs), "resident": self.resident}

    @property
    def over(self) -> bool:
        """Whether all steps were taken, or held-out clips have ended it."""
        return self.all_taken or (self.watch is not None and self.watch.stopped)

    @property
    def all_taken(self) -> bool:
        return self.length.taken(self.at.epoch, self.at.step) >= self.length.iterations

    def train(self, batches: Batches, progress: Callable[[Event], None] | None) -> None:
        """The loop over epochs and steps, until the last or until asked to stop."""
        at = self.at
        self.method.train()
        more = () if self.graphs is None else (self.graphs,)
        with stop_requested() as stop:
            while not self.over:
                started, first, steps = time.monotonic(), at.step, self.length.steps_of(at.epoch)
                self.set_rates()
                votes = ranks.Votes()
                for batch in batches.epoch(at.epoch, first):
                    if self.rates.schedule.by == "iteration":
                        self.set_rates()
                    at.add(train_step(self.method, self.optimizer, batch, at.epoch, *more))
                    if progress is not None or ranks.count() > 1:
                        rate = (at.step - first) * self.recipe.batch_size / max(time.monotonic() - started, 1e-9)
                        event = self.event(rate)
                        if progress is not None:
                            progress(event)
                    if votes.cast(asked_to_stop(stop)) or at.step == steps:
                        break
                votes.counted()
                at.seconds += time.monotonic() - started
                at.pool()
                pool_norms(self.method)
                if at.step < steps:  # asked to stop within the epoch
                    break
                self.end_epoch()
                ends = ranks.anywhere(asked_to_stop(stop)) or self.over
                if self.record is not None and (time.monotonic() - self.saved > CHECKPOINT_SECONDS or ends):
                    self.save()
                if ends:
                    break

    def set_rates(self) -> None:
        """Set the rates for the next step."""
        self.rates.set(self.at.epoch, self.at.step, 1.0 if self.watch is None else self.watch.share)

    def event(self, rate: float) -> Event:
        """What a progress display shows: `Position.event`, and {iteration, iterations} if the length is in steps."""
        at, length = self.at, self.length
        event = at.event(length.epochs, length.steps, rate)
        if self.recipe.iterations is not None:
            event |= {"iteration": length.taken(at.epoch, at.step), "iterations": length.iterations}
        return event

    def end_epoch(self) -> None:
        """Log an epoch, look at held-out clips, and keep its weights if the recipe asks for it."""
        recipe, at = self.recipe, self.at
        whole, before = at.step == self.length.steps, at.log_bytes
        shown = self.look() if whole and self.watch is not None else {}
        if self.record is not None:
            guessing = math.log(recipe.method.queue_size + 1) if hasattr(recipe.method, "queue_size") else None
            self.record.write(at, self.rates.first, at.step * recipe.batch_size, guessing, shown)
        check_finite(self.method, at)
        if not whole:  # a longer run goes on in it, and then writes its line anew
            at.log_bytes = before
            return
        at.next_epoch()
        if recipe.keep_every and (at.epoch - 1) % recipe.keep_every == 0 and self.record is not None:
            save_weights(self.run / kept_weights(at.epoch - 1), self.method)
            log.info("epoch %d: its weights are kept, by keep_every: %d", at.epoch - 1, recipe.keep_every)

    def look(self) -> dict[str, float | None]:
        """Take in what the held-out clips show after an epoch; returns it by its name in the log."""
        assert self.watch is not None
        name, figure, higher = judged(measure(self.method, self.held, self.at.epoch, self.settings["seed"]))
        self.watch.note(self.at.epoch, figure, higher, self.method)
        return {name: figure if math.isfinite(figure) else None}

    def save(self) -> None:
        """Write the checkpoint."""
        save_checkpoint(self.run / CHECKPOINT, self.method, self.optimizer, self.at, self.place, self.watch)
        log.debug("checkpoint saved, to go on at epoch %d", self.at.epoch)
        self.saved = time.monotonic()

    def end(self) -> Result:
        """Leave a run that can go on, or one that is finished."""
        record = self.record
        if record is None:
            return self.result("finished" if self.over else "stopped", None, ())
        record.close("finished" if self.over else "stopped")
        if self.over:
            return self.finish(fresh=True)
        check_finite(self.method, self.at)
        self.save()
        end_session(self.run, "stopped", self.at, self.noted)
        return self.result("stopped", record.last, tuple(record.warnings))

    def result(self, state: str, last: dict[str, Any] | None, warnings: tuple[str, ...]) -> Result:
        """What is told of the run as it stands."""
        at, length = self.at, self.length
        done = at.epoch - 1 if state == "stopped" or not at.step else at.epoch
        early = None
        if self.watch is not None and self.watch.stopped and not self.all_taken:
            waited = self.watch.options.stop_after
            early = f"no gain on held-out clips in {waited} epoch{'' if waited == 1 else 's'}"
        if self.recipe.iterations is None:
            return Result(state, done, length.epochs, last, warnings, early=early)
        taken = length.taken(at.epoch, at.step)
        return Result(state, done, length.epochs, last, warnings, taken, length.iterations, early)

    def finish(self, fresh: bool) -> Result:
        """Write the weights and seal the run, unless that was done before or falls to another rank."""
        run, last = self.run, last_entry(self.run)
        if not fresh and (run / WEIGHTS).exists():
            check_files(run, WEIGHTS, f"delete {WEIGHTS}, and the same command writes it again")
        if ranks.mine() == 0 and (fresh or not (run / WEIGHTS).exists()):
            self.write_last_weights()
            seal(
                run,
                "run",
                inputs={"clips": self.clips},
                settings=self.settings,
                content=(RECIPE, SETTINGS, WEIGHTS),
                more={"output": os.fspath(run)},
                begun=end_session(run, "finished", self.at, self.noted),
            )
        warnings = (f"epoch {last['epoch']}: {COLLAPSE_REMEDY}",) if last and last.get("collapsed") else ()
        return self.result("finished" if fresh else "already finished", last, warnings)

    def write_last_weights(self) -> None:
        """Write the weights that the run leaves: its last, or its best where the schedule keeps those."""
        watch, weights, epoch = self.watch, None, self.at.epoch - 1
        if watch is not None and watch.weights is not None:
            weights, epoch = watch.weights, watch.best_epoch
        early = watch is not None and epoch != self.settings["epochs"]
        write_weights(self.run / WEIGHTS, weights or evaluated_weights(self.method), epoch if early else None)


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
