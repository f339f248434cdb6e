"""Checkpoints of kin: wrapped, renamed, in other types, of ST-GCN's relatives, and of networks that we have not."""

from __future__ import annotations

import argparse
import gzip
import json
from collections import OrderedDict

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from states import features_of, reference_encoder, reference_file, saved

from skelpipe.cli import main
from skelpipe.encoders.graph import adjacency
from skelpipe.errors import BadInput
from skelpipe.evaluation.features import encode, load_run
from skelpipe.exchange.weights.exporting import export_weights
from skelpipe.exchange.weights.families import beneath
from skelpipe.exchange.weights.foreign import NETWORKS, name_network
from skelpipe.exchange.weights.importing import import_weights
from skelpipe.layouts import find_layout
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.outputs.ancestry import DONE
from skelpipe.recordings.store import Clips
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

USED = {"stream": "joint", "split": "xsub60"}
PYSKL_BONES = ((21, 7), (23, 11))


def prefixed(prefix, state):
    return {prefix + name: value for name, value in state.items()}


def bare(seed=0, **more):
    """An encoder without the names of a contrastive method around it, and without a head."""
    state = beneath(reference_encoder("e", "pretext", seed, **more), "e.")
    return {name: value for name, value in state.items() if not name.startswith("fc.")}


def weights_of(run):
    return load_file(run / "weights.safetensors")


def imported(state, tmp_path, **more):
    return import_weights(saved(state, tmp_path / "file.pt"), tmp_path / "run", **{**USED, "frames": 12, **more})


def of_clips(clips, rows=slice(None)):
    return torch.from_numpy(np.array(Clips(clips).group["clips"][rows]))


def same_features(run, clips, state):
    """Six clips' features by an imported run, held against those worked out plainly."""
    source = Clips(clips)
    found = encode(load_run(run, source, "cpu"), source, np.arange(6))
    np.testing.assert_allclose(found, features_of(state, of_clips(clips, slice(6))), rtol=1e-4, atol=1e-5)


# ---- wrapped and renamed

