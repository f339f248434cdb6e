"""The pipelines that ship: what they plan and share, and every table and figure of the paper from end to end, in small.

The end-to-end tests write synthetic recordings of all four data sets. Snakemake runs every table and figure at once
with stand-ins for the stages (see fake_stage.py), which note their command lines; the same lines are then run in
earnest, within this process.
"""

from __future__ import annotations

import html
import json
import shlex
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import TINY

from skelpipe import paper, resources
from skelpipe.cli import main
from skelpipe.paper.systems import missing
from skelpipe.pipeline import show, snakemake
from skelpipe.pipeline.files import load_pipeline
from skelpipe.pipeline.plan import plan
from skelpipe.pipeline.run import results
from skelpipe.pipeline.site import Site
from skelpipe.recordings.datasets import DATASETS
from skelpipe.recordings.synthetic import write_raw
from skelpipe.report.paper_shape import match, planned
from skelpipe.training.recipe import load_recipe

FAKE = Path(__file__).parents[1] / "fake_stage.py"
KINDS = ("runs", "evaluations", "fusions")
# Pretrainings, evaluations and fusions of each pipeline.
COUNTS = {
    "demo": (6, 6, 2),
    **dict.fromkeys(("ntu60_xsub", "ntu60_xview", "ntu120_xsub", "ntu120_xset"), (12, 12, 4)),
    **dict.fromkeys(("pku1_xsub", "pku1_xview", "pku2_xsub", "pku2_xview"), (12, 12, 4)),
    **dict.fromkeys(("transfer_ntu60_pku2", "transfer_ntu120_pku2", "transfer_pku1_pku2"), (4, 4, 0)),
    "nw_ucla": (18, 18, 6),
    "ntu60_finetune_semi": (8, 8, 0),
    **dict.fromkeys(("table1", "table2"), (30, 30, 10)),
    "nw_ucla_systems": (48, 54, 12),
    "nw_ucla_untrained": (11, 12, 1),
    "nw_ucla_all": (59, 66, 13),
    "table3": (18, 18, 0),
    "table4": (28, 36, 12),
    **dict.fromkeys(("table5", "table6"), (24, 28, 6)),
    "fig1": (84, 100, 24),
    "table7": (8, 64, 0),
    "table8": (8, 8, 0),
    "table9": (4, 4, 0),
    "table10": (8, 8, 0),
    "fig4": (2, 16, 0),
    "fig5": (8, 8, 0),
    "fig6": (4, 4, 0),
}
WITHOUT = set(missing())


@pytest.fixture(scope="module")
def plans(tmp_path_factory) -> dict[str, dict]:
    """Every shipped pipeline's plan, where nothing is done."""
    data = tmp_path_factory.mktemp("data")
    for dataset in DATASETS:
        (data / "raw" / dataset).mkdir(parents=True)
        (data / "raw" / dataset / "a.skeleton").write_text("1")
    return {name: plan(*load_pipeline(name), data) for name in resources.names("pipelines")}


def test_every_pipeline_makes_what_it_says(plans):
    counts = {name: tuple(len(config[kind]) for kind in KINDS) for name, config in plans.items()}
    assert counts == COUNTS
    assert not WITHOUT
    for name, config in plans.items():
        (report,) = config["reports"].items()
        assert report[0] == f"reports/{name}"
        assert report[1]["parts"] == [*config["evaluations"], *config["fusions"]]


def test_what_two_pipelines_share_is_made_from_the_same_by_the_same_flags(plans):
    made: dict[str, dict] = {}
    for config in plans.values():
        for kind in ("stores", "clips", *KINDS):
            for folder, how in config[kind].items():
                assert made.setdefault(folder, how) == how
    three_streams = {f for f in plans["table1"]["runs"] if f.startswith("runs/ntu60-50/xsub60/")}
    assert len(three_streams) == 6
    assert three_streams <= plans["ntu60_xsub"]["runs"].keys()
    for user, owner in (("table4", "table1"), ("table5", "table2"), ("ntu60_finetune_semi", "ntu60_xsub")):
        assert plans[user]["runs"].keys() & plans[owner]["runs"].keys()
    # Figures need nothing but the tables' evaluations; the default among the sizes of a sweep is trained once.
    hosts = {f for f in plans["table3"]["evaluations"] if f.startswith("runs/ntu60-50/")}
    assert len(hosts) == 10
    assert hosts <= plans["table4"]["evaluations"].keys()
    assert plans["fig4"]["evaluations"].keys() <= plans["table7"]["evaluations"].keys()
    assert plans["fig5"]["evaluations"].keys() <= plans["table3"]["evaluations"].keys()
    assert plans["fig6"]["evaluations"].keys() <= plans["table1"]["evaluations"].keys()
    tables = [folder for table in ("table3", "table4", "table5", "table6") for folder in plans[table]["evaluations"]]
    assert plans["fig1"]["evaluations"].keys() == set(tables)
    for sweep, shared in (("table8", 2), ("table9", 1), ("table10", 1)):
        assert len(plans[sweep]["runs"].keys() & plans["table1"]["runs"].keys()) == shared


