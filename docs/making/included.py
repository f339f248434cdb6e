"""Sections of the READMEs, the changelog and the like, shown in the site where they belong: they stand once."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MARK = re.compile(r"^<!-- include: (?P<file>\S+?)(?:#(?P<section>\S+))? -->$", re.M)
FENCE = re.compile(r"^```.*?^```", re.S | re.M)
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<to>[^)\s]+)\)")


def slug(title: str) -> str:
    """The anchor of a heading, as GitHub and the site make it."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")


def headings(text: str) -> list[tuple[int, int, str]]:
    """(place, level, title) of every heading outside of code."""
    code = [found.span() for found in FENCE.finditer(text)]
    return [
        (found.start(), len(found[1]), found[2])
        for found in re.finditer(r"^(#+) (.+)$", text, re.M)
        if not any(a <= found.start() < b for a, b in code)
    ]


def section(text: str, anchor: str | None) -> str:
    """A section without its heading, its own headings from level 2 on; a whole file without its title."""
    found = headings(text)
    if anchor is None:
        start, level, end = found[0][0], found[0][1], len(text)
    else:
        at = next((i for i, (_, _, title) in enumerate(found) if slug(title) == anchor), None)
        if at is None:
            raise LookupError(anchor)
        start, level, _ = found[at]
        end = next((place for place, other, _ in found[at + 1 :] if other <= level), len(text))
    body = text[start:end].partition("\n")[2]
    lift = level - 1
    if lift:
        for place, _, _ in reversed(headings(body)):
            body = body[:place] + body[place + lift :]
    return body.strip() + "\n"


def places(pages: Mapping[str, str]) -> dict[str, str]:
    """Where a file, or a section of one (`models/README.md#small-data`), is shown: its page."""
    found: dict[str, str] = {}
    for page, text in pages.items():
        for mark in MARK.finditer(text):
            name, anchor = mark["file"], mark["section"]
            found[name + (f"#{anchor}" if anchor else "")] = page
            source = (ROOT / name).read_text("utf-8")
            for _, _, title in headings(section(source, anchor)):
                found.setdefault(f"{name}#{slug(title)}", f"{page}#{slug(title)}")
    return found


def fill(page: str, text: str, shown: Mapping[str, str]) -> str:
    """A page with what it includes, whose links lead to pages of the site where there are some."""

    def made(mark: re.Match[str]) -> str:
        source = (ROOT / mark["file"]).read_text("utf-8")
        return _relinked(section(source, mark["section"]), mark["file"], page, shown)

    return MARK.sub(made, text)


def _relinked(text: str, file: str, page: str, shown: Mapping[str, str]) -> str:
    here = posixpath.dirname(file)

    def led(found: re.Match[str]) -> str:
        to = found["to"]
        if re.match(r"[a-z]+:", to):
            return found[0]
        path, _, anchor = to.partition("#")
        target = posixpath.normpath(posixpath.join(here, path)) if path else file
        key = f"{target}#{anchor}" if anchor else target
        place = shown.get(key) or shown.get(target)
        if target.startswith("docs/pages/"):
            place = target.removeprefix("docs/pages/") + (f"#{anchor}" if anchor else "")
        if place is None:  # a file that the site does not show
            return found["text"]
        return f"[{found['text']}]({posixpath.relpath(place, posixpath.dirname(page) or '.')})"

    pieces = re.split(r"(^```.*?^```|`[^`\n]+`)", text, flags=re.S | re.M)
    return "".join(piece if piece.startswith("`") else LINK.sub(led, piece) for piece in pieces)
