"""Requests that no client of ours sends: with nulls, odd booleans and odd addresses. The server answers as the real one does."""

from __future__ import annotations

from typing import ClassVar

import attrs
from twisted.trial.unittest import SynchronousTestCase

from txmirror.embedded.acl import Identity, permits
from txmirror.embedded.cursor import NULL, RequestCursor, TolerantCursor
from txmirror.errors import ProtocolError
from txmirror.test.embedded.peer import Event, Reply, ServerTestCase
from txmirror.types import ACL, OPEN_ACL, EventType
from txmirror.wire import AUTH_XID, Operation, Request, encode_frame
from txmirror.wire.jute import NULL as NULL_LENGTH
from txmirror.wire.jute import encode_acls, encode_bool, encode_buffer, encode_int, encode_long, encode_string

_OPEN = encode_acls(OPEN_ACL)
_NO_DATA = encode_buffer(b"")
_END = encode_int(-1) + encode_bool(True) + encode_int(-1)


@attrs.frozen
class Raw:
    """A request of which only its operation is sure."""

    response: ClassVar[None] = None

    operation: Operation
    body: bytes

    def encode(self) -> bytes:
        return self.body


def _acl(*entries: tuple[str | None, str | None]) -> bytes:
    texts = ((NULL_LENGTH if text is None else encode_string(text)) for entry in entries for text in entry)
    return encode_int(len(entries)) + b"".join(encode_int(31) + scheme + next(texts) for scheme in texts)


def _create(acl: bytes, path: str = "/strange", operation: Operation = Operation.CREATE) -> Raw:
    return Raw(operation, encode_string(path) + _NO_DATA + acl + encode_int(0))


def _among_several(request: Raw) -> bytes:
    return encode_int(request.operation) + encode_bool(False) + encode_int(-1) + request.body


def _null_path(operation: Operation, rest: bytes = b"") -> Raw:
    return Raw(operation, NULL_LENGTH + rest)


def _lists(operation: Operation, *lengths: int) -> Raw:
    return Raw(operation, encode_long(0) + b"".join(map(encode_int, lengths)))


_NULL_ID = _create(_acl(("world", None)))
_MISSING = Raw(Operation.DELETE, encode_string("/missing") + encode_int(-1))

#: Requests, and the codes that the real server answers them with.
ANSWERS: dict[str, tuple[Request, int]] = {
    "an identity of world is null": (_NULL_ID, -5),
    "an identity of digest is null": (_create(_acl(("digest", None)), operation=Operation.CREATE2), -5),
    "an identity of ip is null": (_create(_acl(("world", "anyone"), ("ip", None))), -5),
    "an identity of nobody is null": (_create(_acl(("nobody", None))), -114),
    "an identity of auth is null": (_create(_acl(("auth", None))), -114),
    "a scheme is null": (_create(_acl((None, "anyone"))), -114),
    "the first entry is bad, the second null": (_create(_acl(("nobody", "x"), ("world", None))), -114),
    "a null identity, and no parent": (_create(_acl(("world", None)), "/missing/strange"), -5),
    "a null identity, and no path": (_create(_acl(("world", None)), "strange"), -8),
    "a null ACL": (_create(NULL_LENGTH), -114),
    "an ACL of the length -2": (_create(encode_int(-2)), -114),
    "setACL, null identity": (
        Raw(Operation.SET_ACL, encode_string("/missing") + _acl(("ip", None)) + encode_int(-1)),
        -5,
    ),
    "several, null identity": (Raw(Operation.MULTI, _among_several(_NULL_ID) + _END), -5),
    "several, null identity after a failure": (
        Raw(Operation.MULTI, _among_several(_MISSING) + _among_several(_NULL_ID) + _END),
        0,
    ),
    "several, null path": (
        Raw(Operation.MULTI, _among_several(_null_path(Operation.CHECK, encode_int(-1))) + _END),
        -5,
    ),
    "create, null path": (_null_path(Operation.CREATE, _NO_DATA + _OPEN + encode_int(0)), -5),
    "delete, null path": (_null_path(Operation.DELETE, encode_int(-1)), -5),
    "exists, null path": (_null_path(Operation.EXISTS, b"\1"), -5),
    "getData, null path": (_null_path(Operation.GET_DATA, b"\0"), -5),
    "getChildren, null path": (_null_path(Operation.GET_CHILDREN2, b"\0"), -5),
    "getACL, null path": (_null_path(Operation.GET_ACL), -5),
    "getAllChildrenNumber, null path": (_null_path(Operation.GET_ALL_CHILDREN_NUMBER), -5),
    "checkWatches, null path": (_null_path(Operation.CHECK_WATCHES, encode_int(3)), -5),
    "setData, null path": (_null_path(Operation.SET_DATA, _NO_DATA + encode_int(-1)), -8),
    "setACL, null path": (_null_path(Operation.SET_ACL, _OPEN + encode_int(-1)), -8),
    "check, null path": (_null_path(Operation.CHECK, encode_int(-1)), -8),
    "sync, null path": (_null_path(Operation.SYNC), 0),
    "getEphemerals, null prefix": (_null_path(Operation.GET_EPHEMERALS), 0),
    "removeWatches, null path": (_null_path(Operation.REMOVE_WATCHES, encode_int(1)), -121),
    "addWatch, null path, no mode": (_null_path(Operation.ADD_WATCH, encode_int(7)), -5),
    "setData, path of the length -2": (Raw(Operation.SET_DATA, encode_int(-2) + _NO_DATA + encode_int(-1)), -5),
    "a boolean of 2": (Raw(Operation.EXISTS, encode_string("/") + b"\2"), 0),
    "a boolean of 255": (Raw(Operation.GET_DATA, encode_string("/") + b"\xff"), 0),
    "no boolean": (Raw(Operation.GET_DATA, encode_string("/")), -5),
    "setWatches, null lists": (_lists(Operation.SET_WATCHES, 0, 0, -1), -5),
    "setWatches2, null list": (_lists(Operation.SET_WATCHES2, 0, -1, 0, 0, 0), -5),
    "setWatches2, last list null": (_lists(Operation.SET_WATCHES2, 0, 0, 0, 0, -1), -5),
    "setWatches, list of the length -2": (_lists(Operation.SET_WATCHES, 0, -2, 0), 0),
}
ANSWERS |= {
    f"the address {address!r}": (_create(_acl(("ip", address))), 0 if good else -114)
    for address, good in {
        "1.2.3.4": True,
        "1.2.3.4/16": True,
        "1.2.3.4/0": True,
        "1.2.3.4/016": True,
        "1.2.3.4/+16": True,
        "01.2.3.4": True,
        "1.2.3.+4": True,
        "1.2.3.-0": True,
        "1.2.3.\uff14": True,
        "1.2.3.4/1_6": False,
        "1_0.2.3.4": False,
        "1.2.3.4/ 16": False,
        "1.2.3.4 ": False,
        "1.2.3.4/": False,
        "1.2.3.4/16/": False,
        "1.2.3.4/-1": False,
        "1.2.3.4/33": False,
        "1.2.3.4/99999999999": False,
        "1.2.3.256": False,
        "1.2.3": False,
        "1.2.3.4.": False,
        "": False,
    }.items()
}


