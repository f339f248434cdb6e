"""Plain NumPy twins of the presets: each published preparation written once more, from what its source says."""

import numpy as np
import twins

SHOWN = (2, 3)


def padded(x, frames):
    """Zeros behind (L, ...), the first frames of longer ones."""
    out = np.zeros((frames, *x.shape[1:]))
    out[: min(frames, len(x))] = x[:frames]
    return out


def rotation(axis, angle):
    """Rodrigues: about an axis, by a quaternion's products."""
    if np.abs(axis).sum() < 1e-6 or abs(angle) < 1e-6:
        return np.eye(3)
    a = np.cos(angle / 2)
    b, c, d = axis / np.linalg.norm(axis) * np.sin(angle / 2)
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )


def to_axis(vector, axis):
    if np.abs(vector).sum() < 1e-6:
        return np.eye(3)
    angle = np.arccos(np.clip(vector @ axis / np.linalg.norm(vector), -1, 1))
    return rotation(np.cross(vector, axis), angle)


def isc_of(x, frames):
    """x (F, 2, V, 3): squeezed, repeated to that many frames, centred on body 0, turned twice; as 2s-AGCN's script."""
    return isc_and_turn(x, frames)[0]


def isc_and_turn(x, frames):
    """The same, and the rotation (3, 3) that it was turned by."""
    out = np.zeros((frames, 2, *x.shape[2:]))
    for m in range(2):
        body = x[:, m].astype(np.float64)
        there = body.any(axis=(1, 2))
        if not there.any():
            continue
        if not there[0]:
            body = body[there]
            there = np.ones(len(body), bool)
        period = np.flatnonzero(there)[-1] + 1
        out[:, m] = np.concatenate([body[:period]] * (frames // period + 1))[:frames]
    out = np.where(out.any(axis=3, keepdims=True), out - out[:, :1, 1:2], 0)
    whole = np.eye(3)
    for (start, end), axis in (((0, 1), [0, 0, 1]), ((4, 8), [1, 0, 0])):
        turn = to_axis(out[0, 0, end] - out[0, 0, start], np.array(axis, float))
        out, whole = out @ turn.T, turn @ whole
    return out, whole


def isc(recording, frames):
    x = twins.energy(recording)
    if not x[:, 0].any():
        return None
    own = len(x) if frames is None else frames
    return isc_of(x, own), min(len(x), own)


def ctr(recording, frames):
    x = twins.denoise(recording).astype(np.float64)
    if not len(x):
        return None
    there = x.any(axis=SHOWN)
    origin = x[np.flatnonzero(there[:, 0])[0], 0, 1]
    x = np.where(there[..., None, None], x - origin, 0)
    return (x, len(x)) if frames is None else (padded(x, frames), min(len(x), frames))


def raw(recording, frames):
    x = twins.first(recording)
    if not x[:, 0].any():
        return None
    if frames is None:
        return x, len(x)
    start = max(0, len(x) - frames) // 2
    return padded(x[start : start + frames], frames), min(len(x), frames)


def in_middles(recording, frames):
    """AS-CAL: every body relative to joint 1 of its own, frame by frame."""
    made = raw(recording, frames)
    return made and (made[0] - made[0][:, :, 1:2], made[1])


def main_actor(recording):
    """The liveliest of the bodies that the denoising rules leave, (F, V, 3), where it was seen."""
    chosen = twins.tracked(recording)
    if len(chosen) > 1:
        chosen = twins.without_sprawling([b for b in chosen if len(b["points"]) > 11] or chosen)
    return max(chosen, key=lambda b: b["motion"])["points"] if chosen else np.zeros((0, 25, 3), np.float32)


def pc_basis(x):
    """x (F, V, 3) in the axes of its first frame, as solved from the matrix whose columns they are."""
    up = x[0, 1] - x[0, 0]
    up = up / np.linalg.norm(up)
    side = x[0, 12] - x[0, 16]
    side = side - (side @ up) * up
    side = side / np.linalg.norm(side)
    third = np.cross(side, up) / np.linalg.norm(np.cross(side, up))
    return np.linalg.solve(np.stack([side, third, up], axis=1), (x - x[0, 0]).reshape(-1, 3).T).T.reshape(x.shape)


def minmax(x):
    low, high = x.min(axis=(0, 1)), x.max(axis=(0, 1))
    return 2 * (x - low) / (high - low) - 1


def pc(recording, frames):
    x = main_actor(recording).astype(np.float64)
    x = x[(x != 0).all(axis=(1, 2))]
    if not len(x):
        return None
    x = minmax(pc_basis(x))[:, None]
    if frames is None:
        return x, len(x)
    return (x[:: len(x) // frames][:frames], frames) if len(x) > frames else (padded(x, frames), len(x))


def in_body_axes(x):
    """x (2, V, 3) of one frame: relative to joint 1 of body 0, in its axes, by the length of its spine."""
    if not x[0].any():
        return np.zeros(x.shape)
    x = np.where(x.any(axis=2, keepdims=True), x - x[0, 1], 0)
    spine, side = x[0, 20] - x[0, 0], x[0, 4] - x[0, 8]
    side = side / np.linalg.norm(side)
    up = spine - (spine @ side) * side
    up = up / np.linalg.norm(up)
    return x @ np.stack([side, up, np.cross(side, up)], axis=1) / np.linalg.norm(spine)


def body_axes(recording, frames):
    x = twins.denoise(recording).astype(np.float64)
    if not len(x):
        return None
    x = np.stack([in_body_axes(frame) for frame in x])
    return (x, len(x)) if frames is None else (padded(x, frames), min(len(x), frames))


# By preset; a step that no preset takes has its twin under a preset and the step, "raw scale=spine".
PRESETS = {"isc": isc, "ctr": ctr, "raw": raw, "pc": pc, "body_axes": body_axes, "raw centre=middle": in_middles}
