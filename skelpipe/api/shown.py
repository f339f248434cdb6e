"""How objects show themselves in a terminal and in a notebook."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from html import escape

from skelpipe.errors import printable

log = logging.getLogger(__name__)


def tell(lines: Iterable[str]) -> None:
    """Say what a command would say on stderr; by Python's rule warnings are shown even where no logging is set up."""
    for line in lines:
        log.warning("%s", printable(line))


def counted(count: int, one: str, several: str) -> str:
    """ "1 class", "2 classes"."""
    return f"{count:,} {one if count == 1 else several}"


def as_text(kind: str, told: Mapping[str, str]) -> str:
    """A line with the kind, and one for each fact."""
    width = max(map(len, told))
    return "\n".join([f"<skelpipe {kind}>", *(f"  {key:{width}}  {printable(value)}" for key, value in told.items())])


def as_html(kind: str, told: Mapping[str, str]) -> str:
    """The same as a table; what files say is escaped."""
    rows = "".join(
        f'<tr><th style="text-align:left">{escape(key)}</th><td style="text-align:left">{escape(printable(value))}</td>'
        "</tr>"
        for key, value in told.items()
    )
    return f"<table><caption>{escape(kind)}</caption>{rows}</table>"
