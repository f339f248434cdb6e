"""Snakemake: asked what is to do, started, watched and stopped.

It runs as a process of its own, so that any of its arguments can be passed on, and in a process group of its own, so
that one signal reaches it and every stage that it started. A guard ends that group if this process is killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.live import Live

import skelpipe
from skelpipe.errors import BadInput
from skelpipe.outputs.ancestry import DONE
from skelpipe.outputs.files import write_json
from skelpipe.pipeline.lock import AREA, guarded
from skelpipe.pipeline.show import DATA, WHY, Stage, complain, new_console, recipe_folder
from skelpipe.pipeline.watch import Signals, Watch, read_lines
from skelpipe.resources import shipped

# What a changed Snakefile line would set off is left to the stages' version numbers: `code` is not among the triggers.
FIXED = (
    "--rerun-incomplete", "--nolock", "--scheduler", "greedy", "--rerun-triggers", "mtime", "params", "input",
    "--printshellcmds", "--nocolor",
)  # fmt: skip


def survey(data: Path, config: dict[str, Any], arguments: Sequence[str], verbose: bool = False) -> list[Stage]:
    """Ask Snakemake for the state of every stage.

    Raises:
        BadInput: Snakemake does not understand its arguments.
    """
    done = subprocess.run(
        [*_command(data, config, arguments), "--summary"],
        env=_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if verbose:
        sys.stderr.write(done.stderr)
    if done.returncode:
        words = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["it gave no reason"]
        raise BadInput(
            "snakemake",
            words[-1].removeprefix("__main__.py: error: "),
            "check what follows '--' on the command line, or use -v to see it all",
        )
    rows = [line.split("\t") for line in done.stdout.splitlines() if f"{DONE}\t" in line]
    order = {output: number for number, output in enumerate(_outputs(config))}
    rows.sort(key=lambda row: order.get(row[0], len(order)))
    damaged = config.get("damaged", {})
    return [_stage(data, damaged, *(row[i] for i in (2, 0, -2, -1))) for row in rows]


def execute(
    data: Path,
    config: dict[str, Any],
    stages: Sequence[Stage],
    arguments: Sequence[str],
    verbose: bool = False,
    held: int | None = None,
) -> int:
    """Run what is to do; returns 0, 1 if a stage or Snakemake failed, 130 if interrupted.

    Args:
        held: the descriptor of the lock on `data`, which outlives this process until nothing works there any more.
    """
    if not any(stage.to_do for stage in stages) and not arguments:
        return 0
    console = new_console()
    signals = Signals()
    watch = Watch(console, data, sum(stage.to_do for stage in stages), verbose, signals)
    live = Live(
        console=console, get_renderable=watch.at_work, refresh_per_second=2, transient=True,
        redirect_stdout=False, redirect_stderr=False,
    )  # fmt: skip
    with guarded(held) as group, signals.taken(), live if console.is_terminal else nullcontext():
        signals.group = group
        process = subprocess.Popen(
            _command(data, config, arguments, verbose), env=_environment(),
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace", process_group=group,
        )  # fmt: skip
        try:
            signals.send_again()
            assert process.stderr is not None
            for line in read_lines(process.stderr):
                watch.see(line.rstrip("\n"))
        finally:
            if sys.exc_info()[0] is not None:
                signals.send(signal.SIGTERM)
            status = process.wait()
            signals.group = None
    if signals.received:
        complain(f"interrupted ({signals.received[0].name}); the same command goes on from what is done")
        return 130
    if status < 0:
        complain(f"snakemake: was killed by {signal.Signals(-status).name}; the same command goes on from what is done")
    elif status and not watch.failed:
        complain(f"snakemake: {watch.tail()}; check what follows '--' on the command line, or use -v to see it all")
    return 1 if status else 0


def _outputs(config: Mapping[str, Any]) -> list[str]:
    """Every stage's declared output, in the order in which a person thinks of them: data, then recipe by recipe."""
    trained = [folder for kind in ("runs", "evaluations", "fusions") for folder in config[kind]]
    recipes = list(dict.fromkeys(recipe_folder(folder) for folder in trained))
    trained.sort(key=lambda folder: recipes.index(recipe_folder(folder)))
    data = [folder for kind in DATA for folder in config[kind]]
    return [f"{folder}/{DONE}" for folder in [*data, *trained, *config["reports"]]]


def _stage(data: Path, damaged: Mapping[str, str], rule: str, output: str, status: str, planned: str) -> Stage:
    folder = output.removesuffix(f"/{DONE}")
    to_do = planned != "no update"
    why = damaged.get(folder) or WHY.get(status, status)
    if to_do and rule == "pretrain" and (data / folder / "checkpoint.pt").is_file() and status == "missing":
        why = "goes on from its checkpoint"
    return Stage(rule, folder, to_do, why if to_do else "")


def _command(data: Path, config: dict[str, Any], arguments: Sequence[str], verbose: bool = False) -> list[str]:
    """The command line of Snakemake; what the user adds comes last and so wins."""
    plan = data / AREA / f"skelpipe-{config['pipeline']}.json"
    plan.parent.mkdir(parents=True, exist_ok=True)
    write_json(plan, {"command": [sys.executable, "-m", "skelpipe", *(["-v"] if verbose else [])], **config})
    given = {argument.partition("=")[0] for argument in arguments}
    mine = []
    if given.isdisjoint({"-c", "--cores", "-j", "--jobs", "-e", "--executor", "--profile"}):
        mine += ["--cores", "all"]
    if given.isdisjoint({"--resources", "--res"}):
        mine += ["--resources", f"gpu={config['slots']}"]
    base = ["--snakefile", str(shipped("pipelines") / "Snakefile"), "--directory", str(data), "--configfile", str(plan)]
    anew = ["--forcerun", *(f"{folder}/{DONE}" for folder in damaged)] if (damaged := config.get("damaged")) else []
    return [sys.executable, "-m", "snakemake", *base, *mine, *anew, *FIXED, *arguments]


def _environment() -> dict[str, str]:
    """The stages must import this very package, also when it runs from a checkout without being installed."""
    package = Path(skelpipe.__file__).resolve().parent.parent
    if not (package / "pyproject.toml").is_file():
        return dict(os.environ)
    paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
