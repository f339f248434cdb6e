"""Files and names from strangers: none of them runs anything, reaches another path, or means more than its letters."""

from __future__ import annotations

import ast
import json
import os
import pickle
import shlex
import struct
import sys
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from conftest import write_clips

import skelpipe
from skelpipe import resources
from skelpipe.cli import main
from skelpipe.errors import BadInput, printable
from skelpipe.exchange.arrays.importing import import_arrays
from skelpipe.outputs.folders import new_folder
from skelpipe.pipeline import show, watch
from skelpipe.pipeline.experiments import as_word as _word
from skelpipe.pipeline.files import load_pipeline
from skelpipe.pipeline.plan import plan
from skelpipe.pipeline.run import run
from skelpipe.plots import confusion, curves, style, sweeps
from skelpipe.recordings import store
from skelpipe.recordings.datasets.recording import Dropped
from skelpipe.recordings.pickles import read_pickle
from skelpipe.report.page import md
from skelpipe.settings import load_yaml
from skelpipe.training.recipe import load_recipe

PACKAGE = Path(skelpipe.__file__).parent
FAKE = Path(__file__).with_name("fake_stage.py")
HOSTILE = [
    "[red]x[/red]", "[/]", "\x1b[31mred\x07", "a\rb\nc", "\u202ex", "$x^{$", "$\\frac{", "<script>alert(1)</script>", "{input}", "%s",
    "../../x", "'; touch pwned; '", "$(touch pwned)", "`touch pwned`", "a|b", "\x9b2J", "é ü 漢字", "-rf", "\\", '"',
]  # fmt: skip


# ---- the package itself


