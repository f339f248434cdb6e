"""Batch norm over the batch of all ranks, so that they compute what one process would on the whole of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from skelpipe import ranks


class SyncedNorm(nn.Module):
    """A batch norm's parameters and buffers, under their names, with the statistics of all ranks: (B, C, ...).

    It is not torch's SyncBatchNorm, which knows no CPU, and no subclass of its batch norms, so that nothing takes it
    for one that can be computed from this rank's rows alone.
    """

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
        super().__init__()
        assert norm.momentum is not None
        self.eps, self.momentum = norm.eps, norm.momentum
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean: Tensor
        self.running_var: Tensor
        self.num_batches_tracked: Tensor
        for name, buffer in norm.named_buffers():
            self.register_buffer(name, buffer)
        self.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            mean, variance = self.running_mean, self.running_var
            return nn.functional.batch_norm(x, mean, variance, self.weight, self.bias, eps=self.eps)
        y, mean, variance = _Normalise.apply(x, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            places = ranks.count() * x.numel() // x.shape[1]
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (places / (places - 1)), self.momentum)
            self.num_batches_tracked.add_(1)
        out: Tensor = y
        return out


class _Normalise(torch.autograd.Function):
    """x, weight, bias, ε -> (x - μ) / √(s² + ε) · weight + bias, μ, s²; the last two over all ranks, without gradient.

    Every rank holds equally many rows. Means and variances are exchanged, not sums of squares, whose difference would
    cancel where a mean is large.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        wide = _wide(x)
        own = torch.stack(torch.var_mean(wide, _all_but_channels(x), correction=0))
        variances, means = ranks.gather(own[None]).unbind(1)
        mean = means.mean(0)
        variance = (variances + (means - mean).square()).mean(0)
        deviation = (variance + eps).rsqrt()
        scale = weight * deviation
        y = torch.addcmul(_column(bias - mean * scale, x), wide, _column(scale, x)).to(x.dtype)
        ctx.save_for_backward(x, weight, mean, deviation)
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """The mean and the variance that x was divided by hang on every rank's rows, so two sums go round."""
        x, weight, mean, deviation = ctx.saved_tensors
        grad, places = _wide(grads[0]), ranks.count() * x.numel() // x.shape[1]
        unit = (_wide(x) - _column(mean, x)) * _column(deviation, x)
        own = torch.stack([grad.sum(_all_but_channels(x)), (grad * unit).sum(_all_but_channels(x))])
        along = ranks.add_up(own) / places
        rest = grad - _column(along[0], x) - unit * _column(along[1], x)
        return (rest * _column(weight * deviation, x)).to(x.dtype), own[1], own[0], None


def _wide(x: Tensor) -> Tensor:
    """Half precision as float32."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _all_but_channels(x: Tensor) -> list[int]:
    return [0, *range(2, x.dim())]


def _column(per_channel: Tensor, x: Tensor) -> Tensor:
    """(C,) -> (1, C, 1, ...), as many dimensions as x has."""
    return per_channel.view(1, -1, *[1] * (x.dim() - 2))


def sync_norms(module: nn.Module) -> None:
    """Put a SyncedNorm in the place of every batch norm, its parameters and buffers being the same objects."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            setattr(module, name, SyncedNorm(child))
        else:
            sync_norms(child)


def pool_norms(module: nn.Module) -> None:
    """Give all ranks the mean of their running statistics, where batch norm is each rank's own.

    They serve evaluation only. Their update is linear, so it does not matter how often this is done.
    """
    norms = [each for each in module.modules() if isinstance(each, nn.BatchNorm1d | nn.BatchNorm2d)]
    buffers = [buffer for norm in norms for buffer in (norm.running_mean, norm.running_var) if buffer is not None]
    if buffers:
        ranks.average(buffers)
