"""Named profiles: the settings for an ensemble, read from a TOML file of the user's.

The file has no secrets: a password is in a file of its own. Names of files are relative to the folder of the TOML file.
"""

# Not with "from __future__ import annotations": the annotations are read at run time.

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import attrs

from txmirror.cli.sizes import parse_size
from txmirror.client import parse_servers
from txmirror.configuration.access_keys import AccessKeys
from txmirror.configuration.errors import InvalidValue, plain_key, unknown_keys
from txmirror.configuration.rules import Duration, Number, Text, ZnodePath
from txmirror.configuration.sources import TOMLError, parse_toml
from txmirror.configuration.structuring import Structurer
from txmirror.files import follow_links, read_file
from txmirror.json_text import decode_text
from txmirror.printable import quote, suggest

#: The longest file, in bytes.
_LONGEST = 2**18
_SECONDS = Duration(0.001, 86400.0)
_TABLE = "profile"


class ProfileError(ValueError):
    """A profile cannot be used. The message is one line."""


@attrs.frozen
class _Size:
    """A number of bytes, or a string with a unit."""

    kind: str = "size"

    def read(self, value: object, folder: Path) -> int:
        """Return the number of bytes."""
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise ValueError(f"{quote(value)} is no number of bytes, such as 4194304 or '4M'")  # noqa: TRY004 - as all rules
        return parse_size(str(value))


