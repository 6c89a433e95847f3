"""Values in YAML and JSON, of any content, are the same when another project's parser reads them."""

from __future__ import annotations

import json
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txmirror.cli.formats import excerpt, json_line, json_lines, table_lines, yaml_lines
from txmirror.cli.statuses import CommandError
from txmirror.test.wire.strategies import characters

_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(characters)
)
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(characters), inner), max_leaves=20
)

#: What YAML would take for something else, or for its own signs; what moves a terminal's cursor; what is no character.
_AWKWARD = (
    *(
        "",
        " ",
        "~",
        "null",
        "Null",
        "yes",
        "No",
        "on",
        "OFF",
        "true",
        "y",
        "-",
        "--- a",
        "- a",
        "? a",
        "a: b",
        "a:",
        ":a",
    ),
    *("a #b", "#a", "&a", "*a", "!a", "|", ">", "%a", "@a", "`a`", "'a'", '"a"', "[a]", "{a}", ",", "=", "<<", "a\\b"),
    *("1", "1.5", "0x1f", "1e3", "1_000", "12:30:45", "2012-12-14", "2012-12-14 21:17:50", ".inf", ".nan", "0o7"),
    *(
        "a\nb",
        "a\n",
        "\ta",
        "\x00",
        "\x1b[31m",
        "\x7f",
        "\x85",
        "\xa0",
        "\u2028",
        "\u202e",
        "\ufeff",
        "\ud800",
        "\udcff",
    ),
    *("é", "日本", "😀", "/a:b", "server1:22", "/", "a/b.c-d_e@f+g", "x" * 2000),
)


def read_yaml(value: object) -> Any:
    return yaml.safe_load("\n".join(yaml_lines(value)))


class FormatTests(SynchronousTestCase):
    @given(_VALUES)
    def test_yaml(self, value: object) -> None:
        self.assertEqual(read_yaml(value), value)

    @given(_VALUES)
    def test_json(self, value: object) -> None:
        self.assertEqual(json.loads("\n".join(json_lines(value))), value)
        self.assertEqual(json.loads(json_line(value)), value)

    def test_awkward(self) -> None:
        """Texts that are something else in YAML come back as texts: as values, in lists, and as keys."""
        for text in _AWKWARD:
            values: list[Any] = [text, [text], {text: text}, {text: {text: [text]}}, {text: {}}, [[text], {text: 1}]]
            for value in values:
                self.assertEqual(read_yaml(value), value)
                self.assertEqual(json.loads(json_line(value)), value)

    def test_prints(self) -> None:
        """Nothing that does not print is printed, and JSON is plain ASCII."""
        for text in _AWKWARD:
            for line in (
                *yaml_lines({text: [text]}),
                *json_lines({text: [text]}),
                excerpt(text.encode(errors="replace")),
            ):
                self.assertTrue(line.isprintable(), repr(line))
            self.assertTrue(json_line({text: text}).isascii())

    def test_readable(self) -> None:
        """Values that need no quotes have none, and order is kept."""
        value = {"/services/ssh": {"server1:22": {"foo": "bar", "port": 22, "tags": ["a", {"b": None}]}, "none": {}}}
        expected = [
            "/services/ssh:",
            "  server1:22:",
            "    foo: bar",
            "    port: 22",
            "    tags:",
            "    - a",
            "    - b: null",
            "  none: {}",
        ]
        self.assertEqual(list(yaml_lines(value)), expected)
        singles: list[object] = ["a", None, 3, "a b", {}]
        lines = [line for each in singles for line in yaml_lines(each)]
        self.assertEqual(lines, ["a", "null", "3", "a b", "{}"])

    def test_other_encoding(self) -> None:
        """If a stream's encoding lacks a character, its escape is read as that character."""
        line = "\n".join(yaml_lines({"é": "日😀"})).encode("ascii", "backslashreplace").decode()
        self.assertEqual(yaml.safe_load(line), {"é": "日😀"})

    def test_deep(self) -> None:
        """A value that is too deep for a format is refused in one line that names others."""
        value: list[Any] = []
        for _ in range(100_000):
            value = [value]
        for lines, name in ((yaml_lines, "yaml"), (json_lines, "json")):
            error = self.assertRaises(CommandError, lines, value)
            self.assertIn(repr(name), str(error))
            self.assertIn("table", str(error))

    def test_tables(self) -> None:
        """Columns are as wide as their widest cell, and no line has trailing spaces."""
        lines = list(table_lines(("NAME", "DATA"), [("a-long-name", "x"), ("b", "")]))
        self.assertEqual(lines, ["NAME         DATA", "a-long-name  x", "b"])
        self.assertEqual(list(table_lines(("NAME", "DATA"), [])), ["NAME  DATA"])

    def test_excerpts(self) -> None:
        """Data are shown in one line, of which a person sees the end."""
        self.assertEqual(excerpt(b"a\nb\xff\x1b"), r"a\nb\xff\x1b")
        self.assertEqual(excerpt(b"x" * 200), "x" * 200)
        self.assertEqual(excerpt(b"x" * 1_000_000), "x" * 200 + "... (1000000 bytes)")
