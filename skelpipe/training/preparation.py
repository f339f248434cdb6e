"""How the clips of a run were prepared: what the run keeps of it, and what differs in other clips."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from skelpipe.clips.presets import PRESETS, Options, Preparation, find_preparation
from skelpipe.errors import BadInput
from skelpipe.recordings.datasets.recording import RATE, READING
from skelpipe.recordings.store import Clips

PREPARED = "prepared"  # of a run's settings (beside `frames`), and of metrics.json: what the clips note of it
ASSUMED = "prepared_assumed"  # of a run's settings: that it was concluded from the kind of checkpoint
UNKNOWN = "unknown"
USUAL = "aimclr"  # the preset that clips without `preparation` are of, with changes of today's options
# What clips note beside it: whose they are, how they are divided, and where they come from.
OTHER = {
    "kind", "format_version", "dataset", "dataset_table", "layout", "layout_table", "columns", "split_files", "part",
    "conventions", "imported", "divisions", "streams", READING, RATE,
}  # fmt: skip
# What is not noted where it is as always.
DEFAULTS: Mapping[str, Any] = {"preparation": None, "max_bodies": 2}
OF_STEPS = ("bodies", "centre", "turn")  # which follow from the steps, where these are noted


@dataclass(frozen=True)
class Comparison:
    """How far two preparations agree.

    Attributes:
        differing: in words what both state and is another: "centre true, now false".
        untold: the keys that one of them does not state.
    """

    differing: tuple[str, ...]
    untold: tuple[str, ...]


def preparation_of(clips: Clips) -> dict[str, Any]:
    """What a folder of clips notes of their preparation: frames, bodies, centre, turn, longest, length, steps, …"""
    return {key: value for key, value in clips.attributes.items() if key not in OTHER}


def usual_preparation(frames: int | str) -> dict[str, Any]:
    """The preparation of CrosSCLR's and AimCLR's code, to clips of so many frames."""
    how = find_preparation(USUAL, {"frames": frames})
    return {key: value for key, value in how.attributes().items() if key != "preparation"}


def compare(before: Mapping[str, Any], now: Mapping[str, Any]) -> Comparison:
    """Hold a preparation against that of other clips."""
    old, new = (_stated(each) for each in (before, now))
    keys = dict.fromkeys((*before, *now))
    untold = tuple(key for key in keys if (key in old) != (key in new))
    changed = [key for key in old if key in new and old[key] != new[key]]
    by_steps = "preparation" in changed
    told_by_steps = ("preparation", *OF_STEPS) if by_steps else ()
    told = [*(_steps_differing(old, new) if by_steps else ())]
    told += [f"{key} {_word(old[key])}, now {_word(new[key])}" for key in changed if key not in told_by_steps]
    return Comparison(tuple(told), tuple(key for key in untold if key not in told_by_steps))


def preparation_noted(prepared: Mapping[str, Any], where: str | os.PathLike[str]) -> Preparation:
    """The preparation that makes such clips; what is not known of it is taken as it usually is.

    Raises:
        BadInput: no preparation of ours makes such clips.
    """
    noted = _stated(prepared)
    name, steps = _base(noted["preparation"])
    kinds = ("frames", "longest", "length", *(OF_STEPS if noted["preparation"] is None else ()))
    how = find_preparation(name, {kind: noted[kind] for kind in kinds if kind in noted}, steps)
    made = how.attributes()
    wrong = [key for key in made.keys() & noted.keys() if key != "preparation" and made[key] != noted[key]]
    if noted["preparation"] not in (None, how.name, how.text) or wrong:
        what = "was trained on clips of a preparation that is not known here"
        raise BadInput(where, what, "give clips that were prepared as its own were")
    return how


def prepare_options(prepared: Mapping[str, Any]) -> list[str]:
    """The options with which `skelpipe prepare` makes such clips, as far as their preparation is known."""
    noted, words = _stated(prepared), list[str]()
    name, steps = _base(noted["preparation"])
    options: Options = {"frames": noted["frames"]} if "frames" in noted else {}
    try:
        base = find_preparation(name, options)
    except BadInput:  # noted by whoever made these clips
        base = PRESETS[name]
    words += [] if name == USUAL else ["--preset", name]
    words += ["--frames", str(noted["frames"])] if "frames" in noted else []
    words += [word for step in steps for word in ("--step", step)]
    if noted["preparation"] is None:
        words += ["--bodies", noted["bodies"]] if noted.get("bodies", "first") != "first" else []
        words += [f"--no-{key}" for key in ("centre", "turn") if noted.get(key) is False]
    words += ["--longest", str(noted["longest"])] if noted.get("longest") not in (None, base.longest) else []
    words += ["--length", noted["length"]] if noted.get("length", base.length) != base.length else []
    return [str(word) for word in words]


def _stated(prepared: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a preparation, with what is not noted because it is as always."""
    return {**DEFAULTS, **{key: value for key, value in prepared.items() if value != UNKNOWN}}


def _word(value: Any) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _steps_differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Which presets, or where steps were changed, which steps."""
    before, after = old["preparation"], new["preparation"]
    if not isinstance(before, list) and not isinstance(after, list):
        yield f"preparation {before or USUAL}, now {after or USUAL}"
        return
    one, other = _steps(old), _steps(new)
    apart = [kind for kind in dict.fromkeys((*one, *other)) if one.get(kind) != other.get(kind)]
    for kind in apart:
        yield f"{kind}={one.get(kind, 'none')}, now {kind}={other.get(kind, 'none')}"
    if not apart:
        yield "preparation of the same steps in another order"


def _steps(noted: Mapping[str, Any]) -> dict[str, str]:
    """Kind -> choice of all steps that a preparation takes."""
    made = noted["preparation"]
    if isinstance(made, list):
        return dict(_pair(step) for step in made)
    steps = dict(PRESETS[made].steps) if made in PRESETS else dict(PRESETS[USUAL].steps)
    if made is None:
        steps |= {"bodies": noted["bodies"]} if "bodies" in noted else {}
        steps |= {"centre": "none"} if noted.get("centre") is False else {}
        steps |= {"align": "none"} if noted.get("turn") is False else {}
    return steps


def _base(made: Any) -> tuple[str, list[str]]:
    """The preset that is nearest to what clips note as their preparation, and the steps in which they differ."""
    if not isinstance(made, list):
        return (made if made in PRESETS else USUAL), []
    steps = [_pair(step) for step in made]

    def apart(preset: Preparation) -> list[str]:
        own = dict(preset.steps)
        return [f"{kind}={choice}" for kind, choice in steps if own.get(kind) != choice]

    def far(name: str) -> tuple[bool, int]:
        return [kind for kind, _ in PRESETS[name].steps] != [kind for kind, _ in steps], len(apart(PRESETS[name]))

    name = min(PRESETS, key=far)
    return name, apart(PRESETS[name])


def _pair(step: Any) -> tuple[str, str]:
    kind, _, choice = str(step).partition("=")
    return kind, choice
