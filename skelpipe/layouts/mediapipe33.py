"""MediaPipe Pose (BlazePose): 33 landmarks in three dimensions.

Source: the order of MediaPipe's PoseLandmark (Bazarevsky et al., BlazePose, 2020). Its connections are no tree: here
eyes, mouth and shoulders hang on the nose, and of its rings at hands, feet and trunk the bones from the body outwards
are kept. Its world landmarks are metres with y down, and z less where nearer: who reads them turns both.
"""

from __future__ import annotations

from skelpipe.layouts.base import Layout

MEDIAPIPE33 = Layout(
    name="mediapipe33",
    joints=(
        "nose", "left eye inner", "left eye", "left eye outer", "right eye inner", "right eye", "right eye outer",
        "left ear", "right ear", "left mouth", "right mouth",
        "left shoulder", "right shoulder", "left elbow", "right elbow", "left wrist", "right wrist",
        "left pinky", "right pinky", "left index", "right index", "left thumb", "right thumb",
        "left hip", "right hip", "left knee", "right knee", "left ankle", "right ankle",
        "left heel", "right heel", "left foot index", "right foot index",
    ),
    parents=(
        0, 0, 1, 2, 0, 4, 5, 3, 6, 0, 0, 0, 0, 11, 12, 13, 14, 15, 16, 15, 16, 15, 16,
        11, 12, 23, 24, 25, 26, 27, 28, 27, 28,
    ),
    mirror=(
        0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15, 18, 17, 20, 19, 22, 21,
        24, 23, 26, 25, 28, 27, 30, 29, 32, 31,
    ),
    centre=(23, 24),  # where the origin of its world landmarks is
    shoulders=((12,), (11,)),
    torso=(23, 24),
    parts=(
        ("trunk", (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)),
        ("left arm", (11, 13, 15, 17, 19, 21)),
        ("right arm", (12, 14, 16, 18, 20, 22)),
        ("left leg", (23, 25, 27, 29, 31)),
        ("right leg", (24, 26, 28, 30, 32)),
    ),
)  # fmt: skip
