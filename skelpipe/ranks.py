"""Ranks: processes that train one network together, each on its share of every batch.

They are told who they are by the environment, as torchrun sets it, or `launch` below. Within `joined` they hold the
same weights, average their gradients, and agree on what only one of them sees (a Ctrl-C, the clock). Everything here
does nothing, or gives back what it got, where there is one process alone.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from skelpipe.errors import BadInput
from skelpipe.parallel import cpu_count

GO_ON = "the same command goes on from the last checkpoint"
SILENT = 75  # exit status of a rank that ended because another one did, which has said why
JOINED, SPOKEN = "skelpipe/joined", "skelpipe/spoken"  # counters that all ranks, and `launch`, can reach
GRACE_SECONDS = 20.0  # how long ranks may take to end once one has failed
HEAR_SECONDS = 2.0  # how long a rank that lost another lets that one, or who started it, speak first

_parent = 0  # the process that started this rank


class Lost(BadInput):
    """The connection to another rank is gone."""


def started() -> int:
    """How many ranks were started, by what the environment says."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def speaks() -> bool:
    """Whether this process is the one that tells how it goes: rank 0, by what the environment says, or alone."""
    return started() == 1 or os.environ["RANK"] == "0"


def count() -> int:
    """How many ranks have joined; 1 outside `joined`."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def mine() -> int:
    """The number of this rank, from 0, which alone writes; 0 outside `joined`."""
    return dist.get_rank() if count() > 1 else 0


def abandoned() -> bool:
    """Whether what started this rank has died, so that nobody would hand on a Ctrl-C any more."""
    return count() > 1 and os.getppid() != _parent


# Together ---------------------------------------------------------------------------------------------------------


@contextmanager
def joined() -> Iterator[None]:
    """Meet the other ranks, and part from them at the end.

    When a rank fails, the others lose it and fail too. Only the first of them raises its error; the rest leave by
    SystemExit with status SILENT, so that one cause is told once.

    Raises:
        BadInput: the environment does not say where the ranks meet.
    """
    global _parent
    if started() == 1:
        yield
        return
    _parent = os.getppid()
    try:
        store, rank, world = next(dist.rendezvous("env://"))  # type: ignore[attr-defined]
    except ValueError as error:
        what = f"there are {started()} ranks by WORLD_SIZE, but {error}"
        raise BadInput("environment", what, "start them by --gpus or torchrun") from None
    # A backend for each kind of device, since votes are cast on the CPU while gradients lie on the GPU.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=world)
    store.add(JOINED, 1)
    try:
        yield
    except BaseException as error:
        if isinstance(error, Lost):
            time.sleep(HEAR_SECONDS)
        if backend == "gloo":  # NCCL could wait here for the rank that is gone; the process ends anyway
            dist.destroy_process_group()
        if not _first_to_speak(store):
            raise SystemExit(SILENT) from error
        raise
    dist.destroy_process_group()


def _first_to_speak(store: Any) -> bool:
    try:
        return bool(store.add(SPOKEN, 1) == 1)
    except RuntimeError:  # the store went with the rank that held it, and that one has spoken
        return False


@contextmanager
def _exchange() -> Iterator[None]:
    """Turn the backend's error about a peer that is gone into our own."""
    try:
        yield
    except RuntimeError as error:
        raise Lost(f"rank {mine()}", "has lost another rank", f"see what that one said; {GO_ON}") from error


def anywhere(flag: bool) -> bool:
    """Whether the flag is set in any rank: the same answer in all, which wait for each other here."""
    votes = Votes()
    return votes.cast(flag) or votes.counted()


class Votes:
    """As `anywhere`, called at every step: its answer is that to the call before, which has been on its way meanwhile.

    So nobody waits for the others' votes. The flag must be one that stays set.
    """

    def __init__(self) -> None:
        self.votes: Tensor | None = None
        self.work: Any = None

    def cast(self, flag: bool) -> bool:
        """Vote, and hear what the last vote came to; False at first."""
        if count() == 1:
            return flag
        decided = self.counted()
        self.votes = torch.tensor(int(flag))
        with _exchange():
            self.work = dist.all_reduce(self.votes, dist.ReduceOp.MAX, async_op=True)
        return decided

    def counted(self) -> bool:
        """What the last vote came to."""
        if self.votes is None:
            return False
        with _exchange():
            self.work.wait()
        decided, self.votes = bool(self.votes), None
        return decided


def wait() -> None:
    """Return once all ranks have come here."""
    anywhere(False)


def gather(x: Tensor) -> Tensor:
    """All ranks' rows in the order of the ranks, without gradient: (B, ...) -> (ranks · B, ...)."""
    if count() == 1:
        return x
    whole = x.new_empty(count() * len(x), *x.shape[1:])
    with _exchange():
        dist.all_gather(list(whole.chunk(count())), x.detach().contiguous())
    return whole


def gather_with_gradient(x: Tensor) -> Tensor:
    """As `gather`; every rank's loss has its gradient with respect to every rank's rows."""
    if count() == 1:
        return x
    whole: Tensor = _Gather.apply(x)  # type: ignore[no-untyped-call]
    return whole


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        return gather(x)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> Tensor:
        return add_up(grads[0]).chunk(count())[mine()]


def add_up(x: Tensor) -> Tensor:
    """The sum over the ranks: a new tensor, the same in all."""
    if count() == 1:
        return x
    total = x.detach().clone(memory_format=torch.contiguous_format)
    with _exchange():
        dist.all_reduce(total)
    return total


