"""Training steps on a GPU: how fast, how near to what it can do, and whether one waits for it or for the loader.

    python tests/bench/gpu.py [--peer CROSSCLR_CHECKOUT --peer AIMCLR_CHECKOUT]

Synthetic clips of xsub60's size lie in memory (40,091 of 3 × 50 × 25 × 2 float32, 1.2 GB). After a warm-up every
configuration is timed by the device's own events, first on one batch that lies on the device, then with the batches of
an epoch: of clips in the host's memory, whose views the CPU renders, and of clips on the device, which renders them.
Modes are steps as they are, compiled (`pretrain --compile on` on a CPU), and compiled and replayed as CUDA's graphs (on
a GPU). The least a step can take follows from its arithmetic and its memory traffic (`bench.work.step_work`) and from
what matrix products and copies reach on this very device. `--peer` names a checkout of the public CrosSCLR or
AimCLR code; its step is timed beside ours, as it ships, on the same data.

On a CPU every row is measured in a process of its own, and its memory is what that process comes to hold beyond what it
held before there was a model; a step by itself is told in CPU time, and `--rounds 3` measures all in turn and keeps the
fastest. Where the time is short, `--within SECONDS` begins no further configuration after that
long, and says which it left out; the first recipes and precisions come first. `--device cpu --tiny --steps 2` runs all
of it in little time and one process, to see that it works. Only torch, NumPy, Numba, Pydantic and PyYAML are needed.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import math
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from skelpipe.bench import stages, table, timing
from skelpipe.bench.steps import FRAMES, Trainer, build_batches, build_trainer, resident_batch
from skelpipe.bench.work import step_work
from skelpipe.clips.batches import Batch, Batches
from skelpipe.clips.resident import ResidentBatches
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.training.capture import Captured, CudaRecorder, Recorder
from skelpipe.training.device import choose_device, set_determinism
from skelpipe.training.recipe import Recipe, load_recipe
from skelpipe.training.step import BACKEND, Graphs, compile_rendering

RECIPES = ("skeletonclr", "crosnnclr", "aimclr", "crosnnclr_star")
# Whether factors in (products, convolutions) are rounded to TF32's 10 bits; beside bf16, torch's defaults stay.
PRECISIONS = {"fp32": (False, False), "TF32": (True, True), "bf16": (False, True)}
MODES = ("eager", "compiled", "graphs")
LOADERS = {"host": Batches, "resident": ResidentBatches}
ONE_BODY = 0.76  # of NTU RGB+D's clips
TINY = [
    "encoder.width=2", "encoder.features=8", "encoder.time_kernel=3", "projector.hidden=8", "projector.size=8",
    "method.queue_size=32", "batch_size=8",
]  # fmt: skip


@dataclass
class Row:
    """One configuration; milliseconds per step, gigabytes at the peak."""

    method: str
    precision: str
    mode: str
    step: float | None = None
    loaded: float | None = None
    resident: float | None = None
    least: float | None = None
    epochs_per_hour: float | None = None
    memory: float | None = None
    peer: float | None = None
    bound: str = ""


COLUMNS: dict[str, Callable[[Row], str]] = {
    "method": lambda row: row.method,
    "precision": lambda row: row.precision,
    "mode": lambda row: row.mode,
    "step ms": lambda row: number(row.step),
    "with loading": lambda row: number(row.loaded),
    "resident clips": lambda row: number(row.resident),
    "least ms": lambda row: number(row.least),
    "share": lambda row: f"{row.least / row.step:.0%}" if row.least and row.step else "",
    "epochs/h": lambda row: number(row.epochs_per_hour),
    "peak GB": lambda row: number(row.memory),
    "public code": lambda row: f"{row.peer / row.step:.2f}x" if row.peer and row.step else "",
    "bound by": lambda row: row.bound,
}


def main(words: list[str] | None = None) -> list[Row]:
    """Measure and print one table."""
    options = parse(words)
    device = choose_device(options.device)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # events are recorded on the current one
    set_determinism(0)  # as training does; --autotune lets cuDNN choose its fastest algorithms instead
    if options.autotune:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = False, True
    clips = make_clips(64 if options.tiny else options.clips)
    machine, began = timing.describe_machine(torch.get_num_threads()), time.monotonic()
    options.until = began + options.within if options.within else None
    print(f"{machine}; {len(clips):,} clips, {clips.nbytes / 1e9:.2f} GB\n", flush=True)
    ceilings = {p: ceiling(device, p, 0.05 if options.tiny else 2.0) for p in precisions(device, options.precisions)}
    for precision, roofline in ceilings.items():
        print(f"{precision}: {roofline.flop / 1e12:,.2f} TFLOP/s, {roofline.bytes / 1e9:,.0f} GB/s", flush=True)
    rows, peers = list[Row](), list[Row]()
    for _ in range(options.rounds):
        peers = better(peers, peer_rows(options, clips, device) if options.peer else [])
        again = list[Row]()
        for name in options.recipes:
            recipe = load_recipe(name, [*(TINY if options.tiny else [f"batch_size={options.batch}"])])
            again += measure_recipe(recipe, clips, device, ceilings, options, peers)
        rows = better(rows, again)
    print("\n" + "\n".join(render([*rows, *peers])))
    print(
        f"\n{machine}; batches of {recipe.batch_size}. Milliseconds; least: what the machine's own ceilings allow, and"
    )
    print("share, how near a step comes. Epochs/h count loading, the faster way; an epoch has", end=" ")
    print(f"{len(clips) // recipe.batch_size:,} steps. On a CPU a step by itself is CPU time, all else the clock's.")
    if options.json:
        found = {"machine": asdict(machine), "rows": [asdict(row) for row in [*rows, *peers]]}
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return [*rows, *peers]


def better(before: list[Row], now: list[Row]) -> list[Row]:
    """Of every row the faster of two rounds, beside the fastest public code."""
    if not before:
        return now
    best = []
    for one, other in zip(before, now, strict=True):
        fewer = other if (other.step or math.inf) < (one.step or math.inf) else one
        fewer.peer = min((row.peer for row in (one, other) if row.peer), default=None)
        best.append(fewer)
    return best


def parse(words: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    parser.add_argument("--tiny", action="store_true", help="a toy encoder, 64 clips, batches of 8")
    parser.add_argument("--clips", type=int, default=stages.XSUB60_TRAIN, help="how many")
    parser.add_argument("--batch", type=int, default=128, help="clips per step")
    parser.add_argument("--steps", type=int, default=100, help="steps timed, and again with loading")
    parser.add_argument("--rounds", type=int, default=1, help="measure all so often, in turn, and keep the fastest")
    parser.add_argument("--threads", type=int, help="of the loader (default: all cores)")
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    parser.add_argument("--precisions", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=MODES)
    parser.add_argument("--loaders", nargs="+", default=list(LOADERS), choices=LOADERS, help="where the clips lie")
    parser.add_argument("--within", type=float, metavar="SECONDS", help="begin nothing more after that long")
    parser.add_argument("--autotune", action="store_true", help="let cuDNN choose its fastest algorithms")
    parser.add_argument("--peer", action="append", default=[], type=Path, metavar="DIR", help="a checkout; repeatable")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args(words)
    if options.steps < 2 or (not options.tiny and options.clips < 2 * options.batch):
        parser.error("at least two steps are timed: raise --steps or --clips, or lower --batch")
    return options


def precisions(device: torch.device, asked: list[str]) -> list[str]:
    """Those that mean something on the device."""
    return [p for p in asked if p != "TF32" or device.type == "cuda"]


def make_clips(count: int) -> np.ndarray:
    """Numbers in place of poses, (N, 3, 50, 25, 2) float32: 1.2 GB at true scale; most clips show one body."""
    rng = np.random.default_rng(0)
    clips = rng.standard_normal((count, 3, FRAMES, len(KINECT_V2.joints), 2), np.float32)
    clips[: round(ONE_BODY * count), ..., 1] = 0
    return clips


def ceiling(device: torch.device, precision: str, seconds: float) -> timing.Roofline:
    """What the device reaches in a precision, as the steps are run in it."""
    with timing.tf32(*PRECISIONS[precision]):
        return timing.measure_roofline(device, "bf16" if precision == "bf16" else "fp32", seconds)


def measure_recipe(
    recipe: Recipe,
    clips: np.ndarray,
    device: torch.device,
    ceilings: dict[str, timing.Roofline],
    options: argparse.Namespace,
    peers: list[Row],
) -> list[Row]:
    """All precisions and modes of one recipe."""
    ours: Ours | None = None
    rows = []
    for precision, roofline in ceilings.items():
        work = step_work(recipe, KINECT_V2, FRAMES, recipe.batch_size, 2 if precision == "bf16" else 4)
        for mode in options.modes:
            row = Row(recipe.name, precision, mode, least=1e3 * max(roofline.least(work)), peer=fastest(peers, recipe))
            rows.append(row)
            if options.until is not None and time.monotonic() > options.until:
                row.bound = "left out, as the time was up"
                continue
            if device.type == "cpu" and not options.tiny:
                row = rows[-1] = measured(measure_row, row, recipe, clips, device, options)
            else:
                ours = ours or Ours(recipe, clips, device, options)
                ours.fill(row)
            print("  ".join(COLUMNS[c](row) for c in list(COLUMNS)[:6]), row.bound, flush=True)
    return rows


def measured(
    call: Callable[..., Row], row: Row, recipe: Recipe, clips: np.ndarray, device: torch.device, options: Any
) -> Row:
    """A row filled in by a call; on a CPU, where memory that was once used stays, in a process of its own."""
    if device.type != "cpu" or options.tiny:
        return call(row, recipe, clips, device, options)
    with waiting(call is measure_row), ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(apart, call, row, recipe, len(clips), options).result()


@contextmanager
def waiting(passively: bool) -> Iterator[None]:
    """How OpenMP's threads wait for work in the processes that are begun meanwhile: passively, as in our commands."""
    if not passively or "OMP_WAIT_POLICY" in os.environ:
        yield
        return
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    try:
        yield
    finally:
        del os.environ["OMP_WAIT_POLICY"]


