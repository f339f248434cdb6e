"""Steps that are recorded once and replayed: nothing is burnt in, nothing stale, and what fails leaves no trace."""

from __future__ import annotations

import json
from collections import Counter

import pytest
import test_graphs
import torch
from recorded import TapeRecorder
from test_graphs import CASES, CPU, ON, Ramp, prepared, recipe, steps, weights

from skelpipe.clips.batches import Batch
from skelpipe.encoders.plain import plainly
from skelpipe.errors import BadInput
from skelpipe.evaluation.evaluate import evaluate
from skelpipe.training.capture import Captured
from skelpipe.training.optim.clipping import Clipping
from skelpipe.training.optim.optimizers import OPTIMIZERS, SGDOptions, build_optimizer
from skelpipe.training.optim.recorded import recorded_optimizer
from skelpipe.training.pretrain import pretrain
from skelpipe.training.resident import batches_for
from skelpipe.training.step import Graphs, noted, train_step


def graphs_of(recorder, warm_up=1):
    graphs = Graphs(backend=None, recorder=recorder)
    graphs.captured = Captured(recorder, warm_up)
    return graphs


@pytest.fixture(autouse=True)
def plain():
    """As on a GPU: without the kernels for CPUs, which no recording sees, ours or oneDNN's LSTM."""
    with plainly(), torch.backends.mkldnn.flags(enabled=False):
        yield


@pytest.fixture
def apart(monkeypatch):
    """The optimiser's step is not recorded, as of others than SGD; its fused kernel rounds in another way."""
    monkeypatch.setattr("skelpipe.training.step.recorded_optimizer", lambda optimizer: None)


@pytest.fixture
def fused(monkeypatch):
    """Steps without recordings take the optimiser's by the kernel that is recorded."""

    def prepared_so(case, clips):
        method, optimizer, batches = prepared(case, clips)
        for group in optimizer.param_groups:
            group["fused"] = True
        return method, optimizer, batches

    monkeypatch.setattr(test_graphs, "prepared", prepared_so)


# On a CPU `one_hot` asks how small a class is.
@pytest.mark.parametrize("case", [case for case in CASES if case != "Soft RNN"])
def test_replays_are_the_steps_that_they_stand_for(case, clips, fused):
    """Bit by bit: of two batches in turn, rates and random numbers that change, over the ends of epochs and phases."""
    recorder = TapeRecorder()
    graphs = graphs_of(recorder)
    found, wanted = steps(case, clips, graphs), steps(case, clips)
    assert graphs.unrecorded is None
    method, optimizer, _ = prepared(case, clips)
    assert graphs.updated == isinstance(optimizer, torch.optim.SGD)
    taken = Counter(method.phase(epoch) for epoch in CASES[case][2])
    assert len(recorder.tapes) == sum(count > 1 for count in taken.values())
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.equal(found[name].nan_to_num(7.0), value.nan_to_num(7.0)), name


def test_replays_before_the_step_of_another_optimiser(clips, apart):
    graphs = graphs_of(TapeRecorder())
    found, wanted = steps("CrosNNCLR, equation", clips, graphs), steps("CrosNNCLR, equation", clips)
    assert not graphs.updated
    for name, value in wanted.items():
        assert torch.equal(found[name].nan_to_num(7.0), value.nan_to_num(7.0)), name


def test_which_optimisers_are_recorded():
    own = [torch.nn.Parameter(torch.ones(3))]
    found = [recorded_optimizer(kind.build(own)) is not None for kind in OPTIMIZERS.values()]
    assert dict(zip(OPTIMIZERS, found, strict=True)) == {"sgd": True, "adam": False, "adamw": False, "rmsprop": False}


def test_gradients_are_clipped_in_a_recording_too(clips):
    """Each by its own norm, of two that differ."""
    logs = []
    for recorded in (True, False):
        own, graphs = torch.nn.Linear(3, 1, bias=False), graphs_of(TapeRecorder())
        torch.nn.init.ones_(own.weight)
        clip = Clipping(by="global_norm", at=0.1)
        sgd = build_optimizer(SGDOptions(lr=0.5, weight_decay=0), own, clip)
        sgd.param_groups[0]["fused"] = True
        for number in range(5):
            sgd.zero_grad()
            batch = Batch({"x": torch.full((2, 3), 1.0 + number)}, torch.zeros(2))
            if recorded:
                graphs.take(squares, own, batch, 1, "all", sgd)
            else:
                squares(own, batch, 1)
            if not graphs.updated:
                sgd.step()
        logs.append(own.weight.detach())
    assert torch.equal(*logs)


def squares(module, batch, epoch):
    loss = module(batch.views["x"]).square().mean()
    loss.backward()
    return {"loss": loss.detach()}


