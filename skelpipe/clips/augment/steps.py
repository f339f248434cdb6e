"""Steps of a view: an augmentation by name with its options, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from skelpipe.clips.augment import AUGMENTATIONS
from skelpipe.clips.augment.base import Augmentation, Brought, Extent, Numbers
from skelpipe.clips.augment.one_of import ONE_OF
from skelpipe.errors import BadInput, suggest


@dataclass(frozen=True)
class Step:
    """An augmentation by name, with all its options filled in."""

    name: str
    options: Mapping[str, Any]

    @property
    def augmentation(self) -> Augmentation:
        """The entry of `AUGMENTATIONS`, or the choice between several."""
        return ONE_OF if self.name == "one_of" else AUGMENTATIONS[self.name]

    def brings(self, extent: Extent) -> Brought:
        """The name, shape without B, and type of the targets that it brings for clips of that extent."""
        return self.augmentation.targets(extent.shape, self.options)

    def after(self, params: Numbers, extent: Extent) -> Extent:
        """What the next step finds."""
        sampling, lengths = self.augmentation.sampling, self.augmentation.lengths
        if sampling is not None:
            frames = int(self.options["frames"])
            if not sampling.fills:
                return extent._replace(
                    frames=frames, lengths=np.full_like(extent.lengths, frames), padded=False, kept=False
                )
            own = (sampling.positions(params, extent, self.options) >= 0).sum(axis=1)
            padded = extent.padded or frames > extent.frames
            return extent._replace(frames=frames, lengths=own, padded=padded, kept=False)
        if self.augmentation.fills:
            return extent._replace(kept=True)
        if lengths is not None and extent.padded:
            return extent._replace(lengths=lengths(params, extent, self.options))
        return extent


def build_step(item: Any) -> Step:
    """Make a step from a name, or from {name: {option: value}}, or from {"one_of": [...]}.

    Raises:
        BadInput: an augmentation or option is unknown (the nearest is named), or a value does not fit.
    """
    named = {item: None} if isinstance(item, str) else item
    if not isinstance(named, Mapping) or len(named) != 1:
        raise BadInput("view", f"{item!r} is not one augmentation", "write a name, or {name: {option: value}}")
    ((name, given),) = named.items()
    return _build_choice(given) if name == "one_of" else _build_one(name, given or {})


def _build_choice(given: Any) -> Step:
    if not isinstance(given, list | tuple) or len(given) < 2:
        raise BadInput("view: one_of", f"{given!r} is no choice", "list two augmentations or more")
    steps = tuple(build_step(item) for item in given)
    for step in steps:
        made = step.augmentation
        if made.sampling is not None or made.fills or made.targets((1, 1, 1, 1), step.options):
            raise BadInput(
                "view: one_of", f"{step.name} makes other frames or brings targets", "make it a step of its own"
            )
    return Step("one_of", {"steps": steps})


def _build_one(name: str, options: Mapping[str, Any]) -> Step:
    if name not in AUGMENTATIONS:
        raise BadInput("view", f"{name!r} is not an augmentation", suggest(str(name), [*AUGMENTATIONS, "one_of"]))
    known = AUGMENTATIONS[name].options
    if not isinstance(options, Mapping):
        raise BadInput(f"view: {name}", f"{options!r} is no set of options", f"its options are {', '.join(known)}")
    for key in options:
        if key not in known:
            raise BadInput(f"view: {name}", f"{key!r} is not an option", suggest(str(key), known))
    values = {k: o.check(f"view: {name}.{k}", options.get(k, o.default)) for k, o in known.items()}
    if name == "blur" and not values["taps"] % 2:
        raise BadInput("view: blur.taps", f"{values['taps']} is even", "use an odd number, so that there is a middle")
    return Step(name, values)
