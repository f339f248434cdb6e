"""What a recipe's stages are called and by which flags they are made: runs, evaluations, fusions."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from skelpipe.evaluation.fuse import TRIPLES
from skelpipe.pipeline.experiments import Experiment, as_text, as_word, shortened, streams_of
from skelpipe.pipeline.spec import WEIGHTS, Pipeline
from skelpipe.recordings.datasets.rules import folder_word
from skelpipe.settings import whole

ADD_PROTOCOL = "add {} to the key protocols"


def plan_runs(
    config: dict[str, Any], pipeline: Pipeline, experiment: Experiment, home: str, clips: str, top: str, seed: int
) -> dict[str, str]:
    """Plan the pretraining of an experiment; returns stream -> the run that has its encoder."""
    runs: dict[str, str] = {}
    for stream in streams_of(pipeline, experiment):
        trained = "3s" if experiment.recipe.streams else stream
        runs[stream] = f"{top}/{trained}-s{seed}/run"
        config["runs"][runs[stream]] = {
            "recipe": experiment.called,
            "content": experiment.content,
            "clips": clips,
            "flags": shell_words(["--split", home, "--stream", trained, "--seed", seed, *experiment.flags]),
        }
    return runs


def protocols_of(pipeline: Pipeline, experiment: Experiment) -> list[str]:
    from skelpipe.evaluation.protocols import PROTOCOLS

    stated = () if "protocols" in pipeline.model_fields_set else experiment.recipe.evaluate.protocols
    if experiment.recipe.supervised:  # what is meant for all others does not suit it
        wanted = stated or pipeline.protocols.get(experiment.stem, ("supervised",))
    else:
        wanted = stated or pipeline.protocols_of(experiment.stem)
    return [p for p in PROTOCOLS if p in wanted]


def _probe(pipeline: Pipeline, experiment: Experiment) -> str:
    stated = None if "probe" in pipeline.model_fields_set else experiment.recipe.evaluate.probe
    return stated or pipeline.probe_of(experiment.stem)


def measure_of(pipeline: Pipeline, experiment: Experiment, split: str, epoch: int, seed: int) -> dict[str, Any]:
    """What an accuracy is of, but for the stream."""
    how: dict[str, dict[str, Any]] = {"linear": {"probe": _probe(pipeline, experiment)}, "knn": {"k": pipeline.k}}
    return {
        "recipe": experiment.recipe.name,
        "split": split,
        "pretrained_on": pipeline.pretrain_on or split,
        "epochs": epoch,
        "seed": seed,
        "changes": dict(experiment.changes),
        "protocols": {protocol: how.get(protocol, {}) for protocol in protocols_of(pipeline, experiment)},
    }


def name_evaluation(
    pipeline: Pipeline, experiment: Experiment, home: str, split: str, epoch: int
) -> tuple[str, list[Any]]:
    """The folder name of an evaluation, and its flags: what is at its default stands in neither."""
    from skelpipe.recordings.datasets import find_split

    recipe, protocols = experiment.recipe, protocols_of(pipeline, experiment)
    told: list[Any] = []  # what the recipe would otherwise say itself
    parts: list[tuple[str, list[Any]]] = [("+".join(protocols), [w for p in protocols for w in ("--protocol", p)])]
    if protocols != ["supervised"]:
        probe = _probe(pipeline, experiment)
        parts += [(probe, ["--probe", probe])] if probe != "reference" else []
        told = ["--probe", probe] if probe == "reference" and recipe.evaluate.probe else []
        parts += [(f"k{pipeline.k}", ["--k", pipeline.k])] if pipeline.k != 1 else []
        parts += [("best", ["--best-on-test"])] if pipeline.best_on_test else []
    for key, value in sorted(changed_options(pipeline).items()):
        if key.partition(".")[0] in protocols:
            parts.append((f"{key}={as_word(value)}", ["--set", f"{key}={as_text(value)}"]))
    if pipeline.classes is not None:
        parts.append((f"classes={as_word(pipeline.classes)}", ["--classes", pipeline.classes]))
    if split != home:
        dataset = pipeline.serving(split)
        word = folder_word(split)
        where = word if dataset == find_split(split).datasets[0].name else f"{word}-{dataset}"
        parts.append((where, ["--split", split]))
    if epoch != recipe.epochs:
        parts.append((f"e{epoch:04d}", ["--epoch", epoch]))
    return shortened("-".join(name for name, _ in parts)), [*(flag for _, flags in parts for flag in flags), *told]


def changed_options(pipeline: Pipeline) -> dict[str, Any]:
    """The options of protocols that are not at their defaults, by their dotted key."""
    from skelpipe.evaluation.protocols import read_options

    changed: dict[str, Any] = {}
    for protocol, own in read_options(pipeline.options, pipeline.all_protocols, ADD_PROTOCOL).items():
        usual, values = whole(type(own)()), whole(own)  # a dump leaves out what is at its default
        changed |= {f"{protocol}.{key}": value for key, value in values.items() if value != usual[key]}
    return changed


def name_fusion(pipeline: Pipeline, streams: Sequence[str], evaluation: str) -> tuple[str, str, str]:
    """The folder name of a fusion of evaluations of that name, its stream's name, and its flags."""
    used = {stream: pipeline.weight(stream) for stream in streams}
    usual = all(weight == WEIGHTS.get(stream, 1.0) for stream, weight in used.items())
    parts = [stream if usual else f"{stream}{weight:g}" for stream, weight in used.items()]
    every = usual and tuple(streams) in TRIPLES
    told = "+".join(parts)
    weights = shell_words(["--weights", ",".join(f"{weight:g}" for weight in used.values())])
    return (evaluation, "3s", weights) if every else (f"{evaluation}-{told}", told, weights)


def shell_words(words: Iterable[object]) -> str:
    return shlex.join(str(word) for word in words)
