"""What every kind of figure holds to, whoever adds it."""

import html
import json

import pytest
from click.testing import CliRunner
from made_up import write_evaluation, write_run

from skelpipe.cli import main
from skelpipe.errors import BadInput
from skelpipe.outputs import folders
from skelpipe.pipeline.spec import Pipeline
from skelpipe.plots.sweeps import sweep_figure
from skelpipe.report.figures import FIGURES
from skelpipe.report.write import write_report
from skelpipe.settings import check


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory):
    """There is something in them for each kind: three sizes of a queue, scores, features, few labels and a log."""
    root = tmp_path_factory.mktemp("figures")
    for size in (16, 32, 64):
        write_evaluation(root, folder=f"q{size}", features=True, run={"method": {"queue_size": size}})
    few = {f"fewshot{k}": {"top1": 0.1 * k, "shots": k, "labelled": 12 * k} for k in (1, 2, 5)}
    write_evaluation(root, "aimclr", folder="few", protocols=few)
    seen = {"top1": 0.6, "observed": [0.5, 1.0], "top1_observed": [0.4, 0.6], "mean_observed": 0.5}
    write_evaluation(root, folder="seen", protocols={"early": seen})
    write_run(root / "run")
    return root


@pytest.mark.parametrize("kind", FIGURES)
def test_each_kind_is_asked_for_by_name_drawn_and_shown_in_its_section(tmp_path, evaluations, kind):
    done = CliRunner().invoke(main, ["report", str(evaluations), "--out", str(tmp_path / "r"), "--figure", kind])
    assert done.exit_code == 0, done.output
    drawn = json.loads((tmp_path / "r" / "report.json").read_text())["figures"]
    assert drawn
    assert {figure["section"] for figure in drawn} == {kind}
    page = html.unescape((tmp_path / "r" / "report.html").read_text())
    start = page.index(f'<h2 id="{kind}">{FIGURES[kind].title}</h2>')
    assert f'<a href="#{kind}">{FIGURES[kind].link}</a>' in page[:start]
    for figure in drawn:
        assert (tmp_path / "r" / figure["file"]).read_bytes().startswith(b"\x89PNG\r\n")
        assert f'alt="{figure["caption"]}"' in page[start:]


@pytest.mark.parametrize("kind", FIGURES)
def test_each_kind_is_not_drawn_where_there_is_nothing(tmp_path, kind):
    folder = write_evaluation(tmp_path / "e")
    (folder / "scores.npz").unlink()
    folders.seal(folder, "evaluation")
    write_report([tmp_path / "e"], tmp_path / "r", figures=[kind])
    assert json.loads((tmp_path / "r" / "report.json").read_text())["figures"] == []


def test_command_and_pipeline_know_the_kinds_that_there_are(monkeypatch):
    monkeypatch.setitem(FIGURES, "pie", FIGURES["curves"])
    assert f"[{'|'.join(FIGURES)}]" in CliRunner().invoke(main, ["report", "--help"]).output
    stated = {"title": "x", "splits": ["xsub60"], "recipes": ["aimclr"]}
    assert check(Pipeline, {**stated, "figures": ["pie"]}, "x").figures == ("pie",)
    with pytest.raises(BadInput, match=r"figures: unknown name \(did you mean 'pie'\?\), known are"):
        check(Pipeline, {**stated, "figures": ["pies"]}, "x")


def test_points_of_few_labels_are_of_all_draws_and_seeds_and_the_newest_of_a_protocol(tmp_path, monkeypatch):
    drawn = []
    picture = "skelpipe.report.figures.labels.sweep_figure"
    monkeypatch.setattr(picture, lambda panels, *_, **how: (drawn.append(panels), sweep_figure(panels, *_, **how))[1])
    few = {"top1": 0.3, "draws": [0.2, 0.4], "labelled": 12, "knn": {"top1": 0.1}}
    whole = {"top1": 0.8, "labelled": 100, "knn": {"top1": 0.5}}
    semi = {"semi5": {"top1": 0.4, "labelled": 5}, "semi100": {"top1": 0.9, "labelled": 100}}
    write_evaluation(tmp_path / "e", folder="few", protocols={"fewshot1": few, "fewshot_all": whole})
    write_evaluation(tmp_path / "e", folder="semi", protocols=semi)
    write_evaluation(tmp_path / "e", folder="seed", seed=1, protocols={"fewshot1": {**few, "draws": [0.3, 0.5]}})
    write_evaluation(tmp_path / "e", folder="untrained", epochs=0, protocols={"fewshot1": few, "fewshot_all": whole})
    write_report([tmp_path / "e"], tmp_path / "r", figures=["labels"])
    ((linear, nearest, further),) = drawn
    assert [line["label"] for line in linear["lines"]] == [
        "CrosNNCLR, 800 epochs, joint", "CrosNNCLR, untrained encoder, joint",
    ]  # fmt: skip
    one, every = linear["lines"][0]["points"]
    assert (one["x"], one["mean"]) == (12, pytest.approx(0.35))
    # deviations -0.15, 0.05, -0.05, 0.15: squares sum to 0.05, over n - 1 = 3
    assert one["std"] == pytest.approx((0.05 / 3) ** 0.5)
    assert every == {"x": 100, "mean": 0.8, "std": None}
    assert [point["x"] for point in nearest["lines"][0]["points"]] == [12, 100]
    assert [len(further["lines"]), further["lines"][0]["points"][0]["mean"]] == [1, 0.4]


def test_points_of_observed_shares_are_means_over_seeds_and_the_newest_of_each(tmp_path, monkeypatch):
    drawn = []
    picture = "skelpipe.report.figures.early.sweep_figure"
    monkeypatch.setattr(picture, lambda panels, *_, **how: (drawn.append(panels), sweep_figure(panels, *_, **how))[1])
    for seed, (half, whole) in enumerate([(0.4, 0.6), (0.5, 0.8)]):
        seen = {"top1": whole, "observed": [0.5, 1.0], "top1_observed": [half, whole]}
        write_evaluation(tmp_path / "e", folder=f"seed{seed}", seed=seed, protocols={"early": seen})
    broken = {"early": {"top1": 0.1, "observed": [0.5], "top1_observed": [0.1, 0.2]}}
    write_evaluation(tmp_path / "e", "aimclr", folder="broken", protocols=broken)
    write_report([tmp_path / "e"], tmp_path / "r", figures=["early"])
    (((panel,),),) = (drawn,)
    (line,) = panel["lines"]
    assert [point["x"] for point in line["points"]] == [50, 100]
    assert [point["mean"] for point in line["points"]] == pytest.approx([0.45, 0.7])
    assert line["points"][0]["std"] == pytest.approx(0.005**0.5)
