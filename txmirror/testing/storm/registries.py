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
from txmirror.types import Answer

_PATH = "/services/ssh"
_NODES = 2


class RegistryPart:
    """A registry that registers a few services, and follows those of all registries. Somebody else changes its nodes.

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
        #: The services that are wanted, with a number in their data; and those whose registration may still be refused.
        self._wanted: dict[str, int] = {}
        self._asked: dict[str, int] = {}
        self._number = 0
        self._answers: list[Answer] = []
        self._follow()

    # Actions.

    def act(self, random: Random) -> None:
        """Begin one action."""
        path = f"{_PATH}/{self.name}-{random.randrange(_NODES)}:22"
        action = random.choices(
            [self._register, self._unregister, self._meddle, self._get, self._rebuild], [8, 3, 3, 3, 0.3]
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
                self._wanted[path] = number

    def _unregister(self, path: str, random: Random) -> None:
        self._note(f"unregisters {path}")
        self._wanted.pop(path, None)
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
        nodes = self._scene.truth.tree.nodes
        for number in range(_NODES):
            path = f"{_PATH}/{self.name}-{number}:22"
            node, wanted = nodes.get(path), self._wanted.get(path)
            if wanted is None:
                self._check_that(node is None, f"{path} is there, and not wanted")
                continue
            facts = None if node is None else CODECS["ndsr"].decode(node.data or b"")
            found = None if node is None else (facts.get("n") if isinstance(facts, dict) else facts, node.owner)
            self._check_that(found == (wanted, self._session()), f"{path} is {found}, and {wanted} is wanted")
        self._check_answer()

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
        stopped = self._registry.stop()
        return stopped.addCallback(lambda _: self._other.close())

    def check_closed(self) -> None:
        """Check that nothing waits."""
        self._pending.check_none("the registry is stopped")

    def spared(self) -> Sequence[int]:
        """Return nothing: the session may expire at any time."""
        return ()


def _trap(failure: Failure) -> None:
    failure.trap(ZooKeeperException, NoConnection, CancelledError)
