"""Protocols on features whose answer is known, and on a trained run."""

from __future__ import annotations

import json
import math
import shutil
import sys

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import TINY
from sklearn.metrics import average_precision_score

from skelpipe.clips.streams import apply_stream
from skelpipe.errors import BadInput
from skelpipe.evaluation.evaluate import evaluate
from skelpipe.evaluation.feature_files import export
from skelpipe.evaluation.features import Features, embed, load_run
from skelpipe.evaluation.fuse import fuse
from skelpipe.evaluation.knn import knn
from skelpipe.evaluation.linear import (
    GRID,
    PENALTIES,
    RATES,
    Data,
    Descent,
    accuracy,
    linear,
    sgd_probe,
    validation_part,
)
from skelpipe.evaluation.protocol import Setup
from skelpipe.evaluation.retrieval import average_precision, retrieval
from skelpipe.evaluation.scores import read_scores, tied, topk_accuracy
from skelpipe.outputs.folders import seal
from skelpipe.recordings.store import Clips
from skelpipe.report.write import write_report
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

CPU = torch.device("cpu")
FROZEN = ("linear", "knn", "retrieval")
pytestmark = pytest.mark.usefixtures("one_thread")


def blobs(n=240, classes=4, size=6, scale=1.0, spread=0.3, seed=0):
    rng = np.random.default_rng(seed)
    label = np.arange(n) % classes
    feature = rng.normal(size=(classes, size))[label] + rng.normal(0, spread, (n, size))
    return Features(
        np.array([f"c{i}" for i in range(n)]),
        label.astype(np.int64),
        np.arange(n) % 3 != 0,
        np.arange(n) // 4 % 10,
        (feature * scale).astype(np.float32),
    )


def test_knn_is_the_nearest_clip_by_cosine():
    f = blobs(spread=1.0)
    scores = knn(f, Setup(4, CPU)).scores
    bank, label = f.feature[f.train], f.label[f.train]
    for row, x in zip(scores, f.feature[~f.train], strict=True):
        cosine = [x @ b / math.sqrt((x @ x) * (b @ b)) for b in bank]
        assert row.argmax() == label[int(np.argmax(cosine))]
        for c in range(4):
            assert row[c] == pytest.approx(max(v for v, y in zip(cosine, label, strict=True) if y == c), abs=1e-5)


def test_knn_tells_neighbours_apart_that_float32_does_not():
    """All features are nearly one direction, as those of an untrained encoder are; by hand in NumPy's float64."""
    rng = np.random.default_rng(0)
    f = blobs()
    f.feature[:] = 1 + rng.normal(0, 1e-4, f.feature.shape)
    unit = f.feature.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    cosine = unit[~f.train] @ unit[f.train].T
    byhand = f.label[f.train][cosine.argmax(1)]
    for protocol in (knn, retrieval):
        scores = protocol(f, Setup(4, CPU)).scores
        assert scores.dtype == np.float64
        assert (scores.argmax(1) == byhand).all()
        assert tied(scores) == 0
    assert tied(scores.astype(np.float32)) > 10
    assert (scores.astype(np.float32).argmax(1) != byhand).sum() > 5


def test_of_clips_equally_near_the_earlier_ones_vote():
    feature = np.array([[1, 0], [0, 1], [0, 2], [0, 3], [0, 4], [1, 1e-3]], np.float32)
    label = np.array([0, 3, 2, 1, 2, 0])
    f = Features(np.arange(6).astype(str), label, np.arange(6) > 0, np.arange(6), feature)
    votes = knn(f, Setup(4, CPU, k=3)).scores[0]
    assert (votes > 0).tolist() == [True, False, True, True]  # clips 5, 1 and 2, and neither 3 nor 4
    assert votes[2] == votes[3] == 1.0
    scores = knn(f, Setup(4, CPU)).scores
    assert tied(scores) == 0
    swapped = Features(f.name, f.label, ~f.train, f.group, f.feature[::-1].copy())
    assert tied(knn(swapped, Setup(4, CPU)).scores) == 0  # one class alone is no tie
    twice = Features(f.name, np.array([0, 3, 2, 1, 2, 3]), f.train, f.group, np.ones((6, 2), np.float32))
    scores = knn(twice, Setup(4, CPU)).scores
    assert tied(scores) == 1
    assert scores.argmax(1).tolist() == [1]