@pytest.mark.parametrize("exhibit", paper.exhibits())
def test_a_pipeline_makes_the_rows_and_columns_of_the_paper_and_no_more(plans, exhibit):
    """Every cell of a system that has a recipe is planned for, and what is planned serves a cell."""
    config = plans[exhibit]
    ours = planned(config["measures"], Path("nowhere"))
    folders = dict(zip(map(id, ours), config["measures"], strict=True))
    used = set()
    for grid in paper.grids(exhibit):
        found = match(grid, ours)
        for cell in grid.cells:
            assert bool(found.get(cell)) == (cell.recipe not in WITHOUT), cell
            assert len(found.get(cell, [])) <= 1
            used |= {folders[id(m)] for m in found.get(cell, [])}
    parts = {part for folder in used for part in config["fusions"].get(folder, {}).get("parts", [])}
    assert used | parts == set(config["measures"])
    assert set(config["missing"]) == {
        cell.recipe for grid in paper.grids(exhibit) for cell in grid.cells if cell.recipe in WITHOUT
    }
    (report,) = config["reports"].values()
    assert f"--paper {exhibit}" in report["flags"]


def test_tables_are_made_as_the_paper_says(plans):
    """§4.2: the probe, of its own systems; 1-NN where the figures are of that; the authors' probe of all others."""
    for exhibit in paper.exhibits():
        for folder, how in plans[exhibit]["evaluations"].items():
            recipe = folder.split("/")[3].partition("+")[0]
            nearest = exhibit in ("table3", "fig1") and "ntu60" in folder and recipe in ("longt_gan", "predict_cluster")
            expected = "supervised" if load_recipe(recipe).supervised else "knn" if nearest else "linear"
            assert how["flags"].startswith(f"--protocol {expected}")
            if expected == "linear":
                assert (
                    f"--probe {'stated' if load_recipe(recipe).evaluate.probe == 'stated' else 'paper'}" in how["flags"]
                )
    pipeline, _ = load_pipeline("table3")
    assert pipeline.protocols_of("predict_cluster") == pipeline.protocols_of("longt_gan") == ("knn",)
    assert pipeline.protocols_of("aimclr") == ("linear",)


def test_one_run_is_evaluated_at_eight_epochs(plans):
    of_run: dict[str, list[str]] = {}
    for folder, how in plans["table7"]["evaluations"].items():
        of_run.setdefault(how["run"], []).append(folder.rpartition("/")[2])
    assert of_run.keys() == plans["table7"]["runs"].keys()
    for names in of_run.values():
        assert names == [*(f"linear-paper-e0{epoch}" for epoch in range(300, 1000, 100)), "linear-paper"]


def test_transfer_evaluates_on_the_other_data_set(plans):
    for home, clips in (("ntu60", "xsub60"), ("ntu120", "xsub120"), ("pku1", "pku1-xsub")):
        config = plans[f"transfer_{home}_pku2"]
        assert all(run.startswith(f"runs/{home}-50/{clips}/") for run in config["runs"])
        for folder, how in config["evaluations"].items():
            assert folder.endswith("/joint-s0/transfer-pku2-xsub")
            assert how["clips"] == "stores/pku2-50.zarr"
            assert how["flags"] == "--protocol transfer --split pku2-xsub --seed 0"


# From end to end ----------------------------------------------------------------------------------------------------

ENCODER = ["encoder.width=2", "encoder.features=8", "encoder.time_kernel=3", "batch_size=8", "init=torch"]
SETTINGS = {
    **dict.fromkeys(("skeletonclr", "crosnnclr", "aimclr", "crosnnclr_star", "crossclr"), TINY),
    "stgcn_supervised": ENCODER,
}
# What `skelpipe run NAME --set …` is told, to make it small.
SMALL = {
    "table1": ["splits=[xsub60, xset120]", "streams=[joint, bone]"],
    "table2": ["splits=[xsub120]", "streams=[joint]"],
    "table3": ["splits=[xsub60]", "recipes=[skeletonclr, crossclr]"],
    "table4": ["splits=[xsub60]", "recipes=[crosnnclr, crossclr]"],
    "table5": ["recipes=[aimclr, stgcn_supervised]", "splits=[pku2-xsub]"],
    "table6": ["splits=[xset120]", "recipes=[crossclr]"],
    "table7": ["splits=[xview60]", "epochs=2", "at_epochs=[1, 2]"],
    "table8": ["recipes=[crosnnclr, aimclr]"],
    "table9": ["sweep=[{encoder.features: 4, projector.hidden: 4}, {}]"],
    "table10": ["sweep={method.queue_size: [16, 32]}"],
    "ntu60_finetune_semi": [
        "splits=[xsub60]",
        "recipes=[skeletonclr, crosnnclr]",
        "options=[finetune.epochs=1, semi.epochs=1, semi.draws=2]",
    ],
    "fig1": ["pipelines=[table3, table5]", "recipes=[skeletonclr, stgcn_supervised]", "streams=[joint]"],
    "fig4": ["epochs=2", "at_epochs=[1, 2]"],
    "fig5": ["recipes=[skeletonclr, crosnnclr]", "splits=[xview60]"],
    "fig6": ["splits=[xview60]"],
}


