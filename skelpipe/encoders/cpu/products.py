"""Matrix products by oneDNN, where torch has it.

For products of float32 torch takes a library that uses half of what AMD's processors can do, and oneDNN only for
convolutions and its LSTM. The two round differently.
"""

from __future__ import annotations

import torch
from torch import Tensor

from skelpipe.encoders.cpu.norms import empty


def has_onednn() -> bool:
    """Whether this torch multiplies by it, by the functions that its compiler calls."""
    x = torch.ones(1, 1)
    try:
        matrix = torch.ops.mkldnn._reorder_linear_weight(x, 1)
        return bool(torch.ops.mkldnn._linear_pointwise(x, matrix, None, "none", [], "") == 1)
    except (AttributeError, TypeError, RuntimeError):
        return False


ONEDNN = has_onednn()


def product(x: Tensor, matrix: Tensor, bias: Tensor | None = None) -> Tensor:
    """x matrixᵀ + bias: x (n, k), matrix (m, k) as it is or `packed` -> (n, m)."""
    if ONEDNN and x.dtype == torch.float32:
        return torch.ops.mkldnn._linear_pointwise(x, matrix, bias, "none", [], "")  # type: ignore[no-any-return]
    return torch.nn.functional.linear(x, matrix, bias)


def each_product(x: Tensor, matrices: Tensor, bias: Tensor | None = None) -> Tensor:
    """x[p] matrices[p]ᵀ for every p, and the bias for the first one: x (P, n, k), matrices (P, m, k) -> (P, n, m)."""
    found = empty(x, *x.shape[:2], matrices.shape[1])
    for p, (one, matrix, target) in enumerate(zip(x, matrices, found, strict=True)):
        target.copy_(product(one, matrix, bias if p == 0 else None))
    return found


def packed(matrix: Tensor, rows: int) -> Tensor:
    """A matrix (m, k) in the order that is read fastest, for many products with `rows` rows and nothing else."""
    if ONEDNN and matrix.dtype == torch.float32:
        return torch.ops.mkldnn._reorder_linear_weight(matrix.contiguous(), rows)  # type: ignore[no-any-return]
    return matrix
