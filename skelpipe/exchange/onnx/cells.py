"""Recurrent layers as ONNX has them, for any number of frames.

Source: the operators GRU and LSTM of the ONNX specification; their gates stand in the order z, r, h and i, o, f, c.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from skelpipe.encoders.part_aware import PartAwareLayer
from skelpipe.encoders.tf_gru import TFGRU


class Recurrence(Function):
    """Outputs of a layer, time first, (T, B, D) -> (T, B, H); in the graph the operator of ONNX."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, inputs: Tensor, state: Tensor, bias: Tensor, operator: str, before: int) -> Tensor:
        return x.new_zeros(*x.shape[:2], state.shape[2])

    @staticmethod
    def symbolic(g: Any, x: Any, inputs: Any, state: Any, bias: Any, operator: str, before: int) -> Any:
        """The node, and one that takes away its axis of directions: (T, 1, B, H) -> (T, B, H)."""
        more = {"linear_before_reset_i": before} if operator == "GRU" else {}
        size = state.type().sizes()[2]
        y, *_ = g.op(
            operator, x, inputs, state, bias, outputs=3 if operator == "LSTM" else 2, hidden_size_i=size, **more
        )
        return g.op("Squeeze", y, g.op("Constant", value_t=torch.tensor([1])))


class Cell(nn.Module):
    """One layer of cells, forwards and from a state of zeros, that is exported as one node: (B, T, D) -> (B, T, H).

    Args:
        inputs, state: (gates · H, D) and (gates · H, H), the gates in the layer's own order.
        biases: (gates · H,) each; of the inputs and of the state.
        order: which of the layer's gates stands at each place of ONNX's.
        before: of a GRU, whether its r is applied behind the product with the state, as torch's is.
    """

    def __init__(
        self, inputs: Tensor, state: Tensor, biases: Sequence[Tensor], order: str, before: bool = True
    ) -> None:
        super().__init__()
        places = [int(place) for place in order]
        parts = [turn(each, places) for each in (inputs, state, *biases)]
        for name, value in (("inputs", parts[0]), ("state", parts[1]), ("bias", torch.cat(parts[2:]))):
            self.register_buffer(name, value.detach()[None].clone())
        self.operator, self.before = "GRU" if len(places) == 3 else "LSTM", int(before)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        y: Tensor = Recurrence.apply(x.transpose(0, 1), self.inputs, self.state, self.bias, self.operator, self.before)  # type: ignore[no-untyped-call]
        return (y.transpose(0, 1),)


class AddedLSTM(nn.Module):
    """The LSTM whose forget gate is σ(f) + 1, which is no operator: a loop over its frames."""

    def __init__(self, inputs: Tensor, hidden: Tensor, bias: Tensor) -> None:
        super().__init__()
        for name, value in (("inputs", inputs), ("hidden", hidden), ("bias", bias)):
            self.register_buffer(name, value.detach().clone())

    def forward(self, x: Tensor) -> tuple[Tensor]:
        projected = nn.functional.linear(x, self.inputs, self.bias)  # type: ignore[arg-type]
        loop: Any = torch.jit.script(recur_added)
        return (loop(projected.transpose(0, 1), self.hidden).transpose(0, 1),)


def turn(weight: Tensor, places: Sequence[int]) -> Tensor:
    """The rows of each gate at another place."""
    parts = weight.chunk(len(places))
    return torch.cat([parts[place] for place in places])


def as_operators(module: nn.Module) -> nn.Module:
    """A module with all its recurrent layers exchanged for those that can be exported; it is changed."""
    for name, child in module.named_children():
        setattr(module, name, operator_of(child) or as_operators(child))
    return module


def operator_of(layer: nn.Module) -> nn.Module | None:
    """What stands for a recurrent layer; None of any other."""
    if isinstance(layer, TFGRU):
        biases = (layer.bias, torch.zeros_like(layer.bias))
        return Cell(layer.weight_ih, layer.weight_hh, biases, "102", before=False)
    if isinstance(layer, nn.GRU | nn.LSTM):
        plain: Any = layer
        biases = (plain.bias_ih_l0, plain.bias_hh_l0)
        order = "102" if isinstance(layer, nn.GRU) else "0312"
        return Cell(plain.weight_ih_l0, plain.weight_hh_l0, biases, order)
    if isinstance(layer, PartAwareLayer):
        inputs, bias, added = layer.input_weight(), layer.input_bias(), layer.added
        if added:
            return AddedLSTM(inputs, layer.hidden, bias)
        return Cell(inputs, layer.hidden, (bias, torch.zeros_like(bias)), "0312")
    return None


def recur_added(projected: Tensor, hidden: Tensor) -> Tensor:
    """Outputs of an LSTM whose forget gate is σ(f) + 1: (T, B, 4H), of the inputs -> (T, B, H).

    As `part_aware.recur`, in those words of Python that torch compiles with its loop.
    """
    h = torch.zeros([projected.size(1), hidden.size(1)])
    c = h
    found: list[Tensor] = []
    for t in range(projected.size(0)):
        gates = torch.addmm(projected[t], h, hidden.t()).chunk(4, 1)
        c = (gates[1].sigmoid() + 1.0) * c + gates[0].sigmoid() * gates[2].tanh()
        h = gates[3].sigmoid() * c.tanh()
        found.append(h)
    return torch.stack(found)
