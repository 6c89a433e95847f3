"""The options for secured ensembles, shared by the command and the daemon: credentials, ACLs, SASL and TLS.

A password comes from a file or from the environment, never from the command line, where every user of the machine could
read it. No message here quotes a password.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from txmirror.files import read_secret
from txmirror.printable import is_utf8
from txmirror.types import ACL, CREATOR_ALL_ACL, OPEN_ACL, READ_ACL, Permission, digest_acl

if TYPE_CHECKING:
    from txmirror.client import TLS, DigestMD5

#: The longest password file, in bytes.
_LONGEST_PASSWORD = 65536

#: The permissions by their letters.
PERMISSIONS = {
    "c": Permission.CREATE,
    "d": Permission.DELETE,
    "r": Permission.READ,
    "w": Permission.WRITE,
    "a": Permission.ADMIN,
}
_NAMED = {"open": OPEN_ACL, "creator": CREATOR_ALL_ACL, "read-only": READ_ACL}
#: The id in an ACL of the scheme ``digest``: a name, and the SHA-1 of name and password in base64.
_DIGEST = re.compile(r"[^:]+:[A-Za-z0-9+/]{27}=")
_ENDS_IN_PERMISSIONS = re.compile(r":[cdrwa]+$")
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@attrs.frozen
class AccessOption:
    """One option of the command line, and its environment variable."""

    name: str
    """The long name, without the dashes."""
    metavar: str | None
    """The name of its value in the help; None for a flag."""
    help: str
    short: str | None = None

    @property
    def variable(self) -> str:
        """The environment variable."""
        return "TXMIRROR_" + self.name.upper().replace("-", "_")


OPTIONS = (
    AccessOption("username", "NAME", "The user to authenticate as, with the scheme digest or with SASL.", "u"),
    AccessOption("password-file", "FILE", "Read the password from this file. TXMIRROR_PASSWORD may hold it instead."),
    AccessOption("sasl", None, "Authenticate with SASL (DIGEST-MD5) in place of the scheme digest."),
    AccessOption(
        "acl",
        "ACL",
        "The ACL of new nodes: scheme:id:permissions, or open, creator, read-only; several with commas."
        " Default: with a username, that user may do everything and everybody may read; open without.",
    ),
    AccessOption("tls", None, "Connect with TLS, and trust the platform's authorities; implied by the options below."),
    AccessOption("tls-ca", "FILE", "The certificates (PEM) of the authorities to trust for servers."),
    AccessOption("tls-cert", "FILE", "The client's own certificate (PEM)."),
    AccessOption("tls-key", "FILE", "Its key (PEM, unencrypted), if it is not in the same file."),
)

_NO_VARIABLE = "it is not NAME=VALUE with one of the names"

#: The error message for a password on the command line, which is always refused.
REFUSAL = (
    "a password on the command line can be read by others on this machine:"
    " give --password-file, or TXMIRROR_PASSWORD in the environment"
)


@attrs.frozen
class Access:
    """The credentials, ACL and TLS settings for an ensemble."""

    username: str | None = None
    """The user's name, for the scheme digest or SASL; None if there is none."""
    password: str | None = attrs.field(default=None, repr=False)
    """The user's password; None if there is none."""
    sasl: DigestMD5 | None = None
    """For :class:`~txmirror.client.ZooKeeperClient`; then the scheme digest is not used."""
    tls: TLS | None = None
    """For :class:`~txmirror.client.ZooKeeperClient`."""
    given_acl: tuple[ACL, ...] | None = None
    """The ACL from the options; None if there was none."""

    @property
    def credentials(self) -> bytes | None:
        """The credentials for ``add_auth("digest", ...)``; None if there are none, or SASL is used."""
        if self.username is None or self.sasl is not None:
            return None
        return f"{self.username}:{self.password}".encode()

    @property
    def identifies(self) -> bool:
        """True if the servers learn the identity of the client, and may let it do more than others."""
        return self.username is not None or (self.tls is not None and self.tls.certificate is not None)

    def without_credentials(self) -> Access:
        """Return the same settings without the credentials: the trust in the servers stays."""
        tls = None if self.tls is None else attrs.evolve(self.tls, certificate=None, key=None)
        return Access(tls=tls)

    @property
    def acl(self) -> tuple[ACL, ...] | None:
        """The ACL of new nodes, as a service registry chooses it; None for one that is open to everybody."""
        if self.given_acl is not None:
            return self.given_acl
        if self.username is None or self.password is None:
            return None
        if self.sasl is not None:
            return (ACL(Permission.ALL, "sasl", self.username), *READ_ACL)
        return (digest_acl(self.username, self.password), *READ_ACL)


