"""kazoo's watches and sessions at the embedded server, as at the real one."""

from __future__ import annotations

import queue
import threading
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import (
    ConnectionClosedError,
    NoNodeError,
    SessionExpiredError,
)
from kazoo.protocol.states import EventType, KazooState, KeeperState, WatchedEvent, ZnodeStat
from kazoo.recipe.watchers import PatientChildrenWatch
from kazoo.security import (
    CREATOR_ALL_ACL,
)
from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.integration.kazoo_case import KazooCase
from txmirror.test.integration.servers import (
    CREDENTIALS,
    PATIENCE,
    OnEmbedded,
    OnReal,
    break_connection,
    end_session,
)


class WatchContract(KazooCase):
    """One-shot watches, and kazoo's recipes on them."""

    def setUp(self) -> None:
        super().setUp()
        self.events: queue.Queue[Any] = queue.Queue()
        self.other = self.make_client()

    def next(self) -> Any:
        return self.events.get(timeout=PATIENCE)

    def check_silence(self) -> None:
        """Assert that there was no further event: the server sends earlier events before it answers a later request."""
        self.client.sync("/")
        self.assertTrue(self.events.empty())

    def test_data(self) -> None:
        """A watch on data fires at a change or the deletion, once."""
        self.client.create("/node")
        self.client.get("/node", self.events.put)
        self.other.set("/node", b"one")
        self.assertEqual(self.next(), WatchedEvent(EventType.CHANGED, KeeperState.CONNECTED, "/node"))
        self.other.set("/node", b"two")
        self.client.get("/node", self.events.put)
        self.other.create("/node/child")
        self.other.delete("/node", recursive=True)
        self.assertEqual(self.next(), WatchedEvent(EventType.DELETED, KeeperState.CONNECTED, "/node"))
        self.check_silence()

    def test_existence(self) -> None:
        """A watch on a missing node fires at its creation, and one on an existing node at its change."""
        self.assertIsNone(self.client.exists("/node", self.events.put))
        self.other.create("/node")
        self.assertEqual(self.next(), WatchedEvent(EventType.CREATED, KeeperState.CONNECTED, "/node"))
        self.assertIsNotNone(self.client.exists("/node", self.events.put))
        self.other.set("/node", b"new")
        self.assertEqual(self.next(), WatchedEvent(EventType.CHANGED, KeeperState.CONNECTED, "/node"))
        self.check_silence()

    def test_children(self) -> None:
        """A watch on children fires when one is created or deleted, or their parent is, and not for nodes below or
        beside.
        """
        self.client.create("/node/child", makepath=True)
        self.client.get_children("/node", self.events.put)
        self.other.set("/node", b"new")
        self.other.set("/node/child", b"new")
        self.other.create("/node/child/grandchild")
        self.other.delete("/node/child/grandchild")
        self.check_silence()
        self.other.delete("/node/child")
        self.assertEqual(self.next(), WatchedEvent(EventType.CHILD, KeeperState.CONNECTED, "/node"))
        self.client.get_children("/node", self.events.put)
        self.other.create("/node/new")
        self.assertEqual(self.next(), WatchedEvent(EventType.CHILD, KeeperState.CONNECTED, "/node"))
        self.other.delete("/node/new")
        self.client.get_children("/node", self.events.put)
        self.other.delete("/node")
        self.assertEqual(self.next(), WatchedEvent(EventType.DELETED, KeeperState.CONNECTED, "/node"))
        self.check_silence()

    def test_none_where_nothing_is(self) -> None:
        """Neither data nor children of a missing node can be watched."""
        for call in (self.client.get, self.client.get_children):
            with self.assertRaises(NoNodeError):
                call("/node", self.events.put)
        self.other.create("/node")
        self.check_silence()

    def test_own_change(self) -> None:
        """A client's watch fires before its own change is answered."""
        self.client.create("/node")
        self.client.get("/node", self.events.put)
        self.client.get_children("/node", self.events.put)
        self.client.delete("/node")
        self.assertEqual({self.next().type, self.next().type}, {EventType.DELETED})
        self.check_silence()

    def test_session_end(self) -> None:
        """The deletion of another session's ephemeral nodes is reported."""
        self.other.create("/mortal", ephemeral=True)
        self.client.exists("/mortal", self.events.put)
        self.client.get_children("/", self.events.put)
        self.other.stop()
        self.assertEqual({self.next()[::2], self.next()[::2]}, {(EventType.DELETED, "/mortal"), (EventType.CHILD, "/")})

    def test_data_watch(self) -> None:
        """A DataWatch is called with all that it can see, from the first to its last."""

        @self.client.DataWatch("/node")  # type: ignore[untyped-decorator, unused-ignore]
        def changed(data: bytes | None, stat: ZnodeStat | None, event: WatchedEvent | None) -> bool:
            self.events.put((data, stat and stat.version, event and event.type))
            return data != b"last"

        self.assertEqual(self.next(), (None, None, None))
        self.other.create("/node", b"one")
        self.assertEqual(self.next(), (b"one", 0, EventType.CREATED))
        self.other.set("/node", b"two")
        self.assertEqual(self.next(), (b"two", 1, EventType.CHANGED))
        self.other.delete("/node")
        self.assertEqual(self.next(), (None, None, EventType.DELETED))
        self.other.create("/node", b"last")
        self.assertEqual(self.next(), (b"last", 0, EventType.CREATED))
        self.other.set("/node", b"after")
        self.check_silence()

    def test_children_watch(self) -> None:
        """A ChildrenWatch is called with each list, and with the events where they are asked for."""
        self.client.create("/node")

        @self.client.ChildrenWatch("/node", send_event=True)  # type: ignore[untyped-decorator, unused-ignore]
        def changed(children: list[str], event: WatchedEvent | None) -> bool:
            self.events.put((sorted(children), event and event.type))
            return len(children) < 3

        self.assertEqual(self.next(), ([], None))
        expected: list[str] = []
        for name in "abc":
            self.other.create(f"/node/{name}")
            expected.append(name)
            self.assertEqual(self.next(), (expected, EventType.CHILD))
        self.other.create("/node/d")
        self.check_silence()

    def test_patient_children_watch(self) -> None:
        """A PatientChildrenWatch waits until the list is at rest, and reports its next change."""
        self.client.create("/node/child", makepath=True)
        children, changed = PatientChildrenWatch(self.client, "/node", time_boundary=0.05).start().get(timeout=PATIENCE)
        self.assertEqual(children, ["child"])
        self.other.create("/node/new")
        changed.get(timeout=PATIENCE)
        self.assertEqual(sorted(self.client.get_children("/node")), ["child", "new"])


