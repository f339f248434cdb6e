"""The encoder's operations on a CPU, fused: float32, channels last, `(T, B·M, V, C)`.

With time first, a temporal convolution's taps are slabs of memory and its Fourier transform is a matrix product; with
channels last, a 1×1 convolution is one. Each function equals the torch modules that it stands for up to rounding (tests
hold them together), and its own kernels give the same result on any number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.autograd import Function

from skelpipe import rowwise
from skelpipe.parallel import map_slices

Rows = npt.NDArray[np.float32]
SPECTRAL_CHANNELS = 64  # from this many on, fewer products outweigh the transforms


def usable(x: Tensor, norm: nn.Module) -> bool:
    """Whether these functions can stand for the modules here: float32 on a CPU, and batch norms of torch's own."""
    if not isinstance(norm, nn.BatchNorm1d):
        return False
    return x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


def rows(x: Tensor) -> Rows:
    """A contiguous tensor's memory as (R, C)."""
    array: Rows = x.detach().view(-1, x.shape[-1]).numpy()
    return array


def each_row(kernel: Callable[[int, int], object], count: int) -> None:
    """Call a kernel on slices of the rows, on as many threads as torch uses."""
    map_slices(kernel, count, torch.get_num_threads(), least=1024)


def each_chunk(kernel: Callable[[int, int], object], count: int) -> None:
    """The same for chunks of rows."""
    map_slices(kernel, rowwise.chunks(count), torch.get_num_threads(), least=4)


# Batch norm and what follows it -----------------------------------------------------------------------------------


class Norm:
    """A batch norm as scale · x + shift, its statistics taken from x in training mode, and its gradient."""

    def __init__(self, module: nn.BatchNorm1d | nn.BatchNorm2d, x: Rows) -> None:
        self.count, self.training = len(x), module.training
        if self.training:
            self.mean, variance = self.measure(x)
            self.remember(module, variance)
        else:
            assert module.running_mean is not None
            assert module.running_var is not None
            self.mean = module.running_mean.double().numpy()
            variance = module.running_var.double().numpy()
        self.inverse = 1 / np.sqrt(variance + module.eps)
        self.weight = module.weight.detach().double().numpy()
        scale = self.weight * self.inverse
        self.scale = scale.astype(np.float32)
        self.shift = (module.bias.detach().double().numpy() - scale * self.mean).astype(np.float32)

    def measure(self, x: Rows) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        mean, square = self.per_chunk(x), self.per_chunk(x)
        each_chunk(lambda a, b: rowwise.chunk_moments(x, a, b, mean, square), len(x))
        return rowwise.moments(mean, square, len(x))  # type: ignore[no-any-return]

    def remember(self, module: nn.BatchNorm1d | nn.BatchNorm2d, variance: npt.NDArray[np.float64]) -> None:
        """Move the running statistics as torch does, the variance as estimated from a sample."""
        assert module.running_mean is not None
        assert module.running_var is not None
        assert module.num_batches_tracked is not None
        assert module.momentum is not None
        sample = variance * self.count / max(1, self.count - 1)
        with torch.no_grad():
            module.running_mean.lerp_(torch.from_numpy(self.mean).float(), module.momentum)
            module.running_var.lerp_(torch.from_numpy(sample).float(), module.momentum)
            module.num_batches_tracked.add_(1)

    @staticmethod
    def per_chunk(x: Rows) -> Rows:
        return np.empty((rowwise.chunks(len(x)), x.shape[1]), np.float32)

    @property
    def centre(self) -> Rows:
        return self.mean.astype(np.float32)

    def gradient(
        self, plain: Rows, moment: Rows, factor: float = 1.0
    ) -> tuple[tuple[Rows, Rows, Rows], Tensor, Tensor]:
        """From the chunks' sums of g and g · (x - mean), both to be multiplied by `factor`.

        Returns:
            The coefficients of g, x and 1 in the gradient of x, and the gradients of weight and bias.
        """
        sum_g = plain.sum(0, dtype=np.float64) * factor
        sum_gx = moment.sum(0, dtype=np.float64) * factor * self.inverse
        by_grad = self.weight * self.inverse
        by_x = -by_grad * self.inverse * sum_gx / self.count if self.training else np.zeros_like(by_grad)
        constant = -by_grad * sum_g / self.count - by_x * self.mean if self.training else np.zeros_like(by_grad)
        coefficients = tuple(c.astype(np.float32) for c in (by_grad * factor, by_x, constant))
        return coefficients, torch.from_numpy(sum_gx).float(), torch.from_numpy(sum_g).float()  # type: ignore[return-value]


