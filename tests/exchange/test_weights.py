"""Checkpoints of the reference family: read, used, gone on from, written back, and refused."""

from __future__ import annotations

import copy
import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import TINY
from safetensors.torch import load_file
from states import SPATIAL, reference_encoder, reference_file, saved

from skelpipe.cli import main
from skelpipe.errors import BadInput
from skelpipe.evaluation.features import encode, load_run
from skelpipe.exchange.weights.contents import reference_name
from skelpipe.exchange.weights.exporting import export_weights
from skelpipe.exchange.weights.importing import import_weights
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.outputs.ancestry import DONE
from skelpipe.outputs.digests import require
from skelpipe.recordings.store import Clips
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe
from skelpipe.training.trained_on import read_trained_on

USED = {"stream": "motion", "split": "xsub60"}


def method_of(run):
    return torch.load(run / "checkpoint.pt", weights_only=True)["method"]


def settings_of(folder):
    return json.loads((folder / "settings.json").read_text())


@pytest.fixture(scope="module")
def trained(clips, tmp_path_factory):
    """A run of our own at toy size, and the same in the reference's form."""
    folder = tmp_path_factory.mktemp("trained")
    recipe = load_recipe("crosnnclr", [*TINY, "positives.nn_start_epoch=0"], epochs=1)
    pretrain(recipe, clips, folder / "run", **USED, device="cpu", threads=1)
    export_weights(folder / "run", folder / "file.pt")
    return folder / "run", folder / "file.pt"


def test_what_is_assumed_of_the_clips_is_said(trained, clips, tmp_path):
    """Without clips: AimCLR's preparation, and the rule of the split. With clips: theirs, and they are kept."""
    words = ["import-weights", str(trained[1]), str(tmp_path / "bare"), "--stream", "motion", "--split", "xsub60",
             "--recipe", "crosnnclr", "--epoch", "1", "--frames", "12"]  # fmt: skip
    bare = [words[0], words[1], str(tmp_path / "none"), *words[3:-2]]
    assert "as 'skelpipe prepare --frames 50' makes them" in CliRunner().invoke(main, bare).output
    said = CliRunner().invoke(main, words).output
    assert "assumed: trained on clips as 'skelpipe prepare --frames 12' makes them, by the rule of xsub60" in said
    bare = settings_of(tmp_path / "bare")
    usual = {"bodies": "first", "centre": True, "turn": True, "longest": 300, "length": "count"}
    assert (bare["prepared"], bare["prepared_assumed"]) == (usual, True)
    doubts = load_run(tmp_path / "bare", Clips(clips), "cpu").cautions  # these clips say nothing of two of the keys
    assert doubts == ("whether its clips were prepared as the run's cannot be told: longest, length unknown",)
    import_weights(trained[1], tmp_path / "on", load_recipe("crosnnclr"), **USED, epoch=1, epochs=1, clips=clips)
    on = settings_of(tmp_path / "on")
    assert (on["prepared"], "prepared_assumed" in on) == (settings_of(trained[0])["prepared"], False)
    kept = [read_trained_on(run).names.tolist() for run in (tmp_path / "on", trained[0])]
    assert kept[0] == kept[1] != []


