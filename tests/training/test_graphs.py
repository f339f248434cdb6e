"""Steps as graphs: one of each phase and no other, the numbers of eager steps, and nothing that waits for a device."""

from __future__ import annotations

import copy
import json
import logging
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from conftest import TINY
from safetensors.torch import load_file
from torch._dynamo.testing import CompileCounterWithBackend
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from skelpipe.clips.batches import Batch
from skelpipe.encoders import ENCODERS
from skelpipe.encoders.plain import plainly
from skelpipe.evaluation.evaluate import evaluate
from skelpipe.methods import METHODS, POSITIVES
from skelpipe.methods.network import Network
from skelpipe.methods.skeletonclr import SkeletonCLR
from skelpipe.outputs.digests import read_digest
from skelpipe.recordings.store import Clips
from skelpipe.training.loop import load_batches
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe
from skelpipe.training.step import Graphs, graphs_for, train_step

CPU = torch.device("cpu")
SMALL = ["encoder={name: temporal, width: 4, features: 8, layers: 2}"]
CONTRAST = [*(each for each in TINY if not each.startswith("encoder.")), "method.momentum=0.9"]
MINING = ["positives.nn_start_epoch=1"]
SHORT = "views.clip=[{resize: {frames: 10}}]"
MASKED = "views.clip=[{resize: {frames: 6}}, {joint_mask: {by: run, joints: 4, groups: 5, spare_first: true}}]"
RECURRENT = ["encoder.layers=1", "encoder.width=4"]
# Recipe, changes, epochs of the steps, and how many graphs they need.
BEFORE_AND_AFTER = ((1, 1, 2, 2, 3), 2)
ALL = ((1, 1, 2, 2, 3), 1)
CASES = {
    "SkeletonCLR": ("skeletonclr", [*SMALL, *CONTRAST], (*[1] * 10, *[2] * 11), 1),
    "ST-GCN, dropout": ("skeletonclr", TINY, (1, 2), 1),
    "AS-CAL": (
        "skeletonclr",
        [
            *SMALL, *CONTRAST, "method.fill_epochs=1", "method.key_follows=after", "method.key_mode=eval",
            "method.normalise=false", "method.queue_init=uniform",
        ],
        *BEFORE_AND_AFTER,
    ),
    "CrosNNCLR, equation": ("crosnnclr", [*SMALL, *CONTRAST, *MINING, "positives.weight=0.5"], *BEFORE_AND_AFTER),
    "CrosNNCLR, algorithm1": (
        "crosnnclr", [*SMALL, *CONTRAST, *MINING, "positives.form=algorithm1", "positives.top_k=2"], *BEFORE_AND_AFTER
    ),
    "CrosNNCLR, released": (
        "crosnnclr", [*SMALL, *CONTRAST, *MINING, "positives.form=released"], *BEFORE_AND_AFTER
    ),
    "AimCLR": ("aimclr", [*SMALL, *CONTRAST, *MINING, "positives.top_k=2"], *BEFORE_AND_AFTER),
    "bfloat16": ("aimclr", [*SMALL, *CONTRAST, "positives.nn_start_epoch=0"], *ALL),
    "CrosNNCLR*, union": (
        "crosnnclr_star", [*SMALL, *CONTRAST, *MINING, "positives.keep_union=true"], *BEFORE_AND_AFTER
    ),
    "CrosSCLR": (
        "crossclr",
        [*SMALL, *CONTRAST, *MINING, "method.heads=shared", "method.key_update=released"],
        *BEFORE_AND_AFTER,
    ),
    "ISC": (
        "isc",
        [
            *SMALL, *CONTRAST, "partner={name: recurrent, cell: gru, layers: 1, width: 4}",
            SHORT.replace("clip", "query"), SHORT.replace("clip", "key"),
        ],
        *ALL,
    ),
    "supervised": ("stgcn_supervised", [*SMALL, "batch_size=8", "balance=weights"], *ALL),
    "MS2L": (
        "ms2l",
        [
            *RECURRENT, "batch_size=8", "method.hidden=8", "method.size=8", "optimizer={name: sgd}",
            "views={whole: [{resize: {frames: 6}}], masked: [{resize: {frames: 6}}, {tail_mask: {keep: 0.7}}], "
            "jumbled: [{resize: {frames: 6}}, {jigsaw: {segments: 3}}]}",
        ],
        *ALL,
    ),
    "P&C": ("predict_cluster", [*RECURRENT, "batch_size=8"], *ALL),
    "LongT GAN": ("longt_gan", [*RECURRENT, "batch_size=8", "partner.layers=1", "partner.width=4", MASKED], *ALL),
    "colorization": (
        "colorization",
        [
            "encoder.width=2", "encoder.features=8", "encoder.neighbours=3", "batch_size=8", "method.side=4",
            "method.colours=[spatial]",
        ],
        *ALL,
    ),
    "part-aware": ("part_aware_lstm", [*RECURRENT, "batch_size=8", "encoder.dropout=0"], *ALL),
    "Soft RNN": ("soft_rnn", [*RECURRENT, "batch_size=8", "encoder.dropout=0", SHORT], *ALL),
    "VA-RNN": (
        "small_va_rnn",
        [
            "encoder={name: view_adaptive, width: 4, dropout: 0, noise: 0}", "batch_size=8", SHORT,
            "encoder.main={name: recurrent, cell: lstm, layers: 1, width: 4}",
        ],
        *ALL,
    ),
    "A-GCN": ("stgcn_supervised", ["encoder={name: agcn, width: 2, time_kernel: 3}", "batch_size=8"], *ALL),
    "HCN": (
        "stgcn_supervised", ["encoder={name: hcn, frames: 16, embedding: 16, width: 2}", "batch_size=8"], *ALL
    ),
    "coordinates": ("stgcn_supervised", ["encoder={name: coordinates, frames: 12}", "batch_size=8"], *ALL),
    "TF GRU": (
        "predict_cluster",
        [*RECURRENT, "encoder.cell=tf_gru", "batch_size=8", "method.decoder=fixed_weights"],
        *ALL,
    ),
}  # fmt: skip

