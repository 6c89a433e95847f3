"""Readers of the real ``twistd``: the page of the demonstration, a machine that only serves, and what credentials hide."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import tempfile
import urllib.error
import urllib.request
import uuid
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

from kazoo.security import make_acl, make_digest_acl
from twisted.names import dns

from txmirror.test.certificates import Authority
from txmirror.test.dns.case import ask, decode, show
from txmirror.test.integration.test_secured import secured_server
from txmirror.test.integration.test_twistd import Twistd, TwistdTestCase, wait_for
from txmirror.test.zookeeper import free_ports, shared_server

_PASSWORD = "secret-word"


def fetch(address: str, path: str, token: str | None = None) -> tuple[int, str]:
    """Return the status and the text of an answer; 0 if nobody answers."""
    request = urllib.request.Request(address.rstrip("/") + path)  # noqa: S310 - an address of this machine
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - likewise
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def resolve(port: int, name: str) -> tuple[int, list[str]] | None:
    """Return the code and the records of an answer of DNS; None if there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(3)
        asking.sendto(ask(name), ("127.0.0.1", port))
        try:
            reply = decode(asking.recv(4096))
        except OSError:
            return None
    return reply.rCode, show(reply.answers)


class EmbeddedTests(TwistdTestCase):
    def page(self, twistd: Twistd) -> str:
        """Return the address of the page, as it is logged."""
        return twistd.wait_for("The page is at ").rpartition(" ")[2].rstrip(".")

    def test_page(self) -> None:
        """The demonstration logs the address of its page, which shows the sample service; if the port is taken, at a free port."""
        with socket.socket() as taking:
            taking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                taking.bind(("127.0.0.1", 8580))
                taking.listen()
            except OSError:
                # It is taken already.
                pass
            twistd = self.twistd("--embedded")
            address = self.page(twistd)
            self.assertRegex(address, r"^http://127\.0\.0\.1:[0-9]+/$")
            self.assertNotIn(":8580/", address)
            twistd.wait_for("Registered /services/sample")
            wait_for(lambda: "localhost:8080" in fetch(address, "/v1/services/sample")[1], "the sample service")
            status, text = fetch(address, "/")
            self.assertEqual(status, 200)
            self.assertIn("<html", text)
            self.assertEqual(twistd.terminate(), -signal.SIGTERM)
            self.assertEqual(fetch(address, "/")[0], 0)

    def test_unused_port(self) -> None:
        """Without the demonstration, a port that is taken is tried again, and no other one is taken."""
        with socket.socket() as taking:
            taking.bind(("127.0.0.1", 0))
            taking.listen()
            number = taking.getsockname()[1]
            twistd = self.twistd("--embedded", "--http", str(number))
            line = twistd.wait_for("The page cannot be served at ")
            self.assertIn(f"127.0.0.1:{number}", line)
        self.assertEqual(twistd.terminate(), -signal.SIGTERM)


