"""What the evaluations warn of, and which figures of the page it is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from skelpipe.report.cells import warnings_of
from skelpipe.report.collect import Result
from skelpipe.report.experiments import Catalogue
from skelpipe.report.labels import recipe_name
from skelpipe.report.learnt import never_began


def list_warnings(results: Sequence[Result], catalogue: Catalogue) -> list[dict[str, Any]]:
    """Equal warnings once, with the folders that gave them; also which results hide behind a newer one."""
    found: dict[tuple[str, str], list[str]] = {}
    same: dict[tuple[Any, ...], list[str]] = {}
    for r in results:
        for title, _, _ in catalogue.figures(r):
            same.setdefault((title, catalogue[r], r.split, r.stream, r.repetition), []).append(r.shown)
    for key, where in same.items():
        if len(where) > 1:
            text = "more than one evaluation of the same seed; only the newest counts"
            found.setdefault((key[0], text), []).extend(where)
    for r in results:
        if text := never_began(r):
            found.setdefault((recipe_name(r.recipe), text), []).append(r.shown)
        for name, p in r.protocols.items():
            for each in warnings_of(name, p):
                found.setdefault((each["protocol"], each["text"]), []).append(r.shown)
        for name in r.metrics.get("left_out") or []:
            found.setdefault((name, "not fused: some of the parts lack this protocol"), []).append(r.shown)
    return [{"protocol": protocol, "text": text, "paths": where} for (protocol, text), where in found.items()]


def mark_warned(
    warnings: Sequence[Mapping[str, Any]],
    tables: Sequence[Mapping[str, Any]],
    summary: Sequence[Mapping[str, Any]],
    evaluations: Sequence[Mapping[str, Any]],
) -> None:
    """Give every warning of a figure its place in `warnings`, from 1, as `mark`."""
    places = {(each["protocol"], each["text"]): place for place, each in enumerate(warnings, start=1)}
    for figure in _figures(tables, summary, evaluations):
        for each in figure.get("warnings", ()):
            each["mark"] = places[each["protocol"], each["text"]]


def _figures(
    tables: Sequence[Mapping[str, Any]], summary: Sequence[Mapping[str, Any]], evaluations: Sequence[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    for table in tables:
        for group in table["groups"]:
            for entry in group["streams"]:
                for cells in entry["cells"].values():
                    yield from cells.values()
    for line in summary:
        yield from (line[name] for name in ("best", "untrained") if name in line)
    for evaluation in evaluations:
        yield from evaluation["protocols"]
