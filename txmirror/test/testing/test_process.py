"""The server in a process of its own, and the fixtures for pytest, in a run of pytest of their own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from txmirror.testing import ServerProcess

_TESTS = '''
import sys
import pytest

def test_light():
    """First of all: nothing was imported for the fixtures that nobody has used yet."""
    assert "txmirror.testing.pytest_plugin" in sys.modules
    assert "twisted" not in sys.modules

def test_world(zookeeper_world):
    client = zookeeper_world.client()
    zookeeper_world.result(client.create("/a", b"1"))
    assert zookeeper_world.result(client.get("/a"))[0] == b"1"

def test_another_world(zookeeper_world):
    assert zookeeper_world.result(zookeeper_world.client().get_children("/")) == ["zookeeper"]

def test_left(zookeeper_world):
    zookeeper_world.reactor.callLater(3, print)

class TestSettings:
    @pytest.fixture
    def zookeeper_settings(self):
        return {"tick_time": 1.5}

    def test_settings(self, zookeeper_world):
        assert zookeeper_world.client(session_timeout=0.1).session_timeout == 3.0
'''


class ServerProcessTests(SynchronousTestCase):
    def test_life(self) -> None:
        """The server listens at its address, exits with status 0 when it is stopped, and may be stopped again."""
        with ServerProcess(tick_time=1.5, ttl_nodes=True) as server:
            self.assertEqual(server.connect_string, f"{server.host}:{server.port}")
            with socket.create_connection((server.host, server.port), 5.0) as asker:
                asker.sendall(b"conf")
                self.assertIn("tickTime=1500\n", asker.makefile().read())
            self.assertIn("in-memory", server.output)
            os.kill(server.pid, 0)
            self.assertEqual(server.stop(), 0)
        self.assertEqual(server.stop(), 0)
        self.assertRaises(ProcessLookupError, os.kill, server.pid, 0)
        self.assertIn("Stopped.", server.output)
        self.assertRaises(ConnectionRefusedError, socket.create_connection, (server.host, server.port))

    def test_does_not_start(self) -> None:
        """A server that does not start raises an error with its output and its exit status."""
        program = Path(self.mktemp()).absolute()
        program.write_text("#!/bin/sh\necho not today\nexec false\n")
        program.chmod(0o700)
        self.patch(sys, "executable", str(program))
        error = self.assertRaises(RuntimeError, ServerProcess, version="3.9")
        self.assertIn("exit status 1, ", str(error))
        self.assertIn("'--imitate=3.9'", str(error))
        self.assertTrue(str(error).endswith("\nnot today\n"), str(error))


class FixtureTests(SynchronousTestCase):
    def test_fixtures(self) -> None:
        """pytest finds the fixtures, and the world's fixture reports open objects. (The other fixture has an example in
        the docs.)
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "test_fixtures.py").write_text(_TESTS)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        # To rewrite assertions, and to load hypothesis's own plugin, take longer than all the rest.
        options = ("-q", "--color=no", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        self.assertRegex(done.stdout.splitlines()[-1], r"^5 passed, 1 error in ", done.stdout + done.stderr)
        self.assertIn("left in the world: a delayed call of print in 3 s", done.stdout)
        self.assertIn("ERROR test_fixtures.py::test_left", done.stdout)
