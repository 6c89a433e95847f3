"""HAProxy, with a configuration that a ``[[watch]]`` writes, and reloaded by its command."""

from __future__ import annotations

import urllib.error
import urllib.request

from txmirror.test.neighbours.case import NeighboursTestCase, need
from txmirror.test.zookeeper import free_ports

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
command = ["kill", "-USR2", "{pid}"]
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
        configuration = self.folder / "haproxy.cfg"
        configuration.write_text(_TEMPLATE.format(port=port).partition("{%")[0])
        process = self.run_program(haproxy, "-W", "-db", "-f", str(configuration), name="haproxy")
        webs = {name: self.web_server(name, host) for name, host in _WEBS.items()}
        services = [_SERVICE.format(name=name, host=web.host, port=web.port) for name, web in webs.items()]
        twistd = self.daemon(*services, _WATCH.format(pid=process.pid))
        self.wait(lambda: self.answers(port) == set(_WEBS), "all instances answer", "haproxy")
        webs["two"].stop()
        self.wait(lambda: self.answers(port) == {"one", "three"}, "the survivors answer", "haproxy")
        self.assertIsNone(process.poll())
        self.end(twistd)
