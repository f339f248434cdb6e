"""`import skelpipe` loads nothing that is slow, and a name only what it needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"torch", "numba", "numpy", "zarr", "pandas", "pydantic", "matplotlib", "sklearn", "h5py", "pyarrow", "yaml"}


def imported(code: str) -> set[str]:
    """The packages that a process of its own has imported after `code`."""
    code = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {*done.stdout.split()}


@pytest.mark.parametrize("code", ["import skelpipe as sk", "import skelpipe as sk; dir(sk); sk.__all__; sk.BadInput"])
def test_the_import_itself_loads_neither_torch_nor_arrays(code):
    assert not imported(code) & HEAVY


@pytest.mark.parametrize("code", ["sk.list_recipes()", "sk.list_layouts()", "sk.get_layout('coco17').joints",
                                  "sk.list_pipelines()", "sk.list_datasets()"])  # fmt: skip
def test_lists_load_no_arrays(code):
    assert not imported(f"import skelpipe as sk; {code}") & HEAVY


@pytest.mark.parametrize("name", ["ingest", "prepare", "open_clips", "open_store", "synth"])
def test_data_loads_no_torch(name):
    assert not imported(f"import skelpipe as sk; sk.{name}") & {"torch", "pandas", "matplotlib", "sklearn", "pyarrow"}


def test_what_is_not_there_is_told_as_python_does():
    import skelpipe as sk

    with pytest.raises(AttributeError, match="has no attribute 'pretrian' .did you mean 'pretrain'"):
        sk.pretrian  # noqa: B018
