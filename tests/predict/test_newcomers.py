"""What newcomers meet: recordings of their own, read as the model's were; models that were moved; odd folders."""

from __future__ import annotations

import logging
import shutil

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from conftest import TINY

from skelpipe.cli import main
from skelpipe.clips.prepare import prepare
from skelpipe.errors import BadInput
from skelpipe.evaluation.evaluate import evaluate
from skelpipe.evaluation.fuse import fuse
from skelpipe.layouts import LAYOUTS, find_layout
from skelpipe.layouts.table import CONFIDENCE
from skelpipe.predict import inputs
from skelpipe.predict.find import find_model, find_models
from skelpipe.predict.predict import Asked, predict
from skelpipe.predict.predictor import Predictor, check_layout
from skelpipe.predict.table import check_out
from skelpipe.recordings.ingest import ingest
from skelpipe.recordings.poses.described import read_description
from skelpipe.recordings.poses.look import fitting_layouts
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

pytestmark = pytest.mark.usefixtures("one_thread")
CLASSES = ["hop", "bow", "turn"]
STICK = {
    "name": "stick",
    "joints": [
        {"name": "pelvis"},
        {"name": "chest", "parent": "pelvis"},
        {"name": "left hand", "parent": "chest", "mirror": "right hand"},
        {"name": "right hand", "parent": "chest", "mirror": "left hand"},
    ],
    "centre": ["pelvis"],
    "shoulders": {"right": ["right hand"], "left": ["left hand"]},
    "parts": {"trunk": ["pelvis", "chest"], "arms": ["left hand", "right hand"]},  # not in the order of the alphabet
}
GYM = {
    "name": "gym", "raw": "raw", "layout": "stick.yaml", "names": "a{label}_s{subject}", "class_names": CLASSES,
    "unit": "mm", "up": "z", "fps": 20, "splits": {"half": {"subject": {"train": [1, 2, 3], "test": [4]}}},
}  # fmt: skip


def moving(kind, rng):
    """A stick of some mm that moves by its class, z up: (F, 4, 3)."""
    t = np.linspace(0, 2 * np.pi, 20)[:, None]
    still = np.array([[0, 2000, 900], [0, 2000, 1400], [-500, 2000, 1200], [500, 2000, 1200]], np.float64)
    x = np.repeat(still[None], 20, axis=0) + rng.normal(0, 5, (20, 4, 3))
    x[:, :, 2 if kind == 0 else 1 if kind == 1 else 0] += 200 * np.sin(t * (1 + kind)) * [0.2, 1, 1, 0.5]
    return x.astype(np.float32)


@pytest.fixture(scope="module")
def gym(tmp_path_factory):
    """Recordings that a YAML describes, and evaluations of two streams."""
    path, rng = tmp_path_factory.mktemp("gym"), np.random.default_rng(0)
    torch.set_num_threads(1)
    (path / "raw").mkdir()
    for label in (1, 2, 3):
        for subject in (1, 2, 3, 4):
            np.save(path / f"raw/a{label}_s{subject}.npy", moving(label - 1, rng))
    (path / "stick.yaml").write_text(yaml.safe_dump(STICK, sort_keys=False))
    (path / "gym.yaml").write_text(yaml.safe_dump(GYM, sort_keys=False))
    ingest(read_description(path / "gym.yaml").dataset, path / "raw", path / "store.zarr", workers=0)
    prepare(path / "store.zarr", path / "clips.zarr", frames=16, threads=1)
    for stream in ("joint", "bone"):
        recipe = load_recipe("skeletonclr", [*TINY, "batch_size=3"], epochs=1)
        run = path / "runs" / stream / "run"
        pretrain(recipe, path / "clips.zarr", run, split="subject:1-3", stream=stream, device="cpu", threads=1)
        evaluate(run, path / "clips.zarr", run.parent / "eval", protocols=["linear"], probe="lbfgs", device="cpu",
                 threads=1)  # fmt: skip
    fuse([path / f"runs/{stream}/eval" for stream in ("joint", "bone")], path / "runs/fused")
    (path / "stick.yaml").rename(path / "stick-away.yaml")  # a model has to know it by itself
    return path


def said(model, paths, asked=None):
    predictor = Predictor([find_model(model)], device="cpu", threads=1)
    return [each for some in predict(predictor, paths, asked or Asked()) for each in some], predictor


def same(a, b):
    assert len(a) == len(b) > 0
    for one, other in zip(a, b, strict=True):
        assert (one.clip, one.label) == (other.clip, other.label)
        np.testing.assert_array_equal(one.probability, other.probability)


def test_a_yaml_is_its_recordings(gym, tmp_path):
    model = gym / "runs/joint/eval"
    (gym / "stick-away.yaml").rename(gym / "stick.yaml")
    try:
        described, _ = said(model, [gym / "gym.yaml"])
        (tmp_path / "bare.yaml").write_text(yaml.safe_dump({**GYM, "raw": None, "layout": str(gym / "stick.yaml")}))
        with pytest.raises(BadInput, match="does not say where its recordings are"):
            said(model, [tmp_path / "bare.yaml"])
    finally:
        (gym / "stick.yaml").rename(gym / "stick-away.yaml")
    same(described, said(model, [gym / "store.zarr"])[0])
    assert {each.label for each in described} == set(CLASSES)