def test_there_and_back_is_the_same_state_and_the_same_features(trained, clips, tmp_path):
    run, file = trained
    made = import_weights(file, tmp_path / "back", load_recipe("crosnnclr"), **USED, epoch=1, frames=12)
    assert made.finished
    assert made.resumable
    before, after = method_of(run), method_of(tmp_path / "back")
    assert before.keys() == after.keys()
    for name in before.keys() - {"moco.queue_label"}:  # classes are not in such a file
        assert torch.equal(before[name], after[name]), name
    assert (after["moco.queue_label"] == -1).all()
    source, rows = Clips(clips), np.arange(6)
    features = [encode(load_run(r, source, "cpu"), source, rows) for r in (run, tmp_path / "back")]
    np.testing.assert_array_equal(*features)
    export_weights(tmp_path / "back", tmp_path / "again.pt")
    first, second = torch.load(file), torch.load(tmp_path / "again.pt")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_file_in_the_references_names_lands_in_its_places(tmp_path):
    state = reference_file()
    made = import_weights(
        saved(state, tmp_path / "a.pt"), tmp_path / "run", load_recipe("aimclr"), **USED, epoch=7, dataset="ntu120"
    )
    assert made.family == "pretraining by SkeletonCLR, AimCLR or CrosNNCLR"
    assert made.shape == "width 2, 6 features, 25 joints, embeddings of 4, queue of 48"
    settings = settings_of(tmp_path / "run")
    assert (settings["method"], settings["epochs"], settings["dataset"]) == ("aimclr", 7, "ntu120")
    ours = method_of(tmp_path / "run")
    for mine, theirs in {
        "query.encoder.input_norm.running_var": "encoder_q.data_bn.running_var",
        "query.encoder.blocks.0.spatial.conv.weight": "encoder_q.st_gcn_networks.0.gcn.conv.weight",
        "query.encoder.blocks.4.spatial_norm.bias": "encoder_q.st_gcn_networks.4.tcn.0.bias",
        "key.encoder.blocks.9.temporal.weight": "encoder_k.st_gcn_networks.9.tcn.2.weight",
        "key.encoder.blocks.3.temporal_norm.running_mean": "encoder_k.st_gcn_networks.3.tcn.3.running_mean",
        "query.encoder.blocks.7.residual.0.weight": "encoder_q.st_gcn_networks.7.residual.0.weight",
        "key.encoder.blocks.7.residual.1.weight": "encoder_k.st_gcn_networks.7.residual.1.weight",
        "key.encoder.edge_importance.5": "encoder_k.edge_importance.5",
        "query.projector.2.bias": "encoder_q.fc.2.bias",
        "queue": "queue",
    }.items():
        assert torch.equal(ours[f"moco.{mine}"], state[theirs]), mine
    assert int(ours["moco.pointer"]) == 16
    assert load_file(tmp_path / "run" / "weights.safetensors").keys() == {
        name.removeprefix("moco.query.") for name in ours if name.startswith("moco.query.")
    }


def test_with_clips_the_same_pretraining_goes_on(trained, clips, tmp_path):
    _, file = trained
    recipe = load_recipe("crosnnclr", [*TINY, "positives.nn_start_epoch=0"], epochs=3)
    made = import_weights(file, tmp_path / "run", recipe, **USED, clips=clips, epoch=2)
    assert not made.finished
    with pytest.raises(BadInput, match="not whole"):
        require(tmp_path / "run", "run", "train it")
    before = method_of(tmp_path / "run")
    result = pretrain(recipe, clips, tmp_path / "run", **USED, device="cpu", threads=1)
    assert (result.state, result.epoch) == ("finished", 3)
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in log] == [3]
    after = method_of(tmp_path / "run")
    # 3 steps of 8 keys in a queue of 32: only the 8 oldest are still the file's.
    kept = (before["moco.queue"] == after["moco.queue"]).all(0)
    assert kept.sum() == 8
    assert not torch.equal(before["moco.query.projector.0.weight"], after["moco.query.projector.0.weight"])
    assert (tmp_path / "run" / DONE).exists()


def test_the_recipe_left_in_the_run_goes_on_too(trained, clips, tmp_path):
    """Its sizes are those of the file, not of the recipe that was named."""
    _, file = trained
    recipe = load_recipe("crosnnclr", ["batch_size=8"])
    import_weights(file, tmp_path / "run", recipe, **USED, clips=clips, epoch=2, epochs=2)
    left = load_recipe(tmp_path / "run" / "recipe.yaml")
    assert left.encoder.width == 2
    assert pretrain(left, clips, tmp_path / "run", **USED, device="cpu").state == "already finished"
    with pytest.raises(BadInput, match="other settings"):
        pretrain(recipe, clips, tmp_path / "run", **USED, device="cpu")


def test_the_encoder_alone_evaluates_but_does_not_go_on(trained, clips, tmp_path):
    run, _ = trained
    export_weights(run, tmp_path / "q.pt", encoder_only=True)
    assert {name.split(".")[0] for name in torch.load(tmp_path / "q.pt")} == {"encoder_q"}
    assert not any(".fc." in name for name in torch.load(tmp_path / "q.pt"))
    recipe = load_recipe("crosnnclr")
    made = import_weights(tmp_path / "q.pt", tmp_path / "back", recipe, **USED, frames=12)
    assert not made.resumable
    assert "no pretext head" in made.shape
    source, rows = Clips(clips), np.arange(6)
    features = [encode(load_run(r, source, "cpu"), source, rows) for r in (run, tmp_path / "back")]
    np.testing.assert_array_equal(*features)
    with pytest.raises(BadInput, match="cannot be trained on"):
        import_weights(tmp_path / "q.pt", tmp_path / "on", recipe, **USED, clips=clips)
    with pytest.raises(BadInput, match="--encoder-only"):
        export_weights(tmp_path / "back", tmp_path / "r.pt")


