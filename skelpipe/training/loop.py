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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from skelpipe import ranks
from skelpipe.clips.batches import Batch, Batches
from skelpipe.methods import METHODS
from skelpipe.methods.moco import Network
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
    """The loop: from the run's last checkpoint, or from the start, to its last epoch."""
    seed, stream = settings["seed"], settings["stream"]
    set_determinism(seed)
    method = recipe.build_method(source.layout, find_split(settings["split"]).classes).to(place)
    for module in method.modules():
        if isinstance(module, Network):
            module.bfloat16_encoder = settings["precision"] == "bf16"
    sgd = build_sgd(recipe.optimizer, method)
    at = Position()
    if (run / CHECKPOINT).exists():
        at = load_checkpoint(run / CHECKPOINT, method, sgd, place)
        where = f"epoch {at.epoch}, after {at.step} of its steps" if at.epoch <= recipe.epochs else "its end"
        log.info("%s: goes on at %s, where its checkpoint stands", run, where)
    else:
        log.info("%s: starts at the first epoch, as there is no checkpoint", run)
    start_ranks(method, recipe, at, seed)
    if at.epoch > recipe.epochs:
        return finish(run, recipe, settings, source.path, method, at, fresh=not (run / DONE).exists())

    data = source.load(rows, "float16" if settings["half_storage"] else "float32")[..., : recipe.bodies]
    check_unchanged({"clips": source.path}, {"clips": settings["clips_digest"]})
    synced = recipe.batch_norm == "synced" and ranks.count() > 1
    tell_arithmetic(place, settings["precision"], settings["half_storage"], synced, data.nbytes)
    batches = Batches(
        np.ascontiguousarray(data),
        rows,
        source.labels[rows],
        {name: recipe.view(name) for name in METHODS[recipe.method.name].VIEWS},
        recipe.streams or stream,
        source.layout,
        recipe.batch_size,
        seed,
        place,
        threads,
        ranks.mine(),
        ranks.count(),
    )
    record = Log(run, at) if ranks.mine() == 0 else None
    if record is not None:
        begin_session(run, at, place, threads)
    saved = time.monotonic()
    method.train()
    with stop_requested() as stop:
        while at.epoch <= recipe.epochs:
            for group in sgd.param_groups:
                group["lr"] = recipe.optimizer.rate(at.epoch)
            started = time.monotonic()
            first = at.step
            votes = ranks.Votes()
            for batch in batches.epoch(at.epoch, first):
                at.add(train_step(method, sgd, batch, at.epoch))
                rate = (at.step - first) * recipe.batch_size / max(time.monotonic() - started, 1e-9)
                if progress is not None or ranks.count() > 1:
                    event = at.event(recipe.epochs, batches.steps, rate)
                    if progress is not None:
                        progress(event)
                if votes.cast(asked_to_stop(stop)):
                    break
            votes.counted()
            at.seconds += time.monotonic() - started
            at.pool()
            pool_norms(method)
            if at.step < batches.steps:  # asked to stop within the epoch
                break
            if record is not None:
                guessing = math.log(recipe.method.queue_size + 1) if hasattr(recipe.method, "queue_size") else None
                record.write(at, recipe.optimizer.rate(at.epoch), batches.steps * recipe.batch_size, guessing)
            check_finite(method, at)
            at.next_epoch()
            if recipe.keep_every and (at.epoch - 1) % recipe.keep_every == 0 and record is not None:
                save_weights(run / kept_weights(at.epoch - 1), method)
                log.info("epoch %d: its weights are kept, by keep_every: %d", at.epoch - 1, recipe.keep_every)
            ends = ranks.anywhere(asked_to_stop(stop)) or at.epoch > recipe.epochs
            if record is not None and (time.monotonic() - saved > CHECKPOINT_SECONDS or ends):
                save_checkpoint(run / CHECKPOINT, method, sgd, at, place)
                log.debug("checkpoint saved, to go on at epoch %d", at.epoch)
                saved = time.monotonic()
            if ends:
                break
    if record is None:
        return Result("finished" if at.epoch > recipe.epochs else "stopped", at.epoch - 1, recipe.epochs, None, ())
    record.close()
    if at.epoch <= recipe.epochs:
        check_finite(method, at)
        save_checkpoint(run / CHECKPOINT, method, sgd, at, place)
        end_session(run, "stopped", at)
        return Result("stopped", at.epoch - 1, recipe.epochs, record.last, tuple(record.warnings))
    return finish(run, recipe, settings, source.path, method, at, fresh=True)


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


def train_step(
    method: torch.nn.Module, sgd: torch.optim.Optimizer, batch: Batch, epoch: int
) -> dict[str, torch.Tensor]:
    """One step on a batch, or on this rank's share of it; returns the loss and what else the log holds."""
    loss, observed = method(batch.views, batch.labels, epoch)
    sgd.zero_grad(set_to_none=True)
    loss.backward()
    ranks.average([p.grad for group in sgd.param_groups for p in group["params"] if p.grad is not None])
    sgd.step()
    return {"loss": loss.detach(), **observed}


def asked_to_stop(stop: threading.Event) -> bool:
    """Whether Ctrl-C or SIGTERM has reached this rank, or what started it is gone."""
    return stop.is_set() or ranks.abandoned()


def finish(
    run: Path, recipe: Recipe, settings: dict[str, Any], clips: Path, method: torch.nn.Module, at: Position, fresh: bool
) -> Result:
    """Write the weights and seal RUN, unless that was done before or falls to another rank."""
    last = last_entry(run)
    if not fresh and (run / WEIGHTS).exists():
        check_files(run, WEIGHTS, f"delete {WEIGHTS}, and the same command writes it again")
    if ranks.mine() == 0 and (fresh or not (run / WEIGHTS).exists()):
        save_weights(run / WEIGHTS, method)
        seal(
            run,
            "run",
            inputs={"clips": clips},
            settings=settings,
            content=(RECIPE, SETTINGS, WEIGHTS),
            more={"output": os.fspath(run)},
            begun=end_session(run, "finished", at),
        )
    collapsed = bool(last and last.get("collapsed"))
    warnings = (f"epoch {recipe.epochs}: {COLLAPSE_REMEDY}",) if collapsed else ()
    return Result("finished" if fresh else "already finished", recipe.epochs, recipe.epochs, last, warnings)


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