OPTIMIZER = {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
WRAPPED = {
    "moco": (
        lambda s: {"epoch": 3, "arch": "x", "state_dict": prefixed("module.", s), "optimizer": OPTIMIZER},
        "state_dict",
    ),
    "model_state_dict": (
        lambda s: {"model_state_dict": s, "optimizer_state_dict": OPTIMIZER, "loss": torch.ones(())},
        "model_state_dict",
    ),
    "model": (lambda s: {"model": s}, "model"),
    "net": (lambda s: {"net": s, "acc": 0.5}, "net"),
    "twice": (lambda s: prefixed("module.module.", s), ""),
    "compiled": (lambda s: prefixed("_orig_mod.", s), ""),
    "compiled within": (lambda s: prefixed("module._orig_mod.", s), ""),
    "around encoders": (
        lambda s: {
            n.replace("encoder_q.", "encoder_q.module.").replace("encoder_k.", "encoder_k._orig_mod."): v
            for n, v in s.items()
        },
        "",
    ),
    "averaged": (lambda s: {"n_averaged": torch.tensor(3), **prefixed("module.", s)}, ""),
    "in a trainer's trainer": (
        lambda s: {"checkpoint": {"trainer": {"model": prefixed("module.", s)}}},
        "checkpoint.trainer.model",
    ),
    "a pair": (lambda s: (s, {"epoch": 3}), "0"),
    "lightning": (
        lambda s: {"state_dict": prefixed("model.", s) | {"criterion.weight": torch.ones(3)}, "callbacks": {}},
        "state_dict.model",
    ),
    "parameters": (lambda s: {n: torch.nn.Parameter(v, v.is_floating_point()) for n, v in s.items()}, ""),
    "objects": (
        lambda s: {"model": s, "args": argparse.Namespace(lr=1), "best": np.float64(0.5), "meta": OrderedDict(a=1)},
        "model",
    ),
}


@pytest.mark.parametrize("case", WRAPPED)
def test_the_state_dict_is_found_in_what_holds_it(case, tmp_path):
    wrap, key = WRAPPED[case]
    state = reference_file()
    import_weights(saved(state, tmp_path / "plain.pt"), tmp_path / "plain", **USED)
    made = imported(wrap(state), tmp_path)
    assert (made.family, made.key) == ("pretraining by SkeletonCLR, AimCLR or CrosNNCLR", key)
    assert made.resumable
    plain, ours = weights_of(tmp_path / "plain"), weights_of(tmp_path / "run")
    assert plain.keys() == ours.keys()
    assert all(torch.equal(plain[name], ours[name]) for name in plain)
    assert json.loads((tmp_path / "run" / "imported.json").read_text())["key"] == key


def test_what_is_left_out_is_told(tmp_path):
    made = imported(WRAPPED["objects"][0](reference_file()), tmp_path)
    assert made.notes == (
        "objects that are no tensors (argparse.Namespace, numpy._core.multiarray.scalar, numpy.dtype)",
    )
    made = imported({**prefixed("encoder.", bare()), "classifier.weight": torch.ones(60, 6)}, tmp_path, force=True)
    assert (made.key, made.notes) == ("encoder", ("other tensors (classifier)",))


def test_the_command_tells_where_and_what(tmp_path):
    saved({"state_dict": prefixed("module.", reference_file()), "args": argparse.Namespace(a=1)}, tmp_path / "a.pt")
    words = ["import-weights", str(tmp_path / "a.pt"), str(tmp_path / "run"), "--split", "xsub60", "--stream", "joint"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert "a.pt (under state_dict): pretraining by SkeletonCLR" in done.output
    assert "left out: objects that are no tensors (argparse.Namespace)\n" in done.output


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: prefixed("module.", s)])
def test_safetensors_are_read_whatever_they_are_called(wrap, tmp_path):
    state = reference_file()
    save_file(wrap(state), tmp_path / "a.pt")
    import_weights(tmp_path / "a.pt", tmp_path / "run", **USED)
    ours = weights_of(tmp_path / "run")
    assert torch.equal(ours["encoder.input_norm.bias"], state["encoder_q.data_bn.bias"])


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_are_read_as_they_were_rounded(kind, tmp_path):
    state = reference_file()
    stored = {name: v.to(kind) if v.is_floating_point() else v for name, v in state.items()}
    made = imported(stored, tmp_path)
    assert made.resumable
    ours = weights_of(tmp_path / "run")
    assert {value.dtype for value in ours.values()} <= {torch.float32, torch.int64}
    for mine, theirs in {
        "encoder.blocks.4.temporal.weight": "encoder_q.st_gcn_networks.4.tcn.2.weight",
        "encoder.edge_importance.5": "encoder_q.edge_importance.5",
        "projector.2.bias": "encoder_q.fc.2.bias",
    }.items():
        assert torch.equal(ours[mine], stored[theirs].float()), mine


def test_of_several_networks_one_is_chosen_by_key(tmp_path):
    first, second = reference_file(), reference_file(seed=5)
    state = {"model": first, "model_ema": {"module": second}, "optimizer": OPTIMIZER}
    with pytest.raises(BadInput, match=r"holds several networks: model, model_ema\.module; choose one, as by --key"):
        imported(state, tmp_path)
    for key in ("model_ema.module", "model_ema"):
        made = imported(state, tmp_path, key=key, force=True)
        assert made.key == "model_ema.module"
        assert torch.equal(weights_of(tmp_path / "run")["projector.2.bias"], second["encoder_q.fc.2.bias"])
    with pytest.raises(BadInput, match=r"--key ema: .*file\.pt holds model, model_ema\.module"):
        imported(state, tmp_path, key="ema")
    two = prefixed("student.", bare()) | prefixed("teacher.", bare(1))
    with pytest.raises(BadInput, match="holds several networks: student, teacher"):
        imported(two, tmp_path)
    words = ["import-weights", str(saved(two, tmp_path / "two.pt")), str(tmp_path / "by"), "--key", "teacher",
             "--split", "xsub60", "--stream", "joint"]  # fmt: skip
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert torch.equal(weights_of(tmp_path / "by")["encoder.input_norm.bias"], bare(1)["data_bn.bias"])


