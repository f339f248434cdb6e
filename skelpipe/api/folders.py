"""Stores and clips, opened: objects with names, labels, splits and arrays."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from skelpipe.api.shown import ShownFolder, counted
from skelpipe.errors import BadInput, nearest
from skelpipe.layouts import layout_of
from skelpipe.layouts.base import Layout
from skelpipe.recordings import NATIVE, store
from skelpipe.recordings.conventions import Conversion
from skelpipe.recordings.conventions.folders import NOTED
from skelpipe.recordings.datasets import dataset_of, divided, fitting_splits
from skelpipe.recordings.datasets.recording import RATE

if TYPE_CHECKING:
    import pandas as pd

PathLike = str | os.PathLike[str]
Rows = npt.NDArray[np.int64]
Part = Literal["train", "test"]


@dataclass(frozen=True)
class Recording:
    """One recording as a store holds it.

    Attributes:
        name: what it is called.
        label: its class, from 0; -1 where nobody has told it.
        joints: (R, V, C) float32, a row for each body in each frame; y up, metres (pixels in two dimensions).
        frame: (R,) int64, the row's frame, from 0.
        body: (R,) int64, the sensor's id of the body.
        frames: T, how many there are, those without a body included.

    Example:
        >>> recording = sk.open_store("store.zarr")[0]
        >>> recording.of_body().shape == (recording.frames, 25, 3)
        True
    """

    name: str
    label: int
    joints: npt.NDArray[np.float32]
    frame: npt.NDArray[np.int64]
    body: npt.NDArray[np.int64]
    frames: int

    def of_body(self, body: int | None = None) -> npt.NDArray[np.float32]:
        """One body's joints frame by frame, (T, V, C); zeros where it is not seen. None: the one that is seen most.

        Raises:
            BadInput: no such body is in it.
        """
        ids, count = np.unique(self.body, return_counts=True)
        if not len(ids) or (body is not None and body not in ids):
            raise BadInput(self.name, f"has no body {body}" if len(ids) else "shows nobody", f"it has {ids.tolist()}")
        mine = self.body == (ids[count.argmax()] if body is None else body)
        out = np.zeros((self.frames, *self.joints.shape[1:]), np.float32)
        out[self.frame[mine]] = self.joints[mine]
        return out


class Folder(ShownFolder):
    """What stores and clips have in common: columns of what is known of each clip, and splits that divide them.

    Attributes:
        path: the folder; the object itself can be given wherever a path is asked for.
        attributes: all that the folder notes of itself, in plain values.
        columns: name -> (N,) array of every column: name, label, subject, camera, …
        layout: the joints.
        dataset: the name of the data set.
    """

    _KIND = ""

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path)
        self._group, self.attributes = store.open_group(self.path, self._KIND)
        self.layout: Layout = layout_of(self.attributes, self.path)
        self.dataset: str = self.attributes["dataset"]
        names = self.attributes["columns"]
        self.columns: dict[str, npt.NDArray[Any]] = {name: store.read_array(self._group, name) for name in names}

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _about(self) -> Any:
        return dataset_of(self.attributes, str(self.path))

    @property
    def ids(self) -> npt.NDArray[np.str_]:
        """(N,) the names of the clips."""
        return self.columns["name"]

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """(N,) classes, from 0; -1 where nobody has told it."""
        return self.columns["label"].astype(np.int64)

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the labels mean, in order; their numbers where they have no names."""
        names: tuple[str, ...] = self._about.class_names
        return names or tuple(map(str, range(self._about.classes)))

    @property
    def splits(self) -> tuple[str, ...]:
        """The named splits that divide these clips; others can be stated, as "subject:1-20"."""
        return fitting_splits(self._about, self.columns)

    @property
    def table(self) -> pd.DataFrame:
        """All columns, a row for each clip, and `class_name`, the class in words."""
        import pandas as pd

        table = pd.DataFrame(self.columns)
        named = np.array([*self.class_names, ""], object)
        return table.assign(class_name=named[np.clip(self.labels, -1, len(named) - 2)])

    def split(self, name: str) -> dict[Part, Rows]:
        """The rows of a split's parts: {"train": (n,), "test": (m,)} int64, each in order.

        Args:
            name: one of `splits`, or a rule such as "subject:1-20", or the path of a list.

        Raises:
            BadInput: it cannot divide these clips (the nearest name is given).
        """
        masks = divided(name, self._about, self.columns, self.attributes.get("split_files"), ())
        return {"train": np.flatnonzero(masks[0]), "test": np.flatnonzero(masks[1])}

    def row(self, name: str) -> int:
        """Where the clip of that name stands.

        Raises:
            BadInput: there is none (the nearest name is given).
        """
        found = np.flatnonzero(self.ids == name)
        if not len(found):
            near = nearest(name, self.ids[:1000].tolist()) or (str(self.ids[0]) if len(self) else None)
            raise BadInput(self.path, f"has no clip {name!r}", f"names are such as {near!r}")
        return int(found[0])

    def _told(self) -> dict[str, str]:
        known = self.labels[self.labels >= 0]
        about = self._about
        return {
            "data set": f"{about.title} ({self.dataset})",
            "clips": f"{len(self):,}, {counted(len(np.unique(known)), 'class', 'classes')}",
            "layout": f"{self.layout.name}: V {len(self.layout.joints)}, C {self.layout.channels}",
            "splits": ", ".join(self.splits) or "none with a name",
            "path": os.fspath(self.path),
        }


