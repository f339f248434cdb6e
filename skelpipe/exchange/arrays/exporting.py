"""A split as other projects read it."""

from __future__ import annotations

import logging
import os

from skelpipe.exchange.arrays import find_format
from skelpipe.exchange.arrays.base import Exported, Progress, counter, open_source
from skelpipe.outputs.folders import new_folder

log = logging.getLogger(__name__)


def export_arrays(
    format: str,
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    split: str,
    force: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write the training and test clips of a split as another project reads them; see the table at the top.

    aimclr-npy is written from clips, as they are. The others hold recordings that each project prepares in its own
    way, so they are written from a store: the first two bodies of every frame, neither centred nor resized, in 300
    frames (pyskl-pkl: in as many as there are). sgn-h5's validation part is every 20th training clip.

    Args:
        format: key of `FORMATS`.
        source: a clips folder for aimclr-npy, else a store.
        out: the folder to make (kind "arrays").
        split: key of `datasets.SPLITS`, or a rule as `datasets.stated` describes it.
        progress: called with (clips done, clips in all) now and then.

    Raises:
        BadInput: the source is of the other kind or cannot be read, the split does not fit, or `out` is taken.
    """
    kind = find_format(format)
    what = "clips" if kind.prepared else "store"
    opened = open_source(source, what, split)
    counts = {part: len(rows) for part, rows in opened.rows.items()}
    told = ", ".join(f"{count:,} {part}" for part, count in counts.items())
    log.info("%s from %s %s, split %s: %s", format, what, source, split, told)
    tell = counter(progress, sum(counts.values()))
    with new_folder(
        out, "arrays", force=force, inputs={what: source}, settings={"format": format, "split": opened.split}
    ) as to:
        kind.write(to, opened, tell)
        files = tuple(sorted(path.name for path in to.iterdir()))
    return Exported(counts["train"], counts["val"], files)
