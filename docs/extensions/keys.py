"""A Sphinx directive that lists the keys of a class of the daemon's configuration, from its annotations and docstrings."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import UnionType
from typing import Any, get_args, get_origin

import attrs
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

from txmirror.access import Access
from txmirror.configuration.rules import ArrayOf, Duration, Rule
from txmirror.configuration.structuring import key_of, rule_of
from txmirror.durations import show_seconds

#: Sentences for the metadata of a field.
_MARKS = {"defaultable": "``[defaults]`` may have it.", "restart": "A change needs a restart."}

# For attrs' stubs attrs.Factory is a function.
_FACTORY: type = type(attrs.Factory(list))


def _type_of(field: attrs.Attribute[Any], rule: Rule | None) -> str:
    if rule is not None:
        return rule.kind
    declared: Any = field.type
    kinds = [each for each in get_args(declared) if each is not type(None)]
    if isinstance(declared, UnionType) and len(kinds) > 1:
        return "table or string"
    if get_origin(declared) is tuple:
        return "array of tables"
    assert declared is Access or attrs.has(kinds[0] if kinds else declared)
    return "table"


def _default_of(field: attrs.Attribute[Any], rule: Rule | None) -> str:
    default = field.metadata.get("default", field.default)
    if field.metadata.get("default") is not None:
        return str(default)
    if default is attrs.NOTHING:
        return "*required*"
    if default is None or isinstance(default, _FACTORY) or default == ():
        return ""
    if isinstance(rule, Duration):
        return f"``{show_seconds(default).replace(' ', '')}``"
    if isinstance(rule, ArrayOf):
        return f"``{list(default)}``".replace("'", '"')
    if isinstance(default, bool):
        return f"``{str(default).lower()}``"
    return f'``"{default}"``' if isinstance(default, str) else f"``{default:g}``"


def keys_rst(module: str, name: str) -> Iterator[str]:
    """Yield the lines of a table of the keys of a class.

    :raises KeyError: a key has no docstring.
    """
    cls = getattr(importlib.import_module(module), name)
    docs = ModuleAnalyzer.for_module(module).find_attr_docs()
    fields = attrs.fields(cls)
    if not fields:
        return
    yield from (".. list-table::", "   :header-rows: 1", "   :widths: 16 24 18 60", "")
    yield from ("   * - Key", "     - Type", "     - Default", "     - Meaning")
    for field in fields:
        rule = rule_of(field.type)
        meaning = [line for line in docs[name, field.name] if line]
        meaning += [text for mark, text in _MARKS.items() if field.metadata.get(mark)]
        yield f"   * - ``{key_of(field)}``"
        yield f"     - {_type_of(field, rule)}"
        yield f"     - {_default_of(field, rule)}"
        yield f"     - {' '.join(meaning)}"
    yield ""


class ConfigurationKeys(SphinxDirective):
    """``.. configuration-keys:: MODULE CLASS``"""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        module, name = self.arguments
        text = (getattr(importlib.import_module(module), name).__doc__ or "").splitlines()
        lines = [*text, "", *keys_rst(module, name)]
        container = nodes.container()
        self.state.nested_parse(StringList(lines, source=module), self.content_offset, container)
        return container.children


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_directive("configuration-keys", ConfigurationKeys)
