"""Runs one process that mirrors, and applies the faults of W7h and W7r to its connection."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

from mirrored import Nodes
from proxy import Proxy

HERE = Path(__file__).parent
#: How long a new connection is held in W7h, and how long connections are refused in W7r, in seconds.
HELD, REFUSED = 0.2, 2.0
_LIMIT = 300.0


def run_mirrors(peer: str, workload: str, port: int, count: int, mirrors: int = 1) -> dict[str, float]:
    """Mirror a number of leaves, a number of times, in a process of its own.

    :param port: the server's port.
    :returns: the figures of the workload; and those of the warm-up, under names that begin with ``warm``.
    """
    nodes, proxy = Nodes(f"127.0.0.1:{port}", count), Proxy(port)
    command = [sys.executable, str(HERE / f"{peer}_mirrors.py"), workload, proxy.address, str(count), str(mirrors)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        killer = threading.Timer(_LIMIT, process.kill)
        killer.start()
        try:
            warm = _said(process)
            if workload == "W6":
                figures = warm
            elif workload == "W8":
                figures = _said(process)
            else:
                figures = _cut(process, proxy, nodes, refuse=workload == "W7r")
            if process.wait():
                raise SystemExit(f"a mirror has ended with status {process.returncode}: {process.args!r}")
        finally:
            killer.cancel()
            process.kill()
            proxy.close()
    nodes.remove()
    return {**figures, **{f"warm {key}": value for key, value in warm.items()}}


def _cut(process: subprocess.Popen[str], proxy: Proxy, nodes: Nodes, *, refuse: bool) -> dict[str, float]:
    _read(process)
    proxy.cut(refuse=refuse)
    nodes.change()
    if refuse:
        threading.Event().wait(REFUSED)
    else:
        proxy.came.wait()
        threading.Event().wait(HELD)
    process.send_signal(signal.SIGUSR1)
    proxy.open()
    figures = _said(process)
    held = nodes.read()
    while shown := process.stdout and process.stdout.readline():
        if json.loads(shown) != held:
            raise SystemExit(f"a mirror does not show what is there: {process.args!r}")
    return figures


def _said(process: subprocess.Popen[str]) -> dict[str, float]:
    figures: dict[str, float] = json.loads(_read(process))
    return figures


def _read(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"a mirror has failed, with status {process.wait()}: {process.args!r}")
    return line
