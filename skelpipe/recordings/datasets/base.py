"""What a data set is: how its recordings are found, named and read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from skelpipe.recordings.datasets.files import File
from skelpipe.recordings.datasets.recording import DUPLICATE, NO_BODY, NO_FRAMES, TEXT_COLUMNS, Dropped, Recording

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True)
class Source:
    """What one call of `Dataset.read` needs: the recording's file, and beside it what else belongs to it (labels)."""

    name: str
    files: tuple[File, ...]

    @property
    def size(self) -> int:
        """Bytes, unpacked."""
        return sum(file.size for file in self.files)


@dataclass
class Found:
    """What a search came up with: sources in order of name, what was left out already, and the split lists seen.

    `told` says, in words, how the lists were understood where they may mean something else. `dataset` is what was found
    out of a data set that its user describes, such as its classes; None where nothing was to be found out.

    Every file below the raw folder is one of a source, one of the `lists` split lists, or counted by what was left out.
    """

    sources: list[Source] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    split_files: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    lists: int = 0
    told: list[str] = field(default_factory=list)
    dataset: Dataset | None = None


@dataclass(frozen=True)
class Dataset(ABC):
    """A published data set: what it is called, what its clips carry, and how its raw files are found and read.

    Attributes:
        name: the key in `DATASETS`.
        title: the name in print.
        classes: how many outputs a classifier has.
        clips: how many usable clips the publication has.
        columns: the per-clip columns, in order; `name` and `label` come first.
        group: the column that names the person or video, for holding out a validation part.
        class_names: what the labels mean, in order.
        layout: the joint layout of its recordings, by name or as the path of a YAML (`layouts.find_layout`).
        text: the columns that hold text; the others are int32.
        threads: whether threads read recordings side by side, since the work is done by kernels that release the GIL;
            else processes do.
    """

    threads: ClassVar[bool] = False

    name: str
    title: str
    classes: int
    clips: int
    columns: tuple[str, ...]
    group: str
    class_names: tuple[str, ...]
    layout: str = field(default="kinect_v2", kw_only=True)
    text: tuple[str, ...] = field(default=TEXT_COLUMNS, kw_only=True)

    @abstractmethod
    def find(self, raw: Path, keep_missing: bool = False) -> Found:
        """Search a folder, a zip archive, or a folder of archives.

        Args:
            raw: what to search; folders are searched to the bottom, archives are read in place.
            keep_missing: keep the clips that the publisher lists as having missing skeletons.

        Raises:
            BadInput: `raw` is neither, cannot be searched, or an archive is damaged or encrypted.
        """

    @property
    def actions(self) -> Sequence[int]:
        """By what number the names of clips call each class, such as 13 in A013; nothing if they do not."""
        return range(1, self.classes + 1)

    def column(self, name: str, values: list[Any]) -> npt.NDArray[Any]:
        """One column as an array: text, or int32."""
        import numpy as np

        return np.array(values, dtype=str if name in self.text else np.int32)

    def beside(self) -> dict[str, Path]:
        """By their roles, the files beside the recordings that decide how these are read, such as a table of labels."""
        return {}

    def noted(self) -> dict[str, Any]:
        """What a store notes, beside the data set, of how its recordings were read; plain values."""
        return {}

    def names(self, stem: str) -> bool | None:
        """Whether a recording of this data set may be called so, without suffixes; None if its names have no form."""
        return None

    @abstractmethod
    def read(self, source: Source, keep_missing: bool = False) -> list[Recording | Dropped]:
        """Read the clips of one source.

        Raises:
            BadInput: the whole source is unreadable; names the file and line.
        """


def accept(recording: Recording, keep_missing: bool) -> Recording | Dropped:
    """The recording, unless nobody is to be seen in it."""
    if recording.frames == 0:
        return Dropped(recording.name, NO_FRAMES)
    if len(recording.joints) == 0 and not keep_missing:
        return Dropped(recording.name, NO_BODY, f"none of its {recording.frames} frames has a body")
    return recording


def unique(sources: Iterable[Source]) -> tuple[list[Source], list[Dropped]]:
    """Sort by name, and keep the first of those that share one; the order of the directory has no say."""
    kept: dict[str, Source] = {}
    dropped = []
    for source in sorted(sources, key=lambda s: (s.name, s.files)):
        first = kept.setdefault(source.name, source)
        if first is not source:
            dropped.append(Dropped(source.name, DUPLICATE, f"{source.files[0].shown}; used {first.files[0].shown}"))
    return list(kept.values()), dropped
