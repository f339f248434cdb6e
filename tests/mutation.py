"""Do the tests notice when the code is wrong? Mutants by Cosmic Ray, each tried on the tests that guard its module.

    pip install -e ".[mutation]"
    python tests/mutation.py [MODULE ...] [--sample 60] [--seed 0] [--record FILE]

A mutant is a module with one operator, comparison, number, condition, loop or decorator changed. `GUARDS` says which
tests are meant to see that. Mutants that no test can see, because they compute the same, stand in `tests/mutants.json`
with the reason and are counted apart; annotations and the options of compilation are never mutated.

Every mutant is tried in a process that is forked when all third-party modules are loaded already, in a copy of this
checkout. Compiled kernels are kept under the digest of what they compute, constants and callees included, because
Numba's own key (bytecode and the file's time) would give a mutant the kernel of another. A mutant that takes three
times the CPU time of the tests as they are, and ten seconds more, counts as killed. With `--record` an interrupted run
goes on where it was, and a later one tries the survivors again; with `--work` what was compiled is kept for it.
"""

from __future__ import annotations

import argparse
import ast
import gc
import hashlib
import importlib
import itertools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EQUIVALENT = ROOT / "tests" / "mutants.json"

CPU = ("encoders/test_cpu.py",)
VIEWS = ("clips/test_augment.py", "clips/test_views.py")
CLIP_STEPS = ("align", "bodies", "centre", "gaps", "prepare", "scale", "time")
CLIPS = ("clips/test_prepare.py", "clips/test_prep_presets.py")
TEXT = tuple(f"recordings/test_{name}.py" for name in ("ntu", "pku", "parser_properties"))

AUGMENTING = (
    *("base", "blur", "colours", "corrupt", "crop", "flip", "hide", "jigsaw", "linear", "mask", "noise", "one_of"),
    *("resample", "reverse", "steps"),
)


def golden(*cases: str) -> tuple[str, ...]:
    return tuple(f"training/test_golden.py::test_first_steps[{case}]" for case in cases)


GUARDS = {  # module -> the tests that guard it
    "recordings/datasets/splits.py": ("recordings/test_splits.py",),
    "encoders/graph.py": ("encoders/test_encoder.py",),
    "clips/philox.py": ("clips/test_philox.py",),
    "clips/streams.py": ("clips/test_streams.py",),
    "methods/aimclr.py": ("methods/test_methods.py", "methods/test_aimclr.py", *golden("AimCLR")),
    "methods/crosnnclr.py": ("methods/test_methods.py", "methods/test_aimclr.py", *golden("CrosNNCLR, algorithm1")),
    "methods/crossclr.py": ("methods/test_methods.py", "methods/test_crossclr.py"),
    "methods/moco.py": ("methods/test_methods.py", "encoders/test_encoder.py", *golden("SkeletonCLR", "supervised")),
    "methods/queue.py": ("methods/test_losses.py", "methods/test_moco.py", "methods/test_methods.py"),
    "methods/losses.py": ("methods/test_losses.py",),
    "methods/positives.py": ("methods/test_methods.py", "methods/test_aimclr.py"),
    "methods/skeletonclr.py": ("methods/test_methods.py", *golden("SkeletonCLR", "CrosNNCLR, equation")),
    "methods/supervised.py": ("methods/test_methods.py", "methods/test_supervised.py"),
    "methods/synced.py": ("training/test_ranks.py",),
    "encoders/cpu/__init__.py": CPU,
    "encoders/cpu/mixing.py": CPU,
    "encoders/cpu/norms.py": CPU,
    "encoders/cpu/residual.py": CPU,
    "encoders/cpu/rowwise.py": CPU,
    "encoders/cpu/temporal.py": CPU,
    **{f"clips/augment/{name}.py": VIEWS for name in AUGMENTING},
    **{f"clips/{name}.py": VIEWS for name in ("gather", "views")},
    **{f"clips/{name}.py": CLIPS for name in CLIP_STEPS},
    **{f"recordings/text/{name}.py": TEXT for name in ("ntu", "numbers", "pku")},
}
KERNELS_ONLY = {name for name, tests in GUARDS.items() if tests in (CLIPS, TEXT)}
COMPILERS = {"compiled", "inlined"}

