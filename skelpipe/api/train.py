"""Recipes, and runs that are trained by them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from skelpipe import settings
from skelpipe.api.around import left_as_found
from skelpipe.api.shown import Line, ShownFolder, tell
from skelpipe.errors import BadInput
from skelpipe.resources import ADDED
from skelpipe.training.checkpoint import Event
from skelpipe.training.folder import LOG
from skelpipe.training.recipe import Recipe
from skelpipe.training.recipe import load_recipe as read_recipe

if TYPE_CHECKING:
    import pandas as pd

USUAL = "own_key"  # positives that go without saying
PathLike = str | os.PathLike[str]


class Run(ShownFolder):
    """A finished pretraining, opened.

    Attributes:
        path: the folder; the object itself can be given wherever a path is asked for.
        settings: all that has decided its weights, in plain values.
        recipe: as it was used.
        result: what became of the pretraining: `state`, `epoch`, `epochs`, `warnings`; None of a run that was opened.

    Example:
        >>> run = sk.open_run("run")
        >>> run.stream, run.split
        ('joint', 'xsub60')
        >>> run.log["loss"].notna().all()
        np.True_
    """

    def __init__(self, path: PathLike, result: Any = None) -> None:
        from skelpipe.evaluation.features import read_run

        self.path, self.settings, self.recipe = read_run(Path(path))
        self.result = result

    @property
    def stream(self) -> str:
        """Which stream it was trained on; "3s" if on several together."""
        return str(self.settings["stream"])

    @property
    def split(self) -> str:
        """Whose training clips it was trained on."""
        return str(self.settings["split"])

    @cached_property
    def log(self) -> pd.DataFrame:
        """What the log holds, a row for each epoch: epoch, loss, lr, and what the method observes."""
        import pandas as pd

        lines = (self.path / LOG).read_text().splitlines() if (self.path / LOG).exists() else []
        return pd.DataFrame([json.loads(line) for line in lines])

    def _told(self) -> dict[str, str]:
        shown = {key: str(self.settings[key]) for key in ("recipe", "method", "stream", "split", "epochs", "seed")}
        if (more := self.settings.get("positives", USUAL)) != USUAL:
            shown["method"] += f" + {more}"
        return {**shown, "path": os.fspath(self.path)}


def load_recipe(name: PathLike | Mapping[str, Any], **changes: Any) -> Recipe:
    """A recipe by its name, from a YAML file, or of settings in Python, with changes.

    Args:
        name: one of `list_recipes()`; the path of a YAML; or a mapping of what such a YAML says.
        changes: settings in place of the recipe's. Two underscores stand for a dot: `optimizer__lr=0.05`. A mapping
            changes the keys that it has, `encoder={"width": 32}`; one with a `name`, and `views`, stand for the whole.

    Returns:
        The recipe, checked; settings are its attributes, `recipe.epochs`.

    Raises:
        BadInput: no such recipe (the nearest is named), or all that is wrong with it.

    Example:
        >>> recipe = sk.load_recipe("crosnnclr", epochs=100, optimizer__lr=0.05)
        >>> recipe.method.name, recipe.epochs, recipe.optimizer.lr
        ('skeletonclr', 100, 0.05)
        >>> views = {"query": "normal", "key": ["crop", {"shear": {"amplitude": 1}}]}
        >>> sk.load_recipe({"name": "mine", "method": "skeletonclr", "views": views}).batch_size
        128
    """
    length: dict[str, Any] = {key: changes.pop(key) for key in ("epochs", "iterations") if key in changes}
    told = list(_flat(changes))
    try:
        if isinstance(name, Mapping):
            return settings.check(Recipe, {**name, **length}, f"recipe {name.get('name', 'unnamed')}", told)
        return read_recipe(os.fspath(name), told, **length)
    except BadInput as error:  # which speaks of the command's option
        raise BadInput(error.where.replace("--set ", ""), error.what, error.remedy) from None


def _flat(changes: dict[str, Any], before: str = "") -> Any:
    """Changes as `key.to.it=value`, the value in JSON, which is YAML too."""
    for key, value in changes.items():
        name = before + key.replace("__", ".")
        if isinstance(value, dict) and value and "name" not in value and not name.startswith(("views", "weights")):
            yield from _flat(value, f"{name}.")
        else:
            yield f"{name}={json.dumps(value)}"


def pretrain(
    recipe: str | os.PathLike[str] | Recipe, clips: PathLike, run: PathLike, *, split: str, stream: str = "joint",
    epochs: int | None = None, seed: int = 0, device: str = "auto", precision: Literal["fp32", "bf16"] = "fp32",
    compiled: Literal["auto", "off", "on"] = "auto", half_storage: bool = False, threads: int | None = None,
    force: bool = False, progress: bool | Callable[[Event], None] | None = None,
) -> Run:  # fmt: skip
    """Train a recipe's encoder on the training part of a split, as `skelpipe pretrain` does.

    The same call goes on from the last checkpoint of `run`, bit for bit on a CPU. Of several threads of a process one
    trains at a time, and the others wait, as torch has one generator for all: train side by side in processes.

    Args:
        recipe: of `load_recipe`, or its name or path.
        clips: clips, or their path.
        run: the folder to make or to go on with.
        split: whose training clips to learn from: a name, a rule such as "subject:1-20", "all", or a list.
        stream: joint, motion or bone; "3s" for a recipe that trains several together.
        epochs: instead of the recipe's; 0 leaves the encoder untrained.
        seed: of weights, order and augmentations.
        device: "auto", "cpu", "cuda", "cuda:1", …
        precision: of the encoder's arithmetic.
        compiled: whether steps are graphs; "auto" on a GPU alone.
        half_storage: keep the clips in memory as float16.
        threads: of torch and the kernels; None takes all cores.
        force: start anew if `run` was made with other settings; one of the same is given back, which is told. Delete
            the folder to train it once more.
        progress: True shows a line on stderr, without a terminal one for each epoch; or called at each step with
            {epoch, epochs, step, steps, loss, clips_per_second, …}.

    Returns:
        The run, opened; its `result` says what became of it.

    Raises:
        BadInput: an input does not fit, `run` belongs to something else, or the loss is no longer finite.
        KeyboardInterrupt: it was stopped; a checkpoint is kept, and the same call goes on from it.

    Example:
        >>> recipe = sk.load_recipe("small_skeletonclr", batch_size=16, encoder={"width": 4, "features": 16})
        >>> run = sk.pretrain(recipe, "clips.zarr", "another_run", split="xsub60", epochs=1, device="cpu")
        >>> run.result.state
        'finished'
    """
    from skelpipe.training.pretrain import pretrain as run_pretrain

    recipe = _checked(recipe, epochs)
    told = _epochs_shown() if progress is True else progress or None
    with left_as_found():
        result = run_pretrain(
            recipe, Path(clips), Path(run), split=split, stream=stream, seed=seed, device=device, precision=precision,
            compiled=compiled, half_storage=half_storage, threads=threads, force=force, progress=told,
        )  # fmt: skip
    if result.state == "already finished":
        tell([f"{os.fspath(run)}: is finished already, by the same settings; nothing was trained"])
    tell(f"{os.fspath(run)}: {warning}" for warning in result.warnings)
    if result.state == "stopped":
        raise KeyboardInterrupt("a checkpoint is kept, and the same call goes on from it")
    return Run(run, result)


def _checked(recipe: str | os.PathLike[str] | Recipe, epochs: int | None) -> Recipe:
    """The recipe as it is to be used."""
    from skelpipe.evaluation.protocols import check_stated

    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe)
    if epochs is not None:
        recipe = with_epochs(recipe, epochs)
    if ADDED:  # it may hold options of a class that has been registered again since
        recipe = settings.check(Recipe, recipe.model_dump(mode="json", warnings=False), recipe.name)
    check_stated(recipe, recipe.name)
    return recipe


def with_epochs(recipe: Recipe, epochs: int) -> Recipe:
    """The recipe with another length."""
    data = {key: value for key, value in recipe.model_dump(mode="json", warnings=False).items() if key != "iterations"}
    return settings.check(Recipe, {**data, "epochs": epochs}, recipe.name)


def _epochs_shown() -> Callable[[Event], None]:
    line, live, loss = Line(), Line.live(), ""

    def show(event: Event) -> None:
        nonlocal loss
        if event.get("loss") is not None:  # which is not told at each step
            loss = f": loss {event['loss']:.3f}"
        last = event["step"] == event["steps"] and (event["epoch"] == event["epochs"] or not live)
        line.say(f"epoch {event['epoch']}/{event['epochs']}{loss}", last)

    return show


def open_run(path: PathLike) -> Run:
    """Open a finished run.

    Args:
        path: a folder that `pretrain` or `skelpipe import-weights` made.

    Raises:
        BadInput: nothing is there, it is not at its end, or damaged.

    Example:
        >>> sk.open_run("run").recipe.method.name
        'skeletonclr'
    """
    return path if isinstance(path, Run) else Run(path)
