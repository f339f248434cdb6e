"""Pages of what clips are made of: data sets, splits, layouts, preparation, augmentations."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml

from making import pictures
from making.learn import NOTES
from making.reading import bash, clean, listed, module_of, options, page, prose, shown, summary, table
from skelpipe.clips.augment import AUGMENTATIONS
from skelpipe.clips.presets import PRESETS
from skelpipe.clips.steps import STEPS
from skelpipe.clips.views import VIEWS
from skelpipe.layouts import LAYOUTS
from skelpipe.paper import benchmarks
from skelpipe.pipeline.plan import WHERE_TO_ASK
from skelpipe.recordings.datasets import DATASETS, SPLITS
from skelpipe.recordings.datasets.rules import dividing
from skelpipe.training.recipe import ClipsNeeded

RAW = {"nw-ucla": "all_sqe.zip"}


def datasets() -> dict[str, str]:
    """A page for every data set."""
    made = {}
    for name, kind in DATASETS.items():
        splits = [split for split in SPLITS.values() if split.datasets and split.datasets[0].name == name]
        also = [split for split in SPLITS.values() if name in [each.name for each in split.datasets[1:]]]
        store = f"data/stores/{name}.zarr"
        where = next((told for key, told in WHERE_TO_ASK.items() if name.startswith(key)), "")
        made[f"datasets/{name}.md"] = page(
            kind.title,
            prose(module_of(kind).__doc__),
            table(
                ["what", "how much"],
                [
                    ["name here", f"`{name}`"],
                    ["classes", f"{kind.classes}"],
                    ["usable clips of the publication", f"{kind.clips:,}"],
                    ["joints", f"[`{kind.layout}`](../layouts/{kind.layout}.md)"],
                    ["columns of a clip", ", ".join(f"`{column}`" for column in kind.columns)],
                    ["held out together for validation", f"one `{kind.group}`"],
                ],
            ),
            f"**Where it comes from.** The recordings are not ours to give: {where}." if where else "",
            "## Splits",
            table(
                ["split", "what", "divides by", "train / test clips"], [_split_row(each) for each in [*splits, *also]]
            ),
            f"A store of it also serves {', '.join(f'`{each.name}`' for each in also)}." if also else "",
            "A split of your own is a rule such as `subject:1-20`; see [splits](../concepts/splits.md). Its columns"
            " are " + ", ".join(f"`{column}`" for column in dividing(kind)) + ".",
            "## From raw files to clips",
            bash(
                f"skelpipe ingest {name} data/raw/{name} {store}",
                f"skelpipe prepare {store} data/stores/{name}-50.zarr",
                f"skelpipe inspect {store}",
            ),
            "Without the data, `skelpipe synth` writes licence-free files of the same form:",
            bash(f"skelpipe synth {name} data/raw/{name}-toy --actions 4 --subjects 4"),
            "## Classes",
            "\n".join(f"{number}. {clean(each)}" for number, each in enumerate(kind.class_names, 1)),
        )
    return made


def _split_row(split: Any) -> list[str]:
    about = benchmarks().get(split.name, {})
    counts = about.get("clips")
    told = f"{counts['train']:,} / {counts['test']:,}" if counts else "–"
    return [f"`{split.name}`", split.title, f"`{split.column}`" if split.column else "its files", told]


def splits() -> str:
    """A table of all splits with a name."""
    return table(["split", "what", "divides by", "train / test clips"], [_split_row(each) for each in SPLITS.values()])


def layouts() -> dict[str, str]:
    """A page for every layout."""
    made = {}
    for name, layout in LAYOUTS.items():
        rows = [
            [str(v), joint, layout.joints[layout.parents[v]] if layout.parents[v] != v else "– (root)",
             layout.joints[layout.mirror[v]] if layout.mirror[v] != v else "–", _part(layout, v)]
            for v, joint in enumerate(layout.joints)
        ]  # fmt: skip
        about = _layout_doc(name)
        space = "3 (x to the right, y up, metres)" if layout.coordinates == 3 else "2 (x to the right, y down, pixels)"
        made[f"layouts/{name}.md"] = page(
            f"Layout: {clean(name)}",
            prose(about),
            pictures.layout(name),
            "A person who faces you. Blue is the left side, orange the right one; point at a joint for its name.",
            table(
                ["what", "value"],
                [
                    ["joints", str(len(layout.joints))],
                    ["coordinates", space],
                    ["centre", ", ".join(layout.joints[v] for v in layout.centre)],
                    [
                        "shoulder line",
                        " → ".join(", ".join(layout.joints[v] for v in side) for side in layout.shoulders),
                    ],
                    ["with confidence", f"`{name}+confidence`"],
                ],
            ),
            "## Joints",
            table(["number", "joint", "parent", "mirror", "part"], rows),
        )
    return made


def _part(layout: Any, v: int) -> str:
    return next((name for name, some in layout.parts if v in some), "–")


def _layout_doc(name: str) -> str:
    import importlib

    return importlib.import_module(f"skelpipe.layouts.{name}").__doc__ or ""


@cache
def augmentation_notes() -> Mapping[str, Any]:
    made: Mapping[str, Any] = yaml.safe_load((NOTES / "augmentations.yaml").read_text("utf-8"))
    return made


def augmentations() -> dict[str, str]:
    """A page for every augmentation."""
    from making.learn import recipes

    made = {}
    for name, kind in AUGMENTATIONS.items():
        told = augmentation_notes()[name]
        picture, how = pictures.augmentation(name)
        rows = [
            [f"`{key}`", _range(option), shown(option.default), told["options"][key]]
            for key, option in kind.options.items()
        ]
        users = [f"[`{each}`](../recipes/{each}.md)" for each, recipe in recipes().items() if name in _steps(recipe)]
        example = "{" + name + (": {" + how + "}" if how else "") + "}"
        made[f"augmentations/{name}.md"] = page(
            f"Augmentation: {clean(name)}",
            told["what"],
            picture,
            f"The picture was made by `{example}` of a synthetic person who kicks."
            if how
            else f"The picture was made by `{name}`, its options at their defaults, of a synthetic person who kicks.",
            "## Options",
            listed(rows, ["key", "values", "default", "what it does"]) or "It has none.",
            f"In a recipe: `views: {{query: [{example if how else name}]}}`.",
            _frames_of(kind),
            "## Where it comes from",
            prose(_module_doc(name)),
            "## Recipes",
            ", ".join(users) + "." if users else "None that ships has it.",
        )
    return made


def _module_doc(name: str) -> str:
    import importlib
    import pkgutil

    import skelpipe.clips.augment as wing

    for found in pkgutil.iter_modules(wing.__path__):
        module = importlib.import_module(f"{wing.__name__}.{found.name}")
        if getattr(module, name.upper(), None) is AUGMENTATIONS[name]:
            return module.__doc__ or ""
    return ""


def _range(option: Any) -> str:
    if option.choices:
        return ", ".join(f"`{choice}`" for choice in option.choices)
    if isinstance(option.default, bool):
        return "true or false"
    kind = "whole number" if isinstance(option.default, int) else "number"
    high = "" if option.high == float("inf") else f" to {option.high:.4g}"
    return f"{kind} from {option.low:g}{high}"


def _frames_of(kind: Any) -> str:
    if kind.sampling is not None:
        return "It changes how many frames a clip has, and so may begin a view of clips that keep their own lengths."
    return ""


def _steps(recipe: Any) -> set[str]:
    found: set[str] = set()
    for plain in [*recipe.views.values(), recipe.evaluate.view]:
        steps = VIEWS.get(plain, ()) if isinstance(plain, str) else plain
        waiting = list(steps)
        while waiting:
            step = waiting.pop()
            if isinstance(step, str):
                found.add(step)
            else:
                for name, value in step.items():
                    found.add(name)
                    if name == "one_of":
                        waiting += value
    return found


def indices() -> dict[str, str]:
    """The pages that list data sets, layouts and augmentations, and the one of preparations."""
    rows = [
        [f"[`{name}`]({name}.md)", kind.title, str(kind.classes), f"{kind.clips:,}"] for name, kind in DATASETS.items()
    ]
    return {
        "datasets/index.md": page(
            "Data sets",
            "What `skelpipe ingest` reads as its publisher ships it. Recordings of your own are a data set too:"
            " see [your own recordings](../own-data.md).",
            table(["name", "title", "classes", "usable clips"], rows),
            "Nothing of any of them is shipped. `skelpipe synth` writes licence-free files of the same form, so"
            " that the whole chain"
            " can be tried first.",
        ),
        "layouts/index.md": page(
            "Layouts",
            "A layout names the joints of a skeleton and how they hang together. Bones, mirror images, the graph's"
            " partitions and all"
            " drawings follow from it. Stores and clips carry their layout; recipes never name one.",
            table(["name", "joints", "coordinates", "what"], [
                [f"[`{name}`]({name}.md)", str(len(each.joints)), str(each.coordinates), summary(_layout_doc(name))]
                for name, each in LAYOUTS.items()
            ]),
            "## One of your own",
            "Every command that takes the name of a layout takes the path of a YAML:",
            _own_layout(),
        ),
        "augmentations/index.md": page(
            "Augmentations",
            "A view is an ordered list of augmentations. Each draws its numbers from (seed, epoch, clip, view,"
            " place in the list), so any"
            " view of any clip can be made again alone, whatever the number of threads.",
            table(["name", "what it does"], [
                [f"[`{name}`]({name}.md)", augmentation_notes()[name]["what"]] for name in AUGMENTATIONS
            ]),
            "`one_of: [shear, corrupt]` takes one of several, each clip drawing its own.",
            "## Views with a name",
            *[part for name, steps in VIEWS.items() for part in (
                f"### `{name}`", "`[" + ", ".join(steps) + "]`", pictures.view(name))],
        ),
        "preparation.md": _preparation(),
    }  # fmt: skip


def _own_layout() -> str:
    text = _doc("skelpipe.layouts")
    return "```yaml\n" + "\n".join(line[4:] for line in text.splitlines() if line.startswith("    ")) + "\n```"


def _doc(module: str) -> str:
    import importlib

    return importlib.import_module(module).__doc__ or ""


def _preparation() -> str:
    rows = [
        [f"`{name}`", "`native`" if preset.frames is None else str(preset.frames), "`" + " ".join(preset.text) + "`",
         ", ".join(f"[`{each}`](recipes/{each}.md)" for each in _prepared_so(name)) or "all that state nothing"]
        for name, preset in PRESETS.items()
    ]  # fmt: skip
    steps = []
    for kind, choices in STEPS.items():
        steps += [
            f"### `{kind}`",
            table(
                ["choice", "what it does"],
                [[f"`{kind}={choice}`", _kernel(step, kind)] for choice, step in choices.items()],
            ),
        ]
    return page(
        "Preparation",
        "`skelpipe prepare STORE CLIPS` takes a recording through a short chain of named steps, one choice of each"
        " kind. A preset is a"
        " published chain; `--step KIND=CHOICE` changes one of its steps, and the clips keep what was done.",
        "## Presets",
        table(["preset", "frames", "steps", "recipes that need it"], rows),
        "## Steps",
        *steps,
        "## What a recipe may ask for",
        "Keys of `clips` in a recipe. `skelpipe run` makes such clips; `pretrain` and `evaluate` refuse others,"
        " with the command that"
        " makes the right ones.",
        options(ClipsNeeded, "clips."),
        bash(
            "skelpipe prepare data/stores/ntu60.zarr data/stores/ntu60-50.zarr",
            "skelpipe prepare data/stores/ntu60.zarr data/stores/ntu60-isc.zarr --preset isc --frames 64",
            "skelpipe prepare data/stores/ntu60.zarr data/stores/ntu60-native.zarr --frames native",
        ),
    )


def _prepared_so(preset: str) -> list[str]:
    from making.learn import recipes

    return [
        name for name, recipe in recipes().items() if recipe.clips != ClipsNeeded() and recipe.clips.preset == preset
    ]


def _kernel(step: Any, kind: str) -> str:
    if step.kernel is None:
        return "Nothing is done."
    function = getattr(step.kernel, "py_func", step.kernel)
    return summary(function.__doc__) or "–"
