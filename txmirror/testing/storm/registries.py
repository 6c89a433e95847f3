"""Service registries in a storm: what is wanted is registered, and their answers are those of the servers."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txmirror.client import ZooKeeperClient
from txmirror.errors import NoConnection, ZooKeeperException
from txmirror.registry import CODECS
from txmirror.testing.storm.parts import TIMEOUTS, Pending, Scene
from txmirror.testing.storm.providers import ProviderChecks
from txmirror.types import Answer

_PATH = "/services/ssh"
_NODES = 2
#: A node for which all registries contend.
_SHARED = f"{_PATH}/shared:22"


class RegistryPart:
    """A registry that registers a few services, follows those of all registries, and has a provider of them. Somebody else changes
    its nodes, and others contend for one of them.

    :param scene: the world.
    :param name: its name in the log.
    :param random: chooses its settings.
    """

    def __init__(self, scene: Scene, name: str, random: Random) -> None:
        self.name = name
        self._scene = scene
        self._pending = Pending(scene, name)
        self._registry = scene.world.registry(
            scene.servers(), start=False, lazy=random.random() < 0.5, session_timeout=random.choice(TIMEOUTS[1:])
        )
        self._other: ZooKeeperClient = scene.world.client(scene.servers(), connect=False)
        self._pending.add(self._other.connect().addErrback(_trap), "connect")
        self._paths = [*(f"{_PATH}/{name}-{number}:22" for number in range(_NODES)), _SHARED]
        #: The registrations that may still be refused, with the numbers in their data.
        self._asked: dict[str, int] = {}
        self._number = 0
        self._answers: list[Answer] = []
        self._provider = ProviderChecks(scene, name, self._registry, _PATH, self._pending)
        self._follow()

    # Actions.

    def act(self, random: Random) -> None:
        """Begin one action."""
        path = random.choice(self._paths)
        action = random.choices(
            [self._register, self._unregister, self._meddle, self._get, self._pick, self._rebuild], [8, 3, 3, 3, 2, 0.3]
        )[0]
        action(path, random)

    def _register(self, path: str, random: Random) -> None:
        if path in self._asked:
            return
        self._number += 1
        number = self._asked[path] = self._number
        self._note(f"registers {path}, {number}")
        call = self._registry.set_node(path, {"n": number})
        self._pending.add(call.addBoth(self._registered, path, number), f"set_node {path}")

    def _registered(self, result: bool | Failure, path: str, number: int) -> None:
        outcome = type(result.value).__name__ if isinstance(result, Failure) else result
        self._note(f"{path}, {number}: {outcome}")
        if self._asked.get(path) == number:
            del self._asked[path]
            if isinstance(result, Failure):
                # Nothing is kept of it.
                result.trap(ZooKeeperException, NoConnection)
            else:
                self._scene.services.want(path, self.name, number, self._session)

    def _unregister(self, path: str, random: Random) -> None:
        self._note(f"unregisters {path}")
        self._scene.services.abandon(path, self.name)
        self._asked.pop(path, None)
        self._pending.add(self._registry.unset(path).addErrback(_trap), f"unset {path}")

    def _meddle(self, path: str, random: Random) -> None:
        """Let somebody else delete or overwrite a node."""
        delete = random.random() < 0.5
        self._note(f"somebody {'deletes' if delete else 'overwrites'} {path}")
        call: Deferred[Any] = self._other.delete(path) if delete else self._other.set(path, b"somebody else's")
        self._pending.add(call.addErrback(_trap), f"meddling with {path}")

    def _get(self, path: str, random: Random) -> None:
        self._pending.add(self._registry.get(_PATH).addErrback(_trap), f"get {_PATH}")

    def _pick(self, path: str, random: Random) -> None:
        self._provider.pick(random)

    def _rebuild(self, path: str, random: Random) -> None:
        self._note("rebuilds its connection")
        self._pending.add(self._registry.rebuild().addErrback(_trap), "rebuild")
        self._follow()

    def _follow(self) -> None:
        """Follow all services, if the first answer does not come in vain."""
        self._pending.add(self._registry.get(_PATH, self._answered).addErrback(_trap), "the first get")

    def _answered(self, answer: Answer) -> None:
        names = {
            name: data["n"] if isinstance(data, dict) and "n" in data else "?"
            for name, data in answer["children"].items()
        }
        self._note(f"answer {names}")
        if self._answers:
            same = self._answers[-1] == answer
            self._check_that(not same, f"the same answer twice: {answer}")
        self._answers[:] = [answer]

    def _note(self, text: str) -> None:
        self._scene.journal.note(self.name, text)

    def _check_that(self, holds: bool, complaint: str) -> None:
        self._scene.check(holds, f"{self.name}: {complaint}")

    # Checks.

    def check(self) -> None:
        """All is checked when it happens, or when it has settled."""

    def check_settled(self) -> None:
        """Check that exactly what is wanted is registered, by the living session, and that the answer shows all services."""
        self._pending.check_none("all has settled")
        self._check_that(not self._asked, f"has no answer for {list(self._asked)}")
        for path in self._paths:
            complaint = self._scene.services.complaint(path)
            self._check_that(complaint is None, f"{complaint}")
        self._check_answer()
        self._provider.check_settled()

    def _check_answer(self) -> None:
        if not self._answers:
            return
        there = self._scene.truth.tree.nodes.get(_PATH)
        names = [] if there is None else sorted(there.children)
        answer = self._answers[-1]
        self._check_that(
            sorted(answer["children"]) == names, f"the answer has {sorted(answer['children'])}, and there are {names}"
        )
        for name in names:
            data = self._scene.truth.tree.nodes[f"{_PATH}/{name}"].data or b""
            same = answer["children"].get(name) == CODECS["ndsr"].decode(data)
            self._check_that(same, f"the answer has {answer['children'].get(name)} for {name}, and there is {data!r}")

    def _session(self) -> int:
        """Return the session of the registry's connection; 0 if there is none."""
        connection = self._registry._connections.current
        return 0 if connection is None else connection.mirror.client.session_id

    def close(self) -> Deferred[None]:
        """Stop the registry, and close the other client."""
        self._provider.close()
        stopped = self._registry.stop()
        for path in self._paths:
            self._scene.services.abandon(path, self.name)
        return stopped.addCallback(lambda _: self._other.close())

    def check_closed(self) -> None:
        """Check that nothing waits."""
        self._pending.check_none("the registry is stopped")

    def spared(self) -> Sequence[int]:
        """Return nothing: the session may expire at any time."""
        return ()


def _trap(failure: Failure) -> None:
    failure.trap(ZooKeeperException, NoConnection, CancelledError)
