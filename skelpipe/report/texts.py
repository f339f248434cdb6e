"""Figures as text, and text that Markdown shows as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skelpipe.errors import printable


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as percent, "—" for none."""
    return "—" if value is None else f"{100 * value:.{digits}f}"


def cell_text(cell: Mapping[str, Any] | None) -> str:
    """Mean and, over several seeds, ± standard deviation and their number, in percent."""
    if not cell:
        return "—"
    if cell["std"] is None:
        return percent(cell["mean"])
    return f"{percent(cell['mean'])} ± {percent(cell['std'])} (n = {cell['n']})"


def points(value: float | None) -> str:
    """A difference in percentage points, with its sign; "—" for none."""
    # Without the sign of a zero that was rounded from below.
    return "—" if value is None else f"{round(value, 1) + 0.0:+.1f}".replace("-", "−")


def row_text(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(md(cell) for cell in cells) + " |"


def md(text: str) -> str:
    """Text that Markdown shows as it is: no HTML, table or emphasis marks from names."""
    text = printable(text.replace("\n", " "))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join("\\" + c if c in "\\`*_[]|$~#" else c for c in text)
