"""The linear classifier that a run may carry beside its encoder, as a file of linear evaluation has it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from skelpipe.errors import refusing
from skelpipe.outputs.checksums import check_files
from skelpipe.outputs.files import write_bytes

CLASSIFIER = "classifier.safetensors"


def write_classifiers(run: Path, classifiers: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Write the classifier of each stream, `weight` (classes, H), or (classes, H, 1, 1), and `bias` (classes,).

    Where there is none, there is no file.
    """
    from safetensors.torch import save

    if not classifiers:
        return

    tensors = {f"{stream}.{name}": v.contiguous() for stream, one in classifiers.items() for name, v in one.items()}
    write_bytes(run / CLASSIFIER, save(tensors))


def has_classifier(run: Path) -> bool:
    """Whether a run carries one."""
    return (run / CLASSIFIER).is_file()


def read_tensors(run: Path, stream: str) -> dict[str, Tensor]:
    """The classifier of a stream as it was written.

    Raises:
        BadInput: the file is damaged, or has none of that stream.
    """
    from safetensors.torch import load_file

    check_files(run, CLASSIFIER, "import these weights again")
    with refusing(run / CLASSIFIER, "cannot be loaded", "import these weights again"):
        tensors = load_file(run / CLASSIFIER)
        return {name: tensors[f"{stream}.{name}"] for name in ("weight", "bias")}


def read_classifier(run: Path, stream: str) -> nn.Linear:
    """The classifier of a stream, features (N, H) -> scores (N, classes), without gradients.

    Raises:
        BadInput: the file is damaged, or has none of that stream.
    """
    found = {name: value.float() for name, value in read_tensors(run, stream).items()}
    weight = found["weight"].flatten(1)
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": found["bias"]})
    return layer.eval().requires_grad_(False)
