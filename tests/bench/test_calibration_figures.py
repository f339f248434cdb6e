"""The script that measures what temperatures and distances are worth, on figures that are known by hand."""

import json
import math

import numpy as np
import pytest
from calibration import main

from skelpipe.evaluation.scores import write_scores


def evaluation(folder, stream, scores, temperature):
    folder.mkdir()
    names, label = np.array(["a", "b"]), np.array([0, 1])
    write_scores(folder / "scores.npz", names, label, {"linear": np.array(scores, np.float32)}, names)
    told = {"linear": {"calibration": {"temperature": temperature}}}
    (folder / "metrics.json").write_text(json.dumps({"seed": 0, "stream": stream, "protocols": told}))
    return str(folder)


def test_streams_are_fused_as_they_are_and_by_their_temperatures(tmp_path):
    parts = [
        evaluation(tmp_path / "joint", "joint", [[2, 0], [0, 2]], 2.0),
        evaluation(tmp_path / "motion", "motion", [[4, 0], [0, 4]], 4.0),
    ]
    found = main(["fused", *parts])
    # 0.6 · 2 + 0.4 · 4 = 2.8 between right and wrong; over their temperatures both are 1, and so is their mean.
    assert found["plain"] == pytest.approx([math.log1p(math.exp(-2.8)), 1 - 1 / (1 + math.exp(-2.8))], abs=1e-6)
    assert found["calibrated"] == pytest.approx([math.log1p(math.exp(-1)), 1 - 1 / (1 + math.exp(-1))], abs=1e-6)


def test_classes_without_training_clips_are_the_unknown_ones(tmp_path):
    rng = np.random.default_rng(0)
    label, person = np.repeat(np.arange(4), 60), np.tile(np.arange(6), 40)
    part = np.where(person < 4, 1, 0).astype(np.int8)
    part[(label == 3) & (part == 1)] = -1
    feature = (10 * np.eye(4)[label] + rng.standard_normal((240, 4))).astype(np.float32)
    name = np.array([f"s{p}_{n}" for n, p in enumerate(person)])
    np.savez(tmp_path / "f.npz", name=name, label=label, train=part, feature=feature)
    found = main(["unseen", str(tmp_path / "f.npz"), "--group", r"s(\d+)"])
    assert found["area"] > 0.99
    assert found["refused"][1][1] > 0.99 > 0.2 > found["refused"][1][0]
    with pytest.raises(SystemExit, match="finds nobody in s0_0"):
        main(["unseen", str(tmp_path / "f.npz")])
