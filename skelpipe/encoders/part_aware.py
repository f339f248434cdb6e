"""Part-aware LSTM: every part of the body has memory cells and gates of its own, and one output gate sees all parts.

Source: Shahroudy et al., NTU RGB+D: A Large Scale Dataset for 3D Human Activity Analysis (CVPR 2016, section 4.2, from
memory); the cell as in the public code of FesianXu/PLSTM, the weights' start as in that of kinect59/
Spatio-Temporal-LSTM, of the same laboratory.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from skelpipe.encoders.base import Encoder
from skelpipe.encoders.cpu.lstm import State, float32_alone, recur
from skelpipe.encoders.recurrent import own_frames
from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.settings import Settings


class PartAwareOptions(Settings):
    """What a recipe may say about the encoder.

    Attributes:
        layers: how many stand on each other; in those above the first, a part sees its own units of the layer below.
        width: n, units of each part in a layer.
        dropout: the share of every layer's outputs that is dropped in training, anew for each frame and unit; nothing
            is dropped inside the recurrence.
        forget_gate: σ(f) ("plain"); σ(f + 1), as TensorFlow's cells have it ("plus_inside"); or what the public code
            has by a slip, σ(f) + 1, by which cells can only grow ("repository").
        torso: the joints between the limbs belong to every part, so that each knows where it is ("repeated", as in the
            public code), or are a part of their own ("part").
        weights: how they are drawn: all within ± `bound` ("uniform"), or as torch draws those of its LSTM, or as the
            recipe's `init` says ("torch").
        bound: of uniform weights.
        forget: the bias of the forget gates at the start; None leaves it as drawn.
    """

    name: Literal["part_aware"] = "part_aware"
    layers: int = Field(2, ge=1, le=64)
    width: PositiveInt = 25
    dropout: float = Field(0.5, ge=0, lt=1)
    forget_gate: Literal["plain", "plus_inside", "repository"] = "plain"
    torso: Literal["repeated", "part"] = "repeated"
    weights: Literal["torch", "uniform"] = "uniform"
    bound: float = Field(0.08, gt=0)
    forget: float | None = 1.0


class PartAware(Encoder):
    """Layers of part-aware LSTM over frames, bodies side by side: (B, C, T, V, M) -> (B, n · parts).

    A clip's feature is the last layer's output at its last own frame.
    """

    Options = PartAwareOptions
    USES_LENGTHS = True
    SIDE_BY_SIDE = True

    def __init__(self, layout: Layout, options: PartAwareOptions, bodies: int) -> None:
        super().__init__()
        self.options = options
        parts, torso = divide(layout)
        if options.torso == "part":
            parts, torso = [part for part in (*parts, torso) if part], ()
        self.features = options.width * len(parts)
        values = layout.channels * bodies  # of a joint
        sizes = [len(part) * values for part in parts]
        above = [[options.width] * len(parts)] * (options.layers - 1)
        self.layers = nn.ModuleList(
            PartAwareLayer(own, shared, options)
            for own, shared in [(sizes, len(torso) * values), *((own, 0) for own in above)]
        )
        order = [place for part in (*parts, torso) for place in places(part, layout, bodies)]
        self.order: Tensor
        self.register_buffer("order", torch.tensor(order), persistent=False)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Features of clips, of which the first `lengths` (B,) frames are their own; None says that all are."""
        y = self.run(x)
        return y[:, -1] if lengths is None else y[torch.arange(y.shape[0], device=y.device), lengths.clamp(min=1) - 1]

    def sequence(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The last layer's outputs, (B, T, features); behind a clip's own frames they are 0."""
        y = self.run(x)
        return y if lengths is None else y * own_frames(y, lengths)

    def run(self, x: Tensor) -> Tensor:
        """All layers: (B, C, T, V, M) -> (B, T, features)."""
        y = x.permute(0, 2, 4, 3, 1).flatten(2).index_select(2, self.order)
        for layer in self.layers:
            y = nn.functional.dropout(layer(y)[0], self.options.dropout, self.training)
        return y


class PartAwareLayer(nn.Module):
    """One layer: (B, T, D) -> its outputs h (B, T, n · parts), and its last state.

    For a part p with the inputs x_p, and h' and c' of the frame before, i_p, f_p, g_p = σ, σ, tanh of
    W_p [x_p; h'] + b_p and c_p = f_p ∘ c_p' + i_p ∘ g_p; o = σ(W_o [x_1; ...; x_P; h'] + b_o) is common to all, and
    h = o ∘ tanh([c_1; ...; c_P]). As each part sees the whole h', that is an LSTM of n · parts units in whose input
    weights a part's gates have zeros for the other parts; it is computed as one.

    Attributes:
        inputs: of each part (3n, D_p), the rows of i, f and g, the columns of its own inputs before the shared ones.
        output: (n · parts, ΣD_p), the columns those of all parts one after the other.
        hidden: (4n · parts, n · parts), the rows of i of all parts, then of f, g and o.
        bias: (4n · parts,), in the same order.
    """

    def __init__(self, own: list[int], shared: int, options: PartAwareOptions) -> None:
        super().__init__()
        self.own, self.shared, self.options = own, shared, options
        n, units = options.width, options.width * len(own)
        self.inputs = nn.ParameterList(torch.empty(3 * n, size + shared) for size in own)
        self.output = nn.Parameter(torch.empty(units, sum(own) + len(own) * shared))
        self.hidden = nn.Parameter(torch.empty(4 * units, units))
        self.bias = nn.Parameter(torch.empty(4 * units))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights as torch's LSTM of as many units does."""
        self._draw(len(self.output) ** -0.5)

    def start(self) -> None:
        """Draw the weights as the options say."""
        if self.options.weights == "uniform":
            self._draw(self.options.bound)
        if self.options.forget is not None:
            nn.init.constant_(self.bias.chunk(4)[1].detach(), self.options.forget)

    def _draw(self, bound: float) -> None:
        for weight in self.parameters():
            nn.init.uniform_(weight, -bound, bound)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read frames x (B, T, D): every part's own inputs, one part after the other, then those that all share.

        Args:
            state: h and c before the first frame, each (B, n · parts); by default 0.
        """
        if float32_alone(x):
            with torch.autocast("cpu", enabled=False):
                return self.forward(x.float(), state)
        if state is None:
            zero = x.new_zeros(len(x), len(self.output))
            state = (zero, zero)
        weight, bias, added = self.input_weight(), self.input_bias(), self.added
        if added or torch.compiler.is_compiling():  # which knows no LSTM, and makes one graph of its frames
            return recur(nn.functional.linear(x, weight, bias), self.hidden, state, added)
        # All in one piece of memory, as cuDNN wants them.
        tensors = (weight, self.hidden, bias, torch.zeros_like(bias))
        whole = torch.cat([tensor.flatten() for tensor in tensors])
        flat = torch.split_with_sizes(whole, [tensor.numel() for tensor in tensors])
        weights = [part.view_as(tensor) for part, tensor in zip(flat, tensors, strict=True)]
        h, c = (each.unsqueeze(0) for each in state)
        y, h, c = torch.lstm(x, (h, c), weights, True, 1, 0.0, self.training, False, True)
        return y, (h[0], c[0])

    @property
    def added(self) -> float:
        """What is added to σ(f)."""
        return 1.0 if self.options.forget_gate == "repository" else 0.0

    def input_bias(self) -> Tensor:
        """The biases of the gates as a plain LSTM has them: (4n · parts,)."""
        bias: Tensor = self.bias
        if self.options.forget_gate == "plus_inside":
            i, f, g, o = bias.chunk(4)
            bias = torch.cat([i, f + 1, g, o])
        return bias

    def input_weight(self) -> Tensor:
        """The weights of the inputs with their zeros: (4n · parts, D), rows as those of `hidden`."""
        cut = [
            torch.split_with_sizes(weight, [size, self.shared], 1)
            for weight, size in zip(self.inputs, self.own, strict=True)
        ]
        own, shared = zip(*cut, strict=True)
        gates = torch.cat([torch.block_diag(*own), torch.cat(shared)], 1)  # type: ignore[no-untyped-call]
        gates = gates.view(len(own), 3, self.options.width, -1).transpose(0, 1).flatten(0, 2)
        pieces = torch.split_with_sizes(self.output, [size for each in self.own for size in (each, self.shared)], 1)
        return torch.cat([gates, torch.cat([*pieces[::2], torch.stack(pieces[1::2]).sum(0)], 1)])


def places(joints: tuple[int, ...], layout: Layout, bodies: int) -> list[int]:
    """Where the values of these joints stand in frames (M, V, C) that are laid out in one row."""
    joint, body = layout.channels, layout.channels * len(layout.joints)
    return [m * body + v * joint + c for m in range(bodies) for v in joints for c in range(joint)]


def divide(layout: Layout) -> tuple[list[tuple[int, ...]], tuple[int, ...]]:
    """The joints of every part of a layout without those of the torso, and those of the torso.

    The torso is what lies on the trunk between two limbs: of NTU's joints 1, 2 and 21. What is left of the trunk, which
    is the part with the layout's root, is the head.

    Raises:
        BadInput: the layout names no parts.
    """
    if not layout.parts:
        raise BadInput("encoder: part_aware", f"the layout {layout.name} names no parts", "take another encoder")
    root = next(v for v, parent in enumerate(layout.parents) if v == parent)
    trunk = next(joints for _, joints in layout.parts if root in joints)
    roots = [parent for v, parent in enumerate(layout.parents) if parent in trunk and v not in trunk]
    ways = [way_up(layout, joint) for joint in roots]
    common: Any = set(ways[0]).intersection(*ways) if ways else set()
    meeting = next((joint for joint in ways[0] if joint in common), None) if ways else None
    between = {joint for way in ways for joint in way if joint not in common or joint == meeting}
    torso = tuple(joint for joint in trunk if joint in between)
    return [tuple(joint for joint in joints if joint not in torso) for _, joints in layout.parts], torso


def way_up(layout: Layout, joint: int) -> list[int]:
    """The joints from one to the root, both with it."""
    way = [joint]
    while layout.parents[way[-1]] != way[-1]:
        way.append(layout.parents[way[-1]])
    return way
