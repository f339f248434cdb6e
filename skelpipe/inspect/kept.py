"""Which models an evaluation has kept, by the names of their files."""

from __future__ import annotations

from pathlib import Path

PREFIX = "model_"
MODELS = f"{PREFIX}*.json"


def files_of(protocol: str) -> tuple[str, str]:
    """The names of a model's two files in the folder of its evaluation: what it says of itself, and its weights."""
    return f"{PREFIX}{protocol}.json", f"{PREFIX}{protocol}.safetensors"


def kept_in(folder: Path) -> list[str]:
    """The protocols whose models lie in the folder of an evaluation."""
    return sorted(path.stem.removeprefix(PREFIX) for path in folder.glob(MODELS))
