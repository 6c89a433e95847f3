"""Decode queries strictly, and encode replies that fit.

Twisted's ``Message`` cuts a reply that is too long inside a record, cannot refer to a name beyond the first 16 KiB, and, in old
versions, takes long for hostile packets. Here a query is its header, one question and EDNS (RFC 6891); records are encoded by Twisted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from io import BytesIO

import attrs
from twisted.names import dns

#: The longest UDP message without EDNS, and the longest with it, which is not fragmented on usual networks; in bytes.
_PLAIN_SIZE, MOST_UDP = 512, 1232
#: The longest TCP message, in bytes.
MOST_TCP = 65535
#: The offsets that a compressed name can refer to are below this.
_MOST_OFFSET = 0x4000
#: The longest name in bytes, the bytes for lengths included.
_LONGEST_NAME = 255
#: The most records in the additional section of a query: EDNS, and a signature, which is ignored.
_MOST_ADDITIONAL = 2
#: The most records of a reply: Twisted's own clients refuse messages with more than 1,000 compressed names.
_MOST_RECORDS = 990
#: The code for an EDNS version that is not known, RFC 6891.
BAD_VERSION = 16

_HEADER = struct.Struct("!6H")
_FIXED = struct.Struct("!HHIH")
_ANSWER, _AUTHORITATIVE, _TRUNCATED, _RECURSE, _CAN_RECURSE = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
_OPCODE = 0x7800
_DNSSEC_OK = 0x8000


class BadQuery(Exception):
    """A message that is not answered with records.

    :ivar reply: the reply: a header with a code. None for no reply.
    """

    def __init__(self, reply: bytes | None) -> None:
        super().__init__(reply)
        self.reply = reply


@attrs.frozen
class EDNS:
    """The EDNS record of a query."""

    size: int
    """The longest UDP message that the client can receive, in bytes."""
    version: int
    """The version: 0."""
    dnssec_ok: bool
    """True if the client asks for signatures, which this server does not have."""


@attrs.frozen
class Query:
    """A query with one question."""

    id: int
    """The number that its reply repeats."""
    recurse: bool
    """True if the client asks for recursion."""
    question: bytes
    """The question, as it was sent."""
    labels: tuple[bytes, ...]
    """The labels of its name, in their own case."""
    type: int
    """The type of the wanted records."""
    cls: int
    """Their class."""
    edns: EDNS | None
    """Its EDNS record; None without."""

    @property
    def name(self) -> bytes:
        """The name, in its own case."""
        return b".".join(self.labels)

    @property
    def udp_size(self) -> int:
        """The longest reply by UDP, in bytes."""
        return _PLAIN_SIZE if self.edns is None else min(max(self.edns.size, _PLAIN_SIZE), MOST_UDP)


@attrs.frozen
class Reply:
    """A reply to a query."""

    code: int = dns.OK
    """The response code."""
    answers: Iterable[dns.RRHeader] = ()
    """The answers. They are made while the reply is encoded, and no more of them than fit."""
    authority: Sequence[dns.RRHeader] = ()
    """The authority section: the SOA record in a negative answer."""
    additional: Iterable[dns.RRHeader] = ()
    """Records that the client would ask for next."""
    authoritative: bool = False
    """True if the server has the authority over the name."""
    can_recurse: bool = False
    """True if the server asks others."""


def decode_query(data: bytes) -> Query:
    """Decode a query.

    :raises BadQuery: it is none; its ``reply`` is the answer.
    """
    if len(data) < _HEADER.size:
        raise BadQuery(None)
    number, flags, questions, answers, authority, additional = _HEADER.unpack_from(data)
    if flags & _ANSWER:
        # Two servers would answer each other for ever.
        raise BadQuery(None)
    if flags & _OPCODE:
        raise BadQuery(_refusal(number, flags, dns.ENOTIMP))
    try:
        _check_counts(questions, answers + authority, additional)
        labels, position = _read_name(data, _HEADER.size)
        kind, cls = struct.unpack_from("!HH", data, position)
        end = position + 4
        edns = _read_edns(data, end, additional)
    except (ValueError, IndexError, struct.error):
        raise BadQuery(_refusal(number, flags, dns.EFORMAT)) from None
    return Query(number, bool(flags & _RECURSE), data[_HEADER.size : end], labels, kind, cls, edns)


def _check_counts(questions: int, records: int, additional: int) -> None:
    if questions != 1 or records or additional > _MOST_ADDITIONAL:
        raise ValueError


def _refusal(number: int, flags: int, code: int) -> bytes:
    return _HEADER.pack(number, _ANSWER | flags & (_OPCODE | _RECURSE) | code, 0, 0, 0, 0)


def _read_name(data: bytes, position: int) -> tuple[tuple[bytes, ...], int]:
    """Return the labels of a name that is not compressed, and the position behind it."""
    labels: list[bytes] = []
    start = position
    while length := data[position]:
        end = position + 1 + length
        # Longer lengths are those of compressed names. There is nothing before a question that it could refer to.
        if length > 63 or end + 1 - start > _LONGEST_NAME or end > len(data):
            raise ValueError
        labels.append(data[position + 1 : end])
        position = end
    return tuple(labels), position + 1


def _read_edns(data: bytes, position: int, count: int) -> EDNS | None:
    """Return the EDNS record among the additional records; None if there is none."""
    found: EDNS | None = None
    for _ in range(count):
        labels, position = _read_name(data, position)
        kind, cls, rest, length = _FIXED.unpack_from(data, position)
        position += _FIXED.size + length
        if position > len(data):
            raise ValueError
        if kind == dns.OPT:
            if found is not None or labels:
                raise ValueError
            found = EDNS(cls, rest >> 16 & 0xFF, bool(rest & _DNSSEC_OK))
    return found


class _Offsets(dict[bytes, int]):
    """The offsets of names in a message, as far as compressed names can refer to them."""

    def __setitem__(self, name: bytes, offset: int) -> None:
        if offset < _MOST_OFFSET:
            super().__setitem__(name, offset)


def encode_reply(query: Query, reply: Reply, size: int) -> bytes:
    """Encode a reply.

    Records that do not fit are omitted whole. If one of the answers or of the authority section is, the reply is marked as
    truncated, and the client asks again by TCP.

    :param size: the longest reply, in bytes.
    """
    opt = b""
    if query.edns is not None:
        extended = (reply.code >> 4) << 24 | (_DNSSEC_OK if query.edns.dnssec_ok else 0)
        opt = b"\0" + _FIXED.pack(dns.OPT, MOST_UDP, extended, 0)
    space = size - _HEADER.size - len(opt)
    body = BytesIO()
    offsets = _Offsets()
    if not any(b"." in label for label in query.labels):
        _note_name(offsets, query.labels)
    body.write(query.question)
    counts = [0, 0, 0]
    truncated = False
    for index, section in enumerate((reply.answers, reply.authority, reply.additional)):
        for record in section:
            start = body.tell()
            record.encode(body, offsets)
            if body.tell() > space or sum(counts) == _MOST_RECORDS:
                body.seek(start)
                body.truncate()
                # Later records might refer to names in it.
                truncated = True
                break
            counts[index] += 1
        if truncated:
            # A client can do without additional records.
            truncated = index < 2
            break
    flags = (
        _ANSWER
        | (_AUTHORITATIVE if reply.authoritative else 0)
        | (_TRUNCATED if truncated else 0)
        | (_RECURSE if query.recurse else 0)
        | (_CAN_RECURSE if reply.can_recurse else 0)
        | (reply.code & 0xF)
    )
    header = _HEADER.pack(query.id, flags, 1, counts[0], counts[1], counts[2] + bool(opt))
    return header + body.getvalue() + opt


def _note_name(offsets: _Offsets, labels: Sequence[bytes]) -> None:
    position = _HEADER.size
    for index, label in enumerate(labels):
        offsets[b".".join(labels[index:])] = position
        position += 1 + len(label)
