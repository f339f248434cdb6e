"""The report: its numbers against hand-worked ones, and that it stands up to whatever lies in the folders."""

import csv
import html
import json
import re
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from made_up import CLASSES, write_evaluation, write_run

from skelpipe.cli import main
from skelpipe.errors import BadInput
from skelpipe.evaluation.fuse import fuse
from skelpipe.evaluation.scores import write_scores
from skelpipe.outputs import digests, files, folders
from skelpipe.paper import sources, systems
from skelpipe.plots.curves import curves_figure
from skelpipe.plots.style import GREEN, png_bytes
from skelpipe.report import paper_figures
from skelpipe.report.experiments import set_apart
from skelpipe.report.figures import curves
from skelpipe.report.labels import setting_label
from skelpipe.report.paper_shape import Measured, mark, shape
from skelpipe.report.write import cell_text, md, percent, points, published, write_report


def report(root, out, **options):
    """Write a report and return report.json."""
    write_report([root], out, **options)
    return json.loads((out / "report.json").read_text())


def cell(page, stream, split="xsub60", column="linear", group=0, table=0):
    rows = page["tables"][table]["groups"][group]["streams"]
    return next(r for r in rows if r["stream"] == stream)["cells"][split].get(column)


def test_mean_and_deviation_over_seeds(tmp_path):
    for seed, top1 in enumerate((0.70, 0.72, 0.77)):
        write_evaluation(tmp_path / "e", seed=seed, top1=top1)
    page = report(tmp_path / "e", tmp_path / "r")
    found = cell(page, "joint")
    assert found["n"] == 3
    assert found["seeds"] == [0, 1, 2]
    assert found["mean"] == pytest.approx(0.73)
    # deviations -0.03, -0.01, 0.04: squares sum to 0.0026, over n - 1 = 2
    assert found["std"] == pytest.approx(0.0013**0.5)
    figure = page["tables"][0]["groups"][0]["streams"][0]["published"]["xsub60"]["linear"]
    assert figure["value"] == 73.2
    assert figure["difference"] == pytest.approx(-0.2)
    text = (tmp_path / "r" / "report.md").read_text()
    assert "| 73.0 ± 3.6 (n = 3) | 73.2 \\[1\\] | −0.2 |" in text
    assert "73.0 ± 3.6" in (tmp_path / "r" / "report.html").read_text()


def test_one_seed_has_no_deviation(tmp_path):
    write_evaluation(tmp_path / "e")
    assert cell(report(tmp_path / "e", tmp_path / "r"), "joint")["std"] is None


def test_what_is_missing_and_what_has_no_figure(tmp_path):
    write_evaluation(tmp_path / "e", stream="bone")
    write_evaluation(tmp_path / "e", "mine")
    write_evaluation(tmp_path / "e", stream="joint", split="xview60", train_clips=37646, test_clips=18932)
    page = report(tmp_path / "e", tmp_path / "r")
    (table,) = page["tables"]
    assert [s["split"] for s in table["splits"]] == ["xsub60", "xview60"]
    rows = {r["stream"]: r for r in table["groups"][0]["streams"]}
    assert rows["bone"]["published"]["xsub60"]["linear"]["value"] == 64.3
    assert rows["joint"]["published"]["xsub60"]["linear"]["value"] == 73.2
    assert rows["joint"]["published"]["xsub60"]["linear"]["difference"] is None
    assert rows["joint"]["published"]["xview60"]["linear"]["difference"] == pytest.approx(50 - 81.0)
    assert table["missing"]["results"] == [
        "CrosNNCLR: no joint (published 73.2), motion (published 56.7), 3s (published 76.0) on NTU-60 xsub",
        "CrosNNCLR: no motion (published 62.0), bone (published 72.9), 3s (published 83.4) on NTU-60 xview",
        "mine: no motion, bone, 3s on NTU-60 xsub",
        "mine: nothing on NTU-60 xview",
    ]
    assert table["missing"]["figures"] == ["mine: in no published table"]
    assert page["missing"] == [
        "CrosNNCLR: nothing on NTU-120 xsub (published: joint 62.5, motion 41.4, bone 60.4, 3s 67.4)",
        "CrosNNCLR: nothing on NTU-120 xset (published: joint 64.3, motion 36.4, bone 64.3, 3s 68.3)",
        "CrosNNCLR: nothing on PKU-MMD I xsub (published: joint 81.3, motion 67.4, bone 77.0, 3s 86.2)",
    ]
    for file in ("report.html", "report.md"):
        text = html.unescape((tmp_path / "r" / file).read_text())
        assert "not known" not in text
        for line in [*table["missing"]["results"], *table["missing"]["figures"], *page["missing"]]:
            assert line in text


def test_other_clips_are_not_compared(tmp_path):
    write_evaluation(tmp_path / "e", test_clips=24)
    page = report(tmp_path / "e", tmp_path / "r")
    figure = page["tables"][0]["groups"][0]["streams"][0]["published"]["xsub60"]["linear"]
    assert figure["value"] == 73.2
    assert figure["difference"] is None
    assert "not the benchmark's 40,091 and 16,487" in (tmp_path / "r" / "report.md").read_text()


def test_several_data_sets_make_several_tables(tmp_path):
    write_evaluation(tmp_path / "e")
    write_evaluation(tmp_path / "e", split="xset120", dataset="ntu120")
    write_evaluation(tmp_path / "e", split="pku2-xsub", dataset="pku2")
    page = report(tmp_path / "e", tmp_path / "r")
    assert [t["title"] for t in page["tables"]] == ["NTU-60", "NTU-120", "PKU-MMD II"]
    assert [line["split"] for line in page["summary"]] == ["xsub60", "xset120", "pku2-xsub"]


def test_untrained_encoders_are_labelled_and_chance_is_given(tmp_path):
    write_evaluation(tmp_path / "e", epochs=0, top1=0.2)
    write_evaluation(tmp_path / "e", top1=0.6)
    page = report(tmp_path / "e", tmp_path / "r")
    trained, untrained = page["tables"][0]["groups"]
    assert not trained["untrained"]
    assert untrained["label"] == "CrosNNCLR, untrained encoder"
    assert untrained["streams"][0]["published"]["xsub60"] == {}
    (line,) = page["summary"]
    assert line["best"]["mean"] == 0.6
    assert line["untrained"]["mean"] == 0.2
    assert line["chance"] == pytest.approx(1 / 11)  # one of the 12 classes has no test clips


def test_settings_of_a_sweep_are_never_averaged(tmp_path):
    write_evaluation(tmp_path / "e", seed=0, top1=0.5, run={"method": {"queue_size": 16}}, folder="a")
    write_evaluation(tmp_path / "e", seed=1, top1=0.7, run={"method": {"queue_size": 32}}, folder="b")
    page = report(tmp_path / "e", tmp_path / "r")
    labels = [g["variant"] for g in page["tables"][0]["groups"]]
    assert labels == ["method.queue_size=16", "method.queue_size=32"]
    assert [cell(page, "joint", group=i)["n"] for i in range(2)] == [1, 1]
    assert (page["summary"][0]["best"]["mean"], page["summary"][0]["best"]["n"]) == (0.7, 1)


def test_recipes_of_the_runs_tell_variants_apart(tmp_path):
    for seed, form in ((0, "equation"), (1, "released")):
        settings = {"recipe_settings": {"name": "crosnnclr", "positives": {"name": "cross_view", "form": form}}}
        run = write_run(tmp_path / form, seed=seed)
        write_evaluation(tmp_path / "e", seed=seed, inputs={"run": run}, run=settings)
    page = report(tmp_path / "e", tmp_path / "r")
    variants = [g["variant"] for g in page["tables"][0]["groups"]]
    assert variants == ["positives.form=equation", "positives.form=released"]
    assert len(page["runs"]) == 2  # found through the evaluations


