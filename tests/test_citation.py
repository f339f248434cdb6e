"""CITATION.cff, which GitHub shows: whole by the rules of its format, of this version, and as the README has it."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from skelpipe import __version__
from skelpipe.paper.systems import SYSTEMS

ROOT = Path(__file__).parents[1]
CITED = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
KNOWN = {
    "cff-version", "message", "type", "title", "version", "license", "authors", "keywords", "references", "abstract",
    "doi", "repository-code", "url", "date-released", "preferred-citation",
}  # fmt: skip


def test_it_has_what_the_format_asks_for():
    assert {"cff-version", "message", "title", "authors"} <= CITED.keys() <= KNOWN
    assert CITED["cff-version"] == "1.2.0"
    assert CITED["type"] == "software"
    for entry in (CITED, *CITED["references"]):
        for author in entry["authors"]:
            assert set(author) in ({"name"}, {"family-names", "given-names"})
    assert all({"type", "title", "authors"} <= reference.keys() for reference in CITED["references"])


def test_it_is_of_this_version_and_licence():
    assert str(CITED["version"]) == __version__
    assert (ROOT / "LICENSE").read_text().startswith(f"{CITED['license']} License")
    assert CITED["authors"][0]["name"] in (ROOT / "LICENSE").read_text()


def test_the_paper_is_cited_as_everywhere():
    (paper,) = CITED["references"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    names = " and ".join(f"{each['family-names']}, {each['given-names']}" for each in paper["authors"])
    bibtex = dict(re.findall(r"(\w+)\s*= \{(.*?)\}", readme.partition("@inproceedings")[2]))
    assert (bibtex["title"], bibtex["author"], bibtex["year"]) == (paper["title"], names, str(paper["year"]))
    assert SYSTEMS["crosnnclr"].venue == "CIRAC 22"
    assert paper["conference"]["name"] == "CIRAC 2022"
    assert paper["title"] in SYSTEMS["crosnnclr"].source
