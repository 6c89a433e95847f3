"""Send the requests of one client: below its chroot, on its session, and by its priority."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from twisted.internet.defer import Deferred

from txmirror.client.connection.calls import Call, Chroot, OnReply, RequestKind
from txmirror.client.session.abilities import NEVER_LACKED
from txmirror.client.session.pending import Priority
from txmirror.client.session.session import Session
from txmirror.errors import UnimplementedException
from txmirror.wire import Request

_P = ParamSpec("_P")
_T = TypeVar("_T")
_ResultT = TypeVar("_ResultT")


class Requests:
    """Sends the requests of one client.

    The methods return a Deferred of the reply's value, or of the whole reply. Cancelling it abandons the answer.

    :param session: the session that the requests are sent in.
    :param chroot: the node that all paths are below.
    :param priority: the priority of the requests.
    """

    def __init__(self, session: Session, chroot: Chroot, priority: Priority) -> None:
        self.session = session
        self.chroot = chroot
        self.priority = priority

    def send(
        self, kind: RequestKind[Concatenate[str, _P], _T], path: str, *fields: _P.args, **named: _P.kwargs
    ) -> Deferred[_T]:
        """Send a request about a node.

        :param path: the node's path, which is checked.
        :param fields: the other fields of the record, checked before.
        """
        return self.send_record(kind, kind.record(self.chroot.full(path), *fields, **named), path)

    def send_as(
        self,
        make_result: Callable[[int, _T], _ResultT],
        kind: RequestKind[Concatenate[str, _P], _T],
        path: str,
        *fields: _P.args,
        **named: _P.kwargs,
    ) -> Deferred[_ResultT]:
        """Send a request about a node, likewise, for its whole reply.

        :param make_result: makes the result from the reply's zxid and value, as ``Reply`` does.
        """
        call = self.call(kind, kind.record(self.chroot.full(path), *fields, **named), path)
        answer = call.result_as(make_result)
        self.submit(call)
        return answer

    def send_record(self, kind: RequestKind[..., _T], record: Request, path: str | None) -> Deferred[_T]:
        """Send a request whose record is ready.

        :param record: made by ``kind.record``, from paths with the chroot.
        :param path: the path as the caller spelt it, for errors.
        """
        call = self.call(kind, record, path)
        answer = call.result()
        self.submit(call)
        return answer

    def call(
        self, kind: RequestKind[..., _T], record: Request, path: str | None, on_reply: OnReply | None = None
    ) -> Call[_T]:
        """Make a call, for :meth:`submit`."""
        if kind.operation not in NEVER_LACKED:
            on_reply = self.session.abilities.noting(kind.operation, on_reply)
        return Call(kind, record, path, self.chroot, on_reply)

    def submit(self, call: Call[Any]) -> None:
        """Send a request, or fail it if the server is known to close the connection on its operation."""
        abilities = self.session.abilities
        if abilities.hung_up and abilities.hangs_up(call.operation):
            call.fail(UnimplementedException(path=call.path))
        else:
            self.session.outbox.submit(call, self.priority)
