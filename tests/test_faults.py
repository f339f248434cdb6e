"""Killed at any moment, two at once, full and read-only disks, things that vanish: nothing is lost, all is told.

The long forms are marked `soak`; SKELPIPE_SOAK_KILLS (default 400) and SKELPIPE_SOAK_PIPELINE_KILLS (default 20) size
them, and SKELPIPE_SOAK_SEED (default 0) chooses other moments.
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from kills import SIGNALS, Workshop, commands

KILLS = int(os.environ.get("SKELPIPE_SOAK_KILLS", "400"))
PIPELINE_KILLS = int(os.environ.get("SKELPIPE_SOAK_PIPELINE_KILLS", "20"))
SEED = int(os.environ.get("SKELPIPE_SOAK_SEED", "0"))


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    made = Workshop(tmp_path_factory.mktemp("workshop"), commands(protocols=False))
    yield made
    made.forked.close()


# Killed at any moment -----------------------------------------------------------------------------------------------


def kill(workshop: Workshop, wanted: int, rng: random.Random, each: int = 1) -> None:
    """Kill commands until so many kills have hit, half of them at calls, `each` in a row before one may finish."""
    points = workshop.points()
    rng.shuffle(points)
    hit = turn = 0
    while hit < wanted:
        turn += 1
        assert turn < 20 * wanted, "kills do not hit"
        if turn % 2 and points:
            command, at, then = points.pop()
            kills = [{"signal": rng.choice(SIGNALS), "at": at, "then": then}]
        else:
            command = workshop.found[turn // 2 % len(workshop.found)]
            kills = [{"signal": SIGNALS[turn // 2 % 3]}]
        kills += [{"signal": rng.choice(SIGNALS)} for _ in range(each - 1)]
        hit += workshop.trial(command, rng.random() < 0.5, kills, rng)


def test_killed_at_any_moment(workshop):
    kill(workshop, 12, random.Random(SEED))
    assert sum(workshop.killed.values()) >= 12


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_killed_hundreds_of_times(tmp_path):
    """SKELPIPE_SOAK_KILLS kills over all stages and protocols, up to three in a row before a command may finish."""
    workshop = Workshop(tmp_path, commands(protocols=True))
    try:
        kill(workshop, KILLS, random.Random(SEED), each=3)
    finally:
        workshop.forked.close()
        told = Counter()
        for name, count in workshop.killed.items():
            for part in name.split(", "):
                told[part] += count
        print(f"\nkills: {sum(workshop.killed.values())}; {dict(told)}")
