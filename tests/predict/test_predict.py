"""Models that evaluations keep, and what they say of clips, stores and raw recordings."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from conftest import TINY

import skelpipe
from skelpipe.cli import main
from skelpipe.clips.prepare import prepare
from skelpipe.errors import BadInput
from skelpipe.evaluation.evaluate import evaluate
from skelpipe.evaluation.fuse import fuse
from skelpipe.evaluation.scores import read_scores
from skelpipe.exchange.weights import importing
from skelpipe.exchange.weights.exporting import export_weights, in_reference_form
from skelpipe.inspect.kept import kept_in
from skelpipe.layouts import LAYOUTS
from skelpipe.layouts.mapping import map_joints
from skelpipe.outputs.folders import seal
from skelpipe.outputs.locks import lock
from skelpipe.predict.find import find_model, find_models
from skelpipe.predict.inputs import Asked, open_store
from skelpipe.predict.live import Live, videos_in
from skelpipe.predict.pieces import Windows
from skelpipe.predict.predict import of_frames, predict
from skelpipe.predict.predictor import Predictor
from skelpipe.recordings.datasets.ntu import Ntu
from skelpipe.recordings.ingest import ingest
from skelpipe.recordings.poses.dataset import own_poses
from skelpipe.recordings.poses.described import read_description
from skelpipe.recordings.poses.live import Frame
from skelpipe.recordings.store import Clips
from skelpipe.recordings.synthetic import write_raw
from skelpipe.training.model import Classifier, Head, read_model
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

pytestmark = pytest.mark.usefixtures("one_thread")
SPLIT = "xsub60"


@pytest.fixture(scope="module")
def road(tmp_path_factory):
    """Raw recordings, their store and clips, a run of each of two streams, and its evaluations."""
    path = tmp_path_factory.mktemp("road")
    torch.set_num_threads(1)
    write_raw("ntu60", path / "raw", actions=3, subjects=4, setups=1, replications=1, frames=(20, 30))
    ingest("ntu60", path / "raw", path / "store.zarr", workers=0)
    prepare(path / "store.zarr", path / "clips.zarr", frames=16, threads=1)
    for stream in ("joint", "bone"):
        recipe = load_recipe("skeletonclr", TINY, epochs=1)
        pretrain(recipe, path / "clips.zarr", path / stream, split=SPLIT, stream=stream, device="cpu", threads=1)
        evaluate(
            path / stream, path / "clips.zarr", path / f"{stream}-eval", protocols=["linear", "finetune"],
            probe="lbfgs", options=["finetune.epochs=2", "finetune.steps=[1]"], device="cpu", threads=1,
        )  # fmt: skip
    return path


def said(path, inputs, protocol="linear", asked=None, weights=None):
    models, own = find_models(path, protocol)
    predictor = Predictor(models, weights or own, device="cpu", threads=1)
    return [each for some in predict(predictor, inputs, asked or Asked()) for each in some], predictor


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("protocol", ["linear", "finetune"])
@pytest.mark.parametrize("what", ["clips.zarr", "store.zarr"])
def test_predictions_are_the_scores_of_the_evaluation(road, protocol, what):
    found, _ = said(road / "joint-eval", [road / what], protocol, Asked(split=SPLIT))
    names, labels, scores, *_ = read_scores(road / "joint-eval/scores.npz")
    assert {each.clip for each in found} == set(names.tolist())
    mine = {each.clip: each for each in found}
    expected = softmax(scores[protocol].astype(np.float64))
    classes = Clips(road / "clips.zarr").about.class_names
    for name, label, p in zip(names.tolist(), labels, expected, strict=True):
        np.testing.assert_allclose(mine[name].probability, p, atol=2e-3)  # to standardise magnifies rounding
        assert mine[name].label == classes[label]


def test_raw_recordings_are_read_and_prepared_as_the_commands_do_it(road):
    raw, _ = said(road / "joint-eval", [road / "raw"])
    store, _ = said(road / "joint-eval", [road / "store.zarr"])
    known = {each.clip: each for each in store}
    assert known.keys() <= {each.clip for each in raw}
    for each in raw:
        if each.clip in known:
            np.testing.assert_array_equal(each.probability, known[each.clip].probability)
            assert each.label == known[each.clip].label


def test_a_split_is_of_raw_recordings_too(road):
    raw, _ = said(road / "joint-eval", [road / "raw"], asked=Asked(split=SPLIT))
    store, _ = said(road / "joint-eval", [road / "store.zarr"], asked=Asked(split=SPLIT))
    assert [each.clip for each in raw] == [each.clip for each in store]


def test_fused_models_are_the_weighted_mean_of_their_scores(road):
    fuse([road / "joint-eval", road / "bone-eval"], road / "fused", weights=[1, 3], force=True)
    found, predictor = said(road / "fused", [road / "clips.zarr"], asked=Asked(split=SPLIT))
    assert predictor.weights == [1, 3]
    joint, bone = (read_scores(road / f"{s}-eval/scores.npz") for s in ("joint", "bone"))
    place = {name: n for n, name in enumerate(bone.names.tolist())}
    for name, s in zip(joint.names.tolist(), joint.scores["linear"], strict=True):
        (each,) = (one for one in found if one.clip == name)
        expected = softmax((s + 3 * bone.scores["linear"][place[name]])[None] / 4)[0]
        np.testing.assert_allclose(each.probability, expected, atol=2e-3)  # to standardise magnifies rounding


def test_usual_weights_are_those_of_the_streams(road):
    models = [find_model(road / f"{s}-eval", "linear") for s in ("joint", "bone")]
    assert Predictor(models, device="cpu").weights == [0.6, 0.6]
    with pytest.raises(BadInput, match="--weights: has 1 values for 2 models"):
        Predictor(models, [1.0], device="cpu")
    with pytest.raises(BadInput, match="numbers from 0 up"):
        Predictor(models, [0.0, 0.0], device="cpu")


def test_windows_are_predicted_as_recordings_of_their_own(road):
    windows = Windows(12, 5)
    found, predictor = said(road / "joint-eval", [road / "store.zarr"], asked=Asked(windows))
    opened = open_store(road / "store.zarr")
    whole = list(opened.pieces())
    assert [(w.clip, w.start) for w in found] == [(p.name, s) for p in whole for s in windows.starts(p.frames)]
    piece = whole[0].cut(5, 17)
    alone = predictor.score([piece], opened.layout, [0])
    np.testing.assert_allclose(
        found[1].probability, alone.probability[0], atol=1e-3
    )  # so few clips leave scores that magnify rounding


def test_long_recordings_are_read_part_by_part(road, monkeypatch):
    windows = Asked(Windows(10, 3))
    at_once, _ = said(road / "joint-eval", [road / "store.zarr"], asked=windows)
    monkeypatch.setattr("skelpipe.predict.inputs.LONG", 1)
    monkeypatch.setattr("skelpipe.predict.inputs.WINDOWS_AT_ONCE", 2)
    in_parts, _ = said(road / "joint-eval", [road / "store.zarr"], asked=windows)
    assert [(a.clip, a.start, a.stop) for a in at_once] == [(b.clip, b.start, b.stop) for b in in_parts]
    for a, b in zip(at_once, in_parts, strict=True):
        np.testing.assert_array_equal(a.probability, b.probability)


def test_frames_that_come_one_by_one_are_predicted_as_windows(road):
    found, predictor = said(road / "joint-eval", [road / "store.zarr"], asked=Asked(windows := Windows(12, 5)))
    opened = open_store(road / "store.zarr")
    piece = next(iter(opened.pieces()))

    def frame(number):
        mine = piece.row_frame == number
        return Frame(number, piece.joints[mine], piece.row_body[mine])

    live = Live(piece.name, map(frame, range(piece.frames)), opened.layout, fps=25.0)
    live = [each for some in of_frames(predictor, live, Asked(windows)) for each in some]
    expected = [each for each in found if each.clip == piece.name]
    assert {a.fps for a in live} == {25.0}
    assert [(a.start, a.stop) for a in live] == [(b.start, b.stop) for b in expected]
    for a, b in zip(live, expected, strict=True):
        np.testing.assert_allclose(
            a.probability, b.probability, atol=1e-3
        )  # so few clips leave scores that magnify rounding


def test_each_person_is_predicted_alone(road):
    found, _ = said(road / "joint-eval", [road / "store.zarr"], asked=Asked(each_person=True))
    opened = open_store(road / "store.zarr")
    assert all(each.person is not None for each in found)
    for piece in opened.pieces():
        people = {each.person for each in found if each.clip == piece.name}
        several = {int(b) for b in piece.row_body if (piece.row_body == b).sum() > 1}
        assert people == several


def test_joints_of_another_layout_are_mapped_and_that_is_told(road, tmp_path):
    opened = open_store(road / "store.zarr")
    piece = next(iter(opened.pieces()))
    first = piece.row_body[0]
    mine = piece.row_body == first
    joints, _ = map_joints(piece.joints[mine], opened.layout, LAYOUTS["smpl24"], "nearest")
    np.save(tmp_path / "walk.npy", joints)
    found, predictor = said(road / "joint-eval", [tmp_path / "walk.npy"])
    assert [each.clip for each in found] == ["walk"]
    assert any(line.startswith("joints of smpl24 are mapped to kinect_v2") for line in predictor.told)


def test_a_recording_without_people_is_told_of(road, tmp_path):
    x = np.zeros((20, 25, 3), np.float32)
    x[3:15] = np.random.default_rng(0).normal(0, 1, (12, 25, 3))
    np.save(tmp_path / "some.npy", x)
    models, _ = find_models(road / "joint-eval", "linear")
    found, _ = said(road / "joint-eval", [tmp_path / "some.npy"], asked=Asked(Windows(5, 5)))
    assert [each.probability is None for each in found] == [False, False, False, True]
    assert len(models) == 1


def test_a_run_with_a_classifier_is_a_model_and_so_is_its_exported_checkpoint(road, tmp_path):
    small = ["encoder.width=2", "encoder.features=8", "encoder.time_kernel=3", "batch_size=4"]
    recipe, clips = load_recipe("small_stgcn_supervised", small, epochs=1), road / "clips.zarr"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pretrain(recipe, clips, tmp_path / "run", split=SPLIT, stream="joint", device="cpu", threads=1)
        evaluate(tmp_path / "run", clips, tmp_path / "eval", protocols=["supervised"], device="cpu", threads=1)
    kept, own = find_model(tmp_path / "eval"), find_model(tmp_path / "run")
    assert kept.facts.protocol == own.facts.protocol == "supervised"
    assert kept.facts.classes == own.facts.classes
    a, _ = said(tmp_path / "eval", [clips], None)
    b, _ = said(tmp_path / "run", [clips], None)
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one.probability, other.probability)


def test_a_linear_evaluation_of_the_reference_family_is_a_model(road, tmp_path, monkeypatch):
    """The encoder and classifier as public code saves them, without a run of ours beside them."""
    recipe = load_recipe("skeletonclr", TINY, epochs=1)
    network = recipe.build_network(LAYOUTS["kinect_v2"], 60)
    state = in_reference_form(network.encoder.state_dict(), "encoder_q", LAYOUTS["kinect_v2"], recipe)
    torch.manual_seed(0)
    state |= {"encoder_q.fc.weight": torch.randn(60, 8), "encoder_q.fc.bias": torch.randn(60)}
    torch.save(state, tmp_path / "le.pt")
    reads, real = [], importing.read_state
    monkeypatch.setattr(importing, "read_state", lambda *given: reads.append(given) or real(*given))
    model = find_model(tmp_path / "le.pt")
    assert len(reads) == 1
    assert len(model.facts.classes) == 60
    assert model.facts.classes[0] == "drink water"
    found, _ = said(tmp_path / "le.pt", [road / "raw"], None)
    assert found
    assert found[0].probability.shape == (60,)


def test_heads_standardise_first_where_they_were_trained_so():
    torch.manual_seed(0)
    h, mean, scale = torch.randn(5, 4), torch.randn(4), torch.rand(4) + 0.1
    weight, bias = torch.randn(3, 4), torch.randn(3)
    expected = ((h.double() - mean) / scale) @ weight.double().t() + bias
    head = Head(weight, bias).after(mean, scale)
    torch.testing.assert_close(head(h).double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(head.only([2, 0])(h).double(), expected[:, [2, 0]], rtol=1e-5, atol=1e-5)
    assert Head(weight, bias).only(None).weight.shape == (3, 4)


def test_a_model_of_some_classes_tells_these(road, tmp_path):
    evaluate(
        road / "joint", road / "clips.zarr", tmp_path / "some", protocols=["linear"], probe="lbfgs", classes="1,60",
        device="cpu", threads=1,
    )  # fmt: skip
    model = find_model(tmp_path / "some")
    assert model.facts.numbers == (0, 59)
    assert model.facts.classes == tuple(np.array(Clips(road / "clips.zarr").about.class_names)[[0, 59]])
    with pytest.raises(BadInput, match=r"tells 60 classes, and .*some 2; fuse models of the same classes"):
        Predictor([model, find_model(road / "joint-eval", "linear")], device="cpu")


def test_what_is_no_model_is_refused_in_a_line(road, tmp_path):
    with pytest.raises(BadInput, match="has kept finetune, linear; choose one by --protocol"):
        find_model(road / "joint-eval")
    with pytest.raises(BadInput, match="--protocol knn: .* has kept finetune, linear"):
        find_model(road / "joint-eval", "knn")
    with pytest.raises(BadInput, match=r"has learnt without labels, and tells no classes; keep one by .*linear"):
        find_model(road / "joint")
    with pytest.raises(BadInput, match="is no model, but of kind 'store'"):
        find_model(road / "store.zarr")
    with pytest.raises(BadInput, match="does not exist"):
        find_model(tmp_path / "nothing")
    evaluate(road / "joint", road / "clips.zarr", tmp_path / "knn", protocols=["knn"], device="cpu", threads=1)
    assert kept_in(tmp_path / "knn") == []
    with pytest.raises(BadInput, match="has kept no classifier; evaluate by --protocol linear"):
        find_model(tmp_path / "knn")


def test_damaged_models_are_named(road, tmp_path):
    shutil.copytree(road / "joint-eval", tmp_path / "eval")
    weights = tmp_path / "eval/model_linear.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(BadInput, match=r"model_linear\.safetensors: .*evaluate the run again"):
        read_model(tmp_path / "eval", "linear")
    seal(tmp_path / "eval", "evaluation")
    with pytest.raises(BadInput, match=r"model_linear\.safetensors: cannot be loaded"):
        read_model(tmp_path / "eval", "linear")
    facts = tmp_path / "eval/model_linear.json"
    facts.write_text(json.dumps({**json.loads(facts.read_text()), "classes": 3}))
    seal(tmp_path / "eval", "evaluation")
    with pytest.raises(BadInput, match=r"model_linear\.json: .*classes"):
        read_model(tmp_path / "eval", "linear")


def test_clips_that_do_not_fit_are_refused_with_a_remedy(road, tmp_path):
    prepare(road / "store.zarr", tmp_path / "other.zarr", frames=16, turn=False, threads=1)
    with pytest.raises(BadInput, match="turn true, now false; make such clips by 'skelpipe prepare .*--frames 16"):
        said(road / "joint-eval", [tmp_path / "other.zarr"])
    with pytest.raises(BadInput, match="--window: needs whole recordings"):
        said(road / "joint-eval", [road / "clips.zarr"], asked=Asked(Windows(5, 5)))
    np.save(tmp_path / "flat.npy", np.random.default_rng(0).normal(0, 100, (9, 25, 2)))
    with pytest.raises(
        BadInput, match="has learnt from kinect_v2, in space, and openpose25 lies in a picture, without depth"
    ):
        said(road / "joint-eval", [tmp_path / "flat.npy"])
    np.save(tmp_path / "odd.npy", np.random.default_rng(0).normal(0, 1, (9, 11, 3)))
    with pytest.raises(BadInput, match="11 joints"):
        said(road / "joint-eval", [tmp_path / "odd.npy"])


def run_it(*words, **more):
    return CliRunner().invoke(main, ["predict", *map(str, words)], catch_exceptions=False, **more)


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
def test_the_command_writes_tables(road, tmp_path, suffix):
    out = tmp_path / f"found{suffix}"
    done = run_it(
        road / "joint-eval", road / "store.zarr", "--protocol", "linear", "--out", out, "--top", 2, "--all-classes",
        "--device", "cpu", "--split", SPLIT,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    read = {".csv": pd.read_csv, ".json": pd.read_json, ".parquet": pd.read_parquet}[suffix]
    table = read(out)
    head = ["clip", "start", "stop", "label", "class", "probability", "class_2", "probability_2"]
    assert list(table.columns[:8]) == head
    assert table.columns[8] == "p drink water"
    assert len(table.columns) == 68
    np.testing.assert_allclose(table[table.columns[8:]].sum(axis=1), 1, atol=1e-4)
    right = (table["class"] == table["label"]).sum()
    assert f"{right} of the {len(table)} whose class is known are right" in done.output
    assert Path(f"{out}.provenance.json").exists()
    again = run_it(road / "joint-eval", road / "store.zarr", "--protocol", "linear", "--out", out)
    assert again.exit_code == 2
    assert "already exists" in again.output


def test_the_command_line_tells_models_from_inputs(road, tmp_path):
    for words, told in (
        ([road / "store.zarr", road / "joint-eval"], "is no model"),
        ([road / "joint-eval"], "nothing to predict on"),
        ([tmp_path / "no", road / "store.zarr"], "does not exist"),
        ([road / "joint-eval", tmp_path / "no"], "does not exist"),
        ([road / "joint-eval", road / "store.zarr", "--hop", 3], "goes with --window"),
        ([road / "joint-eval", road / "store.zarr", "--out", "a.txt"], "has the ending '.txt'"),
        ([road / "joint-eval", road / "store.zarr", "--timeline", "a.png"], "is drawn of windows"),
        ([road / "joint-eval", road / "store.zarr", "--patience", 3], "goes with --follow"),
        ([road / "joint-eval", road / "store.zarr", "--all-classes"], "goes with --out"),
        ([road / "joint-eval", road / "store.zarr", "--weights", "a,b"], "is no list of numbers"),
        ([road / "joint-eval", road / "store.zarr", "--weights", "1,2"], "has 2 values for 1 models"),
        ([road / "joint-eval", "-", "--split", SPLIT], "chooses recordings by what is known of them"),
        ([road / "joint-eval", road / "knn-eval"], "does not exist"),
    ):
        done = run_it(*words, "--protocol", "linear")
        assert done.exit_code == 2, words
        assert told in done.output
        assert "Traceback" not in done.output


def test_a_classifier_that_scores_clips_has_no_features():
    class Own(torch.nn.Module):
        uses_lengths = False

        def scores(self, x, lengths):
            return x.flatten(1)[:, :3]

    scores, h = Classifier(Own(), columns=[2, 0])(torch.arange(8.0).view(2, 4))
    assert scores.tolist() == [[2, 0], [6, 4]]
    assert h.shape == (2, 0)


def test_exported_runs_of_ours_need_a_classifier_too(road, tmp_path):
    export_weights(road / "joint", tmp_path / "encoder.pt", encoder_only=True)
    with pytest.raises(BadInput, match="has no classifier, and tells no classes"):
        find_model(tmp_path / "encoder.pt")


def lines_of(piece):
    """The first body's joints as text, a frame a line."""
    first = piece.row_body[0]
    mine = piece.row_body == first
    return b"".join(b" ".join(b"%.6f" % v for v in frame.ravel().tolist()) + b"\n" for frame in piece.joints[mine])


