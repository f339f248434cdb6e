"""Kinect v1: the 20 joints of NW-UCLA, MSR-Action3D and UTD-MHAD.

Source: the numbering of the Kinect for Windows SDK 1 (NUI_SKELETON_POSITION_INDEX), which NW-UCLA keeps; bones as in
CTR-GCN's graph/ucla.py. MSR-Action3D and UTD-MHAD number the same joints otherwise: who reads them sorts them by name.
"""

from __future__ import annotations

from skelpipe.layouts.base import Layout

KINECT_V1 = Layout(
    name="kinect_v1",
    joints=(
        "hip centre", "spine", "shoulder centre", "head",
        "left shoulder", "left elbow", "left wrist", "left hand",
        "right shoulder", "right elbow", "right wrist", "right hand",
        "left hip", "left knee", "left ankle", "left foot",
        "right hip", "right knee", "right ankle", "right foot",
    ),
    parents=(1, 2, 2, 2, 2, 4, 5, 6, 2, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18),
    mirror=(0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 16, 17, 18, 19, 12, 13, 14, 15),
    centre=(2,),  # the same place as Kinect v2's
    shoulders=((8,), (4,)),
    torso=(0, 1, 2, 3),
    parts=(
        ("trunk", (0, 1, 2, 3)),
        ("left arm", (4, 5, 6, 7)),
        ("right arm", (8, 9, 10, 11)),
        ("left leg", (12, 13, 14, 15)),
        ("right leg", (16, 17, 18, 19)),
    ),
)  # fmt: skip
