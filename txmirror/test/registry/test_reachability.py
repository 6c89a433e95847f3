"""ZooKeeper is given up on when no session was had for some time, and not before."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from txmirror.errors import ClosingException, NoConnection
from txmirror.mirror import Mirror
from txmirror.registry.reachability import ReachabilityTimeout, when_connected
from txmirror.testing import World


class ReachabilityTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.world.close)
        self.mirror = Mirror(self.world.connect_string, session_timeout=4.0, reactor=self.world.reactor)
        self.addCleanup(self.close_mirror)

    def close_mirror(self) -> None:
        self.reachability.stop()
        self.mirror.close()
        self.world.pass_time(5)

    def begin(self, timeout: float = 3.0) -> None:
        self.reachability = ReachabilityTimeout(self.mirror, timeout)

    def connect(self) -> None:
        self.mirror.connect().addErrback(lambda _: None)
        self.world.settle()

    def go_away(self) -> None:
        self.world.reactor.black_hole("127.0.0.1", int(self.world.server.address.split(":")[1]))
        for link in self.world.reactor.links:
            link.cut()
        self.world.settle()

    def come_back(self) -> None:
        self.world.reactor.undo_black_hole("127.0.0.1", int(self.world.server.address.split(":")[1]))


class ReachabilityTests(ReachabilityTestCase):
    def test_never_connected(self) -> None:
        """The time counts from when it is first asked, however old the mirror is."""
        self.world.pass_time(100)
        self.begin()
        waiting: Deferred[None] = self.reachability.fail_when_unreachable(Deferred())
        self.world.pass_time(2.9)
        self.assertNoResult(waiting)
        self.assertFalse(self.reachability.unreachable)
        self.world.pass_time(0.2)
        error = self.failureResultOf(waiting, NoConnection)
        self.assertIn(self.world.connect_string, error.getErrorMessage())
        self.assertTrue(self.reachability.unreachable)

    def test_out_of_reach(self) -> None:
        """Once it is out of reach waits end at once; a result that is there is given all the same."""
        self.begin()
        self.world.pass_time(4)
        self.failureResultOf(self.reachability.fail_when_unreachable(Deferred()), NoConnection)
        done: Deferred[int] = Deferred()
        done.callback(1)
        self.assertEqual(self.successResultOf(self.reachability.fail_when_unreachable(done)), 1)

    def test_connected(self) -> None:
        """With a connection waits have no limit; without one they have the rest of the time since it was lost."""
        self.begin()
        self.connect()
        waiting: Deferred[None] = self.reachability.fail_when_unreachable(Deferred())
        self.world.pass_time(100)
        self.assertNoResult(waiting)
        self.go_away()
        self.world.pass_time(2)
        later: Deferred[None] = self.reachability.fail_when_unreachable(Deferred())
        self.world.pass_time(0.9)
        self.assertNoResult(waiting)
        self.world.pass_time(0.2)
        self.failureResultOf(waiting, NoConnection)
        self.failureResultOf(later, NoConnection)

    def test_back_in_time(self) -> None:
        """A connection that is back in time ends nothing, and the time begins anew when it goes again."""
        self.begin()
        self.connect()
        waiting: Deferred[None] = self.reachability.fail_when_unreachable(Deferred())
        for _ in range(3):
            self.go_away()
            self.world.pass_time(1)
            self.come_back()
            self.world.pass_time(1.9)
            self.assertTrue(self.mirror.is_connected())
        self.assertNoResult(waiting)
        waiting.callback(None)
        self.successResultOf(waiting)

    def test_result(self) -> None:
        """A result in time is passed on, and so is a failure."""
        self.begin()
        first, second = Deferred[int](), Deferred[int]()
        self.reachability.fail_when_unreachable(first)
        self.reachability.fail_when_unreachable(second)
        first.callback(5)
        second.errback(ZeroDivisionError())
        self.assertEqual(self.successResultOf(first), 5)
        self.failureResultOf(second, ZeroDivisionError)

    def test_cancelled_by_others(self) -> None:
        """A cancelled call fails with its cancellation."""
        self.begin()
        waiting: Deferred[None] = self.reachability.fail_when_unreachable(Deferred())
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)

    def test_finishes_instead(self) -> None:
        """A Deferred that fires with a result when it is cancelled passes that on."""
        self.begin()
        waiting: Deferred[str] = self.reachability.fail_when_unreachable(
            Deferred(lambda cancelled: cancelled.callback("half"))
        )
        self.world.pass_time(4)
        self.assertEqual(self.successResultOf(waiting), "half")

    def test_one_ends_another(self) -> None:
        """The errback of one wait may end the others."""
        self.begin()
        first, second = Deferred[None](), Deferred[None]()
        self.reachability.fail_when_unreachable(first).addErrback(lambda _: second.callback(None))
        self.reachability.fail_when_unreachable(second)
        self.world.pass_time(4)
        self.successResultOf(first)
        self.successResultOf(second)

    def test_stop(self) -> None:
        """stop() ends all waits, and leaves no timer."""
        self.begin()
        waiting: Deferred[None] = self.reachability.fail_when_unreachable(Deferred())
        self.reachability.stop()
        self.failureResultOf(waiting, NoConnection)
        self.failureResultOf(self.reachability.fail_when_unreachable(Deferred()), NoConnection)
        self.assertEqual(self.world.reactor.getDelayedCalls(), [])

    def test_mirror_closed(self) -> None:
        """A mirror that is closed is out of reach."""
        self.begin()
        self.connect()
        waiting: Deferred[None] = self.reachability.fail_when_unreachable(Deferred())
        self.mirror.close()
        self.world.settle()
        self.failureResultOf(waiting, NoConnection)
        self.begin()
        self.assertTrue(self.reachability.unreachable)


class WhenConnectedTests(ReachabilityTestCase):
    def test_waits(self) -> None:
        """when_connected() fires with the connection, and at once if there is one."""
        self.begin()
        waiting = when_connected(self.mirror)
        self.world.settle()
        self.assertNoResult(waiting)
        self.connect()
        self.successResultOf(waiting)
        self.successResultOf(when_connected(self.mirror))

    def test_closed(self) -> None:
        """when_connected() fails when the mirror is closed."""
        self.begin()
        waiting = when_connected(self.mirror)
        self.mirror.close()
        self.world.settle()
        self.failureResultOf(waiting, ClosingException)
        self.failureResultOf(when_connected(self.mirror), ClosingException)

    def test_cancel(self) -> None:
        """A cancelled ``when_connected`` is not fired by a later connection."""
        self.begin()
        waiting = when_connected(self.mirror)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.connect()
