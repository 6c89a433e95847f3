"""What stands in a registered node: written byte for byte as its other readers expect it, and read whatever it is."""

from __future__ import annotations

import json
import os
import time

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txmirror.registry import decode_payload, encode_payload

#: 2012-12-14 21:17:50 in Greenwich.
CREATED = 1355519870.0
#: What JSON can hold, and gives back as it was.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text('aé✓"\\\n'),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text("xyz"), values, max_size=3),
    max_leaves=10,
)


class EncodeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.addCleanup(self.set_zone, os.environ.get("TZ"))
        self.set_zone("UTC")

    def set_zone(self, zone: str | None) -> None:
        if zone is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = zone
        time.tzset()

    def encode(self, data: object) -> bytes:
        return encode_payload(data, pid=8364, created=CREATED)  # type: ignore[arg-type]  # wrong ones are tried too

    def test_mapping(self) -> None:
        """Facts follow who wrote them and when, in compact JSON."""
        expected = b'{"pid":8364,"created":"2012-12-14 21:17:50","foo":"bar"}'
        self.assertEqual(self.encode({"foo": "bar"}), expected)

    def test_string(self) -> None:
        """A lone string is kept under a name of its own."""
        expected = b'{"pid":8364,"created":"2012-12-14 21:17:50","string_value":"my data"}'
        self.assertEqual(self.encode("my data"), expected)

    def test_nothing(self) -> None:
        """Without facts there is who wrote it and when."""
        expected = b'{"pid":8364,"created":"2012-12-14 21:17:50"}'
        self.assertEqual(self.encode(None), expected)
        self.assertEqual(self.encode({}), expected)

    def test_empty_string(self) -> None:
        """An empty string is a string."""
        self.assertTrue(self.encode("").endswith(b',"string_value":""}'))

    def test_own_keys_replaced(self) -> None:
        """Facts may replace who wrote it and when, which stay in front."""
        encoded = self.encode({"a": 1, "created": "today", "pid": None})
        self.assertEqual(encoded, b'{"pid":null,"created":"today","a":1}')

    def test_order(self) -> None:
        """Facts keep the order in which they were given."""
        self.assertTrue(self.encode({"z": 1, "a": 2, "m": 3}).endswith(b',"z":1,"a":2,"m":3}'))

    def test_local_time(self) -> None:
        """The time is local, because that is what readers of the format expect."""
        self.set_zone("XXX+5")
        self.assertIn(b'"created":"2012-12-14 16:17:50"', self.encode(None))

    def test_fraction_of_a_second(self) -> None:
        """The time is in whole seconds."""
        self.assertIn(b'"created":"2012-12-14 21:17:50"', encode_payload(None, pid=1, created=CREATED + 0.75))

    def test_utf8(self) -> None:
        """Letters are written as they are, in UTF-8."""
        self.assertTrue(self.encode({"città": "✓"}).endswith('"città":"✓"}'.encode()))

    def test_values(self) -> None:
        """Whatever JSON knows is written as JSON, without spaces."""
        encoded = self.encode({"v": [1, 2.5, None, True, {"k": "\n"}]})
        self.assertTrue(encoded.endswith(b'"v":[1,2.5,null,true,{"k":"\\n"}]}'))

    def test_wrong_kind(self) -> None:
        """Data that is neither a mapping nor a string is a TypeError that quotes it."""
        for wrong in (b"bytes", ["list"], 42, object):
            error = self.assertRaises(TypeError, self.encode, wrong)
            self.assertIn(repr(wrong)[:10], str(error))

    def test_wrong_value(self) -> None:
        """A value that JSON does not know is a TypeError."""
        for wrong in (b"bytes", object(), {1, 2}, 1j):
            self.assertRaises(TypeError, self.encode, {"v": wrong})

    def test_wrong_key(self) -> None:
        """A key that JSON cannot make a name of is a TypeError."""
        self.assertRaises(TypeError, self.encode, {("a", "b"): 1})

    def test_wrong_number(self) -> None:
        """A number that JSON cannot write is a ValueError."""
        for wrong in (float("nan"), float("inf"), float("-inf")):
            self.assertRaises(ValueError, self.encode, {"v": wrong})

    def test_circle(self) -> None:
        """Data that holds itself is a ValueError."""
        circle: dict[str, object] = {}
        circle["v"] = circle
        self.assertRaises(ValueError, self.encode, circle)

    def test_lone_surrogate(self) -> None:
        """Text that UTF-8 cannot hold is a ValueError."""
        self.assertRaises(ValueError, self.encode, "\ud800")


