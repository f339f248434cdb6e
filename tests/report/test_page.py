"""The page without a browser: whole markup, nothing from elsewhere, headings, contrasts, and colours seen by all."""

import itertools
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from made_up import write_judged, write_run

from skelpipe.report.blocks import read
from skelpipe.report.write import write_report

VOID = {"meta", "img", "input", "br", "link", "hr"}
# What each of these may be written without.
FOREIGN = {"svg", "path", "g", "rect", "text", "circle"}


class Page(HTMLParser):
    """What stands in the page: every element as (tag, attributes), in order, and what is not closed as it should be."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.problems, self.texts = [], [], [], {}
        self.feed(text)
        self.close()
        self.problems += [f"{tag} is never closed" for tag in self.open]

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        self.problems += [f"{tag} has {name} twice" for name in set(names) if names.count(name) > 1]
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        if tag not in FOREIGN:
            self.problems.append(f"{tag} is written as if it were SVG")
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open[-1] != tag:
            self.problems.append(f"{tag} closes {self.open[-1:]}")
        else:
            self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] in ("script", "style"):
            self.texts.setdefault(len(self.elements) - 1, "")
            self.texts[len(self.elements) - 1] += data

    def of(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, clips):
    """A report with everything in it: two runs, their logs, a table of the paper, motion."""
    root = tmp_path_factory.mktemp("page")
    write_judged(root / "e", clips, [0, 3, 9, 17, 20], "skeletonclr", features=True)
    write_judged(root / "e", clips, [0, 9, 12], "crosnnclr")
    for recipe in ("skeletonclr", "crosnnclr"):
        write_run(root / "e" / f"run-{recipe}", recipe=recipe, lines=12)
    return write_report([root / "e"], root / "r", paper="table3")


@pytest.fixture(scope="module")
def page(folder):
    return Page((folder / "report.html").read_text())


def test_markup_is_whole_and_names_are_given_once(page):
    assert page.problems == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len({*ids}) == len(ids)
    anchors = {a["href"] for a in page.of("a")}
    assert {"#top", "#differences", "#motion", "#cards", "#paper"} <= anchors
    assert anchors <= {f"#{name}" for name in ids}


def test_nothing_comes_from_elsewhere(page):
    for _, attributes in page.elements:
        for key in ("src", "href", "srcset", "action", "poster", "data"):
            assert re.match(r"(data:|#)", attributes.get(key) or "#"), attributes
    for text in page.texts.values():
        assert not re.findall(r"url\(|@import|\bfetch\(|XMLHttpRequest|WebSocket|\beval\(|import\(", text)
        assert set(re.findall(r"https?://[^\"' ]+", text)) <= {"http://www.w3.org/2000/svg"}
    (policy,) = [a["content"] for a in page.of("meta") if a.get("http-equiv")]
    assert policy.startswith("default-src 'none'; ")


def test_values_for_scripts_are_json_and_there_is_a_block_for_each(page):
    told = {}
    for place, text in page.texts.items():
        tag, attributes = page.elements[place]
        if tag == "script" and attributes.get("type") == "application/json":
            told.setdefault(attributes.get("class") or attributes["id"], []).append(json.loads(text))
    assert {key: len(each) for key, each in told.items()} == {
        "points": 1, "compared-values": 1, "clip-values": 9, "bones": 1,
    }  # fmt: skip
    (compared,) = told["compared-values"]
    assert compared["pairs"]["0-1"]["difference"] == [125, -125, 250, 0]
    assert told["points"][0]["labels"] == ["SkeletonCLR, joint, seed 0", "CrosNNCLR, joint, seed 0"]


def test_every_table_has_a_caption_and_headings_that_say_what_they_head(page):
    tables = page.of("table")
    assert len(tables) == len(page.of("caption")) >= 8
    assert all(a.get("scope") in ("col", "row", "colgroup", "rowgroup") for a in page.of("th"))


def test_what_can_be_used_has_a_name(page):
    """A label stands round its field; buttons have a text or a label, and say that they do not send a form."""
    assert all(a.get("type") == "button" for a in page.of("button"))
    assert all("alt" in a for a in page.of("img"))
    drawn = [a for a in page.of("svg") if a.get("aria-hidden") != "true"]
    assert drawn
    assert all(a.get("role") == "img" and a.get("aria-label") for a in drawn)
    text = "".join(read(f"blocks/{name}.html.j2") for name in ("differences", "motion", "chart"))
    fields = re.findall(r"<(?:select|input)[^>]*>", text)
    assert len(fields) == len(re.findall(r"<label>[^<]*<(?:select|input)", text)) == 4


def test_without_scripts_the_charts_bars_and_frames_are_there(page):
    classes = [a.get("class", "") for a in page.of("svg", "path", "g", "rect")]
    assert classes.count("panel") == 3
    assert classes.count("strip") == 9
    assert classes.count("box") == 4
    assert sum(name.startswith("line s") for name in classes) >= 6


# ---------------------------------------------------------------------------------------------------------------------
# Colours


def schemes():
    """The colours of the style sheet by their names, in light and in dark."""
    text = read("styles/base.css")
    light, dark = re.findall(r":root \{(.*?)\}", text, re.S)
    return {
        name: dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{3,6})", block))
        for name, block in (("light", light), ("dark", dark))
    }


def linear(colour):
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """WCAG 2.2."""
    low, high = sorted(linear(c) @ [0.2126, 0.7152, 0.0722] for c in (one, other))
    return (high + 0.05) / (low + 0.05)


# Machado, Oliveira and Fernandes, A Physiologically-based Model for Simulation of Color Vision Deficiency, 2009,
# severity 1.0, on linear RGB.
SEEN_BY = {
    name: np.reshape([float(number) for number in rows.split()], (3, 3))
    for name, rows in {
        "all cones": "1 0 0  0 1 0  0 0 1",
        "protanopia": "0.152286 1.052583 -0.204868  0.114503 0.786281 0.099216  -0.003882 -0.048116 1.051998",
        "deuteranopia": "0.367322 0.860646 -0.227968  0.280085 0.672501 0.047413  -0.011820 0.042940 0.968881",
        "tritanopia": "1.255528 -0.076749 -0.178779  -0.078411 0.930809 0.147602  0.004733 0.691367 0.303900",
    }.items()
}


def lab(rgb):
    """CIE L*a*b* of linear sRGB, D65."""
    matrix = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    x, y, z = (
        np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in np.array(matrix) @ rgb / [0.95047, 1, 1.08883]
    )
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_and_lines_stand_out_from_the_page(scheme):
    colours = schemes()[scheme]
    assert {"ink", "soft", "page", "faint", "accent", "warn", "warn-bg", *(f"s{n}" for n in range(7))} <= {*colours}
    for text, ground in itertools.product(("ink", "soft", "accent"), ("page", "faint")):
        assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    assert contrast(colours["warn"], colours["warn-bg"]) >= 4.5
    assert contrast(colours["warn"], colours["faint"]) >= 4.5
    for n in range(7):
        assert contrast(colours[f"s{n}"], colours["page"]) >= 3, n
        assert contrast(colours[f"s{n}"], colours["faint"]) >= 2.85, n


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("eyes", SEEN_BY)
def test_colours_of_lines_stay_apart_for_all_eyes(scheme, eyes):
    colours = [linear(schemes()[scheme][f"s{n}"]) for n in range(7)]
    seen = [lab((SEEN_BY[eyes] @ colour).clip(0, 1)) for colour in colours]
    nearest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2))
    assert nearest > 15  # CIE76; a difference of about 2 can just be seen


def test_paper_has_the_light_colours():
    again = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{3,6})", read("styles/print.css")))
    light = schemes()["light"]
    assert {key: again[key] for key in again if key.startswith("s")} == {
        k: v for k, v in light.items() if k[0] == "s"
    } | {"soft": again["soft"]}
    assert contrast(again["ink"], again["page"]) > 7
