"""How the cost of a stage grows with the data: time and memory of ingest, prepare, one epoch's loading, and embed.

    python tests/bench/growth.py                     # 10 %, 50 % and 100 % of NTU RGB+D 120: 30 GB of text, hours
    python tests/bench/growth.py --sizes 1 2 4       # per cent; minutes
    python tests/bench/growth.py --sizes 1 2 4 --presets isc raw:native     # and these preparations

The recordings are synthetic, with names drawn from NTU RGB+D 120's, each smaller size a part of the larger ones. Every
stage runs on a few of them first, uncounted, so that what is to be compiled is. A stage is a process of its own: its
CPU time is counted with that of its children, and its memory is the largest sum over all of them, pages they share
counted once (Linux; elsewhere the largest single process). Memory may grow with the clips where they must lie in
memory: loading holds the training clips, embed the features.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from skelpipe.parallel import cpu_count
from skelpipe.recordings.datasets.ntu import nominal_names, parse_name
from skelpipe.recordings.synthetic import NTUClip, ntu_clip

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-m", "skelpipe"]
DATASET, SPLIT, STREAM = "ntu120", "xsub120", "joint"
FRAMES = (50, 115)  # of a recording; NTU RGB+D's mean is about 82
NTU60_CLIPS = 56_578
WARM, WARM_BATCH = 34, 4  # clips that every stage runs on first, and those of a batch then
GOALS = {"store": 1.0e9, "clips": 0.9e9}  # bytes for NTU-60
BOUNDED_STAGES = ("ingest", "prepare")  # those with presets too
LINEAR = 1.25  # a further clip may cost so many times what one costs between the two smallest sizes
BOUNDED = 2e9  # bytes that they may hold


@dataclass(frozen=True)
class Cost:
    """What a process and its children took: wall and CPU seconds, bytes at the peak."""

    wall: float
    cpu: float
    memory: float


@dataclass(frozen=True)
class Size:
    """One size and what each stage cost there; bytes of text, store and clips."""

    clips: int
    text: int
    store: int
    prepared: int
    costs: dict[str, Cost]


def main(words: list[str] | None = None) -> list[Size]:
    """Measure every size, smallest first, and print what was found."""
    options = parse(words)
    names = list(nominal_names(DATASET))
    np.random.default_rng(0).shuffle(names)
    counts = [round(len(names) * per_cent / 100) for per_cent in sorted(options.sizes)]
    with tempfile.TemporaryDirectory(prefix="skelpipe-growth-", dir=options.folder) as folder:
        everything = Path(folder) / "all"
        text = write_recordings(everything, names[: counts[-1]])
        warm_up(Path(folder) / "warm", everything, names[: min(WARM, counts[-1])], options)
        print(f"{counts[-1]:,} recordings, {text / 1e9:.2f} GB of text; load {os.getloadavg()[0]:.1f}", flush=True)
        sizes = []
        for count in counts:
            sizes.append(measure(Path(folder), everything, names[:count], options))
            print("\n".join(table(sizes[-1:], header=len(sizes) == 1)), flush=True)
    print("\n" + "\n".join([*verdicts(sizes), *store_sizes(sizes[-1])]))
    return sizes


def parse(words: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=float, default=[10, 50, 100], help="per cent of NTU-120's clips")
    parser.add_argument("--recipe", default="skeletonclr", help="of the untrained encoder that embeds")
    parser.add_argument("--batch", type=int, default=128, help="clips per batch of the loading")
    parser.add_argument("--views", default="aimclr", help="the recipe whose views an epoch loads")
    parser.add_argument("--workers", type=int, default=cpu_count(), help="parser processes, and threads")
    parser.add_argument("--presets", nargs="*", default=[], metavar="NAME[:FRAMES]", help="prepare's, measured as well")
    parser.add_argument("--folder", type=Path, help="where to work (default: the system's temporary folder)")
    return parser.parse_args(words)


# ------------------------------------------------------------------------------------------------------------ the data


def write_recordings(folder: Path, names: list[str]) -> int:
    """Write the named recordings; returns their bytes."""
    folder.mkdir(parents=True)
    with ProcessPoolExecutor(cpu_count()) as pool:
        return sum(pool.map(write_recording, [folder / f"{name}.skeleton" for name in names], chunksize=64))


def write_recording(path: Path) -> int:
    """Write one."""
    ids = parse_name(path.stem)
    assert ids is not None
    clip = NTUClip(*(int(ids[key]) for key in ("setup", "camera", "subject", "replication")), int(ids["label"]) + 1)
    return path.write_bytes(ntu_clip(0, clip, FRAMES))


def part(folder: Path, everything: Path, names: list[str]) -> tuple[Path, int]:
    """A folder of links to some of the recordings, and their bytes."""
    folder.mkdir()
    text = 0
    for name in names:
        source = everything / f"{name}.skeleton"
        os.link(source, folder / source.name)
        text += source.stat().st_size
    return folder, text


# --------------------------------------------------------------------------------------------------------- the stages


def measure(folder: Path, everything: Path, names: list[str], options: argparse.Namespace) -> Size:
    """Every stage at one size."""
    work = folder / f"{len(names)}"
    work.mkdir()
    raw, text = part(work / "raw", everything, names)
    store, clips, run, features = (work / name for name in ("store.zarr", "clips.zarr", "run", "features.npz"))
    threads = str(options.workers)
    costs = {
        "ingest": watch([*PROGRAM, "ingest", DATASET, raw, store, "--workers", threads]),
        "prepare": watch([*PROGRAM, "prepare", store, clips, "--threads", threads]),
        "load": watch([sys.executable, "-c", LOAD, options.views, clips, threads, options.batch]),
    }
    costs |= {f"prepare {preset}": watch_preset(store, work, preset, threads) for preset in options.presets}
    untrained = ["--epochs", "0", "--set", f"batch_size={options.batch}", "--device", "cpu"]
    data = ["--split", SPLIT, "--stream", STREAM]
    watch([*PROGRAM, "pretrain", options.recipe, clips, run, *untrained, *data])
    costs["embed"] = watch([*PROGRAM, "embed", run, clips, features, "--device", "cpu"])
    return Size(len(names), text, size(store), size(clips), costs)


def warm_up(folder: Path, everything: Path, names: list[str], options: argparse.Namespace) -> None:
    """Every stage on a few recordings, of which nothing is kept: kernels are compiled, and what is read is cached."""
    folder.mkdir()
    measure(folder, everything, names, argparse.Namespace(**{**vars(options), "batch": WARM_BATCH}))
    shutil.rmtree(folder)


def watch_preset(store: Path, work: Path, preset: str, threads: str) -> Cost:
    """`prepare` by a preset, "NAME" or "NAME:FRAMES"; its clips are deleted, which may be large."""
    name, _, frames = preset.partition(":")
    clips = work / "preset.zarr"
    more = ["--frames", frames] if frames else []
    cost = watch([*PROGRAM, "prepare", store, clips, "--preset", name, *more, "--threads", threads])
    shutil.rmtree(clips)
    return cost


LOAD = f"""
import sys
import numpy as np
import torch
from skelpipe.clips.batches import Batches
from skelpipe.recordings.datasets import split_masks
from skelpipe.training.recipe import load_recipe
from skelpipe.recordings.store import Clips
name, path, threads, batch = sys.argv[1:]
recipe, clips = load_recipe(name, ["batch_size=" + batch]), Clips(path)
rows = np.flatnonzero(split_masks({SPLIT!r}, clips.dataset, clips.columns, None)[0])
views = {{view: recipe.view(view) for view in recipe.views}}
batches = Batches(clips.load(rows), rows, clips.labels[rows], views, {STREAM!r}, clips.layout, recipe.batch_size, 0,
                  torch.device("cpu"), int(threads))
