"""The command asks the AdminServer of a real server that allows no four-letter words but those that the test needs."""

from __future__ import annotations

import atexit
import functools
import json
import socket
import subprocess
import sys
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.zookeeper import ZooKeeperProcess, free_ports


@functools.cache
def shared_server() -> tuple[ZooKeeperProcess, int]:
    """One server for all tests here, and the port of its AdminServer."""
    (port,) = free_ports(1)
    server = ZooKeeperProcess(
        configuration=[
            *("admin.enableServer=true", "admin.serverAddress=127.0.0.1", f"admin.serverPort={port}"),
            "4lw.commands.whitelist=srvr,conf",
        ]
    )
    atexit.register(server.cleanup)
    server.start()
    return server, port


class AdminServerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server, self.port = shared_server()
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5.0).close()
        except ConnectionRefusedError:
            raise SkipTest("this ZooKeeper has no AdminServer: it needs Jetty") from None

    def lines(self, *arguments: str) -> list[dict[str, Any]]:
        """Run a command, and return its lines."""
        command = (sys.executable, "-m", "txmirror", *arguments, "-o", "jsonl", "-q", "-s", self.server.address)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_same(self) -> None:
        """The report is that of the words, and has the watches, which these words do not allow to ask."""
        by_words, rest = self.lines("ensemble")
        self.assertEqual(by_words["refused_words"], ["mntr"])
        self.assertIn("or give --admin-port", rest["notes"][0])
        by_http, _ = self.lines("ensemble", "--admin-port", str(self.port))
        for name in ("server", "problem", "mode", "version", "nodes", "lacks", "behind"):
            self.assertEqual(by_http[name], by_words[name], name)
        # The first command's session has made two transactions, after its answer.
        self.assertGreaterEqual(int(by_http["zxid"], 16), int(by_words["zxid"], 16))
        self.assertEqual(by_http["refused_words"], [])
        for name in ("connections", "outstanding", "watches", "ephemerals", "data_bytes"):
            self.assertIsInstance(by_http[name], int, name)

    def test_doctor(self) -> None:
        checks = self.lines("doctor", "--admin-port", str(self.port))
        self.assertEqual({each["level"] for each in checks}, {"ok"})
        self.assertIn("limits", " ".join(each["check"] for each in checks))

    def test_clients(self) -> None:
        """``locks --clients`` finds the address of a session."""
        lock = [sys.executable, "-m", "txmirror", "-s", self.server.address, "lock", "/lock", "--"]
        locks = [sys.executable, "-m", "txmirror", "-s", self.server.address, "locks", "/lock", "--clients"]
        done = subprocess.run(
            [*lock, *locks, "--admin-port", str(self.port), "-o", "jsonl"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        (holder,) = map(json.loads, done.stdout.splitlines())
        self.assertRegex(holder["client"], rf"127\.0\.0\.1:\d+ at {self.server.address}")
