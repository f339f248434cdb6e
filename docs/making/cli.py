"""The reference of the command line, from what the commands say of themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from making.reading import bash, clean, listed, page, table
from skelpipe.cli.program import SECTIONS, main

# Commands whose examples no test runs, and why.
READ = {
    "bench": "it takes minutes",
    "run": "it takes minutes; CI runs the demo",
    "poses": "it needs a video and the extra",
    "export-onnx": "it needs the extra",
}


def commands() -> Iterator[tuple[str, click.Command]]:
    """(section, command), in the order of the help page."""
    for title, members in SECTIONS.items():
        for command in members:
            yield title, command


def examples(command: click.Command) -> list[str]:
    """The lines below `Example:` in a command's help."""
    block = (command.help or "").partition("Example:\n")[2]
    return [line.strip() for line in block.splitlines() if line.strip().startswith("skelpipe")]


def command_pages() -> dict[str, str]:
    """A page for every command."""
    made = {}
    for section, command in commands():
        context = click.Context(command, info_name=f"skelpipe {command.name}", parent=None)
        usage = " ".join(command.collect_usage_pieces(context))
        made[f"cli/{command.name}.md"] = page(
            f"skelpipe {command.name}",
            f"*{section}.*",
            f"```text\nskelpipe {command.name} {usage}\n```",
            _prose(command.help or ""),
            "## Example",
            bash(*examples(command), mark=f"test: read: {READ[command.name]}" if command.name in READ else ""),
            "## Options",
            _options(command, context),
            clean(" ".join((command.epilog or "").split())),
        )
    return made


def _prose(text: str) -> str:
    made = []
    for block in re.split(r"\n\s*\n", text.partition("\b")[0].partition("Example:")[0]):
        words = " ".join(block.split())
        if words:
            made.append(clean(words))
    return "\n\n".join(made)


def _options(command: click.Command, context: click.Context) -> str:
    rows = []
    for parameter in command.params:
        if not isinstance(parameter, click.Option) or parameter.hidden:
            continue
        opts = [" / ".join(pair) for pair in zip(parameter.opts, parameter.secondary_opts, strict=False)]
        names = ", ".join(f"`{name}`" for name in opts or parameter.opts)
        metavar = "" if parameter.is_flag or parameter.count else _value(parameter, context)
        if len(metavar) > 40:  # a list of all splits or protocols
            metavar = _choices(parameter, metavar)
        rows.append([names, f"`{metavar}`" if metavar else "", _default(parameter), clean(parameter.help or "")])
    rows.append(["`-h`, `--help`", "", "", "Show the help and end."])
    return listed(rows, ["option", "value", "default", "what it does"])


def _value(parameter: click.Option, context: click.Context) -> str:
    """What stands behind an option: its own word for it, or which numbers it may be."""
    kind = parameter.type
    if parameter.metavar is None and isinstance(kind, click.IntRange | click.FloatRange):
        low = "" if kind.min is None else f" from {kind.min}"
        return f"NUMBER{low}" + ("" if kind.max is None else f" to {kind.max}")
    if parameter.metavar is None and parameter.nargs == 1 and kind in (click.INT, click.FLOAT):
        return "NUMBER"
    return parameter.make_metavar(context)


def _choices(parameter: click.Option, metavar: str) -> str:
    return metavar.replace("|", " | ")


def _default(parameter: click.Option) -> str:
    if parameter.required:
        return "*needed*"
    if parameter.is_flag or parameter.multiple or parameter.default is None or callable(parameter.default):
        return ""
    if isinstance(parameter.default, str | int | float | bool):
        return f"`{parameter.default}`"
    if isinstance(parameter.default, list | tuple):
        return f"`{' '.join(map(str, parameter.default))}`" if parameter.default else ""
    return ""


def index() -> dict[str, str]:
    """The page of all commands."""
    parts = []
    for title, members in SECTIONS.items():
        rows = [
            [f"[`{command.name}`]({command.name}.md)", clean(command.get_short_help_str(100))] for command in members
        ]
        parts += [f"## {title}", table(["command", "what it does"], rows)]
    general = [
        [", ".join(f"`{name}`" for name in option.opts), clean(option.help or "")]
        for option in main.params if isinstance(option, click.Option)
    ]  # fmt: skip
    return {
        "cli/index.md": page(
            "Command line",
            "`skelpipe COMMAND --help` prints what stands here. A mistake is one line with a remedy, and exit"
            " status 2.",
            *parts,
            "## Before the command",
            table(["option", "what it does"], general),
        )
    }
