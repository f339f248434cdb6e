"""Whether a run can be measured on clips, and what makes its figures on them doubtful."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput
from skelpipe.layouts import attributes_of
from skelpipe.outputs.digests import read_digest
from skelpipe.recordings.datasets import has_names, pretrained_on, share_names, split_of
from skelpipe.recordings.datasets.own import TABLE
from skelpipe.recordings.datasets.splits import LISTED_SPLIT, RECORDED
from skelpipe.recordings.divisions import divide
from skelpipe.recordings.store import Clips
from skelpipe.training.clips_needed import check_clips, check_evaluated, prepare_command, prepare_words
from skelpipe.training.log import COLLAPSE_REMEDY
from skelpipe.training.preparation import ASSUMED, PREPARED, compare, preparation_of, prepare_options
from skelpipe.training.recipe import Recipe
from skelpipe.training.trained_on import read_fingerprints, read_trained_on

if TYPE_CHECKING:
    from skelpipe.evaluation.features import Run

OTHERWISE = "--other-clips"
PASSES = f"or pass {OTHERWISE}, which every figure will say"
CANNOT_TELL = "that no test clip was pretrained on cannot be told"
NO_NAMES = f"{CANNOT_TELL}: there are clips without names"
NOT_KEPT = f"{CANNOT_TELL}: the run does not keep which clips it was trained on"


def check_fit(recipe: Recipe, settings: Mapping[str, Any], clips: Clips, other_clips: bool = False) -> list[str]:
    """Hold clips against the layout and the preparation of those that a run was trained on.

    Args:
        settings: those of the run.
        other_clips: let clips pass that were prepared otherwise; their length is to be the same even so.

    Returns:
        What every figure on these clips has to say: that they were prepared otherwise, or that this cannot be told.

    Raises:
        BadInput: they differ; names what differs, and the command that makes fitting ones.
    """
    check_layout(settings, clips)
    frames, kept = settings["frames"], settings.get(PREPARED)
    prepared: Mapping[str, Any] = {**(kept or {}), "frames": frames}
    if frames != clips.frames:
        needed = recipe.clips.model_copy(update={"frames": frames})
        command = prepare_command(clips, prepare_options(prepared) if kept else prepare_words(needed))
        what = f"has frames {clips.frames}, the run was trained with {frames}"
        raise BadInput(clips.path, what, f"make such clips by '{command}'")
    if are_its_own(settings, clips):
        check_clips(recipe, clips)
        return []
    found = compare(prepared, preparation_of(clips))
    if found.differing and not other_clips and not settings.get(ASSUMED):
        command = prepare_command(clips, prepare_options(prepared))
        what = f"was not prepared as the clips that the run was trained on: {'; '.join(found.differing)}"
        raise BadInput(clips.path, what, f"make such clips by '{command}', {PASSES}")
    if other_clips:
        check_evaluated(recipe, clips)
    else:
        check_clips(recipe, clips)
    cautions = []
    if found.differing:
        whose = "its kind of checkpoint usually is" if settings.get(ASSUMED) else "the run was"
        cautions.append(f"on clips prepared otherwise than those that {whose} trained on: {'; '.join(found.differing)}")
    if found.untold:
        what = "the run does not keep it" if not kept else f"{', '.join(found.untold)} unknown"
        cautions.append(f"whether its clips were prepared as the run's cannot be told: {what}")
    return cautions


def check_layout(settings: Mapping[str, Any], clips: Clips) -> None:
    """Raise BadInput unless clips have the joints and bones that a run was trained with."""
    noted = attributes_of(clips.layout)
    if settings["layout"] != noted["layout"]:
        what = f"has layout {noted['layout']}, the run was trained with {settings['layout']}"
        raise BadInput(clips.path, what, "prepare clips to match")
    if settings.get("layout_table") != noted.get("layout_table"):
        what = f"has a layout {noted['layout']} of other joints or bones than the run was trained with"
        raise BadInput(clips.path, what, "give the layouts names of their own, and clips of the run's")


def cautions(run: Run, clips: Clips, test: npt.NDArray[np.int64]) -> list[str]:
    """What makes any figure of a run doubtful on the clips `test`, rows of a folder."""
    found = [COLLAPSE_REMEDY] if run.collapsed else []
    return [*found, *run.cautions, *(seen(run.path, run.settings, clips, test) if run.epoch else [])]


def seen(run: Path, settings: Mapping[str, Any], clips: Clips, test: npt.NDArray[np.int64]) -> list[str]:
    """How many of the test clips a run was trained on, if any, or that this cannot be told.

    Clips are known again by name, in data sets that share theirs, and by what they hold. In the folder that the run
    was trained on, they are those of its split. Of a run that keeps neither, the rule of its split says it.
    """
    if are_its_own(settings, clips):
        train, _ = divide(split_of(settings), clips)
        return told(int(train[test].sum()), len(test))
    kept = read_trained_on(run)
    if kept is None:
        return seen_by_rule(settings, clips, test)
    related = share_names(str(settings["dataset"]), clips.dataset)
    if len(kept.names) and has_names(clips.columns):
        mask: npt.NDArray[np.bool_] = np.isin(read_fingerprints(clips, test), kept.prints)
        return told(int((mask | (related & np.isin(clips.columns["name"][test], kept.names))).sum()), len(test))
    prints = read_fingerprints(clips, np.arange(len(clips)))
    count = int(np.isin(prints[test], kept.prints).sum())
    # Where most of what was trained on is here, in whichever part, the test clips would be known again too.
    if related and not count and np.isin(kept.prints, prints).sum() <= len(kept.prints) / 2:
        return [NO_NAMES]
    return told(count, len(test))


def seen_by_rule(settings: Mapping[str, Any], clips: Clips, test: npt.NDArray[np.int64]) -> list[str]:
    """The same by the rule of the run's split."""
    split = str(settings["split"])
    if not has_names(clips.columns) and RECORDED + split not in clips.columns:
        return [NO_NAMES] if share_names(str(settings["dataset"]), clips.dataset) else []
    rule = split_of(settings) if LISTED_SPLIT in settings or TABLE in settings else split
    count = int(pretrained_on(rule, clips.about, clips.columns)[test].sum())
    if not count and settings.get("clips_digest") and share_names(str(settings["dataset"]), clips.dataset):
        return [NOT_KEPT]  # a list may have divided its clips otherwise
    return told(count, len(test), f", by the rule of {split}: the run does not keep which")


def told(count: int, of: int, how: str = "") -> list[str]:
    return [f"{count:,} of the {of:,} test clips were pretrained on{how}"] if count else []


def are_its_own(settings: Mapping[str, Any], clips: Clips) -> bool:
    """Whether these are the very clips that a run was trained on."""
    digest = settings.get("clips_digest")
    return digest is not None and digest == read_digest(clips.path)
