"""Batch norm and what follows it, in one pass each way."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.autograd import Function

from skelpipe.encoders.cpu import rowwise
from skelpipe.parallel import map_slices

Values = npt.NDArray[np.float32] | npt.NDArray[np.uint16]  # float32, or bfloat16 as `rowwise` has it
Rows = npt.NDArray[np.float32]
AnyNorm = nn.BatchNorm1d | nn.BatchNorm2d


def values(x: Tensor) -> Values:
    """A tensor's memory as NumPy sees it."""
    x = x.detach()
    if x.dtype == torch.bfloat16:
        return x.view(torch.int16).numpy().view(np.uint16)
    array: Rows = x.numpy()
    return array


def rows(x: Tensor) -> Values:
    """A contiguous tensor's memory as (R, C)."""
    return values(x.detach().view(-1, x.shape[-1]))


def empty(x: Tensor, *shape: int) -> Tensor:
    """A tensor of x's dtype in memory of NumPy's.

    Torch asks for aligned blocks; the C library serves such a request from none of its freed blocks of the same size,
    so a training step would leave as much memory in holes as it uses.
    """
    if x.dtype == torch.bfloat16:
        return torch.from_numpy(np.empty(shape, np.int16)).view(torch.bfloat16)
    return torch.from_numpy(np.empty(shape, np.float32))


def each_row(kernel: Callable[[int, int], object], count: int) -> None:
    """Call a kernel on slices of the rows, on as many threads as torch uses."""
    map_slices(kernel, count, torch.get_num_threads(), least=1024)


def each_chunk(kernel: Callable[[int, int], object], count: int) -> None:
    """The same for chunks of rows."""
    map_slices(kernel, rowwise.chunks(count), torch.get_num_threads(), least=4)


class Norm:
    """A batch norm as scale · x + shift, its statistics taken from x in training mode, and its gradient."""

    def __init__(self, module: AnyNorm, x: Values) -> None:
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

    def measure(self, x: Values) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        mean, square = self.per_chunk(x), self.per_chunk(x)
        each_chunk(lambda a, b: rowwise.chunk_moments(x, a, b, mean, square), len(x))
        return rowwise.moments(mean, square, len(x))  # type: ignore[no-any-return]

    def remember(self, module: AnyNorm, variance: npt.NDArray[np.float64]) -> None:
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
    def per_chunk(x: Values) -> Rows:
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

    def relu(self, x: Tensor) -> Tensor:
        """max(0, BN(x))."""
        y = empty(x, *x.shape)
        source, target = rows(x), rows(y)
        each_row(lambda a, b: rowwise.scale_relu(source, self.scale, self.shift, target, a, b), len(source))
        return y

    def apply_(self, x: Tensor) -> Tensor:
        """BN(x), written over x."""
        target = rows(x)
        each_row(lambda a, b: rowwise.scale_rows(target, self.scale, self.shift, a, b), len(target))
        return x

    def backward(self, x: Tensor, grad: Tensor, *, relu: bool) -> tuple[Tensor, Tensor, Tensor]:
        """From the gradient of `relu` or `apply_`, those of x, weight and bias."""
        # Without a ReLU the kernels are given one that is open everywhere.
        affine = (self.scale, self.shift) if relu else (np.zeros_like(self.scale), np.ones_like(self.shift))
        source, g = rows(x), rows(grad)
        plain, moment = self.per_chunk(source), self.per_chunk(source)
        centre = self.centre
        each_chunk(lambda a, b: rowwise.relu_sums(source, g, *affine, centre, plain, moment, a, b), len(source))
        coefficients, of_weight, of_bias = self.gradient(plain, moment)
        past = empty(x, *x.shape)
        target = rows(past)
        each_row(lambda a, b: rowwise.relu_gradient(source, g, *affine, *coefficients, target, a, b), len(source))
        return past, of_weight, of_bias


def norm(x: Tensor, module: nn.BatchNorm1d) -> Tensor:
    """BN(x): (R, C) -> the same."""
    return Affine.apply(x, module.weight, module.bias, module, False)  # type: ignore[no-any-return, no-untyped-call]


def norm_relu(x: Tensor, module: nn.BatchNorm2d) -> Tensor:
    """max(0, BN(x)): (T, B·M, V, C) -> the same."""
    return Affine.apply(x, module.weight, module.bias, module, True)  # type: ignore[no-any-return, no-untyped-call]


def norm_add_relu(x: Tensor, residual: Tensor, module: nn.BatchNorm2d) -> Tensor:
    """max(0, BN(x) + residual): (…, C) twice -> the same."""
    return NormAddRelu.apply(  # type: ignore[no-any-return, no-untyped-call]
        x, module.weight, module.bias, residual, module
    )


