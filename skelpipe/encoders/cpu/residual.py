"""The residual path of a block that changes its width or its frames."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from skelpipe.encoders.cpu.norms import Norm, empty, rows


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
        y = product(x[::stride], weight, bias)
        ctx.norm, ctx.stride = Norm(norm, rows(y)), stride
        ctx.save_for_backward(x, weight, bias)
        return ctx.norm.apply_(y)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias = ctx.saved_tensors
        seen, matrix = x[:: ctx.stride], weight.flatten(1)
        norm: Norm = ctx.norm
        g, of_scale, of_shift = norm.backward(product(seen, weight, bias), grad.contiguous(), relu=False)
        g = g.view(-1, len(matrix))
        past = empty(*x.shape) if ctx.stride == 1 else empty(*x.shape).zero_()
        past[:: ctx.stride] = (g @ matrix).view(seen.shape)
        of_weight = (g.t() @ seen.reshape(len(g), -1)).view(weight.shape)
        return past, of_weight, g.sum(0), of_scale, of_shift, None, None


def product(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The 1×1 convolution."""
    y = empty(*x.shape[:-1], len(weight))
    for frame, out in zip(x.flatten(1, 2), y.flatten(1, 2), strict=True):
        torch.addmm(bias, frame, weight.flatten(1).t(), out=out)
    return y
