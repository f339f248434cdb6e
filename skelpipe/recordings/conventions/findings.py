"""What the clips of a file have in common: the conventions that it does not state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.layouts.base import Layout
from skelpipe.recordings.conventions.contradictions import flat_said, mixed_sides, mixed_units, unit_of
from skelpipe.recordings.conventions.facts import (
    AXES,
    CLIP,
    COPIES,
    FRAME,
    LAST_FRAME,
    NOTHING,
    POINTS,
    POSITIONS,
    REPETITION,
    UNITS,
    ZEROS,
    Facts,
    Places,
    read_clip,
)

AGREED = 2 / 3  # of the clips that tell
NEARLY_ALL = 0.95
FEW = 5  # fewer clips have to agree all
LOOPS = 0.05  # of the clips; a file of which so many repeat themselves, and more than end in zeros, is filled up
OWN, FIRST, START, SENSOR = "own", "first", "start", "sensor"


@dataclass(frozen=True)
class Findings:
    """The conventions of a file or folder; None is what cannot be told of it.

    Attributes:
        clips: how many were asked.
        shown: how many of them are not all zeros.
        told: how many of them show somebody, and can be asked further.
        content: "positions", "motion", "bones" or "noise".
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
        flat: in words, how many clips are flat.
        mixed: in words, how clips contradict each other in their unit.
        sides: the same of their handedness, which is no proof: a sensor may have seen people from behind.
        unsure: whether a few clips are mirrored and others not, so few that it may be by accident.
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
    flat: str | None = None
    mixed: str | None = None
    sides: str | None = None
    unsure: bool = False

    def as_json(self) -> dict[str, Any]:
        """What an output notes of it."""
        keys = ("content", "up", "mirrored", "origin", "point", "turned", "unit", "absent", "after")
        return {key: getattr(self, key) for key in keys}

    def centred(self, layout: Layout) -> bool:
        """Whether every body is in its own centre in every frame, as in AimCLR's prepared clips."""
        return self.origin == OWN and self.joints == layout.centre


