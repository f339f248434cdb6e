"""Arrays of other projects are asked for the conventions that their format leaves open, and brought to ours."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.clips.bodies import BODY_POLICIES
from skelpipe.errors import BadInput
from skelpipe.exchange.arrays.base import LAYOUT, UNKNOWN, Floats, Format, Part, finite, only
from skelpipe.exchange.arrays.labels import Whole
from skelpipe.outputs.ancestry import PROVENANCE, read_json
from skelpipe.recordings.conventions import SAMPLE, Asked, Conversion, Findings, chosen, lines
from skelpipe.recordings.conventions.conversion import own_frames, without_copies, without_points
from skelpipe.recordings.conventions.facts import CLIP, COPIES, FRAME, LAST_FRAME, POINTS, POSITIONS, REPETITION, ZEROS
from skelpipe.recordings.conventions.findings import SENSOR, doubts, made_as, origin_said

log = logging.getLogger(__name__)
SAME = ("content", "up", "unit", "mirrored")  # what files that are imported together have in common
PIXELS = 7.5  # no person's trunk is so long in metres, nor so in feet or decimetres
REPEATED = {REPETITION: "by their own repetition", LAST_FRAME: "by their last frame"}


def ask_part(part: Part, most: int = SAMPLE) -> Asked:
    """Ask some clips of an array, evenly chosen."""
    asked, rows, called, done = Asked(LAYOUT), chosen(len(part.labels), most), list[str](), 0
    for block in part.some(rows):
        fine = finite(block)  # what is not is left out of the clips
        called += [_called(part, int(row)) for row in rows[done : done + len(block)][fine]]
        done += len(block)
        asked.add(only(block, fine), called.__getitem__)
    return asked


def _called(part: Part, row: int) -> str:
    return part.names[row] if part.names is not None else f"clip {row} of {part.where.name}"


def ask_parts(parts: Sequence[Part]) -> Findings:
    """What the arrays of one import have in common.

    Raises:
        BadInput: two of them contradict each other.
    """
    together, apart = Asked(LAYOUT), list[tuple[Path, Findings]]()
    for part in parts:
        asked = ask_part(part, max(1, SAMPLE // len(parts)))
        apart.append((part.where, asked.findings()))
        together.more(asked)
    for key in SAME:
        told = [(where, getattr(found, key)) for where, found in apart if getattr(found, key) is not None]
        for where, value in told:
            if value != told[0][1]:
                what = f"has {key} {value}, and {told[0][0]} has {told[0][1]}"
                if key == "mirrored":
                    mirrored, other = (where, told[0][0]) if value else (told[0][0], where)
                    what = f"contradicts {told[0][0]}: left and right are exchanged in {mirrored}, and not in {other}"
                raise BadInput(where, what, "give files that were made in the same way")
    found = together.findings()
    mixed = [each.mixed for _, each in apart if each.mixed is not None]
    return replace(found, mixed=mixed[0]) if mixed else found


def find_bodies(format: str, kind: Format, parts: Sequence[Part], dataset: str, found: Findings) -> str:
    """The rule that chose the bodies of arrays: what an export of ours says beside them, else that of their writer.

    agcn-npy is 2s-AGCN's, which turns clips as a whole, or ST-GCN's, recorded frames with zeros behind.
    """
    made = [read_json(part.where.parent / PROVENANCE) for part in parts]
    settings = [about.get("settings") if about.get("kind") == "arrays" else None for about in made]
    rules = {str(said.get("bodies")) if isinstance(said, dict) else "" for said in settings}
    if not rules <= {*BODY_POLICIES, UNKNOWN}:
        told = None
        if format == "agcn-npy" and found.turned != CLIP:
            told = "first" if found.origin == SENSOR and found.after == ZEROS else UNKNOWN
        rules = {kind.rule(dataset, part.bodies or told) for part in parts}
    return rules.pop() if len(rules) == 1 else UNKNOWN


@dataclass
class Taken:
    """How the clips of some arrays are taken.

    Attributes:
        found: what they were found to be.
        bodies: the rule that chose the two, key of `BODY_POLICIES`, or UNKNOWN.
        conversion: what brings their coordinates to ours.
        copies: how many second bodies were dropped so far, since they were the first again.
        late: in how many clips so far a body became the first, since nobody was in the places before it.
    """

    found: Findings
    bodies: str
    conversion: Conversion = field(default_factory=Conversion)
    copies: int = 0
    late: int = 0

    @classmethod
    def of(cls, format: str, kind: Format, parts: Sequence[Part], dataset: str, found: Findings | None = None) -> Taken:
        """Ask the arrays, unless it was `found` already what they are.

        Raises:
            BadInput: they are not what the format holds.
        """
        found = ask_parts(parts) if found is None else found
        for what, answer in lines(found, LAYOUT):
            log.info("%s: %s", what, answer)
        _check(format, kind, parts, found)
        return cls(found, find_bodies(format, kind, parts, dataset, found), Conversion.of(found))

    def values(self, block: Floats) -> Floats:
        """Clips (b, T, M, V, 3) with our axes and units, and zeros where nobody is."""
        if self.found.absent == POINTS:
            block = without_points(block)
        block, copies = without_copies(block)
        self.copies += copies
        return self.conversion.apply(block)

    def packed(self, block: Floats, shown: npt.NDArray[np.bool_]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Clips (b, T, M, V, 3) and who is shown (b, T, M): places that a whole clip leaves empty come last.

        Only where the rule is `first`, which counts those who are there; the others look at all places.
        """
        empty = ~shown.any(axis=1)
        order = np.argsort(empty, axis=1, kind="stable")
        late = (order != np.arange(empty.shape[1])).any(axis=1)
        if self.bodies != "first" or not late.any():
            return block, shown
        self.late += int(late.sum())
        order = order[:, None]
        return np.take_along_axis(block, order[..., None, None], axis=2), np.take_along_axis(shown, order, axis=2)

    def own_frames(self, clip: Floats) -> Whole:
        """(M,) how many frames of each body of a clip (T, M, V, 3) are not only there to fill it up."""
        return own_frames(clip, self.found.after)

    @property
    def turned(self) -> bool:
        """Whether shoulders are turned to the camera plane already."""
        return self.found.turned == FRAME

    def noted(self) -> dict[str, Any]:
        """What the clips note: the conventions of the source, and what was done."""
        return {**self.found.as_json(), "converted": self.converted}

    @property
    def converted(self) -> list[str]:
        """What was done, in words."""
        done = self.conversion.said
        if self.found.absent == POINTS:
            done.append("bodies whose joints lie all in one point to zeros")
        if self.found.absent == COPIES:
            done.append("second bodies that are the first again to zeros")
        if self.found.after in REPEATED:
            done.append(f"clips filled up {REPEATED[self.found.after]} to their own frames")
        return done

    def told(self) -> list[str]:
        """What a user is told: what was converted, and what cannot be known."""
        found = self.found
        said = [f"found and converted: {'; '.join(self.converted)}"] if self.converted else []
        if self.copies:
            said.append(f"the second body of {self.copies:,} clips is a copy of the first, and was left out")
        if self.late:
            said.append(f"in {self.late:,} clips the first place is empty, and who comes next takes it")
        if found.turned == CLIP and self.conversion.up != "y":
            said.append("how the first body leans in its first frame is not in the arrays: it was made upright there")
        return [*said, *doubts(found)]


