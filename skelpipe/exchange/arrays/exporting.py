"""A split as other projects read it."""

from __future__ import annotations

import logging
import os

from skelpipe.clips.bodies import BODY_POLICIES
from skelpipe.errors import BadInput
from skelpipe.exchange.arrays import find_format
from skelpipe.exchange.arrays.base import Format, Progress
from skelpipe.exchange.arrays.source import Exported, counter, open_source
from skelpipe.outputs.folders import new_folder

log = logging.getLogger(__name__)


def export_arrays(
    format: str,
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    split: str,
    bodies: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write the training and test clips of a split as another project's loader expects them; see the table at the top.

    aimclr-npy is written from clips, as they are. The others are prepared from a store as each project does it before
    it writes these files. sgn-h5's validation part is every 20th training clip.

    Args:
        format: key of `FORMATS`.
        source: a clips folder for aimclr-npy, else a store.
        out: the folder to make (kind "arrays").
        split: key of `datasets.SPLITS`, or a rule as `datasets.stated` describes it.
        bodies: key of `BODY_POLICIES`; None is the project's own (`Format.rule`), or, of clips, theirs.
        progress: called with (clips done, clips in all) now and then.

    Raises:
        BadInput: the source is of the other kind or cannot be read, the split does not fit, or `out` is taken.
    """
    kind = find_format(format)
    what = "clips" if kind.prepared else "store"
    _check_bodies(kind, format, bodies)
    opened = open_source(source, what, split, bodies, kind.rule)
    counts = {part: len(rows) for part, rows in opened.rows.items()}
    told = ", ".join(f"{count:,} {part}" for part, count in counts.items())
    log.info("%s from %s %s, split %s: %s; bodies: %s", format, what, source, split, told, opened.bodies)
    said = {"format": format, "split": opened.split, "bodies": opened.bodies}
    tell = counter(progress, sum(counts.values()))
    with new_folder(out, "arrays", force=force, inputs={what: source}, settings=said) as to:
        kind.write(to, opened, tell)
        files = tuple(sorted(path.name for path in to.iterdir()))
    return Exported(counts["train"], counts["val"], files)


def _check_bodies(kind: Format, format: str, bodies: str | None) -> None:
    """Raise BadInput unless there is such a rule to choose bodies by, and they are still to be chosen."""
    if bodies is not None and bodies not in BODY_POLICIES:
        raise BadInput("bodies", f"{bodies!r} is not known", f"use one of {', '.join(BODY_POLICIES)}")
    if kind.prepared and bodies is not None:
        what = f"are chosen already in the clips that {format} is made of"
        raise BadInput("bodies", what, "leave --bodies out, and give it to 'skelpipe prepare'")