def unsafe(tree: ast.AST) -> list[str]:
    """Calls that run what they are given, or may: each by its line."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            names = {alias.name.partition(".")[0] for alias in node.names} | {getattr(node, "module", None)}
            found += [
                f"{node.lineno}: import {name}"
                for name in names & {"dill", "cloudpickle", "joblib", "marshal", "shelve"}
            ]
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        told = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        bad = (
            name
            in (
                "eval",
                "exec",
                "compile",
                "__import__",
                "yaml.load",
                "yaml.unsafe_load",
                "yaml.full_load",
                "yaml.load_all",
            )
            or name
            in ("pickle.load", "pickle.loads", "pickle.Unpickler", "os.system", "os.popen", "pandas.read_pickle")
            or (name == "torch.load" and told.get("weights_only") != "True")
            or told.get("shell", "False") != "False"
            or told.get("allow_pickle", "False") != "False"
            or (name in ("np.load", "numpy.load", "np.lib.format.read_array") and told.get("allow_pickle") != "False")
        )
        found += [f"{node.lineno}: {name}"] * bad
    return found


def test_nothing_in_the_package_runs_what_it_reads():
    for path in sorted(PACKAGE.rglob("*.py")):
        assert unsafe(ast.parse(path.read_text("utf-8"))) == [], path


@pytest.mark.parametrize(
    "code",
    [
        "yaml.load(x, Loader)", "torch.load(x)", "torch.load(x, weights_only=False)", "pickle.load(x)", "eval(x)", "exec(x)",
        "subprocess.run(x, shell=True)", "os.system(x)", "np.load(x, allow_pickle=True)", "np.load(x)", "import joblib",
        "subprocess.run(x, shell=y)", "f(allow_pickle=y)",
    ],
)  # fmt: skip
def test_the_search_finds_what_it_looks_for(code):
    assert unsafe(ast.parse(code))


# ---- pickles


def op(*parts: bytes) -> bytes:
    return b"\x80\x04" + b"".join(parts) + b"."


def g(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


class Runs:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


TOUCH = "touch pwned"
SHARED = b"]q\0" + b"".join(b"h" + bytes([n]) * 1 + b"h" + bytes([n]) + b"\x86q" + bytes([n + 1]) for n in range(60))
ATTACKS = {
    "system": pickle.dumps(Runs(os.system, (TOUCH,))),
    "system, protocol 0": pickle.dumps(Runs(os.system, (TOUCH,)), 0),
    "eval": pickle.dumps(Runs(eval, ("__import__('os').system('touch pwned')",))),
    "exec": pickle.dumps(Runs(exec, ("open('pwned', 'w')",))),
    "getattr": op(g("builtins", "getattr"), g("os", "system"), b"\x85R"),
    "dotted": op(b"\x8c\x05numpy\x8c\x11ndarray.__class__\x93"),
    "walk from numpy": op(g("numpy", "sys.modules")),
    "partial": pickle.dumps(Runs(__import__("functools").partial, (os.system, TOUCH))),
    "open": pickle.dumps(Runs(open, ("pwned", "w"))),
    "instance": b"(S'touch pwned'\nios\nsystem\n.",
    "object": b"(cos\nsystem\nS'touch pwned'\no.",
    "new object": op(g("numpy", "ndarray"), b")\x81"),
    "extension": op(b"\x82\x01"),
    "persistent": b"Pid\n.",
    "state of a function": op(g("_codecs", "encode"), b"N}\x8c\x0c__defaults__K\1\x85s\x86b"),
    "state of a class": op(g("numpy", "ndarray"), b"}\x8c\x01xK\1sb"),
    "state of a list": op(b"]}\x8c\x01xK\1sb"),
    "items of a class": op(g("numpy", "dtype"), b"\x8c\x01xK\1s"),
    "appended to a call": op(g("_codecs", "encode"), b"K\1a"),
    "a call of a value": op(b"\x8c\x01x)R"),
    "array of objects": pickle.dumps(np.array([Runs(os.system, (TOUCH,))], dtype=object)),
    "dtype that is Python": op(g("numpy", "dtype"), b"\x8c\x0208\x85R}b"),
    "nested keys": op(SHARED, b"}h<K\1s"),
    "nested members": op(SHARED, b"\x8f(h<\x90"),
}
BOMBS = {
    "memo of four billion": op(b"Nr\xff\xff\xff\xffP"),
    "memo by text": op(b"Np4000000000\nP"),
    "four gigabytes": op(b"B\xff\xff\xff\xff"),
    "2**62 bytes": op(b"\x8e" + struct.pack("<Q", 2**62)),
    "2**40 of a bytearray": op(b"\x96" + struct.pack("<Q", 2**40)),
    "2**33 of a bytearray": op(b"\x96" + struct.pack("<Q", 2**33)),
    "text": op(b"\x8d" + struct.pack("<Q", 2**33)),
    "frame": op(b"\x95" + struct.pack("<Q", 2**33)),
    "integer": op(b"\x8b\xff\xff\xff\x7f"),
    "bytes of a number": op(g("builtins", "bytearray"), b"\x8a\x05\0\0\0\0\1\x85R"),
    "copies": op(b"X\x00\x00\x01\x00" + b"x" * 65536 + b"q\0", g("_codecs", "encode"), b"q\1", b"h\1h\0\x85R" * 20_000),
    "sets": op(b"](" + b"".join(b"M" + struct.pack("<H", n) for n in range(20_000)) + b"eq\0", g("builtins", "set"), b"q\1",
               b"h\1h\0\x85R" * 20_000),
}  # fmt: skip


@pytest.mark.parametrize("name", [*ATTACKS, *BOMBS])
def test_pickles_run_nothing_and_take_no_memory(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.pkl"
    path.write_bytes({**ATTACKS, **BOMBS}[name])
    tracemalloc.start()
    try:
        with pytest.raises(BadInput) as caught:
            read_pickle(path)
        assert tracemalloc.get_traced_memory()[1] < (1 << 18) + 150 * path.stat().st_size
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(path))
    assert os.listdir() == ["a.pkl"]


@pytest.mark.parametrize("names", [[[]], [1], [("a",)], [{"a": 1}]])
def test_names_in_pickles_are_text(tmp_path, names):
    np.save(tmp_path / "a.npy", np.zeros((1, 3, 4, 25, 2), np.float32))
    (tmp_path / "a.pkl").write_bytes(pickle.dumps((names, [0])))
    with pytest.raises(BadInput, match="has the name .*, which is no text"):
        import_arrays("aimclr-npy", [tmp_path / "a.npy", tmp_path / "a.pkl"], tmp_path / "out", dataset="ntu60")


@pytest.mark.parametrize(
    "label", [10**30, 10**5000, -1, 2**31, 1.5, float("nan"), float("inf"), 1e300], ids=map(str, range(8))
)
def test_labels_in_pickles_are_classes(tmp_path, label):
    np.save(tmp_path / "a.npy", np.zeros((1, 3, 4, 25, 2), np.float32))
    (tmp_path / "a.pkl").write_bytes(pickle.dumps((["S001C001P001R001A001"], [label])))
    with pytest.raises(BadInput, match="which is no class number"):
        import_arrays("aimclr-npy", [tmp_path / "a.npy", tmp_path / "a.pkl"], tmp_path / "out", dataset="ntu60")


# ---- arrays, stores and weights


def test_arrays_of_objects_are_not_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bad = np.array([Runs(os.system, (TOUCH,))], dtype=object)
    np.save("a.npy", bad)
    np.savez("a.npz", x_train=bad, y_train=bad, x_test=bad, y_test=bad)
    Path("a.pkl").write_bytes(pickle.dumps((["a"], [0])))
    for format, files, more in (("aimclr-npy", ["a.npy", "a.pkl"], {}), ("ctrgcn-npz", ["a.npz"], {"split": "xsub60"})):
        with pytest.raises(BadInput):
            import_arrays(format, files, "out", dataset="ntu60", **more)
    assert sorted(os.listdir()) == ["a.npy", "a.npz", "a.pkl"]


def test_an_hdf5_file_does_not_reach_into_another(tmp_path):
    x, y = np.ones((2, 4, 150), np.float32), np.eye(60)[:2]
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = x
    (tmp_path / "secret.bin").write_bytes(x.tobytes())
    layout = h5py.VirtualLayout((2, 4, 150), "f4")
    layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "x", (2, 4, 150))
    for number, put in enumerate(
        (
            lambda file: file.__setitem__("x", h5py.ExternalLink("secret.h5", "/x")),
            lambda file: file.__setitem__("x", h5py.SoftLink("/test_x")),
            lambda file: file.create_dataset(
                "x", x.shape, "f4", external=[(str(tmp_path / "secret.bin"), 0, x.nbytes)]
            ),
            lambda file: file.create_virtual_dataset("x", layout),
            lambda file: file.create_group("x"),
            lambda file: file.__setitem__("x", x),
        )
    ):
        path = tmp_path / f"{number}.h5"
        with h5py.File(path, "w") as file:
            file["y"], file["test_x"], file["test_y"] = y, x, y
            put(file)
        arguments = ("sgn-h5", [path], tmp_path / "out")
        if number == 5:  # its own
            import_arrays(*arguments, dataset="ntu60", split="xsub60")
        else:
            with pytest.raises(BadInput, match="x is (a link to elsewhere|not an array of this file)"):
                import_arrays(*arguments, dataset="ntu60", split="xsub60")


@pytest.mark.parametrize("name", ["x", "y", "valid_x", "valid_y", "test_x", "test_y"])
def test_no_array_of_an_hdf5_file_may_be_a_link(tmp_path, name):
    x, y = np.ones((2, 4, 150), np.float32), np.eye(60)[:2]
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["a"] = y if name.endswith("y") else x
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for part in ("", "valid_", "test_"):
            file[f"{part}x"], file[f"{part}y"] = x, y
        del file[name]
        file[name] = h5py.ExternalLink("secret.h5", "/a")
    with pytest.raises(BadInput, match=f"{name} is a link to elsewhere"):
        import_arrays("sgn-h5", [tmp_path / "a.h5"], tmp_path / "out", dataset="ntu60", split="xsub60")


def test_a_store_in_an_older_zarr_format_names_no_codecs(tmp_path):
    """Zarr 2 has filters such as pickle, and arrays of objects."""
    path = write_clips(tmp_path / "clips.zarr", per_class=1, classes=1)
    attributes = json.loads((path / "zarr.json").read_text())["attributes"]
    for old in path.rglob("zarr.json"):
        old.unlink()
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    (path / ".zattrs").write_text(json.dumps(attributes))
    with pytest.raises(BadInput, match="its Zarr metadata cannot be read"):
        store.open_group(path, "clips")


@pytest.mark.parametrize("column", ["../secret", "/etc/passwd", "..", "a/../../secret"])
def test_a_store_names_no_array_outside_itself(tmp_path, column):
    write_clips(tmp_path / "secret", per_class=1, classes=1)
    group, _ = store.open_group(write_clips(tmp_path / "clips", per_class=1, classes=1), "clips")
    with pytest.raises(BadInput):
        store.read_array(group, column)


def test_weights_run_nothing(tmp_path, monkeypatch):
    import torch

    monkeypatch.chdir(tmp_path)
    torch.save({"encoder_q.fc.weight": Runs(os.system, (TOUCH,))}, "a.pt")
    Path("b.pt").write_bytes(ATTACKS["system"])
    for name in ("a.pt", "b.pt"):
        words = ["import-weights", name, "run", "--recipe", "aimclr", "--split", "xsub60", "--stream", "joint"]
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 2, done.output
        assert done.output.count("\n") == 1
    assert sorted(os.listdir()) == ["a.pt", "b.pt"]


class Elsewhere:
    """Of a class that the reader's machine may have too, under a name that runs something when it is imported."""

    def __init__(self, module, base=object):
        self.kind = type("Thing", (base,), {"__module__": module})

    def put_into(self, monkeypatch, folder):
        folder.joinpath(f"{self.kind.__module__}.py").write_text("import os\nos.system('touch pwned')\nThing = dict\n")
        monkeypatch.syspath_prepend(folder)
        module = type(sys)(self.kind.__module__)
        module.Thing = self.kind
        monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.parametrize("base", [object, dict, list])
