"""The reference of the Python API: every public name of `skelpipe`, by what it is for."""

from __future__ import annotations

from making.reading import page

import skelpipe


def names() -> list[str]:
    """The public names of the package."""
    return list(getattr(skelpipe, "__all__", ()))


def pages() -> dict[str, str]:
    """One page for the time being."""
    entries = [f"::: skelpipe.{name}" for name in names()]
    return {
        "api/index.md": page(
            "Python API",
            "`import skelpipe as sk` imports nothing slow; each name is loaded when it is first used.",
            *entries,
        )
    }
