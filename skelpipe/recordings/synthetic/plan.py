"""What to write: options within their bounds, and the clips that give every official split both of its sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput
from skelpipe.recordings.datasets import DATASETS, split_masks
from skelpipe.recordings.datasets.ntu import LAST_SETUP_60
from skelpipe.recordings.datasets.pku import VIEWS
from skelpipe.recordings.datasets.ucla import ACTIONS
from skelpipe.recordings.synthetic.ntu import NTUClip, ntu_clip, ntu_people
from skelpipe.recordings.synthetic.packing import File
from skelpipe.recordings.synthetic.pku import PKUVideo, pku_video
from skelpipe.recordings.synthetic.ucla import CAMERAS, UclaClip, ucla_clip, ucla_person


class Plan(NamedTuple):
    """How many files and labelled clips there will be, and the files themselves, made as they are asked for."""

    files: int
    clips: int
    content: Iterator[File]


# Options: smallest, default, largest. An option that is missing has no meaning in that data set.
_RANGES: dict[str, dict[str, tuple[int, int, int]]] = {
    "ntu60": {"actions": (1, 10, 60), "subjects": (2, 12, 40), "setups": (1, 3, 17), "replications": (1, 2, 2)},
    "ntu120": {"actions": (2, 16, 120), "subjects": (4, 16, 106), "setups": (4, 4, 32), "replications": (1, 2, 2)},
    "pku1": {"actions": (1, 10, 51), "subjects": (2, 12, 66), "replications": (1, 2, 4)},
    "pku2": {"actions": (1, 10, 41), "subjects": (2, 12, 13), "replications": (1, 2, 26)},
    "nw-ucla": {"actions": (1, 10, 10), "subjects": (2, 10, 10), "replications": (1, 2, 11)},
}


FRAMES = (40, 80)  # unless others are asked for


def checked(dataset: str, asked: dict[str, int | None], frames: tuple[int, int], seed: int) -> dict[str, int]:
    """The options with defaults filled in; BadInput names the one that is out of range or has no meaning here."""
    ranges, out = _RANGES[dataset], {}
    for name, value in asked.items():
        if name not in ranges:
            if value is not None:
                raise BadInput(f"--{name}", f"{dataset} has no {name}", "leave it out")
            continue
        least, usual, most = ranges[name]
        out[name] = usual if value is None else value
        if not least <= out[name] <= most:
            raise BadInput(f"--{name} {value}", f"is out of range for {dataset}", f"choose {least} to {most}")
    if not 10 <= frames[0] <= frames[1] <= 1000:
        raise BadInput(
            f"--frames {frames[0]} {frames[1]}", "is no range of clip lengths", "choose 10 <= MIN <= MAX <= 1000"
        )
    if seed < 0:
        raise BadInput(f"--seed {seed}", "is negative", "choose 0 or more")
    return out


def plan_files(dataset: str, options: dict[str, int], frames: tuple[int, int], seed: int) -> Plan:
    """The files of a data set; `frames` are the fewest and most of a clip, `options` are those of `checked`."""
    planned = {"ntu60": _plan_ntu, "ntu120": _plan_ntu, "pku1": _plan_pku, "pku2": _plan_pku, "nw-ucla": _plan_ucla}
    return planned[dataset](dataset, options, frames, seed)


def _spread(count: int, first: int, last: int) -> list[int]:
    """`count` numbers spread evenly over first..last, both ends included."""
    return sorted({round(float(x)) for x in np.linspace(first, last, count)})


def _in_turns(train: npt.NDArray[np.bool_], ids: Sequence[int]) -> list[int]:
    """Training and test ids in turns; what is left over at the end."""
    one, two = ([i for i, t in zip(ids, train.tolist(), strict=True) if t is side] for side in (True, False))
    both = min(len(one), len(two))
    return [i for pair in zip(one, two, strict=False) for i in pair] + one[both:] + two[both:]


def _trains(split: str, dataset: str, **columns: Sequence[Any]) -> npt.NDArray[np.bool_]:
    """Which of some imagined clips the official split trains on."""
    count = len(next(iter(columns.values())))
    every = {name: np.ones(count, dtype=np.int32) for name in DATASETS[dataset].columns}
    return split_masks(split, dataset, every | {k: np.asarray(v) for k, v in columns.items()}, None)[0]


def _ntu_halves(dataset: str, options: dict[str, int]) -> list[tuple[list[int], list[int], list[int]]]:
    """Actions, subjects and setups: NTU-60's numbers, and for ntu120 those that NTU-120 added."""
    people = list(range(1, 41 if dataset == "ntu60" else 107))
    train = _trains("xsub120" if dataset == "ntu120" else "xsub60", dataset, subject=people)
    subjects = _in_turns(train[:40], people[:40])
    actions, count, setups = options["actions"], options["subjects"], options["setups"]
    if dataset == "ntu60":
        return [(_spread(actions, 1, 60), subjects[:count], list(range(1, setups + 1)))]
    more, old, early = (
        _in_turns(train[40:], people[40:]),
        min(40, count // 2),
        max(setups // 2, setups - 15),
    )  # 18 to 32 are 15
    first = (_spread(actions - actions // 2, 1, 60), subjects[:old], list(range(1, early + 1)))
    second = (
        _spread(actions // 2, 61, 120),
        more[: count - old],
        list(range(LAST_SETUP_60 + 1, LAST_SETUP_60 + 1 + setups - early)),
    )
    return [first, second]


def _plan_ntu(dataset: str, options: dict[str, int], frames: tuple[int, int], seed: int) -> Plan:
    takes = []
    for actions, subjects, setups in _ntu_halves(dataset, options):
        # Two neighbours in the list are one training and one test subject: they share a setup, the next two take the
        # next one. So neither split can be read off the other.
        meetings = max(len(subjects), 2 * len(setups))
        where = {(setups[k // 2 % len(setups)], subjects[k % len(subjects)]) for k in range(meetings)}
        times = range(1, options["replications"] + 1)
        takes += [NTUClip(s, 1, p, r, a) for s, p in where for r in times for a in actions]
    return Plan(3 * len(takes), 3 * len(takes), _ntu_files(sorted(takes), frames, seed))


def _ntu_files(takes: list[NTUClip], frames: tuple[int, int], seed: int) -> Iterator[File]:
    for take in takes:
        people = ntu_people(seed, take, frames)
        old = take.setup <= LAST_SETUP_60
        archive = "nturgbd_skeletons_s001_to_s017" if old else "nturgbd_skeletons_s018_to_s032"
        folder = "nturgb+d_skeletons" if old else "nturgb+d_skeletons120"
        for camera in (1, 2, 3):
            clip = take._replace(camera=camera)
            yield File(archive, f"{folder}/{clip.name}.skeleton", ntu_clip(seed, clip, frames, people))


# Folder of the sequences, folder of the labels, the two split files.
_PKU_LAYOUT = {
    "pku1": ("PKU_Skeleton_Renew", "Train_Label_PKU_final", "cross-subject.txt", "cross-view.txt"),
    "pku2": ("skeleton", "label", "cross_subject_v2.txt", "cross_view_v2.txt"),
}


def _plan_pku(dataset: str, options: dict[str, int], frames: tuple[int, int], seed: int) -> Plan:
    actions = tuple(_spread(options["actions"], 1, 51 if dataset == "pku1" else 41))
    names = _pku_names(dataset, options["subjects"], options["replications"])
    first = min(name for name, _, _ in names)
    part = int(dataset[-1])
    videos = [PKUVideo(part, name, p, r, actions, name == first) for name, p, r in sorted(names)]
    clips = 3 * len(videos) * len(actions)
    return Plan(6 * len(videos) + 2, clips, _pku_files(dataset, videos, frames, seed))


def _pku_names(dataset: str, subjects: int, recordings: int) -> list[tuple[str, int, int]]:
    """(name without view, performer, recording); training and test performers in turns."""
    if dataset == "pku2":
        train = _trains("pku2-xsub", dataset, video=[f"A01N{n:02d}-M" for n in range(1, 14)])
        people = _in_turns(train, range(1, 14))[:subjects]
        return [(f"A{a:02d}N{n:02d}", n, a) for n in people for a in range(1, recordings + 1)]
    # Nobody publishes who performs in which video of part I: here four numbers in a row belong to one person.
    train = _trains("pku1-xsub", dataset, video=[f"{i:04d}-M" for i in range(2, 365)])
    ids = np.arange(2, 365)
    begins = ids[:-3][[bool(np.all(train[k : k + 4] == train[k])) for k in range(len(ids) - 3)]]
    begins = begins[begins % 4 == 2]
    people = _in_turns(train[begins - 2], begins.tolist())[:subjects]
    return [(f"{p + r:04d}", p, r) for p in people for r in range(recordings)]


def _pku_files(dataset: str, videos: list[PKUVideo], frames: tuple[int, int], seed: int) -> Iterator[File]:
    skeletons, labels, by_subject, by_view = _PKU_LAYOUT[dataset]
    names = []
    for video in videos:
        for name, sequence, label in pku_video(seed, video, frames):
            names.append(name)
            yield File(skeletons, f"{skeletons}/{name}.txt", sequence)
            yield File(labels, f"{labels}/{name}.txt", label)
    views = [VIEWS.index(name[-1]) + 1 for name in names]
    for split, path in ((f"{dataset}-xsub", by_subject), (f"{dataset}-xview", by_view)):
        train = _trains(split, dataset, video=names, view=views)
        one, two = (", ".join(n for n, t in zip(names, train, strict=True) if t == side) for side in (True, False))
        yield File("", path, f"Training videos: \n{one}\nValidataion videos: \n{two}\n".encode("ascii"))


def _plan_ucla(dataset: str, options: dict[str, int], frames: tuple[int, int], seed: int) -> Plan:
    # Everybody does everything before all three cameras, so the cross-view split has each action on both sides.
    actions = [ACTIONS[k] for k in _spread(options["actions"], 0, len(ACTIONS) - 1)]
    people, episodes = range(1, options["subjects"] + 1), range(options["replications"])
    takes = [UclaClip(a, p, e, 1) for a in actions for p in people for e in episodes]
    return Plan(len(CAMERAS) * len(takes), len(CAMERAS) * len(takes), _ucla_files(takes, frames, seed))


def _ucla_files(takes: list[UclaClip], frames: tuple[int, int], seed: int) -> Iterator[File]:
    for take in takes:
        person = ucla_person(seed, take, frames)
        for camera in CAMERAS:
            clip = take._replace(camera=camera)
            yield File("all_sqe", f"all_sqe/{clip.name}.json", ucla_clip(seed, clip, frames, person))
