"""The client, for asyncio."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final, TypeVar

from txmirror.aio.running import current_reactor
from txmirror.aio.wrapping import Wrapper, at_exit, awaitable, pair, passed, passed_as
from txmirror.client import TLS, DigestMD5, Limits
from txmirror.client import ZooKeeperClient as _Client
from txmirror.client.transactions import Transaction as _DeferringTransaction
from txmirror.interfaces import IMetrics, ITransaction
from txmirror.types import SessionEvent, SessionTicket

_ClientT = TypeVar("_ClientT", bound="ZooKeeperClient")


class Transaction(Wrapper[_DeferringTransaction]):
    """Several writes in one request; ``ZooKeeperClient.transaction`` makes it. See :class:`.ITransaction`."""

    create: Final = passed(_DeferringTransaction.create)
    delete: Final = passed(_DeferringTransaction.delete)
    set: Final = passed(_DeferringTransaction.set)
    check: Final = passed(_DeferringTransaction.check)
    commit: Final = awaitable(_DeferringTransaction.commit)


def _transaction(transaction: ITransaction) -> Transaction:
    assert isinstance(transaction, _DeferringTransaction)
    return Transaction.wrap(transaction)


def _client(client: _Client) -> ZooKeeperClient:
    return ZooKeeperClient.wrap(client)


class ZooKeeperClient(Wrapper[_Client]):
    """:class:`txmirror.client.ZooKeeperClient` for asyncio: the same parameters, but for the reactor, and the same methods.

    As an asynchronous context manager it waits for a session, and closes it at the end.

    :raises RuntimeError: as for :class:`~txmirror.aio.Wrapper`.
    """

    # More than 7 parameters: they are those of the wrapped class.

    def __init__(
        self,
        servers: str | Sequence[str | tuple[str, int]] = "localhost:2181",
        *,
        session_timeout: float = 10.0,
        session: SessionTicket | None = None,
        read_only: bool = False,
        tls: TLS | None = None,
        sasl: DigestMD5 | None = None,
        limits: Limits | None = None,
        metrics: IMetrics | None = None,
        random: Random | None = None,
    ) -> None:
        super().__init__(
            _Client(
                servers,
                session_timeout=session_timeout,
                session=session,
                read_only=read_only,
                tls=tls,
                sasl=sasl,
                limits=limits,
                metrics=metrics,
                random=random,
                reactor=current_reactor(),
            )
        )

    async def __aenter__(self: _ClientT) -> _ClientT:
        try:
            await self.connect()
        except BaseException:
            await self.close()
            raise
        return self

    __aexit__: Final = at_exit(_Client.close)

    # Other clients on the same session.

    chroot: Final = passed_as(_Client.chroot, _client)
    waiting: Final = passed_as(_Client.waiting, _client)
    urgent: Final = passed_as(_Client.urgent, _client)

    # The session.

    @property
    def connect_string(self) -> str:
        """The servers and the chroot, as in ``host:port,host:port/chroot``."""
        return self.wrapped.connect_string

    @property
    def metrics(self) -> IMetrics | None:
        """The program's metrics. See :class:`~txmirror.interfaces.IMetricsHolder`."""
        return self.wrapped.metrics

    @property
    def session_key(self) -> object:
        """An object that is equal for all clients on the same session. See :class:`~txmirror.interfaces.IChroot`."""
        return self.wrapped.session_key

    @property
    def session(self) -> SessionEvent:
        """The latest event of the session."""
        return self.wrapped.session

    @property
    def session_id(self) -> int:
        """The id of the session, as ``ephemeralOwner`` has it; 0 while there is none."""
        return self.wrapped.session_id

    @property
    def server(self) -> str:
        """The server of the connection, ``host:port``; without a connection, that of the latest attempt."""
        return self.wrapped.server

    @property
    def round_trip(self) -> float | None:
        """The seconds between the latest request or ping and its answer; None without a connection, and before the first answer."""
        return self.wrapped.round_trip

    @property
    def loss(self) -> str | None:
        """The reason why the latest connection was lost, for people; None if none was."""
        return self.wrapped.loss

    @property
    def session_timeout(self) -> float:
        """The session's timeout in seconds: as negotiated, or as requested before that."""
        return self.wrapped.session_timeout

    @property
    def session_ticket(self) -> SessionTicket | None:
        """The ticket with which another client can take over the session now; None while there is no session. A secret."""
        return self.wrapped.session_ticket

    @property
    def stuck(self) -> bool:
        """True if the client does nothing for its session, because of a bug. See :class:`~txmirror.interfaces.IProgress`."""
        return self.wrapped.stuck

    @property
    def watch_count(self) -> int:
        """The number of watches of the session. See :class:`~txmirror.interfaces.IWatchCount`."""
        return self.wrapped.watch_count

    connect: Final = awaitable(_Client.connect)
    when_connected: Final = awaitable(_Client.when_connected)
    close: Final = awaitable(_Client.close)
    leave: Final = awaitable(_Client.leave)
    add_auth: Final = awaitable(_Client.add_auth)
    server_can: Final = passed(_Client.server_can)
    may_cost_session: Final = passed(_Client.may_cost_session)
    when_lease_expires: Final = awaitable(_Client.when_lease_expires)

    # Reads.

    exists: Final = awaitable(_Client.exists)
    exists_and_watch: Final = pair(_Client.exists_and_watch)
    get: Final = awaitable(_Client.get)
    get_and_watch: Final = pair(_Client.get_and_watch)
    get_children: Final = awaitable(_Client.get_children)
    get_children_and_watch: Final = pair(_Client.get_children_and_watch)
    get_children_and_stat: Final = awaitable(_Client.get_children_and_stat)
    get_acl: Final = awaitable(_Client.get_acl)
    sync: Final = awaitable(_Client.sync)
    get_many: Final = awaitable(_Client.get_many)
    get_children_many: Final = awaitable(_Client.get_children_many)
    read_many: Final = awaitable(_Client.read_many)
    get_ephemerals: Final = awaitable(_Client.get_ephemerals)
    count_below: Final = awaitable(_Client.count_below)
    who_am_i: Final = awaitable(_Client.who_am_i)

    # Writes.

    create: Final = awaitable(_Client.create)
    create_and_stat: Final = awaitable(_Client.create_and_stat)
    create_container: Final = awaitable(_Client.create_container)
    create_with_ttl: Final = awaitable(_Client.create_with_ttl)
    delete: Final = awaitable(_Client.delete)
    set: Final = awaitable(_Client.set)
    set_acl: Final = awaitable(_Client.set_acl)
    transaction: Final = passed_as(_Client.transaction, _transaction)

    # The feed.

    add_listener: Final = passed(_Client.add_listener)
    remove_listener: Final = passed(_Client.remove_listener)
    read_data: Final = awaitable(_Client.read_data)
    read_children: Final = awaitable(_Client.read_children)
    read_existence: Final = awaitable(_Client.read_existence)
    write_create: Final = awaitable(_Client.write_create)
    write_data: Final = awaitable(_Client.write_data)
    write_delete: Final = awaitable(_Client.write_delete)
    set_watches: Final = awaitable(_Client.set_watches)
    report_changes: Final = awaitable(_Client.report_changes)
    remove_watches: Final = awaitable(_Client.remove_watches)
    release: Final = awaitable(_Client.release)
    add_watch: Final = awaitable(_Client.add_watch)
    check_watches: Final = awaitable(_Client.check_watches)

    # The ensemble's configuration.

    get_config: Final = awaitable(_Client.get_config)
    get_config_and_watch: Final = pair(_Client.get_config_and_watch)
    reconfig: Final = awaitable(_Client.reconfig)
