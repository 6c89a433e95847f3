"""Make the client of the daemon: the native one, or txzookeeper's."""

from __future__ import annotations

from random import Random

import attrs
from twisted.internet.interfaces import IReactorTime

from txmirror.client import Limits, ZooKeeperClient
from txmirror.compat import TxZooKeeperClient, install
from txmirror.configuration import ZooKeeper
from txmirror.interfaces import IMetrics, IZooKeeperClient
from txmirror.service.session_settings import MakeClient
from txmirror.types import SessionTicket


def client_maker(
    settings: ZooKeeper,
    reactor: IReactorTime,
    *,
    servers: str | None = None,
    metrics: IMetrics | None = None,
    random: Random | None = None,
) -> MakeClient:
    """Return a function that makes the native client.

    :param settings: the settings of the ensemble and the session.
    :param servers: the connection string; that of the settings if None.
    :param metrics: counts the client's requests; may be None.
    :param random: the client's random numbers; its own if None.
    :param reactor: the reactor.
    """

    def make(session: SessionTicket | None) -> IZooKeeperClient:
        return ZooKeeperClient(
            settings.servers if servers is None else servers,
            session_timeout=settings.session_timeout,
            session=session,
            tls=settings.access.tls,
            sasl=settings.access.sasl,
            limits=Limits(attempt_time=settings.connect_timeout),
            metrics=metrics,
            random=random,
            reactor=reactor,
        )

    return make


def reading_client(
    settings: ZooKeeper, reactor: IReactorTime, make_other: MakeClient | None, random: Random
) -> IZooKeeperClient:
    """Return a client for readers, whose session has no credentials. What the client trusts stays the same.

    :param settings: the settings of the ensemble and the session.
    :param make_other: makes another client, which has no credentials by itself; None for the native one.
    :param random: the native client's random numbers.
    :param reactor: the reactor.
    """
    if make_other is not None:
        return make_other(None)
    without = attrs.evolve(settings, access=settings.access.without_credentials())
    return client_maker(without, reactor, random=random)(None)


def make_txzookeeper_client(servers: str, session_timeout: float) -> IZooKeeperClient:
    """Return txzookeeper's client. It takes over no session."""
    install()
    from txzookeeper.client import ZookeeperClient  # noqa: PLC0415 - it can be imported from now on

    return TxZooKeeperClient(ZookeeperClient(servers, round(session_timeout * 1000)))
