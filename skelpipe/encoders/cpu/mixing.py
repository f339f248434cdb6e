"""The graph convolution: joints mixed along the graph, then channels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.autograd import Function

from skelpipe.encoders.cpu import rowwise
from skelpipe.encoders.cpu.blocks import in_turn
from skelpipe.encoders.cpu.norms import Rows, each_chunk, empty, values
from skelpipe.encoders.cpu.products import product
from skelpipe.parallel import map_slices

Places = npt.NDArray[np.int64]
BLOCK = 2**20  # mixed values made at a time: what a core's cache still holds when they are multiplied


class Graph:
    """Where a graph's adjacency (K, V, V) is not zero, sorted by target and by source.

    The weights there are learned, the places are not.
    """

    def __init__(self, adjacency: Tensor) -> None:
        self.partitions, self.joints, _ = adjacency.shape
        part, source, target = adjacency.nonzero(as_tuple=True)
        row = target * self.partitions + part  # a target's partitions lie side by side
        self.forward = self.sorted(row, source, self.joints * self.partitions)
        self.backward = self.sorted(source, row, self.joints)
        self.places = (part, source, target)
        self.entries = (source.numpy(), row.numpy())

    @staticmethod
    def sorted(to: Tensor, come_from: Tensor, count: int) -> tuple[Tensor, Places, Places]:
        """The entries' order, where each row of the result starts among them, and what each reads."""
        order = torch.argsort(to, stable=True)
        starts = torch.searchsorted(to[order], torch.arange(count + 1))
        return order, starts.numpy(), come_from[order].numpy()

    def blocks(self, count: int, channels: int) -> Iterator[tuple[int, int]]:
        """Slices of `count` skeletons, whole chunks of them, whatever the threads."""
        step = BLOCK // (self.partitions * self.joints * channels) // rowwise.CHUNK * rowwise.CHUNK
        step = max(rowwise.CHUNK, step)
        for first in range(0, count, step):
            yield first, min(first + step, count)


def graph_conv(x: Tensor, adjacency: Tensor, weight: Tensor, bias: Tensor, graph: Graph) -> Tensor:
    """The neighbours' weighted channels, partition by partition, times a matrix: (T, B·M, V, C_in) -> (…, C_out).

    Args:
        adjacency: (K, V, V), row = source, column = target; zero wherever `graph` has no place.
        weight: (K·C_in, C_out).
        bias: (V, C_out), added to each joint.
    """
    return GraphConv.apply(x, adjacency, weight, bias, graph)  # type: ignore[no-any-return, no-untyped-call]


class GraphConv(Function):
    """See `graph_conv`. The mixed channels, K times as large as x, exist block by block only, in both passes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, adjacency: Tensor, weight: Tensor, bias: Tensor, graph: Graph) -> Tensor:
        source, entries = skeletons(x, graph), adjacency.detach()[graph.places]
        y, matrix, added = empty(x, *x.shape[:-1], weight.shape[1]), weight.to(x.dtype), bias.to(x.dtype).flatten()
        target = y.view(len(source), -1)

        def block(first: int, last: int) -> None:
            mixed = gather(source[first:last], graph.forward, entries)
            sums = product(mixed.view(-1, len(weight)), matrix.t())
            torch.add(sums.view(last - first, -1), added, out=target[first:last])

        for _ in in_turn(block, graph.blocks(len(source), x.shape[-1])):
            pass
        ctx.save_for_backward(x, entries, weight)
        ctx.graph = graph
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        x, entries, weight = ctx.saved_tensors
        graph: Graph = ctx.graph
        source, g = skeletons(x, graph), grad.contiguous().view(-1, graph.joints, grad.shape[-1])
        past, of_weight, matrix = empty(x, *x.shape), torch.zeros_like(weight), weight.to(x.dtype)
        each = np.empty((rowwise.chunks(len(source)), len(entries)), np.float32)

        def block(first: int, last: int) -> Tensor:
            here, rows = source[first:last], g[first:last].view(-1, grad.shape[-1])
            mixed = gather(here, graph.forward, entries).view(-1, len(weight))
            part = product(rows.t(), mixed.t())
            mixed = product(rows, matrix).view(len(here), -1, x.shape[-1])
            gather(mixed, graph.backward, entries, out=skeletons(past, graph)[first:last])
            of_entries(here, mixed, graph, each[first // rowwise.CHUNK :])
            return part

        for part in in_turn(block, graph.blocks(len(source), x.shape[-1])):
            of_weight.add_(part.t())
        of_adjacency = torch.zeros(graph.partitions, graph.joints, graph.joints)
        of_adjacency[graph.places] = torch.from_numpy(each.sum(0, dtype=np.float64)).float()
        return past, of_adjacency, of_weight, g.sum(0, dtype=torch.float32), None


def skeletons(x: Tensor, graph: Graph) -> Tensor:
    """(T, B·M, V, C) as (T·B·M, V, C)."""
    return x.detach().view(-1, graph.joints, x.shape[-1])


def gather(x: Tensor, to: tuple[Tensor, Places, Places], entries: Tensor, out: Tensor | None = None) -> Tensor:
    """Add up the weighted joints that each row takes: (N, V, C) -> (N, rows, C)."""
    order, starts, sources = to
    weights = entries[order].numpy()
    found = empty(x, len(x), len(starts) - 1, x.shape[2]) if out is None else out
    source, target = values(x), values(found)
    map_slices(
        lambda a, b: rowwise.gather_joints(source, starts, sources, weights, target, a, b),
        len(x), torch.get_num_threads(), least=64,
    )  # fmt: skip
    return found


def of_entries(x: Tensor, grad: Tensor, graph: Graph, sums: Rows) -> None:
    """Write what chunks of skeletons add to the gradient of each entry, from that of what it was mixed to."""
    source, g = values(x), values(grad)
    each_chunk(lambda a, b: rowwise.entry_gradients(source, g, *graph.entries, sums, a, b), len(x))
