"""What import and inspect know of names, labels, lists and pairings of other projects' files.

Files are made as the public scripts write them: 2s-AGCN's and CMD's gendata (a pair of names and labels beside each
array), PKU-MMD by CMD's, ISC's and PCM3's pku_gendata.py ('0002-L.txt_0', class minus 1 as a float), CTR-GCN's and
MAMP's npz, SGN's h5, PySKL's ntu_preproc.py (None for a recording without bodies).
"""

from __future__ import annotations

import pickle
import zipfile

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from skelpipe.cli import main
from skelpipe.errors import BadInput
from skelpipe.evaluation.evaluate import evaluate
from skelpipe.exchange.arrays import file_names
from skelpipe.exchange.arrays.divisions import COUNTS
from skelpipe.exchange.arrays.foreign import what_is
from skelpipe.exchange.arrays.importing import import_arrays
from skelpipe.recordings import store
from skelpipe.recordings.datasets import split_masks
from skelpipe.recordings.datasets.ntu import nominal_names, parse_name
from skelpipe.recordings.datasets.tables import missing_skeletons
from skelpipe.recordings.synthetic.body import CHANNEL, draw_person, pose
from skelpipe.training.pretrain import pretrain

# Trained on by xsub60 and xview60, and tested on by both.
TRAIN = ["S001C002P001R001A001", "S001C002P001R001A002", "S001C003P001R001A003"]
TEST = ["S001C001P003R001A001", "S001C001P003R001A002", "S001C001P003R001A003"]
FRAMES = 12


def upright(n, seed=0):
    """(n, 3, T, 25, 2): people who stand and sway, one body, recorded by a sensor at the origin."""
    rng = np.random.default_rng(seed)
    clips = np.zeros((n, 3, FRAMES, 25, 2), np.float32)
    for clip in clips:
        sway = rng.normal(scale=2.0, size=(FRAMES, len(CHANNEL))).cumsum(axis=0)
        clip[..., 0] = (pose(sway, draw_person(rng), (0.1, 3.0), 0.1) - [0, 1, 0]).transpose(2, 0, 1)
    return clips


def dump(path, value, protocol=4):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


