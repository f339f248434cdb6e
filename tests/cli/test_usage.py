"""Mistakes in how the program is called: one line each, exit status 2, and what was meant."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from skelpipe.cli import main

PRETRAIN = ("pretrain", "a", "b", "c", "--split", "xsub60")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--foo",), "No such option '--foo'; 'skelpipe --help' shows how it is used"),
        (("--verbos",), "No such option '--verbos'; did you mean '--verbose'?"),
        (("-vx", "inspect"), "No such option '-x'; 'skelpipe --help' shows how it is used"),
        (("pretrian", "x"), "No such command 'pretrian'; did you mean 'pretrain'?"),
        (("zzzz",), "No such command 'zzzz'; 'skelpipe --help' shows how it is used"),
        (("--traceback",), "Missing command; 'skelpipe --help' shows how it is used"),
        (("pretrain",), "Missing argument 'RECIPE'; 'skelpipe pretrain --help' shows how it is used"),
        (("fuse", "a", "b"), "Missing option '--out'; 'skelpipe fuse --help' shows how it is used"),
        (("fuse", "a", "--out"), "Option '--out' requires an argument; 'skelpipe fuse --help' shows how it is used"),
        (("bench", "x"), "Got unexpected extra argument (x); 'skelpipe bench --help' shows how it is used"),
        ((*PRETRAIN, "--streem", "x"), "No such option '--streem'; did you mean '--stream'?"),
        (("prepare", "a", "b", "--no-center"), "No such option '--no-center'; did you mean '--no-centre'?"),
        ((*PRETRAIN, "--stream", "jiont"),
         "Invalid value for '--stream': 'jiont' is not one of 'joint', 'motion', 'bone', '3s'; did you mean 'joint'?"),
        (("synth", "ntu6", "a"),
         "Invalid value for 'DATASET': 'ntu6' is not one of 'ntu60', 'ntu120', 'pku1', 'pku2', 'nw-ucla'; "
         "did you mean 'ntu60'?"),
        (("evaluate", "a", "b", "c", "--k", "x"),
         "Invalid value for '--k': 'x' is not a whole number; 'skelpipe evaluate --help' shows how it is used"),
        (("embed", "a", "b", "c", "--split", "xsub 60"), "split 'xsub 60': is unknown; did you mean 'xsub60'?"),
        (("embed", "a", "b", "c", "--split", "ntu60:camra:1"),
         "split 'ntu60:camra:1': cannot be made: ntu60 has no column 'camra'; did you mean 'camera'? "
         "Its columns are subject, camera, setup, replication"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(words, said):
    done = CliRunner().invoke(main, words, prog_name="skelpipe")
    assert done.exit_code == 2
    assert done.output == f"skelpipe: {said}\n"


def test_called_without_anything_it_shows_its_help():
    done = CliRunner().invoke(main, [], prog_name="skelpipe")
    assert "Usage: skelpipe" in done.output
    assert "Measure:" in done.output


def test_what_the_encoding_of_the_terminal_has_not_is_escaped(clips, tmp_path):
    folder = tmp_path / "für mich"
    folder.mkdir()
    (folder / "c.zarr").symlink_to(clips)
    command = [sys.executable, "-m", "skelpipe", "inspect", str(folder / "c.zarr")]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "300"}
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"f\\xfcr mich" in done.stdout
