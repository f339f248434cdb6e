"""All targets by name."""

from __future__ import annotations

import target_files
import target_json
import target_names
import target_text

TARGETS = {**target_text.TARGETS, **target_names.TARGETS, **target_json.TARGETS, **target_files.TARGETS}