def pair(folder, part, names, labels, clips=None, protocol=4):
    """`<part>_data_joint.npy` and `<part>_label.pkl`."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{part}_data_joint.npy", upright(len(names)) if clips is None else clips)
    return [folder / f"{part}_data_joint.npy", dump(folder / f"{part}_label.pkl", (names, labels), protocol)]


def both_ways(folder, train, val):
    return [*pair(folder, "train", train, [0, 1, 2]), *pair(folder, "val", val, [0, 1, 2])]


def with_suffix(names):
    return [f"{name}.skeleton" for name in names]


def annotation(name, label, clip):
    return {"frame_dir": name, "label": label, "keypoint": clip.transpose(3, 1, 2, 0)[:1], "total_frames": FRAMES}


def annotations(names=(*TRAIN, *TEST)):
    return [annotation(name, int(name[-3:]) - 1, clip) for name, clip in zip(names, upright(len(names)), strict=True)]


def run_import(format, files, to, dataset="ntu60", **options):
    done = import_arrays(format, files, to, dataset=dataset, threads=1, **options)
    return done, store.Clips(to)


def refused(match, format, files, tmp_path, dataset="ntu60", **options):
    with pytest.raises(BadInput, match=match) as caught:
        import_arrays(format, files, tmp_path / "refused", dataset=dataset, threads=1, **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "refused").exists()


def called(*words):
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="skelpipe")


def npz(path, train, test):
    path.parent.mkdir(parents=True, exist_ok=True)
    flat = upright(len(train) + len(test)).transpose(0, 2, 4, 3, 1).reshape(-1, FRAMES, 150)
    np.savez(path, x_train=flat[: len(train)], y_train=train, x_test=flat[len(train) :], y_test=test)
    return [path]


# What names of files say -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "part", "content", "splits"),
    [
        ("NTU60_CS", None, None, {"xsub60"}), ("NTU60_CV", None, None, {"xview60"}),
        ("NTU_CS", None, None, {"xsub60", "xsub120"}), ("NTU120_CSub", None, None, {"xsub120"}),
        ("NTU120_CSet", None, None, {"xset120"}), ("NTU60_XSub", None, None, {"xsub60"}),
        ("NTU60_CS_aligned", None, None, {"xsub60"}), ("PKUv1_XSub", None, None, {"pku1-xsub"}),
        ("PKUv2_xview_train", "train", None, {"pku2-xview"}), ("xsetup", None, None, {"xset120"}),
        ("xsub60", None, None, {"xsub60"}), ("cross-view", None, None, {"xview60", "pku1-xview", "pku2-xview"}),
        ("NTU-RGB-D-60-AGCN", None, None, set()), ("train_data_joint", "train", None, set()),
        ("val_data_joint_motion", "val", "motion", set()), ("test_data_bone_motion", "val", "bone motion", set()),
        ("train_motion", "train", "motion", set()), ("train_position", "train", None, set()),
        ("dataset", None, None, set()), ("subset", None, None, set()), ("pretrain", None, None, set()),
        ("train_test", None, None, set()),
    ],
)  # fmt: skip
def test_what_the_name_of_a_file_says(name, part, content, splits):
    said = file_names.of_name(name)
    assert (said.part, said.content, set(said.splits)) == (part, content, splits)


@pytest.mark.parametrize(
    ("name", "datasets"),
    [
        ("NTU-RGB-D-120-AGCN", {"ntu120"}), ("ntu60", {"ntu60"}), ("nturgb+d_skeletons", {"ntu60", "ntu120"}),
        ("PKUMMD1", {"pku1"}), ("PKU-MMD-v2-AGCN", {"pku2"}), ("pku_part1_frame50", {"pku1"}),
        ("pku", {"pku1", "pku2"}), ("kinetics", set()),
    ],
)  # fmt: skip
def test_which_data_set_a_name_says(name, datasets):
    assert file_names.of_name(name).datasets == datasets


@pytest.mark.parametrize("dataset", ["ntu60", "ntu120"])
def test_counts_of_benchmarks_are_those_of_their_rules(dataset):
    for left_out, place in ((missing_skeletons(), 0), (frozenset(), 1)):
        names = [name for name in nominal_names(dataset) if name not in left_out]
        ids = [parse_name(name) for name in names]
        columns = {key: np.array([each[key] for each in ids]) for key in ids[0]} | {"name": np.array(names)}
        for split in ("xsub60", "xview60") if dataset == "ntu60" else ("xsub120", "xset120"):
            assert tuple(int(mask.sum()) for mask in split_masks(split, dataset, columns)) == COUNTS[split][place]


# Data set and split of files without names -------------------------------------------------------------------------
def test_files_of_another_split_or_data_set_are_refused(tmp_path):
    one_hot = np.eye(60)
    cv = npz(tmp_path / "NTU60_CV.npz", one_hot[[0, 1]], one_hot[[20]])
    refused("has labels of 60 columns.*ntu120 has 120 classes; .*ntu60 would fit", "ctrgcn-npz", cv, tmp_path, "ntu120",
            split="xsub120")  # fmt: skip
    refused("is of xview60 by its name, .*pass --dataset ntu60 --split xview60", "ctrgcn-npz", cv, tmp_path,
            split="xsub60")  # fmt: skip
    done, _ = run_import("ctrgcn-npz", cv, tmp_path / "cv", split="xview60")
    assert (done.clips, done.split) == (3, "xview60")
    mamp = npz(tmp_path / "PKUv1_XSub.npz", np.eye(51)[[0, 1]], np.eye(51)[[50]])
    refused("is of pku1-xsub by its name", "ctrgcn-npz", mamp, tmp_path, "pku2", split="pku2-xsub")
    refused("is of pku1-xsub by its name", "ctrgcn-npz", mamp, tmp_path, "pku1", split="pku1-xview")
    assert run_import("ctrgcn-npz", mamp, tmp_path / "mamp", "pku1", split="pku1-xsub")[1].labels.tolist() == [0, 1, 50]
    flat = upright(2).transpose(0, 2, 4, 3, 1).reshape(-1, FRAMES, 150)
    with h5py.File(tmp_path / "NTU_CV.h5", "w") as file:
        for x, y in (("x", "y"), ("test_x", "test_y")):
            file[x], file[y] = flat, one_hot[[0, 1]]
    refused("is of xview60 by its name", "sgn-h5", [tmp_path / "NTU_CV.h5"], tmp_path, split="xsub60")


def test_a_file_with_the_clips_of_another_benchmark_is_refused_and_one_number_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(COUNTS, "xview60", ((2, 1),))
    file = npz(tmp_path / "a.npz", np.array([0, 1]), np.array([59]))
    refused("2 training and 1 test clips, which are those of xview60, not of xsub60", "ctrgcn-npz", file, tmp_path,
            split="xsub60")  # fmt: skip
    monkeypatch.setitem(COUNTS, "xview60", ((2, 7),))
    done, clips = run_import("ctrgcn-npz", file, tmp_path / "told", split="xsub60")
    assert any("2 training clips, as many as xview60, and is taken for xsub60" in each for each in done.told)
    assert clips.attributes["conventions"]["told"]


def test_folders_that_say_another_benchmark_are_told(tmp_path):
    file = npz(tmp_path / "xview" / "data.npz", np.array([0, 1]), np.array([59]))
    result = called("import", "ctrgcn-npz", *file, tmp_path / "c", "--dataset", "ntu60", "--split", "xsub60")
    assert result.exit_code == 0
    assert "lies in a folder of xview60" in result.stderr


@pytest.mark.parametrize(
    ("train", "test", "labels", "said"),
    [
        (np.array([1, 2]), np.array([60]), [0, 1, 59], "from 1, converted"),
        (np.eye(61)[[1, 2]], np.eye(61)[[60]], [0, 1, 59], "from 1, converted"),
        (np.array([1, 2]), np.array([40]), [1, 2, 40], "from 0 or 1, taken as from 0"),
        (np.array([0, 2]), np.array([40]), [0, 2, 40], None),
        (np.array([[0], [2]]), np.array([[40]]), [0, 2, 40], None),
        (np.array([0.0, 2.0]), np.array([40.0]), [0, 2, 40], None),
        (np.eye(60)[[1, 2]], np.eye(60)[[40]], [1, 2, 40], None),
    ],
)
def test_what_class_numbers_count_from_is_found_out(tmp_path, train, test, labels, said):
    done, clips = run_import("ctrgcn-npz", npz(tmp_path / "a.npz", train, test), tmp_path / "c", split="xsub60")
    assert clips.labels.tolist() == labels
    assert clips.attributes["conventions"].get("labels") == said
    assert bool([each for each in done.told if "class numbers" in each]) == (said is not None)


def test_labels_that_fit_no_data_set_show_the_value(tmp_path):
    odd = npz(tmp_path / "a.npz", np.array([0.5, 1]), np.array([2.0]))
    refused("y_train has 0.5 in row 0: neither class numbers nor", "ctrgcn-npz", odd, tmp_path, split="xsub60")
    refused("has class 120, and ntu60 has 60; correct --dataset; ntu120 would fit", "ctrgcn-npz",
            npz(tmp_path / "b.npz", np.array([0, 119]), np.array([2])), tmp_path, split="xsub60")  # fmt: skip
    refused("has labels of 61 columns", "ctrgcn-npz", npz(tmp_path / "c.npz", np.eye(61)[[0]], np.eye(61)[[1]]),
            tmp_path, split="xsub60")  # fmt: skip


# Pairs -------------------------------------------------------------------------------------------------------------
def test_labels_are_paired_by_name_and_not_by_order(tmp_path):
    train = pair(tmp_path, "train", with_suffix(TRAIN), [0, 1, 2], upright(3, 1))
    val = pair(tmp_path, "val", with_suffix(TEST), [0, 1, 2], upright(3, 2))
    np.save(tmp_path / "train_num_frame.npy", np.array([FRAMES] * 3))
    mixed = [val[1], train[0], val[0], tmp_path / "train_num_frame.npy", train[1]]
    _, clips = run_import("agcn-npy", mixed, tmp_path / "mixed")
    _, right = run_import("agcn-npy", [*train, *val], tmp_path / "right")
    assert clips.columns["name"].tolist() == [*TRAIN, *TEST]
    np.testing.assert_array_equal(clips.load(), right.load())
    assert clips.columns["listed_train"].tolist() == [1, 1, 1, 0, 0, 0]
    refused("cannot have the labels of .*val_label.pkl", "agcn-npy", [train[0], val[1]], tmp_path)


def test_stems_without_parts_are_paired_too(tmp_path):
    for name, names in (("fold1", TRAIN), ("fold2", TEST)):
        np.save(tmp_path / f"{name}.npy", upright(3))
        dump(tmp_path / f"{name}_label.pkl", (names, [0, 1, 2]))
    files = [tmp_path / f for f in ("fold1.npy", "fold2.npy", "fold2_label.pkl", "fold1_label.pkl")]
    assert run_import("agcn-npy", files, tmp_path / "c")[1].columns["name"].tolist() == [*TRAIN, *TEST]


def test_arrays_of_other_streams_and_other_folders_are_refused(tmp_path):
    files = pair(tmp_path / "xview", "train", TRAIN, [0, 1, 2])
    for name, what in (("train_motion", "motion"), ("train_data_bone", "bone"), ("train_data_bone_motion", "bone")):
        files[0].rename(tmp_path / f"{name}.npy")
        refused(f"is {what}.* by its name", "agcn-npy", [tmp_path / f"{name}.npy", files[1]], tmp_path)
        refused(f"is {what}.* by its name", "aimclr-npy", [tmp_path / f"{name}.npy", files[1]], tmp_path)
        (tmp_path / f"{name}.npy").rename(files[0])
    other = dump(tmp_path / "xsub" / "train_label.pkl", (TRAIN, [0, 1, 2]))
    refused("is for xview60.* by its name, and .*, which is given for it, for xsub60", "agcn-npy", [files[0], other],
            tmp_path)  # fmt: skip


def test_swapped_labels_are_refused_where_the_benchmark_is_known_and_else_told(tmp_path):
    swapped = both_ways(tmp_path / "xview", TEST, TRAIN)
    refused(
        "its training clips are the test clips of xview60",
        "agcn-npy",
        swapped,
        tmp_path,
    )
    swapped = both_ways(tmp_path / "data", TEST, TRAIN)
    done, _ = run_import("agcn-npy", swapped, tmp_path / "c")
    assert any("divide the reverse of xsub60, xview60" in each for each in done.told)


# Names -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    "written",
    [
        lambda name: f"{name}.skeleton", lambda name: f"{name}.skeleton".encode(), np.str_,
        lambda name: f"nturgb+d_skeletons/{name}.skeleton", lambda name: f"D:\\ntu\\{name.lower()}.npy",
        lambda name: f"{name}_rgb.avi", lambda name: f"{name}.skeleton.npy",
    ],
)  # fmt: skip
def test_names_are_read_however_they_are_written(tmp_path, written, protocol):
    files = pair(tmp_path, "train", [written(name) for name in TRAIN], [np.float64(0), np.int32(1), 2], None, protocol)
    _, clips = run_import("agcn-npy", files, tmp_path / "c")
    assert clips.columns["name"].tolist() == TRAIN
    assert clips.labels.tolist() == [0, 1, 2]


def test_object_arrays_of_names_and_labels_from_1(tmp_path):
    files = pair(tmp_path, "train", np.array(with_suffix(TRAIN), object), np.array([1.0, 2.0, 3.0]))
    done, clips = run_import("agcn-npy", files, tmp_path / "c")
    assert (clips.columns["name"].tolist(), clips.labels.tolist()) == (TRAIN, [0, 1, 2])
    assert any("count from 1, as their clips' names do" in each for each in done.told)


def test_pku_clips_named_by_the_rows_of_label_files(tmp_path):
    """Row 0 of 0002-L's file is line 1, and its class 34 is written as 33.0."""
    files = pair(tmp_path, "train", ["0002-L.txt_0", "0002-L.txt_1"], [np.float64(33), np.float64(17)])
    done, clips = run_import("agcn-npy", files, tmp_path / "one", "pku1")
    assert clips.columns["name"].tolist() == ["F002V001C034L001", "F002V001C018L002"]
    assert (clips.labels.tolist(), clips.columns["video"].tolist()) == ([33, 17], ["0002-L", "0002-L"])
    assert not [each for each in done.told if "class numbers" in each]
    names = ["A10N08-L.txt_0", "A10N08-M.txt_11", "A01N02-R.txt_3"]
    files = pair(tmp_path / "xsub", "train", names, [0.0, 50.0, 3.0])
    done, clips = run_import("agcn-npy", files, tmp_path / "two", "pku2")
    assert clips.columns["name"].tolist() == ["A010N008V001C001L001", "A010N008V002C051L012", "A001N002V003C004L004"]
    assert any("'xsub' (3 training and 0 test clips) is no benchmark's; 1 of them" in each for each in done.told)
    refused("no name of pku1; it is one of pku2", "agcn-npy", files, tmp_path, "pku1")


