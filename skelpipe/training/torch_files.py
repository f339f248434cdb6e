"""Reads what `torch.save` wrote: nothing in it is run, and a changed bit is seen."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch


def read_saved(path: Path) -> Any:
    """Read a file into the CPU's memory.

    Raises:
        OSError: the file cannot be read.
        Exception: it is damaged, holds more than tensors and plain containers, or is something else; torch and
            zipfile have many ways to say so.
    """
    _check_sums(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _check_sums(path: Path) -> None:
    """Raise an exception if a member of the archive is not what its checksum says, at which torch does not look."""
    if not zipfile.is_zipfile(path):
        return  # torch's older format, which has no checksums, or no file of torch's: it will say so
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > path.stat().st_size:
            raise ValueError("holds members that unpack to more than they take, which torch does not write")
        if torn := archive.testzip():
            raise ValueError(f"{torn} in it is damaged")
