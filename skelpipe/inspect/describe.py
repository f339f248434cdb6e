"""What lies in one of our output folders, as tables for a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from skelpipe.errors import BadInput, printable
from skelpipe.inspect.kept import MODELS
from skelpipe.layouts import layout_of
from skelpipe.outputs.ancestry import DONE, PROVENANCE, read_json
from skelpipe.outputs.checksums import FILES, check_files, is_output
from skelpipe.recordings.conventions import Findings, lines
from skelpipe.recordings.conventions.folders import ask_clips, ask_store
from skelpipe.recordings.datasets import Dataset, dataset_of, fitting_splits, split_masks
from skelpipe.recordings.datasets.own import TABLE, UNLABELLED, Own
from skelpipe.recordings.datasets.recording import FAULTS, RATE, READING
from skelpipe.recordings.datasets.rules import dividing, spans
from skelpipe.recordings.store import open_array, open_group, read_array

# Columns of numbers.
RIGHT = ("train", "test", "neither", "how many", "top-1", "95 %", "top-5", "balanced", "macro F1")
FAULTS_SHOWN, SHOWN = 50, 20  # of what was left out for one reason
CLASSES_SHOWN = 4
FEWEST_GROUPS = 5  # as in evaluation.intervals: over fewer persons or videos there is no interval
Facts = Iterable[tuple[str, object]]


def describe(path: str | Path) -> RenderableType:
    """Tables that say what a store, clips, streams, run, evaluation, fusion or report folder holds and how it was made.

    Raises:
        BadInput: there is nothing, or nothing of ours, at `path`.
    """
    path = Path(path)
    if not path.exists():
        raise BadInput(path, "does not exist", "give a folder that skelpipe made")
    if not is_ours(path):
        raise BadInput(
            path, "was not made by skelpipe", "give a store, clips, run, evaluation, fusion or report folder"
        )
    texts = ("settings.json", "metrics.json", "log.jsonl")
    check_files(path, lambda name: name in texts or fnmatch(name, MODELS))
    done = read_json(path / DONE)
    kind = str(done.get("kind") or read_json(path / PROVENANCE).get("kind") or "run")
    files = [file for file in path.rglob("*") if file.is_file()]
    state = kind if done else f"{kind}, not whole: it is being written, or was interrupted"
    facts = [("folder", path), ("kind", state), ("size", _bytes(sum(f.stat().st_size for f in files)))]
    body = BODIES[kind](path) if kind in BODIES and (done or kind == "run") else []
    return Group(_facts("", [*facts, ("digest", done.get("digest"))]), *body, _provenance(path))


def is_ours(path: Path) -> bool:
    """Whether a folder was made by skelpipe, or is in the making."""
    return path.is_dir() and (is_output(path) or (path / "log.jsonl").is_file())


def _store(path: Path, kind: str = "store") -> list[RenderableType]:
    group, about = open_group(path, kind)
    frames = read_array(group, "clip_frames")
    columns = _columns(group, about)
    facts = [
        ("data set", _dataset(about).title),
        ("clips", _of(len(frames), _dataset(about))),
        *_classes(columns["label"]),
        *_known(columns, about),
        ("frames", _spread(frames)),
        ("bodies in frames", f"{about['rows']:,}"),
        *([] if TABLE in about else [("listed as missing", "kept" if about["keep_missing"] else "left out")]),
        *([("read as", ", ".join(_read(about)))] if _read(about) else []),
        *([("files below the raw folder", _raw_files(about["raw_files"]))] if "raw_files" in about else []),
        *_part(about),
    ]
    return [
        _facts("store", facts),
        _conventions(ask_store(group, about), about),
        _splits(columns, about),
        _dropped(group),
    ]


def _clips(path: Path, kind: str = "clips") -> list[RenderableType]:
    group: Any
    group, about = open_group(path, kind)
    columns = _columns(group, about)
    facts = [
        ("data set", _dataset(about).title),
        ("clips", _of(len(columns["name"]), _dataset(about))),
        *_classes(columns["label"]),
        *_known(columns, about),
        ("shape", " x ".join(map(str, open_array(group, "clips").shape))),
        ("recorded frames", _spread(read_array(group, "length"))),
        *((name, about[name]) for name in ("frames", "bodies", "centre", "turn") if name in about),
        *([("valid frames", _spread(read_array(group, "valid")))] if "valid" in group else []),
        *([("preparation", _preparation(about["preparation"]))] if "preparation" in about else []),
        *_part(about),
    ]
    left_out = [_dropped(group)] if "dropped" in group else []
    conventions = _conventions(ask_clips(group, about), about)
    return [_facts("clips", facts), conventions, _splits(columns, about), *_divisions(about), *left_out]


def _read(about: Mapping[str, Any]) -> list[str]:
    """What was stated of recordings of one's own."""
    told = {**(about.get(READING) or {}), **({RATE: about[RATE]} if RATE in about else {})}
    return [f"{name} {value}" for name, value in told.items() if isinstance(value, (str, int, float))]