# ---- the same network by other names


def hiclr(state):
    """HiCLR's GCN has no list of edge importances."""
    return {
        (f"{name[:-1].removesuffix('.')}{int(name[-1]) + 1}" if "edge_importance." in name else name): value
        for name, value in state.items()
    } | {"mask_param": torch.zeros(1)}


def test_hiclr(tmp_path):
    state = reference_file()
    file = hiclr(state)
    assert {"encoder_q.edge_importance1", "encoder_k.edge_importance10"} <= file.keys()
    made = imported(file, tmp_path)
    assert made.family == "pretraining by HiCLR, or by SkeletonCLR in its repository"
    assert (made.resumable, made.notes) == (True, ("other tensors (mask_param)",))
    export_weights(tmp_path / "run", tmp_path / "back.pt")
    back = torch.load(tmp_path / "back.pt")
    assert all(torch.equal(back[name], value) for name, value in state.items())


def convolved(state):
    """ActCLR's heads are 1×1 convolutions."""
    return {n: v[..., None, None] if ".fc." in n and n.endswith("weight") else v for n, v in state.items()}


def test_actclr_goes_on(clips, tmp_path):
    state = reference_file()
    recipe = load_recipe("skeletonclr", ["batch_size=8"])
    file = saved(convolved(state), tmp_path / "file.pt")
    made = import_weights(file, tmp_path / "run", recipe, **USED, clips=clips, epoch=1, epochs=2)
    assert (made.family, made.finished) == ("pretraining by ActCLR", False)
    left = load_recipe(tmp_path / "run" / "recipe.yaml")
    assert pretrain(left, clips, tmp_path / "run", **USED, device="cpu", threads=1).state == "finished"


@pytest.mark.parametrize("partition", ["inward_outward", "distance", "uniform"])
def test_another_partition_is_found_and_computed_with(partition, clips, tmp_path):
    graph = torch.from_numpy(adjacency(KINECT_V2, partition))
    state = reference_encoder("encoder_q", "pretext", graph=graph) | reference_encoder(
        "encoder_k", "pretext", 1, graph=graph
    )
    made = imported(state, tmp_path)
    assert f"partition {partition}" in made.shape
    if partition == "inward_outward":
        assert made.family == "pretraining by SkeleMixCLR, or by SkeletonCLR in its repository"
    assert load_recipe(tmp_path / "run" / "recipe.yaml").encoder.partition == partition
    same_features(tmp_path / "run", clips, beneath(state, "encoder_q."))
    export_weights(tmp_path / "run", tmp_path / "back.pt", encoder_only=True)
    assert torch.equal(torch.load(tmp_path / "back.pt")["encoder_q.A"], graph)


def test_a_bare_encoder_and_one_without_edge_importance(clips, tmp_path):
    state = {name: value for name, value in bare().items() if not name.startswith("edge_importance")}
    made = imported(prefixed("backbone.", state), tmp_path)
    assert (made.family, made.key, made.resumable) == ("an encoder alone", "backbone", False)
    same_features(tmp_path / "run", clips, state)


def test_a_key_encoder_on_another_graph_is_not_trained_on(clips, tmp_path):
    state = reference_file() | reference_file("_motion", "shared", 10)
    for suffix in ("", "_motion"):  # CrosView_SGCLR's keys are computed on graphs that lack some bones
        state[f"encoder_k{suffix}.A"] = state[f"encoder_q{suffix}.A"].clone()
        state[f"encoder_k{suffix}.A"][1, 0, 1] = 0
    made = imported(state, tmp_path)
    assert made.family == "pretraining by CrosView_SGCLR, joint of joint, motion"
    assert made.notes == ("its key encoder, whose graph is another than that of the query encoder",)
    assert (made.resumable, made.finished) == (False, True)
    with pytest.raises(BadInput, match="cannot be trained on"):
        imported(state, tmp_path, recipe=load_recipe("skeletonclr"), clips=clips, force=True)


