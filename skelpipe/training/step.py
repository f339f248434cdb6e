"""One step of training, and its largest part as one graph that `torch.compile` makes and a GPU replays."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from skelpipe import ranks
from skelpipe.errors import shortened
from skelpipe.methods.base import Method
from skelpipe.training.capture import Captured, CudaRecorder, Recorder
from skelpipe.training.optim.recorded import recorded_optimizer

if TYPE_CHECKING:
    from skelpipe.clips.batches import Batch
    from skelpipe.clips.resident import Rendering, ResidentBatches, Sent

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
        graphs: compiles all of it but the optimiser's part, and may record that too.
    """
    learns = method.learns(epoch)
    if learns:
        optimizer.zero_grad(set_to_none=True)
    if graphs is None:
        log = gradients(method, batch, epoch)
    else:
        log = graphs.take(gradients, method, batch, epoch, method.phase(epoch), optimizer if learns else None)
    if learns:
        if graphs is None or not graphs.updated:
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

    On a GPU what a graph asks of it is recorded too, and replayed by one call instead of a launch for each kernel. That
    needs a phase that is told: else nothing says which epochs are alike.

    Args:
        backend: of torch.compile; None does not compile.
        recorder: of the device; None does not record.

    Attributes:
        failed: why they go without.
        unrecorded: why they are compiled, but not recorded, though they were to be.
        module, epochs: what was compiled last, and for each of its phases the epoch that stands for it.
    """

    def __init__(
        self,
        backend: str | Callable[..., Any] | None = BACKEND,
        recorder: Recorder | None = None,
    ) -> None:
        self.compiler = partial(torch.compile, fullgraph=True, dynamic=False, backend=backend)
        self.compiled = called if backend is None else self.compiler(called)
        self.captured = None if recorder is None else Captured(recorder)
        self.failed: str | None = None
        self.unrecorded: str | None = None
        self.module: nn.Module | None = None
        self.epochs: dict[Hashable, int] = {}

    @property
    def updated(self) -> bool:
        """Whether the last step was a replay that had the optimiser's part."""
        return self.captured is not None and self.captured.updated

    def take(
        self,
        step: Gradients[M],
        module: M,
        batch: Batch,
        epoch: int,
        phase: Hashable = None,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> dict[str, Tensor]:
        """`step(module, batch, epoch)`, by a graph that serves all epochs of the phase; see `Method.phase`.

        With an `optimizer` its step may be taken besides, which `updated` then tells.
        """
        if self.captured is None or phase is None or self.failed is not None:
            if self.captured is not None:
                self.captured.updated = False
            return self.take_compiled(step, module, batch, epoch, phase)
        before, update = None, None
        if self.captured.records_next(module, batch, phase):
            before = Before(module, optimizer)
            update = None if optimizer is None else recorded_optimizer(optimizer)
        try:
            return self.captured.take(
                lambda given: self.take_compiled(step, module, given, epoch, phase), module, batch, phase, update
            )
        except Exception as error:
            if before is None:  # it is no recording that fails, but the step itself
                raise
            self.captured, self.unrecorded = None, told(error)
            before.put_back()
            log.warning("steps are not recorded, and go on without: %s", self.unrecorded)
            return self.take_compiled(step, module, batch, epoch, phase)

    def take_compiled(
        self, step: Gradients[M], module: M, batch: Batch, epoch: int, phase: Hashable = None
    ) -> dict[str, Tensor]:
        """The same without a recording."""
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


def compile_rendering(graphs: Graphs, batches: ResidentBatches) -> None:
    """Let views be rendered by one graph; where none can be made, one line says why, and they go on without."""

    def render(sent: Sent) -> Rendering:
        try:
            with whole():
                found: Rendering = made(sent)
            return found
        except Exception as error:
            log.warning("views are rendered without being compiled: %s", told(error))
            batches.rendering = batches.render_sent
            return batches.render_sent(sent)

    made = graphs.compiler(batches.render_sent)
    batches.rendering = render


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
    if isinstance(choice, Graphs):
        return choice
    return Graphs(recorder=CudaRecorder(place) if place.type == "cuda" else None)


def noted(graphs: Graphs | None) -> dict[str, bool | str]:
    """What is noted of a session: whether its steps are compiled and recorded, or why not, though they were to be."""
    if graphs is None:
        return {"compiled": False, "recorded": False}
    recorded = graphs.captured is not None and graphs.captured.recordings > 0
    return {
        "compiled": graphs.failed is None or f"no: {graphs.failed}",
        "recorded": recorded if graphs.unrecorded is None else f"no: {graphs.unrecorded}",
    }


class Before:
    """What a step changes, as it is now: a module's state, random numbers, and an optimiser's state where given."""

    def __init__(self, module: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> None:
        self.module, self.optimizer = module, optimizer
        self.kept = None if optimizer is None else copy.deepcopy(optimizer.state_dict())
        self.state = {name: value.detach().clone() for name, value in module.state_dict().items()}
        self.random = torch.get_rng_state()
        self.devices = {value.device for value in self.state.values() if value.device.type == "cuda"}
        self.on_devices = [(torch.cuda.get_rng_state(device), device) for device in self.devices]

    def put_back(self) -> None:
        """Make it so again, without gradients."""
        self.module.load_state_dict(self.state)
        if self.optimizer is not None and self.kept is not None:
            self.optimizer.load_state_dict(self.kept)
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
