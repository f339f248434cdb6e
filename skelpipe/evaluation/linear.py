"""The linear protocol: one linear layer on frozen features."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from skelpipe.clips.balance import class_weights
from skelpipe.clips.views import build_view
from skelpipe.evaluation.calibrate import with_confidence
from skelpipe.evaluation.descent import Descent, Solver
from skelpipe.evaluation.features import Features, encode
from skelpipe.evaluation.protocol import Outcome, Setup
from skelpipe.evaluation.stated import LinearOptions, StatedProbe
from skelpipe.methods.supervised import cross_entropy
from skelpipe.recordings.datasets.held_out import hold_out
from skelpipe.settings import whole
from skelpipe.training.model import Head, Kept

EPOCHS, LAST_HIGH_EPOCH, BATCH, TEST_EVERY = 100, 80, 128, 5
RATES = {"reference": 3.0, "paper": 0.3}
GRID = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
HELD_OUT = 0.1  # of the training clips, in whole persons or videos
PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
COLLAPSED = 0.75  # of the loss of guessing, on the probe's own training clips


@dataclass(frozen=True)
class Data:
    """Features and classes on the device, and what each clip counts in the loss; None: all alike."""

    x: Tensor
    y: Tensor
    weight: Tensor | None = None

    def __getitem__(self, rows: Tensor) -> Data:
        return Data(self.x[rows], self.y[rows])

    def balanced(self) -> Data:
        """The same, the clips of small classes counting more; see `class_weights`."""
        return Data(self.x, self.y, torch.from_numpy(class_weights(self.y.cpu().numpy())).to(self.x))


def linear(features: Features, setup: Setup) -> Outcome:
    """Train a linear classifier on the training clips' features and score the test clips.

    `probe="reference"` is the protocol of the public code: SGD, rate 3.0 and 0.3 after epoch 80, momentum 0.9, no
    decay, 100 epochs, batches of 128, the rest of an epoch left out; "paper" prints 0.3 and 0.03. Both are brittle: on
    features of small scale they stay near chance. "lbfgs" standardises the features and solves the penalised problem,
    its penalty chosen on validation. "grid" is the SGD probe at the rate, of 0.01 to 30, that does best on validation;
    of equal rates the lowest. It is then trained anew on all training clips. "stated" is trained as the protocol's
    options say, see `LinearOptions`, which is how a recipe brings its authors' probe.

    With the option `balance=weights` each of them weighs the training clips by inverse class frequency.

    The accuracy is that of the last epoch. Beside it stands that of the epoch which a second probe, trained without the
    validation part of the training clips, found best ("lbfgs" and "grid" use that part to choose what is said above);
    the test clips choose nothing unless `best_on_test` is set.

    The scores of the validation part, by a probe that was trained without it as the one that is kept was with it, give
    the temperature of the model; see `with_confidence`.
    """
    x = torch.from_numpy(features.feature).to(setup.device)
    data = Data(x, torch.from_numpy(features.label).to(setup.device))
    train = torch.from_numpy(np.flatnonzero(features.train)).to(setup.device)
    test = torch.from_numpy(np.flatnonzero(~features.train)).to(setup.device)
    left_out = validation_part(features, setup.seed)
    held = torch.from_numpy(left_out).to(setup.device)
    fitted, fit, looked_at, tested = data[train], data[train[~held]], data[train[held]], data[test]
    if weighted(setup):
        fitted, fit = fitted.balanced(), fit.balanced()
    if setup.probe == "stated":
        outcome = as_stated(fitted, fit, looked_at, tested, setup, partial(seen_anew, features, setup, ~held))
    else:
        outcome = {"lbfgs": solve, "grid": search}.get(setup.probe, descend)(fitted, fit, looked_at, tested, setup)
        if weighted(setup):
            outcome.figures["settings"] = {"balance": "weights"}
    stated_anew = setup.probe == "stated" and options_of(setup).view
    again = None if stated_anew else partial(without, outcome, data[train], setup)
    return with_confidence(outcome, features, left_out, setup, again)


def without(outcome: Outcome, train: Data, setup: Setup, held: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """The scores of the training clips `held` by the probe that has given an outcome, trained without them."""
    assert outcome.kept is not None
    head: Any = outcome.kept.head
    if head.mean is not None:
        train = replace(train, x=(train.x - head.mean.to(train.x)) / head.scale.to(train.x))
    rows = torch.from_numpy(held).to(setup.device)
    fit = train[~rows].balanced() if weighted(setup) else train[~rows]
    if setup.probe == "lbfgs":
        layer = lbfgs_probe(fit, outcome.figures["penalty"], setup.classes)
    elif setup.probe == "stated":
        options = options_of(setup)
        probe = StatedProbe(fit.x.shape[1], setup.classes, options, len(fit.y), setup.seed, setup.device)
        for epoch in range(1, options.epochs + 1):
            probe.epoch(fit, epoch)
        layer = probe.layer
    else:
        rate = RATES.get(setup.probe) or outcome.figures["rate"]
        layer, _ = sgd_probe(fit, rate, setup, lambda: None)
    return scores(layer, train[rows])


def options_of(setup: Setup) -> LinearOptions:
    """The protocol's options, or their defaults."""
    options: Any = setup.options.get("linear") or LinearOptions()
    return options  # type: ignore[no-any-return]


