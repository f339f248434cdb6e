"""What `skelpipe doctor` says of machines that lack something, and how it ends."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from click.testing import CliRunner

from skelpipe.cli import main
from skelpipe.doctor import machine, packages, places
from skelpipe.doctor.check import Check
from skelpipe.doctor.examine import examine
from skelpipe.recordings.datasets import DATASETS

ROOT = Path(__file__).parents[2]


def test_a_whole_machine_is_told_in_some_ten_lines(tmp_path):
    told = CliRunner().invoke(main, ["doctor", "--data", str(tmp_path)])
    lines = told.output.splitlines()
    assert told.exit_code == 0, told.output
    assert len(lines) <= 10
    assert [line.split()[1] for line in lines[:-1]] == [
        "versions", "machine", "torch", "GPU", "caches", "disk", "recordings", "extras",
    ]  # fmt: skip
    assert lines[-1].startswith("All that is needed is there")
    assert not list(tmp_path.iterdir())


def test_json_holds_all_of_it(tmp_path):
    (tmp_path / "raw/nw-ucla").mkdir(parents=True)
    (tmp_path / "raw/nw-ucla/all_sqe.zip").write_bytes(b"zip")
    (tmp_path / "raw/ntu60/folder").mkdir(parents=True)
    for name in "abc":
        (tmp_path / f"raw/ntu60/folder/{name}.skeleton").write_text("1")
    (tmp_path / "stores/ntu60.zarr").mkdir(parents=True)
    told = CliRunner().invoke(main, ["doctor", "--json", "--data", str(tmp_path)])
    found = {check["name"]: check for check in json.loads(told.output)["checks"]}
    assert found["recordings"]["facts"] == {"raw": {"ntu60": 3, "nw-ucla": 1}, "stores": ["ntu60.zarr"]}
    assert found["recordings"]["text"].startswith("ntu60 (3 files), nw-ucla (1 file) in ")
    assert found["versions"]["facts"]["executable"] == sys.executable
    assert {*found["disk"]["facts"]["needs_gb"]} == {*DATASETS}
    assert found["machine"]["facts"]["cores"] >= 1


def test_what_is_broken_ends_it_with_1_and_has_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "usable", lambda folder: False)
    told = CliRunner().invoke(main, ["doctor", "--data", str(tmp_path)])
    assert told.exit_code == 1
    assert re.search(
        r"BROKEN +caches +compiled kernels cannot be kept .*; free space, or set NUMBA_CACHE_DIR", told.output
    )
    assert told.output.endswith("Broken: caches.\n")


def test_every_trouble_has_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "usable", lambda folder: False)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("U", (), {"free": 5e8})())
    monkeypatch.setattr(machine, "granted_cores", lambda: 0.25)
    monkeypatch.setattr(machine, "DRIVER", ROOT)
    monkeypatch.setattr(packages, "requires", lambda name: ["numpy>=99", "nothing_like_it", "x; extra == 'dev'"])
    checks = {check.name: check for check in examine(tmp_path)}
    for check in checks.values():
        assert check.state == "well" or check.remedy, check
    states = {name: check.state for name, check in checks.items()}
    assert states["versions"] == states["caches"] == states["disk"] == "broken"
    assert checks["versions"].remedy == "pip install 'numpy>=99' 'nothing_like_it'"
    assert checks["disk"].text.startswith("0.5 GB free for ")
    if machine.cpu_count() > 1:
        assert checks["machine"].remedy.startswith("this container may use 0.25 cores")
    assert checks["GPU"].state == "note" or checks["GPU"].facts["gpus"]


def test_a_disk_too_small_for_a_set_is_a_note_and_one_that_cannot_be_written_is_broken(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("U", (), {"free": 3e9})())
    check = places.look_at_disk(tmp_path / "not" / "there")
    assert (check.state, check.remedy) == ("note", "there is no room for ntu120: use --data on a larger disk")
    (tmp_path / "file").write_text("")
    assert places.look_at_disk(tmp_path / "file").state == "broken"


def test_torch_that_cannot_be_imported_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    check = machine.look_at_torch()
    assert check.state == "broken"
    assert check.text.startswith("cannot be imported (ModuleNotFoundError: ")
    assert machine.look_at_gpus() == Check("GPU", "note", "unknown without torch", "see torch")


def test_the_limit_of_a_container_is_read(tmp_path):
    file = tmp_path / "cpu.max"
    for text, cores in (("150000 100000\n", 1.5), ("max 100000\n", None), ("", None)):
        file.write_text(text)
        assert machine.granted_cores(file) == cores
    assert machine.granted_cores(tmp_path / "none") is None
    whole, free = machine.memory()
    assert 0 < free <= whole


def test_extras_are_those_of_the_package(monkeypatch):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {*packages.EXTRAS} == {*extras} - {"test", "dev", "docs", "fuzz", "mutation"}
    monkeypatch.setattr(packages, "_found", lambda module: module in ("onnx", "onnxruntime", "wandb"))
    check = packages.look_at_extras()
    assert check.text.startswith("onnx, wandb; not there: video (poses of videos), slurm (")
    assert check.remedy.endswith('pip install "skelpipe[video,slurm,mlflow]"')


def test_an_uninstalled_checkout_asks_for_nothing(monkeypatch):
    def nowhere(name: str) -> list[str]:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(packages, "requires", nowhere)
    assert packages.unmet() == []


@pytest.mark.parametrize("width", [80, 160])
def test_on_a_terminal_it_has_colours_and_fits(tmp_path, width, monkeypatch, capsys):
    from skelpipe.doctor.show import show

    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    show([Check("disk", "broken", "no room " * 30, "free some"), Check("torch", "well", "there")])
    text = capsys.readouterr().out
    assert "\x1b[1;31mBROKEN" in text
    assert max(len(line) for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()) <= width
