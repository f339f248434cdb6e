"""Clips in memory -> batches of views on the device. The only place where NumPy meets torch.

The order of the clips and every augmentation follow from (seed, epoch, clip), so an epoch can be entered at any step
and gives the same batches whatever the threads do.
"""

from __future__ import annotations

import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from skelpipe.clips.balance import Balance, balanced_order, class_weights, numbers_drawn
from skelpipe.clips.gather import Source
from skelpipe.clips.transfer import CudaLane, Lane, Mark, lane_for
from skelpipe.clips.views import View, render_view
from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout

AHEAD = 2  # batches that wait, ready, while one is trained on


@dataclass
class Batch:
    """Views of the same clips: each (B, C, T, V, M) float32 on the device, with their labels (B,); B is a rank's share.

    The tensors are buffers that are filled anew once the next batch has been taken.

    Attributes:
        lengths: how many frames of a view are the clip's own, the rest being filled up: (B,) int64 by the view's name;
            a view that is not there has no other frames.
        targets: what the steps of a view brought along beside it, by the view's name and their own.
        weights: (B,) float32, what each clip counts in a loss that learns from labels; None: all alike.
    """

    views: dict[str, Tensor]
    labels: Tensor
    lengths: dict[str, Tensor] = field(default_factory=dict)
    targets: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    weights: Tensor | None = None


class Batches:
    """A split's clips, shuffled and augmented.

    Args:
        clips: (N, C, T, V, M), C-contiguous, or clips of their own lengths; float32 or float16.
        clip_ids: (N,) what the random choices of a clip hang on: its row in the clips folder.
        labels: (N,) classes.
        views: by name; their order numbers them.
        stream: computed after the augmentation. Of several streams each gets the same augmented views, which are then
            named `stream/view`.
        batch_size: clips per batch; the last, smaller batch of an epoch is left out, as in the reference.
        threads: for the kernels; None takes all cores.
        rank: which part of every batch is wanted, of `ranks` equal ones; they follow each other in the batch's order.
        valid: (N,) how many frames from the start are a clip's own; None: all are.
        replacement: whether each clip of a batch is drawn from all, so that an epoch has some twice and others not.
        fixed: whether the clips are shuffled once, and every epoch has the same batches.
        balance: "sampling" draws each class equally often, in epochs of as many steps; "weights" gives the clips of
            small classes larger weights, of mean 1.
        told: view -> what is said of it where it does not fit; views.NAME by default.

    Raises:
        BadInput: fewer clips than one batch needs, or a view does not fit them.
    """

    def __init__(
        self,
        clips: Source,
        clip_ids: npt.NDArray[np.int64],
        labels: npt.NDArray[np.int64],
        views: dict[str, View],
        stream: str | Sequence[str],
        layout: Layout,
        batch_size: int,
        seed: int,
        device: torch.device,
        threads: int | None = None,
        rank: int = 0,
        ranks: int = 1,
        valid: npt.NDArray[np.integer] | None = None,
        replacement: bool = False,
        told: Mapping[str, str] | None = None,
        balance: Balance = "none",
        fixed: bool = False,
    ) -> None:
        check_batch(batch_size, len(clips))
        self.clips, self.clip_ids, self.labels = clips, clip_ids, labels
        self.layout, self.valid = layout, valid
        numbered = [(name, view, number) for number, (name, view) in enumerate(views.items())]
        # What is rendered, by name: the view, its number, and the stream.
        self.rendered = (
            {name: (view, number, stream) for name, view, number in numbered}
            if isinstance(stream, str)
            else {f"{each}/{name}": (view, number, each) for each in stream for name, view, number in numbered}
        )
        where = {name: (told or {}).get(name, f"views.{name}") for name in views}
        self.plans = {
            name: view.plan(clips, layout, valid, where[name.rpartition("/")[-1]])
            for name, (view, _, _) in self.rendered.items()
        }
        self.batch_size, self.seed, self.device, self.threads = batch_size, seed, device, threads
        self.replacement, self.balance, self.fixed = replacement, balance, fixed
        self.weights = class_weights(labels).astype(np.float32) if balance == "weights" else None
        share = batch_size // ranks
        self.part = slice(rank * share, (rank + 1) * share)

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return len(self.clips) // self.batch_size

    def order(self, epoch: int) -> npt.NDArray[np.int64]:
        """The clips of an epoch in their order: (steps · batch_size,) rows."""
        generator = np.random.Generator(np.random.Philox(key=[self.seed, 0 if self.fixed else epoch]))
        if self.balance == "sampling":
            return balanced_order(self.labels, self.steps * self.batch_size, generator)
        if self.replacement:
            return generator.integers(len(self.clips), size=self.steps * self.batch_size)
        return generator.permutation(len(self.clips))[: self.steps * self.batch_size]

    def render(self, rows: npt.NDArray[np.int64], numbers: npt.NDArray[np.int64], epoch: int, out: Batch) -> None:
        """Write every view of the clips `rows`, drawn by `numbers`, into `out` in host memory, and their labels."""
        for name, (view, number, stream) in self.rendered.items():
            made = render_view(
                self.clips,
                rows,
                numbers,
                view,
                stream,
                self.layout,
                self.seed,
                epoch,
                number,
                out.views[name].numpy(),
                self.threads,
                self.valid,
                {key: tensor.numpy() for key, tensor in out.targets.get(name, {}).items()},
            )
            if made.lengths is not None:
                out.lengths[name].copy_(torch.from_numpy(made.lengths))
        out.labels.copy_(torch.from_numpy(self.labels[rows]))
        if self.weights is not None and out.weights is not None:
            out.weights.copy_(torch.from_numpy(self.weights[rows]))

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from step `first` on, made ahead by a background thread."""
        whole = self.order(epoch)
        numbers = numbers_drawn(self.clip_ids, whole) if self.balance == "sampling" else self.clip_ids[whole]
        shape, mine = (self.steps, self.batch_size), (slice(first, None), self.part)
        order = zip(whole.reshape(shape)[mine], numbers.reshape(shape)[mine], strict=True)
        free: queue.SimpleQueue[Buffers | None] = queue.SimpleQueue()
        ready: queue.SimpleQueue[Buffers | BaseException | None] = queue.SimpleQueue()
        lane = lane_for(self.device)
        made = [self.buffers(lane) for _ in range(AHEAD + 1)]
        for buffers in made:
            free.put(buffers)

        def work() -> None:
            try:
                for rows, drawn in order:
                    buffers = free.get()
                    if buffers is None:
                        return
                    buffers.fill(rows, drawn, epoch)
                    ready.put(buffers)
                ready.put(None)
            except BaseException as error:
                ready.put(error)

        worker = threading.Thread(target=work, name="skelpipe-batches", daemon=True)
        worker.start()
        try:
            while isinstance(found := ready.get(), Buffers):
                yield found.take()
                found.give_back()
                free.put(found)
            if found is not None:
                raise found
        finally:
            free.put(None)
            worker.join()
            for buffers in made:
                buffers.close()

    def buffers(self, lane: Lane | None) -> Buffers:
        """Room for one batch."""
        return ViewBuffers(self, lane)


def check_batch(batch_size: int, clips: int) -> None:
    """Raise BadInput if there are fewer clips than one batch needs."""
    if clips < batch_size:
        what = f"{batch_size} is more than the {clips} training clips"
        raise BadInput("batch_size", what, f"lower it, as with --set batch_size={1 << max(clips, 1).bit_length() - 1}")


class Buffers(ABC):
    """Room for one batch in the host's memory and on the device, used again and again.

    The host's part is filled anew once it has been copied, and the device's once all is done that was asked for before
    the next batch was taken.

    Args:
        host: tensors in the host's memory, pinned where there is a lane.
        lane: to the device; None where that is the host, which then has no other part.
    """

    def __init__(self, host: Sequence[Tensor], device: torch.device, lane: Lane | None) -> None:
        self.host, self.lane = host, lane
        self.there = host if lane is None else [torch.empty_like(tensor, device=device) for tensor in host]
        self.sent: Mark = None
        self.used: Mark = None if lane is None else lane.mark()  # what this memory was before may still be read

    def fill(self, rows: npt.NDArray[np.int64], numbers: npt.NDArray[np.int64], epoch: int) -> None:
        """Write a batch of the clips `rows`, drawn by `numbers`, and send it on its way."""
        if self.lane is not None and self.sent is not None:
            self.lane.wait(self.sent)
        self.write(rows, numbers, epoch)
        if self.lane is not None:
            self.sent = self.lane.send(zip(self.host, self.there, strict=True), self.used)

    def take(self) -> Batch:
        """The batch, which what is computed from here on finds on the device."""
        if self.lane is not None:
            self.lane.follow(self.sent)
        return self.batch()

    def give_back(self) -> None:
        """No more will be asked for that reads the batch."""
        if self.lane is not None:
            self.used = self.lane.mark()

    def close(self) -> None:
        """Let no copy come after others have got this memory."""
        if self.lane is not None and self.sent is not None:
            self.lane.follow(self.sent)

    @abstractmethod
    def write(self, rows: npt.NDArray[np.int64], numbers: npt.NDArray[np.int64], epoch: int) -> None:
        """Write into the host's part."""

    @abstractmethod
    def batch(self) -> Batch:
        """The batch of what lies on the device."""


