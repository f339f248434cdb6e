"""Pretraining: the loop, its checkpoints and its log."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from skelpipe import __version__, ranks
from skelpipe.allocator import keep_memory
from skelpipe.batches import Batch, Batches, check_batch
from skelpipe.datasets import find_split, split_masks
from skelpipe.disk import refusals, write_bytes, write_json
from skelpipe.errors import BadInput
from skelpipe.history import DONE, PROVENANCE, read_json
from skelpipe.methods import METHODS
from skelpipe.methods.moco import Network
from skelpipe.methods.synced import pool_norms, sync_norms
from skelpipe.outputs import check_target, check_unchanged, clock, command, locked, new_folder, read_digest, seal
from skelpipe.parallel import tell_threads
from skelpipe.recipe import Optimizer, Recipe
from skelpipe.saved import read_saved
from skelpipe.store import Clips
from skelpipe.streams import check_stream
from skelpipe.sums import check_files, is_output

CHECKPOINT_SECONDS = 30.0  # at most this much work is lost to a kill, plus the epoch it fell in
CHECKPOINT, WEIGHTS, LOG, SETTINGS, RECIPE = (
    "checkpoint.pt",
    "weights.safetensors",
    "log.jsonl",
    "settings.json",
    "recipe.yaml",
)
COLLAPSE_SPREAD, COLLAPSE_LOSS = 1e-3, 0.01  # the second relative to ln(K+1)
ANEW = "delete this run, or pass --force to start anew"
COLLAPSE_REMEDY = (
    "the embeddings have collapsed: all clips look alike and the loss stays at that of guessing (ln(K+1)); "
    "start from '--set init=torch --set method.key_init=copy', which does not begin on this plateau"
)

Event = dict[str, Any]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What became of a pretraining: "finished", "stopped" (by Ctrl-C or SIGTERM; resumable) or "already finished"."""

    state: str
    epoch: int
    epochs: int
    last: dict[str, Any] | None
    warnings: tuple[str, ...]


def pretrain(
    recipe: Recipe,
    clips: str | Path,
    run: str | Path,
    *,
    split: str,
    stream: str,
    seed: int = 0,
    device: str = "auto",
    precision: str = "fp32",
    half_storage: bool = False,
    force: bool = False,
    threads: int | None = None,
    progress: Callable[[Event], None] | None = None,
) -> Result:
    """Train the recipe's encoder on the training part of a split and leave a RUN folder.

    A RUN made with the same settings is resumed where it stopped, bit for bit on a CPU.

    Of several ranks (see `ranks`) each trains on its share of every batch, and rank 0 writes. Their number is no
    setting: RUN is resumed by as many as there are, and all but rank 0 then draw new dropout masks.

    Args:
        clips: a clips folder.
        run: the folder to make or to resume.
        split: key of `datasets.SPLITS`.
        stream: joint, motion or bone; 3s for a recipe that trains all three together.
        device: "auto", "cpu", "cuda", "cuda:1", ...; of several ranks each takes a GPU of its own.
        precision: "fp32", or "bf16" for the encoder's arithmetic (embeddings, BN statistics and loss stay float32).
        half_storage: keep the clips in memory as float16, half the space, at a rounding of up to 1 mm at 3 m.
        force: start anew if RUN was made with other settings.
        threads: CPU threads for torch and the kernels, of each rank.
        progress: called with {epoch, epochs, step, steps, loss, clips_per_second} while training.

    Raises:
        BadInput: an input does not fit, RUN belongs to something else, or the loss is no longer finite.
    """
    with ranks.joined():
        source = Clips(clips)
        check_recipe_stream(recipe, stream)
        threads = ranks.threads(threads)
        if threads:
            torch.set_num_threads(threads)
        place = choose_device(ranks.device_name(device))
        train, _ = split_masks(split, source.dataset, source.columns, source.attributes.get("split_files"))
        rows = np.flatnonzero(train)
        check_batch(recipe.batch_size, len(rows))
        share = ranks.share(recipe.batch_size)
        tell_plan(recipe, source, len(rows), split, stream, seed, share)
        tell_threads(log, threads)
        log.info("threads of torch: %d", torch.get_num_threads())
        settings = run_settings(
            recipe,
            stream=stream,
            split=split,
            seed=seed,
            dataset=source.dataset,
            layout=source.layout.name,
            frames=source.frames,
            clips=len(rows),
            clips_digest=read_digest(source.path),
            precision=precision,
            half_storage=half_storage,
        )
        run = Path(os.path.abspath(run))
        writes = ranks.mine() == 0
        with locked(run) if writes else nullcontext(), refusals(run):
            if writes:
                prepare_folder(run, recipe, settings, force, source.path)
            ranks.wait()  # before that RUN may hold another run's checkpoint
            return train_method(recipe, source, rows, run, settings, place, threads, progress)


