"""Stores and clips as objects: what they hold, how they are asked, how they show themselves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import skelpipe as sk
from skelpipe.recordings import store as schema


@pytest.fixture(scope="module")
def store(road):
    return sk.open_store(road / "store.zarr")


@pytest.fixture(scope="module")
def clips(road):
    return sk.open_clips(road / "clips.zarr")


def test_ids_labels_and_columns(store, clips):
    for folder in (store, clips):
        assert len(folder) == len(folder.ids) == 36
        assert folder.dataset == "ntu60"
        assert folder.layout == sk.get_layout("kinect_v2")
        assert len(folder.class_names) == 60
        assert [*folder.columns][:2] == ["name", "label"]
        assert folder.table["class_name"].tolist() == [folder.class_names[n] for n in folder.labels]
        assert folder.splits == ("xsub60", "xview60")
        assert Path(folder) == folder.path
        assert os.fspath(folder) == str(folder.path)


def test_splits_are_rows(clips):
    parts = clips.split("xsub60")
    assert not set(parts["train"]) & set(parts["test"])
    assert set(clips.columns["subject"][parts["train"]]) == {1, 2}
    mine = clips.split("subject:1/3")
    assert set(clips.columns["subject"][mine["test"]]) == {3}
    with pytest.raises(sk.BadInput, match="did you mean 'xsub60'"):
        clips.split("xsub6")


def test_clips_by_row_name_slice_rows_and_mask(clips):
    every = clips[:]
    assert every.shape == clips.shape == (36, 3, 12, 25, 2)
    assert (clips[3] == every[3]).all()
    assert (clips[-1] == every[-1]).all()
    assert (clips[str(clips.ids[7])] == every[7]).all()
    assert (clips[[5, 2]] == every[[5, 2]]).all()
    assert (clips[clips.labels == clips.labels[0]] == every[clips.labels == clips.labels[0]]).all()
    assert (clips[4:20:3] == every[4:20:3]).all()
    assert (every == schema.Clips(clips.path).load()).all()
    with pytest.raises(IndexError):
        clips[36]
    with pytest.raises(sk.BadInput, match="has no clip 'S001C001P001'; names are such as 'S001C"):
        clips["S001C001P001"]


def test_recordings_of_a_store(store):
    one = store[2]
    assert one.name == store.ids[2]
    assert one.label == store.labels[2]
    assert one.joints.shape == (len(one.frame), 25, 3)
    assert one.frames == store.frames[2]
    alone = one.of_body()
    assert alone.shape == (one.frames, 25, 3)
    most = np.bincount(np.unique(one.body, return_inverse=True)[1]).argmax()
    mine = one.body == np.unique(one.body)[most]
    assert (alone[one.frame[mine]] == one.joints[mine]).all()
    assert store[str(one.name)].name == one.name
    assert sum(1 for _ in store) == len(store)
    with pytest.raises(sk.BadInput, match="has no body 3"):
        one.of_body(3)
    assert [*store.dropped.columns] == ["name", "reason", "detail", "count"]


def test_they_show_themselves(store, clips, road):
    for each in (store, clips, sk.open_run(road / "run"), sk.open_evaluation(road / "evaluation"),
                 sk.load(road / "evaluation", protocol="linear", device="cpu")):  # fmt: skip
        text, page = repr(each), each._repr_html_()
        assert text.startswith(f"<skelpipe {type(each).__name__}>")
        assert str(road) in text
        assert page.startswith("<table>")
        assert page.count("<tr>") == text.count("\n")
    assert "36 × 3 × 12 × 25 × 2 (N, C, T, V, M)" in repr(clips)
    assert repr(sk.build_view("normal")) == "<skelpipe view: crop, shear; kinect_v2>"


def test_what_folders_say_cannot_break_a_page(clips, monkeypatch):
    monkeypatch.setattr(type(clips), "_told", lambda self: {"path": "<b>\x1b[31m"})
    assert clips._repr_html_().count("<b>") == 0
    assert "\x1b" not in repr(clips)


def test_poses_of_ones_own(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "raw").mkdir()
    for person in range(2):
        for label in ("wave", "jump"):
            x = 100 + rng.normal(0, 20, (20, 17, 2))
            np.save(tmp_path / "raw" / f"{label}_s{person}.npy", x)
    store = sk.ingest("poses", tmp_path / "raw", tmp_path / "store", layout="coco17", names="{label}_s{subject}",
                      unit="pixel", image=(640, 480), workers=0)  # fmt: skip
    assert store.class_names == ("jump", "wave")
    assert store.layout.name == "coco17"
    assert isinstance(store.summary.told, tuple)
    clips = sk.prepare(store, tmp_path / "clips", frames=10, turn=False)
    assert clips.shape == (4, 2, 10, 17, 2)
    assert clips.split("subject:0/1")["train"].shape == (2,)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda road: sk.open_store(road / "clips.zarr"), "is a folder of kind 'clips', not 'store'"),
        (lambda road: sk.open_clips(road / "none"), "does not exist"),
        (lambda road: sk.open_run(road / "clips.zarr"), "is a folder of kind 'clips', not 'run'"),
        (lambda road: sk.open_evaluation(road / "run"), "is a folder of kind 'run', not 'evaluation'"),
        (lambda road: sk.load(road / "clips.zarr"), "is no model, but of kind 'clips'"),
        (lambda road: sk.load(road / "evaluation", protocol="knn"), "has kept linear"),
        (lambda road: sk.ingest("ntu6", road / "raw", road / "x"), "did you mean 'ntu60'"),
        (
            lambda road: sk.ingest("ntu60", road / "raw", road / "x", layout="coco17"),
            "--layout: is said of recordings",
        ),
        (lambda road: sk.ingest("poses", road / "raw", road / "x"), "needs the layout of the joints; add --layout"),
        (lambda road: sk.prepare(road / "store.zarr", road / "x", preset="ics"), "did you mean 'isc'"),
        (lambda road: sk.prepare(road / "store.zarr", road / "clips.zarr"), "exists"),
        (lambda road: sk.load_recipe("crosnclr"), "did you mean crosnnclr"),
        (lambda road: sk.load_recipe("crosnnclr", optimizer__lrr=1), "optimizer.lrr=1: .*did you mean 'lr'"),
        (lambda road: sk.pretrain("small_crosnnclr", road / "clips.zarr", road / "x", split="xsub"), "did you mean"),
    ],
)
def test_what_does_not_fit_is_told(road, call, said):
    with pytest.raises(sk.BadInput, match=said):
        call(road)
    assert not (road / "x").exists()


@pytest.mark.parametrize("live", [True, False])
def test_progress_true_shows_a_line(road, tmp_path, capsys, monkeypatch, live):
    monkeypatch.setattr("skelpipe.api.shown.Line.live", staticmethod(lambda: live))
    store = sk.ingest("ntu60", road / "raw", tmp_path / "store.zarr", workers=0, progress=True)
    clips = sk.prepare(store, tmp_path / "clips.zarr", frames=12, progress=True)
    recipe = sk.open_run(road / "run").recipe
    how: Any = {"device": "cpu", "progress": True}
    sk.pretrain(recipe, clips, tmp_path / "run", split="xsub60", epochs=2, **how)
    sk.evaluate(tmp_path / "run", clips, tmp_path / "out", protocols=["knn"], **how)
    said = capsys.readouterr().err
    assert f"prepare: {len(clips)} of {len(clips)}\n" in said
    assert "ingest: " in said
    assert "epoch 2/2: loss " in said
    assert ("\r" in said) == live
    assert said.count("\n") < 12


def test_a_yaml_may_name_its_recordings(tmp_path):
    (tmp_path / "recordings").mkdir()
    for n in range(3):
        values = np.random.default_rng(n).normal(200, 50, (20, 17, 2)).astype("f4")
        np.save(tmp_path / "recordings" / f"a{n}.npy", values)
    (tmp_path / "gym.yaml").write_text("name: gym\nraw: recordings/\nlayout: coco17\n")
    assert len(sk.ingest(tmp_path / "gym.yaml", tmp_path / "one.zarr", workers=0)) == 3
    assert len(sk.ingest(tmp_path / "gym.yaml", store=tmp_path / "two.zarr", workers=0)) == 3
    with pytest.raises(sk.BadInput, match="ntu60: does not say where its recordings are"):
        sk.ingest("ntu60", tmp_path / "three.zarr")