def weighted(setup: Setup) -> bool:
    """Whether the classes weigh the same."""
    return options_of(setup).balance == "weights"


def judging(setup: Setup) -> tuple[str, Callable[[nn.Linear, Data], float]]:
    """By what a choice is made on validation: its name in `metrics.json`, and the function."""
    return ("validation_balanced", balanced_accuracy) if weighted(setup) else ("validation_top1", accuracy)


def validation_part(features: Features, seed: int) -> npt.NDArray[np.bool_]:
    """Which training clips are held out for validation: a tenth, in whole groups; see `hold_out`."""
    return hold_out(features.group[features.train], HELD_OUT, seed)


def descend(train: Data, fit: Data, held: Data, test: Data, setup: Setup) -> Outcome:
    """The SGD probes; see `linear`."""
    rate = RATES[setup.probe]
    tick = Ticks(setup, 2 * EPOCHS)
    on_test: dict[int, float] = {}
    on_held: dict[int, float] = {}
    layer, loss = sgd_probe(train, rate, setup, tick, partial(note, on_test, test))
    named, judge = judging(setup)
    other, _ = sgd_probe(fit, rate, setup, tick, partial(note, on_held, held, judge=judge))
    best = max(on_held, key=lambda epoch: (on_held[epoch], epoch))
    figures: dict[str, Any] = {
        "probe": setup.probe,
        "train_loss": loss,
        "train_top1": accuracy(layer, train),
        "best_on_validation": {"epoch": best, named: on_held[best], "top1": on_test[best]},
    }
    return descended(layer, loss, rate, on_test, figures, train, test, setup, scores(other, held))


def search(train: Data, fit: Data, held: Data, test: Data, setup: Setup) -> Outcome:
    """The SGD probe at the best rate of GRID; see `linear`."""
    tick = Ticks(setup, (len(GRID) + 1) * EPOCHS)
    named, judge = judging(setup)
    others = {rate: sgd_probe(fit, rate, setup, tick)[0] for rate in GRID}
    on_held = {rate: judge(other, held) for rate, other in others.items()}
    best = max(on_held, key=lambda rate: (on_held[rate], -rate))
    on_test: dict[int, float] = {}
    layer, loss = sgd_probe(train, best, setup, tick, partial(note, on_test, test))
    figures: dict[str, Any] = {
        "probe": "grid",
        "rate": best,
        "train_loss": loss,
        "train_top1": accuracy(layer, train),
        named: on_held[best],
    }
    return descended(layer, loss, best, on_test, figures, train, test, setup, scores(others[best], held))


def as_stated(
    train: Data, fit: Data, held: Data, test: Data, setup: Setup, anew: Callable[[int, Data, Data], tuple[Data, Data]]
) -> Outcome:
    """The probe that the options describe; `anew` gives the clips of an epoch in a view of their own."""
    options = options_of(setup)
    tick = Ticks(setup, options.epochs)
    size, seed, device = train.x.shape[1], setup.seed, setup.device
    # Side by side, so that views are made and embedded once for both.
    probe, other = (StatedProbe(size, setup.classes, options, len(own.y), seed, device) for own in (train, fit))
    on_test: dict[int, float] = {}
    on_held: dict[int, float] = {}
    named, judge = judging(setup)
    loss = math.nan
    for epoch in range(1, options.epochs + 1):
        seen, fewer = anew(epoch, train, fit) if options.view else (train, fit)
        loss = probe.epoch(seen, epoch)
        other.epoch(fewer, epoch)
        note(on_test, test, epoch, probe.layer)
        note(on_held, held, epoch, other.layer, judge)
        tick()
    best = max(on_held, key=lambda epoch: (on_held[epoch], epoch))
    figures: dict[str, Any] = {
        "probe": "stated",
        "settings": whole(options),
        "train_loss": loss,
        "train_top1": accuracy(probe.layer, train),
        "best_on_validation": {"epoch": best, named: on_held[best], "top1": on_test[best]},
    }
    rate, unseen = options.optimizer.lr, scores(other.layer, held)
    return descended(probe.layer, loss, rate, on_test, figures, train, test, setup, unseen, options.epochs)


