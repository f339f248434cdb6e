"""A stage at work, and what its logs say of it."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from skelpipe.errors import printable
from skelpipe.outputs.ancestry import DONE

NO_WORDS = ("slurmstepd", "$ skelpipe ")  # what is in a log, and not the stage's own
NO_LOG = (-1, -1)  # in the place of its time and size
END_OF_LOG = 8192  # bytes
# What a batch system says of a job that it ended.
ENDED = {
    "OUT_OF_MEMORY": "needed more memory than the {mem_mb} MB that it asked for",
    "TIMEOUT": "took longer than the {runtime} minutes that it asked for",
    "NODE_FAIL": "lost its node",
    "CANCELLED": "was cancelled",
    "PREEMPTED": "had to give way to another job",
    "DEADLINE": "could not end before its deadline",
    "BOOT_FAIL": "found no node that would start",
}
# And what its daemon writes into logs.
NOTED = {
    r"memory limit|oom[-_ ]kill": "OUT_OF_MEMORY",
    r"DUE TO TIME LIMIT": "TIMEOUT",
    r"DUE TO NODE FAIL": "NODE_FAIL",
    r"DUE TO PREEMPTION": "PREEMPTED",
    r"CANCELLED AT": "CANCELLED",
}
WRAPPED = "At least one job did not complete successfully."  # Snakemake's last words in a job say nothing of it


@dataclass
class Job:
    """A stage at work, as Snakemake announced it."""

    rule: str
    facts: dict[str, str]
    command: str = ""
    started: float = field(default_factory=time.monotonic)
    begun: float | None = None  # None while it waits in a queue
    gone: float | None = None  # since when the queue does not know it any more
    external: str = ""  # its number in a batch system
    output: str = ""  # the file that takes what a batch system's job says outside the stage's log
    before: tuple[int, int] | None = None  # its log when it was submitted

    @property
    def label(self) -> str:
        return f"{self.rule} {self.folder}"

    @property
    def folder(self) -> str:
        return self.facts.get("output", "").removesuffix(f"/{DONE}")

    @property
    def plain_command(self) -> str:
        """The command as a person types it, without the redirection to the log."""
        return re.sub(r" > \S.* 2>&1$", "", self.command.strip())

    @property
    def log(self) -> str:
        return self.facts.get("log", "").partition(" (")[0]

    def log_state(self, data: Path) -> tuple[int, int] | None:
        """What changes once a job writes its log."""
        try:
            found = (data / self.log).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size

    def asked(self) -> dict[str, str]:
        """The resources that it asked for."""
        words = self.facts.get("resources", "").split(", ")
        return {"mem_mb": "?", "runtime": "?", **dict(word.split("=", 1) for word in words if "=" in word)}

    def last_words(self, data: Path) -> str:
        """The last line of its log that says something, if it has written one."""
        if self.before is not None and self.log_state(data) == self.before:
            return ""
        return next((line for line in reversed(last_lines(data / self.log)) if not line.startswith(NO_WORDS)), "")

    def end(self, told: str, data: Path) -> str | None:
        """How a batch system ended it, by what Snakemake's plugin says or else by the logs; None if it ended itself."""
        found = re.search(r"SLURM status is: '(\w+)'", told)
        state = found[1] if found else ""
        daemon = [
            line for path in (data / self.log, Path(self.output)) for line in last_lines(path) if "slurmstepd" in line
        ]
        if state not in ENDED:
            state = next((own for words, own in NOTED.items() if any(re.search(words, line) for line in daemon)), "")
        return f"{ENDED[state].format_map(self.asked())} ({state})" if state else None

    def outer_words(self) -> str:
        """The last line that says something of what was written outside its own log."""
        return next((line for line in reversed(last_lines(Path(self.output))) if line != WRAPPED), "")


def last_lines(path: Path) -> list[str]:
    """The lines at the end of a log that say something; none if there is no log."""
    try:
        with open(path, "rb") as file:
            before = file.seek(max(0, os.fstat(file.fileno()).st_size - END_OF_LOG))
            lines = file.read().decode("utf-8", "replace").replace("\r", "\n").splitlines()
            lines = lines[1:] if before and len(lines) > 1 else lines  # the first one is cut
    except OSError:
        return []
    return [printable(line.strip()) for line in lines if line.strip()]
