"""One page about a set of evaluations: accuracies beside the published ones, curves, confusion, t-SNE, provenance.

The page is built in three steps: `collect` finds evaluation, fusion and run folders; `tabulate` turns them into plain
values (they are `report.json`); a template turns these into HTML, and `_markdown` into Markdown.
"""

from __future__ import annotations

import base64
import difflib
import json
import os
import statistics
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe import __version__, outputs, paper
from skelpipe.errors import BadInput
from skelpipe.fuse import STREAM_ORDER, STREAM_WEIGHTS
from skelpipe.plots import class_names, confusion_figure, curves_figure, png_bytes, tsne_figure
from skelpipe.scores import confusion, read_scores

STREAM_RANK = {name: rank for rank, name in enumerate((*STREAM_ORDER, "3s"))}
RECIPE_RANK = {name: rank for rank, name in enumerate(paper.RECIPES)}
# Settings that do not make another experiment: what the rows name anyway, where it ran and how fast.
SAME_EXPERIMENT = {
    "recipe", "stream", "split", "seed", "epochs", "dataset", "device", "workers", "threads", "clips", "run", "out",
    "recipe_settings", "name",
    "split_files", "half_storage", "compile", "resume", "checkpoint_every", "description", "title", "source",
}  # fmt: skip
TEN = 10
LINES_PER_FIGURE = 8
MOST_MAPS = 6
CLIPS_PER_CLASS = 40


@dataclass(frozen=True)
class Result:
    """One evaluation or fusion folder; `path` as the user gave it, `shown` shortened for the page.

    `settings` is all that is known of how the encoder was trained: the run's settings and, where the run is still
    there, its recipe.
    """

    path: Path
    shown: str
    kind: str
    metrics: dict[str, Any]
    provenance: dict[str, Any]
    settings: dict[str, Any]

    @property
    def recipe(self) -> str:
        return str(self.metrics["recipe"])

    @property
    def split(self) -> str:
        return str(self.metrics["split"])

    @property
    def seed(self) -> int:
        return int(self.metrics["seed"])

    @property
    def epochs(self) -> int:
        return int(self.metrics["epochs"])

    @property
    def stream(self) -> str:
        """The stream; a fusion with other weights than the usual ones says so, as it is another experiment."""
        name, parts = str(self.metrics["stream"]), self.metrics.get("parts") or []
        if all(STREAM_WEIGHTS.get(p["stream"]) == p["weight"] for p in parts):
            return name
        weights = ", ".join(f"{p['stream']} {p['weight']:g}" for p in parts)
        return f"{name} (weights {weights})"


@dataclass(frozen=True)
class Run:
    """One pretraining folder and the lines that it logged."""

    shown: str
    settings: dict[str, Any]
    log: list[dict[str, Any]]


@dataclass
class Found:
    """What `collect` found, and what it had to leave out: (folder, reason)."""

    results: list[Result] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def write_report(
    paths: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    classes: Sequence[int | str] | None = None,
    force: bool = False,
) -> Path:
    """Write a report on all evaluation, fusion and run folders under `paths`.

    Args:
        paths: folders, searched recursively.
        out: the folder to write: `report.html` (self-contained), `report.md` with `figures/`, `report.json`.
        classes: classes for the confusion matrices and t-SNE maps, as numbers from 0 or by name; by default the ten
            with the most test clips.
        force: replace an older report at `out`.

    Returns:
        `out`.

    Raises:
        BadInput: nothing to report on, or an unknown class.
    """
    given, out = [Path(p) for p in paths], Path(out)
    outputs.check_target(out, force)
    found = collect(given)
    if not found.results:
        left = f"; {found.skipped[0][0]}: {found.skipped[0][1]}" if found.skipped else ""
        where = ", ".join(map(str, given)) or "report"
        raise BadInput(where, f"holds no evaluation and no fusion{left}", "run 'skelpipe evaluate' first")
    page = tabulate(found)
    pictures = _pictures(found, classes)
    page["skipped"] = [{"path": path, "reason": reason} for path, reason in found.skipped]
    page["figures"] = [{k: v for k, v in p.items() if k != "png"} for p in pictures]
    inputs = {result.shown: result.path for result in found.results}
    with outputs.new_folder(out, "report", force=force, inputs=inputs, settings={"classes": classes}) as folder:
        (folder / "figures").mkdir()
        for picture in pictures:
            outputs.write_bytes(folder / picture["file"], picture["png"])
        outputs.write_json(folder / "report.json", page)
        outputs.write_bytes(folder / "report.html", _html(page, pictures).encode())
        outputs.write_bytes(folder / "report.md", _markdown(page).encode())
    return out


