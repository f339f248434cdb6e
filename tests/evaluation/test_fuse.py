"""Late fusion: hand-worked sums, joining by name, and every kind of part that does not belong."""

import json

import numpy as np
import pytest

from skelpipe.errors import BadInput
from skelpipe.evaluation.fuse import fuse
from skelpipe.evaluation.scores import read_scores, write_scores
from skelpipe.outputs import digests, files, folders

NAMES, LABELS = ["a", "b", "c"], [0, 1, 2]
JOINT = [[4, 1, 0], [3, 2, 0], [1, 2, 0]]
BONE = [[1, 2, 0], [0, 3, 0], [3, 0, 2]]
MOTION = [[0, 5, 0], [0, 1, 0], [0, 0, 9]]


def write_part(path, stream, scores, names=NAMES, labels=LABELS, protocols=None, group=None, **changes):
    """An evaluation folder with the same scores for every protocol."""
    protocols = protocols or {"linear": {"probe": "reference", "warnings": []}}
    metrics = {
        "recipe": "crosnnclr",
        "method": "skeletonclr",
        "stream": stream,
        "split": "xsub60",
        "dataset": "ntu60",
        "seed": 0,
        "epochs": 5,
        "train_clips": 9,
        "test_clips": len(names),
        "classes": 3,
        "run": {"stream": stream, "frames": 50},
        "protocols": protocols,
    }
    with folders.new_folder(path, "evaluation", force=True) as folder:
        files.write_json(folder / "metrics.json", {**metrics, **changes})
        every = {p: np.array(scores, float) for p in protocols}
        write_scores(folder / "scores.npz", names, labels, every, group)
    return path


@pytest.fixture
def parts(tmp_path):
    return [
        write_part(tmp_path / "joint", "joint", JOINT),
        # Another order of clips: the rows must be joined by name.
        write_part(tmp_path / "bone", "bone", BONE[::-1], NAMES[::-1], LABELS[::-1]),
        write_part(tmp_path / "motion", "motion", MOTION),
    ]


def test_sums_are_ranked_as_they_are_and_ties_are_told(tmp_path):
    """Sums a hair apart, which rounded to float32 are equal; and one clip whose sums are equal indeed."""
    joint, bone = (
        [[0.99999, 0.99999 - 2e-7, 0], [0.5, 0.25, 0], [0, 0, 1]],
        [[0.9, 0.9 + 2.6e-7, 0], [0.25, 0.5, 0], [0, 0, 1]],
    )
    parts = [write_part(tmp_path / s, s, v, labels=[1, 0, 2]) for s, v in (("joint", joint), ("bone", bone))]
    sums = 0.6 * np.array(joint) + 0.6 * np.array(bone)
    assert sums[0, 1] > sums[0, 0]
    assert sums.astype(np.float32)[0, 1] == sums.astype(np.float32)[0, 0]
    metrics = fuse(parts, tmp_path / "fused")
    assert metrics["protocols"]["linear"]["top1"] == 1.0
    assert metrics["protocols"]["linear"]["tied"] == 1
    stored = read_scores(tmp_path / "fused" / "scores.npz")[2]["linear"]
    np.testing.assert_array_equal(stored, sums)


def test_colourings_count_alike_and_three_of_them_are_one(tmp_path):
    scores = {"temporal": JOINT, "spatial": BONE, "person": MOTION}
    parts = [write_part(tmp_path / colour, colour, scores[colour]) for colour in reversed(scores)]
    metrics = fuse(parts, tmp_path / "fused")
    assert metrics["stream"] == "3s"
    stored = read_scores(tmp_path / "fused" / "scores.npz")[2]["linear"]
    np.testing.assert_array_equal(stored, np.add(JOINT, np.add(BONE, MOTION)))
    assert fuse(parts[1:], tmp_path / "two")["stream"] == "temporal+spatial"
    mixed = [parts[0], write_part(tmp_path / "bone", "bone", BONE), parts[1]]
    assert fuse(mixed, tmp_path / "mixed")["stream"] == "bone+spatial+person"


def test_three_clips_by_hand(tmp_path, parts):
    metrics = fuse(parts, tmp_path / "fused")
    names, labels, scores = read_scores(tmp_path / "fused" / "scores.npz")[:3]
    assert names.tolist() == NAMES
    assert labels.tolist() == LABELS
    # 0.6 joint + 0.6 bone + 0.4 motion
    expected = [[3.0, 3.8, 0.0], [1.8, 3.4, 0.0], [2.4, 1.2, 4.8]]
    np.testing.assert_allclose(scores["linear"], expected, rtol=1e-6)
    linear = metrics["protocols"]["linear"]
    assert linear["top1"] == pytest.approx(2 / 3)
    assert linear["top5"] == 1.0
    assert linear["per_class"] == [0.0, 1.0, 1.0]
    assert linear["warnings"] == []
    assert linear["probe"] == "reference"
    assert metrics["stream"] == "3s"
    assert metrics["run"] == {"frames": 50}
    assert [(p["stream"], p["weight"]) for p in metrics["parts"]] == [("joint", 0.6), ("bone", 0.6), ("motion", 0.4)]
    assert json.loads((tmp_path / "fused" / "metrics.json").read_text()) == metrics
    assert digests.require(tmp_path / "fused", "fusion", "") == tmp_path / "fused"
    assert (tmp_path / "fused" / "confusion_linear.csv").is_file()
    assert (tmp_path / "fused" / "confusion_linear.png").read_bytes().startswith(b"\x89PNG")
    made = json.loads((tmp_path / "fused" / "provenance.json").read_text())
    assert made["inputs"]["part 1 (bone)"]["digest"] == digests.read_digest(parts[1])


