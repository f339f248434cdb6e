"""What the commands of the documentation name and do not make themselves: made small, once, where it is asked for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import click
import numpy as np
import yaml
from click.testing import CliRunner
from conftest import small

from skelpipe import resources
from skelpipe.cli import main
from skelpipe.recordings.datasets import DATASETS
from skelpipe.recordings.synthetic import write_raw
from skelpipe.training.recipe import ClipsNeeded, Recipe, load_recipe

# How small: every class and person of a split is there, and no more.
SIZES = {
    "ntu60": {"actions": 3, "subjects": 4, "setups": 1, "replications": 1},
    "ntu120": {"actions": 4, "subjects": 4, "setups": 4, "replications": 1},
    "pku1": {"actions": 3, "subjects": 4, "replications": 1},
    "pku2": {"actions": 3, "subjects": 4, "replications": 1},
    "nw-ucla": {"actions": 3, "subjects": 4, "replications": 1},
}
SPLIT = {"ntu60": "xsub60", "ntu120": "xsub120", "pku1": "pku1-xsub", "pku2": "pku2-xsub", "nw-ucla": "nw-ucla-xview"}
STREAMS = ("joint", "motion", "bone")
RECIPES = {"supervised": "stgcn_supervised", "aimclr": "aimclr"}  # by a word in a run's name
# What an argument or option is that a command makes, and does not read.
MADE = {
    "synth": ("raw",), "ingest": ("store",), "prepare": ("clips",), "join": ("whole",), "streams": ("out",),
    "import": ("clips",), "export": ("out",), "pretrain": ("run",), "import-weights": ("run",),
    "export-weights": ("file",), "export-onnx": ("file",), "evaluate": ("out",), "embed": ("out",), "fuse": ("out",),
    "report": ("out",), "predict": ("out", "timeline"), "plot": ("out",), "poses": ("out",), "bench": ("out",),
}  # fmt: skip
OPTIONS = {
    "finetune": {"epochs": 1, "batch_size": 8}, "transfer": {"epochs": 1, "batch_size": 8},
    "semi": {"epochs": 1, "draws": 1, "fractions": [0.5], "batch_size": 8}, "aec": {"epochs": 1},
    "fewshot": {"shots": [1], "draws": 1}, "early": {},
}  # fmt: skip


def call(*words: object) -> str:
    """Run a command of ours here; its output. AssertionError if it fails."""
    frames = "\n".join(json.dumps([[v * 7.0 + t, v * 5.0 + 3] for v in range(17)]) for t in range(60))
    given = frames if "-" in words else None  # who follows a pipe
    result = CliRunner().invoke(main, [str(word) for word in words], prog_name="skelpipe", input=given)
    told = f"skelpipe {' '.join(map(str, words))}\n{result.output}"
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise AssertionError(told) from result.exception
    assert result.exit_code == 0, told
    return result.output


def parsed(words: list[str]) -> click.Context:
    """The parameters of `skelpipe WORDS…`, checked as the command line checks them.

    Raises:
        click.UsageError: an option or value is wrong.
        KeyError: there is no such command.
    """
    command = main.commands[words[0]]
    return command.make_context(words[0], [*words[1:]])


def tiny_recipes(folder: Path) -> None:
    """The shipped recipes by their names, so small that each trains in a moment."""
    folder.mkdir(parents=True)
    for name in resources.names("models"):
        recipe = load_recipe(name)
        epochs = 4 if name == "small_predict_cluster" else 2  # whose page measures it after the fourth
        changes = [*small(recipe), "batch_size=8", "keep_every=4"]
        made = load_recipe(name, changes, epochs=epochs)
        data = yaml.safe_load(made.dump())
        data = {key: value for key, value in data.items() if value is not None and key != "name"}
        own = data.get("evaluate") or {}
        known = own.get("options", {})
        own["options"] = {**known, **{key: {**known.get(key, {}), **each} for key, each in OPTIONS.items()}}
        if "linear" in own["options"]:
            own["options"]["linear"].update(epochs=1)
        data["evaluate"] = own
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(data, sort_keys=False))


class World:
    """Makes what is missing; what several pages need is kept in `kept`.

    Attributes:
        recipes: those that ship, by name, which `tiny_recipes` stand in for.
        whole: whether a page makes its data itself, so that a reader's are as many.
    """

    def __init__(self, kept: Path, recipes: Mapping[str, Recipe]) -> None:
        self.kept, self.recipes, self.whole = kept, recipes, False

    def provide(self, words: list[str]) -> None:
        """Make in the current folder what a command reads and what is not there."""
        context = parsed(words)
        if words[0] == "run":  # which finds by itself what there is, and is only asked for its plan
            if words[1].endswith(".yaml"):
                self.make("recordings", context)
            return
        made = MADE.get(words[0], ())
        for parameter in context.command.params:
            value = context.params.get(parameter.name or "")
            if parameter.name in made or value is None:
                continue
            for each in value if isinstance(value, list | tuple) else [value]:
                # Words that are no paths, as names of recipes, are among them where a command takes both.
                loose = words[0] in ("predict", "inspect", "report") and isinstance(parameter, click.Argument)
                is_path = isinstance(parameter.type, click.Path) or loose
                if is_path and isinstance(each, str | Path):
                    self.make(str(each), context)
        if words[0] == "ingest" and str(context.params["dataset"]).endswith(".yaml"):
            self.make("recordings", context)

    def make(self, name: str, context: click.Context) -> None:
        """Make the file or folder of that name, by what its name says that it is."""
        path = Path(name)
        if path.exists() or name == "-":
            return
        for fits, maker in MAKERS:
            if fits(name):
                path.parent.mkdir(parents=True, exist_ok=True)
                maker(self, path, context)
                return
        raise AssertionError(f"nothing says how {name} is made; see MAKERS")

    def copy(self, key: str, path: Path, make: Callable[[Path], object]) -> None:
        """Put there what `make` makes, which is asked for it once."""
        kept = self.kept / key
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            make(kept)
        (shutil.copytree if kept.is_dir() else shutil.copy)(kept, path)

    def raw(self, path: Path, context: click.Context) -> None:
        dataset = dataset_of(path)
        self.copy(f"raw-{dataset}", path, lambda to: write_raw(dataset, to, frames=(20, 30), **SIZES[dataset]))

    def zipped(self, path: Path, context: click.Context) -> None:
        folder = self.kept / "zipped"
        write_raw("nw-ucla", folder, frames=(20, 30), zip=True, **SIZES["nw-ucla"])
        shutil.copy(next(folder.rglob("*.zip")), path)
        shutil.rmtree(folder)

    def store(self, path: Path, context: click.Context) -> None:
        if "gym" in path.name:
            self.recordings(Path("recordings"), context)
            words = ["--layout", "coco17", "--labels", "labels.csv", "--name", "gym"]
            call("ingest", "poses", "recordings", path, *words)
            return
        dataset, part = dataset_of(path), path.name.partition("of")[0][-1:]
        if "of" in path.name and part.isdigit():  # data/stores/ntu120-1of2.zarr
            raw, parts = self.kept / f"raw-{dataset}", path.name.partition("of")[2].partition(".")[0]
            self.copy(
                f"raw-{dataset}",
                self.kept / "unused",
                lambda to: write_raw(dataset, to, frames=(20, 30), **SIZES[dataset]),
            ) if not raw.exists() else None
            call("ingest", dataset, raw, path, "--part", f"{part}/{parts}", "--workers", 0)
            return
        self.copy(f"store-{dataset}", path, lambda to: self._ingest(dataset, to))

    def _ingest(self, dataset: str, to: Path) -> None:
        raw = self.kept / f"raw-{dataset}"
        if not raw.exists():
            write_raw(dataset, raw, frames=(20, 30), **SIZES[dataset])
        call("ingest", dataset, raw, to, "--workers", 0)

    def clips(self, path: Path, context: click.Context) -> None:
        """Clips as the recipe needs them that a command names, or that the clips are called after."""
        name = str(context.params.get("recipe", path.stem))
        known = name in resources.names("models")
        needed = load_recipe(name).clips if known else ClipsNeeded()
        dataset = dataset_of(path)
        key = f"clips-{dataset}-{name if needed != ClipsNeeded() else 'usual'}"
        words = ["--preset", needed.preset] if needed != ClipsNeeded() else []
        words += ["--frames", str(needed.frames)] if needed.frames else []
        words += ["--longest", str(needed.longest)] if needed.longest else []
        for kind, choice in needed.steps.items():
            words += ["--step", f"{kind}={choice}"]
        if "gym" in path.name:
            self.make(str(path).replace("-50", ""), context)
            call("prepare", str(path).replace("-50", ""), path, "--no-turn")
            return

        def make(to: Path) -> None:
            store = self.kept / f"store-{dataset}"
            if not store.exists():
                self._ingest(dataset, store)
            call("prepare", store, to, *words, "--threads", 1)

        self.copy(key, path, make)

    def run(self, path: Path, context: click.Context) -> None:
        stream = next((each for each in STREAMS if each in str(path)), "joint")
        recipe = next((known for word, known in RECIPES.items() if word in str(path)), "demo_crosnnclr")

        def make(to: Path) -> None:
            clips = self.kept / "clips-ntu60-usual"
            if not clips.exists():
                self.clips(self.kept / "made" / "ntu60-50.zarr", context)
            call("pretrain", recipe, clips, to, "--split", "xsub60", "--stream", stream, "--threads", 1)

        self.copy(f"run-{recipe}-{stream}", path, make)

    def evaluation(self, path: Path, context: click.Context) -> None:
        if "gym" in str(path):
            self.make("data/stores/gym-50.zarr", context)
            run = "data/runs/gym-of-evaluation"
            words = ["--split", "subject:1,2,4", "--stream", "joint", "--threads", 1]
            call("pretrain", "small_crosnnclr", "data/stores/gym-50.zarr", run, *words)
            call("evaluate", run, "data/stores/gym-50.zarr", path, "--protocol", "linear")
            return
        stream = next((each for each in STREAMS if each in str(path)), "joint")

        def make(to: Path) -> None:
            run = self.kept / f"run-demo_crosnnclr-{stream}"
            if not run.exists():
                self.run(self.kept / "made" / stream, context)
            call("evaluate", run, self.kept / "clips-ntu60-usual", to, "--protocol", "linear", "--protocol", "knn")

        self.copy(f"evaluation-{stream}", path, make)

    def fused(self, path: Path, context: click.Context) -> None:
        parts = [self.kept / f"evaluation-{stream}" for stream in STREAMS]
        for stream, part in zip(STREAMS, parts, strict=True):
            if not part.exists():
                self.evaluation(self.kept / "made" / f"{stream}-eval", context)
        self.copy("fused", path, lambda to: call("fuse", *parts, "--out", to))

    def runs(self, path: Path, context: click.Context) -> None:
        path.mkdir(parents=True)
        self.run(path / "joint", context)
        self.evaluation(path / "joint-eval", context)

    def report(self, path: Path, context: click.Context) -> None:
        self.runs(Path("data/runs-of-report"), context)
        call("report", "data/runs-of-report", "--out", path)

    def recordings(self, path: Path, context: click.Context) -> None:
        """People in pictures, as a detector of COCO's joints sees them, and a table of what they do."""
        rng = np.random.default_rng(0)
        path.mkdir(parents=True, exist_ok=True)
        rows = ["name,label,subject"]
        for subject in range(1, 6):
            for label, name in enumerate(("squat", "lunge", "plank")):
                for take in range(4):  # of three people more than a batch of the small recipes
                    t = np.linspace(0, 2 * np.pi, 24)[:, None]
                    body = rng.uniform(100, 300, (17, 2))
                    swing = rng.normal(0, 20, (17, 2))
                    frames = body + swing * np.sin((label + 1) * t)[..., None]
                    np.save(path / f"{name}_{subject}_{take}.npy", frames.astype(np.float32))
                    rows.append(f"{name}_{subject}_{take},{name},{subject}")
        Path("labels.csv").write_text("\n".join(rows) + "\n")

    def table(self, path: Path, context: click.Context) -> None:
        self.recordings(Path("recordings"), context)

    def long(self, path: Path, context: click.Context) -> None:
        rng = np.random.default_rng(1)
        joints = rng.normal(0, 0.3, (1, 25, 3)) + rng.normal(0, 0.05, (90, 25, 3)).cumsum(0) * 0.1
        np.save(path, joints.astype(np.float32))

    def weights(self, path: Path, context: click.Context) -> None:
        recipe = "stgcn_supervised" if "linear" in path.name or "st_gcn" in path.name else "aimclr"
        run = self.kept / f"run-{recipe}-joint"
        if not run.exists():
            self.run(self.kept / "made" / ("supervised" if "stgcn" in recipe else recipe), context)
        call("export-weights", run, path)

    def npz(self, path: Path, context: click.Context) -> None:
        self.exported("ctrgcn-npz", path)

    def exported(self, form: str, path: Path) -> None:
        store = self.kept / "store-ntu60"
        if not store.exists():
            self._ingest("ntu60", store)
        folder = self.kept / f"exported-{form}"
        if not folder.exists():
            call("export", form, store, folder, "--split", "xsub60")
        found = next(each for each in folder.rglob(f"*{path.suffix}") if each.is_file())
        shutil.copy(found, path)

    def arrays(self, path: Path, context: click.Context) -> None:
        """AGCN's array, and its labels."""
        folder = self.kept / "exported-agcn-npy"
        if not folder.exists():
            self.exported("agcn-npy", self.kept / "unused.npy")
        wanted = next(each for each in folder.rglob("*") if each.name.endswith(path.name.partition("_")[2]))
        shutil.copy(wanted, path)


