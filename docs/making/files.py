"""Pages of the small files that people write: recipes and pipelines."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml

from making.learn import recipes
from making.reading import bash, clean, options, page, prose, summary, table
from skelpipe.methods import METHODS
from skelpipe.paper import Grid, benchmarks, exhibits, grids, notes, number, published
from skelpipe.pipeline.spec import Pipeline
from skelpipe.resources import names, shipped
from skelpipe.training.optim import OPTIMIZERS, SCHEDULES
from skelpipe.training.optim.clipping import CLIPPINGS
from skelpipe.training.recipe import ClipsNeeded, Evaluation, Projector, Recipe

SHOWN_SETTINGS = ("encoder", "partner", "projector", "init", "method", "positives", "views", "bodies", "batch_size",
                  "epochs", "iterations", "optimizer", "schedule", "clip_gradients")  # fmt: skip


@cache
def pipelines() -> Mapping[str, Mapping[str, Any]]:
    """Every shipped pipeline as its YAML says it."""
    folder = shipped("pipelines")
    return {name: yaml.safe_load((folder / f"{name}.yaml").read_text("utf-8")) for name in names("pipelines")}


def recipe_pages() -> dict[str, str]:
    """A page for every recipe."""
    made = {}
    for name, recipe in recipes().items():
        text = (shipped("models") / f"{name}.yaml").read_text("utf-8")
        users = [each for each, plan in pipelines().items() if name in plan.get("recipes", ())]
        made[f"recipes/{name}.md"] = page(
            clean(f"Recipe: {recipe.title}"),
            f"**Source.** {clean(recipe.source)}." if recipe.source else "",
            f"It is one reading of a source that leaves much open: reports call it so, *{clean(recipe.reading)}*."
            if recipe.reading
            else "",
            in_words(recipe),
            "## The file",
            f"`models/{name}.yaml`, and what its comments explain:",
            f"```yaml\n{text}```",
            "## Run it",
            _lines(name, recipe),
            f"Pipelines that train it: {', '.join(f'[`{each}`](../pipelines/{each}.md)' for each in users)}."
            if users
            else "",
            *published_figures(name),
            "## Every setting",
            "With what the file leaves at its default. `--set KEY=VALUE` changes one.",
            _settings(recipe),
        )
    return made


def in_words(recipe: Recipe) -> str:
    """What a recipe trains, in a sentence with links."""
    if recipe.encoder.name == "coordinates":
        where = "[`coordinates`](../encoders/coordinates.md)"
        return f"Nothing is learnt: a clip's own numbers are its feature. See the encoder {where}."
    positives = ""
    if "queue_size" in type(recipe.method).model_fields:
        own = recipe.positives.name  # type: ignore[attr-defined]
        positives = f" with the positives [`{own}`](../positives/{own}.md)"
    told = [
        f"Method [`{recipe.method.name}`](../methods/{recipe.method.name}.md){positives}, encoder"
        f" [`{recipe.encoder.name}`](../encoders/{recipe.encoder.name}.md)"
    ]
    if recipe.partner is not None:
        told.append(f", and a second one, [`{recipe.partner.name}`](../encoders/{recipe.partner.name}.md)")
    told.append(f"; {recipe.iterations:,} steps" if recipe.iterations else f"; {recipe.epochs} epochs")
    told.append(f" of batches of {recipe.batch_size}.")
    if recipe.clips != ClipsNeeded():
        told.append(" It needs clips of its own [preparation](../preparation.md).")
    if recipe.supervised:
        told.append(" It learns from labels.")
    return "".join(told)


def _lines(name: str, recipe: Recipe) -> str:
    stream = "3s" if recipe.streams else "joint"
    clips = "data/stores/ntu60-50.zarr" if recipe.clips == ClipsNeeded() else f"data/stores/{name}.zarr"
    lines = []
    if recipe.clips != ClipsNeeded():
        words = [f"--preset {recipe.clips.preset}"]
        words += [f"--frames {recipe.clips.frames}"] if recipe.clips.frames else []
        words += [f"--longest {recipe.clips.longest}"] if recipe.clips.longest else []
        words += [f"--step {kind}={choice}" for kind, choice in recipe.clips.steps.items()]
        lines.append(f"skelpipe prepare data/stores/ntu60.zarr {clips} {' '.join(words)}")
    lines.append(f"skelpipe pretrain {name} {clips} data/runs/{name} --split xsub60 --stream {stream}")
    which = f" --stream {recipe.streams[0]}" if recipe.streams else ""
    lines.append(f"skelpipe evaluate data/runs/{name} {clips} data/runs/{name}-eval{which}")
    return bash(*lines, mark="test: read")


def published_figures(name: str) -> list[str]:
    """A section of what was published of a recipe; nothing where nothing was."""
    found: dict[tuple[str, str, str], dict[str, str]] = {}
    sources: list[str] = []
    splits = [split for split in benchmarks() if published(name, split)]
    for split in splits:
        for protocol, stream, figure in published(name, split):
            key = (protocol, stream, f"{figure.epochs} epochs" if figure.epochs else "usual length")
            found.setdefault(key, {})[split] = f"{figure.value:.1f}"
            if figure.source not in sources:
                sources.append(figure.source)
    if not found:
        return []
    head = ["protocol", "stream", "pretraining", *(str(benchmarks()[split]["title"]) for split in splits)]
    rows = [[protocol, stream, length, *(cells.get(split, "") for split in splits)]
            for (protocol, stream, length), cells in found.items()]  # fmt: skip
    told = "Accuracies in percent, as published; a [report](../cli/report.md) prints them beside yours."
    return ["## Published figures", told, table(head, rows), "Sources: " + "; ".join(map(clean, sources)) + "."]


def _settings(recipe: Recipe) -> str:
    data = recipe.model_dump(mode="json", context={"whole": True})
    data = {
        key: value
        for key, value in data.items()
        if value is not None and key not in ("name", "title", "source", "reading")
    }
    return (
        "```yaml\n"
        + yaml.safe_dump(data, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)
        + "```"
    )


def pipeline_pages() -> dict[str, str]:
    """A page for every pipeline."""
    made = {}
    for name, plan in pipelines().items():
        text = (shipped("pipelines") / f"{name}.yaml").read_text("utf-8")
        trained = [each for each in plan.get("recipes", ()) if each in recipes()]
        inside = plan.get("pipelines", ())
        splits = [f"`{each}`" for each in plan.get("splits", ())]
        made[f"pipelines/{name}.md"] = page(
            clean(f"Pipeline: {name}"),
            f"{clean(str(plan['title']))}.",
            f"Splits {', '.join(splits)}." if splits else "",
            f"Recipes {', '.join(f'[`{each}`](../recipes/{each}.md)' for each in trained)}." if trained else "",
            f"It runs {', '.join(f'[`{each}`]({each}.md)' for each in inside)} together." if inside else "",
            bash(f"skelpipe run {name}", mark="test: read"),
            "`-n` shows the plan and what is done already, and runs nothing.",
            *_exhibit(plan.get("paper")),
            "## The file",
            f"`pipelines/{name}.yaml`:",
            f"```yaml\n{text}```",
        )
    return made


def _exhibit(name: str | None) -> list[str]:
    """The paper's table, or what a figure of it shows, in its own rows and columns."""
    if name is None:
        return []
    assert name in exhibits()
    parts = [
        f"## {number(name)} of the paper",
        "Percent, as printed; where a figure is a misprint, the true one stands behind it in brackets.",
    ]
    for grid in grids(name):
        parts += [_grid(grid), *(f"- {clean(each)}" for each in grid.notes)]
    return parts + [f"- {clean(each)}" for each in notes(name)]


