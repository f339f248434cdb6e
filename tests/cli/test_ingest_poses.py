"""Recordings of one's own from the command line: files to clips, what is told, and mistakes in a line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from skelpipe.cli import main


def run(*words):
    return CliRunner().invoke(main, [*map(str, words)])


@pytest.fixture
def raw(tmp_path):
    random = np.random.default_rng(0)
    for name in ("wave/1", "wave/2", "clap/3"):
        path = tmp_path / "raw" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(random.uniform(100, 900, (20, 17, 2)).tolist()))
    return tmp_path / "raw"


def test_from_files_to_clips(raw, tmp_path):
    seen = run("inspect", raw)
    assert seen.output.endswith(f"skelpipe ingest poses {raw} STORE --layout coco17\n")
    store = tmp_path / "store"
    made = run("ingest", "poses", raw, store, "--layout", "coco17", "--fps", 25, "--name", "gym")
    assert (made.exit_code, "3 clips, 60 bodies in frames" in made.output) == (0, True)
    assert "the classes are 2 sub-folders: clap, wave" in made.output
    assert "published" not in made.output
    assert f"{store}: all 3 clips and 60 bodies in frames equal the raw files" in run("verify", store, raw).output
    shown = run("inspect", store).output
    assert "fps 25.0" in shown
    assert "gym" in shown
    assert run("plot", store, "1", tmp_path / "one.png").exit_code == 0
    clips = run("prepare", store, tmp_path / "clips", "--step", "align=none", "--frames", 10)
    assert (clips.exit_code, "3 clips of 10 frames" in clips.output) == (0, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("poses",), "ingest poses: needs the layout of the joints; add --layout NAME or FILE.yaml"),
        (
            ("ntu60", "--layout", "coco17"),
            "--layout: is said of recordings of your own, and ntu60 is known; leave it out",
        ),
        (("poses", "--layout", "coco18"), "layout 'coco18': is not known; did you mean 'coco17'?"),
        (("poses", "--layout", "coco17", "--unit", "mm"), "unit mm: is no unit of layout coco17"),
        (("poses", "--layout", "kinect_v1"), "no clip can be kept (3 unreadable)"),
        (("none.yaml",), "none.yaml: cannot be read"),
        (("pose",), "Invalid value for 'DATASET': 'pose' is not one of"),
    ],
)
def test_mistakes_are_a_line(words, said, raw, tmp_path):
    what, *options = words
    made = run("ingest", what, raw, tmp_path / "store", *options)
    assert made.exit_code == 2
    assert said in made.output
    assert made.output.strip().count("\n") == 0
    assert not (tmp_path / "store").exists()
