"""Finding what there is to report on: evaluation, fusion and run folders."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from skelpipe.errors import BadInput
from skelpipe.evaluation.fuse import CLIPS_APART, ONLY, STREAM_WEIGHTS
from skelpipe.outputs.ancestry import DONE, PROVENANCE, read_json
from skelpipe.outputs.checksums import check_files
from skelpipe.outputs.digests import read_digest
from skelpipe.recordings.datasets.folds import folded
from skelpipe.report.labels import recipe_key, split_key, split_title, stream_key, with_classes
from skelpipe.training.preparation import PREPARED, compare

MEASURED_ON, OWN_CLIPS = "measured_on", "clips like its own"
REMEDY = "delete its folder and make it anew, or report without it"


@dataclass(frozen=True)
class Result:
    """One evaluation or fusion folder; `path` as the user gave it, `shown` shortened for the page.

    `settings` is all that is known of how the encoder was trained: the run's settings and, where the run is still
    there, its recipe. `fold` says of which family of splits its own is a fold, and which one, where there are others.
    """

    path: Path
    shown: str
    kind: str
    metrics: dict[str, Any]
    provenance: dict[str, Any]
    settings: dict[str, Any]
    fold: tuple[str, str] | None = None

    @property
    def recipe(self) -> str:
        return str(self.metrics["recipe"])

    @property
    def split(self) -> str:
        """The split, or the family that it is a fold of; with the classes where these are not all.

        Less classes are another benchmark; folds are repetitions of one, as seeds are.
        """
        split, only = str(self.metrics["split"]) if self.fold is None else self.fold[0], self.metrics.get(ONLY)
        return with_classes(split, only) if only else split

    @property
    def repetition(self) -> tuple[str, int]:
        """What tells it from others whose figures are averaged with its own: fold and seed."""
        return ("" if self.fold is None else self.fold[1], self.seed)

    @property
    def seed(self) -> int:
        return int(self.metrics["seed"])

    @property
    def epochs(self) -> int:
        return int(self.metrics["epochs"])

    @property
    def protocols(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self.metrics["protocols"]
        return found

    @property
    def origin(self) -> str:
        """The split that a trained encoder was pretrained on where it is not the one evaluated on, else ""."""
        run = self.metrics.get("run") or {}
        split = (self.metrics.get("pretrained_on") or run).get("split")
        return split if self.epochs and isinstance(split, str) and split != self.metrics["split"] else ""

    @property
    def synthetic(self) -> bool:
        """Whether some of what it comes from was written by `skelpipe synth`, which alone makes raw files."""
        history = self.provenance.get("history")
        entries = history.values() if isinstance(history, dict) else ()
        return any(isinstance(entry, dict) and entry.get("kind") == "raw" for entry in entries)

    @property
    def stream(self) -> str:
        """The stream; a fusion with other weights than the usual ones says so, as it is another experiment."""
        name, parts = str(self.metrics["stream"]), self.metrics.get("parts") or []
        if all(STREAM_WEIGHTS.get(p["stream"]) == p["weight"] for p in parts):
            return name
        weights = ", ".join(f"{p['stream']} {p['weight']:g}" for p in parts)
        return f"{name} (weights {weights})"


def data_title(split: str, results: Iterable[Result]) -> str:
    """What the data of a split is called: that of synthetic recordings is not the benchmark whose form it has."""
    synthetic = {r.synthetic for r in results}
    title = split_title(split)
    if True not in synthetic:
        return title
    return f"{title} ({'partly synthetic' if False in synthetic else 'synthetic'})"


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


def collect(paths: Sequence[Path]) -> Found:
    """Find evaluations, fusions and runs; a folder that is not whole or cannot be read is named, not passed over.

    Raises:
        BadInput: a path is no folder, or what an output holds was damaged since it was made.
    """
    found, seen = Found(), set[Path]()
    for given in paths:
        if not given.is_dir():
            raise BadInput(given, "is not a folder", "name folders that hold evaluations")
    top = Path(os.path.commonpath([given.resolve() for given in paths])) if paths else Path()
    for given in paths:
        for folder in _outputs_under(given):
            if folder.resolve() not in seen:
                seen.add(folder.resolve())
                _take(found, folder, _shown(folder, top))
    for result in list(found.results):  # logs of runs that lie elsewhere
        for value in result.provenance.get("inputs", {}).values():
            run = Path(str(value.get("path", "")))
            if (run / "log.jsonl").is_file() and run.resolve() not in seen:
                seen.add(run.resolve())
                _take(found, run, str(run))
    folds = folded(str(result.metrics["split"]) for result in found.results)
    found.results = [replace(r, fold=folds.get(str(r.metrics["split"]))) for r in found.results]
    found.results.sort(
        key=lambda r: (split_key(r.split), recipe_key(r.recipe), stream_key(r.stream), r.epochs, *r.repetition, r.shown)
    )
    return found


def _outputs_under(given: Path) -> Iterator[Path]:
    for folder, below, names in os.walk(given):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if DONE in names or PROVENANCE in names:
            yield Path(folder)
            if "settings.json" not in names:  # only a run may hold evaluations of its own
                below.clear()


def _shown(folder: Path, top: Path) -> str:
    """A folder's path below all that was given, which tells the folders apart."""
    whole = Path(os.path.abspath(folder))
    if not whole.is_relative_to(top):  # reached through a link
        whole = folder.resolve()
    below = whole.relative_to(top).as_posix() if whole.is_relative_to(top) else str(folder)
    return top.name if below == "." else below


