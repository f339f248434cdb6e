"""What decides the weights of a run: the recipe, the clips, the split and the stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skelpipe.clips.streams import check_stream
from skelpipe.clips.views import build_view
from skelpipe.errors import BadInput
from skelpipe.layouts import attributes_of
from skelpipe.outputs.digests import read_digest
from skelpipe.recordings.datasets import Split, dataset_attributes, split_attributes
from skelpipe.recordings.store import Clips
from skelpipe.resources import ADDED
from skelpipe.training.length import length_of
from skelpipe.training.preparation import ASSUMED, PREPARED, preparation_of
from skelpipe.training.recipe import Recipe

ALL_STREAMS = "3s"
REGISTERED = "registered"  # of settings: digests of code that a program has registered, which no version tells


def check_recipe_stream(recipe: Recipe, stream: str) -> None:
    """Raise BadInput unless the recipe can be trained on this stream."""
    if recipe.streams and stream != ALL_STREAMS:
        what = f"is one, and {recipe.name} trains {', '.join(recipe.streams)} together"
        raise BadInput(f"--stream {stream}", what, f"use --stream {ALL_STREAMS}")
    if not recipe.streams:
        if stream == ALL_STREAMS:
            what = f"is all three, and {recipe.name} trains one stream a run"
            raise BadInput(f"--stream {stream}", what, "use joint, motion or bone, and 'skelpipe fuse' afterwards")
        check_stream(stream)


def run_settings(
    recipe: Recipe,
    *,
    stream: str,
    split: str,
    seed: int,
    dataset: str,
    layout: str,
    frames: int | str,
    clips: int | None,
    clips_digest: str | None,
    prepared: Mapping[str, Any],
    assumed: bool = False,
    precision: str = "fp32",
    half_storage: bool = False,
) -> dict[str, Any]:
    """What `settings.json` holds: all that decides the weights; runs of equal settings go on from each other.

    Args:
        prepared: how the clips were, as `preparation_of` gives it; `assumed` if that is not known of them.
    """
    return {
        "recipe": recipe.name,
        "method": recipe.method.name,
        "positives": recipe.positives.name,  # type: ignore[attr-defined]
        "encoder": recipe.evaluated.model_dump(mode="json"),
        "stream": stream,
        "split": split,
        "seed": seed,
        "epochs": recipe.epochs if recipe.iterations is None else length_of(recipe, clips or recipe.batch_size).epochs,
        "dataset": dataset,
        "layout": layout,
        "frames": frames,
        "clips": clips,
        "clips_digest": clips_digest,
        PREPARED: {key: value for key, value in prepared.items() if key != "frames"},
        **({ASSUMED: True} if assumed else {}),
        "precision": precision,
        "half_storage": half_storage,
        **({REGISTERED: own} if (own := code_of(recipe)) else {}),
        "recipe_settings": recipe.model_dump(mode="json"),
    }


def code_of(recipe: Recipe) -> dict[str, str]:
    """Kind and name -> digest of the code, of those of a recipe's parts that were registered while this runs."""
    told: list[tuple[str, Any]] = [("method", recipe.method), ("positives", recipe.positives)]
    told += [("encoder", each) for each in (recipe.encoder, recipe.partner) if each is not None]
    used = {(kind, each.name) for kind, each in told}
    used |= {("augmentation", step.name) for view in recipe.views.values() for step in build_view(view).steps}
    return {" ".join(each): digest for each, digest in sorted(ADDED.items()) if each in used}


def settings_on(recipe: Recipe, source: Clips, clips: int, split: Split, **options: Any) -> dict[str, Any]:
    """What `settings.json` holds of a run on so many of the clips of a folder; `options` are those of `pretrain`."""
    settings = run_settings(
        recipe,
        split=split.name,
        dataset=source.dataset,
        layout=source.layout.name,
        frames=source.frames,
        clips=clips,
        clips_digest=read_digest(source.path),
        prepared=preparation_of(source),
        **options,
    )
    return settings | attributes_of(source.layout) | dataset_attributes(source.about) | split_attributes(split)
