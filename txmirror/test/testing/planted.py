"""Bugs to plant in the product, to see whether storms find them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.python.failure import Failure
from twisted.web.client import RequestTransmissionFailed, ResponseFailed

from txmirror.client import ZooKeeperClient
from txmirror.client.session import watches
from txmirror.client.session.pending import Outbox
from txmirror.client.session.persistent_watches import PersistentWatches
from txmirror.client.session.waiting import SessionLease
from txmirror.client.session.watch_tables import packets
from txmirror.discovery.listing import InstanceList
from txmirror.endpoints import connecting, exchange, responses
from txmirror.endpoints.instance_pools import InstancePools
from txmirror.endpoints.publication import Publication
from txmirror.endpoints.sessions import _Session, _Shared, _Table
from txmirror.errors import ConnectionLossException, NoInstanceException
from txmirror.interfaces import ITransaction, ITransactions
from txmirror.mirror import Change, ChangeKind
from txmirror.mirror.read_queue import PendingRead
from txmirror.mirror.refresher import Refresher
from txmirror.mirror.retries import Retries
from txmirror.mirror.store import PARTS
from txmirror.recipes import MultiLock, Partitioner, Share, double_barrier
from txmirror.recipes.marked_writes import MarkedWrites
from txmirror.recipes.share import ClaimedItem
from txmirror.registry.keeper import Keeper
from txmirror.registry.outcomes import RegistrationState
from txmirror.types import EventType, SessionTicket
from txmirror.wire import ConnectResponse

#: Replaces an attribute of a class or module until the end of the test, as ``TestCase.patch`` does.
Patch = Callable[[object, str, object], object]


def watch_not_rearmed(patch: Patch) -> None:
    """After a reconnection the first watch on data of each packet is not set again."""

    def without_first(*args: Any) -> list[Any]:
        return [attrs.evolve(each, dataWatches=each.dataWatches[1:]) for each in packets(*args)]

    patch(watches, "packets", without_first)


def write_retried(patch: Patch) -> None:
    """A ``set`` whose outcome is unknown is sent again."""
    send = ZooKeeperClient.set

    def retrying(self: ZooKeeperClient, path: str, data: bytes, version: int = -1) -> Deferred[Any]:
        def again(failure: Failure) -> Deferred[Any]:
            failure.trap(ConnectionLossException)
            return send(self, path, data, version)

        return send(self, path, data, version).addErrback(again)

    patch(ZooKeeperClient, "set", retrying)


def lock_kept(patch: Patch) -> None:
    """A lock is held until 4/3 of the session timeout without contact, in place of 2/3."""
    left: Any = SessionLease._left
    patch(SessionLease, "_left", lambda self: left(self) + 4.0)


def stale_settled(patch: Patch) -> None:
    """A node whose read was lost with the connection counts as read."""

    def discard(self: Refresher, read: PendingRead) -> None:
        for part in PARTS:
            for path in read.paths[part]:
                self._store.discard(part, path)

    patch(Refresher, "_interrupt", discard)


def wake_up_lost(patch: Patch) -> None:
    """The last request of a queue is not sent when there is room for it again, but with the next one."""
    send_waiting: Any = Outbox.send_waiting

    def forgetful(self: Outbox) -> bool:
        return len(self) != 1 and bool(send_waiting(self))

    patch(Outbox, "send_waiting", forgetful)


def persistent_not_rearmed(patch: Patch) -> None:
    """After a reconnection the persistent watches are not set again."""

    def without_persistent(zxid: int, watches: Any, persistent: Any, *args: Any) -> list[Any]:
        return packets(zxid, watches, PersistentWatches(), *args)

    patch(watches, "packets", without_persistent)


def session_left_closed(patch: Patch) -> None:
    """A client that leaves its session closes it."""

    def leave(self: ZooKeeperClient) -> Deferred[SessionTicket | None]:
        ticket = self.session_ticket
        return self.close().addCallback(lambda _: ticket)

    patch(ZooKeeperClient, "leave", leave)


def read_only_hidden(patch: Patch) -> None:
    """A client does not notice that a server is read-only."""
    decode: Any = ConnectResponse.decode

    def writable(*args: Any) -> Any:
        return attrs.evolve(decode(*args), readOnly=False)

    patch(ConnectResponse, "decode", writable)


def contender_asleep(patch: Patch) -> None:
    """A registry does not notice that the node for which it waits is gone."""
    changed: Any = Keeper.node_changed

    def asleep(self: Keeper, kind: EventType) -> None:
        if self.state is not RegistrationState.BLOCKED:
            changed(self, kind)

    patch(Keeper, "node_changed", asleep)


def refused_for_ever(patch: Patch) -> None:
    """A mirror does not read a node again that it could not read, while the connection stands."""
    patch(Retries, "later", lambda self, path: None)


def withdrawn_kept(patch: Patch) -> None:
    """A provider keeps an instance that was withdrawn during an outage."""
    changed: Any = InstanceList._tree_changed

    def keeping(self: InstanceList, change: Change) -> None:
        if change.kind is not ChangeKind.REMOVED or not self._outage:
            changed(self, change)

    patch(InstanceList, "_tree_changed", keeping)


def mark_not_read(patch: Patch) -> None:
    """A transaction of a queue or a counter whose reply was lost is sent again, whether it was done or not."""
    commit: Any = MarkedWrites.commit

    async def retrying(self: MarkedWrites, fill: Any, **options: Any) -> bool:
        try:
            transaction = ITransactions(self.place.client).transaction()
            transaction.create(f"{self.parent}/{uuid.uuid4().hex}", b"", self.place.acl, ephemeral=True)
            fill(transaction)
            await transaction.commit()
        except ConnectionLossException:
            return bool(await commit(self, fill, **options))
        return True

    patch(MarkedWrites, "commit", retrying)


def entered_early(patch: Patch) -> None:
    """A participant of a double barrier opens it when there is one less than enough."""
    participants: Any = double_barrier._participants
    patch(double_barrier, "_participants", lambda names: [*participants(names), *participants(names)[:1]])


def locks_not_given_up(patch: Patch) -> None:
    """Several locks that cannot be had together stay as they are."""
    patch(MultiLock, "_give_up", lambda self: None)


def shared_session_kept(patch: Patch) -> None:
    """A session that endpoints share stays open when its last user has gone."""

    def release(self: _Table, lease: _Shared, session: _Session) -> Deferred[None]:
        del session.leases[lease]
        return succeed(None)

    patch(_Table, "release", release)


def attempt_left(patch: Patch) -> None:
    """A client endpoint that is cancelled goes on with its attempt to connect."""

    def separate(attempt: Deferred[Any]) -> Deferred[Any]:
        separated: Deferred[Any] = Deferred()
        attempt.addBoth(lambda result: None if separated.called else separated.callback(result))
        return separated

    patch(connecting, "_separate", separate)


def port_kept(patch: Patch) -> None:
    """A port that stops is not withdrawn."""

    def withdraw(self: Publication) -> Deferred[None]:
        self._stopped = True
        return succeed(None)

    patch(Publication, "withdraw", withdraw)


def post_repeated(patch: Patch) -> None:
    """An agent sends any request again whose connection was lost."""
    patch(exchange, "IDEMPOTENT", (*exchange.IDEMPOTENT, b"POST", b"PATCH"))


def loss_forgotten(patch: Patch) -> None:
    """A request that was lost fails with a later refusal, as if no server had received it."""
    send: Any = exchange.Exchange._send

    async def forgetful(self: exchange.Exchange, *arguments: Any) -> Any:
        try:
            return await send(self, *arguments)
        except (RequestTransmissionFailed, ResponseFailed):
            raise NoInstanceException("forgotten") from None

    patch(exchange.Exchange, "_send", forgetful)


def dropped_response_kept(patch: Patch) -> None:
    """The connection of a response that the program drops stays open."""
    patch(responses, "_drop", lambda original, ended: ended())


def agent_left_open(patch: Patch) -> None:
    """An agent that is closed leaves the connections whose responses are being received."""

    def close(self: InstancePools) -> Deferred[None]:
        while self._pools:
            self._pools.popitem()[1].retire()
        return succeed(None)

    patch(InstancePools, "close", close)


#: Each bug of the endpoints in the third program, with the number of seeds, likewise.
PLANTED_ENDPOINTS: dict[Callable[[Patch], None], int] = {
    shared_session_kept: 5,
    attempt_left: 5,
    port_kept: 5,
    post_repeated: 5,
    loss_forgotten: 30,
    dropped_response_kept: 30,
    agent_left_open: 5,
}


def share_given_up_early(patch: Patch) -> None:
    """An item of a shared set is given up before its job has ended."""

    async def hold(self: ClaimedItem) -> None:
        self._working = True
        work = maybeDeferred(self._job, Share(self.item, self._election.token))
        try:
            await Deferred[None]()
        finally:
            work.addErrback(lambda failure: failure.trap(CancelledError))
            work.cancel()
            self._working = False

    patch(ClaimedItem, "_hold", hold)


def members_not_followed(patch: Patch) -> None:
    """A member that shares a set of items does not notice that others come and go."""
    share: Any = Partitioner._share

    async def first(self: Any, names: Sequence[str]) -> frozenset[str]:
        if not self._wanted:
            return frozenset(await share(self, names))
        return frozenset(self._wanted)

    patch(Partitioner, "_share", first)


@attrs.frozen
class _AnyVersion:
    """A transaction whose writes do not depend on versions."""

    transaction: ITransaction

    def create(self, *arguments: Any, **options: Any) -> None:
        self.transaction.create(*arguments, **options)

    def set(self, path: str, data: bytes, version: int) -> None:
        self.transaction.set(path, data)

    def delete(self, *arguments: Any) -> None:
        self.transaction.delete(*arguments)


def version_not_required(patch: Patch) -> None:
    """A change of a shared value is done at any version."""
    commit: Any = MarkedWrites.commit

    def unconditional(self: MarkedWrites, fill: Any, **options: Any) -> Any:
        def filling(transaction: Any) -> None:
            fill(_AnyVersion(transaction))

        return commit(self, filling, **options)

    patch(MarkedWrites, "commit", unconditional)


def change_sent_again(patch: Patch) -> None:
    """A change of a shared value whose reply was lost is sent again, whether it was done or not."""
    mark_not_read(patch)


#: Each bug of the recipes in the second program, with the number of seeds, likewise.
PLANTED_RECIPES: dict[Callable[[Patch], None], int] = {
    entered_early: 5,
    locks_not_given_up: 5,
    share_given_up_early: 5,
    members_not_followed: 5,
    version_not_required: 10,
    change_sent_again: 100,
}
#: Each bug, with the number of seeds within which a storm of 100 steps must find it.
PLANTED: dict[Callable[[Patch], None], int] = {
    watch_not_rearmed: 20,
    persistent_not_rearmed: 20,
    write_retried: 100,
    lock_kept: 100,
    stale_settled: 10,
    wake_up_lost: 5,
    session_left_closed: 10,
    read_only_hidden: 100,
    refused_for_ever: 100,
    contender_asleep: 100,
    withdrawn_kept: 100,
    mark_not_read: 150,
}
