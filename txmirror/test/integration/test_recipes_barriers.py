"""Barriers and parties together with kazoo's, on one path."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from txmirror.recipes import Barrier, DoubleBarrier, Party
from txmirror.test.client.contract import run
from txmirror.test.integration.servers import PATIENCE, OnEmbedded, OnReal
from txmirror.test.integration.test_recipes import KazooSide


class KazooBarriersContract(KazooSide):
    """We and kazoo wait for each other, and see each other."""

    @run
    async def test_barrier(self) -> None:
        """We wait until kazoo removes a barrier, and vice versa."""
        ours, theirs = Barrier(self.ours, self.path), self.kazoo.Barrier(self.path)
        await deferToThread(theirs.create)
        self.assertIs(await ours.wait(timeout=0.05), False)
        waiting = ours.wait()
        self.assertTrue(await deferToThread(theirs.remove))
        self.assertIs(await waiting, True)
        await ours.create()
        self.assertFalse(await deferToThread(theirs.wait, 0.05))
        blocked = deferToThread(theirs.wait, PATIENCE)
        self.assertIs(await ours.remove(), True)
        self.assertTrue(await blocked)

    @run
    async def test_double_barrier(self) -> None:
        """Two of ours and one of kazoo's enter together, and leave together, whoever comes first, and twice."""
        ours = [DoubleBarrier(self.ours, self.path, count=3) for _ in range(2)]
        for first in (True, False):
            theirs = self.kazoo.DoubleBarrier(self.path, 3)
            entering: list[Deferred[Any]] = [deferToThread(theirs.enter)] if first else []
            entering.append(ours[0].enter())
            while await self.ours.exists(self.path) is None or len(await self.ours.get_children(self.path)) < len(
                entering
            ):
                pass
            self.assertFalse(any(each.called for each in entering))
            entering.append(ours[1].enter())
            if not first:
                entering.append(deferToThread(theirs.enter))
            await gatherResults(entering)
            self.assertTrue(theirs.participating)
            leaving: list[Deferred[Any]] = [ours[0].leave()]
            if first:
                leaving += [deferToThread(theirs.leave), ours[1].leave()]
            else:
                leaving += [ours[1].leave(), deferToThread(theirs.leave)]
            await gatherResults(leaving)
            await self.ours.sync()
            self.assertEqual(await self.ours.get_children(self.path), [])

    @run
    async def test_party(self) -> None:
        """Both see who has joined, and who has left."""
        ours, theirs = Party(self.ours, self.path, name="größe"), self.kazoo.Party(self.path, "kazoo")
        await deferToThread(theirs.join)
        await ours.join()
        self.assertCountEqual(await ours.members(), ["kazoo", "größe"])
        self.assertCountEqual(await deferToThread(list, theirs), ["kazoo", "größe"])
        self.assertEqual((await ours.length(), await deferToThread(len, theirs)), (2, 2))
        await deferToThread(theirs.leave)
        self.assertEqual(await ours.members(), ["größe"])
        await ours.leave()
        self.assertEqual(await deferToThread(list, theirs), [])


class ZooKeeperKazooBarriersTests(OnReal, KazooBarriersContract, TestCase):
    """At the real server."""


class EmbeddedKazooBarriersTests(OnEmbedded, KazooBarriersContract, TestCase):
    """At the embedded server."""
