"""The TLS settings of a client. The implementation is in ``tls_wrapper``."""

from __future__ import annotations

from pathlib import Path

import attrs

from txmirror.client.endpoints import TLSWrapper


@attrs.frozen
class TLS:
    """The settings for TLS. It needs ``pip install txmirror[tls]``.

    Files are in PEM, and are read once, when a client is made.
    """

    authority: str | Path | None = None
    """The certificates of the authorities that the client trusts; None trusts the platform's."""
    certificate: str | Path | None = None
    """The client's certificate, followed by any intermediate certificates, and optionally its key; None if the servers do not
    request one."""
    key: str | Path | None = None
    """The unencrypted key of the certificate; None if it is in the same file."""
    check_names: bool = True
    """Whether a server's certificate must contain the name (or the address) with which the client connects."""

    def prepare(self) -> TLSWrapper:
        """Read the files, and return a function that wraps endpoints in TLS.

        :raises ValueError: one of them cannot be read, or is invalid; the message quotes its name.
        :raises ImportError: the packages for TLS are missing.
        """
        try:
            from txmirror.client.tls_wrapper import OpenSSLWrapper  # noqa: PLC0415 - the packages it needs are an extra
        except ImportError:
            raise ImportError("TLS needs more packages: pip install 'txmirror[tls]'") from None
        return OpenSSLWrapper(self.authority, self.certificate, self.key, self.check_names)
