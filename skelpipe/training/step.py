"""One step of training, and its largest part as one graph that `torch.compile` makes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from skelpipe import ranks
from skelpipe.errors import shortened
from skelpipe.methods.base import Method

if TYPE_CHECKING:
    from skelpipe.clips.batches import Batch

log = logging.getLogger(__name__)

CHOICES = ("auto", "off", "on")
Gradients = Callable[[Method, "Batch", int], dict[str, Tensor]]
BACKEND = "inductor"  # of torch.compile
GRAPHS = 256  # that one process may make: one for each phase of a method, and some processes train many


def gradients(method: Method, batch: Batch, epoch: int) -> dict[str, Tensor]:
    """The loss of a batch and what else the log holds; the parameters get their gradients, if the method learns."""
    learns = method.learns(epoch)
    with torch.set_grad_enabled(learns):
        loss, log = method(batch, epoch)
    if learns:
        loss.backward()
    return {"loss": loss.detach(), **log}


def train_step(
    method: Method, optimizer: torch.optim.Optimizer, batch: Batch, epoch: int, by: Gradients = gradients
) -> dict[str, Tensor]:
    """One step on a batch, or on this rank's share of it; returns the loss and what else the log holds.

    Args:
        by: computes the gradients: `gradients`, or a `Graphs`, which computes the same.
    """
    learns = method.learns(epoch)
    if learns:
        optimizer.zero_grad(set_to_none=True)
    log = by(method, batch, epoch)
    if learns:
        ranks.average([p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None])
        optimizer.step()
        method.after_step(epoch)
    return log


class Graphs:
    """`gradients` as one graph for each phase of a method: forward and backward, key networks, queues, norms.

    The optimiser's step is none of it: torch breaks graphs there, and so rates are never burnt in. Where a graph cannot
    be made, one line says why, the step is taken anew from where it began, and this and all further ones go without.

    Attributes:
        failed: why they go without.
    """

    def __init__(self, backend: str | Callable[..., Any] = BACKEND) -> None:
        self.run: Gradients = torch.compile(gradients, fullgraph=True, dynamic=False, backend=backend)
        self.epochs: dict[Hashable, int] = {}
        self.failed: str | None = None

    def __call__(self, method: Method, batch: Batch, epoch: int) -> dict[str, Tensor]:
        if self.failed is not None:
            return gradients(method, batch, epoch)
        phase = method.phase(epoch)
        if phase in self.epochs:
            with whole():
                return self.run(method, batch, self.epochs[phase])
        before = Before(method)
        try:
            with whole():
                found = self.run(method, batch, epoch)
        except Exception as error:
            self.failed = told(error)
            before.put_back()
            log.warning("steps are not compiled, and go on without: %s", self.failed)
            return gradients(method, batch, epoch)
        self.epochs[phase] = epoch
        return found


def graphs_for(choice: str | Graphs, place: torch.device) -> Graphs | None:
    """What compiles the steps of a run, or None where they stay as they are.

    Args:
        choice: one of CHOICES, of which auto means on a GPU; or what shall do it.
    """
    if choice == "off" or (choice == "auto" and place.type != "cuda"):
        return None
    if ranks.count() > 1:
        log.log(logging.INFO if choice == "auto" else logging.WARNING, "steps of several ranks are not compiled")
        return None
    log.info("steps are compiled, as one graph each but for the optimiser's")
    return choice if isinstance(choice, Graphs) else Graphs()


def compiled(graphs: Graphs | None) -> bool | str:
    """What is noted of a session: whether its steps are compiled, or why they are not, though they were to be."""
    if graphs is None:
        return False
    return graphs.failed is None or f"no: {graphs.failed}"


class Before:
    """What a step changes before the optimiser's, as it is now: the method's state and the random numbers."""

    def __init__(self, method: Method) -> None:
        self.method = method
        self.state = {name: value.detach().clone() for name, value in method.state_dict().items()}
        self.random = torch.get_rng_state()
        self.devices = {value.device for value in self.state.values() if value.device.type == "cuda"}
        self.on_devices = [(torch.cuda.get_rng_state(device), device) for device in self.devices]

    def put_back(self) -> None:
        """Make it so again, without gradients."""
        self.method.load_state_dict(self.state)
        self.method.zero_grad(set_to_none=True)
        torch.set_rng_state(self.random)
        for state, device in self.on_devices:
            torch.cuda.set_rng_state(state, device)


def whole() -> AbstractContextManager[None]:
    """Inside, torch makes one graph of `gradients`, for as many methods and phases as there are."""
    import torch._dynamo

    found: AbstractContextManager[None] = torch._dynamo.config.patch(
        trace_autograd_ops=True,  # the backward pass
        allow_rnn=True,
        recompile_limit=GRAPHS,
        accumulated_recompile_limit=GRAPHS,
    )
    return found


def told(error: Exception) -> str:
    """What an error of torch.compile says, in one line."""
    lines = str(error).split("\n\n")[0].split()
    return shortened(" ".join(lines) or type(error).__name__, 160)
