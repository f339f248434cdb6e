"""Archives of recordings, pickles, arrays and YAML: what is read from a file on the disk."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
from engine import Target

from skelpipe.errors import BadInput
from skelpipe.exchange.arrays import ctrgcn, named, pyskl
from skelpipe.recordings import pickles
from skelpipe.recordings.datasets import DATASETS, Dropped
from skelpipe.recordings.pickles import read_pickle
from skelpipe.settings import Settings, check, load_yaml

BINARY = [
    b"\0", b"\xff", b"\xff\xff", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\0\0\0\x80", b"\xff" * 8, b"\x01\0\0\0",
    b"\0" * 8, b"\0\0\0\x40\0\0\0\0",
]  # fmt: skip
ZIP = [
    *BINARY, b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"\x01\0", b"\x08\0", b"\x09\0", b"\x0c\0", b"\x0e\0",
    b"../../x/S001C001P001R001A003.skeleton", b"/S001C001P001R001A002.skeleton", b"a.zip", b".skeleton",
]  # fmt: skip
PICKLE = [
    *BINARY, b"cos\nsystem\n", b"cposix\nsystem\n", b"c__builtin__\neval\n", b"cbuiltins\ngetattr\n", b"cnumpy\nndarray\n",
    b"cnumpy\ndtype\n", b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy.core.multiarray\nscalar\n", b"c_codecs\nencode\n",
    b"c__builtin__\nset\n", b"c__builtin__\nbytearray\n", b"ccollections\nOrderedDict\n", b"\x93", b"\x94", b"R", b"b", b"\x81",
    b"\x92", b"o", b"i", b"(", b")", b"t", b"\x85", b"\x86", b"\x87", b"}", b"]", b"\x8f", b"\x90", b"\x91", b"a", b"e", b"s", b"u",
    b"0", b"1", b"2", b"N", b"K\1", b"J\xff\xff\xff\xff", b"M\1\2", b"h\0", b"h\1", b"r\xff\xff\xff\xff", b"j\0\0\0\0", b"p1\n",
    b"p4294967295\n", b"g0\n", b"V\\ud800\n", b"S'x'\n", b"I1\n", b"I01\n", b"L1L\n", b"L" + b"9" * 5000 + b"L\n", b"F1e400\n",
    b"B\xff\xff\xff\x7f", b"\x8e" + b"\xff" * 8, b"\x96" + b"\xff" * 7 + b"\x7f", b"X\xff\xff\xff\xff", b"\x95" + b"\xff" * 8,
    b"\x8b\xff\xff\xff\x7f", b"P", b"Q", b"\x82\1", b".", b"\x80\4", b"|S8", b"O8", b"U9", b"f4", b"\x97", b"\x98",
]  # fmt: skip
NPY = [
    *ZIP, b"\x93NUMPY\1\0", b"\x93NUMPY\2\0", b"\x93NUMPY\3\0", b"(2, 3, 150)", b"(1000000000000, 3, 150)", b"(-1, 3, 150)", b"(0,)",
    b"()", b"'<f4'", b"'|O'", b"'>f8'", b"'<U9'", b"'V8'", b"True", b"False", b"None", b"'fortran_order': True", b"[('a', '<f4')]",
    b"{", b"}", b"'", b"9" * 30, b"L", b"nan",
]  # fmt: skip
YAML = [
    b"!!python/object/apply:os.system ['x']", b"!!python/name:os.system", b"!!python/module:os", b"!!binary x", b"!!timestamp x",
    b"2024-13-45", b"9" * 5000, b"&a", b"*a", b"&a [*a]", b"<<: *a", b"[", b"]", b"{", b"}", b": ", b"- ", b"\n", b"  ", b"\t", b"|",
    b">", b"#", b"'", b'"', b"\\0", b'"\\x00"', b"? ", b"!!set {a}", b"!!omap [a: 1]", b"!!int x", b"!!bool x", b"!!float x", b".nan",
    b".inf", b"1e999", b"0o7", b"0x", b"~", b"%YAML 9.9\n", b"---\n", b"...\n", b"\xff", b"\xef\xbb\xbf", b"[" * 2000, b"../../x.yaml",
    b"seeds", b"set", b"fusion", b"options", b"at_epochs", b"epochs", b"title", b"1:2:3",
]  # fmt: skip

PLACE = Path(tempfile.mkdtemp(prefix="skelpipe-fuzz-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))

atexit.register(shutil.rmtree, PLACE, ignore_errors=True)


def written(name: str, data: bytes) -> Path:
    path = PLACE / f"{os.getpid()}-{name}"
    path.write_bytes(data)
    return path


def check_archives(data: bytes, thorough: bool) -> str:
    """Every member is read, left out with a reason, or is not a recording's; or the archive is refused."""
    path = written("a.zip", data)
    dataset = DATASETS["ntu60"]
    try:
        found = dataset.find(path)
    except BadInput as error:
        return f"refused: {error.what}"
    results = [str(dropped.reason) for dropped in found.dropped]
    for source in found.sources:
        try:
            (clip,) = dataset.read(source)
            results.append(clip.reason if isinstance(clip, Dropped) else "clip")
        except BadInput as error:
            results.append(f"unreadable {error.what[:30]}")
    return f"{'read' if 'clip' in results else 'refused'}: {results}"


