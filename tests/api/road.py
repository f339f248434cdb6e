"""What the tests of the public API share."""

from __future__ import annotations

import skelpipe as sk

# Classes to be subclassed or looked at, whose examples stand where they are made.
BASES = {"BadInput", "Augmentation", "Encoder", "Layout", "Method", "Recipe", "Recording", "Probed", "Predictions"}


def documented() -> set[str]:
    """The public names that must have an example of their own."""
    return {*sk.__all__} - {"__version__"} - BASES
