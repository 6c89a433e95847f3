"""bash, zsh and fish load the scripts for completion, and complete commands and paths with the command and a server."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest import SkipTest

from txmirror.test.integration.test_command import ProcessTestCase

#: How long anything may take, in seconds.
_PATIENCE = 20.0
_PATHS = ("/shells", "/shells/a:80", "/shells/b,c", "/shells/x y", "/shells/é")


class ShellTestCase(ProcessTestCase):
    shell = ""
    #: The file of the script, below the folder.
    script = "script"

    def setUp(self) -> None:
        super().setUp()
        found = shutil.which(self.shell)
        if found is None:
            raise SkipTest(f"{self.shell} is not installed")
        self.found = found
        self.folder = Path(self.mktemp()).absolute()
        (self.folder / "bin").mkdir(parents=True)
        program = self.folder / "bin" / "txmirror"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m txmirror "$@"\n')
        program.chmod(0o755)
        script = self.folder / self.script
        script.parent.mkdir(parents=True, exist_ok=True)
        status, text, err = self.done("completion", self.shell)
        self.assertEqual((status, err), (0, ""))
        script.write_text(text)
        # The server is that of all tests in this process.
        if self.done("get", _PATHS[-1])[0] != 0:
            for path in _PATHS:
                self.assertEqual(self.done("create", path)[0], 0)
        self.environment_added = {
            "HOME": str(self.folder),
            "LC_ALL": "C.UTF-8",
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "TERM": "dumb",
            "XDG_DATA_DIRS": str(self.folder),
        }

    def ask(self, line: str) -> list[str]:
        """Return the completions of a line."""
        raise NotImplementedError

    def complete(self, line: str) -> list[str]:
        """Return the completions of a line. If the machine is so busy that the server's answer comes too late, ask again."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            found = self.ask(line)
            if found or time.monotonic() > deadline:
                return found

    def run_shell(self, *arguments: str) -> list[str]:
        """Run the shell, and return the lines of its output."""
        done = subprocess.run(
            [self.found, *arguments],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=60,
        )
        self.assertEqual(done.stderr, "")
        return done.stdout.splitlines()


class BashTests(ShellTestCase):
    shell = "bash"

    def ask(self, line: str) -> list[str]:
        quoted = shlex.quote(line)
        asking = (
            f". ./script; complete -p txmirror >/dev/null; COMP_LINE={quoted}; COMP_POINT=${{#COMP_LINE}}; "
            '_txmirror_completion txmirror; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        return [each for each in self.run_shell("--norc", "-c", asking) if each]

    def test_completion(self) -> None:
        self.assertEqual(self.complete("txmirror ge"), ["get"])
        self.assertEqual(self.complete("txmirror get /shel"), ["/shells", "/shells/"])
        # bash replaces only the part after the last colon.
        self.assertEqual(self.complete("txmirror get -r /shells/a:"), ["80"])
        self.assertEqual(self.complete("txmirror get /shells/b"), ["/shells/b\\,c"])
        self.assertEqual(self.complete("txmirror get /shells/x"), ["/shells/x\\ y"])

    def test_silent(self) -> None:
        """Without an answer there is nothing, not even a message."""
        self.assertEqual(self.ask("txmirror -s 127.0.0.1:1 get /shel"), [])


class FishTests(ShellTestCase):
    shell = "fish"
    script = "fish/vendor_completions.d/txmirror.fish"

    def ask(self, line: str) -> list[str]:
        # fish finds the script by the command's name, as where the package is installed.
        return self.run_shell("-c", f"complete -C {shlex.quote(line)}")

    def test_completion(self) -> None:
        self.assertEqual(self.complete("txmirror ge"), ["get\tPrint the data of the nodes at PATH."])
        self.assertEqual(self.complete("txmirror get /shel"), ["/shells", "/shells/"])
        self.assertEqual(self.complete("txmirror get -r /shells/"), sorted(_PATHS[1:]))

    def test_help(self) -> None:
        """The help of an option is whole, also behind a comma."""
        (line,) = self.complete("txmirror queue get --consume-w")
        self.assertTrue(line.endswith("."), line)

    def test_silent(self) -> None:
        self.assertEqual(self.ask("txmirror -s 127.0.0.1:1 get /shel"), [])


class ZshTests(ShellTestCase):
    shell = "zsh"
    script = "functions/_txmirror"

    def ask(self, line: str) -> list[str]:
        """Type a line into an interactive shell, complete it, and return the line then; nothing if it is the same."""
        result = self.folder / "result"
        result.unlink(missing_ok=True)
        # Typed in one line; the shell writes "ready" only when it has run it.
        setting_up = (
            "fpath=(./functions $fpath); autoload -Uz compinit; compinit -u -D;"
            ' completed() { zle complete-word; print -r -- "$BUFFER" >result.new; mv result.new result };'
            " zle -N completed; bindkey '^T' completed; unsetopt beep; print re''ady\n"
        )
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [self.found, "-f", "-i"],
            env=self.environment,
            cwd=self.folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        try:
            os.write(ours, setting_up.encode())
            self.assertIn(b"\nready", self.read_until(ours, lambda seen: b"\nready" in seen))
            os.write(ours, line.encode() + b"\x14")
            shown = self.read_until(ours, lambda _: result.exists())
            self.assertTrue(result.exists(), shown)
            self.assertNotIn(b"_txmirror", shown)
        finally:
            process.kill()
            process.wait()
            os.close(ours)
        completed = result.read_text(encoding="utf-8").removesuffix("\n")
        return [] if completed == line else [completed]

    def read_until(self, terminal: int, over: Callable[[bytes], bool]) -> bytes:
        """Return the output of the shell until a condition is met."""
        seen = b""
        deadline = time.monotonic() + _PATIENCE
        while not over(seen) and time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.05)[0]:
                with contextlib.suppress(OSError):
                    seen += os.read(terminal, 4096)
        return seen

    def test_completion(self) -> None:
        self.assertEqual(self.complete("txmirror ge"), ["txmirror get "])
        self.assertEqual(self.complete("txmirror get /shel"), ["txmirror get /shells"])
        self.assertEqual(self.complete("txmirror get -r /shells/a"), ["txmirror get -r /shells/a:80 "])
        self.assertEqual(self.complete("txmirror get /shells/b"), ["txmirror get /shells/b,c "])
        self.assertEqual(self.complete("txmirror get /shells/x"), ["txmirror get /shells/x\\ y "])

    def test_silent(self) -> None:
        self.assertEqual(self.ask("txmirror -s 127.0.0.1:1 get /shel"), [])
