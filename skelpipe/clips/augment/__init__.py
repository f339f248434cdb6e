"""Augmentations as (draw, apply) pairs, and views: ordered lists of them, rendered straight from the clips in memory.

`draw` turns uniform numbers into parameters and does nothing else; `apply` changes a batch in place by given parameters
and holds no randomness. The uniform numbers come from `philox`, keyed by (seed, epoch, clip, view, place in the list):
any view of any clip can be rebuilt alone, and neither threads, nor workers, nor the rest of the batch can change it.

The defaults are those of CrosSCLR (Li et al., CVPR 2021) and AimCLR (Guo et al., AAAI 2022) as released. Where that
code is odd, an option gives the sane behaviour: `blur: {normalise: true}`, `flip: {mirror_x: true}`,
`noise: {absent: false}`.
"""

from __future__ import annotations

from skelpipe.clips.augment.base import Augmentation, Option, P, draw_whether
from skelpipe.clips.augment.blur import apply_blur, draw_blur
from skelpipe.clips.augment.crop import apply_crop, draw_crop, move_crop
from skelpipe.clips.augment.flip import apply_flip, move_flip
from skelpipe.clips.augment.linear import apply_rotate, apply_shear, draw_rotate, draw_shear, move_rotate, move_shear
from skelpipe.clips.augment.mask import apply_mask, draw_mask
from skelpipe.clips.augment.noise import apply_noise, draw_noise
from skelpipe.clips.augment.reverse import apply_reverse

AUGMENTATIONS: dict[str, Augmentation] = {
    "crop": Augmentation(1, draw_crop, apply_crop, {"ratio": Option(6, 1)}, move_crop),
    "shear": Augmentation(6, draw_shear, apply_shear, {"amplitude": Option(0.5)}, move_shear),
    "flip": Augmentation(1, draw_whether, apply_flip, {"p": P, "mirror_x": Option(False)}, move_flip),
    "rotate": Augmentation(
        4,
        draw_rotate,
        apply_rotate,
        {"angle": Option(30.0, -360, 360), "other": Option(1.0, -360, 360)},
        move_rotate,
    ),
    "noise": Augmentation(3, draw_noise, apply_noise, {"p": P, "std": Option(0.01), "absent": Option(True)}),
    "blur": Augmentation(
        2,
        draw_blur,
        apply_blur,
        {
            "p": P,
            "taps": Option(15, 1, 999),
            "low": Option(0.1, 1e-3),
            "high": Option(2.0, 1e-3),
            "normalise": Option(False),
        },
    ),
    "mask": Augmentation(2, draw_mask, apply_mask, {"p": P}),
    "reverse": Augmentation(1, draw_whether, apply_reverse, {"p": P}),
}
