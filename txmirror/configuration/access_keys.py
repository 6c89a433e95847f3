"""``[zookeeper.access]``: reads the files for a secured ensemble, and checks all of its keys."""

# Not with "from __future__ import annotations": see probes.py.

from pathlib import Path
from typing import Annotated

import attrs

from txmirror.access import Access, parse_acl
from txmirror.client import TLS, DigestMD5
from txmirror.configuration.errors import InvalidValue
from txmirror.configuration.rules import FileName, Flag, Text
from txmirror.files import check_file, check_private, follow_links, read_secret
from txmirror.placeholders import parse
from txmirror.printable import quote

#: The longest password file, in bytes.
_LONGEST_PASSWORD = 65536


# More than 7 parameters: the class has a field for each key of its table.
@attrs.frozen(kw_only=True)
class AccessKeys:
    """``[zookeeper.access]``: the credentials, the ACL of new nodes, and TLS."""

    username: Annotated[str | None, Text(secret=True)] = attrs.field(default=None, repr=False)
    """The user to authenticate as, with the scheme ``digest`` or with SASL."""
    password_file: Annotated[str | None, FileName()] = None
    """The file with the password (UTF-8; line ends after it are ignored). Only its owner, which is this user or root, may write
    to it, and not everybody may read it."""
    sasl: Annotated[bool, Flag()] = False
    """If true, authenticate with SASL (DIGEST-MD5). It needs ``pip install txmirror[sasl]``."""
    acl: Annotated[str | None, Text(kind="ACL", secret=True)] = attrs.field(default=None, repr=False)
    """The ACL of new nodes, as for :ref:`the command <secured>`. Default: with a ``username``, that user may do everything and
    everybody may read; otherwise everybody may do everything."""
    tls: Annotated[bool | None, Flag()] = attrs.field(
        default=None, metadata={"default": "``true`` with one of the next three keys"}
    )
    """If true, connect with TLS. It needs ``pip install txmirror[tls]``."""
    tls_ca: Annotated[str | None, FileName()] = None
    """The certificates (PEM) of the authorities to trust. Default: the platform's."""
    tls_cert: Annotated[str | None, FileName()] = None
    """The client's own certificate (PEM)."""
    tls_key: Annotated[str | None, FileName()] = None
    """Its key (PEM, unencrypted), if it is not in the same file. Not everybody may read it."""

    def read(self) -> Access:
        """Read the files.

        :raises InvalidValue: a key is invalid, or a file unusable. No message quotes a password, nor a user's name, which may have
            one behind it.
        """
        errors: list[tuple[str, str]] = []
        password = self._password(errors)
        sasl = self._sasl(password, errors)
        tls = self._tls(errors)
        acl = None
        if self.acl is not None:
            try:
                acl = parse(parse_acl, self.acl)
            except ValueError as error:
                errors.append((".acl", str(error)))
        if errors:
            raise InvalidValue(*errors)
        return Access(self.username, password, sasl, tls, acl)

    def _password(self, errors: list[tuple[str, str]]) -> str | None:
        if self.username is not None and ":" in self.username:
            errors.append((".username", "it has a colon: the password belongs in password_file"))
        if (self.username is None) != (self.password_file is None):
            errors.append(("", "username and password_file go together: one is there without the other"))
        if self.password_file is None:
            return None
        try:
            return _read_password(self.password_file)
        except ValueError as error:
            errors.append((".password_file", str(error)))
            return None

    def _sasl(self, password: str | None, errors: list[tuple[str, str]]) -> DigestMD5 | None:
        if not self.sasl:
            return None
        if self.username is None:
            errors.append((".sasl", "it needs username and password_file"))
        if self.username is None or password is None:
            return None
        try:
            return DigestMD5(self.username, password)
        except ImportError as error:
            errors.append((".sasl", str(error)))
            return None

    def _tls(self, errors: list[tuple[str, str]]) -> TLS | None:
        files = {"tls_ca": self.tls_ca, "tls_cert": self.tls_cert, "tls_key": self.tls_key}
        named = {key: file for key, file in files.items() if file is not None}
        if self.tls is False:
            errors += [(f".{key}", "it is not used, because tls is false") for key in named]
        if not (named if self.tls is None else self.tls):
            return None
        unusable = False
        for key, file in named.items():
            try:
                _check(file, private=key == "tls_key")
            except ValueError as error:
                errors.append((f".{key}", str(error)))
                unusable = True
        tls = TLS(self.tls_ca, self.tls_cert, self.tls_key)
        if unusable:
            return None
        try:
            tls.prepare()
        except (ValueError, ImportError) as error:
            message = str(error)
            for file in named.values():
                # Hides the values of environment variables.
                message = message.replace(repr(str(file)), repr(file))
            key = next((key for key, file in named.items() if repr(file) in message), "tls")
            errors.append((f".{key}", message))
        return tls


def _check(name: str, *, private: bool) -> None:
    """Check a file before a library opens it, which a FIFO would block.

    :param private: whether not everybody may read it.
    :raises ValueError: it is unusable.
    """
    try:
        path = follow_links(Path(name))
        check_file(path)
        if private:
            check_private(path, path.stat())
    except (OSError, ValueError) as error:
        raise ValueError(_describe(name, error)) from None


def _read_password(name: str) -> str:
    try:
        password = read_secret(name, largest=_LONGEST_PASSWORD).rstrip(b"\r\n").decode()
    except (OSError, ValueError) as error:
        raise ValueError(_describe(name, error)) from None
    if not password:
        raise ValueError(f"{quote(name)} is empty")
    return password


def _describe(name: str, error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        reason = "it is not UTF-8"
    elif isinstance(error, OSError):
        reason = error.strerror or str(error)
    else:
        reason = str(error)
    return f"{quote(name)} cannot be used: {reason}"