def test_two_streams_and_another_scale_are_called_by_their_names(tmp_path):
    two = reference_file() | reference_file("_motion", "shared", 10)
    made = imported(two, tmp_path, stream="motion")
    assert made.family == "pretraining by CrosView_SGCLR, or by CrosSCLR on two streams, motion of joint, motion"
    scale = reference_file() | {"encoder_q_scale.A": torch.ones(3, 10, 10), "queue_scale": torch.ones(4, 48)}
    made = imported(scale, tmp_path, force=True)
    assert made.family == "pretraining by CrosScale_SGCLR, the encoder of all joints"
    assert made.notes == ("other tensors (encoder_q_scale, queue_scale)",)


# ---- trained with labels


def with_classifier(name="fcn", classes=60, **more):
    state = bare(**more)
    width = len(state["st_gcn_networks.9.tcn.0.weight"])
    generator = torch.Generator().manual_seed(9)
    weight = torch.randn(classes, width, generator=generator)
    return state | {f"{name}.weight": weight, f"{name}.bias": torch.randn(classes, generator=generator)}


def scores_of(state, x, name):
    return features_of(state, x) @ state[f"{name}.weight"].flatten(1).T + state[f"{name}.bias"]


def evaluated(run, clips, out, state, name):
    """`evaluate --protocol supervised` by command, held against the scores worked out plainly."""
    done = CliRunner().invoke(main, ["evaluate", str(run), str(clips), str(out), "--protocol", "supervised"])
    assert done.exit_code == 0, done.output
    source = Clips(clips)
    test = ~np.isin(source.columns["subject"], (1, 2, 4))
    expected = scores_of(state, of_clips(clips), name).numpy()[test]
    found = np.load(out / "scores.npz")
    np.testing.assert_array_equal(found["name"], source.columns["name"][test])
    np.testing.assert_allclose(found["supervised"], expected, rtol=1e-3, atol=1e-4)
    return (
        json.loads((out / "metrics.json").read_text())["protocols"]["supervised"]["top1"],
        expected.argmax(1),
        source.labels[test],
    )


def test_st_gcns_own_classifies(clips, tmp_path):
    state = with_classifier()
    file = {**state, "fcn.weight": state["fcn.weight"][..., None, None]}
    with pytest.raises(BadInput, match="--frames: is not said"):
        imported(file, tmp_path, frames=None)
    with pytest.raises(BadInput, match="learns without labels, and .* holds ST-GCN, trained with labels, 60 classes"):
        imported(file, tmp_path, recipe=load_recipe("skeletonclr"))
    with pytest.raises(BadInput, match=r"--split xsub120: has 120 classes, .* knows 60; choose one of xsub60, xview60"):
        imported(file, tmp_path, split="xsub120")
    made = imported(file, tmp_path)
    assert made.family == "ST-GCN, trained with labels, 60 classes"
    recipe = load_recipe(tmp_path / "run" / "recipe.yaml")
    assert (recipe.method.name, recipe.clips.preset, recipe.encoder.width) == ("supervised", "raw", 2)
    assert made.assumed == "--preset raw --frames 12"
    with pytest.raises(BadInput, match="--preset raw --frames 12"):  # its clips are not those of AimCLR's preparation
        load_run(tmp_path / "run", Clips(clips), "cpu")
    imported(file, tmp_path, recipe=load_recipe("stgcn_supervised"), force=True)
    top1, answers, labels = evaluated(tmp_path / "run", clips, tmp_path / "out", state, "fcn")
    assert top1 == (answers == labels).mean()
    assert export_weights(tmp_path / "run", tmp_path / "back.pt")
    back = beneath(torch.load(tmp_path / "back.pt"), "encoder_q.")
    assert all(torch.equal(back[name.replace("fcn", "fc")], value) for name, value in state.items())
    again = import_weights(tmp_path / "back.pt", tmp_path / "again", load_recipe("stgcn_supervised"), **USED)
    assert again.finished