def test_knn_votes():
    f = blobs(spread=1.0)
    outcome = knn(f, Setup(4, CPU, k=7))
    bank, label = f.feature[f.train], f.label[f.train]
    x = f.feature[~f.train][0]
    cosine = bank @ x / np.linalg.norm(bank, axis=1) / np.linalg.norm(x)
    votes = np.zeros(4)
    for i in np.argsort(-cosine)[:7]:
        votes[label[i]] += math.exp(cosine[i] / 0.1)
    np.testing.assert_allclose(outcome.scores[0], votes, rtol=1e-4)
    assert outcome.figures == {"k": 7}


def test_a_class_without_training_clips_is_never_nearest():
    f = blobs()
    scores = knn(f, Setup(5, CPU)).scores
    assert (scores[:, 4] == -1).all()


def test_average_precision_by_hand():
    """Relevant at places 1, 3 and 4 of five: (1/1 + 2/3 + 3/4) / 3."""
    relevant = torch.tensor([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1]], dtype=torch.float64)
    assert average_precision(relevant).tolist() == pytest.approx([(1 + 2 / 3 + 3 / 4) / 3, 0, 1 / 5])


def test_retrieval_against_sklearn():
    f = blobs(n=60, spread=1.0)
    outcome = retrieval(f, Setup(4, CPU))
    unit = f.feature / np.linalg.norm(f.feature, axis=1, keepdims=True)
    cosine = unit[~f.train] @ unit[f.train].T
    same = f.label[~f.train][:, None] == f.label[f.train][None]
    expected = np.mean([average_precision_score(s, c) for s, c in zip(same, cosine, strict=True)])
    assert outcome.figures["map"] == pytest.approx(expected, abs=1e-6)
    first = np.take_along_axis(same, np.argsort(-cosine, axis=1), axis=1)
    assert outcome.figures["recall"] == pytest.approx({str(k): first[:, :k].any(1).mean() for k in (1, 5, 10)})
    np.testing.assert_array_equal(outcome.scores, knn(f, Setup(4, CPU)).scores)


@pytest.mark.parametrize("probe", ["reference", "paper", "lbfgs", "grid"])
def test_linear_probes_separate_what_is_separable(probe):
    f = blobs()
    outcome = linear(f, Setup(4, CPU, probe=probe))
    assert topk_accuracy(outcome.scores, f.label[~f.train], 1) > 0.95
    assert outcome.warnings == []
    if probe == "lbfgs":
        assert outcome.figures["penalty"] in PENALTIES
        assert outcome.figures["validation_top1"] > 0.9
    elif probe == "grid":
        assert outcome.figures["rate"] in GRID
        assert outcome.figures["validation_top1"] > 0.9
    else:
        assert outcome.figures["best_on_validation"]["top1"] > 0.95
    assert "best_on_test" not in outcome.figures


def test_the_written_out_descent_is_that_of_torch():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(40, 128, 64, generator=generator), torch.randint(0, 12, (40, 128), generator=generator)
    torch.manual_seed(1)  # from anywhere the last bits may add up to more
    ours, theirs = torch.nn.Linear(64, 12), torch.nn.Linear(64, 12)
    ours.load_state_dict(theirs.state_dict())
    descent, sgd = Descent(ours), torch.optim.SGD(theirs.parameters(), lr=1.0, momentum=0.9)
    for step in range(40):
        rate = 0.3 if step < 30 else 0.03
        sgd.param_groups[0]["lr"] = rate
        with torch.no_grad():
            log_p = descent.step(x[step], y[step, :, None], rate)
        loss = torch.nn.functional.cross_entropy(theirs(x[step]), y[step])
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        torch.testing.assert_close(-log_p.gather(1, y[step, :, None]).mean(), loss.detach(), rtol=1e-6, atol=0)
    for mine, its in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert (mine - its).norm() <= 1e-6 * its.norm()


