"""Data: from raw recordings to clips, and arrays to and from other projects."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from skelpipe.cli.options import (
    POSE_OPTIONS,
    STREAMS,
    NameOf,
    Recordings,
    SplitName,
    dataset_argument,
    force_option,
    given,
    part_option,
    path_argument,
    pose_options,
    seed_option,
    tell,
    threads_option,
    workers_option,
)
from skelpipe.cli.progress import bar
from skelpipe.clips.presets import PRESETS, Options
from skelpipe.errors import BadInput, printable
from skelpipe.recordings import NATIVE
from skelpipe.recordings.datasets import DATASETS, SPLITS

FAULTS_TOLD = 10  # on the terminal, of what was left out
CHANGES = Options.__annotations__  # of a preset, by options that are not left at their defaults


def _formats() -> Mapping[str, Any]:
    from skelpipe.exchange.arrays import FORMATS

    return FORMATS


@click.command()
@dataset_argument
@path_argument("raw")
@click.option("--actions", type=int, help="How many classes.")
@click.option("--subjects", type=int, help="How many people.")
@click.option("--setups", type=int, help="How many camera set-ups (NTU only).")
@click.option("--replications", type=int, help="How often each person does each action (NW-UCLA: episodes).")
@click.option("--frames", nargs=2, type=int, default=(40, 80), show_default=True, help="Fewest and most per clip.")
@click.option("--zip", "zipped", is_flag=True, help="Write the publisher's archives instead of a folder of files.")
@seed_option
@force_option
def synth(dataset: str, raw: Path, zipped: bool, **options: Any) -> None:
    """Write licence-free raw files in a publisher's format.

    Class-conditional motion of jointed bodies, with the ugly parts of real files, in the folder RAW.

    \b
    Example:
      skelpipe synth ntu60 data/raw/toy --actions 5 --subjects 8
    """
    from skelpipe.recordings.synthetic import write_raw

    with bar("writing", "files") as progress:
        made = write_raw(dataset, raw, zip=zipped, progress=progress, **options)
    click.echo(f"{raw}: {made.clips:,} clips in {made.files:,} files, {_bytes(made.bytes)}")


@click.command()
@click.argument("dataset", type=Recordings())
@path_argument("raw")
@path_argument("store")
@pose_options
@workers_option
@click.option("--keep-missing", is_flag=True, help="Keep clips on the official list of missing skeletons.")
@click.option("--strict", is_flag=True, help="Stop at the first file that cannot be read.")
@part_option
@force_option
def ingest(dataset: str, raw: Path, store: Path, **options: Any) -> None:
    """Read raw recordings into a store that keeps everything.

    RAW is a folder, searched to its depth, or the publisher's .zip files as they were downloaded. What was left out,
    and why, is told at the end and kept in the store, archives of other kinds with the command that unpacks them, and
    so is what a split has in neither part. PKU-MMD may also be cut into clips by AimCLR's script. With --part, STORE
    holds a part only; all parts have about as much to read, each may be read on another machine, and 'skelpipe join'
    makes one store of them.

    'poses' are recordings of your own, told apart by their content: arrays (.npy, .npz, .mat), tables (.csv, .parquet),
    JSON of frames (OpenPose, MMPose, Kinetics-skeleton, lists), pickles of clips, text. RAW may also be one file. Their
    class is what the table says of them, else their name by --names, else the file itself, else the sub-folder that
    they are in; recordings without a class can be pretrained on. A YAML says all of this once: name, layout, labels, …

    \b
    Example:
      skelpipe ingest ntu120 data/raw/ntu120 data/stores/ntu120.zarr
      skelpipe ingest ntu120 data/raw/ntu120 data/stores/ntu120-3of8.zarr --part 3/8
      skelpipe ingest poses recordings/ data/stores/gym.zarr --layout coco17 --labels labels.csv
    """
    from skelpipe.recordings.ingest import find_recordings
    from skelpipe.recordings.ingest import ingest as run_ingest

    said = {name: value for name in POSE_OPTIONS if (value := options.pop(name)) is not None}
    kind = find_recordings(dataset, said)
    with bar("reading", "files") as progress:
        made = run_ingest(kind, raw, store, progress=progress, **options)
    for fault in made.faults[:FAULTS_TOLD]:
        click.echo(f"skelpipe: left out: {fault.name}: {fault.reason} ({fault.detail})", err=True)
    if len(made.faults) > FAULTS_TOLD:
        click.echo(f"skelpipe: left out: and {len(made.faults) - FAULTS_TOLD:,} more that cannot be used", err=True)
    if made.dropped:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in made.dropped.items())
        click.echo(f"left out: {counts}; 'skelpipe inspect {shlex.quote(str(store))}' shows which, of many the first")
    tell(made.told)
    _tell_divided(made.divided)
    text = "text" if made.expected else "files"
    size = f"{_bytes(made.bytes_read)} of {text} became {_bytes(made.store_bytes)} in {made.seconds:,.1f} s"
    of = f" of {made.expected:,} published" if made.expected else ""
    click.echo(f"{store}: {made.clips:,} clips{of}, {made.rows:,} bodies in frames, {size}")


@click.command()
@path_argument("path")
@click.argument("raw", required=False, type=click.Path(path_type=Path))
@workers_option
def verify(path: Path, raw: Path | None, **options: Any) -> None:
    """Check that outputs are as they were made.

    PATH is any output, or a folder that is searched for outputs to its depth: every file is compared with the sha256
    that was noted when it was made, and stores and clips are read as a whole. With RAW, PATH is a store, and every
    value of it is also compared with those raw files.

    \b
    Example:
      skelpipe verify data
      skelpipe verify data/stores/ntu120.zarr data/raw/ntu120
    """
    from skelpipe.inspect.damage import check

    with bar("checking", "outputs") as tell:
        seen = check(path, tell)
    _damaged(seen.damaged)
    what = "output is" if seen.outputs == 1 else "outputs are"
    click.echo(f"{path}: {seen.outputs:,} {what} as made, {seen.files:,} files, {_bytes(seen.bytes)}")
    if raw is None:
        return
    from skelpipe.recordings.verify import verify as run_verify

    with bar("comparing", "files") as progress:
        found = run_verify(path, raw, progress=progress, **options)
    click.echo(f"{path}: all {found.clips:,} clips and {found.rows:,} bodies in frames equal the raw files")


def _damaged(found: Sequence[Any], shown: int = 50) -> None:
    """A line for each damaged file, the last as the error that ends the command."""
    for each in found[: shown - 1][: len(found) - 1]:
        click.echo(f"skelpipe: {each.where}: {each.what}; {each.remedy}", err=True)
    if found:
        last, more = found[min(len(found), shown) - 1], len(found) - shown
        raise BadInput(last.where, last.what + (f", and {more:,} more are damaged" if more > 0 else ""), last.remedy)


class _Frames(click.IntRange):
    """A number of frames, or "native"."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == NATIVE or isinstance(value, int) or str(value).lstrip("-").isdecimal():
            return value if value == NATIVE else super().convert(value, param, ctx)
        self.fail(f"{value!r} is not a number of frames, nor {NATIVE!r}.", param, ctx)


