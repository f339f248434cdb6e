"""Fuzzes one reader: `python tests/fuzz/run.py --target ntu --runs 1000000`, or with coverage: `… --coverage`.

Without --coverage the parsers run compiled, with Numba's bounds checks and in memory that ends where the file ends.
With it, atheris sees which lines of the plain Python code an input reaches, and changes inputs to reach others.
An input that finds a defect is kept as `corpus/found-TARGET`, or is the file that atheris names.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--target", required=True)
    options.add_argument("--runs", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--seconds", type=float, help="stop after so many, whatever is left of the runs")
    options.add_argument("--coverage", action="store_true", help="guided by coverage, with atheris")
    given = options.parse_args()
    sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]
    # Before Numba is imported; its cache does not tell code with checks from code without.
    os.environ["NUMBA_DISABLE_JIT" if given.coverage else "NUMBA_BOUNDSCHECK"] = "1"
    os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir(), f"skelpipe-fuzz-{os.getuid()}")))
    if given.coverage:
        cover(given)
        return
    from engine import fuzz
    from targets import TARGETS

    last = Path(tempfile.gettempdir(), f"skelpipe-fuzz-{given.target}-{given.seed}")
    result = fuzz(given.target, TARGETS[given.target], given.runs, given.seed, given.seconds, last)
    last.unlink()
    print(json.dumps({"target": given.target, "seed": given.seed, **vars(result)}))


def cover(given: argparse.Namespace) -> None:
    """Hand over to atheris, which ends the process."""
    import atheris

    seen = ["skelpipe.datasets", "skelpipe.formats", "skelpipe.pickles", "skelpipe.settings"]
    with atheris.instrument_imports(include=seen):
        from engine import CORPUS, LARGEST
        from plain import without_compiler
        from targets import TARGETS
    target = TARGETS[given.target]
    without_compiler()
    folder = Path(tempfile.mkdtemp(prefix="skelpipe-fuzz-"))
    words = folder / "words"
    quoted = ("".join(f"\\x{byte:02x}" for byte in word) for word in target.words)
    words.write_text("".join(f'"{word}"\n' for word in quoted))
    (folder / "found").mkdir()
    limit = [f"-max_total_time={int(given.seconds)}"] if given.seconds else []
    words_of_fuzzer = [
        sys.argv[0], f"-runs={given.runs}", f"-seed={given.seed + 1}", f"-dict={words}", f"-max_len={min(LARGEST, 6000)}",
        f"-artifact_prefix={folder}/", "-timeout=20", "-rss_limit_mb=3000", "-print_final_stats=1", *limit,
        str(folder / "found"), str(CORPUS / given.target),
    ]  # fmt: skip
    atheris.Setup(words_of_fuzzer, lambda data: target.check(data, True))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
