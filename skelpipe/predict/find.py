"""Models by what they lie in: an evaluation, a fusion, a run with a classifier, or a file of weights."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from skelpipe.errors import BadInput
from skelpipe.evaluation.models import model_of_run
from skelpipe.inspect.kept import PREFIX, kept_in
from skelpipe.outputs.ancestry import PROVENANCE, read_json
from skelpipe.outputs.checksums import check_files
from skelpipe.outputs.digests import read_digest, read_kind, require
from skelpipe.recordings.datasets import DATASETS
from skelpipe.training.model import Model, read_model

ONNX = ".onnx"
WEIGHTS = (".pt", ".pth", ".ckpt", ".tar", ".safetensors")
# A split of each data set whose classes a checkpoint may tell; which of its splits, changes no prediction.
RULES = {"ntu60": "xsub60", "ntu120": "xsub120", "pku1": "pku1-xsub", "pku2": "pku2-xsub"}
KINDS = ("evaluation", "run", "fusion")
NEEDED = "give an evaluation, a fusion, a run with a classifier, an .onnx file or a checkpoint"
NONE_KEPT = "evaluate by --protocol linear, finetune or supervised, which have one"


def is_model(path: str | Path) -> bool:
    """Whether a path is rather a model than something to predict on, by its kind or name."""
    path = Path(path)
    return read_kind(path) in KINDS or path.name.lower().endswith((ONNX, *WEIGHTS))


def find_models(
    path: str | Path,
    protocol: str | None = None,
    stream: str | None = None,
    epoch: int | None = None,
    threads: int | None = None,
) -> tuple[list[Model], list[float] | None]:
    """The model that lies at a path, or those of a fusion with their weights.

    Args:
        protocol: which, where an evaluation has kept several.
        stream: of a run of several streams, which network; of a checkpoint, what it was trained on.
        epoch: of a run, whose weights.
        threads: of an ONNX file, which brings its own; None takes all cores.

    Raises:
        BadInput: nothing there tells classes, or it is not told which of several is meant.
    """
    path = Path(path)
    if read_kind(path) == "fusion":
        return _of_fusion(path, protocol)
    return [find_model(path, protocol, stream, epoch, threads)], None


def find_model(
    path: str | Path,
    protocol: str | None = None,
    stream: str | None = None,
    epoch: int | None = None,
    threads: int | None = None,
) -> Model:
    """The model that lies at a path; see `find_models`."""
    path = Path(path)
    if not path.exists():
        raise BadInput(path, "does not exist", NEEDED)
    if path.is_file():
        if path.suffix.lower() == ONNX:
            from skelpipe.exchange.onnx import open_onnx

            return open_onnx(path, threads)
        return _of_checkpoint(path, stream)
    kind = read_kind(path)
    if kind == "run":
        return model_of_run(path, stream, epoch)
    if kind == "evaluation":
        return _of_evaluation(path, protocol, stream, epoch)
    if kind == "fusion":
        raise BadInput(path, "is a fusion of several models", "give one of the evaluations that it was made of")
    raise BadInput(path, f"is no model{f', but of kind {kind!r}' if kind else ''}", NEEDED)


def clips_of(path: Path) -> Path | None:
    """The clips that an evaluation was made on, if they still lie where they did."""
    inputs = read_json(path / PROVENANCE).get("inputs")
    source = inputs.get("clips") if isinstance(inputs, dict) else None
    found = source.get("path") if isinstance(source, dict) else None
    same = isinstance(found, str) and read_digest(found) == source["digest"]  # type: ignore[index]
    return Path(found) if same else None  # type: ignore[arg-type]


def _of_evaluation(path: Path, protocol: str | None, stream: str | None = None, epoch: int | None = None) -> Model:
    require(path, "evaluation", "evaluate the run again")
    kept = kept_in(path)
    if not kept:
        raise BadInput(path, "has kept no classifier", NONE_KEPT)
    if protocol is None and len(kept) > 1:
        raise BadInput(path, f"has kept {', '.join(kept)}", "choose one by --protocol")
    if protocol is not None and protocol not in kept:
        raise BadInput(f"--protocol {protocol}", f"{path} has kept {', '.join(kept)}", "choose one of these")
    model = read_model(path, protocol or kept[0])
    for option, asked, is_of in (("--stream", stream, model.facts.stream), ("--epoch", epoch, model.facts.epoch)):
        if asked not in (None, is_of):
            raise BadInput(f"{option} {asked}", f"{path} is of {is_of}", "evaluate that of the run, or leave it out")
    return model


def _of_fusion(path: Path, protocol: str | None) -> tuple[list[Model], list[float]]:
    """The models of the evaluations that a fusion was made of, wherever it was moved with them."""
    check_files(path, lambda name: name == "metrics.json", "fuse the evaluations again")
    try:
        metrics: dict[str, Any] = json.loads((path / "metrics.json").read_text())
        parts = [(str(part["path"]), float(part["weight"])) for part in metrics["parts"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(path / "metrics.json", f"cannot be read ({error})", "fuse the evaluations again") from None
    made = read_json(path / PROVENANCE)
    models = [_of_evaluation(_part(path, made, part), protocol) for part, _ in parts]
    return models, [weight for _, weight in parts]


def _part(path: Path, made: Mapping[str, Any], part: str) -> Path:
    """Where an evaluation that a fusion was made of lies now: where it was, or as far from the fusion as then.

    Raises:
        BadInput: it lies in neither place, or is another one now.
    """
    then = Path(os.path.normpath(Path(str(made.get("folder") or ""), part)))
    moved = Path(os.path.normpath(path / os.path.relpath(then, str(made.get("output") or path.absolute()))))
    inputs = made.get("inputs")
    sources = inputs.values() if isinstance(inputs, dict) else ()
    digests = [each.get("digest") for each in sources if isinstance(each, dict) and each.get("path") == part]
    there = [each for each in (moved, then) if read_kind(each) == "evaluation"]
    for each in there:
        if not digests or read_digest(each) in digests:
            return each
    what = f"was made of {part}, which is {'another one now' if there else 'no longer there'}"
    raise BadInput(path, what, "fuse again, or give the evaluations themselves")


def _of_checkpoint(path: Path, stream: str | None) -> Model:
    """The classifier of a checkpoint of the reference family, as `skelpipe import-weights` reads it."""
    if read_kind(path.parent) == "evaluation" and path.name.startswith(PREFIX):
        raise BadInput(path, "is a part of a model", f"give the folder, {path.parent}")
    from skelpipe.exchange.weights.importing import import_weights, look_into

    _, found, _ = look_into(path, None, stream or "joint", None, None)
    split = next((s for name, s in RULES.items() if DATASETS[name].classes == found.classes), None)
    if found.classes is None:
        remedy = "make a run of it by 'skelpipe import-weights', and give an evaluation of that"
        raise BadInput(path, "has no classifier, and tells no classes", remedy)
    if split is None:
        what = f"has a classifier of {found.classes} classes, and of no data set that is known"
        raise BadInput(path, what, "make a run of it by 'skelpipe import-weights', whose --split says of which")
    with tempfile.TemporaryDirectory(prefix="skelpipe-") as folder:
        run = Path(folder) / "run"
        import_weights(path, run, stream=stream or "joint", split=split)
        return replace(model_of_run(run), path=path)
