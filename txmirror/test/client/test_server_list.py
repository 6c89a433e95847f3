"""Which server to try next, and when."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from txmirror.client import Server
from txmirror.client.session.reconnector import ConnectFailure, ServerList
from txmirror.test.client.peer import LongestPauses

A, B, C = Server("a", 1), Server("b", 2), Server("c", 3)


class OrderTests(SynchronousTestCase):
    def test_each_in_turn(self) -> None:
        """Every server is tried once before any is tried again, always in the same order."""
        server_list = ServerList([A, B, C], Random(7))
        first = [server_list.next_server() for _ in range(3)]
        self.assertEqual(sorted(first, key=str), [A, B, C])
        self.assertEqual([server_list.next_server() for _ in range(6)], first * 2)

    def test_shuffled(self) -> None:
        """Rule 10: clients do not all begin with the same server (G4)."""
        begins = {ServerList([A, B, C], Random(seed)).next_server() for seed in range(30)}
        self.assertEqual(begins, {A, B, C})

    def test_list_of_the_caller(self) -> None:
        """The caller's own list keeps its order."""
        servers = [A, B, C]
        for seed in range(10):
            ServerList(servers, Random(seed))
        self.assertEqual(servers, [A, B, C])

    def test_same_again(self) -> None:
        """A server may be asked for again, which does not count as another attempt."""
        server_list = ServerList([A, B, C], LongestPauses())
        self.assertEqual([server_list.next_server(), server_list.next_server()], [A, B])
        server_list.same_again()
        self.assertEqual([server_list.next_server(), server_list.next_server()], [B, C])
        self.assertEqual(server_list.backoff(10, True), 0.1)


class PauseTests(SynchronousTestCase):
    def pauses(self, count: int, session_timeout: float, may_live: bool, servers: int = 1) -> list[float]:
        """The longest pauses that may follow each of so many attempts."""
        server_list = ServerList([A, B, C][:servers], LongestPauses())
        pauses = []
        for _ in range(count):
            server_list.next_server()
            pauses.append(server_list.backoff(session_timeout, may_live))
        return pauses

    def test_first_round(self) -> None:
        """Rule 10: within the first round there is no pause."""
        self.assertEqual(self.pauses(3, 10, True, servers=3)[:2], [0, 0])

    def test_later_rounds(self) -> None:
        """Rule 10: the pauses double from round to round, not from server to server."""
        self.assertEqual(self.pauses(9, 100, True, servers=3), [0, 0, 0.1, 0.1, 0.1, 0.2, 0.2, 0.2, 0.4])

    def test_longest_while_the_session_may_live(self) -> None:
        """Rule 10: while the session may live a pause is no longer than half a second."""
        self.assertEqual(max(self.pauses(100, 30, True)), 0.5)

    def test_longest_for_short_sessions(self) -> None:
        """Rule 10: while the session may live a pause is no longer than a twentieth of its timeout."""
        self.assertEqual(max(self.pauses(100, 1, True)), 0.05)

    def test_longest_after(self) -> None:
        """Rule 10: when no session may be lost by it, the pauses grow to five seconds."""
        self.assertEqual(max(self.pauses(100, 1, False)), 5.0)
        self.assertEqual(self.pauses(7, 1, False), [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0])

    def test_other_longest(self) -> None:
        """Another longest pause may be asked for; it has no say while the session may live."""
        server_list = ServerList([A], LongestPauses(), 1.5)
        pauses = []
        for _ in range(8):
            server_list.next_server()
            pauses.append((server_list.backoff(100, False), server_list.backoff(100, True)))
        self.assertEqual(pauses[-1], (1.5, 0.5))

    def test_many_rounds(self) -> None:
        """After any number of attempts the pause can still be computed."""
        self.assertEqual(self.pauses(5000, 10, False)[-1], 5.0)

    def test_full_jitter(self) -> None:
        """Rule 10: pauses are spread from nothing to the longest, so that clients do not come together (G2)."""
        server_list = ServerList([A], Random(1))
        for _ in range(30):
            server_list.next_server()
        pauses = sorted(server_list.backoff(10, False) for _ in range(1000))
        self.assertLess(pauses[0], 0.1)
        self.assertGreater(pauses[-1], 4.9)
        self.assertTrue(2.1 < pauses[500] < 2.9, pauses[500])

    def test_in_contact(self) -> None:
        """Behind connections that served the session and did not live, the pauses grow to a third of its timeout, or five
        seconds: each has kept the session alive. The first round goes quickly."""
        for session_timeout, longest in ((12.0, 4.0), (1.5, 0.5), (60.0, 5.0)):
            server_list = ServerList([A, B], LongestPauses())
            pauses = []
            for _ in range(20):
                server_list.next_server()
                server_list.note_unstable()
                pauses.append(server_list.backoff(session_timeout, True, in_contact=True))
            self.assertEqual(pauses[:5], [0, 0.1, 0.1, 0.2, 0.2])
            self.assertEqual(pauses[-1], longest)
            self.assertEqual(pauses, sorted(pauses))
            # Behind an attempt that gave no connection there is reason to hurry.
            self.assertEqual(server_list.backoff(session_timeout, True), min(session_timeout / 20, 0.5))

    def test_in_contact_after_attempts_in_vain(self) -> None:
        """Failed attempts do not lengthen the pause after a connection that worked."""
        server_list = ServerList([A, B], LongestPauses())
        for _ in range(50):
            server_list.next_server()
        server_list.note_unstable()
        self.assertEqual(server_list.backoff(12, True, in_contact=True), 0.5)
        server_list.note_stable()
        server_list.next_server()
        server_list.note_unstable()
        self.assertEqual(server_list.backoff(12, True, in_contact=True), 0)

    def test_lived(self) -> None:
        """Rule 10: a connection that lived starts the pauses anew."""
        server_list = ServerList([A, B], LongestPauses())
        for _ in range(20):
            server_list.next_server()
        server_list.note_stable()
        self.assertEqual(server_list.backoff(10, True), 0)
        server_list.next_server()
        self.assertEqual(server_list.backoff(10, True), 0)
        server_list.next_server()
        self.assertEqual(server_list.backoff(10, True), 0.1)


class OutcomeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server_list = ServerList([A, B], LongestPauses())

    def test_news(self) -> None:
        """An outcome is news if the server's latest was another, so that a log line is not written at every try."""
        self.assertTrue(self.server_list.note_failure(A, ConnectFailure.UNREACHABLE, 0))
        self.assertFalse(self.server_list.note_failure(A, ConnectFailure.UNREACHABLE, 1))
        self.assertTrue(self.server_list.note_failure(B, ConnectFailure.UNREACHABLE, 2))
        self.assertTrue(self.server_list.note_failure(A, ConnectFailure.REFUSED, 3))
        self.assertTrue(self.server_list.note_failure(A, ConnectFailure.UNREACHABLE, 4))

    def test_details(self) -> None:
        """Each new detail of a failure is reported once, however often two of them alternate; there are not endlessly many. After an
        answer they count anew."""

        def note(details: str, now: float = 0) -> bool:
            return self.server_list.note_failure(A, ConnectFailure.UNREACHABLE, now, details)

        self.assertEqual(
            [note(text) for text in ("timed out", "certificate", "timed out", "certificate")],
            [True, True, False, False],
        )
        self.assertEqual([note(f"other {count}") for count in range(100)].count(True), 3)
        self.server_list.accepted(A)
        self.assertTrue(note("timed out"))

    def test_details_and_time(self) -> None:
        """A new detail does not change the time since which a server refuses."""
        for server in (A, B):
            self.server_list.note_failure(server, ConnectFailure.REFUSED, 1, "x")
            self.server_list.note_failure(server, ConnectFailure.REFUSED, 5, "y")
        self.assertEqual(self.server_list.refused_since(), 1)

    def test_news_after_success(self) -> None:
        """After a handshake that was answered, the same failure is news again."""
        self.server_list.note_failure(A, ConnectFailure.REFUSED, 0)
        self.server_list.accepted(A)
        self.assertTrue(self.server_list.note_failure(A, ConnectFailure.REFUSED, 1))

    def test_accepted_before_any_failure(self) -> None:
        """Success at a server that never failed is nothing to note."""
        self.server_list.accepted(A)
        self.assertIsNone(self.server_list.refused_since())

    def test_all_unresolved(self) -> None:
        """All names are unresolvable only when each server's latest attempt has failed so."""
        self.assertFalse(self.server_list.all_unresolved())
        self.server_list.note_failure(A, ConnectFailure.UNRESOLVED, 0)
        self.assertFalse(self.server_list.all_unresolved())
        self.server_list.note_failure(B, ConnectFailure.UNRESOLVED, 1)
        self.assertTrue(self.server_list.all_unresolved())
        self.server_list.note_failure(A, ConnectFailure.UNREACHABLE, 2)
        self.assertFalse(self.server_list.all_unresolved())

    def test_refused_since(self) -> None:
        """Rule 8: refusal counts from the moment when the last of the servers began to refuse."""
        self.server_list.note_failure(A, ConnectFailure.REFUSED, 1)
        self.assertIsNone(self.server_list.refused_since())
        self.server_list.note_failure(B, ConnectFailure.REFUSED, 5)
        self.server_list.note_failure(A, ConnectFailure.REFUSED, 6)
        self.server_list.note_failure(B, ConnectFailure.REFUSED, 7)
        self.assertEqual(self.server_list.refused_since(), 5)

    def test_another_outcome_breaks_the_refusal(self) -> None:
        """Rule 8: a server that cannot be reached has not refused, and refusal then counts anew."""
        self.server_list.note_failure(A, ConnectFailure.REFUSED, 1)
        self.server_list.note_failure(B, ConnectFailure.REFUSED, 2)
        self.server_list.note_failure(A, ConnectFailure.UNREACHABLE, 3)
        self.assertIsNone(self.server_list.refused_since())
        self.server_list.note_failure(A, ConnectFailure.REFUSED, 4)
        self.assertEqual(self.server_list.refused_since(), 4)

    def test_an_answer_breaks_the_refusal(self) -> None:
        """Rule 8: a server that has answered does not refuse."""
        self.server_list.note_failure(A, ConnectFailure.REFUSED, 1)
        self.server_list.note_failure(B, ConnectFailure.REFUSED, 2)
        self.server_list.accepted(B)
        self.assertIsNone(self.server_list.refused_since())