# Of the eleven that could take an operator's place, the one that is hardest to see and still computes; with all of them
# most mutants would be type errors, which any test sees.
NEAREST = {
    "Binary": "Add_Sub Sub_Add Mul_Div Div_Mul FloorDiv_Mul Mod_Mul Pow_Mul RShift_LShift LShift_RShift BitOr_BitAnd "
    "BitAnd_BitOr BitXor_BitOr",
    "Comparison": "Lt_LtE LtE_Lt Gt_GtE GtE_Gt Eq_NotEq NotEq_Eq In_NotIn NotIn_In Is_IsNot IsNot_Is",
    "Unary": "USub_UAdd Delete_Not Delete_Invert",
}


@dataclass(frozen=True)
class Mutant:
    """A module's text with one change; `change` is "line -> line" without indentation, which names it in the lists."""

    module: str
    line: int
    change: str
    text: str

    @property
    def key(self) -> str:
        return hashlib.sha256(f"{self.module}\n{self.text}".encode()).hexdigest()[:20]


def choose(module: str, sample: int, seed: int) -> tuple[list[Mutant], int]:
    """Some mutants of a module, drawn at random, of those that could compute something else; and how many there are."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator, operator_names

    source = (ROOT / "skelpipe" / module).read_text()
    spared, kernels = spared_places(source)
    kinds = [(name, get_operator(name)) for name in operator_names() if computes(name)]
    statements = [statement.get_code() for statement in get_ast(source).children]
    places, before = [], 0  # one statement at a time, because Cosmic Ray parses again for every mutant
    for number, statement in enumerate(statements):
        nodes = list(ast_nodes(get_ast(statement)))
        for name, kind in kinds:
            for occurrence, (at, _) in enumerate(at for node in nodes for at in kind().mutation_positions(node)):
                line = before + at[0]
                inside = module not in KERNELS_ONLY or any(first <= line <= last for first, last in kernels)
                if inside and not any(start <= (line, at[1]) < stop for start, stop in spared):
                    places.append((line, at[1], name, occurrence, number))
        before += statement.count("\n")
    places.sort()
    chosen = random.Random(f"{seed} {module}").sample(places, sample) if 0 < sample < len(places) else places
    mutants = []
    for line, _, name, occurrence, number in sorted(chosen):
        mutated = mutate_code(statements[number], get_operator(name)(), occurrence)
        text = "".join([*statements[:number], mutated, *statements[number + 1 :]])
        try:
            compile(text, module, "exec")
        except SyntaxError:  # no mutant: any test would see it
            continue
        mutants.append(Mutant(module, line, change(source, text), text))
    return mutants, len(places)


def computes(operator: str) -> bool:
    """Whether mutants by this operator of Cosmic Ray are tried."""
    if operator.startswith("core/Variable"):  # they want to be told which
        return False
    kind, _, pair = operator.removeprefix("core/Replace").partition("Operator_")
    return pair in NEAREST[kind].split() if pair else True


def spared_places(source: str) -> tuple[list[tuple[tuple[int, int], tuple[int, int]]], list[tuple[int, int]]]:
    """Where no mutant is made (annotations, how kernels are compiled), and the first and last lines of all kernels."""
    spared, kernels = [], []
    for node in ast.walk(ast.parse(source)):
        parts: list[ast.expr | None] = []
        if isinstance(node, ast.FunctionDef):
            parts.append(node.returns)
            for decorator in node.decorator_list:
                called = decorator.func if isinstance(decorator, ast.Call) else decorator
                if isinstance(called, ast.Name) and called.id in COMPILERS:
                    parts.append(decorator)
                    kernels.append((node.lineno, node.end_lineno or node.lineno))
        elif isinstance(node, ast.arg | ast.AnnAssign):
            parts.append(node.annotation)
        spared += [  # from the column before: a decorator's sign belongs to it
            ((part.lineno, part.col_offset - 1), (part.end_lineno or 0, part.end_col_offset or 0))
            for part in parts
            if part is not None
        ]
    return spared, kernels


def change(source: str, text: str) -> str:
    """The lines that differ."""
    old, new = ([line.strip() for line in each.splitlines() if line.strip()] for each in (source, text))
    while old and new and old[0] == new[0]:
        del old[0], new[0]
    while len(old) > 1 and len(new) > 1 and old[-1] == new[-1]:  # what follows a removed decorator names it
        del old[-1], new[-1]
    return " / ".join(old) + " -> " + " / ".join(new)


def kernels_by_content(folder: Path) -> None:
    """Let Numba keep compiled kernels by what they compute (`skelpipe.kernels`), and not by the files they stand in."""
    import numba
    from numba.core import caching

    numba.config.CACHE_DIR = str(folder)
    caching._SourceFileBackedLocatorMixin.get_source_stamp = lambda self: 0


class Quickest:
    """A plugin of pytest: the quickest tests come first, as far as their seconds are known."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.known, self.seen = seconds, dict.fromkeys(seconds, 0.0)

    def pytest_collection_modifyitems(self, items):
        items.sort(key=lambda item: self.known.get(item.nodeid, 0.0))

    def pytest_runtest_logreport(self, report):
        self.seen[report.nodeid] = self.seen.get(report.nodeid, 0.0) + report.duration


