"""How a client is to speak TLS with the servers. Twisted does the speaking: see ``tls_endpoints``."""

from __future__ import annotations

from pathlib import Path

import attrs

from txmirror.client.endpoints import TLSWrapper


@attrs.frozen
class TLS:
    """How to speak TLS with the servers. It needs ``pip install txmirror[tls]``.

    Files are in PEM, and are read once, when a client is made.
    """

    authority: str | Path | None = None
    """The certificates of those who may vouch for a server; None trusts those whom the platform trusts."""
    certificate: str | Path | None = None
    """The client's own certificate, with those that lead from it to the authority behind it, and maybe its key too;
    None where the servers ask for none."""
    key: str | Path | None = None
    """The key that belongs to it, unencrypted; None if it is in the same file."""
    check_names: bool = True
    """Whether a server's certificate has to bear the name (or the address) by which the server is known here."""

    def prepare(self) -> TLSWrapper:
        """Read the files, and give what puts TLS around the way to a server.

        :raises ValueError: one of them cannot be read, or is not what it should be; the message quotes its name.
        :raises ImportError: the packages for TLS are missing.
        """
        try:
            from txmirror.client.tls_wrapper import OpenSSLWrapper  # noqa: PLC0415 - the packages it needs are an extra
        except ImportError:
            raise ImportError("TLS needs more packages: pip install 'txmirror[tls]'") from None
        return OpenSSLWrapper(self.authority, self.certificate, self.key, self.check_names)
