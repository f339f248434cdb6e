"""All generated pages by their paths, and their places in the navigation."""

from __future__ import annotations

import re
from functools import cache

from making import api, cli, data, files, learn, pictures, systems

GROUPS = ("methods", "positives", "encoders", "protocols", "datasets", "layouts", "augmentations", "recipes",
          "pipelines", "cli", "api")  # fmt: skip


@cache
def generated() -> dict[str, str]:
    """Every page that is made from the code."""
    return {
        **learn.methods(), **systems.pages(), **systems.index(),
        **learn.positives(), **learn.encoders(), **learn.protocols(), **learn.indices(),
        **data.datasets(), **data.layouts(), **data.augmentations(), **data.indices(),
        **files.recipe_pages(), **files.pipeline_pages(), **files.indices(),
        **cli.command_pages(), **cli.index(), **api.pages(),
    }  # fmt: skip


def group(folder: str) -> list[str | dict[str, str]]:
    """The pages of a folder with short titles, its list first, in the order in which they were made."""
    index, others = f"{folder}/index.md", []
    for path, text in generated().items():
        if path.startswith(f"{folder}/") and path != index:
            title = text.partition("\n")[0].removeprefix("# ").replace("\\_", "_").replace("\\*", "*")
            others.append({re.sub(r"^(\w+: |skelpipe )", "", title): path})
    return [index, *others]


def drawn(text: str) -> str:
    """A written page with the pictures and tables that it asks for by a mark."""
    for mark, make in MARKS.items():
        if mark in text:
            text = text.replace(mark, make())
    return text


MARKS = {
    "<!-- picture: view normal -->": lambda: pictures.view("normal"),
    "<!-- picture: streams -->": pictures.streams,
    "<!-- splits -->": data.splits,
}
