"""What a file of poses holds, before it is fitted to a layout; and a file that is read only as far as is asked."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput, shortened
from skelpipe.layouts import LAYOUTS
from skelpipe.layouts.base import Layout
from skelpipe.recordings.datasets.files import File

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.int64]

HEAD = 4096  # bytes by which a format is known
MOST_FRAMES = 1 << 24  # of a clip: a week of video
SPARSE = 10  # times as many frames as are seen: then the numbers are times, and not frames
SORTED = "frames out of order were sorted"
TIMES = "frame numbers are far apart and were taken for times: frames are those that are there"
APART = "frame numbers are {} apart: these frames are taken for neighbours"
AGAIN = "write the file again"


@dataclass(frozen=True)
class Poses:
    """The bodies of one clip as a file has them, a row per body per frame.

    Attributes:
        points: (R, V, C) floating; what is no number is a joint that was not seen.
        row_frame: (R,) the frame of each row, from 0, ascending.
        row_body: (R,) an id of the body of each row.
        frames: frames in the clip, those without a body included.
        scores: (R, V) confidences, where they stand beside the coordinates.
        name: of the clip, in a file of several; "" in a file of one.
        label: what the file says of its class, a number or a text.
        columns: what else the file says of the clip.
        joints: the names of the V joints, where the file has them.
        told: what was understood where it may mean something else, in words.
    """

    points: Floats
    row_frame: Ints
    row_body: Ints
    frames: int
    scores: Floats | None = None
    name: str = ""
    label: int | str | None = None
    columns: Mapping[str, int | str] = field(default_factory=dict)
    joints: tuple[str, ...] | None = None
    told: tuple[str, ...] = ()


def decoded(data: bytes, where: str, remedy: str) -> str:
    """Text in UTF-8, or in UTF-16 where its first bytes say so, as Excel writes "Unicode text".

    Raises:
        BadInput: it is none.
    """
    try:
        return data.decode(_encoding(data))
    except UnicodeDecodeError:
        raise BadInput(where, "is no text in UTF-8", remedy) from None


def _encoding(data: bytes) -> str:
    return "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"


@contextmanager
def _json_of(where: str) -> Iterator[None]:
    try:
        yield
    except RecursionError:
        raise BadInput(where, "is nested too deeply for poses", AGAIN) from None
    except ValueError as error:
        raise BadInput(where, f"is damaged JSON ({error})", AGAIN) from None


def from_json(text: str, where: str) -> Any:
    """What a text in JSON says.

    Raises:
        BadInput: it is none.
    """
    with _json_of(where):
        return json.loads(text)


class Opened:
    """A file, of which as much is read as is asked for."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.where = file.shown
        self.suffix = "." + file.shown.rpartition(".")[2].lower()

    @cached_property
    def head(self) -> bytes:
        """The first bytes."""
        return self.file.read(HEAD)

    @cached_property
    def data(self) -> bytes:
        """All of them."""
        return self.file.read()

    @cached_property
    def text(self) -> str:
        """The file as text.

        Raises:
            BadInput: it is none.
        """
        return decoded(self.data, self.where, AGAIN)

    @cached_property
    def begins(self) -> str:
        """The first characters without blanks before them; "" if these are no text."""
        head = self.head
        for end in (len(head), len(head) - 1, len(head) - 2, len(head) - 3):  # a character may be cut
            try:
                text = head[:end].decode(_encoding(head)).lstrip()
            except UnicodeDecodeError:
                continue
            return "" if "\0" in text else text
        return ""

    @cached_property
    def json(self) -> Any:
        """The file as JSON.

        Raises:
            BadInput: it is none.
        """
        text = self.text

        with _json_of(self.where):
            try:
                return json.loads(text)
            except json.JSONDecodeError as error:
                lines = [line for line in text.splitlines() if line.strip()]
                if not error.msg.startswith("Extra data") or len(lines) < 2:
                    raise
                return [json.loads(line) for line in lines]  # a frame a line


@dataclass(frozen=True)
class Format:
    """A format of files of poses.

    Attributes:
        title: what it is called, in words.
        sniff: whether a file is of it, by its content; the suffix only where the content leaves it open.
        read: its clips, for a layout; raises BadInput.
        suffixes: by which a file that is damaged is still known to be one.
        labelled: whether such a file can say what is in it: a label, or the names of several clips.
    """

    title: str
    sniff: Callable[[Opened], bool]
    read: Callable[[Opened, Layout], list[Poses]]
    suffixes: tuple[str, ...]
    labelled: bool = False