def apart(call: Callable[..., Row], row: Row, recipe: Recipe, count: int, options: Any) -> Row:
    """The same, in that process."""
    set_determinism(0)
    return call(row, recipe, make_clips(count), torch.device("cpu"), options)


def measure_row(row: Row, recipe: Recipe, clips: np.ndarray, device: torch.device, options: Any) -> Row:
    """One of our own."""
    choose_device(str(device))  # which keeps a CPU's memory, as commands do and the public code does not
    return Ours(recipe, clips, device, options).fill(row)


class Ours:
    """What is measured of one recipe, row by row; what one has built, and compiled, serves the next."""

    def __init__(self, recipe: Recipe, clips: np.ndarray, device: torch.device, options: Any) -> None:
        self.recipe, self.device = recipe, device
        self.loaders = {
            each: build_batches(recipe, clips, device, options.threads, LOADERS[each]) for each in options.loaders
        }
        first = next(iter(self.loaders.values()))
        self.batch, self.steps = resident_batch(first), min(options.steps, first.steps)
        self.views = rendering_of(self.loaders.get("resident"))
        self.trainer: Trainer | None = None
        self.precision: str | None = None

    def fill(self, row: Row) -> Row:
        """The same row, with its figures."""
        if row.precision != self.precision:
            self.trainer, self.precision = None, row.precision
        self.views(row.mode)
        held = reset_memory(self.device)
        with timing.tf32(*PRECISIONS[row.precision]):
            self.trainer = trainer_for(row.mode, self.trainer, self.recipe, row.precision, self.device)
            measure_mode(row, self.trainer, self.batch, self.loaders, self.steps, self.device, held)
        return row


