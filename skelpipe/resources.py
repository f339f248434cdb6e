"""What is found by name: text files that ship with the package, what other packages add to it, libraries of its extras.

Recipes ship in `models/`, the Snakefile and pipelines in `pipelines/`. A package adds to a registry by an entry point
of the group `skelpipe.<registry>`: in its pyproject.toml

    [project.entry-points."skelpipe.encoders"]
    mine = "its_module:ItsEncoder"

makes what `its_module` calls ItsEncoder the entry "mine" of ENCODERS.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import sys
from collections.abc import ItemsView, Mapping, Sequence, ValuesView
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from skelpipe.errors import BadInput, nearest

Folder = Literal["models", "pipelines"]
Entry = TypeVar("Entry")
log = logging.getLogger(__name__)
REGISTRIES: dict[str, Registry[Any]] = {}  # by name, as entry points call them
ADDED: dict[tuple[str, str], str] = {}  # (kind, name) -> digest of its code, of what this process has registered
KINDS: dict[Folder, str] = {"models": "recipe", "pipelines": "pipeline"}


def shipped(folder: Folder) -> Path:
    """The folder of shipped files: inside the package after an install from a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "_shipped" / folder
    return installed if installed.is_dir() else package.parent / folder


def names(folder: Folder, suffix: str = ".yaml") -> list[str]:
    """What can be called by name there, in order of name and number; `paper.systems` has the order of recipes."""
    return sorted((p.stem for p in shipped(folder).glob(f"*{suffix}")), key=_by_number)


def _by_number(name: str) -> list[str]:
    """A key that puts table10 behind table9."""
    return [part.zfill(8) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def find(
    folder: Folder, name_or_path: str | os.PathLike[str], suffix: str = ".yaml", known: Sequence[str] | None = None
) -> Path:
    """The file that a name or a path stands for.

    Args:
        folder: where a name is looked up.
        name_or_path: a bare word is a name; anything with a separator or the suffix is a path and is taken as it is.
        suffix: the ending of the files.
        known: all names, in the order in which they are listed.

    Raises:
        BadInput: no such name (the nearest right one is given) or no such file.
    """
    text = os.fspath(name_or_path)
    kind, known = KINDS[folder], names(folder, suffix) if known is None else known
    if text.endswith(suffix) or os.sep in text or "/" in text:
        if Path(text).is_file():
            return Path(text)
        what = "is a folder" if Path(text).is_dir() else "does not exist"
        raise BadInput(text, what, f"give a {kind} file, or a name: {', '.join(known)}")
    if text in known:
        return shipped(folder) / f"{text}{suffix}"
    near = nearest(text, known)
    guess = f"did you mean {near}? There" if near else "there"
    raise BadInput(text, f"is not the name of a {kind}", f"{guess} are: {', '.join(known) or 'none'}")


def listed(file: str, mapping: str, registry: str | None = None) -> list[str]:
    """The keys of a mapping that stands in a module, which is not imported: for what has to be quick.

    Args:
        file: the module's path in the package.
        mapping: what it is called there; written out, with texts as keys.
        registry: also those that installed packages add to it.
    """
    import ast

    tree = ast.parse((Path(__file__).parent / file).read_text(encoding="utf-8"))
    found: list[str] = []
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == mapping for target in targets):
            literal: Any = node.value  # type: ignore[attr-defined]
            found = [str(key.value) for key in literal.keys if isinstance(key, ast.Constant)]
    return found + ([] if registry is None else [point.name for point in _entry_points(f"skelpipe.{registry}")])


class Registry(dict[str, Entry]):
    """A registry's own entries by name, and behind them those that installed packages add under `skelpipe.<registry>`.

    A package is only imported when one of its entries is looked at, since it imports ours. One that cannot be loaded
    is an error for who asks for it, and left out, with a warning, where all are gone through; so is one whose name is
    taken.
    """

    def __init__(self, registry: str, own: Mapping[str, Entry]) -> None:
        super().__init__(own)
        REGISTRIES.setdefault(registry, self)
        self._later: dict[str, Any] = {}
        for point in _entry_points(f"skelpipe.{registry}"):
            if point.name in self:
                log.warning("%s is left out: there is one of that name already", _told(point))
                continue
            self._later[point.name] = point
            super().__setitem__(point.name, None)  # type: ignore[assignment]

    def __getitem__(self, name: str) -> Entry:
        if name in self._later:
            self[name] = self._load(name)
        return super().__getitem__(name)

    def __setitem__(self, name: str, entry: Entry) -> None:
        self._later.pop(name, None)
        super().__setitem__(name, entry)

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default  # noqa: SIM401

    def items(self) -> ItemsView[str, Entry]:  # type: ignore[override]
        for name in [*self._later]:
            try:
                self[name] = self._load(name)
            except BadInput as error:
                log.warning("%s", error)
                del self._later[name], self[name]
        return super().items()

    def values(self) -> ValuesView[Entry]:  # type: ignore[override]
        return dict(self.items()).values()

    def _load(self, name: str) -> Entry:
        point = self._later[name]
        try:
            entry: Entry = point.load()
        except Exception as error:
            what = f"cannot be loaded ({type(error).__name__}: {error})"
            raise BadInput(_told(point), what, f"mend or remove the package of {point.value!r}") from error
        return entry


def extra(name: str, module: str, where: str | os.PathLike[str], need: str) -> Any:
    """A module that one of our extras brings along.

    Args:
        name: the extra's.
        where: what it is needed for, of which a lack is told.
        need: that in words, with {} for what is wrong, such as "a video needs MediaPipe: it {}".

    Raises:
        BadInput: it is not installed, or cannot be loaded.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] == module.split(".")[0]
        what = "is not installed" if absent else f"cannot be loaded ({error})"
        raise BadInput(where, need.format(what), f'pip install "skelpipe[{name}]"') from None


def _told(point: Any) -> str:
    return f"entry point {point.name!r} of {point.group} ({point.value})"


def _entry_points(group: str) -> list[Any]:
    """What packages announce for a group; the library that reads them is slow to load, and only is if some do."""
    if not any(f"[{group}]" in text for text in _announcements()):
        return []
    from importlib.metadata import entry_points

    return list(entry_points(group=group))


@cache
def _announcements() -> tuple[str, ...]:
    """The entry points of all installed packages that name us, as text."""
    found = []
    for place in dict.fromkeys(sys.path):
        try:
            names = [n for n in os.listdir(place or ".") if n.endswith((".dist-info", ".egg-info"))]  # noqa: PTH208
        except OSError:
            continue
        for name in names:
            try:
                text = Path(place, name, "entry_points.txt").read_text(encoding="utf-8")
            except (OSError, ValueError):
                continue
            if "[skelpipe." in text:
                found.append(text)
    return tuple(found)
