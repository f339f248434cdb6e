"""Every compared system by its small recipe, at toy size and from the command line: from raw recordings to accuracies.

Each trains, is killed and goes on bit for bit, comes to the losses that are written in `systems.json`, is measured as
its recipe says, and trains on two ranks as on one. `python tests/test_systems.py` writes the losses anew.
"""

from __future__ import annotations

import json
import math
import signal
import sys
import tempfile
from pathlib import Path
from shlex import join, split

import numpy as np
import pytest
from kills import CPU, Forked

from skelpipe.paper.systems import SYSTEMS
from skelpipe.resources import names
from skelpipe.training.recipe import load_recipe

FILE = Path(__file__).with_name("systems.json")
# What makes a small recipe smaller still, in two epochs of batches of 8.
TOY: dict[str, list[str]] = {
    "small_stgcn_supervised": ["encoder.width=2", "encoder.features=8"],
    "small_longt_gan": ["encoder.width=4", "partner.width=4"],
    "small_ms2l": ["encoder.width=4", "method.hidden=8", "method.size=8"],
    "small_predict_cluster": ["encoder.width=4"],
    "small_as_cal": ["encoder.width=8", "method.queue_size=24"],
    "small_isc": ["encoder.width=4", "partner.width=2", "projector.size=8", "method.queue_size=24"],
    "small_colorization": ["encoder={name: dgcnn, width: 4, features: 8, neighbours: 3}", "method.side=4"],
    "small_va_rnn": ["encoder.width=4", "encoder.main.width=6"],
    "small_part_aware_lstm": ["encoder.width=2"],
    "small_soft_rnn": ["encoder.width=4", "method.segments=4"],
}
COMMON = ["batch_size=8", "keep_every=0"]
SYNTH = "synth ntu60 raw --actions 3 --subjects 4 --setups 1 --replications 2 --frames 18 36"
TOLERANCE = 2e-3  # of another processor


def changes(name: str) -> list[str]:
    """The words that make a recipe a toy."""
    return [word for change in (*COMMON, *TOY[name]) for word in ("--set", change)]


class Place:
    """A folder with a store, and clips of every kind that was asked for."""

    def __init__(self, root: Path) -> None:
        self.root, self.server = root, Forked(root)
        self.kinds: dict[str, str] = {}
        for command in (SYNTH, "ingest ntu60 raw store --workers 0", "prepare store usual --threads 1"):
            self.run(split(command))

    def run(self, words: list[str], **order) -> str:
        done = self.server.run([*map(str, words)], **order)
        assert done.status == 0, f"{join(words)}: {done.said}"
        return done.said

    def clips(self, name: str) -> str:
        """Clips as the recipe needs them, made by the command that `pretrain` names."""
        needed = repr(load_recipe(name, TOY[name]).clips)
        if needed not in self.kinds:
            refused = self.server.run(self.pretrain(name, "usual", "none", "--epochs", "0"))
            if refused.status == 0:
                self.kinds[needed] = "usual"
                return "usual"
            command = refused.said[refused.said.index("'skelpipe prepare") :].strip()[len("'skelpipe ") : -1]
            made = f"clips{len(self.kinds)}"
            self.run(["prepare", "store", made, *split(command)[3:], "--threads", "1"])
            self.kinds[needed] = made
        return self.kinds[needed]

    def pretrain(self, name: str, clips: str, run: str, *more: str) -> list[str]:
        stream = "3s" if load_recipe(name, TOY[name]).streams else "joint"
        length = [] if "--epochs" in more else ["--epochs", "2"]
        words = ["pretrain", name, clips, run, "--split", "xsub60", "--stream", stream]
        return [*words, *changes(name), *length, *CPU, *more]

    def losses(self, run: str) -> dict[str, list[float]]:
        """The loss and what else the log has of each epoch, but for times and what no number need be."""
        entries = [json.loads(line) for line in (self.root / run / "log.jsonl").read_text().splitlines()]
        kept = [k for k, v in entries[0].items() if isinstance(v, float) and k not in ("seconds", "clips_per_second")]
        return {key: [entry[key] for entry in entries] for key in kept}