def pinned(shape: Sequence[int], dtype: str, lane: Lane | None) -> Tensor:
    """A tensor in the host's memory from which a GPU can copy by itself."""
    return torch.empty(tuple(shape), dtype=getattr(torch, dtype), pin_memory=isinstance(lane, CudaLane))


class ViewBuffers(Buffers):
    """Room for views that the host renders."""

    def __init__(self, batches: Batches, lane: Lane | None) -> None:
        self.batches, share = batches, batches.part.stop - batches.part.start

        def make(shape: Sequence[int], dtype: str) -> Tensor:
            return pinned((share, *shape), dtype, lane)

        plans = batches.plans
        self.made = Batch(
            {name: make(plan.shape, "float32") for name, plan in plans.items()},
            make((), "int64"),
            {name: make((), "int64") for name, plan in plans.items() if plan.padded},
            {
                name: {key: make(shape, dtype) for key, (shape, dtype) in plan.targets.items()}
                for name, plan in plans.items()
                if plan.targets
            },
            None if batches.weights is None else make((), "float32"),
        )
        super().__init__(tensors_of(self.made), batches.device, lane)
        places = dict(zip(map(id, self.host), self.there, strict=True))
        self.moved = tree_map_only(Tensor, lambda tensor: places[id(tensor)], vars(self.made))

    def write(self, rows: npt.NDArray[np.int64], numbers: npt.NDArray[np.int64], epoch: int) -> None:
        self.batches.render(rows, numbers, epoch, self.made)

    def batch(self) -> Batch:
        return Batch(**self.moved)


def tensors_of(batch: Batch) -> list[Tensor]:
    """All that a batch holds."""
    return [each for each in tree_leaves(vars(batch)) if isinstance(each, Tensor)]
