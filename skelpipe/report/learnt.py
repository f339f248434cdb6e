"""How an encoder has learnt, as its recipe and its log tell: by which positives, and whether it has collapsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skelpipe.paper.systems import SYSTEMS
from skelpipe.report.collect import Result, Run

CROSS_VIEW = "cross_view"  # the set of positives that makes CrosNNCLR of another method


def recipe_of(r: Result) -> Mapping[str, Any]:
    """The recipe that a result's encoder was trained by; what is known of its settings where that is not there."""
    run = r.metrics.get("run")
    recipe = run.get("recipe_settings") if isinstance(run, dict) else None
    return recipe if isinstance(recipe, dict) else r.settings


def options_text(options: Mapping[str, Any]) -> str:
    """A method, or a set of positives, with what it was set to: "cross_view (form equation, top_k 1)"."""
    shown = ", ".join(f"{key} {value}" for key, value in options.items() if key != "name" and value is not None)
    return f"{options.get('name', '')}{f' ({shown})' if shown else ''}"


def never_began(r: Result) -> str:
    """That neighbours never served as positives, where training was too short for them; else ""."""
    recipe = recipe_of(r)
    positives, method = recipe.get("positives"), recipe.get("method")
    if not isinstance(positives, Mapping):
        return ""
    start = positives.get("nn_start_epoch")
    if not isinstance(start, int) or not 0 < r.epochs <= start:
        return ""
    name = str(method.get("name") if isinstance(method, Mapping) else method)
    host = SYSTEMS[name].title if name in SYSTEMS and positives.get("name") == CROSS_VIEW else ""
    plural = "s" if r.epochs > 1 else ""
    told = f"its neighbours never began (nn_start_epoch {start}, {r.epochs} epoch{plural})"
    return told + (f": it is {host}" if host else "")


def logged_last(r: Result, runs: Sequence[Run]) -> list[Mapping[str, Any]]:
    """The last epoch that the runs of a result have logged, of a fusion those of its streams."""
    parts = r.metrics.get("parts") or []
    streams = {str(part.get("stream")) for part in parts} or {str(r.metrics["stream"])}
    own = {"recipe": r.recipe, "seed": r.seed, "epochs": r.epochs}
    own["split"] = (r.metrics.get("pretrained_on") or {}).get("split") or r.metrics["split"]
    return [
        run.log[-1]
        for run in runs
        if run.log
        and str(run.settings.get("stream")) in streams
        and all(run.settings.get(key) == value for key, value in own.items())
        and run.log[-1].get("epoch") == r.epochs
        and _alike(recipe_of(r), run.settings.get("recipe_settings"))
    ]


def _alike(own: Mapping[str, Any], other: Any) -> bool:
    """Whether two recipes agree in what both say; a fusion says what its parts share."""
    return not isinstance(other, Mapping) or all(other[key] == value for key, value in own.items() if key in other)


def has_collapsed(results: Sequence[Result], runs: Sequence[Run]) -> bool:
    """Whether a log, or an evaluation that has read it, says that the embeddings have collapsed."""
    warned = (str(text) for r in results for p in r.protocols.values() for text in p.get("warnings") or [])
    return any("embeddings have collapsed" in text for text in warned) or any(
        entry.get("collapsed") for r in results for entry in logged_last(r, runs)
    )


def similarity(results: Sequence[Result], runs: Sequence[Run]) -> float | None:
    """The mean similarity of queries to other clips, as logged last, of the run where it is highest; None: unknown."""
    values = [entry.get("negative") for r in results for entry in logged_last(r, runs)]
    known = [float(value) for value in values if isinstance(value, int | float)]
    return max(known, default=None)
