"""The files for TLS. Connections by TLS are tested with a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from twisted.internet import ssl
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from txmirror.client import TLS, Limits, ZooKeeperClient
from txmirror.test.certificates import Authority
from txmirror.test.models import record_complaints
from txmirror.testing import MemoryReactor


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.authority = Authority(self.folder, "authority")
        self.certificate = self.authority.vouch("client")

    def make(self, tls: TLS) -> ZooKeeperClient:
        return ZooKeeperClient("zoo.example", tls=tls, reactor=MemoryReactor())

    def refused(self, tls: TLS, *said: str) -> None:
        """Check that making a client fails, with one line that contains all of these texts."""
        error = self.assertRaises(ValueError, self.make, tls)
        self.assertNotIn("\n", str(error))
        for part in said:
            self.assertIn(part, str(error))

    def write(self, name: str, text: str) -> Path:
        file = self.folder / name
        file.write_text(text)
        return file

    def test_good(self) -> None:
        """Files that belong together do; as names, too; with the key in a file of its own, and others behind it."""
        self.make(TLS())
        self.make(TLS(self.authority.file))
        self.make(TLS(str(self.authority.file), str(self.certificate)))
        key, begin, certificate = self.certificate.read_text().partition("-----BEGIN CERTIFICATE-----")
        chain = begin + certificate + self.authority.file.read_text()
        self.make(TLS(self.authority.file, self.write("chain.pem", chain), self.write("key.pem", key)))

    def test_missing(self) -> None:
        """A file that is not there is named."""
        missing = str(self.folder / "missing.pem")
        self.refused(TLS(missing), missing, "No such file")
        self.refused(TLS(self.authority.file, missing), missing)
        self.refused(TLS(self.authority.file, self.certificate, missing), missing)

    def test_something_else(self) -> None:
        """A file without a certificate or key is named, and so is one with a broken certificate."""
        other = self.write("other.pem", "# nothing in here\n")
        broken = self.write("broken.pem", "-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n")
        self.refused(TLS(other), str(other), "no certificate")
        self.refused(TLS(broken), str(broken), "cannot be read")
        self.refused(TLS(self.authority.file, self.authority.file), str(self.authority.file), "no key")
        binary = self.folder / "binary.pem"
        binary.write_bytes(bytes(range(256)))
        self.refused(TLS(binary), f"{str(binary)!r} has no certificate in PEM")

    def test_comments(self) -> None:
        """Texts around the certificates may be in any encoding, as in those of ``openssl x509 -text``."""
        for encoding in ("utf-8", "latin-1"):
            file = self.folder / "bundle.pem"
            file.write_bytes("# Főtanúsítvány ü\n".encode(encoding, "replace") + self.authority.file.read_bytes())
            self.make(TLS(file))

    def test_other_key(self) -> None:
        """A key that belongs to another certificate is found out at once."""
        other = self.authority.vouch("other")
        self.refused(TLS(self.authority.file, self.certificate, other), str(self.certificate), "belong together")

    def test_key_alone(self) -> None:
        """A key without a certificate is of no use."""
        self.refused(TLS(self.authority.file, key=self.certificate), str(self.certificate), "no certificate")


class NameCheckTests(TestCase):
    """Servers whose certificate does not say whose it is, though an authority has vouched for it."""

    timeout = 20

    def serve(self, certificate: Path) -> tuple[int, list[bytes], Deferred[None]]:
        """Listen with a certificate. Return the port, the data of the clients, and a Deferred for the end of the first
        connection.
        """
        from twisted.internet import reactor

        heard: list[bytes] = []
        gone: Deferred[None] = Deferred()

        class Listener(Protocol):
            def dataReceived(self, data: bytes) -> None:
                heard.append(data)
                cast(ITCPTransport, self.transport).loseConnection()

            def connectionLost(self, reason: Failure = connectionDone) -> None:
                if not gone.called:
                    gone.callback(None)

        pem = certificate.read_text()
        options = ssl.PrivateCertificate.loadPEM(pem).options()
        factory = Factory.forProtocol(Listener)
        factory.noisy = False
        port: Any = cast(Any, reactor).listenSSL(0, factory, options, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return port.getHost().port, heard, gone

    async def greeted(self, certificate: Path, host: str) -> bool:
        """Return whether a client sends anything to such a server."""
        port, heard, gone = self.serve(certificate)
        tls = TLS(self.authority.file)
        client = ZooKeeperClient(f"{host}:{port}", session_timeout=3.0, tls=tls, limits=Limits(close_time=0.2))
        connected = client.connect()
        connected.addErrback(lambda _: None)
        await gone
        await client.close()
        return bool(heard)

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.authority = Authority(self.folder, "authority")

    def test_names(self) -> Deferred[None]:
        """Only a server whose certificate has its name is accepted: not one without a name, with a wildcard, or with
        another name.
        """

        async def test() -> None:
            self.assertTrue(await self.greeted(self.authority.vouch("good", "localhost"), "localhost"))
            self.assertFalse(await self.greeted(self.authority.vouch("localhost"), "localhost"))
            self.assertFalse(await self.greeted(self.authority.vouch("nobody"), "127.0.0.1"))
            self.assertFalse(await self.greeted(self.authority.vouch("everybody", "*"), "localhost"))
            self.assertFalse(await self.greeted(self.authority.vouch("other", "zoo.example"), "localhost"))

        return Deferred.fromCoroutine(test())

    def test_reasons(self) -> Deferred[None]:
        """The log has the reason why a server's certificate is not accepted, in plain words."""
        other = Authority(self.folder, "other")

        async def test() -> None:
            complaints = record_complaints(self)
            await self.greeted(self.authority.vouch("named", "zoo.example"), "localhost")
            await self.greeted(other.vouch("untrusted", "localhost"), "localhost")
            reasons = [line.partition(" (")[2] for line in complaints]
            self.assertEqual(
                reasons,
                [
                    "the connection broke: the server's certificate does not name 'localhost'). Retrying.",
                    "the connection broke: certificate verify failed). Retrying.",
                ],
            )

        return Deferred.fromCoroutine(test())