def test_training_with_labels_goes_on(clips, tmp_path):
    recipe = load_recipe("stgcn_supervised", ["batch_size=8"])
    made = imported(with_classifier(), tmp_path, recipe=recipe, clips=clips, epoch=1, epochs=2)
    assert not made.finished
    left = load_recipe(tmp_path / "run" / "recipe.yaml")
    assert pretrain(left, clips, tmp_path / "run", **USED, device="cpu", threads=1).state == "finished"
    assert (tmp_path / "run" / DONE).exists()


def pyskl(state, importance=True, head="cls_head.fc_cls"):
    """A plain STGCN as PySKL and MMAction2 name it: each block has the graph and its importance."""
    parts = {
        "gcn.conv": "gcn.conv",
        "tcn.0": "gcn.bn",
        "tcn.2": "tcn.conv",
        "tcn.3": "tcn.bn",
        "residual.0": "residual.conv",
        "residual.1": "residual.bn",
    }
    named = {}
    for name, value in state.items():
        if name.startswith("st_gcn_networks."):
            _, block, first, second, rest = name.split(".", 4)
            named[f"backbone.gcn.{block}.{parts[f'{first}.{second}']}.{rest}"] = value
        elif name.startswith("edge_importance."):
            block = name.rpartition(".")[2]
            named[f"backbone.gcn.{block}.gcn.A"] = state["A"]
            if importance:
                named[f"backbone.gcn.{block}.gcn.PA"] = torch.where(state["A"] != 0, value, 0.9)
        elif name.startswith("fcn."):
            named[f"{head}.{name.removeprefix('fcn.')}"] = value
        elif name != "A":
            named[f"backbone.{name}"] = value
    return {"meta": {"epoch": 16, "config": "model = dict()"}, "state_dict": named, "optimizer": OPTIMIZER}


@pytest.mark.parametrize("head", ["cls_head.fc_cls", "cls_head.fc"])
def test_pyskls_and_mmactions_plain_stgcn(head, clips, tmp_path):
    state = with_classifier(graph=torch.from_numpy(adjacency(KINECT_V2, "spatial", PYSKL_BONES)))
    made = imported(pyskl(state, head=head), tmp_path)
    assert made.family == "ST-GCN of PySKL or MMAction2, trained with labels, 60 classes"
    assert (made.key, "2 bones other than kinect_v2's" in made.shape) == ("state_dict.backbone", True)
    assert load_recipe(tmp_path / "run" / "recipe.yaml").encoder.bones == PYSKL_BONES
    needs = "--preset isc --frames 12 --step bodies=denoise --step centre=clip --step time=pad"
    with pytest.raises(BadInput, match=needs):
        load_run(tmp_path / "run", Clips(clips), "cpu")
    imported(pyskl(state, head=head), tmp_path, recipe=load_recipe("stgcn_supervised"), force=True)
    evaluated(tmp_path / "run", clips, tmp_path / "out", state, "fcn")


def test_an_stgcn_of_pyskl_that_computes_otherwise_is_refused(tmp_path):
    graph = torch.from_numpy(adjacency(KINECT_V2, "spatial", PYSKL_BONES))
    state = with_classifier(graph=graph)
    offset, learnt, after, residual = (pyskl(state) for _ in range(4))
    offset["state_dict"]["backbone.gcn.3.gcn.PA"] = torch.randn(3, 25, 25) * 1e-3  # what is added where no edge is
    learnt["state_dict"]["backbone.gcn.3.gcn.A"] = graph + 0.01
    after["state_dict"]["backbone.gcn.0.gcn.conv.weight"] = torch.ones(2, 9, 1, 1)
    residual["state_dict"]["backbone.gcn.4.gcn.down.0.weight"] = torch.ones(4, 2, 1, 1)
    for file in (offset, learnt, after, residual):
        with pytest.raises(BadInput, match=r"is a checkpoint of STGCN of PySKL whose .* reads ST-GCN only"):
            imported(file, tmp_path)
    assert imported(pyskl(state, importance=False), tmp_path).finished


