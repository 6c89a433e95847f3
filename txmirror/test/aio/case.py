"""Tests in asyncio, without trial: each on an event loop of its own, with the reactor and an embedded server on it.

The modules ``on_asyncio_*.py`` have such tests, for unittest. ``test_asyncio.py`` runs them in a process without trial's reactor.
"""

from __future__ import annotations

import asyncio
import unittest
from collections.abc import Callable, Coroutine
from typing import Any

from txmirror import aio
from txmirror.embedded import EmbeddedServer


async def turns(number: int = 5) -> None:
    """Let the loop run what is due."""
    for _ in range(number):
        await asyncio.sleep(0)


class LoopCase(unittest.TestCase):
    """A case whose coroutines run on a loop with the reactor."""

    def on_loop(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        aio.run(self.within(main), debug=True)

    async def within(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await asyncio.wait_for(main(), 10)


class ServerCase(LoopCase):
    """A case with a server too."""

    server: EmbeddedServer

    async def within(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async with aio.running_reactor() as reactor:
            self.server = EmbeddedServer(reactor)
            self.server.listen()
            try:
                await super().within(main)
                # All clients are closed.
                self.assertEqual(self.server.sessions, frozenset())
            finally:
                await aio.Call(self.server.stop(), asyncio.get_running_loop())
