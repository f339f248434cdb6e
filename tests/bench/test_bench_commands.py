"""From raw text to 50-frame clips on the disk, beside plain Python that does the same; and the start of a command."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from skelpipe.clips.prepare import Settings, prepare
from skelpipe.recordings.ingest import ingest
from skelpipe.recordings.store import Clips
from skelpipe.recordings.synthetic import write_raw

sys.path.insert(0, str(Path(__file__).parents[1]))
import twins


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw") / "raw"
    write_raw("ntu60", folder, actions=12, subjects=4, setups=1, frames=(50, 115))
    return folder


def ours(raw, out):
    ingest("ntu60", raw, out / "store", workers=0, force=True)
    prepare(out / "store", out / "clips", threads=1, force=True)
    return Clips(out / "clips").load()


def plain(raw, out):
    """A folder of scripts: text to arrays of 300 frames on the disk, those to 50 frames."""
    kept = []
    for path in sorted(raw.rglob("*.skeleton")):
        lines, frames = iter(path.read_text().split("\n")), []
        for _ in range(int(next(lines))):
            frames.append([])
            for _ in range(int(next(lines))):
                body = next(lines).split()[0]
                pose = [[float(word) for word in next(lines).split()] for _ in range(int(next(lines)))]
                frames[-1].append((body, np.array(pose, np.float32)[:, :3]))
        if any(frames):
            kept.append(frames)
    np.save(out / "raw.npy", np.stack([np.resize(twins.as_array(frames, 2), (300, 2, 25, 3)) for frames in kept]))
    clips = np.stack([twins.prepare(frames, Settings())[0] for frames in kept]).astype(np.float32)
    np.save(out / "clips.npy", clips)
    return clips


@pytest.mark.parametrize("run", [ours, plain], ids=lambda run: run.__name__)
@pytest.mark.benchmark(group="ingest and prepare")
def test_from_text_to_clips(benchmark, raw, tmp_path, run):
    clips = benchmark.pedantic(run, (raw, tmp_path), rounds=3, warmup_rounds=1 if run is ours else 0)
    assert clips.shape[1:] == (3, 50, 25, 2)
    assert np.abs(clips).max() > 0


@pytest.mark.parametrize("words", [["--help"], ["inspect", "--help"]], ids=" ".join)
@pytest.mark.benchmark(group="start of a command")
def test_start(benchmark, words):
    done = benchmark.pedantic(
        subprocess.run, ([sys.executable, "-m", "skelpipe", *words],), {"capture_output": True}, rounds=5
    )
    assert done.returncode == 0
