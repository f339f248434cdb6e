"""All at once: pipelines, which run the stages of the other commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from skelpipe.cli.options import data_option, offering, set_option
from skelpipe.resources import names


@click.command("run", epilog=f"Pipelines that ship: {', '.join(names('pipelines'))}.")
@click.argument("pipeline", **offering(lambda: names("pipelines"), files=True))
@click.argument("snakemake_args", nargs=-1, type=click.UNPROCESSED, metavar="[-- SNAKEMAKE_ARGS]")
@click.option("-n", "--dry-run", is_flag=True, help="Only show what is done and what is to do.")
@data_option
@click.option("--raw", type=click.Path(path_type=Path), help="Where the recordings are. [default: DATA/raw/<data set>]")
@set_option
@click.pass_context
def run_pipeline(ctx: click.Context, /, pipeline: str, **options: Any) -> None:
    """Run all stages of a benchmark, a table or a figure that are not done yet.

    PIPELINE is the name of a shipped pipeline or a YAML file. What follows -- goes to Snakemake as it is.

    \b
    Example:
      skelpipe run demo
      skelpipe run table1 -n
      skelpipe run ntu60_xsub --set seeds=[0,1,2] -- --executor slurm --jobs 8
    """
    from skelpipe.pipeline.run import run

    ctx.exit(run(pipeline, verbose=bool(ctx.obj), **options))
