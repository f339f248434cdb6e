"""Which results belong together: those of equal settings, whatever their seed."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from skelpipe.methods import METHODS
from skelpipe.paper.systems import SYSTEMS, recipes
from skelpipe.report.collect import Result, Run, data_title
from skelpipe.report.labels import column, recipe_key, recipe_name, setting_label, split_key, split_title, stream_key
from skelpipe.settings import flat

# Settings that do not make another experiment: what the rows name anyway, where it ran and how fast.
SAME_EXPERIMENT = {
    "recipe", "stream", "split", "seed", "epochs", "dataset", "device", "workers", "threads", "clips", "run", "out",
    "recipe_settings", "name", "keep_every",
    "split_files", "split_list", "dataset_table",
    "half_storage", "compile", "resume", "checkpoint_every", "description", "title", "source",
}  # fmt: skip
# Options of a protocol that change how much is measured, not what.
SAME_MEASURE = {"fractions", "draws"}
# Options that a protocol leaves out of what it says while they are at their defaults.
LATER = {"balance": "none"}


@dataclass(frozen=True)
class Variant:
    """The settings that set results apart from others of the same recipe and split; none, mostly.

    Attributes:
        exact: "method.queue_size=4096", or "".
        label: the same for a reader: "queue size 4096".
        settings: key -> value of the settings that vary.
    """

    exact: str = ""
    label: str = field(default="", compare=False)
    settings: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def key(self) -> tuple[Any, ...]:
        """The order of variants: numbers by size."""
        return tuple((key, *_value_key(value)) for key, value in self.settings.items())


@dataclass(frozen=True)
class Experiment:
    """What the results of a group of rows share; seeds are only averaged within one.

    Attributes:
        epochs: of pretraining; 0 is an untrained encoder.
        origin: the split it was pretrained on, where that is not the one evaluated on.
        supervised: whether it has learnt from labels.
    """

    recipe: str
    epochs: int
    origin: str
    variant: Variant
    supervised: bool = field(default=False, compare=False)

    @property
    def untrained(self) -> bool:
        return self.epochs == 0

    @property
    def label(self) -> str:
        name = recipe_name(self.recipe)
        plural = "s" if self.epochs != 1 else ""
        text = f"{name}, untrained encoder" if self.untrained else f"{name}, {self.epochs} epoch{plural}"
        from_elsewhere = f"pretrained on {split_title(self.origin)}" if self.origin else ""
        return ", ".join(part for part in (text, self.variant.label, from_elsewhere) if part)

    @property
    def kind(self) -> str:
        """The protocol that papers tell of such an encoder, and that stands for it."""
        return "transfer" if self.origin else "supervised" if self.supervised else "linear"

    def key(self) -> tuple[Any, ...]:
        """The order of experiments: untrained ones last, published methods first, then origin, variant, length."""
        origin = (bool(self.origin), split_key(self.origin))
        return (self.untrained, recipe_key(self.recipe), origin, self.variant.key(), -self.epochs)


class Catalogue:
    """Which experiment each result belongs to, and in which column each of its figures stands.

    Attributes:
        experiments: by the result's path.
        columns: the column's title by the result's path and the protocol's name; absent where there is no figure.
    """

    def __init__(self, results: Sequence[Result]) -> None:
        variants = set_apart([(r.recipe, r.split, r.origin) for r in results], [r.settings for r in results])
        self.experiments = {
            r.path: Experiment(r.recipe, r.epochs, r.origin, v, is_supervised(r.recipe, r.metrics.get("method")))
            for r, v in zip(results, variants, strict=True)
        }
        each = [(r, name, p) for r in results for name, p in r.protocols.items() if accuracies(name, p)]
        titles = [column(name, p) for _, name, p in each]
        groups = [(r.split, title) for (r, _, _), title in zip(each, titles, strict=True)]
        settings = [{**LATER, **(own if isinstance(own := p.get("settings"), dict) else {})} for _, _, p in each]
        apart = set_apart(groups, settings, SAME_MEASURE)
        self.columns = {
            (r.path, name): f"{title} ({variant.label})" if variant.label else title
            for (r, name, _), title, variant in zip(each, titles, apart, strict=True)
        }

    def __getitem__(self, result: Result) -> Experiment:
        return self.experiments[result.path]

    def figures(self, result: Result) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """A result's protocols that have a figure: (column, name, what metrics.json says of it)."""
        for name, protocol in result.protocols.items():
            if (result.path, name) in self.columns:
                yield self.columns[result.path, name], name, protocol


