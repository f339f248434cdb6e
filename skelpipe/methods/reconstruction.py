"""What methods share that tell a clip's frames from its feature: the decoder, and how far its frames are off.

Sources: Su et al., Predict & Cluster (CVPR 2020); Zheng et al., Unsupervised Representation Learning with Long-Term
Dynamics for Skeleton Based Action Recognition (AAAI 2018).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

Output = Literal["torch", "uniform", "glorot"]
BOUND = 0.04  # of an output layer's first weights and biases, as P&C's public code draws them


def frames_of(x: Tensor) -> Tensor:
    """Clips (B, C, T, V, M) as frames whose numbers stand in one row: (B, T, V · C · M)."""
    return x.permute(0, 2, 3, 1, 4).flatten(2)


def clips_of(frames: Tensor, frame: tuple[int, int, int]) -> Tensor:
    """Frames (B, T, V · C · M) as clips again, (B, C, T, V, M); `frame` is (C, V, M)."""
    channels, joints, bodies = frame
    return frames.view(*frames.shape[:2], joints, channels, bodies).permute(0, 3, 1, 2, 4)


def shown(frames: Tensor, lengths: Tensor | None) -> Tensor:
    """1 for frames that show anything and are a clip's own, 0 for the others: (B, T, D) -> (B, T)."""
    there = (frames != 0).any(2)
    if lengths is not None:
        there = there & (torch.arange(frames.shape[1], device=frames.device) < lengths[:, None])
    return there.to(frames.dtype)


def missed(told: Tensor, wanted: Tensor, own: Tensor, power: int = 1, counted: Literal["own", "all"] = "own") -> Tensor:
    """How far told frames (B, T, D) are off: Σ_t m_t Σ_d |told - wanted|^power / Σ_t m_t, its mean over the clips.

    Args:
        own: m (B, T). A clip without any frame of its own counts 0.
        counted: "all" leaves m out of the sum, but not out of what it is divided by.
    """
    apart = told - wanted
    off = (apart.abs() if power == 1 else apart.square()).sum(2)
    if counted == "own":
        off = off * own
    return (off.sum(1) / own.sum(1).clamp(min=1)).mean()


class Decoder(nn.Module):
    """A GRU that starts from a clip's feature, and a linear layer that makes a frame of each of its states.

    Args:
        state: the size of the feature, which is the GRU's state.
        frame: D, the numbers of a frame.
        gru: makes it: (frame, state) -> torch's GRU, or one that has `step` and `holding` of its own.
        output: how the linear layer is drawn: as torch does, uniform within ± 0.04, or by Glorot's uniform rule with
            biases 0, as TensorFlow does.
    """

    def __init__(self, state: int, frame: int, gru: Callable[[int, int], nn.Module], output: Output = "torch") -> None:
        super().__init__()
        self.cell, self.output, self.drawn = gru(frame, state), nn.Linear(state, frame), output

    @torch.no_grad()
    def start(self) -> None:
        """Draw the linear layer as told."""
        if self.drawn == "torch":
            return
        bound = BOUND if self.drawn == "uniform" else math.sqrt(6 / sum(self.output.weight.shape))
        self.output.weight.uniform_(-bound, bound)
        self.output.bias.uniform_(-bound, bound) if self.drawn == "uniform" else self.output.bias.zero_()

    def read(self, feature: Tensor, inputs: Tensor) -> Tensor:
        """A frame for each of the inputs (B, T, D), the state going on from the feature (B, H): (B, T, D)."""
        told: Tensor = self.output(self.cell(inputs, feature[None].contiguous())[0])
        return told

    def go_on(self, feature: Tensor, first: Tensor, steps: int, held: bool) -> Tensor:
        """So many frames from `first` (B, D), each the one before it and what the linear layer adds: (B, steps, D).

        The input of each step is the frame that the one before it told.

        Args:
            held: whether every step starts from the feature (B, H); else the state goes on from it.
        """
        frame, state, frames = first, feature, []
        step = holding(self.cell, feature) if held else None
        for _ in range(steps):
            state = after(self.cell, frame, state) if step is None else step(frame)
            frame = frame + self.output(state)
            frames.append(frame)
        return torch.stack(frames, 1)


def decoder_for(encoder: Any, frame: tuple[int, int, int], output: Output = "torch") -> Decoder:
    """A decoder for frames (C, V, M) that starts from an encoder's feature; its GRU is of the encoder's kind."""
    return Decoder(encoder.features, math.prod(frame), getattr(encoder, "gru", torchs_gru), output)


def torchs_gru(size: int, width: int) -> nn.Module:
    """For encoders that are not recurrent."""
    return nn.GRU(size, width, batch_first=True)


def after(cell: Any, x: Tensor, h: Tensor) -> Tensor:
    """A GRU's state after one frame: x (B, D), h (B, H) -> (B, H)."""
    if hasattr(cell, "step"):
        h = cell.step(x, h)
        return h
    return torch.gru_cell(x, h, cell.weight_ih_l0, cell.weight_hh_l0, cell.bias_ih_l0, cell.bias_hh_l0)


def holding(cell: Any, h: Tensor) -> Callable[[Tensor], Tensor]:
    """The same from one state h (B, H) again and again: its product with the weights, the large one, is made once."""
    if hasattr(cell, "holding"):
        step: Callable[[Tensor], Tensor] = cell.holding(h)
        return step
    two = 2 * cell.hidden_size
    given = nn.functional.linear(h, cell.weight_hh_l0, cell.bias_hh_l0)
    gates, new = given[:, :two] + cell.bias_ih_l0[:two], given[:, two:]
    to_gates, to_new, bias = cell.weight_ih_l0[:two].t(), cell.weight_ih_l0[two:].t(), cell.bias_ih_l0[two:]

    def torchs(x: Tensor) -> Tensor:
        r, z = torch.addmm(gates, x, to_gates).sigmoid().chunk(2, 1)
        return torch.lerp(torch.addmm(bias, x, to_new).addcmul(r, new).tanh(), h, z)

    return torchs
