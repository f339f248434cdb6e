"""Models as ONNX files: every encoder and kind of score, for any number of clips and frames, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import TINY, small, write_clips
from torch import nn

from skelpipe.cli import main
from skelpipe.encoders import ENCODERS
from skelpipe.encoders.plain import plain, plainly
from skelpipe.errors import BadInput
from skelpipe.evaluation.evaluate import evaluate
from skelpipe.exchange.onnx import export_onnx, open_onnx, parity
from skelpipe.layouts import attributes_of
from skelpipe.layouts.coco17 import COCO17
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.methods.network import Network, equal_parts
from skelpipe.resources import names
from skelpipe.settings import check, override
from skelpipe.training.model import Classifier, Facts, Head, Model, evaluated_network, frozen
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import Recipe, load_recipe

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.usefixtures("one_thread")
CLASSES = ("wave", "jump, twice", "fall", "sit", "Übung")
# Encoders with options that make another graph; those of ENCODERS come to them.
OPTIONS = [
    ("recurrent", ["cell=tf_gru", "width=5", "direction=bi", "pooling=final"]),
    ("recurrent", ["cell=lstm", "direction=two_forward", "pooling=mean_valid", "excess=0.01", "biases=one"]),
    ("recurrent", ["cell=gru", "width=5", "direction=uni", "padding=read", "pooling=mean_valid"]),
    ("part_aware", ["width=3", "forget_gate=plus_inside", "torso=part"]),
    ("part_aware", ["width=3", "forget_gate=repository"]),
    ("coordinates", ["frames=12", "velocities=true"]),  # as many as the clips have
    ("hcn", ["frames=16", "embedding=16", "width=2"]),
    ("dgcnn", ["width=2", "neighbours=3"]),
    ("view_adaptive", ["width=3", "main={name: stgcn, width: 2, features: 8}"]),
]


def model_of(recipe, layout=KINECT_V2, frames=12, network=None):
    """A model with random weights, a standardised head where it has one, and batch norms that have seen something."""
    torch.manual_seed(0)
    stream = recipe.streams[0] if recipe.streams else "joint"
    network = network or evaluated_network(recipe, layout, len(CLASSES), stream)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 2)
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
    own, segments = network.SCORES_CLIPS and recipe.supervised, recipe.evaluate.segments
    size = network.encoder.features * segments
    head = None if own else Head(torch.randn(5, size), torch.randn(5), torch.randn(size), torch.rand(size) + 0.1)
    facts = Facts(
        protocol="linear", classes=CLASSES, numbers=tuple(range(5)), dataset={"dataset": "ntu60"}, split="xsub60",
        layout=attributes_of(layout), stream=stream, prepared={"frames": frames, "preparation": None},
        recipe=recipe.model_dump(mode="json"), run_classes=5, epoch=3, seed=7, head="own" if own else "linear",
        cautions=("collapsed",),
    )  # fmt: skip
    return Model(Path("made/up"), facts, recipe, layout, frozen(Classifier(network, head, segments)))


def recipe_with(encoder: str, options=(), more=()) -> Recipe:
    """SkeletonCLR around an encoder at toy size."""
    fields = ENCODERS[encoder].Options.model_fields
    tiny = [s for s in TINY if s.startswith("encoder.") and s.removeprefix("encoder.").partition("=")[0] in fields]
    stated = {"method": "skeletonclr", "views": {"query": [], "key": []}, "encoder": {"name": encoder}}
    return check(Recipe, override(stated, [*tiny, *(f"encoder.{each}" for each in options), *more]), encoder)


def clips_of(model, count, frames, seed=0):
    """Clips of which some are shorter or lack the second body, and their lengths."""
    shape = model.layout.channels, len(model.layout.joints), model.recipe.bodies
    clips, lengths = parity.random_clips(shape, frames, count, seed)
    return torch.from_numpy(clips), torch.from_numpy(lengths)


def same_as_torch(model, file, sizes):
    """Hold a file against torch at sizes that it was not exported with."""
    opened = open_onnx(file, threads=1)
    for count, frames in sizes:
        clips, lengths = clips_of(model, count, frames, seed=frames)
        for own in (lengths, None):
            wanted = model.classifier(clips, own if model.classifier.uses_lengths else None)
            found = opened.classifier(clips, own if opened.classifier.uses_lengths else None)
            for want, got in zip(wanted, found, strict=True):
                if got.shape[1]:
                    torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-4)
    return opened


@pytest.mark.parametrize(("name", "options"), [*((name, ()) for name in ENCODERS), *OPTIONS], ids=str)
def test_every_encoder(name, options, tmp_path):
    model = model_of(recipe_with(name, options))
    made = export_onnx(model, tmp_path / "x.onnx")
    assert made.frames is None
    assert made.random.relative < 1e-4
    assert made.random.equal_top == 1
    assert made.inputs["clips"] == ("batch", 3, "frames", 25, 2)
    assert made.outputs == {"scores": ("batch", 5), "features": ("batch", model.classifier.network.encoder.features)}
    same_as_torch(model, made.file, [(1, 12), (4, 7), (2, 31)])
    assert {each.domain for each in onnx.load(made.file).graph.node} == {""}  # nothing but ONNX's own


@pytest.mark.parametrize("name", [each for each in names("models") if each.startswith("small_")])
def test_every_small_recipe(name, tmp_path):
    recipe = load_recipe(name)
    model = model_of(load_recipe(name, small(recipe)))
    made = export_onnx(model, tmp_path / "x.onnx")
    assert made.frames is None
    assert made.random.relative < 1e-4
    assert ("features" in made.outputs) == (model.facts.head == "linear")
    opened = same_as_torch(model, made.file, [(1, 16), (3, 25)])
    assert opened.facts == model.facts
    assert opened.recipe == model.recipe
    assert opened.layout is model.layout


def test_other_layouts_and_one_body(tmp_path):
    model = model_of(recipe_with("stgcn", more=["bodies=1"]), COCO17)
    made = export_onnx(model, tmp_path / "x.onnx")
    assert made.inputs["clips"] == ("batch", 2, "frames", 17, 1)
    same_as_torch(model, made.file, [(2, 9)])


def test_the_encoder_alone(tmp_path):
    model = model_of(recipe_with("recurrent", ["width=5"]))
    made = export_onnx(model, tmp_path / "x.onnx", encoder_only=True)
    assert [*made.outputs] == ["features"]
    assert made.random.equal_top is None
    with pytest.raises(BadInput, match="an encoder alone, and tells no classes; export it without --encoder-only"):
        open_onnx(made.file)
    clips, lengths = clips_of(model, 3, 15)
    scores, features = open_onnx(made.file, encoder=True).classifier(clips, lengths)
    assert scores.shape == (3, 0)
    torch.testing.assert_close(features, model.classifier(clips, lengths)[1], rtol=1e-4, atol=1e-5)


def test_what_a_file_says_of_itself(tmp_path):
    model = model_of(recipe_with("temporal"))
    made = export_onnx(model, tmp_path / "deep" / "x.onnx")
    graph = onnx.load(made.file)
    told = {each.key: each.value for each in graph.metadata_props}
    assert Facts(**json.loads(told["skelpipe"])) == model.facts
    assert json.loads(told["class_names"]) == list(CLASSES)
    assert json.loads(told["joints"]) == list(KINECT_V2.joints)
    assert (told["layout"], told["stream"], told["opset"]) == ("kinect_v2", "joint", "17")
    assert told["preparation"] == "skelpipe prepare --frames 12"
    assert told["frames"] == "12, and any other number"
    assert [each.version for each in graph.opset_import if each.domain == ""] == [17]
    beside = json.loads((tmp_path / "deep" / "x.onnx.provenance.json").read_text())
    assert (beside["kind"], beside["settings"]) == ("onnx", {"encoder_only": False, "opset": 17})
    assert f"{made}".startswith("opset 17, 0.0 MiB; clips (batch, 3, frames, 25, 2) -> scores (batch, 5), features")
    assert "13 of 6 to 16 frames: differ by at most" in f"{made.random}"
    with pytest.raises(BadInput, match="already exists"):
        export_onnx(model, made.file)
    assert export_onnx(model, made.file, force=True).bytes == made.bytes


class Frames(nn.Module):
    """An encoder for clips of 12 frames alone."""

    features = 4

    def __init__(self):
        super().__init__()
        self.of = nn.Linear(3 * 12 * 25 * 2, self.features)

    def forward(self, x):
        return self.of(x.flatten(1))


class OneBatch(Frames):
    """One that the exporter does not see through: it counts clips by itself."""

    def forward(self, x):
        return self.of(x.flatten(1)) * len(x)


class Halves(Frames):
    """The same of frames."""

    def forward(self, x):
        return x[:, :2, : int(x.shape[2]) // 2].sum((2, 4)).flatten(1)[:, : self.features]


@pytest.mark.parametrize("encoder", [Frames, Halves])
def test_frames_are_fixed_where_they_have_to_be_and_it_is_said(encoder, tmp_path):
    model = model_of(recipe_with("temporal"), network=Network(encoder(), nn.Linear(4, 5)))
    made = export_onnx(model, tmp_path / "x.onnx")
    assert (made.frames, made.inputs["clips"]) == (12, ("batch", 3, 12, 25, 2))
    assert f"{made}".endswith("; clips of 12 frames alone")
    opened = same_as_torch(model, made.file, [(1, 12), (5, 12)])
    assert opened.classifier.frames == 12
    with pytest.raises(BadInput, match="cannot be run on clips"):
        opened.classifier(torch.zeros(1, 3, 13, 25, 2))


def test_a_file_that_would_give_something_else_is_not_written(tmp_path):
    model = model_of(recipe_with("temporal"), network=Network(OneBatch(), nn.Linear(4, 5)))
    with pytest.raises(BadInput, match="is not the same as ONNX: outputs differ by .* of the largest") as caught:
        export_onnx(model, tmp_path / "x.onnx")
    assert "\n" not in f"{caught.value}"
    assert not [*tmp_path.iterdir()]


def test_an_operator_that_onnx_has_not_is_named_in_one_line(tmp_path, capfd):
    class Odd(Frames):
        features = 3

        def forward(self, x):
            return torch.linalg.svdvals(x.flatten(2)[:, :, :4])

    model = model_of(recipe_with("temporal"), network=Network(Odd(), nn.Linear(3, 5)))
    with pytest.raises(BadInput, match="cannot be written as ONNX of opset 17 .*svd") as caught:
        export_onnx(model, tmp_path / "x.onnx")
    assert "\n" not in f"{caught.value}"
    assert capfd.readouterr() == ("", "")


def test_real_clips_are_compared_too(tmp_path):
    model = model_of(recipe_with("recurrent", ["width=5"]))
    clips, lengths = (each.numpy() for each in clips_of(model, 40, 20))
    made = export_onnx(model, tmp_path / "x.onnx", clips=clips, lengths=lengths)
    assert (made.real.clips, made.real.frames) == (40, (20, 20))
    assert made.real.equal_top == 1
    clips[3] = np.nan
    with pytest.raises(BadInput, match="is not the same as ONNX"):
        export_onnx(model, tmp_path / "y.onnx", clips=clips, lengths=lengths)
    with pytest.raises(BadInput, match=r"\(n, 3, T, 25, 2\)"):
        export_onnx(model, tmp_path / "y.onnx", clips=clips[:, :2])
    assert not (tmp_path / "y.onnx").exists()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A file of ours."""
    return export_onnx(model_of(recipe_with("temporal")), tmp_path_factory.mktemp("onnx") / "x.onnx").file


