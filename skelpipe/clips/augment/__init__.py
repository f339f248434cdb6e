"""Augmentations as (draw, apply) pairs. To add one: a file here with an `Augmentation`, and a line in AUGMENTATIONS.

`draw` turns uniform numbers into parameters and does nothing else; `apply` changes a batch in place by given parameters
and holds no randomness. The uniform numbers come from `philox`, keyed by (seed, epoch, clip, view, place in the list):
any view of any clip can be rebuilt alone, and neither threads, nor workers, nor the rest of the batch can change it.

The defaults are those of CrosSCLR (Li et al., CVPR 2021) and AimCLR (Guo et al., AAAI 2022) as released. Where that
code is odd, an option gives the sane behaviour: `blur: {normalise: true}`, `flip: {mirror_x: true}`,
`noise: {absent: false}`.
"""

from __future__ import annotations

from skelpipe.clips.augment.base import Augmentation
from skelpipe.clips.augment.blur import BLUR
from skelpipe.clips.augment.crop import CROP
from skelpipe.clips.augment.flip import FLIP
from skelpipe.clips.augment.linear import ROTATE, SHEAR
from skelpipe.clips.augment.mask import MASK
from skelpipe.clips.augment.noise import NOISE
from skelpipe.clips.augment.reverse import REVERSE

AUGMENTATIONS: dict[str, Augmentation] = {
    "crop": CROP,
    "shear": SHEAR,
    "flip": FLIP,
    "rotate": ROTATE,
    "noise": NOISE,
    "blur": BLUR,
    "mask": MASK,
    "reverse": REVERSE,
}
