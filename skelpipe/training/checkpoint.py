"""What a run can go on from, and the weights that it leaves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from skelpipe import __version__, ranks
from skelpipe.errors import BadInput
from skelpipe.outputs.files import write_bytes
from skelpipe.training.torch_files import read_saved

Event = dict[str, Any]


class Position:
    """Where training stands: the epoch (from 1), the steps taken in it, and the sums of its log."""

    def __init__(self) -> None:
        self.epoch, self.step, self.seconds, self.log_bytes = 1, 0, 0.0, 0
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
        remedy = "lower the rate (--set optimizer.lr=…) or use --precision fp32; the last checkpoint is kept"
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


def save_checkpoint(
    path: Path, method: torch.nn.Module, sgd: torch.optim.Optimizer, at: Position, device: torch.device
) -> None:
    """Write everything that resuming needs: networks, queue, optimiser, random state, position and sums."""
    import io

    state = {
        "skelpipe": __version__,
        "method": method.state_dict(),
        "optimizer": sgd.state_dict(),
        "cpu_random": torch.get_rng_state(),
        "cuda_random": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "position": {"epoch": at.epoch, "step": at.step, "seconds": at.seconds, "log_bytes": at.log_bytes},
        "sums": at.sums,
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_bytes(path, buffer.getvalue())


def load_checkpoint(path: Path, method: torch.nn.Module, sgd: torch.optim.Optimizer, device: torch.device) -> Position:
    """Put back what `save_checkpoint` wrote.

    Raises:
        BadInput: the file is damaged or does not fit.
    """
    try:
        state: dict[str, Any] = read_saved(path)
        method.load_state_dict(state["method"])
        sgd.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["cpu_random"])
        if device.type == "cuda" and state["cuda_random"] is not None:
            torch.cuda.set_rng_state(state["cuda_random"], device)
        at = Position()
        vars(at).update(state["position"])
        at.sums = {name: value.to(device) for name, value in state["sums"].items()}
    except Exception as error:
        raise BadInput(path, f"cannot be resumed from ({error})", "delete it to start this run anew") from None
    return at


def save_weights(path: Path, method: torch.nn.Module) -> None:
    """Write the query network (encoder and projector), or those of all streams, as safetensors."""
    from safetensors.torch import save

    network: Any = method.evaluated
    # Cloned, because streams may share a head, and the format refuses shared memory.
    state = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in network.state_dict().items()
    }
    write_bytes(path, save(state))
