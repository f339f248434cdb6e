"""Evaluation and run folders whose accuracies are made up."""

import json

import numpy as np

from skelpipe.evaluation.scores import write_npz, write_scores
from skelpipe.outputs import files, folders
from skelpipe.recordings.store import Clips

CLASSES = 12


def write_evaluation(root, recipe="crosnnclr", stream="joint", split="xsub60", seed=0, top1=0.5, **changes):
    """An evaluation folder of 24 clips of 12 classes with the accuracy that is asked for."""
    epochs = changes.pop("epochs", 800)
    folder = root / changes.pop("folder", f"{recipe}-{stream}-{split}-{seed}-{epochs}")
    names = [f"clip{i:02d}" for i in range(24)]
    labels = np.arange(24) % CLASSES
    rng = np.random.default_rng(seed)
    scores = np.eye(CLASSES)[labels] + rng.uniform(0, 0.9, (24, CLASSES))
    linear = {"top1": top1, "top5": 0.9, "per_class": [0.5] * 10 + [1.0, None], "warnings": [], "probe": "reference"}
    metrics = {
        "recipe": recipe,
        "method": "skeletonclr",
        "stream": stream,
        "split": split,
        "dataset": "ntu60",
        "seed": seed,
        "epochs": epochs,
        "train_clips": 40091,
        "test_clips": 16487,
        "classes": CLASSES,
        "run": {"seed": seed, "stream": stream, "frames": 50},
        "protocols": {"linear": linear},
    }
    features = changes.pop("features", False)
    inputs = changes.pop("inputs", None)
    stored = changes.pop("stored", (names, labels, {"linear": scores}))
    with folders.new_folder(folder, "evaluation", force=True, inputs=inputs) as out:
        files.write_json(out / "metrics.json", {**metrics, **changes})
        write_scores(out / "scores.npz", *stored)
        if features:
            arrays = {"name": np.array(names), "label": labels, "train": np.arange(24) < 2, "feature": scores}
            write_npz(out / "features.npz", arrays)
    return folder


def write_judged(root, clips, wrong=(), recipe="crosnnclr", seed=0, grouped=True, per_class=None, **changes):
    """An evaluation of the test clips of a clips folder (of xsub60) that takes those in `wrong` for the next class."""
    stored = Clips(clips)
    names, labels = stored.columns["name"], stored.columns["label"].astype(np.int64)
    classes = int(labels.max()) + 1
    taken = np.where(np.isin(np.arange(len(labels)), wrong), (labels + 1) % classes, labels)
    sure = 0.5 + np.arange(len(labels)) / len(labels)  # the later in the folder, the surer
    scores = np.eye(classes)[taken] * sure[:, None]
    right = taken == labels
    each = [float(right[labels == c].mean()) for c in range(classes)] if per_class is None else per_class
    linear = {"top1": float(right.mean()), "top5": 1.0, "per_class": each, "warnings": []}
    about = {"classes": classes, "protocols": {"linear": linear}, "grouped_by": "subject", "test_clips": len(labels)}
    inputs = {"clips": clips, **changes.pop("inputs", {})}
    kept = (names, labels, {"linear": scores}, stored.columns["subject"] if grouped else None)
    return write_evaluation(root, recipe, seed=seed, inputs=inputs, stored=kept, **about, **changes)


def write_run(folder, lines=3, done=True, log=None, **changes):
    """A pretraining folder with its log."""
    settings = {"recipe": "crosnnclr", "stream": "joint", "split": "xsub60", "seed": 0, "epochs": 3, **changes}
    folder.mkdir(parents=True)
    files.write_json(folder / "settings.json", settings)
    log = log or [{"epoch": e, "loss": 3 / e, "lr": 0.1, "spread": 0.01} for e in range(1, lines + 1)]
    log = [json.dumps(line) for line in log]
    (folder / "log.jsonl").write_text("\n".join([*log, '{"epoch": 9, "lo'] if not done else log))
    if done:
        folders.seal(folder, "run")
    else:
        files.write_json(folder / "provenance.json", {})
    return folder
