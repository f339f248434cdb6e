"""What commands on few files import, which is most of their time."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest
from rawtext import files, ntu_clip

from skelpipe.cli.importing import importing

HEAVY = {"torch", "pandas", "matplotlib", "sklearn", "pyarrow", "h5py", "pydantic", "snakemake", "rich"}
RUN = """
import sys
from skelpipe.cli import main
try:
    main(sys.argv[1:], prog_name="skelpipe")
finally:
    print("\\nimported", *sys.modules)
"""


def imported(*words: object) -> set[str]:
    """What a command has imported in a process of its own: names of modules, and of their packages."""
    done = subprocess.run([sys.executable, "-c", RUN, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names = done.stdout.rpartition("\nimported ")[2].split()
    return {*names, *(name.partition(".")[0] for name in names)}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of two recordings, their store and their clips."""
    folder = tmp_path_factory.mktemp("start")
    files(folder / "raw", S001C001P001R001A001=ntu_clip(0, 8), S001C001P002R001A001=ntu_clip(1, 8))
    imported("ingest", "ntu60", folder / "raw", folder / "store")
    imported("prepare", folder / "store", folder / "clips")
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ("ingest", "ntu60", "raw", "store", "--force"),
        ("prepare", "store", "clips", "--force"),
        ("inspect", "raw"),
        ("inspect", "clips"),
    ],
    ids=" ".join,
)
def test_few_files_import_neither_torch_nor_tables(made, words):
    found = imported(*(made / word if (made / word).exists() else word for word in words))
    rich = {"rich"} if words[0] == "inspect" else set()  # which draws tables
    assert not found & (HEAVY - rich)


def test_predict_imports_no_plots_unless_it_draws(made):
    code = "from skelpipe.cli.predict import _check; import sys; _check(dict.fromkeys(sys.argv[1:]), []); "
    code += "print(*sys.modules)"
    words = ("window", "follow", "hop", "patience", "all_classes", "out", "timeline")
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert "torch" in done.stdout.split()
    assert "matplotlib" not in done.stdout.split()


# ---- imports without garbage collection


def test_garbage_is_collected_again_after_an_import_even_one_that_fails():
    assert gc.isenabled()
    with importing():
        assert not gc.isenabled()
    assert gc.isenabled()
    frozen = gc.get_freeze_count()
    assert frozen > 0
    with pytest.raises(ModuleNotFoundError), importing():
        import no_such_module  # noqa: F401
    assert gc.isenabled()
    assert gc.get_freeze_count() <= frozen  # once a process
    gc.disable()
    try:
        with importing():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
