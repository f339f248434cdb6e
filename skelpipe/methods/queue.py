"""The queue of past keys that momentum contrast compares with."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from skelpipe import ranks
from skelpipe.errors import BadInput


class Queue(nn.Module):
    """The last K keys, oldest overwritten first; its state is saved with the module that it is part of.

    He et al., Momentum Contrast for Unsupervised Visual Representation Learning (CVPR 2020), §3.2.

    Args:
        size: D, numbers of a key.
        capacity: K, how many are kept.
        init: the queue starts as random unit vectors ("normal"), or uniform within ±1/√(D/3) ("uniform").

    Attributes:
        queue: (D, K), the keys themselves; changed in place by `enqueue`.
        queue_label: (K,) int64, the classes of the keys; -1 where none was told.
        pointer: () int64, the place that is overwritten next.

    Raises:
        BadInput: a size is below 1, or `init` is not known.

    Example:
        >>> queue = sk.Queue(16, 64)
        >>> queue.enqueue(torch.nn.functional.normalize(torch.randn(8, 16), dim=1))
        >>> queue.keys.shape, int(queue.pointer)
        (torch.Size([16, 64]), 8)
    """

    queue: Tensor
    queue_label: Tensor
    pointer: Tensor

    def __init__(self, size: int, capacity: int, init: Literal["normal", "uniform"] = "normal") -> None:
        super().__init__()
        for name, value in (("size", size), ("capacity", capacity)):
            if not isinstance(value, int):
                raise BadInput(name, f"{value!r} is no whole number", "use 1 or more")
            if value < 1:
                raise BadInput(name, f"{value!r} is below 1", "use 1 or more")
        if init not in ("normal", "uniform"):
            raise BadInput("init", f"{init!r} is not known", "use normal or uniform")
        self._begin(size, capacity, init)

    def _begin(self, size: int, capacity: int, init: str) -> None:
        """Draw the first keys: for modules that draw other weights before."""
        self.register_buffer("queue", first_queue(size, capacity, init))
        self.register_buffer("queue_label", torch.full((capacity,), -1, dtype=torch.int64))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))

    @property
    def keys(self) -> Tensor:
        """A copy of all keys, (D, K), which stays as it is when others are enqueued before the backward pass."""
        return self.queue.clone()

    @torch.no_grad()
    def enqueue(self, keys: Tensor, labels: Tensor | None = None) -> None:
        """Overwrite the oldest keys by those of all ranks; wraps round where the queue is no multiple of the batch.

        Args:
            keys: (B, D); kept without gradient, as float32.
            labels: (B,) int64 classes; None: -1.

        Raises:
            BadInput: they do not fit the queue, which is then as it was.
        """
        self._check(keys, labels)
        keys = keys.to(self.queue.dtype)
        if labels is None:
            labels = torch.full((len(keys),), -1, dtype=torch.int64, device=keys.device)
        keys, labels = ranks.gather(keys), ranks.gather(labels)
        capacity = self.queue.shape[1]
        place = (self.pointer + torch.arange(len(keys), device=keys.device)) % capacity
        self.queue[:, place] = keys.t()
        self.queue_label[place] = labels
        self.pointer.copy_((self.pointer + len(keys)) % capacity)

    def _check(self, keys: Tensor, labels: Tensor | None) -> None:
        for name, given in (("keys", keys), ("labels", labels)):
            if given is not None and not isinstance(given, Tensor):
                raise BadInput(name, f"are of type {type(given).__name__}", "give a torch tensor")
        size = self.queue.shape[0]
        if keys.dim() != 2 or keys.shape[1] != size or not keys.is_floating_point():
            what = f"have shape {tuple(keys.shape)} of {keys.dtype}, and the queue keeps {size} numbers of each"
            raise BadInput("keys", what, f"give (B, {size}) of floating-point numbers")
        if labels is not None and (labels.shape != keys.shape[:1] or labels.is_floating_point()):
            what = f"have shape {tuple(labels.shape)} of {labels.dtype}, for {len(keys)} keys"
            raise BadInput("labels", what, "give (B,) whole numbers, one for each key")

    def extra_repr(self) -> str:
        """What stands in its brackets where it is printed: D and K."""
        return f"size={self.queue.shape[0]}, capacity={self.queue.shape[1]}"


def first_queue(size: int, capacity: int, init: str) -> Tensor:
    """The queue before any key is in it: (D, K)."""
    if init == "uniform":
        bound = 1 / math.sqrt(size / 3)
        return torch.empty(size, capacity).uniform_(-bound, bound)
    return nn.functional.normalize(torch.randn(size, capacity), dim=0)


@torch.no_grad()
def momentum_update(network: nn.Module, towards: nn.Module, momentum: float = 0.999, *, buffers: bool = False) -> None:
    """Move a network's parameters towards another's: θ ← m θ + (1 - m) θ'.

    He et al., Momentum Contrast for Unsupervised Visual Representation Learning (CVPR 2020), Eq. 2.

    Args:
        network: whose parameters move, as the key network's.
        towards: the same network with other weights, as the query network; unchanged.
        momentum: m, the share that is kept, from 0 to 1.
        buffers: whether its floating-point buffers, such as the statistics of batch norms, move as well.

    Raises:
        BadInput: the networks have other parameters, or m is none.

    Example:
        >>> key, query = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
        >>> sk.momentum_update(key, query, momentum=0.0)
        >>> bool((key.weight == query.weight).all())
        True
    """
    mine: list[Tensor] = list(network.parameters())
    theirs: list[Tensor] = list(towards.parameters())
    if buffers:
        mine += [buffer for buffer in network.buffers() if buffer.is_floating_point()]
        theirs += [buffer for buffer in towards.buffers() if buffer.is_floating_point()]
    if [each.shape for each in mine] != [each.shape for each in theirs]:
        raise BadInput("towards", "has other parameters than the network that moves", "use a copy of one network")
    if not 0 <= momentum <= 1:
        raise BadInput("momentum", f"{momentum} is none of 0 to 1", "use for example 0.999")
    torch._foreach_lerp_(mine, theirs, 1 - momentum)
