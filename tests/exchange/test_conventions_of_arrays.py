"""Arrays of other conventions, in each format: brought to ours or refused; 2s-AGCN's as its script makes them."""

from __future__ import annotations

import pickle

import h5py
import numpy as np
import preset_twins
import pytest
from click.testing import CliRunner
from people import person

from skelpipe.cli import main
from skelpipe.clips.prepare import prepare
from skelpipe.recordings.ingest import ingest
from skelpipe.recordings.store import Clips, read_array
from skelpipe.recordings.synthetic import write_raw

FRAMES = 60
# People whom every cross-subject split trains on, as the files' names say.
NAMES = [f"S001C00{1 + n % 3}P0{p:02}R001A0{1 + n:02}" for n, p in enumerate((1, 2, 4, 5, 8, 9, 13, 14))]
FORMATS = ("agcn-npy", "ctrgcn-npz", "sgn-h5", "pyskl-pkl")


def bodies(n):
    """The clip n: (M, F, 25, 3), every third with two people."""
    first = person(n, 20 + n)
    return np.stack([first, person(n + 50, 20 + n, (-0.8, 0, 3.2))] if n % 3 == 0 else [first])


def array(change=lambda clip: clip, count=8):
    """(n, T, 2, 25, 3), zeros behind; `change` is made of each clip (F, 2, 25, 3), zeros for who is absent."""
    out = np.zeros((count, FRAMES, 2, 25, 3), np.float32)
    for n in range(count):
        clip = np.zeros((20 + n, 2, 25, 3), np.float32)
        for m, body in enumerate(bodies(n)):
            clip[:, m] = body
        out[n, : len(clip)] = change(clip)
    return out


def seen(change):
    """A change of the rows of people alone."""

    def of(clip):
        out, shown = clip.copy(), clip.any(axis=(2, 3))
        out[shown] = change(clip[shown])
        return out

    return of


def labels(to, of="all"):
    (to / f"{of}_label.pkl").write_bytes(pickle.dumps(([f"{name}.skeleton" for name in NAMES], list(range(8)))))
    return to / f"{of}_label.pkl"


def written(to, format, x):
    """The files of a format that hold such an array, all clips for training but the last of a file without names."""
    to.mkdir()
    flat, one = x.reshape(len(x), FRAMES, 150), np.eye(60)[:8]
    if format == "agcn-npy":
        np.save(to / "all_data_joint.npy", x.transpose(0, 4, 1, 3, 2))
        return [to / "all_data_joint.npy", labels(to)]
    if format == "ctrgcn-npz":
        np.savez(to / "a.npz", x_train=flat[:7], y_train=one[:7], x_test=flat[7:], y_test=one[7:])
        return [to / "a.npz"]
    if format == "sgn-h5":
        with h5py.File(to / "a.h5", "w") as file:
            for key, part in (("x", slice(0, 5)), ("valid_x", slice(5, 7)), ("test_x", slice(7, 8))):
                file[key], file[key.replace("x", "y")] = flat[part], one[part]
        return [to / "a.h5"]
    own = [clip[: 20 + n] for n, clip in enumerate(x)]
    notes = [{"frame_dir": name, "label": n, "keypoint": clip[:, : 2 if clip[:, 1].any() else 1].transpose(1, 0, 2, 3)}
             for n, (name, clip) in enumerate(zip(NAMES, own, strict=True))]  # fmt: skip
    (to / "a.pkl").write_bytes(pickle.dumps({"split": {}, "annotations": notes}))
    return [to / "a.pkl"]


def run(*words):
    result = CliRunner().invoke(main, [str(word) for word in words])
    return result.exit_code, result.output


def taken(to, format, files, *options):
    """What `skelpipe import` says, and the clips."""
    split = ["--split", "xsub60"] if format in ("ctrgcn-npz", "sgn-h5") else []
    code, said = run("import", format, *files, to, "--dataset", "ntu60", "--frames", 10, *split, *options)
    assert code == 0, said
    return said, Clips(to)


