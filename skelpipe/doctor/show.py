"""What was found, for a person and for a program."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from skelpipe.doctor.check import Check
from skelpipe.errors import printable

MARKS = {"well": ("ok", "green"), "note": ("note", "yellow"), "broken": ("BROKEN", "bold red")}


def show(checks: Sequence[Check]) -> None:
    """Print a line for each check, with its remedy, and what that comes to."""
    console = Console(emoji=False, highlight=False)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for check in checks:
        mark, style = MARKS[check.state]
        remedy = f"; {check.remedy}" if check.remedy else ""
        if not console.is_terminal:
            print(printable(f"{mark:6} {check.name:10} {check.text}{remedy}"))
            continue
        text = Text(printable(check.text)) + Text(printable(remedy), style="dim" if check.state == "well" else style)
        table.add_row(Text(mark, style=style), Text(check.name), text)
    if console.is_terminal:
        console.print(table)
    broken = [check.name for check in checks if check.state == "broken"]
    notes = sum(check.state == "note" for check in checks)
    if broken:
        console.print(Text(f"Broken: {', '.join(broken)}.", style="bold red"))
    else:
        noted = f", with {notes} note{'s' if notes > 1 else ''}" if notes else ""
        console.print(Text(f"All that is needed is there{noted}.", style="green"))


def to_json(checks: Sequence[Check]) -> str:
    """All that was found, as JSON."""
    return json.dumps({"checks": [asdict(check) for check in checks]}, indent=2)
