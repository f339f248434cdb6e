"""The systems that the CrosNNCLR paper compares: the one list of their names and order, and the recipes that ship."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from skelpipe.resources import find, names


class System(NamedTuple):
    """A system of the paper's tables: its name and `venue` as they print them, its usual protocol, and its source."""

    title: str
    venue: str
    protocol: Literal["linear", "supervised"]
    source: str


# Recipe name -> system, in the order of the paper's tables: supervised ones as in Tables 5 and 6, then the others as in
# Tables 3 to 6. Recipes are listed in this order everywhere; see `recipe_order`. One without a recipe is missing.
SYSTEMS: Mapping[str, System] = {
    "stgcn_supervised": System(
        "ST-GCN", "AAAI 18", "supervised",
        "Yan et al., Spatial Temporal Graph Convolutional Networks for Skeleton-Based Action Recognition, AAAI 2018",
    ),
    "va_rnn": System(
        "VA-RNN", "TPAMI 19", "supervised",
        "Zhang et al., View Adaptive Neural Networks for High Performance Skeleton-Based Human Action Recognition,"
        " TPAMI 2019",
    ),
    "part_aware_lstm": System(
        "Part-Aware LSTM", "CVPR 16", "supervised",
        "Shahroudy et al., NTU RGB+D: A Large Scale Dataset for 3D Human Activity Analysis, CVPR 2016",
    ),
    "soft_rnn": System(
        "Soft RNN", "TPAMI 18", "supervised", "Hu et al., Early Action Prediction by Soft Regression, TPAMI 2019"
    ),
    "longt_gan": System(
        "LongT GAN", "AAAI 18", "linear",
        "Zheng et al., Unsupervised Representation Learning with Long-Term Dynamics for Skeleton Based Action"
        " Recognition, AAAI 2018",
    ),
    "ms2l": System(
        "MS²L", "ACM MM 20", "linear",
        "Lin et al., MS²L: Multi-Task Self-Supervised Learning for Skeleton Based Action Recognition, ACM MM 2020",
    ),
    "predict_cluster": System(
        "P&C", "CVPR 20", "linear",
        "Su et al., Predict & Cluster: Unsupervised Skeleton Based Action Recognition, CVPR 2020",
    ),
    "as_cal": System(
        "AS-CAL", "Information Sciences 21", "linear",
        "Rao et al., Augmented Skeleton Based Contrastive Action Learning with Momentum LSTM for Unsupervised Action"
        " Recognition, Information Sciences 2021",
    ),
    "colorization": System(
        "Colorization", "ICCV 21", "linear",
        "Yang et al., Skeleton Cloud Colorization for Unsupervised 3D Action Representation Learning, ICCV 2021",
    ),
    "skeletonclr": System(
        "SkeletonCLR", "CVPR 21", "linear",
        "Li et al., 3D Human Action Representation Learning via Cross-View Consistency Pursuit, CVPR 2021",
    ),
    "crossclr": System(
        "CrosSCLR", "CVPR 21", "linear",
        "Li et al., 3D Human Action Representation Learning via Cross-View Consistency Pursuit, CVPR 2021",
    ),
    "isc": System(
        "ISC", "ACM MM 21", "linear",
        "Thoker et al., Skeleton-Contrastive 3D Action Representation Learning, ACM MM 2021",
    ),
    "aimclr": System(
        "AimCLR", "AAAI 22", "linear",
        "Guo et al., Contrastive Learning from Extremely Augmented Skeleton Sequences for Self-Supervised Action"
        " Recognition, AAAI 2022",
    ),
    "crosnnclr": System(
        "CrosNNCLR", "CIRAC 22", "linear",
        "Zhang et al., Cross-View Nearest Neighbor Contrastive Learning of Human Skeleton Representation, 2022",
    ),
    "crosnnclr_star": System(
        "CrosNNCLR*", "CIRAC 22", "linear",
        "Zhang et al., Cross-View Nearest Neighbor Contrastive Learning of Human Skeleton Representation, 2022",
    ),
}  # fmt: skip
# Recipes that are a system's, made for other data, are called it with one of these before its name.
PREFIXES = ("small_", "demo_")


def system_of(recipe: str) -> str:
    """The system that a recipe trains, as `small_crosnnclr` does crosnnclr; the recipe's own name where it is none."""
    bare = next((recipe.removeprefix(prefix) for prefix in PREFIXES if recipe.startswith(prefix)), recipe)
    return bare if bare in SYSTEMS else recipe


def recipe_order(name: str) -> tuple[int, int, str]:
    """A key that sorts recipes as they are listed everywhere: the paper's, those for small data, the demo's, others."""
    for place, prefix in enumerate(("", *PREFIXES)):
        system = name.removeprefix(prefix)
        if system in SYSTEMS and name == prefix + system:
            return place, [*SYSTEMS].index(system), name
    return len(PREFIXES) + 1, 0, name


def recipes() -> list[str]:
    """The recipes that ship, in the paper's order."""
    return sorted(names("models"), key=recipe_order)


def find_recipe(name_or_path: str | os.PathLike[str]) -> Path:
    """The file of a recipe, by name or path.

    Raises:
        BadInput: there is none; names the nearest, and all that ship.
    """
    return find("models", name_or_path, known=recipes())


def missing() -> list[str]:
    """The systems of the paper that have no shipped recipe, by the recipe's name."""
    shipped = names("models")
    return [name for name in SYSTEMS if name not in shipped]
