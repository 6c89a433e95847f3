"""The faults of a storm, which are chosen at random, last for a while, and are all over in the end."""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection
from random import Random

from txmirror.testing.storm.data_loss import DataLoss
from txmirror.testing.storm.faults import WEIGHTS, FaultKind, Lasting
from txmirror.testing.storm.journal import Journal
from txmirror.testing.storm.network_faults import NetworkFaults
from txmirror.testing.storm.server_faults import ServerFaults
from txmirror.testing.world import World

#: How many of the storms begin at servers without a quorum.
_READ_ONLY = 0.1


class Weather:
    """The faults of one storm.

    :param world: the world.
    :param random: chooses.
    :param journal: notes each fault.
    :param kinds: the kinds of faults to choose from.
    :param spared: returns the sessions that must not expire while their clients may rely on them.
    :ivar count: the number of faults so far.
    """

    def __init__(
        self,
        world: World,
        random: Random,
        journal: Journal,
        kinds: Collection[FaultKind],
        spared: Callable[[], Collection[int]],
    ) -> None:
        self.count: int = 0
        self._world = world
        self._random = random
        self._journal = journal
        self._lasting: Lasting = []
        self._network = network = NetworkFaults(world, random, self._lasting)
        self._servers = servers = ServerFaults(world, random, self._lasting)
        data = DataLoss(world)
        self._actions: dict[FaultKind, Callable[[], str | None]] = {
            FaultKind.CUT: network.cut,
            FaultKind.CUT_LATER: network.cut_later,
            FaultKind.HALF_CLOSE: network.half_close,
            FaultKind.STALL: network.stall,
            FaultKind.AWAY: network.away,
            FaultKind.BLACK_HOLE: network.black_hole,
            FaultKind.PIECES: network.pieces,
            FaultKind.LOSE_REQUEST: servers.lose_request,
            FaultKind.LOSE_REPLY: servers.lose_reply,
            FaultKind.DELAY: servers.delay,
            FaultKind.REFUSE: servers.refuse,
            FaultKind.EXPIRE: lambda: servers.expire(spared()),
            FaultKind.KILL: servers.kill,
            FaultKind.LAG: servers.lag,
            FaultKind.PARTITION: servers.partition,
            FaultKind.WIPE: data.wipe,
            FaultKind.RESTORE: data.restore_or_remember,
            FaultKind.BUSY: self._busy,
            FaultKind.COLLECT: self._collect,
        }
        self._kinds = [kind for kind in FaultKind if kind in kinds]
        self._weights = [WEIGHTS[kind] for kind in self._kinds]
        if FaultKind.PARTITION in kinds and random.random() < _READ_ONLY:
            self._note(FaultKind.PARTITION, servers.begin_read_only())

    def strike(self) -> None:
        """Let one fault happen, or end one that lasts."""
        self._network.look()
        lasting = self._lasting
        if lasting and self._random.random() < len(lasting) / (len(lasting) + 3):
            name, end = lasting.pop(self._random.randrange(len(lasting)))
            self._journal.note("weather", f"over: {name}")
            end()
        elif self._kinds:
            kind = self._random.choices(self._kinds, self._weights)[0]
            self._note(kind, self._actions[kind]())

    def _note(self, kind: FaultKind, detail: str | None) -> None:
        if detail is not None:
            self.count += 1
            self._journal.note("weather", f"{kind.name} {detail}")

    def heal(self) -> None:
        """End all faults."""
        self._journal.note("weather", "all faults are over")
        while self._lasting:
            self._lasting.pop()[1]()
        self._servers.heal()
        self._network.heal()
        self._world.settle()

    def _busy(self) -> str:
        """Let all programs be busy for a while: the timers of this time are late."""
        seconds = self._random.choice((0.5, 2.0, 5.0))
        self._world.reactor.rightNow += seconds
        return f"{seconds} s"

    def _collect(self) -> str:
        gc.collect()
        return ""
