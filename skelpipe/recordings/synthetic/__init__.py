"""Licence-free raw recordings in the formats of NTU RGB+D, PKU-MMD and NW-UCLA.

A jointed body of 25 joints moves by joint angles, stands on a floor, and is seen by three turned cameras with a noisy
sensor. What a class does follows from its number alone; how a clip does it follows from the seed and the clip's name.
So a clip is the same whatever else is written, and the three cameras see one motion.

World and camera space are right-handed and in metres: y is up, z leads away from camera 1. A person who faces camera 1
has the left hand at negative x and the front at negative z, as in the publishers' files.

`plan` says which files a data set of some size has, `ntu`, `pku` and `ucla` (in Kinect v1's 20 joints) make what is in
them, `packing` puts them on the disk. The people of a clip (`body`) move (`motion`) and are measured (`sensor`,
`tracks`); `chance` has all randomness.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skelpipe import __version__
from skelpipe.errors import BadInput
from skelpipe.outputs.folders import new_folder
from skelpipe.recordings.datasets import DATASETS, find_dataset
from skelpipe.recordings.synthetic.ntu import NTUClip, ntu_clip
from skelpipe.recordings.synthetic.packing import plain, zipped
from skelpipe.recordings.synthetic.pku import PKUVideo, pku_video
from skelpipe.recordings.synthetic.plan import FRAMES, checked, plan_files
from skelpipe.recordings.synthetic.ucla import UclaClip, ucla_clip

__all__ = [
    "MARKER", "NTUClip", "PKUVideo", "Summary", "UclaClip", "ntu_clip", "pku_video", "ucla_clip", "write_raw",
]  # fmt: skip
log = logging.getLogger(__name__)

MARKER = "SYNTHETIC.md"


@dataclass(frozen=True)
class Summary:
    """What was written: the raw files, the labelled clips in them, and the bytes of the raw files."""

    files: int
    clips: int
    bytes: int


def write_raw(
    dataset: str,
    raw: str | os.PathLike[str],
    *,
    actions: int | None = None,
    subjects: int | None = None,
    setups: int | None = None,
    replications: int | None = None,
    frames: tuple[int, int] = FRAMES,
    seed: int = 0,
    force: bool = False,
    zip: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Write a synthetic data set as raw files, named and laid out as its publisher does.

    Every official split of the data set has clips of every action on both sides, and every ugly part of real files
    (README of the folder: `SYNTHETIC.md`) occurs. A clip's content depends on `seed`, `frames` and its name only; of
    PKU-MMD, where several actions share a file, also on `actions`.

    Args:
        dataset: ntu60, ntu120, pku1, pku2 or nw-ucla.
        raw: the folder to make.
        actions: how many classes, spread evenly over the official numbers; in the two-person classes two people meet.
        subjects: how many people; training and test people of the cross-subject split in turns.
        setups: how many camera set-ups (NTU only); ntu120 takes half of them, and of the rest, from NTU-60's numbers.
        replications: how often each person does each action (in PKU-MMD: recordings of each person; in NW-UCLA:
            episodes).
        frames: fewest and most frames of a clip, at 30 a second.
        force: replace `raw` if it was written by this function.
        zip: write the publisher's archives instead of folders of files.
        progress: called with (files written, files in all).

    Raises:
        BadInput: an option is out of range, or `raw` is taken or cannot be written.
    """
    find_dataset(dataset)
    asked = {"actions": actions, "subjects": subjects, "setups": setups, "replications": replications}
    options = checked(dataset, asked, frames, seed)
    target = Path(raw)
    if target.is_dir() and any(target.iterdir()) and not (target / MARKER).is_file():
        raise BadInput(target, "holds other files than synthetic recordings", "choose another path")
    plan = plan_files(dataset, options, frames, seed)
    settings = {"dataset": dataset, **options, "frames": list(frames), "seed": seed, "zip": zip}
    told = ", ".join(f"{count} {name}" for name, count in options.items())
    kind = "archives" if zip else "files"
    log.info("%s: %s; %d to %d frames, seed %d; %d %s", dataset, told, *frames, seed, plan.files, kind)
    size = 0
    with new_folder(target, "raw", force=force, settings=settings) as scratch, ExitStack() as archives:
        (scratch / MARKER).write_text(_statement(dataset, settings), encoding="utf-8")
        put = zipped(scratch, archives) if zip else plain(scratch)
        for done, file in enumerate(plan.content, 1):
            put(file)
            size += len(file.content)
            if progress:
                progress(done, plan.files)
    return Summary(plan.files, plan.clips, size)


def _statement(dataset: str, settings: dict[str, Any]) -> str:
    rows = "\n".join(f"- {name}: {value}" for name, value in settings.items())
    return f"""# Synthetic recordings

Nobody was recorded. `skelpipe synth` (skelpipe {__version__}) computed these files in the raw format of
{DATASETS[dataset].title}: a jointed body moves by formula and is seen by three turned cameras. They hold nothing of
the published data set and are under no licence but skelpipe's own. Accuracies on them say nothing about the real one.

{rows}

Ugly on purpose, as real recordings are: frames without a body, bodies that are none, bodies that come and go, change
their id or their order in the file, joints that jump, CRLF line ends, exponents, a missing last line end; in
PKU-MMD's format frames of zeros, a label that passes the end of its sequence and (part II) one that starts at 0; in
NW-UCLA's format, which has one body in every frame, joints that jump, a clip of one frame and joints at the origin.
"""
