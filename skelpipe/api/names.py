"""What there is, by name."""

from __future__ import annotations

import os
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from skelpipe.errors import BadInput, suggest
from skelpipe.layouts import LAYOUTS, find_layout
from skelpipe.layouts.base import Layout
from skelpipe.resources import REGISTRIES, names

if TYPE_CHECKING:
    from skelpipe.encoders.base import Encoder
    from skelpipe.methods.base import Method

# Where the registry of each kind is made, and what it is called there.
KINDS = {
    "method": ("methods", "skelpipe.methods"),
    "positives": ("positives", "skelpipe.methods"),
    "encoder": ("encoders", "skelpipe.encoders"),
    "augmentation": ("augmentations", "skelpipe.clips.augment"),
    "layout": ("layouts", "skelpipe.layouts"),
    "dataset": ("datasets", "skelpipe.recordings.datasets"),
    "split": ("splits", "skelpipe.recordings.datasets"),
    "protocol": ("protocols", "skelpipe.evaluation.protocols"),
}


def list_recipes() -> list[str]:
    """The recipes that ship, in the paper's order, for `load_recipe`.

    Example:
        >>> "crosnnclr" in sk.list_recipes()
        True
    """
    from skelpipe.paper.systems import recipes

    return recipes()


def list_pipelines() -> list[str]:
    """The pipelines that ship, by name, for `skelpipe run`.

    Example:
        >>> "demo" in sk.list_pipelines()
        True
    """
    return names("pipelines")


def list_layouts() -> list[str]:
    """The joint layouts, by name; behind each there may stand "+confidence".

    Example:
        >>> sk.list_layouts()[0]
        'kinect_v2'
    """
    return [*LAYOUTS]


def list_datasets() -> list[str]:
    """The published data sets that are read, by name.

    Example:
        >>> sk.list_datasets()[:2]
        ['ntu60', 'ntu120']
    """
    return [*registry("dataset")]


def list_splits(dataset: str | None = None) -> list[str]:
    """The named splits, of all data sets or of one.

    Args:
        dataset: one of `list_datasets()`; None: all.

    Raises:
        BadInput: there is no such data set (the nearest is named).

    Example:
        >>> sk.list_splits("ntu60")
        ['xsub60', 'xview60']
    """
    from skelpipe.recordings.datasets import find_dataset, fitting_splits

    return [*registry("split")] if dataset is None else [*fitting_splits(find_dataset(dataset))]


def list_encoders() -> list[str]:
    """The encoders, by name, for `build_encoder` and recipes.

    Example:
        >>> "stgcn" in sk.list_encoders()
        True
    """
    return [*registry("encoder")]


def list_methods() -> list[str]:
    """The methods, by name, for recipes.

    Example:
        >>> "aimclr" in sk.list_methods()
        True
    """
    return [*registry("method")]


def list_positives() -> list[str]:
    """The sets of positives, by name, for recipes; "cross_view" is CrosNNCLR's.

    Example:
        >>> "cross_view" in sk.list_positives()
        True
    """
    return [*registry("positives")]


def list_protocols() -> list[str]:
    """The protocols, by name, for `evaluate`.

    Example:
        >>> "knn" in sk.list_protocols()
        True
    """
    return [*registry("protocol")]


def list_augmentations() -> list[str]:
    """The augmentations, by name, for `augment`, `build_view` and recipes.

    Example:
        >>> "shear" in sk.list_augmentations()
        True
    """
    return [*registry("augmentation")]


def get_layout(name: str | os.PathLike[str] | Layout) -> Layout:
    """A joint layout by its name, or from a YAML of one's own.

    Args:
        name: one of `list_layouts()`, or the path of a YAML; a layout is itself.

    Returns:
        The layout: `joints`, `parents`, `mirror`, `centre`, `parts`, `channels`, …

    Raises:
        BadInput: no such name (the nearest is told) or file, or a mistake in the file.

    Example:
        >>> layout = sk.get_layout("coco17")
        >>> len(layout.joints), layout.channels
        (17, 2)
    """
    return name if isinstance(name, Layout) else find_layout(name)


def build_encoder(
    name: str, layout: str | os.PathLike[str] | Layout = "kinect_v2", *, bodies: int = 2, **options: Any
) -> Encoder:
    """An encoder with fresh weights, as a plain module.

    Args:
        name: one of `list_encoders()`.
        layout: whose joints it sees.
        bodies: M, how many bodies a clip has.
        options: of the encoder, such as `width` and `features` of "stgcn".

    Returns:
        An `nn.Module`: clips (B, C, T, V, M) -> features (B, H); H is its attribute `features`. One whose
        `USES_LENGTHS` is true takes, behind the clips, how many frames of each are its own.

    Raises:
        BadInput: there is no such encoder (the nearest is named), layout or option, or a value does not fit.

    Example:
        >>> encoder = sk.build_encoder("stgcn", layout="coco17", width=8, features=32)
        >>> encoder(torch.randn(2, 2, 20, 17, 2)).shape
        torch.Size([2, 32])
    """
    from skelpipe import settings
    from skelpipe.encoders.base import build_encoder as build
    from skelpipe.methods.network import initialise

    kind = entry("encoder", name)
    given = settings.check(kind.Options, {"name": name, **options}, f"encoder {name}")
    if bodies not in (1, 2):
        raise BadInput("bodies", f"{bodies!r} is none of 1 and 2", "use 1 or 2")
    found = get_layout(layout)
    encoder = build(kind, found, given, bodies)
    initialise(encoder, "torch")
    wanted = found.channels, len(found.joints), bodies if kind.SIDE_BY_SIDE else None
    encoder.register_forward_pre_hook(partial(check_clips, found.name, wanted))
    return encoder


def check_clips(layout: str, wanted: tuple[int, int, int | None], encoder: Any, given: tuple[Any, ...]) -> None:
    """Raise BadInput unless an encoder is given clips (B, C, T, V, M) of these C, V and, where it matters, M."""
    import torch

    if not given:
        return
    x, (channels, joints, bodies) = given[0], wanted
    remedy = f"give (B, {channels}, T, {joints}, {bodies or 'M'}), floating-point, of {layout}"
    if not isinstance(x, torch.Tensor):
        raise BadInput("clips", f"are of type {type(x).__name__}", "give a torch tensor")
    fits = x.dim() == 5 and (x.shape[1], x.shape[3]) == (channels, joints) and bodies in (None, x.shape[4])
    if not fits or not x.is_floating_point():
        raise BadInput("clips", f"have shape {tuple(x.shape)} of {x.dtype}", remedy)


def get_method(name: str) -> type[Method]:
    """The class of a method, to be subclassed.

    Args:
        name: one of `list_methods()`.

    Raises:
        BadInput: there is no such method (the nearest is named).

    Example:
        >>> sk.get_method("skeletonclr").VIEWS
        ('query', 'key')
    """
    found: type[Method] = entry("method", name)
    return found


def entry(kind: str, name: str) -> Any:
    """The entry of a kind by its name; raises BadInput where there is none."""
    known = registry(kind)
    if name not in known:
        raise BadInput(f"{kind} {name!r}", "is not known", suggest(name, known))
    return known[name]


def registry(kind: str) -> Any:
    """The registry of a kind; raises BadInput for another one."""
    if kind not in KINDS:
        raise BadInput(f"kind {kind!r}", "is not known", suggest(kind, KINDS))
    name, module = KINDS[kind]
    import_module(module)
    return REGISTRIES[name]
