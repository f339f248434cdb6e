"""Frames one after the other: out of a pipe, a file or a folder that grows, or a recording that is too long to hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from skelpipe.errors import BadInput, shortened
from skelpipe.layouts.base import Layout
from skelpipe.recordings.poses.formats.table import cells_of, is_heading, separator_of
from skelpipe.recordings.poses.formats.text import LINE
from skelpipe.recordings.poses.live.array import frames_in, is_array
from skelpipe.recordings.poses.live.base import READABLE, EndsEarly, Form, Frame, Unit
from skelpipe.recordings.poses.live.fitter import Fitter
from skelpipe.recordings.poses.live.folder import frames_in_folder
from skelpipe.recordings.poses.live.numbers import NumberLines
from skelpipe.recordings.poses.live.people import JsonLines
from skelpipe.recordings.poses.live.skeleton import SkeletonText
from skelpipe.recordings.poses.live.sources import Bytes, Lines, where_of
from skelpipe.recordings.poses.live.table import TableLines
from skelpipe.recordings.poses.stated import Stated

__all__ = ["EndsEarly", "Frame", "Frames", "frames_of"]

COUNT = re.compile(r"\s*\d{1,18}\s*$", re.ASCII)  # alone in the first line of .skeleton text
FRACTION = re.compile(r"\s*-?\d+\.\d+\s*", re.ASCII)
MOST_COLUMNS = 1 << 13
JSON = re.compile(r"\s*(?:\[|\{|null\s*$)")


class Frames(Iterator[Frame]):
    """Frames in order, each as soon as it is whole.

    Attributes:
        told: what was understood where it may mean something else, in words, each once; grows while frames are read.
    """

    def __init__(self, frames: Iterator[Frame], told: list[str]) -> None:
        self._frames, self.told = frames, told

    def __next__(self) -> Frame:
        return next(self._frames)


def frames_of(
    source: Path | BinaryIO,
    layout: Layout,
    stated: Stated,
    *,
    follow: bool = False,
    patience: float | None = None,
) -> Frames:
    """Read a recording frame by frame, in memory that does not grow with it.

    It may be lines of numbers, JSON with a frame a line, the text of a .skeleton, a CSV with a heading whose frames
    ascend, a folder of a file a frame (OpenPose, MMPose, YOLO), or an array in a .npy.

    Args:
        source: a file, a folder, a named pipe, or a stream of bytes such as `sys.stdin.buffer`.
        layout: whose joints they are.
        stated: of the recording.
        follow: wait at the end of a file or a folder for what is written to it. A pipe is read until it is closed.
        patience: seconds without anything new after which a file or folder that is followed has ended; None never ends.

    Returns:
        Frames (joints (R, V, C) float32 as `fitting.fitted` makes them). A frame is given as soon as it is known to be
        whole: with the end of its last line, or, where only the next tells that it was the last, with that.

    Raises:
        EndsEarly: once all whole frames were given, if the source ends within one or before the last it speaks of.
        BadInput: no such source; or what is damaged, or no frame of this layout, after all frames before it were given.
    """
    stated.check(layout)
    told: list[str] = []
    return Frames(_frames(source, Fitter(layout, stated, where_of(source), told), follow, patience), told)


def _frames(source: Path | BinaryIO, fitter: Fitter, follow: bool, patience: float | None) -> Iterator[Frame]:
    try:
        if isinstance(source, Path) and source.is_dir():
            yield from frames_in_folder(source, fitter, follow, patience)
        elif isinstance(source, Path) and source.is_file() and is_array(source):
            if follow:
                raise BadInput(source, "is an array in a .npy, which does not grow", "leave out that it is followed")
            yield from frames_in(source, fitter)
        else:
            with Bytes(source, follow, patience) as opened:
                yield from _of_lines(Lines(opened), fitter, follow)
        yield from fitter.end()
        if not fitter.places.next:
            raise BadInput(fitter.where, "holds no frames", READABLE)
    except BadInput:
        yield from fitter.end()  # what was held back is whole
        raise


def _of_lines(lines: Lines, fitter: Fitter, follow: bool) -> Iterator[Frame]:
    form: Form | None = None
    for batch in lines.batches():
        units: list[Unit] = []
        damage: BadInput | None = None
        try:
            for number, text in batch:
                if form is None and (form := _form(text, number, fitter, lines.rests)) is None:
                    continue
                units += form.take(number, text)
        except BadInput as error:
            damage = error
        if form is not None:
            yield from fitter.frames(form, units)
        if damage is not None:
            raise damage
        if follow and form is not None and form.done():
            break
    number = lines.number + 1
    form = form or _form(lines.cut, number, fitter, lines.rests)
    if form is None:
        raise BadInput(lines.where, "is empty", READABLE)
    last, early = form.end(number, lines.cut, follow)
    yield from fitter.frames(form, last)
    yield from fitter.end()
    if early:
        raise EndsEarly(lines.where, early.format(fitter.places.next), "its frames before that are whole")


def _form(text: str, number: int, fitter: Fitter, rests: bool) -> Form | None:
    """The form of a text that begins with a line; None if the line is empty or a comment.

    Raises:
        BadInput: it is of none that is read a frame at a time.
    """
    if not text.strip() or text.startswith("#"):
        return None
    made: Callable[[Layout, str], Form]
    mark = separator_of(text)
    if JSON.match(text):
        return JsonLines(fitter.layout, fitter.where, rests)
    if COUNT.match(text):
        made = SkeletonText
    elif LINE.match(text):
        made = NumberLines
    elif mark is not None and _is_heading(cells_of(text.strip(), mark)):
        made = TableLines
    else:
        what = f"begins with {shortened(text.strip(), 60)!r}, no frames that can be read one after the other"
        raise BadInput(f"{fitter.where}, line {number}", what, READABLE)
    return made(fitter.layout, fitter.where)


def _is_heading(cells: list[str]) -> bool:
    """Whether cells are names of columns of poses, and not the numbers of a damaged line."""
    if len(cells) > MOST_COLUMNS or 2 * sum(FRACTION.fullmatch(cell) is not None for cell in cells) > len(cells):
        return False
    return is_heading(cells)
