"""Few-shot probes: which clips carry labels, twins of both classifiers, and a run of the command."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import TINY
from sklearn.linear_model import LogisticRegression

from skelpipe.cli import main
from skelpipe.errors import BadInput
from skelpipe.evaluation.features import Features
from skelpipe.evaluation.fewshot import draw_shots, fewshot
from skelpipe.evaluation.linear import PENALTIES, linear
from skelpipe.evaluation.protocol import Setup
from skelpipe.evaluation.protocols import read_options
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("one_thread")


def blobs(n=300, classes=3, spread=1.0, seed=0):
    """Two thirds train, of ten persons; class 2 has few clips."""
    rng = np.random.default_rng(seed)
    label = np.where(np.arange(n) % 10 == 9, 2, np.arange(n) % 2)
    feature = rng.normal(size=(classes, 6))[label] + rng.normal(0, spread, (n, 6)) * np.array([1, 1, 1, 1, 1, 30])
    i = np.arange(n)
    return Features(i.astype(str), label.astype(np.int64), i % 3 != 0, i // 4 % 10, feature.astype(np.float32))


def run_on(features, *changes, **options):
    setup = Setup(3, CPU, options=read_options([f"fewshot.{c}" for c in changes], ["fewshot"]), **options)
    return fewshot(features, setup)


def test_draws_are_balanced_nested_and_follow_from_the_seed():
    label = np.repeat([0, 1, 4], [30, 8, 2])
    few, more = draw_shots(label, 2, 0, 1), draw_shots(label, 5, 0, 1)
    assert np.bincount(label[few]).tolist() == [2, 2, 0, 0, 2]
    assert np.bincount(label[more]).tolist() == [5, 5, 0, 0, 2]
    assert set(few) < set(more)
    assert (np.diff(more) > 0).all()
    assert draw_shots(label, 2, 0, 1).tolist() == few.tolist()
    assert len({tuple(draw_shots(label, 2, seed, draw)) for seed in (0, 1) for draw in (0, 1)}) == 4
    assert draw_shots(label, "all", 0, 1).tolist() == list(range(40))


def test_each_number_of_clips_is_an_outcome_and_both_classifiers_are_those_of_twins():
    f = blobs()
    found = run_on(f, "shots=[3,all]", "draws=4")
    assert list(found) == ["fewshot3", "fewshot_all"]
    few = found["fewshot3"]
    assert few.scores.shape == (4, 100, 3)
    assert (few.figures["shots"], few.figures["labelled"]) == (3, 9)
    train, test, label = f.feature[f.train], f.feature[~f.train], f.label[f.train]
    scaled = [(x - train.mean(0)) / train.std(0, ddof=1) for x in (train, test)]
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (train, test)]
    for draw, scores in enumerate(few.scores):
        rows = draw_shots(label, 3, 0, draw)
        twins = [
            LogisticRegression(C=1 / (penalty * 9), tol=1e-8, max_iter=2000).fit(scaled[0][rows], label[rows])
            for penalty in PENALTIES
        ]
        agree = [np.mean(twin.predict(scaled[1]) == scores.argmax(1)) for twin in twins]
        assert max(agree) >= 0.99
        nearest = label[rows][(unit[1] @ unit[0][rows].T).argmax(1)]
        assert few.figures["knn"]["draws"][draw] == pytest.approx(np.mean(nearest == f.label[~f.train]))
    assert few.figures["knn"]["top1"] == pytest.approx(np.mean(few.figures["knn"]["draws"]))
    assert few.figures["knn"]["std"] == pytest.approx(np.std(few.figures["knn"]["draws"], ddof=1))


def test_all_labels_are_the_linear_protocol_with_its_l_bfgs_probe():
    f = blobs()
    whole = run_on(f, "shots=[all]")["fewshot_all"]
    assert whole.scores.shape == (100, 3)
    assert whole.figures["labelled"] == 200
    assert "draws" not in whole.figures["knn"]
    theirs = linear(f, Setup(3, CPU, probe="lbfgs"))
    np.testing.assert_allclose(whole.scores, theirs.scores, rtol=1e-4, atol=1e-4)


def test_more_labels_help_and_the_number_of_seeds_and_draws_decides_nothing_else():
    f = blobs()
    found = run_on(f)
    accuracy = [np.mean(each.scores.argmax(-1) == f.label[~f.train]) for each in found.values()]
    assert accuracy[-1] > accuracy[0] + 0.1
    again, other = run_on(f, "draws=2"), run_on(f, "draws=2", seed=1)
    np.testing.assert_array_equal(again["fewshot2"].scores, found["fewshot2"].scores[:2])
    assert not np.array_equal(other["fewshot2"].scores, again["fewshot2"].scores)


def test_numbers_that_take_all_clips_are_one():
    """Of two classes with 14 and 6 training clips."""
    f = blobs(30)
    f.label[:] = np.where(f.train & (np.cumsum(f.train) > 14), 1, 0)
    found = run_on(f, "draws=2")
    assert {name: each.figures["labelled"] for name, each in found.items()} == {
        "fewshot1": 2, "fewshot2": 4, "fewshot5": 10, "fewshot10": 16, "fewshot_all": 20,
    }  # fmt: skip
    assert list(run_on(f, "draws=2", "shots=[20, 2, 30]")) == ["fewshot2", "fewshot30"]


@pytest.mark.parametrize(
    ("change", "said"),
    [("shots=[0]", "greater than"), ("shots=[1,1]", "twice"), ("shots=[some]", "'all'"), ("shots=[]", "at least 1"),
     ("draws=0", "greater than")],
)  # fmt: skip
def test_wrong_options_are_refused_in_a_line(change, said):
    with pytest.raises(BadInput, match=said):
        read_options([f"fewshot.{change}"], ["fewshot"])


def test_a_folder_is_evaluated_fused_and_drawn(clips, tmp_path):
    for stream in ("joint", "motion"):
        recipe = load_recipe("skeletonclr", TINY, epochs=0)
        pretrain(recipe, clips, tmp_path / stream, split="xsub60", stream=stream, device="cpu")
        words = ["evaluate", tmp_path / stream, clips, tmp_path / "e" / stream, "--protocol", "fewshot"]
        more = ["--set", "fewshot.shots=[1,2,all]", "--set", "fewshot.draws=3", "--device", "cpu", "--threads", "1"]
        done = CliRunner().invoke(main, [str(word) for word in [*words, *more]], catch_exceptions=False)
        assert done.exit_code == 0
        assert "fewshot_all: top-1" in done.output
    parts = [str(tmp_path / "e" / stream) for stream in ("joint", "motion")]
    done = CliRunner().invoke(main, ["fuse", *parts, "--out", str(tmp_path / "e" / "fused")], catch_exceptions=False)
    assert done.exit_code == 0
    fused = json.loads((tmp_path / "e" / "fused" / "metrics.json").read_text())["protocols"]
    assert {name: (each["shots"], each["labelled"]) for name, each in fused.items()} == {
        "fewshot1": (1, 4), "fewshot2": (2, 8), "fewshot_all": ("all", 24),
    }  # fmt: skip
    words = ["report", str(tmp_path / "e"), "--out", str(tmp_path / "r"), "--figure", "labels"]
    assert CliRunner().invoke(main, words, catch_exceptions=False).exit_code == 0
    page = json.loads((tmp_path / "r" / "report.json").read_text())
    (figure,) = page["figures"]
    assert figure["caption"].startswith(
        "NTU-60 xsub: accuracy in percent against the number of labelled training clips"
    )
    assert [c["title"] for c in page["tables"][0]["splits"][0]["columns"]] == ["1-shot", "2-shot", "few-shot, all"]
    text = (tmp_path / "r" / "report.md").read_text()
    assert "4 labelled clips" in text
    assert "; 1-NN " in text
