"""The timeline of a recording that was predicted in windows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skelpipe.errors import BadInput
from skelpipe.outputs.files import json_text, write_bytes
from skelpipe.outputs.one_file import check_file
from skelpipe.outputs.provenance import provenance
from skelpipe.outputs.refusals import unwritable
from skelpipe.plots.style import png_bytes
from skelpipe.plots.timeline import timeline_figure
from skelpipe.predict.predict import Prediction
from skelpipe.predict.table import NONE

PNG = ".png"


def check_timeline(out: Path, windowed: bool, force: bool) -> None:
    """Raise BadInput, before anything is computed, if no timeline can be drawn there."""
    if not windowed:
        raise BadInput("--timeline", "is drawn of windows", "add --window FRAMES")
    if out.suffix.lower() not in (PNG, ""):
        raise BadInput(out, f"has the ending {out.suffix!r}", f"use {PNG}, or name a folder for several recordings")
    if out.suffix:
        check_file(out, force)


def draw_timelines(
    out: Path,
    found: Sequence[Prediction],
    classes: Sequence[str],
    inputs: Mapping[str, Path],
    settings: Mapping[str, Any],
    force: bool,
) -> list[Path]:
    """Draw a picture of each recording, and return their paths.

    Args:
        out: a .png of the only recording, or a folder, in which NAME.png is drawn of each; each tells how it was made.

    Raises:
        BadInput: there are several recordings and one picture, or a picture cannot be written.
    """
    recordings: dict[str, list[Prediction]] = {}
    for each in found:
        recordings.setdefault(each.clip, []).append(each)
    if out.suffix and len(recordings) > 1:
        what = f"is one picture, and there are {len(recordings):,} recordings"
        raise BadInput(out, what, "name a folder, which gets a picture of each")
    made, told = [], provenance("timeline", inputs, settings)
    for name, windows in recordings.items():
        path = out if out.suffix else out / f"{Path(name).name}{PNG}"
        check_file(path, force)
        picture = _picture(name, windows, classes, json_text({**told, "output": os.path.abspath(path)}))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, picture)
        except OSError as error:
            raise unwritable(path, error) from None
        made.append(path)
    return made


def _picture(name: str, windows: Sequence[Prediction], classes: Sequence[str], made: str) -> bytes:
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
        called=NONE,
    )
    return png_bytes(figure, made=made)
