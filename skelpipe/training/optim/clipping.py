"""Gradients are kept small: by the norm of all, by that of each module, or number by number."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pydantic import Field, field_validator
from torch import nn

from skelpipe.errors import hint
from skelpipe.methods.network import Network
from skelpipe.settings import Settings


def by_global_norm(method: nn.Module, at: float) -> None:
    """Scale all gradients together so that their norm is at most `at` (Pascanu et al., ICML 2013, Algorithm 1)."""
    nn.utils.clip_grad_norm_(method.parameters(), at)


def by_module_norm(method: nn.Module, at: float) -> None:
    """The same for the encoder and each head by itself, and for what belongs to none of them."""
    seen: set[int] = set()
    for module in (*parts(method), method):
        own = [p for p in module.parameters() if p.grad is not None and id(p) not in seen]
        seen.update(map(id, own))  # streams may share a head, which is scaled once
        nn.utils.clip_grad_norm_(own, at)


def by_value(method: nn.Module, at: float) -> None:
    """Limit each number of the gradients to ±`at`."""
    nn.utils.clip_grad_value_(method.parameters(), at)


CLIPPINGS: dict[str, Callable[[nn.Module, float], None]] = {
    "global_norm": by_global_norm, "module_norm": by_module_norm, "value": by_value,
}  # fmt: skip


class Clipping(Settings):
    """What a recipe says of clipping.

    Attributes:
        by: key of CLIPPINGS.
        at: the limit.
    """

    by: str
    at: float = Field(gt=0)

    @field_validator("by")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in CLIPPINGS:
            raise ValueError(f"unknown name {value!r}{hint(value, CLIPPINGS)}, known are {', '.join(CLIPPINGS)}")
        return value


def clip_gradients(method: nn.Module, options: Clipping) -> None:
    """Clip the gradients that a method's parameters hold, in place; nothing waits for the device."""
    CLIPPINGS[options.by](method, options.at)


def parts(method: nn.Module) -> Iterator[nn.Module]:
    """A method's encoders and heads: its modules, with networks and collections of modules taken apart."""
    for module in method.children():
        holds_others = isinstance(module, Network | nn.ModuleDict | nn.ModuleList) or any(
            isinstance(inner, Network) for inner in module.children()
        )
        yield from parts(module) if holds_others else (module,)
