"""Methods of other kinds through the real loop: what they learn, that they go on bit for bit, and on two ranks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import write_clips
from toys import KINDS, recipe
from uneven import write_uneven

from skelpipe.clips.batches import Batch
from skelpipe.errors import BadInput
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.methods import METHODS
from skelpipe.training.checkpoint import Position
from skelpipe.training.log import Log
from skelpipe.training.log_names import LOG_NAMES
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

NAMES = ("two_networks", "next_frame", "gru", "as_cal")


@pytest.fixture(autouse=True)
def registry():
    before = dict(METHODS)
    yield
    for name in METHODS.keys() - before.keys():
        del METHODS[name]


@pytest.fixture(scope="module")
def clips64(tmp_path_factory):
    """32 clips of 64 frames."""
    return write_clips(tmp_path_factory.mktemp("clips") / "clips.zarr", frames=64)


def train(chosen, clips, run, **more):
    return pretrain(chosen, clips, run, split="xsub60", stream="joint", device="cpu", threads=1, **more)


def log_of(run):
    entries = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in e.items() if k not in ("seconds", "clips_per_second")} for e in entries]


@pytest.mark.parametrize("name", NAMES)
def test_a_run_goes_on_bit_for_bit(name, clips64, tmp_path):
    chosen = recipe(name, 3)
    assert train(chosen, clips64, tmp_path / "whole").state == "finished"

    def stop(event):
        if (event["epoch"], event["step"]) == (2, 1):
            os.kill(os.getpid(), signal.SIGTERM)

    assert train(chosen, clips64, tmp_path / "run", progress=stop).state == "stopped"
    assert train(chosen, clips64, tmp_path / "run").state == "finished"
    for file in ("weights.safetensors", "recipe.yaml", "settings.json"):
        assert (tmp_path / "run" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file
    assert log_of(tmp_path / "run") == log_of(tmp_path / "whole")


KILLED = """
import os, signal, sys
sys.path[:0] = sys.argv[3:]
from toys import recipe
from skelpipe.training import loop
from skelpipe.training.checkpoint import Position
from skelpipe.training.log import Log
from skelpipe.training.log_names import LOG_NAMES
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe
loop.CHECKPOINT_SECONDS = 0
def kill(event):
    if (event["epoch"], event["step"]) == (2, 2):
        os.kill(os.getpid(), signal.SIGKILL)
options = {"split": "xsub60", "stream": "joint", "device": "cpu", "threads": 1}
pretrain(recipe("two_networks"), sys.argv[1], sys.argv[2], progress=kill, **options)
"""


def test_a_killed_run_goes_on_bit_for_bit(clips, tmp_path):
    here = Path(__file__).parent
    words = [sys.executable, "-c", KILLED, str(clips), str(tmp_path / "run"), str(here), str(here.parent)]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    for run in ("run", "whole"):
        assert train(recipe("two_networks"), clips, tmp_path / run).state == "finished"
    weights = [(tmp_path / run / "weights.safetensors").read_bytes() for run in ("run", "whole")]
    assert weights[0] == weights[1]


def test_every_loss_is_logged_and_their_weighted_sum(clips, tmp_path):
    result = train(recipe("two_networks"), clips, tmp_path / "run")
    assert list(result.last)[:7] == ["epoch", "loss", "apart", "there", "back", "size", "lr"]
    for entry in log_of(tmp_path / "run"):
        total = entry["there"] + 0.5 * entry["back"] + 0.1 * entry["size"]
        assert entry["loss"] == pytest.approx(total, rel=1e-6)
        assert len({entry[name] for name in ("there", "back", "size")}) == 3


@pytest.mark.parametrize("name", KINDS)
def test_they_learn(name, clips, tmp_path):
    last = train(recipe(name, 6), clips, tmp_path / "run").last
    assert last["loss"] < 0.97 * log_of(tmp_path / "run")[0]["loss"]


def test_frames_that_fill_a_clip_up_do_not_count():
    torch.manual_seed(0)
    method = recipe("next_frame").build_method(KINECT_V2, 4)
    clips, lengths = torch.randn(3, 3, 9, 25, 2), torch.tensor([9, 6, 4])
    for n, length in enumerate(lengths):
        clips[n, :, length:] = 7.0
    batch = Batch({"clip": clips}, torch.zeros(3), {"clip": lengths})
    alone = [
        method(Batch({"clip": clips[n : n + 1, :, :length]}, torch.zeros(1)), 1)[0] for n, length in enumerate(lengths)
    ]
    torch.testing.assert_close(method(batch, 1)[0], torch.stack(alone).mean())
    hidden = Batch({"clip": clips * 0.5}, batch.labels, batch.lengths, {"clip": {"clip": clips}})
    assert not torch.equal(method(hidden, 1)[0], method(Batch(hidden.views, batch.labels, batch.lengths), 1)[0])


def test_frames_that_a_view_hides_are_its_targets(tmp_path):
    """Native clips through the loop, filled up to 14 frames, the last third of each hidden."""
    native = write_uneven(tmp_path)[1]
    views, evaluated = "views={clip: [{first: {frames: 14}}, tail_mask]}", "evaluate.view=[{first: {frames: 14}}]"
    result = train(recipe("next_frame", 2, [views, evaluated]), native, tmp_path / "run")
    shown = recipe("next_frame", 2, ["views={clip: [{first: {frames: 14}}]}", evaluated])
    seen = train(shown, native, tmp_path / "seen")
    assert result.state == "finished"
    assert result.last["loss"] != seen.last["loss"]


def test_a_recipe_that_does_not_fit_its_method_is_named():
    with pytest.raises(BadInput, match="encoder: next_frame needs one that has sequence, as stgcn has not"):
        recipe("next_frame", more=["encoder=stgcn"])
    known = "method.weights: 'bakc' is none of its losses, which are there, back, size"
    with pytest.raises(BadInput, match=known):
        recipe("two_networks", more=["method.weights={bakc: 2}"])


@pytest.mark.parametrize("name", LOG_NAMES)
def test_a_loss_has_no_name_of_the_logs_own(name, monkeypatch):
    monkeypatch.setattr(METHODS["skeletonclr"], "LOSSES", ("contrast", name))
    with pytest.raises(
        BadInput, match=f"skeletonclr has a loss '{name}', a name that the log has for itself"
    ) as caught:
        load_recipe("skeletonclr")
    assert "\n" not in str(caught.value)


def test_a_scalar_may_begin_as_one_of_the_logs_does(tmp_path):
    at = Position()
    at.add({name: torch.tensor(1.0) for name in ("loss", "info_nce", "spread", "spread_out", "spreading")})
    log = Log(tmp_path, at)
    log.write(at, 0.1, 8, 1.0, {"held_out_loss": 1.0})
    log.close()
    (entry,) = log_of(tmp_path)
    assert entry["spread_out"] == 1.0
    told = json.loads((tmp_path / "log.jsonl").read_text())
    assert set(told) - {"info_nce", "spread", "spread_out", "spreading"} < set(LOG_NAMES)


def test_what_a_method_says_of_itself():
    for name, kind in {**METHODS, **KINDS}.items():
        assert kind.LOSSES, name
        assert not set(LOG_NAMES) & set(kind.LOSSES)
        assert set(kind.LOGGED or ()) <= set(kind.LOSSES), name
