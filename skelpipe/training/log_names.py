"""The names in a run's log that every run may have, so that no loss of a method is called one of them."""

from __future__ import annotations

LOG_NAMES = (
    "epoch", "loss", "lr", "ranks", "collapsed", "clips_per_second", "seconds", "held_out_loss", "held_out_top1",
)  # fmt: skip
