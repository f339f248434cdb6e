"""The formats of pose files, by name, in the order in which a file is asked: those that are known for certain first.

To add one: a file here with its `Format`, and a line in POSE_FORMATS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.recordings.datasets.files import File
from skelpipe.recordings.poses.base import Format, Opened, Poses
from skelpipe.recordings.poses.formats.arrays import NPY, NPZ
from skelpipe.recordings.poses.formats.frames import FRAMES
from skelpipe.recordings.poses.formats.images import IMAGES, add_image
from skelpipe.recordings.poses.formats.matlab import MATLAB, is_mat4
from skelpipe.recordings.poses.formats.openpose import OPENPOSE, add_openpose
from skelpipe.recordings.poses.formats.parquet import PARQUET
from skelpipe.recordings.poses.formats.pickled import PICKLE
from skelpipe.recordings.poses.formats.skeleton import SKELETON
from skelpipe.recordings.poses.formats.table import TABLE
from skelpipe.recordings.poses.formats.text import TEXT
from skelpipe.recordings.poses.formats.yolo import YOLO, add_yolo
from skelpipe.recordings.poses.people import People

POSE_FORMATS: dict[str, Format] = {
    "npz": NPZ, "npy": NPY, "parquet": PARQUET, "matlab": MATLAB, "pickle": PICKLE, "openpose": OPENPOSE,
    "image": IMAGES, "json": FRAMES, "skeleton": SKELETON, "yolo": YOLO, "text": TEXT, "table": TABLE,
}  # fmt: skip
# Of which one file is a frame, and all of a folder with one name before the number are a clip.
FRAME_FILES: dict[str, Callable[[People, Opened, int], None]] = {
    "openpose": add_openpose, "yolo": add_yolo, "image": add_image,
}  # fmt: skip
IMAGE = "image"  # the one of which a file alone may be a clip, too


def read_source(name: str, files: Sequence[File], numbers: Sequence[int], layout: Layout, where: str) -> list[Poses]:
    """The clips of a source: those of its one file, or the one whose frames its files are.

    Args:
        name: of the format.
        files: of the source.
        numbers: of the files, where each is a frame.
        layout: the joints that are expected.
        where: what to call the source in errors.

    Raises:
        BadInput: a file is damaged, or holds other joints.
    """
    if not numbers:
        return POSE_FORMATS[name].read(Opened(files[0]), layout)
    people = People(layout, where)
    for file, number in zip(files, numbers, strict=True):
        FRAME_FILES[name](people, Opened(file), number)
    return [people.made()]


def format_of(opened: Opened) -> str | None:
    """The name of the format that a file is of; None if it is of none.

    Raises:
        BadInput: it is empty, or called like a file of poses and of no format.
    """
    for name, each in POSE_FORMATS.items():
        if each.sniff(opened):
            return name
    called = [name for name, each in POSE_FORMATS.items() if opened.suffix in each.suffixes]
    if not opened.head and called:
        raise BadInput(opened.where, "is empty", "write the file again")
    if opened.suffix == ".mat" and is_mat4(opened):
        raise BadInput(opened.where, "is a MAT-file of version 4", "save it with -v7")
    if called and opened.suffix not in (".txt", ".csv", ".tsv"):  # which may be anything
        raise BadInput(opened.where, f"is called {opened.suffix}, and is none by its content", "write the file again")
    return None
