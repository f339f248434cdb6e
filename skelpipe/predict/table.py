"""Predictions as a table: CSV, JSON and Parquet, and lines for a terminal."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from skelpipe.errors import BadInput
from skelpipe.outputs.folders import locked
from skelpipe.outputs.one_file import check_file
from skelpipe.outputs.provenance import write_beside
from skelpipe.outputs.refusals import unwritable
from skelpipe.predict.predict import Prediction

NOBODY, NONE = "nobody is to be seen", "none of these"
UNSEEN = 0.1  # of the joints of a recording; fewer are not told


def rows(found: Sequence[Prediction], classes: Sequence[str], top: int, every: bool) -> list[dict[str, Any]]:
    """A row for each prediction, all of the same columns.

    Columns: clip; person, start and stop (frames) and their seconds, label, where any prediction has them; class and
    probability, class_2 and probability_2, … of the most probable ones, empty where nobody is to be seen; and `none`,
    where that was asked for: whether it is rather none of the classes.

    Args:
        top: how many of the most probable classes.
        every: whether a column `p CLASS` for each class follows.
    """
    has = {
        name: any(getattr(each, name) is not None for each in found)
        for name in ("person", "start", "label", "fps", "refused")
    }
    return [_row(each, classes, top, every, has) for each in found]


def _row(each: Prediction, classes: Sequence[str], top: int, every: bool, has: Mapping[str, bool]) -> dict[str, Any]:
    row: dict[str, Any] = {"clip": each.clip}
    if has["person"]:
        row["person"] = each.person
    if has["start"]:
        row |= {"start": each.start, "stop": each.stop}
        if has["fps"]:
            row |= {"start_s": _seconds(each.start, each.fps), "stop_s": _seconds(each.stop, each.fps)}
    if has["label"]:
        row["label"] = each.label
    best = each.top(top) if each.probability is not None else []
    for rank in range(min(top, len(classes))):
        mark = f"_{rank + 1}" if rank else ""
        place = best[rank] if best else None
        row[f"class{mark}"] = None if place is None else classes[place]
        row[f"probability{mark}"] = None if place is None else _number(each, place)
    if has["refused"]:
        row["none"] = each.refused if each.probability is not None else None
    if every:
        row |= {f"p {name}": None if each.probability is None else _number(each, n) for n, name in enumerate(classes)}
    return row


def _seconds(frame: int | None, fps: float | None) -> float | None:
    return None if frame is None or fps is None else round(frame / fps, 3)


def _number(each: Prediction, place: int) -> float:
    assert each.probability is not None
    return round(float(each.probability[place]), 6)


def write_table(
    out: Path, table: Sequence[Mapping[str, Any]], inputs: Mapping[str, Path], settings: Mapping[str, Any], force: bool
) -> None:
    """Write rows as the suffix of `out` says, and their provenance beside it.

    Raises:
        BadInput: the suffix is unknown, it exists and `force` is not set, or it cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with locked(out):
            check_out(out, force)  # another process may have written it meanwhile
            write_beside(out, WRITERS[out.suffix.lower()](table), "predictions", inputs, settings)
    except OSError as error:
        raise unwritable(out, error) from None


def check_out(out: Path, force: bool) -> None:
    """Raise BadInput, before anything is computed, if predictions cannot be written there."""
    if out.suffix.lower() not in WRITERS:
        what = f"has the ending {out.suffix!r}" if out.suffix else "has no ending"
        raise BadInput(out, what, f"use one of {', '.join(WRITERS)}")
    check_file(out, force)
    above = next(folder for folder in Path(os.path.abspath(out)).parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        what = f"cannot be written: {above} is {'a folder that takes no files' if above.is_dir() else 'no folder'}"
        raise BadInput(out, what, "choose a path you may write to")


def as_csv(table: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows as CSV in UTF-8."""
    import pandas as pd

    return pd.DataFrame(list(table)).to_csv(index=False, lineterminator="\n").encode("utf-8", "backslashreplace")


def as_json(table: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows as a list of objects, one a line."""
    lines = ",\n".join(json.dumps(dict(row), ensure_ascii=False) for row in table)
    return f"[\n{lines}\n]\n".encode("utf-8", "backslashreplace")


def as_parquet(table: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows as Parquet."""
    import pandas as pd

    buffer = io.BytesIO()
    pd.DataFrame(list(table)).to_parquet(buffer, index=False)
    return buffer.getvalue()


WRITERS: dict[str, Callable[[Sequence[Mapping[str, Any]]], bytes]] = {
    ".csv": as_csv, ".json": as_json, ".parquet": as_parquet,
}  # fmt: skip


def line(each: Prediction, classes: Sequence[str], top: int) -> str:
    """A prediction in a line: clip, frames or seconds, person: the most probable classes with their probabilities."""
    where = [each.clip]
    if each.start is not None and each.stop is not None and each.fps is not None:
        where.append(f"{each.start / each.fps:.1f}–{each.stop / each.fps:.1f} s")
    elif each.start is not None:
        where.append(f"{each.start}–{each.stop}")
    if each.person is not None:
        where.append(f"person {each.person}")
    if each.probability is None:
        return f"{' '.join(where)}: {NOBODY}"
    p, none = each.probability, f"{NONE}; nearest: " if each.refused else ""
    said = ", ".join(f"{classes[n]} {p[n]:.2f}" for n in each.top(top))
    right = each.label not in classes or classes[each.top(1)[0]] == each.label
    wrong = "" if right else f" (it is {each.label})"
    return f"{' '.join(where)}: {none}{said}{wrong}"


def summary(found: Sequence[Prediction], classes: Sequence[str], chosen: bool = False) -> Iterator[str]:
    """How many predictions are of nobody, and how many of those whose class is known are right.

    Args:
        chosen: whether these are the test clips of a split.
    """
    nobody = sum(each.probability is None for each in found)
    known = [each for each in found if each.label in classes and each.probability is not None]
    if nobody:
        yield f"{nobody:,} of {len(found):,}: {NOBODY}"
    if unseen := [each for each in found if each.unseen > UNSEEN and each.probability is not None]:
        most = max(unseen, key=lambda each: each.unseen)
        yield (
            f"in {len(unseen):,} of {len(found):,} joints were not seen, {most.unseen:.0%} of them in {most.clip}: "
            "a model that has learnt from whole bodies may well be wrong there"
        )
    if refused := sum(bool(each.refused) for each in found):
        yield f"{refused:,} of {len(found):,}: {NONE}"
    if known:
        right = sum(classes[each.top(1)[0]] == each.label for each in known)
        doubt = "" if chosen else "; it may have learnt from some, and --split looks at test clips alone"
        share = f"{100 * right / len(known):.1f} %"
        yield f"{right:,} of the {len(known):,} whose class is known are right ({share}){doubt}"
