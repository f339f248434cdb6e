"""One page about a set of evaluations: accuracies beside the published ones, curves, confusion, t-SNE, provenance.

The page is built in steps: `collect` finds evaluation, fusion and run folders; `tables` turns them into plain values
(they are `report.json`), and `paper_shape` those of a table of the CrosNNCLR paper; `figures` and `paper_figures` draw
the pictures; `differences`, `motion` and `cards` tell of classes, clips and encoders; `page` makes HTML of all this by
the templates in `templates/`, and Markdown. What things are called, and in which order they
stand, is in `labels`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from skelpipe.errors import BadInput, suggest
from skelpipe.outputs import files, folders
from skelpipe.paper import exhibits
from skelpipe.report.cards import card_markdown, find_cards
from skelpipe.report.collect import Found, collect
from skelpipe.report.differences import find_differences
from skelpipe.report.experiments import Catalogue
from skelpipe.report.figures import FIGURES, draw
from skelpipe.report.latex import latex_table
from skelpipe.report.motion import find_motion
from skelpipe.report.page import cell_text, html, markdown, md, percent, points, published
from skelpipe.report.paper_figures import paper_picture
from skelpipe.report.paper_shape import measured, shape
from skelpipe.report.results_csv import results_csv, table_csv
from skelpipe.report.said import sentences as said
from skelpipe.report.tables import tabulate

__all__ = [
    "FIGURES", "cell_text", "collect", "md", "percent", "points", "published", "tabulate", "write_report",
]  # fmt: skip
log = logging.getLogger(__name__)
TITLE = "Skeleton action recognition"


def write_report(
    paths: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    classes: Sequence[int | str] | None = None,
    title: str | None = None,
    figures: Sequence[str] | None = None,
    paper: str | None = None,
    motion: bool = True,
    sentences: bool = True,
    force: bool = False,
) -> Path:
    """Write a report on all evaluation, fusion and run folders under `paths`.

    Args:
        paths: folders, searched recursively.
        out: the folder to write: `report.html` (self-contained), `report.md` with `figures/`, `report.json`; for other
            programs `report.csv`, every accuracy of every folder, and `table.csv`, the means with their intervals, and
            `table.tex`, the same for a paper; and in `cards/` a model card of every trained encoder.
        classes: classes for the confusion matrices and t-SNE maps, as numbers from 0 or by name; by default the ten
            with the most test clips.
        title: stands above the page.
        figures: which kinds of `FIGURES` to draw; by default all for which there is something to draw.
        paper: a table or figure of the CrosNNCLR paper ("table5", "fig1") that is shown first, in the paper's shape.
        motion: play some clips in the page, those recognised best and worst, where the clips are still there.
        sentences: say first, in three sentences, what two of the systems have come to, where two can be compared.
        force: replace an older report at `out`.

    Returns:
        `out`.

    Raises:
        BadInput: nothing to report on, an unknown class, kind of figure, or table of the paper.
    """
    given, out = [Path(p) for p in paths], Path(out)
    wanted = list(FIGURES if figures is None else figures)
    _check(wanted, paper)
    folders.check_target(out, force, "report")
    found = _collect(given)
    told = None if paper is None else shape(paper, measured(found.results))
    first = said(found.results, found.runs) if sentences else []
    page = {"title": title or TITLE, "said": first, **tabulate(found, told)}
    pictures = draw(found, page["sweeps"], classes, wanted)
    if paper is not None:
        pictures = [*paper_picture(paper, page["paper"], found, classes), *pictures]
    catalogue = Catalogue(found.results)
    page |= {"differences": find_differences(found, catalogue), "cards": find_cards(found, catalogue)}
    played = find_motion(found, catalogue) if motion else None
    asked = "all kinds that there is data for" if figures is None else "the kinds asked for"
    log.info("%d figures, of %s", len(pictures), asked)
    page["skipped"] = [{"path": path, "reason": reason} for path, reason in found.skipped]
    page["figures"] = [{k: v for k, v in p.items() if k not in ("png", "chart")} for p in pictures]
    inputs = {result.shown: result.path for result in found.results}
    said_and_shown: dict[str, Any] = {"sentences": sentences, "motion": motion}
    settings = {"classes": classes, "title": title, "figures": figures, "paper": paper, **said_and_shown}
    with folders.new_folder(out, "report", force=force, inputs=inputs, settings=settings) as folder:
        _write(folder, page, pictures, played)
    return out


def _write(
    folder: Path, page: Mapping[str, Any], pictures: Sequence[Mapping[str, Any]], played: Mapping[str, Any] | None
) -> None:
    texts = {
        "report.csv": results_csv(page),
        "table.csv": table_csv(page),
        "table.tex": "\n".join(latex_table(table) for table in page["tables"]),
        "report.html": html(page, pictures, played),
        "report.md": markdown(page),
        **{card["file"]: card_markdown(card) for card in page["cards"]},
    }
    for name in ("figures", "cards"):
        (folder / name).mkdir()
    for picture in pictures:
        files.write_bytes(folder / picture["file"], picture["png"])
    files.write_json(folder / "report.json", page)
    for name, text in texts.items():
        files.write_bytes(folder / name, text.encode("utf-8", "backslashreplace"))


def _check(wanted: Sequence[str], paper: str | None) -> None:
    for name in wanted:
        if name not in FIGURES:
            raise BadInput(f"--figure {name}", "is not a kind of figure", f"use one of {', '.join(FIGURES)}")
    if paper is not None and paper not in exhibits():
        raise BadInput(f"--paper {paper}", "is not among the paper's tables and figures", suggest(paper, exhibits()))


def _collect(given: Sequence[Path]) -> Found:
    found = collect(given)
    if not found.results:
        left = f"; {found.skipped[0][0]}: {found.skipped[0][1]}" if found.skipped else ""
        where = ", ".join(map(str, given)) or "report"
        raise BadInput(where, f"holds no evaluation and no fusion{left}", "run 'skelpipe evaluate' first")
    log.info("found %d evaluations and fusions, and %d runs", len(found.results), len(found.runs))
    for path, reason in found.skipped:
        log.info("%s: left out: %s", path, reason)
    for r in found.results:
        log.debug("%s: %s, stream %s, %s epochs, seed %s", r.shown, r.kind, r.stream, r.epochs, r.seed)
    return found
