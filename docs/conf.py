"""Sphinx's settings. Built with ``-n -W``: a reference that leads nowhere is an error."""

project = "txmirror"
author = "The txmirror developers"
copyright = "The txmirror developers"
release = "0.1.0"

extensions = ["sphinx.ext.autodoc", "sphinxcontrib.zopeext.autointerface"]
exclude_patterns = ["_build"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_format = "short"

# No inventory of another project's is fetched, so references to Twisted's and Python's own names stay plain text.
nitpick_ignore_regex = [
    ("py:.*", r"(twisted|zope|attrs?|collections|typing|enum)\..*"),
    ("py:class", r"<InterfaceClass .*>"),
]

html_theme = "alabaster"
