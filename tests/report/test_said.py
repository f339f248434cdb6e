"""The three sentences of a report: that they hold whichever way the figures come out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import write_run

from skelpipe.cli import main
from skelpipe.evaluation.scores import write_scores
from skelpipe.outputs import files, folders
from skelpipe.pipeline.files import load_pipeline
from skelpipe.pipeline.plan import plan
from skelpipe.plots.style import class_names
from skelpipe.report.collect import collect
from skelpipe.report.said import difference, sentences
from skelpipe.report.write import write_report

CLASSES, SUBJECTS = 4, 5
NAMES = class_names({"dataset": "ntu60"}, CLASSES)


def write(root: Path, recipe: str, right, seed: int = 0, stream: str = "joint", **changes) -> Path:
    """An evaluation in which those of the clips are recognised that `right` says, of class i % 4 and person i % 5."""
    right = np.asarray(right, bool)
    labels = np.arange(len(right)) % CLASSES
    scores = np.eye(CLASSES)[np.where(right, labels, (labels + 1) % CLASSES)]
    metrics = {
        "recipe": recipe, "method": "skeletonclr", "stream": stream, "split": "xsub60", "dataset": "ntu60",
        "seed": seed, "epochs": 10, "classes": CLASSES, "grouped_by": "subject", "run": {"stream": stream},
        "protocols": {"linear": {"top1": float(right.mean()), "probe": "lbfgs"}}, **changes,
    }  # fmt: skip
    with folders.new_folder(root / f"{recipe}-{stream}-{seed}", "evaluation") as out:
        files.write_json(out / "metrics.json", metrics)
        group = np.array([f"P{i % SUBJECTS}" for i in range(len(right))])
        write_scores(out / "scores.npz", [f"c{i:04d}" for i in range(len(right))], labels, {"linear": scores}, group)
    return root


def told(root: Path) -> list[str]:
    return [text.replace("\N{NO-BREAK SPACE}", " ") for text in sentences(collect([root]).results)]


def pattern(n: int, wrong) -> np.ndarray:
    right = np.ones(n, bool)
    right[list(wrong)] = False
    return right


def test_a_clear_difference_is_told_with_its_classes_and_how_sure_it_is(tmp_path):
    write(tmp_path, "demo_skeletonclr", np.arange(40) % 4 != 1)  # all clips of the second class are missed
    write(tmp_path, "demo_crosnnclr", pattern(40, [0, 1]))
    first, second, third = told(tmp_path)
    assert first.startswith(
        "Of 40 test clips CrosNNCLR recognises 95.0 % and SkeletonCLR 75.0 % (stream joint, linear (lbfgs)), where "
        "guessing finds 25.0 %; the difference of +20.0 points is more than the choice of test clips explains "
        "(95 % interval "
    )
    assert first.endswith("over 5 subjects), in favour of CrosNNCLR.")
    assert second == (
        "Over both, “brushing teeth” (CrosNNCLR 100.0 %, SkeletonCLR 100.0 %) and “brushing hair” (CrosNNCLR 100.0 %, "
        "SkeletonCLR 100.0 %) are recognised best, and “eat meal/snack” (90.0 and 0.0 %) worst; CrosNNCLR gains most "
        "on “eat meal/snack” (90.0 instead of 0.0 %) and loses most on “drink water” (90.0 instead of 100.0 %)."
    )
    assert third == (
        "These are few clips, at least 10 of a class, of which one is worth 10.0 points, so that single classes may "
        "differ by chance, and each system was trained once, so that another seed may turn them round."
    )


@pytest.mark.parametrize(
    ("one", "other", "first", "second"),
    [
        ([], [], "they are equal here (95 % interval +0.0 to +0.0 over 5 subjects).",
         "All 4 classes are recognised equally well, and the two differ on no class."),
        ([0, 1], [2, 3], "they are equal here (", "gains most on “drink water”"),
        ([0], [5], "they are equal here (", "loses most on “eat meal/snack”"),
        ([0, 4, 8], [0, 5], "the difference of +2.5 points may well be chance (", "loses most on “eat meal/snack”"),
        ([], [0], "the difference of −2.5 points may well be chance (", "on no class and loses most on “drink"),
        ([0], [], "the difference of +2.5 points may well be chance (", "gains most on “drink water”"),
        ([], range(0, 40, 2), "in favour of SkeletonCLR.", "gains on no class"),
    ],
)  # fmt: skip
def test_whichever_way_it_comes_out(tmp_path, one, other, first, second):
    write(tmp_path, "skeletonclr", pattern(40, one))
    write(tmp_path, "crosnnclr", pattern(40, other))
    found = told(tmp_path)
    assert first in found[0]
    assert second in found[1]
    assert all(text.endswith(".") and text.count("..") == 0 for text in found)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hits=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=8, max_size=60))
def test_what_is_said_is_true(hits, tmp_path_factory):
    root = tmp_path_factory.mktemp("said")
    one, other = (np.array(each) for each in zip(*hits, strict=True))
    write(root, "skeletonclr", one)
    write(root, "crosnnclr", other)
    first, second, third = told(root)
    b, a = (float(x) for x in re.search(r"recognises (\S+) % and SkeletonCLR (\S+) %", first).groups())
    assert (a, b) == (round(100 * one.mean(), 1), round(100 * other.mean(), 1))
    low, high = (float(x.replace("−", "-")) for x in re.search(r"interval (\S+) to (\S+) over", first).groups())
    assert ("in favour of CrosNNCLR" in first) == (low > 0)
    assert ("in favour of SkeletonCLR" in first) == (high < 0)
    labels = np.arange(len(one)) % CLASSES
    figures = (
        rf"“({'|'.join(NAMES)})”[a-z ]* \((?:CrosNNCLR )?(\S+?)(?: %,| and| instead of)(?: SkeletonCLR)? (\S+) %\)"
    )
    named = re.findall(figures, second)
    assert len(named) == second.count("“")
    for name, mine, theirs in named:
        of = labels == NAMES.index(name)
        assert (float(mine), float(theirs)) == (round(100 * other[of].mean(), 1), round(100 * one[of].mean(), 1))
    gains = [other[labels == c].mean() - one[labels == c].mean() for c in range(CLASSES)]
    assert ("gains most" in second) == (max(gains) > 0)
    assert ("loses most" in second) == (min(gains) < 0)
    assert "few clips" in third


def test_many_clips_and_seeds_are_said_so(tmp_path):
    for seed in range(3):
        write(tmp_path, "skeletonclr", np.arange(1200) % (3 + seed) != 1, seed)
        write(tmp_path, "crosnnclr", np.arange(1200) % (3 + seed) != 2, seed)
    found = told(tmp_path)
    assert found[2] == (
        "There are 1,200 clips, at least 300 of a class, of which one is worth 0.3 points, and each figure is the mean "
        "of 3 trainings."
    )


def test_synthetic_recordings_are_called_so(tmp_path):
    for recipe in ("skeletonclr", "crosnnclr"):
        write(tmp_path, recipe, pattern(40, [3]))
        path = tmp_path / f"{recipe}-joint-0/provenance.json"
        made = json.loads(path.read_text())
        path.write_text(json.dumps({**made, "history": {"1": {"kind": "raw"}}}))
    assert told(tmp_path)[2].endswith("; the recordings are synthetic, and tell nothing of the paper's figures.")


@pytest.mark.parametrize("collapsed", [False, True])
def test_a_collapsed_run_is_called_so_and_how_alike_its_clips_are(tmp_path, collapsed):
    for recipe, alike in (("skeletonclr", 0.25), ("crosnnclr", 0.99)):
        write(tmp_path / "e", recipe, pattern(40, [3]))
        end = {"epoch": 10, "negative": alike, **({"collapsed": True} if collapsed and alike > 0.9 else {})}
        write_run(tmp_path / recipe, recipe=recipe, epochs=10, log=[end])
    found = collect([tmp_path])
    third = sentences(found.results, found.runs)[2]
    assert ("of CrosNNCLR, its embeddings have collapsed" in third) is collapsed
    assert "had a similarity of 0.99 for CrosNNCLR and 0.25 for SkeletonCLR, where 1 is collapse" in third


def test_those_of_the_paper_are_compared_by_the_fused_stream_and_else_the_first_two(tmp_path):
    for recipe in ("small_aimclr", "small_isc", "coordinates"):
        write(tmp_path, recipe, pattern(40, [0]))
    assert "AimCLR recognises" in told(tmp_path)[0]
    assert "and ISC " in told(tmp_path)[0]
    for recipe in ("small_crosnnclr", "small_skeletonclr"):
        for stream in ("joint", "3s"):
            write(tmp_path, recipe, pattern(40, [0]), stream=stream)
    assert "CrosNNCLR recognises 97.5 % and SkeletonCLR 97.5 % (stream" in told(tmp_path)[0]


def test_nothing_is_said_where_there_are_no_two(tmp_path):
    assert told(write(tmp_path, "skeletonclr", pattern(40, [0]))) == []
    write(tmp_path, "crosnnclr", pattern(40, [0]), epochs=0)  # untrained
    assert told(tmp_path) == []
    write(tmp_path / "b", "aimclr", pattern(40, [0]))
    (tmp_path / "b/aimclr-joint-0/scores.npz").unlink()
    assert sentences(collect([tmp_path / "skeletonclr-joint-0"]).results) == []


def test_the_interval_is_by_persons():
    from skelpipe.report.said import Hits

    of = SimpleNamespace(metrics={"grouped_by": "subject"})

    def hits(right, group):
        names = np.arange(len(right)).astype(str)
        return Hits("x", of, names, np.asarray(right, float), np.zeros(len(right), int), group, 0.5, 1)

    group = np.repeat(["a", "b"], 4)
    one, other = hits([0] * 8, group), hits([1] * 4 + [0] * 4, group)
    assert difference(one, other) == (None, None, 2, "subject")  # too few to tell
    group = np.repeat([*"abcdef"], 4)
    one, other = hits([0] * 24, group), hits([1] * 4 + [0] * 20, group)
    low, high, groups, by = difference(one, other)
    assert (low, groups, by) == (0.0, 6, "subject")
    assert high in (0.5, pytest.approx(2 / 3 - 1 / 6))
    low, high, groups, by = difference(hits([0] * 8, None), hits([1] * 4 + [0] * 4, None))
    assert (groups, by) == (8, "clip")
    assert 0 < low < 0.5 < high < 1


def test_a_report_says_them_unless_it_is_asked_not_to(tmp_path):
    write(tmp_path / "e", "skeletonclr", pattern(40, [0]))
    write(tmp_path / "e", "crosnnclr", pattern(40, [1]))
    done = CliRunner().invoke(main, ["report", str(tmp_path / "e"), "--out", str(tmp_path / "r")])
    assert done.exit_code == 0, done.output
    page = json.loads((tmp_path / "r/report.json").read_text())
    assert len(page["said"]) == 3
    assert "Of 40 test clips CrosNNCLR recognises" in (tmp_path / "r/report.md").read_text("utf-8")
    write_report([tmp_path / "e"], tmp_path / "plain", figures=[], sentences=False)
    assert json.loads((tmp_path / "plain/report.json").read_text())["said"] == []
    for name, asked in (("demo", True), ("nw_ucla", True), ("nw_ucla", False)):
        pipeline, path = load_pipeline(name)
        assert pipeline.sentences
        pipeline = pipeline.model_copy(update={"sentences": asked})
        (report,) = plan(pipeline, path, tmp_path, lacking=[])["reports"].values()
        assert ("--no-sentences" in report["flags"]) is not asked
