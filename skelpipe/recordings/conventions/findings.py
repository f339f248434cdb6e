"""What the clips of a file have in common: the conventions that it does not state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.layouts.base import Layout
from skelpipe.recordings.conventions.facts import (
    COPIES,
    LAST_FRAME,
    NOTHING,
    POINTS,
    POSITIONS,
    REPETITION,
    ZEROS,
    Facts,
    Places,
    read_clip,
)

SAMPLE = 256  # clips
AGREED = 2 / 3  # of the clips that tell
NEARLY_ALL = 0.95
FEW = 5  # fewer clips have to agree all
LOOPS = (
    0.05  # of the clips; a file without zeros behind its clips, and with so many that repeat themselves, is filled up
)
AXES = ("x", "y", "z")
# From the base of the spine to the shoulders, in metres; 0.24 to 0.54 in NTU RGB+D, UTD-MHAD and NW-UCLA.
TRUNK = (0.12, 0.75)
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001}
OWN, FIRST, START, SENSOR = "own", "first", "start", "sensor"
FRAME, CLIP = "frame", "clip"


@dataclass(frozen=True)
class Findings:
    """The conventions of a file or folder; None is what cannot be told of it.

    Attributes:
        clips: how many were asked.
        shown: how many of them are not all zeros.
        told: how many of them show somebody, and can be asked further.
        content: "positions", "motion" or "bones".
        up: the axis that is up, with its sign, as "y", "z" or "-y".
        agree: the share of clips that say so, of those in which people stand or sit.
        mirrored: whether left and right are exchanged.
        origin: "own", "first" or "start" where a point is 0: in every frame of every body, in every frame of the first
            body, in the first frame of the first body; "sensor" where none is.
        point: which point that is.
        joints: its joints.
        turned: "frame" if shoulders are parallel to the camera plane in every frame, "clip" if on x in the first frame.
        unit: "m", "cm", "mm", "normalised" or "other".
        trunk: median length from the base of the spine to the shoulders, in that unit.
        absent: what bodies are that are not there: "zeros", "copies" of the first, or "points".
        copies: how many clips have a second body that equals the first.
        after: what stands behind the end of clips: "zeros", "repetition", "last frame" or "nothing"; None where each
            has a length of its own.
    """

    clips: int
    shown: int
    told: int
    content: str | None = None
    up: str | None = None
    agree: float = 0.0
    mirrored: bool | None = None
    origin: str | None = None
    point: str | None = None
    joints: tuple[int, ...] = ()
    turned: str | None = None
    unit: str | None = None
    trunk: float | None = None
    absent: str | None = None
    copies: int = 0
    after: str | None = None

    def as_json(self) -> dict[str, Any]:
        """What an output notes of it."""
        keys = ("content", "up", "mirrored", "origin", "point", "turned", "unit", "absent", "after")
        return {key: getattr(self, key) for key in keys}

    def as_dict(self) -> dict[str, Any]:
        """Everything, in plain values."""
        return asdict(self)


class Asked:
    """Clips that are asked one after the other; only their facts are kept.

    Attributes:
        clips, shown: as in `Findings`.
        facts: of those that show somebody.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout, self.places = layout, Places.of(layout)
        self.clips, self.shown, self.facts = 0, 0, list[Facts]()

    def add(self, block: npt.NDArray[Any] | Sequence[npt.NDArray[Any]]) -> None:
        """Ask a block of clips: (n, T, M, V, C), or a list of (F, M, V, C), each of its own length."""
        for clip in block:
            self.clips += 1
            self.shown += bool(np.any(clip))
            facts = read_clip(clip, self.layout, self.places, not isinstance(block, (list, tuple)))
            if facts is not None:
                self.facts.append(facts)

    def more(self, other: Asked) -> None:
        """Take those that another has asked."""
        self.clips += other.clips
        self.shown += other.shown
        self.facts += other.facts

    def findings(self) -> Findings:
        """What the clips have in common."""
        facts = self.facts
        if not facts:
            return Findings(self.clips, self.shown, 0)
        content = _agreed([f.content for f in facts], 1)
        up, agree = _up(facts) if content == POSITIONS else (None, 0.0)
        trunks = [f.trunk for f in facts if f.trunk is not None and f.content == POSITIONS]
        unit, trunk = _unit(trunks, facts) if content == POSITIONS else (None, None)
        sided = _agreed([f.sided for f in facts], 2) if content == POSITIONS else None
        origin, point = _origin(facts)
        return Findings(
            self.clips,
            self.shown,
            len(facts),
            content,
            up,
            agree,
            None if sided is None else sided < 0,
            origin,
            None if point is None else self.places.points[point][0],
            () if point is None else self.places.points[point][1],
            _agreed([f.turned or "no" for f in facts], 1) if content == POSITIONS else None,
            unit,
            trunk,
            *_absent(facts),
            _after(facts),
        )


