"""Somebody's own loop of our blocks, and a method, an encoder, … of one's own by a name."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import skelpipe as sk

# ---- a loop of one's own


def test_a_loop_of_ones_own(road):
    torch.manual_seed(0)
    data = sk.ClipsDataset(road / "clips.zarr", "xsub60", views={"query": "normal", "key": "normal"}, stream="bone")

    def network() -> nn.Module:
        encoder = sk.build_encoder("stgcn", layout=data.layout, width=4, features=16)
        return nn.Sequential(encoder, nn.Linear(encoder.features, 8))

    query, key, queue = network(), network(), sk.Queue(8, 16)
    key.load_state_dict(query.state_dict())
    optimizer = torch.optim.SGD(query.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for epoch in range(1, 9):
        data.set_epoch(epoch)
        for batch in DataLoader(data, batch_size=4, shuffle=True, drop_last=True):
            q = nn.functional.normalize(query(batch["query"]), dim=1)
            sk.momentum_update(key, query, 0.99)
            with torch.no_grad():
                k = nn.functional.normalize(key(batch["key"]), dim=1)
            loss = sk.crosnnclr_loss(q, k, queue) if epoch > 4 else sk.info_nce(q, k, queue)
            queue.enqueue(k)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert np.isfinite(losses).all()
    query.eval()
    features = {}
    for part in ("train", "test"):
        clips = sk.ClipsDataset(road / "clips.zarr", "xsub60", part, stream="bone")
        with torch.no_grad():
            features[part] = query[0](torch.stack([item["clip"] for item in clips])), torch.tensor(clips.labels)
    (x, y), (test_x, test_y) = features["train"], features["test"]
    for found in (sk.knn(x, y, test_x), sk.linear_probe(x, y, test_x)):
        assert isinstance(found.scores, torch.Tensor)
        assert len(found.scores) == len(test_x)
        assert 0 <= found.accuracy(test_y) <= 1


def test_training_leaves_torch_as_it_was(road, tmp_path):
    before = torch.get_rng_state(), torch.get_num_threads(), torch.backends.cudnn.deterministic
    recipe = sk.open_run(road / "run").recipe
    run = sk.pretrain(recipe, road / "clips.zarr", tmp_path / "run", split="xsub60", device="cpu", threads=1, epochs=1)
    sk.evaluate(run, road / "clips.zarr", tmp_path / "out", protocols=["knn"], device="cpu", threads=1)
    assert (torch.get_rng_state() == before[0]).all()
    assert (torch.get_num_threads(), torch.backends.cudnn.deterministic) == before[1:]


def test_runs_in_threads_are_what_they_are_alone(road, tmp_path):
    recipe = sk.open_run(road / "run").recipe

    def train(name, seed):
        how: Any = {"split": "xsub60", "device": "cpu", "threads": 1, "epochs": 1, "seed": seed}
        return sk.pretrain(recipe, road / "clips.zarr", tmp_path / name, **how).path

    alone = [train(f"alone{seed}", seed) for seed in (1, 2)]
    with ThreadPoolExecutor(2) as pool:
        side_by_side = [*pool.map(train, ("a", "b"), (1, 2))]
    for one, other in zip(alone, side_by_side, strict=True):
        assert (one / "weights.safetensors").read_bytes() == (other / "weights.safetensors").read_bytes()


def test_what_is_doubtful_is_said(road, tmp_path, caplog):
    probes = ("linear", "knn")
    found = sk.evaluate(
        road / "run", road / "clips.zarr", tmp_path / "out", probe="paper", protocols=probes, device="cpu"
    )
    assert found.warnings
    assert [record.getMessage() for record in caplog.records if record.name == "skelpipe.api.shown"] == [
        *found.warnings
    ]


# ---- names of one's own


class MineOptions(sk.get_method("supervised").Options):  # type: ignore[misc]
    name: Literal["of_mine"] = "of_mine"
    margin: float = 0.5


class Mine(sk.Method):
    """Two views of a clip are to be alike, as VICReg's invariance and variance have it."""

    VIEWS, LOSSES = ("one", "other"), ("alike", "spread")

    def __init__(self, build, size, options, positives, init):
        super().__init__(options)
        self.network = build()

    @property
    def evaluated(self):
        return self.network

    def losses(self, batch, epoch):
        one, other = (self.network(batch.views[name]) for name in self.VIEWS)
        return {"alike": (one - other).square().mean(), "spread": (0.1 - one.std(0)).relu().mean()}


