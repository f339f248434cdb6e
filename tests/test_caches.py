"""Where caches go when the usual places cannot be written to."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from skelpipe import caches

NAMES = (caches.NUMBA, caches.MATPLOTLIB, caches.XDG)


@pytest.fixture
def surroundings(tmp_path, monkeypatch):
    """No name is set, HOME is a folder, and what is temporary lies in another; returns both."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    home.mkdir(), scratch.mkdir()
    monkeypatch.setenv("HOME", os.fspath(home))
    monkeypatch.setattr(tempfile, "tempdir", os.fspath(scratch))
    return home, scratch


def chosen():
    caches.choose_caches()
    return {name: os.environ[name] for name in NAMES if name in os.environ}


def unusable(monkeypatch, *folders):
    """Make folders, and what is below them, refuse to be written to."""
    real = os.access
    refused = [os.fspath(folder) for folder in folders]

    def access(path, mode):
        return not any(os.fspath(path).startswith(one) for one in refused) and real(path, mode)

    monkeypatch.setattr(os, "access", access)


def test_the_usual_places_stay_where_they_can_be_used(surroundings):
    assert chosen() == {}


def test_without_a_home_all_go_to_one_folder_of_this_user_alone(surroundings, monkeypatch):
    _, scratch = surroundings
    monkeypatch.setenv("HOME", "/proc/nohome")
    unusable(monkeypatch, Path(caches.__file__).parent)
    folder = scratch / f"skelpipe-cache-{os.getuid()}"
    assert chosen() == {
        caches.NUMBA: f"{folder}/numba", caches.MATPLOTLIB: f"{folder}", caches.XDG: f"{folder}"
    }  # fmt: skip
    assert folder.stat().st_mode & 0o777 == 0o700
    assert chosen()[caches.NUMBA] == f"{folder}/numba"  # again, and so for the next process


def test_a_read_only_installation_keeps_its_kernels_in_the_users_cache(surroundings, monkeypatch):
    home, _ = surroundings
    unusable(monkeypatch, Path(caches.__file__).parent)
    assert chosen() == {caches.NUMBA: f"{home}/.cache/numba"}


def test_a_full_disk_is_no_place(surroundings, monkeypatch):
    full = os.statvfs("/")
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result((*full[:3], 0, 0, *full[5:])))
    assert set(chosen()) == set(NAMES)


def test_a_usable_place_that_the_environment_names_stays(surroundings, tmp_path, monkeypatch):
    unusable(monkeypatch, Path(caches.__file__).parent)
    monkeypatch.setenv("HOME", "/proc/nohome")
    named = {name: os.fspath(tmp_path / name) for name in NAMES}
    os.environ.update(named)
    assert chosen() == named


@pytest.mark.parametrize("kind", ["open to all", "a file", "a link"])
def test_a_folder_that_others_could_write_to_is_left_alone(surroundings, monkeypatch, kind):
    _, scratch = surroundings
    monkeypatch.setenv("HOME", "/proc/nohome")
    taken = scratch / f"skelpipe-cache-{os.getuid()}"
    if kind == "open to all":
        taken.mkdir()
        taken.chmod(0o777)
    elif kind == "a file":
        taken.touch()
    else:
        taken.symlink_to(scratch)
    assert Path(chosen()[caches.XDG]).name.startswith("skelpipe-cache-")
    assert Path(os.environ[caches.XDG]) != taken


def test_an_account_without_a_home_is_served(surroundings, monkeypatch):
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 2**30)  # in no list
    assert set(chosen()) == {caches.MATPLOTLIB, caches.XDG}


def test_what_a_parent_process_chose_is_judged_anew(surroundings, monkeypatch):
    """On another machine somebody else may have made a folder of that name."""
    _, scratch = surroundings
    monkeypatch.setenv("HOME", "/proc/nohome")
    first = chosen()
    assert chosen() == first
    taken = scratch / f"skelpipe-cache-{os.getuid()}"
    taken.chmod(0o777)
    assert Path(chosen()[caches.XDG]) != taken


def test_nowhere_at_all_is_no_reason_to_fail(surroundings, monkeypatch):
    monkeypatch.setenv("HOME", "/proc/nohome")
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    assert chosen() == {}


def test_a_kernel_is_compiled_without_a_home(tmp_path):
    """In a process of its own, with the real Numba and a module whose folder cannot be written to."""
    script = "import os, skelpipe; from skelpipe.clips.time import count_frames; print(os.environ['NUMBA_CACHE_DIR'])"
    gone = os.environ | {"HOME": "/proc/nohome", "NUMBA_CACHE_DIR": "/proc/nowhere", "TMPDIR": os.fspath(tmp_path)}
    gone.pop("XDG_CACHE_HOME", None)
    out = subprocess.run([sys.executable, "-c", script], env=gone, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == f"{tmp_path}/skelpipe-cache-{os.getuid()}/numba"
