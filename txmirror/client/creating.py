"""Create nodes: with or without the stat, and protected, so that a lost reply leaves neither an unknown result nor an orphan.

The name of a protected node contains a GUID. When the connection is lost before the reply, the client searches the parent's
children for it: if it is among them, the node was created, otherwise not. (Curator calls this protection, and builds the name
in the same way.)
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.client.connection.calls import Reply
from txmirror.client.operations import CREATE, CREATE2, DELETE, EXISTS, GET_CHILDREN, SYNC
from txmirror.client.requests import Requests
from txmirror.client.session.pending import Priority
from txmirror.errors import (
    AuthFailedException,
    ClosingException,
    ConnectionLossException,
    InvalidStateException,
    NoNodeException,
    SessionExpiredException,
    UnimplementedException,
    ZooKeeperException,
    ZooServerProblem,
)
from txmirror.types import ACL, CreateReply, SessionState, ZnodeStat
from txmirror.wire import CreateFlag

_T = TypeVar("_T")

#: The pause before the client searches for the node again, if the server has failed, in seconds.
_UNDO_PAUSE = 1.0
#: The flags as numbers, which are much faster than members of an enumeration.
_EPHEMERAL, _SEQUENCE = CreateFlag.EPHEMERAL.value, CreateFlag.SEQUENCE.value


class Creates:
    """Creates nodes.

    :param requests: sends the requests.
    :param random: draws GUIDs.
    """

    def __init__(self, requests: Requests, random: Random) -> None:
        self._requests = requests
        self._random = random

    def create(self, path: str, data: bytes, acl: tuple[ACL, ...], flags: int, protect: bool) -> Deferred[str]:
        """Create a node, and return its path.

        :param path: the path; the other arguments were checked before.
        :param flags: of ``CreateFlag``.
        """

        def send(path: str) -> Deferred[str]:
            return self._requests.send_record(CREATE, CREATE.record(self._full(path, flags), data, acl, flags), path)

        return self._protect(path, flags, send, lambda path, stat: path) if protect else send(path)

    def create_and_stat(
        self, path: str, data: bytes, acl: tuple[ACL, ...], flags: int, protect: bool
    ) -> Deferred[tuple[str, ZnodeStat]]:
        """Create a node, likewise, and return its path and stat."""

        def send(path: str) -> Deferred[tuple[str, ZnodeStat]]:
            return self.create_for_reply(path, data, acl, flags).addCallback(lambda reply: (reply.path, reply.stat))

        return self._protect(path, flags, send, lambda path, stat: (path, stat)) if protect else send(path)

    def create_for_reply(self, path: str, data: bytes, acl: tuple[ACL, ...], flags: int) -> Deferred[CreateReply]:
        """Create a node, and return its path and stat, also on servers before 3.5, which do not send the stat.

        There the client sends a plain create, and then reads the stat. If another client has changed or deleted the node
        meanwhile, or the stat cannot be read, all fields of the stat are 0 except the owner and the length.

        :returns: fires and fails as :meth:`~txmirror.interfaces.IZooKeeperClient.create`. Cancelling abandons the answer.
        """
        requests = self._requests
        call = requests.call(CREATE2, CREATE2.record(self._full(path, flags), data, acl, flags), path)
        answer = call.result_as(_create_reply)
        requests.submit(call)
        # Arguments, and no closure: the garbage collector walks over all creations that wait.
        answer.addErrback(self._not_created, path, data, acl, flags)
        return answer

    def _not_created(
        self, failure: Failure, path: str, data: bytes, acl: tuple[ACL, ...], flags: int
    ) -> Failure | Deferred[CreateReply]:
        error = failure.value
        if isinstance(error, UnimplementedException) and error.applied is False:
            return Deferred.fromCoroutine(self._create_and_read(path, data, acl, flags))
        return failure

    async def _create_and_read(self, path: str, data: bytes, acl: tuple[ACL, ...], flags: int) -> CreateReply:
        requests, session = self._requests, self._requests.session
        session_number = session.event.session_number
        if not session.abilities.hangs_up(CREATE2.operation):
            # The server may close the connection after the refusal. A write that is lost then may or may not have happened; so
            # send a read first, which is harmless.
            with suppress(ConnectionLossException):
                await requests.send(EXISTS, "/", False)
            if session.event.session_number != session_number:
                raise SessionExpiredException(path=path)
        call = requests.call(CREATE, CREATE.record(self._full(path, flags), data, acl, flags), path)
        answer = call.result_as(Reply)
        requests.submit(call)
        created = await answer
        try:
            stat = await requests.send(EXISTS, created.value, False)
        except ZooKeeperException:
            stat = None
        if stat is None or stat.czxid != created.zxid or stat.version != 0:
            owner = session.session_id if flags & _EPHEMERAL else 0
            stat = ZnodeStat(0, 0, 0, 0, 0, 0, 0, owner, len(data), 0, 0)
        return CreateReply(created.zxid, created.value, stat)

    def _full(self, path: str, flags: int) -> str:
        return self._requests.chroot.full(path, sequence=flags & _SEQUENCE != 0)

    def _protect(
        self,
        path: str,
        flags: int,
        send: Callable[[str], Deferred[_T]],
        found: Callable[[str, ZnodeStat], _T],
    ) -> Deferred[_T]:
        """Send the create of a path with a GUID in its name.

        :param found: makes the result from a node that was found by its GUID.
        """
        sequence = flags & _SEQUENCE != 0
        if path == "/" and not sequence:
            return send(path)
        paths.validate(path, sequence=sequence)
        ephemeral = flags & _EPHEMERAL != 0
        return ProtectedCreate(self._requests, _protected(path, self._random), ephemeral, send, found).run()


def _protected(path: str, random: Random) -> str:
    """Return a path with a GUID before the node's name."""
    parent, slash, name = path.rpartition("/")
    return f"{parent}{slash}_c_{uuid.UUID(int=random.getrandbits(128), version=4)}-{name}"


