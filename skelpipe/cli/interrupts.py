"""How Ctrl-C and SIGTERM end a command."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any


def stop_in_order() -> None:
    """A SIGTERM, such as batch systems send, ends a stage as Ctrl-C does: scratch is removed, a checkpoint is saved."""
    owner = os.getpid()
    hook = sys.unraisablehook if isinstance(sys.unraisablehook, _Again) else _Again(sys.unraisablehook)
    sys.unraisablehook = hook

    def stop(number: int, frame: object) -> None:
        if os.getpid() != owner:  # a worker process that inherited this
            os._exit(128 + number)
        hook.stopping = True
        warnings.simplefilter("ignore")
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop)


class _Again:
    """Sends an interrupt again that came while C code called back, as Numba's loader does, and was swallowed there.

    Attributes:
        stopping: an interrupt is on its way up. What it left half-built, as asyncio's event loops, is not worth a word.
    """

    def __init__(self, before: Callable[[Any], object]) -> None:
        self.before, self.owner, self.stopping = before, os.getpid(), False

    def __call__(self, what: Any) -> None:
        if not issubclass(what.exc_type, KeyboardInterrupt) or os.getpid() != self.owner:
            if not self.stopping:
                self.before(what)
            return
        again = threading.Timer(0.05, os.kill, (self.owner, signal.SIGTERM))
        again.daemon = True
        again.start()
