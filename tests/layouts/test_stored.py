"""Stores and clips in other layouts: their shapes, and that a folder is complete in itself."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml

from skelpipe.errors import BadInput
from skelpipe.inspect.damage import check
from skelpipe.layouts import LAYOUTS, attributes_of, find_layout
from skelpipe.outputs.folders import new_folder
from skelpipe.recordings import store
from skelpipe.recordings.datasets import DATASETS, Recording
from skelpipe.recordings.store import Clips
from skelpipe.recordings.writer import Writer

COLUMNS = {"name": np.array(["a", "b"]), "label": np.zeros(2, np.int32)}


def write_clips(path, layout, shape, **more):
    about = {"dataset": "ntu60", **attributes_of(layout), "frames": 4, "columns": list(COLUMNS), **more}
    with new_folder(path, "clips") as folder:
        group = store.create_group(folder, "clips", about)
        store.write_columns(group, COLUMNS)
        store.write_array(group, "clips", np.ones((2, *shape), np.float32), store.CLIPS_PER_CHUNK)
        store.write_array(group, "length", np.full(2, 4, np.int32))
    return path


@pytest.mark.parametrize("name", ["kinect_v2", "mediapipe33+confidence", "coco17", "coco17+confidence"])
def test_clips_have_the_joints_and_channels_of_their_layout(tmp_path, name):
    layout = find_layout(name)
    shape = (layout.channels, 4, len(layout.joints))
    clips = Clips(write_clips(tmp_path / "two", layout, (*shape, 2)))
    assert clips.layout is layout
    assert (clips.bodies, clips.load().shape) == (2, (2, *shape, 2))
    assert Clips(write_clips(tmp_path / "five", layout, (*shape, 5), max_bodies=5)).bodies == 5
    for wrong in [(shape[0] + 1, *shape[1:], 2), (*shape[:2], 24, 2), (*shape, 1)]:
        path = write_clips(tmp_path / str(wrong), layout, wrong)
        with pytest.raises(BadInput, match=r"clips: has shape .* and by the other arrays should have"):
            Clips(path)


def test_a_store_is_written_in_its_data_sets_layout(tmp_path):
    own = tmp_path / "own.yaml"
    table = {**LAYOUTS["coco17"].as_table(), "name": "own17", "confidence": True}
    own.write_text(yaml.safe_dump(table, sort_keys=False))
    kind = replace(DATASETS["ntu60"], layout=str(own))
    joints = np.arange(2 * 17 * 3, dtype=np.float32).reshape(2, 17, 3)
    ids = dict.fromkeys(kind.columns, 1)
    with new_folder(tmp_path / "store", "store") as folder:
        writer = Writer(folder, kind, [])
        writer.add(Recording("a", ids, 2, joints, np.arange(2, dtype=np.int32), np.zeros(2, np.int64)))
        writer.finish({})
    own.unlink()
    group, about = store.open_group(tmp_path / "store", "store")
    assert (about["layout"], about["layout_table"], about["units"]) == ("own17", table, "pixels")
    assert list(about["layout_table"]["parts"]) == list(table["parts"])
    np.testing.assert_array_equal(store.read_array(group, "joints"), joints)
    assert not check(tmp_path / "store").damaged


def test_a_damaged_table_is_named(tmp_path):
    layout = replace(LAYOUTS["coco17"], name="own17")
    path = write_clips(tmp_path / "clips", layout, (2, 4, 17, 2))
    assert Clips(path).layout == layout
    meta = json.loads((path / "zarr.json").read_text())
    meta["attributes"]["skelpipe"]["layout_table"]["joints"][3]["parent"] = "nobody"
    other = tmp_path / "other"
    with new_folder(other, "clips") as folder:
        group = store.create_group(folder, "clips", meta["attributes"]["skelpipe"])
        store.write_columns(group, COLUMNS)
    with pytest.raises(BadInput, match=r"its layout_table is damaged: the parent of 'left ear', 'nobody', is no joint"):
        store.open_group(other, "clips")