def _check(format: str, kind: Format, parts: Sequence[Part], found: Findings) -> None:
    """Raise BadInput where clips contradict the format."""
    where = parts[0].where
    if not found.told:
        return
    if found.content not in (POSITIONS, None):
        what = f"holds {found.content} of joints, not positions"
        raise BadInput(where, what, f"give the array of positions; streams are made of these{positions_beside(where)}")
    if found.flat is not None:
        raise BadInput(where, found.flat, "give poses of three coordinates in space")
    if found.mixed is not None:
        raise BadInput(where, found.mixed, "give clips that were made in the same way")
    if found.unit == "other" and found.trunk is not None and found.trunk >= PIXELS:
        what = f"is in a unit that cannot be told, pixels perhaps: the trunk is {found.trunk:.3g} long"
        raise BadInput(where, what, "give metres, centimetres or millimetres")
    centred = found.centred(LAYOUT)
    if kind.prepared and not centred:
        what = f"is not prepared: its origin is {origin_said(found)}, and prepared clips have {_centre()} in it"
        raise BadInput(where, what, "import it as agcn-npy, which takes recorded frames")
    if not kind.prepared and kind.named and parts[0].frames and centred and found.turned == FRAME:
        raise BadInput(where, f"holds {made_as(found, LAYOUT)}", "import it as aimclr-npy, which takes prepared clips")


def _centre() -> str:
    return " and ".join(f"joint {v} ({LAYOUT.joints[v]})" for v in LAYOUT.centre) + " of every body"


def positions_beside(where: Path) -> str:
    """The array of positions beside one of another stream, if its name says where."""
    for stream, positions in STREAMS.items():
        beside = where.with_name(where.name.replace(stream, positions))
        if beside != where and beside.is_file():
            return f", as {beside.name} beside it"
    return ""


STREAMS: Mapping[str, str] = {
    "_motion": "_position", "_data_joint_motion": "_data_joint", "_data_bone_motion": "_data_joint",
    "_data_bone": "_data_joint",
}  # fmt: skip
