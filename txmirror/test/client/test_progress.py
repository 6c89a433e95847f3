"""A client that does nothing for its session is noticed, and an outage is not taken for that."""

from __future__ import annotations

from txmirror.client import ZooKeeperClient
from txmirror.test.client.peer import ClientTestCase, S, ignore
from txmirror.types import SessionState


class ProgressTests(ClientTestCase):
    def test_never_stuck(self) -> None:
        """A client is not stuck while it connects, shakes hands, serves, has lost its session, and closes."""
        client = self.make_client()
        self.assertFalse(client.stuck)
        self.server.stop()
        ignore(client.connect())
        self.assert_not_stuck(client, 2 * S)
        self.server.start()
        self.assert_not_stuck(client, S)
        self.server.peer.accept()
        self.assert_not_stuck(client, 2 * S)
        self.assertEqual(client.session.state, SessionState.CONNECTED)
        self.server.peer.answers_pings = False
        self.assert_not_stuck(client, S)
        self.server.peer.expire()
        self.assert_not_stuck(client, S / 4)
        self.server.peer.accept(session_id=2)
        self.assert_not_stuck(client, S)
        self.assertEqual(self.states()[-2:], [SessionState.EXPIRED, SessionState.CONNECTED])
        self.close_fast(client, self.server.peer)
        self.assertFalse(client.stuck)

    def assert_not_stuck(self, client: ZooKeeperClient, seconds: float) -> None:
        for _ in range(round(seconds * 20)):
            self.reactor.advance(0.05)
            self.assertFalse(client.stuck, client)
            self.settle()
            self.assertFalse(client.stuck, client)

    def test_no_attempts(self) -> None:
        """A client that does not connect any more is stuck."""
        client, peer = self.make_connected()
        self.server.stop()
        peer.drop()
        self.pass_time(S)
        self.assertFalse(client.stuck)
        client._session._attempts.reconnector.stop()
        self.assertTrue(client.stuck)

    def test_no_pings(self) -> None:
        """A connected client that does not check the connection any more is stuck."""
        client, _ = self.make_connected()
        client._session._core.connection.liveness.stop()  # type: ignore[union-attr]
        self.assertTrue(client.stuck)
