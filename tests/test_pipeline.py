"""Pipelines: what they say, and what Snakemake makes of them (with stand-ins for the stages, see fake_stage.py)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from skelpipe import resources
from skelpipe.datasets import SPLITS
from skelpipe.errors import BadInput
from skelpipe.pipeline import list_raw, load_pipeline, plan, run

FAKE = Path(__file__).with_name("fake_stage.py")
TOY = {
    "title": "toy",
    "dataset": "ntu60",
    "split": "xsub60",
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


def test_only_what_changed_runs_again_in_a_folder_of_any_name(tmp_path, capsys):
    toy = Toy(tmp_path, 'it\'s a "test" {x}', set={"one": ["optimizer={lr: 0.05, steps: [1]}"]})
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
    assert sum("--set optimizer={lr: 0.05, steps: [1]} " in call for call in calls) == 2
    shown = capsys.readouterr().out
    assert "12 to do" not in shown
    assert "0 of 14 stages are done, 14 to do." in shown
    assert "[1/14] skelpipe synth ntu60 raw/toy --actions 3 --seed 0 --frames 20 30 --force\n" in shown
    assert "pretrain one joint seed 0: made" in shown
    assert shown.rstrip().endswith("report.html")

    recipe = tmp_path / "one.yaml"
    recipe.write_text("# only a comment\n" + recipe.read_text())
    assert toy.go() == (0, [])
    assert "All is done." in capsys.readouterr().out

    recipe.write_text(recipe.read_text().replace("temperature: 0.07", "temperature: 0.2"))
    (toy.data / "interrupt").write_text("kill")
    assert toy.go()[0] == 1
    assert "failed: " in capsys.readouterr().err
    # What a run wrote before it was killed is still there for it to go on from.
    assert len(list(toy.data.glob("runs/toy/one/*/run/checkpoint.pt"))) == 1

    status, calls = toy.go()
    assert status == 0
    # That the settings had changed is not forgotten by the failure, and nothing of the other recipe runs.
    assert stages(calls) == ["evaluate", "evaluate", "fuse", "pretrain", "pretrain", "report"]
    assert all("/one/" in call for call in calls)
    assert "to do: goes on from its checkpoint" in capsys.readouterr().out


def test_an_interrupt_reaches_the_stage_and_ends_everything(tmp_path):
    toy = Toy(tmp_path, recipes=["./one.yaml"], streams=["joint"])
    toy.data.mkdir()
    (toy.data / "interrupt").write_text("wait")
    code = (
        "import sys; from skelpipe.pipeline import run;"
        f"sys.exit(run({str(toy.file)!r}, data={str(toy.data)!r}, command=[sys.executable, {str(FAKE)!r}]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
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
    assert "skelpipe: pretrain one joint seed 0 failed: clips.zarr: is damaged; remake it\n" in told
    command = f"skelpipe pretrain {tmp_path}/one.yaml stores/toy-50.zarr runs/toy/one/joint-s0/run"
    assert f"  cd {toy.data} && {command}" in told
    assert "Traceback" not in told


def test_one_pipeline_at_a_time_in_a_data_folder(tmp_path):
    toy = Toy(tmp_path)
    (toy.data / ".snakemake").mkdir(parents=True)
    with FileLock(toy.data / ".snakemake/skelpipe.lock"), pytest.raises(BadInput, match="another 'skelpipe run'"):
        toy.go()


# What a pipeline says -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", resources.names("pipelines"))
def test_shipped_pipelines_are_sound(name, tmp_path):
    pipeline, path = load_pipeline(name)
    assert pipeline.dataset in [dataset.name for dataset in SPLITS[pipeline.split].datasets]
    if pipeline.synth is None:
        (tmp_path / "raw" / pipeline.dataset).mkdir(parents=True)
        (tmp_path / "raw" / pipeline.dataset / "a.skeleton").write_text("1")
    config = plan(pipeline, path, tmp_path)
    assert list(config["recipes"]) == list(pipeline.recipes)


def test_all_mistakes_are_named_at_once_with_the_nearest_right_key(tmp_path):
    file = write_toy(tmp_path, datset="ntu60", split="xsub61", streams=["joints"], synth={"action": 3})
    with pytest.raises(BadInput) as caught:
        load_pipeline(file)
    for part in ("datset: unknown key (did you mean 'dataset'?)", "split:", "'xsub60'", "streams", "synth.action"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"split": "xsub120"}, "xsub120 cannot be made from ntu60"),
        ({"seeds": [0, 0]}, "twice"),
        ({"seeds": [-1]}, "at least 0"),
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


def test_overrides_change_the_pipeline(tmp_path):
    pipeline, _ = load_pipeline(write_toy(tmp_path), ["seeds=[3, 4]", "synth.actions=5", "epochs=2"])
    assert (pipeline.seeds, pipeline.epochs) == ((3, 4), 2)
    assert (pipeline.synth.actions, pipeline.synth.frames) == (5, (20, 30))


def test_missing_recordings_are_told_with_their_owners(tmp_path):
    with pytest.raises(BadInput, match=r"raw/ntu60: holds no recordings of ntu60; put .* request form"):
        run("ntu60_xsub", data=tmp_path)
    with pytest.raises(BadInput, match="mail"):
        run("pku1_xsub", data=tmp_path, raw=tmp_path / "elsewhere")


def test_a_store_serves_without_the_recordings_it_was_made_from(tmp_path):
    pipeline, path = load_pipeline("ntu60_xsub", ["dataset=ntu120", "bodies=energy", "turn=false"])
    store = tmp_path / "stores/ntu120.zarr"
    store.mkdir(parents=True)
    (store / "done.json").write_text('{"kind": "store", "digest": "0"}')
    config = plan(pipeline, path, tmp_path)
    assert "ingest" not in config["flags"]
    assert (config["store"], config["clips"]) == ("stores/ntu120.zarr", "stores/ntu120-50-energy-unturned.zarr")


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
