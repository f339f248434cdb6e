"""The conventions of a file that it does not state, asked of its clips.

Which axis is up, where the origin lies, in what unit, whether bodies that are not there are zeros or copies, what
stands behind the end of a clip, positions or motion or bones: files of one shape differ in these, and none says so.
`ask` finds them out of a sample, `lines` tells them in words, and a `Conversion` brings clips to ours.
"""

from __future__ import annotations

from skelpipe.recordings.conventions.conversion import Conversion
from skelpipe.recordings.conventions.facts import SAMPLE, chosen
from skelpipe.recordings.conventions.findings import Asked, Findings, ask, doubts, lines

__all__ = ["SAMPLE", "Asked", "Conversion", "Findings", "ask", "chosen", "doubts", "lines"]
