"""SLURM asked: what its nodes have, whether it keeps accounts, how jobs stand in its queue; and told to cancel them.

Nothing here is needed to submit: a question that is not answered is left open.
"""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from skelpipe.errors import BadInput, printable
from skelpipe.pipeline.site import Site

log = logging.getLogger(__name__)
PATIENCE = 20  # seconds for an answer
LEAST_MB = 512  # a node of which SLURM knows less has no stated memory (the default is 1), and none can be asked for
USUAL_JOB_AGE = 300  # seconds for which finished jobs are remembered, unless the cluster says otherwise
CHECKS = 3  # the plugin asks squeue only if finished jobs are remembered for so many of its waits
FIRST_WAIT = 40  # seconds: the plugin's own, before it asks for the first time
JOBS = 100  # at once, unless --jobs says how many; the queue holds the rest
RETRIES = 2
LATENCY = 60  # seconds in which a file that another node wrote has to be seen here
# Reasons to wait that pass by themselves.
PASSING = {"None", "Priority", "Resources", "BeginTime", "Cleaning", "Prolog", "Licenses", "Dependency"}
# What squeue or sbatch say -> what to do about it.
REMEDIES = {
    r"time ?limit|TimeLimit": "ask for fewer minutes by --set resources.{rule}.runtime=MINUTES",
    r"account|association|Assoc": "name your account by -- --default-resources slurm_account=NAME",
    r"[Qq][Oo][Ss]": "name another by -- --slurm-qos NAME, or start fewer --jobs",
    r"[Mm]emory": "ask for less by --set resources.{rule}.mem_mb=MB",
    r"generic resource|\bgres\b": "train on CPUs by --set gpus=0, or name a partition that has GPUs by {partition}",
    r"CPU|processors|node configuration": "ask for fewer CPUs by -- --max-threads N, or less memory by"
    " --set resources.{rule}.mem_mb=MB",
    r"partition|Partition": "'sinfo' lists them; name one by {partition}, or for all stages by"
    " -- --default-resources slurm_partition=NAME",
}
OTHERWISE = "'-v' shows the whole call"
WAITING = "it may still begin; 'scontrol show job {}' has more"


@dataclass(frozen=True)
class Partition:
    """What the largest of its nodes has, and the longest time of a job in minutes (None: no limit, or not known)."""

    name: str
    usual: bool
    cpus: int
    mem_mb: int
    gpus: int
    minutes: int | None


@dataclass(frozen=True)
class Queued:
    """A job as squeue shows it."""

    state: str
    reason: str
    partition: str
    cpus: int
    limit: str
    asked: str


def answer(*words: str) -> str | None:
    """What a command of SLURM answers, or None if it is not there, fails or takes too long."""
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=PATIENCE,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        log.info("%s gave no answer: %s", words[0], error)
        return None
    if done.returncode:
        log.info("%s failed: %s", words[0], " ".join(done.stderr.split()))
    return None if done.returncode else done.stdout


# Before anything is submitted ---------------------------------------------------------------------------------------
def options(site: Site) -> list[str]:
    """What Snakemake is told for SLURM besides what the user states.

    Raises:
        BadInput: nothing can be submitted here, or no command says when a job has ended.
    """
    if shutil.which("sbatch") is None:
        raise BadInput("sbatch", "is not found, which submits jobs to SLURM", "run this on a login node of the cluster")
    words = []
    if not site.states("slurm-status-command") and not keeps_accounts():
        words += _without_accounts(site)
    if not site.states("jobs", "cores"):
        words += ["--jobs", str(JOBS)]
    return words


def keeps_accounts() -> bool:
    """Whether sacct tells how jobs ended; without accounting it fails, and then the plugin waits for ever."""
    return shutil.which("sacct") is not None and answer("sacct", "-n", "-X", "-S", "now") is not None


