"""An embedded server on loopback for each test under trial that runs on the real reactor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from txmirror.client import Limits, ZooKeeperClient
from txmirror.embedded import EmbeddedServer
from txmirror.endpoints import close_sessions

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _TestCase
else:
    # The class that uses the mixin brings the test case; importing it here would load trial for every user of this package.
    _TestCase = object

#: The timeout for closing a client, in seconds. It can be short: answers on loopback take no time, and a server that is away
#: in a test has no session to end.
_CLOSE_TIME = 0.2


class EmbeddedServerMixin(_TestCase):
    """A mixin that runs a new ZooKeeper server on 127.0.0.1 for each test of a ``twisted.trial.unittest.TestCase``.

    List it before the test case. A ``setUp`` of the test's own must call this one, and can use the server after that::

        class ProgramTests(EmbeddedServerMixin, TestCase):
            async def test_program(self):
                client = await self.zookeeper_client()
                await run_program(self.zookeeper.address)

    After the test the clients and the sessions of endpoints are closed, then the server is stopped, and the reactor is clean.

    :ivar zookeeper_settings: the server's settings, of the class or of one test: arguments of
        :class:`txmirror.embedded.EmbeddedServer`.
    :ivar zookeeper: the server. Clients connect to its ``address``.
    """

    zookeeper_settings: Mapping[str, Any] = {}

    def setUp(self) -> Any:
        from twisted.internet import reactor

        self.zookeeper: EmbeddedServer = EmbeddedServer(reactor, **self.zookeeper_settings)
        self.zookeeper.listen()
        # Cleanups run last in, first out: the clients are closed before.
        self.addCleanup(self.zookeeper.stop)
        self.addCleanup(close_sessions, reactor)
        return super().setUp()

    def zookeeper_client(
        self, servers: str | Sequence[str | tuple[str, int]] | None = None, **options: Any
    ) -> Deferred[ZooKeeperClient]:
        """Return a connected client, which is closed after the test.

        :param servers: the servers, as for :class:`txmirror.client.ZooKeeperClient`; None is the test's server.
        :param options: other arguments of the client. Without ``limits``, closing it takes at most 0.2 seconds if the server
            is away, in place of five.
        :returns: fires with the client when it has a session. Fails if the servers refuse it. Cancelling ends the wait; the client
            goes on connecting until the end of the test.
        """
        options.setdefault("limits", Limits(close_time=_CLOSE_TIME))
        client = ZooKeeperClient(self.zookeeper.address if servers is None else servers, **options)
        self.addCleanup(client.close)
        return client.connect().addCallback(lambda _: client)
