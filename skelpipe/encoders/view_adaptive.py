"""A view-adaptation layer in front of any encoder: it turns and shifts every frame before the encoder sees it.

Source: Zhang et al., View Adaptive Neural Networks for High Performance Skeleton-based Human Action Recognition (TPAMI
2019), with the layer as in its public code (transform_rnn.py and va-rnn.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from skelpipe.encoders.base import Encoder, build_encoder
from skelpipe.encoders.recurrent import RecurrentOptions, build_cell, rows, start_cell
from skelpipe.layouts.base import Layout
from skelpipe.resources import REGISTRIES
from skelpipe.settings import Settings, one_of

NAME = "view_adaptive"
Mask = Literal["coordinate", "joint", "none"]
Convention = Literal["keras", "torch"]


def encoders() -> Mapping[str, Any]:
    """The encoders that may stand behind the layer: all others."""
    return {name: kind for name, kind in REGISTRIES["encoders"].items() if name != NAME}


if TYPE_CHECKING:
    MainOptions = Any
else:
    MainOptions = one_of(encoders)


def published_main() -> RecurrentOptions:
    """The encoder of VA-RNN: three layers of LSTM."""
    return RecurrentOptions(
        cell="lstm", layers=3, width=100, direction="uni", pooling="mean_valid", order="mvc",
        dropout=0.5, weights="glorot", gain=0.001, forget=1.0, biases="one",
    )  # fmt: skip


class ViewAdaptiveOptions(Settings):
    """What a recipe may say about the encoder.

    Each of the layer's two branches is an LSTM over the frames, dropout, and a linear map of every frame to the angles
    or to the translation, which starts at 0, so that the layer begins by changing nothing.

    Attributes:
        rotate, translate: which of the branches there are; a picture is turned in its plane.
        mask: what is not translated: each "coordinate" that is exactly 0, as in the authors' code, each "joint" whose
            coordinates all are, which is one that is missing; or "none", so that missing ones are moved too.
        convention: what the branches' numbers stand for. "keras": the angles about y, x and z, and what is added. In
            "torch", as the public code for PKU-MMD has it, the angles about x, y and z of the turn back, and what is
            taken away. It matters to imported weights only.
        noise: standard deviation, in the unit of the clips, of what is added in training to coordinates that are not 0
            where the branches read them; what is turned and shifted is without it.
        width, dropout, order, weights, gain, forget, biases: of the branches' LSTM, as of the encoder `recurrent`.
        main: the encoder behind the layer.
    """

    name: Literal["view_adaptive"] = "view_adaptive"
    rotate: bool = True
    translate: bool = True
    mask: Mask = "coordinate"
    convention: Convention = "keras"
    noise: float = Field(0.075, ge=0)
    width: PositiveInt = 100
    dropout: float = Field(0.5, ge=0, lt=1)
    order: Literal["cvm", "cmv", "vcm", "vmc", "mcv", "mvc"] = "mvc"
    weights: Literal["torch", "glorot"] = "glorot"
    gain: float = Field(0.001, gt=0)
    forget: float | None = 1.0
    biases: Literal["two", "one"] = "one"
    main: MainOptions = Field(default_factory=published_main)

    @model_validator(mode="after")
    def _does_something(self) -> ViewAdaptiveOptions:
        if not (self.rotate or self.translate):
            raise ValueError("rotate: without it and translate the layer does nothing; take main's encoder by itself")
        return self


class Branch(nn.Module):
    """What the layer does to each frame: the numbers of its frames (B, T, N) -> (B, T, size)."""

    def __init__(self, numbers: int, size: int, options: ViewAdaptiveOptions) -> None:
        super().__init__()
        self.options = options
        self.cell = build_cell("lstm", numbers, options.width, options.biases)
        self.frame = nn.Linear(options.width, size)

    def start(self) -> None:
        """Draw the LSTM's weights as the options say, and none for the rest."""
        start_cell(self.cell, self.options)
        nn.init.zeros_(self.frame.weight)
        nn.init.zeros_(self.frame.bias)

    def forward(self, frames: Tensor) -> Tensor:
        y: Tensor = self.cell(frames)[0]
        out: Tensor = self.frame(nn.functional.dropout(y, self.options.dropout, self.training))
        return out.to(frames.dtype)  # of half precision only the LSTM is


