"""What one look has found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["well", "note", "broken"]


@dataclass(frozen=True)
class Check:
    """A line of what `skelpipe doctor` says.

    Attributes:
        name: what was looked at.
        state: "broken" where a command would fail, "note" where one would be slower or lack something.
        text: what is there.
        remedy: what to do about it; not empty unless all is well.
        facts: the same for a program.
    """

    name: str
    state: State
    text: str
    remedy: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
