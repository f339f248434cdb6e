"""Protocols that train the encoder, and a run's own classifier: each against a plain computation or a known answer."""

from __future__ import annotations

import copy
import json
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import TINY, write_clips

from skelpipe.cli import main
from skelpipe.clips.batches import Batches
from skelpipe.clips.streams import apply_stream
from skelpipe.errors import BadInput
from skelpipe.evaluation.evaluate import evaluate
from skelpipe.evaluation.features import embed, load_run
from skelpipe.evaluation.finetune import (
    FinetuneOptions,
    SemiOptions,
    TransferOptions,
    draw_clips,
    finetune,
    fresh,
    load,
    semi,
    train,
)
from skelpipe.evaluation.fuse import fuse
from skelpipe.evaluation.protocol import Setup
from skelpipe.evaluation.scores import read_scores, topk_accuracy
from skelpipe.outputs.folders import seal
from skelpipe.recordings.store import Clips
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

CPU = torch.device("cpu")
SMALL = ["encoder.width=4", "encoder.features=16", "encoder.time_kernel=3"]
pytestmark = pytest.mark.usefixtures("one_thread")


def make_run(clips, path, *changes, recipe="skeletonclr", stream="joint"):
    changes = [*(TINY if recipe == "skeletonclr" else []), *SMALL, "batch_size=8", *changes]
    pretrain(load_recipe(recipe, changes, epochs=1), clips, path, split="xsub60", stream=stream, device="cpu")
    return path


@pytest.fixture(scope="module")
def run(clips, tmp_path_factory):
    return make_run(clips, tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module")
def plain_run(clips, tmp_path_factory):
    """Without dropout, so that a plain computation can follow it."""
    return make_run(clips, tmp_path_factory.mktemp("run") / "plain", "encoder.dropout=0", stream="motion")


@pytest.fixture(scope="module")
def labelled_run(clips, tmp_path_factory):
    return make_run(clips, tmp_path_factory.mktemp("run") / "labelled", recipe="stgcn_supervised", stream="bone")


@pytest.fixture(scope="module")
def other_clips(tmp_path_factory):
    """The same kind of clips, said to be of NTU RGB+D 120."""
    path = write_clips(tmp_path_factory.mktemp("other") / "clips.zarr", seed=1)
    file = path / "zarr.json"
    file.write_text(file.read_text().replace('"ntu60"', '"ntu120"'))
    seal(path, "clips")
    assert Clips(path).dataset == "ntu120"
    return path


def prepared(run, clips, **options):
    """Features and setup of all 4 classes that the clips have, so that chance is 1/4."""
    source = Clips(clips)
    loaded = load_run(run, source, "cpu")
    return embed(loaded, source, "xsub60"), Setup(4, CPU, run=loaded, clips=source, **options)


def parameters(network):
    return {name: value.detach().clone() for name, value in network.named_parameters()}


def statistics(network):
    return {name: value.clone() for name, value in network.named_buffers() if "running" in name}


def content(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# Options ----------------------------------------------------------------------------------------------------------


def test_the_published_settings_are_the_defaults():
    def shown(o):
        return (o.lr, o.epochs, o.steps, o.batch_size, o.weight_decay, o.nesterov, o.clip, o.mode, o.view)

    assert shown(FinetuneOptions()) == (0.1, 80, (10, 50), 128, 1e-4, True, 0, "train", [])
    assert shown(SemiOptions()) == (0.1, 150, (80,), 128, 1e-4, False, 5, "train", [])
    assert shown(TransferOptions()) == (0.01, 80, (50, 70), 64, 1e-4, False, 0, "train", [])
    assert (SemiOptions().fractions, SemiOptions().draws) == ((0.01, 0.1), 5)


def test_a_step_acts_on_the_epoch_after_it_and_the_rate_warms_up():
    options = FinetuneOptions(lr=1.0, steps=(5, 7), gamma=0.1, warm_up=4)
    rates = [options.rate(epoch) for epoch in range(1, 9)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1, 1, 0.1, 0.1, 0.01])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("finetun.epochs=2", "did you mean 'finetune'"),
        ("knn.epochs=2", "no protocol that has options"),
        ("finetune.epoch=2", "did you mean 'epochs'"),
        ("finetune.epochs=none", "finetune.epochs"),
        ("finetune=2", "finetune.epochs=10"),
        ("finetune.view=[crpo]", "crop"),
        ("finetune.momentum=0", "nesterov"),
        ("finetune.mode=test", "finetune.mode"),
        ("semi.fractions=[0]", "above 0"),
        ("semi.fractions=[0.1, 0.1000000001]", "twice"),
        ("transfer.lr=1", "add --protocol transfer"),
        ("finetune.epochs", "KEY=VALUE"),
    ],
)
def test_wrong_options_are_named_before_anything_is_done(run, clips, tmp_path, change, said):
    with pytest.raises(BadInput, match=said):
        evaluate(run, clips, tmp_path / "out", protocols=["finetune", "semi"], options=[change])
    assert not (tmp_path / "out").exists()