@pytest.mark.parametrize(
    "odd",
    [
        {"cls_head.fc_cls.weight": torch.tensor(1.0)},
        {"backbone.gcn.0.gcn.A": torch.tensor(1.0)},
        {"backbone.gcn.0.gcn.bn.weight": torch.tensor(1.0)},
        {"backbone.gcn.3.gcn.A": torch.ones(3, 25, 25, device="meta")},
        {"backbone.gcn.3.gcn.PA": torch.eye(25).to_sparse()},
    ],
    ids=lambda odd: next(iter(odd)),
)
def test_an_stgcn_of_pyskl_without_numbers_is_refused_in_a_line(odd, tmp_path):
    file = pyskl(with_classifier(graph=torch.from_numpy(adjacency(KINECT_V2, "spatial", PYSKL_BONES))))
    file["state_dict"] |= odd
    with pytest.raises(BadInput, match="reads ST-GCN only|holds no ST-GCN") as caught:
        imported(file, tmp_path)
    assert "\n" not in str(caught.value)


def test_half_of_a_classifier_is_none(tmp_path):
    made = imported({**bare(), "fcn.bias": torch.ones(60)}, tmp_path)
    assert made.family == "an encoder alone"
    assert not (tmp_path / "run" / "classifier.safetensors").exists()


def test_the_channels_tell_whether_joints_have_a_confidence(tmp_path):
    graph = torch.from_numpy(adjacency(find_layout("openpose18")))
    state = bare(graph=graph) | {f"edge_importance.{i}": torch.ones(3, 18, 18) for i in range(10)}
    for name in ("weight", "bias", "running_mean", "running_var"):
        state[f"data_bn.{name}"] = torch.ones(54)
    imported(state, tmp_path)
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["layout"] == "openpose18+confidence"
    for name in ("weight", "bias", "running_mean", "running_var"):
        state[f"data_bn.{name}"] = torch.ones(72)  # two bodies at once
    with pytest.raises(BadInput, match="first batch norm of 72 channels, and a body of openpose18 has 2 a joint"):
        imported(state, tmp_path, force=True)


# ---- classifiers


@pytest.mark.parametrize("shape", [lambda s: s, convolved])
def test_a_linear_evaluation_keeps_its_classifier(shape, clips, tmp_path):
    state = reference_encoder("encoder_q", "classifier")
    file = shape(state)
    made = imported(file, tmp_path)
    assert made.family == "linear evaluation, 60 classes"
    assert "its classifier kept" in made.shape
    top1, answers, labels = evaluated(tmp_path / "run", clips, tmp_path / "out", beneath(state, "encoder_q."), "fc")
    assert top1 == (answers == labels).mean()
    export_weights(tmp_path / "run", tmp_path / "back.pt")
    back = torch.load(tmp_path / "back.pt")
    assert {name for name in back if not name.endswith("num_batches_tracked")} == file.keys()
    assert all(torch.equal(back[name], value) for name, value in file.items())
    export_weights(tmp_path / "run", tmp_path / "q.pt", encoder_only=True)
    assert not any(".fc." in name for name in torch.load(tmp_path / "q.pt"))


def test_a_kept_classifier_needs_no_training_clips(clips, tmp_path):
    state = reference_encoder("encoder_q", "classifier")
    imported(state, tmp_path)
    words = ["evaluate", str(tmp_path / "run"), str(clips), str(tmp_path / "out"), "--protocol", "supervised"]
    done = CliRunner().invoke(main, [*words, "--split", "subject:9"])  # whom no clip shows
    assert done.exit_code == 0, done.output
    expected = scores_of(beneath(state, "encoder_q."), of_clips(clips), "fc")
    np.testing.assert_allclose(np.load(tmp_path / "out" / "scores.npz")["supervised"], expected, rtol=1e-3, atol=1e-4)


