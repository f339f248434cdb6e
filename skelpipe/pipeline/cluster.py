"""A run whose stages are jobs of a batch system: what Snakemake is told of it, what jobs wait for, and their end."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from skelpipe.errors import BadInput
from skelpipe.pipeline import slurm
from skelpipe.pipeline.lock import AREA
from skelpipe.pipeline.plan import VERSIONS
from skelpipe.pipeline.show import Stage, complain
from skelpipe.pipeline.site import Site

log = logging.getLogger(__name__)
ON_GPU = ("pretrain", "evaluate")
ASKED = {"mem_mb": "mem_mb", "mem": "mem_mb", "runtime": "runtime"}  # as defaults may be written
NAME = "slurm-jobs"  # the file that keeps the name of the jobs at work
ASK_SECONDS = 30.0  # between two questions to squeue
END_SECONDS = 2.0  # the same while jobs are cancelled
GRACE_SECONDS = 45.0  # until jobs that are cancelled have ended; SLURM itself makes them by default after 30


class Cluster:
    """The batch system that a run's stages go to. Of others than SLURM it knows only what Snakemake says.

    Attributes:
        name: what all jobs of this run are called in SLURM, once there is one.
        told: is given that name.
    """

    def __init__(self, data: Path, site: Site) -> None:
        self.site, self.file = site, data / AREA / NAME
        self.slurm = site.executor == "slurm"
        self.name: str | None = None
        self.told: Callable[[str], None] = lambda name: None
        self.partitions = {p.name: p for p in (slurm.find_partitions() if self.slurm else ())}
        self.queue: Mapping[str, slurm.Queued] = {}
        self._asked = self._ended = 0.0
        self._since: float | None = None

    def options(self) -> list[str]:
        """What Snakemake is told besides what the user states.

        Raises:
            BadInput: nothing can be submitted here, or no command says when a job has ended.
        """
        words = slurm.options(self.site) if self.slurm else []
        words += [] if self.site.states("retries") else ["--retries", str(slurm.RETRIES)]
        return words + ([] if self.site.states("latency-wait") else ["--latency-wait", str(slurm.LATENCY)])

    def limits(self) -> dict[str, Any]:
        """What the Snakefile has to know: the most that jobs of a rule can be given, and what they must not ask for."""
        most: dict[str, dict[str, int]] = {}
        unasked = {ASKED[key] for key in self.site.values("default-resources") if key in ASKED}
        for rule in VERSIONS:
            there = slurm.partition_of(rule, self.site, self.partitions)
            if there is None:
                continue
            most[rule] = {"threads": there.cpus, "mem_mb": there.mem_mb}
            most[rule] |= {} if there.minutes is None else {"runtime": there.minutes}
            if there.mem_mb < slurm.LEAST_MB:
                unasked.add("mem_mb")
            log.info("%s goes to partition %s: at most %s", rule, there.name, most[rule])
        return {"most": most, "unasked": sorted(unasked)}

    def warn(self, gpus: int, stages: Sequence[Stage]) -> None:
        """Say before anything is submitted that stages will ask for GPUs where SLURM knows of none."""
        if not gpus:
            return
        wanting = Counter(stage.rule for stage in stages if stage.to_do and stage.rule in ON_GPU)
        for rule in wanting:
            there = slurm.partition_of(rule, self.site, self.partitions)
            if there is not None and not there.gpus and f"{rule}:gpu" not in self.site.values("set-resources"):
                what = f"{wanting[rule]} {rule} stages ask for a GPU, and partition {there.name} has none"
                complain(f"{what}; {slurm.remedy(rule, 'gres')}")

    # While it runs --------------------------------------------------------------------------------------------------
    def hear(self, line: str) -> None:
        """Take a line of Snakemake's: the one that names the jobs."""
        if found := re.match(r"SLURM run ID: (\S+)", line):
            self.name = found[1]
            self.file.write_text(self.name, encoding="utf-8")
            self.told(self.name)

    def ask(self) -> bool:
        """Ask squeue how jobs stand, but not too often; whether it was asked."""
        if self.name is None or time.monotonic() < self._asked + ASK_SECONDS:
            return False
        self._asked = time.monotonic()
        found = slurm.jobs_named(self.name)
        self.queue = self.queue if found is None else found
        return found is not None

    # Its end --------------------------------------------------------------------------------------------------------
    def ended(self, hurry: bool) -> bool:
        """Cancel the jobs, and again what is still submitted meanwhile; whether nothing is left to wait for."""
        now = time.monotonic()
        self._since = self._since or now
        if hurry or now > self._since + GRACE_SECONDS:
            self.cancel()
            return True
        if self.name is None or now < self._ended + END_SECONDS:
            return False
        self._ended = now
        left = self.cancel()
        return left == {} and now > self._since + END_SECONDS

    def cancel(self) -> Mapping[str, slurm.Queued] | None:
        """Cancel the jobs of this run, if it has some; returns those that have not ended, None if that is not known."""
        if self.name is None:
            return None
        left = slurm.jobs_named(self.name)
        if left != {} and not slurm.cancel(self.name):
            log.info("scancel --name %s failed", self.name)
        return left

    def last_words(self) -> str:
        """What has become of the jobs of an interrupted run."""
        if self.name is None:
            return ""
        left = slurm.jobs_named(self.name)
        if left == {}:
            self.file.unlink(missing_ok=True)
            return "; its jobs in SLURM are cancelled"
        told = "could not be asked for" if left is None else f"{', '.join(left)} are still ending"
        return f"; its jobs in SLURM {told} (scancel --name {self.name})"

    def close(self) -> None:
        """Forget the name of jobs that have all ended by themselves."""
        if self.name is not None and slurm.jobs_named(self.name) == {}:
            self.file.unlink(missing_ok=True)


def check_earlier(data: Path) -> None:
    """Raise BadInput while jobs of an earlier run, which was killed with its guard, still work in a data folder."""
    file = data / AREA / NAME
    try:
        name = file.read_text("utf-8").strip()
    except (OSError, UnicodeError):
        return
    if left := slurm.jobs_named(name) if re.fullmatch(r"[\w-]+", name) else None:
        what = f"jobs of an earlier run are still in SLURM ({', '.join(left)})"
        raise BadInput(data, what, f"wait for them, or end them by 'scancel --name {name}'")
    if left == {}:
        file.unlink(missing_ok=True)
