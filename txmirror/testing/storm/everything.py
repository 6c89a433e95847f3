"""The programs of the command line: all that txmirror has, in two worlds."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from functools import partial
from random import Random

from twisted.internet.defer import Deferred

from txmirror import machine
from txmirror.mirror import recovery, watched_reads
from txmirror.testing.history import judge
from txmirror.testing.storm.barriers import BarrierPart, RendezvousPart
from txmirror.testing.storm.clients import ClientPart
from txmirror.testing.storm.contenders import CandidatePart, ContenderPart
from txmirror.testing.storm.counting import CountingPart
from txmirror.testing.storm.entropy import Replacement
from txmirror.testing.storm.foreign import ForeignPart
from txmirror.testing.storm.hiding import HiderPart
from txmirror.testing.storm.journal import Journal
from txmirror.testing.storm.members import MemberPart
from txmirror.testing.storm.mirrors import MirrorPart
from txmirror.testing.storm.parts import Part, Scene
from txmirror.testing.storm.queues import QueuePart
from txmirror.testing.storm.registries import RegistryPart
from txmirror.testing.storm.replacing import ReplacingPart
from txmirror.testing.storm.several import SeveralPart
from txmirror.testing.storm.sharing import SharingPart
from txmirror.testing.storm.taking import TakingPart
from txmirror.testing.storm.truth import Truth
from txmirror.testing.world import World

_VERSIONS = ("3.8", "3.9", "3.4", "keeper")
Kinds = Mapping[str, tuple[Callable[[Scene, str, Random], Part], int]]
ALL: Kinds = {
    "client": (ClientPart, 2),
    "mirror": (MirrorPart, 2),
    "contender": (ContenderPart, 4),
    "candidate": (CandidatePart, 2),
    "registry": (RegistryPart, 2),
    "hider": (HiderPart, 1),
    "queue": (QueuePart, 2),
    "counter": (CountingPart, 2),
}
#: The kinds of the second program: the recipes that are not in the first, and locks beside those of others.
RECIPES: Kinds = {
    "taking": (TakingPart, 3),
    "barrier": (BarrierPart, 2),
    "rendezvous": (RendezvousPart, 3),
    "member": (MemberPart, 3),
    "several": (SeveralPart, 3),
    "style": (partial(ContenderPart, style="curator-mutex"), 2),
    "foreign": (ForeignPart, 2),
    "sharing": (SharingPart, 3),
    "replacing": (ReplacingPart, 2),
}
#: The kinds that are not in all storms, with their shares: others check less where they are.
_SOME = {"hider": 0.25}


def make_world(seed: int) -> World:
    """Return an ensemble of three servers; the seed chooses its version."""
    return World(servers=3, version=Random(f"world {seed}").choice(_VERSIONS))


def replaced_for(seed: int) -> list[Replacement]:
    """Return limits to replace: with some seeds even a few nodes are recovered by side sessions, and read in batches."""
    random, replaced = Random(f"limits {seed}"), list[Replacement]()
    # The seed decides everything, and the machine nothing.
    replaced += [(os, "environ", {}), (machine, "_MACHINE_IDS", ())]
    if random.random() < 0.3:
        replaced.append((recovery, "SIDE_SESSION_FROM", 0))
    if random.random() < 0.3:
        replaced += [(watched_reads, "_SINGLES", 0), (watched_reads, "_FEWEST", 1)]
    return replaced


class Everything:
    """Clients, mirrors, registries, programs with queues and counters, and contenders for locks, which come and go.

    :param world: the world.
    :param journal: the log.
    :param random: chooses the parts.
    :param kinds: the kinds of parts, with the number of each.
    """

    def __init__(self, world: World, journal: Journal, random: Random, kinds: Kinds = ALL) -> None:
        self._kinds = kinds
        self._scene = Scene(world, journal, Truth(world.server._state, journal.recorder.reset))
        self._count = 0
        self._parts: list[tuple[str, Part]] = []
        self._closing: list[tuple[Part, Deferred[None]]] = []
        #: Some kinds of parts act more often than others.
        self._weights = {kind: random.choice((1, 1, 6)) for kind in kinds}
        for kind, (_, count) in kinds.items():
            if random.random() < _SOME.get(kind, 1.0):
                for _ in range(count):
                    self._add(kind, random)

    def _add(self, kind: str, random: Random) -> None:
        self._count += 1
        make, _ = self._kinds[kind]
        self._parts.append((kind, make(self._scene, f"{kind}{self._count}", random)))

    def act(self, random: Random) -> None:
        """Let one part act, or close it and let another one come."""
        if random.random() < 0.02:
            self._replace(random)
        else:
            weights = [self._weights[kind] for kind, _ in self._parts]
            random.choices(self._parts, weights)[0][1].act(random)

    def _replace(self, random: Random) -> None:
        kind, part = self._parts.pop(random.randrange(len(self._parts)))
        self._scene.journal.note(part.name, "closes")
        closed = part.close()
        closed.addBoth(self._closed, part)
        self._closing.append((part, closed))
        self._add(kind, random)

    def _closed(self, result: object, part: Part) -> None:
        self._scene.journal.note(part.name, "is closed")
        self._scene.check(result is None, f"{part.name}: close() has fired with {result}")
        part.check_closed()

    @property
    def parts(self) -> list[Part]:
        """The parts that have not ended."""
        return [part for _, part in self._parts]

    def check(self) -> None:
        """Check all that must hold at any moment."""
        for _, part in self._parts:
            part.check()
        self._scene.raise_complaints()

    def check_settled(self) -> Deferred[None] | None:
        """Check all that must hold when everything has settled."""
        left = [part.name for part, closed in self._closing if not closed.called]
        self._scene.check(not left, f"not closed: {left}")
        self._closing = [each for each in self._closing if not each[1].called]
        for _, part in self._parts:
            part.check_settled()
        for finding in judge(self._scene.journal.history):
            self._scene.check(False, f"{finding.rule.name}: {finding}")
        self._scene.raise_complaints()
        return None

    def spared(self) -> Collection[int]:
        """Return the sessions that must not expire at this moment."""
        return [session for _, part in self._parts for session in part.spared()]
