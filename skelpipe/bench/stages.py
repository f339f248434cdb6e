"""How fast every stage is on this machine, and how near that is to what the machine can do.

Each row sets a stage beside a ceiling that is measured in the same run: reading the same bytes, moving the same clips,
multiplying matrices. Of several rounds the fastest counts, the one least disturbed by other work. What runs on one core
is timed by that core's own clock, which stands still while others use it; all else by the clock on the wall. All data
are synthetic and made in a temporary folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from skelpipe.bench.steps import (
    CLASSES,
    DATASET,
    FRAMES,
    POOL,
    SPLIT,
    STREAM,
    build_batches,
    build_trainer,
    clips_for,
    resident_batch,
)
from skelpipe.bench.table import FULL, Report, Row, Scale, figure
from skelpipe.bench.timing import (
    PRECISIONS,
    Roofline,
    describe_machine,
    measure,
    measure_roofline,
    tf32,
    time_calls,
    torch_threads,
)
from skelpipe.bench.work import counted_work, encoder_work, is_reckoned, limit, step_work
from skelpipe.clips.views import View, build_view, render_view
from skelpipe.errors import BadInput
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.parallel import cpu_count
from skelpipe.recordings.text.ntu import parse_ntu
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import Recipe, load_recipe

XSUB60_TRAIN, XSUB60_TEST = 40_091, 16_487
SEQUENCES = (50, 115)  # frames of a recording; NTU RGB+D's mean is about 82
VIEWS_AT_ONCE = 256
Progress = Callable[[int, int], None]


def bench(
    scale: Scale = FULL,
    threads: int | None = None,
    progress: Progress | None = None,
    recipes: Sequence[str] = (),
) -> Report:
    """Measure every stage on this machine, or only the training steps of some recipes.

    Args:
        threads: for the kernels, torch and parser processes; None takes all cores.
        progress: called with (stages done, stages in all).
        recipes: whose training step alone is measured, on drawn clips of the shape that they need; none: every stage.

    Raises:
        BadInput: a stage fails; its message is passed on.
    """
    threads = threads or cpu_count()
    with tempfile.TemporaryDirectory(prefix="skelpipe-bench-") as folder, torch_threads(threads):
        run = Bench(Path(folder), scale if not recipes else replace(scale, recipes=tuple(recipes)), threads)
        if recipes:
            run.stages = (run.draw, *(partial(run.steps, device) for device in run.devices))
        for done, stage in enumerate(run.stages):
            if progress is not None:
                progress(done, len(run.stages))
            stage()
        machine = run.report.machine
        if machine.load > machine.cores / 2:
            busy = f"the machine was busy (load {machine.load:.1f} on {machine.cores} cores)"
            run.report.notes.append(f"{busy}: what uses all cores comes out too slow")
        return run.report


class Bench:
    """The stages in the order they are measured; later ones use what earlier ones have made."""

    def __init__(self, folder: Path, scale: Scale, threads: int) -> None:
        self.folder, self.scale, self.threads = folder, scale, threads
        self.raw, self.store, self.clips = folder / "raw", folder / "store.zarr", folder / "clips.zarr"
        self.report = Report(describe_machine(threads))
        self.cpu = torch.device("cpu")
        self.devices = [self.cpu, *([torch.device("cuda")] if torch.cuda.is_available() else [])]
        self.rooflines: dict[tuple[str, str], Roofline] = {}
        self.stages: tuple[Callable[[], None], ...] = (
            self.make, self.parse, self.ingest, self.prepare, self.load, self.views, self.batches,
            *(lambda d=d: self.steps(d) for d in self.devices), self.embed, self.predict, self.linear, self.start,
        )  # fmt: skip

    def add(self, stage: str, speed: float, unit: str, share: float, ceiling: str, bound: str) -> None:
        """Note a row."""
        self.report.rows.append(Row(stage, speed, unit, share, ceiling, bound))

    def on_one_core(self, call: Callable[[], object]) -> float:
        """Seconds per call of what works in this thread alone."""
        return measure(call, self.scale.seconds, clock=time.thread_time)

    def command(self, *words: object) -> float:
        """Seconds that a command takes.

        Raises:
            BadInput: it failed.
        """
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH")) if p)
        command, environment = [sys.executable, "-m", "skelpipe", *map(str, words)], os.environ | {"PYTHONPATH": path}
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        taken = time.perf_counter() - started
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
            raise BadInput(f"skelpipe {words[0]}", f"failed: {said[-1]}", "run that command alone to see more")
        return taken

    # ---- raw text to clips

    def make(self) -> None:
        """Write the recordings: all of them, and the first few apart."""
        from skelpipe.recordings.synthetic import write_raw

        scale = {"setups": 1, "replications": 1, "frames": SEQUENCES}
        made = write_raw(DATASET, self.raw, actions=self.scale.actions, subjects=self.scale.subjects, **scale)  # type: ignore[arg-type]
        self.files, self.bytes = made.files, made.bytes
        write_raw(DATASET, self.folder / "few", actions=1, subjects=2, **scale)  # type: ignore[arg-type]

    def parse(self) -> None:
        """Text in memory to arrays, beside reading the files."""
        paths = sorted(self.raw.rglob("*.skeleton"))[:200]
        texts = [path.read_bytes() for path in paths]
        size = sum(map(len, texts))
        reading = size / self.on_one_core(lambda: [path.read_bytes() for path in paths])
        speed = size / self.on_one_core(lambda: [parse_ntu(text) for text in texts])
        self.parsing = speed
        self.report.ceilings["read bytes/s"] = reading
        bound = "turning digits into numbers" if speed < reading else "reading"
        ceiling = f"reading the files from the page cache, {reading / 1e6:,.0f} MB/s"
        self.add("parse, one core", speed / 1e6, "MB/s", speed / reading, ceiling, bound)

    def ingest(self) -> None:
        """The command, beside parsing alone on as many cores."""
        workers = ("--workers", self.threads if self.threads > 1 else 0)
        few = self.folder / "few.zarr"
        starting = self.command("ingest", DATASET, self.folder / "few", few, *workers)
        taken = self.command("ingest", DATASET, self.raw, self.store, *workers)
        least = self.bytes / self.parsing / self.threads
        ceiling = f"parsing on {self.threads} cores, {self.files / least:,.0f} files/s"
        bound = begun(starting, taken, "parsing, and writing chunks")
        self.add("ingest, the command", self.files / taken, "files/s", least / taken, ceiling, bound)

    def prepare(self) -> None:
        """The kernel, beside a copy of what it reads and writes; then the command, beside the kernel."""
        from skelpipe.clips.prepare import Settings, prepare_clips
        from skelpipe.clips.ragged import read_block
        from skelpipe.recordings import store

        group, _ = store.open_group(self.store, "store")
        offset, frames = (store.read_array(group, name).astype(np.int64) for name in ("clip_offset", "clip_frames"))
        count = min(len(frames), 512)
        ragged = read_block(group, offset, frames, 0, count)
        alone = count / self.on_one_core(lambda: prepare_clips(ragged, KINECT_V2, Settings(FRAMES), 1))
        target = np.empty((count, 3, FRAMES, len(KINECT_V2.joints), 2), np.float32)
        copying = count / self.on_one_core(lambda: (ragged.joints.copy(), target.copy()))
        ceiling = f"copying its input and output, {copying:,.0f} clips/s"
        self.add("prepare, one core", alone, "clips/s", alone / copying, ceiling, "arithmetic, frame by frame")
        starting = self.command("prepare", self.folder / "few.zarr", self.folder / "few-50.zarr")
        taken = self.command("prepare", self.store, self.clips, "--frames", FRAMES, "--threads", self.threads)
        least = len(frames) / (alone * self.threads)
        ceiling = f"the kernel on {self.threads} cores, {alone * self.threads:,.0f} clips/s"
        bound = begun(starting, taken, "reading and writing chunks")
        self.add("prepare, the command", len(frames) / taken, "clips/s", least / taken, ceiling, bound)

    # ---- clips to batches

    def load(self) -> None:
        """Bring the clips into memory, again and again until a cache cannot hold them."""
        from skelpipe.recordings.store import Clips

        self.data = np.resize(Clips(self.clips).load(), (POOL, 3, FRAMES, len(KINECT_V2.joints), 2))

    def draw(self) -> None:
        """Clips of noise in place of those: as many as the largest batch has."""
        shape = (self.scale.batch, 3, FRAMES, len(KINECT_V2.joints), 2)
        self.data = np.random.default_rng(0).standard_normal(shape, np.float32)

    def views(self) -> None:
        """Views with gather and stream, beside the gather alone."""
        rows = np.random.default_rng(0).permutation(POOL)[:VIEWS_AT_ONCE]
        out = np.empty((len(rows), *self.data.shape[1:]), np.float32)
        gathering = len(rows) / self.on_one_core(lambda: np.take(self.data, rows, axis=0, out=out, mode="clip"))
        ceiling = f"gathering the clips, {gathering:,.0f}/s"
        self.rendering: dict[str, float] = {}
        for name in ("normal", "extreme"):
            view = build_view(name)
            taken = self.render(view, rows, out)
            costs = [taken - self.render(view_without(view, i), rows, out) for i in range(len(view.steps))]
            worst = int(np.argmax(costs))
            bound = f"{view.steps[worst].name}: {max(0.0, costs[worst]) / taken:.0%} of the time"
            self.rendering[str(view)] = len(rows) / taken
            share = len(rows) / taken / gathering
            self.add(f"{name} view, one core", len(rows) / taken, "views/s", share, ceiling, bound)

    def render(self, view: View, rows: npt.NDArray[np.int64], out: npt.NDArray[np.float32]) -> float:
        """Seconds for a view of so many clips on one core."""
        return self.on_one_core(lambda: render_view(self.data, rows, rows, view, STREAM, KINECT_V2, 0, 1, 0, out, 1))

    def batches(self) -> None:
        """Batches on the device as training takes them, beside their views alone."""
        device = self.devices[-1]
        for name in self.scale.recipes[:2]:
            recipe = self.recipe(name, device)
            batches = build_batches(recipe, clips_for(recipe, self.data), device, self.threads)
            list_nothing(batches.epoch(1))
            used = -time.process_time()
            taken = time_calls(lambda b=batches: list_nothing(b.epoch(1)))  # type: ignore[misc]
            used += time.process_time()
            clips = batches.steps * recipe.batch_size
            views = [recipe.view(view) for view in recipe.views]
            alone = sum(1 / self.rendering[str(view)] for view in views)
            ceiling = f"its {len(views)} views on {self.threads} cores, {self.threads / alone:,.0f} clips/s"
            idle = max(0.0, 1 - used / taken / self.threads)
            bound = f"views: {clips * alone / used:.0%} of its CPU time; {idle:.0%} of the cores' time was not its own"
            self.add(
                f"ready batches, {name}", clips / taken, "clips/s", clips * alone / self.threads / taken, ceiling, bound
            )

    # ---- training and what follows

    def recipe(self, name: str, device: torch.device) -> Recipe:
        """The recipe as it is timed on a device."""
        own = [] if device.type == "cuda" else [f"batch_size={self.scale.batch}"]
        return load_recipe(name, [*own, *self.scale.overrides])

    def roofline(self, device: torch.device, precision: str) -> Roofline:
        """What the device can do; measured once."""
        key = (device.type, precision)
        if key not in self.rooflines:
            with tf32(device.type == "cuda" and torch.backends.cudnn.allow_tf32):
                self.rooflines[key] = measure_roofline(device, precision, self.scale.seconds)
            self.report.ceilings[f"{device.type} {precision} FLOP/s"] = self.rooflines[key].flop
            self.report.ceilings[f"{device.type} copied bytes/s"] = self.rooflines[key].bytes
        return self.rooflines[key]

    def steps(self, device: torch.device) -> None:
        """Training steps on data that lie on the device already, beside what arithmetic and memory allow."""
        for name in self.scale.recipes:
            recipe = self.recipe(name, device)
            data = clips_for(recipe, self.data)
            batch = resident_batch(build_batches(recipe, data, device, self.threads))
            counted = None if is_reckoned(recipe) else counted_work(recipe, batch)
            for precision in PRECISIONS:
                roofline = self.roofline(device, precision)
                number = PRECISIONS[precision].itemsize
                least = roofline.least(counted or step_work(recipe, KINECT_V2, FRAMES, recipe.batch_size, number))
                stage = f"training step, {name}, {device.type}, {precision}, batch {recipe.batch_size}"
                if device.type == "cpu" and least[0] > self.scale.patience:
                    kind = {"bf16": "bfloat16", "fp32": "float32"}[precision]
                    slow = f"this CPU multiplies {kind} at {roofline.flop / 1e9:,.1f} GFLOP/s"
                    self.report.notes.append(f"{stage}: not timed, because {slow}")
                    continue
                trainer = build_trainer(recipe, device, precision)
                taken = measure(lambda t=trainer, b=batch: t.step(b), self.scale.seconds, device)  # type: ignore[misc]
                ceiling = f"{roofline.flop / 1e9:,.0f} GFLOP/s and {roofline.bytes / 1e9:,.0f} GB/s"
                self.add(stage, 1e3 * taken, "ms", max(least) / taken, ceiling, limit(least, taken))

    def embed(self) -> None:
        """Features of clips in a folder, beside the arithmetic of the bodies that are there."""
        from skelpipe.evaluation.features import encode, load_run
        from skelpipe.recordings.store import Clips

        recipe = load_recipe(self.scale.recipes[0], [f"batch_size={self.scale.batch}", *self.scale.overrides], epochs=0)
        pretrain(recipe, self.clips, self.folder / "run", split=SPLIT, stream=STREAM, device="cpu")
        source = Clips(self.clips)
        run = load_run(self.folder / "run", source, str(self.devices[-1]))
        rows = np.resize(np.arange(len(source)), self.scale.embed)
        encode(run, source, rows[:8])
        taken = time_calls(lambda: encode(run, source, rows))
        bodies = int(source.load(rows)[..., : recipe.bodies].any(axis=(1, 2, 3)).sum())
        forward, _ = encoder_work(recipe.encoder, KINECT_V2, FRAMES, 4)
        roofline = self.roofline(run.device, "fp32")
        least = roofline.least(forward * bodies)
        ceiling = f"{roofline.flop / 1e9:,.0f} GFLOP/s and {roofline.bytes / 1e9:,.0f} GB/s"
        stage = f"embed, {run.device.type}"
        self.add(stage, len(rows) / taken, "clips/s", max(least) / taken, ceiling, limit(least, taken))

    def predict(self) -> None:
        """One window, and clips of a folder, by the encoder that was embedded with."""
        from skelpipe.bench.predictions import prediction_rows
        from skelpipe.evaluation.features import load_run
        from skelpipe.recordings.store import Clips

        source = Clips(self.clips)
        run = load_run(self.folder / "run", source, str(self.devices[-1]))
        self.report.rows += prediction_rows(run, source, self.scale.seconds, self.scale.embed)

    def linear(self) -> None:
        """The linear protocol on random features of xsub60's size, or of a share of it and then multiplied."""
        from skelpipe.evaluation.features import Features
        from skelpipe.evaluation.linear import EPOCHS, linear
        from skelpipe.evaluation.protocol import Setup

        device = self.devices[-1]
        train, test = (max(CLASSES, int(self.scale.features * n)) for n in (XSUB60_TRAIN, XSUB60_TEST))
        rng, n, size = np.random.default_rng(0), train + test, 256
        features = Features(
            np.arange(n).astype(str), np.arange(n) % CLASSES, np.arange(n) < train, np.arange(n) % 20,
            rng.standard_normal((n, size), np.float32),
        )  # fmt: skip
        taken = time_calls(lambda: linear(features, Setup(CLASSES, device))) * XSUB60_TRAIN / train
        least = 2 * EPOCHS * XSUB60_TRAIN * 6 * size * CLASSES / self.roofline(device, "fp32").flop
        part = "" if train == XSUB60_TRAIN else f", from {train / XSUB60_TRAIN:.0%} of it"
        ceiling = f"its arithmetic alone, {figure(least)} s"
        bound = "arithmetic" if least > taken / 2 else "small steps, two trainings of 100 epochs"
        self.add(f"linear protocol, xsub60's size{part}", taken, "s", least / taken, ceiling, bound)

    def start(self) -> None:
        """Commands that do little."""
        python = measure(lambda: subprocess.run([sys.executable, "-c", ""], check=True), self.scale.seconds)
        for words in (("--help",), ("inspect", self.clips)):
            taken = measure(lambda words=words: self.command(*words), self.scale.seconds, warm=0)  # type: ignore[misc]
            ceiling, bound = f"starting Python, {figure(python)} s", "importing modules"
            self.add(f"start of skelpipe {words[0]}", taken, "s", python / taken, ceiling, bound)


def begun(starting: float, taken: float, work: str) -> str:
    """What bounds a command, given how long it takes with next to nothing to do."""
    if starting > taken / 2:
        return f"its start, {figure(min(starting, taken))} of {figure(taken)} s: more data go faster"
    return f"{work}; its start is {figure(starting)} of {figure(taken)} s"


def view_without(view: View, left_out: int) -> View:
    """A view that lacks one of its steps."""
    return View(tuple(step for i, step in enumerate(view.steps) if i != left_out))


def list_nothing(items: Iterator[object]) -> None:
    """Take all items and keep none."""
    for _ in items:
        pass
