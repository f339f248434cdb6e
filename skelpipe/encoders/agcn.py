"""A-GCN: a graph network whose every layer has a graph of its own beside the skeleton's, and one of each clip.

Source: Shi et al., Two-Stream Adaptive Graph Convolutional Networks for Skeleton-Based Action Recognition (CVPR 2019),
whose public code Thoker et al., Skeleton-Contrastive 3D Action Representation Learning (ACM MM 2021), takes as it is.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from skelpipe.encoders import cpu
from skelpipe.encoders.base import Encoder, Kernel
from skelpipe.encoders.graph import adjacency
from skelpipe.layouts.base import Layout
from skelpipe.settings import Settings

NEARLY_NOTHING = 1e-6  # of a learnt graph, and of a graph convolution beside what goes past it, at the start
CHANNELS_LAST = torch.channels_last


class AGCNOptions(Settings):
    """What a recipe may say about the encoder.

    Attributes:
        width: channels of the first four blocks; doubled at blocks 5 and 8, so that a feature has 4 · width numbers.
        time_kernel: frames that one temporal convolution sees (odd).
        relation: by which share of a layer's channels joints are likened to each other: 1 of so many.
    """

    name: Literal["agcn"] = "agcn"
    width: PositiveInt = 64
    time_kernel: Kernel = 9
    relation: PositiveInt = 4


class AdaptiveGraphConv(nn.Module):
    """Mix joints along three graphs, each with a 1×1 convolution: (B, C_in, V, T) -> (B, C_out, V, T).

    y[w] = Σ_k W_k Σ_v (A_k + P_k + R_k)[v, w] x[v] + b_k, where A is the skeleton's graph, P is learnt, and R is of the
    clip: R_k[v, w] = softmax over v of θ_k(x[v]) · φ_k(x[w]) / size, the products summed over channels and frames, and
    `size` the number of terms.

    Source: Shi et al., Eqs. 3 and 4; the division by `size` is that of their public code.
    """

    def __init__(self, channels_in: int, channels_out: int, graphs: int, joints: int, relation: int) -> None:
        super().__init__()
        self.graphs, self.channels_out = graphs, channels_out
        self.embedded = max(1, channels_out // relation)
        self.learnt = nn.Parameter(torch.full((graphs, joints, joints), NEARLY_NOTHING))
        self.embedding = nn.Conv2d(channels_in, 2 * graphs * self.embedded, 1)  # all θ, then all φ
        self.conv = nn.Conv2d(channels_in, graphs * channels_out, 1)

    @torch.no_grad()
    def start(self) -> None:
        """Draw the weights as the authors do."""
        self.learnt.fill_(NEARLY_NOTHING)
        nn.init.normal_(self.embedding.weight, 0.0, math.sqrt(2 / self.embedded))
        nn.init.normal_(self.conv.weight, 0.0, math.sqrt(2 / self.conv.weight.numel()))
        for conv in (self.embedding, self.conv):
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        batch, channels, joints, frames = x.shape
        # A row for each graph and target, a column for each source.
        mixing = (adjacency + self.learnt + self.relation(x)).transpose(2, 3).flatten(1, 2)
        mixed = torch.bmm(mixing, x.permute(0, 2, 3, 1).reshape(batch, joints, -1))
        # The sum over graphs is that of a convolution, of pictures as high as there are graphs.
        mixed = mixed.view(batch, self.graphs, joints * frames, channels).permute(0, 3, 1, 2)
        weight = self.conv.weight.view(self.graphs, self.channels_out, -1).permute(1, 2, 0).unsqueeze(3)
        assert self.conv.bias is not None
        y = nn.functional.conv2d(mixed, weight, self.conv.bias.view(self.graphs, -1).sum(0))
        return y.view(batch, self.channels_out, joints, frames)

    def relation(self, x: Tensor) -> Tensor:
        """R: (B, C_in, V, T) -> (B, K, V, V), row = source, column = target."""
        batch, _, joints, frames = x.shape
        embedded = self.embedding(x).view(batch, 2, self.graphs, self.embedded, joints, frames)
        theta, phi = embedded.permute(1, 0, 2, 4, 5, 3).reshape(2, batch * self.graphs, joints, -1).unbind(0)
        alike = torch.bmm(theta, phi.transpose(1, 2)) / theta.shape[2]
        return torch.softmax(alike, dim=1).view(batch, self.graphs, joints, joints)


class Shortcut(nn.Module):
    """A 1×1 convolution of every n-th frame, and BN: (B, C_in, V, T) -> (B, C_out, V, T / stride, rounded up).

    The convolution itself has no stride: the gradient of its weights, of a few channels that stand last in memory,
    would be written beyond its end by oneDNN 3.12.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv, self.norm = nn.Conv2d(channels_in, channels_out, 1), nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x if self.stride == 1 else x[..., :: self.stride]))
        return y


def shortcut(channels_in: int, channels_out: int, stride: int = 1) -> Shortcut | None:
    """A convolution past what a block does, or None where nothing changes."""
    return None if channels_in == channels_out and stride == 1 else Shortcut(channels_in, channels_out, stride)