def refused(to, format, files, *words, dataset="ntu60"):
    code, said = run("import", format, *files, to, "--dataset", dataset)
    assert (code, said.count("\n")) == (2, 1), said
    for word in words:
        assert word in said
    assert not to.exists()


def copied(clip):
    out = clip.copy()
    if not clip[:, 1].any():
        out[:, 1] = clip[:, 0]
    return out


# What is changed, and what the command says of it.
CHANGES = {
    "z up": (seen(lambda rows: rows[..., [0, 2, 1]] * np.float32([1, -1, 1])), "z up to y up (x, z, -y)"),
    "x up": (seen(lambda rows: rows[..., [1, 0, 2]] * np.float32([1, -1, 1])), "x up to y up (-y, x, z)"),
    "y down": (seen(lambda rows: rows * np.float32([1, -1, 1])), "-y up to y up (x, -y, z); mirrored back"),
    "mirrored": (seen(lambda rows: rows * np.float32([1, 1, -1])), "mirrored back (-x, y, z)"),
    "mm": (seen(lambda rows: rows * np.float32(1000)), "mm to m"),
    "cm": (seen(lambda rows: rows * np.float32(100)), "cm to m"),
    "hips": (seen(lambda rows: rows - rows[:, :1]), None),
    "spine mid": (lambda clip: seen(lambda rows: rows - clip[0, 0, 1])(clip), None),
    "all moved": (lambda clip: clip - clip[:, :1, :1], "bodies whose joints lie all in one point to zeros"),
    "copies": (copied, "the second body of 5 clips is a copy of the first, and was left out"),
}


@pytest.mark.parametrize("format", FORMATS)
def test_arrays_of_every_convention_become_the_same_clips(tmp_path, format):
    said, ours = taken(tmp_path / "ours", format, written(tmp_path / "plain", format, array()))
    assert "skelpipe:" not in said
    assert ours.attributes["conventions"]["converted"] == []
    assert read_array(ours.group, "length").tolist() == [20 + n for n in range(8)]
    for n, (name, (change, told)) in enumerate(CHANGES.items()):
        said, clips = taken(tmp_path / f"c{n}", format, written(tmp_path / f"f{n}", format, array(change)))
        near = 2e-5 if name == "mirrored" else 3e-6  # another axis is turned back, and the shoulders then meet it
        np.testing.assert_allclose(clips.load(), ours.load(), atol=near, err_msg=name)
        assert (told or "") in said, name
        assert (told is None) == ("skelpipe:" not in said), name
        assert read_array(clips.group, "length").tolist() == [20 + n for n in range(8)], name
        _, left = taken(tmp_path / f"l{n}", format, tmp_path.glob(f"f{n}/*"), "--no-centre", "--no-turn")
        assert left.attributes["conventions"]["content"] == "positions"


@pytest.mark.parametrize("format", FORMATS)
def test_motion_and_bones_are_refused_in_every_format(tmp_path, format):
    parents = [1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 20, 22, 7, 24, 11]
    motion = array(lambda clip: np.concatenate([clip[1:] - clip[:-1], np.zeros_like(clip[:1])]))
    bones = array(lambda clip: clip - clip[:, :, parents])
    for what, x in (("motion", motion), ("bones", bones)):
        split = ["--split", "xsub60"] if format in ("ctrgcn-npz", "sgn-h5") else []
        files = written(tmp_path / what, format, x)
        code, said = run("import", format, *files, tmp_path / "c", "--dataset", "ntu60", *split)
        assert (code, said.count("\n")) == (2, 1)
        assert f"holds {what} of joints, not positions" in said
        assert not (tmp_path / "c").exists()


def test_the_array_of_positions_beside_one_of_motion_is_named(tmp_path):
    motion = array(lambda clip: np.concatenate([clip[1:] - clip[:-1], np.zeros_like(clip[:1])]))
    for name, x in (("other_data_joint", array()), ("other_data_bone", motion)):
        np.save(tmp_path / f"{name}.npy", x.transpose(0, 4, 1, 3, 2))
    refused(tmp_path / "c", "agcn-npy", [tmp_path / "other_data_bone.npy", labels(tmp_path, "other")],
            "other_data_joint.npy beside it")  # fmt: skip


