"""Confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.figure import Figure

from skelpipe.errors import printable
from skelpipe.plots.style import STYLE, new_figure, spines


# Confusion matrices
def confusion_figure(
    matrix: npt.NDArray[np.integer[Any]], names: Sequence[str], title: str, *, classes: Sequence[int] | None = None,
    other: bool = True,
) -> Figure:  # fmt: skip
    """Draw a confusion matrix, each row as shares of the label's clips.

    Args:
        matrix: (classes, classes) counts, rows = labels, columns = predictions.
        names: one per class.
        title: printed above.
        classes: draw these classes only, with the numbers written in and a last column for all other predictions.
        other: whether that column is drawn; without it, where there are none.
    """
    if classes is None:
        return _confusion_all(_shares(matrix), names, title)
    count = matrix.sum(axis=1)[list(classes)]
    share = confusion_shares(matrix, classes)
    return _confusion_some(
        share if other or share[:, -1].any() else share[:, :-1], [names[i] for i in classes], count, title
    )


def confusion_shares(matrix: npt.NDArray[np.integer[Any]], classes: Sequence[int]) -> npt.NDArray[np.float64]:
    """Shares of the clips of some classes: (classes, classes + 1), the last column for all other predictions."""
    index = np.asarray(classes, dtype=np.int64)
    inside = _shares(matrix)[np.ix_(index, index)]
    other = np.where(matrix.sum(axis=1)[index] > 0, 1 - inside.sum(axis=1), 0.0)
    return np.column_stack([inside, other])


def _shares(matrix: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float64]:
    count = matrix.sum(axis=1, keepdims=True)
    share: npt.NDArray[np.float64] = np.divide(matrix, count, out=np.zeros(matrix.shape), where=count > 0)
    return share


def _confusion_all(share: npt.NDArray[np.float64], names: Sequence[str], title: str) -> Figure:
    n = len(share)
    with rc_context(STYLE):
        size = float(np.clip(0.115 * n, 3.6, 9.0))
        figure = new_figure(size + 1.6, size + 0.6)
        axes = figure.add_subplot()
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        axes.set(title=title, xlabel="predicted class", ylabel="label")
        spines(axes)
        if n <= 20:
            ticks = list(range(n))
            axes.set_xticks(ticks, [short(name) for name in names], rotation=90, fontsize=7)
            axes.set_yticks(ticks, [short(name) for name in names], fontsize=7)
        else:
            ticks = [0, *range(9, n, 10)]
            axes.set_xticks(ticks, [str(t + 1) for t in ticks])
            axes.set_yticks(ticks, [str(t + 1) for t in ticks])
        bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.02, ticks=[0, 0.5, 1], format="{x:.0%}")
        bar.set_label("share of the label's clips")
        bar.outline.set_visible(False)
        return figure


def _confusion_some(
    share: npt.NDArray[np.float64], names: Sequence[str], count: npt.NDArray[np.integer[Any]], title: str
) -> Figure:
    rows, columns = share.shape
    with rc_context(STYLE):
        figure = new_figure(2.6 + 0.44 * columns, 1.9 + 0.36 * rows)
        axes = figure.add_subplot()
        draw_confusion(axes, share, names)
        axes.set_title(title)
        axes.set_yticks(range(rows), [f"{short(name)}  ({n})" for name, n in zip(names, count, strict=True)])
        axes.set(xlabel="predicted", ylabel="label (test clips)")
        return figure


def draw_confusion(axes: Any, share: npt.NDArray[np.float64], names: Sequence[str]) -> None:
    """Draw the shares of `confusion_shares` on axes, with the numbers written in."""
    rows, columns = share.shape
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    if columns > rows:
        axes.axvline(columns - 1.5, color="white", linewidth=3)
    axes.set_yticks(range(rows), [short(name) for name in names])
    labels = [*(short(name) for name in names), "other"][:columns]
    axes.set_xticks(range(columns), labels, rotation=40, ha="right", rotation_mode="anchor")
    spines(axes)
    for (i, j), value in np.ndenumerate(share):
        if value >= 0.005:
            axes.text(
                j, i, f"{100 * value:.0f}", ha="center", va="center", fontsize=8,
                color="white" if value > 0.55 else "#222222", fontweight="bold" if i == j else "normal",
            )  # fmt: skip


def short(name: str, most: int = 22) -> str:
    return printable(name if len(name) <= most else name[: most - 1].rstrip() + "…")
