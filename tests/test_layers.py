"""Who may import whom: a module imports its own layer and those below."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import skelpipe

PACKAGE = Path(skelpipe.__file__).parent
# fmt: off
LAYERS = {
    1: [
        "allocator", "disk", "errors", "guard", "history", "locks", "outputs", "parallel", "resources", "settings",
        "skeleton", "sums",
    ],
    2: [
        "store", "damage", "datasets", "prepare", "parts", "streams", "augment", "philox", "rowwise", "scores",
        "pickles",
    ],
    3: ["ingest", "batches", "formats"],
    4: ["encoders", "methods", "ranks", "saved"],
    5: [
        "recipe",
        "pretrain",
        "weights",
        "evaluate",
        "fuse",
        "report",
        "plots",
        "paper",
        "systems",
        "describe",
        "lineage",
        "dag",
        "pipeline",
        "bench",
    ],
    6: ["cli", "__main__"],
}
# fmt: on
LAYER = {name: layer for layer, names in LAYERS.items() for name in names}
FORBIDDEN = {  # layer -> packages that do not belong there
    1: {"torch", "zarr", "numba", "click", "pandas", "matplotlib", "sklearn", "rich"},
    2: {"torch", "click", "rich"},
    3: {"click", "rich"},
    4: {"zarr", "numba", "click", "rich"},
    5: {"click"},
    6: set(),
}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def part_of(path: Path) -> str:
    """`skelpipe/datasets/ntu.py` -> datasets"""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


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


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_imports_its_own_layer_and_those_below(path):
    layer = LAYER[part_of(path)]
    for name in imports(path):
        package, _, rest = name.partition(".")
        assert package not in FORBIDDEN[layer], f"layer {layer} does not import {package}"
        below = rest.partition(".")[0]
        if package == "skelpipe" and below in LAYER:
            assert LAYER[below] <= layer, f"layer {layer} does not import {name} of layer {LAYER[below]}"


def test_every_module_has_a_layer():
    assert {part_of(path) for path in MODULES} == set(LAYER)


def test_the_rule_sees_imports_in_functions_and_skips_those_for_type_checkers(tmp_path):
    path = tmp_path / "x.py"
    hidden, seen = "if TYPE_CHECKING:\n    import zarr\nelse:\n    import a\n", "from skelpipe.cli import main"
    path.write_text(f"{hidden}def f():\n    {seen}\n    import b.c\n")
    assert imports(path) == {"a", "skelpipe.cli.main", "b.c"}