class DecodeTests(SynchronousTestCase):
    def test_object(self) -> None:
        """A JSON object is read as one."""
        self.assertEqual(decode_payload(b'{"pid":1,"foo":["bar"]}'), {"pid": 1, "foo": ["bar"]})

    def test_spaces_around(self) -> None:
        """Spaces around it do not matter."""
        self.assertEqual(decode_payload(b' \n{"pid":1}\t'), {"pid": 1})

    def test_no_data(self) -> None:
        """No data is None."""
        self.assertIsNone(decode_payload(b""))

    def test_blank(self) -> None:
        """Blank data is an empty record."""
        self.assertEqual(decode_payload(b" \n\t "), {})

    def test_text(self) -> None:
        """Anything else is its text, without the spaces around it."""
        self.assertEqual(decode_payload(b" hello world\n"), {"string_value": "hello world"})

    def test_other_json(self) -> None:
        """JSON that is no object is text like any other."""
        for text in ("[1,2]", '"s"', "42", "null"):
            self.assertEqual(decode_payload(text.encode()), {"string_value": text})

    def test_broken_json(self) -> None:
        """What only looks like JSON is text."""
        for text in ("{}}", "{'a':1}", "{a}", '{"a":1'):
            self.assertEqual(decode_payload(text.encode()), {"string_value": text})

    def test_deep(self) -> None:
        """JSON too deep to be read is text."""
        text = '{"a":' * 100_000 + "1" + "}" * 100_000
        self.assertEqual(decode_payload(text.encode()), {"string_value": text})

    def test_number_too_long(self) -> None:
        """JSON with a number that Python refuses to read is text, or the number where Python reads it."""
        digits = "9" * 10_000
        decoded = decode_payload(b'{"a":' + digits.encode() + b"}")
        assert decoded is not None
        self.assertIn(list(decoded), (["string_value"], ["a"]))

    def test_not_utf8(self) -> None:
        """Bytes that are no text are kept in a form from which they can be had back."""
        decoded = decode_payload(b"\xff\x00\x80")
        assert decoded is not None
        text = decoded["string_value"]
        assert isinstance(text, str)
        self.assertEqual(text.encode(errors="surrogateescape"), b"\xff\x00\x80")

    @given(st.binary() | st.binary().map(lambda data: b"{" + data + b"}") | st.text().map(lambda text: text.encode()))
    def test_anything(self, data: bytes) -> None:
        """Nothing that stands in a node makes reading it fail."""
        decoded = decode_payload(data)
        self.assertTrue(decoded is None or isinstance(decoded, dict))
        self.assertEqual(decoded is None, data == b"")

    @given(VALUES.map(lambda value: json.dumps({"v": value})))
    def test_any_json(self, text: str) -> None:
        """Every JSON object is read as Python's json does."""
        self.assertEqual(decode_payload(text.encode()), json.loads(text))


class RoundTripTests(SynchronousTestCase):
    @given(st.dictionaries(st.text("abc✓", min_size=1).filter(lambda key: key not in {"pid", "created"}), VALUES))
    def test_mapping(self, data: dict[str, object]) -> None:
        """Facts are read as they were written, with who wrote them and when in front."""
        decoded = decode_payload(encode_payload(data, pid=8364, created=CREATED))
        assert decoded is not None
        self.assertEqual(list(decoded)[:2], ["pid", "created"])
        self.assertEqual(decoded.pop("pid"), 8364)
        decoded.pop("created")
        self.assertEqual(decoded, data)

    @given(st.text(st.characters(codec="utf-8")))
    def test_string(self, text: str) -> None:
        """A string is read as it was written, spaces and all."""
        decoded = decode_payload(encode_payload(text, pid=8364, created=CREATED))
        assert decoded is not None
        self.assertEqual(decoded["string_value"], text)
