"""AimCLR: the drop, the distributional loss, the union of neighbours, and five steps against a plain implementation."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from skelpipe.clips.batches import Batch
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.methods.aimclr import AimCLR, AimCLROptions, Union, UnionOptions, attention, attention_drop
from skelpipe.methods.aimclr import distribution_loss as d3m
from skelpipe.methods.crosnnclr import LOSSES, CrossView, CrossViewOptions
from skelpipe.methods.network import Network, projector
from skelpipe.methods.positives import Pair
from skelpipe.training.recipe import load_recipe

TAU = 0.5


def unit(*degrees):
    return torch.tensor([[math.cos(math.radians(d)), math.sin(math.radians(d))] for d in degrees], dtype=torch.float64)


def e(degrees):
    return math.exp(math.cos(math.radians(degrees)) / TAU)


def hand_pair():
    """One clip: q at 0°, k at 30°, queue at 10°, 100°, 200°, 300°; the extreme branches at 95° and 190°."""
    return Pair(unit(0), unit(30), unit(10, 100, 200, 300).t().contiguous(), TAU, (unit(95), unit(190)))


def test_union_by_hand():
    """q mines 10°, the branches 100° and 200°: four positives, the mean of their logarithms."""
    total = e(30) + e(10) + e(100) + e(200) + e(300)
    expected = -sum(math.log(x / total) for x in (e(30), e(10), e(100), e(200))) / 4
    positives = Union(UnionOptions(nn_start_epoch=150))
    assert float(positives(hand_pair(), 151)) == pytest.approx(expected, abs=1e-12)
    assert float(positives(hand_pair(), 150)) == pytest.approx(-math.log(e(30) / total), abs=1e-12)
    assert (positives.mining(150), positives.mining(151)) == (False, True)


def test_union_counts_a_shared_neighbour_once():
    pair = Pair(unit(0), unit(30), unit(10, 100, 200, 300).t().contiguous(), TAU, (unit(5), unit(12)))
    total = e(30) + e(10) + e(100) + e(200) + e(300)
    expected = -(math.log(e(30) / total) + math.log(e(10) / total)) / 2
    assert float(Union(UnionOptions(nn_start_epoch=0))(pair, 1)) == pytest.approx(expected, abs=1e-12)


def test_keep_union_adds_the_keys_neighbour():
    """q mines 10°, the branches 100° and 200°, and the key at 290° mines 300°."""
    pair = Pair(unit(0), unit(290), unit(10, 100, 200, 300).t().contiguous(), TAU, (unit(95), unit(190)))
    total = e(290) + e(10) + e(100) + e(200) + e(300)
    expected = -sum(math.log(e(angle) / total) for angle in (290, 10, 100, 200, 300)) / 5
    star = CrossView(CrossViewOptions(nn_start_epoch=0, keep_union=True))
    assert float(star(pair, 1)) == pytest.approx(expected, abs=1e-12)
    # Where the key's neighbour is among the union already, nothing is counted twice.
    union = Union(UnionOptions(nn_start_epoch=0))
    assert float(star(hand_pair(), 1)) == pytest.approx(float(union(hand_pair(), 1)), abs=1e-12)


@pytest.mark.parametrize("keep_union", [False, True])
def test_the_weight_acts_on_neighbours_only(keep_union):
    one, three = (
        CrossView(CrossViewOptions(nn_start_epoch=1, keep_union=keep_union, weight=weight)) for weight in (1, 3)
    )
    assert float(one(hand_pair(), 1)) == float(three(hand_pair(), 1)) == float(hand_pair().info_nce)
    assert float(three(hand_pair(), 2)) == pytest.approx(3 * float(one(hand_pair(), 2)), rel=1e-12)


def test_d3m_by_hand():
    def distribution(key, *queue):
        weights = [e(key), *map(e, queue)]
        return [w / sum(weights) for w in weights]

    target = distribution(30, 10, 100, 200, 300)
    one = distribution(65, 85, 5, 105, 205)  # from 95°
    two = distribution(160, 180, 90, 10, 110)  # from 190°
    expected = sum(-sum(p * math.log(x) for p, x in zip(target, other, strict=True)) for other in (one, two)) / 2
    assert float(d3m(hand_pair())) == pytest.approx(expected, abs=1e-12)


def test_d3m_holds_the_target_fixed_and_its_gradient_is_right():
    torch.manual_seed(0)
    size = lambda n: nn.functional.normalize(torch.randn(n, 6, dtype=torch.float64), dim=1)  # noqa: E731
    query, key, queue = size(3).requires_grad_(), size(3), size(7).t().contiguous()
    raw = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)

    def loss(x):
        u = nn.functional.normalize(x, dim=1)
        return d3m(Pair(query, key, queue, 0.3, (u, u.flip(1))))

    assert torch.autograd.gradcheck(loss, raw, eps=1e-7)
    assert torch.autograd.grad(loss(raw), query, allow_unused=True) == (None,)


def plain_drop(x, threshold=0.7, lam=1e-4):
    """The drop by loops over samples and channels."""
    b, c, _, v = x.shape
    a = torch.empty_like(x)
    for i in range(b):
        for j in range(c):
            values = [float(y) for y in x[i, j].flatten()]
            mean = sum(values) / len(values)
            variance = sum((y - mean) ** 2 for y in values) / (len(values) - 1)
            for n, y in enumerate(values):
                energy = (y - mean) ** 2 / (4 * (variance + lam)) + 0.5
                a[i, j, n // v, n % v] = 1 / (1 + math.exp(-energy))
    joints = torch.tensor([[float(a[i, :, :, w].mean() < threshold) for w in range(v)] for i in range(b)])
    places = (a < threshold).to(x.dtype)
    out = x * joints[:, None, None, :] * (b * v / joints.sum())
    return out * places * (places.numel() / places.sum()), joints, places


def test_drop_against_loops():
    torch.manual_seed(0)
    x = torch.randn(3, 4, 5, 6, dtype=torch.float64)
    x[1, :, :, 2] *= 6  # a joint that stands out in one sample
    expected, joints, places = plain_drop(x)
    assert joints[1, 2] == 0
    assert 0 < places.mean() < 1
    torch.testing.assert_close(attention_drop(x), expected)


def test_what_reaches_the_threshold_is_dropped():
    torch.manual_seed(0)
    x = torch.randn(1, 3, 4, 5, dtype=torch.float64)
    a = attention(x, 1e-4)
    third = float(a.mean(dim=(1, 2)).flatten().sort().values[2])
    dropped = attention_drop(x, third)
    assert (dropped != 0).any(dim=2).any(dim=1).sum() == 2  # the two joints below the third
    torch.testing.assert_close(dropped, plain_drop(x, third)[0])
    place = float(a[0, :, :, 0].max())  # its joint stays
    joints = a.mean(dim=(1, 2)).flatten() < place
    assert joints[0]
    assert ((attention_drop(x, place) != 0) == ((a < place) & joints)).all()


def test_of_one_joint_or_none_left():
    torch.manual_seed(0)
    x = torch.randn(1, 3, 4, 5, dtype=torch.float64)
    second = float(attention(x, 1e-4).mean(dim=(1, 2)).flatten().sort().values[1])
    dropped = attention_drop(x, second)
    assert (dropped != 0).any(dim=2).any(dim=1).sum() == 1
    torch.testing.assert_close(dropped, plain_drop(x, second)[0])
    assert not attention_drop(x, 0.6).any()  # below the least attention there is: nothing is left, and nothing infinite


def test_attention_bounds_and_share_of_gaussian_features():
    torch.manual_seed(0)
    a = attention(torch.randn(4, 64, 13, 25), 1e-4)
    assert float(a.min()) >= 1 / (1 + math.exp(-0.5)) - 1e-6
    # a >= 0.7 where |x - mean| >= 1.179 deviations: 24 % of a Gaussian.
    assert float((a >= 0.7).float().mean()) == pytest.approx(0.2384, abs=0.01)


def test_the_drop_passes_gradients_only_where_it_keeps():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 5, requires_grad=True)
    y = attention_drop(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad, torch.where(y == 0, torch.zeros_like(y), y / x).detach())


class Map(nn.Module):
    """A toy encoder with a feature map: (B, 2, 3, 4, M) -> (B·M, 5, 3, 4) -> (B, 5)."""

    features = 5

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 5, 1), nn.BatchNorm2d(5)

    def feature_map(self, x):
        return torch.relu(self.norm(self.conv(x.permute(0, 4, 1, 2, 3).flatten(0, 1))))

    def pool(self, feature_map, batch):
        return feature_map.mean(dim=(2, 3)).view(batch, -1, 5).mean(dim=1)

    def forward(self, x):
        return self.pool(self.feature_map(x), len(x))


def toy(positives):
    options = AimCLROptions(queue_size=12, momentum=0.9, temperature=0.2, key_init="independent")
    return AimCLR(lambda: Network(Map(), projector(5, 5, 3)), 3, options, positives, "torch")


@pytest.mark.parametrize("mining", [False, True])
def test_five_steps_against_a_plain_implementation(mining):
    torch.manual_seed(4)
    method = toy(Union(UnionOptions(nn_start_epoch=0 if mining else 99))).train()
    f_q, f_k, bank, at = copy.deepcopy(method.moco.query), copy.deepcopy(method.moco.key), method.moco.queue.clone(), 0
    ours = torch.optim.SGD(method.moco.query.parameters(), 0.05, momentum=0.9, weight_decay=1e-4)
    velocity = [torch.zeros_like(p) for p in f_q.parameters()]
    norm = lambda z: z / z.norm(dim=1, keepdim=True)  # noqa: E731
    for step in range(5):
        generator = torch.Generator().manual_seed(step)
        extreme, normal, other = torch.randn(3, 4, 2, 3, 4, 2, generator=generator)
        views = {"extreme": extreme, "query": normal, "key": other}
        loss, _ = method(Batch(views, torch.zeros(4, dtype=torch.int64)), 1)
        ours.zero_grad()
        loss.backward()
        ours.step()

        f_q.zero_grad()
        q = norm(f_q.projector(f_q.encoder(normal)))
        features = f_q.encoder.feature_map(extreme)
        _, joints, places = plain_drop(features.detach())
        kept = features * joints[:, None, None, :] * (joints.numel() / joints.sum())
        kept = kept * places * (places.numel() / places.sum())
        branches = [norm(f_q.projector(f_q.encoder.pool(m, 4))) for m in (features, kept)]
        with torch.no_grad():
            for p, r in zip(f_k.parameters(), f_q.parameters(), strict=True):
                p.copy_(0.9 * p + 0.1 * r)
            k = norm(f_k.projector(f_k.encoder(other)))
        expected = 0.0
        for i in range(4):
            logits = [torch.cat([(u[i] @ k[i])[None], u[i] @ bank]) / 0.2 for u in (q, *branches)]
            log_p = [torch.log(torch.exp(x) / torch.exp(x).sum()) for x in logits]
            chosen = {0, *(int(x[1:].argmax()) + 1 for x in logits)} if mining else {0}
            expected = expected - sum(log_p[0][j] for j in chosen) / len(chosen) / 4
            target = log_p[0].detach().exp()
            expected = expected - sum((target * x).sum() for x in log_p[1:]) / 2 / 4
        assert float(loss.detach()) == pytest.approx(float(expected.detach()), abs=1e-5)
        expected.backward()
        with torch.no_grad():
            for p, v in zip(f_q.parameters(), velocity, strict=True):
                v.mul_(0.9).add_(p.grad + 1e-4 * p)
                p.sub_(0.05 * v)
            for row in k:
                bank[:, at] = row
                at = (at + 1) % 12
    torch.testing.assert_close(method.moco.queue, bank)
    for mine, plain in ((method.moco.query, f_q), (method.moco.key, f_k)):
        for name, value in plain.state_dict().items():
            torch.testing.assert_close(mine.state_dict()[name], value, rtol=1e-3, atol=1e-5, msg=name)


def test_crosnnclr_star_is_aimclr_with_other_positives():
    """The cross-view loss of query and key takes the place of the mining, D³M stays."""
    torch.manual_seed(0)
    method = toy(CrossView(CrossViewOptions(form="equation", nn_start_epoch=1))).eval()
    views = {name: torch.randn(4, 2, 3, 4, 2) for name in AimCLR.VIEWS}
    for epoch in (1, 2):
        state = copy.deepcopy(method)
        query = state.moco.query(views["query"])
        state.moco.follow()
        key = state.moco.embed_keys(views["key"])
        pair = Pair(query, key, state.moco.queue, 0.2, state.embed_extreme(views["extreme"]))
        main = pair.info_nce if epoch == 1 else LOSSES["equation"](pair)
        expected = main + d3m(pair)
        loss, log = copy.deepcopy(method)(Batch(views, torch.zeros(4, dtype=torch.int64)), epoch)
        torch.testing.assert_close(loss, expected)
        torch.testing.assert_close(log["d3m"], d3m(pair))


def test_recipes_build_the_real_thing():
    for name, kind in (("aimclr", Union), ("crosnnclr_star", CrossView)):
        recipe = load_recipe(name, ["encoder.width=2", "encoder.features=8", "method.queue_size=16"])
        method = recipe.build_method(KINECT_V2, 60)
        assert isinstance(method, AimCLR)
        assert isinstance(method.positives, kind)
        assert [s.name for s in recipe.view("extreme").steps] == [
            "crop", "shear", "flip", "rotate", "noise", "blur", "mask",
        ]  # fmt: skip
        views = {view: torch.randn(4, 3, 10, 25, 2) for view in AimCLR.VIEWS}
        loss, _ = method(Batch(views, torch.zeros(4, dtype=torch.int64)), 200)
        loss.backward()
        assert math.isfinite(float(loss.detach()))
