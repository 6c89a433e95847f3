"""The messages: strict queries, and replies that are whole at any size."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st
from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase

from txmirror.dns.records import service_records, target_records, text_records
from txmirror.dns.wire import MOST_TCP, BadQuery, Reply, decode_query, encode_reply
from txmirror.test.dns.case import ask, decode
from txmirror.test.hypothesis_profiles import at_most
from txmirror.types import Instance

_NAME = "web.service.mirror"


def _header(flags: int = 0, questions: int = 1, answers: int = 0, additional: int = 0) -> bytes:
    return struct.pack("!6H", 7, flags, questions, answers, 0, additional)


_QUESTION = b"\x03web\0\0\x01\0\x01"


class QueryTests(SynchronousTestCase):
    def test_query(self) -> None:
        query = decode_query(ask(_NAME, dns.SRV, recDes=True))
        self.assertEqual((query.id, query.name, query.type, query.cls), (7, _NAME.encode(), dns.SRV, dns.IN))
        self.assertTrue(query.recurse)
        self.assertIsNone(query.edns)

    def test_sizes(self) -> None:
        """A reply by UDP has 512 bytes at the most, with EDNS the client's size or 1,232."""
        sizes = [decode_query(ask(_NAME, size=size)).udp_size for size in (None, 1, 700, 65535)]
        self.assertEqual(sizes, [512, 512, 700, 1232])

    def test_versions(self) -> None:
        """The version of EDNS and the wish for signatures are read; other additional records are ignored."""
        opt = b"\0" + struct.pack("!HHIH", 41, 1232, 1 << 16 | 0x8000, 3) + b"abc"
        other = b"\x01k\0" + struct.pack("!HHIH", 250, 255, 0, 2) + b"ab"
        edns = decode_query(_header(additional=2) + _QUESTION + other + opt).edns
        assert edns is not None
        self.assertEqual((edns.version, edns.dnssec_ok), (1, True))

    def test_not_answered(self) -> None:
        """Replies of others, and what is shorter than a header, are not answered: two servers would answer each other for ever."""
        for data in (b"", b"abc", _header(0x8000) + _QUESTION, _header(0x8000, questions=0)):
            self.assertIsNone(self.assertRaises(BadQuery, decode_query, data).reply)

    def test_bad(self) -> None:
        """A bad query is answered with a header, which is not longer."""
        opt = b"\0" + struct.pack("!HHIH", 41, 1232, 0, 0)
        long_name = b"".join(b"\x3f" + b"x" * 63 for _ in range(4)) + b"\0\0\x01\0\x01"
        for data in (
            _header(),
            _header(questions=0),
            _header(questions=2) + _QUESTION * 2,
            _header(questions=65535) + _QUESTION,
            _header(answers=1) + _QUESTION,
            _header() + _QUESTION[:-1],
            _header() + b"\x03we",
            _header() + b"\xc0\x0c\0\x01\0\x01",
            _header() + b"\x01a\xc0\x0c\0\x01\0\x01",
            _header() + b"\x40" + b"x" * 64 + b"\0\0\x01\0\x01",
            _header() + long_name,
            _header(additional=1) + _QUESTION,
            _header(additional=2) + _QUESTION + opt * 2,
            _header(additional=3) + _QUESTION + opt,
            _header(additional=1) + _QUESTION + b"\x01a" + opt,
            _header(additional=1) + _QUESTION + opt[:-2] + b"\0\x09",
        ):
            reply = self.assertRaises(BadQuery, decode_query, data).reply
            assert reply is not None
            self.assertLessEqual(len(reply), len(data))
            self.assertEqual((decode(reply).rCode, decode(reply).id), (dns.EFORMAT, 7), data)

    def test_other_operations(self) -> None:
        for opcode in (1, 2, 4, 5, 15):
            reply = self.assertRaises(BadQuery, decode_query, _header(opcode << 11) + _QUESTION).reply
            assert reply is not None
            self.assertEqual((decode(reply).rCode, decode(reply).opCode), (dns.ENOTIMP, opcode))

    @at_most(40)
    @given(st.binary(max_size=600))
    def test_any_bytes(self, data: bytes) -> None:
        """No bytes raise another exception, and none are answered with more bytes."""
        for each in (data, _header() + data, _header(additional=1) + _QUESTION + data):
            try:
                decode_query(each)
            except BadQuery as bad:
                self.assertLessEqual(len(bad.reply or b""), 12)