ALL_STREAMS = "3s"


def tell_plan(recipe: Recipe, source: Clips, clips: int, split: str, stream: str, seed: int, share: int) -> None:
    """Log what is about to be trained on what."""
    log.info("recipe %s: %s, positives %s", recipe.name, recipe.method.name, recipe.positives.name)  # type: ignore[attr-defined]
    log.debug("all of the recipe: %s", recipe.model_dump(mode="json"))
    made = ", ".join(
        f"{key} {source.attributes[key]}" for key in ("bodies", "centre", "turn") if key in source.attributes
    )
    log.info("clips %s: %s, %d frames, %s", source.path, source.dataset, source.frames, made or "nothing said of them")
    log.info("split %s: %s of %s clips are its training part", split, f"{clips:,}", f"{len(source):,}")
    streams = f"{', '.join(recipe.streams)}, trained together" if recipe.streams else stream
    log.info("stream %s; %d bodies; seed %d; %d epochs", streams, recipe.bodies, seed, recipe.epochs)
    if ranks.count() > 1:
        norm = "over all ranks, by" if recipe.batch_norm == "synced" else "within each rank, by"
        log.info("%d ranks, %d clips of each batch of %d each", ranks.count(), share, recipe.batch_size)
        log.info("batch norm %s batch_norm: %s", norm, recipe.batch_norm)
    else:
        log.info("one process, batches of %d; batch_norm: %s makes no difference", recipe.batch_size, recipe.batch_norm)


def tell_arithmetic(place: torch.device, precision: str, half_storage: bool, synced: bool, held: int) -> None:
    """Log with which numbers and operators is computed, and why."""
    if place.type != "cpu":
        operators = "torch's operators, as the fused ones are for CPUs"
    elif precision != "fp32":
        operators = "torch's operators, as the fused ones compute in float32"
    elif synced:
        operators = "torch's operators, as the fused ones know no batch norm over ranks"
    else:
        operators = "fused operators, as this is float32 on a CPU"
    log.info("precision %s: %s", precision, operators)
    stored = "float16, by --half-storage" if half_storage else "float32, without --half-storage"
    log.info("the clips take %s MB of memory as %s", f"{held / 1e6:,.1f}", stored)


def check_recipe_stream(recipe: Recipe, stream: str) -> None:
    """Raise BadInput unless the recipe can be trained on this stream."""
    if recipe.streams and stream != ALL_STREAMS:
        what = f"is one, and {recipe.name} trains {', '.join(recipe.streams)} together"
        raise BadInput(f"--stream {stream}", what, f"use --stream {ALL_STREAMS}")
    if not recipe.streams:
        if stream == ALL_STREAMS:
            what = f"is all three, and {recipe.name} trains one stream a run"
            raise BadInput(f"--stream {stream}", what, "use joint, motion or bone, and 'skelpipe fuse' afterwards")
        check_stream(stream)


def run_settings(
    recipe: Recipe,
    *,
    stream: str,
    split: str,
    seed: int,
    dataset: str,
    layout: str,
    frames: int,
    clips: int | None,
    clips_digest: str | None,
    precision: str = "fp32",
    half_storage: bool = False,
) -> dict[str, Any]:
    """What `settings.json` holds: all that decides the weights; runs of equal settings go on from each other."""
    return {
        "recipe": recipe.name,
        "method": recipe.method.name,
        "positives": recipe.positives.name,  # type: ignore[attr-defined]
        "encoder": recipe.encoder.model_dump(mode="json"),
        "stream": stream,
        "split": split,
        "seed": seed,
        "epochs": recipe.epochs,
        "dataset": dataset,
        "layout": layout,
        "frames": frames,
        "clips": clips,
        "clips_digest": clips_digest,
        "precision": precision,
        "half_storage": half_storage,
        "recipe_settings": recipe.model_dump(mode="json"),
    }


