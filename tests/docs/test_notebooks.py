"""Notebooks: they are those of their pages, their cells run and show what the pages speak of."""

from __future__ import annotations

import json
import re

import doc_blocks
import nbformat
import pytest

import skelpipe as sk

assert doc_blocks.DOCS  # which puts the folder of `making` on the path
from making import notebooks  # noqa: E402

WIDEST = 101  # of a cell's lines: more would have to be scrolled sideways
# What the outputs of each have to hold, as its text says: expressions that are looked for, and how many pictures.
SHOWN = {
    "first-run": (["192, 8 classes", "neighbour_label|<img", "CrosNNCLR", "drink water"], 4),
    "own-data": (["96, 4 classes", "by_person", "fewshot2", "people 3,4", "jumping jack"], 1),
    "own-method": (["VICReg", r"loss \d", r"nearest neighbour \d\d\.\d%", r"linear \d\d\.\d%"], 1),
    "embedding": (["none, an encoder alone", r"\d+% of 96 clips", "1 − cosine", "share of the clips"], 5),
}


@pytest.mark.parametrize("name", notebooks.NAMES)
def test_a_notebook_is_that_of_its_page(name):
    path = notebooks.FOLDER / f"{name}.ipynb"
    assert path.read_text("utf-8") == notebooks.notebook(name), "write it anew: python docs/make_notebooks.py"
    read = nbformat.read(path, as_version=4)
    nbformat.validate(read)
    assert not any(cell.get("outputs") for cell in read.cells)
    assert read.cells[0].source.startswith("# Notebook: ")
    code = [line for cell in read.cells if cell.cell_type == "code" for line in cell.source.splitlines()]
    assert max(map(len, code)) <= WIDEST
    assert not re.search(
        r"\]\((?!https?:)", "".join(cell.source for cell in read.cells if cell.cell_type == "markdown")
    )


def test_every_notebook_is_known_and_every_page_has_one():
    assert {path.stem for path in notebooks.FOLDER.glob("*.md")} == {*notebooks.NAMES}
    assert {path.stem for path in notebooks.FOLDER.glob("*.ipynb")} == {*notebooks.NAMES}


@pytest.mark.slow
@pytest.mark.parametrize("name", notebooks.NAMES)
def test_all_cells_run_and_show_what_the_page_says(name):
    outputs = notebooks.run(name, timeout=280)
    assert notebooks.outputs(name) == outputs  # which are kept for the site
    cells = [cell for cell in notebooks.cells(notebooks.source(name)) if cell.kind == "code"]
    assert len(outputs) == len(cells)
    whole = "\n".join(outputs)
    wanted, pictures = SHOWN[name]
    for words in wanted:
        assert re.search(words, whole), f"{name} does not show {words}"
    assert len(re.findall(r"<img |<svg ", whole)) == pictures
    assert not re.search(r"bound method|object at 0x|Traceback|>nan<", whole)
    page = notebooks.page(name)
    assert page.count('<div class="output">') == sum(map(bool, outputs))
    assert f"]({name}.ipynb)" in page


def test_own_method_is_short():
    (cell,) = (c.text for c in notebooks.cells(notebooks.source("own-method")) if "class VICReg" in c.text)
    assert len(cell.splitlines()) <= 30


def test_what_a_cell_shows():
    space: dict[str, object] = {}
    assert notebooks.shown_by("a = 1\nprint('<b>')\na + 1", space) == "<pre>&lt;b&gt;</pre>\n<pre>2</pre>"
    assert notebooks.shown_by("a = a + 4", space) == ""
    assert notebooks.shown_by("a;", space) == ""
    assert notebooks.shown_by("import pandas as pd\npd.Series([a]).to_frame()", space).lstrip().startswith("<div>")
    with pytest.raises(ZeroDivisionError):
        notebooks.shown_by("a / 0", space)


def test_a_cell_that_fails_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(notebooks, "FOLDER", tmp_path)
    monkeypatch.setattr(notebooks, "source", lambda name: "# Notebook: x\n")
    monkeypatch.setattr(notebooks, "DOCS", notebooks.DOCS)
    with pytest.raises(RuntimeError, match=r"missing\.md"):  # the process reads the page itself, and finds none
        notebooks.run("missing")
    assert not list(tmp_path.rglob("*.json"))


def test_pieces_of_a_page():
    text = "# T\n\nSee [x](y.md).\n\n```bash\nls\n```\n\n```python\na = 1\n```\nend\n"
    assert [(c.kind, c.text) for c in notebooks.cells(text)] == [
        ("markdown", "# T\n\nSee [x](y.md).\n\n```bash\nls\n```"), ("code", "a = 1"), ("markdown", "end"),
    ]  # fmt: skip
    assert json.loads(notebooks.notebook("embedding"))["nbformat_minor"] == 5
    assert sk.__version__
