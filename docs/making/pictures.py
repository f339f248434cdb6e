"""The pictures of the generated pages, made of a synthetic person by the code that they are of."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from making.reading import clean
from skelpipe.clips.augment import AUGMENTATIONS
from skelpipe.clips.streams import stream_slice
from skelpipe.clips.views import View, build_view, render_view
from skelpipe.encoders import ENCODERS
from skelpipe.encoders.base import build_encoder
from skelpipe.encoders.graph import PARTITIONS, adjacency
from skelpipe.layouts import LAYOUTS
from skelpipe.methods import METHODS
from skelpipe.methods.moco import MomentumContrast
from skelpipe.plots.blocks import Box, draw_blocks
from skelpipe.plots.drawings import draw_films, draw_layout, draw_partition
from skelpipe.recordings.synthetic.body import CHANNEL, draw_person, pose
from skelpipe.recordings.synthetic.motion import Timing, gesture, motion_of, ramp

Clips = npt.NDArray[np.float32]
LAYOUT = LAYOUTS["kinect_v2"]
FRAMES, ACTION = 48, 7
# Where the defaults would show nothing, or nothing that one can see in a picture so small.
SHOWN: dict[str, dict[str, Any]] = {
    **{name: {"p": 1.0} for name in ("flip", "mask", "reverse", "blur", "noise")},
    "crop_resize": {"frames": 48, "least": 16},
    "centre_crop": {"frames": 48, "share": 0.2},
    "resize": {"frames": 24},
    "stride": {"frames": 24},
    "first": {"frames": 24},
    "segments": {"frames": 8},
    "joint_mask": {"count": 2},
}
LARGER = {"noise": {"std": 0.03}, "blur": {"low": 4.0, "high": 5.0, "normalise": True}, "bone_length": {"std": 0.25}}
OWN_FRAMES = {"repeat": 30, "tail_mask": FRAMES}
COMPUTED = ("dgcnn",)  # encoders that torch cannot follow without numbers
PARTS = {
    "spatial": ("itself", "neighbours", "nearer to the centre"),
    "distance": ("itself", "neighbours"),
    "uniform": ("itself and neighbours",),
    "inward_outward": ("itself", "from the parent", "from the children"),
}


@cache
def sample() -> Clips:
    """A synthetic person who kicks, centred, in the usual form: (C, T, V, M), the second body absent."""
    rng = np.random.default_rng(5)
    person = draw_person(rng)
    u = np.linspace(0, 1, FRAMES)
    timing = Timing(ramp(u / 0.2) * ramp((1 - u) / 0.2), 2 * np.pi * 1.2 * u * FRAMES / 30, 1.0)
    angles = gesture(motion_of(ACTION, frozenset()).terms, timing, -1)
    angles[:, CHANNEL["L.elev"]] += 70 * ramp(u * 2)
    joints = pose(angles, person, (0.0, 0.0), np.pi)
    joints -= joints[:, 1:2]
    clip = np.zeros((3, FRAMES, 25, 2), np.float32)
    clip[..., 0] = joints.transpose(2, 0, 1)
    return clip


def _rendered(view: View, index: int, own: int | None = None) -> Any:
    source = sample()[None].copy()
    valid = None if own is None else np.array([own])
    if own is not None:
        source[:, :, own:] = 0
    rows = np.zeros(1, np.int64)
    return render_view(source, rows, rows, view, "joint", LAYOUT, 3, 1, index, threads=1, valid=valid)


def augmentation(name: str) -> tuple[str, str]:
    """A clip before and after, drawn twice where it is drawn at all; and with which options, as a recipe has them."""
    options = {**SHOWN.get(name, {}), **LARGER.get(name, {})}
    known = AUGMENTATIONS[name].options
    options = {key: value for key, value in options.items() if key in known}
    view = build_view([{name: options}])
    own = OWN_FRAMES.get(name)
    before = sample().copy()
    if own is not None:
        before[:, own:] = 0
    rows: list[tuple[str, Clips]] = [("a clip", before)]
    colours: list[Any] = [None]
    for index in range(2 if view.random else 1):
        made = _rendered(view, index, own)
        rows.append((f"{name}, drawn once" if index == 0 else "drawn again", made.clips[0]))
        colours.append(next((t[0] for key, t in made.targets.items() if key.endswith("colours")), None))
    if not view.random:
        rows[1] = (name, rows[1][1])
    told = ", ".join(f"{key}: {str(value).lower()}" for key, value in options.items())
    return draw_films(LAYOUT, rows, title=f"A clip before and after {name}", colours=colours), told


def view(plain: Any) -> str:
    """A clip, and two copies as a view draws them."""
    made = build_view(plain)
    rows = [("a clip", sample())]
    for index in range(2 if made.random else 1):
        clip = _rendered(made, index).clips[0]
        rows.append(("one copy" if index == 0 else "another", clip))
    return draw_films(LAYOUT, rows, title="A clip and copies of it as this view draws them")


def streams() -> str:
    """One clip in the three streams."""
    clip, made = sample(), {}
    for name in ("motion", "bone"):
        stream = clip[None].copy()
        stream_slice(stream, name, LAYOUT, stream)
        made[name] = stream[0]
    # A step leads from a joint to where it is a frame later, and a bone from a joint's parent to the joint.
    longer = 4
    moved = clip + longer * made["motion"]
    rows = [
        ("joint: where each joint is", clip),
        (f"motion: each joint's step to the next frame, {longer} times as long", moved),
        ("bone: from each joint's parent to the joint", clip),
    ]
    arrows = [None, longer * made["motion"], made["bone"]]
    return draw_films(LAYOUT, rows, title="One clip in three streams", arrows=arrows)


def layout(name: str) -> str:
    return draw_layout(LAYOUTS[name])


def partition(name: str, of: str = "kinect_v2") -> str:
    return draw_partition(LAYOUTS[of], adjacency(LAYOUTS[of], name), PARTS[name])


def partitions() -> list[str]:
    assert set(PARTS) == set(PARTITIONS)
    return list(PARTITIONS)


def encoder(name: str, frames: int = 50, bodies: int = 2) -> str:
    """The parts of an encoder in the order in which a clip passes them, with what leaves each: no number is"
    " computed."""
    kind = ENCODERS[name]
    device = "cpu" if name in COMPUTED else "meta"
    made = build_encoder(kind, LAYOUT, kind.Options(), bodies).to(device)
    x = torch.zeros(2, 3, frames, 25, bodies, device=device)
    lengths = torch.full((2,), frames, device=device) if kind.USES_LENGTHS else None
    passed: list[Box] = []
    for label, module in _parts(made):
        module.register_forward_hook(_note(passed, label))
    out = made(x, lengths) if kind.USES_LENGTHS else made(x)
    if not passed:
        passed.append(Box(type(made).__name__))
    start = Box("clip", f"{bodies} × 3 × {frames} × 25", kind="data")
    return draw_blocks([[start], *[[box] for box in passed], [Box("feature", f"{out.shape[1]}", kind="data")]], name)


