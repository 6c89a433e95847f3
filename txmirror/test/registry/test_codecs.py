"""The data of registered nodes: written byte for byte as other readers expect it, and any data is read."""

from __future__ import annotations

import json
import os
import time

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from txmirror.interfaces import IInstanceCodec, IPayloadCodec
from txmirror.registry import CODECS, PlainCodec
from txmirror.test.wire.strategies import characters
from txmirror.types import Payload, Undecodable

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
        return CODECS["ndsr"].encode(data, pid=8364, created=CREATED)  # type: ignore[arg-type]  # wrong ones are tried too

    def test_mapping(self) -> None:
        """The facts follow pid and time, in compact JSON."""
        expected = b'{"pid":8364,"created":"2012-12-14 21:17:50","created_zone":"UTC","foo":"bar"}'
        self.assertEqual(self.encode({"foo": "bar"}), expected)

    def test_string(self) -> None:
        """A lone string is kept under a name of its own."""
        expected = b'{"pid":8364,"created":"2012-12-14 21:17:50","created_zone":"UTC","string_value":"my data"}'
        self.assertEqual(self.encode("my data"), expected)

    def test_nothing(self) -> None:
        """Without facts there are pid and time."""
        expected = b'{"pid":8364,"created":"2012-12-14 21:17:50","created_zone":"UTC"}'
        self.assertEqual(self.encode(None), expected)
        self.assertEqual(self.encode({}), expected)

    def test_empty_string(self) -> None:
        """An empty string is a string."""
        self.assertTrue(self.encode("").endswith(b',"string_value":""}'))

    def test_own_keys_replaced(self) -> None:
        """Facts may replace pid and time, which stay in front."""
        encoded = self.encode({"a": 1, "created": "today", "pid": None})
        self.assertEqual(encoded, b'{"pid":null,"created":"today","a":1}')

    def test_order(self) -> None:
        """Facts keep the order in which they were given."""
        self.assertTrue(self.encode({"z": 1, "a": 2, "m": 3}).endswith(b',"z":1,"a":2,"m":3}'))

    def test_zone(self) -> None:
        """The time is in UTC, wherever the machine is."""
        self.set_zone("XXX+5")
        self.assertIn(b'"created":"2012-12-14 21:17:50","created_zone":"UTC"', self.encode(None))

    def test_fraction_of_a_second(self) -> None:
        """The time is in whole seconds."""
        self.assertIn(b'"created":"2012-12-14 21:17:50"', CODECS["ndsr"].encode(None, pid=1, created=CREATED + 0.75))

    def test_utf8(self) -> None:
        """Letters are written as they are, in UTF-8."""
        self.assertTrue(self.encode({"città": "✓"}).endswith('"città":"✓"}'.encode()))

    def test_values(self) -> None:
        """All values of JSON are encoded, without spaces."""
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
        self.assertEqual(CODECS["ndsr"].decode(b'{"pid":1,"foo":["bar"]}'), {"pid": 1, "foo": ["bar"]})

    def test_spaces_around(self) -> None:
        """Spaces around it do not matter."""
        self.assertEqual(CODECS["ndsr"].decode(b' \n{"pid":1}\t'), {"pid": 1})

    def test_no_data(self) -> None:
        """No data is None."""
        self.assertIsNone(CODECS["ndsr"].decode(b""))

    def test_blank(self) -> None:
        """Blank data is an empty record."""
        self.assertEqual(CODECS["ndsr"].decode(b" \n\t "), {})

    def test_text(self) -> None:
        """Anything else is its text, without the spaces around it."""
        self.assertEqual(CODECS["ndsr"].decode(b" hello world\n"), {"string_value": "hello world"})

    def test_other_json(self) -> None:
        """JSON that is no object is text like any other."""
        for text in ("[1,2]", '"s"', "42", "null"):
            self.assertEqual(CODECS["ndsr"].decode(text.encode()), {"string_value": text})

    def test_broken_json(self) -> None:
        """Text that only looks like JSON is text."""
        for text in ("{}}", "{'a':1}", "{a}", '{"a":1'):
            self.assertEqual(CODECS["ndsr"].decode(text.encode()), {"string_value": text})

    def test_deep(self) -> None:
        """JSON too deep to be read, or too deep to be of use, cannot be decoded."""
        for depth in (100_000, 101):
            text = '{"a":' * depth + "1" + "}" * depth
            self.assertEqual(CODECS["ndsr"].decode(text.encode()), Undecodable("JSON that is nested too deeply"))
        text = '{"a":' * 100 + "[]" + "}" * 100
        self.assertEqual(CODECS["ndsr"].decode(text.encode()), Undecodable("JSON that is nested too deeply"))
        text = '{"a":' * 100 + "1" + "}" * 100
        self.assertEqual(CODECS["ndsr"].decode(text.encode()), json.loads(text))

    def test_no_numbers(self) -> None:
        """A number that Python accepts, and JSON does not, is text: nobody could write it again."""
        for text in ('{"a":NaN}', '{"a":-Infinity}', '{"a":1e999}'):
            self.assertEqual(CODECS["ndsr"].decode(text.encode()), {"string_value": text})

    def test_byte_order_mark(self) -> None:
        """A byte order mark at the beginning is ignored; within the text it is not."""
        mark = "\ufeff".encode()
        for codec in (CODECS["ndsr"], CODECS["zczk"]):
            for data in (b'{"a": 1}', b"hello", b" ", "a\ufeff".encode()):
                self.assertEqual(codec.decode(mark + data), codec.decode(data))
            self.assertTrue(codec.says(mark + codec.encode({"a": 1}, pid=1, created=0), {"a": 1}))
        self.assertEqual(PlainCodec().decode(mark + b"hello"), "hello")
        self.assertTrue(PlainCodec().says(mark + b"hello", "hello"))
        for text in ("\ufeffx", "\ufeff\ufeffx", ""):
            self.assertTrue(PlainCodec().says(PlainCodec().encode(text, pid=1, created=0), text))

    def test_number_too_long(self) -> None:
        """JSON with a number that Python refuses to read is text, or the number where Python reads it."""
        digits = "9" * 10_000
        self.assertIn(list(decoded(b'{"a":' + digits.encode() + b"}")), (["string_value"], ["a"]))

    def test_not_utf8(self) -> None:
        """Bytes that are no text cannot be decoded; the reason is one short line."""
        decoded = CODECS["ndsr"].decode(b"ab\xff\x00\n\x80" + b"\xff" * 1_000_000)
        assert isinstance(decoded, Undecodable)
        self.assertEqual(decoded.reason, r"not UTF-8 at byte 2: b'\xff\x00\n\x80\xff\xff\xff\xff'")

    @given(
        st.binary()
        | st.binary().map(lambda data: b"{" + data + b"}")
        | st.text(characters).map(lambda text: text.encode())
    )
    def test_anything(self, data: bytes) -> None:
        """Nothing that stands in a node makes reading it fail, in any form."""
        for codec in CODECS.values():
            decoded = codec.decode(data)
            self.assertTrue(decoded is None or isinstance(decoded, (dict, str, Undecodable)))
        self.assertEqual(CODECS["ndsr"].decode(data) is None, data == b"")

    @given(VALUES.map(lambda value: json.dumps({"v": value})))
    def test_any_json(self, text: str) -> None:
        """Every JSON object is read as Python's json does."""
        self.assertEqual(CODECS["ndsr"].decode(text.encode()), json.loads(text))