# The training -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "clip", "nesterov"), [("train", 0, True), ("eval", 0.1, False)])
def test_one_step_is_that_of_a_plain_implementation(plain_run, clips, mode, clip, nesterov):
    f, setup = prepared(plain_run, clips)
    options = FinetuneOptions(epochs=1, lr=0.2, weight_decay=0.01, mode=mode, clip=clip, nesterov=nesterov)
    material = load(f, setup)
    chosen = np.arange(9)  # six clips of class 0 and three of class 1: a gradient of some size
    trained = train("finetune", material, chosen, options, setup, 3, lambda: None)

    plain = fresh(setup.run.network.encoder, setup, 3).train(mode == "train")
    assert plain.projector.weight.detach().std() == pytest.approx(0.02, rel=0.5)
    assert not plain.projector.bias.any()
    x = torch.from_numpy(apply_stream(Clips(clips).load(f.row[f.train][chosen]), "motion", setup.clips.layout))
    y = torch.from_numpy(f.label[f.train][chosen])
    scores = plain.projector(plain.encoder(x))
    loss = -(scores - scores.exp().sum(1, keepdim=True).log())[torch.arange(len(y)), y].mean()
    loss.backward()
    loss = float(loss.detach())
    norm = sum(p.grad.square().sum() for p in plain.parameters()).sqrt()
    shrink = min(1.0, clip / float(norm)) if clip else 1.0
    assert shrink < 1 or not clip
    assert trained.loss == pytest.approx(loss, rel=1e-5)
    assert trained.top1 == pytest.approx(float((scores.argmax(1) == y).float().mean()))
    after = parameters(trained.network)
    for name, p in plain.named_parameters():
        gradient = p.grad * shrink + 0.01 * p.detach()
        expected = p.detach() - 0.2 * gradient * (1.9 if nesterov else 1)
        torch.testing.assert_close(after[name], expected, rtol=1e-4, atol=5e-6)  # the fused operators'


def test_it_learns_what_is_easy_and_leaves_the_run_alone(plain_run, clips):
    before = content(plain_run)
    f, setup = prepared(plain_run, clips, best_on_test=True)
    encoder = parameters(setup.run.network.encoder)
    options = FinetuneOptions(epochs=22, lr=0.05, batch_size=8, steps=(20,))
    outcome = finetune(f, Setup(**{**vars(setup), "options": {"finetune": options}}))
    assert topk_accuracy(outcome.scores, f.label[~f.train], 1) > 0.7
    assert outcome.figures["train_top1"] > 0.7
    assert outcome.figures["best_on_test"]["epoch"] in (5, 10, 15, 20, 22)
    assert (outcome.figures["epochs"], outcome.figures["lr"], outcome.figures["mode"]) == (22, 0.05, "train")
    assert outcome.figures["settings"]["steps"] == [20]
    assert outcome.warnings == []
    for name, value in parameters(setup.run.network.encoder).items():
        assert torch.equal(value, encoder[name])
    assert content(plain_run) == before