def test_what_linear_evaluation_leaves_is_named(tmp_path):
    file = saved(reference_encoder("encoder_q", "classifier"), tmp_path / "linear.pt")
    made = import_weights(file, tmp_path / "run", load_recipe("skeletonclr"), **USED)
    assert made.family == "linear evaluation, 60 classes"
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_of_three_streams_the_one_asked_for_is_taken(tmp_path):
    """Only CrosSCLR's joint encoder has a head like ours: the other two share its layers."""
    state = reference_file() | reference_file("_motion", "shared", 10) | reference_file("_bone", "shared", 20)
    file, recipe = saved(state, tmp_path / "three.pt"), load_recipe("skeletonclr")
    for stream, suffix in (("joint", ""), ("bone", "_bone")):
        made = import_weights(file, tmp_path / stream, recipe, stream=stream, split="xview60")
        assert made.family == f"pretraining by CrosSCLR, {stream} of joint, motion, bone"
        assert made.resumable == (stream == "joint")
        ours = load_file(tmp_path / stream / "weights.safetensors")["encoder.input_norm.weight"]
        assert torch.equal(ours, state[f"encoder_q{suffix}.data_bn.weight"])
    two = {name: value for name, value in state.items() if "_bone" not in name}
    with pytest.raises(BadInput, match="holds joint, motion"):
        import_weights(saved(two, tmp_path / "two.pt"), tmp_path / "no", recipe, stream="bone", split="xsub60")


def three_streams():
    """A CrosSCLR file: the heads of motion and bone end in the joint one."""
    state = reference_file()
    for suffix, seed in (("_motion", 10), ("_bone", 20)):
        further = reference_file(suffix, "shared", seed)
        for name in list(further):
            if (place := name.replace(suffix, "").replace("fc.2.", "fc.")) != name.replace(suffix, ""):
                further[name] = state[place].clone()
        state |= further
    return state


ALL = {"stream": "3s", "split": "xsub60"}
SUFFIX = {"joint": "", "motion": "_motion", "bone": "_bone"}


@pytest.fixture(scope="module", params=["shared", "own"])
def trained_on_three(request, clips, tmp_path_factory):
    """A CrosSCLR run of our own at toy size with these heads, and the same in the reference's form."""
    folder = tmp_path_factory.mktemp("three")
    sets = [*TINY, "encoder.features=6", "positives.nn_start_epoch=0", f"method.heads={request.param}"]
    recipe = load_recipe("crossclr", sets, epochs=1)
    pretrain(recipe, clips, folder / "run", **ALL, device="cpu", threads=1)
    export_weights(folder / "run", folder / "file.pt")
    return folder / "run", folder / "file.pt", recipe


def features_of(run, clips, stream):
    source = Clips(clips)
    return encode(load_run(run, source, "cpu", stream=stream), source, np.arange(6))


