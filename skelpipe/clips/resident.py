"""Clips that lie on the device, and views that are rendered there.

The host draws, by the same numbers as for its own kernels, and sends what was drawn: some kilobytes a batch. All that
is done to every number of a clip is torch's, in one function without branches on numbers, which may be compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from skelpipe.clips.augment.base import Extent, Numbers, frames_taken, send_matrices, turned
from skelpipe.clips.augment.crop import reflected
from skelpipe.clips.augment.flip import joints_taken, sides_changed
from skelpipe.clips.batches import Batch, Batches, Buffers, pinned
from skelpipe.clips.gather import Source, check_source, find_extent
from skelpipe.clips.streams import stream_on_device
from skelpipe.clips.transfer import Lane
from skelpipe.clips.views import View, moves_of
from skelpipe.layouts.base import Layout
from skelpipe.recordings.native import Native

Arrays = dict[str, npt.NDArray[Any]]
Sent = Mapping[str, Tensor]
ALIGNED = 16  # bytes between what is sent together


def without_form(view: View) -> list[str]:
    """The steps of a view that no device can do, for want of a torch form."""
    steps = [each for step in view.steps for each in (step.options["steps"] if step.name == "one_of" else (step,))]
    return [each.name for each in steps if each.augmentation.device is None and each.augmentation.sampling is None]


class ViewOnDevice:
    """One view of clips on a device, and some streams of it.

    Args:
        source: the clips, of which only the shape is looked at here.
        names: of what is rendered -> its stream.
        number: of the view.
    """

    def __init__(
        self,
        view: View,
        names: Mapping[str, str],
        number: int,
        source: Source,
        layout: Layout,
        valid: npt.NDArray[np.integer] | None,
    ) -> None:
        self.view, self.names, self.number = view, names, number
        self.source, self.layout, self.valid = source, layout, valid
        begin = find_extent(source, np.empty(0, np.int64), layout, valid)
        drawn = view.draws(0, 0, np.empty(0, np.int64), 0, begin)
        self.extents = view.extents(drawn, begin)
        self.evens = view.evens
        self.moves, self.done = moves_of(view, drawn, self.extents, int(self.evens))

    def send(self, rows: npt.NDArray[np.int64], numbers: npt.NDArray[np.int64], seed: int, epoch: int) -> Arrays:
        """What `render` needs of the clips `rows`, drawn by `numbers`, by name: (B, ...) each."""
        begin = find_extent(self.source, rows, self.layout, self.valid)
        drawn = self.view.draws(seed, epoch, numbers, self.number, begin)
        extents = self.view.extents(drawn, begin)
        sent = self.places(rows)
        moves, done = moves_of(self.view, drawn, extents, int(self.evens))
        if self.evens:
            sent |= between(self.positions(0, drawn[0], begin))
        else:
            shifts = np.zeros(len(rows), np.int64) if moves.shifts is None else moves.shifts
            sent |= {"early": reflected(shifts, np.full(len(rows), begin.frames), begin.frames)}
        if moves.matrices is not None:
            sent |= send_matrices(moves.matrices)
        if moves.flips is not None:
            sent |= {"joints": sides_changed(moves.flips, self.layout)}
        for at, (step, params) in enumerate(zip(self.view.steps[done:], drawn[done:], strict=True), done):
            form, extent = step.augmentation.device, extents[at]
            if step.augmentation.sampling is not None:
                made = between(self.positions(at, params, extent))
            else:
                assert form is not None, "without_form names it"
                made = form.send(params, extent, step.options)
            sent |= {f"{at}.{name}": values for name, values in made.items()}
        return sent | {f"{at}.own": extent.lengths for at, extent in enumerate(extents) if extent.padded}

    def positions(self, at: int, params: Numbers, extent: Extent) -> Numbers:
        """Where the frames of a step that makes other ones lie in those that it finds."""
        step = self.view.steps[at]
        assert step.augmentation.sampling is not None
        return step.augmentation.sampling.positions(params, extent, step.options)

    def places(self, rows: npt.NDArray[np.int64]) -> Arrays:
        """Where the clips begin among the numbers of all, and how many one of their channels has."""
        source, width = self.source, len(self.layout.joints) * self.extents[0].bodies
        if isinstance(source, Native):
            return {
                "start": source.offset[rows] * (self.layout.channels * width),
                "stride": source.lengths[rows] * width,
            }
        stride = source.shape[2] * width
        return {"start": rows * (self.layout.channels * stride), "stride": np.full(len(rows), stride)}

    def render(self, values: Tensor, parents: Tensor, sent: Sent) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The view's streams (B, C, T', V, M) float32, by name; and the targets of each.

        Args:
            values: the numbers of all clips, one behind the other, float32 or float16.
            parents: (V,) the layout's.
            sent: what `send` gave, on the device.
        """
        extents, done = self.extents, self.done
        x = self.gathered(values, sent)
        if self.moves.matrices is not None:
            x = turned(x, sent["matrix"])
        if self.moves.flips is not None:
            x = joints_taken(x, sent["joints"])
        if not self.evens and extents[0].cleared:
            x = cleared(x, sent["0.own"])
        targets: dict[str, tuple[Tensor, int]] = {}
        for at, step in enumerate(self.view.steps[done:], done):
            form, own = step.augmentation.device, under(f"{at}.", sent)
            if step.augmentation.sampling is not None:
                x = blended(frames_taken(x, own["early"]), frames_taken(x, own["late"]), own)
                continue
            assert form is not None, "without_form names it"
            if form.bring is not None:
                brought = form.bring(x, own, extents[at], step.options)
                targets |= {name: (value, at) for name, value in brought.items()}
            x = form.apply(x, own, extents[at], step.options)
            if extents[at + 1].cleared:
                x = cleared(x, sent[f"{at + 1}.own"])
        views: dict[str, Tensor] = {}
        of_each: dict[str, Any] = {}
        for name, stream in self.names.items():
            views[name] = self.streamed(x, len(extents) - 1, stream, parents, sent)
            of_each[name] = {
                key: self.streamed(value, at, stream, parents, sent) if key == "clip" else value
                for key, (value, at) in targets.items()
            }
        return views, of_each

    def gathered(self, values: Tensor, sent: Sent) -> Tensor:
        """The clips (B, C, T', V, M) float32, read where they lie, at the frames that were sent."""
        _, _, joints, bodies = self.extents[0].shape
        width, place = joints * bodies, values.device
        channel = torch.arange(self.layout.channels, device=place)[:, None, None]
        within = torch.arange(width, device=place)
        start, stride = sent["start"][:, None, None, None], sent["stride"][:, None, None, None]

        def read(frames: Tensor) -> Tensor:
            index = start + channel * stride + frames[:, None, :, None] * width + within
            # A clip without frames may stand behind all others, and nothing of it is used.
            index = index.clamp(max=values.numel() - 1) if isinstance(self.source, Native) else index
            found: Tensor = values.take(index).float().view(*index.shape[:3], joints, bodies)
            return found

        early = read(sent["early"])
        return blended(early, read(sent["late"]), sent) if self.evens else early

    def streamed(self, x: Tensor, at: int, stream: str, parents: Tensor, sent: Sent) -> Tensor:
        """A stream of clips as they are before step `at`."""
        extent, t = self.extents[at], torch.arange(x.shape[2], device=x.device)
        own = sent[f"{at}.own"][:, None] if extent.cleared else x.shape[2]
        still = t >= own - 1
        return stream_on_device(x, stream, self.layout, parents, still if extent.cleared else still[None])

    def lengths(self, sent: Sent) -> Tensor | None:
        """(B,) how many frames are the clip's own; None if all are."""
        return sent[f"{len(self.extents) - 1}.own"] if self.extents[-1].padded else None


