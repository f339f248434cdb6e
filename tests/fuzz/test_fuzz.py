"""What the fuzzers keep is replayed, and files that lie on purpose have the outcome that is said here.

`pytest -m soak tests/fuzz` runs the fuzzers themselves: SKELPIPE_FUZZ_RUNS inputs in all (10 million by default, some 30
minutes on one core), nine tenths of them for the two text parsers. As many again for these, and a hundredth for the other
readers, are guided by coverage.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import tracemalloc
import zipfile
from pathlib import Path

import counted
import numpy as np
import pytest
from click.testing import CliRunner
from engine import CORPUS, allowed, peak_memory, seeds
from rawtext import Guarded, ntu_clip, ntu_text, pku_text, pku_values
from target_names import held
from targets import TARGETS

from skelpipe.cli import main
from skelpipe.errors import BadInput
from skelpipe.recordings.datasets import DATASETS, Dropped
from skelpipe.recordings.datasets.base import Source
from skelpipe.recordings.datasets.files import MAX_BYTES, File
from skelpipe.recordings.ingest import ingest
from skelpipe.recordings.store import open_group, read_array
from skelpipe.recordings.text import ntu, pku
from skelpipe.recordings.text.ntu import parse_ntu
from skelpipe.recordings.text.pku import parse_pku

NAME = "S001C001P001R001A001"
POSE = [["0.1", "-0.2", "3.5"]] * 25
CLIP = ntu_text([[(1, POSE)]] * 2)
RUNS = int(os.environ.get("SKELPIPE_FUZZ_RUNS", 10_000_000))
SHARES = {
    "ntu": 0.54, "pku": 0.36, "names": 0.04, "labels": 0.015, "lists": 0.015, "archives": 0.015, "pickles": 0.004,
    "npz": 0.006, "npy": 0.004, "yaml": 0.0006, "ucla": 0.01,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _guarded(monkeypatch):
    for of in (ntu, pku):
        monkeypatch.setattr(of, "as_array", Guarded().array)


# ---- what was kept


@pytest.mark.parametrize("name", TARGETS)
def test_kept_inputs(name):
    target, kept = TARGETS[name], seeds(name)
    assert kept
    outcomes = [target.check(data, True) for data in kept]
    assert any(outcome.startswith("read") for outcome in outcomes), outcomes
    for data in kept:
        assert peak_memory(target, data)[1] <= allowed(target, len(data))


def test_a_twin_that_disagrees_is_noticed(monkeypatch):
    import twins

    monkeypatch.setattr(twins, "metres", lambda word: np.float32(float(word) + 1))
    with pytest.raises(AssertionError):
        TARGETS["ntu"].check(CLIP.encode(), True)


def test_reading_past_the_end_ends_the_process():
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from rawtext import Guarded\n"
        "import ctypes\n"
        "array = Guarded().array(b'12')\n"
        "ctypes.string_at(array.ctypes.data, int(sys.stdin.read()))\n"
    )
    for length, status in (("2", 0), ("3", -11)):
        done = subprocess.run(
            [sys.executable, "-c", code, str(Path(__file__).parents[1])], input=length, text=True, check=False
        )
        assert done.returncode == status


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("how", ["compiled", "covered"])
def test_fuzz(name, how):
    runs = max(1, int(RUNS * SHARES[name] * (0.01 if how == "covered" and name not in ("ntu", "pku") else 1)))
    words = [str(Path(__file__).with_name("run.py")), "--target", name, "--runs", str(runs)]
    if how == "covered":
        pytest.importorskip("atheris")
        words.append("--coverage")
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    if how == "compiled":
        assert json.loads(done.stdout)["runs"] == runs


# ---- what guides


def kernels(folder: Path, name: str, body: str) -> None:
    """A module with one kernel, `read`."""
    lines = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    (folder / f"{name}.py").write_text(f"from numba import njit\n\n\n@njit(cache=True)\ndef read(data):\n{lines}\n")


def test_kernels_count_the_ways_they_take(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(counted, "COUNTERS", np.zeros(64, np.uint8))
    kernels(
        tmp_path,
        "counting_kernel",
        """
        odd = 0
        for value in data:
            wide = value > 9
            if value % 2 == 1 and not wide:
                odd += 1 if value < 5 else 10
        while odd > 0:
            odd -= 1
        return odd
        """,
    )
    places = counted.load("counting_kernel")
    read = sys.modules.pop("counting_kernel").read
    assert read(np.array([1, 3, 7, 8, 11] + [2] * 300, np.uint8)) == 0
    counts = {place.partition(": ")[2]: int(n) for place, n in zip(places, counted.COUNTERS, strict=False)}
    assert counts == {
        "called": 1, "for value in data": 255, "not (value > 9)": 255, "value > 9": 1, "not (value % 2 == 1)": 255,
        "value % 2 == 1": 4, "not (wide)": 3, "wide": 1, "not (value < 5)": 1, "value < 5": 2, "not (odd > 0)": 1, "odd > 0": 12,
    }  # fmt: skip
    assert not list(tmp_path.rglob("*.nbc"))


@pytest.mark.parametrize("how", ["guided", "blind"])
def test_guidance_finds_what_lies_deep(tmp_path, how):
    """Three bytes must be right for the kernel to read past the end; told which ways were new, libFuzzer gets there."""
    pytest.importorskip("atheris")
    nested = "if len(data) > 4:\n if data[0] == 200:\n  if data[1] == 13:\n   if data[2] == 77:\n    return data[4 * len(data)]\nreturn 0"
    kernels(tmp_path, "deep_kernel", nested)
    code = """
        import sys
        sys.path[:0] = sys.argv[1:3]
        import atheris, counted
        import numpy as np
        places = counted.load("deep_kernel")
        import deep_kernel
        check = lambda data: deep_kernel.read(np.frombuffer(data or b"0", np.uint8))
        check(b"")
        words = ["", "-runs=100000", "-seed=1", "-max_len=8", "-artifact_prefix=" + sys.argv[2] + "/"]
        atheris.Setup(words, check, custom_mutator=lambda data, longest, seed: atheris.Mutate(data, longest))
        if sys.argv[3] == "guided":
            counted.watched(len(places))
        atheris.Fuzz()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(Path(__file__).parent), str(tmp_path), how],
        env={**os.environ, "NUMBA_BOUNDSCHECK": "1"},
        capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    crashes = [path.read_bytes()[:3] for path in tmp_path.glob("crash-*")]
    if how == "guided":
        assert "IndexError" in done.stdout + done.stderr
        assert crashes == [bytes([200, 13, 77])]
    else:
        assert (done.returncode, crashes) == (0, []), done.stderr


