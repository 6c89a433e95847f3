"""When a holder loses something, and when it is notified; and contenders that wait during lost connections and
sessions.
"""

from __future__ import annotations

from random import Random

from twisted.internet.defer import Deferred

from txmirror.client import Limits
from txmirror.errors import (
    NoAuthException,
    RequestTimeoutException,
    SystemErrorException,
    ThrottledOpException,
    TooManyRequestsException,
)
from txmirror.recipes import Lock, Semaphore
from txmirror.test.mirror.world import record_log
from txmirror.test.recipes.case import Counts, RecipeCase, S
from txmirror.test.recipes.plain import PlainClient
from txmirror.testing import World


class LostTests(RecipeCase):
    def when(self, fired: Deferred[None]) -> list[float]:
        """Return a list that gets the time when a Deferred fires."""
        times: list[float] = []
        fired.addCallback(lambda _: times.append(self.world.reactor.seconds()))
        return times

    def test_told_in_time(self) -> None:
        """Rule 9: a holder without a connection is notified two thirds of the timeout after the last contact; others
        get it only later.
        """
        for kind in (Lock, Semaphore):
            self.path = f"/{kind.__name__}"
            client = self.client()
            first, second = self.lock(client, kind), self.lock(kind=kind)
            self.done(first.acquire())
            acquired = self.begin(second)
            self.pass_time(10.0)
            lost = self.when(first.lost)
            begun = self.world.reactor.seconds()
            self.cut_off(client)
            self.world.reactor.black_hole(*self._address)
            self.pass_time(S / 3)
            self.assertTrue(first.held)
            self.assertEqual(lost, [])
            self.pass_time(S / 3)
            self.assertEqual(len(lost), 1)
            self.assertFalse(first.held)
            self.assertLessEqual(lost[0], begun + 2 / 3 * S)
            self.waiting(acquired)
            self.pass_time(2 * S)
            self.assertTrue(self.successResultOf(acquired))
            self.world.reactor.undo_black_hole(*self._address)
            self.pass_time(S)
            self.done(first.release())
            self.done(second.release())

    def test_client_closed(self) -> None:
        """A holder whose client is closed is notified before anybody else can hold it, also if the last answer is late."""
        for kind in (Lock, Semaphore):
            self.path = f"/{kind.__name__}"
            client = self.client()
            first, second = self.lock(client, kind), self.lock(kind=kind)
            self.done(first.acquire())
            held: list[bool] = []
            acquired = self.begin(second)
            first.lost.addCallback(lambda _, second=second, held=held: held.append(second.held))
            self.world.server.connection_of(client.session_id).stall(incoming=False, outgoing=True)
            closed = client.close()
            self.world.settle()
            self.assertNoResult(closed)
            self.assertTrue(self.successResultOf(acquired))
            self.assertEqual((first.held, held), (False, [False]))
            self.pass_time(Limits().close_time)
            self.successResultOf(closed)
            self.done(second.release())

    def test_short_absence(self) -> None:
        """A connection that comes back in time costs nothing: it is held all the while, and is the same node."""
        client = self.client()
        lock = self.lock(client)
        self.done(lock.acquire())
        token, nodes = lock.token, self.nodes()
        self.keep_away(client)
        self.pass_time(1.0)
        self.assertTrue(lock.held)
        self.let_in()
        self.pass_time(60.0)
        self.assertNoResult(lock.lost)
        self.assertEqual((lock.held, lock.token, self.nodes()), (True, token, nodes))

    def test_long_absence(self) -> None:
        """A lost lock stays lost if the session lives on, and keeps others out until it is released."""
        client = self.client()
        first, second = self.lock(client), self.lock()
        self.done(first.acquire())
        acquired = self.begin(second)
        session = client.session_id
        # The server hears us all the while.
        self.server.connection_of(session).stall(incoming=False)
        self.pass_time(2 * S)
        self.successResultOf(first.lost)
        self.assertEqual(client.session_id, session)
        self.assertFalse(first.held)
        self.waiting(acquired)
        self.assertRaises(RuntimeError, first.acquire)
        self.assertGreater(first.token, 0)
        self.done(first.release())
        self.assertTrue(self.done(acquired))
        self.assertIs(self.done(first.acquire(wait=0)), False)

    def test_session_ended(self) -> None:
        """With its session it is lost; there is nothing to release then, and it can be acquired anew."""
        client = self.client()
        lock = self.lock(client)
        self.done(lock.acquire())
        token = lock.token
        self.expire(client)
        self.successResultOf(lock.lost)
        self.assertFalse(lock.held)
        self.done(lock.release())
        self.assertTrue(self.done(lock.acquire()))
        self.assertGreater(lock.token, token)
        self.assertEqual(len(self.nodes()), 1)

    def test_deleted(self) -> None:
        """A holder is notified when its node is deleted, even after it was overwritten; the next contender gets it."""
        for kind in (Lock, Semaphore):
            self.path = f"/{kind.__name__}"
            first, second = self.lock(kind=kind), self.lock(kind=kind)
            self.done(first.acquire())
            acquired = self.begin(second)
            node = min(self.nodes(), key=lambda node: node[-10:])
            self.done(self.observer.set(f"{self.path}/{node}", b"mine now"))
            self.settle()
            self.assertTrue(first.held)
            self.done(self.observer.delete(f"{self.path}/{node}"))
            self.successResultOf(first.lost)
            self.assertFalse(first.held)
            self.assertTrue(self.done(acquired))
            self.done(first.release())
            self.assertEqual(len(self.nodes()), 1)

    def test_deleted_after_it_was_written_over(self) -> None:
        """A deletion is noticed, too, if the node is gone before it can be read again, or the connection is lost
        meanwhile.
        """
        client = self.client()
        lock = self.lock(client)
        self.done(lock.acquire())
        (node,) = self.nodes()
        self.server.delay_next("get", 1.0, session_id=client.session_id)
        self.server.lose_request("get", session_id=client.session_id)
        self.done(self.observer.set(f"{self.path}/{node}", b"mine now"))
        self.done(self.observer.delete(f"{self.path}/{node}"))
        self.settle()
        self.assertTrue(lock.held)
        self.pass_time(2.0)
        self.successResultOf(lock.lost)

    def test_deleted_in_line(self) -> None:
        """A contender whose node is deleted while it waits joins the queue again, and never acquires without a node."""
        first, second, third = self.lock(name="1"), self.lock(name="2"), self.lock(name="3")
        self.done(first.acquire())
        acquired = self.begin(second)
        last = self.begin(third)
        node = [node for node in self.nodes() if self.done(self.observer.get(f"{self.path}/{node}"))[0] == b"2"]
        self.done(self.observer.delete(f"{self.path}/{node[0]}"))
        self.done(first.release())
        self.assertTrue(self.done(last))
        self.waiting(acquired)
        self.done(third.release())
        self.assertTrue(self.done(acquired))

    def test_deleted_behind_others(self) -> None:
        """A contender whose node was deleted joins the line again at once, not only when it would have been its turn."""
        locks = [self.lock(name=str(number)) for number in range(3)]
        acquired = [self.begin(lock) for lock in locks]
        node = max(self.nodes(), key=lambda node: node[-10:])
        self.done(self.observer.delete(f"{self.path}/{node}"))
        acquired[1].cancel()
        self.settle()
        self.assertEqual(self.done(locks[0].contenders()), ["0", "2"])
        self.done(locks[0].release())
        self.assertTrue(self.done(acquired[2]))

    def test_lock_deleted(self) -> None:
        """A contender creates its node again after another client has deleted everything."""
        first, second = self.lock(), self.lock()
        self.done(first.acquire())
        acquired = self.begin(second)
        for node in sorted(self.nodes(), key=lambda node: node[-10:], reverse=True):
            self.done(self.observer.delete(f"{self.path}/{node}"))
        self.settle()
        self.assertTrue(first.lost.called)
        self.assertTrue(self.done(acquired))
        (node,) = self.nodes()
        self.done(second.release())
        self.done(self.observer.delete(self.path))
        self.done(self.observer.delete("/locks"))
        self.done(first.release())
        self.assertTrue(self.done(first.acquire(wait=0)))

    def test_many_who_are_told(self) -> None:
        """Each ``lost`` is a Deferred of its own: the callbacks and the cancelling of one do not affect the others."""
        client = self.client()
        lock = self.lock(client)
        self.done(lock.acquire())
        cancelled, failing, other = lock.lost, lock.lost, lock.lost
        cancelled.cancel()
        self.assert_cancelled(cancelled)
        self.assertTrue(lock.held)
        failing.addCallback(lambda _: 1 / 0)
        self.expire(client)
        self.failureResultOf(failing, ZeroDivisionError)
        self.successResultOf(other)
        self.successResultOf(lock.lost)
        self.assertFalse(lock.held)
        self.done(lock.release())

    def test_released_by_who_is_told(self) -> None:
        """A listener of the loss may release the lock at once, and acquire it again."""
        client = self.client()
        lock = self.lock(client)
        again: list[Deferred[bool]] = []
        self.done(lock.acquire())
        lock.lost.addCallback(lambda _: lock.release()).addCallback(lambda _: again.append(lock.acquire()))
        self.expire(client)
        self.assertTrue(self.done(again[0]))
        self.assertTrue(lock.held)

    def test_late_reactor(self) -> None:
        """While the reactor is late, ``held`` is right already."""
        lock = self.lock()
        self.done(lock.acquire())
        self.world.reactor.rightNow += S
        self.assertFalse(lock.held)
        self.assertNoResult(lock.lost)
        self.settle()
        self.successResultOf(lock.lost)

    def test_answer_too_old(self) -> None:
        """Where the reactor is busy while an answer comes, nothing is held on its strength: it is asked for again."""
        for kind in (Lock, Semaphore):
            turns, done = 0, False
            while not done:
                self.path = f"/{kind.__name__}{turns}"
                client = self.client()
                claim = self.lock(client, kind)
                held: list[bool] = []
                claim.acquire().addCallback(lambda _, claim=claim, held=held: held.append(claim.held))
                self.world.reactor.take_turns(turns)
                done = bool(held)
                self.world.reactor.rightNow += 0.75 * S
                self.pass_time(2.0)
                self.assertEqual(held, [True], self.path)
                self.assertEqual(claim.held, not done, self.path)
                self.done(claim.release())
                self.done(client.close())
                turns += 1
            self.assertGreater(turns, 5)

    def test_weaker_client(self) -> None:
        """With a client without a lease, something is lost when the session has expired, or the node is deleted."""
        client = self.client()
        lock = self.lock(PlainClient(client))
        self.done(lock.acquire())
        self.keep_away(client)
        self.pass_time(5.0)
        self.assertTrue(lock.held)
        self.assertNoResult(lock.lost)
        self.pass_time(S)
        self.let_in()
        self.pass_time(5.0)
        self.successResultOf(lock.lost)
        self.assertFalse(lock.held)
        self.done(lock.release())
        self.done(lock.acquire())
        (node,) = self.nodes()
        self.done(self.observer.delete(f"{self.path}/{node}"))
        self.successResultOf(lock.lost)