def test_every_parameter_moves_and_what_best_on_test_looks_at_changes_nothing(run, clips):
    f, setup = prepared(run, clips)
    material = load(f, setup)
    before = parameters(fresh(material.encoder, setup, 0))
    options = FinetuneOptions(epochs=2, batch_size=8, view="normal")
    trained = train("finetune", material, slice(None), options, setup, 0, lambda: None)
    # A bias before batch norm, or an edge that no joint has, gets no gradient to speak of, but weight decay moves both.
    assert all(not torch.equal(value, before[name]) for name, value in parameters(trained.network).items()
               if value.abs().sum() and before[name].abs().sum())  # fmt: skip
    looked = Setup(**{**vars(setup), "best_on_test": True})
    again = train("finetune", material, slice(None), options, looked, 0, lambda: None)
    assert np.array_equal(again.scores, trained.scores)  # bit-equal
    assert list(again.on_test) == [2]
    assert again.on_test[2] == topk_accuracy(again.scores, f.label[~f.train], 1)
    other = train("finetune", material, slice(None), options, setup, 1, lambda: None)
    assert not np.array_equal(other.scores, trained.scores)


@pytest.mark.parametrize(("mode", "kept"), [("eval", True), ("train", False)])
def test_eval_mode_leaves_the_statistics_of_batch_norm(run, clips, mode, kept):
    f, setup = prepared(run, clips)
    before = statistics(setup.run.network)
    options = FinetuneOptions(epochs=1, batch_size=8, mode=mode)
    trained = train("finetune", load(f, setup), slice(None), options, setup, 0, lambda: None)
    after = statistics(trained.network)
    assert all(torch.equal(value, before[name]) for name, value in after.items()) is kept
    conv = "encoder.blocks.5.temporal.weight"
    assert not torch.equal(parameters(trained.network)[conv], parameters(setup.run.network)[conv])


def test_fewer_clips_than_a_batch_are_one_batch_and_the_rest_of_an_epoch_is_left_out(run, clips, monkeypatch):
    f, setup = prepared(run, clips)
    material = load(f, setup)
    sizes = []
    epoch = Batches.epoch

    def counted(self, number):
        for batch in epoch(self, number):
            sizes.append(len(batch.labels))
            yield batch

    monkeypatch.setattr(Batches, "epoch", counted)
    train("finetune", material, np.arange(5), FinetuneOptions(epochs=1), setup, 0, lambda: None)
    assert sizes == [5]
    train("finetune", material, slice(None), FinetuneOptions(epochs=1, batch_size=10), setup, 0, lambda: None)
    assert sizes[1:] == [10, 10]  # of 24


def test_a_loss_that_is_not_finite_is_bad_input(run, clips):
    f, setup = prepared(run, clips)
    options = FinetuneOptions(epochs=6, lr=1e30)
    with pytest.raises(BadInput, match=r"the loss of epoch \d is .*--set finetune\.lr="):
        train("finetune", load(f, setup), slice(None), options, setup, 0, lambda: None)


def test_a_training_that_learns_nothing_is_named(run, clips):
    f, setup = prepared(run, clips, options={"finetune": FinetuneOptions(epochs=1, lr=1e-9)})
    (warning,) = finetune(f, setup).warnings
    assert "has not learnt its own training clips" in warning


# Few labels -------------------------------------------------------------------------------------------------------


def test_draws_are_balanced_distinct_and_reproducible():
    label = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 5], [100, 40, 30, 4]))
    drawn = [draw_clips(label, 0.1, 7, draw) for draw in range(5)]
    for rows in drawn:
        assert np.bincount(label[rows]).tolist() == [10, 4, 3, 0, 0, 1]  # at least one of the smallest class
        assert np.all(np.diff(rows) > 0)  # none twice
    assert len({rows.tobytes() for rows in drawn}) == 5
    assert np.array_equal(draw_clips(label, 0.1, 7, 3), drawn[3])
    assert not np.array_equal(draw_clips(label, 0.1, 8, 3), drawn[3])
    assert set(draw_clips(label, 0.05, 7, 3)) < set(drawn[3])
    assert np.array_equal(draw_clips(label, 1, 7, 0), np.arange(len(label)))


