"""Output folders exist whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from skelpipe.errors import BadInput
from skelpipe.outputs import ancestry, checksums, files, folders
from skelpipe.outputs.checksums import is_output
from skelpipe.outputs.digests import read_digest, require
from skelpipe.outputs.files import as_json, json_text
from skelpipe.outputs.folders import new_folder


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
    with (
        pytest.raises(BadInput, match="is of kind 'report', and --force replaces only what is of kind 'run'"),
        new_folder(tmp_path / "out", "run", force=True),
    ):
        pass
    for kind in ("store part", "store"):
        with new_folder(tmp_path / "part", kind, force=True):
            pass


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
from skelpipe.outputs.files import as_json, json_text
from skelpipe.outputs.folders import new_folder
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
    with folders.locked(tmp_path / "out"):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_folders_change_places_in_one_step_or_else_in_three(tmp_path, monkeypatch):
    for step in (folders.exchange, lambda a, b: False):
        monkeypatch.setattr(folders, "exchange", step)
        write(tmp_path / "out", "a")
        write(tmp_path / "out", "b", force=True)
        assert (tmp_path / "out" / "page.html").read_text() == "b"
        assert [p.name for p in tmp_path.iterdir()] == ["out"]
        folders.discard(tmp_path / "out")
        assert list(tmp_path.iterdir()) == []


def test_what_was_replaced_is_never_half_removed_where_it_would_be_put_back(tmp_path, monkeypatch):
    removed, remove = [], folders.remove

    def noted(folder):
        removed.extend([folder.name] if folder.exists() else [])
        remove(folder)

    write(tmp_path / "out")
    monkeypatch.setattr(folders, "exchange", lambda a, b: False)
    monkeypatch.setattr(folders, "remove", noted)
    write(tmp_path / "out", "b", force=True)
    assert removed == [".out.partial"]


def test_two_at_once(tmp_path):
    with new_folder(tmp_path / "out", "report") as folder:
        (folder / "page.html").write_text("first")
        with pytest.raises(BadInput, match="being written by another process"):
            write(tmp_path / "out", "second")
    assert (tmp_path / "out" / "page.html").read_text() == "first"


def test_a_target_that_is_made_before_the_lock_is_taken_is_kept(tmp_path, monkeypatch):
    take = folders._lock_beside

    def late(path):
        monkeypatch.setattr(folders, "_lock_beside", take)
        write(tmp_path / "out")
        return take(path)

    monkeypatch.setattr(folders, "_lock_beside", late)
    with pytest.raises(BadInput, match="already exists"):
        write(tmp_path / "out", "b")
    assert (tmp_path / "out" / "page.html").read_text() == "a"


def test_a_lock_that_cannot_be_taken_for_another_reason_is_not_done_without(tmp_path, monkeypatch):
    def fails(*given):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fails)
    with pytest.raises(BadInput, match="Input/output error"):
        write(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", ["_lock_beside", "_swap", "remove"])
def test_ctrl_c_while_a_folder_is_put_in_place_waits_until_it_is(tmp_path, monkeypatch, at, after):
    """What takes the lock, changes folders and cleans up is never left half-way."""
    write(tmp_path / "out")
    (tmp_path / ".out.old").mkdir()  # what a kill left, beside a whole output
    (tmp_path / ".out.old" / "page.html").write_text("older")
    step = getattr(folders, at)

    def interrupted(*given):
        monkeypatch.setattr(folders, at, step)
        made = step(*given) if after else None
        signal.raise_signal(signal.SIGINT)
        return made if after else step(*given)

    monkeypatch.setattr(folders, "exchange", lambda a, b: False)
    monkeypatch.setattr(folders, at, interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out", "b", force=True)
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {"out", ".out.old"}
    assert (tmp_path / "out" / "page.html").read_text() == ("a" if at == "_lock_beside" else "b")
    write(tmp_path / "out", "c", force=True)
    assert (tmp_path / "out" / "page.html").read_text() == "c"


def test_what_is_discarded_is_out_of_the_way_before_it_is_removed(tmp_path, monkeypatch):
    def killed(folder):
        raise SystemExit

    write(tmp_path / "out")
    monkeypatch.setattr(folders, "remove", killed)
    with pytest.raises(SystemExit):
        folders.discard(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == [".out.partial"]


def test_all_is_on_the_disk_before_done_json_which_comes_last(tmp_path, monkeypatch):
    told, fsync, replace = [], os.fsync, Path.replace

    def synced(descriptor):
        told.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def replaced(self, to):
        told.append(f"-> {to.name}")
        return replace(self, to)

    (tmp_path / "out" / "deep").mkdir(parents=True)
    for name in ("page.html", "deep/figure.png"):
        (tmp_path / "out" / name).write_text("a")
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    folders.seal(tmp_path / "out", "report")
    assert sorted(told[:2]) == ["figure.png", "page.html"]
    assert told[2:] == [
        said
        for name in (checksums.FILES, ancestry.PROVENANCE, ancestry.DONE)
        for said in (f".{name}.partial", f"-> {name}")
    ]


def test_a_file_is_old_or_new_and_never_torn(tmp_path, monkeypatch):
    def full(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    files.write_bytes(tmp_path / "a", b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_bytes(tmp_path / "a", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


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

    monkeypatch.setattr(os, "fsync", full)
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


def test_what_zarr_still_writes_after_an_interrupt_makes_no_scratch_anew(tmp_path):
    """Its thread goes on where Ctrl-C has ended the wait for it."""
    import asyncio

    import zarr
    from zarr.core import sync

    async def late(folder):
        await asyncio.sleep(0.3)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "chunk").write_bytes(b"a")

    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "out", "clips") as folder:
        zarr.create_group(folder)
        pending = asyncio.run_coroutine_threadsafe(late(folder), sync.loop[0])
        raise KeyboardInterrupt
    pending.result(10)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", ["run", "run/../run", "link", ""])
def test_an_output_never_takes_the_place_of_what_it_is_made_of(tmp_path, target):
    write(tmp_path / "all" / "run", "precious")
    (tmp_path / "all" / "link").symlink_to("run")
    (tmp_path / "all" / "done.json").write_text("{}")  # so that --force would replace it
    with (
        pytest.raises(BadInput, match="is the run, or holds it, that it is to be made of"),
        new_folder(tmp_path / "all" / target, "report", force=True, inputs={"run": tmp_path / "all" / "run"}),
    ):
        pytest.fail("nothing may be made there")
    assert (tmp_path / "all" / "run" / "page.html").read_text() == "precious"


def test_an_output_does_not_lie_amid_the_arrays_of_its_input_but_may_lie_in_a_run(tmp_path):
    for name in ("store", "run"):
        write(tmp_path / name)
    (tmp_path / "store" / "zarr.json").write_text("{}")
    with (
        pytest.raises(BadInput, match="lies inside the store that it is to be made of"),
        new_folder(tmp_path / "store" / "clips", "clips", inputs={"store": tmp_path / "store"}),
    ):
        pytest.fail("nothing may be made there")
    with new_folder(tmp_path / "run" / "evaluation", "evaluation", inputs={"run": tmp_path / "run"}):
        pass
    assert (tmp_path / "run" / "evaluation" / "done.json").is_file()


def test_a_path_that_no_encoding_has_is_written_and_read_again(tmp_path):
    path = tmp_path / os.fsdecode(b"\312\375\276")
    path.mkdir()
    for value in (str(path), "ü漢\U0001f600", '"\\'):
        data = as_json({"path": value})
        assert json.loads(data) == {"path": value}
        assert json.loads(json_text([value])) == [value]
    assert b"\\udcca" in as_json(str(path))
    assert "ü" in json_text("ü")
    with new_folder(path / "out", "store", inputs={"raw": path}) as folder:
        (folder / "a").write_text("b")
    assert json.loads((path / "out" / "provenance.json").read_text())["inputs"]["raw"]["path"] == str(path)