def test_frames_from_a_pipe_are_told_as_they_come(road):
    text = lines_of(next(iter(open_store(road / "store.zarr").pieces())))
    words = (road / "joint-eval", "-", "--protocol", "linear", "--follow", "--window", 8, "--hop", 4, "--fps", 10)
    done = run_it(*words, input=text)
    assert done.exit_code == 0, done.output
    frames = text.count(b"\n")
    told = [line for line in done.output.splitlines() if line.startswith("stdin ")]
    assert len(told) == len(Windows(8, 4).starts(frames))
    assert told[0].startswith("stdin 0.0–0.8 s: ")
    cut = run_it(*words, input=text[:-40])
    assert cut.exit_code == 0
    assert f"ends within frame {frames - 1}" in cut.output
    assert cut.output.count("stdin ") >= len(told) - 1
    damaged = run_it(*words, input=text.replace(b" ", b" x", 1))
    assert damaged.exit_code == 2
    assert "Traceback" not in damaged.output


def test_a_timeline_is_drawn_of_each_recording(road, tmp_path):
    words = (road / "joint-eval", road / "store.zarr", "--protocol", "linear", "--window", 8, "--split", SPLIT)
    done = run_it(*words, "--timeline", tmp_path / "pictures")
    assert done.exit_code == 0, done.output
    pictures = sorted(tmp_path.glob("pictures/*.png"))
    assert len(pictures) == len(set(read_scores(road / "joint-eval/scores.npz").names.tolist()))
    one = run_it(*words, "--timeline", tmp_path / "one.png")
    assert one.exit_code == 2
    assert "is one picture" in one.output
    again = run_it(*words, "--timeline", tmp_path / "pictures", "--force")
    assert again.exit_code == 0, again.output
    pictures[0].write_bytes(b"mine")
    mine = run_it(*words, "--timeline", tmp_path / "pictures", "--force")
    assert (mine.exit_code, pictures[0].read_bytes()) == (2, b"mine"), mine.output


