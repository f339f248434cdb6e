"""What is kept of a preparation, what differs in another, and the options that make it again."""

from __future__ import annotations

import pytest

from skelpipe.clips.prepare import settings_of
from skelpipe.clips.presets import PRESETS, find_preparation
from skelpipe.training.preparation import compare, prepare_options, usual_preparation

TODAY = {"frames": 50, "bodies": "first", "centre": True, "turn": True, "longest": 300, "length": "count"}


def noted(preset="aimclr", steps=(), **options):
    """What `skelpipe prepare` notes."""
    how = find_preparation(preset, options, steps)
    today = settings_of(how)
    return how.attributes() if today is None else dict(vars(today))


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ({"centre": False, "turn": False}, ("centre true, now false", "turn true, now false")),
        ({"bodies": "energy"}, ("bodies first, now energy",)),
        ({"length": "last"}, ("length count, now last",)),
        ({"longest": 100}, ("longest 300, now 100",)),
        ({"longest": None}, ("longest 300, now none",)),
        ({"max_bodies": 1}, ("max_bodies 2, now 1",)),
        ({}, ()),
    ],
)
def test_what_differs_is_told_with_both_values(now, told):
    assert noted() == TODAY
    assert compare(TODAY, {**TODAY, **now}).differing == told
    assert compare(TODAY, {**TODAY, **now}).untold == ()


def test_another_preset_is_told_rather_than_all_that_follows_from_it():
    told = compare(TODAY, noted("isc", frames=50)).differing
    assert told == ("preparation aimclr, now isc", "longest 300, now none", "length count, now all")


def test_changed_steps_are_told_one_by_one():
    one, other = noted("isc"), noted("isc", ["scale=spine"])
    assert compare(one, other).differing == ("scale=none, now scale=spine",)
    # Beside today's, whose steps are not noted: they follow from its options.
    told = compare(noted(bodies="energy"), noted(steps=["scale=spine"])).differing
    assert told == ("bodies=energy, now bodies=first", "scale=none, now scale=spine")


def test_what_one_of_them_does_not_state_is_no_difference():
    found = compare(TODAY, {**TODAY, "bodies": "unknown", "turn": False})
    assert found.differing == ("turn true, now false",)
    assert found.untold == ("bodies",)
    assert compare({"frames": 50}, TODAY).untold == ("bodies", "centre", "turn", "longest", "length")


def test_the_usual_preparation_is_what_prepare_notes():
    assert usual_preparation(50) == TODAY


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"frames": 64}, {"bodies": "energy", "centre": False}, {"turn": False, "longest": 100, "length": "last"},
        {"frames": "native"}, {"frames": "native", "longest": 200, "bodies": "denoise"}, {"steps": ["scale=spine"]},
        *({"preset": name} for name in PRESETS), {"preset": "isc", "frames": 64, "longest": 250},
        {"preset": "raw", "steps": ["scale=spine", "time=resize"], "frames": 64}, {"preset": "pc", "length": "count"},
    ],
    ids=str,
)  # fmt: skip
def test_the_options_make_the_same_again(changes):
    before = noted(**changes)
    words = prepare_options(before)
    pairs, said = {}, {"steps": []}
    while words:
        word = words.pop(0)
        if word.startswith("--no-"):
            said[word.removeprefix("--no-")] = False
        elif word == "--step":
            said["steps"].append(words.pop(0))
        else:
            pairs[word.removeprefix("--")] = words.pop(0)
    numbers = {key: int(v) if v.isdecimal() else v for key, v in pairs.items()}
    assert compare(before, noted(**numbers, **said)).differing == ()
    assert noted(**numbers, **said) == before
