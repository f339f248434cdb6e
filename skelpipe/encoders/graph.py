"""The skeleton graph of ST-GCN: adjacency matrices, one per part of a joint's neighbourhood. To add one: PARTITIONS."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout

Bones = tuple[tuple[int, int], ...]


def hop_distance(layout: Layout, max_hop: int = 1) -> npt.NDArray[np.float64]:
    """Number of bones between each two joints, inf beyond `max_hop`: (V, V)."""
    joints = len(layout.joints)
    step = np.eye(joints, dtype=bool)
    for v, parent in layout.edges:
        step[v, parent] = step[parent, v] = True
    distance = np.full((joints, joints), np.inf)
    reached = np.eye(joints, dtype=bool)
    distance[reached] = 0
    for hop in range(1, max_hop + 1):
        further = (reached.astype(int) @ step.astype(int) > 0) & ~reached
        distance[further] = hop
        reached |= further
    return distance


def spatial_partitions(layout: Layout) -> npt.NDArray[np.float32]:
    """The "spatial" partition of ST-GCN as its public code computes it: (3, V, V), row = source, column = target.

    Matrix 0 holds the self-loops, matrix 2 the pairs whose source is nearer to the centre than the target, matrix 1
    all other neighbours; an entry is 1 / (neighbours of the target, itself included). Distances to the centre are only
    known up to one hop and every longer one is inf, so most pairs along a limb count as equally far and land in matrix
    1: 40 entries there, and only the 8 pairs around the centre in matrix 2.

    Source: Yan et al., Spatial Temporal Graph Convolutional Networks (AAAI 2018), §3.3, with the behaviour of its
    public code, which every compared system uses unchanged.
    """
    distance = hop_distance(layout)
    neighbour = distance <= 1
    weight = neighbour / neighbour.sum(axis=0, keepdims=True)
    to_centre = distance[:, layout.centre].min(axis=1)
    nearer = neighbour & (to_centre[:, None] < to_centre[None, :])
    own = distance == 0
    return np.stack([weight * own, weight * (neighbour & ~own & ~nearer), weight * nearer]).astype(np.float32)


def distance_partitions(layout: Layout) -> npt.NDArray[np.float32]:
    """ST-GCN's "distance" partition: matrix 0 holds the self-loops, matrix 1 all neighbours: (2, V, V).

    Source: Yan et al., AAAI 2018, §3.3; entries as in `spatial_partitions`.
    """
    own, other, nearer = spatial_partitions(layout)
    return np.stack([own, other + nearer])


def uniform_partitions(layout: Layout) -> npt.NDArray[np.float32]:
    """ST-GCN's "uniform" labelling, a neighbourhood in one part: (1, V, V).

    Source: Yan et al., AAAI 2018, §3.3; entries as in `spatial_partitions`.
    """
    whole: npt.NDArray[np.float32] = spatial_partitions(layout).sum(0, keepdims=True)
    return whole


def inward_outward_partitions(layout: Layout) -> npt.NDArray[np.float32]:
    """2s-AGCN's partition, which follows the bones: (3, V, V), row = source, column = target.

    Matrix 0 holds the self-loops, matrix 1 what a joint takes from its parent, matrix 2 what it takes from its
    children; an entry is 1 / (sources of the target in that matrix).

    Source: the graph in the public code of Shi et al., Two-Stream Adaptive Graph Convolutional Networks (CVPR 2019),
    which Chen et al., Contrastive Learning from Spatio-Temporal Mixed Skeleton Sequences (SkeleMixCLR), puts into
    ST-GCN.
    """
    from_parent = np.zeros((len(layout.joints), len(layout.joints)))
    for v, parent in layout.edges:
        from_parent[parent, v] = 1
    from_children = from_parent.T / np.maximum(from_parent.sum(1), 1)
    return np.stack([np.eye(len(layout.joints)), from_parent, from_children]).astype(np.float32)


PARTITIONS: dict[str, Callable[[Layout], npt.NDArray[np.float32]]] = {
    "spatial": spatial_partitions,
    "distance": distance_partitions,
    "uniform": uniform_partitions,
    "inward_outward": inward_outward_partitions,
}


def adjacency(
    layout: Layout, partition: str = "spatial", bones: Iterable[tuple[int, int]] = ()
) -> npt.NDArray[np.float32]:
    """A graph (K, V, V) by the name of its partition.

    Args:
        bones: (joint, parent) of the bones that it has in place of the layout's.

    Raises:
        BadInput: a bone names a joint that the layout has not.
    """
    return PARTITIONS[partition](with_bones(layout, bones))


def with_bones(layout: Layout, bones: Iterable[tuple[int, int]]) -> Layout:
    """The layout with other parents of some joints, all from 0.

    Raises:
        BadInput: there is no such joint.
    """
    parents = list(layout.parents)
    for joint, parent in bones:
        if not (0 <= joint < len(parents) and 0 <= parent < len(parents)):
            what = f"has no bone from joint {parent} to joint {joint}; its joints are 0 to {len(parents) - 1}"
            raise BadInput(f"layout {layout.name}", what, "correct encoder.bones")
        parents[joint] = parent
    return replace(layout, parents=tuple(parents))