# ---- text that lies


def refused(function, data: bytes) -> str:
    with pytest.raises(BadInput) as caught:
        function(data, "here")
    return str(caught.value)


@pytest.mark.parametrize(
    ("token", "said"),
    [
        *[(word, "not a number") for word in ("nan", "inf", "-Infinity", "0x1p3", "1_0", "1,5", "+", ".", "1e", "٣", "1\0")],
        *[(word, "no length in metres") for word in ("1e308", "-1e39", "3.5e38", "1e400")],
        *[(word, None) for word in ("1e-45", "1e-320", "4.9e-324", "-0", "+5", "1.", "3.4028234e38", "0" * 400, "1e-99999")],
    ],
)  # fmt: skip
def test_numbers(token, said):
    """Denormals and what underflows are kept as float32 has them; what it cannot hold is refused."""
    data = ntu_text([[(1, [[token, "1", "2"], *POSE[1:]])]]).encode()
    sequence = f"{token} {'1 ' * 149}\n".encode()
    if said is None:
        assert parse_ntu(data).joints[0, 0, 0].tobytes() == np.float32(float(token)).tobytes()
        assert parse_pku(sequence)[0, 0].tobytes() == np.float32(float(token)).tobytes()
    else:
        assert said in refused(parse_ntu, data)
        assert said in refused(parse_pku, sequence)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.replace("2\n", "3\n", 1), "truncated"),
        (lambda t: t.replace("2\n", "1\n", 1), "more text after the last"),
        (lambda t: t.replace("2\n", "1e3\n", 1), "a whole number"),
        (lambda t: t.replace("2\n", "٢\n", 1), "a whole number"),
        (lambda t: t.replace("2\n", "-2\n", 1), "negative"),
        (lambda t: t.replace("\n1\n", "\n2\n", 1), "joints"),
        (lambda t: t.replace("\n1\n", "\n0\n", 1), "bodies should be here"),
        (lambda t: t.replace("\n25\n", "\n24\n", 1), "24 joints, not 25"),
        (lambda t: t.replace("\n25\n", "\n26\n", 1), "26 joints, not 25"),
        (lambda t: t.replace("\n25\n", "\n-25\n", 1), "negative"),
        (lambda t: t + t, "more text after the last"),
        (lambda t: "\ufeff" + t, "a whole number"),
        (lambda t: t.replace("\n", "\r"), "a whole number"),
        (lambda t: t.replace("\n", "\0"), "a whole number"),
        (lambda t: t.encode("utf-16").decode("latin1"), "a whole number"),
        (lambda t: "", "truncated"),
        (lambda t: " \r\n\t\n", "truncated"),
    ],
)
def test_counts_and_lines(change, said):
    assert said in refused(parse_ntu, change(CLIP).encode("utf-8", "surrogateescape"))


