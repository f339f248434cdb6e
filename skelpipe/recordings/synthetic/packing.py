"""Where files go: into a folder as they are, or into the publisher's archives."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple


class File(NamedTuple):
    """One file: which of the publisher's archives it belongs to ("" for none), its path in there, its bytes."""

    archive: str
    path: str
    content: bytes


def plain(folder: Path) -> Callable[[File], None]:
    """A function that writes a file into `folder`."""

    def put(file: File) -> None:
        path = folder / file.path
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(file.content)

    return put


def zipped(folder: Path, stack: ExitStack) -> Callable[[File], None]:
    """A function that writes a file into its archive in `folder`, or beside them; `stack` closes the archives."""
    beside = plain(folder)
    archives: dict[str, zipfile.ZipFile] = {}

    def put(file: File) -> None:
        if not file.archive:
            return beside(file)
        if file.archive not in archives:
            archives[file.archive] = stack.enter_context(zipfile.ZipFile(folder / f"{file.archive}.zip", "w"))
        member = zipfile.ZipInfo(file.path)  # with its fixed date of 1980, so that equal content gives equal bytes
        member.external_attr = 0o644 << 16
        archives[file.archive].writestr(member, file.content, zipfile.ZIP_DEFLATED, compresslevel=1)

    return put
