"""Class by class, one run less another: which pairs there are, which way round, and how sure."""

import json
import shutil

import numpy as np
import pytest
from made_up import write_evaluation, write_judged

from skelpipe.report import differences
from skelpipe.report.differences_page import shown_pair
from skelpipe.report.latex import latex_table, tex
from skelpipe.report.write import write_report


def compared(root, out):
    write_report([root], out, figures=[])
    return json.loads((out / "report.json").read_text())["differences"]


def per_class(*values):
    return {"linear": {"top1": 0.5, "per_class": list(values), "warnings": []}}


def test_one_run_has_nothing_beside_it(tmp_path):
    write_evaluation(tmp_path / "e")
    assert compared(tmp_path / "e", tmp_path / "r") == []
    page = (tmp_path / "r" / "report.html").read_text()
    assert 'id="differences"' not in page


def test_the_pair_shown_first_is_of_the_first_two_recipes_of_the_paper_in_one_stream(tmp_path):
    for recipe in ("aimclr", "crosnnclr", "skeletonclr"):
        for stream in ("joint", "bone"):
            write_evaluation(tmp_path / "e", recipe, stream, protocols=per_class(0.5, 0.5))
    (found,) = compared(tmp_path / "e", tmp_path / "r")
    labels = [run["label"] for run in found["runs"]]
    assert [labels[n] for n in found["chosen"]] == [
        f"{name}, 800 epochs, joint" for name in ("SkeletonCLR", "CrosNNCLR")
    ]
    assert len(found["pairs"]) == 15
    for folder in (tmp_path / "e").glob("skeletonclr*"):
        shutil.rmtree(folder)
    (found,) = compared(tmp_path / "e", tmp_path / "s")
    assert [found["runs"][n]["label"] for n in found["chosen"]] == [
        "AimCLR, 800 epochs, joint",
        "CrosNNCLR, 800 epochs, joint",
    ]


def test_over_seeds_the_interval_is_welchs_of_the_second_less_the_first(tmp_path):
    for seed, (a, b) in enumerate([(0.2, 0.7), (0.4, 0.8), (0.3, 0.9)]):
        write_evaluation(tmp_path / "e", "skeletonclr", seed=seed, protocols=per_class(a, None, 0.5))
        write_evaluation(tmp_path / "e", "crosnnclr", seed=seed, protocols=per_class(b, None, 0.5))
    (found,) = compared(tmp_path / "e", tmp_path / "r")
    assert found["classes"] == ["drink water", "brushing teeth"]
    assert [run["n"] for run in found["runs"]] == [3, 3]
    pair = found["pairs"]["0-1"]
    assert pair["by"] == "seeds"
    assert pair["difference"] == pytest.approx([0.5, 0.0])
    # s = 0.1 in both: sqrt(2 * 0.01 / 3) times t of 4 degrees of freedom
    assert pair["high"][0] - 0.5 == pytest.approx(2.7764 * (0.02 / 3) ** 0.5, rel=1e-3)
    assert pair["low"][1] is None
    shown = shown_pair(found)
    assert [row["class"] for row in shown["rows"]] == ["drink water", "brushing teeth"]
    assert (shown["rows"][0]["kind"], shown["rows"][0]["difference"]) == ("gain sure", "+50.0")
    assert "Welch's t over repetitions (3 and 3 seeds or folds)" in shown["told"]
    text = (tmp_path / "r" / "report.md").read_text()
    assert "NTU-60 xsub, linear: CrosNNCLR, 800 epochs, joint less SkeletonCLR, 800 epochs, joint\n" in text
    assert "| drink water | +50.0 | +27.3 to +72.7 | 80.0 | 30.0 |" in text


def test_of_one_seed_persons_are_drawn_the_same_for_both(tmp_path, clips, monkeypatch):
    monkeypatch.setattr(differences, "FEWEST", 4)
    # Class 0 (clips 0 to 7, subjects 1 2 3 4 twice): the first run errs on subjects 1 and 2, the second on none.
    write_judged(tmp_path / "e", clips, [0, 1, 4, 5], "skeletonclr")
    write_judged(tmp_path / "e", clips, [], "crosnnclr")
    (found,) = compared(tmp_path / "e", tmp_path / "r")
    pair = found["pairs"]["0-1"]
    assert (pair["by"], pair["groups"]) == ("groups", "4 subjects")
    assert pair["difference"] == [0.5, 0, 0, 0]
    # Of four persons drawn, the share that is 1 or 2: 0 in 1 of 16, 1 in 1 of 16, more than the 2.5 % of a tail.
    assert (pair["low"][0], pair["high"][0]) == (0.0, 1.0)
    assert (pair["low"][1], pair["high"][1]) == (0.0, 0.0)
    assert "4 subjects of the test part drawn with replacement" in (tmp_path / "r" / "report.html").read_text()


