"""The exceptions, and whether each means that a write was applied."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txmirror import errors
from txmirror.errors import (
    BadVersionException,
    ConnectionLossException,
    NoNodeException,
    PathError,
    ProtocolError,
    ReplyTooLargeException,
    RequestTooLargeException,
    UnknownServerException,
    ZooKeeperException,
    ZooServerProblem,
    exception_for,
)

#: org.apache.zookeeper.KeeperException.Code, and the three codes that only the C client's header has.
TABLE = {
    -1: "SystemErrorException",
    -2: "RuntimeInconsistencyException",
    -3: "DataInconsistencyException",
    -4: "ConnectionLossException",
    -5: "MarshallingErrorException",
    -6: "UnimplementedException",
    -7: "OperationTimeoutException",
    -8: "BadArgumentsException",
    -9: "InvalidStateException",  # the C client's
    -12: "UnknownSessionException",
    -13: "NewConfigNoQuorumException",
    -14: "ReconfigInProgressException",
    -100: "APIErrorException",
    -101: "NoNodeException",
    -102: "NoAuthException",
    -103: "BadVersionException",
    -108: "NoChildrenForEphemeralsException",
    -110: "NodeExistsException",
    -111: "NotEmptyException",
    -112: "SessionExpiredException",
    -113: "InvalidCallbackException",
    -114: "InvalidACLException",
    -115: "AuthFailedException",
    -116: "ClosingException",  # the C client's
    -117: "NothingException",  # the C client's
    -118: "SessionMovedException",
    -119: "NotReadOnlyException",
    -120: "EphemeralOnLocalSessionException",
    -121: "NoWatcherException",
    -122: "RequestTimeoutException",
    -123: "ReconfigDisabledException",
    -124: "SessionClosedRequireSaslAuthException",
    -125: "QuotaExceededException",
}
#: The one whose name the tests below look at by itself.
THROTTLED = -127

#: What the server says of the request itself: asking again changes nothing, and nothing was written.
REFUSALS = {-5, -6, -8, -100, -101, -102, -103, -108, -110, -111, -113, -114, -117, -120, -121, -123, -125}
#: What speaks of the server or the connection.
PROBLEMS = {*TABLE, THROTTLED} - REFUSALS
#: Of those, the ones after which a write may have happened.
UNCERTAIN = {-1, -2, -3, -4, -7, -9, -116, -122}


class TableTests(SynchronousTestCase):
    def test_names(self) -> None:
        """Every code has its class, under the name that users of ZooKeeper's bindings know."""
        self.assertEqual({code: type(exception_for(code)).__name__ for code in TABLE}, TABLE)

    def test_throttled(self) -> None:
        """THROTTLEDOP has its class too, under Java's name for it."""
        self.assertEqual(type(exception_for(THROTTLED)).__name__, "ThrottledOpException")

    def test_codes(self) -> None:
        """Every class knows its code."""
        self.assertEqual([exception_for(code).code for code in TABLE], list(TABLE))

    def test_are_in_the_module(self) -> None:
        """Every class can be imported under its name."""
        for code, name in TABLE.items():
            self.assertIs(getattr(errors, name), type(exception_for(code)))

    def test_hierarchy(self) -> None:
        """Errors of the server or the connection are ZooServerProblems; errors of the request are not."""
        problems = {code for code in (*TABLE, THROTTLED) if isinstance(exception_for(code), ZooServerProblem)}
        self.assertEqual(problems, PROBLEMS)

    def test_path_and_zxid(self) -> None:
        """An exception carries the path of its request and the zxid of its reply."""
        for code in (*TABLE, THROTTLED):
            error = exception_for(code, path="/a", zxid=7)
            self.assertEqual((error.path, error.zxid), ("/a", 7))

    def test_neither_path_nor_zxid(self) -> None:
        """Without a path and a zxid, both attributes are None."""
        error = exception_for(-112)
        self.assertEqual((error.path, error.zxid), (None, None))

    def test_own_exceptions_have_no_code(self) -> None:
        """Exceptions that no server sends have no code."""
        for kind in (ZooKeeperException, ProtocolError, RequestTooLargeException, ReplyTooLargeException):
            self.assertIsNone(kind.code)


