"""The native client, the command and the daemon at a real server that requires TLS, or SASL authentication."""

from __future__ import annotations

import atexit
import functools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import attrs
from twisted.internet.defer import gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase

from txmirror.client import TLS, DigestMD5, ZooKeeperClient
from txmirror.errors import AuthFailedException, NoAuthException
from txmirror.test.certificates import Authority
from txmirror.test.client.contract import ContractCase, ContractServer, run
from txmirror.test.integration.test_client_contract import Own
from txmirror.test.integration.test_twistd import TWISTD, Twistd
from txmirror.test.zookeeper import ZooKeeperProcess, free_ports
from txmirror.types import ACL, EventType, Permission, SessionState

_JAAS = """\
Server {
    org.apache.zookeeper.server.auth.DigestLoginModule required
    user_bob="builder";
};
"""


@attrs.frozen
class Secured:
    """A server with a port for TLS besides the plain one, SASL at both, and the files that it takes to get in."""

    process: ZooKeeperProcess
    port: int
    authority: Path
    client: Path
    stranger: Path
    stranger_authority: Path

    def tls(self, **changes: Any) -> TLS:
        """Return TLS settings that the servers accept, or changed ones."""
        return attrs.evolve(TLS(self.authority, self.client), **changes)


@functools.cache
def secured_server() -> Secured:
    """The server that all tests here share."""
    process = ZooKeeperProcess()
    atexit.register(process.cleanup)
    home = process.home
    authority, other = Authority(home, "authority"), Authority(home, "other")
    (port,) = free_ports(1)
    (home / "jaas.conf").write_text(_JAAS)
    process.jvm_options += [
        "-Dzookeeper.serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
        f"-Djava.security.auth.login.config={home / 'jaas.conf'}",
    ]
    process.configuration += [
        f"secureClientPort={port}",
        "secureClientPortAddress=127.0.0.1",
        f"ssl.keyStore.location={authority.vouch('server', 'localhost')}",
        "ssl.keyStore.type=PEM",
        f"ssl.trustStore.location={authority.file}",
        "ssl.trustStore.type=PEM",
        "ssl.clientAuth=need",
        "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
    ]
    process.start()
    return Secured(process, port, authority.file, authority.vouch("client"), other.vouch("stranger"), other.file)


class SecuredCase(ContractCase):
    """A client at that server."""

    timeout = 60

    async def start_server(self) -> ContractServer:
        self.secured = await deferToThread(secured_server)
        self.warnings: list[str] = []
        observer = cast(ILogObserver, self._note)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        return Own(self.secured.process)

    def _note(self, event: LogEvent) -> None:
        if event["log_level"] >= LogLevel.warn:
            self.warnings.append(formatEvent(event))

    def make_client(self, servers: str, session_timeout: float) -> Any:
        return ZooKeeperClient(servers, session_timeout=session_timeout)

    def new_client(self, server: str, **arguments: Any) -> ZooKeeperClient:
        """Make a client that is closed in the end."""
        client = ZooKeeperClient(server, session_timeout=self.session_timeout, **arguments)
        self._clients.append(client)
        return client


