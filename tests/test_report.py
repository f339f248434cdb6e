"""The report: its numbers against hand-worked ones, and that it stands up to whatever lies in the folders."""

import html
import json
import re

import numpy as np
import pytest

from skelpipe import outputs
from skelpipe.errors import BadInput
from skelpipe.fuse import fuse
from skelpipe.report import cell_text, md, percent, points, published, write_report
from skelpipe.scores import write_npz, write_scores

CLASSES = 12


def write_evaluation(root, recipe="crosnnclr", stream="joint", split="xsub60", seed=0, top1=0.5, **changes):
    """An evaluation folder of 24 clips of 12 classes with the accuracy that is asked for."""
    epochs = changes.pop("epochs", 800)
    folder = root / changes.pop("folder", f"{recipe}-{stream}-{split}-{seed}-{epochs}")
    names = [f"clip{i:02d}" for i in range(24)]
    labels = np.arange(24) % CLASSES
    rng = np.random.default_rng(seed)
    scores = np.eye(CLASSES)[labels] + rng.uniform(0, 0.9, (24, CLASSES))
    linear = {"top1": top1, "top5": 0.9, "per_class": [0.5] * 10 + [1.0, None], "warnings": [], "probe": "reference"}
    metrics = {
        "recipe": recipe,
        "method": "skeletonclr",
        "stream": stream,
        "split": split,
        "dataset": "ntu60",
        "seed": seed,
        "epochs": epochs,
        "train_clips": 40091,
        "test_clips": 16487,
        "classes": CLASSES,
        "run": {"seed": seed, "stream": stream, "frames": 50},
        "protocols": {"linear": linear},
    }
    features = changes.pop("features", False)
    inputs = changes.pop("inputs", None)
    with outputs.new_folder(folder, "evaluation", force=True, inputs=inputs) as out:
        outputs.write_json(out / "metrics.json", {**metrics, **changes})
        write_scores(out / "scores.npz", names, labels, {"linear": scores})
        if features:
            arrays = {"name": np.array(names), "label": labels, "train": np.arange(24) < 2, "feature": scores}
            write_npz(out / "features.npz", arrays)
    return folder


def write_run(folder, lines=3, done=True, **changes):
    """A pretraining folder with its log."""
    settings = {"recipe": "crosnnclr", "stream": "joint", "split": "xsub60", "seed": 0, "epochs": 3, **changes}
    folder.mkdir(parents=True)
    outputs.write_json(folder / "settings.json", settings)
    log = [json.dumps({"epoch": e, "loss": 3 / e, "lr": 0.1, "spread": 0.01}) for e in range(1, lines + 1)]
    (folder / "log.jsonl").write_text("\n".join([*log, '{"epoch": 9, "lo'] if not done else log))
    if done:
        outputs.seal(folder, "run")
    else:
        outputs.write_json(folder / "provenance.json", {})
    return folder


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
    figure = page["tables"][0]["groups"][0]["streams"][0]["published"]["xsub60"]
    assert figure["value"] == 73.2
    assert figure["difference"] == pytest.approx(-0.2)
    text = (tmp_path / "r" / "report.md").read_text()
    assert "| 73.0 ± 3.6 (n = 3) | 73.2 \\[1\\] | −0.2 |" in text
    assert "73.0 ± 3.6" in (tmp_path / "r" / "report.html").read_text()


def test_one_seed_has_no_deviation(tmp_path):
    write_evaluation(tmp_path / "e")
    assert cell(report(tmp_path / "e", tmp_path / "r"), "joint")["std"] is None


def test_what_is_missing_and_not_known(tmp_path):
    write_evaluation(tmp_path / "e", stream="bone")
    write_evaluation(tmp_path / "e", stream="joint", split="xview60", train_clips=37646, test_clips=18932)
    page = report(tmp_path / "e", tmp_path / "r")
    (table,) = page["tables"]
    assert [s["split"] for s in table["splits"]] == ["xsub60", "xview60"]
    rows = {r["stream"]: r for r in table["groups"][0]["streams"]}
    assert rows["bone"]["published"]["xsub60"] is None
    assert rows["joint"]["published"]["xsub60"]["value"] == 73.2
    assert rows["joint"]["published"]["xsub60"]["difference"] is None
    assert rows["joint"]["published"]["xview60"]["difference"] == pytest.approx(50 - 81.0)
    assert table["missing"] == [
        "CrosNNCLR, 800 epochs: no joint, motion, 3s on NTU-60 xsub",
        "CrosNNCLR, 800 epochs: no motion, bone, 3s on NTU-60 xview",
    ]
    assert "not known" in (tmp_path / "r" / "report.html").read_text()


def test_other_clips_are_not_compared(tmp_path):
    write_evaluation(tmp_path / "e", test_clips=24)
    page = report(tmp_path / "e", tmp_path / "r")
    figure = page["tables"][0]["groups"][0]["streams"][0]["published"]["xsub60"]
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
    assert untrained["streams"][0]["published"]["xsub60"] is None
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
        outputs.write_json(folder / "provenance.json", {**made, "finished": when})
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
    assert titles == ["linear", "linear (lbfgs)", "1-NN", "retrieval"]
    assert cell(page, "joint", column="retrieval")["mean"] == 0.25
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
    assert "<script" not in page
    assert html.escape("<script>alert(") in page
    text = (tmp_path / "r" / "report.md").read_text()
    assert "<script" not in text
    rows = [line for line in text.splitlines() if line.startswith("| ") and "script" in line]
    columns = len(re.findall(r"(?<!\\)\|", "| recipe | stream | a | b | c |"))
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
    assert outputs.require(tmp_path / "r", "report", "") == tmp_path / "r"


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
    (write_evaluation(tmp_path / "e", folder="torn") / "metrics.json").write_text("{")
    (write_evaluation(tmp_path / "e", folder="half") / "done.json").unlink()
    (write_evaluation(tmp_path / "e", recipe="aimclr", folder="scoreless") / "scores.npz").unlink()
    wrong = write_evaluation(tmp_path / "e", folder="wrong") / "metrics.json"
    outputs.write_json(wrong, {**json.loads(wrong.read_text()), "seed": "zero"})
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
    with outputs.new_folder(tmp_path / "e" / "old report", "report") as folder:
        (folder / "x").mkdir()
    write_evaluation(tmp_path / "e" / "old report", folder="inside")
    page = report(tmp_path / "e", tmp_path / "r")
    assert [e["path"] for e in page["evaluations"]] == ["run/evaluation"]


def test_the_same_folder_given_twice_counts_once(tmp_path):
    folder = write_evaluation(tmp_path / "e")
    write_report([tmp_path / "e", folder, tmp_path / "e"], tmp_path / "r")
    assert len(json.loads((tmp_path / "r" / "report.json").read_text())["evaluations"]) == 1


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
    assert published(81.0) == "81.0"
    assert published(74.59) == "74.59"
    assert md("a|b<c>_d_") == "a\\|b&lt;c&gt;\\_d\\_"
