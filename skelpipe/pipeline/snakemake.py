"""Snakemake: asked what is to do, started, watched and stopped.

It runs as a process of its own, so that any of its arguments can be passed on, and in a process group of its own, so
that one signal reaches it and every stage that it started. A guard ends that group if this process is killed.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

import skelpipe
from skelpipe.errors import BadInput
from skelpipe.outputs.ancestry import DONE
from skelpipe.outputs.files import write_json
from skelpipe.pipeline.board import AROUND, Board
from skelpipe.pipeline.cluster import Cluster, check_earlier
from skelpipe.pipeline.lock import AREA, guarded
from skelpipe.pipeline.show import DATA, LONG, WHY, Stage, complain, is_live, new_console, recipe_folder
from skelpipe.pipeline.site import Site, own_profile
from skelpipe.pipeline.watch import Signals, Watch, read_lines
from skelpipe.resources import shipped

log = logging.getLogger(__name__)
# What a changed Snakefile line would set off is left to the stages' version numbers: `code` is not among the triggers.
FIXED = (
    "--rerun-incomplete", "--nolock", "--scheduler", "greedy", "--rerun-triggers", "mtime", "params", "input",
    "--printshellcmds", "--nocolor",
)  # fmt: skip


def survey(data: Path, config: dict[str, Any], site: Site, verbose: bool = False) -> list[Stage]:
    """Ask Snakemake for the state of every stage.

    Raises:
        BadInput: Snakemake does not understand what is stated to it.
    """
    done = subprocess.run(
        [*_command(data, config, site), "--summary"],
        env=_environment(data), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if verbose:
        sys.stderr.write(done.stderr)
    if done.returncode:
        words = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["it gave no reason"]
        raise BadInput("snakemake", words[-1].removeprefix("__main__.py: error: "), site.remedy())
    rows = [line.split("\t") for line in done.stdout.splitlines() if f"{DONE}\t" in line]
    order = {output: number for number, output in enumerate(_outputs(config))}
    rows.sort(key=lambda row: order.get(row[0], len(order)))
    damaged = config.get("damaged", {})
    return [_stage(data, damaged, *(row[i] for i in (2, 0, -2, -1))) for row in rows]


def execute(
    data: Path,
    config: dict[str, Any],
    stages: Sequence[Stage],
    site: Site,
    verbose: bool = False,
    held: int | None = None,
) -> int:
    """Run what is to do; returns 0, 1 if a stage or Snakemake failed, 130 if interrupted.

    Args:
        held: the descriptor of the lock on `data`, which outlives this process until nothing works there any more.

    Raises:
        BadInput: jobs cannot be submitted here, or those of an earlier run are still at work.
    """
    if not any(stage.to_do for stage in stages) and not site.arguments:
        return 0
    check_earlier(data)
    cluster = Cluster(data, site) if site.remote else None
    more: list[str] = []
    if cluster is not None:
        more, config = cluster.options(), {**config, **cluster.limits()}
        cluster.warn(config["gpus"], stages)
    console, live = new_console(), is_live()
    signals = Signals(cluster is not None)
    watch = Watch(console, data, stages, verbose, signals, cluster, live)
    with guarded(held) as guard, signals.taken(), _table(watch.board, console) if live else nullcontext():
        signals.group = guard.group
        if cluster is not None:
            cluster.told = guard.tell
        process = subprocess.Popen(
            _command(data, config, site, verbose, more), env=_environment(data),
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace", process_group=guard.group,
        )  # fmt: skip
        try:
            signals.send_again()
            assert process.stderr is not None
            for line in read_lines(process.stderr, watch.look):
                watch.see(line.rstrip("\n"))
        finally:
            if sys.exc_info()[0] is not None:
                signals.ask()
            status = process.wait()
            signals.group = None
            jobs = _settle(cluster, bool(signals.received) or status < 0)
            watch.board.stop()
    if live:
        _leave(watch.board, console)
    if signals.received:
        complain(f"interrupted ({signals.received[0].name}){jobs}; the same command goes on from what is done")
        return 130
    if status < 0:
        name = signal.Signals(-status).name
        complain(f"snakemake: was killed by {name}{jobs}; the same command goes on from what is done")
    elif status and not watch.failed:
        complain(f"snakemake: {watch.tail()}; {site.remedy()}")
    elif status:
        complain(watch.what_failed())
    return 1 if status else 0


def _table(board: Board, console: Console) -> Live:
    """The table while it changes; what else is written to the terminal goes above it."""
    return Live(
        board, console=console, refresh_per_second=2, transient=True,
        redirect_stdout=False, redirect_stderr=sys.stderr.isatty(),
    )  # fmt: skip


def _leave(board: Board, console: Console) -> None:
    """Print the table as it ended, whole if it is not long."""
    few = len(board.rows) <= LONG
    for part in board.fitted(console.width, LONG if few else console.height - AROUND):
        console.print(part)


def _settle(cluster: Cluster | None, broken: bool) -> str:
    """Cancel what a run that did not end by itself left in the queue; returns what to say of it."""
    if cluster is None:
        return ""
    if not broken:
        cluster.close()
        return ""
    cluster.cancel()
    return cluster.last_words()


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


def _command(
    data: Path, config: dict[str, Any], site: Site, verbose: bool = False, more: Sequence[str] = ()
) -> list[str]:
    """The command line of Snakemake; what the user adds comes last and so wins."""
    plan = data / AREA / f"skelpipe-{config['pipeline']}.json"
    plan.parent.mkdir(parents=True, exist_ok=True)
    write_json(plan, {"command": [sys.executable, "-m", "skelpipe", *(["-v"] if verbose else [])], **config})
    mine = [*more]
    if not site.states("cores", "jobs", "executor"):
        mine += ["--cores", "all"]
    if not site.remote and not site.states("resources"):
        mine += ["--resources", f"gpu={config['slots']}" if config["gpus"] else f"slot={config['slots']}"]
    if "workflow-profile" not in site.stated:
        own = own_profile()
        mine += ["--workflow-profile", "none" if own is None else str(own)]
    base = ["--snakefile", str(shipped("pipelines") / "Snakefile"), "--directory", str(data), "--configfile", str(plan)]
    anew = ["--forcerun", *(f"{folder}/{DONE}" for folder in damaged)] if (damaged := config.get("damaged")) else []
    return [sys.executable, "-m", "snakemake", *base, *mine, *anew, *FIXED, *site.arguments]


def _environment(data: Path) -> dict[str, str]:
    """The stages must import this very package, also when it runs from a checkout without being installed.

    Snakemake fails where it cannot write a cache: then it gets one in the data folder, which other machines see too.
    """
    found = dict(os.environ)
    package = Path(skelpipe.__file__).resolve().parent.parent
    if (package / "pyproject.toml").is_file():
        found["PYTHONPATH"] = os.pathsep.join([str(package), *filter(None, [os.environ.get("PYTHONPATH")])])
    if not _has_cache():
        found["XDG_CACHE_HOME"] = str(data / AREA / "cache")
    return found


def _has_cache() -> bool:
    """Whether Snakemake can write into its cache."""
    from snakemake.common import get_appdirs

    folder = Path(get_appdirs().user_cache_dir) / "snakemake" / "source-cache"
    probe = folder / f"skelpipe-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(bytes(4096))
        probe.unlink()
    except OSError as error:
        log.info("Snakemake's cache %s cannot be written (%s): one in the data folder is used", folder, error.strerror)
        return False
    return True
