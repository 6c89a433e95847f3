"""Creates whose node can be recognised, so that a lost answer leaves no doubt and no orphan.

The name gets a GUID of its own. When the answer is cut off, the children of the parent are looked through for it: what is
there was made, what is not there was not. (Curator calls this protection; the name is as it makes it.)
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
from txmirror.client.calls import decode_nothing
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
_Ask = Callable[..., "Deferred[Any]"]


#: How long to wait before a node is looked for again, if a server is in trouble, in seconds.
_UNDO_PAUSE = 1.0


def protected(path: str, random: Random) -> str:
    """Put a GUID before the name of a node.

    :param path: the path, checked.
    """
    parent, slash, name = path.rpartition("/")
    return f"{parent}{slash}_c_{uuid.UUID(int=random.getrandbits(128), version=4)}-{name}"


class ProtectedCreate(Generic[_T]):
    """One such create, from the first request until it is known what became of it.

    :param sender: asks the servers.
    :param path: the path with the GUID in its name, as the client's user sees it.
    :param ephemeral: whether the node goes with the session.
    :param send: sends the create of a path.
    :param found: makes the result of a node that was found.
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
        """Send the create. What comes of it is for the caller; cancelled, it is made undone."""
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
                # Connections come and go within a session. It was told of before this failed.
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
        """Find out whether the node was made.

        :param lost: what to fail with if that cannot be found out.
        :returns: its path and stat; None if it was not made, and never will be.
        :raises SessionExpiredException: it was not made, or is gone with the session.
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
                # It outlives the session, if it was made.
                self._expired = True
            except ConnectionLossException as error:
                if error.applied is False:
                    raise lost from None
                await self._pause_if_connected()
            except ZooKeeperException:
                # It may not be looked for, or was there and is gone: somebody else's doing.
                raise lost from None
            else:
                return path, stat
        # It may still be wanted, but that is for those to say who know of the new session.
        raise SessionExpiredException(path=self._path)

    async def _pause_if_connected(self) -> None:
        """Pause, if the connection stands: then the server has answered with the code of a lost one."""
        if self._sessions.session.state is SessionState.CONNECTED:
            await self._sessions.pauses.wait(_UNDO_PAUSE)

    def _is_over(self) -> bool:
        return self._expired or self._sessions.session.session_number != self._session_number

    async def _find(self, ask: _Ask) -> str | None:
        """Look for the node in what the leader has, and the server may not have yet."""
        parent = self._sender.valid(self._parent)
        try:
            await ask(SyncRequest(parent), self._parent, _decode_synced)
            names = await ask(GetChildren2Request(parent, False), self._parent, replies.decode_names)
        except NoNodeException:
            return None
        return next((paths.join(self._parent, name) for name in names if name.startswith(self._name)), None)

    # Nobody waits for the node any more.

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
            except InvalidStateException:
                return
            except NoNodeException:
                return
            except (ClosingException, AuthFailedException):
                if self._sessions.leaving or not self._ephemeral:
                    self._log.warn("{path} may be left behind: its create was given up.", path=self._path)
                return
            except ZooServerProblem:
                # It is in trouble, as when it is throttling requests.
                trouble = True
                continue
            except ZooKeeperException as error:
                self._log.error("{path} was left behind: {reason}.", path=self._path, reason=str(error))
                return
            return


def _decode_synced(cursor: Cursor, zxid: int) -> None:
    PathResponse.decode(cursor)
