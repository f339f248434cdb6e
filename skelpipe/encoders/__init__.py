"""Encoders: clip -> feature. To add one: a file here with an `nn.Module` and its `Options`, and a line in ENCODERS.

An encoder takes `(layout, options)` and maps clips (B, C, T, V, M) to features (B, `encoder.features`).
"""

from __future__ import annotations

from typing import Any

from skelpipe.encoders.stgcn import STGCN

ENCODERS: dict[str, Any] = {"stgcn": STGCN}