def test_seed_device_and_digests_do_not_make_variants(tmp_path):
    for seed in range(2):
        run = {"seed": seed, "device": f"cuda:{seed}", "clips_digest": str(seed), "stream": "joint", "clips": seed}
        write_evaluation(tmp_path / "e", seed=seed, run=run)
    assert cell(report(tmp_path / "e", tmp_path / "r"), "joint")["n"] == 2


def test_the_newest_evaluation_of_a_seed_counts(tmp_path):
    for name, when, top1 in (("b", "2024-01-01", 0.3), ("a", "2025-01-01", 0.6)):
        folder = write_evaluation(tmp_path / "e", top1=top1, folder=name)
        made = json.loads((folder / "provenance.json").read_text())
        files.write_json(folder / "provenance.json", {**made, "finished": when})
    page = report(tmp_path / "e", tmp_path / "r")
    assert cell(page, "joint")["values"] == [0.6]
    assert any("only the newest counts" in w["text"] for w in page["warnings"])


def test_protocols_and_probes_have_their_own_columns(tmp_path):
    protocols = {
        "knn": {"top1": 0.4, "k": 1, "warnings": []},
        "linear": {"top1": 0.5, "probe": "lbfgs", "warnings": ["odd"]},
        "retrieval": {"map": 0.25},
    }
    write_evaluation(tmp_path / "e", protocols=protocols)
    write_evaluation(tmp_path / "e", seed=1, protocols={"linear": {"top1": 0.6, "probe": "reference"}})
    page = report(tmp_path / "e", tmp_path / "r")
    titles = [c["title"] for c in page["tables"][0]["splits"][0]["columns"]]
    assert titles == ["linear", "linear (lbfgs)", "1-NN", "retrieval mAP"]
    assert cell(page, "joint", column="retrieval mAP")["mean"] == 0.25
    assert page["warnings"] == [
        {"protocol": "linear (lbfgs)", "text": "odd", "paths": ["crosnnclr-joint-xsub60-0-800"]}
    ]


def test_best_on_test_only_where_asked_for_and_labelled(tmp_path):
    write_evaluation(tmp_path / "e")
    write_report([tmp_path / "e"], tmp_path / "r")
    assert "selected on the test set" not in (tmp_path / "r" / "report.html").read_text()
    best = {"linear": {"top1": 0.5, "top5": 0.9, "best_on_test": {"epoch": 95, "top1": 0.5432}}}
    write_evaluation(tmp_path / "e", protocols=best)
    write_report([tmp_path / "e"], tmp_path / "r", force=True)
    for file in ("report.html", "report.md"):
        text = (tmp_path / "r" / file).read_text()
        assert "best on test (selected on the test set)" in text
        assert "54.3" in text


def test_fusions_are_rows_of_their_own(tmp_path):
    parts = [write_evaluation(tmp_path / "e", stream=s) for s in ("joint", "motion", "bone")]
    fuse(parts, tmp_path / "e" / "fused")
    fuse(parts, tmp_path / "e" / "even", weights=[1, 1, 1])
    page = report(tmp_path / "e", tmp_path / "r")
    streams = [r["stream"] for r in page["tables"][0]["groups"][0]["streams"]]
    assert streams == ["joint", "motion", "bone", "3s", "3s (weights joint 1, motion 1, bone 1)"]


def test_names_are_escaped_everywhere(tmp_path):
    evil = "<script>alert('x')</script>|`*"
    protocols = {"linear": {"top1": 0.5, "warnings": [evil], "per_class": [0.1, 0.9]}}
    write_evaluation(tmp_path / "e", recipe=evil, folder="evil", protocols=protocols, run={"note": evil})
    write_evaluation(tmp_path / "e", recipe="plain", split=evil, folder="split")
    write_run(tmp_path / "e" / "run", recipe=evil)
    write_report([tmp_path / "e"], tmp_path / "r")
    page = (tmp_path / "r" / "report.html").read_text()
    assert "<script>alert(" not in page
    own = re.findall(
        r'<script>(?=\n"use strict"|document\.)|<script type="application/json" (?:class|id)="[a-z-]+">', page
    )
    assert page.count("<script") == page.count("</script>") == len(own)
    assert html.escape("<script>alert(") in page
    text = (tmp_path / "r" / "report.md").read_text()
    assert "<script" not in text
    rows = [line for line in text.splitlines() if line.startswith("| ") and "script" in line]
    columns = len(re.findall(r"(?<!\\)\|", "| recipe | stream | a |"))
    assert rows
    assert all(len(re.findall(r"(?<!\\)\|", row)) >= columns for row in rows)


