"""What the blocks of the page's templates are filled by: the templates' own filters, and files put in as they are."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from skelpipe.plots import svg
from skelpipe.plots.compact import strip_svg
from skelpipe.report.differences_page import compared_values, shown_pair
from skelpipe.report.latex import latex_table

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

NO_MOTION: Mapping[str, Any] = {"layouts": {}, "splits": [], "gone": []}


def page_environment(**filters: Callable[..., Any]) -> Environment:
    """Templates by their names in `templates/`; `asset(name)` is a file there as it is."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=FunctionLoader(read)
    )
    environment.globals["asset"] = lambda name: Markup(read(name))
    environment.filters.update(filters)
    environment.filters["figure"] = lambda picture: Markup(
        environment.get_template("blocks/picture.html.j2").render(
            p=picture, data=base64.b64encode(picture["png"]).decode()
        )
    )
    return environment


def read(name: str) -> str:
    """A file of `templates/`."""
    return files("skelpipe.report").joinpath("templates", *name.split("/")).read_text("utf-8")


def as_json(value: Any) -> Markup:
    """Values for a script, which no text of theirs can end."""
    from markupsafe import Markup

    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)


def line_panel(panel: Mapping[str, Any]) -> Markup:
    """A panel of a chart as SVG."""
    from markupsafe import Markup

    return Markup(svg.line_panel(panel))


def sample(order: int) -> Markup:
    """A piece of the line at that place."""
    from markupsafe import Markup

    return Markup(svg.sample(order))


def chart_values(chart: Mapping[str, Any]) -> Markup:
    """What a chart's script needs: labels, and of each panel its name along x, scales and lines."""
    panels = [
        {
            "x": p["x"],
            "scales": svg.scales(p),
            "lines": [{**line, "points": _short(line["points"])} for line in p["lines"]],
        }
        for p in chart["panels"]
    ]
    return as_json({"labels": chart["labels"], "panels": panels})


def _short(points: Sequence[svg.Point]) -> list[list[float]]:
    """Without what is not there, and whole numbers as such."""
    return [[int(v) if v.is_integer() else v for v in point if v is not None] for point in points]


def strip(clip: Mapping[str, Any], bones: list[list[Any]]) -> Markup:
    """A clip as a strip of frames."""
    from markupsafe import Markup

    return Markup(strip_svg(clip["motion"], bones, f"{clip['class']}: frames of {clip['name']}"))


def clip_values(clip: Mapping[str, Any]) -> Markup:
    """What the script that plays a clip needs."""
    motion = {key: clip["motion"][key] for key in ("shape", "data", "seconds")}
    return as_json({"layout": clip["layout"], "motion": motion})


def weighed(motion: Mapping[str, Any]) -> dict[str, Any]:
    """The clips with their number, and the bytes that their coordinates take in the page."""
    clips = [clip for split in motion["splits"] for group in split["groups"] for clip in group["clips"]]
    return {**motion, "clips": len(clips), "bytes": sum(len(clip["motion"]["data"]) for clip in clips)}


OF_BLOCKS: Mapping[str, Callable[..., Any]] = {
    "as_json": as_json,
    "clip_values": clip_values,
    "compared": lambda compared: as_json(compared_values(compared)),
    "kilobytes": lambda count: f"{count / 1000:.0f} kB",
    "latex": latex_table,
    "line_panel": line_panel,
    "points_of_chart": chart_values,
    "sample": sample,
    "shown_pair": shown_pair,
    "strip": strip,
}
