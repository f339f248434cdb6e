"""The skeleton graph of ST-GCN: three adjacency matrices, one per partition of a joint's neighbourhood."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from skelpipe.layouts.base import Layout


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
