"""Plain NumPy twins of the kernels: the rules written once more, without speed, for the tests to compare with."""

import itertools
import math
import re

import numpy as np

MASK = 2**32 - 1


# ---- philox


def philox(counter, key):
    """Philox4x32-10 on Python integers."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & MASK, (a >> 32) ^ c[3] ^ k[1], a & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


def uniforms(seed, epoch, clip, view, slot, count):
    words = [w for block in range(count) for w in philox((block, slot, view, clip), (seed, epoch))]
    return [((words[2 * i] >> 5) * 2**26 + (words[2 * i + 1] >> 6)) / 2**53 for i in range(count)]


def normals(size, key):
    """As many normal numbers as a clip of that size gets, in float64: number j of counter i at place i + j n."""
    n = math.ceil(size / 4)
    out = np.zeros((4, n))
    for i in range(n):
        words = philox((i, 0, 0, 0), key)
        for pair in (0, 2):
            u = ((words[pair] >> 1) + 0.5) / 2**31
            rest = (words[pair + 1] << 2) & MASK
            rest = rest - 2**32 if rest >= 2**31 else rest
            angle = (words[pair + 1] >> 30) * math.pi / 2 + rest / 2**32 * math.pi / 2
            radius = math.sqrt(-2 * math.log(u))
            out[pair, i], out[pair + 1, i] = radius * math.cos(angle), radius * math.sin(angle)
    return out.ravel()[:size]


# ---- streams, for clips (..., C, T, V, M)


def motion(x):
    out = np.zeros_like(x)
    out[..., :-1, :, :] = x[..., 1:, :, :] - x[..., :-1, :, :]
    return out


def bone(x, layout):
    return x - x[..., list(layout.parents), :]


def stream(x, name, layout, length=None):
    """A confidence behind the coordinates stays; of one clip (C, T, V, M), its own frames only."""
    if length is not None:
        out = np.zeros_like(x)
        out[:, :length] = stream(x[:, :length], name, layout)
        return out
    xyz, rest = np.split(x, [layout.coordinates], axis=-4)
    xyz = {"joint": lambda: xyz, "motion": lambda: motion(xyz), "bone": lambda: bone(xyz, layout)}[name]()
    return np.concatenate([xyz, rest], axis=-4)


# ---- augmentations of the own frames of one clip (C, T, V, M), in float64, by the parameters that were drawn


def crop(x, params, layout, options):
    pad = x.shape[1] // options["ratio"]
    parts = [x[:, :pad][:, ::-1], x, x[:, x.shape[1] - pad :][:, ::-1]]
    start = int(params[0]) + pad
    return np.concatenate(parts, axis=1)[:, start : start + x.shape[1]]


def shear(x, params, layout, options):
    if len(params) == 2:
        a, b = params
        return np.einsum("ij,jtvm->itvm", np.array([[1, a], [b, 1]]), x)
    a, b, c, d, e, f = params
    return np.einsum("ij,jtvm->itvm", np.array([[1, a, b], [c, 1, d], [e, f, 1]]), x)


def rotate(x, params, layout, options):
    if len(params) == 1:
        c, s = np.cos(params[0]), np.sin(params[0])
        return np.einsum("ij,jtvm->itvm", np.array([[c, s], [-s, c]]), x)
    (cx, cy, cz), (sx, sy, sz) = np.cos(params), np.sin(params)
    about_x = np.array([[1, 0, 0], [0, cx, sx], [0, -sx, cx]])
    about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    about_z = np.array([[cz, sz, 0], [-sz, cz, 0], [0, 0, 1]])
    return np.einsum("ij,jtvm->itvm", about_z @ about_y @ about_x, x)


def flip(x, params, layout, options):
    if not params[0]:
        return x
    x = x[:, :, list(layout.mirror)]
    return np.concatenate([-x[:1], x[1:]]) if options["mirror_x"] else x


def noise(x, params, layout, options):
    if not params[0]:
        return x
    added = options["std"] * normals(x.size, [int(k) for k in params[1:]]).reshape(x.shape)
    return x + added if options["absent"] else x + added * (x != 0).any(axis=(0, 2), keepdims=True)


def blur(x, params, layout, options):
    whether, sigma = params
    if not whether:
        return x
    reach = options["taps"] // 2
    weights = np.exp(-(np.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2))
    weights = weights / weights.sum() if options["normalise"] else weights
    padded = np.pad(x, ((0, 0), (reach, reach), (0, 0), (0, 0)))
    return sum(w * padded[:, k : k + x.shape[1]] for k, w in enumerate(weights))


def mask(x, params, layout, options):
    keep = np.ones((len(x), 1, 1, 1))
    if params[0]:
        keep[int(params[1])] = 0
    return x * keep


def reverse(x, params, layout, options):
    return x[:, ::-1] if params[0] else x


def yaw(x, params, layout, options):
    if layout.coordinates == 2:
        return x
    c, s = np.cos(params[0]), np.sin(params[0])
    return np.einsum("ij,jtvm->itvm", np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]]), x)


def scale(x, params, layout, options):
    return x * params[0]


def bone_length(x, params, layout, options):
    factors = np.exp(options["std"] * normals(len(layout.parents), [int(k) for k in params]))
    out = np.full_like(x, np.nan)
    waiting = list(range(len(layout.parents)))
    while waiting:
        v = waiting.pop(0)
        p = layout.parents[v]
        if v == p:
            out[:, :, v] = x[:, :, v]
        elif np.isnan(out[:, :, p]).any():
            waiting.append(v)
        else:
            out[:, :, v] = out[:, :, p] + factors[v] * (x[:, :, v] - x[:, :, p])
    return out


def tilt(x, params, layout, options):
    if len(params) == 1:
        return rotate(x, -params, layout, options)
    (cx, cy, cz), (sx, sy, sz) = np.cos(params), np.sin(params)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.einsum("ij,jtvm->itvm", about_z @ about_y @ about_x, x)


def jitter(x, params, layout, options):
    if not params[0]:
        return x
    return x + options["std"] * normals(x.size, [int(k) for k in params[1:]]).reshape(x.shape) * (x != 0)


def corrupt(x, params, layout, options):
    whether, turned, *rest = params
    size = len(x)
    matrix, joints = np.reshape(rest[: size * size], (size, size)), [int(v) for v in rest[9:]]
    out = x.copy()
    if whether:
        out[:, :, joints] = np.einsum("ji,jtvm->itvm", matrix, x[:, :, joints]) if turned else 0
    return out


def window(x, start, size, frames):
    return resize(x[:, start : start + size].swapaxes(0, 1), frames).swapaxes(0, 1)


def crop_resize(x, params, layout, options):
    return window(x, int(params[0]), int(params[1]), options["frames"])


def centre_crop(x, params, layout, options):
    cut = math.floor(options["share"] * x.shape[1] / 2)
    return window(x, cut, x.shape[1] - 2 * cut, options["frames"])


def whole_resized(x, params, layout, options):
    return window(x, 0, x.shape[1], options["frames"])


def segments(x, params, layout, options):
    step = x.shape[1] / options["frames"]
    places = [math.floor((s - 1) * step + 1 + u * (step - 1) + 0.5) for s, u in enumerate(params, 1)]
    return x[:, [min(max(place, 1), x.shape[1]) - 1 for place in places]]


def first_frames(x, params, layout, options):
    return x[:, : options["frames"]]


def stride(x, params, layout, options):
    return x[:, :: max(x.shape[1] // options["frames"], 1)][:, : options["frames"]]


def tail_mask(x, params, layout, options):
    return np.concatenate([x[:, : math.ceil(options["keep"] * x.shape[1])], np.zeros_like(x)], axis=1)[:, : x.shape[1]]


def hidden_joints(params, layout, options):
    size = options["joints"]
    groups = {
        "part": lambda: [list(joints) for _, joints in layout.parts],
        "joint": lambda: [[v] for v in range(len(layout.joints))],
        "run": lambda: [list(range(g * size, g * size + size)) for g in range(options["groups"])],
    }[options["by"]]()
    return sorted(v for g in params for v in groups[int(g)])


def joint_mask(x, params, layout, options):
    out = x.copy()
    out[:, 1 if options["spare_first"] else 0 :, hidden_joints(params, layout, options)] = 0
    return out


def jigsaw(x, params, layout, options):
    size = x.shape[1] // options["segments"]
    order = list(itertools.permutations(range(options["segments"])))[int(params[0])]
    parts = [x[:, k * size : (k + 1) * size] for k in order]
    return np.concatenate([*parts, x[:, options["segments"] * size :]], axis=1)


def leave(x, params, layout, options):
    return x


AUGMENTATIONS = {
    "crop": crop,
    "shear": shear,
    "flip": flip,
    "rotate": rotate,
    "noise": noise,
    "blur": blur,
    "mask": mask,
    "reverse": reverse,
    "tilt": tilt,
    "yaw": yaw,
    "bone_length": bone_length,
    "scale": scale,
    "jitter": jitter,
    "corrupt": corrupt,
    "crop_resize": crop_resize,
    "centre_crop": centre_crop,
    "resize": whole_resized,
    "segments": segments,
    "first": first_frames,
    "stride": stride,
    "tail_mask": tail_mask,
    "joint_mask": joint_mask,
    "jigsaw": jigsaw,
    "colours": leave,
    "repeat": leave,  # as long as nothing is filled up
}
COORDINATES_ONLY = {
    "shear",
    "rotate",
    "tilt",
    "yaw",
    "scale",
    "bone_length",
    "noise",
    "jitter",
    "blur",
    "mask",
    "corrupt",
}


def walk(x, steps, drawn, layout, length=None):
    """One clip and how many frames are its own, before every step and after the last; drawn: one row for each step."""
    length = x.shape[1] if length is None else length
    x = x.astype(np.float64)
    x[:, length:] = 0
    found = [(x, length)]
    for step, params in zip(steps, drawn, strict=True):
        frames = step.options.get("frames", x.shape[1])
        if step.name == "reverse" and step.options["padding"] and params[0]:
            length = frames
        many = frames if step.name in ("noise", "jitter") else length  # their numbers belong to places
        own, rest = x[:, :many], x[:0]
        if step.name in COORDINATES_ONLY:
            own, rest = np.split(own, [layout.coordinates])
        made = AUGMENTATIONS[step.name](own, params, layout, step.options)
        made = np.concatenate([made, rest]) if len(rest) else made
        length = made.shape[1] if "frames" in step.options else length
        x = np.zeros((len(made), frames, *made.shape[2:]))
        x[:, :length] = made[:, :length]
        found.append((x, length))
    return found


def view(x, steps, drawn, layout, length=None):
    """All steps on one clip; drawn: one row of parameters per step."""
    return walk(x, steps, drawn, layout, length)[-1][0]


# ---- prepare. A recording is a list of frames, a frame a list of (body id, joints (V, 3))


def as_array(recording, slots, joints=25):
    """The first rows of every frame in slots: (F, slots, V, 3)."""
    out = np.zeros((len(recording), slots, joints, 3), np.float32)
    for t, frame in enumerate(recording):
        for slot, (_, xyz) in enumerate(frame[:slots]):
            out[t, slot] = xyz
    return out


def first(recording):
    return as_array(recording, 2)


def energy(recording):
    x = as_array(recording, 4)
    energies = []
    for slot in range(4):
        seen = x[:, slot].astype(np.float64)
        seen = seen[seen.sum(axis=(1, 2)) != 0]
        energies.append(sum(seen[..., c].std() for c in range(3)) if len(seen) else 0.0)
    return x[:, sorted(range(4), key=lambda slot: -energies[slot])[:2]]


def tracked(recording):
    """The bodies of a recording: each where it begins, its points (F, V, 3) as they are seen, and how lively it is."""
    bodies = {}
    for t, frame in enumerate(frame for frame in recording if frame):
        for name in dict.fromkeys(name for name, _ in frame):
            body = bodies.setdefault(name, {"start": t, "points": []})
            body["points"].append(next(xyz for n, xyz in frame if n == name))
    for body in bodies.values():
        body["points"] = np.array(body["points"], np.float32)
        body["motion"] = body["points"].reshape(-1, 3).astype(np.float64).var(axis=0).sum()
    return list(bodies.values())


def denoise(recording):
    recording = [frame for frame in recording if frame]
    chosen = tracked(recording)
    several = len(chosen) > 1
    for body in chosen:
        body["end"] = body["start"] + len(body["points"]) - 1
    if several:
        chosen = [b for b in chosen if len(b["points"]) > 11] or chosen
        chosen = without_sprawling(chosen)
    out = np.zeros((len(recording), 2, 25, 3), np.float32)
    spans = [None, [0, 0]]
    for body in sorted(chosen, key=lambda b: -b["motion"]):
        for actor in range(2):
            span = spans[actor] or [body["start"], body["start"]]
            if min(span[1], body["end"]) - max(span[0], body["start"]) <= 0:
                out[body["start"] : body["end"] + 1, actor] = body["points"]
                spans[actor] = [min(span[0], body["start"]), max(span[1], body["end"])]
                break
    return out[out.any(axis=(1, 2, 3))] if several else out


def without_sprawling(bodies):
    for body in list(bodies):
        if len(bodies) == 1:
            break
        extent = np.ptp(body["points"], axis=1).astype(np.float64)
        clean = extent[:, 0] <= 0.8 * extent[:, 1]
        if (~clean).mean() >= 0.69754:
            bodies = [b for b in bodies if b is not body]
        elif not clean.all():
            points = body["points"][clean].reshape(-1, 3).astype(np.float64)
            body["motion"] = min(body["motion"], points.var(axis=0).sum())
    return bodies


POLICIES = {"first": first, "energy": energy, "denoise": denoise}


def resize(x, frames):
    """(L, ...) to (frames, ...), linear between the centres of frames."""
    u = np.clip((np.arange(frames) + 0.5) * len(x) / frames - 0.5, 0, len(x) - 1)
    early = np.floor(u).astype(int)
    late = np.minimum(early + 1, len(x) - 1)
    weight = (u - early).reshape(-1, *[1] * (x.ndim - 1))
    return (x[early] * (1 - weight) + x[late] * weight).astype(np.float32)


def turn(x):
    """x (T, V, 3), one body: turned about y, frame by frame, by the arccos of the shoulder line's share of x."""
    line = x[:, 8] - x[:, 4]
    line[:, 1] = 0
    phi = np.arccos(line[:, 0] / (np.linalg.norm(line, axis=1) + 1e-4))
    phi = -phi if line[:, 2].sum() >= 0 else phi
    out = np.empty_like(x)
    for t, angle in enumerate(phi):
        c, s = np.cos(angle), np.sin(angle)
        out[t] = x[t] @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]]).T
    return out


