"""SMPL: the 24 joints of the body model, as in AMASS, BABEL and AIST++.

Source: order and kinematic tree of Loper et al., SMPL (SIGGRAPH Asia 2015).
"""

from __future__ import annotations

from skelpipe.layouts.base import Layout

SMPL24 = Layout(
    name="smpl24",
    joints=(
        "pelvis", "left hip", "right hip", "spine 1", "left knee", "right knee", "spine 2",
        "left ankle", "right ankle", "spine 3", "left foot", "right foot",
        "neck", "left collar", "right collar", "head", "left shoulder", "right shoulder",
        "left elbow", "right elbow", "left wrist", "right wrist", "left hand", "right hand",
    ),
    parents=(0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21),
    mirror=(0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22),
    centre=(0,),
    shoulders=((17,), (16,)),
    torso=(3, 6, 9, 12, 15),
    parts=(
        ("trunk", (0, 3, 6, 9, 12, 13, 14, 15)),  # the collars sit at the chest
        ("left arm", (16, 18, 20, 22)),
        ("right arm", (17, 19, 21, 23)),
        ("left leg", (1, 4, 7, 10)),
        ("right leg", (2, 5, 8, 11)),
    ),
)  # fmt: skip
