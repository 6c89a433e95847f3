"""The exceptions of this package.

There is one class for each of ZooKeeper's error codes, under the name that users of its bindings know. The codes are those of
``org.apache.zookeeper.KeeperException.Code``. This module does not know connections or sessions. It is a table, and has
more than 350 lines.
"""

from __future__ import annotations

from typing import ClassVar

#: The class for each code that a server may answer with. The classes below add themselves.
_BY_CODE: dict[int, type[ZooKeeperException]] = {}


class ZooKeeperException(Exception):
    """The base class of all failures of ZooKeeper, of the connection to it, and of the client.

    :param message: one line for a person; if empty, it is made from the class and the path.
    :param path: the znode of the failed operation, if there is one.
    :param applied: for a write: False if it certainly had no effect; None leaves the class's value.
    :param zxid: the transaction id in the header of the reply that carried this failure, if there was one. The failure
        describes the server's state as of that transaction.
    """

    code: ClassVar[int | None] = None
    """ZooKeeper's number for this failure; None where it has none."""

    meaning: ClassVar[str] = "ZooKeeper failed"
    """The failure in a few words: the start of the message."""

    applied: bool | None = False
    """For a write: False if it certainly had no effect, None if that is unknown."""

    session_over: ClassVar[bool] = False
    """True if the session is over, with its ephemeral nodes, its watches and its pending requests."""

    retryable: ClassVar[bool] = False
    """True if the same request may succeed later in the same session."""

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
    """A failure of the server or of the connection to it, not of the request: a retry may succeed."""

    applied: bool | None = None
    retryable = True


class UnknownServerException(ZooServerProblem):
    """The server answered with a code that this package does not know. Only that request has failed.

    :param number: the code.
    """

    meaning = "the server answered with an unknown error code"

    def __init__(self, number: int, *, path: str | None = None, zxid: int | None = None) -> None:
        super().__init__(f"{self.meaning}, {number}" + (f": {path!r}" if path else ""), path=path, zxid=zxid)
        self.number = number


class SystemErrorException(ZooServerProblem):
    """The server had an internal error."""

    code: ClassVar[int] = -1
    meaning = "the server had an internal error"


class RuntimeInconsistencyException(ZooServerProblem):
    """The server found its own state inconsistent."""

    code: ClassVar[int] = -2
    meaning = "the server found a runtime inconsistency"


class DataInconsistencyException(ZooServerProblem):
    """The server found its data inconsistent."""

    code: ClassVar[int] = -3
    meaning = "the server found a data inconsistency"


class ConnectionLossException(ZooServerProblem):
    """The connection was lost before the answer arrived (``applied`` None), or the request was never sent (``applied`` False)."""

    code: ClassVar[int] = -4
    meaning = "the connection to ZooKeeper was lost"


class MarshallingErrorException(ZooKeeperException):
    """The server could not read the request."""

    code: ClassVar[int] = -5
    meaning = "the server could not read the request"


class UnimplementedException(ZooKeeperException):
    """The server does not know the operation, or has it disabled."""

    code: ClassVar[int] = -6
    meaning = "the server does not implement this operation, or has it disabled"


class OperationTimeoutException(ZooServerProblem):
    """No answer arrived within the timeout."""

    code: ClassVar[int] = -7
    meaning = "timed out"


class BadArgumentsException(ZooKeeperException):
    """The server refused the arguments."""

    code: ClassVar[int] = -8
    meaning = "the server refused the arguments"


class InvalidStateException(ZooServerProblem):
    """The client or server is in a state that does not allow the operation, such as a client in a forked child."""

    session_over = True
    retryable = False
    code: ClassVar[int] = -9
    meaning = "invalid state"


class UnknownSessionException(ZooServerProblem):
    """The server does not know the session."""

    code: ClassVar[int] = -12
    meaning = "unknown session"
    applied: bool = False


class NewConfigNoQuorumException(ZooServerProblem):
    """No quorum of the new configuration is connected and up to date."""

    code: ClassVar[int] = -13
    meaning = "no quorum of the new configuration is up to date"
    applied: bool = False


