"""The text files that ship with the package: recipes in `models/`, the Snakefile and pipelines in `pipelines/`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from skelpipe.errors import BadInput, nearest

Folder = Literal["models", "pipelines"]
KINDS: dict[Folder, str] = {"models": "recipe", "pipelines": "pipeline"}


def shipped(folder: Folder) -> Path:
    """The folder of shipped files: inside the package after an install from a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "_shipped" / folder
    return installed if installed.is_dir() else package.parent / folder


def names(folder: Folder, suffix: str = ".yaml") -> list[str]:
    """What can be called by name in that folder, in order of name."""
    return sorted(p.stem for p in shipped(folder).glob(f"*{suffix}"))


def find(folder: Folder, name_or_path: str | os.PathLike[str], suffix: str = ".yaml") -> Path:
    """The file that a name or a path stands for.

    Args:
        folder: where a name is looked up.
        name_or_path: a bare word is a name; anything with a separator or the suffix is a path and is taken as it is.
        suffix: the ending of the files.

    Raises:
        BadInput: no such name (the nearest right one is given) or no such file.
    """
    text = os.fspath(name_or_path)
    kind, known = KINDS[folder], names(folder, suffix)
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
