"""Steps that make clips of another number of frames, `frames`, by places in the clip's own frames.

crop_resize: a window of a random share of the clip, resized (ISC: Thoker et al., MM 2021). centre_crop: without chance,
both ends cut off a little, resized (its evaluation). resize: the whole clip. segments: one random frame from each of as
many equal parts (P-LSTM: Shahroudy et al., CVPR 2016; by the loader of ST-LSTM, Liu et al., ECCV 2016), or the one in
its middle. first: the first frames. stride: every so many-th frame, so that about the whole clip fits (P&C: Su et al.,
CVPR 2020). Clips that first and stride find too short are filled up with zeros.
"""

from __future__ import annotations

import numpy as np

from skelpipe.clips.augment.base import (
    Augmentation,
    Extent,
    Lengths,
    Numbers,
    Option,
    Options,
    Sampling,
    draw_nothing,
    leave,
)

EMPTY = -1.0  # the place of a frame of zeros


def _frames(default: int) -> Option:
    return Option(default, 1, 100_000)


# starts, lengths (B,): the windows; the places of `frames` frames between whose centres those of the window are linear
def _resized(starts: Numbers | Lengths, lengths: Numbers | Lengths, frames: int) -> Numbers:
    size = np.asarray(lengths, np.float64)[:, None]
    inside = np.clip((np.arange(frames) + 0.5) * size / frames - 0.5, 0, np.maximum(size - 1, 0))
    return np.where(size > 0, np.asarray(starts, np.float64)[:, None] + inside, EMPTY)


# parameters: start and length of the window
def _draw_crop_resize(u: Numbers, extent: Extent, options: Options) -> Numbers:
    low, high, own = options["low"], options["high"], extent.lengths
    share = low + u[:, 0] * (high - low)
    size = np.minimum(np.maximum(np.floor(own * share), options["least"]), own)
    return np.column_stack([np.floor(u[:, 1] * (own - size + 1)), size])


def _window(params: Numbers, extent: Extent, options: Options) -> Numbers:
    return _resized(params[:, 0], params[:, 1], options["frames"])


def _centre(params: Numbers, extent: Extent, options: Options) -> Numbers:
    cut = np.floor(options["share"] * extent.lengths / 2)
    return _resized(cut, extent.lengths - 2 * cut, options["frames"])


def _all(params: Numbers, extent: Extent, options: Options) -> Numbers:
    return _resized(np.zeros(len(extent.lengths)), extent.lengths, options["frames"])


def _count_segments(options: Options) -> int:
    return 0 if options["middle"] else int(options["frames"])


# parameters: where in each segment, in [0, 1)
def _draw_segments(u: Numbers, extent: Extent, options: Options) -> Numbers:
    return np.full((len(u), options["frames"]), 0.5) if options["middle"] else u


# round(s step + 1 + u (step - 1)), counted from 1, for segment s from 0 and step F / T; halves are rounded up
def _segments(params: Numbers, extent: Extent, options: Options) -> Numbers:
    own = extent.lengths[:, None]
    step = own / options["frames"]
    places = np.floor(np.arange(options["frames"]) * step + 1 + params * (step - 1) + 0.5) - 1
    return np.where(own > 0, np.clip(places, 0, np.maximum(own - 1, 0)), EMPTY)


def _first(params: Numbers, extent: Extent, options: Options) -> Numbers:
    t = np.arange(options["frames"], dtype=np.float64)
    return np.where(t < extent.lengths[:, None], t, EMPTY)


def _stride(params: Numbers, extent: Extent, options: Options) -> Numbers:
    own = extent.lengths[:, None]
    places = np.arange(options["frames"]) * np.maximum(own // options["frames"], 1)
    return np.where(places < own, places.astype(np.float64), EMPTY)


CROP_RESIZE = Augmentation(
    2,
    _draw_crop_resize,
    leave,
    {"frames": _frames(64), "low": Option(0.1, 0, 1), "high": Option(1.0, 0, 1), "least": Option(64, 1)},
    sampling=Sampling(_window),
)

CENTRE_CROP = Augmentation(
    0, draw_nothing, leave, {"frames": _frames(64), "share": Option(0.05, 0, 0.99)}, sampling=Sampling(_centre)
)

RESIZE = Augmentation(0, draw_nothing, leave, {"frames": _frames(64)}, sampling=Sampling(_all))

SEGMENTS = Augmentation(
    _count_segments,
    _draw_segments,
    leave,
    {"frames": _frames(8), "middle": Option(False)},
    sampling=Sampling(_segments),
)

FIRST = Augmentation(0, draw_nothing, leave, {"frames": _frames(150)}, sampling=Sampling(_first, fills=True))

STRIDE = Augmentation(0, draw_nothing, leave, {"frames": _frames(50)}, sampling=Sampling(_stride, fills=True))
