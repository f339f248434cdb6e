"""The places: where compiled code is kept, the disk of the data folder, and the recordings that lie there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import skelpipe
from skelpipe.caches import MATPLOTLIB, NUMBA, OURS, XDG, usable, user_cache
from skelpipe.doctor.check import Check
from skelpipe.recordings.datasets import DATASETS

GB = 1e9
CLIP_KB = 38  # of a store and clips of 50 frames, by clip; of NTU-60 1.30 and 0.83 GB were measured
LEAST_FREE = 1.0  # GB; less than the store and clips of the smaller sets, with their runs, take


def look_at_caches() -> Check:
    """Where compiled kernels are kept, and whether they can be."""
    numba = Path(os.environ.get(NUMBA) or Path(skelpipe.__file__).parent / "__pycache__")
    places = {"kernels": numba, "others": Path(os.environ.get(XDG) or user_cache())}
    if named := os.environ.get(MATPLOTLIB):
        places["fonts"] = Path(named)
    facts: dict[str, Any] = {name: {"path": str(path), "usable": usable(path)} for name, path in places.items()}
    where = "beside the code" if NUMBA not in os.environ else str(numba)
    if not usable(numba):
        remedy = f"free space, or set {NUMBA} and {XDG} to folders that you may write to, with 64 MB free"
        return Check("caches", "broken", f"compiled kernels cannot be kept {where}", remedy, facts)
    if OURS in str(numba):
        remedy = f"after a restart they are compiled anew; set {NUMBA} to a folder that stays"
        return Check("caches", "note", f"compiled kernels are kept in a temporary folder, {numba}", remedy, facts)
    return Check("caches", "well", f"compiled kernels are kept {where}, the rest in {places['others']}", "", facts)


def look_at_disk(data: Path) -> Check:
    """How much is free where stores and runs will lie, and what the data sets need."""
    folder = Path(os.path.abspath(data))
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free / GB
    needs = {name: dataset.clips * CLIP_KB * 1e3 / GB for name, dataset in DATASETS.items()}
    facts: dict[str, Any] = {"path": str(folder), "free_gb": round(free, 2)}
    facts["needs_gb"] = {name: round(need, 2) for name, need in needs.items()}
    told = ", ".join(f"{name} {need:.1f}" for name, need in needs.items())
    text = f"{free:,.1f} GB free for {data}; stores and clips need, in GB: {told}"
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Check("disk", "broken", f"{data}: cannot be written to", "choose another folder by --data", facts)
    if free < LEAST_FREE:
        return Check("disk", "broken", text, "free some space, or choose another folder by --data", facts)
    if small := [name for name, need in needs.items() if need > free]:
        return Check(
            "disk", "note", text, f"there is no room for {', '.join(small)}: use --data on a larger disk", facts
        )
    return Check("disk", "well", text, "", facts)


def look_at_recordings(data: Path) -> Check:
    """Which data sets' recordings and stores lie in the data folder."""
    raw = {name: count for name in DATASETS if (count := _count(data / "raw" / name))}
    stores = sorted(path.name for path in (data / "stores").glob("*.zarr")) if (data / "stores").is_dir() else []
    facts: dict[str, Any] = {"raw": raw, "stores": stores}
    found = ", ".join(f"{name} ({count:,} file{'s' if count > 1 else ''})" for name, count in raw.items())
    made = f"; {len(stores)} stores and clips" if stores else ""
    lacking = [name for name in DATASETS if name not in raw]
    if not raw:
        text = f"none in {data / 'raw'}{made}; 'skelpipe run demo' needs none"
        return Check(
            "recordings", "note", text, f"put what you have into {data / 'raw'}/NAME: {', '.join(lacking)}", facts
        )
    left = f"; not there: {', '.join(lacking)}" if lacking else ""
    return Check("recordings", "well", f"{found} in {data / 'raw'}{made}{left}", "", facts)


def _count(folder: Path) -> int:
    """How many files there are in a folder, in it and one level below: of an archive or two, or of 114,480."""
    if not folder.is_dir():
        return int(folder.is_file())
    total = 0
    for entry in os.scandir(folder):
        if entry.name.startswith("."):
            continue
        total += sum(one.is_file() for one in os.scandir(entry.path)) if entry.is_dir() else 1
    return total
