"""Which pages a search shows first, and words that people look for and that a page does not have in its title."""

from __future__ import annotations

# By the first of these that a page's path begins with.
BOOSTS = {
    "changelog.md": 0.3, "api/": 0.5, "positives/": 0.5, "layouts/": 0.5, "augmentations/": 0.6, "recipes/": 0.4,
    "pipelines/": 0.7, "encoders/": 0.8, "protocols/": 0.9, "notebooks/": 0.9, "methods/": 3.0, "datasets/": 1.0,
    "preparation.md": 1.0, "optimisation.md": 1.0, "index.md": 1.0, "running-pipelines.md": 1.0, "cli/": 6.0, "": 2.0,
}  # fmt: skip
WORDS = {
    "own-data.md": ["own data", "custom data set"],
    "reliability.md": ["Ctrl-C", "interrupt", "resume"],
    "cli/pretrain.md": ["pretraining", "resume"],
    "predict.md": ["inference", "video"],
    "cluster.md": ["SLURM", "several GPUs"],
}


def boost(path: str) -> float:
    """How much more what is found on a page counts than on another."""
    return next(value for start, value in BOOSTS.items() if path.startswith(start))


def words(path: str) -> list[str]:
    """Further words by which a page is found."""
    return WORDS.get(path, [])
