"""The facts about the machine that runs the tests."""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from txmirror.configuration import load
from txmirror.machine import Machine, find_interface, find_route
from txmirror.test.test_examples import find_examples


class MachineTests(SynchronousTestCase):
    def test_this(self) -> None:
        """The facts are those of this process."""
        machine = Machine.this()
        self.assertEqual((machine.host_name, machine.pid), (socket.gethostname(), os.getpid()))
        self.assertEqual(machine.environment["PATH"], os.environ["PATH"])
        self.assertNotIn(os.environ["PATH"], repr(machine))

    def test_route(self) -> None:
        """The route to an address of this machine begins there; that to a name is the default route, if there is one."""
        self.assertEqual(find_route("127.0.0.1:2181,192.0.2.1"), "127.0.0.1")
        try:
            address = find_route("name.invalid:2181")
        except ValueError as error:
            self.assertEqual(str(error), "this machine has no route to ZooKeeper")
        else:
            ipaddress.ip_address(address)

    def test_interface(self) -> None:
        """An interface has an address; one that does not exist is an error that quotes it."""
        if "lo" in (name for _, name in socket.if_nameindex()):
            self.assertEqual(find_interface("lo"), "127.0.0.1")
        error = self.assertRaises(ValueError, find_interface, "none7")
        self.assertIn("the interface 'none7' has no IPv4 address", str(error))


class SampleTests(SynchronousTestCase):
    def test_sample(self) -> None:
        """The sample in the documentation is valid."""
        configuration = load(self.copy(find_examples()), Machine("host1", "", 1, {}))
        self.assertEqual(
            [(each.id, each.znode_path) for each in configuration.services],
            [
                ("web", "/services/web/10.0.0.7:8080"),
                ("redis", "/services/redis/10.0.0.7:6379"),
                ("worker-1", "/services/worker/host1-1"),
                ("worker-2", "/services/worker/host1-2"),
            ],
        )
        self.assertEqual(configuration.services[0].data, {"region": "us-east-1", "version": "1.4.2", "weight": 100})

    def copy(self, examples: Path) -> Path:
        """Return a copy of the sample, to which only its owner may write."""
        folder = Path(self.mktemp())
        for name in ("daemon.toml", "daemon.d/worker.toml"):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((examples / name).read_bytes())
            path.chmod(0o644)
        return folder / "daemon.toml"
