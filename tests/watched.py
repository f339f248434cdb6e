"""`skelpipe` in float64 with its training watched: at a rank's step it gets a signal, or fails.

`[torchrun] watched.py HOW RANK STEP WORDS...`, HOW being a signal's name, fail, or nothing.
"""

import os
import signal
import sys

from rank_worker import all_in_float64

from skelpipe.cli import main
from skelpipe.errors import BadInput
from skelpipe.training import loop

how, rank, at, *words = sys.argv[1:]
sys.argv = ["skelpipe", *words]

with all_in_float64():
    train_step, taken = loop.train_step, []

    def watched(*given):
        taken.append(1)
        if os.environ["RANK"] == rank and len(taken) == int(at):
            if how == "fail":
                raise BadInput("here", "something fails", "mend it")
            if how != "nothing":
                os.kill(os.getpid(), signal.Signals[how])
        return train_step(*given)

    loop.train_step = watched
    main(words, prog_name="skelpipe")