def prepare(recording, settings):
    """One clip (3, T, V, 2) in float64 and its length."""
    return prepare_bodies(POLICIES[settings.bodies](recording), settings)


def prepare_bodies(x, settings):
    """The same of bodies (F, 2, V, 3) that were chosen by the rule of the settings."""
    if settings.longest is not None and len(x) > settings.longest:
        start = (len(x) - settings.longest) // 2
        x = x[start : start + settings.longest]
    looked_at = x[:, :1] if settings.bodies == "first" else x  # as AimCLR, or as CTR-GCN's feeder
    seen = np.flatnonzero(np.abs(looked_at).sum(axis=(1, 2, 3)))
    length = 0 if not len(seen) else len(seen) if settings.length == "count" else int(seen[-1]) + 1
    if length == 0:
        return np.zeros((3, settings.frames, 25, 2)), 0
    if settings.centre:
        x = x - x[:, :, 20:21]
    x = resize(x[:length], settings.frames)
    if settings.turn:
        x = np.stack([turn(x[:, m].astype(np.float64)) for m in range(2)], axis=1)
    return x.transpose(3, 0, 2, 1), length


def ragged_parts(recordings):
    """The store's arrays of some recordings: joints, row_frame, row_body, clip_offset, clip_frames."""
    rows = [[(t, *row) for t, frame in enumerate(r) for row in frame] for r in recordings]
    flat = [row for some in rows for row in some]
    joints = np.array([xyz for _, _, xyz in flat], np.float32).reshape(-1, 25, 3)
    frame, body = (np.array([row[i] for row in flat], np.int64) for i in (0, 1))
    offset = np.cumsum([0] + [len(some) for some in rows])
    return joints, frame, body, offset.astype(np.int64), np.array([len(r) for r in recordings], np.int64)


