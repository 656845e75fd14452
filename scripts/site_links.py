"""For mkdocs: decisions get their place in the menu, and links to files outside docs/ become plain text.

The site does not hold those files; the test suite checks that such links lead somewhere in a checkout.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any


def on_config(config: Any) -> Any:
    """Return the settings with every decision in the menu, in order."""
    docs = Path(config["docs_dir"])
    decisions = sorted(path.relative_to(docs).as_posix() for path in (docs / "decisions").glob("*.md"))
    config["nav"].append({"Decisions": decisions})
    return config


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Return a page's text without links out of docs/; pages in folders may link up into it."""
    depth = page.file.src_uri.count("/")
    outside = re.compile(rf"\[([^\]]*)\]\((?:\.\./){{{depth + 1},}}[^)\s]*\)")
    return outside.sub(r"\1", markdown)
