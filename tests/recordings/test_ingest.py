import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from rawtext import files, ntu_clip, ntu_text, pku_text, pku_values, read_ntu, real_data

import skelpipe
from skelpipe.errors import BadInput
from skelpipe.recordings import reading, writer
from skelpipe.recordings.datasets import find_dataset
from skelpipe.recordings.datasets.ntu import clip_name
from skelpipe.recordings.ingest import ingest
from skelpipe.recordings.store import open_group
from skelpipe.recordings.verify import verify


def raw_folder(path, clips=6):
    """Random clips of one or two bodies, and one that was cut short."""
    names = [clip_name(1 + n % 3, 1 + n % 3, 1 + n % 4, 1, 1 + n) for n in range(clips)]
    files(path, **{name: ntu_clip(n, frames=3 + n, bodies=1 + n % 2) for n, name in enumerate(names)})
    files(path / "more", S001C001P001R001A050=ntu_clip(50)[:-40])
    return path


def digest(store):
    return json.loads((store / "done.json").read_text())["digest"]


def strings(array):
    return np.asarray(array[...]).tolist()


def test_store_holds_what_was_seen(tmp_path):
    raw = raw_folder(tmp_path / "raw")
    files(raw, S001C002P005R002A008=ntu_clip(0), S001C001P001R001A040=ntu_text([[], []]))
    calls = []
    summary = ingest("ntu60", raw, tmp_path / "store", workers=0, progress=lambda *numbers: calls.append(numbers))
    group, about = open_group(tmp_path / "store", "store")
    names = strings(group["name"])
    assert names == sorted(names)
    offsets, frames = group["clip_offset"][...], group["clip_frames"][...]
    for n, name in enumerate(names):
        path = next(raw.rglob(f"{name}.skeleton"))
        expected = read_ntu(path.read_text())
        rows = slice(offsets[n], offsets[n + 1])
        assert frames[n] == expected[0]
        assert group["joints"][rows].tobytes() == expected[1].tobytes()
        assert group["row_frame"][rows].tolist() == expected[2]
        assert group["row_body"][rows].tolist() == expected[3]
        assert group["label"][n] == int(name[-3:]) - 1
        assert [group[c][n] for c in ("setup", "camera", "subject", "replication")] == [
            int(name[i : i + 3]) for i in (1, 5, 9, 13)
        ]
    assert len(names) == summary.clips == about["clips"] == 6
    assert group["joints"].shape[0] == summary.rows == about["rows"] == offsets[-1]
    assert about["dataset"] == "ntu60"
    assert about["layout"] == "kinect_v2"
    assert about["columns"] == ["name", "label", "subject", "camera", "setup", "replication"]
    assert "split_files" not in about
    report = list(zip(*(strings(group[f"dropped/{k}"]) for k in ("name", "reason")), strict=True))
    assert sorted(report) == [
        ("S001C001P001R001A040", "no body"),
        ("S001C001P001R001A050", "unreadable"),
        ("S001C002P005R002A008", "missing skeleton"),
    ]
    assert summary.dropped == {"no body": 1, "unreadable": 1, "missing skeleton": 1}
    (fault,) = summary.faults
    assert "more/S001C001P001R001A050.skeleton, line 1" in fault.detail
    assert "download" in fault.detail
    assert calls[-1] == (8, 8, summary.bytes_read)
    assert [done for done, *_ in calls] == list(range(1, 9))
    assert verify(tmp_path / "store", raw, workers=0).clips == 6
    kept = ingest("ntu60", raw, tmp_path / "all", workers=0, keep_missing=True)
    assert kept.dropped == {"unreadable": 1}
    assert verify(tmp_path / "all", raw, workers=0).clips == 8


