"""What other projects' scripts write of the same recordings: imports of it, and exports beside it."""

from __future__ import annotations

import functools
import json
import pickle

import h5py
import numpy as np
import pytest
import rawtext
import their_scripts
import twins
from click.testing import CliRunner

from skelpipe.cli import main
from skelpipe.clips.bodies import BODY_POLICIES
from skelpipe.clips.prepare import Settings, prepare
from skelpipe.errors import BadInput
from skelpipe.exchange.arrays import FORMATS
from skelpipe.exchange.arrays.exporting import export_arrays
from skelpipe.exchange.arrays.importing import import_arrays
from skelpipe.inspect.describe import describe
from skelpipe.recordings import store
from skelpipe.recordings.ingest import ingest
from skelpipe.recordings.synthetic import write_raw

FRAMES = 20


def some_recordings(root):
    """Recordings of every kind that the rules treat differently, made of synthetic people."""
    write_raw("ntu60", root / "synthetic", seed=3, actions=8, subjects=4, setups=1, replications=1, frames=(74, 76))
    people = []
    for path in sorted((root / "synthetic").rglob("*.skeleton")):
        frames, joints, _, row_body = rawtext.read_ntu(path.read_text())
        body = max(set(row_body), key=row_body.count)
        if row_body.count(body) == frames:
            people.append(joints[np.array(row_body) == body][:74])
    one, two, three, lively = *people[:3], people[3].copy()
    lively += np.arange(74)[:, None, None].astype(np.float32) * [0.03, 0, 0]
    two, three = two + np.float32([0.8, 0, 0.3]), three - np.float32([0.8, 0, 0.2])
    alone = [[(1, x)] for x in one]
    pair = [[(1, x), (2, y)] for x, y in zip(one, two, strict=True)]
    return {
        "S001C001P001R001A001": alone[:40],
        "S001C002P003R001A050": pair[:30],
        "S001C003P002R001A050": [f + [(3, lively[t])] * (20 <= t < 50) for t, f in enumerate(alone)],  # lively, late
        "S001C001P004R001A002": [f + [(3, lively[t])] * (10 <= t < 16) for t, f in enumerate(alone)],  # a ghost
        "S001C002P005R001A003": [[] if t in (0, 1, 2, 30, 31, 72, 73) else f for t, f in enumerate(alone)],
        "S001C003P003R001A004": alone[:1],
        "S001C001P006R001A005": [[(1, x)] for x in np.concatenate([one, two, three, lively, one[::-1]])[:300]],
        "S001C002P001R002A006": [[(1 + (t > 36), x)] for t, x in enumerate(one)],  # lost, and found as another
        "S001C003P007R001A051": [f[:: -1 if t % 7 == 3 else 1] for t, f in enumerate(pair)],
        "S001C001P008R001A052": [[(3, three[t]), *f] for t, f in enumerate(pair)],
        "S001C002P009R001A053": [f[:1] if t < 40 else f[1:] for t, f in enumerate(pair)],  # one goes, one comes
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Recordings, a store of them, and clips by every rule for bodies."""
    root = tmp_path_factory.mktemp("scripts")
    recordings = some_recordings(root)
    texts = {name: rawtext.ntu_text([[(b, x.tolist()) for b, x in f] for f in r]) for name, r in recordings.items()}
    for dataset in ("ntu60", "ntu120"):
        ingest(dataset, rawtext.files(root / "raw", **texts), root / dataset, workers=0)
    for bodies in BODY_POLICIES:
        prepare(root / "ntu60", root / bodies, bodies=bodies, frames=FRAMES, threads=1)
    return root, recordings


def by_name(clips, names):
    """The clips of some names, and the frames of each that were used."""
    row = {str(name): n for n, name in enumerate(clips.columns["name"])}
    rows = [row[name] for name in names]
    return clips.load()[rows], store.read_array(clips.group, "length")[rows]


def in_order(parts):
    return [name for names in parts.values() for name in names]


def taken(to, name, files, **options):
    split = None if FORMATS[name].named else options.pop("split", "xsub60")
    frames = None if FORMATS[name].prepared else FRAMES
    options = {"dataset": "ntu60", "threads": 1, **options}
    done = import_arrays(name, files, to, split=split, frames=frames, **options)
    return store.Clips(to), done


# Imports ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["aimclr-npy", "stgcn-npy", "agcn-npy"])
def test_first_bodies_come_in_as_prepare_makes_them(made, tmp_path, name):
    root, recordings = made
    write = functools.partial(their_scripts.aimclr, frames=FRAMES) if name == "aimclr-npy" else their_scripts.stgcn
    clips, _ = taken(tmp_path / "c", name, write(tmp_path / "theirs", recordings))
    names = in_order(their_scripts.parts(recordings))
    values, length = by_name(store.Clips(root / "first"), names)
    assert clips.columns["name"].tolist() == names
    np.testing.assert_allclose(clips.load(), values, atol=1e-5)
    assert name == "aimclr-npy" or store.read_array(clips.group, "length").tolist() == length.tolist()
    assert clips.attributes["bodies"] == "first"


@pytest.mark.parametrize("copied", [False, True])
def test_ctrgcn_and_sgn_files_come_in_as_prepare_makes_them(made, tmp_path, copied):
    root, recordings = made
    dataset, split = ("ntu120", "xsub120") if copied else ("ntu60", "xsub60")
    files = {"ctrgcn-npz": their_scripts.ctrgcn(tmp_path / "a.npz", recordings, 120 if copied else 60, copied)}
    if not copied:
        files["sgn-h5"] = their_scripts.sgn(tmp_path / "a.h5", recordings)
    names = in_order(their_scripts.by_subject(recordings))
    values, length = by_name(store.Clips(root / "denoise"), names)
    for name, some in files.items():
        clips, _ = taken(tmp_path / name, name, some, dataset=dataset, split=split)
        np.testing.assert_allclose(clips.load(), values, atol=1e-5)
        assert store.read_array(clips.group, "length").tolist() == length.tolist()
        assert clips.attributes["bodies"] == "denoise"


def test_the_main_body_that_comes_late_is_not_all_that_is_taken_of_a_file(made, tmp_path):
    """As CTR-GCN's feeder, which takes every frame with a body: 74, of which the first actor is in 30."""
    _, recordings = made
    (name,) = (n for n in recordings if n.startswith("S001C003P002"))
    clips, _ = taken(tmp_path / "c", "ctrgcn-npz", their_scripts.ctrgcn(tmp_path / "a.npz", recordings))
    row = in_order(their_scripts.by_subject(recordings)).index(name)
    assert store.read_array(clips.group, "length")[row] == 74
    assert (np.abs(clips.load()[row]).sum(axis=(0, 2)) > 0).sum(axis=0).tolist() == [9, 20]  # 30 of 74 frames, of 20


@pytest.mark.parametrize("num_frame", [False, True])
def test_2s_agcn_files_come_in_upright_each_body_as_long_as_it_was(made, tmp_path, num_frame):
    """Against the same recordings turned as its script does, with y up again, and prepared by the twin."""
    _, recordings = made
    files = their_scripts.agcn(tmp_path / "theirs", recordings, num_frame)
    clips, done = taken(tmp_path / "c", "agcn-npy", files)
    assert clips.attributes["bodies"] == "energy"
    assert any("z up" in said for said in done.told)
    names = in_order(their_scripts.parts(recordings))
    lengths = store.read_array(clips.group, "length").tolist()
    for name, length, clip in zip(names, lengths, clips.load(), strict=True):
        want, frames = twins.prepare_bodies(
            squeezed(twins.energy(recordings[name])), Settings(frames=FRAMES, bodies="energy")
        )
        assert (name, length) == (name, frames)
        np.testing.assert_allclose(clip, want, atol=1e-5, err_msg=name)


def squeezed(x):
    """What their script repeats of bodies (F, 2, 25, 3) to fill 300 frames, turned as there, y up again."""
    turned = their_scripts.preset_twins.isc_of(x, 300)[..., [0, 2, 1]] * [1, 1, -1]
    there = x.any(axis=(2, 3))
    kept = np.array([there[:, m].sum() if not there[0, m] else np.flatnonzero(there[:, m])[-1] + 1 for m in range(2)])
    own = np.arange(max(kept))[:, None] < kept
    return np.where(own[..., None, None], turned[: max(kept)], 0)


@pytest.mark.parametrize(("write", "bodies"), [(their_scripts.pyskl, "denoise"), (their_scripts.mmaction2, "energy")])
def test_pickles_of_annotations_come_in_as_prepare_makes_them(made, tmp_path, write, bodies):
    root, recordings = made
    clips, _ = taken(tmp_path / "c", "pyskl-pkl", write(tmp_path / "a.pkl", recordings))
    values, length = by_name(store.Clips(root / bodies), sorted(recordings))
    swapped = [name.startswith("S001C003P002") and bodies == "denoise" for name in sorted(recordings)]
    values[swapped] = values[swapped][..., ::-1]
    np.testing.assert_allclose(clips.load(), values, atol=0.01)  # float16
    assert store.read_array(clips.group, "length").tolist() == length.tolist()
    assert clips.attributes["bodies"] == bodies


def test_which_rule_chose_bodies_is_told_or_said_to_be_unknown(made, tmp_path):
    _, recordings = made
    alone = {name: r for name, r in recordings.items() if name.endswith(("A001", "A005"))}
    clips, _ = taken(tmp_path / "c", "pyskl-pkl", their_scripts.pyskl(tmp_path / "a.pkl", alone))
    assert clips.attributes["bodies"] == "unknown"  # one body each: both projects write the same
    told = CliRunner().invoke(main, ["inspect", str(tmp_path / "c")])
    assert any(line.split() == ["bodies", "unknown"] for line in told.output.splitlines())


@pytest.fixture(scope="module")
def pku(made, tmp_path_factory):
    """Two videos of two people, the second of whom is not always there, their labels, and a store of them."""
    root, recordings = made
    pair = twins.first(recordings["S001C003P007R001A051"]).astype(np.float64)
    values = np.concatenate([pair, pair[::-1], pair[:60], pair, pair[::-1], pair])
    values = (values + np.random.default_rng(0).normal(0, 1e-3, values.shape)).round(6)
    values[100:160, 1] = 0
    videos = {"0002-L": values.reshape(-1, 150), "0291-M": values[::-1].reshape(-1, 150)}
    rows = [(34, 1, 40, 1), (12, 90, 170, 2), (51, 1, 430, 1), (8, 99, 150, 1)]
    labels = {"0002-L": rows, "0291-M": [(33, 20, 60, 1), (3, 201, 203, 0)]}
    raw = root / "pku"
    for folder, text in (("skeleton", lambda v: rawtext.pku_text(videos[v])), ("label", lambda v: as_text(labels[v]))):
        (raw / folder).mkdir(parents=True)
        for video in videos:
            (raw / folder / f"{video}.txt").write_text(text(video), newline="")
    ingest("pku1", raw, root / "pku1", workers=0)
    return root / "pku1", videos, labels


def as_text(rows):
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


def test_pku_files_of_cmd_come_in_upright_under_our_names(pku, tmp_path):
    _, videos, labels = pku
    files = their_scripts.pku_agcn(tmp_path / "theirs", videos, labels, ["0002-L"])
    clips, _ = taken(tmp_path / "c", "agcn-npy", files, dataset="pku1")
    assert clips.columns["name"].tolist() == [
        "F002V001C034L001", "F002V001C012L002", "F002V001C051L003", "F002V001C008L004",
        "F291V002C033L001", "F291V002C003L002",
    ]  # fmt: skip
    assert clips.labels.tolist() == [33, 11, 50, 7, 32, 2]
    assert clips.attributes["bodies"] == "first"  # the two that there are
    rows = [(video, row) for video in videos for row in labels[video]]
    lengths = store.read_array(clips.group, "length").tolist()
    for (video, row), clip, length in zip(rows, clips.load(), lengths, strict=True):
        x = squeezed(their_scripts.cut(videos[video], row))
        want, frames = twins.prepare_bodies(x, Settings(frames=FRAMES))
        assert frames == length
        np.testing.assert_allclose(clip, want, atol=1e-5)


def test_pku_files_of_mamp_come_in_and_go_out_as_they_were_seen(pku, tmp_path):
    at, videos, labels = pku
    files = their_scripts.pku_mamp(tmp_path / "a.npz", videos, labels, ["0002-L"])
    clips, _ = taken(tmp_path / "c", "ctrgcn-npz", files, dataset="pku1", split="pku1-xsub")
    rows = [(video, row) for video in videos for row in labels[video]]
    for (video, row), clip in zip(rows, clips.load(), strict=True):
        x = their_scripts.cut(videos[video], row).astype(np.float32)
        np.testing.assert_allclose(clip, twins.prepare_bodies(x, Settings(frames=FRAMES))[0], atol=1e-5)
    assert clips.attributes["bodies"] == "first"
    export_arrays("ctrgcn-npz", at, tmp_path / "ours", split="pku1-xsub")
    earlier = {video: [(c, start - 1, end, sure) for c, start, end, sure in labels[video]] for video in labels}
    their_scripts.pku_mamp(tmp_path / "b.npz", videos, earlier, ["0002-L"])  # our clips have the start's frame, too
    with np.load(tmp_path / "ours" / "PKUv1_XSub.npz") as ours, np.load(tmp_path / "b.npz") as theirs:
        for key in theirs:
            equal(ours[key], theirs[key])


# Exports ------------------------------------------------------------------------------------------------------------


def equal(ours, theirs, atol=1e-5):
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    np.testing.assert_allclose(ours, theirs, atol=atol)


@pytest.mark.parametrize(("name", "array"), [("stgcn-npy", "data"), ("agcn-npy", "data_joint")])
def test_named_exports_are_what_their_scripts_write(made, tmp_path, name, array):
    root, recordings = made
    export_arrays(name, root / "ntu60", tmp_path / "ours", split="xsub60")
    write = their_scripts.stgcn if name == "stgcn-npy" else functools.partial(their_scripts.agcn, num_frame=True)
    for path in write(tmp_path / "theirs", recordings):
        ours = tmp_path / "ours" / path.name
        if path.suffix == ".pkl":
            assert pickle.loads(ours.read_bytes()) == pickle.loads(path.read_bytes())
        else:
            equal(np.load(ours), np.load(path))
    assert array in {path.stem.partition("_")[2] for path in (tmp_path / "ours").glob("*.npy")}


@pytest.mark.parametrize(
    ("dataset", "split", "stem"), [("ntu60", "xsub60", "NTU60_CS"), ("ntu120", "xsub120", "NTU120_CSub")]
)
def test_ctrgcn_exports_are_what_its_scripts_write(made, tmp_path, dataset, split, stem):
    root, recordings = made
    copied = dataset == "ntu120"
    export_arrays("ctrgcn-npz", root / dataset, tmp_path / "ours", split=split)
    their_scripts.ctrgcn(tmp_path / "a.npz", recordings, 120 if copied else 60, copied)
    order, own = their_scripts.by_subject(recordings), their_scripts.parts(recordings)
    with np.load(tmp_path / "ours" / f"{stem}.npz") as ours, np.load(tmp_path / "a.npz") as theirs:
        for part, key in (("train", "train"), ("val", "test")):
            rows = [own[part].index(name) for name in order[part]]  # ours are in the order of the store
            equal(ours[f"x_{key}"][rows], theirs[f"x_{key}"])
            equal(ours[f"y_{key}"][rows], theirs[f"y_{key}"])
            first = ours[f"x_{key}"].reshape(-1, 300, 2, 25, 3)[:, :, 0]
            shown = np.argmax(first.any(axis=(2, 3)), axis=1)
            assert not first[np.arange(len(first)), shown, 1].any()  # joint 2 is where the origin is


def test_sgn_exports_are_what_its_scripts_write(made, tmp_path):
    root, recordings = made
    export_arrays("sgn-h5", root / "ntu60", tmp_path / "ours", split="xsub60")
    own = their_scripts.parts(recordings)
    with h5py.File(tmp_path / "ours" / "NTU_CS.h5") as ours:  # too few clips to hold any out
        for key, part in (("x", "train"), ("test_x", "val")):
            equal(ours[key][...], np.stack([their_scripts.denoised(recordings[n]) for n in own[part]]))


@pytest.mark.parametrize(("bodies", "rule"), [(None, "denoise"), ("energy", "energy"), ("first", "first")])
def test_pyskl_exports_have_the_bodies_of_a_rule(made, tmp_path, bodies, rule):
    root, recordings = made
    export_arrays("pyskl-pkl", root / "ntu60", tmp_path / "ours", split="xsub60", bodies=bodies)
    content = pickle.loads((tmp_path / "ours" / "ntu60_3danno.pkl").read_bytes())
    assert len(content["annotations"]) == len(recordings)
    for each in content["annotations"]:
        want = twins.POLICIES[rule](recordings[each["frame_dir"]]).transpose(1, 0, 2, 3)
        want = want if want[1].any() else want[:1]
        np.testing.assert_array_equal(each["keypoint"], want)
        assert each["total_frames"] == want.shape[1]
    said = json.loads((tmp_path / "ours" / "provenance.json").read_text())["settings"]
    assert said == {"format": "pyskl-pkl", "split": "xsub60", "bodies": rule}


@pytest.mark.parametrize("bodies", [None, *BODY_POLICIES])
@pytest.mark.parametrize("name", [name for name, kind in FORMATS.items() if not kind.prepared and name != "agcn-npy"])
def test_an_export_comes_back_as_prepare_makes_it_with_its_rule(made, tmp_path, name, bodies):
    root, recordings = made
    export_arrays(name, root / "ntu60", tmp_path / "out", split="xsub60", bodies=bodies)
    files = [p for p in sorted((tmp_path / "out").iterdir()) if p.suffix in (".npy", ".pkl", ".npz", ".h5")]
    clips, _ = taken(tmp_path / "c", name, files)
    rule = bodies or FORMATS[name].bodies
    names = in_order(their_scripts.parts(recordings))
    values, length = by_name(store.Clips(root / rule), names)
    np.testing.assert_allclose(clips.load(), values, atol=1e-5)
    assert store.read_array(clips.group, "length").tolist() == length.tolist()
    assert clips.attributes["bodies"] == rule
    describe(tmp_path / "c")


@pytest.mark.parametrize("bodies", BODY_POLICIES)
def test_num_frame_says_how_many_frames_the_rule_left(made, tmp_path, bodies):
    """ISC's and CMD's feeders cut a clip there: what comes after is its repetition."""
    root, recordings = made
    export_arrays("agcn-npy", root / "ntu60", tmp_path / "out", split="xsub60", bodies=bodies)
    for part, names in their_scripts.parts(recordings).items():
        told = np.load(tmp_path / "out" / f"{part}_num_frame.npy")
        assert told.tolist() == [twins.POLICIES[bodies](recordings[name]).shape[0] for name in names]


def test_bodies_of_clips_are_chosen_already(made, tmp_path):
    root, _ = made
    with pytest.raises(BadInput, match="chosen already"):
        export_arrays("aimclr-npy", root / "energy", tmp_path / "o", split="xsub60", bodies="energy")
    export_arrays("aimclr-npy", root / "energy", tmp_path / "o", split="xsub60")
    files = [p for p in sorted((tmp_path / "o").iterdir()) if p.suffix in (".npy", ".pkl")]
    assert taken(tmp_path / "c", "aimclr-npy", files)[0].attributes["bodies"] == "energy"
    told = CliRunner().invoke(
        main, ["export", "pyskl-pkl", str(root / "ntu60"), str(tmp_path / "p"), "--split", "xsub60", "--bodies", "most"]
    )
    assert told.exit_code == 2
