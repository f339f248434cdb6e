"""The encoder's operations on a CPU, fused: float32 or bfloat16, channels last, `(T, B·M, V, C)`.

With time first, a temporal convolution's taps are slabs of memory and its Fourier transform is a matrix product; with
channels last, a 1×1 convolution is one. Each function equals the torch modules that it stands for up to rounding (tests
hold them together), and its own kernels give the same result on any number of threads. What a backward pass can make
anew in one pass over memory (mixed joints, rectified values, transforms) is not kept until then.

In bfloat16 are what goes from one function to the next, what is kept, and the factors of products; weights, their
gradients, the statistics of batch norms and all that is computed of single values are float32.
"""

from __future__ import annotations

import platform
from contextlib import suppress
from functools import cache

import torch
from torch import Tensor, nn

from skelpipe.encoders.cpu.mixing import Graph, graph_conv
from skelpipe.encoders.cpu.norms import norm, norm_add_relu, norm_drop_add_relu, norm_relu
from skelpipe.encoders.cpu.residual import shortcut
from skelpipe.encoders.cpu.temporal import norm_relu_conv, settle
from skelpipe.encoders.plain import traced

__all__ = [
    "Graph",
    "arithmetic",
    "graph_conv",
    "has_bfloat16",
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
    """Whether these functions can stand for the modules here, with batch norms of torch's own.

    They can in float32, and in bfloat16 where `torch.autocast` asks for it and the CPU has it.
    """
    if traced() or not isinstance(norm, nn.BatchNorm1d) or x.device.type != "cpu" or x.dtype != torch.float32:
        return False
    return arithmetic() == torch.float32 or (arithmetic() == torch.bfloat16 and has_bfloat16())


def arithmetic() -> torch.dtype:
    """In what the encoder is to compute."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32


@cache
def has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 by instructions of its own; where it imitates them float32 is faster."""
    if platform.machine() in ("arm64", "aarch64"):
        asked = (lambda: torch.ops.mkldnn._is_mkldnn_bf16_supported(),)
    else:
        asked = (lambda: torch.cpu._is_avx512_bf16_supported(), lambda: torch.cpu._is_amx_tile_supported())
    with suppress(AttributeError, RuntimeError):  # they are torch's own, of which it promises nothing
        return any(bool(each()) for each in asked)
    return False
