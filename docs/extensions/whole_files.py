"""A Sphinx extension that names the file of an example above it, with a link to the whole file.

A page often shows only a part of a program, without its imports. With the link a reader has all of it, and can run it.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, cast

from sphinx.directives.code import LiteralInclude

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

#: The options with which the directive shows a part.
PART = {"end-at", "end-before", "lines", "pyobject", "start-after", "start-at"}
#: The name of the set of the files that the page has named so far.
_NAMED = "txmirror:named-examples"


class Example(LiteralInclude):
    """``.. literalinclude::``, with a caption above the first part of each example on a page."""

    def run(self) -> list[nodes.Node]:
        path = self.arguments[0]
        named = cast("set[str]", self.env.temp_data.setdefault(_NAMED, set()))
        if path.startswith("/examples/") and path not in named and "caption" not in self.options:
            named.add(path)
            link = f":download:`{PurePosixPath(path).name} <{path}>`"
            self.options["caption"] = f"A part of {link}" if PART & self.options.keys() else link
        return super().run()


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive in place of Sphinx's own."""
    app.add_directive("literalinclude", Example, override=True)
    return {"parallel_read_safe": True}