def build_sgd(options: Optimizer, method: torch.nn.Module) -> torch.optim.SGD:
    """The optimiser over all that is trained."""
    return torch.optim.SGD(
        [p for p in method.parameters() if p.requires_grad],
        lr=options.lr,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        nesterov=options.nesterov,
    )


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


class Position:
    """Where training stands: the epoch (from 1), the steps taken in it, and the sums of its log."""

    def __init__(self) -> None:
        self.epoch, self.step, self.seconds, self.log_bytes = 1, 0, 0.0, 0
        self.sums: dict[str, torch.Tensor] = {}

    def add(self, values: dict[str, torch.Tensor]) -> None:
        """Count a step; the sums stay on the device, so nothing waits for it."""
        self.step += 1
        for name, value in values.items():
            self.sums[name] = value.double() + self.sums[name] if name in self.sums else value.double()

    def pool(self) -> None:
        """Replace the sums by their means over the ranks, which may be done at any time, since adding is linear."""
        if ranks.count() > 1 and self.sums:
            total = torch.stack(list(self.sums.values()))
            ranks.average([total])
            self.sums = dict(zip(self.sums, total.unbind(), strict=True))

    def means(self) -> dict[str, float | None]:
        """The epoch's averages so far; what was never a number is None."""
        means = {name: float(total) / max(1, self.step) for name, total in self.sums.items()}
        if not math.isfinite(means["loss"]):
            raise self.diverged(f"the loss is {means['loss']}")
        return {name: value if math.isfinite(value) else None for name, value in means.items()}

    def diverged(self, what: str) -> BadInput:
        """What to say of numbers that are none."""
        remedy = "lower the rate (--set optimizer.lr=…) or use --precision fp32; the last checkpoint is kept"
        return BadInput(f"epoch {self.epoch}, step {self.step}", what, remedy)

    def event(self, epochs: int, steps: int, rate: float) -> Event:
        """What a progress display shows; reading the loss waits for the device, so it is read ten times an epoch.

        Where there are several ranks all must call this, for they then pool their sums.
        """
        event: Event = {"epoch": self.epoch, "epochs": epochs, "step": self.step, "steps": steps}
        if self.step % max(1, steps // 10) == 0 or self.step == steps:
            self.pool()
            event |= {"loss": self.means()["loss"], "clips_per_second": rate}
        return event

    def next_epoch(self) -> None:
        """Start the sums anew."""
        self.epoch, self.step, self.seconds, self.sums = self.epoch + 1, 0, 0.0, {}


class Log:
    """`log.jsonl`, one object per epoch, and the same for TensorBoard; cut back to where a resumed run stands."""

    def __init__(self, run: Path, at: Position) -> None:
        self.path = run / LOG
        with open(self.path, "ab") as file:
            file.truncate(at.log_bytes)
        self.last = last_entry(run)
        self.board = Board(run / "tensorboard", at.epoch)
        self.warnings: list[str] = []

    def write(self, at: Position, lr: float, clips: int, guessing: float | None) -> None:
        """Add the epoch that `at` has just ended; `guessing` is the contrastive loss of guessing, if there is one."""
        entry = {"epoch": at.epoch, **at.means(), "lr": lr}
        if ranks.count() > 1:
            entry["ranks"] = ranks.count()
        streams = [name.removeprefix("spread") for name in entry if name.startswith("spread")]
        if guessing is not None and any(collapsed(entry, stream, guessing) for stream in streams):
            entry["collapsed"] = True
        if entry.get("collapsed") and not self.warnings:
            self.warnings.append(f"epoch {at.epoch}: {COLLAPSE_REMEDY}")
        entry |= {"clips_per_second": round(clips / max(at.seconds, 1e-9), 1), "seconds": round(at.seconds, 3)}
        with open(self.path, "ab") as file:
            file.write((json.dumps(entry) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())
            at.log_bytes = file.tell()
        self.board.write(at.epoch, {name: value for name, value in entry.items() if isinstance(value, float)})
        self.last = entry
        log.debug("epoch %d: %s", at.epoch, entry)

    def close(self) -> None:
        """Close the TensorBoard file."""
        self.board.close()


class Board:
    """A file of TensorBoard's, written at once: a killed run lacks nothing in it that its checkpoint has.

    Torch's own writer keeps events back for two minutes, and its thread, not the caller, learns of a full disk.
    """

    def __init__(self, folder: Path, epoch: int) -> None:
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(exist_ok=True)
        # Read in the order of their names; a resumed run's file takes back what an older one says from `epoch` on.
        self._file = open(folder / f"events.out.tfevents.{time.time():.6f}.{os.getpid()}", "wb")  # noqa: SIM115
        self._events, self._records = event_pb2, RecordWriter(self._file)
        self._write(file_version="brain.Event:2")
        self._write(step=epoch, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))

    def _write(self, **content: Any) -> None:
        self._records.write(self._events.Event(wall_time=time.time(), **content).SerializeToString())
        self._file.flush()

    def write(self, epoch: int, values: Mapping[str, float]) -> None:
        """Add the scalars of an epoch."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(step=epoch, summary=Summary(value=scalars))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def collapsed(entry: Mapping[str, Any], stream: str, guessing: float) -> bool:
    """Whether an epoch's log (of one stream's, `_bone` say, or all of it, ``) shows equal embeddings and guessing."""
    info_nce, spread = entry[f"info_nce{stream}"], entry[f"spread{stream}"]
    if info_nce is None or spread is None or spread >= COLLAPSE_SPREAD:
        return False
    return bool(abs(info_nce - guessing) < COLLAPSE_LOSS * guessing)


def last_entry(run: Path) -> dict[str, Any] | None:
    """The last epoch in a run's log, or None where there is none that can be read."""
    try:
        entry = json.loads((run / LOG).read_bytes().splitlines()[-1])
    except (OSError, ValueError, IndexError):
        return None
    return entry if isinstance(entry, dict) else None