def files_of(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in ("weights.safetensors", "recipe.yaml", "settings.json")}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    made = Place(tmp_path_factory.mktemp("systems"))
    yield made
    made.server.close()


def test_every_system_is_here():
    small = {name for name in names("models") if name.startswith("small_") and f"{name[6:]}" in SYSTEMS}
    temporal = {name for name in small if load_recipe(name).encoder.name == "temporal"}  # of test_small_recipes
    assert small - temporal == TOY.keys()
    assert set(SYSTEMS) == {name[6:] for name in small}
    assert json.loads(FILE.read_text()).keys() == TOY.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", TOY)
def test_a_system_trains_goes_on_and_is_measured(name, place):
    clips = place.clips(name)
    place.run(place.pretrain(name, clips, f"{name}.whole"))
    found, written = place.losses(f"{name}.whole"), json.loads(FILE.read_text())[name]
    assert found.keys() == written.keys()
    for key, values in written.items():
        np.testing.assert_allclose(found[key], values, rtol=TOLERANCE, atol=TOLERANCE * 0.1, err_msg=key)
    killed = place.server.run(
        place.pretrain(name, clips, f"{name}.killed"),
        hook={"at": 40, "then": "before", "signal": signal.SIGKILL}, checkpoint_seconds=0,
    )  # fmt: skip
    assert killed.status == -signal.SIGKILL, killed.said
    assert (place.root / f"{name}.killed" / "checkpoint.pt").exists()
    place.run(place.pretrain(name, clips, f"{name}.killed"))
    assert files_of(place.root / f"{name}.killed") == files_of(place.root / f"{name}.whole")
    for stream in load_recipe(name, TOY[name]).streams or ("",):
        of = ["--stream", stream] if stream else []
        place.run(["evaluate", f"{name}.whole", clips, f"{name}{stream}.out", *of, *CPU])
        metrics = json.loads((place.root / f"{name}{stream}.out" / "metrics.json").read_text())["protocols"]
        stated = load_recipe(name).evaluate.protocols
        assert set(stated) <= set(metrics) | {"early", "aec"}
        assert all(math.isfinite(told["top1"]) for told in metrics.values() if "top1" in told)


@pytest.mark.slow
@pytest.mark.parametrize("name", TOY)
def test_two_ranks_train_as_one(name, place):
    clips = place.clips(name)
    # A dropout draws other masks on each rank, so there is none.
    options = load_recipe(name, TOY[name]).encoder
    still = ["--set", "encoder.dropout=0"] if hasattr(options, "dropout") else []
    place.run(place.pretrain(name, clips, f"{name}.one", *still))
    words = place.pretrain(name, clips, f"{name}.two", *still, "--gpus", "2", "--set", "batch_norm=synced")
    # Seen once on a crowded machine: torch aborts a rank that has ended. What the command then says is to be true.
    ended = place.server.run(words)
    assert ended.status == 0 or "goes on from the last checkpoint" in ended.said, ended.said
    place.run(words)
    assert (place.root / f"{name}.two" / "done.json").exists()
    one, two = (place.losses(f"{name}.{kind}")["loss"] for kind in ("one", "two"))
    np.testing.assert_allclose(two, one, rtol=2e-3)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        here = Place(Path(folder))
        found = {}
        for each in sys.argv[1:] or TOY:
            here.run(here.pretrain(each, here.clips(each), each))
            found[each] = {
                key: [float(f"{value:.7g}") for value in values] for key, values in here.losses(each).items()
            }
        here.server.close()
    before = json.loads(FILE.read_text()) if FILE.exists() else {}
    made = {each: found.get(each, before.get(each)) for each in TOY}
    FILE.write_text(json.dumps(made, indent=1) + "\n")
