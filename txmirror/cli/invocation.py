"""The options of one command line, and the settings that they, a profile and environment variables result in."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import attrs
import click

from txmirror.access import OPTIONS, read_access
from txmirror.cli.settings import Settings
from txmirror.cli.sizes import parse_size
from txmirror.cli.streams import report

if TYPE_CHECKING:
    from txmirror.cli.run import Program

_PROFILE = "TXMIRROR_PROFILE"


def check_servers(value: str) -> str:
    """Return a connection string.

    :raises ValueError: it is invalid; the message quotes it.
    """
    from txmirror.client import parse_servers  # noqa: PLC0415 - it takes long

    parse_servers(value)
    return value


#: The variables for settings, and how to read them.
_VARIABLES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "servers": ("TXMIRROR_SERVERS", check_servers),
    "max_reply": ("TXMIRROR_MAX_REPLY", parse_size),
}
#: The variables that a profile must not override without a word.
_AGAINST_PROFILE = ("TXMIRROR_SERVERS", "TXMIRROR_PASSWORD", *(option.variable for option in OPTIONS))


@attrs.define
class Invocation:
    """The options of a command line that are parsed so far, and the function that runs the command."""

    launch: Callable[[Settings, Program], int]
    """Runs a program, and returns the exit status."""
    stdin: BinaryIO
    """The standard input."""
    given: dict[str, Any] = attrs.field(factory=dict)
    """The options from the command line, by the names that :class:`~txmirror.cli.settings.Settings` has for them."""
    access: dict[str, str | bool | None] = attrs.field(factory=dict)
    """The options from the command line that are in :data:`txmirror.access.OPTIONS`, by their long names."""
    profile: str | None = None
    """The profile that the command line names."""

    def run(self, program: Program) -> int:
        """Run a program with these options.

        :raises click.UsageError: the combination of options is invalid, or a variable or a profile is.
        """
        return self.launch(self.settings(), program)

    def settings(self) -> Settings:
        """Return the settings of the command: the options, then those of the profile, or without a profile the variables.

        :raises click.UsageError: the combination of options is invalid, or a variable or a profile is.
        """
        try:
            found, environment = self._weaker()
            access = read_access(self.access, environment)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        settings = Settings(access=access, **{**found, **self.given})
        if not settings.quiet:
            _warn_of_readers(self.access.get("password-file") or environment.get("TXMIRROR_PASSWORD_FILE"))
        return settings

    def _weaker(self) -> tuple[dict[str, Any], Mapping[str, str]]:
        """Return the settings that the options override, and the variables for the access settings."""
        name = self.profile or os.environ.get(_PROFILE)
        if not name:
            return _read_variables(os.environ), os.environ
        if self.profile is None:
            # If one variable silently overrode the other, a command could change the wrong ensemble.
            for other in _AGAINST_PROFILE:
                if os.environ.get(other):
                    raise ValueError(f"{_PROFILE} and {other} exclude each other")
        from txmirror.cli.profiles import profiles_file, read_profile  # noqa: PLC0415 - it takes long

        profile = read_profile(profiles_file(os.environ), name)
        return profile.settings, profile.variables


def _warn_of_readers(file: object) -> None:
    """Write a message if everybody may read a file with a password."""
    if not file:
        return
    with suppress(OSError):
        status = Path(str(file)).stat()
        # A pipe of a shell is readable for its owner only.
        if stat.S_ISREG(status.st_mode) and status.st_mode & stat.S_IROTH:
            text = f"everybody may read the password in {str(file)!r} (mode {stat.S_IMODE(status.st_mode):04o})"
            report(text)


def _read_variables(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings from environment variables. As elsewhere, an empty variable counts as unset.

    :raises ValueError: one is invalid.
    """
    found: dict[str, Any] = {}
    for name, (variable, parse) in _VARIABLES.items():
        text = environment.get(variable)
        if text:
            try:
                found[name] = parse(text)
            except ValueError as error:
                raise ValueError(f"{variable}: {error}") from None
    return found
