"""The machine: its cores and memory, what its processor can do, its GPUs, and the threads that are to be used."""

from __future__ import annotations

import os
import platform
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from skelpipe.doctor.check import Check
from skelpipe.parallel import cpu_count, processor

GB = 1e9
LEAST_MEMORY = 2.0  # GB; what torch, a small data set and its training take
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_WAIT_POLICY")
DRIVER = Path("/proc/driver/nvidia/version")
FLAGS = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "bf16", "amx_bf16": "AMX with bf16"}


def look_at_processor() -> Check:
    """Cores, memory, and the instructions on which the speed of the fused operators depends."""
    cores, model, flags = cpu_count(), processor(), _flags()
    granted = granted_cores()
    whole, free = memory()
    told = [named for flag, named in FLAGS.items() if flag in flags]
    lacking = [named for flag, named in FLAGS.items() if flag in ("avx512f", "avx512_bf16") and flag not in flags]
    can = ", ".join(told) if told else "neither AVX2 nor AVX-512"
    cannot = f" (no {', no '.join(lacking)})" if told and lacking else ""
    text = f"{cores} of {os.cpu_count()} cores, {model}: {can}{cannot}; {whole:.1f} GB of memory, {free:.1f} free"
    facts: dict[str, Any] = {
        "cores": cores, "all_cores": os.cpu_count(), "granted": granted, "model": model, "memory_gb": round(whole, 2),
        "free_gb": round(free, 2), "instructions": told, "machine": platform.machine(),
    }  # fmt: skip
    if granted is not None and granted + 0.5 < cores:
        remedy = f"this container may use {granted:g} cores; pass --threads {max(1, round(granted))} and --workers"
        return Check("machine", "note", text, remedy, facts)
    if whole < LEAST_MEMORY:
        return Check("machine", "note", text, "use a machine with 2 GB or more; smaller batches take less", facts)
    return Check("machine", "well", text, "", facts)


def look_at_torch() -> Check:
    """Which torch there is, and how many threads it takes."""
    try:
        import torch
    except Exception as error:  # what a broken installation raises has no bounds
        what = f"cannot be imported ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})"
        return Check("torch", "broken", what, "install it anew: pip install --force-reinstall torch")
    threads = torch.get_num_threads()
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA in this build"
    asked = {name: value for name in THREADS[:3] if (value := os.environ.get(name))}
    told = f", by {', '.join(f'{k}={v}' for k, v in asked.items())}" if asked else ""
    text = f"{torch.__version__} ({build}); {threads} thread{'s' if threads > 1 else ''}{told}"
    facts = {
        "version": torch.__version__, "cuda": torch.version.cuda, "threads": threads,
        "environment": {name: os.environ.get(name) for name in THREADS},
    }  # fmt: skip
    if threads > cpu_count():
        remedy = f"these are more threads than cores: set OMP_NUM_THREADS={cpu_count()}"
        return Check("torch", "note", text, remedy, facts)
    return Check("torch", "well", text, "", facts)


def look_at_gpus() -> Check:
    """The GPUs that torch can use, or why it uses none."""
    try:
        import torch
    except Exception:  # told by `look_at_torch`
        return Check("GPU", "note", "unknown without torch", "see torch")
    if torch.cuda.is_available():
        found = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        each = [f"{one.name}, {one.total_memory / GB:.0f} GB" for one in found]
        bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
        return Check("GPU", "well", f"{'; '.join(each)}; {bf16}", "", {"gpus": each, "bf16": bf16 == "bf16"})
    facts: dict[str, Any] = {"gpus": [], "driver": DRIVER.exists()}
    if DRIVER.exists() and not torch.version.cuda:
        remedy = "install a build of torch with CUDA, as https://pytorch.org/get-started tells"
        return Check("GPU", "note", "there is a driver of NVIDIA's, and this torch has no CUDA", remedy, facts)
    if DRIVER.exists():
        remedy = "see that nvidia-smi shows it, that CUDA_VISIBLE_DEVICES names it, and that the driver is new enough"
        return Check("GPU", "note", "there is a driver of NVIDIA's, and torch finds no GPU", remedy, facts)
    return Check("GPU", "well", "none: recipes named small_ are made for training on CPUs", "", facts)


def memory() -> tuple[float, float]:
    """GB of memory, and of what is free now, as far as a container may use it; zeros where it is not known."""
    whole = free = 0.0
    with suppress(ValueError, OSError, AttributeError):
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GB
        free = whole
    with suppress(OSError, ValueError, TypeError):
        told = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        free = int(told[1]) * 1024 / GB  # type: ignore[index]
    with suppress(OSError, ValueError):  # "max" where there is no limit
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text()) / GB
        used = int(Path("/sys/fs/cgroup/memory.current").read_text()) / GB
        whole, free = min(whole, limit), min(free, max(0.0, limit - used))
    return whole, free


def granted_cores(file: Path = Path("/sys/fs/cgroup/cpu.max")) -> float | None:
    """How many cores' time a container grants, which no count of cores shows; None without a limit."""
    with suppress(OSError, ValueError):
        quota, period = file.read_text().split()
        return int(quota) / int(period)
    return None


def _flags() -> set[str]:
    """The names of instructions as Linux has them; empty elsewhere."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return set(next(line for line in lines if line.startswith(("flags", "Features"))).split())
    return set()
