"""Streams, views and augmentations as functions of NumPy arrays and torch tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from skelpipe.api.arrays import as_batch, like
from skelpipe.api.names import get_layout
from skelpipe.clips.streams import check_stream, stream_slice
from skelpipe.clips.views import Rendered, render_view
from skelpipe.clips.views import View as Steps
from skelpipe.clips.views import build_view as build_steps
from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout

Array = TypeVar("Array", npt.NDArray[Any], Tensor)
Seed = int | np.random.Generator | torch.Generator | None
LARGEST = 2**31 - 1


def compute_stream(clips: Array, stream: str, layout: str | Layout = "kinect_v2") -> Array:
    """The joint, motion or bone stream of clips.

    joint is the clips themselves; motion is x[t + 1] - x[t], 0 in the last frame; bone is every joint less the joint
    that its bone starts from, 0 at the root. A confidence behind the coordinates stays the joint's own. Through torch
    tensors gradients flow, and they stay on their device.

    Args:
        clips: (N, C, T, V, M) or one clip (C, T, V, M), NumPy or torch; left as they are.
        stream: "joint", "motion" or "bone".
        layout: whose joints they are: a name, the path of a YAML, or a layout.

    Returns:
        The same kind and shape, of its own memory.

    Raises:
        BadInput: there is no such stream or layout, or the clips have not its joints and coordinates.

    Example:
        >>> clips = np.random.default_rng(0).normal(size=(4, 3, 50, 25, 2)).astype("float32")
        >>> bone = sk.compute_stream(clips, "bone", "kinect_v2")
        >>> bone.shape, bool((bone[:, :, :, 20] == 0).all())  # the root, the upper spine
        ((4, 3, 50, 25, 2), True)
    """
    check_stream(stream)
    found = get_layout(layout)
    if isinstance(clips, Tensor):
        return _torch_stream(clips, stream, found)
    batch = as_batch(clips, found)
    out = np.empty_like(batch, np.float32 if batch.dtype == np.float16 else batch.dtype)  # the kernels know no half
    stream_slice(np.ascontiguousarray(batch, out.dtype), stream, found, out)
    return like(out.astype(batch.dtype, copy=False), clips)


def _torch_stream(clips: Tensor, stream: str, layout: Layout) -> Tensor:
    as_batch(clips, layout)
    if stream == "joint":
        return clips.clone()
    x = clips.narrow(-4, 0, layout.coordinates)
    if stream == "motion":
        moved = torch.zeros_like(x)
        moved.narrow(-3, 0, x.shape[-3] - 1).copy_(x.narrow(-3, 1, x.shape[-3] - 1) - x.narrow(-3, 0, x.shape[-3] - 1))
    else:
        parents = torch.from_numpy(layout.parent_index).to(x.device)
        moved = x - x.index_select(-2, parents)
    return torch.cat([moved, clips.narrow(-4, layout.coordinates, int(layout.confidence))], dim=-4)


class View:
    """Augmentations in order, called with clips; made by `build_view` and `augment`.

    Attributes:
        layout: whose joints it knows.
        steps: the names of its augmentations, in order.
        inner: the steps as `clips.views` has them.

    Example:
        >>> view = sk.build_view(["crop", {"shear": {"amplitude": 0.5}}])
        >>> view.steps
        ('crop', 'shear')
        >>> clips = torch.randn(4, 3, 50, 25, 2)
        >>> view(clips, seed=0).shape
        torch.Size([4, 3, 50, 25, 2])
        >>> bool((view(clips, seed=0) == view(clips, seed=0)).all())
        True
    """

    def __init__(self, steps: Steps, layout: Layout) -> None:
        self.inner, self.layout = steps, layout

    @property
    def steps(self) -> tuple[str, ...]:
        """The names of its augmentations, in order."""
        return tuple(step.name for step in self.inner.steps)

    def __repr__(self) -> str:
        return f"<skelpipe view: {', '.join(self.steps) or 'nothing'}; {self.layout.name}>"

    def __call__(
        self,
        clips: Array,
        seed: Seed = None,
        *,
        stream: str = "joint",
        lengths: Any = None,
        epoch: int = 0,
        ids: Any = None,
        index: int = 0,
    ) -> Array:
        """Augmented copies of clips, by compiled code on the CPU.

        Args:
            clips: (N, C, T, V, M) or one clip (C, T, V, M), NumPy or torch, finite; left as they are.
            seed: a number, which gives the same every time; a NumPy or torch generator, which moves on; None goes by
                torch's global generator (`torch.manual_seed`).
            stream: which stream is computed afterwards; motion does not commute with every augmentation.
            lengths: (N,) how many frames from the start are a clip's own; None: all are.
            epoch: with `seed`, `ids` and `index` this says what is drawn, as in pretraining.
            ids: (N,) numbers of the clips; None: 0 to N - 1.
            index: which view of the same clips this is.

        Returns:
            float32 of the same kind, of its own memory, on the same device; T is another one where a step makes other
            frames.

        Raises:
            BadInput: the clips do not fit the layout or the steps, or there is no such stream.
        """
        made = self.render(clips, seed, stream=stream, lengths=lengths, epoch=epoch, ids=ids, index=index)
        return like(made.clips, clips)

    def render(
        self,
        clips: npt.NDArray[Any] | Tensor,
        seed: Seed = None,
        *,
        stream: str = "joint",
        lengths: Any = None,
        epoch: int = 0,
        ids: Any = None,
        index: int = 0,
    ) -> Rendered:
        """The same, with how many frames are each clip's own, and the targets that steps such as jigsaw bring.

        Args:
            clips: see `__call__`, as all others.
            seed: what is drawn.
            stream: which stream is computed afterwards.
            lengths: (N,) how many frames are a clip's own.
            epoch: of what is drawn.
            ids: (N,) numbers of the clips.
            index: which view of the same clips this is.

        Returns:
            `clips` (N, C, T, V, M) float32, `lengths` (N,) or None, `targets`: NumPy arrays, also of one clip.

        Raises:
            BadInput: as `__call__`.
        """
        batch = as_batch(clips, self.layout)
        count = len(batch)
        numbers = np.arange(count) if ids is None else np.asarray(ids, np.int64).reshape(-1)
        valid = None if lengths is None else np.asarray(lengths, np.int64).reshape(-1)
        for name, given in (("ids", numbers), ("lengths", valid)):
            if given is not None and len(given) != count:
                raise BadInput(name, f"has {len(given)} numbers for {count} clips", "give one for each clip")
        source = np.ascontiguousarray(batch, np.float32)
        rows = np.arange(count)
        return render_view(
            source, rows, numbers, self.inner, stream, self.layout, number_of(seed), epoch, index, valid=valid
        )


def build_view(steps: str | Sequence[str | Mapping[str, Any]] = "normal", layout: str | Layout = "kinect_v2") -> View:
    """A view: augmentations that are applied one after the other, as a recipe lists them.

    Args:
        steps: "normal" (crop, shear), "extreme" (AimCLR's seven), or a list of names and {name: {option: value}}.
        layout: whose joints it knows: a name, the path of a YAML, or a layout.

    Returns:
        A `View`, to be called with clips.

    Raises:
        BadInput: an augmentation, an option or the layout is unknown (the nearest is named), or a value does not fit.

    Example:
        >>> clips = np.random.default_rng(0).normal(size=(4, 3, 50, 25, 2)).astype("float32")
        >>> view = sk.build_view("extreme")
        >>> view(clips, seed=1).shape
        (4, 3, 50, 25, 2)
    """
    return View(build_steps(steps), get_layout(layout))


def augment(name: str, /, layout: str | Layout = "kinect_v2", **options: Any) -> View:
    """One augmentation, as a view of one step.

    Args:
        name: one of `list_augmentations()`.
        layout: whose joints it knows.
        options: of the augmentation; `describe_augmentation(name)` lists them with their defaults.

    Returns:
        A `View`, to be called with clips.

    Raises:
        BadInput: the augmentation, an option or the layout is unknown, or a value does not fit.

    Example:
        >>> shear = sk.augment("shear", amplitude=0.5)
        >>> one = np.zeros((3, 50, 25, 2), "float32")
        >>> shear(one, seed=3).shape
        (3, 50, 25, 2)
    """
    return build_view([{name: options}], layout)


def describe_augmentation(name: str) -> dict[str, bool | int | float | str]:
    """The options of an augmentation with their defaults.

    Args:
        name: one of `list_augmentations()`.

    Returns:
        Option -> its default.

    Raises:
        BadInput: there is no such augmentation.

    Example:
        >>> sk.describe_augmentation("shear")
        {'amplitude': 0.5}
    """
    (step,) = build_steps([name]).steps
    return dict(step.options)


def number_of(seed: Seed) -> int:
    """The number that random choices follow from."""
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(LARGEST))
    if seed is None or isinstance(seed, torch.Generator):
        return int(torch.randint(LARGEST, (), generator=seed))
    return int(seed)
