"""Loggers beside TensorBoard, off unless they are asked for. To add one: a class here, and a line in LOGGERS.

They take what stands in `log.jsonl`, by the same names. None of them may stop a training: what goes wrong is told
once, and then the logger is left out. What finds a run of theirs again is kept in `loggers.json`, so that a training
that goes on does so in the same one.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

from skelpipe.errors import shortened
from skelpipe.outputs.ancestry import read_json
from skelpipe.outputs.files import write_json
from skelpipe.settings import flat

log = logging.getLogger(__name__)
KEPT = "loggers.json"
PROJECT = "skelpipe"
SECONDS = 30  # that a server is waited for
LONGEST = 500  # characters of a setting
State = Literal["finished", "stopped", "failed"]


class Logger(Protocol):
    """One run at a logger.

    Attributes:
        kept: what finds it again.
        note: what a user should know of it; "" if nothing.
    """

    kept: dict[str, str]
    note: str

    def __init__(self, name: str, settings: Mapping[str, Any], kept: Mapping[str, str]) -> None: ...

    def write(self, epoch: int, values: Mapping[str, float]) -> None:
        """Add the figures of an epoch."""

    def close(self, state: State) -> None:
        """End it, or leave it where it will go on."""


class WeightsAndBiases:
    """A run of Weights & Biases: online where there is a key, or else in files that `wandb sync` uploads.

    WANDB_MODE, WANDB_PROJECT, WANDB_DIR and the others that wandb reads have their usual meaning.
    """

    def __init__(self, name: str, settings: Mapping[str, Any], kept: Mapping[str, str]) -> None:
        import wandb

        own = wandb.Settings(silent=True, console="off", init_timeout=SECONDS, x_disable_stats=True)
        given = {
            "id": kept.get("id"), "name": name, "project": os.environ.get("WANDB_PROJECT", PROJECT),
            "config": dict(settings), "settings": own,
        }  # fmt: skip
        mode, self.note = (
            os.environ.get("WANDB_MODE") or ("online" if has_key(getattr(own, "base_url", "")) else "offline"),
            "",
        )
        try:
            self.run = wandb.init(mode=mode, **given, **({"resume": "allow"} if mode == "online" else {}))
        except Exception as error:
            if mode != "online":
                raise
            mode, self.note = "offline", f"cannot be reached ({_words(error)}), so it "
            self.run = wandb.init(mode=mode, **given)
        if mode == "offline":
            folder = Path(self.run.dir).parent
            self.note += f"writes files, which 'wandb sync --append {folder}' uploads"
        self.kept = {"id": str(self.run.id), "project": str(given["project"])}

    def write(self, epoch: int, values: Mapping[str, float]) -> None:
        """Add the figures of an epoch; of one that is there already, as after a kill, the first ones stay."""
        self.run.log(dict(values), step=epoch)

    def close(self, state: State) -> None:
        """End it."""
        self.run.finish(exit_code=0 if state == "finished" else 1)


class MLflow:
    """A run of MLflow's, at MLFLOW_TRACKING_URI or in MLflow's own place, of MLFLOW_EXPERIMENT_NAME or `skelpipe`."""

    STATES: Mapping[str, str] = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}

    def __init__(self, name: str, settings: Mapping[str, Any], kept: Mapping[str, str]) -> None:
        # Read by its client: a server that does not answer must not hold a training up for minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(SECONDS))
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        from mlflow.entities import Metric, Param
        from mlflow.tracking import MlflowClient

        self.metric, self.note, place = Metric, "", None
        if "MLFLOW_TRACKING_URI" not in os.environ and find_spec("alembic") is None:
            # Of the small mlflow-skinny, whose own place is a database that it lacks the packages for.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            place = Path("mlruns").absolute().as_uri()
            self.note = f"writes files in {Path('mlruns').absolute()}; MLFLOW_TRACKING_URI names another place"
        self.client = MlflowClient(tracking_uri=place)
        self.id = self._again(kept.get("run_id"))
        if self.id is None:
            title = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
            there = self.client.get_experiment_by_name(title)
            experiment = self.client.create_experiment(title) if there is None else there.experiment_id
            self.id = str(self.client.create_run(experiment, run_name=name).info.run_id)
            told = [Param(_plain(key), shortened(_text(value), LONGEST)) for key, value in flat(settings)]
            for start in range(0, len(told), 100):  # the most that it takes at once
                self.client.log_batch(self.id, params=told[start : start + 100])
        self.kept = {"run_id": self.id}

    def _again(self, run_id: str | None) -> str | None:
        """The run of an earlier session, at work again; None if it is not there."""
        if run_id is None:
            return None
        try:
            self.client.update_run(run_id, status="RUNNING")
        except Exception:  # it was deleted, or is at another place
            return None
        return run_id

    def write(self, epoch: int, values: Mapping[str, float]) -> None:
        """Add the figures of an epoch."""
        now = int(1000 * time.time())
        metrics = [self.metric(_plain(name), value, now, epoch) for name, value in values.items()]
        self.client.log_batch(self.id, metrics=metrics)

    def close(self, state: State) -> None:
        """End it."""
        self.client.set_terminated(self.id, status=self.STATES[state])


LOGGERS: dict[str, type[Logger]] = {
    "wandb": WeightsAndBiases,
    "mlflow": MLflow,
}


class Loggers:
    """Those that were asked for, of which each is left out once it fails.

    Args:
        names: keys of `LOGGERS`.
        run: the folder of the run.
        settings: what decides the run's weights.
    """

    def __init__(self, names: Sequence[str], run: Path, settings: Mapping[str, Any]) -> None:
        self.open: dict[str, Logger] = {}
        kept = read_json(run / KEPT)
        title = " ".join(str(settings.get(key)) for key in ("recipe", "stream", "split")) + f" s{settings.get('seed')}"
        for name in dict.fromkeys(names):
            before = kept.get(name) if isinstance(kept.get(name), dict) else {}
            made = self._try(name, lambda name=name, before=before: LOGGERS[name](title, settings, before))  # type: ignore[misc]
            if made is not None:
                self.open[name] = made
                if made.note:
                    log.warning("--logger %s: %s", name, made.note)
        found = {**kept, **{name: each.kept for name, each in self.open.items()}}
        if found != kept:
            write_json(run / KEPT, found)

    def write(self, epoch: int, entry: Mapping[str, Any]) -> None:
        """Give an epoch's entry of the log to all; what is no number is left out."""
        values = {name: float(value) for name, value in entry.items() if isinstance(value, int | float)}
        for name, each in [*self.open.items()]:
            self._try(name, lambda each=each: each.write(epoch, values))  # type: ignore[misc]

    def close(self, state: State) -> None:
        """End them all."""
        for name, each in [*self.open.items()]:
            self._try(name, lambda each=each: each.close(state))  # type: ignore[misc]
        self.open.clear()

    def _try(self, name: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except ModuleNotFoundError as error:
            what = f'{_words(error)}; training goes on without; pip install "skelpipe[{name}]"'
        except Exception as error:  # whatever it is, a training is worth more
            what = f"failed ({_words(error)}); training goes on without"
        self.open.pop(name, None)
        log.warning("--logger %s: %s", name, what)
        return None


def has_key(address: str) -> bool:
    """Whether Weights & Biases, at that address, knows who this is; wandb itself, asked for it, would prompt for it."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    import netrc
    from urllib.parse import urlsplit

    host = urlsplit(address).hostname or "api.wandb.ai"
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _words(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return shortened(f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__, 200)


def _plain(name: str) -> str:
    """A name of characters that MLflow takes."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-. /") else "_" for c in name)


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, list) else str(value)
