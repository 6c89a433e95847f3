"""The command as a process of its own: pipes, signals, a terminal, programs that it runs."""

from __future__ import annotations

import atexit
import functools
import os
import pty
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from txmirror.testing import ServerProcess

_COMMAND = (sys.executable, "-m", "txmirror")
#: How long anything may take, in seconds.
_PATIENCE = 20.0


@functools.cache
def shared_server() -> ServerProcess:
    """One server for all tests here, stopped at the end of the run."""
    server = ServerProcess()
    atexit.register(server.stop)
    return server


class ProcessTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.environment_added: dict[str, str] = {}

    @property
    def environment(self) -> dict[str, str]:
        added = {"TXMIRROR_SERVERS": shared_server().connect_string, "PYTHONIOENCODING": "utf-8"}
        return {**os.environ, **added, **self.environment_added}

    def begin(
        self, *arguments: str, stdin: int = subprocess.DEVNULL, command: Sequence[str] = _COMMAND
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*command, *arguments],
            env=self.environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

        def end() -> None:
            if process.poll() is None:
                process.kill()
            process.communicate()

        self.addCleanup(end)
        return process

    def done(self, *arguments: str, stdin: str | None = None) -> tuple[int, str, str]:
        """Run it to its end, and return its status and its output."""
        process = self.begin(*arguments, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE)
        out, err = process.communicate(stdin, timeout=_PATIENCE)
        return process.returncode, out, err

    def ended(self, process: subprocess.Popen[str]) -> tuple[int, str, str]:
        out, err = process.communicate(timeout=_PATIENCE)
        return process.returncode, out, err


class PipeTests(ProcessTestCase):
    def test_there_and_back(self) -> None:
        """Written data is read; standard input and output are redirected as by a shell."""
        self.assertEqual(self.done("create", "/é/x", "-", "--parents", stdin="notes\n"), (0, "/é/x\n", ""))
        self.assertEqual(self.done("tree", "/é", "-d"), (0, "/é\n└── x  notes\\n\n", ""))

    def test_no_server(self) -> None:
        """Without a server it ends in time, with one line."""
        began = time.monotonic()
        status, out, err = self.done("get", "/", "-s", "127.0.0.1:1", "--timeout", "0.2")
        self.assertEqual((status, out), (69, ""))
        self.assertRegex(err, r"\Atxmirror: no session with 127\.0\.0\.1:1 within 0\.2 s[^\n]*\n\Z")
        self.assertLess(time.monotonic() - began, _PATIENCE / 2)

    def test_nobody_reads(self) -> None:
        """When the other end of a pipe has closed, it goes without a word."""
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "w") as out:
            done = subprocess.run(
                [*_COMMAND, "ls"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.PIPE,
                check=False,
                timeout=_PATIENCE,
            )
        self.assertEqual((done.returncode, done.stderr), (141, b""))

    def test_closed_streams(self) -> None:
        """It ends also where it was started with its standard streams closed."""
        command = " ".join([*map(shlex.quote, _COMMAND), "ls", "/", "<&-", ">&-", "2>&-"])
        done = subprocess.run(["/bin/sh", "-c", command], env=self.environment, timeout=_PATIENCE, check=False)
        self.assertEqual(done.returncode, 0)

    def test_program_without_reader(self) -> None:
        """``watch --exec`` ends its program and itself when the reader of their output is gone."""
        program = "sh -c 'echo $$; exec sleep 60'"
        process = self.begin("watch", "/watched", "--exec", program, "--initial")
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(timeout=_PATIENCE)
        self.assertEqual((process.returncode, err), (141, ""))
        self.assertRaises(ProcessLookupError, os.kill, child, 0)

    def test_library_alone(self) -> None:
        """A program that imports the library does not load the packages of the command."""
        code = "import sys, txmirror.testing, txmirror.registry, txmirror.service; sys.exit('click' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], check=False, timeout=_PATIENCE)
        self.assertEqual(done.returncode, 0)


class LocaleTests(ProcessTestCase):
    """Paths and values of all characters, in environments that have fewer."""

    def run_bytes(self, *arguments: str, **variables: str) -> tuple[int, bytes, bytes]:
        environment = {**self.environment, **variables}
        if "PYTHONIOENCODING" not in variables:
            del environment["PYTHONIOENCODING"]
        done = subprocess.run(
            [*_COMMAND, *arguments], env=environment, capture_output=True, check=False, timeout=_PATIENCE
        )
        return done.returncode, done.stdout, done.stderr

    def test_locales(self) -> None:
        """Characters that the encoding of the output does not have are escaped; data are as they are."""
        self.done("create", "/ä", "größe €")
        utf8 = "txmirror: no such znode: '/ö€'\n".encode()
        escaped = b"txmirror: no such znode: '/\\xf6\\u20ac'\n"
        plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
        for variables, error, name in (
            ({"LC_ALL": "C"}, utf8, "ä".encode()),
            ({"LC_ALL": "C.UTF-8"}, utf8, "ä".encode()),
            (plain, escaped, b"\\xe4"),
            ({"LANG": "C", "PYTHONIOENCODING": "ascii"}, escaped, b"\\xe4"),
            ({"PYTHONIOENCODING": "latin-1"}, b"txmirror: no such znode: '/\xf6\\u20ac'\n", b"\xe4"),
        ):
            self.assertEqual(self.run_bytes("get", "/ä", **variables), (0, "größe €\n".encode(), b""), variables)
            self.assertEqual(self.run_bytes("stat", "/ö€", **variables), (1, b"", error), variables)
            self.assertIn(b"\n" + name + b"\n", self.run_bytes("ls", "/", **variables)[1], variables)

    def test_daemon(self) -> None:
        """So it is in the commands that use no session."""
        address = Path(tempfile.mkdtemp()) / "socket"
        self.addCleanup(shutil.rmtree, address.parent)
        body = "a € b\n".encode()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(address))
            listener.listen()
            command = [*_COMMAND, "metrics", "--control", str(address)]
            environment = {**self.environment, "PYTHONIOENCODING": "latin-1"}
            process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.addCleanup(process.kill)
            listener.settimeout(_PATIENCE)
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                out, err = process.communicate(timeout=_PATIENCE)
        self.assertEqual((process.returncode, out, err), (0, b"a \\u20ac b\n", b""))