def rendering_of(batches: Batches | None) -> Callable[[str], None]:
    """What lets views of clips on the device be rendered as steps of a mode are taken; compiled once."""
    ways: dict[bool, Any] = {}

    def change(mode: str) -> None:
        if not isinstance(batches, ResidentBatches):
            return
        if (compiled := mode != "eager") not in ways:
            batches.rendering = batches.render_sent
            if compiled:
                compile_rendering(Graphs(backend_for("compiled")), batches)
            ways[compiled] = batches.rendering
        batches.rendering = ways[compiled]

    return change


def backend_for(mode: str) -> Any:
    """Of torch.compile, as `pretrain` takes it."""
    return BACKEND


def recorder_for(device: torch.device) -> Recorder | None:
    """What records steps there."""
    return CudaRecorder(device) if device.type == "cuda" else None


def trainer_for(
    mode: str, before: Trainer | None, recipe: Recipe, precision: str, device: torch.device
) -> Trainer | None:
    """One that takes steps so, or None where the device cannot: that of the mode before, if it is compiled already."""
    recorder = recorder_for(device)
    if mode == "graphs" and recorder is None:
        return None
    if before is None or before.graphs is None:
        before = build_trainer(recipe, device, precision)
        before.graphs = None if mode == "eager" else Graphs(backend_for(mode))
    if mode == "graphs" and before.graphs is not None and recorder is not None:
        before.graphs.captured = Captured(recorder)
    return before


