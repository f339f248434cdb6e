"""Synthetic raw recordings: read back by a plain reader that shares nothing with the package's parser."""

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from skelpipe.errors import BadInput
from skelpipe.recordings.datasets import DATASETS, SPLITS, fitting_splits, split_masks
from skelpipe.recordings.synthetic import Summary, ntu, pku, plan, ucla, write_raw
from skelpipe.recordings.synthetic.motion import motion_of

SMALLEST = {
    "ntu60": {"actions": 1, "subjects": 2, "setups": 1, "replications": 1},
    "ntu120": {"actions": 2, "subjects": 4, "setups": 4, "replications": 1},
    "pku1": {"actions": 1, "subjects": 2, "replications": 1},
    "pku2": {"actions": 1, "subjects": 2, "replications": 1},
    "nw-ucla": {"actions": 1, "subjects": 2, "replications": 1},
}
# The labels of CTR-GCN's files, from 0, by the actions in their names.
UCLA_LABEL = {1: 0, 2: 1, 3: 2, 4: 3, 5: 4, 6: 5, 8: 6, 9: 7, 11: 8, 12: 9}
NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")
BONES = (
    (0, 1),
    (1, 20),
    (20, 2),
    (20, 4),
    (4, 5),
    (5, 6),
    (20, 8),
    (8, 9),
    (9, 10),
    (13, 12),
    (13, 14),
    (17, 16),
    (17, 18),
)


def read_ntu(path):
    """-> [frame: [(body id, (25, 12) array)]], checking every count and width on the way."""
    lines = iter(path.read_text().splitlines())
    frames = []
    for _ in range(int(next(lines))):
        bodies = []
        for _ in range(int(next(lines))):
            body = next(lines).split(" ")
            assert len(body) == 10
            assert next(lines) == "25"
            joints = [[float(x) for x in next(lines).split(" ")] for _ in range(25)]
            bodies.append((int(body[0]), np.array(joints)))
            assert bodies[-1][1].shape == (25, 12)
        frames.append(bodies)
    assert next(lines, None) is None
    return frames


def first_body(frames):
    return np.array([bodies[0][1][:, :3] for bodies in frames if bodies])


def read_pku(path):
    return np.array([[float(x) for x in line.split()] for line in path.read_text().splitlines()])


def read_ucla(path):
    told = json.loads(path.read_text())
    assert list(told) == ["file_name", "skeletons", "label"]
    assert told["file_name"] == path.stem
    joints = np.array(told["skeletons"])
    assert joints.shape == (len(joints), 20, 3)
    return joints, told["label"]


