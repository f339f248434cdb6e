"""Clips of which most show nobody are not trained on: their loss would fall to nothing."""

from __future__ import annotations

import numpy as np
from click.testing import CliRunner

from skelpipe.cli import main
from skelpipe.outputs.folders import new_folder
from skelpipe.recordings.store import create_group, write_array, write_columns


def test_clips_of_which_most_are_empty_are_refused(tmp_path):
    ids = ("label", "subject", "camera", "setup", "replication")
    columns = {"name": np.array([f"S001C001P001R001A{n:03}" for n in range(1, 9)]),
               **{name: np.ones(8, np.int32) for name in ids}}  # fmt: skip
    about = {"dataset": "ntu60", "layout": "kinect_v2", "columns": list(columns), "frames": 8, "bodies": "first",
             "centre": True, "turn": True, "longest": 300, "length": "count"}  # fmt: skip
    with new_folder(tmp_path / "clips", "clips") as folder:
        group = create_group(folder, "clips", about)
        write_array(group, "clips", np.zeros((8, 3, 8, 25, 2), np.float32))
        write_array(group, "length", np.array([0] * 5 + [8] * 3, np.int32))
        write_columns(group, columns)
    words = ["pretrain", "demo_skeletonclr", tmp_path / "clips", tmp_path / "run", "--split", "xsub60",
             "--stream", "joint", "--set", "batch_size=2"]  # fmt: skip
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 2
    assert "clips: 5 of 8 clips show nobody; train on clips that show people" in result.output
    assert not (tmp_path / "run").exists()
