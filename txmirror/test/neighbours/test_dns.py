"""dig and HAProxy ask the daemon's DNS server."""

from __future__ import annotations

import re
import subprocess
import urllib.error
import urllib.request

from txmirror.test.neighbours.case import NeighboursTestCase, need
from txmirror.test.pages.found import tested_blocks
from txmirror.test.zookeeper import free_ports

_SERVICE = """
[[service]]
name = "{name}"
port = {port}
advertise = "{host}"
path = "/services/web"
node = "{{address}}:{{port}}"
labels = {{ color = "{name}" }}
[[service.check]]
type = "tcp"
host = "{host}"
"""
#: Before the lines of the documentation.
_HAPROXY = """
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend web
    bind 127.0.0.1:{port}
    default_backend web
"""
#: Its names, and the addresses at which it runs.
_WEBS = {"one": "127.0.0.41", "two": "127.0.0.42"}


class DNSTests(NeighboursTestCase):
    def dig(self, *arguments: str) -> tuple[str, list[list[str]], str]:
        """Return the status of an answer, the fields of its records, and all that dig writes."""
        command = [self.program, "@127.0.0.1", "-p", str(self.port), "+tries=1", "+time=5", *arguments]
        text = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout
        status = re.search(r"status: (\w+)", text)
        records = [line.split() for line in text.splitlines() if line and not line.startswith(";")]
        return "" if status is None else status[1], records, text

    def fetch(self, port: int) -> set[str]:
        """Return the answers to some requests through HAProxy."""
        found = set()
        for _ in range(4):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as reply:
                    found.add(reply.read().decode())
            except urllib.error.HTTPError as error:
                found.add(str(error.code))
            except OSError:
                found.add("unreachable")
        return found

    def test_readers(self) -> None:
        """dig reads short and long lists and all codes; HAProxy uses the instances, and after the end of one only the other."""
        self.program, haproxy = need("dig", "bind9-dnsutils"), need("haproxy", "haproxy")
        self.connect("/test_dns")
        self.port, port = free_ports(2)
        self.client.ensure_path("/services/empty")
        for number in range(60):
            self.client.create(f"/services/many/10.1.0.{number}:80", b"{}", makepath=True)
        webs = {name: self.web_server(name, host) for name, host in _WEBS.items()}
        services = [_SERVICE.format(name=name, host=web.host, port=web.port) for name, web in webs.items()]
        twistd = self.daemon(*services, f'[dns]\nlisten = "127.0.0.1:{self.port}"\n')
        web = "web.service.mirror"

        self.wait(lambda: len(self.dig(web, "A")[1]) == len(_WEBS) or None, "both instances are in DNS")
        status, records, _ = self.dig("_web._tcp.service.mirror", "SRV", "+noadditional")
        targets = {name: f"{bytes(map(int, each.host.split('.'))).hex()}.addr.mirror." for name, each in webs.items()}
        expected = {(str(each.port), targets[name]) for name, each in webs.items()}
        self.assertEqual((status, {(fields[6], fields[7]) for fields in records}), ("NOERROR", expected))
        self.assertEqual(self.dig("+short", f"one.{web}", "A")[1], [[webs["one"].host]])
        self.assertEqual(self.dig("+short", "7f00002a.addr.mirror", "A")[1], [["127.0.0.42"]])

        dig, lines = tested_blocks("docs/operations/daemon.rst", __name__)
        command = [self.program if word == "dig" else word.replace("8600", str(self.port)) for word in dig.text.split()]
        shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
        self.assertEqual({match in shown for match in targets.values()}, {True}, shown)

        _, records, text = self.dig("many.service.mirror", "SRV", "+ignore", "+bufsize=700", "+noadditional")
        self.assertRegex(text, r"flags: qr aa tc")
        self.assertTrue(5 < len(records) < 60, text)
        for options in (["+noedns"], ["+bufsize=4096"], ["+tcp"]):
            status, records, text = self.dig("many.service.mirror", "SRV", "+noadditional", *options)
            self.assertEqual((status, len({fields[7] for fields in records})), ("NOERROR", 60), text)
            self.assertNotIn("WARNING", text.replace(";; WARNING: recursion requested but not available", ""))

        for name, kind, expected_status, soa in (
            ("no.service.mirror", "A", "NXDOMAIN", True),
            ("empty.service.mirror", "A", "NOERROR", True),
            (web, "AAAA", "NOERROR", True),
            ("example.com", "A", "REFUSED", False),
        ):
            status, records, text = self.dig(name, kind)
            self.assertEqual((status, [fields[3] for fields in records]), (expected_status, ["SOA"] * soa), text)

        (self.folder / "haproxy.cfg").write_text(
            _HAPROXY.format(port=port) + lines.text.replace(":8600", f":{self.port}")
        )
        self.run_program(haproxy, "-W", "-db", "-f", str(self.folder / "haproxy.cfg"), name="haproxy")
        self.wait(lambda: self.fetch(port) == set(_WEBS) or None, "both instances answer", "haproxy")
        webs["two"].stop()
        self.wait(lambda: len(self.dig(web, "A")[1]) == 1 or None, "one instance is in DNS")
        self.wait(lambda: self.fetch(port) == {"one"} or None, "the other one answers", "haproxy")
        self.end(twistd)
