"""Creates that are protected: a lost answer leaves neither a doubt nor an orphan."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from txmirror.client import Limits, ZooKeeperClient
from txmirror.errors import (
    ClosingException,
    ConnectionLossException,
    NoAuthException,
    NodeExistsException,
    NoNodeException,
    OperationTimeoutException,
    PathError,
    RequestTooLargeException,
    SessionExpiredException,
    TooManyRequestsException,
)
from txmirror.test.client.peer import SESSION, STAT, ClientTestCase, Peer, S, ignore
from txmirror.types import OPEN_ACL, SessionState
from txmirror.wire import (
    CloseSessionRequest,
    Create2Request,
    Create2Response,
    CreateRequest,
    DeleteRequest,
    ExistsRequest,
    GetChildren2Request,
    GetChildren2Response,
    GetDataRequest,
    Operation,
    PathResponse,
    StatResponse,
    SyncRequest,
)

GUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
OURS = STAT._replace(ephemeralOwner=SESSION)
LOOKING = [Operation.SYNC, Operation.GET_CHILDREN2, Operation.EXISTS]


class ProtectedTestCase(ClientTestCase):
    def begin(self, path: str = "/p/n", **options: Any) -> tuple[ZooKeeperClient, Peer, Deferred[str], str]:
        """Send a protected create whose answer does not come.

        :returns: with the client, its connection and the Deferred: the path that was asked for.
        """
        client, peer = self.make_connected()
        made = client.create(path, b"x", protect=True, **options)
        self.xid, request = peer.take(CreateRequest)
        return client, peer, made, request.path

    def names(self, *paths: str) -> list[str]:
        return ["stranger", "_c_0-n", *(path.rpartition("/")[2] for path in paths)]

    def answer_look(self, peer: Peer, *paths: str, parent: str = "/p") -> None:
        """Answer the requests of a client that searches for its node."""
        self.assertEqual(peer.answer(SyncRequest, PathResponse(parent)).path, parent)
        request = peer.answer(GetChildren2Request, GetChildren2Response(self.names(*paths), STAT))
        self.assertEqual(request, GetChildren2Request(parent, False))

    def answer_deletion(self, peer: Peer, path: str) -> None:
        """Answer a client that looks for its node and deletes it."""
        self.answer_look(peer, path)
        self.assertEqual(peer.answer(DeleteRequest), DeleteRequest(path, -1))
        self.assertEqual(peer.packets, [])

    def new_session(self, old: Peer, session_id: int = 2) -> Peer:
        """Let the session end, and the next begin."""
        self.reconnect(old, accept=False).expire()
        self.pass_time(0.5)
        self.server.peer.accept(session_id=session_id)
        return self.server.peer

    def assert_quiet(self, peer: Peer, seconds: float = 40.0) -> None:
        """Nothing more is asked."""
        self.assertEqual(peer.packets, [])
        self.pass_time(seconds)
        self.assertEqual(peer.packets, [])


class NameTests(ProtectedTestCase):
    def test_form(self) -> None:
        """The name is as Curator makes it, below the parent that was given, with everything else as asked for."""
        client, peer = self.make_connected()
        cases: list[tuple[dict[str, Any], int]] = [
            ({}, 0),
            ({"ephemeral": True}, 1),
            ({"sequence": True}, 2),
            ({"ephemeral": True, "sequence": True}, 3),
        ]
        seen = set()
        for options, flags in cases:
            made = client.create("/p/q/name-", b"x", protect=True, **options)
            xid, request = peer.take(CreateRequest)
            self.assertRegex(request.path, f"^/p/q/_c_{GUID}-name-$")
            self.assertEqual((request.data, request.acl, request.flags), (b"x", OPEN_ACL, flags))
            peer.reply(xid, PathResponse(request.path + "0000000003"))
            self.assertEqual(self.successResultOf(made), request.path + "0000000003")
            seen.add(request.path)
        self.assertEqual(len(seen), 4)
        self.assertEqual(peer.packets, [])

    def test_at_the_root(self) -> None:
        """At the root there is one slash."""
        client, peer = self.make_connected()
        ignore(client.create("/n", protect=True))
        self.assertRegex(peer.take(CreateRequest)[1].path, f"^/_c_{GUID}-n$")

    def test_sequence_without_a_name(self) -> None:
        """A sequence node may have no name of its own."""
        client, peer = self.make_connected()
        ignore(client.create("/p/", sequence=True, protect=True))
        self.assertRegex(peer.take(CreateRequest)[1].path, f"^/p/_c_{GUID}-$")

    def test_with_a_stat(self) -> None:
        """With a stat it is the other operation, and the same name."""
        client, peer = self.make_connected()
        made = client.create_and_stat("/p/n", b"x", protect=True)
        xid, request = peer.take(Create2Request)
        self.assertRegex(request.path, f"^/p/_c_{GUID}-n$")
        peer.reply(xid, Create2Response(request.path, STAT))
        self.assertEqual(self.successResultOf(made), (request.path, STAT))

    def test_checked_at_the_call(self) -> None:
        """Path and data are checked at the call."""
        client, peer = self.make_connected()
        self.assertRaises(PathError, client.create, "p/n", protect=True)
        self.assertRaises(PathError, client.create, "/p/", protect=True)
        self.assertRaises(TypeError, client.create, "/p/n", "text", protect=True)
        self.assertEqual(peer.packets, [])

    def test_refused(self) -> None:
        """A create that the server refuses fails as without protection, and no search follows."""
        client, peer = self.make_connected()
        for code, error in ((-110, NodeExistsException), (-101, NoNodeException), (-102, NoAuthException)):
            made = client.create("/p/n", protect=True)
            peer.answer(CreateRequest, err=code)
            self.assertIs(self.failureResultOf(made, error).value.applied, False)
        self.assert_quiet(peer)

    def test_too_large(self) -> None:
        """A create over the limit is not sent, and no node is searched for."""
        client, peer = self.make_connected()
        made = client.create("/p/n", bytes(2**21), protect=True)
        self.failureResultOf(made, RequestTooLargeException)
        self.assert_quiet(peer)

    def test_chroot(self) -> None:
        """With a chroot everything happens below it, and paths are returned without it."""
        client, peer = self.make_connected(chroot="/app")
        for found in (True, False):
            made = client.create("/n", protect=True)
            _, request = peer.take(CreateRequest)
            self.assertRegex(request.path, f"^/app/_c_{GUID}-n$")
            again = self.reconnect(peer)
            self.answer_look(again, *([request.path] if found else []), parent="/app")
            if found:
                self.assertEqual(again.answer(ExistsRequest, StatResponse(STAT)).path, request.path)
            else:
                self.assertEqual(again.answer(CreateRequest, PathResponse(request.path)).path, request.path)
            self.assertEqual(self.successResultOf(made), request.path.removeprefix("/app"))
            peer = again

    def test_deletion_with_a_chroot(self) -> None:
        """With a chroot the deletion of the node happens below it."""
        client, peer = self.make_connected(chroot="/app")
        made = client.create("/p/n", protect=True)
        xid, request = peer.take(CreateRequest)
        made.cancel()
        self.failureResultOf(made, CancelledError)
        peer.reply(xid, PathResponse(request.path))
        self.answer_look(peer, request.path, parent="/app/p")
        self.assertEqual(peer.answer(DeleteRequest).path, request.path)


class LostTests(ProtectedTestCase):
    """The answer is lost."""

    def test_made(self) -> None:
        """The node that was made is found: its path is the result, and no second one is made (H1)."""
        client, peer, made, path = self.begin(ephemeral=True)
        again = self.reconnect(peer)
        self.assertNoResult(made)
        self.answer_look(again, path)
        self.assertEqual(again.answer(ExistsRequest, StatResponse(OURS)), ExistsRequest(path, False))
        self.assertEqual(self.successResultOf(made), path)
        self.assert_quiet(again)
        self.assertIs(client.session.state, SessionState.CONNECTED)

    def test_made_with_a_number(self) -> None:
        """The node of a lost sequence create is found, with its number."""
        _, peer, made, path = self.begin("/p/n-", ephemeral=True, sequence=True)
        again = self.reconnect(peer)
        numbered = path + "0000000007"
        self.answer_look(again, numbered)
        self.assertEqual(again.answer(ExistsRequest, StatResponse(OURS)).path, numbered)
        self.assertEqual(self.successResultOf(made), numbered)

    def test_negative_number(self) -> None:
        """A sequence node is found when the counter has overflowed, too (H5)."""
        _, peer, made, path = self.begin("/p/n-", sequence=True)
        again = self.reconnect(peer)
        self.answer_look(again, path + "-2147483648")
        again.answer(ExistsRequest, StatResponse(STAT))
        self.assertEqual(self.successResultOf(made), path + "-2147483648")

    def test_with_a_stat(self) -> None:
        """``create_and_stat`` returns the stat of the node that was found."""
        client, peer = self.make_connected()
        made = client.create_and_stat("/p/n", protect=True)
        path = peer.take(Create2Request)[1].path
        again = self.reconnect(peer)
        self.answer_look(again, path)
        stat = STAT._replace(version=77)
        again.answer(ExistsRequest, StatResponse(stat))
        self.assertEqual(self.successResultOf(made), (path, stat))

    def test_not_made(self) -> None:
        """The node that was not made is made after all, under the same name."""
        _, peer, made, path = self.begin("/p/n-", sequence=True)
        again = self.reconnect(peer)
        self.answer_look(again)
        self.assertNoResult(made)
        self.assertEqual(again.answer(CreateRequest, PathResponse(path + "0000000001")).path, path)
        self.assertEqual(self.successResultOf(made), path + "0000000001")
        self.assert_quiet(again)

    def test_lost_over_and_over(self) -> None:
        """However many connections that takes: it is looked for each time before it is made again."""
        _, peer, made, path = self.begin()
        for _ in range(5):
            peer = self.reconnect(peer)
            self.answer_look(peer)
            self.assertEqual(peer.take(CreateRequest)[1].path, path)
            self.assertNoResult(made)
        peer = self.reconnect(peer)
        self.answer_look(peer, path)
        peer.answer(ExistsRequest, StatResponse(STAT))
        self.assertEqual(self.successResultOf(made), path)

    def test_cut_while_looking(self) -> None:
        """When the connection goes while it is looked for, it is looked for on the next."""
        for steps in range(4):
            client, peer, made, path = self.begin()
            cut = self.reconnect(peer)
            if steps > 0:
                cut.answer(SyncRequest, PathResponse("/p"))
            if steps > 1:
                cut.answer(GetChildren2Request, GetChildren2Response(self.names(path), STAT))
            self.assertEqual(cut.operations[:1], LOOKING[steps : steps + 1] or [Operation.EXISTS])
            again = self.reconnect(cut)
            self.assertNoResult(made)
            if Operation.SYNC in again.operations:
                self.answer_look(again, path)
            again.answer(ExistsRequest, StatResponse(STAT))
            self.assertEqual(self.successResultOf(made), path)
            self.assertEqual(again.packets, [])
            self.close_fast(client, again)

    def test_parent_gone(self) -> None:
        """If the parent is gone, there is no node: the client sends the create again, and the caller gets its failure."""
        _, peer, made, path = self.begin()
        again = self.reconnect(peer)
        again.answer(SyncRequest, PathResponse("/p"))
        again.answer(GetChildren2Request, err=-101)
        self.assertEqual(again.answer(CreateRequest, err=-101).path, path)
        self.failureResultOf(made, NoNodeException)
        self.assert_quiet(again)

    def test_deleted_meanwhile(self) -> None:
        """If another client deletes the node between two requests of the search, the Deferred fails, and no node is left behind."""
        _, peer, made, path = self.begin()
        again = self.reconnect(peer)
        self.answer_look(again, path)
        again.answer(ExistsRequest, err=-101)
        self.assertIs(self.failureResultOf(made, ConnectionLossException).value.applied, None)
        self.answer_look(again)
        self.assert_quiet(again)

    def test_may_not_look(self) -> None:
        """If an ACL forbids to list the parent's children, the result is unknown: the create fails, and the client deletes the
        node as soon as possible (H3)."""
        _, peer, made, path = self.begin()
        again = self.reconnect(peer)
        again.answer(SyncRequest, PathResponse("/p"))
        again.answer(GetChildren2Request, err=-102)
        self.assertIs(self.failureResultOf(made, ConnectionLossException).value.applied, None)
        self.assertEqual(again.operations, [Operation.SYNC])
        self.answer_deletion(again, path)
        self.assert_quiet(again)

    def test_may_never_look(self) -> None:
        """If the ACL never allows it, the log names the node that may be left behind, and the search ends."""
        _, peer, made, _ = self.begin()
        again = self.reconnect(peer)
        again.answer(SyncRequest, PathResponse("/p"))
        again.answer(GetChildren2Request, err=-102)
        self.failureResultOf(made, ConnectionLossException)
        again.answer(SyncRequest, PathResponse("/p"))
        again.answer(GetChildren2Request, err=-102)
        self.assertEqual(again.packets, [])
        self.assertIn("the znode of an abandoned create", "\n".join(self.log_lines()))

    def test_queue_behind(self) -> None:
        """Others that were asked meanwhile are answered, each in its turn."""
        client, peer, made, path = self.begin()
        peer.drop()
        other = client.delete("/other")
        again = self.reconnect(peer)
        while again.packets:
            operation = again.packets[0].operation
            if operation == Operation.DELETE:
                again.answer(DeleteRequest)
            elif operation == Operation.SYNC:
                again.answer(SyncRequest, PathResponse("/p"))
            elif operation == Operation.GET_CHILDREN2:
                again.answer(GetChildren2Request, GetChildren2Response(self.names(path), STAT))
            else:
                again.answer(ExistsRequest, StatResponse(STAT))
        self.successResultOf(other)
        self.assertEqual(self.successResultOf(made), path)

    def test_never_sent(self) -> None:
        """A create that was never sent has created nothing: it fails with ``applied`` False, and no node is searched
        for.
        """
        client, peer = self.make_connected()
        peer.drop()
        self.server.stop()
        made = client.create("/p/n", protect=True)
        self.pass_time(40)
        self.assertIs(self.failureResultOf(made, ConnectionLossException).value.applied, False)
        self.server.start()
        again = self.next_peer(self.server)
        again.accept()
        self.assert_quiet(again)


class SessionTests(ProtectedTestCase):
    """The session ends before the answer has come."""

    def test_ephemeral(self) -> None:
        """An ephemeral went with its session: it is not made in the next (H2, E4)."""
        for taken in ([], ["sync"]):
            client, peer, made, _ = self.begin(ephemeral=True)
            if taken:
                peer = self.reconnect(peer)
                peer.take(SyncRequest)
            new = self.new_session(peer)
            self.failureResultOf(made, SessionExpiredException)
            self.assert_quiet(new)
            self.close_fast(client, new)

    def test_dying_ephemeral(self) -> None:
        """An ephemeral node of the former session that can still be seen is not taken for the new one (H2, F5)."""
        _, peer, made, path = self.begin(ephemeral=True)
        cut = self.reconnect(peer)
        self.answer_look(cut, path)
        cut.take(ExistsRequest)
        new = self.new_session(cut)
        self.failureResultOf(made, SessionExpiredException)
        self.assert_quiet(new)

    def test_persistent_and_made(self) -> None:
        """A persistent one that was made is there in the next session too."""
        _, peer, made, path = self.begin()
        new = self.new_session(peer)
        self.assertNoResult(made)
        self.answer_look(new, path)
        new.answer(ExistsRequest, StatResponse(STAT))
        self.assertEqual(self.successResultOf(made), path)
        self.assert_quiet(new)

    def test_lost_and_back(self) -> None:
        """A session that had probably expired, and had not, is the same session."""
        client, _, made, path = self.begin(ephemeral=True)
        self.server.stop()
        self.pass_time(2 * S)
        self.assertIs(client.session.state, SessionState.LOST)
        self.server.start()
        again = self.next_peer(self.server)
        again.accept()
        # While the session counted as probably expired, requests failed.
        result: list[object] = []
        made.addBoth(result.append)
        self.answer_look(again, path)
        if result:
            self.assertEqual(again.answer(DeleteRequest).path, path)
        else:
            again.answer(ExistsRequest, StatResponse(OURS))
            self.assertEqual(result, [path])
        self.assert_quiet(again)

    def test_persistent_and_not_made(self) -> None:
        """A persistent one that was not made is not made in the next session: the Deferred fails (E4)."""
        _, peer, made, _ = self.begin()
        new = self.new_session(peer)
        self.answer_look(new)
        self.failureResultOf(made, SessionExpiredException)
        self.assert_quiet(new)


class CancellingTests(ProtectedTestCase):
    """Nobody wants the node any more: it is deleted as soon as that can be done (H3)."""

    def cancel(self, made: Deferred[str]) -> None:
        made.cancel()
        self.failureResultOf(made, CancelledError)

    def test_before_it_was_sent(self) -> None:
        """A create that was never sent is none."""
        client = self.make_client()
        self.cancel(client.create("/p/n", protect=True))
        ignore(client.connect())
        peer = self.server.peer
        peer.accept()
        self.assert_quiet(peer)

    def test_queued(self) -> None:
        """A create in the queue is never sent; the client searches for its node at the most."""
        client, peer = self.make_connected()
        peer.drop()
        self.cancel(client.create("/p/n", protect=True))
        again = self.reconnect(peer)
        self.assertNotIn(Operation.CREATE, again.operations)
        if again.packets:
            self.answer_look(again)
        self.assert_quiet(again)

    def test_under_way(self) -> None:
        """The node of a create that is cancelled in flight is searched for, and deleted."""
        client, peer = self.make_connected()
        made = client.create("/p/n", protect=True, sequence=True)
        xid, request = peer.take(CreateRequest)
        self.cancel(made)
        peer.reply(xid, PathResponse(request.path + "0000000001"))
        self.answer_deletion(peer, request.path + "0000000001")
        self.assert_quiet(peer)

    def test_under_way_and_refused(self) -> None:
        """A cancelled create that the server refuses leaves nothing."""
        client, peer = self.make_connected()
        made = client.create("/p/n", protect=True)
        xid, _ = peer.take(CreateRequest)
        self.cancel(made)
        peer.reply(xid, err=-102)
        self.answer_look(peer)
        self.assert_quiet(peer)

    def test_answered_already(self) -> None:
        """The node of an answered create belongs to the caller: cancelling does nothing any more."""
        client, peer = self.make_connected()
        made = client.create("/p/n", protect=True)
        peer.answer(CreateRequest, PathResponse("/p/_c_x-n"))
        made.cancel()
        self.assertEqual(self.successResultOf(made), "/p/_c_x-n")
        self.assert_quiet(peer)

    def test_suspended(self) -> None:
        """While there is no connection it waits for one."""
        _, peer, made, path = self.begin()
        peer.drop()
        self.cancel(made)
        again = self.reconnect(peer)
        self.answer_deletion(again, path)
        self.assert_quiet(again)

    def test_while_looking(self) -> None:
        """A create that is cancelled at any step of the search for its node is undone."""
        for steps in range(3):
            client, peer, made, path = self.begin()
            again = self.reconnect(peer)
            if steps > 0:
                again.answer(SyncRequest, PathResponse("/p"))
            if steps > 1:
                again.answer(GetChildren2Request, GetChildren2Response(self.names(path), STAT))
            xid = again.packets.pop(0).xid
            self.cancel(made)
            again.reply(xid, err=-101)
            self.answer_deletion(again, path)
            self.assert_quiet(again)
            self.close_fast(client, again)

    def test_being_made_again(self) -> None:
        """A create that is cancelled while it is sent for the second time is undone."""
        _, peer, made, path = self.begin()
        again = self.reconnect(peer)
        self.answer_look(again)
        xid, _ = again.take(CreateRequest)
        self.cancel(made)
        again.reply(xid, PathResponse(path))
        self.answer_deletion(again, path)

    def test_retried(self) -> None:
        """The undoing is tried again on the next connection, whichever step was cut, until it has worked."""
        for steps in range(3):
            client, peer, made, path = self.begin(ephemeral=True)
            self.cancel(made)
            peer.reply(self.xid, PathResponse(path))
            for _ in range(4):
                if steps > 0:
                    peer.answer(SyncRequest, PathResponse("/p"))
                if steps > 1:
                    peer.answer(GetChildren2Request, GetChildren2Response(self.names(path), STAT))
                self.assertEqual(len(peer.packets), 1)
                peer = self.reconnect(peer)
            self.answer_deletion(peer, path)
            self.assert_quiet(peer)
            self.close_fast(client, peer)

    def test_deleted_already(self) -> None:
        """If the reply to the delete was lost, the next search finds no node, and the undoing ends."""
        _, peer, made, path = self.begin()
        self.cancel(made)
        peer.reply(self.xid, PathResponse(path))
        self.answer_look(peer, path)
        peer.take(DeleteRequest)
        again = self.reconnect(peer)
        self.answer_look(again)
        self.assert_quiet(again)

    def test_deleted_by_another(self) -> None:
        """If another client deletes the node, the undoing ends too."""
        _, peer, made, path = self.begin()
        self.cancel(made)
        peer.reply(self.xid, PathResponse(path))
        self.answer_look(peer, path)
        peer.answer(DeleteRequest, err=-101)
        self.assert_quiet(peer)

    def test_parent_gone(self) -> None:
        """If the parent is gone, the undoing ends."""
        _, peer, made, path = self.begin()
        self.cancel(made)
        peer.reply(self.xid, PathResponse(path))
        peer.answer(SyncRequest, PathResponse("/p"))
        peer.answer(GetChildren2Request, err=-101)
        self.assert_quiet(peer)

    def test_may_not_be_deleted(self) -> None:
        """If the server refuses the delete, the log names the node that was left behind."""
        for code in (-102, -111):
            client, peer, made, path = self.begin()
            self.cancel(made)
            peer.reply(self.xid, PathResponse(path))
            self.answer_look(peer, path)
            peer.answer(DeleteRequest, err=code)
            self.assertIn("the znode of an abandoned create", "\n".join(self.log_lines()))
            self.assert_quiet(peer)
            self.close_fast(client, peer)

    def test_ephemeral_of_a_session_that_has_ended(self) -> None:
        """An ephemeral goes with its session: nothing is deleted in the next."""
        _, peer, made, _ = self.begin(ephemeral=True)
        self.cancel(made)
        new = self.new_session(peer)
        self.assert_quiet(new)

    def test_full_window(self) -> None:
        """The undoing is sent even if the window and the queue are full."""
        client, peer = self.make_connected(Limits(in_flight_requests=1, queued_requests=1))
        made = client.create("/p/n", protect=True)
        xid, request = peer.take(CreateRequest)
        waiting = client.get("/a")
        refused = client.get("/b")
        self.failureResultOf(refused, TooManyRequestsException)
        self.cancel(made)
        peer.reply(xid, PathResponse(request.path))
        while peer.packets and peer.packets[0].operation != Operation.DELETE:
            operation = peer.packets[0].operation
            if operation == Operation.SYNC:
                peer.answer(SyncRequest, PathResponse("/p"))
            elif operation == Operation.GET_CHILDREN2:
                peer.answer(GetChildren2Request, GetChildren2Response(self.names(request.path), STAT))
            else:
                peer.reply(peer.packets.pop(0).xid, err=-101)
        self.assertEqual(peer.answer(DeleteRequest).path, request.path)
        if peer.packets:
            peer.answer(GetDataRequest, err=-101)
        self.failureResultOf(waiting, NoNodeException)

    def test_as_the_connection_is_given_up(self) -> None:
        """Cancelled in the turn in which the server is found silent, it waits for the next connection, and spins no wheels."""
        client, peer = self.make_connected()
        peer.answers_pings = False
        made = client.create("/p/n", b"", protect=True)
        peer.take(CreateRequest)
        ignore(made)
        # The client's own timer, which finds the server silent, and this one are due in the same turn.
        self.reactor.callLater(S * 2 / 3, lambda: self.reactor.callLater(0, made.cancel))
        self.pass_time(S * 2 / 3)
        self.pass_time(1)
        again = self.server.peer
        again.accept()
        self.answer_look(again)
        self.assert_quiet(again, 1)

    def test_server_gave_up(self) -> None:
        """A server that timed a create out may have done it all the same: the Deferred fails, and the node is deleted."""
        _, peer, made, path = self.begin()
        peer.reply(self.xid, err=-7)
        self.assertIsNone(self.failureResultOf(made, OperationTimeoutException).value.applied)
        self.answer_deletion(peer, path)


class ClosingTests(ProtectedTestCase):
    """``close`` in each of these states: within its time, with nothing left (I2, I3)."""

    def close_silently(self, client: ZooKeeperClient) -> None:
        closed = client.close()
        self.pass_time(5.0)
        self.successResultOf(closed)
        self.assert_nothing_left()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_under_way(self) -> None:
        """While the create is under way it may still be answered; else it fails."""
        client, peer = self.make_connected()
        made = client.create("/p/n", protect=True)
        closed = client.close()
        xid, request = peer.take(CreateRequest)
        peer.reply(xid, PathResponse(request.path))
        self.assertEqual(self.successResultOf(made), request.path)
        peer.answer(CloseSessionRequest)
        self.successResultOf(closed)
        client, _, made, _ = self.begin()
        self.close_silently(client)
        self.assert_ended(made)

    def assert_ended(self, made: Deferred[str]) -> None:
        """Assert that it has failed, and that its outcome is unknown."""
        failure = self.failureResultOf(made)
        failure.trap(ClosingException, ConnectionLossException)
        self.assertIs(failure.value.applied, None)

    def test_suspended(self) -> None:
        """While there is no connection."""
        client, peer, made, _ = self.begin()
        self.server.stop()
        self.settle()
        self.assertTrue(peer.lost)
        self.close_silently(client)
        self.assert_ended(made)

    def test_while_looking(self) -> None:
        """At each step of the search."""
        for steps in range(4):
            client, peer, made, path = self.begin()
            again = self.reconnect(peer)
            if steps > 0:
                again.answer(SyncRequest, PathResponse("/p"))
            if steps > 1:
                names: Sequence[str] = self.names(path) if steps == 2 else []
                again.answer(GetChildren2Request, GetChildren2Response(list(names), STAT))
            self.close_silently(client)
            self.assert_ended(made)

    def test_looking_goes_on_to_the_end(self) -> None:
        """A result that is found while the client closes is reported as it is."""
        client, peer, made, path = self.begin()
        again = self.reconnect(peer)
        xid, _ = again.take(SyncRequest)
        closed = client.close()
        again.reply(xid, PathResponse("/p"))
        while again.packets and again.packets[0].operation != Operation.CLOSE_SESSION:
            again.packets.pop(0)
        again.answer(CloseSessionRequest)
        self.successResultOf(closed)
        self.assert_ended(made)
        self.assertTrue(path)

    def test_while_deleting(self) -> None:
        """At each step of a deletion."""
        for steps in range(3):
            client, peer, made, path = self.begin()
            made.cancel()
            self.failureResultOf(made, CancelledError)
            peer.reply(self.xid, PathResponse(path))
            if steps > 0:
                peer.answer(SyncRequest, PathResponse("/p"))
            if steps > 1:
                peer.answer(GetChildren2Request, GetChildren2Response(self.names(path), STAT))
            self.close_silently(client)

    def test_while_waiting_to_delete(self) -> None:
        """While a deletion waits for a connection."""
        client, _, made, _ = self.begin()
        self.server.stop()
        self.settle()
        made.cancel()
        self.failureResultOf(made, CancelledError)
        self.close_silently(client)

    def test_pattern(self) -> None:
        """The pattern of these tests fits a GUID and nothing shorter."""
        self.assertTrue(re.fullmatch(GUID, "01234567-89ab-4def-8123-456789abcdef"))
        self.assertFalse(re.fullmatch(GUID, "01234567-89ab-4def-8123-456789abcde"))
