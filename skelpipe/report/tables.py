"""Everything that the page says, as plain values: accuracies as fractions, published ones in percent."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from skelpipe import __version__, paper
from skelpipe.evaluation.fuse import ONLY
from skelpipe.plots.style import class_names
from skelpipe.report.cells import Cell, Column, beside_top1, cells_of, columns_of, warnings_of
from skelpipe.report.collect import Found, Result, data_title
from skelpipe.report.experiments import (
    Catalogue,
    Experiment,
    caption,
    in_order,
    main_results,
    usual_experiments,
)
from skelpipe.report.labels import family, protocol_title, split_key, split_title, stream_key
from skelpipe.report.missing import measured_without_figure, missing_of_exhibit, published_without_result
from skelpipe.report.paper_shape import measured, standing
from skelpipe.report.sweeps import find_sweeps
from skelpipe.report.warned import list_warnings, mark_warned

WIDEST = 11  # columns; splits that need more together have a table each


def tabulate(found: Found, told: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The content of `report.json`, but for what the figures add.

    Args:
        told: a table or figure of the paper, as `paper_shape.shape` gives it; only what it asks for is then missing.
    """
    results, catalogue = found.results, Catalogue(found.results)
    paths = standing(measured(results))
    standing_rows = {(catalogue[r], r.stream, r.split) for r in results if r.path in paths}
    splits = sorted({r.split for r in results}, key=split_key)
    sources: list[str] = []
    tables = [
        _table(
            _title(title, some, results),
            some,
            [r for r in results if r.split in some],
            catalogue,
            sources,
            standing_rows,
        )
        for title, some in _families(splits, results, catalogue)
    ]
    summary = [
        line for split in splits for line in _summary(split, [r for r in results if r.split == split], catalogue)
    ]
    evaluations = [_evaluation(r, catalogue) for r in results]
    warnings = list_warnings(results, catalogue)
    mark_warned(warnings, tables, summary, evaluations)
    return {
        "skelpipe": __version__,
        "summary": summary,
        "tables": tables,
        "missing": published_without_result(tables, results, catalogue) if told is None else missing_of_exhibit(told),
        "paper": told,
        "sources": sources,
        "evaluations": evaluations,
        "published": {split: _published_rows(split) for split in splits},
        "per_class": _per_class(results, catalogue),
        "sweeps": [s for split in splits for s in find_sweeps([r for r in results if r.split == split], catalogue)],
        "warnings": warnings,
        "runs": [{"path": r.shown, "settings": r.settings, "epochs_logged": len(r.log)} for r in found.runs],
    }


def _families(
    splits: Sequence[str], results: Sequence[Result], catalogue: Catalogue
) -> list[tuple[str, Sequence[str]]]:
    """(title, splits) of the tables: the splits of one data set share one, unless it grew too wide."""
    groups: dict[str, list[str]] = {}
    for split in splits:
        groups.setdefault(family(split), []).append(split)
    found: list[tuple[str, Sequence[str]]] = []
    for title, group in groups.items():
        width = sum(len(columns_of([r for r in results if r.split == split], catalogue)) + 2 for split in group)
        found += [(title, group)] if width <= WIDEST else [(split_title(split), [split]) for split in group]
    return found


# ---------------------------------------------------------------------------------------------------------------------
# One table


def _table(
    title: str,
    splits: Sequence[str],
    results: Sequence[Result],
    catalogue: Catalogue,
    sources: list[str],
    standing_rows: Collection[tuple[Experiment, str, str]],
) -> dict[str, Any]:
    of_split = {split: [r for r in results if r.split == split] for split in splits}
    columns = {split: columns_of(of_split[split], catalogue) for split in splits}
    groups = in_order(catalogue[r] for r in results)
    usual = {s: _usual(groups, {catalogue[r] for r in of_split[s]}) for s in splits}
    rows = []
    for experiment in groups:
        own = [r for r in results if catalogue[r] == experiment]
        streams = {r.stream for r in own}
        if not experiment.origin:
            known = [f for s in splits if experiment in usual[s] for f in paper.published(experiment.recipe, s)]
            streams |= {stream for kind, stream, f in known if _applies(kind, experiment) and not f.epochs}
        made = []
        for stream in sorted(streams, key=stream_key):
            here = {s: [r for r in own if r.stream == stream and r.split == s] for s in splits}
            cells = {s: cells_of(here[s], columns[s], catalogue) for s in splits}
            published = {
                s: _published(
                    experiment,
                    experiment in usual[s],
                    stream,
                    s,
                    [(c["protocol"], cells[s][c["key"]]) for c in columns[s] if c["key"] in cells[s]],
                    here[s] or of_split[s],
                    sources,
                )
                for s in splits
            }
            made.append({"stream": stream, "cells": cells, "published": published, "run": any(here.values())})
        rows.append(_group(experiment, made))
    bare = measured_without_figure(rows, splits, lambda n, stream, s: (groups[n], stream, s) in standing_rows)
    beside = {s: [e["published"][s] for row in rows for e in row["streams"]] for s in splits}
    return {
        "title": title,
        "splits": [
            {
                "split": s,
                "title": data_title(s, of_split[s]),
                "columns": columns[s],
                "layout": _layout(columns[s], beside[s]),
                "marked": any(not p["comparable"] for each in beside[s] for p in each.values()),
                **_split_facts(of_split[s]),
            }
            for s in splits
        ],
        "groups": rows,
        "missing": {"results": [], "figures": bare},
    }


