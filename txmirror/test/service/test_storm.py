"""Random events of all kinds: the daemon converges on the state that its checks and operators want, and nothing fails."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from twisted.logger import LogLevel

from txmirror.checks import Status
from txmirror.errors import NoNodeException
from txmirror.service import Daemon
from txmirror.test.service.case import DaemonTestCase, S, service

_NAMES = ("a", "b", "c", "d")
_STEPS = 30
#: The parents of further znodes, each with its codec.
_ALSO = {"/also": "ndsr", "/nerve": "nerve", "/curator/shop": "curator"}


class StormTests(DaemonTestCase):
    random: Random
    #: Chooses the further znodes, so that these do not change the events.
    further: Random

    def setUp(self) -> None:
        super().setUp()
        self.up = False
        self.toggle_server()
        self.client()
        self.names: tuple[str, ...] = _NAMES
        #: The parents of the further znodes of each service.
        self.also: dict[str, list[str]] = {}

    def parts(self, on_stop: str) -> list[str]:
        self.also = {name: self.further.sample(list(_ALSO), self.further.randint(0, 3)) for name in self.names}
        return [
            service(name, data__n=self.random.randint(1, 2), on_stop=on_stop, port=1, address="127.0.0.1")
            + "".join(self.table(name, parent) for parent in self.also[name])
            for name in self.names
        ]

    def table(self, name: str, parent: str) -> str:
        """Return the table of a further znode."""
        data = "data = {}\n" if _ALSO[parent] == "curator" else ""
        return f'[[service.also]]\npath = "{parent}"\nnode = "{name}:1"\ncodec = "{_ALSO[parent]}"\n{data}'

    def children(self, parent: str) -> list[str]:
        """Return the names of the services with a znode below a parent."""
        reading = self.clients[-1].get_children(parent).addErrback(lambda failure: failure.trap(NoNodeException) and [])
        self.reactor.settle()
        return sorted(child.partition(":")[0] for child in self.successResultOf(reading))

    def start(self) -> Daemon:
        return self.daemon(*self.parts("deregister"), state=True)

    def toggle_server(self) -> None:
        if self.up:
            self.server.stop_listening()
        else:
            self.server.listen(2181)
        self.up = not self.up

    # Events.

    def push(self, *_: object) -> None:
        name = self.random.choice(self.names)
        self.running[0].supervisor.push(name, "c0", self.random.choice((Status.OK, Status.OK, Status.FAIL)), "")

    def expire(self) -> None:
        session = self.running[0].registrations.session
        if session is not None and session.client.session_id in self.server.sessions:
            self.server.expire_session(session.client.session_id)

    def drop(self) -> None:
        for connection in self.server.connections:
            connection.drop()

    def restart(self) -> None:
        daemon = self.running[0]
        if self.random.random() < 0.5:
            self.kill(daemon)
        else:
            self.end(daemon, 30)
        self.start()

    def reload(self) -> None:
        self.names = tuple(sorted(self.random.sample(_NAMES, self.random.randint(1, 4))))
        self.write(*self.parts(self.random.choice(("deregister", "keep-session"))), state=True)
        self.running[0].reload()

    def maintain(self) -> None:
        maintenance = self.running[0].supervisor.maintenance
        name = self.random.choice((*self.names, "*"))
        if self.random.random() < 0.5:
            maintenance.set(name, "a reason", None)
        else:
            maintenance.end(name)

    def drain(self) -> None:
        supervisor = self.running[0].supervisor
        if supervisor.drained:
            supervisor.undo_drain()
        else:
            supervisor.drain()

    def live(self) -> None:
        """Live through a storm, and see the daemon converge after it."""
        self.start()
        events: list[Callable[[], object]] = [self.toggle_server, self.expire, self.drop, self.restart, self.reload]
        events += [self.maintain, self.drain, *[self.push] * 6]
        for _ in range(_STEPS):
            self.random.choice(events)()
            self.reactor.pass_time(self.random.choice((0.0, 0.0, 0.3, 2.0, 2 * S)))
        if not self.up:
            self.toggle_server()
        (daemon,) = self.running
        daemon.supervisor.undo_drain()
        wanted = {name: self.random.choice((Status.OK, Status.FAIL)) for name in self.names}
        for name, status in wanted.items():
            daemon.supervisor.push(name, "c0", status, "")
        # Longer than any backoff, any hold and any session.
        self.reactor.pass_time(70)
        for name, status in wanted.items():
            daemon.supervisor.push(name, "c0", status, "")
        self.reactor.pass_time(70)
        expected = [
            name
            for name, status in wanted.items()
            if status is Status.OK and daemon.supervisor.maintenance.of(name) is None
        ]
        self.assertEqual(list(self.registered(self.client())), expected)
        for parent in _ALSO:
            self.assertEqual(self.children(parent), [name for name in expected if parent in self.also[name]], parent)
        session = daemon.registrations.session
        assert session is not None
        self.assertEqual({self.stat(name).ephemeralOwner for name in expected} - {session.client.session_id}, set())
        self.assertNotEqual(self.log.worst, LogLevel.critical)


def _add_test(seed: int) -> None:
    def test(self: StormTests) -> None:
        self.random, self.further = Random(seed), Random(seed)
        self.live()

    test.__doc__ = f"Storm {seed}."
    setattr(StormTests, f"test_{seed:02}", test)


for _seed in (*range(20), 88, 90, 494, 537, 607):
    _add_test(_seed)
