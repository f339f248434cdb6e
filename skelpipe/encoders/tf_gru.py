"""The GRU cell of TensorFlow 1, which differs from torch's in a formula, in its biases and in how it starts.

Source: Cho et al., Learning Phrase Representations using RNN Encoder-Decoder (EMNLP 2014), Eqs. 5 to 8, as
`tf.nn.rnn_cell.GRUCell` computes it, on which P&C's published figures were made.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


class TFGRU(nn.Module):
    """One layer of cells over frames; weights stand in the order r, u, candidate.

    r, u = σ(W x + U h + b), c = tanh(W x + U (r ∘ h) + b), h' = u ∘ h + (1 - u) ∘ c: torch's GRU applies r behind the
    product, and has two biases. No library has a fast form of it, so its frames are taken one by one.
    """

    def __init__(self, size: int, width: int, batch_first: bool = True) -> None:
        super().__init__()
        assert batch_first, "as all of our layers are"
        self.hidden_size = width
        self.weight_ih = nn.Parameter(torch.empty(3 * width, size))
        self.weight_hh = nn.Parameter(torch.empty(3 * width, width))
        self.bias = nn.Parameter(torch.empty(3 * width))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the weights as TensorFlow does: Glorot's uniform rule for gates and candidate, gate biases 1."""
        width, size = self.hidden_size, self.weight_ih.shape[1]
        for part, outputs in ((slice(0, 2 * width), 2 * width), (slice(2 * width, None), width)):
            bound = math.sqrt(6 / (size + width + outputs))  # inputs and state are multiplied by one matrix
            self.weight_ih[part].uniform_(-bound, bound)
            self.weight_hh[part].uniform_(-bound, bound)
            self.bias[part] = float(outputs != width)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Outputs of all frames of x (B, T, size) from `state` (1, B, width) on, (B, T, width), and the last state."""
        h = x.new_zeros(len(x), self.hidden_size) if state is None else state[0]
        outputs = []
        for given in nn.functional.linear(x, self.weight_ih, self.bias).unbind(1):
            h = self._after(given, h)
            outputs.append(h)
        return torch.stack(outputs, 1), h[None]

    def step(self, x: Tensor, h: Tensor) -> Tensor:
        """The state after one frame: x (B, size), h (B, width) -> (B, width)."""
        return self._after(nn.functional.linear(x, self.weight_ih, self.bias), h)

    def holding(self, h: Tensor) -> Callable[[Tensor], Tensor]:
        """`step` from the same state h again and again; what hangs on h alone is computed once."""
        width = self.hidden_size
        gates = nn.functional.linear(h, self.weight_hh[: 2 * width], self.bias[: 2 * width])
        to_gates, to_new = self.weight_ih[: 2 * width].t(), self.weight_ih[2 * width :]

        def step(x: Tensor) -> Tensor:
            r, u = torch.addmm(gates, x, to_gates).sigmoid().chunk(2, 1)
            return self._mixed(nn.functional.linear(x, to_new, self.bias[2 * width :]), r, u, h)

        return step

    def _after(self, given: Tensor, h: Tensor) -> Tensor:
        """The state after a frame whose products with the weights are given, (B, 3 · width)."""
        width = self.hidden_size
        r, u = torch.addmm(given[:, : 2 * width], h, self.weight_hh[: 2 * width].t()).sigmoid().chunk(2, 1)
        return self._mixed(given[:, 2 * width :], r, u, h)

    def _mixed(self, given: Tensor, r: Tensor, u: Tensor, h: Tensor) -> Tensor:
        candidate = torch.addmm(given, r * h, self.weight_hh[2 * self.hidden_size :].t()).tanh()
        return torch.lerp(candidate, h, u)
