"""Protected creates: a lost reply leaves neither an unknown result nor an orphan.

The node's name contains a GUID. When the connection is lost before the reply, the client searches the parent's children for it:
if it is among them, the node was created, otherwise not. (Curator calls this protection, and builds the name in the same way.)
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from random import Random
from typing import Any, Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from txmirror import paths
from txmirror.client import replies
from txmirror.client.connection.calls import decode_nothing
from txmirror.client.request_sender import RequestSender
from txmirror.errors import (
    AuthFailedException,
    ClosingException,
    ConnectionLossException,
    InvalidStateException,
    NoNodeException,
    SessionExpiredException,
    ZooKeeperException,
    ZooServerProblem,
)
from txmirror.types import SessionState, ZnodeStat
from txmirror.wire import Cursor, DeleteRequest, ExistsRequest, GetChildren2Request, PathResponse, SyncRequest

_T = TypeVar("_T")
_Send = Callable[..., "Deferred[Any]"]


#: The pause before the client searches for the node again, if the server has failed, in seconds.
_UNDO_PAUSE = 1.0


def protected(path: str, random: Random) -> str:
    """Return a path with a GUID before the node's name.

    :param path: the path, checked before.
    """
    parent, slash, name = path.rpartition("/")
    return f"{parent}{slash}_c_{uuid.UUID(int=random.getrandbits(128), version=4)}-{name}"


class ProtectedCreate(Generic[_T]):
    """One protected create, from the first request until its result is known.

    :param sender: sends the requests.
    :param path: the path with the GUID in its name, without the chroot.
    :param ephemeral: whether the node is ephemeral.
    :param send: sends the create of a path.
    :param found: makes the result from a node that was found.
    """

    _log = Logger()

    def __init__(
        self,
        sender: RequestSender,
        path: str,
        ephemeral: bool,
        send: Callable[[str], Deferred[_T]],
        found: Callable[[str, ZnodeStat], _T],
    ) -> None:
        self._sender = sender
        self._sessions = sender.sessions
        self._path = path
        self._parent = paths.parent_of(path) or "/"
        self._name = paths.name_of(path)
        self._ephemeral = ephemeral
        self._send = send
        self._found = found
        self._session_number = 0
        self._expired = False

    def run(self) -> Deferred[_T]:
        """Send the create, and return a Deferred of its result. Cancelling it deletes the node, if it was created."""
        return Deferred.fromCoroutine(self._run())

    async def _run(self) -> _T:
        try:
            while True:
                try:
                    return await self._send(self._path)
                except ConnectionLossException as error:
                    if error.applied is False:
                        raise
                    lost = error
                await self._pause_if_connected()
                # The session event of the lost connection came before this failure, so the number is that of the create.
                self._session_number = self._sessions.session.session_number
                made = await self._look_for(lost)
                if made is not None:
                    return self._found(*made)
        except CancelledError:
            self._undo()
            raise
        except ZooKeeperException as error:
            if error.applied is None:
                self._undo()
            raise

    async def _look_for(self, lost: ConnectionLossException) -> tuple[str, ZnodeStat] | None:
        """Find out whether the node was created.

        :param lost: the exception to raise if that cannot be found out.
        :returns: its path and stat; None if it was not created, and never will be.
        :raises SessionExpiredException: it was not created, or was deleted with the session.
        """
        while True:
            try:
                path = await self._find(self._sender.send)
                if path is None and not self._is_over():
                    return None
                if path is None:
                    break
                stat = await self._sender.send(
                    ExistsRequest(self._sender.valid(path), False), path, replies.decode_stat
                )
            except SessionExpiredException:
                if self._ephemeral:
                    raise
                # A persistent node outlives the session.
                self._expired = True
            except ConnectionLossException as error:
                if error.applied is False:
                    raise lost from None
                await self._pause_if_connected()
            except ZooKeeperException:
                # An ACL forbids the search, or another client has just deleted the node.
                raise lost from None
            else:
                return path, stat
        # Whether to create the node in the new session is for the caller to decide.
        raise SessionExpiredException(path=self._path)

    async def _pause_if_connected(self) -> None:
        """Pause, if the client is connected: then the server itself has answered with the code of a lost connection."""
        if self._sessions.session.state is SessionState.CONNECTED:
            await self._sessions.pauses.wait(_UNDO_PAUSE)

    def _is_over(self) -> bool:
        return self._expired or self._sessions.session.session_number != self._session_number

    async def _find(self, send: _Send) -> str | None:
        """Search the parent's children for the node, after a sync with the leader."""
        parent = self._sender.valid(self._parent)
        try:
            await send(SyncRequest(parent), self._parent, _decode_synced)
            names = await send(GetChildren2Request(parent, False), self._parent, replies.decode_names)
        except NoNodeException:
            return None
        return next((paths.join(self._parent, name) for name in names if name.startswith(self._name)), None)

    # Undoing: the caller does not wait for the node any more.

    def _undo(self) -> None:
        self._session_number = self._session_number or self._sessions.session.session_number
        if self._session_number:
            undone = Deferred.fromCoroutine(self._delete())
            undone.addErrback(lambda failure: self._log.failure("{path} was left behind.", failure, path=self._path))

    async def _delete(self) -> None:
        trouble = False
        while True:
            try:
                if trouble:
                    trouble = False
                    await self._sessions.pauses.wait(_UNDO_PAUSE)
                await self._sessions.when_connected()
                if self._ephemeral and self._sessions.session.session_number != self._session_number:
                    return
                path = await self._find(self._sender.send_urgently)
                if path is not None:
                    await self._sender.send_urgently(DeleteRequest(self._sender.valid(path), -1), path, decode_nothing)
            except (ConnectionLossException, SessionExpiredException):
                trouble = self._sessions.session.state is SessionState.CONNECTED
                continue
            except (InvalidStateException, NoNodeException):
                return
            except (ClosingException, AuthFailedException):
                if self._sessions.leaving or not self._ephemeral:
                    self._log.warn(
                        "{path} may be left behind: the client was closed during its create.", path=self._path
                    )
                return
            except ZooServerProblem:
                # The server has failed for the time being, as when it is throttling requests.
                trouble = True
                continue
            except ZooKeeperException as error:
                self._log.error("{path} was left behind: {reason}.", path=self._path, reason=str(error))
                return
            return


def _decode_synced(cursor: Cursor, zxid: int) -> None:
    PathResponse.decode(cursor)
