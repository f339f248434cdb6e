"""Evaluations that are limited to some classes, and to what there is of a split."""

from __future__ import annotations

import json
import logging

import numpy as np
import pandas as pd
import pytest
from conftest import TINY

from skelpipe.errors import BadInput
from skelpipe.evaluation.classes import in_words, read_classes
from skelpipe.evaluation.evaluate import evaluate
from skelpipe.evaluation.feature_files import export
from skelpipe.evaluation.fuse import fuse
from skelpipe.evaluation.scores import read_scores
from skelpipe.recordings.datasets import DATASETS
from skelpipe.recordings.datasets.own import Own
from skelpipe.report.write import write_report
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

NTU60 = DATASETS["ntu60"]
pytestmark = pytest.mark.usefixtures("one_thread")


def test_classes_are_listed_by_number_range_name_or_in_a_file(tmp_path):
    assert read_classes("1-3,23", NTU60) == (0, 1, 2, 22)
    assert read_classes("A023, a001-A003", NTU60) == (0, 1, 2, 22)
    assert read_classes("Drink water,2", NTU60) == (0, 1)
    assert read_classes("C033,c1", DATASETS["pku1"]) == (0, 32)
    assert read_classes("1-60", NTU60) is None
    (tmp_path / "some.txt").write_text("\ufeff# of mine\n\ndrink water\r\n5-6,9\n", "utf-8")
    assert read_classes(str(tmp_path / "some.txt"), NTU60) == (0, 4, 5, 8)
    assert in_words((0, 4, 5, 6, 8)) == "1,5-7,9"


def test_behind_a_letter_a_number_is_that_in_the_names_of_clips():
    ucla = DATASETS["nw-ucla"]  # whose names skip a07 and a10
    assert read_classes("a08,A09", ucla) == (6, 7)
    assert read_classes("a11-a12", ucla) == (8, 9)
    assert read_classes("8,9", ucla) == (7, 8)
    with pytest.raises(
        BadInput, match="has a07, and the clips of nw-ucla are of a01, a02, .*a12; correct it, or count"
    ):
        read_classes("a07,a08", ucla)
    own = Own("gym", "Gym", 3, 0, ("name", "label"), "name", ("x", "y", "z"), text=("name",))
    assert read_classes("1,z", own) == (0, 2)
    with pytest.raises(BadInput, match="has a01, and the clips of gym are called by no numbers; .*from 1 to 3"):
        read_classes("a01,a02", own)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0-2", "has 0-2, and the classes of ntu60 are 1 to 60"),
        ("61,1", "has 61, and the classes of ntu60 are 1 to 60"),
        ("3-1", "has 3-1"),
        ("drnk water,1", "did you mean 'drink water'"),
        ("1;2", "has '1;2', which is no class of ntu60"),
        ("", "has '', which is no class"),
        ("7", "lists one class"),
        ("none.txt", "does not exist"),
    ],
)
def test_what_lists_no_classes_is_told_in_a_line(text, said):
    with pytest.raises(BadInput, match=said):
        read_classes(text, NTU60)


@pytest.fixture(scope="module")
def runs(clips, tmp_path_factory):
    """A run that has learnt without labels, one of another stream, and one with a classifier."""
    root = tmp_path_factory.mktemp("runs")
    supervised = ["encoder.width=4", "encoder.features=8", "batch_size=8"]
    for name, recipe, stream, sets in (
        ("joint", "skeletonclr", "joint", [*TINY, "encoder.width=4"]),
        ("bone", "skeletonclr", "bone", [*TINY, "encoder.width=4"]),
        ("labelled", "stgcn_supervised", "joint", supervised),
    ):
        pretrain(load_recipe(recipe, sets, epochs=1), clips, root / name, split="xsub60", stream=stream, device="cpu")
    return root


def test_only_clips_and_outputs_of_the_classes_asked_for_count(runs, clips, tmp_path):
    protocols, options = ("linear", "knn", "retrieval", "finetune", "semi"), ["finetune.epochs=1", "semi.epochs=1"]
    some = {"protocols": protocols, "options": [*options, "semi.draws=2"], "probe": "lbfgs", "device": "cpu"}
    metrics = evaluate(runs / "joint", clips, tmp_path / "some", classes="2,4", **some)
    assert (metrics["classes"], metrics["only_classes"], metrics["classes_present"]) == (2, [2, 4], 2)
    assert (metrics["train_clips"], metrics["test_clips"]) == (12, 4)
    _, labels, scores = read_scores(tmp_path / "some" / "scores.npz")[:3]
    assert labels.tolist() == [0, 0, 1, 1]  # places in the classes asked for
    assert {name: each.shape[-2:] for name, each in scores.items()} == dict.fromkeys(scores, (4, 2))
    with np.load(tmp_path / "some" / "features.npz") as stored:
        features, train, label = (stored[key] for key in ("feature", "train", "label"))
    assert set(label.tolist()) == {1, 3}  # the data set's
    unit = features.astype(float) / np.linalg.norm(features.astype(float), axis=1, keepdims=True)
    cosine = unit[~train] @ unit[train].T
    byhand = np.stack([cosine[:, label[train] == c].max(1) for c in (1, 3)], axis=1)
    np.testing.assert_allclose(scores["knn"], byhand, rtol=1e-12)
    table = pd.read_csv(tmp_path / "some" / "confusion_knn.csv", index_col=0)
    assert table.columns.tolist() == [f"{place} {NTU60.class_names[c]}" for place, c in enumerate((1, 3))]


