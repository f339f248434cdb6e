"""The commands. Each parses, calls one function and says what came out; what is slow to import is imported inside."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from skelpipe import __version__
from skelpipe.datasets import DATASETS, SPLITS
from skelpipe.errors import BadInput
from skelpipe.resources import names

Function = TypeVar("Function", bound=Callable[..., Any])

SECTIONS = {
    "Data": ("synth", "ingest", "verify", "prepare", "streams"),
    "Learn": ("pretrain",),
    "Measure": ("evaluate", "embed", "fuse", "report"),
    "Look": ("inspect", "plot"),
    "All at once": ("run",),
}
STREAMS = ("joint", "motion", "bone")
REFUSED = {
    errno.ENOSPC: "free some space", errno.EDQUOT: "free some space",
    errno.EROFS: "choose a path you may write to", errno.EACCES: "choose a path you may use",
}  # fmt: skip


class Commands(click.Group):
    """A group that lists its commands by stage, and that turns what a user did wrong into one line."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.commands))
        for title, members in SECTIONS.items():
            rows = [(name.ljust(width), self.commands[name].get_short_help_str(100)) for name in members]
            with formatter.section(title):
                formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BadInput as error:
            _end(ctx, f"{error}", 2, error)
        except KeyboardInterrupt as error:
            _end(ctx, f"interrupted; {error}" if error.args else "interrupted; nothing half-made is left", 130, error)
        except OSError as error:
            if error.errno not in REFUSED:
                raise
            _end(ctx, f"{error.filename or 'disk'}: {error.strerror}; {REFUSED[error.errno]}", 2, error)


def _end(ctx: click.Context, message: str, status: int, error: BaseException) -> None:
    if ctx.params.get("traceback"):
        raise error
    click.echo("skelpipe: " + " ".join(message.split()), err=True)
    ctx.exit(status)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="skelpipe")
@click.option("-v", "--verbose", count=True, help="Say more; -vv says everything.")
@click.option("--traceback", is_flag=True, help="Show where in the code an error arose.")
@click.pass_context
def main(ctx: click.Context, verbose: int, traceback: bool) -> None:
    """From raw skeleton recordings to the accuracies of self-supervised action recognition.

    \b
    Example:
      skelpipe run demo
    """
    logging.basicConfig(level=max(logging.DEBUG, logging.WARNING - 10 * verbose), format="skelpipe: %(message)s")
    ctx.obj = verbose
    _stop_in_order()


def _stop_in_order() -> None:
    """A SIGTERM, such as batch systems send, ends a stage as Ctrl-C does: scratch is removed, a checkpoint is saved."""
    owner = os.getpid()

    def stop(number: int, frame: object) -> None:
        if os.getpid() != owner:  # a worker process that inherited this
            os._exit(128 + number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)


# Options that several commands share ------------------------------------------------------------------------------


def path_argument(name: str) -> Callable[[Function], Function]:
    return click.argument(name, type=click.Path(path_type=Path))


def out_option(what: str) -> Callable[[Function], Function]:
    return click.option("--out", required=True, type=click.Path(path_type=Path), metavar="PATH", help=what)


force_option = click.option("--force", is_flag=True, help="Replace an older output of ours.")
seed_option = click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of all randomness.")
threads_option = click.option("--threads", type=click.IntRange(1), help="How many threads. [default: all cores]")
workers_option = click.option("--workers", type=click.IntRange(0), help="Processes; 0 is none. [default: all cores]")
device_option = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1.")
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting. Repeatable."
)
dataset_argument = click.argument("dataset", type=click.Choice(list(DATASETS)))


# Data -------------------------------------------------------------------------------------------------------------


@main.command()
@dataset_argument
@path_argument("raw")
@click.option("--actions", type=int, help="How many classes.")
@click.option("--subjects", type=int, help="How many people.")
@click.option("--setups", type=int, help="How many camera set-ups (NTU only).")
@click.option("--replications", type=int, help="How often each person does each action.")
@click.option("--frames", nargs=2, type=int, default=(40, 80), show_default=True, help="Fewest and most per clip.")
@click.option("--zip", "zipped", is_flag=True, help="Write the publisher's archives instead of a folder of files.")
@seed_option
@force_option
def synth(dataset: str, raw: Path, zipped: bool, **options: Any) -> None:
    """Write licence-free raw files in a publisher's format.

    Class-conditional motion of jointed bodies, with the ugly parts of real files, in the folder RAW.

    \b
    Example:
      skelpipe synth ntu60 data/raw/toy --actions 5 --subjects 8
    """
    from skelpipe.datasets.synthetic import write_raw

    with _bar("writing", "files") as progress:
        _summary(raw, write_raw(dataset, raw, zip=zipped, progress=progress, **options))


