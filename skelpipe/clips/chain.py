"""Preparations other than today's: the chain of steps, clip by clip."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.clips.presets import Preparation
from skelpipe.clips.ragged import Floats, Ragged, bodies_seen, check_rows
from skelpipe.clips.steps import STEPS, axes, check_fits
from skelpipe.clips.time import count_frames, lay_out
from skelpipe.layouts.base import Layout
from skelpipe.parallel import map_slices

Counts = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Prepared:
    """Clips in memory.

    Attributes:
        values: (N, C, T, V, M) float32, metres; of clips of their own lengths their frames (sum of valid, C, V, M).
        length: (N,) frames of the recording that were used, 0 where nobody was seen: such a clip is all zeros.
        valid: (N,) frames of the clip, from its start, that are its own; at least 1.
        kept: (N,) frames that the choice of bodies left.
        cut: (N,) whether the recording had more frames than the clip may have.
    """

    values: Floats
    length: Counts
    valid: Counts
    kept: Counts
    cut: npt.NDArray[np.bool_]


class Chain:
    """A preparation for one layout.

    Args:
        relative: whether bodies are told from one of their joints, which then lies in the origin and is not lost.

    Attributes:
        bodies: M.
        fills: whether clips are filled up to T, so that `valid` is to be told.
    """

    def __init__(self, preparation: Preparation, layout: Layout, *, relative: bool = False) -> None:
        check_fits(preparation.steps, layout)
        self.preparation, self.layout = preparation, layout
        bound = [(kind, STEPS[kind][choice]) for kind, choice in preparation.steps]
        self.time = next(step for kind, step in bound if kind == "time")
        policy = next(step for kind, step in bound if kind == "bodies")
        self.bodies, self.fills = policy.bodies, self.time.fills and preparation.frames is not None
        self._bodies_seen = bodies_seen(preparation.choice("bodies"), self.bodies)
        # What neither chooses bodies nor does nothing: (whether it is the step in time, kernel, arguments).
        self._policy = policy.kernel
        self._steps = [
            (kind == "time", (relative and step.relative) or step.kernel, step.arguments(layout))
            for kind, step in bound
            if kind != "bodies" and step.kernel is not None and (kind != "time" or self._in_time())
        ]

    def _in_time(self) -> bool:
        """Whether the step in time is taken: native clips are only filled by repetition, to their own length."""
        return self.preparation.frames is not None or self.preparation.choice("time") == "repeat"

    @property
    def tail(self) -> tuple[int, int, int]:
        """C, V and M."""
        return self.layout.channels, len(self.layout.joints), self.bodies

    def run(self, ragged: Ragged, threads: int | None = None) -> Prepared:
        """Prepare recordings in memory.

        Raises:
            BadInput: the rows contradict each other.
        """
        check_rows(ragged, self.layout)
        count, frames = len(ragged.clip_frames), self.preparation.frames
        channels, joints, bodies = self.tail
        starts = np.concatenate([[0], np.cumsum(np.maximum(ragged.clip_frames, 1))])
        shape = (count, channels, frames) if frames is not None else (int(starts[-1]), channels)
        made = Prepared(
            np.zeros((*shape, joints, bodies), np.float32),
            np.zeros(count, np.int32),
            np.ones(count, np.int32),
            np.zeros(count, np.int32),
            np.zeros(count, np.bool_),
        )
        map_slices(partial(self._slice, ragged, made, starts), count, threads)
        if frames is not None:
            return made
        own = np.arange(len(made.values)) - np.repeat(starts[:-1], np.diff(starts)) < np.repeat(
            made.valid, np.diff(starts)
        )
        values = made.values if own.all() else made.values[own]
        return Prepared(values, made.length, made.valid, made.kept, made.cut)

    def _slice(self, ragged: Ragged, made: Prepared, starts: npt.NDArray[np.int64], start: int, stop: int) -> None:
        channels, joints, bodies = self.tail
        frames, most = self.preparation.frames, int(ragged.clip_frames[start:stop].max(initial=1))
        room = np.empty((2, max(most, frames or 0), bodies, joints, channels), np.float32)
        for n in range(start, stop):
            x = self._recording(ragged, n, room[0], made)
            recorded = len(x)
            if recorded == 0:
                continue
            made.valid[n] = frames or recorded
            for in_time, kernel, arguments in self._steps:
                if in_time:
                    out = room[1, : frames or len(x)]
                    out[...] = 0
                    recorded = len(x)
                    made.valid[n] = kernel(x, *arguments, out)
                    x = out
                else:
                    x = x[: kernel(x, *arguments)]
                if len(x) == 0:
                    break
            self._put(made, n, x, recorded, int(starts[n]))

    def _put(self, made: Prepared, n: int, x: Any, recorded: int, start: int) -> None:
        """Write a clip to its place."""
        if len(x) == 0:
            made.valid[n] = 1
            return
        frames = self.preparation.frames
        if frames is None:
            made.valid[n] = made.length[n] = len(x)
            lay_out(x, made.values[start : start + len(x)].swapaxes(0, 1))
            return
        made.cut[n] = recorded > frames and not self.time.resamples
        made.length[n] = recorded if self.time.resamples else min(recorded, frames)
        lay_out(x, made.values[n])

    def _recording(self, ragged: Ragged, n: int, room: Any, made: Prepared) -> Any:
        """The bodies of one recording, as many frames as are used, (F, M, V, C)."""
        rows = ragged.rows(n)
        x = room[: ragged.clip_frames[n]]
        x[...] = 0
        points, frame, body = ragged.joints[rows], ragged.row_frame[rows], ragged.row_body[rows]
        made.kept[n] = kept = self._policy(points, frame, body, axes(self.layout), x)
        longest, rule = self.preparation.longest, self.preparation.length
        start = max(0, kept - longest) // 2 if longest else 0
        x = x[start : start + min(kept, longest or kept)]
        seen = count_frames(x, rule == "last", self._bodies_seen)
        return x if rule == "all" and seen else x[:seen]