def test_each_of_three_streams_keeps_its_classifier(clips, tmp_path):
    state = {}
    for seed, suffix in enumerate(("", "_motion", "_bone")):
        state |= reference_encoder(f"encoder_q{suffix}", "classifier", seed)
    assert "its classifier kept" in imported(state, tmp_path, stream="3s").shape
    words = ["evaluate", str(tmp_path / "run"), str(clips), str(tmp_path / "out"), "--protocol", "supervised"]
    done = CliRunner().invoke(main, [*words, "--stream", "bone"])
    assert done.exit_code == 0, done.output
    x = of_clips(clips)
    x = (x - x[..., KINECT_V2.parent_index, :])[Clips(clips).columns["subject"] == 3]
    expected = scores_of(beneath(state, "encoder_q_bone."), x, "fc")
    np.testing.assert_allclose(np.load(tmp_path / "out" / "scores.npz")["supervised"], expected, rtol=1e-3, atol=1e-4)
    export_weights(tmp_path / "run", tmp_path / "back.pt")
    back = torch.load(tmp_path / "back.pt")
    assert all(torch.equal(back[name], value) for name, value in state.items())


def test_a_classifier_of_other_classes_is_left_out_and_told(clips, tmp_path):
    state = reference_encoder("encoder_q", "classifier")
    state |= {"encoder_q.fc.weight": torch.ones(51, 6), "encoder_q.fc.bias": torch.ones(51)}
    made = imported(state, tmp_path)
    assert made.notes == ("its classifier of 51 classes, since the split has 60",)
    words = ["evaluate", str(tmp_path / "run"), str(clips), str(tmp_path / "out"), "--protocol", "supervised"]
    done = CliRunner().invoke(main, words)
    assert (done.exit_code, "has no classifier" in done.output) == (2, True)
    with pytest.raises(BadInput, match="has 60 classes, and the classifier in .* knows 51; choose one of pku1"):
        imported(state, tmp_path, recipe=load_recipe("stgcn_supervised"), force=True)


def test_a_damaged_classifier_is_named(clips, tmp_path):
    imported(reference_encoder("encoder_q", "classifier"), tmp_path)
    path = tmp_path / "run" / "classifier.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    words = ["evaluate", str(tmp_path / "run"), str(clips), str(tmp_path / "out"), "--protocol", "supervised"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert "classifier.safetensors" in done.output


# ---- what is none of ours

OTHERS = {
    "DSTA-Net": ["graph_layers.0.in_nets.weight", "input_map.0.weight"],
    "MAMP's or SkeletonMAE's transformer": ["joints_embed.proj.weight", "blocks.0.attn.qkv.weight"],
    "SGN": [
        "tem_embed.cnn.0.cnn.weight",
        "joint_embed.cnn.1.cnn.weight",
        "dif_embed.cnn.1.cnn.weight",
        "compute_g1.g1.cnn.weight",
    ],
    "HCN": ["conv1.0.weight", "conv2m.weight", "conv6.0.weight"],
    "Shift-GCN": ["l1.gcn1.Linear_weight", "l1.gcn1.Feature_Mask", "l1.tcn1.temporal_linear.weight"],
    "MS-G3D": ["gcn3d1.gcn3d.0.gcn3d.1.mlp.layers.0.weight", "sgcn1.0.mlp.layers.0.weight"],
    "InfoGCN": ["to_joint_embedding.weight", "fc_logvar.weight"],
    "HD-GCN": ["l1.gcn1.PA", "l1.gcn1.aha.conv_down.0.weight"],
    "CTR-GCN": ["l1.gcn1.PA", "l1.gcn1.convs.0.conv4.weight", "l1.tcn1.branches.0.0.weight"],
    "2s-AGCN": ["l1.gcn1.PA", "l1.gcn1.conv_a.0.weight", "l1.gcn1.conv_d.0.weight"],
    "2s-AGCN with attention (AAGCN)": ["l1.gcn1.conv_a.0.weight", "l1.gcn1.conv_ta.weight", "l1.gcn1.conv_d.0.weight"],
    "CTR-GCN's baseline GCN": ["l1.gcn1.PA", "l1.gcn1.conv_d.0.weight", "l1.tcn1.conv.weight"],
    "ST-GCN++": ["backbone.gcn.0.gcn.A", "backbone.gcn.0.gcn.bn.weight", "backbone.gcn.0.tcn.branches.0.0.weight"],
    "BiGRU, as in CMD, ISC and PCM³": [
        "encoder_q.encoder.gru.weight_ih_l0",
        "encoder_q.encoder.gru.weight_ih_l0_reverse",
    ],
    "ResNet": ["conv1.weight", "layer1.0.conv1.weight"],
}


