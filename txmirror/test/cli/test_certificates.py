"""``doctor`` looks at the certificates of servers: at real connections, because the transports in memory have no TLS."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, cast

from twisted.internet import ssl
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.trial.unittest import TestCase

from txmirror.access import Access
from txmirror.cli.console import Console
from txmirror.cli.diagnosing import doctor
from txmirror.cli.run import Run
from txmirror.cli.settings import Settings
from txmirror.client import TLS
from txmirror.test.certificates import Authority


class CertificateTests(TestCase):
    timeout = 20

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.authority = Authority(self.folder, "authority")

    def listen(self, certificate: Path) -> int:
        """Listen with a certificate, and close each connection that sends something. Return the port."""
        from twisted.internet import reactor

        class Listener(Protocol):
            def dataReceived(self, data: bytes) -> None:
                cast(Any, self.transport).loseConnection()

        factory = ServerFactory()
        factory.protocol = Listener
        options = ssl.PrivateCertificate.loadPEM(certificate.read_text()).options()
        port: Any = cast(Any, reactor).listenSSL(0, factory, options, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    async def check(self, certificate: Path) -> str:
        """Return the line about a server's certificate."""
        from twisted.internet import reactor

        port = self.listen(certificate)
        tls = TLS(self.authority.file)
        settings = Settings(f"localhost:{port}", Access(tls=tls), timeout=2.0, connects=False, close_timeout=0.1)
        out = io.StringIO()
        run = Run(settings, Console(out, io.StringIO()), cast(Any, reactor))
        await run.perform(lambda run: doctor(run, settings, write=None, as_json=False))
        (line,) = (line for line in out.getvalue().splitlines() if " TLS " in line)
        return line.replace(f"localhost:{port}", "server")

    def test_certificates(self) -> Deferred[None]:
        """A certificate is good, expires soon, has expired, is for another name, or is of an unknown authority."""
        other = Authority(self.folder, "other")

        async def test() -> None:
            good = await self.check(self.authority.vouch("good", "localhost", days=40))
            self.assertRegex(good, r"\Aok    TLS server: the certificate is for localhost, until [-0-9]+\Z")
            soon = await self.check(self.authority.vouch("soon", "localhost", days=5.5))
            self.assertRegex(soon, r"\Awarn  TLS server: .* -> renew it: 5 days are left\Z")
            old = await self.check(self.authority.vouch("old", "localhost", days=-0.01))
            self.assertRegex(old, r"\Afail  TLS server: the certificate expired on [-0-9]+ -> renew it\Z")
            name = await self.check(self.authority.vouch("name", "zoo.example"))
            self.assertRegex(name, "\\Afail  TLS server: .*does not name 'localhost' -> use one of its names")
            unknown = await self.check(other.vouch("unknown", "localhost"))
            self.assertRegex(unknown, "certificate verify failed -> give the authority's certificate with --tls-ca")

        return Deferred.fromCoroutine(test())