class TLSTests(SecuredCase, TestCase):
    """The clients and servers that TLS accepts."""

    # Longer than the server is away.
    session_timeout = 8.0

    @property
    def address(self) -> str:
        return f"localhost:{self.secured.port}"

    async def turned_away(self, client: ZooKeeperClient) -> str:
        """Check that a client gets no session in the time of several attempts, and return its messages."""
        waiting = client.connect()
        await self.pause(0.7)
        self.assertNoResult(waiting)
        self.assertIs(client.session.state, SessionState.CONNECTING)
        await client.close()
        await self.fails(Exception, waiting)  # type: ignore[arg-type]
        return "\n".join(self.warnings)

    @run
    async def test_much(self) -> None:
        """Long and numerous requests, and events, pass as without TLS."""
        client = self.new_client(self.address, tls=self.secured.tls())
        await self.within(client.connect())
        long = bytes(range(256)) * 4000
        await client.create(f"{self.root}/long", long)
        answer, watch = client.get_and_watch(f"{self.root}/long")
        self.assertEqual((await answer)[0], long)
        made = await self.within(gatherResults([client.create(f"{self.root}/{n}", b"%d" % n) for n in range(1000)]))
        read = await self.within(gatherResults([client.get(path) for path in made]))
        self.assertEqual([data for data, _ in read], [b"%d" % n for n in range(1000)])
        await self.client.set(f"{self.root}/long", b"")
        self.assertEqual((await self.within(watch)).type, EventType.CHANGED)

    @run
    async def test_reconnection(self) -> None:
        """A session goes on over TLS when its server was killed and comes back."""
        client = self.new_client(self.address, tls=self.secured.tls())
        await self.within(client.connect())
        session = client.session_id
        await client.create(f"{self.root}/e", ephemeral=True)
        await deferToThread(self.secured.process.kill)
        await deferToThread(self.secured.process.start)
        self.assertEqual(await self.within(client.get_children(self.root), 10), ["e"])
        self.assertEqual((client.session_id, client.session.session_number), (session, 1))

    @run
    async def test_no_certificate(self) -> None:
        """A server that requires a certificate refuses a client without one."""
        await self.turned_away(self.new_client(self.address, tls=TLS(self.secured.authority)))

    @run
    async def test_certificate_of_a_stranger(self) -> None:
        """A server that requires a certificate refuses a client with one that another authority has signed."""
        await self.turned_away(self.new_client(self.address, tls=self.secured.tls(certificate=self.secured.stranger)))

    @run
    async def test_server_of_a_stranger(self) -> None:
        """A client refuses a server whose certificate no trusted authority has signed, and the error has the reason."""
        tls = self.secured.tls(authority=self.secured.stranger_authority)
        says = "(the connection broke: certificate verify failed)"
        self.assertIn(says, await self.turned_away(self.new_client(self.address, tls=tls)))

    @run
    async def test_other_name(self) -> None:
        """A client refuses a server whose certificate does not contain its name, unless names are not to be checked."""
        address = f"127.0.0.1:{self.secured.port}"
        says = "(the connection broke: the server's certificate does not name '127.0.0.1')"
        self.assertIn(says, await self.turned_away(self.new_client(address, tls=self.secured.tls())))
        client = self.new_client(address, tls=self.secured.tls(check_names=False))
        await self.within(client.connect())
        self.assertIn(self.root.strip("/"), await client.get_children("/"))

    @run
    async def test_unchecked_names_of_a_stranger(self) -> None:
        """Without the check of names, the authorities are still checked."""
        tls = self.secured.tls(authority=self.secured.stranger_authority, check_names=False)
        self.assertIn("certificate verify failed", await self.turned_away(self.new_client(self.address, tls=tls)))

    @run
    async def test_plain(self) -> None:
        """A client that speaks plainly to a port for TLS, or TLS to a plain one, gets no session."""
        await self.turned_away(self.new_client(self.address))
        plain = f"localhost:{self.secured.process.port}"
        await self.turned_away(self.new_client(plain, tls=self.secured.tls()))

    @run
    async def test_identity(self) -> None:
        """A client with a certificate is identified by it."""
        client = self.new_client(self.address, tls=self.secured.tls())
        await self.within(client.connect())
        self.assertIn(("x509", "CN=client"), await client.who_am_i())


