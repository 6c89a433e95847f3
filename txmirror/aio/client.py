"""The client, for asyncio."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

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

    create = passed(_DeferringTransaction.create)
    delete = passed(_DeferringTransaction.delete)
    set = passed(_DeferringTransaction.set)
    check = passed(_DeferringTransaction.check)
    commit = awaitable(_DeferringTransaction.commit)


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

    __aexit__ = at_exit(_Client.close)

    # Other clients on the same session.

    chroot = passed_as(_Client.chroot, _client)
    waiting = passed_as(_Client.waiting, _client)
    urgent = passed_as(_Client.urgent, _client)

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

    connect = awaitable(_Client.connect)
    when_connected = awaitable(_Client.when_connected)
    close = awaitable(_Client.close)
    leave = awaitable(_Client.leave)
    add_auth = awaitable(_Client.add_auth)
    server_can = passed(_Client.server_can)
    may_cost_session = passed(_Client.may_cost_session)
    when_lease_expires = awaitable(_Client.when_lease_expires)

    # Reads.

    exists = awaitable(_Client.exists)
    exists_and_watch = pair(_Client.exists_and_watch)
    get = awaitable(_Client.get)
    get_and_watch = pair(_Client.get_and_watch)
    get_children = awaitable(_Client.get_children)
    get_children_and_watch = pair(_Client.get_children_and_watch)
    get_children_and_stat = awaitable(_Client.get_children_and_stat)
    get_acl = awaitable(_Client.get_acl)
    sync = awaitable(_Client.sync)
    get_many = awaitable(_Client.get_many)
    get_children_many = awaitable(_Client.get_children_many)
    read_many = awaitable(_Client.read_many)
    get_ephemerals = awaitable(_Client.get_ephemerals)
    count_below = awaitable(_Client.count_below)
    who_am_i = awaitable(_Client.who_am_i)

    # Writes.

    create = awaitable(_Client.create)
    create_and_stat = awaitable(_Client.create_and_stat)
    create_container = awaitable(_Client.create_container)
    create_with_ttl = awaitable(_Client.create_with_ttl)
    delete = awaitable(_Client.delete)
    set = awaitable(_Client.set)
    set_acl = awaitable(_Client.set_acl)
    transaction = passed_as(_Client.transaction, _transaction)

    # The feed.

    add_listener = passed(_Client.add_listener)
    remove_listener = passed(_Client.remove_listener)
    read_data = awaitable(_Client.read_data)
    read_children = awaitable(_Client.read_children)
    read_existence = awaitable(_Client.read_existence)
    write_create = awaitable(_Client.write_create)
    write_data = awaitable(_Client.write_data)
    write_delete = awaitable(_Client.write_delete)
    set_watches = awaitable(_Client.set_watches)
    report_changes = awaitable(_Client.report_changes)
    remove_watches = awaitable(_Client.remove_watches)
    release = awaitable(_Client.release)
    add_watch = awaitable(_Client.add_watch)
    check_watches = awaitable(_Client.check_watches)

    # The ensemble's configuration.

    get_config = awaitable(_Client.get_config)
    get_config_and_watch = pair(_Client.get_config_and_watch)
    reconfig = awaitable(_Client.reconfig)
