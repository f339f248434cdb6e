"""OpenPose's 18 keypoints (its COCO model), as in Kinetics-skeleton.

Source: Cao et al., OpenPose (TPAMI 2021), model COCO; bones and centre as in ST-GCN's graph "openpose".
"""

from __future__ import annotations

from skelpipe.layouts.base import Layout

OPENPOSE18 = Layout(
    name="openpose18",
    joints=(
        "nose", "neck",
        "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist",
        "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle",
        "right eye", "left eye", "right ear", "left ear",
    ),
    parents=(1, 1, 1, 2, 3, 1, 5, 6, 2, 8, 9, 5, 11, 12, 0, 0, 14, 15),
    mirror=(0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16),
    centre=(1,),
    shoulders=((2,), (5,)),
    torso=(0, 8, 11),
    parts=(
        ("trunk", (0, 1, 14, 15, 16, 17)),
        ("left arm", (5, 6, 7)),
        ("right arm", (2, 3, 4)),
        ("left leg", (11, 12, 13)),
        ("right leg", (8, 9, 10)),
    ),
    coordinates=2,
)  # fmt: skip
