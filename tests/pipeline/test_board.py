"""The table of a run: what stands in it, that it fits, and what is left of it on a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from rich.console import Console
from test_pipeline import Toy

from skelpipe import resources
from skelpipe.pipeline.board import FAILED, MADE, REUSED, RUNNING, STOPPED, STYLES, WAITING, Board, middle_out, names_of
from skelpipe.pipeline.progress import measured, trained
from skelpipe.pipeline.show import Stage

RECIPES = ("aimclr", "crosnnclr", "crosnnclr_star")


def many(seeds: int) -> list[Stage]:
    found = [
        Stage("ingest", "stores/a.zarr", False),
        Stage("prepare", "stores/a-50.zarr", True, "its settings changed"),
    ]
    for recipe in RECIPES:
        for stream in ("joint", "motion", "bone"):
            for seed in range(seeds):
                top = f"runs/a-50/xsub60/{recipe}/{stream}-s{seed}"
                found += [Stage("pretrain", f"{top}/run", True), Stage("evaluate", f"{top}/linear", True)]
    return [*found, Stage("report", "reports/a", True)]


def drawn(board: Board, width: int, height: int) -> list[str]:
    console = Console(width=width, height=height, force_terminal=True, color_system=None, legacy_windows=False)
    with console.capture() as captured:
        console.print(board)
    return captured.get().splitlines()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "runs/a-50/xsub60/crosnnclr/joint-s0/run"
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text('{"epochs": 150}')
    entry = {"epoch": 37, "loss": 2.0, "clips_per_second": 2310.4, "seconds": 2.0}
    (folder / "log.jsonl").write_text(json.dumps({**entry, "epoch": 36}) + "\n" + json.dumps(entry) + "\n")
    return folder


def test_a_row_shows_how_far_its_stage_is(tmp_path, run):
    board = Board(tmp_path, many(1), lambda folder: f"{folder}: 200 of 400 clips")
    lines = drawn(board, 160, 50)
    assert len(lines) == 23  # headings, 21 stages and their counts
    assert re.fullmatch(r"prepare +a-50.zarr +waiting +its settings changed *", lines[2])
    assert lines[-1].startswith("1 of 21 stages done (1 reused), 20 waiting; 0:0")
    board.set("prepare", "stores/a-50.zarr", RUNNING)
    board.set("pretrain", f"{run.relative_to(tmp_path)}", RUNNING)
    os.utime(run / "log.jsonl", (time.time() + 1,) * 2)  # clocks of file systems are coarse
    text = "\n".join(drawn(board, 160, 50))
    assert re.search(r"prepare +a-50.zarr +running +0:00 200 of 400 clips ", text)
    assert "━━━┄┄┄┄┄┄┄┄┄ epoch 37/150, 2,310 clips/s, 3:46 left" in text
    assert re.search(
        r"pretrain +crosnnclr joint +running +0:00 epoch 37/150, 2,310 clips/s *\n", "\n".join(drawn(board, 80, 24))
    )
    os.utime(run / "log.jsonl", (0, 0))  # of an earlier attempt
    assert trained(run, 1.0) is None
    board.set("prepare", "stores/a-50.zarr", FAILED, "disk: no space left")
    board.set("pretrain", f"{run.relative_to(tmp_path)}", MADE, "finished, epoch 150/150, loss 1.9")
    evaluation = run.with_name("linear")
    evaluation.mkdir()
    (evaluation / "metrics.json").write_text(
        '{"protocols": {"linear": {"top1": 0.7123}, "knn": {"top1": 0.5}, "x": {}}}'
    )
    board.set("evaluate", f"{evaluation.relative_to(tmp_path)}", MADE)
    text = "\n".join(drawn(board, 80, 24))
    assert re.search(r"prepare +a-50.zarr +failed +0:00 disk: no space left", text)
    assert re.search(r"pretrain +crosnnclr joint +done +0:00 epoch 150/150, loss 1.9", text)
    assert re.search(r"evaluate +crosnnclr joint +done +linear 71.2, knn 50.0 %", text)
    assert measured(tmp_path) == ""


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 12), (160, 50), (40, 8)])
def test_a_table_of_hundreds_fits_and_shows_what_matters(tmp_path, width, height):
    stages = many(12)
    assert len(stages) > 200
    board = Board(tmp_path, stages)
    for place, stage in enumerate(stages[1:60]):
        board.set(stage.rule, stage.folder, RUNNING)
        board.set(stage.rule, stage.folder, FAILED if place == 7 else MADE, "why")
    board.set("pretrain", stages[100].folder, RUNNING)
    lines = drawn(board, width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    shown = [line.split() for line in lines if re.match(r"(ingest|prepare|pretrain|evaluate|report) ", line)]
    counted = [int(n) for line in lines if line.startswith("…") for n in re.findall(r"(\d+) [a-z]", line)]
    if width > 60:
        assert len(shown) == height - 6
        assert text.count("running") == 2  # its row, and the counts
        states = [next(word for word in words if word in STYLES) for words in shown]
        order = [MADE, FAILED, RUNNING, WAITING]  # what was done last, what is at work, and what comes next
        assert states == sorted(states, key=order.index)
        assert {*states} == {*order}
        assert len(shown) + sum(counted) == len(stages)
    assert {*board.counts()} == {REUSED, MADE, FAILED, RUNNING, WAITING}


def test_names_say_no_more_than_tells_apart():
    top = "runs/a-50/xsub60/aimclr"
    assert names_of([f"{top}/joint-s0/run", "stores/a.zarr"]) == {
        f"{top}/joint-s0/run": "aimclr joint", "stores/a.zarr": "a.zarr",
    }  # fmt: skip
    folders = [f"{top}/joint-s0/run", f"{top}/joint-s1/linear", f"{top}/joint-s1/finetune"]
    assert [*names_of(folders).values()] == ["aimclr joint s0", "aimclr joint s1 linear", "aimclr joint s1 finetune"]
    folders = [
        f"{top}/joint-s0/run",
        f"{top}/joint-s0/run".replace("a-50", "b-50"),
        "runs/a-50/xview60/aimclr/joint-s0/run",
    ]
    assert [*names_of(folders).values()] == [
        "aimclr joint xsub60 a-50",
        "aimclr joint xsub60 b-50",
        "aimclr joint xview60",
    ]


def test_a_stage_may_be_done_again_retried_or_stopped(tmp_path):
    board = Board(tmp_path, [Stage("pretrain", "runs/a", False)])
    assert board.rows["runs/a"].state == REUSED
    board.set("pretrain", "runs/a", RUNNING)
    board.set("pretrain", "runs/a", WAITING)
    board.set("report", "reports/new", RUNNING)
    board.stop()
    assert {row.folder: row.state for row in board.rows.values()} == {"runs/a": WAITING, "reports/new": STOPPED}
    assert board.summary().startswith("0 of 2 stages done, 1 stopped, 1 waiting; ")


class Terminal:
    """A program on a terminal of its own, and all that it has written there."""

    def __init__(self, code: str, width: int = 80, height: int = 24) -> None:
        self.own, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "", "LINES": ""}
        environment = {key: value for key, value in environment.items() if value}
        words = [sys.executable, "-c", code]
        self.process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        self.text = b""

    def read(self) -> bool:
        try:
            more = os.read(self.own, 65536)
        except OSError:  # nobody has it open any more
            return False
        self.text += more
        return bool(more)

    def end(self) -> tuple[int, str]:
        while self.read():
            pass
        os.close(self.own)
        return self.process.wait(60), self.text.decode()


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(resources.__file__).parents[1]))


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_a_failure_on_a_terminal_is_told_once_in_full_and_the_table_stays(tmp_path):
    toy = Toy(tmp_path, recipes=["./one.yaml"], streams=["joint"])
    toy.data.mkdir()
    (toy.data / "interrupt").write_text("fail")
    status, text = Terminal(toy.code).end()
    told = plain(text)
    assert status == 1
    assert (
        "skelpipe: pretrain runs/toy-50/xsub60/one/joint-s0/run failed: clips.zarr: is damaged; remake it\r\n" in told
    )
    assert f"its log is {toy.data}/logs/runs/toy-50/xsub60/one/joint-s0/run.log; to try it alone:\r\n  cd " in told
    last = told.rpartition("stage ")[2]
    assert re.search(r"pretrain one joint +failed +\d+:\d\d clips.zarr: is damaged", last)
    assert re.search(r"evaluate one joint +waiting", last)
    assert re.search(r"3 of 6 stages done, 1 failed, 2 waiting; \d+:\d\d *\r\n", last)
    assert last.rstrip().endswith("the same command goes on from here")
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l")  # the cursor is shown again


def test_an_interrupt_leaves_the_terminal_whole_and_says_how_to_go_on(tmp_path):
    toy = Toy(tmp_path, recipes=["./one.yaml"], streams=["joint"])
    toy.data.mkdir()
    (toy.data / "interrupt").write_text("wait")
    terminal = Terminal(toy.code)
    until = time.monotonic() + 240
    while not (toy.data / "waiting").exists() and time.monotonic() < until:
        terminal.read()
    terminal.process.send_signal(signal.SIGINT)
    status, text = terminal.end()
    assert status == 130
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l") >= 0
    last = plain(text).rpartition("stage ")[2]
    assert re.search(r"pretrain one joint +stopped", last)
    assert last.endswith("skelpipe: interrupted (SIGINT); the same command goes on from what is done\r\n")


def test_what_all_recipes_have_changed_is_no_part_of_a_name_and_a_long_one_keeps_its_end():
    folders = [f"runs/c/x/{recipe}+epochs=3/{stream}-s0/run" for recipe in ("a", "b") for stream in ("joint", "bone")]
    assert [*names_of(folders).values()] == ["a joint", "a bone", "b joint", "b bone"]
    folders[0] = folders[0].replace("=3", "=4")
    assert [*names_of(folders).values()][:2] == ["a+epochs=4 joint", "a+epochs=3 bone"]
    assert middle_out("small_skeletonclr+epochs=3 joint s2", 20) == "small_ske…3 joint s2"
    assert middle_out("short", 20) == "short"
    assert all(len(middle_out("abcdefghij k", width)) == min(width, 12) for width in range(2, 15))
