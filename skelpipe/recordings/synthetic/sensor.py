"""Three turned cameras, and a sensor that measures joints with noise and sometimes loses one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from skelpipe.recordings.synthetic.chance import Array, smooth


@dataclass(frozen=True)
class Camera:
    """Where a camera stands: azimuth about the scene (radians, positive towards x), metres away and above the floor."""

    azimuth: float
    distance: float
    height: float

    def see(self, points: Array) -> Array:
        """World points (..., 3) -> camera space: x to the sensor's left, y up, z away from it."""
        level = np.array([np.sin(self.azimuth), 0, -np.cos(self.azimuth)])
        spot = self.distance * level + np.array([0, self.height, 0])
        ahead = np.array([0, 0.95, 0]) - spot
        ahead /= np.linalg.norm(ahead)
        left = np.cross([0, 1, 0], ahead)
        left /= np.linalg.norm(left)
        result: Array = (points - spot) @ np.stack([left, np.cross(ahead, left), ahead], axis=1)
        return result


_AZIMUTH = np.deg2rad((0.0, -45.0, 45.0))  # NTU's cameras 1, 2, 3


@cache
def camera_of(setup: int, number: int) -> Camera:
    """Camera 0..2 of a setup; a setup is a distance and a height for the three."""
    distance = 2.7 + 0.11 * (setup * 7 % 11) + 0.1 * number
    return Camera(float(_AZIMUTH[number]), distance, 0.9 + 0.08 * (setup * 5 % 13))


# Standard deviation in metres, from the steady trunk to the wild fingers.
_NOISE = np.full(25, 0.004)
_NOISE[[0, 1, 2, 3, 20]] = 0.0015
_NOISE[[6, 7, 10, 11]] = 0.009
_NOISE[[14, 15, 18, 19]] = 0.007
_NOISE[21:] = 0.014


def sense(joints: Array, rng: Generator, wild: bool) -> tuple[Array, npt.NDArray[np.int64]]:
    """Camera-space joints (T, 25, 3) -> (measured joints, tracking states (T, 25): 2 tracked, 1 inferred, 0 lost).

    Metres; if `wild`, a few joints jump.
    """
    frames = len(joints)
    hidden = joints[..., 2] > joints[:, :1, 2] + 0.12  # the far side of a turned body
    fast = rng.standard_normal((frames + 2, 25, 3))
    fast = 0.25 * fast[:-2] + 0.5 * fast[1:-1] + 0.25 * fast[2:]
    error = (fast + smooth(rng, frames, 12, (25, 3))) * _NOISE[:, None]
    seen = joints + error * np.where(hidden, 3.0, 1.0)[..., None]
    states = np.where(hidden, 1, 2)
    for _ in range(int(rng.integers(2, 5)) if wild else 0):  # a joint jumps somewhere else for some frames
        joint, at = int(rng.integers(4, 25)), int(rng.integers(frames))
        span = slice(at, at + int(rng.integers(2, 9)))
        seen[span, joint] += rng.normal(0, 0.2, 3)
        states[span, joint] = rng.integers(0, 2)
    return seen, states
