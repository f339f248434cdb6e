"""The chain of an output back to the raw files, through the commands: whole, cut, changed and moved."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import TINY
from rawtext import write_pku

from skelpipe.cli import main
from skelpipe.errors import BadInput
from skelpipe.inspect import lineage
from skelpipe.outputs import ancestry, checksums, digests, folders, one_file, provenance
from skelpipe.recordings.datasets.files import File, Seen, watched
from skelpipe.recordings.ingest import ingest
from skelpipe.recordings.parts import Part, join

SMALL = [word for each in TINY for word in ("--set", each)]


def skelpipe(words: str, *more: str, status: int = 0) -> str:
    """Run a command as a terminal does, whose command line is what provenance records."""
    line = [*words.split(), *more]
    before, sys.argv = sys.argv, ["skelpipe", *line]
    try:
        done = CliRunner().invoke(main, line, prog_name="skelpipe", catch_exceptions=False)
    finally:
        sys.argv = before
    assert done.exit_code == status, done.output
    return done.output


def pretrain(run: str, stream: str, *more: str, clips: str = "clips") -> None:
    words = f"pretrain skeletonclr {clips} {run} --split xsub60 --stream {stream} --device cpu --threads 1"
    skelpipe(words, "--epochs", "1", *SMALL, *more)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One chain from raw files, which carry no provenance, to a report; names are relative to the folder."""
    base = tmp_path_factory.mktemp("chain") / "data"
    base.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(base)
        skelpipe("synth ntu60 raw --actions 2 --subjects 4 --replications 1 --frames 10 10")
        for name in (ancestry.DONE, ancestry.PROVENANCE, checksums.FILES):
            Path("raw", name).unlink()
        skelpipe("ingest ntu60 raw store --workers 0")
        skelpipe("prepare store clips --frames 8 --threads 1")
        for stream in ("joint", "bone"):
            pretrain(f"runs/{stream}", stream)
            skelpipe(f"evaluate runs/{stream} clips evals/{stream} --protocol knn --device cpu --threads 1")
        skelpipe("fuse evals/joint evals/bone --out fused --weights 1,1")
        skelpipe("report fused --out report --figure confusion")
    return base


@pytest.fixture
def chain(made, tmp_path, monkeypatch):
    """A copy to spoil, far from the first one, which is hidden meanwhile."""
    shutil.copytree(made, tmp_path / "data")
    made.rename(made.with_name("hidden"))
    monkeypatch.chdir(tmp_path / "data")
    yield tmp_path / "data"
    made.with_name("hidden").rename(made)


def steps(step: lineage.Step) -> list[lineage.Step]:
    return [step, *(each for below in step.inputs for each in steps(below))]


def states(path: str = "report") -> dict[str, str]:
    """Path -> state of every step of a chain."""
    return {step.path: step.state for step in steps(lineage.follow(path))}


EVERY = ["report", "fused", "evals/joint", "runs/joint", "clips", "store", "raw", "evals/bone", "runs/bone"]
KINDS = ["report", "fusion", "evaluation", "run", "clips", "store", "files"]


def test_the_chain_leads_from_a_report_back_to_the_raw_files(made, monkeypatch):
    monkeypatch.chdir(made)
    text = skelpipe("inspect --provenance report")
    places = [text.index(f"{kind} {path} [") for kind, path in zip(KINDS, EVERY, strict=False)]
    assert places == sorted(places)
    for command in (
        "ingest ntu60 raw store --workers 0",
        "prepare store clips",
        "fuse evals/joint evals/bone",
        "report",
    ):
        assert f"$ skelpipe {command}" in text
    assert text.count("$ skelpipe prepare") == 1
    assert "told above" in text
    assert text.count("platform ") == 1  # versions stand where they differ
    assert states() == dict.fromkeys(EVERY, "unchanged")
    store = next(step for step in steps(lineage.follow("report")) if step.kind == "store")
    raw = list(Path("raw").rglob("*.skeleton"))
    assert store.made["raw"]["files"] == len(raw)
    assert store.made["raw"]["bytes"] == sum(path.stat().st_size for path in raw)
    run = next(step for step in steps(lineage.follow("report")) if step.kind == "run")
    assert (run.made["seed"], run.made["sessions"][0]["epochs_done"]) == (0, 1)


