"""The libraries that ONNX files need, which are an extra of ours."""

from __future__ import annotations

import importlib
from typing import Any

from skelpipe.errors import BadInput

EXTRA = 'pip install "skelpipe[onnx]"'


def library(name: str) -> Any:
    """`onnx` or `onnxruntime`.

    Raises:
        BadInput: it is not installed, or cannot be loaded.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        what = "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be loaded ({error})"
        raise BadInput(f"the library {name}", f"{what}, and ONNX files need it", EXTRA) from None
