"""The writes of one client in a storm."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from txmirror.testing.history import Answer, Create, Delete, Operation, Set, Shown, Transaction
from txmirror.testing.storm.parts import PATHS, Scene
from txmirror.testing.storm.replies import Replies
from txmirror.types import ZnodeStat


class Writes:
    """The writes of a client: each that succeeds was done once, as of the zxid of its reply.

    :param scene: the world.
    :param name: the name of the client in the log.
    :param replies: the operations of the client.
    """

    def __init__(self, scene: Scene, name: str, replies: Replies) -> None:
        self._scene = scene
        self._truth = scene.truth
        self._name = name
        self._replies = replies

    def act(self, random: Random) -> None:
        """Begin one write."""
        path = random.choice(PATHS)
        writes = [self._create, self._set, self._compare, self._delete, self._transact]
        random.choices(writes, [4, 6, 2, 2, 2])[0](path, random)

    def _create(self, path: str, random: Random) -> None:
        data = self._scene.unique(self._name)
        ephemeral = random.random() < 0.2
        operation = self._replies.begin(Create(path, data.decode(), ephemeral))

        if self._scene.plain_creates:
            # There the client reads the stat afterwards, so that the order of its requests is another.
            plain = self._replies.client.create(path, data, ephemeral=ephemeral)
            self._replies.wait(
                plain, operation, lambda _: (self._wrote(operation, self._replies.zxid(), path, [data]), None), [data]
            )
        else:
            created = self._replies.client.create_and_stat(path, data, ephemeral=ephemeral)
            self._replies.wait(
                created, operation, lambda result: (self._wrote(operation, result[1].czxid, path, [data]), None), [data]
            )

    def _set(self, path: str, random: Random, version: int = -1) -> None:
        data = self._scene.unique(self._name)
        operation = self._replies.begin(Set(path, data.decode(), version))

        def check(stat: ZnodeStat) -> tuple[int, Answer]:
            self._replies.check_that(
                version == -1 or stat.version == version + 1,
                f"#{operation.number} had to be at version {version}, and is at {stat.version}",
            )
            zxid = self._wrote(operation, stat.mzxid, path, [data])
            return zxid, Shown(stat.mzxid, None, stat.czxid, stat.version, stat.ephemeralOwner)

        self._replies.wait(self._replies.client.set(path, data, version), operation, check, [data])

    def _compare(self, path: str, random: Random) -> None:
        self._set(path, random, random.randrange(4))

    def _delete(self, path: str, random: Random) -> None:
        version = -1 if random.random() < 0.7 else random.randrange(4)
        operation = self._replies.begin(Delete(path, version))

        def check(zxid: int) -> tuple[int, None]:
            self._replies.check_that(
                self._truth.at(path, zxid) is None,
                f"#{operation.number} has deleted {path} at {zxid:#x}, and it is there",
            )
            self._replies.note_zxid(operation, zxid)
            return zxid, None

        self._replies.wait(self._replies.client.write_delete(path, version), operation, check, [])

    def _transact(self, path: str, random: Random) -> None:
        """Set two nodes in one transaction: both or none."""
        other = random.choice([each for each in PATHS if each != path])
        data = [self._scene.unique(self._name), self._scene.unique(self._name)]
        operation = self._replies.begin(Transaction((Set(path, data[0].decode()), Set(other, data[1].decode()))))
        transaction = self._replies.client.transaction()
        transaction.set(path, data[0])
        transaction.set(other, data[1])

        def check(results: Sequence[Any]) -> tuple[int, None]:
            return self._wrote(operation, results[0].mzxid, path, data), None

        self._replies.wait(transaction.commit(), operation, check, data)

    def _wrote(self, operation: Operation, zxid: int, path: str, data: list[bytes]) -> int:
        """Check that a write that succeeded was done once, as of the zxid of its reply."""
        counts = [self._truth.written[each] for each in data]
        self._replies.check_that(set(counts) == {1}, f"#{operation.number} has succeeded, and was done {counts} times")
        there = self._truth.at(path, zxid)
        self._replies.check_that(
            there is not None and there.data == data[0],
            f"#{operation.number} has succeeded at {zxid:#x}, where {path} is {there}",
        )
        self._replies.note_zxid(operation, zxid)
        return zxid
