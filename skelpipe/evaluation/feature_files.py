"""A run's features as a file for other programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from skelpipe.errors import BadInput
from skelpipe.evaluation.features import Features, Progress, choose_split, embed, embed_all, load_run
from skelpipe.evaluation.fit import cautions
from skelpipe.outputs.one_file import check_file
from skelpipe.outputs.provenance import file_provenance
from skelpipe.recordings.datasets import serves
from skelpipe.recordings.datasets.splits import LISTED_SPLIT
from skelpipe.recordings.store import Clips


def export(
    run: str | Path,
    clips: str | Path,
    out: str | Path,
    *,
    split: str | None = None,
    stream: str | None = None,
    epoch: int | None = None,
    device: str = "auto",
    other_clips: bool = False,
    every: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    tell: Callable[[str], None] = lambda caution: None,
) -> tuple[int, int]:
    """Write features, names, labels and split of a run's clips as .npz, .h5 or .parquet; returns (clips, features).

    Args:
        every: all clips, also those in neither part of the split, or that no split divides; `train` is then 1 for
            training clips, 0 for test clips and -1 for those in neither part.
        tell: called with each caution, which the file's provenance keeps too.

    Raises:
        BadInput: an input does not fit, the suffix is unknown, or `out` exists and `force` is not set.
    """
    out = Path(out)
    if out.suffix not in WRITERS:
        raise BadInput(out, f"has the ending {out.suffix or 'of no format'!r}", f"use one of {', '.join(WRITERS)}")
    check_file(out, force)
    source = Clips(clips)
    loaded = load_run(run, source, device, stream=stream, epoch=epoch, other_clips=other_clips)
    own = LISTED_SPLIT in loaded.settings or serves(str(loaded.settings["split"]), source.about, source.columns)
    chosen = choose_split(loaded, source, split) if split is not None or not every or own else None
    if every or chosen is None:
        features = embed_all(loaded, source, chosen, progress)
    else:
        features = embed(loaded, source, chosen, progress)
    split = None if chosen is None else chosen.name
    if not len(features.row):
        what = f"has no clips here, neither to train on nor to test, of {len(source):,} that there are"
        raise BadInput(f"split {split}", what, "choose another split, or pass --all to embed every clip")
    doubts = cautions(loaded, source, features.row[features.train != 1])
    for doubt in doubts:
        tell(doubt)
    inputs = {"run": loaded.path, "clips": source.path}
    settings: dict[str, Any] = {"split": split, "stream": loaded.stream}
    settings |= {"epoch": loaded.epoch, "device": str(loaded.device), "other_clips": other_clips, "all": every}
    made = file_provenance("features", out, inputs, settings, {"cautions": doubts})
    scratch = out.with_name(f".{out.stem}.partial{out.suffix}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        WRITERS[out.suffix](scratch, features, made)
        scratch.replace(out)
    except OSError as error:
        raise BadInput(out, f"cannot be written ({error.strerror})", "choose a path you may write to") from None
    finally:
        scratch.unlink(missing_ok=True)
    return features.feature.shape


def write_npz(path: Path, features: Features, made: str) -> None:
    """`name`, `label`, `train`, `feature`, and `provenance`, JSON."""
    np.savez(
        path,
        name=features.name,
        label=features.label,
        train=features.train,
        feature=features.feature,
        provenance=np.array(made.encode()),
    )


def write_h5(path: Path, features: Features, made: str) -> None:
    """The same five data sets."""
    import h5py

    with h5py.File(path, "w") as file:
        file["name"] = features.name.astype("S")
        file["label"], file["train"], file["feature"] = features.label, features.train, features.feature
        file["provenance"] = made


def write_parquet(path: Path, features: Features, made: str) -> None:
    """One row per clip; the feature's numbers are columns h000, h001, ...; the schema's metadata have `skelpipe`."""
    import pandas as pd
    import pyarrow
    import pyarrow.parquet

    frame = pd.DataFrame(features.feature, columns=[f"h{i:03d}" for i in range(features.feature.shape[1])])
    frame.insert(0, "name", features.name)
    frame.insert(1, "label", features.label)
    frame.insert(2, "train", features.train)
    table = pyarrow.Table.from_pandas(frame, preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), b"skelpipe": made.encode()})
    with open(path, "wb") as file:  # pyarrow itself opens no path that is not UTF-8
        pyarrow.parquet.write_table(table, file)


WRITERS: dict[str, Callable[[Path, Features, str], None]] = {
    ".npz": write_npz, ".h5": write_h5, ".parquet": write_parquet,
}  # fmt: skip