def _divisions(about: Mapping[str, Any]) -> list[RenderableType]:
    """How the files that were imported divide their clips."""
    table = _table("as the files list them", "division", "train", "test", "neither", "as")
    for name, found in (about.get("divisions") or {}).items():
        counts = (f"{found[side]:,}" for side in ("train", "test", "neither"))
        kept = f"{about['dataset']}-listed" if found.get("kept") else ""
        _row(table, name, *counts, ", ".join([*found["as"], *filter(None, [kept])]) or "no benchmark")
    return [table] if table.row_count else []


def _conventions(found: Findings, about: Mapping[str, Any]) -> RenderableType:
    """What the clips themselves say of axes, unit and origin, and what was converted when they were made."""
    noted = about.get("conventions") or {}
    done = [("converted", each) for each in noted.get("converted") or []]
    labels = [("class numbers", noted["labels"])] if "labels" in noted else []
    told = [("told", each) for each in noted.get("told") or []]
    return _facts("conventions, asked of the clips", [*lines(found, layout_of(about)), *done, *labels, *told])


def _preparation(made: object) -> str:
    """The name of a preset, or the steps."""
    return ", ".join(map(str, made)) if isinstance(made, list) else str(made)


def _raw_files(counts: Mapping[str, int]) -> str:
    told = ", ".join(
        f"{counts.get(name, 0):,} {name.replace('_', ' ')}" for name in ("read", "split_lists", "left_out")
    )
    return f"{sum(counts.values()):,}: {told}"


def _part(about: Mapping[str, Any]) -> list[tuple[str, object]]:
    return [("part", "{number} of {of}".format_map(about["part"]))] if "part" in about else []


def _streams(path: Path) -> list[RenderableType]:
    group: Any
    group, about = open_group(path, "streams")
    arrays = [(name, open_array(group, name)) for name in about["streams"]]
    facts = [(name, f"{' x '.join(map(str, array.shape))} {array.dtype}") for name, array in arrays]
    said = [(name, value) for name, value in about.items() if isinstance(value, (str, int, float))]
    return [_facts("streams", facts), _facts("attributes", said)]


def _run(path: Path) -> list[RenderableType]:
    settings = read_json(path / "settings.json")
    parts: list[RenderableType] = [_facts("settings", _flat(settings))]
    last = _last_line(path / "log.jsonl")
    if last:
        parts.append(_facts(f"last epoch of the log ({settings.get('epochs', '?')} are planned)", last.items()))
    return parts


def _scored(path: Path) -> list[RenderableType]:
    """An evaluation or a fusion."""
    metrics = read_json(path / "metrics.json")
    protocols = metrics.get("protocols")
    facts = [(name, value) for name, value in metrics.items() if name not in ("protocols", "run", "parts")]
    parts: list[RenderableType] = [_facts("what was scored", facts)]
    parts += [_facts("part", _flat(part)) for part in metrics.get("parts") or []]
    table = _table("accuracy", "protocol", "top-1", "95 %", "top-5", "balanced", "macro F1", "remarks")
    for name, result in (protocols if isinstance(protocols, dict) else {}).items():
        remarks = [f"{key.replace('_', ' ')}: {_percent(value.get('top1'))}" for key, value in sorted(result.items())
                   if key.startswith("best_on") and isinstance(value, dict)]  # fmt: skip
        remarks += [str(warning) for warning in result.get("warnings") or []]
        figures = (_percent(result.get(key)) for key in ("top5", "balanced", "macro_f1"))
        _row(table, name, _percent(result.get("top1")), _interval(result.get("interval")), *figures, "; ".join(remarks))
    return [*parts, table, *_models(path)]