# PySKL's pickles ---------------------------------------------------------------------------------------------------
def test_annotations_that_are_none_or_empty_are_left_out_and_told(tmp_path):
    some = annotations()
    lists = {"xsub_train": TRAIN, "xsub_val": TEST}
    path = dump(tmp_path / "a.pkl", {"split": lists, "annotations": [*some[:2], None, *some[3:]]})
    result = called("import", "pyskl-pkl", path, tmp_path / "c", "--dataset", "ntu60")
    assert result.stdout == f"{tmp_path / 'c'}: 5 clips\n"
    assert f"left out: 1: {TRAIN[2]} (no body)" in result.stderr
    assert TRAIN[2] in called("inspect", tmp_path / "c").output
    some[1]["keypoint"], some[2]["keypoint"] = None, np.zeros((0, 0, 25, 3), np.float32)
    path = dump(tmp_path / "b.pkl", [None, *some])
    done, clips = run_import("pyskl-pkl", [path], tmp_path / "d")
    assert [each.name for each in done.left_out] == [*TRAIN[1:], "annotation 0"]
    assert len(clips) == 4


@pytest.mark.parametrize("format", ["pyskl-pkl", "agcn-npy"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_clip_that_is_not_finite_is_left_out_by_name(tmp_path, format, value):
    if format == "pyskl-pkl":
        some = annotations(TRAIN)
        some[1]["keypoint"][0, 3, 2, 1] = value
        files = [dump(tmp_path / "a.pkl", some)]
    else:
        clips = upright(3)
        clips[1, 0, 3, 2, 0] = value
        files = pair(tmp_path, "train", TRAIN, [0, 1, 2], clips)
    done, clips = run_import(format, files, tmp_path / "c")
    assert [(each.name, each.reason) for each in done.left_out] == [(TRAIN[1], "unreadable")]
    assert (clips.columns["name"].tolist(), clips.labels.tolist()) == ([TRAIN[0], TRAIN[2]], [0, 2])
    _, whole = run_import("pyskl-pkl", [dump(tmp_path / "b.pkl", annotations(TRAIN))], tmp_path / "d")
    np.testing.assert_array_equal(clips.load(), whole.load()[[0, 2]])
    assert np.isfinite(clips.load()).all()


def test_lists_older_files_and_paths_in_names(tmp_path):
    parts = [
        dump(tmp_path / f"xsub_{part}.pkl", annotations(names)) for part, names in (("train", TRAIN), ("val", TEST))
    ]
    _done, clips = run_import("pyskl-pkl", parts, tmp_path / "bare")
    assert clips.attributes["divisions"]["xsub"]["as"] == ["xsub60", "xview60"]
    assert clips.columns["listed_train"].tolist() == [1, 1, 1, 0, 0, 0]
    some = [{**each, "frame_dir": f"/data/{each['frame_dir']}.skeleton"} for each in annotations()]
    lists = {"train": TRAIN[:2], "val": TRAIN[2:], "test": with_suffix(TEST)}
    _, clips = run_import(
        "pyskl-pkl", [dump(tmp_path / "c.pkl", {"split": lists, "annotations": some})], tmp_path / "c"
    )
    assert clips.columns["name"].tolist() == [*TRAIN, *TEST]
    assert clips.columns["listed_train"].tolist() == [1, 1, -1, 0, 0, 0]


def test_a_file_divided_otherwise_is_told_and_used_by_its_own_division(tmp_path, tiny):
    names = [f"S001C00{c}P00{p}R001A00{a}" for c in (1, 2) for p in (1, 2) for a in range(1, 9)]
    lists = {"my_train": names[::2], "my_val": names[1::2]}
    path = dump(tmp_path / "a.pkl", {"split": lists, "annotations": annotations(names)})
    result = called("import", "pyskl-pkl", path, tmp_path / "c", "--dataset", "ntu60", "--frames", "12")
    assert "its own division 'my' (16 training and 16 test clips) is no benchmark's" in result.stderr
    assert "--split ntu60-listed goes by the files" in result.stderr
    shown = called("inspect", tmp_path / "c").output
    assert "ntu60-listed" in shown
    assert "as the files list them" in shown
    pretrain(tiny, tmp_path / "c", tmp_path / "run", split="ntu60-listed", stream="joint", seed=0, device="cpu")
    metrics = evaluate(tmp_path / "run", tmp_path / "c", tmp_path / "out", protocols=["knn"], device="cpu")
    assert (metrics["split"], metrics["train_clips"], metrics["test_clips"]) == ("ntu60-listed", 16, 16)


def test_a_file_without_names_may_be_divided_by_no_benchmark(tmp_path):
    file = npz(tmp_path / "a.npz", np.array([0, 1]), np.array([59]))
    _, clips = run_import("ctrgcn-npz", file, tmp_path / "c", split="ntu60-listed")
    assert [mask.tolist() for mask in split_masks("ntu60-listed", "ntu60", clips.columns)] == [[1, 1, 0], [0, 0, 1]]


# What is no such file ----------------------------------------------------------------------------------------------
def test_messages_say_what_a_file_is(tmp_path):
    folder = tmp_path / "xsub"
    files = pair(folder, "train", TRAIN, [0, 1, 2])
    refused("is a folder, and files are wanted; it holds train_data_joint.npy, train_label.pkl", "agcn-npy", [folder],
            tmp_path)  # fmt: skip
    np.save(folder / "train_label.npy", np.array([[0], [1], [2]]))
    refused("train_label.npy: holds labels without names", "agcn-npy", [files[0], folder / "train_label.npy"], tmp_path)
    for name, shape, what in (
        ("kinetics", (2, 3, 9, 18, 2), "18 joints, as OpenPose's 2D poses of Kinetics-Skeleton"),
        ("single", (2, 3, 9, 25, 1), "room for one body, not for two"),
        ("both", (2, 6, 9, 25, 2), "6 channels, as several streams in one array"),
        ("flat", (2, 2, 9, 25, 2), "two dimensions"),
    ):
        np.save(tmp_path / f"{name}.npy", np.ones(shape, np.float32))
        refused(what, "agcn-npy", [tmp_path / f"{name}.npy", dump(tmp_path / f"{name}.pkl", (TRAIN[:2], [0, 1]))],
                tmp_path)  # fmt: skip
    pose = {"annotations": [annotation(TRAIN[0], 0, np.ones((2, 9, 17, 1), np.float16))]}
    refused("17 joints, as 2D poses of COCO", "pyskl-pkl", [dump(tmp_path / "p.pkl", pose)], tmp_path)
    np.savez(tmp_path / "a.npz", data=np.ones(3), label=np.ones(3))
    refused("has no x_train .*; it holds data, label", "ctrgcn-npz", [tmp_path / "a.npz"], tmp_path, split="xsub60")
    refused("a.npz: is an .npz of data, label; this format is .h5", "sgn-h5", [tmp_path / "a.npz"], tmp_path,
            split="xsub60")  # fmt: skip
    refused("holds annotations, not names and labels; import it as pyskl-pkl", "agcn-npy",
            [files[0], dump(tmp_path / "q.pkl", annotations())], tmp_path)  # fmt: skip


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b'{"data": [{"frame_index": 1, "skeleton": [{"pose": [0.1], "score": [0.2]}]}]}', "Kinetics-Skeleton"),
        (b'{"file_name": "a01", "skeletons": [[[0.1, 0.2, 0.3]]], "label": 1}', "NW-UCLA"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(30), "a packed file (7z)"),
        (b"PK\x03\x04 torn", "a damaged or unfinished zip archive"),
        (pickle.dumps((["a"], [1]), protocol=0), "a pickle of protocol 0"),
        (pickle.dumps((["a"], [1]), protocol=2), "a pickle"),
        (b" ".join([b"0.5"] * 150) + b"\n", "a PKU-MMD sequence"),
        (b"34,1,50,2\n18,60,90,1\n", "a PKU-MMD label file"),
        (b"\x00\x01\x02" * 50, "no format that skelpipe knows"),
        (b"# notes\n", "a text file"),
        (b"", "an empty file"),
    ],
)
def test_a_file_is_known_by_its_content(tmp_path, content, what):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert what in what_is(path)


