"""Write the notebooks, `docs/notebooks/*.ipynb`, anew from the pages beside them: `python docs/make_notebooks.py`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from making import notebooks

if __name__ == "__main__":
    for changed in notebooks.write():
        print(changed)
