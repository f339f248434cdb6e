"""A data set that its user describes: its description travels, and its clips are divided as its user states it."""

import json

import numpy as np
import pytest

from skelpipe.errors import BadInput
from skelpipe.recordings.datasets import (
    DATASETS,
    dataset_attributes,
    dataset_of,
    divided,
    find_split,
    fitting_splits,
    serves,
    split_attributes,
    split_masks,
    split_of,
)
from skelpipe.recordings.datasets.folds import family, fold_of, folded
from skelpipe.recordings.datasets.listed import read_list
from skelpipe.recordings.datasets.own import Own, read_table
from skelpipe.recordings.datasets.rules import folder_word

OWN = Own(
    name="gym",
    title="Gym",
    classes=2,
    clips=0,
    columns=("name", "label", "subject", "session"),
    group="subject",
    class_names=("squat", "lunge"),
    layout="coco17",
    text=("name", "session"),
    splits={
        "by_person": {"column": "subject", "train": [1, 2], "test": [5]},
        "listed": {"train": ["a", "b"], "test": None},
    },
)
COLUMNS = {
    "name": np.array(["a", "b", "c", "d", "e"]),
    "label": np.array([0, 1, 0, 1, -1]),
    "subject": np.array([1, 2, 5, 7, 9]),
    "session": np.array(["am", "pm", "am", "night shift", "pm"]),
}


def divide(split, dataset=OWN):
    return tuple(mask.astype(int).tolist() for mask in split_masks(split, dataset, COLUMNS))


def test_a_description_travels_as_plain_values():
    noted = json.loads(json.dumps(dataset_attributes(OWN)))
    assert noted["dataset"] == "gym"
    assert dataset_of({**noted, "layout": "coco17"}) == OWN
    assert dataset_attributes(DATASETS["ntu60"]) == {"dataset": "ntu60"}
    assert dataset_of({"dataset": "ntu60"}) is DATASETS["ntu60"]


@pytest.mark.parametrize("key", ["title", "classes", "class_names", "columns", "splits"])
def test_a_damaged_description_is_told_in_a_line(key):
    table = OWN.as_table()
    for value in (None, 7.5, [1]):
        with pytest.raises(BadInput, match="is damaged"):
            read_table("gym", {**table, key: value}, "coco17", "here")
    with pytest.raises(BadInput, match="no name for a data set"):
        read_table("Gym!", table, "coco17", "here")


@pytest.mark.parametrize(
    ("split", "train", "test", "name"),
    [
        ("subject:1,2", [1, 1, 0, 0, 0], [0, 0, 1, 1, 1], "gym:subject:1,2"),
        ("subjects: 1, 2", [1, 1, 0, 0, 0], [0, 0, 1, 1, 1], "gym:subject:1,2"),
        ("subject:/5", [1, 1, 0, 1, 1], [0, 0, 1, 0, 0], "gym:subject:/5"),
        ("subject:1/7-9", [1, 0, 0, 0, 0], [0, 0, 0, 1, 1], "gym:subject:1/7-9"),
        ("gym:subject:1-5", [1, 1, 1, 0, 0], [0, 0, 0, 1, 1], "gym:subject:1-5"),
        ("session:am,night shift", [1, 0, 1, 1, 0], [0, 1, 0, 0, 1], "gym:session:am,night shift"),
        ("Session:/pm", [1, 0, 1, 1, 0], [0, 1, 0, 0, 1], "gym:session:/pm"),
        ("subject:2of3", [1, 0, 1, 1, 0], [0, 1, 0, 0, 1], "gym:subject:2of3"),
        ("name:1of2", [0, 1, 0, 1, 0], [1, 0, 1, 0, 1], "gym:name:1of2"),
        ("all", [1, 1, 1, 1, 1], [0, 0, 0, 0, 0], "gym:all"),
        ("by_person", [1, 1, 0, 0, 0], [0, 0, 1, 0, 0], "gym:by_person"),
        ("gym:by_person", [1, 1, 0, 0, 0], [0, 0, 1, 0, 0], "gym:by_person"),
        ("listed", [1, 1, 0, 0, 0], [0, 0, 1, 1, 1], "gym:listed"),
    ],
)
def test_clips_are_divided_as_their_user_states_it(split, train, test, name):
    assert divide(split) == (train, test)
    found = find_split(split, OWN)
    assert found.name == name
    assert divide(found.name) == (train, test)
    assert divide(found) == (train, test)
    again = split_of({**dataset_attributes(OWN), "layout": "coco17", **split_attributes(found)})
    assert divide(again) == (train, test)
    assert (found.classes, serves(split, OWN, COLUMNS)) == (2, True)


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("by_persn", "is unknown; did you mean 'by_person'"),
        ("label:1", "gym has no column 'label'"),
        ("camera:1", "gym has no column 'camera'"),
        ("subject:1,33", "names subject 33, which no clip here has; correct it: there are 1,2,5,7,9"),
        ("session:noon", "names session noon, which no clip here has; correct it: there are am,night shift,pm"),
        ("session:", "no column and its values"),
        ("session:,", "names no session"),
        ("subject:x", "has 'x' where a number"),
        ("subject:4of3", "has no fold 4of3"),
        ("subject:1of6", "more folds than there are subjects here, which are 5"),
        ("subject:5-fold", "stands for several splits"),
        ("subject:leave-one-out", "stands for several splits"),
        ("subject:1-99999", "of more than 10,000"),
        ("xsub60", "is not a split of gym; its splits are: by_person, listed"),
        ("nowhere.txt", "does not exist"),
    ],
)
def test_what_divides_nothing_is_told_in_a_line(split, said):
    with pytest.raises(BadInput, match=said) as told:
        split_masks(split, OWN, COLUMNS)
    assert "\n" not in str(told.value)