def test_a_collapsed_probe_is_named_and_the_other_probe_works():
    """Features of tiny scale: SGD at 3.0 stays where it began, L-BFGS on standardised features does not care."""
    f = blobs(scale=1e-4)
    collapsed = linear(f, Setup(4, CPU))
    assert "collapsed" in collapsed.warnings[0]
    assert "--probe lbfgs" in collapsed.warnings[0]
    solved = linear(f, Setup(4, CPU, probe="lbfgs"))
    assert topk_accuracy(solved.scores, f.label[~f.train], 1) > 0.95


def test_the_grid_takes_the_rate_that_is_best_on_validation(monkeypatch):
    """Features of a scale at which low rates have learnt nothing when the probe ends: the choice matters."""
    assert set(RATES.values()) < set(GRID)
    module = sys.modules[linear.__module__]  # its name in the package is the function's
    monkeypatch.setattr(module, "GRID", (0.01, 0.3, 3.0, 30.0))
    monkeypatch.setattr(module, "EPOCHS", 25)
    f = blobs(spread=0.8, scale=0.02)
    x, y = torch.from_numpy(f.feature[f.train]), torch.from_numpy(f.label[f.train])
    held = torch.from_numpy(validation_part(f, 0))
    setup = Setup(4, CPU, probe="grid", best_on_test=True)
    on_held = {}
    for rate in module.GRID:
        layer, _ = sgd_probe(Data(x[~held], y[~held]), rate, setup, lambda: None)
        on_held[rate] = accuracy(layer, Data(x[held], y[held]))
    assert on_held[0.01] < max(on_held.values())
    ticks = []
    outcome = linear(f, Setup(4, CPU, probe="grid", best_on_test=True, progress=lambda *step: ticks.append(step)))
    figures = outcome.figures
    assert figures["rate"] == min(rate for rate in on_held if on_held[rate] == max(on_held.values()))
    assert figures["validation_top1"] == max(on_held.values())
    assert "best_on_validation" not in figures
    layer, loss = sgd_probe(Data(x, y), figures["rate"], setup, lambda: None)
    assert figures["train_loss"] == loss
    weight, bias = (p.detach().double().numpy() for p in (layer.weight, layer.bias))
    np.testing.assert_allclose(outcome.scores, f.feature[~f.train].astype(float) @ weight.T + bias, rtol=1e-12)
    assert figures["best_on_test"]["top1"] >= topk_accuracy(outcome.scores, f.label[~f.train], 1)
    assert ticks[-1] == (125, 125)


def test_best_on_test_only_when_asked():
    figures = linear(blobs(spread=2), Setup(4, CPU, best_on_test=True)).figures
    assert figures["best_on_test"]["top1"] >= figures["best_on_validation"]["top1"]
    assert figures["best_on_test"]["epoch"] % 5 == 0


def test_the_test_clips_choose_nothing():
    """Scrambled test features leave the probe, and the epoch it chose, as they were."""
    f = blobs(spread=2)
    scrambled = f.feature.copy()
    scrambled[~f.train] = np.random.default_rng(1).normal(size=scrambled[~f.train].shape)
    other = Features(f.name, f.label, f.train, f.group, scrambled)
    a, b = linear(f, Setup(4, CPU)).figures, linear(other, Setup(4, CPU)).figures
    assert a["train_loss"] == b["train_loss"]
    assert a["best_on_validation"]["epoch"] == b["best_on_validation"]["epoch"]


def test_linear_rate_schedule(monkeypatch):
    rates = []
    step = Descent.step
    monkeypatch.setattr(Descent, "step", lambda self, x, y, rate, w: (rates.append(rate), step(self, x, y, rate, w))[1])
    linear(blobs(n=200), Setup(4, CPU))  # 133 training clips: one batch of 128 an epoch
    assert rates[:100] == pytest.approx([3.0] * 80 + [0.3] * 20)


