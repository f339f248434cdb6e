"""What a user gets who installs the wheel: every file that is needed, and commands that work from any folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

import skelpipe

ROOT = Path(skelpipe.__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="needs a checkout")


def run(*words: str | Path, cwd: Path, **variables: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")} | variables
    done = subprocess.run(
        [str(w) for w in words], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy so that nothing is left in the checkout."""
    pytest.importorskip("hatchling")
    copy, out = tmp_path_factory.mktemp("source") / "copy", tmp_path_factory.mktemp("wheel")
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("skelpipe", "models", "pipelines"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    name = run(sys.executable, "-c", f"from hatchling.build import build_wheel as b; print(b({str(out)!r}))", cwd=copy)
    return out / name.splitlines()[-1]


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The bin folder of a fresh environment with the wheel in it; the libraries are those of this environment."""
    home = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", home, cwd=home)
    python = home / "bin" / "python"
    run(python, "-m", "pip", "install", "--no-deps", "--no-index", "--disable-pip-version-check", wheel, cwd=home)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).strip())
    # After the environment's own folder, and without this one's .pth files: an editable install here is not seen there.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n" + sysconfig.get_path("platlib") + "\n")
    return home / "bin"


def test_the_wheel_holds_all_that_is_not_python(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("models", "pipelines"):
        for path in (ROOT / folder).iterdir():
            if path.suffix in (".yaml", "") and path.is_file():
                assert f"skelpipe/_shipped/{folder}/{path.name}" in held
    for path in (ROOT / "skelpipe").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert path.relative_to(ROOT).as_posix() in held
    assert not [name for name in held if name.startswith(("tests/", "data/", "models/", "pipelines/"))]
    assert any(name.endswith("licenses/LICENSE") for name in held)


def test_an_installed_wheel_works_from_another_folder(installed, tmp_path):
    command = installed / "skelpipe"
    where = run(installed / "python", "-c", "import skelpipe; print(skelpipe.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    assert skelpipe.__version__ in run(command, "--version", cwd=tmp_path)
    assert "All at once:" in run(command, "--help", cwd=tmp_path)
    assert "demo" in run(command, "run", "--help", cwd=tmp_path)
    shown = run(command, "run", "demo", "-n", cwd=tmp_path)
    assert "raw/demo" in shown
    assert "reports/demo" in shown
    assert list(tmp_path.iterdir()) == []


def test_names_are_found_in_a_wheel(installed, tmp_path):
    code = "from skelpipe.resources import shipped, names; print(shipped('models')); print(*names('models'))"
    folder, names = run(installed / "python", "-c", code, cwd=tmp_path).splitlines()
    assert folder.endswith("skelpipe/_shipped/models")
    assert names.split() == sorted(path.stem for path in (ROOT / "models").glob("*.yaml"))


def test_every_dependency_is_bounded_or_stable_and_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {line.partition("==")[0].lower() for line in (ROOT / ".ci" / "constraints.txt").read_text().split("\n")}
    for requirement in project["dependencies"]:
        name = requirement.partition(">=")[0].partition("[")[0]
        assert ">=" in requirement
        assert name.lower() in pinned
    assert "+" not in (ROOT / ".ci" / "constraints.txt").read_text()
