"""Probes of features that anybody has computed: nearest neighbours and linear classifiers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from skelpipe.api.arrays import numbers_of
from skelpipe.errors import BadInput
from skelpipe.evaluation.features import Features
from skelpipe.evaluation.knn import knn as run_knn
from skelpipe.evaluation.linear import linear as run_linear
from skelpipe.evaluation.protocol import Probe, Setup
from skelpipe.training.device import choose_device
from skelpipe.training.model import Head

Arrays = npt.NDArray[Any] | Tensor


@dataclass(frozen=True)
class Probed:
    """What a probe says of test features.

    Attributes:
        scores: (m, K) of the classes 0 to the highest label; NumPy or torch, as the test features were.
        head: the linear classifier, features (B, H) -> scores (B, K); None of knn.
        figures: what else there is to tell: the probe, its rate or penalty, its accuracy on its own training clips.
        warnings: such as of a probe that has collapsed.

    Example:
        >>> found = sk.knn(np.eye(3), np.array([0, 1, 2]), np.eye(3)[[2, 0]])
        >>> found.predictions, found.accuracy(np.array([2, 1]))
        (array([2, 0]), 0.5)
    """

    scores: Any
    head: Head | None
    figures: dict[str, Any]
    warnings: tuple[str, ...]

    @property
    def predictions(self) -> Any:
        """(m,) int64, the class of the highest score."""
        return self.scores.argmax(1)

    def accuracy(self, labels: Arrays) -> float:
        """The share of the test features whose class is the prediction."""
        return float((numbers_of(self.predictions) == numbers_of(labels)).mean())


def knn(features: Arrays, labels: Arrays, test_features: Arrays, *, k: int = 1, device: str = "auto") -> Probed:
    """Classes by the nearest neighbours in cosine among the training features, as the protocol knn tells them.

    With k = 1, a class scores the cosine of its nearest training feature; with more, each of the k nearest gives its
    class a vote of e^{cosine / 0.1}. Cosines and votes are float64.

    Args:
        features: (n, H) of training clips, NumPy or torch.
        labels: (n,) their classes, from 0.
        test_features: (m, H).
        k: how many neighbours.
        device: where it is computed.

    Returns:
        Scores (m, K) and what follows from them.

    Raises:
        BadInput: shapes do not fit, or a number is none, or k is below 1.

    Example:
        >>> found = sk.knn(np.eye(3), np.array([0, 1, 2]), np.array([[0.9, 0.1, 0.0]]))
        >>> found.predictions
        array([0])
    """
    if not isinstance(k, int) or k < 1:
        raise BadInput("k", f"{k!r} is no whole number above 0", "use 1 or more neighbours")
    given, setup = _given(features, labels, test_features, None, device, k=k)
    return _probed(run_knn(given, setup), test_features)


def linear_probe(
    features: Arrays,
    labels: Arrays,
    test_features: Arrays,
    *,
    probe: Probe = "lbfgs",
    groups: Any = None,
    seed: int = 0,
    device: str = "auto",
) -> Probed:
    """A linear classifier of frozen features, as the protocol linear trains it.

    "lbfgs" solves penalised logistic regression on standardised features, its penalty chosen on a held-out tenth of the
    training features; "reference" and "paper" are SGD of 100 epochs at the rates 3.0 and 0.3; "grid" chooses the rate.

    Args:
        features: (n, H) of training clips, NumPy or torch.
        labels: (n,) their classes, from 0.
        test_features: (m, H); they choose nothing.
        probe: which.
        groups: (n,) the person of each training clip: whole groups are held out. None: every clip is its own.
        seed: of the held-out part and of SGD.
        device: where it is trained.

    Returns:
        Scores (m, K), and the classifier as `head`.

    Raises:
        BadInput: shapes do not fit, a number is none, there are fewer than two classes, or there is no such probe.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> y = np.arange(60) % 3
        >>> x = np.eye(3)[y] + rng.normal(0, 0.1, (60, 3))
        >>> found = sk.linear_probe(x[:40], y[:40], x[40:])
        >>> found.accuracy(y[40:])
        1.0
    """
    if probe not in ("reference", "paper", "lbfgs", "grid"):
        raise BadInput("probe", f"{probe!r} is not known here", "use lbfgs, reference, paper or grid")
    given, setup = _given(features, labels, test_features, groups, device, probe=probe, seed=seed)
    if setup.classes < 2 or len(np.unique(given.label[given.train])) < 2:
        raise BadInput("labels", "are of one class, between which and others nothing can be told", "give two or more")
    return _probed(run_linear(given, setup), test_features)


def _given(
    features: Arrays, labels: Arrays, test_features: Arrays, groups: Any, device: str, **options: Any
) -> tuple[Features, Setup]:
    """The same as a protocol takes it."""
    train, test = (np.asarray(numbers_of(each), np.float32) for each in (features, test_features))
    label = np.asarray(numbers_of(labels))
    fits = train.ndim == test.ndim == 2 and train.shape[1] == test.shape[1] and label.shape == train.shape[:1]
    if not fits or not len(train):
        shapes = f"{train.shape}, {label.shape} and {test.shape}"
        raise BadInput("features", f"labels and test features have shapes {shapes}", "give (n, H), (n,) and (m, H)")
    if label.dtype.kind not in "iu" or label.min() < 0:
        raise BadInput("labels", "are not whole numbers from 0", "leave out what has no label")
    for name, values in (("features", train), ("test_features", test)):
        if not np.isfinite(values).all():
            raise BadInput(name, "are not all finite", "look at what computed them")
    group = np.arange(len(train)) if groups is None else np.asarray(groups)
    if group.shape != label.shape:
        raise BadInput("groups", f"has shape {group.shape}", f"give {label.shape}, one for each training feature")
    count = len(train) + len(test)
    both = Features(
        name=np.array([f"{n:09}" for n in range(count)]),
        label=np.concatenate([label, np.zeros(len(test), label.dtype)]).astype(np.int64),
        train=np.arange(count) < len(train),
        group=np.concatenate([group, np.full(len(test), group[0], group.dtype)]),
        feature=np.concatenate([train, test]),
        row=np.arange(count),
    )
    return both, Setup(int(label.max()) + 1, choose_device(device), **options)


def _probed(outcome: Any, given: Arrays) -> Probed:
    scores = torch.from_numpy(outcome.scores).to(given.device) if isinstance(given, Tensor) else outcome.scores
    head = None if outcome.kept is None else outcome.kept.head
    return Probed(scores, head, outcome.figures, tuple(outcome.warnings))