def test_the_tape_shows_what_is_burnt_in_or_waits(clips):
    """A rate, a pointer or a batch that Python reads stay as they were; to read a number is refused."""
    at, rate = torch.zeros(4), [0.5]
    tape = TapeRecorder()
    found, again = tape.record(lambda: {"sum": (at + 1).mul_(rate[0]).sum()})
    assert not at.any()
    at += 1
    rate[0] = 100.0
    again()
    assert float(found["sum"]) == 4
    with pytest.raises(RuntimeError, match="not permitted"):
        tape.record(lambda: {"sum": at * float(at.sum())})


class Misled(Ramp):
    """One that tells a phase, though its loss hangs on the epoch."""

    def phase(self, epoch):
        return "all"


def test_an_epoch_would_be_burnt_in_and_so_no_phase_is_no_recording(clips):
    logs = {}
    for told in (False, True):
        method, optimizer, batches = prepared("SkeletonCLR", clips)
        method.__class__ = Misled if told else Ramp
        recorder = TapeRecorder()
        graphs = graphs_of(recorder)
        for group in optimizer.param_groups:
            group["lr"] = 0.0
        logs[told] = [train_step(method, optimizer, batches[0], epoch, graphs) for epoch in (1, 1, 3)]
        assert len(recorder.tapes) == told
    ratios = {told: [float(log["loss"] / log["info_nce"]) for log in each] for told, each in logs.items()}
    assert ratios[False] == pytest.approx([1, 1, 3])
    assert ratios[True] == pytest.approx([1, 1, 1])  # and the tests above would see it


def test_other_shapes_and_modules_are_recorded_anew(clips):
    recorder = TapeRecorder()
    graphs = graphs_of(recorder)
    for _ in range(2):
        method, optimizer, batches = prepared("SkeletonCLR", clips)
        half = prepared("SkeletonCLR", clips)[2][0]
        half.views = {name: view[:4].contiguous() for name, view in half.views.items()}
        half.labels = half.labels[:4]
        for batch in (batches[0], batches[1], batches[0], half, half, batches[1], batches[1]):
            log = train_step(method, optimizer, batch, 1, graphs)
            assert torch.isfinite(log["loss"])
    assert graphs.captured.recordings == 6
    assert recorder.set_aside == 6


@pytest.mark.parametrize("works", [0, 1])
def test_what_cannot_be_recorded_is_trained_without(works, clips, tmp_path, caplog, monkeypatch):
    """From the same state, though the recording broke late, behind the optimiser's step; said once, in one line."""
    if works:  # whose replays round as without
        monkeypatch.setattr("skelpipe.training.step.recorded_optimizer", lambda optimizer: None)
    graphs = graphs_of(TapeRecorder(fail=works))
    pretrain(recipe(), clips, tmp_path / "recorded", **ON, compiled=graphs)
    pretrain(recipe(), clips, tmp_path / "eager", **ON)
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == ["steps are not recorded, and go on without: the capture was invalidated by another thread"]
    for name in ("weights.safetensors", "settings.json"):
        assert (tmp_path / "recorded" / name).read_bytes() == (tmp_path / "eager" / name).read_bytes()
    session = json.loads((tmp_path / "recorded" / "provenance.json").read_text())["sessions"][0]
    assert session["compiled"] is True
    assert session["recorded"].startswith("no: the capture was")


def test_a_step_that_fails_by_itself_is_not_taken_for_a_recording(clips):
    method, optimizer, batches = prepared("SkeletonCLR", clips)
    batches[0].labels = batches[0].labels[:3]
    with pytest.raises(BadInput, match="labels"):
        train_step(method, optimizer, batches[0], 1, graphs_of(TapeRecorder()))


@pytest.mark.parametrize("exact", [True, False], ids=["gradients", "with the optimiser"])
def test_a_run_is_the_same_with_recordings_and_across_the_switch(exact, clips, tmp_path, monkeypatch):
    """Loss by loss in the log too, which is summed over replays; rates fall within the run."""
    if exact:
        monkeypatch.setattr("skelpipe.training.step.recorded_optimizer", lambda optimizer: None)
    ways = {"recorded": [True], "parts": [True, True], "switched": [False, True], "back": [True, False], "off": [False]}
    for name, way in ways.items():
        for last, on in zip(range(4 - len(way), 4), way, strict=True):
            how = {"compiled": graphs_of(TapeRecorder())} if on else {}
            made = recipe(last)
            made = made.model_copy(update={"optimizer": made.optimizer.model_copy(update={"steps": (1, 2)})})
            pretrain(made, clips, tmp_path / name, **ON, **how)
        told = json.loads((tmp_path / name / "provenance.json").read_text())["sessions"]
        assert [session["recorded"] for session in told] == way
    limits = {"rtol": 0, "atol": 0} if exact else {"rtol": 1e-3, "atol": 1e-5}
    for name in ways:
        torch.testing.assert_close(weights(tmp_path / name), weights(tmp_path / "off"), **limits)
        found, wanted = ([line["loss"] for line in logged(tmp_path / each)] for each in (name, "off"))
        assert found == (wanted if exact else pytest.approx(wanted, rel=1e-4))
        assert [line["lr"] for line in logged(tmp_path / name)] == [line["lr"] for line in logged(tmp_path / "off")]


