"""The splits of a pipeline that stand for several, and the data set that a YAML describes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from skelpipe.errors import BadInput
from skelpipe.outputs.digests import read_digest
from skelpipe.pipeline.spec import Pipeline, is_described
from skelpipe.recordings.datasets import Dataset, dataset_of, divided, find_dataset, find_split, ntu, ucla
from skelpipe.recordings.datasets.absent import PARTS
from skelpipe.recordings.datasets.base import Found
from skelpipe.recordings.datasets.folds import family
from skelpipe.recordings.datasets.own import Own
from skelpipe.recordings.datasets.rules import Value, values_of
from skelpipe.recordings.datasets.stated import is_family, whose_column
from skelpipe.recordings.poses.dataset import OwnPoses, PoseSource
from skelpipe.recordings.poses.described import Described, read_description
from skelpipe.recordings.store import open_group, read_array


def described(pipeline: Pipeline) -> Described | None:
    """What the YAML says that the pipeline's data set is described by, if it is."""
    return read_description(str(pipeline.dataset)) if is_described(pipeline.dataset) else None


def raw_of(pipeline: Pipeline, dataset: str, data: Path, raw: Path | None) -> Path:
    """Where the recordings of a data set are."""
    told = described(pipeline)
    if raw is None and told is not None and told.raw is not None:
        return told.raw
    return Path(os.path.abspath(raw)) if raw else data / "raw" / dataset


def listing_of(told: Described, listing: str | None) -> str | None:
    """The digest of recordings, with that of the files which say how they are read."""
    if listing is None:
        return None
    found = hashlib.sha256(listing.encode())
    own = told.dataset
    named = [*own.lists, *([own.labels] if own.labels else []), *([own.layout] if is_described(own.layout) else [])]
    for file in named:
        try:
            found.update(Path(file).read_bytes())
        except OSError as error:
            raise BadInput(file, f"cannot be read ({error.strerror})", f"correct it in {own.lists[0]}") from None
    return found.hexdigest()


def settle(pipeline: Pipeline, path: Path, data: Path, raw: Path | None) -> Pipeline:
    """The pipeline with each split by its whole name, and those that stand for several replaced by these.

    Of a data set that a YAML describes, the recordings are searched for the columns and values that there are.

    Raises:
        BadInput: a split that is none of the data set's, or the recordings must be there for it and are not.
    """
    told = described(pipeline)
    families = [split for split in pipeline.splits if is_family(split)]
    if told is None and not families:
        return pipeline
    if told is not None and pipeline.pretrain_on is not None:
        what = "pretrain_on: is of published data sets, and this one is described by a YAML"
        raise BadInput(path, what, "leave it out, or evaluate a run of the other data set by 'skelpipe evaluate'")
    found = None
    if told is not None:
        found = _search(told, pipeline, data, raw)
    try:
        own = found.dataset if found is not None else None
        splits: list[str] = []
        for split in pipeline.splits:
            if is_family(split):
                splits += _family(split, pipeline, own, found, data, raw)
            else:
                splits.append(split if own is None else find_split(split, own).name)
        training = {} if own is None or found is None else _training(splits, own, found)
    except BadInput as error:
        raise BadInput(path, f"splits: {error.where} {error.what}", error.remedy) from None
    if own is not None and own.classes < 2:
        what = f"has {own.classes} classes, between which nothing can be told, so that there is nothing to measure"
        remedy = "label clips, by 'labels: TABLE' say; 'skelpipe pretrain … --split all' trains without any"
        raise BadInput(path, what, remedy)
    if isinstance(own, Own) and found is not None:
        own = replace(own, clips=sum(len(s.clips) for s in found.sources if isinstance(s, PoseSource)))
    flat = isinstance(told.dataset, OwnPoses) and told.dataset.skeleton.coordinates == 2 if told else False
    if flat and "turn" not in pipeline.model_fields_set:  # of a picture nothing can be turned to the camera
        pipeline = pipeline.model_copy(update={"turn": False})
    return pipeline.settled(own if isinstance(own, Own) else None, tuple(dict.fromkeys(splits)), training)