def test_the_same_as_json(made, monkeypatch):
    monkeypatch.chdir(made)
    told = json.loads(skelpipe("inspect --provenance --json fused"))
    assert [part["role"] for part in told["inputs"]] == ["part 0 (joint)", "part 1 (bone)"]
    run = told["inputs"][0]["inputs"][0]
    assert (run["kind"], run["state"], run["made"]["settings"]["stream"]) == ("run", "unchanged", "joint")
    assert told["inputs"][1]["inputs"][1] == {
        **{key: value for key, value in run["inputs"][0].items() if key not in ("made", "inputs")},
        "told_above": True,
    }
    assert "--json goes with --provenance" in skelpipe("inspect --json fused", status=2)


def test_every_digest_stands_once_in_the_history(made):
    kept = json.loads((made / "report" / ancestry.PROVENANCE).read_text())["history"]
    assert len(kept) == 7
    assert sorted(entry["kind"] for entry in kept.values()) == [
        "clips", "evaluation", "evaluation", "fusion", "run", "run", "store",
    ]  # fmt: skip
    assert not any("history" in entry for entry in kept.values())


def test_a_folder_that_was_moved_with_all_its_outputs_is_still_a_chain(chain):
    assert states() == dict.fromkeys(EVERY, "unchanged")


def test_what_was_deleted_is_told_by_the_history(chain):
    for name in ("evals", "runs", "clips", "raw"):
        shutil.rmtree(name)
    gone = {path: "missing" for path in EVERY if path.split("/")[0] in ("evals", "runs", "clips", "raw")}
    assert states() == {**dict.fromkeys(EVERY, "unchanged"), **gone}
    text = skelpipe("inspect --provenance report")
    assert "missing (moved or deleted)" in text
    assert "$ skelpipe pretrain skeletonclr clips runs/joint" in text


def test_what_was_altered_or_remade_is_told(chain):
    victim = Path("store/joints/zarr.json")
    victim.write_bytes(victim.read_bytes()[:-1] + b"?")
    skelpipe("fuse evals/joint evals/bone --out fused --weights 1,2 --force")
    with next(Path("raw").rglob("*.skeleton")).open("a") as file:
        file.write("\n")
    found = states()
    assert found == {**dict.fromkeys(EVERY, "unchanged"), "store": "damaged", "fused": "changed", "raw": "changed"}
    text = skelpipe("inspect --provenance report")
    assert victim.name in text
    assert "what lies there now has digest" in text
    assert "--weights 1,1" in text
    assert "--weights 1,2" not in text
    (chain / "fused" / ancestry.DONE).unlink()
    assert states()["fused"] == "changed"
    assert "no longer a whole output" in skelpipe("inspect --provenance report")


def test_files_carry_their_provenance(made, monkeypatch, tmp_path):
    monkeypatch.chdir(made)
    for name in ("f.npz", "f.h5", "f.parquet"):
        skelpipe(f"embed runs/joint clips {tmp_path / name} --device cpu")
        top = lineage.follow(tmp_path / name)
        assert (top.kind, top.state) == ("features", "unchanged")
        assert top.made["command"].startswith("skelpipe embed runs/joint")
        assert [step.kind for step in steps(top)] == ["features", "run", "clips", "store", "files", "clips"]
        assert all(step.state == "unchanged" for step in steps(top))
    import pandas as pd

    assert list(pd.read_parquet(tmp_path / "f.parquet").columns[:4]) == ["name", "label", "train", "h000"]
    clip = sorted(path.stem for path in Path("raw").rglob("*.skeleton"))[0]
    for name in ("c.png", "c.gif"):
        skelpipe(f"plot clips {clip} {tmp_path / name}")
        assert [step.kind for step in steps(lineage.follow(tmp_path / name))] == ["picture", "clips", "store", "files"]
    (tmp_path / "bad.npz").write_bytes((tmp_path / "f.npz").read_bytes()[:-40])
    (tmp_path / "x.txt").write_text("x")
    for name in ("bad.npz", "x.txt", "none"):
        assert str(tmp_path / name) in skelpipe(f"inspect --provenance {tmp_path / name}", status=2)