def test_a_number_in_a_gap_leaves_its_part_empty():
    with pytest.raises(BadInput, match="gym:subject:3: has no training clips here: only subjects 1, 2, 5, 7, 9"):
        divided("subject:3", OWN, COLUMNS)


def test_all_has_no_test_part():
    with pytest.raises(BadInput, match="gym:all: has no test clips here; choose a split of two parts"):
        divided("all", OWN, COLUMNS, needed=("training", "test"))


def test_a_split_of_another_data_set_of_somebodys_does_not_serve():
    other = Own("pool", "Pool", 2, 0, ("name", "label", "subject"), "subject", ("a", "b"), text=("name",))
    assert not serves("gym:by_person", other, COLUMNS)
    assert not serves("gym:subject:1-2", DATASETS["ntu60"])


def test_a_data_set_names_its_own_splits():
    assert fitting_splits(OWN, COLUMNS) == ("by_person", "listed")
    assert serves("xsub60", OWN, COLUMNS) is False


LISTS = {
    "names.txt": "# the first two\na\n\n b \n",
    "table.csv": "name,split\na,train\nb,Training\nc,test\nd,test\ne,\n",
    "table.tsv": "split\tname\ntrain\ta\ntrain\tb\ntest\tc\ntest\td\n",
    "semicolons.csv": "name;split\na;train\nb;train\nc;val\nd;val\n",
    "three.csv": "name,split\na,train\nb,train\ne,val\nc,test\nd,test\n",
    "both.json": '{"train": ["a", "sub/b.npy"], "test": ["c.npy", "d"]}',
    "both.yaml": "train: [a, b]\ntest: [c, d]\n",
    "bare.json": '["a", "b"]',
}


@pytest.mark.parametrize("name", LISTS)
def test_a_split_may_be_a_list_of_names(tmp_path, name):
    path = tmp_path / name
    path.write_text(LISTS[name])
    others = [0, 0, 1, 1, 1] if name in ("names.txt", "bare.json") else [0, 0, 1, 1, 0]
    found = find_split(str(path), OWN)
    assert divide(found) == ([1, 1, 0, 0, 0], others)
    assert found.name.startswith(f"list:{path.stem}-")
    settings = json.loads(json.dumps({**dataset_attributes(OWN), "layout": "coco17", **split_attributes(found)}))
    path.unlink()  # a run holds what its list said
    assert divide(split_of(settings)) == ([1, 1, 0, 0, 0], others)
    assert folder_word(found.name) == found.name.replace(":", "=")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "# nothing\n", "lists no clips"),
        ("a.txt", "a\na\n", "lists a twice"),
        ("a.csv", "clip,part\na,train\n", "has the columns clip, part"),
        ("a.csv", "name,split\na,maybe\n", "neither train nor test"),
        ("a.csv", "name,split\na\n", "neither train nor test"),
        ("a.json", "[1, 2]", "where names of clips belong"),
        ("a.json", "{", "is no JSON"),
        ("a.json", '{"part": ["a"]}', "is no list of clips"),
        ("a.yaml", "train: a\n", "where names of clips belong"),
        ("a.txt", "nobody\n", "lists nobody and others, and no clip here is called so; list names of clips, such as a"),
        ("a.json", '{"train": ["a"], "test": ["a.npy", "b"]}', "has a on both sides"),
    ],
)
def test_a_list_that_is_none_is_told_in_a_line(tmp_path, name, text, said):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(BadInput, match=said):
        divide(find_split(str(path), OWN))


