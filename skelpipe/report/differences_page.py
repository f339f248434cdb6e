"""The differences of two runs as the page shows them: the rows of the pair shown first, and the values of all pairs.

In thousandths, which is what is shown; `templates/scripts/differences.js` fills the same rows for another pair.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from skelpipe.evaluation.intervals import too_few
from skelpipe.report.differences import FEW, GROUPS, SEEDS
from skelpipe.report.texts import md, percent, points, row_text

if TYPE_CHECKING:
    from markupsafe import Markup

MIDDLE, HALF = 132, 128  # of the bars
FEW_GROUPS = 20  # fewer persons or videos make bootstrap intervals too narrow


def told(compared: Mapping[str, Any], one: int, two: int) -> str:
    """How the intervals of a pair were made."""
    pair, runs = compared["pairs"][f"{one}-{two}"], compared["runs"]
    level = f"{100 * compared['level']:g} %"
    if pair["by"] == SEEDS:
        numbers = f"{runs[one]['n']} and {runs[two]['n']} seeds or folds"
        return f"Intervals of {level} of the difference of two means: Welch's t over repetitions ({numbers})."
    if pair["by"] == GROUPS:
        narrow = int(pair["groups"].split()[0]) < FEW_GROUPS
        return (
            f"Intervals of {level} by bootstrap: {pair['groups']} of the test part drawn with replacement, the same "
            f"for both runs. {_seeds(runs[one]['n'], runs[two]['n'])}, so that nothing is said about other seeds."
            + (" So few make them narrower than they should be." if narrow else "")
        )
    if pair["by"] == FEW:
        number, by = pair["groups"].split(" ", 1)
        return f"No intervals: {too_few(int(number), by.removesuffix('s'))}."
    return "No intervals: two seeds of both, or the scores of the same test clips, would be needed."


def _seeds(one: int, two: int) -> str:
    if one == two == 1:
        return "There is one seed of each"
    return f"There are {one} and {two} seeds" if one != two else f"There are {one} seeds of each"


def shown_pair(compared: Mapping[str, Any]) -> dict[str, Any]:
    """The pair shown first: {rows, reach, told}, the classes that gain most first."""
    one, two = compared["chosen"]
    pair = compared["pairs"][f"{one}-{two}"]
    difference, low, high = (_rounded(pair[key]) for key in ("difference", "low", "high"))
    reach = 100 * math.ceil(max([1, *(abs(v) for v in (*difference, *low, *high) if v is not None)]) / 100)
    known = [-math.inf if d is None else d for d in difference]
    places = sorted(range(len(known)), key=lambda c: (-known[c], c))
    rows = []
    for place in places:
        d, a, b = difference[place], low[place], high[place]
        kind = "" if not d else "gain" if d > 0 else "loss"
        rows.append(
            {
                "class": compared["classes"][place],
                "kind": f"{kind} sure" if a is not None and b is not None and (a > 0 or b < 0) else kind,
                "bar": bar_svg(d, a, b, reach),
                "difference": points(None if d is None else d / 10),
                "interval": "—" if a is None or b is None else f"{points(a / 10)} to {points(b / 10)}",
                "one": percent(compared["accuracies"][one][place]),
                "two": percent(compared["accuracies"][two][place]),
            }
        )
    return {"rows": rows, "reach": f"{reach / 10:g}", "told": told(compared, one, two)}


def differences_markdown(compared: Mapping[str, Any]) -> list[str]:
    """The pair shown first as a table of Markdown."""
    one, two = (compared["runs"][n]["label"] for n in compared["chosen"])
    shown = shown_pair(compared)
    head = ["class", "difference", "95 % interval", two, one]
    keys = ("class", "difference", "interval", "two", "one")
    rows = [row_text(head), row_text(["---", *["---:"] * 4])]
    rows += [row_text([row[key] for key in keys]) for row in shown["rows"]]
    title = f"### {md(compared['title'])}, {md(compared['protocol'])}: {md(two)} less {md(one)}"
    return [title, "", *rows, "", md(shown["told"]), ""]


def bar_svg(difference: int | None, low: int | None, high: int | None, reach: int) -> Markup:
    """A bar from zero to the difference, and over it the interval."""
    from markupsafe import Markup

    def at(value: float) -> float:
        return MIDDLE + HALF * max(-reach, min(reach, value)) / reach

    parts = [
        '<svg viewBox="0 0 264 20" preserveAspectRatio="none" aria-hidden="true">',
        f'<path class="axis" d="M{MIDDLE} 0V20"/>',
    ]
    if difference is not None:
        ends = at(min(0, difference)), at(max(0, difference))
        parts.append(f'<rect class="box" x="{ends[0]:.1f}" y="4" width="{ends[1] - ends[0]:.1f}" height="12"/>')
    if low is not None and high is not None:
        a, b = at(low), at(high)
        parts.append(f'<path class="span" d="M{a:.1f} 10H{b:.1f}M{a:.1f} 6V14M{b:.1f} 6V14"/>')
    return Markup("".join([*parts, "</svg>"]))


def compared_values(compared: Mapping[str, Any]) -> dict[str, Any]:
    """All pairs for the script of the page."""
    pairs = {}
    for name, pair in compared["pairs"].items():
        one, two = map(int, name.split("-"))
        pairs[name] = {
            "told": told(compared, one, two),
            **{key: _rounded(pair[key]) for key in ("difference", "low", "high")},
        }
    accuracies = [_rounded(each) for each in compared["accuracies"]]
    return {**{key: compared[key] for key in ("runs", "classes")}, "accuracies": accuracies, "pairs": pairs}


def _rounded(values: Sequence[float | None]) -> list[int | None]:
    return [None if value is None else round(1000 * value) for value in values]
