"""Encoders: clip -> feature. To add one: a file here with an `Encoder` and its `Options`, and a line in ENCODERS."""

from __future__ import annotations

from skelpipe.encoders.base import Encoder
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
        "view_adaptive": ViewAdaptive,
    },
)