SHORTER = ("MS2L", "P&C", "LongT GAN", "part-aware", "Soft RNN", "VA-RNN")
# A graph takes frames one by one, and lays HCN's pictures down in another order.
ROUNDED = ("ISC", "MS2L", "LongT GAN", "part-aware", "Soft RNN", "VA-RNN", "HCN")
# Of a bias before batch normalisation, whose gradient is nought but for rounding: nothing else is in these.
ROUNDING = {("MS2L", "19 momentum_buffer")}


@pytest.fixture(autouse=True)
def no_trace():
    """What torch writes down of every graph is left out of what pytest keeps: it takes a third of the time."""
    logging.disable(logging.DEBUG)
    yield
    logging.disable(logging.NOTSET)


def prepared(case, clips):
    """A method, its optimiser and two batches; where an encoder looks at lengths, half of the clips are shorter."""
    name, sets, *_ = CASES[case]
    recipe, source = load_recipe(name, sets), Clips(clips)
    torch.manual_seed(0)
    method = recipe.build_method(source.layout, 4).train()
    for module in method.modules():
        if isinstance(module, Network):
            module.bfloat16_encoder = case == "bfloat16"
    settings = {"half_storage": False, "precision": "fp32", "seed": 0, "stream": "joint"}
    settings["clips_digest"] = read_digest(clips)
    made = load_batches(recipe, source, np.arange(len(source.labels)), settings, CPU, 1).epoch(1, 0)
    batches = [copy.deepcopy(next(made)) for _ in range(2)]
    made.close()
    for batch in batches:
        for view, x in batch.views.items():
            if case in SHORTER:
                batch.lengths[view] = torch.arange(len(x)) % 2 * -2 + x.shape[2]
    return method, recipe.build_optimizer(method), batches


class NoCopies(TorchDispatchMode):
    """Raises where anything is copied between the host and a device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        places = {each.device for each in tree_leaves((args, kwargs, found)) if isinstance(each, torch.Tensor)}
        places -= {each.device for each in tree_leaves((args, kwargs)) if number(each)}
        assert len(places) <= 1, func
        return found


def number(x):
    """Whether it is a number on the CPU, which goes along with a kernel's arguments."""
    return isinstance(x, torch.Tensor) and x.device.type == "cpu" and x.dim() == 0


