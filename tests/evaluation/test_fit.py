"""A figure depends on its clips: how they were prepared, and which of them the run was trained on."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import TINY, write_clips

from skelpipe.cli.program import main
from skelpipe.errors import BadInput
from skelpipe.evaluation.evaluate import evaluate
from skelpipe.evaluation.feature_files import export
from skelpipe.evaluation.features import load_run
from skelpipe.evaluation.fit import NO_NAMES, NOT_KEPT, check_fit, seen
from skelpipe.evaluation.fuse import fuse
from skelpipe.outputs.folders import seal
from skelpipe.recordings.store import Clips
from skelpipe.report.write import write_report
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe
from skelpipe.training.trained_on import TRAINED_ON

pytestmark = pytest.mark.usefixtures("one_thread")
APART = "on clips prepared otherwise than those that the run was trained on: centre true, now false"


def train(clips, run, stream="bone", split="xsub60", **changes):
    pretrain(load_recipe("skeletonclr", TINY, epochs=1), clips, run, split=split, stream=stream, device="cpu")
    return run


@pytest.fixture(scope="module")
def run(clips, tmp_path_factory):
    return train(clips, tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module")
def uncentred(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("clips") / "uncentred.zarr", centre=False)


def warnings(metrics):
    return {name: each["warnings"] for name, each in metrics["protocols"].items()}


def settings(run):
    return json.loads((run / "settings.json").read_text())


def edited(run, path, change, trained_on=True):
    """A copy of a run with other settings, and without what it was trained on if so asked."""
    shutil.copytree(run, path)
    (path / "settings.json").write_text(json.dumps(change(settings(run))))
    if not trained_on:
        (path / TRAINED_ON).unlink()
    seal(path, "run")
    return path


# How they were prepared ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("noted", "told"),
    [
        ({"centre": False, "turn": False}, "centre true, now false; turn true, now false; "),
        ({"bodies": "energy"}, "bodies first, now energy; "),
        ({"preparation": "isc", "length": "all"}, "preparation aimclr, now isc; "),
        ({"max_bodies": 2, "bodies": "denoise", "imported": "ctrgcn-npz"}, "bodies first, now denoise; "),
    ],
)
def test_clips_prepared_otherwise_are_refused_in_a_line(run, clips, tmp_path, noted, told):
    other = write_clips(tmp_path / "other.zarr", **noted)
    with pytest.raises(BadInput) as refused:
        evaluate(run, other, tmp_path / "out", protocols=["knn"], device="cpu")
    said = str(refused.value)
    assert "was not prepared as the clips that the run was trained on: " + told in said
    assert "make such clips by 'skelpipe prepare STORE CLIPS --frames 12', or pass --other-clips" in said
    assert not (tmp_path / "out").exists()
    with pytest.raises(BadInput, match="was not prepared as"):
        export(run, other, tmp_path / "f.npz", device="cpu")
    passed = evaluate(run, other, tmp_path / "out", protocols=["knn"], device="cpu", other_clips=True)
    (warning,) = [w for w in warnings(passed)["knn"] if "otherwise" in w]
    assert told.removesuffix("; ") in warning


def test_the_command_is_that_of_the_runs_clips(tmp_path, clips):
    run = train(write_clips(tmp_path / "own.zarr", bodies="energy", turn=False), tmp_path / "run")
    with pytest.raises(BadInput, match="--frames 12 --bodies energy --no-turn', or pass"):
        load_run(run, Clips(clips), "cpu")


@pytest.mark.parametrize("protocol", ["finetune", "semi"])
def test_protocols_that_train_further_are_refused_too(run, uncentred, tmp_path, protocol):
    with pytest.raises(BadInput, match="centre true, now false"):
        evaluate(run, uncentred, tmp_path / "out", protocols=[protocol], device="cpu")


def test_what_is_not_stated_is_a_caution(run, tmp_path):
    other = write_clips(tmp_path / "other.zarr", bodies="unknown")
    metrics = evaluate(run, other, tmp_path / "out", protocols=["linear", "knn"], device="cpu")
    text = "whether its clips were prepared as the run's cannot be told: bodies unknown"
    assert all(text in each for each in warnings(metrics).values())
    assert metrics["prepared"]["bodies"] == "unknown"


def test_conventions_divisions_and_columns_make_no_difference(run, tmp_path):
    other = write_clips(tmp_path / "other.zarr", conventions={"up": "z"}, divisions={"xsub60": [1, 2]}, split_files={})
    assert not any("prepared" in w for w in load_run(run, Clips(other), "cpu").cautions)


def test_another_length_never_passes(run, tmp_path):
    other = write_clips(tmp_path / "other.zarr", frames=16)
    with pytest.raises(BadInput, match="has frames 16, the run was trained with 12; make such clips by"):
        evaluate(run, other, tmp_path / "out", device="cpu", other_clips=True)


def test_a_run_that_does_not_keep_it_is_told_apart_from_its_own_clips(run, clips, uncentred, tmp_path):
    old = edited(run, tmp_path / "old", lambda s: {k: v for k, v in s.items() if k != "prepared"}, trained_on=False)
    recipe = load_run(old, Clips(clips), "cpu").recipe
    assert check_fit(recipe, settings(old), Clips(clips)) == []
    (caution,) = check_fit(recipe, settings(old), Clips(uncentred))
    assert caution.endswith("cannot be told: the run does not keep it")


def test_what_is_only_assumed_of_a_run_is_a_caution(run, clips, uncentred, tmp_path):
    def imported(s):
        return {**s, "prepared_assumed": True, "clips_digest": None}

    path = edited(run, tmp_path / "imported", imported, trained_on=False)
    (caution,) = load_run(path, Clips(uncentred), "cpu").cautions
    assert caution.startswith(
        "on clips prepared otherwise than those that its kind of checkpoint usually is trained on"
    )
    assert load_run(path, Clips(clips), "cpu").cautions == ()


def test_every_figure_says_that_its_clips_were_others(run, clips, uncentred, tmp_path):
    """From the evaluation through the fusion to the report: on the terminal, in its tables, and in JSON."""
    joint = train(clips, tmp_path / "joint", "joint")
    top = tmp_path / "eval"
    words = ["evaluate", str(run), str(uncentred), str(top / "bone"), "--protocol", "knn", "--device", "cpu"]
    refused = CliRunner().invoke(main, words)
    assert refused.exit_code != 0
    passed = CliRunner().invoke(main, [*words, "--other-clips"])
    assert f"skelpipe: knn: {APART}" in passed.stderr
    evaluate(joint, clips, top / "joint", protocols=["knn"], device="cpu")
    with pytest.raises(
        BadInput, match=r"bone: is of clips prepared otherwise than those of .*joint: centre true, now f"
    ):
        fuse([top / "joint", top / "bone"], top / "fused")
    fused = fuse([top / "joint", top / "bone"], top / "fused", other_clips=True)
    assert f"bone: {APART}" in warnings(fused)["knn"]
    assert "bone is of clips prepared otherwise than joint's: centre true, now false" in warnings(fused)["knn"]
    assert "centre" not in fused["prepared"]
    write_report([top], tmp_path / "report")
    page = json.loads((tmp_path / "report" / "report.json").read_text())
    entries = [entry for table in page["tables"] for group in table["groups"] for entry in group["streams"]]
    rows = {e["stream"]: cell for e in entries if (cell := e["cells"]["xsub60"].get("1-NN"))}
    mark = {w["text"]: n for n, w in enumerate(page["warnings"], 1)}[APART]
    assert (rows["bone"]["warnings"][0]["text"], rows["bone"]["warnings"][0]["mark"]) == (APART, mark)
    assert "warnings" not in rows["joint"]
    assert len(rows["joint+bone"]["warnings"]) == 2
    html, text = ((tmp_path / "report" / name).read_text() for name in ("report.html", "report.md"))
    assert f'<sup class="warned" title="{APART}">!{mark}</sup>' in html
    assert f" !{mark} |" in text
    assert f"- !{mark} 1-NN: {APART}" in text
    told = {e["path"]: e["protocols"][0]["warnings"] for e in page["evaluations"]}
    assert told["joint"] == []
    assert told["bone"][0]["text"] == APART


def test_features_carry_the_caution(run, uncentred, tmp_path):
    words = ["embed", str(run), str(uncentred), str(tmp_path / "f.npz"), "--device", "cpu", "--other-clips"]
    assert APART in CliRunner().invoke(main, words).stderr
    with np.load(tmp_path / "f.npz") as file:
        assert json.loads(bytes(file["provenance"].item()))["cautions"] == [APART]


def test_measured_on_other_clips_is_another_experiment(run, clips, uncentred, tmp_path):
    evaluate(run, clips, tmp_path / "eval" / "own", protocols=["knn"], device="cpu")
    evaluate(run, uncentred, tmp_path / "eval" / "other", protocols=["knn"], device="cpu", other_clips=True)
    write_report([tmp_path / "eval"], tmp_path / "report")
    page = json.loads((tmp_path / "report" / "report.json").read_text())
    labels = [group["label"] for table in page["tables"] for group in table["groups"]]
    assert len(labels) == 2
    assert any("measured on clips prepared otherwise (centre true, now false)" in label for label in labels)
    assert not any("only the newest counts" in w["text"] for w in page["warnings"])


# Which of them it was trained on -------------------------------------------------------------------------------------
def of_camera_1(clips):
    return np.flatnonzero(Clips(clips).columns["camera"] == 1)


def test_clips_of_another_folder_are_known_by_name(run, tmp_path):
    """The values are others; the run learnt from subjects 1, 2 and 4."""
    other = write_clips(tmp_path / "other.zarr", seed=1)
    source, test = Clips(other), of_camera_1(other)
    count = int((source.columns["subject"][test] != 3).sum())
    assert seen(run, settings(run), source, test) == [f"{count} of the {len(test)} test clips were pretrained on"]


def test_the_same_split_of_another_division_is_counted(run, clips, tmp_path):
    """A folder of the same clips in which other persons are those of the test part, as by another list."""
    other = write_clips(tmp_path / "other.zarr")
    source = Clips(other)
    test = np.flatnonzero(source.columns["subject"] < 3)
    assert seen(run, settings(run), source, test) == [f"{len(test)} of the {len(test)} test clips were pretrained on"]
    assert seen(run, settings(run), source, np.flatnonzero(source.columns["subject"] == 3)) == []


def test_a_larger_data_set_holds_the_same_recordings(run, tmp_path):
    other = write_clips(tmp_path / "other.zarr", seed=1, dataset="ntu120")
    source, test = Clips(other), of_camera_1(other)
    assert seen(run, settings(run), source, test) != []
    assert seen(run, {**settings(run), "dataset": "pku1"}, source, test) == []


def test_the_same_clip_under_another_name_is_known_by_what_it_holds(run, tmp_path):
    nameless = write_clips(tmp_path / "nameless.zarr", nameless="xview60")
    source = Clips(nameless)
    test = np.flatnonzero(source.columns["train_xview60"] == 0)
    count = sum(i % 8 % 4 + 1 != 3 for i in test)  # the person of each, as `write_clips` numbers them
    assert seen(run, settings(run), source, test) == [f"{count} of the {len(test)} test clips were pretrained on"]


def test_clips_without_names_of_other_values_cannot_be_told(run, tmp_path):
    nameless = write_clips(tmp_path / "nameless.zarr", nameless="xsub60", seed=1)
    source = Clips(nameless)
    assert seen(run, settings(run), source, np.arange(8)) == [NO_NAMES]


def test_clips_without_names_that_hold_the_training_clips_hold_no_others(run, tmp_path):
    """Known by what they hold, those of the training part show that a test clip would be known too."""
    source = Clips(write_clips(tmp_path / "nameless.zarr", nameless="xsub60"))
    assert seen(run, settings(run), source, np.flatnonzero(source.columns["train_xsub60"] == 0)) == []


def test_numbered_clips_are_not_matched_by_their_numbers(tmp_path):
    """Two arrays number their clips alike; `xsub60-test-000002` of one is no clip of the other."""
    mine, other = (write_clips(tmp_path / f"{n}.zarr", nameless="xsub60", seed=n) for n in (0, 1))
    run = train(mine, tmp_path / "run")
    assert seen(run, settings(run), Clips(other), np.arange(8)) == [NO_NAMES]
    own = Clips(mine)
    assert seen(run, settings(run), own, np.flatnonzero(own.columns["train_xsub60"] == 0)) == []


def test_a_run_that_does_not_keep_them_goes_by_the_rule_and_says_so(run, tmp_path):
    def imported(s):
        return {**s, "clips_digest": None}

    path = edited(run, tmp_path / "imported", imported, trained_on=False)
    other = write_clips(tmp_path / "other.zarr", seed=1)
    source, test = Clips(other), of_camera_1(other)
    count = int((source.columns["subject"][test] != 3).sum())
    told = (
        f"{count} of the {len(test)} test clips were pretrained on, by the rule of xsub60: the run does not keep which"
    )
    assert seen(path, settings(path), source, test) == [told]
    own = np.flatnonzero(source.columns["subject"] == 3)
    assert seen(path, settings(path), source, own) == []
    assert seen(path, settings(run), source, own) == [NOT_KEPT]  # of clips that a list may have divided otherwise
    nameless = Clips(write_clips(tmp_path / "nameless.zarr", nameless="xview60"))
    assert seen(path, settings(path), nameless, np.arange(8)) == [NO_NAMES]


def test_an_untrained_encoder_has_seen_nothing(clips, tmp_path):
    pretrain(load_recipe("skeletonclr", TINY, epochs=0), clips, tmp_path / "run", split="xsub60", stream="bone",
             device="cpu")  # fmt: skip
    metrics = evaluate(tmp_path / "run", clips, tmp_path / "out", protocols=["knn"], split="xview60", device="cpu")
    assert warnings(metrics) == {"knn": []}


def test_a_damaged_table_is_named(run, clips, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / TRAINED_ON).write_bytes(b"")
    with pytest.raises(BadInput, match=f"{TRAINED_ON} is damaged|{TRAINED_ON}.*damaged"):
        load_run(tmp_path / "run", Clips(clips), "cpu")
