"""What every data set is made of: files on the disk or in archives, and the recordings that are read from them."""

from __future__ import annotations

import os
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from skelpipe.errors import BadInput

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# Columns that hold text; all others are int32.
TEXT_COLUMNS = ("name", "video")

# Why something was left out. Those in FAULTS are mistakes in the files, which `--strict` does not put up with.
MISSING, NO_BODY, NO_FRAMES = "missing skeleton", "no body", "no frames"
UNREADABLE, BAD_LABEL, UNKNOWN_NAME, DUPLICATE = "unreadable", "bad label", "unknown name", "duplicate"
NO_LABELS, NO_SEQUENCE = "no labels", "no sequence"
FAULTS = (UNREADABLE, BAD_LABEL)

# The largest genuine file has some 10 MB. What claims to be over this is no recording, and is not worth the memory.
MAX_BYTES = 1 << 30


@dataclass(frozen=True)
class Recording:
    """One labelled clip as the sensor delivered it: a row per body per frame, in file order.

    Attributes:
        name: the clip's name, unique in its data set.
        ids: the other columns of the data set (label, subject, ...), by name.
        frames: frames in the clip, those without a body included.
        joints: (R, 25, 3) float32, metres.
        row_frame: (R,) int32, the frame of each row, from 0.
        row_body: (R,) int64, the sensor's id of the body of each row.
    """

    name: str
    ids: Mapping[str, int | str]
    frames: int
    joints: npt.NDArray[np.float32]
    row_frame: npt.NDArray[np.int32]
    row_body: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Dropped:
    """A clip or file that was left out; `reason` is one of a few fixed words, `detail` is for the reader."""

    name: str
    reason: str
    detail: str = ""


class Vanished(BadInput):
    """A file that was found is no longer there: not its fault, so it must not be left out as a faulty one is."""


@dataclass(frozen=True, order=True)
class File:
    """A file in a folder, or a member of a zip archive.

    Attributes:
        shown: its path below the folder that was searched, for messages.
        path: where it, or the archive it is in, lies on the disk.
        member: its name in the archive; "" for a plain file.
        size: bytes, unpacked.
    """

    shown: str
    path: str
    member: str = ""
    size: int = 0

    @property
    def stem(self) -> str:
        """The file's name without folder and suffix."""
        return self.shown.rpartition("/")[2].rpartition(".")[0]

    def read(self, limit: int = -1) -> bytes:
        """The file's bytes, or the first `limit` of them.

        Raises:
            BadInput: it cannot be read, is damaged in its archive, or is absurdly large.
        """
        if self.size > MAX_BYTES and limit < 0:
            raise BadInput(self.shown, f"has {self.size:,} bytes, which no recording has", "remove it")
        try:
            with self._open() as file:
                return file.read(limit)
        except NotImplementedError as error:  # a compression that Python lacks
            raise BadInput(
                self.shown, f"cannot be unpacked ({error})", "unpack the archive and give its folder"
            ) from None
        except FileNotFoundError:
            remedy = "check that its disk is still there, and run the same command again"
            raise Vanished(self.path, "has vanished since its folder was searched", remedy) from None
        except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise BadInput(self.shown, f"cannot be read ({error})", "download or copy it again") from None

    def _open(self) -> IO[bytes]:
        if not self.member:
            return open(self.path, "rb")
        stat = os.stat(self.path)  # noqa: PTH116
        return _archive(self.path, os.getpid(), stat.st_mtime_ns, stat.st_size).open(self.member)


@lru_cache(maxsize=8)
def _archive(path: str, pid: int, mtime: int, size: int) -> zipfile.ZipFile:
    """An archive that stays open, because its directory of 57,000 members takes a second to read.

    The process id is part of the key: a handle inherited by a forked process would share its file position.
    """
    return zipfile.ZipFile(path)


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
    """What a search came up with: sources in order of name, what was left out already, and the split lists seen."""

    sources: list[Source] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    split_files: dict[str, dict[str, list[str]]] = field(default_factory=dict)


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
    """

    name: str
    title: str
    classes: int
    clips: int
    columns: tuple[str, ...]
    group: str
    class_names: tuple[str, ...]

    @abstractmethod
    def find(self, raw: Path, keep_missing: bool = False) -> Found:
        """Search a folder, a zip archive, or a folder of archives.

        Args:
            raw: what to search; folders are searched to the bottom, archives are read in place.
            keep_missing: keep the clips that the publisher lists as having missing skeletons.

        Raises:
            BadInput: `raw` is neither, cannot be searched, or an archive is damaged or encrypted.
        """

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


def list_files(raw: Path, wanted: Callable[[str], bool]) -> list[File]:
    """All files below `raw`, those inside zip archives included, whose path `wanted` accepts; sorted.

    Raises:
        BadInput: `raw` is neither folder nor archive, or something below it cannot be searched.
    """
    if raw.is_dir():
        return sorted(_folder_files(raw, wanted))
    if not raw.exists():
        raise BadInput(raw, "does not exist", "give the folder or the .zip file that holds the raw recordings")
    if raw.suffix.lower() != ".zip":
        raise BadInput(raw, "is neither a folder nor a .zip file", "give the folder or the .zip file of the recordings")
    return sorted(_archive_files(raw, raw.name, wanted))


def _folder_files(raw: Path, wanted: Callable[[str], bool]) -> Iterator[File]:
    for path in _walk(raw):
        shown = printable(path.relative_to(raw).as_posix())
        if path.suffix.lower() == ".zip":
            yield from _archive_files(path, shown, wanted)
        elif wanted(shown):
            yield File(shown, str(path), size=path.stat().st_size)


def _walk(raw: Path) -> Iterator[Path]:
    """Files below `raw`; links to folders are followed, each folder once."""
    seen = set()
    try:
        for folder, folders, files in os.walk(raw, onerror=_raise, followlinks=True):
            stat = os.stat(folder)  # noqa: PTH116
            if (stat.st_dev, stat.st_ino) in seen:
                folders.clear()
                continue
            seen.add((stat.st_dev, stat.st_ino))
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                path = Path(folder, name)
                if not name.startswith(".") and path.is_file():
                    yield path
    except OSError as error:
        raise BadInput(error.filename or raw, f"cannot be searched ({error.strerror})", "make it readable") from None


def _raise(error: OSError) -> None:
    raise error


def _archive_files(path: Path, shown: str, wanted: Callable[[str], bool]) -> Iterator[File]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
        raise BadInput(path, f"is not a readable zip archive ({error})", "download it again, or move it away") from None
    for member in members:
        name = f"{shown}/{printable(member.filename)}"
        hidden = any(part.startswith((".", "__MACOSX")) for part in member.filename.split("/"))
        if member.is_dir() or hidden or not wanted(name):
            continue
        if member.flag_bits & 1:
            raise BadInput(path, "is encrypted", "unpack it with its password and give the folder instead")
        yield File(name, str(path), member.filename, member.file_size)


def printable(text: str) -> str:
    """`text` as it can be stored and shown: a file name's undecodable bytes and control characters become escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def column_array(name: str, values: list[Any]) -> npt.NDArray[Any]:
    """One column as an array: text, or int32."""
    import numpy as np

    return np.array(values, dtype=str if name in TEXT_COLUMNS else np.int32)
