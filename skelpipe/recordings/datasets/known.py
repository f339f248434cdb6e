"""The data sets, by name. To add one: a subclass of `base.Dataset`, and a line in `DATASETS`."""

from __future__ import annotations

from skelpipe.errors import BadInput, suggest
from skelpipe.recordings.datasets.base import Dataset
from skelpipe.recordings.datasets.ntu import NTU60, NTU120
from skelpipe.recordings.datasets.pku import PKU1, PKU2
from skelpipe.resources import Registry

DATASETS: Registry[Dataset] = Registry("datasets", {dataset.name: dataset for dataset in (NTU60, NTU120, PKU1, PKU2)})


def find_dataset(name: str) -> Dataset:
    """The data set of that name; BadInput names the nearest one."""
    if name in DATASETS:
        return DATASETS[name]
    raise BadInput(f"data set {name!r}", "is unknown", suggest(name, DATASETS))


def group_column(dataset: str) -> str:
    """The column that names the person or video of a clip, by which a validation part is held out."""
    return find_dataset(dataset).group