@attrs.frozen(kw_only=True)
class Profile:
    """``[profile.NAME]``: the settings for one ensemble. A key that is missing has the default of its option."""

    servers: Annotated[str | None, Text(kind="connection string", check=parse_servers)] = None
    """The servers, as for ``--servers``."""
    chroot: Annotated[str | None, ZnodePath()] = None
    """The node that is the root for the commands. Only for servers without a chroot of their own."""
    timeout: Annotated[float | None, _SECONDS] = None
    """As ``--timeout``: how long ZooKeeper may be out of reach."""
    session_timeout: Annotated[float | None, _SECONDS] = None
    """As ``--session-timeout``."""
    max_reply: Annotated[int | None, _Size()] = None
    """As ``--max-reply``: from 1K to 256M."""
    admin_port: Annotated[int | None, Number(1, 65535, whole=True)] = None
    """As ``--admin-port``: the port of the servers' AdminServers, for ``ensemble``, ``doctor`` and ``locks``."""
    access: AccessKeys = attrs.field(factory=AccessKeys)
    """The credentials, the ACL of new nodes, and TLS, with the keys of the daemon's ``[zookeeper.access]``."""

    def __attrs_post_init__(self) -> None:
        if self.chroot is None:
            return
        if self.servers is None:
            raise InvalidValue((".chroot", "it needs servers"))
        if "/" in self.servers:
            raise InvalidValue((".chroot", f"the servers {quote(self.servers)} have a chroot already"))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings, by their names in :class:`~txmirror.cli.settings.Settings`, without those that the file omits."""
        servers = self.servers
        if servers is not None and self.chroot not in (None, "/"):
            servers += str(self.chroot)
        found = {
            "servers": servers,
            "timeout": self.timeout,
            "session_timeout": self.session_timeout,
            "max_reply": self.max_reply,
            "admin_port": self.admin_port,
        }
        return {name: value for name, value in found.items() if value is not None}

    @property
    def variables(self) -> dict[str, str]:
        """The access settings as environment variables, for :func:`txmirror.access.read_access`."""
        values = {field.name: getattr(self.access, field.name) for field in attrs.fields(AccessKeys)}
        texts = {True: "yes", False: "no"}
        return {
            f"TXMIRROR_{name.upper()}": texts[value] if isinstance(value, bool) else value
            for name, value in values.items()
            if value is not None
        }


def profiles_file(environment: Mapping[str, str]) -> Path:
    """Return the file with the profiles: ``TXMIRROR_CONFIG``, or ``txmirror/profiles.toml`` in the user's folder for
    configurations, as the XDG Base Directory Specification defines it.

    :raises ProfileError: neither the variables nor the system's list of users name a folder.
    """
    named = environment.get("TXMIRROR_CONFIG")
    if named:
        return Path(named)
    folder = environment.get("XDG_CONFIG_HOME", "")
    # A relative path is invalid there, and ignored.
    if os.path.isabs(folder):  # noqa: PTH117 - an empty path is no Path
        return Path(folder, "txmirror", "profiles.toml")
    try:
        return Path(environment.get("HOME") or Path.home(), ".config", "txmirror", "profiles.toml")
    except RuntimeError:
        raise ProfileError("there is no home folder: set TXMIRROR_CONFIG to the path of the profiles") from None


def profile_names(file: Path) -> list[str]:
    """Return the names of the profiles in a file.

    :raises ProfileError: the file cannot be used; the message is one line.
    """
    return sorted(_tables(file, _read(file)))


def read_profile(file: Path, name: str) -> Profile:
    """Read a profile, and the files that it names.

    :param name: its name.
    :raises ProfileError: there is no such profile, or it is invalid; the message is one line that names the file, the line and the
        key, and quotes no secret.
    """
    text = _read(file)
    tables = _tables(file, text)
    if name not in tables:
        known = f"it has {', '.join(sorted(tables))}" if tables else "it has none"
        raise ProfileError(f"{file}: no profile {name!r}{suggest(name, tables)} ({known})")
    place = (_TABLE, name)
    if not isinstance(tables[name], dict):
        raise ProfileError(_describe(file, text, place, f"it is no table: write [{_TABLE}.{plain_key(name)}]"))
    try:
        profile = Structurer().structure(tables[name], Profile, file.absolute().parent)
        _check_access(profile.access)
    except InvalidValue as error:
        # One line: the first error, as for options.
        relative, reason = error.errors[0]
        keys = [each.partition("[")[0] for each in relative.removeprefix(".").split(".") if each]
        raise ProfileError(_describe(file, text, (*place, *keys), reason)) from None
    return profile


def _check_access(access: AccessKeys) -> None:
    try:
        access.read()
    except InvalidValue as error:
        raise InvalidValue(*((f".access{place}", reason) for place, reason in error.errors)) from None


def _read(file: Path) -> str:
    try:
        return decode_text(read_file(follow_links(file), largest=_LONGEST))
    except FileNotFoundError:
        raise ProfileError(f"there is no file {str(file)!r} with profiles") from None
    except UnicodeDecodeError:
        raise ProfileError(f"{str(file)!r} cannot be read: it is not UTF-8") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ProfileError(f"{str(file)!r} cannot be read: {reason}") from None


def _tables(file: Path, text: str) -> dict[str, Any]:
    try:
        whole = parse_toml(text)
    except TOMLError as error:
        raise ProfileError(f"{file}{'' if error.line is None else f':{error.line}'}: {error.reason}") from None
    for place, reason in unknown_keys(whole, (_TABLE,)):
        key = next(key for key in whole if place == f".{plain_key(key)}")
        raise ProfileError(_describe(file, text, (key,), reason))
    tables = whole.get(_TABLE, {})
    if not isinstance(tables, dict):
        raise ProfileError(_describe(file, text, (_TABLE,), f"it is no table: write [{_TABLE}.NAME]"))
    return tables


def _describe(file: Path, text: str, keys: tuple[str, ...], reason: str) -> str:
    return f"{file}:{_line_of(text, keys)}: {'.'.join(map(plain_key, keys))}: {reason}"


def _line_of(text: str, keys: tuple[str, ...]) -> int:
    """Return the number of the line with a key, counted from 1; that of its table if the key is missing.

    The parser does not report lines. The key is on the last line of the shortest beginning of the text that has it.
    """
    lines = text.split("\n")
    while keys:
        for number in range(1, len(lines) + 1):
            try:
                table: Any = parse_toml("\n".join(lines[:number]))
            except TOMLError:
                # It ends within a value.
                continue
            for key in keys:
                table = table.get(key) if isinstance(table, dict) else None
            if table is not None:
                return number
        keys = keys[:-1]
    return 1
