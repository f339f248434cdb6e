"""Clips that are held out of training: who they are, what they decide, and that looking at them changes nothing."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from conftest import TINY
from safetensors.torch import load_file
from torch import nn

from skelpipe.clips.batches import Batches
from skelpipe.errors import BadInput
from skelpipe.evaluation.features import load_run
from skelpipe.methods import METHODS
from skelpipe.recordings.datasets import split_masks
from skelpipe.recordings.store import Clips
from skelpipe.training.checkpoint import weights_epoch
from skelpipe.training.held_out import Watch, held_parts, judged, measure, split_rows
from skelpipe.training.length import Length
from skelpipe.training.optim import Plateau, Rates
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

OPTIONS = {"split": "xsub60", "stream": "joint", "device": "cpu", "threads": 1}
LABELLED = [each for each in TINY if not each.startswith(("method.", "projector."))]


class Plain(nn.Module):
    @property
    def evaluated(self):
        return nn.Linear(1, 1)


def watch(options, figures, higher=True):
    """The share of the rate after each epoch, and the watch."""
    seen = Watch(Plateau(**options), np.arange(3))
    shares = []
    for epoch, figure in enumerate(figures, 1):
        seen.note(epoch, figure, higher, Plain())
        shares.append(seen.share)
    return shares, seen


def test_the_rate_falls_after_epochs_without_gain():
    shares, seen = watch({"patience": 2, "gamma": 0.5}, [0.5, 0.6, 0.6, 0.6, 0.6, 0.7, 0.1, 0.1, 0.1, 0.1])
    assert shares == [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]
    assert (seen.best, seen.best_epoch) == (0.7, 6)


def test_a_plateau_without_falls_keeps_the_best_epoch_while_the_rate_goes_its_own_way():
    told = {"gamma": 1, "patience": 1, "keep": "best", "meanwhile": {"name": "exponential", "gamma": 0.5, "after": 2}}
    shares, seen = watch(told, [0.5, 0.6, 0.4, 0.3])
    assert shares == [1, 1, 1, 1]
    assert (seen.best_epoch, seen.weights is None) == (2, False)
    schedule = Plateau(**told)
    assert [schedule.factor(done, 9) for done in range(4)] == [1, 1, 0.5, 0.25]
    assert not schedule.knows_length
    assert Plateau(meanwhile={"name": "cosine"}).knows_length
    assert "meanwhile" not in Plateau().model_dump()
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 1.0)
    rates = Rates(Plateau(meanwhile={"name": "exponential", "gamma": 0.5}), optimizer, Length(1, 9))
    rates.set(3, 0, 0.1)
    assert rates.first == pytest.approx(0.1 * 0.25)


def test_epochs_of_cooling_down_are_not_counted():
    shares, _ = watch({"patience": 1, "cooldown": 2, "gamma": 0.5}, [1.0] * 8)
    assert shares == [1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.0625]


def test_of_losses_the_lower_is_better_and_a_gain_has_a_size():
    shares, seen = watch({"patience": 1, "gamma": 0.5, "least": 0.1}, [2.0, 1.5, 1.45, math.nan, 1.3], higher=False)
    assert shares == [1, 1, 0.5, 0.25, 0.25]
    assert (seen.best, seen.best_epoch) == (1.3, 5)


def test_training_ends_after_epochs_without_gain():
    assert not watch({"stop_after": 3}, [0.5, 0.6, 0.6, 0.6])[1].stopped
    assert watch({"stop_after": 3}, [0.5, 0.6, 0.6, 0.6, 0.6])[1].stopped
    assert watch({"stop_after": 3}, [math.nan] * 3)[1].stopped


def test_what_was_seen_goes_into_a_checkpoint_and_other_clips_do_not():
    _, seen = watch({"patience": 1, "cooldown": 3, "keep": "best"}, [0.5, 0.4, 0.6])
    again = Watch(seen.options, np.arange(3))
    again.load(seen.state())
    assert {k: v for k, v in vars(again).items() if k not in ("rows", "weights")} == {
        k: v for k, v in vars(seen).items() if k not in ("rows", "weights")
    }
    assert again.weights.keys() == {"weight", "bias"}
    with pytest.raises(ValueError, match="other clips"):
        Watch(seen.options, np.arange(1, 4)).load(seen.state())


def test_whole_persons_of_the_training_part_are_held_out(clips):
    source = Clips(clips)
    rows = np.flatnonzero(split_masks("xsub60", source.dataset, source.columns)[0])
    recipe = load_recipe("skeletonclr", ["schedule=plateau"])
    fit, held = split_rows(recipe, source, rows, 0)
    assert sorted([*fit, *held]) == list(rows)
    persons = source.columns["subject"]
    assert len(set(persons[held])) == 1
    assert not set(persons[held]) & set(persons[fit])
    assert {tuple(split_rows(recipe, source, rows, seed)[1]) for seed in range(9)} == {
        tuple(rows[persons[rows] == person]) for person in (1, 2, 4)
    }
    assert [len(part) for part in split_rows(load_recipe("skeletonclr"), source, rows, 0)] == [24, 0]


def test_single_clips_are_held_out_where_a_recipe_says_so(clips):
    source = Clips(clips)
    rows = np.flatnonzero(split_masks("xsub60", source.dataset, source.columns)[0])
    recipe = load_recipe("skeletonclr", ["schedule={name: plateau, held_out: 0.25, held_out_by: clip}", "batch_size=8"])
    fit, held = split_rows(recipe, source, rows, 0)
    assert len(held) == 6
    assert sorted([*fit, *held]) == list(rows)
    assert set(source.columns["subject"][held]) <= set(source.columns["subject"][fit])
    assert len({tuple(split_rows(recipe, source, rows, seed)[1]) for seed in range(9)}) == 9
    assert "held_out_by" in recipe.dump()
    assert "held_out_by" not in load_recipe("skeletonclr", ["schedule=plateau"]).dump()
    much = load_recipe("skeletonclr", ["schedule={name: plateau, held_out: 0.9, held_out_by: clip}", "batch_size=8"])
    with pytest.raises(BadInput, match="takes 22 of 24 clips, single clips, and 2 are less than a batch"):
        split_rows(much, source, rows, 0)


def batches(recipe, source, rows, size):
    return Batches(
        np.ascontiguousarray(source.load(rows)[..., : recipe.bodies]), rows, source.labels[rows],
        {view: recipe.view(view) for view in METHODS[recipe.method.name].VIEWS}, recipe.streams or "joint",
        source.layout, size, 0, torch.device("cpu"), 1,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["crosnnclr", "crossclr", "stgcn_supervised"])
def test_looking_changes_nothing_and_gives_the_same_again(name, clips):
    recipe, source = load_recipe(name, LABELLED if name == "stgcn_supervised" else TINY), Clips(clips)
    torch.manual_seed(0)
    method = recipe.build_method(source.layout, 4).train()
    before = {key: value.clone() for key, value in method.state_dict().items()}
    random = torch.get_rng_state()
    parts = [batches(recipe, source, rows, size) for rows, size in held_parts(np.arange(12), 8)]
    assert [part.batch_size for part in parts] == [8, 4]
    figures = measure(method, parts, 1, 5)
    assert method.training
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())
    assert measure(method, parts[::-1], 1, 5) == pytest.approx(figures, nan_ok=True)
    assert judged(figures)[0] == ("held_out_top1" if name == "stgcn_supervised" else "held_out_loss")


def test_the_share_recognised_is_that_of_all_held_out_clips(clips):
    recipe, source = load_recipe("stgcn_supervised", LABELLED), Clips(clips)
    torch.manual_seed(0)
    method = recipe.build_method(source.layout, 4)
    rows = np.arange(3, 23)
    name, figure, higher = judged(
        measure(method, [batches(recipe, source, r, s) for r, s in held_parts(rows, 8)], 1, 0)
    )
    x = torch.from_numpy(np.ascontiguousarray(source.load(rows)[..., : recipe.bodies]))
    with torch.no_grad():
        found = method.eval().network.scores(x).argmax(1).numpy() == source.labels[rows]
    assert (name, higher) == ("held_out_top1", True)
    assert figure == pytest.approx(found.mean())


def test_a_run_ends_early_and_leaves_its_best_weights(clips, tmp_path):
    """No loss is lower than the first by as much as is asked for here."""
    plateau = "schedule={name: plateau, patience: 1, gamma: 0.5, stop_after: 3, least: 100, keep: best}"
    sets = [*TINY, plateau, "optimizer={lr: 0.01}", "keep_every=1"]
    run = tmp_path / "run"
    result = pretrain(load_recipe("skeletonclr", sets, epochs=9), clips, run, **OPTIONS)
    assert (result.state, result.epoch, result.epochs) == ("finished", 4, 9)
    assert result.early == "no gain on held-out clips in 3 epochs"
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [entry["lr"] for entry in log] == pytest.approx([0.01, 0.01, 0.005, 0.0025])
    assert all(math.isfinite(entry["held_out_loss"]) for entry in log)
    assert weights_epoch(run / "weights.safetensors") == 1
    kept = load_file(run / "weights-0001.safetensors")
    assert all(torch.equal(value, kept[key]) for key, value in load_file(run / "weights.safetensors").items())
    assert load_run(run, Clips(clips), "cpu").epoch == 1
    assert json.loads((run / "settings.json").read_text())["clips"] == 16
    assert pretrain(load_recipe("skeletonclr", sets, epochs=9), clips, run, **OPTIONS).state == "already finished"
    with pytest.raises(BadInput, match="--epoch 9"):
        load_run(run, Clips(clips), "cpu", epoch=9)


def test_what_is_left_must_fill_a_batch(clips, tmp_path):
    recipe = load_recipe("skeletonclr", [*TINY, "schedule={name: plateau, held_out: 0.99}", "batch_size=9"])
    took = r"schedule\.held_out: takes 16 of 24 clips, .* and 8 are less than a batch; .* lower batch_size \(9\)"
    with pytest.raises(BadInput, match=took):
        pretrain(recipe, clips, tmp_path / "run", **OPTIONS)
    recipe = load_recipe("skeletonclr", [*TINY, "schedule=plateau", "batch_size=25"])
    with pytest.raises(BadInput, match="batch_size: 25 is more than"):
        pretrain(recipe, clips, tmp_path / "run", **OPTIONS)
