"""Raw files in folders and archives, and what is noted of them while they are read."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import re
import shlex
import stat
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

from skelpipe.errors import BadInput, printable, shortened
from skelpipe.recordings.datasets.recording import LONGEST_DETAIL, LONGEST_NAME, UNREADABLE, Dropped
from skelpipe.recordings.datasets.unread import Unread, how_to_unpack, is_archive, is_hidden, is_partial

# The largest genuine file has some 10 MB. What claims to be over this is no recording, and is not worth the memory.
MAX_BYTES = 1 << 30
# Text of recordings packs to a third or a tenth. What packs to less than a hundredth is made to fill the memory.
SMALL_BYTES, MAX_RATIO = 1 << 24, 100
# Of a member's own header: its signature, and the lengths of its name and of what follows that.
LOCAL_HEADER = struct.Struct("<4s22xHH")
MORE_EXTRA = 64  # bytes that a member's own header may have beyond what the directory has
# Of a member that would not be unpacked below the folder it is unpacked in: /x, C:\x, a/../../x.
OUTSIDE = re.compile(r"^[/\\]|^[A-Za-z]:[/\\]|(^|[/\\])\.\.([/\\]|$)")
NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # of links
# What zipfile raises for damaged archives, beside its own errors.
DAMAGE = (
    OSError, EOFError, RuntimeError, ValueError, LookupError, OverflowError, struct.error, zlib.error, MemoryError,
    zipfile.BadZipFile,
)  # fmt: skip


@dataclass
class Seen:
    """Which files were read, whatever their order and whoever read them: how many, their bytes, and what to tell by.

    Attributes:
        total: the sum, modulo 2^256, of the sha256 of each file's name, size and CRC-32; so sums of parts add up to
            that of the whole.
    """

    files: int = 0
    bytes: int = 0
    total: int = 0

    def add(self, name: str, size: int, checksum: int) -> None:
        """Count a file."""
        each = hashlib.sha256(f"{name}\0{size}\0{checksum:08x}".encode("utf-8", "surrogateescape")).digest()
        self.more(Seen(1, size, int.from_bytes(each, "big")))

    def more(self, other: Seen) -> None:
        """Count what another has seen."""
        self.files, self.bytes = self.files + other.files, self.bytes + other.bytes
        self.total = (self.total + other.total) % (1 << 256)

    @property
    def digest(self) -> str:
        """The total, as digests are written."""
        return f"{self.total:064x}"


_opening = threading.Lock()
reading: ContextVar[Seen | None] = ContextVar("seen", default=None)


@contextmanager
def watched() -> Iterator[Seen]:
    """Count the files that are read to their end meanwhile."""
    token = reading.set(seen := Seen())
    try:
        yield seen
    finally:
        reading.reset(token)


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
        name = self.shown.rpartition("/")[2]
        return name.rpartition(".")[0] or name

    def read(self, limit: int = -1) -> bytes:
        """The file's bytes, or the first `limit` of them.

        Raises:
            BadInput: it cannot be read, is damaged in its archive, or is absurdly large.
        """
        if self.size > MAX_BYTES and limit < 0:
            raise BadInput(self.shown, f"has {self.size:,} bytes, which no recording has", "remove it")
        try:
            if self.member and limit < 0 and (packed := self._packed()) is not None:
                return self._noted(self._inflated(*packed), packed[1])
            with self._open() as file:
                # Without a number zipfile unpacks all there is, whatever the archive says of the size.
                data = file.read(self.size if self.member and limit < 0 else limit)
                return self._noted(data) if limit < 0 else data
        except NotImplementedError as error:  # a compression that Python lacks
            raise BadInput(
                self.shown, f"cannot be unpacked ({error})", "unpack the archive and give its folder"
            ) from None
        except FileNotFoundError:
            remedy = "check that its disk is still there, and run the same command again"
            raise Vanished(self.path, "has vanished since its folder was searched", remedy) from None
        except DAMAGE as error:
            raise BadInput(self.shown, f"cannot be read ({error})", "download or copy it again") from None

    def _noted(self, data: bytes, checksum: int | None = None) -> bytes:
        """`data`, counted where somebody watches."""
        if (seen := reading.get()) is not None:
            from isal import isal_zlib

            seen.add(self.shown, len(data), isal_zlib.crc32(data) if checksum is None else checksum)
        return data

    def _open(self) -> IO[bytes]:
        return self._archive().open(self.member) if self.member else open(self.path, "rb", buffering=0)

    def _archive(self) -> zipfile.ZipFile:
        about = os.stat(self.path)  # noqa: PTH116
        return _archive(self.path, os.getpid(), about.st_mtime_ns, about.st_size)

    def _packed(self) -> tuple[bytes | memoryview, int] | None:
        """A deflated member's bytes as they lie in the archive, and its checksum; None leaves it to zipfile."""
        archive = self._archive()
        about = archive.getinfo(self.member)
        if about.compress_type != zipfile.ZIP_DEFLATED or about.flag_bits & 1 or not self.size or archive.fp is None:
            return None
        place, name = archive.fp.fileno(), about.orig_filename.encode(_encoding(about))
        head = LOCAL_HEADER.size + len(name)
        # In one call, and without the file's position, which threads share.
        lying = os.pread(place, head + len(about.extra) + MORE_EXTRA + about.compress_size, about.header_offset)
        if len(lying) < head:
            return None
        signature, length, extra = LOCAL_HEADER.unpack_from(lying)
        if signature != b"PK\3\4" or length != len(name) or lying[LOCAL_HEADER.size : head] != name:
            return None
        start = head + extra
        if start + about.compress_size > len(lying):
            return os.pread(place, about.compress_size, about.header_offset + start), about.CRC
        return memoryview(lying)[start : start + about.compress_size], about.CRC

    def _inflated(self, packed: bytes | memoryview, checksum: int) -> bytes:
        """What zipfile would unpack, in half its time; no more than the archive says there is."""
        from isal import isal_zlib

        try:
            data: bytes = isal_zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, self.size)
        except isal_zlib.error as error:  # type: ignore[misc]
            raise zlib.error(str(error)) from None
        if len(data) != self.size:
            raise EOFError(f"{len(data):,} bytes of {self.size:,}")
        if isal_zlib.crc32(data) != checksum:
            raise zipfile.BadZipFile("bad checksum")
        return data