def test_validation_holds_out_whole_groups():
    f = blobs()
    held = validation_part(f, seed=0)
    groups = f.group[f.train]
    assert not set(groups[held]) & set(groups[~held])
    assert 0.1 <= held.mean() < 0.25
    one = Features(f.name, f.label, f.train, np.zeros(len(f.name)), f.feature)
    assert 0.05 < validation_part(one, 0).mean() < 0.15


@pytest.fixture(scope="module")
def run(clips, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "run"
    recipe = load_recipe("skeletonclr", [*TINY, "encoder.width=4"], epochs=1)
    pretrain(recipe, clips, path, split="xsub60", stream="bone", device="cpu")
    return path


def test_embedding_is_the_frozen_encoder_on_plain_clips(run, clips):
    source = Clips(clips)
    loaded = load_run(run, source, "cpu")
    f = embed(loaded, source, "xsub60")
    assert f.feature.shape == (32, 8)
    assert f.train.tolist() == (source.columns["subject"] != 3).tolist()
    x = apply_stream(source.load(), "bone", source.layout)
    with torch.no_grad():
        for i in (0, 17, 31):
            expected = loaded.network.encoder(torch.from_numpy(x[i : i + 1]))[0].numpy()
            np.testing.assert_allclose(f.feature[i], expected, rtol=1e-4, atol=1e-6)


def test_an_evaluation_folder(run, clips, tmp_path):
    metrics = evaluate(run, clips, tmp_path / "out", protocols=FROZEN, device="cpu")
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == metrics
    assert (metrics["train_clips"], metrics["test_clips"], metrics["classes"]) == (24, 8, 60)
    assert metrics["clips_in_neither_part"] == 0
    names, labels, scores = read_scores(tmp_path / "out" / "scores.npz")[:3]
    assert set(scores) == set(metrics["protocols"]) == set(FROZEN)
    source = Clips(clips)
    test = source.columns["subject"] == 3
    assert names.tolist() == source.columns["name"][test].tolist()
    for protocol in FROZEN:
        figures = metrics["protocols"][protocol]
        assert scores[protocol].shape == (8, 60)
        assert figures["top1"] == pytest.approx(np.mean(scores[protocol].argmax(1) == labels))
        assert figures["top5"] >= figures["top1"]
        matrix = pd.read_csv(tmp_path / "out" / f"confusion_{protocol}.csv", index_col=0).to_numpy()
        assert matrix.shape == (60, 60)
        assert np.trace(matrix) / matrix.sum() == pytest.approx(figures["top1"])
        assert (tmp_path / "out" / f"confusion_{protocol}.png").stat().st_size > 1000


def test_an_existing_evaluation_needs_force(run, clips, tmp_path):
    evaluate(run, clips, tmp_path / "out", protocols=["knn"], device="cpu")
    before = (tmp_path / "out" / "metrics.json").read_bytes()
    with pytest.raises(BadInput, match="already exists"):
        evaluate(run, clips, tmp_path / "out", protocols=["knn"], device="cpu")
    assert (tmp_path / "out" / "metrics.json").read_bytes() == before
    evaluate(run, clips, tmp_path / "out", protocols=["knn"], device="cpu", force=True)


def test_a_collapsed_run_is_named_in_its_evaluation(run, clips, tmp_path):
    collapsed = tmp_path / "run"
    shutil.copytree(run, collapsed)
    with open(collapsed / "log.jsonl", "a") as file:
        last = json.loads((run / "settings.json").read_text())["epochs"]
        file.write(json.dumps({"epoch": last, "collapsed": True}) + "\n")
    seal(collapsed, "run")
    for path, warned in ((run, False), (collapsed, True)):
        metrics = evaluate(path, clips, tmp_path / f"out-{warned}", protocols=["knn"], device="cpu")
        assert any("collapsed" in w for w in metrics["protocols"]["knn"]["warnings"]) is warned


def test_test_clips_that_were_pretrained_on_are_counted(run, clips, tmp_path):
    """The run learnt from subjects 1, 2 and 4; cross-view tests camera 1 of all subjects."""
    columns = Clips(clips).columns
    seen = int(((columns["camera"] == 1) & (columns["subject"] != 3)).sum())
    metrics = evaluate(run, clips, tmp_path / "out", protocols=["knn"], split="xview60", device="cpu")
    (warning,) = metrics["protocols"]["knn"]["warnings"]
    assert warning.startswith(f"{seen} of the {(columns['camera'] == 1).sum()} test clips were pretrained on")
    assert evaluate(run, clips, tmp_path / "own", protocols=["knn"], device="cpu")["protocols"]["knn"]["warnings"] == []


@pytest.mark.parametrize("probe", ["reference", "lbfgs"])
def test_evaluations_fuse_and_report(run, clips, tmp_path, probe):
    """What evaluate writes is what fuse and report read."""
    recipe = load_recipe("skeletonclr", [*TINY, "encoder.width=4"], epochs=1)
    pretrain(recipe, clips, tmp_path / "joint", split="xsub60", stream="joint", device="cpu")
    for name, path in (("bone", run), ("joint", tmp_path / "joint")):
        evaluate(path, clips, tmp_path / "out" / name, probe=probe, best_on_test=True, device="cpu")
    fused = fuse([tmp_path / "out" / "bone", tmp_path / "out" / "joint"], tmp_path / "out" / "fused")
    assert set(fused["protocols"]) == {"linear", "knn"}
    write_report([tmp_path / "out", run], tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text()
    assert "SkeletonCLR" in page
    assert "data:image/png;base64" in page


def test_export_in_three_formats(run, clips, tmp_path):
    shape = export(run, clips, tmp_path / "f.npz", device="cpu")
    export(run, clips, tmp_path / "f.h5", device="cpu")
    export(run, clips, tmp_path / "f.parquet", device="cpu")
    assert shape == (32, 8)
    with np.load(tmp_path / "f.npz") as npz, h5py.File(tmp_path / "f.h5") as h5:
        table = pd.read_parquet(tmp_path / "f.parquet")
        np.testing.assert_array_equal(npz["feature"], h5["feature"][:])
        np.testing.assert_array_equal(npz["feature"], table.iloc[:, 3:].to_numpy())
        assert npz["name"].tolist() == table["name"].tolist() == [n.decode() for n in h5["name"][:]]
        assert npz["train"].tolist() == table["train"].tolist() == h5["train"][:].tolist()
    for suffix in (".npz", ".h5", ".parquet"):
        with pytest.raises(BadInput, match="already exists"):
            export(run, clips, tmp_path / f"f{suffix}", device="cpu")
        assert export(run, clips, tmp_path / f"f{suffix}", device="cpu", force=True) == shape
        (tmp_path / f"mine{suffix}").write_bytes(b"mine")
        with pytest.raises(BadInput, match="is no output of skelpipe"):
            export(run, clips, tmp_path / f"mine{suffix}", device="cpu", force=True)
    with pytest.raises(BadInput, match=r"\.csv"):
        export(run, clips, tmp_path / "f.csv", device="cpu")


def test_what_does_not_fit_is_refused(run, clips, tmp_path):
    with pytest.raises(BadInput, match="not a protocol"):
        evaluate(run, clips, tmp_path / "o", protocols=["linaer"])
    with pytest.raises(BadInput, match="does not exist"):
        evaluate(tmp_path / "none", clips, tmp_path / "o")
    with pytest.raises(BadInput, match="kind 'clips', not 'run'"):
        evaluate(clips, clips, tmp_path / "o")
    data = bytearray((run / "weights.safetensors").read_bytes())
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in run.iterdir():
        if file.is_file():
            (broken / file.name).write_bytes(file.read_bytes())
    (broken / "weights.safetensors").write_bytes(data[:200])
    with pytest.raises(BadInput, match=r"weights\.safetensors: is damaged"):
        evaluate(broken, clips, tmp_path / "o")
    assert not (tmp_path / "o").exists()
