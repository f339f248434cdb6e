"""Throws changed files at a reader: many a second, each in memory that ends where the file ends, and counts outcomes.

A target is a function `check(data, thorough)` that returns what came of the input in a word, and that raises for
anything that is a defect. Beside it stand seeds (whole files) and words (what is put into them).
"""

from __future__ import annotations

import collections
import faulthandler
import mmap
import random
import re
import resource
import signal
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rawtext import Guarded

from skelpipe.recordings.text import ntu, pku

CORPUS = Path(__file__).with_name("corpus")
LARGEST = 1 << 20  # bytes of an input
HANG = 20  # seconds of this process's own time; a thousand inputs take less than one
TOLD = 100_000  # after so many inputs the progress is told
THOROUGH = 32  # one input in so many is held against the twin, and one in 64 times as many has its memory measured
# The bit of a count, as libFuzzer tells counts apart: 1, 2, 3, 4 to 7, 8 to 15, 16 to 31, 32 to 127, more.
OFTEN = np.array([0, *(1 << np.searchsorted((2, 3, 4, 8, 16, 32, 128), range(1, 256), "right"))], np.uint8)
INTERESTING = 0, 1, 9, 10, 13, 32, 43, 45, 46, 48, 57, 69, 101, 127, 128, 255


@dataclass(frozen=True)
class Target:
    """A reader under test.

    Attributes:
        check: (data, thorough) -> outcome; raises if something is wrong.
        words: what mutations put in.
        factor, base: the memory that an input may take, as a multiple of its size, and bytes on top.
    """

    check: Callable[[bytes, bool], str]
    words: Sequence[bytes]
    factor: float
    base: int = 1 << 16


@dataclass
class Result:
    """What a run of the fuzzer saw."""

    runs: int = 0
    seconds: float = 0.0
    outcomes: collections.Counter[str] = field(default_factory=collections.Counter)
    measured: int = 0
    peak: int = 0
    worst: float = 0.0  # the largest peak over its allowance
    rss: int = 0

    def note(self, outcome: str) -> None:
        """Count what came of an input, without the details."""
        self.outcomes[outcome[: outcome.find(":")]] += 1

    def end(self, started: float) -> None:
        """Note the time since then, and the most memory that the process has had."""
        self.seconds = time.monotonic() - started
        self.rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def guard_parsers() -> None:
    """Let the compiled parsers read from guarded memory."""
    ntu.as_array = pku.as_array = Guarded(LARGEST).array