class AGCNBlock(nn.Module):
    """Graph convolution, BN, plus what goes past it, ReLU; temporal convolution, BN, plus the residual, ReLU.

    (B, C_in, V, T) -> (B, C_out, V, T / stride, rounded up), in memory with the channels last.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        graphs: int,
        joints: int,
        options: AGCNOptions,
        stride: int,
        residual: bool,
    ) -> None:
        super().__init__()
        self.spatial = AdaptiveGraphConv(channels_in, channels_out, graphs, joints, options.relation)
        self.spatial_norm = nn.BatchNorm2d(channels_out)
        self.past = shortcut(channels_in, channels_out)
        kernel = options.time_kernel
        self.temporal = nn.Conv2d(channels_out, channels_out, (1, kernel), (1, stride), padding=(0, kernel // 2))
        self.temporal_norm = nn.BatchNorm2d(channels_out)
        self.has_residual = residual
        self.residual = shortcut(channels_in, channels_out, stride) if residual else None

    @torch.no_grad()
    def start(self) -> None:
        """Draw the weights as the authors do; those of the graph convolution are drawn there."""
        nn.init.constant_(self.spatial_norm.weight, NEARLY_NOTHING)
        for conv in (self.temporal, *(each.conv for each in (self.past, self.residual) if each is not None)):
            assert conv.bias is not None
            nn.init.kaiming_normal_(conv.weight, mode="fan_out")
            nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor, adjacency: Tensor, fused: bool) -> Tensor:
        add_relu = fused_norm_add_relu if fused else norm_add_relu
        past = x if self.past is None else self.past(x)
        y = add_relu(self.spatial(x, adjacency), past, self.spatial_norm)
        past = None if not self.has_residual else x if self.residual is None else self.residual(x)
        return add_relu(self.temporal(y), past, self.temporal_norm)


def norm_add_relu(x: Tensor, past: Tensor | None, norm: nn.BatchNorm2d) -> Tensor:
    """max(0, BN(x) + past): (B, C, V, T) -> the same."""
    return torch.relu(norm(x) if past is None else norm(x) + past)


def fused_norm_add_relu(x: Tensor, past: Tensor | None, norm: nn.BatchNorm2d) -> Tensor:
    """The same on a CPU, in as few passes as can be."""
    x = x.permute(0, 2, 3, 1).contiguous()
    if past is None:
        return cpu.norm_relu(x, norm).permute(0, 3, 1, 2)
    return cpu.norm_add_relu(x, past.permute(0, 2, 3, 1).contiguous(), norm).permute(0, 3, 1, 2)


class AGCN(Encoder):
    """Ten blocks; average over frames, joints and bodies: (B, C, T, V, M) -> (B, 4 · width).

    The norm of the input has a channel for each number of a frame, of all its bodies; an absent body, and frames that a
    clip was filled up with, take part in the average.

    Source: see the module.
    """

    Options = AGCNOptions
    SIDE_BY_SIDE = True

    def __init__(self, layout: Layout, options: AGCNOptions, bodies: int) -> None:
        super().__init__()
        graph = torch.from_numpy(adjacency(layout, "inward_outward"))
        self.adjacency: Tensor
        self.register_buffer("adjacency", graph, persistent=False)
        channels, joints, w = layout.channels, len(layout.joints), options.width
        self.features = 4 * w
        self.input_norm = nn.BatchNorm1d(bodies * joints * channels)
        widths = [channels, *[w] * 4, *[2 * w] * 3, *[4 * w] * 3]
        self.blocks = nn.ModuleList(
            AGCNBlock(
                channels_in,
                channels_out,
                len(graph),
                joints,
                options,
                stride=2 if number in (5, 8) else 1,
                residual=number != 1,
            )
            for number, (channels_in, channels_out) in enumerate(pairwise(widths), start=1)
        )

    def start_head(self, layer: nn.Linear) -> None:
        """Draw the last layer behind a feature as the authors do: N(0, 2 / outputs)."""
        nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / layer.out_features))

    def feature_map(self, x: Tensor) -> Tensor:
        """The last block's output, bodies apart: (B, C, T, V, M) -> (B·M, features, T', V)."""
        batch, channels, frames, joints, bodies = x.shape
        # The order of the norm's channels, m·V·C + v·C + c, is the public code's.
        x = self.input_norm(x.permute(0, 4, 3, 1, 2).reshape(batch, bodies * joints * channels, frames))
        # In bfloat16 only norms would be fused, between products that are not.
        fused = cpu.usable(x, self.input_norm) and cpu.arithmetic() == torch.float32
        # Joints before frames, channels last: so mixing joints is one matrix product a body.
        x = x.view(batch * bodies, joints, channels, frames).transpose(1, 2).contiguous(memory_format=CHANNELS_LAST)
        for block in self.blocks:
            x = block(x, self.adjacency, fused)
        return x.transpose(2, 3)

    def pool(self, feature_map: Tensor, batch: int) -> Tensor:
        """Average over frames and joints, then over bodies: (B·M, features, T', V) -> (B, features)."""
        return feature_map.mean(dim=(2, 3)).view(batch, -1, self.features).mean(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.feature_map(x), x.shape[0])
