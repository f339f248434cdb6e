"""t-SNE maps of features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.figure import Figure

from skelpipe.plots.confusion import short
from skelpipe.plots.style import MARKERS, STYLE, TEN_COLOURS, new_figure


# t-SNE
def tsne_figure(
    features: npt.NDArray[np.floating[Any]],
    labels: npt.NDArray[np.integer[Any]],
    names: Mapping[int, str],
    caption: str,
    *,
    seed: int = 0,
) -> Figure:
    """Draw a two-dimensional t-SNE map (van der Maaten and Hinton 2008) of the clips of a few classes.

    Args:
        features: (n, D), one row per clip; scaled to unit length first, so that distances follow the cosine.
        labels: (n,) classes.
        names: class -> name, in the order of the legend; clips of other classes are left out.
        caption: says which features and clips these are; how many clips and the map's settings are added to it.
        seed: of the map; the start is the principal components.
    """
    keep = np.isin(labels, list(names))
    features, labels = features[keep], np.asarray(labels)[keep]
    place, perplexity = tsne_map(features, seed=seed)
    told = f"n = {len(features)}, t-SNE perplexity {perplexity:.0f}, seed {seed}"
    return map_figure(place, labels, names, f"{caption}; {told}")


def map_figure(
    place: npt.NDArray[np.floating[Any]], labels: npt.NDArray[np.integer[Any]], names: Mapping[int, str], title: str
) -> Figure:
    """Draw places (n, 2) of clips with a legend of their classes (`draw_map`)."""
    with rc_context(STYLE):
        figure = new_figure(7.0, 5.0)
        axes = figure.add_subplot()
        draw_map(axes, place, labels, names)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, markerscale=1.3)
        axes.set_title(title, wrap=True, fontsize=8)
        return figure


def tsne_map(features: npt.NDArray[np.floating[Any]], *, seed: int = 0) -> tuple[npt.NDArray[np.floating[Any]], float]:
    """The places (n, 2) of a t-SNE map of features (n, D), scaled to unit length first, and its perplexity.

    Raises:
        ValueError: there are fewer than four.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    features = np.asarray(features, np.float64)
    n = len(features)
    if n < 4:
        raise ValueError(f"{n} clips are too few for a t-SNE map")
    length = np.linalg.norm(features, axis=1, keepdims=True)
    features = features / np.where(length > 0, length, 1)
    perplexity = min(30.0, max(2.0, (n - 1) / 3))
    init = "pca" if features.shape[1] >= 2 else "random"
    # On so few points OpenMP threads cost more than they give, and one thread adds in one order.
    with threadpool_limits(1):
        model = TSNE(perplexity=perplexity, init=init, learning_rate="auto", random_state=seed, n_jobs=1)
        return model.fit_transform(features), perplexity


def draw_map(
    axes: Any, place: npt.NDArray[np.floating[Any]], labels: npt.NDArray[np.integer[Any]], names: Mapping[int, str]
) -> None:
    """Draw a map's places (n, 2) on axes, each class of `names` in its colour and with its marker."""
    for order, (label, name) in enumerate(names.items()):
        axes.scatter(
            place[labels == label, 0], place[labels == label, 1], s=24, label=short(name, 28),
            color=TEN_COLOURS[order % len(TEN_COLOURS)], linewidths=0.3, edgecolors="white",
            marker=MARKERS[order % len(MARKERS)],
        )  # fmt: skip
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
