"""Everything in the code has a page, and no page names what is not there."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import click
import doc_blocks
import pytest
from doc_blocks import DOCS, ROOT
from making import api, cli, data, files, included, learn, pages, ranks, reading, systems

from skelpipe import resources
from skelpipe.cli import main
from skelpipe.clips.augment import AUGMENTATIONS
from skelpipe.clips.presets import PRESETS
from skelpipe.clips.steps import STEPS
from skelpipe.encoders import ENCODERS
from skelpipe.evaluation.protocols import PROTOCOLS, Options
from skelpipe.layouts import LAYOUTS
from skelpipe.methods import METHODS, POSITIVES
from skelpipe.paper.systems import SYSTEMS
from skelpipe.pipeline.spec import Pipeline
from skelpipe.recordings.datasets import DATASETS, SPLITS
from skelpipe.training.optim import OPTIMIZERS, SCHEDULES
from skelpipe.training.recipe import ClipsNeeded, Evaluation, Projector, Recipe

ENTRIES = {
    "methods": METHODS, "positives": POSITIVES, "encoders": ENCODERS, "protocols": PROTOCOLS, "datasets": DATASETS,
    "layouts": LAYOUTS, "augmentations": AUGMENTATIONS, "recipes": resources.names("models"),
    "pipelines": resources.names("pipelines"), "cli": main.commands,
}  # fmt: skip
SETTINGS = {
    **{f"methods/{name}.md": kind.Options for name, kind in METHODS.items()},
    **{f"positives/{name}.md": kind.Options for name, kind in POSITIVES.items()},
    **{f"encoders/{name}.md": kind.Options for name, kind in ENCODERS.items()},
    **{f"protocols/{name}.md": field.annotation for name, field in Options.model_fields.items()},
    "recipes/index.md": Recipe, "pipelines/index.md": Pipeline, "preparation.md": ClipsNeeded,
}  # fmt: skip
# Options of other programs that our pages name, and of our own scripts.
FOREIGN = {
    "--executor", "--jobs", "--default-resources", "--set-resources", "--set-threads", "--retries", "--profile",
    "--resources", "--slurm-status-command", "--slurm-init-seconds-before-status-checks",  # Snakemake
    "--nproc-per-node", "--benchmark-only", "--dist", "--maxprocesses", "--check",  # torchrun, pytest, xdist, ruff
}  # fmt: skip
SCRIPTS = [path for path in Path(__file__).parents[1].rglob("*.py") if "ArgumentParser" in path.read_text("utf-8")]
FOREIGN |= {
    option for path in SCRIPTS for option in re.findall(r'add_argument\(\s*"(--[\w-]+)"', path.read_text("utf-8"))
}


@pytest.fixture(scope="module")
def every_page():
    return doc_blocks.written() | doc_blocks.generated()


@pytest.mark.parametrize("folder", ENTRIES)
def test_every_entry_has_a_page_and_every_page_an_entry(folder):
    there = {path.split("/")[1].removesuffix(".md") for path in doc_blocks.generated() if path.startswith(f"{folder}/")}
    assert there - {"index"} == {*ENTRIES[folder], *(systems.combined() if folder == "methods" else ())}
    listed = doc_blocks.generated()[f"{folder}/index.md"]
    assert all(f"`{name}`]({name}.md)" in listed for name in ENTRIES[folder])


def test_every_system_of_the_paper_is_listed_by_its_name_and_has_a_page():
    made = doc_blocks.generated()
    rows = re.findall(r"^\| \[(.+?)\]\((\S+?)\) \| .*\.\./recipes/(\w+)\.md", made["methods/index.md"], re.M)
    assert [(title.replace("\\", ""), name) for title, _, name in rows] == [(s.title, n) for n, s in SYSTEMS.items()]
    for _, where, _ in rows:
        assert (where.removeprefix("../") if where.startswith("../") else f"methods/{where}") in made
    for name in ("crosnnclr", "crosnnclr_star"):
        text = made[f"methods/{name}.md"]
        for words in ("`positives: cross_view`", "Eqs. 6–8", "<svg", "Published figures", f"recipes/small_{name}.md"):
            assert words in text
    assert made["positives/cross_view.md"].startswith("# Positives: cross\\_view (CrosNNCLR)\n")


def test_a_search_shows_written_pages_first():
    assert ranks.boost("own-data.md") > ranks.boost("recipes/crosnnclr.md") < ranks.boost("methods/crosnnclr.md")
    there = {path.removeprefix("docs/pages/") for path in doc_blocks.written()} | {*doc_blocks.generated()}
    assert set(ranks.WORDS) <= there
    assert all(any(path.startswith(start) for path in there) for start in ranks.BOOSTS if "notebooks" not in start)
    assert "iframe-worker" in (DOCS / "mkdocs.yml").read_text()  # else `offline` takes one from the network


def test_the_navigation_has_every_page():
    nav = (DOCS / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    for path in (DOCS / "pages").rglob("*.md"):
        assert str(path.relative_to(DOCS / "pages")) in nav, path
    for folder in pages.GROUPS:
        assert f"{folder}/*" in nav
    for path in doc_blocks.generated():
        assert path.partition("/")[0] in pages.GROUPS or path in nav, path


@pytest.mark.parametrize("path", SETTINGS)
def test_every_setting_stands_on_its_page_and_says_what_it_does(path):
    text, told = doc_blocks.generated()[path], reading.attributes(SETTINGS[path])
    prefix = {"preparation.md": "clips."}.get(path, "")
    prefix = path.split("/")[1].removesuffix("md") if path.startswith("protocols/") else prefix
    for name in SETTINGS[path].model_fields:
        if name != "name":
            assert f"`{prefix}{name}`" in text, name
            assert told.get(name), f"{SETTINGS[path].__name__} says nothing of {name}"


def test_optimisers_schedules_and_the_parts_of_a_recipe_are_described():
    text = doc_blocks.generated()["optimisation.md"] + doc_blocks.generated()["recipes/index.md"]
    for key, registry in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
        for name, kind in registry.items():
            model = getattr(kind, "Options", kind)
            assert f"### `{name}`" in text
            for field in set(model.model_fields) - {"name"}:
                assert f"`{key}.{field}`" in text
                assert reading.attributes(model).get(field), f"{name} says nothing of {field}"
    for key, model in (("projector", Projector), ("clips", ClipsNeeded), ("evaluate", Evaluation)):
        assert all(f"`{key}.{field}`" in text for field in model.model_fields)


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_option_of_a_command_stands_on_its_page(name):
    text = doc_blocks.generated()[f"cli/{name}.md"]
    for parameter in main.commands[name].params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, f"{parameter.opts[0]} has no help"
            assert all(f"`{option}" in text or f"/ {option}" in text for option in parameter.opts)
    assert all(line.split()[1] == name for line in cli.examples(main.commands[name]))


def test_options_settings_and_names_that_pages_speak_of_are_there(every_page):
    known = {option for command in main.commands.values() for each in command.params for option in each.opts}
    known |= {option for command in main.commands.values() for each in command.params for option in each.secondary_opts}
    known |= {option for each in main.params for option in each.opts} | {"--help", "--version"} | FOREIGN
    models = [Recipe, Pipeline, Options]
    for path, text in every_page.items():
        if path.endswith("CHANGELOG.md"):
            continue
        blocks = [block.text for block in doc_blocks.blocks(path, text)]
        code = "\n".join(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S)) + blocks)
        for option in set(re.findall(r"(?<![\w-])--[a-z][\w-]*", code)):
            assert option in known, f"{path}: there is no option {option}"
        for command in set(re.findall(r"(?<![\w./-])(?<!import )skelpipe ([a-z][a-z-]+)", code)):
            assert command in main.commands, f"{path}: there is no command {command}"
        for key in set(re.findall(r"--set '?([a-z_]+)[.=]", code)):
            fields = [set(model.model_fields) for model in models]
            assert any(key in some for some in fields), f"{path}: nothing has a key {key}"


def test_notes_are_of_what_is_there_and_of_all_of_it():
    assert learn.unused_notes() == []
    told = data.augmentation_notes()
    assert set(told) == set(AUGMENTATIONS)
    for name, kind in AUGMENTATIONS.items():
        assert set(told[name]["options"]) == set(kind.options), name


def test_preparation_splits_and_the_api_are_whole():
    text = doc_blocks.generated()["preparation.md"]
    assert all(f"| `{name}` |" in text for name in PRESETS)
    assert all(f"`{kind}={choice}`" in text for kind, choices in STEPS.items() for choice in choices)
    assert all(f"`{name}`" in data.splits() for name in SPLITS)
    assert sorted(api.grouped()) == sorted(api.names())


def test_files_are_shown_as_they_are():
    for name in resources.names("models"):
        text = (resources.shipped("models") / f"{name}.yaml").read_text()
        assert text in doc_blocks.generated()[f"recipes/{name}.md"]
    shown = doc_blocks.generated()["pipelines/table5.md"]
    assert "| ISC (ACM MM 21) | 80.9 | 36 |" in shown
    assert files.pipelines()["table5"]["title"] in shown


def test_included_sections_are_found_and_lead_to_pages():
    marks = {path.removeprefix("docs/pages/"): text for path, text in doc_blocks.written().items()}
    shown = included.places({path: text for path, text in marks.items() if "include: " in text})
    assert shown["models/README.md#small-data"] == "small-data.md"
    assert shown["models/README.md#how-sure-a-prediction-is"] == "predict.md"
    text = included.fill("small-data.md", marks["small-data.md"], shown)
    assert "| joint | 77.8" in text
    assert "include:" not in text
    with pytest.raises(LookupError):
        included.section("# a\n\n## b\n", "c")
    assert included.section("# a\n\n### b\n\n#### c\n\ntext\n", "b") == "## c\n\ntext\n"


def test_links_of_readmes_lead_somewhere():
    for name, text in doc_blocks.written().items():
        for found in included.LINK.finditer(re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)):
            to = found["to"]
            if re.match(r"https?://[\w.-]+\.[a-z]+(/[\w./%#-]*)?$", to) or name.startswith("docs/"):
                continue  # links of the site are checked where it is built
            path, _, anchor = to.partition("#")
            target = (ROOT / name).parent / path if path else ROOT / name
            assert target.exists(), f"{name}: {to}"
            if anchor and target.suffix == ".md":
                titles = {included.slug(title) for _, _, title in included.headings(target.read_text())}
                assert anchor in titles, f"{name}: {to}"


def test_drawings_are_well_formed():
    for path, text in doc_blocks.generated().items():
        for found in re.finditer(r"<svg.*?</svg>", text, re.S):
            assert len(list(ET.fromstring(found[0]).iter())) > 3, path
    for name in AUGMENTATIONS:
        assert "<svg" in doc_blocks.generated()[f"augmentations/{name}.md"]


def test_formulas_are_drawn_without_a_network():
    pytest.importorskip("latex2mathml")
    from making import maths

    assert maths.in_mathml("a `$x$` b $x_1$ c") == f"a `$x$` b {maths.in_mathml('$x_1$')} c"
    for path in (DOCS / "notes").rglob("*.md"):
        made = maths.in_mathml(path.read_text())
        assert "$" not in re.sub(r"`[^`]*`", "", made), path
    config = (DOCS / "mkdocs.yml").read_text()
    assert "font: false" in config
    assert not re.search(r"https?://", config + (DOCS / "pages" / "style.css").read_text())


def test_markdown_of_docstrings():
    assert reading.prose("One of <two>.\n\nx_a = 1\ny_b = 2\n\nSource: A, `b_c`.") == (
        "One of &lt;two>.\n\n```text\nx_a = 1\ny_b = 2\n```\n\n**Source**: A, `b_c`."
    )
    assert reading.table(["a"], [["`x|y` or z|w"]]) == "| a |\n| --- |\n| `x|y` or z\\|w |"
    assert reading.bash("skelpipe run " + "x" * 60 + " --data folder -n").count("\\\n") == 1