@click.command()
@path_argument("store")
@path_argument("clips")
@click.option("--preset", default="aimclr", show_default=True, type=click.Choice(list(PRESETS)),
              help="Whose preparation; the options below change it.")  # fmt: skip
@click.option("--step", "steps", multiple=True, metavar="KIND=CHOICE", help="Take another step, as align=none.")
@click.option("--frames", default=50, show_default=True, type=_Frames(2), help="T, frames of every clip.")
@click.option("--bodies", default="first", show_default=True, type=click.Choice(["first", "energy", "denoise"]),
              help="Which two bodies: the first seen, those that move most, or denoised tracks.")  # fmt: skip
@click.option(
    "--centre/--no-centre", default=True, show_default=True, help="Put each body's upper spine at the origin."
)
@click.option("--longest", default=300, show_default=True, type=click.IntRange(1), help="Only so many frames are used.")
@click.option("--length", default="count", show_default=True, type=click.Choice(["count", "last"]),
              help="Where a clip ends: after as many frames as show somebody, or at the last of them.")  # fmt: skip
@click.option("--turn/--no-turn", default=True, show_default=True, help="Turn the shoulders to the camera plane.")
@part_option
@threads_option
@force_option
@click.pass_context
def prepare(ctx: click.Context, /, store: Path, clips: Path, **options: Any) -> None:
    """Make clips of fixed length from a store.

    With --part, CLIPS holds a part only, and 'skelpipe join' makes one of all. With --frames native every clip keeps
    its own length. The defaults below are those of --preset aimclr; every preset has its own.

    \b
    Example:
      skelpipe prepare data/stores/ntu120.zarr data/stores/ntu120-50.zarr --frames 50
      skelpipe prepare data/stores/pku2.zarr data/stores/pku2-isc.zarr --preset isc --frames 800
    """
    from skelpipe.clips.prepare import prepare as run_prepare

    options = {name: value for name, value in options.items() if name not in CHANGES or given(ctx, name)}
    with bar("preparing", "clips") as progress:
        made = run_prepare(store, clips, progress=progress, **options)
    if made.empty:
        more = ", …" if len(made.empty) > 5 else ""
        names = printable(", ".join(made.empty[:5]))
        click.echo(f"skelpipe: {len(made.empty):,} clips show nobody: {names}{more}", err=True)
    cut = f", {made.shortened:,} were cut to {made.longest} frames first" if made.shortened else ""
    lasting = "of their own lengths" if made.frames == NATIVE else f"of {made.frames} frames"
    click.echo(f"{clips}: {made.clips:,} clips {lasting}{cut}")


