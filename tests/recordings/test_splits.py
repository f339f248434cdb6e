import subprocess
import sys

import numpy as np
import pytest

from skelpipe.errors import BadInput
from skelpipe.recordings.datasets import (
    DATASETS,
    SPLITS,
    check_split,
    divided,
    find_dataset,
    find_split,
    fitting_splits,
    pretrained_on,
    split_masks,
)
from skelpipe.recordings.datasets.ntu import NTU120, SETUP_SUBJECTS, nominal_names, parse_name
from skelpipe.recordings.datasets.rules import folder_word
from skelpipe.recordings.datasets.tables import missing_skeletons


def columns_of(names):
    rows = [{"name": name, **parse_name(name)} for name in names]
    return {column: NTU120.column(column, [row[column] for row in rows]) for column in rows[0]}


@pytest.fixture(scope="module")
def nominal():
    return {name: list(nominal_names(name)) for name in ("ntu60", "ntu120")}


@pytest.fixture(scope="module")
def usable(nominal):
    return {key: columns_of([n for n in names if n not in missing_skeletons()]) for key, names in nominal.items()}


def test_names_and_missing_list(nominal):
    missing = missing_skeletons()
    assert len(nominal["ntu60"]) == len(set(nominal["ntu60"])) == 56_880
    assert len(nominal["ntu120"]) == len(set(nominal["ntu120"])) == 114_480
    assert len(missing) == 535
    assert missing <= set(nominal["ntu120"])
    of_60 = {name for name in missing if parse_name(name)["label"] < 60}
    assert len(of_60) == 302
    assert of_60 == missing & set(nominal["ntu60"])
    assert set().union(*SETUP_SUBJECTS.values()) == set(range(1, 107))


@pytest.mark.parametrize(
    ("split", "store", "train", "test"),
    [
        ("xsub60", "ntu60", 40_091, 16_487),
        ("xview60", "ntu60", 37_646, 18_932),
        ("xsub60", "ntu120", 40_091, 16_487),
        ("xview60", "ntu120", 37_646, 18_932),
        ("xsub120", "ntu120", 63_026, 50_919),
        ("xset120", "ntu120", 54_468, 59_477),
    ],
)
def test_published_counts(usable, split, store, train, test):
    masks = split_masks(split, store, usable[store])
    assert [int(mask.sum()) for mask in masks] == [train, test]
    assert not (masks[0] & masks[1]).any()
    assert len(usable["ntu60"]["name"]) == DATASETS["ntu60"].clips
    assert len(usable["ntu120"]["name"]) == DATASETS["ntu120"].clips


def test_training_subjects_as_published():
    """Some subjects were recorded equally often, so the counts alone do not tell them apart."""
    of_60 = {1, 2, 4, 5, 8, 9, *range(13, 20), 25, 27, 28, 31, 34, 35, 38}
    more = {45, 46, 47, 49, 50, *range(52, 60), 70, 74, 78, *range(80, 87), 89, *range(91, 96), 97, 98, 100, 103}
    assert len(of_60) == 20
    columns = {"name": np.zeros(106, str), "subject": np.arange(1, 107), "label": np.zeros(106, int),
               "setup": np.ones(106, int)}  # fmt: skip
    assert set(columns["subject"][split_masks("xsub60", "ntu60", columns)[0]]) == of_60
    assert set(columns["subject"][split_masks("xsub120", "ntu120", columns)[0]]) == of_60 | more


@pytest.mark.parametrize(("split", "train", "test"), [("xsub60", 40_320, 16_560), ("xview60", 37_920, 18_960)])
def test_nominal_counts(nominal, split, train, test):
    masks = split_masks(split, "ntu60", columns_of(nominal["ntu60"]))
    assert [int(mask.sum()) for mask in masks] == [train, test]


def pku_columns(videos):
    view = ["LMR".index(v[-1]) + 1 for v in videos]
    return {"name": np.array(videos), "video": np.array(videos), "view": np.array(view, np.int32)}


def test_pku1_rebuilt_from_ids():
    columns = pku_columns([f"{n:04}-{v}" for n in range(2, 365) for v in "LMR"])
    train, test = split_masks("pku1-xsub", "pku1", columns)
    assert test.sum() == 132
    assert set(columns["video"][test]) == {f"{n:04}-{v}" for n in range(291, 335) for v in "LMR"}
    train, test = split_masks("pku1-xview", "pku1", columns)
    assert (train == np.char.endswith(columns["video"], ("M")) | np.char.endswith(columns["video"], "R")).all()


