"""``twistd txmirror --client txzookeeper``, as an operator sees it."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.compat.available import install_or_skip
from txmirror.test.integration.servers import OnEmbedded, OnReal, ServerChoice, janitor, wait_for
from txmirror.test.integration.test_twistd import Twistd

PATH = "/test_client_txzookeeper/server1:22"


class ServiceContract(ServerChoice, SynchronousTestCase):
    """The service on any server."""

    def test_registered(self) -> None:
        """The service is registered, restored when another client deletes it, and gone at once after SIGTERM."""
        install_or_skip()
        address = self.server_address()
        looker = janitor(address)
        self.twistd = Twistd("--servers", address, "--register", PATH, "--data", "foo=bar", "--client", "txzookeeper")
        self.addCleanup(self.twistd.cleanup)
        for _ in range(2):
            wait_for(lambda: looker.exists(PATH), f"{PATH} is registered")
            data, stat = looker.get(PATH)
            self.assertEqual(json.loads(data)["foo"], "bar")
            self.assertNotEqual(stat.ephemeralOwner, 0)
            looker.delete(PATH)
        wait_for(lambda: looker.exists(PATH), f"{PATH} is registered again")
        self.twistd.terminate(3)
        self.assertIsNone(looker.exists(PATH))
        for bad in ("Traceback", "Unhandled", "#error]", "#critical]"):
            self.assertNotIn(bad, self.twistd.log)
        self.assertIn("Stopped.", self.twistd.log)


class EmbeddedServiceTests(OnEmbedded, ServiceContract):
    """On the embedded server."""


class ZooKeeperServiceTests(OnReal, ServiceContract):
    """On a real server."""


del ServiceContract