def _title(title: str, splits: Sequence[str], results: Sequence[Result]) -> str:
    """The title of a table; synthetic recordings in the form of a benchmark are not called as it is."""
    synthetic = {r.synthetic for r in results if r.split in splits}
    return f"{title} ({'partly ' if len(synthetic) > 1 else ''}synthetic)" if True in synthetic else title


def _usual(groups: Sequence[Experiment], here: Collection[Experiment]) -> set[Experiment]:
    """The experiments that a split's usual figures stand beside: of those measured there, or else of all."""
    measured = {(e.recipe, e.origin) for e in here}
    return usual_experiments(here) | usual_experiments(e for e in groups if (e.recipe, e.origin) not in measured)


def _group(experiment: Experiment, streams: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "label": experiment.label,
        "recipe": experiment.recipe,
        "epochs": experiment.epochs,
        "variant": experiment.variant.exact,
        "origin": experiment.origin,
        "kind": experiment.kind,
        "untrained": experiment.untrained,
        "streams": streams,
    }


def _applies(kind: str, experiment: Experiment) -> bool:
    """Whether a figure published by that protocol may stand beside an experiment.

    Papers tell of transfer as of a protocol of its own, and of a classifier trained with the encoder as of another.
    """
    if kind in ("linear", "supervised", "transfer"):
        return kind == experiment.kind
    return not experiment.origin