def test_files_that_contradict_each_other_are_refused(tmp_path):
    files = []
    for part, change in (("train", "copies"), ("val", "mm")):
        made = written(tmp_path / part, "agcn-npy", array(CHANGES[change][0]))
        names = [f"S0{1 if part == 'train' else 2:02}{name[4:]}.skeleton" for name in NAMES]
        made[1].write_bytes(pickle.dumps((names, list(range(8)))))
        files += [made[0].rename(made[0].with_name(f"{part}_data_joint.npy")),
                  made[1].rename(made[1].with_name(f"{part}_label.pkl"))]  # fmt: skip
    refused(tmp_path / "c", "agcn-npy", files, "has unit mm, and", "has m", "made in the same way")


def test_arrays_of_which_most_clips_are_empty_are_refused(tmp_path):
    x = array()
    x[:5] = 0
    refused(tmp_path / "c", "agcn-npy", written(tmp_path / "a", "agcn-npy", x), "5 of 8 clips show nobody")
    x[:4] = array()[:4]
    _, clips = taken(tmp_path / "d", "agcn-npy", written(tmp_path / "b", "agcn-npy", x))
    assert (read_array(clips.group, "length") > 0).sum() == 7


def test_who_is_alone_in_the_second_place_is_the_first_that_is_there(tmp_path):
    x = array(lambda clip: clip * np.float32([[[1]], [[0]]]))
    name = "stgcn-npy"
    _, plain = taken(tmp_path / "c", name, written(tmp_path / "a", "agcn-npy", x))
    x[:5] = x[:5, :, ::-1]
    said, clips = taken(tmp_path / "d", name, written(tmp_path / "b", "agcn-npy", x))
    assert "in 5 clips the first place is empty" in said
    np.testing.assert_array_equal(clips.load(), plain.load())
    assert clips.load().any(axis=(1, 2, 3))[:, 0].all()


# Prepared or not ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    """A store, and its clips by the bodies that move most."""
    root = tmp_path_factory.mktemp("synthetic")
    write_raw("ntu60", root / "raw", seed=3, actions=4, subjects=4, setups=1, replications=1, frames=(12, 40))
    ingest("ntu60", root / "raw", root / "store", workers=0)
    prepare(root / "store", root / "clips", bodies="energy", frames=20, threads=1)
    prepare(root / "store", root / "raw300", preset="raw", steps=["bodies=energy"], frames=FRAMES, threads=1)
    return root


def as_named(to, clips, values, stem):
    to.mkdir()
    np.save(to / f"all_{stem}.npy", values)
    pair = ([f"{name}.skeleton" for name in clips.columns["name"]], clips.labels.tolist())
    (to / "all_label.pkl").write_bytes(pickle.dumps(pair))
    return [to / f"all_{stem}.npy", to / "all_label.pkl"]


def test_the_formats_of_prepared_and_of_recorded_frames_are_not_taken_for_each_other(synthetic, tmp_path):
    prepared, raw = Clips(synthetic / "clips"), Clips(synthetic / "raw300")
    files = as_named(tmp_path / "a", prepared, prepared.load(), "data_joint")
    refused(tmp_path / "c", "agcn-npy", files, "each body centred and turned", "import it as aimclr-npy")
    files = as_named(tmp_path / "b", raw, raw.load(), "position")
    refused(tmp_path / "c", "aimclr-npy", files, "is not prepared", "that of the sensor", "import it as agcn-npy")
    hips = raw.load() - raw.load()[:, :, :, :1]
    files = as_named(tmp_path / "h", raw, hips, "position")
    refused(tmp_path / "c", "aimclr-npy", files, "joint 0 (spine base) of every body, in every frame", "agcn-npy")
    motion = np.zeros_like(prepared.load())
    motion[:, :, :-1] = prepared.load()[:, :, 1:] - prepared.load()[:, :, :-1]
    files = as_named(tmp_path / "m", prepared, motion, "position")
    refused(tmp_path / "c", "aimclr-npy", files, "holds motion of joints, not positions")


