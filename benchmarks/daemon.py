"""Runs the daemon with the checks of many services, on a real ZooKeeper that it starts: ``daemon.py --services 200 --checks 2``.

It prints the daemon's CPU time in steady state, as a part of one core; its memory; the transactions that ZooKeeper committed
meanwhile, of which there may be none; and the time from when a service stops listening until its znode is gone, as another
process sees it, with kazoo. The services listen in a process of their own.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

from embedded_workloads import cpu_of, memory_of
from kazoo.client import KazooClient
from listeners import Listeners, make_parser
from registry import until, zxid
from run import JVM_OPTIONS

from txmirror.test.zookeeper import ZooKeeperProcess

#: The parent of the znodes of all services.
PATH = "/txmirror-daemon"

_HEAD = """
version = 1
[zookeeper]
servers = "{servers}"
session_timeout = "{timeout:g}s"
state_file = "state"
[host]
allow_loopback = true
advertise = "127.0.0.1"
[daemon]
control = "control.sock"
[defaults]
path = "{path}"
node = "{{name}}"
check = {{ interval = "{interval:g}s", timeout = "1s" }}
"""
_SERVICE = """
[[service]]
name = "service-{number}"
port = {port}
"""
_CHECK = """[[service.check]]
type = "tcp"
"""


def measure(options: argparse.Namespace, server: ZooKeeperProcess, folder: Path, listeners: Listeners) -> None:
    """Start the daemon, and print the figures."""
    head = _HEAD.format(servers=server.address, timeout=10, path=PATH, interval=options.interval)
    services = [_SERVICE.format(number=number, port=port) for number, port in enumerate(listeners.ports)]
    (folder / "txmirror.toml").write_text(head + "".join(each + _CHECK * options.checks for each in services))
    client = KazooClient(server.address)
    client.start()
    client.ensure_path(PATH)
    present: set[str] = set()
    gone: dict[str, float] = {}

    def changed(children: list[str]) -> None:
        for name in present - set(children):
            gone[name] = time.perf_counter()
        present.clear()
        present.update(children)

    client.ChildrenWatch(PATH, changed)
    command = [
        str(Path(sys.executable).with_name("twistd")),
        "-n",
        "--pidfile=",
        "txmirror",
        "--config",
        "txmirror.toml",
    ]
    pause = threading.Event()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as daemon:
        try:
            begun = time.perf_counter()
            started = until(lambda: len(present) == options.services) - begun
            pause.wait(options.interval)
            before, used, begun = zxid(server), cpu_of(daemon.pid), time.perf_counter()
            pause.wait(options.seconds)
            used = (cpu_of(daemon.pid) - used) / (time.perf_counter() - begun)
            written = int(zxid(server), 16) - int(before, 16)
            print(
                f"{options.services} services, {options.services * options.checks} tcp checks each {options.interval:g} s"
            )
            print(f"registered: all after {started:.1f} s")
            print(
                f"steady state, {options.seconds:g} s: CPU {used:.2%} of a core, {memory_of(daemon.pid):.0f} MiB, {written} writes"
            )
            begun = time.perf_counter()
            for number in range(options.failing):
                listeners.stop_listening(number)
            until(lambda: len(gone) == options.failing)
            delays = [each - begun for each in gone.values()]
            print(
                f"from a failure to the absence of the znode, {options.failing} services: least {min(delays):.1f} s, "
                f"median {statistics.median(delays):.1f} s, most {max(delays):.1f} s"
            )
        finally:
            daemon.send_signal(signal.SIGTERM)
            client.stop()
            client.close()


def main() -> None:
    """Read the command line, start ZooKeeper and the services, and measure."""
    options = make_parser(__doc__).parse_args()
    server = ZooKeeperProcess(JVM_OPTIONS)
    try:
        server.start()
        with tempfile.TemporaryDirectory() as folder, closing(Listeners(options.services)) as listeners:
            measure(options, server, Path(folder), listeners)
    finally:
        server.cleanup()


if __name__ == "__main__":
    main()