def test_large_files_are_read_frame_by_frame(road, tmp_path, monkeypatch):
    piece = next(iter(open_store(road / "store.zarr").pieces()))
    (tmp_path / "walk.txt").write_bytes(lines_of(piece))
    windows = Asked(Windows(8, 4))
    at_once, _ = said(road / "joint-eval", [tmp_path / "walk.txt"], asked=windows)
    monkeypatch.setattr("skelpipe.predict.live.LARGE", 1)
    one_by_one, _ = said(road / "joint-eval", [tmp_path / "walk.txt"], asked=windows)
    assert [(a.clip, a.start, a.stop) for a in at_once] == [(b.clip, b.start, b.stop) for b in one_by_one]
    for a, b in zip(at_once, one_by_one, strict=True):
        np.testing.assert_array_equal(a.probability, b.probability)


def test_nobody_at_all_is_one_line(road, tmp_path):
    text = (b"0 " * 75 + b"\n") * 12
    done = run_it(road / "joint-eval", "-", "--protocol", "linear", "--follow", "--window", 8, input=text)
    assert done.exit_code == 2
    assert done.output.splitlines()[-1].startswith("skelpipe: -: shows nobody")


def test_calibrated_scores_are_divided_by_their_temperature(road):
    model = find_model(road / "joint-eval", "linear")
    temperature = model.facts.calibration.temperature
    names, _, scores, *_ = read_scores(road / "joint-eval/scores.npz")
    predictor = Predictor([model], [5.0], device="cpu", threads=1, calibrated=True)  # one model's weight is no matter
    found = [each for some in predict(predictor, [road / "clips.zarr"], Asked(split=SPLIT)) for each in some]
    mine = {each.clip: each.probability for each in found}
    expected = softmax(scores["linear"].astype(np.float64) / temperature)
    np.testing.assert_allclose(np.array([mine[name] for name in names.tolist()]), expected, atol=2e-3)


