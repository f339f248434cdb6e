"""ST-GCN in the narrow form that SkeletonCLR, CrosSCLR, AimCLR and CrosNNCLR use: 16, 32, 64 channels, then 256."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from skelpipe.encoders import cpu
from skelpipe.encoders.base import Encoder, Kernel
from skelpipe.encoders.graph import Bones, adjacency
from skelpipe.encoders.plain import traced
from skelpipe.layouts.base import Layout
from skelpipe.settings import Settings

# Bodies are embedded in multiples of so many, and fewer than that in a power of two. If every batch had another size,
# the tensors that one leaves behind would not fit the next, and the memory of a long embedding would grow without end.
BODIES_STEP = 32


class STGCNOptions(Settings):
    """What a recipe may say about the encoder.

    Attributes:
        width: channels of the first four blocks; doubled at blocks 5 and 8.
        features: channels of the last block, which is the size of the feature h.
        time_kernel: frames that one temporal convolution sees (odd).
        dropout: rate after each temporal convolution but the first.
        partition: how a joint's neighbourhood is parted, a key of `graph.PARTITIONS`: "spatial" as in ST-GCN,
            SkeletonCLR and AimCLR; "inward_outward" as in 2s-AGCN and SkeleMixCLR.
        bones: (joint, parent), from 0, of the bones that the graph has in place of the layout's, as PySKL's hangs hand
            tips and thumbs on the hands: [[21, 7], [23, 11]].
    """

    LATER: ClassVar[tuple[str, ...]] = ("partition", "bones")

    name: Literal["stgcn"] = "stgcn"
    width: PositiveInt = 16
    features: PositiveInt = 256
    time_kernel: Kernel = 9
    dropout: float = Field(0.5, ge=0, lt=1)
    partition: Literal["spatial", "distance", "uniform", "inward_outward"] = "spatial"
    bones: Bones = ()


class Dropout(nn.Module):
    """Dropout whose mask costs one random byte per element on a CPU.

    torch draws a 53-bit number per element there, which took an eighth of a whole training step; a byte is exact
    whenever the rate is a multiple of 1/256, as 0.5 is. Other rates and devices, and graphs, use torch's own.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        threshold = self.rate * 256
        if x.device.type != "cpu" or traced() or threshold != int(threshold) or threshold > 255:
            return nn.functional.dropout(x, self.rate)
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= int(threshold)
        return x * kept.to(x.dtype).div_(1 - self.rate)


class SpatialGraphConv(nn.Module):
    """Mix joints along the graph, one 1×1 convolution per partition: (B, C_in, T, V) -> (B, C_out, T, V).

    y[w] = Σ_k Σ_v A_k[v, w] (W_k x[v] + b_k). Mixing comes first here and the convolution second, which is the same sum
    and costs less where a block widens.
    """

    def __init__(self, channels_in: int, channels_out: int, partitions: int) -> None:
        super().__init__()
        self.partitions, self.channels_out = partitions, channels_out
        self.conv = nn.Conv2d(channels_in, partitions * channels_out, 1)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        batch, channels, frames, joints = x.shape
        mixed = torch.matmul(x.reshape(-1, joints), adjacency.permute(1, 0, 2).flatten(1))
        mixed = mixed.view(batch, channels * frames, self.partitions, joints).transpose(1, 2)
        mixed = mixed.reshape(batch, self.partitions * channels, frames, joints)
        weight = self.conv.weight.view(self.partitions, self.channels_out, -1).transpose(0, 1)
        y = nn.functional.conv2d(mixed, weight.reshape(self.channels_out, -1, 1, 1))
        assert self.conv.bias is not None
        bias = self.conv.bias.view(self.partitions, self.channels_out).t() @ adjacency.sum(1)
        return y + bias.to(y.dtype)[None, :, None, :]

    def fused(self, x: Tensor, adjacency: Tensor, graph: cpu.Graph) -> Tensor:
        """The same on a CPU: (T, B·M, V, C_in) -> (T, B·M, V, C_out)."""
        weight = self.conv.weight.view(self.partitions, self.channels_out, -1).transpose(1, 2).flatten(0, 1)
        assert self.conv.bias is not None
        # No matrix product: one so small is summed in another order on other numbers of threads.
        bias = (adjacency.sum(1).t()[:, :, None] * self.conv.bias.view(self.partitions, self.channels_out)).sum(1)
        return cpu.graph_conv(x, adjacency, weight, bias, graph)


