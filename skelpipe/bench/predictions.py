"""How fast predictions are: the latency of one window with the model loaded, and clips of a folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from skelpipe.bench.steps import FRAMES, SPLIT
from skelpipe.bench.table import Row
from skelpipe.bench.timing import Roofline, measure, measure_roofline, time_calls, torch_threads
from skelpipe.bench.work import encoder_work, limit
from skelpipe.evaluation.features import Run, encode
from skelpipe.evaluation.models import classifier_of, facts_of
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.predict.pieces import Piece
from skelpipe.predict.predictor import Predictor
from skelpipe.recordings.datasets import find_split
from skelpipe.recordings.store import Clips
from skelpipe.training.model import Head, Kept, Model, frozen


def prediction_rows(run: Run, clips: Clips, seconds: float, count: int) -> Iterator[Row]:
    """Rows of `skelpipe bench`.

    Args:
        run: an untrained one: its speed is that of a trained one.
        clips: of KINECT_V2, which it fits.
        seconds: for a single measurement.
        count: clips of the folder, taken again and again, that are predicted.
    """
    model = headed(run, clips)
    with torch_threads(1):
        roofline = measure_roofline(torch.device("cpu"), "fp32", seconds)
        predictor = Predictor([model], device="cpu", threads=1)
        for bodies in (1, 2):
            yield latency(predictor, run, bodies, roofline, seconds)
    predictor = Predictor([model], device=str(run.device))
    rows = np.resize(np.arange(len(clips)), count)
    predictor.score_clips(clips, rows[:8])
    taken = time_calls(lambda: predictor.score_clips(clips, rows))
    embedding = time_calls(lambda: encode(run, clips, rows))
    ceiling = f"embedding the same clips, as evaluate does, {count / embedding:,.0f} clips/s"
    yield Row(f"predict, {run.device.type}", count / taken, "clips/s", embedding / taken, ceiling, "the encoder")


def headed(run: Run, clips: Clips) -> Model:
    """A run with a classifier of drawn weights."""
    split = find_split(SPLIT, clips.about)
    size: int = run.network.encoder.features  # type: ignore[assignment]
    draw = torch.Generator().manual_seed(0)
    kept = Kept(Head(torch.randn(split.classes, size, generator=draw), torch.zeros(split.classes)))
    facts = facts_of(run, "linear", kept, split, None, clips)
    return Model(Path(run.path), facts, run.recipe, clips.layout, frozen(classifier_of(run, kept)))


def latency(predictor: Predictor, run: Run, bodies: int, roofline: Roofline, seconds: float) -> Row:
    """From the joints of one window to probabilities, on one core; beside the arithmetic of the bodies in it."""
    rng, rows = np.random.default_rng(0), FRAMES * bodies
    piece = Piece(
        "window",
        rng.standard_normal((rows, len(KINECT_V2.joints), 3), np.float32),
        np.repeat(np.arange(FRAMES), bodies),
        np.tile(np.arange(bodies), FRAMES),
        FRAMES,
    )
    taken = measure(lambda: predictor.score([piece], KINECT_V2, [0]), seconds, clock=time.thread_time)
    forward, _ = encoder_work(run.recipe.encoder, KINECT_V2, FRAMES, 4)
    least = roofline.least(forward * bodies)
    ceiling = f"{roofline.flop / 1e9:,.0f} GFLOP/s and {roofline.bytes / 1e9:,.0f} GB/s of one core"
    who = "one body" if bodies == 1 else f"{bodies} bodies"
    stage = f"predict one window of {FRAMES} frames, {who}, one core"
    return Row(stage, 1e3 * taken, "ms", max(least) / taken, ceiling, limit(least, taken))
