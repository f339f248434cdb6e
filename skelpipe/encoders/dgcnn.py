"""DGCNN: a clip as a cloud of points, each convolved with those that are nearest to it in the layer before.

Source: Wang et al., Dynamic Graph CNN for Learning on Point Clouds (ACM TOG 2019), as Tao's public code of unsupervised
reconstruction has it before FoldingNet's decoder. Which frame, joint and body a point belongs to is not seen.
"""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from typing import Any, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, linear

from skelpipe.encoders.base import Encoder
from skelpipe.encoders.plain import plain
from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.settings import Settings

SLOPE = 0.2  # of LeakyReLU
WIDTHS = (1, 1, 2, 4)  # of the layers, in the option's
DISTANCES = 1 << 24  # numbers of a distance matrix that are held at a time
EDGES = 1 << 19  # numbers of all points that are held in a CPU's cache while their neighbours are looked up


class DGCNNOptions(Settings):
    """What a recipe may say about the encoder.

    Attributes:
        width: channels of the first two layers; the third has twice, the fourth four times as many.
        features: D, of the feature h.
        neighbours: k, the points that a point is convolved with, itself among them.
    """

    name: Literal["dgcnn"] = "dgcnn"
    width: PositiveInt = 64
    features: PositiveInt = 1024
    neighbours: PositiveInt = 20


class DGCNN(Encoder):
    """Four edge convolutions side by side, a linear map of each point, maximum over points: (B, C, T, V, M) -> (B, D).

    The points are all T · V · M joints by their coordinates; a confidence is left out. A body that is absent, and
    frames that a clip was filled up with, are points in the origin.
    """

    Options = DGCNNOptions

    def __init__(self, layout: Layout, options: DGCNNOptions) -> None:
        super().__init__()
        self.coordinates, self.neighbours = layout.coordinates, options.neighbours
        self.features = options.features
        widths = [self.coordinates, *(share * options.width for share in WIDTHS)]
        self.layers = nn.ModuleList(
            EdgeConv(channels_in, channels_out) for channels_in, channels_out in pairwise(widths)
        )
        self.conv = nn.Linear(sum(widths[1:]), options.features, bias=False)
        self.norm = nn.BatchNorm1d(options.features)

    def points(self, x: Tensor) -> Tensor:
        """The points of clips, those of a frame one behind the other: (B, C, T, V, M) -> (B, N, coordinates)."""
        return x[:, : self.coordinates].flatten(2).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.points(x)
        if y.shape[1] < self.neighbours:
            what = f"{self.neighbours} is more than the {y.shape[1]} points of a clip"
            raise BadInput("encoder.neighbours", what, "lower it, or use more frames")
        each = []
        for layer in self.layers:
            y = layer(y, nearest(y, self.neighbours))
            each.append(y)
        y = self.conv(torch.cat(each, dim=2))
        normed = leaky_relu(self.norm(y.flatten(0, 1)), SLOPE)
        return normed.view(y.shape).max(dim=1)[0]


class EdgeConv(nn.Module):
    """max over the neighbours j of LeakyReLU(BN(W [x_j - x_i, x_i])): (B, N, C_in) -> (B, N, C_out).

    With W = [W1, W2] the edge has W1 x_j + (W2 - W1) x_i, so both products are taken once for each point instead of
    once for each edge. What follows is monotone in the first: the largest product with W1, or the smallest where BN's
    weight is negative, is that of the maximum, and no array of all edges is made.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Linear(2 * channels_in, channels_out, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor, places: Tensor) -> Tensor:
        """Args: x: (B, N, C_in). places: (B, N, k), those of each point's neighbours."""
        first, second = self.conv.weight.chunk(2, dim=1)
        there, here = linear(x, torch.cat([first, second - first])).to(self.conv.weight.dtype).chunk(2, dim=2)
        if not isinstance(self.norm, nn.BatchNorm2d):  # one of several ranks, which takes whole arrays
            rows = torch.arange(len(x), device=x.device)[:, None, None]
            edges = there[rows, places] + here[:, :, None]
            return leaky_relu(self.norm(edges.permute(0, 3, 1, 2)), SLOPE).max(dim=3)[0].transpose(1, 2)
        norm: Any = self.norm
        sign = 1 - 2 * (norm.weight.detach() < 0).to(there.dtype)
        if not self.training:
            largest = largest_of_neighbours(there * sign, places)
            mean, variance = norm.running_mean, norm.running_var
        else:
            # The same for every edge, which BN takes away again: without it squares do not cancel.
            shift = there.detach().mean((0, 1)), here.detach().mean((0, 1))
            there, here = there - shift[0], here - shift[1]
            largest, total = look_at_neighbours(there * sign, places)
            mean, variance = moments(there, here, total * sign, places)
            follow(norm, mean + shift[0] + shift[1], variance, places.numel())
        scale = norm.weight * (variance + norm.eps).rsqrt()
        return leaky_relu(torch.addcmul(norm.bias, largest * sign + here - mean, scale), SLOPE)


