"""The nodes of W6, W7h and W7r, and the common part of all peers that mirror them.

The measured process prints the time of its mirror's warm-up. For W7h and W7r it then waits for a signal, which starts
the clock again, and stops it when the mirror shows all changes; then it prints that time, and all nodes of its mirror.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable

from clock import Clock, memory
from raw import Server, create, encoded

from txmirror.wire import Cursor, DeleteRequest, GetDataRequest, GetDataResponse, SetDataRequest

ROOT = "/txmirror-mirrored"
NEW = b"y" * 100
#: How many leaves are below each parent.
FAMILY = 100
#: How many of the leaves are changed.
CHANGED = 100


def leaves(count: int) -> list[str]:
    """Return the paths of a number of leaves."""
    return [f"{ROOT}/p{number // FAMILY}/n{number % FAMILY}" for number in range(count)]


def parents(count: int) -> list[str]:
    """Return the paths of their parents."""
    return [f"{ROOT}/p{number}" for number in range(-(-count // FAMILY))]


def changed(count: int) -> list[str]:
    """Return the paths of the leaves that are changed, spread over all."""
    return leaves(count)[:: count // CHANGED]


class Nodes:
    """The nodes at the server, and their changes, on a new connection each time.

    :param servers: the servers.
    :param count: the number of leaves.
    """

    def __init__(self, servers: str, count: int) -> None:
        self._servers = servers
        self._count = count
        for paths in ([ROOT], parents(count), leaves(count)):
            self._ask([create(path) for path in paths])

    def change(self) -> None:
        """Change some."""
        self._ask([encoded(SetDataRequest(path, NEW, -1)) for path in changed(self._count)])

    def read(self) -> dict[str, str]:
        """Return the data of each leaf."""
        paths = leaves(self._count)
        replies = self._ask([encoded(GetDataRequest(path, False)) for path in paths])
        held = [(GetDataResponse.decode(Cursor(reply, 16)).data or b"").decode() for reply in replies]
        return dict(zip(paths, held, strict=True))

    def remove(self) -> None:
        """Take them away."""
        for paths in (leaves(self._count), parents(self._count), [ROOT]):
            self._ask([encoded(DeleteRequest(path, -1)) for path in paths])

    def _ask(self, requests: list[bytes]) -> list[bytes]:
        server, replies = Server(self._servers), list[bytes]()
        server.outstanding(500, requests, replies.append)
        server.close()
        return replies


class Measurement:
    """Measures a process that mirrors the nodes. It is made when all is imported, and nothing is done yet.

    :param count: how many leaves there are.
    :param mirrors: how many mirrors of them the process is to have.
    :ivar bare: its memory before it has done anything, in MiB.
    """

    def __init__(self, count: int, mirrors: int = 1) -> None:
        self.count = count
        self.bare = memory("VmRSS")
        self._clock = Clock()
        self._left = {(number, path) for number in range(mirrors) for path in changed(count)}
        self._over: Callable[[], object] = lambda: None

    def begin(self) -> None:
        """Start the clock: a connection stands."""
        self._clock.start()

    def warm(self) -> None:
        """Stop it: the mirrors show everything."""
        self._stop()

    def wait(self, over: Callable[[], object]) -> None:
        """Go on when the signal comes.

        :param over: called when all is shown that was changed.
        """
        self._over = over
        # Only now is the signal asked for, and the process would die of it before.
        signal.signal(signal.SIGUSR1, lambda *_: self._clock.start())
        print("ready", flush=True)

    def shown(self, path: str, data: bytes | None, mirror: int = 0) -> bool:
        """Note the state of a node in a mirror; return whether it was the last one."""
        if data == NEW and self._left:
            self._left.discard((mirror, path))
            if not self._left:
                self._stop()
                self._over()
                return True
        return False

    def end(self, look_up: Callable[[str], bytes | None]) -> None:
        """Print all that is shown."""
        print(json.dumps({path: (look_up(path) or b"").decode() for path in leaves(self.count)}), flush=True)

    def _stop(self) -> None:
        self._clock.stop()
        figures = {**self._clock.figures, "peak": memory("VmHWM") - self.bare, "now": memory("VmRSS") - self.bare}
        print(json.dumps(figures), flush=True)


def arguments() -> tuple[str, str, int, int]:
    """Read a command line: ``W6 127.0.0.1:2181 10000 1``, the workload, the server, the leaves, the mirrors."""
    workload, servers, *numbers = sys.argv[1:]
    count, mirrors = (int(number) for number in numbers)
    return workload, servers, count, mirrors
