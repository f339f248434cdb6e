"""Killed at any moment, two at once, full and read-only disks, things that vanish: nothing is lost, all is told.

The long forms are marked `soak`; SKELPIPE_SOAK_KILLS (default 400) and SKELPIPE_SOAK_PIPELINE_KILLS (default 20) size
them, and SKELPIPE_SOAK_SEED (default 0) chooses other moments.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import TINY, write_clips
from kills import SIGNALS, Command, Workshop, assert_whole, at_work, check_log, commands, content, differences, names

from skelpipe.clips.prepare import prepare
from skelpipe.clips.streams import write_streams
from skelpipe.errors import BadInput
from skelpipe.evaluation.evaluate import evaluate
from skelpipe.outputs import ancestry, folders
from skelpipe.outputs.digests import read_digest
from skelpipe.outputs.locks import lock
from skelpipe.recordings import ingest, reading
from skelpipe.recordings.store import Clips
from skelpipe.training import loop
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

KILLS = int(os.environ.get("SKELPIPE_SOAK_KILLS", "400"))
PIPELINE_KILLS = int(os.environ.get("SKELPIPE_SOAK_PIPELINE_KILLS", "20"))
SEED = int(os.environ.get("SKELPIPE_SOAK_SEED", "0"))


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    made = Workshop(tmp_path_factory.mktemp("workshop"), commands())
    yield made
    made.forked.close()


def told(said: str) -> list[str]:
    """The lines of what a command said, but for those that tell now and then how far it is."""
    return [line for line in said.splitlines() if not re.match(r"epoch \d+/|[a-z]+: [\d,]+ of [\d,]+ ", line)]


# Killed at any moment -----------------------------------------------------------------------------------------------


def kill(workshop: Workshop, found: list[Command], wanted: int, rng: random.Random, each: int = 1) -> None:
    """Kill commands until so many kills have hit, `each` in a row before one may finish.

    The first of a row comes at a call in three rows of four, the others at random moments.
    """
    points = workshop.points(found)
    rng.shuffle(points)
    hit = turn = 0
    while hit < wanted:
        turn += 1
        assert turn < 20 * wanted, "kills do not hit"
        if turn % 4 and points:
            command, at, then = points.pop()
            kills = [{"signal": rng.choice(SIGNALS), "at": at, "then": then}]
        else:
            command = found[turn // 4 % len(found)]
            kills = [{"signal": SIGNALS[turn // 4 % 3]}]
        kills += [{"signal": rng.choice(SIGNALS)} for _ in range(each - 1)]
        hit += workshop.trial(command, rng.random() < 0.5, kills, rng)
        if turn % 10 == 0:
            print(f"\n{hit} kills, {turn} commands", flush=True)


@pytest.mark.timeout(1200)
def test_killed_at_any_moment(workshop):
    found = [workshop.named(name) for name in ("raw", "store", "clips", "run")]
    kill(workshop, found, 10, random.Random(SEED), each=4)
    assert sum(workshop.killed.values()) >= 10


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_killed_hundreds_of_times(workshop):
    """SKELPIPE_SOAK_KILLS kills over all stages and protocols, up to five in a row before a command may finish."""
    try:
        found = [workshop.named(command.name) for command in workshop.found]
        kill(workshop, found, KILLS, random.Random(SEED), each=5)
    finally:
        told = Counter()
        for name, count in workshop.killed.items():
            for part in name.split(", "):
                told[part] += count
        print(f"\nkills: {sum(workshop.killed.values())}; {dict(told)}")


def write_pipeline(folder: Path) -> list[str]:
    """A whole pipeline at toy size; returns the words that run it."""
    changes = [*TINY, "batch_size=4", "positives.nn_start_epoch=1", "keep_every=1"]
    text = {
        "title": "killed", "splits": ["xsub60"], "recipes": ["crosnnclr"], "streams": ["joint", "bone"], "epochs": 3,
        "frames": 12, "shards": 2, "threads": 1, "slots": 2, "protocols": ["linear", "knn"], "probe": "lbfgs",
        "synth": {"actions": 3, "subjects": 4, "setups": 1, "replications": 2, "frames": [10, 14]},
        "set": {"crosnnclr": changes}, "figures": ["curves", "confusion"],
    }  # fmt: skip
    (folder / "killed.yaml").write_text(yaml.safe_dump(text))
    return [sys.executable, "-m", "skelpipe", "run", str(folder / "killed.yaml"), "--data"]


def outputs_in(data: Path) -> dict[str, dict[str, str]]:
    """Folder -> content, of every folder that says it is whole; each is looked at."""
    found = {}
    for done in sorted(data.rglob(ancestry.DONE)):
        if not any(part.startswith(".") for part in done.relative_to(data).parts):
            assert_whole(done.parent)
            found[done.parent.relative_to(data).as_posix()] = content(done.parent)
    return found


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_whole_pipelines_killed_again_and_again(tmp_path):
    """SKELPIPE_SOAK_PIPELINE_KILLS kills of 'skelpipe run' with real stages; nothing of it goes on afterwards."""
    command, rng = write_pipeline(tmp_path), random.Random(SEED)
    begun = time.monotonic()
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    seconds = time.monotonic() - begun
    whole = outputs_in(tmp_path / "whole")
    assert len(whole) == 9  # the parts are gone once they are joined
    killed: Counter[str] = Counter()
    runs = 0
    while sum(killed.values()) < PIPELINE_KILLS:
        data, runs = tmp_path / f"data{runs}", runs + 1
        status = None
        while status != 0:
            number = rng.choice(SIGNALS)
            process = subprocess.Popen([*command, str(data)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            try:
                said = "".join(filter(None, process.communicate(timeout=rng.uniform(0, seconds / 2))))
            except subprocess.TimeoutExpired:
                process.send_signal(number)
                said = "".join(filter(None, process.communicate()))
                killed[number.name] += process.returncode != 0
            status = process.returncode
            assert status in (0, 130, -number), said
            assert status == -number or "Traceback" not in said  # Python's own, before any of our code has begun
            until = time.monotonic() + 90
            while at_work(data) and time.monotonic() < until:
                assert status == -signal.SIGKILL, (said, at_work(data))
                time.sleep(0.2)
            assert at_work(data) == []
            made = outputs_in(data) if data.exists() else {}
            print(f"\n{number.name} at a random moment: status {status}, {len(made)} whole outputs", flush=True)
            for name, found in made.items():
                assert name not in whole or differences(found, whole[name]) == [], name
        assert made == whole
        assert not [path for path in data.rglob(".*.partial") if ".snakemake" not in path.parts]
    print(f"\npipelines: {sum(killed.values())} kills, {dict(killed)}, in {runs} pipelines of {seconds:.0f} s")


# Two at once --------------------------------------------------------------------------------------------------------


def race(workshop: Workshop, command: Command, force: bool, writers: int = 3) -> list[int]:
    """Start one command several times at the same moment, with the same output; returns the exit statuses.

    Meanwhile a reader looks: it may find nothing or a whole output, and over an older one always a whole one.
    """
    room = workshop.folder / "room"
    shutil.rmtree(room, ignore_errors=True)
    room.mkdir()
    out = room / "out"
    words = command.to(out)
    if force:
        shutil.copytree(workshop.older(command), out)
        words = [*words, "--force"]
    begin = time.time() + 0.3
    started = [workshop.forked.start(words, begin=begin, **command.more) for _ in range(writers)]
    halves, looks, stop = [], 0, threading.Event()

    def look() -> None:
        nonlocal looks
        while not stop.is_set():
            looks += 1
            there = force or out.exists()
            if there and read_digest(out) is None and command.name != "run":
                halves.append(sorted(names(room)))

    reader = threading.Thread(target=look)
    reader.start()
    ended = [process.wait() for process in started]
    stop.set(), reader.join()
    assert looks
    assert halves == []
    for process in ended:
        assert process.status in (0, 2), process.said
        if process.status:
            assert len(told(process.said)) == 1, process.said
            assert "is being written by another process" in process.said or "already exists" in process.said
    assert any(process.status == 0 for process in ended), [process.said for process in ended]
    assert differences(content(out), command.made) == []
    assert names(room) == {"out"}
    assert_whole(out)
    return [process.status for process in ended]


RACES = [("store", False), ("store", True), ("clips", False), ("clips", True), ("run", False), ("knn", True)]


@pytest.mark.parametrize(("name", "force"), [("store", False), ("clips", True), ("run", False)])
def test_two_at_once(workshop, name, force):
    statuses = race(workshop, workshop.named(name), force, writers=2)
    if not force and name != "run":  # a run that is finished is whole for whoever comes later
        assert statuses.count(0) == 1


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_two_at_once_many_times(workshop):
    """SKELPIPE_SOAK_RACES (default 100) races of three processes over stores, clips, runs and evaluations."""
    statuses = Counter()
    for turn in range(int(os.environ.get("SKELPIPE_SOAK_RACES", "100"))):
        name, force = RACES[turn % len(RACES)]
        found = race(workshop, workshop.named(name), force)
        statuses[name, force, found.count(0)] += 1
        assert force or name == "run" or found.count(0) == 1
    print(f"\nraces, and how many of three won: {dict(statuses)}")


def test_a_lock_on_a_removed_file_keeps_nobody_out(tmp_path):
    """A process that opened the file before its holder removed it must not think that it holds the lock."""
    path, opened = tmp_path / "lock", os.open
    held = lock(path)

    def open_late(*given, **options):
        descriptor = opened(*given, **options)
        if not late:
            late.append(descriptor)
            path.unlink()
            os.close(held)
        return descriptor

    late: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", open_late)
        mine = lock(path)
    assert os.path.samestat(os.fstat(mine), path.stat())
    with pytest.raises(BlockingIOError):
        lock(path)
    os.close(mine)


def test_a_file_system_without_locks_is_told_and_used(tmp_path, monkeypatch, caplog):
    def none(*given):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with folders.new_folder(tmp_path / "out", "report") as folder:
        (folder / "page.html").write_text("a")
    assert "no locks" in caplog.text
    assert names(tmp_path) == {"out"}


# Disks that are full, read-only or gone -----------------------------------------------------------------------------


@pytest.fixture
def disk(workshop: Workshop) -> Iterator[Disk]:
    made = Disk(workshop.folder / "disk")
    yield made
    made.unmount()


class Disk:
    """A small file system in memory, whose size can be changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", path], capture_output=True).returncode:
            path.rmdir()
            pytest.skip("no file system may be mounted here")

    def change(self, option: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{option}", self.path], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", self.path], check=True)
        self.path.rmdir()


