"""Where compiled kernels and fonts are cached when the usual places cannot be written to."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

ENOUGH = 64 * 2**20  # bytes that must be free; compiled kernels take 4 MB, and those of older versions stay
OURS = "skelpipe-cache-"  # + the user's number
NUMBA, MATPLOTLIB, XDG = "NUMBA_CACHE_DIR", "MPLCONFIGDIR", "XDG_CACHE_HOME"


def choose_caches() -> None:
    """Name another folder to Numba, Matplotlib and Snakemake, where theirs are read-only, full or nowhere.

    Numba would not even load a kernel that it has no place for. Its place is beside the code, or else in the user's
    cache, which the others use too, or else in a temporary folder. What the environment names and can be used stays.
    """
    for name in (NUMBA, MATPLOTLIB, XDG):  # a parent process, perhaps on another machine, has chosen it: judged anew
        if f"/{OURS}{os.getuid()}" in os.environ.get(name, ""):
            del os.environ[name]
    cache, instead = user_cache(), None
    if not (home := usable(cache)):
        instead = temporary()
        for name in (XDG, MATPLOTLIB):
            if instead and not usable(Path(os.environ.get(name) or os.devnull)):
                os.environ[name] = os.fspath(instead)
    place = cache if home else instead
    if place and not usable(Path(os.environ.get(NUMBA) or Path(__file__).parent / "__pycache__")):
        os.environ[NUMBA] = os.fspath(place / "numba")


def user_cache() -> Path:
    """The folder in which programs keep caches of this user."""
    if named := os.environ.get(XDG):
        return Path(named)
    with suppress(RuntimeError):  # an account that is in no list and has no HOME, as in containers
        return Path.home() / ".cache"
    return Path(os.devnull)


def usable(folder: Path) -> bool:
    """Whether something can be written to a folder, or to the nearest above it that there is."""
    while not folder.is_dir():
        if folder.exists() or folder == folder.parent:
            return False
        folder = folder.parent
    try:
        free = os.statvfs(folder)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK) and free.f_bavail * free.f_frsize >= ENOUGH


def temporary() -> Path | None:
    """A folder of this user alone among the temporary ones, the same for all processes, if there is a place for it.

    What lies in it is code that will be run, so one that somebody else has made, or may write to, is left alone.
    """
    import tempfile

    with suppress(OSError):
        path = Path(tempfile.gettempdir()) / f"{OURS}{os.getuid()}"
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022:
            return path
    with suppress(OSError):
        return Path(tempfile.mkdtemp(prefix=OURS))
    return None
