"""The published figures: the file is well formed, says where each figure is from, and holds what the paper prints."""

import pytest

from skelpipe import paper, resources
from skelpipe.paper import sources, systems
from skelpipe.recordings.datasets import SPLITS
from skelpipe.settings import load_yaml
from skelpipe.training.recipe import load_recipe

TABLES = [f"table{n}" for n in range(1, 11)]


def cells(table):
    """(row, column) -> cell, both counted from 0."""
    (grid,) = paper.grids(table)
    return {(i, j): cell for i, row in enumerate(grid.rows) for j, cell in enumerate(row.cells)}


def test_all_figures_of_the_paper_are_there():
    """As counted in the paper: each table's cells, without the one that Table 3 leaves blank."""
    printed = {t: [c.value for c in cells(t).values() if c.value is not None] for t in TABLES}
    assert [len(printed[t]) for t in TABLES] == [40, 40, 17, 12, 16, 16, 64, 8, 8, 16]
    every = [value for values in printed.values() for value in values]
    assert (len(every), len(set(every))) == (237, 153)  # and how many different numbers these are
    assert all(round(value, 1) == value for value in every)


# Typed from the print: table, row and column counted from 1, and the figure there.
@pytest.mark.parametrize(
    ("table", "row", "column", "value"),
    [
        (1, 1, 3, 80.9), (1, 4, 5, 36.4), (1, 6, 1, 64.3), (1, 8, 4, 67.4),
        (2, 1, 4, 63.4), (2, 5, 2, 77.0), (2, 8, 5, 69.9),
        (3, 2, 1, 52.6), (3, 3, 2, 76.3), (3, 6, 2, 79.9), (3, 9, 1, 75.2),
        (4, 1, 2, 83.1), (4, 6, 1, 79.2),
        (5, 2, 2, 50.0), (5, 5, 2, 21.2), (5, 8, 2, 44.7),
        (6, 1, 1, 25.5), (6, 6, 1, 67.9), (6, 6, 2, 67.1), (6, 8, 2, 69.9),
        (7, 3, 8, 73.1), (7, 6, 1, 60.7), (7, 8, 8, 64.8),
        (8, 1, 2, 81.0), (8, 2, 4, 54.6),
        (9, 1, 1, 76.8), (9, 2, 4, 97.2),
        (10, 1, 5, 74.2), (10, 2, 2, 95.7),
    ],
)  # fmt: skip
def test_figures_stand_where_the_paper_prints_them(table, row, column, value):
    assert cells(f"table{table}")[row - 1, column - 1].value == value


def test_cells_say_what_they_are_of():
    assert cells("table3")[1, 1].value is None
    longt_gan = cells("table3")[0, 1]
    assert (longt_gan.recipe, longt_gan.protocol, longt_gan.split) == ("longt_gan", "knn", "xview60")
    fused = cells("table5")[7, 0]
    assert (fused.recipe, fused.stream, fused.split) == ("crosnnclr_star", "3s", "pku1-xsub")
    assert cells("table5")[0, 0].protocol == "supervised"
    assert cells("table6")[2, 0].protocol == "linear"
    seventh = cells("table7")[5, 3]
    assert (seventh.recipe, seventh.split, seventh.epochs, seventh.stream) == ("crosnnclr", "xsub120", 600, "joint")
    assert cells("table8")[1, 2].changes == {f"views.{view}": ["crop"] for view in ("query", "key", "extreme")}
    assert cells("table9")[1, 0].changes == {"encoder.features": 128, "projector.hidden": 128}
    assert [cells("table9")[row, 0].measure for row in (0, 1)] == ["top1", "top5"]
    assert [cell.changes["method.queue_size"] for cell in cells("table10").values()][:8] == [2**n for n in range(8, 16)]


def test_tables_look_like_the_papers():
    (first,) = paper.grids("table1")
    assert [(c.group, c.title) for c in first.columns] == [
        ("NTU-60", "xsub"), ("NTU-60", "xview"), ("PKU-MMD", "part I"), ("NTU-120", "xsub"), ("NTU-120", "xset"),
    ]  # fmt: skip
    assert [row.labels for row in first.rows][-2:] == [
        ("3s-SkeletonCLR", "joint+motion+bone"),
        ("3s-CrosNNCLR", "joint+motion+bone"),
    ]
    (third,) = paper.grids("table3")
    assert [row.labels[0] for row in third.rows][1:4] == [
        "MS²L (ACM MM 20)",
        "P&C (CVPR 20)",
        "AS-CAL (Information Sciences 21)",
    ]
    assert [column.title for column in paper.grids("table8")[0].columns] == [
        "SkeletonCLR", "CrosNNCLR", "AimCLR", "CrosNNCLR*",
    ]  # fmt: skip
    assert paper.number("table10") == "Table 10"
    assert paper.number("fig6") == "Figure 6"