def _parts(made: torch.nn.Module) -> Sequence[tuple[str, torch.nn.Module]]:
    found = []
    for name, child in made.named_children():
        if isinstance(child, torch.nn.ModuleList):
            found += [(f"{name} {place + 1}", each) for place, each in enumerate(child)]
        else:
            found.append((name, child))
    return found


def _note(passed: list[Box], label: str) -> Any:
    def hook(module: torch.nn.Module, args: Any, out: Any) -> None:
        first = out[0] if isinstance(out, tuple) else out
        shape = " × ".join(map(str, first.shape[1:])) if isinstance(first, torch.Tensor) else ""
        passed.append(Box(label.replace("_", " "), shape, note=type(module).__name__))

    return hook


def method(name: str, title: str = "", positives: str = "") -> str:
    """What a method trains: its views, its networks and its losses, from what the class says of itself.

    Args:
        title: of the system that it is with the set of `positives`.
    """
    kind = METHODS[name]
    momentum = issubclass(kind, MomentumContrast)
    apart = momentum and not kind.STREAMS and not kind.PARTNER
    ways = {view: ("key network" if view == "key" else "query network",) for view in kind.VIEWS} if apart else {}
    views = [Box(view, "view", kind="data", to=ways.get(view)) for view in kind.VIEWS]
    networks = [Box("query network" if momentum else "encoder", "projector" if kind.PROJECTS else "", kind="net")]
    if momentum:
        networks[0] = networks[0]._replace(to=kind.LOSSES)
        networks.append(Box("key network", "follows by momentum", kind="net"))
    if kind.PARTNER:
        networks.append(Box("partner", "a second encoder", kind="net"))
    if kind.STREAMS:
        networks = [Box(f"{stream} network", box.under, kind="net") for stream in kind.STREAMS for box in networks[:1]]
    last = [Box(loss, positives if positives and not at else "loss") for at, loss in enumerate(kind.LOSSES)]
    extra = [Box("queue", "past keys", kind="data")] if momentum else []
    return draw_blocks(
        [[Box("clip", kind="data")], views, networks, [*extra, *last]], title or clean(name), across=True
    )
