"""Methods: what is contrasted with what. To add one: a file with a module and its `Options`, and a line in METHODS.

A set of positives is added in the same way to POSITIVES and plugs into every method that names a query and a key view.
"""

from __future__ import annotations

from typing import Any

from skelpipe.methods.aimclr import AimCLR, Union
from skelpipe.methods.colorization import Colorization
from skelpipe.methods.crosnnclr import CrossView
from skelpipe.methods.crossclr import CrosSCLR, CrossStream
from skelpipe.methods.isc import ISC
from skelpipe.methods.longt_gan import LongTGAN
from skelpipe.methods.ms2l import MS2L
from skelpipe.methods.positives import OwnKey
from skelpipe.methods.predict_cluster import PredictCluster
from skelpipe.methods.skeletonclr import SkeletonCLR
from skelpipe.methods.soft_rnn import SoftRNN
from skelpipe.methods.stepwise import Stepwise
from skelpipe.methods.supervised import Supervised
from skelpipe.methods.supervised_frames import SupervisedFrames
from skelpipe.resources import Registry

METHODS: Registry[Any] = Registry(
    "methods",
    {
        "skeletonclr": SkeletonCLR,
        "aimclr": AimCLR,
        "crossclr": CrosSCLR,
        "supervised": Supervised,
        "ms2l": MS2L,
        "isc": ISC,
        "predict_cluster": PredictCluster,
        "longt_gan": LongTGAN,
        "colorization": Colorization,
        "stepwise": Stepwise,
        "soft_rnn": SoftRNN,
        "supervised_frames": SupervisedFrames,
    },
)
POSITIVES: Registry[Any] = Registry(
    "positives",
    {
        "own_key": OwnKey,
        "cross_view": CrossView,
        "union": Union,
        "cross_stream": CrossStream,
    },
)
