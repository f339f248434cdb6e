"""Self-supervised skeleton-based action recognition, from raw recordings to fused accuracies."""

import os

from skelpipe.caches import choose_caches

__version__ = "0.1.0"

# Torch's matrix products then add in one order on any number of threads, where they are MKL's; it took no longer. It
# has to be set before torch is loaded.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

# Numba reads this when it is loaded.
choose_caches()
