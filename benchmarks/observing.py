"""Observes from outside, on a connection without faults: whether the ensemble keeps all writes, the registered services, and the
ephemeral nodes that are left at the end.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

from history_workloads import CANARY, EPHEMERALS, GATE, PARTY, SERVICES, SETTLE
from recording import Log
from twisted.internet.task import deferLater

from txmirror.client import ZooKeeperClient
from txmirror.errors import NoNodeException, ZooKeeperException
from txmirror.testing.history import Outcome, Unblock

#: Seconds between two looks.
PAUSE = 0.2
#: Seconds in which the ephemeral nodes must go after the last client has ended: the session timeout, and some time for an election.
GONE = 20.0


class Observer:
    """Notes what it sees in the harness's file.

    :param client: a client that is connected to the ensemble without proxies.
    """

    def __init__(self, reactor: Any, client: ZooKeeperClient, log: Log) -> None:
        self._reactor = reactor
        self._client = client
        self._log = log

    async def observe_ensemble(self, until: float) -> None:
        """Write a node again and again, and note if a write that was done is lost. Then no client can keep its promises."""
        kept, version = time.monotonic_ns(), 0
        while time.monotonic() < until:
            begin = time.monotonic_ns()
            try:
                stat = await self._client.set(CANARY, b"")
            except ZooKeeperException:
                pass
            else:
                if stat.version <= version:
                    self._log.note("lost", since=kept, version=version, now=stat.version)
                kept, version = begin, stat.version
            await deferLater(self._reactor, PAUSE)

    async def observe_services(self, until: float) -> None:
        """Note each change of the registered services, and at the end those that are registered.

        :param until: the moment of ``time.monotonic`` at which the faults end. The clients register for some time longer.
        """
        before: dict[str, str] | None = None
        end = until + SETTLE - 1
        while time.monotonic() < end:
            present: dict[str, str] | None
            try:
                present = await self._services()
            except ZooKeeperException:
                present = before
            if present is not None and present != before:
                self._log.note("services", present=present)
                before = present
            await deferLater(self._reactor, PAUSE)
        try:
            await self._client.sync(SERVICES)
            self._log.note("services at the end", present=await self._services())
        except ZooKeeperException as error:
            self._log.note("error", error=str(error))

    async def _services(self) -> dict[str, str]:
        names = await self._client.get_children(SERVICES)
        nodes = await self._client.get_many([f"{SERVICES}/{name}" for name in names])
        present = {}
        for name, node in zip(names, nodes, strict=True):
            if not isinstance(node, ZooKeeperException):
                present[name] = str(json.loads(node[0])["client"])
        return present

    async def observe_party(self, until: float) -> None:
        """Note the members of the party at the end. The clients stay members for some time after the faults.

        :param until: the moment of ``time.monotonic`` at which the faults end.
        """
        await deferLater(self._reactor, until + SETTLE - 1 - time.monotonic())
        try:
            await self._client.sync(PARTY)
            names = await self._client.get_children(PARTY)
            nodes = await self._client.get_many([f"{PARTY}/{name}" for name in names])
        except ZooKeeperException as error:
            self._log.note("error", error=str(error))
        else:
            found = [node[0].decode() for node in nodes if not isinstance(node, ZooKeeperException)]
            self._log.note("party at the end", present=found)

    async def open_gates(self) -> None:
        """Remove all barriers that are left, and note the transactions that have removed each."""
        try:
            names = await self._client.get_children(GATE)
            removed = {}
            for name in names:
                path = f"{GATE}/{name}/barrier"
                operation = self._log.begin(0, Unblock(path))
                with suppress(NoNodeException):
                    await self._client.delete(path)
                self._log.end(operation, Outcome.APPLIED)
                stat = await self._client.exists(f"{GATE}/{name}")
                if stat is not None:
                    removed[path] = stat.pzxid
        except ZooKeeperException as error:
            self._log.note("error", error=str(error))
        else:
            self._log.note("gates", removed=removed)

    async def observe_the_end(self) -> None:
        """Note the ephemeral nodes that are left some time after all clients have ended."""
        deadline = time.monotonic() + GONE
        names: list[str] = []
        while time.monotonic() < deadline:
            try:
                await self._client.sync(EPHEMERALS)
                names = await self._client.get_children(EPHEMERALS)
            except ZooKeeperException as error:
                self._log.note("error", error=str(error))
            else:
                if not names:
                    break
            await deferLater(self._reactor, 1)
        self._log.note("left", names=names)