class STGCNBlock(nn.Module):
    """Graph convolution, BN, ReLU, temporal convolution, BN, dropout, plus the residual, ReLU."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        partitions: int,
        time_kernel: int,
        stride: int,
        dropout: float,
        residual: bool,
    ) -> None:
        super().__init__()
        self.spatial = SpatialGraphConv(channels_in, channels_out, partitions)
        self.spatial_norm = nn.BatchNorm2d(channels_out)
        self.temporal = nn.Conv2d(
            channels_out, channels_out, (time_kernel, 1), (stride, 1), padding=((time_kernel - 1) // 2, 0)
        )
        self.temporal_norm = nn.BatchNorm2d(channels_out)
        self.dropout = Dropout(dropout)
        self.residual: nn.Module | None = None
        if residual and (channels_in != channels_out or stride != 1):
            shortcut = nn.Conv2d(channels_in, channels_out, 1, (stride, 1))
            self.residual = nn.Sequential(shortcut, nn.BatchNorm2d(channels_out))
        elif residual:
            self.residual = nn.Identity()

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        y = torch.relu_(self.spatial_norm(self.spatial(x, adjacency)))
        y = self.dropout(self.temporal_norm(self.temporal(y)))
        if self.residual is not None:
            y = y + self.residual(x)
        return torch.relu_(y)

    def fused(self, x: Tensor, adjacency: Tensor, graph: cpu.Graph) -> Tensor:
        """The same on a CPU: (T, B·M, V, C_in) -> (T_out, B·M, V, C_out)."""
        y = cpu.norm_relu_conv(self.spatial.fused(x, adjacency, graph), self.spatial_norm, self.temporal)
        if self.residual is None:
            return cpu.norm_relu(y, self.temporal_norm)
        if isinstance(self.residual, nn.Sequential):
            x = cpu.shortcut(x, *self.residual)
        return cpu.norm_drop_add_relu(y, x, self.temporal_norm, self.dropout.rate if self.training else 0.0)


class STGCN(Encoder):
    """Ten blocks over the skeleton graph; average over frames, joints and bodies: (B, C, T, V, M) -> (B, features).

    An absent body takes part in the average, as in the reference.

    Source: Yan et al., AAAI 2018; widths of Li et al., 3D Human Action Representation Learning via Cross-View
    Consistency Pursuit (CVPR 2021), as its public code has them.
    """

    Options = STGCNOptions

    def __init__(self, layout: Layout, options: STGCNOptions) -> None:
        super().__init__()
        channels = layout.channels
        graph = torch.from_numpy(adjacency(layout, options.partition, options.bones))
        self.adjacency: Tensor
        self.register_buffer("adjacency", graph, persistent=False)
        partitions, joints, _ = graph.shape
        w = options.width
        widths = [channels, w, w, w, w, 2 * w, 2 * w, 2 * w, 4 * w, 4 * w, options.features]
        self.features = options.features
        self.input_norm = nn.BatchNorm1d(channels * joints)
        self.blocks = nn.ModuleList(
            STGCNBlock(
                channels_in,
                channels_out,
                partitions,
                options.time_kernel,
                stride=2 if number in (5, 8) else 1,
                dropout=0.0 if number == 1 else options.dropout,
                residual=number != 1,
            )
            for number, (channels_in, channels_out) in enumerate(pairwise(widths), start=1)
        )
        self.graph = cpu.Graph(graph)
        self.edge_importance = nn.ParameterList(nn.Parameter(torch.ones_like(graph)) for _ in self.blocks)
        self.absent: dict[tuple[int, torch.device], Tensor] | None = None

    def feature_map(self, x: Tensor) -> Tensor:
        """The last block's output, bodies apart: (B, C, T, V, M) -> (B·M, features, T', V)."""
        if cpu.usable(x, self.input_norm):
            return self.fused(x).permute(1, 3, 0, 2)
        batch, channels, frames, joints, bodies = x.shape
        # Joint-major channels (index = joint·C + c) for the input norm, as the reference has them.
        x = x.permute(0, 4, 3, 1, 2).reshape(batch * bodies, joints * channels, frames)
        x = self.input_norm(x).view(batch * bodies, joints, channels, frames).permute(0, 2, 3, 1).contiguous()
        for block, importance in zip(self.blocks, self.edge_importance, strict=True):
            x = block(x, self.adjacency * importance)
        return x

    def fused(self, x: Tensor) -> Tensor:
        """The same on a CPU: (B, C, T, V, M) -> (T', B·M, V, features)."""
        batch, channels, frames, joints, bodies = x.shape
        x = x.permute(2, 0, 4, 3, 1).reshape(-1, joints * channels)
        x = cpu.norm(x, self.input_norm).view(frames, batch * bodies, joints, channels).to(cpu.arithmetic())
        for block, importance in zip(self.blocks, self.edge_importance, strict=True):
            x = block.fused(x, self.adjacency * importance, self.graph)  # type: ignore[operator]
        return x

    def pool(self, feature_map: Tensor, batch: int) -> Tensor:
        """Average over frames and joints, then over bodies: (B·M, features, T', V) -> (B, features)."""
        return feature_map.mean(dim=(2, 3), dtype=torch.float32).view(batch, -1, self.features).mean(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        if traced() or self.training or torch.is_grad_enabled():
            return self.pool(self.feature_map(x), x.shape[0])
        return self.frozen(x)

    def frozen(self, x: Tensor) -> Tensor:
        """The same in eval mode, where a body's feature depends on no other: all absent bodies share one, exactly."""
        batch, channels, frames, joints, bodies = x.shape
        x = x.permute(0, 4, 1, 2, 3).reshape(batch * bodies, channels, frames, joints)
        present = x.flatten(1).any(dim=1)
        count = int(present.sum())
        nobody = self.nobody(x) if self.absent is not None and count < len(x) else None
        places = count if nobody is not None or count == len(x) else count + 1
        some = x.new_zeros(room(places), channels, frames, joints)
        some[:count] = x[present]
        features = self.bodies(some) if places else some.new_zeros(0, self.features)
        h = (features[-1:] if nobody is None else nobody).repeat(batch * bodies, 1)  # the last place is of no body
        h[present] = features[:count]
        return h.view(batch, bodies, -1).mean(dim=1)

    def nobody(self, x: Tensor) -> Tensor:
        """The feature of an absent body of clips as long as x (B, C, T, V), by settled weights: (1, features)."""
        assert self.absent is not None
        key = x.shape[2], x.device
        if key not in self.absent:
            self.absent[key] = self.bodies(torch.zeros_like(x[:1]))
        return self.absent[key]

    def bodies(self, x: Tensor) -> Tensor:
        """A feature for each body: (B, C, T, V) -> (B, features)."""
        return self.feature_map(x.unsqueeze(-1)).mean(dim=(2, 3), dtype=torch.float32)

    def settle(self) -> None:
        """Take the weights for final: what follows from them, as an absent body's feature, is then computed once."""
        self.absent = {}
        for block in self.blocks:
            cpu.settle(block.temporal)  # type: ignore[arg-type]


def room(bodies: int) -> int:
    """In how many places so many bodies are embedded; see BODIES_STEP."""
    step = min(BODIES_STEP, 1 << (bodies - 1).bit_length()) if bodies else 1
    return -(-bodies // step) * step