class StrangeTests(ServerTestCase):
    def test_answers(self) -> None:
        """Each request has the answer that it has at the real server, and the connection goes on."""
        peer = self.peer()
        for name, (request, code) in ANSWERS.items():
            self.assertEqual(peer.ask(request).err, code, name)
            if request.operation is Operation.CREATE and code == 0:
                peer.delete("/strange")
        self.assertEqual([node for node in peer.children("/").children if node != "zookeeper"], [])

    def test_persistent_watch(self) -> None:
        """A persistent watch may be on no path. (The real one never gets rid of it: it is not asked again here.)"""
        peer = self.peer()
        request = _null_path(Operation.ADD_WATCH, encode_int(1))
        self.assertEqual(peer.ask(request).err, 0)
        peer.create("/a")
        peer.close()
        self.assertEqual(self.server.sessions, frozenset())

    def test_ephemerals(self) -> None:
        """Without a prefix all ephemerals are listed."""
        peer = self.peer()
        peer.create("/e", flags=1)
        request, _ = ANSWERS["getEphemerals, null prefix"]
        self.assertEqual(peer.ask(request).body, encode_int(1) + encode_string("/e"))

    def test_watch(self) -> None:
        """A boolean of 2 sets a watch."""
        peer = self.peer()
        request, _ = ANSWERS["a boolean of 2"]
        peer.ask(request)
        self.peer().set("/", b"x")
        self.assertEqual(peer.events(), [Event(EventType.CHANGED, "/")])

    def test_handshake(self) -> None:
        """In the handshake it counts as true as well."""
        peer = self.connect()
        peer._shaken = True
        shake = encode_int(0) + encode_long(0) + encode_int(4000) + encode_long(0) + encode_buffer(bytes(16)) + b"\2"
        peer.raw(encode_frame(shake))
        assert peer.welcome is not None
        self.assertEqual(peer.welcome.timeOut, 4000)

    def test_auth(self) -> None:
        """Credentials whose scheme is null are refused, as those of an unknown scheme, and then the connection goes."""
        peer = self.peer()
        peer.send(Raw(Operation.AUTH, encode_int(0) + NULL_LENGTH + encode_buffer(b"x")), AUTH_XID)
        (reply,) = peer.take()
        assert isinstance(reply, Reply)
        self.assertEqual((reply.xid, reply.err), (AUTH_XID, -115))
        self.assertIsNotNone(peer.lost)


class CursorTests(SynchronousTestCase):
    def test_null(self) -> None:
        """In an ACL null differs from an empty text; elsewhere it is an error, or reads as empty where it is allowed."""
        self.assertIs(RequestCursor(NULL_LENGTH).acl_text(), NULL)
        self.assertIsNot(RequestCursor(encode_int(0)).acl_text(), NULL)
        self.assertRaises(ProtocolError, RequestCursor(NULL_LENGTH).string)
        cursor = TolerantCursor(NULL_LENGTH + encode_string("a"))
        self.assertEqual((cursor.string(), cursor.string(), cursor.at_end()), ("", "a", True))
        self.assertIsNone(TolerantCursor(NULL_LENGTH).string_or_null())

    def test_ends(self) -> None:
        """A frame that ends early is still an error."""
        for read in (RequestCursor.boolean, RequestCursor.strings, RequestCursor.acls, TolerantCursor.string):
            self.assertRaises(ProtocolError, read, TolerantCursor(b""))

    def test_matches(self) -> None:
        """An ACL with signs and zeros in its address permits the clients at that address."""
        here = [Identity("ip", "1.2.3.4")]
        for text, inside in (("01.+2.3.4", True), ("1.2.0.0/016", True), ("1.3.0.0/16", False), ("1.2.3", False)):
            self.assertIs(permits([ACL(31, "ip", text)], 1, here), inside, text)
        self.assertFalse(permits([ACL(31, "ip", "0.0.0.0/0")], 1, [Identity("ip", "::1")]))
