"""The adapter over a plain client of txzookeeper, in memory: failures at each step."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from txmirror.compat import TxZooKeeperClient, zookeeper
from txmirror.errors import (
    AuthFailedException,
    BadVersionException,
    ClosingException,
    ConnectionLossException,
    PathError,
    SessionExpiredException,
)
from txmirror.test.compat.available import install_or_skip
from txmirror.testing import MemoryReactor, World
from txmirror.types import CREATOR_ALL_ACL, OPEN_ACL, News, SessionEvent, SessionState

PORT = 2181


class ThreadlessReactor(MemoryReactor):
    """Takes calls as if from a thread, as txzookeeper makes them."""

    def callFromThread(self, function: Any, *arguments: Any, **options: Any) -> None:
        self.callLater(0, function, *arguments, **options)


class AdapterCase(SynchronousTestCase):
    def setUp(self) -> None:
        install_or_skip()
        import txzookeeper.client

        reactor = ThreadlessReactor()
        self.patch(txzookeeper.client, "reactor", reactor)
        zookeeper.use(reactor)
        self.addCleanup(zookeeper.use, None)
        # When it is closed, nothing may be left in it, not a timer.
        self.world = World(reactor=reactor)
        self.addCleanup(self.world.close)
        self.world.result(self.world.server.stop_listening())
        self.world.server.listen(PORT)
        self.make = txzookeeper.client.ZookeeperClient
        self.client = TxZooKeeperClient(self.make(f"127.0.0.1:{PORT}", 10_000))
        self.steps: list[SessionEvent] = []
        self.client.add_listener(self.stepped)
        self.addCleanup(self.close)

    def stepped(self, news: News) -> None:
        self.steps.append(cast(SessionEvent, news))

    def close(self) -> None:
        closed = self.client.close()
        self.world.pass_time(5.0)
        self.assertTrue(closed.called)

    def connect(self) -> None:
        self.world.result(self.client.connect())

    def states(self) -> list[tuple[SessionState, int]]:
        steps, self.steps = self.steps, []
        return [(step.state, step.session_number) for step in steps]

    def assert_fails(self, exception: type[Exception], deferred: Deferred[Any]) -> Any:
        self.world.settle()
        return self.failureResultOf(deferred, exception).value


class LifeTests(AdapterCase):
    def test_no_client(self) -> None:
        """An object that is no client of txzookeeper is refused."""
        self.assertRaises(TypeError, TxZooKeeperClient, object())

    def test_chroot_behind_every_server(self) -> None:
        """A chroot that each server repeats is the chroot of all: the connection string shows it once, at the end."""
        self.connect()
        self.world.result(self.client.create("/app"))
        hosts = f"127.0.0.1:{PORT}/app,127.0.0.1:{PORT}/app"
        client = TxZooKeeperClient(self.make(hosts, 10_000))
        self.world.result(client.connect())
        self.assertEqual(client.connect_string, f"127.0.0.1:{PORT},127.0.0.1:{PORT}/app")
        self.assertEqual(client.chroot("/x").connect_string, f"127.0.0.1:{PORT},127.0.0.1:{PORT}/app/x")
        self.world.result(client.create("/node"))
        self.assertIsNotNone(self.world.result(self.client.exists("/app/node")))
        self.world.result(client.close())

    def test_malformed_servers(self) -> None:
        """Servers that are malformed are printed as they were given."""
        client = TxZooKeeperClient(self.make("a:1/app,b:2/web", 10_000))
        self.assertEqual(client.connect_string, "a:1/app,b:2/web")

    def test_connected_already(self) -> None:
        """A client may be connected when it comes here."""
        plain = self.make(f"127.0.0.1:{PORT}", 10_000)
        self.world.result(plain.connect())
        client = TxZooKeeperClient(plain)
        self.assertEqual((client.session.state, client.session.session_number), (SessionState.CONNECTED, 1))
        self.assertIn(client.session_id, self.world.server.sessions)
        self.assertIsNotNone(self.world.result(client.exists("/")))
        self.world.result(client.close())

    def test_asked_before(self) -> None:
        """Requests before the first session wait for it, in order; a cancelled one is not sent."""
        created = self.client.create("/a", b"1")
        never = self.client.create("/never")
        never.addErrback(lambda failure: failure.trap(CancelledError))
        never.cancel()
        changed = self.client.set("/a", b"2", 0)
        self.world.pass_time(60)
        self.assertFalse(created.called)
        self.connect()
        self.assertEqual(self.world.result(created), "/a")
        self.assertEqual(self.world.result(changed).version, 1)
        self.assertIsNone(self.world.result(self.client.exists("/never")))
        self.assertEqual(self.states(), [(SessionState.CONNECTED, 1)])

    def test_close_before(self) -> None:
        """A client that has never connected can be closed; pending calls fail."""
        waiting = self.client.get("/")
        answer, watch = self.client.get_and_watch("/")
        self.world.result(self.client.close())
        for deferred in (waiting, answer, watch, self.client.get("/"), self.client.connect()):
            self.assert_fails(ClosingException, deferred)
        self.assertEqual(self.states(), [(SessionState.CLOSED, 0)])

    def test_close_while_connecting(self) -> None:
        """A client that is connecting to a silent server can be closed; no timer of txzookeeper's is left."""
        self.world.reactor.black_hole("127.0.0.1", PORT)
        connected = self.client.connect()
        waiting = self.client.get("/")
        self.world.pass_time(3.0)
        self.client.close()
        self.world.pass_time(5.0)
        self.assert_fails(ClosingException, connected)
        self.assert_fails(ClosingException, waiting)
        self.world.reactor.undo_black_hole("127.0.0.1", PORT)
        self.assertEqual(self.world.reactor.getDelayedCalls(), [])

    def test_server_comes_later(self) -> None:
        """Attempts go on until there is a server, however long that takes."""
        self.world.result(self.world.server.stop_listening())
        connected = self.client.connect()
        self.world.pass_time(3600)
        self.assertFalse(connected.called)
        self.world.server.listen(PORT)
        self.world.pass_time(10)
        self.assertIsNone(self.world.result(connected))

    def test_cancelled_wait(self) -> None:
        """Cancelling the wait for a session ends only that wait."""
        waiting, other = self.client.connect(), self.client.connect()
        waiting.addErrback(lambda failure: failure.trap(CancelledError))
        waiting.cancel()
        self.assertIsNone(self.world.result(other))

    def test_interrupted(self) -> None:
        """A connection that goes and comes is two steps, however many watches there are."""
        self.connect()
        watches = [self.client.exists_and_watch(f"/{number}")[1] for number in range(3)]
        self.world.settle()
        self.world.server.drop_connections()
        self.world.pass_time(1.0)
        connected = (SessionState.CONNECTED, 1)
        self.assertEqual(self.states(), [connected, (SessionState.SUSPENDED, 1), connected])
        self.world.result(self.client.create("/1"))
        self.assertEqual([watch.called for watch in watches], [False, True, False])
        self.close()
        for watch in (watches[0], watches[2]):
            self.assert_fails(ClosingException, watch)

    def test_lost_answer(self) -> None:
        """A write whose reply is lost fails, and its outcome is unknown."""
        self.connect()
        self.world.server.lose_reply("create")
        error = self.assert_fails(ConnectionLossException, self.client.create("/a"))
        self.assertEqual((error.path, error.applied), ("/a", None))
        self.world.pass_time(1.0)
        self.assertIsNotNone(self.world.result(self.client.exists("/a")))

    def test_new_session(self) -> None:
        """An ended session is followed by a new one, with the identities of before; its watches fail."""
        self.connect()
        self.world.result(self.client.add_auth("digest", b"user:secret"))
        self.world.result(self.client.create("/a", b"x", CREATOR_ALL_ACL))
        watch = self.client.get_and_watch("/a")[1]
        self.world.settle()
        for session_number in (1, 2):
            session = self.client.session_id
            self.steps.clear()
            self.world.server.expire_session(session)
            self.world.pass_time(2.0)
            ended, connected = self.states()[-2:]
            self.assertEqual(
                (ended, connected),
                ((SessionState.EXPIRED, session_number), (SessionState.CONNECTED, session_number + 1)),
            )
            self.assertEqual(self.world.server.sessions, {self.client.session_id})
            self.assertNotEqual(self.client.session_id, session)
            self.assertEqual(self.world.result(self.client.get("/a"))[0], b"x")
        self.assert_fails(SessionExpiredException, watch)
        self.assertEqual(len(zookeeper._handles), 1)

    def test_asked_between(self) -> None:
        """A request between two sessions waits for the next one."""
        self.connect()
        asked: list[Deferred[Any]] = []

        def ask(news: News) -> None:
            if cast(SessionEvent, news).state is SessionState.EXPIRED:
                asked.append(self.client.create("/a", ephemeral=True))

        self.client.add_listener(ask)
        self.world.server.expire_session(self.client.session_id)
        self.world.pass_time(2.0)
        self.assertEqual(self.world.result(asked[0]), "/a")
        stat = self.world.result(self.client.exists("/a"))
        assert stat is not None
        self.assertEqual(stat.ephemeralOwner, self.client.session_id)

    def test_refused_identity(self) -> None:
        """An identity that is refused is the end of all."""
        self.connect()
        watch = self.client.get_and_watch("/")[1]
        self.world.settle()
        self.assert_fails(AuthFailedException, self.client.add_auth("nonsense", b"x"))
        self.world.pass_time(60)
        self.assertEqual(self.states()[-2:], [(SessionState.CONNECTED, 1), (SessionState.AUTH_FAILED, 1)])
        for deferred in (watch, self.client.get("/"), self.client.connect()):
            self.assert_fails(AuthFailedException, deferred)
        self.assertEqual(self.world.server.sessions, frozenset())

    def test_closed_by_a_listener(self) -> None:
        """A listener may close the client at any step."""
        for state in (SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.EXPIRED):
            client = TxZooKeeperClient(self.make(f"127.0.0.1:{PORT}", 10_000))
            told: list[SessionState] = []

            def close(
                news: News,
                client: TxZooKeeperClient = client,
                state: SessionState = state,
                told: list[SessionState] = told,
            ) -> None:
                told.append(cast(SessionEvent, news).state)
                if told[-1] is state:
                    client.close()

            client.add_listener(close)
            connected = client.connect()
            self.world.pass_time(1.0)
            if state is not SessionState.CONNECTED:
                self.world.result(connected)
                if state is SessionState.EXPIRED:
                    self.world.server.expire_session(client.session_id)
                else:
                    self.world.server.drop_connections()
            connected.addErrback(lambda failure: failure.trap(ClosingException))
            self.world.pass_time(5.0)
            self.assertEqual(told[-1], SessionState.CLOSED, state)
            self.assertEqual((client.session.state, client.session_id), (SessionState.CLOSED, 0))
            self.world.pass_time(15.0)
            self.assertEqual(self.world.server.sessions, frozenset())


