"""Formulas between dollar signs as MathML, which browsers draw by themselves: nothing is loaded for it."""

from __future__ import annotations

import re

from latex2mathml.converter import convert

# Code first, so that a dollar sign in it is left as it stands.
PIECES = re.compile(r"(^```.*?^```\s*?$|`[^`\n]+`)|\$\$(.+?)\$\$|(?<![\\$\w])\$([^$\n]+?)\$(?![\w$])", re.S | re.M)


def in_mathml(markdown: str) -> str:
    """The page with `$…$` in a line and `$$…$$` on lines of its own as MathML."""

    def made(found: re.Match[str]) -> str:
        code, alone, within = found.groups()
        if code:
            return code
        if alone:
            return f'<div class="formula">{_convert(alone, "block")}</div>'
        return _convert(within, "inline")

    return PIECES.sub(made, markdown)


def _convert(latex: str, display: str) -> str:
    return convert(" ".join(latex.split()), display=display).replace("\n", "")
