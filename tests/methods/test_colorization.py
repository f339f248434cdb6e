"""Skeleton Cloud Colorization: decoder and Chamfer distance against hand-worked values, colours, its recipes, a run."""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest
import torch
from clouds import cloud, waves
from conftest import write_clips
from safetensors.torch import load_file

from skelpipe.clips.batches import Batch
from skelpipe.errors import BadInput
from skelpipe.evaluation.evaluate import evaluate
from skelpipe.exchange.weights.importing import import_weights
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.methods import chamfer as chamfers
from skelpipe.methods.chamfer import chamfer, nearest
from skelpipe.methods.colorization import COLOURS, Colorization
from skelpipe.methods.folding import Folding
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

TOY = ["encoder.width=2", "encoder.features=8", "encoder.neighbours=5", "method.side=5", "batch_size=8"]
A = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 2, 0]]], dtype=torch.float64)
B = torch.tensor([[[0.0, 0, 1], [1, 1, 0]]], dtype=torch.float64)


def count(module):
    return sum(p.numel() for p in module.parameters())


def recipe(*more, epochs=2, name="colorization"):
    return load_recipe(name, [*TOY, "optimizer.lr=0.003", "clips={}", *more], epochs=epochs)


# The decoder ------------------------------------------------------------------------------------------------------


def test_the_public_codes_decoder():
    points = waves(Folding(8, 3))(torch.full((2, 8), 0.5, dtype=torch.float64))
    assert points.shape == (2, 2025, 3)
    expected = [[-1.938349, 4.175387, 3.645021], [-1.949166, 4.173201, 3.621287], [-2.747212, 4.654263, 3.105342]]
    for n in range(2):
        torch.testing.assert_close(points[n, [0, 45, -1]], torch.tensor(expected).double(), rtol=0, atol=3e-6)


def test_its_size_and_grid():
    decoder = Folding(1024, 6)
    assert count(decoder) == 4_218_892
    assert "grid" not in decoder.state_dict()
    assert decoder.grid.shape == (2025, 2)
    np.testing.assert_allclose(
        decoder.grid[[0, 1, 45]], [[-0.3, -0.3], [-0.3, -0.3 + 0.6 / 44], [-0.3 + 0.6 / 44, -0.3]]
    )
    assert decoder.grid.abs().max() == torch.tensor(0.3)


def test_a_fold_is_a_network_of_feature_and_point_side_by_side():
    fold, h, points = Folding(4, 6).double().second, cloud(0, 3, 4), cloud(1, 3, 7, 6)
    both = torch.cat([h[:, None].expand(-1, 7, -1), points], dim=2)
    expected = fold.out(torch.relu(fold.inner(torch.relu(fold.meet(both)))))
    torch.testing.assert_close(fold(h, points), expected)


# The distance -----------------------------------------------------------------------------------------------------


def test_the_chamfer_distance_of_five_points():
    forth, back = chamfer(A, B)
    torch.testing.assert_close(forth.mean(), torch.tensor(1.138071).double(), rtol=0, atol=3e-6)
    torch.testing.assert_close(back.mean(), torch.tensor(1.0).double())
    assert nearest(A, B).tolist() == [[0, 1, 1]]
    assert forth.square().sum() + back.square().sum() == pytest.approx(6)


@pytest.mark.parametrize(("kind", "expected"), [("max_of_means", 1.138071), ("sum_of_squares", 6.0)])
def test_the_losss_two_forms(kind, expected):
    method = recipe(f"method.chamfer={kind}").build_method(KINECT_V2, 4)
    for points, target in ((A, B), (B, A)):
        assert method.distance(points, target).item() == pytest.approx(expected, abs=1e-6)
    # Of two clips, one of which lies on its target: half of the mean, all of the sum.
    twice = method.distance(torch.cat([A, A]), torch.cat([B, B * 0 + A[:, :2]]))
    own = chamfer(A[:, :2], A)[1]
    more = own.mean() if kind == "max_of_means" else own.square().sum()
    assert twice.item() == pytest.approx(((expected + more) / (2 if kind == "max_of_means" else 1)).item(), abs=1e-6)


