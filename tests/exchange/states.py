"""State dicts of the reference family, spelt out by hand, and what their networks compute."""

from __future__ import annotations

import torch
from torch.nn import functional

from skelpipe.encoders.graph import spatial_partitions
from skelpipe.layouts.kinect_v2 import KINECT_V2

SPATIAL = torch.from_numpy(spatial_partitions(KINECT_V2))


def batch_norm(state, name, size, rng):
    state[f"{name}.weight"], state[f"{name}.bias"] = rng(size), rng(size)
    state[f"{name}.running_mean"], state[f"{name}.running_var"] = rng(size), rng(size).abs() + 0.5


def reference_encoder(prefix, head, seed=0, width=2, features=6, hidden=5, size=4, graph=SPATIAL):
    """An encoder as the public code lays it out, spelt out here by hand; no num_batches_tracked, as old torch saved."""
    generator = torch.Generator().manual_seed(seed)

    def rng(*shape):
        return torch.randn(*shape, generator=generator) * 0.3

    state, k = {"A": graph.clone()}, len(graph)
    batch_norm(state, "data_bn", 75, rng)
    widths = [3, *[width] * 4, *[2 * width] * 3, *[4 * width] * 2, features]
    for i in range(10):
        block, c_in, c_out = f"st_gcn_networks.{i}", widths[i], widths[i + 1]
        state[f"{block}.gcn.conv.weight"], state[f"{block}.gcn.conv.bias"] = rng(k * c_out, c_in, 1, 1), rng(k * c_out)
        batch_norm(state, f"{block}.tcn.0", c_out, rng)
        state[f"{block}.tcn.2.weight"], state[f"{block}.tcn.2.bias"] = rng(c_out, c_out, 3, 1), rng(c_out)
        batch_norm(state, f"{block}.tcn.3", c_out, rng)
        if i in (4, 7, 9):
            state[f"{block}.residual.0.weight"], state[f"{block}.residual.0.bias"] = rng(c_out, c_in, 1, 1), rng(c_out)
            batch_norm(state, f"{block}.residual.1", c_out, rng)
        state[f"edge_importance.{i}"] = 1 + rng(k, 25, 25)
    heads = {
        "pretext": {"fc.0": (hidden, features), "fc.2": (size, hidden)},
        "classifier": {"fc": (60, features)},
        "shared": {"fc.0": (features, features), "fc.2.0": (hidden, features), "fc.2.2": (size, hidden)},
    }
    for name, shape in heads[head].items():
        state[f"{name}.weight"], state[f"{name}.bias"] = rng(*shape), rng(shape[0])
    return {f"{prefix}.{name}": value for name, value in state.items()}


def reference_file(suffix="", head="pretext", seed=0):
    """Query, key and queue of one stream."""
    both = [reference_encoder(f"encoder_{w}{suffix}", head, seed + i) for i, w in enumerate("qk")]
    queue = torch.nn.functional.normalize(torch.randn(4, 48, generator=torch.Generator().manual_seed(seed)), dim=0)
    return both[0] | both[1] | {f"queue{suffix}": queue, f"queue_ptr{suffix}": torch.tensor([16])}


def saved(state, path):
    torch.save(state, path)
    return path


def features_of(state, x):
    """The features of clips x (N, C, T, V, M) by an encoder's tensors without prefix, one plain operation at a time."""

    def norm(x, name):
        part = {key: state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")}
        return functional.batch_norm(x, **part, training=False)

    n, c, t, v, m = x.shape
    y = norm(x.permute(0, 4, 3, 1, 2).reshape(n * m, v * c, t), "data_bn")
    y = y.view(n * m, v, c, t).permute(0, 2, 3, 1)
    for i in range(10):
        block = f"st_gcn_networks.{i}"
        graph = state["A"] * state.get(f"edge_importance.{i}", torch.ones(()))
        z = functional.conv2d(y, state[f"{block}.gcn.conv.weight"], state[f"{block}.gcn.conv.bias"])
        z = torch.einsum("nkctv,kvw->nctw", z.view(n * m, len(graph), -1, *z.shape[2:]), graph)
        z = functional.relu(norm(z, f"{block}.tcn.0"))
        weight = state[f"{block}.tcn.2.weight"]
        stride, pad = (2 if i in (4, 7) else 1, 1), (weight.shape[2] // 2, 0)
        z = norm(functional.conv2d(z, weight, state[f"{block}.tcn.2.bias"], stride, pad), f"{block}.tcn.3")
        if f"{block}.residual.0.weight" in state:
            shortcut = [state[f"{block}.residual.0.{name}"] for name in ("weight", "bias")]
            y = norm(functional.conv2d(y, *shortcut, stride), f"{block}.residual.1")
        y = functional.relu(z + y if i else z)
    return y.mean((2, 3)).view(n, m, -1).mean(1)