def refuses(workshop: Workshop, command: Command, out: Path, words: list[str], says: str) -> None:
    """The command fails in one line, and only a run that can be gone on with may be left that was not there before."""
    before = content(out)
    ended = workshop.forked.run([*words], **command.more)
    assert ended.status == 2, ended.said
    lines = told(ended.said)
    assert len(lines) == 1, ended.said
    assert says in lines[0]
    assert lines[0].startswith("skelpipe: ")
    assert names(out.parent) <= {"out"}
    assert not list(out.parent.rglob(".*.partial"))
    if command.name != "run":
        assert content(out) == before
    elif before:  # it was to start anew, and has perhaps begun
        assert (out / "recipe.yaml").exists()


def in_soak(short: set[object], every: list[Any]) -> list[Any]:
    """Cases of which only `short` are in the normal suite."""
    return [case if case in short else pytest.param(*_tuple(case), marks=pytest.mark.soak) for case in every]


def _tuple(case: object) -> tuple[Any, ...]:
    return case if isinstance(case, tuple) else (case,)


FULL = [(name, over) for name in ("store", "clips", "joined", "streams", "run", "knn") for over in (False, True)]


@pytest.mark.parametrize(("name", "over"), in_soak({("clips", True), ("run", False)}, FULL))
def test_a_full_disk(workshop, disk, name, over):
    command = workshop.named(name)
    out = disk.path / "out"
    words = command.to(out)
    if over:
        shutil.copytree(workshop.older(command), out)
        words = [*words, "--force"]
    used = sum(-(-file.stat().st_size // 4096) * 4 for file in [disk.path, *disk.path.rglob("*")])
    for kilobytes in (8, 40):
        disk.change(f"size={used + kilobytes}k")
        refuses(workshop, command, out, words, "No space left on device); free some space")
    disk.change("size=64m")
    assert workshop.forked.run(words, **command.more).status == 0
    assert differences(content(out), command.made) == []


@pytest.mark.parametrize("name", in_soak({"clips"}, ["clips", "store", "run", "knn"]))
def test_a_read_only_disk(workshop, disk, name):
    command = workshop.named(name)
    shutil.copytree(workshop.older(command), disk.path / "out")
    disk.change("ro")
    words = [*command.to(disk.path / "out"), "--force"]
    refuses(workshop, command, disk.path / "out", words, "Read-only file system); choose a path")
    words = command.to(disk.path / "out" / "new" / "out")
    assert "Read-only file system" in workshop.forked.run(words).said


FAILING = [(name, number) for name in ("clips", "run", "knn") for number in (errno.ENOSPC, errno.EIO)]


@pytest.mark.parametrize(("name", "number"), in_soak({("clips", errno.EIO)}, FAILING))
def test_a_disk_that_fails_at_any_call(workshop, name, number):
    """The same without a file system of its own: from the n-th call on, flushing and renaming fail."""
    command = workshop.named(name)
    room = workshop.folder / "room"
    for at in (1, command.calls // 2, command.calls - 8):
        shutil.rmtree(room, ignore_errors=True)
        shutil.copytree(workshop.older(command), room / "out")
        before = content(room / "out")
        fault = {"at": at, "then": "", "fail": number, "of": ["fsync", "rename", "replace"]}
        ended = workshop.forked.run([*command.to(room / "out"), "--force"], hook=fault, **command.more)
        if ended.status == 0:  # nothing was written after that call
            continue
        assert (ended.status, len(told(ended.said))) == (2, 1), ended.said
        assert os.strerror(number) in ended.said
        assert names(room) == {"out"}
        if name != "run":
            assert content(room / "out") == before


# Things that vanish -------------------------------------------------------------------------------------------------


def made(workshop: Workshop, name: str) -> Path:
    """The undisturbed output of a command."""
    return workshop.folder / workshop.named(name).name


def copied(workshop: Workshop, name: str, to: Path) -> Path:
    workshop.named(name)
    return Path(shutil.copytree(workshop.folder / name, to / name))


def removing(folder: Path) -> Callable[..., None]:
    """A progress function that removes a folder the first time that it is called."""
    return lambda *news: shutil.rmtree(folder, ignore_errors=True)


def tiny(**changes: object) -> dict[str, object]:
    return {"split": "xsub60", "stream": "joint", "device": "cpu", "threads": 1, **changes}


def test_an_input_that_is_deleted_or_replaced_meanwhile_is_named(workshop, tmp_path):
    store, clips, run = (copied(workshop, name, tmp_path) for name in ("store", "clips", "run"))
    with pytest.raises(BadInput, match=r"/clips: was deleted while it was read; make it again.*same command"):
        evaluate(run, clips, tmp_path / "out", protocols=["knn"], device="cpu", progress=removing(clips))
    with pytest.raises(BadInput, match=r"/store: was deleted while it was read"):
        prepare(store, clips, frames=12, threads=1, progress=removing(store))
    clips = copied(workshop, "clips", tmp_path)

    def replace(*news):
        removing(clips)()
        shutil.copytree(workshop.older(workshop.named("clips")), clips)

    with pytest.raises(BadInput, match=r"/clips: was replaced while it was read"):
        write_streams(clips, tmp_path / "out", threads=1, progress=replace)
    assert names(tmp_path) == {"clips", "run"}


def test_clips_that_vanish_while_they_are_loaded_are_not_trained_on(workshop, tmp_path, monkeypatch):
    clips, load = copied(workshop, "clips", tmp_path), Clips.load

    def late(self, *given):
        removing(clips)()
        return np.zeros_like(load(Clips(made(workshop, "clips")), *given))

    monkeypatch.setattr(Clips, "load", late)
    recipe = load_recipe("crosnnclr", TINY, epochs=1)
    with pytest.raises(BadInput, match=r"/clips: was deleted while it was read"):
        pretrain(recipe, clips, tmp_path / "run", **tiny())


@pytest.mark.parametrize("workers", [0, 1])
def test_recordings_that_vanish_are_not_left_out_in_silence(workshop, tmp_path, workers, monkeypatch):
    raw = copied(workshop, "raw", tmp_path)
    monkeypatch.setattr(reading, "BATCH_SOURCES", 1)
    with pytest.raises(BadInput, match=r"raw: was deleted while it was read; .*same command"):
        ingest.ingest("ntu60", raw, tmp_path / "out", workers=workers, progress=removing(raw))
    assert names(tmp_path) == set()


def test_an_expired_scratch_folder_is_named(workshop, tmp_path):
    """The folder that holds the run, or the output, is deleted while it is written."""
    recipe = load_recipe("crosnnclr", TINY, epochs=3)
    scratch = tmp_path / "scratch"
    said = r"was lost: it, or the folder that held it, was deleted.*choose a path that lasts.*same command"
    with pytest.raises(BadInput, match=said):
        pretrain(recipe, made(workshop, "clips"), scratch / "run", progress=removing(scratch), **tiny())
    with pytest.raises(BadInput, match=said):
        prepare(made(workshop, "store"), scratch / "a" / "b", frames=12, threads=1, progress=removing(scratch))
    assert names(tmp_path) <= {"scratch"}
    assert not scratch.exists() or not any(path.is_file() for path in scratch.rglob("*"))


def test_weights_that_are_no_numbers_reach_no_checkpoint(workshop, tmp_path, monkeypatch):
    """A last step whose loss was finite may have made weights that are not."""
    step, run = loop.train_step, tmp_path / "run"
    recipe = load_recipe("crosnnclr", TINY, epochs=2)

    def poisoned(method, sgd, batch, epoch):
        observed = step(method, sgd, batch, epoch)
        if epoch == 2:
            next(method.parameters()).data.view(-1)[0] = float("nan")
        return {**observed, "loss": torch.tensor(1.0)}

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)
    monkeypatch.setattr(loop, "train_step", poisoned)
    with pytest.raises(BadInput, match=r"epoch 2, step \d+: the weights are not all finite; lower the rate"):
        pretrain(recipe, made(workshop, "clips"), run, **tiny())
    assert torch.load(run / "checkpoint.pt", weights_only=True)["position"]["epoch"] == 2  # where it begins
    assert not (run / "done.json").exists()


# Long runs ----------------------------------------------------------------------------------------------------------


def train_for(seconds: float, clips: Path, run: Path, legs: int = 3) -> LongRun:
    """Pretrain for a time, stopped and resumed a few times, and look at every step and all that it leaves."""
    recipe = load_recipe("crosnnclr", [*TINY, "positives.nn_start_epoch=2", "batch_size=16"], epochs=10**6)
    watched = LongRun()
    for leg in range(legs):
        watched.until = time.monotonic() + seconds / legs
        done = pretrain(recipe, clips, run, progress=watched.see, **tiny())
        assert done.state == "stopped"
        last = watched.events[-1]
        at = torch.load(run / "checkpoint.pt", weights_only=True)["position"]
        # What was shown, what was reported and what was kept is the same place.
        shown = (last["epoch"], last["step"]) if last["step"] < last["steps"] else (last["epoch"] + 1, 0)
        assert (at["epoch"], at["step"]) == shown, leg
        assert done.epoch == at["epoch"] - 1
    check_log(run, done.epoch)
    return watched


class LongRun:
    """What was seen at each step: when it ended by the CPU's clock, and the memory in use."""

    def __init__(self) -> None:
        self.events: list[dict] = []
        self.used: list[float] = []
        self.memory: list[int] = []
        self.until = self.clock = 0.0

    def see(self, event: dict) -> None:
        now = time.process_time()
        if self.events:
            before = self.events[-1]
            follows = (
                (before["epoch"], before["step"] + 1) if before["step"] < before["steps"] else (before["epoch"] + 1, 1)
            )
            assert (event["epoch"], event["step"]) == follows  # no step is left out, none is told twice
            if event["step"] > 1:
                self.used.append(now - self.clock)
        self.events.append(event)
        self.clock = now
        if len(self.events) % 50 == 0:
            self.memory.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        if time.monotonic() > self.until:
            os.kill(os.getpid(), signal.SIGTERM)
            self.until = float("inf")


def test_a_long_run_in_short(workshop, tmp_path):
    watched = train_for(3, made(workshop, "clips"), tmp_path / "run")
    assert len(watched.events) >= 3


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_a_long_run(tmp_path):
    """SKELPIPE_SOAK_MINUTES (default 60) of pretraining: memory stays, steps stay as fast, the log is right."""
    minutes = float(os.environ.get("SKELPIPE_SOAK_MINUTES", "60"))
    watched = train_for(60 * minutes, write_clips(tmp_path / "clips.zarr", per_class=64), tmp_path / "run", legs=4)
    # The first tenth is left out of the memory: it is then that the allocator finds its size.
    memory = np.array(watched.memory[len(watched.memory) // 10 :]) / 1e6
    slope = float(np.polyfit(np.linspace(0, 0.9 * minutes / 60, len(memory)), memory, 1)[0])
    tenth = len(watched.used) // 10
    first, last = (float(np.median(part)) for part in (watched.used[tenth : 2 * tenth], watched.used[-tenth:]))
    epochs = watched.events[-1]["epoch"]
    print(
        f"\nlong run: {minutes:g} min, {len(watched.events):,} steps, {epochs:,} epochs; memory {memory[0]:.1f} MB, "
        f"then {memory[-1]:.1f} MB, at most {memory.max():.1f} MB, {slope:+.2f} MB/h; CPU time of a step, median: "
        f"{1e3 * first:.2f} ms in the second tenth, {1e3 * last:.2f} ms in the last"
    )
    assert memory[-1] - memory[0] < 16
    assert last < 1.25 * first