class Store(Folder):
    """A store, opened: everything that was seen in the raw recordings, whole.

    Attributes:
        path: the folder; the object itself can be given wherever a path is asked for.
        attributes: all that the folder notes of itself, in plain values.
        columns: name -> (N,) array of every column: name, label, subject, camera, …
        layout: the joints.
        dataset: the name of the data set.
        summary: what `ingest` found when it made the store; None of one that was opened.

    Example:
        >>> store = sk.open_store("store.zarr")
        >>> recording = store[0]  # or store["S001C001P001R001A001"]
        >>> recording.joints.shape[1:]  # rows, one for each body in each frame
        (25, 3)
    """

    _KIND = "store"

    def __init__(self, path: PathLike, summary: Any = None) -> None:
        super().__init__(path)
        self.summary = summary
        self._offset = store.read_array(self._group, "clip_offset").astype(np.int64)

    @property
    def frames(self) -> npt.NDArray[np.int64]:
        """(N,) how many frames each recording has."""
        return store.read_array(self._group, "clip_frames").astype(np.int64)

    @property
    def fps(self) -> float | None:
        """Frames per second, where they are stated."""
        return self.attributes.get(RATE)

    @property
    def dropped(self) -> pd.DataFrame:
        """What was left out, and why: name, reason, detail, and how many files an entry speaks of."""
        import pandas as pd

        return pd.DataFrame(
            {name: store.read_array(self._group, f"dropped/{name}") for name in (*store.REPORT, "count")}
        )

    def __getitem__(self, which: int | str) -> Recording:
        """A recording by its row or its name."""
        n = self.row(which) if isinstance(which, str) else range(len(self))[which]
        rows = slice(int(self._offset[n]), int(self._offset[n + 1]))
        joints, frame, body = (store.read_array(self._group, key, rows) for key in ("joints", "row_frame", "row_body"))
        converted = Conversion.of(self.attributes.get(NOTED)).apply(np.ascontiguousarray(joints, np.float32))
        frames = int(store.read_array(self._group, "clip_frames", slice(n, n + 1))[0])
        label = int(self.labels[n])
        return Recording(str(self.ids[n]), label, converted, frame.astype(np.int64), body.astype(np.int64), frames)

    def __iter__(self) -> Iterator[Recording]:
        return (self[n] for n in range(len(self)))


class Clips(Folder):
    """Prepared clips, opened; the arrays are read when they are asked for.

    `clips[3]` and `clips["NAME"]` are one clip, (C, T, V, M) float32; `clips[:64]`, `clips[rows]` and `clips[mask]` are
    several, (n, C, T, V, M). Clips of their own lengths come as a list of (C, T, V, M).

    Attributes:
        path: the folder; the object itself can be given wherever a path is asked for.
        attributes: all that the folder notes of itself, in plain values.
        columns: name -> (N,) array of every column: name, label, subject, camera, …
        layout: the joints.
        dataset: the name of the data set.
        frames: T, or "native" where every clip has its own.
        opened: what reads the arrays.
        summary: what `prepare` did when it made the clips; None of those that were opened.

    Example:
        >>> clips = sk.open_clips("clips.zarr")
        >>> train = clips.split("xsub60")["train"]
        >>> x, y = clips[train], clips.labels[train]
        >>> x.shape[1:]
        (3, 12, 25, 2)
    """

    _KIND = "clips"

    def __init__(self, path: PathLike, summary: Any = None) -> None:
        super().__init__(path)
        self.opened = store.Clips(self.path)
        self.frames: int | str = self.opened.frames
        self.summary = summary

    @property
    def bodies(self) -> int:
        """M, how many bodies there is room for."""
        return self.opened.bodies

    @property
    def shape(self) -> tuple[int | str, ...]:
        """(N, C, T, V, M); T is "native" where every clip has its own."""
        return len(self), self.layout.channels, self.frames, len(self.layout.joints), self.bodies

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(N,) how many frames of each clip, from its start, are its own; the others only fill it up to T."""
        return self.opened.valid.astype(np.int64)

    def __getitem__(self, which: int | str | slice | Sequence[int] | npt.NDArray[Any]) -> Any:
        """One clip by its row or name, or several by a slice, rows or a mask."""
        if isinstance(which, str | int | np.integer):
            n = self.row(which) if isinstance(which, str) else range(len(self))[int(which)]
            if self.frames != NATIVE:  # which would be read with many others
                return np.ascontiguousarray(store.read_array(self._group, "clips", slice(n, n + 1))[0])
            return self._read(np.array([n]))[0]
        return self._read(np.arange(len(self))[which])

    def _read(self, rows: Rows) -> Any:
        found = self.opened.load(rows)
        if self.frames != NATIVE:
            return found
        return [found.clip(n).copy() for n in range(len(found))]

    def _told(self) -> dict[str, str]:
        size = " × ".join(map(str, self.shape))
        return {**super()._told(), "shape": f"{size} (N, C, T, V, M)"}
