"""What an ONNX file of ours says of itself: all that `Facts` has, as JSON, and beside it the same for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from skelpipe import __version__
from skelpipe.clips.views import build_view
from skelpipe.errors import BadInput
from skelpipe.outputs.files import json_text
from skelpipe.training.model import Facts, Model, read_facts
from skelpipe.training.preparation import prepare_options

FACTS, FRAMES = "skelpipe", "frames"
ANY_FRAMES = 64  # clips of their own lengths have no number of frames; these many stand for it
AGAIN = "export it again by 'skelpipe export-onnx'"


def frames_of(model: Model) -> int:
    """T of the clips that the network sees, after the view that the recipe evaluates."""
    prepared = model.facts.prepared.get("frames")
    seen: int = build_view(model.recipe.evaluate.view).frames(prepared if isinstance(prepared, int) else ANY_FRAMES)
    return seen


def properties(model: Model, frames: int, any_frames: bool, opset: int) -> dict[str, str]:
    """The metadata by key."""
    facts, layout = model.facts, model.layout
    shown = model.recipe.evaluate.view
    return {
        FACTS: json_text(facts.model_dump(mode="json")),
        "class_names": json_text(list(facts.classes)),
        "layout": layout.name,
        "joints": json_text(list(layout.joints)),
        "parents": json_text(list(layout.parents)),
        "centre": json_text(list(layout.centre)),
        "shoulders": json_text([list(side) for side in layout.shoulders]),
        "unit": "metres, y up" if layout.coordinates == 3 else "pixels, y down",
        "stream": model.recipe.rendered(facts.stream),
        FRAMES: f"{frames}, and any other number" if any_frames else f"{frames} alone",
        "preparation": " ".join(["skelpipe prepare", *prepare_options(facts.prepared)]),
        "view": json_text(shown) if isinstance(shown, str) else json_text(json.loads(json.dumps(shown, default=str))),
        "input": "clips (B, C, T, V, M): clip, coordinate, frame, joint, body; prepared, in that view and stream",
        "output": "scores (B, classes), before a softmax, and features (B, size)",
        "skelpipe_version": __version__,
        "opset": str(opset),
    }


def facts_in(properties: dict[str, Any], where: Path) -> Facts:
    """What a file says of its model.

    Raises:
        BadInput: it is not ours, damaged, or of a newer skelpipe.
    """
    if FACTS not in properties:
        what = "was not exported by skelpipe: it does not say what its classes are, nor how its clips are prepared"
        raise BadInput(where, what, "export a model by 'skelpipe export-onnx'")
    try:
        data = json.loads(properties[FACTS])
    except (ValueError, RecursionError):
        raise BadInput(where, "says of itself what is no JSON", AGAIN) from None
    if not isinstance(data, dict):
        raise BadInput(where, "does not say of itself what a model does", AGAIN)
    version, known = data.get("format_version", 1), Facts.model_fields["format_version"].default
    if isinstance(version, int) and version > known:
        raise BadInput(where, f"is of format {version}, and this skelpipe reads {known}", "install a newer skelpipe")
    return read_facts(data, where)
