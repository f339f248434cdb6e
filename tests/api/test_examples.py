"""Every public name is documented, parameter by parameter, and has an example that runs."""

from __future__ import annotations

import doctest
import inspect
import re

import numpy as np
import pytest
import torch

import skelpipe as sk

NAMES = [name for name in sk.__all__ if name != "__version__"]


def section(text: str, name: str) -> list[str]:
    """The entries of a section of a docstring, such as Args."""
    found = re.search(rf"^{name}:\n((?: {{4}}.*\n|\n)*)", text + "\n", re.M)
    return re.findall(r"^ {4}(\w+):", found[1], re.M) if found else []


def callables() -> list[tuple[str, object]]:
    """Public functions, classes to be called, and the methods of the objects that they give."""
    found = []
    for name in NAMES:
        each = getattr(sk, name)
        if not isinstance(each, type):
            found.append((name, each))
        elif each.__module__.startswith("skelpipe.api"):
            found += [(f"{name}.{own}", m) for own, m in vars(each).items() if inspect.isfunction(m) and own[0] != "_"]
    return [*found, *((name, getattr(sk, name)) for name in ("Batches", "ClipsDataset", "Queue")),
            ("View.__call__", sk.View.__call__)]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_has_an_example_that_runs(name, road, registered, monkeypatch):
    found = getattr(sk, name)
    text = inspect.getdoc(found) or ""
    assert text.partition("\n")[0].endswith((".", ":")), "the first line is one sentence"
    tests = doctest.DocTestFinder(recurse=False).find(found, name, globs={"sk": sk, "np": np, "torch": torch})
    examples = [each for each in tests if each.examples]
    assert examples, "it has no example"
    assert "\n\nExample:\n" in text, "under its heading"
    monkeypatch.chdir(road)
    torch.manual_seed(0)
    for each in examples:
        said: list[str] = []
        doctest.DocTestRunner().run(each, out=said.append)
        assert not said, "".join(said)


@pytest.mark.parametrize(("name", "found"), callables(), ids=lambda each: each if isinstance(each, str) else "")
def test_every_parameter_is_documented_in_order(name, found):
    text = inspect.getdoc(found) or ""
    wanted = [each for each in inspect.signature(found).parameters if each != "self"]
    assert text.partition("\n")[0].endswith((".", ":"))
    if wanted and not (len(wanted) == 1 and "Args" not in text and "." in name):  # one that its sentence names
        assert section(text, "Args") == wanted
    if "raise BadInput" in inspect.getsource(found):
        assert "BadInput" in section(text, "Raises")
