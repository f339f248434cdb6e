"""The preparation that a recipe states: the command that makes such clips, and whether given ones are such."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from skelpipe.clips.presets import Options, Preparation, find_preparation
from skelpipe.clips.views import build_view
from skelpipe.errors import BadInput
from skelpipe.outputs.ancestry import PROVENANCE, read_json
from skelpipe.recordings import NATIVE
from skelpipe.recordings.store import Clips
from skelpipe.training.recipe import ClipsNeeded, Recipe

ONE = "one"  # in the place of frames: any number, the same of all clips
LENGTHS = {NATIVE: "clips of their own lengths", ONE: "clips of one length"}
PREPARATION = "preparation"  # the attribute of clips; those of today's preparation, with its changes, have none


def stated(recipe: Recipe) -> ClipsNeeded | None:
    """What a recipe says of its clips, or None if it says nothing."""
    return None if recipe.clips == ClipsNeeded() else recipe.clips


def prepare_words(needed: ClipsNeeded) -> list[str]:
    """The options with which `skelpipe prepare` makes such clips."""
    words = ["--preset", needed.preset]
    words += [] if needed.frames is None else ["--frames", str(needed.frames)]
    words += [] if needed.longest is None else ["--longest", str(needed.longest)]
    return [*words, *(w for kind, choice in needed.steps.items() for w in ("--step", f"{kind}={choice}"))]


def folder_words(needed: ClipsNeeded) -> list[str]:
    """What the name of a folder says of such clips: isc-64, raw-native, isc-300-align=none."""
    frames = needed.frames or find(needed).frames
    words = [needed.preset, str(frames)]
    words += [] if needed.longest is None else [f"longest{needed.longest}"]
    return [*words, *(f"{kind}={choice}" for kind, choice in needed.steps.items())]


def find(needed: ClipsNeeded) -> Preparation:
    """The preparation that is meant.

    Raises:
        BadInput: there is no such preset or step, or a number does not fit; names the key of `clips`.
    """
    options: Options = {}
    if needed.frames is not None:
        options["frames"] = needed.frames
    if needed.longest is not None:
        options["longest"] = needed.longest
    try:
        return find_preparation(needed.preset, options, [f"{kind}={choice}" for kind, choice in needed.steps.items()])
    except BadInput as error:
        kind = str(error.where).partition(" ")[0]
        key = kind if kind in ("preset", "frames", "longest") else "steps"
        what = error.what if error.where == key else f"{error.where} {error.what}"
        raise BadInput(f"clips.{key}", what, error.remedy) from None


def check_clips(recipe: Recipe, clips: Clips) -> None:
    """Raise BadInput, with the command that makes the right ones, unless clips were prepared as a recipe needs it.

    A recipe that states nothing takes all clips of today's preparation, however its options were changed. One that is
    trained on clips of their own lengths states a view in which they can be evaluated.
    """
    noted, needed = clips.attributes, stated(recipe)
    try:
        wanted = {} if needed is None else _attributes(needed)
    except BadInput as error:
        raise BadInput(f"recipe {recipe.name}: {error.where}", error.what, error.remedy) from None
    if PREPARATION not in wanted:
        wanted[PREPARATION] = None
    differing = [key for key, value in wanted.items() if noted.get(key) != value]
    if not differing:
        check_evaluated(recipe, clips)
        return
    command = prepare_command(clips, prepare_words(needed or ClipsNeeded()))
    # Of clips of one length no preparation is noted, where it is today's: then it is the length that differs.
    told = [key for key in differing if _said(key, noted.get(key)) != _said(key, wanted[key])]
    lengths = (noted.get("frames"), wanted.get("frames", ONE))
    if NATIVE in lengths and lengths[0] != lengths[1] and ("frames" in told or not told):
        told = ["frames", *(key for key in told if key != "frames")]
    what = ", ".join(_said(key, noted.get(key)) for key in told)
    need = ", ".join(_said(key, wanted.get(key, ONE)) for key in told)
    raise BadInput(clips.path, f"is of {what}, and {recipe.name} needs {need}", f"make such clips by '{command}'")


def check_evaluated(recipe: Recipe, clips: Clips) -> None:
    """Raise BadInput if clips have lengths of their own and the recipe's evaluated view does not make one of them."""
    if clips.frames == NATIVE and not build_view(recipe.evaluate.view).evens:
        what = f"its clips have lengths of their own, and {recipe.name} has no evaluate.view that makes one of them"
        raise BadInput(clips.path, what, "write for example 'evaluate.view: [{resize: {frames: 64}}]' in the recipe")


def prepare_command(clips: Clips, options: Sequence[str]) -> str:
    """The command that makes clips with these options of the store that these were made from."""
    inputs = read_json(clips.path / PROVENANCE).get("inputs")
    store = inputs.get("store") if isinstance(inputs, dict) else None
    path = store.get("path") if isinstance(store, dict) else None
    return shlex.join(["skelpipe", "prepare", str(path or "STORE"), "CLIPS", *options])


def _attributes(needed: ClipsNeeded) -> dict[str, Any]:
    """What the folder of such clips notes, as far as the recipe says it."""
    from skelpipe.clips.prepare import settings_of  # compiles

    how = find(needed)
    today = settings_of(how)
    made = how.attributes() if today is None else asdict(today)
    free = {"length", *(key for key in ("frames", "longest") if getattr(needed, key) is None)}
    if today is not None and not needed.steps:
        free |= {"bodies", "centre", "turn"}
    return {key: value for key, value in made.items() if key not in free}


def _said(key: str, value: Any) -> str:
    if key == "frames" and value in LENGTHS:
        return LENGTHS[value]
    if key == PREPARATION:
        steps = " ".join(value) if isinstance(value, list) else value
        return f"preparation {steps or 'aimclr'}"
    return f"{key} {value}"
