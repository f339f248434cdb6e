"""Lists of videos as they circulate: one file or two, with and without colons, and what they do not name."""

import re

import numpy as np
import pytest
from click.testing import CliRunner
from rawtext import pku_text, pku_values, real_data

from skelpipe.cli import main
from skelpipe.errors import BadInput
from skelpipe.recordings.datasets import DATASETS, split_masks
from skelpipe.recordings.ingest import ingest
from skelpipe.recordings.parts import Part
from skelpipe.recordings.store import open_group

PKU1, PKU2 = DATASETS["pku1"], DATASETS["pku2"]
BOTH = {"train": ["0002-L", "0003-M"], "test": ["0294-L"]}


def lists(root, **contents):
    """Write lists (`__` stands for a hyphen in a name) and search for them."""
    for name, text in contents.items():
        path = root / (name.replace("__", "-") + ".txt")
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return PKU1.find(root)


@pytest.mark.parametrize(
    "text",
    [
        "Training videos: \n0002-L, 0003-M, \nValidataion videos: \n0294-L, \n",
        "Training videos\n0002-L, 0003-M\nValidation videos\n0294-L\n",
        "train\n0002-L\n0003-M\n\ntest\n0294-L",
        "# train\r\n0002-L 0003-M\r\n# test\r\n0294-L\r\n",
        "[train]\r0002-L;0003-M\r[val]\r0294-L\r",
        "Training videos (2)\n0002-L\t0003-M\nTest videos (1)\n0294-L\n",
        "Training videos (2): 0002-L, 0003-M\nEvaluation videos (1): 0294-L\n",
        "test: 0294-L\ntrain: ['0002-L', '0003-M']\n",
        "train skeleton/0002-L.txt C:\\pku\\0003-M.txt\ntest 0294-L.skeleton\n",
        "Cross-subject split\nTraining set:\n2-l, 3_M\nValidation set:\n294-L\n",
        "\ufeffTraining videos:\n0002-L,0003-M\nValidation videos:\n0294-L\n",
        "Training videos:\n0002-L,0003-M\nValidation videos:\n0294-L\n".encode("utf-16"),
    ],
)
def test_forms_of_one_list(tmp_path, text):
    assert lists(tmp_path, cross__subject=text).split_files == {"pku1-xsub": BOTH}


@pytest.mark.parametrize(
    "names",
    [
        ("cross__subject__train", "cross__subject__test"),
        ("cross_subject_training", "cross_subject_val"),
        ("train_cross__subject", "eval_cross__subject"),
        ("xsub_train", "xsub_test"),
    ],
)
@pytest.mark.parametrize("heads", [("", ""), ("Training videos:\n", "Validation videos:\n")])
def test_two_files_join(tmp_path, names, heads):
    train, test = names
    found = lists(tmp_path, **{train: heads[0] + "0002-L, 0003-M\n", test: heads[1] + "0294-L\n"})
    assert found.split_files == {"pku1-xsub": BOTH}
    assert found.lists == 2
    assert found.dropped == []


