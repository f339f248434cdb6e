"""The residual path of a block that changes its width or its frames."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from skelpipe.encoders.cpu.norms import Norm, empty, rows
from skelpipe.encoders.cpu.products import product


def shortcut(x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Tensor:
    """BN of a strided 1×1 convolution: (T, B·M, V, C_in) -> (T_out, B·M, V, C_out)."""
    return Shortcut.apply(  # type: ignore[no-any-return, no-untyped-call]
        x, conv.weight, conv.bias, norm.weight, norm.bias, norm, int(conv.stride[0])
    )


class Shortcut(Function):
    """See `shortcut`. The product is cheap: the backward pass makes it again."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        scale: Tensor,
        shift: Tensor,
        norm: nn.BatchNorm2d,
        stride: int,
    ) -> Tensor:
        y = convolved(x[::stride], weight, bias)
        ctx.norm, ctx.stride = Norm(norm, rows(y)), stride
        ctx.save_for_backward(x, weight, bias)
        return ctx.norm.apply_(y)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias = ctx.saved_tensors
        seen, matrix = x[:: ctx.stride], weight.flatten(1).to(x.dtype)
        norm: Norm = ctx.norm
        g, of_scale, of_shift = norm.backward(convolved(seen, weight, bias), grad.contiguous(), relu=False)
        g = g.view(-1, len(matrix))
        past = empty(x, *x.shape) if ctx.stride == 1 else empty(x, *x.shape).zero_()
        past[:: ctx.stride] = product(g, matrix.t()).view(seen.shape)
        of_weight = product(g.t(), seen.reshape(len(g), -1).t()).view(weight.shape).float()
        return past, of_weight, g.sum(0, dtype=torch.float32), of_scale, of_shift, None, None


def convolved(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The 1×1 convolution, frame by frame."""
    y, matrix, bias = empty(x, *x.shape[:-1], len(weight)), weight.flatten(1).to(x.dtype), bias.to(x.dtype)
    for frame, target in zip(x.flatten(1, 2), y.flatten(1, 2), strict=True):
        target.copy_(product(frame, matrix, bias))
    return y
