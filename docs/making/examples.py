"""What mkdocstrings is told of our docstrings: the section of examples is called `Example`, in the singular."""

from __future__ import annotations

from typing import Any

import griffe


class Examples(griffe.Extension):
    """Gives the section the name that griffe knows, so that sessions of Python are shown as code."""

    def on_instance(self, *, obj: griffe.Object, **more: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
