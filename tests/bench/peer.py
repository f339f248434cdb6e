"""The data path and the frozen encoder beside AimCLR's public code: how many times as fast.

    python tests/bench/peer.py CHECKOUT [--files 3600 | --raw FOLDER] [--theirs 360] [--batch 128]

CHECKOUT is that of AimCLR, used as it ships, apart from what NumPy 2 has renamed, and needs opencv-python-headless.
Both sides run on one thread and take turns, and what counts is the CPU time of the fastest of ROUNDS rounds, with
children. The two scripts of its data path are given fewer recordings than ours, twice, and each further recording is
taken to cost what it did between the two. Training steps are `gpu.py --device cpu --peer`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import traceback
import zipfile
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
import torch
from torch.utils.data import DataLoader

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from skelpipe.allocator import keep_memory
from skelpipe.clips.batches import Batches
from skelpipe.clips.views import build_view, render_view
from skelpipe.encoders.stgcn import STGCN, STGCNOptions
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.recordings.synthetic import write_raw
from skelpipe.recordings.text.ntu import parse_ntu
from skelpipe.training.recipe import load_recipe

NEEDED = {"cv2": "opencv-python-headless"}  # by AimCLR, beside what we need: packages by their modules
USED = ("tools/ntu_gendata.py", "feeder/preprocess_ntu.py", "feeder/ntu_feeder.py", "net/st_gcn.py")
SHOWN = 20  # lines, of what a program that failed has printed
ROUNDS = 3
PARSED = 60  # files
BATCH = 128  # clips of a training batch
TWO_BODIES = 5  # one clip of so many shows a second one
RENAMED = """
import numpy as np
reshape = np.reshape
np.int, np.float = int, float
np.reshape = lambda a, shape=None, *rest, newshape=None, **more: reshape(a, newshape or shape, *rest, **more)
"""
SCRIPT = f"""{RENAMED}
import runpy, sys
script, *sys.argv[1:] = sys.argv[1:]
sys.path.insert(0, ".")
runpy.run_path(script, run_name="__main__")
"""


def main(words: list[str] | None = None) -> dict[str, float]:
    """Measure every row and print it; returns the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--files", type=int, default=3600, help="synthetic recordings that ours reads")
    parser.add_argument("--raw", type=Path, help="a folder of recordings of NTU RGB+D 60 to read instead")
    parser.add_argument("--theirs", type=int, default=360, help="of them, those that its scripts read")
    parser.add_argument("--batch", type=int, default=128, help="clips that are embedded at a time")
    options = parser.parse_args(words)
    check(options.checkout)
    torch.set_num_threads(1)
    sys.path[:0] = [str(options.checkout / "tools"), str(options.checkout)]
    exec(RENAMED, {})
    found = {}
    with tempfile.TemporaryDirectory(prefix="skelpipe-peer-") as folder:
        raw = (options.raw or recordings(Path(folder) / "raw", options.files)).resolve()
        files = sorted(raw.rglob("*.skeleton"))
        found["parse"] = parse(files[:PARSED])
        found |= commands(Path(folder), raw, files, options)
        found["batches"] = batches(Path(folder))
    found |= views()
    found["embed"] = embed(options.batch)
    return found


def check(checkout: Path) -> None:
    """Raise SystemExit, before anything is measured, if the checkout or a package that it needs is not there."""
    if absent := [name for name in USED if not (checkout / name).is_file()]:
        raise SystemExit(f"{checkout}: is no checkout of AimCLR, which has {', '.join(absent)}")
    if missing := [package for module, package in NEEDED.items() if find_spec(module) is None]:
        raise SystemExit(f"AimCLR needs what is not installed: pip install {' '.join(missing)}")


def run(where: Path, *words: object) -> None:
    """Run Python there, with our package to be found; SystemExit tells the last that one that fails has printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(
        command, cwd=where, env=environment, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        called = " ".join(str(word) for word in words if "\n" not in str(word))
        last = "\n".join(f"    {line}" for line in done.stdout.splitlines()[-SHOWN:])
        raise SystemExit(f"python {called}: failed with status {done.returncode}\n{last}")


def seconds(call: Callable[[], object], times: int = 1) -> float:
    """CPU seconds of a call, its children's with it."""
    before = used()
    for _ in range(times):
        call()
    return (used() - before) / times