def measure_mode(
    row: Row,
    trainer: Trainer | None,
    batch: Batch,
    loaders: dict[str, Batches],
    steps: int,
    device: torch.device,
    held: float,
) -> None:
    """Fill in the times and the memory of one configuration, or why there are none."""
    if trainer is None:
        row.bound = "only a GPU records steps"
        return
    reset_memory(device)
    for _ in range(10 if device.type == "cuda" else 5 if row.mode == "graphs" else 1):
        trainer.step(batch)
    failed = trainer.graphs and (trainer.graphs.failed or trainer.graphs.unrecorded)
    if failed:
        row.bound = f"does not work: {failed[:80]}"
        return
    row.step = 1e3 * timing.time_calls(lambda: trainer.step(batch), steps, device, clock_of(device))
    loading, found = dict[str, float](), dict[str, float]()
    for name, batches in loaders.items():
        loading[name] = 1e3 * alone(batches, steps, device)
        found[name] = 1e3 * with_loading(trainer.step, batches, steps, device)
    row.loaded, row.resident = found.get("host"), found.get("resident")
    row.memory = (peak_memory(device) - held) / 1e9
    best = min(found, key=lambda name: found[name])
    row.epochs_per_hour = 3.6e6 / (found[best] * loaders[best].steps)
    row.bound = waited_for(replace(row, loaded=found[best]), loading[best], device)


def with_loading(step: Callable[[Batch], None], batches: Batches, steps: int, device: torch.device) -> float:
    """Seconds per step of so many steps of an epoch, its batches made meanwhile; the first is not counted."""
    taken = batches.epoch(1)
    step(next(taken))

    def go() -> None:
        for _, batch in zip(range(steps - 1), taken, strict=False):
            step(batch)

    seconds = timing.time_calls(go, 1, device)
    taken.close()  # type: ignore[attr-defined]
    return seconds / (steps - 1)


def clock_of(device: torch.device) -> timing.Clock:
    """What tells how long a step takes: on a CPU that others use as well, its own time there."""
    return time.process_time if device.type == "cpu" else time.perf_counter


def alone(batches: Batches, steps: int, device: torch.device) -> float:
    """Seconds per batch that nobody trains on."""
    with_loading(lambda batch: None, batches, steps, device)  # kernels are compiled
    return with_loading(lambda batch: None, batches, steps, device)


def waited_for(row: Row, loading: float, device: torch.device) -> str:
    """Which of the two sides of the queue is the slower one."""
    assert row.step is not None
    assert row.loaded is not None
    here = "GPU" if device.type == "cuda" else "CPU"
    if row.loaded > 1.1 * row.step:
        here = "loader" if loading > row.step else f"{here}, disturbed by the loader"
    return f"{here}; loading alone {number(loading)} ms"


def reset_memory(device: torch.device) -> float:
    """Forget earlier peaks; returns the bytes that are held already and are not to count."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return 0.0
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM
    return peak_memory(device)


def peak_memory(device: torch.device) -> float:
    """Bytes at the peak: of the device's tensors, or on a CPU of the process."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    with suppress(OSError, StopIteration):  # not Linux
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * float(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


# ------------------------------------------------------------------------------------------------------- public code


def peer_rows(options: argparse.Namespace, clips: np.ndarray, device: torch.device) -> list[Row]:
    """The steps of the public code in the checkouts, with torch's defaults, which is how it ships."""
    rows = []
    for folder in options.peer:
        for module, name in (("skeletonclr", "SkeletonCLR"), ("aimclr", "AimCLR")):
            if not (folder / "net" / f"{module}.py").is_file():
                continue
            recipe = load_recipe(module, TINY if options.tiny else [f"batch_size={options.batch}"])
            row = Row(f"{module}, {folder.name}", "as shipped", "eager")
            row = measured(partial(measure_peer, folder, module, name), row, recipe, clips, device, options)
            rows.append(row)
            print("  ".join(COLUMNS[c](row) for c in list(COLUMNS)[:4]), flush=True)
    if not rows:
        raise SystemExit("--peer: no net/skeletonclr.py or net/aimclr.py there")
    return rows


def measure_peer(
    folder: Path,
    module: str,
    name: str,
    row: Row,
    recipe: Recipe,
    clips: np.ndarray,
    device: torch.device,
    options: Any,
) -> Row:
    """One of a checkout."""
    batch = resident_batch(build_batches(recipe, clips, device, options.threads))
    held = reset_memory(device)
    with ExitStack() as stack:
        step = peer_step(stack, folder, module, name, recipe, device)
        for _ in range(10 if device.type == "cuda" else 1):
            step(batch)
        row.step = 1e3 * timing.time_calls(
            lambda: step(batch), 2 if options.tiny else options.steps, device, clock_of(device)
        )
    row.memory = (peak_memory(device) - held) / 1e9
    return row


def fastest(peers: list[Row], recipe: Recipe) -> float | None:
    """The public step of the method that a recipe's own is compared with."""
    times = [row.step for row in peers if row.method.partition(",")[0] == recipe.method.name and row.step]
    return min(times, default=None)


def peer_step(
    stack: ExitStack, folder: Path, module: str, name: str, recipe: Recipe, device: torch.device
) -> Callable[[Batch], None]:
    """One training step of the public model, with the loss that its own trainer computes."""
    stack.enter_context(peer_modules(folder))
    if device.type == "cpu":
        stack.enter_context(no_cuda())
    encoder, method = recipe.encoder, recipe.method
    model = getattr(importlib.import_module(f"net.{module}"), name)(
        base_encoder="net.st_gcn.Model", in_channels=3, hidden_channels=encoder.width, hidden_dim=encoder.features,
        feature_dim=recipe.projector.size, queue_size=method.queue_size, momentum=method.momentum,
        Temperature=method.temperature, mlp=True, num_class=60, dropout=encoder.dropout,
        graph_args={"layout": "ntu-rgb+d", "strategy": "spatial"}, edge_importance_weighting=True,
    )  # fmt: skip
    model = model.to(device).train()
    if device.type == "cpu":  # it asks keys for the number of their GPU
        model._dequeue_and_enqueue = lambda keys: enqueue(model, keys)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)

    def step(batch: Batch) -> None:
        views = batch.views
        loss = aimclr_loss(model, views) if "extreme" in views else skeletonclr_loss(model, views)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        model.update_ptr(len(views["query"]))
        loss.item()  # its trainer logs every step, and so waits for it

    return step


