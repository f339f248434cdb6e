"""Mistakes in how the program is called, told in one line: what is wrong, and what was meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

import click

from skelpipe.errors import nearest

NO_COMMAND = re.compile(r"No such command '(.*?)'")
NOT_ONE_OF = re.compile(r"'([^']*)' is not one of ")
KINDS = {"a valid integer range": "a whole number", "a valid integer": "a whole number", "a valid float": "a number"}


def in_words(error: click.ClickException, commands: Iterable[str], invoked: str | None = None) -> str:
    """What is wrong, and then what was meant, or where it is told.

    Args:
        commands: the names of all that there are.
        invoked: the command that was called, if it came so far.
    """
    what = error.format_message().strip()
    if not isinstance(error, click.UsageError):
        return what
    path = error.ctx.command_path if error.ctx else " ".join(filter(None, ("skelpipe", invoked)))
    meant, remedy = None, f"'{path} --help' shows how it is used"
    if isinstance(error, click.NoSuchOption):
        what = f"No such option '{error.option_name}'"
        params = error.ctx.command.params if error.ctx else []
        known = [option for param in params for option in (*param.opts, *param.secondary_opts)]
        meant = _nearest_option(error.option_name, known)
    elif unknown := NO_COMMAND.match(what):
        what = unknown[0]
        meant = nearest(unknown[1], commands)
    elif isinstance(error, click.BadParameter):
        what, meant = _of_value(error)
    what = what.removesuffix(".")
    return f"{what}; {remedy}" if meant is None else f"{what}; did you mean '{meant}'?"


def _nearest_option(name: str, known: Iterable[str]) -> str | None:
    """The option most like `name`; their dashes alone make none alike."""
    bare = {option.lstrip("-"): option for option in known}
    found = difflib.get_close_matches(name.lstrip("-"), bare, n=1, cutoff=0.6)
    return bare[found[0]] if found else None


def _of_value(error: click.BadParameter) -> tuple[str, str | None]:
    """A wrong value: where it stands and what belongs there, and the choice that is nearest to it."""
    param, what = error.param, error.format_message().strip()
    if isinstance(error, click.MissingParameter) or param is None:
        return what, None
    for theirs, ours in KINDS.items():
        what = what.replace(f"is not {theirs}", f"is not {ours}")
    if isinstance(param, click.Argument) and error.ctx is not None:  # click calls one of a few by all of them
        what = what.replace(f"'{param.make_metavar(error.ctx)}'", f"'{str(param.name).upper()}'", 1)
    wrong = NOT_ONE_OF.search(what)
    known = getattr(param.type, "choices", None)
    return what, nearest(wrong[1], [str(each) for each in known]) if wrong and known else None
