"""What a device is asked to do in a step, written down once and asked for anew in one go: CUDA's graphs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

if TYPE_CHECKING:
    from skelpipe.clips.batches import Batch

WARM_UP = 3  # steps that are taken as they are before one is recorded: libraries choose and reserve in the first ones
Found = dict[str, Tensor]


class Recorder(Protocol):
    """Writes down what a device is asked to do."""

    def aside(self) -> AbstractContextManager[None]:
        """Inside, the device is asked as it will be when it is recorded."""

    def record(self, call: Callable[[], Found]) -> tuple[Found, Callable[[], None]]:
        """Write down what `call` asks of the device, which does nothing yet.

        Returns:
            Where each replay leaves what the call gives, always the same tensors, and what replays it.
        """


class CudaRecorder:
    """CUDA's graphs of a GPU, recorded on a stream of their own, as torch asks for."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @cached_property
    def stream(self) -> torch.cuda.Stream:
        return torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]

    @contextmanager
    def aside(self) -> Iterator[None]:
        before = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(before)
        with torch.cuda.stream(self.stream):
            yield
        before.wait_stream(self.stream)

    def record(self, call: Callable[[], Found]) -> tuple[Found, Callable[[], None]]:
        graph, before = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self.device)
        generator = torch.cuda.default_generators[before.device_index]
        random = generator.clone_state()
        try:
            # Of this thread alone: meanwhile the loader's copies its batches.
            with (
                torch.cuda.device(self.device),
                torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"),
            ):
                found = call()
        except BaseException:  # a recording that breaks off leaves torch on its stream, and its numbers to it
            torch.cuda.set_stream(before)
            generator.graphsafe_set_state(random)
            raise
        return found, graph.replay


class Update(Protocol):
    """An optimiser's step that can be recorded."""

    def step(self) -> None:
        """Take it, so that it can be recorded."""

    def set_rates(self) -> None:
        """Put the rates where a replay reads them."""


class Captured:
    """The gradients of steps that are alike: the first few as they are, then one recorded, and all others replays.

    A replay does what was recorded with the numbers that lie there now: of parameters, key networks, queue, its pointer
    and norms where they are, and of a batch after it was copied to where the recorded one lay. Random numbers go on.
    All that Python decides is as it was, so steps are alike only if they are of one module, one phase and one shape.
    The optimiser's step is recorded too where it reads its rates from the device.

    Attributes:
        recordings: how many were made; only the last is kept.
        updated: whether the last step had its update.
    """

    def __init__(self, recorder: Recorder, warm_up: int = WARM_UP) -> None:
        self.recorder, self.warm_up = recorder, warm_up
        self.module: nn.Module | None = None
        self.alike: Hashable = None
        self.left, self.recordings = warm_up, 0
        self.recorded: Recorded | None = None
        self.updated = False

    def take(
        self,
        call: Callable[[Batch], Found],
        module: nn.Module,
        batch: Batch,
        phase: Hashable,
        update: Update | None = None,
    ) -> Found:
        """What `call` gives for the batch, and its gradients; of a replay, `update` is taken as well."""
        self.look(module, batch, phase)
        self.updated = False
        if self.left:
            self.left -= 1
            with self.recorder.aside():
                return call(batch)
        if self.recorded is None:
            self.recorded = Recorded(self.recorder, call, module, batch, update)
            self.recordings += 1
        self.updated = self.recorded.update is not None
        return self.recorded.replay(batch)

    def look(self, module: nn.Module, batch: Batch, phase: Hashable) -> None:
        """Begin anew where the step is of another kind than the last."""
        alike = (phase, module.training, shapes_of(batch))
        if module is not self.module or alike != self.alike:
            self.module, self.alike, self.left, self.recorded = module, alike, self.warm_up, None

    def records_next(self, module: nn.Module, batch: Batch, phase: Hashable) -> bool:
        """Whether such a step would be the one that is recorded."""
        self.look(module, batch, phase)
        return not self.left and self.recorded is None


class Recorded:
    """One recording.

    Attributes:
        batch: where a replay reads its batch.
        gradients: of the parameters that get some, where a replay leaves them.
    """

    def __init__(
        self,
        recorder: Recorder,
        call: Callable[[Batch], Found],
        module: nn.Module,
        batch: Batch,
        update: Update | None = None,
    ) -> None:
        self.batch, self.update = copied(batch), update
        own = [p for p in module.parameters() if p.requires_grad]
        for p in own:
            p.grad = None  # so that a replay writes gradients, and does not add to those of the step before

        def all_of_it() -> Found:
            found = call(self.batch)
            if update is not None:
                update.step()
            return found

        self.found, self.again = recorder.record(all_of_it)
        self.gradients = [(p, p.grad) for p in own]

    def replay(self, batch: Batch) -> Found:
        """The step for this batch."""
        for to, given in zip(tensors_in(self.batch), tensors_in(batch), strict=True):
            to.copy_(given, non_blocking=True)
        if self.update is not None:
            self.update.set_rates()
        self.again()
        for p, gradient in self.gradients:
            p.grad = gradient
        return {name: value.clone() for name, value in self.found.items()}  # before the next replay writes there


def tensors_in(given: Any) -> list[Tensor]:
    """All tensors of a batch, in one order."""
    if isinstance(given, Tensor):
        return [given]
    if isinstance(given, dict):
        return [tensor for _, value in sorted(given.items()) for tensor in tensors_in(value)]
    return [] if given is None else [t for field in fields(given) for t in tensors_in(getattr(given, field.name))]


def shapes_of(given: Any) -> Hashable:
    """What two batches have in common that one recording serves: names, shapes and types."""
    if isinstance(given, Tensor):
        return tuple(given.shape), given.dtype, given.device
    if isinstance(given, dict):
        return tuple((name, shapes_of(value)) for name, value in sorted(given.items()))
    return None if given is None else tuple(shapes_of(getattr(given, field.name)) for field in fields(given))


def copied(batch: Batch) -> Batch:
    """The same in other memory."""
    return type(batch)(**tree_map_only(Tensor, Tensor.clone, vars(batch)))
