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
