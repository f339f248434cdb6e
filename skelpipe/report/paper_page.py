"""A table or figure of the paper as the first part of the page: HTML by a template, and Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from skelpipe.report.labels import figure_text
from skelpipe.report.paper_shape import NO_RECIPE, groups_of, mark
from skelpipe.report.texts import cell_text, md, points, row_text

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

READING = (
    "In the rows and columns of the CrosNNCLR paper, in percent, top-1 unless the row says so. Above: ours. Below: "
    "the paper's as printed and, where ours is of the benchmark's clips, ours less the paper's in points."
)


def paper_html(environment: Environment, told: Mapping[str, Any], pictures: Sequence[Mapping[str, Any]]) -> Markup:
    """The part of the page on a table or figure of the paper.

    Args:
        environment: with the filters of the page.
        told: as `paper_shape.shape` gives it.
        pictures: with their PNG and caption.
    """
    from markupsafe import Markup

    environment.filters.update(groups_of=groups_of, mark=mark)
    template = environment.get_template("blocks/paper.html.j2")
    return Markup(template.render(told=told, pictures=pictures, reading=READING, no_recipe=NO_RECIPE))


def paper_markdown(told: Mapping[str, Any]) -> list[str]:
    """The same as lines of Markdown, without the picture."""
    lines = [
        f"## {md(told['title'])}",
        "",
        "Ours, and in brackets the paper's as printed and the difference in points.",
    ]
    for grid in told["grids"]:
        lines += ["", f"### {md(grid['title'])}"] if len(told["grids"]) > 1 else []
        lines += ["", *_rows(grid)]
    lines += [""] + [f"- {mark([place])}: {md(text)}" for place, text in enumerate(told["notes"])]
    lines += [f"- {md(text)}" for text in told["remarks"]]
    return lines + ([f"- Without a recipe here yet: {md(', '.join(told['missing']))}"] if told["missing"] else [])


def _rows(grid: Mapping[str, Any]) -> Iterator[str]:
    yield row_text([*grid["head"], *(f"{c['group']} {c['title']}".strip() + _mark(c) for c in grid["columns"])])
    yield row_text([*["---"] * len(grid["head"]), *["---:"] * len(grid["columns"])])
    section = ""
    for row in grid["rows"]:
        if row["section"] != section:
            section = row["section"]
            yield f"| *{md(section)}* |" + " |" * (len(grid["head"]) + len(grid["columns"]) - 1)
        first, *rest = row["labels"]
        labels = [first + _mark(row) + (f" ({NO_RECIPE})" if row["missing"] else ""), *rest]
        yield row_text([*labels, *map(_text, row["cells"])])


def _text(cell: Mapping[str, Any]) -> str:
    theirs = "—" if cell["paper"] is None else figure_text(cell["paper"])
    by = "" if cell["difference"] is None else f", {points(cell['difference'])}"
    return f"{cell_text(cell['ours'])}{_mark(cell)} ({theirs}{by})"


def _mark(noted: Mapping[str, Any]) -> str:
    return f" {mark(noted['notes'])}" if noted["notes"] else ""
