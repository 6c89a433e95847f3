"""JSON is parsed by the standard, and invalid text is a ValueError."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txmirror.json_text import DEEPEST, JSONReader, JSONWriter, NestedTooDeeply, read_json

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
)


def nested(depth: int) -> str:
    return '{"a":' * (depth // 2) + "[" * (depth - depth // 2) + "]" * (depth - depth // 2) + "}" * (depth // 2)


class ReadTests(SynchronousTestCase):
    def refused(self, data: bytes | str) -> str:
        error = self.assertRaises(ValueError, read_json, data)
        self.assertNotIn("\n", str(error))
        return str(error)

    def test_constants(self) -> None:
        """NaN and Infinity, which Python's json reads, are refused by name."""
        for name in ("NaN", "Infinity", "-Infinity"):
            for text in (name, f"[{name}]", f'{{"a":{name}}}'):
                self.assertIn(name, self.refused(text))

    def test_out_of_range(self) -> None:
        """A number that is read as an infinite one could not be written again."""
        for text in ("1e999", "-1e999", "[1.5, 1e400]"):
            self.assertIn("out of range", self.refused(text))
        self.refused("1" + "0" * 5000)

    def test_depth(self) -> None:
        """The limit is the same at any depth of the call stack, and brackets within strings do not count."""
        for depth in (101, 500, 5000, 50_000, 1_000_000):
            self.assertRaises(NestedTooDeeply, read_json, nested(depth))
        for depth in (0, 1, DEEPEST):
            text = nested(depth) or "1"
            self.assertEqual(read_json(text), json.loads(text))
        wide = json.dumps([["[{"] * 10] * 1000)
        self.assertEqual(read_json(wide), json.loads(wide))
        self.assertRaises(NestedTooDeeply, JSONReader(deepest=2).read, "[[[]]]")
        self.assertEqual(JSONReader(deepest=2).read("[[]]"), [[]])

    def test_unclosed(self) -> None:
        """Deep JSON that is not even closed is refused too."""
        for text in ("[" * 50_000, '{"a":' * 50_000):
            self.refused(text)

    def test_encodings(self) -> None:
        """It is UTF-8; a byte order mark is no part of it."""
        self.assertEqual(read_json(b'\xef\xbb\xbf"\xc3\xa9"'), "é")
        self.assertEqual(read_json('\ufeff"é"'), "é")
        self.assertEqual(read_json('"\ufeffé"'), "\ufeffé")
        for encoding in ("utf-16", "utf-16-le", "utf-32", "latin-1"):
            self.refused('"é"'.encode(encoding))
        self.refused(b"\xff")
        self.refused(b"\xef\xbb\xbf")
        self.refused(b"\xef\xbb\xbf" * 2 + b"1")

    def test_same_key_twice(self) -> None:
        """The last one counts."""
        for reader in (JSONReader(), JSONReader(in_thread=True)):
            self.assertEqual(reader.read('{"a":1,"b":2,"a":3}'), {"a": 3, "b": 2})

    @given(st.binary() | st.text())
    def test_anything(self, data: bytes | str) -> None:
        """Any data is parsed, or is a ValueError."""
        try:
            read_json(data)
        except ValueError as error:
            self.assertTrue(str(error))


class WriteTests(SynchronousTestCase):
    def test_refused(self) -> None:
        """A value that is no JSON is a TypeError or a ValueError."""
        deep: Any = []
        circular: list[Any] = []
        circular.append(circular)
        for _ in range(50_000):
            deep = (deep,)
        wrong: list[Any] = [float("nan"), float("-inf"), {float("inf"): 1}, circular, 10**5000]
        for value in wrong:
            self.assertRaises(ValueError, JSONWriter().write, value)
        # Some versions of Python can write it.
        self.assertRaises(NestedTooDeeply, JSONWriter().write, deep, deepest=DEEPEST)
        unknown: list[Any] = [{1, 2}, b"x", {b"x": 1}, object()]
        for value in unknown:
            self.assertRaises(TypeError, JSONWriter().write, value)

    def test_depth(self) -> None:
        """Tuples count as arrays, and mappings as objects."""
        value: Any = ()
        for _ in range(DEEPEST):
            value = ({"a": value[0]},) if value else ({},)
        self.assertRaises(NestedTooDeeply, JSONWriter().write, value, deepest=DEEPEST)
        self.assertEqual(read_json(JSONWriter().write(value[0], deepest=DEEPEST)), value[0])
        self.assertTrue(JSONWriter().write(value))

    @given(_VALUES)
    def test_round_trip(self, value: object) -> None:
        """A value that was written in any style is read as it was."""
        for writer in (
            JSONWriter(),
            JSONWriter(compact=True, sort_keys=True),
            JSONWriter(indent=2),
            JSONWriter(ascii_only=False),
        ):
            for reader in (JSONReader(), JSONReader(in_thread=True)):
                self.assertEqual(reader.read(writer.write(value, deepest=DEEPEST)), value)
