"""Joint layouts by name. To add one: a file here with its table, and a line in LAYOUTS."""

from __future__ import annotations

from skelpipe.layouts.kinect_v2 import KINECT_V2

LAYOUTS = {KINECT_V2.name: KINECT_V2}
