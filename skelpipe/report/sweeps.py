"""Settings that were varied over three values or more: accuracy against the value, as plain values for a line chart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from skelpipe.report.cells import cells_of, columns_of
from skelpipe.report.collect import Result
from skelpipe.report.experiments import Catalogue, Experiment, in_order
from skelpipe.report.labels import SETTINGS, recipe_name, setting_label, split_title, stream_key

FEWEST = 3  # values that make a line
MOST_PANELS = 3


def find_sweeps(results: Sequence[Result], catalogue: Catalogue) -> list[dict[str, Any]]:
    """The sweeps among the trained results of one split.

    Returns:
        For pretraining epochs, and for each setting with numeric values, {split, title, setting, name, doubling,
        panels}; a panel is a column with its lines, {label, points}; a point is {x, mean, std, n}. `doubling` says that
        all values are powers of two.
    """
    trained = [r for r in results if not catalogue[r].untrained]
    experiments = in_order(catalogue[r] for r in trained)
    keys = sorted({key for e in experiments for key, value in e.variant.settings.items() if _is_number(value)})
    found, drawn = [], set[str]()
    for key in ["epochs", *keys]:
        if key in drawn:
            continue
        lines, together = _lines(key, experiments)
        panels = _panels(key, lines, trained, catalogue)
        if panels:
            drawn |= together
            values = {p["x"] for panel in panels for line in panel["lines"] for p in line["points"]}
            found.append(
                {
                    "split": trained[0].split,
                    "title": split_title(trained[0].split),
                    "setting": key,
                    "name": "pretraining epochs" if key == "epochs" else SETTINGS.get(key, key),
                    "doubling": key != "epochs" and all(_is_power_of_two(value) for value in values),
                    "panels": panels,
                }
            )
    return found


def _lines(key: str, experiments: Sequence[Experiment]) -> tuple[dict[str, dict[float, Experiment]], set[str]]:
    """Label -> value -> experiment, for the experiments that differ in `key` alone; and what else varies along with it.

    Settings that go with the value one to one (a layer that is as wide as the one before) count as the same setting.
    """
    groups: dict[tuple[Any, ...], list[Experiment]] = {}
    for e in experiments:
        if _is_number(_value(e, key)):
            length = None if key == "epochs" else e.epochs
            groups.setdefault((e.recipe, e.origin, length, frozenset(e.variant.settings)), []).append(e)
    lines: dict[str, dict[float, Experiment]] = {}
    together = {key}
    for (recipe, origin, length, settings), members in groups.items():
        along = {other for other in settings - {key} if key != "epochs" and _go_together(key, other, members)}
        together |= along
        several = len({other for _, _, other, _ in groups}) > 1
        for e in members:
            rest = {k: v for k, v in e.variant.settings.items() if k != key and k not in along}
            parts = (
                recipe_name(recipe),
                f"{length} epochs" if several else "",
                setting_label(rest),
                f"pretrained on {split_title(origin)}" if origin else "",
            )
            lines.setdefault(", ".join(p for p in parts if p), {})[float(_value(e, key))] = e
    return {label: line for label, line in lines.items() if len(line) >= FEWEST}, together


def _panels(
    key: str, lines: Mapping[str, Mapping[float, Experiment]], results: Sequence[Result], catalogue: Catalogue
) -> list[dict[str, Any]]:
    members = {e for line in lines.values() for e in line.values()}
    mine = [r for r in results if catalogue[r] in members]
    panels = []
    for column in columns_of(mine, catalogue):
        drawn = []
        for label, line in lines.items():
            for stream in sorted({r.stream for r in mine if catalogue[r] in line.values()}, key=stream_key):
                points = []
                for x, experiment in sorted(line.items()):
                    here = [r for r in mine if catalogue[r] == experiment and r.stream == stream]
                    if cell := cells_of(here, [column], catalogue).get(column["key"]):
                        points.append({"x": x, **{k: cell[k] for k in ("mean", "std", "n")}})
                if len(points) >= FEWEST:
                    drawn.append({"label": f"{label}, {stream}", "points": points})
        if drawn:
            panels.append({"title": column["title"], "lines": drawn})
    return panels[:MOST_PANELS]


def _value(experiment: Experiment, key: str) -> Any:
    return experiment.epochs if key == "epochs" else experiment.variant.settings.get(key)


def _go_together(key: str, other: str, members: Sequence[Experiment]) -> bool:
    """Whether each value of one setting belongs to one value of the other."""
    pairs = {(json.dumps(e.variant.settings[key]), json.dumps(e.variant.settings[other])) for e in members}
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_power_of_two(value: float) -> bool:
    return value >= 1 and value.is_integer() and int(value) & (int(value) - 1) == 0
