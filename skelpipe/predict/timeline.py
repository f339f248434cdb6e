"""The timeline of a recording that was predicted in windows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skelpipe.errors import BadInput
from skelpipe.outputs.refusals import unwritable
from skelpipe.plots.style import save_figure
from skelpipe.plots.timeline import timeline_figure
from skelpipe.predict.predict import Prediction

PNG = ".png"


def check_timeline(out: Path, windowed: bool, force: bool) -> None:
    """Raise BadInput, before anything is computed, if no timeline can be drawn there."""
    if not windowed:
        raise BadInput("--timeline", "is drawn of windows", "add --window FRAMES")
    if out.suffix.lower() not in (PNG, ""):
        raise BadInput(out, f"has the ending {out.suffix!r}", f"use {PNG}, or name a folder for several recordings")
    if out.suffix and (out.is_dir() or (out.exists() and not force)):
        raise BadInput(out, "already exists", "choose another path, or pass --force to replace it")


def draw_timelines(out: Path, found: Sequence[Prediction], classes: Sequence[str], force: bool) -> list[Path]:
    """Draw a picture of each recording, and return their paths.

    Args:
        out: a .png of the only recording, or a folder, in which NAME.png is drawn of each.

    Raises:
        BadInput: there are several recordings and one picture, or a picture cannot be written.
    """
    recordings: dict[str, list[Prediction]] = {}
    for each in found:
        recordings.setdefault(each.clip, []).append(each)
    if out.suffix and len(recordings) > 1:
        what = f"is one picture, and there are {len(recordings):,} recordings"
        raise BadInput(out, what, "name a folder, which gets a picture of each")
    made = []
    for name, windows in recordings.items():
        path = out if out.suffix else out / f"{Path(name).name}{PNG}"
        if path.exists() and not force:
            raise BadInput(path, "already exists", "choose another path, or pass --force to replace it")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _draw(path, name, windows, classes)
        except OSError as error:
            raise unwritable(path, error) from None
        made.append(path)
    return made


def _draw(path: Path, name: str, windows: Sequence[Prediction], classes: Sequence[str]) -> None:
    seen = [each for each in windows if each.probability is not None]
    if not seen:
        raise BadInput(name, "shows nobody, of whom a timeline could tell", "leave out --timeline")
    person = None if all(each.person is None for each in seen) else [each.person for each in seen]
    figure = timeline_figure(
        np.array([each.start for each in seen]),
        np.array([each.stop for each in seen]),
        np.array([each.probability for each in seen]),
        classes,
        fps=seen[0].fps,
        title=name,
        person=person,
        none=None if seen[0].refused is None else np.array([bool(each.refused) for each in seen]),
    )
    save_figure(figure, path)