def seen_anew(
    features: Features, setup: Setup, fitted: Tensor, epoch: int, train: Data, fit: Data
) -> tuple[Data, Data]:
    """All training clips, and those that are `fitted`, in the options' view as an epoch draws it.

    Raises:
        BadInput: the view does not fit the clips.
    """
    assert setup.run is not None
    assert setup.clips is not None
    view = build_view(options_of(setup).view)
    x = encode(setup.run, setup.clips, features.row[features.train], view=view, epoch=epoch)
    found = torch.from_numpy(x).to(setup.device)
    return replace(train, x=found), replace(fit, x=found[fitted])


def descended(
    layer: nn.Linear,
    loss: float,
    rate: float,
    on_test: dict[int, float],
    figures: dict[str, Any],
    train: Data,
    test: Data,
    setup: Setup,
    unseen: npt.NDArray[np.float64],
    epochs: int | None = None,
) -> Outcome:
    """The outcome of an SGD probe: the best epoch on the test clips if it is asked for, and whether it collapsed."""
    if setup.best_on_test:
        figures["best_on_test"] = best_epoch(on_test)
    warnings = []
    if not loss < collapse_loss(train.y):
        warnings.append(
            f"the {setup.probe} probe has collapsed: after {epochs or EPOCHS} epochs it knows only "
            f"{figures['train_top1']:.1%} of its own training clips (loss {loss:.2f}); the features' scale "
            f"(deviation {float(train.x.std(0).mean()):.2g}) does not suit its rate {rate:g}: use --probe lbfgs"
        )
    return Outcome(scores(layer, test), figures, warnings, Kept(Head.of(layer)), unseen)


def best_epoch(on_test: Mapping[int, float]) -> dict[str, Any]:
    """The epoch of the highest accuracy, of equal ones the latest, as reports read it."""
    best = max(on_test, key=lambda epoch: (on_test[epoch], epoch))
    return {"epoch": best, "top1": on_test[best]}


def collapse_loss(labels: Tensor) -> float:
    """The training loss from which on a classifier counts as collapsed."""
    return COLLAPSED * math.log(max(2, len(torch.unique(labels))))


class Ticks:
    """Counts the epochs of a protocol's trainings and tells its progress."""

    def __init__(self, setup: Setup, total: int) -> None:
        self.progress, self.done, self.total = setup.progress, 0, total

    def __call__(self) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)


@torch.no_grad()
def sgd_probe(
    data: Data,
    rate: float,
    setup: Setup,
    tick: Callable[[], None],
    look: Callable[[int, nn.Linear], None] | None = None,
) -> tuple[nn.Linear, float]:
    """Train one probe; `look` is called every five epochs. Returns it and the mean loss of its last epoch."""
    generator = torch.Generator().manual_seed(setup.seed)
    layer = nn.Linear(data.x.shape[1], setup.classes)
    nn.init.normal_(layer.weight, 0.0, 0.02, generator=generator)
    nn.init.zeros_(layer.bias)
    layer = layer.to(setup.device)
    descent = Descent(layer)
    batch = min(BATCH, len(data.y))
    steps = len(data.y) // batch
    weight = None if data.weight is None else torch.empty_like(data.weight)
    shuffled = Data(torch.empty_like(data.x), torch.empty_like(data.y), weight)
    total = torch.zeros((), device=setup.device)
    for epoch in range(1, EPOCHS + 1):
        order = torch.randperm(len(data.y), generator=generator).to(setup.device)
        for all_of_it, mixed in ((data.x, shuffled.x), (data.y, shuffled.y)):
            torch.index_select(all_of_it, 0, order, out=mixed)
        if data.weight is not None and weight is not None:
            torch.index_select(data.weight, 0, order, out=weight)
        for start in range(0, steps * batch, batch):
            x, y = shuffled.x[start : start + batch], shuffled.y[start : start + batch, None]
            w = None if weight is None else weight[start : start + batch, None]
            log_p = descent.step(x, y, rate if epoch <= LAST_HIGH_EPOCH else rate * 0.1, w)
            if epoch == EPOCHS:
                own = log_p.gather(1, y)
                total -= (own if w is None else w * own).mean()
        if look is not None and epoch % TEST_EVERY == 0:
            look(epoch, layer)
        tick()
    return layer, float(total) / steps