@main.command()
@dataset_argument
@path_argument("raw")
@path_argument("store")
@workers_option
@click.option("--keep-missing", is_flag=True, help="Keep clips on the official list of missing skeletons.")
@click.option("--strict", is_flag=True, help="Stop at the first file that cannot be read.")
@force_option
def ingest(dataset: str, raw: Path, store: Path, **options: Any) -> None:
    """Read raw recordings into a store that keeps everything.

    RAW is a folder, searched to its depth, or the publisher's .zip files as they were downloaded. What was left out,
    and why, is told at the end and kept in the store.

    \b
    Example:
      skelpipe ingest ntu120 data/raw/ntu120 data/stores/ntu120.zarr
    """
    from skelpipe.ingest import ingest as run_ingest

    with _bar("reading", "files") as progress:
        _summary(store, run_ingest(dataset, raw, store, progress=progress, **options))


@main.command()
@path_argument("store")
@path_argument("raw")
@workers_option
def verify(store: Path, raw: Path, **options: Any) -> None:
    """Compare every value of a store with the raw files.

    \b
    Example:
      skelpipe verify data/stores/ntu120.zarr data/raw/ntu120
    """
    from skelpipe.ingest import verify as run_verify

    with _bar("comparing", "clips") as progress:
        _summary(store, run_verify(store, raw, progress=progress, **options))


@main.command()
@path_argument("store")
@path_argument("clips")
@click.option("--frames", default=50, show_default=True, type=click.IntRange(2), help="T, frames of every clip.")
@click.option("--bodies", default="first", show_default=True, type=click.Choice(["first", "energy", "denoise"]),
              help="Which two bodies: the first seen, those that move most, or denoised tracks.")  # fmt: skip
@click.option(
    "--centre/--no-centre", default=True, show_default=True, help="Put each body's upper spine at the origin."
)
@click.option("--turn/--no-turn", default=True, show_default=True, help="Turn the shoulders to the camera plane.")
@threads_option
@force_option
def prepare(store: Path, clips: Path, **options: Any) -> None:
    """Make clips of fixed length from a store.

    \b
    Example:
      skelpipe prepare data/stores/ntu120.zarr data/stores/ntu120-50.zarr --frames 50
    """
    from skelpipe.prepare import prepare as run_prepare

    with _bar("preparing", "clips") as progress:
        _summary(clips, run_prepare(store, clips, progress=progress, **options))


@main.command()
@path_argument("clips")
@path_argument("out")
@click.option("--stream", "streams", multiple=True, default=STREAMS, show_default=True, type=click.Choice(STREAMS),
              help="Repeatable.")  # fmt: skip
@threads_option
@force_option
def streams(clips: Path, out: Path, **options: Any) -> None:
    """Write unaugmented joint, motion and bone arrays for other programs.

    \b
    Example:
      skelpipe streams data/stores/ntu60-50.zarr data/stores/ntu60-streams.zarr --stream bone
    """
    from skelpipe.streams import write_streams

    with _bar("writing", "clips") as progress:
        _summary(out, write_streams(clips, out, progress=progress, **options))


# Learn ------------------------------------------------------------------------------------------------------------


@main.command(epilog=f"Recipes that ship: {', '.join(names('models'))}.")
@click.argument("recipe")
@path_argument("clips")
@path_argument("run")
@click.option("--split", required=True, type=click.Choice(list(SPLITS)), help="Whose training clips to learn from.")
@click.option("--stream", required=True, type=click.Choice(STREAMS))
@click.option("--epochs", type=click.IntRange(0), help="Instead of the recipe's; 0 leaves the encoder untrained.")
@set_option
@seed_option
@device_option
@click.option("--precision", default="fp32", show_default=True, type=click.Choice(["fp32", "bf16"]))
@click.option("--half-storage", is_flag=True, help="Keep the clips in memory as float16.")
@threads_option
@force_option
def pretrain(
    recipe: str, clips: Path, run: Path, overrides: tuple[str, ...], epochs: int | None, **options: Any
) -> None:
    """Pretrain an encoder without labels.

    RECIPE is the name of a shipped recipe or a YAML file. The same command goes on from the last checkpoint of RUN.

    \b
    Example:
      skelpipe pretrain crosnnclr data/stores/ntu60-50.zarr data/runs/bone --split xsub60 --stream bone
    """
    from skelpipe.pretrain import pretrain as run_pretrain
    from skelpipe.recipe import load_recipe

    checked = load_recipe(recipe, list(overrides), epochs)
    with _training(run) as progress:
        result = run_pretrain(checked, clips, run, progress=progress, **options)
    _summary(run, result)