def _layout(columns: Sequence[Column], published: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The columns in order, and beside those of a protocol the published figures for it, if any, and the difference."""
    known = dict.fromkeys(kind for each in published for kind in each)
    order: list[dict[str, str]] = []
    for place, c in enumerate(columns):
        order.append({"kind": "cell", "key": c["key"], "title": c["title"]})
        kind = c["protocol"]
        last = all(later["protocol"] != kind for later in columns[place + 1 :])
        if last and kind in known:
            known.pop(kind)
            order.append({"kind": "published", "key": kind, "title": "published"})
    return order + [{"kind": "published", "key": kind, "title": f"{kind}, published"} for kind in known]


def _published(
    experiment: Experiment,
    usual: bool,
    stream: str,
    split: str,
    cells: Sequence[tuple[str, Cell]],
    results: Sequence[Result],
    sources: list[str],
) -> dict[str, dict[str, Any]]:
    """By protocol the published figure, its source's number, and our difference in points.

    There is a difference where the clips of `results` (the row's own, or else the split's) are the benchmark's.
    """
    if experiment.untrained:
        return {}
    same = all(
        paper.comparable(split, r.metrics.get("train_clips"), r.metrics.get("test_clips")) is not False for r in results
    )
    found: dict[str, dict[str, Any]] = {}
    for kind in paper.protocols():
        known = paper.figures(
            experiment.recipe,
            stream,
            split,
            protocol=kind,
            epochs=experiment.epochs,
            pretrained_on=experiment.origin or None,
        )
        known = [f for f in known if usual or f.epochs is not None]
        if not known or not _applies(kind, experiment):
            continue
        first, *others = known
        if first.source not in sources:
            sources.append(first.source)
        mine = next((cell for protocol, cell in cells if protocol == kind), None)
        found[kind] = {
            "value": first.value,
            "epochs": first.epochs,
            "source": sources.index(first.source) + 1,
            "others": [{"value": f.value, "source": f.source} for f in others],
            "measured": mine is not None,
            "difference": 100 * mine["mean"] - first.value if mine and same else None,
            "comparable": same,
        }
    return found


def _split_facts(results: Sequence[Result]) -> dict[str, Any]:
    """Clips used, chance level and whether these are the benchmark's clips, for the results of one split."""
    used = sorted({(r.metrics.get("train_clips"), r.metrics.get("test_clips")) for r in results}, key=str)
    split = results[0].split
    present = [_present(r) for r in results]
    counts = paper.benchmarks().get(split, {}).get("clips")
    return {
        "clips": [{"train": a, "test": b} for a, b in used] if results[0].fold is None else [],
        "folds": len({r.fold for r in results if r.fold}),
        "benchmark": counts,
        "comparable": all(paper.comparable(split, a, b) is not False for a, b in used),
        "classes": max(present),
        "chance": 1 / max(present),
        "datasets": sorted({str(r.metrics["dataset"]) for r in results}),
    }


def _present(result: Result) -> int:
    """How many classes have test clips: chance is one over that, whatever the classifier's width."""
    if isinstance(stated := result.metrics.get("classes_present"), int) and stated > 0:
        return stated
    counts = [
        sum(v is not None for v in p["per_class"])
        for p in result.protocols.values()
        if isinstance(p.get("per_class"), list)
    ]
    return max([*counts, 0]) or max(1, int(result.metrics["classes"]))


# ---------------------------------------------------------------------------------------------------------------------
# Above and below the tables


def _published_rows(split: str) -> list[dict[str, Any]]:
    return [
        {
            "method": row["method"],
            **{key: row[key] for key in ("stream", "protocol", "epochs")},
            "value": value,
            "source": source,
        }
        for row, value, source in paper.rows_for(split)
    ]


def _summary(split: str, results: Sequence[Result], catalogue: Catalogue) -> list[dict[str, Any]]:
    """For one split the best trained result, the best untrained one, and chance, all by the first protocol."""
    columns = columns_of(results, catalogue)
    if not columns:
        return []
    line: dict[str, Any] = {
        "split": split,
        "title": data_title(split, results),
        "protocol": columns[0]["title"],
        **_split_facts(results),
    }
    rows: dict[tuple[Experiment, str], list[Result]] = {}
    for r in results:
        rows.setdefault((catalogue[r], r.stream), []).append(r)
    for (experiment, stream), alike in rows.items():
        cell = cells_of(alike, columns[:1], catalogue).get(columns[0]["key"])
        name = "untrained" if experiment.untrained else "best"
        if cell and (name not in line or cell["mean"] > line[name]["mean"]):
            line[name] = {"label": experiment.label, "stream": stream, **cell}
    return [line]


def _evaluation(r: Result, catalogue: Catalogue) -> dict[str, Any]:
    """One folder's own line: every protocol with all its figures, and how it was made."""
    made, experiment = r.provenance, catalogue[r]
    return {
        "path": r.shown,
        "kind": r.kind,
        "synthetic": r.synthetic,
        "label": experiment.label,
        "variant": experiment.variant.exact,
        **{key: r.metrics.get(key) for key in ("recipe", "method", "dataset", "seed", "epochs")},
        "split": r.split if r.fold is None else r.metrics["split"],
        **{key: r.metrics.get(key) for key in ("pretrained_on", "train_clips", "test_clips", "classes")},
        **{key: r.metrics.get(key) for key in ("parts", "left_out")},
        "stream": r.stream,
        "protocols": [
            {
                "name": protocol_title(name, p),
                **{key: p.get(key) for key in ("top1", "top5", "map", "recall", "draws", "std", "labelled", "rate")},
                **{key: p.get(key) for key in ("balanced", "macro_f1", "best_on_validation", "best_on_test")},
                "knn": own if isinstance(own := p.get("knn"), dict) else {},
                "interval": beside_top1(name, p).get("interval"),
                "settings": own if isinstance(own := p.get("settings"), dict) else {},
                "warnings": warnings_of(name, p),
            }
            for name, p in r.protocols.items()
        ],
        "settings": r.settings,
        **{
            key: made.get(key)
            for key in ("command", "skelpipe", "python", "libraries", "finished", "seconds", "digest")
        },
    }


def _per_class(results: Sequence[Result], catalogue: Catalogue, most: int = 5) -> list[dict[str, Any]]:
    """The classes recognised best and worst, for the most complete stream of each recipe; means over the seeds."""
    found = []
    for group in main_results([r for r in results if r.epochs], catalogue):
        first = group[0]
        name = next((n for n, p in first.protocols.items() if p.get("per_class")), None)
        if name is None:
            continue
        lists = [r.protocols[name]["per_class"] for r in group if name in r.protocols]
        rows = [each for each in lists if each and len(each) == len(lists[0])]
        means = {
            c: statistics.fmean(values)
            for c in range(len(rows[0]))
            if len(values := [row[c] for row in rows if row[c] is not None]) == len(rows)
        }
        names = class_names(first.metrics, int(first.metrics["classes"]), first.metrics.get(ONLY))
        ordered = sorted(means, key=lambda c: (-means[c], c))
        half = min(most, len(ordered) // 2)
        found.append(
            {
                "title": caption(first, catalogue[first]),
                "protocol": protocol_title(name, first.protocols[name]),
                "seeds": len(rows),
                "best": [{"class": names[c], "accuracy": means[c]} for c in ordered[:half]],
                "worst": [{"class": names[c], "accuracy": means[c]} for c in ordered[::-1][:half]],
            }
        )
    return found