def collapsed_at(run: Path, epoch: int) -> bool:
    """Whether a run's log says that the embeddings had collapsed at that epoch."""
    try:
        entries = [json.loads(line) for line in (run / LOG).read_bytes().splitlines()]
    except (OSError, ValueError):
        return False
    return any(e.get("epoch") == epoch and e.get("collapsed") for e in entries if isinstance(e, dict))


def kept_weights(epoch: int) -> str:
    """The file of the weights that `keep_every` has kept."""
    return f"weights-{epoch:04d}.safetensors"


def choose_device(name: str) -> torch.device:
    """Turn "auto" into the first GPU, or the CPU if there is none; a CPU's memory is kept from then on.

    Raises:
        BadInput: the device does not exist here.
    """
    why = "as asked"
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
        why = "auto: the first GPU that torch finds" if name == "cuda" else f"auto: {no_gpu()}"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise BadInput(f"--device {name}", "is not available here", "use auto or cpu") from None
    log.info("device %s (%s)", device, why)
    if device.type == "cpu":
        kept = keep_memory()
        log.debug("memory: %s", "kept between steps" if kept else "left to the C library, which cannot be told")
    return device


def no_gpu() -> str:
    """Why there is no GPU to be used."""
    if torch.version.cuda is None and torch.version.hip is None:
        return "this torch is built without CUDA"
    return "torch finds no CUDA device"


def set_determinism(seed: int) -> None:
    """Seed torch and let cuDNN choose the same algorithms each time."""
    torch.manual_seed(seed)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def prepare_folder(run: Path, recipe: Recipe, settings: dict[str, Any], force: bool, clips: Path) -> None:
    """Make RUN, or check that it is one that these settings may go on with.

    Raises:
        BadInput: RUN is something else, or was made with other settings and `force` is not set.
    """
    if is_output(run):
        if same_settings(run, settings) and not (force and damaged(run)):
            check_files(run, is_kept, ANEW)
            log.info("%s: is there, of the same recipe, clips and options, so this goes on with it", run)
            return
        if not force:
            check_files(run, is_kept, ANEW)
            what = "was made with other settings (see its recipe.yaml and settings.json)"
            raise BadInput(run, what, "choose another path, or pass --force to start anew")
    else:
        check_target(run, force=False)
    # In one step: a run that a kill left without its provenance would be nobody's, and could not be gone on with.
    inputs = {"clips": clips}
    with new_folder(run, "run", force=force, inputs=inputs, settings=settings, sealed=False, lock=False) as folder:
        write_bytes(folder / RECIPE, recipe.dump().encode())
        write_json(folder / SETTINGS, settings)


