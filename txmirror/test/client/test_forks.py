"""A client in a child of the process that it began in."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable

from txmirror.errors import InvalidStateException
from txmirror.test.client.peer import ClientTestCase


class ForkTests(ClientTestCase):
    def in_child(self, test: Callable[[], object]) -> None:
        """Run a test in a child, and fail with its exception."""
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.close(reading)
                test()
            except BaseException:
                os.write(writing, traceback.format_exc().encode()[-60_000:])
            finally:
                # Nothing of trial's is to be run twice.
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            said = pipe.read().decode()
        os.waitpid(child, 0)
        self.assertEqual(said, "")

    def test_child(self) -> None:
        """Rule 14: any request in a child fails with a clear error, and does not affect the parent's connection (I5)."""
        client, peer = self.make_connected()

        def child() -> None:
            answers = [
                client.get("/a"),
                client.connect(),
                client.when_connected(),
                client.add_auth("digest", b"u:p"),
                client.create("/a", protect=True),
            ]
            for answer in answers:
                error = self.failureResultOf(answer, InvalidStateException).value
                self.assertIn("forked", str(error))
                self.assertIs(error.applied, False)
            self.successResultOf(client.close())
            self.assertIsNone(self.successResultOf(client.leave()))
            self.assertEqual(peer.packets, [])
            self.assertFalse(peer.lost)

        self.in_child(child)
        self.assertFalse(peer.lost)
        self.close_fast(client, peer)

    def test_daemon(self) -> None:
        """Rule 14: a client that was made before the fork and begins after it belongs to the child, as a daemon's does (I5)."""
        client = self.make_client()
        queued = client.get("/a")

        def child() -> None:
            connected = client.connect()
            self.server.peer.accept()
            self.successResultOf(connected)
            self.assertNoResult(queued)
            self.assertEqual(len(self.server.peer.packets), 1)

        self.in_child(child)
        queued.addErrback(lambda _: None)
