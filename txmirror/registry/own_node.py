"""The node of one registration: the requests about it, and what their replies and the node's watch have shown."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.creating_paths import create_path
from txmirror.errors import (
    ConnectionLossException,
    NoAuthException,
    NodeExistsException,
    NoNodeException,
    ReplyTooLargeException,
)
from txmirror.interfaces import IQueries, ITransactions
from txmirror.mirror import Mirror
from txmirror.types import ACL, DataReply, EventType, ZnodeStat
from txmirror.wire import CreateFlag

#: Operations on a plain number are faster than on an enum's.
_EPHEMERAL = int(CreateFlag.EPHEMERAL)


class Knowledge(enum.Enum):
    """The latest that is known of a node."""

    UNKNOWN = "unknown"
    """Nothing in this session. Most probably there is no node."""
    ABSENT = "absent"
    """There is no node."""
    CHANGED = "changed"
    """There is a node that has changed since it was read, or the reply to a write was lost or not awaited."""
    PRESENT = "present"
    """There is a node. A watch reports its changes."""


class OwnNode:
    """An ephemeral node that is created, corrected and deleted here, each with as few requests as possible.

    Each write is sent together with a read that leaves a watch on the client's feed. It has more than 12 attributes: half are the options
    of one registration, and half what is known of its node.

    :param mirror: the mirror, whose feed is used. It need not have the node.
    :param path: the path.
    :param acl: the access control list of the node, and of its parent if that is made here.
    :param sessions: the ids of our sessions so far. A session that is entered is added.
    :param adopt_persistent: whether a persistent node counts as our own.
    :param inherited: whether it may exist in the first session already, written by another process.
    :param container: whether its parent is a container, if that is made here.
    :ivar knowledge: what is known now.
    :ivar data: the data of a node that is there; None if it may not be read.
    :ivar stat: its stat.
    :ivar written: whether it may exist because it was written here, or inherited.
    :ivar deletion_sent: whether its deletion was sent: the answer may be lost.
    """

    def __init__(
        self,
        mirror: Mirror,
        path: str,
        acl: Sequence[ACL],
        sessions: set[int],
        *,
        adopt_persistent: bool,
        inherited: bool = False,
        container: bool = False,
    ) -> None:
        self.path = path
        self.knowledge: Knowledge = Knowledge.UNKNOWN
        self.data: bytes | None = None
        self.stat: ZnodeStat | None = None
        self.written: bool = inherited
        self._inherited = inherited
        self.deletion_sent: bool = False
        self._mirror = mirror
        self._feed = mirror.feed
        self._acl = acl
        self._sessions = sessions
        self._adopt_persistent = adopt_persistent
        self._container = container
        self._session_number = 0

    # Knowledge.

    @property
    def unreadable(self) -> bool:
        """True if there is a node of this session that may not be read: its changes may cause no events."""
        return self.knowledge is Knowledge.PRESENT and self.data is None

    @property
    def persistent(self) -> bool:
        """True if a persistent node was there when it was looked at last."""
        return self.stat is not None and self.stat.ephemeralOwner == 0

    def enter_session(self) -> None:
        """Forget what was known in a former session, whose watches are gone."""
        self._sessions.add(self._mirror.client.session_id)
        number = self._feed.session.session_number
        if number != self._session_number:
            self._session_number = number
            self.knowledge = Knowledge.CHANGED if self._inherited else Knowledge.UNKNOWN
            self._inherited = False

    def note(self, event: EventType) -> None:
        """Note an event of the node."""
        if event is EventType.DELETED:
            self.knowledge = Knowledge.ABSENT
        elif event in (EventType.CREATED, EventType.CHANGED):
            self.invalidate()

    def invalidate(self) -> None:
        """Note that the node must be read again, if it was read."""
        if self.knowledge is not Knowledge.UNKNOWN:
            self.knowledge = Knowledge.CHANGED

    @property
    def owned(self) -> bool:
        """True if the node that is there is of this session, or is a persistent one that counts as that."""
        owner = 0 if self.stat is None else self.stat.ephemeralOwner
        return owner == self._mirror.client.session_id or (owner == 0 and self._adopt_persistent)

    def is_former(self, stat: ZnodeStat) -> bool:
        """Return whether a former session of ours owns a node."""
        return stat.ephemeralOwner != self._mirror.client.session_id and stat.ephemeralOwner in self._sessions

    def _show(self, reply: DataReply) -> None:
        self.knowledge, self.data, self.stat = Knowledge.PRESENT, reply.data, reply.stat

    def _not_read(self, failure: Failure) -> Failure | None:
        if not isinstance(failure.value, NoNodeException):
            return failure
        self.knowledge = Knowledge.ABSENT
        return None

    # Requests.

    async def look(self) -> None:
        """Read the node, and leave a watch.

        :raises NoAuthException: another session's node may not be read.
        :raises ReplyTooLargeException: another session's node is too large to be read.
        """
        await self._looked(self._read())

    async def create(self, payload: bytes, created: Callable[[], object]) -> bool:
        """Create the node, and what is missing above it, and look at it.

        :param created: called when it is created, before the look.
        :returns: whether it was created; if not, there was a node.
        """
        try:
            return await self._create(payload, created)
        except NoNodeException:
            parent = paths.parent_of(self.path) or "/"
            await create_path(self._mirror.client, parent, self._acl, container=self._container)
            return await self._create(payload, created)

    async def _create(self, payload: bytes, created: Callable[[], object]) -> bool:
        creating = self._feed.write_create(self.path, payload, self._acl, _EPHEMERAL)
        try:
            return await self._followed_by_look(creating, created)
        except NodeExistsException:
            return False

    async def write(self, payload: bytes, done: Callable[[], object]) -> None:
        """Replace the data of the node that is there, and look at it.

        :param done: called when it is written, before the look.
        """
        assert self.stat is not None
        self.knowledge = Knowledge.CHANGED
        await self._followed_by_look(self._feed.write_data(self.path, payload, self.stat.version), done)

    async def replace(self, payload: bytes, done: Callable[[], object]) -> None:
        """Delete the node that is there, and create ours in the same transaction, and look at it.

        :param done: called when it is created, before the look.
        """
        assert self.stat is not None
        transaction = ITransactions(self._mirror.client).transaction()
        transaction.delete(self.path, self.stat.version)
        transaction.create(self.path, payload, self._acl, ephemeral=True)
        self.knowledge = Knowledge.CHANGED
        await self._followed_by_look(transaction.commit(), done)

    async def _followed_by_look(self, writing: Deferred[Any], done: Callable[[], object]) -> bool:
        """Send a read behind a write, and wait for both.

        :raises NodeExistsException: the write has failed so; but the look is done.
        :raises ZooKeeperException: the write has failed; then the read is abandoned.
        """
        reading = self._read()
        try:
            try:
                await writing
            except NodeExistsException:
                await self._looked(reading)
                raise
            done()
            await self._looked(reading)
        except BaseException as error:
            if isinstance(error, (CancelledError, ConnectionLossException)):
                # The write may be done.
                self.knowledge = Knowledge.CHANGED
            reading.addErrback(lambda _: None)
            reading.cancel()
            raise
        return True

    def _read(self) -> Deferred[None]:
        return self._feed.read_data(self.path).addCallbacks(self._show, self._not_read)

    async def _looked(self, reading: Deferred[None]) -> None:
        try:
            await reading
        except (NoAuthException, ReplyTooLargeException) as error:
            self.knowledge = Knowledge.CHANGED
            stat = await self._stat_of_unreadable()
            if stat is None:
                self.knowledge = Knowledge.ABSENT
            elif stat.ephemeralOwner != self._mirror.client.session_id:
                self.written = False
                raise error from None
            else:
                # Data that is too large is not ours.
                data = None if isinstance(error, NoAuthException) else b""
                self.knowledge, self.data, self.stat = Knowledge.PRESENT, data, stat

    async def _stat_of_unreadable(self) -> ZnodeStat | None:
        try:
            return await self._stat(lambda: self._feed.read_existence(self.path).addCallback(lambda reply: reply.stat))
        except NoAuthException:
            # It is not of this session.
            self.written = False
            raise

    async def delete(self, is_ours: Callable[[bytes], bool]) -> None:
        """Delete the node, ahead of waiting requests, if it is ours, unless ``written`` is reset meanwhile.

        :param is_ours: returns whether a former session's node with some data is ours.
        """
        # The owner is read from the server: of a node that is no longer readable there are no events.
        client = self._mirror.urgent
        try:
            stat = await self._stat(lambda: client.exists(self.path))
            ours = stat is not None and stat.ephemeralOwner == client.session_id
            if stat is not None and self.is_former(stat):
                data, stat = await client.get(self.path)
                ours = self.is_former(stat) and is_ours(data)
            if stat is not None and ours and self.written:
                self.deletion_sent = True
                await client.delete(self.path, stat.version)
        except NoNodeException:
            pass

    async def _stat(self, read: Callable[[], Deferred[ZnodeStat | None]]) -> ZnodeStat | None:
        """Return the node's stat, also for a node of this session that may not be read; None if there is no node."""
        try:
            return await read()
        except NoAuthException:
            # Servers from 3.9 on require READ for this. But a session may always list its own ephemeral nodes.
            queries: IQueries | None = IQueries(self._mirror.client, None)
            if queries is None or self.path not in await queries.get_ephemerals(self.path):
                raise
        return ZnodeStat(0, 0, 0, 0, -1, 0, 0, self._mirror.client.session_id, 0, 0, 0)

    def yielded(self) -> None:
        """Leave the node to another registration of this session."""
        self.knowledge = Knowledge.UNKNOWN
        self.written = False

    def leave(self) -> None:
        """Forget the node: the registration is withdrawn. Remove its watch from the server, unless others need it."""
        if self.knowledge in (Knowledge.PRESENT, Knowledge.CHANGED) and self._mirror.is_connected():
            self._feed.release(self.path).addErrback(lambda _: None)
        self.knowledge = Knowledge.UNKNOWN
        self.written = self.deletion_sent = False
