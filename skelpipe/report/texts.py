"""Figures as text, and text that Markdown shows as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skelpipe.errors import printable


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as percent, "—" for none."""
    return "—" if value is None else f"{100 * value:.{digits}f}"


def cell_text(cell: Mapping[str, Any] | None) -> str:
    """Mean and, over several seeds, ± standard deviation and their number, in percent; and the marks of warnings."""
    if not cell:
        return "—"
    spread = "" if cell["std"] is None else f" ± {percent(cell['std'])} (n = {cell['n']})"
    return f"{percent(cell['mean'])}{spread}{warning_marks(cell)}"


def beside_text(cell: Mapping[str, Any]) -> list[str]:
    """What stands below a mean, in percent: the interval of a single evaluation, balanced accuracy, macro F1."""
    parts = [interval_text(cell["interval"])] if (of := cell.get("interval")) and of["low"] is not None else []
    for key, name in (("balanced", "bal."), ("macro_f1", "F1")):
        if figure := cell.get(key):
            spread = "" if figure["std"] is None else f" ± {percent(figure['std'])}"
            parts.append(f"{name} {percent(figure['mean'])}{spread}")
    return parts


def interval_text(interval: Mapping[str, Any]) -> str:
    """ "71.0–84.2", in percent."""
    return f"{percent(interval['low'])}–{percent(interval['high'])}"


def warning_marks(figure: Mapping[str, Any]) -> str:
    """What stands behind a figure that an evaluation warns of: " !1, !3", by the places of the warnings."""
    marks = sorted({each["mark"] for each in figure.get("warnings", ())})
    return " " + ", ".join(f"!{mark}" for mark in marks) if marks else ""


def points(value: float | None) -> str:
    """A difference in percentage points, with its sign; "—" for none."""
    # Without the sign of a zero that was rounded from below.
    return "—" if value is None else f"{round(value, 1) + 0.0:+.1f}".replace("-", "−")


def row_text(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(md(cell) for cell in cells) + " |"


def md(text: str) -> str:
    """Text that Markdown shows as it is: no HTML, table or emphasis marks from names."""
    text = printable(text.replace("\n", " ").replace("\N{NO-BREAK SPACE}", " "))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join("\\" + c if c in "\\`*_[]|$~#" else c for c in text)