def _models(path: Path) -> list[RenderableType]:
    """The classifiers that an evaluation keeps."""
    table = _table("models", "model", "classes", "temperature", "none of these")
    for file in sorted(path.glob(MODELS)):
        facts = read_json(file)
        classes, calibration = facts.get("classes") or [], facts.get("calibration") or {}
        names = ", ".join(map(str, classes[:CLASSES_SHOWN])) + (", …" if len(classes) > CLASSES_SHOWN else "")
        warmth = f"{_number(calibration.get('temperature'))}, {_held_out(calibration)}" if calibration else "-"
        far = f"by distance, {_held_out(facts['distance'])}" if facts.get("distance") else "-"
        _row(table, facts.get("protocol"), f"{len(classes)}: {names}", warmth, far)
    return [table] if table.row_count else []


def _held_out(found: Mapping[str, Any]) -> str:
    """By which clips something was measured."""
    groups, by = found.get("groups"), found.get("by")
    return f"by {found.get('clips')} held-out clips" + ("" if by == "clip" else f" of {groups} {by}s")


def _files(path: Path) -> list[RenderableType]:
    """A report, or anything else: its files."""
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.name not in (DONE, FILES, PROVENANCE))
    shown = [(p.relative_to(path).as_posix(), _bytes(p.stat().st_size)) for p in files[:20]]
    more = [("...", f"and {len(files) - len(shown)} more")] if len(files) > len(shown) else []
    return [_facts("files", [*shown, *more])]


BODIES: dict[str, Callable[[Path], list[RenderableType]]] = {
    "store": _store, "clips": _clips, "streams": _streams, "run": _run,
    "store part": partial(_store, kind="store part"), "clips part": partial(_clips, kind="clips part"),
    "evaluation": _scored, "fusion": _scored, "report": _files, "raw": _files,
}  # fmt: skip


def _provenance(path: Path) -> RenderableType:
    made = read_json(path / PROVENANCE)
    inputs = made.get("inputs")
    facts = [(name, made.get(name)) for name in ("command", "finished", "seconds", "skelpipe", "python")]
    facts += [(name, version) for name, version in _flat(made.get("libraries"))]
    for role, source in (inputs if isinstance(inputs, dict) else {}).items():
        facts.append((f"from {role}", source.get("path") if isinstance(source, dict) else source))
    return _facts("how it was made", [fact for fact in facts if fact[1] is not None])


