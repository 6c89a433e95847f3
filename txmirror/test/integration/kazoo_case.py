"""The common part of all tests with kazoo's clients."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError
from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.integration.servers import PATIENCE, ServerChoice, janitor

if TYPE_CHECKING:

    class _Base(ServerChoice, SynchronousTestCase):
        pass
else:
    _Base = object


class Thread(threading.Thread):
    """A thread that runs a function from the start, and keeps its result or exception."""

    def __init__(self, function: Callable[..., Any], *args: Any, **kw: Any) -> None:
        super().__init__(daemon=True)
        self._call = lambda: function(*args, **kw)
        self._outcomes: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue()
        self.start()

    def run(self) -> None:
        try:
            self._outcomes.put((self._call(), None))
        except BaseException as error:  # it is raised where it is asked for
            self._outcomes.put((None, error))

    def result(self) -> Any:
        """Wait for its result.

        :raises queue.Empty: it took too long.
        """
        value, error = self._outcomes.get(timeout=PATIENCE)
        if error is not None:
            raise error
        return value


class KazooCase(_Base):
    """Clients below a node of one test's own, where they see nothing else."""

    def setUp(self) -> None:
        self.address = self.server_address()
        self.root = "/kazoo-" + self.id().rpartition(".")[2]
        self._clients: list[KazooClient] = []
        self.addCleanup(self._clean_up)
        # What waits for a server that does not answer fails when its client ends.
        watchdog = threading.Timer(2 * PATIENCE, self._end_clients)
        watchdog.daemon = True
        watchdog.start()
        self.addCleanup(watchdog.cancel)
        janitor(self.address).create(self.root)
        self.client = self.make_client()

    def make_client(self, *, root: str | None = None, **options: Any) -> KazooClient:
        """Make a client that is connected, and ends with the test.

        :param root: the node that it takes for the root; by default the test's own.
        """
        retry = {"max_tries": -1, "delay": 0.05, "max_delay": 0.1, "max_jitter": 0.0}
        options = {"timeout": 5.0, "connection_retry": retry, **options}
        client = KazooClient(self.address + (self.root if root is None else root), **options)
        self._clients.append(client)
        client.start(PATIENCE)
        return client

    def _end_clients(self) -> None:
        while self._clients:
            client = self._clients.pop()
            try:
                client.stop()
                client.close()
            except (KazooException, KazooTimeoutError):
                pass

    def _clean_up(self) -> None:
        self._end_clients()
        janitor(self.address).delete(self.root, recursive=True)
