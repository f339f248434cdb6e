"""Fuzzes one reader: `python tests/fuzz/run.py --target ntu --runs 1000000`, or with coverage: `… --coverage`.

The parsers run compiled, with Numba's bounds checks and in memory that ends where the file ends. With --coverage libFuzzer
(in atheris) sees which ways an input takes through the compiled kernels, which count them, and through the plain Python of
the readers, and changes inputs to take others.

What a run saw is printed as a JSON object; with --coverage for the parsers alone, at every 100,000 inputs and after the
last, with the places that no input reached. An input that finds a defect is kept as `corpus/found-TARGET`, or is the file
that atheris names.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
COMPILED = "ntu", "pku"  # targets so fast that most inputs are not held against the twin


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--target", required=True)
    options.add_argument("--runs", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--seconds", type=float, help="stop after so many, whatever is left of the runs")
    options.add_argument("--coverage", action="store_true", help="guided by coverage, with atheris")
    options.add_argument(
        "--found", type=Path, help="with --coverage: where inputs that reach more are kept, and begun with"
    )
    given = options.parse_args()
    sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]
    # Before Numba is imported; its cache does not tell code with checks from code without.
    os.environ["NUMBA_BOUNDSCHECK"] = "1"
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
    import counted

    seen = [
        "skelpipe.recordings.datasets",
        "skelpipe.exchange.arrays",
        "skelpipe.recordings.pickles",
        "skelpipe.settings",
    ]
    with atheris.instrument_imports(include=seen):
        places = counted.load(*(f"skelpipe.recordings.text.{name}" for name in ("numbers", "ntu", "pku")))
        from engine import CORPUS, LARGEST, TOLD, Guided, guard_parsers, mutated, seeds
        from targets import TARGETS
    target = TARGETS[given.target]
    guard_parsers()
    first = seeds(given.target)
    for data in first:
        target.check(data, True)  # to compile would look like a hang
    folder = Path(tempfile.mkdtemp(prefix="skelpipe-fuzz-"))
    found = given.found or folder / "found"
    found.mkdir(parents=True, exist_ok=True)
    words = folder / "words"
    quoted = ("".join(f"\\x{byte:02x}" for byte in word) for word in target.words)
    words.write_text("".join(f'"{word}"\n' for word in quoted))
    limit = [f"-max_total_time={int(given.seconds)}"] if given.seconds else []
    words_of_fuzzer = [
        sys.argv[0], f"-runs={given.runs}", f"-seed={given.seed + 1}", f"-dict={words}", f"-max_len={min(LARGEST, 6000)}",
        f"-artifact_prefix={folder}/", "-timeout=20", "-rss_limit_mb=3000", "-print_final_stats=1", "-mutate_depth=2", *limit,
        str(found), str(CORPUS / given.target),
    ]  # fmt: skip
    guided = Guided(target, counted.COUNTERS[: len(places)], first)

    def check(data: bytes) -> None:
        if given.target not in COMPILED:
            target.check(data, True)
            return
        guided(data)
        if guided.result.runs % TOLD == 0 or guided.result.runs == given.runs:
            print(json.dumps({"target": given.target, "seed": given.seed, **guided.saw(places)}), flush=True)

    def change(data: bytes, longest: int, seed: int) -> bytes:
        """libFuzzer's changes break most files at once; every other one is one that knows of lines and words."""
        if seed % 2:
            return atheris.Mutate(data, longest)
        pool = [data] if seed % 4 else guided.pool
        return mutated(random.Random(seed), pool, target.words)[:longest]

    atheris.Setup(words_of_fuzzer, check, custom_mutator=change)
    counted.watched(len(places))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