# inspect -----------------------------------------------------------------------------------------------------------
def test_inspect_shows_files_and_the_command_that_imports_them(tmp_path):
    files = [path for part, names in (("train", TRAIN), ("val", TEST)) for path in
             pair(tmp_path / "ntu60" / "xview", part, with_suffix(names), [1, 2, 3])]  # fmt: skip
    shown = called("inspect", *files)
    assert shown.exit_code == 0, shown.output
    for text in ("agcn-npy", "from 1, converted", "content", "xview60"):
        assert text in shown.stdout
    command = shown.stdout.splitlines()[-1]
    assert command.startswith("skelpipe import agcn-npy ")
    words = command.replace(" CLIPS ", f" {tmp_path / 'clips'} ").split()[1:]
    assert called(*words).exit_code == 0
    assert not (tmp_path / "CLIPS").exists()


def test_inspect_of_each_kind(tmp_path):
    file = npz(tmp_path / "NTU60_CV.npz", np.eye(60)[[0, 1]], np.eye(60)[[20]])
    assert called("inspect", *file).stdout.splitlines()[-1].endswith("CLIPS --dataset ntu60 --split xview60")
    lists = {"my_train": TRAIN, "my_val": TEST[:1]}
    path = dump(tmp_path / "a.pkl", {"split": lists, "annotations": [None, *annotations()]})
    shown = called("inspect", path).stdout
    assert "annotation 0: no body" in shown
    assert shown.splitlines()[-1] == f"skelpipe import pyskl-pkl {path} CLIPS --dataset ntu60"
    labels = dump(tmp_path / "train_label.pkl", (["0002-L.txt_0"], [33.0]))
    assert "pku1" in called("inspect", labels).stdout
    motion = np.diff(upright(3), axis=2, append=0).astype(np.float32)
    np.save(tmp_path / "train_motion.npy", motion)
    shown = called("inspect", tmp_path / "train_motion.npy")
    assert shown.exit_code == 0
    assert "is motion by its name" in " ".join(shown.stdout.split())
    raw = " ".join(["0.5"] * 75 + ["0"] * 75)
    (tmp_path / "0002-L.txt").write_text(f"{raw}\n{raw}\n")
    assert "PKU-MMD part I, video 0002-L" in called("inspect", tmp_path / "0002-L.txt").stdout


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_a_coordinate_that_is_no_number_is_named_by_both(tmp_path, odd):
    given = annotations()
    given[1]["keypoint"][0, 2, 3, 1] = odd
    path = dump(tmp_path / "a.pkl", given)
    for words in (["inspect", path], ["import", "pyskl-pkl", path, tmp_path / "c", "--dataset", "ntu60"]):
        shown = " ".join(called(*words).output.split())
        assert "has coordinates that are not numbers" in shown
        assert TRAIN[1] in shown


