"""Parts of a store and of clips: together they are the whole, byte for byte, and nothing else passes for it."""

from __future__ import annotations

import json
import shutil
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from rawtext import files, ntu_clip, ntu_text, write_pku

from skelpipe.cli import main
from skelpipe.clips import prepare as preparing
from skelpipe.clips.prepare import prepare
from skelpipe.errors import BadInput
from skelpipe.outputs.digests import read_digest
from skelpipe.recordings import parts as joining
from skelpipe.recordings import store, writer
from skelpipe.recordings.datasets.ntu import clip_name
from skelpipe.recordings.ingest import ingest
from skelpipe.recordings.parts import Part, join
from skelpipe.recordings.store import Clips, open_group
from skelpipe.recordings.verify import verify


def write_ntu(path: Path, clips: int = 11) -> Path:
    """Clips of unlike length, and some of each kind that is left out, while searching and while reading."""
    names = [clip_name(1 + n % 4, 1 + n % 3, 1 + n % 5, 1, 1 + n) for n in range(clips)]
    files(path, **{name: ntu_clip(n, frames=3 + 5 * (n % 4), bodies=1 + n % 2) for n, name in enumerate(names)})
    files(path, S001C001P001R001A050=ntu_clip(50)[:-40], S004C001P001R001A051=ntu_text([[], []]))
    files(path, S001C002P005R002A008=ntu_clip(0), S001C001P001R001A061=ntu_clip(0), other=ntu_clip(0))
    files(path / "twice", **{names[0]: ntu_clip(0)})
    return path


TEXT = ntu_clip(0)
WRITERS = {"ntu60": write_ntu, "pku1": write_pku}