def is_supervised(recipe: str, method: Any) -> bool:
    """Whether an encoder has learnt from labels; folders may not say the method."""
    learnt = method in METHODS and METHODS[method].SUPERVISED
    return learnt or (recipe in SYSTEMS and SYSTEMS[recipe].protocol == "supervised")


def accuracies(name: str, protocol: Mapping[str, Any]) -> list[float]:
    """The figures of one protocol in one folder: the mean average precision of retrieval, else top-1; one per draw.

    Fractions; none if there is no finite one.
    """
    drawn = protocol.get("draws")
    values = drawn if isinstance(drawn, list) and drawn else [protocol.get("top1")]
    if name == "retrieval" or values == [None]:
        values = [protocol.get("map", protocol.get("top1"))]
    return [float(v) for v in values if isinstance(v, int | float) and math.isfinite(v)]


def in_order(experiments: Iterable[Experiment]) -> list[Experiment]:
    """Longest first; but where there are three lengths or more of the same, they are a series, from the shortest."""
    found = sorted(set(experiments), key=Experiment.key)
    lengths: dict[Any, set[int]] = {}
    for e in found:
        lengths.setdefault(e.key()[:-1], set()).add(e.epochs)
    return sorted(found, key=lambda e: (*e.key()[:-1], e.epochs if len(lengths[e.key()[:-1]]) > 2 else -e.epochs))


def usual_experiments(experiments: Iterable[Experiment]) -> set[Experiment]:
    """Of each recipe those that a figure published for its usual settings and length belongs to.

    Where settings vary, those equal to the shipped recipe's; where lengths do, the recipe's, or else the longest.
    """
    groups: dict[tuple[str, str], list[Experiment]] = {}
    for e in experiments:
        if not e.untrained:
            groups.setdefault((e.recipe, e.origin), []).append(e)
    found: set[Experiment] = set()
    for (recipe, _), members in groups.items():
        if len({e.variant for e in members}) > 1:
            own, _ = shipped_recipe(recipe)
            members = [e for e in members if all(own.get(k, v) == v for k, v in e.variant.settings.items())]
        if len(lengths := {e.epochs for e in members}) > 1:
            _, epochs = shipped_recipe(recipe)
            members = [e for e in members if e.epochs == (epochs if epochs in lengths else max(lengths))]
        found |= set(members)
    return found


@cache
def shipped_recipe(name: str) -> tuple[dict[str, Any], int | None]:
    """The settings of the recipe of that name as it ships, and its epochs; nothing if there is none."""
    from skelpipe.training.recipe import in_full, load_recipe

    if name not in recipes():
        return {}, None
    settings = in_full(load_recipe(name).model_dump(mode="json"))
    return dict(flatten(settings)), settings.get("epochs")


def main_results(results: Sequence[Result], catalogue: Catalogue) -> list[list[Result]]:
    """What stands for each recipe and split: the results (all seeds) of the fused stream, or of the first there is.

    Of several lengths only the usual or the longest, of a sweep only the usual settings, or else the first.
    """
    usual = usual_experiments(catalogue[r] for r in results)
    groups: dict[tuple[Any, ...], list[Result]] = {}
    for r in results:
        e = catalogue[r]
        key = (split_key(r.split), e.untrained, recipe_key(r.recipe), bool(e.origin), split_key(e.origin))
        groups.setdefault(key, []).append(r)
    chosen = []
    for key in sorted(groups):
        for experiment in _main(sorted({catalogue[r] for r in groups[key]}, key=Experiment.key), usual):
            group = [r for r in groups[key] if catalogue[r] == experiment]
            fused = [r for r in group if r.kind == "fusion"]
            streams = {r.stream for r in fused or group}
            stream = min(streams, key=lambda s: (-len(s.split("+")) if fused else 0, stream_key(s)))
            chosen.append(sorted((r for r in group if r.stream == stream), key=lambda r: r.seed))
    return chosen