def test_inspect_names_no_command_that_would_fail(tmp_path):
    """Most clips are no numbers, or show nobody: what import says, inspect says before."""
    for value, said in ((np.nan, "coordinates that are not numbers"), (0, "clips show nobody")):
        given = annotations()
        for each in given[:4]:
            each["keypoint"][:] = value
        path = dump(tmp_path / "a.pkl", given)
        shown = " ".join(called("inspect", path).stdout.split())
        assert f"4 of {len(given)} clips" in shown
        assert said in shown
        assert "skelpipe import" not in shown
        refused(said, "pyskl-pkl", [path], tmp_path)


def test_inspect_of_what_is_no_such_file_is_one_line(tmp_path):
    (tmp_path / "a.json").write_text('{"skeletons": []}')
    np.savez(tmp_path / "a.npz", data=np.ones(3))
    (tmp_path / "b.pkl").write_bytes(pickle.dumps(pickle.Unpickler))
    for name, match in (("a.json", "NW-UCLA"), ("a.npz", "has no x_train"), ("b.pkl", "could run code"),
                        ("none", "does not exist")):  # fmt: skip
        result = called("inspect", tmp_path / name)
        assert (result.exit_code, result.stdout) == (2, "")
        assert match in result.stderr
        assert result.stderr.count("\n") == 1
    assert "goes with one PATH only" in called("inspect", "--provenance", "a", "b").stderr