class ViewAdaptive(Encoder):
    """The layer and the encoder behind it: (B, C, T, V, M) -> (B, H) of that encoder.

    All bodies of a frame are moved alike, by R(θ) · (p + t); a confidence behind the coordinates stays as it is. In the
    frames behind a clip's own, the recurrence goes on; what it says there only meets zeros.
    """

    Options = ViewAdaptiveOptions
    USES_LENGTHS = True
    SIDE_BY_SIDE = True

    def __init__(self, layout: Layout, options: ViewAdaptiveOptions, bodies: int) -> None:
        super().__init__()
        self.options, self.coordinates = options, layout.coordinates
        self.main: Any = build_encoder(encoders()[options.main.name], layout, options.main, bodies)
        self.features = self.main.features
        numbers, angles = layout.channels * len(layout.joints) * bodies, 3 if layout.coordinates == 3 else 1
        self.rotation = Branch(numbers, angles, options) if options.rotate else None
        self.translation = Branch(numbers, layout.coordinates, options) if options.translate else None

    @classmethod
    def gives(cls, name: str, options: ViewAdaptiveOptions) -> bool:
        behind = encoders()[options.main.name]
        return bool(behind.gives(name, options.main))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Features of clips, of which the first `lengths` (B,) frames are their own; None says that all are."""
        moved = self.move(x)
        h: Tensor = self.main(moved, lengths) if self.main.USES_LENGTHS else self.main(moved)
        return h

    def sequence(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The features of every frame, where the encoder behind gives them: (B, C, T, V, M) -> (B, T, H')."""
        h: Tensor = self.main.sequence(self.move(x), lengths)
        return h

    def feature_map(self, x: Tensor) -> Tensor:
        """That of the encoder behind, where it has one."""
        found: Tensor = self.main.feature_map(self.move(x))
        return found

    def pool(self, feature_map: Tensor, batch: int) -> Tensor:
        """The same."""
        h: Tensor = self.main.pool(feature_map, batch)
        return h

    def move(self, x: Tensor) -> Tensor:
        """The layer: clips (B, C, T, V, M) as seen from where the branches put the eye, of the same shape."""
        points, confidence = x[:, : self.coordinates], x[:, self.coordinates :]
        read = noisy(points, self.options.noise) if self.training and self.options.noise else points
        frames = rows(torch.cat([read, confidence], dim=1) if confidence.shape[1] else read, self.options.order)
        sign = 1 if self.options.convention == "keras" else -1
        if self.translation is not None:
            points = translated(points, sign * self.translation(frames), self.options.mask)
        if self.rotation is not None:
            angles = sign * self.rotation(frames)
            if self.options.convention == "keras" and self.coordinates == 3:
                about_y, about_x, about_z = angles.unbind(-1)
                angles = torch.stack([about_x, about_y, about_z], dim=-1)
            points = turned(points, turns(angles))
        return torch.cat([points, confidence], dim=1) if confidence.shape[1] else points


def noisy(points: Tensor, std: float) -> Tensor:
    """Points with N(0, std²) added to each number that is not 0."""
    return torch.where(points != 0, points + std * torch.randn_like(points), points)


def translated(points: Tensor, by: Tensor, mask: Mask) -> Tensor:
    """Points (B, D, T, V, M), each frame's moved by (B, T, D), but for what the mask spares."""
    moved = points + by.transpose(1, 2)[..., None, None]
    if mask == "none":
        return moved
    there = points != 0
    return torch.where(there if mask == "coordinate" else there.any(dim=1, keepdim=True), moved, points)


def turns(angles: Tensor) -> Tensor:
    """R = Rz Ry Rx of angles about x, y and z, or the turn of a picture by one: (B, T, 3 or 1) -> (B, T, D, D).

    For positive angles y turns to z, z to x, and x to y.
    """
    cosines, sines = angles.cos().unbind(-1), angles.sin().unbind(-1)
    if len(cosines) == 1:
        (c,), (s,) = cosines, sines
        return torch.stack([c, -s, s, c], dim=-1).view(*c.shape, 2, 2)
    (cx, cy, cz), (sx, sy, sz) = cosines, sines
    out = [
        cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx,
        sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx,
        -sy, cy * sx, cy * cx,
    ]  # fmt: skip
    return torch.stack(out, dim=-1).view(*cx.shape, 3, 3)


def turned(points: Tensor, matrices: Tensor) -> Tensor:
    """Points (B, D, T, V, M), each frame's multiplied by its matrix, of (B, T, D, D)."""
    return torch.einsum("btij,bjtvm->bitvm", matrices, points)