@pytest.mark.parametrize("change", [lambda t: t.replace("\n", "\r\n"), lambda t: t[:-1], lambda t: "\n \r\n" + t + "\n\n", lambda t: t.replace("2\n", "+2\n", 1)])  # fmt: skip
def test_harmless_differences(change):
    assert parse_ntu(change(CLIP).encode()).joints.tobytes() == parse_ntu(CLIP.encode()).joints.tobytes()


@pytest.mark.parametrize("promise", ["1000000000", "9223372036854775807", "0000000000000000000000000001000000000"])
@pytest.mark.parametrize("place", [0, 1, 3])
def test_promises_allocate_nothing(promise, place):
    lines = CLIP.split("\n")
    lines[place] = promise
    data = "\n".join(lines).encode()
    outcome, peak = peak_memory(TARGETS["ntu"], data)
    assert outcome.startswith("refused")
    assert peak < allowed(TARGETS["ntu"], len(data)) < 1 << 17


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("ntu", CLIP.encode() * 1),
        ("ntu", ntu_text([[(1, [["0", "0", "0"]] * 25)] * 40] * 50).replace(" 277.419 191.8218 1036.233 519.1677 -0.2059419 0.05349901 0.9692109 -0.1239193 2", "").encode()),
        ("ntu", ntu_text([[(1, [["1e23"] * 3] * 25)] * 10] * 4).encode()),
        ("ntu", b"100000\n" + b"0\n" * 100_000),
        ("pku", b"0 " * 300_000 + b"\n"),
        ("pku", (b"1e23 " * 150 + b"\n") * 60),
        ("pku", (b"0 " * 150 + b"\n") * 500),
        ("labels", b"x\n" * 10_000),
        ("labels", b"1,1,12,1\n" * 2000),
        ("labels", b"\n" * 100_000),
        ("lists", b"train:" + b"1-L," * 4000),
        ("ucla", b'{"skeletons": [' + b'{"":0},' * 20_000 + b"0]}"),
        ("ucla", b'{"skeletons": [' + b",".join([b"[" + b",".join([b"[1,1,1]"] * 20) + b"]"] * 200) + b"]}"),
    ],
)  # fmt: skip
def test_memory_is_bounded_by_the_size_of_the_file(name, data):
    assert peak_memory(TARGETS[name], data)[1] <= allowed(TARGETS[name], len(data))