def changed(exported, out, change):
    """The same with something else in it."""
    graph = onnx.load(exported)
    change(graph)
    out.write_bytes(graph.SerializeToString())
    return out


def with_facts(**changes):
    def change(graph):
        for each in graph.metadata_props:
            if each.key == "skelpipe":
                each.value = json.dumps({**json.loads(each.value), **changes})

    return change


def stripped(graph):
    del graph.metadata_props[:]


def elsewhere(graph):
    tensor = graph.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def hidden(graph):
    """The same in a constant of a branch."""
    tensor = onnx.TensorProto(data_location=onnx.TensorProto.EXTERNAL, name="t")
    branch = onnx.helper.make_graph([onnx.helper.make_node("Constant", [], ["c"], value=tensor)], "b", [], [])
    graph.graph.node.append(onnx.helper.make_node("If", ["x"], [], then_branch=branch, else_branch=branch))


def no_json(graph):
    next(each for each in graph.metadata_props if each.key == "skelpipe").value = "{" * 100_000


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (stripped, "was not exported by skelpipe"),
        (elsewhere, "has weights in other files, which are not read"),
        (hidden, "has weights in other files, which are not read"),
        (no_json, "says of itself what is no JSON"),
        (with_facts(format_version=2), "is of format 2, and this skelpipe reads 1; install a newer skelpipe"),
        (with_facts(classes=3), "1 setting is wrong: classes"),
        (with_facts(classes=["a", "b"]), "has another graph than the model that it says it is"),
        (with_facts(layout={"layout": "coco17"}), "has another graph than the model that it says it is"),
        (with_facts(layout={"layout": "unknown"}), "has no layout that is known"),
        (with_facts(recipe={}), "wrong"),
        (lambda graph: graph.graph.node.pop(), "cannot be opened by onnxruntime"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files_that_are_not_ours_or_damaged(change, told, exported, tmp_path, capfd):
    with pytest.raises(BadInput, match=told) as caught:
        open_onnx(changed(exported, tmp_path / "y.onnx", change))
    assert "\n" not in f"{caught.value}"
    assert capfd.readouterr() == ("", "")


def test_what_is_no_onnx_file(exported, tmp_path):
    for name, data in {"a": b"", "b": b"PK\3\4 no protobuf", "c": exported.read_bytes()[:3000]}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadInput, match="is no ONNX file, or is damaged"):
            open_onnx(tmp_path / name)
    with pytest.raises(BadInput, match="does not exist"):
        open_onnx(tmp_path / "none.onnx")
    with pytest.raises(BadInput, match="cannot be read"):
        open_onnx(tmp_path)
    with pytest.raises(BadInput, match=r"is not called \.onnx"):
        export_onnx(model_of(recipe_with("temporal")), tmp_path / "x.pt")


