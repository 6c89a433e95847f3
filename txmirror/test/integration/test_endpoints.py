"""Web servers by the strings of their endpoints, as real processes on a real ZooKeeper: they are killed and stopped, and ZooKeeper is
restarted, under clients that go on sending requests.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from treq.client import HTTPClient
from twisted.application.internet import ClientService, backoffPolicy
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import clientFromString, quoteStringArgument
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from txmirror.endpoints import RegistryAgent, close_sessions
from txmirror.registry import ServiceRegistry
from txmirror.test.integration.test_twistd import TWISTD, Twistd
from txmirror.test.pages.found import tested_blocks
from txmirror.test.pages.terminals import split
from txmirror.test.zookeeper import ZooKeeperProcess

#: The longest time that anything may take, in seconds.
_PATIENCE = 20.0
#: The session timeout of servers and clients, in seconds.
_SESSION = 3
#: The pause between two requests of a client, in seconds.
_PAUSE = 0.01

#: The requests that treq sends all the time, by the client's name: the method, and the time that the answer takes.
_ALL = {"GET": ("GET", 0.0), "slow GET": ("GET", 0.05), "PUT": ("PUT", 0.0)}

#: Answers each request after some time with the number of its process.
_SCRIPT = """
import os

from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET


class Answer(Resource):
    isLeaf = True

    def render(self, request):
        after = float(request.args.get(b"after", [b"0"])[0])
        answering = reactor.callLater(after, self.answer, request)
        request.notifyFinish().addErrback(lambda _: answering.active() and answering.cancel())
        return NOT_DONE_YET

    def answer(self, request):
        answer = b"%d" % os.getpid()
        request.setHeader(b"content-length", b"%d" % len(answer))
        request.write(answer)
        request.finish()


