"""The contract of barriers, parties and members on every server."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from txmirror.recipes import Barrier, DoubleBarrier, Members, Partitioner, Party, Share
from txmirror.test.client.contract import run
from txmirror.test.recipes.contract import RecipesCase


class BarriersContract(RecipesCase):
    """Two programs, one of which can be disconnected."""

    @run
    async def test_barrier(self) -> None:
        """A program waits until another removes the barrier, also if it was disconnected meanwhile."""
        await self.begin()
        ours, theirs = Barrier(self.client, self.path), Barrier(self.other, self.path)
        self.assertIs(await self.within(ours.wait()), True)
        await self.within(theirs.create())
        self.assertIs(await self.within(ours.wait(timeout=0.05)), False)
        waiting = ours.wait()
        await self.interrupt()
        self.assertFalse(waiting.called)
        self.assertIs(await self.within(theirs.remove()), True)
        self.assertIs(await self.within(waiting), True)
        await self.within(theirs.create())
        waiting = ours.wait()
        await self.interrupt(theirs.remove)
        self.assertIs(await self.within(waiting), True)
        self.assertIs(await self.within(theirs.remove()), False)

    @run
    async def test_double_barrier(self) -> None:
        """Both enter together and leave together, more than once, and if one is disconnected meanwhile."""
        await self.begin()
        ours, theirs = (DoubleBarrier(client, self.path, count=2) for client in (self.client, self.other))
        for interrupted in (False, True):
            entering = ours.enter()
            while not await self.children():
                pass
            self.assertFalse(entering.called)
            entered = theirs.enter()
            if interrupted:
                await self.interrupt()
            self.assertEqual(await self.within(gatherResults([entering, entered]), 10), [True, True])
            leaving = theirs.leave()
            self.assertFalse(leaving.called)
            left = ours.leave()
            if interrupted:
                await self.interrupt()
            self.assertEqual(await self.within(gatherResults([leaving, left]), 10), [True, True])
            while await self.children():
                pass

    async def children(self) -> list[str]:
        """Return the names of the nodes at the path."""
        if await self.within(self.other.exists(self.path)) is None:
            return []
        names: list[str] = await self.within(self.other.get_children(self.path))
        return names

    @run
    async def test_participant_through_sessions(self) -> None:
        """A participant whose session ends inside is one in the next session too."""
        await self.begin()
        ours, theirs = (DoubleBarrier(client, self.path, count=2) for client in (self.client, self.other))
        await self.within(gatherResults([ours.enter(), theirs.enter()]))
        session = self.client.session_id
        await self.end_session()
        while self.client.session_id in (0, session) or len(await self.children()) < 3:
            await self.pause(0.05)
        leaving = theirs.leave()
        self.assertIs(await self.within(ours.leave(), 10), True)
        self.assertIs(await self.within(leaving, 10), True)

    @run
    async def test_members(self) -> None:
        """A member is one through sessions, until it leaves."""
        await self.begin()
        ours, theirs = Members(self.client, self.path, "ours", b"1"), Members(self.other, self.path, "theirs", b"2")
        party, other_party = Party(self.client, f"{self.path}-2", name="a"), Party(self.other, f"{self.path}-2")
        for member in (ours, theirs, party):
            await self.within(member.join())
        session = self.client.session_id
        await self.end_session()
        while self.client.session_id in (0, session) or not (ours.joined and party.joined):
            await self.pause(0.05)
        self.assertEqual(await self.within(theirs.members()), {"ours": b"1", "theirs": b"2"})
        self.assertEqual(await self.within(other_party.members()), ["a"])
        for member in (ours, party):
            await self.within(member.leave())
        self.assertEqual(await self.within(theirs.members()), {"theirs": b"2"})
        self.assertEqual(await self.within(other_party.length()), 0)
        await self.within(theirs.leave())

    @run
    async def test_partitioner(self) -> None:
        """Two members share a set, each item is one's at a time, also after one was disconnected, and after one has left."""
        await self.begin()
        items = [f"item {number}" for number in range(8)]
        working: dict[str, str] = {}

        def member(client: Any, name: str) -> Partitioner:
            async def work(share: Share) -> None:
                self.assertNotIn(share.item, working)
                working[share.item] = name
                try:
                    await Deferred()
                finally:
                    del working[share.item]

            return Partitioner(client, self.path, items, work, name=name, delay=0.1)

        members = [member(self.client, "a"), member(self.other, "b")]

        async def until_shared(*sharing: Partitioner) -> None:
            while sorted(item for each in sharing for item in each.shares) != sorted(items):
                await self.pause(0.05)
            self.assertTrue(all(each.shares for each in sharing))

        await self.within(members[0].start())
        await self.within(Deferred.fromCoroutine(until_shared(members[0])), 10)
        await self.within(members[1].start())
        while not members[1].shares:
            await self.pause(0.05)
        await self.within(Deferred.fromCoroutine(until_shared(*members)), 10)
        await self.interrupt()
        await self.within(Deferred.fromCoroutine(until_shared(*members)), 10)
        await self.within(members[0].stop())
        await self.within(Deferred.fromCoroutine(until_shared(members[1])), 10)
        await self.within(members[1].stop())
        self.assertEqual(working, {})
