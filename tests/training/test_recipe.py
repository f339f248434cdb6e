"""Recipes: the shipped ones load, and every mistake is named with its key and the nearest right one."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from skelpipe.cli import main
from skelpipe.encoders import ENCODERS
from skelpipe.errors import BadInput
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.methods import METHODS, POSITIVES
from skelpipe.pipeline.experiments import list_experiments
from skelpipe.pipeline.spec import Pipeline
from skelpipe.resources import names
from skelpipe.settings import load_yaml, override, whole
from skelpipe.training.recipe import Recipe, in_full, load_recipe


@pytest.mark.parametrize("name", names("models"))
def test_shipped_recipes_load_and_build(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.title
    method = recipe.build_method(KINECT_V2, 60)
    assert set(recipe.views) == set(type(method).VIEWS)
    again = Recipe.model_validate(recipe.model_dump(mode="json"))
    assert again == recipe


def test_paper_settings():
    for name, epochs in (("skeletonclr", 300), ("crosnnclr", 800)):
        r = load_recipe(name)
        assert (r.epochs, r.batch_size, r.init) == (epochs, 128, "reference")
        m = r.method
        assert (m.queue_size, m.temperature, m.momentum, m.key_init) == (32768, 0.07, 0.999, "independent")
        assert [r.optimizer.rate(e) for e in (1, 250, 251, 800)] == pytest.approx([0.1, 0.1, 0.01, 0.01])
        assert (r.optimizer.momentum, r.optimizer.weight_decay, r.optimizer.nesterov) == (0.9, 1e-4, False)
        assert r.views == {"query": ["crop", "shear"], "key": ["crop", "shear"]}
    positives = load_recipe("crosnnclr").positives
    assert (positives.form, positives.nn_start_epoch, positives.top_k) == ("equation", 150, 1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("batchsize=3", "batchsize: unknown key (did you mean 'batch_size'?)"),
        ("encoder.widht=3", "encoder.widht: unknown key (did you mean 'width'?)"),
        ("queue_size=64", "queue_size: unknown key (did you mean 'method.queue_size'?)"),
        ("method.lr=0.1", "method.lr: unknown key (did you mean 'optimizer.lr'?)"),
        ("qeue_size=64", "qeue_size: unknown key (did you mean 'method.queue_size'?)"),
        ("encoder={name: recurrent, features: 9}", "encoder.features: unknown key (recurrent has cell, layers, width"),
        ("optimizer={name: adam, momentum: 0.9}", "optimizer.momentum: unknown key (adam has lr, betas, eps"),
        ("projector.depth=2", "projector.depth: unknown key (projector has kind, hidden, size)"),
        (
            "clips.frames=Native",
            "clips.frames: should be a whole number or 'native', not 'Native' (did you mean 'native'?)",
        ),
        ("clips.frames=0", ": clips.frames: should be greater than 0 or 'native', not 0; correct"),
        ("views.query=3", ": views.query: should be a name or a list, not 3; correct"),
        ("views.query=[crop, 3]", ": views.query.1: should be a name or a mapping of keys to values, not 3; correct"),
        ("encoder=null", "encoder: should be a mapping of keys to values (got null)"),
        ("clips=null", "clips: should be a mapping of keys to values (got null)"),
        ("optimizer={name: adam, betas: [0.9]}", "optimizer.betas: should hold more values (got [0.9])"),
        ("schedule={}", "schedule: should say by 'name' which one it is (got {})"),
        ("optimizer.lr=abc", "optimizer.lr: input should be a valid number"),
        ("optimizer.lr=.nan", "optimizer.lr: input should be a finite number"),
        ("positives.form=equatoin", "not 'equatoin' (did you mean 'equation'?)"),
        ("positives.name=cross_veiw", "unknown name 'cross_veiw' (did you mean 'cross_view'?)"),
        ("method=skeltonclr", "unknown name 'skeltonclr' (did you mean 'skeletonclr'?)"),
        ("views.query=[crop, sheer]", "did you mean 'shear'?"),
        ("views.third=normal", "skeletonclr needs exactly query, key"),
        ("encoder.time_kernel=4", "encoder.time_kernel: must be odd"),
        ("encoder={name: recurrent, layers: 65}", "encoder.layers: input should be less than or equal to 64"),
        ("init=other", "init: input should be 'torch', 'reference' or 'xavier'"),
    ],
)
def test_a_mistake_is_named(change, says):
    with pytest.raises(BadInput) as caught:
        load_recipe("crosnnclr", [change])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_mistakes_at_once():
    with pytest.raises(BadInput, match="2 settings are wrong: .*lr.*; .*epohcs"):
        load_recipe("crosnnclr", ["optimizer.lr=-1", "epohcs=3"])


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        ("protocols: [knnn]", "evaluate.protocols: unknown protocol 'knnn' (did you mean 'knn'?); known are linear"),
        ("protocols: [supervised]", "supervised measures a classifier, and skeletonclr trains none; use"),
        (
            "options: {knn: {k: 3}}",
            "evaluate.options: knn has no options; those that have some are linear, few",
        ),
        ("options: {finetun: {lr: 3}}", "evaluate.options: unknown protocol 'finetun' (did you mean 'finetune'?)"),
        ("options: {semi: {epoch: 3}}", "evaluate.options.semi.epoch: unknown key (did you mean 'epochs'?)"),
        ("options: {semi: {lr: fast}}", "evaluate.options.semi.lr: input should be a valid number"),
    ],
)
def test_how_to_evaluate_is_checked_before_training(tmp_path, stated, says):
    """By the command and by a pipeline, which name the recipe."""
    file, store = tmp_path / "own.yaml", tmp_path / "none.zarr"
    file.write_text(f"method: skeletonclr\nviews: {{query: [], key: []}}\nevaluate: {{{stated}}}\n")
    words = ["pretrain", file, store, tmp_path / "run", "--split", "xsub60", "--stream", "joint"]
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 2
    (line,) = done.output.splitlines()
    assert line.startswith(f"skelpipe: {file}: ")
    assert says in line
    with pytest.raises(BadInput) as caught:
        list_experiments(Pipeline(title="", recipes=["./own.yaml"], splits=["xsub60"]), tmp_path / "pipeline.yaml")
    assert line == f"skelpipe: {caught.value}"


def test_who_is_to_blame_for_a_mistake(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("method: skeletonclr\nviews: {query: [], key: []}\n")
    with pytest.raises(BadInput, match="^--set optimizer.lr=-1: 1 setting is wrong: optimizer.lr"):
        load_recipe(file, ["batch_size=8", "optimizer.lr=-1"])
    with pytest.raises(BadInput, match="^--set method=aimclr: 1 setting is wrong: views: aimclr needs exactly"):
        load_recipe(file, ["method=aimclr"])
    file.write_text("method: skeletonclr\nviews: {query: [], key: []}\nbatch_sise: 3\n")
    with pytest.raises(BadInput, match=r"own\.yaml: 1 setting is wrong: batch_sise"):
        load_recipe(file, ["batch_size=8"])
    with pytest.raises(BadInput, match=r"own\.yaml: 2 settings are wrong"):
        load_recipe(file, ["optimizer.lr=-1"])


def test_overrides_reach_into_the_tree():
    data = override({"a": {"b": 1}, "positives": "own_key"}, ["a.b=2", "a.c.d=[x]", "positives.top_k=3", "e=1e-3"])
    assert data == {"a": {"b": 2, "c": {"d": ["x"]}}, "positives": {"name": "own_key", "top_k": 3}, "e": "1e-3"}
    assert load_recipe("crosnnclr", ["optimizer.lr=5e-2"]).optimizer.lr == 0.05
    for wrong in ("lr", "=3", "a=[1"):
        with pytest.raises(BadInput):
            override({}, [wrong])


def test_unknown_recipe_names_the_nearest():
    with pytest.raises(BadInput, match="did you mean crosnnclr"):
        load_recipe("crosnclr")


@pytest.mark.parametrize("text", ["a: [1", "- 1\n- 2\n", "a: !!python/object/apply:os.system [ls]\n", "\x00"])
def test_files_that_are_no_recipe(tmp_path, text):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(BadInput):
        load_yaml(path)


def test_a_key_that_stands_twice_is_named_with_its_line(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("name: a\noptimizer:\n  lr: 1\n  nesterov: true\n  lr: 2\n")
    with pytest.raises(BadInput, match=r"r\.yaml:5: names 'lr' twice; keep one of them"):
        load_yaml(path)
    path.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\n")
    assert load_yaml(path) == {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}}
    with pytest.raises(BadInput, match=r"^--set a=\{b: 1, b: 2\}: its value names 'b' twice"):
        override({}, ["a={b: 1, b: 2}"])


@pytest.mark.parametrize("registry", [ENCODERS, METHODS, POSITIVES])
def test_every_entry_says_its_own_name(registry):
    for name, entry in registry.items():
        assert entry.Options().name == name
        assert entry.Options.__doc__


def test_what_came_later_is_left_out_of_a_dump_while_it_is_not_used():
    plain = load_recipe("crosnnclr")
    assert not {"clips", "evaluate"} & plain.model_dump(mode="json").keys()
    assert whole(plain)["clips"] == {"preset": "aimclr", "frames": None, "longest": None, "steps": {}}
    sets = ["clips={preset: raw, frames: native}", "evaluate={protocols: [linear], view: [crop]}"]
    stated = load_recipe("crosnnclr", sets)
    assert stated.model_dump(mode="json")["clips"]["frames"] == "native"
    assert Recipe.model_validate(stated.model_dump(mode="json")) == stated
    with pytest.raises(BadInput, match=r"evaluate.view: .*did you mean 'crop'"):
        load_recipe("crosnnclr", ["evaluate.view=[crp]"])


def test_recipes_in_full_can_be_compared():
    plain, stated = (
        in_full(load_recipe("skeletonclr", sets).model_dump(mode="json"))
        for sets in ([], ["schedule=cosine", "clip_gradients={by: value, at: 1}"])
    )
    assert (plain["schedule"]["name"], stated["schedule"]["name"]) == ("optimizer.steps", "cosine")
    assert (plain["clip_gradients"]["by"], stated["clip_gradients"]["by"]) == ("nothing", "value")
    assert "steps" in plain["optimizer"]
    assert "steps" not in stated["optimizer"]
    assert in_full({"epochs": 3}) == {"epochs": 3}
