"""Pretraining: resume, refusal, collapse, and what a RUN holds."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
import yaml
from conftest import TINY, write_clips
from safetensors.torch import load_file

from skelpipe.encoders import cpu
from skelpipe.errors import BadInput
from skelpipe.outputs.digests import require
from skelpipe.training import folder
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

KEPT = ("weights.safetensors", "recipe.yaml", "settings.json")


def train(recipe, clips, run, **more):
    return pretrain(recipe, clips, run, **{"split": "xsub60", "stream": "motion", "device": "cpu", "threads": 1} | more)


def log_of(run):
    entries = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in e.items() if k not in ("seconds", "clips_per_second")} for e in entries]


def state_of(run):
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    state["position"].pop("seconds")
    state["position"].pop("log_bytes")  # the times in the log differ in length
    return state


def assert_same(a, b):
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


@pytest.fixture(scope="module")
def whole(clips, tmp_path_factory):
    """An undisturbed run of 4 epochs with 3 steps each."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    recipe = load_recipe("crosnnclr", [*TINY, "positives.nn_start_epoch=2", "keep_every=2"], epochs=4)
    assert train(recipe, clips, run).state == "finished"
    return recipe, run


def test_what_a_run_holds(whole):
    recipe, run = whole
    require(run, "run", "")
    settings = json.loads((run / "settings.json").read_text())
    assert {k: settings[k] for k in ("stream", "split", "seed", "epochs", "dataset", "clips", "frames")} == {
        "stream": "motion", "split": "xsub60", "seed": 0, "epochs": 4, "dataset": "ntu60", "clips": 24, "frames": 12,
    }  # fmt: skip
    assert yaml.safe_load((run / "recipe.yaml").read_text()) == recipe.model_dump(mode="json")
    log = log_of(run)
    assert [e["epoch"] for e in log] == [1, 2, 3, 4]
    assert [e["neighbour_label"] is None for e in log] == [True, True, False, False]
    assert all(math.isfinite(e[k]) for e in log for k in ("loss", "lr", "spread", "positive", "negative"))
    weights = load_file(run / "weights.safetensors")
    assert {name.split(".")[0] for name in weights} == {"encoder", "projector"}
    assert (run / "weights-0002.safetensors").exists()
    assert (run / "weights-0004.safetensors").read_bytes() == (run / "weights.safetensors").read_bytes()
    assert any((run / "tensorboard").iterdir())


def test_a_second_call_changes_nothing(whole, clips):
    recipe, run = whole
    before = {p: p.read_bytes() for p in run.iterdir() if p.is_file()}
    assert train(recipe, clips, run).state == "already finished"
    assert {p: p.read_bytes() for p in run.iterdir() if p.is_file()} == before


@pytest.mark.parametrize("stop_at", [(1, 2), (2, 3), (3, 1), (4, 2)])
def test_resume_is_bit_equal_wherever_it_stopped(whole, clips, tmp_path, stop_at):
    """SIGTERM within an epoch, or at its end, then the same command again."""
    recipe, run = whole

    def kill(event):
        if (event["epoch"], event["step"]) == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    stopped = train(recipe, clips, tmp_path / "run", progress=kill)
    assert stopped.state == "stopped"
    assert not (tmp_path / "run" / "done.json").exists()
    assert train(recipe, clips, tmp_path / "run").state == "finished"
    for name in KEPT:
        assert (tmp_path / "run" / name).read_bytes() == (run / name).read_bytes(), name
    assert log_of(tmp_path / "run") == log_of(run)
    assert_same(state_of(tmp_path / "run"), state_of(run))


KILLED = """
import os, signal, sys
from skelpipe.training import loop
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe
loop.CHECKPOINT_SECONDS = 0
def kill(event):
    if (event["epoch"], event["step"]) == (3, 2):
        os.kill(os.getpid(), signal.SIGKILL)
recipe = load_recipe("crosnnclr", sys.argv[3:], epochs=4)
options = {"split": "xsub60", "stream": "motion", "device": "cpu", "threads": 1}
pretrain(recipe, sys.argv[1], sys.argv[2], progress=kill, **options)
"""


