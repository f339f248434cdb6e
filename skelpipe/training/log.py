"""A run's log: a line an epoch, TensorBoard's files and other loggers', and whether the embeddings have collapsed."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from skelpipe import ranks
from skelpipe.training.checkpoint import Position
from skelpipe.training.folder import LOG
from skelpipe.training.loggers import Loggers, State

log = logging.getLogger(__name__)
COLLAPSE_SPREAD, COLLAPSE_LOSS = 1e-3, 0.01  # the second relative to ln(K+1)
COLLAPSE_REMEDY = (
    "the embeddings have collapsed: all clips look alike and the loss stays at that of guessing (ln(K+1)); "
    "start from '--set init=torch --set method.key_init=copy', which does not begin on this plateau"
)


class Log:
    """`log.jsonl`, one object per epoch, and the same for TensorBoard; cut back to where a resumed run stands.

    Args:
        streams: those that are trained together, whose scalars have the stream in their names.
        loggers: keys of `LOGGERS` that take the same, told of the run's `settings`.
    """

    def __init__(
        self,
        run: Path,
        at: Position,
        streams: Sequence[str] = (),
        loggers: Sequence[str] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = run / LOG
        self.endings = ("", *(f"_{stream}" for stream in streams))
        with open(self.path, "ab") as file:
            file.truncate(at.log_bytes)
        self.last = last_entry(run)
        self.board = Board(run / "tensorboard", at.epoch)
        self.loggers = Loggers(loggers, run, settings or {})
        self.warnings: list[str] = []

    def write(
        self,
        at: Position,
        lr: float,
        clips: int,
        guessing: float | None,
        held_out: Mapping[str, float | None] | None = None,
    ) -> None:
        """Add the epoch that `at` has just ended.

        Args:
            lr: the rate of its last step.
            clips: how many were trained on.
            guessing: the contrastive loss of guessing, if there is one.
            held_out: what held-out clips have shown.
        """
        entry = {"epoch": at.epoch, **at.means(), **(held_out or {}), "lr": lr}
        if ranks.count() > 1:
            entry["ranks"] = ranks.count()
        if guessing is not None and any(collapsed(entry, ending, guessing) for ending in self.endings):
            entry["collapsed"] = True
        if entry.get("collapsed") and not self.warnings:
            self.warnings.append(f"epoch {at.epoch}: {COLLAPSE_REMEDY}")
        entry |= {"clips_per_second": round(clips / max(at.seconds, 1e-9), 1), "seconds": round(at.seconds, 3)}
        with open(self.path, "ab") as file:
            file.write((json.dumps(entry) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())
            at.log_bytes = file.tell()
        self.board.write(at.epoch, {name: value for name, value in entry.items() if isinstance(value, float)})
        self.loggers.write(at.epoch, entry)
        self.last = entry
        log.debug("epoch %d: %s", at.epoch, entry)

    def close(self, state: State = "finished") -> None:
        """Close the TensorBoard file, and end what other loggers have of the run."""
        self.board.close()
        self.loggers.close(state)


class Board:
    """A file of TensorBoard's, written at once: a killed run lacks nothing in it that its checkpoint has.

    Torch's own writer keeps events back for two minutes, and its thread, not the caller, learns of a full disk.
    """

    def __init__(self, folder: Path, epoch: int) -> None:
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(exist_ok=True)
        # Read in the order of their names; a resumed run's file takes back what an older one says from `epoch` on.
        self._file = open(folder / f"events.out.tfevents.{time.time():.6f}.{os.getpid()}", "wb")  # noqa: SIM115
        self._events, self._records = event_pb2, RecordWriter(self._file)
        self._write(file_version="brain.Event:2")
        self._write(step=epoch, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))

    def _write(self, **content: Any) -> None:
        self._records.write(self._events.Event(wall_time=time.time(), **content).SerializeToString())
        self._file.flush()

    def write(self, epoch: int, values: Mapping[str, float]) -> None:
        """Add the scalars of an epoch."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(step=epoch, summary=Summary(value=scalars))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def collapsed(entry: Mapping[str, Any], ending: str, guessing: float) -> bool:
    """Whether an epoch's log (of one stream's, `_bone` say, or all of it, ``) shows equal embeddings and guessing."""
    info_nce, spread = entry.get(f"info_nce{ending}"), entry.get(f"spread{ending}")
    if info_nce is None or spread is None or spread >= COLLAPSE_SPREAD:
        return False
    return bool(abs(info_nce - guessing) < COLLAPSE_LOSS * guessing)


def last_entry(run: Path) -> dict[str, Any] | None:
    """The last epoch in a run's log, or None where there is none that can be read."""
    try:
        entry = json.loads((run / LOG).read_bytes().splitlines()[-1])
    except (OSError, ValueError, IndexError):
        return None
    return entry if isinstance(entry, dict) else None


def collapsed_at(run: Path, epoch: int) -> bool:
    """Whether a run's log says that the embeddings had collapsed at that epoch."""
    try:
        entries = [json.loads(line) for line in (run / LOG).read_bytes().splitlines()]
    except (OSError, ValueError):
        return False
    return any(e.get("epoch") == epoch and e.get("collapsed") for e in entries if isinstance(e, dict))
