"""A folder into which a detector writes a file a frame."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from skelpipe.errors import BadInput, printable, shortened
from skelpipe.layouts.base import Layout
from skelpipe.recordings.datasets.files import File
from skelpipe.recordings.poses.base import Opened, Poses
from skelpipe.recordings.poses.formats import FRAME_FILES, format_of
from skelpipe.recordings.poses.live.base import READABLE, WITHIN, EndsEarly, Form, Frame, Unit
from skelpipe.recordings.poses.live.fitter import Fitter
from skelpipe.recordings.poses.live.people import Crowd
from skelpipe.recordings.poses.live.sources import POLL
from skelpipe.recordings.poses.people import People
from skelpipe.recordings.poses.searching import FRAME

SUFFIXES = (".json", ".txt")
MAY_BE_FRAMES = "json"  # a file of the people of an image that is not yet whole passes for it
SETTLED = 1.0  # seconds after which a folder, or a file in it, no longer changes
LATE = "files of frames that came after later ones were left out"


class FrameFiles(Form):
    """Files of one format, each of one frame."""

    def __init__(self, layout: Layout, where: str) -> None:
        super().__init__(layout, where)
        self._crowd = Crowd(layout, where)
        self.kind = ""

    def take(self, line: int, text: str) -> Sequence[Unit]:
        """See `Form.take`; there are files, and no lines."""
        raise NotImplementedError

    def end(self, line: int, cut: str, follow: bool) -> tuple[Sequence[Unit], str]:
        """See `Form.end`."""
        return (), ""

    def poses(self, units: Sequence[Unit]) -> tuple[list[float | None], Poses]:
        """See `Form.poses`."""

        def add(people: People, content: Any, number: int) -> None:
            opened, own = content
            FRAME_FILES[self.kind](people, opened, own)

        return self._crowd.poses(units, add)

    def at(self, line: int) -> str:
        """See `Form.at`."""
        return f"{self.where}, file {line}"


class Folder:
    """The files of frames in a folder, in order of their numbers.

    Args:
        path: the folder.
        form: of its files; its `kind` is that of the first.
        told: takes what is left out.
    """

    def __init__(self, path: Path, form: FrameFiles, told: list[str]) -> None:
        self.path, self._form, self._told = path, form, told
        self._last, self._taken, self._changed = -1, 0, -1
        self._key: tuple[str, str] | None = None
        self._passed: set[tuple[str, str]] = set()

    def changed(self) -> bool:
        """Whether there may be other files in it than when this was last asked.

        Raises:
            BadInput: it cannot be searched.
        """
        try:
            about = self.path.stat()
        except OSError as error:
            raise BadInput(self.path, f"cannot be searched ({error.strerror})", "check its path") from None
        before, self._changed = self._changed, about.st_mtime_ns
        return before != self._changed or time.time() - about.st_mtime < SETTLED

    def new(self) -> list[tuple[int, File]]:
        """The files that were not yet taken, and their numbers.

        Raises:
            BadInput: it cannot be searched, or holds frames of several recordings.
        """
        found, old = [], 0
        try:
            for name in os.listdir(self.path):  # noqa: PTH208
                stem, suffix = os.path.splitext(name)  # noqa: PTH122
                match = FRAME.match(stem) if suffix.lower() in SUFFIXES and not name.startswith(".") else None
                key = (match["before"], match["after"] + suffix) if match is not None else None
                if match is None or key is None or key in self._passed:
                    continue
                if key == self._key and int(match["number"]) <= self._last:
                    old += 1
                    continue
                path = self.path / name
                file = File(printable(name), str(path), size=path.stat().st_size)
                if key == self._key or self._is_first(key, file):
                    found.append((int(match["number"]), file))
        except OSError as error:
            if not isinstance(error, FileNotFoundError):  # one has gone meanwhile
                raise BadInput(self.path, f"cannot be searched ({error.strerror})", "make it readable") from None
        if old > self._taken and LATE not in self._told:
            self._told.append(LATE)
        return sorted(found)

    def take(self, number: int) -> None:
        """Note that the frame of a number was taken."""
        self._last, self._taken = number, self._taken + 1

    def _is_first(self, key: tuple[str, str], file: File) -> bool:
        """Whether a file is the first that is a frame; of others than this recording's it must be none."""
        try:
            kind = format_of(Opened(file))
        except BadInput:  # not yet whole
            return False
        if kind not in FRAME_FILES:
            if kind != MAY_BE_FRAMES:
                self._passed.add(key)
            return False
        if self._key is not None:
            names = " and ".join(shortened(f"{before}*{after}", 40) for before, after in (self._key, key))
            raise BadInput(self.path, f"holds frames of several recordings, {names}", "give each a folder of its own")
        self._key, self._form.kind = key, kind
        return True


def frames_in_folder(path: Path, fitter: Fitter, follow: bool, patience: float | None) -> Iterator[Frame]:
    """The frames of a folder's files, in order of their numbers; of a folder that is followed, as they come.

    Raises:
        BadInput: it holds none, or a file is damaged or does not fit the layout.
    """
    form = FrameFiles(fitter.layout, str(path))
    folder = Folder(path, form, fitter.told)
    since, waited, damage = time.monotonic(), 0.0, None
    while True:
        damage, came = None, False
        for number, file in folder.new() if folder.changed() or waited else ():
            try:
                yield from fitter.frames(form, [form.unit(number, [(Opened(file), number)])])
            except BadInput as error:
                damage, waited = error, waited or time.monotonic()
                break
            folder.take(number)
            came, waited = True, 0.0
        if came:
            since = time.monotonic()
        if damage is not None and (not follow or time.monotonic() - waited > SETTLED):
            raise damage
        if not follow or (patience is not None and time.monotonic() - since >= patience):
            break
        time.sleep(POLL)
    if damage is not None:
        raise EndsEarly(path, WITHIN.format(fitter.places.next), "check what writes its files")
    if not form.kind:
        raise BadInput(path, "holds no frames, as OpenPose, MMPose or YOLO write them", READABLE)
