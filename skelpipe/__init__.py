"""Self-supervised skeleton-based action recognition, from raw recordings to fused accuracies.

    import skelpipe as sk

The names below are the public API, and `skelpipe.NAME` the only path by which they are promised. They are imported when
they are first asked for: the import itself loads neither torch nor NumPy.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from skelpipe.caches import choose_caches

# ruff: noqa: I001  # one import a module, each name said twice, which tells type checkers that it is meant
if TYPE_CHECKING:
    from skelpipe.api.data import (
        ingest as ingest,
        open_clips as open_clips,
        open_store as open_store,
        prepare as prepare,
        synth as synth,
    )
    from skelpipe.api.datasets import Batches as Batches, ClipsDataset as ClipsDataset
    from skelpipe.api.folders import Clips as Clips, Recording as Recording, Store as Store
    from skelpipe.api.measure import (
        Evaluation as Evaluation,
        evaluate as evaluate,
        fuse as fuse,
        open_evaluation as open_evaluation,
    )
    from skelpipe.api.models import Model as Model, Predictions as Predictions, load as load
    from skelpipe.api.names import (
        build_encoder as build_encoder,
        get_layout as get_layout,
        get_method as get_method,
        list_augmentations as list_augmentations,
        list_datasets as list_datasets,
        list_encoders as list_encoders,
        list_layouts as list_layouts,
        list_methods as list_methods,
        list_pipelines as list_pipelines,
        list_positives as list_positives,
        list_protocols as list_protocols,
        list_recipes as list_recipes,
        list_splits as list_splits,
    )
    from skelpipe.api.pictures import (
        Picture as Picture,
        animate as animate,
        draw_confusion as draw_confusion,
        draw_map as draw_map,
        draw_motion as draw_motion,
    )
    from skelpipe.api.probes import Probed as Probed, knn as knn, linear_probe as linear_probe
    from skelpipe.api.registering import Options as Options, register as register
    from skelpipe.api.train import Run as Run, load_recipe as load_recipe, open_run as open_run, pretrain as pretrain
    from skelpipe.api.views import (
        View as View,
        augment as augment,
        build_view as build_view,
        compute_stream as compute_stream,
        describe_augmentation as describe_augmentation,
    )
    from skelpipe.clips.augment.base import Augmentation as Augmentation
    from skelpipe.encoders.base import Encoder as Encoder
    from skelpipe.errors import BadInput as BadInput
    from skelpipe.layouts.base import Layout as Layout
    from skelpipe.methods.aimclr import attention_drop as attention_drop
    from skelpipe.methods.base import Method as Method
    from skelpipe.methods.losses import (
        crosnnclr_loss as crosnnclr_loss,
        cross_stream_loss as cross_stream_loss,
        d3m_loss as d3m_loss,
        info_nce as info_nce,
        nnm_loss as nnm_loss,
        nt_xent as nt_xent,
    )
    from skelpipe.methods.queue import Queue as Queue, momentum_update as momentum_update
    from skelpipe.training.recipe import Recipe as Recipe

__version__ = "0.1.0"

# Where every public name is; `__all__`, and what type checkers see above, follow from it.
_MODULES = {
    "errors": "BadInput",
    "api.folders": "Clips Recording Store",
    "api.data": "ingest open_clips open_store prepare synth",
    "api.train": "Run load_recipe open_run pretrain",
    "api.measure": "Evaluation evaluate fuse open_evaluation",
    "api.models": "Model Predictions load",
    "api.views": "View augment build_view compute_stream describe_augmentation",
    "api.datasets": "Batches ClipsDataset",
    "api.pictures": "Picture animate draw_confusion draw_map draw_motion",
    "api.probes": "Probed knn linear_probe",
    "api.names": (
        "build_encoder get_layout get_method list_augmentations list_datasets list_encoders list_layouts "
        "list_methods list_pipelines list_positives list_protocols list_recipes list_splits"
    ),
    "api.registering": "Options register",
    "methods.losses": "cross_stream_loss crosnnclr_loss d3m_loss info_nce nnm_loss nt_xent",
    "methods.aimclr": "attention_drop",
    "methods.queue": "Queue momentum_update",
    "methods.base": "Method",
    "encoders.base": "Encoder",
    "layouts.base": "Layout",
    "training.recipe": "Recipe",
    "clips.augment.base": "Augmentation",
}
_MODULE_OF = {name: f"skelpipe.{module}" for module, names in _MODULES.items() for name in names.split()}
__all__ = ["__version__", *sorted(_MODULE_OF)]

# Torch's matrix products then add in one order on any number of threads, where they are MKL's; it took no longer. It
# has to be set before torch is loaded.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

# Numba reads this when it is loaded.
choose_caches()


if not TYPE_CHECKING:  # to whom every name would be right

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first asked for."""
        if name not in _MODULE_OF:
            raise AttributeError(f"module 'skelpipe' has no attribute {name!r}{_hint(name)}")
        from importlib import import_module

        found = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
        return found


def _hint(name: str) -> str:
    from skelpipe.errors import hint

    return "" if name.startswith("_") else hint(name, _MODULE_OF)


def __dir__() -> list[str]:
    return sorted(__all__)