def test_a_run_goes_on_from_imported_weights_and_says_so(chain):
    skelpipe("export-weights runs/joint w.pt")
    assert states("w.pt")["w.pt"] == "unchanged"
    words = (
        "import-weights w.pt on --recipe runs/joint/recipe.yaml --stream joint --split xsub60 --clips clips --epoch 1"
    )
    skelpipe(words, "--epochs", "2")
    assert lineage.follow("on").state != "unchanged"  # it is not whole yet
    skelpipe("pretrain on/recipe.yaml clips on --split xsub60 --stream joint --device cpu --threads 1")
    top = lineage.follow("on")
    assert [(step.role, step.kind) for step in top.inputs] == [("weights", "weights"), ("clips", "clips")]
    assert [session["state"] for session in top.made["sessions"]] == ["imported", "finished"]
    assert [session["epochs_done"] for session in top.made["sessions"]] == [1, 2]
    assert all(step.state == "unchanged" for step in steps(top))
    Path("w.pt").write_bytes(b"others")
    assert {step.path: step.state for step in lineage.follow("on").inputs}["w.pt"] == "changed"
    assert "$ skelpipe export-weights runs/joint w.pt" in skelpipe("inspect --provenance on")


def test_a_killed_session_is_told(chain):
    made = json.loads(Path("runs/joint", ancestry.PROVENANCE).read_text())
    del made["sessions"][0]["ended"]
    Path("runs/joint", ancestry.PROVENANCE).write_text(json.dumps(made))
    assert "killed, or at work" in skelpipe("inspect --provenance runs/joint")


def test_a_chain_that_bites_its_tail_ends(tmp_path):
    with folders.new_folder(tmp_path / "out", "report"):
        pass
    digest = digests.read_digest(tmp_path / "out")
    entry = {
        "kind": "clips\x1b[2J",
        "inputs": {"a": {"path": "b\x1b[31m", "digest": digest}, "c": 5, "d": {"digest": []}},
    }
    made = {"kind": "report", "inputs": entry["inputs"], "history": {digest: entry}, "settings": 3, "sessions": [1]}
    (tmp_path / "out" / ancestry.PROVENANCE).write_text(json.dumps(made))
    text = skelpipe(f"inspect --provenance {tmp_path / 'out'}")
    assert "\x1b" not in text
    assert "told above" in text
    (tmp_path / "out" / ancestry.PROVENANCE).write_text("[" * 100_000)
    assert "cannot be read" in skelpipe(f"inspect --provenance {tmp_path / 'out'}", status=2)


# ---- the raw files' digest


