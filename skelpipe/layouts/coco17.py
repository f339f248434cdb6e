"""COCO: the 17 keypoints of most detectors in pictures (HRNet, RTMO, YOLO-pose).

Source: the keypoints of the COCO data set (Lin et al., ECCV 2014), in its order; bones as in PySKL's graph "coco".
"""

from __future__ import annotations

from skelpipe.layouts.base import Layout

COCO17 = Layout(
    name="coco17",
    joints=(
        "nose", "left eye", "right eye", "left ear", "right ear",
        "left shoulder", "right shoulder", "left elbow", "right elbow", "left wrist", "right wrist",
        "left hip", "right hip", "left knee", "right knee", "left ankle", "right ankle",
    ),
    # There is no neck: the shoulders hang on the nose, the one joint on the middle line, and the hips on the shoulders.
    parents=(0, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 5, 6, 11, 12, 13, 14),
    mirror=(0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15),
    # Nor is there a spine. The hips carry the body and move least; PySKL counts the graph's distances from the nose,
    # in which a body would be centred on its nodding.
    centre=(11, 12),
    shoulders=((6,), (5,)),
    torso=(11, 12),
    parts=(
        ("trunk", (0, 1, 2, 3, 4)),
        ("left arm", (5, 7, 9)),
        ("right arm", (6, 8, 10)),
        ("left leg", (11, 13, 15)),
        ("right leg", (12, 14, 16)),
    ),
    coordinates=2,
)  # fmt: skip
