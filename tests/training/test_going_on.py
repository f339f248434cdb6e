"""Runs that are killed and go on, and runs that go on to a larger length, against undisturbed ones."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from conftest import TINY
from kills import CPU, Forked, assert_whole, content, differences

from skelpipe.errors import BadInput
from skelpipe.evaluation.features import load_run
from skelpipe.recordings.store import Clips
from skelpipe.training import folder, loop
from skelpipe.training.optim import OPTIMIZERS, SCHEDULES
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

OPTIONS = {"split": "xsub60", "stream": "joint", "device": "cpu", "threads": 1}
NUMBERS = {
    "steps": "{name: steps, at: [1], gamma: 0.5}",
    "exponential": "{name: exponential, gamma: 0.9, by: iteration}",
    "cosine": "{name: cosine, warmup: 2, by: iteration}",
    "plateau": "{name: plateau, patience: 1, cooldown: 1, gamma: 0.5, stop_after: 4, keep: best}",
}
LENGTHS = {"epochs": 4, "iterations": 11}
SAMPLING = {"epochs": [], "iterations": ["sampling=with_replacement"]}
CASES = list(itertools.product(OPTIMIZERS, SCHEDULES, LENGTHS))


class Killed(BaseException):
    """Nothing that the code in between would catch."""


@pytest.fixture(autouse=True)
def a_checkpoint_at_every_epochs_end(monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)


def recipe_of(sets=(), **length):
    return load_recipe("skeletonclr", [*TINY, *sets], **length)


@pytest.mark.parametrize(("optimizer", "schedule", "length"), CASES)
def test_a_run_that_was_killed_and_stopped_is_bit_equal_to_one_that_was_not(
    optimizer, schedule, length, clips, tmp_path
):
    """Killed in an epoch after its first checkpoint, and stopped by SIGTERM, which leaves one, in a later epoch."""
    sets = [f"optimizer={{name: {optimizer}, lr: 0.01}}", f"schedule={NUMBERS[schedule]}", "keep_every=2"]
    number = CASES.index((optimizer, schedule, length))
    kill, stop = (number % 2 + 2, number // 2 % 2 + 1), (3 + number % 2, 1)

    def killing(event):
        if (event["epoch"], event["step"]) == kill:
            raise Killed

    def stopping(event):
        if (event["epoch"], event["step"]) == stop:
            os.kill(os.getpid(), signal.SIGTERM)

    recipe = recipe_of(
        [*sets, "clip_gradients={by: global_norm, at: 1}", *SAMPLING[length]], **{length: LENGTHS[length]}
    )
    assert pretrain(recipe, clips, tmp_path / "whole", **OPTIONS).state == "finished"
    with pytest.raises(Killed):
        pretrain(recipe, clips, tmp_path / "run", progress=killing, **OPTIONS)
    position = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["position"]
    assert (position["epoch"], position["step"]) == (kill[0], 0)
    assert pretrain(recipe, clips, tmp_path / "run", progress=stopping, **OPTIONS).state == "stopped"
    assert pretrain(recipe, clips, tmp_path / "run", **OPTIONS).state == "finished"
    assert differences(content(tmp_path / "run"), content(tmp_path / "whole")) == []


@pytest.fixture(scope="module")
def forked(tmp_path_factory):
    server = Forked(tmp_path_factory.mktemp("forked"))
    yield server
    server.close()


def words(clips, run, sets=()):
    told = [word for value in (*TINY, *sets) for word in ("--set", value)]
    return ["pretrain", "skeletonclr", clips, run, "--split", "xsub60", "--stream", "joint", *CPU, *told]


def test_a_process_that_is_killed_goes_on_in_the_same_way(forked, clips, tmp_path):
    """By SIGKILL, at a call to the file system."""
    sets = ["optimizer=adam", f"schedule={NUMBERS['plateau']}", "clip_gradients={by: module_norm, at: 1}"]
    whole, killed, count = tmp_path / "whole", tmp_path / "killed", tmp_path / "calls"
    more = ["--iterations", "9"]
    order = {"checkpoint_seconds": 0}
    assert forked.run([*words(clips, whole, sets), *more], hook={}, count=str(count), **order).status == 0
    hook = {"at": int(count.read_text()) * 6 // 10, "then": "before", "signal": signal.SIGKILL}
    assert forked.run([*words(clips, killed, sets), *more], hook=hook, **order).status == -signal.SIGKILL
    assert (killed / "checkpoint.pt").exists()
    assert not (killed / "done.json").exists()
    ended = forked.run([*words(clips, killed, sets), *more], **order)
    assert ended.status == 0, ended.said
    assert differences(content(killed), content(whole)) == []


# A larger length --------------------------------------------------------------------------------------------------


def weights_of(run):
    return {
        p.name: p.read_bytes()
        for p in run.iterdir()
        if p.name in ("weights.safetensors", "recipe.yaml", "settings.json")
    }


def log_of(run):
    entries = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in e.items() if k not in ("seconds", "clips_per_second")} for e in entries]


FALLS = "schedule={name: exponential, gamma: 0.8, by: iteration}"
PLATEAU = "schedule={name: plateau, patience: 1, gamma: 0.5}"
LONGER = [
    ([], {"epochs": 2}, {"epochs": 4}),
    ([], {"epochs": 0}, {"epochs": 2}),
    (["optimizer=adam", FALLS], {"epochs": 2}, {"epochs": 4}),
    (["optimizer=rmsprop", PLATEAU], {"epochs": 3}, {"epochs": 5}),
    (["schedule={name: cosine, length: 4}"], {"epochs": 2}, {"epochs": 4}),
    (["optimizer=adamw", FALLS, "sampling=with_replacement"], {"iterations": 4}, {"iterations": 11}),
    (["optimizer=adam"], {"iterations": 4}, {"iterations": 5}),
]


@pytest.mark.parametrize(("sets", "short", "long"), LONGER)
def test_a_run_that_was_lengthened_is_one_that_was_that_long_at_once(sets, short, long, clips, tmp_path):
    run, whole = tmp_path / "run", tmp_path / "whole"
    assert pretrain(recipe_of(sets, **short), clips, run, **OPTIONS).state == "finished"
    old = (run / "weights.safetensors").read_bytes()
    result = pretrain(recipe_of(sets, **long), clips, run, **OPTIONS)
    assert result.state == "finished"
    assert pretrain(recipe_of(sets, **long), clips, whole, **OPTIONS).state == "finished"
    assert weights_of(run) == weights_of(whole)
    assert log_of(run) == log_of(whole)
    if "epochs" in short:  # what could be evaluated still can
        assert (run / f"weights-{short['epochs']:04d}.safetensors").read_bytes() == old
        assert load_run(run, Clips(clips), "cpu", epoch=short["epochs"]).epoch == short["epochs"]
    made = json.loads((run / "provenance.json").read_text())
    assert made["settings"] == json.loads((run / "settings.json").read_text())
    epochs = json.loads((whole / "settings.json").read_text())["epochs"]
    told = [(session["to_epoch"], session["state"]) for session in made.get("sessions", [])]
    assert told[-1] == (epochs, "finished")
    assert len(told) == 2 or short == {"epochs": 0}
    assert pretrain(recipe_of(sets, **long), clips, run, **OPTIONS).state == "already finished"


def test_a_kill_while_a_run_is_made_longer_costs_nothing(clips, tmp_path, monkeypatch):
    """Before each of the changes that make it one, and before its first step."""
    short, whole = tmp_path / "short", tmp_path / "whole"
    pretrain(recipe_of(epochs=1), clips, short, **OPTIONS)
    pretrain(recipe_of(epochs=2), clips, whole, **OPTIONS)
    left, states = [0], set()

    def counted(call):
        def before(*given, **named):
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return call(*given, **named)

        return before

    for at in range(1, 9):
        out = tmp_path / str(at)
        shutil.copytree(short, out)
        left[0] = at
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(Path, "unlink", counted(Path.unlink))
            patch.setattr(Path, "replace", counted(Path.replace))
            patch.setattr(folder, "write_json", counted(folder.write_json))
            patch.setattr(folder, "write_bytes", counted(folder.write_bytes))
            pretrain(recipe_of(epochs=2), clips, out, **OPTIONS)
        found = content(out)
        states.add((*(name in found for name in ("done.json", "weights.safetensors")),
                    *(found[name] == content(short)[name] for name in ("settings.json", "recipe.yaml"))))  # fmt: skip
        assert pretrain(recipe_of(epochs=2), clips, out, **OPTIONS).state == "finished"
        found = content(out)
        del found["weights-0001.safetensors"]
        found.pop("done.json"), found.pop("files.sha256", None)
        assert differences(found, {k: v for k, v in content(whole).items() if k != "done.json"}) == [], at
        assert_whole(out)
    assert len(states) == 5  # as it was; not at its end; its weights kept; its settings; its recipe


def test_a_longer_run_may_be_evaluated_otherwise(clips, tmp_path):
    run, whole, told = tmp_path / "run", tmp_path / "whole", ["evaluate.probe=lbfgs"]
    pretrain(recipe_of(epochs=1), clips, run, **OPTIONS)
    pretrain(recipe_of(told, epochs=2), clips, run, **OPTIONS)
    pretrain(recipe_of(told, epochs=2), clips, whole, **OPTIONS)
    assert weights_of(run) == weights_of(whole)
    assert (run / "weights-0001.safetensors").exists()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (recipe_of(epochs=2), recipe_of(epochs=1), "epochs 2, now 1;"),
        (recipe_of(epochs=1), recipe_of(["optimizer.lr=0.05"], epochs=2), "now 2; optimizer.lr 0.1, now 0.05;"),
        (recipe_of(epochs=1), recipe_of(iterations=9), "epochs 1, now None; iterations None, now 9;"),
        (recipe_of(["schedule=cosine"], epochs=1), recipe_of(["schedule=cosine"], epochs=2), "schedule.length"),
        (recipe_of(epochs=1), recipe_of(["positives=cross_view", "batch_size=4", "bodies=1"], epochs=1), "more;"),
    ],
)  # fmt: skip
def test_what_differs_is_named(old, new, says, clips, tmp_path):
    pretrain(old, clips, tmp_path / "run", **OPTIONS)
    before = weights_of(tmp_path / "run")
    with pytest.raises(BadInput, match=rf"made with other settings: .*{says}.* or pass --force") as caught:
        pretrain(new, clips, tmp_path / "run", **OPTIONS)
    assert "\n" not in str(caught.value)
    assert weights_of(tmp_path / "run") == before


def test_a_checkpoint_holds_more_only_where_clips_are_held_out(clips, tmp_path):
    """So that those from before there were such are read as they were written."""
    always = {"skelpipe", "method", "optimizer", "cpu_random", "cuda_random", "position", "sums"}
    for name, sets, more in (("plain", [], set()), ("plateau", [PLATEAU], {"held_out"})):
        pretrain(recipe_of(sets, epochs=1), clips, tmp_path / name, **OPTIONS)
        state = torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)
        assert state.keys() == always | more
        assert state["position"].keys() == {"epoch", "step", "seconds", "log_bytes"}
        assert state["optimizer"]["param_groups"][0].keys() >= {"lr", "momentum", "params"}
    with pytest.raises(BadInput, match="held out other clips"):
        state["held_out"]["rows"] += 1
        torch.save(state, tmp_path / "plateau" / "checkpoint.pt")
        (tmp_path / "plateau" / "done.json").unlink()
        pretrain(recipe_of([PLATEAU], epochs=1), clips, tmp_path / "plateau", **OPTIONS)


def test_a_longer_run_needs_the_checkpoint(clips, tmp_path):
    pretrain(recipe_of(epochs=1), clips, tmp_path / "run", **OPTIONS)
    (tmp_path / "run" / "checkpoint.pt").unlink()
    with pytest.raises(BadInput, match=r"checkpoint\.pt"):
        pretrain(recipe_of(epochs=2), clips, tmp_path / "run", **OPTIONS)
    assert (tmp_path / "run" / "done.json").exists()


def test_kept_weights_are_evaluated_while_the_run_goes_on(clips, tmp_path):
    run, epochs = tmp_path / "run", []

    def look(event):
        if (event["epoch"], event["step"]) == (1, 1):
            with pytest.raises(BadInput, match="it has kept no weights so far; finish it with"):
                load_run(run, Clips(clips), "cpu", epoch=4)
        if (event["epoch"], event["step"]) == (3, 1):
            epochs.append(load_run(run, Clips(clips), "cpu", epoch=2).epoch)
            lacks = "is not at its end; it has no weights of it, but of 2; choose one of these"
            for epoch, says in [(None, "not whole"), (1, lacks), (4, lacks)]:
                with pytest.raises(BadInput, match=says):
                    load_run(run, Clips(clips), "cpu", epoch=epoch)

    pretrain(recipe_of(["keep_every=2"], epochs=4), clips, run, progress=look, **OPTIONS)
    assert epochs == [2]


def test_the_command_line_tells_iterations(forked, clips, tmp_path):
    ended = forked.run([*words(clips, tmp_path / "run"), "--iterations", "4"])
    assert ended.status == 0
    assert "finished, epoch 2/2, iteration 4/4, loss" in ended.said
    plateau = "schedule={name: plateau, stop_after: 1, least: 100}"
    ended = forked.run([*words(clips, tmp_path / "early", [plateau]), "--epochs", "5"])
    assert "finished early, at epoch 2 of 5: no gain on held-out clips in 1 epoch, loss" in ended.said
    ended = forked.run([*words(clips, tmp_path / "run"), "--iterations", "4", "--epochs", "2"])
    assert ended.status == 2
    assert "--iterations 4: is given beside --epochs" in ended.said
