"""Faults that a test plans for single requests: delays, errors, and lost requests and replies."""

from __future__ import annotations

import enum
from collections.abc import Callable

import attrs

from txmirror.durations import check_seconds
from txmirror.embedded.arguments import check_kind
from txmirror.errors import (
    ConnectionLossException,
    PathError,
    ProtocolError,
    UnknownServerException,
    ZooKeeperException,
)
from txmirror.paths import validate
from txmirror.wire import REQUESTS, Cursor, Operation

#: The kinds of requests, named after the client's methods, with their operations on the wire.
KINDS: dict[str, frozenset[Operation]] = {
    "create": frozenset({Operation.CREATE, Operation.CREATE2, Operation.CREATE_CONTAINER, Operation.CREATE_TTL}),
    "delete": frozenset({Operation.DELETE}),
    "exists": frozenset({Operation.EXISTS}),
    "get": frozenset({Operation.GET_DATA}),
    "get_children": frozenset({Operation.GET_CHILDREN, Operation.GET_CHILDREN2}),
    "set": frozenset({Operation.SET_DATA}),
    "get_acl": frozenset({Operation.GET_ACL}),
    "set_acl": frozenset({Operation.SET_ACL}),
    "sync": frozenset({Operation.SYNC}),
    "transaction": frozenset({Operation.MULTI}),
    "get_many": frozenset({Operation.MULTI_READ}),
    "set_watches": frozenset({Operation.SET_WATCHES, Operation.SET_WATCHES2}),
    "add_watch": frozenset({Operation.ADD_WATCH}),
    "check_watches": frozenset({Operation.CHECK_WATCHES}),
    "remove_watches": frozenset({Operation.REMOVE_WATCHES}),
    "get_ephemerals": frozenset({Operation.GET_EPHEMERALS}),
    "count_below": frozenset({Operation.GET_ALL_CHILDREN_NUMBER}),
    "who_am_i": frozenset({Operation.WHO_AM_I}),
    "reconfig": frozenset({Operation.RECONFIG}),
    "ping": frozenset({Operation.PING}),
    "close": frozenset({Operation.CLOSE_SESSION}),
}

#: The operations whose requests have no path of a znode, or several.
_WITHOUT_PATH = frozenset(
    {
        Operation.MULTI,
        Operation.MULTI_READ,
        Operation.SET_WATCHES,
        Operation.SET_WATCHES2,
        Operation.GET_EPHEMERALS,
        Operation.WHO_AM_I,
        Operation.RECONFIG,
        Operation.PING,
        Operation.CLOSE_SESSION,
    }
)


class Effect(enum.Enum):
    """The effect of a fault."""

    DELAYED = "the server executes the request later"
    REFUSED = "the server replies with an error and does not execute the request"
    REQUEST_LOST = "the server closes the connection and does not execute the request"
    REPLY_LOST = "the server executes the request and closes the connection in place of the reply"


@attrs.define(eq=False)
class Fault:
    """A fault planned for the next request of a kind. It happens once."""

    effect: Effect
    """The effect on the request."""
    kind: str
    """The kind of request, as for :meth:`.Server.delay_next`."""
    path: str | None = None
    """The path of the request's znode; None for any."""
    session_id: int | None = None
    """The session that sends the request; None for any."""
    delay: float = 0.0
    """The delay in seconds, of a request that is delayed."""
    error: ZooKeeperException | None = None
    """The error to reply with, to a request that is refused."""
    code: int = attrs.field(default=0, repr=False)
    """The code of the error."""
    happened: bool = attrs.field(default=False, init=False)
    """True if the fault has happened."""
    _forget: Callable[[Fault], None] = attrs.field(default=lambda fault: None, init=False, repr=False)

    def cancel(self) -> None:
        """Cancel the fault, if it has not happened yet."""
        self._forget(self)


class Faults:
    """The planned faults that have not happened yet."""

    def __init__(self) -> None:
        self._planned: list[Fault] = []

    def plan(self, fault: Fault) -> Fault:
        """Plan a fault.

        :raises ValueError: the kind of request is unknown or has no path, the path is invalid, the delay is negative or
            infinite, or no server replies with the error.
        :raises TypeError: a value has the wrong type.
        """
        check_kind("the kind of request", fault.kind, str, "a str")
        check_seconds("the delay", fault.delay)
        operations = KINDS.get(fault.kind)
        if operations is None:
            raise ValueError(f"{fault.kind!r} is no kind of request: it is one of {', '.join(KINDS)}")
        if fault.path is not None:
            if operations & _WITHOUT_PATH:
                raise ValueError(f"a request of the kind {fault.kind!r} has no path that could be {fault.path!r}")
            try:
                validate(fault.path, sequence=fault.kind == "create")
            except PathError as error:
                raise ValueError(str(error)) from None
        if fault.error is not None:
            fault.code = _code_of(fault.error)
        fault._forget = self._forget
        self._planned.append(fault)
        return fault

    def take(self, operation: int, cursor: Cursor, session_id: int) -> Fault | None:
        """Return and remove the fault planned for a request, or None.

        :param cursor: at the request's record; it does not move.
        """
        for fault in self._planned:
            if (
                operation in KINDS[fault.kind]
                and fault.session_id in (None, session_id)
                and (fault.path is None or fault.path == _path_of(operation, cursor))
            ):
                self._planned.remove(fault)
                fault.happened = True
                return fault
        return None

    def __bool__(self) -> bool:
        return bool(self._planned)

    def _forget(self, fault: Fault) -> None:
        if fault in self._planned:
            self._planned.remove(fault)


def _code_of(error: ZooKeeperException) -> int:
    code = error.number if isinstance(error, UnknownServerException) else error.code
    if not code or type(error) is ConnectionLossException:
        raise ValueError(
            f"{error!r} is no error that a server replies with; to lose the connection, use lose_request or lose_reply"
        )
    return code


def _path_of(operation: int, cursor: Cursor) -> str | None:
    try:
        path: str = REQUESTS[operation].decode(Cursor(cursor.frame, cursor.offset)).path
    except ProtocolError:
        return None
    return path