def test_prepared_clips_that_are_not_turned_do_not_say_that_they_are(synthetic, tmp_path):
    prepare(synthetic / "store", tmp_path / "facing", turn=False, frames=20, threads=1)
    for at, turned in ((tmp_path / "facing", False), (synthetic / "clips", True)):
        source = Clips(at)
        files = as_named(tmp_path / f"{turned}", source, source.load(), "position")
        code, said = run("import", "aimclr-npy", *files, tmp_path / f"c{turned}", "--dataset", "ntu60")
        assert code == 0, said
        clips = Clips(tmp_path / f"c{turned}")
        assert (clips.attributes["centre"], clips.attributes["turn"]) == (True, turned)
        np.testing.assert_array_equal(clips.load(), source.load())
    files = as_named(tmp_path / "mm", source, source.load() * np.float32(1000), "position")
    code, said = run("import", "aimclr-npy", *files, tmp_path / "cmm", "--dataset", "ntu60")
    assert (code, "mm to m" in said) == (0, True)
    np.testing.assert_allclose(Clips(tmp_path / "cmm").load(), source.load(), rtol=1e-6)


# 2s-AGCN's own step ---------------------------------------------------------------------------------------------------


def pre_normalization(clip):
    """2s-AGCN's step over (M, T, 25, 3), which MS-G3D, CMD and ISC copy: the clip as it is stored, and its rotation."""
    made, turn = preset_twins.isc_and_turn(clip.transpose(1, 0, 2, 3), clip.shape[1])
    return made.transpose(1, 0, 2, 3).astype(np.float32), turn


UP = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])  # z up to y up


def test_a_file_of_2s_agcn_gives_the_clips_of_the_recordings_that_stand_as_it_sets_them_up(synthetic, tmp_path):
    """All but one thing is undone: how the first body leaned in the first frame cannot be had again."""
    raw = Clips(synthetic / "raw300")
    recorded = raw.load().transpose(0, 4, 2, 3, 1)
    stored, upright = np.zeros_like(recorded), np.zeros_like(recorded)
    for n, clip in enumerate(recorded):
        if clip.any():
            stored[n], turn = pre_normalization(clip)
            upright[n] = clip @ (UP @ turn).T
    files = as_named(tmp_path / "theirs", raw, stored.transpose(0, 4, 2, 3, 1), "data_joint")
    said, clips = taken(tmp_path / "c", "agcn-npy", files)
    assert "z up to y up (x, z, -y); clips filled up by their own repetition to their own frames" in said
    assert clips.attributes["conventions"] == {
        "content": "positions", "up": "z", "mirrored": False, "origin": "first", "point": "joint 1 (spine mid)",
        "turned": "clip", "unit": "m", "absent": clips.attributes["conventions"]["absent"], "after": "repetition",
        "converted": ["z up to y up (x, z, -y)", "clips filled up by their own repetition to their own frames"],
    }  # fmt: skip
    plain = as_named(tmp_path / "upright", raw, upright.transpose(0, 4, 2, 3, 1), "data_joint")
    said, expected = taken(tmp_path / "d", "agcn-npy", plain)
    assert "skelpipe:" not in said
    whole = np.array([not late(clip) for clip in recorded])  # their step moves who comes late to the front
    assert whole.mean() > 0.8
    np.testing.assert_allclose(clips.load()[whole], expected.load()[whole], atol=1e-4)
    lengths = [read_array(each.group, "length")[whole].tolist() for each in (clips, expected)]
    assert lengths[0] == lengths[1]


def late(clip):
    """Whether a body of (M, T, 25, 3) comes late, or is missing from frames in between."""
    for body in clip:
        shown = body.any(axis=(1, 2))
        if shown.any() and not shown[: int(shown.sum())].all():
            return True
    return False


