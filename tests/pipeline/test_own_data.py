"""Pipelines of a data set of one's own: planned from its YAML, whose splits may stand for several; run to a page."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from skelpipe.cli import main
from skelpipe.errors import BadInput
from skelpipe.pipeline.files import load_pipeline
from skelpipe.pipeline.plan import plan
from skelpipe.recordings.synthetic import write_raw
from skelpipe.report.collect import collect
from skelpipe.report.figures.confusion import _pooled

GYM = {
    "name": "gym",
    "title": "The gym",
    "raw": "recordings",
    "layout": "h36m17",
    "labels": "labels.csv",
    "splits": {"by_person": {"subject": {"train": [1, 2], "test": [3]}}, "mornings": "session:am"},
    "pipeline": {"recipes": ["small_skeletonclr"], "streams": ["joint"]},
}


def write_gym(folder, **changes):
    """Two movements of three people in two sessions, as arrays; one has no label."""
    (folder / "recordings").mkdir(parents=True)
    rng, rows = np.random.default_rng(0), ["name,label,subject,session"]
    still = np.stack([np.linspace(-0.3, 0.3, 17), np.linspace(1.7, 0, 17), np.full(17, 3.0)], axis=1)
    for subject in (1, 2, 3):
        for label, joint in (("squat", 5), ("wave", 12)):
            for take, session in enumerate(("am", "pm") * 6):
                poses = np.repeat(still[None], 20, axis=0) + rng.normal(0, 0.01, (20, 17, 3))
                poses[:, joint, 1] += np.sin(np.linspace(0, 6, 20))
                name = f"{label}_{subject}_{take}"
                np.save(folder / "recordings" / f"{name}.npy", poses.astype(np.float32))
                rows.append(f"{name},{'' if name == 'wave_3_1' else label},{subject},{session}")
    (folder / "labels.csv").write_text("\n".join(rows))
    (folder / "gym.yaml").write_text(yaml.safe_dump({**GYM, **changes}))
    return folder / "gym.yaml"


def planned(file, data, *overrides, raw=None):
    pipeline, path = load_pipeline(file, overrides)
    return plan(pipeline, path, data, raw)


def test_a_data_sets_yaml_is_a_pipeline(tmp_path):
    file = write_gym(tmp_path)
    config = planned(file, tmp_path / "data")
    store = config["stores"]["stores/gym.zarr"]
    assert (store["dataset"], store["raw"]) == (str(file), str(tmp_path / "recordings"))
    top = "runs/gym-50"
    runs = [f"{top}/gym={split}/small_skeletonclr/joint-s0/run" for split in ("by_person", "mornings")]
    assert [*config["runs"]] == runs
    assert "--split gym:by_person" in config["runs"][runs[0]]["flags"]
    assert config["reports"]["reports/gym"]["flags"] == "--title 'The gym'"
    before = store["listing"]
    (tmp_path / "labels.csv").write_text((tmp_path / "labels.csv").read_text().replace("wave,", "hello,"))
    assert planned(file, tmp_path / "data")["stores"]["stores/gym.zarr"]["listing"] != before


def test_a_pipeline_may_name_the_yaml_beside_it(tmp_path):
    write_gym(tmp_path)
    mine = {"title": "mine", "dataset": "gym.yaml", "splits": ["by_person"], "recipes": ["small_crosnnclr"]}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(mine))
    config = planned(tmp_path / "mine.yaml", tmp_path / "data")
    assert [*config["reports"]] == ["reports/mine"]
    assert len(config["runs"]) == 3


def test_shipped_pipelines_run_together_on_a_data_set_of_ones_own(tmp_path):
    """With another data set and its splits in place of their own."""
    file = write_gym(tmp_path)
    (tmp_path / "both.yaml").write_text("title: both\npipelines: [nw_ucla]\n")
    words = [f"dataset={file}", "splits=[mornings]", "seeds=[0]"]
    config = planned(tmp_path / "both.yaml", tmp_path / "data", *words)
    assert {run.split("/")[2] for run in config["runs"]} == {"gym=mornings"}
    assert len(config["runs"]) == 6


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ("subject:leave-one-out", ["gym-subject=test=1", "gym-subject=test=2", "gym-subject=test=3"]),
        ("subject:3-fold", ["gym-subject=1of3", "gym-subject=2of3", "gym-subject=3of3"]),
        ("session:leave-one-out", ["gym-session=test=am", "gym-session=test=pm"]),
        ("subject:/2", ["gym-subject=test=2"]),
        ("name:2-fold", ["gym-name=1of2", "gym-name=2of2"]),
    ],
)
def test_a_split_may_stand_for_several(tmp_path, split, words):
    config = planned(write_gym(tmp_path), tmp_path / "data", f'splits=["{split}"]')
    assert [folder.split("/")[2] for folder in config["runs"]] == words


@pytest.mark.parametrize(
    ("changes", "overrides", "said"),
    [
        ({"splits": {}}, [], "names no splits, so that there is nothing to measure"),
        ({"pipeline": ["x"]}, [], "pipeline: should be a mapping of keys to values"),
        ({"splits": 5}, [], "splits: should be a mapping of keys to values .got 5"),
        ({"splits": {1: "subject:1"}}, [], "splits.1"),
        ({"splits": {"p": {"subject": {"train": [1, 2], "test": [2]}}}}, [], "has subject 2 on both sides"),
        ({"splits": {"a": {"camera": [1]}}}, [], "gym has no column 'camera'"),
        ({"splits": {"a": "nowhere.txt"}}, [], "does not exist"),
        ({"splits": {"all": "subject:1"}}, [], "is no name for a split"),
        ({}, ['splits=["by_persn"]'], "is unknown; did you mean 'by_person'"),
        ({}, ['splits=["subject:9-fold"]'], "no more folds than subjects; there are 3"),
        ({}, ["pretrain_on=xsub60"], "pretrain_on: is of published data sets"),
        ({}, ["synth={actions: 3}"], "synth: is of published data sets"),
        ({"layuot": "h36m17"}, [], "layuot"),
        ({"layout": None}, [], "layout: "),
        ({"splits": "hello"}, [], "splits: should be a mapping"),
        ({"splits": {"a": {"subject": {"train": [1, 2, 3]}}}}, [], "gym:a has no test clips here"),
        (
            {"pipeline": {"recipes": ["skeletonclr"]}},
            [],
            "batches of 128, and gym:by_person has 48 .*=16",
        ),
        (
            {"labels": None, "names": "{}_{subject}_{session}", "splits": {"a": "subject:1"}},
            [],
            "has 0 classes.*split all",
        ),
        ({"splits": {"a": {"subject": {"train": [1], "test": [33]}}}}, [], "split 'a' of gym.*names subject 33"),
        ({"splits": {"a": "subjects:leave-one-out"}}, [], "stands for several splits; write it under pipeline"),
        ({"name": "ntu60"}, [], "ntu60 is a published data set"),
        ({"raw": "elsewhere"}, [], "holds no recordings of gym; name their folder by raw in"),
        ({"name": "My Gym"}, [], "no name for a data set"),
        ({"layout": "h36m18"}, [], "is not known; did you mean 'h36m17'"),
        ({"labels": "lables.csv"}, [], "lables.csv"),
    ],
)
def test_what_cannot_be_planned_is_told_in_a_line(tmp_path, changes, overrides, said):
    file = write_gym(tmp_path, **changes)
    with pytest.raises(BadInput, match=said) as told:
        planned(file, tmp_path / "data", *overrides)
    assert "\n" not in str(told.value)


def test_a_picture_is_not_turned_and_classes_may_be_chosen(tmp_path):
    file = write_gym(tmp_path)
    for path in (tmp_path / "recordings").iterdir():
        np.save(path, np.load(path)[..., :2])
    flat = yaml.safe_load(file.read_text()) | {"layout": "coco17"}
    file.write_text(yaml.safe_dump(flat))
    config = planned(file, tmp_path / "data", "classes=squat,wave")
    (clips,) = config["clips"].values()
    assert clips["flags"].endswith("--no-turn")
    assert all("--classes squat,wave" in each["flags"] for each in config["evaluations"].values())
    assert all("classes=squat,wave" in folder for folder in config["evaluations"])


def test_a_data_set_without_a_layout_is_no_pipeline(tmp_path):
    (tmp_path / "gym.yaml").write_text("name: gym\nraw: recordings\n")
    with pytest.raises(BadInput, match="1 setting is wrong: layout: is missing"):
        load_pipeline(tmp_path / "gym.yaml")


def test_published_data_sets_have_folds_too(tmp_path):
    write_raw("ntu60", tmp_path / "data/raw/ntu60", actions=2, subjects=3, setups=1, replications=1, frames=(10, 12))
    mine = {"title": "mine", "recipes": ["small_crosnnclr"], "streams": ["joint"], "dataset": "ntu60"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**mine, "splits": ["subject:leave-one-out"]}))
    config = planned(tmp_path / "mine.yaml", tmp_path / "data")
    people = {path.name[9:12] for path in (tmp_path / "data/raw").rglob("*.skeleton")}
    assert {folder.split("/")[2] for folder in config["runs"]} == {f"ntu60-subject=test={int(p)}" for p in people}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**mine, "splits": ["subject:2-fold"], "synth": {"actions": 2}}))
    assert len(planned(tmp_path / "mine.yaml", tmp_path / "data")["runs"]) == 2
    (tmp_path / "mine.yaml").write_text(
        yaml.safe_dump({**mine, "splits": ["subject:leave-one-out"], "synth": {"actions": 2}})
    )
    with pytest.raises(BadInput, match="needs to know which subjects there are.*or write subject:5-fold"):
        planned(tmp_path / "mine.yaml", tmp_path / "data")


def call(*words):
    done = CliRunner().invoke(main, [str(word) for word in words], prog_name="skelpipe", catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_own_recordings_go_all_the_way(tmp_path, one_thread):
    file, small = write_gym(tmp_path), ["--set", "batch_size=4", "--set", "method.queue_size=8", "--epochs", "1"]
    store, clips = tmp_path / "gym.zarr", tmp_path / "clips.zarr"
    assert "72 clips" in call("ingest", file, tmp_path / "recordings", store)
    assert "equal the raw files" in call("verify", store, tmp_path / "recordings")
    told = call("inspect", store)
    assert "The gym" in told
    assert "unlabelled" in told
    call("prepare", store, clips, "--frames", 16)
    parts = []
    for number in (1, 2, 3):
        run, out = tmp_path / f"run{number}", tmp_path / f"out/{number}"
        call("pretrain", "demo_skeletonclr", clips, run, "--split", f"subject:{number}of3", "--stream", "joint", *small)
        call("evaluate", run, clips, out, "--protocol", "knn")
        parts.append(json.loads((out / "metrics.json").read_text()))
    assert [part["split"] for part in parts] == [f"gym:subject:{number}of3" for number in (1, 2, 3)]
    assert [(part["train_clips"], part["test_clips"]) for part in parts] == [(47, 24), (47, 24), (48, 23)]
    assert "0 squat,1 wave" in (tmp_path / "out/1/confusion_knn.csv").read_text()
    found = collect([tmp_path / "out"])
    labels, scores = _pooled(found.results, found)
    assert len(labels) == len(scores["knn"]) == 71  # all folds in one confusion matrix
    call("report", tmp_path / "out", "--out", tmp_path / "report")
    (table,) = json.loads((tmp_path / "report/report.json").read_text())["tables"]
    (cell,) = table["groups"][0]["streams"][0]["cells"]["gym:subject:3-fold"].values()
    assert (cell["n"], cell["folds"]) == (3, ["1", "2", "3"])
    assert cell["mean"] == pytest.approx(np.mean([part["protocols"]["knn"]["top1"] for part in parts]))
    assert cell["std"] == pytest.approx(np.std([part["protocols"]["knn"]["top1"] for part in parts], ddof=1))
