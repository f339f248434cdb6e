"""The recipes of a pipeline with their changes, and the names of their folders."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from skelpipe.errors import BadInput, hint
from skelpipe.outputs.ancestry import PROVENANCE
from skelpipe.paper.systems import SYSTEMS, find_recipe, missing, recipes
from skelpipe.pipeline.files import is_path_like
from skelpipe.pipeline.spec import NAME, OTHERS, STREAMS, Pipeline
from skelpipe.settings import load_yaml, whole

if TYPE_CHECKING:
    from skelpipe.training.recipe import Recipe

log = logging.getLogger(__name__)


LONGEST_NAME = 100  # of a folder; file systems take 255 bytes


@dataclass(frozen=True)
class Experiment:
    """A recipe with its changes.

    Attributes:
        stem: the name of the recipe's file.
        name: of its folder: the recipe's name and all that differs from the recipe as it stands in its file.
        called: how it is named to `skelpipe pretrain`.
        recipe: with the changes.
        content: a digest of what it says; comments and layout left out.
        changes: what differs, by dotted key.
        flags: the changes, for `skelpipe pretrain`.
    """

    stem: str
    name: str
    called: str
    recipe: Recipe
    content: str
    changes: Mapping[str, Any]
    flags: tuple[str, ...]


# Recipes ------------------------------------------------------------------------------------------------------------
def list_experiments(pipeline: Pipeline, path: Path) -> list[Experiment]:
    """Every recipe at every point of the sweep; what comes out the same is there once."""
    found, known, lacking = {}, [], missing()
    _check_names(pipeline, path)
    for entry in pipeline.recipes:
        if entry in lacking:
            continue
        is_path = is_path_like(entry)
        file = find_recipe(path.parent / entry if is_path else entry)
        if not NAME.fullmatch(file.stem):
            raise BadInput(file, "its name also names folders", "use letters, digits, '_', '-', '+' and '.' only")
        known.append(file.stem)
        for point in pipeline.sweep:
            swept = {key: value for key, value in point.items() if not _of_one(key, value)} | point.get(file.stem, {})
            changes = [*pipeline.set.get(file.stem, ()), *(f"{key}={as_text(value)}" for key, value in swept.items())]
            try:
                experiment = _experiment(pipeline, file, os.path.abspath(file) if is_path else entry, changes)
            except BadInput as error:
                raise _of_pipeline(error, pipeline, path, file.stem) from None
            _check_recipe(pipeline, path, experiment)
            found[experiment.name] = experiment
    if not found:
        what = f"recipes: {', '.join(SYSTEMS[entry].title for entry in pipeline.recipes)} cannot be trained here yet"
        raise BadInput(path, what, f"name a recipe that ships: {', '.join(recipes())}")
    for name in sorted(pipeline.set.keys() - set(known)):
        if name in lacking:
            raise BadInput(path, f"set.{name}: {SYSTEMS[name].title} has no recipe yet", "leave it out")
        if name in recipes():  # which --set recipes=[...] may have left out
            continue
        what = f"set.{name}: is not one of its recipes{hint(name, known)}"
        raise BadInput(path, what, f"they are {', '.join(known)}")
    return list(found.values())


def _of_pipeline(error: BadInput, pipeline: Pipeline, path: Path, stem: str) -> BadInput:
    """A mistake in a pipeline's changes of a recipe as the pipeline's; one of the recipe's own file stays its own."""
    if not error.where.startswith("--set "):
        return error
    change = error.where.removeprefix("--set ")
    key = f"set.{stem}" if change in pipeline.set.get(stem, ()) else "sweep"
    return BadInput(path, f"{key}: {change}: {error.what}", error.remedy)


def _of_one(key: str, value: Any) -> bool:
    """Whether an entry of a point of a sweep holds the changes of one recipe."""
    return isinstance(value, dict) and (key in recipes() or key in SYSTEMS)


def _check_names(pipeline: Pipeline, path: Path) -> None:
    """Raise BadInput if a mapping of recipes names what is none. It may name more of them than the pipeline has."""
    own = [Path(entry).stem for entry in pipeline.recipes]
    known = [*own, OTHERS, *recipes(), *SYSTEMS]
    for key in ("streams", "protocols", "probe"):
        for name in getattr(pipeline, key):
            if name not in known:
                what = f"{key}.{name}: is not one of its recipes{hint(name, known)}"
                raise BadInput(path, what, f"they are {', '.join(own)}, and '{OTHERS}' for all that are not named")


def _experiment(pipeline: Pipeline, file: Path, called: str, changes: Sequence[str]) -> Experiment:
    from skelpipe.evaluation.protocols import check_stated
    from skelpipe.training.announce import never_mined
    from skelpipe.training.recipe import load_recipe

    recipe = load_recipe(file, changes, pipeline.epochs)  # a mistake is found now and not hours later
    check_stated(recipe, file)
    if never := never_mined(recipe):
        log.warning("%s: %s", called, never)
    # Not what was asked for but what it changes: a setting at its default makes no other experiment.
    differing = _differences(load_recipe(file), recipe, load_yaml(file))
    epochs = differing.get("epochs")
    told = [f"{key}={as_text(value)}" for key, value in sorted(differing.items()) if key != "epochs"]
    flags = [] if epochs is None else ["--epochs", str(epochs)]
    flags += [part for change in told for part in ("--set", change)]
    if pipeline.precision != "fp32":
        differing["precision"] = pipeline.precision
        flags += ["--precision", pipeline.precision]
    if pipeline.half_storage:
        differing["half_storage"] = True
        flags += ["--half-storage"]
    name = _folder_name(file.stem, differing)
    content = _content(load_recipe(file, told, epochs))
    return Experiment(file.stem, name, called, recipe, content, differing, tuple(flags))


