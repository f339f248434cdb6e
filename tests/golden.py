"""What every method's first steps come to on the small clips of the tests; `python tests/golden.py` writes them anew.

The file beside it is compared by `test_golden.py`. Write it anew only where a change of the numbers is wanted, and say
so in the changelog.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import torch

from skelpipe.clips.batches import Batches
from skelpipe.methods import METHODS
from skelpipe.recordings.datasets import split_masks
from skelpipe.recordings.store import Clips
from skelpipe.training import checkpoint, device, loop
from skelpipe.training.recipe import load_recipe

FILE = Path(__file__).with_name("golden.json")
EPOCHS = 3  # of three steps each; neighbours count from the second on, the rate falls in the third
SHAPE = [
    "encoder.width=6",
    "encoder.dropout=0",
    "encoder.features=16",
    "batch_size=8",
    "optimizer.lr=0.01",
    "optimizer.steps=[2]",
]
CONTRAST = [
    "projector.hidden=16", "projector.size=12", "method.queue_size=40", "method.momentum=0.9", "init=torch",
    "method.key_init=copy",
]  # fmt: skip
MINING = ["positives.nn_start_epoch=1"]
CASES = {
    "SkeletonCLR": ("skeletonclr", CONTRAST),
    "CrosNNCLR, equation": ("crosnnclr", [*CONTRAST, *MINING]),
    "CrosNNCLR, algorithm1": ("crosnnclr", [*CONTRAST, *MINING, "positives.form=algorithm1", "positives.top_k=2"]),
    "CrosNNCLR, released": ("crosnnclr", [*CONTRAST, *MINING, "positives.form=released"]),
    "AimCLR": ("aimclr", [*CONTRAST, *MINING, "positives.top_k=2"]),
    "CrosNNCLR*": ("crosnnclr_star", [*CONTRAST, *MINING, "method.d3m_weight=0.7"]),
    "CrosNNCLR*, union": ("crosnnclr_star", [*CONTRAST, *MINING, "positives.keep_union=true"]),
    "CrosSCLR": ("crossclr", [*CONTRAST, *MINING]),
    "supervised": ("stgcn_supervised", []),
}


def curve(case: str, clips: Path) -> dict[str, list[float]]:
    """The loss of every step, and the scalars of the log over each epoch."""
    name, sets = CASES[case]
    recipe, source = load_recipe(name, [*SHAPE, *sets]), Clips(clips)
    rows = np.flatnonzero(split_masks("xsub60", source.dataset, source.columns)[0])
    threads = torch.get_num_threads()
    device.set_determinism(0)
    method = recipe.build_method(source.layout, 4).train()
    sgd = recipe.build_optimizer(method)
    batches = Batches(
        np.ascontiguousarray(source.load(rows)[..., : recipe.bodies]), rows, source.labels[rows],
        {view: recipe.view(view) for view in METHODS[recipe.method.name].VIEWS}, recipe.streams or "bone",
        source.layout, recipe.batch_size, 0, torch.device("cpu"), threads,
    )  # fmt: skip
    found: dict[str, list[float]] = {}
    for epoch in range(1, EPOCHS + 1):
        at = checkpoint.Position()
        for group in sgd.param_groups:
            group["lr"] = recipe.optimizer.rate(epoch)
        for batch in batches.epoch(epoch):
            scalars = loop.train_step(method, sgd, batch, epoch)
            found.setdefault("loss of a step", []).append(float(scalars["loss"]))
            at.add(scalars)
        for key, value in at.means().items():
            if value is not None and not key.startswith("neighbour_label"):
                found.setdefault(key, []).append(float(value))
    return found


if __name__ == "__main__":
    from conftest import write_clips

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        made = write_clips(Path(folder) / "clips.zarr")
        curves = {case: curve(case, made) for case in CASES}
    rounded = {
        c: {k: [float(f"{v:.7g}") for v in values] for k, values in found.items()} for c, found in curves.items()
    }
    FILE.write_text(json.dumps(rounded, indent=1) + "\n")
