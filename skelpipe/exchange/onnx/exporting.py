"""A model as an ONNX file, held against torch before it is written."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from skelpipe.errors import BadInput
from skelpipe.exchange.onnx.extra import library
from skelpipe.exchange.onnx.graph import OPSET, Outputs, graph_of
from skelpipe.exchange.onnx.metadata import frames_of, properties
from skelpipe.exchange.onnx.parity import TOLERANCE, Parity, batches, compare, random_clips, takes
from skelpipe.exchange.onnx.session import CLIPS, SUFFIX, Session, Shape
from skelpipe.outputs.one_file import check_file
from skelpipe.outputs.provenance import write_beside
from skelpipe.outputs.refusals import unwritable
from skelpipe.training.model import Model

BATCHES = (3, 1, 5)  # of random clips
LEAST = 2  # frames: the fewest that all encoders take


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        bytes: the file's size.
        inputs, outputs: shapes by name; a word stands for an axis of any size.
        frames: T, where the graph takes clips of that length alone; None: any.
        random, real: how far the file gives what torch gives, on random clips and on those that were given.
    """

    file: Path
    bytes: int
    opset: int
    inputs: dict[str, Shape]
    outputs: dict[str, Shape]
    frames: int | None
    random: Parity
    real: Parity | None

    def __str__(self) -> str:
        what = ", ".join(f"{name} {shaped(shape)}" for name, shape in self.inputs.items())
        gives = ", ".join(f"{name} {shaped(shape)}" for name, shape in self.outputs.items())
        only = "" if self.frames is None else f"; clips of {self.frames} frames alone"
        return f"opset {self.opset}, {self.bytes / 2**20:.1f} MiB; {what} -> {gives}{only}"


def export_onnx(
    model: Model,
    file: str | Path,
    *,
    encoder_only: bool = False,
    opset: int = OPSET,
    clips: npt.NDArray[np.float32] | None = None,
    lengths: npt.NDArray[np.int64] | None = None,
    force: bool = False,
) -> Exported:
    """Write a model as ONNX: `clips` (B, C, T, V, M), and `lengths` (B,) where it looks at them -> scores, features.

    Clips are float32, as the encoder is to see them: prepared, in the view that the recipe evaluates, and in the
    stream. Lengths are int64. Scores are (B, K), features (B, D), which a model that scores clips by itself does not
    give. B is any number, and T too where the encoder takes clips of other lengths.

    Args:
        encoder_only: features alone.
        clips: real ones, for the comparison with torch, of which the first `lengths` (n,) frames count; None: all do.

    Raises:
        BadInput: the network cannot be written so, or the file does not give what torch gives; nothing is written. The
            file exists and `force` is not set; or onnx or onnxruntime is not installed.
    """
    file = Path(file)
    if file.suffix.lower() != SUFFIX:
        raise BadInput(file, f"is not called {SUFFIX}, by which a model is known as such a file", f"add {SUFFIX} to it")
    check_file(file, force)
    for name in ("onnx", "onnxruntime"):
        library(name)
    outputs = Outputs(model.classifier, encoder_only).eval()
    given = [] if clips is None else [*batches(check(model, clips), lengths)]
    frames = frames_of(model) if clips is None else int(clips.shape[2])
    data, any_frames, parity = best_graph(model, outputs, frames, opset)
    session = Session(data, model.path, threads=1)
    real = compare(outputs, session, given) if given else None
    for found in (parity, *([real] if real else ())):
        if not found.holds:
            what = f"is not the same as ONNX: outputs differ by {found.relative:.1e} of the largest, not {TOLERANCE}"
            raise BadInput(model.path, what, "leave it in torch")
    data = described(data, model, properties(model, frames, any_frames, opset))
    shapes = dict(session.inputs), dict(session.outputs)
    settings = {"encoder_only": encoder_only, "opset": opset}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_beside(file, data, "onnx", {"model": model.path}, settings)
    except OSError as error:
        raise unwritable(file, error) from None
    return Exported(file, len(data), opset, *shapes, None if any_frames else frames, parity, real)


def described(data: bytes, model: Model, about: dict[str, str]) -> bytes:
    """A graph with what it says of itself, whole."""
    onnx = library("onnx")
    graph = onnx.load_model_from_string(data)
    graph.doc_string = f"{model.recipe.name}, {model.facts.protocol}, exported by skelpipe"
    onnx.helper.set_model_props(graph, about)
    onnx.checker.check_model(graph)
    made: bytes = graph.SerializeToString()
    return made


def shaped(shape: Shape) -> str:
    """A shape in words."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def best_graph(model: Model, outputs: Outputs, frames: int, opset: int) -> tuple[bytes, bool, Parity]:
    """A graph for clips of any length, if the network and the exporter allow for it, or else of one; and its parity."""
    shape = model.layout.channels, len(model.layout.joints), model.recipe.bodies
    cases = [random_clips(shape, frames, count, seed=count) for count in BATCHES]
    example = torch.from_numpy(cases[0][0][:2])
    others = (max(LEAST, frames // 2), frames + frames // 4 + 1)
    more = [random_clips(shape, each, 2, seed=each) for each in others if each != frames]
    if taken := [case for case in more if takes(outputs, case)]:
        data = graph_of(outputs, example, opset, True, model.path)
        with suppress(BadInput):  # where the exporter has fixed what the network leaves open
            found = compare(outputs, Session(data, model.path, threads=1), [*cases, *taken])
            if found.holds:
                return data, True, found
    data = graph_of(outputs, example, opset, False, model.path)
    return data, False, compare(outputs, Session(data, model.path, threads=1), cases)


def check(model: Model, clips: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Real clips, of the model's layout and bodies."""
    want = model.layout.channels, len(model.layout.joints), model.recipe.bodies
    found = () if clips.ndim != 5 else (clips.shape[1], *clips.shape[3:])
    if found != want:
        what = f"are {clips.shape}, and the model takes (n, {want[0]}, T, {want[1]}, {want[2]})"
        raise BadInput(CLIPS, what, "give clips of its layout")
    return clips
