"""A Sphinx extension that finds the object of a short name in a signature or docstring.

The annotations have names like ``Mirror``, of which there are two: for Twisted, and for asyncio. The pages of ``txmirror.aio`` mean its
own, all others mean that for Twisted. Names of private modules mean the public name of the same object.
"""

from __future__ import annotations

import functools
import importlib

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

#: The packages with the public names; the first that has a name wins.
PACKAGES = "client mirror registry recipes discovery endpoints interfaces types errors checks testing embedded service access web aio"


@functools.cache
def public_names(package: str) -> dict[str, str]:
    """Return the full public names of the classes and functions of a package, by their short names."""
    module = importlib.import_module(f"txmirror.{package}")
    names = getattr(module, "__all__", None) or [each for each in vars(module) if not each.startswith("_")]
    found = {}
    for name in names:
        thing = getattr(module, name)
        home = getattr(thing, "__module__", "")
        if isinstance(home, str) and home.startswith(f"txmirror.{package}"):
            found[name] = f"txmirror.{package}.{name}"
    return found


def find(page: str, name: str) -> str | None:
    """Return the full public name for a short one on a page; None if there is none."""
    order = PACKAGES.split()
    if page.startswith("reference/aio/"):
        order.insert(0, "aio")
    for package in order:
        if name in public_names(package):
            return public_names(package)[name]
    return None


def replace_targets(app: Sphinx, doctree: nodes.document) -> None:
    """Replace short names in the references of a document by full ones."""
    page = app.env.docname
    for node in doctree.findall(pending_xref):
        if node.get("refdomain") != "py" or node.get("reftype") not in {"class", "exc", "obj"}:
            continue
        # Modules of txmirror.aio import a package by the name ``deferring``.
        target = node["reftarget"].removeprefix("deferring.")
        if target.startswith("txmirror.aio."):
            continue
        package = target.split(".")[1] if target.startswith("txmirror.") and target.count(".") > 2 else None
        short = target.rpartition(".")[2]
        if package is not None:
            full = public_names(package).get(short) if package in PACKAGES.split() else None
        else:
            full = find(page, target.lstrip(".")) if "." not in target.lstrip(".") else None
        if full is not None:
            node["reftarget"] = full
            # With the attribute, whatever its value, Sphinx compares the types of objects, and an interface is no class.
            node.attributes.pop("refspecific", None)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("doctree-read", replace_targets)
    return {"parallel_read_safe": True}