class UnknownCodeTests(SynchronousTestCase):
    def test_number(self) -> None:
        """A code that this package does not know is kept as a number, and named in the message."""
        error = exception_for(-999, path="/a", zxid=7)
        assert isinstance(error, UnknownServerException)
        self.assertEqual((error.number, error.path, error.zxid), (-999, "/a", 7))
        self.assertIn("-999", str(error))
        self.assertIn("'/a'", str(error))

    def test_has_no_code(self) -> None:
        """An unknown code does not become the class's code."""
        self.assertIsNone(exception_for(-999).code)

    def test_nobody_knows(self) -> None:
        """With an unknown code, ``applied`` is None."""
        self.assertIsNone(exception_for(-999).applied)

    @given(st.integers(-(2**31), 2**31 - 1))
    def test_any_number(self, code: int) -> None:
        """Any number that a header can hold has an exception, a server problem where it is unknown."""
        error = exception_for(code)
        self.assertIsInstance(error, ZooKeeperException)
        if code not in TABLE and code != THROTTLED:
            self.assertIsInstance(error, UnknownServerException)
            self.assertIsInstance(error, ZooServerProblem)


class AppliedTests(SynchronousTestCase):
    def test_refused(self) -> None:
        """A write that the server has refused has certainly had no effect."""
        self.assertEqual({exception_for(code).applied for code in REFUSALS}, {False})

    def test_uncertain(self) -> None:
        """If a server or a connection failed meanwhile, the effect is unknown."""
        self.assertEqual({code for code in (*TABLE, THROTTLED) if exception_for(code).applied is None}, UNCERTAIN)

    def test_never_true(self) -> None:
        """No exception means that the write was applied."""
        self.assertEqual({exception_for(code).applied for code in (*TABLE, THROTTLED)}, {False, None})

    def test_never_sent(self) -> None:
        """A request that never left is certainly without effect, and other requests' failures do not change with it."""
        self.assertIs(ConnectionLossException(applied=False).applied, False)
        self.assertIsNone(ConnectionLossException().applied)

    def test_request_too_large(self) -> None:
        """A request that is too large was not sent."""
        self.assertIs(RequestTooLargeException().applied, False)

    def test_reply_too_large(self) -> None:
        """A reply that is too large was discarded, so nothing is known about its request."""
        self.assertIsNone(ReplyTooLargeException().applied)

    def test_protocol_error(self) -> None:
        """After a violation of the protocol the effect of a write is unknown."""
        self.assertIsNone(ProtocolError("nonsense").applied)


class MessageTests(SynchronousTestCase):
    def test_path_is_quoted(self) -> None:
        """The message of every code quotes the path, on one line."""
        for code in (*TABLE, THROTTLED, -999):
            message = str(exception_for(code, path="/with\nnewline"))
            self.assertIn(repr("/with\nnewline"), message)
            self.assertEqual(len(message.splitlines()), 1)

    def test_without_path(self) -> None:
        """The message for every code is not empty without a path, and does not contain None."""
        for code in (*TABLE, THROTTLED, -999):
            message = str(exception_for(code))
            self.assertNotEqual(message, "")
            self.assertNotIn("None", message)

    def test_messages_differ(self) -> None:
        """No two codes have the same message."""
        messages = {str(exception_for(code)) for code in (*TABLE, THROTTLED)}
        self.assertEqual(len(messages), len(TABLE) + 1)

    def test_own_message(self) -> None:
        """A message that is given is kept as it is."""
        error = BadVersionException("at 3, not at 2", path="/a")
        self.assertEqual(str(error), "at 3, not at 2")
        self.assertEqual(error.path, "/a")

    def test_made_by_hand(self) -> None:
        """An exception that is made from its class has the same message as one made from its code."""
        self.assertEqual(str(NoNodeException(path="/a")), str(exception_for(-101, path="/a")))


class PathErrorTests(SynchronousTestCase):
    def test_is_a_value_error(self) -> None:
        """An invalid path is a ValueError, and no error of a server."""
        self.assertTrue(issubclass(PathError, ValueError))
        self.assertFalse(issubclass(PathError, ZooKeeperException))
