"""Compiled kernels that count the ways they take, in memory that libFuzzer reads after every input and clears.

The source of a module is changed before it is compiled: every function and every round of a `for` loop is counted, and
every condition twice, where it held and where it did not. Counters are bytes that stay at 255, as libFuzzer wants them.
"""

from __future__ import annotations

import ast
import ctypes
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

COUNTERS = np.zeros(1 << 12, np.uint8)  # a fixed place, which compiled code holds as a number
DECORATORS = {"compiled", "inlined", "njit"}
CODES = np.zeros((len(COUNTERS), 2), np.uint64)  # pairs of a place in the code and flags; libFuzzer looks at no code
CODES[:, 0] = COUNTERS.ctypes.data + np.arange(len(COUNTERS))
BYTE, WORD = ir.IntType(8), ir.IntType(64)


@intrinsic
def passed(typing: Any, place: Any) -> Any:
    """Count that the counter's place in the code was passed."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        _count(builder, values[0])
        return context.get_dummy_value()

    return types.none(types.int64), code


@intrinsic
def held(typing: Any, condition: Any, place: Any) -> Any:
    """The condition, counted at `place` where it is false and one further where it is true."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        true = context.cast(builder, values[0], signature.args[0], types.boolean)
        _count(builder, builder.add(values[1], builder.zext(true, WORD)))
        return values[0]

    return condition(condition, types.int64), code


def _count(builder: Any, place: Any) -> None:
    start = builder.inttoptr(ir.Constant(WORD, COUNTERS.ctypes.data), BYTE.as_pointer())
    counter = builder.gep(start, [place])
    before = builder.load(counter)
    more = builder.icmp_unsigned("!=", before, ir.Constant(BYTE, 255))
    builder.store(builder.add(before, builder.zext(more, BYTE)), counter)


class _Counting(ast.NodeTransformer):
    """Puts calls of `passed` and `held` into a kernel; `places` says for each counter where it is."""

    def __init__(self) -> None:
        self.places: list[str] = []
        self.function = ""

    def _place(self, node: Any, *what: str) -> ast.Constant:
        self.places += [f"{self.function}, line {node.lineno}: {each}" for each in what]
        return ast.Constant(len(self.places) - len(what))

    def _condition(self, node: Any) -> Any:
        """The condition with all that it consists of counted."""
        if isinstance(node, ast.BoolOp) or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)):
            return self.visit(node)
        said = ast.unparse(node)
        place = self._place(node, f"not ({said})", said)
        inner = self.generic_visit(node)
        return ast.Call(ast.Name("held", ast.Load()), [inner, place], [])

    def visit_Compare(self, node: ast.Compare) -> Any:
        return self._condition(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        node.values = [self._condition(value) for value in node.values]
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        node.operand = self._condition(node.operand) if isinstance(node.op, ast.Not) else self.visit(node.operand)
        return node

    def _visit_tested(self, node: Any) -> Any:
        test, node.test = node.test, ast.Constant(True)
        self.generic_visit(node)
        node.test = self._condition(test)
        return node

    visit_If = visit_While = visit_IfExp = _visit_tested

    def _begun(self, node: Any, what: str) -> Any:
        place = self._place(node, what)
        self.generic_visit(node)
        node.body.insert(0, ast.Expr(ast.Call(ast.Name("passed", ast.Load()), [place], [])))
        return node

    def visit_For(self, node: ast.For) -> Any:
        return self._begun(node, f"for {ast.unparse(node.target)} in {ast.unparse(node.iter)}")

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        self.function = node.name
        return self._begun(node, "called")


def _is_kernel(node: ast.stmt) -> bool:
    names = (n.func if isinstance(n, ast.Call) else n for n in getattr(node, "decorator_list", ()))
    return any(isinstance(name, ast.Name) and name.id in DECORATORS for name in names)


def load(*names: str) -> list[str]:
    """Import modules, which nothing has imported yet, with kernels that count; returns what each counter counts.

    A module that others of them import comes before those.
    """
    change = _Counting()
    for name in names:
        _load(name, change)
    return change.places


def _load(name: str, change: _Counting) -> None:
    assert name not in sys.modules, name
    path = importlib.util.find_spec(name).origin
    tree = ast.parse(Path(path).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "cache":
            node.value = ast.Constant(False)  # what counts knows places of this process: no other may find it
    tree.body = [change.visit(node) if _is_kernel(node) else node for node in tree.body]
    assert len(change.places) <= len(COUNTERS)
    module = sys.modules[name] = ModuleType(name)
    vars(module).update(__file__=path, passed=passed, held=held)
    exec(compile(ast.fix_missing_locations(tree), path, "exec"), vars(module))
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, module)


def watched(count: int) -> None:
    """Let libFuzzer, as it is within atheris, be guided by the first counters; changes must be by a `custom_mutator`."""
    flags = sys.getdlopenflags()
    sys.setdlopenflags(flags | os.RTLD_GLOBAL)  # libFuzzer looks for the mutator once, when it is loaded
    importlib.import_module("atheris.custom_mutator")
    sys.setdlopenflags(flags)
    fuzzer = ctypes.CDLL(importlib.import_module("atheris.core_with_libfuzzer").__file__)
    for array, told in ((COUNTERS[:count], "8bit_counters"), (CODES[:count], "pcs")):
        begin = array.ctypes.data
        getattr(fuzzer, f"__sanitizer_cov_{told}_init")(ctypes.c_void_p(begin), ctypes.c_void_p(begin + array.nbytes))