def test_semi_trains_on_what_was_drawn(run, clips, monkeypatch):
    seen = []
    module = sys.modules[semi.__module__]  # its name in the package is the function's
    plain = train
    monkeypatch.setattr(module, "train", lambda *given: (seen.append((given[2], given[5])), plain(*given))[1])
    ticks = []
    f, setup = prepared(
        run,
        clips,
        options={"semi": SemiOptions(fractions=(0.2, 0.5), draws=2, epochs=2)},
        progress=lambda *step: ticks.append(step),
    )
    found = semi(f, setup)
    assert list(found) == ["semi20", "semi50"]
    assert ticks == [(i, 8) for i in range(1, 9)]
    label = f.label[f.train]
    assert [np.bincount(label[rows]).tolist() for rows, _ in seen] == [[1] * 4] * 2 + [[3] * 4] * 2
    assert seen[0][1] == seen[2][1] != seen[1][1]
    for name, fraction, labelled in (("semi20", 0.2, 4), ("semi50", 0.5, 12)):
        assert found[name].scores.shape == (2, 8, 4)
        assert (found[name].figures["fraction"], found[name].figures["labelled"]) == (fraction, labelled)
    assert not np.array_equal(found["semi20"].scores[0], found["semi20"].scores[1])


# A folder, a fusion, the command ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evaluations(run, plain_run, clips, tmp_path_factory):
    """All protocols that suit, of two streams."""
    folder = tmp_path_factory.mktemp("evaluations")
    options = ["finetune.epochs=2", "semi.fractions=[0.3]", "semi.draws=3", "semi.epochs=1"]
    for path, stream in ((run, "joint"), (plain_run, "motion")):
        evaluate(
            path,
            clips,
            folder / stream,
            protocols=["knn", "semi", "finetune"],
            options=options,
            device="cpu",
            threads=1,
        )
    return folder


def test_a_folder_with_draws(evaluations):
    metrics = json.loads((evaluations / "joint" / "metrics.json").read_text())
    assert list(metrics["protocols"]) == ["knn", "semi30", "finetune"]
    _, label, scores = read_scores(evaluations / "joint" / "scores.npz")[:3]
    entry = metrics["protocols"]["semi30"]
    assert scores["semi30"].shape == (3, 8, 60)
    each = [float((one.argmax(1) == label).mean()) for one in scores["semi30"]]
    assert entry["draws"] == pytest.approx(each)
    assert entry["top1"] == pytest.approx(sum(each) / 3)
    mean = sum(each) / 3
    assert entry["std"] == pytest.approx((sum((a - mean) ** 2 for a in each) / 2) ** 0.5)
    assert (entry["labelled"], entry["fraction"], entry["settings"]["draws"]) == (8, 0.3, 3)
    rows = (evaluations / "joint" / "confusion_semi30.csv").read_text().splitlines()[1:]
    assert sum(int(cell) for row in rows for cell in row.split(",")[-60:]) == 3 * 8
    made = json.loads((evaluations / "joint" / "provenance.json").read_text())
    assert made["settings"]["options"]["semi"] == entry["settings"]
    assert made["settings"]["options"]["finetune"] == metrics["protocols"]["finetune"]["settings"]
    assert metrics["protocols"]["finetune"]["settings"]["epochs"] == 2


def test_draws_are_fused_one_by_one(evaluations, tmp_path):
    metrics = fuse([evaluations / "joint", evaluations / "motion"], tmp_path / "fused")
    _, label, scores = read_scores(tmp_path / "fused" / "scores.npz")[:3]
    _, _, joint = read_scores(evaluations / "joint" / "scores.npz")[:3]
    _, _, motion = read_scores(evaluations / "motion" / "scores.npz")[:3]
    np.testing.assert_allclose(scores["semi30"], 0.6 * joint["semi30"] + 0.4 * motion["semi30"], rtol=1e-5, atol=1e-6)
    entry = metrics["protocols"]["semi30"]
    assert entry["draws"] == pytest.approx([float((one.argmax(1) == label).mean()) for one in scores["semi30"]])
    assert (entry["fraction"], entry["labelled"], entry["settings"]["epochs"]) == (0.3, 8, 1)