class Asked:
    """Clips that are asked one after the other; only their facts are kept.

    Attributes:
        clips, shown: as in `Findings`.
        facts: of those that show somebody.
        who: what these are called, in messages.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout, self.places = layout, Places.of(layout)
        self.clips, self.shown, self.facts, self.who = 0, 0, list[Facts](), list[str]()

    def add(
        self, block: npt.NDArray[Any] | Sequence[npt.NDArray[Any]], who: Callable[[int], str] = "clip {}".format
    ) -> None:
        """Ask a block of clips.

        Args:
            block: (n, T, M, V, C), or a list of (F, M, V, C), each of its own length.
            who: what the clip that is asked as the n-th of all is called.
        """
        for clip in block:
            called = who(self.clips)
            self.clips += 1
            self.shown += bool(np.any(clip))
            facts = read_clip(clip, self.layout, self.places, not isinstance(block, (list, tuple)))
            if facts is not None:
                self.facts.append(facts)
                self.who.append(called)

    def more(self, other: Asked) -> None:
        """Take those that another has asked."""
        self.clips += other.clips
        self.shown += other.shown
        self.facts += other.facts
        self.who += other.who

    def findings(self) -> Findings:
        """What the clips have in common."""
        facts = self.facts
        if not facts:
            return Findings(self.clips, self.shown, 0)
        content = _agreed([f.content for f in facts], 1)
        flat = flat_said(facts, self.who) if content == POSITIONS else None
        whole = content == POSITIONS and flat is None
        up, agree = _up(facts) if whole else (None, 0.0)
        trunks = [f.trunk for f in facts if f.trunk is not None and f.content == POSITIONS]
        unit, trunk = _unit(trunks, facts) if whole else (None, None)
        sided = _agreed([f.sided for f in facts], 2) if whole else None
        mixed = mixed_units(facts, self.who) if whole and unit in UNITS else None
        sides = mixed_sides(facts, self.who) if whole else None
        (origin, place), (absent, copies) = _origin(facts), _absent(facts)
        point, joints = (None, ()) if place is None else self.places.points[place]
        return Findings(
            self.clips,
            self.shown,
            len(facts),
            content=content,
            up=up,
            agree=agree,
            mirrored=None if sided is None or sides else sided < 0,
            origin=origin,
            point=point,
            joints=joints,
            turned=_agreed([f.turned or "no" for f in facts], 1) if content == POSITIONS else None,
            unit=unit,
            trunk=trunk,
            absent=absent,
            copies=copies,
            after=_after(facts),
            flat=flat,
            mixed=mixed,
            sides=sides,
            unsure=whole and {f.sided for f in facts} >= {1, -1} and sided is None,
        )


def ask(
    blocks: Iterable[npt.NDArray[Any] | Sequence[npt.NDArray[Any]]],
    layout: Layout,
    who: Callable[[int], str] = "clip {}".format,
) -> Findings:
    """Ask clips for the conventions that they follow.

    Args:
        blocks: (n, T, M, V, C) where all clips have T frames, or lists of (F, M, V, C) of clips of their own lengths,
            float, as the file has them. About `SAMPLE` clips, evenly chosen, are enough.
        layout: whose joints they are.
        who: what the n-th that is asked is called, in messages.
    """
    asked = Asked(layout)
    for block in blocks:
        asked.add(block, who)
    return asked.findings()


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
    many = 2 * sum(votes.values()) >= len(facts) or turned or name == "y"
    enough = _agreed([f.up for f in facts], fewest) is not None and many
    return (name if enough else None), agree


def _unit(trunks: Sequence[float], facts: Sequence[Facts]) -> tuple[str | None, float | None]:
    if not trunks:
        return None, None
    trunk = float(np.median(trunks))
    if sum(f.normalised for f in facts) >= NEARLY_ALL * len(facts):
        return "normalised", trunk
    if (unit := unit_of(trunk)) is not None:
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
    """A file is filled up by zeros or by repetition, whichever more clips show.

    A played-again recording may have a gap just where the file ends, and a recording may happen to repeat itself.
    """
    votes = Counter(f.after for f in facts if f.after is not None)
    if not votes:
        return None
    if votes[REPETITION] > votes[ZEROS] and votes[REPETITION] >= max(1, LOOPS * len(facts)):
        return REPETITION
    if votes[ZEROS]:
        return ZEROS
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
        told += [("contradiction", said) for said in (found.flat, found.mixed, found.sides) if said]
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
    if found.centred(layout) and found.turned == FRAME:
        return "AimCLR's prepared clips: each body centred and turned in every frame"
    if found.turned == CLIP:
        return "2s-AGCN's pre_normalization (also MS-G3D's, CMD's, ISC's)"
    if found.origin == START:
        return "CTR-GCN's sequence transformation (also SGN's, MAMP's): moved as a whole"
    known = found.unit in UNITS or layout.coordinates == 2
    return "recorded" if found.origin == SENSOR and known else "recorded, and moved"


def doubts(found: Findings, layout: Layout | None = None) -> list[str]:
    """What cannot be told of clips, and is therefore left as it is."""
    if not found.told:
        return []
    if found.content is None:
        return ["whether these are positions of joints cannot be told; positions in metres, y up, are taken for it"]
    if found.content != POSITIONS:
        return [f"these look like {found.content} of joints, and are taken for their positions"]
    if found.flat is not None:
        return [f"{found.flat}; axes and units are left as they are"]
    said = []
    if (
        (layout is None or layout.coordinates == 3) and found.up is None and (found.agree or found.told >= FEW)
    ):  # nobody says that it is not y
        said.append("which axis is up cannot be told: too few people stand or sit upright; y is taken for it")
    if found.sides is not None:
        said.append(f"{found.sides}; they are left as they are")
    elif found.unsure:
        said.append("whether left and right are exchanged cannot be told: clips contradict each other; they are not")
    if found.unit == "normalised":
        said.append(f"coordinates are normalised (the trunk is {found.trunk:.3g} long), not metres; left as they are")
    elif found.unit == "other":
        said.append(f"the unit cannot be told: the trunk is {found.trunk:.3g} long; metres are taken for it")
    return said
