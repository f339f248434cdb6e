"""Joint layouts: the graph, the bone stream and the flip are all derived from these tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


X, Y, Z = 0, 1, 2


@dataclass(frozen=True)
class Layout:
    """A set of named joints and how they hang together; joint numbers are 0-based.

    Attributes:
        name: how stores and recipes call the layout.
        joints: the V joint names, in the order of the arrays.
        parents: for every joint the joint its bone starts from; the root is its own parent.
        mirror: for every joint its counterpart on the other side of the body (itself on the middle line).
        centre: the joints in whose mean bodies are centred; hop distances in the graph are counted from the nearest.
        shoulders: (right, left), each the mean of some joints: the line that is turned parallel to the camera plane.
        torso: joints along the spine, or the hips where there is none; their bones are drawn thicker.
        parts: (name, joints) of the groups that part-wise models and masks work on; every joint is in one of them.
        coordinates: 3 (x to the right, y up), or 2 in a picture (x to the right, y down).
        confidence: whether a channel behind the coordinates holds the detector's confidence.

    Example:
        >>> layout = sk.get_layout("kinect_v2")
        >>> layout.joints[layout.parents[layout.joints.index("head")]]
        'neck'
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    mirror: tuple[int, ...]
    centre: tuple[int, ...]
    shoulders: tuple[tuple[int, ...], tuple[int, ...]]
    torso: tuple[int, ...]
    parts: tuple[tuple[str, tuple[int, ...]], ...] = ()
    coordinates: int = 3
    confidence: bool = False

    @property
    def channels(self) -> int:
        """C: the coordinates, and the confidence where there is one."""
        return self.coordinates + self.confidence

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """The V-1 (joint, parent) pairs, the root's own left out."""
        return tuple((v, p) for v, p in enumerate(self.parents) if v != p)

    @property
    def parent_index(self) -> npt.NDArray[np.int64]:
        """`parents` as an index array: bone = x - x[..., parent_index, :]."""
        import numpy as np

        return np.array(self.parents, dtype=np.int64)

    @property
    def part_index(self) -> dict[str, npt.NDArray[np.int64]]:
        """`parts` as index arrays by name, in order: the joints of a part are x[..., index, :]."""
        import numpy as np

        return {name: np.array(some, dtype=np.int64) for name, some in self.parts}

    @property
    def sides(self) -> tuple[str, ...]:
        """Of every joint left, right or middle; of two mirrored joints, left is the one whose name differs by an l.

        Where the names tell nothing, left is the one that comes first.
        """
        found = ["middle"] * len(self.joints)
        for v, w in enumerate(self.mirror):
            if v < w:
                pair = zip(self.joints[v].lower(), self.joints[w].lower(), strict=False)
                ends = next(((a, b) for a, b in pair if a != b), ("", ""))
                found[v], found[w] = ("right", "left") if ends[0] == "r" or ends[1] == "l" else ("left", "right")
        return tuple(found)

    def as_table(self) -> dict[str, Any]:
        """The layout in plain values; `table.read_table` makes the same layout of it."""

        def named(some: tuple[int, ...]) -> list[str]:
            return [self.joints[v] for v in some]

        rows = []
        for v, name in enumerate(self.joints):
            row = {"name": name}
            row |= {"parent": self.joints[self.parents[v]]} if self.parents[v] != v else {}
            row |= {"mirror": self.joints[self.mirror[v]]} if self.mirror[v] != v else {}
            rows.append(row)
        right, left = self.shoulders
        return {
            "name": self.name,
            "joints": rows,
            "centre": named(self.centre),
            "shoulders": {"right": named(right), "left": named(left)},
            "torso": named(self.torso),
            "parts": {name: named(some) for name, some in self.parts},
            "coordinates": self.coordinates,
            "confidence": self.confidence,
        }