def solve(train: Data, fit: Data, held: Data, test: Data, setup: Setup) -> Outcome:
    """Multinomial logistic regression by L-BFGS on standardised features; see `linear`."""
    mean, scale = spread(train.x)
    train, fit, held, test = (replace(part, x=(part.x - mean) / scale) for part in (train, fit, held, test))
    outcome = penalised(train, fit, held, test, setup)
    assert outcome.kept is not None
    assert outcome.kept.head is not None
    return replace(outcome, kept=Kept(outcome.kept.head.after(mean, scale)))


def standardised(x: Tensor, by: Tensor) -> Tensor:
    """Features x (n, D) less the mean of those in `by` (m, D), over their standard deviation."""
    mean, scale = spread(by)
    return (x - mean) / scale


def spread(x: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and the standard deviation of features x (n, D), by which they are standardised: (D,) each."""
    return x.mean(0), x.std(0).clamp_min(1e-12)


def penalised(train: Data, fit: Data, held: Data, test: Data, setup: Setup) -> Outcome:
    """The same of features as they are: the penalty, of PENALTIES, is the one that does best on `held` after `fit`."""
    named, judge = judging(setup)
    on_held: dict[float, float] = {}
    others: dict[float, nn.Linear] = {}
    for number, penalty in enumerate(PENALTIES, start=1):
        others[penalty] = lbfgs_probe(fit, penalty, setup.classes)
        on_held[penalty] = judge(others[penalty], held)
        if setup.progress is not None:
            setup.progress(number, len(PENALTIES) + 1)
    best = max(on_held, key=lambda penalty: (on_held[penalty], penalty))
    layer = lbfgs_probe(train, best, setup.classes)
    figures = {
        "probe": "lbfgs",
        "penalty": best,
        "train_top1": accuracy(layer, train),
        named: on_held[best],
    }
    return Outcome(scores(layer, test), figures, [], Kept(Head.of(layer)), scores(others[best], held))


def lbfgs_probe(data: Data, penalty: float, classes: int) -> nn.Linear:
    """Minimise mean cross-entropy + penalty/2 · |W|²."""
    layer = nn.Linear(data.x.shape[1], classes, device=data.x.device)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    solver = Solver(layer.parameters(), max_iter=200, history_size=10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        layer.zero_grad()
        loss = cross_entropy(layer(data.x), data.y, data.weight) + penalty / 2 * layer.weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    solver.step(closure)
    return layer


def note(
    found: dict[int, float],
    data: Data,
    epoch: int,
    layer: nn.Linear,
    judge: Callable[[nn.Linear, Data], float] | None = None,
) -> None:
    """Keep an epoch's accuracy, or another figure."""
    found[epoch] = (judge or accuracy)(layer, data)


def accuracy(layer: nn.Linear, data: Data) -> float:
    """Top-1 as a fraction."""
    return float((logits(layer, data).argmax(1) == data.y).double().mean())


def balanced_accuracy(layer: nn.Linear, data: Data) -> float:
    """The mean of the classes' own top-1, as a fraction."""
    right = (logits(layer, data).argmax(1) == data.y).double()
    count = torch.bincount(data.y)
    own = torch.bincount(data.y, weights=right) / count
    return float(own[count > 0].mean())


def scores(layer: nn.Linear, data: Data) -> npt.NDArray[np.float64]:
    """Logits (n, classes)."""
    return logits(layer, data).cpu().numpy()


@torch.no_grad()
def logits(layer: nn.Linear, data: Data) -> Tensor:
    """(n, classes), summed in float64."""
    return nn.functional.linear(data.x.double(), layer.weight.double(), layer.bias.double())