class SaysTests(SynchronousTestCase):
    def says(self, stored: bytes, data: object, codec: IPayloadCodec | None = None) -> bool:
        return (codec or CODECS["ndsr"]).says(stored, data)  # type: ignore[arg-type]  # what is in it varies

    def test_apart_from_additions(self) -> None:
        """The writer and the time make no difference, nor does the order."""
        stored = b'{"b":2,"pid":1,"a":1,"created":"long ago"}'
        self.assertTrue(self.says(stored, {"a": 1, "b": 2}))
        self.assertFalse(self.says(stored, {"a": 1}))
        self.assertFalse(self.says(stored, {"a": 1, "b": 2, "c": 3}))
        self.assertFalse(self.says(stored, {"a": 1, "b": 3}))

    def test_replaced_additions(self) -> None:
        """Where the facts replace those, they count."""
        self.assertFalse(self.says(b'{"pid":1,"created":"long ago"}', {"pid": 2}))
        self.assertTrue(self.says(b'{"pid":2,"created":"long ago"}', {"pid": 2}))

    def test_as_json(self) -> None:
        """Values with the same JSON form are equal."""
        self.assertTrue(self.says(b'{"v":[1,2],"3":null}', {"v": (1, 2), 3: None}))

    def test_string(self) -> None:
        """A lone string is compared as one; nothing is the same as no facts."""
        self.assertTrue(self.says(b'{"pid":1,"string_value":"x"}', "x"))
        self.assertFalse(self.says(b'{"pid":1,"string_value":"x"}', "y"))
        self.assertTrue(self.says(b'{"pid":1}', None))

    def test_foreign(self) -> None:
        """Data that is empty, no text or no object never equals ours."""
        for stored in (b"", b"\xff", b"[1]"):
            self.assertFalse(self.says(stored, {"a": 1}))
        self.assertFalse(self.says(b"", None))

    @given(st.dictionaries(st.text("abc", min_size=1), VALUES))
    def test_own(self, data: dict[str, object]) -> None:
        """Written data equals the data to write, in each form of JSON."""
        for codec in (CODECS["ndsr"], CODECS["zczk"]):
            self.assertTrue(codec.says(codec.encode(data, pid=1, created=CREATED), data))


