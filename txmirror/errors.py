"""Every exception that this package raises on purpose, and what each says about a write.

One class for each of ZooKeeper's error codes, under the name that users of its bindings know; the codes are those of
``org.apache.zookeeper.KeeperException.Code``. This module knows nothing of connections or sessions.
"""

from __future__ import annotations

from typing import ClassVar

#: The class for each code that a server may answer with. Filled as the classes below are made.
_BY_CODE: dict[int, type[ZooKeeperException]] = {}


class ZooKeeperException(Exception):
    """Anything that ZooKeeper, or the way to it, refused or lost.

    :param message: one line for a person; made from the class and the path where it is missing.
    :param path: the znode that the failed operation was about, where there is one.
    :param applied: what became of a write: False, it certainly had no effect; None leaves it at what the class says.
    :param zxid: the transaction id in the header of the reply that brought this failure, where one did: the server's
        state as of that transaction is what the failure speaks of.
    """

    code: ClassVar[int | None] = None
    """ZooKeeper's number for this failure; None where it has none."""

    meaning: ClassVar[str] = "ZooKeeper failed"
    """What went wrong, in a few words: the start of the message."""

    applied: bool | None = False
    """For a write: False if it was certainly without effect, None if nobody can know."""

    session_over: ClassVar[bool] = False
    """Whether everything that the session had is over: its ephemerals, its watches, and what was asked in it."""

    retryable: ClassVar[bool] = False
    """Whether the same request may succeed later in the same session."""

    def __init__(
        self, message: str = "", *, path: str | None = None, applied: bool | None = None, zxid: int | None = None
    ) -> None:
        if not message:
            message = self.meaning if path is None else f"{self.meaning}: {path!r}"
        super().__init__(message)
        self.path = path
        self.zxid = zxid
        if applied is not None:
            self.applied = applied

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__dict__.get("code") is not None:
            _BY_CODE[cls.__dict__["code"]] = cls


class ZooServerProblem(ZooKeeperException):
    """The server or the connection to it is the trouble, not what was asked of it: a later try may succeed."""

    applied: bool | None = None
    retryable = True


class UnknownServerException(ZooServerProblem):
    """The server answered with a code that this package does not know. Only the request it answered has failed.

    :param number: the code.
    """

    meaning = "the server answered with an unknown error code"

    def __init__(self, number: int, *, path: str | None = None, zxid: int | None = None) -> None:
        super().__init__(f"{self.meaning}, {number}" + (f": {path!r}" if path else ""), path=path, zxid=zxid)
        self.number = number


class SystemErrorException(ZooServerProblem):
    """The server failed inside."""

    code = -1
    meaning = "the server failed inside"


class RuntimeInconsistencyException(ZooServerProblem):
    """The server found its own state inconsistent."""

    code = -2
    meaning = "the server found a runtime inconsistency"


class DataInconsistencyException(ZooServerProblem):
    """The server found its data inconsistent."""

    code = -3
    meaning = "the server found a data inconsistency"


class ConnectionLossException(ZooServerProblem):
    """The connection went before the answer came (``applied`` None), or the request never left (``applied`` False)."""

    code = -4
    meaning = "the connection to ZooKeeper was lost"


class MarshallingErrorException(ZooKeeperException):
    """The server could not read the request."""

    code = -5
    meaning = "the server could not read the request"


class UnimplementedException(ZooKeeperException):
    """The server does not know the operation, or has it disabled."""

    code = -6
    meaning = "the server does not implement this operation, or has it disabled"


class OperationTimeoutException(ZooServerProblem):
    """No answer within the time allowed."""

    code = -7
    meaning = "timed out"


class BadArgumentsException(ZooKeeperException):
    """The server refused the arguments."""

    code = -8
    meaning = "the server refused the arguments"


class InvalidStateException(ZooServerProblem):
    """The client or server is in no state for this."""

    session_over = True
    retryable = False
    code = -9
    meaning = "invalid state"


class UnknownSessionException(ZooServerProblem):
    """The server does not know the session."""

    code = -12
    meaning = "unknown session"
    applied = False


class NewConfigNoQuorumException(ZooServerProblem):
    """No quorum of the new configuration is connected."""

    code = -13
    meaning = "no quorum of the new configuration is up to date"
    applied = False


class ReconfigInProgressException(ZooServerProblem):
    """Another reconfiguration is under way."""

    code = -14
    meaning = "a reconfiguration is in progress"
    applied = False


class APIErrorException(ZooKeeperException):
    """An error of the server's API that has no code of its own."""

    code = -100
    meaning = "API error"


class NoNodeException(ZooKeeperException):
    """There is no znode at the path (for a create: none at its parent)."""

    code = -101
    meaning = "no such znode"


class NoChrootException(NoNodeException):
    """The chroot in the client's connection string does not exist, so nothing can be below it. It is never created unasked.

    :param connect_string: the servers and the chroot.
    """

    meaning = "the chroot does not exist"

    def __init__(self, connect_string: str, *, zxid: int | None = None) -> None:
        super().__init__(f"{connect_string!r} has a chroot that does not exist", path="/", zxid=zxid)


class NoAuthException(ZooKeeperException):
    """The znode's ACL does not allow this to the identities of this session."""

    code = -102
    meaning = "not permitted by the ACL"


class BadVersionException(ZooKeeperException):
    """The znode is not at the version that the request named."""

    code = -103
    meaning = "the znode is at another version"


class NoChildrenForEphemeralsException(ZooKeeperException):
    """An ephemeral znode can have no children."""

    code = -108
    meaning = "ephemeral znodes can have no children"


class NodeExistsException(ZooKeeperException):
    """There is a znode at the path already."""

    code = -110
    meaning = "the znode exists already"


