"""A graph as onnxruntime runs it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput, shortage, shortened
from skelpipe.exchange.onnx.extra import library

CLIPS, LENGTHS, SCORES, FEATURES = "clips", "lengths", "scores", "features"
SUFFIX = ".onnx"
Array = npt.NDArray[Any]
Shape = tuple[int | str | None, ...]
QUIET = 4  # of what it tells on stderr by itself: what is fatal


class Session:
    """A graph on the CPU.

    Args:
        data: the file.
        where: what errors are reported of.
        threads: None: as many as there are cores.

    Attributes:
        inputs, outputs: the shapes by name; a name stands for an axis of any size.

    Raises:
        BadInput: onnxruntime cannot open it, or is not installed.
    """

    def __init__(self, data: bytes, where: str | os.PathLike[str], threads: int | None = None) -> None:
        runtime = library("onnxruntime")
        options = runtime.SessionOptions()
        options.log_severity_level = QUIET
        options.inter_op_num_threads = 1
        options.intra_op_num_threads = threads or 0
        self.where, self.quietly = where, runtime.RunOptions()
        self.quietly.log_severity_level = QUIET
        try:
            self.session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            if shortage(error):
                raise
            raise BadInput(where, f"cannot be opened by onnxruntime ({in_short(error)})", "export it again") from None
        self.inputs: Mapping[str, Shape] = {each.name: tuple(each.shape) for each in self.session.get_inputs()}
        self.outputs: Mapping[str, Shape] = {each.name: tuple(each.shape) for each in self.session.get_outputs()}

    def run(self, clips: Array, lengths: Array | None = None) -> dict[str, npt.NDArray[np.float32]]:
        """The outputs by name for clips (B, C, T, V, M), of which the first `lengths` (B,) frames count; None: all.

        Raises:
            BadInput: the graph does not take such clips.
        """
        given = {CLIPS: np.ascontiguousarray(clips, np.float32)}
        if LENGTHS in self.inputs:
            own = np.full(len(clips), clips.shape[2]) if lengths is None else lengths
            given[LENGTHS] = np.ascontiguousarray(own, np.int64)
        try:
            found = self.session.run(None, given, self.quietly)
        except Exception as error:
            if shortage(error):
                raise
            what = f"cannot be run on clips {tuple(clips.shape)} ({in_short(error)})"
            raise BadInput(self.where, what, "give clips as it was exported for") from None
        return dict(zip(self.outputs, found, strict=True))


def in_short(error: BaseException) -> str:
    """The first line of what a library says."""
    return shortened((str(error).strip() or type(error).__name__).splitlines()[0], 160)