def norm_relu(x: Tensor, module: nn.BatchNorm2d) -> Tensor:
    """max(0, BN(x)): (T, B·M, V, C) -> the same."""
    return NormRelu.apply(x, module.weight, module.bias, module)  # type: ignore[no-any-return, no-untyped-call]


def norm_drop_add_relu(x: Tensor, residual: Tensor, module: nn.BatchNorm2d, rate: float) -> Tensor:
    """max(0, dropout(BN(x)) + residual): (T, B·M, V, C) twice -> the same.

    The mask costs one random byte an element, exact where the rate is a multiple of 1/256; other rates are rounded to
    one.
    """
    return NormDropAddRelu.apply(  # type: ignore[no-any-return, no-untyped-call]
        x, module.weight, module.bias, residual, module, rate
    )


class NormRelu(Function):
    """max(0, BN(x))."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, module: nn.BatchNorm2d) -> Tensor:
        norm = Norm(module, rows(x))
        y = torch.empty_like(x)
        source, target = rows(x), rows(y)
        each_row(lambda a, b: rowwise.scale_relu(source, norm.scale, norm.shift, target, a, b), len(source))
        ctx.save_for_backward(x, y)
        ctx.norm = norm
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, y = ctx.saved_tensors
        norm: Norm = ctx.norm
        source, reached, g = rows(x), rows(y), rows(grad.contiguous())
        plain, moment = norm.per_chunk(source), norm.per_chunk(source)
        centre = norm.centre
        each_chunk(lambda a, b: rowwise.relu_sums(source, g, reached, centre, plain, moment, a, b), len(source))
        coefficients, of_weight, of_bias = norm.gradient(plain, moment)
        past = torch.empty_like(x)
        target = rows(past)
        each_row(lambda a, b: rowwise.relu_gradient(source, g, reached, *coefficients, target, a, b), len(source))
        return past, of_weight, of_bias, None


class NormDropAddRelu(Function):
    """max(0, dropout(BN(x)) + residual)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor, module: nn.BatchNorm2d, rate: float
    ) -> Tensor:
        norm = Norm(module, rows(x))
        bits, factor = random_bytes(rows(x).shape, rate), np.float32(1 / (1 - rate))
        threshold = np.uint8(round(rate * 256))
        y = torch.empty_like(x)
        source, other, target = rows(x), rows(residual), rows(y)
        scale, shift = norm.scale * factor, norm.shift * factor
        each_row(
            lambda a, b: rowwise.scale_drop_add_relu(source, scale, shift, bits, threshold, other, target, a, b),
            len(source),
        )
        ctx.save_for_backward(x, y)
        ctx.norm, ctx.bits, ctx.threshold, ctx.factor = norm, bits, threshold, float(factor)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None, None]:
        x, y = ctx.saved_tensors
        norm: Norm = ctx.norm
        bits, threshold = ctx.bits, ctx.threshold
        source, reached, g = rows(x), rows(y), rows(grad.contiguous())
        plain, moment = norm.per_chunk(source), norm.per_chunk(source)
        centre = norm.centre
        of_residual, past = torch.empty_like(x), torch.empty_like(x)
        masked, target = rows(of_residual), rows(past)
        each_chunk(
            lambda a, b: rowwise.drop_sums(source, g, reached, bits, threshold, centre, masked, plain, moment, a, b),
            len(source),
        )
        coefficients, of_weight, of_bias = norm.gradient(plain, moment, ctx.factor)
        each_row(
            lambda a, b: rowwise.drop_gradient(source, masked, bits, threshold, *coefficients, target, a, b),
            len(source),
        )
        return past, of_weight, of_bias, of_residual, None, None