@pytest.fixture(scope="module", params=WRITERS)
def recordings(request, tmp_path_factory):
    """A data set's name, and raw recordings of it."""
    return request.param, WRITERS[request.param](tmp_path_factory.mktemp("raw") / "raw")


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks so small that parts begin and end inside them."""
    for of in (writer, joining):
        monkeypatch.setattr(of, "ROWS_PER_CHUNK", 7)
        monkeypatch.setattr(of, "CHUNKS_AT_ONCE", 2)
    monkeypatch.setattr(joining, "CLIPS_PER_CHUNK", 2)
    monkeypatch.setattr(store, "CLIPS_PER_CHUNK", 2)
    monkeypatch.setattr(preparing, "CLIPS_PER_BLOCK", 4)


def ingest_parts(dataset, raw, folder, of, **options) -> list[Path]:
    paths = [folder / f"part{number}" for number in range(1, of + 1)]
    for number, path in enumerate(paths, 1):
        ingest(dataset, raw, path, workers=0, part=Part(number, of), **options)
    return paths


def prepare_parts(store, folder, of, **options) -> list[Path]:
    paths = [folder / f"clips{number}" for number in range(1, of + 1)]
    for number, path in enumerate(paths, 1):
        prepare(store, path, frames=4, part=Part(number, of), **options)
    return paths


# ---- equal to the whole


@pytest.mark.parametrize("of", [3, 14])  # of 14, some are empty
def test_parts_of_an_ingest_join_to_the_bytes_of_a_whole_one(recordings, tmp_path, of):
    dataset, raw = recordings
    ingest(dataset, raw, tmp_path / "whole", workers=0)
    parts = ingest_parts(dataset, raw, tmp_path, of)
    calls = []
    made = join(parts[::-1], tmp_path / "joined", progress=lambda *numbers: calls.append(numbers))
    assert read_digest(tmp_path / "joined") == read_digest(tmp_path / "whole")
    _, about = open_group(tmp_path / "joined", "store")
    assert (made.kind, made.parts, made.clips) == ("store", of, about["clips"])
    assert calls[-1] == (about["rows"], about["rows"])
    assert verify(tmp_path / "joined", raw, workers=0).clips == made.clips
    provenance = json.loads((tmp_path / "joined/provenance.json").read_text())
    assert [part["digest"] for part in provenance["inputs"].values()] == [read_digest(part) for part in parts]
    assert provenance["settings"]["dataset"] == dataset


def test_chunks_need_not_end_where_parts_do(recordings, tmp_path, small_chunks):
    dataset, raw = recordings
    ingest(dataset, raw, tmp_path / "whole", workers=0)
    join(ingest_parts(dataset, raw, tmp_path, 3), tmp_path / "joined")
    group, _ = open_group(tmp_path / "joined", "store")
    assert group["joints"].chunks[0] == 7
    assert group["joints"].nchunks > 6
    assert read_digest(tmp_path / "joined") == read_digest(tmp_path / "whole")
    prepare(tmp_path / "joined", tmp_path / "clips", frames=4)
    join(prepare_parts(tmp_path / "joined", tmp_path, 3), tmp_path / "of_parts")
    assert Clips(tmp_path / "of_parts").group["clips"].nchunks > 1
    assert read_digest(tmp_path / "of_parts") == read_digest(tmp_path / "clips")


@pytest.mark.parametrize("of", [1, 14])
def test_parts_of_clips_join_to_the_bytes_of_whole_ones(recordings, tmp_path, of):
    dataset, raw = recordings
    ingest(dataset, raw, tmp_path / "store", workers=0)
    prepare(tmp_path / "store", tmp_path / "whole", frames=4, bodies="energy", turn=False)
    parts = prepare_parts(tmp_path / "store", tmp_path, of, bodies="energy", turn=False)
    made = join(parts, tmp_path / "joined")
    assert (made.kind, made.parts, made.clips) == ("clips", of, len(Clips(tmp_path / "whole")))
    assert read_digest(tmp_path / "joined") == read_digest(tmp_path / "whole")


def test_parts_of_archives_and_of_kept_clips(tmp_path):
    raw = write_ntu(tmp_path / "raw")
    with zipfile.ZipFile(tmp_path / "raw.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in raw.rglob("*.skeleton"):
            archive.write(path, f"skeletons/{path.relative_to(raw)}")
    ingest("ntu60", tmp_path / "raw.zip", tmp_path / "whole", workers=0, keep_missing=True)
    parts = ingest_parts("ntu60", tmp_path / "raw.zip", tmp_path, 4, keep_missing=True)
    join(parts, tmp_path / "joined")
    assert read_digest(tmp_path / "joined") == read_digest(tmp_path / "whole")


def test_shares_cover_everything_once_in_order_and_are_alike():
    rng = np.random.default_rng(0)
    for n, of in ((0, 3), (1, 3), (5, 9), (1000, 1), (1000, 7), (1000, 999)):
        weights = rng.integers(0, 10_000, n)
        shares = [Part(number, of).share(weights) for number in range(1, of + 1)]
        assert np.concatenate([np.arange(n)[share] for share in shares]).tolist() == list(range(n))
        if n:
            work = [weights[share].sum() for share in shares]
            assert abs(np.array(work) - weights.sum() / of).max() <= weights.max() + n  # a weight of 0 counts as 1
    assert Part(2, 2).share([0, 0, 0, 0]) == slice(2, 4)


def test_memory_to_join_does_not_grow_with_the_whole(tmp_path, monkeypatch):
    for of in (joining, store):
        monkeypatch.setattr(of, "CLIPS_PER_CHUNK", 2)
    peaks = []
    for count in (40, 120):
        raw = files(
            tmp_path / f"raw{count}", **{clip_name(1, 1, 1, 1 + n // 40, 1 + n % 40): TEXT for n in range(count)}
        )
        ingest("ntu60", raw, tmp_path / f"store{count}", workers=0)
        parts = [tmp_path / f"{count}-{number}" for number in (1, 2)]
        for number, path in enumerate(parts, 1):
            prepare(tmp_path / f"store{count}", path, frames=400, part=Part(number, 2))
        join(parts, tmp_path / "warm", force=True)
        tracemalloc.start()
        join(parts, tmp_path / f"joined{count}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    clip = 3 * 400 * 25 * 2 * 4
    assert peaks[1] - peaks[0] < 8 * clip  # 80 more were joined


# ---- what is refused


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder of parts: 1 to 3 of a store (a), 1 of 2 (b), one of other settings (c), one of other files (d)."""
    folder = tmp_path_factory.mktemp("made")
    raw = write_ntu(folder / "raw")
    ingest_parts("ntu60", raw, folder / "a", 3)
    ingest_parts("ntu60", raw, folder / "b", 2)
    ingest_parts("ntu60", raw, folder / "c", 3, keep_missing=True)
    ingest("ntu60", raw, folder / "whole", workers=0)
    prepare_parts(folder / "whole", folder / "clips", 2)
    prepare_parts(folder / "whole", folder / "unturned", 2, turn=False)
    files(raw, S001C001P001R001A040=ntu_clip(3))
    ingest_parts("ntu60", raw, folder / "d", 3)
    return folder


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ("a/part1 a/part3", r"a/part1: of its whole, 1 of 3 parts are missing: 2/3; make these by --part"),
        ("b/part2", r"1 of 2 parts are missing: 1/2"),
        ("a/part1 a/part2 a/part3 a/part2", r"a/part2: is part 2/3, and so is .*a/part2; give each part once"),
        ("a/part1 b/part2", r"b/part2: is part 2/2, and .*a/part1 is part 1/3; give the parts of one division"),
        ("a/part1 c/part2 a/part3", r"c/part2: has keep_missing True, and .*a/part1 has False; make all parts with"),
        ("a/part1 a/part2 d/part3", r"d/part3: was made from something else than .*a/part1; make all parts from the"),
        ("clips/clips1 unturned/clips2", r"unturned/clips2: has turn False, and .* has True"),
        ("a/part1 clips/clips2", r"clips/clips2: is a folder of kind 'clips part', not 'store part'"),
        ("whole", r"whole: is a folder of kind 'store', not a part of a store or of clips; give parts only"),
        ("raw", r"raw: is not a skelpipe store part"),
        ("a/part1 a/part4", r"a/part4: does not exist; make it with 'skelpipe ingest --part'"),
    ],
)
def test_what_is_not_all_parts_of_one_whole_is_refused(made, tmp_path, parts, told):
    with pytest.raises(BadInput, match=told):
        join([made / part for part in parts.split()], tmp_path / "joined")
    assert not list(tmp_path.iterdir())


