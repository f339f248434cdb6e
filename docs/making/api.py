"""The reference of the Python API: every public name of `skelpipe`, by what it is for."""

from __future__ import annotations

import skelpipe
from making.reading import page, summary, table

GROUPS: dict[str, tuple[str, str]] = {
    "data": (
        "Recordings, stores and clips",
        "synth ingest open_store Store Recording prepare open_clips Clips list_datasets list_splits",
    ),
    "training": (
        "Recipes and training",
        "load_recipe list_recipes Recipe pretrain open_run Run list_pipelines",
    ),
    "measuring": (
        "Evaluations",
        "evaluate open_evaluation Evaluation fuse list_protocols linear_probe knn Probed",
    ),
    "models": ("Trained models", "load Model Predictions"),
    "views": (
        "Layouts, streams and views",
        "get_layout list_layouts Layout compute_stream build_view augment View list_augmentations"
        " describe_augmentation "
        "Augmentation",
    ),
    "pictures": ("Pictures", "draw_motion animate draw_confusion draw_map Picture"),
    "loops": ("Clips for a training loop", "ClipsDataset Batches"),
    "encoders": ("Encoders", "build_encoder list_encoders Encoder"),
    "losses": (
        "Losses and the queue",
        "info_nce crosnnclr_loss nnm_loss d3m_loss cross_stream_loss nt_xent attention_drop Queue momentum_update",
    ),
    "extending": ("Methods and extensions", "get_method list_methods list_positives Method Options register BadInput"),
}
APART = {"__version__"}  # public, and told of in a sentence


def names() -> list[str]:
    """The public names of the package."""
    return [name for name in skelpipe.__all__ if name not in APART]


def grouped() -> list[str]:
    """Those that have a place in a group."""
    return [name for _, listed in GROUPS.values() for name in listed.split()]


def pages() -> dict[str, str]:
    """A page for each group, and one that lists all names."""
    made = {}
    parts = []
    for key, (title, listed) in GROUPS.items():
        entries = [f"::: skelpipe.{name}" for name in listed.split()]
        made[f"api/{key}.md"] = page(title, *entries)
        rows = [[f"[`sk.{name}`]({key}.md#skelpipe.{name})", summary(getattr(skelpipe, name).__doc__)]
                for name in listed.split()]  # fmt: skip
        parts += [f"## {title}", table(["name", "what it is"], rows)]
    return {
        "api/index.md": page(
            "Python API",
            "These names are public, and `skelpipe.NAME` the only path by which they are promised."
            " `skelpipe.__version__` is"
            " the version. How they are used together stands in [In Python](../python.md).",
            *parts,
        ),
        **made,
    }