def _without_accounts(site: Site) -> list[str]:
    """Let the plugin ask squeue instead, and often enough that no finished job is forgotten before."""
    from importlib import import_module

    known = import_module("snakemake_executor_plugin_slurm").ExecutorSettings.__dataclass_fields__
    if "status_command" not in known:
        what = "this cluster keeps no accounts (sacct), and Snakemake's installed plugin for SLURM asks nothing else"
        raise BadInput("--executor slurm", what, "pip install --upgrade snakemake-executor-plugin-slurm")
    found = re.search(r"^MinJobAge\s*=\s*(\d+)", answer("scontrol", "show", "config") or "", re.MULTILINE)
    age = int(found[1]) if found else USUAL_JOB_AGE
    if age < CHECKS and shutil.which("sacct"):
        what = f"this cluster keeps no accounts (sacct) and forgets jobs {age} seconds after their end (MinJobAge)"
        raise BadInput("--executor slurm", what, "ask its administrators for accounting, or for MinJobAge=300")
    log.info("SLURM keeps no accounts here: squeue is asked how jobs stand (--slurm-status-command squeue)")
    wait, words = "slurm-init-seconds-before-status-checks", ["--slurm-status-command", "squeue"]
    short = age // CHECKS < FIRST_WAIT and not site.states(wait) and "init_seconds_before_status_checks" in known
    return [*words, *([f"--{wait}", str(age // CHECKS)] if short else [])]


def find_partitions() -> list[Partition]:
    """The partitions with what their largest nodes have; none if sinfo says nothing."""
    found: dict[str, Partition] = {}
    for line in (answer("sinfo", "-h", "-N", "-o", "%P|%c|%m|%G|%l") or "").splitlines():
        fields = [part.strip() for part in line.split("|")]
        if len(fields) != 5 or not (fields[1].isdigit() and fields[2].isdigit()):
            continue
        name, usual = fields[0].rstrip("*"), fields[0].endswith("*")
        so_far = found.get(name, Partition(name, usual, 0, 0, 0, minutes(fields[4])))
        found[name] = Partition(
            name, usual, max(so_far.cpus, int(fields[1])), max(so_far.mem_mb, int(fields[2])),
            max(so_far.gpus, _gpus(fields[3])), so_far.minutes,
        )  # fmt: skip
    return list(found.values())


def partition_of(rule: str, site: Site, partitions: Mapping[str, Partition]) -> Partition | None:
    """The partition that jobs of a rule go to: the one that is stated, or the usual one, if there is such a one."""
    stated = site.values("set-resources").get(f"{rule}:slurm_partition")
    name = stated or site.values("default-resources").get("slurm_partition")
    return partitions.get(name) if name else next((p for p in partitions.values() if p.usual), None)


def minutes(text: str) -> int | None:
    """A time limit, "2:00:00", "1-00:00:00", "30:00" or "infinite", in whole minutes."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    if found is None:
        return None
    days, hours, rest, _ = (int(part or 0) for part in found.groups())
    return (days * 24 + hours) * 60 + rest


def _gpus(text: str) -> int:
    """How many GPUs stand in generic resources such as gpu:a100:4(S:0-1),shard:8."""
    parts = re.sub(r"\([^)]*\)", "", text).split(",")
    counts = [part.rpartition(":")[2] for part in parts if part.split(":")[0] == "gpu"]
    return sum(int(count) if count.isdigit() else 1 for count in counts)


# Jobs ---------------------------------------------------------------------------------------------------------------
def jobs_named(name: str) -> dict[str, Queued] | None:
    """The jobs of that name which have not ended, by their number; None if squeue says nothing."""
    told = answer("squeue", "-h", "--name", name, "-o", "%i|%T|%r|%P|%C|%m|%l|%b")
    if told is None:
        return None
    found = {}
    for line in told.splitlines():
        fields = [part.strip() for part in line.split("|")]
        if len(fields) == 8 and fields[4].isdigit():
            number, state, reason, partition, cpus, memory, limit, gres = fields
            asked = [f"{cpus} CPUs", *([f"{memory} of memory"] if memory != "0" else []), f"{limit} of time"]
            asked += [gres] if gres not in ("N/A", "(null)", "") else []
            found[number] = Queued(state, reason, partition, int(cpus), limit, ", ".join(asked))
    return found


def cancel(name: str) -> bool:
    """Cancel all jobs of that name; whether scancel did."""
    return answer("scancel", "--name", name) is not None


def why_waiting(rule: str, number: str, job: Queued, partitions: Mapping[str, Partition]) -> str | None:
    """Why a job waits, if that does not pass by itself: what it asks for, what is there, and what to do."""
    if job.reason in PASSING:
        return None
    told, there = f"{job.reason}: it asks for {job.asked}", partitions.get(job.partition)
    otherwise = WAITING.format(number)
    if there is None:
        return f"{told}; {remedy(rule, job.reason, otherwise)}"
    told += (
        f", and nodes of partition {there.name} have at most {there.cpus} CPUs, {there.mem_mb} MB, {there.gpus} GPUs"
    )
    told += "" if there.minutes is None else f", for {there.minutes} minutes"
    if job.cpus > there.cpus:
        return f"{told}; ask for fewer CPUs by -- --max-threads {there.cpus}"
    late = there.minutes is not None and (minutes(job.limit) or 0) > there.minutes
    return f"{told}; {remedy(rule, 'time limit' if late else job.reason, otherwise)}"


def refusal(message: str) -> str | None:
    """sbatch's own reason in what Snakemake's plugin says of a job that was not submitted."""
    found = re.search(r"The error message was '?(.*?)'?\.?\s*(?:sbatch call:.*)?$", message, re.DOTALL)
    if found is None:
        return None
    lines = [re.sub(r"^sbatch: (?:error: |warning: )?", "", line.strip()) for line in found[1].splitlines()]
    told = dict.fromkeys(re.sub(r"^Batch job submission failed: ", "", line) for line in lines if line)
    return printable("; ".join(told)) or "it gave no reason"


def remedy(rule: str, reason: str, otherwise: str = OTHERWISE) -> str:
    """What to do about a reason of SLURM's."""
    found = next((text for pattern, text in REMEDIES.items() if re.search(pattern, reason)), otherwise)
    return found.format(rule=rule, partition=f"-- --set-resources {rule}:slurm_partition=NAME")