RECIPE = {
    "name": "of_mine",
    "encoder": {"name": "stgcn", "width": 4, "features": 16},
    "method": "mine",
    "projector": {"size": 8},
    "views": {"one": ["crop"], "other": ["shear"]},
    "batch_size": 8,
    "epochs": 2,
}


@pytest.mark.usefixtures("names")
def test_a_method_of_ones_own_goes_the_whole_road(road, tmp_path):
    sk.register("method", "mine", Mine)
    sk.register("method", "mine", Mine)  # the cell is run again
    assert "mine" in sk.list_methods()
    recipe = sk.load_recipe(RECIPE)
    run = sk.pretrain(recipe, road / "clips.zarr", tmp_path / "run", split="xsub60", device="cpu")
    assert {"alike", "spread"} <= {*run.log.columns}
    found = sk.evaluate(run, road / "clips.zarr", tmp_path / "out", protocols=["knn"], device="cpu")
    assert found.facts["method"] == "mine"
    assert sk.load(run, device="cpu").embed(np.zeros((1, 3, 12, 25, 2), "f4")).shape == (1, 16)


@pytest.mark.usefixtures("names")
@pytest.mark.filterwarnings("error")
def test_an_edited_method_is_not_taken_for_what_it_was(road, tmp_path, caplog):
    def edited(weight):
        class Edited(Mine):
            def losses(self, batch, epoch):
                return {name: weight * loss for name, loss in super().losses(batch, epoch).items()}

        return Edited

    told: Any = {"split": "xsub60", "device": "cpu", "epochs": 1}
    sk.register("method", "mine", edited(1.0))
    recipe = sk.load_recipe(RECIPE)
    first = sk.pretrain(recipe, road / "clips.zarr", tmp_path / "run", **told).log
    sk.register("method", "mine", edited(1.0))
    again = sk.pretrain(recipe, road / "clips.zarr", tmp_path / "run", force=True, **told)
    assert again.result.state == "already finished"
    assert "is finished already, by the same settings; nothing was trained" in caplog.text
    sk.register("method", "mine", edited(2.0))
    with pytest.raises(sk.BadInput, match="other settings: registered.method mine"):
        sk.pretrain(recipe, road / "clips.zarr", tmp_path / "run", **told)
    anew = sk.pretrain(recipe, road / "clips.zarr", tmp_path / "run", force=True, **told)
    assert anew.log["loss"][0] == pytest.approx(2 * first["loss"][0], rel=0.01)


@pytest.mark.usefixtures("names")
def test_options_of_ones_own_are_a_recipes():
    class WithOptions(Mine):
        Options = MineOptions

    sk.register("method", "of_mine", WithOptions)
    assert sk.load_recipe(RECIPE, method={"name": "of_mine", "margin": 0.25}).method.margin == 0.25
    with pytest.raises(sk.BadInput, match="margni: unknown key"):
        sk.load_recipe(RECIPE, method={"name": "of_mine", "margni": 1})


@pytest.mark.usefixtures("names")
def test_a_method_has_options_of_its_own(road, tmp_path):
    class Scaled(Mine):
        class Options(sk.Options):
            scale: float = 1.0

        def losses(self, batch, epoch):
            return {name: self.options.scale * loss for name, loss in super().losses(batch, epoch).items()}

    sk.register("method", "scaled", Scaled)
    losses = []
    for scale in (1.0, 3.0):
        recipe = sk.load_recipe(RECIPE, method={"name": "scaled", "scale": scale, "weights": {"spread": 2.0}})
        where = tmp_path / f"run{scale}"
        run = sk.pretrain(recipe, road / "clips.zarr", where, split="xsub60", device="cpu", epochs=1)
        assert run.settings["recipe_settings"]["method"]["scale"] == scale
        losses.append(run.log["loss"][0])
    assert losses[1] == pytest.approx(3 * losses[0], rel=0.05)
    with pytest.raises(sk.BadInput, match="scael: unknown key"):
        sk.load_recipe(RECIPE, method={"name": "scaled", "scael": 1})


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda x: x.mean(), "Wrong.losses: gives Tensor; let it give a dict"),
        (lambda x: {"other": x.mean()}, "gives 'other', and LOSSES are alike, spread"),
        (lambda x: {"alike": x}, "gives 'alike', which has shape"),
        (lambda x: {"alike": 1.0}, "gives 'alike', which is of type float"),
    ],
)
def test_losses_that_are_none_are_told(road, tmp_path, given, said):
    class Wrong(Mine):
        def losses(self, batch, epoch):
            return given(self.network(batch.views["one"]))

    sk.register("method", "mine", Wrong)
    with pytest.raises(sk.BadInput, match=said):
        sk.pretrain(sk.load_recipe(RECIPE), road / "clips.zarr", tmp_path / "r", split="xsub60", device="cpu", epochs=1)