class ReconfigInProgressException(ZooServerProblem):
    """Another reconfiguration is in progress."""

    code: ClassVar[int] = -14
    meaning = "a reconfiguration is in progress"
    applied: bool = False


class APIErrorException(ZooKeeperException):
    """An error of the server's API that has no code of its own."""

    code: ClassVar[int] = -100
    meaning = "API error"


class NoNodeException(ZooKeeperException):
    """The znode does not exist (for a create: its parent does not exist)."""

    code: ClassVar[int] = -101
    meaning = "no such znode"


class NoChrootException(NoNodeException):
    """The chroot in the client's connection string does not exist, so no node can be below it. The client never creates it.

    :param connect_string: the servers and the chroot.
    """

    meaning = "the chroot does not exist"

    def __init__(self, connect_string: str, *, zxid: int | None = None) -> None:
        super().__init__(f"{connect_string!r} has a chroot that does not exist", path="/", zxid=zxid)


def missing_node(path: str | None, connect_string: str, *, creating: bool, zxid: int | None = None) -> NoNodeException:
    """Return the exception for a server's answer that there is no such node.

    The root always exists, unless the client has a chroot: then it is the chroot that is missing. For a create it is the
    parent that is missing.

    :param path: the znode that the request was about, as the client's user sees it.
    :param connect_string: the servers and the chroot; empty for a client without a chroot.
    :param creating: whether the request was to create the node.
    :param zxid: the zxid in the reply's header.
    """
    if connect_string and path is not None and (path == "/" or (creating and path.rpartition("/")[0] == "")):
        return NoChrootException(connect_string, zxid=zxid)
    message = f"the parent of {path!r} does not exist" if creating else ""
    return NoNodeException(message, path=path, zxid=zxid)


class NoAuthException(ZooKeeperException):
    """The znode's ACL does not allow the operation to the identities of this session."""

    code: ClassVar[int] = -102
    meaning = "not permitted by the ACL"


class BadVersionException(ZooKeeperException):
    """The znode is not at the version that the request named."""

    code: ClassVar[int] = -103
    meaning = "the znode is at another version"


class NoChildrenForEphemeralsException(ZooKeeperException):
    """An ephemeral znode can have no children."""

    code: ClassVar[int] = -108
    meaning = "ephemeral znodes can have no children"


class NodeExistsException(ZooKeeperException):
    """The znode exists already."""

    code: ClassVar[int] = -110
    meaning = "the znode exists already"


class NotEmptyException(ZooKeeperException):
    """The znode cannot be deleted, because it has children."""

    code: ClassVar[int] = -111
    meaning = "the znode has children"


class SessionExpiredException(ZooServerProblem):
    """The session has expired. Its ephemeral nodes and watches are gone, and its pending requests will not be done."""

    session_over = True
    retryable = False
    code: ClassVar[int] = -112
    meaning = "the session has expired"
    applied: bool = False


class InvalidCallbackException(ZooKeeperException):
    """An invalid callback was named."""

    code: ClassVar[int] = -113
    meaning = "invalid callback"


class InvalidACLException(ZooKeeperException):
    """The server refused the ACL."""

    code: ClassVar[int] = -114
    meaning = "invalid ACL"


class AuthFailedException(ZooServerProblem):
    """The server refused the credentials."""

    session_over = True
    retryable = False
    code: ClassVar[int] = -115
    meaning = "the server refused the credentials"
    applied: bool = False


class ClosingException(ZooServerProblem):
    """The client is closing, or is closed."""

    session_over = True
    retryable = False
    code: ClassVar[int] = -116
    meaning = "the client is closed"


class NothingException(ZooKeeperException):
    """There was no reply to process."""

    code: ClassVar[int] = -117
    meaning = "nothing to process"


class SessionMovedException(ConnectionLossException):
    """The session has moved to another connection, and this one no longer serves it. The request was not done."""

    code: ClassVar[int] = -118
    meaning = "the session has moved to another server"
    applied: bool = False


class NotReadOnlyException(ZooServerProblem):
    """A write was sent to a server in read-only mode."""

    code: ClassVar[int] = -119
    meaning = "the server is read-only"
    applied: bool = False


