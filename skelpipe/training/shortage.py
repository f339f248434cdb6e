"""What a training that runs out of memory tells, and what it leaves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skelpipe.errors import BadInput, shortage
from skelpipe.training.folder import CHECKPOINT
from skelpipe.training.recipe import Recipe


@contextmanager
def memory_told(run: Path, recipe: Recipe, precision: str, half_storage: bool) -> Iterator[None]:
    """Turn a lack of memory while RUN is trained into BadInput, with what can be lowered.

    Raises:
        BadInput: memory ran out; RUN keeps its last checkpoint.
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if (what := shortage(error)) is None:
            raise
        ways = [f"lower batch_size (it is {recipe.batch_size}) by --set batch_size={max(1, recipe.batch_size // 2)}"]
        ways += [] if half_storage else ["pass --half-storage"]
        ways += [] if precision == "bf16" else ["pass --precision bf16"]
        kept = "its last checkpoint stands" if (run / CHECKPOINT).exists() else "there was no checkpoint yet"
        raise BadInput(run, f"{what}; {kept}", ", ".join(ways[:-1]) + (" or " if ways[1:] else "") + ways[-1]) from None