def test_one_line_says_the_spread(run, clips, tmp_path):
    command = ["evaluate", run, clips, tmp_path / "out", "--protocol", "semi", "--set", "semi.fractions=[0.5]"]
    more = ["--set", "semi.draws=2", "--set", "semi.epochs=1", "--device", "cpu", "--threads", "1"]
    done = CliRunner().invoke(main, [str(word) for word in [*command, *more]], catch_exceptions=False)
    assert done.exit_code == 0
    entry = json.loads((tmp_path / "out" / "metrics.json").read_text())["protocols"]["semi50"]
    assert f"semi50: top-1 {100 * entry['top1']:.1f} ± {100 * entry['std']:.1f} % (95 % interval" in done.output
    assert "over 8 clips), top-5" in done.output  # of one person
    done = CliRunner().invoke(main, [str(word) for word in [*command, "--set", "semi.draw=2", "--force"]])
    assert done.exit_code == 2
    assert "did you mean 'draws'" in done.output


# Other data, and a run's own classifier ---------------------------------------------------------------------------


def test_transfer_is_to_another_data_set(run, clips, other_clips, tmp_path):
    with pytest.raises(BadInput, match="pretrained on ntu60 too; use --protocol finetune"):
        evaluate(run, clips, tmp_path / "out", protocols=["transfer"])
    assert not (tmp_path / "out").exists()
    options = ["transfer.epochs=2", "transfer.view=normal"]
    metrics = evaluate(
        run, other_clips, tmp_path / "out", protocols=["transfer"], options=options, split="xsub120", device="cpu"
    )
    assert metrics["classes"] == 120
    assert (metrics["dataset"], metrics["pretrained_on"]["dataset"]) == ("ntu120", "ntu60")
    assert metrics["protocols"]["transfer"]["lr"] == 0.01
    _, _, scores = read_scores(tmp_path / "out" / "scores.npz")[:3]
    assert scores["transfer"].shape[1] == 120


def test_a_split_is_asked_for_where_the_runs_own_does_not_fit(other_clips, clips, tmp_path):
    path = make_run(clips, tmp_path / "run")
    settings = path / "settings.json"
    settings.write_text(settings.read_text().replace("xsub60", "pku2-xsub"))
    seal(path, "run")
    with pytest.raises(BadInput, match=r"own split pku2-xsub.*--split: xsub60, xview60, xsub120, xset120"):
        evaluate(path, other_clips, tmp_path / "out")


def test_the_supervised_protocol_is_a_plain_forward_pass(labelled_run, clips, tmp_path):
    evaluate(labelled_run, clips, tmp_path / "out", protocols=["supervised", "knn"], device="cpu")
    source = Clips(clips)
    network = copy.deepcopy(load_run(labelled_run, source, "cpu").network).eval()
    test = source.columns["subject"] == 3
    x = apply_stream(source.load(test), "bone", source.layout)
    with torch.no_grad():
        expected = network.scores(torch.from_numpy(x)).numpy()
    _, _, scores = read_scores(tmp_path / "out" / "scores.npz")[:3]
    np.testing.assert_allclose(scores["supervised"], expected, rtol=1e-4, atol=1e-5)


def test_the_supervised_protocol_needs_a_classifier_for_these_classes(run, labelled_run, clips, other_clips, tmp_path):
    with pytest.raises(BadInput, match="without labels.*finetune or linear"):
        evaluate(run, clips, tmp_path / "out", protocols=["supervised"])
    with pytest.raises(BadInput, match="classes of ntu60, and xset120 has those of ntu120"):
        evaluate(labelled_run, other_clips, tmp_path / "out", protocols=["supervised"], split="xset120")
    assert not (tmp_path / "out").exists()