def _grid(grid: Grid) -> str:
    head = [*grid.head, *(" ".join(filter(None, [column.group, column.title])) for column in grid.columns)]
    rows = []
    for row in grid.rows:
        cells = [_cell(cell.value, cell.right) for cell in row.cells]
        rows.append([*map(clean, row.labels), *cells])
    return table(head, rows)


def _cell(value: float | None, right: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:g}" if right is None else f"{value:g} [{right:g}]"


def indices() -> dict[str, str]:
    """The pages that list recipes and pipelines, with every key that there is."""
    papers = [name for name in recipes() if name.partition("_")[0] not in ("small", "demo")]
    small = [name for name in recipes() if name not in papers]
    listed = [[f"[`{name}`]({name}.md)", clean(str(plan["title"]))] for name, plan in pipelines().items()]
    return {
        "recipes/index.md": page(
            "Recipes",
            "A recipe says what to learn and how: encoder, method, positives, views, schedule. It holds no data,"
            " split, stream or seed."
            " `skelpipe pretrain` takes the name of one of these, or the path of your own.",
            "## Of the papers",
            _listed(papers),
            "## Small",
            "Narrow siblings for hundreds to thousands of clips and for CPUs, and those of the demo. How they were"
            " chosen stands in"
            " [small data](../small-data.md).",
            _listed(small),
            "## Keys of a recipe",
            "A wrong key is an error that names the nearest right one.",
            options(Recipe, without=("name",)),
            "### `projector`", options(Projector, "projector."),
            "### `clips`", options(ClipsNeeded, "clips."),
            "### `evaluate`", options(Evaluation, "evaluate."),
            "### `method`, `positives`, `encoder`, `views`",
            "See [methods](../methods/index.md), [positives](../positives/index.md),"
            " [encoders](../encoders/index.md) and"
            " [augmentations](../augmentations/index.md).",
            "### `optimizer`, `schedule`, `clip_gradients`",
            "See [optimisation](../optimisation.md).",
        ),
        "pipelines/index.md": page(
            "Pipelines",
            "A pipeline is one short YAML per benchmark, table or figure: which data, recipes, streams, seeds and"
            " protocols make it."
            " `skelpipe run NAME` (or a path of your own) shows what is done, and runs the rest.",
            table(["pipeline", "what it makes"], listed),
            "## Keys of a pipeline",
            options(Pipeline),
            "More about how runs are shared and what runs again stands in [running"
            " pipelines](../running-pipelines.md).",
        ),
        "optimisation.md": _optimisation(),
    }  # fmt: skip


