"""Loggers beside TensorBoard: the same names, the same run after a stop, and no harm where they fail."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import TINY

from skelpipe.cli import main
from skelpipe.errors import BadInput
from skelpipe.pipeline.files import load_pipeline
from skelpipe.training import loggers
from skelpipe.training.loggers import KEPT, LOGGERS
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

ENVIRONMENT = (
    "WANDB_API_KEY",
    "WANDB_MODE",
    "WANDB_PROJECT",
    "WANDB_BASE_URL",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_TRACKING_URI",
)


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no netrc"))
    monkeypatch.chdir(tmp_path)


class FakeWandb(types.ModuleType):
    """As much of wandb as is used, which keeps what it is told; `broken` names calls that fail."""

    def __init__(self, broken: tuple[str, ...] = ()) -> None:
        super().__init__("wandb")
        self.broken, self.inits, self.steps, self.ended = broken, [], [], []

    Settings = dict

    def init(self, **given: Any) -> Any:
        self.inits.append(given)
        if "init" in self.broken or given["mode"] in self.broken:
            raise OSError("no route to host\nmore")
        run = types.SimpleNamespace(id=given["id"] or "abc123", dir="wandb/offline-run-1/files")
        run.log, run.finish = self._log, lambda exit_code: self.ended.append(exit_code)
        return run

    def _log(self, values: dict[str, float], step: int) -> None:
        if "log" in self.broken:
            raise ValueError("disk full")
        self.steps.append((step, values))


@pytest.fixture
def wandb(monkeypatch):
    def make(*broken: str) -> FakeWandb:
        fake = FakeWandb(broken)
        monkeypatch.setitem(sys.modules, "wandb", fake)
        return fake

    return make


def train(clips: Path, run: Path, epochs: int = 2, **more: Any) -> Any:
    recipe = load_recipe("skeletonclr", [*TINY], epochs=epochs)
    return pretrain(recipe, clips, run, split="xsub60", stream="motion", device="cpu", threads=1, **more)


def entries(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_what_is_logged_is_the_log_and_decides_nothing(clips, tmp_path, wandb, caplog):
    fake = wandb()
    assert train(clips, tmp_path / "run", loggers=["wandb"]).state == "finished"
    wanted = [(e["epoch"], {k: float(v) for k, v in e.items() if v is not None}) for e in entries(tmp_path / "run")]
    assert fake.steps == wanted
    assert {"loss", "lr", "spread", "seconds", "clips_per_second", "epoch"} <= fake.steps[0][1].keys()
    assert fake.ended == [0]
    (given,) = fake.inits
    assert (given["mode"], given["name"], given["project"]) == ("offline", "skeletonclr motion xsub60 s0", "skelpipe")
    assert given["config"]["recipe_settings"]["name"] == "skeletonclr"
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "--logger wandb: writes files, which 'wandb sync --append wandb/offline-run-1' uploads"
    ]
    assert train(clips, tmp_path / "plain").state == "finished"
    assert not (tmp_path / "plain" / KEPT).exists()
    for name in ("weights.safetensors", "settings.json"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


def test_a_run_that_goes_on_does_so_in_the_same_one(clips, tmp_path, wandb, monkeypatch):
    fake = wandb()
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)

    def stop(event):
        if (event["epoch"], event["step"]) == (2, 1):
            os.kill(os.getpid(), signal.SIGTERM)

    assert train(clips, tmp_path / "run", 3, loggers=["wandb"], progress=stop).state == "stopped"
    assert fake.ended == [1]
    assert train(clips, tmp_path / "run", 3, loggers=["wandb"]).state == "finished"
    assert [given["id"] for given in fake.inits] == [None, "abc123"]
    assert [(given["mode"], given["resume"]) for given in fake.inits] == [("online", "allow")] * 2
    assert [step for step, _ in fake.steps] == [1, 2, 3]
    assert json.loads((tmp_path / "run" / KEPT).read_text()) == {"wandb": {"id": "abc123", "project": "skelpipe"}}


@pytest.mark.parametrize(
    ("broken", "told", "steps"),
    [
        (("init",), "failed (OSError: no route to host); training goes on without", 0),
        (("log",), "failed (ValueError: disk full); training goes on without", 0),
        (("online",), "cannot be reached (OSError: no route to host), so it writes files, which", 2),
    ],
)
def test_one_that_fails_costs_one_warning(clips, tmp_path, wandb, caplog, monkeypatch, broken, told, steps):
    fake = wandb(*broken)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert train(clips, tmp_path / "run", loggers=["wandb", "wandb"]).state == "finished"
    warned = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warned) == 1
    assert warned[0].startswith(f"--logger wandb: {told}")
    assert len(fake.steps) == steps
    assert len(entries(tmp_path / "run")) == 2


def test_one_that_is_not_installed_costs_a_warning_with_its_remedy(clips, tmp_path, caplog, monkeypatch):
    for name in ("wandb", "mlflow", "mlflow.entities", "mlflow.tracking"):
        monkeypatch.setitem(sys.modules, name, None)
    assert train(clips, tmp_path / "run", loggers=["wandb", "mlflow"]).state == "finished"
    warned = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [line.rpartition("; ")[2] for line in warned] == [
        'pip install "skelpipe[wandb]"',
        'pip install "skelpipe[mlflow]"',
    ]


def test_a_training_that_fails_is_failed_there_too(clips, tmp_path, wandb):
    fake = wandb()

    def fail(event):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(clips, tmp_path / "run", loggers=["wandb"], progress=fail)
    assert fake.ended == [1]


def test_whether_there_is_a_key_is_found_without_asking(monkeypatch, tmp_path):
    assert not loggers.has_key("")
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert loggers.has_key("")
    assert loggers.has_key("https://api.wandb.ai")
    assert not loggers.has_key("https://wandb.example.org")
    (tmp_path / "netrc").write_text("machine")
    assert not loggers.has_key("")


def test_a_pipeline_may_ask_for_them_which_is_no_setting_of_a_run(tmp_path):
    pipeline, _ = load_pipeline("demo", ["loggers=[wandb, mlflow]"])
    assert pipeline.loggers == ("wandb", "mlflow")
    with pytest.raises(BadInput, match="did you mean 'wandb'"):
        load_pipeline("demo", ["loggers=[wandbb]"])
    told = CliRunner().invoke(main, ["pretrain", "skeletonclr", "c", "r", "--split", "xsub60", "--stream", "joint",
                                     "--logger", "comet"])  # fmt: skip
    assert told.exit_code == 2
    assert "'comet' is not one of 'wandb', 'mlflow'" in told.output
    assert [*LOGGERS] == ["wandb", "mlflow"]


def test_mlflow_takes_it_all(clips, tmp_path, monkeypatch):
    """Where mlflow is there, in a store of files."""
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())

    def stop(event):
        if (event["epoch"], event["step"]) == (2, 1):
            os.kill(os.getpid(), signal.SIGTERM)

    assert train(clips, tmp_path / "run", 3, loggers=["mlflow"], progress=stop).state == "stopped"
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    number = json.loads((tmp_path / "run" / KEPT).read_text())["mlflow"]["run_id"]
    assert client.get_run(number).info.status == "KILLED"
    assert train(clips, tmp_path / "run", 3, loggers=["mlflow"]).state == "finished"
    assert json.loads((tmp_path / "run" / KEPT).read_text())["mlflow"]["run_id"] == number
    found = client.get_run(number)
    assert found.info.status == "FINISHED"
    assert found.data.params["recipe_settings.optimizer.lr"]
    for key in ("loss", "lr", "spread"):
        logged = {metric.step: metric.value for metric in client.get_metric_history(number, key)}
        assert logged == {entry["epoch"]: pytest.approx(entry[key]) for entry in entries(tmp_path / "run")}


def test_wandb_takes_it_all_without_a_network(clips, tmp_path, monkeypatch):
    """Where wandb is there: its files hold what was logged."""
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    assert train(clips, tmp_path / "run", loggers=["wandb"]).state == "finished"
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    (file,) = folder.glob("*.wandb")
    held = file.read_bytes()
    assert all(name.encode() in held for name in ("loss", "spread", "clips_per_second"))
    assert json.loads((tmp_path / "run" / KEPT).read_text())["wandb"]["id"] in folder.name
