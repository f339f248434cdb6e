"""Augmentations as (draw, apply) pairs. To add one: a file here with an `Augmentation`, and a line in AUGMENTATIONS.

`draw` turns uniform numbers into parameters and does nothing else; `apply` changes a batch in place by given parameters
and holds no randomness. The uniform numbers come from `philox`, keyed by (seed, epoch, clip, view, place in the list):
any view of any clip can be rebuilt alone, and neither threads, nor workers, nor the rest of the batch can change it.

Beside changing a clip, a step may make clips of another number of frames (`sampling`), say how many of them are the
clip's own (`lengths`), and bring targets for a method that learns to undo it (`targets`, `bring`).

The defaults are those of CrosSCLR (Li et al., CVPR 2021) and AimCLR (Guo et al., AAAI 2022) as released. Where that
code is odd, an option gives the sane behaviour: `blur: {normalise: true}`, `flip: {mirror_x: true}`,
`noise: {absent: false}`.
"""

from __future__ import annotations

from skelpipe.clips.augment.base import Augmentation
from skelpipe.clips.augment.blur import BLUR
from skelpipe.clips.augment.bone_length import BONE_LENGTH
from skelpipe.clips.augment.colours import COLOURS
from skelpipe.clips.augment.corrupt import CORRUPT
from skelpipe.clips.augment.crop import CROP
from skelpipe.clips.augment.flip import FLIP
from skelpipe.clips.augment.hide import JOINT_MASK, TAIL_MASK
from skelpipe.clips.augment.jigsaw import JIGSAW
from skelpipe.clips.augment.linear import ROTATE, SCALE, SHEAR, TILT, YAW
from skelpipe.clips.augment.mask import MASK
from skelpipe.clips.augment.noise import JITTER, NOISE
from skelpipe.clips.augment.repeat import REPEAT
from skelpipe.clips.augment.resample import CENTRE_CROP, CROP_RESIZE, FIRST, RESIZE, SEGMENTS, STRIDE
from skelpipe.clips.augment.reverse import REVERSE
from skelpipe.resources import Registry

OWN: dict[str, Augmentation] = {
    "crop": CROP,
    "shear": SHEAR,
    "flip": FLIP,
    "rotate": ROTATE,
    "noise": NOISE,
    "blur": BLUR,
    "mask": MASK,
    "reverse": REVERSE,
    "tilt": TILT,
    "yaw": YAW,
    "scale": SCALE,
    "jitter": JITTER,
    "corrupt": CORRUPT,
    "crop_resize": CROP_RESIZE,
    "centre_crop": CENTRE_CROP,
    "resize": RESIZE,
    "segments": SEGMENTS,
    "first": FIRST,
    "stride": STRIDE,
    "tail_mask": TAIL_MASK,
    "joint_mask": JOINT_MASK,
    "jigsaw": JIGSAW,
    "colours": COLOURS,
    "bone_length": BONE_LENGTH,
    "repeat": REPEAT,
}
AUGMENTATIONS = Registry("augmentations", OWN)
