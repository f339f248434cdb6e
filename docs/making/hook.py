"""What MkDocs calls while it builds: generated pages, included sections and formulas."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mkdocs.structure.files import File

from making import included, maths, notebooks, pages, ranks

_shown: dict[str, str] = {}


def on_config(config: Any) -> Any:
    """Put the generated pages where the navigation has `FOLDER/*`."""
    config.nav = _filled(config.nav)
    return config


def _filled(nav: Any) -> Any:
    if isinstance(nav, list):
        made: list[Any] = []
        for entry in nav:
            if isinstance(entry, str) and entry.endswith("/*"):
                made += pages.group(entry[:-2])
            else:
                made.append(_filled(entry))
        return made
    if isinstance(nav, dict):
        return {title: _filled(entry) for title, entry in nav.items()}
    return nav


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages, and note where included sections are shown."""
    for path, text in {**pages.generated(), **notebooks.generated()}.items():
        files.append(File.generated(config, path, content=text))
    _shown.update(included.places({each.src_uri: each.content_string for each in files.documentation_pages()}))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Fill in included sections, draw formulas, and say how much the page counts in a search."""
    page.meta["search"] = {"boost": ranks.boost(page.file.src_uri)}
    page.meta["tags"] = ranks.words(page.file.src_uri)
    whole = pages.drawn(included.fill(page.file.src_uri, markdown, _shown))
    whole = re.sub(r"^<!-- .*? -->\n", "", whole, flags=re.M)
    # The ditto mark is in few fonts; the double prime, which looks the same, in nearly all.
    return maths.in_mathml(whole.replace("〃", "″"))