def _take(found: Found, folder: Path, shown: str) -> None:
    try:
        done = json.loads((folder / DONE).read_text("utf-8")) if (folder / DONE).exists() else None
        kind = done["kind"] if done else "run" if (folder / "settings.json").exists() else None
        if kind is None:
            found.skipped.append((shown, "not whole: it has no done.json"))
        elif kind in ("evaluation", "fusion"):
            check_files(folder, lambda name: name.endswith((".json", ".npz")), REMEDY)
            found.results.append(_read_result(folder, shown, kind))
        elif kind == "run":
            check_files(folder, lambda name: name in ("settings.json", "log.jsonl"), REMEDY)
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
    if not isinstance(metrics.get("pretrained_on") or {}, dict):
        raise ValueError("metrics.json: pretrained_on is not a mapping")
    only = metrics.get(ONLY)
    if only is not None and not (isinstance(only, list) and all(isinstance(number, int) for number in only)):
        raise ValueError(f"metrics.json: {ONLY} is not a list of whole numbers")
    made = read_json(folder / PROVENANCE)
    parts = [Path(str(p["path"])) for p in metrics.get("parts") or []]
    # Parts that are not where they were: the fusion itself keeps what they share.
    recipes = [_recipe_of(part) or _recipe_of(folder) for part in parts or [folder]]
    shared = {k: v for k, v in recipes[0].items() if all(r.get(k) == v for r in recipes)}
    settings = {**(metrics.get("run") or {}), **shared, **_measured_on(metrics)}
    return Result(folder, shown, kind, metrics, {**made, "digest": read_digest(folder)}, settings)


def _measured_on(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Which kind of clips it was that an encoder was measured on, as far as the folder says it.

    One that was measured on others than its own is another experiment.
    """
    if CLIPS_APART in metrics:
        return {MEASURED_ON: "clips that differ from stream to stream"}
    own, here = (metrics.get("run") or {}).get(PREPARED), metrics.get(PREPARED)
    if not isinstance(own, dict) or not isinstance(here, dict):
        return {}
    apart = "; ".join(compare(own, here).differing)
    return {MEASURED_ON: f"clips prepared otherwise ({apart})" if apart else OWN_CLIPS}


def _recipe_of(evaluation: Path) -> dict[str, Any]:
    """The whole recipe behind an evaluation, {} if the evaluation is no longer where it was."""
    from skelpipe.training.recipe import in_full

    try:
        recipe = json.loads((evaluation / "metrics.json").read_text("utf-8"))["run"]["recipe_settings"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return in_full(recipe) if isinstance(recipe, dict) else {}


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