class SaslTests(SecuredCase, TestCase):
    """Authentication by SASL."""

    session_timeout = 8.0

    def sasl_client(self, password: str) -> ZooKeeperClient:
        return self.new_client(self.secured.process.address, sasl=DigestMD5("bob", password))

    @run
    async def test_identity(self) -> None:
        """An ACL applies to a client that has authenticated, also after a reconnection; others are refused."""
        bob = self.sasl_client("builder")
        await self.within(bob.connect())
        self.assertIn(("sasl", "bob"), await bob.who_am_i())
        mine = f"{self.root}/bobs"
        await bob.create(mine, b"1", [ACL(Permission.ALL, "sasl", "bob")])
        await self.fails(NoAuthException, self.client.get(mine))
        session = bob.session_id
        await deferToThread(self.secured.process.kill)
        waiting = bob.set(mine, b"2", 0)
        await deferToThread(self.secured.process.start)
        self.assertEqual((await self.within(waiting, 10)).version, 1)
        self.assertEqual(bob.session_id, session)
        await bob.delete(mine)

    @run
    async def test_wrong_password(self) -> None:
        """A client with a wrong password fails once, and does not retry; the password is not logged."""
        bob = self.sasl_client("hush-hush")
        states: list[SessionState] = []
        bob.add_listener(lambda event: states.append(bob.session.state))
        queued = bob.get("/")
        error = await self.fails(AuthFailedException, bob.connect())
        await self.fails(AuthFailedException, queued)
        await self.fails(AuthFailedException, bob.get("/"))
        self.assertIn("the server refused the credentials", str(error))
        await deferLater(self.reactor, 0.5)
        self.assertEqual(states, [SessionState.AUTH_FAILED])
        self.assertEqual(len([line for line in self.warnings if "Authentication failed" in line]), 1)
        self.assertNotIn("hush-hush", "".join(self.warnings) + repr(bob))
        await bob.close()
        self.assertIs(bob.session.state, SessionState.CLOSED)

    @run
    async def test_nothing_to_prove(self) -> None:
        """A server that does not do SASL is not taken for one that was convinced."""
        process = self.other_process()
        await deferToThread(process.start)
        bob = self.new_client(process.address, sasl=DigestMD5("bob", "builder"))
        error = await self.fails(AuthFailedException, bob.connect())
        self.assertIn("does not support SASL", str(error))

    def other_process(self) -> ZooKeeperProcess:
        process = ZooKeeperProcess()
        self.addCleanup(process.cleanup)
        return process