class ThroughTroubleTests(RecipeCase):
    def test_session_ends_in_line(self) -> None:
        """A contender whose session expires while it waits joins the queue again, within the same time; no former node
        is left.
        """
        client = self.client()
        first, second, third = self.lock(), self.lock(client, name="second"), self.lock(name="third")
        self.done(first.acquire())
        acquired = self.begin(second, wait=30.0)
        last = self.begin(third)
        self.expire(client)
        self.assertEqual(self.done(first.contenders()), ["", "third", "second"])
        self.done(first.release())
        self.assertTrue(self.done(last))
        self.waiting(acquired)
        self.pass_time(28.9)
        self.waiting(acquired)
        self.pass_time(0.1)
        self.assertIs(self.successResultOf(acquired), False)
        self.assertEqual(len(self.nodes()), 1)

    def test_goes_while_we_are_away(self) -> None:
        """A contender that is disconnected when the lock is released gets it after the reconnection (C16)."""
        client = self.client()
        first, second = self.lock(), self.lock(client)
        self.done(first.acquire())
        acquired = self.begin(second)
        self.keep_away(client)
        self.done(first.release())
        self.waiting(acquired)
        self.let_in()
        self.assertTrue(self.done(acquired))

    def test_time_is_over_while_away(self) -> None:
        """The time is over when it is over, also without a connection; our node goes when we are back (C17)."""
        client = self.client()
        first, second = self.lock(), self.lock(client)
        self.done(first.acquire())
        acquired = self.begin(second, wait=1.0)
        self.keep_away(client)
        self.pass_time(1.0)
        self.assertIs(self.successResultOf(acquired), False)
        self.assertEqual(len(self.nodes()), 2)
        again = self.begin(second, wait=1.0)
        self.pass_time(1.0)
        self.assertIs(self.successResultOf(again), False)
        released = second.release()
        self.waiting(acquired=self.begin(second))
        self.assertNoResult(released)
        self.world.reactor.undo_black_hole(*self._address)
        self.pass_time(1.0)
        self.successResultOf(released)
        self.assertEqual(len(self.nodes()), 2)
        self.done(second.release())
        self.assertEqual(len(self.nodes()), 1)

    def test_release_while_away(self) -> None:
        """A release without a connection is completed on the next one, and fires only then."""
        client = self.client()
        first, second = self.lock(client), self.lock()
        self.done(first.acquire())
        acquired = self.begin(second)
        self.keep_away(client)
        released = first.release()
        self.assertFalse(first.held)
        self.waiting(acquired)
        self.assertNoResult(released)
        self.let_in()
        self.successResultOf(released)
        self.assertTrue(self.done(acquired))

    def test_not_in_its_own_way(self) -> None:
        """Acquiring again before a release is done, which a server in trouble delays, waits for the release."""
        client = self.client()
        lock = self.lock(client)
        self.done(lock.acquire())
        for _ in range(2):
            self.server.fail_next("delete", ThrottledOpException(), session_id=client.session_id)
        lock.release()
        acquired = self.begin(lock, wait=0)
        self.waiting(acquired)
        self.pass_time(2.0)
        self.assertTrue(self.successResultOf(acquired))
        self.assertEqual(len(self.nodes()), 1)

    def test_release_in_time(self) -> None:
        """Or with the end of the session."""
        client = self.client()
        first, second = self.lock(client), self.lock()
        self.done(first.acquire())
        acquired = self.begin(second)
        self.keep_away(client)
        released = first.release()
        self.pass_time(2 * S)
        self.assertTrue(self.done(acquired))
        self.assertNoResult(released)
        self.let_in()
        self.pass_time(5.0)
        self.successResultOf(released)

    def test_begun_before_there_is_a_session(self) -> None:
        """An attempt before the client's first session waits for the session."""
        self.world.reactor.black_hole(*self._address)
        client = self.world.client(connect=False, session_timeout=S)
        lock = self.lock(client)
        acquired = self.begin(lock, wait=1.0)
        self.pass_time(1.0)
        self.assertIs(self.successResultOf(acquired), False)
        acquired = self.waiting(lock.acquire())
        self.let_in()
        self.assertTrue(self.done(acquired))
        self.assertEqual(len(self.nodes()), 1)

    def test_server_that_lags(self) -> None:
        """A node that the server of a reconnection does not know yet is neither taken for missing nor created twice (H1)."""
        for given_up in (False, True):
            with World(servers=3) as world:
                client = world.client(session_timeout=S, random=Random(0))
                observer = world.client(world.servers[2].address)
                world.result(observer.create("/lock"))
                (at,) = [
                    server
                    for server in world.servers
                    if client.session_id in [connection.session_id for connection in server.connections]
                ]
                others = [server for server in world.servers if server is not at]
                for server in others:
                    server.lag()
                at.lose_reply("create", session_id=client.session_id)
                lock = Lock(client, "/lock", reactor=world.reactor)
                acquired = lock.acquire()
                world.settle()
                if given_up:
                    acquired.addErrback(lambda _: None)
                    acquired.cancel()
                at.stop_listening()
                world.pass_time(1.0)
                for server in others:
                    server.catch_up()
                world.pass_time(1.0)
                nodes = world.result(observer.get_children("/lock"))
                self.assertEqual((len(nodes), lock.held), (0, False) if given_up else (1, True))

    def test_former_session(self) -> None:
        """H2: a node that was made in a former session is never taken for ours; it is deleted, so that it is not waited for."""
        former, present = self.client(), self.client()
        plain = PlainClient(former)
        for kind in (Lock, Semaphore):
            self.path = f"/{kind.__name__}"
            plain.client = former
            lock = self.lock(plain, kind)
            self.done(self.observer.create(self.path, b"1"))
            self.server.delay_next("get", 1.0, path=None, session_id=former.session_id)
            if kind is Semaphore:
                self.server.delay_next("get", 0.0, session_id=former.session_id)
                self.server.delay_next("get", 0.0, session_id=former.session_id)
            acquired = self.begin(lock)
            if kind is Lock:
                # It is in the line; its next question is asked in another session, while the former one lives on.
                plain.client = present
            self.pass_time(2.0)
            self.assertTrue(self.done(acquired))
            self.assertEqual(len(self.nodes()), 1)
            stat = self.done(self.observer.exists(f"{self.path}/{self.nodes()[0]}"))
            assert stat is not None
            self.assertEqual(stat.ephemeralOwner, plain.session_id)
            self.done(lock.release())

    def test_servers_in_trouble(self) -> None:
        """A request that a server in trouble refuses is sent again, after a pause, and never without one."""
        counts = Counts()
        client = self.client(metrics=counts)
        session = client.session_id
        for number, error in enumerate((ThrottledOpException, RequestTimeoutException, SystemErrorException)):
            for operation in ("create", "get_children", "get"):
                for _ in range(4):
                    self.server.fail_next(operation, error(), session_id=session)
                lock = self.lock(client)
                counts.take()
                acquired = self.begin(lock)
                self.waiting(acquired)
                self.assertLess(len(counts.take()), 8)
                self.pass_time(5.0)
                self.assertTrue(self.successResultOf(acquired), number)
                self.assertEqual(len(self.nodes()), 1)
                for _ in range(4):
                    self.server.fail_next("delete", error(), session_id=session)
                released = lock.release()
                self.settle()
                self.assertNoResult(released)
                self.pass_time(5.0)
                self.successResultOf(released)

    def test_closed_in_a_pause(self) -> None:
        """A pause ends with the client, and leaves no timer."""
        client = self.client()
        for _ in range(3):
            self.server.fail_next("create", ThrottledOpException(), session_id=client.session_id)
        lock = self.lock(client)
        acquired = self.begin(lock)
        timers = len(self.world.reactor.getDelayedCalls())
        self.done(client.close())
        self.assertTrue(acquired.called)
        self.assertLess(len(self.world.reactor.getDelayedCalls()), timers)
        self.assertFalse([call for call in self.world.reactor.getDelayedCalls() if "Deferred" in str(call)])

    def test_queue_is_full(self) -> None:
        """Where no more of a client's own requests may wait for a connection, a lock's still do."""
        client = self.client(limits=Limits(queued_requests=1))
        lock = self.lock(client)
        self.keep_away(client)
        waiting = client.exists("/")
        self.failureResultOf(client.exists("/"), TooManyRequestsException)
        acquired = self.begin(lock)
        self.pass_time(1.0)
        self.let_in()
        self.done(waiting)
        self.assertTrue(self.done(acquired))

    def test_deleting_is_refused(self) -> None:
        """If the deletion of our node is refused, release fails, and one line is logged; it can be called again."""
        client = self.client()
        lock = self.lock(client)
        self.done(lock.acquire())
        lines = record_log(self)
        self.server.fail_next("delete", NoAuthException(), session_id=client.session_id)
        first, second = lock.release(), lock.release()
        self.settle()
        self.failureResultOf(first, NoAuthException)
        self.failureResultOf(second, NoAuthException)
        self.assertEqual(len([line for line in lines() if "could not be deleted" in line]), 1)
        self.assertIs(self.done(lock.acquire(wait=0)), False)

    def test_sessions_that_end_at_once(self) -> None:
        """Where each answer is that the session has ended, as a client may say it, there are pauses."""

        class Ended(PlainClient):
            asked = 0

            def create(self, *arguments: object, **options: object) -> Deferred[str]:
                from twisted.internet.defer import fail

                from txmirror.errors import SessionExpiredException

                Ended.asked += 1
                return fail(SessionExpiredException())

        lock = self.lock(Ended(self.client()))
        acquired = self.begin(lock, wait=10.0)
        self.assertLess(Ended.asked, 4)
        self.pass_time(10.0)
        self.assertIs(self.successResultOf(acquired), False)
        self.assertLess(Ended.asked, 20)