class ProgramTests(ProcessTestCase):
    def run_shell(self, command: Sequence[str], script: str) -> tuple[int, str, str]:
        return self.done(*command, "--", "sh", "-c", script)

    def test_lock(self) -> None:
        """A program runs with our streams, and its status is ours; a signal for us is one for it."""
        script = (
            'sleep 60 & trap "kill $!; echo ended; exit 7" TERM; echo "token $TXMIRROR_TOKEN"; kill -TERM $PPID; wait'
        )
        status, out, err = self.run_shell(["lock", "/locks/a"], script)
        self.assertEqual((status, err), (7, ""))
        self.assertRegex(out, r"\Atoken [1-9][0-9]*\nended\n\Z")

    def test_register(self) -> None:
        """It is registered while the program runs."""
        ls = f"until {sys.executable} -m txmirror ls /services/ssh 2>/dev/null; do sleep 0.1; done; kill -KILL $$"
        status, out, err = self.run_shell(["register", "/services/ssh/server1:22"], ls)
        self.assertEqual((status, out, err), (137, "server1:22\n", "txmirror: registered: /services/ssh/server1:22\n"))


#: A module that the command imports, in which it stays until it is interrupted.
_SLOW_MODULE = """
import sys, time
print("importing", flush=True)
time.sleep(60)
"""


