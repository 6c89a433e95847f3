"""A registry in a forked child is refused until it is rebuilt, and then does not touch the parent's."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from txmirror.embedded import EmbeddedServer
from txmirror.test.integration import forking


class ForkTests(TestCase):
    timeout = 60

    def test_fork(self) -> Deferred[None]:
        """The child gets a clear error, rebuilds, and finds and registers by itself; the parent's session continues,
        and its registration stays, whatever the child does.
        """
        return Deferred.fromCoroutine(self.fork())

    async def fork(self) -> None:
        from twisted.internet import reactor

        server = EmbeddedServer(reactor)
        server.listen()
        self.addCleanup(server.stop)
        program = Path(forking.__file__)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        output, errors, status = await getProcessOutputAndValue(
            sys.executable, ["-W", "ignore", str(program), server.address], env=environment
        )
        self.assertEqual((errors.decode(), status), ("", 0))
        self.assertEqual(
            output.decode().splitlines(),
            [
                "parent: finds ['parent']",
                *["child: InvalidStateException True True"] * 4,
                "child: finds ['parent']",
                "child: finds ['child', 'parent']",
                "parent: was told of [['parent'], ['child', 'parent'], ['parent']]",
                "parent: was connected all the time: True",
            ],
        )
        self.assertEqual(server.sessions, frozenset())
