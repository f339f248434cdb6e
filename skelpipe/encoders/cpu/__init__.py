"""The encoder's operations on a CPU, fused: float32, channels last, `(T, B·M, V, C)`.

With time first, a temporal convolution's taps are slabs of memory and its Fourier transform is a matrix product; with
channels last, a 1×1 convolution is one. Each function equals the torch modules that it stands for up to rounding (tests
hold them together), and its own kernels give the same result on any number of threads. What a backward pass can make
anew in one pass over memory (mixed joints, rectified values, transforms) is not kept until then.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skelpipe.encoders.cpu.mixing import Graph, graph_conv
from skelpipe.encoders.cpu.norms import norm, norm_add_relu, norm_drop_add_relu, norm_relu
from skelpipe.encoders.cpu.residual import shortcut
from skelpipe.encoders.cpu.temporal import norm_relu_conv, settle
from skelpipe.encoders.plain import traced

__all__ = [
    "Graph",
    "graph_conv",
    "norm",
    "norm_add_relu",
    "norm_drop_add_relu",
    "norm_relu",
    "norm_relu_conv",
    "settle",
    "shortcut",
    "usable",
]


def usable(x: Tensor, norm: nn.Module) -> bool:
    """Whether these functions can stand for the modules here: float32 on a CPU, and batch norms of torch's own."""
    if traced() or not isinstance(norm, nn.BatchNorm1d):
        return False
    return x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