def test_the_page_is_self_contained(tmp_path):
    write_evaluation(tmp_path / "e", features=True)
    write_run(tmp_path / "e" / "run")
    page = report(tmp_path / "e", tmp_path / "r")
    text = (tmp_path / "r" / "report.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#)', text)
    assert "url(" not in text
    sections = [f["section"] for f in page["figures"]]
    assert sections == ["curves", "confusion", "tsne"]
    assert text.count("data:image/png;base64,") == 3
    for figure in page["figures"]:
        assert (tmp_path / "r" / figure["file"]).read_bytes().startswith(b"\x89PNG")
    tsne = page["figures"][2]["caption"]
    assert "12-d encoder features of test clips" in tsne
    assert "CrosNNCLR, 800 epochs, joint, NTU-60 xsub, seed 0" in tsne
    assert digests.require(tmp_path / "r", "report", "") == tmp_path / "r"


def test_long_paths_break_and_pictures_are_enlarged_by_a_tap(tmp_path):
    write_evaluation(tmp_path / "e", features=True)
    write_report([tmp_path / "e"], tmp_path / "r", figures=["tsne"], paper="fig5")
    text = (tmp_path / "r" / "report.html").read_text()
    breaking = re.search(r"\n([^{}\n]*) \{ overflow-wrap: anywhere; \}", text)[1].split(", ")
    assert {"p", "li", "summary", "figcaption"} <= set(breaking)
    pictures = re.findall(r'<label class="zoom"><input type="checkbox"[^>]*>\s*<img src="data:image/png', text)
    assert len(pictures) == text.count("<img ") == 2


def test_classes_to_draw(tmp_path):
    write_evaluation(tmp_path / "e")
    page = report(tmp_path / "e", tmp_path / "r", classes=["drink water", "3", 1])
    assert "the classes asked for" in page["figures"][0]["caption"]
    with pytest.raises(BadInput, match="did you mean 'drink water'"):
        write_report([tmp_path / "e"], tmp_path / "r", classes=["drink watr"], force=True)
    with pytest.raises(BadInput, match="from 0 to 11"):
        write_report([tmp_path / "e"], tmp_path / "r", classes=[12], force=True)


def test_best_and_worst_classes(tmp_path):
    per_class = [i / 12 for i in range(11)] + [None]
    write_evaluation(tmp_path / "e", protocols={"linear": {"top1": 0.5, "per_class": per_class}})
    (entry,) = report(tmp_path / "e", tmp_path / "r")["per_class"]
    assert [b["accuracy"] for b in entry["best"]] == [i / 12 for i in (10, 9, 8, 7, 6)]
    assert [w["accuracy"] for w in entry["worst"]] == [i / 12 for i in range(5)]
    assert entry["worst"][0]["class"] == "drink water"


def test_what_cannot_be_read_is_named(tmp_path):
    write_evaluation(tmp_path / "e", folder="good")
    torn = write_evaluation(tmp_path / "e", folder="torn")
    (torn / "metrics.json").write_text("{")
    (write_evaluation(tmp_path / "e", folder="half") / "done.json").unlink()
    scoreless = write_evaluation(tmp_path / "e", recipe="aimclr", folder="scoreless")
    (scoreless / "scores.npz").unlink()
    wrong = write_evaluation(tmp_path / "e", folder="wrong")
    files.write_json(wrong / "metrics.json", {**json.loads((wrong / "metrics.json").read_text()), "seed": "zero"})
    for folder in (torn, scoreless, wrong):
        folders.seal(folder, "evaluation")
    write_run(tmp_path / "e" / "going", done=False)
    page = report(tmp_path / "e", tmp_path / "r")
    reasons = {s["path"]: s["reason"] for s in page["skipped"]}
    assert set(reasons) == {"torn", "half", "wrong", "going", "scoreless/scores.npz"}
    assert "done.json" in reasons["half"]
    assert "not finished" in reasons["going"]
    assert page["runs"] == [{"path": "going", "epochs_logged": 3, "settings": page["runs"][0]["settings"]}]


def test_evaluations_inside_a_run_are_found_and_other_outputs_are_not_searched(tmp_path):
    run = write_run(tmp_path / "e" / "run")
    write_evaluation(run, folder="evaluation")
    with folders.new_folder(tmp_path / "e" / "old report", "report") as folder:
        (folder / "x").mkdir()
    write_evaluation(tmp_path / "e" / "old report", folder="inside")
    page = report(tmp_path / "e", tmp_path / "r")
    assert [e["path"] for e in page["evaluations"]] == ["run/evaluation"]


def test_the_same_folder_given_twice_counts_once(tmp_path):
    folder = write_evaluation(tmp_path / "e")
    write_report([tmp_path / "e", folder, tmp_path / "e"], tmp_path / "r")
    assert len(json.loads((tmp_path / "r" / "report.json").read_text())["evaluations"]) == 1


def test_folders_given_one_by_one_are_told_apart(tmp_path):
    given = [write_evaluation(tmp_path / "e" / f"s{seed}", seed=seed, folder="plain") for seed in range(2)]
    write_report(given, tmp_path / "r", figures=[])
    page = json.loads((tmp_path / "r" / "report.json").read_text())
    assert [e["path"] for e in page["evaluations"]] == ["s0/plain", "s1/plain"]
    assert set(json.loads((tmp_path / "r" / "provenance.json").read_text())["inputs"]) == {"s0/plain", "s1/plain"}
    write_report(given[:1], tmp_path / "one", figures=[])
    assert json.loads((tmp_path / "one" / "report.json").read_text())["evaluations"][0]["path"] == "plain"
    (tmp_path / "link").symlink_to(tmp_path / "e")
    write_report([tmp_path / "link"], tmp_path / "linked", figures=[])
    assert json.loads((tmp_path / "linked" / "report.json").read_text())["evaluations"][0]["path"] == "s0/plain"


def test_nothing_to_report(tmp_path):
    with pytest.raises(BadInput, match="is not a folder"):
        write_report([tmp_path / "none"], tmp_path / "r")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="no evaluation and no fusion"):
        write_report([tmp_path / "empty"], tmp_path / "r")
    with pytest.raises(BadInput, match="no evaluation and no fusion"):
        write_report([], tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_an_older_report_needs_force(tmp_path):
    write_evaluation(tmp_path / "e")
    write_report([tmp_path / "e"], tmp_path / "r")
    with pytest.raises(BadInput, match="already exists"):
        write_report([tmp_path / "e"], tmp_path / "r")


def test_texts():
    assert percent(None) == "—"
    assert percent(0.12345) == "12.3"
    assert cell_text(None) == "—"
    assert cell_text({"mean": 0.5, "std": 0.012, "n": 2}) == "50.0 ± 1.2 (n = 2)"
    assert points(-1.25) == "−1.2"
    assert points(0.4) == "+0.4"
    assert points(-0.04) == "+0.0"
    assert published(81.0) == "81.0"
    assert published(74.59) == "74.59"
    assert md("a|b<c>_d_") == "a\\|b&lt;c&gt;\\_d\\_"
    assert md("50.6\N{NO-BREAK SPACE}%\nof \x1b") == "50.6 % of \\\\x1b"


# ---------------------------------------------------------------------------------------------------------------------
# Transfer, few labels, other protocols

PKU2 = {"split": "pku2-xsub", "dataset": "pku2", "train_clips": 5332, "test_clips": 1613}
FROM_NTU = {"pretrained_on": {"dataset": "ntu60", "split": "xsub60"}}


def linear(top1, **more):
    return {"linear": {"top1": top1, "probe": "reference", **more}}


def test_an_encoder_from_another_benchmark_has_rows_of_its_own(tmp_path):
    write_evaluation(tmp_path / "e", "aimclr", seed=0, folder="own", protocols=linear(0.3), **PKU2)
    write_evaluation(tmp_path / "e", "aimclr", seed=1, folder="other", protocols=linear(0.5), **PKU2, **FROM_NTU)
    page = report(tmp_path / "e", tmp_path / "r")
    own, other = page["tables"][0]["groups"]
    assert (own["label"], own["origin"]) == ("AimCLR, 800 epochs", "")
    assert (other["label"], other["origin"]) == ("AimCLR, 800 epochs, pretrained on NTU-60 xsub", "xsub60")
    assert [cell(page, "joint", "pku2-xsub", group=i)["values"] for i in range(2)] == [[0.3], [0.5]]
    assert own["streams"][0]["published"]["pku2-xsub"] == {}
    assert other["streams"][0]["published"]["pku2-xsub"] == {}
    assert (
        "AimCLR: joint on PKU-MMD II xsub (800 epochs; 800 epochs, pretrained on NTU-60 xsub)"
        in (page["tables"][0]["missing"]["figures"])
    )
    assert "pretrained on NTU-60 xsub" in (tmp_path / "r" / "report.html").read_text()
    assert "pretrained on NTU-60 xsub, joint" in page["figures"][1]["caption"]


def test_a_published_transfer_stands_beside_the_same_transfer_only(tmp_path, monkeypatch):
    source = {"paper": "a paper", "table": "a table", "known": "made up for this test"}
    row = {"method": "AimCLR", "recipe": "aimclr", "stream": "joint"}
    rows = [row | {"pretrained_on": o, "values": {"pku2-xsub": v}} for o, v in (("xsub60", 50.0), ("xsub120", 60.0))]
    table = {"id": "x", "title": "x", "protocol": "transfer", "source": source, "rows": rows}
    data = {**sources.read_data(), "elsewhere": [*sources.read_data()["elsewhere"], table]}
    monkeypatch.setattr(sources, "read_data", lambda: data)
    protocols = {**linear(0.5), "transfer": {"top1": 0.52, "top5": 0.8}}
    write_evaluation(tmp_path / "e", "aimclr", folder="a", protocols=protocols, **PKU2, **FROM_NTU)
    write_evaluation(tmp_path / "e", "aimclr", folder="b", protocols=linear(0.3), **PKU2)
    page = report(tmp_path / "e", tmp_path / "r", figures=[])
    own, other = (g["streams"][0]["published"]["pku2-xsub"] for g in page["tables"][0]["groups"])
    assert set(own) == set()
    assert set(other) == {"transfer"}
    assert other["transfer"]["value"] == 50.0
    assert other["transfer"]["difference"] == pytest.approx(2.0)
    layout = [(c["kind"], c["key"]) for c in page["tables"][0]["splits"][0]["layout"]]
    assert layout == [("cell", "linear"), ("published", "linear"), ("cell", "transfer"), ("published", "transfer")]


def test_a_fusion_and_an_untrained_encoder_know_where_they_come_from(tmp_path):
    run = {"split": "xsub60", "dataset": "ntu60"}
    parts = [write_evaluation(tmp_path / "e", stream=s, run=run, **PKU2, **FROM_NTU) for s in ("joint", "bone")]
    fuse(parts, tmp_path / "e" / "fused")
    write_evaluation(tmp_path / "e", epochs=0, run=run, **PKU2, **FROM_NTU)
    trained, untrained = report(tmp_path / "e", tmp_path / "r", figures=[])["tables"][0]["groups"]
    assert trained["origin"] == "xsub60"
    assert [e["stream"] for e in trained["streams"]] == ["joint", "bone", "joint+bone"]
    assert untrained["label"] == "CrosNNCLR, untrained encoder"


def test_columns_stand_in_order_and_say_what_they_are(tmp_path):
    ways = ("supervised", "transfer", "finetune", "semi10", "semi1", "semi2.5", "later", "knn")
    protocols = {name: {"top1": 0.4} for name in ways}
    protocols |= {"retrieval": {"top1": 0.9, "map": 0.2}, "linear": {"top1": 0.5, "probe": "grid"}}
    write_evaluation(tmp_path / "e", protocols=protocols)
    write_evaluation(tmp_path / "e", seed=1, protocols={"knn": {"top1": 0.4, "k": 5}, **linear(0.4)})
    (split,) = report(tmp_path / "e", tmp_path / "r", figures=[])["tables"][0]["splits"]
    assert [c["title"] for c in split["columns"]] == [
        "linear", "linear (grid)", "1-NN", "kNN, k = 5", "retrieval mAP", "supervised", "finetune",
        "semi 1 %", "semi 2.5 %", "semi 10 %", "transfer", "later",
    ]  # fmt: skip
    assert [c["title"] for c in split["layout"]][:4] == ["linear", "linear (grid)", "published", "1-NN"]


def test_few_labels_pool_the_draws_of_all_seeds(tmp_path):
    for seed, draws in ((0, [0.2, 0.4]), (1, [0.3, 0.7])):
        semi = {"top1": sum(draws) / 2, "draws": draws, "std": 0.1, "fraction": 0.01, "labelled": 1200}
        write_evaluation(tmp_path / "e", seed=seed, protocols={"semi1": semi})
    page = report(tmp_path / "e", tmp_path / "r", figures=[])
    found = cell(page, "joint", column="semi 1 %")
    assert (found["n"], found["seeds"]) == (4, [0, 1])
    assert found["mean"] == pytest.approx(0.4)
    # deviations -0.2, 0, -0.1, 0.3: squares sum to 0.14, over n - 1 = 3
    assert found["std"] == pytest.approx((0.14 / 3) ** 0.5)
    text = (tmp_path / "r" / "report.md").read_text()
    assert "40.0 ± 21.6 (n = 4)" in text
    for file in ("report.md", "report.html"):
        assert "2 draws ± 10.0: 20.0, 40.0; 1,200 labelled clips" in (tmp_path / "r" / file).read_text()


def beside(low=0.61, balanced=0.6, macro_f1=0.55, **more):
    interval = {"level": 0.95, "by": "subject", "groups": 12, "low": low, "high": 0.845}
    return {"balanced": balanced, "macro_f1": macro_f1, "interval": interval, **more}


def test_one_seed_has_its_interval_and_all_have_balanced_accuracy_and_macro_f1(tmp_path):
    write_evaluation(tmp_path / "e", protocols=linear(0.7, **beside()))
    page = report(tmp_path / "e", tmp_path / "one", figures=[])
    assert cell(page, "joint")["interval"]["groups"] == 12
    text = (tmp_path / "one" / "report.md").read_text()
    assert "| 70.0 (61.0–84.5; bal. 60.0; F1 55.0) |" in text
    assert "95 % interval 61.0–84.5 over 12 subjects; balanced 60.0; macro F1 55.0" in text
    assert "of a single evaluation the 95 % interval by bootstrap" in text
    assert "<span>61.0–84.5</span> <span>bal. 60.0</span>" in (tmp_path / "one" / "report.html").read_text()
    write_evaluation(tmp_path / "e", seed=1, protocols=linear(0.8, **beside(balanced=0.8, macro_f1=0.65)))
    page = report(tmp_path / "e", tmp_path / "two", figures=[])
    assert "interval" not in cell(page, "joint")
    text = (tmp_path / "two" / "report.md").read_text()
    assert "| 75.0 ± 7.1 (n = 2) (bal. 70.0 ± 14.1; F1 60.0 ± 7.1) |" in text


def test_draws_have_their_own_and_what_does_not_say_them_has_none(tmp_path):
    drawn = {"balanced": [0.3, 0.5], "macro_f1": [0.2, 0.2]}
    semi = {"top1": 0.5, "draws": [0.4, 0.6], "std": 0.1, "draws_of": drawn, **beside(balanced=0.4, macro_f1=0.2)}
    protocols = {"semi1": semi, "retrieval": {"top1": 0.5, "top5": 0.6, "map": 0.25, **beside()}}
    write_evaluation(tmp_path / "e", protocols=protocols)
    page = report(tmp_path / "e", tmp_path / "r", figures=[])
    found = cell(page, "joint", column="semi 1 %")
    assert found["balanced"] == {"mean": 0.4, "std": pytest.approx(0.02**0.5)}
    assert found["interval"]["low"] == 0.61
    assert "balanced" not in cell(page, "joint", column="retrieval mAP")
    write_evaluation(tmp_path / "e", seed=1, protocols={"semi1": {"top1": 0.5, "draws": [0.5]}})  # of an older version
    found = cell(report(tmp_path / "e", tmp_path / "older", figures=[]), "joint", column="semi 1 %")
    assert not {"balanced", "macro_f1", "interval"} & set(found)


def test_balanced_training_has_a_column_of_its_own(tmp_path):
    """What was trained without says nothing of it, as what was measured before there was a choice."""
    for name, told in (("plain", {}), ("even", {"settings": {"balance": "weights"}})):
        protocols = linear(0.5, **told) | {
            "finetune": {"top1": 0.6, "settings": {"lr": 0.1, **told.get("settings", {})}}
        }
        write_evaluation(tmp_path / "e", folder=name, protocols=protocols)
    page = report(tmp_path / "e", tmp_path / "r", figures=[])
    assert [c["title"] for c in page["tables"][0]["splits"][0]["columns"]] == [
        "linear (balance none)", "linear (balance weights)",
        "finetune (balance none)", "finetune (balance weights)",
    ]  # fmt: skip
    assert page["warnings"] == []


def test_every_accuracy_is_a_row_of_the_csv(tmp_path):
    write_evaluation(tmp_path / "e", folder="=1+1", protocols=linear(0.7, **beside()))
    write_evaluation(tmp_path / "e", seed=1, folder="old")
    report(tmp_path / "e", tmp_path / "r", figures=[])
    one, old = csv.DictReader((tmp_path / "r" / "report.csv").open(newline=""))
    assert (one["path"], old["path"]) == ("'=1+1", "old")
    assert (one["top1"], one["balanced"], one["interval_by"], one["interval_high"]) == (
        "0.7",
        "0.6",
        "subject",
        "0.845",
    )
    assert (old["top1"], old["balanced"], old["interval_by"]) == ("0.5", "", "")
    assert (old["recipe"], old["split"], old["seed"], old["protocol"]) == ("crosnnclr", "xsub60", "1", "linear")


def test_retrieval_shows_precision_in_the_table_and_recall_in_the_details(tmp_path):
    recall = {"1": 0.5, "5": 0.75, "10": 0.875}
    found = {"top1": 0.5, "top5": 0.6, "map": 0.25, "recall": recall}
    write_evaluation(tmp_path / "e", protocols={"retrieval": found})
    page = report(tmp_path / "e", tmp_path / "r", figures=[])
    assert cell(page, "joint", column="retrieval mAP")["mean"] == 0.25
    assert page["evaluations"][0]["protocols"][0]["name"] == "retrieval"
    for file in ("report.md", "report.html"):
        assert "mAP 25.0; recall @1 50.0, @5 75.0, @10 87.5" in (tmp_path / "r" / file).read_text()


def test_other_options_of_a_protocol_make_another_column(tmp_path):
    for seed, options in enumerate(({"epochs": 80}, {"epochs": 10})):
        protocols = {"finetune": {"top1": 0.5, "settings": {"lr": 0.1, **options}}}
        write_evaluation(tmp_path / "e", seed=seed, protocols=protocols)
    page = report(tmp_path / "e", tmp_path / "r", figures=[])
    titles = [c["title"] for c in page["tables"][0]["splits"][0]["columns"]]
    assert titles == ["finetune (epochs 10)", "finetune (epochs 80)"]
    for seed, draws in enumerate(([0.2, 0.3], [0.4])):  # more draws of the same
        semi = {"top1": 0.3, "draws": draws, "settings": {"lr": 0.1, "draws": len(draws)}}
        write_evaluation(tmp_path / "f", seed=seed, protocols={"semi1": semi})
    page = report(tmp_path / "f", tmp_path / "s", figures=[])
    assert cell(page, "joint", column="semi 1 %")["values"] == [0.2, 0.3, 0.4]


def test_supervised_accuracies_stand_beside_supervised_figures(tmp_path):
    protocols = {**linear(0.9), "supervised": {"top1": 0.5, "top5": 0.8}}
    for seed, top1 in enumerate((0.48, 0.52)):
        protocols["supervised"] = {"top1": top1}
        write_evaluation(tmp_path / "e", "stgcn_supervised", seed=seed, epochs=80, protocols=protocols, **PKU2)
    page = report(tmp_path / "e", tmp_path / "r", figures=[])
    (table,) = page["tables"]
    figure = table["groups"][0]["streams"][0]["published"]["pku2-xsub"]
    assert set(figure) == {"supervised"}
    assert figure["supervised"]["difference"] == pytest.approx(50 - 48.2)
    assert "| 50.0 ± 2.8 (n = 2) | 48.2 \\[1\\] | +1.8 |" in (tmp_path / "r" / "report.md").read_text()
    assert table["missing"] == {"results": [], "figures": []}
    assert page["missing"] == ["ST-GCN (supervised): nothing on PKU-MMD I xsub (published: joint 84.1)"]


def test_splits_with_many_columns_have_a_table_each(tmp_path):
    protocols = {f"semi{i}": {"top1": 0.1} for i in range(1, 10)}
    write_evaluation(tmp_path / "e", protocols=protocols)
    write_evaluation(tmp_path / "e", split="xview60")
    page = report(tmp_path / "e", tmp_path / "r", figures=[])
    assert [t["title"] for t in page["tables"]] == ["NTU-60 xsub", "NTU-60 xview"]


# ---------------------------------------------------------------------------------------------------------------------
# Lengths and sweeps


def write_lengths(root, lengths, **changes):
    """One run's evaluations at several epochs, on the clips of xview60."""
    for epochs in lengths:
        run = {"epochs": max(lengths), "recipe_settings": {"epochs": max(lengths), "keep_every": 100}}
        facts = {"split": "xview60", "train_clips": 37646, "test_clips": 18932, "run": run, **changes}
        write_evaluation(root, epochs=epochs, protocols=linear(epochs / 1000), **facts)


def test_lengths_of_one_run_are_a_series_beside_figures_of_the_same_length(tmp_path):
    write_lengths(tmp_path / "e", (300, 400, 800, 1000))
    page = report(tmp_path / "e", tmp_path / "r")
    groups = page["tables"][0]["groups"]
    assert [g["epochs"] for g in groups] == [300, 400, 800, 1000]
    assert {g["variant"] for g in groups} == {""}
    figures = [g["streams"][0]["published"]["xview60"].get("linear", {}) for g in groups]
    assert [f.get("value") for f in figures] == [76.5, 78.4, 81.0, 80.9]
    assert figures[1]["difference"] == pytest.approx(40 - 78.4)
    assert page["tables"][0]["missing"]["figures"] == []
    lacking = page["tables"][0]["missing"]["results"][1]
    assert lacking.startswith("CrosNNCLR: no joint after 500 epochs (published 79.4), joint after 600 epochs")
    (sweep,) = page["sweeps"]
    assert (sweep["setting"], sweep["name"], sweep["doubling"]) == ("epochs", "pretraining epochs", False)
    (line,) = sweep["panels"][0]["lines"]
    assert line["label"] == "CrosNNCLR, joint"
    assert [(p["x"], p["mean"]) for p in line["points"]] == [(300, 0.3), (400, 0.4), (800, 0.8), (1000, 1.0)]
    # Of the other pictures there is one, not four.
    assert [f["section"] for f in page["figures"]] == ["sweeps", "confusion"]
    assert "CrosNNCLR, 800 epochs" in page["figures"][1]["caption"]


def test_two_lengths_are_no_series(tmp_path):
    write_lengths(tmp_path / "e", (300, 800))
    page = report(tmp_path / "e", tmp_path / "r", figures=["sweeps"])
    assert [g["epochs"] for g in page["tables"][0]["groups"]] == [800, 300]
    assert page["sweeps"] == page["figures"] == []


def test_a_single_length_that_is_not_the_usual_one_still_stands_beside_the_figure(tmp_path):
    write_evaluation(tmp_path / "e", epochs=250)
    (group,) = report(tmp_path / "e", tmp_path / "r", figures=[])["tables"][0]["groups"]
    assert group["streams"][0]["published"]["xsub60"]["linear"]["value"] == 73.2


def test_a_sweep_reads_well(tmp_path):
    for size in (128, 32768, 4096):
        run = {"recipe_settings": {"method": {"queue_size": size}, "epochs": 800}}
        write_evaluation(tmp_path / "e", folder=f"q{size}", run=run, protocols=linear(size / 1e5))
    page = report(tmp_path / "e", tmp_path / "r")
    groups = page["tables"][0]["groups"]
    assert [g["label"] for g in groups] == [f"CrosNNCLR, 800 epochs, queue size {q}" for q in (128, 4096, 32768)]
    figures = [g["streams"][0]["published"]["xsub60"] for g in groups]
    assert [set(f) for f in figures] == [set(), set(), {"linear"}]  # 32768 is the recipe's own
    (sweep,) = page["sweeps"]
    assert (sweep["name"], sweep["doubling"]) == ("queue size", True)
    assert [p["x"] for p in sweep["panels"][0]["lines"][0]["points"]] == [128, 4096, 32768]
    assert {e["variant"] for e in page["evaluations"]} == {f"method.queue_size={q}" for q in (128, 4096, 32768)}
    for file in ("report.md", "report.html"):
        assert "method.queue" in (tmp_path / "r" / file).read_text()
    assert [f["section"] for f in page["figures"]] == ["sweeps", "confusion"]


def test_settings_that_go_together_are_one_sweep(tmp_path):
    for size in (16, 48, 64):
        settings = {"encoder": {"features": size}, "projector": {"hidden": size}, "init": "torch"}
        write_evaluation(tmp_path / "e", folder=str(size), run={"recipe_settings": settings})
    (sweep,) = report(tmp_path / "e", tmp_path / "r", figures=[])["sweeps"]
    assert (sweep["name"], sweep["doubling"]) == ("features", False)
    (line,) = sweep["panels"][0]["lines"]
    assert line["label"] == "CrosNNCLR, joint"


def test_names_of_settings():
    crop, both = ["crop"], ["crop", {"shear": {"amplitude": 0.5}}]
    assert setting_label({"views.query": crop, "views.key": crop}) == "crop only"
    assert setting_label({"views.query": both, "views.key": both}) == "crop + shear (amplitude 0.5)"
    assert setting_label({"views.query": crop, "views.key": []}) == ("query view: crop only, key view: no augmentation")
    assert setting_label({"encoder.features": 128, "method.queue_size": 4096}) == "features 128, queue size 4096"
    assert setting_label({"optimizer.lr": 1e-4, "positives.keep_union": True}) == (
        "rate 0.0001, positives.keep_union=True"
    )


def test_names_that_do_not_tell_settings_apart_give_way_to_the_settings():
    views = [{"views": {"query": ["crop"]}}, {"views": {"query": [{"crop": {}}]}}]
    first, second = set_apart([0, 0], views)
    assert first.label == "views.query=['crop']"
    assert second.label == "views.query=[{'crop': {}}]"


# ---------------------------------------------------------------------------------------------------------------------
# Runs of other kinds, title, figures


def test_streams_trained_together_are_a_line_each(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(curves, "curves_figure", lambda logs: drawn.append(logs) or curves_figure(logs))
    log = [{"epoch": 1, "loss": 6.0, "spread": 0.2, "lr": 0.1}]
    log[0] |= {f"spread_{s}": v for s, v in (("joint", 0.1), ("motion", 0.2), ("bone", 0.3))}
    run = write_run(tmp_path / "run", recipe="crossclr", stream="3s", log=log)
    write_run(tmp_path / "e" / "sup", recipe="stgcn_supervised", log=[{"epoch": 1, "loss": 2.0, "train_top1": 0.5}])
    for stream in ("joint", "motion", "bone"):
        write_evaluation(tmp_path / "e", "crossclr", stream, inputs={"run": run}, method="crossclr")
    page = report(tmp_path / "e", tmp_path / "r", figures=["curves"])
    assert len(page["runs"]) == 2
    (logs,) = drawn
    name = "CrosSCLR, 3s, seed 0"
    assert list(logs) == ["ST-GCN (supervised), joint, seed 0", name, f"{name}: joint", f"{name}: motion",
                          f"{name}: bone"]  # fmt: skip
    assert logs[name] == [{"epoch": 1, "loss": 6.0, "lr": 0.1}]
    assert logs[f"{name}: bone"] == [{"epoch": 1, "spread": 0.3}]
    (figure,) = page["figures"]
    assert "of 2 runs" in figure["caption"]
    assert "is their sum" in figure["caption"]


def test_runs_of_a_sweep_have_names_of_their_own(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(curves, "curves_figure", lambda logs: drawn.extend(logs) or curves_figure(logs))
    for size in (16, 32):
        write_run(tmp_path / "e" / f"q{size}", recipe_settings={"method": {"queue_size": size}})
    write_run(tmp_path / "e" / "twin", recipe_settings={"method": {"queue_size": 32}})
    write_evaluation(tmp_path / "e")
    write_report([tmp_path / "e"], tmp_path / "r", figures=["curves"])
    name = "CrosNNCLR, joint, queue size"
    assert drawn == [f"{name} 16, seed 0", f"{name} 32, seed 0", f"{name} 32, seed 0 (twin)"]


def test_title_and_figures_are_chosen(tmp_path):
    write_evaluation(tmp_path / "e", features=True)
    write_run(tmp_path / "e" / "run")
    page = report(tmp_path / "e", tmp_path / "r", title="A <b>|title", figures=["tsne"])
    assert page["title"] == "A <b>|title"
    assert [f["section"] for f in page["figures"]] == ["tsne"]
    assert [p.name for p in (tmp_path / "r" / "figures").iterdir()] == ["tsne_01.png"]
    assert "<h1>A &lt;b&gt;|title</h1>" in (tmp_path / "r" / "report.html").read_text()
    assert (tmp_path / "r" / "report.md").read_text().startswith("# A &lt;b&gt;\\|title\n")
    with pytest.raises(BadInput, match="use one of labels, early, sweeps, curves, confusion, tsne"):
        write_report([tmp_path / "e"], tmp_path / "r", figures=["pie"], force=True)


def test_the_command_chooses_title_and_figures(tmp_path):
    write_evaluation(tmp_path / "e", features=True)
    words = ["report", str(tmp_path / "e"), "--out", str(tmp_path / "r"), "--title", "T", "--figure", "confusion"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    page = json.loads((tmp_path / "r" / "report.json").read_text())
    assert (page["title"], [f["section"] for f in page["figures"]]) == ("T", ["confusion"])


def test_scores_of_several_draws_have_a_confusion_matrix(tmp_path):
    folder = write_evaluation(tmp_path / "e", protocols={"semi1": {"top1": 0.5, "draws": [0.4, 0.6]}})
    names, labels = [f"clip{i:02d}" for i in range(24)], np.arange(24) % CLASSES
    draws = np.stack([np.eye(CLASSES)[labels], np.eye(CLASSES)[(labels + 1) % CLASSES]])
    write_scores(folder / "scores.npz", names, labels, {"semi1": draws})
    folders.seal(folder, "evaluation")
    (figure,) = report(tmp_path / "e", tmp_path / "r")["figures"]
    assert "semi 1 %" in figure["caption"]


def test_new_words_from_the_folders_are_escaped(tmp_path):
    evil = "<img src=x onerror=alert(1)>|*"
    options = {"settings": {evil: evil, "lr": 0.1}, "top1": 0.5, "recall": {evil: 0.5}, "map": 0.5}
    for seed in range(3):
        run = {"recipe_settings": {"method": {evil: seed}}}
        protocols = {**linear(0.5), evil: options, "retrieval": options}
        write_evaluation(tmp_path / "e", evil, folder=str(seed), protocols=protocols, run=run,
                         pretrained_on={"dataset": evil, "split": evil})  # fmt: skip
    page = report(tmp_path / "e", tmp_path / "r", title=evil)
    assert len(page["sweeps"]) == 1
    for file in ("report.html", "report.md"):
        text = (tmp_path / "r" / file).read_text()
        assert "&lt;img" in text
        assert "<img src=x" not in text


# ---------------------------------------------------------------------------------------------------------------------
# In the paper's shape


def in_shape(page, row, column, grid=0):
    """A cell of the paper's table, by the label of its row and the place of its column."""
    rows = page["paper"]["grids"][grid]["rows"]
    return next(r for r in rows if r["labels"][0] == row)["cells"][column]


def test_a_table_is_shown_first_in_the_papers_shape(tmp_path, monkeypatch):
    monkeypatch.setattr(systems, "names", lambda folder: ["stgcn_supervised", "aimclr", "crossclr", "crosnnclr_star"])
    write_evaluation(tmp_path / "e", "stgcn_supervised", epochs=80, protocols={"supervised": {"top1": 0.5}}, **PKU2)
    for seed, top1 in enumerate((0.40, 0.42)):
        write_evaluation(tmp_path / "e", "aimclr", "3s", epochs=300, seed=seed, protocols=linear(top1), **PKU2)
    page = report(tmp_path / "e", tmp_path / "r", paper="table5")
    (grid,) = page["paper"]["grids"]
    assert page["paper"]["title"] == "Table 5: Comparison on PKU-MMD"
    assert grid["head"] == ["Method"]
    assert [column["title"] for column in grid["columns"]] == ["part I", "part II"]
    assert [(row["section"], row["labels"][0], row["missing"]) for row in grid["rows"]] == [
        ("Supervised", "ST-GCN (AAAI 18)", False),
        ("Supervised", "VA-RNN (TPAMI 19)", True),
        ("Self-supervised", "LongT GAN (AAAI 18)", True),
        ("Self-supervised", "MS²L (ACM MM 20)", True),
        ("Self-supervised", "3s-CrosSCLR (CVPR 21)", False),
        ("Self-supervised", "ISC (ACM MM 21)", True),
        ("Self-supervised", "3s-AimCLR (AAAI 22)", False),
        ("Self-supervised", "3s-CrosNNCLR* (CIRAC 22)", False),
    ]
    assert page["paper"]["missing"] == ["VA-RNN", "LongT GAN", "MS²L", "ISC"]
    supervised = in_shape(page, "ST-GCN (AAAI 18)", 1)
    assert (supervised["paper"], supervised["ours"]["mean"], supervised["state"]) == (48.2, 0.5, "done")
    assert supervised["difference"] == pytest.approx(1.8)
    fused = in_shape(page, "3s-AimCLR (AAAI 22)", 1)
    assert (fused["ours"]["mean"], fused["ours"]["n"]) == (pytest.approx(0.41), 2)
    assert fused["difference"] == pytest.approx(2.5)
    assert in_shape(page, "3s-AimCLR (AAAI 22)", 0)["ours"] is None
    assert in_shape(page, "VA-RNN (TPAMI 19)", 0)["state"] == "no recipe yet"
    assert in_shape(page, "3s-CrosSCLR (CVPR 21)", 0)["state"] == ""
    for file in ("report.html", "report.md"):
        text = html.unescape((tmp_path / "r" / file).read_text())
        assert text.index("Table 5: Comparison on PKU-MMD") < text.index("PKU-MMD II")
        assert "no recipe yet" in text
        assert "cross-subject is assumed" in text
        assert "VA-RNN, LongT GAN, MS²L, ISC" in text
    assert "| 41.0 ± 1.4 (n = 2) c (38.5, +2.5) |" in (tmp_path / "r" / "report.md").read_text()


def test_without_being_asked_there_is_nothing_of_the_papers_shape(tmp_path):
    write_evaluation(tmp_path / "e")
    assert report(tmp_path / "e", tmp_path / "r", figures=[])["paper"] is None
    assert "The paper</a>" not in (tmp_path / "r" / "report.html").read_text()
    with pytest.raises(BadInput, match="did you mean 'table1'"):
        write_report([tmp_path / "e"], tmp_path / "r", paper="tabel1", force=True)


def test_the_command_shows_a_table_of_the_paper(tmp_path):
    write_evaluation(tmp_path / "e")
    done = CliRunner().invoke(main, ["report", str(tmp_path / "e"), "--out", str(tmp_path / "r"), "--paper", "table1"])
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "r" / "report.json").read_text())["paper"]["exhibit"] == "table1"


def test_our_figure_says_what_sets_it_apart(tmp_path):
    write_evaluation(tmp_path / "e", epochs=100, test_clips=24)
    page = report(tmp_path / "e", tmp_path / "r", figures=[], paper="table3")
    cell = in_shape(page, "CrosNNCLR (CIRAC 22)", 0)
    assert cell["difference"] is None
    assert [page["paper"]["notes"][place] for place in cell["notes"]] == [
        "Ours after 100 epochs; the recipe has 800.",
        "Ours by the probe 'reference'; the paper's is 'paper'.",
        "Ours on other clips than the benchmark's, so no difference is given.",
    ]


def ours(recipe="crosnnclr", epochs=800, top1=0.5, probe="paper", settings=None, **changes):
    """Something measured on the joint stream of xview60."""
    told = {"stream": "joint", "split": "xview60", "seed": 0, "finished": "", **changes}
    return Measured(
        recipe, told["stream"], told["split"], epochs, told["seed"], settings or {},
        {"linear": {"top1": top1, "top5": 0.9, "probe": probe}}, finished=told["finished"],
    )  # fmt: skip


def value(exhibit, row, column, *measured):
    cell = shape(exhibit, measured)["grids"][0]["rows"][row]["cells"][column]
    return cell["ours"] and cell["ours"]["mean"]


def test_what_is_nearest_to_the_paper_stands_in_its_cell():
    far = ours(top1=0.1, probe="reference")
    assert value("table3", 7, 1, far) == 0.1
    assert value("table3", 7, 1, far, ours(top1=0.2, epochs=900)) == 0.2
    assert value("table3", 7, 1, far, ours(top1=0.2, epochs=900), ours(top1=0.3)) == 0.3
    other = ours(top1=0.4, settings={"encoder.width": 4})
    assert value("table3", 7, 1, other) == 0.4
    assert value("table3", 7, 1, other, ours(top1=0.3)) == 0.3
    # What was measured on clips unlike those that it was trained on gives way to all that was not.
    odd = ours(top1=0.9, settings={"measured_on": "clips prepared otherwise (turn true, now false)"}, finished="9")
    assert value("table3", 7, 1, odd) == 0.9
    assert value("table3", 7, 1, odd, far, ours(top1=0.2, settings={"measured_on": "clips like its own"})) == 0.2
    # Of one seed the newest, of several the mean.
    newer = ours(top1=0.6, finished="2")
    assert value("table3", 7, 1, newer, ours(top1=0.3, finished="1")) == 0.6
    assert value("table3", 7, 1, newer, ours(top1=0.4, seed=1)) == pytest.approx(0.5)
    assert value("table3", 7, 1, ours("small_crosnnclr")) is None


def test_lengths_and_changed_settings_have_columns_of_their_own():
    lengths = [ours(epochs=epochs, top1=epochs / 1000) for epochs in (300, 900, 950)]
    assert [value("table7", 3, column, *lengths) for column in range(8)] == [0.3, *[None] * 5, 0.9, None]
    sizes = [ours(top1=n / 1e5, settings={"method.queue_size": n}) for n in (256, 300, 32768)]
    assert [value("table10", 0, column, *sizes) for column in (0, 1, 7)] == [0.00256, None, 0.32768]
    assert value("table10", 1, 0, *sizes) == 0.9  # top-5
    crop = {"views.query": ["crop"], "views.key": ["crop"]}
    shear = {"views.query": ["crop", "shear"], "views.key": ["crop", "shear"]}
    views = [ours(top1=0.7, settings=shear), ours(top1=0.6, settings=crop)]
    assert [value("table8", row, 1, *views) for row in (0, 1)] == [0.7, 0.6]
    # CrosNNCLR* has a third view, which is to be cropped too.
    normal = {"views.query": "normal", "views.key": "normal", "views.extreme": "extreme"}
    stars = [normal, crop | {"views.extreme": "extreme"}, crop | {"views.extreme": ["crop"]}]
    views = [ours("crosnnclr_star", 300, top1, settings=s) for top1, s in zip((0.7, 0.6, 0.5), stars, strict=True)]
    assert [value("table8", row, 3, *views) for row in (0, 1)] == [0.7, 0.5]


def test_changed_settings_of_the_papers_tables_are_published_and_only_its_own_is_missing(tmp_path):
    for place, steps in enumerate((["crop", "shear"], ["crop"], ["shear"])):
        run = {"recipe_settings": {"views": {"query": steps, "key": steps}}}
        write_evaluation(tmp_path / "e", "skeletonclr", split="xview60", epochs=300, run=run, folder=str(place))
    for options in ({}, {"paper": "table8"}):
        page = report(tmp_path / "e", tmp_path / "r", figures=[], force=True, **options)
        assert page["tables"][0]["missing"]["figures"] == [
            "SkeletonCLR: joint on NTU-60 xview (300 epochs, shear only)"
        ]
    assert page["tables"][0]["missing"]["results"] == []
    assert page["missing"] == [
        "Full aug.: CrosNNCLR (published 81.0), AimCLR (published 79.7), CrosNNCLR* (published 79.7)",
        "Only crop: CrosNNCLR (published 63.0), AimCLR (published 53.3), CrosNNCLR* (published 54.6)",
    ]
    for file in ("report.html", "report.md"):
        text = html.unescape((tmp_path / "r" / file).read_text()).replace("\\", "")
        assert "Of the paper's Table 8 not measured here" in text
        assert page["missing"][0] in text
        assert "PKU-MMD" not in text
    page = report(tmp_path / "e", tmp_path / "r", figures=[], force=True, paper="fig1")
    assert page["missing"][0] == "Table 3, LongT GAN (AAAI 18): xsub (published 39.1), xview (published 48.1)"
    assert "Table 3, SkeletonCLR (CVPR 21): xsub (published 68.3)" in page["missing"]


def notes_of(exhibit, *measured):
    told = shape(exhibit, measured)
    cells = [cell for grid in told["grids"] for row in grid["rows"] for cell in row["cells"] if cell["ours"]]
    return [[told["notes"][place] for place in cell["notes"]] for cell in cells], [cell["notes"] for cell in cells]


def test_what_sets_ours_apart_is_told_in_full_and_in_order():
    settings = {f"optimizer.{k}": 0.5 for k in ("lr", "momentum", "weight_decay", "gamma")}
    many = settings | {"encoder.width": 4, "batch_size": 8, "method.temperature": 0.2, "method.momentum": 0.5}
    for count, more in ((7, ""), (8, " and 2 more")):
        (cell,), _ = notes_of("table3", ours(settings=dict(list(many.items())[:count])))
        assert cell[0].count(",") == (6 if count == 7 else 5)
        assert cell[0].endswith(f"{more}.")
    one = ours("skeletonclr", 300, probe="reference", split="xsub60")
    both = ours("crosnnclr", 1, probe="reference", split="xsub60")
    texts, places = notes_of("table3", one, both)
    assert places == [[2], [2, 3]]
    assert texts[1][1] == "Ours after 1 epoch; the recipe has 800."


def test_a_collapsed_run_is_marked_in_its_cell():
    collapsed = ours()
    collapsed.protocols["linear"]["warnings"] = ["joint: the embeddings have collapsed: all look alike; start again"]
    assert notes_of("table3", collapsed)[0] == [["Ours with a warning: joint: the embeddings have collapsed."]]


def test_clips_that_were_others_are_noted_in_the_papers_cell():
    seen = ours()
    seen.protocols["linear"]["warnings"] = ["joint: 24 of the 72 test clips were pretrained on"]
    assert notes_of("table3", seen)[0] == [["Ours with a warning: joint: 24 of the 72 test clips were pretrained on."]]
    apart = ours()
    apart.protocols["linear"]["warnings"] = ["on clips prepared otherwise than those that the run was trained on: a; b"]
    assert notes_of("table3", apart)[0] == [
        ["Ours with a warning: on clips prepared otherwise than those that the run was trained on."]
    ]


def test_parts_and_notes_of_several_tables_stand_where_they_belong(tmp_path):
    write_evaluation(tmp_path / "e", "aimclr", "3s", epochs=300, **PKU2)
    page = report(tmp_path / "e", tmp_path / "r", figures=[], paper="fig1")
    assert any(text.startswith("Table 6: Headed") for text in page["paper"]["remarks"])
    text = html.unescape((tmp_path / "r" / "report.html").read_text())
    assert (
        text.index("<figure>")
        < text.index("Above: ours. Below: the paper's")
        < text.index('<table class="paper data">')
    )
    page = report(tmp_path / "e", tmp_path / "r", figures=[], paper="table6", force=True)
    assert any(text.startswith("Headed") for text in page["paper"]["remarks"])
    rows = [line for line in (tmp_path / "r" / "report.md").read_text().splitlines() if line.startswith("| *S")]
    assert rows == ["| *Supervised* | | |", "| *Self-supervised* | | |"]


def test_a_misprint_is_shown_as_printed_and_compared_with_what_is_right():
    isc = [ours("isc", 450, 0.7, split=split) for split in ("xsub120", "xset120")]
    told = shape("table6", isc)
    row = next(r for r in told["grids"][0]["rows"] if r["labels"][0].startswith("ISC"))
    assert not row["missing"]
    assert [(cell["paper"], cell["right"]) for cell in row["cells"]] == [(67.9, 67.1), (67.1, 67.9)]
    assert [cell["difference"] for cell in row["cells"]] == pytest.approx([2.9, 2.1])
    assert "swapped" in told["notes"][row["notes"][0]]


def test_nearest_neighbours_stand_beside_figures_of_theirs():
    one = {"knn": {"top1": 0.4, "k": 1}, "linear": {"top1": 0.9, "probe": "paper"}}
    gan = [Measured("longt_gan", "joint", "xsub60", 9, 0, {}, one)]
    assert value("table3", 0, 0, *gan) == 0.4
    assert (
        value("table3", 0, 0, Measured("longt_gan", "joint", "xsub60", 9, 0, {}, {"knn": {"top1": 1, "k": 5}})) is None
    )


def test_marks_of_notes():
    assert mark([0, 2]) == "a,c"
    assert mark([25, 26]) == "z,aa"


def drawn(tmp_path, exhibit):
    page = report(tmp_path / "e", tmp_path / "r", figures=[], paper=exhibit)
    (figure,) = page["figures"]
    assert (tmp_path / "r" / figure["file"]).read_bytes().startswith(b"\x89PNG")
    assert f'alt="{figure["caption"]}"' in html.unescape((tmp_path / "r" / "report.html").read_text())
    return figure


def test_figure_1_has_a_panel_for_each_column_of_its_tables(tmp_path, monkeypatch):
    seen = keep(monkeypatch)
    write_evaluation(tmp_path / "e")
    figure = drawn(tmp_path, "fig1")
    assert "published (hollow) and ours (filled)" in figure["caption"]
    axes = seen[0].axes
    assert [a.get_title("left") for a in axes] == [
        "NTU-60, joint, xsub", "NTU-60, joint, xview",
        "NTU-60, three streams fused, xsub", "NTU-60, three streams fused, xview",
        "PKU-MMD, part I", "PKU-MMD, part II", "NTU-120, xsub", "NTU-120, xset",
    ]  # fmt: skip
    markers = [(line.get_marker(), line.get_markerfacecolor(), line.get_xdata()[0]) for line in axes[0].lines]
    assert ("X", "white", 73.2) in markers
    assert ("X", GREEN, 50.0) in markers
    assert ("o", "white", 75.2) in markers


def test_figure_4_has_the_loss_and_the_accuracies_of_two_methods(tmp_path, monkeypatch):
    seen = keep(monkeypatch)
    write_lengths(tmp_path / "e", (300, 1000))
    write_run(tmp_path / "e" / "run", split="xview60")
    figure = drawn(tmp_path, "fig4")
    assert figure["caption"].endswith("No training log of SkeletonCLR is here.")
    left, right = seen[0].axes
    assert [list(line.get_ydata()) for line in left.lines] == [[], [3, 1.5, 1]]
    assert [list(line.get_xdata()) for line in right.lines][1:] == [[], [*range(300, 1001, 100)], [300, 1000]]
    assert list(right.lines[2].get_ydata()) == [76.5, 78.4, 79.4, 80.0, 80.7, 81.0, 80.7, 80.9]
    assert [text.get_text() for text in seen[0].legends[0].texts] == [
        "SkeletonCLR, published", "SkeletonCLR, ours", "CrosNNCLR, published", "CrosNNCLR, ours",
    ]  # fmt: skip


def test_figures_5_and_6_are_laid_out_as_in_the_paper(tmp_path, monkeypatch):
    seen = keep(monkeypatch)
    write_evaluation(tmp_path / "e", features=True)
    write_evaluation(tmp_path / "e", "crosnnclr_star", epochs=300, features=True, split="xview60")
    drawn(tmp_path, "fig5")
    methods = ("SkeletonCLR", "AimCLR", "CrosNNCLR", "CrosNNCLR*")
    titles = [f"{name}, NTU-60 {split}" for name in methods for split in ("xsub", "xview")]
    assert [a.get_title("left") for a in seen[0].axes] == titles
    full = [bool(a.collections) for a in seen[0].axes]
    assert full == [False] * 4 + [True, False, False, True]
    assert len(seen[0].legends[0].texts) == 10
    shutil.rmtree(tmp_path / "r")
    drawn(tmp_path, "fig6")
    assert [a.get_title("left") for a in seen[1].axes] == [
        f"{name}, NTU-60 {split}" for split in ("xsub", "xview") for name in ("SkeletonCLR", "CrosNNCLR")
    ]
    assert [bool(a.images) for a in seen[1].axes] == [False, True, False, False]
    assert "not measured here" in seen[1].axes[0].texts[0].get_text()


def test_a_figure_of_which_nothing_is_there_is_left_out(tmp_path):
    write_evaluation(tmp_path / "e", "aimclr", features=False)
    for exhibit in ("fig5", "fig6"):
        page = report(tmp_path / "e", tmp_path / exhibit, figures=[], paper=exhibit)
        assert page["figures"] == []
        assert page["paper"]["exhibit"] == exhibit


def keep(monkeypatch):
    """The figures of the paper that are drawn."""
    seen = []
    monkeypatch.setattr(paper_figures, "png_bytes", lambda figure: seen.append(figure) or png_bytes(figure))
    return seen
