"""The convolution over frames, and the batch norm and ReLU before it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import Function

from skelpipe.encoders.cpu import rowwise
from skelpipe.encoders.cpu.blocks import in_turn
from skelpipe.encoders.cpu.norms import Norm, empty, rows, values
from skelpipe.encoders.cpu.products import each_product
from skelpipe.parallel import map_slices

# From so many channels on fewer products outweigh the transforms.
SPECTRAL_CHANNELS = {torch.float32: 64, torch.bfloat16: 128}
BLOCK = 2**22  # transformed values made at a time
SETTLED = "settled_taps"  # the attribute of a convolution whose weights are final


def norm_relu_conv(x: Tensor, norm: nn.BatchNorm2d, conv: nn.Conv2d) -> Tensor:
    """The (taps, 1) convolution over frames of max(0, BN(x)): (T, B·M, V, C_in) -> (T_out, B·M, V, C_out)."""
    return NormReluConv.apply(  # type: ignore[no-any-return, no-untyped-call]
        x, norm.weight, norm.bias, conv.weight, conv.bias, norm, way(conv, x.dtype)
    )


class NormReluConv(Function):
    """See `norm_relu_conv`. Of x and max(0, BN(x)) only the first is kept; the other follows from it in one pass."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor, shift: Tensor, weight: Tensor, bias: Tensor, norm: nn.BatchNorm2d, way: Way
    ) -> Tensor:
        ctx.norm, ctx.way = Norm(norm, rows(x)), way
        ctx.save_for_backward(x, weight)
        return way.forward(ctx.norm.relu(x), weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, None, None]:
        x, weight = ctx.saved_tensors
        norm: Norm = ctx.norm
        grad = grad.contiguous()
        past, of_weight = ctx.way.backward(norm.relu(x), weight, grad)
        past, of_scale, of_shift = norm.backward(x, past, relu=True)
        return past, of_scale, of_shift, of_weight, grad.sum(dim=(0, 1, 2), dtype=torch.float32), None, None


class Way(Protocol):
    """How a convolution is computed; both its passes, on plain tensors."""

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(T, B·M, V, C_in) -> (T_out, B·M, V, C_out)."""

    def backward(self, x: Tensor, weight: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients of x and weight."""


def way(conv: nn.Conv2d, dtype: torch.dtype = torch.float32) -> Way:
    """The faster one."""
    wide = min(conv.in_channels, conv.out_channels) >= SPECTRAL_CHANNELS[dtype]
    if not (wide and conv.stride[0] == 1 and conv.kernel_size[0] > 3):
        return Direct(int(conv.stride[0]))
    return Spectral(None if conv.training or torch.is_grad_enabled() else getattr(conv, SETTLED, None))


def settle(conv: nn.Conv2d) -> None:
    """Take a convolution's weights for final: what is computed of them alone is kept, and used without gradients."""
    setattr(conv, SETTLED, {})


