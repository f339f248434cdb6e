"""Learn: pretraining, and weights to and from other projects."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from skelpipe.cli.importing import importing
from skelpipe.cli.options import (
    STREAMS,
    NameOf,
    SplitName,
    compile_option,
    device_option,
    epoch_option,
    force_option,
    offering,
    path_argument,
    seed_option,
    set_option,
    stream_option,
    threads_option,
)
from skelpipe.cli.progress import training
from skelpipe.errors import BadInput
from skelpipe.paper.systems import find_recipe, recipes
from skelpipe.recordings.datasets import DATASETS

COMPARED = 64  # clips of a folder, with what an ONNX file gives of them


def _loggers() -> Mapping[str, Any]:
    from skelpipe.training.loggers import LOGGERS

    return LOGGERS


@click.command(epilog=f"Recipes that ship: {', '.join(recipes())}.")
@click.argument("recipe", **offering(recipes, files=True))
@path_argument("clips")
@path_argument("run")
@click.option("--split", required=True, type=SplitName(), help="Whose training clips to learn from.")
@click.option("--stream", required=True, type=click.Choice([*STREAMS, "3s"]),
              help="3s: all that a recipe trains together, as CrosSCLR and Colorization do.")  # fmt: skip
@click.option("--epochs", type=click.IntRange(0), help="Instead of the recipe's; 0 leaves the encoder untrained.")
@click.option("--iterations", type=click.IntRange(1), help="Instead of the recipe's length: so many steps.")
@set_option
@seed_option
@device_option
@click.option("--gpus", type=click.IntRange(1), help="Train as so many processes, each on a GPU, or on the CPU.")
@click.option("--precision", default="fp32", show_default=True, type=click.Choice(["fp32", "bf16"]),
              help="Of the encoder; the loss is always in fp32.")  # fmt: skip
@compile_option
@click.option("--resident", default="auto", show_default=True, type=click.Choice(["auto", "off", "on"]),
              help="Clips on the device, which renders views; auto: on a GPU, compiled, if they fit.")  # fmt: skip
@click.option("--half-storage", is_flag=True, help="Keep the clips in memory as float16.")
@click.option("--logger", "loggers", multiple=True, type=NameOf(_loggers, "training/loggers.py", "LOGGERS"),
              help="Log there, too, beside TensorBoard. Repeatable; needs the extra of that name.")  # fmt: skip
@threads_option
@force_option
def pretrain(
    recipe: str,
    clips: Path,
    run: Path,
    overrides: tuple[str, ...],
    epochs: int | None,
    iterations: int | None,
    gpus: int | None,
    **options: Any,
) -> None:
    """Pretrain an encoder without labels.

    RECIPE is the name of a shipped recipe or a YAML file. The same command goes on from the last checkpoint of RUN,
    with as many --gpus as there are now. 'torchrun … -m skelpipe pretrain …' does what --gpus does.

    A --split of your own is a column and its values: by subject:1-20 these train and all others test; by camera:2,3/1
    those after the stroke test, and others do neither; by subject:/5 this one tests and all others train; by
    subject:2of5 people are dealt to five folds, and the second one tests. Columns are subject, camera, setup and
    replication of NTU RGB+D; view and video, or view, scene and performer, of PKU-MMD; subject, episode and camera of
    NW-UCLA; and of your own recordings what their table says, or name where it says nothing (name:1of5).
    ntu60:subject:1-20 is about the clips of that data set in a store of a larger one. A split may also be a file: a
    .txt with the names of the clips that train, all others test, or a .csv (name, split), .json or .yaml (train, test)
    with both. By 'all' every clip trains.

    \b
    Example:
      skelpipe pretrain crosnnclr data/stores/ntu60-50.zarr data/runs/bone --split xsub60 --stream bone
      skelpipe pretrain small_crosnnclr gym-50.zarr runs/joint --split subject:1,2,4 --stream joint
    """
    with importing():
        from skelpipe import ranks
        from skelpipe.evaluation.protocols import check_stated
        from skelpipe.training.pretrain import pretrain as run_pretrain
        from skelpipe.training.recipe import load_recipe

    if epochs is not None and iterations is not None:
        raise BadInput(f"--iterations {iterations}", "is given beside --epochs", "leave one of them out")
    checked = load_recipe(recipe, list(overrides), epochs, iterations)
    check_stated(checked, find_recipe(recipe))
    if gpus and ranks.started() not in (1, gpus):
        raise BadInput(f"--gpus {gpus}", f"is given to one of {ranks.started()} ranks", "leave it out with torchrun")
    if gpus and gpus > 1 and ranks.started() == 1:
        ranks.share(checked.batch_size, gpus)  # told once, before so many processes are started
        if crowded := ranks.crowding(options["device"], gpus):
            click.echo(f"skelpipe: --gpus {gpus}: {crowded}", err=True)
        sys.exit(ranks.launch([sys.executable, "-m", "skelpipe", *sys.argv[1:]], gpus))
    speaks = ranks.speaks()
    with training(checked.name) if speaks else nullcontext() as progress:
        result = run_pretrain(checked, clips, run, progress=progress, **options)
    if speaks:
        _tell(run, result)
    if speaks and result.state == "stopped":
        raise KeyboardInterrupt("a checkpoint is kept, and the same command goes on from it")


def _tell(run: Path, result: Any) -> None:
    """What a training has come to, and what it warns of."""
    for warning in result.warnings:
        click.echo(f"skelpipe: {warning}", err=True)
    loss = f", loss {result.last['loss']:.3f}" if result.last else ""
    steps = "" if result.iterations is None else f", iteration {result.iteration:,}/{result.iterations:,}"
    where = f"{result.state}, epoch {result.epoch}/{result.epochs}"
    if result.early:
        where = f"{result.state} early, at epoch {result.epoch} of {result.epochs}: {result.early}"
    click.echo(f"{run}: {where}{steps}{loss}")


@click.command("import-weights")
@path_argument("file")
@path_argument("run")
@click.option("--stream", required=True, type=click.Choice([*STREAMS, "3s"]), help="3s: all of a CrosSCLR file.")
@click.option("--split", required=True, type=SplitName(), help="Whose training clips it has seen.")
@click.option("--dataset", type=click.Choice(list(DATASETS)), help="[default: that of the clips, or the split's own]")
@click.option(
    "--recipe",
    help="How it was trained; FILE decides the sizes. [default: skeletonclr, or stgcn_supervised]",
    **offering(recipes, files=True),
)
@click.option("--key", help="Which network of a FILE that holds several.")
@click.option("--epoch", default=300, show_default=True, type=click.IntRange(0), help="How many epochs it has seen.")
@click.option("--clips", type=click.Path(path_type=Path), help="To go on training on these.")
@click.option("--epochs", type=click.IntRange(0), help="With --clips: how many in all, instead of the recipe's.")
@click.option("--frames", type=click.IntRange(2), help="T, without --clips. [default: the recipe's, or 50]")
@seed_option
@force_option
def import_weights(file: Path, run: Path, recipe: str | None, **options: Any) -> None:
    """Make a run of another project's checkpoint, where its network is our ST-GCN.

    FILE is what the public code of SkeletonCLR, CrosSCLR, AimCLR, CrosNNCLR, HiCLR (GCN), ActCLR, SkeleMixCLR, PSTL,
    ST-GCN, or PySKL and MMAction2 (plain STGCN) saves, also inside a trainer's dict, wrapped by DataParallel or
    torch.compile, in half precision, or as safetensors. Other networks are named and refused. Nothing in FILE is run;
    what is no tensor is left out.

    RUN can be evaluated and embedded, on clips prepared as those that it was trained on. A classifier in FILE is kept:
    'evaluate --protocol supervised' scores with it. With --clips the same training goes on in RUN from --epoch, with
    fresh momentum, since no optimiser is read. Of a CrosSCLR file RUN holds one stream, or all with --stream 3s.

    \b
    Example:
      skelpipe import-weights aimclr.pt data/runs/aimclr --recipe aimclr --split xsub60 --stream joint
      skelpipe import-weights st_gcn.ntu-xsub.pt data/runs/stgcn --split xsub60 --stream joint --frames 300
    """
    from skelpipe.exchange.weights.importing import import_weights as run_import
    from skelpipe.training.recipe import load_recipe

    clips, split, stream = options["clips"], options["split"], options["stream"]
    made = run_import(file, run, None if recipe is None else load_recipe(recipe), **options)
    under = f" (under {made.key})" if made.key else ""
    click.echo(f"{file}{under}: {made.family}; {made.shape}")
    for note in made.notes:
        click.echo(f"left out: {note}")
    state = "can be evaluated" if made.finished else "to be trained on"
    click.echo(f"{run}: epoch {made.epoch}/{made.epochs}, {state}")
    if made.assumed:
        click.echo(f"assumed: trained on clips as 'skelpipe prepare {made.assumed}' makes them, by the rule of {split}")
    if not made.finished:
        words = ["skelpipe", "pretrain", f"{run}/recipe.yaml", str(clips), str(run), "--split", split]
        more = ["--seed", str(options["seed"])] if options["seed"] else []
        click.echo(f"go on, with fresh momentum: {shlex.join([*words, '--stream', stream, *more])}")


@click.command("export-weights")
@path_argument("run")
@path_argument("file")
@click.option("--encoder-only", is_flag=True, help="Only the query encoder, as linear evaluation needs it.")
@force_option
def export_weights(run: Path, file: Path, **options: Any) -> None:
    """Write a run as the public code of SkeletonCLR, AimCLR and CrosSCLR saves it.

    Of a run with a classifier it is what their linear evaluation saves: the encoder and the classifier.

    \b
    Example:
      skelpipe export-weights data/runs/bone bone.pt
    """
    from skelpipe.exchange.weights.exporting import export_weights as run_export

    click.echo(f"{file}: {run_export(run, file, **options):,} tensors")


@click.command("export-onnx")
@path_argument("model")
@path_argument("file")
@click.option("--encoder-only", is_flag=True, help="Only features; then any run will do.")
@click.option(
    "--clips", type=click.Path(path_type=Path), help="Compare on some of these, too. [default: the evaluation's]"
)
@click.option("--protocol", help="Whose classifier, where an evaluation has kept several.")
@stream_option
@epoch_option
@force_option
def export_onnx(
    model: Path,
    file: Path,
    encoder_only: bool,
    clips: Path | None,
    protocol: str | None,
    stream: str | None,
    epoch: int | None,
    force: bool,
) -> None:
    """Write a model as ONNX, which other programs run without this one.

    MODEL is an evaluation that has kept a classifier, a run that has one of its own, or a checkpoint of the reference
    family. FILE takes clips (B, C, T, V, M) as the encoder sees them, which its metadata tells with the names of the
    classes, and gives scores and features; B is any number, and T too unless it is said otherwise. Before anything is
    written it is held against torch, on random clips and on real ones: those of --clips, or of the evaluation if they
    are still there. 'skelpipe predict' takes FILE as a model. Needs the extra:
    pip install "skelpipe[onnx]".

    \b
    Example:
      skelpipe export-onnx data/evaluations/bone bone.onnx --clips data/stores/ntu60-50.zarr
    """
    from skelpipe.evaluation.models import clips_as_seen, encoder_of_run
    from skelpipe.exchange.onnx import export_onnx as run_export
    from skelpipe.outputs.digests import read_kind
    from skelpipe.predict.find import clips_of, find_model
    from skelpipe.recordings.store import Clips

    if model.suffix.lower() == ".onnx":
        raise BadInput(model, "is an ONNX file already", "give the evaluation or the run that it was made of")
    if encoder_only and read_kind(model) == "run":
        opened = encoder_of_run(model, stream, epoch)
    else:
        opened = find_model(model, protocol, stream, epoch)
    clips = clips or clips_of(model)
    seen, lengths = (None, None) if clips is None else clips_as_seen(opened, Clips(clips), COMPARED)
    own = None if lengths is None else lengths.numpy()
    made = run_export(opened, file, encoder_only=encoder_only, clips=seen, lengths=own, force=force)
    click.echo(f"{file}: {made}")
    click.echo(f"random clips: {made.random}")
    click.echo(f"real clips: {made.real or 'none were given by --clips'}")
