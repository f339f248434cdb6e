"""A lack of memory is told in a line, and costs no more than the work since the last checkpoint."""

from __future__ import annotations

import errno

import pytest
import torch
from click.testing import CliRunner
from conftest import TINY

from skelpipe.cli import main
from skelpipe.errors import BadInput, refusing, shortage
from skelpipe.outputs.folders import new_folder
from skelpipe.training import checkpoint, loop
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

OPTIONS = {"split": "xsub60", "stream": "joint", "device": "cpu", "threads": 1}
CPU = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 23961600 bytes. Error code 12 (Cannot allocate memory)"
)
CUDA = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 10.75 GiB of which 1.2 GiB is free."
)
TOLD = [
    (RuntimeError(CPU), "memory ran out where 23 MiB more were asked for"),
    (torch.OutOfMemoryError(CUDA), "GPU memory ran out where 2.00 GiB more were asked for"),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "GPU memory ran out"),
    (MemoryError(), "memory ran out"),
    (
        MemoryError("Unable to allocate 1.20 GiB for an array with shape (161061274,) and data type float64"),
        "memory ran out where 1.20 GiB more were asked for",
    ),
    (MemoryError("std::bad_alloc"), "memory ran out"),
    (RuntimeError("could not create a primitive"), "memory ran out"),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory ran out"),
    (RuntimeError("can't start new thread"), "no further thread could be started"),
    (OSError(errno.ENOMEM, "Cannot allocate memory", "/home/ship/cuda-work/store"), "memory ran out"),
]


@pytest.mark.parametrize(("error", "told"), TOLD, ids=[type(e).__name__ + str(i) for i, (e, _) in enumerate(TOLD)])
def test_a_lack_of_memory_is_known_by_what_libraries_say(error, told):
    assert shortage(error) == told


OTHERWISE = [
    RuntimeError("shapes do not match"),
    OSError(errno.ENOSPC, "No space"),
    ValueError(CPU),
    RuntimeError("could not create a primitive descriptor for the LSTM forward propagation primitive"),  # of oneDNN
]


@pytest.mark.parametrize("error", OTHERWISE)
def test_nothing_else_is_taken_for_it(error):
    assert shortage(error) is None


@pytest.mark.parametrize(("error", "raised"), [(MemoryError(), MemoryError), (ValueError("odd"), BadInput)])
def test_damage_is_told_and_a_lack_of_memory_passes(error, raised):
    with (
        pytest.raises(raised, match=r"^$|^file: is damaged \(odd\); make it anew$"),
        refusing("file", "is damaged", "make it anew"),
    ):
        raise error


def failing(monkeypatch, at, error):
    """Let the step number `at`, from 0, end by an error."""
    real, taken = loop.train_step, iter(range(1000))

    def step(*given):
        if next(taken) == at:
            raise error
        return real(*given)

    monkeypatch.setattr(loop, "train_step", step)


def test_a_run_keeps_its_checkpoint_and_goes_on(clips, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)
    recipe = load_recipe("skeletonclr", TINY, epochs=2)
    with monkeypatch.context() as patched:
        failing(patched, 4, torch.OutOfMemoryError(CUDA))
        with pytest.raises(BadInput) as told:
            pretrain(recipe, clips, tmp_path / "run", **OPTIONS)
    assert str(told.value) == (
        f"{tmp_path / 'run'}: GPU memory ran out where 2.00 GiB more were asked for; its last checkpoint stands; "
        "lower batch_size (it is 8) by --set batch_size=4, pass --half-storage or pass --precision bf16"
    )
    assert pretrain(recipe, clips, tmp_path / "run", **OPTIONS).state == "finished"


def test_without_a_checkpoint_that_is_said_and_only_what_is_left_is_advised(clips, tmp_path, monkeypatch):
    failing(monkeypatch, 0, MemoryError())
    recipe = load_recipe("skeletonclr", TINY, epochs=1)
    with pytest.raises(BadInput, match="there was no checkpoint yet; lower batch_size .* or pass --precision bf16$"):
        pretrain(recipe, clips, tmp_path / "run", half_storage=True, **OPTIONS)


def test_what_is_advised_is_taken_where_nothing_was_learnt_yet(clips, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        failing(patched, 0, MemoryError())
        with pytest.raises(BadInput, match="lower batch_size"):
            pretrain(load_recipe("skeletonclr", TINY, epochs=1), clips, tmp_path / "run", **OPTIONS)
    smaller = load_recipe("skeletonclr", [*TINY, "batch_size=4"], epochs=1)
    assert pretrain(smaller, clips, tmp_path / "run", **OPTIONS).state == "finished"


def test_nothing_of_another_stage_is_replaced(clips, tmp_path):
    with new_folder(tmp_path / "out", "evaluation") as folder:
        (folder / "metrics.json").write_text("{}")
    (tmp_path / "out" / "done.json").unlink()
    with pytest.raises(BadInput, match="replaces only what is of kind .run.; choose another path, or delete it"):
        pretrain(load_recipe("skeletonclr", TINY, epochs=1), clips, tmp_path / "out", **OPTIONS)
    assert (tmp_path / "out" / "metrics.json").read_text() == "{}"


def test_a_checkpoint_that_does_not_fit_into_memory_is_not_called_damaged(clips, tmp_path, monkeypatch):
    recipe = load_recipe("skeletonclr", TINY, epochs=1)
    pretrain(recipe, clips, tmp_path / "run", **OPTIONS)

    def read(path):
        raise MemoryError

    monkeypatch.setattr(checkpoint, "read_saved", read)
    with pytest.raises(BadInput, match="memory ran out; its last checkpoint stands"):
        pretrain(load_recipe("skeletonclr", TINY, epochs=2), clips, tmp_path / "run", **OPTIONS)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError(), "prepare: memory ran out; nothing half-made is left; "
         "use --part 1/4 and so on, and 'skelpipe join'"),
        (RuntimeError("cannot cache function 'f': no locator available for file 'f.py'"),
         "prepare: neither beside the installation, nor in a home or temporary folder, can compiled code be kept; "
         "set NUMBA_CACHE_DIR and XDG_CACHE_HOME to folders you may write to"),
    ],
)  # fmt: skip
def test_a_command_ends_in_one_line(error, line, tmp_path, monkeypatch):
    def prepare(*given, **options):
        raise error

    monkeypatch.setattr("skelpipe.clips.prepare.prepare", prepare)
    done = CliRunner().invoke(main, ["prepare", str(tmp_path / "s"), str(tmp_path / "no")], prog_name="skelpipe")
    assert (done.exit_code, done.stderr) == (2, f"skelpipe: {line}\n")