def test_pku2_rebuilt_from_ids():
    columns = pku_columns([f"A{a:02}N{n:02}-{v}" for a in range(1, 27) for n in range(1, 14) for v in "LMR"])
    _, test = split_masks("pku2-xsub", "pku2", columns)
    assert test.sum() == 234
    assert {v[3:6] for v in columns["video"][test]} == {"N02", "N03", "N07"}


def test_split_files_win():
    columns = pku_columns(["0002-L", "0003-M", "0300-R"])
    listed = {"pku1-xsub": {"train": ["0300-R", "0002-L"], "test": ["0003-M"]}}
    train, test = split_masks("pku1-xsub", "pku1", columns, listed)
    assert train.tolist() == [True, False, True]
    assert test.tolist() == [False, True, False]
    assert split_masks("pku1-xview", "pku1", columns, listed)[0].tolist() == [False, True, True]


def test_empty_columns():
    empty = {"name": np.array([], str), "video": np.array([], str), "view": np.array([], np.int32)}
    for split in ("pku1-xsub", "pku1-xview"):
        assert [len(mask) for mask in split_masks(split, "pku1", empty)] == [0, 0]


def test_wrong_splits():
    with pytest.raises(BadInput, match="did you mean 'xsub60'"):
        split_masks("xsub6", "ntu60", {})
    with pytest.raises(BadInput, match="not a split of ntu60; its splits are: xsub60, xview60"):
        split_masks("xsub120", "ntu60", {})
    with pytest.raises(BadInput, match="did you mean"):
        find_dataset("ntu6")


def test_names_cost_no_numba():
    """The command line lists data sets and splits before it loads anything heavy."""
    slow = ("numba", "zarr", "torch", "pandas")
    code = f"import sys, skelpipe.recordings.datasets; sys.exit(any(m in sys.modules for m in {slow}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_tables_agree():
    assert set(SPLITS) == {
        "xsub60", "xview60", "xsub120", "xset120", "pku1-xsub", "pku1-xview", "pku2-xsub", "pku2-xview",
        "nw-ucla-xview", "ntu60-listed", "ntu120-listed", "pku1-listed", "pku2-listed", "nw-ucla-listed",
    }  # fmt: skip
    for dataset in DATASETS.values():
        assert len(dataset.class_names) == dataset.classes == len(set(dataset.class_names))
        assert dataset.columns[:2] == ("name", "label")
        assert dataset.group in dataset.columns


def test_an_encoder_of_ntu120_has_seen_most_of_ntu60s_test_clips(usable):
    columns = usable["ntu60"]
    _, test = split_masks("xview60", "ntu60", columns)
    assert (test & pretrained_on("xsub120", "ntu60", columns)).sum() == 13_415
    assert not (test & pretrained_on("xview60", "ntu60", columns)).any()
    assert not pretrained_on("pku1-xsub", "ntu60", columns).any()


def test_clips_are_divided_as_their_files_list_them():
    columns = {"name": np.array(list("abc")), "listed_train": np.array([1, -1, 0], np.int8)}
    assert [mask.tolist() for mask in split_masks("ntu60-listed", "ntu60", columns)] == [[1, 0, 0], [0, 0, 1]]
    assert pretrained_on("ntu60-listed", "ntu60", columns).tolist() == [True, False, False]
    assert "ntu60-listed" in fitting_splits("ntu60", columns)
    del columns["listed_train"]
    assert "ntu60-listed" not in fitting_splits("ntu60", columns) + fitting_splits("ntu60")
    assert not pretrained_on("ntu60-listed", "ntu60", columns).any()
    with pytest.raises(BadInput, match="these clips have none; use the split of a benchmark"):
        split_masks("ntu60-listed", "ntu60", columns)


def test_ntu60_within_ntu120_is_of_both_its_classes_and_its_setups():
    columns = {"label": np.array([59, 60, 59, 0]), "setup": np.array([17, 17, 18, 1]), "camera": np.array([2, 2, 2, 1])}
    train, test = split_masks("xview60", "ntu120", columns)
    assert (train.tolist(), test.tolist()) == ([True, False, False, False], [False, False, False, True])


