"""P&C by numbers of small networks in float64, its parameter counts, and what each of its options changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from skelpipe.clips.batches import Batch
from skelpipe.errors import BadInput
from skelpipe.layouts import LAYOUTS
from skelpipe.layouts.base import Layout
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.training.loop import train_step
from skelpipe.training.recipe import load_recipe

# Two joints of two coordinates, so that a frame has four numbers.
FOUR = Layout("four", ("a", "b"), (0, 0), (0, 1), (0,), ((0,), (1,)), (0,), (), 2)
TINY = ["encoder.cell=gru", "encoder.width=3", "keep_every=0"]


def method(*changes, layout=FOUR):
    torch.manual_seed(0)
    return load_recipe("predict_cluster", [*TINY, *changes]).build_method(layout, 2).train()


def filled(made):
    """The method in float64, p.flat[i] = 0.3 sin(i + 1) for every parameter."""
    made = made.double()
    with torch.no_grad():
        for p in made.parameters():
            p.copy_((0.3 * torch.sin(torch.arange(1, p.numel() + 1, dtype=p.dtype))).view_as(p))
    return made


def sines(start, stop):
    """Frames (T, 4) of sin(start), … as one clip (1, 2, T, 2, 1)."""
    frames = torch.sin(torch.arange(start, stop, dtype=torch.float64)).view(-1, 2, 2)
    return frames.permute(2, 0, 1)[None, ..., None]


def two_clips():
    """Of 5 and 3 frames."""
    x = torch.cat([sines(0, 20), nn.functional.pad(sines(20, 32), (0, 0, 0, 0, 0, 2))])
    return Batch({"clip": x}, torch.zeros(2, dtype=torch.int64), {"clip": torch.tensor([5, 3])})


def loss(made, batch=None):
    return float(made.losses(batch or two_clips(), 1)["prediction"].detach())


@pytest.mark.parametrize(
    ("decoder", "value"), [("fixed_state", 6.006269), ("carried", 6.113076), ("fixed_weights", 2.922519)]
)
def test_the_loss_by_numbers(decoder, value):
    made = filled(method(f"method.decoder={decoder}"))
    assert loss(made) == pytest.approx(value, abs=2e-6)
    batch = two_clips()
    feature = made.network.features(batch.views["clip"], batch.lengths["clip"])
    expected = torch.tensor([0.451123, 0.366076, 0.263474, 0.439144, 0.388923, 0.309886], dtype=torch.float64)
    torch.testing.assert_close(feature[0], expected, rtol=0, atol=1e-6)
    first = torch.sin(torch.arange(4, dtype=torch.float64))[None]
    told = made.decoder.go_on(feature[:1], first, 1, held=True)[0, 0]
    expected = torch.tensor([0.490820, 1.362247, 1.189474, 0.122826], dtype=torch.float64)
    torch.testing.assert_close(told, expected, rtol=0, atol=1e-6)


def test_targets_and_what_is_counted():
    made = {name: filled(method(*changes)) for name, changes in {
        "next": (), "same": ("method.targets=same",), "all": ("method.targets=same", "method.counted=all"),
    }.items()}  # fmt: skip
    batch = two_clips()
    x, lengths = batch.views["clip"], batch.lengths["clip"]
    frames = x.permute(0, 2, 3, 1, 4).flatten(2)
    feature = made["next"].network.features(x, lengths).detach()
    told = made["next"].decoder.go_on(feature, frames[:, 0], 5, held=True).detach()
    away = {0: (told[:, :4] - frames[:, 1:]).abs().sum(2), 1: (told - frames).abs().sum(2)}
    assert loss(made["next"]) == pytest.approx(float((away[0][0].sum() / 4 + away[0][1, :2].sum() / 2) / 2))
    assert loss(made["same"]) == pytest.approx(float((away[1][0].sum() / 5 + away[1][1, :3].sum() / 3) / 2))
    assert loss(made["all"]) == pytest.approx(float((away[1][0].sum() / 5 + away[1][1].sum() / 3) / 2))


@pytest.mark.parametrize("decoder", ["fixed_state", "carried", "fixed_weights"])
def test_what_stands_behind_a_clip_does_not_matter(decoder):
    made, batch = method(f"method.decoder={decoder}").double(), two_clips()
    alone = [Batch({"clip": batch.views["clip"][n : n + 1, :, :t]}, batch.labels[:1]) for n, t in enumerate((5, 3))]
    assert loss(made) == pytest.approx(sum(loss(made, each) for each in alone) / 2)
    batch.views["clip"][1, :, 3:] = 7.0
    assert loss(made, batch) == pytest.approx(loss(made))


def test_sizes_of_the_publication():
    """The sum for NTU RGB+D, of TensorFlow's cells and of torch's, whose two biases make the difference."""
    for cell, expected in (("tf_gru", 57_722_955), ("gru", 57_747_531)):
        made = load_recipe("predict_cluster", [f"encoder.cell={cell}", "init=reference"]).build_method(KINECT_V2, 60)
        assert sum(p.numel() for p in made.parameters()) == expected
        assert made.evaluated.encoder.features == 2048


def test_fixed_weights_are_fixed():
    moved = {}
    for freeze in (True, False):
        made = method("method.decoder=fixed_weights", f"method.freeze={str(freeze).lower()}").double()
        before = {name: p.detach().clone() for name, p in made.named_parameters()}
        group = made.parameter_groups(None)[0]["params"]
        train_step(made, torch.optim.Adam(group, 1e-2), two_clips(), 1)
        moved[freeze] = {name for name, p in made.named_parameters() if not torch.equal(p, before[name])}
    cell = {name for name in moved[False] if name.startswith("decoder.cell")} | {"decoder.cell.weight_ih_l0"}
    assert cell == {f"decoder.cell.{kind}_{to}_l0" for kind in ("weight", "bias") for to in ("ih", "hh")}
    assert moved[True] == {name for name in before if name not in cell}
    # Nothing moves what zeros are multiplied by.
    assert moved[False] == set(before) - {"decoder.cell.weight_ih_l0"}


@pytest.mark.parametrize("decoder", ["fixed_state", "carried", "fixed_weights"])
def test_the_slope_of_the_loss(decoder):
    made, batch = method(f"method.decoder={decoder}", "method.freeze=false").double(), two_clips()
    made.losses(batch, 1)["prediction"].backward()
    for name, p in made.named_parameters():
        with torch.no_grad():
            at = tuple(np.unravel_index(p.numel() // 2, p.shape))
            kept, found = p[at].clone(), []
            for step in (1e-6, -1e-6):
                p[at] = kept + step
                found.append(loss(made))
            p[at] = kept
        assert float(p.grad[at]) == pytest.approx((found[0] - found[1]) / 2e-6, abs=2e-8), name


def test_how_the_authors_draw_it():
    made = load_recipe("predict_cluster", ["encoder.width=16"]).build_method(KINECT_V2, 60)
    for name, p in made.named_parameters():
        if name.endswith("bias") and "output" not in name:
            assert set(p.tolist()) == {0.0, 1.0}, name
    assert 0.03 < float(made.decoder.output.weight.detach().abs().max()) <= 0.04
    assert type(made.decoder.cell).__name__ == "TFGRU"


def test_any_encoder_will_do():
    made = method("encoder={name: temporal, width: 8, features: 12}", layout=KINECT_V2)
    batch = Batch({"clip": torch.randn(4, 3, 12, 25, 1)}, torch.zeros(4))
    assert made.decoder.cell.hidden_size == 12
    train_step(made, torch.optim.Adam(made.parameters()), batch, 1)


def test_the_layout_says_what_a_frame_is():
    for layout in LAYOUTS.values():
        for bodies in (1, 2):
            made = method(f"bodies={bodies}", layout=layout)
            size = layout.channels * len(layout.joints) * bodies
            assert made.decoder.output.out_features == made.decoder.cell.input_size == size
            x = torch.randn(2, layout.channels, 6, len(layout.joints), bodies)
            assert torch.isfinite(made(Batch({"clip": x}, torch.zeros(2)), 1)[0])


def test_one_frame_has_no_next_one():
    made = method().double()
    short = Batch({"clip": sines(0, 4)}, torch.zeros(1))
    with pytest.raises(BadInput, match="views.clip: has one frame, and no next one to tell"):
        made(short, 1)
    assert loss(method("method.targets=same").double(), short) >= 0
