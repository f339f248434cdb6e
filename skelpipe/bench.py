"""How fast every stage is on this machine, and how near that is to what the machine can do.

Each row sets a stage beside a ceiling that is measured in the same run: reading the same bytes, moving the same clips,
multiplying matrices. Of several rounds the fastest counts, the one least disturbed by other work. What runs on one core
is timed by that core's own clock, which stands still while others use it; all else by the clock on the wall. All data
are synthetic and made in a temporary folder.
"""

from __future__ import annotations

import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from skelpipe.augment import View, build_view, render_view
from skelpipe.batches import Batch, Batches
from skelpipe.datasets.text import parse_ntu
from skelpipe.disk import write_json
from skelpipe.errors import BadInput
from skelpipe.methods import METHODS
from skelpipe.methods.moco import Network
from skelpipe.parallel import cpu_count
from skelpipe.pretrain import build_sgd, pretrain
from skelpipe.recipe import Recipe, load_recipe
from skelpipe.skeleton import KINECT_V2, Layout

if TYPE_CHECKING:
    from rich.console import RenderableType

DATASET, SPLIT, STREAM, CLASSES, FRAMES = "ntu60", "xsub60", "bone", 60, 50
XSUB60_TRAIN, XSUB60_TEST = 40_091, 16_487
SEQUENCES = (50, 115)  # frames of a recording; NTU RGB+D's mean is about 82
POOL = 4096  # clips in memory: more than a cache holds, so that gathering them costs what it does in training
VIEWS_AT_ONCE = 256
PARTITIONS = 3
ROUNDS = 5
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}

Clock = Callable[[], float]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        actions, subjects: of the synthetic recordings: three files for each pair.
        seconds: how long a single measurement may take, warm-up and what cannot be divided apart.
        batch: clips per training step on a CPU; on a GPU it is always the recipe's own.
        recipes: whose training step is timed.
        overrides: of these recipes.
        patience: a CPU whose bfloat16 step would take longer than this many seconds is not asked for one.
        embed: clips that are embedded.
        features: share of xsub60's clips that the linear protocol is given.
    """

    actions: int = 30
    subjects: int = 20
    seconds: float = 3.0
    batch: int = 128
    recipes: tuple[str, ...] = ("skeletonclr", "aimclr", "crosnnclr_star")
    overrides: tuple[str, ...] = ()
    patience: float = 60.0
    embed: int = 1024
    features: float = 1.0


FULL = Scale()
QUICK = Scale(
    actions=10, subjects=10, seconds=0.4, batch=16, recipes=FULL.recipes[:2], patience=4.0, embed=128, features=0.05
)


@dataclass(frozen=True)
class Machine:
    """Where it was measured."""

    cpu: str
    cores: int
    threads: int
    torch: str
    gpu: str | None
    load: float

    def __str__(self) -> str:
        gpu = self.gpu or "no GPU"
        return (
            f"{self.cores} cores ({self.cpu}), {self.threads} threads, torch {self.torch}, {gpu}, load {self.load:.1f}"
        )


@dataclass(frozen=True)
class Row:
    """One stage.

    Attributes:
        speed: in `unit`, which is work per second, or time per work.
        share: of what the ceiling would allow, 1 being all of it; a way with less arithmetic than is counted passes 1.
        ceiling: what it is a share of, in words, with its figure.
        bound: what takes the time, as far as it was measured.
    """

    stage: str
    speed: float
    unit: str
    share: float
    ceiling: str
    bound: str


@dataclass
class Report:
    """All rows; `ceilings` are what was measured of the machine itself, `notes` what was not measured, and why."""

    machine: Machine
    rows: list[Row] = field(default_factory=list)
    ceilings: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def bench(scale: Scale = FULL, threads: int | None = None, progress: Progress | None = None) -> Report:
    """Measure every stage on this machine.

    Args:
        threads: for the kernels, torch and parser processes; None takes all cores.
        progress: called with (stages done, stages in all).

    Raises:
        BadInput: a stage fails; its message is passed on.
    """
    threads = threads or cpu_count()
    with tempfile.TemporaryDirectory(prefix="skelpipe-bench-") as folder, torch_threads(threads):
        run = Bench(Path(folder), scale, threads)
        for done, stage in enumerate(run.stages):
            if progress is not None:
                progress(done, len(run.stages))
            stage()
        machine = run.report.machine
        if machine.load > machine.cores / 2:
            busy = f"the machine was busy (load {machine.load:.1f} on {machine.cores} cores)"
            run.report.notes.append(f"{busy}: what uses all cores comes out too slow")
        return run.report


def table(report: Report) -> RenderableType:
    """The report for a terminal."""
    from rich.console import Group
    from rich.table import Table

    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("stage")
    grid.add_column("speed", justify="right", no_wrap=True)
    grid.add_column("share", justify="right")
    grid.add_column("of")
    grid.add_column("bound by")
    for row in report.rows:
        grid.add_row(row.stage, f"{figure(row.speed)} {row.unit}", f"{row.share:.0%}", row.ceiling, row.bound)
    return Group(str(report.machine), "", grid, *report.notes)


def write_report(report: Report, path: Path) -> None:
    """The same as JSON.

    Raises:
        BadInput: it cannot be written.
    """
    try:
        write_json(path, asdict(report))
    except OSError as error:
        raise BadInput(path, f"cannot be written ({error.strerror})", "choose a path you may write to") from None


def figure(value: float) -> str:
    """Three digits, or all of a large number."""
    if not 0 < abs(value) < 1000:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def describe_machine(threads: int) -> Machine:
    """This machine."""
    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
    except OSError:  # not Linux
        pass
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan
    return Machine(cpu, cpu_count(), threads, torch.__version__, gpu, load)


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Give torch so many threads, for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# ------------------------------------------------------------------------------------------------------------- timing


def time_calls(
    call: Callable[[], object],
    calls: int = 1,
    device: torch.device | None = None,
    clock: Clock = time.perf_counter,
) -> float:
    """Seconds per call by the clock, or by the device's own events on a GPU."""
    if device is not None and device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        torch.cuda.synchronize(device)
        start.record()
        for _ in range(calls):
            call()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3 / calls
    started = clock()
    for _ in range(calls):
        call()
    return (clock() - started) / calls


