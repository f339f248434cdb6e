"""Frames of any form fitted to a layout, as whole recordings are, some at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.recordings.poses.base import Poses
from skelpipe.recordings.poses.fitting import Fitted, fitted
from skelpipe.recordings.poses.live.base import Form, Frame, Unit
from skelpipe.recordings.poses.live.places import Placed, Places
from skelpipe.recordings.poses.stated import Stated

ASKED = 64  # frames with somebody, of which most must contradict what is stated for it to be told


class Fitter:
    """Fits frames to a layout, and tells once what is to be told.

    Attributes:
        told: what was understood where it may mean something else, in words.
    """

    def __init__(self, layout: Layout, stated: Stated, where: str, told: list[str]) -> None:
        self.layout, self.stated, self.where, self.told = layout, stated, where, told
        self.places = Places(where, told)
        self._number = 0
        self._scored = False
        self._asked, self._against = 0, Counter[str]()
        self._nobody = np.zeros((0, len(layout.joints), layout.channels), np.float32), np.zeros(0, np.int64)

    def frames(self, form: Form, units: Sequence[Unit]) -> Iterator[Frame]:
        """The frames of units, in order.

        Raises:
            BadInput: one is damaged, or does not fit the layout; names its line, after all before it were given.
        """
        for _, some in groupby(units, key=lambda unit: unit.kind):
            yield from self._some(form, list(some))

    def _some(self, form: Form, units: list[Unit]) -> Iterator[Frame]:
        try:
            numbers, poses = form.poses(units)
            made = self._fitted(poses)
        except BadInput as error:
            if len(units) == 1:
                where = form.at(units[0].line) if error.where == self.where else error.where
                raise BadInput(where, error.what, error.remedy) from None
            for unit in units:  # those before the damaged one are whole
                yield from self._some(form, [unit])
            return
        lines = [form.at(unit.line) for unit in units] if len(units) == len(numbers) else []
        yield from self._placed(numbers, made, lines)

    def of(self, poses: Poses) -> Iterator[Frame]:
        """The frames of poses that have no numbers of their own.

        Raises:
            BadInput: they do not fit the layout.
        """
        yield from self._placed([None] * poses.frames, self._fitted(poses), [])

    def _placed(self, numbers: Sequence[float | None], made: Fitted, lines: Sequence[str]) -> Iterator[Frame]:
        """The frames of fitted rows, with those between them in which nobody is."""
        bounds = np.searchsorted(made.row_frame, np.arange(len(numbers) + 1)).tolist()
        for n, number in enumerate(numbers):
            rows = slice(bounds[n], bounds[n + 1])
            try:
                placed = self.places.add(number, (made.joints[rows], made.row_body[rows]))
            except BadInput as error:
                raise BadInput(lines[n] if lines else self.where, error.what, error.remedy) from None
            yield from self._given(placed)

    def end(self) -> Iterator[Frame]:
        """What was held back."""
        yield from self._given(self.places.end())
        self._judge(1)

    def _given(self, placed: Placed) -> Iterator[Frame]:
        for place, (joints, body) in placed:
            while self._number < place:
                yield Frame(self._number, *self._nobody)
                self._number += 1
            yield Frame(place, joints, body)
            self._number += 1

    def _fitted(self, poses: Poses) -> Fitted:
        against: list[str] = []
        made = fitted(self._with_scores(poses), self.layout, self.stated, self.where, against)
        for said in made.told:
            if said not in self.told:
                self.told.append(said)
        if self._asked < ASKED:
            frames = len(np.unique(made.row_frame))
            self._asked += frames
            self._against.update(dict.fromkeys(against, frames))
            self._judge(ASKED)
        return made

    def _judge(self, least: int) -> None:
        """Tell what most of the first frames have against what is stated."""
        if self._asked >= least:
            self.told += [said for said, frames in self._against.items() if 2 * frames > self._asked]
            self._against.clear()

    def _with_scores(self, poses: Poses) -> Poses:
        """Confidences that stood behind earlier coordinates stand there, too, if all are 0 or there are none."""
        points, behind = poses.points, poses.points.shape[2] == self.layout.coordinates + 1
        if poses.scores is None and self._scored and behind and not points[..., -1].any():
            return replace(poses, points=points[..., :-1], scores=points[..., -1])
        if poses.scores is None and self._scored and not behind:
            return replace(poses, scores=np.full(points.shape[:2], np.nan))
        self._scored |= bool(poses.scores is not None or (behind and points[..., -1].any()))
        return poses