def _encoding(about: zipfile.ZipInfo) -> str:
    return "utf-8" if about.flag_bits & 0x800 else "cp437"


def _archive(path: str, pid: int, mtime: int, size: int) -> zipfile.ZipFile:
    with _opening:  # one thread reads the directory, and the others wait for it
        return _opened(path, pid, mtime, size)


@lru_cache(maxsize=8)
def _opened(path: str, pid: int, mtime: int, size: int) -> zipfile.ZipFile:
    """An archive that stays open, because its directory of 57,000 members takes a second to read.

    The process id is part of the key: a handle inherited by a forked process would share its file position.
    """
    return zipfile.ZipFile(path)


def list_files(raw: Path, wanted: Callable[[str], bool], read: str = "recordings") -> tuple[list[File], list[Dropped]]:
    """All files below `raw`, those inside zip archives included, whose path `wanted` accepts; sorted.

    Nothing is unpacked to the disk: a member's name is only shown, wherever it points.

    Args:
        raw: the folder or .zip file.
        wanted: whether a file of that path may be a recording.
        read: which files these are, in words.

    Returns:
        The files, and everything else that is below `raw`: archives that are not read, unfinished downloads, files of
        other kinds, hidden ones (a hidden folder counts as one), and what is not safe to read: archives inside
        archives, members that unpack to absurd sizes or by methods that cannot be bounded, members named as if outside
        their archive, devices, and links that lead nowhere.

    Raises:
        BadInput: `raw` is neither folder nor archive, or something below it cannot be searched.
    """
    left_out: list[Dropped] = []
    unread = Unread(read)
    if raw.is_dir():
        files = sorted(_folder_files(raw, wanted, left_out, unread))
        return files, left_out + unread.dropped()
    if not raw.exists():
        raise BadInput(raw, "does not exist", "give the folder or the .zip file that holds the raw recordings")
    if raw.suffix.lower() != ".zip":
        command = how_to_unpack(printable(raw.name))
        unpack = f"unpack it by {command}, and give the folder" if command else "give the folder or the .zip file"
        raise BadInput(raw, "is neither a folder nor a .zip file", unpack)
    files = sorted(_archive_files(raw, printable(raw.name), wanted, left_out, unread))
    return files, left_out + unread.dropped()


def _folder_files(raw: Path, wanted: Callable[[str], bool], left_out: list[Dropped], unread: Unread) -> Iterator[File]:
    for path, below in _walk(raw):
        shown = printable(below)
        archive = below.lower().endswith(".zip")
        if is_hidden(shown) or is_partial(shown) or not (archive or wanted(shown)):
            unread.add(shown)
        elif (size := _size_of(path)) is None:  # to open a pipe would wait for ever
            left_out.append(_unsafe(shown, "is a device or a link that leads nowhere; copy the file itself"))
        elif archive:
            yield from _archive_files(Path(path), shown, wanted, left_out, unread)
        else:
            yield File(shown, path, size=size)


