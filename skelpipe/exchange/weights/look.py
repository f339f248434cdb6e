"""What a checkpoint of another project holds, and the command that imports it, without importing."""

from __future__ import annotations

import shlex
from pathlib import Path

from skelpipe.exchange.weights.contents import STREAM_ENCODERS, choose_contents
from skelpipe.exchange.weights.fitting import choose_recipe, fit_recipe
from skelpipe.exchange.weights.importing import fill, in_words, left_out
from skelpipe.exchange.weights.reading import read_state
from skelpipe.training.run_settings import ALL_STREAMS

Facts = list[tuple[str, object]]


def look_at_weights(path: Path) -> tuple[Facts, str]:
    """The family and sizes of the ST-GCN in a file, and the command; nothing in the file is run.

    Raises:
        BadInput: it is no checkpoint that `import-weights` reads; what it is then is told.
    """
    read = read_state(path)
    found = choose_contents(read, ("joint",), path)
    several = set(found.first.streams) >= set(STREAM_ENCODERS)
    recipe = fit_recipe(choose_recipe(None, found, "joint", path), found, path)
    classes = found.classes or 60
    fill(recipe.build_method(found.first.graph.layout, classes), found, path)
    facts: Facts = [("holds", found.title), ("sizes", in_words(recipe, found, classes))]
    facts += [("lies under", read.key)] if read.key else []
    facts += [("classifier", f"of {found.classes} classes")] if found.classes else []
    facts += [("left out", note) for note in left_out(read, found, classes)]
    facts += [("streams", f"{', '.join(found.first.streams)}; all by --stream {ALL_STREAMS}")] if several else []
    frames = " --frames 300" if found.family.labelled else ""
    stream = ALL_STREAMS if several else "STREAM"
    return facts, f"skelpipe import-weights {shlex.quote(str(path))} RUN --split SPLIT --stream {stream}{frames}"