def seeds(name: str) -> list[bytes]:
    """The kept inputs of a target, in order of name."""
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def mutated(draw: random.Random, pool: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """One of the pool with one to four changes."""
    data = bytearray(pool[int(draw.random() * len(pool))])
    for _ in range(1 + int(draw.random() * draw.random() * 4)):
        kind, place = draw.random(), int(draw.random() * (len(data) + 1))
        if kind < 0.3:
            word = words[int(draw.random() * len(words))]
            if draw.random() < 0.7:  # instead of a word that is there
                start = max(data.rfind(b" ", 0, place), data.rfind(b"\n", 0, place)) + 1
                ends = [e for e in (data.find(b" ", start), data.find(b"\n", start)) if e >= 0]
                data[start : min(ends, default=len(data))] = word
            else:
                data[place:place] = word
        elif kind < 0.5 and data:
            data[min(place, len(data) - 1)] = INTERESTING[int(draw.random() * len(INTERESTING))]
        elif kind < 0.6 and data:
            data[min(place, len(data) - 1)] ^= 1 << int(draw.random() * 8)
        elif kind < 0.7:
            del data[place : place + int(2 ** (draw.random() * 8))]
        elif kind < 0.78:
            data[place:place] = data[place : place + int(2 ** (draw.random() * 8))]
        elif kind < 0.84:
            del data[place:]
        elif kind < 0.9:
            other = pool[int(draw.random() * len(pool))]
            data[place:] = other[min(place, len(other)) :]
        elif kind < 0.95:  # a line away, or twice
            start, end = data.rfind(b"\n", 0, place) + 1, data.find(b"\n", place) + 1 or len(data)
            data[start:end] = b"" if draw.random() < 0.5 else data[start:end] * 2
        else:
            a, b = data.find(b"\n", place), data.rfind(b"\n", 0, place)
            data = data[: b + 1] + data[a + 1 :] + data[b + 1 : a + 1] if 0 <= b < a else data
    return bytes(data[:LARGEST])


def peak_memory(target: Target, data: bytes) -> tuple[str, int]:
    """The outcome, and the bytes that Python and NumPy had allocated at most on the way, the second time."""
    target.check(data, False)  # what is imported and compiled once is not the input's
    tracemalloc.start()
    try:
        outcome = target.check(data, False)
        return outcome, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def allowed(target: Target, size: int) -> float:
    return target.base + target.factor * size


def measured(target: Target, data: bytes, result: Result) -> str:
    """The outcome; raises if the input took more memory than it may."""
    outcome, peak = peak_memory(target, data)
    share = peak / allowed(target, len(data))
    result.measured += 1
    result.peak, result.worst = max(result.peak, peak), max(result.worst, share)
    assert share <= 1, f"{peak:,} bytes of memory for {len(data):,} bytes of input"
    return outcome


def fuzz(
    name: str, target: Target, runs: int, seed: int = 0, seconds: float | None = None, last: Path | None = None
) -> Result:
    """Check `runs` mutated inputs, or as many as there is time for.

    Args:
        last: where the latest input lies; after a crash of the process it is the one that did it.
    """
    guard_parsers()
    faulthandler.register(signal.SIGXCPU, chain=True)  # a hang: where it is, and the end
    draw, result, started = random.Random(seed), Result(), time.monotonic()
    pool, refused, told, kinds = seeds(name), [], set(), set()
    for data in pool:
        target.check(data, True)
    slot = None
    if last is not None:
        last.write_bytes(bytes(LARGEST + 8))
        with open(last, "r+b") as file:
            slot = mmap.mmap(file.fileno(), LARGEST + 8)
    while result.runs < runs:
        if result.runs % 1000 == 0:
            used = resource.getrusage(resource.RUSAGE_SELF)
            limit = int(used.ru_utime + used.ru_stime) + HANG
            resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))
            if result.runs % TOLD == 0:
                print(f"{name}: {result.runs:,} of {runs:,}", file=sys.stderr, flush=True)
            if seconds is not None and time.monotonic() - started > seconds:
                break
        data = mutated(draw, refused if refused and draw.random() < 0.1 else pool, target.words)
        if slot is not None:
            slot[: len(data) + 8] = len(data).to_bytes(8, "little") + data
        result.runs += 1
        mark = zlib.crc32(data) + 1  # of nothing it is 0
        try:
            if mark % (64 * THOROUGH) == 0:
                outcome = measured(target, data, result)
            else:
                outcome = target.check(data, mark % THOROUGH == 0)
        except BaseException:
            (CORPUS / f"found-{name}").write_bytes(data)
            raise
        result.note(outcome)
        if outcome in told:
            continue
        told.add(outcome)
        kind = re.sub(r"\d+", "0", outcome)[:120]
        if kind not in kinds and len(data) < 1 << 14:
            kinds.add(kind)
            (refused if kind.startswith("refused") else pool).append(data)
    resource.setrlimit(resource.RLIMIT_CPU, (resource.RLIM_INFINITY, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    result.end(started)
    return result


class Guided:
    """Checks inputs for a fuzzer that looks at the counters of compiled code after each.

    What reaches something new, as one in `THOROUGH` of all, is held against the twin as well.

    Attributes:
        counters: what the kernels count up.
        pool: whole files to change: the first ones, and those that were read and reached something new.
        reached: for each counter the bits of how often one input reached it: once, twice, three times, …
    """

    def __init__(self, target: Target, counters: npt.NDArray[np.uint8], pool: list[bytes]) -> None:
        self.target, self.counters, self.pool = target, counters, pool
        self.result, self.started = Result(), time.monotonic()
        self.reached = np.zeros_like(counters)

    def __call__(self, data: bytes) -> None:
        outcome = self.target.check(data, False)
        counts = self.counters.copy()  # what follows would count once more
        self.result.runs += 1
        self.result.note(outcome)
        often, mark = OFTEN[counts], zlib.crc32(data) + 1
        new = bool((often & ~self.reached).any())
        if new:
            self.reached |= often
            if outcome.startswith("read"):
                self.pool.append(data)
        if new or mark % THOROUGH == 0:
            self.target.check(data, True)
            if mark % (64 * THOROUGH) == 0:
                measured(self.target, data, self.result)
            self.counters[:] = counts

    def saw(self, places: Sequence[str]) -> dict[str, object]:
        """What came of the inputs, with the places in functions that were called which none reached."""
        self.result.end(self.started)
        functions = np.array([place.partition(",")[0] for place in places])
        within = np.isin(functions, functions[self.reached > 0])
        missed = [places[k] for k in np.flatnonzero(within & (self.reached == 0))]
        features = int(np.unpackbits(self.reached).sum())
        return {**vars(self.result), "features": features, "places": int(within.sum()), "missed": missed}
