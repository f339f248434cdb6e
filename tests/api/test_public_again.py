"""What would be made again of the same, by the same settings, is given back."""

from __future__ import annotations

import logging
import shutil

import pytest

import skelpipe as sk
from skelpipe.outputs import again

TOY = {"actions": 3, "subjects": 4, "setups": 1, "replications": 1, "frames": (20, 24)}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with raw recordings, store, clips, run and evaluation, by functions that can be called again."""
    at = tmp_path_factory.mktemp("again")
    recipe = sk.load_recipe("small_skeletonclr", batch_size=8, encoder={"width": 4, "features": 16})

    def make(force=False):
        told = {"force": force}
        raw = sk.synth("ntu60", at / "raw", **TOY, **told)
        store = sk.ingest("ntu60", raw, at / "store.zarr", workers=0, **told)
        clips = sk.prepare(store, at / "clips.zarr", frames=16, **told)
        run = sk.pretrain(recipe, clips, at / "run", split="xsub60", epochs=1, device="cpu", **told)
        evaluation = sk.evaluate(run, clips, at / "evaluation", protocols=["knn"], device="cpu", **told)
        return {"raw": raw, "store": store, "clips": clips, "run": run, "evaluation": evaluation}

    make()
    return at, make


def finished(at):
    return {path.parent.name: path.stat().st_mtime_ns for path in at.glob("*/done.json")}


@pytest.mark.parametrize("force", [False, True])
def test_all_that_is_there_is_given_back_and_said(made, force, caplog):
    at, make = made
    before = finished(at)
    with caplog.at_level(logging.WARNING):
        found = make(force=force)
    assert finished(at) == before
    assert len(before) == 5
    said = [record.getMessage() for record in caplog.records]
    for name in ("raw", "store.zarr", "clips.zarr", "evaluation"):
        assert f"{at / name}: is there already, made of the same by the same settings; nothing was done" in said
    assert found["store"].summary is None
    assert len(found["store"]) == len(found["clips"]) == 36
    assert found["evaluation"].protocols == ("knn",)


def test_other_settings_are_refused_or_replace_it(made, tmp_path):
    at, _ = made
    shutil.copytree(at, tmp_path / "new")
    at = tmp_path / "new"
    with pytest.raises(sk.BadInput, match="already exists"):
        sk.prepare(at / "store.zarr", at / "clips.zarr", frames=10)
    clips = sk.prepare(at / "store.zarr", at / "clips.zarr", frames=10, force=True)
    assert clips.shape[2] == 10
    with pytest.raises(sk.BadInput, match="already exists"):  # the clips are others
        sk.evaluate(at / "run", clips, at / "evaluation", protocols=["knn"], device="cpu", other_clips=True)
    with pytest.raises(sk.BadInput, match="already exists"):
        sk.synth("ntu60", at / "raw", **{**TOY, "actions": 2})


def test_other_recordings_are_read(made, tmp_path, monkeypatch):
    at, _ = made
    shutil.copytree(at / "raw", tmp_path / "raw", ignore=lambda _, names: {"done.json", "provenance.json"} & set(names))
    monkeypatch.chdir(tmp_path)
    first = sk.ingest("ntu60", "raw", "store.zarr", workers=0)
    assert first.summary.clips == 36
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # paths count from where the command ran
    assert sk.ingest("ntu60", "../raw", "../store.zarr", workers=0).summary is None
    assert sk.ingest("ntu60", "../raw", "../store.zarr", workers=0, keep_missing=True, force=True).summary is not None
    assert sk.ingest("ntu60", "../raw", "../store.zarr", workers=0, force=True).summary is not None
    file = next((tmp_path / "raw").rglob("*.skeleton"))
    file.write_bytes(file.read_bytes() + b"\n")
    with pytest.raises(sk.BadInput, match="already exists"):
        sk.ingest("ntu60", "../raw", "../store.zarr", workers=0)
    assert sk.ingest("ntu60", "../raw", "../store.zarr", workers=0, force=True).summary.clips == 36
    file.unlink()
    assert sk.ingest("ntu60", "../raw", "../store.zarr", workers=0, force=True).summary.clips == 35


def test_an_evaluation_with_what_is_registered_is_made_again(made, monkeypatch):
    at, make = made
    before = finished(at)["evaluation"]
    monkeypatch.setitem(sk.api.measure.ADDED, ("augmentation", "mine"), "0")
    make(force=True)
    assert finished(at)["evaluation"] > before


def test_nothing_is_given_back_unless_asked(made):
    at, _ = made
    again.end_if_there(at / "raw", "raw", {}, {})
    with pytest.raises(sk.BadInput, match="already exists"):
        from skelpipe.clips.prepare import prepare

        prepare(at / "store.zarr", at / "clips.zarr", frames=16)
