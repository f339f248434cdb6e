"""What lies in folders and archives of raw recordings, and in lists of PKU-MMD's videos, and how it is ingested."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from skelpipe.errors import BadInput, printable, shortened
from skelpipe.exchange.arrays.foreign import Facts
from skelpipe.recordings.datasets import DATASETS
from skelpipe.recordings.datasets.base import Found
from skelpipe.recordings.datasets.files import File
from skelpipe.recordings.datasets.ntu import NTU60, NTU120, is_recording, stem_of
from skelpipe.recordings.datasets.pku import PKU1, PKU2
from skelpipe.recordings.datasets.pku_lists import read_list, split_of
from skelpipe.recordings.datasets.recording import NO_LABELS, NO_SEQUENCE

ALONE = {NO_LABELS: "sequences without label files", NO_SEQUENCE: "label files without sequences"}
IMPORTED = (".npy", ".npz", ".pkl", ".pickle", ".h5", ".hdf5", ".pt", ".pth", ".ckpt", ".safetensors")
SHOWN = 5


def look_at_raw(path: Path) -> tuple[Facts, str] | None:
    """What a folder or a zip archive holds that `ingest` reads, and the command; None if it is nothing.

    Raises:
        BadInput: it cannot be searched, or an archive in it is damaged.
    """
    facts, commands = Facts(), list[str]()
    for name, dataset in DATASETS.items():
        if name == NTU60.name:  # all its recordings are of the larger one, too
            continue
        found = dataset.find(path)
        if name == NTU120.name and all(NTU60.names(each.name) for each in found.sources):
            name = NTU60.name
        alone = Counter(each.reason for each in found.dropped if each.reason in ALONE)
        told = [_recordings(found)] if found.sources else []
        told += [f"{count:,} {ALONE[reason]}" for reason, count in alone.items()]
        told += [f"{found.lists} lists of a split"] if found.lists and told else []
        if not told:
            continue
        facts.append((DATASETS[name].title, ", ".join(told)))
        where = shlex.quote(str(path))
        lacking = "" if found.sources else ", where sequences and labels both are"
        commands.append(f"skelpipe ingest {name} {where if found.sources else 'FOLDER'} STORE{lacking}")
    if not commands:
        return None
    return [*facts, *(("command", each) for each in commands[1:])], commands[0]


def _recordings(found: Found) -> str:
    first = shortened(found.sources[0].files[0].shown, 60)
    return f"{len(found.sources):,} recordings, such as {first}"


def nothing_known(path: Path, kind: str) -> BadInput:
    """What to say of a folder or archive without recordings."""
    if not path.is_dir():
        return BadInput(path, f"is {kind}, and holds no recording", "unpack it, and inspect the files inside")
    inside = sorted(each.name for each in path.iterdir() if each.suffix.lower() in IMPORTED and each.is_file())
    if inside:
        more = f" and {len(inside) - SHOWN} more" if len(inside) > SHOWN else ""
        what = f"was not made by skelpipe, and holds no recordings but {printable(', '.join(inside[:SHOWN]))}{more}"
        return BadInput(path, what, "inspect these files: those of one import together")
    what = "was not made by skelpipe, and holds no recording that skelpipe knows"
    return BadInput(path, what, "give a store, clips, run, evaluation, fusion or report folder, or raw recordings")


def look_at_list(path: Path) -> Facts | None:
    """What a list of PKU-MMD's videos says; None if a text is none.

    Raises:
        BadInput: it is called like one and is damaged.
    """
    file = File(path.name, str(path), size=path.stat().st_size)
    try:
        sides = read_list(file.read(), str(path), lambda word: PKU1.video_name(word) or PKU2.video_name(word))
    except BadInput:
        if split_of(path.name) is None:
            return None
        raise
    videos = [video for side in sides.values() for video in side]
    named = [part for part in (PKU1, PKU2) if any(part.video_name(video) for video in videos)]
    if not named:
        return None
    counts = ", ".join(f"{len(videos):,} {side}" for side, videos in sides.items())
    split = split_of(path.name)
    facts: Facts = [("list of", " and ".join(part.title for part in named)), ("videos", counts)]
    facts.append(("divides", f"x{split}") if split else ("divides", "by its name nothing: call it cross-subject.txt"))
    for part in named:
        command = f"skelpipe ingest {part.name} FOLDER STORE, where sequences, labels and the list are"
        facts.append(("command", command))
    return facts


def ingest_together(paths: Sequence[Path]) -> str:
    """The command that ingests several `.skeleton` files."""
    folders = {path.parent for path in paths}
    where = shlex.quote(str(folders.pop())) if len(folders) == 1 else "FOLDER"
    found = [name for path in paths for name in ("ntu60", "ntu120") if _is_of(name, path)]
    dataset = "ntu60" if found.count("ntu60") == len(paths) else "ntu120"
    return f"skelpipe ingest {dataset} {where} STORE" if found else ""


def _is_of(dataset: str, path: Path) -> bool:
    return is_recording(path.name) and bool(DATASETS[dataset].names(stem_of(path.name)))
