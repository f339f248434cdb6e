"""Output folders exist whole or not at all."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys

import pytest

from skelpipe import outputs
from skelpipe.errors import BadInput
from skelpipe.outputs import is_output, new_folder, read_digest, require


def write(target, text="a", **options):
    with new_folder(target, "report", **options) as folder:
        (folder / "page.html").write_text(text)
    return target


def test_a_folder_says_how_it_was_made(tmp_path):
    first = write(tmp_path / "first")
    second = write(tmp_path / "deep" / "second", inputs={"first": first, "raw": tmp_path}, settings={"k": 3})
    made = json.loads((second / "provenance.json").read_text())
    assert made["inputs"] == {
        "first": {"path": str(first), "digest": read_digest(first)},
        "raw": {"path": str(tmp_path), "digest": None},
    }
    assert made["settings"] == {"k": 3}
    assert made["kind"] == "report"
    assert {"command", "skelpipe", "python", "libraries", "finished", "seconds"} <= set(made)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deep", "first"]


def test_the_digest_is_of_the_content_alone(tmp_path):
    a, b, c = write(tmp_path / "a"), write(tmp_path / "b", settings={"x": 1}), write(tmp_path / "c", "other")
    assert read_digest(a) == read_digest(b) != read_digest(c)


def test_an_error_leaves_nothing(tmp_path):
    for target in (tmp_path / "out", tmp_path / "new" / "deep" / "out"):
        with pytest.raises(RuntimeError), new_folder(target, "report") as folder:
            (folder / "page.html").write_text("half")
            raise RuntimeError
        assert list(tmp_path.iterdir()) == []


def test_what_exists_is_replaced_only_with_force_and_only_if_ours(tmp_path):
    write(tmp_path / "out")
    with pytest.raises(BadInput, match="already exists.*--force"):
        write(tmp_path / "out", "b")
    assert (tmp_path / "out" / "page.html").read_text() == "a"
    write(tmp_path / "out", "b", force=True)
    assert (tmp_path / "out" / "page.html").read_text() == "b"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(BadInput, match="not made by skelpipe"):
        write(tmp_path / "mine", force=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="not made by skelpipe"):
        write(tmp_path / "file", force=True)
    (tmp_path / "empty").mkdir()
    assert is_output(write(tmp_path / "empty"))


def test_a_failed_replacement_keeps_what_was_there(tmp_path):
    write(tmp_path / "out")
    with pytest.raises(RuntimeError), new_folder(tmp_path / "out", "report", force=True) as folder:
        (folder / "page.html").write_text("half")
        raise RuntimeError
    assert (tmp_path / "out" / "page.html").read_text() == "a"


def test_a_folder_whose_done_file_was_deleted_is_still_ours(tmp_path):
    """A workflow engine deletes declared outputs before it runs a stage again."""
    write(tmp_path / "out")
    (tmp_path / "out" / "done.json").unlink()
    with pytest.raises(BadInput, match="is not whole"):
        require(tmp_path / "out", "report", "make it again")
    write(tmp_path / "out", "b", force=True)
    assert require(tmp_path / "out", "report", "") == tmp_path / "out"


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path):
    write(tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / ".out.old")
    with pytest.raises(BadInput, match="already exists"):
        write(tmp_path / "out", "b")
    assert (tmp_path / "out" / "page.html").read_text() == "a"


KILL = """
import os, signal, sys
from pathlib import Path
from skelpipe.outputs import new_folder
with new_folder(sys.argv[1], "report", force=True) as folder:
    (folder / "page.html").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_no_output_and_no_lock(tmp_path):
    for before in (None, "a"):
        if before:
            write(tmp_path / "out", before)
        done = subprocess.run([sys.executable, "-c", KILL, str(tmp_path / "out")], check=False)
        assert done.returncode == -signal.SIGKILL
        assert (tmp_path / "out").exists() is bool(before)
    assert (tmp_path / "out" / "page.html").read_text() == "a"
    write(tmp_path / "out", "b", force=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_what_a_kill_left_is_removed_even_where_nothing_is_to_do(tmp_path):
    write(tmp_path / "out")
    (tmp_path / ".out.partial").mkdir()
    with outputs.locked(tmp_path / "out"):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_folders_change_places_in_one_step_or_else_in_three(tmp_path, monkeypatch):
    for step in (outputs._exchange, lambda a, b: False):
        monkeypatch.setattr(outputs, "_exchange", step)
        write(tmp_path / "out", "a")
        write(tmp_path / "out", "b", force=True)
        assert (tmp_path / "out" / "page.html").read_text() == "b"
        assert [p.name for p in tmp_path.iterdir()] == ["out"]
        outputs.discard(tmp_path / "out")
        assert list(tmp_path.iterdir()) == []


def test_two_at_once(tmp_path):
    with new_folder(tmp_path / "out", "report") as folder:
        (folder / "page.html").write_text("first")
        with pytest.raises(BadInput, match="being written by another process"):
            write(tmp_path / "out", "second")
    assert (tmp_path / "out" / "page.html").read_text() == "first"


def test_a_folder_that_refuses(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="cannot be written"):
        write(tmp_path / "file" / "out")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_parent(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(BadInput, match="cannot be written.*may write"):
        write(tmp_path / "locked" / "out")


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(outputs.os, "fsync", full)
    with pytest.raises(BadInput, match="No space left.*free some space"):
        write(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_require_names_what_is_wrong(tmp_path):
    write(tmp_path / "out")
    (tmp_path / "other").mkdir()
    for path, says in (
        ("none", "does not exist"),
        ("other", "is not a skelpipe store"),
        ("out", "kind 'report', not 'store'"),
    ):
        with pytest.raises(BadInput, match=says):
            require(tmp_path / path, "store", "make it")


def test_bad_input_survives_the_way_back_from_a_worker():
    error = pickle.loads(pickle.dumps(BadInput("a", "b", "c")))
    assert (error.where, error.what, error.remedy, str(error)) == ("a", "b", "c", "a: b; c")