def test_what_is_far_from_all_classes_is_refused(road, tmp_path):
    model = find_model(road / "joint-eval", "linear")
    strict, lax = (Predictor([model], device="cpu", threads=1, reject=share) for share in (1.0, 0.0))
    opened = open_store(road / "store.zarr")
    pieces = list(opened.pieces())
    found = strict.score(pieces, opened.layout, range(len(pieces)))
    limit = model.distance.threshold(1.0)
    _, h = strict._scores(model, *strict.prepared(pieces, opened.layout)[:1], np.arange(len(pieces)), None)
    assert found.refused.tolist() == (model.distance.of(h) > limit).tolist()
    assert found.refused.sum() >= lax.score(pieces, opened.layout, range(len(pieces))).refused.sum()
    done = run_it(
        road / "joint-eval", road / "store.zarr", "--protocol", "linear", "--reject", 1, "--out", tmp_path / "a.csv"
    )
    assert f"{found.refused.sum()} of {len(pieces)}: none of these" in done.output
    assert pd.read_csv(tmp_path / "a.csv")["none"].tolist() == found.refused.tolist()


def test_what_a_model_does_not_know_of_itself_is_one_line(road):
    for option in (["--calibrated"], ["--reject", 0.1]):
        done = run_it(road / "joint-eval", road / "store.zarr", "--protocol", "finetune", *option)
        assert done.exit_code == 2
        assert "no clips were held out" in done.output or "knows no distances of unseen clips" in done.output


