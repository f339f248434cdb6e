"""Stands in for the commands of SLURM: one node, jobs that begin at once unless they are held, a folder for a memory.

Called by the name of the command that it stands in for. In the folder FAKE_SLURM: `calls.txt` takes what was called,
`refuse` holds what sbatch says instead of taking a job, `hold` the reason for which jobs wait, `sinfo` what sinfo says,
`accounts` makes sacct answer; `jobs/N.json` are the jobs.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

home, command, words = Path(os.environ["FAKE_SLURM"]), Path(sys.argv[0]).name, sys.argv[1:]
jobs = home / "jobs"
with open(home / "calls.txt", "a") as calls:
    calls.write(shlex.join([command, *words]) + "\n")


def option(*names, usual=""):
    for place, word in enumerate(words):
        name, given, value = word.partition("=")
        if name in names:
            return value if given else words[place + 1]
    return usual


def state_of(job):
    ended = home / f"ended-{job['number']}"
    if job["state"] == "RUNNING" and ended.exists():
        return "COMPLETED" if ended.read_text().strip() == "0" else "FAILED"
    return job["state"]


def known(name):
    found = [json.loads(path.read_text()) for path in sorted(jobs.glob("*.json"))]
    return [job for job in found if name in ("", job["name"])]


if command == "sbatch":
    if (home / "refuse").exists():
        sys.exit((home / "refuse").read_text().strip())
    jobs.mkdir(exist_ok=True)
    number = len(list(jobs.iterdir())) + 1
    job = {
        "number": number, "name": option("--job-name"), "cpus": option("--cpus-per-task", usual="1"),
        "memory": option("--mem", usual="0"), "state": "RUNNING", "group": 0,
    }  # fmt: skip
    if (home / "hold").exists():
        job["state"] = "PENDING"
    else:
        script = f"{option('--wrap')}\necho $? > {shlex.quote(str(home / f'ended-{number}'))}"
        with open(option("--output").replace("%j", str(number)), "w") as output:
            job["group"] = subprocess.Popen(
                ["/bin/sh", "-c", script], env={**os.environ, "SLURM_JOB_ID": str(number)}, cwd=option("-D"),
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            ).pid  # fmt: skip
    (jobs / f"{number}.json").write_text(json.dumps(job))
    print(number)
elif command == "srun":
    start = next(place for place, word in enumerate(words) if not word.startswith("-"))
    os.execvp(words[start], words[start:])
elif command == "squeue":
    shown = known(option("--name"))
    if option("--states") != "all":
        shown = [job for job in shown if state_of(job) in ("RUNNING", "PENDING")]
    reason = (home / "hold").read_text().strip() if (home / "hold").exists() else "None"
    for job in shown:
        fields = {
            "%i": str(job["number"]), "%T": state_of(job), "%r": reason, "%P": "main", "%C": job["cpus"],
            "%m": job["memory"] + "M", "%l": "20:00", "%b": "N/A",
        }  # fmt: skip
        line = option("-o", "--format")
        for key, value in fields.items():
            line = line.replace(key, value)
        print(line)
elif command == "scancel":
    for job in known(option("--name", usual="nothing")):
        if job["group"]:
            with suppress(ProcessLookupError):
                os.killpg(job["group"], signal.SIGTERM)
        (jobs / f"{job['number']}.json").write_text(json.dumps({**job, "state": "CANCELLED"}))
elif command == "sinfo":
    print("main*" if "-N" not in words else (home / "sinfo").read_text().strip())
elif command == "scontrol":
    print("MinJobAge               = 300 sec")
elif command == "sacct" and not (home / "accounts").exists():
    sys.exit("Slurm accounting storage is disabled")
