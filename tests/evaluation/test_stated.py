"""The probe "stated": a linear classifier that is trained as a recipe's authors trained theirs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import TINY
from test_evaluate import blobs

from skelpipe.errors import BadInput
from skelpipe.evaluation.evaluate import evaluate
from skelpipe.evaluation.linear import Data, linear
from skelpipe.evaluation.protocol import Setup
from skelpipe.evaluation.protocols import read_options
from skelpipe.evaluation.scores import topk_accuracy
from skelpipe.evaluation.stated import LinearOptions, StatedProbe, drawn
from skelpipe.settings import whole
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("one_thread")
ASCAL = {
    "optimizer": {"lr": 1.0, "nesterov": True, "weight_decay": 0, "steps": [2, 4, 7], "gamma": 0.5},
    "epochs": 8, "batch_size": 32,
}  # fmt: skip
ISC = {
    "optimizer": {"lr": 0.1, "weight_decay": 1e-3, "steps": []}, "schedule": {"name": "steps", "at": [4, 6]},
    "epochs": 8, "batch_size": 64, "rest": "left_out",
}  # fmt: skip
MS2L = {
    "optimizer": {"name": "adam"}, "schedule": {"name": "exponential", "gamma": 0.1, "every": 3},
    "epochs": 8, "weights": "xavier_normal",
}  # fmt: skip
COLOURS = {
    "optimizer": {"lr": 1e-3, "nesterov": True, "weight_decay": 0, "steps": []},
    "schedule": {"name": "cosine", "final": 0.01, "by": "iteration"}, "epochs": 8, "batch_size": 32,
}  # fmt: skip


def torchs(said, layer, steps):
    """The same by torch's own optimisers and schedules, stepped by epoch or by step."""
    told = dict(said["optimizer"])
    adam = told.pop("name", "sgd") == "adam"
    told = {key: value for key, value in told.items() if key not in ("steps", "gamma")}
    kind = torch.optim.Adam if adam else torch.optim.SGD
    optimizer = kind(layer.parameters(), lr=told.pop("lr", 1e-3), **told, **({} if adam else {"momentum": 0.9}))
    lr = torch.optim.lr_scheduler
    if said is COLOURS:
        return optimizer, lr.CosineAnnealingLR(optimizer, 8 * steps, eta_min=1e-5), True
    if said is MS2L:
        return optimizer, lr.StepLR(optimizer, 3, 0.1), False
    at, gamma = ([2, 4, 7], 0.5) if said is ASCAL else ([4, 6], 0.1)
    return optimizer, lr.MultiStepLR(optimizer, at, gamma), False


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("said", [ASCAL, ISC, MS2L, COLOURS], ids=["as_cal", "isc", "ms2l", "colorization"])
def test_a_probe_is_that_of_torch(said, weighted):
    rng = np.random.default_rng(0)
    options = LinearOptions(**said)
    x, y = torch.from_numpy(rng.normal(size=(150, 10)).astype(np.float32)), torch.from_numpy(np.arange(150) ** 2 % 5)
    w = torch.from_numpy(rng.random(150).astype(np.float32) * 2) if weighted else None
    ours = StatedProbe(10, 5, options, 150, 7, CPU)
    generator = torch.Generator().manual_seed(7)
    theirs = drawn(10, 5, options, generator)
    torch.testing.assert_close(theirs.weight, ours.layer.weight, rtol=0, atol=0)
    kept = 128 if said is ISC else 150
    batch = said.get("batch_size", 128)
    optimizer, schedule, by_step = torchs(said, theirs, -(-kept // batch))
    for epoch in range(1, 9):
        loss = ours.epoch(Data(x, y, w), epoch)
        total = 0.0
        for rows in torch.split(torch.randperm(150, generator=generator)[:kept], batch):
            own = torch.nn.functional.cross_entropy(theirs(x[rows]), y[rows], reduction="none")
            own = own if w is None else own * w[rows]
            optimizer.zero_grad()
            own.mean().backward()
            optimizer.step()
            if by_step:
                schedule.step()
            total += float(own.detach().sum())
        if not by_step:
            schedule.step()
        assert loss == pytest.approx(total / kept, rel=1e-5)
    for mine, its in zip(ours.layer.parameters(), theirs.parameters(), strict=True):
        assert (mine - its).norm() <= 1e-5 * its.norm()


@pytest.mark.parametrize(
    ("weights", "std"),
    [
        ("normal", 0.01),
        ("xavier_uniform", (2 / 460) ** 0.5),
        ("xavier_normal", (2 / 460) ** 0.5),
        ("torch", 1200**-0.5),
    ],
)
def test_layers_are_drawn_as_the_options_say(weights, std):
    layer = drawn(400, 60, LinearOptions(weights=weights), torch.Generator().manual_seed(0))
    assert float(layer.weight.std()) == pytest.approx(std, rel=0.02)
    assert bool(layer.bias.any()) == (weights == "torch")
    peak = float(layer.weight.abs().max()) / std
    assert peak < 3**0.5 + 1e-3 if weights in ("xavier_uniform", "torch") else peak > 3


def test_the_outcome_is_that_of_the_other_probes():
    f = blobs(spread=1.0)
    options = read_options([f"linear.{key}={value}" for key, value in ASCAL.items()], ["linear"])
    ticks = []
    setup = Setup(4, CPU, probe="stated", options=options, best_on_test=True, progress=lambda *step: ticks.append(step))
    outcome = linear(f, setup)
    assert topk_accuracy(outcome.scores, f.label[~f.train], 1) > 0.8
    figures = outcome.figures
    assert figures["probe"] == "stated"
    assert figures["settings"] == whole(LinearOptions(**ASCAL))
    assert figures["best_on_test"]["top1"] >= topk_accuracy(outcome.scores, f.label[~f.train], 1)
    assert 1 <= figures["best_on_validation"]["epoch"] <= 8
    assert ticks == [(epoch, 8) for epoch in range(1, 9)]
    scrambled = f.feature.copy()
    scrambled[~f.train] = 0
    other = linear(type(f)(f.name, f.label, f.train, f.group, scrambled), setup).figures
    assert other["train_loss"] == figures["train_loss"]
    assert other["best_on_validation"]["epoch"] == figures["best_on_validation"]["epoch"]
    usual = linear(f, Setup(4, CPU, probe="stated"))  # the options have defaults
    assert usual.figures["settings"]["epochs"] == 100


def test_a_stated_probe_that_collapses_is_named():
    options = read_options(["linear.epochs=3", "linear.optimizer.lr=1e-6"], ["linear"])
    (warning,) = linear(blobs(), Setup(4, CPU, probe="stated", options=options)).warnings
    assert "stated probe has collapsed: after 3 epochs" in warning
    assert "its rate 1e-06" in warning


def test_classes_can_be_weighed_in_it():
    f = blobs()
    options = read_options(["linear.epochs=5", "linear.balance=weights"], ["linear"])
    figures = linear(f, Setup(4, CPU, probe="stated", options=options)).figures
    assert "validation_balanced" in figures["best_on_validation"]
    assert figures["settings"]["balance"] == "weights"


def test_what_was_dumped_before_is_dumped_so_now():
    assert LinearOptions().model_dump(mode="json") == {}
    assert LinearOptions(balance="weights").model_dump(mode="json") == {"balance": "weights"}


def test_wrong_options_are_told_in_a_line():
    with pytest.raises(BadInput, match="plateau holds clips out"):
        read_options(["linear.schedule=plateau"], ["linear"])
    with pytest.raises(BadInput, match="crp"):
        read_options(["linear.view=[crp]"], ["linear"])


@pytest.fixture(scope="module")
def run(clips, tmp_path_factory):
    """One whose recipe states its probe."""
    path = tmp_path_factory.mktemp("run") / "run"
    stated = "evaluate={protocols: [linear], probe: stated, options: {linear: {epochs: 3, view: [shear]}}}"
    recipe = load_recipe("skeletonclr", [*TINY, "encoder.width=4", stated], epochs=1)
    pretrain(recipe, clips, path, split="xsub60", stream="joint", device="cpu")
    return path


def test_a_recipe_states_its_probe_and_another_can_be_asked_for(run, clips, tmp_path):
    own = evaluate(run, clips, tmp_path / "own", device="cpu")["protocols"]["linear"]
    assert (own["probe"], own["settings"]["epochs"], own["settings"]["view"]) == ("stated", 3, ["shear"])
    other = evaluate(run, clips, tmp_path / "other", probe="lbfgs", device="cpu")["protocols"]["linear"]
    assert other["probe"] == "lbfgs"
    assert "settings" not in other
    with pytest.raises(BadInput, match=r"linear.epochs=2.*changes nothing of the probe lbfgs"):
        evaluate(run, clips, tmp_path / "not", probe="lbfgs", options=["linear.epochs=2"], device="cpu")


def test_views_are_drawn_anew_in_every_epoch(run, clips, tmp_path, monkeypatch):
    seen = []
    epoch = StatedProbe.epoch

    def watched(self, data, number):
        seen.append(data.x.clone())
        return epoch(self, data, number)

    monkeypatch.setattr(StatedProbe, "epoch", watched)
    evaluate(run, clips, tmp_path / "view", device="cpu")
    whole_part, fitted = seen[::2], seen[1::2]
    assert [len(x) for x in whole_part] == [24] * 3
    assert not torch.equal(whole_part[0], whole_part[1])
    assert not torch.equal(whole_part[1], whole_part[2])
    for every, fewer in zip(whole_part, fitted, strict=True):
        assert 0 < len(fewer) < 24
        assert all((every == x).all(1).any() for x in fewer)
    again = seen.copy()
    seen.clear()
    evaluate(run, clips, tmp_path / "again", device="cpu")
    assert all(torch.equal(a, b) for a, b in zip(seen, again, strict=True))


def test_a_view_that_draws_nothing_changes_nothing(run, clips, tmp_path):
    """The features are then those of the clips as they are evaluated."""
    same = ["linear.view=[{shear: {amplitude: 0}}]"]
    plain = evaluate(run, clips, tmp_path / "plain", options=["linear.view=[]"], device="cpu")
    viewed = evaluate(run, clips, tmp_path / "viewed", options=same, device="cpu")
    assert plain["protocols"]["linear"]["train_loss"] == viewed["protocols"]["linear"]["train_loss"]
