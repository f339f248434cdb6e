"""Damage to any file of any output is found by `verify`, and named by whatever reads that file."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from conftest import TINY, write_clips

from skelpipe.cli import main
from skelpipe.clips.prepare import prepare
from skelpipe.clips.streams import write_streams
from skelpipe.errors import BadInput
from skelpipe.evaluation.evaluate import evaluate
from skelpipe.evaluation.features import load_run
from skelpipe.evaluation.fuse import fuse
from skelpipe.exchange.arrays.exporting import export_arrays
from skelpipe.exchange.weights.exporting import export_weights
from skelpipe.inspect import damage
from skelpipe.inspect.damage import check
from skelpipe.inspect.describe import describe
from skelpipe.outputs import ancestry, checksums, files, folders
from skelpipe.pipeline.run import results
from skelpipe.recordings import store
from skelpipe.recordings.ingest import ingest
from skelpipe.recordings.parts import Part
from skelpipe.recordings.synthetic import write_raw
from skelpipe.report.collect import collect
from skelpipe.report.write import write_report
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

KINDS = (
    "raw", "store", "store part", "prepared", "clips part", "clips", "streams", "arrays",
    "run", "evaluation", "fusion", "report",
)  # fmt: skip
PER_DAMAGE = 4  # files of each output, besides those of `ALWAYS`, that each kind of damage is done to
ALWAYS = (ancestry.DONE, ancestry.PROVENANCE, checksums.FILES)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """One output of every kind, in a folder that nothing may change."""
    top = tmp_path_factory.mktemp("made")
    write_raw("ntu60", top / "raw", actions=1, subjects=2, setups=1, replications=1, frames=(10, 12))
    ingest("ntu60", top / "raw", top / "store", workers=0)
    ingest("ntu60", top / "raw", top / "store part", workers=0, part=Part(1, 2))
    ingest("ntu60", top / "raw", top / "store part 2", workers=0, part=Part(2, 2))
    prepare(top / "store", top / "prepared", frames=8, threads=1)
    prepare(top / "store", top / "clips part", frames=8, threads=1, part=Part(1, 2))
    prepare(top / "store", top / "clips part 2", frames=8, threads=1, part=Part(2, 2))
    clips = write_clips(top / "clips")
    write_streams(clips, top / "streams", streams=("bone",), threads=1)
    export_arrays("ctrgcn-npz", top / "store", top / "arrays", split="xsub60")
    recipe = load_recipe("skeletonclr", TINY, epochs=1)
    for stream, run, result in (("joint", "run", "evaluation"), ("bone", "run 2", "evaluation 2")):
        pretrain(recipe, clips, top / run, split="xsub60", stream=stream, device="cpu", threads=1)
        evaluate(top / run, clips, top / result, protocols=["knn"], device="cpu", threads=1)
    fuse([top / "evaluation", top / "evaluation 2"], top / "fusion")
    write_report([top / "evaluation", top / "fusion"], top / "report", figures=["confusion"])
    return top


def flip(path: Path, rng: np.random.Generator) -> None:
    data = bytearray(path.read_bytes())
    data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


def truncate(path: Path, rng: np.random.Generator) -> None:
    path.write_bytes(path.read_bytes()[: int(rng.integers(path.stat().st_size))])


def delete(path: Path, rng: np.random.Generator) -> None:
    path.unlink()


DAMAGES = {"flip": flip, "truncate": truncate, "delete": delete}


def verify(path: Path):
    return CliRunner().invoke(main, ["verify", str(path)])


def test_what_was_made_is_whole(made):
    result = verify(made)
    assert result.exit_code == 0, result.output
    assert "16 outputs are as made" in result.output


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_verify_names_what_was_damaged(made, tmp_path, kind, how):
    rng = np.random.default_rng([KINDS.index(kind), list(DAMAGES).index(how)])
    folder = Path(shutil.copytree(made / kind, tmp_path / "out"))
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.stat().st_size)
    drawn = rng.permutation([p for p in files if p.name not in ALWAYS])[:PER_DAMAGE]
    for path in [*drawn, *(folder / name for name in ALWAYS)]:
        before = path.read_bytes()
        DAMAGES[how](path, rng)
        result = verify(folder)
        found = check(folder).damaged if checksums.is_output(folder) else ()
        assert result.exit_code == 2, path
        assert path in {each.where for each in found}, (path, found)
        assert f"{path}: " in result.output
        assert "Traceback" not in result.output
        path.write_bytes(before)
    assert verify(folder).exit_code == 0


def test_verify_tells_of_each_and_goes_below(made, tmp_path):
    folder = Path(shutil.copytree(made / "run", tmp_path / "runs" / "run"))
    shutil.copytree(made / "evaluation", folder / "evaluation")
    (folder / "recipe.yaml").unlink()
    (folder / "evaluation" / "metrics.json").write_text("{}")
    result = verify(tmp_path / "runs")
    assert result.exit_code == 2
    assert result.output.splitlines() == [
        f"skelpipe: {folder}/recipe.yaml: is missing; train this run again",
        f"skelpipe: {folder}/evaluation/metrics.json: is damaged: its bytes are not those that were written; "
        "run 'skelpipe evaluate' again",
    ]


def test_what_contradicts_itself_is_found_though_its_files_are_as_written(made, tmp_path):
    group = zarr.open_group(shutil.copytree(made / "store", tmp_path / "a"))
    group["clip_offset"][1] = 10**6
    folders.seal(tmp_path / "a", "store")
    assert "contradict each other" in check(tmp_path / "a").damaged[0].what
    group = zarr.open_group(shutil.copytree(made / "clips", tmp_path / "b"))
    group["length"].resize((3,))
    folders.seal(tmp_path / "b", "clips")
    (found,) = check(tmp_path / "b").damaged
    assert found == damage.Damage(
        tmp_path / "b" / "length", "has shape (3,), and by the other arrays should have (32,)", found.remedy
    )
    values = group["clips"]
    values[0, 0, 0, 0, 0] = np.nan
    (tmp_path / "c").mkdir()
    group = zarr.open_group(shutil.copytree(made / "clips", tmp_path / "c", dirs_exist_ok=True))
    group["clips"][0, 0, 0, 0, 0] = np.nan
    folders.seal(tmp_path / "c", "clips")
    assert "not finite" in check(tmp_path / "c").damaged[0].what


def changed(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1
    return text.replace(old, new)


def test_what_done_json_says_is_held_against_the_rest(tmp_path):
    """It is written as skelpipe would write it, so that only its meaning is wrong."""
    with folders.new_folder(tmp_path / "out", "fusion") as folder:
        (folder / "metrics.json").write_text("{}")
    path = tmp_path / "out" / ancestry.DONE
    whole, done = path.read_text(), json.loads(path.read_text())
    flipped = ("0" if done["digest"][0] != "0" else "1") + done["digest"][1:]
    for old, new, said in (
        (done["digest"], flipped, "was changed"),
        ('"fusion"', '"report"', "says that the output is of kind 'report', and provenance.json 'fusion'"),
        ('"kind": "fusion"', '"kind":  "fusion"', "was changed"),
        ('"fusion"', "5", "does not hold what belongs in it"),
        ('"kind"', '"king"', "does not hold what belongs in it"),
    ):
        path.write_text(changed(whole, old, new))
        assert check(tmp_path / "out").damaged[0] == damage.Damage(
            path, said, check(tmp_path / "out").damaged[0].remedy
        )
    path.write_text(whole)
    shutil.copytree(tmp_path / "out", tmp_path / "told")
    other_digit(tmp_path / "told" / ancestry.PROVENANCE)
    assert [(each.where.name, each.what) for each in check(tmp_path / "told").damaged] == [
        (ancestry.PROVENANCE, "was changed")
    ]
    path.write_text(json.dumps({"kind": "fusion", "digest": done["digest"]}, indent=2) + "\n")
    assert {each.what for each in check(tmp_path / "out").damaged} == {"was changed"}
    with pytest.raises(BadInput, match="is not the list of files"):
        checksums.check_files(tmp_path / "out", "metrics.json")


@pytest.mark.parametrize("name", ["/dev/zero", "../secret", "a/../../secret", "\udcff"])
def test_a_list_of_files_names_none_outside_its_output(tmp_path, name):
    """To read /dev/zero would take for ever."""
    with folders.new_folder(tmp_path / "out", "fusion") as folder:
        (folder / "metrics.json").touch()
    listing = f"{'0' * 64}  {name}\n".encode(errors="surrogateescape")
    (tmp_path / "out" / checksums.FILES).write_bytes(listing)
    done = json.loads((tmp_path / "out" / ancestry.DONE).read_text())
    told = {**done, "files": hashlib.sha256(listing).hexdigest()}
    files.write_json(tmp_path / "out" / ancestry.DONE, told)
    said = "is missing" if name == "\udcff" else "which is no file of the output"
    with pytest.raises(BadInput, match=said):
        checksums.check_files(tmp_path / "out", lambda name: True)
    assert check(tmp_path / "out").damaged
    files.write_json(tmp_path / "out" / ancestry.DONE, {**told, "content": [["metrics.json"]]})
    (found,) = check(tmp_path / "out").damaged
    assert found.what == "does not hold what belongs in it"


def test_kinds_that_are_not_known_and_arrays_that_cannot_be_read_are_found(tmp_path):
    with folders.new_folder(tmp_path / "out", "surprise") as folder:
        (folder / "box").touch()
    (found,) = check(tmp_path / "out").damaged
    assert found.what == "tells of a kind of output that is not known: 'surprise'"
    with folders.new_folder(tmp_path / "a", "arrays") as folder:
        (folder / "x.npz").write_bytes(b"PK\3\4 torn before it was sealed")
    (found,) = check(tmp_path / "a").damaged
    assert found.where == tmp_path / "a" / "x.npz"
    assert "cannot be read" in found.what


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [("clip_offset", 0, 1), ("clip_offset", 1, -5), ("clip_offset", -1, 0), ("row_frame", 0, -1), ("row_frame", 0, 99)],
)
def test_rows_frames_and_offsets_are_held_against_each_other(made, tmp_path, name, place, value):
    group = zarr.open_group(shutil.copytree(made / "store", tmp_path / "in"))
    group[name][place] = value
    folders.seal(tmp_path / "in", "store")
    (found,) = check(tmp_path / "in").damaged
    assert "contradict each other" in found.what


def test_an_output_that_is_being_made_is_not_whole(made, tmp_path):
    folder = Path(shutil.copytree(made / "run", tmp_path / "run"))
    (folder / ancestry.DONE).unlink()
    (found,) = check(folder).damaged
    assert "is being made, or was interrupted" in found.what
    with pytest.raises(BadInput, match="holds no output"):
        check(shutil.copytree(made / "clips" / "clips", tmp_path / "x"))


# Readers ----------------------------------------------------------------------------------------------------------


def chunk_of(name: str):
    return lambda folder: next(p for p in sorted((folder / name / "c").rglob("*")) if p.is_file())


def at(name: str):
    return lambda folder: folder / name


# kind of output -> files that its readers need
READ = {
    "store": (chunk_of("joints"), chunk_of("row_frame"), chunk_of("name"), chunk_of("clip_offset"),
              at("zarr.json"), at("joints/zarr.json"), at("clip_frames/zarr.json"), at("files.sha256")),
    "clips": (chunk_of("clips"), chunk_of("label"), at("zarr.json"), at("clips/zarr.json"), at("files.sha256")),
    "run": (at("settings.json"), at("recipe.yaml"), at("weights.safetensors"), at("files.sha256")),
    "evaluation": (at("metrics.json"), at("scores.npz"), at("files.sha256")),
}  # fmt: skip
READ["store part"], READ["clips part"] = READ["store"], READ["clips"]
# command, by the kind of output that it reads: IN is the damaged one, OUT a new path, {…} another output
COMMANDS = {
    "prepare": ("store", "prepare IN OUT --frames 8"),
    "export": ("store", "export ctrgcn-npz IN OUT --split xsub60"),
    "plot store": ("store", "plot IN S001C001P001R001A001 OUT.png"),
    "join": ("store part", "join IN {store part 2} OUT"),
    "join clips": ("clips part", "join IN {clips part 2} OUT"),
    "streams": ("clips", "streams IN OUT"),
    "pretrain": (
        "clips",
        "pretrain skeletonclr IN OUT --split xsub60 --stream joint --epochs 1 --set batch_size=8",
    ),
    "evaluate clips": ("clips", "evaluate {run} IN OUT --protocol knn --device cpu"),
    "embed clips": ("clips", "embed {run} IN OUT.npz --device cpu"),
    "plot clips": ("clips", "plot IN S001C001P001R001A001N0 OUT.png"),
    "export clips": ("clips", "export aimclr-npy IN OUT --split xsub60"),
    "evaluate": ("run", "evaluate IN {clips} OUT --protocol knn --device cpu"),
    "embed": ("run", "embed IN {clips} OUT.npz --device cpu"),
    "export-weights": ("run", "export-weights IN OUT --encoder-only"),
    "fuse": ("evaluation", "fuse IN {evaluation 2} --out OUT"),
    "report": ("evaluation", "report IN --out OUT"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_readers_name_what_is_damaged(made, tmp_path, command):
    rng = np.random.default_rng(list(COMMANDS).index(command))
    kind, words = COMMANDS[command]
    folder = Path(shutil.copytree(made / kind, tmp_path / "in"))
    words = [w.replace("IN", str(folder)).replace("OUT", str(tmp_path / "out")) for w in split(words, made)]
    for which in READ[kind]:
        path = which(folder)
        before = path.read_bytes()
        for how, spoil in DAMAGES.items():
            spoil(path, rng)
            result = CliRunner().invoke(main, words)
            assert result.exit_code == 2, (path, how, result.output, result.exception)
            assert result.output.startswith(f"skelpipe: {folder}"), result.output
            assert len(result.output.splitlines()) == 1
            named = (
                path
                if "c" not in path.parts or how == "delete"
                else path.parents[len(path.relative_to(folder).parts) - 2]
            )
            assert str(named) in result.output, (path, how, result.output)
            assert command == "pretrain" or not (tmp_path / "out").exists()
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(before)


def other_digit(path: Path) -> None:
    """Change the first digit that is no 0 or 9, which leaves a text that reads well."""
    text = path.read_text()
    path.write_text(re.sub("[1-8]", lambda found: str(int(found[0]) + 1), text, count=1))


# kind of output -> file -> who reads it, given the output and a free path
READERS = {
    "evaluation": {
        "metrics.json": ("fuse", "report", "inspect", "results"),
        "scores.npz": ("fuse", "report"),
    },
    "run": {
        "settings.json": ("load", "export encoder", "export", "report", "inspect"),
        "recipe.yaml": ("load", "export encoder", "export"),
        "log.jsonl": ("load", "report", "inspect"),
        "weights.safetensors": ("load", "export encoder"),
        "checkpoint.pt": ("export",),
    },
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, files in READERS.items() for name in files])
def test_readers_see_a_change_that_leaves_a_good_file(made, tmp_path, kind, name):
    folder, free = Path(shutil.copytree(made / kind, tmp_path / "in")), tmp_path / "out"
    readers = {
        "fuse": lambda: fuse([folder, made / "evaluation 2"], free),
        "report": lambda: collect([folder]),
        "inspect": lambda: describe(folder),
        "results": lambda: results({"evaluations": [folder.name], "fusions": []}, tmp_path),
        "load": lambda: load_run(folder, store.Clips(made / "clips"), "cpu"),
        "export encoder": lambda: export_weights(folder, free, encoder_only=True),
        "export": lambda: export_weights(folder, free),
    }
    if (folder / name).suffix in (".json", ".jsonl", ".yaml"):
        other_digit(folder / name)
    else:
        shutil.copy(made / f"{kind} 2" / name, folder / name)
    assert (folder / name).read_bytes() != (made / kind / name).read_bytes()
    for reader in READERS[kind][name]:
        with pytest.raises(BadInput, match=f"{name}: is damaged: its bytes"):
            readers[reader]()
        assert not free.exists(), reader


def split(words: str, made: Path) -> list[str]:
    """Words; what stands in braces is one, an output of that name."""
    parts = words.replace("{", "|").replace("}", "|").split("|")
    return [w for i, part in enumerate(parts) for w in ([str(made / part)] if i % 2 else part.split())]


@pytest.mark.parametrize("kind", ["store", "clips", "streams", "run", "evaluation", "fusion"])
def test_inspect_names_what_is_damaged(made, tmp_path, kind):
    folder = Path(shutil.copytree(made / kind, tmp_path / "in"))
    name = {"run": "log.jsonl", "evaluation": "metrics.json", "fusion": "metrics.json"}.get(kind, "name/zarr.json")
    for spoil in DAMAGES.values():
        before = (folder / name).read_bytes()
        spoil(folder / name, np.random.default_rng(0))
        result = CliRunner().invoke(main, ["inspect", str(folder)])
        assert result.exit_code == 2
        assert result.output.startswith(f"skelpipe: {folder / name}: ")
        (folder / name).write_bytes(before)


def test_a_finished_run_is_gone_on_with_only_if_it_is_whole(made, tmp_path):
    folder = Path(shutil.copytree(made / "run", tmp_path / "run"))
    recipe = load_recipe("skeletonclr", TINY, epochs=1)
    options = {"split": "xsub60", "stream": "joint", "device": "cpu", "threads": 1}
    for name in ("settings.json", "recipe.yaml", "log.jsonl", "weights.safetensors"):
        before = (folder / name).read_bytes()
        flip(folder / name, np.random.default_rng(0))
        with pytest.raises(BadInput, match=f"{name}: is damaged"):
            pretrain(recipe, made / "clips", folder, **options)
        (folder / name).write_bytes(before)
    (folder / "settings.json").write_text("{")
    assert pretrain(recipe, made / "clips", folder, force=True, **options).state == "finished"
    assert check(folder).damaged == ()


def test_a_checkpoint_of_an_unfinished_run_carries_checksums(made, tmp_path):
    folder = Path(shutil.copytree(made / "run", tmp_path / "run"))
    for name in (ancestry.DONE, "weights.safetensors"):
        (folder / name).unlink()
    path = next(folder.glob("checkpoint*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1  # amid the tensors
    path.write_bytes(data)
    with pytest.raises(BadInput, match="cannot be resumed from"):
        pretrain(load_recipe("skeletonclr", TINY, epochs=1), made / "clips", folder, split="xsub60", stream="joint",
                 device="cpu", threads=1)  # fmt: skip


def test_a_missing_chunk_is_never_zeros(made, tmp_path):
    folder = Path(shutil.copytree(made / "clips", tmp_path / "in"))
    chunk_of("clips")(folder).unlink()
    assert (zarr.open_group(folder)["clips"][:] == 0).all()  # Zarr alone does not see it
    with pytest.raises(BadInput, match=r"c/0/0/0/0/0: is missing; remake"):
        store.Clips(folder).load()


def test_chunks_of_zeros_are_written(tmp_path):
    with folders.new_folder(tmp_path / "x", "clips") as folder:
        store.write_array(store.create_group(folder, "clips", {}), "zero", np.zeros(9000, np.int32))
    assert sorted(p.name for p in (tmp_path / "x" / "zero" / "c").iterdir()) == ["0", "1", "2"]


def test_the_list_of_files_is_one_that_sha256sum_reads(made):
    lines = (made / "fusion" / checksums.FILES).read_text().splitlines()
    assert {line.split("  ")[1] for line in lines} >= {"metrics.json", "scores.npz"}
    assert all(len(line.split("  ")[0]) == 64 for line in lines)
    done = json.loads((made / "fusion" / ancestry.DONE).read_text())
    assert set(done) == {"kind", "digest", "files"}
