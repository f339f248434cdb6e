"""The commands. Each parses, calls one function and says what came out; what is slow to import is imported inside."""

from __future__ import annotations

import errno
import logging
import os
import shlex
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import click

from skelpipe import __version__
from skelpipe.datasets import DATASETS, SPLITS
from skelpipe.errors import BadInput, printable
from skelpipe.resources import names

# Idle OpenMP threads must sleep, not spin: on a core that another process uses, spinning at every small operation
# was seen to slow a probe from 4 s to 69 s. It has to be set before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

Function = TypeVar("Function", bound=Callable[..., Any])

SECTIONS = {
    "Data": ("synth", "ingest", "verify", "prepare", "join", "streams", "import", "export"),
    "Learn": ("pretrain", "import-weights", "export-weights"),
    "Measure": ("evaluate", "embed", "fuse", "report"),
    "Look": ("inspect", "plot", "bench"),
    "All at once": ("run",),
}
STREAMS = ("joint", "motion", "bone")
FIGURES = ("sweeps", "curves", "confusion", "tsne")
FORMATS = ("aimclr-npy", "agcn-npy", "ctrgcn-npz", "pyskl-pkl", "sgn-h5")
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
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "skelpipe"
            what = error.format_message().strip().removesuffix(".")
            _end(ctx, f"{what}; '{command} --help' shows how it is used", 2, error)
        except KeyboardInterrupt as error:
            _end(ctx, f"interrupted; {error}" if error.args else "interrupted; nothing half-made is left", 130, error)
        except OSError as error:
            if error.errno not in REFUSED:
                raise
            _end(ctx, f"{error.filename or 'disk'}: {error.strerror}; {REFUSED[error.errno]}", 2, error)


def _end(ctx: click.Context, message: str, status: int, error: BaseException) -> None:
    if ctx.params.get("traceback"):
        raise error
    click.echo("skelpipe: " + printable(" ".join(message.split())), err=True)
    ctx.exit(status)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="skelpipe")
@click.option("-v", "--verbose", count=True, help="Say what is decided, and why; -vv tells of every file and epoch.")
@click.option("--traceback", is_flag=True, help="Show where in the code an error arose.")
@click.pass_context
def main(ctx: click.Context, verbose: int, traceback: bool) -> None:
    """From raw skeleton recordings to the accuracies of self-supervised action recognition.

    \b
    Example:
      skelpipe run demo
    """
    _speak(verbose)
    ctx.obj = verbose
    _stop_in_order()


def _speak(verbose: int) -> None:
    """Send what our modules log to stderr, from the level on that is asked for; of other libraries only warnings."""
    root, ours = logging.getLogger(), logging.getLogger("skelpipe")
    if not any(isinstance(handler, _Lines) for handler in root.handlers):
        root.addHandler(_Lines())
    # Of several processes that train together, one tells what they do; the others speak of their own trouble only.
    silent = os.environ.get("RANK", "0") not in ("", "0")
    ours.setLevel(logging.WARNING if silent else max(logging.DEBUG, logging.WARNING - 10 * verbose))