@click.command()
@click.argument("parts", nargs=-1, required=True, type=click.Path(path_type=Path))
@path_argument("whole")
@force_option
def join(parts: tuple[Path, ...], whole: Path, **options: Any) -> None:
    """Make one store, or one clips folder, of its parts.

    PARTS are all that 'ingest --part' or 'prepare --part' made, in any order. The result is, byte for byte, what one
    process would have made without --part.

    \b
    Example:
      skelpipe join data/stores/ntu120-1of2.zarr data/stores/ntu120-2of2.zarr data/stores/ntu120.zarr
    """
    from skelpipe.recordings.parts import join as run_join

    with bar("joining", "rows") as progress:
        made = run_join(parts, whole, progress=progress, **options)
    tell(made.told)
    _tell_divided(made.divided)
    click.echo(f"{whole}: {made.clips:,} clips of {made.parts:,} parts")


@click.command()
@path_argument("clips")
@path_argument("out")
@click.option("--stream", "streams", multiple=True, default=STREAMS, show_default=True, type=click.Choice(STREAMS),
              help="Repeatable.")  # fmt: skip
@threads_option
@force_option
def streams(clips: Path, out: Path, **options: Any) -> None:
    """Write unaugmented streams for other programs.

    \b
    Example:
      skelpipe streams data/stores/ntu60-50.zarr data/stores/ntu60-streams.zarr --stream bone
    """
    from skelpipe.clips.streams import write_streams

    with bar("writing", "clips") as progress:
        made = write_streams(clips, out, progress=progress, **options)
    click.echo(f"{out}: {', '.join(made.streams)} of {made.clips:,} clips")