def test_a_killed_process_goes_on_from_its_last_checkpoint(whole, clips, tmp_path):
    recipe, run = whole
    sets = [*TINY, "positives.nn_start_epoch=2", "keep_every=2"]
    done = subprocess.run([sys.executable, "-c", KILLED, str(clips), str(tmp_path / "run"), *sets], check=False)
    assert done.returncode == -signal.SIGKILL
    assert state_of(tmp_path / "run")["position"]["epoch"] == 3
    assert train(recipe, clips, tmp_path / "run").state == "finished"
    assert (tmp_path / "run" / KEPT[0]).read_bytes() == (run / KEPT[0]).read_bytes()
    assert log_of(tmp_path / "run") == log_of(run)


def test_threads_do_not_change_the_batches_and_seeds_do_change_the_run(whole, clips, tmp_path):
    recipe, run = whole
    train(recipe, clips, tmp_path / "same", threads=2)
    train(recipe, clips, tmp_path / "other", seed=1)
    same, other = log_of(tmp_path / "same"), log_of(tmp_path / "other")
    np.testing.assert_allclose([e["loss"] for e in same], [e["loss"] for e in log_of(run)], rtol=1e-3)
    assert [e["loss"] for e in other] != [e["loss"] for e in log_of(run)]


@pytest.mark.parametrize("name", ["skeletonclr", "crosnnclr_star"])
def test_a_run_is_bit_equal_on_any_number_of_threads(name, clips, tmp_path):
    """With matrices of 64 columns. Of 32, and few rows, four threads were seen to add them in another order."""
    wide = ["encoder.features=64", "projector.hidden=64", "projector.size=64", "method.queue_size=64", "batch_size=12"]
    mining = [] if name == "skeletonclr" else ["positives.nn_start_epoch=1"]
    recipe = load_recipe(name, [*TINY, *wide, "encoder.width=4", *mining], epochs=2)
    for threads in (1, 2, 4):
        assert train(recipe, clips, tmp_path / str(threads), threads=threads).state == "finished"
    one = load_file(tmp_path / "1" / "weights.safetensors")
    for threads in ("2", "4"):
        assert_same(load_file(tmp_path / threads / "weights.safetensors"), one)
        assert log_of(tmp_path / threads) == log_of(tmp_path / "1")


def test_other_settings_need_force(tiny, clips, tmp_path):
    train(tiny, clips, tmp_path / "run")
    with pytest.raises(BadInput, match="made with other settings"):
        train(tiny, clips, tmp_path / "run", stream="bone")
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["stream"] == "motion"
    assert train(tiny, clips, tmp_path / "run", stream="bone", force=True).state == "finished"
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["stream"] == "bone"