@pytest.mark.usefixtures("names")
def test_a_method_without_views_is_told():
    class NoViews(sk.Method):
        LOSSES = ("a",)

    class OneWord(Mine):
        VIEWS = "query"

    class Abstract(sk.Method):
        VIEWS, LOSSES = ("a",), ("a",)

    for wrong, said in (
        (NoViews, "has no VIEWS"), (OneWord, "has VIEWS = 'query'"), (Abstract, "lacks evaluated and losses")
    ):  # fmt: skip
        with pytest.raises(sk.BadInput, match=said):
            sk.register("method", "x", wrong)


@pytest.mark.usefixtures("names")
def test_one_that_ships_can_be_named_anew_and_stays_itself():
    kept = sk.get_method("skeletonclr")
    sk.register("method", "again", kept)
    assert kept.Options().name == "skeletonclr"
    assert sk.load_recipe("skeletonclr", method__name="again").method.name == "again"
    assert sk.load_recipe("skeletonclr").method.name == "skeletonclr"


@pytest.mark.usefixtures("names")
def test_an_encoder_positives_an_augmentation_and_a_protocol(road, tmp_path):
    class Mean(sk.Encoder):
        """The mean pose."""

        def __init__(self, layout, options):
            super().__init__()
            self.features = layout.channels * len(layout.joints)
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x):
            return x.mean(dim=(2, 4)).flatten(1) * self.scale

    class Nothing:
        """No positives at all."""

        def __init__(self, options):
            self.options = options

        def __call__(self, pair, epoch):
            return pair.query_negatives.logsumexp(1).mean()

        def mining(self, epoch):
            return False

    def first(features, setup):
        from skelpipe.evaluation.protocol import Outcome

        return Outcome(np.eye(setup.classes)[np.zeros((~features.train).sum(), int)], {}, [])

    sk.register("encoder", "mean_pose", Mean)
    sk.register("positives", "nothing", Nothing)
    sk.register("augmentation", "still", sk.Augmentation(0, lambda u, *rest: u, lambda x, *rest: None, {}))
    sk.register("protocol", "first", first)
    assert sk.build_encoder("mean_pose", "coco17")(torch.ones(1, 2, 4, 17, 2)).shape == (1, 34)
    assert (sk.augment("still")(np.ones((3, 4, 25, 2), "f4")) == 1).all()
    views = {"query": ["still"], "key": ["crop"]}
    told = {"method": {"name": "skeletonclr", "queue_size": 16}, "encoder": "mean_pose", "positives": "nothing"}
    recipe = sk.load_recipe({**told, "views": views, "batch_size": 8, "projector": {"hidden": 8, "size": 8}})
    run = sk.pretrain(recipe, road / "clips.zarr", tmp_path / "run", split="xsub60", epochs=1, device="cpu")
    found = sk.evaluate(run, road / "clips.zarr", tmp_path / "out", protocols=["first"], device="cpu")
    assert found.metrics.loc["first", "top1"] == pytest.approx(1 / 3)


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize(
    ("kind", "name", "entry", "said"),
    [
        ("method", "aimclr", Mine, "method 'aimclr': is one that is there already"),
        ("methods", "x", Mine, "kind 'methods': cannot be registered; did you mean 'method'"),
        ("layout", "x", Mine, "kind 'layout': cannot be registered"),
        ("method", "x", nn.Linear, "method 'x': is type"),
        ("encoder", "x", 3, "encoder 'x': is int 3"),
        ("augmentation", "x", Mine, "give an Augmentation"),
        ("protocol", "x", 3, "give a function"),
    ],
)
def test_what_cannot_be_registered_is_told(kind, name, entry, said):
    with pytest.raises(sk.BadInput, match=said):
        sk.register(kind, name, entry)
