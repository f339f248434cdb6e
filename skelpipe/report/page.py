"""The page itself: HTML by a template, and Markdown, from the values of `tables` and the pictures of `figures`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from skelpipe.evaluation.intervals import too_few
from skelpipe.report.blocks import NO_MOTION, OF_BLOCKS, page_environment, weighed
from skelpipe.report.differences_page import differences_markdown
from skelpipe.report.figures import sections
from skelpipe.report.labels import figure_text as published
from skelpipe.report.paper_page import paper_html, paper_markdown
from skelpipe.report.texts import beside_text, cell_text, interval_text, md, percent, points, row_text, warning_marks

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["cell_text", "html", "markdown", "md", "percent", "points", "published"]
READING = (
    "Accuracies are top-1 on the test clips, at the last epoch, in percent (mAP: mean average precision); "
    "± is the standard deviation over n seeds, or folds and seeds, for semi and fewshot over the draws of all of them."
)
BESIDE = (
    "Small below them: of a single evaluation the 95 % interval by bootstrap, over subjects or videos where there are "
    "several, none over fewer than five; balanced accuracy (bal.), the mean of the classes' own; and macro F1."
)


def html(
    page: Mapping[str, Any], pictures: Sequence[Mapping[str, Any]], motion: Mapping[str, Any] | None = None
) -> str:
    """The page as one HTML file that needs no other and no network.

    Args:
        page: the content of report.json.
        pictures: hold their PNG, and the charts that are drawn in place of it.
        motion: the clips to play, as `motion.find_motion` gives them.
    """
    environment = page_environment(percent=percent, published=published, points=points, more=more_text)
    environment.filters.update(warned=warned_html, beside=beside_text, **OF_BLOCKS)
    told = page["paper"] and paper_html(environment, page["paper"], [p for p in pictures if p["section"] == "paper"])
    template = environment.get_template("page.html.j2")
    return template.render(
        page=page, sections=sections(pictures), paper=told, reading=reading(page), motion=weighed(motion or NO_MOTION)
    )


def reading(page: Mapping[str, Any]) -> str:
    """How the figures of the page are to be read."""
    cells = [
        cell
        for table in page["tables"]
        for group in table["groups"]
        for entry in group["streams"]
        for of_split in entry["cells"].values()
        for cell in of_split.values()
    ]
    return f"{READING} {BESIDE}" if any(beside_text(cell) for cell in cells) else READING


def warned_html(figure: Mapping[str, Any]) -> Markup:
    """The marks of a figure's warnings, which say what they are of where a pointer rests on them."""
    from markupsafe import Markup

    told = {each["mark"]: each["text"] for each in figure.get("warnings", ())}
    each = Markup('<sup class="warned" title="{}">!{}</sup>')
    return Markup("").join(each.format(told[mark], mark) for mark in sorted(told))


def markdown(page: Mapping[str, Any]) -> str:
    """The page as Markdown, its figures beside it."""
    lines = [f"# {md(page['title'])}", "", reading(page)]
    if page["paper"]:
        lines += ["", *paper_markdown(page["paper"])]
    lines += [part for text in page["said"] for part in ("", md(text))]
    for line in page["summary"]:
        lines += ["", f"- {md(summary_text(line))}"]
    for table in page["tables"]:
        lines += ["", f"## {md(table['title'])}", "", *_markdown_table(table), ""]
        lines += [f"- missing: {md(text)}" for text in table["missing"]["results"]]
        lines += [f"- in no published table: {md(text)}" for text in table["missing"]["figures"]]
    if page["differences"]:
        lines += ["", "## Class by class", ""]
        lines += [line for compared in page["differences"] for line in differences_markdown(compared)]
    if page["missing"]:
        head = f"Of the paper's {page['paper']['number']} not measured here" if page["paper"] else "Missing altogether"
        lines += ["", f"## {head}", "", *(f"- {md(text)}" for text in page["missing"])]
    if page["sources"]:
        lines += ["", "Published figures:", ""]
        lines += [f"{i}. {md(source)}" for i, source in enumerate(page["sources"], start=1)]
    if page["warnings"]:
        lines += ["", "## Warnings", ""]
        lines += [
            f"- !{place} {md(w['protocol'])}: {md(w['text'])} ({md(', '.join(w['paths']))})"
            for place, w in enumerate(page["warnings"], start=1)
        ]
    if page["skipped"]:
        lines += ["", "## Left out", "", *(f"- {md(s['path'])}: {md(s['reason'])}" for s in page["skipped"])]
    if page["figures"]:
        lines += ["", "## Figures"]
        lines += [t for f in page["figures"] for t in ("", f"![{md(f['caption'])}]({f['file']})", "", md(f["caption"]))]
    if page["cards"]:
        lines += ["", "## Model cards", "", *(f"- [{md(c['title'])}]({c['file']})" for c in page["cards"])]
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
    if split["folds"]:
        return f"{split['folds']} folds, each tested once"
    if split["comparable"] or not split["benchmark"]:
        return used
    full = split["benchmark"]
    return f"{used}, not the benchmark's {full['train']:,} and {full['test']:,}: no target for the published figures"