def test_a_file_that_was_changed_is_known_by_its_provenance(exported, tmp_path):
    data = bytearray(exported.read_bytes())
    weight = onnx.load(exported).graph.initializer[-1].raw_data[:16]
    data[data.index(weight)] ^= 1
    (tmp_path / "x.onnx").write_bytes(data)
    assert open_onnx(tmp_path / "x.onnx").facts.classes == CLASSES  # nothing tells
    beside = exported.with_name("x.onnx.provenance.json").read_bytes()
    (tmp_path / "x.onnx.provenance.json").write_bytes(beside)
    with pytest.raises(BadInput, match=r"is not as it was exported; .* or remove x\.onnx\.provenance\.json"):
        open_onnx(tmp_path / "x.onnx")


@pytest.mark.parametrize("absent", ["onnx", "onnxruntime"])
def test_without_the_extra_it_is_named(absent, exported, tmp_path, monkeypatch):
    model = model_of(recipe_with("temporal"))
    monkeypatch.setitem(sys.modules, absent, None)
    told = rf'the library {absent}: is not installed, and ONNX files need it; pip install "skelpipe\[onnx\]"'
    with pytest.raises(BadInput, match=told):
        open_onnx(exported)
    with pytest.raises(BadInput, match=told):
        export_onnx(model, tmp_path / "x.onnx")


