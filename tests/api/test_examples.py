"""Every public name has an example in its docstring, and it runs."""

from __future__ import annotations

import doctest
import inspect

import numpy as np
import pytest
import torch
from road import documented

import skelpipe as sk

NOT_CALLED = {"__version__"}


@pytest.mark.parametrize("name", [name for name in sk.__all__ if name not in NOT_CALLED])
def test_a_public_name_is_documented_and_its_example_runs(name, road, monkeypatch):
    found = getattr(sk, name)
    text = inspect.getdoc(found) or ""
    assert text.partition("\n")[0].endswith((".", ":")), "the first line is one sentence"
    tests = doctest.DocTestFinder(recurse=False).find(found, name, globs={"sk": sk, "np": np, "torch": torch})
    examples = [each for each in tests if each.examples]
    assert examples or name not in documented(), "it has no example"
    monkeypatch.chdir(road)
    torch.manual_seed(0)
    for each in examples:
        said: list[str] = []
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(each, out=said.append)
        assert not said, "".join(said)
