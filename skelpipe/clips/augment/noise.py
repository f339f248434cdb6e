"""noise: + N(0, std^2) on every number, those of absent bodies too unless `absent` is false. jitter: on those not 0.

jitter is that of VA-RNN (Zhang et al., TPAMI 2019); with `clean` it brings the clip without noise as `clip`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from skelpipe.clips.augment.base import (
    ALWAYS,
    Augmentation,
    Batch,
    Brought,
    Extent,
    Numbers,
    OnDevice,
    Option,
    Options,
    P,
    Shape,
    Targets,
    coordinates,
    draw_whether,
    whole,
    with_confidence,
)
from skelpipe.clips.philox import WORD, normals2, normals_of, philox4x32
from skelpipe.kernels import compiled

COUNTERS_AT_A_TIME = 256  # whose words stay in the L1 cache


# parameters: whether, and the two words of the key that the normal numbers grow from
def _draw_noise(u: Numbers, extent: Extent, options: Options) -> Numbers:
    return np.hstack([draw_whether(u[:, :1], extent, options), whole(u[:, 1:], WORD)])


# x (B, C*T*V*M); keys (B, 2) uint32. A counter's four words make a number of each of the four quarters. Words are drawn
# first, many at a time: their products are of 64 bits, so that one loop for all would have vectors of half the numbers
@compiled(error_model="numpy")
def add_normals(x, whether, keys, std):  # type: ignore[no-untyped-def]
    zero, size = np.uint32(0), x.shape[1]
    quarter = (size + 3) // 4
    w0, w1, w2, w3 = np.empty((4, COUNTERS_AT_A_TIME), np.uint32)
    for b in range(len(x)):
        if not whether[b]:
            continue
        for start in range(0, quarter, COUNTERS_AT_A_TIME):
            count = min(COUNTERS_AT_A_TIME, quarter - start)
            for i in range(count):
                w0[i], w1[i], w2[i], w3[i] = philox4x32(np.uint32(start + i), zero, zero, zero, keys[b, 0], keys[b, 1])
            for half in range(2):
                first, second = (w0, w1) if half == 0 else (w2, w3)
                begin, middle = 2 * half * quarter + start, (2 * half + 1) * quarter + start
                early, late = x[b, begin : begin + count], x[b, middle : middle + count]
                for i in range(late.size):
                    r0, r1 = normals2(first[i], second[i], std)
                    early[i] += r0
                    late[i] += r1
                for i in range(late.size, early.size):
                    r0, r1 = normals2(first[i], second[i], std)
                    early[i] += r0


def _add(x: Batch, params: Numbers, extent: Extent, options: Options) -> None:
    numbers = x.reshape(len(x), -1)
    if extent.layout.confidence:
        numbers = numbers[:, : x[0, : extent.layout.coordinates].size]
    add_normals(numbers, params[:, 0] > 0, params[:, 1:].astype(np.uint32), np.float32(options["std"]))


def _apply_noise(x: Batch, params: Numbers, extent: Extent, options: Options) -> None:
    if options["absent"]:
        _add(x, params, extent, options)
        return
    xyz = coordinates(x, extent.layout)
    present = xyz.any(axis=(1, 3), keepdims=True)
    _add(x, params, extent, options)
    np.multiply(xyz, present, out=xyz)


def _apply_jitter(x: Batch, params: Numbers, extent: Extent, options: Options) -> None:
    before = x.copy()
    _add(x, params, extent, options)
    _spare(x.reshape(-1), before.reshape(-1))


# x, before (n,): what was zero becomes zero again
@compiled
def _spare(x, before):  # type: ignore[no-untyped-def]
    for i in range(x.size):
        x[i] = x[i] if before[i] != 0 else np.float32(0)


def _clean(shape: Shape, options: Options) -> Brought:
    return {"clip": (shape, "float32")} if options["clean"] else {}


def _bring_clean(x: Batch, params: Numbers, extent: Extent, options: Options, targets: Targets) -> None:
    targets["clip"][...] = x


def _send(params: Numbers, extent: Extent, options: Options) -> dict[str, Any]:
    return {"whether": params[:, 0] > 0, "keys": params[:, 1:].astype(np.int64)}


def _added(xyz: Tensor, sent: Mapping[str, Tensor], options: Options) -> Tensor:
    drawn: Tensor = normals_of(sent["keys"], xyz[0].numel()).view(xyz.shape) * options["std"]
    return xyz + drawn.where(sent["whether"][:, None, None, None, None], 0)


def _noise_on_device(x: Tensor, sent: Mapping[str, Tensor], extent: Extent, options: Options) -> Tensor:
    xyz = x[:, : extent.layout.coordinates]
    found = _added(xyz, sent, options)
    if not options["absent"]:
        found = found * (xyz != 0).any(3, keepdim=True).any(1, keepdim=True)
    return with_confidence(found, x)


def _jitter_on_device(x: Tensor, sent: Mapping[str, Tensor], extent: Extent, options: Options) -> Tensor:
    xyz = x[:, : extent.layout.coordinates]
    return with_confidence(_added(xyz, sent, options).where(xyz != 0, 0), x)


def _clean_on_device(x: Tensor, sent: Mapping[str, Tensor], extent: Extent, options: Options) -> dict[str, Tensor]:
    return {"clip": x} if options["clean"] else {}


NOISE = Augmentation(
    3,
    _draw_noise,
    _apply_noise,
    {"p": P, "std": Option(0.01), "absent": Option(True)},
    device=OnDevice(_send, _noise_on_device),
)


JITTER = Augmentation(
    3,
    _draw_noise,
    _apply_jitter,
    {"p": ALWAYS, "std": Option(0.075), "clean": Option(False)},
    targets=_clean,
    bring=_bring_clean,
    device=OnDevice(_send, _jitter_on_device, _clean_on_device),
)
