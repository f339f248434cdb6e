"""The data set of recordings that somebody has: pose files of any format below a folder, in one layout."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from skelpipe.errors import BadInput, shortened
from skelpipe.layouts import find_layout, layout_of
from skelpipe.layouts.base import Layout
from skelpipe.outputs.ancestry import PROVENANCE, read_json
from skelpipe.recordings.datasets.base import Found, Source, accept, unique
from skelpipe.recordings.datasets.files import Vanished, watched
from skelpipe.recordings.datasets.known import DATASETS, dataset_of
from skelpipe.recordings.datasets.own import Own, check_name
from skelpipe.recordings.datasets.recording import DUPLICATE, RATE, READING, UNREADABLE, Dropped, Recording
from skelpipe.recordings.poses.base import Opened, Poses
from skelpipe.recordings.poses.classes import check_class_names, read_class_names
from skelpipe.recordings.poses.fitting import fitted
from skelpipe.recordings.poses.formats import POSE_FORMATS, read_source
from skelpipe.recordings.poses.labels import read_labels
from skelpipe.recordings.poses.naming import Naming
from skelpipe.recordings.poses.rules import check_rules, rules_of
from skelpipe.recordings.poses.searching import Piece, search
from skelpipe.recordings.poses.settling import Entry, settle
from skelpipe.recordings.poses.stated import FASTEST, Stated
from skelpipe.recordings.poses.words import RATES, first_of

log = logging.getLogger(__name__)
NAME = "poses"
LABELS, LIST = "labels", "list"  # roles of files beside the recordings


@dataclass(frozen=True)
class PoseSource(Source):
    """A source, and what is known of its clips.

    Attributes:
        format: key of `POSE_FORMATS`.
        numbers: of its files, where each is a frame.
        clips: name and columns of each clip, in the order of the file; no columns where its name is taken.
    """

    format: str = ""
    numbers: tuple[int, ...] = ()
    clips: tuple[tuple[str, Mapping[str, int | str]], ...] = ()


@dataclass(frozen=True)
class OwnPoses(Own):
    """Recordings that somebody has, in pose files of any format.

    Attributes:
        skeleton: the layout that `layout` names.
        stated: units, axes and rates that were stated.
        labels: the path of a table of labels.
        names: a pattern that tells columns of the names of files.
        given_classes: the names of the classes, if they were given.
        lists: files that are no recordings though they may lie below the raw folder.
        told_splits: as `rules.rules_of` reads them, once the columns are known.
    """

    skeleton: Layout = field(kw_only=True)
    stated: Stated = field(default_factory=Stated, kw_only=True)
    labels: str | None = field(default=None, kw_only=True)
    names_pattern: str | None = field(default=None, kw_only=True)
    given_classes: tuple[str, ...] = field(default=(), kw_only=True)
    lists: tuple[str, ...] = field(default=(), kw_only=True)
    told_splits: Mapping[str, Any] = field(default_factory=dict, kw_only=True, hash=False)

    def find(self, raw: Path, keep_missing: bool = False) -> Found:
        """Search for pose files, and settle names, labels and columns of all clips; see `Dataset.find`.

        Raises:
            BadInput: as `Dataset.find`, or the table of labels or the names of the classes do not fit.
        """
        table = read_labels(Path(self.labels)) if self.labels is not None else None
        naming = Naming(self.names_pattern) if self.names_pattern is not None else None
        lists = [Path(path) for path in (*self.lists, *([self.labels] if self.labels else []))]
        searched = search(raw, lists)
        formats = Counter(piece.format for piece in searched.pieces)
        log.info("pose files, by format: %s", ", ".join(f"{n:,} {each}" for each, n in formats.most_common()) or "none")
        dropped, pieces, entries = searched.dropped, list[tuple[Piece, list[Entry]]](), list[Entry]()
        for piece in sorted(searched.pieces, key=lambda piece: (piece.place, piece.files)):
            try:
                pieces.append((piece, self._survey(piece)))
            except Vanished:
                raise
            except BadInput as error:
                name = piece.files[0].stem if len(piece.files) == 1 else piece.place.rpartition("/")[2]
                dropped.append(Dropped(name, UNREADABLE, str(error), len(piece.files)))
                continue
            entries += pieces[-1][1]
        stated, rates_told = _rate(entries, self.stated)
        settled = settle(entries, table, naming, self.given_classes)
        sources, twice = unique(_sources(pieces))
        made = replace(
            self,
            stated=stated,
            classes=len(settled.classes.names),
            class_names=settled.classes.names,
            columns=("name", "label", *settled.columns),
            text=settled.text,
            group=settled.group,
        )
        made = replace(made, splits={**made.splits, **rules_of(self.told_splits, made)}) if self.told_splits else made
        of_splits = check_rules(made, [(entry.name, entry.ids) for entry in entries])
        told = [*searched.told, *rates_told, *settled.told, *of_splits] if entries else searched.told
        dropped = sorted(dropped + twice, key=lambda entry: (entry.name, entry.detail))
        return Found(sources, dropped, lists=searched.lists, told=told, dataset=made)

    def _survey(self, piece: Piece) -> list[Entry]:
        """What the files of a piece say of their clips."""
        if not POSE_FORMATS[piece.format].labelled or piece.numbers:
            return [Entry(piece.place)]
        with watched():  # their bytes are counted when they are read as recordings
            clips = POSE_FORMATS[piece.format].read(Opened(piece.files[0]), self.skeleton)
        if not clips:
            raise BadInput(piece.files[0].shown, "holds no clip", "remove it, or write it again")
        several = len(clips) > 1
        return [
            Entry(piece.place, clip.name or str(n) if several else "", clip.label, dict(clip.columns))
            for n, clip in enumerate(clips)
        ]

    def read(self, source: Source, keep_missing: bool = False) -> list[Recording | Dropped]:
        """Read the clips of one source; see `Dataset.read`."""
        assert isinstance(source, PoseSource)
        found: list[Recording | Dropped] = []
        clips = self._clips(source)
        if len(clips) != len(source.clips):
            what = f"holds {len(clips)} clips, and held {len(source.clips)} when it was searched"
            raise BadInput(source.files[0].shown, what, "leave it alone, and run the same command again")
        for clip, (name, ids) in zip(clips, source.clips, strict=True):
            where = source.files[0].shown
            if not ids:
                found.append(Dropped(name, DUPLICATE, f"{where} has a clip whose name is taken"))
                continue
            try:
                made = fitted(clip, self.skeleton, self.stated, where)
            except BadInput as error:
                found.append(Dropped(name, UNREADABLE, str(error)))
                continue
            recording = Recording(name, ids, clip.frames, made.joints, made.row_frame, made.row_body, made.told)
            found.append(accept(recording, keep_missing))
        return found

    def _clips(self, source: PoseSource) -> list[Poses]:
        return read_source(source.format, source.files, source.numbers, self.skeleton, source.name)

    def beside(self) -> dict[str, Path]:
        """See `Dataset.beside`."""
        lists = {f"{LIST} {number}": Path(path) for number, path in enumerate(self.lists, 1)}
        return {**({LABELS: Path(self.labels)} if self.labels else {}), **lists}

    def noted(self) -> dict[str, Any]:
        """See `Dataset.noted`; where the files beside the recordings lie is no part of what a store holds."""
        table: dict[str, Any] = {**self.stated.as_table()}
        fps = table.pop(RATE, None)
        table |= {"labels": Path(self.labels).name} if self.labels else {}
        table |= {"names": self.names_pattern} if self.names_pattern else {}
        table |= {"class_names": list(self.given_classes)} if self.given_classes else {}
        return {READING: table, **({RATE: fps} if fps else {})}


def _rate(entries: Sequence[Entry], stated: Stated) -> tuple[Stated, list[str]]:
    """What is stated, with the frames per second that the files tell, which then are no column; what is told of it.

    Rates that differ from file to file are left as a column.
    """
    own = [first_of(entry.columns, RATES) for entry in entries]
    found = {_number(entry.columns[name]) for entry, name in zip(entries, own, strict=True) if name is not None}
    if not found or (stated.fps is None and (len(found) > 1 or None in own or None in found)):
        return stated, []
    for entry, name in zip(entries, own, strict=True):
        entry.columns.pop(name or "", None)
    if stated.fps is None:
        rate = next(iter(found))
        return replace(stated, fps=rate), [f"the files state {rate:g} frames per second"]
    if found != {stated.fps}:
        return stated, [f"--fps {stated.fps:g} goes before other rates that files state"]
    return stated, []


def _number(value: int | str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 < number < FASTEST else None


def _sources(pieces: Sequence[tuple[Piece, list[Entry]]]) -> list[PoseSource]:
    """Sources of settled clips; of two clips of one name the second has no columns."""
    taken: set[str] = set()
    found = []
    for piece, entries in pieces:
        single = len(entries) == 1 and not entries[0].inside
        clips = []
        for entry in entries:
            free = single or entry.name not in taken  # sources of one clip are told apart by `unique`
            taken.add(entry.name)
            clips.append((entry.name, entry.ids if free else {}))
        name = entries[0].name if single else piece.place
        found.append(PoseSource(name, tuple(piece.files), piece.format, tuple(piece.numbers), tuple(clips)))
    return found


def own_poses(
    layout: str | os.PathLike[str],
    *,
    name: str = NAME,
    title: str | None = None,
    labels: str | os.PathLike[str] | None = None,
    class_names: str | os.PathLike[str] | Sequence[str] = (),
    names: str | None = None,
    unit: str | None = None,
    up: str | None = None,
    image: str | Sequence[int] | None = None,
    fps: float | None = None,
    told_splits: Mapping[str, Any] | None = None,
    lists: Sequence[str | os.PathLike[str]] = (),
) -> OwnPoses:
    """The data set of somebody's pose files.

    Args:
        layout: the joints, by name or as the path of a YAML.
        name: of the data set.
        title: in print; the name, if left out.
        labels: a table of labels and columns, joined by the names of recordings.
        class_names: of the classes, in order, or the path of a text with one a line.
        names: a pattern of file names, as a{label}_s{subject}.
        unit, up, image, fps: what is stated of them, as `Stated` has it; `image` also as "1920x1080".
        told_splits: by name, as `rules.rules_of` reads them.
        lists: further files that are no recordings.

    Raises:
        BadInput: a value that is none, or that does not fit the layout.
    """
    skeleton = find_layout(layout)
    stated = Stated.of(skeleton, unit, up, image, fps)
    if names is not None:
        Naming(names)
    from_file = isinstance(class_names, (str, os.PathLike))
    given = read_class_names(Path(class_names)) if from_file else tuple(class_names)  # type: ignore[arg-type]
    given = given if from_file or not given else check_class_names(given, "class_names")
    more = [*map(os.fspath, lists), *([os.fspath(class_names)] if from_file else [])]  # type: ignore[arg-type]
    return OwnPoses(
        name=_free(name),
        title=title or name,
        classes=0,
        clips=0,
        columns=("name", "label"),
        group="name",
        class_names=(),
        layout=os.fspath(layout),
        text=("name",),
        told_splits=told_splits or {},
        skeleton=skeleton,
        stated=stated,
        labels=None if labels is None else os.fspath(labels),
        names_pattern=names,
        given_classes=given,
        lists=tuple(more),
    )


def _free(name: str) -> str:
    """The name, if a data set may be called so and no published one is."""
    if name in DATASETS:
        raise BadInput("--name", f"{name} is a published data set", "give yours a name of its own")
    return check_name(name, "--name")


def poses_of(attributes: Mapping[str, Any], store: str | os.PathLike[str]) -> OwnPoses | None:
    """The data set of a store that was made of pose files, read as it was then; None of another store.

    Args:
        attributes: of the store.
        store: its folder, whose provenance says where its table of labels was.

    Raises:
        BadInput: what the store notes is damaged, or the table is no longer there.
    """
    told = attributes.get(READING)
    own = dataset_of(attributes)
    if told is None or not isinstance(own, Own):
        return None
    try:
        image = tuple(told["image"]) if "image" in told else None
        stated = Stated(told.get("unit"), told.get("up"), image, attributes.get(RATE))
        given = tuple(map(str, told.get("class_names", ())))
        labels, names = told.get(LABELS), told.get("names")
    except (TypeError, KeyError, AttributeError) as error:
        raise BadInput(store, f"its attribute {READING} is damaged ({error})", "ingest it again") from None
    beside = _beside(Path(store))
    if labels is not None and LABELS not in beside:
        what = f"was made with the table {shortened(str(labels), 60)}, which is no longer where it was"
        raise BadInput(store, what, "put it there again, or ingest the recordings again")
    return OwnPoses(
        **{each.name: getattr(own, each.name) for each in fields(own)},
        skeleton=layout_of(attributes),
        stated=stated,
        labels=None if labels is None else str(beside[LABELS]),
        names_pattern=names,
        given_classes=given,
        lists=tuple(str(path) for role, path in beside.items() if role != LABELS),
    )


def _beside(store: Path) -> dict[str, Path]:
    """The files of `OwnPoses.beside` that are still where the provenance of a store, or of its parts, saw them."""
    made = read_json(store / PROVENANCE)
    history = made.get("history")
    found: dict[str, Path] = {}
    for each in [made, *(history.values() if isinstance(history, dict) else ())]:
        inputs = each.get("inputs") if isinstance(each, dict) else None
        for role, source in (inputs if isinstance(inputs, dict) else {}).items():
            if role == LABELS or role.startswith(LIST):
                path = Path(str(each.get("folder")), str(source["path"]))
                found |= {role: path} if path.is_file() else {}
    return found