resource = Answer()
"""


def _comparable(line: str) -> str:
    """Return a line of a log or of a list without its head, and without addresses and ports."""
    line = re.sub(r"^\S+ \[\S+\] ", "", line)
    return re.sub(r"(\d+(?:\.\d+){3}:)?\b\d{5}\b", "<address>", line)


class Asker(Protocol):
    """Sends one request after another on a connection that it keeps, as a client of any protocol does."""

    def __init__(self) -> None:
        self._data = b""
        self._answer: Deferred[bytes] | None = None

    def ask(self) -> Deferred[bytes]:
        """Return the answer to a request. Fails with ``ConnectionDone`` if the connection is lost."""
        answer: Deferred[bytes] = Deferred()
        self._answer = answer
        assert self.transport is not None
        self.transport.write(b"GET /answer.rpy HTTP/1.1\r\nHost: web\r\n\r\n")
        if not self.connected:
            self.connectionLost()
        return answer

    def dataReceived(self, data: bytes) -> None:
        self._data += data
        headers, end, body = self._data.partition(b"\r\n\r\n")
        if end:
            length = next(
                int(line[15:]) for line in headers.lower().split(b"\r\n") if line.startswith(b"content-length:")
            )
            if len(body) >= length and self._answer is not None:
                answer, self._answer, self._data = self._answer, None, b""
                answer.callback(body)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.connected = 0
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.errback(ConnectionDone())


class Load:
    """Clients, each of which sends its next request when it has the answer to the last one.

    :ivar answered: the processes that have answered, the latest last, by the client's name.
    :ivar failed: the failures.
    """

    def __init__(self, reactor: IReactorTime) -> None:
        self.answered: dict[str, list[int]] = {}
        self.failed: list[tuple[str, Failure]] = []
        self._reactor = reactor
        self._ends = False
        self._clients: list[Deferred[None]] = []

    def add(self, name: str, ask: Callable[[], Coroutine[Deferred[Any], Any, bytes | str]]) -> None:
        """Begin to send requests."""
        self.answered.setdefault(name, [])
        self._clients.append(Deferred.fromCoroutine(self._run(name, ask)))

    def one(self, name: str, asked: Coroutine[Deferred[Any], Any, bytes | str]) -> Deferred[None]:
        """Note the result of one request."""
        return Deferred.fromCoroutine(asked).addCallbacks(
            lambda answer: self.answered.setdefault(name, []).append(int(answer)),
            lambda failure: self.failed.append((name, failure)),
        )

    async def _run(self, name: str, ask: Callable[[], Coroutine[Deferred[Any], Any, bytes | str]]) -> None:
        while not self._ends:
            await self.one(name, ask())
            await deferLater(self._reactor, _PAUSE)

    def end(self) -> Deferred[Any]:
        self._ends = True
        return gatherResults(self._clients)


class Clients:
    """A client with treq, and one with Twisted's ClientService.

    :param servers: the address of ZooKeeper.
    :param session: the keys of the session in a string.
    """

    def __init__(self, servers: str, session: str, reactor: Any) -> None:
        self._registry = ServiceRegistry(servers, session_timeout=_SESSION, lazy=True, reactor=reactor)
        self._agent = RegistryAgent(self._registry, timeout=_PATIENCE)
        self._treq = HTTPClient(self._agent)
        endpoint = clientFromString(reactor, f"mirror:/services/web:wait={_PATIENCE:g}:{session}")
        self._service = ClientService(endpoint, Factory.forProtocol(Asker), backoffPolicy(0.05, 0.2), reactor)
        self._service.startService()
        self._reactor = reactor

    async def request(self, method: str, after: float = 0.0) -> str:
        """Send a request with treq, which the server answers after some seconds."""
        response = await self._treq.request(
            method,
            f"http+mirror://web/answer.rpy?after={after}",
            data=None if method == "GET" else b"body",
            reactor=self._reactor,
        )
        if response.code != 200:
            raise AssertionError(response.code)
        return await response.text()

    async def ask(self) -> bytes:
        """Send a request on the connection of the ClientService, and again on its next one if that is lost."""
        while True:
            protocol: Any = await self._service.whenConnected()
            try:
                answer: bytes = await protocol.ask()
            except ConnectionDone:
                await deferLater(self._reactor, 0)
            else:
                return answer

    async def close(self) -> None:
        await self._agent.close()
        await self._service.stopService()
        await self._registry.stop()
        await close_sessions(self._reactor)


class EndpointsTests(TestCase):
    timeout = 120

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.server = ZooKeeperProcess()
        self.addCleanup(self.server.cleanup)
        self.folder = Path(tempfile.mkdtemp(prefix="txmirror-web-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        (self.folder / "answer.rpy").write_text(_SCRIPT)
        self.load = Load(reactor)

    @property
    def session(self) -> str:
        return f"hosts={quoteStringArgument(self.server.address)}:session_timeout={_SESSION}"

    def web(self) -> Twistd:
        """Start a web server, on any port."""
        start, _stop = tested_blocks("docs/guides/endpoints.rst", __name__)
        (_, (line, _), _) = split(start.lines)
        twistd, *options, path, listen, endpoint = shlex.split(line, comments=True)
        self.assertEqual((twistd, path, listen), ("twistd", "/srv/www", "--listen"))
        endpoint += rf"\:interface=127.0.0.1:advertise=127.0.0.1:drain=3:{self.session}"
        web = Twistd(*options, str(self.folder), listen, endpoint, command=TWISTD)
        self.addCleanup(web.cleanup)
        return web

    async def until_answered_by(self, *servers: Twistd) -> None:
        """Wait until each client with treq has answers from each of some servers from now on. (The other one keeps its server.)"""
        wanted = {each.process.pid for each in servers}
        since = {name: len(self.load.answered[name]) for name in _ALL}

        def answered() -> bool:
            return all(wanted <= set(self.load.answered[name][count:]) for name, count in since.items())

        await self.until(answered, servers)

    async def until_ended(self, server: Twistd) -> None:
        await self.until(lambda: server.process.poll() is not None, (server,))

    async def until(self, reached: Callable[[], bool], servers: Sequence[Twistd]) -> None:
        deadline = self.reactor.seconds() + _PATIENCE
        while not reached():
            if self.reactor.seconds() > deadline:
                logs = "\n".join(line for each in servers for line in each.log.splitlines() if "answer.rpy" not in line)
                self.fail(f"not in time; the logs:\n{logs}")
            await deferLater(self.reactor, 0.05)

    def test_nothing_is_lost(self) -> Deferred[None]:
        """Two servers are killed, one is stopped, one is started again, and ZooKeeper is killed and restarted: no request that may be
        repeated fails, and the stop loses no request at all.

        It takes ten seconds because it starts five servers, and ZooKeeper twice.
        """
        return Deferred.fromCoroutine(self._test_nothing_is_lost())

    async def _test_nothing_is_lost(self) -> None:
        await deferToThread(self.server.start)
        servers = [self.web() for _ in range(3)]
        clients = Clients(self.server.address, self.session, self.reactor)
        for name, (method, after) in _ALL.items():
            self.load.add(name, partial(clients.request, method, after))
        self.load.add("ClientService", clients.ask)
        try:
            await self.until_answered_by(*servers)
            await deferToThread(self.check_start, servers)
            servers.append(await self.kill(*servers))
            await self.stop(clients, *servers[2:])
            self.check_stop(servers[2])
        finally:
            await self.load.end()
            await clients.close()
        self.assertEqual([f"{name}: {failure.getErrorMessage()}" for name, failure in self.load.failed], [])
        stopped = servers[2].process.pid
        # There were requests in flight at the stop.
        self.assertGreaterEqual(self.load.answered["slow POST"].count(stopped), 2)
        self.assertGreater(min(len(answers) for answers in self.load.answered.values()), 7)

    def check_start(self, servers: Sequence[Twistd]) -> None:
        """Check that the servers log the lines that the documentation shows, and that the command lists them as it does."""
        start, _stop = tested_blocks("docs/guides/endpoints.rst", __name__)
        _, (_, shown), (command, listed) = split(start.lines)
        for server in servers:
            found = [_comparable(line) for line in server.log.splitlines()]
            self.assertEqual([line for line in map(_comparable, shown) if line not in found], [], server.log)
        name, *arguments = command.split()
        self.assertEqual(name, "txmirror")
        done = subprocess.run(
            [sys.executable, "-m", "txmirror", *arguments, "-s", self.server.address],
            capture_output=True,
            text=True,
            check=True,
            timeout=_PATIENCE,
        )
        self.assertEqual([_comparable(line) for line in done.stdout.splitlines()], list(map(_comparable, listed)))

    def check_stop(self, server: Twistd) -> None:
        """Check that a server that was stopped has logged the lines that the documentation shows, in this order."""
        _start, stop = tested_blocks("docs/guides/endpoints.rst", __name__)
        shown = list(map(_comparable, stop.lines))
        found = [_comparable(line) for line in server.log.splitlines()]
        self.assertEqual([line for line in found if line in shown], shown, server.log)

    async def kill(self, first: Twistd, second: Twistd, third: Twistd) -> Twistd:
        """Kill two servers and ZooKeeper, restart that, and start one server again, which is returned."""
        first.process.kill()
        await deferLater(self.reactor, 0.3)
        await deferToThread(self.server.kill)
        await deferLater(self.reactor, 0.3)
        second.process.kill()
        await self.until_answered_by(third)
        await deferToThread(self.server.start)
        again = self.web()
        await self.until_answered_by(third, again)
        return again

    async def stop(self, clients: Clients, stopped: Twistd, other: Twistd) -> None:
        """Stop a server with requests in flight that must not be sent twice."""
        slow = [self.load.one("slow POST", clients.request("POST", 1.5)) for _ in range(8)]
        for _ in range(4):
            self.load.add("POST", partial(clients.request, "POST", 0.1))
        await deferLater(self.reactor, 0.1)
        stopped.process.terminate()
        await self.until_ended(stopped)
        await gatherResults(slow)
        await self.until(lambda: all(other.process.pid in each for each in self.load.answered.values()), (other,))
