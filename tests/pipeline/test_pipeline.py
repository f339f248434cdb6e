"""Pipelines: what they say, and what Snakemake makes of them (with stand-ins for the stages, see fake_stage.py)."""

from __future__ import annotations

import _thread
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from kills import at_work

from skelpipe import resources
from skelpipe.cli import main
from skelpipe.errors import BadInput
from skelpipe.outputs.digests import read_digest
from skelpipe.outputs.locks import lock
from skelpipe.paper import systems
from skelpipe.pipeline import show, snakemake, watchdog
from skelpipe.pipeline.experiments import list_experiments
from skelpipe.pipeline.files import load_pipeline
from skelpipe.pipeline.lock import AREA
from skelpipe.pipeline.plan import list_raw, plan
from skelpipe.pipeline.run import run, teller
from skelpipe.pipeline.site import Site
from skelpipe.pipeline.spec import Pipeline
from skelpipe.pipeline.watch import read_lines
from skelpipe.recordings.synthetic import write_raw
from skelpipe.training.recipe import load_recipe

FAKE = Path(__file__).parents[1] / "fake_stage.py"
TOY = {
    "title": "toy",
    "splits": ["xsub60"],
    "recipes": ["./one.yaml", "./two.yaml"],
    "streams": ["joint", "bone"],
    "synth": {"actions": 3, "frames": [20, 30]},
}


def write_toy(folder: Path, **changes) -> Path:
    """A pipeline file with its own two recipes beside it."""
    folder.mkdir(exist_ok=True)
    recipe = (resources.shipped("models") / "skeletonclr.yaml").read_text()
    for name in ("one", "two"):
        (folder / f"{name}.yaml").write_text(recipe)
    (folder / "toy.yaml").write_text(yaml.safe_dump({**TOY, **changes}))
    return folder / "toy.yaml"


class Toy:
    """A toy pipeline and its data folder; `go` runs it and returns what it did."""

    def __init__(self, folder: Path, data: str = "data", **changes) -> None:
        self.file, self.data = write_toy(folder, **changes), folder / data

    @property
    def code(self) -> str:
        """A program that does what `go` does."""
        command = f"[sys.executable, {str(FAKE)!r}]"
        return (
            "import sys; from skelpipe.pipeline.run import run;"
            f"sys.exit(run({str(self.file)!r}, data={str(self.data)!r}, command={command}))"
        )

    def go(self, *snakemake_args: str, **options) -> tuple[int, list[str]]:
        (self.data / "calls.txt").unlink(missing_ok=True)
        options = {"snakemake_args": snakemake_args, "data": self.data, **options}
        status = run(self.file, command=[sys.executable, str(FAKE)], **options)
        calls = self.data / "calls.txt"
        return status, sorted(calls.read_text().splitlines()) if calls.exists() else []


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    # The stand-in imports skelpipe wherever it is started, also from a checkout that is not installed.
    monkeypatch.setenv("PYTHONPATH", str(Path(resources.__file__).parents[1]))


def stages(calls: list[str]) -> list[str]:
    return [call.split()[0] for call in calls]


def _change(file: Path) -> None:
    file.write_text(file.read_text()[:-2].replace("0.5", "0.6"))


def test_damaged_accuracies_are_made_anew(tmp_path, capsys):
    toy = Toy(tmp_path, recipes=["./one.yaml"])
    assert toy.go()[0] == 0
    for folder, name, damage, told in (
        ("joint-s0/linear+knn", "metrics.json", _change, "its metrics.json is damaged"),
        ("joint-s0/linear+knn", "metrics.json", Path.unlink, "its metrics.json is missing"),
        ("fused-s0/linear+knn-joint+bone", "done.json", _change, "its done.json cannot be read report "),
    ):
        (out,) = toy.data.glob(f"runs/*/*/one/{folder}")
        whole = (out / name).read_bytes()
        damage(out / name)
        capsys.readouterr()
        assert toy.go(dry_run=True) == (0, [])
        assert f"to do: {told}" in re.sub(r"\s+", " ", capsys.readouterr().out)
        status, calls = toy.go()
        assert status == 0
        assert stages(calls) == [*(["evaluate"] if "joint-s0" in folder else []), "fuse", "report"]
        assert (out / name).read_bytes() == whole
    assert toy.go() == (0, [])


def test_only_what_changed_runs_again_in_a_folder_of_any_name(tmp_path, capsys):
    toy = Toy(tmp_path, 'it\'s a "test" {x}', set={"one": ["views.query=[crop, {shear: {amplitude: 0.5}}]"]})
    status, calls = toy.go()
    assert status == 0
    assert stages(calls) == [
        *["evaluate"] * 4,
        *["fuse"] * 2,
        "ingest",
        "prepare",
        *["pretrain"] * 4,
        "report",
        "synth",
    ]
    assert sum("--set 'views.query=[crop, {shear: {amplitude: 0.5}}]' " in call for call in calls) == 2
    shown = capsys.readouterr().out
    assert "12 to do" not in shown
    assert "0 of 14 stages are done, 14 to do." in shown
    assert "[1/14] synth raw/toy: done in " in shown
    assert re.search(r"\[\d+/14\] pretrain runs/toy-50/xsub60/two/joint-s0/run: done in \d+:\d\d, made\n", shown)
    assert shown.count("/14] ") == 14  # a line for each stage, without its command
    assert "--force" not in shown
    log = (toy.data / "logs/raw/toy.log").read_text()  # where it stands
    assert log.startswith("$ skelpipe synth ntu60 raw/toy --actions 3 --seed 0 --frames 20 30 --force\n")
    assert shown.rstrip().endswith("Report: " + str(toy.data / "reports/toy/report.html"))
    assert (toy.data / "logs/runs/toy-50/xsub60/two/joint-s0/run.log").read_text().endswith(": made\n")

    recipe = tmp_path / "one.yaml"
    recipe.write_text("# only a comment\n" + recipe.read_text())
    assert toy.go() == (0, [])
    assert "All is done." in capsys.readouterr().out

    recipe.write_text(recipe.read_text().replace("temperature: 0.07", "temperature: 0.2"))
    (toy.data / "interrupt").write_text("kill")
    assert toy.go()[0] == 1
    told = capsys.readouterr().err
    assert "failed: " in told
    mended = "once that is mended, the same command goes on from here"
    assert re.search(
        rf"skelpipe: pretrain \S+/run failed, (no|\d+) others? ended well.*; \d were not begun; {mended}\n", told
    )
    # What a run wrote before it was killed is still there for it to go on from.
    assert len(list(toy.data.glob("runs/toy-50/xsub60/one+*/*/run/checkpoint.pt"))) == 1

    assert toy.go(dry_run=True) == (0, [])
    assert "to do: goes on from its checkpoint" in re.sub(r"\s+", " ", capsys.readouterr().out)
    status, calls = toy.go()
    assert status == 0
    # That the settings had changed is not forgotten by the failure, and nothing of the other recipe runs.
    assert stages(calls) == ["evaluate", "evaluate", "fuse", "pretrain", "pretrain", "report"]
    assert all("/one+views.query=" in call for call in calls)


