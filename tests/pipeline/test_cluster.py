"""Pipelines on a cluster, with stand-ins for SLURM's commands (see fake_slurm.py) and for the stages."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console
from test_pipeline import Toy, stages

from skelpipe import resources
from skelpipe.errors import BadInput
from skelpipe.pipeline import cluster, slurm, watchdog
from skelpipe.pipeline.files import load_pipeline
from skelpipe.pipeline.lock import AREA
from skelpipe.pipeline.needs import SLOWER
from skelpipe.pipeline.plan import plan
from skelpipe.pipeline.show import Stage
from skelpipe.pipeline.site import Site, find_site, read_options
from skelpipe.pipeline.watch import Signals, Watch

FAKE_SLURM = Path(__file__).parents[1] / "fake_slurm.py"
NODE = "main*|2|12000|(null)|2:00:00"
needs_plugin = pytest.mark.skipif(
    importlib.util.find_spec("snakemake_executor_plugin_slurm") is None,
    reason="Snakemake's plugin for SLURM is not there",
)
QUICK = (
    "--executor",
    "slurm",
    "--slurm-init-seconds-before-status-checks",
    "1",
    "--seconds-between-status-checks",
    "1",
)


class Slurm:
    """The memory of the stand-ins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.set("sinfo", NODE)

    def set(self, name: str, text: str = "") -> None:
        (self.folder / name).write_text(text)

    def calls(self, command: str) -> list[list[str]]:
        """The words of each call of a command."""
        file = self.folder / "calls.txt"
        called = [shlex.split(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [words[1:] for words in called if words[0] == command]


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """SLURM's commands on the PATH, one node of two CPUs and no GPU, no accounts."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for command in ("sbatch", "srun", "squeue", "scancel", "sinfo", "scontrol", "sacct"):
        (programs / command).write_text(f"#!{sys.executable}\n" + FAKE_SLURM.read_text())
        (programs / command).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(tmp_path / "slurm"))
    monkeypatch.setenv("PYTHONPATH", str(Path(resources.__file__).parents[1]))
    return Slurm(tmp_path / "slurm")


def values(words: list[str]) -> dict[str, str]:
    """The options of a call with what follows them."""
    after = zip(words, [*words[1:], ""], strict=True)
    return dict(word.split("=", 1) if "=" in word else (word, value) for word, value in after)


# The whole way, with Snakemake and its plugin -----------------------------------------------------------------------
@pytest.mark.slow
@needs_plugin
def test_stages_go_through_the_queue_with_what_they_need(tmp_path, fake, capsys):
    toy = Toy(tmp_path, recipes=["./one.yaml"], streams=["joint"])
    status, calls = toy.go(*QUICK, "--until", "ingest")
    told = capsys.readouterr()
    assert (status, stages(calls)) == (0, ["ingest", "synth"])
    assert "[1/6] to the queue: synth raw/toy\n" in told.out
    assert ": synth raw/toy\n" in told.out.partition("      begun after ")[2]
    assert re.search(r"ingest stores/toy.zarr: done in \S+ with its time in the queue, made\n", told.out)
    synth, ingest = map(values, fake.calls("sbatch"))
    # 8 threads were asked for, and the node has 2; a stage without a GPU asks for none.
    assert (ingest["--cpus-per-task"], ingest["--mem"], ingest["-t"]) == ("2", "2000", "16")
    assert "--gpus" not in ingest
    assert "--mem" in synth
    # There are no accounts, and nobody had to say so.
    asked = [values(words) for words in fake.calls("squeue")]
    assert any("--states" in words for words in asked)
    assert not (toy.data / AREA / cluster.NAME).exists()


@pytest.mark.slow
@needs_plugin
def test_a_refusal_is_told_in_sbatchs_words(tmp_path, fake, capsys):
    toy = Toy(tmp_path, recipes=["./one.yaml"], streams=["joint"])
    fake.set("refuse", "sbatch: error: Invalid generic resource (gres) specification")
    assert toy.go(*QUICK) == (1, [])
    told = capsys.readouterr().err.splitlines()
    gpus = "1 pretrain stages ask for a GPU, and partition main has none; train on CPUs by --set gpus=0, or name"
    assert gpus in told[0]
    assert "evaluate stages ask for a GPU" in told[1]
    assert told[2].startswith(
        "skelpipe: synth raw/toy was refused by sbatch: Invalid generic resource (gres) specification; train on CPUs "
        "by --set gpus=0, or name a partition that has GPUs by -- --set-resources synth:slurm_partition=NAME"
    )
    assert told[3:-1] == ["skelpipe: synth raw/toy failed again"] * slurm.RETRIES
    assert told[-1].startswith("skelpipe: synth raw/toy failed, no others ended well; 5 were not begun; ")
    # Each attempt asked for more.
    assert [values(words)["--mem"] for words in fake.calls("sbatch")] == ["1000", "2000", "3000"]


@pytest.mark.slow
@needs_plugin
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_what_waits_for_ever_is_told_and_any_signal_ends_it(tmp_path, fake, how):
    toy = Toy(tmp_path, recipes=["./one.yaml"], streams=["joint"])
    fake.set("hold", "PartitionConfig")
    code = toy.code.replace(
        "import sys;", "import sys; from skelpipe.pipeline import cluster; cluster.ASK_SECONDS = 0.5;"
    )
    code = code.replace("command=", f"snakemake_args={QUICK!r}, command=")
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    lines = iter(process.stderr.readline, "")
    told = next(line for line in lines if "waits in the queue" in line)
    assert told == (
        "skelpipe: synth raw/toy waits in the queue as job 1: PartitionConfig: it asks for 1 CPUs, 1000M of memory, "
        "20:00 of time, and nodes of partition main have at most 2 CPUs, 12000 MB, 0 GPUs, for 120 minutes; 'sinfo' "
        "lists them; name one by -- --set-resources synth:slurm_partition=NAME, or for all stages by "
        "-- --default-resources slurm_partition=NAME\n"
    )
    process.send_signal(how)
    said = process.communicate(timeout=60)[1]
    if how is not signal.SIGKILL:
        assert process.returncode == 130
        ending = "its jobs in SLURM are cancelled; the same command goes on from what is done\n"
        assert said == f"skelpipe: interrupted ({how.name}); {ending}"
    until = time.monotonic() + 30
    while (job := json.loads((fake.folder / "jobs/1.json").read_text()))[
        "state"
    ] != "CANCELLED" and time.monotonic() < until:
        time.sleep(0.1)
    assert job["state"] == "CANCELLED"


# What is known before anything is submitted -------------------------------------------------------------------------
def test_options_are_read_as_snakemake_reads_them():
    words = [
        "--executor=slurm",
        "-j8",
        "-c",
        "2",
        "--default-res",
        "mem_mb=1",
        "slurm_partition=a",
        "--restart-times",
        "3",
        "-k",
    ]
    assert read_options(words) == {
        "executor": ["slurm"], "jobs": ["8"], "cores": ["2"], "default-resources": ["mem_mb=1", "slurm_partition=a"],
        "retries": ["3"], "keep-going": [],
    }  # fmt: skip


def site_of(*words: str) -> Site:
    return Site(words, read_options(words))


def test_without_accounts_squeue_is_asked_and_often_enough(fake, monkeypatch):
    monkeypatch.setattr("importlib.import_module", lambda name: type("Plugin", (), {"ExecutorSettings": Settings}))
    assert slurm.options(site_of()) == ["--slurm-status-command", "squeue", "--jobs", "100"]
    assert slurm.options(site_of("--slurm-status-command", "sacct", "--jobs", "4")) == []
    fake.set("accounts")
    assert slurm.options(site_of("-j4")) == []
    (fake.folder / "accounts").unlink()
    monkeypatch.setattr(slurm, "answer", lambda *words: "MinJobAge = 60 sec" if words[0] == "scontrol" else None)
    wait = ["--slurm-init-seconds-before-status-checks", "20"]
    assert slurm.options(site_of("-j4")) == ["--slurm-status-command", "squeue", *wait]
    monkeypatch.setattr(slurm, "answer", lambda *words: "MinJobAge = 2 sec" if words[0] == "scontrol" else None)
    with pytest.raises(BadInput, match=r"keeps no accounts .sacct. and forgets jobs 2 seconds after their end"):
        slurm.options(site_of("-j4"))
    monkeypatch.setattr(Settings, "__dataclass_fields__", {})
    with pytest.raises(BadInput, match="pip install --upgrade snakemake-executor-plugin-slurm"):
        slurm.options(site_of("-j4"))


class Settings:
    __dataclass_fields__ = dict.fromkeys(("status_command", "init_seconds_before_status_checks"))


def test_where_there_is_no_sbatch_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match="sbatch: is not found, .*login node"):
        slurm.options(site_of())
    assert slurm.find_partitions() == []


def test_partitions_are_as_large_as_their_largest_node(fake, tmp_path):
    fake.set(
        "sinfo",
        "main*|8|64000|(null)|1-00:00:00\nmain*|16|32000|(null)|1-00:00:00\n"
        "gpu|64|512000|gpu:a100:4(S:0-1),shard:8|infinite\nold|4|1|gpu:2|30:00",
    )
    main, gpu, old = slurm.find_partitions()
    assert main == slurm.Partition("main", True, 16, 64000, 0, 1440)
    assert gpu == slurm.Partition("gpu", False, 64, 512000, 4, None)
    assert (old.gpus, old.minutes, old.mem_mb) == (2, 30, 1)
    site = site_of(
        "--executor", "slurm", "--set-resources", "pretrain:slurm_partition=gpu", "synth:slurm_partition=old"
    )
    limits = cluster.Cluster(tmp_path, site).limits()
    assert limits["most"]["ingest"] == {"threads": 16, "mem_mb": 64000, "runtime": 1440}
    assert limits["most"]["pretrain"] == {"threads": 64, "mem_mb": 512000}
    assert limits["unasked"] == ["mem_mb"]  # of one partition SLURM is not told the memory, and 1 MB is no memory
    site = site_of("--executor", "slurm", "--default-resources", "runtime=60", "mem=4GB", "slurm_partition=gpu")
    limits = cluster.Cluster(tmp_path, site).limits()
    assert limits["unasked"] == ["mem_mb", "runtime"]
    assert {most["threads"] for most in limits["most"].values()} == {64}


@pytest.mark.parametrize(
    ("reasons", "remedy"),
    [
        (["Invalid generic resource (gres) specification"], "--set gpus=0"),
        (["invalid partition specified: nope", "Invalid partition name specified"], "'sinfo' lists them"),
        (
            ["Memory specification can not be satisfied", "Requested node configuration is not available"],
            "resources.pretrain.mem_mb",
        ),
        (["Invalid account or account/partition combination specified"], "slurm_account=NAME"),
        (["Requested time limit is invalid (missing or exceeds some limit)"], "resources.pretrain.runtime"),
        (["CPU count per node can not be satisfied"], "--max-threads"),
        (["More processors requested than permitted"], "--max-threads"),
        (["Invalid qos specification"], "--slurm-qos"),
        (["Unable to contact slurm controller (connect failure)"], "'-v' shows"),
    ],
)
def test_sbatchs_reason_has_its_remedy(reasons, remedy):
    *first, last = reasons
    said = "\n".join(
        [*(f"sbatch: error: {line}" for line in first), f"sbatch: error: Batch job submission failed: {last}"]
    )
    message = f"SLURM sbatch failed. The error message was '{said}'.\n    sbatch call:\n        sbatch --wrap='x'\n"
    told = slurm.refusal(message)
    assert told == "; ".join(reasons)
    assert remedy in slurm.remedy("pretrain", told)
    assert slurm.refusal("SLURM-job '7' failed") is None


def test_a_queue_that_moves_is_no_reason_to_worry():
    job = slurm.Queued("PENDING", "Priority", "main", 8, "20:00", "8 CPUs")
    main = {"main": slurm.Partition("main", True, 2, 12000, 0, 120)}
    assert slurm.why_waiting("pretrain", "7", job, main) is None
    told = slurm.why_waiting(
        "pretrain", "7", slurm.Queued("PENDING", "PartitionConfig", "main", 8, "20:00", "8 CPUs"), main
    )
    assert told is not None
    assert told.endswith("ask for fewer CPUs by -- --max-threads 2")
    late = slurm.why_waiting(
        "ingest", "7", slurm.Queued("PENDING", "PartitionConfig", "main", 1, "10:00:00", "1 CPU"), main
    )
    assert late is not None
    assert late.endswith("--set resources.ingest.runtime=MINUTES")
    held = slurm.why_waiting("ingest", "7", slurm.Queued("PENDING", "JobHeldUser", "main", 1, "1:00", "1 CPU"), {})
    assert held == "JobHeldUser: it asks for 1 CPU; it may still begin; 'scontrol show job 7' has more"


# What Snakemake says of jobs ----------------------------------------------------------------------------------------
SUBMITTED = """rule pretrain:
    input: stores/toy-50.zarr/done.json
    output: runs/a/run/done.json
    log: logs/runs/a/run.log
    jobid: 4
    threads: 2
    resources: tmpdir=<TBD>, mem_mb=2000, runtime=60, gpu=1
Shell command: skelpipe pretrain one runs/a/run > logs/runs/a/run.log 2>&1
Job 4 has been submitted with SLURM jobid 77 (log: {outer}).
"""
FAILED = """[Sat Nov 28 18:47:34 2026]
Error in rule pretrain:
    message: SLURM-job '77' failed, SLURM status is: '{state}'. Detailed failure reason unavailable.
For further error details see the cluster/cloud log and the log files of the involved rule(s).
    jobid: 4
    log: logs/runs/a/run.log (check log file(s) for error details)
[Sat Nov 28 18:47:35 2026]
"""


class Listener:
    """A watch on a cluster, and what it was told."""

    def __init__(self, folder: Path) -> None:
        self.data, self.outer = folder, folder / "77.log"
        (folder / "logs/runs/a").mkdir(parents=True)
        (folder / AREA).mkdir()
        self.log = folder / "logs/runs/a/run.log"
        site = site_of("--executor", "elsewhere")
        stages = [Stage("pretrain", "runs/a/run", True)]
        self.watch = Watch(Console(), folder, stages, False, Signals(True), cluster.Cluster(folder, site))

    def state(self) -> str:
        (row,) = self.watch.board.rows.values()
        return f"{row.state}: {self.watch.board.details(row)[0]}"

    def hear(self, text: str) -> None:
        for line in text.format(outer=self.outer, state="FAILED").splitlines():
            self.watch.see(line)


def test_a_queued_job_is_not_told_as_running(tmp_path, capsys):
    at = Listener(tmp_path)
    at.log.write_text("of an earlier attempt\n")
    at.hear(SUBMITTED)
    at.watch.look()
    assert at.state() == "queued: "
    assert capsys.readouterr().out == "[1/1] to the queue: pretrain runs/a/run\n"
    at.log.write_text("epoch 1/2\n")
    at.watch._looked = 0.0
    at.watch.look()
    assert at.state() == "running: epoch 1/2"
    assert capsys.readouterr().out.endswith("as job 77: pretrain runs/a/run\n")


@pytest.mark.parametrize(
    ("state", "outer", "log", "told"),
    [
        ("OUT_OF_MEMORY", "", "epoch 3/9\n",
         "needed more memory than the 2000 MB that it asked for (OUT_OF_MEMORY); it last said: epoch 3/9"),
        ("TIMEOUT", "", "", "took longer than the 60 minutes that it asked for (TIMEOUT)"),
        ("CANCELLED", "", "", "was cancelled (CANCELLED)"),
        # What real ones wrote, where squeue says FAILED of all of them.
        ("FAILED", "slurmstepd-vm: error: StepId=25.0 exceeded memory limit (194842624 > 188743680), being killed\n"
         "slurmstepd-vm: error: *** STEP 25.0 ON vm CANCELLED AT 2026-11-28T19:27:25 ***\n", "",
         "needed more memory than the 2000 MB that it asked for (OUT_OF_MEMORY)"),
        ("FAILED", "", "slurmstepd: error: *** STEP 9.0 ON n1 CANCELLED AT 2026-11-28T19:27:25 DUE TO TIME LIMIT ***\n",
         "took longer than the 60 minutes that it asked for (TIMEOUT)"),
        ("FAILED", "At least one job did not complete successfully.\n", "skelpipe: c.zarr: is damaged; remake it\n",
         "failed: c.zarr: is damaged; remake it"),
        ("FAILED", "/var/spool/slurmd/job77/slurm_script: line 4: /opt/python3: No such file or directory\n", "",
         "failed: /var/spool/slurmd/job77/slurm_script: line 4: /opt/python3: No such file or directory"),
        ("FAILED", "", "", "failed: it said nothing"),
    ],
)  # fmt: skip
def test_how_a_job_ended_is_told(tmp_path, capsys, state, outer, log, told):
    at = Listener(tmp_path)
    at.hear(SUBMITTED)
    if outer:
        at.outer.write_text(outer)
    if log:
        at.log.write_text(log)
    at.hear(FAILED.replace("{state}", state))
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"skelpipe: pretrain runs/a/run {told}"
    assert said[1].startswith("skelpipe: its log is ")
    assert at.watch.failed == ["pretrain runs/a/run"]
    at.hear("Trying to restart job 4.\n" + SUBMITTED)
    assert at.watch.failed == []
    assert capsys.readouterr().out.endswith("      to the queue again, asking for more: pretrain runs/a/run\n")


def test_a_retry_without_a_cluster_goes_to_no_queue(tmp_path, capsys):
    watch = Watch(Console(), tmp_path, [Stage("pretrain", "runs/a/run", True)], False, Signals())
    started = SUBMITTED.rpartition("Job 4 has")[0]
    failed = "Error in rule pretrain:\n    jobid: 4\n[Sat Nov 28 18:47:35 2026]\n"
    for line in (started + failed + "Trying to restart job 4.\n" + started + "Finished jobid: 4\n").splitlines():
        watch.see(line)
    assert watch.failed == []
    assert "      once more: pretrain runs/a/run\n" in capsys.readouterr().out


def test_a_job_whose_end_is_never_heard_of_is_told(tmp_path, capsys, monkeypatch):
    at = Listener(tmp_path)
    at.hear(SUBMITTED)
    queue: dict[str, slurm.Queued] = {"77": slurm.Queued("RUNNING", "None", "main", 1, "20:00", "1 CPU")}
    monkeypatch.setattr(slurm, "jobs_named", lambda name: dict(queue))
    monkeypatch.setattr(cluster, "ASK_SECONDS", 0.0)
    monkeypatch.setattr("skelpipe.pipeline.watch.LOOK_SECONDS", 0.0)
    monkeypatch.setattr("skelpipe.pipeline.watch.GONE_SECONDS", 0.0)
    at.watch.see("SLURM run ID: abc-1")
    at.watch.look()
    assert capsys.readouterr().err == ""
    queue.clear()
    for _ in range(3):
        at.watch.look()
    said = capsys.readouterr().err
    assert said.count("job 77 has left the queue, and Snakemake cannot read how it ended") == 1


def test_jobs_of_an_earlier_run_are_not_doubled(tmp_path, fake):
    (tmp_path / AREA).mkdir()
    (tmp_path / AREA / cluster.NAME).write_text("abc-1")
    fake.set("hold", "Priority")
    words = ["sbatch", "--job-name", "abc-1", "--output", "x", "--wrap", "true"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    with pytest.raises(BadInput, match=r"earlier run are still in SLURM .1.; wait .* 'scancel --name abc-1'"):
        cluster.check_earlier(tmp_path)
    subprocess.run(["scancel", "--name", "abc-1"], check=True)
    cluster.check_earlier(tmp_path)
    assert not (tmp_path / AREA / cluster.NAME).exists()


def test_a_guard_cancels_jobs_that_it_was_told_of(fake):
    fake.set("hold", "Priority")
    words = ["sbatch", "--job-name", "abc-1", "--output", "x", "--wrap", "true"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    for last, cancelled in ((b"abc-1\n.", False), (b"abc-1\n", True)):
        guard = [sys.executable, "-I", "-S", watchdog.__file__]
        subprocess.run(guard, input=last, process_group=0, timeout=60, check=True)
        assert bool(fake.calls("scancel")) == cancelled


# What stages ask for ------------------------------------------------------------------------------------------------
def planned(tmp_path: Path, *changes: str, **keys) -> dict:
    toy = Toy(tmp_path, recipes=["./one.yaml"], streams=["joint"], **keys)
    return plan(*load_pipeline(toy.file, changes), toy.data, lacking=[])


def test_every_stage_has_needs_that_grow_with_the_data(tmp_path):
    small, large = planned(tmp_path), planned(tmp_path, "synth=null", "shards=3")
    for config in (small, large):
        kinds = ("synth", "store_parts", "stores", "clips_parts", "clips", "runs", "evaluations", "fusions", "reports")
        assert config["needs"].keys() == {folder for kind in kinds for folder in config[kind]}
    (run,), (whole,) = small["runs"], large["runs"]
    # 56,578 clips of 50 frames, 30 KB each, and twice that is asked for.
    more = large["needs"][whole]["mem_mb"] - small["needs"][run]["mem_mb"]
    assert abs(more - 2 * 56_578 * 0.03) <= 500
    assert large["needs"][whole]["runtime"] > 24 * 60 > small["needs"][run]["runtime"]
    ingest = large["needs"]["stores/ntu60.zarr.1of3"]
    assert ingest == {"mem_mb": 2000, "runtime": 15 + round(2 * SLOWER * 56_578 * 1.6 / 60_000 + 0.5)}


def test_a_pipeline_may_state_needs_and_do_without_gpus(tmp_path):
    config = planned(tmp_path, "resources.pretrain.mem_mb=7", "resources.evaluate={runtime: 5}", "gpus=0")
    ((run, stage),), (evaluation,) = config["runs"].items(), config["evaluations"]
    assert config["needs"][run]["mem_mb"] == 7
    assert config["needs"][evaluation]["runtime"] == 5
    assert config["gpus"] == 0
    # Where it runs is no reason to train it again.
    assert stage == planned(tmp_path)["runs"][run]
    with pytest.raises(BadInput, match=r"resources.pretrian: unknown key .did you mean 'pretrain'"):
        planned(tmp_path, "resources.pretrian.mem_mb=7")
    with pytest.raises(BadInput, match="gpus"):
        planned(tmp_path, "gpus=2")


def test_without_gpus_stages_run_on_cpus_and_as_many_at_once_as_there_are_slots(tmp_path, capsys):
    toy = Toy(tmp_path, recipes=["./one.yaml"], streams=["joint"])
    assert toy.go(overrides=["gpus=0"], verbose=True)[0] == 0
    told = capsys.readouterr()
    assert "--device cpu --threads" in next(line for line in told.out.splitlines() if "skelpipe pretrain" in line)
    assert "Provided resources: slot=" in told.err
    # The device is no reason to make anything anew.
    assert toy.go() == (0, [])


# Surroundings -------------------------------------------------------------------------------------------------------
@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An empty current folder, and no profile of this machine."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)
    return folder


def write_profile(folder: Path, text: str, name: str = "config.yaml") -> Path:
    folder.mkdir(parents=True)
    (folder / name).write_text(text)
    return folder / name


def test_a_profile_that_is_not_there_is_named(elsewhere, monkeypatch):
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "slurm")
    with pytest.raises(
        BadInput, match=r"SNAKEMAKE_PROFILE=slurm: is no profile .*here/slurm, .*unset SNAKEMAKE_PROFILE"
    ):
        find_site([])
    assert find_site(["--profile", "none"]).profiles == ()
    with pytest.raises(BadInput, match=r"--profile other: is no profile .*or leave it out"):
        find_site(["--profile", "other"])
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "none")
    assert find_site([]).profiles == ()


def test_profiles_are_taken_the_strongest_first(elsewhere, monkeypatch, tmp_path):
    write_profile(tmp_path / "home/snakemake/mine", "jobs: 3\nset-resources: {pretrain: {slurm_partition: gpu}}\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "mine")
    site = find_site([])
    assert (site.get("jobs"), site.values("set-resources")) == (["3"], {"pretrain:slurm_partition": "gpu"})
    write_profile(elsewhere / "profiles/default", "jobs: 4\n", "profile.v8+.yaml")
    (elsewhere / "profiles/default/config.v99+.yaml").write_text("jobs: 5\n")  # for a version to come
    site = find_site([])
    assert [profile.path.name for profile in site.profiles] == ["profile.v8+.yaml", "config.yaml"]
    assert site.get("jobs") == ["4"]
    assert find_site(["-j", "2"]).get("jobs") == ["2"]
    assert not site.remote


@pytest.mark.parametrize("text", ["executor: [slurm", "- a\n", "", "\x00"])
def test_a_profile_that_cannot_be_read_is_named(elsewhere, text):
    write_profile(elsewhere / "profiles/default", text)
    with pytest.raises(BadInput, match=r"^profiles/default/config.yaml: Snakemake's profile \(of the current folder\)"):
        find_site([])


def test_an_executor_without_its_plugin_says_what_to_install(elsewhere):
    with pytest.raises(BadInput, match=r"--executor lsf: .* not installed; pip install snakemake-executor-plugin-lsf"):
        find_site(["--executor", "lsf"])
    with pytest.raises(BadInput, match="did you mean 'slurm'"):
        find_site(["--executor", "slrum"])
    write_profile(elsewhere / "profiles/default", "executor: lsf\n")
    with pytest.raises(BadInput, match=r"^profiles/default/config.yaml: executor: lsf: "):
        find_site([])


def test_a_run_takes_the_profile_of_its_folder_and_names_it_where_it_fails(elsewhere, tmp_path, monkeypatch):
    toy = Toy(tmp_path, recipes=["./one.yaml"], streams=["joint"])
    (elsewhere / "default").mkdir()  # which Snakemake itself would take for a profile
    assert toy.go(dry_run=True) == (0, [])
    write_profile(elsewhere / "profiles/default", "cores: 1\nlatency-wait: 9\n")
    status, calls = toy.go("--until", "synth")
    assert (status, stages(calls)) == (0, ["synth"])
    (elsewhere / "profiles/default/config.yaml").write_text("nonsense: 1\n")
    monkeypatch.setenv("SNAKEMAKE_OUTPUT_CACHE", "/nowhere")
    with pytest.raises(BadInput) as caught:
        toy.go()
    assert "unrecognized arguments: --nonsense=1" in str(caught.value)
    assert "check the profile profiles/default/config.yaml (of the current folder), " in str(caught.value)
    assert "SNAKEMAKE_OUTPUT_CACHE=/nowhere in the environment" in str(caught.value)
    assert "'--'" not in str(caught.value)


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs a folder that nobody can write to")
def test_without_a_home_that_can_be_written_to_the_cache_lies_in_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/proc/nohome")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    toy = Toy(tmp_path, recipes=["./one.yaml"], streams=["joint"])
    status, calls = toy.go("--until", "synth")
    assert (status, stages(calls)) == (0, ["synth"])
    assert (toy.data / AREA / "cache/snakemake").is_dir()
