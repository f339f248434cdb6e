"""Where training happens, and what makes it happen the same way again."""

from __future__ import annotations

import logging

import torch

from skelpipe.allocator import keep_memory
from skelpipe.errors import BadInput

log = logging.getLogger(__name__)


def choose_device(name: str) -> torch.device:
    """Turn "auto" into the first GPU, or the CPU if there is none; a CPU's memory is kept from then on.

    Raises:
        BadInput: the device does not exist here.
    """
    why = "as asked"
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
        why = "auto: the first GPU that torch finds" if name == "cuda" else f"auto: {no_gpu()}"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise BadInput(f"--device {name}", "is not available here", "use auto or cpu") from None
    log.info("device %s (%s)", device, why)
    if device.type == "cpu":
        kept = keep_memory()
        log.debug("memory: %s", "kept between steps" if kept else "left to the C library, which cannot be told")
    return device


def no_gpu() -> str:
    """Why there is no GPU to be used."""
    if torch.version.cuda is None and torch.version.hip is None:
        return "this torch is built without CUDA"
    return "torch finds no CUDA device"


def set_determinism(seed: int) -> None:
    """Seed torch and let cuDNN choose the same algorithms each time."""
    torch.manual_seed(seed)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
