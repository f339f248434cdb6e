"""What a user says of a file, held against what it holds: recipe, split, length."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from skelpipe import settings as checking
from skelpipe.errors import BadInput
from skelpipe.exchange.weights.contents import Contents, check_encoder
from skelpipe.exchange.weights.reading import ANOTHER
from skelpipe.recordings.datasets import SPLITS
from skelpipe.training.recipe import ClipsNeeded, Recipe, load_recipe
from skelpipe.training.run_settings import ALL_STREAMS, check_recipe_stream

USUAL, LABELLED = "skeletonclr", "stgcn_supervised"  # recipes, where none is named
UNLABELLED = ("skeletonclr", "crosnnclr", "aimclr", "crosnnclr_star", "crossclr")
FRAMES = 50


def choose_recipe(recipe: Recipe | None, found: Contents, stream: str, path: Path, frames: int | None = None) -> Recipe:
    """The recipe that was named, if the file can be of it, or else the usual one of such a file and its clips.

    Args:
        frames: T of those clips.

    Raises:
        BadInput: one of them has learnt from labels, the other not.
    """
    if recipe is None:
        recipe = load_recipe("crossclr" if stream == ALL_STREAMS else LABELLED if found.family.labelled else USUAL)
        if found.family.clips and found.first.graph.layout.coordinates == 3:
            recipe = recipe.model_copy(update={"clips": ClipsNeeded(**found.family.clips, frames=frames)})
        check_stream(recipe, stream)
    if recipe.supervised and not found.classifiers:
        what = f"learns a classifier, and {path} holds none ({found.title})"
        raise BadInput(f"--recipe {recipe.name}", what, f"choose {', '.join(UNLABELLED)}")
    if found.family.labelled and not recipe.supervised:
        what = f"learns without labels, and {path} holds {found.title}"
        raise BadInput(f"--recipe {recipe.name}", what, f"leave it out, or choose {LABELLED}")
    return recipe


def choose_frames(frames: int | None, recipe: Recipe, found: Contents, clips: str | Path | None) -> int:
    """T of the clips that the encoder is for; with clips it is theirs, and this is not used.

    Raises:
        BadInput: nothing says it.
    """
    stated = recipe.clips.frames
    if frames is None and isinstance(stated, int):
        return stated
    if frames is None and clips is None and found.family.labelled:
        what = "is not said, and these weights do not tell how many frames their clips had"
        raise BadInput("--frames", what, "pass --frames 300 for ST-GCN's own and PySKL's plain ones, or what it was")
    return frames or FRAMES


def check_classes(recipe: Recipe, found: Contents, split: str, classes: int, path: Path) -> None:
    """Raise BadInput unless a classifier that is the recipe's own head knows the classes of the split."""
    if recipe.supervised and found.classes != classes:
        fit = [name for name, each in SPLITS.items() if each.classes == found.classes]
        what = f"has {classes} classes, and the classifier in {path} knows {found.classes}"
        raise BadInput(f"--split {split}", what, f"choose one of {', '.join(fit)}" if fit else "give other weights")


def total_epochs(
    recipe: Recipe, found: Contents, path: Path, clips: str | Path | None, epoch: int, epochs: int | None
) -> int:
    """How many epochs the run is to have in all, or BadInput if the file cannot be trained on for so long."""
    total = epoch if clips is None else recipe.epochs if epochs is None else epochs
    if clips is None and epochs not in (None, epoch):
        raise BadInput("--epochs", "training goes on only on clips", "give them with --clips")
    if total < epoch:
        raise BadInput(f"--epoch {epoch}", f"is past the end of {total} epochs", f"pass --epochs {epoch} or more")
    if clips is not None and not goes_on(recipe, found):
        what = "holds no key encoder, queue and head of ours, so it cannot be trained on"
        raise BadInput(path, f"({found.title}) {what}", "leave out --clips to evaluate it")
    return total


def goes_on(recipe: Recipe, found: Contents) -> bool:
    """Whether training can go on from a file: it holds all networks of the recipe's method."""
    return recipe.supervised or found.resumable


def check_stream(recipe: Recipe, stream: str) -> None:
    """Raise BadInput unless the recipe can be trained on this stream."""
    if stream == ALL_STREAMS and not recipe.streams:
        what = f"is all three, and {recipe.name} trains one stream a run"
        raise BadInput(f"--stream {stream}", what, "pass --recipe crossclr, or choose joint, motion or bone")
    check_recipe_stream(recipe, stream)
    if recipe.own_streams:
        what = f"trains networks of its own, {', '.join(recipe.streams)}, which no such file holds"
        raise BadInput(f"--recipe {recipe.name}", what, "choose another recipe")


def fit_recipe(recipe: Recipe, found: Contents, path: Path) -> Recipe:
    """The recipe with the sizes that the file's tensors have.

    Raises:
        BadInput: the tensors that tell the sizes are missing or have another rank.
    """
    data = recipe.model_dump(mode="json")
    check_encoder(data, f"recipe {recipe.name}")
    encoder = found.first.encoder
    first = sized(encoder, "st_gcn_networks.0.tcn.2.weight", 4, path)
    last = sized(encoder, "st_gcn_networks.9.tcn.2.weight", 4, path)
    data["encoder"] |= {"width": first[0], "features": last[0], "time_kernel": first[2]}
    data["encoder"] |= found.first.graph.options
    if found.heads and not recipe.supervised:
        hidden = sized(encoder, "fc.0.weight", 2, path)[0]
        if hidden != (data["projector"]["hidden"] or last[0]):
            data["projector"]["hidden"] = hidden
        data["projector"]["size"] = sized(encoder, "fc.2.weight", 2, path)[0]
        if recipe.streams:
            data["method"]["heads"] = found.heads
    if found.resumable and not recipe.supervised:
        data["method"]["queue_size"] = sized({"queue": found.first.queue}, "queue", 2, path)[1]
    return checking.check(Recipe, data, path)


def sized(state: Mapping[str, Tensor | None], name: str, rank: int, path: Path) -> tuple[int, ...]:
    """The shape of a tensor that must be there with so many axes."""
    value = state.get(name)
    if value is None or value.dim() != rank or value.numel() == 0:
        what = "is missing" if value is None else f"has the shape {tuple(value.shape)}"
        raise BadInput(path, f"{name} {what}", ANOTHER)
    return tuple(value.shape)