def _training(splits: Iterable[str], own: Dataset, found: Found) -> dict[str, int]:
    """How many clips of a search train by each split; BadInput if a part of one has none."""
    clips = [(name, ids) for source in found.sources if isinstance(source, PoseSource) for name, ids in source.clips]
    clips = [(name, ids) for name, ids in clips if ids]
    if not clips:
        return {}
    columns = {name: own.column(name, [ids[name] for _, ids in clips]) for name in own.columns[1:]}
    columns["name"] = own.column("name", [name for name, _ in clips])
    return {split: int(divided(split, own, columns, None, tuple(PARTS))[0].sum()) for split in splits}


def check_batch(pipeline: Pipeline, path: Path, split: str, recipe: str, batch_size: int) -> None:
    """Raise BadInput if a split of a data set of one's own has less training clips than a recipe's batches."""
    clips = pipeline.training.get(split)
    if clips is not None and clips < batch_size:
        what = f"{recipe} has batches of {batch_size}, and {split} has {clips} training clips"
        remedy = (
            f"lower them: 'set: {{{recipe}: [batch_size={1 << max(1, (clips // 2)).bit_length() - 1}]}}' under pipeline"
        )
        raise BadInput(path, what, remedy)


def _search(told: Described, pipeline: Pipeline, data: Path, raw: Path | None) -> Found:
    """What a search of the recordings finds; where they are gone, what their store says of them."""
    folder = raw_of(pipeline, told.dataset.name, data, raw)
    if folder.exists():
        return told.dataset.find(folder)
    store = data / "stores" / f"{told.dataset.name}.zarr"
    if read_digest(store) is None:
        raise BadInput(
            folder,
            f"holds no recordings of {told.dataset.name}",
            f"name their folder by raw in {pipeline.dataset}, or by --raw",
        )
    return Found(dataset=dataset_of(open_group(store, "store")[1]))


def _family(
    split: str, pipeline: Pipeline, own: Dataset | None, found: Found | None, data: Path, raw: Path | None
) -> list[str]:
    if own is None and pipeline.dataset is None and split.count(":") < 2:
        _check_whose(split)
    dataset = own or find_dataset(pipeline.dataset or split.partition(":")[0])
    about, column, _ = whose_column(split, dataset)
    store = data / "stores" / f"{pipeline.dataset if own is None and pipeline.dataset else about.name}.zarr"
    if pipeline.synth is not None:
        values = None
    elif read_digest(store) is not None:
        group, noted = open_group(store, "store")
        columns = {name: read_array(group, name) for name in noted["columns"]}
        values = values_of(about, column, columns).tolist()
    elif found is not None:
        values = [*_values(found, column)]
    else:
        folder = raw_of(pipeline, about.name, data, raw)
        values = [*_named(about, folder, column)] or None if folder.exists() else None
    return family(split, about, values)


def _check_whose(split: str) -> None:
    """Raise BadInput if several data sets have the column of a family of splits, or none has it."""
    one = split.rpartition(":")[0] + ":1"
    try:
        find_split(one)
    except BadInput as error:
        raise BadInput(f"split {split!r}", error.what, error.remedy.replace(one, split)) from None


def _values(found: Found, column: str) -> Iterable[Value]:
    """What the clips of a search have in a column."""
    for source in found.sources:
        assert isinstance(source, PoseSource)
        yield from (name if column == "name" else ids[column] for name, ids in source.clips if ids)


def _named(dataset: Dataset, folder: Path, column: str) -> Iterable[Value]:
    """What the names of recordings say of a column."""
    if not isinstance(dataset, ntu.Ntu | ucla.Ucla):
        return
    parse = ntu.parse_name if isinstance(dataset, ntu.Ntu) else ucla.parse_name
    for source in dataset.find(folder).sources:
        yield (parse(source.name) or {})[column]