def _main(experiments: Sequence[Experiment], usual: Collection[Experiment]) -> list[Experiment]:
    by_variant: dict[Variant, list[Experiment]] = {}
    for e in experiments:  # the longest comes first
        by_variant.setdefault(e.variant, []).append(e)
    found = [next((e for e in some if e in usual), some[0]) for some in by_variant.values()]
    return found if len(found) < 3 else [next((e for e in found if e in usual), found[0])]


def caption(result: Result, experiment: Experiment) -> str:
    """One result in words, without its seed."""
    return f"{experiment.label}, {result.stream}, {data_title(result.split, [result])}"


def run_labels(runs: Sequence[Run]) -> list[str]:
    """A label for each run: recipe, stream, what sets it apart, seed; with its folder where that is not enough."""
    from skelpipe.training.recipe import in_full

    settings = [{**r.settings, **in_full(r.settings.get("recipe_settings") or {})} for r in runs]
    groups = [(str(r.settings.get("recipe")), str(r.settings.get("split"))) for r in runs]
    labels: list[str] = []
    for run, variant in zip(runs, set_apart(groups, settings), strict=True):
        s = run.settings
        parts = (recipe_name(str(s.get("recipe"))), str(s.get("stream")), variant.label, f"seed {s.get('seed')}")
        label = ", ".join(part for part in parts if part)
        labels.append(label if label not in labels else f"{label} ({run.shown})")
    return labels


def set_apart(
    groups: Sequence[Hashable], settings: Sequence[Mapping[str, Any]], same: Collection[str] = SAME_EXPERIMENT
) -> list[Variant]:
    """For every item what sets its settings, but for those in `same`, apart from those of the others in its group.

    Seeds are only averaged over equal settings, so two points of a sweep must never share a row.
    """
    told = [dict(flatten(each, same)) for each in settings]
    varying = {group: _varying([f for g, f in zip(groups, told, strict=True) if g == group]) for group in set(groups)}
    found = [{k: own[k] for k in varying[g] if k in own} for g, own in zip(groups, told, strict=True)]
    exact = [", ".join(f"{key}={value}" for key, value in each.items()) for each in found]
    labels = [setting_label(each) for each in found]
    meant: dict[tuple[Hashable, str], set[str]] = {}
    for group, label, full in zip(groups, labels, exact, strict=True):
        meant.setdefault((group, label), set()).add(full)
    unique = [len(meant[each]) == 1 for each in zip(groups, labels, strict=True)]
    return [Variant(e, s if u else e, f) for e, s, u, f in zip(exact, labels, unique, found, strict=True)]


def _varying(members: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings that differ; one that only some mention (a fusion keeps what its parts share) tells nothing."""
    values: dict[str, set[str]] = {}
    for settings in members:
        for key, value in settings.items():
            values.setdefault(key, set()).add(json.dumps(value, sort_keys=True))
    return sorted(key for key, different in values.items() if len(different) > 1)


def flatten(settings: Mapping[str, Any], same: Collection[str] = SAME_EXPERIMENT) -> Iterator[tuple[str, Any]]:
    """Settings as (dotted key, value), without those that do not make another experiment."""
    others = ("path", "digest", "version")
    return flat({key: v for key, v in settings.items() if key not in same and not key.endswith(others)})


def _value_key(value: Any) -> tuple[int, float, str]:
    if isinstance(value, int | float):
        return (0, float(value), "")
    return (1, 0.0, json.dumps(value, sort_keys=True, default=str))
