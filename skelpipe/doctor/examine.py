"""All that `skelpipe doctor` looks at, in its order."""

from __future__ import annotations

from pathlib import Path

from skelpipe.doctor.check import Check
from skelpipe.doctor.machine import look_at_gpus, look_at_processor, look_at_torch
from skelpipe.doctor.packages import look_at_extras, look_at_python
from skelpipe.doctor.places import look_at_caches, look_at_disk, look_at_recordings


def examine(data: Path) -> list[Check]:
    """Look at everything; nothing is written.

    Args:
        data: the data folder, which need not be there.
    """
    return [
        look_at_python(),
        look_at_processor(),
        look_at_torch(),
        look_at_gpus(),
        look_at_caches(),
        look_at_disk(data),
        look_at_recordings(data),
        look_at_extras(),
    ]
