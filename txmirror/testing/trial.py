"""For tests under trial that run on the real reactor: an in-memory ZooKeeper on loopback, of each test's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from txmirror.client import Limits, ZooKeeperClient
from txmirror.embedded import EmbeddedServer

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _TestCase
else:
    # What it is mixed into brings the test case, and nobody who does not use trial needs it.
    _TestCase = object

#: In seconds. On loopback an answer takes none; and the server's end is the session's, too.
_CLOSE_TIME = 0.2


class EmbeddedServerMixin(_TestCase):
    """Gives each test of a ``twisted.trial.unittest.TestCase`` a fresh ZooKeeper server on 127.0.0.1.

    It stands before the test case, and a ``setUp`` of the test's own calls this one, or stands behind it and finds the server
    there::

        class ProgramTests(EmbeddedServerMixin, TestCase):
            async def test_program(self):
                client = await self.zookeeper_client()
                await run_program(self.zookeeper.address)

    When the test is over, clients are closed, then the server is stopped, and nothing of them is left in the reactor.

    :ivar zookeeper_settings: the server's, of the class or of one test, as :class:`txmirror.embedded.EmbeddedServer` takes them.
    :ivar zookeeper: the server; its ``address`` is what clients connect to.
    """

    zookeeper_settings: Mapping[str, Any] = {}

    def setUp(self) -> Any:
        from twisted.internet import reactor

        self.zookeeper = EmbeddedServer(reactor, **self.zookeeper_settings)
        self.zookeeper.listen()
        # Last in, first out: by then the clients are closed.
        self.addCleanup(self.zookeeper.stop)
        return super().setUp()

    def zookeeper_client(
        self, servers: str | Sequence[str | tuple[str, int]] | None = None, **options: Any
    ) -> Deferred[ZooKeeperClient]:
        """Make a client, which is closed when the test is over.

        :param servers: what it connects to, as for :class:`txmirror.client.ZooKeeperClient`; None is the test's server.
        :param options: the client's others. Without ``limits`` of its own it may take a fifth of a second to close where
            the server is away, and not five seconds.
        :returns: fires with the client once it has its session. Fails where the servers refuse it.
        """
        options.setdefault("limits", Limits(close_time=_CLOSE_TIME))
        client = ZooKeeperClient(self.zookeeper.address if servers is None else servers, **options)
        self.addCleanup(client.close)
        return client.connect().addCallback(lambda _: client)
