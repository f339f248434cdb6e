"""Several ranks against one process: losses, queues, weights, batch norm; resume, Ctrl-C and failure."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY
from rank_worker import CASES, TOYS, all_in_float64, three_steps
from safetensors.torch import load_file
from torch import nn

from skelpipe import ranks
from skelpipe.clips.batches import Batches
from skelpipe.clips.views import build_view
from skelpipe.errors import BadInput
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.methods.synced import SyncedNorm, sync_norms
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

HERE = Path(__file__).parents[1]


# Against one process ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(clips, tmp_path_factory):
    """What each of two ranks found in every case."""
    out = tmp_path_factory.mktemp("ranks")
    assert ranks.launch([sys.executable, str(HERE / "rank_worker.py"), str(clips), str(out)], 2) == 0
    return [torch.load(out / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("case", [case for case in [*CASES, *TOYS] if case != "per_rank"])
def test_two_ranks_are_one_process(two, clips, case):
    """In float64 nothing but the order of sums differs; three steps of SGD leave that below 1e-9."""
    expected = three_steps(case, clips)
    for found in (rank[case] for rank in two):
        assert found["log"].keys() == expected["log"].keys()
        assert found["log"] == {
            name: None if value is None else pytest.approx(value, rel=1e-9) for name, value in expected["log"].items()
        }
        assert found["state"].keys() == expected["state"].keys()
        for name, value in expected["state"].items():
            torch.testing.assert_close(found["state"][name], value, rtol=1e-9, atol=1e-9, msg=f"{case}: {name}")
    queues = [name for name in expected["state"] if name.endswith("queue")]
    assert len(queues) == {"supervised": 0, "crossclr": 3, "two_networks": 0, "next_frame": 0}.get(case, 1)


def test_norms_of_each_rank(two, clips):
    """per_rank is another computation, of which all ranks still hold the same weights and pooled statistics."""
    expected, (first, second) = three_steps("per_rank", clips), (rank["per_rank"] for rank in two)
    assert first["log"] == second["log"]
    assert all(torch.equal(value, second["state"][name]) for name, value in first["state"].items())
    assert not any(map(torch.equal, first["own_norms"], second["own_norms"]))
    assert abs(first["log"]["loss"] - expected["log"]["loss"]) > 1e-6


def test_each_rank_draws_its_own_masks(two):
    first, second = (rank["own_key"]["random"] for rank in two)
    assert not torch.equal(first, second)


def test_shares_make_up_the_batch():
    data = np.random.default_rng(0).normal(size=(13, 3, 6, 25, 1)).astype(np.float32)
    whole, *shares = (
        [
            (batch.views["query"].clone(), batch.labels.clone())
            for batch in Batches(
                data, np.arange(13), np.arange(13) % 5, {"query": build_view("normal")}, "joint", KINECT_V2, 6, 1,
                torch.device("cpu"), 1, rank, of,
            ).epoch(2, first=1)
        ]
        for rank, of in [(0, 1), (0, 3), (1, 3), (2, 3)]
    )  # fmt: skip
    assert len(whole) == 1
    for number, (views, labels) in enumerate(whole):
        assert torch.equal(torch.cat([share[number][0] for share in shares]), views)
        assert torch.equal(torch.cat([share[number][1] for share in shares]), labels)


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 5), (6, 4, 5, 3)])
def test_a_synced_norm_alone_is_a_batch_norm(shape):
    torch.manual_seed(0)
    plain = (nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d)(4).double()
    nn.init.normal_(plain.weight), nn.init.normal_(plain.bias)
    synced = nn.Sequential(copy.deepcopy(plain))
    sync_norms(synced)
    assert isinstance(synced[0], SyncedNorm)
    x = (torch.randn(shape, dtype=torch.float64) + 3).requires_grad_()
    along = torch.randn(shape, dtype=torch.float64)
    found = []
    for norm in (plain, synced[0]):
        y = torch.relu_(norm(x))  # in place, as the encoder has it
        found.append([y, *torch.autograd.grad(y, [x, norm.weight, norm.bias], along), norm.eval()(x.detach())])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(synced[0].state_dict()[name], value, rtol=1e-12, atol=1e-12)


def test_a_synced_norm_keeps_half_precision_out_of_its_statistics():
    torch.manual_seed(0)
    norm = SyncedNorm(nn.BatchNorm1d(2))
    x = (torch.randn(512, 2) + 10).bfloat16().requires_grad_()
    y = norm(x)
    y.sum().backward()
    assert (y.dtype, x.grad.dtype) == (torch.bfloat16, torch.bfloat16)
    torch.testing.assert_close(norm.running_mean, 0.1 * x.detach().float().mean(0), rtol=1e-5, atol=0)


# Whole runs -------------------------------------------------------------------------------------------------------

STEADY = ["--set", "batch_norm=synced", "--set", "encoder.dropout=0"]
OPTIONS = ["--split", "xsub60", "--stream", "joint", "--device", "cpu", "--threads", "1"]


def words(clips, run, epochs, sets=STEADY):
    small = [part for each in TINY for part in ("--set", each)]
    return ["pretrain", "skeletonclr", str(clips), str(run), *OPTIONS, "--epochs", str(epochs), *small, *sets]


def said(capfd):
    """The lines that `skelpipe` itself wrote to stderr, the display of its progress aside."""
    lines = capfd.readouterr().err.splitlines()
    assert not any("Traceback" in line for line in lines), lines
    return [line for line in lines if line.startswith("skelpipe: ")]


def test_two_ranks_then_one_then_two_are_one_run(clips, tmp_path, capfd):
    """Stopped by SIGTERM within an epoch each time, and gone on with by another number.

    In float64, because float32 would not tell: nine steps of so small a network can make 1e-2 of a difference of 1e-6.
    """
    run, whole = tmp_path / "run", tmp_path / "whole"
    recipe = load_recipe("skeletonclr", [*TINY, *STEADY[1::2]], epochs=3)
    options = {"split": "xsub60", "stream": "joint", "device": "cpu", "threads": 1}
    with all_in_float64():
        assert pretrain(recipe, clips, whole, **options).state == "finished"

    watched = [sys.executable, str(HERE / "watched.py"), "SIGTERM", "1", "1", *words(clips, run, 3)]
    assert ranks.launch(watched, 2) == 130
    out = capfd.readouterr()
    assert out.out.count("stopped") == out.err.count("same command") == 1
    position = torch.load(run / "checkpoint.pt", weights_only=True)["position"]
    assert (position["epoch"], position["step"]) == (1, 2)  # all have heard of it a step later

    def stop(event):
        if (event["epoch"], event["step"]) == (2, 1):
            os.kill(os.getpid(), signal.SIGTERM)

    with all_in_float64():
        assert pretrain(recipe, clips, run, progress=stop, **options).state == "stopped"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", str(HERE / "watched.py")]
    command = [*torchrun, "nothing", "0", "0", *words(clips, run, 3)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("finished") == 1

    log, expected = ([json.loads(line) for line in (r / "log.jsonl").read_text().splitlines()] for r in (run, whole))
    assert [entry.get("ranks") for entry in log] == [None, 2, 2]  # how many ended the epoch
    for a, b in zip(log, expected, strict=True):
        for name in ("loss", "spread", "positive", "negative"):
            assert a[name] == pytest.approx(b[name], rel=1e-8), name
    weights = load_file(run / "weights.safetensors")
    for name, value in load_file(whole / "weights.safetensors").items():
        torch.testing.assert_close(weights[name], value, rtol=1e-8, atol=1e-8, msg=name)
    assert len(list((run / "tensorboard").iterdir())) == 3  # one writer each time
    assert {p.name for p in run.parent.iterdir()} == {"run", "whole"}


def test_ctrl_c_ends_all_ranks_with_a_checkpoint(clips, tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "skelpipe", *words(clips, run, 100000), "--gpus", "2"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 100
    log = run / "log.jsonl"
    while not (log.exists() and log.stat().st_size) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)  # both ranks hold these pipes, so this waits for their end as well
    assert process.returncode == 130, out + err
    assert "Traceback" not in out + err
    assert (out + err).count("same command") == 1
    assert (run / "checkpoint.pt").exists()
    assert not (tmp_path / ".run.lock").exists()


def test_a_rank_that_fails_ends_all_with_its_line(clips, tmp_path, capfd):
    command = [sys.executable, str(HERE / "watched.py"), "fail", "1", "2", *words(clips, tmp_path / "run", 2)]
    assert ranks.launch(command, 2) == 2
    assert said(capfd) == ["skelpipe: here: something fails; mend it"]
    assert not (tmp_path / "run" / "done.json").exists()


def test_a_rank_that_is_killed_ends_all_with_one_line(clips, tmp_path, capfd):
    command = [sys.executable, str(HERE / "watched.py"), "SIGKILL", "0", "2", *words(clips, tmp_path / "run", 2)]
    with pytest.raises(BadInput, match="rank 0: was killed by SIGKILL; the same command goes on"):
        ranks.launch(command, 2)
    assert said(capfd) == []


def test_a_fault_in_all_ranks_is_told_once(clips, tmp_path, capfd):
    """A batch that cannot be divided: found by each rank for itself."""
    command = [sys.executable, "-m", "skelpipe", *words(clips, tmp_path / "run", 2), "--set", "batch_size=7"]
    assert ranks.launch(command, 2) == 2
    (line,) = said(capfd)
    assert "7 cannot be divided among 2 ranks" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "gpus", "gives"),
    [
        ("auto", 0, "cpu"), ("cpu", 2, "cpu"), ("auto", 2, "cuda:1"), ("cuda", 2, "cuda:1"),
        ("cuda:1", 2, "is one device"), ("cuda", 0, "there are 0"), ("auto", 1, "there are 1"),
    ],
)  # fmt: skip
def test_the_device_of_a_rank(monkeypatch, name, gpus, gives):
    taken = []
    monkeypatch.setattr(ranks, "count", lambda: 2)
    monkeypatch.setattr(ranks, "mine", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setenv("LOCAL_RANK", "1")
    if " " in gives:
        with pytest.raises(BadInput, match=gives):
            ranks.device_name(name)
    else:
        assert ranks.device_name(name) == gives
        assert taken == [gives] * gives.startswith("cuda")


def test_gpus_must_be_what_torchrun_started(clips, tmp_path, monkeypatch):
    from click.testing import CliRunner

    from skelpipe.cli import main

    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    result = CliRunner().invoke(main, [*words(clips, tmp_path / "run", 2), "--gpus", "2"])
    assert result.exit_code == 2
    assert "--gpus 2: is given to one of 4 ranks" in result.output


def test_what_does_not_suit_so_many_ranks_is_told_before_they_are_started(clips, tmp_path, monkeypatch):
    from click.testing import CliRunner

    from skelpipe.cli import main

    started = []
    monkeypatch.setattr(ranks, "launch", lambda command, count: started.append(count) or 0)
    monkeypatch.setattr(ranks, "cpu_count", lambda: 4)
    told = [*words(clips, tmp_path / "run", 2), "--set", "batch_size=8", "--gpus"]
    done = CliRunner().invoke(main, [*told, "99"])
    assert (done.exit_code, started) == (2, [])
    assert "batch_size: 8 cannot be divided among 99 ranks" in done.output
    done = CliRunner().invoke(main, [*told, "4"])
    assert (done.exit_code, done.output, started) == (0, "", [4])
    done = CliRunner().invoke(main, [*told, "8"])
    assert (done.exit_code, started) == (0, [4, 8])
    (line,) = done.output.splitlines()
    assert line.startswith("skelpipe: --gpus 8: 8 ranks on the CPU are more than the cores")


def test_ranks_that_cannot_meet(tiny, clips, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(BadInput, match="there are 2 ranks by WORLD_SIZE, but .*MASTER_ADDR"):
        pretrain(tiny, clips, tmp_path / "run", split="xsub60", stream="joint")
    assert (ranks.count(), ranks.mine()) == (1, 0)
