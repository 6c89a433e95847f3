"""Create a node and return its stat, also on servers before 3.5, which do not send it."""

from __future__ import annotations

from contextlib import suppress

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txmirror.client import replies
from txmirror.client.request_sender import RequestSender
from txmirror.errors import ConnectionLossException, SessionExpiredException, UnimplementedException, ZooKeeperException
from txmirror.types import ACL, CreateReply, ZnodeStat
from txmirror.wire import (
    Create2Request,
    Create2Response,
    CreateFlag,
    CreateRequest,
    Cursor,
    ExistsRequest,
    PathResponse,
)


def create_with_stat(
    sender: RequestSender, path: str, data: bytes, acl: tuple[ACL, ...], flags: int
) -> Deferred[CreateReply]:
    """Create a node, and return its path and stat.

    On a server without ``create2`` this sends a plain create, and then reads the stat. If another client has changed or deleted
    the node meanwhile, or the stat cannot be read, all fields of the stat are 0 except the owner and the length.

    :param data: checked before, like ``acl`` and ``flags``.
    :returns: fires and fails as :meth:`~txmirror.interfaces.IZooKeeperClient.create`. Cancelling abandons the answer.
    :raises PathError: ``path`` is invalid.
    """
    full = sender.valid(path, sequence=bool(flags & CreateFlag.SEQUENCE))

    def decode(cursor: Cursor, zxid: int) -> CreateReply:
        there, stat = Create2Response.decode(cursor)
        return CreateReply(zxid, sender.below(there), stat)

    def failed(failure: Failure) -> Failure | Deferred[CreateReply]:
        error = failure.value
        if isinstance(error, UnimplementedException) and error.applied is False:
            return Deferred.fromCoroutine(_create_and_read(sender, path, CreateRequest(full, data, acl, flags)))
        return failure

    answer = sender.send(Create2Request(full, data, acl, flags), path, decode)
    answer.addErrback(failed)
    return answer


async def _create_and_read(sender: RequestSender, path: str, request: CreateRequest) -> CreateReply:
    sessions = sender.sessions
    session_number = sessions.session.session_number
    if not sessions.abilities.hangs_up(Create2Request.operation):
        # The server may close the connection after the refusal. A write that is lost then may or may not have happened; so
        # send a read first, which is harmless.
        with suppress(ConnectionLossException):
            await sender.send(ExistsRequest("/", False), path, replies.decode_stat, replies.missing)
        if sessions.session.session_number != session_number:
            raise SessionExpiredException(path=path)

    def decode(cursor: Cursor, zxid: int) -> tuple[int, str]:
        return zxid, sender.below(PathResponse.decode(cursor).path)

    zxid, there = await sender.send(request, path, decode)
    try:
        stat = await sender.send(ExistsRequest(sender.valid(there), False), path, replies.decode_stat, replies.missing)
    except ZooKeeperException:
        stat = None
    if stat is None or stat.czxid != zxid or stat.version != 0:
        owner = sessions.session_id if request.flags & CreateFlag.EPHEMERAL else 0
        stat = ZnodeStat(0, 0, 0, 0, 0, 0, 0, owner, len(request.data or b""), 0, 0)
    return CreateReply(zxid, there, stat)
