"""Accuracies against hand-worked values and a plain sort; score files; confusion matrices."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import balanced_accuracy_score, f1_score

from skelpipe.errors import BadInput
from skelpipe.evaluation.scores import (
    accuracies,
    balanced_accuracy,
    confusion,
    macro_f1,
    over_draws,
    per_class,
    predictions,
    read_scores,
    tied,
    topk_accuracy,
    write_confusion_csv,
    write_npz,
    write_scores,
)

SCORES = np.array([[3, 1, 2, 0], [0, 5, 5, 1], [1, 1, 1, 1], [9, 8, 7, 6]], np.float32)
LABELS = np.array([0, 2, 1, 3])


def test_hand_worked():
    # Clip 0 is right; 1 ties with class 1, which comes first; 2 ties with class 0; 3 is last of four.
    assert topk_accuracy(SCORES, LABELS, 1) == 0.25
    assert topk_accuracy(SCORES, LABELS, 2) == 0.75
    assert topk_accuracy(SCORES, LABELS, 3) == 0.75
    assert topk_accuracy(SCORES, LABELS, 5) == 1.0
    assert tied(SCORES) == 2
    assert tied(np.stack([SCORES, SCORES])) == 4
    assert per_class(SCORES, LABELS, 5) == [1.0, 0.0, 0.0, 0.0, None]
    expected = np.zeros((4, 4), int)
    expected[[0, 2, 1, 3], [0, 1, 0, 0]] = 1
    assert (confusion(SCORES, LABELS, 4) == expected).all()


@given(hnp.arrays(np.float32, (7, 6), elements=st.integers(-3, 3).map(float)), st.integers(1, 7), st.randoms())
def test_topk_equals_a_stable_sort(scores, k, random):
    labels = np.array([random.randrange(6) for _ in range(7)])
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    expected = np.mean([label in row for label, row in zip(labels, order, strict=True)])
    assert topk_accuracy(scores, labels, k) == pytest.approx(expected)
    assert (predictions(scores) == order[:, 0]).all()
    assert np.trace(confusion(scores, labels, 6)) == round(7 * topk_accuracy(scores, labels, 1))


@pytest.mark.parametrize("labels", [np.array([0, 1, 2, 4]), np.array([-1, 1, 2, 3]), np.array([0, 1])])
def test_labels_that_do_not_fit(labels):
    with pytest.raises(ValueError, match="label"):
        topk_accuracy(SCORES, labels, 1)


def test_draws_by_hand():
    """The second draw is right about the clips 0 and 1 and ties on clip 3, where the lower class comes first."""
    draws = np.stack([SCORES, [[3, 1, 2, 0], [0, 4, 5, 1], [1, 1, 1, 1], [9, 8, 7, 9]]])
    assert topk_accuracy(draws, LABELS, 1) == 0.375
    assert topk_accuracy(draws, LABELS, 2) == 0.875
    said = over_draws(draws, LABELS)
    assert said["draws"] == [0.25, 0.5]
    assert said["std"] == pytest.approx(0.125 * 2**0.5)
    # Of the first draw class 0 is predicted three times and right once: F1 2 / (2 + 2), and 0 of the other three.
    assert said["draws_of"]["balanced"] == [0.25, 0.5]
    assert said["draws_of"]["macro_f1"][0] == 0.125
    assert over_draws(draws[:1], LABELS) == {
        "draws": [0.25], "std": None, "draws_of": {"balanced": [0.25], "macro_f1": [0.125]},
    }  # fmt: skip
    assert over_draws(SCORES, LABELS) == {}
    assert per_class(draws, LABELS, 5) == [1.0, 0.0, 0.5, 0.0, None]
    assert (confusion(draws, LABELS, 4) == sum(confusion(one, LABELS, 4) for one in draws)).all()
    assert predictions(draws).tolist() == [[0, 1, 0, 0], [0, 2, 0, 0]]


@pytest.mark.filterwarnings("ignore::UserWarning:sklearn")
@given(hnp.arrays(np.float32, (3, 9, 5), elements=st.integers(-3, 3).map(float)), st.randoms())
def test_balanced_accuracy_and_macro_f1_are_those_of_scikit_learn(draws, random):
    labels = np.array([random.choice([0, 0, 0, 1, 4]) for _ in range(9)])
    found = [
        (balanced_accuracy_score(labels, one), f1_score(labels, one, average="macro")) for one in predictions(draws)
    ]
    for scores, expected in ((draws[0], found[0]), (draws, np.mean(found, axis=0))):
        assert balanced_accuracy(scores, labels) == pytest.approx(expected[0])
        assert macro_f1(scores, labels) == pytest.approx(expected[1])


def test_what_is_told_of_unbalanced_clips_by_hand():
    """Nine clips of class 0, all right, and three of class 1, of which one is: 10/12, (1 + 1/3)/2, F1 18/20 and 2/4."""
    labels = np.repeat([0, 1], [9, 3])
    scores = np.tile([1.0, 0.0, -1.0], (12, 1))
    scores[9] = [0, 1, -1]
    found = accuracies(scores, labels, 3, np.repeat([7, 8, 9], 4), "subject")
    assert found["top1"] == pytest.approx(10 / 12)
    assert found["balanced"] == pytest.approx(2 / 3)
    assert found["macro_f1"] == pytest.approx((18 / 20 + 2 / 4) / 2)
    assert found["per_class"] == [1.0, pytest.approx(1 / 3), None]
    assert (found["interval"]["by"], found["interval"]["groups"]) == ("subject", 3)


def test_nan_scores_are_refused():
    with pytest.raises(ValueError, match="not a number"):
        topk_accuracy(np.full((2, 3), np.nan), np.array([0, 1]), 1)


def test_round_trip_and_equal_bytes(tmp_path):
    names = np.array(["b", "a", "ä clip"])
    for file in ("one.npz", "two.npz"):
        write_scores(tmp_path / file, names, LABELS[:3], {"linear": SCORES[:3], "knn": SCORES[:3] * 2})
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    read_names, labels, scores = read_scores(tmp_path / "one.npz")[:3]
    assert read_names.tolist() == names.tolist()
    assert labels.dtype == np.int64
    assert list(scores) == ["linear", "knn"]
    assert scores["knn"].dtype == np.float32
    assert (scores["knn"] == SCORES[:3] * 2).all()


def test_draws_come_back_from_a_file(tmp_path):
    draws = np.stack([SCORES, SCORES * 2, -SCORES])
    write_scores(tmp_path / "s.npz", list("abcd"), LABELS, {"semi1": draws, "linear": SCORES})
    _, _, scores = read_scores(tmp_path / "s.npz")[:3]
    np.testing.assert_array_equal(scores["semi1"], draws)
    assert scores["linear"].shape == (4, 4)


def test_writing_refuses_what_does_not_fit(tmp_path):
    with pytest.raises(ValueError, match="one row per clip"):
        write_scores(tmp_path / "x.npz", ["a"], LABELS[:1], {"linear": SCORES})
    with pytest.raises(ValueError, match="cannot be called"):
        write_scores(tmp_path / "x.npz", ["a"], LABELS[:1], {"label": SCORES[:1]})


@pytest.mark.parametrize(
    "group", [np.array([4, 4, 2, 9], np.int32), np.array(list("abca")), np.array(["ä", "b"] * 2, "O")]
)
def test_groups_come_back_from_a_file_and_older_files_have_none(tmp_path, group):
    write_scores(tmp_path / "s.npz", list("abcd"), LABELS, {"linear": SCORES}, group)
    stored = read_scores(tmp_path / "s.npz")
    assert stored.group.tolist() == group.tolist()
    assert list(stored.scores) == ["linear"]
    write_scores(tmp_path / "s.npz", list("abcd"), LABELS, {"linear": SCORES})
    assert read_scores(tmp_path / "s.npz").group is None


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"label": LABELS, "linear": SCORES}, "name"),
        ({"name": np.array(list("abca")), "label": LABELS}, "more than once"),
        ({"name": np.array(list("abcd")), "label": LABELS, "linear": SCORES[:2]}, "shape"),
        ({"name": np.array(list("abcd")), "label": LABELS, "semi1": SCORES[None, :2]}, "shape"),
        ({"name": np.array(list("abcd")), "label": LABELS, "semi1": SCORES[None, None]}, "shape"),
        ({"name": np.array(list("abcd")), "label": LABELS[:2]}, "2 labels"),
        ({"name": np.array([list("abcd")]), "label": LABELS}, "no list of texts"),
        ({"name": np.arange(4), "label": LABELS}, "no list of texts"),
        ({"name": np.array(list("abcd")), "label": LABELS[:, None]}, "4 labels"),
        ({"name": np.array(list("abcd")), "label": LABELS, "linear": SCORES.astype(str)}, "type <U"),
        ({"name": np.array(list("abcd")), "label": LABELS, "group": LABELS[:2]}, "groups of shape"),
        ({"name": np.array(list("abcd")), "label": LABELS, "group": LABELS * 0.5}, "type float64"),
        ({"name": np.array(list("abcd")), "label": LABELS, "linear": SCORES.astype(complex)}, "type complex"),
        ({"name": np.array(list("abcd")), "label": LABELS - 1, "linear": SCORES}, "labels from -1 to"),
        ({"name": np.array(list("abcd")), "label": LABELS + 4, "linear": SCORES}, "and linear has 4 classes"),
        ({"name": np.array(list("abcd")), "label": LABELS, "\x1b[2J/../x": SCORES}, "which is no protocol's name"),
    ],
)
def test_bad_score_files(tmp_path, arrays, said):
    write_npz(tmp_path / "scores.npz", arrays)
    with pytest.raises(BadInput, match=said) as caught:
        read_scores(tmp_path / "scores.npz")
    assert str(caught.value).isprintable()


def test_missing_and_damaged_score_files(tmp_path):
    with pytest.raises(BadInput, match="does not exist"):
        read_scores(tmp_path / "none.npz")
    write_scores(tmp_path / "scores.npz", list("abcd"), LABELS, {"linear": SCORES})
    data = (tmp_path / "scores.npz").read_bytes()
    for damaged in (data[: len(data) // 2], b"", b"text", data[:60] + b"\xff" * 40 + data[100:]):
        (tmp_path / "scores.npz").write_bytes(damaged)
        with pytest.raises(BadInput, match="cannot be read"):
            read_scores(tmp_path / "scores.npz")


def test_confusion_csv(tmp_path):
    write_confusion_csv(tmp_path / "c.csv", np.array([[2, 1], [0, 3]]), ["eat, drink", 'say "hi"'])
    rows = list(csv.reader((tmp_path / "c.csv").open(newline="")))
    assert rows == [
        ["label \\ predicted", "0 eat, drink", '1 say "hi"'],
        ["0 eat, drink", "2", "1"],
        ['1 say "hi"', "0", "3"],
    ]