def misfit(where: str, what: str, layout: Layout, joints: int | None, channels: int | None = None) -> BadInput:
    """The error of a file whose joints are not those of the layout; names the layouts that they may be of."""
    others = [each.name for each in LAYOUTS.values() if len(each.joints) == joints and each.name != layout.name]
    if channels in (2, 3):
        others = [name for name in others if LAYOUTS[name].coordinates == channels] or others
    fit = f"layouts of {joints} joints: {', '.join(others)}" if others else "give the layout of these joints as a YAML"
    mine = f"layout {layout.name} has {len(layout.joints)} joints of {layout.coordinates} coordinates"
    return BadInput(where, f"{what}, and {mine}", fit)


def from_bodies(x: npt.NDArray[Any], scores: npt.NDArray[Any] | None = None, **more: Any) -> Poses:
    """Poses of an array (F, M, V, C), with scores (F, M, V); a body without any coordinate but zeros is absent."""
    there = (np.isfinite(x) & (x != 0)).any(axis=(2, 3))
    frame, body = np.nonzero(there)
    return Poses(
        x[frame, body],
        frame.astype(np.int64),
        body.astype(np.int64),
        len(x),
        None if scores is None else scores[frame, body],
        **more,
    )


def from_rows(
    where: str,
    numbers: Sequence[int] | Ints,
    bodies: Sequence[Any] | npt.NDArray[Any],
    points: npt.NDArray[Any],
    scores: npt.NDArray[Any] | None = None,
    *,
    seen: Sequence[int] | Ints = (),
    told: Sequence[str] = (),
    **more: Any,
) -> Poses:
    """Poses of rows of any order, each with the number of its frame and an id of its body.

    Args:
        where: the file, for messages.
        numbers: (R,) whole numbers; the lowest is the first frame, and if all others are a multiple away, the next.
        bodies: (R,) ids, numbers or texts; ids that are no numbers are counted as they come.
        points, scores: as `Poses` has them.
        seen: numbers of frames without a body, too.
        told, more: of `Poses`.

    Raises:
        BadInput: a frame has the same body twice, or a number is absurd.
    """
    rows, said = np.asarray(numbers, np.int64), list(told)
    frames = np.unique(np.concatenate([rows, np.asarray(seen, np.int64)]))
    place, step = places(frames, said)
    row_frame, row_body = place[np.searchsorted(frames, rows)], _ids(bodies)
    order = np.lexsort((row_body, row_frame))
    if len(rows) and (np.diff(row_frame) < 0).any():
        said.append(SORTED)
        order = order[np.argsort(row_frame[order], kind="stable")]
    elif len(rows):
        order = np.arange(len(rows))  # bodies as the file has them
    key = np.stack([row_frame, row_body], axis=1)
    if len(np.unique(key, axis=0)) != len(key):
        values, counts = np.unique(key, axis=0, return_counts=True)
        twice = values[counts > 1][0]
        what = f"has frame {int(frames[0]) + int(twice[0]) * step} twice for one body"
        raise BadInput(where, what, "give each frame of a body once, and each body an id of its own")
    scores = None if scores is None else scores[order]
    count = int(place[-1]) + 1 if len(place) else 0
    return Poses(points[order], row_frame[order], row_body[order], count, scores, told=tuple(said), **more)


def places(frames: Ints, told: list[str]) -> tuple[Ints, int]:
    """The places of sorted frame numbers, from 0, and how far apart neighbours are; by rank where these are times."""
    if not len(frames):
        return frames, 1
    gaps = np.diff(frames)
    step = math.gcd(*gaps.tolist()) if len(gaps) else 1
    place = (frames - frames[0]) // max(step, 1)
    if int(place[-1]) + 1 > MOST_FRAMES or (int(place[-1]) + 1 > SPARSE * len(frames) and len(frames) > 1):
        told.append(TIMES)
        return np.arange(len(frames)), 1
    if step > 1:
        told.append(APART.format(step))
    return place, max(step, 1)


def _ids(bodies: Sequence[Any] | npt.NDArray[Any]) -> Ints:
    values = np.asarray(bodies)
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    known: dict[str, int] = {}
    return np.array([known.setdefault(str(each), len(known)) for each in values.tolist()], np.int64)


def as_label(value: Any, where: str) -> int | str | None:
    """A label of a file as a number or a text; None where there is none.

    Raises:
        BadInput: it is neither.
    """
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or (isinstance(value, float) and math.isnan(value)) or (isinstance(value, str) and not value):
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise BadInput(where, f"its label is {shortened(repr(value), 60)}", "give a number or a text")
    if isinstance(value, float):
        if not value.is_integer():
            raise BadInput(where, f"its label is {value}", "give a whole number or a text")
        value = int(value)
    if isinstance(value, int) and not -(2**31) <= value < 2**31:
        raise BadInput(where, f"its label is {shortened(str(value), 60)}", "give a smaller number or a text")
    return value if isinstance(value, int) else str(value)
