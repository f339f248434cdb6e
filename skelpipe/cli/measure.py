"""Measure: accuracies and features of encoders, and reports of them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from skelpipe.cli.importing import importing
from skelpipe.cli.options import (
    NameOf,
    compile_option,
    device_option,
    epoch_option,
    force_option,
    given,
    numbers,
    offering,
    other_clips_option,
    out_option,
    path_argument,
    seed_option,
    split_option,
    stream_option,
    tell,
    threads_option,
)
from skelpipe.cli.progress import bar, stages


def _protocols() -> Mapping[str, Any]:
    with importing():
        from skelpipe.evaluation.protocols import PROTOCOLS

    return PROTOCOLS


@click.command()
@path_argument("run")
@path_argument("clips")
@path_argument("out")
@click.option("--protocol", "protocols", multiple=True, default=("linear", "knn"), show_default=True,
              type=NameOf(_protocols, "evaluation/protocols.py", "OWN", "protocols"),
              help="How to measure: some leave the encoder frozen, some train copies of it, and 'supervised' is a "
                   "run's own classifier. Repeatable.")  # fmt: skip
@click.option("--probe", default="reference", show_default=True,
              type=click.Choice(["reference", "paper", "lbfgs", "grid", "stated"]),
              help="The linear classifier: SGD at the released code's rate, at the paper's, L-BFGS, SGD at the rate of "
                   "a grid that does best on held-out training clips, or as the options linear.* state.")  # fmt: skip
@click.option("--k", default=1, show_default=True, type=click.IntRange(1), help="Neighbours of knn.")
@click.option("--best-on-test", is_flag=True, help="Also tell the best epoch on the test clips, as papers do.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE",
              help="Change an option of a protocol, such as finetune.epochs=10, semi.fractions=[0.05] or "
                   "linear.balance=weights. Repeatable.")  # fmt: skip
@split_option
@click.option("--classes", metavar="LIST",
              help="Only clips of these classes, and a classifier of them alone: numbers from 1 in the order of the "
                   "classes, such as 1-10,23, or A001 as clips are called; class names; or a file with one on each "
                   "line.")  # fmt: skip
@stream_option
@epoch_option
@seed_option
@device_option
@compile_option
@threads_option
@other_clips_option
@force_option
@click.pass_context
def evaluate(
    ctx: click.Context,
    /,
    run: Path,
    clips: Path,
    out: Path,
    protocols: tuple[str, ...],
    changes: tuple[str, ...],
    **options: Any,
) -> None:
    """Measure an encoder on a split's test clips.

    RUN is not changed, whatever the protocol trains.

    \b
    Example:
      skelpipe evaluate data/runs/bone data/stores/ntu60-50.zarr data/runs/bone-eval --protocol linear
    """
    with importing():
        from skelpipe.evaluation.evaluate import evaluate as run_evaluate
        from skelpipe.inspect.kept import kept_in

    asked = list(protocols) if given(ctx, "protocols") else None  # else the recipe may say it
    options["probe"] = options["probe"] if given(ctx, "probe") else None
    with stages() as progress:
        metrics = run_evaluate(run, clips, out, protocols=asked, options=list(changes), progress=progress, **options)
    if kept := kept_in(out):
        words = f"skelpipe predict {shlex.quote(str(out))} RECORDINGS"
        more = " --protocol " + "|".join(kept) if len(kept) > 1 else ""
        click.echo(f"classes of other recordings: {words}{more}")
    _metrics(out, metrics)  # last, where a pipeline reads them


@click.command()
@path_argument("run")
@path_argument("clips")
@path_argument("out")
@split_option
@stream_option
@epoch_option
@device_option
@other_clips_option
@click.option(
    "--all", "every", is_flag=True, help="Every clip, in the split or not; 'train' then is 1, 0 or -1 (neither)."
)
@force_option
def embed(run: Path, clips: Path, out: Path, **options: Any) -> None:
    """Export the features of all clips of a split.

    The suffix of OUT decides: .npz, .h5 or .parquet. With --all they are those of every clip.

    \b
    Example:
      skelpipe embed data/runs/bone data/stores/ntu60-50.zarr features.parquet
    """
    with importing():
        from skelpipe.evaluation.feature_files import export

    with bar("embedding", "clips") as progress:
        cautions: list[str] = []
        rows, size = export(run, clips, out, progress=progress, tell=cautions.append, **options)
    tell(cautions)
    click.echo(f"{out}: {rows:,} clips, {size} features each")


@click.command()
@click.argument("parts", nargs=-1, required=True, type=click.Path(path_type=Path))
@out_option("The folder of the fused scores.")
@click.option(
    "--weights",
    callback=numbers,
    metavar="W,W,…",
    help="One per part. [default: joint and bone 0.6, motion 0.4; of colourings 1]",
)
@other_clips_option
@force_option
def fuse(parts: tuple[Path, ...], out: Path, **options: Any) -> None:
    """Add the scores of several evaluations, clip by clip.

    \b
    Example:
      skelpipe fuse runs/joint/eval runs/bone/eval runs/motion/eval --out runs/fused --weights 0.6,0.6,0.4
    """
    from skelpipe.evaluation.fuse import fuse as run_fuse

    _metrics(out, run_fuse(parts, out, **options))


def _figures() -> Mapping[str, Any]:
    from skelpipe.report.figures import FIGURES

    return FIGURES


def _exhibits() -> list[str]:
    from skelpipe.paper import exhibits

    return exhibits()


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@out_option("The folder of the report.")
@click.option("--title", help="Stands above the page.")
@click.option("--figure", "figures", multiple=True, type=NameOf(_figures, "report/figures/__init__.py", "FIGURES"),
              help="Draw only these. Repeatable. [default: all]")  # fmt: skip
@click.option(
    "--paper",
    metavar="TABLE",
    **offering(_exhibits),
    help="A table or figure of the CrosNNCLR paper to show first: table5, fig1.",
)
@click.option(
    "--sentences/--no-sentences", default=True, show_default=True, help="Say first what two systems have come to."
)
@click.option("--no-motion", is_flag=True, help="Leave out the clips that the page plays, which show recordings.")
@force_option
def report(runs: tuple[Path, ...], out: Path, figures: tuple[str, ...], no_motion: bool, **options: Any) -> None:
    """Write tables and figures as one page.

    RUNS are folders of runs, evaluations and fusions, searched to their depth. Our accuracies stand beside the papers',
    with what is missing, on one HTML page, and as Markdown, JSON, CSV and LaTeX; each encoder has a model card.

    \b
    Example:
      skelpipe report data/runs/ntu60-50/xsub60 --out data/reports/mine
    """
    from skelpipe.report.write import write_report

    made = write_report(runs, out, figures=figures or None, motion=not no_motion, **options)
    click.echo(f"{made / 'report.html'}")


def _metrics(out: Path, metrics: Mapping[str, Any]) -> None:
    """The figures of an evaluation or a fusion, a line for each protocol, and a line per warning."""
    from skelpipe.evaluation.intervals import too_few

    for protocol, values in metrics["protocols"].items():
        tell(f"{protocol}: {warning}" for warning in values.get("warnings", ()))
        if values.get("tied"):
            decisions = metrics["test_clips"] * len(values.get("draws") or (1,))
            of = f"{values['tied']:,} of {decisions:,} decisions"
            click.echo(f"skelpipe: {protocol}: {of} are ties of the highest score; the lowest class counts", err=True)
    click.echo(f"{out}:")
    for protocol, values in metrics["protocols"].items():
        spread = "" if values.get("std") is None else f" ± {100 * values['std']:.1f}"
        of = values["interval"]
        sure = too_few(of["groups"], of["by"])
        if of["low"] is not None:
            ends = f"{100 * of['low']:.1f}–{100 * of['high']:.1f}"
            sure = f"{100 * of['level']:g} % interval {ends} over {of['groups']:,} {of['by']}s"
        others = f"top-5 {100 * values['top5']:.1f}, balanced {100 * values['balanced']:.1f}"
        figures = f"top-1 {100 * values['top1']:.1f}{spread} % ({sure}), {others}"
        click.echo(f"  {protocol}: {figures}, macro F1 {100 * values['macro_f1']:.1f}")