# ---- text parsers: the same files accepted, the same values; None for what is refused

BLANKS = b" \t\r"
WHOLE = re.compile(rb"[+-]?[0-9]+")
NUMBER = re.compile(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def whole(word, least=-(2**63) + 1):
    """A 64-bit integer, or None."""
    if not WHOLE.fullmatch(word):
        return None
    digits = word.lstrip(b"+-").lstrip(b"0") or b"0"
    if len(digits) > 19:  # Python takes no integers of more than 4,300 digits
        return None
    value = int(digits) * (-1 if word.startswith(b"-") else 1)
    return value if least <= value < 2**63 else None


def metres(word):
    """A finite float32, or None."""
    if not NUMBER.fullmatch(word):
        return None
    value = float(word)  # from half-way between the largest float32 and the next power of two on it is infinite
    return np.float32(value) if abs(value) < 2.0**128 - 2.0**103 else None


def text_lines(data):
    """The words of every line that has any."""
    return [words for line in data.split(b"\n") if (words := re.split(rb"[ \t\r]+", line.strip(BLANKS))) != [b""]]


def parse_ntu(data):
    """A `.skeleton` file: (frames, joints (R, 25, 3), row_frame, row_body)."""
    lines = iter(text_lines(data))
    width, last = None, None

    def count(words):
        return whole(words[0], 0) if words is not None and len(words) == 1 else None

    frames = count(next(lines, None))
    if frames is None:
        return None
    joints, row_frame, row_body = [], [], []
    for frame in range(frames):
        bodies = count(next(lines, None))
        if bodies is None:
            return None
        last = None
        for _ in range(bodies):
            head = next(lines, None)
            body = None if head is None else whole(head[0])
            if body is None or count(next(lines, None)) != 25:
                return None
            for _ in range(25):
                last = next(lines, None)
                if last is None or len(last) < 3:
                    return None
                width = width or len(last)
                xyz = [metres(word) for word in last[:3]]
                if None in xyz:
                    return None
                joints.append(xyz)
            row_frame.append(frame)
            row_body.append(body)
    if next(lines, None) is not None:
        return None
    # A line without an end and with fewer fields than the first one was cut.
    if last is not None and b"\n" not in data[len(data.rstrip(BLANKS + b"\n")) :] and len(last) < width:
        return None
    return frames, np.array(joints, np.float32).reshape(-1, 25, 3), row_frame, row_body


def parse_pku(data):
    """A PKU-MMD sequence: (frames, 150)."""
    lines = text_lines(data)
    rows = [[metres(word) for word in words] for words in lines]
    if not rows or any(len(row) != 150 or None in row for row in rows):
        return None
    return np.array(rows, np.float32)
