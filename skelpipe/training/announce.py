"""What is about to be trained on what, and with which arithmetic, told by -v."""

from __future__ import annotations

import logging

import torch

from skelpipe import ranks
from skelpipe.encoders import cpu
from skelpipe.recordings.store import Clips
from skelpipe.training.recipe import Recipe

log = logging.getLogger(__name__)


def tell_plan(recipe: Recipe, source: Clips, clips: int, split: str, stream: str, seed: int, share: int) -> None:
    """Log what is about to be trained on what."""
    log.info("recipe %s: %s, positives %s", recipe.name, recipe.method.name, recipe.positives.name)  # type: ignore[attr-defined]
    if never := never_mined(recipe):
        log.warning("recipe %s: %s", recipe.name, never)
    log.debug("all of the recipe: %s", recipe.model_dump(mode="json"))
    made = ", ".join(
        f"{key} {source.attributes[key]}" for key in ("bodies", "centre", "turn") if key in source.attributes
    )
    log.info("clips %s: %s, %s frames, %s", source.path, source.dataset, source.frames, made or "nothing said of them")
    log.info("split %s: %s of %s clips are its training part", split, f"{clips:,}", f"{len(source):,}")
    streams = f"{', '.join(recipe.streams)}, trained together" if recipe.streams else stream
    length = f"{recipe.epochs} epochs" if recipe.iterations is None else f"{recipe.iterations} iterations"
    log.info("stream %s; %d bodies; seed %d; %s", streams, recipe.bodies, seed, length)
    if ranks.count() > 1:
        norm = "over all ranks, by" if recipe.batch_norm == "synced" else "within each rank, by"
        log.info("%d ranks, %d clips of each batch of %d each", ranks.count(), share, recipe.batch_size)
        log.info("batch norm %s batch_norm: %s", norm, recipe.batch_norm)
    else:
        log.info("one process, batches of %d; batch_norm: %s makes no difference", recipe.batch_size, recipe.batch_norm)


def never_mined(recipe: Recipe) -> str | None:
    """What to say of a run that ends before its positives look for a neighbour; None of all others."""
    start = getattr(recipe.positives, "nn_start_epoch", 0)
    if recipe.iterations is not None or not 0 < recipe.epochs <= start:
        return None
    never = f"no neighbour counts in {recipe.epochs} epochs, as positives.nn_start_epoch is {start}"
    return f"{never}: what is trained is the method without them; lower it by --set, or train longer"


def tell_arithmetic(
    place: torch.device, precision: str, half_storage: bool, synced: bool, held: int, compiled: bool
) -> None:
    """Log with which numbers and operators is computed, and why."""
    if place.type != "cpu":
        operators = "torch's operators, as the fused ones are for CPUs"
    elif compiled:
        operators = "torch's operators, as graphs hold no others"
    elif synced:
        operators = "torch's operators, as the fused ones know no batch norm over ranks"
    elif precision == "fp32":
        operators = "fused operators, as this is float32 on a CPU"
    elif cpu.has_bfloat16():
        operators = "fused operators, as this CPU has bfloat16, where the encoder is a graph network; torch's elsewhere"
    else:
        operators = "torch's operators, as this CPU has no bfloat16 of its own: float32 may be as fast"
    log.info("precision %s: %s", precision, operators)
    stored = "float16, by --half-storage" if half_storage else "float32, without --half-storage"
    log.info("the clips take %s MB of memory as %s", f"{held / 1e6:,.1f}", stored)