def test_shards_are_scattered_and_joined(tmp_path, capsys):
    toy = Toy(tmp_path, recipes=["./one.yaml"], streams=["joint"], shards=3)
    status, calls = toy.go("--jobs", "2")
    assert status == 0
    parts = [f"stores/toy.zarr.{n}of3" for n in (1, 2, 3)]
    assert [call for call in calls if call.startswith("ingest")] == [
        f"ingest ntu60 raw/toy {part} --part {n}/3 --workers 2 --force" for n, part in enumerate(parts, 1)
    ]
    assert f"join {' '.join(parts)} stores/toy.zarr --force" in calls
    clips = [f"stores/toy-50.zarr.{n}of3" for n in (1, 2, 3)]
    flags = "--frames 50 --bodies first"
    assert [call for call in calls if call.startswith("prepare")] == [
        f"prepare stores/toy.zarr {part} {flags} --part {n}/3 --threads 2 --force" for n, part in enumerate(clips, 1)
    ]
    made = ["evaluate", *["ingest"] * 3, *["join"] * 2, *["prepare"] * 3, "pretrain", "report", "synth"]
    assert stages(calls) == made
    assert sorted(path.name for path in (toy.data / "stores").iterdir()) == ["toy-50.zarr", "toy.zarr"]
    shown = capsys.readouterr().out
    assert (
        shown.index("stores/toy.zarr.3of3") < shown.index("stores/toy.zarr: ") < shown.index("stores/toy-50.zarr.1of3")
    )

    # The parts are gone, and that is no reason to make them again; nor is another number of them.
    assert toy.go(overrides=["shards=1"]) == (0, [])
    # What they were made from is.
    assert stages(toy.go(overrides=["synth.seed=1"])[1]) == made
    # Another number counts once the whole is gone.
    shutil.rmtree(toy.data / "stores/toy-50.zarr")
    for shards, parts in ((1, 0), (2, 2)):
        config = plan(*load_pipeline(toy.file, [f"shards={shards}"]), toy.data)
        assert (len(config["store_parts"]), len(config["clips_parts"])) == (3, parts)


def test_parts_stay_until_they_are_joined(tmp_path):
    toy = Toy(tmp_path, recipes=["./one.yaml"], streams=["joint"], shards=2)
    assert stages(toy.go("--until", "ingest")[1]) == ["ingest"] * 2 + ["synth"]
    assert sorted(path.name for path in (toy.data / "stores").iterdir()) == ["toy.zarr.1of2", "toy.zarr.2of2"]


def test_shards_change_nothing_in_the_clips(tmp_path):
    """The commands of a plan, run in this process."""
    config = {}
    for shards in (1, 3):
        file = write_toy(tmp_path, splits=["pku2-xsub"], synth={"actions": 2, "subjects": 2}, shards=shards)
        config[shards] = plan(*load_pipeline(file), tmp_path / f"{shards}")
    write_raw("pku2", tmp_path / "raw", actions=2, subjects=2, replications=2, frames=(12, 20))
    for shards, planned in config.items():
        folder = tmp_path / f"{shards}"
        for kind in show.DATA[1:]:
            for path, stage in planned[kind].items():
                part = ["--part", stage["part"]] if "part" in stage else []
                if "parts" in stage:
                    words = ["join", *(folder / other for other in stage["parts"])]
                elif "store" in stage:
                    words = ["prepare", folder / stage["store"], *shlex.split(stage["flags"]), *part]
                else:
                    words = ["ingest", "pku2", tmp_path / "raw", "--workers", "0", *part]
                done = CliRunner().invoke(main, [*map(str, words), str(folder / path)])
                assert done.exit_code == 0, done.output
    for name in ("toy.zarr", "toy-50.zarr"):
        digests = {read_digest(tmp_path / f"{shards}/stores/{name}") for shards in config}
        assert len(digests) == 1
        assert None not in digests


