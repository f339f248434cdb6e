"""How long calls take, and what a machine can do at best."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from skelpipe.parallel import cpu_count, processor

ROUNDS = 5
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}

Clock = Callable[[], float]


@dataclass(frozen=True)
class Machine:
    """Where it was measured."""

    cpu: str
    cores: int
    threads: int
    torch: str
    gpu: str | None
    load: float

    def __str__(self) -> str:
        gpu = self.gpu or "no GPU"
        return (
            f"{self.cores} cores ({self.cpu}), {self.threads} threads, torch {self.torch}, {gpu}, load {self.load:.1f}"
        )


def describe_machine(threads: int) -> Machine:
    """This machine."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan
    return Machine(processor(), cpu_count(), threads, torch.__version__, gpu, load)


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Give torch so many threads, for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def time_calls(
    call: Callable[[], object],
    calls: int = 1,
    device: torch.device | None = None,
    clock: Clock = time.perf_counter,
) -> float:
    """Seconds per call by the clock, or by the device's own events on a GPU."""
    if device is not None and device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        torch.cuda.synchronize(device)
        start.record()
        for _ in range(calls):
            call()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3 / calls
    started = clock()
    for _ in range(calls):
        call()
    return (clock() - started) / calls


def measure(
    call: Callable[[], object],
    seconds: float,
    device: torch.device | None = None,
    clock: Clock = time.perf_counter,
    warm: int = 1,
) -> float:
    """Seconds per call in the best of several rounds, which take about so many seconds, after `warm` uncounted ones."""
    for _ in range(warm):
        call()
    first = time_calls(call, 1, device, clock)
    calls = max(1, int(seconds / ROUNDS / max(first, 1e-9)))
    rounds = min(ROUNDS, int(seconds / max(first * calls, 1e-9)))
    return min([first, *(time_calls(call, calls, device, clock) for _ in range(rounds))])


def matmul_speed(device: torch.device, dtype: torch.dtype, seconds: float) -> float:
    """FLOP per second of square matrix products, the best of three sizes."""
    best = 0.0
    for size in (2048, 4096, 8192) if device.type == "cuda" else (256, 512, 1024):
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        taken = measure(lambda a=a, b=b: a @ b, seconds / 3, device)  # type: ignore[misc]
        best = max(best, 2 * size**3 / taken)
    return best


def copy_speed(device: torch.device, seconds: float) -> float:
    """Bytes per second, read and written, of a copy that no cache holds."""
    numbers = (1 << 28) if device.type == "cuda" else (1 << 25)
    source = torch.ones(numbers, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / measure(lambda: target.copy_(source), seconds, device)


@dataclass(frozen=True)
class Roofline:
    """What a device can do: FLOP and bytes per second."""

    flop: float
    bytes: float

    def least(self, work: Work) -> tuple[float, float]:
        """The seconds that the arithmetic alone and the memory traffic alone would take; they can overlap."""
        return work.flop / self.flop, work.bytes / self.bytes


@dataclass(frozen=True)
class Work:
    """What something needs at least: arithmetic (a multiplication and an addition are two) and memory traffic."""

    flop: float
    bytes: float

    def __add__(self, other: Work) -> Work:
        return Work(self.flop + other.flop, self.bytes + other.bytes)

    def __mul__(self, times: float) -> Work:
        return Work(self.flop * times, self.bytes * times)


def measure_roofline(device: torch.device, precision: str, seconds: float) -> Roofline:
    """Measure matrix products in that precision, and copies."""
    return Roofline(matmul_speed(device, PRECISIONS[precision], seconds), copy_speed(device, seconds))


@contextmanager
def tf32(products: bool, convolutions: bool | None = None) -> Iterator[None]:
    """Let a GPU round the factors of float32 products, and of convolutions, to 10 bits, for a while."""
    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = cuda.allow_tf32, cudnn.allow_tf32
    cuda.allow_tf32 = products
    cudnn.allow_tf32 = before[1] if convolutions is None else convolutions
    try:
        yield
    finally:
        cuda.allow_tf32, cudnn.allow_tf32 = before
