"""The program `skelpipe`: which commands it has, and how it speaks and ends."""

from __future__ import annotations

import errno
import io
import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from skelpipe import __version__
from skelpipe.cli import all_at_once, data, here, learn, look, measure, predict
from skelpipe.cli.interrupts import stop_in_order
from skelpipe.cli.usage import in_words
from skelpipe.errors import BadInput, printable, shortage

# Idle OpenMP threads must sleep, not spin: on a core that another process uses, spinning at every small operation
# was seen to slow a probe from 4 s to 69 s. It has to be set before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

SECTIONS = {
    "Data": (
        data.synth, data.ingest, data.verify, data.prepare, data.join, data.streams, data.import_arrays,
        data.export_arrays,
    ),
    "Learn": (learn.pretrain, learn.import_weights, learn.export_weights, learn.export_onnx),
    "Measure": (measure.evaluate, measure.embed, measure.fuse, measure.report),
    "Predict": (predict.predict, predict.poses),
    "Look": (look.inspect, look.plot, look.bench),
    "All at once": (all_at_once.run_pipeline,),
    "Here": (here.doctor, here.completion),
}  # fmt: skip
INTERRUPTED = "interrupted; nothing half-made is left"
REFUSED = {
    errno.ENOSPC: "free some space", errno.EDQUOT: "free some space",
    errno.EROFS: "choose a path you may write to", errno.EACCES: "choose a path you may use",
}  # fmt: skip
# What takes less memory, by command; `pretrain` says it itself.
SMALLER = {
    "ingest": "use fewer --workers, or --part 1/4 and so on, and 'skelpipe join'",
    "prepare": "use --part 1/4 and so on, and 'skelpipe join'",
    "evaluate": "evaluate one --protocol at a time, finetune with --set finetune.batch_size=32, or use more memory",
    "embed": "pass --device cpu, or use a machine that has more",
}
NO_CACHE = "cannot cache function"  # Numba, where neither a home nor a temporary folder can be written to


class Commands(click.Group):
    """A group that lists its commands by stage, and that turns what a user did wrong into one line."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.commands))
        for title, members in SECTIONS.items():
            rows = [(f"{command.name:{width}}", command.get_short_help_str(100)) for command in members]
            with formatter.section(title):
                formatter.write_dl(rows)

    def main(self, *words: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """As click's; an interrupt before the command has begun, or after its end, ends as one within it."""
        _show_all()
        run: Callable[[], Any] = partial(super().main, *words, standalone_mode=False, **extra)
        if not standalone_mode:
            return run()
        try:
            sys.exit(run())
        except click.ClickException as error:
            if type(error).__name__ == "NoArgsIsHelpError":
                error.show()
            else:
                click.echo("skelpipe: " + _one_line(in_words(error, self.commands)), err=True)
            sys.exit(error.exit_code)
        except click.Abort:
            click.echo(f"skelpipe: {INTERRUPTED}", err=True)
            sys.exit(130)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BadInput as error:
            _end(ctx, f"{error}", 2, error)
        except click.UsageError as error:
            _end(ctx, in_words(error, self.commands, ctx.invoked_subcommand), 2, error)
        except KeyboardInterrupt as error:
            _end(ctx, f"interrupted; {error}" if error.args else INTERRUPTED, 130, error)
        except (MemoryError, RuntimeError, OSError) as error:
            if (told := _surroundings(error, ctx.invoked_subcommand or "")) is None:
                raise
            _end(ctx, told, 2, error)


def _surroundings(error: Exception, command: str) -> str | None:
    """What an error says of the machine, in a line with a remedy; None where it says nothing of it."""
    if what := shortage(error):
        remedy = SMALLER.get(command, "end other programs, or use a machine that has more")
        return f"{command}: {what}; nothing half-made is left; {remedy}"
    if isinstance(error, OSError) and error.errno in REFUSED:
        return f"{error.filename or 'disk'}: {error.strerror}; {REFUSED[error.errno]}"
    if NO_CACHE in str(error):
        where = "neither beside the installation, nor in a home or temporary folder, can compiled code be kept"
        return f"{command}: {where}; set NUMBA_CACHE_DIR and XDG_CACHE_HOME to folders you may write to"
    return None


def _end(ctx: click.Context, message: str, status: int, error: BaseException) -> None:
    if ctx.params.get("traceback"):
        raise error
    click.echo("skelpipe: " + _one_line(message), err=True)
    ctx.exit(status)


def _one_line(message: str) -> str:
    return printable(" ".join(message.split()))


def _show_all() -> None:
    """Let what the encoding of stdout or stderr has not, as a letter of a path, be written as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


@click.group(
    cls=Commands,
    commands=[command for members in SECTIONS.values() for command in members],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
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
    stop_in_order()


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