def test_persons_are_joined_by_name_as_the_clips_are(tmp_path, parts):
    """Clips 1 and 2 are of one person; only the second part, whose clips lie the other way round, knows it."""
    metrics = fuse(parts, tmp_path / "old")
    assert metrics["protocols"]["linear"]["interval"]["by"] == "clip"
    assert read_scores(tmp_path / "old" / "scores.npz").group is None
    group = np.array([3, 3, 7])
    write_part(parts[1], "bone", BONE[::-1], NAMES[::-1], LABELS[::-1], group=group[::-1], grouped_by="subject")
    linear = fuse(parts, tmp_path / "fused")["protocols"]["linear"]
    assert (linear["interval"]["by"], linear["interval"]["groups"]) == ("subject", 2)
    assert read_scores(tmp_path / "fused" / "scores.npz").group.tolist() == group.tolist()
    # Right of the clips 2 and 3: the first person is half right, the second wholly, and the clips are 2 and 1.
    assert (linear["balanced"], linear["macro_f1"]) == pytest.approx((2 / 3, (0 + 2 / 3 + 1) / 3))
    assert (linear["interval"]["low"], linear["interval"]["high"]) == (None, None)  # of two persons


def test_given_weights(tmp_path, parts):
    metrics = fuse(parts[:2], tmp_path / "fused", weights=[1, 0])
    _, _, scores = read_scores(tmp_path / "fused" / "scores.npz")[:3]
    np.testing.assert_allclose(scores["linear"], JOINT)
    assert metrics["stream"] == "joint+bone"


def test_only_common_protocols_are_fused(tmp_path):
    both = {"linear": {"warnings": ["slow"]}, "knn": {"warnings": []}}
    a = write_part(tmp_path / "a", "joint", JOINT, protocols=both)
    b = write_part(tmp_path / "b", "bone", BONE)
    metrics = fuse([a, b], tmp_path / "fused")
    assert list(metrics["protocols"]) == ["linear"]
    assert metrics["left_out"] == ["knn"]
    warnings = metrics["protocols"]["linear"]["warnings"]
    assert warnings[0] == "joint: slow"
    assert "probe" in warnings[1]  # one part names its probe, the other does not


def test_votes_are_fused_too(tmp_path):
    knn = {"knn": {"k": 1, "warnings": []}}
    a, b = (write_part(tmp_path / s, s, x, protocols=knn) for s, x in (("joint", JOINT), ("motion", MOTION)))
    metrics = fuse([a, b], tmp_path / "fused")
    assert metrics["protocols"]["knn"]["k"] == 1
    assert metrics["stream"] == "joint+motion"


def drawn_part(path, stream, draws, names=NAMES, labels=LABELS, **changes):
    entry = {"fraction": 0.01, "labelled": 3, "seed": 0, "settings": {"lr": 0.1, "draws": len(draws)}} | changes
    return write_part(path, stream, draws, names, labels, protocols={"semi1": {"warnings": [], **entry}})


def test_draws_are_summed_one_by_one(tmp_path):
    """The first draw is that of the three clips by hand; in the second, bone alone counts."""
    nothing = np.zeros((3, 3))
    a = drawn_part(tmp_path / "a", "joint", [JOINT, nothing])
    b = drawn_part(tmp_path / "b", "bone", [BONE[::-1], BONE[::-1]], NAMES[::-1], LABELS[::-1])
    c = drawn_part(tmp_path / "c", "motion", [MOTION, nothing])
    metrics = fuse([a, b, c], tmp_path / "fused")
    _, _, scores = read_scores(tmp_path / "fused" / "scores.npz")[:3]
    expected = [[[3.0, 3.8, 0.0], [1.8, 3.4, 0.0], [2.4, 1.2, 4.8]], 0.6 * np.array(BONE)]
    np.testing.assert_allclose(scores["semi1"], expected, rtol=1e-6)
    semi = metrics["protocols"]["semi1"]
    assert semi["draws"] == pytest.approx([2 / 3, 1 / 3])
    assert semi["top1"] == pytest.approx(0.5)
    assert semi["std"] == pytest.approx((1 / 3) / 2**0.5)
    assert semi["per_class"] == [0.0, 1.0, 0.5]
    assert (semi["fraction"], semi["labelled"], semi["seed"]) == (0.01, 3, 0)
    assert semi["settings"] == {"lr": 0.1, "draws": 2}
    matrix = (tmp_path / "fused" / "confusion_semi1.csv").read_text().splitlines()[1:]
    assert sum(int(cell) for row in matrix for cell in row.split(",")[1:]) == 6


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fraction": 0.1}, r"fraction 0\.1"),
        ({"labelled": 4}, "labelled 4"),
        ({"seed": 1}, "seed 1"),
    ],
)
def test_draws_of_other_clips_are_not_added(tmp_path, change, said):
    a = drawn_part(tmp_path / "a", "joint", [JOINT, JOINT])
    b = drawn_part(tmp_path / "b", "bone", [BONE, BONE], **change)
    with pytest.raises(BadInput, match=f"its semi1 has {said}, and that of .*--seed"):
        fuse([a, b], tmp_path / "fused")


