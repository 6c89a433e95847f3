"""TLS for a listener, with or without clients' certificates. It needs the packages of the extra ``tls``."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any, Final

import attrs
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

#: The seconds between two looks at the files of a listener.
_FRESH: Final = 1.0


@attrs.frozen
class ServerTLS:
    """A listener's certificate, and the authorities of its clients' certificates.

    :ivar certificate: the file in PEM with the certificate, and the intermediate ones after it.
    :ivar key: the file with its private key; None if that is in the same file.
    :ivar client_ca: the file with the authorities that sign clients' certificates; None if clients need none.
    :ivar required: whether a client without a certificate is refused by TLS. Otherwise it may have a token.
    """

    certificate: str | Path
    key: str | Path | None = None
    client_ca: str | Path | None = None
    required: bool = True

    @property
    def files(self) -> tuple[str | Path, ...]:
        """The names of all files."""
        return tuple(each for each in (self.certificate, self.key, self.client_ca) if each is not None)

    def prepare(self) -> Any:
        """Read the files, and return the factory of OpenSSL's contexts.

        :raises ValueError: a file cannot be read, or is invalid. The message is one line that quotes its name.
        :raises ImportError: the packages of the extra ``tls`` are missing.
        """
        try:
            from twisted.internet import ssl  # noqa: PLC0415 - an extra

            from txmirror.pem import read_certificates, read_key  # noqa: PLC0415 - likewise
        except ImportError as error:
            raise ImportError(f"TLS needs the extra tls: pip install 'txmirror[tls]' ({error})") from None
        for each in self.files:
            _check_kind(each)
        own, *chain = read_certificates(self.certificate)
        options: dict[str, Any] = {
            "certificate": own.original,
            "extraCertChain": [each.original for each in chain],
            "privateKey": read_key(self.key or self.certificate),
        }
        if self.client_ca is not None:
            # Twisted's trustRoot would require a certificate of each client.
            options["caCerts"] = [each.original for each in read_certificates(self.client_ca)]
            options["verify"] = True
            options["requireCertificate"] = self.required
        try:
            factory = ssl.CertificateOptions(**options)
            factory.getContext()
        except Exception as error:
            # Each part of OpenSSL has its own exceptions.
            raise ValueError(f"{str(self.certificate)!r} and its key do not belong together: {error}") from None
        return factory


@implementer(IOpenSSLServerConnectionCreator)
class RenewedContext:
    """The context of OpenSSL for the next connection: it is made anew when a file has changed, as renewed certificates do.

    Files that become invalid are logged once, and the former context stays.

    :param tls: the files.
    :param reactor: measures the time.
    :raises ValueError: as :meth:`ServerTLS.prepare`.
    :raises ImportError: likewise.
    """

    _log = Logger()

    def __init__(self, tls: ServerTLS, reactor: IReactorTime) -> None:
        self._tls = tls
        self._reactor = reactor
        self._seen = self._look()
        self._looked_at = reactor.seconds()
        self._problem: str | None = None
        self._options = tls.prepare()

    def serverConnectionForTLS(self, tlsProtocol: Any) -> Any:
        """Return OpenSSL's part of a new connection."""
        from OpenSSL.SSL import Connection  # noqa: PLC0415 - an extra

        return Connection(self.context(), None)

    def context(self) -> Any:
        """Return the context."""
        now = self._reactor.seconds()
        if not 0 <= now - self._looked_at < _FRESH:
            self._looked_at = now
            self._renew()
        return self._options.getContext()

    def _renew(self) -> None:
        seen = self._look()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._options = self._tls.prepare()
        except (ValueError, ImportError) as error:
            if str(error) != self._problem:
                self._problem = str(error)
                self._log.error("The former certificate stays in use: {problem}.", problem=self._problem)
        else:
            self._problem = None
            self._log.info("The certificate {path} was read again.", path=str(self._tls.certificate))

    def _look(self) -> list[tuple[int, ...] | None]:
        return [_status_of(each) for each in self._tls.files]


def _status_of(path: str | Path) -> tuple[int, ...] | None:
    """Return a value that differs when a file was changed or replaced; None if it cannot be found."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size


def _check_kind(path: str | Path) -> None:
    """Refuse what could block the reactor, such as a FIFO.

    :raises ValueError: it is no regular file.
    """
    try:
        regular = stat.S_ISREG(Path(path).stat().st_mode)
    except (OSError, ValueError):
        # The attempt to read it has the reason.
        return
    if not regular:
        raise ValueError(f"{str(path)!r} cannot be read: it is not a regular file")
