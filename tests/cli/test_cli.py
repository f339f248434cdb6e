"""The commands: their help, their examples, their errors, and how fast they start."""

from __future__ import annotations

import importlib
import os
import pkgutil
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from skelpipe import cli
from skelpipe.cli import main, options
from skelpipe.cli.program import SECTIONS
from skelpipe.cli.progress import bar, training
from skelpipe.clips import streams
from skelpipe.errors import BadInput
from skelpipe.evaluation.protocols import PROTOCOLS
from skelpipe.report.labels import column_key

SLOW = ("torch", "numpy", "numba", "zarr", "pandas", "matplotlib", "sklearn", "snakemake", "rich", "pydantic", "h5py")
COMMANDS = sorted(main.commands)
ROOT = Path(cli.__file__).parents[2]


def skelpipe(*words: str, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "skelpipe", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, **options)


def call(*words: object):
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="skelpipe")


def test_importing_the_commands_imports_nothing_slow():
    code = "import sys, skelpipe.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {name.partition(".")[0] for name in done.stdout.split()} & set(SLOW)


def test_help_groups_every_command_by_stage():
    text = call("--help").output
    assert sorted(command.name for members in SECTIONS.values() for command in members) == COMMANDS
    places = [text.index(f"\n{title}:") for title in SECTIONS]
    assert places == sorted(places)
    assert all(f"  {name} " in text for name in COMMANDS)
    assert "..." not in text.partition("\n")[2]  # no summary is cut short


def test_every_command_is_listed_in_the_section_that_its_module_is_named_after():
    written = {}
    for found in pkgutil.iter_modules(cli.__path__):
        module = importlib.import_module(f"skelpipe.cli.{found.name}")
        commands = [each for each in vars(module).values() if isinstance(each, click.Command) and each is not main]
        written |= {found.name: commands} if commands else {}
    assert written == {title.lower().replace(" ", "_"): list(members) for title, members in SECTIONS.items()}


def test_streams_to_choose_from_are_all_there_are():
    assert options.STREAMS == streams.STREAMS  # which imports what is slow


def test_protocols_to_choose_from_are_all_there_are(monkeypatch):
    monkeypatch.setitem(PROTOCOLS, "guess", PROTOCOLS["knn"])
    assert f"--protocol [{'|'.join(PROTOCOLS)}]" in call("evaluate", "--help").output
    assert "'lin' is not one of 'linear'" in call("evaluate", "a", "b", "c", "--protocol", "lin").output
    assert column_key("guess", "guess") > column_key("transfer", "transfer")


def examples(name: str) -> list[str]:
    text = call(name, "--help").output
    assert "\n  Example:\n" in text, f"{name} has no example"
    block = text.partition("\n  Example:\n")[2].partition("\n\n")[0]
    return [line.strip() for line in block.splitlines()]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_that_parses(name):
    for line in examples(name):
        program, command, *words = shlex.split(line.partition(" >")[0])
        assert (program, command) == ("skelpipe", name)
        # Not resilient: a wrong option or choice raises.
        main.commands[command].make_context(command, words)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does(name):
    silent = {"stream", "precision"}  # their choices say it
    for parameter in main.commands[name].params:
        if isinstance(parameter, click.Option) and parameter.name not in silent:
            assert parameter.help, f"{name} {parameter.opts}"


def test_bad_input_is_one_line_and_status_2():
    done = skelpipe("ingest", "ntu60", "no/such/folder", "no/store")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("skelpipe: no/such/folder: ")
    assert done.stderr.count("\n") == 1


def test_a_traceback_is_shown_only_when_asked_for(tmp_path):
    result = call("--traceback", "verify", tmp_path / "store", tmp_path)
    assert isinstance(result.exception, BadInput)


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (KeyboardInterrupt(), 130, "skelpipe: interrupted; nothing half-made is left\n"),
        (KeyboardInterrupt("a checkpoint is kept"), 130, "skelpipe: interrupted; a checkpoint is kept\n"),
        (OSError(28, "No space left on device", "x"), 2, "skelpipe: x: No space left on device; free some space\n"),
        (BadInput("a\nb", "c", "d"), 2, "skelpipe: a b: c; d\n"),
    ],
)
def test_what_ends_a_command_is_told_in_one_line(monkeypatch, error, status, told):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("skelpipe.inspect.describe.describe", fail)
    result = call("inspect", "x")
    assert (result.exit_code, result.stderr) == (status, told)


@pytest.mark.parametrize("where", ["make_context", "invoke"])
def test_an_interrupt_outside_of_a_command_ends_as_one_within(monkeypatch, where):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(main, where, interrupted)
    result = call("inspect", "x")
    assert (result.exit_code, result.stderr.lstrip("\n")) == (130, "skelpipe: interrupted; nothing half-made is left\n")


def test_a_mistake_in_the_code_is_not_hidden(monkeypatch):
    monkeypatch.setattr("skelpipe.inspect.describe.describe", lambda path: 1 / 0)
    assert isinstance(call("inspect", "x").exception, ZeroDivisionError)