def small(name: str, data: Path) -> dict:
    lengths = name in ("table7", "fig4")
    changes = {recipe: [*tiny, "keep_every=1"] if lengths else tiny for recipe, tiny in SETTINGS.items()}
    overrides = ["frames=16", "epochs=1", "threads=1", *SMALL[name]]
    pipeline, _ = load_pipeline(name, overrides)
    if not pipeline.figures:
        overrides.append("figures=[sweeps, curves]")  # the others take seconds for each table, and have their own file
    used = {recipe: changes[recipe] for recipe in pipeline.recipes if recipe in changes}
    return plan(*load_pipeline(name, [*overrides, f"set={json.dumps(used)}"]), data)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A data folder with recordings of all four data sets."""
    folder = tmp_path_factory.mktemp("earnest")
    amounts = {"actions": 4, "subjects": 4, "replications": 1, "frames": (12, 16)}
    for dataset in DATASETS:
        write_raw(dataset, folder / "raw" / dataset, **amounts)
    return folder


@pytest.fixture(scope="module")
def configs(data) -> dict[str, dict]:
    """The small plan of every table and figure."""
    return {name: small(name, data) for name in SMALL}


def everything(config: dict) -> dict[str, dict]:
    """All stages of a plan but those of synthetic recordings: folder -> how it is made."""
    return {folder: how for kind in ("stores", "clips", *KINDS, "reports") for folder, how in config[kind].items()}


@pytest.fixture(scope="module")
def commands(configs, tmp_path_factory) -> dict[str, list[str]]:
    """What Snakemake runs to make all tables and figures, in its order: folder -> the words of the command."""
    merged = {**configs["table1"], "pipeline": "all", "command": [sys.executable, str(FAKE)]}
    for kind in ("stores", "clips", *KINDS, "reports", "needs"):
        merged[kind] = {folder: how for config in configs.values() for folder, how in config[kind].items()}
    fake = tmp_path_factory.mktemp("fake")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(resources.__file__).parents[1]))
        to_do = [show.Stage("report", "reports", True)]
        assert snakemake.execute(fake, merged, to_do, Site()) == 0
        # What was made for all of them together is done for each of them alone.
        alone = {**configs["table3"], "command": merged["command"]}
        assert not [stage for stage in snakemake.survey(fake, alone, Site()) if stage.to_do]
    lines = [shlex.split(line) for line in (fake / "calls.txt").read_text().splitlines()]
    place = {"ingest": 3, "prepare": 2, "pretrain": 3, "evaluate": 3}
    return {line[place[line[0]] if line[0] in place else line.index("--out") + 1]: line for line in lines}


def test_snakemake_makes_every_table_and_figure(commands, configs):
    assert commands.keys() == {folder for config in configs.values() for folder in everything(config)}


@pytest.mark.parametrize("name", SMALL)
def test_a_table_or_figure_is_made_from_raw_recordings(name, data, configs, commands, monkeypatch):
    monkeypatch.chdir(data)
    config = configs[name]
    for folder, words in commands.items():
        if folder in everything(config) and not Path(folder, "done.json").is_file():
            if "--workers" in words:
                words[words.index("--workers") + 1] = "0"  # processes would each import everything again
            done = CliRunner().invoke(main, words, catch_exceptions=False)
            assert done.exit_code == 0, done.output
    rows = results(config, data)
    assert sum(len(row["metrics"]) for row in rows) == len(config["evaluations"]) + len(config["fusions"])
    report = data / "reports" / name
    assert load_pipeline(name)[0].title in (report / "report.html").read_text()
    told = json.loads((report / "report.json").read_text())
    assert len(told["evaluations"]) == len(config["evaluations"]) + len(config["fusions"])
    if name in paper.exhibits():
        shown = [cell["ours"] for grid in told["paper"]["grids"] for row in grid["rows"] for cell in row["cells"]]
        # Lengths and sizes that are made small stand in no column of the paper.
        assert any(shown) == (name not in ("table7", "table9", "table10", "fig4"))
        assert told["paper"]["title"] in html.unescape((report / "report.html").read_text())
