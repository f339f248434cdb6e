"""Balanced training where labels are used: by hand, against twins, and on a problem that needs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import zarr
from click.testing import CliRunner
from conftest import write_clips
from sklearn.linear_model import LogisticRegression

from skelpipe.cli import main
from skelpipe.errors import BadInput
from skelpipe.evaluation.descent import Descent
from skelpipe.evaluation.evaluate import evaluate
from skelpipe.evaluation.features import Features
from skelpipe.evaluation.linear import Data, balanced_accuracy, lbfgs_probe, linear, sgd_probe
from skelpipe.evaluation.protocol import Setup
from skelpipe.evaluation.protocols import read_options
from skelpipe.evaluation.scores import balanced_accuracy as balanced
from skelpipe.outputs.folders import seal
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

CPU = torch.device("cpu")
TINY = ["encoder.width=2", "encoder.features=8", "encoder.time_kernel=3", "batch_size=8", "init=torch"]
pytestmark = pytest.mark.usefixtures("one_thread")


def rare(n=400, share=0.1, seed=0):
    """Two classes whose features overlap, one of them a tenth of the clips."""
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < share).astype(np.int64)
    feature = rng.normal(0, 1, (n, 4)) + 1.2 * label[:, None] * np.array([1, -1, 0, 0])
    return Features(
        np.arange(n).astype(str), label, np.arange(n) % 2 == 0, np.arange(n) % 20, feature.astype(np.float32)
    )


def relabelled(path, label):
    """A folder of 32 clips of NTU with these labels; -1 has none."""
    write_clips(path)
    zarr.open_group(path, mode="r+")["label"][:] = np.asarray(label, np.int32)
    seal(path, "clips")
    return path


@pytest.mark.parametrize("probe", ["reference", "paper", "grid", "lbfgs"])
def test_every_probe_finds_the_rare_class_more_often_with_weights(probe):
    f = rare()
    test = f.label[~f.train]
    plain = linear(f, Setup(2, CPU, probe=probe))
    options = read_options(["linear.balance=weights"], ["linear"])
    even = linear(f, Setup(2, CPU, probe=probe, options=options))
    assert balanced(even.scores, test) > balanced(plain.scores, test) + 0.05
    assert even.figures["settings"] == {"balance": "weights"}
    assert "settings" not in plain.figures
    chosen = {**even.figures, **even.figures.get("best_on_validation", {})}
    assert "validation_balanced" in chosen
    assert "validation_top1" not in chosen
    same = linear(f, Setup(2, CPU, probe=probe, options=read_options([], ["linear"])))
    np.testing.assert_array_equal(same.scores, plain.scores)


def test_the_weighted_penalised_problem_is_that_of_scikit_learn():
    f = rare()
    x, y = f.feature[f.train], f.label[f.train]
    layer = lbfgs_probe(Data(torch.from_numpy(x).double().float(), torch.from_numpy(y)).balanced(), 0.1, 2)
    theirs = LogisticRegression(C=1 / (0.1 * len(y)), class_weight="balanced", tol=1e-8, max_iter=1000).fit(x, y)
    # Of two classes theirs is one vector w with the penalty w²/2, ours are ±w/2 with half of that penalty.
    double = LogisticRegression(C=2 / (0.1 * len(y)), class_weight="balanced", tol=1e-8, max_iter=1000).fit(x, y)
    ours = (layer.weight[1] - layer.weight[0]).detach().numpy()
    np.testing.assert_allclose(ours, double.coef_[0], atol=2e-3)
    assert np.abs(ours - theirs.coef_[0]).max() > 2e-2


def test_the_written_out_weighted_descent_is_that_of_torch():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(30, 64, 16, generator=generator), torch.randint(0, 5, (30, 64), generator=generator)
    w = torch.rand(30, 64, generator=generator) * 2
    ours, theirs = torch.nn.Linear(16, 5), torch.nn.Linear(16, 5)
    ours.load_state_dict(theirs.state_dict())
    descent, sgd = Descent(ours), torch.optim.SGD(theirs.parameters(), lr=0.3, momentum=0.9)
    for step in range(30):
        with torch.no_grad():
            descent.step(x[step], y[step, :, None], 0.3, w[step, :, None])
        loss = (w[step] * torch.nn.functional.cross_entropy(theirs(x[step]), y[step], reduction="none")).mean()
        sgd.zero_grad()
        loss.backward()
        sgd.step()
    for mine, its in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert (mine - its).norm() <= 1e-5 * its.norm()


def test_weights_of_one_are_no_weights():
    f = rare(share=0.5)
    x, y = torch.from_numpy(f.feature), torch.from_numpy(np.arange(400) % 2)
    plain, loss = sgd_probe(Data(x, y), 0.3, Setup(2, CPU), lambda: None)
    even, other = sgd_probe(Data(x, y).balanced(), 0.3, Setup(2, CPU), lambda: None)
    torch.testing.assert_close(plain.weight, even.weight)
    assert loss == pytest.approx(other)


def test_balanced_accuracy_of_a_layer_is_that_of_its_scores():
    f = rare()
    data = Data(torch.from_numpy(f.feature), torch.from_numpy(f.label))
    layer = lbfgs_probe(data, 0.1, 4)
    scores = layer(data.x).detach().numpy()
    assert balanced_accuracy(layer, data) == pytest.approx(balanced(scores, f.label))


def test_other_kinds_of_balance_are_refused_in_a_line():
    with pytest.raises(BadInput, match=r"linear\.balance.*'none' or 'weights'"):
        read_options(["linear.balance=sampling"], ["linear"])
    with pytest.raises(BadInput, match=r"finetune\.balance.*'sampling' or 'weights'"):
        read_options(["finetune.balance=yes"], ["finetune"])
    with pytest.raises(BadInput, match="balance: skeletonclr learns without labels"):
        load_recipe("skeletonclr", ["balance=weights"])
    with pytest.raises(BadInput, match="leave one of them out"):
        load_recipe("stgcn_supervised", ["balance=sampling", "sampling=with_replacement"])
    assert "balance" not in load_recipe("stgcn_supervised").model_dump()


# Training further, and from the start -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """Of class 0 there are 20 clips, of class 1 four, and eight have no label."""
    label = np.array([0] * 8 + [1] * 4 + [-1] * 4 + [0] * 8 + [-1] * 4 + [0] * 4)
    return relabelled(tmp_path_factory.mktemp("uneven") / "clips.zarr", label)


def train(clips, run, *changes, recipe="stgcn_supervised", epochs=3, split="camera:1,2"):
    pretrain(
        load_recipe(recipe, [*TINY, *changes], epochs=epochs),
        clips, run, split=split, stream="joint", device="cpu", threads=1,
    )  # fmt: skip
    return run


@pytest.mark.parametrize("balance", ["sampling", "weights"])
def test_a_supervised_run_that_stopped_goes_on_bit_for_bit_without_unlabelled_clips(uneven, tmp_path, balance, caplog):
    whole = train(uneven, tmp_path / "whole", f"balance={balance}", "optimizer.steps=[]")
    assert "which have no label" in caplog.text
    train(uneven, tmp_path / "parts", f"balance={balance}", "optimizer.steps=[]", epochs=1)
    train(uneven, tmp_path / "parts", f"balance={balance}", "optimizer.steps=[]")
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "parts")]
    assert weights[0] == weights[1]
    settings = json.loads((whole / "settings.json").read_text())
    assert settings["recipe_settings"]["balance"] == balance
    assert settings["clips"] == 18  # of 24 in the training part
    plain = train(uneven, tmp_path / "plain", "optimizer.steps=[]")
    assert (plain / "weights.safetensors").read_bytes() != weights[0]


@pytest.mark.parametrize("balance", ["sampling", "weights"])
def test_finetune_finds_the_rare_class(uneven, tmp_path, balance):
    """Few epochs at a low rate: without balance nothing but the large class is ever predicted.

    Every score is far from the other class's, so that no machine's rounding turns one.
    """
    run = train(uneven, tmp_path / "run", "encoder.dropout=0", epochs=0)
    options = [f"finetune.{key}" for key in ("epochs=40", "batch_size=8", "lr=0.005", "steps=[]")]
    common = {"protocols": ["finetune"], "split": "camera:1,2", "device": "cpu", "threads": 1}
    plain = evaluate(run, uneven, tmp_path / "plain", options=options, **common)
    even = evaluate(run, uneven, tmp_path / "even", options=[*options, f"finetune.balance={balance}"], **common)
    figures = [each["protocols"]["finetune"] for each in (plain, even)]
    assert (figures[0]["balanced"], figures[0]["top1"]) == (0.5, pytest.approx(5 / 6))
    assert figures[1]["balanced"] > 0.5
    for name in ("plain", "even"):
        with np.load(tmp_path / name / "scores.npz") as stored:
            assert np.abs(stored["finetune"][:, 0] - stored["finetune"][:, 1]).min() > 0.5
    assert "balance" not in figures[0]["settings"]
    assert figures[1]["settings"]["balance"] == balance
    assert (plain["train_clips"], plain["test_clips"]) == (18, 6)


# Any number of classes, and labels that are not there --------------------------------------------------------------

PROTOCOLS = ["linear", "knn", "retrieval", "finetune", "semi"]
QUICK = ["finetune.epochs=1", "semi.epochs=1", "semi.draws=2", "semi.fractions=[0.2]"]
SUBJECT = np.tile(np.arange(8) % 4 + 1, 4)  # of the clips; 3 tests


@pytest.mark.parametrize(
    "label",
    [
        np.arange(32) % 2,
        np.where(SUBJECT == 3, np.arange(32) % 2, [2] + [0, 1] * 15 + [0]),
        np.where(SUBJECT == 3, 2, np.arange(32) % 2),
        np.where(SUBJECT == 3, 0, np.arange(32) % 3),
        np.where(np.arange(32) % 3 == 0, -1, np.arange(32) % 2),
    ],
    ids=["two", "one training clip", "only in test", "only in training", "some without label"],
)
@pytest.mark.parametrize("probe", ["reference", "lbfgs", "grid"])
def test_any_classes_are_measured(tmp_path, label, probe, monkeypatch):
    monkeypatch.setattr("skelpipe.evaluation.linear.EPOCHS", 10)
    clips = relabelled(tmp_path / "clips.zarr", label)
    run = train(clips, tmp_path / "run", recipe="skeletonclr", epochs=0)
    protocols = PROTOCOLS if probe == "lbfgs" else ["linear"]
    quick = [each for each in QUICK if each.partition(".")[0] in protocols] + ["linear.balance=weights"]
    metrics = evaluate(
        run, clips, tmp_path / "out", protocols=protocols, probe=probe, split="subject:1,2,4", options=quick,
        device="cpu", threads=1,
    )  # fmt: skip
    test = (SUBJECT == 3) & (label >= 0)
    assert (metrics["train_clips"], metrics["test_clips"]) == (((SUBJECT != 3) & (label >= 0)).sum(), test.sum())
    assert metrics.get("unlabelled_clips", 0) == (label < 0).sum()
    assert metrics["clips_in_neither_part"] == 0
    assert metrics["classes_present"] == len(set(label[test].tolist()))
    for figures in metrics["protocols"].values():
        assert sum(value is not None for value in figures["per_class"]) == metrics["classes_present"]
        assert 0 <= figures["macro_f1"] <= 1
        if figures["interval"]["groups"] >= 5:
            assert figures["interval"]["low"] <= figures["top1"] <= figures["interval"]["high"]
    if 2 in label[test]:
        assert metrics["protocols"]["linear"]["top1"] == metrics["protocols"]["linear"]["macro_f1"] == 0


def test_labels_that_tell_nothing_are_refused_in_a_line(tmp_path):
    one = relabelled(tmp_path / "one.zarr", np.where(SUBJECT == 3, 1, 0))
    none = relabelled(tmp_path / "none.zarr", np.full(32, -1))
    run = train(one, tmp_path / "run", recipe="skeletonclr", epochs=1)
    unlabelled = train(none, tmp_path / "unlabelled", recipe="skeletonclr", epochs=1)
    assert (unlabelled / "weights.safetensors").exists()
    for clips, said in ((one, "clips of one class only"), (none, "no clip with a label")):
        with pytest.raises(BadInput, match=said):
            train(clips, tmp_path / "supervised", split="subject:1,2,4")
    words = ["evaluate", run, one, tmp_path / "out", "--split", "subject:1,2,4", "--device", "cpu"]
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 2
    assert done.output.splitlines()[-1].endswith("nothing can be told; choose another split")
    with pytest.raises(BadInput, match="no training clips here whose class is known"):
        evaluate(unlabelled, none, tmp_path / "out", split="subject:1,2,4", device="cpu")


def test_a_probe_is_solved_without_loading_torchs_compiler():
    code = (
        "import sys, torch; from skelpipe.evaluation.linear import Data, lbfgs_probe; "
        "lbfgs_probe(Data(torch.eye(4), torch.arange(4)), 0.1, 4); assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