class SessionContract(KazooCase):
    """Connections that break, and sessions that end."""

    def setUp(self) -> None:
        super().setUp()
        self.states: queue.Queue[str] = queue.Queue()
        self.victim = self.make_client()
        self.victim.add_listener(self.states.put)

    def next_states(self, count: int) -> list[str]:
        return [self.states.get(timeout=PATIENCE) for _ in range(count)]

    def test_connection_lost(self) -> None:
        """A client whose connection breaks comes back to its session, and its ephemerals are there all along."""
        session = self.victim.client_id
        self.victim.create("/mortal", ephemeral=True)
        created = self.client.exists("/mortal")
        break_connection(self.address, session)
        self.assertEqual(self.next_states(2), [KazooState.SUSPENDED, KazooState.CONNECTED])
        self.assertEqual(self.victim.client_id, session)
        self.assertEqual(self.victim.exists("/mortal"), created)
        self.assertEqual(created.ephemeralOwner, session[0])

    def test_watches_after_loss(self) -> None:
        """DataWatch and ChildrenWatch report the changes without a connection after the reconnection."""
        self.client.create("/node", b"one")
        seen: queue.Queue[Any] = queue.Queue()
        self.victim.DataWatch("/node", lambda data, stat: seen.put(data))
        self.assertEqual(seen.get(timeout=PATIENCE), b"one")
        self.victim.ChildrenWatch("/node", seen.put)
        self.assertEqual(seen.get(timeout=PATIENCE), [])
        break_connection(self.address, self.victim.client_id)
        transaction = self.client.transaction()
        transaction.set_data("/node", b"two")
        transaction.create("/node/child")
        transaction.commit()
        told = [seen.get(timeout=PATIENCE) for _ in range(2)]
        self.assertIn(b"two", told)
        self.assertIn(["child"], told)

    def test_auth_after_loss(self) -> None:
        """A client sends its identities again when it reconnects."""
        self.victim.add_auth("digest", CREDENTIALS)
        self.victim.create("/node", acl=CREATOR_ALL_ACL)
        break_connection(self.address, self.victim.client_id)
        self.assertEqual(self.next_states(2), [KazooState.SUSPENDED, KazooState.CONNECTED])
        self.assertEqual(self.victim.retry(self.victim.get, "/node")[0], b"")

    def test_session_ended(self) -> None:
        """A client whose session has expired is notified when it reconnects, has another session, and its ephemerals
        are gone.
        """
        session = self.victim.client_id
        self.victim.create("/mortal", ephemeral=True)
        gone = threading.Event()
        self.client.exists("/mortal", lambda event: gone.set())
        end_session(self.address, session)
        self.assertTrue(gone.wait(PATIENCE))
        self.assertIsNone(self.client.exists("/mortal"))
        self.assertEqual(self.next_states(1), [KazooState.SUSPENDED])
        while self.next_states(1) != [KazooState.LOST]:
            pass
        self.assertEqual(self.next_states(1), [KazooState.CONNECTED])
        self.assertNotEqual(self.victim.client_id[0], session[0])
        self.victim.create("/mortal", ephemeral=True)
        self.assertEqual(self.client.exists("/mortal").ephemeralOwner, self.victim.client_id[0])

    def test_resumed_by_another(self) -> None:
        """A session goes on with another client that has its id and password; a wrong password gets a new session."""
        self.victim.create("/mortal", ephemeral=True)
        session, password = self.victim.client_id
        heir = self.make_client(client_id=(session, password))
        self.assertEqual(heir.client_id, (session, password))
        self.assertEqual(heir.exists("/mortal").ephemeralOwner, session)
        stranger = self.make_client(client_id=(heir.client_id[0], b"wrong password.."))
        self.assertNotEqual(stranger.client_id[0], session)

    def test_closed(self) -> None:
        """A client that was stopped is refused, and may start again with another session."""
        session = self.victim.client_id[0]
        self.victim.stop()
        with self.assertRaises((ConnectionClosedError, SessionExpiredError)):
            self.victim.get("/")
        self.victim.start(PATIENCE)
        self.assertNotEqual(self.victim.client_id[0], session)
        self.assertEqual(self.victim.get("/")[0], b"")

    def test_timeout_negotiated(self) -> None:
        """A session has the timeout that is asked for, between the server's least and most."""
        for asked, given in ((0.2, 1.0), (3.0, 3.0), (60.0, 10.0)):
            client: KazooClient = self.make_client(timeout=asked)
            lines = client.command(b"cons").splitlines()
            (line,) = [line for line in lines if f"sid=0x{client.client_id[0] & 0xFFFFFFFFFFFFFFFF:x}" in line]
            self.assertIn(f",to={given * 1000:.0f},", line)


class EmbeddedWatchTests(OnEmbedded, WatchContract, SynchronousTestCase):
    """At the embedded server."""


class ZooKeeperWatchTests(OnReal, WatchContract, SynchronousTestCase):
    """At the real server."""


class EmbeddedSessionTests(OnEmbedded, SessionContract, SynchronousTestCase):
    """At the embedded server."""


class ZooKeeperSessionTests(OnReal, SessionContract, SynchronousTestCase):
    """At the real server."""
