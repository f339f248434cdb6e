"""Protocols: how good an encoder is, frozen or trained further. To add one: a file here and a line in PROTOCOLS.

One that has options of its own gets a line in `Options` too, and one that does not suit every run a line in CHECKS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from skelpipe import settings as checking
from skelpipe.errors import BadInput, hint, suggest
from skelpipe.evaluation.aec import AECOptions, aec
from skelpipe.evaluation.early import EarlyOptions, early
from skelpipe.evaluation.features import Run
from skelpipe.evaluation.fewshot import FewshotOptions, fewshot
from skelpipe.evaluation.finetune import (
    FinetuneOptions,
    SemiOptions,
    TransferOptions,
    check_transfer,
    finetune,
    semi,
    transfer,
)
from skelpipe.evaluation.knn import knn
from skelpipe.evaluation.linear import linear
from skelpipe.evaluation.protocol import Protocol
from skelpipe.evaluation.retrieval import retrieval
from skelpipe.evaluation.stated import LinearOptions
from skelpipe.evaluation.supervised import check_supervised, supervised
from skelpipe.recordings.datasets import Split
from skelpipe.recordings.store import Clips
from skelpipe.resources import Registry
from skelpipe.settings import Settings
from skelpipe.training.recipe import Recipe

OWN: dict[str, Protocol] = {
    "linear": linear,
    "knn": knn,
    "retrieval": retrieval,
    "aec": aec,
    "fewshot": fewshot,
    "supervised": supervised,
    "early": early,
    "finetune": finetune,
    "semi": semi,
    "transfer": transfer,
}
PROTOCOLS = Registry("protocols", OWN)
# Those that measure a run's own classifier, and so need no clips to train on.
OF_CLASSIFIERS = ("supervised", "early")
# What is found out before hours of work: (run, clips, split) -> None, or BadInput.
CHECKS: dict[str, Callable[[Run, Clips, Split], None]] = {
    "supervised": check_supervised,
    "early": partial(check_supervised, protocol="early"),
    "transfer": check_transfer,
}


class Options(Settings):
    """The protocols' own options."""

    linear: LinearOptions = LinearOptions()
    fewshot: FewshotOptions = FewshotOptions()
    early: EarlyOptions = EarlyOptions()
    finetune: FinetuneOptions = FinetuneOptions()
    semi: SemiOptions = SemiOptions()
    transfer: TransferOptions = TransferOptions()
    aec: AECOptions = AECOptions()


class StatedOptions(Settings):
    """Those that a recipe states, in their place."""

    options: Options = Options()


class Stated(Settings):
    """What `check_stated` looks at of a recipe."""

    evaluate: StatedOptions = StatedOptions()


def check_stated(recipe: Recipe, where: str | Path) -> None:
    """Check what a recipe says of protocols before it is trained, rather than when it is measured.

    Args:
        where: the recipe's file.

    Raises:
        BadInput: a protocol is unknown or measures no such recipe, or an option or its value is wrong.
    """
    for name in recipe.evaluate.protocols:
        if name not in PROTOCOLS:
            what = f"evaluate.protocols: unknown protocol {name!r}{hint(name, PROTOCOLS)}"
            raise BadInput(where, what, f"known are {', '.join(PROTOCOLS)}")
    for name in OF_CLASSIFIERS:
        if name in recipe.evaluate.protocols and not recipe.supervised:
            what = f"evaluate.protocols: {name} measures a classifier, and {recipe.method.name} trains none"
            raise BadInput(where, what, "use finetune or linear")
    for name in recipe.evaluate.options:
        if name not in Options.model_fields:
            known = name in PROTOCOLS
            what = f"{name} has no options" if known else f"unknown protocol {name!r}{hint(name, PROTOCOLS)}"
            raise BadInput(
                where, f"evaluate.options: {what}", f"those that have some are {', '.join(Options.model_fields)}"
            )
    checking.check(Stated, {"evaluate": {"options": recipe.evaluate.options}}, where)


def read_options(
    changes: Sequence[str], protocols: Sequence[str], add: str = "add --protocol {}"
) -> dict[str, Settings]:
    """The options of those among `protocols` that have some, with `protocol.option=value` changes.

    Args:
        add: how a protocol is added to those that are run; a remedy.

    Raises:
        BadInput: a protocol, option or value is wrong, or the protocol is not among those that are run.
    """
    for name in protocols:
        if name not in PROTOCOLS:
            raise BadInput(f"--protocol {name}", "is not a protocol", f"use one of {', '.join(PROTOCOLS)}")
    data = checking.override({}, changes)
    known = Options.model_fields
    for name, own in data.items():
        if name not in known or not isinstance(own, dict):
            what = "is not an option" if name in known else "names no protocol that has options"
            remedy = f"write for example {name}.epochs=10" if name in known else suggest(name, known)
            raise BadInput(f"--set {name}", what, remedy)
        if name not in protocols:
            raise BadInput(f"--set {name}", "changes a protocol that is not run", add.format(name))
    options = checking.check(Options, {}, "--set", changes)
    return {name: getattr(options, name) for name in dict.fromkeys(protocols) if name in known}
