"""How far a graph gives what the network in torch gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from skelpipe.errors import BadInput, shortage
from skelpipe.exchange.onnx.graph import Outputs
from skelpipe.exchange.onnx.session import SCORES, Session

# Of what is largest in a clip's output. Sums in another order differ by some 1e-6; a graph that is wrong, by some 1e-1.
TOLERANCE = 1e-3
AT_ONCE = 32  # clips
Case = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64] | None]


@dataclass(frozen=True)
class Parity:
    """What a comparison has shown.

    Attributes:
        clips: how many were compared.
        frames: of how many frames they were, the least and the most.
        absolute: the largest difference of any number.
        relative: the largest in a clip's scores or feature, divided by the largest number there.
        equal_top: the share of clips whose class is the same; None where there are no scores.
    """

    clips: int
    frames: tuple[int, int]
    absolute: float
    relative: float
    equal_top: float | None

    @property
    def holds(self) -> bool:
        """Whether it is within `TOLERANCE`; numbers that are none are not."""
        return self.relative <= TOLERANCE

    def __str__(self) -> str:
        least, most = self.frames
        frames = f"{least} to {most} frames" if least < most else f"{most} frames"
        top = "" if self.equal_top is None else f", the same class of {self.equal_top:.1%}"
        apart = f"differ by at most {self.absolute:.1e}, relative {self.relative:.1e}"
        return f"{self.clips} of {frames}: {apart}{top}"


def compare(outputs: Outputs, session: Session, cases: Iterable[Case]) -> Parity:
    """Hold a graph against torch on batches of clips and their lengths."""
    absolute, relative, same, count, frames = [0.0], [0.0], 0, 0, list[int]()
    for clips, lengths in cases:
        wanted = dict(zip(outputs.names, in_torch(outputs, clips, lengths), strict=True))
        found = session.run(clips, lengths)
        for name, want in wanted.items():
            apart = np.abs(found[name].astype(np.float64) - want).max(1)
            largest = np.abs(want).max(1)
            absolute.append(float(apart.max()))
            relative.append(float((apart / np.maximum(largest, np.finfo(np.float32).tiny)).max()))
        if SCORES in wanted:
            same += int((found[SCORES].argmax(1) == wanted[SCORES].argmax(1)).sum())
        count += len(clips)
        frames.append(clips.shape[2])
    top = same / max(count, 1) if SCORES in outputs.names else None
    # Not max(), which may pass over what is no number.
    return Parity(count, (min(frames), max(frames)), float(np.max(absolute)), float(np.max(relative)), top)


@torch.no_grad()
def in_torch(outputs: Outputs, clips: npt.NDArray[Any], lengths: npt.NDArray[Any] | None) -> list[npt.NDArray[Any]]:
    """What the network gives, as everything else here computes it."""
    own = torch.from_numpy(lengths) if lengths is not None and outputs.classifier.uses_lengths else None
    found: tuple[Tensor, ...] = outputs(torch.from_numpy(clips), own)
    return [each.numpy() for each in found]


def takes(outputs: Outputs, case: Case) -> bool:
    """Whether the network takes clips of so many frames at all."""
    try:
        in_torch(outputs, *case)
    except (BadInput, RuntimeError, ValueError, AssertionError, IndexError) as error:
        if shortage(error):
            raise
        return False
    return True


def random_clips(shape: tuple[int, int, int], frames: int, count: int, seed: int) -> Case:
    """Random clips (count, C, T, V, M) of bodies that move; each second one is shorter, and lacks the second body.

    Behind its length, and where there is no body, a clip is 0, as prepared ones are.

    Args:
        shape: C, V, M.
    """
    channels, joints, bodies = shape
    rng = np.random.default_rng(seed)
    place = rng.normal(0, 0.3, (count, channels, 1, joints, bodies))
    way = rng.normal(0, 0.05, (count, channels, frames, joints, bodies)).cumsum(2)
    clips = (place + way).astype(np.float32)
    lengths = np.full(count, frames)
    lengths[1::2] = rng.integers(1, frames, len(lengths[1::2]), endpoint=True)
    clips[1::2, ..., 1:] = 0
    for clip, length in zip(clips, lengths, strict=True):
        clip[:, length:] = 0
    return clips, lengths


def batches(clips: npt.NDArray[np.float32], lengths: npt.NDArray[np.int64] | None) -> Iterator[Case]:
    """Some clips at a time."""
    for start in range(0, len(clips), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        yield clips[some], None if lengths is None else lengths[some]