def test_splits_of_a_data_set():
    ntu = ("xsub60", "xview60")
    assert fitting_splits("ntu60") == ntu
    assert fitting_splits("ntu120") == (*ntu, "xsub120", "xset120")
    assert fitting_splits("pku2") == ("pku2-xsub", "pku2-xview")
    with pytest.raises(BadInput, match="is unknown"):
        fitting_splits("other")
    assert [SPLITS[name].classes for name in ("xsub60", "xsub120", "pku1-xsub", "pku2-xview")] == [60, 120, 51, 51]


def test_clips_without_ids_hold_the_splits_they_came_with():
    columns = {"name": np.array(["a", "b", "c"]), "train_xview60": np.array([1, 0, 1])}
    assert fitting_splits("ntu60", columns) == ("xview60",)
    assert fitting_splits("pku1", columns) == ()
    train, test = split_masks("xview60", "ntu60", columns)
    assert (train.tolist(), test.tolist()) == ([True, False, True], [False, True, False])
    with pytest.raises(BadInput, match="have no ids and hold xview60 only"):
        split_masks("xsub60", "ntu60", columns)
    assert pretrained_on("xview60", "ntu60", columns).tolist() == [True, False, True]
    assert pretrained_on("xsub60", "ntu60", columns).tolist() == [False, False, False]


def test_what_an_encoder_of_another_store_has_seen():
    columns = {
        "name": np.array(["a", "b", "c"]), "label": np.array([3, 3, 70]), "setup": np.array([2, 3, 20]),
        "subject": np.array([1, 3, 1]),
    }  # fmt: skip
    assert pretrained_on("xsub60", "ntu120", columns).tolist() == [True, False, False]
    assert pretrained_on("xset120", "ntu60", columns).tolist() == [True, False, True]
    assert pretrained_on("pku1-xsub", "ntu120", columns).tolist() == [False] * 3
    assert pretrained_on("xsub60", "pku1", columns).tolist() == [False] * 3
    of_pku = pku_columns(["0002-L", "0300-R"])
    assert pretrained_on("pku1-xsub", "pku1", of_pku).tolist() == [True, False]
    assert pretrained_on("pku2-xview", "pku1", of_pku).tolist() == [False, False]


def test_a_stated_split_has_one_name_and_names_whose_classes_it_is_about():
    for text in ("subject:1,2,4", " Subject: 4,2, 1", "ntu60:subject:1,2-2,4"):
        assert find_split(text, "ntu60").name == "ntu60:subject:1,2,4"
    split = find_split("subject:1-20/21,22,30-40", "ntu120")
    assert (split.name, split.classes) == ("ntu120:subject:1-20/21,22,30-40", 120)
    assert split.title == "NTU RGB+D 120 by subject, 1-20 train, 21,22,30-40 test"
    assert find_split("ntu60:subject:1", "ntu120").classes == 60
    assert find_split("performer:2").name == "pku2:performer:2"
    assert find_split("view:L,M", "pku1").name == "pku1:view:1,2"
    assert folder_word("ntu60:camera:2,3/1") == "ntu60-camera=2,3-test=1"
    assert folder_word("xsub60") == "xsub60"


def test_stated_splits_divide_by_the_values_of_a_column(usable):
    columns = usable["ntu60"]
    train, test = split_masks("camera:2,3/1", "ntu60", columns)
    benchmark = split_masks("xview60", "ntu60", columns)
    assert (train == benchmark[0]).all()
    assert (test == benchmark[1]).all()
    train, test = split_masks("subject:1-3/7", "ntu60", columns)
    assert (train == (columns["subject"] <= 3)).all()
    assert (test == (columns["subject"] == 7)).all()
    assert (~(train | test)).sum() == len(train) - train.sum() - test.sum() > 0


def test_a_stated_split_of_ntu60_is_about_its_clips_in_a_store_of_ntu120(usable):
    columns = usable["ntu120"]
    train, test = split_masks("ntu60:camera:2,3", "ntu120", columns)
    assert (train.sum(), test.sum()) == (37_646, 18_932)
    train, test = split_masks("camera:2,3", "ntu120", columns)
    assert train.sum() + test.sum() == 113_945
    assert pretrained_on("ntu60:camera:2,3", "ntu120", columns).sum() == 37_646