def test_nothing_stays_plain_behind_an_export(tmp_path):
    with pytest.raises(RuntimeError), plainly():
        assert plain()
        raise RuntimeError
    model = model_of(recipe_with("recurrent", ["width=5"]))
    before = {name: type(each) for name, each in model.classifier.named_modules()}
    export_onnx(model, tmp_path / "x.onnx")
    assert not plain()
    assert {name: type(each) for name, each in model.classifier.named_modules()} == before


def test_equal_parts_are_those_of_torch():
    for frames in range(3, 12):
        found = torch.arange(2.0 * frames).view(1, 2, frames, 1)
        for count in range(1, 4):
            want = torch.tensor_split(found, count, dim=2)
            assert all(map(torch.equal, equal_parts(found, count), want))


@pytest.mark.slow
def test_the_command(clips, tiny, tmp_path):
    def call(*words, fails=False):
        done = CliRunner().invoke(main, [str(word) for word in words])
        assert done.exit_code == (2 if fails else 0), done.output
        return done.output

    run, measured, file = tmp_path / "run", tmp_path / "eval", tmp_path / "x.onnx"
    pretrain(tiny, clips, run, split="xsub60", stream="bone", device="cpu", threads=1)
    evaluate(run, clips, measured, protocols=("linear", "finetune"), options=["finetune.epochs=1"], device="cpu")
    said = call("export-onnx", measured, file, fails=True)
    assert "has kept finetune, linear; choose one by --protocol" in said
    said = call("export-onnx", measured, file, "--protocol", "linear")  # on the clips of the evaluation
    assert "x.onnx: opset 17" in said
    assert "random clips: 13 of 6 to 16 frames: differ by at most" in said
    assert "real clips: 32 of 12 frames: differ by at most" in said
    assert open_onnx(file).facts.stream == "bone"
    assert "is an ONNX file already" in call("export-onnx", file, tmp_path / "z.onnx", fails=True)
    assert "no classes; keep one by 'skelpipe evaluate" in call("export-onnx", run, tmp_path / "y.onnx", fails=True)
    said = call("export-onnx", run, tmp_path / "y.onnx", "--encoder-only")
    assert "-> features (batch, 8)" in said
    assert "real clips: 32 of 12 frames" in said  # those that it was trained on
    assert "x.onnx" in call("inspect", "--provenance", file)
    said = call("inspect", file)
    assert "skelpipe prepare --frames 12" in said
    assert "12, and any other number" in said
    other = write_clips(tmp_path / "other.zarr", centre=False)
    said = call("export-onnx", measured, file, "--protocol", "linear", "--force", "--clips", other, fails=True)
    assert "centre true, now false; make such clips by" in said
    assert "--other-clips" not in said