class InterruptedTests(ProcessTestCase):
    def test_while_importing(self) -> None:
        """A signal ends it without a word while its modules are imported, however it was started."""
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        (folder / "click.py").write_text(_SLOW_MODULE)
        self.environment_added = {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
        script = ("-c", "import sys; from txmirror.cli import main; sys.exit(main())")
        for number, start in ((signal.SIGINT, script), (signal.SIGTERM, script), (signal.SIGINT, ("-m", "txmirror"))):
            process = self.begin("ls", command=(sys.executable, *start))
            assert process.stdout is not None
            self.assertEqual(process.stdout.readline(), "importing\n")
            process.send_signal(number)
            self.assertEqual(self.ended(process), (128 + number, "", ""))

    def test_while_nobody_reads(self) -> None:
        """A signal ends it also while it waits for a reader of its output."""
        self.assertEqual(self.done("create", "/large", "-", stdin="x" * 500_000)[0], 0)
        process = self.begin("get", "/large", "-d")
        assert process.stdout is not None
        # Then it writes, and soon there is no room left.
        self.assertEqual(process.stdout.read(10), "path: /lar")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(_PATIENCE), 130)
        assert process.stderr is not None
        self.assertEqual(process.stderr.read(), "")


#: Says that it runs, and then what signal it gets.
_SAYS_SIGNAL = """
import signal, sys, time
def say(number, _):
    print(signal.Signals(number).name, flush=True)
    sys.exit(3)
for each in (signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(each, say)
print("running", flush=True)
time.sleep(60)
"""


class SignalTests(ProcessTestCase):
    def test_program(self) -> None:
        """No signal leaves a program that runs under a lock, or is registered, alone: it gets the signal."""
        for number in (signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
            process = self.begin("lock", "/locks/signals", "--", sys.executable, "-c", _SAYS_SIGNAL)
            assert process.stdout is not None
            self.assertEqual(process.stdout.readline(), "running\n")
            process.send_signal(number)
            self.assertEqual(self.ended(process), (3, f"{number.name}\n", ""))

    def test_registered(self) -> None:
        """No signal ends the command without a withdrawal."""
        for number in (signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
            process = self.begin("register", "/signals/one:1")
            assert process.stderr is not None
            self.assertEqual(process.stderr.readline(), "txmirror: registered: /signals/one:1\n")
            process.send_signal(number)
            self.assertEqual(self.ended(process), (0, "", ""))
            self.assertEqual(self.done("ls", "/signals"), (0, "", ""))


#: Makes the standard input its terminal, and becomes the command.
_AT_A_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class WatchTests(ProcessTestCase):
    def test_watch(self) -> None:
        """In a pipe and at a terminal each line is there at once, hostile names and data move nothing, and Ctrl-C ends it well."""
        piped = self.begin("watch", "/", "-rd")
        terminal, watching = self.begin_at_terminal("watch", "/", "-rd")
        assert piped.stdout is not None
        self.assertEqual(piped.stdout.readline(), "settled  /\n")
        self.assertEqual(self.read_line(terminal), b"settled  /")
        self.assertEqual(self.done("create", "/\u200bname", "\x1b[2J\x1b[31mred")[0], 0)
        line = r"added    /\u200bname  \x1b[2J\x1b[31mred"
        self.assertEqual(piped.stdout.readline(), f"{line}\n")
        self.assertEqual(self.read_line(terminal), line.encode())
        for _ in range(3):
            piped.send_signal(signal.SIGINT)
        os.write(terminal, b"\x03\x03\x03")
        self.assertEqual(self.ended(piped), (0, "", ""))
        self.assertEqual(watching.wait(_PATIENCE), 0)

    def begin_at_terminal(self, *arguments: str) -> tuple[int, subprocess.Popen[bytes]]:
        """Start it at a terminal of its own, and return that terminal's other side."""
        terminal, end = pty.openpty()
        self.addCleanup(os.close, terminal)
        with os.fdopen(end, "w") as streams:
            process = subprocess.Popen(
                [sys.executable, "-c", _AT_A_TERMINAL, *_COMMAND, *arguments],
                env=self.environment,
                stdin=streams,
                stdout=streams,
                stderr=streams,
                start_new_session=True,
            )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return terminal, process

    def read_line(self, terminal: int) -> bytes:
        line = b""
        while not line.endswith(b"\r\n"):
            line += os.read(terminal, 1)
        return line.removesuffix(b"\r\n")