def attempt(
    tree: Path, tests: list[str], cpu: float, log: Path, seconds: dict[str, float], told: Path | None = None
) -> tuple[str, float]:
    """Run tests in a fork: ("passed", "failed" or "timeout", CPU seconds); `told` gets the modules and the tests' time.

    The time limit is of CPU, because the machine may have other work; a wide one of the clock stops what waits.
    """
    child = os.fork()
    if child == 0:
        code = 70
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CPU, (int(cpu) + 1, int(cpu) + 2))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(out, 1)
            os.dup2(out, 2)
            os.chdir(tree)
            sys.path[0] = str(tree)
            import pytest

            quickest = Quickest(seconds)
            given = ["-x", "-q", "-W", "ignore::pytest.PytestAssertRewriteWarning", "-p", "no:cacheprovider"]
            code = int(pytest.main([*given, "--hypothesis-seed=0", *tests], plugins=[quickest]))
            if told is not None:
                names = [name for name, module in sys.modules.items() if keeps(name, module)]
                told.write_text(json.dumps([names, quickest.seen]))
        finally:
            os._exit(code)
    stop = time.monotonic() + 60 + 20 * cpu
    done = 0
    try:
        while not done and time.monotonic() < stop:
            done, status, used = os.wait4(child, os.WNOHANG)
            time.sleep(0 if done else 0.02)
    finally:
        if not done:
            os.kill(child, signal.SIGKILL)
            _, status, used = os.wait4(child, 0)
    seconds = used.ru_utime + used.ru_stime
    code = os.waitstatus_to_exitcode(status)
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return "timeout", seconds
    return "passed" if code == 0 else "failed", seconds


def keeps(name: str, module: object) -> bool:
    """Whether a module is loaded before the forks, unless it hangs on what is mutated."""
    return name.startswith("skelpipe") or "site-packages" in (getattr(module, "__file__", None) or "")


def preload(tree: Path, module: str, names: list[str]) -> None:
    """Load what is the same for all mutants of a module: third-party modules, and ours that do not import it."""
    for name in [name for name in sys.modules if name.split(".")[0] == "skelpipe"]:
        del sys.modules[name]
    mutated = dotted(module)
    imports = {
        dotted(str(path.relative_to(tree / "skelpipe"))): imported(path) for path in tree.glob("skelpipe/**/*.py")
    }
    touched, grown = {mutated}, True
    while grown:
        more = {name for name, others in imports.items() if name not in touched and others & touched}
        more |= {name for name in imports if any(name.startswith(f"{package}.") for package in touched)}
        grown = bool(more - touched)
        touched |= more
    sys.path[0] = str(tree)
    for name in names:
        if name not in touched:
            try:
                importlib.import_module(name)
            except Exception:
                continue
    assert mutated not in sys.modules
    gc.collect()
    gc.freeze()


def dotted(module: str) -> str:
    return ".".join(["skelpipe", *Path(module).with_suffix("").parts]).removesuffix(".__init__")


