"""What somebody states of their recordings: unit, axis that is up, size of the picture; and the conversion to ours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput, suggest
from skelpipe.layouts.base import Layout
from skelpipe.recordings.conventions.conversion import TURNED
from skelpipe.recordings.conventions.facts import UNITS

Floats = npt.NDArray[np.float32]
LENGTHS = {**UNITS, "inch": 0.0254, "foot": 0.3048}  # in metres
PIXEL, NORMALISED = "pixel", "normalised"
ALL_UNITS = (*LENGTHS, PIXEL, NORMALISED)
FASTEST = 100_000  # frames per second
IN_PICTURE = ("y", "-y")
EDGE, BEYOND = 0.05, 0.5  # how far coordinates that are shares of a picture may lie outside of it: nearly all, and most
NEARLY_ALL = 0.98
OUTSIDE = 0.1  # of the joints, that may be guessed beyond the edges
SHARES = (
    "coordinates lie in 0 to 1, as shares of the picture, and are kept so: --unit normalised --image WxH makes pixels"
)
NO_SHARES = (
    "coordinates are stated as normalised, and go far beyond 0 to 1: leave out --unit normalised if they are pixels"
)
OUTSIDE_OF = "many joints lie outside of the picture of {} that is stated: check --image"


@dataclass(frozen=True)
class Stated:
    """What is stated of recordings; None is left open.

    Attributes:
        unit: of lengths `LENGTHS`, "pixel", or "normalised": 0 to 1 in a picture of the size `image`.
        up: the axis that is up, as "z" or "-y".
        image: (width, height) in pixels.
        fps: frames per second.
    """

    unit: str | None = None
    up: str | None = None
    image: tuple[int, int] | None = None
    fps: float | None = None

    @classmethod
    def of(
        cls,
        layout: Layout,
        unit: str | None = None,
        up: str | None = None,
        image: str | Sequence[int] | None = None,
        fps: float | None = None,
    ) -> Stated:
        """What is stated of recordings in a layout; `image` also as "1920x1080".

        Raises:
            BadInput: it cannot be of them.
        """
        size = parse_image(image) if isinstance(image, str) else (int(image[0]), int(image[1])) if image else None
        stated = cls(unit, up, size, fps)
        stated.check(layout)
        return stated

    def check(self, layout: Layout) -> None:
        """Raise BadInput for what cannot be of a layout."""
        if self.unit is not None and self.unit not in ALL_UNITS:
            raise BadInput(f"unit {self.unit!r}", "is unknown", suggest(self.unit, ALL_UNITS))
        if self.up is not None and self.up not in TURNED:
            raise BadInput(f"up {self.up!r}", "is no axis", f"use one of {', '.join(TURNED)}")
        if self.fps is not None and not 0 < self.fps < FASTEST:
            raise BadInput(f"fps {self.fps:g}", "is no number of frames per second", "give one above 0")
        if layout.coordinates == 2:
            if self.unit in LENGTHS:
                what = f"is no unit of layout {layout.name}, whose joints lie in a picture"
                raise BadInput(f"unit {self.unit}", what, f"use {PIXEL} or {NORMALISED}, or a layout of 3 coordinates")
            if self.up is not None and self.up not in IN_PICTURE:
                raise BadInput(f"up {self.up}", "is no axis of a picture", "use y, or -y where y goes down")
            if self.unit == NORMALISED and self.image is None:
                raise BadInput("unit normalised", "needs the size of the picture", "add --image 1920x1080, or yours")
        elif self.unit == PIXEL or self.image is not None:
            said = "image" if self.image is not None else f"unit {PIXEL}"
            what = f"is of a picture, and layout {layout.name} has 3 coordinates"
            raise BadInput(said, what, "leave it out, or give a layout of 2 coordinates")

    def apply(self, points: Floats, known: npt.NDArray[np.bool_], layout: Layout) -> Floats:
        """Coordinates (R, V, d) in metres with y up, or in pixels with y down; those of joints not `known` stay 0."""
        if layout.coordinates == 2:
            return self._in_picture(points, known)
        size = np.float32(LENGTHS.get(self.unit or "m", 1.0))
        axes = TURNED[self.up or "y"]
        if size == 1 and self.up in (None, "y"):
            return points
        made = np.empty_like(points)
        for to, (axis, sign) in enumerate(axes):
            np.multiply(points[..., axis], np.float32(sign) * size, out=made[..., to])
        made += np.float32(0)  # no -0
        return made

    def _in_picture(self, points: Floats, known: npt.NDArray[np.bool_]) -> Floats:
        if self.unit == NORMALISED and self.image is not None:
            points = points * np.array(self.image, np.float32)
        if self.up == "y":
            points = points.copy()
            np.subtract(np.float32(self.image[1] if self.image else 0), points[..., 1], out=points[..., 1])
            points[~known] = 0
        return points

    def contradicted(self, points: Floats, known: npt.NDArray[np.bool_], layout: Layout) -> list[str]:
        """What is told of coordinates (R, V, 2) of a picture, as a file has them, that may not be as is stated.

        Of joints in space the clips of a store are asked.
        """
        there = points[known]
        if layout.coordinates != 2 or not len(there):
            return []
        if self.unit == NORMALISED:
            return [NO_SHARES] if ((there < -BEYOND) | (there > 1 + BEYOND)).mean() > OUTSIDE else []
        if ((there >= -EDGE) & (there <= 1 + EDGE)).mean() > NEARLY_ALL:
            return [SHARES]
        if self.image is not None:
            out = float(((there < 0) | (there > np.array(self.image, np.float32))).any(axis=1).mean())
            return [OUTSIDE_OF.format("x".join(map(str, self.image)))] if out > OUTSIDE else []
        return []

    def as_table(self) -> dict[str, Any]:
        """What is stated, in plain values."""
        found = {"unit": self.unit, "up": self.up, "image": list(self.image) if self.image else None, "fps": self.fps}
        return {name: value for name, value in found.items() if value is not None}


def parse_image(text: str) -> tuple[int, int]:
    """Read "1920x1080".

    Raises:
        BadInput: it is not of that form.
    """
    found = re.fullmatch(r"\s*(\d{1,6})\s*[xX×,]\s*(\d{1,6})\s*", text)
    if found is None or not (int(found[1]) and int(found[2])):
        raise BadInput(f"image {text!r}", "is no size of a picture", "write width x height, as 1920x1080")
    return int(found[1]), int(found[2])