def test_three_streams_there_and_back(trained_on_three, clips, tmp_path):
    run, file, recipe = trained_on_three
    made = import_weights(file, tmp_path / "back", load_recipe("crossclr"), **ALL, epoch=1, frames=12)
    heads = "shared" if recipe.method.heads == "shared" else "of their own"
    assert made.family == f"pretraining by CrosSCLR, joint, motion, bone, heads {heads}"
    assert made.resumable
    assert load_recipe(tmp_path / "back" / "recipe.yaml").method.heads == recipe.method.heads
    before, after = method_of(run), method_of(tmp_path / "back")
    assert before.keys() == after.keys()
    for name in before:
        assert name.endswith("queue_label") or torch.equal(before[name], after[name]), name
    for stream in SUFFIX:
        np.testing.assert_array_equal(*(features_of(r, clips, stream) for r in (run, tmp_path / "back")))
    export_weights(tmp_path / "back", tmp_path / "again.pt")
    first, second = torch.load(file), torch.load(tmp_path / "again.pt")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_three_streams_are_written_under_the_references_names(trained_on_three, tmp_path):
    run, file, recipe = trained_on_three
    shared = recipe.method.heads == "shared"
    names = set()
    for suffix in SUFFIX.values():
        head = "shared" if shared and suffix else "pretext"
        for which in "qk":
            names |= reference_encoder(f"encoder_{which}{suffix}", head).keys()
        names |= {f"queue{suffix}", f"queue_ptr{suffix}"}
    state = torch.load(file)
    assert {name for name in state if not name.endswith("num_batches_tracked")} == names
    counted = {name.replace("running_mean", "num_batches_tracked") for name in names if "running_mean" in name}
    assert set(state) - names == counted
    assert torch.equal(state["encoder_k_bone.A"], SPATIAL)
    assert (state["queue_bone"].shape, state["queue_ptr_bone"].tolist()) == ((8, 32), [24])
    if shared:
        for which in ("q", "k"):
            joint = state[f"encoder_{which}.fc.2.bias"]
            assert all(torch.equal(state[f"encoder_{which}_{s}.fc.2.2.bias"], joint) for s in ("motion", "bone"))
    export_weights(run, tmp_path / "q.pt", encoder_only=True)
    alone = torch.load(tmp_path / "q.pt")
    assert {name.split(".")[0] for name in alone} == {f"encoder_q{suffix}" for suffix in SUFFIX.values()}
    assert not any(".fc." in name for name in alone)
    assert all(torch.equal(value, state[name]) for name, value in alone.items())


def test_a_file_of_three_streams_lands_in_its_places(tmp_path):
    state = three_streams()
    state["queue_ptr_bone"] = torch.tensor([32])
    file = saved({f"module.{name}": value for name, value in state.items()}, tmp_path / "three.pt")
    made = import_weights(file, tmp_path / "run", load_recipe("crossclr"), **ALL)
    assert made.family == "pretraining by CrosSCLR, joint, motion, bone, heads shared"
    assert made.shape == "width 2, 6 features, 25 joints, embeddings of 4, queue of 48"
    assert (made.finished, made.resumable) == (True, True)
    assert settings_of(tmp_path / "run")["stream"] == "3s"
    ours = method_of(tmp_path / "run")
    for mine, theirs in {
        "joint.query.encoder.input_norm.running_var": "encoder_q.data_bn.running_var",
        "motion.query.encoder.edge_importance.5": "encoder_q_motion.edge_importance.5",
        "bone.key.encoder.blocks.7.residual.0.weight": "encoder_k_bone.st_gcn_networks.7.residual.0.weight",
        "joint.key.projector.2.bias": "encoder_k.fc.2.bias",
        "motion.query.projector.0.weight": "encoder_q_motion.fc.0.weight",
        "bone.query.projector.2.0.weight": "encoder_q.fc.0.weight",
        "bone.key.projector.2.2.bias": "encoder_k.fc.2.bias",
        "motion.queue": "queue_motion",
    }.items():
        assert torch.equal(ours[f"streams.{mine}"], state[theirs]), mine
    assert [int(ours[f"streams.{s}.pointer"]) for s in SUFFIX] == [16, 16, 32]
    export_weights(tmp_path / "run", tmp_path / "back.pt")
    back = torch.load(tmp_path / "back.pt")
    assert all(torch.equal(back[name], value) for name, value in state.items())


def test_three_streams_go_on(trained_on_three, clips, tmp_path):
    _, file, recipe = trained_on_three
    recipe = recipe.model_copy(update={"epochs": 3})
    assert not import_weights(file, tmp_path / "run", recipe, **ALL, clips=clips, epoch=2).finished
    before = method_of(tmp_path / "run")
    result = pretrain(recipe, clips, tmp_path / "run", **ALL, device="cpu", threads=1)
    assert (result.state, result.epoch) == ("finished", 3)
    after = method_of(tmp_path / "run")
    for s in SUFFIX:  # 3 steps of 8 keys in a queue of 32: only the 8 oldest are still the file's
        assert (before[f"streams.{s}.queue"] == after[f"streams.{s}.queue"]).all(0).sum() == 8
        assert int(after[f"streams.{s}.pointer"]) == 16
    # Neighbours are mined, so of the public code's key networks only the motion one follows.
    still = [torch.equal(before[n], after[n]) for n in (f"streams.{s}.key.encoder.edge_importance.0" for s in SUFFIX)]
    assert still == [True, False, True]