@pytest.mark.parametrize("packed", [True, False])
def test_foreign_objects_beside_weights_are_not_made(tmp_path, monkeypatch, base, packed):
    import torch

    from skelpipe.exchange.weights.opening import open_file

    monkeypatch.chdir(tmp_path)
    odd = Elsewhere("odd_module", base)
    odd.put_into(monkeypatch, tmp_path)
    thing = odd.kind({"a": 1}) if base is dict else odd.kind([1]) if base is list else odd.kind()
    thing.__dict__["state"] = 3 if base is not list else None
    if base is list:
        thing.__dict__.clear()
    torch.save({"model": {"a.weight": torch.ones(2)}, "more": thing}, "a.pt", _use_new_zipfile_serialization=packed)
    monkeypatch.delitem(sys.modules, "odd_module")
    opened = open_file(Path("a.pt"))
    assert opened.left_out == ("odd_module.Thing",)
    assert torch.equal(opened.value["model"]["a.weight"], torch.ones(2))
    assert "odd_module" not in sys.modules
    assert sorted(os.listdir()) == ["a.pt", "odd_module.py"]


CALLS = {
    "eval": (eval, ("open('pwned', 'w')",)),
    "exec": (exec, ("open('pwned', 'w')",)),
    "getattr": (getattr, (os, "system")),
    "open": (open, ("pwned", "w")),
    "system": (os.system, (TOUCH,)),
    "subprocess": (__import__("subprocess").call, (["touch", "pwned"],)),
    "import": (__import__("importlib").import_module, ("antigravity",)),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("packed", [True, False])
def test_weights_that_name_what_runs_code_are_refused(tmp_path, monkeypatch, name, packed):
    """The tensors beside it are whole: such a file is no accident."""
    import torch

    from skelpipe.exchange.weights.opening import open_file

    monkeypatch.chdir(tmp_path)
    if name == "getattr":
        monkeypatch.setattr(Runs, "__reduce__", lambda self: (getattr, ("x", "upper")))
    state = {"model": {"a.weight": torch.ones(2)}, "more": Runs(*CALLS[name])}
    torch.save(state, "a.pt", _use_new_zipfile_serialization=packed)
    with pytest.raises(BadInput, match="which would run code; nothing was run") as caught:
        open_file(Path("a.pt"))
    assert "\n" not in str(caught.value)
    assert os.listdir() == ["a.pt"]


def test_weights_of_endless_kinds_of_objects_are_refused(tmp_path):
    import torch

    from skelpipe.exchange.weights.opening import MOST_LEFT_OUT, open_file

    path = tmp_path / "a.pt"
    torch.save({"a.weight": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    data, start = path.read_bytes(), b"}q\x00X\x08\x00\x00\x00a.weight"
    assert data.count(start) == 1
    for count in (MOST_LEFT_OUT, MOST_LEFT_OUT + 1):
        kinds = b"".join(g(f"m{n}", "T") + b"q\x63" for n in range(count))
        path.write_bytes(data.replace(start, kinds + start))
        if count == MOST_LEFT_OUT:
            assert len(open_file(path).left_out) == count
        else:
            with pytest.raises(BadInput, match="holds more than 64 kinds of objects"):
                open_file(path)


# ---- YAML


def bomb(key: str) -> str:
    lines = ["a0: &a0 {x: 1}"] + [
        f"a{n}: &a{n} {{{', '.join(f'k{i}: *a{n - 1}' for i in range(9))}}}" for n in range(1, 12)
    ]
    return "\n".join([*lines, f"{key}: *a11"])


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system [touch pwned]", "!!python/object/new:os.system [touch pwned]", "a: !!python/name:os.system",
        "a: !!python/module:os", "a: !!python/tuple [1]", bomb("set"), "a: &a [*a]", "[" * 5000, "a: " + "9" * 5000, "a: 2024-13-45",
        "a: !!bool x", "a: !!timestamp x", "a: !!int x", 'a: "\\0"', 'a: "\\e[31m"', "a: " + "x" * (1 << 17), "? [1]\n: 2", "a: !!binary é",
    ],
)  # fmt: skip
def test_yaml_runs_nothing_and_is_refused_in_one_line(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(BadInput) as caught:
        load_yaml(path)
    assert len(str(caught.value)) < 500 + len(str(path))
    for command in (["run", str(path), "-n"], ["pretrain", str(path), "clips", "run", "--split", "xsub60"]):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 2
        assert done.output.count("\n") == 1
    with pytest.raises(BadInput):
        load_recipe(
            "skeletonclr", [f"source={text[text.find(' ') + 1 :]}" if text.startswith("a: !!py") else "source=[[[", "x"]
        )
    assert os.listdir() == ["a.yaml"]


def test_a_sweep_of_millions_is_refused(tmp_path):
    path = tmp_path / "a.yaml"
    sweep = {f"method.k{n}": list(range(100)) for n in range(6)}
    path.write_text(yaml.safe_dump({"title": "x", "splits": ["xsub60"], "recipes": ["skeletonclr"], "sweep": sweep}))
    with pytest.raises(BadInput, match="more than 10,000 pairings"):
        load_pipeline(path)


# ---- paths


def pipeline_file(folder: Path, **changes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.yaml").write_text((resources.shipped("models") / "skeletonclr.yaml").read_text())
    about = {
        "title": "toy", "splits": ["xsub60"], "recipes": ["./mine.yaml"], "streams": ["joint"], "synth": {"actions": 3},
        **changes,
    }  # fmt: skip
    (folder / "toy.yaml").write_text(yaml.safe_dump(about))
    return folder / "toy.yaml"


@pytest.mark.parametrize("place", ["../other.yaml", "a/../../other.yaml", "{}/other.yaml", "link.yaml"])
def test_a_pipeline_names_no_recipe_outside_its_folder(tmp_path, place):
    file = pipeline_file(tmp_path / "theirs", recipes=[place.format(tmp_path)])
    (tmp_path / "other.yaml").write_bytes((tmp_path / "theirs" / "mine.yaml").read_bytes())
    (tmp_path / "theirs" / "a").mkdir()
    (tmp_path / "theirs" / "link.yaml").symlink_to("../other.yaml")
    with pytest.raises(BadInput, match="lies outside the folder of the pipeline; put it there, or name it by --set"):
        load_pipeline(file)
    own = pipeline_file(tmp_path / "theirs")
    pipeline, path = load_pipeline(own, [f"recipes=[{tmp_path}/other.yaml]"])  # the user may
    assert list(plan(pipeline, path, tmp_path / "data")["runs"]) == ["runs/toy-50/xsub60/other/joint-s0/run"]


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a b", "$(touch pwned)", "-x", ""])
def test_names_that_become_folders_are_plain(tmp_path, name):
    folder = tmp_path / "p"
    file = pipeline_file(folder)
    stem = name.replace("/", "")
    (folder / f"{stem}.yaml").write_bytes(file.read_bytes())
    if not stem.isalnum():
        with pytest.raises(BadInput, match="use letters, digits|does not exist"):
            load_pipeline(folder / f"{stem}.yaml")
    recipe = load_recipe(folder / "mine.yaml", [f"name={json.dumps(name)}"])
    assert recipe.name == name
    config = plan(
        *load_pipeline(file, [f"set={json.dumps({'mine': [f'name={json.dumps(name)}']})}"]), tmp_path / "data"
    )
    for kind in (*show.DATA, "runs", "evaluations", "fusions", "reports"):
        for made in config[kind]:
            assert all(part not in ("", "..") for part in made.split("/")), made
            assert set(made) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.,+=-/"), made


@pytest.mark.parametrize("value", [*HOSTILE, "/tmp/x", "..", ["a", "../b"], {"a": "/b"}])
def test_a_setting_in_a_folder_name_leads_nowhere(value):
    assert set(_word(value)) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.,-")


# ---- what a person sees


@pytest.mark.parametrize("name", HOSTILE)
def test_text_from_files_is_shown_as_it_is(name):
    assert printable(name).isprintable()
    assert Dropped(name, "x", name).detail.isprintable()
    shown = md(name)
    assert shown.isprintable()
    for mark in "<>":
        assert mark not in shown
    assert all(shown[i - 1] == "\\" for i, c in enumerate(shown) if c in "|*_[]`$~")


@pytest.mark.parametrize("name", HOSTILE)
def test_figures_draw_any_name(name):
    counts = np.eye(3, dtype=int)
    figure = confusion.confusion_figure(counts, [name, "b", name], name, classes=[0, 2])
    assert style.png_bytes(figure, dpi=20).startswith(b"\x89PNG")
    points = [{"x": x, "mean": 0.5, "std": None} for x in (1, 2)]
    figure = sweeps.sweep_figure([{"title": name, "lines": [{"label": name, "points": points}]}], name)
    assert style.png_bytes(figure, dpi=20).startswith(b"\x89PNG")
    figure = curves.curves_figure({name: [{"epoch": 1, "loss": 1.0}]})
    assert style.png_bytes(figure, dpi=20).startswith(b"\x89PNG")


@pytest.fixture
def odd_clips(tmp_path):
    """A clips folder of hostile names, in a folder of such a name."""
    path = tmp_path / "[b] $x$ {y}'s"
    names = np.array(HOSTILE)
    columns = {"name": names} | {
        key: np.ones(len(names), np.int32) for key in ("label", "subject", "camera", "setup", "replication")
    }
    attributes = {"dataset": "ntu60", "layout": "kinect_v2", "frames": 4, "columns": list(columns), "bodies": "[/red]"}
    with new_folder(path, "clips") as folder:
        group = store.create_group(folder, "clips", attributes)
        clips = np.random.default_rng(0).normal(size=(len(names), 3, 4, 25, 2)).astype(np.float32)
        store.write_array(group, "clips", clips, 8)
        store.write_array(group, "length", np.full(len(names), 4, np.int32))
        store.write_columns(group, columns)
    return path


def test_commands_show_hostile_names_harmlessly(odd_clips, tmp_path):
    for words in (["inspect", odd_clips], ["plot", odd_clips, "nobody [/red] \x1b[31m", tmp_path / "x.png"]):
        done = CliRunner().invoke(main, list(map(str, words)))
        assert done.exception is None or isinstance(done.exception, SystemExit)
        assert all(line.isprintable() for line in done.output.split("\n")), done.output
    for number, name in enumerate(HOSTILE[:6]):
        done = CliRunner().invoke(main, ["plot", str(odd_clips), "--", name, str(tmp_path / f"{number}.png")])
        assert done.exit_code == 0, done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([odd_clips.name, *(f"{n}.png" for n in range(6))])


# ---- pipelines and the shell


SHELL = "x; touch pwned $(touch pwned) `touch pwned` 'a' \"b\" {input} {{x}} \\ * ? é [red] % # ~ & | > pwned"


@pytest.mark.timeout(200)
def test_words_pass_through_snakemake_unharmed(tmp_path, monkeypatch, capsys):
    """Title, overrides and paths full of quotes, braces and commands reach the stages letter by letter."""
    monkeypatch.setenv("PYTHONPATH", str(PACKAGE.parent))
    odd = tmp_path / 'it\'s {input} $(touch pwned) "q" [b] é; touch pwned #'
    raw = odd / "raw {output} 'r'"
    raw.mkdir(parents=True)
    (raw / "S001C001P001R001A001.skeleton").write_text("0\n")
    changes = {"set": {"mine": ["title=" + json.dumps(SHELL), "source=" + json.dumps("two\nlines")]}, "title": SHELL}
    file = pipeline_file(odd / "theirs", synth=None, **changes)
    monkeypatch.chdir(tmp_path)
    status = run(file, data=odd / "data", raw=raw, command=[sys.executable, str(FAKE)])
    shown = capsys.readouterr()
    assert status == 0, shown.err
    assert all(line.isprintable() for line in (shown.out + shown.err).split("\n"))
    calls = {words[0]: words for words in map(shlex.split, _calls(odd / "data"))}
    assert calls["ingest"][1:4] == ["ntu60", str(raw), "stores/ntu60.zarr"]
    assert calls["pretrain"][1] == str(odd / "theirs" / "mine.yaml")
    given = [calls["pretrain"][i + 1] for i, word in enumerate(calls["pretrain"]) if word == "--set"]
    assert {key: yaml.safe_load(value) for key, _, value in (change.partition("=") for change in given)} == {
        "title": SHELL, "source": "two\nlines",
    }  # fmt: skip
    assert calls["report"][calls["report"].index("--title") + 1] == SHELL
    assert list(tmp_path.rglob("*pwned")) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [odd.name]
    # All is done, and nothing of it is done again.
    (odd / "data" / "calls.txt").unlink()
    assert run(file, data=odd / "data", raw=raw, command=[sys.executable, str(FAKE)]) == 0
    assert not (odd / "data" / "calls.txt").exists()


def _calls(data: Path) -> list[str]:
    """The stages' calls, which may have several lines each."""
    calls: list[str] = [""]
    for line in (data / "calls.txt").read_text().splitlines(keepends=True):
        calls[-1] += line
        try:
            shlex.split(calls[-1])
        except ValueError:  # inside quotes
            continue
        calls.append("")
    return calls[:-1]


@pytest.mark.parametrize("title", ["two\nlines", "\x1b[31m", "\0"])
def test_a_title_is_one_line(tmp_path, title):
    with pytest.raises(BadInput, match="a title is one line|control character"):
        load_pipeline(pipeline_file(tmp_path, title=title))


def test_a_stage_cannot_write_to_the_terminal(tmp_path, capsys):
    (tmp_path / "a.log").write_bytes(b"skelpipe: \x1b[31m[/red] \xc2\x9b2J\n\n")
    job = watch.Job("ingest", {"log": "a.log", "output": "x/done.json"}, command="skelpipe \x1b[31m > a.log 2>&1")
    watcher = watch.Watch(show.new_console(), tmp_path, [], False, watch.Signals())
    for end in (watcher._finish, lambda jobid: watcher._fail(jobid, "")):
        watcher.jobs["1"] = job
        end("1")
    watcher._open, job.facts["jobid"] = job, "2"
    watcher._announce()
    told = capsys.readouterr()
    assert "failed: \\x1b[31m[/red] \\x9b2J" in told.err
    assert all(line.isprintable() for line in (told.out + told.err).split("\n"))
