"""People of plain NumPy in the joints of Kinect v2: metres, y up, right-handed, seen by a sensor in the origin."""

from __future__ import annotations

import numpy as np

# One who stands with the face to the sensor (towards -z), spine base in the origin.
STANDING = np.array([
    (0, 0, 0), (0, 0.27, 0.01), (0, 0.58, 0), (0, 0.72, -0.02),
    (-0.17, 0.47, 0), (-0.22, 0.22, 0.03), (-0.24, -0.02, -0.04), (-0.24, -0.10, -0.06),
    (0.17, 0.47, 0), (0.22, 0.22, 0.03), (0.24, -0.02, -0.04), (0.24, -0.10, -0.06),
    (-0.08, -0.03, 0), (-0.10, -0.42, -0.02), (-0.11, -0.80, 0.03), (-0.13, -0.86, -0.10),
    (0.08, -0.03, 0), (0.10, -0.42, -0.02), (0.11, -0.80, 0.03), (0.13, -0.86, -0.10),
    (0, 0.5, 0), (-0.24, -0.17, -0.08), (-0.20, -0.12, -0.08), (0.24, -0.17, -0.08), (0.20, -0.12, -0.08),
])  # fmt: skip
ARMS = ((4, (5, 6, 7, 21, 22)), (8, (9, 10, 11, 23, 24)))
UPPER = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 20, 21, 22, 23, 24)


def about(axis: int, angle: float) -> np.ndarray:
    """The rotation (3, 3) about an axis."""
    i, j = ((1, 2), (2, 0), (0, 1))[axis]
    made = np.eye(3)
    made[i, i] = made[j, j] = np.cos(angle)
    made[i, j], made[j, i] = -np.sin(angle), np.sin(angle)
    return made


def person(seed: int, frames: int = 30, at: tuple[float, float, float] = (0.2, 0.1, 3.0)) -> np.ndarray:
    """(frames, 25, 3): swings the arms, walks a little and looks up to 0.5 rad to a side."""
    rng = np.random.default_rng(seed)
    time, speed = np.arange(frames) / 30, rng.uniform(2, 5, 2)
    out = np.repeat(STANDING[None] * rng.uniform(0.9, 1.1), frames, axis=0)
    for (shoulder, arm), pace in zip(ARMS, speed, strict=True):
        for t in range(frames):
            turn = about(0, 0.8 * np.sin(pace * time[t]))
            out[t, arm, :] = (out[t, arm, :] - out[t, shoulder]) @ turn.T + out[t, shoulder]
    out = out @ about(1, rng.uniform(-0.5, 0.5)).T
    walk = np.stack([0.1 * np.sin(time), 0.01 * np.sin(6 * time), 0.1 * time], axis=1)
    noise = rng.normal(scale=0.002, size=out.shape)
    return (out + walk[:, None] + noise + at).astype(np.float32)


def lying(seed: int, along: int, frames: int = 30) -> np.ndarray:
    """Someone who lies along x (0) or z (2)."""
    at = np.array([0.2, 0.1, 3.0])
    turn = about(2, np.pi / 2) if along == 0 else about(0, np.pi / 2)
    return ((person(seed, frames) - at) @ turn.T + at).astype(np.float32)


def bending(seed: int, frames: int = 30) -> np.ndarray:
    """Someone who stands and has bent forward."""
    out = person(seed, frames)
    upper = list(UPPER)
    out[:, upper] = (out[:, upper] - out[:, :1]) @ about(0, -1.4).T + out[:, :1]
    return out.astype(np.float32)


def padded(people: list[np.ndarray], frames: int) -> np.ndarray:
    """(1, frames, 2, 25, 3): the people of one clip, zeros behind them."""
    out = np.zeros((1, frames, 2, 25, 3), np.float32)
    for m, body in enumerate(people):
        out[0, : len(body), m] = body
    return out
