"""The run's folder: its files, whose settings it has, and the sessions that worked on it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from skelpipe import __version__, ranks
from skelpipe.errors import BadInput
from skelpipe.outputs.ancestry import PROVENANCE, read_json
from skelpipe.outputs.checksums import check_files, is_output
from skelpipe.outputs.files import write_bytes, write_json
from skelpipe.outputs.folders import check_target, new_folder
from skelpipe.outputs.provenance import clock, command
from skelpipe.training.checkpoint import Position
from skelpipe.training.recipe import Recipe

log = logging.getLogger(__name__)
CHECKPOINT, WEIGHTS, LOG, SETTINGS, RECIPE = (
    "checkpoint.pt",
    "weights.safetensors",
    "log.jsonl",
    "settings.json",
    "recipe.yaml",
)
ANEW = "delete this run, or pass --force to start anew"


def prepare_folder(run: Path, recipe: Recipe, settings: dict[str, Any], force: bool, clips: Path) -> None:
    """Make RUN, or check that it is one that these settings may go on with.

    Raises:
        BadInput: RUN is something else, or was made with other settings and `force` is not set.
    """
    if is_output(run):
        if same_settings(run, settings) and not (force and damaged(run)):
            check_files(run, is_kept, ANEW)
            log.info("%s: is there, of the same recipe, clips and options, so this goes on with it", run)
            return
        if not force:
            check_files(run, is_kept, ANEW)
            what = "was made with other settings (see its recipe.yaml and settings.json)"
            raise BadInput(run, what, "choose another path, or pass --force to start anew")
    else:
        check_target(run, force=False)
    # In one step: a run that a kill left without its provenance would be nobody's, and could not be gone on with.
    inputs = {"clips": clips}
    with new_folder(run, "run", force=force, inputs=inputs, settings=settings, sealed=False, lock=False) as folder:
        write_bytes(folder / RECIPE, recipe.dump().encode())
        write_json(folder / SETTINGS, settings)


def begin_session(run: Path, at: Position, place: torch.device, threads: int | None) -> None:
    """Note in the run's provenance that a command goes on with it from here."""
    session = {
        "command": command(),
        "skelpipe": __version__,
        "torch": torch.__version__,
        "started": clock(),
        "from_epoch": at.epoch,
        "device": torch.cuda.get_device_name(place) if place.type == "cuda" else str(place),
        "threads": threads or torch.get_num_threads(),
        "ranks": ranks.count(),
    }
    made = read_json(run / PROVENANCE)
    write_json(run / PROVENANCE, {**made, "sessions": [*sessions_of(made), session]})


def end_session(run: Path, state: str, at: Position) -> dict[str, Any]:
    """Note how far that command came, and return the run's provenance."""
    made = read_json(run / PROVENANCE)
    told = sessions_of(made)
    if told and "ended" not in told[-1]:
        told[-1] |= {"ended": clock(), "state": state, "epochs_done": at.epoch - 1}
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


def same_settings(run: Path, settings: dict[str, Any]) -> bool:
    """Whether RUN was started from the same recipe, clips and options."""
    try:
        return bool(json.loads((run / SETTINGS).read_text()) == settings)
    except (OSError, ValueError):
        return False