def test_of_a_classifier_only_the_outputs_of_these_classes_count(runs, clips, tmp_path):
    for name, classes in (("all", None), ("some", "2,4-6")):
        evaluate(runs / "labelled", clips, tmp_path / name, protocols=["supervised"], classes=classes, device="cpu")
    names, _, every = read_scores(tmp_path / "all" / "scores.npz")[:3]
    mine, _, some = read_scores(tmp_path / "some" / "scores.npz")[:3]
    rows = np.isin(names, mine)
    np.testing.assert_array_equal(every["supervised"][rows][:, [1, 3, 4, 5]], some["supervised"])
    metrics = json.loads((tmp_path / "some" / "metrics.json").read_text())
    assert metrics["protocols"]["supervised"]["warnings"][0].endswith("no clip here has 5,6")


def test_classes_without_clips_are_refused(runs, clips, tmp_path):
    with pytest.raises(BadInput, match="--classes 2,50: has clips here of class 2 alone"):
        evaluate(runs / "joint", clips, tmp_path / "o", protocols=["knn"], classes="2,50", device="cpu")
    with pytest.raises(BadInput, match="--classes 50-52: has no clips here"):
        evaluate(runs / "joint", clips, tmp_path / "o", protocols=["knn"], classes="50-52", device="cpu")


def test_evaluations_of_different_classes_are_not_fused_and_stand_beside_no_published_figure(runs, clips, tmp_path):
    for stream, classes in (("joint", None), ("joint", "1-3"), ("bone", "1-3"), ("bone", "2-4")):
        out = tmp_path / f"{stream}{classes or ''}"
        evaluate(runs / stream, clips, out, protocols=["linear"], classes=classes, probe="lbfgs", device="cpu")
    with pytest.raises(
        BadInput, match=r"has the classes \[2, 3, 4\], but .* has \[1, 2, 3\]; fuse parts of the same cla"
    ):
        fuse([tmp_path / "joint1-3", tmp_path / "bone2-4"], tmp_path / "fused")
    with pytest.raises(BadInput, match=r"has the classes \[1, 2, 3\], but .* has all"):
        fuse([tmp_path / "joint", tmp_path / "bone1-3"], tmp_path / "fused")
    assert fuse([tmp_path / "joint1-3", tmp_path / "bone1-3"], tmp_path / "fused")["only_classes"] == [1, 2, 3]
    head = (tmp_path / "fused" / "confusion_linear.csv").read_text().splitlines()[0]
    assert head.endswith(",".join(f"{place} {NTU60.class_names[place]}" for place in range(3)))
    folder = write_report([tmp_path], tmp_path / "report", figures=["confusion"])
    report = json.loads((folder / "report.json").read_text())
    titles = {split["title"]: split for table in report["tables"] for split in table["splits"]}
    assert {"NTU-60 xsub", "NTU-60 xsub, only classes 1-3", "NTU-60 xsub, only classes 2-4"} == set(titles)
    assert any(each["kind"] == "published" for each in titles["NTU-60 xsub"]["layout"])
    for table in report["tables"]:
        for group in table["groups"]:
            for entry in group["streams"]:
                for split, published in entry["published"].items():
                    assert not published or "only classes" not in split


def test_protocols_that_train_nothing_need_no_training_clips(runs, tmp_path, clips):
    out = {"protocols": ["supervised"], "device": "cpu", "split": "subject:9/3"}
    with pytest.raises(BadInput, match="has no training clips here: only subjects 1-4; it trains on subject 9"):
        evaluate(runs / "joint", clips, tmp_path / "o", protocols=["knn"], split="subject:9/3", device="cpu")
    metrics = evaluate(runs / "labelled", clips, tmp_path / "only", **out)
    assert (metrics["train_clips"], metrics["test_clips"]) == (0, 8)
    assert metrics["split"] == "ntu60:subject:9/3"
    with pytest.raises(BadInput, match="has no test clips here: only subjects 1-4; it tests subject 9"):
        evaluate(runs / "labelled", clips, tmp_path / "o", **{**out, "split": "subject:3/9"})
    assert not (tmp_path / "o").exists()


def test_pretraining_names_what_is_there_before_the_batch_size(clips, tmp_path):
    recipe = load_recipe("skeletonclr", [*TINY, "batch_size=4096"], epochs=1)
    with pytest.raises(BadInput, match="setup:2: has no training clips here: only setup 1; it trains on setup 2"):
        pretrain(recipe, clips, tmp_path / "run", split="setup:2", stream="joint", device="cpu")
    with pytest.raises(BadInput, match="batch_size: 4096 is more than the 8 training clips"):
        pretrain(recipe, clips, tmp_path / "run", split="subject:2", stream="joint", device="cpu")


def test_embedding_all_clips_says_in_which_part_each_is(runs, clips, tmp_path, caplog):
    with caplog.at_level(logging.INFO), pytest.raises(BadInput, match="neither to train on nor to test, of 32"):
        export(runs / "joint", clips, tmp_path / "f.npz", split="subject:9/10", device="cpu")
    assert not (tmp_path / "f.npz").exists()
    export(runs / "joint", clips, tmp_path / "f.parquet", split="subject:1/2,3", every=True, device="cpu")
    table = pd.read_parquet(tmp_path / "f.parquet")
    subject = np.tile(np.arange(8) % 4 + 1, 4)
    assert table["train"].tolist() == np.array([0, 1, 0, 0, -1])[subject].tolist()
    export(runs / "joint", clips, tmp_path / "f.npz", every=True, device="cpu")
    with np.load(tmp_path / "f.npz") as stored:
        assert (stored["train"] == (subject != 3)).all()
        np.testing.assert_array_equal(stored["feature"], table.iloc[:, 3:].to_numpy())