class ZcZkTests(SynchronousTestCase):
    def encode(self, data: dict[str, object] | str | None) -> bytes:
        return CODECS["zczk"].encode(data, pid=9999, created=CREATED)

    def test_encode(self) -> None:
        """The process comes last, and there is no time."""
        self.assertEqual(self.encode(None), b'{"pid":9999}')
        self.assertEqual(self.encode({"a": 1}), b'{"a":1,"pid":9999}')
        self.assertEqual(self.encode("text"), b'{"string_value":"text","pid":9999}')
        self.assertEqual(self.encode({"pid": 1, "a": 2}), b'{"pid":1,"a":2}')

    def test_decode(self) -> None:
        """No data is an empty record, and text keeps its spaces."""
        self.assertEqual(CODECS["zczk"].decode(b'{"a":1,"pid":9999}'), {"a": 1, "pid": 9999})
        self.assertEqual(CODECS["zczk"].decode(b""), {})
        self.assertEqual(CODECS["zczk"].decode(b" a\n"), {"string_value": " a\n"})


class PlainTests(SynchronousTestCase):
    def test_text(self) -> None:
        """A text is written as it is, and read as it is."""
        codec = PlainCodec()
        self.assertEqual(codec.encode(" città", pid=1, created=0), " città".encode())
        self.assertEqual(codec.decode(" città".encode()), " città")
        self.assertTrue(codec.says(b"a", "a"))
        self.assertFalse(codec.says(b"a", "b"))

    def test_nothing(self) -> None:
        """Nothing is no data."""
        self.assertEqual(PlainCodec().encode(None, pid=1, created=0), b"")
        self.assertIsNone(PlainCodec().decode(b""))

    def test_mapping(self) -> None:
        """A mapping is a TypeError that quotes it."""
        error = self.assertRaises(TypeError, PlainCodec().encode, {"a": 1}, pid=1, created=0)
        self.assertIn("{'a': 1}", str(error))


class ProvidedTests(SynchronousTestCase):
    def test_all(self) -> None:
        """Each codec keeps the promise, and is found by its name."""
        self.assertEqual(
            sorted(CODECS),
            ["curator", "curator-spring", "merged", "ndsr", "nerve", "nerve-base64", "plain", "serverset", "zczk"],
        )
        for name, codec in CODECS.items():
            self.assertTrue(verifyObject(IInstanceCodec, codec))
            self.assertEqual(codec.name, name)


def decoded(data: bytes) -> dict[str, object]:
    """Return the decoded form of JSON data."""
    payload: Payload | Undecodable = CODECS["ndsr"].decode(data)
    assert isinstance(payload, dict)
    return payload


class RoundTripTests(SynchronousTestCase):
    @given(
        st.dictionaries(
            st.text("abc✓", min_size=1).filter(lambda key: key not in {"pid", "created", "created_zone"}), VALUES
        )
    )
    def test_mapping(self, data: dict[str, object]) -> None:
        """Facts are decoded as they were encoded, with pid and time in front."""
        read = decoded(CODECS["ndsr"].encode(data, pid=8364, created=CREATED))
        self.assertEqual(list(read)[:3], ["pid", "created", "created_zone"])
        self.assertEqual(read.pop("pid"), 8364)
        del read["created"], read["created_zone"]
        self.assertEqual(read, data)

    @given(st.text(characters))
    def test_string(self, text: str) -> None:
        """A string is read as it was written, spaces and all."""
        read = decoded(CODECS["ndsr"].encode(text, pid=8364, created=CREATED))
        self.assertEqual(read["string_value"], text)
