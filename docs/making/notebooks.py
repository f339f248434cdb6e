"""The notebooks: pages of Markdown whose blocks of Python are the cells.

One source, `docs/notebooks/NAME.md`, makes the notebook beside it (`NAME.ipynb`, without outputs), and a page of the
site with the outputs, which `run` computes in a process of its own, with nothing of Jupyter installed. The tests do the
same, and leave the outputs for the site (`docs/notebooks/.outputs`), which takes them as long as neither the page nor
the code has changed. Blocks of other kinds stay text.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import io
import json
import os
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

DOCS = Path(__file__).resolve().parents[1]
FOLDER = DOCS / "notebooks"
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
    """Run all cells in order in a fresh process and an empty folder; what each shows, as HTML, is kept for the site.

    Raises:
        RuntimeError: a cell has failed; its traceback is told.
    """
    kept = kept_at(name)
    with tempfile.TemporaryDirectory(prefix="notebook-") as folder:
        code = (
            f"import sys; sys.path.insert(0, {str(DOCS)!r}); from making import notebooks; notebooks.run_here({name!r})"
        )
        where = [str(DOCS.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(where)}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout
        )
        if done.returncode:
            raise RuntimeError(f"{name}.md: {done.stderr or done.stdout}")
        text = (Path(folder) / "outputs.json").read_text("utf-8")
    kept.parent.mkdir(exist_ok=True)
    for older in kept.parent.glob(f"{name}-*.json"):
        older.unlink()
    kept.write_text(text, "utf-8")
    return list(json.loads(text))


def outputs(name: str) -> list[str]:
    """What each cell shows: as the last run has left it, or else of a run now."""
    kept = kept_at(name)
    return list(json.loads(kept.read_text("utf-8"))) if kept.exists() else run(name)


def kept_at(name: str) -> Path:
    """Where outputs are kept: the name of the file follows from the page and all code and recipes that it may use."""
    code = [*(DOCS.parent / "skelpipe").rglob("*.py"), *(DOCS.parent / "models").glob("*.yaml"), Path(__file__)]
    digest = hashlib.sha256(source(name).encode())
    for path in sorted(code):
        digest.update(path.read_bytes())
    return FOLDER / ".outputs" / f"{name}-{digest.hexdigest()[:16]}.json"


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
    shown_here = iter(outputs(name))
    text = source(name)
    title, _, rest = text.partition("\n")
    made = [f"{title}\n\n[Download the notebook]({name}.ipynb){{ .md-button download }}"]
    for cell in cells(rest):
        if cell.kind == "markdown":
            made.append(cell.text)
            continue
        made.append(f"```python\n{cell.text}\n```")
        if shown := next(shown_here):
            made.append(f'<div class="output">{_one_block(shown)}</div>')
    return "\n\n".join(made) + "\n"


def _one_block(html: str) -> str:
    """HTML without empty lines, at which Markdown would take it for text again."""
    return re.sub(r"\n\s*\n", "\n", html)


def index() -> str:
    """The page that lists them."""
    told = [source(name).split("\n\n", 2) for name in NAMES]
    entries = [
        f"## [{_short(title)}]({name}.md)\n\n{about}" for name, (title, about, _) in zip(NAMES, told, strict=True)
    ]
    return "\n\n".join([INDEX, *entries]) + "\n"


def _short(title: str) -> str:
    words = title.removeprefix("# Notebook: ")
    return words[0].upper() + words[1:]


INDEX = """# Notebooks

Four short ones, each on small data that it makes itself, each done in a minute or two on a CPU. They lie in
`docs/notebooks` as `.ipynb` files too, without outputs; a page here is the same text with what its cells have shown.
Besides skelpipe they need what runs notebooks: `pip install jupyterlab`, Visual Studio Code, or Colab."""


def generated() -> dict[str, str]:
    """The pages and the notebooks, by their paths on the site."""
    pages = {"notebooks/index.md": index()} | {f"notebooks/{name}.md": page(name) for name in NAMES}
    return pages | {f"notebooks/{name}.ipynb": notebook(name) for name in NAMES}
