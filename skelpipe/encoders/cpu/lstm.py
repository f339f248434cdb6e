"""A layer of LSTM cells that a graph on a CPU can hold."""

from __future__ import annotations

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
        if state is not None or x.device.type != "cpu" or not torch.compiler.is_compiling():
            found: tuple[Tensor, State] = super().forward(x, state)
            return found
        own: Any = self
        h = c = x.new_zeros(x.shape[0], self.hidden_size)
        outputs = []
        for given in nn.functional.linear(x, own.weight_ih_l0, own.bias_ih_l0).unbind(1):
            i, f, g, o = (given + nn.functional.linear(h, own.weight_hh_l0, own.bias_hh_l0)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        return torch.stack(outputs, 1), (h[None], c[None])
