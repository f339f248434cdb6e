"""What splits, recipes, streams, protocols and settings are called on the page, and in which order they stand."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

from skelpipe import paper
from skelpipe.errors import BadInput
from skelpipe.evaluation.fuse import STREAM_ORDER
from skelpipe.evaluation.protocols import PROTOCOLS
from skelpipe.paper.systems import SYSTEMS, recipe_order
from skelpipe.recordings.datasets import find_split
from skelpipe.recordings.datasets.rules import spans
from skelpipe.recordings.datasets.stated import is_stated
from skelpipe.resources import find, names
from skelpipe.settings import load_yaml

STREAM_RANK = {name: rank for rank, name in enumerate((*STREAM_ORDER, "3s"))}
# What the settings that are swept most are called; any other stands as key=value.
SETTINGS = {
    "method.queue_size": "queue size",
    "method.momentum": "key momentum",
    "method.temperature": "temperature",
    "method.key_init": "key init",
    "encoder.features": "features",
    "encoder.width": "width",
    "projector.size": "embedding",
    "projector.hidden": "hidden layer",
    "positives.name": "positives",
    "positives.form": "form",
    "positives.nn_start_epoch": "neighbours after epoch",
    "positives.top_k": "neighbours",
    "optimizer.lr": "rate",
    "lr": "rate",
    "epochs": "epochs",
    "mode": "mode",
    "batch_size": "batch",
    "balance": "balance",
    "bodies": "bodies",
    "frames": "frames",
    "init": "init",
    "precision": "precision",
    "measured_on": "measured on",
    **{f"prepared.{key}": f"clips' {key}" for key in ("bodies", "centre", "turn", "longest", "length")},
    "prepared.preparation": "clips'",
}
CLASSES = ", only classes "
SEMI = re.compile(r"semi(\d+(?:\.\d+)?)")
FEWSHOT = re.compile(r"fewshot(\d+|_all)")


# ---------------------------------------------------------------------------------------------------------------------
# Splits, recipes, streams


def split_title(split: str) -> str:
    """ "NTU-60 xsub" for xsub60; what a stated split says; the split itself where it is neither."""
    split, limited, which = split.partition(CLASSES)
    if limited:
        return f"{split_title(split)}{CLASSES}{which}"
    if known := paper.benchmarks().get(split):
        return str(known["title"])
    if is_stated(split):
        with suppress(BadInput):  # of a package that is no longer there
            return find_split(split).title
    return split


def family(split: str) -> str:
    """ "NTU-60" for xsub60: the splits of one data set share a table."""
    title = split_title(split)
    return title if is_stated(split) or CLASSES in split else title.rsplit(" ", 1)[0]


def with_classes(split: str, only: Iterable[int]) -> str:
    """How a split is called of which only some classes were evaluated, by their numbers from 1."""
    return f"{split}{CLASSES}{spans(only)}"


def split_key(split: str) -> tuple[int, str]:
    """Benchmarks in the order of `paper/tables.yaml`, others after them."""
    order = list(paper.benchmarks())
    whole = split.partition(CLASSES)[0]
    return (order.index(whole) if whole in order else len(order), split)


def recipe_key(recipe: str) -> tuple[int, int, str]:
    """The published methods in the paper's order, others after them."""
    return recipe_order(recipe)


def stream_key(stream: str) -> tuple[int, str]:
    """Single streams, then fusions."""
    return (STREAM_RANK.get(stream, len(STREAM_RANK)), stream)


def recipe_name(recipe: str) -> str:
    """A published method's own name, else the recipe's; in brackets whether it is supervised, or a reading."""
    told = [f"reading {reading}"] if (reading := reading_of(recipe)) else []
    if recipe not in SYSTEMS:
        return f"{recipe} ({told[0]})" if told else recipe
    system = SYSTEMS[recipe]
    told = [*(["supervised"] if system.protocol == "supervised" else []), *told]
    return f"{system.title} ({', '.join(told)})" if told else system.title


@cache
def reading_of(recipe: str) -> str:
    """What the shipped recipe of that name calls itself, if it is one reading of a source that leaves much open."""
    return str(load_yaml(find("models", recipe)).get("reading", "")) if recipe in names("models") else ""


def figure_text(value: float) -> str:
    """A published figure with as many decimals as it has, at least one."""
    return f"{value:.1f}" if round(value, 1) == value else f"{value:g}"


# ---------------------------------------------------------------------------------------------------------------------
# Protocols


def protocol_title(name: str, protocol: Mapping[str, Any]) -> str:
    """What a protocol is called; other settings of a protocol make another title."""
    if name == "knn":
        k = protocol.get("k", 1)
        return "1-NN" if k == 1 else f"kNN, k = {k}"
    if share := SEMI.fullmatch(name):
        return f"semi {share[1]} %"
    if few := FEWSHOT.fullmatch(name):
        return "few-shot, all" if few[1] == "_all" else f"{few[1]}-shot"
    probe = protocol.get("probe")
    return f"{name} ({probe})" if probe not in (None, "reference") else name


def column(name: str, protocol: Mapping[str, Any]) -> str:
    """The title of the column that a protocol's figure stands in."""
    if name == "retrieval":
        return "retrieval mAP" if "map" in protocol else "retrieval top-1"
    return protocol_title(name, protocol)


def column_key(name: str, title: str) -> tuple[int, float, str]:
    """The order of columns: that of the protocols, and of the labels that they take."""
    share, few, order = SEMI.fullmatch(name), FEWSHOT.fullmatch(name), [*PROTOCOLS]
    kind = "semi" if share else "fewshot" if few else name
    labels = float(share[1]) if share else 0.0
    if few:
        labels = math.inf if few[1] == "_all" else float(few[1])
    rank = 3 * (order.index(kind) if kind in order else len(order))
    return (rank + (title not in ("linear", "1-NN")), labels, title)


# ---------------------------------------------------------------------------------------------------------------------
# Settings


def setting_label(settings: Mapping[str, Any]) -> str:
    """Settings in short: "queue size 4096, crop only"."""
    views = {key.partition(".")[2]: value for key, value in settings.items() if key.startswith("views.")}
    parts = [_short(k, v) for k, v in settings.items() if not k.startswith("views.")]
    if views:
        each = {view: _steps(value) for view, value in views.items()}
        alike = len(set(each.values())) == 1
        parts += [next(iter(each.values()))] if alike else [f"{view} view: {steps}" for view, steps in each.items()]
    return ", ".join(parts)


def _short(key: str, value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)
    return f"{SETTINGS[key]} {text}" if key in SETTINGS else f"{key}={text}"


def _steps(view: Any) -> str:
    """The augmentations of a view: "crop only", "crop + shear", "shear (amplitude 0)"."""
    if not isinstance(view, list):
        return str(view)
    words = []
    for step in view:
        for name, options in step.items() if isinstance(step, Mapping) else [(step, None)]:
            given = ", ".join(f"{k} {v}" for k, v in options.items()) if isinstance(options, Mapping) else ""
            words.append(f"{name} ({given})" if given else str(name))
    return f"{words[0]} only" if len(words) == 1 else " + ".join(words) or "no augmentation"
