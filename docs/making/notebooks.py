"""The notebooks: pages of Markdown whose blocks of Python are the cells.

One source, `docs/notebooks/NAME.md`, makes the notebook beside it (`NAME.ipynb`, without outputs), and a page of the
site with the outputs, which `run` computes in a process of its own, with nothing of Jupyter installed. The tests do the
same. Blocks of other kinds stay text.
"""

from __future__ import annotations

import ast
import base64
import io
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NAMES = ("first-run", "own-data", "own-method", "embedding")
CELL = re.compile(r"^```python\n(.*?)^```\n", re.S | re.M)


@dataclass(frozen=True)
class Cell:
    """A piece of a page: `code` or `markdown`."""

    kind: str
    text: str


def source(name: str) -> str:
    """The page that people write."""
    return (FOLDER / f"{name}.md").read_text("utf-8")


def cells(text: str) -> Iterator[Cell]:
    """The pieces of a page in order, none empty."""
    for place, part in enumerate(CELL.split(text)):
        if part.strip():
            yield Cell("code" if place % 2 else "markdown", part.strip())


def notebook(name: str) -> str:
    """The page as a notebook of format 4.5, without outputs: the same page always gives the same bytes."""
    made = []
    for number, cell in enumerate(cells(source(name))):
        text = cell.text if cell.kind == "code" else _without_links(cell.text)
        entry = {
            "cell_type": cell.kind,
            "id": f"cell-{number}",
            "metadata": {},
            "source": text.splitlines(keepends=True),
        }
        made.append(entry | ({"execution_count": None, "outputs": []} if cell.kind == "code" else {}))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": made, "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}}, "nbformat": 4,
             "nbformat_minor": 5}  # fmt: skip
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _without_links(text: str) -> str:
    """Links to other pages of the site lead nowhere in a notebook: their words alone."""
    return re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]+\)", r"\1", text)


def write() -> list[Path]:
    """Write all notebooks beside their pages; those that have changed."""
    changed = []
    for name in NAMES:
        path, made = FOLDER / f"{name}.ipynb", notebook(name)
        if not path.exists() or path.read_text("utf-8") != made:
            path.write_text(made, "utf-8")
            changed.append(path)
    return changed


# Running them
def run(name: str, timeout: float | None = None) -> list[str]:
    """Run all cells in order in a fresh process and an empty folder; what each shows, as HTML.

    Raises:
        AssertionError: a cell has failed; its traceback is told.
    """
    with tempfile.TemporaryDirectory(prefix="notebook-") as folder:
        where = str(Path(__file__).resolve().parents[1])
        words = [sys.executable, "-c", f"import sys; sys.path.insert(0, {where!r}); from making import notebooks; "
                 f"notebooks.run_here({name!r})"]  # fmt: skip
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=timeout)
        out = Path(folder) / "outputs.json"
        assert done.returncode == 0 and out.exists(), f"{name}.md: {done.stderr or done.stdout}"
        found: list[str] = json.loads(out.read_text("utf-8"))
        return found


def run_here(name: str) -> None:
    """Run all cells in this process; what they show goes to `outputs.json`."""
    import matplotlib

    matplotlib.use("Agg")
    space: dict[str, Any] = {"__name__": "__main__"}
    shown = [shown_by(cell.text, space, f"{name}.md") for cell in cells(source(name)) if cell.kind == "code"]
    Path("outputs.json").write_text(json.dumps(shown), "utf-8")


def shown_by(code: str, space: dict[str, Any], name: str = "cell") -> str:
    """Run a cell; what it prints, its last expression, and figures of pyplot, as HTML."""
    tree = ast.parse(code, name)
    last = tree.body[-1]
    value: Any = None
    printed = io.StringIO()
    with redirect_stdout(printed):
        if isinstance(last, ast.Expr) and not code.rstrip().endswith(";"):
            exec(compile(ast.Module(tree.body[:-1], []), name, "exec"), space)
            value = eval(compile(ast.Expression(last.value), name, "eval"), space)
        else:
            exec(compile(tree, name, "exec"), space)
    parts = [_text(printed.getvalue())] if printed.getvalue() else []
    parts += [] if value is None else [as_html(value)]
    return "\n".join([*parts, *_figures()])


def as_html(value: Any) -> str:
    """A value as a notebook shows it."""
    show = getattr(value, "_repr_html_", None)
    made = show() if show else None
    return made if made is not None else _text(repr(value))


def _text(words: str) -> str:
    return f"<pre>{escape(words.rstrip())}</pre>"


def _figures() -> list[str]:
    if "matplotlib.pyplot" not in sys.modules:
        return []
    from matplotlib import pyplot

    made = []
    for number in pyplot.get_fignums():
        buffer = io.BytesIO()
        pyplot.figure(number).savefig(buffer, format="png", dpi=100, bbox_inches="tight")
        made.append(f'<img alt="" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">')
    pyplot.close("all")
    return made


# On the site
def page(name: str) -> str:
    """The page of the site: the source, what its cells have shown, and the notebook to take home."""
    outputs = iter(run(name))
    text = source(name)
    title, _, rest = text.partition("\n")
    made = [f"{title}\n\n[Download the notebook]({name}.ipynb){{ .md-button download }}"]
    for cell in cells(rest):
        if cell.kind == "markdown":
            made.append(cell.text)
            continue
        made.append(f"```python\n{cell.text}\n```")
        if shown := next(outputs):
            made.append(f'<div class="output">{_one_block(shown)}</div>')
    return "\n\n".join(made) + "\n"


def _one_block(html: str) -> str:
    """HTML without empty lines, at which Markdown would take it for text again."""
    return re.sub(r"\n\s*\n", "\n", html)


def generated() -> dict[str, str]:
    """The pages and the notebooks, by their paths on the site."""
    pages = {f"notebooks/{name}.md": page(name) for name in NAMES}
    return pages | {f"notebooks/{name}.ipynb": notebook(name) for name in NAMES}
