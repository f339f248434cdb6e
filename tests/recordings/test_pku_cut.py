"""Clips of PKU-MMD that AimCLR's script has cut into files: they are what is cut here from the sequence."""

import numpy as np
import pytest
from rawtext import pku_text, pku_values

from skelpipe.errors import BadInput
from skelpipe.recordings.datasets import DATASETS, Dropped
from skelpipe.recordings.ingest import ingest
from skelpipe.recordings.store import open_group
from skelpipe.recordings.text.ntu import parse_cut

BODY = "6 1 0 0 1 1 0 -0.437266 -0.117168 2\n25\n"
LABELS = [(34, 2, 9, 2), (1, 8, 12, 1), (51, 11, 99, 2)]  # the last passes the end
VALUES = pku_values(5, 12, second=range(4, 9))
VIDEOS = {"pku1": ("0294-L", "F294V001"), "pku2": ("A10N08-R", "A010N008V003")}


def as_cut(values, start, end, full=False):
    """A clip as AimCLR's script writes it, or with lines of its own for each body and twelve numbers for each joint."""
    text = f"{end - start + 1}\n"
    for row in values[start - 1 : end]:
        halves = [row[:75], row[75:]][: 1 if row[75:].sum() == 0 else 2]
        text += f"{len(halves)}\n" + ("" if full else BODY)
        for half in halves:
            joints = (" ".join(str(float(v)) for v in xyz) + " 0" * 9 * full for xyz in half.reshape(25, 3))
            text += (BODY if full else "") + "\n".join(joints) + "\n"
    return text


def written(root, dataset, full):
    video, first = VIDEOS[dataset]
    for folder, text in (
        ("skeleton", pku_text(VALUES)),
        ("label", "\n".join(",".join(map(str, row)) for row in LABELS)),
    ):
        (root / "whole" / folder).mkdir(parents=True)
        (root / "whole" / folder / f"{video}.txt").write_text(text)
    (root / "cut").mkdir()
    for line, (action, start, end, _) in enumerate(LABELS, 1):
        name = f"{first}C{action:03}L{line:03}.skeleton"
        (root / "cut" / name).write_text(as_cut(VALUES, start, end, full))
    return root / "whole", root / "cut"


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("dataset", ["pku1", "pku2"])
def test_clips_that_are_cut_already_are_those_that_are_cut_here(tmp_path, dataset, full):
    stores = []
    for raw in written(tmp_path, dataset, full):
        made = ingest(dataset, raw, tmp_path / f"{raw.name}.zarr", workers=0)
        assert (made.clips, made.dropped) == (3, {})
        stores.append(open_group(tmp_path / f"{raw.name}.zarr", "store")[0])
    whole, cut = stores
    for name in ("name", "label", "video", "view", "clip_frames", "clip_offset", "joints", "row_frame", "row_body"):
        assert whole[name][...].tobytes() == cut[name][...].tobytes(), name
    assert whole["clip_frames"][...].tolist() == [8, 5, 2]
    assert whole["start"][...].tolist() == [2, 8, 11]
    assert [cut[name][...].tolist() for name in ("start", "end")] == [[0, 0, 0]] * 2
    assert whole["joints"].shape[0] > whole["clip_frames"][...].sum()  # two bodies


def test_the_whole_sequence_goes_before_a_clip_of_it(tmp_path):
    written(tmp_path, "pku1", False)
    (tmp_path / "cut" / "F295V002C001L001.skeleton").write_text(as_cut(VALUES, 1, 3))
    found = DATASETS["pku1"].find(tmp_path)
    assert [source.name for source in found.sources] == ["0294-L", "F295V002C001L001"]
    assert [(d.name[-4:], d.reason) for d in found.dropped] == [(f"L00{n}", "duplicate") for n in (2, 1, 3)]
    assert "used whole/skeleton/0294-L.txt" in found.dropped[0].detail
    assert DATASETS["pku2"].find(tmp_path / "cut").sources == []


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("F294V001C052L001", as_cut(VALUES, 1, 2), "class 52 is not in 1 to 51"),
        ("F294V001C003L001", "34\n", "says 34 frames and holds none, as AimCLR's script leaves a clip"),
        ("F294V001C003L001", as_cut(VALUES, 1, 9)[:-40], "line 377: the file is truncated"),
        ("F294V001C003L001", as_cut(VALUES, 1, 2) + "1\n", "line 58: there is more text"),
        ("F294V001C003L001", f"1\n3\n{BODY}" + "1 2 3\n" * 75, "more than two bodies in frame 1"),
        ("F294V001C003L001", "-5\n", "the number of frames is negative"),
        ("F294V001C003L001", "", "line 1: the file is truncated"),
    ],
)
def test_cut_clips_that_cannot_be_read(tmp_path, name, text, what):
    (tmp_path / f"{name}.skeleton").write_text(text)
    kind = DATASETS["pku1"]
    (source,) = kind.find(tmp_path).sources
    try:
        (clip,) = kind.read(source)
        assert isinstance(clip, Dropped)
        told = clip.detail
    except BadInput as error:
        told = str(error)
    assert what in told


def test_cut_clips_whose_classes_count_from_0_are_refused(tmp_path):
    for name in ("F294V001C003L001", "F294V001C000L002"):
        (tmp_path / f"{name}.skeleton").write_text(as_cut(VALUES, 1, 2))
    with pytest.raises(BadInput, match="C000L002.skeleton: class 0: these labels seem to count from 0; cut the clips"):
        DATASETS["pku1"].find(tmp_path)


def test_names_of_other_views_are_none():
    assert DATASETS["pku1"].cut_clip("F294V004C003L001") is None
    assert DATASETS["pku1"].cut_clip("F294V001C003L0001") is None
    assert DATASETS["pku1"].cut_clip("f294v002c003l010") == ("F294V002C003L010", "0294-M", 3, 10)
    assert DATASETS["pku2"].cut_clip("A010N008V003C003L001") == ("A010N008V003C003L001", "A10N08-R", 3, 1)


def test_tokens_beyond_exact_arithmetic_in_a_file_that_ends_early():
    token = "0.12345678901234567890"
    joint = f"{token} {token} {token}\n"
    text = "9\n" + f"1\n{BODY}{joint * 25}" * 2
    parsed = parse_cut(text.encode())
    assert parsed.frames == 2
    assert parsed.joints.shape == (2, 25, 3)
    assert np.all(parsed.joints == np.float32(float(token)))
