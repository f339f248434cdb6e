"""Published preparations by name, and what a user changes of them.

To add one: an entry in PRESETS. A preparation is a chain of named steps, one choice of each kind, in an order of its
own; `steps.STEPS` holds the choices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypedDict

from skelpipe.errors import BadInput, suggest
from skelpipe.recordings import NATIVE

LONGEST = 300  # frames: NTU RGB+D has no longer recordings
MOST_FRAMES = 100_000

LENGTH_RULES = ("count", "last")  # of today's kernels, which are the reference's
LENGTHS = (*LENGTH_RULES, "all")

Steps = tuple[tuple[str, str], ...]


class Options(TypedDict, total=False):
    """What can be changed of a preset; what is left out stays as the preset has it.

    frames: T, or "native": every clip keeps its own length.
    bodies: choice of the step `bodies`.
    centre: True is the step `centre=own`, False `centre=none`.
    turn: True is the step `align=yaw`, False `align=none`.
    longest: clips of more frames keep their middle part; None keeps all, as native clips do unless it is said.
    length: "count" takes as many frames from the start as show somebody, so empty frames inside a recording cut
        its tail, as AimCLR does; "last" takes all up to the last such frame; "all" takes all.
    """

    frames: int | str
    bodies: str
    centre: bool
    turn: bool
    longest: int | None
    length: str


@dataclass(frozen=True)
class Preparation:
    """How recordings become clips.

    Attributes:
        name: of the preset, or None where a step was changed.
        steps: (kind, choice) in the order in which they are taken.
        frames: T; None where every clip keeps its own length.
        longest, length: as in `Options`.
    """

    name: str | None
    steps: Steps
    frames: int | None
    longest: int | None = None
    length: str = "all"

    def choice(self, kind: str) -> str:
        """Which step of that kind is taken."""
        return dict(self.steps)[kind]

    @property
    def text(self) -> list[str]:
        """The steps as the command line takes them."""
        return [f"{kind}={choice}" for kind, choice in self.steps]

    def attributes(self) -> dict[str, Any]:
        """What a clips folder notes of it: the keys of today's preparation, and the name of the preset or the steps."""
        return {
            "frames": self.frames or NATIVE,
            "bodies": self.choice("bodies"),
            "centre": self.choice("centre") == "own",
            "turn": self.choice("align") == "yaw",
            "longest": self.longest,
            "length": self.length,
            "preparation": self.name or self.text,
        }


def _chain(text: str) -> Steps:
    return tuple((kind, choice) for kind, choice in (step.split("=") for step in text.split()))


PRESETS: dict[str, Preparation] = {
    made.name: made  # type: ignore[misc]
    for made in (
        # CrosSCLR, AimCLR (feeder/preprocess_ntu.py)
        Preparation(
            "aimclr", _chain("bodies=first gaps=keep centre=own time=resize align=yaw scale=none"), 50, LONGEST, "count"
        ),
        # ISC, CMD, MS2L (data_gen/ntu_gendata.py and preprocess.py of ISC, which are 2s-AGCN's)
        Preparation(
            "isc", _chain("bodies=energy gaps=squeeze time=repeat centre=first align=first_bones scale=none"), LONGEST
        ),
        # CTR-GCN, VA-RNN (data/ntu/get_raw_denoised_data.py and seq_transformation.py)
        Preparation("ctr", _chain("bodies=denoise gaps=keep centre=clip align=none scale=none time=first"), LONGEST),
        # ST-GCN, AS-CAL (tools/ntu_gendata.py of ST-GCN)
        Preparation("raw", _chain("bodies=first gaps=keep centre=none align=none scale=none time=pad"), LONGEST),
        # P&C (preprocess/*.ipynb, ntu_preprocess.py): one actor
        Preparation(
            "pc",
            _chain("bodies=main_actor gaps=complete centre=none align=first_basis scale=minmax time=stride"),
            50,
        ),
        # P-LSTM (Shahroudy et al., CVPR 2016), Soft RNN's reading
        Preparation(
            "body_axes",
            _chain("bodies=denoise gaps=keep centre=first align=body_axes scale=spine time=first"),
            LONGEST,
        ),
    )
}


def find_preparation(preset: str, options: Mapping[str, Any], steps: Iterable[str] = ()) -> Preparation:
    """The preset of that name, with changes.

    Args:
        preset: key of `PRESETS`.
        options: some of `Options`.
        steps: further changes, each "kind=choice".

    Raises:
        BadInput: a name is not known, a number cannot be one of frames, or a step is said twice.
    """
    if preset not in PRESETS:
        raise BadInput(f"preset {preset!r}", "is not known", suggest(preset, PRESETS))
    base, said = PRESETS[preset], _said(options, steps)
    chosen = tuple((kind, said.get(kind, choice)) for kind, choice in base.steps)
    frames = options.get("frames", base.frames)
    # A limit before resizing is of fixed lengths; clips that keep their own are cut only where it is asked for.
    longest = None if frames == NATIVE and base.choice("time") == "resize" else base.longest
    made = replace(
        base,
        name=preset if chosen == base.steps else None,
        steps=chosen,
        frames=None if frames == NATIVE else frames,
        longest=options.get("longest", longest),
        length=options.get("length", base.length),
    )
    for name, number in (("frames", made.frames), ("longest", made.longest)):
        if number is not None and (not isinstance(number, int) or not 1 <= number <= MOST_FRAMES):
            what = f"{number!r} is not a number of frames"
            raise BadInput(name, what, f"use 1 to {MOST_FRAMES:,}" + (f", or {NATIVE!r}" if name == "frames" else ""))
    if made.length not in LENGTHS:
        raise BadInput("length", f"{made.length!r} is not known", f"use one of {', '.join(LENGTHS)}")
    if made.frames is None and "time" in said:
        what = f"says how clips come to one length, and with {NATIVE!r} each keeps its own"
        raise BadInput(f"step time={said['time']}", what, "leave out one of the two")
    return made


def _said(options: Mapping[str, Any], steps: Iterable[str]) -> dict[str, str]:
    """The choice of every kind of step that is to be changed."""
    from skelpipe.clips.steps import STEPS  # compiles

    asked = [("bodies", options["bodies"])] if "bodies" in options else []
    asked += [("centre", "own" if options["centre"] else "none")] if "centre" in options else []
    asked += [("align", "yaw" if options["turn"] else "none")] if "turn" in options else []
    for step in steps:
        kind, _, choice = step.partition("=")
        if kind not in STEPS or not choice:
            raise BadInput(f"step {step!r}", "is not one", f"write KIND=CHOICE, KIND one of {', '.join(STEPS)}")
        asked.append((kind, choice))
    said: dict[str, str] = {}
    for kind, choice in asked:
        if choice not in STEPS[kind]:
            raise BadInput(kind, f"{choice!r} is not known", f"use one of {', '.join(STEPS[kind])}")
        if said.setdefault(kind, choice) != choice:
            raise BadInput(f"step {kind}", f"is {said[kind]!r} and {choice!r}", "say it once")
    return said
