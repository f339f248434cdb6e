"""A model card for each trained encoder: what it is, what it learnt from, how good it is, and what it is not good for.

After Mitchell et al., Model Cards for Model Reporting, FAT* 2019, as far as what was recorded tells.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from skelpipe import paper
from skelpipe.errors import BadInput
from skelpipe.outputs.digests import read_digest
from skelpipe.paper.systems import SYSTEMS, system_of
from skelpipe.recordings.datasets import dataset_of
from skelpipe.report.cells import cells_of, columns_of
from skelpipe.report.collect import Found, Result, data_title
from skelpipe.report.experiments import Catalogue
from skelpipe.report.labels import recipe_name, split_title
from skelpipe.report.learnt import never_began, options_text, recipe_of
from skelpipe.report.motion import places
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
    """The cards of all runs that were evaluated, and then of what was fused of them, in the order of the page.

    Returns:
        Of each {file, title, sections, results, load}: a section {title, facts, texts}; results {columns, rows}.
    """
    groups: dict[str, list[Result]] = {}
    for r in found.results:
        if r.epochs and r.kind == "evaluation":
            groups.setdefault(run_of(r), []).append(r)
    cards, taken = [], set[str]()
    made = [_card(run, results, found, catalogue) for run, results in groups.items()]
    for card in (*made, *(_fused_card(r, found, catalogue) for r in found.results if r.epochs and r.kind == "fusion")):
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
    return {
        "file": _file(first),
        "title": _name(first, catalogue),
        "sections": [
            {"title": "Model", "facts": _model(first), "texts": []},
            {"title": "Learnt from", "facts": _data(first), "texts": []},
            {"title": "How", "facts": _how(run, first), "texts": []},
            {"title": "Limits", "facts": [], "texts": [*LIMITS, *_warnings(results)]},
            {"title": "Licence of the data", "facts": [], "texts": [_licence(first)]},
        ],
        "results": _results(results, found, catalogue),
        "load": _load(_run_path(first), "features = model.embed(clips)  # (n, C, T, V, M), prepared as stated above"),
    }


def _fused_card(r: Result, found: Found, catalogue: Catalogue) -> dict[str, Any]:
    """The card of evaluations whose scores were added: its members say how they were trained."""
    parts = r.metrics.get("parts") or []
    made = [
        ("command", str(r.provenance.get("command") or "")),
        ("in the folder", str(r.provenance.get("folder") or "")),
    ]
    return {
        "file": _file(r),
        "title": _name(r, catalogue),
        "sections": [
            {
                "title": "Model",
                "facts": [
                    ("method", f"{_method(r)}; scores of {len(parts)} streams, weighted and added"),
                    *((f"stream {p['stream']}", f"weight {p['weight']:g}, {p['path']}") for p in parts),
                ],
                "texts": [],
            },
            {"title": "Learnt from", "facts": _data(r), "texts": []},
            {
                "title": "How",
                "facts": [fact for fact in made if fact[1]],
                "texts": ["Each stream has a card of its own."],
            },
            {"title": "Limits", "facts": [], "texts": [*LIMITS, *_warnings([r])]},
            {"title": "Licence of the data", "facts": [], "texts": [_licence(r)]},
        ],
        "results": _results([r], found, catalogue),
        "load": _load(os.fspath(r.path), "classes = model.predict(clips)  # (n, C, T, V, M), prepared as stated above"),
    }


def _name(r: Result, catalogue: Catalogue) -> str:
    split = data_title(str(r.metrics["split"]), [r])
    told = (recipe_name(r.recipe), r.stream, split, f"seed {r.seed}", catalogue[r].variant.label)
    return ", ".join(filter(None, told))


def _file(r: Result) -> str:
    stem = re.sub(r"[^A-Za-z0-9]+", "-", f"{r.recipe} {r.stream} {r.metrics['split']} s{r.seed}")
    return stem.strip("-").lower()[:80] or "model"


def _run_path(r: Result) -> str:
    """Where the run of an evaluation lies, as seen from where the report is made; as stated, if it is not found."""
    source = _input(r.provenance, "run")
    stated = str(source.get("path") or "")
    if not stated:
        return "RUN"
    made = {**_history(r).get(str(source.get("digest")), {}), "from": r.provenance.get("folder")}
    for path in places(source, made, r.path):
        if path.is_dir() and (not source.get("digest") or read_digest(path) == source["digest"]):
            whole, here = Path(os.path.abspath(path)), Path.cwd()
            return (
                stated
                if Path(stated).is_absolute()
                else os.fspath(whole.relative_to(here) if whole.is_relative_to(here) else whole)
            )
    return stated


def _load(where: str, use: str) -> list[str]:
    here = "" if Path(where).is_absolute() or where == "RUN" else f"  # in {Path.cwd()}, where this report was made"
    return ["import skelpipe as sk", "", f"model = sk.load({where!r}){here}", use]


def _model(r: Result) -> list[Fact]:
    recipe = recipe_of(r)
    encoder = own if isinstance(own := recipe.get("encoder"), dict) else {}
    layout = (r.metrics.get("run") or {}).get("layout") or r.settings.get("layout")
    facts = [
        ("method", _method(r)),
        ("positives", _positives(r, recipe)),
        ("settings of the method", _settings(recipe.get("method"))),
        ("source", SYSTEMS[r.recipe].source if r.recipe in SYSTEMS else str(recipe.get("source") or "")),
        ("encoder", options_text(encoder)),
        ("input", f"stream {r.stream}" + (f", layout {layout}" if layout else "")),
        ("learnt from labels", "yes" if r.metrics.get("method") == "supervised" else "no: pretrained without any"),
    ]
    return [(key, value) for key, value in facts if value]


def _method(r: Result) -> str:
    """ "CrosNNCLR (recipe demo_crosnnclr): skeletonclr with positives cross_view"."""
    recipe, system = recipe_of(r), system_of(r.recipe)
    own, positives = recipe.get("method"), recipe.get("positives") or r.metrics.get("positives")
    method = own.get("name") if isinstance(own, dict) else r.metrics.get("method")
    positives = positives.get("name") if isinstance(positives, dict) else positives
    title = f"{SYSTEMS[system].title} (recipe {r.recipe})" if system in SYSTEMS else recipe_name(r.recipe)
    told = f"{title}: {method}" if isinstance(method, str) else title
    return f"{told} with positives {positives}" if isinstance(positives, str) else told


def _positives(r: Result, recipe: Mapping[str, Any]) -> str:
    positives = recipe.get("positives")
    told = options_text(positives) if isinstance(positives, dict) else str(positives or "")
    return "; ".join(part for part in (told, never_began(r)) if part)


def _settings(method: Any) -> str:
    return ", ".join(f"{k} {v}" for k, v in method.items() if k != "name") if isinstance(method, dict) else ""


def _data(r: Result) -> list[Fact]:
    run = r.metrics.get("run") or {}
    origin = r.metrics.get("pretrained_on") or {}
    data = str(origin.get("dataset") or r.metrics["dataset"])
    split = str(origin.get("split") or r.metrics["split"])
    prepared = run.get("prepared") or r.metrics.get("prepared") or {}
    frames = run.get("frames")
    clips = run.get("clips") if isinstance(run.get("clips"), int) else r.metrics.get("train_clips")
    facts = [
        ("data set", f"{_title(r)} ({data}){', synthetic recordings in its format' if r.synthetic else ''}"),
        ("split", f"{split_title(split)} ({split}), its training part"),
        ("clips", f"{clips:,}" if isinstance(clips, int) else ""),
        ("frames", str(frames or "")),
        ("prepared", ", ".join(f"{k} {v}" for k, v in prepared.items() if k != "frames")),
    ]
    return [(key, value) for key, value in facts if value]


def _how(run: str, r: Result) -> list[Fact]:
    made = _history(r).get(str(_input(r.provenance, "run").get("digest")), {})
    recipe = recipe_of(r)
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
        ("in the folder", str(made.get("folder") or "") if made.get("command") else ""),
        ("run", run[:16] if re.fullmatch(r"[0-9a-f]{64}", run) else ""),
    ]
    return [(key, value) for key, value in facts if value]


def _warnings(results: Iterable[Result]) -> list[str]:
    told = {str(text) for r in results for p in r.protocols.values() for text in p.get("warnings") or []}
    return sorted(told)


def _title(r: Result) -> str:
    try:
        return dataset_of(r.metrics).title
    except BadInput:
        return str(r.metrics["dataset"])


def _licence(r: Result) -> str:
    if r.synthetic:
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
            rows.append([data_title(r.split, [r]), c["title"], percent(here["mean"]), told, seeds, over])
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