def test_a_part_is_not_taken_for_the_whole(made, tmp_path):
    with pytest.raises(BadInput, match="kind 'store part', not 'store'; join it with the other parts by 'skelpipe jo"):
        prepare(made / "a/part1", tmp_path / "clips")
    with pytest.raises(BadInput, match="kind 'clips part', not 'clips'; join it"):
        Clips(made / "clips/clips1")
    with pytest.raises(BadInput, match="is one of the parts"):
        join([made / "b/part1", made / "b/part2"], made / "b/../b/part1", force=True)
    assert read_digest(made / "b/part1")


def test_a_damaged_part_leaves_nothing_and_stays(made, tmp_path):
    shutil.copytree(made / "b", tmp_path / "b")
    chunk = next(p for p in (tmp_path / "b/part2/joints").rglob("*") if p.is_file() and p.name != "zarr.json")
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    with pytest.raises(BadInput, match="joints: is damaged"):
        join([tmp_path / "b/part1", tmp_path / "b/part2"], tmp_path / "joined")
    assert sorted(path.name for path in tmp_path.rglob("*") if path.parent in (tmp_path, tmp_path / "b")) == [
        "b", "part1", "part2"
    ]  # fmt: skip


def test_parts_without_a_clip_make_no_store(tmp_path):
    parts = ingest_parts("ntu60", files(tmp_path / "raw", S001C001P001R001A001="3\n1\n"), tmp_path, 2)
    with pytest.raises(BadInput, match="has no clip, nor has another of the parts"):
        join(parts, tmp_path / "joined")


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "-1/3", "1/3/5", "1/99999", "a/b", "1/", "٣/٨"])
def test_what_is_no_part_is_refused_in_one_line(tmp_path, text):
    done = CliRunner().invoke(main, ["ingest", "ntu60", str(tmp_path), str(tmp_path / "s"), f"--part={text}"])
    assert done.exit_code == 2
    assert done.output.startswith(f"skelpipe: --part {text}: ")
    assert done.output.count("\n") == 1


def test_the_commands(made, tmp_path):
    def call(*words: object) -> str:
        done = CliRunner().invoke(main, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        return done.output

    for number in (1, 2):
        call("prepare", made / "whole", tmp_path / f"c{number}", "--frames", 4, "--part", f"{number}/2")
    assert "part 2 of 2" in " ".join(call("inspect", tmp_path / "c2").split())
    told = call("join", tmp_path / "c2", tmp_path / "c1", tmp_path / "clips")
    assert told == f"{tmp_path / 'clips'}: 11 clips of 2 parts\n"
    assert "part 3 of 3" in " ".join(call("inspect", made / "a/part3").split())
