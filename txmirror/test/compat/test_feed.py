"""A mirror on the feed that is built from single watches: the other tests of mirrors hold there too, except for those named here.

The client is the native one; only IZooKeeperClient and the steps of its session are used.

The tests run where those of txzookeeper run, whose clients have this feed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txmirror.client import ZooKeeperClient
from txmirror.compat.feed import SingleWatchFeed
from txmirror.errors import ConnectionLossException, NoNodeException, UnimplementedException, ZooKeeperException
from txmirror.interfaces import IWatchFeed, IZooKeeperClient
from txmirror.mirror import Mirror, MirrorState
from txmirror.registry import Registration, RegistrationState
from txmirror.test.compat.available import install_or_skip
from txmirror.test.mirror import test_node, test_recovery, test_tree, test_writes, world
from txmirror.testing import World
from txmirror.types import OPEN_ACL, EventType, Listener, News, SessionEvent, SessionState, WatchedEvent, WatchKind


class Steps:
    """The steps of a native client's session, without the events of its feed."""

    def __init__(self, client: ZooKeeperClient) -> None:
        self._client = client
        self.listeners: dict[Listener, Listener] = {}

    @property
    def session(self) -> SessionEvent:
        return self._client.session

    def add_listener(self, listener: Listener) -> None:
        def step(news: News) -> None:
            if isinstance(news, SessionEvent):
                listener(news)

        self.listeners[listener] = step
        self._client.add_listener(step)

    def remove_listener(self, listener: Listener) -> None:
        self._client.remove_listener(self.listeners.pop(listener))


@implementer(IZooKeeperClient, IWatchFeed)
class Bare:
    """A native client whose feed is built from single watches.

    :ivar asked: the names of the client's methods that were called.
    """

    def __init__(self, client: ZooKeeperClient) -> None:
        self._client = client
        self.steps = Steps(client)
        self.feed = SingleWatchFeed(self, self.steps)
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name in IWatchFeed:
            return getattr(self.feed, name)
        if name not in IZooKeeperClient:
            raise AttributeError(name)
        value = getattr(self._client, name)
        if not callable(value):
            return value

        def ask(*arguments: Any, **options: Any) -> Any:
            self.asked.append(name)
            answer = value(*arguments, **options)
            (answer[0] if isinstance(answer, tuple) else answer).addErrback(self._forget_zxid)
            return answer

        return ask

    def _forget_zxid(self, failure: Failure) -> Failure:
        if isinstance(failure.value, ZooKeeperException):
            failure.value.zxid = None
        return failure


class BareMirror(Mirror):
    """A mirror that is given such a client in place of the one that it is given."""

    def __init__(self, *, client: ZooKeeperClient, **options: Any) -> None:
        super().__init__(client=Bare(client), **options)


class OverBare(SynchronousTestCase):
    """Lets the tests of a class have such mirrors."""

    def setUp(self) -> None:
        install_or_skip()
        self.patch(world, "Mirror", BareMirror)
        super().setUp()


class FollowingTests(OverBare, test_node.FollowingTests):
    pass


class SetTests(OverBare, test_writes.SetTests):
    pass


class DeleteTests(OverBare, test_writes.DeleteTests):
    pass


class SameSessionTests(OverBare, test_recovery.SameSessionTests):
    pass


class NewSessionTests(OverBare, test_recovery.NewSessionTests):
    def test_cost(self) -> None:
        """Weaker: unchanged nodes are read again, too."""
        self.assertRaises(self.failureException, super().test_cost)

    def test_cost_of_the_next(self) -> None:
        """Weaker: so it is the next time."""
        self.assertRaises(self.failureException, super().test_cost_of_the_next)


class TreeShowingTests(OverBare, test_tree.OldShowingTests):
    pass


class TreeWatchingTests(OverBare, test_tree.OldWatchingTests):
    pass


class TreeRecoveryTests(OverBare, test_tree.OldRecoveryTests):
    pass


class TreeNewSessionTests(OverBare, test_tree.OldNewSessionTests):
    def test_ephemeral_no_more(self) -> None:
        """Weaker: in a new session a watch that nobody needs stays."""
        self.assertRaises(self.failureException, super().test_ephemeral_no_more)


class HoleTests(OverBare, test_tree.OldHoleTests):
    pass