def test_a_name_that_says_neither_part_or_both_is_no_heading(tmp_path):
    with pytest.raises(BadInput, match=r"cross-view-trainval.txt, line 1: names videos under no heading"):
        lists(tmp_path, cross__view__trainval="0002-L\n")


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("0002-L, 0003-M\n0294-L\n", 1, "names videos under no heading.*'0002-L, 0003-M'"),
        ("Videos:\n0002-L\n", 2, "names videos under no heading"),
        ("Videos of training and test\n0002-L\n", 2, "names videos under no heading"),
        ("Training videos:\n0002-L, 03-X\n", 2, "'03-X' is no video's name"),
        ("Training videos:\n0002-L\n002x\n", 3, "'002x' is no video's name"),
        ("Training videos: 0002-L: 1\n", 1, "'0002-L:' is no video's name"),
        ("train 944\ntest\n0002-L, train\n", 3, "'train' is no video's name"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_line(tmp_path, text, line, what):
    with pytest.raises(BadInput, match=f"cross-subject.txt, line {line}: {what}"):
        lists(tmp_path, cross__subject=text)


def test_a_video_in_both_lists_and_lists_that_disagree(tmp_path):
    with pytest.raises(BadInput, match=r"cross-subject-\w+.txt: has 0002-L in both lists"):
        lists(tmp_path, cross__subject__train="0002-L, 0003-M", cross__subject__test="0294-L, 0002-L")
    with pytest.raises(BadInput, match="disagrees with another list for pku1-xsub"):
        lists(tmp_path, cross__subject__train="0002-L", cross__subject__test="0294-L", cross__subject="train: 0003-M")


def test_a_list_without_videos_is_told(tmp_path):
    found = lists(tmp_path, cross__view="", cross__subject="Training videos:\nValidation videos:\n")
    assert found.split_files == {}
    assert [(d.name, d.reason) for d in found.dropped] == [
        ("cross-subject", "not in pku1"), ("cross-view", "not in pku1"),
    ]  # fmt: skip


def videos(root, *names):
    for number, name in enumerate(names):
        for folder, text in (("skeleton", pku_text(pku_values(number, 9))), ("label", "3,1,4,1\n7,5,9,2\n")):
            (root / folder).mkdir(parents=True, exist_ok=True)
            (root / folder / f"{name}.txt").write_text(text)
    return root


def test_validation_and_test_videos_apart_are_both_tested_on_and_that_is_told(tmp_path):
    raw = videos(tmp_path / "raw", "0002-L", "0003-L", "0294-L")
    text = "Training videos:\n0002-L\nValidataion videos:\n0003-L\nTest videos:\n0294-L\n"
    (raw / "cross-subject.txt").write_text(text)
    done = CliRunner().invoke(main, ["ingest", "pku1", str(raw), str(tmp_path / "s"), "--workers", "0"])
    assert "cross-subject.txt: its validation videos and its test videos together are taken as" in done.output
    part = ingest("pku1", raw, tmp_path / "part", workers=0, part=Part(1, 2))
    assert [line[:17] for line in part.told] == ["cross-subject.txt"]
    (raw / "cross-subject.txt").write_text(text.replace("Test videos", "Validation videos, too"))
    assert not any("cross" in line for line in ingest("pku1", raw, tmp_path / "t", workers=0).told)


def test_what_is_in_neither_list_is_in_neither_part_and_told(tmp_path):
    raw = videos(tmp_path / "raw", "0002-L", "0002-M", "0294-L", "0003-L", "0004-R")
    (raw / "cross-subject.txt").write_text("Training videos\n0002-L, 0002-M, 0009-R\nValidation videos\n0294-L\n")
    done = CliRunner().invoke(main, ["ingest", "pku1", str(raw), str(tmp_path / "s"), "--workers", "0"])
    assert done.exit_code == 0, done.output
    told = "pku1-xsub (by the list): 4 train, 2 test, 4 in neither part, as F003V001C003L001; 1 listed video has no"
    assert told in done.output
    assert "pku1-xview" not in done.output  # both parts have clips, and all are placed
    group, about = open_group(tmp_path / "s", "store")
    columns = {name: group[name][...] for name in about["columns"]}
    train, test = split_masks("pku1-xsub", "pku1", columns, about["split_files"])
    assert sorted(set(columns["video"][train])) == ["0002-L", "0002-M"]
    assert sorted(set(columns["video"][test])) == ["0294-L"]
    shown = CliRunner().invoke(main, ["inspect", str(tmp_path / "s")]).output
    assert re.search(r"pku1-xsub \(publisher's list\) +4 +2 +4\n", shown)
    assert "11: 10 read, 1 split lists, 0 left out" in shown


def test_a_list_of_training_videos_alone_leaves_nothing_to_test_and_says_so(tmp_path):
    raw = videos(tmp_path / "raw", "0002-L", "0294-L")
    (raw / "cross-view-train.txt").write_text("0002-L\n")
    assert "pku1-xview (by the list): 2 train, 0 test, 2 in neither part, as F294V001C003L001" in ingest(
        "pku1", raw, tmp_path / "s", workers=0
    ).divided  # fmt: skip


@pytest.mark.parametrize(("kind", "train", "test"), [("subject", 775, 234), ("view", 671, 338)])
def test_the_published_lists_are_the_rules(kind, train, test):
    """Also under the name that they circulate by."""
    path = real_data("pku", f"pku_cross_{kind}_v2.txt")
    name = "pku2-xsub" if kind == "subject" else "pku2-xview"
    sides = PKU2.find(path.parent).split_files[name]
    assert (len(sides["train"]), len(sides["test"])) == (train, test)
    named = np.array(sides["train"] + sides["test"])
    view = np.array(["LMR".index(video[-1]) + 1 for video in named], np.int32)
    rule = split_masks(name, "pku2", {"name": named, "video": named, "view": view})
    first = np.arange(len(named)) < train
    assert np.array_equal(rule, [first, ~first])
