"""Every command and snippet of README and the documentation runs, or is at least parsed, with all its options."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

import click
import doc_blocks
import pytest
import yaml
from doc_blocks import Block, blocks, commands
from doc_world import World, call, parsed, tiny_recipes

import skelpipe as sk
from skelpipe import resources
from skelpipe.pipeline.spec import Pipeline
from skelpipe.training.recipe import load_recipe

FOREIGN = ("pip", "python", "python3", "pytest", ".", "torchrun", "git", "7z", "mkdocs")


def with_code(pages: Mapping[str, str]) -> list[str]:
    return [name for name, text in pages.items() if any(b.kind in ("bash", "python") for b in blocks(name, text))]


PAGES, MADE = with_code(doc_blocks.written()), with_code(doc_blocks.generated())


@pytest.fixture(scope="session")
def shipped_recipes():
    return {name: load_recipe(name) for name in resources.names("models")}


@pytest.fixture(scope="session")
def recipes(tmp_path_factory, shipped_recipes):
    folder = tmp_path_factory.mktemp("tiny") / "models"
    tiny_recipes(folder)
    return folder


@pytest.fixture(scope="session")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("world")


def forget_recipes() -> None:
    """Let what was read of the recipes that ship be read again: here they are others."""
    for name, module in [*sys.modules.items()]:
        if name.startswith("skelpipe.report."):
            for each in vars(module).values():
                if hasattr(each, "cache_clear"):
                    each.cache_clear()


@pytest.fixture
def world(kept, recipes, shipped_recipes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = resources.shipped
    monkeypatch.setattr(resources, "shipped", lambda folder: recipes if folder == "models" else shipped(folder))
    before = {name: set(registry) for name, registry in resources.REGISTRIES.items()}
    forget_recipes()
    yield World(kept, shipped_recipes)
    forget_recipes()
    for name, registry in resources.REGISTRIES.items():  # what a page has registered
        for added in set(registry) - before[name]:
            del registry[added]


def run_page(name: str, text: str, world: World) -> None:
    # Recipes are tiny here, and the page's are not: of data that it makes itself there has to be enough for those.
    world.whole = "skelpipe synth" in text
    space: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(name, text):
        if block.way == "file":
            Path(block.mark.split()[2]).write_text(block.text + "\n")
        elif block.kind == "python" and block.way == "run":
            exec(compile(block.text, f"{name}: python", "exec"), space)
        elif block.kind == "bash" and block.way == "run":
            run_block(block, world)


def run_block(block: Block, world: World) -> None:
    for words in commands(block):
        assert words[0] == "skelpipe", f"{block.page}: only our own commands are run here: {' '.join(words)}"
        assert "|" not in words, f"{block.page}: pipes are not run: {' '.join(words)}"
        check(block, words)
        world.provide(words[1:])
        if world.whole or "gym" in " ".join(words):
            enough(block, words, world)
        if words[1] == "run":  # hours of work: it is asked for its plan
            words = [*words[:2], "-n", *words[2:]]
        call(*words[1:])


def enough(block: Block, words: list[str], world: World) -> None:
    """It works by the recipe that ships, too: clips fill its batch, and the probe is the one for few clips."""
    given, told = parsed(words[1:]).params, f"{block.page}: {' '.join(words)}"
    if words[1] == "pretrain" and given["recipe"] in world.recipes:
        changed = dict(each.split("=", 1) for each in given["overrides"])
        batch = int(changed.get("batch_size", world.recipes[given["recipe"]].batch_size))
        train = sk.open_clips(given["clips"]).split(given["split"])["train"]
        assert len(train) >= batch, f"{told}: {len(train)} clips do not fill a batch of {batch}"
    if words[1] == "evaluate" and "linear" in given["protocols"]:
        name = sk.open_run(given["run"]).recipe.name
        assert "lbfgs" in (given["probe"], world.recipes[name].evaluate.probe), f"{told}: --probe lbfgs"


def check(block: Block, words: list[str]) -> None:
    """The command, its options, and the recipe, pipeline and settings that it names are there."""
    told = f"{block.page}: {' '.join(words)}"
    try:
        context = parsed(words[1:])
    except KeyError:
        pytest.fail(f"{told}: there is no such command")
    except click.UsageError as error:
        pytest.fail(f"{told}: {error.format_message()}")
    except click.exceptions.Exit:
        return  # --help
    given = context.params
    if words[1] in ("pretrain", "import-weights") and given.get("recipe"):
        load_recipe(given["recipe"], list(given.get("overrides") or ()))
    if words[1] == "run" and not str(given["pipeline"]).endswith(".yaml"):
        assert given["pipeline"] in resources.names("pipelines"), told
        for change in given.get("overrides", ()):
            assert change.partition("=")[0].partition(".")[0] in Pipeline.model_fields, told


@pytest.mark.parametrize("name", PAGES)
def test_the_blocks_of_a_written_page_run(name, world):
    run_page(name, doc_blocks.written()[name], world)


@pytest.mark.parametrize("name", MADE)
def test_the_blocks_of_a_generated_page_run(name, world):
    run_page(name, doc_blocks.generated()[name], world)


@pytest.mark.parametrize("name", [*PAGES, *MADE])
def test_runs_that_are_made_shorter_reach_their_neighbours(name, shipped_recipes):
    text = (doc_blocks.written() | doc_blocks.generated())[name]
    for words in (each for block in blocks(name, text) if block.kind == "bash" for each in commands(block)):
        told = " ".join(words)
        if words[:2] not in (["skelpipe", "pretrain"], ["skelpipe", "run"]):
            continue
        found = re.search(r"(?:--epochs |--set '?epochs=)(\d+)", told)
        for recipe in (r for r in shipped_recipes.values() if re.search(rf"\b{r.name}\b", told)):
            start = getattr(getattr(recipe, "positives", None), "nn_start_epoch", None)
            if found and start is not None and int(found[1]):
                assert re.search(r"nn_start_epoch=\d", told), f"{name}: {told}: {recipe.name} mines from {start + 1} on"


@pytest.mark.parametrize("name", [*PAGES, *MADE])
def test_blocks_that_are_only_read_are_right(name):
    text = (doc_blocks.written() | doc_blocks.generated())[name]
    for block in blocks(name, text):
        if block.kind == "yaml" and not block.mark:
            yaml.safe_load(block.text)
        if block.kind != "bash" or block.way != "read":
            continue
        assert block.mark.startswith(("command: ", "snippet: ")) or re.match(r"test: read(: .+)?$", block.mark)
        for words in commands(block):
            if words[0] == "skelpipe" and "…" not in " ".join(words):
                check(block, words)
            else:
                assert words[0] in FOREIGN, f"{name}: {' '.join(words)}"


def test_marks_are_known():
    for name, text in (doc_blocks.written() | doc_blocks.generated()).items():
        for block in blocks(name, text):
            if block.mark.startswith("test: "):
                assert block.way in ("read", "file"), f"{name}: {block.mark}"


def test_a_wrong_option_or_name_is_found():
    for line in ("skelpipe evaluate a b c --prob lbfgs", "skelpipe measure a", "skelpipe run table99"):
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            check(Block("page", "bash", "", line), line.split())
    assert commands(Block("page", "bash", "", "skelpipe a \\\n  b  # c\nskelpipe d && skelpipe 'e f'")) == [
        ["skelpipe", "a", "b"], ["skelpipe", "d"], ["skelpipe", "e f"],
    ]  # fmt: skip
