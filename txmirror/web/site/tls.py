"""TLS for a listener, with or without clients' certificates. It needs the packages of the extra ``tls``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs


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
