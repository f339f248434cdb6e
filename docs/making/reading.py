"""What code says of itself: docstrings as Markdown, and settings as tables."""

from __future__ import annotations

import inspect
import re
import sys
import types
from collections.abc import Iterable, Sequence
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

SECTIONS = ("Attributes", "Args", "Returns", "Raises")
WIDTH = 76  # of a line of commands
FORMULA = re.compile(r"^\S+(?: \S+)? = .+")


def clean(words: str) -> str:
    """Text of a docstring as Markdown: what HTML would read as a tag is escaped, but in code."""
    parts = re.split(r"(`[^`]*`)", words)
    return "".join(p if p.startswith("`") else p.replace("<", "&lt;").replace("_", r"\_") for p in parts)


def sections(text: str | None) -> tuple[list[str], dict[str, str]]:
    """A docstring's paragraphs, and its sections (`Attributes:` and so on) as raw text."""
    blocks: list[str] = []
    named: dict[str, str] = {}
    for block in re.split(r"\n\s*\n", inspect.cleandoc(text or "")):
        head = block.split("\n", 1)[0].rstrip()
        if head.rstrip(":") in SECTIONS and head.endswith(":"):
            named[head[:-1]] = inspect.cleandoc(block.partition("\n")[2])
        elif block.strip():
            blocks.append(block)
    return blocks, named


def prose(text: str | None, skip_first: bool = False) -> str:
    """The paragraphs of a docstring as Markdown: formulas and indented lines as they stand, sources in italics."""
    made = []
    for block in sections(text)[0][1 if skip_first else 0 :]:
        lines = block.splitlines()
        if block.strip() == "Source: see the module.":
            continue  # which the page has told already
        if all(each.startswith("    ") for each in lines):
            made.append("```text\n" + inspect.cleandoc("\n" + block) + "\n```")
        elif len(lines) > 1 and all(FORMULA.match(each) for each in lines):
            made.append("```text\n" + block + "\n```")
        else:
            words = clean(" ".join(each.strip() for each in lines))
            made.append(re.sub(r"^(Sources?)(,[^:]*)?:", r"**\1**\2:", words))
    return "\n\n".join(made)


def summary(text: str | None) -> str:
    """The first paragraph of a docstring, on one line."""
    blocks, _ = sections(text)
    return clean(" ".join(blocks[0].split())) if blocks else ""


def module_of(entry: Any) -> types.ModuleType:
    """The module in which something was written."""
    return sys.modules[entry.__module__]


def attributes(kind: type) -> dict[str, str]:
    """What the docstrings of a class and of those that it is built on say of each attribute."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        text = sections(each.__dict__.get("__doc__"))[1].get("Attributes", "")
        for entry in re.split(r"\n(?=\S)", text):
            names, colon, told = entry.partition(":")
            if colon:
                for name in names.split(","):
                    found[name.strip()] = " ".join(told.split())
    return found


def kind_of(annotation: Any) -> str:
    """A type as people write it: `a number`, `"sgd"` or `"adam"`, …"""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in args)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(kind_of(each) for each in args if each is not type(None)))
    if origin is not None and hasattr(annotation, "__metadata__"):
        return kind_of(args[0])
    if origin in (tuple, list):
        return "list" + (f" of {kind_of(args[0])}" if args and args[0] is not Any else "")
    if origin is dict:
        return "mapping"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    names = {bool: "true or false", int: "whole number", float: "number", str: "text", Any: "one of several"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def default_of(field: Any) -> str:
    """A field's default as a recipe would have it."""
    if field.default_factory is not None:
        value = field.default_factory()
    elif field.default is PydanticUndefined:
        return "*needed*"
    else:
        value = field.default
    return shown(value)


def shown(value: Any) -> str:
    """A value as YAML has it, in code."""
    if isinstance(value, BaseModel):
        return "its own defaults"
    if value is None:
        return "–"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list | tuple):
        return "`[" + ", ".join(map(str, value)) + "]`"
    if isinstance(value, dict):
        return "`{" + ", ".join(f"{key}: {each}" for key, each in value.items()) + "}`"
    return f"`{value}`"


def limits(field: Any) -> str:
    """The range that a number has to lie in, in words."""
    told = []
    for rule in field.metadata:
        for name, words in (("gt", "above"), ("ge", "at least"), ("lt", "below"), ("le", "at most")):
            if (value := getattr(rule, name, None)) is not None:
                told.append(f"{words} {value:g}")
    return ", ".join(told)


def options(model: type[BaseModel], prefix: str = "", without: Sequence[str] = ("name",)) -> str:
    """A table of the keys of settings: what they may be, their defaults, and what the docstrings say of them."""
    told = attributes(model)
    rows = []
    for name, field in model.model_fields.items():
        if name in without:
            continue
        kind = ", ".join(filter(None, [kind_of(field.annotation), limits(field)]))
        rows.append([f"`{prefix}{name}`", kind, default_of(field), clean(told.get(name, ""))])
    return listed(rows, ["key", "values", "default", "what it does"])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; nothing where there are no rows."""
    rows = [[_cell(cell) for cell in row] for row in rows]
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _cell(words: str) -> str:
    parts = re.split(r"(`[^`]*`)", words.replace("\n", " "))
    return "".join(part if part.startswith("`") else part.replace("|", r"\|") for part in parts)


def listed(rows: Iterable[Sequence[str]], head: Sequence[str]) -> str:
    """A table of settings, which on a narrow window becomes a list: key, values, default, and what it does."""
    made = table(head, rows)
    return f'<div class="settings" markdown>\n\n{made}\n\n</div>' if made else ""


def page(title: str, *parts: str) -> str:
    """A page of a title and of those parts that there are."""
    return f"# {title}\n\n" + "\n\n".join(part for part in parts if part) + "\n"


def bash(*lines: str, mark: str = "") -> str:
    """A block of commands, long ones broken before an option, with what a test has to know of it before."""
    return (f"<!-- {mark} -->\n" if mark else "") + "```bash\n" + "\n".join(map(_broken, lines)) + "\n```"


def _broken(line: str) -> str:
    made, now = [], ""
    for word in re.split(r" (?=--)", line):
        if now and len(now) + len(word) + 1 > WIDTH:
            made.append(now + " \\")
            now = "    " + word
        else:
            now = f"{now} {word}" if now else word
    return "\n".join([*made, now])