def test_what_was_stated_of_the_models_recordings_is_used_and_told(gym, caplog):
    model = gym / "runs/joint/eval"
    with caplog.at_level(logging.WARNING):
        raw, predictor = said(model, [gym / "raw"], Asked(said={"names": GYM["names"]}))
    assert "is read as what the model has learnt from: unit mm, up z" in caplog.text
    same(raw, said(model, [gym / "store.zarr"])[0])  # classes by name: their numbers are counted along the names
    assert list(predictor.told) == [
        "seconds are of 20 frames each, as in what the model has learnt from; --fps says otherwise",
        "labels go from 1 to 3: they count the names of the classes from 1",
    ]
    assert {each.fps for each in raw} == {20}
    own, _ = said(model, [gym / "raw"], Asked(said={"fps": 50}))
    assert {each.fps for each in own} == {50}


def test_the_rate_that_files_state_goes_before_that_of_the_models_recordings(gym, tmp_path):
    np.savez(tmp_path / "one.npz", keypoints=np.load(gym / "raw/a1_s1.npy"), fps=50)
    found, predictor = said(gym / "runs/joint/eval", [tmp_path / "one.npz"])
    assert found[0].fps == 50
    assert not predictor.told


def test_what_is_stated_goes_before_what_the_model_states(gym, tmp_path):
    one = gym / "raw/a1_s1.npy"
    np.save(tmp_path / "a1_s1.npy", np.load(one)[..., [0, 2, 1]] * np.float32([1e-3, 1e-3, -1e-3]))
    metres, _ = said(gym / "runs/joint/eval", [tmp_path / "a1_s1.npy"], Asked(said={"unit": "m", "up": "y"}))
    mm, _ = said(gym / "runs/joint/eval", [one])
    np.testing.assert_allclose(metres[0].probability, mm[0].probability, atol=1e-4)


def test_the_models_own_layout_is_read_back_as_it_is(gym, tmp_path):
    """Part-wise models see the parts in their order."""
    wanted = find_model(gym / "runs/joint/eval").layout
    assert [name for name, _ in wanted.parts] == ["trunk", "arms"]
    assert find_layout(inputs._layout_for(gym / "raw", wanted, tmp_path)) == wanted


def test_confidences_are_kept_for_a_model_that_looks_at_them(tmp_path):
    x = np.random.default_rng(0).uniform(1, 900, (9, 18, 3))
    x[..., 2] = np.random.default_rng(1).uniform(0, 1, (9, 18))
    np.save(tmp_path / "x.npy", x)
    for wanted in ("coco17", "coco17" + CONFIDENCE):
        found = inputs._layout_for(tmp_path / "x.npy", find_layout(wanted), tmp_path)
        assert found == wanted.replace("coco17", "openpose18")


def test_labels_that_are_no_numbers_of_the_classes_stay_as_they_are(gym):
    predictor = Predictor([find_model(gym / "runs/joint/eval")], device="cpu")
    from skelpipe.predict.predict import classes_meant

    assert classes_meant(["2", None, "0"], predictor) == ["turn", None, "hop"]
    assert classes_meant(["9", "1", "2", "3"], predictor) == ["9", "1", "2", "3"]
    assert classes_meant(["1", "walk"], predictor) == ["1", "walk"]
    assert classes_meant([None], predictor) == [None]


def test_a_fusion_goes_with_its_evaluations(gym, tmp_path, monkeypatch):
    shutil.copytree(gym / "runs", tmp_path / "moved/runs")
    monkeypatch.chdir(tmp_path)
    models, weights = find_models("moved/runs/fused")
    assert [model.path.as_posix() for model in models] == ["moved/runs/joint/eval", "moved/runs/bone/eval"]
    assert weights == [0.6, 0.6]
    shutil.rmtree("moved/runs/joint")
    assert find_models("moved/runs/fused")[0][0].path == gym / "runs/joint/eval"
    # Another evaluation in that place is not what was fused.
    shutil.copytree(gym / "runs/bone/eval", "moved/runs/joint/eval")
    (gym / "runs/joint/eval").rename(gym / "runs/joint/away")
    try:
        with pytest.raises(BadInput, match="joint/eval, which is another one now; fuse again"):
            find_models("moved/runs/fused")
        shutil.rmtree("moved/runs/joint")
        with pytest.raises(BadInput, match="joint/eval, which is no longer there"):
            find_models("moved/runs/fused")
    finally:
        (gym / "runs/joint/away").rename(gym / "runs/joint/eval")