@cache
def transforms(frames: int, taps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices that turn a convolution of `frames` with `taps` (odd, padded by zeros) into single products.

    y = back @ ((into @ x) * (into_taps @ w)), exact but for rounding. They are a real Fourier transform of P points,
    P odd and long enough that no frame that is kept wraps round. Of each of its (P - 1) / 2 complex products three real
    ones are made (Gauss), so a product of channels is needed 1 + 3 (P - 1) / 2 times: 25 for 13 frames and 9 taps,
    where the direct sum has 97.

    Returns:
        into (products, frames), into_taps (products, taps), back (frames, products).
    """
    points = frames + taps // 2
    points += 1 - points % 2
    turn = 2 * math.pi / points * np.arange(1, points // 2 + 1)[:, None]
    time, tap = np.arange(frames), np.arange(taps) - taps // 2
    real, imaginary = np.cos(turn * time), -np.sin(turn * time)
    of_tap, across = np.cos(turn * tap), np.sin(turn * tap)
    into = np.concatenate([np.ones((1, frames)), real + imaginary, real, imaginary])
    into_taps = np.concatenate([np.ones((1, taps)), of_tap, across - of_tap, of_tap + across])
    cosine, sine = 2 / points * np.cos(turn * time).T, 2 / points * np.sin(turn * time).T
    back = np.concatenate([np.full((frames, 1), 1 / points), cosine - sine, -sine, -cosine], axis=1)
    into, into_taps, back = (matrix.astype(np.float32) for matrix in (into, into_taps, back))
    return torch.from_numpy(into), torch.from_numpy(into_taps), torch.from_numpy(back)


class Spectral:
    """Stride 1, by way of `transforms`: four matrix products on some joints at a time.

    Args:
        kept: transformed taps of weights that do not change any more, by the number of frames; filled as they are made.
    """

    def __init__(self, kept: dict[int, Tensor] | None = None) -> None:
        self.kept = kept

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """See `Way`."""
        into, _, back = transforms(len(x), weight.shape[2])
        filters = self.filters(len(x), weight).to(x.dtype)
        y = empty(x, *x.shape[:-1], len(bias))
        mean = (bias / back[0, 0]).to(x.dtype)  # what is added to all frames is added to the first product

        def block(first: int, last: int) -> None:
            across(back, each_product(across(into, x, first, last), filters, mean), into=y, at=first)

        for _ in in_turn(block, self.blocks(filters, x)):
            pass
        return y

    def backward(self, x: Tensor, weight: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
        """See `Way`."""
        into, into_taps, back = transforms(len(x), weight.shape[2])
        filters = self.filters(len(x), weight).to(x.dtype)
        past, of_filters = empty(x, *x.shape), torch.zeros(filters.shape)

        def block(first: int, last: int) -> Tensor:
            products, seen = across(back.t(), grad, first, last), across(into, x, first, last)
            across(into.t(), each_product(products, filters.transpose(1, 2)), into=past, at=first)
            return each_product(products.transpose(1, 2), seen.transpose(1, 2))

        for part in in_turn(block, self.blocks(filters, x)):
            of_filters += part
        return past, across(into_taps.t(), of_filters).permute(1, 2, 0).unsqueeze(-1)

    def filters(self, frames: int, weight: Tensor) -> Tensor:
        """The taps transformed: (products, C_out, C_in)."""
        if self.kept is not None and frames in self.kept:
            return self.kept[frames]
        by_tap = weight.detach()[..., 0].permute(2, 0, 1).contiguous()
        made = across(transforms(frames, len(by_tap))[1], by_tap)
        if self.kept is not None:
            self.kept[frames] = made
        return made

    @staticmethod
    def blocks(filters: Tensor, x: Tensor) -> Iterator[tuple[int, int]]:
        """Slices of the joints of x (T, B·M, V, C), whatever the threads."""
        count = x.shape[1] * x.shape[2]
        step = max(1, BLOCK // (len(filters) * max(filters.shape[1:])))
        for first in range(0, count, step):
            yield first, min(first + step, count)


def across(
    matrix: Tensor, x: Tensor, first: int = 0, last: int | None = None, into: Tensor | None = None, at: int = 0
) -> Tensor:
    """A transform of the first axis: (p, t) times some places of x (t, …, C) -> (p, places, C).

    Args:
        first, last: the places, all together; all by default.
        into: (p, …, C), to whose places from `at` on the result is written.
    """
    channels = x.shape[-1]
    source = values(x.view(len(x), -1))
    stop = source.shape[1] // channels if last is None else last
    found = empty(x, len(matrix), stop - first, channels) if into is None else into
    target, by = values(found.view(len(matrix), -1)), np.ascontiguousarray(matrix.numpy())
    start, to = first * channels, at * channels
    map_slices(
        lambda a, b: rowwise.transform(by, source, start + a, target, to + a, b - a),
        (stop - first) * channels, torch.get_num_threads(), least=4096,
    )  # fmt: skip
    return found


class Direct:
    """Torch's own, as of one wide image; the weights' gradient, where it is slow, as a product per tap."""

    def __init__(self, stride: int) -> None:
        self.stride = stride

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """See `Way`."""
        weight, bias = weight.to(x.dtype), bias.to(x.dtype)
        y = nn.functional.conv2d(image(x), weight, bias, (self.stride, 1), (weight.shape[2] // 2, 0))
        return film(y, x)

    def backward(self, x: Tensor, weight: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
        """See `Way`."""
        stride, taps = self.stride, weight.shape[2]
        past = torch.ops.aten.convolution_backward(
            image(grad), image(x), weight.to(x.dtype), None, (stride, 1), (taps // 2, 0), (1, 1), False, (0, 0), 1,
            (True, False, False),
        )[0]  # fmt: skip
        of_taps = torch.zeros(taps, weight.shape[0], weight.shape[1])
        for tap in range(taps):
            ahead = tap - taps // 2  # output t has seen frame t · stride + ahead
            first = max(0, -(ahead // stride))
            stop = min(len(grad), (len(x) - 1 - ahead) // stride + 1)
            if first < stop:
                seen = x[first * stride + ahead : (stop - 1) * stride + ahead + 1 : stride]
                rest = grad[first:stop].view(-1, grad.shape[-1])
                of_taps[tap] = rest.t() @ seen.reshape(-1, x.shape[-1])
        return film(past, x), of_taps.permute(1, 2, 0).unsqueeze(-1)


def image(x: Tensor) -> Tensor:
    """(T, B·M, V, C) as one image (1, C, T, B·M·V), channels last; the memory stays."""
    frames, bodies, joints, channels = x.shape
    return x.view(1, frames, bodies * joints, channels).permute(0, 3, 1, 2)


def film(y: Tensor, like: Tensor) -> Tensor:
    """An image back as (T, B·M, V, C)."""
    return y.permute(0, 2, 3, 1).contiguous().view(-1, like.shape[1], like.shape[2], y.shape[1])
