"""Whether a run's clips lie on the device, where their views are then rendered."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import torch

from skelpipe.clips.batches import Batches
from skelpipe.clips.gather import Source
from skelpipe.clips.resident import ResidentBatches, without_form
from skelpipe.clips.views import View
from skelpipe.recordings.native import Native

log = logging.getLogger(__name__)

SHARE = 0.5  # of the device's free memory that clips may take; the rest is for the steps
STAY = "clips stay in the host's memory: %s"


def batches_for(
    choice: str, place: torch.device, clips: Source, views: Iterable[View], compiled: bool = True
) -> type[Batches]:
    """The kind of batches of a run, and one line where it is not the one that was asked for.

    Args:
        choice: of `step.CHOICES`, of which auto means on a GPU, if what it does is compiled: else noise alone takes
            some hundred launches, which the host's kernels do while the GPU is at work.
        compiled: whether steps and views are.
    """
    if choice == "off" or (choice == "auto" and place.type != "cuda"):
        return Batches
    if choice == "auto" and not compiled:
        log.info(STAY, "steps are not compiled, nor would views be")
        return Batches
    if missing := sorted({name for view in views for name in without_form(view)}):
        log.warning(STAY, f"{', '.join(missing)} has no torch form" + ("" if len(missing) == 1 else " each"))
        return Batches
    size, free = held_by(clips), free_memory(place)
    if free is not None and size > SHARE * free:
        log.warning(STAY, f"they take {size / 1e9:.2f} GB, and {place} has {free / 1e9:.2f} GB free, half for clips")
        return Batches
    log.info("the clips lie on %s, which renders their views", place)
    return ResidentBatches


def held_by(clips: Source) -> int:
    """How many bytes clips take."""
    return int((clips.values if isinstance(clips, Native) else clips).nbytes)


def free_memory(place: torch.device) -> int | None:
    """How many bytes of a GPU's memory are free; None of another device."""
    return torch.cuda.mem_get_info(place)[0] if place.type == "cuda" else None