for batch in batches.epoch(1):
    pass
"""


def size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def watch(command: list[object]) -> Cost:
    """Run a command and count what it and its children take.

    Raises:
        SystemExit: it failed.
    """
    path = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH")) if p)
    started = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": path}
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, env=environment)
    peak, ended = [0.0], threading.Event()
    watcher = threading.Thread(target=follow, args=(process.pid, peak, ended))
    watcher.start()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    ended.set()
    watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command[:5]))} … failed")
    largest = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Cost(wall, usage.ru_utime + usage.ru_stime, max(peak[0], largest))


def follow(process: int, peak: list[float], ended: threading.Event) -> None:
    """Note the largest memory of a process and its children, ten times a second."""
    while not ended.wait(0.1):
        peak[0] = max(peak[0], sum(map(proportional_bytes, family(process))))


def family(process: int) -> list[int]:
    """A process and all that descend from it."""
    found = [process]
    for parent in found:
        for listing in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in listing.read_text().split()]
            except OSError:  # it has ended
                continue
    return found


def proportional_bytes(process: int) -> float:
    """A process's memory, a page that n processes share counted as 1/n."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(1024.0 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


# ----------------------------------------------------------------------------------------------------- what was found


def table(sizes: list[Size], header: bool = True) -> list[str]:
    """One line per size and stage."""
    lines = [f"{'clips':>8}  {'stage':18}  {'wall s':>8}  {'CPU s':>8}  {'CPU ms/clip':>11}  {'peak MB':>8}"]
    for at in sizes:
        for stage, cost in at.costs.items():
            each = 1e3 * cost.cpu / at.clips
            lines.append(
                f"{at.clips:8,}  {stage:18}  {cost.wall:8.1f}  {cost.cpu:8.1f}  {each:11.2f}  {cost.memory / 1e6:8,.0f}"
            )
    return lines if header else lines[1:]