def test_heads_that_no_method_of_ours_has_evaluate_only(clips, tmp_path):
    other_tails = reference_file() | reference_file("_motion", "shared", 10) | reference_file("_bone", "shared", 20)
    other_key = {**three_streams(), "encoder_k_bone.fc.2.0.bias": torch.ones(5)}
    mixed = reference_file() | reference_file("_motion", "pretext", 10)
    mixed |= {name: value for name, value in three_streams().items() if "_bone" in name}
    linear, recipe = {}, load_recipe("crossclr", ["method.queue_size=8"])
    for seed, suffix in enumerate(SUFFIX.values()):
        linear |= reference_encoder(f"encoder_q{suffix}", "classifier", seed)
    for number, state in enumerate((other_tails, other_key, mixed, linear)):
        file, run = saved(state, tmp_path / f"{number}.pt"), tmp_path / f"run{number}"
        made = import_weights(file, run, recipe, **ALL, frames=12)
        kind = "linear evaluation, 60 classes" if state is linear else "pretraining by CrosSCLR"
        assert made.family == f"{kind}, joint, motion, bone"
        assert (made.finished, made.resumable, "no pretext head" in made.shape) == (True, False, True)
        for stream, suffix in SUFFIX.items():
            network = load_run(run, Clips(clips), "cpu", stream=stream).network
            assert torch.equal(network.encoder.input_norm.bias, state[f"encoder_q{suffix}.data_bn.bias"])
        with pytest.raises(BadInput, match="cannot be trained on"):
            import_weights(file, tmp_path / "on", recipe, **ALL, clips=clips)


def without_streams(*suffixes):
    return {name: value for name, value in three_streams().items() if not any(s in name for s in suffixes)}