class EphemeralOnLocalSessionException(ZooKeeperException):
    """A local session cannot own ephemerals."""

    code: ClassVar[int] = -120
    meaning = "a local session cannot own ephemerals"


class NoWatcherException(ZooKeeperException):
    """There is no such watch to remove."""

    code: ClassVar[int] = -121
    meaning = "no such watch"


class RequestTimeoutException(ZooServerProblem):
    """The request timed out at the server."""

    code: ClassVar[int] = -122
    meaning = "the server timed the request out"


class ReconfigDisabledException(ZooKeeperException):
    """Reconfiguration is disabled at the server."""

    code: ClassVar[int] = -123
    meaning = "reconfiguration is disabled"


class SessionClosedRequireSaslAuthException(ZooServerProblem):
    """The server requires SASL authentication, and has closed the session."""

    code: ClassVar[int] = -124
    meaning = "the server requires SASL authentication"
    applied: bool = False


class QuotaExceededException(ZooKeeperException):
    """The write would exceed a quota."""

    code: ClassVar[int] = -125
    meaning = "quota exceeded"


class ThrottledOpException(ZooServerProblem):
    """The server refused the request, because it is overloaded."""

    code: ClassVar[int] = -127
    meaning = "the server is throttling requests"
    applied: bool = False


class ProtocolError(ZooServerProblem):
    """The peer violated ZooKeeper's protocol; the message says how. The connection is closed."""

    meaning = "not ZooKeeper's protocol"


class TooManyRequestsException(ZooKeeperException):
    """The client has too many pending requests. This one was not sent; the connection and all other requests go on."""

    meaning = "too many requests wait to be sent"


class RequestTooLargeException(ZooKeeperException):
    """The encoded request is over the limit. It was not sent: a server would close the connection."""

    meaning = "the request is too large"


class ReplyTooLargeException(ZooKeeperException):
    """The reply is over ``Limits.max_reply``. The client discarded it; the connection and all other requests go on.

    :param size: the reply's length in bytes. A limit of this size would have accepted it.
    :param limit: the limit.
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
    """The server refused a transaction as a whole: none of its operations was done.

    :param index: the index of the operation that was refused, from 0.
    :param error: the reason.
    """

    meaning = "the transaction was refused"

    def __init__(self, index: int, error: ZooKeeperException) -> None:
        super().__init__(f"{self.meaning}, for its operation {index}: {error}", path=error.path, zxid=error.zxid)
        self.index = index
        self.error = error


class ServiceRegistryException(ZooKeeperException):
    """The base class of the refusals of a service registry."""

    meaning = "the service registry cannot do this"


class NoConnection(ServiceRegistryException, ZooServerProblem):
    """ZooKeeper is out of reach: there was no session for some time."""

    meaning = "ZooKeeper is out of reach"
    applied: bool = False


class ReadOnly(ServiceRegistryException):
    """The service registry is read-only, and refuses writes."""

    meaning = "the service registry is read-only"


class NoInstanceException(ServiceRegistryException):
    """No instance of a service can be used; the message says why."""

    meaning = "no instance of the service can be used"
    applied: bool = False


class PathError(ValueError):
    """A text is not a znode path; the message quotes it and says why."""


class LockMismatchError(ValueError):
    """A lock's path is in use by another kind of lock, or with another number of leases.

    :param message: one line for a person, which quotes the path and says how to resolve the mismatch.
    :param path: the lock's path.
    """

    def __init__(self, message: str, *, path: str) -> None:
        super().__init__(message)
        self.path = path


class UnsupportedInstanceError(ValueError):
    """A codec cannot write an instance.

    :param message: the reason, as a clause. It quotes no value.
    :param key: the attribute of the instance that is the cause.
    """

    def __init__(self, message: str, *, key: str) -> None:
        super().__init__(message)
        self.key = key


def exception_for(code: int, *, path: str | None = None, zxid: int | None = None) -> ZooKeeperException:
    """Return the exception for an error code in a reply.

    :param code: the code in the reply's header: negative.
    :param path: the znode of the request.
    :param zxid: the zxid in the reply's header.
    """
    known = _BY_CODE.get(code)
    if known is None:
        return UnknownServerException(code, path=path, zxid=zxid)
    return known(path=path, zxid=zxid)