def measure(
    call: Callable[[], object],
    seconds: float,
    device: torch.device | None = None,
    clock: Clock = time.perf_counter,
    warm: int = 1,
) -> float:
    """Seconds per call in the best of several rounds, which take about so many seconds, after `warm` uncounted ones."""
    for _ in range(warm):
        call()
    first = time_calls(call, 1, device, clock)
    calls = max(1, int(seconds / ROUNDS / max(first, 1e-9)))
    rounds = min(ROUNDS, int(seconds / max(first * calls, 1e-9)))
    return min([first, *(time_calls(call, calls, device, clock) for _ in range(rounds))])


# ------------------------------------------------------------------------------------------- what a machine can do


def matmul_speed(device: torch.device, dtype: torch.dtype, seconds: float) -> float:
    """FLOP per second of square matrix products, the best of three sizes."""
    best = 0.0
    for size in (2048, 4096, 8192) if device.type == "cuda" else (256, 512, 1024):
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        taken = measure(lambda a=a, b=b: a @ b, seconds / 3, device)  # type: ignore[misc]
        best = max(best, 2 * size**3 / taken)
    return best


def copy_speed(device: torch.device, seconds: float) -> float:
    """Bytes per second, read and written, of a copy that no cache holds."""
    numbers = (1 << 28) if device.type == "cuda" else (1 << 25)
    source = torch.ones(numbers, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / measure(lambda: target.copy_(source), seconds, device)


@dataclass(frozen=True)
class Roofline:
    """What a device can do: FLOP and bytes per second."""

    flop: float
    bytes: float

    def least(self, work: Work) -> tuple[float, float]:
        """The seconds that the arithmetic alone and the memory traffic alone would take; they can overlap."""
        return work.flop / self.flop, work.bytes / self.bytes


@dataclass(frozen=True)
class Work:
    """What something needs at least: arithmetic (a multiplication and an addition are two) and memory traffic."""

    flop: float
    bytes: float

    def __add__(self, other: Work) -> Work:
        return Work(self.flop + other.flop, self.bytes + other.bytes)

    def __mul__(self, times: float) -> Work:
        return Work(self.flop * times, self.bytes * times)


def measure_roofline(device: torch.device, precision: str, seconds: float) -> Roofline:
    """Measure matrix products in that precision, and copies."""
    return Roofline(matmul_speed(device, PRECISIONS[precision], seconds), copy_speed(device, seconds))


def encoder_work(options: Any, layout: Layout, frames: int, number: int) -> tuple[Work, Work]:
    """What the encoder needs for one body: (forward in training, backward).

    Arithmetic: every block mixes joints (dense, V×V for each of 3 partitions), multiplies by its 1×1 convolution,
    convolves over time, and some convolve the residual; the mix is counted before or after the 1×1 convolution,
    wherever it costs less. The backward pass needs twice that. A short DFT in place of a long convolution needs less.

    Traffic: three fused kernels per block, each reading its inputs and writing its output once. With x, y and z the
    numbers in a block's input, after its graph convolution and after its temporal convolution: forward 2x + 2y + 3z
    (y and z are read again because batch normalisation needs whole statistics first), backward 2x + 4y + 5z.

    Args:
        options: the recipe's encoder (`STGCNOptions`).
        number: bytes per number.
    """
    w, joints = options.width, len(layout.joints)
    widths = [3, w, w, w, w, 2 * w, 2 * w, 2 * w, 4 * w, 4 * w, options.features]
    flop, forward, backward = 0.0, 0.0, 0.0
    for block, (before, after) in enumerate(pairwise(widths), start=1):
        later = -(-frames // 2) if block in (5, 8) else frames
        flop += 2 * PARTITIONS * before * after * frames * joints
        flop += 2 * PARTITIONS * min(before, after) * frames * joints**2
        flop += 2 * options.time_kernel * after**2 * later * joints
        if block != 1 and (before != after or later != frames):
            flop += 2 * before * after * later * joints
        x, y, z = before * frames * joints, after * frames * joints, after * later * joints
        forward += 2 * x + 2 * y + 3 * z
        backward += 2 * x + 4 * y + 5 * z
        frames = later
    return Work(flop, forward * number), Work(2 * flop, backward * number)


def step_work(recipe: Recipe, layout: Layout, frames: int, batch: int, number: int) -> Work:
    """What one training step needs: every view but the key forwards and backwards, the key forwards only.

    To that come the products with the queue in float32 (one for each embedding that is contrasted, and one for the key
    if the neighbours of other views are mined): the queue is read twice, and the logits and their gradient are written
    and read once each. The optimiser and the momentum update are left out; together they move tens of megabytes.
    """
    views = METHODS[recipe.method.name].VIEWS
    forward, backward = encoder_work(recipe.encoder, layout, frames, number)
    streams = max(1, len(recipe.streams))
    clips = batch * recipe.bodies * streams
    trained = len(views) - ("key" in views)
    work = (forward + backward) * (clips * trained) + forward * (clips * ("key" in views))
    size, queue = recipe.projector.size, getattr(recipe.method, "queue_size", 0)
    branches = trained + ("extreme" in views)  # which counts twice, whole and after the drop
    product = Work(2 * batch * size * queue, 4.0 * queue * (size + 2 * batch))
    mined: bool = recipe.positives.name == "cross_view"  # type: ignore[attr-defined]
    return work + product * (streams * (2 * branches + mined))


# ------------------------------------------------------------------------------------------------------ training steps


@dataclass
class Trainer:
    """A method with its optimiser, ready to take steps as `pretrain` does.

    Attributes:
        run: the method, or what it was compiled to.
    """

    recipe: Recipe
    method: torch.nn.Module
    sgd: torch.optim.Optimizer
    run: Callable[..., Any]

    def step(self, batch: Batch) -> None:
        """One step of the last epoch, when the neighbours that a recipe mines count."""
        loss, _ = self.run(batch.views, batch.labels, self.recipe.epochs)
        self.sgd.zero_grad(set_to_none=True)
        loss.backward()
        self.sgd.step()


def build_trainer(recipe: Recipe, device: torch.device, precision: str) -> Trainer:
    """A fresh method on the device, its encoder in that precision."""
    method = recipe.build_method(KINECT_V2, CLASSES).to(device).train()
    for module in method.modules():
        if isinstance(module, Network):
            module.bfloat16_encoder = precision == "bf16"
    return Trainer(recipe, method, build_sgd(recipe.optimizer, method), method)


def build_batches(
    recipe: Recipe, clips: npt.NDArray[np.float32], device: torch.device, threads: int | None = None
) -> Batches:
    """The recipe's views of clips in memory, in batches, as `pretrain` makes them."""
    views = {name: recipe.view(name) for name in METHODS[recipe.method.name].VIEWS}
    rows = np.arange(len(clips))
    stream = recipe.streams or STREAM
    return Batches(clips, rows, rows % CLASSES, views, stream, KINECT_V2, recipe.batch_size, 0, device, threads)


def resident_batch(batches: Batches) -> Batch:
    """One batch that stays as it is."""
    batch = next(iter(batches.epoch(1)))
    return Batch({name: view.clone() for name, view in batch.views.items()}, batch.labels.clone())


def limit(least: tuple[float, float], taken: float) -> str:
    """What bounds something that took so long, given the seconds its arithmetic and its traffic need at least."""
    names = [f"{name} ({1e3 * seconds:,.1f} ms)" for name, seconds in zip(("arithmetic", "memory"), least, strict=True)]
    if max(least) >= taken / 2:
        return names[0] if least[0] >= least[1] else names[1]
    return f"overheads: {' and '.join(names)} are less than half"


# ----------------------------------------------------------------------------------------------------------- the stages


class Bench:
    """The stages in the order they are measured; later ones use what earlier ones have made."""

    def __init__(self, folder: Path, scale: Scale, threads: int) -> None:
        self.folder, self.scale, self.threads = folder, scale, threads
        self.raw, self.store, self.clips = folder / "raw", folder / "store.zarr", folder / "clips.zarr"
        self.report = Report(describe_machine(threads))
        self.cpu = torch.device("cpu")
        self.devices = [self.cpu, *([torch.device("cuda")] if torch.cuda.is_available() else [])]
        self.rooflines: dict[tuple[str, str], Roofline] = {}
        self.stages = (
            self.make, self.parse, self.ingest, self.prepare, self.load, self.views, self.batches,
            *(lambda d=d: self.steps(d) for d in self.devices), self.embed, self.linear, self.start,
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
        root = str(Path(__file__).resolve().parents[1])
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
        from skelpipe.datasets.synthetic import write_raw

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
        from skelpipe import store
        from skelpipe.prepare import Settings, prepare_clips, read_block

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
        from skelpipe.store import Clips

        self.data = np.resize(Clips(self.clips).load(), (POOL, 3, FRAMES, len(KINECT_V2.joints), 2))

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
            batches = build_batches(recipe, self.data, device, self.threads)
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
            batch = resident_batch(build_batches(recipe, self.data, device, self.threads))
            for precision in PRECISIONS:
                roofline = self.roofline(device, precision)
                number = PRECISIONS[precision].itemsize
                least = roofline.least(step_work(recipe, KINECT_V2, FRAMES, recipe.batch_size, number))
                stage = f"training step, {name}, {device.type}, {precision}, batch {recipe.batch_size}"
                if device.type == "cpu" and precision == "bf16" and least[0] > self.scale.patience:
                    slow = f"this CPU multiplies bfloat16 at {roofline.flop / 1e9:,.1f} GFLOP/s"
                    self.report.notes.append(f"{stage}: not timed, because {slow}")
                    continue
                trainer = build_trainer(recipe, device, precision)
                taken = measure(lambda t=trainer, b=batch: t.step(b), self.scale.seconds, device)  # type: ignore[misc]
                ceiling = f"{roofline.flop / 1e9:,.0f} GFLOP/s and {roofline.bytes / 1e9:,.0f} GB/s"
                self.add(stage, 1e3 * taken, "ms", max(least) / taken, ceiling, limit(least, taken))

    def embed(self) -> None:
        """Features of clips in a folder, beside the arithmetic of the bodies that are there."""
        from skelpipe.evaluate.embed import encode, load_run
        from skelpipe.store import Clips

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

    def linear(self) -> None:
        """The linear protocol on random features of xsub60's size, or of a share of it and then multiplied."""
        from skelpipe.evaluate.embed import Features
        from skelpipe.evaluate.linear import EPOCHS, linear
        from skelpipe.evaluate.protocol import Setup

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


@contextmanager
def tf32(products: bool, convolutions: bool | None = None) -> Iterator[None]:
    """Let a GPU round the factors of float32 products, and of convolutions, to 10 bits, for a while."""
    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = cuda.allow_tf32, cudnn.allow_tf32
    cuda.allow_tf32 = products
    cudnn.allow_tf32 = before[1] if convolutions is None else convolutions
    try:
        yield
    finally:
        cuda.allow_tf32, cudnn.allow_tf32 = before
