"""Joint layouts: the graph, the bone stream and the flip are all derived from these tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
        centre: the joint that bodies are centred on, and the root of the graph's hop distances.
        shoulders: (right, left), the line that is turned parallel to the camera plane.
        torso: joints along the spine, drawn thicker.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    mirror: tuple[int, ...]
    centre: int
    shoulders: tuple[int, int]
    torso: tuple[int, ...]

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """The V-1 (joint, parent) pairs, the root's own left out."""
        return tuple((v, p) for v, p in enumerate(self.parents) if v != p)

    @property
    def parent_index(self) -> npt.NDArray[np.int64]:
        """`parents` as an index array: bone = x - x[..., parent_index, :]."""
        import numpy as np

        return np.array(self.parents, dtype=np.int64)


# Kinect v2 as NTU RGB+D and PKU-MMD record it. Hand tips hang on the thumbs and the thumbs on the hands,
# which is anatomically odd but is the table of ST-GCN, CrosSCLR and AimCLR (their bone and graph pairs agree).
KINECT_V2 = Layout(
    name="kinect_v2",
    joints=(
        "spine base", "spine mid", "neck", "head",
        "left shoulder", "left elbow", "left wrist", "left hand",
        "right shoulder", "right elbow", "right wrist", "right hand",
        "left hip", "left knee", "left ankle", "left foot",
        "right hip", "right knee", "right ankle", "right foot",
        "spine shoulder", "left hand tip", "left thumb", "right hand tip", "right thumb",
    ),
    parents=(1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 20, 22, 7, 24, 11),
    mirror=(0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 16, 17, 18, 19, 12, 13, 14, 15, 20, 23, 24, 21, 22),
    centre=20,
    shoulders=(8, 4),
    torso=(0, 1, 20, 2, 3),
)  # fmt: skip

LAYOUTS = {KINECT_V2.name: KINECT_V2}
