"""Which of our graphs a file's encoder works on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
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

    def matrices(self) -> npt.NDArray[np.float32]:
        """The graph itself, (K, V, V)."""
        return adjacency(self.layout, self.partition, self.bones)

    def words(self) -> str:
        """What is not as usual of it, in words; "" for nothing."""
        told = [] if self.partition == "spatial" else [f"partition {self.partition}"]
        told += [f"{len(self.bones)} bones other than {self.layout.name}'s"] if self.bones else []
        return ", ".join(told)


def known_graphs(joints: int) -> Iterator[FoundGraph]:
    """All graphs of so many joints that we can make of the shipped layouts."""
    for layout in (each for each in LAYOUTS.values() if len(each.joints) == joints):
        for bones in ((), *OTHER_BONES.get(layout.name, ())):
            yield from (FoundGraph(layout, partition, bones) for partition in PARTITIONS)


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
    if graph.dim() != 3:
        raise BadInput(path, f"its graph ({name}) has the shape {shape or 'none'}", "give weights of an ST-GCN")
    alike = [each for each in known_graphs(graph.shape[-1]) if same_graph(graph, torch.from_numpy(each.matrices()))]
    for found in alike:
        for layout in (found.layout, shipped(f"{found.layout.name}{CONFIDENCE}")):
            if layout.channels * len(layout.joints) == inputs:
                return FoundGraph(layout, found.partition, found.bones)
    if alike:
        layout = alike[0].layout
        what = f"has a first batch norm of {inputs} channels, and a body of {layout.name} has {layout.channels} a joint"
        raise BadInput(
            path, what, "give weights that take each body by itself, in coordinates or also their confidence"
        )
    same = dict.fromkeys(each.layout.name for each in known_graphs(graph.shape[-1]))
    known = f"; of those joints skelpipe knows {', '.join(same)}, parted as {', '.join(PARTITIONS)}" if same else ""
    what = f"its graph ({name}, {shape}) is none that skelpipe knows{known}"
    remedy = f"give weights of one of the layouts {', '.join(LAYOUTS)}"
    raise BadInput(path, what, remedy)


def same_graph(one: Tensor, other: Tensor) -> bool:
    """Whether two graphs are equal, but for the digits that the type of one of them has not."""
    close = max([1e-6, *(torch.finfo(each.dtype).eps for each in (one, other) if each.is_floating_point())])
    return one.shape == other.shape and bool(torch.allclose(one.double(), other.double(), rtol=close, atol=1e-6))
