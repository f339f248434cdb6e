"""Cached kernels: they load into a process whose compiler is not ready, and the compiler gets ready where it must."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numba
import pytest
from numba.core.caching import FunctionCache

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

@njit(cache=True)
def others(x):
    if x[0] > 5:
        raise ValueError("too large", 3)
    known, some = {0.5: 1.0}, [x[0]]
    known[x[1]] = np.sort(x)[0]
    some.append(np.dot(x, x))
    np.random.seed(1)
    return len(known) + len(set([1, 2, 2])) + len(some) + np.argsort(x)[0] + math.floor(np.random.rand())

if __name__ == "__main__":
    print(*norms(np.full((2, 4), 1.5))[0], "numba.np.arraymath" in sys.modules)
    if sys.argv[1:]:
        try:
            print(others(np.array([3.0, 2.0])), others(np.full(2, 9.0)))
        except ValueError as error:
            print(others(np.array([3.0, 2.0])), error.args, "numba.np.arraymath" in sys.modules)
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
    # Those that are not cached yet are compiled after one that is; later all are there, linear algebra too.
    more = [run(source, "more") for _ in range(2)]
    assert more[0] == ["3.0 3.0 False", "7 ('too large', 3) True", "0.25 0.25 True"]
    assert more[1] == ["3.0 3.0 False", "7 ('too large', 3) False", "0.25 0.25 False"]


@pytest.mark.parametrize("version", [(0, 60), (9, 0)])
def test_a_numba_that_was_not_tried_loads_in_its_own_way(source, monkeypatch, version):
    monkeypatch.setattr(numba, "version_info", numba.version_info._replace(short=version))
    spec = importlib.util.spec_from_file_location("own_kernels", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert type(module.norms._cache) is FunctionCache
    assert module.norms(module.np.ones((1, 4)))[0] == 2
