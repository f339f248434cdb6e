"""Small clips folders and recipes that several tests share."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from skelpipe.outputs.folders import new_folder
from skelpipe.recordings import store
from skelpipe.training.recipe import Recipe, load_recipe

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts what it puts in the background so
    signal.signal(signal.SIGINT, signal.default_int_handler)
if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes that share the cores
    torch.set_num_threads(1)

TINY = [
    "encoder.width=2",
    "encoder.features=8",
    "encoder.time_kernel=3",
    "projector.hidden=8",
    "projector.size=8",
    "method.queue_size=32",
    "batch_size=8",
    "init=torch",
    "method.key_init=copy",
]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """A report whose text can be sent from one process to another, also that of names that are not UTF-8."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


def small(recipe: Recipe) -> list[str]:
    """Those of the changes to toy size that fit a recipe, and the same of its second encoder."""
    twice = [*TINY, *(s.replace("encoder", "partner") for s in TINY if s.startswith("encoder") and recipe.partner)]
    found = []
    for change in twice:
        part, _, key = change.partition("=")[0].rpartition(".")
        if key in type(getattr(recipe, part) if part else recipe).model_fields:
            found.append(change)
    return found


def write_clips(
    path: Path,
    per_class: int = 8,
    classes: int = 4,
    frames: int = 12,
    seed: int = 0,
    nameless: str | None = None,
    **noted: Any,
) -> Path:
    """A clips folder in NTU's columns: each class swings its joints at its own rate, subjects 1 to 4, cameras 1 to 3.

    By xsub60, subjects 1, 2 and 4 train and 3 tests.

    Args:
        nameless: a split that the clips are divided by without names and ids, as those of imported arrays.
        noted: attributes in place of the usual ones.
    """
    rng = np.random.default_rng(seed)
    n = per_class * classes
    label = np.repeat(np.arange(classes), per_class)
    subject = np.tile(np.arange(per_class) % 4 + 1, classes)
    camera = np.tile(np.arange(per_class) % 3 + 1, classes)
    time = np.arange(frames)[:, None] / frames
    body = rng.normal(0, 0.3, (3, 1, 25))
    swing = rng.normal(0, 0.2, (classes, 3, 1, 25))
    clips = np.zeros((n, 3, frames, 25, 2), np.float32)
    for i, c in enumerate(label):
        phase = rng.uniform(0, 0.1)
        clips[i, ..., 0] = (
            body + swing[c] * np.sin(2 * np.pi * (c + 1) * (time + phase)) + rng.normal(0, 0.01, (3, 1, 25))
        )
    columns = {
        "name": np.array(
            [
                f"S001C{c:03d}P{p:03d}R001A{a + 1:03d}N{i}"
                for i, (c, p, a) in enumerate(zip(camera, subject, label, strict=True))
            ]
        ),
        "label": label.astype(np.int32),
        "subject": subject.astype(np.int32),
        "camera": camera.astype(np.int32),
        "setup": np.ones(n, np.int32),
        "replication": np.ones(n, np.int32),
    }
    if nameless is not None:
        told = columns["subject"] != 3 if nameless == "xsub60" else columns["camera"] != 1
        names = np.array([f"{nameless}-{'train' if t else 'test'}-{i:06}" for i, t in enumerate(told)])
        columns = {key: np.zeros_like(value) for key, value in columns.items()}
        columns |= {"name": names, "label": label.astype(np.int32), f"train_{nameless}": told}
    attributes = {"dataset": "ntu60", "layout": "kinect_v2", "frames": frames, "columns": list(columns)}
    attributes |= {"bodies": "first", "centre": True, "turn": True, **noted}
    with new_folder(path, "clips") as folder:
        group = store.create_group(folder, "clips", attributes)
        store.write_array(group, "clips", clips, store.CLIPS_PER_CHUNK)
        store.write_array(group, "length", np.full(n, frames, np.int32))
        store.write_columns(group, columns)
    return path


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 clips of 4 classes."""
    return write_clips(tmp_path_factory.mktemp("clips") / "clips.zarr")


@pytest.fixture
def tiny() -> Recipe:
    """CrosNNCLR at toy size: 2 epochs, the second with neighbours."""
    return load_recipe("crosnnclr", [*TINY, "positives.nn_start_epoch=1"], epochs=2)


@pytest.fixture(scope="module")
def one_thread():
    """Torch on one thread: layers this small only wait for each other on several, and sums keep their order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def road(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that a chain makes: raw, store.zarr, clips.zarr, run, evaluation."""
    from made_by_api import make_road

    return make_road(tmp_path_factory.mktemp("road"))


@pytest.fixture
def names():
    """Names that a test registers are taken away after it."""
    from made_by_api import taken_away

    with taken_away():
        yield
