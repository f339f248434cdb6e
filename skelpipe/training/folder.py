"""The run's folder: its files, whose settings it has, and the sessions that worked on it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from skelpipe import __version__, ranks
from skelpipe.errors import BadInput, shortened
from skelpipe.outputs.ancestry import DONE, PROVENANCE, read_json
from skelpipe.outputs.checksums import FILES, check_files, is_output
from skelpipe.outputs.files import write_bytes, write_json
from skelpipe.outputs.folders import check_target, new_folder
from skelpipe.outputs.provenance import clock, command
from skelpipe.training.checkpoint import Position, kept_weights, weights_epoch
from skelpipe.training.preparation import PREPARED
from skelpipe.training.recipe import Recipe
from skelpipe.training.run_settings import REGISTERED

log = logging.getLogger(__name__)
CHECKPOINT, WEIGHTS, LOG, SETTINGS, RECIPE = (
    "checkpoint.pt",
    "weights.safetensors",
    "log.jsonl",
    "settings.json",
    "recipe.yaml",
)
RECIPE_SETTINGS = "recipe_settings"
EVALUATE = "evaluate"  # of a recipe: what decides no weights
LENGTHS = ("epochs", f"{RECIPE_SETTINGS}.epochs", f"{RECIPE_SETTINGS}.iterations")
LATER = (PREPARED, REGISTERED)
OTHERWISE = "choose another path, or pass --force to start anew"
ANEW = "delete this run, or pass --force to start anew"


def prepare_folder(run: Path, recipe: Recipe, settings: dict[str, Any], force: bool, clips: Path) -> None:
    """Make RUN, or check that it is one that these settings may go on with.

    Raises:
        BadInput: RUN is something else, or was made with other settings than a shorter length or another `evaluate`
            and `force` is not set.
    """
    if is_output(run):
        check_target(run, True, "run")
        before = read_settings(run)
        old, new = deciding(before), deciding(as_noted(settings, before))
        longer = only_longer(old, new) and not recipe.rates.knows_length
        if (old == new or longer) and not (force and damaged(run)):
            check_files(run, is_kept, ANEW)
            go_on_with(run, recipe, before, settings)
            return
        force = force or is_empty(run)
        if not force:
            check_files(run, is_kept, ANEW)
            what = f"was made with other settings: {differences(old, new)}"
            if recipe.rates.knows_length and only_longer(old, new):
                what += ", from which the rates of all epochs follow unless schedule.length is set"
            raise BadInput(run, what, OTHERWISE)
    else:
        check_target(run, force=False)
    # In one step: a run that a kill left without its provenance would be nobody's, and could not be gone on with.
    inputs = {"clips": clips}
    with new_folder(run, "run", force=force, inputs=inputs, settings=settings, sealed=False, lock=False) as folder:
        write_bytes(folder / RECIPE, recipe.dump().encode())
        write_json(folder / SETTINGS, settings)


def go_on_with(run: Path, recipe: Recipe, before: dict[str, Any], settings: dict[str, Any]) -> None:
    """Make a RUN one of these settings that is not at its end, if it is not; it had those `before`.

    Where only `evaluate` is another, its end is where it was, and its weights stay.

    A kill at any place leaves one that the same command makes right.

    Raises:
        BadInput: it is at its end and holds nothing to go on from.
    """
    noted = as_noted(settings, before)
    if before == noted:
        log.info("%s: is there, of the same recipe, clips and options, so this goes on with it", run)
        if not (run / DONE).exists():
            write_bytes(run / RECIPE, recipe.dump().encode())  # a kill may have come between it and the settings
            if before != settings:
                write_json(run / SETTINGS, settings)
        return
    longer = deciding(before) != deciding(noted)
    if (run / DONE).exists() and before["epochs"] and not (run / CHECKPOINT).exists():
        could = f"it could go on to {settings['epochs']} epochs" if longer else "its end could be written again"
        raise BadInput(run, f"has no {CHECKPOINT}, from which {could}", OTHERWISE)
    if longer:
        log.info("%s: was of %d epochs, and goes on to %d", run, before["epochs"], settings["epochs"])
    else:
        log.info("%s: keeps its weights, and takes what the recipe's evaluate says now", run)
    (run / DONE).unlink(missing_ok=True)
    (run / FILES).unlink(missing_ok=True)
    at_end = kept_weights(weights_epoch(run / WEIGHTS) or before["epochs"])
    if longer and (run / WEIGHTS).exists() and before[RECIPE_SETTINGS].get("iterations") is None:
        (run / WEIGHTS).replace(run / at_end)  # what could be evaluated still can
    write_json(run / SETTINGS, settings)
    write_bytes(run / RECIPE, recipe.dump().encode())
    write_json(run / PROVENANCE, {**read_json(run / PROVENANCE), "settings": settings})


def is_empty(run: Path) -> bool:
    """Whether RUN is a run with nothing of a training yet: it ended before its first checkpoint, for lack of memory."""
    begun = any((run / name).exists() for name in (CHECKPOINT, DONE)) or any(run.glob("weights*.safetensors"))
    return read_json(run / PROVENANCE).get("kind") == "run" and not begun


def read_settings(run: Path) -> dict[str, Any]:
    """What RUN was started with; {} where that cannot be read."""
    return read_json(run / SETTINGS)


def deciding(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a run's settings that decide its weights: all but how the recipe is evaluated."""
    recipe = settings.get(RECIPE_SETTINGS)
    if not isinstance(recipe, Mapping):
        return dict(settings)
    return {**settings, RECIPE_SETTINGS: {key: value for key, value in recipe.items() if key != EVALUATE}}