def read_access(given: Mapping[str, str | bool | None], environment: Mapping[str, str] | None = None) -> Access:
    """Combine the options of :data:`OPTIONS` with their environment variables, and read the files. An option wins over its variable.

    :param given: the options from the command line, by their long names; None, or missing, for the others.
    :param environment: the environment; the process's if None.
    :raises ValueError: an option is invalid; the message is one line that names the option or the variable and quotes its value, and
        never a password.
    """
    environment = os.environ if environment is None else environment
    values = {option.name: _value(option, given.get(option.name), environment) for option in OPTIONS}
    sources = {
        option.name: option.variable if given.get(option.name) is None else f"--{option.name}" for option in OPTIONS
    }
    username = _text(values["username"])
    password = _password(given.get("password-file"), environment)
    if (username is None) != (password is None):
        raise ValueError("--username and a password go together: one was given without the other")
    if username is not None and ":" in username:
        # The part after the colon may be the password, as in zkCli's addauth.
        shown = username.partition(":")[0] + ":..."
        raise ValueError(
            f"{sources['username']}: {shown!r} has a colon: give the name alone, and the password in --password-file"
        )
    if username is not None and not (username and is_utf8(username)):
        raise ValueError(f"{sources['username']}: {username!r} is no user's name: it is empty, or not UTF-8")
    acl = _text(values["acl"])
    return Access(
        username,
        password,
        _sasl(username, password, sources["sasl"]) if values["sasl"] else None,
        _tls(values, sources),
        None if acl is None else _acl(acl, sources["acl"]),
    )


def read_access_file(path: str) -> Access:
    """Read the variables of :data:`OPTIONS` from a file, one ``NAME=VALUE`` in a line, as systemd's ``EnvironmentFile=`` does; then
    those of the environment do not count. Blank lines and lines that begin with ``#`` are ignored.

    :param path: the file. Only its owner, this user or root, may write to it, and not everybody may read it.
    :raises ValueError: it cannot be read, or a line or a variable is invalid; the message is one line, and quotes no value of a
        variable that may be secret.
    """
    try:
        text = read_secret(path, largest=_LONGEST_PASSWORD).decode()
    except (OSError, ValueError) as error:
        raise ValueError(f"{path!r} cannot be read: {_reason(error)}") from None
    known = {"TXMIRROR_PASSWORD", *(option.variable for option in OPTIONS)}
    variables: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, equals, value = line.strip().partition("=")
        if not name or name.startswith("#"):
            continue
        if not equals or name not in known:
            # The rest of the line may be a password.
            raise ValueError(f"{path!r}, line {number}: {_NO_VARIABLE}: {', '.join(sorted(known))}")
        variables[name] = value
    try:
        return read_access({}, variables)
    except ValueError as error:
        raise ValueError(f"{path!r}: {error}") from None


def parse_acl(text: str) -> tuple[ACL, ...]:
    """Parse an ACL in the form of zkCli, ``scheme:id:permissions`` separated by commas, or of the names ``open``, ``creator`` and
    ``read-only``.

    ``creator`` grants all permissions to the ids of the session that creates a node, and none to others.

    :raises ValueError: it is invalid; the message quotes the offending entry, but no id of the scheme digest, which may
        be a password that was not hashed.
    """
    entries: list[ACL] = []
    for part in _split_acl(text):
        if part in _NAMED:
            entries += _NAMED[part]
            continue
        scheme, colon, rest = part.partition(":")
        identity, second, letters = rest.rpartition(":")
        if not (scheme and colon and second):
            raise ValueError(f"{part!r} is neither scheme:id:permissions nor {', '.join(_NAMED)}")
        if scheme == "digest" and not _DIGEST.fullmatch(identity):
            raise ValueError(
                "'digest:...': the identity is NAME:HASH, where HASH is the SHA-1 of NAME:PASSWORD in base64"
            )
        if not letters or len(set(letters)) != len(letters) or not set(letters) <= PERMISSIONS.keys():
            raise ValueError(f"{letters!r} are no permissions: of the letters {''.join(PERMISSIONS)}, each once")
        entries.append(ACL(sum(PERMISSIONS[letter] for letter in letters), scheme, identity))
    return tuple(entries)


