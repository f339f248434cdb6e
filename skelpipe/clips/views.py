"""Views: ordered lists of augmentations, rendered straight from the clips in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from skelpipe.clips.augment import AUGMENTATIONS
from skelpipe.clips.augment.base import (
    Batch,
    Brought,
    Extent,
    Lengths,
    Moves,
    Numbers,
    Shape,
    Targets,
    count_uniforms,
)
from skelpipe.clips.augment.flip import flip_joints
from skelpipe.clips.augment.linear import transform
from skelpipe.clips.augment.steps import Step, build_step
from skelpipe.clips.gather import Source, check_source, clear_padding, find_extent, gather, resample
from skelpipe.clips.philox import uniforms
from skelpipe.clips.streams import check_stream, stream_slice
from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.parallel import map_slices
from skelpipe.recordings.native import Native

# So many clips pass through all steps together: few enough to stay in a core's cache, enough to hide the calls.
CLIPS_AT_A_TIME = 12

NORMAL = ("crop", "shear")
EXTREME = ("crop", "shear", "flip", "rotate", "noise", "blur", "mask")
VIEWS = {"normal": NORMAL, "extreme": EXTREME}


class Plan(NamedTuple):
    """What a view renders: clips (C, T', V, M), whether some of T' may be filled up, and targets (shapes without B)."""

    shape: Shape
    padded: bool
    targets: Brought


class Rendered(NamedTuple):
    """A batch of a view.

    Attributes:
        clips: (B, C, T', V, M) float32.
        lengths: (B,) how many frames from the start are the clip's own; None if all are.
        targets: what the steps brought, each (B, ...).
    """

    clips: Batch
    lengths: Lengths | None
    targets: Targets


@dataclass(frozen=True)
class View:
    """Augmentations in the order they are applied; an empty one leaves clips as they are."""

    steps: tuple[Step, ...]

    @property
    def random(self) -> bool:
        """Whether anything is drawn; without, a clip looks the same for every seed and epoch."""
        return any(count_uniforms(step.augmentation, step.options) for step in self.steps)

    @property
    def targets(self) -> list[str]:
        """The names of all targets that its steps bring."""
        return [name for step in self.steps for name in step.augmentation.targets((1, 1, 1, 1), step.options)]

    @property
    def evens(self) -> bool:
        """Whether it takes clips of their own lengths: its first step makes as many frames of each."""
        return bool(self.steps) and self.steps[0].augmentation.sampling is not None

    def frames(self, frames: int) -> int:
        """T', how many frames it renders of a clip of T."""
        made = [int(s.options["frames"]) for s in self.steps if s.augmentation.sampling is not None]
        return made[-1] if made else frames

    def plan(
        self, source: Source, layout: Layout, valid: npt.NDArray[np.integer] | None = None, name: str = "view"
    ) -> Plan:
        """What it renders of such clips.

        Args:
            name: what is told of it, where it cannot.

        Raises:
            BadInput: it cannot: clips of their own lengths need a step that makes as many frames of each, first; or an
                option asks for more than the layout has.
        """
        self.check_start(source, name)
        begin = find_extent(source, np.empty(0, np.int64), layout, valid)
        extents = self.extents(self.draws(0, 0, np.empty(0, np.int64), 0, begin), begin)
        return Plan(extents[-1].shape, extents[-1].padded, self.brings(extents))

    def draws(
        self, seed: int, epoch: int, clip_ids: npt.NDArray[np.integer], view_index: int, extent: Extent
    ) -> list[Numbers]:
        """Draw the parameters of every step, each (B, P), for clips of an extent; all its randomness."""
        drawn = []
        for slot, step in enumerate(self.steps):
            u = uniforms(seed, epoch, clip_ids, view_index, slot, count_uniforms(step.augmentation, step.options))
            drawn.append(step.augmentation.draw(u, extent, step.options))
            extent = step.after(drawn[-1], extent)
        return drawn

    def extents(self, drawn: Sequence[Numbers], extent: Extent) -> list[Extent]:
        """What every step finds, and, last, what there is at the end."""
        found = [extent]
        for step, params in zip(self.steps, drawn, strict=True):
            found.append(step.after(params, found[-1]))
        return found

    def apply(
        self,
        x: Batch,
        drawn: Sequence[Numbers],
        extents: Sequence[Extent],
        out: Batch | None = None,
        targets: Targets | None = None,
    ) -> Batch:
        """Change a batch (B, C, T, V, M) by parameters from `draws`: in place, unless the number of frames changes.

        Args:
            extents: as of `extents`, of these clips.
            out: (B, C, T', V, M) to write into where the number of frames changes; None makes a new array.
            targets: to fill; None where they are not wanted.
        """
        for at, (step, params) in enumerate(zip(self.steps, drawn, strict=True)):
            augmentation, extent, after = step.augmentation, extents[at], extents[at + 1]
            if augmentation.sampling is not None:
                last = all(later.augmentation.sampling is None for later in self.steps[at + 1 :])
                to = out if out is not None and last else np.empty((len(x), *after.shape), np.float32)
                resample(x, np.arange(len(x)), augmentation.sampling.positions(params, extent, step.options), to)
                x = to
                continue
            if targets and augmentation.bring is not None and step.brings(extent):
                augmentation.bring(x, params, extent, step.options, targets)
            augmentation.apply(x, params, extent, step.options)
            if after.cleared:
                clear_padding(x.reshape(*x.shape[:3], -1), after.lengths)
        return x

    def render(
        self,
        clips: npt.NDArray[Any],
        seed: int,
        epoch: int,
        clip_ids: npt.NDArray[np.integer],
        view_index: int,
        layout: Layout,
        out: Batch | None = None,
        threads: int | None = None,
    ) -> Batch:
        """Augment a whole batch (B, C, T, V, M), float32 or float16: `render_view` without gather and stream."""
        rows = np.arange(len(clips))
        return render_view(clips, rows, clip_ids, self, "joint", layout, seed, epoch, view_index, out, threads).clips

    def check_start(self, source: Source, name: str = "view") -> None:
        """Raise BadInput if clips keep their own lengths and the first step does not make as many frames of each."""
        if isinstance(source, Native) and not self.evens:
            made = [each for each, augmentation in AUGMENTATIONS.items() if augmentation.sampling is not None]
            found = f"begins with {self.steps[0].name}" if self.steps else "has no steps"
            raise BadInput(
                name, f"{found}, but the clips have lengths of their own", f"begin it with {' or '.join(made)}"
            )

    def brings(self, extents: Sequence[Extent]) -> Brought:
        """The targets of all steps, as `Step.brings`; extents as of `extents`."""
        brought: dict[str, Any] = {}
        for step, extent in zip(self.steps, extents, strict=False):
            if step.augmentation.bring is not None:
                brought.update(step.brings(extent))
        return brought


def build_view(plain: str | Sequence[str | Mapping[str, Mapping[str, Any] | Sequence[Any] | None]]) -> View:
    """Make a view from a recipe's "normal", "extreme", or list such as ["crop", {"shear": {"amplitude": 1}}].

    Raises:
        BadInput: an augmentation or option is unknown (the nearest is named), or a value does not fit.
    """
    if isinstance(plain, str):
        if plain not in VIEWS:
            raise BadInput(
                "view", f"{plain!r} is not a named view", f"use {' or '.join(VIEWS)}, or a list of augmentations"
            )
        plain = VIEWS[plain]
    view = View(tuple(build_step(item) for item in plain))
    for name in view.targets:
        if view.targets.count(name) > 1:
            raise BadInput("view", f"two steps bring the target {name!r}", "make another view for one of them")
    return view


def render_view(
    source: Source,
    rows: npt.NDArray[np.integer],
    clip_ids: npt.NDArray[np.integer],
    view: View,
    stream: str,
    layout: Layout,
    seed: int,
    epoch: int,
    view_index: int,
    out: Batch | None = None,
    threads: int | None = None,
    valid: npt.NDArray[np.integer] | None = None,
    targets: Targets | None = None,
) -> Rendered:
    """Gather clips, augment them and compute their stream, in one pass.

    Args:
        source: (N, C, T, V, M), C-contiguous, or clips of their own lengths; float32 or float16; finite.
        rows: (B,) which clips of `source`.
        clip_ids: (B,) the numbers that the clips' random choices hang on, in 0..2**32 - 1.
        view_index: which copy this is (query 0, key 1, ...).
        out: (B, C, T', V, M) float32 to write into; None makes a new array.
        valid: (N,) how many frames from the start are a clip's own; what is behind counts as zeros. None: all are.
        targets: arrays to write the targets into, by name; None makes new ones.

    Raises:
        BadInput: the stream is unknown, a number does not fit 32 bits, the view does not fit the clips.
        ValueError: arrays do not fit each other.
    """
    check_stream(stream)
    index = np.asarray(rows, np.int64)
    clip_ids = np.asarray(clip_ids)
    check_source(source, index, clip_ids, layout, valid)
    view.check_start(source)
    begin = find_extent(source, index, layout, valid)
    drawn = view.draws(seed, epoch, clip_ids, view_index, begin)
    extents = view.extents(drawn, begin)
    end = extents[-1]
    out = _room("out", out, (len(index), *end.shape), "float32")
    targets = {
        name: _room(name, None if targets is None else targets[name], (len(index), *shape), dtype)
        for name, (shape, dtype) in view.brings(extents).items()
    }
    rendering = _Rendering(source, index, view, stream, drawn, extents, out, targets)
    map_slices(rendering.render, len(index), threads)
    return Rendered(out, end.lengths if end.padded else None, targets)


def _room(name: str, given: npt.NDArray[Any] | None, shape: Shape, dtype: str) -> npt.NDArray[Any]:
    array = np.empty(shape, dtype) if given is None else given
    if array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous:
        raise ValueError(f"{name} must be a C-contiguous {dtype} array {shape}")
    return array


class _Rendering:
    """The steps of `render_view` for any slice of its batch."""

    def __init__(
        self,
        source: Source,
        rows: Lengths,
        view: View,
        stream: str,
        drawn: list[Numbers],
        extents: list[Extent],
        out: Batch,
        targets: Targets,
    ) -> None:
        self.source, self.rows, self.view, self.stream = source, rows, view, stream
        self.extents, self.out, self.targets = extents, out, targets
        # Made of other frames straight from the source, if the view begins with that.
        first = view.steps[0].augmentation.sampling if view.steps else None
        self.places = None if first is None else first.positions(drawn[0], extents[0], view.steps[0].options)
        self.moves, done = moves_of(view, drawn, extents, 0 if self.places is None else 1)
        self.rest, self.drawn, self.found = View(view.steps[done:]), drawn[done:], extents[done:]
        shifts = self.moves.shifts
        self.shifts = np.zeros(len(rows), np.int64) if shifts is None else shifts
        self.layout, self.padded = extents[0].layout, any(extent.padded for extent in extents)
        self.whole: dict[int, list[Extent]] = {}
        self.in_place = all(step.augmentation.sampling is None for step in self.rest.steps)
        # Most views change clips in place and bring nothing: then that is all there is to do.
        steps = zip(self.rest.steps, self.drawn, strict=True)
        plain = [(step.augmentation.apply, params, step.options) for step, params in steps]
        self.plain = plain if self.in_place and not self.padded and not targets else None
        self.brought = [
            (self.targets["clip"], extent)
            for step, extent in zip(view.steps, extents, strict=False)
            if targets and "clip" in step.brings(extent)
        ]

    def render(self, start: int, stop: int) -> None:
        """Write clips start..stop - 1 of the batch."""
        if self.plain is not None and self.places is None and isinstance(self.source, np.ndarray):
            self.render_plain(self.source, start, stop)
            return
        for a in range(start, stop, CLIPS_AT_A_TIME):
            some = slice(a, min(a + CLIPS_AT_A_TIME, stop))
            found = self.of(some)
            out, moves = self.out[some], self.moves
            x = out if self.in_place else np.empty((len(out), *found[0].shape), np.float32)
            if self.places is None:
                self.gather(x, some, found[0])
            else:
                resample(self.source, self.rows[some], self.places[some], x)
                if moves.matrices is not None:
                    transform(x, moves.matrices[some])
            if moves.flips is not None:
                flip_joints(x, moves.flips[some], self.layout)
            targets = {name: values[some] for name, values in self.targets.items()}
            self.rest.apply(x, [params[some] for params in self.drawn], found, out, targets)
            self.compute_stream(out, found[-1])
            for clips, extent in self.brought:
                self.compute_stream(clips[some], extent.of(some))

    def render_plain(self, source: npt.NDArray[Any], start: int, stop: int) -> None:
        """The same for whole clips that are changed in place, with nothing looked up again for every few of them."""
        rows, shifts, (_, flips, matrices), plain = self.rows, self.shifts, self.moves, self.plain or ()
        for a in range(start, stop, CLIPS_AT_A_TIME):
            some = slice(a, min(a + CLIPS_AT_A_TIME, stop))
            x = self.out[some]
            gather(source, rows[some], shifts[some], None if matrices is None else matrices[some], x)
            if flips is not None:
                flip_joints(x, flips[some], self.layout)
            for apply, params, options in plain:
                apply(x, params[some], self.of(some)[0], options)
            stream_slice(x, self.stream, self.layout, x)

    def of(self, some: slice) -> list[Extent]:
        """What the rest of the steps find of some clips; where none is filled up, of any as many."""
        if self.padded:
            return [extent.of(some) for extent in self.found]
        count = some.stop - some.start
        if count not in self.whole:
            self.whole[count] = [extent.of(slice(count)) for extent in self.found]
        return self.whole[count]

    def gather(self, x: Batch, some: slice, extent: Extent) -> None:
        """Fill x (B, C, T, V, M) with clips of one length."""
        assert not isinstance(self.source, Native)
        turns = None if self.moves.matrices is None else self.moves.matrices[some]
        gather(self.source, self.rows[some], self.shifts[some], turns, x)
        if extent.cleared:
            clear_padding(x.reshape(*x.shape[:3], -1), extent.lengths)

    def compute_stream(self, x: Batch, extent: Extent) -> None:
        stream_slice(x, self.stream, self.layout, x, extent.lengths if extent.cleared else None)


def moves_of(view: View, drawn: Sequence[Numbers], extents: Sequence[Extent], begin: int) -> tuple[Moves, int]:
    """The moves of the view's steps from `begin` on, and the first step that is not among them.

    A crop is one of them if the clips are read whole, and only the first.
    """
    moves = Moves()
    for count, (step, params) in enumerate(zip(view.steps[begin:], drawn[begin:], strict=True), begin):
        cropped = begin > 0 or extents[count].padded or moves.shifts is not None
        if step.augmentation.move is None or (step.name == "crop" and cropped):
            return moves, count
        moves = step.augmentation.move(moves, params, extents[count], step.options)
    return moves, len(view.steps)
