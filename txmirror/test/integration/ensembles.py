"""The base of the tests on a real ensemble."""

from __future__ import annotations

from twisted.internet.threads import deferToThread

from txmirror.test.client.contract import ContractServer
from txmirror.test.ensemble import ZooKeeperEnsemble, ZooKeeperMember, shared_ensemble
from txmirror.test.integration.faults import HurtCase


class Members:
    """The ensemble, in the order in which clients try its servers."""

    def __init__(self, ensemble: ZooKeeperEnsemble, order: list[ZooKeeperMember]) -> None:
        self._ensemble = ensemble
        self.address = ",".join(member.address for member in order)
        self.direct_address = self.address

    async def sessions(self) -> set[int]:
        leader = await deferToThread(self._ensemble.leader)
        sessions: set[int] = await deferToThread(leader.sessions)
        return sessions

    async def disconnect(self) -> None:
        raise NotImplementedError

    async def reconnect(self) -> None:
        raise NotImplementedError

    async def expire(self, session_id: int) -> None:
        raise NotImplementedError


class EnsembleCase(HurtCase):
    """A client that begins at the leader, and another that begins at a follower."""

    timeout = 60

    async def start_server(self) -> ContractServer:
        self.ensemble: ZooKeeperEnsemble = await deferToThread(self.start_ensemble)
        self.addCleanup(deferToThread, self.ensemble.heal)
        self.leader = await deferToThread(self.ensemble.leader)
        self.followers = [member for member in self.ensemble.members if member is not self.leader]
        return Members(self.ensemble, [self.leader, *self.followers])

    def start_ensemble(self) -> ZooKeeperEnsemble:
        """Return a running ensemble."""
        return shared_ensemble()

    async def _set_up(self) -> None:
        await super()._set_up()
        self.other = self.client_of(",".join(member.address for member in [*self.followers, self.leader]))
        await self.within(self.other.connect())

    async def _clean_up(self) -> None:
        await deferToThread(self.ensemble.heal)
        await super()._clean_up()
