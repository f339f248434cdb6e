"""A program that has imported everything and forks a process for each command line that it is told of.

So a test can start a hundred real processes, and send them real signals, without waiting for a hundred imports. It
reads a JSON object a line from stdin and answers with one. `start` forks a process that runs `skelpipe WORDS`; `wait`
waits for it. A process may be told to die in the middle of its own work: at the n-th call to the file system that its
main thread makes, before or after it.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

LATE = (  # what functions import
    "zarr", "h5py", "safetensors.torch", "sklearn.linear_model", "sklearn.manifold", "numba", "pandas",
    "matplotlib.figure", "matplotlib.backends.backend_agg", "jinja2",
    "tensorboard.summary.writer.record_writer", "tensorboard.compat.proto.summary_pb2",
)  # fmt: skip
CALLS = ("fsync", "rename", "replace", "rmdir", "unlink", "mkdir", "open")


def load() -> None:
    """Import all that commands import; no thread may be started here, since none would be there after a fork."""
    import importlib
    import pkgutil

    import numpy  # noqa: F401
    import torch

    import skelpipe

    torch.set_num_threads(1)
    for module in pkgutil.walk_packages(skelpipe.__path__, "skelpipe."):
        if not module.name.endswith(("__main__", "watchdog")):
            importlib.import_module(module.name)
    for name in LATE:
        importlib.import_module(name)


def hook(order: dict) -> dict[str, int]:
    """Count the calls to the file system, and at one of them die or have it fail."""
    from skelpipe.outputs import folders

    seen = {"calls": 0}
    main = threading.main_thread()

    def wrapped(call):
        def counting(*args, **options):
            if threading.current_thread() is not main:
                return call(*args, **options)
            seen["calls"] += 1
            mine = seen["calls"] == order.get("at")
            if mine and order["then"] == "before":
                os.kill(os.getpid(), order["signal"])
            if "fail" in order and seen["calls"] >= order["at"] and call.__name__ in order["of"]:
                raise OSError(order["fail"], os.strerror(order["fail"]), *args[:1])
            result = call(*args, **options)
            if mine and order["then"] == "after":
                os.kill(os.getpid(), order["signal"])
            return result

        counting.__name__ = call.__name__
        return counting

    for name in CALLS:
        setattr(os, name, wrapped(getattr(os, name)))
    folders.exchange = wrapped(folders.exchange)
    return seen


def child(order: dict) -> int:
    """In the forked process: run the command and return its exit status."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: nothing outlives the test
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(order["in"])
    words = order["words"]
    said = os.open(order["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
    os.dup2(said, 1), os.dup2(said, 2)
    sys.argv = ["skelpipe", *words]
    seen = hook(order["hook"]) if "hook" in order else {}
    from skelpipe import cli
    from skelpipe.training import loop

    loop.CHECKPOINT_SECONDS = order.get("checkpoint_seconds", loop.CHECKPOINT_SECONDS)
    if "begin" in order:  # all at the same moment
        while time.time() < order["begin"]:
            pass
    try:
        cli.main(words)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except KeyboardInterrupt:
        status = 130
    except BaseException:
        traceback.print_exc()
        status = 70
    sys.stdout.flush(), sys.stderr.flush()
    if "count" in order:
        Path(order["count"]).write_text(str(seen["calls"]))
    return status


def serve() -> None:
    """Answer until stdin ends."""
    load()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    print(json.dumps({"ready": True}), file=answers)
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "wait":
            try:
                _, status, used = os.wait4(order["pid"], 0)
                answer = {"status": os.waitstatus_to_exitcode(status), "peak": used.ru_maxrss * 1024}
            except ChildProcessError:
                answer = {"error": errno.errorcode[errno.ECHILD]}
        else:
            pid = os.fork()
            if pid == 0:
                status = 71
                try:
                    status = child(order)
                finally:
                    os._exit(status)
            answer = {"pid": pid}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    serve()
