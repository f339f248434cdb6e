"""The graph convolution whose graph is of each body: joints likened to each other, and mixed, then channels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from skelpipe.encoders.cpu.norms import empty


def relations(x: Tensor, weight: Tensor, bias: Tensor, graphs: int) -> Tensor:
    """How alike each body's joints are: (T, B·M, V, C) -> (B·M, K, V, V), row = source, column = target.

    The softmax over sources of θ(source) · φ(target), summed over frames and channels, over their number.

    Args:
        weight: (2·K·E, C), of all θ and behind them of all φ, with E channels each.
        bias: (2·K·E,).
    """
    frames, bodies, joints, _ = x.shape
    embedded = nn.functional.linear(x, weight, bias).view(frames, bodies, joints, 2, graphs, -1)
    theta, phi = embedded.permute(3, 1, 4, 2, 0, 5).reshape(2, bodies * graphs, joints, -1).unbind(0)
    alike = torch.bmm(theta, phi.transpose(1, 2)).div_(theta.shape[2])
    return torch.softmax(alike, dim=1).view(bodies, graphs, joints, joints)


def mix_conv(x: Tensor, graph: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Each graph's weighted joints, times a matrix: (T, B·M, V, C_in) -> (T, B·M, V, C_out).

    Args:
        graph: (B·M, K, V, V), row = source, column = target.
        weight: (K·C_in, C_out).
        bias: (C_out,).
    """
    return MixConv.apply(x, graph, weight, bias)  # type: ignore[no-any-return, no-untyped-call]


class MixConv(Function):
    """See `mix_conv`. The mixed channels, K times as large as x, exist a frame at a time only, in both passes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, graph: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        mixing = by_target(graph)
        y = empty(*x.shape[:-1], len(bias))
        for frame, out in zip(x, y, strict=True):
            torch.addmm(bias, torch.bmm(mixing, frame).view(-1, len(weight)), weight, out=out.view(-1, len(bias)))
        ctx.save_for_backward(x, mixing, weight)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x, mixing, weight = ctx.saved_tensors
        grad = grad.contiguous()
        past, of_mixing, of_weight = empty(*x.shape), torch.zeros_like(mixing), torch.zeros_like(weight)
        for frame, g, out in zip(x, grad, past, strict=True):
            g = g.view(-1, weight.shape[1])
            of_weight.addmm_(torch.bmm(mixing, frame).view(-1, len(weight)).t(), g)
            mixed = (g @ weight.t()).view(len(frame), -1, x.shape[-1])
            of_mixing.baddbmm_(mixed, frame.transpose(1, 2))
            torch.bmm(mixing.transpose(1, 2), mixed, out=out)
        bodies, joints = x.shape[1:3]
        of_graph = of_mixing.view(bodies, joints, -1, joints).permute(0, 2, 3, 1)
        return past, of_graph, of_weight, grad.sum(dim=(0, 1, 2))


def by_target(graph: Tensor) -> Tensor:
    """(B·M, K, V, V) -> (B·M, V·K, V): a row for each target, and in it for each graph, a column for each source."""
    return graph.detach().permute(0, 3, 1, 2).flatten(1, 2).contiguous()