# Measure ----------------------------------------------------------------------------------------------------------


@main.command()
@path_argument("run")
@path_argument("clips")
@path_argument("out")
@click.option("--protocol", "protocols", multiple=True, default=("linear", "knn"), show_default=True,
              metavar="NAME", help="linear or knn. Repeatable.")  # fmt: skip
@click.option("--probe", default="reference", show_default=True, type=click.Choice(["reference", "paper", "lbfgs"]),
              help="How the linear classifier is trained: SGD at the released code's rate, at the paper's, or L-BFGS.")  # fmt: skip
@click.option("--k", default=1, show_default=True, type=click.IntRange(1), help="Neighbours of knn.")
@click.option("--best-on-test", is_flag=True, help="Also tell the best epoch on the test clips, as papers do.")
@click.option("--split", type=click.Choice(list(SPLITS)), help="Another split than the run's.")
@seed_option
@device_option
@force_option
def evaluate(run: Path, clips: Path, out: Path, protocols: tuple[str, ...], **options: Any) -> None:
    """Measure a frozen encoder on a split's test clips.

    \b
    Example:
      skelpipe evaluate data/runs/bone data/stores/ntu60-50.zarr data/runs/bone-eval --protocol linear
    """
    from skelpipe.evaluate import evaluate as run_evaluate

    with _training(out) as progress:
        metrics = run_evaluate(run, clips, out, protocols=list(protocols), progress=progress, **options)
    _metrics(out, metrics)


@main.command()
@path_argument("run")
@path_argument("clips")
@path_argument("out")
@click.option("--split", type=click.Choice(list(SPLITS)), help="Another split than the run's.")
@device_option
@force_option
def embed(run: Path, clips: Path, out: Path, **options: Any) -> None:
    """Export the features of all clips of a split.

    The suffix of OUT decides: .npz, .h5 or .parquet.

    \b
    Example:
      skelpipe embed data/runs/bone data/stores/ntu60-50.zarr features.parquet
    """
    from skelpipe.evaluate.embed import export

    _summary(out, export(run, clips, out, **options))


