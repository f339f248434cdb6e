"""Drawings as SVG: every joint has its number, every entry of a graph its arrow, every clip its row."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from skelpipe.encoders.graph import PARTITIONS, adjacency
from skelpipe.layouts import LAYOUTS
from skelpipe.plots.blocks import Box, draw_blocks
from skelpipe.plots.drawings import draw_films, draw_layout, draw_partition

KINECT = LAYOUTS["kinect_v2"]


def elements(text: str, tag: str, kind: str) -> list[ET.Element]:
    """Those of a tag that have a class."""
    return [each for each in ET.fromstring(text).iter(f"{{http://www.w3.org/2000/svg}}{tag}")
            if kind in each.get("class", "").split()]  # fmt: skip


def box(svg: str) -> tuple[float, float]:
    found = next(ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}svg"))
    _, _, width, height = map(float, found.get("viewBox", "").split())
    return width, height


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_joint_has_its_number_and_every_bone_its_line(name):
    layout, made = LAYOUTS[name], draw_layout(LAYOUTS[name])
    assert {int(each.text) for each in elements(made, "text", "number")} == set(range(len(layout.joints)))
    assert len(elements(made, "line", "bone")) >= len(layout.edges)
    assert len(elements(made, "circle", "joint")) >= len(layout.joints)
    width, height = box(made)
    for joint in elements(made, "circle", "joint"):
        assert 0 < float(joint.get("cx")) < width
        assert 0 < float(joint.get("cy")) < height


def test_numbers_do_not_lie_on_each_other():
    for layout in LAYOUTS.values():
        places = [(float(e.get("x")), float(e.get("y"))) for e in elements(draw_layout(layout), "text", "number")]
        for at, (x, y) in enumerate(places):
            assert all(abs(x - u) > 6 or abs(y - v) > 9 for u, v in places[:at]), layout.name


@pytest.mark.parametrize("name", PARTITIONS)
def test_a_partition_has_an_arrow_or_a_ring_for_every_entry(name):
    matrices = adjacency(KINECT, name)
    made = draw_partition(KINECT, matrices, ["part"] * len(matrices))
    own = sum(int((np.diag(matrix) > 0).sum()) for matrix in matrices)
    assert len(elements(made, "circle", "ring")) == own
    assert len(elements(made, "line", "arrow")) == int((matrices > 0).sum()) - own


def test_films_leave_out_who_is_absent_and_draw_every_frame_that_is_asked_for():
    rng = np.random.default_rng(0)
    clip = np.zeros((3, 12, 25, 2), np.float32)
    clip[..., 0] = rng.normal(size=(3, 12, 25))
    one = draw_films(KINECT, [("before", clip)], frames=4)
    assert len(elements(one, "line", "bone")) == 4 * 24
    clip[..., 1] = clip[..., 0]
    clip[:, 6:, :, 1] = 0
    two = draw_films(KINECT, [("before", clip), ("a < b", clip)], frames=4)
    assert len(elements(two, "line", "bone")) == 2 * (4 + 2) * 24
    assert [each.text for each in elements(two, "text", "text")] == ["before", "a < b"]
    colours = np.zeros((3, 12, 25, 2))
    colours[0] = 1
    assert draw_films(KINECT, [("", clip)], frames=2, colours=[colours]).count("rgb(255,0,0)") == (1 + 2 - 0) * 25


def test_blocks_lead_where_they_are_told_to():
    chain = draw_blocks([[Box(str(n))] for n in range(7)], "chain")
    assert len(elements(chain, "path", "wire")) == 6
    fan = [[Box("a", to=("c",)), Box("b")], [Box("c"), Box("d")]]
    assert len(elements(draw_blocks(fan, "fan", across=True), "path", "wire")) == 3
    assert len(elements(chain, "rect", "box")) == 7
