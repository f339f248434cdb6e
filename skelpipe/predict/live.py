"""Inputs that are read frame by frame: videos, pipes, files that grow, and recordings that are too long to hold."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skelpipe.errors import BadInput
from skelpipe.layouts import find_layout
from skelpipe.layouts.base import Layout
from skelpipe.outputs.digests import read_kind
from skelpipe.predict.inputs import Asked, reading_of
from skelpipe.predict.pieces import Piece, Rolling, Windows
from skelpipe.predict.video import IMAGE, LAYOUT_OF, WORLD, Video, bodies_of, open_video, seen_in
from skelpipe.recordings.poses.live import EndsEarly, Frame, frames_of
from skelpipe.recordings.poses.stated import Stated
from skelpipe.training.model import Model

STDIN = "-"
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".3gp", ".mts", ".ts", ".flv")
BY_FRAMES = (".txt", ".csv", ".jsonl", ".ndjson", ".skeleton", ".npy")  # formats that can be read so
NO_PLACE = "in a video each body's own hips are the origin: how far people stand from each other is not known"
LARGE = 64 << 20  # bytes of a file from which on windows are cut of it frame by frame


@dataclass(frozen=True)
class Live:
    """A recording whose frames come one after the other.

    Attributes:
        name: of the recording.
        frames: in order; raises EndsEarly behind the last whole one.
        layout: their joints.
        relative: see `Predictor.score`.
        fps: frames per second, where they are known.
        count: how many frames are expected, where that is known.
        follows: whether they come while something happens, so that nothing should wait.
        told: gives what is told of them, which grows while they are read.
    """

    name: str
    frames: Iterable[Frame]
    layout: Layout
    relative: bool = False
    fps: float | None = None
    count: int | None = None
    follows: bool = False
    told: Callable[[], Iterable[str]] = tuple


def is_live(path: Path, asked: Asked) -> bool:
    """Whether an input is read frame by frame."""
    if asked.follow or str(path) == STDIN or path.suffix.lower() in VIDEOS:
        return True
    large = path.suffix.lower() in BY_FRAMES and path.is_file() and path.stat().st_size >= LARGE
    return large and asked.windows is not None


def videos_in(path: Path) -> list[Path]:
    """The videos of a folder that holds nothing else, hidden files apart; of any other path, itself."""
    if not path.is_dir() or read_kind(path) is not None:
        return [path]
    there = sorted(each for each in path.iterdir() if not each.name.startswith("."))
    found = [each for each in there if each.suffix.lower() in VIDEOS and each.is_file()]
    return found if found and found == there else [path]


@contextmanager
def open_live(path: Path, model: Model, asked: Asked) -> Iterator[Live]:
    """Open such an input.

    Args:
        model: whose layout and whose way of stating recordings count where nothing else is said.

    Raises:
        BadInput: it cannot be read; of a video, the extra is not installed.
    """
    if path.suffix.lower() in VIDEOS:
        if asked.follow:
            raise BadInput(path, "is a video, which is not followed", "leave out --follow")
        with open_video(path) as video:
            yield _of_video(path, video, model, asked)
        return
    layout, stated = _stated(model, asked)
    follow = asked.follow or str(path) == STDIN
    source: Any = sys.stdin.buffer if str(path) == STDIN else path
    if str(path) != STDIN and not path.exists():
        raise BadInput(path, "does not exist", "name a file, a folder or a pipe, or - for what is piped in")
    frames = frames_of(source, layout, stated, follow=follow, patience=asked.patience)
    name = "stdin" if str(path) == STDIN else path.stem
    yield Live(name, frames, layout, fps=stated.fps, follows=follow, told=lambda: frames.told)


def _stated(model: Model, asked: Asked) -> tuple[Layout, Stated]:
    """The layout of frames, and what is stated of them: as asked, else as the model's own recordings were."""
    said = asked.said
    layout = find_layout(said["layout"]) if "layout" in said else model.layout
    own = reading_of(model) if layout == model.layout else {}
    for name in ("labels", "names"):
        if name in said:
            raise BadInput(f"--{name}", "is not used of what is read frame by frame", "leave it out")
    told = {**own, **{key: said[key] for key in ("unit", "up", "image", "fps") if key in said}}
    return layout, Stated.of(layout, **told)


def _of_video(path: Path, video: Video, model: Model, asked: Asked) -> Live:
    for name in asked.said:
        raise BadInput(f"--{name}", f"is not said of a video such as {path}", "leave it out")
    points = IMAGE if model.layout.coordinates == 2 else WORLD
    layout = find_layout(LAYOUT_OF[points])

    def frames() -> Iterator[Frame]:
        for seen in seen_in(video, asked.people):
            body, joints = bodies_of(seen, points)
            yield Frame(seen.frame, joints, body)

    # In space the middle of each body's hips is the origin.
    told = [NO_PLACE] if points == WORLD and model.recipe.bodies > 1 and asked.people > 1 else []
    return Live(path.stem, frames(), layout, points == WORLD, video.fps, video.frames, told=lambda: told)


def pieces_of(
    live: Live, windows: Windows | None, ended: Callable[[str], None], progress: Callable[..., None] | None = None
) -> Iterator[Piece]:
    """Windows of frames, each as soon as it is whole, or all frames as one piece.

    Args:
        ended: told of a source that has ended within a frame.
        progress: called with (frames, frames in all), where these are known.
    """
    rolling = Rolling(live.name, windows or Windows(sys.maxsize, 1), len(live.layout.joints), live.layout.channels)
    try:
        for frame in live.frames:
            yield from rolling.add(frame.number, frame.joints, frame.body)
            if progress is not None and live.count:
                progress(min(frame.number + 1, live.count), live.count)
    except EndsEarly as error:
        ended(str(error))
    yield from rolling.end()
