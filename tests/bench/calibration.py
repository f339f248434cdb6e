"""What temperatures and distances are worth, on evaluations and features that are there.

    python tests/bench/calibration.py fused EVALUATION…          # of several streams, by --protocol linear
    python tests/bench/calibration.py unseen FEATURES.npz…       # of 'skelpipe embed RUN CLIPS FEATURES.npz --all'

fused: negative log-likelihood and calibration error of the test clips by the usual weighted sum of the streams' scores,
as `skelpipe fuse` has it, and by the weighted mean of the scores over their temperatures, as `skelpipe predict
--calibrated` has it. Evaluations of one seed are fused; the means over the seeds are printed.

unseen: how much of the test clips is refused at the distance that refuses 1, 5, 10 and 20 % of held-out training clips,
of classes that are known and of those that are not, and the area under the ROC curve between the two. Classes are
unknown where no training clip has them, as in runs with a list for a --split, or those that --draw says are drawn,
--times times, and kept from the classifier, though not from the encoder. --group is a regular expression, whose
brackets find in a clip's name whose it is.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from skelpipe.evaluation.calibrate import distances_of, in_turn
from skelpipe.evaluation.fuse import stream_weights
from skelpipe.evaluation.linear import HELD_OUT
from skelpipe.evaluation.scores import read_scores
from skelpipe.recordings.datasets.held_out import hold_out
from skelpipe.training.confidence import calibration_error, combined, likelihood_loss

SHARES = (0.01, 0.05, 0.1, 0.2)
FIGURES = ("negative log-likelihood", "calibration error")


def main(words: list[str] | None = None) -> dict[str, Any]:
    """Print what is asked for, and return it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fused").add_argument("evaluations", type=Path, nargs="+")
    unseen_parser = commands.add_parser("unseen")
    unseen_parser.add_argument("features", type=Path, nargs="+")
    unseen_parser.add_argument("--group", default=r"P(\d+)R", help="whose a clip is, in its name")
    unseen_parser.add_argument("--draw", type=int, default=0, help="classes that are kept from the classifier")
    unseen_parser.add_argument("--times", type=int, default=10, help="how often they are drawn")
    asked = parser.parse_args(words)
    if asked.command == "fused":
        return fused(asked.evaluations)
    return unseen(asked.features, re.compile(asked.group), asked.draw, asked.times)


def fused(evaluations: Sequence[Path]) -> dict[str, Any]:
    """The figures of plain and of calibrated scores, means over the seeds: each of FIGURES."""
    by_seed: dict[int, list[Path]] = {}
    for path in evaluations:
        by_seed.setdefault(json.loads((path / "metrics.json").read_text())["seed"], []).append(path)
    each = [fused_once(paths) for _, paths in sorted(by_seed.items())]
    found = {name: np.mean([one[name] for one in each], axis=0) for name in each[0]}
    for name, figures in found.items():
        told = ", ".join(f"{what} {value:.3f}" for what, value in zip(FIGURES, figures, strict=True))
        print(f"{name}: {told} ({len(each)} seeds of {len(evaluations) // len(each)} streams)")
    return found


def fused_once(paths: Sequence[Path]) -> dict[str, list[float]]:
    """The same of one seed."""
    told = [json.loads((path / "metrics.json").read_text()) for path in paths]
    parts = [read_scores(path / "scores.npz") for path in paths]
    for part in parts:
        assert part.names.tolist() == parts[0].names.tolist(), "these are evaluations of other clips"
    weights = stream_weights([each["stream"] for each in told], None, "fused", "evaluation")
    scores = [torch.from_numpy(part.scores["linear"]).double() for part in parts]
    temperatures = [each["protocols"]["linear"]["calibration"]["temperature"] for each in told]
    plain = sum(w * each for w, each in zip(weights, scores, strict=True))
    assert isinstance(plain, torch.Tensor)
    label = torch.from_numpy(parts[0].labels)
    return {
        name: [likelihood_loss(z, label), calibration_error(z, label)]
        for name, z in (("plain", plain), ("calibrated", combined(scores, weights, temperatures)))
    }


def unseen(features: Sequence[Path], group: re.Pattern[str], draw: int, times: int) -> dict[str, Any]:
    """Means over all files and draws: the area under the curve, and what is refused of known and unknown, by SHARES."""
    each = [one for path in features for one in unseen_of(path, group, draw, times)]
    area = float(np.mean([a for a, _ in each]))
    refused = np.mean([r for _, r in each], axis=0)
    print(f"area under the ROC curve {area:.3f}, means over {len(each)} draws of {len(features)} files")
    for share, (known, unknown) in zip(SHARES, refused.tolist(), strict=True):
        print(f"at {share:.0%} of held-out clips: refused {known:.1%} of known and {unknown:.1%} of unknown classes")
    return {"area": area, "refused": refused}


def unseen_of(path: Path, group: re.Pattern[str], draw: int, times: int) -> Iterator[tuple[float, Any]]:
    """The same of one file, draw by draw."""
    with np.load(path) as file:
        name, label, part, feature = (file[key] for key in ("name", "label", "train", "feature"))
    whose = np.array([found[1] if (found := group.search(each)) else "" for each in name.tolist()])
    if "" in whose:
        raise SystemExit(f"{path}: --group {group.pattern!r} finds nobody in {name[whose == ''][0]}")
    classes, rng = np.unique(label), np.random.default_rng(0)
    untrained = np.setdiff1d(classes, label[part == 1])
    for _ in range(times if draw else 1):
        unknown = rng.choice(len(classes), draw, replace=False) if draw else untrained
        fit, test = (part == 1) & ~np.isin(label, unknown), part == 0
        held = in_turn(whose[fit], hold_out(whose[fit], HELD_OUT, 0), 0)
        distance, _ = distances_of(feature[fit], label[fit], whose[fit], held, "person")
        assert distance is not None
        far, new = distance.of(torch.from_numpy(feature[test])).numpy(), np.isin(label[test], unknown)
        if not 0 < new.sum() < len(new):
            raise SystemExit(f"{path}: its test clips are all of known, or all of unknown classes; see --draw")
        over = [far > distance.threshold(share) for share in SHARES]
        yield float(roc_auc_score(new, far)), [(each[~new].mean(), each[new].mean()) for each in over]


if __name__ == "__main__":
    main()