class _Lines(logging.Handler):
    """A line for each record, on what stderr is at that time: above a progress bar, while one is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            where = f"{record.name.removeprefix('skelpipe.')}: " if record.levelno <= logging.DEBUG else ""
            sys.stderr.write(printable(f"skelpipe: {where}{record.getMessage()}") + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):  # a closed pipe ends the command where it next writes, as without -v
            pass


def _stop_in_order() -> None:
    """A SIGTERM, such as batch systems send, ends a stage as Ctrl-C does: scratch is removed, a checkpoint is saved."""
    owner = os.getpid()
    hook = sys.unraisablehook if isinstance(sys.unraisablehook, _Again) else _Again(sys.unraisablehook)
    sys.unraisablehook = hook

    def stop(number: int, frame: object) -> None:
        if os.getpid() != owner:  # a worker process that inherited this
            os._exit(128 + number)
        hook.stopping = True
        warnings.simplefilter("ignore")
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop)


class _Again:
    """Sends an interrupt again that came while C code called back, as Numba's loader does, and was swallowed there.

    Attributes:
        stopping: an interrupt is on its way up. What it left half-built, as asyncio's event loops, is not worth a word.
    """

    def __init__(self, before: Callable[[Any], object]) -> None:
        self.before, self.owner, self.stopping = before, os.getpid(), False

    def __call__(self, what: Any) -> None:
        if not issubclass(what.exc_type, KeyboardInterrupt) or os.getpid() != self.owner:
            if not self.stopping:
                self.before(what)
            return
        again = threading.Timer(0.05, os.kill, (self.owner, signal.SIGTERM))
        again.daemon = True
        again.start()


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
split_option = click.option("--split", type=click.Choice(list(SPLITS)), help="Another split than the run's.")
stream_option = click.option("--stream", type=click.Choice(STREAMS), help="Which encoder, where a run holds several.")
epoch_option = click.option("--epoch", type=click.IntRange(0), help="Weights that were kept then. [default: the last]")
part_option = click.option(
    "--part",
    callback=lambda ctx, option, value: value and _part(value),
    metavar="K/N",
    help="Only the K-th of N parts.",
)
dataset_argument = click.argument("dataset", type=click.Choice(list(DATASETS)))


def _part(text: str) -> Any:
    from skelpipe.parts import Part

    return Part.parse(text)


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
        made = write_raw(dataset, raw, zip=zipped, progress=progress, **options)
    click.echo(f"{raw}: {made.clips:,} clips in {made.files:,} files, {_bytes(made.bytes)}")


@main.command()
@dataset_argument
@path_argument("raw")
@path_argument("store")
@workers_option
@click.option("--keep-missing", is_flag=True, help="Keep clips on the official list of missing skeletons.")
@click.option("--strict", is_flag=True, help="Stop at the first file that cannot be read.")
@part_option
@force_option
def ingest(dataset: str, raw: Path, store: Path, **options: Any) -> None:
    """Read raw recordings into a store that keeps everything.

    RAW is a folder, searched to its depth, or the publisher's .zip files as they were downloaded. What was left out,
    and why, is told at the end and kept in the store. With --part, STORE holds a part only; all parts have about as
    much to read, each may be read on another machine, and 'skelpipe join' makes one store of them.

    \b
    Example:
      skelpipe ingest ntu120 data/raw/ntu120 data/stores/ntu120.zarr
      skelpipe ingest ntu120 data/raw/ntu120 data/stores/ntu120-3of8.zarr --part 3/8
    """
    from skelpipe.ingest import ingest as run_ingest

    with _bar("reading", "files") as progress:
        made = run_ingest(dataset, raw, store, progress=progress, **options)
    for fault in made.faults[:10]:
        click.echo(f"skelpipe: left out: {fault.name}: {fault.reason} ({fault.detail})", err=True)
    if made.dropped:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in made.dropped.items())
        click.echo(f"left out: {counts}; 'skelpipe inspect {shlex.quote(str(store))}' tells of each")
    size = f"{_bytes(made.bytes_read)} of text became {_bytes(made.store_bytes)} in {made.seconds:,.1f} s"
    click.echo(f"{store}: {made.clips:,} clips of {made.expected:,} published, {made.rows:,} bodies in frames, {size}")


@main.command()
@path_argument("path")
@click.argument("raw", required=False, type=click.Path(path_type=Path))
@workers_option
def verify(path: Path, raw: Path | None, **options: Any) -> None:
    """Check that outputs are as they were made.

    PATH is any output, or a folder that is searched for outputs to its depth: every file is compared with the sha256
    that was noted when it was made, and stores and clips are read as a whole. With RAW, PATH is a store, and every
    value of it is also compared with those raw files.

    \b
    Example:
      skelpipe verify data
      skelpipe verify data/stores/ntu120.zarr data/raw/ntu120
    """
    from skelpipe.damage import check

    with _bar("checking", "outputs") as tell:
        seen = check(path, tell)
    _damaged(seen.damaged)
    what = "output is" if seen.outputs == 1 else "outputs are"
    click.echo(f"{path}: {seen.outputs:,} {what} as made, {seen.files:,} files, {_bytes(seen.bytes)}")
    if raw is None:
        return
    from skelpipe.ingest import verify as run_verify

    with _bar("comparing", "files") as progress:
        found = run_verify(path, raw, progress=progress, **options)
    click.echo(f"{path}: all {found.clips:,} clips and {found.rows:,} bodies in frames equal the raw files")


def _damaged(found: Sequence[Any], shown: int = 50) -> None:
    """A line for each damaged file, the last as the error that ends the command."""
    for each in found[: shown - 1][: len(found) - 1]:
        click.echo(f"skelpipe: {each.where}: {each.what}; {each.remedy}", err=True)
    if found:
        last, more = found[min(len(found), shown) - 1], len(found) - shown
        raise BadInput(last.where, last.what + (f", and {more:,} more are damaged" if more > 0 else ""), last.remedy)


@main.command()
@path_argument("store")
@path_argument("clips")
@click.option("--frames", default=50, show_default=True, type=click.IntRange(2), help="T, frames of every clip.")
@click.option("--bodies", default="first", show_default=True, type=click.Choice(["first", "energy", "denoise"]),
              help="Which two bodies: the first seen, those that move most, or denoised tracks.")  # fmt: skip
@click.option(
    "--centre/--no-centre", default=True, show_default=True, help="Put each body's upper spine at the origin."
)
@click.option("--longest", default=300, show_default=True, type=click.IntRange(1), help="Only so many frames are used.")
@click.option("--length", default="count", show_default=True, type=click.Choice(["count", "last"]),
              help="Where a clip ends: after as many frames as show somebody, or at the last of them.")  # fmt: skip
@click.option("--turn/--no-turn", default=True, show_default=True, help="Turn the shoulders to the camera plane.")
@part_option
@threads_option
@force_option
def prepare(store: Path, clips: Path, **options: Any) -> None:
    """Make clips of fixed length from a store.

    With --part, CLIPS holds a part only, and 'skelpipe join' makes one of all.

    \b
    Example:
      skelpipe prepare data/stores/ntu120.zarr data/stores/ntu120-50.zarr --frames 50
    """
    from skelpipe.prepare import prepare as run_prepare

    with _bar("preparing", "clips") as progress:
        made = run_prepare(store, clips, progress=progress, **options)
    if made.empty:
        more = ", …" if len(made.empty) > 5 else ""
        names = printable(", ".join(made.empty[:5]))
        click.echo(f"skelpipe: {len(made.empty):,} clips show nobody: {names}{more}", err=True)
    cut = f", {made.shortened:,} were cut to {options['longest']} frames first" if made.shortened else ""
    click.echo(f"{clips}: {made.clips:,} clips of {options['frames']} frames{cut}")


@main.command()
@click.argument("parts", nargs=-1, required=True, type=click.Path(path_type=Path))
@path_argument("whole")
@force_option
def join(parts: tuple[Path, ...], whole: Path, **options: Any) -> None:
    """Make one store, or one clips folder, of its parts.

    PARTS are all that 'ingest --part' or 'prepare --part' made, in any order. The result is, byte for byte, what one
    process would have made without --part.

    \b
    Example:
      skelpipe join data/stores/ntu120-1of2.zarr data/stores/ntu120-2of2.zarr data/stores/ntu120.zarr
    """
    from skelpipe.parts import join as run_join

    with _bar("joining", "rows") as progress:
        made = run_join(parts, whole, progress=progress, **options)
    click.echo(f"{whole}: {made.clips:,} clips of {made.parts:,} parts")


@main.command()
@path_argument("clips")
@path_argument("out")
@click.option("--stream", "streams", multiple=True, default=STREAMS, show_default=True, type=click.Choice(STREAMS),
              help="Repeatable.")  # fmt: skip
@threads_option
@force_option
def streams(clips: Path, out: Path, **options: Any) -> None:
    """Write unaugmented streams for other programs.

    \b
    Example:
      skelpipe streams data/stores/ntu60-50.zarr data/stores/ntu60-streams.zarr --stream bone
    """
    from skelpipe.streams import write_streams

    with _bar("writing", "clips") as progress:
        made = write_streams(clips, out, progress=progress, **options)
    click.echo(f"{out}: {', '.join(made.streams)} of {made.clips:,} clips")


@main.command("import")
@click.argument("format", type=click.Choice(FORMATS))
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@path_argument("clips")
@click.option("--dataset", required=True, type=click.Choice(list(DATASETS)), help="Whose clips they are.")
@click.option("--split", type=click.Choice(list(SPLITS)), help="What ctrgcn-npz or sgn-h5 divides; others have names.")
@click.option("--frames", type=click.IntRange(2), help="T. [default: 50; aimclr-npy keeps its own]")
@click.option("--centre/--no-centre", default=True, show_default=True, help="As 'skelpipe prepare' does.")
@click.option("--turn/--no-turn", default=True, show_default=True, help="As 'skelpipe prepare' does.")
@threads_option
@force_option
def import_arrays(format: str, files: tuple[Path, ...], clips: Path, **options: Any) -> None:
    """Make clips of another project's arrays.

    FILES are every .npy with its label .pkl for aimclr-npy and agcn-npy (which is also ST-GCN's), and one file for the
    others. Clips that carry names serve every split; ctrgcn-npz and sgn-h5 serve only the split that they divide.

    \b
    Example:
      skelpipe import ctrgcn-npz NTU60_CS.npz data/stores/ctr-50.zarr --dataset ntu60 --split xsub60
    """
    from skelpipe.formats import import_arrays as run_import

    with _bar("importing", "clips") as progress:
        made = run_import(format, files, clips, progress=progress, **options)
    if made.empty:
        click.echo(f"skelpipe: {made.empty:,} clips show nobody", err=True)
    only = f", for {made.split} only" if made.split else ""
    click.echo(f"{clips}: {made.clips:,} clips{only}")


@main.command("export")
@click.argument("format", type=click.Choice(FORMATS))
@path_argument("source")
@path_argument("out")
@click.option("--split", required=True, type=click.Choice(list(SPLITS)), help="What to divide.")
@force_option
def export_arrays(format: str, source: Path, out: Path, **options: Any) -> None:
    """Write arrays as another project reads them.

    aimclr-npy is written from clips, as they are. The others are written from a store: each frame's first two bodies,
    neither centred nor resized, since each project goes on in its own way from there. OUT is a folder.

    \b
    Example:
      skelpipe export pyskl-pkl data/stores/ntu60.zarr data/pyskl --split xsub60
    """
    from skelpipe.formats import export_arrays as run_export

    with _bar("exporting", "clips") as progress:
        made = run_export(format, source, out, progress=progress, **options)
    click.echo(f"{out}: {made.train:,} training and {made.test:,} test clips in {', '.join(made.files)}")


# Learn ------------------------------------------------------------------------------------------------------------


@main.command(epilog=f"Recipes that ship: {', '.join(names('models'))}.")
@click.argument("recipe")
@path_argument("clips")
@path_argument("run")
@click.option("--split", required=True, type=click.Choice(list(SPLITS)), help="Whose training clips to learn from.")
@click.option("--stream", required=True, type=click.Choice([*STREAMS, "3s"]), help="3s: all, as CrosSCLR needs them.")
@click.option("--epochs", type=click.IntRange(0), help="Instead of the recipe's; 0 leaves the encoder untrained.")
@set_option
@seed_option
@device_option
@click.option("--gpus", type=click.IntRange(1), help="Train as so many processes, each on a GPU, or on the CPU.")
@click.option("--precision", default="fp32", show_default=True, type=click.Choice(["fp32", "bf16"]))
@click.option("--half-storage", is_flag=True, help="Keep the clips in memory as float16.")
@threads_option
@force_option
def pretrain(
    recipe: str,
    clips: Path,
    run: Path,
    overrides: tuple[str, ...],
    epochs: int | None,
    gpus: int | None,
    **options: Any,
) -> None:
    """Pretrain an encoder without labels.

    RECIPE is the name of a shipped recipe or a YAML file. The same command goes on from the last checkpoint of RUN,
    with as many --gpus as there are now. 'torchrun … -m skelpipe pretrain …' does what --gpus does.

    \b
    Example:
      skelpipe pretrain crosnnclr data/stores/ntu60-50.zarr data/runs/bone --split xsub60 --stream bone
    """
    from skelpipe import ranks
    from skelpipe.pretrain import pretrain as run_pretrain
    from skelpipe.recipe import load_recipe

    checked = load_recipe(recipe, list(overrides), epochs)
    if gpus and ranks.started() not in (1, gpus):
        raise BadInput(f"--gpus {gpus}", f"is given to one of {ranks.started()} ranks", "leave it out with torchrun")
    if gpus and gpus > 1 and ranks.started() == 1:
        sys.exit(ranks.launch([sys.executable, "-m", "skelpipe", *sys.argv[1:]], gpus))
    speaks = ranks.speaks()
    with _training(checked.name) if speaks else nullcontext() as progress:
        result = run_pretrain(checked, clips, run, progress=progress, **options)
    if not speaks:
        return
    for warning in result.warnings:
        click.echo(f"skelpipe: {warning}", err=True)
    loss = f", loss {result.last['loss']:.3f}" if result.last else ""
    click.echo(f"{run}: {result.state}, epoch {result.epoch}/{result.epochs}{loss}")
    if result.state == "stopped":
        raise KeyboardInterrupt("a checkpoint is kept, and the same command goes on from it")


@main.command("import-weights")
@path_argument("file")
@path_argument("run")
@click.option("--stream", required=True, type=click.Choice([*STREAMS, "3s"]), help="3s: all of a CrosSCLR file.")
@click.option("--split", required=True, type=click.Choice(list(SPLITS)), help="Whose training clips it has seen.")
@click.option("--dataset", type=click.Choice(list(DATASETS)), help="[default: that of the clips, or the split's own]")
@click.option("--recipe", default="skeletonclr", show_default=True, help="How it was trained; FILE decides the sizes.")
@click.option("--epoch", default=300, show_default=True, type=click.IntRange(0), help="How many epochs it has seen.")
@click.option("--clips", type=click.Path(path_type=Path), help="To go on training on these.")
@click.option("--epochs", type=click.IntRange(0), help="With --clips: how many in all, instead of the recipe's.")
@click.option("--frames", default=50, show_default=True, type=click.IntRange(2), help="T, without --clips.")
@seed_option
@force_option
def import_weights(file: Path, run: Path, recipe: str, **options: Any) -> None:
    """Make a run of a checkpoint of SkeletonCLR, CrosSCLR, AimCLR or CrosNNCLR.

    FILE is a state dict as their public code saves it. RUN can be evaluated and embedded. With --clips the same
    pretraining goes on in RUN from --epoch, with fresh momentum, since FILE holds no optimiser. Of a CrosSCLR file
    RUN holds one stream, or all with --stream 3s --recipe crossclr.

    \b
    Example:
      skelpipe import-weights aimclr.pt data/runs/aimclr --recipe aimclr --split xsub60 --stream joint
    """
    from skelpipe.recipe import load_recipe
    from skelpipe.weights import import_weights as run_import

    clips, split, stream = options["clips"], options["split"], options["stream"]
    made = run_import(file, run, load_recipe(recipe), **options)
    click.echo(f"{file}: {made.family}; {made.shape}")
    state = "can be evaluated" if made.finished else "to be trained on"
    click.echo(f"{run}: epoch {made.epoch}/{made.epochs}, {state}")
    if not made.finished:
        words = ["skelpipe", "pretrain", f"{run}/recipe.yaml", str(clips), str(run), "--split", split]
        more = ["--seed", str(options["seed"])] if options["seed"] else []
        click.echo(f"go on, with fresh momentum: {shlex.join([*words, '--stream', stream, *more])}")


@main.command("export-weights")
@path_argument("run")
@path_argument("file")
@click.option("--encoder-only", is_flag=True, help="Only the query encoder, as linear evaluation needs it.")
@force_option
def export_weights(run: Path, file: Path, **options: Any) -> None:
    """Write a run as the public code of SkeletonCLR, AimCLR and CrosSCLR saves it.

    \b
    Example:
      skelpipe export-weights data/runs/bone bone.pt
    """
    from skelpipe.weights import export_weights as run_export

    click.echo(f"{file}: {run_export(run, file, **options):,} tensors")


# Measure ----------------------------------------------------------------------------------------------------------


@main.command()
@path_argument("run")
@path_argument("clips")
@path_argument("out")
@click.option("--protocol", "protocols", multiple=True, default=("linear", "knn"), show_default=True,
              metavar="NAME",
              help="linear, knn or retrieval on the frozen encoder; supervised for a run's own classifier; finetune, "
                   "semi or transfer, which train the encoder. Repeatable.")  # fmt: skip
@click.option("--probe", default="reference", show_default=True,
              type=click.Choice(["reference", "paper", "lbfgs", "grid"]),
              help="The linear classifier: SGD at the released code's rate, at the paper's, L-BFGS, or SGD at the rate "
                   "of a grid that does best on held-out training clips.")  # fmt: skip
@click.option("--k", default=1, show_default=True, type=click.IntRange(1), help="Neighbours of knn.")
@click.option("--best-on-test", is_flag=True, help="Also tell the best epoch on the test clips, as papers do.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE",
              help="Change an option of finetune, semi or transfer, such as finetune.epochs=10 or "
                   "semi.fractions=[0.05]. Repeatable.")  # fmt: skip
@split_option
@stream_option
@epoch_option
@seed_option
@device_option
@threads_option
@force_option
def evaluate(
    run: Path, clips: Path, out: Path, protocols: tuple[str, ...], changes: tuple[str, ...], **options: Any
) -> None:
    """Measure an encoder on a split's test clips.

    RUN is not changed, whatever the protocol trains.

    \b
    Example:
      skelpipe evaluate data/runs/bone data/stores/ntu60-50.zarr data/runs/bone-eval --protocol linear
    """
    from skelpipe.evaluate import evaluate as run_evaluate

    with _stages() as progress:
        metrics = run_evaluate(
            run, clips, out, protocols=list(protocols), options=list(changes), progress=progress, **options
        )
    _metrics(out, metrics)


@main.command()
@path_argument("run")
@path_argument("clips")
@path_argument("out")
@split_option
@stream_option
@epoch_option
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

    with _bar("embedding", "clips") as progress:
        rows, size = export(run, clips, out, progress=progress, **options)
    click.echo(f"{out}: {rows:,} clips, {size} features each")


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
@click.option("--title", help="Stands above the page.")
@click.option("--figure", "figures", multiple=True, type=click.Choice(FIGURES),
              help="Draw only these. Repeatable. [default: all]")  # fmt: skip
@force_option
def report(runs: tuple[Path, ...], out: Path, figures: tuple[str, ...], **options: Any) -> None:
    """Write tables and figures as one page.

    RUNS are folders of runs, evaluations and fusions, searched to their depth. Our accuracies stand beside the papers',
    with what is missing, on one HTML page, and as Markdown and JSON.

    \b
    Example:
      skelpipe report data/runs/ntu60-50/xsub60 --out data/reports/mine
    """
    from skelpipe.report import write_report

    click.echo(f"{write_report(runs, out, figures=figures or None, **options) / 'report.html'}")


# Look -------------------------------------------------------------------------------------------------------------


@main.command()
@path_argument("path")
@click.option("--provenance", is_flag=True, help="Follow it back to the raw files, and tell what has changed since.")
@click.option("--json", "as_json", is_flag=True, help="With --provenance: the same as JSON.")
def inspect(path: Path, provenance: bool, as_json: bool) -> None:
    """Show what a store, clips, run, evaluation or report holds.

    With --provenance, PATH may also be a file of 'skelpipe embed', 'plot' or 'export-weights'. Every step is held
    against what lies in its place now, and is known even if it was deleted.

    \b
    Example:
      skelpipe inspect data/stores/ntu120.zarr
      skelpipe inspect --provenance data/reports/mine
    """
    if as_json and not provenance:
        raise click.UsageError("--json goes with --provenance only")
    if provenance:
        import json

        from skelpipe import lineage

        chain = lineage.follow(path)
        click.echo(json.dumps(lineage.as_json(chain), indent=2) if as_json else "\n".join(lineage.tree(chain)))
        return
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

    click.echo(f"{animate(clips, name, out, **options)}")


@main.command()
@click.option("--quick", is_flag=True, help="Less data and smaller batches: about a minute on two cores.")
@click.option("--json", "out", type=click.Path(path_type=Path), metavar="FILE", help="Write the figures there too.")
@threads_option
def bench(quick: bool, out: Path | None, threads: int | None) -> None:
    """Measure every stage on this machine.

    Each stage stands beside a ceiling that is measured in the same run, such as reading the same bytes or multiplying
    matrices, with what takes its time. The data are synthetic, and gone afterwards.

    \b
    Example:
      skelpipe bench --quick
    """
    from rich.console import Console

    from skelpipe.bench import FULL, QUICK, table, write_report
    from skelpipe.bench import bench as run_bench

    with _bar("measuring", "stages") as progress:
        report = run_bench(QUICK if quick else FULL, threads, progress)
    Console(width=None if sys.stdout.isatty() else 160).print(table(report))
    if out is not None:
        write_report(report, out)


# All at once ------------------------------------------------------------------------------------------------------


@main.command("run", epilog=f"Pipelines that ship: {', '.join(names('pipelines'))}.")
@click.argument("pipeline")
@click.argument("snakemake_args", nargs=-1, type=click.UNPROCESSED, metavar="[-- SNAKEMAKE_ARGS]")
@click.option("-n", "--dry-run", is_flag=True, help="Only show what is done and what is to do.")
@click.option("--data", default="data", show_default=True, type=click.Path(path_type=Path, file_okay=False),
              help="The folder of raw/, stores/, runs/ and reports/.")  # fmt: skip
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
    from skelpipe.pipeline import run

    ctx.exit(run(pipeline, verbose=bool(ctx.obj), **options))


# What a person sees ------------------------------------------------------------------------------------------------


@contextmanager
def _bar(verb: str, unit: str) -> Iterator[Callable[..., None]]:
    """A function to call with (done, in all): a bar on a terminal, else a line now and then, both on stderr."""
    if not sys.stderr.isatty():
        yield _now_and_then(lambda done, total, *more: f"{verb}: {done:,} of {total:,} {unit}")
        return
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Any) -> Text:
            return Text(f"{task.speed:,.0f} {unit}/s" if task.speed else "")

    with _live(TextColumn(verb, markup=False), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn()) as bar:
        task = bar.add_task(verb, total=None)
        yield lambda done, total, *more: bar.update(task, completed=done, total=total)


@contextmanager
def _stages() -> Iterator[Callable[[str, int, int], None]]:
    """A function to call with (what, done, in all): a bar for each `what`, or a line now and then."""
    if not sys.stderr.isatty():
        yield _now_and_then(lambda what, done, total: f"{what}: {done:,} of {total:,}")
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

    with _live(TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()) as bar:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what)
            bar.update(tasks[what], completed=done, total=total)

        yield show


@contextmanager
def _training(what: str) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A function to call with {epoch, epochs, step, steps} and now and then {loss, clips_per_second}."""
    latest: dict[str, Any] = {}
    if not sys.stderr.isatty():
        tell = _now_and_then(lambda: _training_line(latest))

        def note(event: Mapping[str, Any]) -> None:
            latest.update(event)
            tell()

        yield note
        return
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with _live(*columns) as bar:
        task = bar.add_task(what, total=None)

        def show(event: Mapping[str, Any]) -> None:
            latest.update(event)
            done, total = _steps(event)
            bar.update(task, description=_training_line(latest), completed=done, total=total)

        yield show


def _live(*columns: Any) -> Any:
    from rich.console import Console
    from rich.progress import Progress

    return Progress(*columns, console=Console(stderr=True), transient=True)


def _steps(event: Mapping[str, Any]) -> tuple[int, int]:
    return (event["epoch"] - 1) * event["steps"] + event["step"], event["epochs"] * event["steps"]


def _training_line(event: Mapping[str, Any]) -> str:
    parts = [f"epoch {event['epoch']}/{event['epochs']}"]
    if event.get("loss") is not None:
        parts.append(f"loss {event['loss']:.3f}, {event['clips_per_second']:,.0f} clips/s")
    return ", ".join(parts)


def _now_and_then(line: Callable[..., str], seconds: float = 10) -> Callable[..., None]:
    last = time.monotonic()

    def say(*news: Any) -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            click.echo(line(*news), err=True)

    return say


def _bytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def _metrics(out: Path, metrics: Mapping[str, Any]) -> None:
    """The accuracies of an evaluation or a fusion in one line, and a line per warning."""
    parts = []
    for protocol, values in metrics["protocols"].items():
        for warning in values.get("warnings", ()):
            click.echo(printable(f"skelpipe: {protocol}: {warning}"), err=True)
        spread = "" if values.get("std") is None else f" ± {100 * values['std']:.1f}"
        parts.append(f"{protocol} top-1 {100 * values['top1']:.1f}{spread} %, top-5 {100 * values['top5']:.1f} %")
    click.echo(f"{out}: {'; '.join(parts)}")
