"""Commands that are killed and started again, and what is looked at after each kill.

The commands are real processes, forked from one that has imported everything (`forked.py`), and the signals are real. A
kill comes at a random moment of the time that the command takes undisturbed, or right before or after one of the calls
to the file system that its main thread makes: every write that commits something is among them.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from shlex import split
from typing import Any

import numpy as np
from conftest import TINY
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import skelpipe
from skelpipe.inspect import damage
from skelpipe.outputs import ancestry, checksums

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
ORDERLY = (0, 1, 2, 130)  # exit statuses of a process that has ended by itself
# What differs between two undisturbed runs: times, and the files whose names or bytes hold times.
TIMED = ("clips_per_second", "seconds")
LEFT_OUT = ("provenance.json",)
SETS = [word for value in TINY for word in ("--set", value)]
CPU = ["--device", "cpu", "--threads", "1"]


class Forked:
    """The program that forks commands."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number = folder, 0
        package = Path(skelpipe.__file__).parents[1]
        path = os.pathsep.join([str(package), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("forked.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        )  # fmt: skip
        assert self._answer() == {"ready": True}

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def _ask(self, **order: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        return self._answer()

    def start(self, words: list[str], **order: Any) -> Started:
        """Start `skelpipe WORDS` in the folder."""
        self.number += 1
        said = self.folder / f"said-{self.number}.txt"
        said.touch()  # a kill may come before it is opened
        order |= {"do": "start", "words": [str(w) for w in words], "said": str(said)}
        return Started(self, self._ask(**{"in": str(self.folder), **order})["pid"], said, time.monotonic())

    def run(self, words: list[str], **order: Any) -> Ended:
        """Run it to its end."""
        return self.start(words, **order).wait()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


@dataclass
class Started:
    server: Forked
    pid: int
    said: Path
    begun: float

    def wait(self) -> Ended:
        answer = self.server._ask(do="wait", pid=self.pid)
        text = self.said.read_text(errors="replace")
        self.said.unlink()
        return Ended(answer["status"], text, time.monotonic() - self.begun)


@dataclass
class Ended:
    status: int
    said: str
    seconds: float


@dataclass
class Command:
    """A command and how its output is made once before, in another form, so that it can be replaced."""

    name: str
    words: list[str]  # OUT stands for the output
    before: list[str] | None = None
    more: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    calls: int = 0
    made: dict[str, str] = field(default_factory=dict)  # what an undisturbed run has made

    def to(self, out: Path, words: list[str] | None = None) -> list[str]:
        return [str(out) if word == "OUT" else word for word in words or self.words]


def commands() -> list[Command]:
    """All stages, in order. Inputs are the outputs of those before, by name."""
    recipe = ["pretrain", "crosnnclr", "clips", "OUT", "--split", "xsub60", "--stream", "joint", *CPU, *SETS]
    recipe += ["--set", "positives.nn_start_epoch=2", "--set", "keep_every=2", "--epochs", "4"]
    evaluate = ["evaluate", "run", "clips", "OUT", *CPU]
    synth = split("synth ntu60 OUT --actions 3 --subjects 4 --setups 1 --replications 2 --frames 10 14")
    prepare = split("prepare store OUT --frames 12 --threads 1")
    knn = [*evaluate, "--protocol", "knn"]
    bone = [word if word != "joint" else "bone" for word in recipe]
    bones = [word if word != "run" else "run2" for word in knn]
    linear = [*evaluate, "--protocol", "linear", "--probe", "lbfgs", "--protocol", "retrieval"]
    tuned = [*evaluate, "--protocol", "finetune", "--set", "finetune.epochs=2", "--protocol", "semi"]
    tuned += ["--set", "semi.epochs=2", "--set", "semi.draws=1"]
    return [
        Command("raw", synth, [*synth, "--seed", "1"]),
        Command("store", split("ingest ntu60 raw OUT --workers 0"), split("ingest ntu60 few OUT --workers 0")),
        Command("clips", prepare, [*prepare, "--no-turn"]),
        Command("part1", [*prepare, "--part", "1/2"]),
        Command("part2", [*prepare, "--part", "2/2"]),
        Command("joined", split("join part1 part2 OUT"), prepare),
        Command("streams", split("streams clips OUT --threads 1"), split("streams clips OUT --stream bone")),
        Command("run", recipe, [*recipe, "--seed", "1"], {"checkpoint_seconds": 0}),
        Command("knn", knn, [*knn, "--k", "3"]),
        Command("run2", bone, None, {"checkpoint_seconds": 0}),
        Command("knn2", bones),
        Command("linear", linear, knn),
        Command("tuned", tuned),
        Command("fused", split("fuse knn knn2 --out OUT"), split("fuse knn knn2 --out OUT --weights 1,1")),
        Command("report", split("report knn knn2 fused --out OUT"), split("report knn --out OUT")),
    ]


class Workshop:
    """A folder with an undisturbed output of every command that was asked for, and the kills made so far."""

    def __init__(self, folder: Path, found: list[Command]) -> None:
        self.folder, self.found = folder, found
        self.forked = Forked(folder)
        self.killed: Counter[str] = Counter()

    def named(self, name: str) -> Command:
        """A command, with its output and those that it reads."""
        command = next(command for command in self.found if command.name == name)
        if not command.made:
            for word in [*command.words, *(command.before or ())]:
                if any(other.name == word != name for other in self.found):
                    self.named(word)
            self._make(command)
        return command

    def _make(self, command: Command) -> None:
        out = self.folder / command.name
        count = self.folder / "calls"
        ended = self.forked.run(command.to(out), hook={}, count=str(count), **command.more)
        assert ended.status == 0, ended.said
        command.calls, command.seconds = int(count.read_text()), ended.seconds
        command.made = content(out)
        if command.name == "raw":  # and fewer of them
            (self.folder / "few").mkdir()
            for file in sorted(out.rglob("*.skeleton"))[:5]:
                shutil.copy(file, self.folder / "few" / file.name)

    def older(self, command: Command) -> Path:
        """An output of the command in another form."""
        path = self.folder / "older" / command.name
        if not path.exists():
            assert command.before is not None
            ended = self.forked.run(command.to(path, command.before), **command.more)
            assert ended.status == 0, ended.said
        return path

    def points(self, found: list[Command]) -> list[tuple[Command, int, str]]:
        """Before and after each call of each command."""
        return [(c, at, then) for c in found for at in range(1, c.calls + 1) for then in ("before", "after")]

    def trial(self, command: Command, replace: bool, kills: list[dict[str, Any]], rng: random.Random) -> int:
        """Kill a command as told, one kill after the other, and let it finish at last; returns how many kills hit.

        Args:
            replace: over an older output, with --force.
            kills: {signal} for a random moment, or {signal, at, then} for a call.
        """
        room = self.folder / "room"
        shutil.rmtree(room, ignore_errors=True)
        room.mkdir()
        out = room / "out"
        words, before = command.to(out), None
        if replace and command.before is not None:
            shutil.copytree(self.older(command), out)
            words, before = [*words, "--force"], content(out)
        hit = 0
        for kill in kills:
            told = {"hook": kill} if "at" in kill else {}
            earlier = scratch_in(room)  # what a SIGKILL left stays, if the next one comes before it is looked at
            started = self.forked.start(words, **told, **command.more)
            if not told:
                time.sleep(rng.uniform(0, 1.1 * command.seconds))
                os.kill(started.pid, kill["signal"])  # not waited for yet, so the number is still its own
            ended = started.wait()
            what = f"{command.name}, replace={replace}, {kill}, status {ended.status}: {ended.said}"
            self.look(command, out, before, earlier, ended, what)
            dead = ended.status in (-kill["signal"], 130)
            if dead:
                hit += 1
                where = "at a call" if told else "at a random moment"
                self.killed[f"{command.name}, {signal.Signals(kill['signal']).name}, {where}"] += 1
            elif ended.status != 0:
                assert "already exists" in ended.said, what  # killed once it was there
            if content(out) == command.made:
                break
        if content(out) != command.made:
            ended = self.forked.run(words, **command.more)
            assert ended.status == 0, f"{command.name}: {ended.said}"
        assert differences(content(out), command.made) == [], command.name
        assert_whole(out)
        if command.more:
            check_log(out, 4)
        leftovers = names(room) - {"out"}
        if leftovers:  # of a kill after the commit: the next command there removes them
            assert leftovers <= {".out.partial", ".out.lock", ".out.old"}, leftovers
            assert self.forked.run([*words, "--force"], **command.more).status == 0
            assert differences(content(out), command.made) == [], command.name
            assert names(room) == {"out"}, names(room)
        return hit

    def look(self, command: Command, out: Path, before: Any, earlier: set[str], ended: Ended, what: str) -> None:
        """What holds after any kill."""
        assert "Traceback" not in ended.said, what
        assert names(out.parent) <= {"out", ".out.partial", ".out.lock", ".out.old"}, what
        if ended.status in ORDERLY:
            assert scratch_in(out.parent) <= earlier, (scratch_in(out.parent) - earlier, what)
        if before is not None:
            assert out.exists(), f"what was there is lost: {what}"
        if not out.exists():
            return
        found = content(out)
        if (out / ancestry.DONE).exists():
            assert_whole(out)
            assert found in (command.made, before), what
        else:
            assert command.name in ("run", "run2"), what
            assert {"recipe.yaml", "settings.json", "provenance.json"} <= set(found) | {"provenance.json"}, what


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def scratch_in(room: Path) -> set[str]:
    """What lies beside the output, and the files in it that are not yet whole."""
    return names(room) - {"out"} | {path.name for path in (room / "out").rglob(".*.partial")}


def assert_whole(folder: Path) -> None:
    """As `skelpipe verify` has it."""
    assert damage.check_output(folder) == []


def content(folder: Path) -> dict[str, str]:
    """File -> digest of what must come out the same every time; empty where there is no folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in (*LEFT_OUT, checksums.FILES) and not name.startswith("tensorboard/"):
            found[name] = _digest(path)
    if "report.json" in found:  # its page says the same, and both say when each result was made
        for name in ("report.html", ancestry.DONE):
            found.pop(name, None)
    return found


def _digest(path: Path) -> str:
    if path.name == "log.jsonl":
        data = json.dumps([{k: v for k, v in e.items() if k not in TIMED} for e in read_log(path)]).encode()
    elif path.name == ancestry.DONE:  # of a run its digest leaves the log out, its list of files does not
        done = json.loads(path.read_text())
        data = json.dumps([done["kind"], done["digest"]]).encode()
    elif path.name == "report.json":
        data = json.dumps(_timeless(json.loads(path.read_text()))).encode()
    elif path.name == "checkpoint.pt":
        data = _state(path)
    else:
        data = path.read_bytes()
    return hashlib.sha256(data).hexdigest()


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(each) for key, each in value.items() if key not in ("finished", "seconds")}
    return [_timeless(each) for each in value] if isinstance(value, list) else value


def read_log(path: Path) -> list[dict[str, Any]]:
    entries = []
    for line in path.read_text().splitlines():
        try:
            entries.append(json.loads(line))
        except ValueError:  # a kill may tear the last line, which the next start removes
            entries.append({"torn": True})
    return entries


def _state(path: Path) -> bytes:
    """All that resuming needs but the time and the length of the log, which holds times."""
    import torch

    def plain(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return [str(value.dtype), list(value.shape), hashlib.sha256(value.numpy().tobytes()).hexdigest()]
        if isinstance(value, dict):
            return [[str(key), plain(each)] for key, each in value.items()]
        return [plain(each) for each in value] if isinstance(value, list | tuple) else repr(value)

    state = torch.load(path, weights_only=True)
    state["position"] = {k: v for k, v in state["position"].items() if k not in ("seconds", "log_bytes")}
    return json.dumps(plain(state)).encode()


def differences(found: dict[str, str], wanted: dict[str, str]) -> list[str]:
    """Names of files that differ, are missing or are too many."""
    return sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))


def at_work(data: Path) -> list[str]:
    """Command lines of processes that name or work in a data folder."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace")
            if words and (str(data) in words or (folder / "cwd").resolve() == data):
                found.append(words)
        except OSError:
            continue
    return found


def check_log(run: Path, epochs: int) -> None:
    """The log and the TensorBoard files have every epoch once, with the same figures."""
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in log] == list(range(1, epochs + 1))
    board = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    board.Reload()
    assert set(board.Tags()["scalars"]) >= {"loss", "lr", "spread"}
    told = board.Scalars("loss")
    assert [point.step for point in told] == [entry["epoch"] for entry in log]
    np.testing.assert_allclose([point.value for point in told], [entry["loss"] for entry in log], rtol=1e-6)