def test_stated_splits_of_pku_mmd_take_the_numbers_of_its_videos():
    columns = pku_columns([f"{n:04}-{v}" for n in range(2, 365) for v in "LMR"])
    train, test = split_masks("video:291-334", "pku1", columns)
    benchmark = split_masks("pku1-xsub", "pku1", columns)
    assert (train == benchmark[1]).all()
    assert (test == benchmark[0]).all()
    columns = pku_columns([f"A{a:02}N{n:02}-{v}" for a in range(1, 27) for n in range(1, 14) for v in "LMR"])
    assert (split_masks("performer:2,3,7", "pku2", columns)[0] == split_masks("pku2-xsub", "pku2", columns)[1]).all()
    assert split_masks("scene:1/2", "pku2", columns)[0].sum() == 39


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("subjct:1", "ntu60 has no column 'subjct'; did you mean 'subject'"),
        ("view:1", "ntu60 has no column 'view'; use one of subject, camera"),
        ("subject:", "no column and its values; write for example subject:1-20"),
        ("subject:x", "has 'x' where a number"),
        ("subject:1,,2", "has '' where a number"),
        ("subject:9-2", "ends before it begins"),
        ("subject:1-3/3,4", "subject 3 on both sides"),
        ("subject:1/2/3", "has '2/3' where"),
        ("subject:1234567890", "has '1234567890' where"),
        ("ntu6:subject:1", "did you mean 'ntu60'"),
        ("a:b:c:d", "no column and its values"),
        ("subject=1-3", "names the column subject, and no values"),
        ("camera:3-5", "names camera 4,5, which no clip here has; correct it: NTU RGB.D has 1-3"),
    ],
)
def test_what_states_no_split_is_told_in_a_line(usable, text, said):
    with pytest.raises(BadInput, match=said) as told:
        split_masks(text, "ntu60", usable["ntu60"])
    assert "\n" not in str(told.value)


def test_without_clips_a_column_of_several_data_sets_is_not_enough():
    with pytest.raises(BadInput, match="ntu60, ntu120 or nw-ucla; write ntu60:subject:1"):
        find_split("subject:1")
    assert check_split("subject:1") == "subject:1"
    with pytest.raises(BadInput, match="did you mean 'camera'"):
        find_split("camra:1", "ntu60")


def test_a_value_of_ones_own_recordings_may_be_stated_though_the_data_set_has_it_not():
    columns = columns_of(["S099C001P099R001A001", "S099C001P100R001A001"])
    train, test = split_masks("subject:99", "ntu60", columns)
    assert (train.tolist(), test.tolist()) == ([True, False], [False, True])
    with pytest.raises(BadInput, match="xsub60: is not about any of the 2 clips here.*such as subject:99"):
        divided("xsub60", "ntu60", columns)


def test_a_part_without_clips_is_told_with_what_is_there():
    columns = columns_of([f"S001C001P{p:03}R001A001" for p in (1, 2, 4)])
    with pytest.raises(
        BadInput, match="xview60: has no training clips here: only camera 1; it trains on cameras 2, 3:"
    ):
        divided("xview60", "ntu60", columns)
    with pytest.raises(
        BadInput, match="xsub60: has no test clips here: only subjects 1, 2, 4; it tests subjects 3, 6, 7"
    ):
        divided("xsub60", "ntu60", columns, needed=("training", "test"))
    with pytest.raises(
        BadInput, match="subject:7: has no training clips here: only subjects 1, 2, 4; it trains on subject"
    ):
        divided("ntu60:subject:7", "ntu60", columns)
    with pytest.raises(
        BadInput, match="subject:1/7: has no test clips here: only subjects 1, 2, 4; it tests subject 7"
    ):
        divided("ntu60:subject:1/7", "ntu60", columns, needed=("test",))
    with pytest.raises(BadInput, match="pku1-xsub: has no training clips here: only video 300"):
        divided("pku1-xsub", "pku1", pku_columns(["0300-L", "0300-M"]))
    listed = {"pku1-xsub": {"train": ["0002-L"], "test": ["0300-L"]}}
    with pytest.raises(BadInput, match="no video here is on that side of its list"):
        divided("pku1-xsub", "pku1", pku_columns(["0300-L"]), listed)
    unnamed = {"name": np.array(["a"]), "train_xview60": np.array([0])}
    with pytest.raises(
        BadInput, match="has no training clips here; ingest the recordings of the other part too, or imp"
    ):
        divided("xview60", "ntu60", unnamed)
