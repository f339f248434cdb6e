"""The graph of a classifier: torch's exporter, and what it is shown.

The exporter is the one that follows a run of the network (`dynamo=False`): it has recurrent layers as operators, where
the other one writes a clip's frames out one by one and so holds for one number of frames.
"""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from skelpipe.encoders.plain import plainly
from skelpipe.errors import BadInput, shortage
from skelpipe.exchange.onnx.cells import as_operators
from skelpipe.exchange.onnx.extra import library
from skelpipe.exchange.onnx.session import CLIPS, FEATURES, LENGTHS, SCORES, in_short
from skelpipe.training.model import Classifier

OPSET = 17
SWITCH = "_jit_set_onnx_log_enabled"


class Outputs(nn.Module):
    """What a file gives of clips, in this order: scores, features; or one of them.

    Args:
        encoder_only: features alone. Where the network scores clips by itself, and features are not asked for, it is
            the scores alone.
    """

    def __init__(self, classifier: Classifier, encoder_only: bool) -> None:
        super().__init__()
        self.classifier, self.encoder_only = classifier, encoder_only
        own = classifier.head is None
        self.names = (FEATURES,) if encoder_only else (SCORES,) if own else (SCORES, FEATURES)

    def forward(self, clips: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, ...]:
        if self.encoder_only:
            segments = self.classifier.segments
            return (self.classifier.network.segments(clips, segments, lengths).float(),)
        both: tuple[Tensor, Tensor] = self.classifier(clips, lengths)
        return both[: len(self.names)]


def graph_of(outputs: Outputs, example: Tensor, opset: int, any_frames: bool, where: Path) -> bytes:
    """The file, without what it says of itself.

    Args:
        example: clips (B, C, T, V, M) to follow; B is any in the graph.
        any_frames: whether T is, too.

    Raises:
        BadInput: the network has something that the opset, or the exporter, does not.
    """
    shown = as_operators(copy.deepcopy(outputs)).eval()
    given: dict[str, Tensor] = {CLIPS: example}
    axes = {CLIPS: {0: "batch", **({2: "frames"} if any_frames else {})}}
    if outputs.classifier.uses_lengths:
        given[LENGTHS] = torch.arange(len(example)).remainder(2).neg().add(example.shape[2])
        axes[LENGTHS] = {0: "batch"}
    axes |= {name: {0: "batch"} for name in outputs.names}
    data: Any = io.BytesIO()
    try:
        with plainly(), torch.no_grad(), quietly():
            torch.onnx.export(
                shown, tuple(given.values()), data, input_names=[*given], output_names=[*outputs.names],
                dynamic_axes=axes, opset_version=opset, dynamo=False,
            )  # fmt: skip
    except Exception as error:
        if shortage(error) or isinstance(error, BadInput):
            raise
        what = f"cannot be written as ONNX of opset {opset} ({in_short(error)})"
        raise BadInput(where, what, "take another encoder, or leave it in torch") from None
    return sized(data.getvalue(), outputs, example)


def sized(data: bytes, outputs: Outputs, example: Tensor) -> bytes:
    """The same file, whose outputs say how many numbers they have."""
    onnx = library("onnx")
    graph = onnx.load_model_from_string(data)
    with torch.no_grad():
        sizes = {name: found.shape[1] for name, found in zip(outputs.names, outputs(example), strict=True)}
    for each in graph.graph.output:
        dims = each.type.tensor_type.shape.dim
        dims[0].dim_param, dims[1].dim_value = "batch", sizes[each.name]
    made: bytes = graph.SerializeToString()
    return made


@contextmanager
def quietly() -> Iterator[None]:
    """Inside, the exporter says nothing of what the comparison with torch shows better."""
    switch: Any = getattr(torch._C, SWITCH, None)
    if switch is not None:  # which the exporter turns on by a slip: all of a graph that it cannot write is printed
        switch(False)
        setattr(torch._C, SWITCH, lambda on: None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if switch is not None:
            setattr(torch._C, SWITCH, switch)
