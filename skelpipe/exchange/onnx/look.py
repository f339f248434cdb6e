"""What an ONNX file of ours says of itself, without running it."""

from __future__ import annotations

from pathlib import Path

from skelpipe.exchange.onnx.metadata import FRAMES, facts_in
from skelpipe.exchange.onnx.opening import read_graph


def look_at_onnx(path: Path) -> list[tuple[str, object]]:
    """The model in a file, in words.

    Raises:
        BadInput: it is no ONNX file of ours, or damaged; or onnx is not installed.
    """
    graph, data = read_graph(path)
    told = {each.key: each.value for each in graph.metadata_props}
    facts = facts_in(told, path)
    names = ", ".join(facts.classes[:5]) + (", …" if len(facts.classes) > 5 else "")
    seen = [
        ("holds", f"recipe {facts.recipe.get('name', '?')}, {facts.protocol}; epoch {facts.epoch}, seed {facts.seed}"),
        ("trained on", f"{facts.dataset.get('dataset', '?')}, {facts.split}, stream {facts.stream}"),
        ("classes", f"{len(facts.classes)}: {names}"),
        ("gives", ", ".join(each.name for each in graph.graph.output)),
        ("layout", facts.layout.get("layout", "?")),
        ("frames", told.get(FRAMES, "?")),
        ("prepared by", told.get("preparation", "?")),
        ("ONNX", f"opset {told.get('opset', '?')}, {len(data) / 2**20:.1f} MiB"),
    ]
    return [*seen, *(("caution", each) for each in facts.cautions)]
