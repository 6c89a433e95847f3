"""The limit of open files, and the connections within it."""

from __future__ import annotations

import resource
from typing import Any

from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.service.test_metrics_port import Client
from txmirror.testing import MemoryReactor
from txmirror.web.site import Listener, TCPPort, open_files, raise_open_file_limit


class OpenFilesTests(SynchronousTestCase):
    def setUp(self) -> None:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limits)

    def test_raised(self) -> None:
        """The limit is raised as far as the system permits it, and never lowered."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (500, hard))
        raise_open_file_limit(400)
        self.assertEqual(open_files.open_file_limit(), 500)
        raise_open_file_limit(600)
        self.assertEqual(resource.getrlimit(resource.RLIMIT_NOFILE), (600, hard))
        if hard != resource.RLIM_INFINITY:
            raise_open_file_limit(hard + 1)
            self.assertEqual(open_files.open_file_limit(), hard)

    def test_connections(self) -> None:
        """Connections leave half of the files for everything else, such as the connection with ZooKeeper and the checks."""
        self.patch(open_files, "open_file_limit", lambda: 21)
        self.assertEqual([open_files.connections_within(most) for most in (5, 10, 100)], [5, 10, 10])
        reactor: Any = MemoryReactor()
        factory: Any = Factory.forProtocol(Protocol)
        listener = Listener(TCPPort("127.0.0.1", 80), factory, "The page", reactor, connections=100)
        listener.startService()
        clients: list[Client] = []
        connecting: Any = ClientFactory()
        connecting.buildProtocol = lambda _: clients[-1]
        for _ in range(12):
            clients.append(Client())
            reactor.connectTCP("127.0.0.1", 80, connecting)
            reactor.settle()
        self.assertEqual([client.closed for client in clients], [False] * 10 + [True] * 2)
        stopped = listener.stopService()
        reactor.pass_time(2)
        self.successResultOf(stopped)
