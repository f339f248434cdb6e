"""Pictures: confusion matrices, training curves, sweeps, t-SNE maps and animated skeletons.

Every function makes its own `Figure`, so nothing depends on pyplot's global state or on a display. Colours are those of
Okabe and Ito, which stay apart for colour-blind readers; line styles, markers or numbers repeat what colour says.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from skelpipe.errors import BadInput
from skelpipe.outputs import files
from skelpipe.recordings.datasets import dataset_of

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000",
)  # fmt: skip
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
# Three more for scatter plots of ten classes, where the marker tells as well.
TEN_COLOURS = (*PALETTE, "#882255", "#999933", "#8c8c8c")
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
GREY = "#6b6b6b"
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": "#333333",
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "text.parse_math": False,  # a dollar sign in a name starts no formula
}


def class_names(about: Mapping[str, Any], classes: int, only: Sequence[int] | None = None) -> list[str]:
    """Names of the classes of a data set, `class 1`, `class 2`, ... where none are known.

    Args:
        about: what says whose they are (`dataset_of`), such as the content of metrics.json.
        only: the numbers, from 1, of those that are meant, as `only_classes` in metrics.json has them; None: all.
    """
    known: tuple[str, ...] = ()
    with suppress(BadInput):  # of a package that is no longer there
        known = dataset_of(about).class_names
    return [known[i - 1] if i <= len(known) else f"class {i}" for i in only or range(1, classes + 1)]


def new_figure(width: float, height: float) -> Figure:
    """A figure of that size in inches with an Agg canvas and a tight layout."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png_bytes(figure: Figure, dpi: int = 150, made: str | None = None) -> bytes:
    """The figure as PNG; the same figure always gives the same bytes. `made` becomes its text `skelpipe`."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None, **({"skelpipe": made} if made else {})})
    return buffer.getvalue()


def save_figure(figure: Figure, path: Path, dpi: int = 150) -> None:
    """Write the figure as PNG in one step."""
    files.write_bytes(path, png_bytes(figure, dpi))


def spines(axes: Any) -> None:
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