def verdicts(sizes: list[Size]) -> list[str]:
    """Per stage: what each further clip costs from size to size, and the memory at NTU-120's full size."""
    lines = []
    whole = sum(1 for _ in nominal_names(DATASET))
    for stage in sizes[0].costs:
        points = [(at.clips, at.costs[stage]) for at in sizes]
        pairs = list(pairwise(points))
        each = [1e3 * (b.cpu - a.cpu) / (m - n) for (n, a), (m, b) in pairs]
        more = [(b.memory - a.memory) / (m - n) for (n, a), (m, b) in pairs]
        line = f"{stage}: CPU ms per further clip {', '.join(f'{x:.2f}' for x in each)}"
        if len(each) > 1:
            line += " (linear)" if each[-1] <= LINEAR * each[0] else " (NOT linear)"
        line += f"; bytes per further clip {', '.join(f'{x:,.0f}' for x in more)}"
        if more:
            last, cost = points[-1]
            full = cost.memory + max(0.0, more[-1]) * (whole - last)
            limit = f", {'within' if full <= BOUNDED else 'BEYOND'} 2 GB" if stage.startswith(BOUNDED_STAGES) else ""
            line += f"; {full / 1e9:.2f} GB at {whole:,} clips{limit}"
        lines.append(line)
    return lines


def store_sizes(at: Size) -> list[str]:
    """What store and clips would take for NTU-60, beside the goal."""
    lines = []
    for name, taken in (("store", at.store), ("clips", at.prepared)):
        full = taken / at.clips * NTU60_CLIPS
        verdict = "reached" if full <= GOALS[name] else "MISSED"
        lines.append(
            f"{name}: {taken / at.clips:,.0f} bytes a clip, {full / 1e9:.2f} GB for NTU-60's {NTU60_CLIPS:,} clips; "
            f"the goal of {GOALS[name] / 1e9:.1f} GB is {verdict} (text: {at.text / at.clips:,.0f} bytes a clip)"
        )
    return lines


if __name__ == "__main__":
    main()
