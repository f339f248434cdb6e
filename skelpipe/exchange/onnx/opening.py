"""An ONNX file of ours as a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skelpipe.errors import BadInput, shortage
from skelpipe.exchange.onnx.extra import library
from skelpipe.exchange.onnx.metadata import AGAIN, facts_in
from skelpipe.exchange.onnx.session import CLIPS, FEATURES, LENGTHS, SCORES, Session
from skelpipe.outputs.ancestry import BESIDE, read_json
from skelpipe.outputs.files import sha256
from skelpipe.training.model import Classifier, Model, frozen, recipe_and_layout


class OnnxClassifier(Classifier):
    """A classifier that onnxruntime runs; without a network, a head or weights in torch.

    Attributes:
        frames: T, where it takes clips of that length alone.
    """

    def __init__(self, session: Session) -> None:
        nn.Module.__init__(self)
        self.session, self.head, self.segments, self.columns = session, None, 1, None
        frames = session.inputs[CLIPS][2]
        self.frames = frames if isinstance(frames, int) else None

    @property
    def uses_lengths(self) -> bool:
        return LENGTHS in self.session.inputs

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As of `Classifier`; what the file does not give, scores or features, has no columns."""
        own = None if lengths is None else lengths.cpu().numpy()
        found = self.session.run(x.detach().cpu().numpy(), own)
        none = np.empty((len(x), 0), np.float32)
        scores, features = (torch.from_numpy(found.get(name, none)) for name in (SCORES, FEATURES))
        return scores, features


def open_onnx(file: str | Path, threads: int | None = None, *, encoder: bool = False) -> Model:
    """Open what `export_onnx` wrote; its classifier is an `OnnxClassifier`.

    Args:
        threads: of onnxruntime; None: as many as there are cores.
        encoder: let a file pass that gives features alone.

    Raises:
        BadInput: it is no such file, damaged, of a newer skelpipe, or gives no scores; weights lie in other files; or
            onnx or onnxruntime is not installed.
    """
    file = Path(file)
    graph, data = read_graph(file)
    facts = facts_in({each.key: each.value for each in graph.metadata_props}, file)
    refuse_others(graph, file)
    check_beside(file)
    recipe, layout = recipe_and_layout(facts, file, AGAIN)
    session = Session(data, file, threads)
    seen = session.inputs.get(CLIPS, ())
    want = (layout.channels, len(layout.joints), recipe.bodies)
    scores = session.outputs.get(SCORES, ())
    unknown = {*session.inputs} - {CLIPS, LENGTHS} or {*session.outputs} - {SCORES, FEATURES}
    if unknown or len(seen) != 5 or (seen[1], *seen[3:]) != want or (scores and scores[1:] != (len(facts.classes),)):
        raise BadInput(file, "has another graph than the model that it says it is", AGAIN)
    if not scores and not encoder:
        raise BadInput(file, "holds an encoder alone, and tells no classes", "export it without --encoder-only")
    return Model(file, facts, recipe, layout, frozen(OnnxClassifier(session)))


def read_graph(file: Path) -> tuple[Any, bytes]:
    """The file, parsed and as it is."""
    onnx = library("onnx")
    try:
        data = file.read_bytes()
    except OSError as error:
        what = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise BadInput(file, what, "check the path") from None
    try:
        graph = onnx.load_model_from_string(data)
    except Exception as error:
        if shortage(error):
            raise
        raise BadInput(file, "is no ONNX file, or is damaged", AGAIN) from None
    if not graph.ir_version or not graph.graph.output:
        raise BadInput(file, "is no ONNX file, or is damaged", AGAIN)
    return graph, data


def refuse_others(graph: Any, file: Path) -> None:
    """Raise BadInput where tensors lie in other files: which files are read is not a stranger's to say."""
    for tensor in tensors(graph.graph):
        if tensor.data_location or tensor.external_data:
            raise BadInput(file, "has weights in other files, which are not read", "write it as one file")


def tensors(message: Any) -> Iterator[Any]:
    """All tensors in a graph, whichever part of it they are in."""
    if message.DESCRIPTOR.name == "TensorProto":
        yield message
        return
    for field, value in message.ListFields():
        if field.type != field.TYPE_MESSAGE:
            continue
        for each in value if isinstance(value, list) or hasattr(value, "add") else (value,):
            yield from tensors(each)


def check_beside(file: Path) -> None:
    """Raise BadInput where the file is not the one that its provenance, if that lies beside it, tells of."""
    told = read_json(Path(f"{file}{BESIDE}")).get("digest")
    if told is not None and told != sha256(file):
        remedy = f"{AGAIN}, or remove {file.name}{BESIDE} if you have changed it on purpose"
        raise BadInput(file, "is not as it was exported", remedy)
