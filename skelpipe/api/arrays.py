"""Clips as NumPy or torch give them."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout

Array = TypeVar("Array", npt.NDArray[Any], Tensor)
CLIPS = "(N, C, T, V, M), or (C, T, V, M) of one clip"


def as_batch(given: npt.NDArray[Any] | Tensor, layout: Layout, name: str = "clips") -> npt.NDArray[Any]:
    """Clips or one clip as an array (N, C, T, V, M) of floats on the CPU.

    Raises:
        BadInput: they have another number of axes, or not the joints and coordinates of the layout.
    """
    if not isinstance(given, np.ndarray | Tensor):
        raise BadInput(name, f"is of type {type(given).__name__}", "give a NumPy array or a torch tensor")
    if given.ndim not in (4, 5):
        raise BadInput(name, f"has shape {tuple(given.shape)}", f"give {CLIPS}")
    channels, joints = given.shape[-4], given.shape[-2]
    if channels != layout.channels or joints != len(layout.joints):
        what = f"has C = {channels} and V = {joints}, and {layout.name} has {layout.channels} and {len(layout.joints)}"
        raise BadInput(name, what, f"name their layout, and give {CLIPS}")
    if not (given.is_floating_point() if isinstance(given, Tensor) else given.dtype.kind == "f"):
        raise BadInput(name, f"holds {given.dtype}", "give floating-point numbers")
    array = numbers_of(given)
    return array if array.ndim == 5 else array[None]


def numbers_of(given: npt.NDArray[Any] | Tensor) -> npt.NDArray[Any]:
    """What a tensor or an array holds, as an array; bfloat16, which NumPy has not, as float32."""
    if not isinstance(given, Tensor):
        return given
    found = given.detach().cpu()
    return (found.float() if found.dtype == torch.bfloat16 else found).numpy()


def like(made: npt.NDArray[Any], given: Array, *, single: bool = True) -> Array:
    """An array of a batch as what was given is: torch on its device or NumPy, and where that was one clip, of one."""
    made = made[0] if single and given.ndim == 4 else made
    if isinstance(given, Tensor):
        return torch.from_numpy(np.ascontiguousarray(made)).to(given.device)
    return made