def test_a_list_that_is_no_list_is_not_read():
    huge = held("cross-subject.txt", b"train:" + b" " * (1 << 20))
    with pytest.raises(BadInput, match="no list of labels"):
        DATASETS["pku1"]._split_lists(huge, [])
    with pytest.raises(BadInput, match="no list of labels"):
        DATASETS["pku1"].read(Source("0001-L", (held("a/0001-L.txt", b"0 " * 150), huge)))


# ---- archives that lie


def archive(path: Path, members: dict[str, str | bytes], method: int = zipfile.ZIP_DEFLATED, **about: int) -> Path:
    with zipfile.ZipFile(path, "w", method) as made:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            for key, value in about.items():
                setattr(info, key, value)
            made.writestr(info, data, method)
    return path


def patched(path: Path, place: int, size: int, value: int) -> Path:
    """The field at `place` of every entry of the archive's directory, changed."""
    data = bytearray(path.read_bytes())
    start = data.find(b"PK\1\2")
    while start >= 0:
        data[start + place : start + place + size] = value.to_bytes(size, "little")
        start = data.find(b"PK\1\2", start + 1)
    path.write_bytes(data)
    return path


def reasons(raw: Path, dataset: str = "ntu60") -> list[tuple[str, str]]:
    """(name, reason) of what is left out, by the search and by reading, and (name, "clip") of what is read."""
    kind = DATASETS[dataset]
    found = kind.find(raw)
    told = [(dropped.name, dropped.reason) for dropped in found.dropped]
    for source in found.sources:
        try:
            told += [(c.name, c.reason if isinstance(c, Dropped) else "clip") for c in kind.read(source)]
        except BadInput:
            told.append((source.name, "unreadable"))
    return sorted(told)


def test_members_that_point_elsewhere_are_left_out(tmp_path):
    before = {
        "S001C001P001R001A004.skeleton": CLIP,
        "../" * 8 + f"tmp/{NAME}.skeleton": CLIP,
        "/S001C001P001R001A002.skeleton": CLIP,
        "C:\\x\\S001C001P001R001A003.skeleton": CLIP,
    }
    raw = tmp_path / "a" / "b"
    raw.mkdir(parents=True)
    archive(raw / "x.zip", before)
    outside = [(f"S001C001P001R001A00{n}", "unreadable") for n in (1, 2, 3)]
    assert reasons(raw) == [*outside, ("S001C001P001R001A004", "clip")]
    ingest("ntu60", raw, tmp_path / "a" / "out.zarr")
    assert sorted(path.name for path in tmp_path.rglob("*.skeleton")) == []
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["b", "out.zarr"]


