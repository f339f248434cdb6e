"""A run keeps which clips it was trained on, by name and by what they hold."""

from __future__ import annotations

import gzip
import json
import weakref

import numpy as np
import pytest
from conftest import TINY, write_clips

from skelpipe.clips.loading import load_bodies
from skelpipe.errors import BadInput
from skelpipe.outputs.folders import seal
from skelpipe.recordings.native import Native
from skelpipe.recordings.store import Clips
from skelpipe.training import trained_on
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe
from skelpipe.training.trained_on import TRAINED_ON, fingerprints, read_fingerprints, read_trained_on

pytestmark = pytest.mark.usefixtures("one_thread")


def train(clips, run, **options):
    recipe = load_recipe("skeletonclr", [*TINY, *options.pop("changes", ())], epochs=options.pop("epochs", 1))
    return pretrain(recipe, clips, run, split="xsub60", stream="joint", device="cpu", **options)


def training_names(clips):
    columns = Clips(clips).columns
    return sorted(columns["name"][columns["subject"] != 3].tolist())


def test_a_run_keeps_names_and_fingerprints(clips, tmp_path):
    train(clips, tmp_path / "run")
    kept, source = read_trained_on(tmp_path / "run"), Clips(clips)
    assert kept.names.tolist() == training_names(clips)
    train_rows = np.flatnonzero(source.columns["subject"] != 3)
    assert set(kept.prints) == set(read_fingerprints(source, train_rows))
    assert len(set(kept.prints)) == len(train_rows)
    line, *_ = gzip.decompress((tmp_path / "run" / TRAINED_ON).read_bytes()).decode().splitlines()
    assert line.split("\t")[0] == training_names(clips)[0]
    assert TRAINED_ON in (tmp_path / "run" / "files.sha256").read_text()


def test_names_may_have_line_breaks_of_other_alphabets(tmp_path):
    (tmp_path / TRAINED_ON).write_bytes(gzip.compress("a\u2028b\tff\nc\x85d\t\n".encode()))
    kept = read_trained_on(tmp_path)
    assert (kept.names.tolist(), kept.prints.tolist()) == (["a\u2028b", "c\x85d"], [255])


def test_clips_held_out_are_among_them(clips, tmp_path):
    changes = ["schedule={name: plateau, held_out: 0.3, patience: 1}"]
    train(clips, tmp_path / "run", changes=changes)
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["clips"] < len(training_names(clips))
    assert read_trained_on(tmp_path / "run").names.tolist() == training_names(clips)


def test_an_untrained_encoder_was_trained_on_none(clips, tmp_path):
    train(clips, tmp_path / "run", epochs=0)
    assert read_trained_on(tmp_path / "run") is None


def test_fingerprints_need_only_some_clips_in_memory(clips, monkeypatch):
    loaded, alive = trained_on.load_bodies, []

    def counted(*given):
        data = loaded(*given)
        alive.append(weakref.ref(data))
        assert sum(each() is not None for each in alive) <= 2
        return data

    monkeypatch.setattr(trained_on, "AT_ONCE", 1)
    monkeypatch.setattr(trained_on, "load_bodies", counted)
    assert len(read_fingerprints(Clips(clips), np.arange(5))) == 5


def test_half_storage_and_further_bodies_have_the_same_fingerprints(clips):
    source, rows = Clips(clips), np.arange(20)
    whole = fingerprints(source.load(rows))
    assert len(set(whole)) == 20
    np.testing.assert_array_equal(fingerprints(load_bodies(source, rows, 1, "float16")), whole)
    changed = source.load(rows)
    changed[3, 0, 0, 0, 0] += 0.01
    assert np.flatnonzero(fingerprints(changed) != whole).tolist() == [3]
    changed[:, ..., 1] += 1  # another body is not looked at
    assert np.flatnonzero(fingerprints(changed) != whole).tolist() == [3]


def test_clips_of_their_own_lengths_and_empty_ones():
    clip = np.random.default_rng(0).normal(size=(3, 12, 5, 1)).astype(np.float32)
    flat = np.concatenate([clip.reshape(-1), np.zeros(3 * 4 * 5, np.float32)])
    native = Native(flat, np.array([0, 12, 16]), 3, 5, 1)
    one, none = fingerprints(native).tolist()
    assert one == fingerprints(clip[None])[0] != 0
    assert none == 0
    assert fingerprints(-np.zeros((1, 3, 4, 5, 1), np.float32)).tolist() == [0]


def test_numbered_clips_are_kept_by_fingerprint_alone(clips, tmp_path):
    nameless = write_clips(tmp_path / "nameless.zarr", nameless="xsub60")
    train(nameless, tmp_path / "run")
    kept = read_trained_on(tmp_path / "run")
    assert len(kept.names) == 0
    assert len(kept.prints) == len(training_names(clips))


@pytest.mark.parametrize(
    "damage",
    [b"", b"no gzip", gzip.compress(b"a\tb\tc\n"), gzip.compress(b"a\tx\n")],
    ids=["cut off", "no gzip", "three columns", "no number"],
)
def test_what_cannot_be_read_is_told(tmp_path, damage):
    (tmp_path / TRAINED_ON).write_bytes(damage)
    if damage == b"":
        damage = gzip.compress(b"one\t0000000000000001\n")[:-9]
        (tmp_path / TRAINED_ON).write_bytes(damage)
    with pytest.raises(BadInput, match="cannot be read"):
        read_trained_on(tmp_path)


def test_a_table_without_end_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(trained_on, "LARGEST", 1000)
    (tmp_path / TRAINED_ON).write_bytes(gzip.compress(b"a\t\n" * 1000))
    with pytest.raises(BadInput, match="more than 1,000 bytes"):
        read_trained_on(tmp_path)


def older_run(clips, run, *without):
    """A run as older versions made it, which note no preparation, and without these files."""
    train(clips, run)
    settings = json.loads((run / "settings.json").read_text())
    del settings["prepared"]
    (run / "settings.json").write_text(json.dumps(settings))
    for name in without:
        (run / name).unlink()
    return run


def test_a_run_of_an_older_version_is_gone_on_with(clips, tmp_path):
    """What it was trained on is written once it trains again."""
    run = older_run(clips, tmp_path / "run", "done.json", "files.sha256", TRAINED_ON)
    assert train(clips, run, epochs=2).state == "finished"
    assert json.loads((run / "settings.json").read_text())["prepared"]["centre"] is True
    assert read_trained_on(run).names.tolist() == training_names(clips)


def test_a_finished_run_of_an_older_version_stays_as_it_is_until_it_is_sealed_again(clips, tmp_path):
    run = older_run(clips, tmp_path / "run", TRAINED_ON)
    seal(run, "run")
    before = (run / "done.json").read_bytes()
    assert train(clips, run, force=True).state == "already finished"
    assert (run / "done.json").read_bytes() == before
    (run / "done.json").unlink()  # as Snakemake does before it runs a stage again
    assert train(clips, run, force=True).state == "finished"
    assert read_trained_on(run).names.tolist() == training_names(clips)