def test_a_foreign_folder_is_never_touched(tiny, clips, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("x")
    for force in (False, True):
        with pytest.raises(BadInput, match="not made by skelpipe"):
            train(tiny, clips, tmp_path / "thesis", force=force)
    assert [p.name for p in (tmp_path / "thesis").iterdir()] == ["chapter1.tex"]


def test_zero_epochs_leave_an_untrained_encoder(tiny, clips, tmp_path):
    result = train(tiny.model_copy(update={"epochs": 0}), clips, tmp_path / "run")
    assert (result.state, result.last) == ("finished", None)
    assert (tmp_path / "run" / "weights.safetensors").exists()


def test_a_collapse_is_named_with_its_remedy(clips, tmp_path):
    sets = [s for s in TINY if "init" not in s]  # the public code's pair of initialisations
    sets += ["encoder.width=8", "encoder.features=64", "projector.hidden=64", "projector.size=64"]
    result = train(load_recipe("skeletonclr", sets, epochs=4), clips, tmp_path / "run")
    assert ["collapsed" in e and e["collapsed"] for e in log_of(tmp_path / "run")][-1]
    assert "collapsed" in result.warnings[0]
    assert "init=torch" in result.warnings[0]
    healthy = train(load_recipe("skeletonclr", TINY, epochs=1), clips, tmp_path / "healthy")
    assert healthy.warnings == ()


def test_a_loss_that_is_not_a_number_stops(tiny, clips, tmp_path):
    recipe = tiny.model_copy(update={"optimizer": tiny.optimizer.model_copy(update={"lr": 1e30})})
    with pytest.raises(
        BadInput, match=r"epoch \d+, step \d+: the loss is nan; lower the rate.*there is no checkpoint yet"
    ):
        train(recipe, clips, tmp_path / "run")
    assert not (tmp_path / "run" / "done.json").exists()


@pytest.mark.parametrize("there", [True, False])
def test_bfloat16_and_half_storage_run(tiny, clips, tmp_path, monkeypatch, there):
    """By the fused operators, or by torch's where the CPU has no bfloat16."""
    monkeypatch.setattr(cpu, "has_bfloat16", lambda: there)
    result = train(tiny, clips, tmp_path / "run", precision="bf16", half_storage=True)
    assert result.state == "finished"
    assert math.isfinite(result.last["loss"])


def test_a_run_in_bfloat16_follows_one_in_float32_and_resumes_bit_equal(clips, tmp_path, monkeypatch):
    """Weights and what the optimiser keeps of them stay float32."""
    monkeypatch.setattr(cpu, "has_bfloat16", lambda: True)
    recipe = load_recipe("skeletonclr", [*TINY, "encoder.features=128", "encoder.dropout=0"], epochs=4)
    curves = {}
    for precision in ("fp32", "bf16"):
        assert train(recipe, clips, tmp_path / precision, precision=precision).state == "finished"
        curves[precision] = np.array([e["loss"] for e in log_of(tmp_path / precision)])
    np.testing.assert_allclose(curves["bf16"], curves["fp32"], rtol=0.05)
    assert not np.array_equal(curves["bf16"], curves["fp32"])

    def kill(event):
        if (event["epoch"], event["step"]) == (3, 2):
            os.kill(os.getpid(), signal.SIGTERM)

    for state in ("stopped", "finished"):
        assert train(recipe, clips, tmp_path / "run", precision="bf16", progress=kill).state == state
    weights, whole = (load_file(tmp_path / run / "weights.safetensors") for run in ("run", "bf16"))
    assert_same(weights, whole)
    assert {value.dtype for value in weights.values() if value.is_floating_point()} == {torch.float32}


def test_a_damaged_checkpoint_is_named(tiny, clips, tmp_path):
    train(tiny, clips, tmp_path / "run")
    (tmp_path / "run" / "done.json").unlink()
    data = (tmp_path / "run" / "checkpoint.pt").read_bytes()
    (tmp_path / "run" / "checkpoint.pt").write_bytes(data[: len(data) // 2])
    with pytest.raises(BadInput, match=r"checkpoint.pt.*delete it"):
        train(tiny, clips, tmp_path / "run")


def test_two_processes_do_not_share_a_run(tiny, clips, tmp_path):
    def again(event):
        if event["step"] == 1 and event["epoch"] == 1:
            with pytest.raises(BadInput, match="being written by another process"):
                train(tiny, clips, tmp_path / "run")
            seen.append(event)

    seen = []
    train(tiny, clips, tmp_path / "run", progress=again)
    assert seen


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"split": "xsub61"}, "xsub60"),
        ({"split": "xset120"}, "xset120"),
        ({"stream": "bones"}, "not a stream"),
        ({"device": "cuda:9"}, "not available"),
    ],
)
def test_bad_options(tiny, clips, tmp_path, change, says):
    with pytest.raises(BadInput, match=says):
        train(tiny, clips, tmp_path / "run", **change)
    assert not (tmp_path / "run").exists()


def test_progress_is_told(tiny, clips, tmp_path):
    events = []
    train(tiny, clips, tmp_path / "run", progress=events.append)
    assert [(e["epoch"], e["step"]) for e in events] == [(e, s) for e in (1, 2) for s in (1, 2, 3)]
    assert {(e["epochs"], e["steps"]) for e in events} == {(2, 3)}
    assert all(e["clips_per_second"] > 0 for e in events if "loss" in e)


def test_ctrl_c_on_the_command_line_says_how_to_go_on(clips, tmp_path):
    sets = [part for s in TINY for part in ("--set", s)]
    command = [sys.executable, "-m", "skelpipe", "pretrain", "skeletonclr", str(clips), str(tmp_path / "run")]
    command += ["--split", "xsub60", "--stream", "joint", "--epochs", "100000", "--device", "cpu", *sets]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 100
    log = tmp_path / "run" / "log.jsonl"
    while not (log.exists() and log.stat().st_size) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "Traceback" not in out + err
    assert "same command" in (out + err).lower()
    assert (tmp_path / "run" / "checkpoint.pt").exists()


def test_splits_change_what_is_trained_on(tiny, tmp_path):
    path = write_clips(tmp_path / "c.zarr", per_class=12)
    train(tiny, path, tmp_path / "run", split="xview60")
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["clips"] == 32
    assert folder.LOG == "log.jsonl"