@pytest.mark.parametrize("at_a_time", [1, 30, 1 << 24])
def test_the_nearest_of_another_cloud(at_a_time, monkeypatch):
    monkeypatch.setattr(chamfers, "DISTANCES", at_a_time)
    x, y = cloud(0, 2, 9, 6) + 30, cloud(1, 2, 13, 6) + 30
    expected = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    for found, wanted in zip(chamfer(x, y), (expected.amin(2), expected.amin(1)), strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("kind", ["max_of_means", "sum_of_squares"])
def test_gradients_are_finite_differences(kind):
    method = recipe(f"method.chamfer={kind}").build_method(KINECT_V2, 4)
    points, target = cloud(0, 2, 6, 6).requires_grad_(), cloud(1, 2, 5, 6)
    assert torch.autograd.gradcheck(lambda p: method.distance(p, target), points)


def test_points_that_lie_on_each_other_have_no_gradient():
    x = A.clone().requires_grad_()
    sum(each.sum() for each in chamfer(x, A.clone())).backward()
    assert torch.equal(x.grad, torch.zeros_like(A))


# The method -------------------------------------------------------------------------------------------------------


def batch_of(clips: torch.Tensor, colours: dict[str, torch.Tensor]) -> Batch:
    targets = {f"{colour}_colours": each for colour, each in colours.items()}
    return Batch({"clip": clips}, torch.zeros(len(clips)), {}, {"clip": targets})


def test_each_network_repaints_its_own_colours():
    torch.manual_seed(0)
    method = recipe().build_method(KINECT_V2, 4)
    x = torch.randn(4, 3, 6, 25, 2)
    colours = {colour: torch.rand(4, 3, 6, 25, 2) for colour in COLOURS}
    losses = method.losses(batch_of(x, colours), 1)
    assert tuple(losses) == method.LOSSES == COLOURS
    total, log = method(batch_of(x, colours), 1)
    torch.testing.assert_close(total, sum(losses.values()))
    assert tuple(log) == COLOURS
    changed = method.losses(batch_of(x, colours | {"spatial": colours["spatial"] + 1}), 1)
    assert changed["spatial"] != losses["spatial"]
    assert changed["temporal"] == losses["temporal"]
    losses["person"].backward()
    for colour in COLOURS:
        for part in (method.networks[colour].encoder, method.decoders[colour]):
            assert all((p.grad is not None) == (colour == "person") for p in part.parameters())
    # By hand: the points with their colours behind them, and the decoded ones.
    network, decoder = method.networks["temporal"], method.decoders["temporal"]
    target = torch.cat([x, colours["temporal"]], dim=1).flatten(2).transpose(1, 2)
    apart = torch.cdist(target, decoder(network.encoder(x)))
    expected = torch.maximum(apart.amin(2).mean(1), apart.amin(1).mean(1)).mean()
    torch.testing.assert_close(losses["temporal"], expected, rtol=1e-4, atol=1e-5)


def test_networks_are_drawn_apart_and_have_no_projector():
    torch.manual_seed(0)
    method = recipe().build_method(KINECT_V2, 4)
    first, second = (method.evaluated[colour].encoder.conv.weight for colour in COLOURS[:2])
    assert not torch.equal(first, second)
    assert {name.split(".")[1] for name in method.evaluated.state_dict()} == {"encoder"}
    assert sum(map(count, method.networks.values())) + sum(map(count, method.decoders.values())) == count(method)


def test_the_authors_recipe():
    found = load_recipe("colorization")
    assert found.streams == COLOURS
    assert found.own_streams
    assert (found.trained("3s"), found.rendered("spatial")) == ("joint", "joint")
    method = found.build_method(KINECT_V2, 60)
    assert [count(method.networks[c]) + count(method.decoders[c]) for c in COLOURS] == [4_836_748] * 3
    assert found.rates.factor(150, 150) * found.optimizer.lr == pytest.approx(1e-7)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["bodies=1"], "method.colours: of one body all points have one colour; leave out person, or set bodies: 2"),
        (["views={clip: []}"], "views.clip: has no step that brings the colours; add {colours: {by: temporal}}"),
        (["method.colours=[person, person]"], "method.colours: names something twice"),
        (["method.colours=[hue]"], "colours"),
        (["encoder={name: temporal}"], "encoder: colorization needs one that has points, as temporal has not"),
    ],
)
def test_recipes_that_do_not_fit(changes, told):
    with pytest.raises(BadInput) as caught:
        load_recipe("colorization", changes)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_some_of_the_colours():
    found = recipe("method.colours=[spatial, temporal]", "bodies=1", "views.clip=[{colours: {by: spatial}}, colours]")
    assert found.streams == ("temporal", "spatial")
    method = found.build_method(KINECT_V2, 4)
    assert isinstance(method, Colorization)
    assert tuple(method.evaluated) == ("temporal", "spatial")
    x, colours = torch.randn(2, 3, 6, 25, 1), {c: torch.rand(2, 3, 6, 25, 1) for c in ("temporal", "spatial")}
    assert tuple(method.losses(batch_of(x, colours), 1)) == ("temporal", "spatial")


