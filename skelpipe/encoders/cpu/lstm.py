"""LSTM cells frame by frame, a layer of them that a graph on a CPU can hold, and one for CPUs without bfloat16."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

State = tuple[Tensor, Tensor]


class LSTM(nn.LSTM):
    """Torch's, but in a graph on a CPU, for one layer from a state of zeros, a loop over the frames.

    There torch would take oneDNN's layer, whose backward pass it cannot put into a graph (2.13).
    """

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:  # type: ignore[override]
        """Outputs and last states of clips, as of torch's own: (B, T, D) -> (B, T, H), ((1, B, H), (1, B, H))."""
        if float32_alone(x):
            with torch.autocast("cpu", enabled=False):
                return self.forward(x.float(), state)
        if state is not None or x.device.type != "cpu" or not torch.compiler.is_compiling():
            found: tuple[Tensor, State] = super().forward(x, state)
            return found
        own: Any = self
        zero = x.new_zeros(x.shape[0], self.hidden_size)
        projected = nn.functional.linear(x, own.weight_ih_l0, own.bias_ih_l0 + own.bias_hh_l0)
        y, (h, c) = recur(projected, own.weight_hh_l0, (zero, zero))
        return y, (h[None], c[None])


def float32_alone(x: Tensor) -> bool:
    """Whether autocast must be left for a layer of torch's on this CPU.

    So it is where oneDNN has no LSTM in bfloat16: torch asks for it all the same (2.13), and raises.
    """
    if torch.compiler.is_compiling() or x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return False
    return not onednn_has_bfloat16()


def onednn_has_bfloat16() -> bool:
    """Whether oneDNN computes in bfloat16 on this CPU, be it by imitation, as with AVX-512."""
    with suppress(AttributeError, RuntimeError):
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return True  # a torch without oneDNN has a layer of its own


def recur(projected: Tensor, hidden: Tensor, state: State, added: float = 0.0) -> tuple[Tensor, State]:
    """The recurrence of an LSTM frame by frame, whose forget gate is σ(f) + `added`.

    Args:
        projected: (B, T, 4H), of the inputs, in the order i, f, g, o.
        hidden: (4H, H).
        state: h and c, each (B, H).
    """
    h, c = state
    found = []
    for frame in projected.unbind(1):
        i, f, g, o = torch.addmm(frame, h, hidden.t()).chunk(4, 1)
        c = (f.sigmoid() + added) * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        found.append(h)
    return torch.stack(found, 1), (h, c)
