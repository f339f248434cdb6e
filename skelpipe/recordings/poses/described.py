"""A data set of one's own in a small YAML, which commands take where they take a data set's name.

name: gym
title: Gym recordings         # in print; may be left out, as all that follows but the layout
raw: recordings/              # beside this file; for pipelines
layout: coco17                # or a layout YAML
labels: labels.csv            # a table, joined by the names of recordings
class_names: classes.txt      # or a list
names: a{label}_s{subject}    # what the names of files tell
unit: mm                      # m, cm, mm, inch, foot; pixel or normalised in a picture
up: z                         # the axis that is up: y, -y, z, -z, x, -x
image: [1920, 1080]
fps: 25
splits:
  by_person: {subject: {train: [1, 2], test: [3]}}
  folds: subject:1of5         # a rule as --split takes it
  listed: split1.txt          # a list of names
pipeline: {seeds: [0, 1, 2]}  # keys of a pipeline
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from skelpipe.layouts import SUFFIXES
from skelpipe.recordings.datasets.listed import is_list
from skelpipe.recordings.poses.dataset import OwnPoses, own_poses
from skelpipe.settings import Settings, check, load_yaml


class Description(Settings):
    """The keys of the YAML."""

    name: str
    title: str | None = None
    raw: str | None = None
    layout: str
    labels: str | None = None
    class_names: str | list[str] | None = None
    names: str | None = None
    unit: str | None = None
    up: str | None = None
    image: str | tuple[int, int] | None = None
    fps: float | None = None
    splits: dict[str, Any] = Field(default_factory=dict)
    pipeline: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Described:
    """What a YAML describes: the data set, where its recordings are, and keys of a pipeline."""

    dataset: OwnPoses
    raw: Path | None
    pipeline: Mapping[str, Any]


def read_description(path: str | os.PathLike[str], **changes: Any) -> Described:
    """Read a YAML; paths in it are seen from its folder.

    Args:
        path: the file.
        changes: keys of `own_poses` that go before what the file says; None is none.

    Raises:
        BadInput: it cannot be read, or has an unknown key or a wrong value.
    """
    path = Path(path)
    told = check(Description, load_yaml(path), path)

    def beside(text: str | None) -> str | None:
        return None if text is None else os.fspath(path.parent / text)

    layout = beside(told.layout) if told.layout.lower().endswith(SUFFIXES) else told.layout
    classes = told.class_names
    given: dict[str, Any] = {
        "layout": layout, "name": told.name, "title": told.title, "labels": beside(told.labels),
        "class_names": beside(classes) if isinstance(classes, str) else classes or (), "names": told.names,
        "unit": told.unit, "up": told.up, "image": told.image, "fps": told.fps,
    }  # fmt: skip
    given |= {key: value for key, value in changes.items() if value not in (None, ())}
    lists = [each for each in told.splits.values() if isinstance(each, str) and is_list(each)]
    dataset = own_poses(
        **given,
        told_splits={name: _beside(rule, path) for name, rule in told.splits.items()},
        lists=[path, *(path.parent / each for each in lists)],
    )
    return Described(dataset, None if told.raw is None else path.parent / told.raw, told.pipeline)


def _beside(rule: Any, path: Path) -> Any:
    return os.fspath(path.parent / rule) if isinstance(rule, str) and is_list(rule) else rule
