"""Which files below a raw folder are poses, in which format, and which of them are one clip together."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from skelpipe.errors import BadInput, printable
from skelpipe.outputs.ancestry import BESIDE, read_json
from skelpipe.recordings.datasets.files import File, Vanished, list_files, watched
from skelpipe.recordings.datasets.recording import UNREADABLE, Dropped
from skelpipe.recordings.datasets.unread import Unread, is_archive, is_ours
from skelpipe.recordings.poses.base import Opened
from skelpipe.recordings.poses.formats import FRAME_FILES, IMAGE, format_of
from skelpipe.recordings.poses.labels import looks_like_labels

READ = "pose files"
PREDICTIONS = "predictions"  # a kind of output
ZARR = "zarr.json"  # of a store or clips
# Whose content is none of ours, so that nobody opens thousands of them.
MEDIA = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".avi", ".mp4", ".mov", ".mkv", ".webm", ".pdf",
         ".md", ".py", ".m", ".pyc", ".yaml", ".yml", ".pt", ".pth", ".onnx", ".xml", ".html", ".log")  # fmt: skip
FRAMES = ("frame", "frames", "img", "image", "pose", "poses", "keypoints", "kpts", "f", "person", "people", "output")
FRAME = re.compile(r"^(?P<before>.*?)(?P<number>\d+)(?P<after>\D*)$")


@dataclass
class Piece:
    """The files of one source: a file, or all frames of a clip.

    Attributes:
        format: key of `POSE_FORMATS`.
        place: its path below the raw folder, without the number and the suffix where it is of frames.
        files: in order; of frames by their number.
        numbers: of frames.
    """

    format: str
    place: str
    files: list[File]
    numbers: list[int] = field(default_factory=list)


@dataclass
class Searched:
    """What a search has found: sources, what was left out, and how many lists that were given lie there, too."""

    pieces: list[Piece]
    dropped: list[Dropped]
    lists: int
    told: list[str]


def wanted(path: str) -> bool:
    """Whether a file may be one of poses, by its name."""
    name = path.rpartition("/")[2]
    ours = is_ours(name) or name == ZARR or any(folder.endswith(".zarr") for folder in path.split("/")[:-1])
    return not (ours or is_archive(path) or name.lower().endswith(MEDIA))


def search(raw: Path, lists: Collection[Path]) -> Searched:
    """Find the files of poses below a folder, in an archive, or one file.

    Args:
        raw: the folder, the .zip archive or the file.
        lists: files that were given for something else, such as a table of labels; they are counted, not read.

    Raises:
        BadInput: it does not exist or cannot be searched.
    """
    files, dropped = _files(raw)
    files = [file for file in files if not _is_predictions(file)]
    given = {os.path.realpath(path) for path in lists}
    apart = [file for file in files if not file.member and os.path.realpath(file.path) in given]
    unread, told, frames = Unread(READ), list[str](), dict[tuple[str, str, str], Piece]()
    pieces = []
    for file in (file for file in files if file not in apart):
        try:
            with watched():  # the bytes are counted where they are read as recordings
                kind = format_of(opened := Opened(file))
        except Vanished:
            raise
        except BadInput as error:
            dropped.append(Dropped(file.stem, UNREADABLE, str(error)))
            continue
        if kind is None:
            unread.add(file.shown)
            if file.size and looks_like_labels(opened):
                told.append(f"{file.shown} looks like a table of labels: give it by --labels")
        elif kind in FRAME_FILES and (found := FRAME.match(file.stem)) is not None:
            folder = file.shown.rpartition("/")[0]
            key = (kind, folder, found["before"] + "\0" + found["after"])
            piece = frames.setdefault(key, Piece(kind, found["before"].rstrip("_-. "), []))
            piece.files.append(file)
            piece.numbers.append(int(found["number"]))
        else:
            pieces.append(Piece(kind, file.shown, [file]))
    pieces += _alone(frames, told)
    _name_frames(frames, raw.stem)
    for piece in frames.values():
        order = sorted(range(len(piece.files)), key=lambda n, piece=piece: (piece.numbers[n], piece.files[n]))  # type: ignore[misc]
        piece.files, piece.numbers = [piece.files[n] for n in order], [piece.numbers[n] for n in order]
    return Searched([*pieces, *frames.values()], dropped + unread.dropped(), len(apart), told)


def _files(raw: Path) -> tuple[list[File], list[Dropped]]:
    if raw.is_file() and raw.suffix.lower() != ".zip":
        shown = printable(raw.name)
        if is_archive(raw.name):
            return list_files(raw, wanted, READ)  # which says how it is unpacked
        return [File(shown, str(raw), size=raw.stat().st_size)], []
    if (raw / ZARR).is_file():
        raise BadInput(raw, "is an output of skelpipe, no recordings", "give the folder of the recordings")
    if not raw.exists():
        raise BadInput(raw, "does not exist", "give the folder, the .zip archive or the file that holds the poses")
    return list_files(raw, wanted, READ)


def _is_predictions(file: File) -> bool:
    """Whether a file is what `skelpipe predict` wrote beside the recordings, as its provenance says."""
    beside = Path(f"{file.path}{BESIDE}")
    return not file.member and beside.is_file() and read_json(beside).get("kind") == PREDICTIONS


def _alone(frames: dict[tuple[str, str, str], Piece], told: list[str]) -> list[Piece]:
    """Take out of `frames` what is one JSON of people and no other beside it: it may be a clip."""
    found = []
    for key in [key for key in frames if key[0] == IMAGE]:
        if len(frames[key].files) == 1:
            file = frames.pop(key).files[0]
            found.append(Piece("json", file.shown, [file]))
    if count := sum(len(piece.files) for key, piece in frames.items() if key[0] == IMAGE):
        told.append(f"{count:,} numbered files hold the people of one frame each: they are taken for frames of clips")
    return found


def _name_frames(frames: dict[tuple[str, str, str], Piece], raw: str) -> None:
    """Name clips of frames by their folder, or where folders are classes by what their files have before the number.

    Folders beside one another are classes if one of them holds several clips, or if the clips that they hold are called
    otherwise than their folders, and each otherwise than the next.
    """
    inside: dict[str, list[Piece]] = {}
    for (_, folder, _), piece in frames.items():
        inside.setdefault(folder, []).append(piece)
    beside: dict[str, list[str]] = {}
    for folder in inside:
        beside.setdefault(folder.rpartition("/")[0], []).append(folder)
    for parent, folders in beside.items():
        folders = [folder for folder in folders if folder]
        stems = [piece.place for folder in folders for piece in inside[folder]]
        called = all(_says(piece.place, folder) for folder in folders for piece in inside[folder])
        classes = len(stems) > len(folders) or (called and len(set(stems)) == len(stems))
        for folder in folders:
            for piece in inside[folder]:
                stem = piece.place or folder.rpartition("/")[2]
                piece.place = f"{folder}/{stem}" if classes else folder
        if not parent:
            for piece in inside.get("", ()):
                piece.place = piece.place or raw


def _says(stem: str, folder: str) -> bool:
    """Whether what stands before the number tells clips apart, and not only that these are frames of the folder."""
    name, stem = folder.rpartition("/")[2].lower(), stem.lower()
    if not stem or stem in FRAMES or stem in name:
        return False
    return name not in stem or re.search(r"\d", stem.replace(name, "")) is not None  # squat_01 of squat