def show_acl(acl: Iterable[ACL]) -> list[str]:
    """Return the entries of an ACL in the form of zkCli, as :func:`parse_acl` reads it: ``scheme:id:permissions``."""
    return [
        f"{each.scheme}:{each.identity}:"
        + "".join(letter for letter, permission in PERMISSIONS.items() if each.permissions & permission)
        for each in acl
    ]


def _split_acl(text: str) -> Iterator[str]:
    """Yield the entries of an ACL. The names of certificates have commas themselves."""
    name = ""
    for part in text.split(","):
        name += part
        if name.startswith("x509:") and not _ENDS_IN_PERMISSIONS.search(name):
            name += ","
            continue
        yield name
        name = ""
    if name:
        yield name.removesuffix(",")


def _value(option: AccessOption, given: str | bool | None, environment: Mapping[str, str]) -> str | bool | None:
    if given is not None:
        return given
    # As elsewhere, an empty variable counts as unset.
    text = environment.get(option.variable) or None
    if option.metavar is not None or text is None:
        return text
    if text.lower() not in (*_TRUE, *_FALSE):
        raise ValueError(f"{option.variable}: {text!r} is neither yes nor no")
    return text.lower() in _TRUE


def _text(value: str | bool | None) -> str | None:
    return None if value is None else str(value)


def _password(given: str | bool | None, environment: Mapping[str, str]) -> str | None:
    if given is not None:
        return _read_password("--password-file", str(given))
    text, file = environment.get("TXMIRROR_PASSWORD") or None, environment.get("TXMIRROR_PASSWORD_FILE") or None
    if text is not None and file is not None:
        raise ValueError("TXMIRROR_PASSWORD and TXMIRROR_PASSWORD_FILE exclude each other")
    if file is not None:
        return _read_password("TXMIRROR_PASSWORD_FILE", file)
    if text is not None and not is_utf8(text):
        raise ValueError("TXMIRROR_PASSWORD: the password is not UTF-8")
    return text


def _read_password(option: str, path: str) -> str:
    # A pipe is accepted too, as a shell's <(...) makes it.
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LONGEST_PASSWORD + 1)
        text = content.rstrip(b"\r\n").decode()
    except (OSError, ValueError) as error:
        raise ValueError(f"{option}: {path!r} cannot be read: {_reason(error)}") from None
    if not text or len(content) > _LONGEST_PASSWORD:
        what = "is longer than a password can be" if text else "is empty"
        raise ValueError(f"{option}: {path!r} {what}")
    return text


def _reason(error: Exception) -> object:
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else getattr(error, "strerror", None) or error


def _sasl(username: str | None, password: str | None, source: str) -> DigestMD5:
    if username is None or password is None:
        raise ValueError(f"{source} needs --username and a password")
    from txmirror.client import DigestMD5  # noqa: PLC0415 - it takes long

    try:
        return DigestMD5(username, password)
    except ImportError as error:
        raise ValueError(f"{source}: {error}") from None


def _tls(values: Mapping[str, str | bool | None], sources: Mapping[str, str]) -> TLS | None:
    authority, certificate, key = (_text(values[name]) for name in ("tls-ca", "tls-cert", "tls-key"))
    if not values["tls"] and (authority, certificate, key) == (None, None, None):
        return None
    from txmirror.client import TLS  # noqa: PLC0415 - it takes long

    tls = TLS(authority, certificate, key)
    try:
        tls.prepare()
    except (ValueError, ImportError) as error:
        files = {"tls-ca": authority, "tls-cert": certificate, "tls-key": key}
        option = next((name for name, file in files.items() if file is not None and repr(file) in str(error)), "tls")
        raise ValueError(f"{sources[option]}: {error}") from None
    return tls


def _acl(text: str, source: str) -> tuple[ACL, ...]:
    try:
        return parse_acl(text)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
