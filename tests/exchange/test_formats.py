"""Other projects' arrays: what is read from them, what is written for them, and what is refused."""

from __future__ import annotations

import collections
import io
import os
import pickle
import struct
import tracemalloc
import zipfile

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from people import person

from skelpipe.cli import main
from skelpipe.clips.prepare import prepare
from skelpipe.errors import BadInput
from skelpipe.evaluation.evaluate import evaluate
from skelpipe.exchange.arrays import FORMATS, base, importing, sgn, source
from skelpipe.exchange.arrays.base import STEMS
from skelpipe.exchange.arrays.exporting import export_arrays
from skelpipe.exchange.arrays.importing import import_arrays
from skelpipe.inspect.describe import describe
from skelpipe.outputs.folders import new_folder
from skelpipe.recordings import pickles, store
from skelpipe.recordings.datasets import DATASETS, fitting_splits, pretrained_on, split_masks
from skelpipe.recordings.ingest import ingest
from skelpipe.recordings.pickles import read_pickle
from skelpipe.recordings.synthetic import write_raw
from skelpipe.training.pretrain import pretrain

UNNAMED = ("ctrgcn-npz", "sgn-h5")
FULL = [name for name, kind in FORMATS.items() if not kind.prepared]
NAMES = ["S001C001P001R001A001", "S001C002P003R001A002", "S001C003P002R002A002"]  # by xsub60, P003 tests


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store and the clips of it."""
    root = tmp_path_factory.mktemp("made")
    size = {"actions": 4, "subjects": 4, "setups": 1, "replications": 1, "frames": (12, 20)}
    write_raw("ntu60", root / "raw", seed=0, **size)
    ingest("ntu60", root / "raw", root / "store", workers=0)
    prepare(root / "store", root / "clips", frames=10, threads=1)
    for bodies in ("energy", "denoise"):
        prepare(root / "store", root / bodies, bodies=bodies, frames=10, threads=1)
    return root


def exported(made, to, name):
    source = made / ("clips" if FORMATS[name].prepared else "store")
    result = export_arrays(name, source, to, split="xsub60")
    return result, [to / file for file in result.files]


def moved(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def wobbling(rng, frames):
    """One body of fixed bones that trembles, (3, frames, 25)."""
    pose = rng.normal(size=(3, 1, 25)) + 5
    return (pose + rng.normal(scale=0.02, size=(3, frames, 25))).astype(np.float32)


def dump(path, value, protocol=4):
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


# Round trips --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_exported_comes_back_as_the_same_clips(made, tmp_path, monkeypatch, name):
    for of in (source, importing, sgn):
        monkeypatch.setattr(of, "CLIPS_PER_BLOCK", 7)
    monkeypatch.setattr(store, "CLIPS_PER_CHUNK", 4)
    result, files = exported(made, tmp_path / "out", name)
    split = "xsub60" if name in UNNAMED else None
    frames = None if FORMATS[name].prepared else 10
    seen = []
    done = import_arrays(
        name, files, tmp_path / "in", dataset="ntu60", split=split, frames=frames, threads=1,
        progress=lambda *at: seen.append(at),
    )  # fmt: skip
    rule = FORMATS[name].bodies
    before, after = store.Clips(made / ("clips" if rule == "first" else rule)), store.Clips(tmp_path / "in")
    train, test = split_masks("xsub60", "ntu60", before.columns)
    assert (result.train, result.test, done.clips) == (train.sum(), test.sum(), len(before))
    assert seen[-1] == (len(before), len(before))
    assert (after.frames, after.attributes["imported"]) == (10, name)
    rows = {"train": np.flatnonzero(train), "test": np.flatnonzero(test)}
    if name == "sgn-h5":  # the held-out clips come after the others
        held = np.arange(len(rows["train"])) % 20 == 19
        assert held.any()
        rows["train"] = np.concatenate([rows["train"][~held], rows["train"][held]])
    order = np.concatenate([rows["train"], rows["test"]])
    if name in ("aimclr-npy", "stgcn-npy", "agcn-npy"):  # files in order of name: train before val
        assert [f.name.partition("_")[0] for f in files] == sorted(["train", "val"] * (len(files) // 2))
    if name != "agcn-npy":  # whose clips are turned as a whole
        moved_by = 1e-6 if name in UNNAMED else 0  # the origin, and back
        np.testing.assert_allclose(after.load(), before.load()[order], rtol=0, atol=moved_by)
    np.testing.assert_array_equal(after.labels, before.labels[order])
    again, _ = split_masks("xsub60", "ntu60", after.columns)
    np.testing.assert_array_equal(again, train[order])
    if name in UNNAMED:
        assert not after.columns["subject"].any()
        assert len(set(after.columns["name"])) == len(after)
    else:
        for column, values in before.columns.items():
            np.testing.assert_array_equal(after.columns[column], values[order])
    describe(tmp_path / "in")
    describe(tmp_path / "out")


def test_pku_names_say_their_video(tmp_path):
    for dataset, name, video in (("pku1", "F0291V001C003L012", "0291-L"), ("pku2", "A001N002V002C003L001", "A01N02-M")):
        clips = np.ones((1, 3, 5, 25, 2), np.float32)
        np.save(tmp_path / "a.npy", clips)
        files = [tmp_path / "a.npy", dump(tmp_path / "a.pkl", ([name + ".skeleton"], [2]))]
        import_arrays("aimclr-npy", files, tmp_path / dataset, dataset=dataset)
        columns = store.Clips(tmp_path / dataset).columns
        assert (columns["video"][0], columns["label"][0]) == (video, 2)
        assert split_masks(f"{dataset}-xsub", dataset, columns)[1].tolist() == [True]


# The files themselves -----------------------------------------------------------------------------------------------


def test_exported_files_have_the_names_shapes_and_types_that_loaders_expect(made, tmp_path):
    n = {part: int(mask.sum()) for part, mask in zip(
        ("train", "val"), split_masks("xsub60", "ntu60", store.Clips(made / "clips").columns), strict=True
    )}  # fmt: skip
    long = (3, 300, 25, 2)
    for name, array, shape in (
        ("aimclr-npy", "position", (3, 10, 25, 2)), ("stgcn-npy", "data", long), ("agcn-npy", "data_joint", long)
    ):  # fmt: skip
        exported(made, tmp_path / name, name)
        for part, count in n.items():
            values = np.load(tmp_path / name / f"{part}_{array}.npy", mmap_mode="r")
            assert (values.shape, values.dtype) == ((count, *shape), np.float32)
            names, labels = pickle.loads((tmp_path / name / f"{part}_label.pkl").read_bytes())
            assert names[0].endswith(f"A{labels[0] + 1:03}.skeleton")
            assert type(labels[0]) is int
    exported(made, tmp_path / "npz", "ctrgcn-npz")
    with np.load(tmp_path / "npz" / "NTU60_CS.npz") as npz:
        assert {key: npz[key].shape for key in npz} == {
            "x_train": (n["train"], 300, 150), "y_train": (n["train"], 60),
            "x_test": (n["val"], 300, 150), "y_test": (n["val"], 60),
        }  # fmt: skip
        assert (npz["x_train"].dtype, npz["y_train"].sum(axis=1).tolist()) == (np.float32, [1.0] * n["train"])
        first = npz["x_train"][0].reshape(300, 2, 25, 3)
    num_frame = np.load(tmp_path / "agcn-npy" / "train_num_frame.npy")
    assert (num_frame.shape, num_frame.dtype) == ((n["train"],), np.int64)
    exported(made, tmp_path / "h5", "sgn-h5")
    with h5py.File(tmp_path / "h5" / "NTU_CS.h5") as h5:
        assert sorted(h5) == ["test_x", "test_y", "valid_x", "valid_y", "x", "y"]
        assert len(h5["x"]) + len(h5["valid_x"]) == n["train"]
        np.testing.assert_array_equal(h5["x"][0].reshape(300, 2, 25, 3), first)
    exported(made, tmp_path / "pkl", "pyskl-pkl")
    content = pickle.loads((tmp_path / "pkl" / "ntu60_3danno.pkl").read_bytes())
    assert {key: len(names) for key, names in content["split"].items()} == {
        "xsub_train": n["train"],
        "xsub_val": n["val"],
    }
    annotation = content["annotations"][0]
    bodies, frames = annotation["keypoint"].shape[:2]
    assert annotation["frame_dir"] == content["split"]["xsub_train"][0]
    assert annotation["total_frames"] == frames
    assert annotation["keypoint"].flags.writeable
    moved_by = annotation["keypoint"][0, 0, 1]
    np.testing.assert_allclose(
        annotation["keypoint"] - moved_by, first[:frames, :bodies].transpose(1, 0, 2, 3), atol=1e-6
    )


def test_files_of_a_stated_split_are_called_by_what_it_says(made, tmp_path):
    found = {}
    for name in ("ctrgcn-npz", "pyskl-pkl", "sgn-h5"):
        result = export_arrays(name, made / "store", tmp_path / name, split="camera:2,3/1")
        found[name] = result.files
        assert (result.train, result.test) == (2 * result.test, result.test)
    word = "ntu60-camera=2,3-test=1"
    assert [f"{word}.npz" in found["ctrgcn-npz"], f"{word}.h5" in found["sgn-h5"]] == [True, True]


def test_every_split_has_file_names():
    listed = {f"{dataset}-listed" for dataset in ("ntu60", "ntu120", "pku1", "pku2")}
    held = [dataset.name for dataset in DATASETS.values() if dataset.layout == "kinect_v2"]
    assert set(STEMS) - listed == {split for dataset in held for split in fitting_splits(dataset)}
    assert listed <= set(STEMS)


# Hand-made arrays ---------------------------------------------------------------------------------------------------


def test_bodies_keep_their_slots(tmp_path):
    rng = np.random.default_rng(0)
    x = np.zeros((3, 3, 300, 25, 2), np.float32)
    x[0, :, :7, :, 0] = wobbling(rng, 7)
    x[0, :, 2, :, 0] = 0  # for a frame only the second body is there
    x[0, :, 1:4, :, 1] = wobbling(rng, 3)
    x[1, :, :9, :, 0] = wobbling(rng, 9)
    np.save(tmp_path / "x.npy", x)
    files = [tmp_path / "x.npy", dump(tmp_path / "x.pkl", (NAMES, [0, 1, 1]))]
    plain = {"dataset": "ntu60", "centre": False, "turn": False, "threads": 1}
    done = import_arrays("agcn-npy", files, tmp_path / "six", frames=6, **plain)
    clips = store.Clips(tmp_path / "six")
    assert store.read_array(clips.group, "length").tolist() == [6, 9, 0]
    assert (done.clips, done.empty) == (3, 1)
    np.testing.assert_array_equal(clips.load()[0], x[0, :, :6])  # 6 frames show the first body


@pytest.mark.parametrize("padded", [False, True])
def test_repeated_frames_are_not_taken_for_seen_ones_where_a_file_is_filled_up_by_them(tmp_path, padded):
    """Where another clip ends in zeros, a clip that repeats itself was recorded so."""
    rng = np.random.default_rng(0)
    x = np.zeros((2, 3, 300, 25, 2), np.float32)
    seen = wobbling(rng, 9)
    x[0, ..., 0] = np.tile(seen, (1, 34, 1))[:, :300]
    x[1, :, : 250 if padded else 300, :, 0] = wobbling(rng, 250 if padded else 300)
    np.save(tmp_path / "x.npy", x)
    files = [tmp_path / "x.npy", dump(tmp_path / "x.pkl", (NAMES[:2], [0, 1]))]
    plain = {"dataset": "ntu60", "centre": False, "turn": False, "threads": 1}
    import_arrays("agcn-npy", files, tmp_path / "c", frames=9, **plain)
    clips = store.Clips(tmp_path / "c")
    assert store.read_array(clips.group, "length").tolist() == ([300, 250] if padded else [9, 300])
    assert padded or np.array_equal(clips.load()[0, ..., 0], seen)
    assert clips.attributes["conventions"]["after"] == ("zeros" if padded else "repetition")


@pytest.mark.parametrize("compressed", [False, True])
def test_an_npz_of_class_numbers_or_one_hot_rows(tmp_path, compressed):
    rng = np.random.default_rng(1)
    x = np.zeros((3, 20, 2, 25, 3), np.float32)
    x[:, :4] = moved(rng, 3, 4, 2, 25, 3)
    flat = x.reshape(3, 20, 150)
    save = np.savez_compressed if compressed else np.savez
    save(tmp_path / "a.npz", x_train=flat[:2], y_train=np.eye(60)[[4, 5]], x_test=flat[2:], y_test=np.array([59]))
    import_arrays(
        "ctrgcn-npz", [tmp_path / "a.npz"], tmp_path / "c", dataset="ntu60", split="xview60", frames=4, centre=False,
        turn=False, threads=1,
    )  # fmt: skip
    clips = store.Clips(tmp_path / "c")
    np.testing.assert_array_equal(clips.load(), x[:, :4].transpose(0, 4, 1, 3, 2))
    assert clips.labels.tolist() == [4, 5, 59]
    assert [m.tolist() for m in split_masks("xview60", "ntu60", clips.columns)] == [[1, 1, 0], [0, 0, 1]]
    with pytest.raises(BadInput, match="hold xview60 only"):
        split_masks("xsub60", "ntu60", clips.columns)
    assert fitting_splits("ntu60", clips.columns) == ("xview60",)
    assert pretrained_on("xview60", "ntu60", clips.columns).tolist() == [True, True, False]
    assert not pretrained_on("xset120", "ntu60", clips.columns).any()


def test_an_h5_without_a_validation_part(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for x, y, label in (("x", "y", 3), ("test_x", "test_y", 4)):
            file[x], file[y] = np.ones((1, 5, 150), np.float32), np.eye(60)[[label]]
    import_arrays("sgn-h5", [tmp_path / "a.h5"], tmp_path / "c", dataset="ntu60", split="xsub60", threads=1)
    clips = store.Clips(tmp_path / "c")
    assert (clips.labels.tolist(), clips.frames) == ([3, 4], 50)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_pickles_of_every_protocol_with_arrays(tmp_path, protocol):
    points = np.arange(2 * 6 * 25 * 3, dtype=np.float32).reshape(2, 6, 25, 3) + 1
    value = {
        "split": {"xsub_train": NAMES[:1]},
        "annotations": [
            {"frame_dir": NAMES[0], "label": np.int64(0), "total_frames": 6, "keypoint": points},
            {"frame_dir": NAMES[1], "label": 1, "total_frames": 6, "keypoint": np.asfortranarray(points[:1] * 2)},
            {"frame_dir": NAMES[2], "label": 1, "total_frames": 6, "keypoint": points.astype(">f8")[:, :3]},
        ],
    }
    path = dump(tmp_path / "a.pkl", value, protocol)
    import_arrays("pyskl-pkl", [path], tmp_path / "c", dataset="ntu60", frames=6, centre=False, turn=False, threads=1)
    clips = store.Clips(tmp_path / "c")
    np.testing.assert_array_equal(clips.load()[0], points.transpose(3, 1, 2, 0))
    np.testing.assert_array_equal(clips.load()[1, ..., 0], points[0].transpose(2, 0, 1) * 2)
    assert not clips.load()[1, ..., 1].any()
    assert store.read_array(clips.group, "length").tolist() == [6, 6, 3]
    assert clips.columns["subject"].tolist() == [1, 3, 2]


def test_a_large_npz_member_is_not_read_whole(tmp_path):
    x = np.ones((256, 300, 150), np.float32)  # 46 MB
    y = np.zeros(256, np.int64)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x[:1], y_test=y[:1])
    del x
    (part, _) = FORMATS["ctrgcn-npz"].read([tmp_path / "a.npz"])
    tracemalloc.start()
    assert sum(len(block) for block in part.blocks(8)) == 256
    assert tracemalloc.get_traced_memory()[1] < 16e6
    tracemalloc.stop()


# Pickles that do something ------------------------------------------------------------------------------------------


class Runs:
    def __init__(self, what, *words):
        self.what, self.words = what, words

    def __reduce__(self):
        return self.what, self.words


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("name", ["aimclr-npy", "agcn-npy", "pyskl-pkl"])
def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(tmp_path, name, protocol):
    np.save(tmp_path / "a.npy", np.zeros((1, 3, 5, 25, 2), np.float32))
    mark = tmp_path / "was-here"
    path = dump(tmp_path / "a.pkl", (NAMES[:1], [Runs(os.system, f"touch {mark}")]), protocol)
    files = [path] if name == "pyskl-pkl" else [tmp_path / "a.npy", path]
    with pytest.raises(BadInput, match="could run code") as caught:
        import_arrays(name, files, tmp_path / "c", dataset="ntu60")
    assert "\n" not in str(caught.value)
    assert not mark.exists()
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    "value",
    [
        Runs(eval, "1"), Runs(getattr, "a", "upper"), Runs(np.load, "x"), collections.Counter("a"), Runs(np.ndarray),
        Runs(bytearray, 10**12), np.array([Runs(eval, "1")], dtype=object), np.zeros(1, "i4,f4"), np.datetime64("2020"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_other_calls_are_refused_or_do_nothing(tmp_path, value):
    path = dump(tmp_path / "a.pkl", value)
    if isinstance(value, Runs) and value.what is np.ndarray:
        assert isinstance(read_pickle(path), pickles._Array)  # never NumPy's own
        return
    with pytest.raises(BadInput):
        read_pickle(path)


def test_text_of_no_unicode_is_refused(tmp_path):
    for value in (np.array(["abc"]), np.str_("abc")):
        torn = pickle.dumps(value).replace("b".encode("utf-32-le"), b"b\x00\xff\xff")
        (tmp_path / "a.pkl").write_bytes(torn)
        with pytest.raises(BadInput, match="characters that there are not"):
            read_pickle(tmp_path / "a.pkl")


def test_plain_values_come_back(tmp_path):
    value = ({"a": [1, 2.5, "x", None, True]}, {3}, b"raw", collections.OrderedDict(b=1))
    for protocol in range(6):
        assert read_pickle(dump(tmp_path / "a.pkl", value, protocol)) == value


# What does not fit --------------------------------------------------------------------------------------------------


def good(tmp_path, **changes):
    """aimclr-npy files with something changed."""
    value = {"array": np.ones((3, 3, 5, 25, 2), np.float32), "names": NAMES, "labels": [0, 1, 1]} | changes
    np.save(tmp_path / "a.npy", value["array"])
    return [tmp_path / "a.npy", dump(tmp_path / "a.pkl", value.get("pickle", (value["names"], value["labels"])))]


def refused(match, name, files, to, **options):
    with pytest.raises(BadInput, match=match) as caught:
        import_arrays(name, files, to / "c", **({"dataset": "ntu60"} | options))
    assert "\n" not in str(caught.value)
    assert not (to / "c").exists()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"array": np.ones((3, 3, 5, 17, 2), np.float32)}, "holds 3 x 3 x 5 x 17 x 2 float32"),
        ({"array": np.ones((3, 3, 5, 25, 2), np.int32)}, "int32, not floats"),
        ({"array": np.full((3, 3, 5, 25, 2), np.nan, np.float32)}, "3 of 3 clips have coordinates that are not"),
        ({"names": NAMES[:2]}, "2 names and 3 labels for 3 clips"),
        ({"names": [NAMES[1]] * 3, "labels": [1] * 3}, "same name"),
        ({"names": ["wave", *NAMES[1:]]}, "'wave', which is no name of ntu60"),
        ({"labels": [1, 1, 1]}, "says class 2 of S001C001P001R001A001, whose name says 1"),
        ({"labels": [0, 1, 70]}, "has class 71, and ntu60 has 60"),
        ({"labels": [0, 1, "a"]}, r"has the label 'a' for clip 2 \(S001C003P002R002A002\), which is no class number"),
        ({"pickle": 3}, "not a pair"),
        ({"pickle": (3, 4)}, "not a pair of lists"),
        ({"labels": [0, 1, -1]}, "has the label -1 for clip 2"),
        ({"labels": [0, 1, 1.5]}, "has the label 1.5 for clip 2"),
        ({"labels": [0, 1, True]}, "has the label True for clip 2"),
        ({"labels": [1, 2, 1]}, "says class 2 of S001C001P001R001A001, whose name says 1"),
        ({"names": [3, *NAMES[1:]]}, "has the name 3 at place 0, which is no text"),
        ({"names": ["F002V001C001L001", *NAMES[1:]]}, "no name of ntu60; it is one of pku1: correct --dataset"),
    ],
)  # fmt: skip
def test_named_arrays_that_do_not_fit_are_refused(tmp_path, change, match):
    refused(match, "aimclr-npy", good(tmp_path, **change), tmp_path)


def test_options_and_files_that_do_not_fit_are_refused(tmp_path):
    files = good(tmp_path)
    refused("leave --split out", "aimclr-npy", files, tmp_path, split="xsub60")
    refused("centred and turned already", "aimclr-npy", files, tmp_path, centre=False)
    refused("taken as they are", "aimclr-npy", files, tmp_path, frames=50)
    refused("every .npy together with its label", "agcn-npy", files[:1], tmp_path)
    refused("does not exist", "agcn-npy", [tmp_path / "b.npy", files[1]], tmp_path)
    refused("pass --split", "sgn-h5", files[:1], tmp_path)
    refused("is not a split of ntu120", "sgn-h5", files[:1], tmp_path, dataset="ntu120", split="xsub60")
    refused("did you mean 'sgn-h5'", "sgn-hdf", files, tmp_path)
    refused("a.npy: is a NumPy array of 3 x 3 x 5 x 25 x 2 float32; this format is .pkl", "pyskl-pkl", files, tmp_path)
    refused("holds a tuple of 2 and has no list of annotations", "pyskl-pkl", files[1:], tmp_path)
    short = {"annotations": [{"frame_dir": NAMES[0], "label": 0, "keypoint": np.ones((1, 5, 17, 2))}]}
    refused("holds 1 x 5 x 17 x 2", "pyskl-pkl", [dump(tmp_path / "p.pkl", short)], tmp_path)
    del short["annotations"][0]["keypoint"]
    refused("without keypoint", "pyskl-pkl", [dump(tmp_path / "q.pkl", short)], tmp_path)
    short["annotations"][0]["keypoint"] = [[1, 2], 3]
    refused("keypoint that is no array", "pyskl-pkl", [dump(tmp_path / "q.pkl", short)], tmp_path)
    refused("holds no clips", "pyskl-pkl", [dump(tmp_path / "q.pkl", {"annotations": []})], tmp_path)
    for torn in (b"", b"\x80\x04", pickle.dumps((NAMES, [1] * 99))[:-9], b"garbage"):
        (tmp_path / "t.pkl").write_bytes(torn)
        refused("cannot be read|is damaged|is empty", "pyskl-pkl", [tmp_path / "t.pkl"], tmp_path)
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    refused("cannot be read", "agcn-npy", [tmp_path / "o.npy", files[1]], tmp_path)


def test_torn_or_foreign_archives_are_refused(tmp_path):
    x, y, path = np.ones((2, 4, 150), np.float32), np.eye(60)[[1, 2]], tmp_path / "a.npz"
    options = {"split": "xsub60"}
    for change, match in (
        ({"x_train": x[..., :75]}, "holds 2 x 4 x 75"),
        ({"y_train": y[:1]}, "1 rows for 2 clips"),
        ({"y_train": y + 1}, "neither class numbers nor one 1 per row"),
        ({"x_test": np.asfortranarray(x)}, "C order"),
        ({"x_train": x[:, :0]}, "holds 2 x 0 x 150"),
        ({"y_train": np.array([-1, 3])}, "has class 0, and ntu60 has 60"),
    ):
        np.savez(path, **({"x_train": x, "y_train": y, "x_test": x, "y_test": y} | change))
        refused(match, "ctrgcn-npz", [path], tmp_path, **options)
    np.savez(path, x_train=x, y_train=y)
    refused("has no x_test and no y_test; it holds x_train, y_train", "ctrgcn-npz", [path], tmp_path, **options)
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=np.array([{}, {}]))
    refused("cannot be read", "ctrgcn-npz", [path], tmp_path, **options)
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    people = np.stack([np.pad(person(n, 4).reshape(4, 75), ((0, 0), (0, 75))) for n in range(2)]).astype(np.float32)
    np.savez(path, x_train=people, y_train=y, x_test=people, y_test=y)
    raw = bytearray(path.read_bytes())
    raw[raw.index(people.tobytes()) + 400] ^= 255  # the least of a number's bytes
    path.write_bytes(raw)
    refused("CRC", "ctrgcn-npz", [path], tmp_path, **options)
    path.write_bytes(raw[:1000])
    refused("is damaged|cannot be read", "ctrgcn-npz", [path], tmp_path, **options)
    (tmp_path / "a.h5").write_bytes(b"no h5")
    refused("cannot be read", "sgn-h5", [tmp_path / "a.h5"], tmp_path, **options)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = x
    refused("has no y and no test_x and no test_y; it holds x", "sgn-h5", [tmp_path / "a.h5"], tmp_path, **options)


def npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, values, allow_pickle=False)
    return buffer.getvalue()


def test_archives_that_promise_what_they_do_not_hold_are_refused(tmp_path):
    """Headers that tell of more than there is, other packings, and members that unpack beyond their size."""
    x, y, path = np.ones((2, 4, 150), np.float32), np.zeros(2, np.int64), tmp_path / "a.npz"
    whole = {"x_train": npy(x), "y_train": npy(y), "x_test": npy(x), "y_test": npy(y)}
    promise = npy(x).replace(b"(2, 4, 150), } ", b"(2000000000, 4, 150), } ").replace(b" " * 10, b" ", 1)
    for change, method, match in (
        ({}, zipfile.ZIP_BZIP2, "another method than deflate"),
        ({"x_train": promise}, zipfile.ZIP_DEFLATED, "says that it holds 2000000000 x 4 x 150 float32"),
        ({"y_train": npy(y)[:-8]}, zipfile.ZIP_STORED, "says that it holds 2 int64, in 8 bytes"),
    ):
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, data in (whole | change).items():
                archive.writestr(f"{name}.npy", data)
        refused(match, "ctrgcn-npz", [path], tmp_path, split="xsub60")
    size = len(many := npy(np.zeros(1024, np.int64)))
    bomb = {"x_train": npy(np.zeros((1024, 4, 150), np.float32)), "y_train": many + bytes(1 << 25)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (whole | bomb).items():
            archive.writestr(f"{name}.npy", data)
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", size + (1 << 25)), struct.pack("<I", size)))
    del bomb
    tracemalloc.start()
    refused("CRC", "ctrgcn-npz", [path], tmp_path, split="xsub60")
    assert tracemalloc.get_traced_memory()[1] < 1 << 22
    tracemalloc.stop()


def test_clips_of_hours_and_labels_of_absurd_width_are_refused(tmp_path):
    """HDF5 stores nothing of what was never written, so a small file may announce any size."""
    for changed, shape, match in (
        ("x", (2, base.MAX_FRAMES + 1, 150), f"holds 2 x {base.MAX_FRAMES + 1} x 150"),
        ("y", (2, base.MAX_FRAMES + 1), "y has 2 rows for 2 clips"),
    ):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            for name, usual in (("x", (2, 4, 150)), ("y", (2, 60)), ("test_x", (2, 4, 150)), ("test_y", (2, 60))):
                file.create_dataset(name, shape if name == changed else usual, "f4", chunks=True)
        refused(match, "sgn-h5", [tmp_path / "a.h5"], tmp_path, split="xsub60")


def test_an_export_needs_the_right_source_and_keeps_what_exists(made, tmp_path):
    with pytest.raises(BadInput, match="kind 'store', not 'clips'"):
        export_arrays("aimclr-npy", made / "store", tmp_path / "o", split="xsub60")
    with pytest.raises(BadInput, match="kind 'clips', not 'store'"):
        export_arrays("agcn-npy", made / "clips", tmp_path / "o", split="xsub60")
    with pytest.raises(BadInput, match="is not a split of ntu60"):
        export_arrays("aimclr-npy", made / "clips", tmp_path / "o", split="xsub120")
    with new_folder(tmp_path / "o", "arrays") as folder:
        (folder / "mine").touch()
    with pytest.raises(BadInput, match="already exists"):
        export_arrays("aimclr-npy", made / "clips", tmp_path / "o", split="xsub60")
    assert (tmp_path / "o" / "mine").exists()


def test_clips_of_an_import_can_be_exported_again(made, tmp_path):
    _, files = exported(made, tmp_path / "npz", "ctrgcn-npz")
    import_arrays("ctrgcn-npz", files, tmp_path / "c", dataset="ntu60", split="xsub60", frames=10, threads=1)
    export_arrays("aimclr-npy", tmp_path / "c", tmp_path / "again", split="xsub60")
    export_arrays("aimclr-npy", made / "denoise", tmp_path / "direct", split="xsub60")
    for name in ("train_position.npy", "val_position.npy"):
        again, direct = (np.load(tmp_path / folder / name) for folder in ("again", "direct"))
        np.testing.assert_allclose(again, direct, rtol=0, atol=1e-6)


# The commands, and what comes after ---------------------------------------------------------------------------------


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="skelpipe")


def test_an_encoder_is_trained_and_measured_on_imported_clips(made, tmp_path, tiny):
    arrays, clips = tmp_path / "arrays", tmp_path / "clips"
    told = call("export", "sgn-h5", made / "store", arrays, "--split", "xsub60")
    assert told.stdout == f"{arrays}: 24 training and 24 test clips in NTU_CS.h5\n"
    words = ("import", "sgn-h5", arrays / "NTU_CS.h5", clips, "--dataset", "ntu60", "--frames", 12)
    assert "pass --split" in call(*words).stderr
    assert call(*words, "--split", "xsub60").stdout == f"{clips}: 48 clips, for xsub60 only\n"
    pretrain(tiny, clips, tmp_path / "run", split="xsub60", stream="joint", seed=0, device="cpu")
    metrics = evaluate(tmp_path / "run", clips, tmp_path / "out", protocols=["linear", "knn"], device="cpu")
    assert (metrics["train_clips"], metrics["test_clips"]) == (24, 24)
    with pytest.raises(BadInput, match="hold xsub60 only"):
        evaluate(tmp_path / "run", clips, tmp_path / "o", protocols=["knn"], device="cpu", split="xview60")
