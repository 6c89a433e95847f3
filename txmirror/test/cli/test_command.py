"""Valid command lines, and the one line of the error for others."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
from click.shell_completion import BashComplete
from twisted.trial.unittest import SynchronousTestCase

import txmirror
from txmirror.access import Access
from txmirror.cli.command import main
from txmirror.cli.command import txmirror as command
from txmirror.cli.run import Program
from txmirror.cli.settings import Settings
from txmirror.cli.streams import abandon_output
from txmirror.test.cli.case import Input
from txmirror.types import OPEN_ACL, READ_ACL


def every_command(group: click.Group = command, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command, also of those below others."""
    context = click.Context(group)
    for name in group.list_commands(context):
        yield (*before, name)
        each = group.get_command(context, name)
        if isinstance(each, click.Group):
            yield from every_command(each, (*before, name))


def find_command(words: Iterable[str]) -> click.Command:
    """Return the command with these words."""
    found: click.Command = command
    for word in words:
        assert isinstance(found, click.Group)
        each = found.get_command(click.Context(found), word)
        assert each is not None
        found = each
    return found


class CommandLineTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.out = io.StringIO()
        self.err = io.StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)
        self.patch(os, "environ", {name: value for name, value in os.environ.items() if "TXMIRROR" not in name})
        self.launched: list[Settings] = []
        self.password_file = self.mktemp()
        Path(self.password_file).write_text("secret\n")
        Path(self.password_file).chmod(0o600)

    def launch(self, settings: Settings, program: Program) -> int:
        self.launched.append(settings)
        return 0

    def main(self, *arguments: str, stdin: io.BytesIO | None = None) -> int:
        return main(arguments, launch=self.launch, stdin=io.BytesIO() if stdin is None else stdin)