def _count(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _markdown_table(table: Mapping[str, Any]) -> list[str]:
    head, notes = ["recipe", "stream"], []
    for split in table["splits"]:
        for c in split["layout"]:
            title = f"{split['split']} {c['title']}"
            head += [title] if c["kind"] == "cell" else [title, "difference"]
        notes.append(f"{split['title']}: {clips_text(split)}; chance {percent(split['chance'])}")
    lines = [row_text(head), row_text(["---", "---", *["---:"] * (len(head) - 2)])]
    for group in table["groups"]:
        for entry in group["streams"]:
            cells = [group["label"], entry["stream"]]
            for split in table["splits"]:
                of_split, figures = entry["cells"][split["split"]], entry["published"][split["split"]]
                for c in split["layout"]:
                    if c["kind"] == "cell":
                        cell = of_split.get(c["key"])
                        more = f" ({'; '.join(beside)})" if cell and (beside := beside_text(cell)) else ""
                        cells.append(cell_text(cell) + more)
                    elif figure := figures.get(c["key"]):
                        cells.append(f"{published(figure['value'])} [{figure['source']}]")
                        cells.append(points(figure["difference"]))
                    else:
                        cells += ["—", "—"]
            lines.append(row_text(cells))
    return [*lines, "", *(md(note) + "  " for note in notes)]


def _markdown_evaluations(evaluations: Sequence[Mapping[str, Any]]) -> list[str]:
    tested = any(p["best_on_test"] for e in evaluations for p in e["protocols"])
    apart = any(e["variant"] for e in evaluations)
    head = ["folder", "recipe", "stream", "split", "seed", "protocol", "top-1", "top-5", "more", "best on validation"]
    head += ["best on test (selected on the test set)"] * tested + ["settings"] * apart
    lines = [row_text(head), row_text(["---"] * len(head))]
    for e in evaluations:
        for p in e["protocols"]:
            row = [e["path"], e["label"], e["stream"], e["split"], str(e["seed"]), p["name"]]
            row += [percent(p["top1"]) + warning_marks(p)]
            row += [percent(p["top5"]), more_text(p) or "—", best_text(p["best_on_validation"])]
            row += [best_text(p["best_on_test"])] * tested + [e["variant"] or "—"] * apart
            lines.append(row_text(row))
    return lines


def more_text(protocol: Mapping[str, Any]) -> str:
    """What a protocol tells beside its accuracies: of retrieval, of repeated draws, of a rate that was searched."""
    parts = []
    if (of := protocol["interval"]) and of["low"] is None:
        parts.append(too_few(of["groups"], of["by"]))
    elif of:
        over = f" over {of['groups']:,} {of['by']}s" if _number(of["groups"]) else ""
        parts.append(f"{100 * of['level']:g} % interval {interval_text(of)}{over}")
    for key, title in (("balanced", "balanced"), ("macro_f1", "macro F1")):
        if _number(protocol[key]):
            parts.append(f"{title} {percent(protocol[key])}")
    if _number(protocol["map"]):
        parts.append(f"mAP {percent(protocol['map'])}")
    if isinstance(protocol["recall"], Mapping):
        parts.append("recall " + ", ".join(f"@{k} {percent(v)}" for k, v in protocol["recall"].items() if _number(v)))
    if isinstance(protocol["draws"], list):
        spread = f" ± {percent(protocol['std'])}" if _number(protocol["std"]) else ""
        each = ", ".join(percent(v) for v in protocol["draws"] if _number(v))
        parts.append(f"{len(protocol['draws'])} draws{spread}: {each}")
    if _number(protocol["knn"].get("top1")):
        spread = f" ± {percent(protocol['knn']['std'])}" if _number(protocol["knn"].get("std")) else ""
        parts.append(f"1-NN {percent(protocol['knn']['top1'])}{spread}")
    if _number(protocol["labelled"]):
        parts.append(f"{protocol['labelled']:,} labelled clips")
    if _number(protocol["rate"]):
        parts.append(f"rate {protocol['rate']:g}")
    return "; ".join(parts)


def _number(value: Any) -> bool:
    return isinstance(value, int | float)


def best_text(best: Mapping[str, Any] | None) -> str:
    """Accuracy and epoch of a selected epoch; "—" for none."""
    return "—" if not best else f"{percent(best.get('top1'))} at epoch {best.get('epoch')}"