def _differences(before: Recipe, after: Recipe, stated: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, by dotted key, that make one recipe of another whose file states `stated`."""
    changes: dict[str, Any] = {}
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    # A dump leaves out much that is at its default, and one of epochs and iterations.
    new |= {key: value for key, value in whole(after).items() if key in old.keys() - new.keys()}
    for key, value in new.items():
        then: Any = old.get(key)
        # What has a name has the options of that name: they can be set one by one only where the name stands already.
        alike = (
            isinstance(value, dict)
            and isinstance(then, dict)
            and value.keys() == then.keys()
            and value.get("name") == then.get("name")
        )
        if alike and (key in stated or "name" not in value):
            changes |= {f"{key}.{inner}": v for inner, v in value.items() if v != then[inner]}
        elif value != then:
            changes[key] = value
    if changes.get("iterations", ...) is None:  # epochs take their place
        del changes["iterations"]
    return changes


def _content(recipe: Recipe) -> str:
    return _digest(recipe.model_dump_json(exclude_unset=True, exclude={"name", "title", "source"}))


def _check_recipe(pipeline: Pipeline, path: Path, experiment: Experiment) -> None:
    """Raise BadInput if a recipe cannot give what the pipeline wants of it."""
    recipe, streams = experiment.recipe, streams_of(pipeline, experiment)
    if "supervised" in pipeline.protocols_of(experiment.stem) and not recipe.supervised:
        what = f"protocols: supervised measures a classifier, and {recipe.name} trains none"
        raise BadInput(path, what, "leave it out: recipes that learn from labels are evaluated by it anyway")
    if recipe.supervised and pipeline.pretrain_on:
        what = f"pretrain_on: {recipe.name} learns the classes of {pipeline.pretrain_on} and no others"
        raise BadInput(path, what, "leave it out of the recipes")
    lacking = [stream for stream in streams if stream not in (recipe.streams or STREAMS)]
    if lacking:
        what = f"streams: {recipe.name} has no {lacking[0]}"
        trains = f"{', '.join(recipe.streams)} together" if recipe.streams else f"one of {', '.join(STREAMS)}"
        raise BadInput(path, what, f"it trains {trains}")
    for epoch in pipeline.at_epochs:
        kept = bool(recipe.keep_every) and epoch > 0 and epoch % recipe.keep_every == 0
        if epoch > recipe.epochs or not (kept or epoch == recipe.epochs):
            what = f"at_epochs: of {epoch} epochs {recipe.name} will keep no weights"
            said = f"it trains {recipe.epochs} epochs and has keep_every: {recipe.keep_every}"
            raise BadInput(path, what, f"{said}; change these by 'epochs' and 'set', or at_epochs")


def streams_of(pipeline: Pipeline, experiment: Experiment) -> tuple[str, ...]:
    """The streams that a recipe is evaluated by; those of its own unless the pipeline names some for this recipe."""
    recipe = experiment.recipe
    if recipe.own_streams and experiment.stem not in pipeline.streams:
        return recipe.streams
    return pipeline.streams_of(experiment.stem)


def check_owner(run: Path, planned: Mapping[str, str]) -> None:
    """Raise BadInput if a run was made from another file of the same name that says something else.

    The same file may say something new, and then its run is made anew; another file's run is not to be lost.
    """
    try:
        command = shlex.split(json.loads((run / PROVENANCE).read_text("utf-8"))["command"])
        own = list(dropwhile(lambda word: word.startswith("-"), command[1:]))  # without -v
        before = own[1] if command[:1] == ["skelpipe"] and own[:1] == ["pretrain"] else planned["recipe"]
    except (OSError, ValueError, KeyError, IndexError):
        return
    if before != planned["recipe"] and _retold(before, planned["flags"]) not in (None, planned["content"]):
        what = f"was trained from {before}, which is another recipe than {planned['recipe']}"
        raise BadInput(run, what, "rename one of them, since folders are named after recipes; or use another --data")


def _retold(called: str, flags: str) -> str | None:
    """The content of a recipe under the flags of `skelpipe pretrain`, or None if it is no longer there."""
    from skelpipe.training.recipe import load_recipe

    words = shlex.split(flags)
    given = [(word, words[i + 1]) for i, word in enumerate(words) if word in ("--set", "--epochs")]
    epochs = next((int(value) for word, value in given if word == "--epochs"), None)
    try:
        return _content(load_recipe(called, [value for word, value in given if word == "--set"], epochs))
    except BadInput:
        return None


def _folder_name(stem: str, differing: Mapping[str, Any]) -> str:
    """A name for a recipe's folder: different changes give different names."""
    return shortened("+".join([stem, *(f"{key}={as_word(value)}" for key, value in sorted(differing.items()))]))


def shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 9]}-{_digest(name)[:8]}"


def as_word(value: Any) -> str:
    """A setting's value in letters that folder names may have; a short digest follows where something was lost."""
    items = value if isinstance(value, list) else [value]
    text = ",".join(map(as_text, items))
    plain = re.sub(r"[^A-Za-z0-9_.,-]", "", text)
    if plain == text and not any("," in as_text(item) for item in items):
        return text
    return f"{plain[:30]}-{_digest(as_text(value))[:8]}"


def as_text(value: Any) -> str:
    """A value in YAML, on one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=math.inf)
    return text.removesuffix("\n").removesuffix("\n...")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
