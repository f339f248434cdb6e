"""Videos: the poses of the people in them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from skelpipe.cli.options import force_option, path_argument, tell
from skelpipe.cli.progress import bar


@click.command()
@path_argument("video")
@path_argument("out")
@click.option("--people", default=2, show_default=True, type=click.IntRange(1, 16), help="The most at a time.")
@click.option("--points", default="world", show_default=True, type=click.Choice(["world", "image"]),
              help="Metres in space, in layout mediapipe33; or pixels in the picture, in coco17.")  # fmt: skip
@click.option("--every", default=1, show_default=True, type=click.IntRange(1), help="Look at every N-th frame only.")
@force_option
def poses(video: Path, out: Path, **options: Any) -> None:
    """Find the poses of the people in a video.

    They are MediaPipe's, which comes with the extra skelpipe[video] and its model. The suffix of OUT decides: .npz or
    .json, both of which 'skelpipe ingest poses' reads, with people, confidences and frames per second. MediaPipe knows
    of one person, and so each is followed on its own; who leaves, or is not found for a second, comes back as another.
    In space each body's own hips are the origin: where people stand is not told.

    \b
    Example:
      skelpipe poses gym.mp4 gym.npz
      skelpipe poses gym.mp4 gym.json --people 1 --points image
    """
    from skelpipe.predict.poses import write_poses

    with bar("looking", "frames") as progress:
        made = write_poses(video, out, progress=progress, **options)
    if made.short is not None:
        tell([f"{video}: ends after {made.frames:,} frames, of {made.short:,} that it announces: it may be damaged"])
    who = "1 person" if made.people == 1 else f"{made.people:,} people"
    speed = f"{made.frames / max(made.seconds, 1e-9):,.0f} frames/s"
    click.echo(f"{out}: {who} in {made.seen:,} of {made.frames:,} frames, {made.rows:,} bodies in frames, {speed}")
    click.echo(f"read by: skelpipe ingest poses {shlex.quote(str(out))} STORE --layout {made.layout}")
