"""The public names and their signatures are those in `signatures.txt`, which is changed on purpose only.

`python tests/api/test_signatures.py > tests/api/signatures.txt` writes it anew. What is taken away or changed there has
to follow the deprecation policy (CONTRIBUTING, "The public API").
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import skelpipe as sk

KEPT = Path(__file__).with_name("signatures.txt")
BASES = {"BadInput", "Augmentation", "Encoder", "Layout", "Method", "Recipe"}  # of which the name alone is promised
CONSTRUCTED = {"Batches", "ClipsDataset", "Queue"}  # by a user; others are made by functions
SPOKEN = {"__call__", "__getitem__", "__iter__", "__len__", "__fspath__"}


def signature(name: str, function: Any) -> str:
    """Parameters with their kinds, order and defaults; what they are annotated with may become wider."""
    found = inspect.signature(function)
    bare = [each.replace(annotation=each.empty) for each in found.parameters.values()]
    return f"{name}{found.replace(parameters=bare, return_annotation=found.empty)}"


def lines() -> Iterator[str]:
    """A line for each name, and for what instances of a class have."""
    for name in sk.__all__:
        found = getattr(sk, name)
        if name in BASES or not callable(found):
            yield name
        elif isinstance(found, type):
            yield f"class {signature(name, found) if name in CONSTRUCTED else name}"
            yield from (f"    {told}" for told in sorted(members(found)))
        else:
            yield signature(name, found)


def members(found: type) -> Iterator[str]:
    """Methods, properties and documented attributes of a class and of those of ours that it stems from."""
    ours = [each for each in found.__mro__ if each.__module__.startswith("skelpipe")]
    told = re.search(r"Attributes:\n((?: {4}.*\n|\n)*)", f"{inspect.getdoc(found)}\n")
    named = re.findall(r"^ {4}(\w+):", told[1], re.M) if told else []
    for own in {*named, *(each for kind in ours for each in vars(kind))}:
        if own.startswith("_") and own not in SPOKEN:
            continue
        member = inspect.getattr_static(found, own, None)
        yield signature(own, member) if inspect.isfunction(member) else own


def test_public_names_and_signatures_are_those_that_are_written_down():
    now, kept = "\n".join(lines()) + "\n", KEPT.read_text()
    assert now == kept, "is it meant? then write the file anew, as its test says"


def test_type_checkers_see_the_same_names_from_the_same_modules():
    tree = ast.parse(Path(sk.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
    told = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        assert all(alias.name == alias.asname for alias in node.names), "each name is said twice"
        told |= {alias.name: node.module for alias in node.names}
    assert told == sk._MODULE_OF
    # Seen by type checkers, it would make every misspelt name right.
    assert "__getattr__" not in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert sk.__all__ == ["__version__", *sorted(told)]
    assert [*told.values()] == sorted(told.values())


def test_every_name_is_there_and_dir_has_it():
    assert {*sk.__all__} <= {*dir(sk)}
    for name in sk.__all__:
        found = getattr(sk, name)
        assert name == "__version__" or found.__name__ == name


if __name__ == "__main__":
    print("\n".join(lines()))
