"""OpenPose's 25 keypoints (its model BODY_25), with a hip centre and feet.

Source: order and bones of the model BODY_25 of Cao et al., OpenPose (TPAMI 2021).
"""

from __future__ import annotations

from skelpipe.layouts.base import Layout

OPENPOSE25 = Layout(
    name="openpose25",
    joints=(
        "nose", "neck",
        "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist",
        "hip centre", "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle",
        "right eye", "left eye", "right ear", "left ear",
        "left big toe", "left small toe", "left heel", "right big toe", "right small toe", "right heel",
    ),
    parents=(1, 1, 1, 2, 3, 1, 5, 6, 1, 8, 9, 10, 8, 12, 13, 0, 0, 15, 16, 14, 19, 14, 11, 22, 11),
    mirror=(0, 1, 5, 6, 7, 2, 3, 4, 8, 12, 13, 14, 9, 10, 11, 16, 15, 18, 17, 22, 23, 24, 19, 20, 21),
    centre=(1,),  # as in the layout of 18
    shoulders=((2,), (5,)),
    torso=(0, 1, 8),
    parts=(
        ("trunk", (0, 1, 8, 15, 16, 17, 18)),
        ("left arm", (5, 6, 7)),
        ("right arm", (2, 3, 4)),
        ("left leg", (12, 13, 14, 19, 20, 21)),
        ("right leg", (9, 10, 11, 22, 23, 24)),
    ),
    coordinates=2,
)  # fmt: skip