def test_misprints_are_named():
    for table in ("table1", "table2"):
        (grid,) = paper.grids(table)
        assert "xview" in grid.columns[3].notes[0]
        assert {cell.split for (_, j), cell in cells(table).items() if j == 3} == {"xsub120"}
    (sixth,) = paper.grids("table6")
    assert "swapped" in sixth.rows[5].notes[0]
    assert [(cell.value, cell.right, cell.true) for cell in sixth.rows[5].cells] == [
        (67.9, 67.1, 67.1),
        (67.1, 67.9, 67.9),
    ]
    assert all(cell.right is None for row in sixth.rows if row.labels != sixth.rows[5].labels for cell in row.cells)
    # ISC's own figures come first then.
    assert [paper.figures("isc", "joint", split)[0].value for split in ("xsub120", "xset120")] == [67.1, 67.9]
    (third,) = paper.grids("table3")
    assert [row.labels[0][:4] for row in third.rows if row.notes] == ["Long", "P&C "]


def test_figures_of_the_paper_are_parts_of_its_tables():
    assert [grid.table for grid in paper.grids("fig1")] == ["table3", "table4", "table5", "table6"]
    (fourth,) = paper.grids("fig4")
    assert {cell.split for cell in fourth.cells} == {"xview60"}
    assert len(fourth.cells) == 16
    assert [row.cells[0].recipe for row in paper.grids("fig5")[0].rows] == [
        "skeletonclr", "aimclr", "crosnnclr", "crosnnclr_star",
    ]  # fmt: skip
    assert [row.cells[0].recipe for row in paper.grids("fig6")[0].rows] == ["skeletonclr", "crosnnclr"]
    assert any("eat meal 48 and 55 %" in note for note in paper.notes("fig6"))


def test_systems_are_listed_once_and_missing_ones_are_those_without_a_recipe():
    named = {cell.recipe for table in TABLES for cell in cells(table).values()}
    assert named == set(systems.SYSTEMS)
    assert len(systems.SYSTEMS) == 15
    for name in systems.missing():
        assert not (resources.shipped("models") / f"{name}.yaml").exists()
    for name in set(systems.SYSTEMS) - set(systems.missing()):
        assert load_recipe(name).supervised == (systems.SYSTEMS[name].protocol == "supervised")
    assert {"skeletonclr", "crosnnclr", "aimclr", "crosnnclr_star", "crossclr"}.isdisjoint(systems.missing())


def test_a_system_is_no_longer_missing_when_its_recipe_ships(monkeypatch):
    monkeypatch.setattr(systems, "names", lambda folder: [*systems.SYSTEMS][1:])
    assert systems.missing() == ["stgcn_supervised"]


def test_other_sources_say_where_they_are_from():
    tables = sources.read_data()["elsewhere"]
    ids = [t["id"] for t in tables]
    assert len(set(ids)) == len(ids)
    for table in tables:
        assert set(table) == {"id", "title", "protocol", "source", "rows"}
        assert set(table["source"]) == {"paper", "table", "known"}
        assert all(table["source"].values())
        for row in table["rows"]:
            assert set(row) - {"epochs", "pretrained_on"} == {"method", "recipe", "stream", "values"}
            assert row.get("pretrained_on") in (None, *SPLITS)
            assert row["recipe"] is None or row["recipe"] in systems.SYSTEMS
            assert row["stream"] in paper.STREAMS
            assert set(row["values"]) <= set(SPLITS)
            assert all(20 < v < 100 for v in row["values"].values())


def test_cells_name_what_there_is():
    for table in TABLES:
        for cell in cells(table).values():
            assert cell.stream in paper.STREAMS
            assert cell.split in SPLITS
            assert cell.protocol in ("linear", "knn", "supervised")
            assert cell.measure in ("top1", "top5")


def test_benchmarks_cover_the_splits():
    assert set(paper.benchmarks()) == {name for name in SPLITS if not name.endswith("-listed")}


@pytest.mark.parametrize(
    ("recipe", "stream", "split", "value"),
    [
        ("crosnnclr", "joint", "xsub60", 73.2),
        ("crosnnclr", "bone", "xsub60", 64.3),
        ("crosnnclr_star", "joint", "xset120", 64.9),
        ("crosnnclr_star", "3s", "pku2-xsub", 44.7),
        ("skeletonclr", "joint", "xview60", 76.4),
        ("aimclr", "3s", "pku1-xsub", 87.8),
        ("colorization", "3s", "xsub60", 75.2),
    ],
)
def test_the_papers_own_figure_comes_first(recipe, stream, split, value):
    figure = paper.figures(recipe, stream, split)[0]
    assert figure.value == value
    assert figure.source.startswith("Zhang, Xu, Wang, Chen, CrosNNCLR (CIRAC 2022): Table ")


