"""Make the files that a wheel installs below ``share``: manual pages from the commands' help, and completion scripts for shells.

``python tools/share.py FOLDER`` writes them into a folder. ``setup.py`` runs it in each build.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterator, Sequence
from inspect import cleandoc
from pathlib import Path

import attrs
import click
from click.shell_completion import ShellComplete
from twisted.python import usage

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from txmirror import __version__
from txmirror.cli.command import txmirror
from txmirror.cli.completing import Bash, Fish, Zsh
from txmirror.cli.options import CommonOption
from txmirror.service.options import Options

#: The place of each shell's script below ``share``, where the shell looks for it by the command's name.
_COMPLETIONS: tuple[tuple[str, type[ShellComplete]], ...] = (
    ("bash-completion/completions/txmirror", Bash),
    ("zsh/site-functions/_txmirror", Zsh),
    ("fish/vendor_completions.d/txmirror.fish", Fish),
)


@attrs.frozen
class Option:
    """An option as its help has it."""

    term: str
    """The names, and the value."""
    text: str


@attrs.frozen
class Command:
    """A command as its help has it."""

    name: str
    """The words to type."""
    usage: str
    """The options and arguments to type behind the name."""
    text: str
    """Its help: paragraphs with empty lines between them."""
    options: Sequence[Option]
    commands: Sequence[Command]


def completion_scripts() -> dict[str, str]:
    """Return the scripts of all shells by their paths below ``share``."""
    scripts = ((path, shell(txmirror, {}, "txmirror", "_TXMIRROR_COMPLETE")) for path, shell in _COMPLETIONS)
    return {path: f"{each.source().strip()}\n" for path, each in scripts}


def manual_pages() -> dict[str, str]:
    """Return the pages by their paths below ``share``."""
    client = read_click("txmirror", txmirror)
    daemon = read_usage("twistd txmirror", Options())
    return {
        "man/man1/txmirror.1": page(client, "command line for ZooKeeper", see="twistd-txmirror", anywhere=True),
        "man/man1/twistd-txmirror.1": page(
            daemon, "keep services registered in ZooKeeper", see="txmirror", anywhere=False
        ),
    }


def read_click(name: str, command: click.Command, parent: click.Context | None = None) -> Command:
    """Read a command's help, and those of the commands below it."""
    context = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    options = (each for each in command.get_params(context) if isinstance(each, click.Option))
    # The options of all commands are those of the first.
    own = (each for each in options if parent is None or not isinstance(each, CommonOption))
    records = (each.get_help_record(context) for each in own)
    below = (
        [(word, command.get_command(context, word)) for word in command.list_commands(context)]
        if isinstance(command, click.Group)
        else []
    )
    return Command(
        context.command_path,
        " ".join(command.collect_usage_pieces(context)),
        cleandoc(command.help or ""),
        [Option(*record) for record in records if record is not None],
        [read_click(word, each, context) for word, each in below if each is not None and not each.hidden],
    )


def read_usage(name: str, options: usage.Options) -> Command:
    """Read the help of a command of twistd, and those of the commands below it."""
    below = [read_usage(f"{name} {word}", parser()) for word, _, parser, _ in getattr(options, "subCommands", ())]
    return Command(
        name,
        getattr(options, "synopsis", None) or "[options]",
        getattr(options, "longdesc", ""),
        [_read_option(options, name) for name in sorted(options.longOpt)],
        below,
    )


def _read_option(options: usage.Options, name: str) -> Option:
    long = name.rstrip("=")
    names = [f"-{key}, " for key, each in options.synonyms.items() if each == long and len(key) == 1]
    value = "=VALUE" if name.endswith("=") else ""
    default = options.defaults.get(long) if value else None
    text = cleandoc(options.docs.get(long) or "")
    return Option(f"{''.join(names)}--{long}{value}", text if default in (None, "") else f"{text} [default: {default}]")


def page(command: Command, summary: str, *, see: str, anywhere: bool) -> str:
    """Return the manual page of a command.

    :param summary: the command's purpose in a few words.
    :param see: the name of another page.
    :param anywhere: whether the command accepts its own options also behind the name of a command below it.
    """
    name = command.name.replace(" ", "-")
    shared = command.options if anywhere else ()
    lines = [
        f'.TH {name.upper()} 1 "" "txmirror {__version__}" "User Commands"',
        ".SH NAME",
        f"{_text(name)} \\- {_text(summary)}",
        ".SH SYNOPSIS",
        *_synopsis(command),
        ".SH DESCRIPTION",
        *_paragraphs(command.text),
        ".SH OPTIONS",
        *_options(command.options),
    ]
    if command.commands:
        lines += [".SH COMMANDS"]
        if shared:
            lines += [f"The options of {_text(command.name)} are accepted before and after the name of a command."]
        lines += [line for each in command.commands for line in _section(each, shared)]
    lines += [".SH SEE ALSO", f".BR {_text(see)} (1)"]
    return "\n".join(lines) + "\n"


def _section(command: Command, shared: Collection[Option]) -> Iterator[str]:
    """Return the lines about a command below another one, without the options that both have."""
    yield f".SS {_text(command.name)}"
    yield from _synopsis(command)
    yield from (".PP", *_paragraphs(command.text))
    yield from _options([each for each in command.options if each not in shared])
    for each in command.commands:
        yield from _section(each, shared)


def _synopsis(command: Command) -> Iterator[str]:
    yield f".B {_text(command.name)}"
    yield _text(command.usage)


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip())):
        if number:
            yield ".PP"
        # click leaves the line breaks of a paragraph that begins with a backspace.
        if paragraph.startswith("\b"):
            yield from (".nf", *map(_text, paragraph.splitlines()[1:]), ".fi")
        else:
            yield _text(" ".join(paragraph.split()))


def _options(options: Sequence[Option]) -> Iterator[str]:
    for each in options:
        yield from (".TP", f".B {_text(each.term)}", _text(" ".join(each.text.split())))


def _text(text: str) -> str:
    """Escape text for a line of a page: backslashes, hyphens that a reader may copy, and what would begin a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


def write(folder: Path) -> list[Path]:
    """Write all files below a folder, and return their paths relative to it."""
    files = {**manual_pages(), **completion_scripts()}
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8", newline="\n")
    return [Path(path) for path in files]


if __name__ == "__main__":
    write(Path(sys.argv[1]))
