"""A layer of GRU cells over the frames of clips, and its gradient.

For an input x_t, with W and b of the reset, update and candidate gates one below the other, as torch has them:

    r, z = σ(W_i x_t + b_i + W_h h + b_h),  n = tanh(W_i x_t + b_i + r (W_h h + b_h)),  h' = n + z (h - n)

Source: Cho et al., Learning Phrase Representations using RNN Encoder-Decoder (EMNLP 2014), in the form of cuDNN.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from skelpipe.encoders.cpu.products import packed, product
from skelpipe.encoders.plain import traced


class GRU(nn.GRU):
    """Torch's, which computes one layer on a CPU faster: from a state of zeros, forwards, in float32."""

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Outputs and last states of clips, as of torch's own: (B, T, D) -> (B, T, H), (1, B, H)."""
        if state is not None or not self.reads(x):
            return super().forward(x, state)
        y = layer(x, self)
        return y, y[None, :, -1]

    def reads(self, x: Tensor) -> bool:
        """Whether `layer` can stand for it here."""
        here = x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        simple = self.bias and self.batch_first and self.num_layers == 1 and not self.bidirectional
        return here and simple and x.dim() == 3 and not traced()


def layer(x: Tensor, cell: nn.GRU) -> Tensor:
    """The outputs of one layer: (B, T, D) -> (B, T, H)."""
    weights = (cell.weight_ih_l0, cell.weight_hh_l0, cell.bias_ih_l0, cell.bias_hh_l0)
    y: Tensor = Layer.apply(x.transpose(0, 1).contiguous(), *weights)  # type: ignore[no-untyped-call]
    return y.transpose(0, 1)


class Layer(Function):
    """See `layer`; here time is first, x (T, B, D), so that a frame of all clips is one piece of memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w_in: Tensor, w_state: Tensor, b_in: Tensor, b_state: Tensor) -> Tensor:
        frames, clips, _ = x.shape
        size = w_state.shape[1]
        # First what the inputs add to each gate, then, in its place, the gates themselves.
        gates = product(x.flatten(0, 1), w_in, b_in).view(frames, clips, 3 * size)
        state, new = x.new_zeros(clips, size), x.new_empty(frames, clips, size)
        told = torch.empty_like(new)  # W_h h + b_h of the candidate
        w_state_packed = packed(w_state, clips)
        for t in range(frames):
            both, candidate = gates[t, :, : 2 * size], gates[t, :, 2 * size :]
            from_state = product(state, w_state_packed, b_state)
            both.add_(from_state[:, : 2 * size]).sigmoid_()
            told[t] = from_state[:, 2 * size :]
            candidate.addcmul_(both[:, :size], told[t]).tanh_()
            state = torch.lerp(candidate, state, both[:, size:], out=new[t])
        ctx.save_for_backward(x, w_in, w_state, gates, told, new)
        return new

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, w_in, w_state, gates, told, new = ctx.saved_tensors
        frames, clips, size = new.shape
        r, z, n = gates.split(size, dim=2)
        before = torch.cat([torch.zeros_like(new[:1]), new[:-1]])
        # What a gradient of the state is multiplied by on its way to each gate, for all frames at once.
        to_n = (1 - z) * (1 - n * n)
        to_gates = torch.stack([to_n * told * r * (1 - r), (before - n) * z * (1 - z), to_n * r], dim=2)
        of_state, of_n = torch.empty_like(to_gates), torch.empty_like(new)
        back, backwards = new.new_zeros(clips, size), packed(w_state.t(), clips)
        for t in reversed(range(frames)):
            back = back + grad[t]
            torch.mul(back[:, None], to_gates[t], out=of_state[t])
            torch.mul(back, to_n[t], out=of_n[t])
            back = product(of_state[t].flatten(1), backwards).addcmul_(back, z[t])
        # The inputs meet the same gradients as the state, but for the candidate's, where r stands before the state.
        by_state = of_state.view(-1, 3 * size)
        b_state, w_state_grad = by_state.sum(0), product(by_state.t(), before.view(-1, size).t())
        of_state[:, :, 2] = of_n
        b_in, w_in_grad = by_state.sum(0), product(by_state.t(), x.flatten(0, 1).t())
        of_x = product(by_state, w_in.t()).view_as(x) if ctx.needs_input_grad[0] else None
        return of_x, w_in_grad, w_state_grad, b_in, b_state
