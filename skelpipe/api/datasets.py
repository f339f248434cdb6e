"""Clips for training loops of one's own: a map-style data set, and fast batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import Dataset

from skelpipe.api.data import open_clips
from skelpipe.api.folders import Clips, PathLike
from skelpipe.api.shown import as_text, tell
from skelpipe.api.views import View, build_view
from skelpipe.clips.batches import Batch
from skelpipe.clips.batches import Batches as Loader
from skelpipe.clips.loading import load_bodies, own_frames
from skelpipe.clips.streams import check_stream
from skelpipe.clips.views import render_view
from skelpipe.errors import BadInput
from skelpipe.training.device import choose_device

Steps = str | Sequence[Any] | View
Views = Mapping[str, Steps] | Steps | None
Part = Literal["train", "test", "all"]


class ClipsDataset(Dataset[dict[str, Any]]):
    """The clips of a split's part as a map-style torch data set, augmented when they are asked for.

    An item is a dict: each view by its name, (C, T, V, M) float32; `label`, the class; `row`, where the clip stands in
    the clips folder; and, where frames are filled up, `NAME_length`. What is drawn follows from (seed, epoch, clip,
    view) alone, as in `pretrain`: neither workers nor the order change it. Call `set_epoch` before every epoch, which
    workers that live on hear; without it all passes draw the same, and the second one warns.

    Args:
        clips: clips, or their path.
        split: a name, a rule such as "subject:1-20", or a list; None: all clips.
        part: which part of it.
        views: name -> "normal", "extreme", a list of augmentations, or a `View`; None: one, "clip", as clips are.
        stream: joint, motion or bone, computed after the augmentations.
        seed: of the augmentations.
        bodies: how many bodies of each clip.
        labelled: leave out clips whose class nobody has told.

    Attributes:
        rows: (n,) int64, where the clips stand in the clips folder.
        labels: (n,) int64.

    Raises:
        BadInput: the split cannot divide these clips, its part is empty, or a view does not fit them.

    Example:
        >>> data = sk.ClipsDataset("clips.zarr", split="xsub60", views={"query": "normal", "key": "normal"})
        >>> loader = torch.utils.data.DataLoader(data, batch_size=4, shuffle=True)
        >>> data.set_epoch(1)
        >>> batch = next(iter(loader))
        >>> batch["query"].shape, batch["label"].shape
        (torch.Size([4, 3, 12, 25, 2]), torch.Size([4]))
    """

    def __init__(
        self,
        clips: PathLike,
        split: str | None = None,
        part: Part = "train",
        views: Views = None,
        stream: str = "joint",
        *,
        seed: int = 0,
        bodies: int = 2,
        labelled: bool = False,
    ) -> None:
        source = open_clips(clips)
        check_stream(stream)
        check_bodies(bodies, source)
        self.rows = rows_of(source, split, part, labelled)
        self.labels = source.labels[self.rows]
        self.layout, self.stream, self.seed = source.layout, stream, seed
        self.views = views_of(views, source)
        self._data: Any = load_bodies(source.opened, self.rows, bodies)
        self._valid = own_frames(source.opened, self.rows)
        self._plans = {
            name: view.plan(self._data, self.layout, self._valid, f"view {name!r}") for name, view in self.views.items()
        }
        self._epoch = torch.zeros((), dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]  # which workers see as well
        self._drawn = torch.zeros((), dtype=torch.int64)  # items since the epoch was set; below 0: that was told
        self._drawn.share_memory_()  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def epoch(self) -> int:
        """The epoch that augmentations are drawn for."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Draw augmentations for this epoch from now on, in all workers.

        Args:
            epoch: its number, from 1.

        Raises:
            BadInput: it is no whole number from 0.
        """
        if not isinstance(epoch, int | np.integer) or epoch < 0:
            raise BadInput("epoch", f"{epoch!r} is no whole number from 0", "count epochs from 1")
        self._epoch.fill_(int(epoch))
        if self._drawn >= 0:
            self._drawn.zero_()

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._items([range(len(self))[index]])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Several items, whose views are made together: what torch's `DataLoader` asks for."""
        if self._drawn >= 0:
            self._drawn += len(indices)
            if self._drawn > len(self) and any(view.random for view in self.views.values()):
                self._drawn.fill_(-1)
                tell(["ClipsDataset: a second pass draws the same augmentations; call set_epoch(n) before every epoch"])
        return self._items(indices)

    def __repr__(self) -> str:
        return as_text("ClipsDataset", {"items": f"{len(self):,}, epoch {self.epoch}", **told_of(self)})

    def _items(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        some = np.asarray(indices, np.int64)
        items: list[dict[str, Any]] = [{"label": int(self.labels[n]), "row": int(self.rows[n])} for n in some]
        for number, (name, view) in enumerate(self.views.items()):
            made = render_view(
                self._data, some, self.rows[some], view, self.stream, self.layout, self.seed, self.epoch, number,
                threads=1, valid=self._valid,
            )  # fmt: skip
            clips = torch.from_numpy(made.clips)
            for n, item in enumerate(items):
                item[name] = clips[n]
                if made.lengths is not None:
                    item[f"{name}_length"] = int(made.lengths[n])
                for target, values in made.targets.items():
                    item[f"{name}_{target}"] = torch.from_numpy(values)[n]
        return items


class Batches:
    """The clips of a split's part in shuffled, augmented batches: what `pretrain` itself trains on, and as fast.

    Batches are made ahead by a background thread in compiled code. Iterating goes through the next epoch, from 1 on;
    `epoch(n)` through a certain one. A batch is (views, labels, lengths, …), its tensors are buffers that are filled
    anew once the next one has been taken: clone what is to be kept.

    Args:
        clips: clips, or their path.
        split: a name, a rule such as "subject:1-20", or a list; None: all clips.
        part: which part of it.
        views: name -> "normal", "extreme", a list of augmentations, or a `View`; None: one, "clip", as clips are.
        stream: joint, motion or bone; several give every view of each, by the name "stream/view".
        batch_size: clips in a batch; the rest of an epoch is left out.
        seed: of the order and the augmentations.
        bodies: how many bodies of each clip.
        device: where batches come to: "auto", "cpu", "cuda", …
        threads: of the kernels; None takes all cores.
        half_storage: keep the clips in memory as float16.
        labelled: leave out clips whose class nobody has told.

    Raises:
        BadInput: the split cannot divide these clips, there are fewer than a batch needs, or a view does not fit them.

    Example:
        >>> batches = sk.Batches("clips.zarr", split="xsub60", views={"query": "normal", "key": "normal"}, batch_size=4)
        >>> for batch in batches:
        ...     shape = batch.views["query"].shape
        >>> shape
        torch.Size([4, 3, 12, 25, 2])
    """

    def __init__(
        self,
        clips: PathLike,
        split: str | None = None,
        part: Part = "train",
        views: Views = None,
        stream: str | Sequence[str] = "joint",
        *,
        batch_size: int = 128,
        seed: int = 0,
        bodies: int = 2,
        device: str = "auto",
        threads: int | None = None,
        half_storage: bool = False,
        labelled: bool = False,
    ) -> None:
        source = open_clips(clips)
        for each in [stream] if isinstance(stream, str) else stream:
            check_stream(each)
        check_bodies(bodies, source)
        if not isinstance(batch_size, int) or batch_size < 1:
            raise BadInput("batch_size", f"{batch_size!r} is no whole number above 0", "use for example 128")
        self.views, self.stream, self.layout = views_of(views, source), stream, source.layout
        self.batch_size = batch_size
        self.rows = rows_of(source, split, part, labelled)
        self._next = 1
        self._loader = Loader(
            load_bodies(source.opened, self.rows, bodies, "float16" if half_storage else "float32"),
            self.rows,
            source.labels[self.rows],
            self.views,
            stream,
            source.layout,
            batch_size,
            seed,
            choose_device(device),
            threads,
            valid=own_frames(source.opened, self.rows),
        )

    def __len__(self) -> int:
        return self._loader.steps

    def __repr__(self) -> str:
        return as_text("Batches", {"batches": f"{len(self):,} of {self.batch_size}", **told_of(self)})

    def __iter__(self) -> Iterator[Batch]:
        number, self._next = self._next, self._next + 1
        return self.epoch(number)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch; the same number gives the same ones."""
        return self._loader.epoch(number)


def told_of(data: Any) -> dict[str, str]:
    """What a data set and batches say of themselves."""
    steps = {name: ", ".join(step.name for step in view.steps) or "as it is" for name, view in data.views.items()}
    stream = data.stream if isinstance(data.stream, str) else ", ".join(data.stream)
    layout = f"{data.layout.name}: V {len(data.layout.joints)}, C {data.layout.channels}"
    return {**{f"view {name}": told for name, told in steps.items()}, "stream": stream, "layout": layout}


def check_bodies(bodies: int, clips: Clips) -> None:
    """Raise BadInput unless clips can be had with so many bodies."""
    most = max(2, clips.bodies)
    if not isinstance(bodies, int) or not 1 <= bodies <= most:
        raise BadInput("bodies", f"{bodies!r} is none of 1 to {most}", "use 1 or 2")


def rows_of(clips: Clips, split: str | None, part: Part, labelled: bool) -> Any:
    """The rows of a split's part; BadInput if there are none."""
    if part not in ("train", "test", "all"):
        raise BadInput("part", f"{part!r} is not known", "use train, test or all")
    parts = {"train": np.arange(len(clips))} if split is None else clips.split(split)
    found = np.sort(np.concatenate([*parts.values()])) if part == "all" or split is None else parts[part]
    if labelled:
        found = found[clips.labels[found] >= 0]
    if not len(found):
        raise BadInput(clips.path, f"has no {part} clips by the split {split!r}", "choose another split or part")
    return found


def views_of(views: Views, clips: Clips) -> dict[str, Any]:
    """The steps of each view by its name."""
    if views is None:
        views = {"clip": []}
    elif not isinstance(views, Mapping):
        views = {"clip": views}
    for name, each in views.items():
        if not isinstance(each, View | str | list | tuple):
            what = f"view {name!r} is of type {type(each).__name__}"
            raise BadInput("views", what, 'give "normal", "extreme", a list of augmentations, or a View')
    made = {name: each if isinstance(each, View) else build_view(each, clips.layout) for name, each in views.items()}
    if taken := [name for name in made if name in ("label", "row")]:
        raise BadInput("views", f"one is called {taken[0]!r}, as what stands beside it", "call it otherwise")
    return {name: view.inner for name, view in made.items()}
