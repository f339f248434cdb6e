"""Other inputs, encoders, objectives and optimisers, from raw recordings to accuracies by the command line."""

from __future__ import annotations

import json
import signal
import textwrap
from dataclasses import replace
from pathlib import Path
from shlex import split

import numpy as np
import pytest
from kills import CPU, Forked

from skelpipe.layouts import find_layout
from skelpipe.layouts.mapping import map_joints
from skelpipe.outputs.folders import new_folder
from skelpipe.recordings import store
from skelpipe.recordings.datasets import DATASETS
from skelpipe.recordings.datasets.recording import Recording
from skelpipe.recordings.writer import Writer

TOYS = Path(__file__).parent / "methods"
CONTRAST = "projector: {size: 8}\nmethod: {name: skeletonclr, queue_size: 24}\nbatch_size: 8\nepochs: 3\n"
RECIPES = {
    "crops": """
        clips: {preset: isc, frames: 40}
        encoder: {name: recurrent, cell: gru, layers: 2, width: 6, direction: two_forward}
        views:
          query: [{crop_resize: {frames: 64, least: 16}}, {shear: {amplitude: 1}}]
          key: [{crop_resize: {frames: 64}}]
        evaluate: {view: [{centre_crop: {frames: 64}}], protocols: [linear, knn], probe: lbfgs}
        optimizer: {name: adam, lr: 0.01}
        schedule: {name: cosine, warmup: 1}
        clip_gradients: {by: global_norm, at: 1}
    """,
    "native": """
        clips: {preset: raw, frames: native}
        encoder: {name: recurrent, cell: lstm, layers: 1, width: 8, direction: uni, pooling: mean_valid}
        views: {query: [{first: {frames: 32}}, shear], key: [{first: {frames: 32}}, jitter]}
        evaluate: {view: [{first: {frames: 32}}], protocols: [linear, knn], probe: lbfgs}
        optimizer: {name: rmsprop, lr: 0.002}
        schedule: {name: exponential, gamma: 0.9}
    """,
    "networks": """
        method: {name: two_networks, weights: {back: 0.5, size: 0.1}}
        encoder: {width: 2, features: 8, dropout: 0}
        projector: {size: 8}
        views: {one: normal, other: [crop]}
        evaluate: {protocols: [linear, knn], probe: lbfgs}
        optimizer: {name: adamw}
        batch_size: 8
        epochs: 3
    """,
    "pictures": """
        clips: {preset: aimclr, frames: 12, steps: {align: none}}
        encoder: {width: 2, features: 8, dropout: 0}
        views: {query: [crop, shear, flip], key: [crop, shear]}
        evaluate: {protocols: [linear, knn], probe: lbfgs}
    """,
}  # fmt: skip
SYNTH = "synth ntu60 raw --actions 3 --subjects 4 --setups 1 --replications 2 --frames 18 36"
COMMANDS = (SYNTH, "ingest ntu60 raw store --workers 0", "prepare store networks.clips --frames 12 --threads 1")


def write_pictures(path: Path, source: Path) -> None:
    """The same recordings as a COCO-17 detector would see them: in a store, by the writer that ingest has."""
    group, attributes = store.open_group(source, "store")
    seen, there = find_layout("kinect_v2"), find_layout("coco17")
    columns = {name: store.read_array(group, name) for name in attributes["columns"]}
    offset, frames = store.read_array(group, "clip_offset"), store.read_array(group, "clip_frames")
    rows = {name: store.read_array(group, name) for name in ("joints", "row_frame", "row_body")}
    joints = map_joints(rows["joints"], seen, there, missing="nearest")[0]
    with new_folder(path, "store") as folder:
        writer = Writer(folder, replace(DATASETS["ntu60"], layout="coco17"), [])
        for n, name in enumerate(columns["name"].tolist()):
            part = slice(offset[n], offset[n + 1])
            ids = {key: values[n].item() for key, values in columns.items() if key != "name"}
            values = {"joints": np.ascontiguousarray(joints[part], np.float32)}
            values |= {key: rows[key][part] for key in ("row_frame", "row_body")}
            writer.add(Recording(name, ids, int(frames[n]), **values))
        writer.finish({"keep_missing": False})


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with raw recordings, stores, recipes and what makes the toy method known, and a program that forks."""
    root = tmp_path_factory.mktemp("wide")
    announced = root / "site" / "toys-1.dist-info"
    announced.mkdir(parents=True)
    (announced / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1\n")
    (announced / "entry_points.txt").write_text("[skelpipe.methods]\ntwo_networks = toy_networks:TwoNetworks\n")
    for name, text in RECIPES.items():
        contrast = "" if name == "networks" else CONTRAST
        (root / f"{name}.yaml").write_text(textwrap.dedent(text) + contrast)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{root / 'site'}:{TOYS}")
        server = Forked(root)
        for command in COMMANDS:
            done = server.run(split(command))
            assert done.status == 0, done.said
        write_pictures(root / "pictures.store", root / "store")
        yield root, server
        server.close()


def run(server: Forked, command: str, **order) -> str:
    done = server.run([*split(command), *CPU], **order)
    assert done.status == 0, done.said
    return done.said


def files_of(run: Path) -> dict[str, bytes]:
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    told = [{key: value for key, value in entry.items() if "second" not in key} for entry in log]
    return {"weights": (run / "weights.safetensors").read_bytes(), "log": json.dumps(told).encode()}


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_is_killed_goes_on_and_is_measured(name, place):
    root, server = place
    source = "pictures.store" if name == "pictures" else "store"
    pretrain = f"pretrain ./{name}.yaml {{}}.clips {{}} --split xsub60 --stream joint"
    if name != "networks":
        refused = server.run([*split(pretrain.format("networks", f"{name}.wrong")), *CPU])
        assert refused.status == 2
        assert "make such clips by 'skelpipe prepare" in refused.said
        command = refused.said[refused.said.index("'skelpipe prepare") :].strip()[len("'skelpipe ") : -1]
        words = [source, f"{name}.clips", *split(command)[3:]]  # the store and the folder are for the user to name
        made = server.run(["prepare", *words, "--threads", "1"])
        assert made.status == 0, made.said
    run(server, pretrain.format(name, f"{name}.whole"))
    killed = server.run(
        [*split(pretrain.format(name, f"{name}.killed")), *CPU],
        hook={"at": 40, "then": "before", "signal": signal.SIGKILL}, checkpoint_seconds=0,
    )  # fmt: skip
    assert killed.status == -signal.SIGKILL, killed.said
    assert (root / f"{name}.killed" / "checkpoint.pt").exists()
    run(server, pretrain.format(name, f"{name}.killed"))
    assert files_of(root / f"{name}.killed") == files_of(root / f"{name}.whole")
    run(server, f"evaluate {name}.whole {name}.clips {name}.out")  # its authors' protocols, by itself
    metrics = json.loads((root / f"{name}.out" / "metrics.json").read_text())
    assert set(metrics["protocols"]) == {"linear", "knn"}
    run(server, pretrain.format(name, f"{name}.ranks") + " --gpus 2 --set batch_norm=synced")
    one, two = ([json.loads(line) for line in (root / f"{name}.{kind}" / "log.jsonl").read_text().splitlines()]
                for kind in ("whole", "ranks"))  # fmt: skip
    np.testing.assert_allclose([e["loss"] for e in two], [e["loss"] for e in one], rtol=2e-3)