def content(folder):
    """Relative path -> bytes, without the two files that say when the folder was made."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name not in ("provenance.json", "done.json")
    }


def recordings(folder):
    return {Path(name).stem: data for name, data in content(folder).items() if name.endswith(".skeleton")}


def columns_of(dataset, folder):
    """The columns that splits are computed from, taken from names and label files alone."""
    if dataset.startswith("ntu"):
        ids = np.array([[int(x) for x in NAME.fullmatch(name).groups()] for name in recordings(folder)])
        keys = ("setup", "camera", "subject", "replication", "label")
        return {"name": np.array(list(recordings(folder))), **dict(zip(keys, (ids - [0, 0, 0, 0, 1]).T, strict=True))}
    if dataset == "nw-ucla":
        names = sorted(path.stem for path in (folder / "all_sqe").iterdir())
        ids = np.array([[int(x) for x in re.fullmatch(r"a(..)_s(..)_e(..)_v(..)", name).groups()] for name in names])
        return {"name": np.array(names), "label": np.array([UCLA_LABEL[a] for a in ids[:, 0]]),
                "subject": ids[:, 1], "episode": ids[:, 2], "camera": ids[:, 3]}  # fmt: skip
    rows = []
    for path in sorted((folder / plan._PKU_LAYOUT[dataset][1]).iterdir()):
        rows += [(path.stem, int(line.split(",")[0]) - 1) for line in path.read_text().splitlines()]
    video, label = (np.array(column) for column in zip(*rows, strict=True))
    view = np.array(["LMR".index(v[-1]) + 1 for v in video])
    return {"name": video, "video": video, "label": label, "view": view}


@pytest.fixture(scope="module", params=SMALLEST)
def smallest(request, tmp_path_factory):
    """The smallest data set that may be asked for, of each kind."""
    folder = tmp_path_factory.mktemp("raw") / request.param
    summary = write_raw(request.param, folder, **SMALLEST[request.param], frames=(20, 30))
    return request.param, folder, summary


@pytest.fixture(scope="module")
def ntu60(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw") / "ntu60"
    write_raw("ntu60", folder, actions=8, subjects=6, setups=1, replications=1, frames=(30, 40))
    return folder


# -------------------------------------------------------------------------------------------- the same, again and again


@pytest.mark.parametrize("dataset", ["ntu60", "pku2", "nw-ucla"])
@pytest.mark.parametrize("zip", [False, True])
def test_equal_seeds_give_equal_bytes_and_others_do_not(tmp_path, dataset, zip):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        write_raw(dataset, tmp_path / name, **SMALLEST[dataset], frames=(10, 14), seed=seed, zip=zip)
    a, b, c = (content(tmp_path / name) for name in "abc")
    assert a == b
    assert list(a) == list(c)
    same = {name for name in a if a[name] == c[name]}
    assert all("cross" in name for name in same), "only the split files may be equal"


def test_a_clip_does_not_depend_on_what_else_is_written(tmp_path):
    write_raw("ntu60", tmp_path / "few", actions=1, subjects=2, setups=1, replications=1, frames=(12, 20))
    write_raw("ntu60", tmp_path / "many", actions=3, subjects=3, setups=2, replications=2, frames=(12, 20))
    few, many = recordings(tmp_path / "few"), recordings(tmp_path / "many")
    assert set(few) < set(many)
    assert all(many[name] == data for name, data in few.items())


# ----------------------------------------------------------------------------------------------------- names and splits


def test_every_split_has_every_class_on_both_sides(smallest):
    dataset, folder, summary = smallest
    columns = columns_of(dataset, folder)
    assert len(columns["name"]) == summary.clips
    for split in fitting_splits(dataset):
        train, test = split_masks(split, dataset, columns)
        among = columns["label"][train | test]
        assert set(columns["label"][train]) == set(columns["label"][test]) == set(among), split
        assert len(among), split
        assert columns["label"].max() < DATASETS[dataset].classes
        assert SPLITS[split].classes >= len(set(among))


@pytest.mark.parametrize("dataset", SMALLEST)
def test_the_largest_set_stays_within_the_official_numbers(dataset):
    options = {name: most for name, (_, _, most) in plan._RANGES[dataset].items()}
    if dataset.startswith("pku"):
        names = [n for n, _, _ in plan._pku_names(dataset, options["subjects"], options["replications"])]
        assert len(set(names)) == len(names) == options["subjects"] * options["replications"]
        assert all(DATASETS[dataset].video_name(f"{n}-L") for n in names)
        numbers = np.array([[int(x) for x in re.findall(r"\d+", n)] for n in names])
        assert (numbers.min(0) >= (2 if dataset == "pku1" else 1)).all()
        assert (numbers.max(0) <= ([364] if dataset == "pku1" else [26, 13])).all()
        return
    if dataset == "nw-ucla":
        assert options == {"actions": len(UCLA_LABEL), "subjects": 10, "replications": 11}
        return
    halves = plan._ntu_halves(dataset, options)
    actions, subjects, setups = ([i for half in halves for i in half[k]] for k in range(3))
    for found, name in ((actions, "actions"), (subjects, "subjects"), (setups, "setups")):
        assert sorted(found) == list(range(1, options[name] + 1))
    assert max(halves[0][2]) <= 17
    assert max(halves[0][0]) <= 60


def test_the_splits_of_the_small_default_do_not_coincide(tmp_path):
    summary = write_raw("ntu120", tmp_path / "raw", actions=2, subjects=8, replications=1, frames=(10, 10))
    columns = columns_of("ntu120", tmp_path / "raw")
    a, b = (split_masks(split, "ntu120", columns)[0] for split in ("xsub120", "xset120"))
    assert summary.clips == len(a)
    assert all((x & y).any() for x in (a, ~a) for y in (b, ~b))


def test_no_two_classes_are_the_same_motion():
    for classes, pairs in ((120, ntu._PAIRS), (51, pku._PAIRS), (12, frozenset())):
        motions = [motion_of(action, pairs) for action in range(1, classes + 1)]
        assert len(set(motions)) == classes
        assert {a for a, m in enumerate(motions, 1) if m.partner is not None} == pairs


# --------------------------------------------------------------------------------------------------- bodies and cameras


def test_bones_keep_their_length_and_people_differ(ntu60):
    length = {}
    for person in (1, 2, 4, 6, 7):
        joints = first_body(read_ntu(ntu60 / f"nturgb+d_skeletons/S001C003P{person:03d}R001A018.skeleton"))
        bones = np.stack([np.linalg.norm(joints[:, a] - joints[:, b], axis=-1) for a, b in BONES], axis=1)
        length[person] = np.median(bones, axis=0)
        assert (np.median(np.abs(bones - length[person]), axis=0) < 0.03).all()
        height = np.ptp(joints[0, :, 1])
        assert 1.2 < height < 2.0
        assert (joints[..., 2] > 1.5).all(), "in front of the camera"
        assert (joints[..., 2] < 5).all()
    spread = np.ptp(np.array(list(length.values())), axis=0)
    assert (spread > 0.005).all()


def test_left_and_right_are_where_the_publishers_have_them(ntu60):
    joints = first_body(read_ntu(ntu60 / "nturgb+d_skeletons/S001C003P002R001A001.skeleton"))
    assert np.median(joints[:, 4, 0] - joints[:, 8, 0]) < -0.2, "a person who faces the camera has the left at -x"
    assert np.median(joints[:, 3, 1] - joints[:, 0, 1]) > 0.4
    assert np.median(joints[:, 15, 2] - joints[:, 14, 2]) < 0, "and the toes towards it"


def turned(one, two):
    """Best rotation from one cloud to the other (Kabsch): its angle in degrees, and the rms residual in metres."""
    a, b = (x.reshape(-1, 3) - x.reshape(-1, 3).mean(0) for x in (one, two))
    u, _, vt = np.linalg.svd(a.T @ b)
    rotation = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
    angle = np.degrees(np.arccos((np.trace(rotation) - 1) / 2))
    return angle, np.sqrt(np.mean(np.sum((a @ rotation - b) ** 2, axis=1)))


def test_three_turned_cameras_see_one_motion(ntu60):
    takes = 0
    for path in sorted(ntu60.rglob("*C001*.skeleton"))[::4]:
        three = [read_ntu(path.with_name(path.name.replace("C001", f"C00{c}"))) for c in (1, 2, 3)]
        if any(len(bodies) != 1 for frames in three for bodies in frames):
            continue  # two people, ghosts or gaps
        takes += 1
        seen = [first_body(frames) for frames in three]
        for (a, b), degrees in (((0, 1), 45), ((0, 2), 45), ((1, 2), 90)):
            angle, rest = turned(seen[a], seen[b])
            assert abs(angle - degrees) < 4
            assert 0.002 < rest < 0.1, "the same motion, but each camera's own noise"
    assert takes >= 5


def test_pku_views_are_turned_too(tmp_path):
    write_raw("pku1", tmp_path / "raw", **SMALLEST["pku1"], frames=(30, 30))
    left, middle = (read_pku(tmp_path / f"raw/PKU_Skeleton_Renew/0002-{v}.txt")[:, :75] for v in "LM")
    both = (left != 0).all(1) & (middle != 0).all(1)
    assert abs(turned(left[both].reshape(-1, 25, 3), middle[both].reshape(-1, 25, 3))[0] - 45) < 4


def test_two_people_meet_in_the_interaction_classes(tmp_path):
    write_raw("ntu60", tmp_path / "raw", actions=2, subjects=2, setups=1, replications=1, frames=(30, 30))
    frames = read_ntu(tmp_path / "raw/nturgb+d_skeletons/S001C001P001R001A060.skeleton")
    pairs = np.array([[body[1][:, :3] for body in bodies[:2]] for bodies in frames if len(bodies) >= 2])
    assert len(pairs) > 15
    distance = np.linalg.norm(pairs[:, 0, 0] - pairs[:, 1, 0], axis=-1)
    assert 0.3 < np.median(distance) < 2.0


# ----------------------------------------------------------------------------------------------------------- ugly parts


@pytest.mark.parametrize("smallest", ["ntu60", "ntu120"], indirect=True)
def test_even_the_smallest_set_has_every_ugly_part(smallest):
    _, folder, _ = smallest
    files = {path: read_ntu(path) for path in sorted(folder.rglob("*.skeleton"))}
    raw = [path.read_bytes() for path in files]
    counts = [[len(bodies) for bodies in frames] for frames in files.values()]
    ids = [[[body for body, _ in bodies] for bodies in frames] for frames in files.values()]
    assert any(b"\r\n" in data for data in raw)
    assert any(b"\r" not in data for data in raw)
    assert not any(re.search(rb"(?<!\r)\n", data) for data in raw if b"\r" in data), "never both in one file"
    assert any(not data.endswith(b"\n") for data in raw)
    assert any(0 in c[1:-1] and c[0] and c[-1] for c in counts), "frames with no body in mid-clip"
    assert any(max(c) >= 3 for c in counts), "a ghost"
    assert any(c[0] < max(c) and c[-1] < max(c) for c in counts), "a body comes and goes"
    single = [frames for frames in ids if max(map(len, frames)) == 1]
    assert any(len({f[0] for f in frames if f}) == 2 for frames in single), "a new id for the same body"
    together = [[tuple(f) for f in frames if len(f) >= 2] for frames in ids]
    assert any({pair[::-1] for pair in frames} & set(frames) for frames in together), "the order in the file changes"
    assert all(72057594037927936 < body < 72057594038000000 for frames in ids for f in frames for body in f)
    assert any(re.search(rb"(^|[\n ])-?\d\.?\d{0,6}E-\d\d ", data) for data in raw), "exponents"
    jumps = [np.abs(np.diff(first_body(f)[:, 4:], axis=0)).max() for f, c in zip(files.values(), counts, strict=True)
             if max(c) == 1]  # fmt: skip
    assert max(jumps) > 0.25


@pytest.mark.parametrize("smallest", ["ntu60", "ntu120"], indirect=True)
def test_numbers_are_written_as_the_sensor_s_software_does(smallest):
    _, folder, _ = smallest
    number = re.compile(r"-?(\d+)(\.\d+)?(E-\d\d)?")
    kinds = set()
    for path in sorted(folder.rglob("*.skeleton"))[:6]:
        for word in path.read_text().split():
            match = number.fullmatch(word)
            assert match, word
            digits = re.sub(r"E.*|[-.]", "", word).lstrip("0")
            if len(word) != 17 or match[2] or match[3]:  # a body id
                assert len(digits) <= 7, word
                assert f"{float(word):.7G}" == word, "reading and writing again must change nothing"
            assert word != "-0"
            kinds.add((bool(match[2]), bool(match[3]), word.startswith("-")))
    assert (True, True, True) in kinds


def test_the_other_columns_are_plausible(ntu60):
    frames = read_ntu(ntu60 / "nturgb+d_skeletons/S001C001P002R001A001.skeleton")
    rows = np.concatenate([bodies[0][1] for bodies in frames if bodies])
    assert ((rows[:, 3] > 0) & (rows[:, 3] < 512) & (rows[:, 4] > 0) & (rows[:, 4] < 424)).mean() > 0.95
    assert ((rows[:, 5] > 0) & (rows[:, 5] < 1920)).mean() > 0.95
    norm = np.linalg.norm(rows[:, 7:11], axis=1)
    assert (np.isclose(norm, 1, atol=1e-5) | (norm == 0)).all()
    assert set(np.unique(rows[:, 11])) <= {0, 1, 2}
    higher = rows[:, 1] / rows[:, 2]
    assert np.corrcoef(higher, rows[:, 4])[0, 1] < -0.99, "pixels count downwards"


# -------------------------------------------------------------------------------------------------------------- PKU-MMD


@pytest.mark.parametrize("smallest", ["pku1", "pku2"], indirect=True)
def test_pku_files_have_the_published_form(smallest):
    dataset, folder, summary = smallest
    skeletons, labels, *splits = plan._PKU_LAYOUT[dataset]
    paths = sorted((folder / skeletons).iterdir())
    assert {p.stem[-2:] for p in paths} == {"-L", "-M", "-R"}
    assert [p.name for p in paths] == [p.name for p in sorted((folder / labels).iterdir())]
    assert len(paths) * 2 + 2 == summary.files
    starts, beyond = [], []
    for path in paths:
        lines = path.read_text().split("\n")
        assert lines.pop() == ""
        assert not lines[0].startswith(" ")
        assert all(line.startswith(" ") for line in lines[1:])
        assert all(re.fullmatch(r"-?\d+\.\d{6}", word) for word in lines[0].split())
        frames = read_pku(path)
        assert frames.shape[1] == 150
        assert (np.abs(frames[:, :75]).sum(1) == 0).sum() == 4
        rows = [[int(x) for x in line.split(",")] for line in (folder / labels / path.name).read_text().splitlines()]
        for action, start, end, confidence in rows:
            assert 1 <= action <= 51
            assert start < end
            assert confidence in (1, 2)
            starts.append(start)
            beyond.append(end > len(frames))
    assert sum(beyond) == 1
    assert (0 in starts) == (dataset == "pku2")
    assert min(starts) >= (0 if dataset == "pku2" else 1)
    for name in splits:
        head, one, middle, two, rest = (folder / name).read_text().split("\n")
        assert (head, middle, rest) == ("Training videos: ", "Validataion videos: ", "")
        assert sorted(one.split(", ") + two.split(", ")) == [p.stem for p in paths]


def test_pku_actions_do_not_overlap_and_the_second_person_is_there_for_interactions_only(tmp_path):
    write_raw("pku1", tmp_path / "raw", actions=51, subjects=2, replications=1, frames=(10, 12))
    frames = read_pku(tmp_path / "raw/PKU_Skeleton_Renew/0002-M.txt")
    text = (tmp_path / "raw/Train_Label_PKU_final/0002-M.txt").read_text()
    rows = np.array([[int(x) for x in line.split(",")] for line in text.splitlines()])
    assert sorted(rows[:, 0]) == list(range(1, 52))
    assert (rows[1:, 1] > rows[:-1, 2]).all(), "with idle time between"
    two = frames[:, 75:].any(axis=1) | ~frames[:, :75].any(axis=1)
    for action, start, end, _ in rows:
        assert two[start - 1 : end].all() == (action in pku._PAIRS)


@pytest.mark.parametrize("smallest", ["pku1", "pku2"], indirect=True)
def test_pku_split_files_agree_with_the_rules(smallest):
    dataset, folder, _ = smallest
    columns = columns_of(dataset, folder)
    listed = DATASETS[dataset].find(folder).split_files
    assert set(listed) == set(fitting_splits(dataset))
    for split in listed:
        for one, two in zip(
            split_masks(split, dataset, columns), split_masks(split, dataset, columns, listed), strict=True
        ):
            np.testing.assert_array_equal(one, two)


# -------------------------------------------------------------------------------------------------------------- NW-UCLA


@pytest.mark.parametrize("smallest", ["nw-ucla"], indirect=True)
def test_nw_ucla_files_have_the_published_form_and_its_ugly_parts(smallest):
    _, folder, summary = smallest
    paths = sorted((folder / "all_sqe").iterdir())
    assert [p.name for p in paths] == [f"a01_s{s:02}_e00_v{v:02}.json" for s in (1, 2) for v in (1, 2, 3)]
    assert summary == Summary(6, 6, sum(p.stat().st_size for p in paths))
    joints = {path.stem: read_ucla(path)[0] for path in paths}
    assert {read_ucla(path)[1] for path in paths} == {1}
    text = paths[0].read_text()
    assert "-0.0," not in text
    assert all(len(re.sub(r"e.*|[-.]", "", n).lstrip("0")) <= 6 for n in re.findall(r"-?\d+\.[\de-]+", text))
    assert {name: len(clip) for name, clip in joints.items() if len(clip) == 1} == {"a01_s01_e00_v02": 1}
    lost = {name: np.argwhere((clip == 0).all(2)).tolist() for name, clip in joints.items()}
    ((frame, first), *rest) = lost.pop("a01_s01_e00_v03")
    assert [[frame, first], *rest] == [[frame, v] for v in (0, 1, 2, 4, 12, 16)]
    assert not any(lost.values())
    assert np.abs(np.diff(joints["a01_s01_e00_v01"], axis=0)).max() > 0.15, "a joint jumps"


def test_nw_ucla_people_stand_before_its_cameras_and_turn_with_them(tmp_path):
    write_raw("nw-ucla", tmp_path / "raw", actions=2, subjects=2, replications=1, frames=(30, 30))
    one, two = (read_ucla(tmp_path / f"raw/all_sqe/a12_s02_e00_v0{v}.json")[0] for v in (1, 2))
    assert abs(turned(one, two)[0] - 45) < 4
    assert (one[..., 2] > 1.5).all(), "in front of the camera"
    assert np.median(one[:, 3, 1] - one[:, 0, 1]) > 0.4, "y is up"
    assert np.median(one[:, 4, 0] - one[:, 8, 0]) < -0.2, "a person who faces the camera has the left at -x"
    assert read_ucla(tmp_path / "raw/all_sqe/a12_s02_e00_v01.json")[1] == 10


def test_nw_ucla_clips_do_not_depend_on_what_else_is_written(tmp_path):
    write_raw("nw-ucla", tmp_path / "few", **SMALLEST["nw-ucla"], frames=(12, 20))
    write_raw("nw-ucla", tmp_path / "many", actions=3, subjects=3, replications=2, frames=(12, 20))
    few, many = (content(tmp_path / name) for name in ("few", "many"))
    same = {name for name in few if name.startswith("all_sqe/")}
    assert len(same) == 6
    assert all(many[name] == few[name] for name in same)
    assert ucla.ucla_clip(0, ucla.UclaClip(1, 2, 0, 3), (12, 20)) == few["all_sqe/a01_s02_e00_v03.json"]


# -------------------------------------------------------------------------------------------------- what it is good for


def feature(frames):
    """Raw coordinates of the first body: centred on joint 21, turned to the camera, at 20 moments."""
    joints = first_body(frames)
    joints = joints[np.linspace(0, len(joints) - 1, 20).round().astype(int)]
    joints = joints - joints[:, 20:21]
    across = joints[:, 8] - joints[:, 4]
    angle = np.arctan2(across[:, 2], across[:, 0])[:, None]
    x, y, z = np.moveaxis(joints, -1, 0)
    return np.stack([np.cos(angle) * x + np.sin(angle) * z, y, np.cos(angle) * z - np.sin(angle) * x], -1).ravel()


def test_the_task_is_learnable_but_not_trivial(ntu60):
    paths = sorted(ntu60.rglob("*.skeleton"))
    columns = columns_of("ntu60", ntu60)
    features = np.array([feature(read_ntu(path)) for path in paths])
    train, test = split_masks("xsub60", "ntu60", columns)
    distance = np.linalg.norm(features[test][:, None] - features[train][None], axis=-1)
    right = columns["label"][train][distance.argmin(1)] == columns["label"][test]
    assert 2 / len(set(columns["label"])) < right.mean() < 0.98


def test_the_package_reads_what_is_written_folder_or_archive(smallest, tmp_path):
    dataset, folder, summary = smallest
    write_raw(dataset, tmp_path / "zip", **SMALLEST[dataset], frames=(20, 30), zip=True)
    archives = sorted((tmp_path / "zip").glob("*.zip"))
    assert len(archives) == (1 if dataset in ("ntu60", "nw-ucla") else 2)
    members = {n: zipfile.ZipFile(a).read(n) for a in archives for n in zipfile.ZipFile(a).namelist()}
    plain = content(folder)
    assert members == {name: data for name, data in plain.items() if "/" in name}
    kind = DATASETS[dataset]
    for raw in (folder, tmp_path / "zip"):
        found = kind.find(raw, keep_missing=True)
        read = [clip for source in found.sources for clip in kind.read(source, keep_missing=True)]
        assert {dropped.reason for dropped in found.dropped} == {"of skelpipe"}
        assert sum(dropped.count for dropped in found.dropped) == 4
        assert len(read) == summary.clips
        assert all(np.isfinite(clip.joints).all() for clip in read)


# --------------------------------------------------------------------------------------------------- folders and faults


def test_summary_and_progress_count_what_is_there(tmp_path):
    calls = []
    summary = write_raw("ntu60", tmp_path / "raw", **SMALLEST["ntu60"], progress=lambda *c: calls.append(c))
    sizes = [len(data) for data in recordings(tmp_path / "raw").values()]
    assert summary == Summary(files=6, clips=6, bytes=sum(sizes))
    assert calls == [(i, 6) for i in range(1, 7)]
    assert "Nobody was recorded" in (tmp_path / "raw/SYNTHETIC.md").read_text()


def test_only_its_own_folder_is_replaced_and_only_on_demand(tmp_path):
    small = {**SMALLEST["ntu60"], "frames": (10, 10)}
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "S001C001P001R001A001.skeleton").write_text("precious")
    with pytest.raises(BadInput, match="other files"):
        write_raw("ntu60", theirs, **small, force=True)
    assert (theirs / "S001C001P001R001A001.skeleton").read_text() == "precious"
    write_raw("ntu60", mine, **small)
    before = content(mine)
    with pytest.raises(BadInput, match="--force"):
        write_raw("ntu60", mine, **small, seed=1)
    assert content(mine) == before
    write_raw("ntu60", mine, **small, seed=1, force=True)
    assert content(mine) != before


def test_an_interrupted_run_leaves_what_was_there(tmp_path):
    small = {**SMALLEST["ntu60"], "frames": (10, 10)}
    write_raw("ntu60", tmp_path / "raw", **small)
    before = content(tmp_path / "raw")

    def stop(done, total):
        if done == 3:
            raise KeyboardInterrupt

    for target in ("raw", "new"):
        with pytest.raises(KeyboardInterrupt):
            write_raw("ntu60", tmp_path / target, **small, seed=1, force=True, progress=stop)
    assert content(tmp_path / "raw") == before
    assert [p.name for p in tmp_path.iterdir()] == ["raw"]


@pytest.mark.parametrize(
    ("dataset", "options", "words"),
    [
        ("ntu61", {}, "ntu60"),
        ("ntu60", {"actions": 61}, "--actions 61.*1 to 60"),
        ("ntu60", {"subjects": 1}, "--subjects 1.*2 to 40"),
        ("ntu120", {"setups": 3}, "--setups 3.*4 to 32"),
        ("pku1", {"setups": 2}, "--setups.*pku1 has no setups"),
        ("pku2", {"replications": 0}, "--replications 0"),
        ("nw-ucla", {"replications": 12}, "--replications 12.*1 to 11"),
        ("nw-ucla", {"setups": 1}, "--setups.*nw-ucla has no setups"),
        ("ntu60", {"frames": (50, 40)}, "--frames 50 40"),
        ("ntu60", {"frames": (3, 40)}, "--frames 3 40"),
        ("ntu60", {"seed": -1}, "--seed -1"),
    ],
)
def test_options_out_of_range_are_named(tmp_path, dataset, options, words):
    with pytest.raises(BadInput, match=words):
        write_raw(dataset, tmp_path / "raw", **options)
    assert not (tmp_path / "raw").exists()