def skeletonclr_loss(model: Any, views: dict[str, torch.Tensor]) -> torch.Tensor:
    """InfoNCE."""
    logits, labels = model(views["query"], views["key"])
    return torch.nn.functional.cross_entropy(logits, labels)


def aimclr_loss(model: Any, views: dict[str, torch.Tensor]) -> torch.Tensor:
    """The mining loss of the later epochs, and D3M; the branches come as probabilities."""
    logits, positives, extreme, dropped, target = model(views["extreme"], views["query"], views["key"], nnm=True)
    mined = -((logits.log_softmax(1) * positives).sum(1) / positives.sum(1)).mean()
    d3m = [-(p.log() * target).sum(1).mean() for p in (extreme, dropped)]
    return mined + sum(d3m) / 2


@torch.no_grad()
def enqueue(model: Any, keys: torch.Tensor) -> None:
    """Write keys where the public code would on its first GPU."""
    start = int(model.queue_ptr)
    model.queue[:, start : start + len(keys)] = keys.t()


@contextmanager
def peer_modules(folder: Path) -> Iterator[None]:
    """Let `import net` mean the checkout's, with the one function of its trainer package that the models need."""

    def import_class(path: str) -> Any:
        module, _, name = path.rpartition(".")
        return getattr(importlib.import_module(module), name)

    def peers() -> list[str]:
        return [name for name in sys.modules if name.partition(".")[0] in ("net", "torchlight")]

    kept = {name: sys.modules.pop(name) for name in peers()}
    trainer = ModuleType("torchlight")
    vars(trainer).update(import_class=import_class)
    sys.modules["torchlight"] = trainer
    sys.path.insert(0, str(folder.resolve()))
    try:
        yield
    finally:
        sys.path.remove(str(folder.resolve()))
        for name in peers():
            del sys.modules[name]
        sys.modules.update(kept)


@contextmanager
def no_cuda() -> Iterator[None]:
    """Let `.cuda()` leave a tensor where it is."""
    cuda = torch.Tensor.cuda
    torch.Tensor.cuda = lambda self, *_, **__: self  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        torch.Tensor.cuda = cuda  # type: ignore[method-assign]


# ------------------------------------------------------------------------------------------------------------- table


def number(value: float | None) -> str:
    """Three digits, or nothing."""
    return "" if value is None else table.figure(value)


def render(rows: list[Row]) -> list[str]:
    """The table in Markdown, which reads as text too; columns without a word are left out."""
    filled = {name: column for name, column in COLUMNS.items() if any(map(column, rows))}
    cells = [list(filled), *([column(row).replace("|", "/") for column in filled.values()] for row in rows)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    words = {"method", "precision", "mode", "bound by"}
    aligned = [
        [c.ljust(w) if name in words else c.rjust(w) for name, c, w in zip(filled, line, widths, strict=True)]
        for line in cells
    ]
    rule = ["-" * w if name in words else "-" * (w - 1) + ":" for name, w in zip(filled, widths, strict=True)]
    return [f"| {' | '.join(line)} |" for line in (aligned[0], rule, *aligned[1:])]


if __name__ == "__main__":
    started = time.perf_counter()
    main()
    print(f"in {time.perf_counter() - started:,.0f} s")