REFUSED = {
    "a recipe of one stream": ("skeletonclr", "3s", three_streams, "pass --recipe crossclr"),
    "one stream for a recipe of three": ("crossclr", "joint", three_streams, "use --stream 3s"),
    "a supervised recipe": ("stgcn_supervised", "joint", reference_file, "learns a classifier, and"),
    "two streams": ("crossclr", "3s", lambda: without_streams("_bone"), "lacks bone; import one stream"),
    "one encoder": ("crossclr", "3s", reference_file, "holds one encoder and lacks motion, bone"),
    "a queue of another size": (
        "crossclr", "3s", lambda: {**three_streams(), "queue_bone": torch.ones(4, 32)}, r"queue_bone \(4, 32\)",
    ),
    "another width": (
        "crossclr", "3s", lambda: {**three_streams(), **reference_encoder("encoder_q_bone", "shared", width=3)},
        "has the shape|does not fit",
    ),
    "a graph of its own": (
        "crossclr", "3s", lambda: {**three_streams(), "encoder_q_bone.A": torch.ones(3, 9, 9)}, r"q_bone\.A, 3×",
    ),
    "two pointers": (
        "crossclr", "3s", lambda: {**three_streams(), "queue_ptr_motion": torch.zeros(2)}, "queue_ptr_motion is not",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_in_a_line(case, tmp_path):
    recipe, stream, make, says = REFUSED[case]
    file = saved(make(), tmp_path / "wrong.pt")
    with pytest.raises(BadInput, match=says) as caught:
        import_weights(file, tmp_path / "run", load_recipe(recipe), stream=stream, split="xsub60")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


class Code:
    def __reduce__(self):
        return os.mkdir, ("was-run",)


def without(name):
    return {key: value for key, value in reference_file().items() if key != name}


def graph_of_hops():
    return {**reference_file(), "encoder_q.A": torch.eye(25).repeat(3, 1, 1) / 3}


WRONG = {
    "no key encoder's bias": (lambda: without("encoder_k.data_bn.bias"), "data_bn.bias is missing"),
    "no size": (lambda: without("encoder_q.st_gcn_networks.9.tcn.2.weight"), r"9\.tcn\.2\.weight is missing"),
    "no graph": (lambda: without("encoder_q.A"), "has no graph"),
    "another graph": (graph_of_hops, "its graph"),
    "a tensor too many": (lambda: {**reference_file(), "encoder_q.gate": torch.ones(1)}, "gate has no place"),
    "another shape": (lambda: {**reference_file(), "encoder_k.fc.2.bias": torch.ones(9)}, "has the shape"),
    "another queue": (lambda: {**reference_file(), "queue": torch.ones(5, 48)}, "queue"),
    "a pointer beyond": (lambda: {**reference_file(), "queue_ptr": torch.tensor([48])}, "pointer 48"),
    "not finite": (lambda: {**reference_file(), "encoder_q.fc.2.bias": torch.full((4,), torch.nan)}, "not finite"),
    "another family": (lambda: {"conv1.weight": torch.ones(64, 3, 7, 7)}, "holds no ST-GCN .* but conv1.weight"),
    "a list": (lambda: [1, 2], "holds no state dict .* but a list"),
    "code": (lambda: {**reference_file(), "extra": Code()}, "would run code"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused_and_leaves_nothing(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make, message = WRONG[case]
    file = saved(make(), tmp_path / "wrong.pt")
    with pytest.raises(BadInput, match=message):
        import_weights(file, tmp_path / "run", load_recipe("skeletonclr"), **USED)
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.pt"]


def test_a_damaged_file_is_refused(tmp_path, trained):
    whole = trained[1].read_bytes()
    for number, data in enumerate((b"", whole[: len(whole) // 2], b"no weights at all", pickle.dumps([0.5] * 9)[:20])):
        file = tmp_path / f"{number}.pt"
        file.write_bytes(data)
        with pytest.raises(BadInput, match="damaged"):
            import_weights(file, tmp_path / "run", load_recipe("skeletonclr"), **USED)
    with pytest.raises(BadInput, match="cannot be read"):
        import_weights(tmp_path / "none.pt", tmp_path / "run", load_recipe("skeletonclr"), **USED)


def test_a_changed_bit_in_a_file_from_elsewhere_is_seen(tmp_path, trained):
    data = bytearray(trained[1].read_bytes())
    data[len(data) // 2] ^= 1  # amid the tensors, where torch would read another number
    (tmp_path / "changed.pt").write_bytes(data)
    torch.load(tmp_path / "changed.pt", weights_only=True)
    with pytest.raises(BadInput, match=r"changed\.pt: is damaged"):
        import_weights(tmp_path / "changed.pt", tmp_path / "run", load_recipe("skeletonclr"), **USED)


@pytest.mark.parametrize("lie", ["packed", "overlapping"])
def test_a_file_that_unpacks_to_more_than_it_takes_is_refused_at_once(tmp_path, trained, lie, monkeypatch):
    with zipfile.ZipFile(trained[1]) as whole, zipfile.ZipFile(tmp_path / "big.pt", "w") as archive:
        for name in whole.namelist():
            archive.writestr(name, whole.read(name), zipfile.ZIP_DEFLATED if lie == "packed" else None)
        if lie == "overlapping":
            archive.filelist += [copy.copy(member) for member in archive.filelist]
    unpacked: list[object] = []
    monkeypatch.setattr(zipfile.ZipFile, "testzip", lambda archive: unpacked.append(archive))
    with pytest.raises(BadInput, match=r"big\.pt: is damaged, or was not saved by torch"):
        import_weights(tmp_path / "big.pt", tmp_path / "run", load_recipe("skeletonclr"), **USED)
    assert not unpacked


def test_a_file_in_the_format_without_an_archive_is_read(tmp_path, trained):
    state = torch.load(trained[1], weights_only=True)
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    run = tmp_path / "run"
    import_weights(tmp_path / "old.pt", run, load_recipe("skeletonclr"), **USED)
    assert (run / "weights.safetensors").exists()


def test_a_damaged_checkpoint_of_an_unfinished_run_is_not_exported(trained, tmp_path):
    run = Path(shutil.copytree(trained[0], tmp_path / "run"))
    (run / DONE).unlink()  # with it goes the sha256 of the checkpoint
    data = bytearray((run / "checkpoint.pt").read_bytes())
    data[len(data) // 2] ^= 1  # amid the tensors
    (run / "checkpoint.pt").write_bytes(data)
    with pytest.raises(BadInput, match=r"checkpoint\.pt: cannot be loaded"):
        export_weights(run, tmp_path / "file.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_what_was_said_must_fit(trained, clips, tmp_path):
    _, file = trained
    recipe = load_recipe("crosnnclr")
    for said, message in (
        ({"dataset": "pku1"}, "no split xsub60"),
        ({"epochs": 400}, "--clips"),
        ({"clips": clips, "epochs": 299}, "past the end"),
        ({"clips": clips, "dataset": "ntu120"}, "not ntu120"),
    ):
        with pytest.raises(BadInput, match=message):
            import_weights(file, tmp_path / "run", recipe, **USED, **said)
    assert not (tmp_path / "run").exists()


def test_nothing_is_overwritten_unasked(trained, tmp_path):
    run, file = trained
    recipe, before = load_recipe("crosnnclr"), file.read_bytes()
    with pytest.raises(BadInput, match="already exists"):
        export_weights(run, file)
    with pytest.raises(BadInput, match="already exists"):
        import_weights(file, run, recipe, **USED)
    assert file.read_bytes() == before
    import_weights(file, tmp_path / "run", recipe, **USED, epoch=1)
    import_weights(file, tmp_path / "run", recipe, **USED, epoch=2, force=True)
    assert settings_of(tmp_path / "run")["epochs"] == 2


def test_every_tensor_has_its_own_name():
    names = load_recipe("skeletonclr", TINY).build_network(KINECT_V2, 60).state_dict().keys()
    assert len({reference_name(name) for name in names}) == len(names)


def test_the_commands(trained, clips, tmp_path):
    run, file = trained

    def call(*words):
        done = CliRunner().invoke(main, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        return done.output

    assert "tensors" in call("export-weights", run, tmp_path / "b.pt")
    said = call("import-weights", file, tmp_path / "on", "--recipe", "crosnnclr", "--split", "xsub60",
                "--stream", "bone", "--clips", clips, "--epoch", 3)  # fmt: skip
    assert "SkeletonCLR, AimCLR or CrosNNCLR; width 2" in said
    assert "epoch 3/800, to be trained on" in said
    assert f"skelpipe pretrain {tmp_path / 'on'}/recipe.yaml" in said
    said = call("import-weights", file, tmp_path / "run", "--split", "xsub60", "--stream", "bone", "--frames", 12)
    assert "epoch 300/300, can be evaluated" in said
    call("embed", tmp_path / "run", clips, tmp_path / "features.npz")
    assert np.load(tmp_path / "features.npz")["feature"].shape == (32, 8)
    call("inspect", tmp_path / "run")


def test_the_commands_for_three_streams(clips, tmp_path):
    file = saved(three_streams(), tmp_path / "three.pt")

    def call(*words):
        done = CliRunner().invoke(main, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        return done.output

    words = ("import-weights", file, tmp_path / "run", "--recipe", "crossclr", "--split", "xsub60", "--stream", "3s")
    said = call(*words, "--clips", clips, "--epoch", 3)
    assert "CrosSCLR, joint, motion, bone, heads shared; width 2" in said
    assert f"skelpipe pretrain {tmp_path / 'run'}/recipe.yaml {clips} {tmp_path / 'run'}" in said
    assert "--stream 3s" in said
    call(*words, "--frames", 12, "--force")
    call("embed", tmp_path / "run", clips, tmp_path / "bone.npz", "--stream", "bone")
    assert np.load(tmp_path / "bone.npz")["feature"].shape == (32, 6)
    assert "tensors" in call("export-weights", tmp_path / "run", tmp_path / "back.pt")
    assert torch.load(tmp_path / "back.pt").keys() >= three_streams().keys()


def test_half_a_checkpoint_is_unfinished(trained, tmp_path):
    data = trained[1].read_bytes()
    for size in (20_000, len(data) // 2, len(data) - 10):
        (tmp_path / "half.pt").write_bytes(data[:size])
        with pytest.raises(BadInput, match="is damaged or unfinished; fetch it again"):
            import_weights(tmp_path / "half.pt", tmp_path / "run", stream="joint", split="xsub60")


def test_inspect_names_a_checkpoint_and_its_whole_command(trained, tmp_path):
    shown = CliRunner().invoke(main, ["inspect", str(trained[1])]).stdout
    assert "pretraining by SkeletonCLR" in shown
    assert shown.splitlines()[-1] == f"skelpipe import-weights {trained[1]} RUN --split SPLIT --stream STREAM"
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "other.pt")
    other = CliRunner().invoke(main, ["inspect", str(tmp_path / "other.pt")])
    assert other.exit_code == 2
    assert "holds no ST-GCN" in other.output
