"""What the public API makes for tests: a folder with all that a chain makes, and names that are taken away again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

import skelpipe as sk
from skelpipe.api import registering
from skelpipe.api.names import registry
from skelpipe.recordings.synthetic import write_raw

CHANGES = {"batch_size": 8, "encoder": {"width": 4, "features": 16}, "method__queue_size": 32}


def make_road(folder: Path) -> Path:
    """raw, store.zarr, clips.zarr, run and evaluation in `folder`, which is returned."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    write_raw("ntu60", folder / "raw", actions=3, subjects=4, setups=1, replications=1, frames=(20, 30), seed=0)
    store = sk.ingest("ntu60", folder / "raw", folder / "store.zarr", workers=0)
    clips = sk.prepare(store, folder / "clips.zarr", frames=12)
    recipe = sk.load_recipe("small_skeletonclr", **CHANGES)
    run = sk.pretrain(recipe, clips, folder / "run", split="xsub60", epochs=1, device="cpu")
    sk.evaluate(run, clips, folder / "evaluation", probe="lbfgs", protocols=["linear", "knn"], device="cpu")
    torch.set_num_threads(threads)
    return folder


@contextmanager
def taken_away() -> Iterator[None]:
    """Inside, names may be registered; afterwards there are those of before."""
    before = {kind: set(registry(kind)) for kind in registering.SPOKEN}
    yield
    for kind, known in before.items():
        entries = registry(kind)
        for name in set(entries) - known:
            del entries[name]
            registering.ADDED.pop((kind, name), None)
        if kind in registering.CLASSES:
            registering.know_anew(entries)
