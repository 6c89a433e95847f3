"""Tests of endpoints in memory: servers and clients find each other by strings, as in the program itself."""

import unittest
from typing import Any

from amp_pair import Math, Sum
from twisted.application.internet import ClientService
from twisted.internet.endpoints import clientFromString, quoteStringArgument, serverFromString
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.protocols.amp import AMP

from txmirror.testing import World


class PairTests(unittest.TestCase):
    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.world.close)
        self.zookeeper_port = int(self.world.server.address.rpartition(":")[2])
        hosts = quoteStringArgument(self.world.connect_string)
        self.listen = rf"mirror:/services/math:listen=tcp\:0\:interface=127.0.0.1:drain=0:hosts={hosts}"
        to = clientFromString(self.world.reactor, f"mirror:/services/math:hosts={hosts}")
        self.client = ClientService(to, Factory.forProtocol(AMP), clock=self.world.reactor)
        self.client.startService()
        self.addCleanup(lambda: self.world.result(self.client.stopService()))

    def serve(self) -> IListeningPort:
        endpoint: Any = serverFromString(self.world.reactor, self.listen)
        port: IListeningPort = self.world.result(endpoint.listen(Factory.forProtocol(Math)))
        self.addCleanup(self.stop, port)
        return port

    def stop(self, port: IListeningPort) -> None:
        stopped: Any = port.stopListening()
        self.world.result(stopped)

    def total(self) -> int:
        connection: Any = self.world.result(self.client.whenConnected())
        answer = self.world.result(connection.callRemote(Sum, a=13, b=81))
        return int(answer["total"])

    def test_sum(self) -> None:
        """The client waits for a server."""
        self.world.pass_time(1.0)
        self.serve()
        self.assertEqual(self.total(), 94)

    def test_host_dies(self) -> None:
        """The client moves to the other server, while the first one is still registered."""
        self.serve()
        self.serve()
        self.assertEqual(self.total(), 94)
        (link,) = [each for each in self.world.reactor.links if each.server_address.port != self.zookeeper_port]
        self.world.reactor.black_hole(link.server_address.host, link.server_address.port)
        link.cut()
        self.world.pass_time(10.0)
        self.assertEqual(self.total(), 94)
