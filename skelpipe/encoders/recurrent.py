"""Recurrent encoders: layers of GRU or LSTM over the frames of a clip, and one of several ways to pool them.

Sources, of whose public code this module holds the recurrent parts: Thoker et al., Skeleton-Contrastive 3D Action
Representation Learning (ACM MM 2021); Rao et al., Augmented Skeleton Based Contrastive Action Learning with Momentum
LSTM (Information Sciences 2021); Su et al., Predict & Cluster (CVPR 2020); Lin et al., MS²L (ACM MM 2020).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from skelpipe.encoders.base import Encoder
from skelpipe.encoders.cpu.gru import GRU
from skelpipe.encoders.cpu.lstm import LSTM
from skelpipe.encoders.tf_gru import TFGRU
from skelpipe.layouts.base import Layout
from skelpipe.settings import Settings

CELLS: dict[str, Any] = {"gru": GRU, "lstm": LSTM, "tf_gru": TFGRU}
AXES = {"c": 1, "v": 3, "m": 4}  # of clips (B, C, T, V, M)


class RecurrentOptions(Settings):
    """What a recipe may say about the encoder.

    Attributes:
        cell: what each layer consists of; "tf_gru" is TensorFlow's GRU with its own first weights, in place of torch's.
        layers: how many stand on each other.
        width: units of a layer, for each direction.
        direction: "uni" reads forwards; "bi" also backwards, side by side in every layer; "two_forward" has the cells
            of both directions read forwards, as ISC's, P&C's and CMD's public code does.
        pooling: "last" takes the outputs at the last frame; "final" those of each direction at the end of its own way;
            "mean" averages over all frames, "mean_valid" over the clip's own.
        excess: is added to the number of frames by which "mean_valid" divides: 0.01 in MS2L's public code.
        padding: frames behind a clip's own are left out ("skip": a clip's feature does not depend on them), or read
            like any other ("read").
        order: in which order a frame's numbers stand, the last letter running fastest (c coordinate, v joint, m body);
            it matters to imported weights only.
        dropout: the share of every layer's outputs that is dropped in training, anew for each frame and unit; nothing
            is dropped inside the recurrence.
        weights: how they are drawn: "torch", as torch does, or as the recipe's `init` says; "glorot" draws those of the
            inputs by Glorot's uniform rule and the recurrent ones orthogonal times `gain`, biases 0; "xavier" both by
            that rule, of all gates together, and the biases as torch does, as in ISC; "uniform" all within ± `bound`.
        gain: of orthogonal recurrent weights.
        bound: of uniform weights.
        forget: the bias of an LSTM's forget gates at the start; None leaves it as drawn.
        biases: torch has two vectors of them where there is one in the formulas; of "one", the second is not there.
    """

    LATER: ClassVar[tuple[str, ...]] = ("excess", "dropout", "weights", "gain", "bound", "forget", "biases")

    name: Literal["recurrent"] = "recurrent"
    cell: Literal["gru", "lstm", "tf_gru"] = "gru"
    layers: int = Field(3, ge=1, le=64)
    width: PositiveInt = 1024
    direction: Literal["uni", "bi", "two_forward"] = "bi"
    pooling: Literal["last", "final", "mean", "mean_valid"] = "last"
    excess: float = Field(0.0, ge=0)
    padding: Literal["skip", "read"] = "skip"
    order: Literal["cvm", "cmv", "vcm", "vmc", "mcv", "mvc"] = "vcm"
    dropout: float = Field(0.0, ge=0, lt=1)
    weights: Literal["torch", "glorot", "xavier", "uniform"] = "torch"
    gain: float = Field(1.0, gt=0)
    bound: float = Field(0.08, gt=0)
    forget: float | None = None
    biases: Literal["two", "one"] = "two"

    @model_validator(mode="after")
    def _mean_reads_all(self) -> RecurrentOptions:
        if self.pooling == "mean" and self.padding == "skip":
            raise ValueError("pooling: mean goes over all frames; take mean_valid, or padding: read")
        return self

    @model_validator(mode="after")
    def _draws_its_own(self) -> RecurrentOptions:
        if self.cell == "tf_gru" and self.weights != "torch":
            raise ValueError("weights: tf_gru has first weights of its own; leave them at torch, or take the cell gru")
        return self


class Recurrent(Encoder):
    """Layers of cells over frames whose numbers stand in one row: (B, C, T, V, M) -> (B, width · directions)."""

    Options = RecurrentOptions
    USES_LENGTHS = True
    SIDE_BY_SIDE = True

    def __init__(self, layout: Layout, options: RecurrentOptions, bodies: int) -> None:
        super().__init__()
        self.options = options
        directions = 1 if options.direction == "uni" else 2
        self.features = options.width * directions
        self.inputs = layout.channels * len(layout.joints) * bodies
        sizes = [self.inputs, *[self.features] * (options.layers - 1)]
        # Cells of their own instead of torch's layers: two that read forwards are none of those, and a backward one
        # that begins at each clip's own end would need its length on the CPU.
        self.cells = nn.ModuleList(
            nn.ModuleList(build_cell(options.cell, size, options.width, options.biases) for _ in range(directions))
            for size in sizes
        )

    def gru(self, size: int, width: int) -> nn.Module:
        """A fresh GRU of the kind that the layers are, torch's or TensorFlow's, for a decoder."""
        return TFGRU(size, width) if self.options.cell == "tf_gru" else nn.GRU(size, width, batch_first=True)

    def start(self) -> None:
        """Draw the weights as the options say."""
        for cell in self.cells.modules():
            if isinstance(cell, nn.GRU | nn.LSTM):
                start_cell(cell, self.options)

    def start_head(self, layer: nn.Linear) -> None:
        """Draw the last layer behind a feature: by `weights: xavier` in the same way, else it stays as it is."""
        if self.options.weights == "xavier":
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Features of clips, of which the first `lengths` (B,) frames are their own; None says that all are."""
        read = None if self.options.padding == "read" else lengths
        return self.pooled(self.run(x, read), lengths, read)

    def sequence(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The last layer's outputs: (B, T, features); behind a clip's own frames they are 0 unless padding is read."""
        y = self.run(x, None if self.options.padding == "read" else lengths)
        if lengths is None or self.options.padding == "read":
            return y
        return y * own_frames(y, lengths)

    def pool_sequence(self, y: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The features of clips, (B, features), of what `sequence` gives for them: (B, T, features)."""
        return self.pooled(y, lengths, None if self.options.padding == "read" else lengths)

    def run(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """All layers: (B, C, T, V, M) -> (B, T, features); what stands behind a clip's length means nothing."""
        y = rows(x, self.options.order)
        layers: Any = self.cells
        for layer in layers:
            outputs: list[Tensor] = []
            for number, cell in enumerate(layer):
                backwards = number == 1 and self.options.direction == "bi"
                output = cell(reverse(y, lengths) if backwards else y)[0]
                outputs.append(reverse(output, lengths) if backwards else output)
            y = torch.cat(outputs, dim=2) if len(outputs) > 1 else outputs[0]
            y = nn.functional.dropout(y, self.options.dropout, self.training) if self.options.dropout else y
        return y

    def pooled(self, y: Tensor, lengths: Tensor | None, read: Tensor | None) -> Tensor:
        """Outputs (B, T, features) -> features (B, features); `read` are the lengths at which the recurrence ended."""
        pooling = self.options.pooling
        if pooling == "mean" or (pooling == "mean_valid" and lengths is None and not self.options.excess):
            return y.mean(dim=1)
        if pooling == "mean_valid" and lengths is None:
            return y.sum(dim=1) / (y.shape[1] + self.options.excess)
        if pooling == "mean_valid":
            assert lengths is not None
            return (y * own_frames(y, lengths)).sum(dim=1) / (lengths.clamp(min=1)[:, None] + self.options.excess)
        last = y[:, -1] if read is None else y[torch.arange(y.shape[0], device=y.device), read.clamp(min=1) - 1]
        if pooling == "final" and self.options.direction == "bi":
            forwards, _ = last.chunk(2, dim=1)
            return torch.cat([forwards, y[:, 0, self.options.width :]], dim=1)
        return last


def build_cell(kind: str, size: int, width: int, biases: str = "two") -> nn.GRU | nn.LSTM:
    """One layer of cells that reads frames (B, T, size) forwards: key of CELLS, with one vector of biases or two."""
    cell: nn.GRU | nn.LSTM = CELLS[kind](size, width, batch_first=True)
    if biases == "one" and kind != "tf_gru":  # which has no other
        zeros = torch.zeros(len(cell.state_dict()["bias_hh_l0"]))
        del cell.bias_hh_l0
        cell.register_buffer("bias_hh_l0", zeros)
        cell.bias_hh_l0 = zeros  # which also puts it among the weights that torch's function is given
    return cell


def rows(x: Tensor, order: str) -> Tensor:
    """The numbers of each frame in one row, in that order of their axes: (B, C, T, V, M) -> (B, T, C · V · M)."""
    return x.permute(0, 2, *(AXES[axis] for axis in order)).flatten(2)


@torch.no_grad()
def start_cell(cell: nn.GRU | nn.LSTM, options: Any) -> None:
    """Draw a cell's weights anew as `options` say, which have `weights`, `gain`, `bound` and `forget`.

    torch has two biases where there is one in the formulas: of those that are set, the second is 0.
    """
    for name, weight in cell.named_parameters():
        if options.weights == "uniform":
            nn.init.uniform_(weight, -options.bound, options.bound)
        elif options.weights == "glorot" and name.startswith("weight_ih"):
            nn.init.xavier_uniform_(weight)  # of all gates together, as Keras and the public code in torch draw them
        elif options.weights == "glorot" and name.startswith("weight_hh"):
            nn.init.orthogonal_(weight, options.gain)
        elif options.weights == "glorot":
            nn.init.zeros_(weight)
        elif options.weights == "xavier" and weight.dim() == 2:
            nn.init.xavier_uniform_(weight)
        if options.forget is not None and name.startswith("bias") and isinstance(cell, nn.LSTM):
            weight[cell.hidden_size : 2 * cell.hidden_size] = options.forget if name.startswith("bias_ih") else 0.0


def reverse(x: Tensor, lengths: Tensor | None) -> Tensor:
    """The frames of x (B, T, D) in reverse, each clip's first `lengths` (B,) among themselves."""
    if lengths is None:
        return x.flip(1)
    t = torch.arange(x.shape[1], device=x.device)
    place = torch.where(t < lengths[:, None], lengths[:, None] - 1 - t, t)
    return x.gather(1, place[:, :, None].expand_as(x))


def own_frames(x: Tensor, lengths: Tensor) -> Tensor:
    """1 for each clip's first `lengths` (B,) frames, 0 for the others: (B, T, 1) of the type of x (B, T, D)."""
    return (torch.arange(x.shape[1], device=x.device) < lengths[:, None]).unsqueeze(2).to(x.dtype)