@torch.no_grad()
def average(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over the ranks, all in one exchange for each type of number.

    One exchange after the backward pass and none within it: the gradients are 4 MB a stream, so hiding their transfer
    would win little.
    """
    if count() == 1:
        return
    for dtype in sorted({tensor.dtype for tensor in tensors}, key=str):
        alike = [tensor for tensor in tensors if tensor.dtype == dtype]
        flat = add_up(torch.cat([tensor.reshape(-1) for tensor in alike])).div_(count())
        parts = torch.split(flat, [tensor.numel() for tensor in alike])
        torch._foreach_copy_(alike, [part.view(tensor.shape) for part, tensor in zip(parts, alike, strict=True)])


# A run's beginning ------------------------------------------------------------------------------------------------


def share(batch_size: int, ranks: int | None = None) -> int:
    """Clips of each batch that fall to each of so many ranks; None takes those that have joined.

    Raises:
        BadInput: the batch cannot be divided.
    """
    ranks = ranks or count()
    if batch_size % ranks:
        what = f"{batch_size} cannot be divided among {ranks} ranks"
        raise BadInput("batch_size", what, "choose a multiple of their number with --set")
    return batch_size // ranks


def crowding(device: str, ranks: int) -> str:
    """What to say of more ranks on the CPU than this process may use cores; "" if they are not more."""
    on_cpu = device == "cpu" or (device == "auto" and not torch.cuda.is_available())
    if not on_cpu or ranks <= cpu_count():
        return ""
    return f"{ranks} ranks on the CPU are more than the cores, of which there are {cpu_count()}"


def device_name(name: str) -> str:
    """The device of this rank, as a single process would name it: its own GPU where there are GPUs, or the CPU.

    Raises:
        BadInput: `name` is one certain device, or there are fewer GPUs than ranks on this machine.
    """
    if count() == 1:
        return name
    if name not in ("auto", "cpu", "cuda"):
        raise BadInput(f"--device {name}", f"is one device, and there are {count()} ranks", "use auto, cpu or cuda")
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return "cpu"
    here, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", count())), torch.cuda.device_count()
    if here > gpus:
        raise BadInput(f"--device {name}", f"{here} ranks need as many GPUs, and there are {gpus}", "start fewer ranks")
    place = f"cuda:{os.environ.get('LOCAL_RANK') or mine()}"
    torch.cuda.set_device(place)
    return place


def threads(asked: int | None) -> int | None:
    """CPU threads of this rank: those asked for, else its part of the cores; None leaves one process all of them."""
    if asked or count() == 1:
        return asked
    return max(1, cpu_count() // int(os.environ.get("LOCAL_WORLD_SIZE", count())))


def check_alike(state: Mapping[str, Tensor], epoch: int, step: int) -> None:
    """Raise BadInput unless all ranks are about to start from the same weights at the same place."""
    if count() == 1:
        return
    digest = hashlib.sha256(f"{epoch} {step}".encode())
    for value in state.values():
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    number = torch.tensor([int.from_bytes(digest.digest()[:7], "big")])
    if len(set(gather(number).tolist())) > 1:
        what = "do not start from the same weights"
        raise BadInput(
            "ranks", what, "give them the same versions of skelpipe and torch, and one RUN that all can read"
        )


def draw_apart(seed: int, epoch: int, step: int) -> None:
    """Give every rank but the first random numbers of its own (dropout masks) from here on."""
    if mine():
        torch.manual_seed(int(np.random.SeedSequence([seed, mine(), epoch, step]).generate_state(1, np.uint64)[0]))


# Starting ranks ---------------------------------------------------------------------------------------------------


def launch(words: Sequence[str], ranks: int) -> int:
    """Run a command as so many ranks on this machine and wait for them; Ctrl-C and SIGTERM are handed on to each.

    Returns:
        The exit status: rank 0's, or that of the rank that failed first.

    Raises:
        BadInput: a rank was killed.
        KeyboardInterrupt: asked to stop before the ranks had met.
    """
    # Held here, it outlives any rank, and no other program can take its port before a rank does.
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    common |= {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks)}
    children: list[subprocess.Popen[bytes]] = []

    def hand_on(number: int, frame: object) -> None:
        early = store.add(JOINED, 0) < ranks  # then nothing was made yet, and nothing would be heard
        for child in children:
            if child.poll() is None:
                child.send_signal(signal.SIGKILL if early else number)
        if early:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for rank in range(ranks):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            # In sessions of their own, or a terminal's Ctrl-C would reach them twice.
            children.append(subprocess.Popen(words, env=os.environ | common | own, start_new_session=True))
        return _outcome(children, store)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for child in children:
            with suppress(ProcessLookupError):
                child.kill()
            child.wait()


def _outcome(children: Sequence[subprocess.Popen[bytes]], store: Any) -> int:
    """Wait until all have ended, at most GRACE_SECONDS after the first that failed."""
    failed, killed = 0.0, None
    while any(child.poll() is None for child in children):
        time.sleep(0.05)
        codes = [child.poll() or 0 for child in children]
        if any(codes) and not failed:
            failed = time.monotonic()
            rank = next((rank for rank, code in enumerate(codes) if code < 0), None)
            if rank is not None and _first_to_speak(store):
                killed = BadInput(f"rank {rank}", f"was killed by {signal.Signals(-codes[rank]).name}", GO_ON)
        if failed and time.monotonic() - failed > GRACE_SECONDS:
            for child in children:
                child.kill()
    if killed is not None:
        raise killed
    codes = [child.returncode for child in children]
    told = [code for code in codes if code > 0 and code != SILENT]
    return told[0] if told else int(any(codes))
