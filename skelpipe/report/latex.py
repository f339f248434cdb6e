"""The tables of a report for a paper in LaTeX, with the rules of the package booktabs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skelpipe.errors import printable
from skelpipe.report.labels import figure_text
from skelpipe.report.texts import percent

MARKS = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "²": r"$^2$", "–": "--", "—": "---",
    "<": r"$<$", ">": r"$>$", "|": r"$|$",
}  # fmt: skip


def tex(text: str) -> str:
    """Text that LaTeX sets as it is."""
    return "".join(MARKS.get(letter, letter) for letter in printable(text.replace("\n", " ")))


def latex_table(table: Mapping[str, Any]) -> str:
    """One table of the page: mean ± standard deviation in percent, and beside it what was published, in brackets.

    Args:
        table: as `tables.tabulate` gives it.
    """
    columns = [(split, column) for split in table["splits"] for column in split["columns"]]
    spans = [f"\\multicolumn{{{len(s['columns'])}}}{{c}}{{{tex(s['title'])}}}" for s in table["splits"]]
    lines = [
        f"% {tex(table['title'])}: top-1 in percent at the last epoch, ± standard deviation; published in brackets.",
        f"\\begin{{tabular}}{{ll{'r' * len(columns)}}}",
        "\\toprule",
        " & ".join(["", "", *spans]) + r" \\",
        " & ".join(["Method", "Stream", *(tex(column["title"]) for _, column in columns)]) + r" \\",
    ]
    for group in table["groups"]:
        lines.append("\\midrule")
        for place, entry in enumerate(group["streams"]):
            cells = [_cell(entry, split["split"], column) for split, column in columns]
            lines.append(" & ".join([tex(group["label"]) if not place else "", tex(entry["stream"]), *cells]) + r" \\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


def _cell(entry: Mapping[str, Any], split: str, column: Mapping[str, str]) -> str:
    cell, beside = entry["cells"][split].get(column["key"]), entry["published"][split].get(column["protocol"])
    ours = "--"
    if cell:
        ours = percent(cell["mean"]) + ("" if cell["std"] is None else f" $\\pm$ {percent(cell['std'])}")
    return ours + (f" [{figure_text(beside['value'])}]" if beside else "")