def test_what_is_no_file_of_ours_in_an_archive(tmp_path):
    link = 0o120777 << 16
    archive(tmp_path / "a.zip", {"inner.zip": b"PK", f"{NAME}.skeleton": CLIP})
    archive(tmp_path / "b.zip", {"S001C001P001R001A002.skeleton": "/etc/passwd"}, external_attr=link)
    for number, method in ((3, zipfile.ZIP_BZIP2), (4, zipfile.ZIP_LZMA)):
        archive(tmp_path / f"{number}.zip", {f"S001C001P001R001A00{number}.skeleton": CLIP}, method)
    os.mkfifo(tmp_path / "S001C001P001R001A005.skeleton")
    (tmp_path / "S001C001P001R001A006.skeleton").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.zip")
    (tmp_path / "S001C001P001R001A007.skeleton").write_bytes(b"")
    told = reasons(tmp_path)
    assert told == [
        (NAME, "clip"), *[(f"S001C001P001R001A00{n}", "unreadable") for n in range(2, 8)],
        ("inner", "unreadable"), ("pipe", "unreadable"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: patched(archive(p, {f"{NAME}.skeleton": CLIP}), 8, 2, 1), "is encrypted"),
        (lambda p: p.write_bytes(archive(p, {f"{NAME}.skeleton": CLIP}).read_bytes()[:-30]), "not a readable zip"),
        (lambda p: p.write_bytes(b"PK\3\4"), "not a readable zip"),
        (lambda p: p.write_bytes(b""), "not a readable zip"),
        (lambda p: patched(archive(p, {f"{NAME}.skeleton": CLIP, "S001C001P001R001A002.skeleton": CLIP}), 42, 4, 0), "share their bytes"),
    ],
)  # fmt: skip
def test_archives_that_are_refused(tmp_path, make, said):
    make(tmp_path / "x.zip")
    with pytest.raises(BadInput, match=said) as caught:
        DATASETS["ntu60"].find(tmp_path)
    assert "x.zip" in caught.value.where
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_same_clip_twice(tmp_path):
    """In two places the first in order of path is used; twice under one name in an archive nobody can tell."""
    other = ntu_clip(5)
    (tmp_path / "b").mkdir()
    archive(tmp_path / "a.zip", {f"{NAME}.skeleton": CLIP})
    archive(tmp_path / "b" / "c.zip", {f"{NAME}.skeleton": other})
    (tmp_path / f"{NAME.lower()}.skeleton").write_text(other)
    kind = DATASETS["ntu60"]
    found = kind.find(tmp_path)
    assert [(d.name, d.reason) for d in found.dropped] == [(NAME, "duplicate")] * 2
    assert all("used a.zip" in d.detail for d in found.dropped)
    assert kind.read(found.sources[0])[0].frames == 2
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as twice:
        twice.writestr(f"{NAME}.skeleton", CLIP)
        twice.writestr(f"{NAME}.skeleton", other)
    with pytest.raises(BadInput, match=f"d.zip: holds {NAME}.skeleton twice"):
        kind.find(tmp_path)