def _numbers(ctx: click.Context, option: click.Parameter, text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list of numbers; write for example 0.6,0.6,0.4") from None


@main.command()
@click.argument("parts", nargs=-1, required=True, type=click.Path(path_type=Path))
@out_option("The folder of the fused scores.")
@click.option(
    "--weights", callback=_numbers, metavar="W,W,…", help="One per part. [default: joint and bone 0.6, motion 0.4]"
)
@force_option
def fuse(parts: tuple[Path, ...], out: Path, **options: Any) -> None:
    """Add the scores of several evaluations, clip by clip.

    \b
    Example:
      skelpipe fuse runs/joint/eval runs/bone/eval runs/motion/eval --out runs/fused --weights 0.6,0.6,0.4
    """
    from skelpipe.fuse import fuse as run_fuse

    _metrics(out, run_fuse(parts, out, **options))


@main.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@out_option("The folder of the report.")
@force_option
def report(runs: tuple[Path, ...], out: Path, force: bool) -> None:
    """Write tables and figures as one page.

    RUNS are folders of runs, evaluations and fusions, searched to their depth. The page stands beside the papers'
    figures, and as Markdown and JSON.

    \b
    Example:
      skelpipe report data/runs/ntu60_xsub --out data/runs/ntu60_xsub-report
    """
    from skelpipe.report import write_report

    click.echo(f"{write_report(runs, out, force=force)}")


# Look -------------------------------------------------------------------------------------------------------------


@main.command()
@path_argument("path")
def inspect(path: Path) -> None:
    """Show what a store, clips, run, evaluation or report holds.

    \b
    Example:
      skelpipe inspect data/stores/ntu120.zarr
    """
    from rich.console import Console

    from skelpipe.describe import describe

    Console().print(describe(path))


@main.command()
@path_argument("clips")
@click.argument("name")
@path_argument("out")
@click.option("--stream", default="joint", show_default=True, type=click.Choice(STREAMS))
@force_option
def plot(clips: Path, name: str, out: Path, **options: Any) -> None:
    """Draw a clip as a moving skeleton.

    CLIPS may also be a store. OUT is a .gif, or a .png that shows eight frames side by side.

    \b
    Example:
      skelpipe plot data/stores/ntu60-50.zarr S001C001P001R001A001 wave.gif --stream motion
    """
    from skelpipe.plots import animate

    click.echo(f"{animate(clips, name, out, **options) or out}")


# All at once ------------------------------------------------------------------------------------------------------


@main.command("run", epilog=f"Pipelines that ship: {', '.join(names('pipelines'))}.")
@click.argument("pipeline")
@click.argument("snakemake_args", nargs=-1, type=click.UNPROCESSED, metavar="[-- SNAKEMAKE_ARGS]")
@click.option("-n", "--dry-run", is_flag=True, help="Only show what is done and what is to do.")
@click.option("--data", default="data", show_default=True, type=click.Path(path_type=Path, file_okay=False),
              help="The folder of raw/, stores/ and runs/.")  # fmt: skip
@click.option("--raw", type=click.Path(path_type=Path), help="Where the recordings are. [default: DATA/raw/<data set>]")
@set_option
@click.pass_context
def run_pipeline(ctx: click.Context, pipeline: str, **options: Any) -> None:
    """Run all stages of a benchmark that are not done yet.

    PIPELINE is the name of a shipped pipeline or a YAML file. What follows -- goes to Snakemake as it is.

    \b
    Example:
      skelpipe run demo
      skelpipe run ntu60_xsub --set seeds=[0,1,2] -- --executor slurm --jobs 8
    """
    from skelpipe.pipeline import run

    ctx.exit(run(pipeline, verbose=bool(ctx.obj), **options))


# What a person sees ------------------------------------------------------------------------------------------------


@contextmanager
def _bar(verb: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A function to call with (done, in all): a bar on a terminal, else a line now and then, both on stderr."""
    if not sys.stderr.isatty():
        yield _now_and_then(lambda done, total: f"{verb}: {done} of {total} {unit}")
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Any) -> Text:
            return Text(f"{task.speed:,.0f} {unit}/s" if task.speed else "")

    columns = (TextColumn(verb), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(verb, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def _training(where: Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A function to call with {epoch, epochs, step, steps, loss, clips_per_second}: a live bar, or a line now and then."""
    if not sys.stderr.isatty():
        yield _now_and_then(_training_line)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(where.name, total=None)

        def show(event: Mapping[str, Any]) -> None:
            done, total = _steps(event)
            bar.update(task, description=_training_line(event), completed=done, total=total)

        yield show


def _steps(event: Mapping[str, Any]) -> tuple[int, int | None]:
    steps = event.get("steps") or 1
    epochs = event.get("epochs")
    return max(0, event.get("epoch", 1) - 1) * steps + event.get("step", 0), epochs * steps if epochs else None


def _training_line(event: Mapping[str, Any]) -> str:
    parts = [f"epoch {event['epoch']}/{event['epochs']}"] if "epochs" in event else [str(event.get("stage", ""))]
    if event.get("loss") is not None:
        parts.append(f"loss {event['loss']:.3f}")
    if event.get("clips_per_second"):
        parts.append(f"{event['clips_per_second']:,.0f} clips/s")
    return "  ".join(parts)


def _now_and_then(line: Callable[..., str], seconds: float = 10) -> Callable[..., None]:
    last = time.monotonic()

    def say(*news: Any) -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            click.echo(line(*news), err=True)

    return say


def _summary(out: Path, result: Any) -> None:
    """One line that says what was made; a stage's own `str` of its result, or its fields."""
    from dataclasses import asdict, is_dataclass

    if is_dataclass(result) and not isinstance(result, type):
        facts = ", ".join(f"{_count(value)} {key.replace('_', ' ')}" for key, value in asdict(result).items())
        click.echo(f"{out}: {facts}")
    else:
        click.echo(f"{out}" if result is None or isinstance(result, Path) else f"{out}: {result}")


def _count(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "/".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def _metrics(out: Path, metrics: Mapping[str, Any]) -> None:
    """The accuracies of an evaluation or a fusion in one line, and a line per warning."""
    parts = []
    for protocol, values in metrics["protocols"].items():
        for warning in values.get("warnings", ()):
            click.echo(f"skelpipe: {protocol}: {warning}", err=True)
        parts.append(f"{protocol} top-1 {100 * values['top1']:.1f} %, top-5 {100 * values['top5']:.1f} %")
    click.echo(f"{out}: {'; '.join(parts)}")
