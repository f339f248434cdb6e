"""A model card for each trained encoder: what it is, what it learnt from, how good it is, and what it is not good for.

After Mitchell et al., Model Cards for Model Reporting, FAT* 2019, as far as what was recorded tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from skelpipe import paper
from skelpipe.errors import BadInput
from skelpipe.paper.systems import SYSTEMS
from skelpipe.recordings.datasets import dataset_of
from skelpipe.report.cells import cells_of, columns_of
from skelpipe.report.collect import Found, Result
from skelpipe.report.experiments import Catalogue
from skelpipe.report.labels import recipe_name, split_title
from skelpipe.report.sure import interval_of, why_none
from skelpipe.report.texts import interval_text, md, percent, row_text

Fact = tuple[str, str]
SYNTHETIC = (
    "Synthetic recordings, which are under no licence but skelpipe's own. Accuracies on them say nothing about those "
    "on the real data set."
)
TERMS = (
    "That of the publisher of {title}, agreed to when the recordings were obtained. Neither recordings nor pictures of "
    "them are part of this model; whether its weights may be passed on is for those terms to say."
)
OWN_TERMS = "Recordings of one's own: who was recorded decides what may be done with them, and with this model."
LIMITS = (
    "It was measured on clips of the test part alone, as stated above: other persons, cameras, rooms, frame rates and "
    "ways to estimate joints may be recognised much worse.",
    "It knows only the classes that it was evaluated on: whatever else is done is taken for one of them, or refused.",
    "Features of how persons move may tell who they are; it is no means to identify, judge or watch people.",
)


def find_cards(found: Found, catalogue: Catalogue) -> list[dict[str, Any]]:
    """The cards of all runs that were evaluated, in the order of the page.

    Returns:
        Of each {file, title, sections, results, load}: a section {title, facts, texts}; results {columns, rows}.
    """
    groups: dict[str, list[Result]] = {}
    for r in found.results:
        if r.epochs and r.kind == "evaluation":
            groups.setdefault(run_of(r), []).append(r)
    cards, taken = [], set[str]()
    for run, results in groups.items():
        card = _card(run, results, found, catalogue)
        number, stem = 1, card["file"]
        while card["file"] in taken:
            number += 1
            card["file"] = f"{stem}-{number}"
        taken.add(card["file"])
        cards.append({**card, "file": f"cards/{card['file']}.md"})
    return cards


def run_of(result: Result) -> str:
    """The run that an evaluation is of, as its provenance tells; else what tells encoders apart."""
    source = _input(result.provenance, "run")
    if source.get("digest"):
        return str(source["digest"])
    if source.get("path"):
        return str(source["path"])
    return f"{result.recipe} {result.stream} {result.metrics['split']} {result.seed} {result.epochs} {result.settings}"


def _input(made: Mapping[str, Any], role: str) -> Mapping[str, Any]:
    inputs = made.get("inputs")
    source = inputs.get(role) if isinstance(inputs, dict) else None
    return source if isinstance(source, dict) else {}


def _history(result: Result) -> Mapping[str, Any]:
    told = result.provenance.get("history")
    return {k: v for k, v in told.items() if isinstance(v, dict)} if isinstance(told, dict) else {}


def _card(run: str, results: Sequence[Result], found: Found, catalogue: Catalogue) -> dict[str, Any]:
    first = results[0]
    name = f"{recipe_name(first.recipe)}, {first.stream}, {split_title(str(first.metrics['split']))}, seed {first.seed}"
    alike = "".join(f", {v}" for v in {catalogue[first].variant.label} if v)
    stem = re.sub(r"[^A-Za-z0-9]+", "-", f"{first.recipe} {first.stream} {first.metrics['split']} s{first.seed}")
    where = str(_input(first.provenance, "run").get("path") or "RUN")
    return {
        "file": stem.strip("-").lower()[:80] or "model",
        "title": name + alike,
        "sections": [
            {"title": "Model", "facts": _model(first), "texts": []},
            {"title": "Learnt from", "facts": _data(first), "texts": []},
            {"title": "How", "facts": _how(run, first), "texts": []},
            {"title": "Limits", "facts": [], "texts": [*LIMITS, *_warnings(results)]},
            {"title": "Licence of the data", "facts": [], "texts": [_licence(first)]},
        ],
        "results": _results(results, found, catalogue),
        "load": [
            "import skelpipe as sk",
            "",
            f"model = sk.load({where!r})",
            "features = model.embed(clips)  # (n, C, T, V, M), prepared as stated above",
        ],
    }


def _model(r: Result) -> list[Fact]:
    recipe = _recipe(r)
    encoder = own if isinstance(own := recipe.get("encoder"), dict) else {}
    shape = ", ".join(f"{k} {v}" for k, v in encoder.items() if k != "name" and v is not None)
    layout = (r.metrics.get("run") or {}).get("layout") or r.settings.get("layout")
    facts = [
        ("method", recipe_name(r.recipe) + _of(recipe.get("method"), r.metrics.get("method"))),
        ("source", SYSTEMS[r.recipe].source if r.recipe in SYSTEMS else str(recipe.get("source") or "")),
        ("encoder", f"{encoder.get('name', '')}{f' ({shape})' if shape else ''}"),
        ("input", f"stream {r.stream}" + (f", layout {layout}" if layout else "")),
        ("learnt from labels", "yes" if r.metrics.get("method") == "supervised" else "no: pretrained without any"),
    ]
    return [(key, value) for key, value in facts if value]


def _of(method: Any, name: Any) -> str:
    name = method.get("name", name) if isinstance(method, dict) else name
    return f" (method {name})" if isinstance(name, str) else ""


def _recipe(r: Result) -> Mapping[str, Any]:
    run = r.metrics.get("run")
    recipe = run.get("recipe_settings") if isinstance(run, dict) else None
    return recipe if isinstance(recipe, dict) else r.settings


def _data(r: Result) -> list[Fact]:
    run = r.metrics.get("run") or {}
    origin = r.metrics.get("pretrained_on") or {}
    data = str(origin.get("dataset") or r.metrics["dataset"])
    split = str(origin.get("split") or r.metrics["split"])
    prepared = run.get("prepared") or r.metrics.get("prepared") or {}
    frames = run.get("frames")
    clips = run.get("clips") if isinstance(run.get("clips"), int) else r.metrics.get("train_clips")
    facts = [
        ("data set", f"{_title(r)} ({data}){', synthetic recordings in its format' if _synthetic(r) else ''}"),
        ("split", f"{split_title(split)} ({split}), its training part"),
        ("clips", f"{clips:,}" if isinstance(clips, int) else ""),
        ("frames", str(frames or "")),
        ("prepared", ", ".join(f"{k} {v}" for k, v in prepared.items() if k != "frames")),
    ]
    return [(key, value) for key, value in facts if value]


def _how(run: str, r: Result) -> list[Fact]:
    made = _history(r).get(str(_input(r.provenance, "run").get("digest")), {})
    recipe = _recipe(r)
    optimiser = recipe.get("optimizer")
    rates = ", ".join(f"{k} {v}" for k, v in optimiser.items()) if isinstance(optimiser, dict) else ""
    version = made.get("skelpipe") or r.provenance.get("skelpipe")
    libraries = made.get("libraries") or r.provenance.get("libraries") or {}
    sessions = made.get("sessions")
    device = sessions[-1].get("device") if isinstance(sessions, list) and sessions else r.provenance.get("device")
    facts = [
        ("recipe", f"{r.recipe}, {r.epochs} epoch{'s' if r.epochs != 1 else ''}, seed {r.seed}"),
        ("batch", str(recipe.get("batch_size") or "")),
        ("optimiser", rates),
        ("precision", str((r.metrics.get("run") or {}).get("precision") or "")),
        ("device", str(device or "")),
        ("version", f"skelpipe {version or '?'}" + "".join(f", {k} {v}" for k, v in libraries.items())),
        ("command", str(made.get("command") or "")),
        ("run", run[:16] if re.fullmatch(r"[0-9a-f]{64}", run) else ""),
    ]
    return [(key, value) for key, value in facts if value]


def _warnings(results: Iterable[Result]) -> list[str]:
    told = {str(text) for r in results for p in r.protocols.values() for text in p.get("warnings") or []}
    return sorted(told)


def _synthetic(r: Result) -> bool:
    """Whether its clips go back to `skelpipe synth`."""
    return any(
        made.get("kind") == "raw" and str(made.get("command", "")).startswith("skelpipe synth")
        for made in _history(r).values()
    )


def _title(r: Result) -> str:
    try:
        return dataset_of(r.metrics).title
    except BadInput:
        return str(r.metrics["dataset"])


def _licence(r: Result) -> str:
    if _synthetic(r):
        return SYNTHETIC
    published = str(r.metrics["split"]) in paper.benchmarks()
    return TERMS.format(title=_title(r)) if published else OWN_TERMS


def _results(results: Sequence[Result], found: Found, catalogue: Catalogue) -> dict[str, Any]:
    """What this run reached, and, of repetitions with other seeds, their mean."""
    rows = []
    for r in results:
        alike = [x for x in found.results if (catalogue[x], x.split, x.stream) == (catalogue[r], r.split, r.stream)]
        columns = columns_of([r], catalogue)
        own, every = (cells_of(of, columns, catalogue) for of in ([r], alike))
        for c in columns:
            here, there = own[c["key"]], every[c["key"]]
            interval = interval_of({**here, "values": []}) or (interval_of(here) if len(here["values"]) > 1 else None)
            spread = interval_of(there) if there["n"] > here["n"] else None
            seeds = f"{percent(there['mean'])} ± {percent(there['std'])}, n = {there['n']}" if spread else "—"
            told = f"{interval_text(interval)} ({interval['method']})" if interval else why_none(here) or "—"
            over = f"{interval_text(spread)} ({spread['method']})" if spread else "—"
            rows.append([split_title(r.split), c["title"], percent(here["mean"]), told, seeds, over])
    head = ["split", "measured by", "this run", "95 % interval", "mean over seeds", "95 % interval of the mean"]
    return {"columns": head, "rows": rows}


def card_markdown(card: Mapping[str, Any]) -> str:
    """A card as a file of Markdown."""
    lines = [f"# {md(card['title'])}", ""]
    for section in card["sections"]:
        if section["title"] == "Limits":
            lines += _markdown_results(card)
        lines += [f"## {section['title']}", ""]
        lines += [f"- {key}: {md(value)}" for key, value in section["facts"]]
        lines += [f"- {md(text)}" for text in section["texts"]]
        lines.append("")
    return "\n".join([*lines, "## Load it", "", "```python", *card["load"], "```", ""])


def _markdown_results(card: Mapping[str, Any]) -> list[str]:
    table = card["results"]
    rows = [row_text(table["columns"]), row_text(["---", "---", *["---:"] * (len(table["columns"]) - 2)])]
    note = "On the test clips, at the last epoch, in percent; chosen neither by them nor by the interval."
    return ["## Results", "", note, "", *rows, *map(row_text, table["rows"]), ""]
