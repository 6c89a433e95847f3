"""HAProxy, with a configuration that a ``[[watch]]`` writes, and reloaded by its command."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from txmirror.formats import LiveList, render_haproxy_map
from txmirror.output_files.templates import render_template
from txmirror.test.neighbours.case import NeighboursTestCase, need
from txmirror.test.zookeeper import free_ports
from txmirror.types import Instance

_SERVICE = """
[[service]]
name = "{name}"
port = {port}
advertise = "{host}"
path = "/web"
node = "{{address}}:{{port}}"
[[service.check]]
type = "tcp"
host = "{host}"
"""
_WATCH = """
[[watch]]
path = "/web"
output = "haproxy.cfg"
format = "template"
template = "haproxy.cfg.j2"
settle = "100ms"
command = ["{python}", "reload.py"]
"""
#: Reloads HAProxy by its master's socket, and waits: HAProxy ignores commands and signals while it reloads.
_RELOAD = """
import socket, time

def ask(command):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect("master.sock")
        connection.sendall(command)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(4096), b""))

def reloads():
    try:
        fields = [line.split() for line in ask(b"show proc\\n").splitlines()]
    except OSError:
        fields = []  # it is reloading
    return next((int(each[2]) for each in fields if each[1:2] == [b"master"]), None)

before = None
while before is None:
    before = reloads()
try:
    ask(b"reload\\n")
except OSError:
    pass  # it closes the connection
while (reloads() or 0) <= before:
    time.sleep(0.02)
"""
_TEMPLATE = """
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
listen web
    bind 127.0.0.1:{port}
{{% for each in instances %}}
    server {{{{ each.name|replace(":", "-") }}}} {{{{ host_port(each.address, each.port) }}}}
{{% endfor %}}
"""
#: Its names, and the addresses at which it runs.
_WEBS = {"one": "127.0.0.31", "two": "127.0.0.32", "three": "127.0.0.33"}


class HAProxyTests(NeighboursTestCase):
    def answers(self, port: int) -> set[str]:
        """Return the answers to some requests through HAProxy; an error's status for those that fail."""
        found = set()
        for _ in range(6):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as reply:
                    found.add(reply.read().decode())
            except urllib.error.HTTPError as error:
                found.add(str(error.code))
            except OSError:
                found.add("unreachable")
        return found

    def test_routes_to_the_survivors(self) -> None:
        """It sends requests to all instances, and after the end of one only to the others."""
        haproxy = need("haproxy", "haproxy")
        self.connect("/test_haproxy")
        (port,) = free_ports(1)
        (self.folder / "haproxy.cfg.j2").write_text(_TEMPLATE.format(port=port))
        (self.folder / "reload.py").write_text(_RELOAD)
        configuration = self.folder / "haproxy.cfg"
        configuration.write_text(_TEMPLATE.format(port=port).partition("{%")[0])
        process = self.run_program(
            haproxy, "-W", "-db", "-S", "unix@master.sock", "-f", str(configuration), name="haproxy"
        )
        webs = {name: self.web_server(name, host) for name, host in _WEBS.items()}
        services = [_SERVICE.format(name=name, host=web.host, port=web.port) for name, web in webs.items()]
        twistd = self.daemon(*services, _WATCH.format(python=sys.executable))
        self.wait(lambda: self.answers(port) == set(_WEBS), "all instances answer", "haproxy")
        webs["two"].stop()
        self.wait(lambda: self.answers(port) == {"one", "three"}, "the survivors answer", "haproxy")
        self.assertIsNone(process.poll())
        self.end(twistd)

    def test_foreign_instances(self) -> None:
        """It accepts the files that the documented template and the map make of instances with any names, addresses and
        weights.
        """
        haproxy = need("haproxy", "haproxy")
        instances = [
            Instance(name="[::1]:80", address="::1", port=80, weight=10**6),
            Instance(name="a b", address="10.0.0.3", port=80, weight=0),
            Instance(name="a-b", address="host.invalid", port=80),
            Instance(name="é#\"' \\", address="10.0.0.5", port=80),
            Instance(name="evil", address="1.2.3.4:80\nglobal", port=80),
            Instance(name="n" * 20000, address="10.0.0.6", port=80),
        ]
        live = LiveList("web", "/web", instances)
        (self.folder / "web.map").write_bytes(render_haproxy_map(live).content)
        folder = os.environ.get("TXMIRROR_EXAMPLES", str(Path(__file__).parents[3] / "docs" / "examples"))
        (port,) = free_ports(1)
        (self.folder / "haproxy.cfg").write_text(
            "defaults\n    mode http\n    timeout connect 1s\n    timeout client 5s\n    timeout server 5s\n"
            f"listen all\n    bind 127.0.0.1:{port}\n    http-request set-var(txn.a) path,map({self.folder}/web.map)\n"
            + render_template(Path(folder) / "haproxy.cfg.j2", live).content.decode()
        )
        found = subprocess.run(
            [haproxy, "-c", "-f", "haproxy.cfg"], cwd=self.folder, capture_output=True, text=True, check=False
        )
        self.assertEqual(found.returncode, 0, found.stderr)
