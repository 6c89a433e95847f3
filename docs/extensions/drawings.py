"""Sphinx directives that draw the packages and the session's states from the code, with Graphviz."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from charts import figure
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from txmirror.client.session.machine import TRANSITIONS, Event, State

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_ROOT = Path(__file__).resolve().parents[2]
STYLE = 'bgcolor=transparent; node [shape=box, fontname="sans-serif", fontsize=11]; edge [arrowsize=0.6, fontname="sans-serif", fontsize=9];'


def _layers() -> list[list[str]]:
    """Return the layers of packages, the highest first, as the import contract has them."""
    settings = tomllib.loads((_ROOT / "pyproject.toml").read_text())
    contract = settings["tool"]["importlinter"]["contracts"][0]
    return [[name.strip() for name in layer.replace(":", "|").split("|")] for layer in contract["layers"]]


def _imported(package: str) -> set[str]:
    """Return the other packages of ours that a package imports when it is run."""
    path = _ROOT / "txmirror" / package
    files = path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]
    names = (name for file in files for name in _names(ast.parse(file.read_text())))
    return {name.split(".")[1] for name in names if name.startswith("txmirror.")} - {package}


def _names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "txmirror":
                yield from (f"txmirror.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def layers_dot() -> str:
    """Draw the packages by layer. An arrow is an import that no chain of other imports implies."""
    layers = _layers()
    packages = [package for layer in layers for package in layer]
    imports = {package: _imported(package) & set(packages) for package in packages}
    reach: dict[str, set[str]] = {}
    for package in reversed(packages):
        reach[package] = set(imports[package]).union(*(reach.get(each, set()) for each in imports[package]))
    lines = ["digraph layers {", STYLE, "ranksep=0.35; nodesep=0.2;"]
    lines += ["{rank=same; " + "; ".join(f'"{package}"' for package in layer) + "}" for layer in layers]
    for package in packages:
        others = imports[package]
        implied = set().union(*(reach[each] for each in others)) if others else set()
        lines += [f'"{package}" -> "{each}";' for each in sorted(others - implied)]
    return "\n".join([*lines, "}"])


def states_dot() -> str:
    """Draw the states of a client's session. An arrow has the events that lead from one state to another.

    The arrows to the state "auth failed" are left out: there is one from nearly every state.
    """
    events: dict[tuple[State, State], list[Event]] = {}
    for (state, event), (following, _) in TRANSITIONS.items():
        if following is not state and event is not Event.UNAUTHORISED:
            events.setdefault((state, following), []).append(event)
    lines = ["digraph states {", STYLE, "rankdir=TB; ranksep=0.4; nodesep=0.3;"]
    for (state, following), causes in events.items():
        label = "".join(f"  {event.value}  \\l" for event in causes)
        lines.append(f'"{state.value}" -> "{following.value}" [label="{label}"];')
    return "\n".join([*lines, "}"])


def arrows(dot: str) -> str:
    """Return the arrows of a drawing as text: its text alternative."""
    found = re.findall(r'"([^"]+)" -> "([^"]+)"(?: \[label="([^"]+)"\])?', dot)
    causes = (", ".join(each.strip() for each in re.split(r"\\[ln]", label) if each) for _, _, label in found)
    return "; ".join(
        f"{first} to {second}" + (label and f": {label}")
        for (first, second, _), label in zip(found, causes, strict=True)
    )


def inline_svg(dot: str, key: str, title: str) -> str:
    """Lay a drawing out with Graphviz, as SVG that has the colours of the page around it.

    :param key: the prefix of the drawing's ids.
    :raises OSError: Graphviz is not installed.
    """
    program = shutil.which("dot")
    if program is None:
        raise OSError("Graphviz is not installed: its program dot draws the pictures")
    drawn = subprocess.run([program, "-Tsvg"], input=dot, capture_output=True, text=True, check=True).stdout
    body = re.sub(r"<title>.*?</title>|<!--.*?-->", "", drawn[drawn.index("<svg") :], flags=re.DOTALL)
    body = body.replace('"black"', '"currentColor"')
    body = re.sub(r' id="([^"]+)"', rf' id="{key}-\1"', body)
    label = f'role="img" aria-labelledby="{key}-title" aria-describedby="{key}-desc"'
    text = f'<title id="{key}-title">{title}</title><desc id="{key}-desc">{title}: {arrows(dot)}.</desc>'
    head, _, rest = body.partition(">")
    return f"{head} {label}>{text}{rest}"


class Drawing(SphinxDirective):
    draw = staticmethod(layers_dot)
    text = ""

    def run(self) -> list[nodes.Node]:
        return [figure(inline_svg(self.draw(), f"drawing-{self.name}", self.text), self.text)]


class Layers(Drawing):
    """``.. layers::``"""

    text = "The packages by layer, with an arrow for each import that no chain of others implies"


class States(Drawing):
    """``.. session-states::``"""

    draw = staticmethod(states_dot)
    text = "The states of a client's session, with the events that lead from one to another"


def setup(app: Sphinx) -> None:
    """Register the directives."""
    app.add_directive("layers", Layers)
    app.add_directive("session-states", States)
