"""The published figures: the file is well formed, says where each figure is from, and holds the ones we know."""

import pytest

from skelpipe.recordings.datasets import SPLITS
from skelpipe.report import paper


def test_every_table_says_where_it_is_from():
    ids = [t["id"] for t in paper.tables()]
    assert len(set(ids)) == len(ids)
    for table in paper.tables():
        assert set(table) == {"id", "title", "protocol", "source", "rows"}
        assert set(table["source"]) == {"paper", "table", "known"}
        assert all(table["source"].values())


def test_rows_are_well_formed():
    for table in paper.tables():
        for row in table["rows"]:
            assert set(row) - {"epochs", "pretrained_on"} == {"method", "recipe", "stream", "values"}
            assert row.get("pretrained_on") in (None, *SPLITS)
            assert row["recipe"] is None or row["recipe"] in paper.RECIPES
            assert row["stream"] in paper.STREAMS
            assert set(row["values"]) <= set(SPLITS)
            assert all(20 < v < 100 for v in row["values"].values())


def test_benchmarks_cover_the_splits():
    assert set(paper.benchmarks()) == set(SPLITS)


@pytest.mark.parametrize(
    ("recipe", "stream", "split", "value"),
    [
        ("crosnnclr", "joint", "xsub60", 73.2),
        ("crosnnclr_star", "joint", "xset120", 64.9),
        ("crosnnclr_star", "3s", "pku2-xsub", 44.7),
        ("skeletonclr", "joint", "xview60", 76.4),
        ("aimclr", "3s", "pku1-xsub", 87.79),
    ],
)
def test_known_figures(recipe, stream, split, value):
    figure = paper.figures(recipe, stream, split)[0]
    assert figure.value == value
    assert figure.source


def test_what_is_not_known_is_empty():
    assert paper.figures("crosnnclr", "bone", "xsub60") == []
    assert paper.figures(None, "joint", "xsub60") == []
    assert paper.figures("nonsense", "joint", "xsub60") == []


def test_the_most_authoritative_figure_comes_first():
    # The CrosNNCLR paper's AimCLR entry, then AimCLR's own release.
    assert [f.value for f in paper.figures("aimclr", "bone", "xsub60")] == [73.2, 71.87]


def test_figures_for_a_length_of_pretraining():
    assert [f.value for f in paper.figures("crosnnclr", "joint", "xview60")] == [81.0]
    assert [f.value for f in paper.figures("crosnnclr", "joint", "xview60", epochs=400)] == [78.4, 74.59, 81.0]


def test_supervised_rows_are_kept_apart():
    assert paper.figures("stgcn_supervised", "joint", "pku2-xsub") == []
    assert paper.figures("stgcn_supervised", "joint", "pku2-xsub", protocol="supervised")[0].value == 48.2


def test_figures_for_an_encoder_from_elsewhere_are_those_of_the_same_pair():
    assert paper.figures("aimclr", "joint", "pku1-xsub", pretrained_on="xsub60") == []


def test_all_that_was_published_for_a_recipe_and_a_split():
    found = [(protocol, stream, f.value, f.epochs) for protocol, stream, f in paper.published("crosnnclr", "xview60")]
    assert found == [("linear", "joint", 81.0, None), ("linear", "joint", 78.4, 400)]
    assert [(p, s, f.value) for p, s, f in paper.published("stgcn_supervised", "pku2-xsub")] == [
        ("supervised", "joint", 48.2)
    ]
    assert paper.published("nonsense", "xview60") == []


def test_comparable():
    assert paper.comparable("xsub60", 40091, 16487) is True
    assert paper.comparable("xsub60", 40320, 16560) is True  # missing skeletons kept
    assert paper.comparable("xsub60", 40091, 16000) is False
    assert paper.comparable("xsub60", None, None) is False
    assert paper.comparable("pku1-xview", 10, 10) is None