class ProgramTests(SynchronousTestCase):
    """The command and the daemon, as processes, with the same options."""

    def setUp(self) -> None:
        self.secured = secured_server()
        self.password = self.mktemp()
        Path(self.password).write_text("builder\n")
        Path(self.password).chmod(0o600)
        self.plain = ("-s", f"localhost:{self.secured.process.port}")
        authority, certificate = os.fspath(self.secured.authority), os.fspath(self.secured.client)
        self.tls = ("-s", f"localhost:{self.secured.port}", "--tls-ca", authority, "--tls-cert", certificate)
        self.bob = ("-u", "bob", "--password-file", str(Path(self.password).absolute()))

    def command(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        """Run the command, and return its status and its output."""
        done = subprocess.run(
            [sys.executable, "-m", "txmirror", *arguments],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        return done.returncode, done.stdout, done.stderr

    def daemon(self, path: str, *options: str) -> Twistd:
        """Start a daemon, and wait until it has registered a service."""
        daemon = Twistd(*options, "--register", path)
        self.addCleanup(daemon.cleanup)
        daemon.wait_for(f"Registered {path}.")
        return daemon

    def test_digest_and_tls(self) -> None:
        """With TLS and the scheme digest, only that user may change the created nodes, and everybody may read them."""
        path, registered = "/secured-digest", "/secured-services/digest/one:1"
        self.assertEqual(self.command("create", path, "1", *self.tls, *self.bob), (0, f"{path}\n", ""))
        daemon = self.daemon(registered, *self.tls, *self.bob)
        for each in (path, registered):
            status, _, err = self.command("set", each, "2", *self.plain)
            self.assertEqual((status, err), (77, f"txmirror: not permitted by the ACL: {each!r}\n"))
            self.assertEqual(self.command("get", each, *self.plain)[0], 0)
        daemon.terminate()
        self.assertEqual(self.command("get", registered, *self.plain)[0], 1)
        self.assertNotIn("builder", daemon.log)
        self.assertEqual(self.command("delete", path, *self.tls, *self.bob), (0, "", ""))

    def test_sasl(self) -> None:
        """With SASL likewise; by variables in the environment, too."""
        path, registered = "/secured-sasl", "/secured-services/sasl/one:1"
        environment = {
            "TXMIRROR_SERVERS": self.plain[1],
            "TXMIRROR_USERNAME": "bob",
            "TXMIRROR_PASSWORD": "builder",
            "TXMIRROR_SASL": "yes",
        }
        self.assertEqual(self.command("create", path, "1", **environment), (0, f"{path}\n", ""))
        daemon = self.daemon(registered, *self.plain, *self.bob, "--sasl")
        for each in (path, registered):
            self.assertEqual(self.command("set", each, "2", *self.plain)[0], 77)
        daemon.terminate()
        self.assertNotIn("builder", daemon.log)
        self.assertEqual(self.command("delete", path, **environment), (0, "", ""))

    def test_endpoint(self) -> None:
        """A server by a string has its user's name, its password and the files for TLS from the file of credentials."""
        credentials = Path(self.mktemp()).absolute()
        lines = (
            "TXMIRROR_USERNAME=bob",
            "TXMIRROR_PASSWORD=builder",
            f"TXMIRROR_TLS_CA={self.secured.authority}",
            f"TXMIRROR_TLS_CERT={self.secured.client}",
        )
        credentials.write_text("\n".join(lines))
        credentials.chmod(0o600)
        path = "/secured-services/endpoint"
        listen = (
            rf"mirror:{path}:listen=tcp\:0:advertise=web\:80:drain=0:hosts=localhost\:{self.secured.port}"
            f":credentials={credentials}"
        )
        web = Twistd("--path", self.mktemp(), "--listen", listen, command=(*TWISTD, "-n", "--pidfile=", "web"))
        self.addCleanup(web.cleanup)
        web.wait_for(f"Registered {path}/web:80.")
        status, _, err = self.command("set", f"{path}/web:80", "2", *self.plain)
        self.assertEqual((status, err), (77, f"txmirror: not permitted by the ACL: '{path}/web:80'\n"))
        web.terminate()
        self.assertEqual(self.command("get", f"{path}/web:80", *self.plain)[0], 1)
        self.assertNotIn("builder", web.log)

    def test_sasl_wrong(self) -> None:
        """A password that the server refuses is reported at once, with the status for that, and is not quoted."""
        status, out, err = self.command(
            "get", "/", *self.plain, "-u", "bob", "--sasl", "--timeout", "20", TXMIRROR_PASSWORD="hush-hush"
        )
        self.assertEqual((status, out), (77, ""))
        self.assertIn("the server refused the credentials", err)
        self.assertNotIn("hush", err)

    def test_daemon_refused(self) -> None:
        """A daemon that the servers refuse, or that refuses them, logs the reason in one line, stays, and can be
        stopped.
        """
        wrong = Path(self.mktemp()).absolute()
        wrong.write_text("hush-hush")
        wrong.chmod(0o600)
        own = "/secured-refused"
        self.assertEqual(self.command("create", own, "--acl", "creator", *self.plain, *self.bob)[0], 0)
        authority, certificate = self.tls[2:4], self.tls[4:6]
        address = ("-s", f"localhost:{self.secured.port}")
        stranger = ("--tls-cert", os.fspath(self.secured.stranger))
        bob = ("-u", "bob", "--password-file", str(wrong))
        cases = {
            "certificate verify failed": (
                *address,
                "--tls-ca",
                os.fspath(self.secured.stranger_authority),
                *certificate,
            ),
            "does not name '127.0.0.1'": ("-s", f"127.0.0.1:{self.secured.port}", *authority, *certificate),
            "broke: tls alert bad certificate": (*address, *authority),
            "broke: tls alert certificate unknown": (*address, *authority, *stranger),
            "the server refused the credentials. Giving up": (*self.plain, *bob, "--sasl"),
            "RegistrationsService#error] Service /secured-refused/one:1 cannot be registered": (*self.plain, *bob),
        }
        for reason, options in cases.items():
            # One after another: a handshake that took too long would be the first reason, and further ones are not logged.
            daemon = Twistd(*options, "--session-timeout", "60", "-r", f"{own}/one:1")
            self.addCleanup(daemon.cleanup)
            daemon.wait_for(reason, 30)
            self.assertIsNone(daemon.process.poll())
            self.assertEqual(daemon.terminate(), -signal.SIGTERM)
            self.assertEqual(daemon.log.count(reason), 1, daemon.log)
            for bad in ("Traceback", "Unhandled", "hush"):
                self.assertNotIn(bad, daemon.log)
            self.assertIn("Stopped.", daemon.log)
        self.assertEqual(self.command("delete", own, *self.plain, *self.bob)[0], 0)