def moments(there: Tensor, here: Tensor, total: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance over all edges of there_j + here_i: (C,) each.

    Args:
        there, here: (B, N, C), near 0 in the mean.
        total: (B, N, C), the sum of `there` over the neighbours of each point.
        places: (B, N, k), those neighbours.
    """
    count, k = places.numel(), places.shape[2]
    often = there.new_zeros(there.shape[:2])
    often.scatter_add_(1, places.flatten(1), often.new_ones(()).expand(len(places), places.shape[1] * k))
    mean = (total + k * here).sum((0, 1)) / count
    square = (often[:, :, None] * there.square() + here * (2 * total + k * here)).sum((0, 1)) / count
    return mean, square - mean.square()


@torch.no_grad()
def follow(norm: Any, mean: Tensor, variance: Tensor, count: int) -> None:
    """Move a batch norm's running statistics as torch does, towards those of `count` values a channel."""
    norm.running_mean.lerp_(mean, norm.momentum)
    norm.running_var.lerp_(variance * (count / (count - 1)), norm.momentum)
    norm.num_batches_tracked.add_(1)


@torch.no_grad()
def nearest(x: Tensor, k: int) -> Tensor:
    """The places of the k points that are nearest to each of x (B, N, C), itself among them: (B, N, k), in any order.

    The order of |x_j|² - 2 x_i x_j is that of the distances; it is computed for some points i at a time.
    """
    with torch.autocast(x.device.type, enabled=False):
        x = x - x.mean(dim=1, keepdim=True)
        squares, others = x.square().sum(2)[:, None], x.transpose(1, 2)
        step = max(1, DISTANCES // (len(x) * x.shape[1]))
        return torch.cat(
            [
                torch.baddbmm(squares, part, others, alpha=-2).topk(k, dim=2, largest=False, sorted=False)[1]
                for part in ((x,) if plain() else torch.split(x, step, dim=1))
            ],
            dim=1,
        )


def look_at_neighbours(x: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """The largest of x (B, N, C) among each point's neighbours `places` (B, N, k), and their sum: (B, N, C) each."""
    largest, total = _Neighbours.apply(x, places)  # type: ignore[no-untyped-call]
    return largest, total


def largest_of_neighbours(x: Tensor, places: Tensor) -> Tensor:
    """The first of the two alone."""
    if not plain():
        return look_at_neighbours(x, places)[0]
    rows = x.reshape(-1, x.shape[2])
    return reduce(torch.maximum, (rows[each] for each in _rows(places))).view(x.shape)


class _Neighbours(torch.autograd.Function):
    """`look_at_neighbours`, one neighbour of all points after the other: k times less memory than all edges take."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        parts = [_largest_and_sum(*part) for part in _parts(x, places)]
        largest, total, slots = (torch.cat(each) for each in zip(*parts, strict=True))
        ctx.save_for_backward(places, slots)
        return largest, total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        places, slots = ctx.saved_tensors
        parts = []
        for of_largest, of_total, where, slot in _parts(*grads, places, slots):
            grad = torch.zeros_like(of_largest).scatter_add_(1, where.gather(2, slot.long()), of_largest)
            rows = grad.view(-1, grad.shape[2])
            for each in _rows(where):
                rows.index_add_(0, each, of_total.reshape(rows.shape))
            parts.append(grad)
        return torch.cat(parts), None


def _largest_and_sum(x: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The largest, the sum, and which of the k neighbours has the largest: (B, N, C) each, the last int16."""
    rows = x.reshape(-1, x.shape[2])
    first, *others = _rows(places)
    largest = rows[first]
    total, slots = largest.clone(), torch.zeros_like(largest, dtype=torch.int16)
    for slot, each in enumerate(others, start=1):
        value = rows[each]
        torch.maximum(slots, (value > largest).to(slots.dtype).mul_(slot), out=slots)  # not masked_fill_, which is slow
        torch.maximum(largest, value, out=largest)
        total += value
    return largest.view(x.shape), total.view(x.shape), slots.view(x.shape)


def _rows(places: Tensor) -> list[Tensor]:
    """For every k-th neighbour of all points the row of (B · N, C) where it stands: k times (B · N,)."""
    clips, points, _ = places.shape
    starts = torch.arange(clips, device=places.device)[:, None, None] * points
    return [*(places + starts).flatten(0, 1).t().contiguous()]


def _parts(*tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """Tensors (B, ...) a few clips at a time, so that a CPU's cache holds them; on other devices all at once."""
    x = tensors[0]
    step = max(1, EDGES * len(x) // x.numel()) if x.device.type == "cpu" else len(x)
    return [*zip(*(torch.split(tensor, step) for tensor in tensors), strict=True)]