def imported(path: Path) -> set[str]:
    """The modules that a file names in imports, and the packages they lie in."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module), *(f"{node.module}.{each.name}" for each in node.names)}
    return found | {package for name in found for package in itertools.accumulate(name.split("."), "{}.{}".format)}


def copy_of_checkout(folder: Path) -> Path:
    tree = folder / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    return tree


def digest_of(tree: Path, tests: list[str]) -> str:
    found = hashlib.sha256(repr(tests).encode())
    for path in sorted(tree.glob("**/*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()[:20]


def try_module(module: str, mutants: list[Mutant], folder: Path, record: Path | None) -> Counter[str]:
    """Try the mutants of one module and say what became of them."""
    equivalent = json.loads(EQUIVALENT.read_text()).get(module, {})
    killed = set()
    if record is not None and record.exists():
        rows = [json.loads(row) for row in record.read_text().splitlines()]
        killed = {row["key"] for row in rows if row["outcome"] in ("failed", "timeout")}
    tree, log = copy_of_checkout(folder), folder / "log"
    tests = [f"tests/{each}" for each in GUARDS[module]]
    found: Counter[str] = Counter()
    wanted = [m for m in mutants if m.change not in equivalent and m.key not in killed]
    if wanted:
        told = folder / f"told {digest_of(tree, tests)}"
        if not told.exists():
            outcome, cpu = attempt(tree, tests, 600, log, {}, told)
            if outcome != "passed":
                sys.exit(f"{module}: its tests {outcome} as they are:\n{log.read_text()}")
        names, seconds = json.loads(told.read_text())
        cpu = sum(seconds.values())
        preload(tree, module, names)
        print(f"{module}: its tests take {cpu:.1f} s", flush=True)
    path = tree / "skelpipe" / module
    for i, mutant in enumerate(mutants):
        if mutant.change in equivalent:
            found["equivalent"] += 1
            continue
        if mutant.key in killed:
            found["killed"] += 1
            continue
        path.write_text(mutant.text)
        os.utime(path, (1e9 + i, 1e9 + i))  # no time that a kept bytecode has
        outcome, used = attempt(tree, tests, 3 * cpu + 10, log, seconds)
        found["survived" if outcome == "passed" else "killed"] += 1
        if outcome == "passed":
            print(f"{module}:{mutant.line}: survived: {mutant.change}", flush=True)
        if record is not None:
            failure = [
                row for row in log.read_text(errors="replace").splitlines() if row.startswith(("FAILED", "ERROR"))
            ]
            row = {"key": mutant.key, "module": module, "line": mutant.line, "change": mutant.change}
            with record.open("a") as file:
                file.write(json.dumps({**row, "outcome": outcome, "cpu": round(used, 2), "by": failure[:1]}) + "\n")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(GUARDS)}; all by default")
    parser.add_argument("--sample", type=int, default=60, help="mutants tried per module, drawn at random; 0: all")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--record", type=Path, help="where results are added, one line of JSON each")
    parser.add_argument("--work", type=Path, help="where the copy and compiled kernels lie; temporary by default")
    parser.add_argument("--list", action="store_true", help="show the mutants, try none")
    given = parser.parse_args()
    if unknown := set(given.modules) - set(GUARDS):
        parser.error(f"no such module: {', '.join(sorted(unknown))}")
    chosen = {module: choose(module, given.sample, given.seed) for module in given.modules or GUARDS}
    if given.list:
        for mutants, _ in chosen.values():
            for each in mutants:
                print(f"{each.module}:{each.line}: {each.change}")
        return
    with tempfile.TemporaryDirectory() as made:
        folder = (given.work or Path(made)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        prepare_process(folder)
        rows = {}
        for module, (mutants, count) in chosen.items():
            rows[module] = (count, try_module(module, mutants, folder, given.record))
            print(row_of(module, count, rows[module][1]), flush=True)
    print("\n" + row_of())
    for module, (count, found) in rows.items():
        print(row_of(module, count, found))
    print(row_of("all", sum(count for count, _ in rows.values()), sum((f for _, f in rows.values()), Counter())))


def prepare_process(folder: Path) -> None:
    """What every fork inherits: one thread, no bytecode of mutants, kernels by content."""
    os.environ.update(
        OMP_NUM_THREADS="1", PYTHONPATH=f"{folder / 'tree'}:{folder / 'tree' / 'tests'}", PYTHONDONTWRITEBYTECODE="1",
        NUMBA_CACHE_DIR=str(folder / "numba of other processes"),
    )  # fmt: skip
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends the fork too
    sys.pycache_prefix, sys.dont_write_bytecode = str(folder / "bytecode"), False
    sys.path.insert(0, "")  # becomes the copy of the checkout
    kernels_by_content(folder / "numba")


def row_of(module: str = "module", count: int | None = None, found: Counter[str] | None = None) -> str:
    if found is None:
        return f"{'module':26} {'mutants':>8} {'tried':>6} {'killed':>6} {'same':>5} {'survived':>8} {'score':>7}"
    tried = found["killed"] + found["survived"]
    score = f"{found['killed'] / tried:.1%}" if tried else "-"
    same = found["equivalent"]
    return f"{module:26} {count:8} {tried + same:6} {found['killed']:6} {same:5} {found['survived']:8} {score:>7}"


if __name__ == "__main__":
    main()