def check_pickles(data: bytes, thorough: bool) -> str:
    """A pickle is plain values and arrays, labels or annotations, or refused."""
    path = written("a.pkl", data)
    outcome = "refused:"
    try:
        read_pickle(path)
        outcome = "read:"
        parts = pyskl.read_pyskl([path])
        for block in parts[0].blocks(2):
            assert all(clip.dtype == np.float32 for clip in block)
        outcome = "read: annotations"
    except BadInput as error:
        outcome += f" {error.what[-60:]}"
    try:
        array = PLACE / "array.npy"
        if not array.exists():
            np.save(array, np.zeros((2, 3, 2, 25, 2), np.float32))
        part = named._named(array, path, prepared=True)
        assert len(part.names or ()) == len(part.labels) == 2
        outcome += " labels"
    except BadInput:
        pass
    return outcome


def check_arrays(name: str, data: bytes) -> str:
    path = written(f"a.{name}", data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if name == "npz":
                parts = ctrgcn.read_npz([path])
            else:
                labels = PLACE / "labels.pkl"
                if not labels.exists():
                    pickles.write_pickle(labels, (["a", "b"], [0, 1]))
                parts = [named._named(path, labels, prepared=False)]
            for part in parts:
                for block in part.blocks(2):
                    assert block.dtype == np.float32
    except BadInput as error:
        return f"refused: {error.what[-60:]}"
    return "read:"


def check_yaml(data: bytes, thorough: bool) -> str:
    """Settings, or one line that says what is wrong."""
    from skelpipe.pipeline.spec import Pipeline
    from skelpipe.training.recipe import Recipe

    try:
        read = load_yaml(written("a.yaml", data))
    except BadInput as error:
        return f"refused: {error.what[:60]}"
    outcome = "read:"
    for model in (Pipeline, Recipe):
        try:
            assert isinstance(check(model, read, "here"), Settings)
            outcome += " " + model.__name__
        except BadInput as error:
            assert len(str(error)) < 200 * (len(data) + 100)
    return outcome


# A member of an archive may unpack to 16 MiB whatever its packed size, and to a hundred times that beyond.
TARGETS = {
    "archives": Target(check_archives, ZIP, 1300, 1 << 18),
    "pickles": Target(check_pickles, PICKLE, 400, 1 << 18),
    "npz": Target(lambda data, thorough: check_arrays("npz", data), NPY, 3200, 1 << 18),
    "npy": Target(lambda data, thorough: check_arrays("npy", data), NPY, 60, 1 << 18),
    "yaml": Target(check_yaml, YAML, 2000, 1 << 22),
}