def as_noted(settings: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without what runs of older versions do not note, such as what follows from the digest of the clips."""
    return {key: value for key, value in settings.items() if key not in LATER or key in before}


def only_longer(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether the settings differ in a length alone, and that is larger now."""
    old, new = dict(flat(before)), dict(flat(after))
    changed = [key for key in old.keys() | new.keys() if old.get(key) != new.get(key)]
    pairs = [(old.get(key), new.get(key)) for key in changed]
    larger = all(isinstance(a, int) and isinstance(b, int) and a < b for a, b in pairs)
    return bool(changed) and larger and set(changed) <= set(LENGTHS)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """In words what differs between the settings of a run and those asked for: at most three, the others counted."""
    old, new = dict(flat(before)), dict(flat(after))
    if not before:
        return f"its {SETTINGS} cannot be read"
    keys = [key for key in dict.fromkeys((*old, *new)) if old.get(key) != new.get(key)]
    told = {key.removeprefix(f"{RECIPE_SETTINGS}."): (str(old.get(key)), str(new.get(key))) for key in keys}
    named = [f"{key} {shortened(a, 60)}, now {shortened(b, 60)}" for key, (a, b) in told.items()]
    more = [f"and {len(named) - 3} more"] if len(named) > 3 else []
    return "; ".join((*named[:3], *more))


def flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Settings as (dotted key, value)."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{key}.")
        else:
            yield above + key, value


def begin_session(
    run: Path, at: Position, place: torch.device, threads: int | None, epochs: int, how: Mapping[str, Any]
) -> None:
    """Note in the run's provenance that a command goes on with it from here.

    Args:
        how: its steps are taken: whether compiled, recorded, on resident clips; or why not, though they were to be.
    """
    session = {
        "command": command(),
        "skelpipe": __version__,
        "torch": torch.__version__,
        "started": clock(),
        "from_epoch": at.epoch,
        "to_epoch": epochs,
        "device": torch.cuda.get_device_name(place) if place.type == "cuda" else str(place),
        "threads": threads or torch.get_num_threads(),
        "ranks": ranks.count(),
        **how,
    }
    made = read_json(run / PROVENANCE)
    write_json(run / PROVENANCE, {**made, "sessions": [*sessions_of(made), session]})


def end_session(run: Path, state: str, at: Position, how: Mapping[str, Any]) -> dict[str, Any]:
    """Note how far that command came, and how, and return the run's provenance."""
    made = read_json(run / PROVENANCE)
    told = sessions_of(made)
    if told and "ended" not in told[-1]:
        told[-1] |= {"ended": clock(), "state": state, "epochs_done": at.epoch - 1, **how}
        made = {**made, "sessions": told}
        write_json(run / PROVENANCE, made)
    return made


def sessions_of(made: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The commands that have worked on a run, the first one first."""
    told = made.get("sessions")
    return [session for session in told if isinstance(session, dict)] if isinstance(told, list) else []


def is_kept(name: str) -> bool:
    """Whether a file of a finished run has to be as it was; lost weights are written again from the checkpoint."""
    return name != WEIGHTS


def damaged(run: Path) -> bool:
    """Whether a file of a finished run is not as it was."""
    try:
        check_files(run, is_kept)
    except BadInput:
        return True
    return False
