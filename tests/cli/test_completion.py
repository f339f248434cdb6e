"""What shells complete, how quickly, and that it is the same as what the commands take."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner

from skelpipe.cli import main
from skelpipe.evaluation.protocols import PROTOCOLS
from skelpipe.exchange.arrays import FORMATS
from skelpipe.layouts import LAYOUTS
from skelpipe.paper.systems import recipes
from skelpipe.recordings.datasets import DATASETS, SPLITS
from skelpipe.report.figures import FIGURES
from skelpipe.resources import listed, names

SLOW = {"torch", "numba", "pandas", "sklearn", "matplotlib", "snakemake", "zarr", "pyarrow", "pydantic", "rich"}
ASK = """
import sys
from skelpipe.cli import main
try:
    main(prog_name="skelpipe")
finally:
    print("\\nimported", *sys.modules)
"""


def completed(words: str, in_bash: str = "bash_complete") -> tuple[list[str], set[str]]:
    """What is offered for the last of the words, and which packages were imported for that."""
    told = {"_SKELPIPE_COMPLETE": in_bash, "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", ASK], env={**os.environ, **told}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    offered, _, modules = done.stdout.partition("\nimported ")
    return offered.split(), {name.partition(".")[0] for name in modules.split()}


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("skelpipe pre", ["predict", "prepare", "pretrain"]),
        ("skelpipe evaluate --probe", ["--probe"]),
        ("skelpipe pretrain ", recipes()),
        ("skelpipe run ", names("pipelines")),
        ("skelpipe ingest ", [*DATASETS, "poses"]),
        ("skelpipe ingest poses a b --layout ", [*LAYOUTS]),
        ("skelpipe pretrain a b c --split ", [*SPLITS]),
        ("skelpipe evaluate a b c --protocol ", [*PROTOCOLS]),
        ("skelpipe report --figure ", [*FIGURES]),
        ("skelpipe import ", [*FORMATS]),
        ("skelpipe bench --recipe small_cro", [name for name in recipes() if name.startswith("small_cro")]),
        ("skelpipe completion ", ["bash", "zsh", "fish"]),
    ],
)
def test_names_are_completed_without_a_slow_import(words, wanted):
    offered, imported = completed(words)
    assert [line.removeprefix("plain,") for line in offered] == wanted
    assert not imported & SLOW


def test_where_no_name_fits_paths_do():
    for words in ("skelpipe pretrain ./mine", "skelpipe ingest gym.y", "skelpipe pretrain a b c --split my_"):
        assert completed(words)[0] == [f"file,{words.split(' ')[-1]}"]


def test_what_is_read_of_a_module_is_what_it_holds():
    assert listed("evaluation/protocols.py", "OWN", "protocols") == [*PROTOCOLS]
    assert listed("report/figures/__init__.py", "FIGURES") == [*FIGURES]
    assert listed("exchange/arrays/__init__.py", "FORMATS") == [*FORMATS]
    assert listed("errors.py", "NOTHING") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_is_printed_is_for_that_shell(shell, tmp_path):
    told = CliRunner().invoke(main, ["completion", shell])
    assert told.exit_code == 0
    assert f"_SKELPIPE_COMPLETE={shell}_complete" in told.output
    assert told.output == CliRunner().invoke(main, ["completion"], env={"SHELL": f"/usr/bin/{shell}"}).output
    if shutil.which(shell):
        file = tmp_path / "it"
        file.write_text(told.output)
        subprocess.run([shell, "-n", file], check=True)


def test_a_shell_that_is_not_known_is_told():
    told = CliRunner().invoke(main, ["completion"], env={"SHELL": "/bin/tcsh"})
    assert told.exit_code == 2
    assert "shell 'tcsh': is none that can be completed; name one of bash, zsh, fish" in told.output


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_bash_completes_in_earnest(tmp_path):
    """By the function that the script defines, called as bash calls it."""
    program = tmp_path / "skelpipe"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m skelpipe "$@"\n')
    program.chmod(0o755)
    script = CliRunner().invoke(main, ["completion", "bash"]).output
    code = f"{script}\nCOMP_WORDS=({program} pretrain small_cros)\nCOMP_CWORD=2\n_skelpipe_completion {program}\n"
    done = subprocess.run(["bash", "-c", code + 'echo "${COMPREPLY[@]}"'], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [name for name in recipes() if name.startswith("small_cros")]
