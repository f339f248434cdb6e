"""Evaluations: how good an encoder is, and what they leave."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from skelpipe.api.around import left_as_found
from skelpipe.api.shown import ShownFolder, shown, tell, tell_there
from skelpipe.errors import BadInput, refusing, suggest
from skelpipe.evaluation.intervals import stored_interval
from skelpipe.outputs.again import Answer, unless_there
from skelpipe.resources import ADDED

if TYPE_CHECKING:
    import pandas as pd

PathLike = str | os.PathLike[str]
AGAIN = "make it again"
READ = ("metrics.json", "scores.npz", "features.npz")
SHOWN = ("top1", "top5", "balanced", "macro_f1")


class Evaluation(ShownFolder):
    """An evaluation, or a fusion of several, opened.

    Attributes:
        path: the folder; the object itself can be given wherever a path is asked for.
        facts: all of `metrics.json`, in plain values.

    Example:
        >>> found = sk.open_evaluation("evaluation")
        >>> found.metrics.loc["knn", "top1"] >= 0
        np.True_
        >>> found.confusion("knn").shape[0] == len(found.classes)
        True
    """

    def __init__(self, path: PathLike) -> None:
        from skelpipe.outputs.checksums import check_files
        from skelpipe.outputs.digests import read_kind, require

        kind = "fusion" if read_kind(path) == "fusion" else "evaluation"
        self.path = require(path, kind, "make it by 'skelpipe evaluate'")
        check_files(self.path, lambda name: name in READ, AGAIN)
        with refusing(self.path / "metrics.json", "cannot be read", AGAIN):
            self.facts: dict[str, Any] = json.loads((self.path / "metrics.json").read_text())

    @property
    def protocols(self) -> tuple[str, ...]:
        """What was measured."""
        return tuple(self.facts["protocols"])

    @property
    def models(self) -> tuple[str, ...]:
        """The protocols that have left a classifier, which `load` opens."""
        from skelpipe.inspect.kept import kept_in

        return tuple(kept_in(self.path))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the figures have to say of themselves, such as of embeddings that have collapsed."""
        each = self.facts["protocols"].items()
        return tuple(f"{name}: {warning}" for name, values in each for warning in values.get("warnings", ()))

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The classes that were told apart, in order."""
        return tuple(self.confusion(self.protocols[0]).columns)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """A row for each protocol: top1 with its interval, top5, …, as fractions, and other numbers and texts.

        Over fewer than five persons or videos there is no interval: its ends are NaN.
        """
        import pandas as pd

        rows: dict[str, dict[str, Any]] = {}
        for name, values in self.facts["protocols"].items():
            rows[name] = {key: value for key, value in values.items() if isinstance(value, int | float | str)}
            if interval := stored_interval(values.get("interval")):
                ends = {f"top1_{end}": interval[end] for end in ("low", "high")}
                rows[name] |= {key: math.nan if end is None else end for key, end in ends.items()}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("protocol")

    def scores(self, protocol: str) -> pd.DataFrame:
        """The scores of the test clips by a protocol: a row for each, by name, a column for each class; and `label`.

        Raises:
            BadInput: there is no such protocol.
        """
        import pandas as pd

        found = self._arrays("scores.npz")
        values = found[self._known(protocol)]
        values = values.mean(axis=0) if values.ndim == 3 else values
        table = pd.DataFrame(values, index=pd.Index(found["name"], name="clip"), columns=list(self.classes))
        table.insert(0, "label", found["label"])
        return table

    def confusion(self, protocol: str) -> pd.DataFrame:
        """How many test clips of each class (row) were taken for which (column).

        Raises:
            BadInput: there is no such protocol.
        """
        import pandas as pd

        table = pd.read_csv(self.path / f"confusion_{self._known(protocol)}.csv", index_col=0)
        names = [str(title).partition(" ")[2] for title in table.columns]  # behind their numbers
        return pd.DataFrame(table.to_numpy(), pd.Index(names, name="label"), pd.Index(names, name="predicted"))

    @property
    def features(self) -> dict[str, np.ndarray[Any, Any]]:
        """Those of the frozen encoder: name (N,), label (N,), train (N,) bool, feature (N, H) float32.

        Raises:
            BadInput: it is a fusion, which has none.
        """
        return self._arrays("features.npz")

    def _known(self, protocol: str) -> str:
        if protocol not in self.protocols:
            raise BadInput(self.path, f"has not measured {protocol!r}", suggest(protocol, self.protocols))
        return protocol

    def _arrays(self, name: str) -> dict[str, np.ndarray[Any, Any]]:
        with refusing(self.path / name, "cannot be read", AGAIN), np.load(self.path / name, allow_pickle=False) as file:
            return dict(file)

    def _told(self) -> dict[str, str]:
        told = {key: str(self.facts[key]) for key in ("recipe", "stream", "split", "seed")}
        told["clips"] = f"{self.facts['train_clips']:,} train, {self.facts['test_clips']:,} test"
        for name, values in self.facts["protocols"].items():
            figures = (f"{key} {values[key]:.1%}" for key in SHOWN if isinstance(values.get(key), float))
            told[name] = ", ".join(figures)
        return {**told, "path": os.fspath(self.path)}


def evaluate(
    run: PathLike, clips: PathLike, out: PathLike, *, protocols: Sequence[str] | None = None,
    probe: Literal["reference", "paper", "lbfgs", "grid", "stated"] | None = None, k: int = 1,
    split: str | None = None, stream: str | None = None, epoch: int | None = None, classes: str | None = None,
    options: Mapping[str, Any] | None = None, best_on_test: bool = False, seed: int = 0, device: str = "auto",
    compiled: Literal["auto", "off", "on"] = "auto", threads: int | None = None, other_clips: bool = False,
    force: bool = False, progress: bool | Callable[[str, int, int], None] | None = None,
) -> Evaluation:  # fmt: skip
    """Measure a run's encoder on a split's test clips, as `skelpipe evaluate` does.

    Args:
        run: a run, or its path.
        clips: clips, or their path.
        out: the folder to make.
        protocols: of `list_protocols()`; None: the recipe's own, or else linear and knn.
        probe: the linear classifier; None: the recipe's own, or else the reference's.
        k: neighbours of knn.
        split: another than the run was trained on.
        stream: of a run of several streams, which network.
        epoch: one whose weights the run has kept; None: the last.
        classes: only clips of these, as "1-10,23".
        options: of protocols, `{"finetune.epochs": 10}`.
        best_on_test: also tell the best epoch on the test clips, as papers do.
        seed: of probes and of what is finetuned.
        device: "auto", "cpu", "cuda", …
        compiled: of protocols that train the encoder, whether steps are graphs.
        threads: None takes all cores.
        other_clips: let clips pass that were prepared otherwise than the run's.
        force: replace an evaluation that is there, of another run or clips or by other options; one of the same is
            given back, which is told.
        progress: True shows a line on stderr; or called with (what, done, total).

    Returns:
        The evaluation, opened; `metrics` is a table of the figures.

    Raises:
        BadInput: an input does not fit, or `out` is taken.

    Example:
        >>> found = sk.evaluate("run", "clips.zarr", "another_evaluation", protocols=["knn"], device="cpu")
        >>> found.protocols
        ('knn',)
    """
    from skelpipe.evaluation.evaluate import evaluate as run_evaluate
    from skelpipe.evaluation.protocol import Probe

    if isinstance(protocols, str):
        raise BadInput("protocols", f"is the text {protocols!r}", f"give a list: [{protocols!r}]")
    if probe is not None and probe not in get_args(Probe):
        raise BadInput("probe", f"{probe!r} is not known", suggest(str(probe), get_args(Probe)))
    changes = [f"{key}={json.dumps(value)}" for key, value in (options or {}).items()]
    with left_as_found(), unless_there(_as_shipped) as answer:
        run_evaluate(
            os.fspath(run), os.fspath(clips), os.fspath(out), protocols=protocols, probe=probe, k=k, split=split,
            stream=stream, epoch=epoch, classes=classes, options=changes, best_on_test=best_on_test, seed=seed,
            device=device, compiled=compiled, threads=threads, other_clips=other_clips, force=force,
            progress=shown(progress, "evaluate"),
        )  # fmt: skip
    return _opened(out, answer)


def _as_shipped(made: Mapping[str, Any]) -> bool:
    """Whether nothing is registered that may have been edited since: runs note what made them, evaluations do not."""
    return not any(kind in ("protocol", "augmentation") for kind, _ in ADDED)


def _opened(out: PathLike, answer: Answer) -> Evaluation:
    """What was made or is there, with what is to be told of it."""
    tell_there(answer, out)
    found = Evaluation(out)
    tell(found.warnings)
    return found


def fuse(
    parts: Sequence[PathLike],
    out: PathLike,
    *,
    weights: Sequence[float] | None = None,
    other_clips: bool = False,
    force: bool = False,
) -> Evaluation:
    """Add the scores of the evaluations of several streams, clip by clip, as `skelpipe fuse` does.

    Args:
        parts: evaluations, or their paths, one for each stream.
        out: the folder to make.
        weights: one for each; None: joint and bone 0.6, motion 0.4.
        other_clips: let parts pass whose clips were prepared in different ways.
        force: replace a fusion that is there, of other parts or weights; one of the same is given back, which is told.

    Returns:
        The fusion, opened.

    Raises:
        BadInput: the parts do not belong together, the weights cannot be used, or `out` is taken.

    Example:
        >>> recipe = sk.open_run("run").recipe
        >>> _ = sk.pretrain(recipe, "clips.zarr", "bone", split="xsub60", stream="bone", device="cpu")
        >>> _ = sk.evaluate("bone", "clips.zarr", "bone_evaluation", probe="lbfgs", device="cpu")
        >>> sk.fuse(["evaluation", "bone_evaluation"], "fused").protocols
        ('linear', 'knn')
    """
    from skelpipe.evaluation.fuse import fuse as run_fuse

    with unless_there() as answer:
        run_fuse([os.fspath(part) for part in parts], out, weights=weights, other_clips=other_clips, force=force)
    return _opened(out, answer)


def open_evaluation(path: PathLike) -> Evaluation:
    """Open an evaluation, or a fusion.

    Args:
        path: a folder that `evaluate` or `fuse` made.

    Raises:
        BadInput: nothing is there, it is not whole, or of another kind.

    Example:
        >>> sk.open_evaluation("evaluation").protocols
        ('linear', 'knn')
    """
    return path if isinstance(path, Evaluation) else Evaluation(path)
