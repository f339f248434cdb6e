"""Columns of the tables, and what stands in one cell: mean and deviation over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from skelpipe.evaluation.intervals import stored_interval
from skelpipe.report.collect import Result
from skelpipe.report.experiments import Catalogue, accuracies
from skelpipe.report.labels import column_key, protocol_title

Column = dict[str, str]
Cell = dict[str, Any]
Warned = dict[str, Any]
BESIDE = ("balanced", "macro_f1")  # figures of the same scores that stand beside top-1
Repetition = tuple[str, int]


def columns_of(results: Sequence[Result], catalogue: Catalogue) -> list[Column]:
    """The columns that the results of one split fill, each with its key, title and protocol; linear first."""
    names = {title: name for r in results for title, name, _ in catalogue.figures(r)}
    ordered = sorted(names, key=lambda title: column_key(names[title], title))
    return [{"key": title, "title": title, "protocol": names[title]} for title in ordered]


def cells_of(results: Sequence[Result], columns: Sequence[Column], catalogue: Catalogue) -> dict[str, Cell]:
    """The cells of one row by column; of a fold and seed the newest evaluation counts."""
    newest: dict[str, dict[Repetition, list[float]]] = {}
    warned: dict[str, dict[Repetition, list[Warned]]] = {}
    beside: dict[str, dict[Repetition, dict[str, Any]]] = {}
    older: dict[str, int] = {}
    for r in sorted(results, key=lambda r: str(r.provenance.get("finished", ""))):
        for title, name, protocol in catalogue.figures(r):
            seeds = newest.setdefault(title, {})
            older[title] = older.get(title, 0) + (r.repetition in seeds)
            seeds[r.repetition] = accuracies(name, protocol)
            warned.setdefault(title, {})[r.repetition] = warnings_of(name, protocol)
            beside.setdefault(title, {})[r.repetition] = beside_top1(name, protocol)
    titles = [c["key"] for c in columns if c["key"] in newest]
    return {t: {**_cell(newest[t], older[t], warned[t]), **_beside(beside[t])} for t in titles}


def beside_top1(name: str, protocol: Mapping[str, Any]) -> dict[str, Any]:
    """What stands beside an accuracy: the values of BESIDE, one a draw, and the `interval`; nothing of retrieval."""
    if name == "retrieval":
        return {}
    drawn = protocol.get("draws_of")
    found: dict[str, Any] = {}
    for key in BESIDE:
        each = drawn.get(key) if isinstance(drawn, Mapping) else None
        values = each if isinstance(each, list) and each else [protocol.get(key)]
        finite = [float(v) for v in values if isinstance(v, int | float) and math.isfinite(v)]
        if len(finite) == len(values):
            found[key] = finite
    if of := stored_interval(protocol.get("interval")):
        found["interval"] = of
    return found


def _beside(seeds: Mapping[Repetition, Mapping[str, Any]]) -> dict[str, Any]:
    """The same of all seeds and folds: of each figure mean and deviation; an interval is that of a single one."""
    found: dict[str, Any] = {}
    for key in BESIDE:
        if all(key in each for each in seeds.values()):
            found[key] = _spread([value for seed in sorted(seeds) for value in seeds[seed][key]])
    (only, *others) = seeds.values()
    if "interval" in only and not others:
        found["interval"] = only["interval"]
    return found


def _spread(values: Sequence[float]) -> dict[str, Any]:
    return {"mean": statistics.fmean(values), "std": statistics.stdev(values) if len(values) > 1 else None}


def warnings_of(name: str, protocol: Mapping[str, Any]) -> list[Warned]:
    """What a protocol's figure of one folder is to be read with: {protocol, text} each."""
    return [{"protocol": protocol_title(name, protocol), "text": str(text)} for text in protocol.get("warnings") or []]


def _cell(seeds: dict[Repetition, list[float]], older: int, warned: dict[Repetition, list[Warned]]) -> Cell:
    """Mean, std (divisor n - 1) and n over the values of all folds and seeds; of several draws each counts."""
    told = {each["text"]: each for seed in sorted(warned) for each in warned[seed]}
    values = [value for seed in sorted(seeds) for value in seeds[seed]]
    return {
        **_spread(values),
        "n": len(values),
        "seeds": sorted({seed for _, seed in seeds}),
        **({"folds": folds} if (folds := sorted({fold for fold, _ in seeds if fold})) else {}),
        "values": values,
        **({"older_left_out": older} if older else {}),
        **({"warnings": list(told.values())} if told else {}),
    }
