"""Services that must stay registered: nothing but an event that concerns them may let their znodes go."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from txmirror.service.supervision import Condition
from txmirror.test.service.storms.host import Host
from txmirror.testing.storm.parts import Scene


@attrs.frozen
class _Steady:
    """The znode of a service that is registered, and that nothing concerns."""

    path: str
    czxid: int
    session: int


class Registered:
    """Checks that the znode of a service stays the same, while its session lives and no event concerns the service.

    A restart within the session timeout is no such event, if the next process resumes the session.

    :param scene: the world.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._steady: dict[tuple[str, str], _Steady] = {}
        self._generation = 0

    def excuse(self, host: Host, *names: str) -> None:
        """Note that an event concerns services of a host; all of them, if there are no names."""
        for key in [key for key in self._steady if key[0] == host.name and (key[1] in names or not names)]:
            del self._steady[key]

    def check(self, hosts: Sequence[Host]) -> None:
        """Check the znodes that must still be there, and note those that must be there from now on."""
        nodes = self._scene.truth.tree.nodes
        if self._generation != self._scene.truth.generation:
            # All data was lost.
            self._generation = self._scene.truth.generation
            self._steady.clear()
        for host in hosts:
            running = host.running
            if running is None:
                continue
            session = running.session
            for key in [key for key in self._steady if key[0] == host.name]:
                steady = self._steady[key]
                if steady.session != session or session in self._scene.journal.ended:
                    # Another session registers anew.
                    if session != 0:
                        del self._steady[key]
                    continue
                node = nodes.get(steady.path)
                same = node is not None and node.czxid == steady.czxid
                self._scene.check(same, f"{host.name}: {steady.path} was withdrawn for no reason")
            failing = running.failing()
            for name, supervision in running.daemon.supervisor.services.items():
                service = running.find(name)
                if service is None or name in failing or supervision.condition is not Condition.REGISTERED:
                    continue
                node = nodes.get(service.path)
                if node is not None and node.owner == session:
                    self._steady.setdefault((host.name, name), _Steady(service.path, node.czxid, session))