def raw_digest(path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((path / ancestry.PROVENANCE).read_text())["raw"]
    return found


def test_raw_files_have_one_digest_whoever_reads_them(made, tmp_path):
    raw = made / "raw"
    whole = raw_digest(made / "store")
    ingest("ntu60", raw, tmp_path / "two", workers=2)
    assert raw_digest(tmp_path / "two") == whole
    parts = [tmp_path / f"part{n}" for n in (1, 2, 3)]
    for number, part in enumerate(parts, 1):
        ingest("ntu60", raw, part, workers=0, part=Part(number, 3))
        assert raw_digest(part)["digest"] != whole["digest"]
    join(parts, tmp_path / "joined")
    assert raw_digest(tmp_path / "joined") == whole
    found = steps(lineage.follow(tmp_path / "joined"))
    assert [step.kind for step in found] == ["store", *["store part", "files"] * 3]
    assert all(step.state == "unchanged" for step in found)


def test_split_lists_of_a_search_count_once(tmp_path):
    raw = write_pku(tmp_path / "raw")
    ingest("pku1", raw, tmp_path / "whole", workers=0)
    for number in (1, 2):
        ingest("pku1", raw, tmp_path / f"part{number}", workers=0, part=Part(number, 2))
    join([tmp_path / "part1", tmp_path / "part2"], tmp_path / "joined")
    assert raw_digest(tmp_path / "joined") == raw_digest(tmp_path / "whole")
    assert raw_digest(tmp_path / "whole")["files"] == 4 * 2 + 1
    assert all(step.state == "unchanged" for step in steps(lineage.follow(tmp_path / "joined")))


def test_the_digest_tells_a_byte_a_name_and_a_file_but_no_order(tmp_path):
    def digest(*files: tuple[str, bytes]) -> str:
        with watched() as seen:
            for name, data in files:
                (tmp_path / name).write_bytes(data)
                File(name, str(tmp_path / name), size=len(data)).read()
        return seen.digest

    a, b = ("a", b"abc"), ("b", b"def")
    assert digest(a, b) == digest(b, a)
    assert len({digest(a, b), digest(a), digest(a, ("b", b"deg")), digest(a, ("c", b"def")), digest()}) == 5
    with watched() as seen:
        File("a", str(tmp_path / "a"), size=3).read(2)
    assert seen == Seen()
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / "z.zip", "w", method) as archive:
            archive.writestr("a", b"abc")
        with watched() as seen:
            File("a", str(tmp_path / "z.zip"), "a", 3).read()
        assert seen.digest == digest(a)


def test_only_what_is_ours_can_be_followed(tmp_path):
    with pytest.raises(BadInput, match="was not made by skelpipe"):
        lineage.follow(tmp_path)


def test_a_file_that_is_not_the_one_its_provenance_tells_of(tmp_path):
    provenance.write_beside(tmp_path / "w.pt", b"abc", "weights", {}, {})
    assert lineage.follow(tmp_path / "w.pt").state == lineage.UNCHANGED
    (tmp_path / "w.pt").write_bytes(b"abd")
    assert lineage.follow(tmp_path / "w.pt").state == lineage.CHANGED


def test_provenance_that_would_fill_the_memory_is_not_read(tmp_path, monkeypatch):
    text = json.dumps({"kind": "features"}).encode()
    np.savez(tmp_path / "features.npz", provenance=np.array(text))
    assert lineage.read_provenance(tmp_path / "features.npz") == {"kind": "features"}
    monkeypatch.setattr(one_file, "MOST_BYTES", 16)
    with pytest.raises(BadInput, match="its provenance cannot be read"):
        lineage.read_provenance(tmp_path / "features.npz")


def hostile(path: Path, inputs: dict[str, object], ancestors: dict[str, object]) -> None:
    path.write_bytes(b"")
    digest = hashlib.sha256(b"").hexdigest()
    made = {"kind": "weights", "digest": digest, "inputs": inputs, "history": ancestors}
    Path(f"{path}.provenance.json").write_text(json.dumps(made))


def test_a_chain_without_end_is_followed_so_far(tmp_path):
    chain = {f"{n}": {"kind": "run", "inputs": {"run": {"path": "r", "digest": f"{n + 1}"}}} for n in range(3000)}
    hostile(tmp_path / "w.pt", {"run": {"path": "r", "digest": "0"}}, chain)
    assert len(list(lineage.tree(lineage.follow(tmp_path / "w.pt")))) < 4 * lineage.DEEPEST


def test_what_provenance_says_does_not_reach_the_terminal_as_it_is(tmp_path):
    hostile(tmp_path / "w.pt", {"a\x1b[31m": {"path": "b\x1b[2J\nc", "digest": "d\x07"}}, {})
    lines = list(lineage.tree(lineage.follow(tmp_path / "w.pt")))
    assert len(lines) >= 2
    assert all(line.isprintable() for line in lines), lines