def test_what_a_list_says_beside_is_told(tmp_path):
    (tmp_path / "a.csv").write_text("name,split\na,train\nb,val\nc,test\nzz,train\n")
    found = find_split(str(tmp_path / "a.csv"), OWN)
    assert found.listed.tell(COLUMNS) == [
        f"{tmp_path / 'a.csv'}: its 1 clips for validation are in neither part",
        f"{tmp_path / 'a.csv'}: 1 name of no clip here, as zz",
    ]
    assert divide(found) == ([1, 0, 0, 0, 0], [0, 0, 1, 0, 0])
    (tmp_path / "b.json").write_text('{"train": ["a"], "val": ["b", "c"]}')
    found = find_split(str(tmp_path / "b.json"), OWN)
    assert found.listed.tell(COLUMNS) == [
        f"{tmp_path / 'b.json'}: its 2 clips for validation are the test part: it has no other"
    ]
    assert divide(found) == ([1, 0, 0, 0, 0], [0, 1, 1, 0, 0])


def test_the_same_list_has_the_same_name(tmp_path):
    (tmp_path / "a.txt").write_text("a\nb\n")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a.txt").write_text("a\n\nb")
    assert read_list(tmp_path / "a.txt").name == read_list(tmp_path / "b" / "a.txt").name
    (tmp_path / "a.txt").write_text("a\nc\n")
    assert read_list(tmp_path / "a.txt").name != read_list(tmp_path / "b" / "a.txt").name


def test_a_family_stands_for_its_folds():
    subjects, sessions = COLUMNS["subject"].tolist(), COLUMNS["session"].tolist()
    ones = family("subject:leave-one-out", OWN, subjects)
    assert ones == [f"gym:subject:/{s}" for s in (1, 2, 5, 7, 9)]
    assert family("sessions:leave-one-out", OWN, sessions)[1] == "gym:session:/night shift"
    folds = family("subject:3-fold", OWN)
    assert folds == [f"gym:subject:{k}of3" for k in (1, 2, 3)]
    tested = np.sum([divide(split)[1] for split in folds], axis=0)
    assert tested.tolist() == [1, 1, 1, 1, 1]
    assert folded([*ones, *folds, "gym:by_person"]) == {
        **{f"gym:subject:/{s}": ("gym:subject:leave-one-out", str(s)) for s in (1, 2, 5, 7, 9)},
        **{f"gym:subject:{k}of3": ("gym:subject:3-fold", str(k)) for k in (1, 2, 3)},
    }
    assert folded(["gym:subject:/1"]) == {}  # alone it is a split like others
    assert fold_of("gym:subject:1/2") is None
    assert family("subject:2-fold", DATASETS["ntu60"]) == ["ntu60:subject:1of2", "ntu60:subject:2of2"]


@pytest.mark.parametrize(
    ("text", "values", "said"),
    [
        ("subject:leave-one-out", [1, 1], "needs two subjects at least"),
        ("subject:leave-one-out", None, "needs to know which subjects there are"),
        ("subject:6-fold", [1, 2, 5], "no more folds than subjects; there are 3"),
        ("subject:1-fold", None, "needs two subjects at least"),
        ("camera:2-fold", None, "gym has no column 'camera'"),
    ],
)
def test_a_family_of_too_few_is_told_in_a_line(text, values, said):
    with pytest.raises(BadInput, match=said):
        family(text, OWN, values)


def test_words_that_folders_may_not_have_become_a_digest():
    word = folder_word("gym:session:/night shift")
    assert word.startswith("gym-session=test=nightshift-")
    assert word != folder_word("gym:session:/nightshift")
    assert folder_word("gym:subject:/5") == "gym-subject=test=5"