# What stands in the place of a file, or is a part of it -------------------------------------------------------------
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 123\n"


@pytest.mark.parametrize(("content", "said"), [(LFS, "pointer of Git LFS"), (b"<!DOCTYPE html><html>", "web page")])
def test_what_stands_in_the_place_of_a_file_is_named(tmp_path, content, said):
    labels = dump(tmp_path / "train_label.pkl", (with_suffix(TRAIN), [0, 1, 2]))
    array = tmp_path / "train_data_joint.npy"
    array.write_bytes(content)
    refused(said, "agcn-npy", [array, labels], tmp_path)
    (tmp_path / "a.h5").write_bytes(content)
    refused(said, "sgn-h5", [tmp_path / "a.h5"], tmp_path, split="xsub60")
    assert said in called("inspect", array).stderr


def test_half_a_file_is_unfinished(tmp_path):
    whole = {
        "npy": [*pair(tmp_path / "npy", "train", with_suffix(TRAIN), [0, 1, 2])],
        "npz": npz(tmp_path / "npz" / "NTU60_CS.npz", np.eye(60)[[0, 1]], np.eye(60)[[20]]),
        "pkl": [dump(tmp_path / "pkl" / "a.pkl", annotations())],
    }
    formats = {"npy": ("agcn-npy", {}), "npz": ("ctrgcn-npz", {"split": "xsub60"}), "pkl": ("pyskl-pkl", {})}
    for kind, files in whole.items():
        data = files[0].read_bytes()
        files[0].write_bytes(data[: len(data) // 2])
        format, options = formats[kind]
        refused("is damaged or unfinished; fetch it again", format, files, tmp_path, **options)
        assert "is damaged or unfinished" in called("inspect", files[0]).stderr


def test_of_one_part_alone_nothing_is_reversed(tmp_path):
    """Training clips by the file's name, all of which some benchmark tests on."""
    files = pair(tmp_path, "train", with_suffix(TEST), [0, 1, 2])
    done, _ = run_import("agcn-npy", files, tmp_path / "c")
    assert not any("reverse" in told for told in done.told)
    assert any("no benchmark's" in told for told in done.told)


def test_classes_that_one_file_counts_from_1_and_another_from_0_are_off_by_one(tmp_path):
    files = [
        *pair(tmp_path, "train", with_suffix(TRAIN), [1, 2, 3]),
        *pair(tmp_path, "val", with_suffix(TEST), [0, 1, 2]),
    ]
    refused("train_data_joint.npy: its classes are off by one", "agcn-npy", files, tmp_path)


# What contradicts itself in a pickle of annotations ----------------------------------------------------------------
def test_keypoints_whose_bodies_and_frames_changed_places_are_refused(tmp_path):
    given = [{**each, "keypoint": each["keypoint"].transpose(1, 0, 2, 3)} for each in annotations()]
    refused("bodies and frames changed places", "pyskl-pkl", [dump(tmp_path / "a.pkl", given)], tmp_path)


def test_other_lengths_and_clips_in_both_parts_are_told(tmp_path):
    given = [{**each, "total_frames": FRAMES // 2} for each in annotations()]
    lists = {"my_train": TRAIN, "my_val": [*TEST, TRAIN[0]]}
    path = dump(tmp_path / "a.pkl", {"split": lists, "annotations": given})
    told = "\n".join(run_import("pyskl-pkl", [path], tmp_path / "c")[0].told)
    assert f"total_frames contradicts the keypoint of 6 clips (the first {TRAIN[0]}, 6 for 12 frames)" in told
    assert f"its split 'my' has 1 clips in both parts, the first {TRAIN[0]}" in told
    fine = dump(tmp_path / "b.pkl", {"split": {"my_train": TRAIN, "my_val": TEST}, "annotations": annotations()})
    told = "\n".join(run_import("pyskl-pkl", [fine], tmp_path / "d")[0].told)
    assert "in both parts" not in told
    assert "total_frames" not in told


# inspect of what is no import --------------------------------------------------------------------------------------
def test_inspect_of_raw_recordings_says_how_to_ingest_them(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    for name in TRAIN:
        (folder / f"{name}.skeleton").write_text("0\n")
    with zipfile.ZipFile(tmp_path / "raw.zip", "w") as archive:
        for name in TRAIN:
            archive.write(folder / f"{name}.skeleton", f"all/{name}.skeleton")
    for path in (folder, tmp_path / "raw.zip"):
        shown = called("inspect", path).stdout
        assert "3 recordings" in shown
        assert shown.splitlines()[-1] == f"skelpipe ingest ntu60 {path} STORE"
    with zipfile.ZipFile(tmp_path / "labels.zip", "w") as archive:
        archive.writestr("Label/0002-L.txt", "34,1,50,2\n")
    assert "1 label files without sequences" in called("inspect", tmp_path / "labels.zip").stdout
    (tmp_path / "cross-subject.txt").write_text("Training videos: \n0002-L, \nValidataion videos: \n0294-L, \n")
    shown = called("inspect", tmp_path / "cross-subject.txt").stdout
    assert "PKU-MMD part I" in shown
    assert "1 train, 1 test" in shown
    (tmp_path / "none").mkdir()
    np.save(tmp_path / "none" / "x.npy", np.zeros(1))
    assert "no recordings but x.npy" in called("inspect", tmp_path / "none").stderr