def used() -> float:
    """User and system time of this process and of the children that have ended."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in both)


def ratio(what: str, ours: Callable[[], float], theirs: Callable[[], float]) -> float:
    """Take turns and print how many times as fast ours is; each call gives its seconds."""
    ours()  # kernels are compiled
    pairs = [(ours(), theirs()) for _ in range(ROUNDS)]
    mine, other = (min(column) for column in zip(*pairs, strict=True))
    each = ", ".join(f"{b / a:.1f}" for a, b in pairs)
    print(
        f"{what}: {other / mine:.1f} times ({each} by round; {1e3 * mine:,.2f} ms, {1e3 * other:,.2f} ms)", flush=True
    )
    return other / mine


def seconds_apart(call: Callable[[], object]) -> float:
    """CPU seconds of a call, after a first one, in a process of its own, so that one side's settings stay there."""

    def again() -> float:
        call()
        return seconds(call)

    return apart(again)


def memory_apart(call: Callable[[], object]) -> float:
    """Bytes that a process of its own comes to hold by a call, beyond what it held."""

    def grown() -> float:
        held = peak_memory()
        call()
        return peak_memory() - held

    return apart(grown)


def peak_memory() -> float:
    """Bytes that this process has held at most."""
    with contextlib.suppress(OSError, StopIteration):  # not Linux
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * float(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def apart(measure: Callable[[], float]) -> float:
    """What is measured in a process of its own, whose peak of memory begins with what it holds then."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            with contextlib.suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5")
            os.write(writing, repr(measure()).encode())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as told:
        found = told.read()
    os.waitpid(child, 0)
    if not found:
        raise SystemExit("what was measured in a process of its own has failed")
    return float(found)


def recordings(folder: Path, count: int) -> Path:
    """`count` synthetic recordings of NTU RGB+D 60, or as many as there can be, and nothing else in the folder."""
    subjects = min(40, max(1, -(-count // 180)))
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        write_raw("ntu60", Path(made) / "raw", actions=60, subjects=subjects)
        folder.mkdir()
        for file in sorted(Path(made).rglob("*.skeleton"))[:count]:
            file.rename(folder / file.name)
    return folder


def parse(files: list[Path]) -> float:
    """Text to coordinates, the files' reading included."""
    from utils.ntu_read_skeleton import read_xyz

    def ours() -> None:
        for file in files:
            parse_ntu(file.read_bytes(), file.name)

    def theirs() -> None:
        for file in files:
            read_xyz(str(file), max_body=2, num_joint=25)

    return ratio("parse", partial(seconds, ours, 5), partial(seconds, theirs))


def commands(folder: Path, raw: Path, files: list[Path], options: argparse.Namespace) -> dict[str, float]:
    """Text to clips of 50 frames on the disk, for both benchmarks of NTU-60; ours also from an archive."""
    (folder / "none.txt").touch()
    counts = (options.theirs // 4, options.theirs)
    for count in counts:
        (folder / f"{count}").mkdir()
        for file in files[:: max(1, len(files) // count)][:count]:
            (folder / f"{count}" / file.name).symlink_to(file)
    with zipfile.ZipFile(folder / "raw.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.name)

    def theirs(count: int) -> None:
        wide, short = folder / "wide", folder / "short"
        data = {"data_path": folder / f"{count}", "ignored_sample_path": folder / "none.txt", "out_folder": wide}
        for place, script, named in (
            ("tools", "ntu_gendata.py", data),
            ("feeder", "preprocess_ntu.py", {"dataset_path": wide, "out_folder": short}),
        ):
            told = [word for key, value in named.items() for word in (f"--{key}", value)]
            run(options.checkout / place, "-c", SCRIPT, script, *told)

    def of_all() -> float:
        few, more = (seconds(partial(theirs, count)) for count in counts)
        return more + (more - few) / (counts[1] - counts[0]) * (len(files) - counts[1])

    def ours(raw: Path) -> None:
        store, clips = folder / "store.zarr", folder / "clips.zarr"
        run(folder, "-m", "skelpipe", "ingest", "ntu60", raw, store, "--workers", 0, "--force")
        run(folder, "-m", "skelpipe", "prepare", store, clips, "--threads", 1, "--force")

    found = {}
    for name, given in (("ingest and prepare", raw), ("ingest and prepare, zip", folder / "raw.zip")):
        told = f"{name}, {len(files):,} recordings"
        found[name] = ratio(told, partial(seconds, partial(ours, given)), of_all)
    return found


def views() -> dict[str, float]:
    """A view of every clip; ours gathers them too, and is also told with the stream that theirs computes elsewhere."""
    from feeder.ntu_feeder import Feeder_triple

    clips = np.random.default_rng(0).standard_normal((256, 3, 50, 25, 2)).astype(np.float32)
    rows, out = np.arange(len(clips)), np.empty_like(clips)
    feeder: Any = Feeder_triple.__new__(Feeder_triple)
    feeder.shear_amplitude, feeder.temperal_padding_ratio, feeder.aug_method = 0.5, 6, "12345"
    found = {}
    for name, augment in (("normal", feeder._aug), ("extreme", feeder._strong_aug)):
        view = build_view(name)

        def ours(view: Any = view, stream: str = "joint") -> None:
            render_view(clips, rows, rows, view, stream, KINECT_V2, 0, 1, 0, out, 1)

        def theirs(augment: Any = augment) -> None:
            for clip in clips:
                augment(clip)

        def bones(ours: Any = ours) -> None:
            ours(stream="bone")

        for what, call in ((f"{name} view", ours), (f"{name} view, bone (theirs without)", bones)):
            found[what] = ratio(what, partial(seconds, call, 10), partial(seconds, theirs))
    return found


def batches(folder: Path) -> float:
    """An epoch of batches with the three views of AimCLR's recipe; theirs by a DataLoader with two workers."""
    from feeder.ntu_feeder import Feeder_triple

    clips = np.random.default_rng(0).standard_normal((2048, 3, 50, 25, 2)).astype(np.float32)
    rows, labels = np.arange(len(clips)), np.zeros(len(clips), np.int64)
    np.save(folder / "clips.npy", clips)
    (folder / "labels.pkl").write_bytes(pickle.dumps(([""] * len(clips), labels.tolist())))
    feeder: Any = Feeder_triple(folder / "clips.npy", folder / "labels.pkl")
    recipe = load_recipe("aimclr")
    views = {name: recipe.view(name) for name in recipe.views}
    made = Batches(clips, rows, labels, views, "joint", KINECT_V2, BATCH, 0, torch.device("cpu"), 1)

    def ours() -> None:
        for _ in made.epoch(1):
            pass

    def theirs() -> None:
        for _ in DataLoader(feeder, BATCH, shuffle=True, num_workers=2):
            pass

    return ratio(f"an epoch of batches, {len(clips):,} clips", partial(seconds, ours), partial(seconds, theirs))


def embed(batch: int) -> float:
    """The frozen encoder at the paper's width."""
    from net.st_gcn import Model

    ours = STGCN(KINECT_V2, STGCNOptions()).eval()
    graph = {"layout": "ntu-rgb+d", "strategy": "spatial"}
    theirs = Model(
        in_channels=3, hidden_channels=16, hidden_dim=256, num_class=60, dropout=0.5, graph_args=graph,
        edge_importance_weighting=True,
    ).eval()  # fmt: skip
    x = torch.randn(batch, 3, 50, 25, 2)
    x[torch.arange(batch) % TWO_BODIES != 0, ..., 1] = 0

    def embed_ours() -> None:
        keep_memory()  # as the commands do
        ours(x)

    with torch.no_grad():
        told = f"embed, {batch} clips"
        mine, other = memory_apart(embed_ours), memory_apart(partial(theirs, x))
        print(f"{told}: {mine / other:.2f} of the memory ({mine / 1e6:,.0f} MB, {other / 1e6:,.0f} MB)", flush=True)
        return ratio(told, partial(seconds_apart, embed_ours), partial(seconds_apart, partial(theirs, x)))


if __name__ == "__main__":
    main()
