"""Copies to a device while it computes, so ordered that nothing is read too early or overwritten too soon."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor

Mark = Any  # of a place in a device's work


class Lane(Protocol):
    """A row of copies beside the row of a device's computing; the host waits for neither unless it asks to."""

    def mark(self) -> Mark:
        """All computing that was asked for so far."""

    def send(self, pairs: Iterable[tuple[Tensor, Tensor]], after: Mark) -> Mark:
        """Copy each pair (from the host, to the device) behind the copies before, once `after` is done; marks them."""

    def follow(self, mark: Mark) -> None:
        """Let all further computing begin after the mark."""

    def wait(self, mark: Mark) -> None:
        """Let the host wait for the mark."""


class CudaLane:
    """A stream of a GPU's own for copies, which run beside its kernels if the host's memory is pinned."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.stream = device, torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def mark(self) -> Mark:
        return torch.cuda.current_stream(self.device).record_event()

    def send(self, pairs: Iterable[tuple[Tensor, Tensor]], after: Mark) -> Mark:
        with torch.cuda.stream(self.stream):
            self.stream.wait_event(after)
            for host, device in pairs:
                device.copy_(host, non_blocking=True)
            return self.stream.record_event()

    def follow(self, mark: Mark) -> None:
        torch.cuda.current_stream(self.device).wait_event(mark)

    def wait(self, mark: Mark) -> None:
        mark.synchronize()


def lane_for(device: torch.device) -> Lane | None:
    """The lane to a device; None where that is the host."""
    return CudaLane(device) if device.type == "cuda" else None