def norm_drop_add_relu(x: Tensor, residual: Tensor, module: nn.BatchNorm2d, rate: float) -> Tensor:
    """max(0, dropout(BN(x)) + residual): (T, B·M, V, C) twice -> the same.

    The mask costs one random byte an element, exact where the rate is a multiple of 1/256; other rates are rounded to
    one.
    """
    return NormDropAddRelu.apply(  # type: ignore[no-any-return, no-untyped-call]
        x, module.weight, module.bias, residual, module, rate
    )


class Affine(Function):
    """BN(x), or max(0, BN(x)). Torch's own norm gives other sums on other numbers of threads."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, module: AnyNorm, relu: bool) -> Tensor:
        ctx.norm, ctx.relu = Norm(module, rows(x)), relu
        ctx.save_for_backward(x)
        return ctx.norm.relu(x) if relu else ctx.norm.apply_(x.clone())  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return *ctx.norm.backward(x, grad.contiguous(), relu=ctx.relu), None, None


class NormAddRelu(Function):
    """max(0, BN(x) + residual)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor, module: nn.BatchNorm2d) -> Tensor:
        norm, y = Norm(module, rows(x)), empty(x, *x.shape)
        source, other, target = rows(x), rows(residual), rows(y)
        each_row(lambda a, b: rowwise.scale_add_relu(source, norm.scale, norm.shift, other, target, a, b), len(source))
        ctx.save_for_backward(x, y)
        ctx.norm = norm
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        x, y = ctx.saved_tensors
        norm: Norm = ctx.norm
        source, reached, g = rows(x), rows(y), rows(grad.contiguous())
        plain, moment = norm.per_chunk(source), norm.per_chunk(source)
        centre = norm.centre
        of_residual, past = empty(x, *x.shape), empty(x, *x.shape)
        passed, target = rows(of_residual), rows(past)
        each_chunk(lambda a, b: rowwise.add_sums(source, g, reached, centre, passed, plain, moment, a, b), len(source))
        coefficients, of_weight, of_bias = norm.gradient(plain, moment)
        each_row(lambda a, b: rowwise.norm_gradient(source, passed, *coefficients, target, a, b), len(source))
        return past, of_weight, of_bias, of_residual, None


class NormDropAddRelu(Function):
    """max(0, dropout(BN(x)) + residual)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor, module: nn.BatchNorm2d, rate: float
    ) -> Tensor:
        norm = Norm(module, rows(x))
        mask = Mask(rate)
        bits, factor = mask.bits(rows(x).shape), np.float32(mask.factor)
        y = empty(x, *x.shape)
        source, other, target = rows(x), rows(residual), rows(y)
        scale, shift = norm.scale * factor, norm.shift * factor
        each_row(
            lambda a, b: rowwise.scale_drop_add_relu(source, scale, shift, bits, mask.threshold, other, target, a, b),
            len(source),
        )
        ctx.save_for_backward(x, y)
        ctx.norm, ctx.mask = norm, mask
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None, None]:
        x, y = ctx.saved_tensors
        norm: Norm = ctx.norm
        mask: Mask = ctx.mask
        bits, threshold = mask.bits(rows(x).shape), mask.threshold
        source, reached, g = rows(x), rows(y), rows(grad.contiguous())
        plain, moment = norm.per_chunk(source), norm.per_chunk(source)
        centre = norm.centre
        of_residual, past = empty(x, *x.shape), empty(x, *x.shape)
        masked, target = rows(of_residual), rows(past)
        each_chunk(
            lambda a, b: rowwise.drop_sums(source, g, reached, bits, threshold, centre, masked, plain, moment, a, b),
            len(source),
        )
        coefficients, of_weight, of_bias = norm.gradient(plain, moment, mask.factor)
        each_row(
            lambda a, b: rowwise.drop_gradient(source, masked, bits, threshold, *coefficients, target, a, b),
            len(source),
        )
        return past, of_weight, of_bias, of_residual, None, None


class Mask:
    """What one dropout lets through, drawn anew from its seed whenever it is asked for.

    Attributes:
        threshold: a value passes if its random byte reaches it.
        factor: by which the values that pass are multiplied, so that their mean stays.
    """

    def __init__(self, rate: float) -> None:
        self.threshold = np.uint8(min(round(rate * 256), 255))
        self.factor = 256 / (256 - int(self.threshold))
        self.seed = int(torch.randint(2**62, ())) if self.threshold else 0

    def bits(self, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
        """Uniform bytes; none are drawn where nothing is dropped."""
        if self.threshold == 0:
            return np.broadcast_to(np.uint8(0), shape)
        count = math.prod(shape)
        words = np.empty(-(-count // 8), np.uint64)
        map_slices(
            lambda a, b: rowwise.random_words(self.seed, words, a, b),
            len(words), torch.get_num_threads(), least=4096,
        )  # fmt: skip
        return words.view(np.uint8)[:count].reshape(shape)