def test_an_interrupt_reaches_the_stage_and_ends_everything(tmp_path):
    toy = Toy(tmp_path, recipes=["./one.yaml"], streams=["joint"])
    toy.data.mkdir()
    (toy.data / "interrupt").write_text("wait")
    process = subprocess.Popen(
        [sys.executable, "-c", toy.code], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    waiting = toy.data / "waiting"
    while not waiting.exists() and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert told == "skelpipe: interrupted (SIGINT); the same command goes on from what is done\n"
    stage = int(waiting.read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(stage, 0)


def as_soon_as_the_lock_is_free(toy, seconds=60):
    """What ended the stages of a killed run goes last, and holds the lock until then."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with suppress(BadInput):
            return toy.go()
        time.sleep(0.1)
    return toy.go()


def test_a_killed_run_takes_its_stages_along_and_its_lock_until_then(tmp_path):
    """SIGKILL reaches one process only; what it started must not go on beside the next run."""
    toy = Toy(tmp_path, recipes=["./one.yaml"], streams=["joint"])
    toy.data.mkdir()
    (toy.data / "interrupt").write_text("wait")
    process = subprocess.Popen([sys.executable, "-c", toy.code])
    waiting = toy.data / "waiting"
    while not (waiting.exists() and waiting.read_text()) and process.poll() is None:
        time.sleep(0.1)
    with pytest.raises(BadInput, match="another 'skelpipe run' works in this folder"):
        toy.go()
    process.kill()
    process.wait()
    until = time.monotonic() + 60
    while at_work(toy.data) and time.monotonic() < until:
        time.sleep(0.1)
    assert at_work(toy.data) == []
    status, calls = as_soon_as_the_lock_is_free(toy)
    assert (status, stages(calls)) == (0, ["evaluate", "pretrain", "report"])


@pytest.fixture
def guarded_group():
    """A guard, and a process of its group that says when it was asked to end."""
    watch = subprocess.Popen(
        [sys.executable, "-I", "-S", watchdog.__file__],
        stdin=subprocess.PIPE,
        process_group=0,
        stdout=subprocess.DEVNULL,
    )
    # Blocked and waited for: a handler would not run until the end of a sleep that it came just before.
    asked = "import signal, sys; wanted = {signal.SIGTERM}; signal.pthread_sigmask(signal.SIG_BLOCK, wanted)"
    asked += "; print(flush=True); sys.exit(7 if signal.sigtimedwait(wanted, 50) else 1)"
    worker = subprocess.Popen([sys.executable, "-c", asked], stdout=subprocess.PIPE, process_group=watch.pid)
    worker.stdout.readline()
    yield watch, worker
    for process in (watch, worker):
        process.kill(), process.wait()


def ignored(pid):
    """The signals that a process ignores."""
    (line,) = (row for row in Path(f"/proc/{pid}/status").read_text().splitlines() if row.startswith("SigIgn"))
    return {number for number in range(1, 32) if int(line.split()[1], 16) >> (number - 1) & 1}


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc")
def test_a_guard_asks_its_group_to_end_when_its_starter_is_gone(guarded_group):
    watch, worker = guarded_group
    wanted = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    until = time.monotonic() + 20
    while not wanted <= ignored(watch.pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert wanted <= ignored(watch.pid)  # they are meant for the others
    watch.stdin.close()
    assert worker.wait(timeout=20) == 7
    assert watch.wait(timeout=20) == 0


def test_a_guard_that_is_dismissed_leaves_its_group_alone(guarded_group):
    watch, worker = guarded_group
    watch.communicate(b".", timeout=20)
    assert (watch.returncode, worker.poll()) == (0, None)


@pytest.mark.timeout(60)
def test_a_signal_that_wakes_nobody_is_taken_before_the_next_line():
    reading, writing = os.pipe()
    before = signal.signal(signal.SIGUSR1, lambda *_: os.close(writing))
    # It only notes the signal, as one does that comes just before a wait begins.
    unheard = threading.Timer(0.2, _thread.interrupt_main, (signal.SIGUSR1,))
    unheard.start()
    try:
        os.write(writing, b"one\ntwo\n")
        with open(reading) as stream:
            assert list(read_lines(stream)) == ["one\n", "two\n"]
    finally:
        unheard.join()
        signal.signal(signal.SIGUSR1, before)


def test_arguments_reach_snakemake_and_a_failed_stage_is_told(tmp_path, capsys):
    toy = Toy(tmp_path, recipes=["./one.yaml"], streams=["joint"])
    assert toy.go("-n") == (0, [])
    assert not toy.data.exists()  # a plan leaves nothing behind
    with pytest.raises(BadInput, match="unrecognized arguments: --nonsense"):
        toy.go("--nonsense")
    (toy.data / "interrupt").write_text("fail")
    status, calls = toy.go("--until", "pretrain")
    assert status == 1
    assert stages(calls) == ["ingest", "prepare", "pretrain", "synth"]
    told = capsys.readouterr().err
    assert "skelpipe: pretrain runs/toy-50/xsub60/one/joint-s0/run failed: clips.zarr: is damaged; remake it\n" in told
    command = f"skelpipe pretrain {tmp_path}/one.yaml stores/toy-50.zarr runs/toy-50/xsub60/one/joint-s0/run"
    assert f"  cd {toy.data} && {command}" in told
    assert "Traceback" not in told


def test_one_pipeline_at_a_time_in_a_data_folder(tmp_path):
    toy = Toy(tmp_path)
    (toy.data / ".snakemake").mkdir(parents=True)
    lock(toy.data / ".snakemake/skelpipe.lock")
    with pytest.raises(BadInput, match="another 'skelpipe run'"):
        toy.go()


# What a pipeline says -----------------------------------------------------------------------------------------------


def test_all_mistakes_are_named_at_once_with_the_nearest_right_key(tmp_path):
    file = write_toy(tmp_path, datset="ntu60", splits=["xsub61"], streams=["joints"], synth={"action": 3})
    with pytest.raises(BadInput) as caught:
        load_pipeline(file)
    for part in ("datset: unknown key (did you mean 'dataset'?)", "splits", "'xsub60'", "streams", "synth.action"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("options=[semi.draws=2]", "options: semi changes a protocol that is not run; add semi to the key protocols"),
        ("seed=3", "seed: unknown key (did you mean 'seeds'?)"),
        ("seeds=3", "seeds: should be a list, such as [3] (got 3)"),
        ("seeds=[]", "seeds: should hold at least 1 value (got [])"),
        ("streams=joint", "streams: should be a list, such as [joint], or a mapping of recipes to lists"),
        ("set=3", "set: should be a mapping of keys to values (got 3)"),
        ("set={aimclr: [batch_sise=1]}", "set.aimclr: batch_sise=1: 1 setting is wrong: batch_sise: unknown key"),
        ("sweep=[{batch_sise: 8}]", "sweep: batch_sise=8: 1 setting is wrong: batch_sise: unknown key"),
        ("at_epochs=[50]", "at_epochs: of 50 epochs aimclr will keep no weights"),
    ],
)
def test_a_mistake_of_the_command_line_is_not_the_files(tmp_path, change, told):
    words = ["run", "demo", "--data", str(tmp_path), "-n", "--set", "recipes=[aimclr]", "--set", change]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert f"skelpipe: --set {change}: " in done.stderr
    assert told in done.stderr
    assert "demo.yaml" not in done.stderr


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"splits": ["xsub60", "xsub120"], "dataset": "ntu60"}, "xsub120 cannot be made from ntu60"),
        ({"splits": ["xsub60", "xsub60"]}, "twice"),
        ({"pretrain_on": "xsub61"}, "pretrain_on: unknown name"),
        ({"sweep": {"batch_size": 8}}, "every key needs a list of values"),
        ({"sweep": [{"batch_sise": 8}]}, "batch_sise"),
        ({"sweep": {"epochs": [1, 2]}, "epochs": 3}, "epochs is swept and also fixed"),
        ({"at_epochs": [50]}, "of 50 epochs one will keep no weights; it trains 300 epochs and has keep_every: 100"),
        ({"at_epochs": [400]}, "of 400 epochs one will keep no weights"),
        ({"at_epochs": [2], "epochs": 3, "set": {"one": ["keep_every=1"]}}, "of 2 epochs two will keep no weights"),
        ({"options": ["semi.draws=2"]}, "options: semi changes a protocol that is not run"),
        ({"options": ["semi.draw=2"], "protocols": ["semi"]}, "did you mean 'draws'"),
        ({"protocols": ["transfer"]}, "transfer is between data sets, and xsub60 is of ntu60 as well"),
        ({"protocols": ["supervised"]}, "one trains none"),
        ({"recipes": ["stgcn_supervised"], "pretrain_on": "pku1-xsub"}, "learns the classes of pku1-xsub"),
        ({"figures": ["pie"]}, "figures"),
        ({"paper": "tabel5"}, "paper: unknown name .did you mean 'table5'"),
        ({"pipelines": ["tabel5"]}, "pipelines: unknown name"),
        ({"synth": {"actions": 99}}, "synth.actions: 99 is out of range for ntu60; choose 1 to 60"),
        ({"synth": {"frames": [20, 10]}}, "synth.frames: 20 10 is no range of clip lengths"),
        ({"synth": {"seed": -1}}, "synth.seed: -1 is negative"),
        (
            {"streams": {"sekeletonclr": ["joint"]}},
            "streams.sekeletonclr: is not one of its recipes .did you mean 'ske",
        ),
        ({"protocols": {"one": ["linaer"]}}, "did you mean 'linear'"),
        ({"recipes": ["lsc"]}, "is not the name of a recipe"),
        ({"sweep": [{"aimclr": {"epochs": 3}}], "epochs": 3}, "epochs is swept and also fixed"),
        ({"seeds": [0, 0]}, "twice"),
        ({"seeds": [-1]}, "at least 0"),
        ({"shards": 0}, "shards"),
        ({"fusion": {"joint": 1.0}}, "every stream needs a weight"),
        ({"protocols": ["linaer"]}, "did you mean 'linear'"),
        ({"set": {"oen": ["a=1"]}}, "set.oen"),
        ({"set": {"one": ["optimizer.rate=1"]}}, "optimizer.rate"),
        ({"recipes": ["skeltonclr"]}, "did you mean skeletonclr"),
        ({"recipes": ["./three.yaml"]}, "does not exist"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(tmp_path, changes, told):
    with pytest.raises(BadInput, match=told):
        plan(*load_pipeline(write_toy(tmp_path, **changes)), tmp_path)


def test_stated_splits_are_named_in_full_and_their_folders_by_what_they_say(tmp_path):
    splits = ["camera:2,3/1", "ntu60:subject:1-20", "xsub60"]
    file = write_toy(tmp_path, splits=splits, dataset="ntu120", streams=["joint"])
    pipeline, _ = load_pipeline(file)
    assert pipeline.splits == ("ntu120:camera:2,3/1", "ntu60:subject:1-20", "xsub60")
    runs = plan(pipeline, file, tmp_path)["runs"]
    homes = {folder.split("/")[2]: stage["flags"] for folder, stage in runs.items()}
    assert list(homes) == ["ntu120-camera=2,3-test=1", "ntu60-subject=1-20", "xsub60"]
    assert "--split ntu120:camera:2,3/1 " in homes["ntu120-camera=2,3-test=1"]
    pipeline, _ = load_pipeline(file, ["splits=['subject:1,2']", "pretrain_on=subject:3-300", "streams=[joint]"])
    evaluations = plan(pipeline, file, tmp_path)["evaluations"]
    assert all("/ntu120-subject=3-300/" in each and each.endswith("-ntu120-subject=1,2") for each in evaluations)
    assert all("--split ntu120:subject:1,2 " in stage["flags"] for stage in evaluations.values())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["splits=['camra:1']"], "no data set has a column 'camra'; did you mean 'camera'"),
        (["splits=[camera:2,3/1]"], "3/1 is what a comma has cut off; put a split that has commas in quotes"),
        (["splits=['subject:1']"], "that of ntu60, ntu120 or nw-ucla; write ntu60:subject:1"),
        (["splits=['view:1']", "dataset=ntu60"], "write pku1:view:1"),
        (["splits=['pku1:view:1']", "dataset=ntu60"], "pku1:view:1 cannot be made from ntu60"),
        (["splits=['subject:1', 'subject:1-1']", "dataset=ntu60"], "names something twice"),
    ],
)
def test_what_states_no_split_is_told_before_anything_runs(tmp_path, changes, said):
    with pytest.raises(BadInput, match=said):
        load_pipeline(write_toy(tmp_path), changes)


def test_overrides_change_the_pipeline(tmp_path):
    pipeline, _ = load_pipeline(write_toy(tmp_path), ["seeds=[3, 4]", "synth.actions=5", "epochs=2"])
    assert (pipeline.seeds, pipeline.epochs) == ((3, 4), 2)
    assert (pipeline.synth.actions, pipeline.synth.frames) == (5, (20, 30))


def test_missing_recordings_are_told_with_their_owners(tmp_path):
    with pytest.raises(BadInput, match=r"raw/ntu60: holds no recordings of ntu60; put .* request form"):
        run("ntu60_xsub", data=tmp_path)
    with pytest.raises(BadInput, match="mail"):
        run("pku1_xsub", data=tmp_path, raw=tmp_path / "elsewhere")


def test_a_plan_needs_no_recordings_and_says_what_is_lacking(tmp_path, capsys):
    assert run("table1", data=tmp_path / "data", dry_run=True) == 0
    said = capsys.readouterr().out
    assert "0 of 77 stages are done" in said
    assert "raw/ntu60: holds no recordings of ntu60" in said
    assert "raw/ntu120: holds no recordings of ntu120" in said
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("shown", ["null", "table8", "table3"])
def test_systems_without_a_recipe_are_named_once(tmp_path, monkeypatch, capsys, shown):
    monkeypatch.setattr(systems, "names", lambda folder: [n for n in resources.names(folder) if n != "longt_gan"])
    run("demo", data=tmp_path, dry_run=True, overrides=["recipes=[longt_gan, aimclr]", f"paper={shown}"])
    said = [line for line in capsys.readouterr().out.splitlines() if "No recipe yet: " in line and "LongT GAN" in line]
    assert said == ["No recipe yet: LongT GAN."]


def test_changes_of_what_is_not_trained_are_refused(tmp_path, monkeypatch):
    shipped = [name for name in resources.names("models") if name != "isc"]
    monkeypatch.setattr(systems, "names", lambda folder: shipped)
    for name, told in (("isc", "set.isc: ISC has no recipe yet"), ("./one.yaml", "set../one.yaml: is not one of its")):
        file = write_toy(tmp_path, recipes=["./one.yaml", "isc"], set={name: ["epochs=1"]})
        with pytest.raises(BadInput, match=told):
            plan(*load_pipeline(file), tmp_path)


def test_pipelines_that_would_run_together_with_themselves_are_refused(tmp_path, monkeypatch):
    with pytest.raises(BadInput, match="^--set pipelines=.fig1.: pipelines: fig1 would be run together with itself"):
        run("fig1", data=tmp_path, dry_run=True, overrides=["pipelines=[fig1]"])
    for name, other in (("one", "two"), ("two", "one")):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"title": name, "pipelines": [other]}))
    monkeypatch.setattr("skelpipe.pipeline.spec.names", lambda folder: ["one", "two"])
    monkeypatch.setattr("skelpipe.pipeline.plan.find", lambda folder, name: tmp_path / f"{name}.yaml")
    with pytest.raises(BadInput, match="pipelines: one would be run together with itself"):
        plan(*load_pipeline(tmp_path / "one.yaml"), tmp_path)


@pytest.mark.parametrize(("exhibit", "said"), [("table5", True), ("table3", False)])
def test_a_table_of_which_nothing_is_measured_says_so(tmp_path, capsys, exhibit, said):
    run("demo", data=tmp_path, dry_run=True, overrides=["recipes=[aimclr]", f"paper={exhibit}"])
    number = exhibit.replace("table", "Table ")
    assert (f"Nothing that this pipeline measures stands in {number}" in capsys.readouterr().out) == said


def test_a_store_serves_without_the_recordings_it_was_made_from(tmp_path):
    options = ["dataset=ntu120", "bodies=energy", "turn=false", "splits=[xsub60, xset120]"]
    pipeline, path = load_pipeline("ntu60_xsub", options)
    store = tmp_path / "stores/ntu120.zarr"
    store.mkdir(parents=True)
    (store / "done.json").write_text('{"kind": "store", "digest": "0"}')
    config = plan(pipeline, path, tmp_path)
    assert not config["stores"]
    clips = {"store": "stores/ntu120.zarr", "flags": "--frames 50 --bodies energy --no-turn"}
    assert config["clips"] == {"stores/ntu120-50-energy-unturned.zarr": clips}
    homes = {folder.rsplit("/", 3)[0] for folder in config["runs"]}
    assert homes == {f"runs/ntu120-50-energy-unturned/{split}" for split in ("xsub60", "xset120")}


def test_one_raw_folder_serves_one_data_set(tmp_path):
    with pytest.raises(BadInput, match=r"table1 reads ntu60, pku1, ntu120; put each under .*/raw/<data set>"):
        plan(*load_pipeline("table1"), tmp_path, tmp_path / "elsewhere")


def test_synthetic_recordings_of_several_data_sets(tmp_path):
    config = plan(
        *load_pipeline("transfer_pku1_pku2", ["synth={actions: 3, setups: 2}", "pretrain_on=xsub60"]), tmp_path
    )
    assert config["synth"] == {
        "raw/transfer_pku1_pku2-ntu60": {"dataset": "ntu60", "flags": "--actions 3 --setups 2 --seed 0"},
        "raw/transfer_pku1_pku2-pku2": {"dataset": "pku2", "flags": "--actions 3 --seed 0"},
    }
    run = "runs/transfer_pku1_pku2-ntu60-50/xsub60/aimclr/joint-s0"
    assert config["evaluations"][f"{run}/transfer-pku2-xsub"] == {
        "run": f"{run}/run",
        "clips": "stores/transfer_pku1_pku2-pku2-50.zarr",
        "flags": "--protocol transfer --split pku2-xsub --seed 0",
    }


# How folders are named ----------------------------------------------------------------------------------------------


def folders(tmp_path: Path, kind: str = "runs", **changes) -> list[str]:
    """The folders of a plan, without what all of them begin with."""
    changes = {"recipes": ["skeletonclr"], "streams": ["joint"], **changes}
    config = plan(*load_pipeline(write_toy(tmp_path, **changes)), tmp_path / "data")
    return [folder.removeprefix("runs/toy-50/xsub60/") for folder in config[kind]]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "skeletonclr"),
        # What is set to what it is anyway makes no other experiment.
        ({"epochs": 300, "set": {"skeletonclr": ["projector.hidden=256", "positives={name: own_key}"]}}, "skeletonclr"),
        ({"epochs": 5, "precision": "bf16"}, "skeletonclr+epochs=5+precision=bf16"),
        ({"half_storage": True}, "skeletonclr+half_storage=true"),
        ({"set": {"skeletonclr": ["views.key=[crop]"]}}, "skeletonclr+views.key=crop"),
        ({"set": {"skeletonclr": ["optimizer={lr: 0.1, steps: [9, 10]}"]}}, "skeletonclr+optimizer.steps=9,10"),
        ({"set": {"skeletonclr": ["projector.hidden=null"]}}, "skeletonclr+projector.hidden=null"),
    ],
)
def test_a_run_is_named_after_what_differs_from_its_recipe(tmp_path, changes, name):
    assert folders(tmp_path, **changes) == [f"{name}/joint-s0/run"]


def test_other_positives_are_told_whole_and_different_ones_never_share_a_folder(tmp_path):
    forms = [f"positives={{name: cross_view, form: {form}}}" for form in ("released", "equation")]
    names = [folders(tmp_path, set={"skeletonclr": [form]})[0] for form in forms]
    long = [f"views.key=[{', '.join(['crop'] * n)}, {{shear: {{amplitude: {n}}}}}]" for n in (30, 31)]
    names += [folders(tmp_path, set={"skeletonclr": [change]})[0] for change in long]
    assert len(set(names)) == 4
    assert all(re.fullmatch(r"skeletonclr\+[A-Za-z0-9_.+=,-]{1,100}/joint-s0/run", name) for name in names)
    config = plan(*load_pipeline(write_toy(tmp_path, set={"one": forms[:1]})), tmp_path / "data")
    (flags, *_) = (run["flags"] for run in config["runs"].values())
    assert "--set 'positives={name: cross_view, form: released, " in flags


def test_a_recipe_that_leaves_a_default_out_can_be_changed_in_it(tmp_path):
    file = write_toy(
        tmp_path, recipes=["./one.yaml"], streams=["joint"], set={"one": ["encoder={name: stgcn, width: 8}"]}
    )
    recipe = yaml.safe_load((tmp_path / "one.yaml").read_text())
    del recipe["encoder"]
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(recipe))
    (run,) = plan(*load_pipeline(file), tmp_path / "data")["runs"].values()
    words = shlex.split(run["flags"])
    changed = load_recipe(tmp_path / "one.yaml", [words[words.index("--set") + 1]])
    assert (changed.encoder.width, changed.encoder.time_kernel) == (8, 9)


def test_a_sweep_goes_over_all_pairings_or_all_points(tmp_path):
    pairings = folders(tmp_path, sweep={"batch_size": [64, 128], "optimizer.lr": [0.1, 0.2]})
    assert pairings == [
        f"{name}/joint-s0/run"
        for name in (
            "skeletonclr+batch_size=64",
            "skeletonclr+batch_size=64+optimizer.lr=0.2",
            "skeletonclr",
            "skeletonclr+optimizer.lr=0.2",
        )
    ]
    points = folders(tmp_path, sweep=[{}, {"batch_size": 128}, {"batch_size": 64, "keep_every": 0}], epochs=7)
    assert points == [
        f"skeletonclr+{name}/joint-s0/run" for name in ("epochs=7", "batch_size=64+epochs=7+keep_every=0")
    ]


@pytest.mark.parametrize(
    ("changes", "name", "flags"),
    [
        ({}, "linear+knn", "--protocol linear --protocol knn --seed 0"),
        ({"protocols": ["knn", "linear"]}, "linear+knn", "--protocol linear --protocol knn --seed 0"),
        ({"protocols": ["knn"], "probe": "grid", "k": 5}, "knn-grid-k5", "--protocol knn --probe grid --k 5 --seed 0"),
        ({"protocols": ["linear"], "best_on_test": True}, "linear-best", "--protocol linear --best-on-test --seed 0"),
        (
            {"protocols": ["semi"], "options": ["semi.draws=2", "semi.epochs=150"]},
            "semi-semi.draws=2",
            "--protocol semi --set semi.draws=2 --seed 0",
        ),
        (
            {"protocols": ["linear"], "options": ["linear.balance=weights"]},
            "linear-linear.balance=weights",
            "--protocol linear --set linear.balance=weights --seed 0",
        ),
        (
            {"protocols": ["linear"], "options": ["linear.balance=none"]}, "linear", "--protocol linear --seed 0",
        ),
        ({"at_epochs": [300], "protocols": ["knn"]}, "knn", "--protocol knn --seed 0"),
        ({"at_epochs": [200], "protocols": ["knn"]}, "knn-e0200", "--protocol knn --epoch 200 --seed 0"),
        (
            {"pretrain_on": "xsub60", "splits": ["xsub60", "xset120"], "protocols": ["knn"]},
            "knn-xset120",
            "--protocol knn --split xset120 --seed 0",
        ),
        (
            {"pretrain_on": "xsub60", "dataset": "ntu120", "splits": ["xview60"], "protocols": ["knn"]},
            "knn-xview60-ntu120",
            "--protocol knn --split xview60 --seed 0",
        ),
    ],
)  # fmt: skip
def test_an_evaluation_is_named_after_its_protocols_and_what_differs(tmp_path, changes, name, flags):
    changes = {"recipes": ["skeletonclr"], "streams": ["joint"], **changes}
    config = plan(*load_pipeline(write_toy(tmp_path, **changes)), tmp_path / "data")
    folder, evaluation = list(config["evaluations"].items())[-1]
    assert folder.rpartition("/")[2] == name
    assert evaluation["flags"] == flags


@pytest.mark.parametrize(
    ("changes", "name", "weights"),
    [
        ({}, "knn", "0.6,0.4,0.6"),
        ({"streams": ["bone", "joint"]}, "knn-joint+bone", "0.6,0.6"),
        ({"fusion": {"joint": 1, "motion": 0.5, "bone": 1}}, "knn-joint1+motion0.5+bone1", "1,0.5,1"),
    ],
)
def test_a_fusion_tells_weights_that_are_not_the_usual_ones(tmp_path, changes, name, weights):
    toy = write_toy(
        tmp_path, **{"protocols": ["knn"], "recipes": ["aimclr"], "streams": ["joint", "motion", "bone"], **changes}
    )
    config = plan(*load_pipeline(toy), tmp_path / "data")
    ((folder, fusion),) = config["fusions"].items()
    assert folder == f"runs/toy-50/xsub60/aimclr/fused-s0/{name}"
    assert fusion["flags"] == f"--weights {weights}"
    assert [part.split("/")[4] for part in fusion["parts"]] == [
        f"{stream}-s0" for stream in ("joint", "motion", "bone") if stream in load_pipeline(toy)[0].streams_of("aimclr")
    ]


def test_streams_that_are_trained_together_are_one_run(tmp_path):
    config = plan(*load_pipeline(write_toy(tmp_path, recipes=["crossclr"], streams=["joint"])), tmp_path / "data")
    top = "runs/toy-50/xsub60/crossclr"
    ((run, how),) = config["runs"].items()
    assert run == f"{top}/3s-s0/run"
    assert how["flags"] == "--split xsub60 --stream 3s --seed 0"
    flags = "--protocol linear --protocol knn --stream joint --seed 0"
    assert config["evaluations"] == {
        f"{top}/joint-s0/linear+knn": {"run": run, "clips": "stores/toy-50.zarr", "flags": flags}
    }


def test_supervised_recipes_are_evaluated_by_their_own_classifier(tmp_path):
    changes = {"recipes": ["skeletonclr", "stgcn_supervised"], "protocols": ["linear"], "probe": "lbfgs"}
    assert folders(tmp_path, "evaluations", **changes) == [
        "skeletonclr/joint-s0/linear-lbfgs",
        "stgcn_supervised/joint-s0/supervised",
    ]


def test_a_run_of_another_recipe_of_the_same_name_is_not_lost(tmp_path):
    mine = tmp_path / "mine"
    file = write_toy(mine, recipes=["./skeletonclr.yaml"], streams=["joint"])
    recipe = (mine / "one.yaml").read_text()
    (mine / "skeletonclr.yaml").write_text(recipe + "# the same\n")
    run = tmp_path / "data/runs/toy-50/xsub60/skeletonclr/joint-s0/run"
    run.mkdir(parents=True)
    (run / "provenance.json").write_text('{"command": "skelpipe pretrain skeletonclr CLIPS RUN"}')
    plan(*load_pipeline(file), tmp_path / "data")
    (mine / "skeletonclr.yaml").write_text(recipe.replace("temperature: 0.07", "temperature: 0.2"))
    for options in ("", "-v ", "-vv --traceback "):
        (run / "provenance.json").write_text(f'{{"command": "skelpipe {options}pretrain skeletonclr CLIPS RUN"}}')
        with pytest.raises(BadInput, match=r"was trained from skeletonclr, which is another recipe than .*mine"):
            plan(*load_pipeline(file), tmp_path / "data")
    # Its own file may change, and one that is gone has no claim.
    for command in (f"skelpipe pretrain {mine}/skeletonclr.yaml", "skelpipe pretrain gone.yaml"):
        (run / "provenance.json").write_text(json.dumps({"command": f"{command} CLIPS RUN"}))
        plan(*load_pipeline(file), tmp_path / "data")


@pytest.mark.parametrize("verbose", [False, True])
def test_stages_say_what_they_decide_if_the_pipeline_is_to(tmp_path, verbose):
    snakemake._command(tmp_path, {"pipeline": "toy", "slots": 1, "gpus": 1}, Site(), verbose)
    started = json.loads((tmp_path / AREA / "skelpipe-toy.json").read_text())["command"]
    assert started[1:] == ["-m", "skelpipe", *(["-v"] if verbose else [])]


# What a person sees -------------------------------------------------------------------------------------------------


def test_a_long_plan_is_summed_up_unless_all_is_asked_for(tmp_path, capsys):
    stages = [show.Stage("ingest", "stores/ntu60.zarr", False)]
    stages += [show.Stage("pretrain", f"runs/{n}", n > 0, "its settings changed" if n > 40 else "") for n in range(43)]
    show.show_plan("long", stages, tmp_path)
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert shown == [
        "long",
        "stage done to do",
        "ingest 1 of 1",
        "pretrain 1 of 43 runs/1",
        "runs/2",
        "runs/3",
        "and 39 more, 2 of them: its settings changed",
        "2 of 44 stages are done, 42 to do. 'skelpipe -v run' lists them all.",
        "",
    ]
    show.show_plan("long", stages, tmp_path, verbose=True)
    assert "runs/42 to do: its settings changed" in " ".join(capsys.readouterr().out.split())


def metrics(**protocols: float) -> dict:
    return {"classes": 60, "protocols": {name: {"top1": value} for name, value in protocols.items()}}


def test_accuracies_stand_in_a_column_per_split_or_a_table_per_split(tmp_path, capsys):
    rows = [
        {"experiment": "a", "stream": "joint", "epochs": epochs, "split": split, "metrics": [metrics(linear=top1)] * 2}
        for epochs, split, top1 in ((1, "xsub60", 0.1), (2, "xsub60", 0.2), (1, "xview60", 0.3))
    ]
    show.show_results(rows, tmp_path)
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert shown[2:7] == [
        ["xsub60", "xview60"],
        ["recipe", "epochs", "stream", "linear", "linear"],
        ["a", "1", "joint", "10.0", "±", "0.0", "30.0", "±", "0.0"],
        ["a", "2", "joint", "20.0", "±", "0.0"],
        ["Chance", "is", "1.7", "%."],
    ]
    wide = [
        {"experiment": "a", "stream": "joint", "epochs": 1, "split": s, "metrics": [metrics(linear=0.1, knn=0.2)]}
        for s in ("xsub60", "xview60", "xsub120", "xset120")
    ]
    show.show_results(wide, tmp_path)
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert shown[2:5] == [["xsub60"], ["recipe", "stream", "linear", "knn"], ["a", "joint", "10.0", "20.0"]]
    assert ["xset120"] in shown


def test_the_listing_of_raw_files_sees_names_and_sizes_but_not_times(tmp_path):
    raw = tmp_path / "raw"
    assert list_raw(raw) is None
    (raw / "a").mkdir(parents=True)
    assert list_raw(raw) is None
    (raw / "a" / "x.skeleton").write_text("123")
    first = list_raw(raw)
    os.utime(raw / "a" / "x.skeleton", (0, 0))
    shutil.copytree(raw, tmp_path / "copy")
    assert list_raw(tmp_path / "copy") == list_raw(raw) == first
    (raw / "a" / "x.skeleton").write_text("1234")
    assert list_raw(raw) != first
    (tmp_path / "copy/a/x.skeleton").rename(tmp_path / "copy/a/y.skeleton")
    assert list_raw(tmp_path / "copy") != first


# Recipes of their own streams, systems that have no recipe, pipelines of pipelines ----------------------------------


def test_recipes_have_their_own_streams_and_protocols(tmp_path):
    changes = {
        "recipes": ["skeletonclr", "aimclr", "crosnnclr"],
        "streams": {"aimclr": ["bone", "joint"], "others": ["joint"]},
        "protocols": {"crosnnclr": ["knn"], "others": ["linear"]},
    }
    assert folders(tmp_path, **changes) == ["skeletonclr/joint-s0/run", "aimclr/joint-s0/run", "aimclr/bone-s0/run",
                                            "crosnnclr/joint-s0/run"]  # fmt: skip
    assert folders(tmp_path, "evaluations", **changes) == [
        "skeletonclr/joint-s0/linear", "aimclr/joint-s0/linear", "aimclr/bone-s0/linear", "crosnnclr/joint-s0/knn",
    ]  # fmt: skip
    assert folders(tmp_path, "fusions", **changes) == ["aimclr/fused-s0/linear-joint+bone"]
    # Without others, the rest have what pipelines have that say nothing.
    rest = {**changes, "streams": {"aimclr": ["joint"]}, "protocols": {"aimclr": ["linear"]}}
    assert folders(tmp_path, "fusions", **rest) == ["skeletonclr/fused-s0/linear+knn", "crosnnclr/fused-s0/linear+knn"]


def test_a_point_of_a_sweep_may_change_one_recipe(tmp_path):
    point = {"views.query": ["crop"], "aimclr": {"views.extreme": ["crop"]}}
    assert folders(tmp_path, recipes=["skeletonclr", "aimclr"], sweep=[{}, point]) == [
        "skeletonclr/joint-s0/run",
        "skeletonclr+views.query=crop/joint-s0/run",
        "aimclr/joint-s0/run",
        "aimclr+views.extreme=crop+views.query=crop/joint-s0/run",
    ]


def test_systems_without_a_recipe_are_skipped_and_named(tmp_path, monkeypatch, capsys):
    shipped = [name for name in resources.names("models") if name not in ("isc", "va_rnn")]
    monkeypatch.setattr(systems, "names", lambda folder: shipped)
    assert folders(tmp_path, recipes=["isc", "aimclr", "va_rnn"]) == ["aimclr/joint-s0/run"]
    file = write_toy(tmp_path, recipes=["isc", "aimclr", "va_rnn"], streams={"isc": ["joint"]}, paper="table5")
    assert plan(*load_pipeline(file), tmp_path)["missing"] == ["isc", "va_rnn"]
    with pytest.raises(BadInput, match="recipes: ISC cannot be trained here yet; name a recipe that ships"):
        plan(*load_pipeline(write_toy(tmp_path / "other", recipes=["isc"])), tmp_path)
    assert run(file, data=tmp_path / "data", dry_run=True) == 0
    said = capsys.readouterr().out
    assert re.search(r"ISC \(ACM MM 21\) +no recipe yet \(80\.9\) +no recipe yet \(36\.0\)", said)
    assert "No recipe yet: ISC, VA-RNN." in said.splitlines()


def test_a_plan_shows_the_papers_rows_with_what_is_done(tmp_path, capsys):
    toy = Toy(tmp_path, recipes=["aimclr", "stgcn_supervised"], splits=["pku2-xsub"], paper="table5",
              streams={"stgcn_supervised": ["joint"]}, protocols=["linear"], synth={"actions": 3})  # fmt: skip
    toy.go(dry_run=True)
    said = capsys.readouterr().out
    assert "Table 5: Comparison on PKU-MMD" in said
    assert re.search(r"3s-AimCLR \(AAAI 22\) +— \(87\.8\) +to do \(38\.5\)", said)
    assert re.search(r"ST-GCN \(AAAI 18\) +— \(84\.1\) +to do \(48\.2\)", said)
    toy.go()
    said = capsys.readouterr().out
    shown = said[said.index("Table 5: Comparison") :]
    assert re.search(r"ST-GCN \(AAAI 18\) +— \(84\.1\) +50\.0 b \(48\.2\)", shown)
    assert "a  The paper does not name the split of PKU-MMD; cross-subject is assumed." in shown


def test_pipelines_are_run_together_with_the_keys_of_the_whole(tmp_path):
    whole = tmp_path / "whole.yaml"
    whole.write_text("title: W\npaper: fig1\npipelines: [table5, table6]\nseeds: [1]\nsynth: {actions: 3}\n")
    config = plan(*load_pipeline(whole, ["recipes=[aimclr]"]), tmp_path / "data")
    assert list(config["reports"]) == ["reports/whole"]
    assert len(config["runs"]) == 4 * 3
    assert all("/aimclr/" in folder and "-s1" in folder for folder in config["runs"])
    assert list(config["synth"]) == ["raw/table5-pku1", "raw/table5-pku2", "raw/table6"]
    parts = [plan(*load_pipeline(name, ["recipes=[aimclr]", "seeds=[1]", "synth={actions: 3}"]), tmp_path / "data")
             for name in ("table5", "table6")]  # fmt: skip
    for kind in ("runs", "evaluations", "fusions", "clips", "stores"):
        assert config[kind] == parts[0][kind] | parts[1][kind]
    (report,) = config["reports"].values()
    assert report == {"parts": [*config["evaluations"], *config["fusions"]], "flags": "--title W --paper fig1"}


def test_one_raw_folder_does_not_serve_pipelines_of_several_data_sets(tmp_path):
    whole = tmp_path / "whole.yaml"
    whole.write_text("title: W\npipelines: [table3, table6]\n")
    with pytest.raises(BadInput, match="whole reads ntu60, ntu120"):
        plan(*load_pipeline(whole), tmp_path, tmp_path)
    lacking: list[BadInput] = []
    whole.write_text("title: W\npipelines: [table3, table4]\n")
    plan(*load_pipeline(whole), tmp_path, None, lacking)
    assert len(lacking) == 1


@pytest.mark.parametrize(
    ("stated", "change", "flags"),
    [
        ("", "schedule=cosine", "schedule={name: cosine"),
        ("schedule: cosine\n", "schedule=null", "schedule=null"),
        ("", "iterations=70", "iterations=70"),
        ("iterations: 70\n", "epochs=5", "--epochs 5"),
        ("iterations: 70\n", "iterations=90", "iterations=90"),
        ("", "optimizer=adam", "optimizer={name: adam"),
        ("", "optimizer.lr=0.05", "optimizer.lr=0.05"),
        ("clip_gradients: {by: value, at: 1}\n", "clip_gradients.at=2", "clip_gradients.at=2"),
    ],
)
def test_flags_say_what_a_recipe_leaves_out_of_its_dump(tmp_path, stated, change, flags):
    """They make the same recipe of the same file, and of one that differs there is another folder."""
    (tmp_path / "r.yaml").write_text(f"method: skeletonclr\nviews: {{query: [], key: []}}\n{stated}")
    pipeline = Pipeline(title="t", splits=("xsub60",), recipes=("r.yaml",), set={"r": (change,)})
    (found,) = list_experiments(pipeline, tmp_path / "p.yaml")
    assert flags in " ".join(found.flags)
    given = list(zip(found.flags[::2], found.flags[1::2], strict=True))
    sets = [value for word, value in given if word == "--set"]
    epochs = next((int(value) for word, value in given if word == "--epochs"), None)
    assert load_recipe(tmp_path / "r.yaml", sets, epochs) == found.recipe
    assert found.name != "r"


# Recipes that need other clips, or are measured in their own way ----------------------------------------------------


def test_each_kind_of_clips_is_made_once_and_shared(tmp_path):
    needs = {"one": ["clips.preset=isc", "clips.frames=64"], "two": ["clips.preset=raw", "clips.frames=native"]}
    one = {"one": needs["one"]}
    config = plan(*load_pipeline(write_toy(tmp_path, recipes=["./one.yaml", "skeletonclr"], set=one)), tmp_path / "d")
    assert {folder: clips["flags"] for folder, clips in config["clips"].items()} == {
        "stores/toy-isc-64.zarr": "--preset isc --frames 64",
        "stores/toy-50.zarr": "--frames 50 --bodies first",
    }
    assert {run.split("/")[1]: stage["clips"] for run, stage in config["runs"].items()} == {
        "toy-isc-64": "stores/toy-isc-64.zarr",
        "toy-50": "stores/toy-50.zarr",
    }
    both = plan(*load_pipeline(write_toy(tmp_path, set={**needs, "one": needs["two"]})), tmp_path / "d")
    assert list(both["clips"]) == ["stores/toy-raw-native.zarr"]
    assert list(both["stores"]) == ["stores/toy.zarr"]


@pytest.mark.parametrize(
    ("changes", "name", "flags"),
    [
        ({}, "knn-lbfgs", "--protocol knn --probe lbfgs --seed 0"),
        ({"protocols": ["linear"]}, "linear-lbfgs", "--protocol linear --probe lbfgs --seed 0"),
        ({"probe": "reference"}, "knn", "--protocol knn --probe reference --seed 0"),
    ],
)
def test_a_recipe_is_measured_as_it_states_unless_the_pipeline_says_otherwise(tmp_path, changes, name, flags):
    stated = {"one": ["evaluate.protocols=[knn]", "evaluate.probe=lbfgs"]}
    toy = write_toy(tmp_path, recipes=["./one.yaml"], streams=["joint"], set=stated, **changes)
    config = plan(*load_pipeline(toy), tmp_path / "d")
    ((folder, stage),) = config["evaluations"].items()
    assert (folder.rpartition("/")[2], stage["flags"]) == (name, flags)


@pytest.mark.parametrize(("column", "values"), [("subject", (1, 2, 3)), ("camera", (1, 2, 3)), ("episode", (0, 1))])
def test_names_of_recordings_say_whom_to_leave_out(tmp_path, column, values):
    write_raw("nw-ucla", tmp_path / "raw" / "nw-ucla", actions=1, subjects=3, replications=2, frames=(10, 10))
    splits = [f"splits=['nw-ucla:{column}:leave-one-out']"]
    pipeline, file = load_pipeline("nw_ucla", [*splits, "streams=[joint]", "seeds=[0]", "recipes=[small_skeletonclr]"])
    runs = plan(pipeline, file, tmp_path)["runs"]
    said = [run.split("/")[2] for run in runs]
    assert said == [f"nw-ucla-{column}=test={value}" for value in values]


def test_what_tells_the_classes_of_other_recordings_is_named_at_the_end(tmp_path, capsys):
    parts = ["runs/a b/joint/linear", "runs/a b/bone/linear"]
    config = {"evaluations": {key: {} for key in parts}, "fusions": {"runs/a b/fused": {"parts": parts}}}
    assert teller(config, tmp_path) is None
    for folder in (*parts, *config["fusions"]):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "done.json").write_text("{}")
    assert teller(config, tmp_path) is None  # nothing was kept
    (tmp_path / parts[0] / "model_linear.json").write_text("{}")
    assert teller(config, tmp_path) == tmp_path / parts[0]
    (tmp_path / parts[1] / "model_linear.json").write_text("{}")
    assert teller(config, tmp_path) == tmp_path / "runs/a b/fused"
    show.show_prediction(teller(config, tmp_path))
    show.show_prediction(None)
    said = capsys.readouterr().out.splitlines()
    assert said == [f"Classes of other recordings: skelpipe predict '{tmp_path}/runs/a b/fused' RECORDINGS"]


@pytest.mark.parametrize(("epochs", "told"), [(41, 0), (40, 1), (4, 1), (0, 0)])
def test_neighbours_that_never_begin_are_told(caplog, epochs, told):
    pipeline, path = load_pipeline("nw_ucla", [f"epochs={epochs}", "seeds=[0]"])
    list_experiments(pipeline, path)
    assert caplog.text.count("no neighbour counts") == told
    assert caplog.text.count("small_crosnnclr: ") == told


def test_a_data_folder_without_a_name_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["run", "demo", "--data", ""])
    assert done.exit_code == 2
    assert "it is empty" in done.output
    assert not [*tmp_path.iterdir()]