def steps(case, clips, graphs=None):
    """What some steps leave: their log, and the state of the method and of its optimiser."""
    method, optimizer, batches = prepared(case, clips)
    logs = []
    for number, epoch in enumerate(CASES[case][2]):
        for group in optimizer.param_groups:
            group["lr"] = 0.01 / epoch
        torch.manual_seed(number)  # of dropout
        batch = batches[number % 2]
        if graphs is None:
            with plainly():
                logs.append(train_step(method, optimizer, batch, epoch))
        else:
            logs.append(train_step(method, optimizer, batch, epoch, graphs))
    return {
        **{f"{number} {name}": value for number, log in enumerate(logs) for name, value in log.items()},
        **method.state_dict(),
        **{
            f"{number} {name}": value
            for number, state in optimizer.state_dict()["state"].items()
            for name, value in state.items()
            if isinstance(value, torch.Tensor)
        },
    }


def test_there_is_a_case_of_each_method_set_of_positives_and_encoder():
    recipes = [load_recipe(name, sets) for name, sets, *_ in CASES.values()]
    assert {recipe.method.name for recipe in recipes} == set(METHODS)
    assert {recipe.positives.name for recipe in recipes} == set(POSITIVES)
    assert {recipe.encoder.name for recipe in recipes} == set(ENCODERS)


SLOW = ("A-GCN", "LongT GAN", "ST-GCN, dropout")


@pytest.mark.parametrize("case", [pytest.param(c, marks=pytest.mark.slow) if c in SLOW else c for c in CASES])
def test_a_phase_is_one_graph_and_its_steps_are_those_without(case, clips):
    torch._dynamo.reset()
    counted = CompileCounterWithBackend("aot_eager")
    graphs = Graphs(counted)
    found, wanted = steps(case, clips, graphs), steps(case, clips)
    assert graphs.failed is None
    assert counted.frame_count == CASES[case][3]
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        if (case, name) in ROUNDING:
            assert max(found[name].abs().max(), value.abs().max()) < 1e-4
        elif case in ROUNDED:
            torch.testing.assert_close(found[name], value, rtol=1e-3, atol=3e-5, equal_nan=True)
        else:
            assert torch.equal(found[name].nan_to_num(7.0), value.nan_to_num(7.0)), name


@pytest.mark.parametrize("case", CASES)
def test_no_step_waits_for_a_device(case, clips, monkeypatch):
    """Of tensors that have no values a number, or how many of them there are, cannot be asked for.

    They are those of torch's device "meta": fake ones of CUDA need a torch that was built with it.
    """
    monkeypatch.setattr(torch, "autocast", lambda *given, **named: nullcontext())  # which knows no such device
    method, _, batches = prepared(case, clips)
    method = method.to("meta")
    optimizer = load_recipe(*CASES[case][:2]).build_optimizer(method)
    batch = Batch(**tree_map_only(torch.Tensor, lambda value: value.to("meta"), vars(batches[0])))
    with NoCopies():
        for epoch in sorted(set(CASES[case][2])):
            log = train_step(method, optimizer, batch, epoch)
            assert {value.device.type for value in log.values()} == {"meta"}


def test_a_copy_from_the_host_would_be_seen():
    with NoCopies(), pytest.raises(AssertionError):
        torch.zeros(3, device="meta").add(torch.zeros(3).to("meta"))


ON = {"split": "xsub60", "stream": "joint", "device": "cpu", "threads": 1}


def recipe(epochs=2):
    """CrosNNCLR, in its second epoch with neighbours."""
    return load_recipe("crosnnclr", [*SMALL, *CONTRAST, *MINING], epochs=epochs)


def weights(run):
    return load_file(run / "weights.safetensors")


def sessions(run):
    return [session["compiled"] for session in json.loads((run / "provenance.json").read_text())["sessions"]]


def refused(graph, inputs):
    raise ValueError("there is no compiler\nand nobody who would install one")


def broken(graph, inputs):
    def run(*given):
        graph(*given)  # which moves the key network, fills the queue and draws random numbers
        raise ValueError("there is no compiler\nbut it is noticed late")

    return run


