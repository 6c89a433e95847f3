"""Shells complete paths from the server, in bounded time, and without a message if that fails."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from click.shell_completion import ShellComplete
from twisted.trial.unittest import SynchronousTestCase

from txmirror.cli.command import txmirror as command
from txmirror.cli.completing import Bash
from txmirror.cli.invocation import Invocation
from txmirror.cli.run import Program
from txmirror.cli.settings import Settings
from txmirror.test.cli.case import Command, CommandTestCase, Input
from txmirror.test.cli.test_command import CommandLineTestCase
from txmirror.test.pages.found import tested_blocks

#: Commands that print the function that completes words of the command, in each shell.
_COMPLETIONS = {
    "bash": "complete -p txmirror",
    "zsh": "print $_comps[txmirror]",
    "fish": "complete --command txmirror",
}


class PathTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(os, "environ", {name: value for name, value in os.environ.items() if "TXMIRROR" not in name})
        for path in ("/services", "/services/web", "/services/web/a:80", "/services/web/b:80", "/settings", "/x y"):
            self.make(path)
        self.seconds = 0.0

    def complete(self, *words: str, servers: str = "", left: bool = False) -> list[str]:
        """Return the completions of the last word.

        :param left: whether a session may be left.
        """
        return [text for _, text in self.kinds(*words, servers=servers, left=left)]

    def kinds(self, *words: str, servers: str = "", left: bool = False) -> list[tuple[str, str]]:
        """Return the completions of the last word with their kinds."""

        def launch(settings: Settings, program: Program) -> int:
            # It writes to the streams of the process.
            run = Command(self.world)
            run.launch(settings, program)
            begun = self.reactor.seconds()
            while run.running and self.reactor.seconds() < begun + 10.0:
                self.world.pass_time(0.1)
            self.seconds = self.reactor.seconds() - begun
            self.assertFalse(run.running)
            return 0

        invocation = Invocation(launch, Input())
        completer = ShellComplete(command, {"obj": invocation}, "txmirror", "_TXMIRROR_COMPLETE")
        arguments = ["-s", servers or self.world.connect_string, *words[:-1]]
        found = [(item.type, item.value) for item in completer.get_completions(arguments, words[-1])]
        if not left:
            self.assertEqual(self.world.server.sessions, {self.other.session_id})
        return found

    def test_paths(self) -> None:
        """The names of the parent's children that begin with the last part; the only one also with a slash if it has children."""
        self.assertEqual(self.complete("get", "/se"), ["/services", "/settings"])
        self.assertEqual(self.complete("get", "/ser"), ["/services", "/services/"])
        self.assertEqual(self.complete("get", "/services/"), ["/services/web", "/services/web/"])
        self.assertEqual(self.complete("get", "/services/web/a:"), ["/services/web/a:80"])
        self.assertEqual(self.complete("get", "/missing/"), [])
        self.assertIn("/zookeeper", self.complete("ls", ""))

    def test_commands(self) -> None:
        """All commands with paths complete them."""
        for words in (
            ("set",),
            ("acl", "get"),
            ("stat", "/x"),
            ("lock",),
            ("queue", "put"),
            ("watch", "-r"),
            ("create",),
            ("diff", "/x"),
            ("doctor", "--write"),
        ):
            self.assertEqual(self.complete(*words, "/set"), ["/settings"], words)

    def test_files(self) -> None:
        """The shell completes names of files."""
        for words in (
            ("export", "/a"),
            ("import", "/a"),
            ("diff", "/a", "--file"),
            ("status", "--control"),
            ("lock", "/a", "--"),
        ):
            self.assertEqual(self.kinds(*words, "some"), [("file", "some")], words)

    def test_out_of_reach(self) -> None:
        """Without an answer there are no completions, after a second or so."""
        self.reactor.black_hole("127.0.0.1", 2)
        for servers in ("127.0.0.1:1", "127.0.0.1:2", "nowhere:2181"):
            self.assertEqual(self.complete("get", "/se", servers=servers), [])
            self.assertLess(self.seconds, 1.5)

    def test_slow_server(self) -> None:
        """So it is if the server answers too late. Then the session expires."""
        self.world.server.delay_next("get_children", 5.0)
        self.assertEqual(self.complete("get", "/se", left=True), [])
        self.assertLess(self.seconds, 1.5)
        self.world.pass_time(30.0)
        self.assertEqual(self.world.server.sessions, {self.other.session_id})

    def test_invalid(self) -> None:
        """Invalid options complete nothing."""
        self.assertEqual(self.complete("get", "--profile", "none", "/se"), [])
        self.assertEqual(self.complete("get", "relative"), [])


