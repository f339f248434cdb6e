"""Temperatures and distances of an evaluation's classifiers: by whom they are measured, and that they are kept."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import TINY, write_clips

from skelpipe.cli import main
from skelpipe.evaluation import calibrate, linear
from skelpipe.evaluation.evaluate import evaluate
from skelpipe.evaluation.features import Features, load_run
from skelpipe.evaluation.protocol import Setup
from skelpipe.evaluation.protocols import read_options
from skelpipe.evaluation.unseen import seen_by
from skelpipe.outputs.folders import seal
from skelpipe.recordings.store import Clips
from skelpipe.training.confidence import need_distance, need_temperature, temperature
from skelpipe.training.model import read_model
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

CPU = torch.device("cpu")
ENCODER = [change for change in TINY if change.startswith(("encoder.", "batch_size"))]
PROBES = ["reference", "paper", "grid", "lbfgs", "stated"]
pytestmark = pytest.mark.usefixtures("one_thread")


def features(n=300, classes=3, people=10, seed=0):
    """Features whose classes overlap, of persons who differ; every other clip is for testing."""
    rng = np.random.default_rng(seed)
    label, group = rng.integers(classes, size=n), rng.integers(people, size=n)
    x = rng.normal(0, 1, (n, 8)) + 1.5 * np.eye(8)[label] + rng.normal(0, 0.5, (people, 8))[group] + 1
    return Features(np.arange(n).astype(str), label, np.arange(n) % 2 == 0, group, x.astype(np.float32))


def setup(probe, *changes):
    return Setup(3, CPU, probe=probe, options=read_options(changes, ["linear"]))


def poisoned(f, where):
    """The same with other features and classes of the clips at `where`."""
    x, label = f.feature.copy(), f.label.copy()
    x[where], label[where] = 1e3 * np.random.default_rng(1).normal(size=x[where].shape), 0
    return replace(f, feature=x, label=label)


@pytest.mark.parametrize("probe", PROBES)
def test_every_probe_is_calibrated_and_no_test_clip_plays_a_part(probe):
    f = features()
    kept, again = (linear.linear(each, setup(probe)).kept for each in (f, poisoned(f, ~f.train)))
    assert kept.calibration == again.calibration
    assert torch.equal(kept.distance.quantiles, again.distance.quantiles)
    assert torch.equal(kept.distance.centres, again.distance.centres)
    assert (kept.calibration.clips, kept.calibration.groups) == (150, 10)
    assert (kept.measured.clips, kept.measured.groups, kept.measured.by) == (150, 10, "group")
    assert kept.calibration.nll_after <= kept.calibration.nll_before
    assert 0.1 < kept.calibration.temperature < 100


def test_the_temperature_is_that_of_probes_which_have_not_seen_the_clips(monkeypatch):
    f, fitted = features(), []
    real = linear.lbfgs_probe
    monkeypatch.setattr(linear, "lbfgs_probe", lambda data, *rest: fitted.append(data) or real(data, *rest))
    outcome = linear.linear(f, setup("lbfgs"))
    x, y, group = (values[f.train] for values in (f.feature, f.label, f.group))
    x = (x - x.mean(0)) / x.std(0, ddof=1)
    scores, label = [], []
    for part in calibrate.in_turn(group, linear.validation_part(f, 0), 0):
        layer = real(linear.Data(*map(torch.from_numpy, (x[~part], y[~part]))), outcome.figures["penalty"], 3)
        scores.append(linear.scores(layer, linear.Data(*map(torch.from_numpy, (x[part], y[part])))))
        label.append(torch.from_numpy(y[part]))
    grid = np.geomspace(0.05, 100, 3001)
    z, y = torch.from_numpy(np.concatenate(scores)), torch.cat(label)
    losses = [float(torch.nn.functional.cross_entropy(z / t, y)) for t in grid]
    assert outcome.kept.calibration.temperature == pytest.approx(grid[np.argmin(losses)], rel=0.01)
    assert [len(data.y) for data in fitted[:6]] == [150 - linear.validation_part(f, 0).sum()] * 5 + [150]
    assert len(fitted) == 6 + calibrate.TURNS - 1


def test_groups_are_held_out_in_turn_and_whole():
    f = features()
    group, held = f.group[f.train], linear.validation_part(f, 0)
    parts = calibrate.in_turn(group, held, 0)
    assert len(parts) == calibrate.TURNS
    assert np.array_equal(parts[0], held)
    assert (np.sum(parts, 0) == 1).all()
    for part in parts:
        assert not set(group[part]) & set(group[~part])
    two = np.array([0, 0, 1, 1])
    assert [part.tolist() for part in calibrate.in_turn(two, two == 1, 0)] == [
        [False] * 2 + [True] * 2,
        [True] * 2 + [False] * 2,
    ]


def test_distances_are_from_centres_of_the_other_groups():
    f = features()
    distance = linear.linear(f, setup("lbfgs")).kept.distance
    x, y, group = (values[f.train] for values in (f.feature.astype(np.float64), f.label, f.group))
    x /= np.linalg.norm(x, axis=1, keepdims=True)

    def far(seen, from_these, of_these):
        means = np.stack([seen[of_these == c].mean(0) for c in range(3)])
        return 1 - (from_these @ means.T / np.linalg.norm(means, axis=1)).max(1)

    parts = calibrate.in_turn(group, linear.validation_part(f, 0), 0)
    found = np.concatenate([far(x[~part], x[part], y[~part]) for part in parts])
    np.testing.assert_allclose(distance.quantiles.numpy(), np.quantile(found, np.linspace(0, 1, 101)), atol=1e-6)
    test = f.feature[~f.train].astype(np.float64)
    expected = far(x, test / np.linalg.norm(test, axis=1, keepdims=True), y)
    np.testing.assert_allclose(distance.of(torch.from_numpy(f.feature[~f.train])).numpy(), expected, atol=1e-6)


def test_many_held_out_clips_are_enough_for_a_temperature(monkeypatch):
    monkeypatch.setattr(calibrate, "ENOUGH", 5)
    f = features()
    held = linear.validation_part(f, 0)
    kept = linear.linear(f, setup("lbfgs")).kept
    assert kept.calibration.clips == held.sum() < kept.measured.clips == 150


def test_one_person_is_held_out_clip_by_clip_and_a_class_of_one_person_tells_nothing():
    f = features()
    kept = linear.linear(replace(f, group=np.zeros_like(f.group)), setup("lbfgs")).kept
    assert kept.calibration.by == kept.measured.by == "clip"
    assert kept.calibration.groups == kept.calibration.clips == 150
    own = np.where(f.group == 3, 2, f.label % 2)  # nobody else does class 2, and this person nothing else
    kept = linear.linear(replace(f, label=own), setup("lbfgs")).kept
    assert kept.calibration.groups == kept.measured.groups == 9
    assert kept.calibration.clips == 150 - (f.group[f.train] == 3).sum()
    assert kept.distance.centres.shape == (3, 8)


def test_far_clips_are_told_and_near_ones_are_not():
    f = features()
    distance = linear.linear(f, setup("lbfgs")).kept.distance
    refused = calibrate.shares_refused(distance, torch.from_numpy(f.feature[~f.train]))
    assert refused["0.01"] < 0.05
    assert refused["0.05"] < 0.15
    assert calibrate.shares_refused(distance, -torch.from_numpy(f.feature)) == {"0.01": 1.0, "0.05": 1.0}


# Folders ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(clips, tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    plateau = "schedule={name: plateau, held_out: 0.3, keep: best}"
    for name, recipe, changes in (
        ("plain", "skeletonclr", TINY),
        ("labelled", "stgcn_supervised", ENCODER),
        ("watched", "stgcn_supervised", [*ENCODER, plateau]),
    ):
        pretrain(
            load_recipe(recipe, changes, epochs=1), clips, root / name, split="xsub60", stream="joint", device="cpu"
        )
    return root


def test_an_evaluation_keeps_and_tells_them(runs, clips, tmp_path):
    out = tmp_path / "out"
    metrics = evaluate(runs / "plain", clips, out, protocols=["linear", "knn"], probe="lbfgs", device="cpu")
    model, told = read_model(out, "linear"), metrics["protocols"]["linear"]
    assert told["calibration"]["temperature"] == need_temperature(model) == temperature(model.facts)
    assert told["calibration"]["by"] == told["distance"]["by"] == "subject"
    assert (told["distance"]["clips"], told["distance"]["groups"]) == (24, 3)
    assert set(told["calibration"]["test"]) == {"nll_before", "nll_after", "ece_before", "ece_after"}
    assert set(told["distance"]["test"]["refused"]) == {"0.01", "0.05"}
    assert "calibration" not in metrics["protocols"]["knn"]
    with np.load(out / "features.npz") as data:
        test = torch.from_numpy(data["feature"][~data["train"]])
    assert calibrate.shares_refused(need_distance(model), test) == told["distance"]["test"]["refused"]
    shown = CliRunner().invoke(main, ["inspect", str(out)], env={"COLUMNS": "200"}).output
    assert "by 24 held-out clips of 3 subjects" in " ".join(shown.split())


def test_models_that_were_kept_before_still_open(runs, clips, tmp_path):
    from safetensors.torch import load_file, save_file

    out = tmp_path / "out"
    evaluate(runs / "plain", clips, out, protocols=["linear"], probe="lbfgs", device="cpu")
    facts = json.loads((out / "model_linear.json").read_text())
    for key in ("calibration", "distance"):
        del facts[key]
    (out / "model_linear.json").write_text(json.dumps(facts))
    tensors = load_file(out / "model_linear.safetensors")
    save_file({k: v for k, v in tensors.items() if "distance" not in k}, out / "model_linear.safetensors")
    seal(out, "evaluation")
    model = read_model(out, "linear")
    assert (model.facts.calibration, model.facts.distance, model.distance) == (None, None, None)
    assert model.facts.model_dump(mode="json").keys() == facts.keys()
    assert CliRunner().invoke(main, ["inspect", str(out)]).exit_code == 0


def test_a_run_that_held_clips_out_is_calibrated_by_them_and_others_are_not(runs, clips, tmp_path, other_clips):
    found = {}
    for name in ("labelled", "watched"):
        out = tmp_path / name
        told = evaluate(runs / name, clips, out, protocols=["supervised"], device="cpu")["protocols"]["supervised"]
        found[name] = told, read_model(out, "supervised")
    told, model = found["labelled"]
    assert "calibration" not in told
    assert model.facts.calibration is None
    assert model.distance is None
    told, model = found["watched"]
    assert (told["calibration"]["clips"], told["calibration"]["groups"], told["calibration"]["by"]) == (8, 1, "subject")
    assert told["distance"]["clips"] == 8
    assert model.distance.centres.shape == (4, 8)
    # Of other clips it is not known which of them the run has held out.
    told = evaluate(runs / "watched", other_clips, tmp_path / "other", protocols=["supervised"], device="cpu")
    assert "calibration" not in told["protocols"]["supervised"]


@pytest.fixture
def other_clips(tmp_path):
    return write_clips(tmp_path / "other.zarr", seed=5)


def test_finetune_is_calibrated_by_a_second_training_where_it_is_asked_for(runs, clips, tmp_path):
    plain, asked = (tmp_path / name for name in ("plain", "asked"))
    quick = ["finetune.epochs=2", "finetune.batch_size=8"]
    before = evaluate(runs / "plain", clips, plain, protocols=["finetune"], options=quick, device="cpu")
    after = evaluate(
        runs / "plain", clips, asked, protocols=["finetune"], options=[*quick, "finetune.calibrate=true"], device="cpu"
    )
    first, second = (each["protocols"]["finetune"] for each in (before, after))
    assert "calibrate" not in first["settings"]
    assert second["settings"]["calibrate"] is True
    assert first["top1"] == second["top1"]
    with np.load(plain / "scores.npz") as one, np.load(asked / "scores.npz") as other:
        np.testing.assert_array_equal(one["finetune"], other["finetune"])
    assert "calibration" not in first
    assert second["calibration"]["clips"] == second["distance"]["clips"] == 8
    model = read_model(asked, "finetune")
    assert need_distance(model).centres.shape == (4, 8)
    assert need_temperature(model) == second["calibration"]["temperature"]


def test_a_finetuned_model_is_of_whole_clips_whatever_the_frozen_features_are_of(clips, tmp_path):
    recipe = load_recipe("skeletonclr", [*TINY, "evaluate.segments=2"], epochs=1)
    pretrain(recipe, clips, tmp_path / "run", split="xsub60", stream="joint", device="cpu")
    out, quick = tmp_path / "out", ["finetune.epochs=1", "finetune.batch_size=8", "finetune.calibrate=true"]
    evaluate(tmp_path / "run", clips, out, protocols=["finetune", "linear"], options=quick, device="cpu")
    source = Clips(clips)
    run = load_run(tmp_path / "run", source, "cpu")
    rows = np.flatnonzero(source.columns["subject"] == 3)
    with np.load(out / "scores.npz") as told:
        for protocol, size in (("finetune", 8), ("linear", 16)):
            model = read_model(out, protocol)
            scores, h = seen_by(model.classifier, rows, Setup(60, CPU, run=run, clips=source))
            np.testing.assert_allclose(scores, told[protocol], rtol=1e-3, atol=1e-4)
            assert h.shape[1] == need_distance(model).centres.shape[1] == size
