"""Options and arguments that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from skelpipe.errors import printable
from skelpipe.layouts import LAYOUTS
from skelpipe.recordings.datasets import DATASETS, SPLITS, check_split
from skelpipe.resources import listed

Function = TypeVar("Function", bound=Callable[..., Any])

STREAMS = ("joint", "motion", "bone")
POSES, YAML = "poses", (".yaml", ".yml")  # recordings of one's own, and the files that describe them


def begun_by(incomplete: str, known: Iterable[str], files: bool = False) -> list[CompletionItem]:
    """What a shell offers after `incomplete`: names that begin so, or paths if none do and they are taken."""
    found = [CompletionItem(name) for name in known if name.startswith(incomplete)]
    return found or ([CompletionItem(incomplete, type="file")] if files else [])


def offering(known: Callable[[], Iterable[str]], files: bool = False) -> dict[str, Any]:
    """What makes an option or argument, of no fixed names, offer these; `files`: or paths."""
    return {"shell_complete": lambda ctx, param, incomplete: begun_by(incomplete, known(), files)}


class NameOf(click.Choice):  # type: ignore[type-arg]
    """One of the names in a dict that is slow to import, which `entries` therefore does only when they are needed.

    Args:
        where: the file and name of the dict and, if it is one, its registry, as `resources.listed` takes them.
    """

    def __init__(self, entries: Callable[[], Mapping[str, Any]], *where: str) -> None:
        self.entries, self.where, self.case_sensitive = entries, where, True

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return begun_by(incomplete, listed(*self.where))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if ctx is not None and ctx.resilient_parsing:  # while a shell asks, where nothing slow may be imported
            return value
        return super().convert(value, param, ctx)

    def __getattr__(self, name: str) -> Any:
        if name != "choices":
            raise AttributeError(name)
        return tuple(self.entries())


class SplitName(click.Choice):  # type: ignore[type-arg]
    """A benchmark's split, one that a data set of one's own names, a rule such as subject:1-20, or a list in a file."""

    def __init__(self) -> None:
        super().__init__([*SPLITS])

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return f"[{'|'.join(self.choices)}|COLUMN:TRAIN[/TEST]|FILE]"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return begun_by(incomplete, self.choices, files=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return check_split(str(value))


class Recordings(click.Choice):  # type: ignore[type-arg]
    """A data set's name, "poses", or the YAML of a data set of one's own."""

    def __init__(self) -> None:
        super().__init__([*DATASETS, POSES])

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return f"[{'|'.join(self.choices)}|FILE.yaml]"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return begun_by(incomplete, self.choices, files=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if str(value).lower().endswith(YAML) else super().convert(value, param, ctx)


def numbers(ctx: click.Context, option: click.Parameter, text: str | None) -> list[float] | None:
    """The callback of an option that takes numbers with commas between them."""
    try:
        return None if text is None else [float(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of numbers; write for example 0.6,0.6,0.4") from None


def path_argument(name: str) -> Callable[[Function], Function]:
    """An argument that is a path, shown as `name` in capitals."""
    return click.argument(name, type=click.Path(path_type=Path))


def out_option(what: str) -> Callable[[Function], Function]:
    """`--out PATH`, which has to be given; `what` is its help."""
    return click.option("--out", required=True, type=click.Path(path_type=Path), metavar="PATH", help=what)


force_option = click.option("--force", is_flag=True, help="Replace an older output of ours.")


class NamedPath(click.Path):
    """A path, which an empty word is not: a shell gives one for a variable that is not set."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("it is empty, as a variable that is not set; name a folder", param, ctx)
        return super().convert(value, param, ctx)


data_option = click.option("--data", default="data", show_default=True, type=NamedPath(path_type=Path, file_okay=False),
                           help="The folder of raw/, stores/, runs/ and reports/.")  # fmt: skip
seed_option = click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0, 2**63 - 1), help="Of all randomness."
)
threads_option = click.option("--threads", type=click.IntRange(1, 4096), help="How many threads. [default: all cores]")
workers_option = click.option(
    "--workers", type=click.IntRange(0), help="Threads or processes that read; 0 is none. [default: all cores]"
)
compile_option = click.option("--compile", "compiled", default="auto", show_default=True,
                              type=click.Choice(["auto", "off", "on"]),
                              help="Steps as graphs of torch.compile; auto: on a GPU.")  # fmt: skip
device_option = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1.",
                             **offering(lambda: ("auto", "cpu", "cuda")))  # fmt: skip
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting. Repeatable."
)
split_option = click.option("--split", type=SplitName(), help="Another split than the run's.")
stream_option = click.option("--stream", metavar="NAME", help="Which encoder, where a run holds several.")
epoch_option = click.option("--epoch", type=click.IntRange(0), help="Weights that were kept then. [default: the last]")
other_clips_option = click.option(
    "--other-clips", is_flag=True, help="Take clips that were prepared otherwise; each figure then says so."
)
part_option = click.option(
    "--part",
    callback=lambda ctx, option, value: value and _part(value),
    metavar="K/N",
    help="Only the K-th of N parts.",
)
# What is said of one's own recordings: keys of `own_poses`.
POSE_OPTIONS = {
    "layout": click.option("--layout", metavar="NAME|FILE.yaml", help="Of poses: their joints.",
                           **offering(lambda: LAYOUTS, files=True)),
    "labels": click.option("--labels", metavar="TABLE", type=click.Path(path_type=Path),
                           help="Of poses: label, subject and what else is known, by the names of recordings."),
    "class_names": click.option("--class-names", metavar="FILE", type=click.Path(path_type=Path),
                                help="Of poses: the names of the classes, a line each."),
    "names": click.option("--names", metavar="PATTERN",
                          help="Of poses: what their names tell, as a{label}_s{subject}_t{trial}."),
    "name": click.option("--name", help="Of poses: what the data set is called. [default: poses]"),
    "unit": click.option("--unit", metavar="UNIT",
                         help="Of poses: m, cm, mm, inch or foot; pixel or normalised in a picture."),
    "up": click.option("--up", metavar="AXIS", help="Of poses: the axis that is up: y, -y, z, -z, x or -x."),
    "image": click.option("--image", metavar="WxH", help="Of poses: the size of the picture in pixels."),
    "fps": click.option("--fps", type=float, help="Of poses: frames per second."),
}  # fmt: skip
dataset_argument = click.argument("dataset", type=click.Choice(list(DATASETS)))


def pose_options(function: Function) -> Function:
    """All of `POSE_OPTIONS`."""
    for option in reversed(POSE_OPTIONS.values()):
        function = option(function)
    return function


def _part(text: str) -> Any:
    from skelpipe.recordings.parts import Part

    return Part.parse(text)


def given(ctx: click.Context, name: str) -> bool:
    """Whether an option was given, or has its default."""
    return ctx.get_parameter_source(name) is not ParameterSource.DEFAULT


def tell(found: Iterable[str]) -> None:
    """Say what was found, each in a line on stderr."""
    for line in found:
        click.echo(printable(f"skelpipe: {line}"), err=True)