@click.command("import")
@click.argument("format", type=NameOf(_formats, "exchange/arrays/__init__.py", "FORMATS"))
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@path_argument("clips")
@click.option("--dataset", required=True, type=click.Choice(list(DATASETS)), help="Whose clips they are.")
@click.option("--split", type=click.Choice(list(SPLITS)), help="What ctrgcn-npz or sgn-h5 divides; others have names.")
@click.option("--frames", type=click.IntRange(2), help="T. [default: 50; aimclr-npy keeps its own]")
@click.option("--centre/--no-centre", default=True, show_default=True, help="As 'skelpipe prepare' does.")
@click.option("--turn/--no-turn", default=True, show_default=True, help="As 'skelpipe prepare' does.")
@threads_option
@force_option
def import_arrays(format: str, files: tuple[Path, ...], clips: Path, **options: Any) -> None:
    """Make clips of another project's arrays.

    FILES are every .npy with its label .pkl for aimclr-npy, stgcn-npy and agcn-npy (2s-AGCN's, ISC's, CMD's), and one
    file for the others. Clips that carry names serve every split, and by --split DATASET-listed the one that the files
    list; ctrgcn-npz and sgn-h5 serve only the split that they divide. 'skelpipe inspect FILES' says which FORMAT they
    are. What files do not state (which axis is up, the unit, copies of bodies, frames that repeat) is asked of the
    clips, converted and told; motion and bones are refused.

    \b
    Example:
      skelpipe import ctrgcn-npz NTU60_CS.npz data/stores/ctr-50.zarr --dataset ntu60 --split xsub60
    """
    from skelpipe.exchange.arrays.importing import import_arrays as run_import

    with bar("importing", "clips") as progress:
        made = run_import(format, files, clips, progress=progress, **options)
    tell(made.told)
    if made.left_out:
        first = ", ".join(f"{each.name} ({each.said})" for each in made.left_out[:5])
        more = f", …; 'skelpipe inspect {shlex.quote(str(clips))}' tells of each" if len(made.left_out) > 5 else ""
        click.echo(f"skelpipe: left out: {len(made.left_out):,}: {printable(first)}{more}", err=True)
    if made.empty:
        click.echo(f"skelpipe: {made.empty:,} clips show nobody", err=True)
    only = f", for {made.split} only" if made.split else ""
    click.echo(f"{clips}: {made.clips:,} clips{only}")


@click.command("export")
@click.argument("format", type=NameOf(_formats, "exchange/arrays/__init__.py", "FORMATS"))
@path_argument("source")
@path_argument("out")
@click.option("--split", required=True, type=SplitName(), help="What to divide.")
@click.option("--bodies", type=click.Choice(["first", "energy", "denoise"]),
              help="Which two bodies, as 'skelpipe prepare'. [default: as the project whose format it is]")  # fmt: skip
@force_option
def export_arrays(format: str, source: Path, out: Path, **options: Any) -> None:
    """Write arrays as another project's loader expects them.

    aimclr-npy is written from clips, as they are. The others are written from a store, with bodies chosen and
    coordinates moved as the project's own scripts do it: agcn-npy is what 2s-AGCN, ISC and CMD read (bodies: energy),
    ctrgcn-npz CTR-GCN and MAMP (denoise), sgn-h5 SGN (denoise), pyskl-pkl PySKL and MMAction2 (denoise). stgcn-npy is
    the recorded frames of ST-GCN's gendata (first), from which AimCLR's preprocess_ntu.py goes on. Of PKU-MMD all take
    the two bodies that there are. OUT is a folder.

    \b
    Example:
      skelpipe export pyskl-pkl data/stores/ntu60.zarr data/pyskl --split xsub60
    """
    from skelpipe.exchange.arrays.exporting import export_arrays as run_export

    with bar("exporting", "clips") as progress:
        made = run_export(format, source, out, progress=progress, **options)
    click.echo(f"{out}: {made.train:,} training and {made.test:,} test clips in {', '.join(made.files)}")


def _bytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def _tell_divided(lines: Sequence[str]) -> None:
    """Say how the splits divide the clips, where that should be told."""
    for line in lines:
        click.echo(line)
