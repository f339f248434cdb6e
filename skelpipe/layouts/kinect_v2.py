"""Kinect v2, as NTU RGB+D and PKU-MMD record it."""

from __future__ import annotations

from skelpipe.layouts.base import Layout

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
    centre=(20,),
    shoulders=((8,), (4,)),
    torso=(0, 1, 20, 2, 3),
    parts=(
        ("trunk", (0, 1, 2, 3, 20)),
        ("left arm", (4, 5, 6, 7, 21, 22)),
        ("right arm", (8, 9, 10, 11, 23, 24)),
        ("left leg", (12, 13, 14, 15)),
        ("right leg", (16, 17, 18, 19)),
    ),
)  # fmt: skip
