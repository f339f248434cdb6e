"""A run in the form that the code of SkeletonCLR, CrosSCLR, AimCLR and CrosNNCLR loads."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from skelpipe import settings as checking
from skelpipe.encoders.graph import adjacency
from skelpipe.errors import BadInput, refusing, shortage
from skelpipe.exchange.weights.contents import GRAPH, STREAM_ENCODERS, check_encoder, reference_name
from skelpipe.exchange.weights.families import State, beneath
from skelpipe.layouts import layout_of
from skelpipe.layouts.base import Layout
from skelpipe.outputs.checksums import check_files
from skelpipe.outputs.digests import require
from skelpipe.outputs.one_file import check_file
from skelpipe.outputs.provenance import write_beside
from skelpipe.outputs.refusals import unwritable
from skelpipe.training.classifier import CLASSIFIER, has_classifier, read_tensors
from skelpipe.training.folder import CHECKPOINT, RECIPE, SETTINGS, WEIGHTS
from skelpipe.training.recipe import Recipe
from skelpipe.training.torch_files import read_saved


def export_weights(run: str | Path, file: str | Path, *, encoder_only: bool = False, force: bool = False) -> int:
    """Write a RUN in the reference's form; returns the number of tensors.

    Args:
        encoder_only: only the query encoder without its head, as linear evaluation needs it; else all of the last
            checkpoint but the optimiser, or, of a run with a classifier, what linear evaluation leaves: the query
            encoder and the classifier.

    Raises:
        BadInput: RUN has no such weights, or `file` exists and `force` is not set.
    """
    run, file = Path(run), Path(file)
    check_file(file, force)
    wanted = (RECIPE, SETTINGS, CLASSIFIER, WEIGHTS if encoder_only else CHECKPOINT)
    check_files(run, lambda name: name in wanted, "train this run again")
    recipe = checking.check(Recipe, checking.load_yaml(run / RECIPE), run / RECIPE)
    check_encoder(recipe.model_dump(mode="json"), run / RECIPE)
    try:
        settings = json.loads((run / SETTINGS).read_text())
        layout = layout_of(settings)
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(run / SETTINGS, f"cannot be read ({error})", "train this run again") from None
    if encoder_only:
        state = query_encoder(run, layout, recipe)
    elif recipe.supervised or has_classifier(run):
        state = with_classifier(run, layout, recipe, str(settings["stream"]))
    else:
        state = whole_state(run, layout, recipe)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # The public code takes every name in the file for a tensor.
        write_beside(file, buffer.getvalue(), "weights", {"run": run}, {"encoder_only": encoder_only})
    except OSError as error:
        raise unwritable(file, error) from None
    return len(state)


def in_reference_form(state: Mapping[str, Tensor], prefix: str, layout: Layout, recipe: Recipe) -> State:
    """A `Network`'s state under the reference's names, and the graph that they keep with it."""
    graph = adjacency(layout, recipe.encoder.partition, recipe.encoder.bones)
    named = {f"{prefix}.{GRAPH}": torch.from_numpy(graph)}
    return named | {f"{prefix}.{reference_name(name)}": value.contiguous() for name, value in state.items()}


def saved_weights(run: Path) -> State:
    """The networks of a finished run by our names."""
    from safetensors.torch import load_file

    path = require(run, "run", "finish it with 'skelpipe pretrain'") / WEIGHTS
    check_files(run, WEIGHTS, "train this run again")
    with refusing(path, "cannot be loaded", "train this run again"):
        state: State = load_file(path)
    return state


def query_encoder(run: Path, layout: Layout, recipe: Recipe) -> State:
    """A finished run's encoder, or those of all its streams, in the reference's form."""
    state, named = saved_weights(run), dict[str, Tensor]()
    for prefix, suffix in [(f"{each}.", STREAM_ENCODERS[each]) for each in recipe.streams] or [("", "")]:
        encoder = {name: value for name, value in beneath(state, prefix).items() if name.startswith("encoder.")}
        named |= in_reference_form(encoder, f"encoder_q{suffix}", layout, recipe)
    return named


def with_classifier(run: Path, layout: Layout, recipe: Recipe, stream: str) -> State:
    """The same with the classifier that the run has learnt or was imported with, as linear evaluation leaves it."""
    if recipe.supervised:
        return in_reference_form(saved_weights(run), "encoder_q", layout, recipe)
    named = query_encoder(run, layout, recipe)
    for each, suffix in [(each, STREAM_ENCODERS[each]) for each in recipe.streams] or [(stream, "")]:
        named |= {f"encoder_q{suffix}.fc.{name}": value for name, value in read_tensors(run, each).items()}
    return named


def whole_state(run: Path, layout: Layout, recipe: Recipe) -> State:
    """Both networks, the queue and its pointer, of every stream, in the reference's form."""
    path = run / CHECKPOINT
    if not path.exists():
        raise BadInput(path, "does not exist", "pass --encoder-only to write the encoder alone")
    try:
        state: State = read_saved(path)["method"]
    except Exception as error:
        if shortage(error):
            raise
        raise BadInput(path, f"cannot be loaded ({type(error).__name__})", "train this run again") from None
    named: State = {}
    for prefix, suffix in [(f"streams.{each}.", STREAM_ENCODERS[each]) for each in recipe.streams] or [("moco.", "")]:
        part = beneath(state, prefix)
        query, key = beneath(part, "query."), beneath(part, "key.")
        if not query or not key or "queue" not in part:
            raise BadInput(path, "does not hold one query and one key network", "pass --encoder-only")
        named |= in_reference_form(query, f"encoder_q{suffix}", layout, recipe)
        named |= in_reference_form(key, f"encoder_k{suffix}", layout, recipe)
        named |= {f"queue{suffix}": part["queue"], f"queue_ptr{suffix}": part["pointer"].reshape(1)}
    return named
