"""The services whose checks are measured: a process that listens on ports of loopback, and stops listening on single ones."""

from __future__ import annotations

import argparse
import json
import os
import selectors
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any


class Listeners:
    """A child process that accepts connections on ``count`` ports, and closes them.

    :ivar ports: the ports.
    """

    def __init__(self, count: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.ports: list[int] = json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End the child."""
        self._process.communicate(timeout=10.0)

    def stop_listening(self, number: int) -> None:
        """Stop listening on the port with this index."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{number}\n")
        self._process.stdin.flush()


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser for the options of a benchmark of checks."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--services", type=int, default=200)
    parser.add_argument("--checks", type=int, default=2, help="the number of checks of each service")
    parser.add_argument("--interval", type=float, default=10.0, help="the seconds between two probes")
    parser.add_argument("--seconds", type=float, default=60.0, help="the time to measure in steady state")
    parser.add_argument("--failing", type=int, default=20, help="the number of services that stop listening")
    return parser


def serve(count: int) -> None:
    """Accept connections on ``count`` ports, and close them; close a port for each line on standard input."""
    selector = selectors.DefaultSelector()
    listening = [socket.create_server(("127.0.0.1", 0), backlog=100) for _ in range(count)]
    for each in listening:
        each.setblocking(False)
        selector.register(each, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    print(json.dumps([each.getsockname()[1] for each in listening]), flush=True)
    while True:
        for key, _ in selector.select():
            if key.fileobj is not sys.stdin:
                _accept(key.fileobj)
                continue
            lines = os.read(0, 65536).split()
            if not lines:
                return
            for line in lines:
                closing = listening[int(line)]
                selector.unregister(closing)
                closing.close()


def _accept(listening: Any) -> None:
    """Accept all connections that wait, and close them."""
    try:
        while True:
            listening.accept()[0].close()
    except BlockingIOError:
        pass


if __name__ == "__main__":
    serve(int(sys.argv[1]))
