"""Opening, reading and refusing clips folders; slices over threads."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading

import numpy as np
import pytest
import zarr
from conftest import write_clips

from skelpipe.errors import BadInput
from skelpipe.outputs.folders import new_folder
from skelpipe.parallel import map_slices
from skelpipe.recordings import store
from skelpipe.recordings.store import Clips, create_group, read_array, write_array


def test_clips_load_whole_by_mask_and_by_index(tmp_path):
    clips = Clips(write_clips(tmp_path / "c.zarr", per_class=300, frames=4))  # several chunks
    whole = clips.load()
    assert whole.shape == (1200, 3, 4, 25, 2)
    np.testing.assert_array_equal(whole, clips.group["clips"][...])
    mask = clips.columns["subject"] == 3
    np.testing.assert_array_equal(clips.load(mask), whole[mask])
    index = np.array([1100, 3, 3, 800, 0])
    np.testing.assert_array_equal(clips.load(index), whole[index])
    half = clips.load(index, "float16")
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, whole[index], atol=2e-3)


def test_strings_come_back(tmp_path):
    group = create_group(tmp_path / "g", "clips", {})
    names = np.array(["a", "bcd", "é 漢", ""])
    write_array(group, "name", names)
    write_array(group, "none", np.array([], dtype=str))
    back = read_array(group, "name")
    assert back.dtype.kind == "U"
    assert back.tolist() == names.tolist()
    assert read_array(group, "none").tolist() == []


def copy(clips, tmp_path):
    shutil.copytree(clips, tmp_path / "c.zarr")
    return tmp_path / "c.zarr"


@pytest.mark.parametrize("version", [1, 99, None, "2"])  # in the first, a chunk that is missing means zeros
def test_another_version_is_refused(clips, tmp_path, version):
    path = copy(clips, tmp_path)
    meta = json.loads((path / "zarr.json").read_text())
    meta["attributes"]["skelpipe"]["format_version"] = version
    (path / "zarr.json").write_text(json.dumps(meta))
    with pytest.raises(BadInput, match=f"format version {version}, this skelpipe reads version {store.FORMAT_VERSION}"):
        Clips(path)


def test_damage_is_named(clips, tmp_path):
    path = copy(clips, tmp_path)
    chunk = next(p for p in (path / "clips" / "c").rglob("*") if p.is_file())
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    with pytest.raises(BadInput, match="clips: is damaged"):
        Clips(path).load()
    (path / "zarr.json").write_text("{")
    with pytest.raises(BadInput, match="metadata cannot be read"):
        Clips(path)


def test_a_missing_array_is_named(clips, tmp_path):
    path = copy(clips, tmp_path)
    shutil.rmtree(path / "label")
    with pytest.raises(BadInput, match="label/zarr.json: is missing; remake it"):
        Clips(path)


def test_chunks_carry_checksums(clips):
    codecs = [c["name"] for c in zarr.open_group(clips, mode="r")["clips"].metadata.to_dict()["codecs"]]
    assert codecs == ["transpose", "bytes", "blosc", "crc32c"]


@pytest.mark.parametrize(("n", "threads"), [(0, 4), (1, 4), (17, 4), (1000, 3), (1000, 1)])
def test_slices_cover_everything_once(n, threads):
    seen, lock = np.zeros(n, int), threading.Lock()

    def count(start, stop):
        with lock:
            seen[start:stop] += 1

    map_slices(count, n, threads, least=1)
    assert (seen == 1).all()


def test_an_error_in_a_slice_is_raised():
    def fail(start, stop):
        if start:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        map_slices(fail, 100, 2)


def test_what_lies_on_the_disk_is_bit_for_bit_what_was_given(tmp_path):
    bits = np.random.default_rng(0).integers(0, 2**32, (300, 3, 4, 5, 2), np.uint32)
    bits[:, :, :, :, 1] = 0x80000000  # -0.0, of which nothing may become 0.0
    values = bits.view(np.float32)  # NaNs with a payload, denormals and infinities among them
    with new_folder(tmp_path / "x", "clips") as folder:
        group = store.create_group(folder, "clips", {})
        store.write_array(group, "clips", values, store.CLIPS_PER_CHUNK)
        store.write_array(group, "joints", values[0, ..., 0].transpose(1, 2, 0))
    plain = zarr.open_group(tmp_path / "x", mode="r")  # needs nothing of ours
    assert plain["clips"].shape == values.shape
    assert plain["clips"][:].tobytes() == values.tobytes()
    assert plain["joints"][:].tobytes() == values[0, ..., 0].transpose(1, 2, 0).tobytes()
    assert read_array(plain, "clips", slice(120, 140)).tobytes() == values[120:140].tobytes()


def test_an_absent_body_takes_no_space(tmp_path):
    clips = np.random.default_rng(0).normal(size=(128, 3, 50, 25, 2)).astype(np.float32)
    sizes = []
    for name in ("both", "one"):
        with new_folder(tmp_path / name, "clips") as folder:
            store.write_array(store.create_group(folder, "clips", {}), "clips", clips, store.CLIPS_PER_CHUNK)
        sizes.append(sum(p.stat().st_size for p in (tmp_path / name / "clips" / "c").rglob("*") if p.is_file()))
        clips[..., 1] = 0
    assert sizes[1] < 0.52 * sizes[0]


def test_a_forked_process_has_threads_of_its_own():
    map_slices(lambda a, b: None, 100, 2, least=1)  # the parent's are there
    if (child := os.fork()) == 0:
        signal.alarm(20)
        map_slices(lambda a, b: None, 100, 2, least=1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
