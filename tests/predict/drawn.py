"""People that are drawn: blobs that a detector of plain NumPy finds, and figures that a true one takes for people."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from skelpipe.layouts.mediapipe33 import MEDIAPIPE33
from skelpipe.predict.tracking import Found

SIZE = (160, 120)  # width, height
RED, GREEN, BLUE = (220, 30, 30), (30, 200, 40), (40, 50, 230)
SHADES = np.array([RED, GREEN, BLUE])


# Blobs
def blobs(*people: tuple[tuple[int, int, int], int, int, int], size: tuple[int, int] = SIZE) -> np.ndarray:
    """A dark picture with an upright box for each (colour, x, y, height): x and y are of its middle."""
    width, tall = size
    made = np.full((tall, width, 3), 20, np.uint8)
    for colour, x, y, height in people:
        top, left = max(0, y - height // 2), max(0, x - height // 6)
        made[top : y + height // 2, left : x + height // 6] = colour
    return made


# A figure in a box of size 1, one and a half as wide as it is high between the outermost joints' centres.
FIGURE = np.random.default_rng(5).uniform((0, 0), (1, 1), (33, 2)).astype(np.float32)
FIGURE[0], FIGURE[1] = (0, 0), (1, 1)  # so that the joints reach all edges of the blob


class Blobs:
    """A `tracking.Detector`: begins with the largest blob there is, and then takes the one that is nearest.

    Attributes:
        made: all that were made.
        shown: the pictures that it was shown, if they are kept.
    """

    made: list[Blobs] = []  # noqa: RUF012
    keep = False

    def __init__(self) -> None:
        self.last: np.ndarray | None = None
        self.closed, self.shown = False, list[np.ndarray]()
        Blobs.made.append(self)

    def find(self, picture: np.ndarray) -> Found | None:
        if self.keep:
            self.shown.append(picture)
        found = []
        for shade in SHADES:
            y, x = np.nonzero((picture == shade).all(axis=2))
            if len(x) > 20:
                found.append((len(x), np.array([x.min(), y.min()]), np.array([x.max(), y.max()])))
        if not found:
            self.last = None
            return None
        last = self.last
        if last is None:
            _, low, high = max(found, key=lambda each: each[0])
        else:
            _, low, high = min(found, key=lambda each: float(np.abs(each[1] + each[2] - 2 * last).sum()))
        self.last = (low + high) / 2
        image = (low + FIGURE * (high - low)).astype(np.float32)
        world = np.column_stack([FIGURE - 0.5, image[:, 0] / 100]).astype(np.float32)
        return Found(world, image, np.linspace(0.5, 1, 33, dtype=np.float32))

    def reset(self) -> None:
        self.last = None

    def close(self) -> None:
        self.closed = True


# Figures
SKIN, HAIR, JEANS, SHOE, LIPS = (224, 172, 138), (60, 40, 28), (44, 48, 62), (30, 30, 30), (170, 80, 80)
BLUE_SHIRT, RED_SHIRT = (52, 92, 160), (170, 60, 50)


def room(width: int, height: int) -> Image.Image:
    """A wall and a floor."""
    made = Image.new("RGB", (width, height), (196, 200, 198))
    ImageDraw.Draw(made).rectangle((0, int(height * 0.82), width, height), fill=(150, 130, 110))
    return made


def lit(picture: Image.Image) -> np.ndarray:
    """The picture as a camera sees it: a little blurred, darker on one side, with noise."""
    x = np.asarray(picture.filter(ImageFilter.GaussianBlur(1.2))).astype(float)
    x *= np.linspace(1.06, 0.88, x.shape[1])[:, None]
    return (x + np.random.default_rng(0).normal(0, 4, x.shape)).clip(0, 255).astype(np.uint8)


def figure(picture: Image.Image, x: float, size: float, wave: float, shirt: tuple[int, int, int]) -> dict[str, tuple]:
    """Draw somebody who faces the camera and waves with the left hand; where some joints are, in pixels.

    Args:
        picture: drawn into.
        x: of the middle of the body.
        size: from head to foot in pixels, and so eight times the unit of what follows.
        wave: -1 to 1, where the hand is.
    """
    draw, unit, top = ImageDraw.Draw(picture), size / 8, picture.height * 0.9 - size
    at = {
        f"{name} {part}": (x + side * across * unit, top + down * unit)
        for side, name in ((1, "left"), (-1, "right"))
        for part, across, down in (("hip", 0.5, 4.1), ("knee", 0.6, 5.9), ("ankle", 0.6, 7.7), ("shoulder", 0.85, 1.8))
    }
    at |= {"left elbow": (x + 2 * unit, top + 1.9 * unit), "right elbow": (x - 1.3 * unit, top + 3.1 * unit)}
    at |= {"left wrist": (x + (2.2 + 0.45 * wave) * unit, top + 0.5 * unit)}
    at |= {"right wrist": (x - 1.35 * unit, top + 4.3 * unit), "nose": (x, top + 0.75 * unit)}

    def round_(point, wide, high, colour):
        draw.ellipse((point[0] - wide * unit, point[1] - high * unit, point[0] + wide * unit, point[1] + high * unit),
                     fill=colour)  # fmt: skip

    def limb(a, b, thick, thin, colour):
        for t in np.linspace(0, 1, 25):
            r = thick + (thin - thick) * t
            round_((a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t), r, r, colour)

    for side in ("left", "right"):
        hip, knee, ankle = (at[f"{side} {part}"] for part in ("hip", "knee", "ankle"))
        limb(hip, knee, 0.5, 0.36, JEANS)
        limb(knee, ankle, 0.36, 0.24, JEANS)
        out = 0.25 * unit if side == "left" else -0.25 * unit
        limb(ankle, (ankle[0] + out, ankle[1] + 0.2 * unit), 0.2, 0.17, SHOE)
    corners = ((-1, 1.65), (1, 1.65), (0.85, 2.8), (0.78, 4.2), (-0.78, 4.2), (-0.85, 2.8))
    draw.polygon([(x + across * unit, top + down * unit) for across, down in corners], fill=shirt)
    limb((x - 0.85 * unit, top + 1.75 * unit), (x + 0.85 * unit, top + 1.75 * unit), 0.28, 0.28, shirt)
    limb((x, top + 1.1 * unit), (x, top + 1.6 * unit), 0.26, 0.3, SKIN)
    for side in ("left", "right"):
        shoulder, elbow, wrist = (at[f"{side} {part}"] for part in ("shoulder", "elbow", "wrist"))
        limb(shoulder, elbow, 0.3, 0.24, shirt)
        limb(elbow, wrist, 0.2, 0.15, SKIN)
        along = np.subtract(wrist, elbow) / np.linalg.norm(np.subtract(wrist, elbow))
        limb(wrist, tuple(np.add(wrist, 0.3 * unit * along)), 0.2, 0.13, SKIN)
    head = (x, top + 0.6 * unit)
    round_(head, 0.47, 0.62, HAIR)
    round_((x, top + 0.7 * unit), 0.4, 0.5, SKIN)
    for side in (-1, 1):
        round_((x + side * 0.43 * unit, top + 0.62 * unit), 0.09, 0.14, SKIN)
        eye = (x + side * 0.17 * unit, top + 0.55 * unit)
        round_(eye, 0.09, 0.05, (250, 250, 250))
        round_(eye, 0.045, 0.05, HAIR)
        round_((eye[0], eye[1] - 0.12 * unit), 0.1, 0.02, HAIR)
    round_((x, top + 0.72 * unit), 0.06, 0.1, (200, 145, 112))
    round_((x, top + 0.93 * unit), 0.15, 0.045, LIPS)
    assert set(at) <= set(MEDIAPIPE33.joints)
    return at
