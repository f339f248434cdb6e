"""Which finished evaluations and fusions have to be made anew: their accuracies are not as they were written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skelpipe.errors import BadInput
from skelpipe.outputs.ancestry import DONE
from skelpipe.outputs.checksums import check_files


def find_damaged(config: Mapping[str, Any], data: Path) -> dict[str, str]:
    """The folders of a plan, relative to `data`, whose `metrics.json` is damaged, and what is wrong with it.

    Snakemake only sees whether `done.json` is there. Other files are looked at by who reads them: they may be large.
    """
    found = {}
    for folder in [*config["evaluations"], *config["fusions"]]:
        if not (data / folder / DONE).is_file():
            continue
        try:
            check_files(data / folder, "metrics.json")
        except BadInput as problem:
            found[folder] = f"its {Path(problem.where).name} {re.split(r':| [(]', problem.what)[0]}"
    return found
