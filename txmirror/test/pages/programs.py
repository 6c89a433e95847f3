"""A process that has imported Twisted and txmirror, and forks for each Python program of a page.

The programs are real processes, with the arguments, environment, folder, streams and process group of the command line that starts them;
only the half second for the imports is saved. A small script named ``python``, ``txmirror`` or ``twistd`` in a folder of the
``PATH`` passes the command line on over a UNIX socket (:data:`SCRIPT`), forwards signals, and exits with the program's status.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import io
import json
import os
import random
import runpy
import selectors
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

SCRIPT = """\
#!{python} -ISE
import json, os, signal, socket, sys
link = socket.socket(socket.AF_UNIX)
link.connect({address!r})
command = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
request = {{"command": command, "folder": os.getcwd(), "environment": dict(os.environ), "process": os.getpid()}}
for number in (signal.SIGINT, signal.SIGQUIT):
    request.setdefault("ignored", []).extend([number] if signal.getsignal(number) is signal.SIG_IGN else [])
    signal.signal(number, signal.SIG_IGN)
data = json.dumps(request).encode()
socket.send_fds(link, [len(data).to_bytes(4, "big")], [0, 1, 2])
link.sendall(data)
child = int.from_bytes(link.recv(4), "big")
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, lambda number, _: os.kill(child, number))
for number in (0, 1, 2):
    os.close(number)
status = int.from_bytes(link.recv(4), "big", signed=True)
if status < 0:
    signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
os._exit(status)
"""
#: The commands that the script stands for, and the module and function that each of them runs.
COMMANDS = {
    "txmirror": ("txmirror.cli", "main"),
    "twistd": ("twisted.scripts.twistd", "run"),
    "trial": ("twisted.scripts.trial", "run"),
}
#: The modules that most programs need. None of them installs a reactor.
_IMPORTS = (
    "txmirror.aio",
    "txmirror.cli.command",
    "txmirror.cli.changing",
    "txmirror.cli.coordinating",
    "txmirror.cli.examining",
    "txmirror.cli.inspecting",
    "txmirror.cli.launch",
    "txmirror.cli.observing",
    "txmirror.cli.running",
    "txmirror.cli.transferring",
    "txmirror.embedded",
    "txmirror.endpoints",
    "txmirror.recipes",
    "txmirror.configuration",
    "txmirror.discovery",
    "txmirror.testing",
    "twisted.application.app",
    "twisted.scripts._twistd_unix",
    "twisted.trial.unittest",
    "twisted.web.server",
)


def serve(address: str) -> None:
    """Accept requests at a UNIX socket, and fork for each of them, until the standard input ends."""
    for name in _IMPORTS:
        importlib.import_module(name)
    assert "twisted.internet.reactor" not in sys.modules
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as selector:
        listener.bind(address)
        listener.listen(64)
        selector.register(listener, selectors.EVENT_READ)
        selector.register(0, selectors.EVENT_READ)
        #: The processes by the descriptors with which they are waited for, and by their connections.
        running: dict[int, tuple[int, socket.socket]] = {}
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            for key, _ in selector.select():
                if key.fileobj == 0:
                    for child, _link in running.values():
                        os.kill(child, signal.SIGKILL)
                    return
                if key.fileobj is listener:
                    link, _address = listener.accept()
                    child = _start(link)
                    ended = os.pidfd_open(child)
                    running[ended] = (child, link)
                    selector.register(ended, selectors.EVENT_READ)
                    selector.register(link, selectors.EVENT_READ, ended)
                elif key.data is not None:
                    # The script was killed, unless the process has ended in this very turn, and the connection is closed already.
                    child, link = running.get(key.data, (0, listener))
                    if link is key.fileobj:
                        selector.unregister(link)
                        os.kill(child, signal.SIGKILL)
                else:
                    _finish(selector, key.fd, *running.pop(key.fd))


def _finish(selector: selectors.BaseSelector, ended: int, child: int, link: socket.socket) -> None:
    """Send the exit status of a process that has ended."""
    selector.unregister(ended)
    os.close(ended)
    with contextlib.suppress(KeyError):
        selector.unregister(link)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with link, contextlib.suppress(OSError):
        link.sendall(status.to_bytes(4, "big", signed=True))


def _start(link: socket.socket) -> int:
    """Read a request, fork, and return the number of the process."""
    head, streams, *_ = socket.recv_fds(link, 4, 3)
    data = b""
    while len(data) < int.from_bytes(head, "big"):
        data += link.recv(65536)
    child = os.fork()
    if child:
        for stream in streams:
            os.close(stream)
        link.sendall(child.to_bytes(4, "big"))
        return child
    status = 1
    try:
        _become(json.loads(data), streams)
        status = _run(json.loads(data)["command"])
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _become(request: Mapping[str, object], streams: Sequence[int]) -> None:
    """Take the streams, the folder, the environment and the process group of the command line."""
    os.setpgid(0, os.getpgid(int(str(request["process"]))))
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, 256)
    os.chdir(str(request["folder"]))
    environment = request["environment"]
    assert isinstance(environment, dict)
    os.environ.clear()
    os.environ.update(environment)
    ignored = request["ignored"]
    assert isinstance(ignored, list)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), encoding="utf-8")
    # By lines, as on a terminal, which readers of the page have.
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        buffer = io.BufferedWriter(io.FileIO(descriptor, "w", closefd=False))
        setattr(sys, name, io.TextIOWrapper(buffer, "utf-8", "backslashreplace", line_buffering=True))
    random.seed()


def _run(command: list[str]) -> int:
    """Run a command line of Python, or of a program in Python, and return the exit status."""
    name, *arguments = command
    try:
        if name in COMMANDS:
            module, function = COMMANDS[name]
            sys.argv = command
            status: object = getattr(importlib.import_module(module), function)()
        elif arguments[0] == "-m":
            sys.argv = arguments[1:]
            sys.path.insert(0, str(Path.cwd()))
            status = runpy.run_module(arguments[1], run_name="__main__", alter_sys=True) and 0
        elif arguments[0] == "-c":
            sys.argv = ["-c", *arguments[2:]]
            sys.path.insert(0, "")
            exec(arguments[1], {"__name__": "__main__"})  # noqa: S102 - it is the command line of a page
            status = 0
        else:
            sys.argv = arguments
            sys.path.insert(0, str(Path(arguments[0]).resolve().parent))
            status = runpy.run_path(arguments[0], run_name="__main__") and 0
    except SystemExit as exit_:
        status = exit_.code
        if isinstance(status, str):
            sys.stderr.write(f"{status}\n")
            status = 1
    except KeyboardInterrupt:
        traceback.print_exc()
        status = 130
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    return status if isinstance(status, int) else 0


if __name__ == "__main__":
    serve(sys.argv[1])
