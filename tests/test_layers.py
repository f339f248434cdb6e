"""Who may import whom: a wing imports those below it, and inside a wing, too, imports run one way."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import skelpipe

PACKAGE = Path(skelpipe.__file__).parent
# From the ground up; wings of one line know nothing of each other. `skelpipe` itself (the version) is below them all.
WINGS = [
    {"errors", "allocator", "caches", "kernels", "parallel"},
    {"resources", "settings", "ranks"},
    {"layouts"},
    {"outputs", "paper"},
    {"encoders", "methods"},
    {"recordings"},
    {"clips", "inspect", "plots"},
    {"training"},
    {"evaluation", "exchange"},
    {"predict", "report"},
    {"bench", "api", "doctor"},
    {"pipeline"},  # which shows what a report shows
    {"cli"},
    {"__main__"},
]
LEVEL = {wing: level for level, wings in enumerate(WINGS) for wing in wings}
# The rooms of a wing in the same way; a module that stands in none of them may import all.
ROOMS = {
    "recordings": [
        {"text", "native", "beginnings"},
        {"datasets"},
        {"pickles", "store", "synthetic"},
        {"conventions"},
        {"poses"},
    ],
    "clips": [{"balance", "philox", "streams", "transfer"}, {"augment"}, {"gather"}, {"views"}, {"batches"}],
    "encoders": [{"plain"}, {"graph", "cpu"}],
    "evaluation": [{"intervals"}, {"fit", "scores"}, {"features", "fuse"}, {"protocol"}],
    "exchange": [{"arrays", "onnx", "weights"}],
    "plots": [{"style", "motion"}],
    "cli": [
        {"importing", "options", "progress", "interrupts", "usage"},
        {"all_at_once", "data", "here", "learn", "look", "measure", "predict"},
        {"program"},
    ],
}
# What does not belong into a wing at all: it would be slow to load, or is another wing's business.
FOREIGN = {
    **dict.fromkeys(
        ("errors", "allocator", "caches", "parallel", "layouts", "resources", "settings"), "torch zarr numba pandas"
    ),
    **dict.fromkeys(("outputs", "paper"), "torch zarr numba pandas"),
    "kernels": "torch zarr pandas",
    "recordings": "torch",
    "clips": "",  # batches are torch's
    "encoders": "zarr",
    "methods": "zarr numba",
}
EVERYWHERE = {
    "click": "cli", "snakemake": "pipeline", "matplotlib": "plots", "rich": "bench cli doctor inspect pipeline",
    "cv2": "predict", "mediapipe": "predict", "wandb": "training", "mlflow": "training",
}  # fmt: skip
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    """`skelpipe/recordings/datasets/ntu.py` -> recordings.datasets.ntu; of the package itself ''."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Full names of all that a module imports, in functions too, but not what only a type checker sees."""
    found = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for child in node.orelse:
                visit(child)
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written in full"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


NAMES = {name_of(path) for path in MODULES}


def known(name: str) -> str:
    """The module that a full name of ours lies in, without `skelpipe.`."""
    name = name.removeprefix("skelpipe").removeprefix(".")
    while name not in NAMES:
        name = name.rpartition(".")[0]
    return name


def ours(path: Path) -> set[str]:
    """The modules of ours that a module imports."""
    return {known(name) for name in imports(path) if name.partition(".")[0] == "skelpipe"} - {""}


@pytest.mark.parametrize("path", [path for path in MODULES if name_of(path)], ids=name_of)
def test_a_module_imports_its_own_wing_and_those_below(path):
    wing = name_of(path).partition(".")[0]
    assert wing in LEVEL, f"{wing} stands in no line of WINGS"
    for name in ours(path):
        other = name.partition(".")[0]
        assert other == wing or LEVEL[other] < LEVEL[wing], f"{wing} does not import {name}"


@pytest.mark.parametrize("path", [path for path in MODULES if name_of(path)], ids=name_of)
def test_what_is_slow_or_foreign_stays_in_its_wing(path):
    wing = name_of(path).partition(".")[0]
    for name in imports(path):
        package = name.partition(".")[0]
        assert package not in FOREIGN.get(wing, "").split(), f"{wing} does not import {package}"
        assert wing in EVERYWHERE.get(package, wing).split(), f"{wing} does not import {package}"


@pytest.mark.parametrize("wing", sorted(LEVEL))
def test_inside_a_wing_imports_run_one_way(wing):
    rooms = {room: level for level, line in enumerate(ROOMS.get(wing, ())) for room in line}
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        name = name_of(path)
        if name.partition(".")[0] != wing:
            continue
        graph[name] = {other for other in ours(path) if other.partition(".")[0] == wing} - {name}
        room = name.partition(".")[2].partition(".")[0]
        for other in graph[name]:
            to = other.partition(".")[2].partition(".")[0]
            if room in rooms and to and to != room:
                assert rooms.get(to, len(rooms)) < rooms[room], f"{name} does not import {other}"
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def test_the_root_is_small_and_modules_and_functions_fit_their_place():
    assert len([path for path in MODULES if path.parent == PACKAGE]) <= 9
    for path in MODULES:
        text = path.read_text()
        assert text.count("\n") <= 400, f"{path}: split it by what it lists"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = node.end_lineno - node.lineno + 1
                assert lines <= 60, f"{path}: {node.name} has {lines} lines"


def test_every_wing_and_room_is_there():
    assert {name.partition(".")[0] for name in NAMES} - {""} == set(LEVEL)
    for wing, lines in ROOMS.items():
        assert {f"{wing}.{room}" for line in lines for room in line} <= NAMES


def test_no_name_of_a_package_hides_one_of_its_modules():
    for path in MODULES:
        if path.name != "__init__.py":
            continue
        modules = {name.rpartition(".")[2] for name in NAMES if name.rpartition(".")[0] == name_of(path)} - {""}
        bound = {alias.asname or alias.name for node in ast.walk(ast.parse(path.read_text()))
                 if isinstance(node, ast.ImportFrom) for alias in node.names
                 if f"{node.module}.{alias.name}".removeprefix("skelpipe.") not in NAMES}  # fmt: skip
        bound |= {node.name for node in ast.parse(path.read_text()).body
                  if isinstance(node, ast.FunctionDef | ast.ClassDef)}  # fmt: skip
        assert not modules & bound, f"{path}: {modules & bound} could be the module or what stands in it"
    assert not {*skelpipe.__all__} & {name.partition(".")[0] for name in NAMES}


def test_tests_stand_in_the_wings_that_they_test():
    for folder in Path(__file__).parent.iterdir():
        if folder.is_dir() and list(folder.glob("test_*.py")):
            assert folder.name in {*LEVEL, "docs", "fuzz"}, f"{folder.name} is no wing"


def test_the_rule_sees_imports_in_functions_and_skips_those_for_type_checkers(tmp_path):
    path = tmp_path / "x.py"
    hidden, seen = "if TYPE_CHECKING:\n    import zarr\nelse:\n    import a\n", "from skelpipe.cli import main"
    path.write_text(f"{hidden}def f():\n    {seen}\n    import b.c\n")
    assert imports(path) == {"a", "skelpipe.cli.main", "b.c"}
    assert ours(path) == {"cli"}
    assert known("skelpipe.cli.program.main") == "cli.program"
