"""Elections: the leader, its job, and the end of its term."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed

from txmirror.client import ZooKeeperClient
from txmirror.errors import ClosingException
from txmirror.recipes import Election
from txmirror.test.recipes.case import RecipeCase, S


class Term:
    """The job of a leader, controlled by the test.

    :ivar running: the Deferred of its job, for each time that it was elected.
    :ivar slow: whether it takes its time to end when it is cancelled.
    """

    def __init__(self) -> None:
        self.running: list[Deferred[Any]] = []
        self.cancelled = 0
        self.slow = False
        self.ending: Deferred[Any] = Deferred()

    def __call__(self) -> Deferred[Any]:
        self.running.append(Deferred())
        return Deferred.fromCoroutine(self._lead(self.running[-1]))

    async def _lead(self, running: Deferred[Any]) -> Any:
        try:
            return await running
        except CancelledError:
            self.cancelled += 1
            if not self.slow:
                raise
            return await self.ending


class ElectionTests(RecipeCase):
    path = "/election"

    def election(self, client: ZooKeeperClient | None = None, **options: Any) -> Election:
        return Election(client or self.client(), self.path, reactor=self.world.reactor, **options)

    def lead(self, election: Election, function: Any) -> Deferred[Any]:
        """Stand for election, for which the test may not wait to the end; and settle."""
        leading = election.run(function)
        self._begun.append(leading)
        self.settle()
        return leading

    def test_lead(self) -> None:
        """One candidate leads, and its function runs; when that ends, so does its leadership, and the next one's
        begins.
        """
        first, second = self.election(name="first"), self.election(name="second")
        terms = [Term(), Term()]
        leading = [self.lead(first, terms[0]), self.lead(second, terms[1])]
        self.assertEqual((bool(first.leading), bool(second.leading)), (True, False))
        self.assertEqual(self.done(second.contenders()), ["first", "second"])
        self.assertEqual([len(term.running) for term in terms], [1, 0])
        token = first.token
        terms[0].running[0].callback("done")
        self.assertNoResult(leading[0])
        self.assertEqual(self.done(leading[0]), "done")
        self.assertEqual((bool(first.leading), bool(second.leading)), (False, True))
        self.assertGreater(second.token, token)
        self.assertEqual((first.token, self.done(first.contenders())), (0, ["second"]))
        self.assertNoResult(leading[1])

    def test_functions(self) -> None:
        """The job may be a coroutine, or be done at once, or fail; in each case others follow."""

        async def lead() -> str:
            await succeed(None)
            return "a coroutine"

        functions: list[tuple[Any, Any]] = [(lead, "a coroutine"), (lambda: succeed(1), 1)]
        for function, expected in functions:
            self.assertEqual(self.done(self.election().run(function)), expected)
            self.assert_clear()
        failing: list[Any] = [lambda: fail(ZeroDivisionError()), lambda: 1 / 0]
        for function in failing:
            self.assertRaises(ZeroDivisionError, self.done, self.election().run(function))
            self.assert_clear()

    def test_lost(self) -> None:
        """When leadership is lost the function is cancelled; then we stand anew, and it is called anew."""
        client = self.client()
        election, term = self.election(client), Term()
        leading = self.lead(election, term)
        self.expire(client)
        self.assertEqual((term.cancelled, len(term.running)), (1, 2))
        self.assertTrue(election.leading)
        self.assertEqual(len(self.nodes()), 1)
        term.running[1].callback("in the end")
        self.assertEqual(self.done(leading), "in the end")

    def test_lost_in_time(self) -> None:
        """Rule 9: the function is cancelled before another candidate can lead, and we do not stand again before it has
        ended.
        """
        client = self.client()
        first, second = self.election(client), self.election()
        terms = [Term(), Term()]
        terms[0].slow = True
        self.lead(first, terms[0])
        self.lead(second, terms[1])
        self.cut_off(client)
        self.world.reactor.black_hole(*self._address)
        self.pass_time(2 / 3 * S)
        self.assertEqual((terms[0].cancelled, terms[1].running), (1, []))
        self.pass_time(3 * S)
        self.assertTrue(second.leading)
        self.assertEqual(len(self.nodes()), 1)
        self.let_in()
        self.pass_time(S)
        terms[0].ending.callback(None)
        self.settle()
        self.assertEqual(len(self.nodes()), 2)
        self.assertEqual(len(terms[0].running), 1)
        terms[1].running[0].callback(None)
        self.settle()
        self.assertEqual(len(terms[0].running), 2)

    def test_lost_and_failed(self) -> None:
        """A function that fails when it is cancelled ends it all with its failure."""
        client = self.client()
        election, term = self.election(client), Term()
        term.slow = True
        leading = self.lead(election, term)
        self.expire(client)
        self.assertNoResult(leading)
        term.ending.errback(ZeroDivisionError())
        self.settle()
        self.failureResultOf(leading, ZeroDivisionError)
        self.assert_clear()

    def test_cancelled_by_itself(self) -> None:
        """A function that ends as cancelled, which nobody has done, has ended."""
        election, term = self.election(), Term()
        leading = self.lead(election, term)
        term.running[0].cancel()
        self.settle()
        self.failureResultOf(leading, CancelledError)

    def test_stop(self) -> None:
        """``stop`` fires when the job has ended and the node is gone, in each state."""
        first, second = self.election(), self.election()
        terms = [Term(), Term()]
        terms[0].slow = True
        leading = [self.lead(first, terms[0]), self.lead(second, terms[1])]
        stopped = second.stop()
        self.done(stopped)
        self.failureResultOf(leading[1], CancelledError)
        self.assertEqual(terms[1].running, [])
        stopped, again = first.stop(), first.stop()
        again.cancel()
        self.assert_cancelled(again)
        self.settle()
        self.assertNoResult(stopped)
        self.assertEqual((terms[0].cancelled, len(self.nodes())), (1, 1))
        terms[0].ending.callback("swallowed")
        self.done(stopped)
        self.assertEqual(self.successResultOf(leading[0]), "swallowed")
        self.assert_clear()
        self.successResultOf(first.stop())

    def test_stop_from_within(self) -> None:
        """The function may stop it, when it is called too."""
        election, term = self.election(), Term()

        def lead() -> Deferred[Any]:
            stopped.append(election.stop())
            return term()

        stopped: list[Deferred[None]] = []
        leading = self.lead(election, lead)
        self.failureResultOf(leading, CancelledError)
        self.done(stopped[0])
        self.assertEqual(term.cancelled, 1)
        self.assert_clear()

    def test_stop_when_lost(self) -> None:
        """A contender that stops while a lost term ends does not stand again."""
        client = self.client()
        election, term = self.election(client), Term()
        term.slow = True
        leading = self.lead(election, term)
        self.expire(client)
        stopped = election.stop()
        self.settle()
        self.assertNoResult(stopped)
        term.ending.errback(CancelledError())
        self.done(stopped)
        self.failureResultOf(leading, CancelledError)
        self.assert_clear()

    def test_stop_between_terms(self) -> None:
        """A candidate that stops while the node of a lost term is still to be deleted does not stand again."""
        client = self.client()
        election, term = self.election(client), Term()
        leading = self.lead(election, term)
        (node,) = self.nodes()
        self.server.delay_next("delete", 1.0, session_id=client.session_id)
        self.done(self.observer.delete(f"{self.path}/{node}"))
        self.settle()
        self.assertEqual((term.cancelled, len(term.running)), (1, 1))
        stopped = election.stop()
        self.settle()
        self.assertNoResult(stopped)
        self.pass_time(1.0)
        self.successResultOf(stopped)
        self.failureResultOf(leading, CancelledError)
        self.assertEqual(len(term.running), 1)
        self.assert_clear()

    def test_cancel(self) -> None:
        """cancel() stops, without waiting; later failures are logged."""
        election, term = self.election(), Term()
        term.slow = True
        leading = election.run(term)
        self.settle()
        leading.cancel()
        self.failureResultOf(leading, CancelledError)
        self.assertRaises(RuntimeError, election.run, term)
        term.ending.errback(ZeroDivisionError())
        self.settle()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assert_clear()
        self.lead(election, term)
        self.assertTrue(election.leading)

    def test_closed(self) -> None:
        """With the client closed nobody leads, nor stands."""
        for running in (True, False):
            client = self.client()
            other, election, term = self.election(), self.election(client), Term()
            if not running:
                self.lead(other, Term())
            leading = election.run(term)
            self.settle()
            self.done(client.close())
            self.failureResultOf(leading, ClosingException)
            self.assertEqual(term.cancelled, int(running))
            self.assertFalse(election.leading)
            self.done(other.stop())

    def test_bad_arguments(self) -> None:
        election = self.election()
        wrong: Any = "lead"
        self.assertIn("'lead'", str(self.assertRaises(TypeError, election.run, wrong)))
        self.lead(election, Term())
        error = self.assertRaises(RuntimeError, election.run, Term())
        self.assertIn(f"{election!r} stands for election already", str(error))