# A run ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(clips, tmp_path_factory):
    """A run of two epochs, and the evaluation of one of its networks."""
    top = tmp_path_factory.mktemp("colours")
    result = train(recipe(), clips, top / "run")
    assert result.state == "finished"
    evaluate(top / "run", clips, top / "spatial", protocols=["knn"], stream="spatial", device="cpu", threads=1)
    return top


def train(chosen, clips, run, **more):
    return pretrain(chosen, clips, run, split="xsub60", stream="3s", device="cpu", threads=1, **more)


def test_a_run_holds_a_network_for_each_colour(run, clips):
    names = {key.split(".")[0] for key in load_file(run / "run" / "weights.safetensors")}
    assert names == set(COLOURS)
    told = json.loads((run / "spatial" / "metrics.json").read_text())
    assert (told["stream"], told["run"]["stream"]) == ("spatial", "3s")
    with pytest.raises(BadInput, match="holds temporal, spatial, person; choose one by --stream"):
        evaluate(run / "run", clips, run / "none", protocols=["knn"], device="cpu")
    with pytest.raises(BadInput, match="--stream joint: .* was trained on temporal, spatial, person"):
        evaluate(run / "run", clips, run / "none", protocols=["knn"], stream="joint", device="cpu")
    entry = json.loads((run / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert entry["loss"] == pytest.approx(sum(entry[colour] for colour in COLOURS), rel=1e-6)


def test_a_run_of_one_stream_is_refused(clips, tmp_path):
    with pytest.raises(BadInput, match="--stream joint: is one, and colorization trains temporal, spatial, person"):
        pretrain(recipe(), clips, tmp_path / "run", split="xsub60", stream="joint", device="cpu")


def test_other_projects_files_hold_no_such_networks(tmp_path):
    with pytest.raises(BadInput, match="trains networks of its own, temporal, spatial, person, which no such file"):
        import_weights(tmp_path / "none.pt", tmp_path / "run", load_recipe("colorization"), stream="3s", split="xsub60")


def test_a_stopped_run_goes_on_bit_for_bit(run, clips, tmp_path):
    def stop(event):
        if (event["epoch"], event["step"]) == (2, 1):
            os.kill(os.getpid(), signal.SIGTERM)

    assert train(recipe(), clips, tmp_path / "run", progress=stop).state == "stopped"
    assert train(recipe(), clips, tmp_path / "run").state == "finished"
    for file in ("weights.safetensors", "recipe.yaml", "settings.json"):
        assert (tmp_path / "run" / file).read_bytes() == (run / "run" / file).read_bytes(), file


def test_it_learns_on_clips_of_one_body(tmp_path):
    few = write_clips(tmp_path / "clips.zarr", per_class=4)
    result = train(recipe(epochs=12, name="small_colorization"), few, tmp_path / "run")
    first, *_ = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert result.last["loss"] < 0.8 * json.loads(first)["loss"]