class FeedTests(SynchronousTestCase):
    """The feed itself."""

    def setUp(self) -> None:
        install_or_skip()
        self.world = World()
        self.addCleanup(self.world.close)
        self.other = self.world.client()
        self.native = self.world.client()
        self.client = Bare(self.native)
        self.feed = self.client.feed
        self.told: list[News] = []
        self.feed.add_listener(self.told.append)
        self.world.result(self.other.create("/a", b"1"))

    def happens(self, *changes: Callable[[], Deferred[Any]]) -> list[WatchedEvent]:
        """Let another client make changes, and return the events that follow."""
        for change in changes:
            self.world.result(change())
        events = [news for news in self.told if isinstance(news, WatchedEvent)]
        self.told.clear()
        return events

    def test_interface(self) -> None:
        """The feed has every member of IWatchFeed, and a mirror does not accept a client without a feed."""
        verifyObject(IWatchFeed, self.feed)
        self.assertIs(self.feed.session, self.native.session)
        self.assertRaises(TypeError, Mirror, client=object(), reactor=self.world.reactor)

    def test_one_event(self) -> None:
        """The deletion of a node is one event, whichever watches it has, and a later creation is none."""
        reads: list[Callable[[str], Deferred[Any]]]
        reads = [self.feed.read_data, self.feed.read_existence, self.feed.read_children]
        for _ in range(2):
            for read in reads:
                self.world.result(read("/a"))
        self.assertEqual(self.happens(lambda: self.other.delete("/a")), [WatchedEvent(EventType.DELETED, "/a")])
        self.assertEqual(self.happens(lambda: self.other.create("/a")), [])

    def test_watch_is_asked_for_once(self) -> None:
        """A read requests no second watch while there is one, but does once it has fired."""
        for expected in (["get_and_watch"], ["get"], ["get"]):
            self.client.asked.clear()
            self.world.result(self.feed.read_data("/a"))
            self.assertEqual(self.client.asked, expected)
        self.assertEqual(self.happens(lambda: self.other.set("/a", b"2")), [WatchedEvent(EventType.CHANGED, "/a")])
        self.client.asked.clear()
        self.world.result(self.feed.read_data("/a"))
        self.assertEqual(self.client.asked, ["get_and_watch"])

    def test_used_up_while_read(self) -> None:
        """A watch that is used up while a read relies on it is set by another read before there is an answer."""
        self.world.result(self.feed.read_data("/a"))
        self.world.server.delay_next("get", 1.0, session_id=self.native.session_id)
        reading = self.feed.read_data("/a")
        self.assertEqual(self.happens(lambda: self.other.set("/a", b"2")), [WatchedEvent(EventType.CHANGED, "/a")])
        self.world.pass_time(1.0)
        self.assertEqual(self.world.result(reading).data, b"2")
        self.assertEqual(self.happens(lambda: self.other.set("/a", b"3")), [WatchedEvent(EventType.CHANGED, "/a")])

    def test_made_anew_between_names_and_stat(self) -> None:
        """A node that is recreated between the two requests of one read is reported as deleted, and a later read sets a
        watch.
        """
        self.world.server.delay_next("exists", 1.0, session_id=self.native.session_id)
        reading = self.feed.read_children("/a")
        self.world.settle()
        events = self.happens(lambda: self.other.delete("/a"), lambda: self.other.create("/a"))
        self.world.pass_time(1.0)
        self.world.result(reading)
        self.assertEqual(events + self.happens(), [WatchedEvent(EventType.DELETED, "/a")])
        self.world.result(self.feed.read_children("/a"))
        self.assertEqual(self.happens(lambda: self.other.create("/a/b")), [WatchedEvent(EventType.CHILD, "/a")])

    def test_gone_between_names_and_stat(self) -> None:
        """A node that is deleted between the two requests of one read is missing."""
        self.world.server.delay_next("exists", 1.0, session_id=self.native.session_id)
        reading = self.feed.read_children("/a")
        self.world.settle()
        self.happens(lambda: self.other.delete("/a"))
        self.world.pass_time(1.0)
        self.assertRaises(NoNodeException, self.world.result, reading)

    def test_zxid(self) -> None:
        """Answers are as of the latest transaction that was seen; failures, too; and that never goes back."""
        seen = [self.world.result(self.feed.read_data("/a")).zxid]
        self.world.result(self.other.create("/a/b"))
        seen.append(self.world.result(self.feed.read_children("/a")).zxid)
        seen.append(self.world.result(self.feed.read_existence("/no")).zxid)
        error = self.assertRaises(NoNodeException, self.world.result, self.feed.read_data("/no"))
        assert error.zxid is not None
        seen.append(error.zxid)
        seen.append(self.world.result(self.feed.read_data("/a/b")).zxid)
        seen.append(self.world.result(self.feed.write_data("/a", b"2", -1)).zxid)
        seen.append(self.world.result(self.feed.write_delete("/a/b", -1)))
        self.assertEqual(seen, sorted(seen))
        self.assertGreater(seen[1], seen[0])

    def test_lost(self) -> None:
        """A failure that no server has answered has no zxid."""
        self.world.server.lose_reply("get")
        error = self.assertRaises(ConnectionLossException, self.world.result, self.feed.read_data("/a"))
        self.assertIsNone(error.zxid)
        self.world.pass_time(1.0)

    def test_created(self) -> None:
        """A created node is read back; if it was changed or deleted meanwhile, only the arguments of the request are known."""
        created = self.world.result(self.feed.write_create("/b", b"mine", OPEN_ACL, 1))
        self.assertEqual((created.path, created.stat), ("/b", self.world.result(self.other.exists("/b"))))
        for after in (
            [lambda: self.other.delete("/c")],
            [lambda: self.other.set("/c", b"theirs")],
            [lambda: self.other.delete("/c"), lambda: self.other.create("/c", b"theirs")],
        ):
            self.world.server.delay_next("get", 1.0, session_id=self.native.session_id)
            creating = self.feed.write_create("/c", b"mine", OPEN_ACL, 0)
            self.world.settle()
            self.happens(*after)
            self.world.pass_time(1.0)
            created = self.world.result(creating)
            self.assertEqual((created.path, created.zxid, created.stat.czxid, created.stat.dataLength), ("/c", 0, 0, 4))
            self.world.result(self.other.delete("/c").addErrback(lambda failure: failure.trap(NoNodeException)))

    def test_created_and_cut_off(self) -> None:
        """A node that was created was created, if it cannot be read back too."""
        self.world.server.lose_reply("get", session_id=self.native.session_id)
        created = self.world.result(self.feed.write_create("/b", b"mine", OPEN_ACL, 0))
        self.assertEqual((created.path, created.zxid), ("/b", 0))
        self.world.pass_time(1.0)

    def test_set_watches(self) -> None:
        """Watches cannot be set as of a zxid; with none to set, it waits for the server's earlier replies."""
        self.assertRaises(UnimplementedException, self.world.result, self.feed.set_watches(1, ["/a"]))
        order: list[object] = []
        self.world.result(self.feed.read_data("/a"))
        self.feed.add_listener(order.append)
        self.native.set("/a", b"2")
        self.feed.set_watches(1).addCallback(lambda _: order.append("all"))
        self.world.settle()
        self.assertEqual(order, [WatchedEvent(EventType.CHANGED, "/a"), "all"])

    def test_remove_watches(self) -> None:
        """Watches are not removed, and are left."""
        self.world.result(self.feed.read_data("/a"))
        self.assertRaises(UnimplementedException, self.world.result, self.feed.remove_watches("/a", WatchKind.ANY))
        self.world.result(self.feed.release("/a"))
        self.assertEqual(self.happens(lambda: self.other.set("/a", b"2")), [WatchedEvent(EventType.CHANGED, "/a")])

    def test_session(self) -> None:
        """Session events are forwarded; the watches end with the session, and later reads set new ones."""
        self.world.result(self.feed.read_data("/a"))
        self.world.server.expire_session(self.native.session_id)
        self.world.pass_time(1.0)
        states = [news.state for news in self.told if isinstance(news, SessionEvent)]
        self.assertEqual(states[-2:], [SessionState.EXPIRED, SessionState.CONNECTED])
        self.client.asked.clear()
        self.world.result(self.feed.read_data("/a"))
        self.assertEqual(self.client.asked, ["get_and_watch"])

    def test_no_listener(self) -> None:
        """A removed listener is not notified, and with the last of them the feed stops listening to the client."""
        self.feed.remove_listener(self.told.append)
        self.assertEqual(self.client.steps.listeners, {})
        self.world.server.drop_connections()
        self.world.pass_time(1.0)
        self.assertEqual(self.told, [])

    def test_cancelled(self) -> None:
        """A read that is cancelled disturbs no other's, and complains of nothing."""
        for read in (self.feed.read_data, self.feed.read_existence, self.feed.read_children):
            answer, other = read("/a"), self.feed.read_data("/a")
            answer.addErrback(lambda _: None)
            answer.cancel()
            self.assertEqual(self.world.result(other).data, b"1")

    def test_mirror_closed(self) -> None:
        """A mirror that is closed leaves the client open, and gets no more events."""
        mirror = Mirror(client=self.client, reactor=self.world.reactor)
        node = mirror.get("/a")
        self.assertEqual(self.world.result(node.value())[0], b"1")
        self.world.result(mirror.close())
        self.assertIs(mirror.state, MirrorState.CLOSED)
        self.world.result(self.other.set("/a", b"2"))
        self.assertEqual(node.state.value, b"1")
        self.assertEqual(len(self.client.steps.listeners), 1)


class RegistrationTests(SynchronousTestCase):
    """A registration on a mirror whose feed is built from single watches."""

    def test_deleted_at_once(self) -> None:
        """A node that another client deletes right after its creation, before it was read back, is created again."""
        with World() as world:
            client, other = world.client(), world.client()
            mirror = Mirror(client=cast(Any, Bare(client)), reactor=world.reactor)
            registration = Registration(mirror, "/a", {})
            registration.start()
            world.settle()
            # The read that is made for the event of the node's creation is delayed, and so is the one behind it.
            delayed = world.server.delay_next("get", 0.5, path="/a", session_id=client.session_id)
            world.result(other.delete("/a"))
            self.assertTrue(delayed.happened)
            world.result(other.delete("/a"))
            world.pass_time(5.0)
            stat = world.result(other.exists("/a"))
            self.assertEqual(stat is not None and stat.ephemeralOwner, client.session_id)
            self.assertIs(registration.state, RegistrationState.REGISTERED)
            world.result(mirror.close())
