"""One step of training, and its largest part as one graph that `torch.compile` makes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from skelpipe import ranks
from skelpipe.errors import shortened
from skelpipe.methods.base import Method

if TYPE_CHECKING:
    from skelpipe.clips.batches import Batch

log = logging.getLogger(__name__)

CHOICES = ("auto", "off", "on")
BACKEND = "inductor"  # of torch.compile
GRAPHS = 256  # that one process may make: one for each phase of a method, and some processes train many
M = TypeVar("M", bound=nn.Module)
Gradients = Callable[[M, "Batch", int], dict[str, Tensor]]


def gradients(method: Method, batch: Batch, epoch: int) -> dict[str, Tensor]:
    """The loss of a batch and what else the log holds; the parameters get their gradients, if the method learns."""
    learns = method.learns(epoch)
    with torch.set_grad_enabled(learns):
        loss, log = method(batch, epoch)
    if learns:
        loss.backward()
    return {"loss": loss.detach(), **log}


def train_step(
    method: Method, optimizer: torch.optim.Optimizer, batch: Batch, epoch: int, graphs: Graphs | None = None
) -> dict[str, Tensor]:
    """One step on a batch, or on this rank's share of it; returns the loss and what else the log holds.

    Args:
        graphs: compiles all of it but the optimiser's part.
    """
    learns = method.learns(epoch)
    if learns:
        optimizer.zero_grad(set_to_none=True)
    if graphs is None:
        log = gradients(method, batch, epoch)
    else:
        log = graphs.take(gradients, method, batch, epoch, method.phase(epoch))
    if learns:
        ranks.average([p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None])
        optimizer.step()
        method.after_step(epoch)
    return log


def called(step: Gradients[M], module: M, batch: Batch, epoch: int) -> dict[str, Tensor]:
    """What is compiled: any step's gradients."""
    return step(module, batch, epoch)


class Graphs:
    """A step up to its gradients as one graph: forward and backward, and a method's key networks, queues and norms.

    There is one for each phase of a module's training. The optimiser's step is none of it: torch breaks graphs there,
    and so rates are never burnt in. Where a graph cannot be made, one line says why, the step is taken anew from where
    it began, and this and all further ones go without.

    Attributes:
        failed: why they go without.
        module, epochs: what was compiled last, and for each of its phases the epoch that stands for it.
    """

    def __init__(self, backend: str | Callable[..., Any] = BACKEND, mode: str | None = None) -> None:
        self.compiled = torch.compile(called, fullgraph=True, dynamic=False, backend=backend, mode=mode)
        self.failed: str | None = None
        self.module: nn.Module | None = None
        self.epochs: dict[Hashable, int] = {}

    def take(
        self, step: Gradients[M], module: M, batch: Batch, epoch: int, phase: Hashable = None
    ) -> dict[str, Tensor]:
        """`step(module, batch, epoch)`, by a graph that serves all epochs of the phase; see `Method.phase`."""
        if self.failed is not None:
            return step(module, batch, epoch)
        if module is not self.module:
            self.module, self.epochs = module, {}
        if phase in self.epochs:
            alike = epoch if phase is None else self.epochs[phase]
            with whole():
                return self.compiled(step, module, batch, alike)
        before = Before(module)
        try:
            log.info("a step of epoch %d is compiled, for this and all that are like it", epoch)
            with whole():
                found = self.compiled(step, module, batch, epoch)
        except Exception as error:
            self.failed = told(error)
            before.put_back()
            log.warning("steps are not compiled, and go on without: %s", self.failed)
            return step(module, batch, epoch)
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
    return choice if isinstance(choice, Graphs) else Graphs()


def compiled(graphs: Graphs | None) -> bool | str:
    """What is noted of a session: whether its steps are compiled, or why they are not, though they were to be."""
    if graphs is None:
        return False
    return graphs.failed is None or f"no: {graphs.failed}"


class Before:
    """What a step changes up to its gradients, as it is now: a module's state and the random numbers."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.state = {name: value.detach().clone() for name, value in module.state_dict().items()}
        self.random = torch.get_rng_state()
        self.devices = {value.device for value in self.state.values() if value.device.type == "cuda"}
        self.on_devices = [(torch.cuda.get_rng_state(device), device) for device in self.devices]

    def put_back(self) -> None:
        """Make it so again, without gradients."""
        self.module.load_state_dict(self.state)
        self.module.zero_grad(set_to_none=True)
        torch.set_rng_state(self.random)
        for state, device in self.on_devices:
            torch.cuda.set_rng_state(state, device)


def whole() -> AbstractContextManager[None]:
    """Inside, torch makes one graph of a step and its backward pass, for as many methods and phases as there are."""
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