@pytest.mark.parametrize("network", OTHERS)
@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"state_dict": prefixed("module.", s), "args": argparse.Namespace()}]
)
def test_other_networks_are_named(network, wrap, tmp_path):
    state = wrap({name: torch.ones(2, 2) for name in OTHERS[network]})
    with pytest.raises(BadInput) as caught:
        imported(state, tmp_path)
    assert f"is a checkpoint of {network}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_no_name_of_ours_is_taken_for_another_network():
    ours = set(reference_file()) | set(with_classifier()) | set(hiclr(reference_file()))
    assert name_network(ours) is None
    assert len({network for network, _ in NETWORKS}) == len(NETWORKS)


def test_of_a_pair_of_networks_that_are_none_of_ours_neither_is_taken(tmp_path):
    state = {f"encoder_q.{name}": torch.ones(2) for name in OTHERS["2s-AGCN"]} | {
        "encoder_q.data_bn.weight": torch.ones(150)
    }
    with pytest.raises(BadInput, match="is a checkpoint of 2s-AGCN"):
        imported(state, tmp_path)


def script(path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)


NO_CHECKPOINTS = {
    "a pointer": (
        lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "pointer of Git LFS",
    ),
    "a page": (lambda p: p.write_text("\n<!DOCTYPE html><title>Sign in</title>"), "is a web page"),
    "packed": (lambda p: p.write_bytes(gzip.compress(b"x")), "is a packed archive"),
    "arrays": (lambda p: np.savez(p.open("wb"), a=np.ones(3)), r"is an archive of a\.npy"),
    "an array": (lambda p: np.save(p.open("wb"), np.ones(3)), "is an array of NumPy"),
    "nothing": (lambda p: p.write_bytes(b""), "is empty"),
    "a program": (script, "is a TorchScript program"),
    "arrays for tensors": (
        lambda p: torch.save({n: v.numpy() for n, v in reference_file().items()}, p),
        r"but encoder_q\.A \(numpy\._core",
    ),
    "whole numbers": (lambda p: torch.save({n: v.to(torch.int8) for n, v in bare().items()}, p), "of type torch.int8"),
    "eight bits": (
        lambda p: torch.save({n: v.to(torch.float8_e4m3fn) for n, v in bare().items()}, p),
        "is of type torch.float8",
    ),
    "no numbers": (lambda p: torch.save({n: v.to("meta") for n, v in bare().items()}, p), "is no dense tensor"),
    "a number for weights": (
        lambda p: torch.save({**bare(), "fc.weight": torch.tensor(1.0)}, p),
        r"fc\.weight is a single number",
    ),
    "a number for ST-GCN's classifier": (
        lambda p: torch.save({**bare(), "fcn.weight": torch.tensor(1.0), "fcn.bias": torch.ones(60)}, p),
        r"fc\.weight is a single number",
    ),
    "a number for the queue": (
        lambda p: torch.save({**reference_file(), "queue": torch.tensor(1.0)}, p),
        "queue is a single number",
    ),
    "an optimiser": (lambda p: torch.save(OPTIMIZER, p), r"but state \(dict\), param_groups \(list\)"),
    "no graph": (lambda p: torch.save({n: v for n, v in bare().items() if n != "A"}, p), "has no graph"),
}


@pytest.mark.parametrize("case", NO_CHECKPOINTS)
def test_what_is_no_checkpoint_is_called_by_its_name(case, tmp_path):
    make, says = NO_CHECKPOINTS[case]
    make(tmp_path / "a.pt")
    with pytest.raises(BadInput, match=says) as caught:
        import_weights(tmp_path / "a.pt", tmp_path / "run", **USED)
    assert "\n" not in str(caught.value)
