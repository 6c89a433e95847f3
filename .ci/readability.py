"""Print how easy the guides are to read: Flesch's reading ease for each page, the hardest first.

``python .ci/readability.py`` is a hint for the author, and no test: above 50 is the aim for guides and the tutorial. It needs
``pip install textstat==0.7.4``; later versions load a dictionary from the network.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import textstat

DOCS = Path(__file__).resolve().parent.parent / "docs"
FOLDERS = ("tutorial", "guides", "operations", "explanation")


def prose(document: str) -> str:
    """Return the sentences of a document, without its code, tables, directives and markup."""
    paragraphs = []
    for block in re.split(r"\n\s*\n", document):
        lines = block.splitlines()
        if any(re.match(r"\s*(\.\. |:\w+:|[=~ -]{4,}$|\* - |- - )", line) for line in lines):
            continue
        if lines and lines[0].startswith(("    ", "   ")):
            continue
        text = " ".join(line.strip().removeprefix("- ") for line in lines)
        text = re.sub(r":[\w:]+:`[~.]?([^`<]+?)(?: ?<[^>]+>)?`", lambda found: found[1].rpartition(".")[2], text)
        text = re.sub(r"``([^`]+)``", "name", text)
        paragraphs.append(re.sub(r"[*`_|]", "", text))
    return "\n\n".join(paragraphs)


def main() -> int:
    """Print a line for each page."""
    pages = [DOCS / "index.rst", *(path for folder in FOLDERS for path in (DOCS / folder).rglob("*.rst"))]
    scores = sorted((textstat.flesch_reading_ease(prose(path.read_text("utf-8"))), path) for path in pages)
    for score, path in scores:
        sys.stdout.write(f"{score:5.1f}  {path.relative_to(DOCS)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
