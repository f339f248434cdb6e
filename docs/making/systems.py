"""Pages of the systems of the paper that are no method by themselves, and the list of all fifteen."""

from __future__ import annotations

from making import pictures
from making.files import in_words, published_figures
from making.learn import linked_recipes, module_of, note, overview, pretrain_lines, recipes, title_of
from making.reading import bash, clean, options, page, prose, table
from skelpipe.methods import METHODS, POSITIVES
from skelpipe.methods.base import MethodOptions
from skelpipe.paper.systems import SYSTEMS, system_of


def combined() -> list[str]:
    """The systems that learn without labels and are a method with a recipe's positives, views and encoder."""
    return [name for name, system in SYSTEMS.items() if name not in METHODS and system.protocol == "linear"]


def pages() -> dict[str, str]:
    """A page for each of these systems."""
    return {f"methods/{name}.md": _page(name) for name in combined()}


def _title(name: str) -> str:
    return clean(SYSTEMS[name].title).replace("*", r"\*")


def _page(name: str) -> str:
    recipe, system = recipes()[name], SYSTEMS[name]
    host, positives = recipe.method.name, recipe.positives.name  # type: ignore[attr-defined]
    mines = positives != "own_key"
    start = ""
    if "nn_start_epoch" in type(recipe.positives).model_fields:  # type: ignore[attr-defined]
        begin = recipe.positives.nn_start_epoch  # type: ignore[attr-defined]
        start = (
            f"Neighbours count from epoch {begin + 1} on (`positives.nn_start_epoch`: {begin}); until then the loss is"
            " InfoNCE's, and a run that ends before then never mines any: whoever sets fewer `epochs` sets both."
        )
    return page(
        _title(name),
        "" if mines else f"**Source**: {clean(system.source)}.",
        f"In a recipe: `method: {host}` and `positives: {positives}`. It is {title_of(host, METHODS[host])}'s"
        f" [networks, views and further losses](../methods/{host}.md) with"
        f" the set of positives [`{positives}`](../positives/{positives}.md)."
        if mines
        else f"In a recipe: `method: {host}`. It is the method [`{host}`](../methods/{host}.md) with an encoder, views"
        " and a schedule of its own.",
        pictures.method(host, title=system.title, positives=positives),
        prose(module_of(POSITIVES[positives]).__doc__) if mines else "",
        start,
        *([note("positives", positives)] if mines else []),
        note("methods", host) if not mines or name.endswith("_star") else "",
        "## Its recipe",
        in_words(recipe),
        linked_recipes(lambda each: system_of(each.name) == name),
        *published_figures(name),
        "## Options",
        "Keys of `positives` in a recipe, or `--set positives.KEY=VALUE`:" if mines else "",
        options(POSITIVES[positives].Options) if mines else "",
        f"And those of [`method: {host}`](../methods/{host}.md#options).",
        "## Run it",
        bash(*pretrain_lines(_smallest(name))),
    )


def _smallest(name: str) -> str:
    return f"small_{name}" if f"small_{name}" in recipes() else name


def listed() -> str:
    """All systems that the paper compares, by their published names, with their pages."""
    rows = []
    for name, system in SYSTEMS.items():
        recipe = recipes()[name]
        made = f"[`{recipe.method.name}`]({recipe.method.name}.md)"
        own = getattr(recipe, "positives", None)
        if own is not None and "queue_size" in type(recipe.method).model_fields:
            made += f" + [`{own.name}`](../positives/{own.name}.md)"
        encoder = recipe.encoder.name
        where = f"{name}.md" if name in METHODS or name in combined() else f"../encoders/{encoder}.md"
        rows.append(
            [f"[{_title(name)}]({where})", system.venue, made,
             f"[`{encoder}`](../encoders/{encoder}.md)", f"[`{name}`](../recipes/{name}.md)"]
        )  # fmt: skip
    return table(["system", "published", "method and positives", "encoder", "recipe"], rows)


def index() -> dict[str, str]:
    """The page that lists systems and methods."""
    return {
        "methods/index.md": page(
            "Methods",
            "A method is what is learnt: its networks, and named losses that are weighted, summed and logged. One"
            " paper, one file in"
            " `skelpipe/methods/`.",
            "## The fifteen systems of the paper",
            "By the names and in the order of its tables. CrosNNCLR is a set of positives that plugs into other"
            " methods; systems that learn from labels differ by their encoders.",
            listed(),
            "## What a recipe's `method` may be",
            overview(METHODS, "methods"),
            "## Options that every method has",
            options(MethodOptions),
            "To add one, see [Contributing](../contributing.md#to-add-something).",
        )
    }