def test_sigterm_ends_a_stage_as_ctrl_c_does(tmp_path):
    code = (
        "import skelpipe.inspect.describe, signal, sys; from skelpipe.cli import main\n"
        "def wait(path): print('here', flush=True); signal.pause()\n"
        "skelpipe.inspect.describe.describe = wait; main(['inspect', 'x'])"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "here\n"
    os.kill(process.pid, signal.SIGTERM)
    told = process.communicate(timeout=30)[1]
    assert (process.returncode, told) == (130, "skelpipe: interrupted; nothing half-made is left\n")


def test_a_closed_pipe_is_quiet():
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [sys.executable, "-m", "skelpipe", "--help"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False,
        cwd=ROOT,
    )  # fmt: skip
    os.close(writer)
    assert "Traceback" not in process.stderr


def test_unknown_names_are_refused_with_what_there_is():
    assert "did you mean 'xsub60'" in call("pretrain", "x", "c", "r", "--split", "x sub", "--stream", "joint").output
    assert "did you mean demo?" in call("run", "demmo").stderr
    assert (
        "did you mean crosnnclr?"
        in call("pretrain", "crosnclr", "c", "r", "--split", "xsub60", "--stream", "joint").stderr
    )
    assert "0.6,0.6,0.4" in call("fuse", "a", "b", "--out", "o", "--weights", "x").stderr


def test_raw_files_become_clips(tmp_path):
    raw, store, clips = tmp_path / "raw", tmp_path / "a.zarr", tmp_path / "c.zarr"
    assert "36 clips in 36 files" in call(
        "synth", "ntu60", raw, "--actions", 3, "--subjects", 4, "--setups", 1, "--replications", 1, "--frames", 12, 16
    ).output  # fmt: skip
    (raw / "S001C001P040R002A059.skeleton").write_text("no skeleton")
    result = call("ingest", "ntu60", raw, store, "--workers", 0)
    assert "skelpipe: left out: S001C001P040R002A059" in result.stderr
    assert f"{store}: 36 clips of 56,578 published" in result.stdout
    assert "all 36 clips" in call("verify", store, raw, "--workers", 0).stdout
    assert call("prepare", store, clips, "--frames", 20).stdout == f"{clips}: 36 clips of 20 frames\n"
    assert call("prepare", store, clips).exit_code == 2
    assert call("prepare", store, clips, "--force").exit_code == 0
    assert "36" in call("inspect", clips).output
    assert call("streams", clips, tmp_path / "s.zarr", "--stream", "bone").exit_code == 0


# Progress off a terminal --------------------------------------------------------------------------------------------


def test_progress_off_a_terminal_is_a_line_now_and_then(monkeypatch, capsys):
    monkeypatch.setattr("skelpipe.cli.progress.time.monotonic", iter([0, 5, 11, 11, 12, 30, 30]).__next__)
    with bar("reading", "files") as progress:
        for done in (1, 2, 3, 4):
            progress(done, 4, 1000)
    assert capsys.readouterr().err == "reading: 2 of 4 files\nreading: 4 of 4 files\n"


def test_training_progress_keeps_the_last_loss(monkeypatch, capsys):
    monkeypatch.setattr("skelpipe.cli.progress.time.monotonic", iter([0, 5, 11, 11]).__next__)
    with training("x") as progress:
        progress({"epoch": 1, "epochs": 2, "step": 1, "steps": 4, "loss": 4.5, "clips_per_second": 1234.5})
        progress({"epoch": 1, "epochs": 2, "step": 2, "steps": 4})
    assert capsys.readouterr().err == "epoch 1/2, loss 4.500, 1,234 clips/s\n"


SWALLOWED = """
import ctypes, os, signal, time
from skelpipe.cli.interrupts import stop_in_order
stop_in_order()
called = ctypes.CFUNCTYPE(None)(lambda: (os.kill(os.getpid(), signal.SIGINT), time.sleep(10)))
try:
    called()
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted")
"""


HALF_BUILT = """
import os, signal, sys, warnings
from skelpipe.cli.interrupts import stop_in_order
stop_in_order()
class Loop:
    def __init__(self):
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))
        self.handlers = []
    def __del__(self):
        warnings.warn("never awaited", RuntimeWarning)
        self.handlers.clear()
try:
    Loop()
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_what_an_interrupt_leaves_half_built_is_not_told(name):
    done = subprocess.run([sys.executable, "-c", HALF_BUILT, name], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")


def test_an_interrupt_that_c_code_swallows_is_not_lost():
    done = subprocess.run([sys.executable, "-c", SWALLOWED], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")


def test_commands_work_in_a_folder_whose_name_is_not_utf8(tmp_path, monkeypatch):
    here = tmp_path / os.fsdecode(b"\312\375\276\257")
    here.mkdir()
    monkeypatch.chdir(here)
    few = "--actions 3 --subjects 4 --setups 1 --replications 1 --frames 20 24"
    small = "--epochs 1 --set encoder.width=8 --set encoder.features=16 --set batch_size=8 --set method.queue_size=16"
    for words in (
        f"synth ntu60 raw {few}", "-v ingest ntu60 raw s.zarr --workers 0", "-v prepare s.zarr c.zarr",
        f"-v pretrain demo_skeletonclr c.zarr R --split xsub60 --stream joint --device cpu {small}",
        "embed R c.zarr f.parquet", "plot c.zarr S001C001P001R001A001 p.png", "verify .",
    ):  # fmt: skip
        done = CliRunner().invoke(main, words.split())
        assert done.exit_code == 0, (words, done.output, done.exception)
    for made in ("R", "f.parquet"):
        done = CliRunner().invoke(main, ["inspect", "--provenance", os.path.abspath(made)])
        assert (done.exit_code, r"\udcca" in done.output, "unchanged" in done.output) == (0, True, True)
