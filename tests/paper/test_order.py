"""Recipes are listed in the paper's order wherever they are listed, and one module knows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import skelpipe
from skelpipe.cli import main
from skelpipe.errors import BadInput
from skelpipe.paper.systems import SYSTEMS, recipe_order, recipes
from skelpipe.paper.tables import grids
from skelpipe.report.labels import recipe_key
from skelpipe.resources import names, shipped
from skelpipe.settings import load_yaml
from skelpipe.training.recipe import load_recipe

SET_APART = ("table1", "table2", "table7", "table8", "demo")  # a host beside its plug-in


@pytest.mark.parametrize("exhibit", ["table3", "table4", "table5", "table6"])
def test_systems_stand_in_the_order_of_the_paper_s_tables(exhibit):
    for grid in grids(exhibit):
        rows = list(dict.fromkeys(row.cells[0].recipe for row in grid.rows))
        assert rows == sorted(rows, key=recipe_order)


def test_all_recipes_are_listed_once_the_paper_s_first():
    found = recipes()
    assert sorted(found) == sorted(names("models"))
    assert found[: len(SYSTEMS)] == [*SYSTEMS]
    assert found.index("small_skeletonclr") < found.index("small_aimclr") < found.index("small_crosnnclr")
    assert found[-1] == "coordinates"
    assert recipe_order("small_nothing") == (*recipe_order("other")[:2], "small_nothing")


def test_help_mistakes_and_pages_list_them_so():
    told = CliRunner().invoke(main, ["pretrain", "--help"]).output
    listed = re.sub(r"\s+", " ", told.partition("Recipes that ship: ")[2]).rstrip(". ")
    assert listed.split(", ") == recipes()
    with pytest.raises(BadInput) as error:
        load_recipe("crosclr_")
    assert ", ".join(recipes()) in error.value.remedy
    assert sorted(recipes(), key=recipe_key) == recipes()


def test_pipelines_name_them_so():
    for name in set(names("pipelines")) - set(SET_APART):
        wanted = load_yaml(shipped("pipelines") / f"{name}.yaml").get("recipes") or []
        assert wanted == sorted(wanted, key=recipe_order), name


def test_no_other_module_lists_or_finds_recipes():
    for path in Path(skelpipe.__file__).parent.rglob("*.py"):
        text = path.read_text()
        if path.name not in ("systems.py", "labels.py"):  # the second only asks whether one is there
            assert not re.search(r"""\b(names|find)\(["']models""", text), path


def test_names_with_numbers_stand_in_their_order():
    found = names("pipelines")
    assert found.index("table2") < found.index("table9") < found.index("table10")