def random_bytes(shape: tuple[int, ...], rate: float) -> npt.NDArray[np.uint8]:
    """Uniform bytes; none are needed, and none drawn, where nothing is dropped."""
    if rate == 0:
        return np.broadcast_to(np.uint8(0), shape)
    count = math.prod(shape)
    words = np.empty(-(-count // 8), np.uint64)
    seed = int(torch.randint(2**62, ()))
    map_slices(lambda a, b: rowwise.random_words(seed, words, a, b), len(words), torch.get_num_threads(), least=4096)
    return words.view(np.uint8)[:count].reshape(shape)


# The graph --------------------------------------------------------------------------------------------------------


class Graph:
    """Where a graph's adjacency (K, V, V) is not zero, sorted by target and by source.

    The weights there are learned, the places are not.
    """

    def __init__(self, adjacency: Tensor) -> None:
        self.partitions, self.joints, _ = adjacency.shape
        part, source, target = adjacency.nonzero(as_tuple=True)
        row = target * self.partitions + part  # a target's partitions lie side by side
        self.forward = self.sorted(row, source, self.joints * self.partitions)
        self.backward = self.sorted(source, row, self.joints)
        self.places = (part, source, target)
        self.entries = (source.numpy(), row.numpy())

    @staticmethod
    def sorted(to: Tensor, come_from: Tensor, count: int) -> tuple[Tensor, Rows, Rows]:
        """The entries' order, where each row of the result starts among them, and what each reads."""
        order = torch.argsort(to, stable=True)
        starts = torch.searchsorted(to[order], torch.arange(count + 1))
        return order, starts.numpy(), come_from[order].numpy()


def mix_joints(x: Tensor, adjacency: Tensor, graph: Graph) -> Tensor:
    """The neighbours' weighted channels, partition by partition: (T, B·M, V, C) -> (T·B·M, V, K·C).

    Args:
        adjacency: (K, V, V), row = source, column = target; zero wherever `graph` has no place.
    """
    return MixJoints.apply(x, adjacency, graph)  # type: ignore[no-any-return, no-untyped-call]


class MixJoints(Function):
    """See `mix_joints`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, adjacency: Tensor, graph: Graph) -> Tensor:
        source = x.detach().view(-1, graph.joints, x.shape[-1]).numpy()
        weights = adjacency.detach()[graph.places]
        mixed = torch.empty(len(source), graph.joints * graph.partitions, x.shape[-1])
        gather(source, graph.forward, weights, mixed)
        ctx.save_for_backward(x, weights)
        ctx.graph = graph
        return mixed.view(len(source), graph.joints, -1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weights = ctx.saved_tensors
        graph: Graph = ctx.graph
        source = x.detach().view(-1, graph.joints, x.shape[-1]).numpy()
        g = grad.contiguous().view(len(source), graph.joints * graph.partitions, -1).numpy()
        past = torch.empty_like(x)
        gather(g, graph.backward, weights, past.view(source.shape))
        each = np.empty((rowwise.chunks(len(source)), len(weights)), np.float32)
        each_chunk(lambda a, b: rowwise.entry_gradients(source, g, *graph.entries, each, a, b), len(source))
        of_adjacency = torch.zeros(graph.partitions, graph.joints, graph.joints)
        of_adjacency[graph.places] = torch.from_numpy(each.sum(0, dtype=np.float64)).float()
        return past, of_adjacency, None


def gather(x: npt.NDArray[np.float32], entries: tuple[Tensor, Rows, Rows], weights: Tensor, out: Tensor) -> None:
    """Call the kernel that adds weighted joints."""
    order, starts, sources = entries
    sorted_weights, target = weights[order].numpy(), out.numpy()
    map_slices(
        lambda a, b: rowwise.gather_joints(x, starts, sources, sorted_weights, target, a, b),
        len(x), torch.get_num_threads(), least=64,
    )  # fmt: skip


# Temporal convolution ---------------------------------------------------------------------------------------------


def temporal(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """The (taps, 1) convolution over frames: (T, B·M, V, C_in) -> (T_out, B·M, V, C_out)."""
    stride = int(conv.stride[0])
    if stride == 1 and min(conv.in_channels, conv.out_channels) >= SPECTRAL_CHANNELS and conv.kernel_size[0] > 3:
        return SpectralConv.apply(x, conv.weight, conv.bias)  # type: ignore[no-any-return, no-untyped-call]
    return DirectConv.apply(x, conv.weight, conv.bias, stride)  # type: ignore[no-any-return, no-untyped-call]


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


class SpectralConv(Function):
    """Temporal convolution of stride 1 by way of `transforms`: four matrix products."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        frames, bodies, joints, channels = x.shape
        into, into_taps, back = transforms(frames, weight.shape[2])
        by_tap = weight[..., 0].permute(2, 1, 0)  # (taps, C_in, C_out)
        filters = (into_taps @ by_tap.reshape(len(by_tap), -1)).view(len(into), *by_tap.shape[1:])
        products = torch.bmm((into @ x.view(frames, -1)).view(len(into), -1, channels), filters)
        y = (back @ products.view(len(into), -1)).view(-1, len(bias)).add_(bias)
        ctx.save_for_backward(x, filters)
        ctx.taps = len(by_tap)
        return y.view(frames, bodies, joints, len(bias))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, filters = ctx.saved_tensors
        frames = len(x)
        into, into_taps, back = transforms(frames, ctx.taps)
        count, channels_in, channels_out = filters.shape
        g = (back.t() @ grad.reshape(frames, -1)).view(count, -1, channels_out)
        past = (into.t() @ torch.bmm(g, filters.transpose(1, 2)).view(count, -1)).view(x.shape)
        source = (into @ x.view(frames, -1)).view(count, -1, channels_in)
        of_filters = torch.bmm(source.transpose(1, 2), g).view(count, -1)
        of_taps = (into_taps.t() @ of_filters).view(ctx.taps, channels_in, channels_out)
        return past, of_taps.permute(2, 1, 0).unsqueeze(-1), grad.sum(dim=(0, 1, 2))


class DirectConv(Function):
    """Temporal convolution by torch's own, as of one wide image; its weights' gradient as a product per tap.

    That gradient is where torch is slow for such an image.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        y = nn.functional.conv2d(image(x), weight, bias, (stride, 1), (weight.shape[2] // 2, 0))
        return film(y, x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        grad, stride, taps = grad.contiguous(), ctx.stride, weight.shape[2]
        past = torch.ops.aten.convolution_backward(
            image(grad), image(x), weight, None, (stride, 1), (taps // 2, 0), (1, 1), False, (0, 0), 1,
            (True, False, False),
        )[0]  # fmt: skip
        of_taps = torch.zeros(taps, weight.shape[1], weight.shape[0])
        for tap in range(taps):
            ahead = tap - taps // 2  # output t has seen frame t · stride + ahead
            first = max(0, -(ahead // stride))
            stop = min(len(grad), (len(x) - 1 - ahead) // stride + 1)
            if first < stop:
                seen = x[first * stride + ahead : (stop - 1) * stride + ahead + 1 : stride]
                rest = grad[first:stop].view(-1, grad.shape[-1])
                torch.mm(seen.reshape(-1, x.shape[-1]).t(), rest, out=of_taps[tap])
        return film(past, x), of_taps.permute(2, 1, 0).unsqueeze(-1), grad.sum(dim=(0, 1, 2)), None


def image(x: Tensor) -> Tensor:
    """(T, B·M, V, C) as one image (1, C, T, B·M·V), channels last; the memory stays."""
    frames, bodies, joints, channels = x.shape
    return x.view(1, frames, bodies * joints, channels).permute(0, 3, 1, 2)


def film(y: Tensor, like: Tensor) -> Tensor:
    """An image back as (T, B·M, V, C)."""
    return y.permute(0, 2, 3, 1).contiguous().view(-1, like.shape[1], like.shape[2], y.shape[1])
