"""The libraries that ONNX files need, which are an extra of ours."""

from __future__ import annotations

from typing import Any

from skelpipe.resources import extra


def library(name: str) -> Any:
    """`onnx` or `onnxruntime`.

    Raises:
        BadInput: it is not installed, or cannot be loaded.
    """
    return extra("onnx", name, f"the library {name}", "{}, and ONNX files need it")
