"""Raw recordings to stores, and stores to clips."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from skelpipe.api.folders import Clips, PathLike, Store
from skelpipe.api.shown import shown, tell, tell_there
from skelpipe.errors import BadInput
from skelpipe.outputs.again import unless_there

TOLD = 5  # of many


def synth(
    dataset: str,
    raw: PathLike,
    *,
    actions: int | None = None,
    subjects: int | None = None,
    setups: int | None = None,
    replications: int | None = None,
    frames: tuple[int, int] = (40, 80),
    seed: int = 0,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write licence-free raw recordings in a publisher's format, as `skelpipe synth` does.

    Args:
        dataset: ntu60, ntu120, pku1, pku2 or nw-ucla.
        raw: the folder to make.
        actions: how many classes; None: all.
        subjects: how many people; training and test people of the cross-subject split in turns.
        setups: how many camera set-ups, of NTU RGB+D.
        replications: how often each person does each action.
        frames: fewest and most frames of a recording, at 30 a second.
        seed: of what is seen; the same gives the same bytes.
        force: replace `raw` if it was written by this function with other options; the same is given back.
        progress: called with (files written, files in all).

    Returns:
        The folder.

    Raises:
        BadInput: an option is out of range, or `raw` is taken or cannot be written.

    Example:
        >>> raw = sk.synth("ntu60", "toy", actions=2, subjects=2, setups=1, replications=1, frames=(10, 12))
        >>> any(raw.rglob("*.skeleton"))
        True
    """
    from skelpipe.recordings.synthetic import write_raw

    sizes: Any = {"actions": actions, "subjects": subjects, "setups": setups, "replications": replications}
    with unless_there() as answer:
        write_raw(dataset, raw, frames=frames, seed=seed, force=force, progress=progress, **sizes)
    tell_there(answer, raw)
    return Path(raw)


def ingest(
    dataset: str | PathLike, raw: PathLike | None = None, store: PathLike | None = None, *,
    layout: PathLike | None = None, labels: PathLike | None = None,
    class_names: PathLike | Sequence[str] | None = None, names: str | None = None,
    name: str | None = None, unit: str | None = None, up: str | None = None,
    image: str | Sequence[int] | None = None, fps: float | None = None, workers: int | None = None,
    keep_missing: bool = False, strict: bool = False, force: bool = False,
    progress: bool | Callable[[int, int, int], object] | None = None,
) -> Store:  # fmt: skip
    """Read raw recordings into a store that keeps everything, as `skelpipe ingest` does.

    Args:
        dataset: one of `list_datasets()`; "poses" for recordings of one's own, in any format; or the path of a YAML
            that describes them.
        raw: a folder, which is searched to its depth, or an archive. It may be left out where a YAML names it.
        store: the folder to make; it stands last, `ingest("gym.yaml", "gym.zarr")`.
        layout: of poses, their joints: a name or the path of a YAML.
        labels: of poses, a table of labels and what else is known, by the names of recordings.
        class_names: of poses, the names of the classes, in order, or a file with one a line.
        names: of poses, a pattern that their names follow, as "a{label}_s{subject}".
        name: of poses, what the data set is called.
        unit: of poses: m, cm, mm, inch or foot; pixel or normalised in a picture.
        up: of poses, the axis that is up: y, -y, z, -z, x or -x.
        image: of poses, the size of the picture in pixels, "1920x1080".
        fps: of poses, frames per second.
        workers: parser processes; 0 parses in this process, None takes one for each core if there is enough to read.
        keep_missing: keep clips on the publisher's list of missing skeletons, and those without a body.
        strict: stop at the first file that cannot be read.
        force: replace a store that is there, of other recordings or by other options. One of the same, as far as their
            number and size tell, is given back, which is told: delete the folder to read them once more.
        progress: True shows a line on stderr; or called with (sources done, sources, raw bytes done).

    Returns:
        The store, opened; its `summary` says what was left out and what is to be told of the recordings, and is None
        of one that is given back.

    Raises:
        BadInput: nothing can be read or kept, an option does not fit, or `store` is taken.

    Example:
        >>> store = sk.ingest("ntu60", "raw", "another.zarr", workers=0)
        >>> store.summary.dropped
        {}
    """
    from skelpipe.recordings.ingest import find_recordings

    raw, store = _from_and_to(dataset, raw, store)
    said: dict[str, Any] = {"layout": layout, "labels": labels, "class_names": class_names, "names": names}
    said |= {"name": name, "unit": unit, "up": up, "image": image, "fps": fps}
    kind = find_recordings(os.fspath(dataset), {key: value for key, value in said.items() if value is not None})
    more: Any = {"workers": workers, "keep_missing": keep_missing, "strict": strict, "force": force}
    return _ingest(kind, Path(raw), store, progress=shown(progress, "ingest"), **more)