def _splits(columns: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> RenderableType:
    """How many clips each split that the data set can serve has."""
    table = _table("splits", "split", "train", "test", "neither")
    own = _dataset(about)
    for name in fitting_splits(own, columns):
        train, test = split_masks(name, own, columns, about.get("split_files"))
        listed = " (publisher's list)" if name in (about.get("split_files") or {}) else ""
        _row(table, name + listed, *(f"{part.sum():,}" for part in (train, test, ~(train | test))))
    return table if table.row_count else Text("no split is stated")


def _dropped(group: Any) -> RenderableType:
    """The drop report: how many for each reason, and which these are, of many the first."""
    names, reasons, details = (read_array(group, f"dropped/{name}").tolist() for name in ("name", "reason", "detail"))
    each = read_array(group, "dropped/count").tolist() if "dropped/count" in group else [1] * len(names)
    table = _table("left out", "reason", "how many", "which")
    for reason in sorted(set(reasons)):
        first = [i for i, r in enumerate(reasons) if r == reason]
        count, most = sum(each[i] for i in first), FAULTS_SHOWN if reason in FAULTS else SHOWN
        lines = [_dropped_line(names[i], details[i]) for i in first[:most]]
        lines += [f"… and {len(first) - most:,} more"] if len(first) > most else []
        _row(table, reason, f"{count:,}", Text("\n").join(map(_plain, lines)))
    return table if reasons else Text("nothing was left out")


def _dropped_line(name: str, detail: str) -> str:
    """A name and why it was left out; a file's name once."""
    return detail if detail.startswith(name) else f"{name}: {detail}" if detail else name


def _columns(group: Any, about: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
    return {name: read_array(group, name) for name in about["columns"]}


def _last_line(path: Path) -> dict[str, Any]:
    """The last whole line of a log of JSON objects."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    for line in reversed(lines):
        try:
            value = json.loads(line)
        except ValueError:  # torn by a kill
            continue
        if isinstance(value, dict):
            return value
    return {}


def _flat(value: object, prefix: str = "") -> list[tuple[str, object]]:
    """Nested settings as dotted names."""
    if not isinstance(value, dict):
        return [(prefix, value)] if prefix else []
    return [pair for key, inner in value.items() for pair in _flat(inner, f"{prefix}.{key}" if prefix else str(key))]


def _dataset(about: Mapping[str, Any]) -> Dataset:
    """The data set, or of a package that is no longer there one that has its name."""
    try:
        return dataset_of(about)
    except BadInput:
        name = str(about["dataset"])
        return Own(name, name, 0, 0, tuple(about["columns"]), "name", ())


def _of(clips: int, dataset: Dataset) -> str:
    return f"{clips:,} (the publication has {dataset.clips:,})" if dataset.clips else f"{clips:,}"


def _classes(labels: npt.NDArray[Any]) -> Facts:
    """How many classes there are, and how many clips have none."""
    unlabelled = int((labels == UNLABELLED).sum())
    found = [("classes seen", len(np.unique(labels[labels != UNLABELLED])))]
    return [*found, ("unlabelled", f"{unlabelled:,} clips")] if unlabelled else [*found]


def _known(columns: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any], shown: int = 8) -> Facts:
    """What is known of the clips of a data set that its user describes: the columns that clips are divided by."""
    if TABLE not in about:
        return []
    facts: list[tuple[str, object]] = []
    for name in filter("name".__ne__, dividing(_dataset(about))):
        values = np.unique(columns[name]).tolist()
        few = spans(values[:shown]) if len(values) <= shown or isinstance(values[0], str) else spans(values)
        more = f" and {len(values) - shown:,} more" if isinstance(values[0], str) and len(values) > shown else ""
        facts.append((name, f"{few}{more}"))
    return facts


def _spread(values: npt.NDArray[Any]) -> str:
    if len(values) == 0:
        return "none"
    return f"{values.sum():,} in all, {values.min()} to {values.max()} a clip, median {np.median(values):g}"


def _interval(value: object) -> str:
    if not isinstance(value, dict) or not {"low", "high", "groups", "by"} <= {*value}:
        return "-"
    if value["low"] is None or (isinstance(value["groups"], int) and value["groups"] < FEWEST_GROUPS):
        return f"none: {value['groups']} {value['by']}s"
    low, high = _percent(value["low"]).removesuffix(" %"), _percent(value["high"]).removesuffix(" %")
    return f"{low}-{high}, {value['groups']} {value['by']}s"


def _percent(value: object) -> str:
    return f"{100 * value:.2f} %" if isinstance(value, (int, float)) else "-"


def _number(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, (int, float)) else "-"


def _bytes(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}" if unit != "bytes" else f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def tables(found: Iterable[tuple[str, Facts]]) -> RenderableType:
    """Titles and facts as tables."""
    return Group(*(_facts(title, facts) for title, facts in found))


def _facts(title: str, facts: Facts) -> RenderableType:
    table = Table(title=title or None, title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        _row(table, name, value)
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in RIGHT else "left")
    return table


def _row(table: Table, *cells: object) -> None:
    """Add a row of plain text: what comes from files is neither markup nor control characters for the terminal."""
    table.add_row(*(cell if isinstance(cell, Text) else _plain(cell) for cell in cells))


def _plain(cell: object) -> Text:
    text = f"{cell:.6g}" if isinstance(cell, float) else "" if cell is None else str(cell)
    return Text(printable(text))
