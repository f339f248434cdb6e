"""Compiled kernels are kept on the disk as long as they would be compiled to the same again, and no longer."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import skelpipe

PACKAGE = Path(skelpipe.__file__).parent

BELOW = """
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
import numpy as np
from skelpipe.kernels import compiled, inlined

STEP, TABLE = 1, np.array([1.0, 2.0])

def added():
    return ir.Constant(ir.IntType(64), 0)

@intrinsic
def same(typing, value):
    def code(context, builder, signature, values):
        return builder.add(values[0], added())
    return types.int64(types.int64), code

@compiled(fastmath={"reassoc", "contract", "nsz", "arcp"})  # whose order hangs on the process
def deepest(x):
    return x

@inlined
def deeper(x):
    return deepest(x) + 0

@compiled
def helper(x):
    return deeper(x)
"""
KERNEL = """
from below import STEP, TABLE, helper, same
from skelpipe.kernels import compiled

@compiled
def kernel(x):
    return helper(same(x)) + STEP + TABLE[1]

print(kernel(10), kernel.stats.cache_hits and "kept" or "compiled")
"""


@pytest.fixture
def run(tmp_path):
    """Writes the module that the kernel's module takes things from, and runs that one in a new process."""
    (tmp_path / "kernel.py").write_text(KERNEL)

    def run(below):
        (tmp_path / "below.py").write_text(below)
        environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{PACKAGE.parent}"}
        environment.pop("NUMBA_CACHE_DIR", None)
        command = [sys.executable, "kernel.py"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.split()

    return run


def test_a_kernel_is_compiled_anew_when_what_it_takes_from_other_files_has_changed(run):
    assert run(BELOW) == ["13.0", "compiled"]
    for _ in range(3):
        assert run(BELOW) == ["13.0", "kept"]
    assert run(BELOW.replace("    return deeper(x)", "    return deeper(x)  # a comment")) == ["13.0", "kept"]
    for old, new, value in (
        ("STEP, TABLE = 1,", "STEP, TABLE = 2,", "14.0"),  # a constant
        ("[1.0, 2.0]", "[1.0, 5.0]", "16.0"),  # one number of an array
        ("deepest(x) + 0", "deepest(x) + 7", "20.0"),  # a kernel that is called by one that is called
        ('"reassoc", ', "", "13.0"),  # an option
        ("ir.IntType(64), 0)", "ir.IntType(64), 4)", "17.0"),  # a function that makes instructions
    ):
        changed = BELOW.replace(old, new)
        assert changed != BELOW
        assert run(changed) == [value, "compiled"]
    assert run(BELOW) == ["13.0", "kept"]


def test_all_kernels_are_compiled_in_one_way():
    for path in PACKAGE.rglob("*.py"):
        if path.name != "kernels.py":
            names = {alias.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)
                     and node.module == "numba" for alias in node.names}  # fmt: skip
            assert not names & {"njit", "jit", "prange"}, path
