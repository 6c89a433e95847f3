"""Transactions and batches of reads, on a real ZooKeeper server and on the embedded one."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from txmirror.errors import BadVersionException, NoNodeException, TransactionFailedException
from txmirror.test.integration.connected import Connected, OnEmbeddedServer, OnRealServer
from txmirror.types import ZnodeStat

ROOT = "/txmirror-transactions"


class TransactionContract(Connected):
    async def test_all(self) -> None:
        """All of it is done at once, each operation seeing those before it."""
        transaction = self.client.transaction()
        transaction.create(ROOT, b"one")
        transaction.create(f"{ROOT}/a-", b"", sequence=True, ephemeral=True)
        transaction.set(ROOT, b"two", 0)
        transaction.check(ROOT, 1)
        transaction.delete(f"{ROOT}/a-0000000000")
        made, child, stat, *rest = await transaction.commit()
        self.assertEqual((made, child, rest), (ROOT, f"{ROOT}/a-0000000000", [None, None]))
        assert isinstance(stat, ZnodeStat)
        self.assertEqual((await self.client.get(ROOT))[0], b"two")
        transaction = self.client.transaction()
        transaction.delete(ROOT, stat.version)
        self.assertEqual(await transaction.commit(), [None])

    async def test_nothing(self) -> None:
        """If one operation is refused, nothing is done, and it is the one that is named."""
        await self.client.create(ROOT, b"one")
        for refuse, index, reason in (
            (lambda t: t.set(ROOT, b"two", 7), 1, BadVersionException),
            (lambda t: t.check(ROOT, 7), 1, BadVersionException),
            (lambda t: t.delete(f"{ROOT}/missing"), 1, NoNodeException),
        ):
            transaction = self.client.transaction()
            transaction.create(f"{ROOT}/a")
            refuse(transaction)
            transaction.create(f"{ROOT}/b")
            with self.assertRaises(TransactionFailedException) as caught:
                await transaction.commit()
            self.assertEqual((caught.exception.index, type(caught.exception.error)), (index, reason))
            self.assertEqual(await self.client.get_children(ROOT), [])
        await self.client.delete(ROOT)

    async def test_batches(self) -> None:
        """Many nodes are read at once; one that is missing fails alone."""
        await self.client.create(ROOT, b"one")
        await self.client.create(f"{ROOT}/a", b"two")
        paths = [ROOT, f"{ROOT}/missing", f"{ROOT}/a"]
        first, missing, last = await self.client.get_many(paths)
        self.assertEqual((first, last), (await self.client.get(ROOT), await self.client.get(f"{ROOT}/a")))
        self.assertIsInstance(missing, NoNodeException)
        first_names, no_names, last_names = await self.client.get_children_many(paths)
        self.assertEqual((first_names, last_names), (["a"], []))
        self.assertIsInstance(no_names, NoNodeException)
        await self.client.delete(f"{ROOT}/a")
        await self.client.delete(ROOT)


class RealServerTests(TransactionContract, OnRealServer, TestCase):
    pass


class EmbeddedServerTests(TransactionContract, OnEmbeddedServer, TestCase):
    pass