@pytest.mark.parametrize("threads", [True, False], ids=["threads", "processes"])
def test_nothing_depends_on_workers_or_batches(tmp_path, monkeypatch, threads):
    raw = raw_folder(tmp_path / "raw", clips=9)
    with zipfile.ZipFile(tmp_path / "raw" / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for n in range(1, 9):
            archive.writestr(f"S001C001P002R001A00{n}.skeleton", ntu_clip(n))
        archive.writestr("S001C001P002R001A009.skeleton", "broken")
    ingest("ntu60", raw, tmp_path / "one", workers=0)
    monkeypatch.setattr(reading, "BATCH_BYTES", 20_000)
    monkeypatch.setattr(type(find_dataset("ntu60")), "threads", threads)
    ingest("ntu60", raw, tmp_path / "two", workers=2)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")


def test_rows_across_chunks(tmp_path, monkeypatch):
    """More rows than one write holds, in chunks that no clip's end falls on."""
    raw = raw_folder(tmp_path / "raw", clips=9)
    ingest("ntu60", raw, tmp_path / "one", workers=0)
    monkeypatch.setattr(writer, "ROWS_PER_CHUNK", 7)
    monkeypatch.setattr(writer, "CHUNKS_AT_ONCE", 2)
    ingest("ntu60", raw, tmp_path / "many", workers=0)
    one, many = (open_group(tmp_path / name, "store")[0] for name in ("one", "many"))
    assert many["joints"].chunks == (7, 25, 3)
    assert many["joints"].nchunks > 4
    for name in ("joints", "row_frame", "row_body", "clip_offset"):
        assert one[name][...].tobytes() == many[name][...].tobytes()
    verify(tmp_path / "many", raw, workers=0)


def test_archive_equals_folder(tmp_path):
    raw = raw_folder(tmp_path / "raw")
    with zipfile.ZipFile(tmp_path / "raw.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in raw.rglob("*.skeleton"):
            archive.write(path, f"skeletons/{path.name}")
    ingest("ntu60", raw, tmp_path / "a", workers=0)
    ingest("ntu60", tmp_path / "raw.zip", tmp_path / "b", workers=0)
    assert verify(tmp_path / "a", tmp_path / "raw.zip", workers=0).clips == 6
    verify(tmp_path / "b", raw, workers=0)


def test_larger_data_set_in_the_folder(tmp_path):
    raw = files(tmp_path / "raw", S001C001P001R001A001=ntu_clip(0), S018C001P041R001A061=ntu_clip(1))
    assert ingest("ntu60", raw, tmp_path / "a", workers=0).dropped == {"not in ntu60": 1}
    assert ingest("ntu120", raw, tmp_path / "b", workers=0).clips == 2


def test_pku_store(tmp_path):
    raw = tmp_path / "raw"
    for name, text in {
        "skeleton/0291-L.txt": pku_text(pku_values(0, 20, range(5, 9))),
        "label/0291-L.txt": "1,1,5,1\n2,4,20,2\nbad\n",
        "cross-subject.txt": "Training videos: \n0291-L, \nValidataion videos: \n0002-M, \n",
    }.items():
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).write_text(text)
    summary = ingest("pku1", raw, tmp_path / "store", workers=0)
    assert (summary.clips, summary.rows, summary.dropped) == (2, 5 + 17 + 4, {"bad label": 1})
    group, about = open_group(tmp_path / "store", "store")
    assert about["columns"] == ["name", "label", "video", "view", "start", "end"]
    assert about["split_files"] == {"pku1-xsub": {"train": ["0291-L"], "test": ["0002-M"]}}
    assert strings(group["video"]) == ["0291-L"] * 2
    assert strings(group["end"]) == [5, 20]
    assert verify(tmp_path / "store", raw, workers=0).clips == 2
    (raw / "cross-subject.txt").unlink()
    with pytest.raises(BadInput, match="the split lists"):
        verify(tmp_path / "store", raw, workers=0)


def test_nothing_to_keep(tmp_path):
    (tmp_path / "empty").mkdir()
    cut = files(tmp_path / "cut", S001C001P001R001A001="3\n1\n")
    cases = {
        tmp_path / "empty": "holds no NTU RGB",
        tmp_path / "absent": "does not exist",
        cut: r"no clip can be kept \(1 unreadable\); the first: S001C001P001R001A001: .*line 3: the file is truncated",
    }
    for raw, message in cases.items():
        with pytest.raises(BadInput, match=message):
            ingest("ntu60", raw, tmp_path / "store", workers=0)
        assert not (tmp_path / "store").exists()
    with pytest.raises(BadInput, match="did you mean 'ntu60'"):
        ingest("ntu6", cut, tmp_path / "store")


@pytest.mark.parametrize(
    ("asked", "names", "other"),
    [
        ("pku1", ["S001C001P001R001A050.skeleton", "S001C001P001R001A050.skeleton.gz"], "ntu60"),
        ("pku1", ["S001C001P001R001A050.skeleton.gz"], "ntu60"),
        ("pku2", ["S018C001P008R001A061.skeleton"], "ntu120"), ("ntu60", ["S018C001P008R001A061.skeleton"], "ntu120"),
        ("pku2", ["a/0002-L.txt", "b/0002-L.txt"], "pku1"), ("pku1", ["a/A10N08-L.txt"], "pku2"),
        ("ntu60", ["a/A10N08-L.txt"], "pku2"), ("ntu60", ["a/0002-L.txt", "b/0002-L.txt"], "pku1"),
        ("ntu120", ["S001C001P001R001A050.skeleton.gz"], None), ("pku1", ["0002-L.txt", "a.tar"], None),
        ("pku1", ["notes.txt"], None),
    ],
)  # fmt: skip
def test_files_named_as_those_of_another_data_set_are_told_first(tmp_path, asked, names, other):
    for name in names:
        (tmp_path / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw" / name).write_text("1 2 3\n")
    with pytest.raises(BadInput) as error:
        ingest(asked, tmp_path / "raw", tmp_path / "store", workers=0)
    if other is None:
        assert "are named as those of" not in str(error.value)
    else:
        assert error.value.remedy.endswith(f"are: give them to 'skelpipe ingest {other}'")


def test_strict(tmp_path):
    raw = raw_folder(tmp_path / "raw")
    with pytest.raises(BadInput, match=r"A050: unreadable .*line 1.* truncated.*leave out --strict"):
        ingest("ntu60", raw, tmp_path / "store", workers=0, strict=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["raw"]


def test_existing_store_stays(tmp_path):
    raw = raw_folder(tmp_path / "raw")
    ingest("ntu60", raw, tmp_path / "store", workers=0)
    before = digest(tmp_path / "store")
    with pytest.raises(BadInput, match="already exists"):
        ingest("ntu60", raw, tmp_path / "store", workers=0)
    with pytest.raises(BadInput, match="does not exist"):
        ingest("ntu60", tmp_path / "absent", tmp_path / "store", workers=0, force=True)
    assert digest(tmp_path / "store") == before
    files(raw, S001C001P001R001A030=ntu_clip(9))
    assert ingest("ntu60", raw, tmp_path / "store", workers=0, force=True).clips == 7
    assert digest(tmp_path / "store") != before


def test_verify_sees_every_difference(tmp_path):
    raw = files(tmp_path / "raw", S001C001P001R001A001=ntu_clip(1), S001C001P001R001A002=ntu_clip(2))
    ingest("ntu60", raw, tmp_path / "store", workers=0)
    text = ntu_clip(1)
    token = text.split("\n")[4].split()[1]
    changes = {
        text.replace(token, f"{float(token) * (1 + 1e-6):.9g}", 1): r"S001C001P001R001A001 differs in joints; check",
        ntu_clip(1, frames=5): "differs in frames, rows",
        text.replace("101 ", "102 ", 1): "differs in row_body",
        text[:-50]: "S001C001P001R001A001 is not in the source; the drop report and the source disagree",
    }
    for change, message in changes.items():
        files(raw, S001C001P001R001A001=change)
        with pytest.raises(BadInput, match=message):
            verify(tmp_path / "store", raw, workers=0)
    files(raw, S001C001P001R001A001=text, S001C001P001R001A003=text)
    with pytest.raises(BadInput, match="S001C001P001R001A003 is not in the store"):
        verify(tmp_path / "store", raw, workers=0)


def test_verify_sees_damage(tmp_path):
    raw = raw_folder(tmp_path / "raw")
    ingest("ntu60", raw, tmp_path / "store", workers=0)
    chunk = next(p for p in (tmp_path / "store" / "joints").rglob("*") if p.is_file() and p.name != "zarr.json")
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    with pytest.raises(BadInput, match="joints: is damaged"):
        verify(tmp_path / "store", raw, workers=0)


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("threads", [True, False], ids=["threads", "processes"])
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_killed_ingest_leaves_no_store_and_no_worker(tmp_path, stop, threads):
    raw = raw_folder(tmp_path / "raw", clips=20)
    script = tmp_path / "slow.py"
    script.write_text(
        textwrap.dedent("""
        import sys, time
        from multiprocessing import active_children
        from skelpipe.recordings import reading
        from skelpipe.recordings.datasets import find_dataset
        from skelpipe.recordings.ingest import ingest
        if __name__ == "__main__":
            reading.BATCH_BYTES = 1
            type(find_dataset("ntu60")).threads = bool(sys.argv[3])
            def progress(done, total, count):
                print(*[child.pid for child in active_children()], flush=True)
                for _ in range(1200):  # an interrupt just before one long sleep would wait for its end
                    time.sleep(0.05)
            ingest("ntu60", sys.argv[1], sys.argv[2], workers=2, progress=progress)
        """)
    )
    command = [sys.executable, script, raw, tmp_path / "store", "threads" if threads else ""]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(skelpipe.__file__).parents[1])])}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
    ) as process:
        workers = [int(pid) for pid in process.stdout.readline().split()]
        process.send_signal(stop)
        _, errors = process.communicate(timeout=60)
    assert len(workers) == (0 if threads else 2)
    assert process.returncode != 0
    assert not (tmp_path / "store").exists()
    assert errors.count("Traceback") <= 1
    deadline = time.monotonic() + 30
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, workers))
    assert ingest("ntu60", raw, tmp_path / "store", workers=0).clips == 20
    assert sorted(p.name for p in tmp_path.iterdir()) == ["raw", "slow.py", "store"]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_genuine_recordings(tmp_path):
    raw = real_data("ntu")
    summary = ingest("ntu60", raw, tmp_path / "store", workers=0)
    assert (summary.clips, summary.rows, summary.dropped) == (7, 769, {})
    assert verify(tmp_path / "store", raw, workers=0).rows == 769