class UsageTests(CommandLineTestCase):
    def assert_refused(self, *arguments: str, says: str) -> None:
        """Assert that a command line results in one line, with this text in it, and that nothing is done."""
        self.err.seek(0)
        self.err.truncate()
        self.assertEqual(self.main(*arguments), os.EX_USAGE)
        self.assertRegex(self.err.getvalue(), rf"\Atxmirror: [^\n]*{re.escape(says)}[^\n]*\n\Z")
        self.assertEqual((self.launched, self.out.getvalue()), ([], ""))

    def test_commands(self) -> None:
        self.assert_refused("bogus", says="'bogus'")
        self.assert_refused("gett", says="No such command 'gett'; did you mean 'get'?")
        self.assert_refused("bo\ngus", says=r"bo\ngus")

    def test_options(self) -> None:
        self.assert_refused("get", "--bogus", says="--bogus")
        self.assert_refused("get", "/", "-o", "xml", says="'xml'")
        self.assert_refused("watch", "/", "-o", "yaml", says="'yaml'")
        self.assert_refused("get", "/", "--raw", "-d", says="--raw excludes")
        self.assert_refused("get", "/", "-r", "-o", "text", says="'text' is the data alone")
        self.assert_refused("watch", "/", "--settle", "1", says="go with --exec")
        self.assert_refused("watch", "/", "--exec", "a 'b", says="cannot be split into arguments")
        self.assert_refused("tree", "--depth", "-1", says="-1")
        self.assert_refused("get", "--timeout", says="--timeout")

    def test_arguments(self) -> None:
        self.assert_refused("ls", "/a", "/b", says="/b")
        self.assert_refused("set", "/a", says="DATA")
        for name in ("create", "set", "delete", "lock", "elect", "register"):
            self.assert_refused(name, says=f"{name}: Missing argument 'PATH'")

    def test_paths(self) -> None:
        """The error names the argument or the option, and quotes it as it was given."""
        checked = set()
        for words in every_command():
            found = find_command(words)
            arguments = list(words)
            for parameter in found.params:
                if parameter.name not in ("path", "paths", "other"):
                    continue
                checked.add(words[0])
                says = f"Invalid value for {parameter.get_error_hint(click.Context(found))}: "
                for bad in ("/a//../b", "a\x00"):
                    self.assert_refused(*arguments, bad, says=f"{says}{bad!r} is not a znode path")
                arguments.append("/a")
        self.assertLessEqual({"acl", "barrier", "create", "diff", "edit", "locks", "queue", "wait", "watch"}, checked)
        self.assert_refused("create", "/", says="Invalid value for 'PATH': '/' always exists")
        self.assert_refused("delete", "//", says="Invalid value for 'PATH': '/' always exists")
        self.assert_refused("doctor", "--write", "a/..", says="Invalid value for '--write': 'a/..' is not a znode path")

    def test_sequential(self) -> None:
        """A path that ends with a slash is valid for a sequential node, wherever the option is."""
        for arguments in (("/", "--sequential"), ("--sequential", "/a/")):
            self.assertEqual(self.main("create", *arguments), 0)
        self.assertEqual(len(self.launched), 2)
        self.launched.clear()
        self.assert_refused("create", "--sequential", "", says="Invalid value for 'PATH': '' is no path")

    def test_files(self) -> None:
        """An empty name of a file is not that of the current folder."""
        for arguments in (("export", "/"), ("import", "/")):
            self.assert_refused(*arguments, "", says="Invalid value for '[FILE]': '' is no name of a file")
        self.assert_refused("diff", "/", "--file", "", says="Invalid value for '--file': '' is no name of a file")

    def test_editor(self) -> None:
        """Without a variable and without a terminal there is no editor; vi needs a terminal."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "vi").touch(0o755)
        os.environ.update(EDITOR="", VISUAL="", PATH=str(folder))
        self.assert_refused(
            "edit", "/a", says="edit: without a terminal, vi cannot run: set EDITOR, or use 'get --raw'"
        )
        self.assertEqual(self.main("edit", "/a", stdin=Input(terminal=True)), 0)
        self.assertEqual(len(self.launched), 1)

    def test_shells(self) -> None:
        """The possible values of a missing argument are on the same line."""
        self.assert_refused("completion", says="Missing argument 'SHELL'. Choose from: bash, zsh, fish")
        self.assert_refused("completion", "csh", says="Invalid value for 'SHELL': 'csh' is not one of")

    def test_elsewhere(self) -> None:
        """For the commands of other programs, the error names ours."""
        self.assert_refused("deleteall", "/a", says="No such command 'deleteall'. Use 'delete --recursive'.")
        self.assert_refused("getAcl", "/a", says="Use 'acl get'.")
        self.assert_refused("put", "/a", "1", says="Use 'set, or create for a new node'.")

    def test_waits(self) -> None:
        self.assert_refused("wait", says="Missing argument 'PATH'")
        self.assert_refused("wait", "/a", "--absent", "--value", "1", says="exclude each other")
        for text in ("x", "-1", "3-2", "3++", ""):
            self.assert_refused("wait", "/a", "--children", text, says=repr(text))
        self.assert_refused("wait", "/a", "--timeout", "soon", says="'soon'")

    def test_modes(self) -> None:
        self.assert_refused("create", "/a", "--ephemeral", "--ttl", "1s", says="exclude each other")
        self.assert_refused("create", "/a", "--container", "--sequential", says="exclude each other")
        for text in ("soon", "0", "-1s", "nan", "99999d"):
            self.assert_refused("create", "/a", "--ttl", text, says=repr(text))

    def test_acls(self) -> None:
        self.assert_refused("acl", says="Missing command")
        self.assert_refused("acl", "get", says="acl get: Missing argument 'PATH...'")
        self.assert_refused("acl", "set", "/a", says="'ACL'")
        self.assert_refused("acl", "set", "/a", "world:anyone", says="'world:anyone' is neither")
        self.assert_refused("acl", "set", "/a", "open", "-r", says="--yes")
        self.assert_refused("acl", "set", "/a", "open", "-r", "-y", "--version", "1", says="exclude each other")

    def test_servers(self) -> None:
        self.assert_refused("get", "-s", "host:port", says="'port' is no port")
        self.assert_refused("-s", "", "get", says="''")

    def test_environment(self) -> None:
        os.environ["TXMIRROR_SERVERS"] = "host:0"
        self.assert_refused("get", says="'host:0'")
        os.environ["TXMIRROR_SERVERS"] = "a/app,b/web"
        self.assert_refused("get", says="the servers of 'a/app,b/web' have different chroots")

    def test_times(self) -> None:
        for text in ("soon", "nan", "inf", "0", "-1", "86401"):
            self.assert_refused("get", "--timeout", text, says=repr(text))

    def test_versions(self) -> None:
        for text in ("x", "-1", str(2**31)):
            self.assert_refused("set", "/a", "data", "--version", text, says=text)
            self.assert_refused("delete", "/a", "--version", text, says=text)

    def test_credentials(self) -> None:
        self.assert_refused("get", "-u", "name", says="go together")
        self.assert_refused("get", "--password-file", self.password_file, says="go together")
        self.assertNotIn("secret", self.err.getvalue())
        self.assert_refused("get", "-u", "na:me", "--password-file", self.password_file, says="'na:...'")
        self.assert_refused("get", "-u", "", "--password-file", self.password_file, says="''")
        self.assert_refused("get", "--password-file", "/missing/file", says="'/missing/file' cannot be read")

    def test_password(self) -> None:
        """A password is not taken from the command line, and not quoted."""
        for option in ("-p", "--password"):
            self.assert_refused(
                "get", "-u", "name", option, "hush-hush", says="give --password-file, or TXMIRROR_PASSWORD"
            )
            self.assert_refused("-u", "name", option, "hush-hush", "get", says="give --password-file")
            self.assertNotIn("hush-hush", self.err.getvalue())

    def test_sizes(self) -> None:
        for text in ("", "x", "-1", "16Q", "1.5M", "1023", "257M", "99999999999999"):
            self.assert_refused("get", "--max-reply", text, says=repr(text))
        os.environ["TXMIRROR_MAX_REPLY"] = "large"
        self.assert_refused("get", says="'large'")

    def test_registrations(self) -> None:
        self.assert_refused("register", "/", says="'/' always exists")
        self.assert_refused("register", "/a", "-d", "foo", says="'foo' is not of the form KEY=VALUE")
        self.assert_refused("register", "/a", "-d", "=1", says="'=1' is not of the form KEY=VALUE")
        self.assert_refused("register", "/a", "-d", "a=1", "-d", "a=2", says="'a' is given twice")
        self.assert_refused("register", "/a", "-d", "a=\udcff", says=r"'a=\udcff' cannot be stored")
        self.assert_refused("register", "/a", "-t", "0", says="'0'")

    def test_locks(self) -> None:
        self.assert_refused("lock", "/a", says="COMMAND")
        self.assert_refused("lock", "/", "--", "sh", says="'/' always exists")
        self.assert_refused("lock", "/a", "--simultaneous", "0", "--", "sh", says="0")
        self.assert_refused("lock", "/a", "--wait", "-1", "--", "sh", says="'-1'")
        self.assert_refused("lock", "/a", "--grace", "nan", "--", "sh", says="'nan'")
        self.assert_refused("lock", "/a", "--style", "zk", "--", "sh", says="'zk'")
        self.assert_refused("lock", "/a", "--style", "go", "--simultaneous", "2", "--", "sh", says="exclude each other")

    def test_elections(self) -> None:
        self.assert_refused("elect", "/a", says="COMMAND")
        self.assert_refused("elect", "/", "--", "sh", says="'/' always exists")
        self.assert_refused("elect", "/a", "--style", "zk", "--", "sh", says="'zk'")
        self.assert_refused("elect", "/a", "--grace", "x", "--", "sh", says="'x'")
        self.assert_refused("elect", "/a", "--name", "a\udcff", "--", "sh", says=r"'a\udcff' is not UTF-8")

    def test_queues(self) -> None:
        self.assert_refused("queue", says="Missing command")
        self.assert_refused("queue", "bogus", says="'bogus'")
        for name in ("put", "get", "peek", "length"):
            self.assert_refused("queue", name, says=f"queue {name}: Missing argument 'PATH'")
            self.assert_refused("queue", name, "/", says="'/' always exists")
            self.assert_refused("queue", name, "/a/../b", says="'/a/../b' is not a znode path")
        for text in ("-1", "1000", "x"):
            self.assert_refused("queue", "put", "/a", "1", "--priority", text, says=text)
        self.assert_refused("queue", "get", "/a", "--wait", "x", says="'x'")
        self.assert_refused("queue", "get", "/a", "--count", "-1", says="-1")
        self.assert_refused(
            "queue", "get", "/a", "--consume-with", "a 'b", says="cannot be split into arguments: no closing quotation"
        )
        self.assert_refused("queue", "get", "/a", "--consume-with", " ", says="' ' names no program")
        self.assert_refused("queue", "get", "/a", "--consume-with", "sh", "--lines", says="exclude each other")
        self.assertEqual(self.main("queue", "get", "/a", "--consume-with", "/no/such/program x"), 127)

    def test_meeting(self) -> None:
        self.assert_refused("counter", "/", says="'/' always exists")
        for text in ("x", "1.5", ""):
            self.assert_refused("counter", "/a", "--add", text, says=repr(text))
        for name in ("create", "remove", "wait"):
            self.assert_refused("barrier", name, says=f"barrier {name}: Missing argument 'PATH'")
        self.assert_refused("barrier", "wait", "/a", "--wait", "x", says="'x'")
        self.assert_refused("barrier", "run", "/a", "--", "sh", says="--count")
        self.assert_refused("barrier", "run", "/a", "--count", "0", "--", "sh", says="0")
        self.assert_refused("barrier", "run", "/a", "--count", "2", says="COMMAND")

    def test_programs(self) -> None:
        """A program that there is not is known before anything is done, with the status that shells have for that."""
        for program, status in (("/no/such/program", 127), ("no-such-program", 127), (self.mktemp(), 127), ("/", 126)):
            for name in ("register", "lock", "elect"):
                self.assertEqual(self.main(name, "/a", "--", program), status)
            self.assertEqual(self.err.getvalue().count(repr(program)), 3)
        self.assertEqual(self.launched, [])

    def test_delete_below(self) -> None:
        """A recursive delete needs --yes, or a terminal for the question; it excludes --version."""
        self.assert_refused("delete", "-r", "/a", says="--yes")
        self.assert_refused("delete", "-r", "/a", "--yes", "--version", "1", says="exclude each other")


class Broken(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise OSError(5, "Input/output error")


class StreamTests(CommandLineTestCase):
    def test_input(self) -> None:
        """An error of the input is the message, with its status."""
        for arguments in (("set", "/a", "-"), ("queue", "put", "/a")):
            self.err.seek(0)
            self.err.truncate()
            self.assertEqual(self.main(*arguments, stdin=Broken()), 74)
            self.assertEqual((self.err.getvalue(), self.launched), ("txmirror: Input/output error\n", []))

    def test_output(self) -> None:
        """An output that cannot be written is an error of the help, too."""

        def write(_: str) -> int:
            raise OSError(28, "No space left on device")

        self.patch(self.out, "write", write)
        self.assertEqual(self.main("--help"), 74)
        self.assertEqual(self.err.getvalue(), "txmirror: No space left on device\n")

    def test_closed(self) -> None:
        """A standard output that was closed at the start need not be abandoned."""
        self.patch(sys, "stdout", None)
        abandon_output()


class SettingsTests(CommandLineTestCase):
    def settings(self, *arguments: str) -> Settings:
        self.assertEqual((self.main(*arguments), self.err.getvalue()), (0, ""))
        return self.launched.pop()

    def test_defaults(self) -> None:
        self.assertEqual(self.settings("get"), Settings())

    def test_anywhere(self) -> None:
        """The options of all commands stand before the command's name, or after it, where they are the stronger."""
        access = Access("name", "secret", given_acl=OPEN_ACL)
        expected = Settings(servers="b:1", access=access, timeout=1.5, quiet=True, max_reply=16 * 1024**2)
        options = (
            "--acl",
            "open",
            "--max-reply",
            "16M",
            "-s",
            "b:1",
            "-u",
            "name",
            "--password-file",
            self.password_file,
            "--timeout",
            "1.5",
            "-q",
        )
        self.assertEqual(self.settings(*options, "get"), expected)
        self.assertEqual(self.settings("get", *options), expected)
        self.assertEqual(self.settings("-s", "a:1", "get", *options), expected)
        self.assertEqual(self.settings("-s", "a:1", "queue", *options, "length", "/a"), expected)
        self.assertEqual(self.settings("queue", "-s", "a:1", "length", "/a", *options), expected)

    def test_environment(self) -> None:
        """The environment is the weakest."""
        os.environ["TXMIRROR_SERVERS"] = "env:1"
        self.assertEqual(self.settings("get").servers, "env:1")
        self.assertEqual(self.settings("-s", "a:1", "get").servers, "a:1")
        self.assertEqual(self.settings("get", "-s", "a:1").servers, "a:1")
        os.environ["TXMIRROR_MAX_REPLY"] = "64k"
        self.assertEqual(self.settings("get").max_reply, 64 * 1024)
        self.assertEqual(self.settings("get", "--max-reply", "2M").max_reply, 2 * 1024**2)
        os.environ.update({"TXMIRROR_USERNAME": "name", "TXMIRROR_PASSWORD": "pw", "TXMIRROR_ACL": "open"})
        self.assertEqual(self.settings("get").access, Access("name", "pw", given_acl=OPEN_ACL))
        self.assertEqual(self.settings("--acl", "read-only", "get").access.given_acl, READ_ACL)

    def test_secret(self) -> None:
        """A password is not shown by accident."""
        self.assertNotIn("secret", repr(self.settings("get", "-u", "name", "--password-file", self.password_file)))

    def test_readers(self) -> None:
        """If everybody may read the file with the password, a message says so; with -q it does not."""
        Path(self.password_file).chmod(0o644)
        options = ("ls", "-u", "name", "--password-file", self.password_file)
        self.assertEqual(self.main(*options, "-q"), 0)
        self.assertEqual(self.err.getvalue(), "")
        self.assertEqual(self.main(*options), 0)
        says = f"txmirror: everybody may read the password in '{self.password_file}' (mode 0644)\n"
        self.assertEqual(self.err.getvalue(), says)
        os.environ.update({"TXMIRROR_USERNAME": "name", "TXMIRROR_PASSWORD_FILE": self.password_file})
        self.assertEqual(self.main("ls"), 0)
        self.assertEqual(self.err.getvalue(), says * 2)