def test_of_people_who_begin_upright_nothing_is_lost(tmp_path):
    """A lower spine that is vertical, and shoulders that are level, in the first frame: equal to the recordings.

    But for what AimCLR's turn itself leaves of the rotation about the vertical: with 1e-4 in its cosine, up to
    sqrt(2e-4 / |shoulders|) where shoulders lie on the axis already.
    """
    clips = []
    for n in range(8):
        x = person(n, 20 + n).astype(np.float64)
        middle = (x[0, 4] + x[0, 8]) / 2
        x[0, 1] = x[0, 0] + (0, 0.27, 0)
        x[0, [4, 8], 1] = middle[1]
        clips.append(x.astype(np.float32))
    plain = np.zeros((8, FRAMES, 2, 25, 3), np.float32)
    for n, x in enumerate(clips):
        plain[n, : len(x), 0] = x
    theirs = np.stack([pre_normalization(clip.transpose(1, 0, 2, 3))[0].transpose(1, 0, 2, 3) for clip in plain])
    _, before = taken(tmp_path / "a", "agcn-npy", written(tmp_path / "fa", "agcn-npy", plain))
    _, after = taken(tmp_path / "b", "agcn-npy", written(tmp_path / "fb", "agcn-npy", theirs))
    for each in (lambda c: c[:, 1], lambda c: np.hypot(c[:, 0], c[:, 2])):  # the height, and the distance from the axis
        np.testing.assert_allclose(each(after.load()), each(before.load()), atol=1e-4)
    reach = np.hypot(before.load()[:, 0], before.load()[:, 2]).max()
    assert np.abs(after.load() - before.load()).max() < 2 * np.sqrt(2e-4 / 0.3) * reach
    assert read_array(after.group, "length").tolist() == [20 + n for n in range(8)]


def test_arrays_of_st_gcn_are_left_bit_for_bit(synthetic, tmp_path):
    raw = Clips(synthetic / "raw300")
    files = as_named(tmp_path / "a", raw, raw.load(), "data")
    said, clips = taken(tmp_path / "c", "agcn-npy", files, "--frames", FRAMES, "--no-centre", "--no-turn")
    assert "skelpipe:" not in said
    length = read_array(clips.group, "length")
    for n, own in enumerate(length.tolist()):
        if own == FRAMES:
            np.testing.assert_array_equal(clips.load()[n], raw.load()[n])
    _, ours = taken(tmp_path / "d", "agcn-npy", files, "--frames", 20)
    shown = length > 0
    np.testing.assert_array_equal(ours.load()[shown], Clips(synthetic / "clips").load()[shown])


ODD = {
    "clips are in several units": lambda n: 1000 if n % 2 else 1,
    "poses are flat": lambda n: (100, 100, 0),
    "is in a unit that cannot be told, pixels perhaps": lambda n: 200,
}


@pytest.mark.parametrize("said", ODD)
def test_arrays_of_clips_that_contradict_each_other_or_of_pixels_are_refused(tmp_path, said):
    x = np.stack([clip * np.float32(ODD[said](n)) for n, clip in enumerate(array())])
    files = [str(file) for file in written(tmp_path / "theirs", "agcn-npy", x)]
    words = ["import", "agcn-npy", *files, str(tmp_path / "clips"), "--dataset", "ntu60"]
    done = CliRunner().invoke(main, words)
    assert (done.exit_code, said in done.output, done.output.count("\n")) == (2, True, 1), done.output
    assert not (tmp_path / "clips").exists()


def test_arrays_of_clips_of_both_hands_are_told_and_left(tmp_path):
    x = np.stack([clip * np.float32((-1, 1, 1) if n % 2 else 1) for n, clip in enumerate(array())])
    said, clips = taken(tmp_path / "c", "agcn-npy", written(tmp_path / "theirs", "agcn-npy", x))
    assert "left and right are exchanged in 4 of 8 clips" in said
    assert clips.attributes["conventions"]["converted"] == []
