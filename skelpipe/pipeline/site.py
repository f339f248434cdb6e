"""Where Snakemake is to work: what is stated to it after '--', in its profiles and in the environment."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from skelpipe.errors import BadInput, nearest, shortened

log = logging.getLogger(__name__)
# Options as profiles name them, by the other ways to write them.
SHORT = {"-e": "executor", "-j": "jobs", "-c": "cores", "-T": "retries", "-w": "latency-wait", "-k": "keep-going"}
SAME = {
    "res": "resources", "default-res": "default-resources", "restart-times": "retries", "output-wait": "latency-wait",
}  # fmt: skip
HERE = ("local", "dryrun", "touch")  # executors that come with Snakemake, and start no jobs elsewhere
VARIABLE = "SNAKEMAKE_PROFILE"
PROFILE = re.compile(r"(?:profile|config)(?:\.v(\d+)\+)?\.yaml")
LONGEST_VALUE = 200  # characters of a variable that are told


@dataclass(frozen=True)
class Profile:
    """A file of options for Snakemake, what named it, and its options."""

    where: str
    path: Path
    options: Mapping[str, list[str]]

    def __str__(self) -> str:
        return f"the profile {self.path} ({self.where})"


@dataclass(frozen=True)
class Site:
    """What Snakemake is told by others than `skelpipe`.

    Attributes:
        arguments: what follows '--'.
        stated: the options in it.
        profiles: those in force, the strongest first.
    """

    arguments: tuple[str, ...] = ()
    stated: Mapping[str, list[str]] = field(default_factory=dict)
    profiles: tuple[Profile, ...] = ()

    def get(self, option: str) -> list[str] | None:
        """The values of an option that is stated, where it is stated strongest."""
        for options in (self.stated, *(profile.options for profile in self.profiles)):
            if option in options:
                return options[option]
        return None

    def states(self, *options: str) -> bool:
        """Whether one of these options is stated."""
        return any(self.get(option) is not None for option in options)

    def values(self, option: str) -> dict[str, str]:
        """The values of an option that takes KEY=VALUE."""
        return dict(word.split("=", 1) for word in self.get(option) or () if "=" in word)

    @property
    def executor(self) -> str:
        """What starts jobs; `local` unless one is stated."""
        return (self.get("executor") or ["local"])[-1]

    @property
    def remote(self) -> bool:
        """Whether stages become jobs of a batch system."""
        return self.executor not in HERE

    def remedy(self) -> str:
        """What to look at if Snakemake will not work: all that is not ours."""
        causes = [str(profile) for profile in self.profiles]
        causes += ["what follows '--' on the command line"] if self.arguments else []
        causes += [f"{key}={shortened(value, LONGEST_VALUE)} in the environment" for key, value in _variables()]
        return f"check {', '.join(causes)}, or use -v to see it all" if causes else "use -v to see all that it says"


def find_site(arguments: Sequence[str]) -> Site:
    """Read what is stated to Snakemake.

    Raises:
        BadInput: a profile is not there or cannot be read, or the executor is not installed.
    """
    stated = read_options(arguments)
    profiles = _profiles(stated)
    for profile in profiles:
        log.info("Snakemake's options are also taken from %s: %s", profile, ", ".join(profile.options))
    for key, value in _variables():
        log.info("%s=%s stands in the environment, for Snakemake", key, shortened(value, LONGEST_VALUE))
    site = Site(tuple(arguments), stated, tuple(profiles))
    _check_executor(site)
    return site


def read_options(words: Iterable[str]) -> dict[str, list[str]]:
    """The options of a command line of Snakemake, by their long names, with the words that follow each.

    >>> read_options(["--executor", "slurm", "-j8", "--default-res", "a=1", "b=2"])
    {'executor': ['slurm'], 'jobs': ['8'], 'default-resources': ['a=1', 'b=2']}
    """
    found: dict[str, list[str]] = {}
    values: list[str] = []
    for word in words:
        if word.startswith("--") and len(word) > 2:
            name, given, value = word[2:].partition("=")
        elif re.match("-[A-Za-z]", word):
            name, given, value = SHORT.get(word[:2], word[:2]), word[2:], word[2:].removeprefix("=")
        else:
            values.append(word)
            continue
        values = found.setdefault(SAME.get(name, name), [])
        values += [value] if given else []
    return found


def _variables() -> list[tuple[str, str]]:
    """Variables for Snakemake and its executors; the one that names a profile is told with the profile."""
    return [(key, os.environ[key]) for key in sorted(os.environ) if key.startswith("SNAKEMAKE_") and key != VARIABLE]


# Profiles -----------------------------------------------------------------------------------------------------------
def own_profile() -> Path | None:
    """The profile of the current folder that Snakemake would take.

    Snakemake itself takes any file or folder of the first name, and fails where that holds no profile.
    """
    return next((found for folder in ("default", "profiles/default") if (found := _file_in(Path(folder)))), None)


def _profiles(stated: Mapping[str, list[str]]) -> list[Profile]:
    named = [("after '--'", name) for name in stated.get("profile", ())]
    if "profile" not in stated:
        variable = os.environ.get(VARIABLE, "")
        # A list of several is written as configargparse reads it.
        listed = variable[1:-1].split(",") if variable.startswith("[") and variable.endswith("]") else [variable]
        named = [(VARIABLE, name.strip()) for name in listed if name.strip()]
    named = [] if [name for _, name in named] == ["none"] else named
    found = [Profile(where, path, _read(where, path)) for where, name in named for path in [_locate(where, name)]]
    own = _own(stated)
    return [*([own] if own else []), *reversed(found)]


def _own(stated: Mapping[str, list[str]]) -> Profile | None:
    """The profile of the current folder, or what is stated in its place."""
    if "workflow-profile" not in stated:
        path = own_profile()
        return None if path is None else Profile("of the current folder", path, _read("of the current folder", path))
    where, name = "after '--'", (stated["workflow-profile"] or ["none"])[-1]
    if name == "none":
        return None
    path = next((p for p in (_file_in(Path(name)), _file_in(Path("profiles", name))) if p), None)
    # One that is not there is left to Snakemake, which passes it over.
    return None if path is None else Profile(where, path, _read(where, path))


def _locate(where: str, name: str) -> Path:
    """The file of a profile, sought where Snakemake seeks it."""
    from snakemake.common import get_appdirs

    homes = [Path(get_appdirs().user_config_dir), Path(get_appdirs().site_config_dir)]
    for folder in [Path(), *([] if Path(name).exists() else homes)]:
        if path := _file_in(folder / name):
            return path
    told = f"{VARIABLE}={name}" if where == VARIABLE else f"--profile {name}"
    places = ", ".join(str(folder / name) for folder in [Path.cwd(), *homes])
    what = f"is no profile of Snakemake: there is no config.yaml or profile.yaml in {places}"
    remedy = f"unset {VARIABLE}" if where == VARIABLE else "leave it out"
    raise BadInput(told, what, f"make one, or {remedy}")


def _file_in(path: Path) -> Path | None:
    """The file of a profile that is named as a file or as its folder; of several the one for the newest version."""
    if path.is_file():
        return path
    try:
        versions = {found[0]: int(found[1] or 0) for file in os.listdir(path) if (found := PROFILE.fullmatch(file))}  # noqa: PTH208
    except OSError:
        return None
    known = {file: version for file, version in versions.items() if version <= _version()}
    return path / max(known, key=lambda file: known[file]) if known else None


def _version() -> int:
    from importlib.metadata import version

    return int(version("snakemake").partition(".")[0])


def _read(where: str, path: Path) -> dict[str, list[str]]:
    """The options of a profile, values as on the command line; a template in it is left to Snakemake."""
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        what = " ".join(str(error).split())
        raise BadInput(path, f"Snakemake's profile ({where}) cannot be read: {what}", "mend it") from None
    if not isinstance(content, dict):
        what = f"Snakemake's profile ({where}) holds no options"
        raise BadInput(path, what, "write OPTION: VALUE, a line each, such as 'executor: slurm'")
    return {SAME.get(str(key), str(key)): _words(value) for key, value in content.items()}


def _words(value: Any) -> list[str]:
    if not isinstance(value, dict):
        return [str(word) for word in (value if isinstance(value, list) else [value])]
    words = []
    for key, own in value.items():
        words += [f"{key}:{word}" for word in _words(own)] if isinstance(own, dict) else [f"{key}={own}"]
    return words


# Executors ----------------------------------------------------------------------------------------------------------
def _check_executor(site: Site) -> None:
    name = site.executor
    if name in HERE or importlib.util.find_spec(_module(name)) is not None:
        return
    from importlib.metadata import distributions

    start = "snakemake-executor-plugin-"
    installed = {str(d.metadata["Name"]).lower().replace("_", "-") for d in distributions()}
    known = ["local", *sorted(other.removeprefix(start) for other in installed if other.startswith(start))]
    source = next((p for p in site.profiles if "executor" in p.options and "executor" not in site.stated), None)
    where = f"{source.path}: executor: {name}" if source else f"--executor {name}"
    near = nearest(name, {*known, "slurm"} - {name}) if name != "slurm" else None
    remedy = f"pip install {start}{name}" if near is None else f"did you mean {near!r}?"
    raise BadInput(where, "Snakemake's plugin for it is not installed", remedy)


def _module(executor: str) -> str:
    return f"snakemake_executor_plugin_{executor.replace('-', '_')}"