class ServeTests(TwistdTestCase):
    """A machine that only serves, beside a real ZooKeeper."""

    def setUp(self) -> None:
        self.server = shared_server().address
        self.root = f"/serve-{uuid.uuid4().hex[:8]}"
        self.folder = Path(tempfile.mkdtemp(prefix="txmirror-serve-"))
        self.password = self.folder / "password"
        self.password.write_text(_PASSWORD)
        self.password.chmod(0o600)
        self.http, self.dns = free_ports(2)
        self.address = f"http://127.0.0.1:{self.http}"
        kazoo = self.kazoo(self.server)
        kazoo.add_auth("digest", f"app:{_PASSWORD}")
        own = make_digest_acl("app", _PASSWORD, all=True)
        everybody = [own, make_acl("world", "anyone", read=True)]
        kazoo.create(self.root, b"", acl=everybody)
        for service, node, acl in (("open", "10.0.0.1:80", everybody), ("secret", "10.0.0.2:80", [own])):
            kazoo.create(f"{self.root}/{service}", b"", acl=acl)
            kazoo.create(f"{self.root}/{service}/{node}", json.dumps({"port": 80}).encode(), acl=acl)
        self.addCleanup(kazoo.delete, self.root, recursive=True)

    def serve(self, *options: str) -> Twistd:
        return self.twistd(
            *("serve", "--http", str(self.http), "--dns", str(self.dns), "--servers", self.server, "--root", self.root),
            *options,
        )

    def services(self) -> list[str]:
        status, text = fetch(self.address, "/v1/services")
        return [each["name"] for each in json.loads(text)["services"]] if status == 200 else []

    def assert_hidden(self) -> None:
        """Assert that the open service is shown by HTTP and DNS, and the instances of the other one are not."""
        wait_for(lambda: "open" in self.services(), "the services by HTTP")
        wait_for(
            lambda: resolve(self.dns, "open.service.mirror") == (dns.OK, ["open.service.mirror 10.0.0.1"]),
            "the services by DNS",
        )
        self.assertIn("10.0.0.1", fetch(self.address, "/v1/services/open")[1])
        self.assertNotIn("10.0.0.2", fetch(self.address, "/v1/services/secret")[1])
        self.assertEqual(fetch(self.address, f"/v1/nodes{self.root}/secret")[0], 403)
        answer = resolve(self.dns, "secret.service.mirror")
        self.assertTrue(answer is None or not answer[1], answer)

    def assert_shown(self) -> None:
        """Assert that both services are shown by HTTP and DNS."""
        wait_for(lambda: "10.0.0.2" in fetch(self.address, "/v1/services/secret")[1], "the protected service by HTTP")
        expected = (dns.OK, ["secret.service.mirror 10.0.0.2"])
        wait_for(lambda: resolve(self.dns, "secret.service.mirror") == expected, "the protected service by DNS")

    def test_open(self) -> None:
        """It serves what everybody may read, by HTTP and DNS, and ends at once."""
        twistd = self.serve()
        self.assert_hidden()
        self.assertIn("Reading from ZooKeeper", twistd.log)
        self.assertEqual(json.loads(fetch(self.address, "/v1/daemon")[1])["services"], [])
        self.assertEqual(twistd.terminate(5), -signal.SIGTERM)
        self.assertNotIn("Traceback", twistd.log)

    def test_protected(self) -> None:
        """With --protected it serves what its user may read."""
        self.serve("--protected", "--username", "app", "--password-file", str(self.password))
        self.assert_shown()

    def test_daemon(self) -> None:
        """A daemon with credentials hides what not everybody may read, until a reload says otherwise."""
        (self.folder / "txmirror.toml").write_text(self.configuration(credentials=False))
        twistd = self.twistd("--config", str(self.folder / "txmirror.toml"))
        self.assert_hidden()
        (self.folder / "txmirror.toml").write_text(self.configuration(credentials=True))
        twistd.process.send_signal(signal.SIGHUP)
        twistd.wait_for("Keys of [http] that differ: credentials")
        self.assert_shown()
        (self.folder / "txmirror.toml").write_text(self.configuration(credentials=False))
        twistd.process.send_signal(signal.SIGHUP)
        wait_for(lambda: fetch(self.address, f"/v1/nodes{self.root}/secret")[0] == 403, "it is hidden again")
        self.assert_hidden()
        self.assertEqual(twistd.terminate(), -signal.SIGTERM)
        self.assertNotIn("Traceback", twistd.log)

    def configuration(self, *, credentials: bool, access: str = "", server: str | None = None) -> str:
        access = access or f'username = "app"\npassword_file = "{self.password}"'
        value = json.dumps(credentials)
        return (
            f'[zookeeper]\nservers = "{server or self.server}"\nsession_timeout = 4\n[zookeeper.access]\n{access}\n'
            f'[http]\nlisten = "127.0.0.1:{self.http}"\nroot = "{self.root}"\ncredentials = {value}\n'
            f'[dns]\nlisten = "127.0.0.1:{self.dns}"\nroot = "{self.root}"\ncredentials = {value}\n'
        )

    def test_client_certificate(self) -> None:
        """If ZooKeeper accepts no connection without a client's certificate, the log says which key helps; with it, readers see all."""
        secured = secured_server()
        for file in (secured.authority, secured.client):
            file.chmod(0o600)
        kazoo = self.kazoo(secured.process.address)
        kazoo.create(f"{self.root}/web/10.0.0.3:80", b"{}", makepath=True)
        self.addCleanup(kazoo.delete, self.root, recursive=True)
        access = f'tls_ca = "{secured.authority}"\ntls_cert = "{secured.client}"\ntls_key = "{secured.client}"'
        server = f"localhost:{secured.port}"
        file = self.folder / "txmirror.toml"
        file.write_text(self.configuration(credentials=False, access=access, server=server))
        twistd = self.twistd("--config", str(file))
        line = twistd.wait_for("accepts no session without credentials", 30)
        self.assertIn("Set credentials = true in [http] and [dns]", line)
        self.assertEqual(fetch(self.address, "/v1/services")[0], 503)
        file.write_text(self.configuration(credentials=True, access=access, server=server))
        twistd.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "10.0.0.3" in fetch(self.address, "/v1/services/web")[1], "the services")
        self.assertEqual(twistd.terminate(), -signal.SIGTERM)
        self.assertNotIn("Traceback", twistd.log)

    def test_https(self) -> None:
        """With TLS, this machine may read without a client's certificate; a change needs one, here and at all addresses."""
        authority = Authority(self.folder, "authority")
        server, client = authority.vouch("server", "localhost"), authority.vouch("client")
        for file in (server, client):
            file.chmod(0o600)
        file = self.folder / "txmirror.toml"
        tls = f'certificate = "{server}"\nkey = "{server}"\nclient_ca = "{authority.file}"\n'
        session = f'[zookeeper]\nservers = "{self.server}"\n'
        file.write_text(f'{session}[http]\nlisten = "127.0.0.1:{self.http}"\n{tls}')
        twistd = self.twistd("--config", str(file))
        twistd.wait_for(f"The page is at https://127.0.0.1:{self.http}/.")

        def request(method: str, *certificates: Path) -> int:
            trust = ssl.create_default_context(cafile=str(authority.file))
            for each in certificates:
                trust.load_cert_chain(each)
            connection = HTTPSConnection("localhost", self.http, context=trust, timeout=5)
            try:
                connection.request(method, "/v1/daemon" if method == "GET" else "/v1/daemon/drain")
                return connection.getresponse().status
            except OSError:
                return 0
            finally:
                connection.close()

        self.assertEqual([request("GET"), request("DELETE"), request("DELETE", client)], [200, 403, 200])
        file.write_text(f'{session}[http]\nlisten = "0.0.0.0:{self.http}"\n{tls}')
        twistd.process.send_signal(signal.SIGHUP)
        twistd.wait_for(f"The page is at https://0.0.0.0:{self.http}/.")
        self.assertEqual([request("GET"), request("GET", client)], [0, 200])
        # The new port has waited for the end of the old one.
        self.assertNotIn("cannot be served", twistd.log)
        file.write_text(f'{session}[http]\ncertificate = "{self.password}"\n')
        twistd.process.send_signal(signal.SIGHUP)
        self.assertIn(str(self.password), twistd.wait_for("Not reloaded: http: "))

    def test_token(self) -> None:
        """At all addresses, a token is needed."""
        token = self.folder / "token"
        token.write_text("a-token-that-nobody-guesses\n")
        token.chmod(0o600)
        self.twistd(
            *("serve", "--http", f"0.0.0.0:{self.http}", "--servers", self.server, "--root", self.root),
            *("--token-file", str(token)),
        )
        self.assertEqual(wait_for(lambda: fetch(self.address, "/v1/services")[0], "an answer"), 401)
        self.assertEqual(fetch(self.address, "/v1/services", "a-token-that-somebody-guesses")[0], 401)

        def read() -> Any:
            return fetch(self.address, "/v1/services", "a-token-that-nobody-guesses")[0] == 200

        wait_for(read, "the services with the token")
