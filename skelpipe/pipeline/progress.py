"""How far a stage at work has come, and what one that is done has measured, by the files in its folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from skelpipe.outputs.ancestry import read_json

LOG, SETTINGS, METRICS = "log.jsonl", "settings.json", "metrics.json"
END_OF_LOG = 4096  # bytes; an epoch takes some 300


class Trained(NamedTuple):
    """How far a pretraining has come: epochs, clips a second, and seconds that the rest takes at that rate."""

    epoch: int
    epochs: int
    rate: float
    left: float

    @property
    def share(self) -> float:
        return min(1.0, self.epoch / max(1, self.epochs))


def trained(run: Path, since: float = 0.0) -> Trained | None:
    """What the log of a run says of its last whole epoch; None before the first one that was logged `since` then."""
    try:
        with open(run / LOG, "rb") as file:
            there = os.fstat(file.fileno())
            if there.st_mtime < since:
                return None
            file.seek(max(0, there.st_size - END_OF_LOG))
            last = json.loads(file.read().rstrip().rpartition(b"\n")[2])
        epoch, epochs = int(last["epoch"]), int(read_json(run / SETTINGS)["epochs"])
        return Trained(epoch, epochs, float(last["clips_per_second"]), max(0, epochs - epoch) * float(last["seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def measured(folder: Path) -> str:
    """The top-1 accuracies in the folder of an evaluation or fusion, "linear 71.2, knn 60.4 %"; "" without any."""
    protocols: Any = read_json(folder / METRICS).get("protocols")
    if not isinstance(protocols, dict):
        return ""
    found = {name: values.get("top1") for name, values in protocols.items() if isinstance(values, dict)}
    told = [f"{name} {100 * top1:.1f}" for name, top1 in found.items() if isinstance(top1, int | float)]
    return f"{', '.join(told)} %" if told else ""
