"""Networks of this field that are none of ours, told by names that only their public code gives. To add one: a line."""

from __future__ import annotations

import re
from collections.abc import Iterable

# The first of which every pattern is found names the network.
NETWORKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("DSTA-Net", (r"graph_layers\.0\.(in_net|ff_net|out_net)",)),
    ("MAMP's or SkeletonMAE's transformer", (r"joints_embed\.proj\.", r"blocks\.0\.attn\.")),
    ("SGN", (r"joint_embed\.", r"dif_embed\.", r"compute_g1\.")),
    ("HCN", (r"conv2m\.weight", r"conv6\.0\.")),
    ("Shift-GCN", (r"\.Linear_weight$", r"\.Feature_Mask$")),
    ("MS-G3D", (r"gcn3d1\.", r"sgcn1\.")),
    ("InfoGCN", (r"to_joint_embedding\.", r"fc_logvar\.")),
    ("HD-GCN", (r"l1\.gcn1\.", r"\.aha\.")),
    ("CTR-GCN", (r"(l1|net\.0)\.gcn1\.convs\.0\.conv4\.",)),
    ("DG-STGCN", (r"gcn\.0\.gcn\.(pre|post)\.", r"gcn\.0\.gcn\.alpha")),
    ("2s-AGCN with attention (AAGCN)", (r"gcn1?\.conv_a\.0\.", r"gcn1?\.conv_ta\.")),
    ("2s-AGCN", (r"gcn1?\.conv_a\.0\.", r"gcn1?\.conv_d\.0\.")),
    ("CTR-GCN's baseline GCN", (r"l1\.gcn1\.conv_d\.0\.", r"l1\.tcn1\.")),
    ("ST-GCN++", (r"gcn\.0\.gcn\.A$", r"gcn\.0\.tcn\.branches\.")),
    (
        "STGCN of PySKL whose graph is learnt or comes before the convolution",
        (r"gcn\.0\.gcn\.A$", r"gcn\.0\.gcn\.bn\."),
    ),
    ("BiGRU, as in CMD, ISC and PCM³", (r"encoder\.gru\.weight_ih_l0_reverse$",)),
    ("GRU", (r"(^|\.)\w*gru\w*\.weight_ih_l0$",)),
    ("LSTM", (r"(^|\.)\w*lstm\w*\.weight_ih_l0$",)),
    ("recurrent network", (r"weight_ih(_l0)?$",)),
    ("3D convolutional network of PySKL or MMAction2 (PoseConv3D)", (r"backbone\.layer1\.0\.conv1\.conv\.",)),
    ("ResNet", (r"(^|\.)layer1\.0\.conv1\.weight$",)),
    ("transformer", (r"(attn|attention)\.(qkv|in_proj|proj|to_qkv)",)),
)


def name_network(names: Iterable[str]) -> str | None:
    """The network whose state dict has these names, if it is one that is known here."""
    there = list(names)
    for network, patterns in NETWORKS:
        if all(any(re.search(pattern, name) for name in there) for pattern in patterns):
            return network
    return None
