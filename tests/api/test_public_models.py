"""Models called with arrays: clips, recordings, lists; NumPy and torch."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch import nn

import skelpipe as sk


@pytest.fixture(scope="module")
def clips(road):
    return sk.open_clips(road / "clips.zarr")


@pytest.fixture(scope="module")
def model(road):
    return sk.load(road / "evaluation", protocol="linear", device="cpu")


def test_what_it_says_of_itself(road, model):
    assert len(model.classes) == 60
    assert model.stream == "joint"
    assert model.layout.name == "kinect_v2"
    assert isinstance(model.encoder, nn.Module)
    assert not any(weight.requires_grad for weight in model.encoder.parameters())
    assert model.recipe.name == "small_skeletonclr"
    assert model.facts["protocol"] == "linear"


def test_the_same_kind_comes_out(model, clips):
    x = clips[:5]
    for given in (x, x.astype(np.float64), torch.from_numpy(x), torch.from_numpy(x).requires_grad_()):
        kind = torch.Tensor if isinstance(given, torch.Tensor) else np.ndarray
        features, found = model.embed(given), model.predict(given)
        assert isinstance(features, kind)
        assert isinstance(found.probability, kind)
        assert features.shape == (5, model.features)
        assert (np.asarray(features) == model.embed(x)).all()
        assert np.allclose(np.asarray(found.probability).sum(1), 1)
        assert found.names == [model.classes[n] for n in np.asarray(found.label)]
        assert len(found) == 5
    assert np.allclose(model.embed(x[2:3]), model.embed(x)[2], atol=1e-6)


def test_rows_of_clips(model, clips):
    every = model.embed(clips)
    assert np.allclose(model.embed(clips, rows=[3, 1]), every[[3, 1]], atol=1e-6)
    part, whole = model.predict(clips, rows=slice(4)).probability, model.predict(clips).probability
    assert np.allclose(part, whole[:4], atol=1e-6)


def test_a_recording_is_prepared_as_the_clips_were(road, model, clips):
    """What the store holds of a clip gives what the clip gives."""
    store = sk.open_store(road / "store.zarr")
    recordings = [(n, store[n]) for n in range(len(store))]
    alone = [(n, one.of_body()) for n, one in recordings if len(np.unique(one.body)) == 1][:4]
    given, rows = [each for _, each in alone], [n for n, _ in alone]
    assert len(rows) == 4
    assert np.allclose(model.embed(given), model.embed(clips, rows=rows), atol=1e-5)
    with_nobody = np.stack([given[0], np.zeros_like(given[0])], axis=1)
    assert np.allclose(model.embed(with_nobody), model.embed(given[0]), atol=1e-6)
    alone = given[0]
    as_torch = model.embed(torch.from_numpy(alone))
    assert isinstance(as_torch, torch.Tensor)
    assert (as_torch.numpy() == model.embed(alone)).all()
    assert model.predict(alone).seen.tolist() == [True]
    assert model.predict(np.zeros((9, 25, 3))).seen.tolist() == [False]


def test_joints_of_another_layout_are_mapped_and_told(model):
    layout = sk.get_layout("smpl24")
    recording = np.random.default_rng(0).normal(size=(20, len(layout.joints), 3))
    assert model.predict(recording, layout="smpl24").probability.shape == (1, 60)
    assert any("smpl24 are mapped to kinect_v2" in line for line in model.told)


def test_an_encoder_alone_and_a_fusion(road, clips, tmp_path):
    alone = sk.load(road / "run", device="cpu")
    assert alone.classes == ()
    with pytest.raises(sk.BadInput, match="has learnt without labels"):
        alone.predict(clips[:1])
    recipe = sk.open_run(road / "run").recipe
    run = sk.pretrain(recipe, clips, tmp_path / "bone", split="xsub60", stream="bone", device="cpu")
    sk.evaluate(run, clips, tmp_path / "bone_evaluation", probe="lbfgs", protocols=["linear", "knn"], device="cpu")
    fused = sk.fuse([road / "evaluation", tmp_path / "bone_evaluation"], tmp_path / "fused")
    model = sk.load(fused, protocol="linear", device="cpu")
    assert model.stream == "joint+bone"
    found = model.predict(clips[:3])
    assert found.probability.shape == (3, 60)
    assert (found.probability == model.predict(clips, rows=slice(3)).probability).all()
    with pytest.raises(sk.BadInput, match="is a fusion of 2 models; load one"):
        model.embed(clips[:1])


def test_onnx_there_and_back(road, model, clips, tmp_path):
    pytest.importorskip("onnxruntime")
    model.to_onnx(tmp_path / "model.onnx")
    sk.load(road / "run", device="cpu").to_onnx(tmp_path / "encoder.onnx")
    other, encoder = (sk.load(tmp_path / f"{name}.onnx", device="cpu") for name in ("model", "encoder"))
    assert other.classes == model.classes
    assert encoder.classes == ()
    assert other.features == encoder.features == model.features
    assert np.allclose(other.predict(clips[:3]).probability, model.predict(clips[:3]).probability, atol=1e-4)
    for each in (other, encoder):
        assert np.allclose(each.embed(clips[:3]), model.embed(clips[:3]), atol=1e-4)
    with pytest.raises(sk.BadInput, match="has no encoder in torch"):
        _ = other.encoder


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.zeros((2, 3, 11, 25, 2), "f4"), "have 11 frames, and the model has learnt from clips of 12"),
        (np.zeros((2, 3, 12, 17, 2), "f4"), "has C = 3 and V = 17"),
        (np.zeros((2, 3, 12, 25, 0), "f4"), "have room for 0 bodies, and the model sees 1"),
        (np.zeros((9, 17, 3)), r"recording 0: has shape \(9, 17, 3\) of float64, and kinect_v2 has V = 25 and C = 3"),
        (np.full((9, 25, 3), np.nan), "recording 0: holds what is no number"),
        (np.zeros((9, 25)), r"recording 0: has shape \(9, 25\)"),
        ([np.zeros((9, 25, 3)), np.zeros(3)], "recording 1: has shape"),
    ],
)
def test_what_does_not_fit_is_told(model, given, said):
    with pytest.raises(sk.BadInput, match=said):
        model.embed(given)


def test_probes_choose_nothing_by_the_test_features():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = np.eye(3)[y] + rng.normal(0, 0.3, (60, 3))
    one, other = (sk.linear_probe(x[:40], y[:40], test) for test in (x[40:], x[40:50] * 100))
    assert (one.head.weight == other.head.weight).all()
    assert np.allclose(one.head(torch.from_numpy(x[40:]).float()).numpy(), one.scores, atol=1e-4)
    near = sk.knn(x[:40], y[:40], x[40:])
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert (near.predictions == y[:40][(unit[40:] @ unit[:40].T).argmax(1)]).all()
    with pytest.raises(sk.BadInput, match="are of one class"):
        sk.linear_probe(x[:4], np.zeros(4, int), x[40:])
    with pytest.raises(sk.BadInput, match="labels: are not whole numbers from 0"):
        sk.knn(x[:3], np.array([0, -1, 1]), x)
    with pytest.raises(sk.BadInput, match="give .n, H., .n,. and .m, H."):
        sk.knn(x, y[:3], x)


def test_what_the_command_takes_is_taken(road, model, clips):
    """A recording of a store, a list of them, the store, its path and the raw files all give what the clips give."""
    store = sk.open_store(road / "store.zarr")
    wanted = model.predict(clips).probability
    one_by_one = model.predict([store[n] for n in range(len(store))]).probability
    for found in (model.predict(store).probability, model.predict(str(store.path)).probability, one_by_one):
        assert np.allclose(found, wanted, atol=1e-5)
    assert np.allclose(model.predict(store[1]).probability, wanted[1:2], atol=1e-5)
    assert np.allclose(model.embed(store, rows=[2]), model.embed(clips, rows=[2]), atol=1e-5)
    assert np.allclose(model.predict(clips.path).probability, wanted)
    raw = sorted((road / "raw").rglob("*.skeleton"))[0]
    assert np.allclose(model.predict(raw).probability, wanted[store.row(raw.stem)][None], atol=1e-5)
    with pytest.raises(sk.BadInput, match="is a folder of kind 'run'"):
        model.embed(road / "run")
    with pytest.raises(sk.BadInput, match="does not exist"):
        model.embed("nowhere")


def test_whole_numbers_and_none(model, clips):
    recording = np.random.default_rng(0).integers(-3, 3, (20, 25, 3))
    assert (model.embed(recording) == model.embed(recording.astype("f4"))).all()
    broken = clips[:2].copy()
    broken[0, 0, 0, 0, 0] = np.nan
    with pytest.raises(sk.BadInput, match="clips: hold what is no number"):
        model.embed(broken)


def test_a_model_can_be_pickled(road, model, clips):
    store = sk.open_store(road / "store.zarr")
    model.embed(store[0])
    again = pickle.loads(pickle.dumps(model))
    assert (again.embed(store[0]) == model.embed(store[0])).all()


def test_predictions_show_the_classes_that_occur(model, clips):
    found = model.predict(clips)
    assert found.names[0] in repr(found)
    assert len(repr(found).splitlines()) < 12
    page = found._repr_html_()
    assert page.count("<tr>") == min(20, len(clips))
    assert page.count("%") <= 3 * 20


def test_runs_and_recipes_show_what_they_are(road):
    run = sk.open_run(road / "run")
    assert "method  skeletonclr\n" in repr(run)
    run.settings["positives"] = "cross_view"
    assert "method  skeletonclr + cross_view" in repr(run)
    page = sk.load_recipe("crosnnclr")._repr_html_()
    assert "name: cross_view" in page
    assert page.count("\n") < 60
