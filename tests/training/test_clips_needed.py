"""Recipes state the clips that they need: what fits is taken, what does not is refused with the command for it."""

import pytest
from conftest import write_clips
from uneven import write

from skelpipe.errors import BadInput
from skelpipe.recordings.store import Clips
from skelpipe.training.clips_needed import check_clips, folder_words, prepare_words, stated
from skelpipe.training.recipe import ClipsNeeded, load_recipe

ISC = {"frames": 12, "bodies": "energy", "centre": False, "turn": False, "longest": None, "length": "all"}


def recipe(*changes):
    return load_recipe("skeletonclr", [f"clips.{change}" for change in changes])


@pytest.fixture(scope="module")
def today(tmp_path_factory):
    return Clips(write_clips(tmp_path_factory.mktemp("clips") / "today.zarr"))


@pytest.fixture(scope="module")
def isc(today, tmp_path_factory):
    arrays = {"clips": today.load(), "length": today.valid}
    path = tmp_path_factory.mktemp("clips") / "isc.zarr"
    return Clips(write(path, today, arrays, **ISC, preparation="isc"))


def test_a_recipe_that_says_nothing_takes_todays_clips_whatever_their_options(today):
    assert stated(recipe()) is None
    assert stated(recipe("preset=aimclr")) is None  # which is the same
    check_clips(recipe(), today)
    today.attributes["turn"] = False
    check_clips(recipe(), today)
    del today.attributes["turn"]


def test_clips_of_the_stated_preparation_are_taken(isc):
    check_clips(recipe("preset=isc"), isc)
    check_clips(recipe("preset=isc", "frames=12"), isc)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ((), "is of preparation isc, and skeletonclr needs preparation aimclr"),
        (("preset=raw",), "bodies energy, preparation isc, and skeletonclr needs bodies first, preparation raw"),
        (("preset=isc", "frames=native"), "is of frames 12, and skeletonclr needs clips of their own lengths"),
        (
            ("preset=isc", "steps={align: none}"),
            "needs preparation bodies=energy gaps=squeeze time=repeat centre=first",
        ),
    ],
)
def test_other_clips_are_refused_with_the_command_that_makes_the_right_ones(isc, changes, says):
    with pytest.raises(BadInput) as caught:
        check_clips(recipe(*changes), isc)
    assert says in caught.value.what
    words = " ".join(prepare_words(recipe(*changes).clips))
    assert caught.value.remedy == f"make such clips by 'skelpipe prepare STORE CLIPS {words}'"


@pytest.mark.parametrize(
    ("frames", "changes", "says"),
    [
        ("native", (), "is of clips of their own lengths, and skeletonclr needs clips of one length"),
        ("native", ("frames=12",), "is of clips of their own lengths, and skeletonclr needs frames 12"),
        (12, ("frames=native",), "is of frames 12, and skeletonclr needs clips of their own lengths"),
        (
            12,
            ("frames=native", "steps={align: none}"),
            "is of frames 12, turn True, preparation aimclr, and skeletonclr",
        ),
    ],
)
def test_todays_clips_of_one_length_and_of_their_own_differ_in_the_length(today, monkeypatch, frames, changes, says):
    native = {} if frames == 12 else {"preparation": "aimclr"}  # what `prepare --frames native` notes
    monkeypatch.setattr(today, "attributes", {**today.attributes, "turn": True, "frames": frames, **native})
    with pytest.raises(BadInput) as caught:
        check_clips(recipe(*changes), today)
    assert says in caught.value.what


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("preset=foo", "recipe skeletonclr: clips.preset: preset 'foo' is not known; use one of aimclr, isc"),
        ("steps={turn: none}", "recipe skeletonclr: clips.steps: step 'turn=none' is not one; write KIND=CHOICE"),
        ("steps={align: foo}", "recipe skeletonclr: clips.steps: align 'foo' is not known; use one of yaw"),
        (
            "frames=100001",
            "recipe skeletonclr: clips.frames: 100001 is not a number of frames; use 1 to 100,000",
        ),
    ],
)
def test_what_is_wrong_in_a_recipes_clips_is_told_with_the_recipe_and_the_key(today, change, says):
    with pytest.raises(BadInput) as caught:
        check_clips(recipe(change), today)
    assert str(caught.value).startswith(says)


def test_a_folder_is_named_by_what_the_clips_are():
    assert folder_words(ClipsNeeded(preset="isc")) == ["isc", "300"]
    needed = ClipsNeeded(preset="raw", frames="native", longest=400, steps={"align": "yaw"})
    assert folder_words(needed) == ["raw", "native", "longest400", "align=yaw"]
    told = "--preset raw --frames native --longest 400 --step align=yaw"
    assert prepare_words(needed) == told.split()