@pytest.mark.parametrize(("other", "said"), [([BONE] * 3, "draws 3"), (BONE, "draws None")])
def test_other_numbers_of_draws_are_not_added(tmp_path, other, said):
    a = drawn_part(tmp_path / "a", "joint", [JOINT, JOINT])
    b = drawn_part(tmp_path / "b", "bone", other)
    with pytest.raises(BadInput, match=f"its semi1 has {said}"):
        fuse([a, b], tmp_path / "fused")


def test_different_settings_of_a_training_warn(tmp_path):
    trained = [{"finetune": {"settings": {"lr": lr, "epochs": 80}, "warnings": []}} for lr in (0.1, 0.01)]
    a = write_part(tmp_path / "a", "joint", JOINT, protocols=trained[0])
    b = write_part(tmp_path / "b", "bone", BONE, protocols=trained[1])
    finetune = fuse([a, b], tmp_path / "fused")["protocols"]["finetune"]
    assert finetune["warnings"] == [
        "the streams were evaluated with different settings of lr: 0.1 (joint), 0.01 (bone)"
    ]
    assert "settings" not in finetune


def test_different_lengths_of_pretraining_warn(tmp_path, parts):
    write_part(parts[1], "bone", BONE, epochs=8)
    metrics = fuse(parts, tmp_path / "fused")
    assert metrics["epochs"] == 5
    assert "5 (joint), 8 (bone), 5 (motion) epochs" in metrics["protocols"]["linear"]["warnings"][0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 1}, "seed 1"),
        ({"split": "xview60"}, "split xview60"),
        ({"recipe": "skeletonclr"}, "recipe skeletonclr"),
        ({"dataset": "ntu120"}, "dataset ntu120"),
        ({"epochs": 0}, "untrained"),
        ({"stream": "joint"}, "stream 'joint'"),
    ],
)
def test_parts_of_different_experiments(tmp_path, parts, change, said):
    write_part(parts[1], change.pop("stream", "bone"), BONE, **change)
    with pytest.raises(BadInput, match=said):
        fuse(parts, tmp_path / "fused")
    assert not (tmp_path / "fused").exists()


@pytest.mark.parametrize(
    ("names", "labels", "said"),
    [
        (["a", "b"], [0, 1], "lacks the clip c"),
        (["a", "b", "c", "d"], [0, 1, 2, 0], "lacks the clip d"),
        (["a", "b", "c"], [0, 1, 1], "labels the clip c 1"),
    ],
)
def test_clips_that_do_not_match(tmp_path, parts, names, labels, said):
    write_part(parts[1], "bone", [*BONE, [0, 0, 0]][: len(names)], names, labels)
    with pytest.raises(BadInput, match=said):
        fuse(parts, tmp_path / "fused")


@pytest.mark.parametrize("weights", [[1, 1], [0, 0, 0], [1, -1, 1], [1, float("nan"), 1]])
def test_bad_weights(tmp_path, parts, weights):
    with pytest.raises(BadInput, match="weights"):
        fuse(parts, tmp_path / "fused", weights=weights)


def test_bad_parts(tmp_path, parts):
    with pytest.raises(BadInput, match="at least two"):
        fuse(parts[:1], tmp_path / "fused")
    with pytest.raises(BadInput, match="does not exist"):
        fuse([parts[0], tmp_path / "none"], tmp_path / "fused")
    with pytest.raises(BadInput, match="no default weight"):
        fuse([parts[0], write_part(tmp_path / "x", "velocity", BONE)], tmp_path / "fused")
    with pytest.raises(BadInput, match="no protocol in common"):
        fuse([parts[0], write_part(tmp_path / "y", "bone", BONE, protocols={"knn": {}})], tmp_path / "fused")
    (parts[2] / "metrics.json").write_text("{")
    with pytest.raises(BadInput, match=r"metrics\.json"):
        fuse(parts, tmp_path / "fused")


def test_scores_that_are_not_finite(tmp_path, parts):
    write_part(parts[1], "bone", [[np.inf, 0, 0], [0, 0, 0], [0, 0, 0]])
    with pytest.raises(BadInput, match="not finite"):
        fuse(parts, tmp_path / "fused")


def test_an_older_fusion_needs_force(tmp_path, parts):
    fuse(parts, tmp_path / "fused")
    with pytest.raises(BadInput, match="already exists"):
        fuse(parts[:2], tmp_path / "fused")
    assert fuse(parts[:2], tmp_path / "fused", force=True)["stream"] == "joint+bone"