def test_an_evaluation_is_of_its_stream_and_epoch(gym):
    path = gym / "runs/joint/eval"
    assert find_model(path, stream="joint", epoch=1).facts.stream == "joint"
    with pytest.raises(BadInput, match="--stream bone: .* is of joint"):
        find_model(path, stream="bone")
    with pytest.raises(BadInput, match="--epoch 3: .* is of 1"):
        find_model(path, epoch=3)
    with pytest.raises(BadInput, match="is a part of a model; give the folder"):
        find_model(path / "model_linear.safetensors")


def test_all_inputs_are_looked_at_before_the_first_is_read(gym, monkeypatch):
    monkeypatch.setattr("skelpipe.predict.predict.of_store", lambda *_: pytest.fail("was read"))
    for path, what in (("nothing", "does not exist"), ("runs/bone/eval", "is a model, behind what is to be predicted")):
        with pytest.raises(BadInput, match=what):
            said(gym / "runs/joint/eval", [gym / "store.zarr", gym / path])


def test_layouts_that_cannot_be_mapped_are_refused_before_anything_is_read(gym, tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "ingest", lambda *_, **__: pytest.fail("was read"))
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(0, 0.3, (9, 20, 3)))
    with pytest.raises(BadInput, match="has learnt from stick, to which kinect_v1 cannot be mapped: .* chest"):
        said(gym / "runs/joint/eval", [tmp_path / "x.npy"])
    with pytest.raises(BadInput, match="in space, and coco17 lies in a picture, without depth"):
        check_layout(find_model(gym / "runs/joint/eval"), LAYOUTS["coco17"])


def test_layouts_of_damaged_empty_and_mixed_folders(tmp_path):
    first, rng = LAYOUTS["kinect_v2"], np.random.default_rng(0)
    np.save(tmp_path / "nobody.npy", np.zeros((9, 25, 3), np.float32))
    assert fitting_layouts(tmp_path, first)[0] == first
    (tmp_path / "cut.skeleton").write_text("9\n1\n72057594037931101 0 1 1 1 1 0 0.1 0.2 2\n25\n0.1 0.2")
    with pytest.raises(BadInput, match="truncated"):
        fitting_layouts(tmp_path / "cut.skeleton", first)
    assert fitting_layouts(tmp_path, first)[0] == first  # what is damaged is of no layout
    for n in range(2):
        np.save(tmp_path / f"a{n}.npy", rng.normal(0, 0.3, (9, 20, 3)))
        np.save(tmp_path / f"b{n}.npy", rng.normal(0, 0.3, (9, 24, 3)))
    with pytest.raises(BadInput, match="of several layouts: kinect_v2 of 1, kinect_v1 of 2, .*smpl24 of 2, of 5"):
        fitting_layouts(tmp_path, first)


def test_predictions_beside_recordings_are_no_recordings(gym, tmp_path):
    shutil.copy(gym / "raw/a1_s1.npy", tmp_path / "one.npy")
    for suffix in (".csv", ".json", ".parquet", ".csv"):
        words = ["predict", gym / "runs/joint/eval", tmp_path, "--out", tmp_path / f"out{suffix}", "--force"]
        done = CliRunner().invoke(main, [*map(str, words), "--device", "cpu"], catch_exceptions=False)
        assert done.exit_code == 0
        assert f"out{suffix}: 1 predictions" in done.output
        assert "left out" not in done.output
        assert "looks like a table" not in done.output


def test_a_place_that_takes_no_file_is_refused_before_hours_of_work(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written: .*file is no folder; choose a path you may write to"):
        check_out(tmp_path / "file/below/out.csv", force=False)
    check_out(tmp_path / "new/folders/out.csv", force=False)
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(BadInput, match="is a folder that takes no files"):
        check_out(tmp_path / "new/folders/out.csv", force=False)
    with pytest.raises(BadInput, match="has no ending; use one of .csv, .json, .parquet"):
        check_out(tmp_path / "out", force=False)


def test_recordings_are_not_overwritten_by_what_is_said_of_them(gym, tmp_path):
    table = tmp_path / "walk.csv"
    table.write_text("frame,x0,y0\n0,1,2\n")
    words = [
        "predict",
        gym / "runs/joint/eval",
        table,
        "--out",
        tmp_path / "../" / tmp_path.name / "walk.csv",
        "--force",
    ]
    done = CliRunner().invoke(main, [*map(str, words)], catch_exceptions=False)
    assert done.exit_code == 2
    assert "walk.csv: is what is to be predicted; choose another path" in done.output
    assert table.read_text() == "frame,x0,y0\n0,1,2\n"


def test_what_is_left_out_is_told(gym, tmp_path, caplog):
    shutil.copy(gym / "raw/a1_s1.npy", tmp_path / "one.npy")
    np.save(tmp_path / "other.npy", np.ones((5, 7, 3)))
    (tmp_path / "words.txt").write_text("of the gym\n")
    with caplog.at_level(logging.WARNING):
        found, _ = said(gym / "runs/joint/eval", [tmp_path], Asked(said={"layout": str(gym / "stick-away.yaml")}))
    assert [each.clip for each in found] == ["one"]
    assert "left out: other: unreadable" in caplog.text
    assert "left out in all: 1 no recording, 1 unreadable" in caplog.text
