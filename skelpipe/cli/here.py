"""Here: what this machine and this shell can do with the program."""

from __future__ import annotations

import os
from pathlib import Path

import click

from skelpipe.cli.options import data_option
from skelpipe.errors import BadInput

SHELLS = ("bash", "zsh", "fish")


@click.command()
@data_option
@click.option("--json", "as_json", is_flag=True, help="All that was found, for a report of what went wrong.")
@click.pass_context
def doctor(ctx: click.Context, data: Path, as_json: bool) -> None:
    """Say what this machine has, and what is missing for what.

    Ends with status 1 if something is broken, that is if a command would fail here.

    \b
    Example:
      skelpipe doctor
      skelpipe doctor --json > report.json
    """
    from skelpipe.doctor.examine import examine
    from skelpipe.doctor.show import show, to_json

    checks = examine(data)
    if as_json:
        click.echo(to_json(checks))
    else:
        show(checks)
    ctx.exit(int(any(check.state == "broken" for check in checks)))


@click.command()
@click.argument("shell", required=False, type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str | None) -> None:
    """Print what makes a shell complete commands, options and names.

    Completed are the names of recipes, pipelines, data sets, splits, layouts, protocols and formats, too. SHELL is the
    one in $SHELL unless it is named.

    \b
    Example:
      skelpipe completion bash >> ~/.bashrc
      skelpipe completion zsh >> ~/.zshrc
      skelpipe completion fish > ~/.config/fish/completions/skelpipe.fish
    """
    from click.shell_completion import get_completion_class

    name = shell or Path(os.environ.get("SHELL", "")).name
    if name not in SHELLS:
        raise BadInput(f"shell {name!r}", "is none that can be completed", f"name one of {', '.join(SHELLS)}")
    made = get_completion_class(name)
    assert made is not None
    click.echo(made(ctx.find_root().command, {}, "skelpipe", "_SKELPIPE_COMPLETE").source())
