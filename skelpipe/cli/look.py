"""Look: what outputs hold, clips that move, and how fast this machine is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from skelpipe.cli.options import STREAMS, force_option, offering, path_argument, threads_option
from skelpipe.cli.progress import bar
from skelpipe.errors import BadInput
from skelpipe.paper.systems import recipes


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH…", type=click.Path(path_type=Path))
@click.option("--provenance", is_flag=True, help="Follow it back to the raw files, and tell what has changed since.")
@click.option("--json", "as_json", is_flag=True, help="With --provenance: the same as JSON.")
def inspect(paths: tuple[Path, ...], provenance: bool, as_json: bool) -> None:
    """Show what a store, clips, run, evaluation or report holds, or files of other projects.

    Of files that 'skelpipe import' reads it shows the format, names, labels, data set, split and conventions, and the
    command that imports them; PATH… are then those of one import together. Of pose files, one or a folder of them, it
    shows the format, frames, bodies and joints, the layouts that these may be of, and the command that ingests them.
    With --provenance, PATH may also be a file of 'skelpipe embed', 'plot' or 'export-weights'. Every step is held
    against what lies in its place now, and is known even if it was deleted.

    \b
    Example:
      skelpipe inspect data/stores/ntu120.zarr
      skelpipe inspect train_data_joint.npy train_label.pkl
      skelpipe inspect recordings/
      skelpipe inspect --provenance data/reports/mine
    """
    if as_json and not provenance:
        raise click.UsageError("--json goes with --provenance only")
    path, *more = paths
    if provenance:
        import json

        from skelpipe.inspect import lineage

        if more:
            raise click.UsageError("--provenance goes with one PATH only")
        chain = lineage.follow(path)
        click.echo(json.dumps(lineage.as_json(chain), indent=2) if as_json else "\n".join(lineage.tree(chain)))
        return
    from rich.console import Console

    from skelpipe.inspect.describe import describe, is_ours, tables

    if not more and path.is_file() and _is_checkpoint(path):
        from skelpipe.exchange.weights.look import look_at_weights

        facts, command = look_at_weights(path)
        found = [("weights", facts)]
    elif not more and path.is_file() and path.suffix.lower() == ".onnx":
        from skelpipe.exchange.onnx.look import look_at_onnx

        found, command = [("model", look_at_onnx(path))], ""
    elif more or path.is_file() or (path.is_dir() and not is_ours(path)):
        found, command = _look(paths)
    else:
        Console().print(describe(path))
        return
    Console().print(tables(found))
    if command:
        click.echo(command)


def _look(paths: tuple[Path, ...]) -> tuple[Any, str]:
    """What files or a folder of other projects hold, as tables, and the command that reads them."""
    from skelpipe.exchange.arrays.look import look, look_at_folder

    try:
        seen = look_at_folder(paths[0]) if paths[0].is_dir() and len(paths) == 1 else look(paths)
        return seen.tables, seen.command
    except BadInput:
        from skelpipe.recordings.poses.look import look_at_poses

        try:
            poses = look_at_poses(paths[0]) if len(paths) == 1 else None
        except BadInput:
            poses = None
        if poses is None:
            raise
        return [("poses", poses[0])], poses[1]


def _is_checkpoint(path: Path) -> bool:
    from skelpipe.exchange.arrays.foreign import what_is

    return path.name.lower().endswith((".pt", ".pth", ".ckpt", ".pth.tar", ".safetensors")) or (
        what_is(path) == "a PyTorch checkpoint"
    )


@click.command()
@path_argument("clips")
@click.argument("name")
@path_argument("out")
@click.option("--stream", default="joint", show_default=True, type=click.Choice(STREAMS), help="What is drawn of it.")
@force_option
def plot(clips: Path, name: str, out: Path, **options: Any) -> None:
    """Draw a clip as a moving skeleton.

    CLIPS may also be a store. OUT is a .gif, or a .png that shows eight frames side by side.

    \b
    Example:
      skelpipe plot data/stores/ntu60-50.zarr S001C001P001R001A001 wave.gif --stream motion
    """
    from skelpipe.plots.animate import animate

    click.echo(f"{animate(clips, name, out, **options)}")


@click.command()
@click.option("--quick", is_flag=True, help="Less data and smaller batches: about a minute on two cores.")
@click.option("--json", "out", type=click.Path(path_type=Path), metavar="FILE", help="Write the figures there too.")
@click.option("--recipe", "recipes", multiple=True, metavar="NAME", help="Only its training step; may be repeated.",
              **offering(recipes))  # fmt: skip
@threads_option
def bench(quick: bool, out: Path | None, recipes: tuple[str, ...], threads: int | None) -> None:
    """Measure every stage on this machine.

    Each stage stands beside a ceiling that is measured in the same run, such as reading the same bytes or multiplying
    matrices, with what takes its time. The data are synthetic, and gone afterwards.

    \b
    Example:
      skelpipe bench --quick
      skelpipe bench --recipe as_cal --recipe isc
    """
    from rich.console import Console

    from skelpipe.bench.stages import bench as run_bench
    from skelpipe.bench.table import FULL, QUICK, table, write_report

    with bar("measuring", "stages") as progress:
        report = run_bench(QUICK if quick else FULL, threads, progress, recipes)
    Console(width=None if sys.stdout.isatty() else 160).print(table(report))
    if out is not None:
        write_report(report, out)