def dataset_of(path: Path) -> str:
    """Which data set the name of a file speaks of."""
    name = str(path).replace("ucla", "nw-ucla").replace("nw-nw-", "nw-")
    return next((each for each in ("nw-ucla", "ntu120", *DATASETS) if each in name), "ntu60")


def _ends(*ends: str) -> Callable[[str], bool]:
    return lambda name: name.rstrip("/").endswith(ends)


MAKERS: list[tuple[Callable[[str], bool], Callable[[World, Path, click.Context], None]]] = [
    (_ends("recordings"), lambda world, path, context: (
        world.raw(path, context) if context.info_name == "predict" else world.recordings(path, context))),
    (_ends("skeletons"), World.raw),
    (_ends("labels.csv"), World.table),
    (_ends("all_sqe.zip"), World.zipped),
    (_ends("long.npy"), World.long),
    (_ends("_joint.npy", "_label.pkl"), World.arrays),
    (_ends(".npz"), World.npz),
    (_ends(".pt"), World.weights),
    (lambda name: "/raw/" in name or name.startswith("raw/"), World.raw),
    (lambda name: name.endswith(".zarr") and not any(word in name for word in ("-50", "-isc", "streams")) and (
        Path(name).stem.partition("-")[0] in (*DATASETS, "ucla", "gym", "toy", "nw")
        or Path(name).stem in DATASETS), World.store),
    (_ends(".zarr"), World.clips),
    (lambda name: "fused" in name, World.fused),
    (_ends("eval", "linear+knn", "evaluations/bone"), World.evaluation),
    (lambda name: "reports/" in name, World.report),
    (_ends("data", "data/runs", "xsub60", "runs"), World.runs),
    (lambda name: "runs/" in name, World.run),
]  # fmt: skip
