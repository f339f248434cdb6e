"""A model: a trained encoder with a head that tells classes, and all that is needed to show it other recordings.

An evaluation keeps one for each protocol that has trained or used a classifier, as two files in its folder:
`model_PROTOCOL.json`, what `Facts` has, and `model_PROTOCOL.safetensors`, the weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from torch import Tensor, nn

from skelpipe import settings as checking
from skelpipe.errors import BadInput, refusing
from skelpipe.inspect.kept import files_of
from skelpipe.layouts import layout_of
from skelpipe.layouts.base import Layout
from skelpipe.methods.network import Network
from skelpipe.outputs.checksums import check_files
from skelpipe.outputs.files import write_bytes, write_json
from skelpipe.settings import Settings
from skelpipe.training.confidence import Calibration, Distance, Unseen
from skelpipe.training.recipe import Recipe

AGAIN = "evaluate the run again"


class Head(nn.Module):
    """A linear classifier: features (B, D) -> scores (B, K), float32.

    Args:
        weight: (K, D).
        bias: (K,).
        mean, scale: (D,), where the classifier was trained on (feature - mean) / scale; None: on features as they are.
    """

    weight: Tensor
    bias: Tensor
    mean: Tensor | None
    scale: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor, mean: Tensor | None = None, scale: Tensor | None = None) -> None:
        super().__init__()
        for name, value in (("weight", weight), ("bias", bias), ("mean", mean), ("scale", scale)):
            self.register_buffer(name, None if value is None else value.detach().float().cpu().clone())

    @classmethod
    def of(cls, layer: nn.Module) -> Head:
        """That of a linear layer."""
        assert isinstance(layer, nn.Linear)
        return cls(layer.weight, layer.bias)

    def after(self, mean: Tensor, scale: Tensor) -> Head:
        """The same classifier of features that are standardised by these first."""
        return Head(self.weight, self.bias, mean, scale)

    def only(self, classes: Sequence[int] | None) -> Head:
        """The same classifier of some classes, in that order; None: of all."""
        if classes is None:
            return self
        return Head(self.weight[list(classes)], self.bias[list(classes)], self.mean, self.scale)

    def forward(self, h: Tensor) -> Tensor:
        if self.mean is not None and self.scale is not None:
            # Apart from the weights: folded into them, a tiny scale would cost the digits that tell clips apart.
            h = (h - self.mean) / self.scale
        return nn.functional.linear(h, self.weight, self.bias)


class Classifier(nn.Module):
    """Clips (B, C, T, V, M), as the encoder is to see them -> scores (B, K) and features (B, D), both float32.

    Args:
        network: whose encoder gives the features.
        head: None where the network scores clips by itself; then D is 0.
        segments: of how many parts in time a feature consists.
        columns: which of the network's own scores are meant, in that order; None: all.
    """

    def __init__(
        self, network: Network, head: Head | None = None, segments: int = 1, columns: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        self.network, self.head, self.segments = network, head, segments
        self.columns = None if columns is None else list(columns)

    @property
    def uses_lengths(self) -> bool:
        """Whether it looks at how many frames of a clip are its own."""
        return self.network.uses_lengths

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Score clips, of which the first `lengths` (B,) frames count."""
        if self.head is None:
            scores = self.network.scores(x, lengths).float()
            return (scores if self.columns is None else scores[:, self.columns]), x.new_empty((len(x), 0))
        h = self.network.segments(x, self.segments, lengths).float()
        return self.head(h), h


@dataclass(frozen=True)
class Kept:
    """What a protocol leaves of its classifier.

    Attributes:
        head: see `Classifier`.
        network: the encoder that it stands on; None: the run's, frozen.
        columns: see `Classifier`.
        calibration: by clips that were held out; None where none were.
        distance: likewise; None also where there are no features.
        measured: the clips by which the distances were measured.
    """

    head: Head | None
    network: Network | None = None
    columns: tuple[int, ...] | None = None
    calibration: Calibration | None = None
    distance: Distance | None = None
    measured: Unseen | None = None


class Facts(Settings):
    """What a model says of itself.

    Attributes:
        protocol: how the head was come by: linear, finetune, transfer, supervised.
        classes: what its scores are of, in order.
        numbers: their labels in the data set, from 0.
        dataset: as `datasets.dataset_attributes` gives it.
        split: whose training clips it has learnt from.
        layout: as `layouts.attributes_of` gives it.
        stream: the network's.
        prepared: how its clips were prepared, as `preparation_of` gives it.
        read: how the recordings that they were made of were read, as their store notes it.
        recipe: of the run, whole.
        run_classes: how many the run's own classifier has.
        epoch, seed: of the run.
        head: "linear", or "own" where the network scores clips by itself.
        columns: see `Classifier`.
        cautions: what every prediction has to say.
        calibration: by clips that were held out; None where none were.
        distance: the clips by which its distances were measured; None where it has none.
    """

    LATER = ("calibration", "distance")

    format_version: Literal[1] = 1
    protocol: str
    classes: tuple[str, ...]
    numbers: tuple[int, ...]
    dataset: dict[str, Any]
    split: str
    layout: dict[str, Any]
    stream: str
    prepared: dict[str, Any]
    read: dict[str, Any] = Field(default_factory=dict)
    recipe: dict[str, Any]
    run_classes: int
    epoch: int
    seed: int
    head: Literal["linear", "own"]
    columns: tuple[int, ...] | None = None
    cautions: tuple[str, ...] = ()
    calibration: Calibration | None = None
    distance: Unseen | None = None


