"""What lies below the raw folder and is not read: each file, or each kind of file, with the reason."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field

from skelpipe.errors import shortened
from skelpipe.outputs.ancestry import BESIDE
from skelpipe.recordings.datasets.recording import (
    ARCHIVE,
    HIDDEN,
    LONGEST_DETAIL,
    OTHER,
    OURS,
    SYSTEM,
    UNFINISHED,
    Dropped,
)

# How an archive that is not read in place is unpacked, by the ends of its name; of several the first that fits.
UNPACK = {
    (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz", ".tar.zst"): "tar xf",
    (".7z", ".7z.001", ".rar", ".zip.001", ".cab", ".iso"): "7z x",
    (".gz",): "gunzip", (".bz2",): "bunzip2", (".xz", ".lzma"): "unxz", (".zst",): "unzstd", (".z",): "uncompress",
}  # fmt: skip
PIECE = re.compile(r"\.(7z|zip|rar|tar|gz)\.\d{3}$|\.(z|r)\d\d$", re.IGNORECASE)  # of a split archive
PARTIAL = (
    ".crdownload", ".part", ".partial", ".download", ".opdownload", ".filepart", ".aria2", ".tmp", ".temp", ".!ut",
    ".!qb",
)  # fmt: skip
OUR_FILES = ("done.json", "files.sha256", "provenance.json", "SYNTHETIC.md")  # beside what `synth` writes
SYSTEM_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini", ".ds_store", ".localized", "icon\r")


def is_ours(name: str) -> bool:
    """Whether it is called as what we write beside outputs."""
    return name in OUR_FILES or name.endswith(BESIDE)


def is_archive(name: str) -> bool:
    """Whether it is called like an archive that is not read in place, or like a piece of one."""
    return bool(how_to_unpack(name))


def how_to_unpack(name: str) -> str:
    """The command that unpacks an archive of that name, or joins its pieces; "" for what is none."""
    low = name.lower()
    for ends, command in UNPACK.items():
        if low.endswith(ends):
            return f"{command} {shlex.quote(name)}"
    if PIECE.search(name) is None:
        return ""
    if re.search(r"\.z\d\d$", low):
        whole = re.sub(r"\.z\d\d$", ".zip", name, flags=re.IGNORECASE)
        return f"zip -s 0 {shlex.quote(whole)} --out whole.zip"
    return f"7z x {shlex.quote(re.sub(r'[.]r[0-9][0-9]$', '.rar', re.sub(r'[.][0-9]{3}$', '.001', name)))}"


def is_partial(path: str) -> bool:
    """Whether a file is called as programs call what they have not yet downloaded, or lies in such a folder."""
    return path.lower().endswith(PARTIAL) or ".download/" in path.lower()


def is_hidden(path: str) -> bool:
    """Whether a file, or a folder that it is in, is of those that systems keep for themselves or do not show."""
    parts = path.split("/")
    return any(part.startswith((".", "__MACOSX")) and part not in (".", "..") for part in parts) or _of_system(path)


def _of_system(path: str) -> bool:
    *folders, name = path.split("/")
    return "__MACOSX" in folders or name.startswith("._") or name.lower() in SYSTEM_FILES


@dataclass
class Unread:
    """Counts what a search passes over; a kind of which there are thousands takes one entry of the drop report."""

    read: str
    entries: list[Dropped] = field(default_factory=list)
    kinds: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)

    def add(self, path: str) -> None:
        """Note a file, or a hidden folder, by its path below the folder that is searched."""
        name = path.rpartition("/")[2]
        if is_hidden(path):
            self._count(SYSTEM if _of_system(path) else HIDDEN, ".*", path)
        elif is_ours(name):
            self._count(OURS, "*", path)
        elif is_partial(path):
            what = "is called as an unfinished download is; finish it, or download it again"
            self.entries.append(Dropped(name, UNFINISHED, f"{shortened(path, LONGEST_DETAIL // 2)} {what}"))
        elif command := how_to_unpack(path):
            what = "is an archive that is not read in place; unpack it by " + command
            self.entries.append(Dropped(name, ARCHIVE, f"{shortened(path, LONGEST_DETAIL // 3)} {what}", first=path))
        else:
            stem, dot, suffix = name.rpartition(".")
            self._count(OTHER, f"*.{suffix}" if stem and dot and len(suffix) <= 10 else "*", path)

    def _count(self, reason: str, kind: str, path: str) -> None:
        count, first = self.kinds.get((reason, kind), (0, path))
        self.kinds[reason, kind] = (count + 1, min(first, path))

    def dropped(self) -> list[Dropped]:
        """The entries of the drop report; one of several files has their number as its count."""
        found = list(self.entries)
        for (reason, kind), (count, first) in self.kinds.items():
            shown = shortened(first, LONGEST_DETAIL // 2)
            name = first.rpartition("/")[2] if count == 1 else kind
            many = shown if count == 1 else f"{count:,} files, as {shown}"
            why = f": read are {self.read}" if reason == OTHER else ""
            found.append(Dropped(name, reason, many + why, count, first))
        return found
