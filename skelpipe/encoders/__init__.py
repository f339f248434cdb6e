"""Encoders: clip -> feature. To add one: a file here with an `Encoder` and its `Options`, and a line in ENCODERS."""

from __future__ import annotations

from skelpipe.encoders.agcn import AGCN
from skelpipe.encoders.base import Encoder
from skelpipe.encoders.coordinates import Coordinates
from skelpipe.encoders.dgcnn import DGCNN
from skelpipe.encoders.hcn import HCN
from skelpipe.encoders.part_aware import PartAware
from skelpipe.encoders.recurrent import Recurrent
from skelpipe.encoders.stgcn import STGCN
from skelpipe.encoders.temporal import Temporal
from skelpipe.encoders.view_adaptive import ViewAdaptive
from skelpipe.resources import Registry

ENCODERS: Registry[type[Encoder]] = Registry(
    "encoders",
    {
        "stgcn": STGCN,
        "recurrent": Recurrent,
        "temporal": Temporal,
        "coordinates": Coordinates,
        "agcn": AGCN,
        "hcn": HCN,
        "dgcnn": DGCNN,
        "part_aware": PartAware,
        "view_adaptive": ViewAdaptive,
    },
)
