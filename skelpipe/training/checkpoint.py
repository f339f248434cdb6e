"""What a run can go on from, and the weights that it leaves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError

from skelpipe import __version__, ranks
from skelpipe.errors import BadInput, refusing
from skelpipe.outputs.files import write_bytes
from skelpipe.training.torch_files import read_saved

Event = dict[str, Any]
EPOCH = "epoch"  # key of the metadata of a file of weights


class Position:
    """Where training stands: the epoch (from 1), the steps taken in it, and the sums of its log.

    Attributes:
        checkpoint: where it is kept, once it is.
    """

    def __init__(self, checkpoint: Path | None = None) -> None:
        self.epoch, self.step, self.seconds, self.log_bytes = 1, 0, 0.0, 0
        self.checkpoint = checkpoint
        self.sums: dict[str, torch.Tensor] = {}

    def add(self, values: dict[str, torch.Tensor]) -> None:
        """Count a step; the sums stay on the device, so nothing waits for it."""
        self.step += 1
        for name, value in values.items():
            self.sums[name] = value.double() + self.sums[name] if name in self.sums else value.double()

    def pool(self) -> None:
        """Replace the sums by their means over the ranks, which may be done at any time, since adding is linear."""
        if ranks.count() > 1 and self.sums:
            total = torch.stack(list(self.sums.values()))
            ranks.average([total])
            self.sums = dict(zip(self.sums, total.unbind(), strict=True))

    def means(self) -> dict[str, float | None]:
        """The epoch's averages so far; what was never a number is None."""
        means = {name: float(total) / max(1, self.step) for name, total in self.sums.items()}
        if not math.isfinite(means["loss"]):
            raise self.diverged(f"the loss is {means['loss']}")
        return {name: value if math.isfinite(value) else None for name, value in means.items()}

    def diverged(self, what: str) -> BadInput:
        """What to say of numbers that are none."""
        kept = self.checkpoint is not None and self.checkpoint.exists()
        last = "the last checkpoint is kept" if kept else "there is no checkpoint yet"
        remedy = f"lower the rate (--set optimizer.lr=…) or use --precision fp32; {last}"
        return BadInput(f"epoch {self.epoch}, step {self.step}", what, remedy)

    def event(self, epochs: int, steps: int, rate: float) -> Event:
        """What a progress display shows; reading the loss waits for the device, so it is read ten times an epoch.

        Where there are several ranks all must call this, for they then pool their sums.
        """
        event: Event = {"epoch": self.epoch, "epochs": epochs, "step": self.step, "steps": steps}
        if self.step % max(1, steps // 10) == 0 or self.step == steps:
            self.pool()
            event |= {"loss": self.means()["loss"], "clips_per_second": rate}
        return event

    def next_epoch(self) -> None:
        """Start the sums anew."""
        self.epoch, self.step, self.seconds, self.sums = self.epoch + 1, 0, 0.0, {}


def kept_weights(epoch: int) -> str:
    """The file of the weights that `keep_every` has kept."""
    return f"weights-{epoch:04d}.safetensors"


class Watching(Protocol):
    """What watches held-out clips, as far as a checkpoint keeps it."""

    def state(self) -> dict[str, Any]: ...

    def load(self, state: dict[str, Any]) -> None: ...


def save_checkpoint(
    path: Path,
    method: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    at: Position,
    device: torch.device,
    watch: Watching | None = None,
) -> None:
    """Write everything that resuming needs: networks, queue, optimiser, random state, position, sums, and a watch."""
    import io

    state = {
        "skelpipe": __version__,
        "method": method.state_dict(),
        "optimizer": optimizer.state_dict(),
        "cpu_random": torch.get_rng_state(),
        "cuda_random": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "position": {"epoch": at.epoch, "step": at.step, "seconds": at.seconds, "log_bytes": at.log_bytes},
        "sums": at.sums,
        **({} if watch is None else {"held_out": watch.state()}),
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_bytes(path, buffer.getvalue())


def load_checkpoint(
    path: Path,
    method: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
    watch: Watching | None = None,
) -> Position:
    """Put back what `save_checkpoint` wrote.

    Raises:
        BadInput: the file is damaged or does not fit.
    """
    with refusing(path, "cannot be resumed from", "delete it to start this run anew"):
        state: dict[str, Any] = read_saved(path)
        method.load_state_dict(state["method"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["cpu_random"])
        if device.type == "cuda" and state["cuda_random"] is not None:
            torch.cuda.set_rng_state(state["cuda_random"], device)
        if watch is not None and "held_out" in state:
            watch.load(state["held_out"])
        at = Position(path)
        vars(at).update(state["position"])
        at.sums = {name: value.to(device) for name, value in state["sums"].items()}
    return at


def save_weights(path: Path, method: torch.nn.Module, epoch: int | None = None) -> None:
    """Write the query network (encoder and projector), or those of all streams, as safetensors; see `write_weights`."""
    write_weights(path, evaluated_weights(method), epoch)


def evaluated_weights(method: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of the weights of the network that is evaluated, or of those of all streams, in the CPU's memory."""
    network: Any = method.evaluated
    # Cloned, because streams may share a head, and the format refuses shared memory.
    return {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in network.state_dict().items()
    }


def write_weights(path: Path, weights: dict[str, torch.Tensor], epoch: int | None = None) -> None:
    """Write weights as safetensors.

    Args:
        epoch: how many epochs they have seen, where that is not the length of their run.
    """
    from safetensors.torch import save

    write_bytes(path, save(weights, None if epoch is None else {EPOCH: str(epoch)}))


def weights_epoch(path: Path) -> int | None:
    """The epoch that is written in a file of weights: where its run ended early, or kept its best."""
    from safetensors import safe_open

    try:
        with safe_open(path, "pt") as file:
            return int((file.metadata() or {})[EPOCH])
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