def begin_session(run: Path, at: Position, place: torch.device, threads: int | None) -> None:
    """Note in the run's provenance that a command goes on with it from here."""
    session = {
        "command": command(),
        "skelpipe": __version__,
        "torch": torch.__version__,
        "started": clock(),
        "from_epoch": at.epoch,
        "device": torch.cuda.get_device_name(place) if place.type == "cuda" else str(place),
        "threads": threads or torch.get_num_threads(),
        "ranks": ranks.count(),
    }
    made = read_json(run / PROVENANCE)
    write_json(run / PROVENANCE, {**made, "sessions": [*sessions_of(made), session]})


def end_session(run: Path, state: str, at: Position) -> dict[str, Any]:
    """Note how far that command came, and return the run's provenance."""
    made = read_json(run / PROVENANCE)
    told = sessions_of(made)
    if told and "ended" not in told[-1]:
        told[-1] |= {"ended": clock(), "state": state, "epochs_done": at.epoch - 1}
        made = {**made, "sessions": told}
        write_json(run / PROVENANCE, made)
    return made


def sessions_of(made: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The commands that have worked on a run, the first one first."""
    told = made.get("sessions")
    return [session for session in told if isinstance(session, dict)] if isinstance(told, list) else []


def is_kept(name: str) -> bool:
    """Whether a file of a finished run has to be as it was; lost weights are written again from the checkpoint."""
    return name != WEIGHTS


def damaged(run: Path) -> bool:
    """Whether a file of a finished run is not as it was."""
    try:
        check_files(run, is_kept)
    except BadInput:
        return True
    return False


def same_settings(run: Path, settings: dict[str, Any]) -> bool:
    """Whether RUN was started from the same recipe, clips and options."""
    try:
        return bool(json.loads((run / SETTINGS).read_text()) == settings)
    except (OSError, ValueError):
        return False


def save_checkpoint(
    path: Path, method: torch.nn.Module, sgd: torch.optim.Optimizer, at: Position, device: torch.device
) -> None:
    """Write everything that resuming needs: networks, queue, optimiser, random state, position and sums."""
    import io

    state = {
        "skelpipe": __version__,
        "method": method.state_dict(),
        "optimizer": sgd.state_dict(),
        "cpu_random": torch.get_rng_state(),
        "cuda_random": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "position": {"epoch": at.epoch, "step": at.step, "seconds": at.seconds, "log_bytes": at.log_bytes},
        "sums": at.sums,
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_bytes(path, buffer.getvalue())


def load_checkpoint(path: Path, method: torch.nn.Module, sgd: torch.optim.Optimizer, device: torch.device) -> Position:
    """Put back what `save_checkpoint` wrote.

    Raises:
        BadInput: the file is damaged or does not fit.
    """
    try:
        state: dict[str, Any] = read_saved(path)
        method.load_state_dict(state["method"])
        sgd.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["cpu_random"])
        if device.type == "cuda" and state["cuda_random"] is not None:
            torch.cuda.set_rng_state(state["cuda_random"], device)
        at = Position()
        vars(at).update(state["position"])
        at.sums = {name: value.to(device) for name, value in state["sums"].items()}
    except Exception as error:
        raise BadInput(path, f"cannot be resumed from ({error})", "delete it to start this run anew") from None
    return at


def save_weights(path: Path, method: torch.nn.Module) -> None:
    """Write the query network (encoder and projector), or those of all streams, as safetensors."""
    from safetensors.torch import save

    network: Any = method.evaluated
    # Cloned, because streams may share a head, and the format refuses shared memory.
    state = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in network.state_dict().items()
    }
    write_bytes(path, save(state))


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