def _size_of(path: str) -> int | None:
    """How many bytes a file has; None if it is none, or cannot be found."""
    try:
        about = os.stat(path)  # noqa: PTH116
    except OSError as error:
        if error.errno not in NOWHERE:
            raise
        return None
    return about.st_size if stat.S_ISREG(about.st_mode) else None


def _unsafe(shown: str, what: str) -> Dropped:
    return Dropped(File(shown, "").stem, UNREADABLE, f"{shortened(shown, LONGEST_DETAIL // 2)} {what}")


def _walk(raw: Path) -> Iterator[tuple[str, str]]:
    """What is below `raw`, files and hidden folders, and its path from there; links to folders are followed, once."""
    seen, top = set(), os.fspath(raw)
    try:
        for folder, folders, files in os.walk(raw, onerror=_raise, followlinks=True):
            about = os.stat(folder)  # noqa: PTH116
            if (about.st_dev, about.st_ino) in seen:
                folders.clear()
                continue
            seen.add((about.st_dev, about.st_ino))
            hidden = [name for name in folders if name.startswith(".")]
            folders[:] = sorted(set(folders) - set(hidden))
            below = folder[len(top) :].lstrip("/")
            yield from ((f"{folder}/{name}", f"{below}/{name}" if below else name) for name in sorted(files + hidden))
    except OSError as error:
        raise BadInput(error.filename or raw, f"cannot be searched ({error.strerror})", "make it readable") from None


def _raise(error: OSError) -> None:
    raise error


def _archive_files(
    path: Path, shown: str, wanted: Callable[[str], bool], left_out: list[Dropped], unread: Unread
) -> Iterator[File]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (NotImplementedError, *DAMAGE) as error:
        _check_split(path, [])
        raise BadInput(path, f"is not a readable zip archive ({error})", "download it again, or move it away") from None
    _check_split(path, members)
    _check_places(path, members)
    names = set()
    for member in members:
        place = member.filename.replace("\\", "/")  # as some programs write it
        name = f"{shown}/{printable(place)}"
        nested = name.lower().endswith(".zip") or is_archive(name)
        if place.endswith("/"):
            continue
        if is_hidden(place) or is_partial(place) or not (nested or wanted(name)):
            unread.add(name)
            continue
        if member.flag_bits & 1:
            raise BadInput(path, "is encrypted", "unpack it with its password and give the folder instead")
        if member.filename in names:  # zipfile would read the last one for both
            what = f"holds {shortened(member.filename, LONGEST_NAME)} twice"
            raise BadInput(path, what, "unpack it and give the folder with the right one")
        names.add(member.filename)
        refused = "is an archive inside an archive; unpack the outer one" if nested else _refused(member, path)
        if refused:
            left_out.append(_unsafe(name, refused))
        else:
            yield File(name, str(path), member.filename, member.file_size)


def _check_split(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Raise BadInput if an archive is the last of several pieces, whose directory speaks of the others."""
    pieces = sorted(path.parent.glob(f"{glob.escape(path.stem)}.[zZ][0-9][0-9]"))
    if pieces or any(0 < member.volume < 0xFFFF for member in members):
        command = f"zip -s 0 {shlex.quote(printable(path.name))} --out whole.zip"
        raise BadInput(path, "is the last piece of a split archive", f"join the pieces by {command}, move them away")


def _check_places(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Raise BadInput if two members are made of the same packed bytes, by which a small archive fills any disk."""
    end = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        if member.header_offset < end:
            what = f"has members that share their bytes ({shortened(member.filename, LONGEST_NAME)})"
            raise BadInput(path, what, "do not use it, or unpack it with care")
        end = member.header_offset + member.compress_size


def _refused(member: zipfile.ZipInfo, path: Path) -> str:
    """Why a member is not to be read; "" if it may be."""
    if OUTSIDE.search(member.filename):
        return "names a place outside its archive; unpack it with care and give the folder"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is packed by another method than deflate; unpack the archive and give its folder"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a link and no file; unpack the archive and give its folder"
    packed = max(1, min(member.compress_size, path.stat().st_size))
    if member.file_size > SMALL_BYTES and member.file_size > MAX_RATIO * packed:
        return f"unpacks to {member.file_size // packed:,} times its size, which no recording does; remove it"
    return ""
