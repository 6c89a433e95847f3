"""The binding's constants and error numbers, with their meanings and exceptions.

Names, numbers and texts are those of the C library and its Python binding (``zookeeper.h``, ``zk_adaptor.h``), with which old
programs compare.
"""

from __future__ import annotations

from txmirror import errors

CONSTANTS = {
    "PERM_READ": 1,
    "PERM_WRITE": 2,
    "PERM_CREATE": 4,
    "PERM_DELETE": 8,
    "PERM_ADMIN": 16,
    "PERM_ALL": 31,
    "EPHEMERAL": 1,
    "SEQUENCE": 2,
    "EXPIRED_SESSION_STATE": -112,
    "AUTH_FAILED_STATE": -113,
    "CONNECTING_STATE": 1,
    "ASSOCIATING_STATE": 2,
    "CONNECTED_STATE": 3,
    "CREATED_EVENT": 1,
    "DELETED_EVENT": 2,
    "CHANGED_EVENT": 3,
    "CHILD_EVENT": 4,
    "SESSION_EVENT": -1,
    "NOTWATCHING_EVENT": -2,
    "LOG_LEVEL_ERROR": 1,
    "LOG_LEVEL_WARN": 2,
    "LOG_LEVEL_INFO": 3,
    "LOG_LEVEL_DEBUG": 4,
    "OK": 0,
}

_FAILURES = {
    -1: ("SYSTEMERROR", "SystemErrorException", "system error"),
    -2: ("RUNTIMEINCONSISTENCY", "RuntimeInconsistencyException", "run time inconsistency"),
    -3: ("DATAINCONSISTENCY", "DataInconsistencyException", "data inconsistency"),
    -4: ("CONNECTIONLOSS", "ConnectionLossException", "connection loss"),
    -5: ("MARSHALLINGERROR", "MarshallingErrorException", "marshalling error"),
    -6: ("UNIMPLEMENTED", "UnimplementedException", "unimplemented"),
    -7: ("OPERATIONTIMEOUT", "OperationTimeoutException", "operation timeout"),
    -8: ("BADARGUMENTS", "BadArgumentsException", "bad arguments"),
    -9: ("INVALIDSTATE", "InvalidStateException", "invalid zhandle state"),
    -100: ("APIERROR", "ApiErrorException", "api error"),
    -101: ("NONODE", "NoNodeException", "no node"),
    -102: ("NOAUTH", "NoAuthException", "not authenticated"),
    -103: ("BADVERSION", "BadVersionException", "bad version"),
    -108: ("NOCHILDRENFOREPHEMERALS", "NoChildrenForEphemeralsException", "no children for ephemerals"),
    -110: ("NODEEXISTS", "NodeExistsException", "node exists"),
    -111: ("NOTEMPTY", "NotEmptyException", "not empty"),
    -112: ("SESSIONEXPIRED", "SessionExpiredException", "session expired"),
    -113: ("INVALIDCALLBACK", "InvalidCallbackException", "invalid callback"),
    -114: ("INVALIDACL", "InvalidACLException", "invalid acl"),
    -115: ("AUTHFAILED", "AuthFailedException", "authentication failed"),
    -116: ("CLOSING", "ClosingException", "zookeeper is closing"),
    -117: ("NOTHING", "NothingException", "(not error) no server responses to process"),
    -118: ("SESSIONMOVED", "SessionMovedException", "session moved to another server, so operation is ignored"),
}

CONSTANTS.update({name: code for code, (name, _, _) in _FAILURES.items()})


class ZooKeeperException(Exception):
    """The base class of the binding's exceptions."""

    __module__ = "zookeeper"


#: The class for each number.
EXCEPTIONS: dict[int, type[ZooKeeperException]] = {
    code: type(name, (ZooKeeperException,), {"__module__": "zookeeper", "__doc__": f"The number {code}: {meaning}."})
    for code, (_, name, meaning) in _FAILURES.items()
}


def zerror(code: int) -> str:
    """Return the meaning of an error number."""
    if code == 0:
        return "ok"
    return _FAILURES[code][2] if code in _FAILURES else "unknown error"


def refusal(code: int, reason: str = "") -> ZooKeeperException:
    """Return the binding's exception for an error number."""
    return EXCEPTIONS.get(code, ZooKeeperException)(reason or zerror(code))


def code_of(error: BaseException | None) -> int:
    """Return the error number of an exception of :mod:`txmirror.errors`; the nearest one, if it has none."""
    if isinstance(error, errors.UnknownServerException):
        return error.number
    if isinstance(error, errors.RequestTooLargeException):
        return CONSTANTS["BADARGUMENTS"]
    if isinstance(error, errors.ZooKeeperException) and error.code is not None:
        return error.code
    return CONSTANTS["SYSTEMERROR"]
