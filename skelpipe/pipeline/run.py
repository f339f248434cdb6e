"""The run of all stages of a pipeline."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from skelpipe.errors import BadInput
from skelpipe.inspect.kept import kept_in
from skelpipe.outputs.ancestry import DONE
from skelpipe.outputs.checksums import check_files
from skelpipe.outputs.digests import read_digest
from skelpipe.outputs.folders import discard
from skelpipe.pipeline.damaged import find_damaged
from skelpipe.pipeline.files import load_pipeline
from skelpipe.pipeline.plan import part_digests, plan
from skelpipe.pipeline.spec import WEIGHTS, Pipeline
from skelpipe.recordings.datasets.folds import folded
from skelpipe.settings import blamed


def run(
    name_or_path: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] = "data",
    raw: str | os.PathLike[str] | None = None,
    overrides: Iterable[str] = (),
    dry_run: bool = False,
    snakemake_args: Sequence[str] = (),
    verbose: bool = False,
    command: Sequence[str] | None = None,
) -> int:
    """Show what is done and what is to do, then do it and show the accuracies.

    Args:
        name_or_path: a pipeline.
        data: the folder of raw/, stores/, runs/, reports/ and logs/.
        raw: where the recordings are, if not in `data`/raw/<dataset>; for pipelines of one data set.
        overrides: KEY=VALUE changes of the pipeline.
        dry_run: only show the plan.
        snakemake_args: go to Snakemake as they are.
        verbose: show all that Snakemake says.
        command: how a stage is started; by default this Python's `-m skelpipe`.

    Returns:
        The exit status: 0, 1 if a stage failed, 130 if interrupted.

    Raises:
        BadInput: the pipeline, one of its recipes, the data folder or what is stated to Snakemake cannot be used.
    """
    from skelpipe.pipeline import lock, show, snakemake
    from skelpipe.pipeline.site import find_site

    data = Path(os.path.abspath(data))
    dry_run = dry_run or not {"-n", "--dry-run", "--dryrun"}.isdisjoint(snakemake_args)
    site = find_site(snakemake_args)
    lacking: list[BadInput] = []
    pipeline, config = _plan(name_or_path, [*overrides], data, raw, lacking if dry_run else None)
    if command:
        config["command"] = list(command)
    if dry_run and not data.is_dir():
        # Everything is still to do there as here, and a plan leaves no folder behind.
        with tempfile.TemporaryDirectory() as empty:
            stages = snakemake.survey(Path(empty), config, site, verbose)
            show.show_plan(pipeline.title, stages, data, verbose, lacking, config["missing"])
        _show_paper(pipeline, config, data)
        return 0
    with lock.locked(data) as held:
        stages = snakemake.survey(data, config, site, verbose)
        show.show_plan(pipeline.title, stages, data, verbose, lacking, config["missing"], dry_run or verbose)
        if dry_run:
            _show_paper(pipeline, config, data)
            return 0
        status = snakemake.execute(data, config, stages, site, verbose, held)
        _remove_parts(config, data)
    report = data / next(iter(config["reports"]))
    if status == 0 and (report / DONE).is_file():
        show.show_results(results(config, data), report)
        show.show_prediction(teller(config, data))
        _show_paper(pipeline, config, data)
    return status


def _plan(
    name_or_path: str | os.PathLike[str],
    overrides: Sequence[str],
    data: Path,
    raw: str | os.PathLike[str] | None,
    lacking: list[BadInput] | None,
) -> tuple[Pipeline, dict[str, Any]]:
    """The pipeline, and its plan with what is damaged; a mistake of the overrides is told as one of theirs."""
    pipeline, path = load_pipeline(name_or_path, overrides)
    try:
        config = plan(pipeline, path, data, None if raw is None else Path(raw), lacking)
    except BadInput as error:
        where = blamed([error.what], overrides) if error.where == str(path) else ""
        raise BadInput(where or error.where, error.what, error.remedy) from None
    return pipeline, {**config, "damaged": find_damaged(config, data)}


def _show_paper(pipeline: Pipeline, config: Mapping[str, Any], data: Path) -> None:
    """Print the table or figure of the paper, in its own shape, that the pipeline makes."""
    if pipeline.paper:
        from skelpipe.pipeline.show_paper import show_paper

        show_paper(pipeline.paper, config["measures"], data, config["missing"])


def teller(config: Mapping[str, Any], data: Path) -> Path | None:
    """What tells the classes of recordings: the last fusion, or evaluation, of a plan that has kept classifiers."""
    for folder in reversed([*config["evaluations"], *config["fusions"]]):
        path: Path = data / folder
        parts = [path]
        if folder in config["fusions"]:
            parts = [data / part for part in config["fusions"][folder]["parts"]]
        if all(kept_in(part) for part in parts) and (path / DONE).is_file():
            return path
    return None


def results(config: Mapping[str, Any], data: Path) -> list[dict[str, Any]]:
    """What `metrics.json` says of the evaluations and fusions of a plan that are there.

    Returns:
        A row for each experiment, stream, number of epochs and split, with the `metrics` of all seeds, and of all folds
        where there are some.
    """
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    read: dict[str, dict[str, Any]] = {}
    for folder in [*config["evaluations"], *config["fusions"]]:
        if not (data / folder / DONE).is_file():
            continue
        check_files(data / folder, "metrics.json", "delete its folder, and run this pipeline again")
        read[folder] = json.loads((data / folder / "metrics.json").read_text("utf-8"))
    folds = folded(metrics["split"] for metrics in read.values())
    for folder, metrics in read.items():
        split, _ = folds.get(metrics["split"], (metrics["split"], ""))
        key = {"experiment": folder.split("/")[3], **{k: metrics[k] for k in ("stream", "epochs")}, "split": split}
        rows.setdefault(tuple(key.values()), {**key, "metrics": []})["metrics"].append(metrics)
    experiments = list(dict.fromkeys(row["experiment"] for row in rows.values()))
    streams = [*WEIGHTS, *(row["stream"] for row in rows.values())]
    return sorted(
        rows.values(), key=lambda r: (experiments.index(r["experiment"]), r["epochs"], streams.index(r["stream"]))
    )


def _remove_parts(config: Mapping[str, Any], data: Path) -> None:
    """Remove the parts that are in their whole."""
    for whole, stage in (config["stores"] | config["clips"]).items():
        joined = part_digests(data / whole) if "parts" in stage else []
        for part in map(data.joinpath, stage.get("parts", ())):
            if read_digest(part) in joined:
                discard(part)
