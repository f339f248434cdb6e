"""The blocks of commands and code in the documentation, and their commands one by one.

A comment right above a block says what a test does with it:

- nothing: it is run where its page's blocks before it were run, on synthetic recordings and with tiny recipes; of
  `skelpipe run`, the plan. Tiny recipes have batches of 8, one or two epochs and probes of one: where a page makes its
  own recordings, these are held against the batch and the probe of the recipe that ships;
- `<!-- test: read: WHY -->`: its commands are only parsed, with all their options, for the reason that is given;
- `<!-- test: file NAME -->`: it is written to that file, for the blocks after it;
- `<!-- command: … -->` and `<!-- snippet: … -->`: CI, or a test of its own, runs it.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import skelpipe

ROOT = Path(skelpipe.__file__).resolve().parents[1]
DOCS = ROOT / "docs"
READMES = ("README.md", "models/README.md", "data/README.md", "pipelines/README.md", "pipelines/cluster.md",
           ".github/CONTRIBUTING.md")  # fmt: skip
BLOCK = re.compile(
    r"(?:^[ ]*<!-- (?P<mark>[^\n]*?) -->\n)?^(?P<indent>[ ]*)```(?P<kind>\w+)\n(?P<text>.*?)^[ ]*```$", re.S | re.M
)

sys.path.insert(0, str(DOCS))


@dataclass(frozen=True)
class Block:
    """One block: the page it is on, its kind (bash, python, …), what is said above it, and its text."""

    page: str
    kind: str
    mark: str
    text: str

    @property
    def way(self) -> str:
        """run, read or file."""
        if self.mark.startswith("test: "):
            return self.mark.split()[1].rstrip(":")
        return "read" if self.mark.startswith(("command: ", "snippet: ")) else "run"


@cache
def written() -> dict[str, str]:
    """The pages that people write, by their path from the root."""
    pages = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in sorted((DOCS / "pages").rglob("*.md"))}
    return {**{name: (ROOT / name).read_text("utf-8") for name in READMES}, **pages}


@cache
def generated() -> dict[str, str]:
    """The pages that are made from the code."""
    from making import pages

    return pages.generated()


def blocks(page: str, text: str) -> Iterator[Block]:
    """All blocks of a page, in order."""
    for found in BLOCK.finditer(text):
        lines = found["text"].splitlines()
        indent = len(found["indent"])
        body = "\n".join(line[indent:] for line in lines)
        yield Block(page, found["kind"], (found["mark"] or "").strip(), body)


def commands(block: Block) -> list[list[str]]:
    """The commands of a bash block as words: comments and redirections left out, lines joined, `&&` taken apart."""
    joined = block.text.replace("\\\n", " ")
    made: list[list[str]] = []
    for line in joined.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;>")
        lexer.whitespace_split, lexer.commenters = True, "#"
        words: list[str] = []
        for word in lexer:
            if word in (">", ">>"):
                next(lexer, None)
            elif word in ("&&", ";"):
                made.append(words)
                words = []
            else:
                words.append(word)
        if words:
            made.append(words)
    return [words for words in made if words]
