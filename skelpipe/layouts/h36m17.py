"""Human3.6M: the 17 of its 32 joints that pose lifting works with.

Source: Ionescu et al. (TPAMI 2014); choice, order and bones as in VideoPose3D, which MotionBERT and others share. The
tenth joint, in which lists of names say neck, nose or both, lies at the height of the nose; the head is its top.
"""

from __future__ import annotations

from skelpipe.layouts.base import Layout

H36M17 = Layout(
    name="h36m17",
    joints=(
        "pelvis", "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle",
        "spine", "thorax", "nose", "head top",
        "left shoulder", "left elbow", "left wrist", "right shoulder", "right elbow", "right wrist",
    ),
    parents=(0, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15),
    mirror=(0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13),
    centre=(0,),  # poses are lifted relative to it
    shoulders=((14,), (11,)),
    torso=(7, 8, 9, 10),
    parts=(
        ("trunk", (0, 7, 8, 9, 10)),
        ("left arm", (11, 12, 13)),
        ("right arm", (14, 15, 16)),
        ("left leg", (4, 5, 6)),
        ("right leg", (1, 2, 3)),
    ),
)  # fmt: skip
