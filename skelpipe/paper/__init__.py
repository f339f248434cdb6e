"""What was published: the CrosNNCLR paper's tables in their own shape, figures of all sources, and the systems."""

from skelpipe.paper.sources import STREAMS, Figure, figures, protocols, published, rows_for
from skelpipe.paper.tables import (
    Cell,
    Column,
    Grid,
    Row,
    benchmarks,
    comparable,
    exhibits,
    grids,
    notes,
    number,
    title,
)

__all__ = [
    "STREAMS", "Cell", "Column", "Figure", "Grid", "Row", "benchmarks", "comparable", "exhibits", "figures", "grids",
    "notes", "number", "protocols", "published", "rows_for", "title",
]  # fmt: skip