def test_what_was_not_published_is_empty():
    assert paper.figures("crosnnclr", "joint", "pku2-xsub") == []
    assert paper.figures(None, "joint", "xsub60") == []
    assert paper.figures("nonsense", "joint", "xsub60") == []


def test_the_most_authoritative_figure_comes_first():
    # The CrosNNCLR paper's AimCLR entry, then AimCLR's own release.
    assert [f.value for f in paper.figures("aimclr", "bone", "xsub60")] == [73.2, 71.87]


def test_three_streams_are_no_joint_figure():
    assert paper.figures("aimclr", "joint", "pku2-xsub") == []
    assert [f.value for f in paper.figures("aimclr", "3s", "pku2-xsub")] == [38.5]


def test_figures_for_a_length_of_pretraining():
    assert [f.value for f in paper.figures("crosnnclr", "joint", "xview60")] == [81.0]
    assert [f.value for f in paper.figures("crosnnclr", "joint", "xview60", epochs=400)] == [78.4, 74.59, 81.0]
    # At the length that the usual figure is of, that is the figure.
    assert [(f.value, f.epochs) for f in paper.figures("crosnnclr", "joint", "xview60", epochs=800)] == [(81.0, None)]
    assert [f.value for f in paper.figures("skeletonclr", "joint", "xview60", epochs=800)] == [73.7, 76.4, 76.4]


def test_other_protocols_are_kept_apart():
    assert paper.figures("stgcn_supervised", "joint", "pku2-xsub") == []
    assert paper.figures("stgcn_supervised", "joint", "pku2-xsub", protocol="supervised")[0].value == 48.2
    assert [f.value for f in paper.figures("predict_cluster", "joint", "xview60")] == [59.3]
    assert [f.value for f in paper.figures("predict_cluster", "joint", "xview60", protocol="knn")] == [76.3, 76.3]
    assert paper.protocols() == ["linear", "knn", "supervised"]


def test_figures_for_an_encoder_from_elsewhere_are_those_of_the_same_pair():
    assert paper.figures("aimclr", "joint", "pku1-xsub", pretrained_on="xsub60") == []


def test_all_that_was_published_for_a_recipe_and_a_split():
    found = [(protocol, stream, f.value, f.epochs) for protocol, stream, f in paper.published("crosnnclr", "xview60")]
    usual = [("joint", 81.0), ("motion", 62.0), ("bone", 72.9), ("3s", 83.4)]
    lengths = {300: 76.5, 400: 78.4, 500: 79.4, 600: 80.0, 700: 80.7, 900: 80.7, 1000: 80.9}
    assert found == [
        *(("linear", stream, value, None) for stream, value in usual),
        *(("linear", "joint", value, epochs) for epochs, value in lengths.items()),
    ]
    assert [(p, s, f.value) for p, s, f in paper.published("stgcn_supervised", "pku2-xsub")] == [
        ("supervised", "joint", 48.2)
    ]
    assert paper.published("nonsense", "xview60") == []


def test_every_figure_of_a_split_says_what_it_is_of():
    rows = [(row["method"], row["stream"], row["epochs"], value) for row, value, _ in paper.rows_for("xview60")]
    assert len(set(rows)) == len(rows) - 4  # that stand in other sources with the same value
    for expected in (
        ("3s-Colorization", "3s", None, 83.1),
        ("SkeletonCLR, Only crop", "joint", None, 51.5),
        ("CrosNNCLR, queue 256", "joint", None, 75.5),
        ("CrosNNCLR, embedding 1024, top-5", "joint", None, 97.2),
        ("STARS", "joint", None, 90.9),
    ):
        assert expected in rows


def test_comparable():
    assert paper.comparable("xsub60", 40091, 16487) is True
    assert paper.comparable("xsub60", 40320, 16560) is True  # missing skeletons kept
    assert paper.comparable("xsub60", 40091, 16000) is False
    assert paper.comparable("xsub60", None, None) is False
    assert paper.comparable("pku1-xview", 10, 10) is None


def test_recipes_train_as_long_as_the_paper_says():
    epochs = {name: load_yaml(resources.find("models", name))["epochs"] for name in ("crosnnclr", "crosnnclr_star")}
    assert epochs == {"crosnnclr": 800, "crosnnclr_star": 300}
    assert load_recipe("skeletonclr").epochs == 300
