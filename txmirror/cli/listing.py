"""A group of commands whose modules are imported when they are used: the list of the commands needs none of them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import attrs
import click
from click.shell_completion import CompletionItem

from txmirror.printable import suggest


@attrs.frozen
class Listed:
    """A command in the list of a group."""

    place: str
    """The module and the name of the command in it, as ``module:name``."""
    summary: str
    """The first sentence of the command's help, or its first paragraph."""

    def load(self) -> click.Command:
        """Import the command's module, and return the command."""
        module, _, name = self.place.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def shown(self, limit: int) -> str:
        """Return the summary, shortened as click does with a command's help.

        :param limit: the greatest length, in characters.
        """
        return click.Command(None, help=self.summary).get_short_help_str(limit)


class ListedGroup(click.Group):
    """A group that imports only the command that is run. Help, and completion of names, import none.

    :param listed: its commands, by name.
    """

    def __init__(self, *, listed: Mapping[str, Listed], **settings: Any) -> None:
        super().__init__(**settings)
        self.listed = listed

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, sorted."""
        return sorted(self.listed)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command, and return it; None if there is none of this name."""
        listed = self.listed.get(cmd_name)
        return None if listed is None else listed.load()

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command by its name.

        :raises click.UsageError: there is none; the message has the most similar name.
        """
        name = args[0]
        if name not in self.listed and not ctx.resilient_parsing:
            raise click.UsageError(f"No such command {name!r}{suggest(name, self.listed)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of the commands into the help."""
        limit = formatter.width - 6 - max(map(len, self.listed))
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.listed[name].shown(limit)) for name in self.list_commands(ctx)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the names of commands, or the options, that begin with a text."""
        names = (name for name in self.list_commands(ctx) if name.startswith(incomplete))
        found = [CompletionItem(name, help=self.listed[name].shown(45)) for name in names]
        return found + click.Command.shell_complete(self, ctx, incomplete)