# ---------------------------------------------------------------------------------------------------------------------
# Finding what is there


def collect(paths: Sequence[Path]) -> Found:
    """Find evaluations, fusions and runs; a folder that is not whole or cannot be read is named, not passed over."""
    found, seen = Found(), set[Path]()
    for given in paths:
        if not given.is_dir():
            raise BadInput(given, "is not a folder", "name folders that hold evaluations")
        for folder in _outputs_under(given):
            if folder.resolve() not in seen:
                seen.add(folder.resolve())
                _take(found, folder, _shown(folder, given, len(paths) > 1))
    for result in list(found.results):  # logs of runs that lie elsewhere
        for value in result.provenance.get("inputs", {}).values():
            run = Path(str(value.get("path", "")))
            if (run / "log.jsonl").is_file() and run.resolve() not in seen:
                seen.add(run.resolve())
                _take(found, run, str(run))
    found.results.sort(
        key=lambda r: (_split_key(r.split), _recipe_key(r.recipe), _stream_key(r.stream), r.epochs, r.seed, r.shown)
    )
    return found


def _outputs_under(given: Path) -> Iterator[Path]:
    for folder, below, names in os.walk(given):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if outputs.DONE in names or outputs.PROVENANCE in names:
            yield Path(folder)
            if "settings.json" not in names:  # only a run may hold evaluations of its own
                below.clear()


def _shown(folder: Path, given: Path, several: bool) -> str:
    below = folder.relative_to(given).as_posix()
    name = given.resolve().name
    return name if below == "." else f"{name}/{below}" if several else below