def _listed(some: list[str]) -> str:
    rows = []
    for name in some:
        recipe = recipes()[name]
        length = f"{recipe.iterations:,} steps" if recipe.iterations else f"{recipe.epochs} epochs"
        method = recipe.method.name if recipe.encoder.name != "coordinates" else "–"
        assert recipe.method.name in METHODS
        rows.append([f"[`{name}`]({name}.md)", clean(recipe.title), f"`{method}`", f"`{recipe.encoder.name}`", length])
    return table(["recipe", "what", "method", "encoder", "length"], rows)


def _optimisation() -> str:
    parts = []
    for title, key, registry in (("Optimisers", "optimizer", OPTIMIZERS), ("Schedules", "schedule", SCHEDULES)):
        parts.append(f"## {title}")
        for name, kind in registry.items():
            model = getattr(kind, "Options", kind)
            parts += [f"### `{name}`", prose(model.__doc__), options(model, f"{key}.")]
    rows = [[f"`{name}`", summary(clip.__doc__)] for name, clip in CLIPPINGS.items()]
    return page(
        "Optimisation",
        "Keys of `optimizer`, `schedule` and `clip_gradients` in a recipe.",
        "<!-- include: models/README.md#optimiser-rates-length -->",
        *parts,
        "## Ways to clip gradients",
        table(["`clip_gradients.by`", "what it does, with `clip_gradients.at` as the limit"], rows),
    )
