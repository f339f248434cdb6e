"""What commands on few files import: most of their time is that."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import write_clips
from rawtext import write_ntu_folder

HEAVY = ("torch", "pandas", "matplotlib", "sklearn", "scipy", "pyarrow", "h5py", "pydantic", "rich", "snakemake", "PIL")
