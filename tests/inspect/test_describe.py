import json

import numpy as np
import pytest
from rawtext import files, ntu_clip
from rich.console import Console

from skelpipe.errors import BadInput
from skelpipe.inspect.describe import describe
from skelpipe.outputs.files import write_json
from skelpipe.outputs.folders import new_folder
from skelpipe.recordings.ingest import ingest
from skelpipe.recordings.store import create_group, write_array, write_columns


def shown(path):
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(describe(path))
    return capture.get()


def test_store(tmp_path):
    raw = files(
        tmp_path / "raw",
        S001C001P001R001A001=ntu_clip(0),
        S001C002P003R001A002=ntu_clip(1),
        S001C002P005R002A008=ntu_clip(2),
    )
    (raw / "[bold]\x1b[31m.skeleton").write_text("")
    ingest("ntu60", raw, tmp_path / "store", workers=0)
    text = shown(tmp_path / "store")
    for part in (
        "NTU RGB+D",
        "2 (the publication has 56,578)",
        "8 in all, 4 to 4 a clip",
        "missing skeleton",
        "left out",
    ):
        assert part in text
    assert [line.split() for line in text.splitlines() if line.startswith("x")] == [
        ["xsub60", "1", "1", "0"],
        ["xview60", "1", "1", "0"],
    ]
    assert r"[bold]\x1b[31m" in text
    assert "\x1b" not in text
    assert str(raw) in text


def test_clips_and_streams(tmp_path):
    about = {"dataset": "pku1", "layout": "kinect_v2", "columns": ["name", "label", "video", "view"], "frames": 4}
    columns = {
        "name": np.array(["a", "b"]), "label": np.array([3, 3]),
        "video": np.array(["0002-L", "0300-M"]), "view": np.array([1, 2]),
    }  # fmt: skip
    listed = {"pku1-xview": {"train": ["0002-L"], "test": []}}
    with new_folder(tmp_path / "clips", "clips") as folder:
        group = create_group(folder, "clips", {**about, "centre": True, "split_files": listed})
        write_array(group, "clips", np.zeros((2, 3, 4, 25, 2), np.float32))
        write_array(group, "length", np.array([7, 9], np.int32))
        write_columns(group, columns)
    text = shown(tmp_path / "clips")
    assert "2 x 3 x 4 x 25 x 2" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["pku1-xsub", "1", "1", "0"] in lines
    assert ["pku1-xview", "(publisher's", "list)", "1", "0", "1"] in lines
    assert ["centre", "True"] in lines
    with new_folder(tmp_path / "streams", "streams") as folder:
        write_array(
            create_group(folder, "streams", {**about, "streams": ["bone"]}), "bone", np.zeros((2, 3), np.float32)
        )
    assert "bone  2 x 3 float32" in shown(tmp_path / "streams")


def test_run(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    write_json(run / "settings.json", {"recipe": "small", "epochs": 9, "encoder": {"width": 16}})
    (run / "log.jsonl").write_text(
        '{"epoch": 1, "loss": 5.5}\n{"epoch": 2, "loss": 4.25, "neighbour_label": null}\n{"epo'
    )
    text = shown(run)
    assert "run, not whole" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["encoder.width", "16"] in lines
    assert ["epoch", "2"] in lines
    assert ["loss", "4.25"] in lines
    assert "(9 are planned)" in text


@pytest.mark.parametrize("kind", ["evaluation", "fusion"])
def test_scores(tmp_path, kind):
    linear = {
        "top1": 0.7042,
        "top5": 0.93,
        "warnings": ["probe collapsed"],
        "best_on_validation": {"epoch": 80, "top1": 0.69},
    }
    metrics = {"recipe": "crosnnclr", "split": "xsub60", "parts": [{"path": "a", "weight": 0.6}], "run": {"x": 1}}
    with new_folder(tmp_path / "out", kind) as folder:
        write_json(folder / "metrics.json", {**metrics, "protocols": {"linear": linear, "knn": {"top1": 0.5}}})
    text = shown(tmp_path / "out")
    for part in ("70.42 %", "93.00 %", "probe collapsed", "best on validation: 69.00 %", "50.00 %", "crosnnclr", "0.6"):
        assert part in text


def test_report_and_others(tmp_path):
    for kind in ("report", "novelty"):
        with new_folder(tmp_path / kind, kind) as folder:
            (folder / "index.html").write_text("x" * 1200)
    assert "index.html  1.2 kB" in shown(tmp_path / "report")
    assert "novelty" in shown(tmp_path / "novelty")


def test_interrupted_store(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "provenance.json").write_text(json.dumps({"kind": "store"}))
    assert "store, not whole" in shown(tmp_path / "store")


def test_not_ours(tmp_path):
    with pytest.raises(BadInput, match="does not exist"):
        describe(tmp_path / "absent")
    with pytest.raises(BadInput, match="was not made by skelpipe"):
        describe(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="was not made by skelpipe"):
        describe(tmp_path / "file")