def test_recordings_are_read_as_those_of_the_model_were(tmp_path, caplog):
    """A model of millimetres with z up takes further ones without a word, and says so."""
    rng = np.random.default_rng(0)
    (tmp_path / "raw").mkdir()
    for n in range(12):
        walk = rng.normal(0, 300, (1, 17, 3)) + np.cumsum(rng.normal(0, 20 + 20 * (n % 2), (24, 17, 3)), axis=0)
        np.save(tmp_path / f"raw/a{n % 2}_s{n % 3}_{n}.npy", walk)
    text = "name: gym\nraw: raw\nlayout: h36m17\nunit: mm\nup: z\nfps: 50\nnames: a{label}_s{subject}_{}\n"
    (tmp_path / "gym.yaml").write_text(text)
    described = read_description(tmp_path / "gym.yaml")
    ingest(described.dataset, tmp_path / "raw", tmp_path / "store", workers=0)
    prepare(tmp_path / "store", tmp_path / "clips", frames=16, threads=1)
    recipe = load_recipe("small_skeletonclr", ["batch_size=4", "method.queue_size=16"], epochs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pretrain(
            recipe, tmp_path / "clips", tmp_path / "run", split="subject:0,1", stream="joint", device="cpu", threads=1
        )
        evaluate(tmp_path / "run", tmp_path / "clips", tmp_path / "eval", protocols=["linear"], device="cpu", threads=1)
    store, _ = said(tmp_path / "eval", [tmp_path / "store"], None)
    raw, _ = said(tmp_path / "eval", [tmp_path / "raw"], None)
    yaml, _ = said(tmp_path / "eval", [tmp_path / "gym.yaml"], None)
    for a, b, c in zip(store, raw, yaml, strict=True):
        np.testing.assert_array_equal(a.probability, b.probability)
        np.testing.assert_array_equal(a.probability, c.probability)
        assert a.fps == b.fps == 50
    assert "is read as what the model has learnt from: unit mm, up z" in caplog.text
    wrong, _ = said(tmp_path / "eval", [tmp_path / "raw"], None, Asked(said={"unit": "m"}))
    assert any((a.probability != b.probability).any() for a, b in zip(store, wrong, strict=True))
    (tmp_path / "none.yaml").write_text(text.replace("raw: raw\n", ""))
    with pytest.raises(BadInput, match="does not say where its recordings are"):
        said(tmp_path / "eval", [tmp_path / "none.yaml"], None)


def test_what_was_found_before_damage_is_kept(road, tmp_path):
    text = lines_of(next(iter(open_store(road / "store.zarr").pieces())))
    words = (road / "joint-eval", "-", "--protocol", "linear", "--follow", "--window", 8, "--out", tmp_path / "a.csv")
    done = run_it(*words, input=text + b"abc def\n" + text)
    assert done.exit_code == 2
    assert "abc def" in done.output.splitlines()[-1]
    assert len(pd.read_csv(tmp_path / "a.csv")) == done.output.count("stdin ")


def test_force_replaces_predictions_alone(road, tmp_path):
    (tmp_path / "mine.csv").write_text("mine")
    words = (road / "joint-eval", road / "clips.zarr", "--protocol", "linear", "--out", tmp_path / "mine.csv")
    done = run_it(*words, "--force")
    assert done.exit_code == 2
    assert "is no output of skelpipe" in done.output
    assert (tmp_path / "mine.csv").read_text() == "mine"
    (tmp_path / "mine.csv").unlink()
    assert run_it(*words).exit_code == 0
    assert run_it(*words, "--force").exit_code == 0


def test_joints_that_were_not_seen_are_told(road, tmp_path):
    x = np.random.default_rng(0).normal(0, 1, (20, 25, 3)).astype(np.float32)
    x[:10, 5:15] = np.nan
    np.save(tmp_path / "hidden.npy", x)
    done = run_it(road / "joint-eval", tmp_path / "hidden.npy", "--protocol", "linear")
    assert "in 1 of 1 joints were not seen, 20% of them in hidden: a model that has learnt" in done.output


def test_metres_are_no_pixels(tmp_path, road):
    rng = np.random.default_rng(0)
    (tmp_path / "raw").mkdir()
    for n in range(8):
        np.save(tmp_path / f"raw/a{n % 2}_{n}.npy", rng.normal(300, 40 + 40 * (n % 2), (20, 17, 2)))
    described = own_poses("coco17", names="a{label}_{}")
    ingest(described, tmp_path / "raw", tmp_path / "store", workers=0)
    recipe = load_recipe(
        "small_skeletonclr", ["batch_size=2", "method.queue_size=4", "clips.steps.align=none"], epochs=0
    )
    prepare(tmp_path / "store", tmp_path / "clips", frames=16, turn=False, threads=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pretrain(recipe, tmp_path / "clips", tmp_path / "run", split="name:1of2", stream="joint", device="cpu")
        evaluate(tmp_path / "run", tmp_path / "clips", tmp_path / "eval", protocols=["linear"], device="cpu", threads=1)
    with pytest.raises(BadInput, match="in pixels of a picture, and kinect_v2 is in metres, in space"):
        said(tmp_path / "eval", [road / "store.zarr"], None)


def test_coordinates_without_bounds_give_no_prediction(road):
    opened = open_store(road / "store.zarr")
    piece = next(iter(opened.pieces()))
    predictor = Predictor([find_model(road / "joint-eval", "linear")], device="cpu", threads=1)
    wild = replace(piece, joints=piece.joints * np.float32(1e37))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = predictor.score([piece, wild], opened.layout, [0, 1])
    assert found.seen.tolist() == [True, False]
    assert any("far too large" in line for line in predictor.told)


def test_videos_of_a_folder_are_inputs_of_their_own(tmp_path):
    for name in ("b.mp4", "a.AVI", ".hidden"):
        (tmp_path / name).touch()
    assert videos_in(tmp_path) == [tmp_path / "a.AVI", tmp_path / "b.mp4"]
    assert videos_in(tmp_path / "b.mp4") == [tmp_path / "b.mp4"]
    (tmp_path / "walk.npy").touch()
    assert videos_in(tmp_path) == [tmp_path]


def test_one_of_several_processes_writes(road, tmp_path):
    held = lock(tmp_path / ".a.csv.lock")
    done = run_it(road / "joint-eval", road / "clips.zarr", "--protocol", "linear", "--out", tmp_path / "a.csv")
    os.close(held)
    assert done.exit_code == 2
    assert "another" in done.output
    assert not (tmp_path / "a.csv").exists()


@pytest.mark.parametrize("stream", ["joint", "bone"])
def test_the_docs_say_how_an_onnx_file_is_fed(road, tmp_path, monkeypatch, stream):
    readme = Path(skelpipe.__file__).parents[1] / "models/README.md"
    if not readme.is_file():
        pytest.skip("needs a checkout")
    text = readme.read_text().partition("<!-- snippet: onnx -->\n```python\n")[2].partition("\n```\n")[0]
    done = CliRunner().invoke(
        main, ["export-onnx", str(road / f"{stream}-eval"), str(tmp_path / "model.onnx"), "--protocol", "linear"]
    )
    assert done.exit_code == 0, done.output
    monkeypatch.chdir(tmp_path)
    made: dict = {}
    exec(compile(text, "models/README.md", "exec"), made)
    found, _ = said(road / f"{stream}-eval", [road / "store.zarr"])
    bodies = set()
    for each, piece in zip(found, open_store(road / "store.zarr").pieces(), strict=True):
        ids = list(dict.fromkeys(piece.row_body.tolist()))[:2]
        x = np.zeros((piece.frames, 2, 25, 3), np.float32)
        for frame, body, joints in zip(piece.row_frame, piece.row_body.tolist(), piece.joints, strict=True):
            if body in ids:
                x[frame, ids.index(body)] = joints
        mine = made["probabilities"](x)
        assert list(mine) == list(find_model(road / f"{stream}-eval", "linear").facts.classes)
        if len(piece.row_body) == len(ids) * piece.frames:  # nobody comes or goes
            bodies.add(len(ids))
            np.testing.assert_allclose(list(mine.values()), each.probability, atol=5e-3)
    assert bodies


def test_recordings_named_as_those_of_the_model_are_searched_once(road, monkeypatch):
    searches, real = [], Ntu.find
    monkeypatch.setattr(Ntu, "find", lambda *given: searches.append(given) or real(*given))
    assert said(road / "joint-eval", [road / "raw"])[0]
    assert len(searches) == 1