class ProtectedCreate(Generic[_T]):
    """One protected create, from the first request until its result is known.

    :param requests: sends the requests.
    :param path: the path with the GUID in its name, without the chroot.
    :param ephemeral: whether the node is ephemeral.
    :param send: sends the create of a path.
    :param found: makes the result from a node that was found.
    """

    _log = Logger()

    def __init__(
        self,
        requests: Requests,
        path: str,
        ephemeral: bool,
        send: Callable[[str], Deferred[_T]],
        found: Callable[[str, ZnodeStat], _T],
    ) -> None:
        self._requests = requests
        self._session = requests.session
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
                self._session_number = self._session.event.session_number
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
                path = await self._find(self._requests)
                if path is None and not self._is_over():
                    return None
                if path is None:
                    break
                stat = await self._requests.send(EXISTS, path, False)
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
                # An ACL forbids the search.
                raise lost from None
            else:
                if stat is None:
                    # Another client has just deleted the node.
                    raise lost
                return path, stat
        # Whether to create the node in the new session is for the caller to decide.
        raise SessionExpiredException(path=self._path)

    async def _pause_if_connected(self) -> None:
        """Pause, if the client is connected: then the server itself has answered with the code of a lost connection."""
        if self._session.event.state is SessionState.CONNECTED:
            await self._session.pauses.wait(_UNDO_PAUSE)

    def _is_over(self) -> bool:
        return self._expired or self._session.event.session_number != self._session_number

    async def _find(self, requests: Requests) -> str | None:
        """Search the parent's children for the node, after a sync with the leader."""
        try:
            await requests.send(SYNC, self._parent)
            names, _ = await requests.send(GET_CHILDREN, self._parent, False)
        except NoNodeException:
            return None
        return next((paths.join(self._parent, name) for name in names if name.startswith(self._name)), None)

    # Undoing: the caller does not wait for the node any more.

    def _undo(self) -> None:
        self._session_number = self._session_number or self._session.event.session_number
        if self._session_number:
            undone = Deferred.fromCoroutine(self._delete())
            undone.addErrback(
                lambda failure: self._log.failure(
                    "{path}, the znode of an abandoned create, could not be deleted because of a bug.",
                    failure,
                    path=self._path,
                )
            )

    @property
    def _fate(self) -> str:
        return "It stays until the session ends" if self._ephemeral else "Delete it, unless it is wanted"

    async def _delete(self) -> None:
        urgently = Requests(self._session, self._requests.chroot, Priority.URGENT)
        trouble = False
        while True:
            try:
                if trouble:
                    trouble = False
                    await self._session.pauses.wait(_UNDO_PAUSE)
                await self._session.when_connected()
                if self._ephemeral and self._session.event.session_number != self._session_number:
                    return
                path = await self._find(urgently)
                if path is not None:
                    await urgently.send(DELETE, path, -1)
            except (ConnectionLossException, SessionExpiredException):
                trouble = self._session.event.state is SessionState.CONNECTED
                continue
            except (InvalidStateException, NoNodeException):
                return
            except (ClosingException, AuthFailedException):
                if self._session.leaving or not self._ephemeral:
                    self._log.warn(
                        "{path}, the znode of an abandoned create, may still exist: the client was closed first. {fate}.",
                        path=self._path,
                        fate=self._fate,
                    )
                return
            except ZooServerProblem:
                # The server has failed for the time being, as when it is throttling requests.
                trouble = True
                continue
            except ZooKeeperException as error:
                self._log.error(
                    "{path}, the znode of an abandoned create, could not be deleted: {reason}. {fate}.",
                    path=self._path,
                    reason=str(error),
                    fate=self._fate,
                )
                return
            return


def _create_reply(zxid: int, value: tuple[str, ZnodeStat]) -> CreateReply:
    return CreateReply(zxid, *value)
