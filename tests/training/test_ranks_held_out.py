"""Two ranks against one process in what happens between epochs: rates, held-out clips, a length in steps."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from conftest import TINY
from rank_worker import all_in_float64
from safetensors.torch import load_file

from skelpipe import ranks
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

HERE = Path(__file__).parents[1]
SETS = [
    *TINY, "batch_norm=synced", "encoder.dropout=0", "optimizer={name: adam, lr: 1e-3}", "sampling=with_replacement",
    "schedule={name: plateau, patience: 1, gamma: 0.5, least: 100}", "clip_gradients={by: global_norm, at: 0.5}",
]  # fmt: skip


def test_a_plateau_is_the_same_for_two_ranks(clips, tmp_path):
    options = {"split": "xsub60", "stream": "joint", "device": "cpu", "threads": 1}
    with all_in_float64():
        pretrain(load_recipe("skeletonclr", SETS, iterations=7), clips, tmp_path / "one", **options)
    words = ["pretrain", "skeletonclr", str(clips), str(tmp_path / "two"), "--split", "xsub60", "--stream", "joint"]
    words += ["--device", "cpu", "--threads", "1", "--iterations", "7", *(w for s in SETS for w in ("--set", s))]
    assert ranks.launch([sys.executable, str(HERE / "watched.py"), "nothing", "0", "0", *words], 2) == 0
    one, two = (
        [json.loads(line) for line in (tmp_path / run / "log.jsonl").read_text().splitlines()] for run in ("one", "two")
    )
    assert [entry["lr"] for entry in one] == [1e-3, 1e-3, 0.5e-3, 0.25e-3]
    for a, b in zip(one, two, strict=True):
        assert a["lr"] == b["lr"]
        for name in ("loss", "held_out_loss"):
            assert a.get(name) == (None if name not in b else pytest.approx(b[name], rel=1e-8)), name
    assert ["held_out_loss" in entry for entry in two] == [True, True, True, False]
    weights = load_file(tmp_path / "two" / "weights.safetensors")
    for name, value in load_file(tmp_path / "one" / "weights.safetensors").items():
        torch.testing.assert_close(weights[name], value, rtol=1e-7, atol=1e-7, msg=name)
