"""Pipelines as files: the YAML of one, and the YAML of a data set of one's own, which stands for one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from skelpipe.errors import BadInput
from skelpipe.pipeline.spec import NAME, Pipeline, is_described
from skelpipe.recordings.poses.described import Description
from skelpipe.resources import find
from skelpipe.settings import check, load_yaml

OF_DATASET = {"layout", "raw", "labels", "class_names"}  # keys that a pipeline does not have
SMALL = ("small_skeletonclr", "small_crosnnclr")  # of a data set whose YAML says nothing of recipes


def load_pipeline(name_or_path: str | os.PathLike[str], overrides: Iterable[str] = ()) -> tuple[Pipeline, Path]:
    """Read a shipped pipeline by its name, or any other by its path.

    Args:
        overrides: KEY=VALUE changes, the value in YAML (`seeds=[0,1,2]`).

    Raises:
        BadInput: no such pipeline, or all its wrong keys and values at once.
    """
    path = find("pipelines", name_or_path)
    if not NAME.fullmatch(path.stem):
        raise BadInput(path, "its name also names folders", "use letters, digits, '_', '-', '+' and '.' only")
    stated = load_yaml(path)
    if "recipes" not in stated and stated.keys() & OF_DATASET:
        stated = _of_dataset(stated, path)
    elif is_described(stated.get("dataset")):
        stated = {**stated, "dataset": os.path.abspath(path.parent / stated["dataset"])}
    _check_places(stated.get("recipes"), path)
    return check(Pipeline, stated, path, [*overrides]), path


def _of_dataset(described: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The pipeline that the YAML of a data set stands for: small recipes on its splits, or what it says itself."""
    told = check(Description, described, path)
    own, splits = told.pipeline, told.splits
    if not splits and "splits" not in own:
        what = "names no splits, so that there is nothing to measure"
        raise BadInput(path, what, "write for example 'splits: {by_person: {subject: {train: [1, 2], test: [3]}}}'")
    usual = {
        "title": str(described.get("title") or described.get("name") or path.stem),
        "splits": [*splits], "recipes": [*SMALL], "probe": "lbfgs",
    }  # fmt: skip
    return {**usual, **own, "dataset": os.path.abspath(path)}


def _check_places(recipes: Any, path: Path) -> None:
    """Raise BadInput if a pipeline file names a recipe outside its own folder; on the command line one may.

    It may come from somebody else, who is not to choose which files are read here.
    """
    for entry in recipes if isinstance(recipes, list) else ():
        if not isinstance(entry, str) or not is_path_like(entry):
            continue
        if not (path.parent / entry).resolve().is_relative_to(path.parent.resolve()):
            what = f"recipes: {entry} lies outside the folder of the pipeline"
            raise BadInput(path, what, "put it there, or name it by --set recipes=[...]")


def is_path_like(entry: str) -> bool:
    return entry.endswith(".yaml") or "/" in entry
