"""Read certificates and keys in PEM. It needs the packages of the extra ``tls``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from OpenSSL import crypto
from twisted.internet import ssl

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
#: The longest file, in bytes: all authorities of a platform have a quarter of a million.
_LONGEST = 2**24


def read_certificates(path: str | Path) -> Sequence[Any]:
    """Return the certificates in a file, in order: at least one.

    :raises ValueError: it cannot be read, or has none that is valid. The message is one line that quotes the path.
    """
    found = []
    for part in _read(path).split(_BEGIN)[1:]:
        body, end, _ = part.partition(_END)
        try:
            found.append(ssl.Certificate.loadPEM((_BEGIN + body + end).encode()))
        except Exception as error:
            # The exceptions differ between releases of pyOpenSSL and cryptography.
            raise ValueError(f"{str(path)!r} has a certificate that cannot be read: {error}") from None
    if not found:
        raise ValueError(f"{str(path)!r} has no certificate in PEM")
    return found


def read_key(path: str | Path) -> Any:
    """Return the private key in a file.

    :raises ValueError: as in :func:`read_certificates`; also if the key is encrypted.
    """
    text = _read(path)
    try:
        # Without a passphrase OpenSSL would prompt on the terminal for that of an encrypted key.
        return crypto.load_privatekey(crypto.FILETYPE_PEM, text.encode(), passphrase=b"")
    except Exception:
        # As above; an encrypted key raises yet another exception.
        raise ValueError(f"{str(path)!r} has no key in PEM, or one that is encrypted") from None


def _read(path: str | Path) -> str:
    try:
        # A device may have no end.
        # Texts around the PEM may be in any encoding.
        with Path(path).open(encoding="ascii", errors="replace") as file:
            text = file.read(_LONGEST + 1)
    except OSError as error:
        raise ValueError(f"{str(path)!r} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        # Its name holds a null character.
        raise ValueError(f"{str(path)!r} cannot be read: {error}") from None
    if len(text) > _LONGEST:
        raise ValueError(f"{str(path)!r} cannot be read: it has more than {_LONGEST} bytes")
    return text
