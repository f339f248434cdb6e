"""Cached kernels: they load into a process whose compiler is not ready, and the compiler gets ready where it must."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numba
import pytest

from skelpipe import kernels

SOURCE = """
import math
import sys
import numpy as np
from skelpipe.kernels import njit

@njit(cache=True, nogil=True)
def norms(x):
    lengths = np.zeros(len(x))
    for n in range(len(x)):
        for c in range(x.shape[1]):
            lengths[n] += x[n, c] ** 2
        lengths[n] = math.sqrt(lengths[n])
    return lengths, len(x)

@njit(cache=True, nogil=True)
def solved(a):
    return np.linalg.inv(a)

if __name__ == "__main__":
    print(*norms(np.full((2, 4), 1.5))[0], "numba.np.arraymath" in sys.modules)
    if sys.argv[1:]:
        print(*solved(np.eye(2) * 4).diagonal(), "numba.np.arraymath" in sys.modules)
"""


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "own_kernels.py"
    path.write_text(SOURCE)
    return path


def run(path, *words):
    done = subprocess.run([sys.executable, path, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_cached_kernel_loads_without_the_compiler_and_gives_the_same(source):
    assert run(source) == ["3.0 3.0 True"]
    assert run(source) == ["3.0 3.0 False"]
    # One that is not cached yet is compiled after one that is; later both are there, linear algebra too.
    assert run(source, "more") == ["3.0 3.0 False", "0.25 0.25 True"]
    assert run(source, "more") == ["3.0 3.0 False", "0.25 0.25 False"]


@pytest.mark.parametrize("version", [(0, 60), (9, 0)])
def test_a_numba_that_was_not_tried_loads_in_its_own_way(source, monkeypatch, version):
    monkeypatch.setattr(numba, "version_info", numba.version_info._replace(short=version))
    spec = importlib.util.spec_from_file_location("own_kernels", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert not isinstance(module.norms._cache, kernels.KernelCache)
    assert list(source.parent.rglob("*.nbi")) == []
    assert module.norms(module.np.ones((1, 4)))[0] == 2
    assert list(source.parent.rglob("*.nbi"))
