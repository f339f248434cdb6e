"""Clips folders of the presets: what they hold and say, parts, damage, drawings, and the command's options."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from click.testing import CliRunner
from test_prepare import a_recording, ragged, write_store

from skelpipe.cli import main
from skelpipe.clips import prepare as module
from skelpipe.clips.chain import Chain
from skelpipe.clips.prepare import prepare
from skelpipe.clips.presets import PRESETS, find_preparation
from skelpipe.clips.streams import write_streams
from skelpipe.errors import BadInput
from skelpipe.inspect.damage import check
from skelpipe.inspect.describe import describe
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.outputs.digests import read_digest
from skelpipe.outputs.folders import new_folder
from skelpipe.plots.motion import load_motion
from skelpipe.recordings import NATIVE, frames, parts, store
from skelpipe.recordings.native import Native, blocks
from skelpipe.recordings.parts import Part, join
from skelpipe.recordings.store import Clips

EMPTY = 6  # of the recordings


@pytest.fixture(scope="module")
def recordings():
    rng = np.random.default_rng(3)
    some = [
        a_recording(rng, length, bodies) for length, bodies in ((1, 1), (9, 2), (60, 1), (51, 3), (330, 2), (12, 2))
    ]
    return [*some, [[] for _ in range(6)], a_recording(rng, 40, 1, empty=0)]


@pytest.fixture(scope="module")
def small_store(tmp_path_factory, recordings):
    path = tmp_path_factory.mktemp("presets") / "store"
    write_store(path, recordings)
    return path


@pytest.fixture
def small_chunks(monkeypatch):
    """Blocks and chunks that end inside clips and parts."""
    for of in (frames, parts):
        monkeypatch.setattr(of, "ROWS_PER_CHUNK", 7)
        monkeypatch.setattr(of, "CHUNKS_AT_ONCE", 2)
    monkeypatch.setattr(parts, "CLIPS_PER_CHUNK", 2)
    monkeypatch.setattr(store, "CLIPS_PER_CHUNK", 2)
    monkeypatch.setattr(module, "CLIPS_PER_BLOCK", 3)


def expected(recordings, preset, **options):
    return Chain(find_preparation(preset, options), KINECT_V2).run(ragged(recordings))


# Of the shipped presets: bodies, and how many clips are cut (one has 330 frames, of which some leave fewer than 300).
BODIES = {"isc": 2, "ctr": 2, "raw": 2, "pc": 1, "body_axes": 2}
CUT = {"isc": 1, "ctr": 0, "raw": 1, "pc": 0, "body_axes": 0}


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "aimclr"])
def test_a_folder_holds_what_the_chain_makes(small_store, recordings, tmp_path, small_chunks, preset):
    made = expected(recordings, preset)
    summary = prepare(small_store, tmp_path / "clips", preset=preset)
    clips = Clips(tmp_path / "clips")
    np.testing.assert_array_equal(clips.load(), made.values)
    np.testing.assert_array_equal(clips.valid, made.valid)
    np.testing.assert_array_equal(store.read_array(clips.group, "length"), made.length)
    assert clips.valid.dtype == np.int32
    assert clips.attributes["preparation"] == preset
    assert clips.frames == summary.frames == PRESETS[preset].frames
    assert clips.bodies == made.values.shape[-1] == BODIES.get(preset, made.values.shape[-1])
    assert summary.empty == (str(clips.columns["name"][EMPTY]),)
    assert summary.shortened == made.cut.sum() == CUT.get(preset, made.cut.sum())
    assert not check(tmp_path / "clips").damaged


@pytest.mark.parametrize("preset", PRESETS)
def test_native_clips_are_read_as_they_were_made(small_store, recordings, tmp_path, small_chunks, preset):
    made = expected(recordings, preset, frames=NATIVE)
    prepare(small_store, tmp_path / "clips", preset=preset, frames=NATIVE)
    clips = Clips(tmp_path / "clips")
    assert (clips.frames, clips.attributes["frames"]) == (NATIVE, NATIVE)
    np.testing.assert_array_equal(clips.valid, made.valid)
    native = clips.load()
    ends = np.cumsum(made.valid)
    assert isinstance(native, Native)
    assert len(native) == len(recordings)
    assert (native.channels, native.joints, native.bodies) == (3, 25, made.values.shape[-1])
    np.testing.assert_array_equal(native.lengths, made.valid)
    for n, end in enumerate(ends):
        clip = native.clip(n)
        assert clip.flags.c_contiguous
        np.testing.assert_array_equal(clip, made.values[end - made.valid[n] : end].swapaxes(0, 1))
    index = np.array([7, 2, 2, EMPTY, 0])
    some = clips.load(index, "float16")
    assert some.values.dtype == np.float16
    for place, n in enumerate(index):
        np.testing.assert_array_equal(some.clip(place), native.clip(n).astype(np.float16))
    mask = np.arange(len(recordings)) % 2 == 0
    np.testing.assert_array_equal(clips.load(mask).lengths, made.valid[mask])
    assert len(clips.load(np.zeros(0, np.int64))) == 0
    kept = native.bodies_kept(1)
    assert kept.clip(5).shape == (3, made.valid[5], 25, 1)
    np.testing.assert_array_equal(kept.clip(5), native.clip(5)[..., :1])
    assert kept.bodies_kept(2) is kept
    assert not check(tmp_path / "clips").damaged


def test_valid_is_all_of_clips_that_are_resized(small_store, tmp_path):
    prepare(small_store, tmp_path / "clips", frames=8)
    clips = Clips(tmp_path / "clips")
    assert "valid" not in clips.group
    assert clips.valid.tolist() == [8] * len(clips)
    assert "preparation" not in clips.attributes


@pytest.mark.parametrize("of", [1, 3])
@pytest.mark.parametrize("options", [{"preset": "isc", "frames": NATIVE}, {"preset": "pc"}, {"preset": "ctr"}], ids=str)
def test_parts_join_to_the_bytes_of_the_whole(small_store, tmp_path, small_chunks, of, options):
    prepare(small_store, tmp_path / "whole", **options)
    made = [tmp_path / f"part{number}" for number in range(1, of + 1)]
    for number, path in enumerate(made, 1):
        prepare(small_store, path, part=Part(number, of), **options)
    join(made, tmp_path / "joined")
    assert read_digest(tmp_path / "joined") == read_digest(tmp_path / "whole")


def test_parts_of_unlike_presets_do_not_join(small_store, tmp_path):
    prepare(small_store, tmp_path / "a", preset="ctr", part=Part(1, 2))
    prepare(small_store, tmp_path / "b", preset="body_axes", part=Part(2, 2))
    with pytest.raises(BadInput, match="has preparation body_axes, and .* has ctr"):
        join([tmp_path / "a", tmp_path / "b"], tmp_path / "c")


def test_offsets_that_contradict_the_frames_are_damage(small_store, tmp_path):
    prepare(small_store, tmp_path / "good", preset="raw", frames=NATIVE)
    good = Clips(tmp_path / "good")
    with new_folder(tmp_path / "bad", "clips") as folder:
        group = store.create_group(folder, "clips", good.attributes)
        store.write_columns(group, good.columns)
        for name in ("clips", "length"):
            store.write_array(group, name, store.read_array(good.group, name))
        store.write_array(group, "clip_offset", store.read_array(good.group, "clip_offset") + 1)
    bad = Clips(tmp_path / "bad")
    for reading in (bad.load, lambda: bad.valid):
        with pytest.raises(BadInput, match="contradict each other"):
            reading()
    (damage,) = check(tmp_path / "bad").damaged
    assert "contradict each other" in damage.what


def test_drawings_show_the_clips_own_frames_at_the_pace_of_the_recording(small_store, tmp_path):
    prepare(small_store, tmp_path / "native", preset="raw", frames=NATIVE)
    prepare(small_store, tmp_path / "padded", preset="raw")
    prepare(small_store, tmp_path / "strided", preset="pc")
    for name in ("native", "padded"):
        motion = load_motion(tmp_path / name, "S001C001P003R001A001")
        assert motion.joints.shape == (60, 2, 25, 3)
        assert motion.seconds == pytest.approx(1 / 30)
    motion = load_motion(tmp_path / "strided", "S001C001P005R001A001")
    assert motion.joints.shape == (50, 1, 25, 3)
    assert motion.seconds > 3 / 30


def test_inspect_tells_of_the_preparation(small_store, tmp_path, capsys, monkeypatch):
    from rich.console import Console

    monkeypatch.setattr("skelpipe.inspect.describe.fitting_splits", lambda *_: [])  # this store has no subjects
    prepare(small_store, tmp_path / "clips", preset="raw", steps=["centre=own"])
    Console(width=200).print(describe(tmp_path / "clips"))
    text = capsys.readouterr().out
    assert "bodies=first, gaps=keep, centre=own, align=none, scale=none, time=pad" in text
    assert "valid frames" in text


def test_what_needs_one_length_refuses_native_clips(small_store, tmp_path):
    prepare(small_store, tmp_path / "clips", frames=NATIVE)
    with pytest.raises(BadInput, match="holds clips of their own lengths"):
        write_streams(tmp_path / "clips", tmp_path / "streams")


def test_memory_does_not_grow_with_the_store(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CLIPS_PER_BLOCK", 16)
    monkeypatch.setattr(frames, "ROWS_PER_CHUNK", 64)
    recording = a_recording(np.random.default_rng(0), 40, 2)
    peaks = []
    for count in (32, 160):
        write_store(tmp_path / f"store{count}", [recording] * count)
        prepare(tmp_path / f"store{count}", tmp_path / f"warm{count}", preset="isc", frames=NATIVE, threads=1)
        tracemalloc.start()
        prepare(tmp_path / f"store{count}", tmp_path / f"clips{count}", preset="isc", frames=NATIVE, threads=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 128 * 40 * 150 * 4 / 3  # a third of what the further frames would need


def test_blocks_hold_whole_clips_and_all_of_them():
    rng = np.random.default_rng(0)
    for lengths in ([1], [40_000], [1, 40_000, 1], rng.integers(1, 900, 500).tolist(), [32_768] * 3):
        offset = np.concatenate([[0], np.cumsum(lengths)])
        runs = list(blocks(offset))
        assert [n for start, stop in runs for n in range(start, stop)] == list(range(len(lengths)))
        assert all(offset[stop] - offset[start] <= 32_768 + max(lengths) for start, stop in runs)


# ---- the command


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="skelpipe")


def test_the_command_prepares_presets_and_changes_of_them(small_store, tmp_path):
    done = call("prepare", small_store, tmp_path / "isc", "--preset", "isc", "--frames", 64)
    assert done.exit_code == 0, done.output
    assert "8 clips of 64 frames, 1 were cut to 64 frames first" in done.output
    assert Clips(tmp_path / "isc").attributes["preparation"] == "isc"
    done = call("prepare", small_store, tmp_path / "native", "--preset", "raw", "--frames", "native", "--longest", 300)
    assert "8 clips of their own lengths, 1 were cut to 300 frames first" in done.output
    assert Clips(tmp_path / "native").valid.max() == 300
    done = call("prepare", small_store, tmp_path / "steps", "--preset", "ctr", "--step", "scale=spine", "--no-centre")
    assert done.exit_code == 0, done.output
    about = Clips(tmp_path / "steps").attributes
    assert about["preparation"] == [
        "bodies=denoise", "gaps=keep", "centre=none", "align=none", "scale=spine", "time=first"
    ]  # fmt: skip


def test_defaults_shown_by_the_command_are_those_of_its_default_preset():
    shown = {option.name: option.default for option in main.commands["prepare"].params}
    preset = PRESETS[shown["preset"]]
    assert (shown["frames"], shown["longest"], shown["length"]) == (preset.frames, preset.longest, preset.length)
    assert shown["bodies"] == preset.choice("bodies")
    assert (shown["centre"], shown["turn"]) == (preset.choice("centre") == "own", preset.choice("align") == "yaw")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--step align=foo", "align: 'foo' is not known; use one of yaw, first_bones, first_basis, body_axes, none"),
        (
            "--step foo",
            "step 'foo': is not one; write KIND=CHOICE, KIND one of bodies, gaps, centre, align, scale, time",
        ),
        ("--step turn=none", "step 'turn=none': is not one"),
        ("--frames native --step time=pad", "step time=pad: says how clips come to one length, and with 'native'"),
        ("--no-turn --step align=yaw", "step align: is 'none' and 'yaw'; say it once"),
        ("--frames Native", "Invalid value for '--frames': 'Native' is not a number of frames, nor 'native'"),
        ("--frames 1", "Invalid value for '--frames': 1 is not in the range"),
        ("--frames 100001", "frames: 100001 is not a number of frames; use 1 to 100,000, or 'native'"),
    ],
)
def test_wrong_options_are_told_in_a_line(small_store, tmp_path, words, line):
    done = call("prepare", small_store, tmp_path / "clips", *words.split())
    assert done.exit_code == 2
    assert line in done.output
    assert len(done.output.splitlines()) == 1
    assert not (tmp_path / "clips").exists()


@pytest.mark.parametrize("preset", PRESETS)
def test_native_clips_are_cut_only_where_it_is_asked_for(preset):
    assert find_preparation(preset, {"frames": NATIVE}).longest is None
    assert find_preparation(preset, {"frames": NATIVE, "longest": 70}).longest == 70
    assert find_preparation(preset, {"frames": 64}).longest == PRESETS[preset].longest


def test_a_long_recording_keeps_its_length_in_native_clips(tmp_path):
    write_store(tmp_path / "store", [a_recording(np.random.default_rng(0), 330, 1)])
    assert prepare(tmp_path / "store", tmp_path / "native", frames=NATIVE).shortened == 0
    assert prepare(tmp_path / "store", tmp_path / "all", frames=NATIVE, longest=1000).shortened == 0
    assert prepare(tmp_path / "store", tmp_path / "cut", frames=NATIVE, longest=300).shortened == 1
    native, whole, cut = (Clips(tmp_path / name).valid.tolist() for name in ("native", "all", "cut"))
    assert native == whole > cut


def test_unknown_presets_are_refused():
    with pytest.raises(BadInput, match="preset 'aimclrs': is not known; did you mean 'aimclr'"):
        find_preparation("aimclrs", {})
    with pytest.raises(BadInput, match="length: 'some' is not known; use one of count, last, all"):
        find_preparation("raw", {"length": "some"})
