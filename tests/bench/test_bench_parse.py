"""How fast raw text becomes numbers: compare within the group, the machines differ.

pytest tests/bench/test_bench_parse.py --benchmark-only
"""

import numpy as np
import pytest

from skelpipe.recordings.text.ntu import parse_ntu

REST = "277.419 191.8218 1036.233 519.1677 -0.2059419 0.05349901 0.9692109 -0.1239193 2"


@pytest.fixture(scope="module")
def text():
    """A clip of 100 frames with one body, as long as a genuine one (some 250 KB)."""
    lines = ["100"]
    for frame in np.random.default_rng(0).normal(0, 1, (100, 25, 3)).astype(np.float32):
        lines += ["1", "72057594037931101 0 1 1 1 1 0 -0.01 -0.03 2", "25"]
        lines += [f"{x:.7g} {y:.7g} {z:.7g} {REST}" for x, y, z in frame]
    return "\n".join(lines) + "\n"


def line_by_line(text):
    """x, y, z as the field's scripts read them."""
    lines = iter(text.split("\n"))
    joints = []
    for _ in range(int(next(lines))):
        for _ in range(int(next(lines))):
            next(lines)
            joints.append([[float(word) for word in next(lines).split()[:3]] for _ in range(int(next(lines)))])
    return np.array(joints, np.float32)


def fromstring(text):
    """NumPy's own text reader over every number; possible because this clip has one body in every frame."""
    numbers = np.fromstring(text, sep=" ")[1:].reshape(100, 12 + 25 * 12)
    return numbers[:, 12:].reshape(100, 25, 12)[:, :, :3].astype(np.float32)


READERS = {
    "skelpipe": lambda text: parse_ntu(text.encode()).joints,
    "line by line": line_by_line,
    "np.fromstring": fromstring,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.benchmark(group="parse one .skeleton file")
def test_parse(benchmark, text, reader):
    joints = benchmark(READERS[reader], text)
    benchmark.extra_info["megabytes"] = len(text) / 1e6
    assert np.array_equal(joints, line_by_line(text))