class NotEmptyException(ZooKeeperException):
    """The znode has children, and so cannot be deleted."""

    code = -111
    meaning = "the znode has children"


class SessionExpiredException(ZooServerProblem):
    """The session has ended; with it went its ephemerals and watches, and what was asked in it will not be done."""

    session_over = True
    retryable = False
    code = -112
    meaning = "the session has ended"
    applied = False


class InvalidCallbackException(ZooKeeperException):
    """An invalid callback was named."""

    code = -113
    meaning = "invalid callback"


class InvalidACLException(ZooKeeperException):
    """The server refused the ACL."""

    code = -114
    meaning = "invalid ACL"


class AuthFailedException(ZooServerProblem):
    """The server refused the credentials."""

    session_over = True
    retryable = False
    code = -115
    meaning = "the server refused the credentials"
    applied = False


class ClosingException(ZooServerProblem):
    """The client is closing, or is closed."""

    session_over = True
    retryable = False
    code = -116
    meaning = "the client is closed"


class NothingException(ZooKeeperException):
    """There was no answer to process."""

    code = -117
    meaning = "nothing to process"


class SessionMovedException(ConnectionLossException):
    """The session has moved to another connection; this one no longer serves it. The request was not done."""

    code = -118
    meaning = "the session has moved to another server"
    applied = False


class NotReadOnlyException(ZooServerProblem):
    """A write was sent to a server that can only be read."""

    code = -119
    meaning = "the server is read-only"
    applied = False


class EphemeralOnLocalSessionException(ZooKeeperException):
    """A local session cannot own ephemerals."""

    code = -120
    meaning = "a local session cannot own ephemerals"


class NoWatcherException(ZooKeeperException):
    """There is no such watch to remove."""

    code = -121
    meaning = "no such watch"


class RequestTimeoutException(ZooServerProblem):
    """The server gave the request up for taking too long."""

    code = -122
    meaning = "the server timed the request out"


class ReconfigDisabledException(ZooKeeperException):
    """Reconfiguration is disabled at the server."""

    code = -123
    meaning = "reconfiguration is disabled"


class SessionClosedRequireSaslAuthException(ZooServerProblem):
    """The server demands SASL authentication, and has closed the session."""

    code = -124
    meaning = "the server demands SASL authentication"
    applied = False


class QuotaExceededException(ZooKeeperException):
    """The write would exceed a quota."""

    code = -125
    meaning = "quota exceeded"


class ThrottledOpException(ZooServerProblem):
    """The server refused the request for being overloaded."""

    code = -127
    meaning = "the server is throttling requests"
    applied = False


class ProtocolError(ZooServerProblem):
    """The other side broke ZooKeeper's protocol; the message says how. The connection it came on is given up."""

    meaning = "not ZooKeeper's protocol"


class TooManyRequestsException(ZooKeeperException):
    """Too many requests wait in the client's queue already. This one was not sent; the connection and all else go on."""

    meaning = "too many requests wait to be sent"


class RequestTooLargeException(ZooKeeperException):
    """The encoded request is over the limit. It was not sent: a server closes the connection on one that is."""

    meaning = "the request is too large"


class ReplyTooLargeException(ZooKeeperException):
    """The reply is over ``Limits.max_reply``. It was thrown away as it came in; the connection and all else go on.

    :param size: the reply's length in bytes: a limit of this size would have let it in.
    :param limit: the limit that it was over.
    """

    meaning = "the reply is too large"
    applied: bool | None = None

    def __init__(
        self,
        message: str = "",
        *,
        size: int | None = None,
        limit: int | None = None,
        path: str | None = None,
        applied: bool | None = None,
        zxid: int | None = None,
    ) -> None:
        if not message and size is not None:
            about = "" if path is None else f" about {path!r}"
            over = "the limit" if limit is None else f"the limit of {limit}"
            message = f"the reply{about} is {size} bytes long, which is over {over}"
        super().__init__(message, path=path, applied=applied, zxid=zxid)
        self.size = size
        self.limit = limit


class TransactionFailedException(ZooKeeperException):
    """A transaction was refused as a whole: nothing of it was done.

    :param index: which of its operations was refused, counted from 0.
    :param error: why.
    """

    meaning = "the transaction was refused"

    def __init__(self, index: int, error: ZooKeeperException) -> None:
        super().__init__(f"{self.meaning}, for its operation {index}: {error}", path=error.path, zxid=error.zxid)
        self.index = index
        self.error = error


class ServiceRegistryException(ZooKeeperException):
    """Anything that a service registry itself refuses."""

    meaning = "the service registry cannot do this"


class NoConnection(ServiceRegistryException, ZooServerProblem):
    """ZooKeeper is out of reach."""

    meaning = "ZooKeeper is out of reach"
    applied = False


class ReadOnly(ServiceRegistryException):
    """The service registry is read-only: it writes nothing."""

    meaning = "the service registry is read-only"


class PathError(ValueError):
    """Not a znode path; the message quotes it and says why."""


class LockMismatchError(ValueError):
    """A lock's path is in use in another way: by another kind of lock, or with another number of leases.

    :param message: one line for a person, which quotes the path and says how to mend it.
    :param path: the lock's path.
    """

    def __init__(self, message: str, *, path: str) -> None:
        super().__init__(message)
        self.path = path


def exception_for(code: int, *, path: str | None = None, zxid: int | None = None) -> ZooKeeperException:
    """Make the exception for an error code in a reply.

    :param code: the code, as the reply's header has it: negative.
    :param path: the znode that the request was about.
    :param zxid: the zxid in the reply's header.
    """
    known = _BY_CODE.get(code)
    if known is None:
        return UnknownServerException(code, path=path, zxid=zxid)
    return known(path=path, zxid=zxid)
