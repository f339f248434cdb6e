"""Models as ONNX files, which other programs run without torch, and back from them."""

from __future__ import annotations

from skelpipe.exchange.onnx.exporting import Exported, export_onnx
from skelpipe.exchange.onnx.opening import open_onnx

__all__ = ["Exported", "export_onnx", "open_onnx"]