def between(positions: Numbers) -> Arrays:
    """The two frames between which each of positions (B, T') lies, and their shares; of a negative one both are 0."""
    there = positions >= 0
    early = np.where(there, positions, 0).astype(np.int64)
    share = (np.where(there, positions, 0) - early).astype(np.float32)
    first = np.where(there, np.float32(1) - share, np.float32(0))
    return {"early": early, "late": early + (share > 0), "first": first, "second": share}


def blended(early: Tensor, late: Tensor, sent: Sent) -> Tensor:
    """What lies between two frames, by the shares of `between`."""
    first, second = (sent[name][:, None, :, None, None] for name in ("first", "second"))
    return early * first + late * second


def cleared(x: Tensor, own: Tensor) -> Tensor:
    """x (B, C, T, V, M) with zeros behind each clip's own frames, of which there are `own` (B,)."""
    behind = torch.arange(x.shape[2], device=x.device) >= own[:, None]
    return x.masked_fill(behind[:, None, :, None, None], 0)


def under(start: str, sent: Sent) -> dict[str, Tensor]:
    """What was sent under names that start so, without that start."""
    return {name.removeprefix(start): each for name, each in sent.items() if name.startswith(start)}


class ResidentBatches(Batches):
    """The batches of `Batches`, of clips that lie on the device; within rounding they are the same.

    Attributes:
        rendering: renders all views of a batch; replaced by what compiles it.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        device, clips = self.device, self.clips
        check_source(clips, np.arange(len(clips)), self.clip_ids, self.layout, self.valid)
        values = clips.values if isinstance(clips, Native) else clips.reshape(-1)
        self.values = torch.from_numpy(values).to(device)
        self.parents = torch.from_numpy(self.layout.parent_index).to(device)
        views: dict[int, tuple[View, dict[str, str]]] = {}
        for name, (view, number, stream) in self.rendered.items():
            views.setdefault(number, (view, {}))[1][name] = stream
        self.views = {
            number: ViewOnDevice(view, names, number, clips, self.layout, self.valid)
            for number, (view, names) in views.items()
        }
        self.rendering: Callable[[Sent], Rendering] = self.render_sent

    def send(self, rows: npt.NDArray[np.int64], numbers: npt.NDArray[np.int64], epoch: int) -> Arrays:
        """All that is sent of a batch, by name."""
        sent: Arrays = {"labels": self.labels[rows].astype(np.int64)}
        if self.weights is not None:
            sent["weights"] = self.weights[rows]
        for number, view in self.views.items():
            made = view.send(rows, numbers, self.seed, epoch)
            sent |= {f"{number}/{name}": values for name, values in made.items()}
        return sent

    def render_sent(self, sent: Sent) -> Rendering:
        """Views, lengths and targets of a batch, as `Batch` has them, of what was sent of it."""
        views: dict[str, Tensor] = {}
        lengths: dict[str, Tensor] = {}
        targets: dict[str, dict[str, Tensor]] = {}
        for number, view in self.views.items():
            own = under(f"{number}/", sent)
            made, brought = view.render(self.values, self.parents, own)
            views |= made
            targets |= {name: each for name, each in brought.items() if each}
            if (found := view.lengths(own)) is not None:
                lengths |= {name: found for name in view.names}  # noqa: C420  # which no graph holds
        return views, lengths, targets

    def buffers(self, lane: Lane | None) -> Buffers:
        return SentBuffers(self, lane)


Rendering = tuple[dict[str, Tensor], dict[str, Tensor], dict[str, dict[str, Tensor]]]


class SentBuffers(Buffers):
    """Room for what is sent of a batch, all of it in one copy."""

    def __init__(self, batches: ResidentBatches, lane: Lane | None) -> None:
        self.batches, share = batches, batches.part.stop - batches.part.start
        # Of any clips, as the shapes are those of all.
        some = np.zeros(share, np.int64)
        self.pieces = pieces_of(batches.send(some, batches.clip_ids[some], 0))
        size = max(piece[1] for piece in self.pieces.values())
        super().__init__([pinned((size,), "uint8", lane)], batches.device, lane)
        self.sent_here = {name: part.numpy() for name, part in self.parts(self.host[0]).items()}
        self.sent_there = self.parts(self.there[0])

    def parts(self, whole: Tensor) -> dict[str, Tensor]:
        """The pieces of the room, by name."""
        return {
            name: whole[start:stop].view(dtype).view(shape) for name, (start, stop, dtype, shape) in self.pieces.items()
        }

    def write(self, rows: npt.NDArray[np.int64], numbers: npt.NDArray[np.int64], epoch: int) -> None:
        for name, values in self.batches.send(rows, numbers, epoch).items():
            self.sent_here[name][...] = values

    def batch(self) -> Batch:
        sent = self.sent_there
        views, lengths, targets = self.batches.rendering(sent)
        return Batch(views, sent["labels"], lengths, targets, sent.get("weights"))


Piece = tuple[int, int, torch.dtype, Sequence[int]]


def pieces_of(arrays: Arrays) -> dict[str, Piece]:
    """Places for such arrays, one behind the other: first byte, the byte behind the last, type and shape."""
    pieces: dict[str, Piece] = {}
    at = 0
    for name, values in arrays.items():
        stop = at + values.nbytes
        pieces[name] = (at, stop, torch.from_numpy(values[:0]).dtype, values.shape)
        at = -(-stop // ALIGNED) * ALIGNED
    return pieces