def _ingest(kind: Any, raw: Path, store: PathLike, *, keep_missing: bool, **more: Any) -> Store:
    """Read what is not there already, and say what is to be told."""
    from skelpipe.recordings.datasets import find_dataset
    from skelpipe.recordings.ingest import count_files, ingest, look_for

    searched = look_for(find_dataset(kind), raw, keep_missing)
    found, made = count_files(*searched), None
    with unless_there(lambda before: found.items() <= before.get("raw", {}).items()) as answer:
        made = ingest(kind, raw, store, keep_missing=keep_missing, searched=searched, **more)
    if answer.there:
        tell_there(answer, store)
        return Store(store)
    assert made is not None
    tell(f"left out: {fault.name}: {fault.reason} ({fault.detail})" for fault in made.faults[:TOLD])
    tell((*made.told, *made.divided))
    return Store(store, made)


def _from_and_to(dataset: str | PathLike, raw: PathLike | None, store: PathLike | None) -> tuple[PathLike, PathLike]:
    """Raw recordings, those that a YAML names where none are given, and the store."""
    from skelpipe.layouts import SUFFIXES
    from skelpipe.recordings.poses.described import read_description

    if store is None:
        raw, store = None, raw
    if store is None:
        raise BadInput("store", "is not given", "name the folder to make")
    if raw is not None:
        return raw, store
    path = Path(dataset)
    named = read_description(path).raw if path.suffix.lower() in SUFFIXES and path.is_file() else None
    if named is None:
        what = "does not say where its recordings are"
        raise BadInput(path, what, "name them: ingest(dataset, raw, store)")
    return named, store


def open_store(path: PathLike) -> Store:
    """Open a store.

    Args:
        path: a folder that `ingest` made.

    Raises:
        BadInput: nothing is there, it is not whole, or of another kind.

    Example:
        >>> store = sk.open_store("store.zarr")
        >>> store.dataset, store.layout.name
        ('ntu60', 'kinect_v2')
    """
    return Store(path)


def prepare(
    store: PathLike,
    clips: PathLike,
    *,
    preset: str = "aimclr",
    steps: Sequence[str] = (),
    frames: int | Literal["native"] | None = None,
    bodies: str | None = None,
    centre: bool | None = None,
    turn: bool | None = None,
    longest: int | Literal["preset"] | None = "preset",
    length: str | None = None,
    threads: int | None = None,
    force: bool = False,
    progress: bool | Callable[[int, int], None] | None = None,
) -> Clips:
    """Make clips from a store, as `skelpipe prepare` does.

    Args:
        store: a store, or its path.
        clips: the folder to make.
        preset: whose preparation: aimclr, isc, ctr, raw, pc or body_axes.
        steps: other steps than the preset's, each "kind=choice", as "align=none".
        frames: T of every clip; "native" lets each keep its own. None: the preset's.
        bodies: which two bodies: "first" seen, those of most "energy", or "denoise". None: the preset's.
        centre: put each body's upper spine at the origin. None: as the preset does.
        turn: turn the shoulders to the camera plane. None: as the preset does.
        longest: only so many frames of a recording are used; None uses all.
        length: where a clip ends: "count", "last" or "all". None: the preset's.
        threads: None takes all cores.
        force: replace clips that are there, of another store or by other options; the same are given back, which is
            told.
        progress: True shows a line on stderr; or called with (clips done, clips in all).

    Returns:
        The clips, opened; their `summary` names those that show nobody, and is None of those that are given back.

    Raises:
        BadInput: the store cannot be read, an option does not fit, most clips show nobody, or `clips` is taken.

    Example:
        >>> clips = sk.prepare("store.zarr", "others.zarr", frames=20, turn=False)
        >>> clips.shape[1:]
        (3, 20, 25, 2)
    """
    from skelpipe.clips.prepare import prepare as run_prepare

    said = {"frames": frames, "bodies": bodies, "centre": centre, "turn": turn, "length": length}
    told: Any = {key: value for key, value in said.items() if value is not None}
    told |= {} if longest == "preset" else {"longest": longest}
    more: Any = {"preset": preset, "steps": steps, "threads": threads, "force": force}
    made = None
    with unless_there() as answer:
        made = run_prepare(store, clips, progress=shown(progress, "prepare"), **more, **told)
    tell_there(answer, clips)
    if made is not None and made.empty:
        tell([f"{len(made.empty):,} clips show nobody: {', '.join(made.empty[:TOLD])}"])
    return Clips(clips, made)


def open_clips(path: PathLike) -> Clips:
    """Open prepared clips.

    Args:
        path: a folder that `prepare` or `skelpipe import` made.

    Raises:
        BadInput: nothing is there, it is not whole, or of another kind.

    Example:
        >>> clips = sk.open_clips("clips.zarr")
        >>> clips[0].shape, clips[:2].shape
        ((3, 12, 25, 2), (2, 3, 12, 25, 2))
    """
    return path if isinstance(path, Clips) else Clips(path)