def test_several_seeds_beside_one_are_drawn_by_persons_with_the_mean_of_the_seeds(tmp_path, clips, monkeypatch):
    monkeypatch.setattr(differences, "FEWEST", 4)
    write_judged(tmp_path / "e", clips, [0, 1, 4, 5], "skeletonclr")
    write_judged(tmp_path / "e", clips, [0], "crosnnclr")
    write_judged(tmp_path / "e", clips, [4], "crosnnclr", seed=1)
    (found,) = compared(tmp_path / "e", tmp_path / "r")
    pair = found["pairs"]["0-1"]
    assert pair["by"] == "groups"
    assert pair["difference"][0] == pytest.approx(7 / 8 - 4 / 8)
    # By person 1 to 4 the gain is 0.5, 1, 0 and 0: at most 1, if all four drawn are the second.
    assert 0.5 < pair["high"][0] <= 1
    assert pair["low"][0] == 0


def test_four_persons_are_too_few_for_intervals(tmp_path, clips):
    write_judged(tmp_path / "e", clips, [0, 1, 4, 5], "skeletonclr")
    write_judged(tmp_path / "e", clips, [], "crosnnclr")
    (found,) = compared(tmp_path / "e", tmp_path / "r")
    pair = found["pairs"]["0-1"]
    assert (pair["by"], set(pair["low"]), set(pair["high"])) == ("few", {None}, {None})
    assert "No intervals: too few subjects for an interval: 4." in (tmp_path / "r" / "report.html").read_text()


def test_the_drawing_agrees_with_persons_drawn_one_by_one():
    rng = np.random.default_rng(3)
    clips = rng.integers(1, 9, (12, 2)).astype(float)
    gained = np.round(rng.uniform(-1, 1, (12, 2)) * clips)
    low, high = differences._resampled(clips, gained)
    rows = rng.integers(0, 12, (20_000, 12))
    means = gained[rows].sum(axis=1) / clips[rows].sum(axis=1)
    ends = np.quantile(means, [0.025, 0.975], axis=0)
    np.testing.assert_allclose([low, high], ends, atol=0.02)


def test_without_groups_single_clips_are_drawn_and_other_clips_have_no_interval(tmp_path, clips):
    write_judged(tmp_path / "e", clips, [0], "skeletonclr", grouped=False)
    write_judged(tmp_path / "e", clips, [1], "crosnnclr", grouped=False)
    (found,) = compared(tmp_path / "e", tmp_path / "r")
    assert found["pairs"]["0-1"]["groups"] == "32 clips"
    write_evaluation(tmp_path / "f", "skeletonclr", protocols=per_class(0.5, 0.5))
    write_judged(tmp_path / "f", clips, [1], "crosnnclr")
    (found,) = compared(tmp_path / "f", tmp_path / "s")
    assert found["pairs"]["0-1"]["by"] == "none"
    assert found["pairs"]["0-1"]["low"] == [None] * 4
    assert "No intervals" in (tmp_path / "s" / "report.html").read_text()


def test_of_many_runs_those_that_stand_for_their_recipes_are_compared(tmp_path):
    for number in range(6):
        for stream in ("joint", "bone"):
            write_evaluation(tmp_path / "e", f"r{number}", stream, protocols=per_class(0.5, 0.5))
    (found,) = compared(tmp_path / "e", tmp_path / "r")
    assert [run["label"].endswith("joint") for run in found["runs"]] == [True] * 6
    assert found["left_out"] == 6


def test_a_table_for_latex_escapes_what_would_be_commands(tmp_path):
    assert tex(r"50 % & a_b \x {y}") == r"50 \% \& a\_b \textbackslash{}x \{y\}"
    for seed in range(2):
        write_evaluation(tmp_path / "e", "my_recipe", seed=seed, top1=0.5 + 0.02 * seed)
    write_evaluation(tmp_path / "e", "crosnnclr")
    write_report([tmp_path / "e"], tmp_path / "r", figures=[])
    (table,) = json.loads((tmp_path / "r" / "report.json").read_text())["tables"]
    text = (tmp_path / "r" / "table.tex").read_text()
    assert text == latex_table(table)
    assert r"my\_recipe, 800 epochs & joint & 51.0 $\pm$ 1.4 \\" in text
    assert r"CrosNNCLR, 800 epochs & joint & 50.0 [73.2] \\" in text
    assert text.count(r"\begin{tabular}{llr}") == text.count(r"\end{tabular}") == 1