def _take(found: Found, folder: Path, shown: str) -> None:
    try:
        done = json.loads((folder / outputs.DONE).read_text("utf-8")) if (folder / outputs.DONE).exists() else None
        kind = done["kind"] if done else "run" if (folder / "settings.json").exists() else None
        if kind is None:
            found.skipped.append((shown, "not whole: it has no done.json"))
        elif kind in ("evaluation", "fusion"):
            found.results.append(_read_result(folder, shown, kind))
        elif kind == "run":
            found.runs.append(_read_run(folder, shown))
            if done is None:
                found.skipped.append((shown, "pretraining has not finished; its curves so far are shown"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        found.skipped.append((shown, f"cannot be read ({error})"))


def _read_result(folder: Path, shown: str, kind: str) -> Result:
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    for key in ("recipe", "stream", "split", "dataset"):
        if not isinstance(metrics[key], str):
            raise ValueError(f"metrics.json: {key} is not a string")
    for key in ("seed", "epochs", "classes"):
        if not isinstance(metrics[key], int):
            raise ValueError(f"metrics.json: {key} is not a whole number")
    if not all(isinstance(p, dict) for p in metrics["protocols"].values()):
        raise ValueError("metrics.json: a protocol is not a mapping")
    try:
        made = json.loads((folder / outputs.PROVENANCE).read_text("utf-8"))
    except (OSError, ValueError):
        made = {}
    parts = [Path(str(p["path"])) for p in metrics.get("parts") or []]
    recipes = [_recipe_of(part) for part in parts or [folder]]
    shared = {k: v for k, v in recipes[0].items() if all(r.get(k) == v for r in recipes)}
    settings = {**(metrics.get("run") or {}), **shared}
    return Result(folder, shown, kind, metrics, {**made, "digest": outputs.read_digest(folder)}, settings)


def _recipe_of(evaluation: Path) -> dict[str, Any]:
    """The whole recipe behind an evaluation, {} if the evaluation is no longer where it was."""
    try:
        recipe = json.loads((evaluation / "metrics.json").read_text("utf-8"))["run"]["recipe_settings"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return recipe if isinstance(recipe, dict) else {}


def _read_run(folder: Path, shown: str) -> Run:
    settings = json.loads((folder / "settings.json").read_text("utf-8"))
    log = []
    if (folder / "log.jsonl").exists():
        for line in (folder / "log.jsonl").read_text("utf-8").splitlines():
            try:
                log.append(json.loads(line))
            except ValueError:  # the last line of a run that was killed
                break
    return Run(shown, settings, [line for line in log if isinstance(line, dict)])


# ---------------------------------------------------------------------------------------------------------------------
# The table


def tabulate(found: Found) -> dict[str, Any]:
    """Everything that the page says, as plain values; accuracies as fractions, published ones in percent."""
    variants = _variants(found.results)
    splits = sorted({r.split for r in found.results}, key=_split_key)
    families: dict[str, list[str]] = {}
    for split in splits:
        families.setdefault(_title(split).rsplit(" ", 1)[0], []).append(split)
    sources: list[str] = []
    tables = [_table(title, some, found.results, variants, sources) for title, some in families.items()]
    return {
        "skelpipe": __version__,
        "summary": [line for split in splits for line in _summary(split, found.results, variants)],
        "tables": tables,
        "sources": sources,
        "evaluations": [_evaluation(r, variants[r.path]) for r in found.results],
        "published": {split: _published_rows(split) for split in splits},
        "per_class": _per_class(found.results, variants),
        "warnings": _warnings(found.results, variants),
        "runs": [{"path": r.shown, "settings": r.settings, "epochs_logged": len(r.log)} for r in found.runs],
    }


def _variants(results: Sequence[Result]) -> dict[Path, str]:
    """For every result what sets it apart from others of the same recipe and split: "method.queue_size=4096" or "".

    Seeds are only averaged over equal settings, so two points of a sweep must never share a row.
    """
    groups: dict[tuple[str, str], list[Result]] = {}
    for r in results:
        groups.setdefault((r.recipe, r.split), []).append(r)
    found: dict[Path, str] = {}
    for group in groups.values():
        flat = [dict(_flatten(r.settings)) for r in group]
        # A setting that only some folders mention (a fusion keeps what its parts share) tells nothing.
        varying = [
            key
            for key in sorted({k for f in flat for k in f})
            if len({json.dumps(f[key], sort_keys=True) for f in flat if key in f}) > 1
        ]
        for r, settings in zip(group, flat, strict=True):
            found[r.path] = ", ".join(f"{key}={settings[key]}" for key in varying if key in settings)
    return found


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if not prefix and (key in SAME_EXPERIMENT or key.endswith(("path", "digest", "version"))):
            continue
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _table(
    title: str, splits: Sequence[str], results: Sequence[Result], variants: Mapping[Path, str], sources: list[str]
) -> dict[str, Any]:
    mine = [r for r in results if r.split in splits]
    columns = {split: _columns([r for r in mine if r.split == split]) for split in splits}
    groups = sorted({(r.epochs == 0, _recipe_key(r.recipe), -r.epochs, variants[r.path]) for r in mine})
    metrics = {split: [r.metrics for r in mine if r.split == split] for split in splits}
    rows: list[dict[str, Any]] = []
    missing: list[str] = []
    for untrained, recipe_key, epochs, variant in groups:
        recipe = recipe_key[1]
        own = [r for r in mine if (r.recipe, r.epochs, variants[r.path]) == (recipe, -epochs, variant)]
        label = _recipe_label(recipe, -epochs, variant)
        streams = {r.stream for r in own}
        if not untrained and not variant:
            streams |= {s for s in paper.STREAMS if any(paper.figures(recipe, s, split) for split in splits)}
        made = []
        for stream in sorted(streams, key=_stream_key):
            of_stream = [r for r in own if r.stream == stream]
            cells = {s: _cells([r for r in of_stream if r.split == s], columns[s]) for s in splits}
            published = {
                s: _published(recipe, stream, s, -epochs, of_stream, cells[s], sources, metrics[s]) for s in splits
            }
            made.append({"stream": stream, "cells": cells, "published": published, "run": bool(of_stream)})
        if not untrained:
            missing += _missing(label, splits, own)
        rows.append({"label": label, "recipe": recipe, "epochs": -epochs, "variant": variant, "untrained": untrained,
                     "streams": made})  # fmt: skip
    return {
        "title": title,
        "splits": [
            {"split": s, "title": _title(s), "columns": columns[s], **_split_facts([r for r in mine if r.split == s])}
            for s in splits
        ],
        "groups": rows,
        "missing": missing,
    }


def _columns(results: Sequence[Result]) -> list[dict[str, str]]:
    """The protocols that the results of one split hold, each with its key and title; linear first."""
    labels = {_column(name, p) for r in results for name, p in r.metrics["protocols"].items() if _value(p) is not None}
    rank = {"linear": 0, "1-NN": 2}
    ordered = sorted(labels, key=lambda c: (rank.get(c, 1 if c.startswith("linear") else 3), c))
    return [{"key": label, "title": label} for label in ordered]


def _column(name: str, protocol: Mapping[str, Any]) -> str:
    """What the column of a protocol is called; other settings of a protocol make another column."""
    if name == "knn":
        k = protocol.get("k", 1)
        return "1-NN" if k == 1 else f"kNN, k = {k}"
    probe = protocol.get("probe")
    return f"{name} ({probe})" if probe not in (None, "reference") else name


def _value(protocol: Mapping[str, Any]) -> float | None:
    for key in ("top1", "map"):
        value = protocol.get(key)
        if isinstance(value, int | float) and np.isfinite(value):
            return float(value)
    return None


def _cells(results: Sequence[Result], columns: Sequence[Mapping[str, str]]) -> dict[str, dict[str, Any]]:
    """Column -> mean, std over the seeds (divisor n - 1), n, seeds; of a seed the newest evaluation counts."""
    cells: dict[str, dict[str, Any]] = {}
    for column in (c["key"] for c in columns):
        by_seed: dict[int, float] = {}
        older = 0
        for r in sorted(results, key=lambda r: str(r.provenance.get("finished", ""))):
            for name, p in r.metrics["protocols"].items():
                value = _value(p)
                if value is not None and _column(name, p) == column:
                    older += r.seed in by_seed
                    by_seed[r.seed] = value
        if by_seed:
            values = [by_seed[s] for s in sorted(by_seed)]
            cells[column] = {
                "mean": statistics.fmean(values),
                "std": statistics.stdev(values) if len(values) > 1 else None,
                "n": len(values),
                "seeds": sorted(by_seed),
                "values": values,
                **({"older_left_out": older} if older else {}),
            }
    return cells


def _published(
    recipe: str, stream: str, split: str, epochs: int, results: Sequence[Result],
    cells: Mapping[str, Mapping[str, Any]], sources: list[str], others: Sequence[Mapping[str, Any]],
) -> dict[str, Any] | None:  # fmt: skip
    """The published figure, its source's number, and our difference in points where the clips are the benchmark's."""
    if results and epochs == 0:
        return None
    found = paper.figures(recipe, stream, split, epochs=epochs) or paper.figures(
        recipe, stream, split, protocol="supervised"
    )
    if not found:
        return None
    if found[0].source not in sources:
        sources.append(found[0].source)
    mine = next((cell for column, cell in cells.items() if column.startswith("linear")), None)
    mine = mine or (next(iter(cells.values()), None) if recipe == "stgcn_supervised" else None)
    here = [r.metrics for r in results if r.split == split]
    same = all(paper.comparable(split, m.get("train_clips"), m.get("test_clips")) is not False for m in here or others)
    return {
        "value": found[0].value,
        "source": sources.index(found[0].source) + 1,
        "others": [{"value": f.value, "source": f.source} for f in found[1:]],
        "difference": 100 * mine["mean"] - found[0].value if mine and same else None,
        "comparable": same,
    }


def _split_facts(results: Sequence[Result]) -> dict[str, Any]:
    """Clips used, chance level and whether these are the benchmark's clips, for the results of one split."""
    used = sorted({(r.metrics.get("train_clips"), r.metrics.get("test_clips")) for r in results}, key=str)
    split = results[0].split
    present = [_present(r) for r in results]
    counts = paper.benchmarks().get(split, {}).get("clips")
    return {
        "clips": [{"train": a, "test": b} for a, b in used],
        "benchmark": counts,
        "comparable": all(paper.comparable(split, a, b) is not False for a, b in used),
        "classes": max(present),
        "chance": 1 / max(present),
        "datasets": sorted({str(r.metrics["dataset"]) for r in results}),
    }


def _present(result: Result) -> int:
    """How many classes have test clips: chance is one over that, whatever the classifier's width."""
    if isinstance(stated := result.metrics.get("classes_present"), int) and stated > 0:
        return stated
    counts = [
        sum(v is not None for v in p["per_class"])
        for p in result.metrics["protocols"].values()
        if isinstance(p.get("per_class"), list)
    ]
    return max([*counts, 0]) or max(1, int(result.metrics["classes"]))


def _missing(label: str, splits: Sequence[str], results: Sequence[Result]) -> list[str]:
    lines = []
    for split in splits:
        have = {r.stream for r in results if r.split == split}
        if not have:
            lines.append(f"{label}: nothing on {_title(split)}")
        elif lacking := [s for s in paper.STREAMS if s not in have]:
            lines.append(f"{label}: no {', '.join(lacking)} on {_title(split)}")
    return lines


def _published_rows(split: str) -> list[dict[str, Any]]:
    return [
        {
            "method": row["method"],
            "stream": row["stream"],
            "epochs": row.get("epochs"),
            "value": value,
            "source": source,
        }
        for row, value, source in paper.rows_for(split)
    ]


def _summary(split: str, results: Sequence[Result], variants: Mapping[Path, str]) -> list[dict[str, Any]]:
    """For one split the best trained result, the best untrained one, and chance, all by the first protocol."""
    mine = [r for r in results if r.split == split]
    columns = _columns(mine)
    if not columns:
        return []
    best: dict[bool, tuple[float, Result, dict[str, Any]]] = {}
    for r in mine:
        same = (r.recipe, r.stream, r.epochs, variants[r.path])
        alike = [o for o in mine if (o.recipe, o.stream, o.epochs, variants[o.path]) == same]
        cell = _cells(alike, columns[:1]).get(columns[0]["key"])
        untrained = r.epochs == 0
        if cell and (untrained not in best or cell["mean"] > best[untrained][0]):
            best[untrained] = (cell["mean"], r, cell)
    line: dict[str, Any] = {
        "split": split,
        "title": _title(split),
        "protocol": columns[0]["title"],
        **_split_facts(mine),
    }
    for untrained, (_, r, cell) in best.items():
        name = "untrained" if untrained else "best"
        line[name] = {"label": _recipe_label(r.recipe, r.epochs, variants[r.path]), "stream": r.stream, **cell}
    return [line]


def _evaluation(r: Result, variant: str) -> dict[str, Any]:
    """One folder's own line: every protocol with all its figures, and how it was made."""
    protocols = []
    for name, p in r.metrics["protocols"].items():
        protocols.append(
            {
                "name": _column(name, p),
                "top1": p.get("top1"),
                "top5": p.get("top5"),
                "map": p.get("map"),
                "best_on_validation": p.get("best_on_validation"),
                "best_on_test": p.get("best_on_test"),
            }
        )
    made = r.provenance
    return {
        "path": r.shown,
        "kind": r.kind,
        "label": _recipe_label(r.recipe, r.epochs, variant),
        **{key: r.metrics.get(key) for key in ("recipe", "method", "split", "dataset", "seed", "epochs")},
        **{key: r.metrics.get(key) for key in ("train_clips", "test_clips", "classes", "parts", "left_out")},
        "stream": r.stream,
        "protocols": protocols,
        "settings": r.settings,
        **{
            key: made.get(key)
            for key in ("command", "skelpipe", "python", "libraries", "finished", "seconds", "digest")
        },
    }


def _warnings(results: Sequence[Result], variants: Mapping[Path, str]) -> list[dict[str, Any]]:
    """Equal warnings once, with the folders that gave them; also which results hide behind a newer one."""
    found: dict[tuple[str, str], list[str]] = {}
    same: dict[tuple[Any, ...], list[str]] = {}
    for r in results:
        for name, p in r.metrics["protocols"].items():
            key = (_column(name, p), r.recipe, r.split, r.stream, r.epochs, r.seed, variants[r.path])
            same.setdefault(key, []).append(r.shown)
    for key, where in same.items():
        if len(where) > 1:
            found.setdefault((key[0], "more than one evaluation of the same seed; only the newest counts"), []).extend(
                where
            )
    for r in results:
        for name, p in r.metrics["protocols"].items():
            for text in p.get("warnings") or []:
                found.setdefault((_column(name, p), str(text)), []).append(r.shown)
        for name in r.metrics.get("left_out") or []:
            found.setdefault((name, "not fused: some of the parts lack this protocol"), []).append(r.shown)
    return [{"protocol": protocol, "text": text, "paths": where} for (protocol, text), where in found.items()]


def _per_class(results: Sequence[Result], variants: Mapping[Path, str], most: int = 5) -> list[dict[str, Any]]:
    """The classes recognised best and worst, for the most complete stream of each recipe; means over the seeds."""
    found = []
    for group in _main_results([r for r in results if r.epochs], variants):
        first = group[0]
        name = next((n for n, p in first.metrics["protocols"].items() if p.get("per_class")), None)
        if name is None:
            continue
        lists = [r.metrics["protocols"][name]["per_class"] for r in group if name in r.metrics["protocols"]]
        rows = [each for each in lists if each and len(each) == len(lists[0])]
        means = {
            c: statistics.fmean(values)
            for c in range(len(rows[0]))
            if len(values := [row[c] for row in rows if row[c] is not None]) == len(rows)
        }
        names = class_names(first.metrics["dataset"], int(first.metrics["classes"]))
        ordered = sorted(means, key=lambda c: (-means[c], c))
        half = min(most, len(ordered) // 2)
        found.append(
            {
                "title": _caption(first, variants[first.path]),
                "protocol": _column(name, first.metrics["protocols"][name]),
                "seeds": len(rows),
                "best": [{"class": names[c], "accuracy": means[c]} for c in ordered[:half]],
                "worst": [{"class": names[c], "accuracy": means[c]} for c in ordered[::-1][:half]],
            }
        )
    return found


def _main_results(results: Sequence[Result], variants: Mapping[Path, str]) -> list[list[Result]]:
    """For every recipe and split the results (all seeds) of the fused stream, or of the first that there is."""
    groups: dict[tuple[Any, ...], list[Result]] = {}
    for r in results:
        groups.setdefault(
            (_split_key(r.split), r.epochs == 0, _recipe_key(r.recipe), -r.epochs, variants[r.path]), []
        ).append(r)
    chosen = []
    for key in sorted(groups):
        group = groups[key]
        fused = [r for r in group if r.kind == "fusion"]
        stream = min(
            {r.stream for r in fused or group}, key=lambda s: (-len(s.split("+")) if fused else 0, _stream_key(s))
        )
        chosen.append(sorted((r for r in group if r.stream == stream), key=lambda r: r.seed))
    return chosen


# ---------------------------------------------------------------------------------------------------------------------
# Pictures


def _pictures(found: Found, classes: Sequence[int | str] | None) -> list[dict[str, Any]]:
    """Every figure: section, file, caption, alternative text, and the PNG."""
    variants = _variants(found.results)
    made = [
        *_curve_pictures(found.runs),
        *_confusion_pictures(found, variants, classes),
        *_maps(found, variants, classes),
    ]
    for number, picture in enumerate(made, start=1):
        picture["file"] = f"figures/{picture['section']}_{number:02d}.png"
    return made


def _curve_pictures(runs: Sequence[Run]) -> Iterator[dict[str, Any]]:
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if run.log:
            groups.setdefault(str(run.settings.get("split", "")), []).append(run)
    for split, group in sorted(groups.items(), key=lambda item: _split_key(item[0])):
        group.sort(
            key=lambda r: (
                _recipe_key(str(r.settings.get("recipe"))),
                _stream_key(str(r.settings.get("stream"))),
                r.shown,
            )
        )
        for start in range(0, len(group), LINES_PER_FIGURE):
            logs: dict[str, list[dict[str, Any]]] = {}
            for run in group[start : start + LINES_PER_FIGURE]:
                s = run.settings
                label = f"{_recipe_name(str(s.get('recipe')))}, {s.get('stream')}, seed {s.get('seed')}"
                logs[label if label not in logs else f"{label} ({run.shown})"] = run.log
            caption = f"{_title(split)}: what pretraining logged, epoch by epoch, of {len(logs)} run(s)"
            yield {"section": "curves", "caption": caption, "png": png_bytes(curves_figure(logs))}


def _confusion_pictures(
    found: Found, variants: Mapping[Path, str], classes: Sequence[int | str] | None
) -> Iterator[dict[str, Any]]:
    trained = [r for r in found.results if r.epochs]
    for group in _main_results(trained or found.results, variants):
        first = group[0]
        try:
            names, labels, scores = read_scores(first.path / "scores.npz")
        except BadInput as problem:
            found.skipped.append((f"{first.shown}/scores.npz", problem.what))
            continue
        protocol = next(iter(scores), None)
        if protocol is None or not len(names):
            continue
        titles = class_names(first.metrics["dataset"], scores[protocol].shape[1])
        ten = _ten_classes(labels, titles, classes)
        matrix = confusion(scores[protocol], labels, len(titles))
        what = _column(protocol, first.metrics["protocols"].get(protocol, {}))
        which = "the classes asked for" if classes else f"the {len(ten)} classes with the most test clips"
        head = f"{_caption(first, variants[first.path])}, seed {first.seed}, {what}"
        caption = f"{head}: {which}; percent of each label's clips"
        figure = confusion_figure(matrix, titles, "", classes=ten)
        yield {"section": "confusion", "caption": caption, "png": png_bytes(figure)}


def _maps(found: Found, variants: Mapping[Path, str], classes: Sequence[int | str] | None) -> Iterator[dict[str, Any]]:
    """t-SNE maps of single streams' features (a fusion has none): the joint stream where there is one."""
    single = [r for r in found.results if (r.path / "features.npz").is_file()]
    groups = [group[0] for group in _main_results(single, variants)]
    if len(groups) > MOST_MAPS:
        found.skipped.append((f"{len(groups) - MOST_MAPS} t-SNE map(s)", f"only the first {MOST_MAPS} are drawn"))
    for result in groups[:MOST_MAPS]:
        try:
            with np.load(result.path / "features.npz", allow_pickle=False) as stored:
                test = ~stored["train"].astype(bool)
                names, labels, features = (stored[k][test] for k in ("name", "label", "feature"))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            found.skipped.append((f"{result.shown}/features.npz", f"cannot be read ({error})"))
            continue
        titles = class_names(
            result.metrics["dataset"], max(int(result.metrics["classes"]), int(labels.max(initial=0)) + 1)
        )
        ten = _ten_classes(labels, titles, classes)
        rows = _some_of_each(names, labels, ten)
        if len(rows) < 2 * len(ten):
            continue
        caption = (
            f"{features.shape[1]}-d encoder features of test clips, at most {CLIPS_PER_CLASS} a class;\n"
            f"{_caption(result, variants[result.path])}, seed {result.seed}"
        )
        figure = tsne_figure(features[rows], labels[rows], {c: titles[c] for c in ten}, caption)
        text = (
            f"{caption.replace(chr(10), ' ')}: {len(rows)} clips of {len(ten)} classes, t-SNE on unit-length features"
        )
        yield {"section": "tsne", "caption": text, "png": png_bytes(figure)}


def _ten_classes(labels: npt.NDArray[np.int64], titles: Sequence[str], asked: Sequence[int | str] | None) -> list[int]:
    """The classes to draw: those asked for, or the ten with the most clips (the lower number first among equals)."""
    if asked:
        return [_find_class(c, titles) for c in asked]
    count = np.bincount(labels, minlength=len(titles))
    largest = np.argsort(-count, kind="stable")[:TEN]
    return sorted(int(c) for c in largest if count[c])


def _find_class(asked: int | str, titles: Sequence[str]) -> int:
    if isinstance(asked, int) or asked.isdecimal():
        if 0 <= int(asked) < len(titles):
            return int(asked)
        raise BadInput(f"class {asked}", "does not exist", f"give a number from 0 to {len(titles) - 1}, or a name")
    lower = [t.lower() for t in titles]
    if asked.lower() in lower:
        return lower.index(asked.lower())
    near = difflib.get_close_matches(asked.lower(), lower, n=1, cutoff=0.3)
    raise BadInput(f"class {asked!r}", "does not exist", f"did you mean {near[0]!r}?" if near else "give its number")


def _some_of_each(names: npt.NDArray[Any], labels: npt.NDArray[Any], classes: Sequence[int]) -> npt.NDArray[np.int64]:
    """Rows of up to CLIPS_PER_CLASS clips per class, drawn with a fixed seed from the clips in order of name."""
    draw = np.random.default_rng(0)
    chosen = []
    for c in classes:
        rows = np.flatnonzero(labels == c)
        rows = rows[np.argsort(names[rows], kind="stable")]
        chosen.append(np.sort(draw.permutation(rows)[:CLIPS_PER_CLASS]))
    return np.concatenate(chosen) if chosen else np.zeros(0, np.int64)


# ---------------------------------------------------------------------------------------------------------------------
# Names


def _title(split: str) -> str:
    known = paper.benchmarks().get(split)
    return str(known["title"]) if known else split


def _split_key(split: str) -> tuple[int, str]:
    order = list(paper.benchmarks())
    return (order.index(split) if split in order else len(order), split)


def _recipe_key(recipe: str) -> tuple[int, str]:
    return (RECIPE_RANK.get(recipe, len(RECIPE_RANK)), recipe)


def _stream_key(stream: str) -> tuple[int, str]:
    return (STREAM_RANK.get(stream, len(STREAM_RANK)), stream)


def _recipe_name(recipe: str) -> str:
    return paper.RECIPES.get(recipe, recipe)


def _recipe_label(recipe: str, epochs: int, variant: str) -> str:
    name = _recipe_name(recipe)
    text = f"{name}, untrained encoder" if epochs == 0 else f"{name}, {epochs} epoch{'s' if epochs != 1 else ''}"
    return f"{text}, {variant}" if variant else text


def _caption(result: Result, variant: str) -> str:
    return f"{_recipe_label(result.recipe, result.epochs, variant)}, {result.stream}, {_title(result.split)}"


# ---------------------------------------------------------------------------------------------------------------------
# The page


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as percent, "—" for none."""
    return "—" if value is None else f"{100 * value:.{digits}f}"


def cell_text(cell: Mapping[str, Any] | None) -> str:
    """Mean and, over several seeds, ± standard deviation and their number, in percent."""
    if not cell:
        return "—"
    if cell["std"] is None:
        return percent(cell["mean"])
    return f"{percent(cell['mean'])} ± {percent(cell['std'])} (n = {cell['n']})"


def published(value: float) -> str:
    """A published figure with as many decimals as it has, at least one."""
    return f"{value:.1f}" if round(value, 1) == value else f"{value:g}"


def points(value: float | None) -> str:
    """A difference in percentage points, with its sign; "—" for none."""
    return "—" if value is None else f"{value:+.1f}".replace("-", "−")


def _html(page: Mapping[str, Any], pictures: Sequence[Mapping[str, Any]]) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(percent=percent, published=published, points=points)
    template = environment.from_string(files("skelpipe").joinpath("report.html.j2").read_text("utf-8"))
    shown = [{**p, "data": base64.b64encode(p["png"]).decode()} for p in pictures]
    return template.render(page=page, pictures=shown)


def _markdown(page: Mapping[str, Any]) -> str:
    lines = ["# Skeleton action recognition: report", "", "Top-1 accuracies in percent."]
    for line in page["summary"]:
        lines += ["", f"- {md(summary_text(line))}"]
    for table in page["tables"]:
        lines += ["", f"## {md(table['title'])}", "", *_markdown_table(table)]
        lines += ["", *(f"- missing: {md(m)}" for m in table["missing"])]
    if page["sources"]:
        lines += ["", "Published figures:", ""]
        lines += [f"{i}. {md(source)}" for i, source in enumerate(page["sources"], start=1)]
    if page["warnings"]:
        lines += ["", "## Warnings", ""]
        lines += [f"- {md(w['protocol'])}: {md(w['text'])} ({md(', '.join(w['paths']))})" for w in page["warnings"]]
    if page["skipped"]:
        lines += ["", "## Left out", "", *(f"- {md(s['path'])}: {md(s['reason'])}" for s in page["skipped"])]
    if page["figures"]:
        lines += ["", "## Figures"]
        lines += [t for f in page["figures"] for t in ("", f"![{md(f['caption'])}]({f['file']})", "", md(f["caption"]))]
    lines += ["", "## Every evaluation", "", *_markdown_evaluations(page["evaluations"])]
    return "\n".join(lines) + "\n"


def summary_text(line: Mapping[str, Any]) -> str:
    """One sentence on a split: the best result, the untrained encoder, chance."""
    parts = []
    if "best" in line:
        parts.append(
            f"best {line['protocol']} {cell_text(line['best'])} ({line['best']['label']}, {line['best']['stream']})"
        )
    if "untrained" in line:
        parts.append(f"untrained encoder {cell_text(line['untrained'])} ({line['untrained']['stream']})")
    parts.append(f"chance {percent(line['chance'])} ({line['classes']} classes)")
    return f"{line['title']}: {'; '.join(parts)}"


def clips_text(split: Mapping[str, Any]) -> str:
    """How many clips the results of a split used, and how many the benchmark holds."""
    used = "; ".join(f"{_count(c['train'])} training and {_count(c['test'])} test clips" for c in split["clips"])
    if split["comparable"] or not split["benchmark"]:
        return used
    full = split["benchmark"]
    return f"{used}, not the benchmark's {full['train']:,} and {full['test']:,}: no target for the published figures"


def _count(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _markdown_table(table: Mapping[str, Any]) -> list[str]:
    head, notes = ["recipe", "stream"], []
    for split in table["splits"]:
        head += [f"{split['split']} {c['title']}" for c in split["columns"]]
        head += [f"{split['split']} published", "difference"]
        notes.append(f"{split['title']}: {clips_text(split)}; chance {percent(split['chance'])}")
    lines = [_row(head), _row(["---", "---", *["---:"] * (len(head) - 2)])]
    for group in table["groups"]:
        for entry in group["streams"]:
            cells = [group["label"], entry["stream"]]
            for split in table["splits"]:
                of_split, figure = entry["cells"][split["split"]], entry["published"][split["split"]]
                cells += [cell_text(of_split.get(c["key"])) for c in split["columns"]]
                cells += ["not known" if not group["untrained"] else "—", "—"] if figure is None else [
                    f"{published(figure['value'])} [{figure['source']}]", points(figure["difference"])
                ]  # fmt: skip
            lines.append(_row(cells))
    return [*lines, "", *(md(note) + "  " for note in notes)]


def _markdown_evaluations(evaluations: Sequence[Mapping[str, Any]]) -> list[str]:
    tested = any(p["best_on_test"] for e in evaluations for p in e["protocols"])
    head = ["folder", "recipe", "stream", "split", "seed", "protocol", "top-1", "top-5", "best on validation"]
    lines = [_row([*head, *(["best on test (selected on the test set)"] if tested else [])])]
    lines.append(_row(["---"] * len(head) + (["---"] if tested else [])))
    for e in evaluations:
        for p in e["protocols"]:
            row = [e["path"], e["label"], e["stream"], e["split"], str(e["seed"]), p["name"], percent(p["top1"])]
            row += [percent(p["top5"]), best_text(p["best_on_validation"])]
            lines.append(_row([*row, *([best_text(p["best_on_test"])] if tested else [])]))
    return lines


def best_text(best: Mapping[str, Any] | None) -> str:
    """Accuracy and epoch of a selected epoch; "—" for none."""
    return "—" if not best else f"{percent(best.get('top1'))} at epoch {best.get('epoch')}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(md(cell) for cell in cells) + " |"


def md(text: str) -> str:
    """Text that Markdown shows as it is: no HTML, table or emphasis marks from names."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", " ")
    return "".join("\\" + c if c in "\\`*_[]|" else c for c in text)
