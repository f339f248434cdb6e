"""One person: sizes, rest pose and manners, and where the joints are when they bend by given angles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from skelpipe.recordings.synthetic.chance import Array

# What a pose is made of. Arms: `elev` lifts the hanging arm forward, `azim` turns it outward about the upright,
# `roll` turns it about itself. Degrees; ahead, aside and hop in centimetres.
LIMB = ("elev", "azim", "roll", "elbow", "hip", "abd", "knee")
WHOLE = ("pitch", "lean", "twist", "nod", "look", "yaw", "ahead", "aside", "hop")
CHANNEL = {name: i for i, name in enumerate((*(f"{s}.{n}" for s in "LR" for n in LIMB), *WHOLE))}
_UNIT = np.array([0.01 if n in ("ahead", "aside", "hop") else np.pi / 180 for n in CHANNEL])


@dataclass(frozen=True)
class Person:
    """A body and its manners: segments in metres, rest pose, tempo, vigour, preferred hand (1 left, -1 right)."""

    length: dict[str, float]
    rest: Array
    tempo: float
    vigour: float
    hand: int


# Shares of the stature, between the points that the sensor calls joints.
_SHARE = {
    "spine": 0.158, "chest": 0.118, "throat": 0.038, "head": 0.075, "shoulder": 0.098, "drop": 0.03,
    "upper arm": 0.146, "forearm": 0.132, "hand": 0.042, "tip": 0.04, "thumb": 0.028,
    "hip": 0.043, "thigh": 0.213, "shin": 0.208, "foot": 0.066, "sole": 0.045,
}  # fmt: skip
_REST = {"elev": 3.0, "azim": 20.0, "roll": -8.0, "elbow": 14.0, "abd": 3.0, "knee": 4.0, "hip": 2.0, "pitch": 2.0}


def draw_person(rng: Generator) -> Person:
    """A person by chance, of a stature between 1.48 and 1.93 m, right-handed in 85 of 100 cases."""
    stature = float(np.clip(rng.normal(1.70, 0.09), 1.48, 1.93))
    length = {name: stature * share * float(np.exp(rng.normal(0, 0.04))) for name, share in _SHARE.items()}
    rest = np.array([_REST.get(name.split(".")[-1], 0.0) for name in CHANNEL]) + rng.normal(0, 4, len(CHANNEL))
    rest[-4:] = 0  # nobody is born turned, shifted or in the air
    hand = -1 if rng.random() < 0.85 else 1
    return Person(length, rest, float(np.exp(rng.normal(0, 0.15))), float(np.exp(rng.normal(0, 0.12))), hand)


def _about(axis: int, angle: Array | float) -> Array:
    """Right-handed rotation matrices (T, 3, 3) about x, y or z."""
    angle = np.atleast_1d(np.asarray(angle, dtype=np.float64))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    out = np.zeros((len(angle), 3, 3))
    out[:, axis, axis] = 1
    out[:, i, i] = out[:, j, j] = np.cos(angle)
    out[:, j, i] = np.sin(angle)
    out[:, i, j] = -out[:, j, i]
    return out


def pose(angles: Array, person: Person, place: npt.ArrayLike, facing: float) -> Array:
    """Forward kinematics: angles (T, channels) -> joints (T, 25, 3), metres, standing on the floor y = 0.

    Args:
        place: x and z of the spot on the floor.
        facing: azimuth of the front in radians; 0 looks at camera 1, positive towards negative x (the own left).
    """
    a = (angles + person.rest) * _UNIT
    get = {name: a[:, i] for name, i in CHANNEL.items()}
    size, out = person.length, np.zeros((len(a), 25, 3))
    pelvis = _about(1, facing + get["yaw"])
    bend = _about(0, -get["pitch"] / 2) @ _about(2, -get["lean"] / 2)
    lower = pelvis @ bend
    upper = lower @ bend @ _about(1, get["twist"])
    skull = upper @ _about(1, get["look"]) @ _about(0, -get["nod"])
    out[:, 1] = lower[..., 1] * size["spine"]
    out[:, 20] = out[:, 1] + upper[..., 1] * size["chest"]
    out[:, 2] = out[:, 20] + upper[..., 1] * size["throat"]
    out[:, 3] = out[:, 2] + skull @ np.array([0, size["head"], -0.25 * size["head"]])
    for s, first_arm, first_leg, tip in ((1, 4, 12, 21), (-1, 8, 16, 23)):
        here = {n: get[f"{'L' if s > 0 else 'R'}.{n}"] for n in LIMB}
        _arm(out, first_arm, tip, s, here, upper, size)
        _leg(out, first_leg, s, here, pelvis, size)
    _stand(out, get, place, facing, size["sole"])
    return out


def _arm(out: Array, first: int, tip: int, s: int, a: dict[str, Array], trunk: Array, size: dict[str, float]) -> None:
    """Fill shoulder, elbow, wrist, hand, hand tip and thumb of one side (s = 1 left, -1 right)."""
    arm = trunk @ _about(1, s * a["azim"]) @ _about(0, a["elev"]) @ _about(1, s * a["roll"])
    fore = arm @ _about(0, np.clip(a["elbow"], 0, 2.6))
    out[:, first] = out[:, 20] + trunk @ np.array([-s * size["shoulder"], -size["drop"], 0])
    out[:, first + 1] = out[:, first] - arm[..., 1] * size["upper arm"]
    out[:, first + 2] = out[:, first + 1] - fore[..., 1] * size["forearm"]
    out[:, first + 3] = out[:, first + 2] - fore[..., 1] * size["hand"]
    out[:, tip] = out[:, first + 3] - fore[..., 1] * size["tip"]
    out[:, tip + 1] = out[:, first + 3] + fore @ (size["thumb"] * np.array([0.6 * s, -0.5, -0.6]))


def _leg(out: Array, first: int, s: int, a: dict[str, Array], pelvis: Array, size: dict[str, float]) -> None:
    """Fill hip, knee, ankle and foot of one side."""
    thigh = pelvis @ _about(2, -s * a["abd"]) @ _about(0, a["hip"])
    shin = thigh @ _about(0, -np.clip(a["knee"], 0, 2.4))
    out[:, first] = pelvis @ np.array([-s * size["hip"], -0.25 * size["hip"], 0])
    out[:, first + 1] = out[:, first] - thigh[..., 1] * size["thigh"]
    out[:, first + 2] = out[:, first + 1] - shin[..., 1] * size["shin"]
    out[:, first + 3] = out[:, first + 2] + shin @ (size["foot"] * np.array([0, -0.45, -0.9]))


def _stand(out: Array, get: dict[str, Array], place: npt.ArrayLike, facing: float, sole: float) -> None:
    """Put the lower ankle on the floor, so that bent knees lower the body, then walk and hop."""
    floor = np.minimum(out[:, 14, 1], out[:, 18, 1])
    front, left = (np.array([-np.sin(facing), -np.cos(facing)]), np.array([-np.cos(facing), np.sin(facing)]))
    out[..., 1] += (sole + np.maximum(0, get["hop"]) - floor)[:, None]
    walk = np.asarray(place) + get["ahead"][:, None] * front + get["aside"][:, None] * left
    out[..., 0] += walk[:, :1]
    out[..., 2] += walk[:, 1:]
