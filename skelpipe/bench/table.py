"""What was measured, as a table and as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from skelpipe.bench.timing import Machine
from skelpipe.errors import BadInput
from skelpipe.outputs.files import write_json

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        actions, subjects: of the synthetic recordings: three files for each pair.
        seconds: how long a single measurement may take, warm-up and what cannot be divided apart.
        batch: clips per training step on a CPU; on a GPU it is always the recipe's own.
        recipes: whose training step is timed.
        overrides: of these recipes.
        patience: a CPU whose bfloat16 step would take longer than this many seconds is not asked for one.
        embed: clips that are embedded.
        features: share of xsub60's clips that the linear protocol is given.
    """

    actions: int = 30
    subjects: int = 20
    seconds: float = 3.0
    batch: int = 128
    recipes: tuple[str, ...] = ("skeletonclr", "aimclr", "crosnnclr_star")
    overrides: tuple[str, ...] = ()
    patience: float = 60.0
    embed: int = 1024
    features: float = 1.0


FULL = Scale()
QUICK = Scale(
    actions=10, subjects=10, seconds=0.4, batch=16, recipes=FULL.recipes[:2], patience=4.0, embed=128, features=0.05
)


@dataclass(frozen=True)
class Row:
    """One stage.

    Attributes:
        speed: in `unit`, which is work per second, or time per work.
        share: of what the ceiling would allow, 1 being all of it; a way with less arithmetic than is counted passes 1.
        ceiling: what it is a share of, in words, with its figure.
        bound: what takes the time, as far as it was measured.
    """

    stage: str
    speed: float
    unit: str
    share: float
    ceiling: str
    bound: str


@dataclass
class Report:
    """All rows; `ceilings` are what was measured of the machine itself, `notes` what was not measured, and why."""

    machine: Machine
    rows: list[Row] = field(default_factory=list)
    ceilings: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def table(report: Report) -> RenderableType:
    """The report for a terminal."""
    from rich.console import Group
    from rich.table import Table

    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("stage")
    grid.add_column("speed", justify="right", no_wrap=True)
    grid.add_column("share", justify="right")
    grid.add_column("of")
    grid.add_column("bound by")
    for row in report.rows:
        grid.add_row(row.stage, f"{figure(row.speed)} {row.unit}", f"{row.share:.0%}", row.ceiling, row.bound)
    return Group(str(report.machine), "", grid, *report.notes)


def write_report(report: Report, path: Path) -> None:
    """The same as JSON.

    Raises:
        BadInput: it cannot be written.
    """
    try:
        write_json(path, asdict(report))
    except OSError as error:
        raise BadInput(path, f"cannot be written ({error.strerror})", "choose a path you may write to") from None


def figure(value: float) -> str:
    """Three digits, or all of a large number."""
    if not 0 < abs(value) < 1000:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"
