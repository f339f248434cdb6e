"""Predict: what a trained encoder says of recordings that nobody has labelled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from skelpipe.cli.options import POSE_OPTIONS, device_option, epoch_option, force_option, tell, threads_option
from skelpipe.cli.progress import bar
from skelpipe.errors import BadInput

TOLD = 40  # predictions on the terminal, of more
READ = ("layout", "labels", "names", "unit", "up", "image", "fps")  # of POSE_OPTIONS
FRAME_RATE = 30.0  # of Kinect v2, in which NTU RGB+D and PKU-MMD were recorded


def _reading(function: Any) -> Any:
    for name in reversed(READ):
        function = POSE_OPTIONS[name](function)
    return function


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="MODEL… INPUT…", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write all as .csv, .json or .parquet.")
@click.option("--top", default=3, show_default=True, type=click.IntRange(1), help="How many classes are told.")
@click.option("--all-classes", is_flag=True, help="With --out: the probability of every class.")
@click.option("--protocol", metavar="NAME", help="Which classifier, where an evaluation has kept several.")
@click.option("--stream", metavar="NAME", help="Of a run: which network; of a checkpoint: what it was trained on.")
@epoch_option
@click.option("--weights", metavar="W,W,…", help="One a model. [default: joint and bone 0.6, motion 0.4]")
@click.option("--split", metavar="SPLIT", help="Of a store or clips: only the test clips of this split.")
@click.option("--window", type=click.IntRange(2), metavar="FRAMES", help="Cut recordings into windows.")
@click.option("--hop", type=click.IntRange(1), metavar="FRAMES", help="From window to window. [default: half of one]")
@click.option("--each-person", is_flag=True, help="One prediction for each person, by the ids of bodies.")
@_reading
@device_option
@threads_option
@force_option
def predict(
    paths: tuple[Path, ...],
    out: Path | None,
    top: int,
    all_classes: bool,
    protocol: str | None,
    stream: str | None,
    epoch: int | None,
    weights: str | None,
    split: str | None,
    window: int | None,
    hop: int | None,
    each_person: bool,
    device: str,
    threads: int | None,
    force: bool,
    **said: Any,
) -> None:
    """Tell the classes of recordings.

    MODEL is a folder of 'skelpipe evaluate' with a classifier (linear, finetune, supervised), one of 'skelpipe fuse', a
    run with a classifier of its own, an .onnx file, or a checkpoint of a linear evaluation of the reference family;
    several, of several streams, are fused. INPUT is what 'skelpipe ingest' reads (a file, a folder, an archive, a
    YAML), a store, or clips. Recordings are read as those that the model has learnt from were, unless it is said here
    otherwise, and prepared as its clips were; joints of another layout are mapped, which is told.

    \b
    Example:
      skelpipe predict runs/joint/eval recordings/ --out predictions.csv
      skelpipe predict runs/joint/eval runs/bone/eval walk.npy --window 60 --hop 15
    """
    from skelpipe.predict.pieces import Windows
    from skelpipe.predict.predict import Asked
    from skelpipe.predict.predict import predict as run_predict
    from skelpipe.predict.table import check_out

    if hop is not None and window is None:
        raise BadInput(f"--hop {hop}", "goes with --window", "add --window FRAMES, or leave it out")
    if out is not None:
        check_out(out, force)
    models, inputs = _apart(paths)
    predictor = _open(models, protocol, stream, epoch, weights, device, threads)
    windows = None if window is None else Windows(window, hop or max(1, window // 2))
    asked = Asked(windows, each_person, split, {name: value for name, value in said.items() if value is not None})
    found, told = [], dict[str, None]()
    with bar("predicting", "recordings") as progress:
        for some in run_predict(predictor, inputs, asked, progress):
            found += some
            tell(line for line in predictor.told if line not in told)
            told |= predictor.told
    if not found:
        raise BadInput(inputs[0], "holds nobody to tell anything of", "see 'skelpipe inspect' for what is there")
    _say(found, predictor.classes, top)
    if out is not None:
        from skelpipe.predict.table import rows, write_table

        fps = said.get("fps")
        settings = {"protocol": protocol, "stream": stream, "epoch": epoch, "weights": weights, "split": split,
                    "window": window, "hop": hop, "each_person": each_person, **asked.said}  # fmt: skip
        table = rows(found, predictor.classes, top, fps, all_classes)
        named = {f"model {n}": path for n, path in enumerate(models, 1)}
        named |= {f"input {n}": path for n, path in enumerate(inputs, 1)}
        write_table(out, table, named, {k: str(v) if isinstance(v, Path) else v for k, v in settings.items()}, force)
        click.echo(f"{out}: {len(table):,} predictions")


def _apart(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Models, which come first, and inputs."""
    from skelpipe.predict.find import NEEDED, is_model

    count = next((n for n, path in enumerate(paths) if not is_model(path)), len(paths))
    if count == 0:
        what = "is no model" if paths[0].exists() else "does not exist"
        raise BadInput(paths[0], what, NEEDED)
    if count == len(paths):
        raise BadInput("predict", "has a model, and nothing to predict on", "name recordings, a store or clips, too")
    return list(paths[:count]), list(paths[count:])


def _open(
    paths: Iterable[Path],
    protocol: str | None,
    stream: str | None,
    epoch: int | None,
    weights: str | None,
    device: str,
    threads: int | None,
) -> Any:
    """The predictor of some models, which are told."""
    import torch

    from skelpipe.predict.find import find_models
    from skelpipe.predict.predictor import Predictor, describe

    if threads:
        torch.set_num_threads(threads)
    models, own = [], list[float]()
    for path in paths:
        some, fused = find_models(path, protocol, stream, epoch)
        models += some
        own += fused or []
    for model in models:
        tell(f"{model.path}: {caution}" for caution in model.facts.cautions)
    given = [float(w) for w in weights.split(",")] if weights else None
    predictor = Predictor(models, given or (own if len(own) == len(models) else None), device=device, threads=threads)
    for model, weight in zip(predictor.models, predictor.weights, strict=True):
        click.echo(f"{model.path}: {describe(model)}" + (f", weight {weight:g}" if len(models) > 1 else ""), err=True)
    return predictor


def _say(found: Sequence[Any], classes: Sequence[str], top: int) -> None:
    from skelpipe.predict.table import line, summary

    for each in found[:TOLD]:
        click.echo(line(each, classes, top))
    if len(found) > TOLD:
        click.echo(f"… and {len(found) - TOLD:,} more, which --out writes to a file")
    for said in summary(found, classes):
        click.echo(said)
