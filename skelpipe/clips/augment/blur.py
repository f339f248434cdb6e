"""blur: along time, weights exp(-k^2 / 2 sigma^2), zeros beyond the ends; their sum is not 1 unless `normalise`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skelpipe.clips.augment.base import (
    Augmentation,
    Batch,
    Extent,
    Numbers,
    OnDevice,
    Option,
    Options,
    P,
    copy_row,
    draw_whether,
    with_confidence,
)
from skelpipe.kernels import compiled

# A tap of less weight, relative to the middle's, cannot be seen in a float32.
WEIGHTLESS = 1e-9


# parameters: whether, sigma (in frames)
def _draw_blur(u: Numbers, extent: Extent, options: Options) -> Numbers:
    sigma = options["low"] + u[:, 1:] * (options["high"] - options["low"])
    return np.hstack([draw_whether(u[:, :1], extent, options), sigma])


# x (B, C, T, K), of which so many channels; the taps on both sides of the middle share a weight, and two such pairs
# share a pass over the clip
@compiled
def _blur(x, channels, whether, sigmas, taps, normalise):  # type: ignore[no-untyped-def]
    batch, _, frames, width = x.shape
    reach, size = taps // 2, frames * width
    padded = np.zeros((frames + 2 * reach) * width, np.float32)
    for b in range(batch):
        if not whether[b]:
            continue
        weights = _bell(taps, sigmas[b], normalise)
        pairs = 0
        while pairs < reach and weights[reach + pairs + 1] > WEIGHTLESS * weights[reach]:
            pairs += 1
        for c in range(channels):
            clip = x[b, c].reshape(-1)
            copy_row(clip, padded[reach * width : reach * width + size])
            for i in range(size):
                clip[i] *= weights[reach]
            for k in range(1, pairs, 2):
                near, far = weights[reach + k], weights[reach + k + 1]
                before, early = padded[(reach - k - 1) * width :], padded[(reach - k) * width :]
                late, after = padded[(reach + k) * width :], padded[(reach + k + 1) * width :]
                for i in range(size):
                    clip[i] += near * (early[i] + late[i]) + far * (before[i] + after[i])
            if pairs % 2:
                far = weights[reach + pairs]
                before, after = padded[(reach - pairs) * width :], padded[(reach + pairs) * width :]
                for i in range(size):
                    clip[i] += far * (before[i] + after[i])


@compiled
def _bell(taps, sigma, normalise):  # type: ignore[no-untyped-def]
    weights = np.empty(taps)
    for k in range(taps):
        weights[k] = math.exp(-((k - taps // 2) ** 2) / (2 * sigma**2))
    if normalise:
        weights /= weights.sum()
    return weights.astype(np.float32)


def _apply_blur(x: Batch, params: Numbers, extent: Extent, options: Options) -> None:
    taps, normalise = options["taps"], options["normalise"]
    channels = extent.layout.coordinates
    _blur(x.reshape(*x.shape[:3], -1), channels, params[:, 0] > 0, params[:, 1], taps, normalise)


# the weights of the middle and of the pairs beside it, of clips that stay as they are 1, 0, 0, ...
def _send(params: Numbers, extent: Extent, options: Options) -> dict[str, Any]:
    taps, reach = options["taps"], options["taps"] // 2
    weights = np.array([_bell(taps, sigma, options["normalise"])[reach:] for sigma in params[:, 1]], np.float32)
    weights = weights.reshape(len(params), reach + 1)
    weights[weights <= WEIGHTLESS * weights[:, :1]] = 0
    weights[params[:, 0] == 0] = np.arange(reach + 1) == 0
    return {"weights": weights}


def _on_device(x: Tensor, sent: Mapping[str, Tensor], extent: Extent, options: Options) -> Tensor:
    reach, frames, xyz = options["taps"] // 2, x.shape[2], x[:, : extent.layout.coordinates]
    weights = sent["weights"][:, :, None, None, None, None]
    padded = torch.nn.functional.pad(xyz, (0, 0, 0, 0, reach, reach))
    found = weights[:, 0] * xyz
    for k in range(1, reach + 1):
        early, late = padded[:, :, reach - k :][:, :, :frames], padded[:, :, reach + k :][:, :, :frames]
        found = found + weights[:, k] * (early + late)
    return with_confidence(found, x)


BLUR = Augmentation(
    2,
    _draw_blur,
    _apply_blur,
    {
        "p": P,
        "taps": Option(15, 1, 999),
        "low": Option(0.1, 1e-3),
        "high": Option(2.0, 1e-3),
        "normalise": Option(False),
    },
    device=OnDevice(_send, _on_device),
)
