"""What is added under a name while a program runs."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import CodeType, FunctionType
from typing import Any, Literal, TypeVar

from skelpipe.api.names import registry
from skelpipe.errors import BadInput, suggest
from skelpipe.resources import ADDED
from skelpipe.settings import Settings


class Options(Settings):
    """Base of the options of a method, an encoder or positives of one's own: what a recipe may say about it.

    A class within the entry, with a type and a default for each; the entry finds them as its `options`. They are
    checked where a recipe is loaded, stand in a run's settings, and unknown ones are errors.

    Example:
        >>> class Scaled(sk.Encoder):
        ...     class Options(sk.Options):
        ...         scale: float = 1.0
        ...
        ...     def __init__(self, layout, options):
        ...         super().__init__()
        ...         self.features, self.scale = layout.channels, options.scale
        ...
        ...     def forward(self, x):
        ...         return self.scale * x.mean(dim=(2, 3, 4))
        >>> _ = sk.register("encoder", "scaled", Scaled)
        >>> sk.build_encoder("scaled", scale=3.0)(torch.ones(1, 3, 4, 25, 2))
        tensor([[3., 3., 3.]])
    """


Kind = Literal["method", "positives", "encoder", "augmentation", "protocol"]
Entry = TypeVar("Entry")
SPOKEN = ("method", "positives", "encoder", "augmentation", "protocol")  # layouts, data sets and splits have files
CLASSES = ("method", "positives", "encoder")
OURS = ("skelpipe", "torch", "pydantic", "builtins", "abc", "typing")  # whose code a version tells


def register(kind: Kind, name: str, entry: Entry) -> Entry:
    """Add a method, an encoder, … under a name, for this process: recipes, commands and lists then know it.

    For notebooks and programs of one's own; an installed package adds by an entry point instead. Runs and evaluations
    hold the name: register it again before they are opened by another process. A name may be registered again, as a
    cell of a notebook that is run twice does; those that ship stay as they are. A run's settings hold a digest of the
    entry's own code and its bases': `pretrain` refuses to take a run of what has been edited since for one of the new.

    Args:
        kind: method, positives, encoder, augmentation or protocol. (Layouts, data sets and splits of one's own are
            files or rules, and need no registering.)
        name: how recipes call it.
        entry: a subclass of `Method` or `Encoder`, or a set of positives, with a class of `Options` if a recipe may
            say something about it; an `Augmentation`; or a protocol's function.

    Returns:
        The entry as it was given.

    Raises:
        BadInput: there is no such kind, the name is one that ships, or the entry cannot be one.

    Example:
        >>> class Mine(sk.get_method("skeletonclr")):
        ...     "Like SkeletonCLR."
        >>> _ = sk.register("method", "mine", Mine)
        >>> sk.load_recipe("skeletonclr", method__name="mine").method.name
        'mine'
    """
    if kind not in SPOKEN:
        raise BadInput(f"kind {kind!r}", "cannot be registered", suggest(str(kind), SPOKEN))
    known = registry(kind)
    if name in known and (kind, name) not in ADDED:
        raise BadInput(f"{kind} {name!r}", "is one that is there already", "choose another name")
    check(kind, name, entry)
    known[name] = named(kind, name, entry) if kind in CLASSES else entry
    ADDED[kind, name] = code_digest(entry)
    if kind in CLASSES:
        know_anew(known)
    return entry


def check(kind: str, name: str, entry: Any) -> None:
    """Raise BadInput if an entry cannot be one of its kind."""
    from skelpipe.clips.augment.base import Augmentation
    from skelpipe.encoders.base import Encoder
    from skelpipe.methods.base import Method

    bases: dict[str, type] = {"method": Method, "encoder": Encoder, "positives": object}
    if kind in CLASSES:
        fits, wanted = isinstance(entry, type) and issubclass(entry, bases[kind]), f"give a class, {kind}s are"
    elif kind == "augmentation":
        fits, wanted = isinstance(entry, Augmentation), "give an Augmentation"
    else:
        fits, wanted = isinstance(entry, Callable), "give a function of features and setup"  # type: ignore[arg-type]
    if not fits:
        raise BadInput(f"{kind} {name!r}", f"is {type(entry).__name__} {entry!r}"[:100], wanted)
    told = getattr(entry, "Options", None)
    if kind in CLASSES and told is not None and not (isinstance(told, type) and issubclass(told, Settings)):
        raise BadInput(f"{kind} {name!r}", "has Options that are none", "let them be a class of sk.Options")
    if kind == "method":
        check_method(name, entry)


def check_method(name: str, entry: Any) -> None:
    """Raise BadInput if a method lacks what every method says of itself."""
    for what, example in (("VIEWS", '("query", "key")'), ("LOSSES", '("contrast",)')):
        said = getattr(entry, what, None)
        if not isinstance(said, tuple | list) or not said or not all(isinstance(each, str) for each in said):
            found = f"{what} = {said!r}" if hasattr(entry, what) else f"no {what}"
            raise BadInput(f"method {name!r}", f"has {found}", f"give it names, as {what} = {example}")
    if lacking := sorted(getattr(entry, "__abstractmethods__", ())):
        raise BadInput(f"method {name!r}", f"lacks {' and '.join(lacking)}", "see help(skelpipe.Method)")


def named(kind: str, name: str, entry: Any) -> Any:
    """The class itself if its `Options` are called so; else a subclass with options that are."""
    from pydantic import create_model

    from skelpipe.methods.base import MethodOptions

    base = getattr(entry, "Options", None) or (MethodOptions if kind == "method" else Settings)
    told = base.model_fields.get("name")
    if told is not None and told.default == name:
        return entry
    fields: Any = {"name": (Literal[name], name)}
    of_method = kind == "method" and not issubclass(base, MethodOptions)
    bases: Any = (base, MethodOptions) if of_method else base
    options = create_model(f"{entry.__name__}Options", __base__=bases, __module__=entry.__module__, **fields)
    about = {"Options": options, "__doc__": entry.__doc__, "__module__": entry.__module__}
    return type(entry)(entry.__name__, (entry,), about)


def know_anew(known: Any) -> None:
    """Let recipes, and options that choose among a registry, know its entries of now."""
    from skelpipe.training.recipe import Recipe

    for each in known.values():
        each.Options.model_rebuild(force=True)
    Recipe.model_rebuild(force=True)


def code_digest(entry: Any) -> str:
    """A digest of what an entry's functions are, and those of the classes it is made of, without ours and torch's."""
    told = "\n".join(_code(entry))
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _code(entry: Any) -> Iterator[str]:
    if isinstance(entry, type):
        for each in entry.__mro__:
            if each.__module__.split(".")[0] not in OURS:
                yield each.__name__
                yield from _parts(vars(each))
    elif isinstance(entry, FunctionType):
        yield from _function(entry)
    else:
        yield from _parts(getattr(entry, "__dict__", {}))


def _parts(found: Any) -> Iterator[str]:
    """What the attributes of a class say, by name: functions, classes within, and plain values."""
    for name, value in sorted(found.items()):
        value = getattr(value, "__func__", getattr(value, "py_func", value))  # of a classmethod, of a compiled kernel
        if isinstance(value, property):
            yield from (line for each in (value.fget, value.fset) if each for line in _code(each))
        elif isinstance(value, FunctionType | type):
            yield name
            yield from _code(value)
        elif not name.startswith("_") and isinstance(value, int | float | str | tuple | None):
            yield f"{name} = {value!r}"


def _function(given: FunctionType) -> Iterator[str]:
    """Its source in the file or cell, or else its compiled form; and the plain values that it closes on."""
    try:
        yield inspect.getsource(given)
    except (OSError, TypeError):  # of an exec, or of a prompt
        yield from _compiled(given.__code__)
    for cell in given.__closure__ or ():
        with suppress(ValueError):  # of an empty one
            if isinstance(cell.cell_contents, int | float | str):
                yield repr(cell.cell_contents)


def _compiled(code: CodeType) -> Iterator[str]:
    yield code.co_code.hex() + repr(code.co_names)
    for each in code.co_consts:
        yield from _compiled(each) if isinstance(each, CodeType) else [repr(each)]