def test_sizes_that_lie_and_bombs_take_no_memory(tmp_path):
    bomb = b"0" * (48 << 20)
    small = archive(tmp_path / "small.zip", {"S001C001P001R001A001.skeleton": bomb})
    liar = patched(archive(tmp_path / "liar.zip", {"S001C001P001R001A002.skeleton": bomb}), 24, 4, 1000)
    more = patched(
        archive(tmp_path / "more.zip", {"S001C001P001R001A003.skeleton": CLIP}, zipfile.ZIP_STORED), 24, 4, 9999
    )
    huge = patched(
        archive(tmp_path / "huge.zip", {"S001C001P001R001A004.skeleton": CLIP}, zipfile.ZIP_STORED),
        24,
        4,
        MAX_BYTES + 1,
    )
    dense = patched(archive(tmp_path / "dense.zip", {"S001C001P001R001A005.skeleton": bomb}), 20, 4, 48 << 20)
    assert [path.stat().st_size < 1 << 17 for path in (small, liar, more, huge, dense)] == [True] * 5
    tracemalloc.start()
    told = reasons(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
    assert {name: reason for name, reason in told if name[-1] in "1245"} == {
        f"S001C001P001R001A00{n}": "unreadable" for n in (1, 2, 4, 5)
    }
    assert ("S001C001P001R001A003", "clip") not in told or len(told) == 5


def test_what_is_larger_than_any_recording_is_not_read(tmp_path):
    (tmp_path / "a.skeleton").write_text(CLIP)
    with pytest.raises(BadInput, match="bytes, which no recording has"):
        File("a.skeleton", str(tmp_path / "a.skeleton"), size=MAX_BYTES + 1).read()


def test_long_names_do_not_widen_the_drop_report(tmp_path):
    members = {"x" * 60_000 + ".skeleton": "", **{f"bad{n}.skeleton": "" for n in range(300)}, f"{NAME}.skeleton": CLIP}
    archive(tmp_path / "a.zip", members)
    tracemalloc.start()
    ingest("ntu60", tmp_path / "a.zip", tmp_path / "out.zarr")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20  # of 300 x 60,000 letters of 4 bytes it would be 72 MB
    group, _ = open_group(tmp_path / "out.zarr", "store")
    assert len(read_array(group, "dropped/name")) == 301


# ---- through the command


def told(raw: Path, out: Path, *words: str, dataset: str = "ntu60") -> tuple[int, str]:
    done = CliRunner().invoke(main, ["ingest", dataset, str(raw), str(out), "--workers", "0", *words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def test_ingest_names_what_it_leaves_out(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    liars = {
        "A001": CLIP,
        "A002": CLIP.replace("2\n", "1000000000\n", 1),
        "A003": CLIP.replace("3.5", "nan"),
        "A004": "",
    }
    for action, content in liars.items():
        (raw / f"S001C001P001R001{action}.skeleton").write_text(content)
    (raw / "S001C001P001R001A061.skeleton").write_text(CLIP)
    (raw / "S1.skeleton").write_text(CLIP)
    (raw / "S\u0660\u0660\u0661C001P001R001A005.skeleton").write_text(CLIP)
    archive(raw / "z.zip", {"S001C001P001R001A001.skeleton": CLIP, "n.zip": b""})
    code, said = told(raw, tmp_path / "out.zarr")
    assert code == 0
    assert "left out: 1 duplicate, 1 not in ntu60, 2 unknown name, 4 unreadable" in said
    assert "1 clips of" in said
    group, _ = open_group(tmp_path / "out.zarr", "store")
    assert len(read_array(group, "dropped/name")) == 8
    code, said = told(raw, tmp_path / "strict.zarr", "--strict")
    assert code == 2
    assert said.count("\n") == 1
    assert not (tmp_path / "strict.zarr").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.zip", b"PK\5\6", "is not a readable zip archive"),
        ("S001C001P001R001A001.skeleton", b"\xff\xfe2\0", "no clip can be kept (1 unreadable)"),
        ("\x1b[31mred.skeleton", b"", "\\x1b[31mred"),
        ("\x1b[2J[red]\n.zip", b"", "\\x1b[2J[red] .zip: is not a readable zip archive"),
    ],
)
def test_ingest_refuses_in_one_line(tmp_path, name, content, said):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / name).write_bytes(content)
    code, output = told(raw, tmp_path / "out.zarr")
    assert code == 2
    assert said in output
    assert output.count("\n") == 1
    assert output.rstrip("\n").isprintable()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]


def test_ingest_of_pku_names_what_it_leaves_out(tmp_path):
    raw = tmp_path / "raw"
    sequence = pku_text(pku_values(1, 12))
    files = {
        "s/0001-L.txt": sequence, "l/0001-L.txt": "1,1,5,2\n1_0,1,5,2\n٣,1,5,2\n2,9,8,1\n", "s/0002-M.txt": sequence,
        "s/0003-R.txt": sequence.replace("\n", " 7\n", 1), "l/0003-R.txt": "1,1,5,2\n", "s/٠٠٠٤-L.txt": sequence,
        "l/0005-L.txt": "1,1,2,2\n", "cross-view.txt": "Training videos:\n0001-L\nValidation videos:\n0002-M\n",
    }  # fmt: skip
    for name, content in files.items():
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).write_text(content)
    code, said = told(raw, tmp_path / "out.zarr", dataset="pku1")
    assert code == 0, said
    assert "left out: 3 bad label, 1 no labels, 1 no sequence, 1 unknown name, 1 unreadable" in said
    (raw / "cross-view.txt").write_text("Training videos:\n0001-L, 002x\n")
    code, said = told(raw, tmp_path / "again.zarr", dataset="pku1")
    assert code == 2
    assert "cross-view.txt, line 2: '002x' is no video's name" in said


def test_the_corpus_is_what_its_writer_writes():
    import seeds as writer

    for name, data in writer.seeds().items():
        if name.partition("/")[0] in (
            "ntu",
            "pku",
            "labels",
            "lists",
            "names",
            "yaml",
        ):  # others depend on NumPy's version
            assert (CORPUS / name).read_bytes() == data
