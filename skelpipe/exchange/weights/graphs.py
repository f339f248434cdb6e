"""Which of our graphs a file's encoder works on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from skelpipe.encoders.graph import PARTITIONS, Bones, adjacency
from skelpipe.errors import BadInput
from skelpipe.layouts import LAYOUTS, shipped
from skelpipe.layouts.base import Layout
from skelpipe.layouts.table import CONFIDENCE

# Bones of other projects' graphs of a layout, beside its own: PySKL hangs tips and thumbs on the hands.
OTHER_BONES: dict[str, tuple[Bones, ...]] = {"kinect_v2": (((21, 7), (23, 11)),)}


@dataclass(frozen=True)
class FoundGraph:
    """A graph as `encoders.graph.adjacency` makes it."""

    layout: Layout
    partition: str = "spatial"
    bones: Bones = ()

    @property
    def options(self) -> dict[str, object]:
        """What an encoder's options say of it."""
        return {"partition": self.partition, "bones": [list(bone) for bone in self.bones]}

    def words(self) -> str:
        """What is not as usual of it, in words; "" for nothing."""
        told = [] if self.partition == "spatial" else [f"partition {self.partition}"]
        told += [f"{len(self.bones)} bones other than {self.layout.name}'s"] if self.bones else []
        return ", ".join(told)


def find_graph(graph: Tensor | None, inputs: int, name: str, path: Path) -> FoundGraph:
    """The layout, partition and bones that give a file's graph.

    Args:
        graph: (K, V, V).
        inputs: C·V, the channels of the first batch norm, which tell whether joints have a confidence.
        name: of the graph in the file.

    Raises:
        BadInput: there is none, or it is of another skeleton or partition.
    """
    if graph is None:
        what = f"has no graph ({name}), and without it nobody knows how its joints hang together"
        raise BadInput(path, what, "save the whole state dict, with its buffers")
    shape = "×".join(map(str, graph.shape))
    # What a type of few digits has rounded is still the same graph.
    close = max(1e-6, torch.finfo(graph.dtype).eps) if graph.is_floating_point() else 0.0
    theirs, alike = graph.double().numpy(), []
    for layout in LAYOUTS.values():
        if graph.dim() != 3 or graph.shape[1:] != (len(layout.joints),) * 2:
            continue
        for bones in ((), *OTHER_BONES.get(layout.name, ())):
            for partition in PARTITIONS:
                ours = adjacency(layout, partition, bones)
                if ours.shape == theirs.shape and np.allclose(theirs, ours, rtol=close, atol=1e-6):
                    alike.append(FoundGraph(layout, partition, bones))
    for found in alike:
        for layout in (found.layout, shipped(f"{found.layout.name}{CONFIDENCE}")):
            if layout.channels * len(layout.joints) == inputs:
                return FoundGraph(layout, found.partition, found.bones)
    if alike:
        what = f"reads {inputs} numbers a body and frame, which are no channels of {alike[0].layout.name}'s joints"
        raise BadInput(path, what, "give weights of one body's coordinates, or coordinates and confidence")
    same = [layout.name for layout in LAYOUTS.values() if graph.dim() == 3 and graph.shape[-1] == len(layout.joints)]
    known = f"; of those joints skelpipe knows {', '.join(same)}, parted as {', '.join(PARTITIONS)}" if same else ""
    what = f"its graph ({name}, {shape}) is none that skelpipe knows{known}"
    remedy = f"give weights of one of the layouts {', '.join(LAYOUTS)}"
    raise BadInput(path, what, remedy)