def logged(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_finetuning_is_recorded_too(clips, tmp_path):
    pretrain(recipe(1), clips, tmp_path / "run", **ON)
    asked = {"protocols": ["finetune"], "device": "cpu", "threads": 1, "options": ["finetune.epochs=3"]}
    recorder = TapeRecorder()
    found = [
        evaluate(tmp_path / "run", clips, tmp_path / str(number), **asked, compiled=compiled)["protocols"]["finetune"]
        for number, compiled in enumerate((graphs_of(recorder), "off"))
    ]
    assert len(recorder.tapes) == 1
    assert found[0]["train_loss"] == found[1]["train_loss"]
    assert found[0]["top1"] == found[1]["top1"]


# ---- clips on the device


def test_a_run_on_resident_clips_goes_on_across_the_switch(clips, tmp_path):
    ways = {"resident": ["on"], "parts": ["on", "on"], "switched": ["off", "on"], "back": ["on", "off"], "off": ["off"]}
    for name, way in ways.items():
        for last, resident in zip(range(3 - len(way), 3), way, strict=True):
            pretrain(recipe(last), clips, tmp_path / name, **ON, resident=resident, compiled=graphs_of(TapeRecorder()))
        told = json.loads((tmp_path / name / "provenance.json").read_text())["sessions"]
        assert [session["resident"] for session in told] == [each == "on" for each in way]
    straight = weights(tmp_path / "off")
    for name in ways:
        torch.testing.assert_close(weights(tmp_path / name), straight, rtol=1e-3, atol=1e-4)
    assert (tmp_path / "parts" / "weights.safetensors").read_bytes() == (
        tmp_path / "resident" / "weights.safetensors"
    ).read_bytes()


def test_when_clips_lie_on_the_device(clips, monkeypatch, caplog):
    from skelpipe.clips.augment import AUGMENTATIONS
    from skelpipe.clips.views import build_view
    from skelpipe.training import resident

    x, views, gpu = torch.zeros(2, 3, 4, 25, 2).numpy(), [build_view("normal")], torch.device("cuda")
    monkeypatch.setattr(resident, "free_memory", lambda place: None if place.type == "cpu" else free)
    free = 2 * x.nbytes
    chosen = [batches_for(choice, place, x, views).__name__ for choice in ("auto", "off", "on") for place in (CPU, gpu)]
    assert chosen == ["Batches", "ResidentBatches", "Batches", "Batches", "ResidentBatches", "ResidentBatches"]
    assert batches_for("auto", gpu, x, views, compiled=False).__name__ == "Batches"
    assert batches_for("on", gpu, x, views, compiled=False).__name__ == "ResidentBatches"
    assert not caplog.records
    free = 2 * x.nbytes - 2
    assert batches_for("auto", gpu, x, views).__name__ == "Batches"
    assert "clips stay in the host's memory: they take 0.00 GB" in caplog.records[-1].getMessage()
    monkeypatch.setitem(AUGMENTATIONS, "crop", AUGMENTATIONS["crop"].__class__(1, None, None, {}))
    assert batches_for("on", CPU, x, views).__name__ == "Batches"
    assert caplog.records[-1].getMessage() == "clips stay in the host's memory: crop has no torch form"


def test_views_that_cannot_be_compiled_are_rendered_without(clips, tmp_path, caplog):
    def refused(graph, inputs):
        raise ValueError("there is no compiler")

    graphs = Graphs(refused)
    graphs.failed = "not asked for here"
    pretrain(recipe(1), clips, tmp_path / "refused", **ON, resident="on", compiled=graphs)
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert sum("rendered without being compiled" in words for words in told) == 1
    pretrain(recipe(1), clips, tmp_path / "plain", **ON, resident="on")
    torch.testing.assert_close(weights(tmp_path / "refused"), weights(tmp_path / "plain"), rtol=0, atol=0)


def test_nothing_is_noted_of_steps_as_they_are():
    assert noted(None) == {"compiled": False, "recorded": False}