class ReplyTests(SynchronousTestCase):
    def reply(self, count: int, size: int, name: str = _NAME, edns: int | None = None) -> dns.Message:
        """Return the reply with the SRV records of so many instances."""
        instances = [Instance(name=f"{n}", address=f"10.0.{n >> 8}.{n & 255}", port=80) for n in range(count)]
        answers, additional = (
            service_records(name.encode(), instances, "mirror", 5),
            target_records(instances, "mirror", 5),
        )
        data = encode_reply(decode_query(ask(name, dns.SRV, size=edns)), Reply(0, answers, (), additional), size)
        self.assertLessEqual(len(data), size)
        return decode(data)

    def test_truncated(self) -> None:
        """A reply that is too long has whole records, and is marked."""
        reply = self.reply(60, 512)
        self.assertTrue(reply.trunc)
        self.assertGreater(len(reply.answers), 5)
        self.assertEqual(reply.additional, [])

    def test_lazy(self) -> None:
        """No more records are made than fit: a short question about a long list must not take long."""
        instances = [Instance(name=f"{n}", address=f"10.0.0.{n}", port=80) for n in range(200)]
        answers, additional = service_records(b"web", instances, "mirror", 5), target_records(instances, "mirror", 5)
        encode_reply(decode_query(ask(_NAME)), Reply(0, answers, (), additional), 512)
        self.assertGreater(len(list(answers)), 180)
        self.assertEqual(len(list(additional)), 200)

    def test_without_additional(self) -> None:
        """Additional records that do not fit are omitted; then the reply is not marked."""
        reply = self.reply(9, 512)
        self.assertFalse(reply.trunc)
        self.assertEqual(len(reply.answers), 9)
        self.assertLess(len(reply.additional), 9)

    def test_edns(self) -> None:
        """The reply to a query with EDNS has it too, also if it is truncated."""
        for count in (1, 100):
            reply = self.reply(count, 512, edns=512)
            self.assertEqual([each.type for each in reply.additional][-1], dns.OPT)

    def test_long(self) -> None:
        """A reply by TCP is whole behind the first 16 KiB, to which compressed names cannot refer."""
        reply = self.reply(700, MOST_TCP)
        self.assertFalse(reply.trunc)
        self.assertEqual(len(reply.answers), 700)
        self.assertEqual({each.name.name for each in reply.answers}, {_NAME.encode()})
        targets = [each.payload.target.name for each in reply.answers]  # type: ignore[union-attr]
        names = [each.name.name for each in reply.additional]
        self.assertGreater(len(names), 250)
        self.assertEqual(names, targets[: len(names)])

    def test_longest(self) -> None:
        """A reply by TCP that is too long is marked. Twisted's clients can read it."""
        reply = self.reply(3000, MOST_TCP)
        self.assertTrue(reply.trunc)
        self.assertGreater(len(reply.answers), 900)

    def test_version(self) -> None:
        """The code for an unknown version of EDNS has more bits than the header."""
        query = decode_query(ask(_NAME, size=1232))
        reply = dns._EDNSMessage()
        reply.fromStr(encode_reply(query, Reply(16), 512))
        self.assertEqual(reply.rCode, 16)

    @at_most(40)
    @given(
        st.integers(512, 4096),
        st.lists(
            st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=1, max_size=63), min_size=1, max_size=3
        ),
        st.lists(
            st.builds(
                Instance,
                name=st.text(max_size=80),
                address=st.one_of(st.ip_addresses().map(str), st.text(max_size=30), st.just("host.example")),
                port=st.one_of(st.none(), st.integers(-1, 70000)),
                weight=st.one_of(st.none(), st.integers(-5, 100000)),
                labels=st.dictionaries(st.text(max_size=8), st.text(max_size=300), max_size=4),
                data=st.one_of(
                    st.text(max_size=300), st.dictionaries(st.text(max_size=8), st.text(max_size=90), max_size=4)
                ),
            ),
            max_size=60,
        ),
        st.booleans(),
    )
    def test_any_size(self, size: int, labels: list[str], instances: list[Instance], edns: bool) -> None:
        """Whatever the instances are, each reply fits, is whole, and is marked if an answer is missing."""
        name = ".".join(labels)
        for answers, additional in (
            (
                list(service_records(name.encode(), instances, "mirror", 5)),
                list(target_records(instances, "mirror", 5)),
            ),
            (list(text_records(name.encode(), instances, 5)), []),
        ):
            query = decode_query(ask(name, dns.SRV, size=size if edns else None))
            data = encode_reply(query, Reply(0, answers, (), additional), size)
            reply = decode(data)
            self.assertLessEqual(len(data), size)
            self.assertEqual(bool(reply.trunc), len(reply.answers) < len(answers))
            self.assertEqual(
                [each.payload for each in reply.answers], [each.payload for each in answers][: len(reply.answers)]
            )
