"""The tables of joints, what is derived from them, and layouts that users bring."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import yaml

from skelpipe.encoders.graph import hop_distance, spatial_partitions
from skelpipe.encoders.stgcn import STGCN, STGCNOptions
from skelpipe.errors import BadInput
from skelpipe.layouts import LAYOUTS, attributes_of, find_layout, layout_of
from skelpipe.layouts.table import read_table

SHIPPED = ["kinect_v2", "kinect_v1", "coco17", "openpose18", "openpose25", "mediapipe33", "h36m17", "smpl24"]
EVERY = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
# joint-parent, from 0, as the public code has them: CTR-GCN graph/ucla.py, PySKL utils/graph.py, VideoPose3D.
PUBLISHED = {
    "kinect_v1": "0-1 1-2 3-2 4-2 5-4 6-5 7-6 8-2 9-8 10-9 11-10 12-0 13-12 14-13 15-14 16-0 17-16 18-17 19-18",
    "coco17": "15-13 13-11 16-14 14-12 11-5 12-6 9-7 7-5 10-8 8-6 5-0 6-0 1-0 3-1 2-0 4-2",
    "openpose18": "4-3 3-2 7-6 6-5 13-12 12-11 10-9 9-8 11-5 8-2 5-1 2-1 0-1 15-0 14-0 17-15 16-14",
    "h36m17": "1-0 2-1 3-2 4-0 5-4 6-5 7-0 8-7 9-8 10-9 11-8 12-11 13-12 14-8 15-14 16-15",
}


@EVERY
def test_joints_are_a_tree_that_its_mirror_maps_onto_itself(layout):
    joints = len(layout.joints)
    assert read_table(layout.as_table(), "table") == layout  # which checks tree, mirror, names and parts
    if layout.name in SHIPPED:
        assert str(joints) in layout.name or layout.name.startswith("kinect")
    for v in range(joints):
        assert layout.mirror[layout.parents[v]] == layout.parents[layout.mirror[v]]
    for v, w in enumerate(layout.mirror if layout.name in SHIPPED else ()):
        swap = {"left": "right", "right": "left"}
        assert " ".join(swap.get(word, word) for word in layout.joints[v].split()) == layout.joints[w]
        assert layout.sides[v] == next((side for side in swap if layout.joints[v].startswith(side)), "middle")
    assert {layout.mirror[v] for v in layout.centre} == set(layout.centre)
    right, left = layout.shoulders
    assert {layout.mirror[v] for v in right} == set(left)
    assert len({layout.sides[v] for v in right}) == 1
    assert layout.name not in SHIPPED or {layout.sides[v] for v in right} == {"right"}
    assert {layout.mirror[v] for v in layout.torso} == set(layout.torso)


@EVERY
def test_parts(layout):
    index = layout.part_index
    assert list(index) == [name for name, _ in layout.parts]
    covered = sorted(v for some in index.values() for v in some.tolist())
    assert covered == (list(range(len(layout.joints))) if layout.parts else [])


@pytest.mark.parametrize("name", SHIPPED)
def test_the_parts_of_the_shipped_are_trunk_and_limbs(name):
    layout = LAYOUTS[name]
    parts = dict(layout.parts)
    assert list(parts) == ["trunk", "left arm", "right arm", "left leg", "right leg"]
    assert {layout.mirror[v] for v in parts["trunk"]} == set(parts["trunk"])
    for limb in ("arm", "leg"):
        assert {layout.mirror[v] for v in parts[f"left {limb}"]} == set(parts[f"right {limb}"])
        assert {layout.sides[v] for v in parts[f"left {limb}"]} == {"left"}
    for part, some in layout.parts:  # each part hangs together
        outside = [v for v in some if layout.parents[v] not in some or layout.parents[v] == v]
        assert len(outside) == 1, part


@pytest.mark.parametrize("name", PUBLISHED)
def test_bones_are_the_published_ones(name):
    assert {f"{v}-{parent}" for v, parent in LAYOUTS[name].edges} == set(PUBLISHED[name].split())


@EVERY
def test_partitions(layout):
    own, other, nearer = spatial_partitions(layout)
    joints = len(layout.joints)
    np.testing.assert_allclose((own + other + nearer).sum(0), 1, rtol=1e-6)
    assert np.array_equal(own != 0, np.eye(joints, dtype=bool))
    bones = np.zeros((joints, joints), bool)
    bones[tuple(np.array(layout.edges).T)] = True
    assert np.array_equal((other != 0) | (nearer != 0), bones | bones.T)
    assert not ((other != 0) & (nearer != 0)).any()
    assert np.isfinite(hop_distance(layout, joints)).all()
    swap = np.ix_(layout.mirror, layout.mirror)
    for part in (own, other, nearer):
        np.testing.assert_array_equal(part[swap], part)


@pytest.mark.parametrize("name", ["coco17", "coco17+confidence", "mediapipe33+confidence"])
def test_stgcn_has_the_channels_of_the_layout(name):
    layout = find_layout(name)
    encoder = STGCN(layout, STGCNOptions(width=2, features=4)).eval()
    x = torch.randn(2, layout.channels, 8, len(layout.joints), 2)
    assert encoder(x).shape == (2, 4)
    with torch.no_grad():
        torch.testing.assert_close(encoder(x), encoder.pool(encoder.feature_map(x), 2))


def test_names():
    assert find_layout("kinect_v2") is LAYOUTS["kinect_v2"]
    seen = find_layout("coco17+confidence")
    assert (seen.channels, seen.coordinates, seen.joints) == (3, 2, LAYOUTS["coco17"].joints)
    assert find_layout("coco17+confidence") is seen
    assert layout_of(attributes_of(seen)) is seen
    with pytest.raises(BadInput, match="layout 'coco71': is not known; did you mean 'coco17'"):
        find_layout("coco71")
    with pytest.raises(KeyError):
        layout_of({"layout": "stick"})
    with pytest.raises(KeyError):
        layout_of({})


STICK = {
    "name": "stick",
    "joints": [
        {"name": "pelvis"},
        {"name": "head", "parent": "pelvis"},
        {"name": "HandR", "parent": "head", "mirror": "HandL"},
        {"name": "HandL", "parent": "head", "mirror": "HandR"},
    ],
    "centre": ["pelvis"],
    "shoulders": {"right": ["HandR"], "left": ["HandL"]},
    "torso": ["head"],
    "parts": {"trunk": ["pelvis", "head"], "arms": ["HandR", "HandL"]},
    "coordinates": 2,
    "confidence": True,
}


def test_a_users_layout(tmp_path):
    path = tmp_path / "stick.yaml"
    path.write_text(yaml.safe_dump(STICK, sort_keys=False))
    stick = find_layout(path)
    assert (stick.parents, stick.mirror, stick.channels) == ((0, 0, 1, 1), (0, 1, 3, 2), 3)
    assert stick.sides == ("middle", "middle", "right", "left")
    assert stick.parts == (("trunk", (0, 1)), ("arms", (2, 3)))
    assert stick.as_table() == STICK
    about = attributes_of(stick)
    assert about == {"layout": "stick", "layout_table": STICK}
    assert layout_of(about) == stick
    with pytest.raises(BadInput, match="tells of another layout, 'stick'"):
        layout_of({**about, "layout": "stock"})
    least = {key: STICK[key] for key in ("name", "joints", "centre", "shoulders")}
    plain = read_table(least, path)
    assert (plain.parts, plain.torso, plain.channels) == ((), (), 3)
    path.write_text(yaml.safe_dump({**LAYOUTS["coco17"].as_table(), "centre": ["nose"]}))
    with pytest.raises(BadInput, match="has the name of another layout, 'coco17'"):
        find_layout(path)
    path.write_text("name: a\nname: b\n")
    with pytest.raises(BadInput, match="stick.yaml:2: names 'name' twice; keep one of them"):
        find_layout(path)
    with pytest.raises(BadInput, match="cannot be read"):
        find_layout(tmp_path / "none.yaml")


def joint(number, **changes):
    def change(table):
        table["joints"][number].update(changes)

    return change


def key(name, value):
    return lambda table: table.update({name: value})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (joint(0, parent="head"), "the tree of joints has no root; give one joint without parent"),
        (joint(2, parent="pelvis"), "'HandR' and its mirror 'HandL' hang on 'pelvis' and 'head', which do not mirror"),
        (key("shoulders", {"right": ["HandR"], "left": ["head"]}), "the mirror of shoulders.right (HandR) is not"),
        (joint(2, parent="HandR"), "2 joints (pelvis, HandR) have no parent, and a tree has one root"),
        (joint(1, parent="HandL"), "following the parents of 'head' leads in a circle through 'head'"),
        (joint(1, parent="pelvic"), "the parent of 'head', 'pelvic', is no joint; did you mean 'pelvis'?"),
        (joint(1, mirror="HandL"), "the mirror of 'head' is 'HandL', and that of 'HandL' is 'HandR'"),
        (joint(3, name="HandR"), "two joints are called 'HandR'"),
        (joint(1, name=7), "the name of joint 2 is 7"),
        (joint(1, name="a\x1b[1m"), "the name of joint 2 is 'a\\x1b[1m'"),
        (joint(1, mirrors="head"), "joint 2 has an unknown key, 'mirrors'; did you mean 'mirror'?"),
        (joint(1, parent=["pelvis"]), "the parent of 'head', \"['pelvis']\", is no joint"),
        (key("joints", [{"name": "a"}]), "joints is no list of 2 to 1000 joints"),
        (key("joints", ["a", "b"]), "joint 1 is no mapping of keys to values"),
        (key("parts", {"trunk": ["pelvis"], "arms": ["HandR", "HandL"]}), "the joint 'head' is in no part;"),
        (key("parts", {"a": ["pelvis", "head", "HandR"], "b": ["HandR", "HandL"]}), "the joint 'HandR' is in 2 parts;"),
        (key("parts", ["pelvis"]), "parts is no mapping"),
        (key("parts", {"trunk": ["pelvis", "pelvis"]}), "part 'trunk' has a joint twice"),
        (key("shoulders", {"right": ["head"], "left": ["head"]}), "the right and the left shoulder are the same"),
        (key("shoulders", {"right": ["HandR"]}), "shoulders has no 'left'"),
        (key("centre", []), "centre is no list of joints"),
        (key("centre", ["navel"]), "the joint in centre, 'navel', is no joint"),
        (key("coordinates", 4), "coordinates is 4; give 2 (x, y) or 3 (x, y, z)"),
        (key("coordinates", "2"), "coordinates is '2'"),
        (key("confidence", 1), "confidence is 1; give true or false"),
        (key("name", "my layout"), "'my layout' is no name for a layout"),
        (key("name", None), "the layout's name is None"),
        (key("center", ["pelvis"]), "the layout has an unknown key, 'center'; did you mean 'centre'?"),
        (lambda table: table.pop("shoulders"), "the layout has no 'shoulders'"),
    ],
)
def test_mistakes_are_told_in_one_line(change, said):
    table = copy.deepcopy(STICK)
    change(table)
    with pytest.raises(BadInput) as caught:
        read_table(table, "stick.yaml")
    assert str(caught.value).startswith("stick.yaml: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_that_is_none():
    with pytest.raises(BadInput, match="the layout is no mapping"):
        read_table([1], "x")