class RequestTests(AdapterCase):
    def setUp(self) -> None:
        super().setUp()
        self.connect()

    def test_arguments(self) -> None:
        """An invalid request is refused at the call."""
        self.assertRaises(PathError, self.client.get, "a")
        self.assertRaises(PathError, self.client.create, "/a/")
        self.assertRaises(TypeError, self.client.set, "/a", "text")
        self.assertRaises(TypeError, self.client.add_auth, b"digest", b"user:secret")

    def test_cancelled(self) -> None:
        """An answer may be cancelled, and so may a watch; nobody else is disturbed, and nothing is complained of."""
        self.world.result(self.client.create("/a", b"1"))
        cancelled, other = self.client.get("/a"), self.client.get("/a")
        cancelled.addErrback(lambda failure: failure.trap(CancelledError))
        cancelled.cancel()
        self.assertEqual(self.world.result(other)[0], b"1")
        (_, gone), (_, stays) = self.client.get_and_watch("/a"), self.client.get_and_watch("/a")
        self.world.settle()
        gone.addErrback(lambda failure: failure.trap(CancelledError))
        gone.cancel()
        self.world.result(self.client.set("/a", b"2"))
        self.assertTrue(stays.called)
        self.assertEqual(self.client._reconnecting.watches, {})

    def test_watch_that_never_was(self) -> None:
        """A watch whose request failed never fires, and is not kept."""
        answer, watch = self.client.get_and_watch("/no")
        self.world.settle()
        answer.addErrback(lambda _: None)
        self.assertEqual((watch.called, self.client._reconnecting.watches), (False, {}))

    def test_set_acl(self) -> None:
        """``set_acl`` returns a stat that is read after the write."""
        self.world.result(self.client.create("/a"))
        self.assertEqual(self.world.result(self.client.set_acl("/a", OPEN_ACL, 0)).aversion, 1)
        self.assert_fails(BadVersionException, self.client.set_acl("/a", OPEN_ACL, 0))