class AskingTests(CommandLineTestCase):
    def answer(self, text: str) -> int:
        self.patch(sys, "stdin", io.StringIO(text))
        return self.main("delete", "-r", "/a", stdin=Input(terminal=True))

    def test_yes(self) -> None:
        self.assertEqual((self.answer("y\n"), len(self.launched)), (0, 1))
        self.assertIn("Delete /a and all nodes below it?", self.err.getvalue())

    def test_no(self) -> None:
        """The answer no, or an empty line, deletes nothing."""
        for text in ("n\n", "\n"):
            self.assertEqual((self.answer(text), self.launched), (1, []))

    def test_gone(self) -> None:
        self.assertEqual((self.answer(""), self.launched), (130, []))


class HelpTests(CommandLineTestCase):
    def test_help(self) -> None:
        """The help of every command explains the command and its options."""
        for name in ((), *every_command()):
            self.assertEqual(self.main(*name, "--help"), 0)
            self.assertEqual(self.main(*name, "-h"), 0)
        self.assertIn("TXMIRROR_SERVERS", self.out.getvalue())

    def test_version(self) -> None:
        self.assertEqual(self.main("--version"), 0)
        self.assertEqual(self.out.getvalue(), f"txmirror {txmirror.__version__}\n")


class CompletionTests(CommandLineTestCase):
    def complete(self, *words: str) -> list[str]:
        complete = BashComplete(command, {}, "txmirror", "_TXMIRROR_COMPLETE")
        return [item.value for item in complete.get_completions(list(words[:-1]), words[-1])]

    def test_words(self) -> None:
        self.assertEqual(self.complete("se"), ["services", "set"])
        self.assertEqual(self.complete("get", "--re"), ["--recursive"])
        self.assertEqual(self.complete("get", "-o", ""), ["text", "yaml", "json", "jsonl", "table", "dir"])

    def test_script(self) -> None:
        """The completion script for a shell is printed."""
        os.environ["_TXMIRROR_COMPLETE"] = "zsh_source"
        out = io.BytesIO()
        self.patch(sys, "stdout", io.TextIOWrapper(out))
        self.assertEqual(self.assertRaises(SystemExit, self.main).code, 0)
        self.assertIn(b"compdef _txmirror_completion txmirror", out.getvalue())
