"""Pages of what learns and what measures: methods, sets of positives, encoders, protocols."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from making import pictures
from making.reading import bash, clean, module_of, options, page, prose, summary, table
from skelpipe.encoders import ENCODERS
from skelpipe.evaluation.protocols import OF_CLASSIFIERS, PROTOCOLS, Options
from skelpipe.methods import METHODS, POSITIVES
from skelpipe.methods.moco import MoCoOptions
from skelpipe.resources import names
from skelpipe.training.recipe import ClipsNeeded, Recipe, load_recipe

NOTES = Path(__file__).resolve().parents[1] / "notes"
LONGEST_TITLE = 26
TITLES = {"stgcn": "ST-GCN", "ms2l": "MS²L", "recurrent": "Recurrent"}


@cache
def recipes() -> Mapping[str, Recipe]:
    """Every shipped recipe by its name, those of the papers first."""
    order = sorted(names("models"), key=lambda name: (name.partition("_")[0] in ("small", "demo"), name))
    return {name: load_recipe(name) for name in order}


def title_of(name: str, entry: Any) -> str:
    """What a module says that it is about, such as "AimCLR" in "AimCLR: an extremely …"; else a name of its own."""
    first = (module_of(entry).__doc__ or "").split("\n", 1)[0]
    told, colon, _ = first.partition(":")
    return TITLES.get(name) or (told if colon and len(told) <= LONGEST_TITLE else name.replace("_", " ").capitalize())


def note(folder: str, name: str) -> str:
    """What is written by hand of an entry: its equations."""
    path = NOTES / folder / f"{name}.md"
    return path.read_text("utf-8") if path.is_file() else ""


def linked_recipes(which: Any, depth: str = "../") -> str:
    """A table of the recipes that `which` is true of."""
    rows = []
    for name, recipe in recipes().items():
        if which(recipe):
            length = f"{recipe.iterations:,} steps" if recipe.iterations else f"{recipe.epochs} epochs"
            rows.append([f"[`{name}`]({depth}recipes/{name}.md)", clean(recipe.title), length, clean(recipe.source)])
    return table(["recipe", "what", "length", "source"], rows)


def methods() -> dict[str, str]:
    """A page for every method, by its path."""
    made = {}
    for name, kind in METHODS.items():
        made[f"methods/{name}.md"] = page(
            title_of(name, kind),
            prose(module_of(kind).__doc__),
            pictures.method(name),
            _in_a_recipe(name, kind),
            note("methods", name),
            "## What it does",
            prose(kind.__doc__),
            prose(kind.losses.__doc__) if kind.losses.__doc__ else "",
            _losses(kind),
            "## Options",
            "Keys of `method` in a recipe, or `--set method.KEY=VALUE`:"
            if _has_options(kind.Options)
            else "It has none of its own.",
            options(kind.Options),
            "## Recipes",
            linked_recipes(lambda recipe, name=name: recipe.method.name == name) or "None ships.",
            "## Run it",
            _run_lines(name),
            "## In Python",
            _reference(kind, "false"),
        )
    return made


def _reference(kind: Any, members: str) -> str:
    """What mkdocstrings is to show of a class: its signature, since the page has told the rest."""
    said = {"heading_level": "3", "members": members, "show_bases": "false",
            "show_docstring_description": "false", "show_docstring_attributes": "false"}  # fmt: skip
    lines = [f"      {key}: {value}" for key, value in said.items()]
    return "\n".join([f"::: {kind.__module__}.{kind.__name__}", "    options:", *lines])


def _has_options(model: Any) -> bool:
    return bool(set(model.model_fields) - {"name"})


def _in_a_recipe(name: str, kind: Any) -> str:
    views = ", ".join(f"`{view}`" for view in kind.VIEWS)
    told = [f"In a recipe: `method: {name}`; views {views}."]
    if kind.SUPERVISED:
        told.append(
            "It learns from labels, and its classifier is measured by the protocol"
            " [`supervised`](../protocols/supervised.md)."
        )
    if kind.STREAMS:
        told.append(f"One run (`--stream 3s`) trains a network for each of {', '.join(kind.STREAMS)}.")
    if kind.PARTNER:
        told.append("It trains a second encoder beside the first, which `partner` in the recipe describes.")
    if kind.NEEDS:
        told.append(f"Its encoder must have {', '.join(f'`{need}`' for need in kind.NEEDS)}.")
    if issubclass(kind.Options, MoCoOptions):
        told.append("Any set of [positives](../positives/index.md) plugs into it.")
    return " ".join(told)


def _losses(kind: Any) -> str:
    named = ", ".join(f"`{loss}`" for loss in kind.LOSSES)
    return f"Losses, by the names that the log and `method.weights` have: {named}."


def _run_lines(method: str) -> str:
    small = [name for name, recipe in recipes().items() if recipe.method.name == method]
    if not small:
        return ""
    # The system that is called as the method, where there is one.
    first = [f"small_{method}", method, *(each for each in small if each.startswith("small_")), *small]
    return bash(*pretrain_lines(next(each for each in first if each in small)))


def pretrain_lines(name: str) -> list[str]:
    """The commands that train and measure by a recipe."""
    recipe = recipes()[name]
    stream = "3s" if recipe.streams else "joint"
    measured = "supervised" if recipe.supervised else "linear"
    clips = "data/stores/ntu60-50.zarr" if recipe.clips == ClipsNeeded() else f"data/stores/{name}.zarr"
    lines = [f"skelpipe pretrain {name} {clips} data/runs/{name} --split xsub60 --stream {stream}"]
    which = "" if stream != "3s" else f" --stream {recipe.streams[0]}"
    lines.append(f"skelpipe evaluate data/runs/{name} {clips} data/runs/{name}-eval --protocol {measured}{which}")
    return lines


def positives() -> dict[str, str]:
    """A page for every set of positives."""
    made = {}
    for name, kind in POSITIVES.items():
        form = [prose(each.__doc__) for each in _forms(kind)]
        made[f"positives/{name}.md"] = page(
            clean(f"Positives: {name} ({_known_as(kind)})"),
            prose(kind.__doc__),
            f"In a recipe: `positives: {name}`, or `positives: {{name: {name}, …}}`.",
            note("positives", name),
            "## Where it comes from",
            prose(module_of(kind).__doc__),
            *(["## The forms of its loss", *form] if form else []),
            "## Options",
            "Keys of `positives` in a recipe, or `--set positives.KEY=VALUE`:"
            if _has_options(kind.Options)
            else "It has none.",
            options(kind.Options),
            "## Recipes",
            linked_recipes(lambda recipe, name=name: _contrasts(recipe) and recipe.positives.name == name)
            or "None ships.",
        )
    return made


def _known_as(kind: Any) -> str:
    told = (clean(each.__doc__ or "").split("\n", 1)[0].partition(":") for each in (kind, module_of(kind)))
    return next(name for name, colon, _ in told if colon and len(name) <= LONGEST_TITLE)


def _contrasts(recipe: Recipe) -> bool:
    return isinstance(recipe.method, MoCoOptions) and recipe.encoder.name != "coordinates"


def _forms(kind: Any) -> list[Any]:
    return list(getattr(module_of(kind), "LOSSES", {}).values()) if kind.__name__ == "CrossView" else []


def encoders() -> dict[str, str]:
    """A page for every encoder."""
    made = {}
    for name, kind in ENCODERS.items():
        extra = []
        if "partition" in kind.Options.model_fields:
            extra = [
                "## The graph's partitions",
                "Of the layout `kinect_v2`. An arrow goes from the joint that is read to the one that is written, a"
                " ring is a joint itself.",
            ]
            for each in pictures.partitions():
                extra += [f"### `partition: {each}`", prose(_partition_doc(each)), pictures.partition(each)]
        made[f"encoders/{name}.md"] = page(
            title_of(name, kind),
            prose(module_of(kind).__doc__),
            f"In a recipe: `encoder: {name}`, or `encoder: {{name: {name}, …}}`.",
            pictures.encoder(name),
            "The parts by their default options, with what leaves them, of clips of 50 frames in the layout `kinect_v2`"
            " (bodies × coordinates × frames × joints).",
            note("encoders", name),
            "## What it does",
            prose(kind.__doc__),
            "It is told how many frames of each clip are its own."
            if kind.USES_LENGTHS
            else "It reads all frames of a clip alike, also those that it was filled up with.",
            "## Options",
            "Keys of `encoder` in a recipe, or `--set encoder.KEY=VALUE`:",
            options(kind.Options),
            *extra,
            "## Recipes",
            linked_recipes(
                lambda recipe, name=name: name in (recipe.encoder.name, getattr(recipe.partner, "name", None))
            )
            or "None ships.",
            "## In Python",
            _reference(kind, "[forward]"),
        )
    return made


def _partition_doc(name: str) -> str:
    from skelpipe.encoders.graph import PARTITIONS

    return PARTITIONS[name].__doc__ or ""


def protocols() -> dict[str, str]:
    """A page for every protocol."""
    made = {}
    for name, function in PROTOCOLS.items():
        model = Options.model_fields.get(name)
        own = model.annotation if model is not None else None
        made[f"protocols/{name}.md"] = page(
            f"Protocol: {name}",
            prose(function.__doc__),
            _kind(name),
            "## Options",
            f"`skelpipe evaluate … --set {name}.KEY=VALUE`, or `evaluate.options.{name}` in a recipe:"
            if own
            else "It has none of its own; [`skelpipe evaluate`](../cli/evaluate.md) has `--probe`, `--k` and the rest.",
            prose(own.__doc__) if own else "",
            options(own, f"{name}.") if own else "",
            "## Run it",
            bash(_measured(name)),
            "## Recipes whose authors measure so",
            linked_recipes(lambda recipe, name=name: name in recipe.evaluate.protocols)
            or "None states it; `linear` and `knn` are the usual ones.",
        )
    return made


def _measured(name: str) -> str:
    run = "data/runs/supervised" if name in OF_CLASSIFIERS else "data/runs/joint"
    clips, more = "data/stores/ntu60-50.zarr", ""
    if name == "transfer":
        clips, more = "data/stores/pku2-50.zarr", " --split pku2-xsub"
    return f"skelpipe evaluate {run} {clips} {run}-{name} --protocol {name}{more}"


def _kind(name: str) -> str:
    if name in OF_CLASSIFIERS:
        return "It measures the classifier that a run was trained or imported with."
    source = inspect.getmodule(PROTOCOLS[name])
    trains = source is not None and source.__name__.endswith("finetune")
    return (
        "It trains a copy of the encoder further."
        if trains
        else "The encoder stays as it is: features are computed once, or as the recipe's own probe draws them."
    )


def overview(registry: Mapping[str, Any], folder: str) -> str:
    """A table of all entries of a registry, with the first sentence that their modules say of them."""
    rows = []
    for name, kind in registry.items():
        told = kind.__doc__ if folder in ("protocols", "positives") else module_of(kind).__doc__
        rows.append([f"[`{name}`]({name}.md)", _first_sentence(told)])
    return table(["name", "what it is"], rows)


def _first_sentence(text: str | None) -> str:
    return summary(text)


def indices() -> dict[str, str]:
    """The pages that list positives, encoders and protocols."""
    return {
        "positives/index.md": page(
            "Positives",
            "A set of positives says what a query is pulled to. It plugs into every method that names a query and a"
            " key view;"
            " [`cross_view`](cross_view.md) is CrosNNCLR.",
            overview(POSITIVES, "positives"),
        ),
        "encoders/index.md": page(
            "Encoders",
            "An encoder maps clips (B, C, T, V, M) to features (B, H). Joints, bones and coordinates follow from"
            " the layout of the"
            " clips, never from the recipe.",
            overview(ENCODERS, "encoders"),
        ),
        "protocols/index.md": page(
            "Protocols",
            "A protocol says how good an encoder is. All score every test clip, write scores by clip name, and"
            " never choose by the"
            " test part. See [honest numbers](../concepts/honest-numbers.md).",
            overview(PROTOCOLS, "protocols"),
        ),
    }


def unused_notes() -> list[str]:
    """Notes of entries that there are not, and entries that have none."""
    wrong = []
    for folder, registry in (("methods", METHODS), ("positives", POSITIVES), ("encoders", ENCODERS)):
        there = {path.stem for path in (NOTES / folder).glob("*.md")}
        wrong += [f"{folder}/{name}" for name in sorted(there ^ set(registry))]
    return wrong
