"""What -v tells, and that nothing is told without it."""

from __future__ import annotations

import logging
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import TINY
from rawtext import files, ntu_clip

from skelpipe.cli import main, progress

SMALL = [word for each in TINY for word in ("--set", each)]


def call(*words: object) -> str:
    """What a command says on stderr, which is no terminal."""
    done = CliRunner().invoke(main, [str(word) for word in words], prog_name="skelpipe", catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stderr


@pytest.fixture
def raw(tmp_path):
    names = [f"S001C001P00{p}R001A00{a}" for p in (1, 2, 3) for a in (1, 2)]
    files(tmp_path / "raw", **{name: ntu_clip(n, frames=4) for n, name in enumerate(names)})
    files(tmp_path / "raw", S001C001P001R001A061=ntu_clip(0))
    return tmp_path / "raw"


def test_quiet_is_quiet(raw, clips, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS", math.inf)  # however slow the machine is
    assert call("ingest", "ntu60", raw, tmp_path / "store") == ""
    assert call("prepare", tmp_path / "store", tmp_path / "clips") == ""
    words = ("pretrain", "skeletonclr", clips, tmp_path / "run", "--split", "xsub60", "--stream", "joint")
    assert call(*words, "--epochs", 0, *SMALL) == ""
    assert call("evaluate", tmp_path / "run", clips, tmp_path / "eval", "--protocol", "knn") == ""


def test_v_tells_decisions_and_their_reasons(raw, clips, tmp_path):
    told = call("-v", "ingest", "ntu60", raw, tmp_path / "store")
    assert "6 recordings of NTU RGB+D to read" in told
    assert "parser threads: none beside this one" in told
    assert "left out: 1 not in ntu60" in told
    told = call("-v", "prepare", tmp_path / "store", tmp_path / "clips", "--no-turn", "--threads", 1)
    assert "bodies: first (the first two seen)" in told
    assert "not turned" in told
    assert "threads: 1 (as asked; this process may use" in told
    words = ("-v", "pretrain", "skeletonclr", clips, tmp_path / "run", "--split", "xsub60", "--stream", "joint")
    told = call(*words, "--device", "cpu", "--epochs", 1, *SMALL)
    for line in ("device cpu (as asked)", "starts at the first epoch", "precision fp32: fused operators", "batch_norm"):
        assert line in told
    assert "goes on at its end" in call(*words, "--device", "cpu", "--epochs", 1, *SMALL)
    told = call("-v", "evaluate", tmp_path / "run", clips, tmp_path / "eval", "--protocol", "knn", "--split", "xsub60")
    for line in ("device ", " (auto", "weights weights.safetensors, of epoch 1", "split xsub60 (as asked)"):
        assert line in told


def test_v_tells_on_stderr_one_plain_line_each(raw, tmp_path):
    done = CliRunner().invoke(main, ["-v", "ingest", "ntu60", str(raw), str(tmp_path / "store")])
    assert all(line.startswith("skelpipe: ") for line in done.stderr.splitlines())
    assert "\x1b" not in done.stderr
    assert "skelpipe: " not in done.stdout


def test_vv_tells_of_every_file_and_escapes_its_name(raw, tmp_path):
    (raw / "S001C001P001R001A002\x1b[2J.skeleton").write_text("1\n")
    told = call("-vv", "ingest", "ntu60", raw, tmp_path / "store")
    assert "ingest: S001C001P003R001A002: 4 frames" in told
    assert "\x1b" not in told
    assert "frames" not in call("-v", "ingest", "ntu60", raw, tmp_path / "again").replace("recordings", "")


def test_only_our_modules_speak(capsys):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RANK", "0")
        call("-vv", "run", "--help")
        CliRunner().invoke(main, ["-vv", "inspect", "nothing"])
        assert logging.getLogger("skelpipe.recordings.store").isEnabledFor(logging.DEBUG)
        for name in ("numba", "matplotlib", "zarr", "asyncio", "snakemake", "h5py", "PIL"):
            assert not logging.getLogger(name).isEnabledFor(logging.INFO), name
        patch.setenv("RANK", "1")
        CliRunner().invoke(main, ["-vv", "inspect", "nothing"])
        assert not logging.getLogger("skelpipe.recordings.store").isEnabledFor(logging.INFO)
        assert logging.getLogger("skelpipe.recordings.store").isEnabledFor(logging.WARNING)
        patch.delenv("RANK")
        CliRunner().invoke(main, ["inspect", "nothing"])
        assert not logging.getLogger("skelpipe.recordings.store").isEnabledFor(logging.INFO)


def test_each_line_is_told_once(raw, tmp_path):
    call("-v", "ingest", "ntu60", raw, tmp_path / "one")
    assert call("-v", "ingest", "ntu60", raw, tmp_path / "two").count("parser threads") == 1


def test_a_closed_pipe_is_no_traceback(raw, tmp_path):
    words = [sys.executable, "-m", "skelpipe", "-vv", "ingest", "ntu60", str(raw), str(tmp_path / "store")]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(words, stderr=write, stdout=subprocess.PIPE, check=False)
    os.close(write)
    assert (tmp_path / "store" / "done.json").is_file() or done.returncode
    assert b"Traceback" not in done.stdout
    assert Path(tmp_path / "store").is_dir()
