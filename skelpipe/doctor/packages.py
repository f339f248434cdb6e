"""The packages: whether all that is needed can be used, and which extras are there."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from typing import Any

from skelpipe import __version__
from skelpipe.doctor.check import Check

# Extra -> the modules that it brings, and what it is for. Those for developing are left out.
EXTRAS = {
    "onnx": (("onnx", "onnxruntime"), "export-onnx and ONNX models"),
    "video": (("mediapipe",), "poses of videos"),
    "slurm": (("snakemake_executor_plugin_slurm",), "pipelines on a SLURM cluster"),
    "wandb": (("wandb",), "pretrain --logger wandb"),
    "mlflow": (("mlflow",), "pretrain --logger mlflow"),
}
SHOWN = ("numpy", "numba", "zarr", "pyarrow", "scikit-learn", "snakemake")


def look_at_python() -> Check:
    """The versions of Python and of what every command needs; whether they fit."""
    found = {name: _version(name) for name in (*SHOWN, "torch", "h5py", "click", "pandas", "pydantic", "rich")}
    lacking = unmet()
    text = f"skelpipe {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}; "
    text += ", ".join(f"{name} {found[name] or 'is missing'}" for name in SHOWN)
    facts: dict[str, Any] = {
        "skelpipe": __version__, "python": platform.python_version(), "executable": sys.executable,
        "platform": platform.platform(), "versions": found, "unmet": lacking,
    }  # fmt: skip
    if lacking:
        remedy = f"pip install {' '.join(repr(each) for each in lacking)}"
        return Check("versions", "broken", text, remedy, facts)
    return Check("versions", "well", text, "", facts)


def unmet() -> list[str]:
    """The requirements of this package, but for extras, that are not there in a version that fits.

    Without an installed package of ours, in a checkout, or what reads requirements, nothing can be said.
    """
    try:
        from packaging.requirements import InvalidRequirement, Requirement
    except ImportError:
        return []
    try:
        told = requires("skelpipe") or []
    except PackageNotFoundError:
        return []
    found = []
    for text in told:
        try:
            one = Requirement(text)
        except InvalidRequirement:
            continue
        if one.marker is not None and not one.marker.evaluate({"extra": ""}):
            continue
        there = _version(one.name)
        if there is None or not one.specifier.contains(there, prereleases=True):
            found.append(f"{one.name}{one.specifier}")
    return found


def look_at_extras() -> Check:
    """Which extras are there, and what the others would be for."""
    there = {extra: all(_found(module) for module in modules) for extra, (modules, _) in EXTRAS.items()}
    has = ", ".join(extra for extra, is_there in there.items() if is_there) or "none"
    lacking = [f"{extra} ({what})" for extra, (_, what) in EXTRAS.items() if not there[extra]]
    facts: dict[str, Any] = {"extras": there}
    if not lacking:
        return Check("extras", "well", has, "", facts)
    names = ",".join(extra for extra in EXTRAS if not there[extra])
    remedy = f'as you need them, pip install "skelpipe[{names}]"'
    return Check("extras", "well", f"{has}; not there: {', '.join(lacking)}", remedy, facts)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # half removed
        return False
