"""Predict: what a trained encoder says of recordings that nobody has labelled, and the poses of people in videos."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from skelpipe.cli.importing import importing
from skelpipe.cli.options import (
    POSE_OPTIONS,
    device_option,
    epoch_option,
    force_option,
    numbers,
    path_argument,
    tell,
    threads_option,
)
from skelpipe.cli.progress import bar
from skelpipe.errors import BadInput, printable

TOLD = 40  # predictions on the terminal, of more
READ = ("layout", "labels", "names", "unit", "up", "image", "fps")  # of POSE_OPTIONS
USUAL_WINDOW = 60  # frames, of a model whose clips keep their own lengths


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
@click.option("--weights", callback=numbers, metavar="W,W,…",
              help="One a model. [default: joint and bone 0.6, motion 0.4]")  # fmt: skip
@click.option("--split", metavar="SPLIT", help="Only the test clips of this split.")
@click.option("--window", type=click.IntRange(2), metavar="FRAMES", help="Cut recordings into windows.")
@click.option("--hop", type=click.IntRange(1), metavar="FRAMES", help="From window to window. [default: half of one]")
@click.option("--timeline", type=click.Path(path_type=Path), metavar="PNG|FOLDER",
              help="With --window: draw what was found over time, in a folder a picture a recording.")  # fmt: skip
@click.option("--calibrated", is_flag=True, help="Probabilities by a temperature that held-out people have given.")
@click.option("--reject", type=click.FloatRange(0, 1), metavar="SHARE",
              help="Say 'none of these' where it is farther off than all but this share of known clips.")  # fmt: skip
@click.option("--each-person", is_flag=True, help="One prediction for each person, by the ids of bodies.")
@click.option("--people", default=2, show_default=True, type=click.IntRange(1, 16), help="Of a video: most at a time.")
@click.option("--follow", is_flag=True, help="Wait for what is still written to INPUT, and speak as it comes.")
@click.option("--patience", type=click.FloatRange(0, min_open=True), metavar="SECONDS",
              help="With --follow: end where nothing new comes for so long.")  # fmt: skip
@_reading
@device_option
@threads_option
@force_option
def predict(paths: tuple[Path, ...], **options: Any) -> None:
    """Tell the classes of recordings.

    MODEL is a folder of 'skelpipe evaluate' with a classifier (linear, finetune, supervised), one of 'skelpipe fuse', a
    run with a classifier of its own, an .onnx file, or a checkpoint of a linear evaluation of the reference family;
    several, of several streams, are fused. INPUT is what 'skelpipe ingest' reads (a file, a folder, an archive, a
    YAML), a store, clips, or a video, which needs the extra skelpipe[video]. Recordings are read as those that the
    model has learnt from were, unless it is said here otherwise, and prepared as its clips were; joints of another
    layout are mapped, which is told.

    With --follow INPUT is a file or a folder that grows, a named pipe, or - for what is piped in: lines of numbers,
    JSON with a frame a line, .skeleton text, a CSV, or a JSON file a frame. Ctrl-C ends it, and what was found is kept.

    \b
    Example:
      skelpipe predict runs/joint/eval recordings/ --out predictions.csv
      skelpipe predict runs/fused long.npy --window 60 --hop 15 --timeline long.png
      skelpipe predict actclr_linear.pt nturgb+d_skeletons/
      skelpipe predict runs/gym/eval - --follow --layout coco17 --window 50 --hop 5
    """
    _check(options, paths)
    models, inputs = _apart(paths)
    predictor = _open(models, options)
    asked = _asked(options, predictor.models[0])
    damage: list[BadInput] = []
    found = _live(predictor, inputs, asked, options, damage) if asked.follow else _all(predictor, inputs, asked)
    if not found and damage:
        raise damage[0]
    if not found:
        raise BadInput(inputs[0], "holds nothing to predict", "see 'skelpipe inspect' for what is there")
    if all(each.probability is None for each in found):
        raise BadInput(inputs[0], "shows nobody", "see 'skelpipe inspect', or 'skelpipe plot', for what is there")
    _say(found, predictor.classes, options, told=asked.follow)
    _write(found, predictor.classes, models, inputs, options)
    if damage:
        raise damage[0]


def _check(options: Mapping[str, Any], paths: Sequence[Path]) -> None:
    """Refuse what cannot be done before anything is read."""
    with importing():
        from skelpipe.predict.table import check_out

    windowed = options["window"] is not None or options["follow"]
    if options["hop"] is not None and not windowed:
        raise BadInput(f"--hop {options['hop']}", "goes with --window", "add --window FRAMES, or leave it out")
    if options["hop"] is not None and options["hop"] > (options["window"] or options["hop"]):
        tell([f"--hop {options['hop']} is longer than a window: the frames between are not looked at"])
    if options["patience"] is not None and not options["follow"]:
        raise BadInput(f"--patience {options['patience']:g}", "goes with --follow", "add it, or leave this out")
    if options["all_classes"] and options["out"] is None:
        raise BadInput("--all-classes", "goes with --out", "add --out FILE, or leave it out")
    if options["out"] is not None:
        if any(path.exists() and options["out"].exists() and path.samefile(options["out"]) for path in paths):
            raise BadInput(options["out"], "is what is to be predicted", "choose another path")
        check_out(options["out"], options["force"])
    if options["timeline"] is not None:
        from skelpipe.predict.timeline import check_timeline

        check_timeline(options["timeline"], windowed, options["force"])


def _asked(options: Mapping[str, Any], model: Any) -> Any:
    """How inputs are looked at; what is followed, in windows as long as the model's clips, if nothing is said."""
    from skelpipe.predict.inputs import Asked
    from skelpipe.predict.pieces import Windows

    window, frames = options["window"], model.facts.prepared["frames"]
    if window is None and options["follow"]:
        window = frames if isinstance(frames, int) else USUAL_WINDOW
    windows = None if window is None else Windows(window, options["hop"] or max(1, window // 2))
    said = {name: options[name] for name in READ if options[name] is not None}
    looked = {name: options[name] for name in ("each_person", "split", "follow", "patience", "people")}
    return Asked(windows=windows, said=said, **looked)


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


def _open(paths: Sequence[Path], options: Mapping[str, Any]) -> Any:
    """The predictor of some models, which are told."""
    with importing():
        import torch

        from skelpipe.predict.find import find_models
        from skelpipe.predict.predictor import Predictor, describe

    if options["threads"]:
        torch.set_num_threads(options["threads"])
    models, own = [], list[float]()
    for path in paths:
        some, fused = find_models(path, *(options[name] for name in ("protocol", "stream", "epoch", "threads")))
        models += some
        own += fused or []
    weights = options["weights"] or (own if len(own) == len(models) else None)
    more = {name: options[name] for name in ("device", "threads", "calibrated", "reject")}
    predictor = Predictor(models, weights, **more)
    for model, weight in zip(predictor.models, predictor.weights, strict=True):
        tell(f"{model.path}: {caution}" for caution in model.facts.cautions)
        share = f", weight {weight:g}" if len(models) > 1 else ""
        click.echo(printable(f"{model.path}: {describe(model)}{share}"), err=True)
    return predictor


def _all(predictor: Any, inputs: Sequence[Path], asked: Any) -> list[Any]:
    from skelpipe.predict.predict import predict as run_predict

    found, told = list[Any](), dict[str, None]()
    with bar("predicting", "recordings") as progress:
        for some in run_predict(predictor, inputs, asked, progress):
            found += some
            _tell_new(predictor, told)
    _tell_new(predictor, told)
    return found


def _live(
    predictor: Any, inputs: Sequence[Path], asked: Any, options: Mapping[str, Any], damage: list[BadInput]
) -> list[Any]:
    """Predictions of what is followed, each told as soon as it is made; an interrupt ends it, and so does `damage`."""
    from skelpipe.predict.predict import predict as run_predict
    from skelpipe.predict.table import line

    found, told = list[Any](), dict[str, None]()
    try:
        for some in run_predict(predictor, inputs, asked):
            _tell_new(predictor, told)
            for each in some:
                click.echo(printable(line(each, predictor.classes, options["top"])))
            found += some
    except KeyboardInterrupt:
        if not found:
            raise
        click.echo("skelpipe: ended; what was found is kept", err=True)
    except BadInput as error:
        damage.append(error)
    _tell_new(predictor, told)
    return found


def _tell_new(predictor: Any, told: dict[str, None]) -> None:
    tell(said for said in predictor.told if said not in told)
    told |= predictor.told


def _say(found: Sequence[Any], classes: Sequence[str], options: Mapping[str, Any], told: bool) -> None:
    """Some of the predictions, unless they were told, and how many there are in all."""
    from skelpipe.predict.table import line, summary

    for each in [] if told else found[:TOLD]:
        click.echo(printable(line(each, classes, options["top"])))
    if len(found) > TOLD and not told:
        click.echo(f"… and {len(found) - TOLD:,} more, which --out writes to a file")
    for said in summary(found, classes, chosen=options["split"] is not None):
        click.echo(said)


def _write(
    found: Sequence[Any],
    classes: Sequence[str],
    models: Sequence[Path],
    inputs: Sequence[Path],
    options: Mapping[str, Any],
) -> None:
    """The table and the timelines that are asked for."""
    from skelpipe.predict.table import rows, write_table

    settings = {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}
    named = {f"model {n}": path for n, path in enumerate(models, 1)}
    named |= {f"input {n}": path for n, path in enumerate(inputs, 1)}
    if options["out"] is not None:
        table = rows(found, classes, options["top"], options["all_classes"])
        write_table(options["out"], table, named, settings, options["force"])
        click.echo(f"{options['out']}: {len(table):,} predictions")
    if options["timeline"] is not None:
        from skelpipe.predict.timeline import draw_timelines

        made = draw_timelines(options["timeline"], found, classes, named, settings, options["force"])
        click.echo(f"{made[0]}" if len(made) == 1 else f"{options['timeline']}: {len(made):,} timelines")


@click.command()
@path_argument("video")
@path_argument("out")
@click.option("--people", default=2, show_default=True, type=click.IntRange(1, 16), help="The most at a time.")
@click.option("--points", default="world", show_default=True, type=click.Choice(["world", "image"]),
              help="Metres in space, in layout mediapipe33; or pixels in the picture, in coco17.")  # fmt: skip
@click.option("--every", default=1, show_default=True, type=click.IntRange(1), help="Look at every N-th frame only.")
@force_option
def poses(video: Path, out: Path, **options: Any) -> None:
    """Find the poses of the people in a video.

    They are MediaPipe's, which comes with the extra skelpipe[video] and its model. The suffix of OUT decides: .npz or
    .json, both of which 'skelpipe ingest poses' reads, with people, confidences and frames per second. MediaPipe knows
    of one person, and so each is followed on its own; who leaves, or is not found for a second, comes back as another.
    In space each body's own hips are the origin: where people stand is not told.

    \b
    Example:
      skelpipe poses gym.mp4 gym.npz
      skelpipe poses gym.mp4 gym.json --people 1 --points image
    """
    from skelpipe.predict.poses import write_poses

    with bar("looking", "frames") as progress:
        made = write_poses(video, out, progress=progress, **options)
    if made.short is not None:
        tell([f"{video}: ends after {made.frames:,} frames, of {made.short:,} that it announces: it may be damaged"])
    who = "1 person" if made.people == 1 else f"{made.people:,} people"
    speed = f"{made.frames / max(made.seconds, 1e-9):,.0f} frames/s"
    click.echo(f"{out}: {who} in {made.seen:,} of {made.frames:,} frames, {made.rows:,} bodies in frames, {speed}")
    click.echo(f"read by: skelpipe ingest poses {shlex.quote(str(out))} STORE --layout {made.layout}")