@pytest.mark.parametrize("backend", [refused, broken])
def test_what_cannot_be_compiled_is_trained_without(backend, clips, tmp_path, caplog):
    """From the same state, so that the run is the same bit for bit; said once, in one line."""
    pretrain(recipe(), clips, tmp_path / "compiled", **ON, compiled=Graphs(backend))
    pretrain(recipe(), clips, tmp_path / "eager", **ON)
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == 1
    assert "there is no compiler" in told[0]
    assert "\n" not in told[0]
    for name in ("weights.safetensors", "settings.json"):
        assert (tmp_path / "compiled" / name).read_bytes() == (tmp_path / "eager" / name).read_bytes()
    assert sessions(tmp_path / "eager") == [False]
    assert sessions(tmp_path / "compiled")[0].startswith("no: ")


def test_a_later_phase_that_cannot_be_compiled_ends_no_run(clips, tmp_path):
    made = []

    def once(graph, inputs):
        made.append(graph)
        return graph if len(made) == 1 else refused(graph, inputs)

    assert pretrain(recipe(), clips, tmp_path / "run", **ON, compiled=Graphs(once)).state == "finished"
    assert len(made) == 2
    assert "there is no compiler" in sessions(tmp_path / "run")[0]


def test_a_run_goes_on_across_the_switch(clips, tmp_path):
    on = {"compiled": Graphs("aot_eager")}
    ways = {"straight": [on], "on": [on, on], "switched": [{}, on], "back": [on, {}], "eager": [{}]}
    for name, way in ways.items():
        for last, how in zip(range(3 - len(way), 3), way, strict=True):
            pretrain(recipe(last), clips, tmp_path / name, **ON, **how)
        assert sessions(tmp_path / name) == [bool(how) for how in way]
    straight = weights(tmp_path / "straight")
    for name, exact in {"on": True, "switched": False, "back": False, "eager": False}.items():
        torch.testing.assert_close(weights(tmp_path / name), straight, **({"rtol": 0, "atol": 0} if exact else {}))


def test_steps_on_a_cpu_are_compiled_if_asked_for_alone():
    gpu = torch.device("cuda")
    chosen = [graphs_for(choice, place) is not None for choice in ("auto", "off", "on") for place in (CPU, gpu)]
    assert chosen == [False, True, False, False, True, True]


class Ramp(SkeletonCLR):
    """One whose loss hangs on the epoch, which it does not tell."""

    def phase(self, epoch):
        return None

    def losses(self, batch, epoch):
        return {name: loss * epoch for name, loss in super().losses(batch, epoch).items()}


def test_an_epoch_that_a_loss_looks_at_is_not_burnt_in(clips):
    counted = CompileCounterWithBackend("aot_eager")
    method, optimizer, batches = prepared("SkeletonCLR", clips)
    method.__class__, graphs, logs = Ramp, Graphs(counted), []
    for epoch in (1, 1, 3):
        for group in optimizer.param_groups:
            group["lr"] = 0.0
        logs.append(train_step(method, optimizer, batches[0], epoch, graphs))
    assert counted.frame_count == 2
    assert [float(log["loss"] / log["info_nce"]) for log in logs] == pytest.approx([1, 1, 3])


def test_finetuning_is_compiled_too(clips, tmp_path):
    """Each training, of the few labels of `semi` too, by graphs of its own shapes; accuracies of the same scores."""
    pretrain(recipe(1), clips, tmp_path / "run", **ON)
    asked = {"protocols": ["finetune", "semi"], "device": "cpu", "threads": 1}
    asked["options"] = ["finetune.epochs=2", "semi.epochs=2", "semi.fractions=[0.5]", "semi.draws=2"]
    counted = CompileCounterWithBackend("aot_eager")
    found = [
        evaluate(tmp_path / "run", clips, tmp_path / str(number), **asked, compiled=compiled)["protocols"]
        for number, compiled in enumerate((Graphs(counted), "auto"))
    ]
    assert counted.frame_count == 2
    for protocol in ("finetune", "semi50"):
        losses = [each[protocol]["train_loss"] for each in found]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
        assert found[0][protocol]["top1"] == found[1][protocol]["top1"]
