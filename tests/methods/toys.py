"""Recipes of the toy methods, for the tests and for the processes that they start."""

from __future__ import annotations

from conftest import TINY
from toy_frames import NextFrame
from toy_networks import TwoNetworks

from skelpipe import settings
from skelpipe.methods import METHODS
from skelpipe.training.recipe import Recipe, load_recipe

KINDS = {"two_networks": TwoNetworks, "next_frame": NextFrame}
SMALL = ["encoder={name: recurrent, cell: gru, layers: 2, width: 6, direction: bi, pooling: final}"]
ASCAL = [
    "encoder={name: recurrent, cell: lstm, layers: 1, width: 8, direction: uni, pooling: mean, padding: read}",
    "method.normalise=false", "method.queue_init=uniform", "method.key_follows=after", "method.key_mode=eval",
    "method.fill_epochs=1",
]  # fmt: skip


class ToyRecipe(Recipe):
    """A recipe whose method is one of the toys."""

    method: settings.one_of(KINDS)


def recipe(name, epochs=2, more=()):
    """A small recipe of one of the toys, or of a contrastive GRU ("gru") or AS-CAL's LSTM ("as_cal")."""
    METHODS.update(KINDS)
    tiny = [each for each in TINY if not each.startswith("encoder.")]
    if name in ("gru", "as_cal"):
        return load_recipe("skeletonclr", [*tiny, *(SMALL if name == "gru" else ASCAL), *more], epochs=epochs)
    data = {"name": name, "method": name, "batch_size": 8, "epochs": epochs, "optimizer": {"lr": 0.05}}
    if name == "two_networks":
        data |= {"method": {"name": name, "weights": {"back": 0.5, "size": 0.1}}, "projector": {"size": 8}}
        data |= {"views": {"one": "normal", "other": ["crop"]}, "encoder": {"width": 2, "features": 8, "dropout": 0.5}}
    else:
        data |= {"views": {"clip": "normal"}, "projector": {"size": 150}}
    sets = [*(SMALL if name == "next_frame" else ()), *more]
    return settings.check(ToyRecipe, settings.override(data, sets), name)
