"""A method with two networks and a weighted sum of three losses."""

from __future__ import annotations

from typing import Literal

import torch

from skelpipe.methods.base import Method, MethodOptions
from skelpipe.methods.network import initialise


class TwoNetworksOptions(MethodOptions):
    """Nothing but the losses' weights."""

    name: Literal["two_networks"] = "two_networks"


class TwoNetworks(Method):
    """Each network's embedding of one view is drawn to the other's of the other view."""

    Options = TwoNetworksOptions
    VIEWS = ("one", "other")
    LOSSES = ("there", "back", "size")

    def __init__(self, build, size, options, positives, init):
        super().__init__(options)
        self.first, self.second = build(), build()
        for network in (self.first, self.second):
            initialise(network, init)

    @property
    def evaluated(self):
        return self.second

    def losses(self, batch, epoch):
        one, other = ([network(view) for network in (self.first, self.second)] for view in batch.views.values())
        self.observed = {"apart": (one[0] - one[1]).detach().abs().mean()}
        there, back = ((a - b).square().sum(1).mean() for a, b in ((one[0], other[1]), (other[0], one[1])))
        return {"there": there, "back": back, "size": torch.square(self.second.scores(batch.views["one"])).mean()}