def ask(blocks: Iterable[npt.NDArray[Any] | Sequence[npt.NDArray[Any]]], layout: Layout) -> Findings:
    """Ask clips for the conventions that they follow.

    Args:
        blocks: (n, T, M, V, C) where all clips have T frames, or lists of (F, M, V, C) of clips of their own lengths,
            float, as the file has them. About `SAMPLE` clips, evenly chosen, are enough.
        layout: whose joints they are.
    """
    asked = Asked(layout)
    for block in blocks:
        asked.add(block)
    return asked.findings()


def chosen(count: int, most: int = SAMPLE) -> npt.NDArray[np.int64]:
    """The places of at most so many of `count` clips, evenly chosen."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64)) if count else np.zeros(0, np.int64)


def _agreed(values: Sequence[Any], fewest: int) -> Any:
    """What enough of those that tell say; of a few clips, all have to."""
    told: list[Hashable] = [value for value in values if value is not None]
    if len(told) < fewest:
        return None
    (first, count), *_ = Counter(told).most_common(1)
    return first if count >= (len(told) if len(told) < FEW else AGREED * len(told)) else None


def _up(facts: Sequence[Facts]) -> tuple[str | None, float]:
    """The axis that is up; one clip tells that it is y, and one that is turned to axes that it is another."""
    votes = Counter(f.up for f in facts if f.up is not None)
    if not votes:
        return None, 0.0
    (axis, sign), count = votes.most_common(1)[0]
    name, agree = ("" if sign > 0 else "-") + AXES[axis], count / sum(votes.values())
    turned = sum(f.turned == CLIP for f in facts) >= NEARLY_ALL * len(facts)
    fewest = 1 if turned or name == "y" else 2
    enough = _agreed([f.up for f in facts], fewest) is not None and (2 * sum(votes.values()) >= len(facts) or turned)
    return (name if enough else None), agree


def _unit(trunks: Sequence[float], facts: Sequence[Facts]) -> tuple[str | None, float | None]:
    if not trunks:
        return None, None
    trunk = float(np.median(trunks))
    if sum(f.normalised for f in facts) >= NEARLY_ALL * len(facts):
        return "normalised", trunk
    for unit, size in UNITS.items():
        if TRUNK[0] <= trunk * size <= TRUNK[1]:
            return unit, trunk
    same = float(np.std(trunks)) <= 0.02 * trunk and len(trunks) > 1
    return ("normalised" if same else "other"), trunk


def _origin(facts: Sequence[Facts]) -> tuple[str, int | None]:
    """Where the origin is, and the place of its point."""
    two = any(f.bodies > 1 for f in facts)
    points: Callable[[Facts], frozenset[int]]
    for origin, points in ((OWN, lambda f: f.own), (FIRST, lambda f: f.first), (START, lambda f: f.start)):
        votes = Counter(v for f in facts for v in points(f))
        if votes:
            point, count = min(votes.items(), key=lambda item: (-item[1], item[0]))
            if count >= NEARLY_ALL * len(facts) and (origin != FIRST or two):
                return origin, point
    return SENSOR, None


def _absent(facts: Sequence[Facts]) -> tuple[str | None, int]:
    """What absent bodies are, and how many clips have a copy."""
    votes = Counter(f.absent for f in facts)
    copies = votes[COPIES]
    if votes[POINTS] > LOOPS * len(facts):
        return POINTS, copies
    if copies > LOOPS * len(facts):
        return COPIES, copies
    return (ZEROS if votes[ZEROS] else None), copies


def _after(facts: Sequence[Facts]) -> str | None:
    """A file is filled up by zeros or by repetition: where one clip ends in zeros, none was played again."""
    votes = Counter(f.after for f in facts if f.after is not None)
    if not votes:
        return None
    if votes[ZEROS]:
        return ZEROS
    if votes[REPETITION] >= max(1, LOOPS * len(facts)):
        return REPETITION
    return LAST_FRAME if 2 * votes[LAST_FRAME] >= len(facts) else NOTHING


# In words ----------------------------------------------------------------------------------------------------------
CANNOT = "cannot be told"
IN = {OWN: "of every body, in every frame", FIRST: "of the first body, in every frame",
      START: "of the first body, in its first frame"}  # fmt: skip


def lines(found: Findings, layout: Layout) -> list[tuple[str, str]]:
    """What was found as (what is asked, the answer in words)."""
    if not found.told:
        return [("conventions", f"{CANNOT}: none of {found.clips:,} clips that were asked shows anybody")]
    told = [("asked of", f"{found.clips:,} clips, of which {found.told:,} show somebody")]
    told.append(("content", found.content or CANNOT))
    if layout.coordinates == 3:
        up = f"{found.up} ({found.agree:.0%} of the clips in which people stand)" if found.up else CANNOT
        sides = (
            CANNOT if found.mirrored is None else "left and right are exchanged" if found.mirrored else "right-handed"
        )
        told += [("up", up), ("handedness", sides), ("unit", _unit_said(found))]
    told.append(("origin", origin_said(found)))
    turned = {FRAME: "to the camera plane in every frame", CLIP: "on the x axis in the first frame"}
    told.append(("shoulders", turned.get(found.turned or "", "not turned" if found.turned else CANNOT)))
    told.append(("made as", made_as(found, layout)))
    told.append(("absent bodies", _absent_said(found)))
    told.append(("behind the end", found.after or "clips have lengths of their own"))
    return told


def origin_said(found: Findings) -> str:
    """Where the origin is, in words."""
    if found.origin in IN:
        return f"{found.point} {IN[found.origin]}"
    return "no point of the body: that of the sensor" if found.origin else CANNOT


def _unit_said(found: Findings) -> str:
    if found.trunk is None or found.unit is None:
        return CANNOT
    long = f"the trunk is {found.trunk:.3g} long"
    return f"{found.unit} ({long})" if found.unit in UNITS else f"{CANNOT}: {found.unit}, {long}"


def _absent_said(found: Findings) -> str:
    said = {POINTS: "all joints in one point", None: "none"}.get(found.absent, found.absent)
    return f"{said}; the second body of {found.copies:,} clips is a copy of the first" if found.copies else str(said)


def made_as(found: Findings, layout: Layout) -> str:
    """Whose preparation these conventions are, as far as it can be known."""
    if found.content != POSITIONS:
        return f"{found.content or 'what'} of something"
    if found.origin == OWN and found.joints == layout.centre and found.turned == FRAME:
        return "AimCLR's prepared clips: each body centred and turned in every frame"
    if found.turned == CLIP:
        return "2s-AGCN's pre_normalization (also MS-G3D's, CMD's, ISC's)"
    if found.origin == START:
        return "CTR-GCN's sequence transformation (also SGN's, MAMP's): moved as a whole"
    return "recorded" if found.origin == SENSOR and found.unit in UNITS else "recorded, and moved"


def doubts(found: Findings) -> list[str]:
    """What cannot be told of clips, and is therefore left as it is."""
    if not found.told:
        return []
    if found.content is None:
        return ["whether these are positions of joints cannot be told; positions in metres, y up, are taken for it"]
    if found.content != POSITIONS:
        return [f"these look like {found.content} of joints, and are taken for their positions"]
    said = []
    if found.up is None:
        said.append("which axis is up cannot be told: too few people stand or sit upright; y is taken for it")
    if found.unit == "normalised":
        said.append(f"coordinates are normalised (the trunk is {found.trunk:.3g} long), not metres; left as they are")
    elif found.unit == "other":
        said.append(f"the unit cannot be told: the trunk is {found.trunk:.3g} long; metres are taken for it")
    return said
