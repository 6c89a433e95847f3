"""A page's terminals: real shells, in a folder of their own, whose commands and outputs are those of the page.

The page shows the usual ports, such as 2181. The tests use free ones in their place, and put the page's back into what is printed.
Times, ids of sessions and processes, and random ports may differ from those of the page.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from txmirror.test.pages.blocks import Block
from txmirror.test.pages.programs import COMMANDS, SCRIPT
from txmirror.test.zookeeper import free_ports

#: How long a command may take, and how long its output may, in seconds.
LIMIT = 20.0
#: Ports that pages show, for which each run of a page has free ones.
_PORTS = (2181, 2182, 2183, 2281, 2888, 2889, 2890, 3888, 3889, 3890, 8080, 8081, 8580)
_PORT = re.compile(rf"(?<![\d.])({'|'.join(map(str, _PORTS))})(?!\d)")
#: The embedded server, which listens at 2181 by default.
_EMBEDDED = re.compile(r"-m txmirror\.embedded\b(?!.*--listen)")
#: Also within the string of an endpoint.
_OTHER_SERVERS = re.compile(r"zk1(\\?):2181,zk2\\?:2181(,zk3\\?:2181)?")
#: What differs from run to run, and what takes its place on both sides.
_DIFFERENT = [
    (re.compile(r"\b[0-9a-f]{32}(?![0-9a-f])"), "<guid>"),
    # The message of a shell that is not interactive has more.
    (re.compile(r"^(?:.*: line \d+: +\d+ )?(Quit|Killed)\b.*"), r"\1"),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d([.,]\d+)?(Z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"\b\d\d:\d\d:\d\d(\.\d+)?\b"), "<time>"),
    (re.compile(r"\b0x[0-9a-f]{6,}\b"), "<id>"),
    (re.compile(r"(\"?\bpid\b\"?[:=] ?|process )\d+"), r"\1<pid>"),
    # Ports that the system has chosen.
    (re.compile(r"(?<![\w.])[3-6]\d{4}(?!\w|\.\d)"), "<port>"),
    (re.compile(r"\bin \d+\.\d+ ?s\b"), "in <seconds>"),
    (re.compile(r"\b_c_[0-9a-f-]{36}-"), "_c_<guid>-"),
    # Fencing tokens.
    (re.compile(r"\btoken \d+"), "token <number>"),
]
#: The keys that send a signal, as pages show them.
_KEYS = {"^C": signal.SIGINT, "^\\": signal.SIGQUIT}


class PageFailed(AssertionError):
    """A command of the page failed, or printed something else."""


class Programs:
    """The process that forks for Python programs, and the folder with the scripts that ask it to."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="txmirror-pages-"))
        self.scripts = self._folder / "bin"
        self.scripts.mkdir()
        address = str(self._folder / "socket")
        for name in ("python", "python3", *COMMANDS):
            script = self.scripts / name
            script.write_text(SCRIPT.format(python=sys.executable, address=address), encoding="utf-8")
            script.chmod(0o755)
        command = [sys.executable, "-m", "txmirror.test.pages.programs", address]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError("the process for the programs of pages did not start")

    def stop(self) -> None:
        """End it, with all programs that still run."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        shutil.rmtree(self._folder)


@functools.cache
def shared_programs() -> Programs:
    """Return the process of all pages of one run: it starts when first asked for, and stops when the interpreter exits."""
    programs = Programs()
    atexit.register(programs.stop)
    return programs


class Page:
    """The folder and the terminals of one page.

    :param programs: runs the programs in Python.
    :param examples: the folder ``docs/examples``.
    """

    def __init__(self, programs: Programs, examples: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="txmirror-page-"))
        self._examples = examples
        self._ports = dict(zip(map(str, _PORTS), map(str, free_ports(len(_PORTS))), strict=True))
        self._shown = {port: shown for shown, port in self._ports.items()}
        self._terminals: dict[str, Terminal] = {}
        self.environment = {
            "PATH": f"{programs.scripts}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TXMIRROR_SERVERS": self.translate("127.0.0.1:2181"),
            "COLUMNS": "100",
            # Java servers start in half the time.
            "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto -Dzookeeper.forceSync=no",
        }

    def translate(self, text: str) -> str:
        """Replace the page's addresses by those of this run."""
        text = _EMBEDDED.sub("-m txmirror.embedded --listen 127.0.0.1:2181", text)
        text = _OTHER_SERVERS.sub(r"127.0.0.1\1:2181", text)
        return _PORT.sub(lambda found: self._ports[found[1]], text)

    def as_shown(self, text: str) -> str:
        """Replace the addresses of this run by those of the page."""
        return re.sub(r"\d{5}", lambda found: self._shown.get(found[0], found[0]), text)

    def start_server(self) -> None:
        """Run the server that the page expects, and wait until it listens."""
        server = Terminal(self)
        server.start("python -m txmirror.embedded")
        server.expect(["...", "... listening at 127.0.0.1:2181"])
        self._terminals[" server of the page"] = server

    def write(self, name: str, text: str) -> None:
        """Write a file that the page shows."""
        (self.folder / name).write_text(self.translate(text), encoding="utf-8")

    def include(self, block: Block) -> None:
        """Copy an example that the page shows."""
        source = self._examples.parent / block.argument.lstrip("/").removeprefix("../")
        self.write(source.name, source.read_text(encoding="utf-8"))

    def run(self, block: Block) -> None:
        """Run the commands of a block in its terminal, and compare their outputs.

        :raises PageFailed: one failed, or printed something else.
        """
        name, _, more = block.marks.get("terminal", "").partition(" (")
        terminal = self._terminals.setdefault(name, Terminal(self))
        steps = list(split(block.lines))
        for number, (command, expected) in enumerate(steps):
            try:
                if command in _KEYS:
                    terminal.send(_KEYS[command])
                elif command:
                    terminal.start(command)
                if more == "keeps running)" and number == len(steps) - 1 and command not in _KEYS:
                    terminal.expect(expected)
                elif command or not more:
                    before_status = number + 1 < len(steps) and steps[number + 1][0] == "echo $?"
                    terminal.finish(expected, any_status=before_status or command in _KEYS)
            except PageFailed as failed:
                raise PageFailed(f"line {block.line}: $ {command}\n{failed}") from None

    def close(self) -> None:
        """End all programs that still run, and remove the folder."""
        for terminal in self._terminals.values():
            terminal.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def split(lines: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the commands of a block, each with its output. Output before the first command belongs to the command ``""``."""
    command, output, begun = "", list[str](), False
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if line.startswith("$ ") or line in _KEYS:
            if begun or output:
                yield command, output
            command, output, begun = line.removeprefix("$ "), [], True
            while (
                line not in _KEYS and number < len(lines) and (lines[number].startswith("> ") or command.endswith("\\"))
            ):
                command += "\n" + lines[number].removeprefix("> ")
                number += 1
        else:
            output.append(line)
    yield command, output


class Terminal:
    """A shell: one command at a time, each with the folder, the variables and the status that the last one has left."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._process: subprocess.Popen[bytes] | None = None
        self._status = 0
        self._state = Path(tempfile.mkstemp(dir=page.folder, prefix=".state-")[1])
        self._output = Path(tempfile.mkstemp(dir=page.folder, prefix=".output-")[1])
        self._groups: list[int] = []
        #: The number of lines of the running command that were compared.
        self._compared = 0

    def start(self, command: str) -> None:
        """Start a command."""
        if self._process is not None:
            raise PageFailed("the last command of this terminal still runs")
        state = shlex.quote(str(self._state))
        line = (
            f"source {state}\n"
            f"ulimit -c 0; (exit {self._status})\n"
            f"{self._page.translate(command)}\n"
            f'status=$?; {{ echo cd $(printf %q "$PWD"); export -p; }} > {state}; exit $status'
        )
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                ["bash", "--norc", "--noprofile", "-c", line],
                cwd=self._page.folder,
                env=self._page.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A process group of its own, for Ctrl-C, in the session of the process that forks the programs.
                preexec_fn=os.setpgrp,  # noqa: PLW1509 - Python 3.10 has nothing else, and nothing forks here in a thread
            )
        self._groups.append(self._process.pid)
        self._compared = 0

    def _lines(self) -> list[str]:
        text = self._output.read_bytes().decode("utf-8", "replace")
        return self._page.as_shown(text).splitlines()

    def _new_lines(self) -> list[str]:
        return self._lines()[self._compared :]

    def expect(self, expected: Sequence[str]) -> None:
        """Wait until the running command has printed something."""
        deadline = time.monotonic() + LIMIT
        while not matches(expected, printed := self._new_lines()):
            if time.monotonic() > deadline or not self._running():
                raise PageFailed(difference(expected, printed))
            threading.Event().wait(0.01)
        self._compared += len(printed)

    def _running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def finish(self, expected: Sequence[str], *, any_status: bool) -> None:
        """Wait until the running command has ended, and compare its output."""
        assert self._process is not None, "nothing runs in this terminal"
        try:
            self._status = self._process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            raise PageFailed("it does not end\n" + difference(expected, self._new_lines())) from None
        self._process = None
        printed = self._new_lines()
        if not matches(expected, printed):
            raise PageFailed(difference(expected, printed))
        if self._status and not any_status:
            raise PageFailed(f"its status is {self._status}")

    def send(self, number: signal.Signals) -> None:
        """Send the signal of a key to all processes in the foreground."""
        assert self._process is not None, "nothing runs in this terminal"
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """End everything that still runs, also in the background."""
        for group in self._groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()


def normal(line: str) -> str:
    """Return a line of output without that which differs from run to run."""
    for pattern, replacement in _DIFFERENT:
        line = pattern.sub(replacement, line)
    return line.rstrip()


def matches(expected: Sequence[str], printed: Sequence[str]) -> bool:
    """Return whether lines were printed as expected. ``...`` is any text; alone in a line, any number of lines."""
    parts = []
    for line in expected:
        if line.strip() == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(".*".join(re.escape(normal(part)) if part else "" for part in line.split("...")) + r"\n")
    return re.fullmatch("".join(parts), "".join(f"{normal(line)}\n" for line in printed)) is not None


def difference(expected: Sequence[str], printed: Sequence[str]) -> str:
    """Describe a difference."""
    return "\n".join(
        ["the page shows:", *(f"  {line}" for line in expected), "it printed:", *(f"  {line}" for line in printed)]
    )