class ScriptTests(CommandLineTestCase):
    def script(self, shell: str) -> str:
        self.assertEqual(self.main("completion", shell), 0)
        return self.out.getvalue()

    def test_scripts(self) -> None:
        """The scripts of all shells ask this command."""
        for shell, expected in (
            ("bash", "complete -o nosort -F _txmirror_completion txmirror"),
            ("zsh", "compdef _txmirror_completion txmirror"),
            ("fish", "complete --no-files --command txmirror"),
        ):
            text = self.script(shell)
            self.assertIn(expected, text)
            self.assertIn(f"_TXMIRROR_COMPLETE={shell}_complete", text)

    def test_page(self) -> None:
        """Each line of the documentation makes its shell complete the command's words. Shells that are not installed are left out."""
        (block,) = tested_blocks("docs/operations/command.rst", __name__)
        found = {re.search("completion ([a-z]+)", line)[1]: line for line in block.lines}  # type: ignore[index]
        self.assertEqual(list(found), ["bash", "zsh", "fish"])
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "txmirror").write_text(f'#!/bin/sh\nexec {sys.executable} -m txmirror "$@"\n')
        (folder / "txmirror").chmod(0o755)
        environment = {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(folder), "PYTHONPATH": ":".join(sys.path)}
        for shell, line in found.items():
            if shutil.which(shell):
                before = "autoload -U compinit; compinit -u; " if shell == "zsh" else ""
                command = [shell, "-c", f"{before}{line}\n{_COMPLETIONS[shell]}"]
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)
                self.assertEqual((done.returncode, done.stderr), (0, ""), done)
                self.assertIn("_txmirror_completion", done.stdout, shell)

    def test_unknown(self) -> None:
        self.assertEqual(self.main("completion", "tcsh"), 64)
        self.assertIn("'tcsh'", self.err.getvalue())

    def test_bash(self) -> None:
        """In bash, words with colons and spaces are completed."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "script").write_text(self.script("bash"))
        program = folder / "program"
        program.write_text('#!/bin/sh\nprintf "plain,/a:80\\nplain,/a:81\\nplain,/a:x y\\n"\n')
        program.chmod(0o755)
        line = "X=1 txmirror get -r /a:"
        asking = (
            f'. ./script; COMP_LINE="{line} later"; COMP_POINT={len(line)}; _txmirror_completion ./program; '
            'printf "%s\\n" "${COMPREPLY[@]}"'
        )
        done = subprocess.run(
            ["bash", "-c", asking], cwd=folder, capture_output=True, text=True, check=True, timeout=20
        )
        self.assertEqual((done.stdout, done.stderr), ("80\n81\nx\\ y\n", ""))


class WordTests(SynchronousTestCase):
    def test_words(self) -> None:
        """The line of bash is split as by the shell, without the variables before the command."""
        completer = Bash(command, {}, "txmirror", "_TXMIRROR_COMPLETE")
        for line, expected in (
            ("txmirror ", ([], "")),
            ("txmirror ge", ([], "ge")),
            ("X=1 txmirror get -r /a:8", (["get", "-r"], "/a:8")),
            ("txmirror get 'a b' ", (["get", "a b"], "")),
        ):
            self.patch(os, "environ", {**os.environ, "COMP_WORDS": line})
            self.assertEqual(completer.get_completion_args(), expected)