@dataclass(frozen=True)
class Model:
    """A model, open.

    Attributes:
        path: where it lies, for messages.
        facts: what it says of itself.
        recipe: of its run.
        layout: whose joints it was trained on.
        classifier: frozen, in eval mode, on the CPU.
        distance: how far clips are from its classes; None where that is not known.
    """

    path: Path
    facts: Facts
    recipe: Recipe
    layout: Layout
    classifier: Classifier
    distance: Distance | None = None


def write_model(folder: Path, facts: Facts, classifier: Classifier, distance: Distance | None = None) -> None:
    """Write a model's two files into the folder of an evaluation that is being made."""
    from safetensors.torch import save

    name, weights = files_of(facts.protocol)
    state = classifier.network.state_dict() if classifier.head is None else classifier.network.encoder.state_dict()
    tensors = {f"network.{key}": value for key, value in state.items()}
    tensors |= {} if classifier.head is None else {f"head.{k}": v for k, v in classifier.head.state_dict().items()}
    tensors |= {} if distance is None else distance.tensors()
    write_bytes(folder / weights, save({key: value.detach().cpu().contiguous() for key, value in tensors.items()}))
    write_json(folder / name, facts.model_dump(mode="json"))


def read_model(folder: Path, protocol: str) -> Model:
    """Open the model that an evaluation has kept of a protocol.

    Raises:
        BadInput: its files are damaged, or its weights are not those of its recipe.
    """
    from safetensors.torch import load_file

    name, weights = files_of(protocol)
    check_files(folder, lambda each: each in (name, weights), AGAIN)
    try:
        facts = read_facts(json.loads((folder / name).read_text()), folder / name)
    except (OSError, ValueError) as error:
        raise BadInput(folder / name, f"cannot be read ({error})", AGAIN) from None
    recipe, layout = recipe_and_layout(facts, folder / name, AGAIN)
    with refusing(folder / weights, "cannot be loaded", AGAIN):
        tensors = load_file(folder / weights)
        classifier, distance = build_classifier(facts, recipe, layout, tensors), Distance.among(tensors)
    return Model(folder, facts, recipe, layout, frozen(classifier), distance)


def read_facts(data: Mapping[str, Any], where: str | Path) -> Facts:
    """What a model says of itself, checked.

    Raises:
        BadInput: something is missing, or of another kind.
    """
    return checking.check(Facts, dict(data), where)


def recipe_and_layout(facts: Facts, where: str | Path, remedy: str) -> tuple[Recipe, Layout]:
    """The recipe of a model's run, and the layout that it was trained on.

    Raises:
        BadInput: the recipe does not check, or no such layout is known.
    """
    recipe = checking.check(Recipe, facts.recipe, where)
    try:
        return recipe, layout_of(facts.layout, where)
    except KeyError as error:
        raise BadInput(where, f"has no layout that is known ({error})", remedy) from None


def build_classifier(facts: Facts, recipe: Recipe, layout: Layout, tensors: Mapping[str, Tensor]) -> Classifier:
    """The classifier of `write_model`'s tensors; raises KeyError or RuntimeError where they do not fit."""
    network = evaluated_network(recipe, layout, facts.run_classes, facts.stream)
    own = {key.removeprefix("network."): value for key, value in tensors.items() if key.startswith("network.")}
    if facts.head == "own":
        network.load_state_dict(own)
        return Classifier(network, columns=facts.columns)
    network.encoder.load_state_dict(own)
    head = Head(tensors["head.weight"], tensors["head.bias"], tensors.get("head.mean"), tensors.get("head.scale"))
    return Classifier(network, head, segments_of(network, head))


def segments_of(network: Network, head: Head | None) -> int:
    """Of how many parts in time the features consist that a head is for: a finetuned one's are of whole clips."""
    size: Any = network.encoder.features
    return 1 if head is None else int(head.weight.shape[1] // size)


def evaluated_network(recipe: Recipe, layout: Layout, classes: int, stream: str) -> Network:
    """A fresh network of those that a method of the recipe has measured, in a run of several streams that of one."""
    evaluated: Any = recipe.build_method(layout, classes).evaluated
    network: Network = evaluated[stream] if recipe.streams else evaluated
    return network


def frozen(classifier: Classifier) -> Classifier:
    """The same in eval mode, without gradients; its weights are not to change any more."""
    found: Classifier = classifier.eval().requires_grad_(False)
    for module in found.modules():
        if callable(settle := getattr(module, "settle", None)):
            settle()
    return found
